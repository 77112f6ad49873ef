"""Poses of a film made smooth in 3D: no jitter, bones that keep their lengths, bodies that keep their size.

Everything happens per track, that is, per id; people without one come back unchanged, and nobody is mixed with anybody
else. A track ends where its person is away for more than half a second, the camera moves to another place, or time does
not go on. Two ways:

- **offline** (`_zero_lag.py`): each pose is judged by what comes before and after it, so motion does not lag. Results
  come a few seconds later.
- **online** (`_one_euro.py`): each pose is judged by what came before, and comes at once.

In both a person is taken apart into the ray of the root, the logarithm of its distance from the camera, and the other
joints relative to the root, across and along the line of sight. A single camera measures the first and the third well
and the second and the fourth badly, so each has its own strength; a depth that jitters does not shake the picture.

**Size.** With B(t) the sum of the bones' lengths, its slow course b(t), and B the sum for the person, known from the
whole track, the pose is scaled by B / b(t) about the camera's centre. The picture stays, and the distance follows:

    distance(t) = smooth distance(t) · B / b(t)

so a body that seems to grow and shrink no longer seems to come and go.

**Bones.** Then each bone gets the person's length, with joints as near to where they were as may be and the root at its
place (`_bones.py`).

`sigma_m` stays as it is: a smoother takes away what changes from frame to frame, but most of what a lifter's standard
deviation stands for (a wrong distance, a limb bent the wrong way) is the same for a second and more, and stays.
Hypotheses move along, joint by joint, with the pose. Keypoints, boxes and confidence are what was seen, and stay too.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

import numpy as np
from jaxtyping import Float

from sightline.camera import Camera
from sightline.skeleton import Skeleton
from sightline.structures import ExtraJoints, Hypothesis, Person, PoseFrame, Poses
from sightline.temporal._bodies import Body
from sightline.temporal._bones import limbs_of
from sightline.temporal._tracks import Chunk, OfflineTrack, OnlineTrack, Row, Track

Mode = Literal["offline", "online"]

MAX_GAP_S: Final = 0.5
"""Seconds without a person after which a new track begins."""
FILL_GAPS_S: Final = 0.25
"""Seconds over which a joint that is missing inside a track is filled in."""
_BODIES: Final = 256
_SIZE_RANGE: Final = (0.8, 1.25)  # factors by which sizes are corrected


@dataclass(eq=False)
class _Waiting:
    """A frame whose people are not all ready."""

    frame: PoseFrame
    people: list[Person]
    open: int


class PoseSmoother:
    """Smooths frame by frame, in memory that does not grow with the film.

    Times are the frames' `time_s`, or else `index / fps`; they need not be evenly spaced. Frames without either
    (photos) come back unchanged. Offline, poses come 3.5 s later at most (`finish` gives the rest), online at once. The
    same frames give the same result, but for rounding.

    Bone lengths and size are learned while the film runs: offline from the first few seconds on, online from the first
    frame. `smoothed` knows them from the whole file.

    Args:
        skeleton: of all people.
        fps: frames per second, where frames do not tell their time.
        mode: "offline" for motion without lag, "online" for results at once.
        constant_bones: whether each track's bones keep one length.
        constant_size: whether its body keeps one size, which the distance follows.
        fixed_size_ids: people whose size is given from elsewhere (a measured height): it is not estimated again.
        fill_gaps_s: joints that are missing for no longer than this are filled in (online: held); 0 fills nothing.
            No whole person is ever made up.
        max_gap_s: seconds without a person after which a new track begins.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        *,
        fps: float | None = None,
        mode: Mode = "offline",
        constant_bones: bool = True,
        constant_size: bool = True,
        fixed_size_ids: Collection[int] = (),
        fill_gaps_s: float = FILL_GAPS_S,
        max_gap_s: float = MAX_GAP_S,
    ) -> None:
        if mode not in get_args(Mode):
            raise ValueError(f"mode: expected one of {', '.join(get_args(Mode))}, got {mode!r}")
        if fps is not None and not 0 < fps < np.inf:
            raise ValueError(f"fps: expected a finite number above 0, got {fps}")
        for name, value in (("fill_gaps_s", fill_gaps_s), ("max_gap_s", max_gap_s)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{name}: expected a finite number of at least 0, got {value}")
        self.skeleton, self.fps, self.mode = skeleton, fps, mode
        self.constant_bones, self.constant_size = constant_bones, constant_size
        self.fixed_size_ids = frozenset(fixed_size_ids)
        self.fill_gaps_s, self.max_gap_s = fill_gaps_s, max_gap_s
        self._waiting: deque[_Waiting] = deque()
        self._tracks: dict[int, tuple[Track, float, Any]] = {}
        self._bodies: OrderedDict[int, Body] = OrderedDict()
        self._kept: list[tuple[int, Chunk]] | None = None  # chunks that wait until whole tracks are known
        self._time_s, self._place = -np.inf, None

    def push(self, frame: PoseFrame) -> list[PoseFrame]:
        """Take the next frame; return those that are ready, in order.

        Raises `ValueError` for another number of joints than the skeleton's.
        """
        for person in frame.people:
            if len(person.joints_cam_m) != len(self.skeleton):
                wanted = f"{len(self.skeleton)} joints ({self.skeleton.name})"
                raise ValueError(f"frame {frame.index}: expected {wanted}, got {len(person.joints_cam_m)}")
        time_s = self._time_of(frame)
        self._advance(time_s, frame.camera)
        waiting = _Waiting(frame, list(frame.people), 0)
        self._waiting.append(waiting)
        if time_s is not None:
            for place, person in enumerate(frame.people):
                if person.id is not None:
                    waiting.open += 1
                    self._add(person.id, Row(time_s, person, (waiting, place)))
        return self._ready()

    def finish(self) -> list[PoseFrame]:
        """Return the frames that are left; new tracks begin with what is pushed afterwards."""
        self._close(list(self._tracks))
        for ident, chunk in self._kept or ():
            self._give(ident, chunk)
        self._time_s = -np.inf
        return self._ready()

    def _time_of(self, frame: PoseFrame) -> float | None:
        if frame.time_s is not None:
            return frame.time_s
        return None if self.fps is None else frame.index / self.fps

    def _advance(self, time_s: float | None, camera: Camera | None) -> None:
        """End the tracks that do not go on to this frame."""
        place = self._place_of(camera)
        if time_s is None or not time_s > self._time_s or place != self._place:
            self._close(list(self._tracks))
        else:
            self._close([ident for ident, (_, seen_s, _) in self._tracks.items() if self._is_gap(time_s - seen_s)])
        self._time_s, self._place = -np.inf if time_s is None else time_s, place

    def _is_gap(self, away_s: float) -> bool:
        return away_s > self.max_gap_s * (1 + 1e-9)

    @staticmethod
    def _place_of(camera: Camera | None) -> bytes | None:
        """Where a frame's own camera stands: its coordinates are not those of a camera elsewhere."""
        if camera is None or camera.rotation is None or camera.translation_m is None:
            return None
        return camera.rotation.numpy(force=True).tobytes() + camera.translation_m.numpy(force=True).tobytes()

    def _add(self, ident: int, row: Row) -> None:
        extra = row.person.extra
        points = None if extra is None else (extra.skeleton.name, len(extra.skeleton))
        if ident in self._tracks and self._tracks[ident][2] != points:
            self._close([ident])
        if ident not in self._tracks:
            kind = OfflineTrack if self.mode == "offline" else OnlineTrack
            self._tracks[ident] = (kind(self.skeleton, self.fill_gaps_s), row.time_s, points)
        track = self._tracks[ident][0]
        if track.typical_m is None and ident in self._bodies:
            track.typical_m = self._bodies[ident].lengths_m
        self._tracks[ident] = (track, row.time_s, points)
        self._take(ident, track.add(row))

    def _close(self, idents: list[int]) -> None:
        for ident in idents:
            self._take(ident, self._tracks.pop(ident)[0].close())

    def _take(self, ident: int, chunk: Chunk | None) -> None:
        """Learn the body from smooth poses, and let them go unless whole tracks are waited for."""
        if chunk is None or not chunk.rows:
            return
        body = self._bodies.setdefault(ident, Body(self.skeleton))
        self._bodies.move_to_end(ident)
        if len(self._bodies) > _BODIES and self._kept is None:
            self._bodies.popitem(last=False)
        confidence = np.array([row.person.confidence for row in chunk.rows])
        times = np.array([row.time_s for row in chunk.rows])
        body.learn(chunk.points_cam_m[:, : len(self.skeleton)], confidence, chunk.size_m, times)
        if self._kept is None:
            self._give(ident, chunk)
        else:
            self._kept.append((ident, chunk))

    def _give(self, ident: int, chunk: Chunk) -> None:
        """Finish the poses and put them into their frames."""
        points = chunk.points_cam_m
        body = self._bodies[ident].course(np.array([row.time_s for row in chunk.rows]))
        if self.constant_size and ident not in self.fixed_size_ids:
            factor = np.clip((body.size_m / chunk.size_m) ** body.slope, *_SIZE_RANGE)
            points = points * factor[:, None, None]
        if self.constant_bones:
            points = _with_bones(points, body.lengths_m, self.skeleton)
        for row, new in zip(chunk.rows, points, strict=True):
            waiting, place = row.slot
            waiting.people[place] = _moved(row.person, new, self.skeleton.root)
            waiting.open -= 1

    def _ready(self) -> list[PoseFrame]:
        ready = []
        while self._waiting and self._waiting[0].open == 0:
            waiting = self._waiting.popleft()
            ready.append(replace(waiting.frame, people=tuple(waiting.people)) if waiting.people else waiting.frame)
        return ready


def smoothed(
    poses: Poses,
    *,
    mode: Mode = "offline",
    constant_bones: bool = True,
    constant_size: bool = True,
    fixed_size_ids: Collection[int] = (),
    fill_gaps_s: float = FILL_GAPS_S,
    max_gap_s: float = MAX_GAP_S,
) -> Poses:
    """Return the poses smoothed; see `PoseSmoother` for the arguments.

    Offline, bones and size of each person are known from the whole file and the same from the first frame to the last.
    Poses without times and frame rate come back unchanged. Where `scale.body` says that heights were given for all, all
    sizes are fixed.
    """
    if poses.scale.body == "given_height":
        fixed_size_ids = {person.id for _, person in poses.people() if person.id is not None}
    smoother = PoseSmoother(
        poses.skeleton,
        fps=poses.fps,
        mode=mode,
        constant_bones=constant_bones,
        constant_size=constant_size,
        fixed_size_ids=fixed_size_ids,
        fill_gaps_s=fill_gaps_s,
        max_gap_s=max_gap_s,
    )
    if mode == "offline":
        smoother._kept = []
    frames = [ready for frame in poses.frames for ready in smoother.push(frame)]
    return replace(poses, frames=tuple(frames + smoother.finish()))


def _with_bones(
    points_m: Float[np.ndarray, "row point 3"], lengths_m: Float[np.ndarray, "row bone"], skeleton: Skeleton
) -> Float[np.ndarray, "row point 3"]:
    """Points with bones of these lengths; those beyond the skeleton go along with the joint that is nearest."""
    joints, beyond = points_m[:, : len(skeleton)], points_m[:, len(skeleton) :]
    posed = limbs_of(skeleton).posed(joints, lengths_m)
    if not beyond.shape[1]:
        return posed
    shift = np.nan_to_num(posed - joints)
    distance = np.linalg.norm(beyond[:, :, None] - joints[:, None], axis=-1)
    nearest = np.where(np.isnan(distance), np.inf, distance).argmin(axis=-1)
    return np.concatenate([posed, beyond + np.take_along_axis(shift, nearest[..., None], axis=1)], axis=1)


def _moved(person: Person, points_m: Float[np.ndarray, "point 3"], root: int) -> Person:
    """Return the person at the new points, with all that belongs to it."""
    joints = points_m[: len(person.joints_cam_m)]
    shift = joints - person.joints_cam_m
    lost = np.isnan(shift)
    shift = np.where(lost, np.where(np.isnan(shift[root]), 0.0, shift[root]), shift)

    def other(hypothesis: Hypothesis) -> Hypothesis:
        moved = hypothesis.joints_cam_m + shift
        depth = _depth(hypothesis.root_depth_canonical, hypothesis.joints_cam_m[root, 2], moved[root, 2])
        return replace(hypothesis, joints_cam_m=moved, root_depth_canonical=depth)

    extra = person.extra
    return replace(
        person,
        joints_cam_m=joints,
        root_depth_canonical=_depth(person.root_depth_canonical, person.joints_cam_m[root, 2], joints[root, 2]),
        hypotheses=None if person.hypotheses is None else tuple(other(each) for each in person.hypotheses),
        extra=None if extra is None else ExtraJoints(skeleton=extra.skeleton, joints_cam_m=points_m[len(joints) :]),
    )


def _depth(canonical: float | None, old_m: float, new_m: float) -> float | None:
    """The canonical depth (m/px) after the root moved from one depth to another; the focal stays."""
    if canonical is None or np.isnan(old_m) or np.isnan(new_m):
        return canonical
    return canonical * float(new_m) / float(old_m) if old_m > 0 and new_m > 0 else None
