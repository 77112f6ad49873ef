"""Homographies between the pictures of pinhole cameras at one place, and warping points and images by them.

A homography named `b_from_a` takes pixels of picture a to pixels of picture b (corner origin, column vectors).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Pinhole(Protocol):
    """What a homography needs to know of a camera."""

    @property
    def focal_px(self) -> Float[Tensor, "*batch 2"]:
        """Focal lengths of x and y, px."""
        ...

    @property
    def center_px(self) -> Float[Tensor, "*batch 2"]:
        """Principal point, px."""
        ...

    @property
    def intrinsics(self) -> Float[Tensor, "*batch 3 3"]:
        """The matrix K."""
        ...

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight."""
        ...


def homography_between(
    cam_from: Pinhole, cam_to: Pinhole, to_from_from: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """Return the homography that takes pixels of one camera to those of another at the same place: K_to R K_from⁻¹.

    Its scale is such that the third coordinate of a mapped pixel is positive exactly where the other camera has the
    ray before it. Hartley & Zisserman, section 8.4.

    Args:
        cam_from: pinhole camera the pixels are of; `ValueError` for a distorted one (`undistort` its pixels first).
        cam_to: pinhole camera they are taken to.
        to_from_from: rotation from the frame of `cam_from` to that of `cam_to`, as `turned_towards` returns it.
    """
    for name, camera in (("cam_from", cam_from), ("cam_to", cam_to)):
        if not camera.is_pinhole:
            raise ValueError(f"{name}: expected a pinhole camera, got one with distortion; undistort its pixels first")
    return cam_to.intrinsics @ to_from_from @ _inverse_intrinsics(cam_from)


def warp_points(
    to_from_from: Float[Tensor, "*#batch 3 3"], points_px: Float[Tensor, "*#batch point 2"]
) -> Float[Tensor, "*batch point 2"]:
    """Take pixels through a homography; NaN where they are not finite or do not land before the other camera.

    One homography per batch element, and any number of points for each. Gradients stay finite.
    """
    x, y = points_px.unbind(-1)
    finite = (x + y).isfinite()
    safe = torch.where(finite.unsqueeze(-1), points_px, 0.0)
    mapped = safe @ to_from_from[..., :2].transpose(-1, -2) + to_from_from[..., 2].unsqueeze(-2)
    depth = mapped[..., 2:]
    before = depth > torch.finfo(depth.dtype).eps
    pixels = mapped[..., :2] / torch.where(before, depth, 1.0)
    return torch.where(before & finite.unsqueeze(-1), pixels, torch.nan)


def warp_image(
    image: Float[Tensor, "batch channel height width"],
    to_from_from: Float[Tensor, "*#batch 3 3"],
    size_wh: tuple[int, int],
) -> Float[Tensor, "batch channel out_height out_width"]:
    """Warp images through homographies: what `warp_points` does to points, this does to the picture under them.

    Every pixel centre of the new picture is taken back and sampled bilinearly; black outside the image. Shrinking by
    more than 2 aliases: smooth or shrink the image first.

    Args:
        image: float images.
        to_from_from: pixels of the image to pixels of the result; one for all images, or one each.
        size_wh: width and height of the result, px.
    """
    width, height = size_wh
    if width < 1 or height < 1:
        raise ValueError(f"size_wh: expected a positive width and height, got {size_wh}")
    from_from_to = torch.linalg.inv(to_from_from)
    columns = torch.arange(width, dtype=image.dtype, device=image.device) + 0.5
    rows = torch.arange(height, dtype=image.dtype, device=image.device) + 0.5
    centres = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).flatten(0, 1)
    points_px = warp_points(from_from_to.to(image.dtype), centres)
    return sample_image(image, points_px.expand(len(image), -1, -1).unflatten(1, (height, width)))


def sample_image(
    image: Float[Tensor, "batch channel height width"], points_px: Float[Tensor, "batch rows columns 2"]
) -> Float[Tensor, "batch channel rows columns"]:
    """Look up images bilinearly at pixels (corner origin); black outside the image and at NaN. Differentiable.

    Any map between pictures, distorting lenses included, warps an image so:
    `sample_image(image, camera.project(virtual.unproject(pixels)[0])[0])`.
    """
    size = points_px.new_tensor((image.shape[-1], image.shape[-2]))
    outside = points_px.new_tensor(-10.0)
    grid = torch.where(points_px.isfinite(), 2.0 * points_px / size - 1.0, outside).clamp(-10.0, 10.0)
    return torch.nn.functional.grid_sample(image, grid, padding_mode="zeros", align_corners=False)


def _inverse_intrinsics(camera: Pinhole) -> Tensor:
    """Return K⁻¹ in closed form."""
    (fx, fy), (cx, cy) = camera.focal_px.unbind(-1), camera.center_px.unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    entries = (1.0 / fx, zero, -cx / fx, zero, 1.0 / fy, -cy / fy, zero, zero, one)
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))
