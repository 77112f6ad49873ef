"""Between pictures and the network: keypoints and camera → its input; its output → metres in the camera's frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera
from sightline.geometry.translation import (
    solve_translation,
    solve_translation_robust,
    weak_perspective_translation,
)
from sightline.methods.abspose.model import REFERENCE_FOCAL_PX, AbsPoseConfig, AbsPoseLifter, Lifted
from sightline.skeleton import get_skeleton

RootRule = Literal["learned", "perspective", "perspective_robust", "weak_perspective", "weak_perspective_lsq"]


def points_from_keypoints(
    keypoints_px: Float[Tensor, "batch joint 2"], camera: Camera, config: AbsPoseConfig
) -> tuple[Float[Tensor, "batch joint 2"], Bool[Tensor, "batch joint"]]:
    """Undistort keypoints and move the principal point to the origin (eq. 1): what the network takes.

    Args:
        keypoints_px: pixels, corner origin.
        camera: one camera, or a batch of as many as there are poses.
        config: says whether the input is pixels or rays.

    Returns:
        Points, and whether each was undistorted (where not, it is NaN).
    """
    xy, valid = camera.normalized(keypoints_px)
    if config.coordinates == "rays":
        return xy * REFERENCE_FOCAL_PX, valid
    return xy * camera.focal_px[..., None, :], valid


def depth_unit_m(camera: Camera, config: AbsPoseConfig, stature_m: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Metres of root depth for one unit of the network's depth output (eq. 6)."""
    unit = stature_m if config.unit == "stature" else torch.ones_like(stature_m)
    if config.coordinates == "pixels" and config.depth == "canonical":
        return unit * camera.focal.to(unit) / REFERENCE_FOCAL_PX
    return unit


def truth_for(
    joints_cam: Float[Tensor, "batch joint 3"],
    camera: Camera,
    config: AbsPoseConfig,
    stature_m: Float[Tensor, " batch"],
) -> Lifted:
    """Return the answer that the network should give for these people (inverse of `decode`)."""
    relative = joints_cam - joints_cam[:, :1]
    if config.unit == "stature":
        relative = relative / stature_m[:, None, None]
    return Lifted(relative=relative, depth=joints_cam[:, 0, 2] / depth_unit_m(camera, config, stature_m))


def flipped_average(lifter: AbsPoseLifter, points: Float[Tensor, "batch joint 2"]) -> Lifted:
    """Average the answers for poses and for their mirror images, mirrored back (`h36m17` joints).

    The points' origin is the principal point already, so mirroring them is the flip done right: x → W − x together
    with c_x → W − c_x.
    """
    order = list(get_skeleton("h36m17").flip)
    mirrored = points[:, order] * points.new_tensor([-1.0, 1.0])
    both = lifter(torch.cat([points, mirrored]))
    count = len(points)
    back = both.relative[count:, order] * points.new_tensor([-1.0, 1.0, 1.0])
    return Lifted((both.relative[:count] + back) / 2, (both.depth[:count] + both.depth[count:]) / 2)


def decode(
    lifted: Lifted,
    keypoints_px: Float[Tensor, "batch joint 2"],
    camera: Camera,
    config: AbsPoseConfig,
    stature_m: Float[Tensor, " batch"] | None = None,
    *,
    root: RootRule = "learned",
) -> Float[Tensor, "batch joint 3"]:
    """Absolute poses in the camera's frame (m) from the network's output (eq. 5 and 6).

    Args:
        lifted: the network's output.
        keypoints_px: the 2D poses that it saw, pixels, corner origin.
        camera: one camera, or a batch of as many as there are poses.
        config: what the network was made of.
        stature_m: the people's heights where lengths are in statures; the config's mean where NaN or None.
        root: where the root comes from: the network's depth and the root's ray, or a solve for the translation that
            fits relative pose and keypoints (paper 002, table 3): by full perspective, plain or robust against
            outliers, or by weak perspective, from the ratio of spreads (Mehta) or by least squares.
    """
    given = torch.full_like(lifted.depth, torch.nan) if stature_m is None else stature_m.to(lifted.depth)
    stature = torch.where(given.isnan(), given.new_tensor(config.mean_stature_m), given)
    relative = lifted.relative * stature[:, None, None] if config.unit == "stature" else lifted.relative
    xy = camera.normalized(keypoints_px)[0].to(relative)
    if root == "learned":
        depth = lifted.depth * depth_unit_m(camera, config, stature)
        place = torch.cat([xy[:, 0] * depth[:, None], depth[:, None]], dim=1)
    else:
        place = _SOLVERS[root](relative, xy)
    return relative + place[:, None]


_SOLVERS: dict[RootRule, Callable[[Tensor, Tensor], Tensor]] = {
    "perspective": solve_translation,
    "perspective_robust": lambda relative, xy: solve_translation_robust(relative, xy).root_cam,
    "weak_perspective": lambda relative, xy: weak_perspective_translation(relative, xy, xy[:, 0]),
    "weak_perspective_lsq": lambda relative, xy: weak_perspective_translation(
        relative, xy, xy[:, 0], rule="least_squares"
    ),
}
