"""How a clip stands on the floor: raised out of it, and ankles as high over it as the body's are over its soles."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body._ik_body import ROW
from sightline.body._ik_feet import LYING, UPRIGHT, Ground
from sightline.body._ik_rig import Rig
from sightline.body._ik_rotations import smoothstep

ANKLE_REACH_M: Final = 0.05
"""By so much at most ankles are aimed higher or lower than the clip has them, with shins as much shorter or longer, so
that feet stand on the floor instead of in it or over it. Who would be deeper in it is raised as a whole; who would be
higher over it does not stand."""

_ANKLES: Final = [ROW["LAnkle"], ROW["RAnkle"]]
_KNEES: Final = [ROW["LKnee"], ROW["RKnee"]]
_LOWEST: Final = 0.1
"""Quantile of the heights of ankles that counts as where they stand."""


class Footing(NamedTuple):
    """What is added to the heights of a clip (m)."""

    raised_m: float
    """To all joints, and"""
    ankle_lift_m: float
    """to the ankles."""


def footing(rig: Rig, targets: Float[Tensor, "frame landmark 3"], ground: Ground | None, raised: bool) -> Footing:
    """Return what has to be added for the body's feet to stand on the floor where a clip's ankles are lowest."""
    if ground is None:
        return Footing(0.0, 0.0)
    heights = _heights(targets[:, _ANKLES], ground)
    heights = heights[heights.isfinite()]
    if not len(heights):
        return Footing(0.0, 0.0)
    missing = float(_stands(rig) - heights.quantile(_LOWEST))
    if missing > ANKLE_REACH_M:
        return Footing(missing if raised else 0.0, 0.0)
    return Footing(0.0, missing if missing >= -ANKLE_REACH_M else 0.0)


def stood(
    rig: Rig, targets: Float[Tensor, "frame landmark 3"], its: Footing, ground: Ground | None
) -> Float[Tensor, "frame landmark 3"]:
    """Return the targets so raised, and ankles under upright shins nowhere lower than where they stand."""
    if ground is None:
        return targets
    up = targets.new_tensor(ground.up)
    targets = targets + its.raised_m * up
    ankles = targets[:, _ANKLES] + its.ankle_lift_m * up
    shins = targets[:, _KNEES] - ankles
    upright = smoothstep((shins @ up) / torch.linalg.vector_norm(shins, dim=-1), LYING, UPRIGHT)
    missing = (_stands(rig) - _heights(ankles, ground)).clamp(min=0.0) * upright.nan_to_num(0.0)
    stood = targets.clone()
    stood[:, _ANKLES] = ankles + missing[..., None] * up
    return stood


def _heights(points: Tensor, ground: Ground) -> Tensor:
    return points @ points.new_tensor(ground.up) - ground.height_m


def _stands(rig: Rig) -> Tensor:
    """How high the ankle of the first body lies over the sole."""
    return rig.joints[0, rig.index[rig.articulation.foot[0]], 1] - rig.sole_y[0]
