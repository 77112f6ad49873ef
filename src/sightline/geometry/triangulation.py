"""Points of the world from their pixels in several calibrated views, robustly and with the lenses taken seriously.

A point starts where the views' rays come nearest to each other and is then moved to the least reprojection error by
damped Gauss–Newton steps (Hartley & Zisserman, ch. 12). Everything is vectorised over batch and joints.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.geometry.pairs import spread_pairs

MAX_PAIRS = 100
"""Pairs of views that the robust start tries at most, spread evenly over all pairs."""
MIN_ANGLE_RAD = math.radians(0.2)
"""Rays that meet at less than this angle do not fix a point."""
ITERATIONS = 12
"""Damped Gauss–Newton steps at most, in each of the two stages; most points need three."""

SMALL_STEP_M = 1e-9
"""Refinement ends when no point moves further than this."""
UNSEEN_PX = 1e6
"""Distance that stands in, during refinement, where a view cannot see the point at all."""


@runtime_checkable
class WorldCamera(Protocol):
    """What triangulation asks of a camera with a known place in the world (`sightline.camera.Camera` has it)."""

    @property
    def has_world(self) -> bool: ...  # noqa: D102
    def to(self, dtype: Any = None, device: Any = None) -> Any: ...  # noqa: D102
    def project(self, points_cam: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102
    def unproject(self, points_px: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102
    def world_to_camera(self, points_world: Tensor) -> Tensor: ...  # noqa: D102
    def camera_to_world(self, points_cam: Tensor) -> Tensor: ...  # noqa: D102


class Triangulation(NamedTuple):
    """Points of the world and how well each view agrees with them."""

    points_world: Float[Tensor, "*batch joint 3"]
    """Metres; NaN where not valid."""
    reprojection_px: Float[Tensor, "*batch view joint"]
    """Distance from keypoint to projected point (px), of outliers too; infinite where the point lies behind the view
    or outside its lens; NaN where the view has no keypoint or there is no point."""
    inliers: Bool[Tensor, "*batch view joint"]
    """Views that agree with the point."""
    valid: Bool[Tensor, "*batch joint"]
    """Whether at least two views agree, seeing the point before them and along rays that are not parallel."""


def triangulate(
    cameras: Sequence[WorldCamera],
    keypoints_px: Float[Tensor, "*batch view joint 2"],
    weights: Float[Tensor, "*batch view joint"] | None = None,
    *,
    robust: bool = True,
    inlier_px: float = 15.0,
) -> Triangulation:
    """World points (m) with the least weighted sum of squared reprojection errors (px²) over the views.

    `cameras` holds one camera per view, of batch shape () or one that broadcasts with *batch (moving cameras); lenses
    may differ. A view counts where the keypoint is finite, lies in the lens's range and has a positive weight.

    `robust`: every pair of views proposes a point; the proposal with the least error truncated at `inlier_px` wins, is
    refined under Cauchy's function, and last by least squares over the views that agree within `inlier_px`. Otherwise
    all views count, however far off. Two views cannot outvote each other: if they disagree there is no point.
    Computes in the keypoints' dtype (float64 recommended), without gradients. Never raises on bad points: see
    `Triangulation`.
    """
    check_views(cameras, keypoints_px, weights, inlier_px)
    with torch.no_grad():
        views = Views.of(cameras, keypoints_px, weights)
        if robust:
            points = _best_pair_points(views, inlier_px)
            points = _refined(views, points, views.weights, _cauchy(inlier_px / 2))
            agreeing = views.weights * (views.distances(points) <= inlier_px)
            points = _refined(views, points, agreeing, _squares)
        else:
            points, _ = views.nearest((views.weights > 0).to(views.weights.dtype))
            points = _refined(views, points, views.weights, _squares)
        return _judged(views, points, inlier_px if robust else math.inf)


def check_views(cameras: Sequence[WorldCamera], keypoints_px: Tensor, weights: Tensor | None, inlier_px: float) -> None:
    """Refuse views that do not fit each other, in one sentence."""
    count = len(cameras)
    if count < 2:
        raise ValueError(f"cameras: expected at least two views, got {count}")
    for index, camera in enumerate(cameras):
        if not camera.has_world:
            raise ValueError(f"cameras[{index}]: expected a camera with a place in the world (rotation, translation_m)")
    if keypoints_px.ndim < 3 or keypoints_px.shape[-1] != 2 or keypoints_px.shape[-3] != count:
        raise ValueError(f"keypoints_px: expected (..., {count} views, joints, 2), got {tuple(keypoints_px.shape)}")
    if weights is not None and weights.shape != keypoints_px.shape[:-1]:
        raise ValueError(f"weights: expected {tuple(keypoints_px.shape[:-1])}, got {tuple(weights.shape)}")
    if not inlier_px > 0:
        raise ValueError(f"inlier_px: expected a positive number of pixels, got {inlier_px}")


@dataclass(frozen=True, eq=False)
class Views:
    """Keypoints of several views and the rays they lie on; what cannot be seen has weight zero and harmless numbers."""

    cameras: tuple[Any, ...]
    keypoints_px: Float[Tensor, "*batch view joint 2"]
    weights: Float[Tensor, "*batch view joint"]
    centers: Float[Tensor, "*batch view joint 3"]
    """Where the rays start: the cameras' places in the world (m)."""
    rays: Float[Tensor, "*batch view joint 3"]
    """Unit directions in the world."""

    @staticmethod
    def of(cameras: Sequence[WorldCamera], keypoints_px: Tensor, weights: Tensor | None) -> Views:
        """Find the rays and drop what lies on none."""
        cameras = [camera.to(dtype=keypoints_px.dtype, device=keypoints_px.device) for camera in cameras]
        if weights is None:
            weights = torch.ones_like(keypoints_px[..., 0])
        centers, rays, seen = [], [], []
        for camera, view_px in zip(cameras, keypoints_px.unbind(-3), strict=True):
            rays_cam, valid = camera.unproject(view_px)
            centers.append(camera.camera_to_world(rays_cam.new_zeros(1, 3)).expand_as(rays_cam))
            rays.append(camera.camera_to_world(rays_cam) - centers[-1])
            seen.append(valid)
        counted = torch.stack(seen, dim=-2) & (weights > 0) & weights.isfinite()
        keep = counted[..., None]
        return Views(
            tuple(cameras),
            torch.where(keep, keypoints_px, 0.0),
            torch.where(counted, weights, 0.0),
            torch.stack(centers, dim=-3),
            torch.where(keep, torch.stack(rays, dim=-3), 0.0),
        )

    def joints(self, order: list[int]) -> Views:
        """The same views with these joints, in this order."""
        points, weights = self.keypoints_px[..., order, :], self.weights[..., order]
        return Views(self.cameras, points, weights, self.centers[..., order, :], self.rays[..., order, :])

    def pair(self, first: int, other: Views, second: int) -> Views:
        """View `first` of these beside view `second` of `other`."""

        def beside(mine: Tensor, others: Tensor, axis: int) -> Tensor:
            return torch.stack([mine.select(axis, first), others.select(axis, second)], dim=axis)

        return Views(
            (self.cameras[first], other.cameras[second]),
            beside(self.keypoints_px, other.keypoints_px, -3),
            beside(self.weights, other.weights, -2),
            beside(self.centers, other.centers, -3),
            beside(self.rays, other.rays, -3),
        )

    def nearest(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Points with the least weighted squared distance to the rays (m), and where the rays are not parallel."""
        share = weights / weights.sum(-2, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        anchor = (share[..., None] * self.centers).sum(-3)
        across = (
            torch.eye(3, dtype=self.rays.dtype, device=self.rays.device)
            - self.rays[..., :, None] * self.rays[..., None, :]
        )
        across = share[..., None, None] * across
        matrix = across.sum(-4)
        right = (across @ (self.centers - anchor[..., None, :, :])[..., None]).sum(-4)
        # Two rays of equal weight at angle a have the determinant sin² a / 4.
        fixed = torch.linalg.det(matrix) > math.sin(MIN_ANGLE_RAD) ** 2 / 4
        return anchor + _solved(matrix, right, fixed), fixed

    def distances(self, points: Tensor) -> Tensor:
        """Pixels from each view's keypoint to the projected point; infinite where a view cannot see the point."""
        return torch.linalg.vector_norm(self.residuals(points), dim=-1).nan_to_num(nan=torch.inf)

    def residuals(self, points: Tensor) -> Tensor:
        """Projected point minus keypoint (px), (*batch view joint 2); NaN where a view cannot see the point."""
        return self._projected(points) - self.keypoints_px

    def jacobian(self, points: Tensor) -> Tensor:
        """Derivative of the pixels by the world point (px/m), (*batch view joint 2 3), by central differences.

        Unlike automatic differentiation that also works in inference mode, for every lens, at the same accuracy.
        """
        reach = torch.linalg.vector_norm(points[..., None, :, :] - self.centers, dim=-1).amin(-2).clamp_min(0.1)
        step = torch.finfo(points.dtype).eps ** (1 / 3) * reach[..., None, None]
        axes = torch.eye(3, dtype=points.dtype, device=points.device)
        moved = points[..., None, :] + step * torch.cat([axes, -axes])
        pixels = self._projected(moved.flatten(-3, -2)).unflatten(-2, (points.shape[-2], 6))
        return ((pixels[..., :3, :] - pixels[..., 3:, :]) / (2 * step[..., None, :, :, :])).mT

    def _projected(self, points: Tensor) -> Tensor:
        return torch.stack([c.project(c.world_to_camera(points))[0] for c in self.cameras], dim=-3)


Robust = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Distance (px) → cost (px²) and the weight that a squared distance has in it."""


def _squares(distances: Tensor) -> tuple[Tensor, Tensor]:
    return distances.square(), torch.ones_like(distances)


def _cauchy(width: float) -> Robust:
    def cost_and_weight(distances: Tensor) -> tuple[Tensor, Tensor]:
        ratio = (distances / width).square()
        return width**2 * torch.log1p(ratio), 1 / (1 + ratio)

    return cost_and_weight


def _best_pair_points(views: Views, inlier_px: float) -> Tensor:
    """Of the points that pairs of views, and all views together, propose: that with the least truncated error."""
    count = views.weights.shape[-2]
    samples = [torch.ones(count, dtype=torch.bool)]
    for pair in spread_pairs(count, MAX_PAIRS) if count > 2 else []:
        samples.append(torch.zeros(count, dtype=torch.bool).index_fill(0, pair, True))
    best_points, best_cost = torch.full_like(views.rays[..., 0, :, :], torch.nan), None
    for sample in samples:
        mine = (views.weights > 0) & sample.to(views.weights.device)[:, None]
        points, fixed = views.nearest(mine.to(views.weights.dtype))
        cost = (views.weights * views.distances(points).clamp_max(inlier_px).square()).sum(-2)
        cost = cost.where(fixed & (mine.sum(-2) >= 2), torch.inf)
        better = cost < (torch.inf if best_cost is None else best_cost)
        best_points = torch.where(better[..., None], points, best_points)
        best_cost = cost if best_cost is None else torch.minimum(cost, best_cost)
    return best_points


def _refined(views: Views, points: Tensor, weights: Tensor, robust: Robust) -> Tensor:
    """Move the points to the least Σ weight · cost by Levenberg–Marquardt; each point has its own damping."""

    def total(at: Tensor) -> tuple[Tensor, Tensor]:
        cost, weight = robust(views.distances(at).clamp_max(UNSEEN_PX))
        counted = weights > 0
        return (weights * cost).where(counted, 0.0).sum(-2), (weights * weight).where(counted, 0.0)

    damping = torch.full_like(points[..., 0], 1e-4)
    cost, weight = total(points)
    for _ in range(ITERATIONS):
        residual, jacobian = views.residuals(points), views.jacobian(points)
        good = (weight > 0) & residual.isfinite().all(-1) & jacobian.isfinite().all((-1, -2))
        weighted = torch.where(good[..., None, None], weight[..., None, None] * jacobian, 0.0)
        jacobian, residual = (
            torch.where(good[..., None, None], jacobian, 0.0),
            torch.where(good[..., None], residual, 0.0),
        )
        normal = (weighted.mT @ jacobian).sum(-4)
        downhill = -(weighted.mT @ residual[..., None]).sum(-4)
        normal = normal + damping[..., None, None] * torch.diag_embed(normal.diagonal(dim1=-2, dim2=-1))
        step = _solved(normal, downhill, _well_posed(normal))
        new_cost, new_weight = total(points + step)
        better = new_cost < cost
        points = torch.where(better[..., None], points + step, points)
        cost, weight = torch.where(better, new_cost, cost), torch.where(better[..., None, :], new_weight, weight)
        damping = torch.where(better, damping / 10, damping * 10).clamp(1e-9, 1e6)
        if not bool((step.abs() > SMALL_STEP_M).any()):
            break
    return points


def _judged(views: Views, points: Tensor, inlier_px: float) -> Triangulation:
    distances, seen = views.distances(points), views.weights > 0
    inliers = seen & (distances <= inlier_px) & distances.isfinite()
    _, fixed = views.nearest(inliers.to(points.dtype))
    valid = (inliers.sum(-2) >= 2) & fixed & points.isfinite().all(-1)
    return Triangulation(
        points_world=points.where(valid[..., None], torch.nan),
        reprojection_px=distances.where(seen & valid[..., None, :], torch.nan),
        inliers=inliers & valid[..., None, :],
        valid=valid,
    )


def _well_posed(normal: Tensor) -> Tensor:
    """Whether a 3×3 matrix of normal equations has an inverse worth the name."""
    size = normal.diagonal(dim1=-2, dim2=-1).sum(-1) / 3
    return torch.linalg.det(normal) > 10 * torch.finfo(normal.dtype).eps * size**3


def _solved(matrix: Tensor, right: Tensor, solvable: Tensor) -> Tensor:
    """Solve 3×3 systems (*b 3 3), (*b 3 1) → (*b 3); zero where not solvable."""
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    safe = solvable & right.isfinite().all((-1, -2))
    solution = torch.linalg.solve(torch.where(safe[..., None, None], matrix, identity), right)[..., 0]
    return solution.where(safe[..., None], 0.0)
