"""Where lifting starts: of each person the likeliest of a grid of components, rotations and levels of noise.

People whose landmarks count alike share a table (`tables`), everybody else is asked for by `search`; with a prior of
any orientation the grid is so large that only a coarse one is looked at, at the highest level of noise, at which costs
are smooth, and several starts are refined from there.
"""

from __future__ import annotations

import functools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift.candidates import free_rotations
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import Solved, centred_view, heading_rotations, solve
from sightline.methods.deeplift.refine import turned_best
from sightline.methods.deeplift.search import Search
from sightline.methods.deeplift.shapes import JOINTS
from sightline.methods.deeplift.tables import Candidates, Table, build_table

PITCH_STEP: Final = math.radians(5.0)
"""Tilts of cameras are told apart by this where candidates are tried; what is refined takes the tilt as it is."""
APART: Final = math.radians(30.0)
"""Modes of one component are at least so far apart in rotation."""
_NEAR_TIE: Final = 0.05
"""Candidates that cost (nats) so little more than the best in single precision are compared in double."""
_ALIKE: Final = 32
"""People whose landmarks count alike from whom on a table of their own pays."""
_FROM_TABLE, _FROM_SEARCH, _FOR_ONE = 192, 24, 4
"""Candidates, the cheapest first, among which modes are picked; by a search, per level of noise; where one will do.
Of 80 headings; of more in proportion."""
_REFINED, _SWEEPS = 8, 3
"""Starts that are refined where a grid of all orientations is coarse, and how often."""
_TOGETHER: Final = 512
"""People whose candidates are looked at together, which bounds memory."""
_SHELF_BYTES: Final = 256 * 2**20
_LOCK: Final = threading.RLock()


class Starts(NamedTuple):
    """Candidates of each person; those that cost infinity are made up."""

    component: Int[Tensor, "batch start"]
    cam_from_body: Float[Tensor, "batch start 3 3"]
    noise: Float[Tensor, "batch start"]
    cost: Float[Tensor, "batch start"]
    """−ln p (nats)."""

    def take(self, picked: Int[Tensor, "batch mode"]) -> Starts:
        """Return some of each person's."""
        turns = picked[..., None, None].expand(-1, -1, 3, 3)
        flat = (self.component.gather(1, picked), self.cam_from_body.gather(1, turns), self.noise.gather(1, picked))
        return Starts(*flat, self.cost.gather(1, picked))


def distinct(starts: Starts, modes: int, apart: float = APART) -> Starts:
    """Pick the cheapest that differ: of one component, no two rotations are within `apart` (rad)."""
    costs, picked = starts.cost.clone(), []
    rows = torch.arange(len(costs))
    for _ in range(modes - 1):
        best = costs.argmin(1)
        picked.append(best)
        turn = starts.cam_from_body[rows, best]
        cosine = ((starts.cam_from_body * turn[:, None]).sum((-1, -2)) - 1) / 2
        same = starts.component == starts.component[rows, best][:, None]
        costs = costs.masked_fill(same & (cosine > math.cos(apart)), torch.inf)
        costs[rows, best] = torch.inf
    picked.append(costs.argmin(1))
    chosen = torch.stack(picked, dim=1)
    known = starts.take(chosen)
    again = (chosen[:, :, None] == chosen[:, None]).tril(-1).any(-1)
    return known._replace(cost=known.cost.masked_fill(again, torch.inf))


class Shelf:
    """Values that took long to work out, the last used of them, within a bound of memory."""

    def __init__(self, limit_bytes: int = _SHELF_BYTES) -> None:
        self._limit = limit_bytes
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, work_out: Callable[[], Any]) -> Any:
        """Return what is kept of this key, or work it out; what was last used longest ago goes first.

        Threads may ask at once: they wait for each other.
        """
        with _LOCK:
            if key not in self._kept:
                value = work_out()
                self._kept[key] = value, _bytes_of(value)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > self._limit:
                self._kept.popitem(last=False)
            return self._kept[key][0]


def _bytes_of(value: object) -> int:
    """How much memory arrays and tensors take, in values made of them."""
    if isinstance(value, (np.ndarray, Tensor)):
        return value.nbytes
    if isinstance(value, tuple):
        return sum(_bytes_of(part) for part in value)
    return sum(_bytes_of(getattr(value, one.name)) for one in fields(value)) if is_dataclass(value) else 0


class UprightGrid:
    """Headings about the vertical × components × levels of noise, for cameras of any tilt.

    Args:
        mixture: of upright poses.
        rotations: headings.
        tilts_rad: tilts of the camera that are tried beside what is known of it.
        noise: levels.
    """

    def __init__(
        self, mixture: Mixture, rotations: int, tilts_rad: tuple[float, ...], noise: tuple[float, ...]
    ) -> None:
        self._mixture, self._rotations, self._tilts, self._noise = mixture, rotations, tilts_rad, noise
        self._shelf = Shelf()
        self._share = max(1, math.ceil(rotations / 80))

    def starts(
        self,
        points: Float[Tensor, "batch 17 2"],
        weight: Float[Tensor, "batch 17"],
        pitch: Float[Tensor, " batch"],
        modes: int,
    ) -> Starts:
        """Return each person's cheapest candidates that differ, turned to the camera's own pitch (rad)."""
        several = modes > 1
        table, search = (self._share * count for count in (_FROM_TABLE, _FROM_SEARCH)) if several else (_FOR_ONE,) * 2
        return self._asked(points, weight, pitch, table, search, lambda found: distinct(found, modes))

    def cheapest(
        self,
        points: Float[Tensor, "batch 17 2"],
        weight: Float[Tensor, "batch 17"],
        pitch: Float[Tensor, " batch"],
        count: int,
    ) -> Starts:
        """Return each person's `count` cheapest candidates, or all there are, turned to the camera's own pitch (rad).

        Costs are those at the nearest tilt that is told apart: they choose, and are not those at the own pitch.
        """
        return self._asked(points, weight, pitch, count, count, lambda found: found)

    def _asked(
        self,
        points: Tensor,
        weight: Tensor,
        pitch: Tensor,
        table: int,
        search: int,
        among: Callable[[Starts], Starts],
    ) -> Starts:
        """Candidates by tables, and of each search, that are picked `among`."""
        bins, parts = torch.round(pitch / PITCH_STEP), []
        for tilt in bins.unique().tolist():
            rows = torch.nonzero(bins == tilt)[:, 0]
            for those, pattern in self._alike(rows, weight[rows]):
                if pattern is None:
                    found = self._searched(points[those], weight[those], tilt, search)
                else:
                    found = self._tabled(points[those], pattern, tilt, table)
                found = among(found)
                missing = axis_rotation("x", tilt * PITCH_STEP - pitch[those])[:, None]
                parts.append((those, found._replace(cam_from_body=missing @ found.cam_from_body)))
        return _in_order(parts)

    @staticmethod
    def _alike(rows: Int[Tensor, " some"], weight: Float[Tensor, "some 17"]) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Rows for whom a table pays, each time with their weights; then all others."""
        rest = []
        for those, pattern in _patterns(weight):
            if len(those) >= _ALIKE or bool((pattern == 1).all()):
                yield rows[those], pattern
            else:
                rest.append(rows[those])
        if rest:
            yield torch.cat(rest), None

    def _tabled(self, points: Tensor, pattern: Float[Tensor, " 17"], tilt: float, count: int) -> Starts:
        def built() -> _Grid:
            pitches = [tilt * PITCH_STEP + more for more in self._tilts]
            turns = torch.cat([heading_rotations(self._rotations, pitch) for pitch in pitches])
            return _grid(self._mixture, turns, self._noise, pattern)

        grid = self._shelf.get(_key(pattern, tilt), built)
        return grid.starts(self._mixture, points, pattern, count)

    def _searched(self, points: Tensor, weight: Tensor, tilt: float, count: int) -> Starts:
        pitches = [tilt * PITCH_STEP + more for more in self._tilts]
        found = [self._by_search(points, weight, pitch, noise, count) for pitch in pitches for noise in self._noise]
        return Starts(*(torch.cat(values, dim=1) for values in zip(*found, strict=True)))

    def _by_search(self, points: Tensor, weight: Tensor, pitch: float, noise: float, count: int) -> Starts:
        search = self._shelf.get(
            (pitch, noise), lambda: Search.build(self._mixture, count=self._rotations, pitch=pitch, noise=noise)
        )
        candidate, cost = search.kept(points, weight, count)
        turns = heading_rotations(self._rotations, pitch)[candidate % self._rotations]
        return Starts(candidate // self._rotations, turns, torch.full_like(cost, noise), cost)


class FreeGrid:
    """Orientations of any kind × components at the highest level of noise, and several starts refined from there.

    Args:
        mixture: of poses in any orientation.
        spacing_rad: how far apart orientations of the grid are.
        noise: levels.
    """

    def __init__(self, mixture: Mixture, spacing_rad: float, noise: tuple[float, ...]) -> None:
        self._mixture, self._spacing, self._noise = mixture, spacing_rad, sorted(noise)
        self._turns = free_rotations(spacing_rad)
        self._shelf = Shelf()

    def starts(
        self,
        points: Float[Tensor, "batch 17 2"],
        weight: Float[Tensor, "batch 17"],
        tilts: Callable[[Float[Tensor, "batch start 3 3"], Int[Tensor, " batch"]], Float[Tensor, "batch start"]],
        modes: int,
    ) -> Starts:
        """Return each person's cheapest orientations that differ, refined.

        Args:
            points: landmarks.
            weight: of each.
            tilts: −ln of how likely orientations of some people (rows) are by the vertical.
            modes: how many.
        """
        parts = []
        for rows, pattern in _patterns((weight > 0).to(weight)):  # how much each counts, refinement looks at
            grid = self._shelf.get(_key(pattern, 0.0), functools.partial(self._grid, pattern))
            rough = grid.starts(self._mixture, points[rows], pattern, _FROM_TABLE)
            rough = rough._replace(cost=rough.cost + tilts(rough.cam_from_body, rows))
            parts.append((rows, distinct(rough, max(_REFINED, modes))))
        return self._refined(points, weight, _in_order(parts), tilts, modes)

    def _grid(self, pattern: Float[Tensor, " 17"]) -> _Grid:
        return _grid(self._mixture, self._turns, self._noise[-1:], pattern)

    def _refined(self, points: Tensor, weight: Tensor, rough: Starts, tilts: Callable, modes: int) -> Starts:
        known = rough.cost.isfinite()

        def cost(turn: Tensor, noise: Tensor) -> Tensor:
            return _solved(self._mixture, rough.component, turn, noise, points, weight).cost

        turn = turned_best(
            lambda turn: cost(turn, rough.noise), rough.cam_from_body, "any", step=self._spacing / 2, sweeps=_SWEEPS
        )
        levels = torch.tensor(self._noise, dtype=turn.dtype)
        least, level = torch.stack([cost(turn, one.expand_as(rough.noise)) for one in levels]).min(0)
        everybody = torch.arange(len(points))
        least = (least + tilts(turn, everybody)).masked_fill(~known, torch.inf)
        return distinct(Starts(rough.component, turn, levels[level], least), modes)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Grid:
    """Candidates with the table of landmarks that count alike."""

    candidates: Candidates
    table: Table

    def starts(self, mixture: Mixture, points: Tensor, pattern: Float[Tensor, " 17"], count: int) -> Starts:
        """Return each person's cheapest candidates; where single precision does not decide, worked out in double."""
        parts = [self._some(mixture, some, pattern, count) for some in points.split(_TOGETHER)]
        return Starts(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def _some(self, mixture: Mixture, points: Tensor, pattern: Tensor, count: int) -> Starts:
        costs, _ = self.table.costs(centred_view(points).float())
        cost, candidate = costs.topk(min(count, costs.shape[1]), dim=1, largest=False)
        component, noise = self.candidates.component[candidate], self.candidates.noise[self.candidates.level[candidate]]
        turn, cost = self.candidates.cam_from_body[self.candidates.rotation[candidate]], cost.double()
        row, column = torch.nonzero(cost <= cost[:, :1] + _NEAR_TIE, as_tuple=True)
        several = torch.bincount(row, minlength=len(cost))[row] > 1
        row, column = row[several], column[several]
        if len(row):
            facts = component[row, column, None], turn[row, column, None], noise[row, column, None]
            exact = _solved(mixture, facts[0], facts[1], facts[2], points[row], pattern.expand(len(row), JOINTS))
            cost[row, column] = exact.cost[:, 0]
        return Starts(component, turn, noise, cost)


def _grid(mixture: Mixture, turns: Tensor, noise: Sequence[float], pattern: Tensor) -> _Grid:
    candidates = Candidates.of(len(mixture.shares), turns, tuple(noise))
    return _Grid(candidates=candidates, table=build_table(mixture, candidates, pattern, poses=False))


def _solved(
    mixture: Mixture,
    component: Int[Tensor, "batch start"],
    turn: Float[Tensor, "batch start 3 3"],
    noise: Float[Tensor, "batch start"],
    points: Float[Tensor, "batch 17 2"],
    weight: Float[Tensor, "batch 17"],
) -> Solved:
    """Solve candidates with landmarks that are as noisy in x as in y."""
    spread = noise.square()[..., None, None, None] * torch.eye(2, dtype=noise.dtype)
    counts = weight[:, None].expand(*noise.shape, JOINTS)
    seen = points[:, None].expand(*noise.shape, JOINTS, 2)
    return solve(mixture, component, turn, seen, spread.expand(*noise.shape, JOINTS, 2, 2), counts)


def _patterns(weight: Float[Tensor, "batch 17"]) -> list[tuple[Int[Tensor, " _"], Float[Tensor, " 17"]]]:
    """Rows of people whose landmarks count alike, with their weights."""
    if len(weight) and bool((weight == weight[0]).all()):
        return [(torch.arange(len(weight)), weight[0])]
    patterns, group = weight.unique(dim=0, return_inverse=True)
    order, counts = group.argsort(stable=True), torch.bincount(group, minlength=len(patterns))
    return list(zip(order.split(counts.tolist()), patterns, strict=True))


def _key(pattern: Float[Tensor, " 17"], tilt: float) -> tuple[bytes, float]:
    return pattern.numpy().tobytes(), tilt


def _in_order(parts: list[tuple[Int[Tensor, " _"], Starts]]) -> Starts:
    """Everybody's, back in the order of the people."""
    order = torch.cat([rows for rows, _ in parts]).argsort()
    return Starts(*(torch.cat(values)[order] for values in zip(*(found for _, found in parts), strict=True)))
