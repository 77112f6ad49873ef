"""What places people who were found in frames: a lifter of their keypoints, or a network that looks at the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from sightline.detect.protocol import Detection, Detector
from sightline.pipeline import Lifter, Skipped
from sightline.prediction.cameras import KnownCamera
from sightline.skeleton import Skeleton
from sightline.sources import SourceFrame
from sightline.structures import KeypointFrame, Keypoints, ModelInfo, PersonKeypoints, PoseFrame, ScaleBody, World


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A frame that has been looked at.

    image_size: (width, height). people: in the detector's joints. detections: the same people as the detector told of
    them, in that order, with boxes and scores.
    """

    source: SourceFrame
    image_size: tuple[int, int]
    known: KnownCamera
    people: tuple[PersonKeypoints, ...]
    detections: tuple[Detection, ...]

    @classmethod
    def of(cls, frame: SourceFrame, known: KnownCamera, detections: tuple[Detection, ...]) -> Found:
        """Join a frame with its camera and those who were found in it."""
        height, width = frame.pixels.shape[:2]
        people = tuple(
            PersonKeypoints(
                id=one.id,
                keypoints_px=np.asarray(one.keypoints_px, np.float64),
                confidence=np.asarray(one.confidence, np.float64),
                height_m=one.height_m,
            )
            for one in detections
        )
        return cls(source=frame, image_size=(width, height), known=known, people=people, detections=detections)


class Placed(NamedTuple):
    """People in metres, frame by frame, each with their place among those found there as id."""

    frames: tuple[PoseFrame, ...]
    skipped: tuple[Skipped, ...]
    """Who could not be placed, by the same places."""
    world: World | None


@runtime_checkable
class Told(Protocol):
    """What is told of those who placed people: joints, model, and what fixed sizes."""

    @property
    def skeleton(self) -> Skeleton:
        """The joint set of the poses."""
        ...

    @property
    def model(self) -> ModelInfo:
        """Method and weights."""
        ...

    def stand_in(self, skeleton: str | None = None) -> str | None:
        """Which stature stands in where no height is given, in one phrase; None where metres were learned."""
        ...


@runtime_checkable
class Estimator(Told, Protocol):
    """Places people who were found in frames."""

    @property
    def lifter(self) -> Lifter | None:
        """Who lifts keypoints once more that were repaired over time; None where pixels tell the pose."""
        ...

    def body_of(self, height_m: float | None) -> ScaleBody:
        """Return where somebody's size comes from, whose stature is given or not."""
        ...

    def place(
        self, frames: Sequence[Found], seen: Skeleton, *, fps: float | None = None, height_m: float | None = None
    ) -> Placed:
        """Place the people of frames that one camera took.

        Args:
            frames: with pictures of one size.
            seen: the joint set of the detector.
            fps: frames per second, where known.
            height_m: barefoot stature of everybody whose own is not known.
        """
        ...


@runtime_checkable
class FindsPeople(Protocol):
    """What an estimator offers beside that finds people by itself: no other detector is asked."""

    def detector(self, min_score: float | None = None) -> Detector:
        """Return what finds people in pictures.

        Args:
            min_score: people of whom it is less sure are left out; None takes its own threshold.
        """
        ...


@dataclass(frozen=True, eq=False)
class FromKeypoints:
    """Places people by their keypoints alone."""

    lifter: Lifter

    @property
    def skeleton(self) -> Skeleton:
        """The lifter's."""
        return self.lifter.skeleton

    @property
    def model(self) -> ModelInfo:
        """The lifter's."""
        return self.lifter.model

    def stand_in(self, skeleton: str | None = None) -> str | None:
        """Which stature stands in where no height is given."""
        return self.lifter.stand_in(skeleton)

    def body_of(self, height_m: float | None) -> ScaleBody:
        """Given, where the weights can use it."""
        return "learned" if height_m is None or self.lifter.mean_stature_m is None else "given_height"

    def place(
        self, frames: Sequence[Found], seen: Skeleton, *, fps: float | None = None, height_m: float | None = None
    ) -> Placed:
        """Lift the people of all frames at once."""
        rows = tuple(KeypointFrame(index=each.source.index, people=_numbered(each.people)) for each in frames)
        keypoints = Keypoints(skeleton=seen, image_size=frames[0].image_size, frames=rows, fps=fps)
        result = self.lifter.lift(keypoints, frames[0].known.camera, height_m=height_m, plausibility=False)
        return Placed(result.poses.frames, result.skipped, result.poses.world)


def _numbered(people: tuple[PersonKeypoints, ...]) -> tuple[PersonKeypoints, ...]:
    """Return the people with their places in the frame as ids, by which they are found again after lifting."""
    return tuple(replace(person, id=place) for place, person in enumerate(people))


class SeesPixels:
    """What estimators have in common that see the pictures themselves."""

    @property
    def lifter(self) -> Lifter | None:
        """Nobody: pixels tell the pose, so repaired keypoints change nothing."""
        return None

    def stand_in(self, skeleton: str | None = None) -> str | None:
        """No stature stands in: sizes were learned in metres."""
        del skeleton
        return None

    def body_of(self, height_m: float | None) -> ScaleBody:
        """Given where it is: poses are then scaled about the camera, which leaves the picture as it is."""
        return "learned" if height_m is None else "given_height"
