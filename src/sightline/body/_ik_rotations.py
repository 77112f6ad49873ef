"""Rotations that inverse kinematics is made of, each with an answer where the geometry has none; differentiable.

Directions need not be unit vectors. A direction that is zero or not finite leaves things as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

DOUBT, BENT = 0.35, 0.71
"""Sines of the angle of a hinge: up to the first (20°) it may seem bent the wrong way because joints are inaccurate,
above the second (45°) its plane says all."""

_TWIST_FULL, _TWIST_NONE = math.radians(135.0), math.radians(180.0)
_SPREAD, _PRIOR = 0.02, 0.001
"""Vectors whose second singular value is a smaller part of the first lie on a line; then a prior breaks the tie."""

IDENTITY: Final = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_SKEW: Final = ((0, 0, 0, 0, 0, -1, 0, 1, 0), (0, 0, 1, 0, 0, 0, -1, 0, 0), (0, -1, 0, 1, 0, 0, 0, 0, 0))
"""v @ this is the matrix, row by row, that takes x to v × x."""


def constant(values: Sequence[Any], like: Tensor) -> Tensor:
    """Return numbers as a tensor of the type and device of another; made once, never to be written to."""
    return _constant(tuple(values), like.dtype, like.device)


@lru_cache(maxsize=128)
def _constant(values: tuple[Any, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is made in that mode could not take part in gradients later
        return torch.tensor(values, dtype=dtype, device=device)


def usable(direction: Float[Tensor, "*batch 3"]) -> Bool[Tensor, "*batch"]:
    """Whether a direction is finite and longer than nothing."""
    length = torch.linalg.vector_norm(direction.detach(), dim=-1)
    return (length > _nothing(length.dtype)) & (length < math.inf)


def unit(direction: Float[Tensor, "*batch 3"], otherwise: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return the direction with length 1, or `otherwise` where it is no direction."""
    safe = torch.where(usable(direction)[..., None], direction, otherwise)
    return safe / torch.linalg.vector_norm(safe, dim=-1, keepdim=True)


def perpendicular(direction: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return one unit vector across a direction, always the same one: z made perpendicular, or y near the z axis."""
    z, y = constant((0.0, 0.0, 1.0), direction), constant((0.0, 1.0, 0.0), direction)
    along = unit(direction, y)
    start = torch.where((along[..., 2:].abs() > 0.8), y, z)
    return unit(start - (start * along).sum(-1, keepdim=True) * along, y)


def swing(source: Float[Tensor, "*#batch 3"], target: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation by the smallest angle from one direction to another.

    For opposite directions half a turn about `perpendicular(source)`; the identity where one is no direction. It is
    I + 2 b aᵀ − 2 h hᵀ for the unit vectors a, b and h halfway between them: reflections at the planes across a and h.
    """
    source, target = _both_unit(source, target)
    middle = source + target
    length = torch.linalg.vector_norm(middle.detach(), dim=-1, keepdim=True)
    apart = length > 4.0 * math.sqrt(torch.finfo(length.dtype).eps)
    opposite = not bool(apart.all())
    if opposite:
        middle = torch.where(apart, middle, source)
    middle = middle / torch.linalg.vector_norm(middle, dim=-1, keepdim=True)
    identity = constant(IDENTITY, source)
    turn = torch.add(identity, _outer(target, source) - _outer(middle, middle), alpha=2.0)
    if not opposite:
        return turn
    axis = perpendicular(source.detach())
    return torch.where(apart[..., None], turn, 2.0 * _outer(axis, axis) - identity)


def about(axis: Float[Tensor, "*#batch 3"], angle_rad: Float[Tensor, "*#batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation about a unit axis by an angle, by the right-hand rule (Rodrigues)."""
    angle = angle_rad[..., None, None]
    cosine, skew = angle.cos(), (axis @ constant(_SKEW, axis)).unflatten(-1, (3, 3))
    return cosine * constant(IDENTITY, axis) + angle.sin() * skew + (1.0 - cosine) * _outer(axis, axis)


def twist_angle(
    axis: Float[Tensor, "*#batch 3"], source: Float[Tensor, "*#batch 3"], target: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch"]:
    """Return the angle (rad, −π to π) about a unit axis that takes `source` to `target`, seen along the axis.

    0 where one of them lies along the axis or is no direction.
    """
    source, target = _both_unit(source, target)
    aside = source - (source * axis).sum(-1, keepdim=True) * axis
    sine = (torch.linalg.cross(aside, target, dim=-1) * axis).sum(-1)
    cosine = (aside * target).sum(-1)
    fine = torch.hypot(sine.detach(), cosine.detach()) > 4.0 * torch.finfo(axis.dtype).eps
    return torch.atan2(torch.where(fine, sine, 0.0), torch.where(fine, cosine, 1.0))


def shared_twist(angle_rad: Float[Tensor, "*batch"], share: float) -> Float[Tensor, "*batch"]:
    """Return the part of a twist that an upper bone takes over; falls to 0 at half a turn, so that it never jumps."""
    return share * angle_rad * (1.0 - smoothstep(angle_rad.abs(), _TWIST_FULL, _TWIST_NONE))


def smoothstep(value: Float[Tensor, "*batch"], low: float, high: float) -> Float[Tensor, "*batch"]:
    """Return 0 below `low`, 1 above `high`, and between them a cubic with no kink."""
    share = ((value - low) / (high - low)).clamp(0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def hinge_axis(
    upper: Float[Tensor, "*batch 3"], lower: Float[Tensor, "*batch 3"], straight: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Return the unit axis about which a knee or elbow is bent: upper × lower, or `straight` where it is not bent.

    Between the two it blends smoothly, and a hinge that is bent a little against `straight` counts as overstretched.
    `upper` and `lower` are the bones' directions.
    """
    along = unit(upper, straight)
    crossed = torch.linalg.cross(along, unit(lower, along), dim=-1)
    crossed = torch.where(usable(upper)[..., None], crossed, 0.0)
    sine = crossed.square().sum(-1, keepdim=True).clamp(min=1e-24).sqrt()
    flat = straight - (straight * along).sum(-1, keepdim=True) * along
    doubt = DOUBT * (1.0 - smoothstep(sine, DOUBT, BENT))
    return unit(crossed + doubt * unit(flat, straight), straight)


def frame_rotation(
    rest_main: Float[Tensor, "*#batch 3"],
    rest_side: Float[Tensor, "*#batch 3"],
    main: Float[Tensor, "*#batch 3"],
    side: Float[Tensor, "*#batch 3"],
    otherwise: Float[Tensor, "*#batch 3 3"],
) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation that takes `rest_main` along `main` and turns `rest_side` as near to `side` as that allows.

    What is missing or parallel is taken from the rotation `otherwise`: the main direction, or the twist about it.
    """
    expected = turned(otherwise, rest_main)
    main, expected = torch.broadcast_tensors(main, expected)
    along = unit(main, unit(expected, constant((0.0, 1.0, 0.0), expected)))
    swung = swing(expected, along) @ otherwise
    angle = twist_angle(along, turned(swung, rest_side), side)
    return about(along, angle) @ swung


def procrustes_rotation(
    rest: Float[Tensor, "*#batch point 3"],
    target: Float[Tensor, "*#batch point 3"],
    weights: Float[Tensor, "*#batch point"],
    otherwise: Float[Tensor, "*#batch 3 3"],
) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation R with the least Σ w ‖R rest − target‖² (orthogonal Procrustes); vectors from a common point.

    Where they lie nearly on one line (one vector, or none) the rotation `otherwise` settles the rest: of the rotations
    that fit, the one nearest to it. Weights of 0 take a vector out, which may then be NaN.
    """
    weights = weights[..., None]
    rest, target = torch.where(weights > 0, rest, 0.0), torch.where(weights > 0, target, 0.0)
    covariance = (weights * target).mT @ rest
    covariance, otherwise = torch.broadcast_tensors(covariance, otherwise)
    scale = torch.linalg.matrix_norm(covariance.detach())[..., None, None]
    covariance = covariance / torch.where(scale > 0, scale, 1.0)
    left, values, right = torch.linalg.svd(covariance.detach())
    swung = swing(turned(otherwise, right[..., 0, :]), left[..., :, 0]).detach() @ otherwise
    swung = torch.where(scale > 0, swung, otherwise)
    prior = _PRIOR * (1.0 - values[..., 1:2, None].clamp(max=_SPREAD) / _SPREAD).square()
    return cast(Tensor, roma.special_procrustes(covariance + prior * swung))


def between(
    first: Float[Tensor, "*#batch 3 3"], second: Float[Tensor, "*#batch 3 3"], share: float | Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation that lies the share 0…1 of the way from `first` to `second`, along the shortest path."""
    first, second = torch.broadcast_tensors(first, second)
    part = share[..., None] if isinstance(share, Tensor) else share
    return first @ roma.rotvec_to_rotmat(part * roma.rotmat_to_rotvec(first.mT @ second))


def turned(rotation: Float[Tensor, "*#batch 3 3"], vector: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return the vector turned."""
    return (rotation @ vector[..., None])[..., 0]


def _both_unit(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Two directions with length 1; y for both where one of them is none."""
    both = torch.stack(torch.broadcast_tensors(source, target))
    safe = torch.where(usable(both).all(0)[..., None], both, constant((0.0, 1.0, 0.0), both))
    first, second = (safe / torch.linalg.vector_norm(safe, dim=-1, keepdim=True)).unbind(0)
    return first, second


def _outer(column: Tensor, row: Tensor) -> Tensor:
    return column[..., :, None] * row[..., None, :]


@lru_cache(maxsize=4)
def _nothing(dtype: torch.dtype) -> float:
    """The length at and below which a vector has no direction."""
    return math.sqrt(torch.finfo(dtype).tiny)
