"""Joints that jump off their own path and back: found by running medians, as far as the future is known.

A joint is an outlier where it lies far from the median of its own path within a tenth or a fifth of a second, in units
of the person's size and of what is usual on that path, and where a gap parts it from the places of the path: a quick
but steady movement leads away from the median too, yet without a gap. The path is looked at as it is and with its
common speed taken out, since on the path of a swinging foot a wild place is parted from nothing. Confidence does not
protect a joint; little of it makes it easier to doubt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

REACHES_S: Final = (0.1, 0.2, 0.2)
"""Half widths of the medians, seconds: half of what one spans is the longest run of outliers that it sees."""
STEADIED: Final = (False, False, True)
"""Whether the path's speed within the reach is taken out before."""
USUAL_S: Final = 0.4
"""Half width over which it is measured how far a joint usually lies off its median."""
LEAST_SIGHTS: Final = 5
"""No judgement from fewer places than this."""
MOST_SIGHTS: Final = 16
"""A median looks at about so many places on each side: of quicker films, at every second or third frame."""
SHORT_GAP_S: Final = 0.2
"""Outliers between two good places that are no further apart than this, and a frame, are interpolated."""

FAR: Final = 0.035
"""A joint this far off (sizes of the person) …"""
TIMES_USUAL: Final = 4.0
"""… and this many times as far as usual may be an outlier …"""
BENDING: Final = 10.0
"""… beyond what an acceleration of so many sizes / s² bends the path within half a reach."""
QUICK: Final = 3.0
"""… and beyond what a speed of so many sizes / s makes of a reach that has more of the past than of the future."""
GAP: Final = 0.3
"""Share of the way from the median to an outlier that lies empty at one stretch, …"""
LEAST_GAP: Final = 0.02
"""… at least this much (sizes), …"""
GAP_BENDING: Final = 10
"""… beyond the path's usual step and what this acceleration (sizes / s²) does within a frame."""
MOST_PX: Final = 1e9
"""Places are compared as if none were further out."""
DOUBTED: Final = 0.6
"""Limits for joints of confidence 0 are this much narrower."""


class Sight(NamedTuple):
    """One person in one frame, sides repaired."""

    points_px: Float[np.ndarray, "joint 2"]
    confidence: Float[np.ndarray, " joint"]
    time_s: float
    size_px: float


class Mended(NamedTuple):
    """One person in one frame after the repair of joints, and which ones were exchanged, interpolated, taken out."""

    points_px: Float[np.ndarray, "joint 2"]
    confidence: Float[np.ndarray, " joint"]
    exchanged: Bool[np.ndarray, " joint"]
    replaced: Bool[np.ndarray, " joint"]
    removed: Bool[np.ndarray, " joint"]


class JointPaths:
    """The joints of one person over time. Sights go in with `add`; each is then measured, judged and mended, in order.

    All three take ranges of sights, counted from the first one ever added: one by one as a stream comes in, or whole
    films at once. They look at what has been added so far, so the later they are called, the more of the future counts.
    `forget` drops what no later call needs.
    """

    def __init__(self, flip: Sequence[int], fps: float) -> None:
        self._flip, self._fps = list(flip), fps
        joints = len(self._flip)
        self._first = self._end = self._judged = 0
        self._points, self._confidence = np.zeros((0, joints, 2)), np.zeros((0, joints))
        self._points_mended, self._confidence_mended = self._points, self._confidence  # pairs exchanged
        self._time, self._size = np.zeros(0), np.zeros(0)
        self._off, self._gap = (np.zeros((0, len(REACHES_S), joints)) for _ in range(2))
        self._lean_s = np.zeros((0, len(REACHES_S)))  # from each sight to the middle of what is around it
        self._middle = np.zeros((0, joints, 2))
        self._outlier, self._exchanged = np.zeros((0, joints), dtype=bool), np.zeros((0, joints), dtype=bool)

    def add(self, sights: Sequence[Sight]) -> None:
        """Add what is seen next."""
        need = self._end - self._first + len(sights)
        if need > len(self._time):
            self._grow(max(need, 2 * len(self._time), 16) - len(self._time))
        at = slice(self._end - self._first, need)
        self._points[at] = [sight.points_px for sight in sights]
        self._confidence[at] = [sight.confidence for sight in sights]
        self._points_mended[at], self._confidence_mended[at] = self._points[at], self._confidence[at]
        self._points[at] = np.clip(self._points[at], -MOST_PX, MOST_PX)  # else distances overflow
        self._time[at] = [sight.time_s for sight in sights]
        self._size[at] = [sight.size_px for sight in sights]
        self._outlier[at], self._exchanged[at] = False, False
        self._off[at], self._gap[at] = np.nan, np.nan
        self._end += len(sights)

    _ARRAYS = (
        *("_points", "_confidence", "_points_mended", "_confidence_mended", "_time", "_size"),
        *("_off", "_gap", "_lean_s", "_middle", "_outlier", "_exchanged"),
    )

    def _grow(self, more: int) -> None:
        for name in self._ARRAYS:
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros((more, *array.shape[1:]), dtype=array.dtype)]))

    def forget(self, before: int) -> None:
        """Drop sights before number `before`, but for those that later ones are compared with."""
        width = math.ceil(max(USUAL_S, *REACHES_S, SHORT_GAP_S) * self._fps) + 1
        drop = before - width - self._first
        if drop > 2 * width + 16:  # seldom, since it moves everything
            kept = self._end - self._first - drop
            for name in self._ARRAYS:
                array = getattr(self, name)
                array[:kept] = array[drop : drop + kept].copy()
            self._first += drop

    def measure(self, sights: range) -> None:
        """Find how far the joints lie off the medians of their paths."""
        low, high = sights.start - self._first, sights.stop - self._first
        points = self._points[low:high]
        around, away_s = self._around(low, high, max(REACHES_S))
        windows, after_s = self._points[around], self._time[around] - self._time[low:high, None]
        for number, (reach_s, is_steadied) in enumerate(zip(REACHES_S, STEADIED, strict=True)):
            near = away_s <= reach_s * (1 + 1e-6)
            places = np.where(near[..., None, None], windows, np.nan)
            self._lean_s[low:high, number] = np.abs(np.where(near, after_s, 0.0).sum(1)) / near.sum(1)
            if is_steadied:
                places = places - _speed(places, after_s)[:, None] * after_s[..., None, None]
            known = np.isfinite(places[..., 0]).sum(1)
            middle = _median(np.sort(places, axis=1), known)
            off = _length(points - middle)
            self._off[low:high, number] = np.where(known >= LEAST_SIGHTS, off, np.nan)
            far = (off > DOUBTED * FAR * self._size[low:high, None]).any(0)  # of the others, nobody will ask
            self._gap[low:high, number] = 0.0
            gap = self._widest_gap(places[:, :, far], middle[:, far], off[:, far], low, high)
            self._gap[low:high, number, far] = gap
            self._middle[low:high] = middle  # of the widest reach in the end

    def _around(self, low: int, high: int, reach_s: float) -> tuple[np.ndarray, np.ndarray]:
        """(sight, place) numbers of sights around some; and how far away in time, infinite beyond the ends."""
        width, stride = self._width(reach_s)
        numbers = np.arange(low, high)[:, None] + np.arange(-width, width + 1, stride)
        inside = np.minimum(np.maximum(numbers, 0), self._end - self._first - 1)
        away_s = np.abs(self._time[inside] - self._time[low:high, None])
        return inside, np.where(inside == numbers, away_s, np.inf)

    def _width(self, reach_s: float) -> tuple[int, int]:
        """How many sights lie within a reach, and of how many one is looked at."""
        count = math.ceil(reach_s * self._fps * (1 - 1e-9))
        stride = max(1, count // MOST_SIGHTS)
        return count // stride * stride, stride

    def _widest_gap(
        self, windows: np.ndarray, middle: np.ndarray, away: np.ndarray, low: int, high: int
    ) -> Float[np.ndarray, "sight joint"]:
        """The widest gap between the median and each joint, as a share of the way; 0 where there is none."""
        away_all = np.sort(_length(windows - middle[:, None]), axis=1)
        steps = _length(np.diff(windows, axis=1))[..., None]
        step = np.nan_to_num(_median(np.sort(steps, axis=1), np.isfinite(steps[..., 0]).sum(1)))[..., 0]
        least = (LEAST_GAP + GAP_BENDING / self._fps**2) * self._size[low:high, None, None] + step[:, None]
        gap, end = np.diff(away_all, axis=1), away_all[:, 1:]
        counts = (gap > least) & (end <= away[:, None] * (1 + 1e-9))
        widest = np.where(counts, gap, 0.0).max(axis=1, initial=0.0)
        return widest / np.where(widest > 0, away, 1.0)

    def judge(self, sights: range) -> None:
        """Name the outliers, and pairs of joints that took each other's place, among measured sights."""
        low, high = sights.start - self._first, sights.stop - self._first
        size, doubt = self._size[low:high, None], DOUBTED + (1 - DOUBTED) * self._confidence[low:high]
        far = np.zeros((len(sights), len(REACHES_S), len(self._flip)), dtype=bool)
        for number, reach_s in enumerate(REACHES_S):
            half = max(reach_s, 2 / self._fps) / 2
            allowed = FAR + 0.5 * BENDING * half**2 + QUICK * self._lean_s[low:high, number, None]
            far[:, number] = self._off[low:high, number] > allowed * size * doubt
        far &= self._gap[low:high] > GAP
        joints = np.flatnonzero(far.any((0, 1)))
        outlier = np.zeros_like(self._outlier[low:high])
        if len(joints):
            limit = TIMES_USUAL * self._usual(joints, low, high) * doubt[:, None, joints]
            outlier[:, joints] = (far[..., joints] & (self._off[low:high][..., joints] > limit)).any(1)
        exchanged = outlier & outlier[:, self._flip] & (np.array(self._flip) != np.arange(len(self._flip)))
        points = self._points[low:high]
        other = _length(points[:, self._flip] - self._middle[low:high])
        fits = other < np.minimum(0.4 * _length(points - self._middle[low:high]), 1.5 * FAR * size)
        exchanged &= fits & fits[:, self._flip]
        self._outlier[low:high], self._exchanged[low:high] = outlier & ~exchanged, exchanged
        for array in (self._points_mended, self._confidence_mended):
            own, others = array[low:high], array[low:high][:, self._flip]
            own[exchanged] = others[exchanged]
        self._judged = sights.stop

    def _usual(self, joints: np.ndarray, low: int, high: int) -> Float[np.ndarray, "sight reach joint"]:
        """How far some joints lie off their medians at other times: the median of that; 0 where nothing is known."""
        around, away_s = self._around(low, high, USUAL_S)
        first = int(around.min())
        offs = self._off[first : int(around.max()) + 1][..., joints]
        offs = np.moveaxis(offs, 1, -1)[around - first]  # (sight, place, joint, reach)
        offs = np.where((away_s <= USUAL_S * (1 + 1e-6))[..., None, None], offs, np.nan)
        usual = np.moveaxis(_median(np.sort(offs, axis=1), np.isfinite(offs[..., -1]).sum(1)), -1, 1)
        return np.where(np.isfinite(usual), usual, 0.0)

    def mend(self, sights: range) -> list[Mended]:
        """Repair judged sights; neighbours in time count where they have been judged too."""
        return [self._mended(at) for at in range(sights.start - self._first, sights.stop - self._first)]

    def _mended(self, at: int) -> Mended:
        points, confidence = self._points_mended[at].copy(), self._confidence_mended[at].copy()
        for joint in np.flatnonzero(self._outlier[at]):
            points[joint], confidence[joint] = self._between(at, int(joint))
        replaced = self._outlier[at] & ~np.isnan(points[:, 0])
        return Mended(points, confidence, self._exchanged[at].copy(), replaced, self._outlier[at] & ~replaced)

    def _between(self, at: int, joint: int) -> tuple[np.ndarray, float]:
        """Place and confidence between the nearest good neighbours in time; NaN and 0 where they are too far apart."""
        most_s = SHORT_GAP_S + 1.5 / self._fps
        before, after = self._neighbour(at, joint, -1, most_s), self._neighbour(at, joint, 1, most_s)
        if before is None or after is None or self._time[after] - self._time[before] > most_s:
            return np.full(2, np.nan), 0.0
        share = (self._time[at] - self._time[before]) / (self._time[after] - self._time[before])
        place = (1 - share) * self._points_mended[before, joint] + share * self._points_mended[after, joint]
        return place, 0.5 * float(self._confidence_mended[[before, after], joint].min())

    def _neighbour(self, at: int, joint: int, way: int, most_s: float) -> int | None:
        near = at + way
        while 0 <= near < self._judged - self._first and abs(self._time[near] - self._time[at]) < most_s:
            if not self._outlier[near, joint] and np.isfinite(self._points[near, joint, 0]):
                return near
            near += way
        return None


def _median(ordered: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Medians (sight, joint, d) of values (sight, place, joint, d) sorted with NaN last, of which so many are known."""
    sight, joint = np.arange(len(ordered))[:, None], np.arange(ordered.shape[2])
    low, high = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, ordered.shape[1] - 1)
    return (ordered[sight, low, joint] + ordered[sight, high, joint]) / 2


def _speed(places: np.ndarray, after_s: np.ndarray) -> np.ndarray:
    """Speeds (sight, joint, 2): the median of those between places as long before as after; 0 where none is known."""
    half = after_s.shape[1] // 2
    step_s = after_s[:, :half:-1] - after_s[:, :half]
    speeds = (places[:, :half:-1] - places[:, :half]) / np.where(step_s > 0, step_s, np.inf)[..., None, None]
    found = _median(np.sort(speeds, axis=1), np.isfinite(speeds[..., 0]).sum(1))
    return np.where(np.isfinite(found), found, 0.0)


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(vectors[..., 0] ** 2 + vectors[..., 1] ** 2)
