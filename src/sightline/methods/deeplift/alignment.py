"""How a pose has to be turned so that a Gaussian likes it best: paper 004, section 4.1.

Upright poses turn about the vertical only. Turned by θ, a shape is c h + s h⊥ + v with c = cos θ, s = sin θ, its
horizontal part h, that part turned by a quarter h⊥ and its vertical part v. So −2 ln p is a polynomial of second order
in (c, s): five numbers per pose, whose least value a grid brackets and Newton's method finds. What is found is the best
turn of all. The log-density depends on an error of the angle by its square only, so the angle is sought in single
precision (error about 1e-6, of −2 ln p below 1e-8) and the density told in double. Where single precision could take
the wrong one of two minima, or the polynomial is nearly flat, the angle is sought in double too.

Poses in any orientation turn freely. There Gauss–Newton steps start from the best fit to the mean (Procrustes), or from
where a pose was turned before, and a step is taken only where it makes the pose likelier: what is found is a local
optimum, never less likely than the start.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple, cast

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift.gaussian import Gaussians, Whitening, whitening
from sightline.methods.deeplift.shapes import DIMENSIONS, ROWS, rotated, to_joints
from sightline.skeleton import get_skeleton

Orientation = Literal["upright", "any"]
"""Whether poses stand in a world whose z axis points up, or any way."""

_GRID: Final = 24
_STEP: Final = 2 * math.pi / _GRID
_NEWTON_STEPS: Final = 6
_SINGLE_STEPS: Final = 4
"""Steps of Newton's method in single precision: it has no more digits to find."""
_NEAR: Final = 2
"""Points of the grid at most so far from the lowest lie in its valley."""
_FLAT: Final = 0.1
"""A minimum that bends less than this share of the most that the polynomial may bend is sought in double."""
_FREE_STEPS: Final = 6
_FURTHER_STEPS: Final = 2
"""Steps from where a pose was turned before: it was nearly right there."""
_HIPS: Final = tuple(get_skeleton("h36m17").index(name) for name in ("RHip", "LHip"))
_LEVEL: Final = 2 * ROWS
"""Coordinates that turn about the vertical: those of x and y."""


class Aligned(NamedTuple):
    """Shapes turned as one component likes them best."""

    shape: Float[Tensor, "pose 48"]
    log_prob: Float[Tensor, " pose"]
    """ln p of the turned shape under the component."""
    rotation: Float[Tensor, "pose 3 3"]
    """What they were turned by."""


def aligned(
    shape: Float[Tensor, "pose 48"],
    gaussians: Gaussians,
    orientation: Orientation,
    before: Float[Tensor, "component pose 3 3"] | None = None,
) -> tuple[Aligned, ...]:
    """Turn shapes as each component likes them best; one answer per component.

    Args:
        shape: poses.
        gaussians: the components.
        orientation: "upright" finds the best turn about the vertical, "any" a turn that no small one improves much.
        before: what each component has turned the poses by, asked by "any" only: its answer is no less likely.
    """
    white = whitening(gaussians)
    if orientation == "any":
        return _aligned_freely(shape, gaussians.mean, white, before)
    each = zip(gaussians.mean, white.matrix, white.constant, strict=True)
    return tuple(_aligned_upright(shape, mean, Whitening(matrix, constant)) for mean, matrix, constant in each)


def as_they_are(shape: Float[Tensor, "pose 48"], gaussians: Gaussians) -> tuple[Aligned, ...]:
    """The same answer for shapes that nobody turns."""
    white, answers = whitening(gaussians), []
    still = torch.eye(3, dtype=shape.dtype, device=shape.device).expand(len(shape), 3, 3)
    for row in range(len(gaussians.mean)):
        distance = _distance(shape, gaussians.mean[row], Whitening(white.matrix[row], white.constant[row]))
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


def _aligned_upright(shape: Tensor, mean: Tensor, white: Whitening) -> Aligned:
    with torch.no_grad():  # the density's slope along the angle is nil there
        angle, sure = quick_angles(shape, mean, white)
        unsure = (~sure).nonzero()[:, 0]
        angle[unsure] = exact_angles(shape[unsure], mean, white)
    cosine, sine = angle.cos(), angle.sin()
    c, s, x, y = cosine[:, None], sine[:, None], shape[:, :ROWS], shape[:, ROWS:_LEVEL]
    turned = torch.cat([c * x - s * y, s * x + c * y, shape[:, _LEVEL:]], dim=1)
    rotation = shape.new_zeros(len(shape), 3, 3)
    rotation[:, 0, 0] = rotation[:, 1, 1] = cosine
    rotation[:, 0, 1], rotation[:, 1, 0] = -sine, sine
    rotation[:, 2, 2] = 1.0
    return Aligned(turned, -0.5 * (_distance(turned, mean, white) + white.constant), rotation)


def quick_angles(
    shape: Float[Tensor, "pose 48"], mean: Float[Tensor, " 48"], white: Whitening
) -> tuple[Float[Tensor, " pose"], Bool[Tensor, " pose"]]:
    """Best turns about the vertical (rad) to single precision, and where there is no doubt which valley is the lowest.

    Less a constant, −2 ln p is A cos 2θ + B sin 2θ + e cos θ + g sin θ. Its second derivative is at most
    4 √(A² + B²) + √(e² + g²). A valley reaches no deeper below its lowest point of the grid than that times half the
    square of half a step.
    """
    first, second, e, g = _terms_of(shape.float(), *_quadratic(mean, white))
    grid = torch.arange(_GRID, device=shape.device) * _STEP
    waves = torch.stack([(2 * grid).cos(), (2 * grid).sin(), grid.cos(), grid.sin()])
    heights = torch.stack([first, second, e, g], dim=1) @ waves
    lowest, at = heights.min(1)
    steepest = 4 * (first.square() + second.square()).sqrt() + (e.square() + g.square()).sqrt()
    margin = (0.5 * (_STEP / 2) ** 2 + 1e-4) * steepest
    sure = (heights + _elsewhere(grid)[at]).amin(1) - lowest > margin
    angle, move, bend = grid[at], lowest, lowest
    for _ in range(_SINGLE_STEPS):
        c, s = angle.cos(), angle.sin()
        c2, s2 = c * c - s * s, 2 * c * s
        slope = 2 * (second * c2 - first * s2) + g * c - e * s
        bend = -4 * (first * c2 + second * s2) - e * c - g * s
        move = (slope / bend.abs().clamp_min(1e-12)).clamp(-_STEP / 2, _STEP / 2)
        angle = angle - move
    return angle.to(shape), sure & (bend > _FLAT * steepest) & (move.abs() < 1e-3)


def _elsewhere(grid: Tensor) -> Float[Tensor, "24 24"]:
    """What to add to heights so that only those outside the valley of a point of the grid count."""
    apart = (torch.arange(_GRID)[:, None] - torch.arange(_GRID)).abs()
    return torch.where(torch.minimum(apart, _GRID - apart) <= _NEAR, math.inf, 0.0).to(grid)


def _quadratic(mean: Tensor, white: Whitening) -> tuple[Float[Tensor, "48 96"], Float[Tensor, " 96"]]:
    """What h C⁻¹, h⊥ C⁻¹ and (v − μ) C⁻¹, all at level coordinates, are of a shape: a matrix and an offset, single."""
    inverse = white.matrix.mT @ white.matrix
    level = inverse[:_LEVEL, :_LEVEL]
    matrix = level.new_zeros(DIMENSIONS, 3 * _LEVEL)
    matrix[:_LEVEL, :_LEVEL] = level
    matrix[:_LEVEL, _LEVEL : 2 * _LEVEL] = torch.cat([level[ROWS:], -level[:ROWS]])
    matrix[_LEVEL:, 2 * _LEVEL :] = inverse[_LEVEL:, :_LEVEL]
    offset = level.new_zeros(3 * _LEVEL)
    offset[2 * _LEVEL :] = -(inverse @ mean)[:_LEVEL]
    return matrix.float(), offset.float()


def _terms_of(shape: Tensor, matrix: Tensor, offset: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(A, B, e, g) of each shape."""
    along = shape[:, None, :_LEVEL]
    across = torch.cat([-shape[:, ROWS:_LEVEL], shape[:, :ROWS]], dim=1)[:, None]
    weighed = torch.addmm(offset, shape, matrix).unflatten(1, (3, _LEVEL))
    straight, quarter = (weighed * along).sum(-1), (weighed * across).sum(-1)
    return 0.5 * (straight[:, 0] - quarter[:, 1]), quarter[:, 0], 2 * straight[:, 2], 2 * quarter[:, 2]


def exact_angles(
    shape: Float[Tensor, "pose 48"], mean: Float[Tensor, " 48"], white: Whitening
) -> Float[Tensor, " pose"]:
    """The same to the precision of the shapes: both minima that the grid may bracket are sought, the lower counts."""
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
    return _least(terms)


def _waves(angle: Tensor) -> Tensor:
    """(c², s², c s, c, s), which the five terms of a pose belong to."""
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine.square(), sine.square(), cosine * sine, cosine, sine])


def _least(terms: Float[Tensor, "5 pose"]) -> Float[Tensor, " pose"]:
    """The angle at which the polynomial is least.

    Of second order, it has at most two minima: the grid brackets them, Newton's method finds them, the lower counts.
    """
    grid = torch.arange(_GRID, dtype=terms.dtype, device=terms.device) * _STEP
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
        angle = angle - (slope / bend.abs().clamp_min(1e-12)).clamp(-_STEP / 2, _STEP / 2)
    first, second = ((terms * _waves(one)).sum(0) for one in angle)
    return torch.where(first <= second, angle[0], angle[1])


def _aligned_freely(shape: Tensor, mean: Tensor, white: Whitening, before: Tensor | None) -> tuple[Aligned, ...]:
    """All components together: with few poses, calls are what takes the time."""
    shape = shape.expand(len(mean), *shape.shape)
    rotation = _nearest_turn(shape, mean) if before is None else before
    turned = rotated(shape, rotation)
    distance = _distances(turned, mean, white)
    matrix, offset = _curvatures(mean, white)
    for _ in range(_FREE_STEPS if before is None else _FURTHER_STEPS):
        step = _downhill(turned.float(), matrix, offset).to(shape)
        tried = roma.rotvec_to_rotmat(step * (0.5 / step.norm(dim=-1, keepdim=True).clamp_min(0.5))) @ rotation
        candidate = rotated(shape, tried)
        better = (found := _distances(candidate, mean, white)) < distance
        rotation = torch.where(better[..., None, None], tried, rotation)
        turned = torch.where(better[..., None], candidate, turned)
        distance = torch.where(better, found, distance)
    log_prob = -0.5 * (distance + white.constant[:, None])
    return tuple(Aligned(*values) for values in zip(turned, log_prob, rotation, strict=True))


def _nearest_turn(shape: Tensor, mean: Tensor) -> Float[Tensor, "component pose 3 3"]:
    """Turns that bring shapes nearest to the means (Procrustes)."""
    points, goal = (value.unflatten(-1, (3, ROWS)) for value in (shape, mean[:, None]))
    return cast(Tensor, roma.special_procrustes(goal @ points.mT))


def _curvatures(mean: Tensor, white: Whitening) -> tuple[Tensor, Tensor]:
    """What C⁻¹ (x − μ) and C⁻¹ G x for the three small rotations G are of a shape x, single precision.

    A matrix (component, 48, 192) and an offset (component, 1, 192).
    """
    inverse = white.matrix.mT @ white.matrix
    unit = torch.eye(DIMENSIONS, dtype=mean.dtype, device=mean.device)
    matrix = torch.cat([inverse, *(rotated(unit, axis) @ inverse for axis in _generators(mean))], dim=2)
    offset = torch.cat([-(inverse @ mean[..., None])[..., 0], mean.new_zeros(len(mean), 3 * DIMENSIONS)], dim=1)
    return matrix.float(), offset[:, None].float()


def _downhill(turned: Tensor, matrix: Tensor, offset: Tensor) -> Float[Tensor, "component pose 3"]:
    """Gauss–Newton's step (a rotation vector) towards where −2 ln p is least."""
    weighed = torch.baddbmm(offset, turned, matrix).unflatten(2, (4, DIMENSIONS))
    slopes = [rotated(turned, axis) for axis in _generators(turned)]
    products = torch.stack([(weighed * slope[:, :, None]).sum(-1) for slope in slopes], dim=-1)
    gradient, normal = products[..., 0, :], products[..., 1:, :]
    damping = 1e-6 * normal.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    normal = normal + damping * torch.eye(3, dtype=turned.dtype, device=turned.device)
    others = [torch.linalg.cross(normal[..., row - 2, :], normal[..., row - 1, :]) for row in range(3)]
    volume = (normal[..., 0, :] * others[0]).sum(-1, keepdim=True)
    share = (torch.stack(others, dim=-1) @ gradient[..., None])[..., 0]
    return -torch.where(volume > 0, share / volume, 0.0)


def _distances(shape: Float[Tensor, "component pose 48"], mean: Tensor, white: Whitening) -> Tensor:
    return ((shape - mean[:, None]) @ white.matrix.mT).square().sum(-1)


def _distance(shape: Tensor, mean: Tensor, white: Whitening) -> Tensor:
    return ((shape - mean) @ white.matrix.mT).square().sum(1)


def _generators(like: Tensor) -> Float[Tensor, "3 3 3"]:
    """The three small rotations."""
    unit = torch.eye(3, dtype=like.dtype, device=like.device)
    return torch.linalg.cross(unit[:, None].expand(3, 3, 3), unit[None].expand(3, 3, 3)).mT
