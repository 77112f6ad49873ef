"""A second opinion on keypoints that are exact: AbsPoseLifter, where its pose covers what was seen.

A network that has learned to live with detectors' faults trusts no keypoint to the pixel. The paper's lifter does, and
is the better one where that is deserved, the worse one where it is not. Which is the case the person's own keypoints
tell: the pose that it makes of exact ones lies on their rays, while noise leaves it no body that does. So it lifts as
well, joints that were not seen taken from the first answer and then from its own, and the two answers are mixed by how
far its pose is off.

It needs the joints of `h36m17` as such: those of other joint sets lie beside them, which nothing tells it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.methods.abspose.decode import flipped_average
from sightline.methods.abspose.error_model import BOX_FACTOR, CROP_PX
from sightline.methods.abspose.model import REFERENCE_FOCAL_PX, AbsPoseLifter
from sightline.methods.abspose.partial import JOINTS, Detected, PartialLifted, place_of, truth_of

HALF_PX = 3.0
"""Mean distance, in pixels of the person's 256-pixel crop, of its joints from what was seen at which both count half:
about what noise of 3 px leaves, at which the two lifters are on a par."""


REFILLS = 8
"""How often people of whom joints are missing are lifted: each time those are where the answer before has them."""


def check_partner(exact: AbsPoseLifter) -> None:
    """Raise `ValueError` unless a network thinks in rays and statures as partial lifters do."""
    config = exact.config
    if (config.coordinates, config.unit, config.joints) != ("rays", "stature", JOINTS):
        raise ValueError(
            f"expected a lifter of {JOINTS} joints in rays and statures beside this one, got one of "
            f"{config.joints} joints in {config.coordinates} and units of {config.unit}"
        )


def second_opinion(lifted: PartialLifted, detected: Detected, exact: AbsPoseLifter) -> PartialLifted:
    """Mix an answer with that of the paper's lifter, person by person, by how well the latter covers what was seen.

    Args:
        lifted: the partial lifter's answer; its half-widths and rivals stay as they are.
        detected: what it saw; the joints of `h36m17` are anatomical ones.
        exact: a lifter in rays and statures, in evaluation mode.
    """
    seen = detected.seen[:, :JOINTS]
    found = _projected((lifted.relative + place_of(lifted)[:, None]) @ lifted.cam_from_turned.mT)
    points = torch.where(seen[..., None], detected.rays[:, :JOINTS], found)
    joints = _lifted(points, exact)
    lacking = torch.nonzero(~seen.all(1))[:, 0]
    if len(lacking):
        points, joints = _refilled(points, joints, seen, lacking, exact)
    found = _projected(joints)
    share = _share(found, points, seen)
    share = torch.where(((joints[..., 2] > 0.05) & joints.isfinite().all(-1)).all(1), share, 0.0)
    relative, place = truth_of(joints.nan_to_num(), torch.ones_like(share), lifted)
    return lifted._replace(
        relative=lifted.relative.lerp(relative, share[:, None, None]),
        root=lifted.root.lerp(place, share[:, None]),
        exactness=share * _complete(seen),
    )


def _refilled(
    points: Tensor, joints: Tensor, seen: Tensor, lacking: Tensor, exact: AbsPoseLifter
) -> tuple[Tensor, Tensor]:
    """Lift those who lack joints again and again, what they lack taken from the answer before: points and poses."""
    known, moving, answer = seen[lacking], points[lacking], joints[lacking]
    for _ in range(REFILLS - 1):
        moving = torch.where(known[..., None], moving, _projected(answer))
        answer = _lifted(moving, exact)
    return points.index_copy(0, lacking, moving), joints.index_copy(0, lacking, answer)


def _lifted(points: Float[Tensor, "batch 17 2"], exact: AbsPoseLifter) -> Float[Tensor, "batch 17 3"]:
    """The paper's lifter's pose in statures, the camera's frame, for complete joints in tangents."""
    answer = flipped_average(exact, points * REFERENCE_FOCAL_PX)
    root = torch.cat([points[:, 0], torch.ones_like(points[:, 0, :1])], dim=1) * answer.depth[:, None]
    return answer.relative + root[:, None]


def _complete(seen: Tensor) -> Float[Tensor, " batch"]:
    """1 for people of whom every joint was seen, 0 where three in ten were not: their joints are guesses to both."""
    return ((seen.float().mean(1) - 0.7) / 0.3).clamp(0.0, 1.0)


def _projected(joints: Float[Tensor, "batch 17 3"]) -> Float[Tensor, "batch 17 2"]:
    return joints[..., :2] / joints[..., 2:].clamp_min(0.05)


def _share(found: Tensor, points: Tensor, seen: Tensor) -> Float[Tensor, " batch"]:
    """How much the second opinion counts: 1 where its joints lie on what was seen, 0 where far from it."""
    size = BOX_FACTOR * (points.amax(1) - points.amin(1)).amax(-1).clamp_min(1e-6)
    weight = seen.to(points.dtype)
    off = ((found - points).norm(dim=-1) * weight).sum(1) / weight.sum(1).clamp_min(1.0) / size * CROP_PX
    return torch.sigmoid(6.0 * (1.0 - off / HALF_PX))
