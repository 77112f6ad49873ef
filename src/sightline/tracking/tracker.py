"""Ids that last: who of the people of a frame is whom of those seen before."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from copy import copy
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from sightline.skeleton import Skeleton
from sightline.structures import Person
from sightline.tracking.crowd import Crowd, sights_of
from sightline.tracking.doubts import Claim, Doubts, Exchange
from sightline.tracking.likeness import SURE_AFTER, WELL_KNOWN_AFTER, Likeness

_LOST_AFTER: Final = 2  # frames without a sight
# Two sights may be one person if their pictures are this alike, and their places this near, in squares of the noise of
# four numbers (of chance alone, 95 % are nearer).
_TWIN_OKS: Final = 0.8
_TWIN_SQUARE: Final = 9.5
_JUMPED: Final = 10.0  # standard deviations in the picture; who brings an id along may be anywhere


class Tracker:
    """Gives people of a film ids that last; remembers those seen lately, however long the film.

    People are paired with those seen before so that all pairs together are likeliest (the Hungarian method). What
    counts is where the trunk is expected in the picture, the distance in 3D, the size in the picture, the object
    keypoint similarity (COCO's) of the 2D keypoints, and which way the body faces; see `likeness.py`. Nobody moves
    faster than `max_speed_m_s`. The order of people within a frame does not matter.

    Whoever was away for more than `max_gap_s` and missed more than `max_gap_frames` is forgotten, sooner if only one or
    two frames had seen them. Somebody new has an id at once: the next free ones, the largest in the picture first; no
    id is given twice. A sight that was taken for somebody lost stays open to doubt: where another fits better soon
    after, that one gets the id back (`doubts.py`). So a detection of nobody costs nobody an id for good. Ids that
    people bring along are never changed; where one had been given to somebody else, that person gets another.

    Args:
        skeleton: the joints of all people.
        max_gap_s: seconds.
        max_gap_frames: calls of `update`; it counts where frames are rare.
        max_speed_m_s: metres per second; the fastest sprinter runs 12.4.
    """

    def __init__(
        self, skeleton: Skeleton, *, max_gap_s: float = 5.0, max_gap_frames: int = 3, max_speed_m_s: float = 12.5
    ) -> None:
        if not (max_gap_s >= 0 and max_gap_frames >= 0 and max_speed_m_s > 0):
            raise ValueError(
                "max_gap_s, max_gap_frames, max_speed_m_s: expected gaps of at least 0 and a speed above 0, got "
                f"{max_gap_s}, {max_gap_frames}, {max_speed_m_s}"
            )
        self.skeleton, self.max_speed_m_s = skeleton, max_speed_m_s
        self.max_gap_s, self.max_gap_frames = max_gap_s, max_gap_frames
        self._likeness = Likeness(skeleton, max_speed_m_s)
        self._time_s, self._frame, self._next_id = -math.inf, 0, 0
        self._known = self._sights([])
        self._doubts = Doubts(self._known)

    def update(self, people: Sequence[Person], time_s: float, taken: Collection[int] = ()) -> tuple[Person, ...]:
        """Return the people of the next frame, in the same order, each with an id.

        Args:
            people: in the tracker's skeleton; some may bring their id.
            time_s: when the frame was taken, in seconds; not before the last one.
            taken: ids of others in this frame, who are not among `people`; nobody new gets them.

        Raises:
            ValueError: for time that runs backwards, another number of joints, or an id twice.
        """
        self._check(people, time_s, taken)
        self._advance(float(time_s))
        sights = self._sights(people)
        ids = self._remember(sights, self._rows(sights, taken))
        return tuple(
            _named(person, ident) if person.id is None else person for person, ident in zip(people, ids, strict=True)
        )

    def _check(self, people: Sequence[Person], time_s: float, taken: Collection[int]) -> None:
        if not self._time_s <= time_s < math.inf:
            raise ValueError(f"time_s: expected a finite time, not before {self._time_s}, got {time_s}")
        joints = len(self.skeleton)
        for count in (len(person.joints_cam_m) for person in people):
            if count != joints:
                raise ValueError(f"people: expected {joints} joints ({self.skeleton.name}), got {count}")
        ids = [*(person.id for person in people if person.id is not None), *taken]
        if len(set(ids)) < len(ids):
            raise ValueError(f"people: expected each id once in a frame, got {ids}")

    def _sights(self, people: Sequence[Person]) -> Crowd:
        like = self._likeness
        return sights_of(people, self.skeleton.root, like.trunk, like.sides, self._time_s, self._frame)

    def _advance(self, time_s: float) -> None:
        """Go to the next frame: forget those away for too long, and expect the others where they should be now."""
        step_s, self._time_s, self._frame = time_s - self._time_s, time_s, self._frame + 1
        if not len(self._known):
            return
        lately = self._lately(self._known)
        self._known = (self._known if lately.all() else self._known[lately]).after(step_s)
        if len(self._doubts):
            claimed = self._doubts.people
            self._doubts.keep(self._lately(claimed) & np.isin(claimed.id, self._known.id))
            self._doubts.advance(step_s)

    def _lately(self, people: Crowd) -> Bool[np.ndarray, " person"]:
        """Who was not away for too long; whoever was seen only once or twice is forgotten sooner."""
        allowed_s = self.max_gap_s * np.minimum(people.sights, SURE_AFTER) / SURE_AFTER
        return (self._time_s - people.seen_s <= allowed_s) | (self._missed(people) <= self.max_gap_frames)

    def _missed(self, people: Crowd) -> Int[np.ndarray, " person"]:
        """In how many frames before this one people were not seen."""
        return self._frame - 1 - people.seen_frame

    def _rows(self, sights: Crowd, taken: Collection[int]) -> Int[np.ndarray, " sight"]:
        """Which of those known each sight is, by the id it brings or by likeness; −1 for somebody new."""
        known, rows = self._known, np.full(len(sights), -1)
        open_ = np.ones((len(known), len(sights)), dtype=bool)
        if taken or (sights.id >= 0).any():
            given = [*sights.id[sights.id >= 0].tolist(), *taken]
            self._next_id = max([self._next_id, *(ident + 1 for ident in given)])
            self._doubts.settle(*given)
            open_ = ~np.isin(known.id, given)[:, None] & (sights.id < 0)
            row_of = {ident: row for row, ident in enumerate(known.id.tolist())}
            rows = np.array([row_of.get(ident, -1) for ident in sights.id.tolist()], dtype=np.int64)
        if open_.any():
            self._pair(sights, rows, open_)
        return rows

    def _pair(self, sights: Crowd, rows: np.ndarray, open_: np.ndarray) -> None:
        """Write into `rows` whom each sight is taken for: those pairs that are likeliest all together."""
        worth = self._worth(self._known, sights) * open_
        best = worth
        fresh = self._doubts.fresh(self._known) if len(self._doubts) else []
        if fresh:
            before, best = self._worth(self._doubts.people, sights), worth.copy()
            for doubt, row in fresh:
                best[row] = np.maximum(best[row], before[doubt] * open_[row])
        known, columns = linear_sum_assignment(best, maximize=True)
        real = best[known, columns] > 0
        known, columns = known[real], columns[real]
        lost = self._missed(self._known)[known] >= _LOST_AFTER
        if lost.any() and not lost.all():
            real = ~lost
            real[lost] = ~self._doubled(sights, columns[lost], columns[~lost])
            known, columns = known[real], columns[real]
        rows[columns] = known
        for doubt, row in fresh:
            column = np.flatnonzero(rows == row)
            if len(column) and before[doubt, column[0]] > worth[row, column[0]]:
                worth[row] = best[row]
                self._known = self._known.with_row(row, self._doubts.people[[doubt]])
                self._doubts.settle(int(self._known.id[row]))
                break
        self._reconsider(sights, rows, worth, open_)

    def _worth(self, people: Crowd, sights: Crowd) -> Float[np.ndarray, "person sight"]:
        return self._likeness(people, sights, self._time_s, self._frame)

    def _doubled(
        self, sights: Crowd, some: np.ndarray, others: np.ndarray, limit: float = _TWIN_SQUARE
    ) -> Bool[np.ndarray, " some"]:
        """Which of some sights may be people who are among others as well, found twice."""
        one, other = np.repeat(some, len(others)), np.tile(others, len(some))
        apart, oks = self._likeness.compared(sights, sights, one, other, self._time_s)
        square = np.nansum(apart**2 / (2 * sights.variance[one, 0]), axis=-1)
        return ((oks > _TWIN_OKS) & (square < limit)).reshape(len(some), len(others)).any(1)

    def _reconsider(self, sights: Crowd, rows: np.ndarray, worth: np.ndarray, open_: np.ndarray) -> None:
        """Put ids right by what comes out now, then doubt what is claimed now."""
        missed = self._missed(self._known)
        news = open_.any(0) & ((rows < 0) | (missed[rows] > 0))
        if not news.any():
            return
        old, columns = np.flatnonzero((rows >= 0) & ~news), np.flatnonzero(news)
        if len(old):
            columns = columns[~self._doubled(sights, columns, old, _TWIN_SQUARE * 4)]
        lost = (missed >= _LOST_AFTER) & (self._known.sights >= WELL_KNOWN_AFTER) & open_.any(1)
        unseen = lost & ~np.isin(np.arange(len(lost)), rows)
        claims: dict[int, Claim] = {}
        for column in columns.tolist():
            row = int(rows[column])
            value = float(worth[row, column]) if row >= 0 else 0.0
            if len(self._doubts):
                fits = self._worth(self._doubts.people, sights[[column]])[:, 0]
                others = frozenset(rows[(rows >= 0) & (rows != row)].tolist())
                exchange = self._doubts.better(self._known, fits, value, row, others)
                if exchange is not None:
                    rows[column] = self._exchanged(exchange)
                    return
            if row >= 0 and self._known.sights[row] >= WELL_KNOWN_AFTER:
                like = np.flatnonzero(unseen & (worth[:, column] > 0)).tolist()
                rivals = {int(self._known.id[rival]): float(worth[rival, column]) for rival in like}
                if rivals or lost[row]:
                    claims[row] = Claim(self._frame, value, {None: 0.0, **rivals})
        if claims:
            self._doubts.add(self._known[list(claims)], list(claims.values()))

    def _exchanged(self, exchange: Exchange) -> int:
        """Give the sights since a claim to the rival, and the claimed id back; returns the row it has now."""
        known, before = self._known, self._doubts.people[[exchange.doubt]]
        row = int(np.flatnonzero(known.id == exchange.ident)[0])
        if exchange.rival is None:
            new, self._next_id = self._next_id, self._next_id + 1
            self._known = known.with_id(row, new).joined(before)
            back = len(known)
        else:
            back = int(np.flatnonzero(known.id == exchange.rival)[0])
            self._known = known.with_id(row, exchange.rival).with_row(back, before)
            self._doubts.settle(exchange.rival)
        self._doubts.settle(exchange.ident)
        return back

    def _remember(self, sights: Crowd, rows: np.ndarray) -> list[int]:
        """Bring what is known up to date with the rows that sights belong to; return their ids."""
        known, ids = self._known, sights.id.copy()
        again = rows >= 0
        if again.any():
            old, seen = rows[again], sights if again.all() else sights[again]
            ids[again] = known.id[old]
            missed = self._likeness.compared(known, seen, old, np.arange(len(old)), self._time_s).missed
            spread = known.variance[old, 0, :2] + seen.variance[:, 0, :2]
            jumped = np.any(missed[:, :2] ** 2 > _JUMPED**2 * spread, axis=-1)
            known = known.seen_again(old, seen, missed, jumped)
        if not again.all():
            born = np.flatnonzero(ids < 0)
            for column in born[_largest_first(sights[born])].tolist():
                ids[column], self._next_id = self._next_id, self._next_id + 1
            known = known.joined(replace(sights, id=ids)[~again])
        self._known = known
        return ids.tolist()


def _named(person: Person, ident: int) -> Person:
    """The person with an id; the rest was checked when it was made, which takes longer than all that is done here."""
    named = copy(person)
    object.__setattr__(named, "id", ident)
    return named


def _largest_first(sights: Crowd) -> Int[np.ndarray, " sight"]:
    """Rows in an order that depends on what is seen only: by area, then by every other number."""
    numbers = [-sights.area_px[:, None], *sights.points_px.swapaxes(0, 1), sights.root_cam]
    return np.lexsort(np.nan_to_num(np.concatenate(numbers, axis=1)).T[::-1])
