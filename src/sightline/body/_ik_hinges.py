"""Knees and elbows: which way they bend where they are straight, and how far for an ankle to reach its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body._ik_rotations import constant, swing, turned, unit

_ARM_FORWARDS: Final = (0.32, -0.19, 0.93)
_ELBOW_AXIS: Final = (-0.71, -0.69, 0.1)
"""A direction of the left upper arm in the chest's frame, and the axis of the elbow there, fitted to the bent elbows of
310 clips of motion capture; directions that nobody's arm takes lie opposite."""

_FORWARD_M: Final = 0.01
"""How far a knee has to be off the line from hip to ankle to say where it points."""


def straight_axis(
    upper: Float[Tensor, "batch side 3"], start: Sequence[str], chest: Float[Tensor, "batch 1 3 3"] | None
) -> Float[Tensor, "batch side 3"]:
    """About which axis a straight knee or elbow would bend, given the direction of the thigh or upper arm.

    `start` names the hip or shoulder of each side. Knees about the axis to the left. Elbows as most people's do, in the
    frame of the `chest` (None: at rest): as if the arm had swung, without twist, from where it points forwards.
    """
    if start[0].endswith("Hip"):
        return constant((1.0, 0.0, 0.0), upper).expand_as(upper)
    mirrors = [1.0 if name.startswith("L") else -1.0 for name in start]
    forwards = constant([(mirror * _ARM_FORWARDS[0], *_ARM_FORWARDS[1:]) for mirror in mirrors], upper)
    axis = constant([(_ELBOW_AXIS[0], *(mirror * part for part in _ELBOW_AXIS[1:])) for mirror in mirrors], upper)
    seen = upper if chest is None else turned(chest.mT, upper)
    swung = turned(swing(forwards, seen), axis.expand_as(upper))
    return swung if chest is None else turned(chest, swung)


def hinge_towards(
    hinge: Float[Tensor, "*batch 3"],
    end: Float[Tensor, "*batch 3"],
    segments: tuple[Float[Tensor, "*#batch 3"], Float[Tensor, "*#batch 3"]],
    axis: Float[Tensor, "*batch 3"],
) -> Float[Tensor, "*batch 3"]:
    """Return where a knee has to lie so that the ankle reaches `end`; all as seen from the hip (m).

    The law of cosines, in the plane of the knee that was wished for; forwards of `axis` (to the left) where that lies
    on the line. Where the end is out of reach the limb is straight.
    """
    upper, lower = (torch.linalg.vector_norm(segment, dim=-1, keepdim=True) for segment in segments)
    along = unit(end, hinge)
    far = torch.linalg.vector_norm(torch.where(end.isfinite(), end, 0.0) + 1e-12, dim=-1, keepdim=True)
    far = far.clamp(min=1e-3).maximum((upper - lower).abs() * 1.001).minimum((upper + lower) * 0.9999)
    projected = (upper.square() + far.square() - lower.square()) / (2.0 * far)
    aside = (upper.square() - projected.square()).clamp(min=1e-12).sqrt()
    forward = unit(torch.linalg.cross(along, axis, dim=-1), axis)
    bent = hinge - (hinge * along).sum(-1, keepdim=True) * along + _FORWARD_M * forward
    return projected * along + aside * unit(bent, forward)
