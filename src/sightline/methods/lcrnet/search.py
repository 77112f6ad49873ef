"""The exact nearest of millions of 2D poses, by whatever joints are annotated (paper 003, eq. 9).

Two poses are as near as their pictures are after each is centred and scaled to norm 1 on the annotated joints alone, so
what is nearest hangs on which joints those are, and no index over the whole poses can be searched as it is. Here poses
lie in small cells. A cell's centre c and radius r bound how like the query q any pose in it can be, on any joints V:
with unit vectors, the angle to a member is at least ∠(q, c_V) − arcsin(r / |c_V|). Cells whose bound is worse than the
best pose so far are never looked into, and what is found is what looking at every pose would find.

Queries of which all joints are annotated are compared in single precision, others in double: the annotated joints may
lie so close together that nothing else tells their shape. What is so near that single precision does not order it is
looked for once more among all poses. Poses themselves are kept in single precision. All of it is on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CELL: Final = 64
"""Poses of a cell, at most."""
LEAST_JOINTS: Final = 3
"""Fewer are turned and scaled onto almost any pose."""
_QUERIES: Final = 1024
_ROUNDS: Final = (4, 60)
_TOGETHER: Final = 16
_TABLES: Final = 128
_AT_ONCE: Final = 1 << 17
_SPARE: Final = 3
_SLACK: Final = 2e-6  # of cosines in single precision
_SLACK_DOUBLE: Final = 1e-9
_NEVER: Final = 2.0
_TINY: Final = 1e-12


class Matches(NamedTuple):
    """Which poses are nearest to each query, the nearest first."""

    rows: Int[Tensor, "query match"]
    """Numbers of the poses."""
    distance: Float[Tensor, "query match"]
    """D_2D: norm of the difference of the normalised poses, 0 to 2 (float64)."""


@dataclass(frozen=True, eq=False)
class PoseIndex:
    """2D poses, sorted into cells. Make one with `pose_index`."""

    joints: int
    count: int
    order: Int[Tensor, "cell member"]
    """Numbers of the poses in each cell; −1 where a cell is not full."""
    points: Float[Tensor, "cell member coordinate"]
    """The poses (x of all joints, then y), centred and scaled to norm 1 on all joints."""
    centres: Float[Tensor, "cell coordinate"]
    radii: Float[Tensor, " cell"]
    """How far a cell's poses are from its centre, at most."""
    joint_radii: Float[Tensor, "cell joint"]
    """The same for each joint, squared."""
    place: Int[Tensor, " pose"]
    """Where each pose lies among the cells' members."""

    def search(self, points: Float[Tensor, "query joint 2"], count: int = 1) -> Matches:
        """Return the nearest poses.

        Args:
            points: queries in any unit, y down as in the index; NaN for joints that are not annotated.
            count: how many matches of each.

        Raises:
            ValueError: for other shapes, for a query with fewer than three joints or whose joints lie in one point, or
                for more matches than there are poses.
        """
        if points.ndim != 3 or points.shape[1:] != (self.joints, 2):
            raise ValueError(f"points: expected (query, {self.joints}, 2), got {tuple(points.shape)}")
        if not 1 <= count <= self.count:
            raise ValueError(f"count: expected 1 to {self.count}, as many as there are poses, got {count}")
        known = points.isfinite().all(-1)
        if len(points) and int(known.sum(1).min()) < LEAST_JOINTS:
            raise ValueError(f"points: expected at least {LEAST_JOINTS} annotated joints in every query")
        queries = normalised(points.double())
        if not bool(queries.isfinite().all()):
            raise ValueError("points: expected joints that do not all lie in one point")
        rows = torch.empty(len(points), count, dtype=torch.long)
        distance = torch.empty(len(points), count, dtype=torch.float64)
        whole = known.all(1)
        for chosen in (torch.nonzero(whole)[:, 0], torch.nonzero(~whole)[:, 0]):
            for part in chosen.split(_QUERIES):
                rows[part], distance[part] = self._searched(queries[part], known[part], count)
        return Matches(rows, distance)

    def _searched(
        self, queries: Float[Tensor, "query joint 2"], known: Bool[Tensor, "query joint"], count: int
    ) -> Matches:
        """Look for a batch: first in the likeliest cells, then in more and more that may hold something better."""
        whole = bool(known.all())
        kind = torch.float32 if whole else torch.float64
        flat, seen = queries.mT.flatten(1).to(kind), known.to(kind)
        asks = _Asks(flat, seen, whole)
        bound = self._bounds(asks)
        best = _Best(len(flat), min(count + _SPARE, self.count), count, _SLACK if whole else _SLACK_DOUBLE)
        for cells in _ROUNDS:
            if cells < bound.shape[1]:
                first = bound.topk(cells, dim=1).indices
                asked = torch.arange(len(flat))[:, None].expand_as(first)
                need = bound.gather(1, first) >= best.needed[:, None]
                self._look(best, asks, asked[need], first[need])
                bound.scatter_(1, first, -_NEVER)
        asked, cells = torch.nonzero(bound >= best.needed[:, None].clamp_min(1 - _NEVER), as_tuple=True)
        self._look(best, asks, asked, cells)
        found = self._settled(best, queries, known, count)
        for row in torch.nonzero(best.crowded)[:, 0].tolist() if best.cosine.shape[1] < self.count else ():
            found.rows[row], found.distance[row] = self._looked_through(queries[row], known[row], count)
        return found

    def _looked_through(self, query: Tensor, known: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Measure all poses, in double precision."""
        apart = torch.empty(self.count, dtype=torch.float64)
        order, points = self.order.flatten(), self.points.flatten(0, 1)
        for some in torch.nonzero(order >= 0)[:, 0].split(_AT_ONCE):
            apart[order[some]] = _distances(points[some], query, known)
        nearest = apart.topk(count, largest=False)
        return nearest.indices, nearest.values

    def _bounds(self, asks: _Asks) -> Float[Tensor, "query cell"]:
        """The largest cosine that a pose of a cell may have with a query, on its annotated joints."""
        centres, radii = self.centres.to(asks.flat), self.radii.to(asks.flat)
        along = asks.flat @ centres.T
        if asks.whole:
            square, radius = centres.square().sum(1), radii
        else:
            x, y = centres.unflatten(1, (2, -1)).unbind(1)
            middle = (asks.seen @ x.T).square_() + (asks.seen @ y.T).square_()
            square = asks.seen @ (x * x + y * y).T - middle / asks.seen.sum(1, keepdim=True)
            radius = torch.minimum((asks.seen @ self.joint_radii.to(radii).T).sqrt_(), radii)
        length = square.clamp_min(_TINY).sqrt()
        cosine, sine = (along / length).clamp_(-1, 1), (radius / length).clamp_(max=1.0)
        level = (1 - sine * sine).sqrt_()  # cos(∠ − arcsin) without the angles
        bound = cosine * level + (1 - cosine * cosine).sqrt_() * sine
        return torch.where((cosine >= level) | (sine >= 1), 1.0, bound)

    def _look(self, best: _Best, asks: _Asks, asked: Int[Tensor, " pair"], cells: Int[Tensor, " pair"]) -> None:
        """Compare queries with all poses of a cell each; those that ask about one cell are compared together."""
        order = cells.argsort(stable=True)
        asked, cells = asked[order], cells[order]
        of_cell, size = torch.unique_consecutive(cells, return_counts=True)
        tables = (size + _TOGETHER - 1) // _TOGETHER
        seat = torch.arange(len(cells)) - (size.cumsum(0) - size).repeat_interleave(size)
        table = (tables.cumsum(0) - tables).repeat_interleave(size) + seat // _TOGETHER
        seated = torch.full((int(tables.sum()), _TOGETHER), -1)
        seated[table, seat % _TOGETHER] = asked
        its = of_cell.repeat_interleave(tables)
        for start in range(0, len(its), _TABLES):
            some, who = its[start : start + _TABLES], seated[start : start + _TABLES]
            cosine = self._cosines(asks, some, who.clamp_min(0))
            numbers = self.order[some]
            fit = (cosine >= best.needed[who.clamp_min(0)][:, None]) & (who >= 0)[:, None] & (numbers >= 0)[..., None]
            at, member, at_table = torch.nonzero(fit, as_tuple=True)
            best.take(who[at, at_table], cosine[at, member, at_table], numbers[at, member])

    def _cosines(
        self, asks: _Asks, cells: Int[Tensor, " table"], who: Int[Tensor, "table seat"]
    ) -> Float[Tensor, "table member seat"]:
        """How like the queries at each table the poses of its cell are, on each query's annotated joints."""
        members = self.points[cells].to(asks.flat)
        along = members @ asks.flat[who].mT
        if asks.whole:
            return along
        own = asks.seen[who].mT
        x, y = members.unflatten(2, (2, -1)).unbind(2)
        square = (x * x + y * y) @ own - ((x @ own).square_() + (y @ own).square_()) / own.sum(1, keepdim=True)
        return along / square.clamp_min_(_TINY).sqrt_()

    def _settled(self, best: _Best, queries: Tensor, known: Tensor, count: int) -> Matches:
        """Measure the best once more, in double precision, and return them in order."""
        poses = self.points.flatten(0, 1)[self.place[best.rows]]
        poses = poses.double().unflatten(-1, (2, -1)).mT.where(known[:, None, :, None], torch.nan)
        apart = (normalised(poses) - queries[:, None]).flatten(2).norm(dim=-1).nan_to_num(2.0)
        nearest = apart.topk(count, dim=1, largest=False)
        return Matches(best.rows.gather(1, nearest.indices), nearest.values)


def _distances(
    points: Float[Tensor, "pose coordinate"], query: Float[Tensor, "joint 2"], known: Bool[Tensor, " joint"]
) -> Float[Tensor, " pose"]:
    """D_2D between poses of the index and a query; 2, the largest, for those whose known joints lie in one point."""
    poses = points.double().unflatten(-1, (2, -1)).mT[:, known]
    return (normalised(poses) - query[known]).flatten(1).norm(dim=-1).nan_to_num(2.0)


class _Asks(NamedTuple):
    """Queries, normalised: coordinates as in the index (0 where not annotated), which joints are, and if all are."""

    flat: Float[Tensor, "query coordinate"]
    seen: Float[Tensor, "query joint"]
    whole: bool


class _Best:
    """The likest poses of each query so far; some to spare, since single precision does not order the likest."""

    def __init__(self, queries: int, keep: int, count: int, slack: float) -> None:
        self.cosine = torch.full((queries, keep), -_NEVER, dtype=torch.float64)
        self.rows = torch.zeros(queries, keep, dtype=torch.long)
        self._count, self._slack = count, slack

    @property
    def needed(self) -> Float[Tensor, " query"]:
        """The cosine that a pose has to reach to be of interest."""
        return self.cosine[:, self._count - 1] - self._slack

    @property
    def crowded(self) -> Bool[Tensor, " query"]:
        """Where there may be more poses that are as good as the last one kept."""
        return self.cosine[:, -1] >= self.needed

    def take(self, query: Int[Tensor, " found"], cosine: Float[Tensor, " found"], row: Int[Tensor, " found"]) -> None:
        """Take what is better. A query may come several times, but never twice with one pose."""
        if len(query) == 0:
            return
        keep, touched = self.cosine.shape[1], torch.unique(query)
        query = torch.cat((touched.repeat_interleave(keep), query))
        cosine = torch.cat((self.cosine[touched].flatten(), cosine.double()))
        row = torch.cat((self.rows[touched].flatten(), row))
        order = (2 * _NEVER * query.double() - cosine).argsort()
        query, cosine, row = query[order], cosine[order], row[order]
        starts = torch.searchsorted(query, touched)
        size = torch.diff(starts, append=starts.new_tensor([len(query)]))
        rank = torch.arange(len(query)) - starts.repeat_interleave(size)
        kept = rank < keep
        self.cosine[query[kept], rank[kept]] = cosine[kept]
        self.rows[query[kept], rank[kept]] = row[kept]


def pose_index(points: Float[Tensor, "pose joint 2"], *, cell: int = CELL) -> PoseIndex:
    """Sort 2D poses into cells: halved across their widest direction, again and again.

    Args:
        points: poses in any unit, y down; all joints known.
        cell: poses of a cell, at most.

    Raises:
        ValueError: for no poses, or one that is not finite or lies in one point.
    """
    if points.ndim != 3 or points.shape[2] != 2 or len(points) == 0:
        raise ValueError(f"points: expected (pose, joint, 2) with at least one pose, got {tuple(points.shape)}")
    flat = normalised(points.float()).mT.flatten(1)
    if not bool(flat.isfinite().all() and points.isfinite().all()):
        raise ValueError("points: expected poses of known joints that do not all lie in one point")
    count, depth = len(flat), max(0, math.ceil(math.log2(len(flat) / cell)))
    size = math.ceil(count / 2**depth)
    spare = torch.arange(size * 2**depth - count) * max(1, count // max(1, size * 2**depth - count))
    order = torch.cat((torch.arange(count), spare % count))[None]
    real = torch.cat((torch.ones(count, dtype=torch.bool), torch.zeros(len(spare), dtype=torch.bool)))[None]
    for _ in range(depth):
        along = _along_the_widest(flat, order)
        sorting = along.argsort(dim=1)
        order = order.gather(1, sorting).unflatten(1, (2, -1)).flatten(0, 1)
        real = real.gather(1, sorting).unflatten(1, (2, -1)).flatten(0, 1)
    members = flat[order]
    centres = members.mean(1)
    apart = (members - centres[:, None]).unflatten(2, (2, -1)).square().sum(2)
    place = torch.empty(count, dtype=torch.long)
    place[order[real]] = torch.nonzero(real.flatten())[:, 0]
    return PoseIndex(
        joints=points.shape[1],
        count=count,
        order=torch.where(real, order, -1),
        points=members,
        centres=centres,
        radii=apart.sum(2).amax(1).sqrt(),
        joint_radii=apart.amax(1),
        place=place,
    )


def _along_the_widest(flat: Tensor, order: Int[Tensor, "cell member"]) -> Float[Tensor, "cell member"]:
    """Where the poses of each cell lie along the direction in which they differ most."""
    parts = []
    for some in order.split(max(1, _AT_ONCE // order.shape[1])):
        members = flat[some]
        centred = members - members.mean(1, keepdim=True)
        widest = torch.linalg.eigh(centred.mT @ centred).eigenvectors[..., -1:]
        parts.append((centred @ widest)[..., 0])
    return torch.cat(parts)


def normalised(points: Float[Tensor, "*batch joint 2"]) -> Float[Tensor, "*batch joint 2"]:
    """Return poses centred and scaled to norm 1 on the joints that are known; 0 for those that are not.

    NaN where all known joints lie in one point.
    """
    known = points.isfinite().all(-1, keepdim=True)
    count = known.sum(-2, keepdim=True).clamp_min(1)
    filled = torch.where(known, points, 0.0)
    centred = torch.where(known, filled - filled.sum(-2, keepdim=True) / count, 0.0)
    return centred / centred.flatten(-2).norm(dim=-1)[..., None, None]
