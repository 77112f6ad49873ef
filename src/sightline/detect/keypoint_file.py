"""Keypoints that are known already, in the place of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from sightline.detect.protocol import Detection
from sightline.errors import InputError
from sightline.skeleton import Skeleton
from sightline.structures import Keypoints, PersonKeypoints


class KeypointFile:
    """Gives the people that a keypoint file names, by the number of the frame; it never looks at a picture.

    It is no `Detector`, since a picture does not say which frame it is: call `detect_frames`.

    Args:
        keypoints: in any joint set.
        name: what to call the file in errors.
    """

    def __init__(self, keypoints: Keypoints, *, name: str = "keypoints") -> None:
        self.name: Final = name
        self.skeleton: Final[Skeleton] = keypoints.skeleton
        self._size = keypoints.image_size
        self._frames = {frame.index: frame.people for frame in keypoints.frames}

    def detect_frames(
        self, indices: Sequence[int], image_sizes: Sequence[tuple[int, int]]
    ) -> list[tuple[Detection, ...]]:
        """Return the people of frames by their numbers, in pixels of pictures of those sizes (w, h).

        A frame that the file does not list is empty. Everybody keeps id and stature; the score is the mean confidence.
        `InputError` where a picture has another aspect than the file's (by over a pixel).
        """
        return [self._people(index, size) for index, size in zip(indices, image_sizes, strict=True)]

    def _people(self, index: int, image_size: tuple[int, int]) -> tuple[Detection, ...]:
        scale = image_size[0] / self._size[0]
        if abs(scale * self._size[1] - image_size[1]) > 1.0:
            raise InputError(
                f"{self.name}: its keypoints are of pictures of {self._size[0]} × {self._size[1]} px, which is another "
                f"shape than {image_size[0]} × {image_size[1]}"
            )
        return tuple(_detection(person, scale) for person in self._frames.get(index, ()))


def _detection(person: PersonKeypoints, scale: float) -> Detection:
    return Detection(
        keypoints_px=person.keypoints_px * scale,
        confidence=np.array(person.confidence),
        score=float(person.confidence.mean()),
        id=person.id,
        height_m=person.height_m,
    )
