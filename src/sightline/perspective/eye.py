"""A real camera as the layers need it: one for each region, in one type, from pixels to rays and back.

The axes of cameras are the leading ones of the regions: K (batch, 3, 3) belongs to regions (batch, person, 2). What is
no camera is replaced by one before anything is worked out with it, so that it cannot reach gradients, and is marked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, ParamSpec, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera

FOCAL_RANGE_PX = (1e-6, 1e9)
"""Focal lengths beyond are no camera's; a K for coordinates in focal lengths has 1."""
FURTHEST = 1e6
"""Tangents of angles off the axis, and sizes in focal lengths, beyond which a region is nowhere."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


def exactly(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Work a function out in the type that it is given, also under autocast: half precision is pixels off."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        device = next((value.device.type for value in args if isinstance(value, Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return call


def common_dtype(camera: Camera | Tensor, *values: Tensor) -> torch.dtype:
    """Return the type in which geometry is worked out: the widest of those given, at least float32."""
    found = torch.float32
    for dtype in (camera.dtype, *(value.dtype for value in values)):
        found = torch.promote_types(found, dtype) if dtype.is_floating_point else found
    return found


def led(value: Tensor, event: int, regions: Sequence[int], name: str) -> Tensor:
    """Give a value axes of length one behind its own batch axes, so that those are the regions' leading ones.

    Args:
        value: with any batch axes before its own `event` ones.
        event: how many axes are its own.
        regions: batch shape of the regions.
        name: what it is called, for the error.

    Raises:
        ValueError: if the regions do not begin with its batch axes.
    """
    batch = value.shape[: value.dim() - event]
    pairs = zip(batch, regions, strict=False)
    if len(batch) > len(regions) or any(own not in (1, there) for own, there in pairs):
        raise ValueError(f"{name}: expected batch axes that {tuple(regions)} begins with, got {tuple(batch)}")
    return value.reshape([*batch, *[1] * (len(regions) - len(batch)), *value.shape[value.dim() - event :]])


def pinhole_rays(
    intrinsics: Float[Tensor, "*#batch 3 3"], points_px: Float[Tensor, "*#batch 2"]
) -> Float[Tensor, "*batch 3"]:
    """Return K⁻¹ (u, v, 1): the rays (x, y, 1) of pixels, for any upper triangular K, skew included."""
    y = (points_px[..., 1] - intrinsics[..., 1, 2]) / intrinsics[..., 1, 1]
    x = (points_px[..., 0] - intrinsics[..., 0, 2] - intrinsics[..., 0, 1] * y) / intrinsics[..., 0, 0]
    return torch.stack((x, y, torch.ones_like(x)), dim=-1)


class Eye(NamedTuple):
    """A camera for each region of a batch."""

    intrinsics: Float[Tensor, "*batch 3 3"]
    """K, px, of cameras only; batch axes broadcast to the regions'."""
    good: Bool[Tensor, "*batch"]
    """Whether K is a camera's; where not, another one stands in its place."""
    lens: Camera | None
    """The camera itself where it has a lens."""

    @property
    def focal(self) -> Float[Tensor, "*batch 2"]:
        """Focal lengths of x and y, px."""
        return torch.diagonal(self.intrinsics, dim1=-2, dim2=-1)[..., :2]

    @property
    def is_fisheye(self) -> bool:
        """Whether K says nothing of its scale off the axis."""
        return self.lens is not None and self.lens.distortion is not None and self.lens.distortion.is_fisheye

    def rays(
        self, points_px: Float[Tensor, "*batch point 2"]
    ) -> tuple[Float[Tensor, "*batch point 3"], Bool[Tensor, "*batch point"]]:
        """Return rays of pixels, (x, y, 1) or for a lens unit vectors, and which have one; others look ahead."""
        known = points_px.isfinite().all(-1)
        points_px = torch.where(known[..., None], points_px, 0.0)
        if self.lens is not None:
            lead = len(self.lens.batch_shape)
            rays, placed = self.lens.unproject(points_px.flatten(lead, -2))
            placed = placed.reshape(known.shape) & known
            rays = rays.reshape(*known.shape, 3)
        else:
            rays = pinhole_rays(self.intrinsics[..., None, :, :], points_px)
            placed = known & self.good[..., None]
        placed = placed & (rays.abs().amax(-1) < FURTHEST)
        return torch.where(placed[..., None], rays, rays.new_tensor((0.0, 0.0, 1.0))), placed

    def pixels(
        self, rays: Float[Tensor, "*batch point 3"]
    ) -> tuple[Float[Tensor, "*batch point 2"], Bool[Tensor, "*batch point"]]:
        """Return where rays of any length are seen, and which are; zeros elsewhere."""
        if self.lens is not None:
            lead = len(self.lens.batch_shape)
            pixels, seen = self.lens.project(rays.flatten(lead, -2))
            seen = seen.reshape(rays.shape[:-1])
            return torch.where(seen[..., None], pixels.reshape(*rays.shape[:-1], 2), 0.0), seen
        seen = (rays[..., 2] > torch.finfo(rays.dtype).eps) & self.good[..., None]
        plane = rays[..., :2] / torch.where(seen, rays[..., 2], 1.0)[..., None]
        k = self.intrinsics[..., None, :, :]
        x = k[..., 0, 0] * plane[..., 0] + k[..., 0, 1] * plane[..., 1] + k[..., 0, 2]
        y = k[..., 1, 1] * plane[..., 1] + k[..., 1, 2]
        return torch.where(seen[..., None], torch.stack((x, y), dim=-1), 0.0), seen


def eye_of(camera: Camera | Tensor, regions: Sequence[int], dtype: torch.dtype) -> Eye:
    """Return the cameras of regions.

    Args:
        camera: K (..., 3, 3), upper triangular, px, or a `Camera`.
        regions: batch shape of the regions, which begins with the camera's.
        dtype: type in which to work.

    Raises:
        ValueError: if K is no matrix, or the batch shapes do not fit.
    """
    intrinsics = camera.intrinsics if isinstance(camera, Camera) else camera
    if intrinsics.shape[-2:] != (3, 3):
        raise ValueError(f"camera: expected K (..., 3, 3), got {tuple(intrinsics.shape)}")
    intrinsics = led(intrinsics.to(dtype), 2, regions, "camera")
    focal = torch.diagonal(intrinsics, dim1=-2, dim2=-1)[..., :2]
    low, high = FOCAL_RANGE_PX
    good = ((focal > low) & (focal < high)).all(-1) & (intrinsics.abs() < high).flatten(-2).all(-1)
    identity = torch.eye(3, dtype=dtype, device=intrinsics.device)
    intrinsics = torch.where(good[..., None, None], intrinsics, identity)
    lens = camera.to(dtype=dtype) if isinstance(camera, Camera) and not camera.is_pinhole else None
    return Eye(intrinsics, good, lens)
