"""Solvers behind the lenses: one monotone equation, two coupled ones in a disc, and the first break of a condition.

All of them run on whole batches, without gradient, with one limit per point that broadcasts against it. `distortion.py`
makes their solutions differentiable by one more step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_MAX_STEPS = 50  # a regular lens takes 3 to 6
_ROUNDOFF = 64.0  # residual that counts as converged, in machine epsilons


class Bent(NamedTuple):
    """Values of a map of the plane, and its Jacobian there."""

    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yx: Tensor
    yy: Tensor


def solve_increasing(
    value_and_slope: Callable[[Tensor], tuple[Tensor, Tensor]],
    target: Float[Tensor, "*points"],
    limit: Float[Tensor, "*limits"],
) -> tuple[Float[Tensor, "*points"], Bool[Tensor, "*points"]]:
    """Solve f(r) = target for an f that increases on [0, limit) from f(0) = 0; Newton inside a shrinking bracket.

    Returns r and whether it solves the equation; where there is no solution, the limit and False.
    """
    low = torch.zeros_like(target)
    high = limit.expand_as(target)
    r = torch.minimum(target, high)
    eps = torch.finfo(target.dtype).eps
    for _ in range(_MAX_STEPS):
        value, slope = value_and_slope(r)
        error = value - target
        low, high = torch.where(error <= 0, r, low), torch.where(error >= 0, r, high)
        step = r - error / torch.where(slope > 0, slope, 1.0)
        inside = (slope > 0) & (step >= low) & (step <= high)
        previous, r = r, torch.where(inside, step, 0.5 * (low + high))
        if bool(((r - previous).abs() <= 2.0 * eps * r).all()):
            break
    residual = (value_and_slope(r)[0] - target).abs()
    return r, (residual <= _ROUNDOFF * eps * (1.0 + target)) & (r < limit)


def solve_in_disc(
    bend: Callable[[Tensor, Tensor], Bent],
    target: tuple[Float[Tensor, "*points"], Float[Tensor, "*points"]],
    start: tuple[Float[Tensor, "*points"], Float[Tensor, "*points"]],
    limit: Float[Tensor, "*limits"],
) -> tuple[Float[Tensor, "*points"], Float[Tensor, "*points"], Bool[Tensor, "*points"]]:
    """Solve bend(x, y) = target inside the disc of radius `limit` by Newton's method.

    Steps that leave the disc end on its border. Returns x, y and whether they solve the equations inside the disc.
    """
    (target_x, target_y), (x, y) = target, start
    eps = torch.finfo(x.dtype).eps
    for _ in range(_MAX_STEPS):
        bent = bend(x, y)
        error_x, error_y = bent.x - target_x, bent.y - target_y
        det = bent.xx * bent.yy - bent.xy * bent.yx
        det = torch.where(det.abs() > eps, det, 1.0)
        new_x = x - (bent.yy * error_x - bent.xy * error_y) / det
        new_y = y - (bent.xx * error_y - bent.yx * error_x) / det
        shrink = (limit / torch.hypot(new_x, new_y).clamp(min=eps)).clamp(max=1.0)
        new_x, new_y = new_x * shrink, new_y * shrink
        moved = torch.hypot(new_x - x, new_y - y)
        x, y = new_x, new_y
        if bool((moved <= 4.0 * eps * (1.0 + torch.hypot(x, y))).all()):
            break
    bent = bend(x, y)
    residual = torch.hypot(bent.x - target_x, bent.y - target_y)
    converged = residual <= _ROUNDOFF * eps * (1.0 + torch.hypot(target_x, target_y))
    return x, y, converged & (x * x + y * y < limit * limit)


def first_break(condition: Callable[[Tensor], Tensor], grid: Float[Tensor, "*batch step"]) -> Float[Tensor, "*batch"]:
    """Return where a condition that holds at the start of a grid first fails, approached from the side that holds.

    Three finer scans of 64 steps between two points of the grid; the grid's end where it never fails. A failure and
    recovery between two neighbours of the grid goes unseen.
    """
    share = torch.linspace(0.0, 1.0, 65, dtype=grid.dtype, device=grid.device)
    low = grid[..., :1]
    for _ in range(4):
        broken = ~condition(grid)
        broken[..., 0] = False
        found = broken.any(-1, keepdim=True)
        first = torch.where(found, broken.to(torch.uint8).argmax(-1, keepdim=True), grid.shape[-1] - 1)
        high = grid.gather(-1, first)
        low = torch.where(found, grid.gather(-1, first - 1), high)
        grid = low + (high - low) * share
    return low.squeeze(-1)
