"""Frames → people in metres: detector, camera, estimator, sizes and ids, one batch of frames after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from sightline.detect.protocol import Detection
from sightline.errors import InputError, UsageError
from sightline.methods.deeplift.judging import judged
from sightline.pipeline import Lifter, Smoothing, check_smoothing
from sightline.prediction.cameras import CameraFinder
from sightline.prediction.estimator import Estimator, Found, FromKeypoints
from sightline.prediction.predicted import Predicted
from sightline.prediction.sizes import FloorSizes
from sightline.prediction.steady import Steady, sized, steadied
from sightline.skeleton import Skeleton
from sightline.sources import Source, SourceFrame
from sightline.structures import KeypointFrame, PersonKeypoints, PoseFrame, ScaleBody
from sightline.temporal.keypoint_repair import RepairReport
from sightline.tracking import Tracker

USUAL_FPS = 30.0
"""Frames per second that a film without any is taken to have."""


@runtime_checkable
class Look(Protocol):
    """How people are found in frames: by a detector, in boxes, or in a file."""

    name: str
    """Of the detector or file."""
    skeleton: Skeleton
    """The joint set of what it finds."""
    finds_joints: bool
    """Whether joints are looked for; otherwise only boxes are known."""

    def people(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        """Return the people of each frame, in order; frames of a film come in order over all calls."""
        ...

    def close(self) -> None:
        """Let go of the detector."""
        ...


class Predictor:
    """Predicts people in sources of frames; holds the estimator, which serves many sources.

    Args:
        estimator: places people who were found; a `Lifter` does so by their keypoints.
        height_m: barefoot stature (m) of everybody whose own is not known.
        on_floor: fix the size of people whose stature is not known by their feet on the floor; needs cameras whose
            place in the world is known.
        batch_size: frames that are looked at and lifted together.
        smoothing: how time is used: "offline" looks some seconds ahead, "online" only back, "off" not at all; None is
            "offline" for films and "online" for live sources. Photos are predicted one by one.
    """

    def __init__(
        self,
        estimator: Estimator | Lifter,
        *,
        height_m: float | None = None,
        on_floor: bool = False,
        batch_size: int = 8,
        smoothing: Smoothing | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
        check_smoothing(smoothing)
        if on_floor and height_m is not None:
            raise UsageError("on_floor: expected either --height-m or --on-floor to fix the size of people, got both")
        self.estimator = FromKeypoints(estimator) if isinstance(estimator, Lifter) else estimator
        self.height_m, self.on_floor, self.batch_size = height_m, on_floor, batch_size
        self.smoothing: Smoothing | None = smoothing

    def predict(
        self,
        source: Source,
        look: Look,
        cameras: CameraFinder,
        failed: list[str] | None = None,
        repairs: list[RepairReport] | None = None,
        glimpse: Callable[[Predicted], None] | None = None,
    ) -> Iterator[Predicted]:
        """Predict the frames of a source one by one, in order; memory does not grow with their number.

        People of films and live sources get ids that last, their keypoints are repaired over time and their poses
        smoothed (`steady`); people of photos have the ids that `look` gives, or none. A photo that cannot be processed
        (a camera that does not fit it, a detector that fails) is left out and named in `failed`, a sentence each. The
        same in a film is an `InputError`. How plausible poses are is said of photos and films, not of live sources.

        Args:
            source: of the frames.
            look: finds people in them.
            cameras: finds the camera that took them.
            failed: takes what is to be said of photos that failed.
            repairs: takes the report of what was repaired over time, when all frames are done.
            glimpse: called with every frame as soon as its people are known, with its pixels, before time is used.
        """
        if not look.finds_joints and self.estimator.lifter is not None:
            raise UsageError(
                f"detector: expected one that finds joints, which method '{self.estimator.model.method}' lifts; got "
                "boxes, which are enough for methods that look at the pictures (perspose)"
            )
        timed = self._timed(source, look, cameras, [] if failed is None else failed, repairs, glimpse)
        if source.kind == "live" or self.estimator.skeleton.name != "h36m17":
            return timed  # live, nobody waits for others, and alone judging takes too long
        return _judged(timed, self.batch_size)

    def _timed(
        self,
        source: Source,
        look: Look,
        cameras: CameraFinder,
        failed: list[str],
        repairs: list[RepairReport] | None,
        glimpse: Callable[[Predicted], None] | None,
    ) -> Iterator[Predicted]:
        """Predict frames, and use time."""
        raw = self._predicted(source, look, cameras, failed)
        sizes = FloorSizes.of(self.estimator.skeleton) if self.on_floor else None
        usual: Smoothing = "online" if source.kind == "live" else "offline"
        smoothing = usual if self.smoothing is None else self.smoothing
        if source.kind == "photos" or smoothing == "off":
            yield from _plain(raw, sizes, glimpse)
            return
        steady = Steady(
            self.estimator, look.skeleton, source.fps or USUAL_FPS, smoothing, height_m=self.height_m, sizes=sizes
        )
        try:
            yield from steadied(raw, steady, glimpse)
        finally:
            if repairs is not None:
                repairs.append(steady.report)

    def _predicted(self, source: Source, look: Look, cameras: CameraFinder, failed: list[str]) -> Iterator[Predicted]:
        """Predict frames on their own, with ids that last."""
        tracker = None if source.kind == "photos" else Tracker(self.estimator.skeleton)
        size = 1 if source.kind == "live" else self.batch_size
        for frames in _batches(source.frames(), size):
            for camera, seen in itertools.groupby(
                self._looked(source, frames, look, cameras, failed), key=_same_camera
            ):
                del camera
                yield from self._lifted(list(seen), look.skeleton, source.fps, tracker)

    def _looked(
        self, source: Source, frames: list[SourceFrame], look: Look, cameras: CameraFinder, failed: list[str]
    ) -> list[Found]:
        """Find camera and people of frames; photos that fail are named."""
        if source.kind != "photos":
            knowns = [cameras.of(frame) for frame in frames]
            found = look.people(frames)
            return [Found.of(*row) for row in zip(frames, knowns, found, strict=True)]
        done = []
        for frame in frames:
            try:
                done.append(Found.of(frame, cameras.of(frame), look.people([frame])[0]))
            except InputError as error:
                failed.append(f"{frame.file or f'photo {frame.index}'}: {error}")
        return done

    def _lifted(
        self,
        seen: list[Found],
        skeleton: Skeleton,
        fps: float | None,
        tracker: Tracker | None,
    ) -> Iterator[Predicted]:
        """Place the people of frames that one camera took, then give ids."""
        known, image_size = seen[0].known, seen[0].image_size
        if self.on_floor and not known.camera.has_world:
            raise UsageError(
                "on_floor: expected a camera whose place in the world is known (camera_from_world in its file), "
                "got one without"
            )
        placed = self.estimator.place(seen, skeleton, fps=fps, height_m=self.height_m)
        for each, lifted in zip(seen, placed.frames, strict=True):
            found = [each.people[person.id] for person in lifted.people if person.id is not None]
            people = tuple(replace(person, id=one.id) for person, one in zip(lifted.people, found, strict=True))
            if tracker is not None:
                taken = [one.id for one in each.people if one.id is not None and one not in found]
                people = tracker.update(people, _time_s(each.source, fps), taken=taken)
            ids = {id(one): person.id for one, person in zip(found, people, strict=True)}
            named = tuple(replace(one, id=ids.get(id(one), one.id)) for one in each.people)
            lost = [one for one in placed.skipped if one.frame == each.source.index]
            yield Predicted(
                pixels=each.source.pixels,
                frame=PoseFrame(
                    index=each.source.index, people=people, time_s=each.source.time_s, file=each.source.file
                ),
                known=known,
                keypoints=KeypointFrame(index=each.source.index, people=named),
                image_size=image_size,
                world=placed.world,
                bodies=tuple(self._body(one) for one in found),
                skipped=tuple(replace(one, id=None if one.id is None else each.people[one.id].id) for one in lost),
            )

    def _body(self, person: PersonKeypoints) -> ScaleBody:
        height_m = person.height_m or self.height_m
        return self.estimator.body_of(height_m) if height_m or not self.on_floor else "on_floor"


def _judged(predicted: Iterator[Predicted], together: int) -> Iterator[Predicted]:
    """Frames whose people say how plausible their poses are; where the source is stopped, those that wait come out."""
    waiting: list[Predicted] = []

    def ready() -> list[Predicted]:
        frames = judged(one.frame for one in waiting)
        done = [replace(one, frame=frame) for one, frame in zip(waiting, frames, strict=True)]
        waiting.clear()
        return done

    try:
        for one in predicted:
            waiting.append(one)
            if len(waiting) >= together:
                yield from ready()
    except (KeyboardInterrupt, InputError):
        yield from ready()
        raise
    yield from ready()


def _plain(
    raw: Iterator[Predicted], sizes: FloorSizes | None, glimpse: Callable[[Predicted], None] | None
) -> Iterator[Predicted]:
    """Frames on their own, with sizes."""
    for one in raw:
        done = one if sizes is None else replace(one, frame=sized(one, sizes))
        if glimpse is not None:
            glimpse(done)
        yield done


def _batches(frames: Iterable[SourceFrame], size: int) -> Iterator[list[SourceFrame]]:
    rest = iter(frames)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def _time_s(frame: SourceFrame, fps: float | None) -> float:
    return frame.time_s if frame.time_s is not None else frame.index / (fps or USUAL_FPS)


def _same_camera(seen: Found) -> tuple[int, tuple[int, int]]:
    return id(seen.known), seen.image_size
