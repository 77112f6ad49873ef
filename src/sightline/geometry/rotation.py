"""Rotations of cameras, as matrices: towards a direction, about an axis, from pitch and roll.

Camera frames are x right, y down, z forward. A matrix named `b_from_a` takes column vectors of frame a to frame b.
Conversions between matrices, quaternions and rotation vectors are roma's; what is here is what roma does not have.
All functions are batched and differentiable.
"""

from __future__ import annotations

import math
from typing import Literal

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

_AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


def axis_rotation(axis: Literal["x", "y", "z"], angle_rad: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the matrix that turns vectors about an axis by an angle (rad), by the right-hand rule.

    In a camera's frame a positive angle about z turns x towards y: clockwise as the picture is seen.
    """
    if axis not in _AXES:
        raise ValueError(f'axis: expected "x", "y" or "z", got {axis!r}')
    return roma.rotvec_to_rotmat(angle_rad.unsqueeze(-1) * angle_rad.new_tensor(_AXES[axis]))


def look_rotation(forward: Float[Tensor, "*#batch 3"], up: Float[Tensor, "*#batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return cam_from_world of a camera that looks along `forward` with `up` upwards in its picture.

    Rows are the camera's right, down and forward axes in world coordinates; lengths of the arguments do not matter.
    Where they are parallel, zero or not finite there is no such rotation: NaN, with zero gradients.
    """
    forward, up = torch.broadcast_tensors(forward, up)
    right = torch.linalg.cross(forward, up, dim=-1)
    eps = torch.finfo(forward.dtype).eps
    lengths = (forward * forward).sum(-1) * (up * up).sum(-1)
    defined = ((right * right).sum(-1) > 4.0 * eps * eps * lengths) & (lengths > 0) & lengths.isfinite()
    mask = defined.unsqueeze(-1)
    forward = _unit(torch.where(mask, forward, forward.new_tensor(_AXES["z"])))
    right = _unit(torch.where(mask, right, forward.new_tensor(_AXES["x"])))
    rows = torch.stack((right, torch.linalg.cross(forward, right, dim=-1), forward), dim=-2)
    return torch.where(mask.unsqueeze(-1), rows, torch.nan)


def no_roll_rotation(direction_cam: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return turned_from_cam, which turns a camera towards a direction of its own frame, without roll.

    The turned camera's x axis stays in the camera's xz-plane (entry [0, 1] is 0), as perspective crop layers have it
    (paper 000): a turn to the side, then one up or down. NaN for directions straight up, straight down, or zero.
    """
    return look_rotation(direction_cam, direction_cam.new_tensor((0.0, -1.0, 0.0)))


def shortest_rotation(
    source: Float[Tensor, "*#batch 3"], target: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation by the smallest angle that takes the direction `source` to `target` (paper 001's choice).

    Unlike `no_roll_rotation` it rolls the picture of a camera that is turned diagonally. NaN for opposite, zero or
    infinite directions, with zero gradients.
    """
    source, target = torch.broadcast_tensors(source, target)
    lengths = (source * source).sum(-1, keepdim=True) * (target * target).sum(-1, keepdim=True)
    usable = (lengths > 0) & lengths.isfinite()
    forward = source.new_tensor(_AXES["z"])
    source, target = _unit(torch.where(usable, source, forward)), _unit(torch.where(usable, target, forward))
    cosine = (source * target).sum(-1, keepdim=True)
    defined = usable & (1.0 + cosine > 8.0 * torch.finfo(source.dtype).eps)
    skew = _cross_matrix(torch.linalg.cross(source, target, dim=-1))
    share = 1.0 / torch.where(defined, 1.0 + cosine, 1.0)
    identity = torch.eye(3, dtype=source.dtype, device=source.device)
    return torch.where(defined.unsqueeze(-1), identity + skew + (skew @ skew) * share.unsqueeze(-1), torch.nan)


def rotation_from_pitch_roll(
    pitch_rad: Float[Tensor, "*batch"], roll_rad: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """Return cam_from_level of a camera tilted from the horizontal.

    The level frame shares the camera's origin and heading: x right, y straight down, z horizontally ahead. Positive
    pitch looks up; positive roll turns the camera clockwise about its axis, so that its picture turns anticlockwise.
    """
    return axis_rotation("z", -roll_rad) @ axis_rotation("x", -pitch_rad)


def pitch_roll_from_up(up_cam: Float[Tensor, "*batch 3"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """Return pitch and roll (rad) of a camera that sees the upward direction along `up_cam`; any length.

    Inverse of `rotation_from_pitch_roll`, whose camera has `up_cam` = cam_from_level · (0, −1, 0). Pitch lies in
    [−π/2, π/2]; a camera that looks straight up or down has no roll, and is given 0.
    """
    x, y, z = up_cam.unbind(-1)
    across2 = x * x + y * y
    eps = torch.finfo(up_cam.dtype).eps
    defined = across2 > (eps * z) ** 2
    across = torch.where(defined, across2, 1.0).sqrt()
    pitch = torch.where(defined, torch.atan2(z, across), torch.sign(z) * (math.pi / 2))
    roll = torch.atan2(torch.where(defined, -x, 0.0), torch.where(defined, -y, 1.0))
    return pitch, roll


def rotation_angle(
    first: Float[Tensor, "*#batch 3 3"], second: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch"]:
    """Return the angle (rad, 0 to π) of the rotation between two rotations."""
    return roma.rotmat_geodesic_distance(*torch.broadcast_tensors(first, second))


def is_rotation(matrix: Float[Tensor, "*batch 3 3"], tolerance: float = 1e-3) -> Bool[Tensor, "*batch"]:
    """Say whether matrices are rotations: finite, orthonormal within the tolerance, not mirroring."""
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    finite = matrix.isfinite().flatten(-2).all(-1)
    safe = torch.where(finite[..., None, None], matrix, identity)
    error = (safe @ safe.transpose(-1, -2) - identity).abs().flatten(-2).amax(-1)
    return finite & (error <= tolerance) & (torch.linalg.det(safe) > 0)


def _unit(vector: Tensor) -> Tensor:
    return vector / torch.linalg.vector_norm(vector, dim=-1, keepdim=True)


def _cross_matrix(vector: Tensor) -> Tensor:
    """Return the matrix [v]× with [v]× w = v × w."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = (zero, -z, y, z, zero, -x, -y, x, zero)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
