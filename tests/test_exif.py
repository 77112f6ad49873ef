"""The focal length that a camera wrote into its picture, in pixels, or a reason why not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from media_files import MAKE, MODEL, corners, exif, write_heic
from sightline.formats.exif import ExifLens, exif_doubt, focal_px_from_35mm, focal_px_from_exif, read_lens
from sightline.formats.pictures import read_picture

# What three cameras write, and the focal length in pixels that follows by hand.
PHONE = ExifLens(focal_35mm=26.0, focal_mm=4.25, recorded_size=(4032, 3024), make="Phones", model="P1")
SLR = ExifLens(focal_mm=50.0, plane_px_per_mm=(5184 / 22.3, 3456 / 14.9), recorded_size=(5184, 3456))


def lens_of(path: Path, **tags: Any) -> ExifLens | None:
    Image.fromarray(corners()).save(path / "a.jpg", exif=exif(ifd0={MAKE: "Maker\0 ", MODEL: "Model 3"}, **tags))
    return read_picture(path / "a.jpg").lens


@pytest.mark.parametrize("size", [(4032, 3024), (3024, 4032), (2016, 1512), (1600, 1200), (1000, 750)])
def test_the_equivalent_is_meant_by_the_diagonal(size: tuple[int, int]) -> None:
    expected = 26.0 * math.hypot(*size) / math.hypot(36.0, 24.0)
    assert_allclose(focal_px_from_35mm(26.0, size), expected, rtol=1e-12)
    assert_allclose(focal_px_from_exif(PHONE, size), expected, rtol=1e-12)
    assert exif_doubt(PHONE, size) is None


def test_a_full_frame_has_its_own_focal() -> None:
    # 50 mm on 36 mm × 24 mm with 6000 × 4000 pixels: 6000 / 36 pixels a millimetre.
    assert_allclose(focal_px_from_35mm(50.0, (6000, 4000)), 50.0 * 6000 / 36, rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.2])
def test_without_an_equivalent_the_sensor_gives_it(scale: float) -> None:
    size = (round(5184 * scale), round(3456 * scale))
    assert_allclose(focal_px_from_exif(SLR, size), scale * 50.0 * 5184 / 22.3, rtol=5e-3)
    assert_allclose(focal_px_from_exif(SLR, size[::-1]), scale * 50.0 * 5184 / 22.3, rtol=5e-3)
    assert_allclose(
        focal_px_from_exif(replace(SLR, digital_zoom=2.0), size), 2.0 * scale * 50.0 * 5184 / 22.3, rtol=5e-3
    )


@pytest.mark.parametrize(
    ("lens", "size", "doubt"),
    [
        (PHONE, (3024, 3024), "taken at 4032 × 3024 and is 3024 × 3024 now, so it was cropped"),
        (PHONE, (4032, 2268), "cropped"),
        (PHONE, (1000, 720), "cropped"),
        (ExifLens(make="Maker"), (4000, 3000), "no focal length"),
        (ExifLens(focal_mm=4.25), (4000, 3000), "4.25 mm, but not the size of the sensor"),
        (replace(SLR, recorded_size=None), (5184, 3456), "not the size of the sensor"),
        (replace(SLR, plane_px_per_mm=(232.0, 116.0)), (5184, 3456), "not square"),
        (replace(SLR, plane_px_per_mm=(1.0, 1.0)), (5184, 3456), "do not go together"),
        (replace(SLR, plane_px_per_mm=(1e6, 1e6)), (5184, 3456), "do not go together"),
    ],
)
def test_what_cannot_be_trusted_gives_none_and_a_reason(lens: ExifLens, size: tuple[int, int], doubt: str) -> None:
    assert focal_px_from_exif(lens, size) is None
    assert doubt in str(exif_doubt(lens, size))


def test_a_picture_without_a_recorded_size_is_believed() -> None:
    assert focal_px_from_exif(replace(PHONE, recorded_size=None), (3024, 3024)) is not None


@pytest.mark.parametrize("focal", [0.0, -26.0, math.nan, math.inf])
def test_a_bad_equivalent_is_a_bad_call(focal: float) -> None:
    with pytest.raises(ValueError, match="focal_35mm: expected a positive number"):
        focal_px_from_35mm(focal, (4000, 3000))


@pytest.mark.parametrize("size", [(0, 3000), (4000, -1), (math.nan, 3000)])
def test_a_bad_size_is_a_bad_call(size: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="image_size: expected a positive width and height"):
        focal_px_from_exif(PHONE, size)


def test_tags_are_read(tmp_path: Path) -> None:
    lens = lens_of(
        tmp_path,
        FOCAL_35MM=26,
        FOCAL=IFDRational(17, 4),
        ZOOM=IFDRational(3, 2),
        PIXEL_X=4032,
        PIXEL_Y=3024,
        PLANE_X=IFDRational(5184000, 878),
        PLANE_Y=IFDRational(3456000, 583),
        PLANE_UNIT=2,
    )
    assert lens is not None
    assert (lens.focal_35mm, lens.focal_mm, lens.digital_zoom) == (26.0, 4.25, 1.5)
    assert (lens.recorded_size, lens.make, lens.model) == ((4032, 3024), "Maker", "Model 3")
    assert lens.plane_px_per_mm is not None
    assert_allclose(lens.plane_px_per_mm, (5184000 / 878 / 25.4, 3456000 / 583 / 25.4), rtol=1e-6)


@pytest.mark.parametrize(("unit", "mm"), [(1, 25.4), (2, 25.4), (3, 10.0), (4, 1.0), (5, 0.001), (None, 25.4)])
def test_units_of_the_sensor(tmp_path: Path, unit: int | None, mm: float) -> None:
    tags = {} if unit is None else {"PLANE_UNIT": unit}
    lens = lens_of(tmp_path, PLANE_X=IFDRational(600, 1), PLANE_Y=IFDRational(300, 1), **tags)
    assert lens is not None
    assert lens.plane_px_per_mm is not None
    assert_allclose(lens.plane_px_per_mm, (600.0 / mm, 300.0 / mm))


@pytest.mark.parametrize(
    "tags",
    [
        {"FOCAL_35MM": 0},
        {"FOCAL_35MM": 65535},
        {"FOCAL_35MM": 1},
        {"FOCAL": IFDRational(0, 1)},
        {"FOCAL": IFDRational(0, 0)},
        {"FOCAL": IFDRational(4294967295, 1)},
        {"PLANE_X": IFDRational(0, 0), "PLANE_Y": IFDRational(1, 0)},
        {"PLANE_X": IFDRational(100, 1), "PLANE_Y": IFDRational(100, 1), "PLANE_UNIT": 77},
        {"PIXEL_X": 0, "PIXEL_Y": 100},
        {"ZOOM": IFDRational(0, 1)},
        {"FOCAL_35MM": "wide"},
    ],
)
def test_nonsense_is_nothing(tmp_path: Path, tags: dict[str, Any]) -> None:
    lens = lens_of(tmp_path, **tags)
    assert lens == ExifLens(make="Maker", model="Model 3")
    assert focal_px_from_exif(lens, (4000, 3000)) is None


def test_a_picture_that_says_nothing_has_no_lens(tmp_path: Path) -> None:
    Image.fromarray(corners()).save(tmp_path / "a.jpg")
    Image.fromarray(corners()).save(tmp_path / "b.jpg", exif=exif(1, PIXEL_X=96, PIXEL_Y=64))
    assert read_picture(tmp_path / "a.jpg").lens is None
    assert read_picture(tmp_path / "b.jpg").lens is None


class _Broken(Image.Image):
    def getexif(self) -> Image.Exif:
        raise SyntaxError("not a TIFF file")


def test_exif_that_cannot_be_parsed_is_none() -> None:
    assert read_lens(_Broken()) is None


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "heic"])
def test_a_turned_picture_of_any_kind_keeps_its_focal(tmp_path: Path, suffix: str) -> None:
    path, block = tmp_path / f"a.{suffix}", exif(6, FOCAL_35MM=26, PIXEL_X=96, PIXEL_Y=64)
    if suffix == "heic":
        write_heic(path, corners(), block)
    else:
        Image.fromarray(corners()).save(path, exif=block)
    still = read_picture(path)
    assert still.image_size == (64, 96)
    assert still.lens is not None
    assert_allclose(focal_px_from_exif(still.lens, still.image_size), 26.0 * np.hypot(96, 64) / 43.2666, rtol=1e-5)


def test_a_cropped_file_is_noticed(tmp_path: Path) -> None:
    Image.fromarray(corners()[:, 20:84]).save(tmp_path / "a.jpg", exif=exif(FOCAL_35MM=26, PIXEL_X=96, PIXEL_Y=64))
    still = read_picture(tmp_path / "a.jpg")
    assert still.lens is not None
    assert focal_px_from_exif(still.lens, still.image_size) is None
    assert "96 × 64" in str(exif_doubt(still.lens, still.image_size))
