"""2D landmarks → poses by maximum a posteriori: the paper's exhaustive search over headings, exact in all the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.geometry.rotation import axis_rotation, pitch_roll_from_up
from sightline.methods.deeplift.posterior import Posterior, posterior, turned
from sightline.methods.deeplift.prior import LEAST_JOINTS, PosePrior
from sightline.methods.deeplift.projection import Solved, solve
from sightline.methods.deeplift.refine import FIRST_STEP, flattened, turned_best
from sightline.methods.deeplift.search import SHARPEST
from sightline.methods.deeplift.shapes import JOINTS, to_joints
from sightline.methods.deeplift.starts import FreeGrid, Starts, UprightGrid

_MOST = 1e6
"""Largest weight of a landmark."""


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """How landmarks are lifted."""

    rotations: int = 80
    """Headings that are tried, evenly about the vertical."""
    spacing_rad: float = math.radians(30.0)
    """How far apart the orientations are that are tried with a prior of any orientation, before some are refined."""
    tilts_rad: tuple[float, ...] = (0.0,)
    """Tilts tried beside what is known of a camera that looks straight at the person, by a prior of upright people:
    added to the pitch that `up_cam` tells. (`DeepLiftEngine` tries those of cameras that look elsewhere.)"""
    noise: tuple[float, ...] = (0.005, 0.015, 0.04)
    """Levels of the landmarks' noise (standard deviation, body sizes) among which each person's is found."""
    modes: int = 1
    """Poses told of each person, the likeliest first."""
    refine: bool = True
    """Whether rotations are refined between those that are tried."""
    sweeps: int = 1
    """How often, ever finer."""
    perspective_rounds: int = 2
    """How often landmarks are corrected for full perspective, by the depths found before; 0 leaves it weak."""

    def __post_init__(self) -> None:
        if self.rotations < 1 or self.modes < 1:
            raise ValueError(f"rotations, modes: expected at least 1, got {self.rotations}, {self.modes}")
        if not self.tilts_rad or not all(abs(tilt) < math.pi / 2 for tilt in self.tilts_rad):
            raise ValueError(f"tilts_rad: expected at least one tilt below a right angle, got {self.tilts_rad}")
        if not 0.05 <= self.spacing_rad <= math.pi:
            raise ValueError(f"spacing_rad: expected 0.05 to π, got {self.spacing_rad}")
        if not self.noise or not all(SHARPEST <= level < 1 for level in self.noise):
            raise ValueError(f"noise: expected levels between {SHARPEST} and 1 body size, got {self.noise}")
        if self.sweeps < 1:
            raise ValueError(f"sweeps: expected at least 1, got {self.sweeps}")
        if self.perspective_rounds < 0:
            raise ValueError(f"perspective_rounds: expected 0 or more, got {self.perspective_rounds}")


class MapPoses(NamedTuple):
    """Poses that landmarks may come from, of each person the likeliest first. Lengths are in body sizes, √(Σ limb²).

    Rows without an answer (`valid` is False) are NaN, as are modes beyond those that there are, whose `share` is 0.
    """

    joints: Float[Tensor, "batch mode 17 3"]
    """In the camera's axes, about the mean of the joints: the mean of all poses that this mode leaves possible."""
    place: Float[Tensor, "batch mode 3"]
    """That mean in the camera's frame."""
    cam_from_body: Float[Tensor, "batch mode 3 3"]
    component: Int[Tensor, "batch mode"]
    noise: Float[Tensor, "batch mode"]
    """The level of the landmarks' noise that explains them best."""
    cost: Float[Tensor, "batch mode"]
    """−ln p of the landmarks (nats), comparable between modes of one person."""
    share: Float[Tensor, "batch mode"]
    """How likely a mode is among those told."""
    valid: Bool[Tensor, " batch"]
    posterior: Posterior | None = None
    """How sure the first modes are, where asked for."""


class MapLifter:
    """Lifts landmarks with a prior; tables are worked out when first needed, and kept.

    Args:
        prior: what poses are like.
        config: how.
    """

    def __init__(self, prior: PosePrior, config: MapConfig | None = None) -> None:
        self.prior, self.config = prior, config or MapConfig()
        config, mixture = self.config, prior.mixture
        self._upright = self._free = None
        if prior.orientation == "any":
            self._free = FreeGrid(mixture, config.spacing_rad, config.noise)
        else:
            self._upright = UprightGrid(mixture, config.rotations, config.tilts_rad, config.noise)

    @torch.no_grad()
    def lift(
        self,
        xy: Float[Tensor, "batch 17 2"],
        weight: Float[Tensor, "batch 17"] | None = None,
        *,
        up_cam: Float[Tensor, "*#batch 3"] | None = None,
        covariance: Float[Tensor, "batch 17 2 2"] | None = None,
        posteriors: int = 0,
    ) -> MapPoses:
        """Lift landmarks of the joints of `h36m17`.

        Args:
            xy: on the plane z = 1 of a camera that looks about towards each person; a landmark that is missing is NaN.
            weight: how much a landmark counts: its noise has the variance noise² / weight. 0 where it does not count.
            up_cam: against gravity as the camera sees it, any length; a level camera by default. With a prior of any
                orientation it says which orientations are likely.
            covariance: of each landmark's noise, in squared units of xy. It takes the place of the levels of noise when
                the pose is solved for; component and rotation are chosen by the levels before.
            posteriors: of how many modes, the likeliest first, to tell how sure they are.

        Raises:
            ValueError: for arrays of other shapes, for weights that are negative or not finite, for directions or
                covariances that are none.
        """
        points, weight, valid = _checked(xy, weight)
        up = None if up_cam is None else up_cam.cpu().double().expand(len(points), 3)
        if up is not None and not bool((up.isfinite().all(-1) & (up.norm(dim=-1) > 0)).all()):
            raise ValueError("up_cam: expected finite directions of some length")
        roll = torch.zeros(len(points), dtype=torch.float64)
        pitch = roll
        if self.prior.orientation == "upright" and up is not None:
            pitch, roll = pitch_roll_from_up(up)
        level = axis_rotation("z", roll)
        points = points @ level[:, :2, :2].mT
        if covariance is not None:
            turn = level[:, None, :2, :2]
            covariance = turn @ _checked_covariance(covariance, weight) @ turn.mT
        poses = self._polished(points, weight, up, self._starts(points, weight, pitch, up), covariance, posteriors)
        back = level.mT[:, None]
        joints, place = poses.joints @ back.mT, (back @ poses.place[..., None])[..., 0]
        known = None if poses.posterior is None else turned(poses.posterior, back)
        turn = back @ poses.cam_from_body
        return _marked(poses._replace(joints=joints, place=place, cam_from_body=turn, valid=valid, posterior=known))

    def _starts(self, points: Tensor, weight: Tensor, pitch: Tensor, up: Tensor | None) -> Starts:
        """The likeliest candidates of each person."""
        modes = self.config.modes
        if len(points) == 0:
            flat = points.new_zeros(0, modes)
            return Starts(flat.long(), points.new_zeros(0, modes, 3, 3), flat, flat)
        if self._free is not None:
            return self._free.starts(points, weight, lambda turn, rows: self._tilts(turn, up, rows), modes)
        assert self._upright is not None  # one of the two
        return self._upright.starts(points, weight, pitch, modes)

    def _tilts(
        self, cam_from_body: Float[Tensor, "batch mode 3 3"], up: Tensor | None, rows: Tensor
    ) -> Float[Tensor, "batch _"]:
        """Minus log-density of orientations, where there is a vertical to compare with and a choice; else 0."""
        if self._free is None or up is None:
            return torch.zeros(len(rows), 1, dtype=torch.float64)
        upward = torch.nn.functional.normalize(up[rows], dim=-1)
        return -self.prior.tilt_log_prob((cam_from_body[..., 2] @ upward[:, :, None])[..., 0])

    @property
    def _step(self) -> float:
        """How far apart (rad) the first turns of refinement are: half of a step between two headings, and more."""
        return FIRST_STEP if self._upright is None else max(FIRST_STEP, math.pi / max(self.config.rotations, 8))

    def _polished(
        self,
        points: Tensor,
        weight: Tensor,
        up: Tensor | None,
        starts: Starts,
        covariance: Tensor | None,
        posteriors: int,
    ) -> MapPoses:
        """Solve the chosen candidates in double precision, refined and corrected for perspective where asked."""
        config, mixture = self.config, self.prior.mixture
        seen, counts = points[:, None].expand(-1, config.modes, -1, -1), weight[:, None].expand(-1, config.modes, -1)
        spread = starts.noise.square()[..., None, None, None] * torch.eye(2, dtype=torch.float64)
        spread = spread.expand(*starts.noise.shape, JOINTS, 2, 2)
        rotation, moved = starts.cam_from_body, seen

        def asked(turn: Tensor) -> Solved:
            return solve(mixture, starts.component, turn, moved, spread, counts)

        found = asked(rotation)
        if covariance is not None:
            spread = covariance.double()[:, None] * found.inverse_scale.square()[..., None, None, None]
            found = asked(rotation)
        for _ in range(config.perspective_rounds):
            moved = flattened(seen, found)
            found = asked(rotation)
        if config.refine:
            rotation = turned_best(
                lambda turn: asked(turn).cost,
                rotation,
                self.prior.orientation,
                step=self._step,
                sweeps=config.sweeps,
            )
            found = asked(rotation)
            if config.perspective_rounds:
                moved = flattened(seen, found)
                found = asked(rotation)
        cost = found.cost + self._tilts(rotation, up, torch.arange(len(points)))
        cost = cost.masked_fill(starts.cost.isinf(), torch.inf)
        joints = to_joints(found.shape)
        share = (counts / counts.sum(-1, keepdim=True))[..., None]
        shift = (share * (moved - joints[..., :2] / found.inverse_scale[..., None, None])).sum(-2)
        place = torch.cat([shift, torch.ones_like(shift[..., :1])], dim=-1) * found.inverse_scale[..., None]
        order = cost.argsort(dim=1)

        def sorted_out(value: Tensor) -> Tensor:
            return value.gather(1, order.view(*order.shape, *[1] * (value.ndim - 2)).expand_as(value))

        known = None
        if posteriors:
            facts = (starts.component, rotation, moved, spread, counts, found.inverse_scale)
            known = posterior(mixture, *(sorted_out(value)[:, :posteriors] for value in facts))
        return MapPoses(
            joints=sorted_out(joints),
            place=sorted_out(place),
            cam_from_body=sorted_out(rotation),
            component=sorted_out(starts.component),
            noise=sorted_out(starts.noise),
            cost=sorted_out(cost),
            share=(-sorted_out(cost)).softmax(1),
            valid=weight.new_ones(len(points), dtype=torch.bool),
            posterior=known,
        )


def _checked(xy: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Points and weights in double precision, harmless where nothing counts; and who can be lifted."""
    if xy.ndim != 3 or xy.shape[1:] != (JOINTS, 2):
        raise ValueError(f"xy: expected (batch, 17, 2), got {tuple(xy.shape)}")
    xy = xy.cpu()
    there = xy.isfinite().all(-1)
    if weight is None:
        weight = there.double()
    elif weight.shape != xy.shape[:2] or not bool(((weight >= 0) & (weight <= _MOST)).all()):
        raise ValueError(f"weight: expected {tuple(xy.shape[:2])} numbers from 0 to {_MOST:.0e}")
    weight = weight.cpu()
    weight = torch.where(there, weight.double(), 0.0)
    points = torch.where((weight > 0)[..., None], xy.double(), 0.0)
    share = weight / weight.sum(-1, keepdim=True).clamp_min(1e-30)
    apart = (points - (share[..., None] * points).sum(1, keepdim=True)) * (weight > 0)[..., None]
    extent = apart.square().sum((1, 2)).sqrt()
    valid = ((weight > 0).sum(-1) >= LEAST_JOINTS) & (extent > 1e-9 * points.abs().amax((1, 2)).clamp_min(1e-9))
    weight = torch.where(valid[:, None], weight, 1.0)
    stand_in = torch.linspace(0.0, 1.0, 2 * JOINTS, dtype=torch.float64).view(JOINTS, 2)
    return torch.where(valid[:, None, None], points, stand_in), weight, valid


def _checked_covariance(covariance: Tensor, weight: Tensor) -> Tensor:
    """Covariances in double precision, harmless where nothing counts."""
    if covariance.shape != (*weight.shape, 2, 2):
        raise ValueError(f"covariance: expected {(*weight.shape, 2, 2)}, got {tuple(covariance.shape)}")
    covariance = torch.where(
        (weight > 0)[..., None, None], covariance.cpu().double(), torch.eye(2, dtype=torch.float64)
    )
    symmetric = (covariance - covariance.mT).abs().amax((-1, -2)) <= 1e-6 * covariance.abs().amax((-1, -2))
    trace, determinant = covariance.diagonal(dim1=-2, dim2=-1).sum(-1), torch.linalg.det(covariance)
    if not bool((covariance.isfinite().all(-1).all(-1) & symmetric & (trace > 0) & (determinant >= 0)).all()):
        raise ValueError("covariance: expected finite, symmetric, positive ones for all landmarks that count")
    return covariance


def _marked(poses: MapPoses) -> MapPoses:
    """NaN where there is no answer."""
    there = poses.valid[:, None] & poses.cost.isfinite()

    def marked(value: Tensor) -> Tensor:
        told = there[:, : value.shape[1]]
        return torch.where(told.view(*told.shape, *[1] * (value.ndim - 2)), value, torch.nan)

    floats = ("joints", "place", "cam_from_body", "noise", "cost")
    share = torch.where(poses.valid[:, None], poses.share, torch.nan)
    known = None if poses.posterior is None else Posterior(*(marked(value) for value in poses.posterior))
    return poses._replace(**{name: marked(getattr(poses, name)) for name in floats}, share=share, posterior=known)
