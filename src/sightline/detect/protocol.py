"""What a 2D pose detector is: pictures in, the joints of people out, in pixels with corner origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

from sightline.camera import Camera
from sightline.skeleton import Skeleton

Picture = UInt8[np.ndarray, "_ _ 3"]
"""An upright RGB picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Detection:
    """One person that a detector saw in one picture.

    keypoints_px: (joint, 2) px, corner origin; NaN where a joint was not seen. confidence: (joint,) in 0…1, 0 where it
    was not seen. score: how sure the detector is of the person, 0…1. box_px: (x0, y0, x1, y1) px, where the detector
    gives one. id: who it is, where whoever made the detection knows (boxes, files). height_m: stature, where known.
    """

    keypoints_px: Float[np.ndarray, "joint 2"]
    confidence: Float[np.ndarray, " joint"]
    score: float
    box_px: Float[np.ndarray, " 4"] | None = None
    id: int | None = None
    height_m: float | None = None


@runtime_checkable
class Detector(Protocol):
    """A 2D pose detector.

    An adapter states its joint set (`skeleton`) and returns pixels with corner origin: where the detector counts from
    the first pixel's centre, the adapter adds 0.5, once, and says so in its docstring.
    """

    @property
    def name(self) -> str:
        """Short name, as it is chosen by: `mediapipe`."""
        ...

    @property
    def skeleton(self) -> Skeleton:
        """The joint set of its detections."""
        ...

    @property
    def single_person(self) -> bool:
        """Whether it finds one person at most in a picture, so that several need boxes."""
        ...

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detection, ...]]:
        """Return the people of each picture; nobody is an empty tuple, not an error.

        Pictures of one call follow each other in time where the detector was loaded for video, and may differ in size.
        """
        ...

    def close(self) -> None:
        """Let go of whatever the detector holds; calling it twice does no harm."""
        ...


@runtime_checkable
class SeesByCameras(Protocol):
    """What a detector may offer beyond `Detector`: to see better where it knows which cameras took the pictures."""

    def detect_by(self, pictures: Sequence[Picture], cameras: Sequence[Camera | None]) -> list[tuple[Detection, ...]]:
        """Return the people of each picture as `detect` does; None is a camera of which nothing is known."""
        ...
