"""Films and photos whose frames carry their number, and a detector that reads it: it 'sees' a staged scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from media_files import number_of, numbered
from sightline.camera import Camera
from sightline.detect.protocol import Detection
from sightline.detect.registry import Entry
from sightline.formats.video import write_video
from sightline.skeleton import get_skeleton
from staged_people import H36M, person, standing_cam

SIZE = (640, 480)
CAMERA = Camera.create(SIZE, 600.0)
PITCH, HEIGHT_M = 0.25, 1.4


def placed_camera() -> Camera:
    """The same camera with a place in the world (z up, floor 0): it looks down by PITCH from HEIGHT_M."""
    c, s = np.cos(PITCH), np.sin(PITCH)
    level = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # world's y is ahead
    rotation = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]) @ level
    return Camera.create(SIZE, 600.0, rotation=rotation, translation_m=-rotation @ np.array([0.0, 0.0, HEIGHT_M]))


def walkers(number: int) -> list[np.ndarray]:
    """Two people (camera frame, m) who walk to and fro past each other; in every tenth frame nobody."""
    if number % 10 == 9:
        return []
    way = 0.03 * number
    return [standing_cam(-0.8 + way, 4.0, pitch=PITCH), standing_cam(0.8 - way, 5.5, pitch=PITCH)]


class Staged:
    """A detector of whoever `scene` puts into the frame of that number, in the order that `shuffled` makes."""

    name = "staged"
    skeleton = H36M
    single_person = False

    def __init__(self, scene: Callable[[int], list[np.ndarray]] = walkers, shuffled: bool = False) -> None:
        self.scene, self.shuffled = scene, shuffled
        self.closed = 0
        self.batches: list[int] = []

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[Detection, ...]]:
        self.batches.append(len(pictures))
        return [self._people(picture) for picture in pictures]

    def _people(self, picture: np.ndarray) -> tuple[Detection, ...]:
        number = number_of(picture)
        camera = CAMERA.resized((picture.shape[1], picture.shape[0]))
        people = [person(joints, camera, ident=row, noise_px=0.5) for row, joints in enumerate(self.scene(number))]
        found = [
            Detection(keypoints_px=each.keypoints_px, confidence=each.confidence, score=each.score) for each in people
        ]
        return tuple(found[::-1] if self.shuffled and number % 2 else found)

    def close(self) -> None:
        self.closed += 1


def entry(detector: object, joint_set: str = "h36m17") -> Entry:
    """A detector as the registry holds it."""
    return Entry(name="staged", load=lambda **_: detector, about="of a test", joint_set=joint_set, several=True)


def write_film(path: Path, frames: int = 20, size: tuple[int, int] = SIZE, fps: float = 25.0) -> Path:
    """A film of numbered frames."""
    write_video(path, (numbered(number, *size) for number in range(frames)), fps)
    return path


def write_photo(path: Path, number: int = 0, size: tuple[int, int] = SIZE, **options: object) -> Path:
    """A photo that carries its number."""
    Image.fromarray(numbered(number, *size)).save(path, **options)
    return path


COCO = get_skeleton("coco17")
