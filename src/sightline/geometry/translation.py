"""Where a pose of known shape stands: its root's position from 2D, in closed form, robustly, or by weak perspective.

All functions take a pose relative to its root in camera axes (m) and undistorted image points on the plane z = 1
(x/z and y/z, as `Camera.normalized` gives them), and return the root's position in the camera frame (m). Joints of
weight zero do not count and may be NaN. The result is NaN, never an exception, where the data of one batch element
do not determine it: each function says when.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.geometry.pairs import spread_pairs

MAX_PAIRS = 64
"""Two-joint guesses that the robust start tries at most, spread evenly over all pairs of joints."""
CAUCHY_TUNING = 2.385
"""Distance, in standard deviations, at which Cauchy's weight is one half (95 % efficiency on Gaussian noise)."""
RAYLEIGH_MEDIAN = 1.1774
"""Median length of a 2D Gaussian error of unit standard deviation: √(2 ln 2)."""
NOWHERE = 1e3
"""Distance on the plane z = 1 that a joint behind the camera is taken to have from its image point."""


class RobustTranslation(NamedTuple):
    """A root position and what each joint had to say in it."""

    root_cam: Float[Tensor, "*batch 3"]
    """Root in the camera frame (m); NaN where it could not be found."""
    weights: Float[Tensor, "*batch joint"]
    """The caller's weight times the robust one (0 … 1): near zero for a joint taken for an outlier."""


def solve_translation(
    relative_cam: Float[Tensor, "*#batch joint 3"],
    xy: Float[Tensor, "*#batch joint 2"],
    weights: Float[Tensor, "*#batch joint"] | None = None,
) -> Float[Tensor, "*batch 3"]:
    """Root position T (m) that best satisfies x (P_z + T_z) = P_x + T_x, and so for y, in weighted least squares.

    Two rows per joint, linear in T and exact under full perspective: noise-free data give T to rounding. The
    residual is a joint's miss in metres at its own depth. Differentiable. NaN where fewer than two joints count or
    all of them share one image point, where a counted joint is not finite, where a weight is negative, and where
    the joints' mean depth comes out behind the camera (a pose turned inside out, or mirrored image points).
    """
    data = _prepared(relative_cam, xy, weights)
    root_cam, usable = _least_squares(data, data.weights)
    return root_cam.where(usable[..., None], torch.nan)


def solve_translation_robust(
    relative_cam: Float[Tensor, "*#batch joint 3"],
    xy: Float[Tensor, "*#batch joint 2"],
    weights: Float[Tensor, "*#batch joint"] | None = None,
    *,
    iterations: int = 10,
) -> RobustTranslation:
    """Root position (m) that grossly wrong joints do not move: about a third of them may be outliers.

    Starts from the best of the two-joint solutions (least sum of image distances), then reweights iteratively with
    Cauchy's function of the distance on the plane z = 1, whose width follows from the median distance. The gradient
    passes through the last solution, with the robust weights held constant. NaN as in `solve_translation`.
    """
    if iterations < 1:
        raise ValueError(f"iterations: expected at least 1, got {iterations}")
    data = _prepared(relative_cam, xy, weights)
    with torch.no_grad():
        root_cam = _best_guess(data)
        for _ in range(iterations - 1):
            root_cam, _ = _least_squares(data, data.weights * _row_weights(data, root_cam))
        last = _row_weights(data, root_cam)
    root_cam, usable = _least_squares(data, data.weights * last)
    with torch.no_grad():
        trust = _cauchy_weights(data, root_cam).where(usable[..., None], 0.0)
    return RobustTranslation(root_cam.where(usable[..., None], torch.nan), data.weights * trust)


def weak_perspective_translation(
    relative_cam: Float[Tensor, "*#batch joint 3"],
    xy: Float[Tensor, "*#batch joint 2"],
    root_xy: Float[Tensor, "*#batch 2"],
    weights: Float[Tensor, "*#batch joint"] | None = None,
    *,
    rule: Literal["norm_ratio", "least_squares"] = "norm_ratio",
    corrected: bool = True,
) -> Float[Tensor, "*batch 3"]:
    """Root position (m) from the pose's size under weak perspective (Mehta et al. 2017, 3DV).

    `norm_ratio`: depth = spread of the 3D joints' x and y / spread of the image points. `least_squares`: depth =
    ‖P‖² / ⟨p, P⟩, the scale that carries the centred 3D best onto the centred image points. Both give the depth of
    the joints' centroid; `corrected` moves it to the root (published practice does not). The root's X and Y follow
    by back-projection of its image point `root_xy`. Differentiable. NaN where fewer than two joints count, where
    the joints or their image points have no extent or (`least_squares`) oppose each other, where a counted joint is
    not finite or a weight is negative, and where the depth does not come out in front of the camera.
    """
    if rule not in ("norm_ratio", "least_squares"):
        raise ValueError(f"rule: expected 'norm_ratio' or 'least_squares', got {rule!r}")
    data = _prepared(relative_cam, xy, weights)
    share = _shares(data.weights)
    mean_3d = (share * data.relative).sum(-2)
    body = data.relative[..., :2] - mean_3d[..., None, :2]
    image = data.xy - (share * data.xy).sum(-2, keepdim=True)
    body_size, image_size = ((share * v.square()).sum((-2, -1)) for v in (body, image))
    if rule == "norm_ratio":
        top, bottom = body_size, image_size
    else:
        top, bottom = body_size, (share * image * body).sum((-2, -1))
    usable = (top > 0) & (bottom > 0) & data.usable
    ratio = torch.where(usable, top, 1.0) / torch.where(usable, bottom, 1.0)
    depth = ratio.sqrt() if rule == "norm_ratio" else ratio
    if corrected:
        depth = depth - mean_3d[..., 2]
    root_cam = torch.cat([root_xy * depth[..., None], depth[..., None]], dim=-1)
    return root_cam.where((usable & (depth > 0))[..., None], torch.nan)


class _Data(NamedTuple):
    """The checked, broadcast input, with harmless numbers where nothing counts."""

    relative: Tensor
    xy: Tensor
    weights: Tensor
    usable: Tensor


def _prepared(relative_cam: Tensor, xy: Tensor, weights: Tensor | None) -> _Data:
    if relative_cam.ndim < 2 or relative_cam.shape[-1] != 3:
        raise ValueError(f"relative_cam: expected (..., joints, 3), got {tuple(relative_cam.shape)}")
    joints = relative_cam.shape[-2]
    if joints < 2:
        raise ValueError(f"relative_cam: expected at least 2 joints, got {joints}")
    if xy.ndim < 2 or xy.shape[-2:] != (joints, 2):
        raise ValueError(f"xy: expected (..., {joints}, 2), got {tuple(xy.shape)}")
    if weights is None:
        weights = xy.new_ones(joints)
    elif weights.ndim < 1 or weights.shape[-1] != joints:
        raise ValueError(f"weights: expected (..., {joints}), got {tuple(weights.shape)}")
    shape = torch.broadcast_shapes(relative_cam.shape[:-1], xy.shape[:-1], weights.shape)
    counted = weights != 0
    fine = relative_cam.isfinite().all(-1) & xy.isfinite().all(-1) & weights.isfinite() & (weights >= 0)
    usable = (fine | ~counted).all(-1) & ((fine & counted).sum(-1) >= 2)
    keep = (counted & usable[..., None])[..., None]
    return _Data(
        relative=torch.where(keep, relative_cam, 0.0),
        xy=torch.where(keep, xy, 0.0),
        weights=torch.where(keep[..., 0], weights, 0.0).expand(shape),
        usable=usable,
    )


def _shares(weights: Tensor) -> Tensor:
    """Weights that sum to one over the joints, with a last axis of one; all zero where there is no weight."""
    total = weights.sum(-1, keepdim=True)
    return torch.where(total > 0, weights / torch.where(total > 0, total, 1.0), 0.0)[..., None]


def _least_squares(data: _Data, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the linear rows [1, 0, −x] T = x P_z − P_x, [0, 1, −y] T = y P_z − P_y; and where that has a meaning.

    T_x and T_y are eliminated by centring, which leaves one division and loses no digits to a narrow field of view.
    """
    share = _shares(weights)
    right = data.xy * data.relative[..., 2:] - data.relative[..., :2]
    mean_xy, mean_right = ((share * v).sum(-2, keepdim=True) for v in (data.xy, right))
    centred = data.xy - mean_xy
    extent = (share * centred.square()).sum((-2, -1))
    rounding = (8 * torch.finfo(extent.dtype).eps) ** 2 * (share * data.xy.square()).sum((-2, -1))
    spread = extent > rounding
    moment = (share * centred * (right - mean_right)).sum((-2, -1))
    depth = -torch.where(spread, moment, 0.0) / torch.where(spread, extent, 1.0)
    root_cam = torch.cat([(mean_right + depth[..., None, None] * mean_xy)[..., 0, :], depth[..., None]], dim=-1)
    mean_depth = depth + (share[..., 0] * data.relative[..., 2]).sum(-1)
    return root_cam, data.usable & spread & (mean_depth > 0)


def _best_guess(data: _Data) -> Tensor:
    """Of the two-joint solutions and the plain least-squares one, that with the least sum of image distances."""
    chosen = spread_pairs(data.relative.shape[-2], MAX_PAIRS, data.relative.device)
    usable = data.usable[..., None]
    pairs = _Data(data.relative[..., chosen, :], data.xy[..., chosen, :], data.weights[..., chosen], usable)
    guesses, usable = _least_squares(pairs, (pairs.weights > 0).all(-1, keepdim=True) * pairs.weights)
    plain, plain_usable = _least_squares(data, data.weights)
    guesses = torch.cat([guesses, plain[..., None, :]], dim=-2)
    usable = torch.cat([usable, plain_usable[..., None]], dim=-1)
    each = _Data(data.relative[..., None, :, :], data.xy[..., None, :, :], data.weights[..., None, :], data.usable)
    cost = (each.weights * _distances(each, guesses)).sum(-1).where(usable, torch.inf)
    best = cost.argmin(-1)[..., None, None].expand(*cost.shape[:-1], 1, 3)
    return guesses.gather(-2, best)[..., 0, :]


def _distances(data: _Data, root_cam: Tensor) -> Tensor:
    """Distance on the plane z = 1 between each joint's projection and its image point."""
    joints_cam = data.relative + root_cam[..., None, :]
    depth = joints_cam[..., 2:]
    in_front = depth > torch.finfo(depth.dtype).eps
    projected = joints_cam[..., :2] / torch.where(in_front, depth, 1.0)
    return torch.linalg.vector_norm(projected - data.xy, dim=-1).where(in_front[..., 0], NOWHERE)


def _cauchy_weights(data: _Data, root_cam: Tensor) -> Tensor:
    distances = _distances(data, root_cam)
    floor = torch.finfo(distances.dtype).eps ** 0.5
    width = (_weighted_median(distances, data.weights) / RAYLEIGH_MEDIAN).clamp_min(floor)
    return 1 / (1 + (distances / (CAUCHY_TUNING * width[..., None])).square())


def _row_weights(data: _Data, root_cam: Tensor) -> Tensor:
    """Cauchy's weight over squared depth: the rows' misses in metres then count as distances in the image."""
    depth = data.relative[..., 2] + root_cam[..., 2:]
    nearest = 0.05 * depth.amax(-1, keepdim=True).clamp_min(torch.finfo(depth.dtype).eps)
    return _cauchy_weights(data, root_cam) / torch.maximum(depth, nearest).square()


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Smallest value whose weight, with all below it, reaches half the total (last axis)."""
    ordered, order = values.sort(-1)
    reached = weights.expand_as(values).gather(-1, order).cumsum(-1)
    index = (reached < 0.5 * reached[..., -1:]).sum(-1, keepdim=True)
    return ordered.gather(-1, index)[..., 0]
