"""One person's time in view: poses in, smooth poses out, a few seconds later (no lag in the motion) or at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float

from sightline.skeleton import Skeleton
from sightline.structures import Person
from sightline.temporal._bodies import relative_size
from sightline.temporal._bones import limbs_of
from sightline.temporal._coordinates import cam_from_ray, ray_and_distance, trust_in
from sightline.temporal._one_euro import OneEuro
from sightline.temporal._zero_lag import MIN_FRAMES, zero_lag

_STEP_S: Final = 2.0  # between windows
_MARGIN_S: Final = 0.5  # at both ends of a window, of which nothing is used
_LENGTH_S: Final = 2 * (_STEP_S + _MARGIN_S)
_RAY_HZ, _DISTANCE_HZ, _SIZE_HZ, _ACROSS_HZ, _ALONG_HZ = 4.0, 2.0, 0.3, 4.0, 3.0  # expected cutoffs
_HOLD_S: Final = 0.25
# Of the 1 € filter: hertz at rest, and hertz per m/s.
_ONLINE_RAY, _ONLINE_DISTANCE, _ONLINE_ACROSS, _ONLINE_ALONG = (1.0, 10.0), (0.4, 3.0), (1.0, 10.0), (0.6, 6.0)
_ONLINE_SIZE_S: Final = 1.0


@dataclass(frozen=True, eq=False)
class Row:
    """A person at one time, and where the result belongs."""

    time_s: float
    person: Person
    slot: Any

    @property
    def points_cam_m(self) -> Float[np.ndarray, "point 3"]:
        """The joints, and behind them those beyond the skeleton."""
        if self.person.extra is None:
            return self.person.joints_cam_m
        return np.concatenate([self.person.joints_cam_m, self.person.extra.joints_cam_m])


class Chunk(NamedTuple):
    """Smooth poses of consecutive rows, ready but for their bones.

    size_m: the sum of the bones' lengths in the course of time, so slow that only the body's size is left in it.
    """

    rows: list[Row]
    points_cam_m: Float[np.ndarray, "row point 3"]
    size_m: Float[np.ndarray, " row"]


class Track(ABC):
    """What both ways of smoothing have in common. Rows come in the order of time, of one person, with equal points."""

    def __init__(self, skeleton: Skeleton, fill_gaps_s: float) -> None:
        self.skeleton, self.fill_gaps_s = skeleton, fill_gaps_s
        self.typical_m: Float[np.ndarray, " bone"] | None = None  # bones as known from before, by which size is told

    @abstractmethod
    def add(self, row: Row) -> Chunk | None:
        """Take the next row; return what is ready now."""

    @abstractmethod
    def close(self) -> Chunk | None:
        """Return all that is left: no row follows."""


class OfflineTrack(Track):
    """Smooths in windows of 5 s that overlap; each pose is the mean of two windows, weighted by a hat.

    Hats of neighbours add up to one, so the result has no seams, the cutoffs follow what a person does within seconds,
    and memory is bounded. A track of up to 5 s is one window.
    """

    def __init__(self, skeleton: Skeleton, fill_gaps_s: float) -> None:
        super().__init__(skeleton, fill_gaps_s)
        self._rows: list[Row] = []
        self._given = 0  # leading rows that are out already, kept as the context of the next window
        self._start_s: float | None = None
        self._first = True
        self._points, self._weights, self._sizes = np.empty((0, 0, 3)), np.empty((0, 0)), np.empty(0)

    def add(self, row: Row) -> Chunk | None:
        """Take the next row; return the poses that no later window changes, where a window is complete."""
        if self._start_s is None:
            self._start_s = row.time_s
        chunk = self._window(last=False) if row.time_s > self._start_s + _LENGTH_S else None
        self._rows.append(row)
        return chunk

    def close(self) -> Chunk | None:
        """Smooth the last window."""
        return self._window(last=True) if len(self._rows) > self._given else None

    def _window(self, *, last: bool) -> Chunk:
        assert self._start_s is not None  # there are rows
        times = np.array([row.time_s for row in self._rows])
        middle = self._start_s + _LENGTH_S / 2
        hat = 1.0 - np.abs(times - middle) / _STEP_S
        if self._first:
            hat[times < middle] = 1.0
        if last:
            hat[times >= middle] = 1.0
        hat = np.maximum(hat, 0.0)
        points, sizes = smooth_window(self._rows, times, self.skeleton, self.typical_m)
        self._grow(points.shape)
        found = ~np.isnan(points)
        self._points += hat[:, None, None] * np.where(found, points, 0.0)
        self._weights += hat[:, None] * found[..., 0]
        self._sizes += hat * sizes
        chunk = self._taken(times, len(times) if last else int(np.searchsorted(times, middle)))
        self._start_s, self._first = self._start_s + _STEP_S, False
        self._forget(int(np.searchsorted(times, self._start_s)))
        return chunk

    def _grow(self, shape: tuple[int, ...]) -> None:
        """Room for rows that came since the last window."""
        more = shape[0] - len(self._sizes)
        self._sizes = np.pad(self._sizes, (0, more))
        self._points = np.concatenate([self._points.reshape(-1, *shape[1:]), np.zeros((more, *shape[1:]))])
        self._weights = np.concatenate([self._weights.reshape(-1, shape[1]), np.zeros((more, shape[1]))])

    def _taken(self, times: np.ndarray, end: int) -> Chunk:
        """Rows up to `end` that are not out yet."""
        new = slice(self._given, end)
        known = np.array([~np.isnan(row.points_cam_m[:, 0]) for row in self._rows])
        weights = self._weights[new]
        there = filled(known, times, self.fill_gaps_s)[new] & (weights > 0)
        points = np.where(there[..., None], self._points[new] / np.where(there, weights, 1.0)[..., None], np.nan)
        self._given = end
        return Chunk(self._rows[new], points, self._sizes[new])

    def _forget(self, count: int) -> None:
        count = min(count, self._given)
        self._rows, self._given = self._rows[count:], self._given - count
        self._points, self._weights = self._points[count:], self._weights[count:]
        self._sizes = self._sizes[count:]


def smooth_window(
    rows: list[Row],
    times: Float[np.ndarray, " row"],
    skeleton: Skeleton,
    typical_m: Float[np.ndarray, " bone"] | None = None,
) -> tuple[Float[np.ndarray, "row point 3"], Float[np.ndarray, " row"]]:
    """Smooth points (m, camera frame), those in gaps filled, and the slow course of the body's size (m).

    The root's ray, the logarithm of its distance, and the other points relative to it, across and along the line of
    sight, are smoothed each with a strength of their own: noise along the ray is many times that across, and would
    otherwise either shake the picture or blur it.
    """
    points = np.array([row.points_cam_m for row in rows])
    root, joints = skeleton.root, len(skeleton)
    if len(rows) < MIN_FRAMES or np.isfinite(points[:, root, 0]).sum() < MIN_FRAMES:
        return points, _sizes(points[:, :joints], skeleton, typical_m)
    across, along = _trust(rows, points.shape[1], root)
    rays, distances = ray_and_distance(points[:, root])
    usual_m = float(np.nanmedian(distances))
    found = zero_lag(
        np.concatenate([rays.T, np.log(distances)[None]]) * usual_m,
        np.stack([*[across[:, root]] * 3, along[:, root]]),
        times,
        groups=np.array([0, 0, 0, 1]),
        joints=np.array([0, 0, 0, 1]),
        expected_hz=np.array([_RAY_HZ, _DISTANCE_HZ]),
    ).values / usual_m  # fmt: skip
    rays = (found[:3] / np.linalg.norm(found[:3], axis=0)).T
    smooth_root = rays * np.exp(found[3])[:, None]
    turn = cam_from_ray(rays)
    start = np.where(np.isnan(points[:, root]), smooth_root, points[:, root])
    relative = np.einsum("rba,rpb->rpa", turn, points - start[:, None])
    relative = _smooth_relative(relative, across, along, times, root)
    smooth = smooth_root[:, None] + np.einsum("rab,rpb->rpa", turn, relative)
    seen = np.where(np.isnan(points), np.nan, smooth)[:, :joints]
    return smooth, _slow(_sizes(seen, skeleton, typical_m), times)


def _smooth_relative(
    relative: Float[np.ndarray, "row point 3"], across: np.ndarray, along: np.ndarray, times: np.ndarray, root: int
) -> Float[np.ndarray, "row point 3"]:
    """Points relative to the root, z along the line of sight; those of the root are 0."""
    others = [point for point in range(relative.shape[1]) if point != root]
    count = len(others)
    place = np.arange(count)
    found = zero_lag(
        relative[:, others].transpose(2, 1, 0).reshape(3 * count, -1),
        np.concatenate([across[:, others].T, across[:, others].T, along[:, others].T]),
        times,
        groups=np.concatenate([place, place, place + count]),
        joints=np.concatenate([place, place, place]),
        expected_hz=np.repeat([_ACROSS_HZ, _ALONG_HZ], count),
    ).values
    result = np.zeros_like(relative)
    result[:, others] = found.reshape(3, count, -1).transpose(2, 1, 0)
    return result


def _trust(rows: list[Row], points: int, root: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (row, point) across and along; points beyond the skeleton are believed always alike."""
    blank = np.full((len(rows[0].person.joints_cam_m), 3), np.nan)
    sigma = np.array([blank if row.person.sigma_m is None else row.person.sigma_m for row in rows])
    trust = trust_in(sigma, np.array([row.person.confidence for row in rows]), root)
    across, along = (np.ones((len(rows), points)) for _ in range(2))
    across[:, : len(blank)], along[:, : len(blank)] = trust
    return across, along


def _sizes(
    joints_m: Float[np.ndarray, "row joint 3"], skeleton: Skeleton, typical_m: Float[np.ndarray, " bone"] | None
) -> Float[np.ndarray, " row"]:
    """The size of each pose: the typical total bone length (m) times how large the pose is beside the typical."""
    lengths = limbs_of(skeleton).lengths(joints_m)
    typical = _typical(lengths) if typical_m is None else typical_m
    whole = float(np.nansum(typical))
    return relative_size(lengths, typical) * (whole if whole > 0 else 1.0)


def _typical(lengths_m: Float[np.ndarray, "row bone"]) -> Float[np.ndarray, " bone"]:
    """Median lengths; NaN for bones that are never seen."""
    typical = np.full(lengths_m.shape[1], np.nan)
    seen = np.isfinite(lengths_m).any(0)
    typical[seen] = np.nanmedian(lengths_m[:, seen], axis=0)
    return typical


def _slow(sizes_m: Float[np.ndarray, " row"], times: np.ndarray) -> Float[np.ndarray, " row"]:
    """The slow course of sizes: poses that shorten the bones for a moment are not a body that shrinks."""
    one = np.zeros(1, dtype=np.int64)
    expected = np.array([_SIZE_HZ])
    series = np.log(sizes_m)[None]
    found = zero_lag(series, np.ones_like(series), times, groups=one, joints=one, expected_hz=expected)
    return np.exp(found.values[0])


def filled(known: np.ndarray, times: Float[np.ndarray, " row"], gap_s: float) -> np.ndarray:
    """Which points (row, point) are known or lie in a gap of at most `gap_s` between two known ones."""
    if known.all():
        return known
    before = np.maximum.accumulate(np.where(known, times[:, None], -np.inf), axis=0)
    after = np.minimum.accumulate(np.where(known, times[:, None], np.inf)[::-1], axis=0)[::-1]
    return known | (after - before <= gap_s * (1 + 1e-9))


class OnlineTrack(Track):
    """Filters pose by pose with the 1 € filter, in the same coordinates; nothing of the future is used."""

    def __init__(self, skeleton: Skeleton, fill_gaps_s: float) -> None:
        super().__init__(skeleton, fill_gaps_s)
        self._time_s: float | None = None
        self._filter: OneEuro | None = None
        self._seen_s = np.empty(0)
        self._size_m: float | None = None

    def add(self, row: Row) -> Chunk:
        """Return the row's smooth pose."""
        points = row.points_cam_m
        if self._filter is None:
            self._filter, self._seen_s = _euro(len(points)), np.full(len(points), -np.inf)
        step_s = 1.0 if self._time_s is None else row.time_s - self._time_s
        self._time_s = row.time_s
        known = ~np.isnan(points[:, 0])
        smooth = self._smoothed(points, step_s)
        self._seen_s[known] = row.time_s
        held = known | (row.time_s - self._seen_s <= min(self.fill_gaps_s, _HOLD_S))
        smooth = np.where(held[:, None], smooth, np.nan)
        size_m = self._size(smooth[: len(self.skeleton)], step_s)
        return Chunk([row], smooth[None], np.array([size_m]))

    def close(self) -> None:
        """Nothing is held back."""

    def _smoothed(self, points: np.ndarray, step_s: float) -> Float[np.ndarray, "point 3"]:
        assert self._filter is not None  # made with the first row
        root = self.skeleton.root
        (ray,), (distance,) = ray_and_distance(points[None, root])
        last = self._filter.value
        unknown = np.isnan(last[0, 0])
        if unknown and np.isnan(distance):
            return points
        about = ray if unknown else last[0] / np.linalg.norm(last[0])
        metres = np.ones(len(last))
        metres[:2] = distance if unknown else np.exp(last[1, 0])
        here = np.where(np.isnan(points[root]), about * metres[0], points[root])
        turn = cam_from_ray(about[None])[0]
        relative = (points - here) @ turn
        state = np.concatenate([ray[None], [[np.log(distance), 0.0, 0.0]], relative, relative])
        state[2 : 2 + len(points), 2] = 0.0
        state[2 + len(points) :, :2] = 0.0
        state[np.isnan(state).any(axis=1)] = np.nan
        found = self._filter.update(state, step_s, metres)
        across, along = found[2 : 2 + len(points)], found[2 + len(points) :]
        place = found[0] / np.linalg.norm(found[0]) * np.exp(found[1, 0])
        return place + (across + along) @ turn.T

    def _size(self, joints_m: np.ndarray, step_s: float) -> float:
        """The body's size (m), slowly followed."""
        if self.typical_m is None:
            self.typical_m = limbs_of(self.skeleton).lengths(joints_m)
        now = float(_sizes(joints_m[None], self.skeleton, self.typical_m)[0])
        if self._size_m is None:
            self._size_m = now
        self._size_m += (1 - math.exp(-step_s / _ONLINE_SIZE_S)) * (now - self._size_m)
        return self._size_m


def _euro(points: int) -> OneEuro:
    kinds = np.array([_ONLINE_RAY, _ONLINE_DISTANCE] + points * [_ONLINE_ACROSS] + points * [_ONLINE_ALONG])
    return OneEuro(kinds[:, 0], kinds[:, 1])
