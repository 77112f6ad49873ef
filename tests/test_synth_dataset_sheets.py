"""Sheets of rendered pictures: labels where they are, pictures of any size in rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_renders import MAKE, written
from sightline.camera import Camera
from sightline.synth import sheet, typed
from sightline.synth.labelled import Labelled, LabelledPerson
from sightline.synth.reading import RenderedSet
from sightline.synth.sheet import LEFT, MIDDLE, PEOPLE, PROPS, RIGHT, contact_sheet, labels_sheet


class _Person:
    """Stands upright in the middle of a 100 × 100 picture, facing the camera."""

    landmarks_cam = np.zeros((64, 3))
    box_px = np.array([30.0, 10.0, 70.0, 90.0])

    def __init__(self, names: tuple[str, ...]) -> None:
        self.landmarks_px = np.full((len(names), 2), np.nan)
        self.hidden_by = np.zeros(len(names), dtype=np.uint8)
        for name, place in {
            "LShoulder": (64, 30),
            "LElbow": (64, 50),
            "RShoulder": (36, 30),
            "RElbow": (36, 50),
        }.items():
            self.landmarks_px[names.index(name)] = place
        self.hidden_by[names.index("RElbow")] = 2


class _Picture:
    camera = Camera.create((100, 100), 100.0)

    def __init__(self, names: tuple[str, ...]) -> None:
        self.image = np.full((100, 100, 3), 60, dtype=np.uint8)
        self.mask = np.zeros((100, 100), dtype=np.uint8)
        self.mask[10:90, 40:60] = 1
        self.mask[92:99, 5:95] = 255
        self.people = (_Person(names),)


def _near(sheet: np.ndarray, colour: tuple[int, int, int], x: float, y: float, reach: int = 1) -> bool:
    """Whether a pixel of about this colour lies near a place of a picture enlarged fourfold, 6 px from the edge."""
    column, row = round(4 * x) + 6, round(4 * y) + 6
    part = sheet[row - reach : row + reach + 1, column - reach : column + reach + 1].astype(int)
    return bool((np.abs(part - colour).max(-1) < 40).any())


def test_labels_are_drawn_where_they_are() -> None:
    from sightline.landmarks import ALL_LANDMARKS

    sheet = labels_sheet([_Picture(ALL_LANDMARKS)], tile_px=400)
    assert _near(sheet, LEFT, 64, 30)
    assert _near(sheet, LEFT, 64, 40)
    assert _near(sheet, RIGHT, 36, 30)
    assert _near(sheet, RIGHT, 36, 40)
    assert _near(sheet, LEFT, 64, 50)
    assert not _near(sheet, RIGHT, 36, 50)  # hidden: hollow
    assert _near(sheet, RIGHT, 36, 50, reach=6)
    assert _near(sheet, PEOPLE[0], 30, 70)  # the box
    assert _near(sheet, PEOPLE[0], 40, 70, reach=3)  # the mask's outline
    assert not _near(sheet, PEOPLE[0], 45, 70, reach=3)
    assert _near(sheet, PROPS, 50, 92, reach=3)
    swapped = ALL_LANDMARKS[::-1]
    assert np.array_equal(labels_sheet([_Picture(swapped)], tile_px=400, landmarks=swapped), sheet)


def test_sheets_lay_pictures_of_any_size_in_rows() -> None:
    wide, tall = (np.full((*size, 3), value, dtype=np.uint8) for size, value in (((50, 100), 200), ((100, 50), 90)))
    sheet = contact_sheet([wide, tall, wide], columns=2, tile_px=100)
    assert sheet.shape == (2 * 106 + 6, 2 * 106 + 6, 3)
    assert sheet[56, 56].tolist() == [200] * 3
    assert sheet[12, 56].tolist() == sheet[0, 0].tolist()
    assert sheet[56, 162].tolist() == [90] * 3
    assert sheet[162, 162].tolist() == sheet[0, 0].tolist()
    assert MIDDLE != PROPS
    with pytest.raises(ValueError, match="sheet: expected pictures"):
        contact_sheet([])


def test_pictures_rendered_and_stored_are_labelled_in_one_way(tmp_path: Path) -> None:
    assert sheet.Labelled is typed.Labelled is Labelled
    written(tmp_path, count=1)
    stored = RenderedSet(tmp_path)[0]
    for picture in (MAKE(0), stored):
        assert isinstance(picture, Labelled)
        assert isinstance(picture.people[0], LabelledPerson)
    assert np.array_equal(labels_sheet([MAKE(0)], tile_px=64), labels_sheet([stored], tile_px=64))
    for set_of in (typed.keypoints_of, typed.poses_of):
        assert len(set_of([stored]).frames) == 1
