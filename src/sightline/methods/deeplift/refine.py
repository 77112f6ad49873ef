"""What follows the choice among discrete candidates: the turn between two of them, and full perspective."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift.alignment import Orientation
from sightline.methods.deeplift.projection import Solved
from sightline.methods.deeplift.shapes import to_joints

SWEEPS = 3
FIRST_STEP = math.radians(4.0)
"""Half of a step between two of 80 rotations, and a little more: what the first parabola is laid through."""
_AXES: dict[Orientation, tuple[Literal["x", "y", "z"], ...]] = {"upright": ("z",), "any": ("z", "x", "y")}


def turned_best(
    cost: Callable[[Float[Tensor, "*row 3 3"]], Float[Tensor, "*row"]],
    start: Float[Tensor, "*row 3 3"],
    orientation: Orientation,
    *,
    step: float = FIRST_STEP,
    sweeps: int = SWEEPS,
) -> Float[Tensor, "*row 3 3"]:
    """Turn a body about its own axes to where its cost is least: parabolas through three turns, ever narrower.

    Nothing gets worse: a turn is only taken where it costs less.

    Args:
        cost: −ln p (nats) of a rotation per row.
        start: cam_from_body to start from.
        orientation: upright bodies turn about their vertical axis only.
        step: how far apart (rad) the first three turns are.
        sweeps: how often, with a step a third as wide each time.
    """
    rotation, least = start, cost(start)
    for sweep in range(sweeps):
        width = step / 3**sweep
        for axis in _AXES[orientation]:
            turn = axis_rotation(axis, start.new_tensor(width))
            left, right = cost(rotation @ turn.mT), cost(rotation @ turn)
            bend = left + right - 2 * least
            share = 0.5 * (left - right) / bend.where(bend > 0, 1.0)
            downhill = torch.where(left < right, -1.0, 1.0)
            angle = width * torch.where(bend > 0, share.clamp(-2.0, 2.0), 2.0 * downhill)
            tried = rotation @ axis_rotation(axis, angle)
            found = cost(tried)
            better = found < least
            rotation = torch.where(better[..., None, None], tried, rotation)
            least = torch.where(better, found, least)
    return rotation


def flattened(points: Float[Tensor, "*row 17 2"], found: Solved) -> Float[Tensor, "*row 17 2"]:
    """Return what a camera without perspective would see of landmarks, by the depths that were found.

    A landmark at depth Z₀ + z is seen at (X + X₀) / (Z₀ + z); times 1 + z / Z₀ that is (X + X₀) / Z₀. In body sizes, Z₀
    is the inverse scale itself, so that no length in metres is needed. (DeMenthon and Davis 1995 iterate so for rigid
    objects.)

    Args:
        points: on the plane z = 1.
        found: the pose and scale that the depths come from.
    """
    depth = to_joints(found.shape)[..., 2] / found.inverse_scale[..., None]
    return points * (1 + depth.clamp(-0.5, 1.0))[..., None]
