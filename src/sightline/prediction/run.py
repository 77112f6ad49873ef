"""Frames → people in metres: detector, camera, lifter, sizes and ids, one batch of frames after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from sightline.detect.protocol import Detection, Picture
from sightline.errors import InputError, UsageError
from sightline.pipeline import Lifter, Skipped
from sightline.prediction.cameras import CameraFinder, KnownCamera
from sightline.prediction.sizes import FloorSizes
from sightline.skeleton import Skeleton
from sightline.sources import Source, SourceFrame
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints, PoseFrame, ScaleBody, World
from sightline.tracking import Tracker


@runtime_checkable
class Look(Protocol):
    """How people are found in frames: by a detector, in boxes, or in a file."""

    name: str
    """Of the detector or file."""
    skeleton: Skeleton
    """The joint set of what it finds."""

    def people(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        """Return the people of each frame, in order; frames of a film come in order over all calls."""
        ...

    def close(self) -> None:
        """Let go of the detector."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """What became of one frame.

    pixels: the picture. frame: the poses, without the frame's camera. known: the camera that took it. keypoints: what
    was found, in the detector's joints, at `image_size` (w, h). world: the floor as that camera sees it. bodies: per
    person of the frame, where the size comes from. skipped: people who were found but could not be lifted.
    """

    pixels: Picture
    frame: PoseFrame
    known: KnownCamera
    keypoints: KeypointFrame
    image_size: tuple[int, int]
    world: World | None
    bodies: tuple[ScaleBody, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """A frame that has been looked at."""

    source: SourceFrame
    image_size: tuple[int, int]
    known: KnownCamera
    people: tuple[PersonKeypoints, ...]


class Predictor:
    """Predicts people in sources of frames; holds the lifter, which serves many sources.

    Args:
        lifter: turns keypoints into poses.
        height_m: barefoot stature (m) of everybody whose own is not known.
        on_floor: fix the size of people whose stature is not known by their feet on the floor; needs cameras whose
            place in the world is known.
        batch_size: frames that are looked at and lifted together.
    """

    def __init__(
        self, lifter: Lifter, *, height_m: float | None = None, on_floor: bool = False, batch_size: int = 8
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
        if on_floor and height_m is not None:
            raise UsageError("on_floor: expected either --height-m or --on-floor to fix the size of people, got both")
        self.lifter, self.height_m, self.on_floor, self.batch_size = lifter, height_m, on_floor, batch_size

    def predict(
        self, source: Source, look: Look, cameras: CameraFinder, failed: list[str] | None = None
    ) -> Iterator[Predicted]:
        """Predict the frames of a source one by one, in order; memory does not grow with their number.

        People of films and live sources get ids that last; people of photos have those that `look` gives, or none.
        A photo that cannot be processed (a camera that does not fit it, a detector that fails) is left out and named in
        `failed`, a sentence each. The same in a film is an `InputError`.
        """
        failed = [] if failed is None else failed
        joints = self.lifter.skeleton
        tracker = None if source.kind == "photos" else Tracker(joints)
        sizes = FloorSizes.of(joints) if self.on_floor else None
        size = 1 if source.kind == "live" else self.batch_size
        for frames in _batches(source.frames(), size):
            for camera, seen in itertools.groupby(
                self._looked(source, frames, look, cameras, failed), key=_same_camera
            ):
                del camera
                yield from self._lifted(list(seen), look.skeleton, source.fps, tracker, sizes)

    def _looked(
        self, source: Source, frames: list[SourceFrame], look: Look, cameras: CameraFinder, failed: list[str]
    ) -> list[_Seen]:
        """Find camera and people of frames; photos that fail are named."""
        if source.kind != "photos":
            knowns = [cameras.of(frame) for frame in frames]
            found = look.people(frames)
            return [_seen(*row) for row in zip(frames, knowns, found, strict=True)]
        done = []
        for frame in frames:
            try:
                done.append(_seen(frame, cameras.of(frame), look.people([frame])[0]))
            except InputError as error:
                failed.append(f"{frame.file or f'photo {frame.index}'}: {error}")
        return done

    def _lifted(
        self,
        seen: list[_Seen],
        skeleton: Skeleton,
        fps: float | None,
        tracker: Tracker | None,
        sizes: FloorSizes | None,
    ) -> Iterator[Predicted]:
        """Lift frames that one camera took, then give ids and sizes."""
        known, image_size = seen[0].known, seen[0].image_size
        if sizes is not None and not known.camera.has_world:
            raise UsageError(
                "on_floor: expected a camera whose place in the world is known (camera_from_world in its file), "
                "got one without"
            )
        rows = tuple(KeypointFrame(index=each.source.index, people=_numbered(each.people)) for each in seen)
        keypoints = Keypoints(skeleton=skeleton, image_size=image_size, frames=rows, fps=fps)
        result = self.lifter.lift(keypoints, known.camera, height_m=self.height_m)
        world = result.poses.world
        for each, lifted in zip(seen, result.poses.frames, strict=True):
            found = [each.people[person.id] for person in lifted.people if person.id is not None]
            people = tuple(replace(person, id=one.id) for person, one in zip(lifted.people, found, strict=True))
            if tracker is not None:
                taken = [one.id for one in each.people if one.id is not None and one not in found]
                people = tracker.update(people, _time_s(each.source, fps), taken=taken)
            ids = {id(one): person.id for one, person in zip(found, people, strict=True)}
            if sizes is not None and world is not None:
                people = tuple(
                    person if one.height_m is not None else sizes.sized(person, world)
                    for one, person in zip(found, people, strict=True)
                )
            named = tuple(replace(one, id=ids.get(id(one), one.id)) for one in each.people)
            lost = [one for one in result.skipped if one.frame == each.source.index]
            yield Predicted(
                pixels=each.source.pixels,
                frame=PoseFrame(
                    index=each.source.index, people=people, time_s=each.source.time_s, file=each.source.file
                ),
                known=known,
                keypoints=KeypointFrame(index=each.source.index, people=named),
                image_size=image_size,
                world=world,
                bodies=tuple(self._body(one) for one in found),
                skipped=tuple(replace(one, id=None if one.id is None else each.people[one.id].id) for one in lost),
            )

    def _body(self, person: PersonKeypoints) -> ScaleBody:
        if person.height_m is not None or self.height_m is not None:
            return "learned" if self.lifter.mean_stature_m is None else "given_height"
        return "on_floor" if self.on_floor else "learned"


def _numbered(people: tuple[PersonKeypoints, ...]) -> tuple[PersonKeypoints, ...]:
    """Return the people with their places in the frame as ids, by which they are found again after lifting."""
    return tuple(replace(person, id=place) for place, person in enumerate(people))


def _batches(frames: Iterable[SourceFrame], size: int) -> Iterator[list[SourceFrame]]:
    rest = iter(frames)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def _time_s(frame: SourceFrame, fps: float | None) -> float:
    return frame.time_s if frame.time_s is not None else frame.index / (fps or 30.0)


def _same_camera(seen: _Seen) -> tuple[int, tuple[int, int]]:
    return id(seen.known), seen.image_size


def _seen(frame: SourceFrame, known: KnownCamera, people: tuple[Detection, ...]) -> _Seen:
    height, width = frame.pixels.shape[:2]
    return _Seen(
        source=frame,
        image_size=(width, height),
        known=known,
        people=tuple(
            PersonKeypoints(
                id=person.id,
                keypoints_px=np.asarray(person.keypoints_px, np.float64),
                confidence=np.asarray(person.confidence, np.float64),
                height_m=person.height_m,
            )
            for person in people
        ),
    )
