"""2D keypoints of people over time: left and right put right, joints that jump taken out.

What a detector sees in single frames is repaired by what it saw before and after: whole bodies, arms or legs whose left
and right it exchanged for a while (`_swaps`), then joints that jump off their path (`_outliers`). Each person, by id,
is looked at alone. Photos, which have no frame rate, and people without id pass unchanged.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from sightline.skeleton import Skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints
from sightline.temporal._outliers import REACHES_S, SHORT_GAP_S, USUAL_S, JointPaths, Mended, Sight
from sightline.temporal._report import Kind, RepairReport, Tally
from sightline.temporal._sides import ARMS, LEGS, SideLayout, anatomical_cost, side_layout
from sightline.temporal._swaps import FORGOTTEN_S, SideFilter, person_size

LAG_S: Final = 0.5
"""A lag for live films that loses little, in seconds."""
CHUNK: Final = 256
"""Frames of a whole film whose poses, and sights of a person whose medians, are looked at at once."""


@dataclass(eq=False)
class _Sight:
    """One person in one frame on the way through."""

    frame: int  # frames pushed before this one
    time_s: float
    person: PersonKeypoints
    size_px: float
    before: np.ndarray  # labelling → labelling before, on the best path
    labelling: int = 0
    number: int = 0  # within the path
    result: PersonKeypoints | None = None


@dataclass(eq=False)
class _Track:
    """A person without long interruption."""

    row: int
    paths: JointPaths
    cost: np.ndarray
    last_s: float
    open: deque[_Sight] = field(default_factory=deque)  # sides undecided
    sided: deque[_Sight] = field(default_factory=deque)  # not yet mended
    added: int = 0
    measured: int = 0
    judged: int = 0
    mended: int = 0


class KeypointRepair:
    """Repairs a film's keypoints frame by frame, each frame final `lag_frames` after it came in.

    The more of the future is known, the better: half of the lag goes to the sides, the other half to the joints; more
    than two seconds buy nothing. Memory is that of the frames within the lag and of the people seen lately, but for the
    report, which counts by id. The same frames give the same results.

    Args:
        skeleton: the joints of all people.
        fps: frames per second of the film; None for photos, which come out as they went in, at once.
        lag_frames: frames that a frame waits; None to wait for `finish`.

    Raises:
        ValueError: for a frame rate or lag out of range.
    """

    def __init__(self, skeleton: Skeleton, *, fps: float | None, lag_frames: int | None) -> None:
        if fps is not None and not 0 < fps < math.inf:
            raise ValueError(f"fps: expected frames per second above 0, or None for photos, got {fps}")
        if lag_frames is not None and lag_frames < 0:
            raise ValueError(f"lag_frames: expected a number of frames, or None, got {lag_frames}")
        self.skeleton, self.fps = skeleton, fps
        self._layout: SideLayout = side_layout(skeleton)
        self._orders = [self._layout.order(n, len(skeleton)) for n in range(len(self._layout.labellings))]
        self._kinds: list[Kind | None] = [self._kind(n) for n in range(len(self._layout.labellings))]
        self._filter = SideFilter(self._layout)
        self._lags, self._whole = _lags(fps or 1.0, lag_frames), lag_frames is None
        self._tracks: dict[int, _Track] = {}
        self._new: list[KeypointFrame] = []
        self._waiting: deque[tuple[KeypointFrame, list[_Sight]]] = deque()
        self._fading: list[_Track] = []  # interrupted for long, yet with sights that wait
        self._pushed, self._emitted, self._index = 0, 0, -1
        self._tally: dict[int, Tally] = {}

    def push(self, frame: KeypointFrame) -> list[KeypointFrame]:
        """Take the next frame in; return the frames that are final now, in order.

        Raises:
            ValueError: where the index does not rise or the number of joints is not the skeleton's.
        """
        self._check(frame)
        if self.fps is None:
            return [frame]
        self._new.append(frame)
        if self._whole and len(self._new) < CHUNK:
            return []
        with np.errstate(over="ignore", invalid="ignore"):  # points may be absurdly far away: those are outliers
            return self._taken()

    def finish(self) -> list[KeypointFrame]:
        """Return the frames that still wait; after that, a new film may begin."""
        with np.errstate(over="ignore", invalid="ignore"):
            frames = self._taken() + self._final((0, 0, 0, 0))
        for track in self._tracks.values():
            self._filter.end(track.row)
        self._tracks, self._fading = {}, []
        self._pushed, self._emitted, self._index = 0, 0, -1
        return frames

    @property
    def report(self) -> RepairReport:
        """What was done so far, by id."""
        return RepairReport(people=tuple(self._tally[ident].counted(ident) for ident in sorted(self._tally)))

    def _check(self, frame: KeypointFrame) -> None:
        if frame.index <= self._index:
            raise ValueError(f"frame: expected a rising index, got {frame.index} after {self._index}")
        for person in frame.people:
            if len(person.confidence) != len(self.skeleton):
                raise ValueError(
                    f"frame {frame.index}: expected {len(self.skeleton)} joints ({self.skeleton.name}), "
                    f"got {len(person.confidence)}"
                )
        self._index = frame.index

    def _taken(self) -> list[KeypointFrame]:
        """Take in the new frames, looking at all poses at once; return the frames that are final now."""
        assert self.fps is not None or not self._new  # photos never come here
        people = [person for frame in self._new for person in frame.people if person.id is not None]
        looks = None
        if people:
            points = np.array([person.keypoints_px for person in people])
            size = person_size(points)
            confidence = np.array([person.confidence for person in people])
            looks = points, size, anatomical_cost(self._layout, points, confidence, size)
        start, ready = 0, []
        for frame in self._new:
            known = [person for person in frame.people if person.id is not None]
            sights: list[_Sight] = []
            if known and looks is not None and self.fps is not None:
                here = [look[start : start + len(known)] for look in looks]
                sights = self._seen(known, frame.index / self.fps, *here)
            start += len(known)
            self._waiting.append((frame, sights))
            self._pushed += 1
            if not self._whole:
                ready += self._final(self._lags)
        self._new = []
        return ready

    def _seen(
        self, people: list[PersonKeypoints], time_s: float, points: np.ndarray, size: np.ndarray, hints: np.ndarray
    ) -> list[_Sight]:
        """People with ids, in one frame, go through the filter of sides."""
        self._let_go(time_s)
        tracks, waited = [], []
        for person in people:
            ident = int(person.id)  # pyright: ignore[reportArgumentType]
            track = self._tracks.get(ident) or self._tracks.setdefault(ident, self._begin(time_s))
            tracks.append(track)
            waited.append(time_s - track.last_s)
            track.last_s = time_s
        rows = np.array([track.row for track in tracks])
        before, cost = self._filter.step(rows, points, size, hints, np.array(waited))
        sights = []
        for track, person, height, back, costs in zip(tracks, people, size, before, cost, strict=True):
            sight = _Sight(frame=self._pushed, time_s=time_s, person=person, size_px=float(height), before=back)
            track.cost = costs
            track.open.append(sight)
            sights.append(sight)
        return sights

    def _begin(self, time_s: float) -> _Track:
        assert self.fps is not None  # photos never come here
        paths = JointPaths(self.skeleton.flip, self.fps)
        return _Track(row=self._filter.begin(), paths=paths, cost=np.zeros(1), last_s=time_s)

    def _let_go(self, time_s: float) -> None:
        """Whoever was away for long begins anew."""
        for ident in [ident for ident, track in self._tracks.items() if time_s - track.last_s > FORGOTTEN_S]:
            track = self._tracks.pop(ident)
            self._filter.end(track.row)
            if track.open or track.sided:
                self._fading.append(track)

    def _final(self, lags: tuple[float, float, float, float]) -> list[KeypointFrame]:
        """Decide and mend whatever has waited for long enough; return the frames in which all is done."""
        limits = [self._pushed - 1 - sum(lags[: n + 1]) for n in range(4)]
        for track in (*self._tracks.values(), *self._fading):
            self._decide(track, limits[0])
            self._mend(track, limits[1:])
        self._fading = [track for track in self._fading if track.open or track.sided]
        frames = []
        while self._waiting and self._emitted <= limits[3]:
            frame, sights = self._waiting.popleft()
            self._emitted += 1
            frames.append(_with(frame, sights))
        return frames

    def _decide(self, track: _Track, limit: float) -> None:
        """Read the labellings of the oldest sights off the best path, and add them to the paths of joints."""
        if not track.open or track.open[0].frame > limit:
            return
        labelling, chosen = int(track.cost.argmin()), []
        for sight in reversed(track.open):
            chosen.append(labelling)
            labelling = int(sight.before[labelling])
        ready: list[_Sight] = []
        while track.open and track.open[0].frame <= limit:
            sight = track.open.popleft()
            sight.labelling, sight.number = chosen[-1 - len(ready)], track.added + len(ready)
            ready.append(sight)
        track.paths.add([self._sided(sight) for sight in ready])
        track.added += len(ready)
        track.sided.extend(ready)

    def _sided(self, sight: _Sight) -> Sight:
        order, person = self._orders[sight.labelling], sight.person
        return Sight(person.keypoints_px[order], person.confidence[order], sight.time_s, sight.size_px)

    def _mend(self, track: _Track, limits: list[float]) -> None:
        """Take sights through the three steps of the joints' repair, as far as each may go."""
        ends = [track.mended + sum(sight.frame <= limit for sight in track.sided) for limit in limits]
        for start in range(track.measured, ends[0], CHUNK):
            track.paths.measure(range(start, min(start + CHUNK, ends[0])))
        for start in range(track.judged, ends[1], CHUNK):
            track.paths.judge(range(start, min(start + CHUNK, ends[1])))
        track.measured, track.judged = max(track.measured, ends[0]), max(track.judged, ends[1])
        if ends[2] > track.mended:
            for mended in track.paths.mend(range(track.mended, ends[2])):
                self._settle(track.sided.popleft(), mended)
            track.mended = ends[2]
            track.paths.forget(track.mended)

    def _settle(self, sight: _Sight, mended: Mended) -> None:
        """Give a sight its result, and count what was done to it."""
        kind, given = self._kinds[sight.labelling], sight.person
        assert given.id is not None  # others never come here
        touched = mended.exchanged.any(), mended.replaced.any(), mended.removed.any()
        self._tally.setdefault(given.id, Tally()).add(kind, mended)
        if kind is None and not any(touched):
            sight.result = given
        else:
            sight.result = replace(given, keypoints_px=mended.points_px, confidence=mended.confidence)

    def _kind(self, labelling: int) -> Kind | None:
        """What a labelling is called in the report."""
        swapped = set(np.array(self._layout.groups)[self._layout.labellings[labelling]].tolist())
        if not swapped:
            return None
        if {ARMS, LEGS} <= swapped or swapped == set(self._layout.groups):
            return "whole"
        return "arms" if ARMS in swapped else "legs" if LEGS in swapped else "face"


def repaired(keypoints: Keypoints, *, lag_frames: int | None = None) -> tuple[Keypoints, RepairReport]:
    """Repair the keypoints of a whole film, and say what was done.

    Every frame is repaired with all of its past and `lag_frames` of its future, or all of that (None). Without a frame
    rate (photos) all comes back as it is.
    """
    if keypoints.fps is None:
        return keypoints, RepairReport(people=())
    repair = KeypointRepair(keypoints.skeleton, fps=keypoints.fps, lag_frames=lag_frames)
    frames = [ready for frame in keypoints.frames for ready in repair.push(frame)]
    return replace(keypoints, frames=tuple(frames + repair.finish())), repair.report


def _lags(fps: float, lag_frames: int | None) -> tuple[float, float, float, float]:
    """Frames that wait for the sides, then the medians, what is usual, and the neighbours: the lag, shared out."""
    if lag_frames is None:
        return (math.inf, 0, 0, 0)
    median, usual, neighbour = (math.ceil(s * fps) for s in (max(REACHES_S), USUAL_S, SHORT_GAP_S))
    joints = min(lag_frames // 2, median + usual + neighbour)
    median = min(median, (joints + 1) // 2)
    neighbour = min(neighbour, joints - median)
    return (lag_frames - joints, median, joints - median - neighbour, neighbour)


def _with(frame: KeypointFrame, sights: list[_Sight]) -> KeypointFrame:
    """The frame with the results in place of the people with an id."""
    results = iter(sights)
    people = tuple(person if person.id is None else next(results).result or person for person in frame.people)
    changed = any(new is not old for new, old in zip(people, frame.people, strict=True))
    return replace(frame, people=people) if changed else frame
