"""Scripted detectors for tests: what they see is in the pixels, or they misbehave in one particular way.

People are drawn as filled boxes, each in a colour of its own. `ColourDetector` finds them again by their colour, so
that what a crop shows, and what is greyed out in it, decides what is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sightline.camera import Camera
from sightline.detect.protocol import Detection
from sightline.skeleton import get_skeleton

COLOURS: dict[str, tuple[int, int, int]] = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230)}
BACKGROUND = (90, 100, 110)

# Where a standing person's joints are in the box around the body: x and y as shares of it, in the order of lsp14.
STANDING = np.array(
    [
        *[(0.3, 1.0), (0.3, 0.75), (0.3, 0.5), (0.7, 0.5), (0.7, 0.75), (0.7, 1.0)],
        *[(0.0, 0.5), (0.05, 0.35), (0.1, 0.2), (0.9, 0.2), (0.95, 0.35), (1.0, 0.5)],
        *[(0.5, 0.15), (0.5, 0.0)],
    ]
)


def drawn(people: Mapping[str, Sequence[float]], size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """A picture of `size` (w, h) with people as boxes (x0, y0, x1, y1) of their colours, the last one in front."""
    picture = np.full((size[1], size[0], 3), BACKGROUND, dtype=np.uint8)
    for colour, box in people.items():
        x0, y0, x1, y1 = (max(round(number), 0) for number in box)
        picture[y0:y1, x0:x1] = COLOURS[colour]
    return picture


def pose_in(
    place: Sequence[float] | np.ndarray, *, confidence: float = 0.9, score: float = 0.9, **fields: Any
) -> Detection:  # noqa: E501
    """A person who stands in a box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = place
    points = np.array([x0, y0]) + STANDING * np.array([x1 - x0, y1 - y0])
    return Detection(keypoints_px=points, confidence=np.full(14, confidence), score=score, **fields)


class FakeDetector:
    """What all have in common; counts the calls and the pictures it was shown."""

    name = "fake"
    single_person = True

    def __init__(self) -> None:
        self.skeleton = get_skeleton("lsp14")
        self.shown: list[np.ndarray] = []
        self.calls = 0
        self.closed = False

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[Detection, ...]]:
        self.calls += 1
        self.shown += [picture.copy() for picture in pictures]
        return [self.people(picture) for picture in pictures]

    def people(self, picture: np.ndarray) -> tuple[Detection, ...]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


class ColourDetector(FakeDetector):
    """Sees the person of whose colour most is in the picture, or, with `several`, everybody of whom enough is.

    What is slimmer than a fifth of its height is no person.
    """

    name = "colour"

    def __init__(self, *, several: bool = False) -> None:
        super().__init__()
        self.single_person = not several

    def people(self, picture: np.ndarray) -> tuple[Detection, ...]:
        seen = []
        for colour in COLOURS.values():
            rows, columns = np.nonzero((picture == np.array(colour, dtype=np.uint8)).all(-1))
            if len(rows) and 5 * np.ptp(columns) >= np.ptp(rows):
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                seen.append((len(rows), pose_in([float(number) for number in box])))
        seen.sort(key=lambda pair: -pair[0])
        return tuple(person for _, person in (seen[:1] if self.single_person else seen))


class NearColourDetector(ColourDetector):
    """Can also look again where somebody was: sees the colour of most pixels within half a box around the joints."""

    name = "near"

    def __init__(self) -> None:
        super().__init__()
        self.near = 0

    def detect_near(self, picture: np.ndarray, before: Sequence[Detection]) -> list[Detection | None]:
        self.near += len(before)
        found: list[Detection | None] = []
        for person in before:
            low, high = person.keypoints_px.min(axis=0), person.keypoints_px.max(axis=0)
            edge = (high - low) / 4
            x0, y0 = np.maximum(low - edge, 0).astype(int)
            x1, y1 = (high + edge).astype(int)
            part = np.full_like(picture, 0)
            part[y0:y1, x0:x1] = picture[y0:y1, x0:x1]
            found.append(next(iter(self.people(part)), None))
        return found


class InColourDetector(ColourDetector):
    """Looks into boxes: sees the colour of most pixels there, and nothing beyond; keeps what it was asked."""

    name = "in"

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[np.ndarray, np.ndarray, list[Detection | None], Camera | None]] = []

    def detect_in(
        self,
        picture: np.ndarray,
        boxes: np.ndarray,
        before: Sequence[Detection | None],
        camera: Camera | None = None,
    ) -> list[Detection | None]:
        self.asked.append((picture.copy(), boxes.copy(), list(before), camera))
        found: list[Detection | None] = []
        for box in boxes:
            x0, y0, x1, y1 = box.round().astype(int).clip(0)
            part = np.zeros_like(picture)
            part[y0:y1, x0:x1] = picture[y0:y1, x0:x1]
            found.append(next(iter(self.people(part)), None))
        return found


class RaisingDetector(FakeDetector):
    """Fails on every picture."""

    name = "raising"

    def people(self, picture: np.ndarray) -> tuple[Detection, ...]:
        raise RuntimeError("no kernel image is available\nfor execution on the device")


class BlindDetector(FakeDetector):
    """Never sees anybody."""

    name = "blind"

    def people(self, picture: np.ndarray) -> tuple[Detection, ...]:
        return ()


class NaNDetector(FakeDetector):
    """Sees somebody without a single joint."""

    name = "nan"

    def people(self, picture: np.ndarray) -> tuple[Detection, ...]:
        return (Detection(keypoints_px=np.full((14, 2), np.nan), confidence=np.zeros(14), score=float("nan")),)


class CrowdDetector(FakeDetector):
    """Sees `count` people all over the picture, always the same."""

    name = "crowd"
    single_person = False

    def __init__(self, count: int = 200) -> None:
        super().__init__()
        self.count = count

    def people(self, picture: np.ndarray) -> tuple[Detection, ...]:
        rng = np.random.default_rng(0)
        height, width = picture.shape[:2]
        crowd = []
        for _ in range(self.count):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            crowd.append(pose_in((x - 10, y - 25, x + 10, y + 25), score=float(rng.uniform())))
        return tuple(crowd)
