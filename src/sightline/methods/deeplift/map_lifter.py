"""2D landmarks → poses by maximum a posteriori: the paper's exhaustive search over headings, exact in all the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.geometry.rotation import axis_rotation, pitch_roll_from_up
from sightline.methods.deeplift.candidates import free_rotations
from sightline.methods.deeplift.prior import PosePrior
from sightline.methods.deeplift.projection import Solved, centred_view, heading_rotations, solve
from sightline.methods.deeplift.refine import flattened, turned_best
from sightline.methods.deeplift.shapes import JOINTS, to_joints
from sightline.methods.deeplift.tables import Candidates, Table, build_table

LEAST_LANDMARKS = 5
"""Landmarks that have to be seen of a person: fewer say less than scale, place and heading."""
PITCH_STEP = math.radians(1.0)
"""Tilts of cameras are told apart by this where candidates are tried; what is refined takes the tilt as it is."""
_NEAR_TIE = 0.05
"""Candidates that cost (nats) so little more than the best in single precision are compared in double."""
_KEPT_TABLES = 8
_APART = math.radians(30.0)
"""Modes of one component are at least so far apart in rotation."""


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """How landmarks are lifted."""

    rotations: int = 80
    """Headings that are tried, evenly about the vertical."""
    spacing_rad: float = math.radians(18.0)
    """How far apart the orientations are that are tried with a prior of any orientation."""
    tilts_rad: tuple[float, ...] = (0.0,)
    """Tilts of the camera that are tried beside what is known of it: added to the pitch that `up_cam` tells."""
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
        if not self.tilts_rad:
            raise ValueError("tilts_rad: expected at least one tilt, such as 0")
        if not self.noise or not all(0 < level < 1 for level in self.noise):
            raise ValueError(f"noise: expected levels between 0 and 1 body size, got {self.noise}")
        if self.perspective_rounds < 0:
            raise ValueError(f"perspective_rounds: expected 0 or more, got {self.perspective_rounds}")


class MapPoses(NamedTuple):
    """Poses that landmarks may come from, of each person the likeliest first. Lengths are in body sizes, √(Σ limb²).

    Rows without an answer (`valid` is False) are NaN.
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


class _Chosen(NamedTuple):
    component: Tensor
    cam_from_body: Tensor
    noise: Tensor
    cost: Tensor


class MapLifter:
    """Lifts landmarks with a prior; tables are worked out when first needed, and kept.

    Args:
        prior: what poses are like.
        config: how.
    """

    def __init__(self, prior: PosePrior, config: MapConfig | None = None) -> None:
        self.prior, self.config = prior, config or MapConfig()
        self._tables: dict[tuple[bytes, int], Table] = {}
        self._free = free_rotations(self.config.spacing_rad) if prior.orientation == "any" else None

    @torch.no_grad()
    def lift(
        self,
        xy: Float[Tensor, "batch 17 2"],
        weight: Float[Tensor, "batch 17"] | None = None,
        *,
        up_cam: Float[Tensor, "*#batch 3"] | None = None,
        covariance: Float[Tensor, "batch 17 2 2"] | None = None,
    ) -> MapPoses:
        """Lift landmarks of the joints of `h36m17`.

        Args:
            xy: on the plane z = 1 of a camera that looks about towards each person; a landmark that is missing is NaN.
            weight: how much a landmark counts: its noise has the variance noise² / weight. 0 where it does not count.
            up_cam: against gravity as the camera sees it, any length; a level camera by default. With a prior of any
                orientation it says which orientations are likely.
            covariance: of each landmark's noise, in squared units of xy. It takes the place of the levels of noise when
                the pose is solved for; component and rotation are chosen by the levels before.

        Raises:
            ValueError: for arrays of other shapes, for weights that are negative or not finite, for directions or
                covariances that are none.
        """
        points, weight, valid = _checked(xy, weight)
        up = None if up_cam is None else up_cam.double().expand(len(points), 3)
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
        chosen = self._chosen(points, weight, pitch, up)
        poses = self._polished(points, weight, up, chosen, covariance)
        back = level.mT[:, None]
        joints, place = poses.joints @ back.mT, (back @ poses.place[..., None])[..., 0]
        answer = poses._replace(joints=joints, place=place, cam_from_body=back @ poses.cam_from_body, valid=valid)
        return _marked(answer)

    def _chosen(self, points: Tensor, weight: Tensor, pitch: Tensor, up: Tensor | None) -> _Chosen:
        """The likeliest candidates of each person, by tables for people whose landmarks count alike."""
        count, modes = len(points), self.config.modes
        bins = torch.round(pitch / PITCH_STEP).long()
        chosen = _Chosen(
            points.new_zeros(count, modes, dtype=torch.long),
            points.new_zeros(count, modes, 3, 3),
            points.new_zeros(count, modes),
            points.new_full((count, modes), torch.inf),
        )
        for rows in _alike(weight, bins):
            candidates = self._candidates(int(bins[rows[0]]))
            table = self._table(weight[rows[0]], int(bins[rows[0]]), candidates)
            costs, _ = table.costs(centred_view(points[rows]).float())
            costs = costs.double() + self._tilts(candidates.cam_from_body[candidates.rotation], up, rows)
            costs = self._decided(costs, candidates, points[rows], weight[rows[0]], up, rows)
            picked = _modes(costs, candidates, modes)
            values = (
                candidates.component[picked],
                self._turned(candidates, picked, pitch[rows]),
                candidates.noise[candidates.level[picked]],
                costs.gather(1, picked),
            )
            for whole, part in zip(chosen, values, strict=True):
                whole[rows] = part
        return chosen

    def _candidates(self, pitch_bin: int) -> Candidates:
        turns = self._free
        if turns is None:
            pitches = [pitch_bin * PITCH_STEP + tilt for tilt in self.config.tilts_rad]
            turns = torch.cat([heading_rotations(self.config.rotations, pitch) for pitch in pitches])
        return Candidates.of(self.prior.components, turns, self.config.noise)

    def _table(self, weight: Tensor, pitch_bin: int, candidates: Candidates) -> Table:
        """The table of these weights and this tilt, from those kept where it is among them."""
        key = (weight.numpy().tobytes(), pitch_bin)
        table = self._tables.pop(key, None)
        if table is None:
            table = build_table(self.prior.mixture, candidates, weight)
        self._tables[key] = table
        while len(self._tables) > _KEPT_TABLES:
            del self._tables[next(iter(self._tables))]
        return table

    def _decided(
        self,
        costs: Tensor,
        candidates: Candidates,
        points: Tensor,
        weight: Float[Tensor, " 17"],
        up: Tensor | None,
        rows: Tensor,
    ) -> Float[Tensor, "batch candidate"]:
        """Costs in which those so near the least that single precision does not decide are worked out in double."""
        near = costs <= costs.min(1, keepdim=True).values + _NEAR_TIE
        row, candidate = torch.nonzero(near & (near.sum(1, keepdim=True) > 1), as_tuple=True)
        if len(row):
            spread = candidates.noise[candidates.level[candidate]].square()[:, None, None, None] * torch.eye(2).double()
            turn = candidates.cam_from_body[candidates.rotation[candidate]]
            facts = (points[row], spread.expand(-1, JOINTS, 2, 2), weight.expand(len(row), JOINTS))
            exact = solve(self.prior.mixture, candidates.component[candidate], turn, *facts).cost
            costs[row, candidate] = exact + self._tilts(turn[:, None], up, rows[row])[..., 0]
        return costs

    def _tilts(
        self, cam_from_body: Float[Tensor, "*#batch candidate 3 3"], up: Tensor | None, rows: Tensor
    ) -> Float[Tensor, "batch _"]:
        """Minus log-density of orientations, where there is a vertical to compare with and a choice; else 0."""
        if self._free is None or up is None:
            return torch.zeros(len(rows), 1, dtype=torch.float64)
        upward = torch.nn.functional.normalize(up[rows], dim=-1)
        return -self.prior.tilt_log_prob((cam_from_body[..., 2] @ upward[:, :, None])[..., 0])

    def _turned(self, candidates: Candidates, picked: Tensor, pitch: Tensor) -> Float[Tensor, "batch mode 3 3"]:
        """The rotations of candidates, at the camera's own tilt instead of the nearest one that has a table."""
        rotation = candidates.cam_from_body[candidates.rotation[picked]]
        if self._free is not None:
            return rotation
        missing = torch.round(pitch / PITCH_STEP) * PITCH_STEP - pitch
        return axis_rotation("x", missing)[:, None] @ rotation

    def _polished(
        self, points: Tensor, weight: Tensor, up: Tensor | None, chosen: _Chosen, covariance: Tensor | None
    ) -> MapPoses:
        """Solve the chosen candidates in double precision, refined and corrected for perspective where asked."""
        config = self.config
        seen, counts = points[:, None].expand(-1, config.modes, -1, -1), weight[:, None].expand(-1, config.modes, -1)
        spread = chosen.noise.square()[..., None, None, None] * torch.eye(2, dtype=torch.float64)
        spread = spread.expand(*chosen.noise.shape, JOINTS, 2, 2)
        rotation, moved = chosen.cam_from_body, seen

        def asked(turn: Tensor) -> Solved:
            return solve(self.prior.mixture, chosen.component, turn, moved, spread, counts)

        found = asked(rotation)
        if covariance is not None:
            spread = covariance.double()[:, None] * found.inverse_scale.square()[..., None, None, None]
            found = asked(rotation)
        for _ in range(config.perspective_rounds):
            moved = flattened(seen, found)
            found = asked(rotation)
        if config.refine:
            rotation = turned_best(
                lambda turn: asked(turn).cost, rotation, self.prior.orientation, sweeps=config.sweeps
            )
            found = asked(rotation)
            if config.perspective_rounds:
                moved = flattened(seen, found)
                found = asked(rotation)
        everybody = torch.arange(len(points))
        found = found._replace(cost=found.cost + self._tilts(rotation, up, everybody))
        order = found.cost.argsort(dim=1)
        joints = to_joints(found.shape)
        share = (counts / counts.sum(-1, keepdim=True))[..., None]
        shift = (share * (moved - joints[..., :2] / found.inverse_scale[..., None, None])).sum(-2)
        place = torch.cat([shift, torch.ones_like(shift[..., :1])], dim=-1) * found.inverse_scale[..., None]

        def sorted_out(value: Tensor) -> Tensor:
            return value.gather(1, order.view(*order.shape, *[1] * (value.ndim - 2)).expand_as(value))

        return MapPoses(
            joints=sorted_out(joints),
            place=sorted_out(place),
            cam_from_body=sorted_out(rotation),
            component=sorted_out(chosen.component),
            noise=sorted_out(chosen.noise),
            cost=sorted_out(found.cost),
            share=(-sorted_out(found.cost)).softmax(1),
            valid=weight.new_ones(len(points), dtype=torch.bool),
        )


def _checked(xy: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Points and weights in double precision, harmless where nothing counts; and who can be lifted."""
    if xy.ndim != 3 or xy.shape[1:] != (JOINTS, 2):
        raise ValueError(f"xy: expected (batch, 17, 2), got {tuple(xy.shape)}")
    there = xy.isfinite().all(-1)
    if weight is None:
        weight = there.double()
    elif weight.shape != xy.shape[:2] or not bool((weight.isfinite() & (weight >= 0)).all()):
        raise ValueError(f"weight: expected {tuple(xy.shape[:2])} finite numbers of at least 0")
    weight = torch.where(there, weight.double(), 0.0)
    points = torch.where((weight > 0)[..., None], xy.double(), 0.0)
    share = weight / weight.sum(-1, keepdim=True).clamp_min(1e-12)
    apart = (points - (share[..., None] * points).sum(1, keepdim=True)) * (weight > 0)[..., None]
    extent = apart.square().sum((1, 2)).sqrt()
    valid = ((weight > 0).sum(-1) >= LEAST_LANDMARKS) & (extent > 1e-9 * points.abs().amax((1, 2)).clamp_min(1e-9))
    weight = torch.where(valid[:, None], weight, 1.0)
    stand_in = torch.linspace(0.0, 1.0, 2 * JOINTS, dtype=torch.float64).view(JOINTS, 2)
    return torch.where(valid[:, None, None], points, stand_in), weight, valid


def _checked_covariance(covariance: Tensor, weight: Tensor) -> Tensor:
    """Covariances in double precision, harmless where nothing counts."""
    if covariance.shape != (*weight.shape, 2, 2):
        raise ValueError(f"covariance: expected {(*weight.shape, 2, 2)}, got {tuple(covariance.shape)}")
    covariance = torch.where((weight > 0)[..., None, None], covariance.double(), torch.eye(2, dtype=torch.float64))
    trace, determinant = covariance.diagonal(dim1=-2, dim2=-1).sum(-1), torch.linalg.det(covariance)
    if not bool((covariance.isfinite().all(-1).all(-1) & (trace > 0) & (determinant >= 0)).all()):
        raise ValueError("covariance: expected finite, positive ones for all landmarks that count")
    return covariance


def _alike(weight: Tensor, bins: Tensor) -> list[Tensor]:
    """Rows of people whose landmarks count alike, before cameras tilted alike."""
    if len(weight) == 0:
        return []
    key = torch.cat([weight, bins[:, None].double()], dim=1)
    if bool((key == key[0]).all()):
        return [torch.arange(len(weight))]
    _, group = key.unique(dim=0, return_inverse=True)
    return [torch.nonzero(group == one)[:, 0] for one in range(int(group.max()) + 1)]


def _modes(costs: Tensor, candidates: Candidates, modes: int) -> Int[Tensor, "batch mode"]:
    """The cheapest candidates that differ: of one component, no two rotations are within `_APART`."""
    costs, picked = costs.clone(), []
    near = None
    for mode in range(modes):
        best = costs.argmin(1)
        picked.append(best)
        if mode == modes - 1:
            break
        near = _neighbours(candidates) if near is None else near
        same = candidates.component[best][:, None] == candidates.component
        close = near[candidates.rotation[best]][:, candidates.rotation]
        costs = costs.masked_fill(same & close, torch.inf)
    return torch.stack(picked, dim=1)


def _neighbours(candidates: Candidates) -> Bool[Tensor, "rotation rotation"]:
    flat = candidates.cam_from_body.flatten(1)
    return (flat @ flat.mT - 1) / 2 > math.cos(_APART)


def _marked(poses: MapPoses) -> MapPoses:
    """NaN where there is no answer."""
    floats = ("joints", "place", "cam_from_body", "noise", "cost", "share")
    marks = {
        name: torch.where(poses.valid.view(-1, *[1] * (getattr(poses, name).ndim - 1)), getattr(poses, name), torch.nan)
        for name in floats
    }
    return poses._replace(**marks)
