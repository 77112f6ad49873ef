"""Projection and its inverse as pure functions of focal length, principal point and lens; `Camera` is their face.

Lens parameters carry the batch axes of the cameras, points one axis more: n of them per camera. Invalid points get
finite stand-ins before anything is divided, so that no gradient is ever NaN; the caller marks them afterwards.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.geometry.distortion import Distortion

_MIN_DEPTH = 1e-6  # metres; nearer to the plane of the camera, or behind it, nothing is seen through a flat picture
_MAX_FLAT_ANGLE = math.radians(89.0)  # of fisheye rays that are still put onto the plane z = 1


class Lens(NamedTuple):
    """What maps between the camera frame and pixels: focal lengths and principal point (px), and the distortion."""

    focal_px: Float[Tensor, "*batch 2"]
    center_px: Float[Tensor, "*batch 2"]
    distortion: Distortion | None

    @property
    def is_fisheye(self) -> bool:
        """Whether the lens bends rays rather than the plane z = 1."""
        return self.distortion is not None and self.distortion.is_fisheye


def per_point(value: Float[Tensor, "*batch axis"]) -> Float[Tensor, "*out axis"]:
    """One vector per camera, made to broadcast over that camera's points."""
    return value.unsqueeze(-2) if value.dim() > 1 else value


def pixels_from_points(
    lens: Lens, points_cam: Float[Tensor, "*points 3"]
) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
    """Project points (m); finite pixels and which are valid."""
    if lens.distortion is not None and lens.is_fisheye:
        xy, valid = lens.distortion.distort_rays(points_cam)
        return pixels_from_plane(lens, xy), valid
    xy, valid = _flattened(points_cam, _MIN_DEPTH)
    if lens.distortion is not None:
        xy, inside = lens.distortion.distort(xy)
        valid = valid & inside
    return pixels_from_plane(lens, xy), valid


def pixels_from_plane(lens: Lens, xy: Float[Tensor, "*points 2"]) -> Float[Tensor, "*out 2"]:
    """Apply K: focal length and principal point, no distortion."""
    return torch.addcmul(per_point(lens.center_px), xy, per_point(lens.focal_px))


def plane_from_pixels(
    lens: Lens, points_px: Float[Tensor, "*points 2"]
) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
    """Return undistorted (x/z, y/z), finite, and which are valid: of a fisheye, those less than 89° off the axis."""
    if lens.is_fisheye:
        rays, valid = rays_from_pixels(lens, points_px)
        xy, flat = _flattened(rays, math.cos(_MAX_FLAT_ANGLE))
        return xy, valid & flat
    xy, finite = _bent_from_pixels(lens, points_px)
    if lens.distortion is None:
        return xy, finite
    xy, valid = lens.distortion.undistort(xy)
    return xy, valid & finite


def rays_from_pixels(
    lens: Lens, points_px: Float[Tensor, "*points 2"]
) -> tuple[Float[Tensor, "*out 3"], Bool[Tensor, "*out"]]:
    """Return unit rays of the camera frame, finite, and which are valid."""
    if lens.distortion is not None and lens.is_fisheye:
        xy, finite = _bent_from_pixels(lens, points_px)
        rays, valid = lens.distortion.undistort_rays(xy)
        return rays, valid & finite
    xy, valid = plane_from_pixels(lens, points_px)
    return torch.nn.functional.normalize(torch.cat((xy, torch.ones_like(xy[..., :1])), -1), dim=-1), valid


def _bent_from_pixels(lens: Lens, points_px: Tensor) -> tuple[Tensor, Tensor]:
    """Return (pixel − centre) / focal, 0 for pixels that are not finite, and which are."""
    finite = points_px.sum(-1).isfinite()
    center = per_point(lens.center_px)
    return (torch.where(finite.unsqueeze(-1), points_px, center) - center) / per_point(lens.focal_px), finite


def _flattened(points: Tensor, min_depth: float) -> tuple[Tensor, Tensor]:
    """Return (x/z, y/z), 0 for points that are not finite or not before `min_depth`, and which are."""
    x, y, z = points.detach().unbind(-1)
    valid = (z > min_depth) & (x.abs() + y.abs() + z < torch.inf)
    safe = torch.where(valid.unsqueeze(-1), points, points.new_tensor((0.0, 0.0, 1.0)))
    return safe[..., :2] / safe[..., 2:], valid
