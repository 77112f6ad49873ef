"""The prior of human poses as a value: how likely a pose is, poses that it finds likely, and what broken ones lack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple, get_args

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift.alignment import Orientation, aligned, fit_rotation
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import Solved, solve
from sightline.methods.deeplift.refine import turned_best
from sightline.methods.deeplift.shapes import DIMENSIONS, JOINTS, limb_size, to_joints, to_shapes

QUANTILES: Final = 101
"""Numbers by which a log-density is told as the share of poses that are less likely."""
TILTS: Final = 18
"""Classes of the angle between a pose's axis and the vertical, each 10° wide."""
LEAST_JOINTS: Final = 5
"""Joints that have to be there of a pose to be completed or lifted: fewer say less than scale, place and heading."""
JOINT_NOISE: Final = 0.005
"""Noise that joints are taken to have where a pose is completed, in body sizes: half a centimetre."""


class Completed(NamedTuple):
    """Poses with everything in place that was missing."""

    joints: Float[Tensor, "batch 17 3"]
    """As they came, and where they were missing as the prior has them; NaN for poses with too few joints, or all of
    them on one spot."""
    projected: Float[Tensor, "batch 17 3"]
    """All joints as the prior has them."""
    valid: Bool[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PosePrior:
    """A mixture of Gaussians of poses without place, size and heading (paper 004, section 4).

    `orientation` says what poses were turned by before the mixture was fitted: about the vertical, or any way. Upright
    priors take z for up wherever they are given poses.
    """

    mixture: Mixture
    orientation: Orientation
    size_m: float
    """Mean √(Σ limb²) of the people it was learned from, metres."""
    size_spread: float
    """Its relative standard deviation among people."""
    stature_m: float
    """Mean barefoot stature of those people (`stature.stature_from_joints`)."""
    quantiles: Float[Tensor, " quantile"]
    """Log-densities of poses that it was not fitted to, from the least to the most likely."""
    tilt: Float[Tensor, " tilt"]
    """Log-density (per steradian) of where a pose's axis points, by its angle to the vertical; for upright priors 0."""

    def __post_init__(self) -> None:
        gaussians, shares = self.mixture
        count = len(shares)
        if self.orientation not in get_args(Orientation):
            raise ValueError(f"orientation: expected {' or '.join(get_args(Orientation))}, got {self.orientation!r}")
        wanted = {"mean": (count, DIMENSIONS), "noise": (count,)}
        wanted["basis"] = (count, DIMENSIONS, gaussians.basis.shape[-1])
        for name, shape in wanted.items():
            found = getattr(gaussians, name)
            if tuple(found.shape) != shape or found.dtype != torch.float64 or not bool(found.isfinite().all()):
                raise ValueError(f"{name}: expected finite double numbers of shape {shape}, got {tuple(found.shape)}")
        if not bool((gaussians.noise > 0).all()):
            raise ValueError("noise: expected positive standard deviations")
        if not bool((shares > 0).all()) or abs(float(shares.sum()) - 1) > 1e-3:
            raise ValueError(f"shares: expected positive numbers that add to 1, got {shares.tolist()}")
        if self.quantiles.shape != (QUANTILES,) or bool((self.quantiles.diff() < 0).any()):
            raise ValueError(f"quantiles: expected {QUANTILES} rising numbers")
        if self.tilt.shape != (TILTS,):
            raise ValueError(f"tilt: expected {TILTS} numbers, got {tuple(self.tilt.shape)}")
        if not (self.size_m > 0 and self.size_spread > 0 and self.stature_m > 0):
            raise ValueError("size_m, size_spread, stature_m: expected positive numbers")

    @property
    def components(self) -> int:
        """Number of Gaussians."""
        return len(self.mixture.shares)

    @property
    def basis_size(self) -> int:
        """Wide directions of each: J of the paper."""
        return self.mixture.gaussians.basis.shape[-1]

    def log_prob(self, joints: Float[Tensor, "batch 17 3"]) -> Float[Tensor, " batch"]:
        """Log-density (nats) of poses, each component turning them as it likes best; complete joints, any unit.

        Raises:
            ValueError: for poses that are not finite or have no extent; `completed` takes those that lack joints.
        """
        shape = to_shapes(joints.double()).shape
        parts = torch.stack([one.log_prob for one in aligned(shape, self.mixture.gaussians, self.orientation)])
        return (parts + self.mixture.shares.log()[:, None]).logsumexp(0).to(joints)

    def plausibility(self, joints: Float[Tensor, "batch 17 3"]) -> Float[Tensor, " batch"]:
        """Share (0 to 1) of real poses that are less likely than these; 0 for a pose unlike any."""
        rank = torch.searchsorted(self.quantiles, self.log_prob(joints).double())
        return (rank.double() / QUANTILES).to(joints)

    def tilt_log_prob(self, cosine: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Log-density (per steradian) of the angle between a pose's axis and the vertical, by its cosine."""
        angle = cosine.clamp(-1.0, 1.0).acos()
        return self.tilt.to(cosine)[(angle * (TILTS / math.pi)).long().clamp(0, TILTS - 1)]

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "count 17 3"]:
        """Draw poses: metres, z up, any heading (or any orientation), the root at the origin, sizes as people's are."""
        gaussians, shares = self.mixture
        component = torch.multinomial(shares, count, replacement=True, generator=generator)
        wide = torch.randn(count, self.basis_size, generator=generator, dtype=torch.float64)
        rest = torch.randn(count, DIMENSIONS, generator=generator, dtype=torch.float64)
        shape = gaussians.mean[component] + (gaussians.basis[component] @ wide[..., None])[..., 0]
        joints = to_joints(shape + gaussians.noise[component, None] * rest)
        joints = joints / limb_size(joints)[:, None, None]
        size = self.size_m * (1 + self.size_spread * torch.randn(count, generator=generator, dtype=torch.float64))
        joints = joints * size.clamp_min(0.5 * self.size_m)[:, None, None] @ self._headings(count, generator).mT
        return joints - joints[:, :1]

    def _headings(self, count: int, generator: torch.Generator | None) -> Float[Tensor, "count 3 3"]:
        if self.orientation == "upright":
            angle = 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)
            return axis_rotation("z", angle)
        quaternion = torch.randn(count, 4, generator=generator, dtype=torch.float64)
        return roma.unitquat_to_rotmat(quaternion / quaternion.norm(dim=1, keepdim=True))

    def completed(
        self, joints: Float[Tensor, "batch 17 3"], weight: Float[Tensor, "batch 17"] | None = None
    ) -> Completed:
        """Project broken poses onto the model: what is missing follows from what is there.

        Args:
            joints: any unit and place, z up for upright priors; a joint that is missing is NaN.
            weight: how much a joint counts, 1 by default; 0 for one that is wrong.

        Raises:
            ValueError: for arrays of other shapes, and for weights that are negative or not finite.
        """
        if joints.ndim != 3 or joints.shape[1:] != (JOINTS, 3):
            raise ValueError(f"joints: expected (batch, 17, 3), got {tuple(joints.shape)}")
        if weight is not None and weight.shape != joints.shape[:2]:
            raise ValueError(f"weight: expected {tuple(joints.shape[:2])}, got {tuple(weight.shape)}")
        if weight is not None and not bool((weight.isfinite() & (weight >= 0)).all()):
            raise ValueError("weight: expected finite numbers of at least 0")
        there = joints.isfinite().all(-1)
        weight = there.double() if weight is None else torch.where(there, weight.double(), 0.0)
        points = torch.where(weight[..., None] > 0, joints.double(), 0.0)
        share = weight / weight.sum(-1, keepdim=True).clamp_min(1e-12)
        apart = points - (share[..., None] * points).sum(1, keepdim=True)
        extent = (share * apart.square().sum(-1)).sum(-1).sqrt()
        enough = ((weight > 0).sum(-1) >= LEAST_JOINTS) & (extent > 1e-9 * points.abs().amax((1, 2)).clamp_min(1e-9))
        stand_in = to_joints(self.mixture.gaussians.mean[:1])
        found = self._projected(
            torch.where(enough[:, None, None], points, stand_in), torch.where(enough[:, None], weight, 1.0)
        )
        projected = torch.where(enough[:, None, None], found, torch.nan).to(joints)
        kept = (weight > 0)[..., None] & enough[:, None, None]
        return Completed(torch.where(kept, joints, projected), projected, enough)

    def _projected(self, points: Tensor, weight: Tensor) -> Float[Tensor, "batch 17 3"]:
        """The pose that the likeliest component makes of the joints that count, where those are."""
        spread = (JOINT_NOISE**2 * torch.eye(3, dtype=torch.float64)).expand(JOINTS, 3, 3)
        component = torch.arange(self.components)[:, None].expand(-1, len(points))
        means = to_joints(self.mixture.gaussians.mean)[:, None]

        def asked(rotation: Tensor) -> Solved:
            return solve(self.mixture, component, rotation, points, spread, weight)

        start = fit_rotation(means, points, weight, self.orientation)
        found = asked(turned_best(lambda turn: asked(turn).cost, start, self.orientation))
        best = found.cost.argmin(0)
        rows = torch.arange(len(points))
        body = to_joints(found.shape[best, rows]) / found.inverse_scale[best, rows, None, None]
        share = (weight / weight.sum(-1, keepdim=True))[..., None]
        return body + (share * (points - body)).sum(1, keepdim=True)
