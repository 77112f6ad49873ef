"""How a pose has to be turned so that a Gaussian likes it best: paper 004, section 4.1.

Upright poses turn about the vertical only. Turned by θ, a shape is c h + s h⊥ + v with c = cos θ, s = sin θ, its
horizontal part h, that part turned by a quarter h⊥ and its vertical part v. So −2 ln p is a polynomial of second order
in (c, s): five numbers per pose, whose least value a grid brackets and Newton's method finds. Poses in any orientation
turn freely; there Gauss–Newton steps start from the best fit to the mean (Procrustes).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, cast

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift.gaussian import Gaussians, Whitening, whitening
from sightline.methods.deeplift.shapes import ROWS, rotated, to_joints
from sightline.skeleton import get_skeleton

Orientation = Literal["upright", "any"]
"""Whether poses stand in a world whose z axis points up, or any way."""

_GRID = 24
_NEWTON_STEPS = 6
_FREE_STEPS = 6
_HIPS = tuple(get_skeleton("h36m17").index(name) for name in ("RHip", "LHip"))
_LEVEL = 2 * ROWS
"""Coordinates that turn about the vertical: those of x and y."""


class Aligned(NamedTuple):
    """Shapes turned as one component likes them best."""

    shape: Float[Tensor, "pose 48"]
    log_prob: Float[Tensor, " pose"]
    """ln p of the turned shape under the component."""
    rotation: Float[Tensor, "pose 3 3"]
    """What they were turned by."""


def aligned(shape: Float[Tensor, "pose 48"], gaussians: Gaussians, orientation: Orientation) -> tuple[Aligned, ...]:
    """Turn shapes as each component likes them best; one answer per component."""
    white = whitening(gaussians)
    turn = _aligned_upright if orientation == "upright" else _aligned_freely
    return tuple(turn(shape, gaussians.mean[row], _one(white, row)) for row in range(len(gaussians.mean)))


def as_they_are(shape: Float[Tensor, "pose 48"], gaussians: Gaussians) -> tuple[Aligned, ...]:
    """The same answer for shapes that nobody turns."""
    white, answers = whitening(gaussians), []
    still = torch.eye(3, dtype=shape.dtype, device=shape.device).expand(len(shape), 3, 3)
    for row in range(len(gaussians.mean)):
        distance = _distance(shape, gaussians.mean[row], _one(white, row))
        answers.append(Aligned(shape, -0.5 * (distance + white.constant[row]), still))
    return tuple(answers)


def fit_rotation(
    joints: Float[Tensor, "*#batch 17 3"],
    goal: Float[Tensor, "*#batch 17 3"],
    weight: Float[Tensor, "*#batch 17"],
    orientation: Orientation,
) -> Float[Tensor, "*batch 3 3"]:
    """Turn that brings joints nearest to others in weighted least squares, whatever place and size (Procrustes)."""
    share = (weight / weight.sum(-1, keepdim=True))[..., None]
    joints, goal = (points - (share * points).sum(-2, keepdim=True) for points in (joints, goal))
    moment = (share * goal).mT @ joints
    if orientation == "any":
        return cast(Tensor, roma.special_procrustes(moment))
    return axis_rotation("z", torch.atan2(moment[..., 1, 0] - moment[..., 0, 1], moment[..., 0, 0] + moment[..., 1, 1]))


def upright_start(shape: Float[Tensor, "pose 48"]) -> Float[Tensor, "pose 48"]:
    """Turn upright shapes to a common heading: a rank-2 factorisation, after Tomasi and Kanade (1992).

    The two horizontal rows of all poses, one above the other, are M (2N, 16). The nearest M of rank two is A B; each
    2 × 2 block of A is replaced by the nearest rotation, and the pose turned back by it.
    """
    level = shape[:, :_LEVEL].reshape(-1, ROWS)
    _, vectors = torch.linalg.eigh(level.mT @ level)
    blocks = (level @ vectors[:, -2:]).unflatten(0, (-1, 2))
    angle = torch.atan2(blocks[:, 1, 0] - blocks[:, 0, 1], blocks[:, 0, 0] + blocks[:, 1, 1])
    return rotated(shape, axis_rotation("z", -angle))


def faced(shape: Float[Tensor, "pose 48"]) -> Float[Tensor, "pose 48"]:
    """Turn upright shapes so that their hips, from the right to the left one, point along x."""
    joints = to_joints(shape)
    across = joints[:, _HIPS[1], :2] - joints[:, _HIPS[0], :2]
    return rotated(shape, axis_rotation("z", -torch.atan2(across[:, 1], across[:, 0])))


def _one(white: Whitening, row: int) -> Whitening:
    return Whitening(white.matrix[row], white.constant[row])


def _aligned_upright(shape: Tensor, mean: Tensor, white: Whitening) -> Aligned:
    level, upright = shape[:, :_LEVEL], shape[:, _LEVEL:]
    quarter = torch.cat([-level[:, ROWS:], level[:, :ROWS]], dim=1)
    along, across = level @ white.matrix[:, :_LEVEL].mT, quarter @ white.matrix[:, :_LEVEL].mT
    fixed = upright @ white.matrix[:, _LEVEL:].mT - white.matrix @ mean
    terms = torch.stack(
        [
            along.square().sum(1),
            across.square().sum(1),
            2 * (along * across).sum(1),
            2 * (along * fixed).sum(1),
            2 * (across * fixed).sum(1),
        ]
    )
    angle = _least(terms)
    distance = (terms * _waves(angle)).sum(0) + fixed.square().sum(1)
    rotation = axis_rotation("z", angle)
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    turned = torch.cat([cosine * level + sine * quarter, upright], dim=1)
    return Aligned(turned, -0.5 * (distance + white.constant), rotation)


def _waves(angle: Tensor) -> Tensor:
    """(c², s², c s, c, s), which the five terms of a pose belong to."""
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine.square(), sine.square(), cosine * sine, cosine, sine])


def _least(terms: Float[Tensor, "5 pose"]) -> Float[Tensor, " pose"]:
    """The angle at which the polynomial is least.

    Of second order, it has at most two minima: the grid brackets them, Newton's method finds them, the lower counts.
    """
    grid = torch.arange(_GRID, dtype=terms.dtype, device=terms.device) * (2 * math.pi / _GRID)
    heights = terms.mT @ _waves(grid)
    valley = (heights <= heights.roll(1, 1)) & (heights <= heights.roll(-1, 1))
    lowest = heights.argmin(1, keepdim=True)
    rival = heights.masked_fill(~valley, torch.inf).scatter(1, lowest, torch.inf).argmin(1, keepdim=True)
    angle = grid[torch.cat([lowest, rival], dim=1).mT]
    double_c, double_s, single_c, single_s = terms[0] - terms[1], terms[2], terms[3], terms[4]
    for _ in range(_NEWTON_STEPS):
        c, s, c2, s2 = angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin()
        slope = double_s * c2 - double_c * s2 - single_c * s + single_s * c
        bend = -2 * double_s * s2 - 2 * double_c * c2 - single_c * c - single_s * s
        angle = angle - (slope / bend.abs().clamp_min(1e-12)).clamp(-math.pi / _GRID, math.pi / _GRID)
    first, second = ((terms * _waves(one)).sum(0) for one in angle)
    return torch.where(first <= second, angle[0], angle[1])


def _aligned_freely(shape: Tensor, mean: Tensor, white: Whitening) -> Aligned:
    points, goal = (value.unflatten(-1, (3, ROWS)) for value in (shape, mean))
    rotation = cast(Tensor, roma.special_procrustes(goal @ points.mT))
    turned = rotated(shape, rotation)
    distance = _distance(turned, mean, white)
    for _ in range(_FREE_STEPS):
        residual = (turned - mean) @ white.matrix.mT
        slopes = torch.stack([rotated(turned, axis) for axis in _generators(shape)], dim=-1)
        slopes = torch.einsum("ij,njk->nik", white.matrix, slopes)
        normal = slopes.mT @ slopes
        damping = 1e-6 * normal.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
        unit = torch.eye(3, dtype=shape.dtype, device=shape.device)
        step = -torch.linalg.solve(normal + damping * unit, (slopes.mT @ residual[..., None])[..., 0])
        step = step * (0.5 / step.norm(dim=1, keepdim=True).clamp_min(0.5))
        tried = roma.rotvec_to_rotmat(step) @ rotation
        candidate = rotated(shape, tried)
        better = (found := _distance(candidate, mean, white)) < distance
        rotation = torch.where(better[:, None, None], tried, rotation)
        turned = torch.where(better[:, None], candidate, turned)
        distance = torch.where(better, found, distance)
    return Aligned(turned, -0.5 * (distance + white.constant), rotation)


def _distance(shape: Tensor, mean: Tensor, white: Whitening) -> Tensor:
    return ((shape - mean) @ white.matrix.mT).square().sum(1)


def _generators(like: Tensor) -> Float[Tensor, "3 3 3"]:
    """The three small rotations."""
    unit = torch.eye(3, dtype=like.dtype, device=like.device)
    return torch.linalg.cross(unit[:, None].expand(3, 3, 3), unit[None].expand(3, 3, 3)).mT
