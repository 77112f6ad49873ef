"""Poses as cameras see them: turned at random, in the camera's axes, about the middle of the torso."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.geometry.rotation import axis_rotation, rotation_from_pitch_roll
from sightline.skeleton import Skeleton, conversion, get_skeleton, landmark_of

TORSO: Final = ("LHip", "RHip", "LShoulder", "RShoulder")
"""Whose mean is the origin of LCR-Net's 3D poses."""
_H36M: Final = get_skeleton("h36m17")
_LEVEL_FROM_WORLD: Final = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True, kw_only=True)
class ViewSpread:
    """From where people are looked at: from all around, and mostly from somewhat above."""

    pitch_deg: tuple[float, float] = (-35.0, 15.0)
    """Lowest and highest pitch of the cameras; positive ones look up."""
    roll_deg: float = 5.0
    """Standard deviation."""
    mirrored_share: float = 0.5

    def __post_init__(self) -> None:
        low, high = self.pitch_deg
        if not (-90 <= low <= high <= 90 and 0 <= self.roll_deg <= 90 and 0 <= self.mirrored_share <= 1):
            raise ValueError(
                "views: expected pitch_deg rising within ±90, roll_deg from 0 to 90 and mirrored_share from 0 to 1, "
                f"got {self}"
            )


def torso_rows(skeleton: Skeleton) -> list[int]:
    """Return the joints whose mean is the origin.

    Raises:
        ValueError: for a joint set without hips or shoulders.
    """
    names = [landmark_of(skeleton, joint) for joint in skeleton.joints]
    if missing := [name for name in TORSO if name not in names]:
        raise ValueError(f"skeleton {skeleton.name}: without {', '.join(missing)} it has no torso")
    return [names.index(name) for name in TORSO]


def about_the_torso(joints_m: Float[Tensor, "*batch joint 3"], skeleton: Skeleton) -> Float[Tensor, "*batch joint 3"]:
    """Return poses whose origin is the mean of hips and shoulders."""
    return joints_m - joints_m[..., torso_rows(skeleton), :].mean(-2, keepdim=True)


def drawn_views(
    joints_world: Float[Tensor, "pose 17 3"],
    count: int,
    skeleton: Skeleton,
    generator: torch.Generator,
    spread: ViewSpread | None = None,
) -> Float[Tensor, "count joint 3"]:
    """Return poses of a library, drawn with replacement, as cameras see them (m, x right, y down, z ahead).

    Args:
        joints_world: joints of h36m17, z up (m).
        count: how many views.
        skeleton: in which joints; each must follow from those of h36m17.
        generator: of all chance.
        spread: how cameras lie.

    Raises:
        ValueError: where there are no poses, or a joint does not follow.
    """
    spread = spread or ViewSpread()
    if len(joints_world) == 0 or count < 1:
        raise ValueError(f"views: expected poses and a positive count, got {len(joints_world)} poses and {count}")
    rule = conversion(_H36M, skeleton)
    if rule.missing:
        raise ValueError(f"skeleton {skeleton.name}: {', '.join(rule.missing)} do not follow from h36m17")

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=joints_world.dtype)

    rows = torch.randint(len(joints_world), (count,), generator=generator)
    heading = uniform(0.0, 2 * math.pi)
    pitch = uniform(*(math.radians(value) for value in spread.pitch_deg))
    roll = math.radians(spread.roll_deg) * torch.randn(count, generator=generator, dtype=joints_world.dtype)
    mirrored = torch.rand(count, generator=generator) < spread.mirrored_share
    weights = torch.from_numpy(rule.weights.copy()).to(joints_world.dtype)
    joints = torch.einsum("jk,nkd->njd", weights, joints_world[rows])
    flipped = joints[:, list(skeleton.flip)] * joints.new_tensor((-1.0, 1.0, 1.0))
    joints = torch.where(mirrored[:, None, None], flipped, joints)
    level = joints.new_tensor(_LEVEL_FROM_WORLD) @ axis_rotation("z", heading)
    turns = rotation_from_pitch_roll(pitch, roll) @ level
    return about_the_torso(joints @ turns.mT, skeleton)
