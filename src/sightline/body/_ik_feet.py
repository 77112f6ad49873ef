"""Where no landmark tells how a foot lies: level on the floor while it stands, in line with the shin in the air."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body._ik_rig import Rig
from sightline.body._ik_rotations import about, between, frame_rotation, smoothstep, unit

_STANDS_M, _FREE_M = 0.01, 0.06
"""Ankles less than the first above where they stand have the foot level; more than the second, free."""

LYING, UPRIGHT = -0.2, 0.3
"""Cosines between shin and upwards: below the first nobody stands on the foot, above the second one may."""

_STEEPEST = 0.999


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The floor in the frame of the targets."""

    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Unit vector away from the floor."""
    height_m: float = 0.0
    """Of the floor along `up`."""


def grounded_foot(
    rig: Rig, row: int, shin: Float[Tensor, "batch 3 3"], ankle: Float[Tensor, "batch 3"], ground: Ground
) -> Float[Tensor, "batch 3 3"]:
    """Return the rotation of the left (0) or right (1) foot under a shin, with the ankle in its place (m).

    Near where it stands the sole is level and points where the knee does; in the air the foot keeps its angle with the
    shin; toes and heel stay above the floor as far as the ankle leaves room.
    """
    up = shin.new_tensor(ground.up).expand_as(ankle)
    at_rest = rig.joints[:, rig.index[rig.articulation.foot[row]]]
    room = (ankle * up).sum(-1) - ground.height_m
    stands = at_rest[:, 1] - rig.sole_y
    x, y, z = torch.eye(3, dtype=shin.dtype, device=shin.device).unbind(0)
    side = shin @ x
    level = frame_rotation(y, z, up, unit(torch.linalg.cross(side, up, dim=-1), shin @ z), shin)
    upright = smoothstep(((shin @ y) * up).sum(-1), LYING, UPRIGHT)
    free = 1.0 - upright * (1.0 - smoothstep(room - stands, _STANDS_M, _FREE_M))
    foot = between(level, shin, free)
    room = room + upright * (stands - room).clamp(min=0.0)
    (right, left), toe, heel = rig.sides_x[:, row].unbind(-1), rig.toe_z[:, row], rig.heel_z[:, row]
    for across, along in ((right, toe), (left, toe), (at_rest[:, 0], heel)):
        contact = torch.stack((across, rig.sole_y, along), dim=-1) - at_rest
        foot = _lifted(foot, contact, up, room.clamp(min=0.0))
    return foot


def _lifted(foot: Tensor, contact: Tensor, up: Tensor, room: Tensor) -> Tensor:
    """Turn a foot upwards about its ankle until a point of it is not further below the ankle than there is room."""
    below = (foot @ contact[..., None])[..., 0]
    length = torch.linalg.vector_norm(contact, dim=-1)
    slope = ((below * up).sum(-1) / length).clamp(-_STEEPEST, _STEEPEST)
    wanted = (-room / length).clamp(-_STEEPEST, _STEEPEST)
    axis = unit(torch.linalg.cross(below, up, dim=-1), -foot[..., 0])
    return about(axis, (wanted.asin() - slope.asin()).clamp(min=0.0)) @ foot
