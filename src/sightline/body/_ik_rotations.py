"""Rotations that inverse kinematics is made of, each with an answer where the geometry has none; differentiable.

Directions need not be unit vectors. A direction that is zero or not finite leaves things as they are.
"""

from __future__ import annotations

import math
from typing import cast

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.geometry.rotation import shortest_rotation

DOUBT, BENT = 0.35, 0.71
"""Sines of the angle of a hinge: up to the first (20°) it may seem bent the wrong way because joints are inaccurate,
above the second (45°) its plane says all."""

_TWIST_FULL, _TWIST_NONE = math.radians(135.0), math.radians(180.0)
_SPREAD, _PRIOR = 0.02, 0.001
"""Vectors whose second singular value is a smaller part of the first lie on a line; then a prior breaks the tie."""


def usable(direction: Float[Tensor, "*batch 3"]) -> Bool[Tensor, "*batch"]:
    """Whether a direction is finite and longer than nothing."""
    return direction.isfinite().all(-1) & (direction.square().sum(-1) > torch.finfo(direction.dtype).tiny)


def unit(direction: Float[Tensor, "*batch 3"], otherwise: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return the direction with length 1, or `otherwise` where it is no direction."""
    safe = torch.where(usable(direction)[..., None], direction, otherwise)
    return safe / torch.linalg.vector_norm(safe, dim=-1, keepdim=True)


def perpendicular(direction: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return one unit vector across a direction, always the same one: z made perpendicular, or y near the z axis."""
    z, y = direction.new_tensor((0.0, 0.0, 1.0)), direction.new_tensor((0.0, 1.0, 0.0))
    along = unit(direction, y)
    start = torch.where((along[..., 2:].abs() > 0.8), y, z)
    return unit(start - (start * along).sum(-1, keepdim=True) * along, y)


def swing(source: Float[Tensor, "*#batch 3"], target: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation by the smallest angle from one direction to another.

    For opposite directions half a turn about `perpendicular(source)`; the identity where one is no direction.
    """
    source, target = torch.broadcast_tensors(source, target)
    both = (usable(source) & usable(target))[..., None, None]
    up = source.new_tensor((0.0, 1.0, 0.0))
    turned = shortest_rotation(torch.where(both[..., 0], source, up), torch.where(both[..., 0], target, up))
    axis = perpendicular(torch.where(both[..., 0], source, up).detach())
    half_turn = 2.0 * axis[..., :, None] * axis[..., None, :] - torch.eye(3, dtype=source.dtype, device=source.device)
    return torch.where(turned.isfinite().all(-1, keepdim=True).all(-2, keepdim=True), turned, half_turn)


def about(axis: Float[Tensor, "*#batch 3"], angle_rad: Float[Tensor, "*#batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation about a unit axis by an angle, by the right-hand rule."""
    axis, angle = torch.broadcast_tensors(axis, angle_rad[..., None])
    return roma.rotvec_to_rotmat(axis * angle)


def twist_angle(
    axis: Float[Tensor, "*#batch 3"], source: Float[Tensor, "*#batch 3"], target: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch"]:
    """Return the angle (rad, −π to π) about a unit axis that takes `source` to `target`, seen along the axis.

    0 where one of them lies along the axis or is no direction.
    """
    axis, source, target = torch.broadcast_tensors(axis, source, target)
    fine = usable(source) & usable(target)
    source = torch.where(fine[..., None], source, 0.0)
    target = torch.where(fine[..., None], target, 0.0)
    source = source - (source * axis).sum(-1, keepdim=True) * axis
    target = target - (target * axis).sum(-1, keepdim=True) * axis
    sine = (torch.linalg.cross(source, target, dim=-1) * axis).sum(-1)
    cosine = (source * target).sum(-1)
    eps = torch.finfo(axis.dtype).eps
    fine = fine & (sine.square() + cosine.square() > eps * eps)
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
    upper, lower, straight = torch.broadcast_tensors(upper, lower, straight)
    fine = (usable(upper) & usable(lower))[..., None]
    along = unit(upper, straight)
    crossed = torch.linalg.cross(along, unit(lower, straight), dim=-1)
    crossed = torch.where(fine, crossed, 0.0)
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
    rest_main, rest_side, main, side = torch.broadcast_tensors(rest_main, rest_side, main, side)
    expected = (otherwise @ rest_main[..., None])[..., 0]
    along = unit(main, unit(expected, expected.new_tensor((0.0, 1.0, 0.0))))
    swung = swing(expected, along) @ otherwise
    angle = twist_angle(along, (swung @ rest_side[..., None])[..., 0], side)
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
    swung = swing((otherwise @ right[..., 0, :, None])[..., 0], left[..., :, 0]).detach() @ otherwise
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
