"""Speed and memory of perspective crops, beside a plain affine crop and a plain homography in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sightline.bench.report import Claim, Measured, Row
from sightline.perspective import PerspectiveCrop
from sightline.perspective.virtual import cam_px_from_virtual_px, virtual_px_from_cam_px

CROPS, CROP, PICTURE, THREADS = 64, 256, 1000, 2

LARGE = 700
"""Side of the regions that are shrunk, px."""

OURS, SMOOTH = "perspective crop", "perspective crop, ready to smooth"
SHRUNK, SHRUNK_SMOOTH = "perspective crop of 700 px, not smoothed", "perspective crop of 700 px, smoothed"
AFFINE, NAIVE, PEER = (
    "affine_grid + grid_sample",
    "naive twin: homogeneous points, one matrix product",
    "kornia warp_perspective",
)

Call = Callable[[Tensor, Tensor], Tensor]
"""A way to crop: pictures and centres (px) → crops."""


def bench_perspective_speed(*, quick: bool = False, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Measure crops of 256 × 256 from pictures of 1000 × 1000, scale 1 : 1, forward and backward, on two threads.

    Args:
        quick: few crops and repetitions.
        progress: called with the number of measurements done and of all.
    """
    count, repeats = (4, 2) if quick else (CROPS, 7)
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        image, centers = _pictures(count)
        ways = _ways(count, centers)
        spent = _interleaved(ways, image, centers, repeats, progress)
        bytes_of = {name: _bytes_kept(way, image[:4], centers[:4]) for name, way in _ways(4, centers[:4]).items()}
    finally:
        torch.set_num_threads(before)
    rows: list[Row] = [
        {"what": name, "forward_ms": forward, "forward_backward_ms": both, "crops_per_second": 1000 * count / forward,
         "megabytes_kept_per_crop": bytes_of[name] / 4e6}
        for name, (forward, both) in spent.items()
    ]  # fmt: skip
    notes = [
        f"{THREADS} threads; {count} crops; medians of {repeats} interleaved runs; crop scale 1:1 unless said otherwise"
    ]
    if PEER not in spent:
        notes.append("kornia is not installed: `pip install '.[compare]'` for it")
    return Measured(rows=rows, claims=_claims(spent, bytes_of), notes=tuple(notes))


def _pictures(count: int) -> tuple[Tensor, Tensor]:
    """Pictures, and centres of regions that lie within them."""
    chance = torch.Generator().manual_seed(0)
    image = torch.rand(count, 3, PICTURE, PICTURE, generator=chance)
    return image, CROP + (PICTURE - 2 * CROP) * torch.rand(count, 2, generator=chance)


def _intrinsics(count: int) -> Tensor:
    focal = 900.0 + 200.0 * torch.rand(count, generator=torch.Generator().manual_seed(1))
    intrinsics = torch.eye(3).repeat(count, 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = PICTURE / 2
    return intrinsics


def _ways(count: int, centers: Tensor) -> dict[str, Call]:
    intrinsics, size, large = _intrinsics(count), *(torch.full((count, 2), float(side)) for side in (CROP, LARGE))
    plain, smooth = PerspectiveCrop(CROP, antialias=False), PerspectiveCrop(CROP, antialias=True)
    columns = torch.arange(CROP) + 0.5
    points = torch.stack(torch.meshgrid(columns, columns, indexing="xy"), -1).flatten(0, 1)
    homogeneous = torch.cat([points, torch.ones(len(points), 1)], dim=1)

    def affine(image: Tensor, center: Tensor) -> Tensor:
        scale = center.new_full((count, 1, 1), CROP / PICTURE) * torch.eye(2)
        theta = torch.cat([scale, (2 * center / PICTURE - 1)[..., None]], dim=-1)
        grid = functional.affine_grid(theta, [count, image.shape[1], CROP, CROP], align_corners=False)
        return functional.grid_sample(image, grid, align_corners=False)

    def naive(image: Tensor, center: Tensor) -> Tensor:
        mapping = cam_px_from_virtual_px(intrinsics, plain.virtual_camera(intrinsics, center, size))
        places = homogeneous @ mapping.mT
        grid = 2 * places[..., :2] / places[..., 2:] / PICTURE - 1
        return functional.grid_sample(image, grid.unflatten(1, (CROP, CROP)), align_corners=False)

    ways: dict[str, Call] = {
        OURS: lambda image, center: plain(image, intrinsics, center, size).image,
        SMOOTH: lambda image, center: smooth(image, intrinsics, center, size).image,
        SHRUNK: lambda image, center: plain(image, intrinsics, center, large).image,
        SHRUNK_SMOOTH: lambda image, center: smooth(image, intrinsics, center, large).image,
        AFFINE: affine,
        NAIVE: naive,
    }
    try:
        from kornia.geometry.transform import warp_perspective
    except ImportError:
        return ways

    def peer(image: Tensor, center: Tensor) -> Tensor:
        mapping = virtual_px_from_cam_px(intrinsics, plain.virtual_camera(intrinsics, center, size))
        return warp_perspective(image, mapping, (CROP, CROP), align_corners=False)

    return ways | {PEER: peer}


def _interleaved(
    ways: dict[str, Call], image: Tensor, centers: Tensor, repeats: int, progress: Callable[[int, int], None] | None
) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each way, forward and forward with backward; in turns, so that all fare alike."""
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            with torch.no_grad():
                forward = _seconds(lambda way=way: way(image, centers))
            both = _seconds(lambda way=way: _backward(way, image, centers))
            if repeat > 0:  # the first round warms up
                seconds[name][0].append(forward)
                seconds[name][1].append(both)
        if progress is not None:
            progress(repeat + 1, repeats + 1)
    return {
        name: (1000 * statistics.median(one), 1000 * statistics.median(two)) for name, (one, two) in seconds.items()
    }


def _backward(way: Call, image: Tensor, centers: Tensor) -> None:
    """Forward and back to picture and region, as in training end to end."""
    picture, center = image.detach().requires_grad_(), centers.detach().requires_grad_()
    way(picture, center).sum().backward()


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _bytes_kept(way: Call, image: Tensor, centers: Tensor) -> float:
    """Bytes that stay in memory between forward and backward: what autograd saves, pictures themselves not counted."""
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if value.is_floating_point() and storage.data_ptr() != image.untyped_storage().data_ptr():
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    center = centers.detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        crops = way(image.detach().requires_grad_(), center)
    return float(sum(kept.values()) + crops.numel() * crops.element_size())


def _claims(spent: dict[str, tuple[float, float]], bytes_of: dict[str, float]) -> list[Claim]:
    ours, affine = spent[OURS], spent[AFFINE]
    claims = [
        Claim(id="affine-forward", better="at_most", target=1.15, value=ours[0] / affine[0],
              text="forward at most 15 % slower than affine_grid + grid_sample of the same size"),
        Claim(id="affine-both", better="at_most", target=1.15, value=ours[1] / affine[1],
              text="forward and backward at most 15 % slower than affine_grid + grid_sample"),
        Claim(id="memory", better="at_most", target=1.05, value=bytes_of[OURS] / bytes_of[AFFINE],
              text="as much memory kept for the backward pass as affine_grid + grid_sample"),
    ]  # fmt: skip
    if PEER in spent:
        claims += [
            Claim(id="peer-forward", better="at_most", target=1.0, value=ours[0] / spent[PEER][0],
                  text="forward no slower than kornia's warp_perspective"),
            Claim(id="peer-both", better="at_most", target=1.0, value=ours[1] / spent[PEER][1],
                  text="forward and backward no slower than kornia's warp_perspective"),
        ]  # fmt: skip
    return claims
