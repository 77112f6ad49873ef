"""The exact nearest of millions of 2D poses, by whatever joints are annotated (paper 003, eq. 9).

Two poses are as near as their pictures are after each is centred and scaled to norm 1 on the annotated joints alone, so
what is nearest hangs on which joints those are. Poses lie in cells, halved across the axis of the library's principal
axes along which they differ most. Queries of which all joints are annotated look only into cells whose box on those
axes is within reach, an eighth of all among a million views. For others every cell counts: each set of missing joints
is a geometry of its own, in which the boxes bound next to nothing.

A cell is compared with all its queries by products of matrices in single precision, and what those, with all that they
may have rounded, cannot rule out is measured in double precision. So what is found is what measuring every pose in
double precision would find. Poses themselves are kept in single precision. All of it is on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CELL: Final = 2048
"""Poses of a cell, about."""
LEAST_JOINTS: Final = 3
"""Fewer are turned and scaled onto almost any pose."""
_GROUP: Final = 32
"""Poses of a cell that are ruled out together."""
_QUERIES: Final = 4096
_TOGETHER: Final = 256
_FIRST: Final = 4
_AXES: Final = 12
_GAPS: Final = 64
_WAITING: Final = 1024
_SEEDS: Final = 2048
_SLACK: Final = 4e-6  # of cosines in single precision
_SLACK_SQUARED: Final = 2e-5
_SLACK_BOX: Final = 2e-5
_FARTHEST: Final = 2.0
_ROUNDED: Final = 1e-12
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
    """Numbers of the poses in each cell; −1 where one is there a second time, to fill the cell."""
    points: Float[Tensor, "cell member coordinate"]
    """The poses (x of all joints, then y), centred and scaled to norm 1 on all joints."""
    axes: Float[Tensor, "coordinate axis"]
    """Principal axes of the poses, the longest first."""
    low: Float[Tensor, "cell axis"]
    """Where the poses of each cell begin along each axis."""
    high: Float[Tensor, "cell axis"]
    """Where they end."""

    def search(self, points: Float[Tensor, "query joint 2"], count: int = 1) -> Matches:
        """Return the nearest poses.

        Args:
            points: queries in any unit, y down as in the index; NaN for joints that are not annotated.
            count: how many matches of each.

        Raises:
            ValueError: for other shapes, for queries with fewer than three joints or whose joints lie in one point,
                which are named, or for more matches than there are poses.
        """
        if points.ndim != 3 or points.shape[1:] != (self.joints, 2):
            raise ValueError(f"points: expected (query, {self.joints}, 2), got {tuple(points.shape)}")
        if not 1 <= count <= self.count:
            raise ValueError(f"count: expected 1 to {self.count}, as many as there are poses, got {count}")
        known = points.isfinite().all(-1)
        if bool((few := known.sum(1) < LEAST_JOINTS).any()):
            rows = _listed(few)
            raise ValueError(
                f"points: expected at least {LEAST_JOINTS} annotated joints in every query, not so in {rows}"
            )
        queries = normalised(points.double())
        if not bool((good := queries.isfinite().flatten(1).all(1)).all()):
            raise ValueError(f"points: expected joints that do not all lie in one point, not so in {_listed(~good)}")
        rows = torch.empty(len(points), count, dtype=torch.long)
        distance = torch.empty(len(points), count, dtype=torch.float64)
        whole = known.all(1)
        for chosen in (torch.nonzero(whole)[:, 0], torch.nonzero(~whole)[:, 0]):
            for part in chosen.split(_QUERIES) if len(chosen) else ():
                rows[part], distance[part] = self._searched(_asks(queries[part], known[part]), count)
        return Matches(rows, distance)

    def _searched(self, asks: _Asks, count: int) -> Matches:
        """Look for a batch: first in the likeliest cells, then in all that may hold something better."""
        best = _Best(asks, count, self._reach_of_some(asks, count))
        if not asks.whole:
            self._look(best, None)
            return best.matches
        gap = self._gaps(asks)
        first = torch.zeros(gap.shape, dtype=torch.bool)
        first.scatter_(1, gap.topk(min(_FIRST, gap.shape[1]), largest=False).indices, True)  # noqa: FBT003
        self._look(best, first)
        self._look(best, ~first & (gap <= (best.reach[:, None] + _SLACK_BOX).square()))
        return best.matches

    def _reach_of_some(self, asks: _Asks, count: int) -> Float[Tensor, " query"]:
        """How far the count-th nearest pose is at most: as far as it is among a few poses from everywhere."""
        order, points = self.order.flatten(), self.points.flatten(0, 1)
        real = torch.nonzero(order >= 0)[:, 0]
        some = points[real[:: max(1, self.count // max(_SEEDS, 2 * count))]]
        nearest = _cosines(some, asks).topk(count, dim=1).indices
        return _distances(some[nearest], asks.exact, asks.known).amax(1)

    def _gaps(self, asks: _Asks) -> Float[Tensor, "query cell"]:
        """How far the box of each cell is from each query, squared, at least."""
        parts = []
        for some in (asks.flat.T @ self.axes[:, :_AXES]).split(_GAPS):
            gaps = torch.zeros(len(some), len(self.points))
            for at, low, high in zip(some.T[..., None], self.low.T, self.high.T, strict=False):
                gaps += torch.maximum(low - at, at - high).clamp_min_(0).square_()
            parts.append(gaps)
        return torch.cat(parts)

    def _look(self, best: _Best, asked: Bool[Tensor, "query cell"] | None) -> None:
        """Compare queries with the poses of the cells that they ask about, or of all cells."""
        size = self.points.shape[1]
        points, rows = self.points.flatten(0, 1), self.order.flatten()
        waiting: list[tuple[Tensor, Tensor]] = []

        def settle() -> None:
            query, place = (torch.cat(parts) for parts in zip(*waiting, strict=True))
            real = rows[place] >= 0
            best.take(query[real], points[place[real]], rows[place[real]])
            waiting.clear()

        askers = None if asked is None else asked.T.contiguous()
        cells = range(len(self.points)) if askers is None else torch.nonzero(askers.any(1))[:, 0].tolist()
        everybody, room = torch.arange(len(best.reach)), _Room(size)
        sieves = best.sieves(everybody) if askers is None else []
        for cell in cells:
            if askers is not None:
                sieves = best.sieves(torch.nonzero(askers[cell])[:, 0])
            members = _members(self.points[cell])
            for sieve in sieves:
                query, member = sieve.left(members, room)
                if len(query):
                    waiting.append((query, cell * size + member))
            if sum(len(query) for query, _ in waiting) >= _WAITING:
                settle()
                sieves = best.sieves(everybody) if askers is None else sieves
        if waiting:
            settle()


class _Asks(NamedTuple):
    """Queries of which either all know all joints or none does."""

    exact: Float[Tensor, "query joint 2"]
    """Normalised, in double precision; 0 for joints that are not annotated."""
    known: Bool[Tensor, "query joint"]
    flat: Float[Tensor, "coordinate query"]
    """The same in single precision, as poses lie in the index."""
    seen: Float[Tensor, "joint query"]
    """1 for annotated joints."""
    whole: bool


def _asks(queries: Float[Tensor, "query joint 2"], known: Bool[Tensor, "query joint"]) -> _Asks:
    flat = queries.mT.flatten(1).float().T.contiguous()
    return _Asks(queries, known, flat, known.float().T.contiguous(), bool(known.all()))


class _Best:
    """The nearest poses of each query so far, and how near a pose must be to be of interest."""

    def __init__(self, asks: _Asks, count: int, reach: Float[Tensor, " query"]) -> None:
        shape = len(asks.exact), count
        self.matches = Matches(torch.zeros(shape, dtype=torch.long), torch.full(shape, math.inf, dtype=torch.float64))
        self.reach = reach
        self._asks = asks

    def sieves(self, who: Int[Tensor, " asking"]) -> list[_Sieve]:
        """Return what rules poses out for some queries, a few hundred of them each."""
        return [self._sieve(some) for some in who.split(_TOGETHER)]

    def _sieve(self, who: Int[Tensor, " asking"]) -> _Sieve:
        flat, cosine = self._asks.flat[:, who], (1 - self.reach[who].square() / 2).float()
        if self._asks.whole:
            return _Sieve(who, flat, cosine - _SLACK, None, None)
        seen, cosine = self._asks.seen[:, who], cosine.clamp_min(0)
        least = torch.full_like(cosine, -_SLACK_SQUARED)
        return _Sieve(who, flat, least, seen * (cosine / seen.sum(0).sqrt()), seen * cosine.square())

    def take(
        self, query: Int[Tensor, " pair"], poses: Float[Tensor, "pair coordinate"], rows: Int[Tensor, " pair"]
    ) -> None:
        """Measure poses for a query each, and take what is better; never twice one pose for one query."""
        apart = _distances(poses[:, None], self._asks.exact[query], self._asks.known[query])[:, 0]
        better = apart <= self.reach[query] + _ROUNDED
        query = query[better]
        if len(query) == 0:
            return
        matches, keep, touched = self.matches, self.matches.rows.shape[1], torch.unique(query)
        query = torch.cat((touched.repeat_interleave(keep), query))
        distance = torch.cat((matches.distance[touched].flatten(), apart[better]))
        row = torch.cat((matches.rows[touched].flatten(), rows[better]))
        order = distance.argsort(stable=True)
        order = order[query[order].argsort(stable=True)]
        query, distance, row = query[order], distance[order], row[order]
        kept = torch.searchsorted(query, touched)[:, None] + torch.arange(keep)
        matches.distance[touched], matches.rows[touched] = distance[kept], row[kept]
        self.reach[touched] = torch.minimum(self.reach[touched], matches.distance[touched, -1])


class _Members(NamedTuple):
    """The poses of a cell."""

    points: Float[Tensor, "member coordinate"]
    stacked: Float[Tensor, "coordinates joint"]
    """The x of all of them, then the y."""
    squares: Float[Tensor, "member joint"]
    """x² + y²."""


def _members(points: Float[Tensor, "member coordinate"]) -> _Members:
    x, y = points.unflatten(1, (2, -1)).unbind(1)
    return _Members(points, torch.cat((x, y)), x * x + y * y)


class _Room:
    """Where products of a cell with queries are kept, again and again: new memory for each would cost as much."""

    def __init__(self, size: int) -> None:
        self._size, self._room = size, torch.empty(3 * size * _TOGETHER)

    def of(self, queries: int) -> tuple[Float[Tensor, "member asking"], Float[Tensor, "coordinates asking"]]:
        """Return room for one number per member, and for two."""
        room = self._room[: 3 * self._size * queries].view(-1, queries)
        return room[: self._size], room[self._size :]


class _Sieve(NamedTuple):
    """Rules poses out for some queries: those whose cosine is too low, by more than single precision may have rounded.

    Of interest is q·p ≥ cosine·|p|, where p is about the middle of the annotated joints, so that |p|² = Σ|pⱼ|² − n|p̄|².
    Where joints are missing both sides are squared; a cosine below 0 then rules nothing out.
    """

    who: Int[Tensor, " asking"]
    """Numbers of the queries."""
    flat: Float[Tensor, "coordinate asking"]
    least: Float[Tensor, " asking"]
    mean: Float[Tensor, "joint asking"] | None
    """Makes cosine·√n·p̄ of joints' coordinates; None where all joints are annotated, and |p| is 1."""
    square: Float[Tensor, "joint asking"] | None
    """Makes cosine²·Σ|pⱼ|² of joints' squares."""

    def left(self, members: _Members, room: _Room) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
        """Return the pairs of queries and a cell's poses that are left, by their numbers."""
        excess, means = room.of(len(self.who))
        torch.mm(members.points, self.flat, out=excess)
        if self.mean is not None and self.square is not None:
            mean_x, mean_y = torch.mm(members.stacked, self.mean, out=means).chunk(2)
            excess.square_().addcmul_(mean_x, mean_x).addcmul_(mean_y, mean_y)
            excess.addmm_(members.squares, self.square, alpha=-1)
        groups = excess.unflatten(0, (-1, _GROUP))
        group, query = torch.nonzero(groups.amax(1) >= self.least, as_tuple=True)
        if len(group) == 0:
            return group, query
        pair, member = torch.nonzero(groups[group, :, query] >= self.least[query, None], as_tuple=True)
        return self.who[query[pair]], group[pair] * _GROUP + member


def _cosines(points: Float[Tensor, "pose coordinate"], asks: _Asks) -> Float[Tensor, "query pose"]:
    """How like the queries poses are on each query's annotated joints, in single precision."""
    x, y = points.unflatten(1, (2, -1)).unbind(1)
    own = asks.seen.T
    middle = (own @ x.T).square_() + (own @ y.T).square_()
    square = own @ (x * x + y * y).T - middle / own.sum(1, keepdim=True)
    return (asks.flat.T @ points.T) / square.clamp_min_(_TINY).sqrt_()


def _distances(
    points: Float[Tensor, "query pose coordinate"],
    queries: Float[Tensor, "query joint 2"],
    known: Bool[Tensor, "query joint"],
) -> Float[Tensor, "query pose"]:
    """D_2D between each query and poses of its own; 2, the largest, for poses whose known joints lie in one point."""
    poses = points.double().unflatten(-1, (2, -1)).mT.where(known[:, None, :, None], torch.nan)
    return (normalised(poses) - queries[:, None]).flatten(2).norm(dim=-1).nan_to_num(_FARTHEST)


def pose_index(points: Float[Tensor, "pose joint 2"], *, cell: int = CELL) -> PoseIndex:
    """Sort 2D poses into cells.

    Args:
        points: poses in any unit, y down; all joints known.
        cell: poses of a cell, about.

    Raises:
        ValueError: for no poses, or one that is not finite or lies in one point.
    """
    if points.ndim != 3 or points.shape[2] != 2 or len(points) == 0:
        raise ValueError(f"points: expected (pose, joint, 2) with at least one pose, got {tuple(points.shape)}")
    flat = normalised(points.float()).mT.flatten(1)
    if not bool(flat.isfinite().all() and points.isfinite().all()):
        raise ValueError("points: expected poses of known joints that do not all lie in one point")
    axes = torch.linalg.eigh(torch.cov(flat.double().T, correction=0)).eigenvectors.flip(1).float()
    along = flat @ axes
    count, depth = len(flat), max(0, math.ceil(math.log2(len(flat) / cell)))
    size = math.ceil(count / 2**depth / _GROUP) * _GROUP
    filled = size * 2**depth
    spare = torch.arange(filled - count) * count // max(1, filled - count) % count
    order = torch.cat((torch.arange(count), spare))[None]
    real = torch.cat((torch.ones(count, dtype=torch.bool), torch.zeros(len(spare), dtype=torch.bool)))[None]
    for _ in range(depth):
        sorting = _along_the_longest(along, order).argsort(dim=1)
        order = order.gather(1, sorting).unflatten(1, (2, -1)).flatten(0, 1)
        real = real.gather(1, sorting).unflatten(1, (2, -1)).flatten(0, 1)
    low, high = torch.aminmax(along[order], dim=1)
    return PoseIndex(
        joints=points.shape[1],
        count=count,
        order=torch.where(real, order, -1),
        points=flat[order],
        axes=axes,
        low=low,
        high=high,
    )


def _along_the_longest(
    along: Float[Tensor, "pose axis"], order: Int[Tensor, "cell member"]
) -> Float[Tensor, "cell member"]:
    """Where the poses of each cell lie along the axis along which they differ most."""
    axis = torch.cat([along[some].var(1, correction=0).argmax(1) for some in order.split(_some(order))])
    return along[order, axis[:, None]]


def _listed(wrong: Bool[Tensor, " query"]) -> str:
    """Which queries are wrong, in words: the first few by number."""
    rows = torch.nonzero(wrong)[:, 0].tolist()
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"{'query' if len(rows) == 1 else 'queries'} {', '.join(map(str, rows[:5]))}{more}"


def _some(order: Tensor) -> int:
    return max(1, (1 << 17) // order.shape[1])


def normalised(points: Float[Tensor, "*batch joint 2"]) -> Float[Tensor, "*batch joint 2"]:
    """Return poses centred and scaled to norm 1 on the joints that are known; 0 for those that are not.

    NaN where all known joints lie in one point.
    """
    known = points.isfinite().all(-1, keepdim=True)
    count = known.sum(-2, keepdim=True).clamp_min(1)
    filled = torch.where(known, points, 0.0)
    centred = torch.where(known, filled - filled.sum(-2, keepdim=True) / count, 0.0)
    return centred / centred.flatten(-2).norm(dim=-1)[..., None, None]
