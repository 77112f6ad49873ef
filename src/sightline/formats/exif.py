"""The focal length that a camera wrote into its picture (EXIF), in pixels, or why it cannot be had.

Facts: CIPA DC-008 (Exif 3.0), tags of the IFDs 0 and Exif. The 35 mm equivalent is meant by the diagonal: a full frame
of 36 mm × 24 mm has one of 43.27 mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import PIL.Image

DIAGONAL_35MM: Final = math.hypot(36.0, 24.0)
"""Diagonal of a full frame, mm."""

_MAKE, _MODEL, _WIDTH, _HEIGHT = 0x010F, 0x0110, 0x0100, 0x0101
_EXIF_IFD, _FOCAL, _FOCAL_35MM, _ZOOM = 0x8769, 0x920A, 0xA405, 0xA404
_PIXEL_X, _PIXEL_Y = 0xA002, 0xA003
_PLANE_X, _PLANE_Y, _PLANE_UNIT = 0xA20E, 0xA20F, 0xA210
_MM_PER_UNIT: Final = {1: 25.4, 2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Of FocalPlaneResolutionUnit; its default is inches, and so is 1, "no absolute unit", as cameras write it."""

_SHORTEST_MM, _LONGEST_MM = 3.0, 5000.0
"""35 mm equivalents between which lenses are: a fisheye has 8, the longest telephoto with a converter about 3000."""

_ASPECT_TOLERANCE = 0.01
_SQUARE_TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True)
class ExifLens:
    """What a picture says about the lens that took it; None where it says nothing, or nonsense.

    focal_35mm: equivalent focal length of a full frame by the diagonal, mm; phones write it with digital zoom included.
    focal_mm: the lens's own. plane_px_per_mm: pixels per millimetre on the sensor, across and down. digital_zoom: 1 is
    none. recorded_size: width and height as the camera wrote the picture, before it was turned; they give away a crop.
    """

    focal_35mm: float | None = None
    focal_mm: float | None = None
    plane_px_per_mm: tuple[float, float] | None = None
    digital_zoom: float | None = None
    recorded_size: tuple[int, int] | None = None
    make: str | None = None
    model: str | None = None


def read_lens(image: PIL.Image.Image) -> ExifLens | None:
    """The lens of an opened Pillow picture, or None where the picture says nothing of it or its EXIF is broken."""
    try:
        exif = image.getexif()
        tags = {**dict(exif), **exif.get_ifd(_EXIF_IFD)}
        lens = _lens_of(tags)
    except Exception:  # whatever broken bytes make Pillow's parser stumble over: the picture itself may be good
        return None
    return None if lens == ExifLens(recorded_size=lens.recorded_size) else lens


def focal_px_from_exif(lens: ExifLens, image_size: tuple[float, float]) -> float | None:
    """Focal length in pixels of a picture of `image_size` (width, height), or None where `exif_doubt` has a reason.

    By the 35 mm equivalent; where there is none, by focal length and resolution of the sensor. It does not matter which
    way up the picture is, nor whether it was resized as a whole.
    """
    focal, _ = _focal_or_doubt(lens, image_size)
    return focal


def exif_doubt(lens: ExifLens, image_size: tuple[float, float]) -> str | None:
    """Why `lens` gives no focal length for a picture of that size, as half a sentence; None where it does."""
    _, doubt = _focal_or_doubt(lens, image_size)
    return doubt


def focal_px_from_35mm(focal_35mm: float, image_size: tuple[float, float]) -> float:
    """Pixels from a 35 mm equivalent, by the diagonal: f · √(w² + h²) / 43.27 mm; `ValueError` unless all are positive.

    By the diagonal, a landscape and a portrait picture of one camera have one focal length, as they must.
    """
    if not (math.isfinite(focal_35mm) and focal_35mm > 0.0):
        raise ValueError(f"focal_35mm: expected a positive number of millimetres, got {focal_35mm}")
    return focal_35mm * _diagonal(image_size) / DIAGONAL_35MM


def _focal_or_doubt(lens: ExifLens, image_size: tuple[float, float]) -> tuple[float | None, str | None]:
    diagonal = _diagonal(image_size)
    recorded = lens.recorded_size
    if recorded is not None and not _same_shape(recorded, image_size):
        taken, now = f"{recorded[0]} × {recorded[1]}", f"{image_size[0]:g} × {image_size[1]:g}"
        return None, f"it was taken at {taken} and is {now} now, so it was cropped"
    if lens.focal_35mm is not None:
        return focal_px_from_35mm(lens.focal_35mm, image_size), None
    if lens.focal_mm is None:
        return None, "it holds no focal length"
    if lens.plane_px_per_mm is None or recorded is None:
        return None, f"it holds a focal length of {lens.focal_mm:g} mm, but not the size of the sensor"
    across, down = lens.plane_px_per_mm
    if abs(across / down - 1.0) > _SQUARE_TOLERANCE:
        return None, "the pixels of its sensor are not square"
    focal = lens.focal_mm * math.sqrt(across * down) * (lens.digital_zoom or 1.0) * diagonal / math.hypot(*recorded)
    if not _SHORTEST_MM <= focal * DIAGONAL_35MM / diagonal <= _LONGEST_MM:
        return None, "focal length and resolution of the sensor do not go together"
    return focal, None


def _diagonal(image_size: tuple[float, float]) -> float:
    width, height = image_size
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise ValueError(f"image_size: expected a positive width and height, got {tuple(image_size)}")
    return math.hypot(width, height)


def _same_shape(recorded: tuple[int, int], image_size: tuple[float, float]) -> bool:
    """Whether both have one aspect, whichever way up, up to the rounding of a resize to whole pixels."""
    taken, now = max(recorded) / min(recorded), max(image_size) / min(image_size)
    return abs(now / taken - 1.0) <= _ASPECT_TOLERANCE + 1.0 / min(image_size)


def _lens_of(tags: dict[int, Any]) -> ExifLens:
    zoom = _positive(tags.get(_ZOOM))
    return ExifLens(
        focal_35mm=_within(_positive(tags.get(_FOCAL_35MM)), _SHORTEST_MM, _LONGEST_MM),
        focal_mm=_within(_positive(tags.get(_FOCAL)), 0.1, _LONGEST_MM),
        plane_px_per_mm=_plane_of(tags),
        digital_zoom=_within(zoom, 1.0, 1000.0),
        recorded_size=_size_of(tags, _PIXEL_X, _PIXEL_Y) or _size_of(tags, _WIDTH, _HEIGHT),
        make=_text(tags.get(_MAKE)),
        model=_text(tags.get(_MODEL)),
    )


def _plane_of(tags: dict[int, Any]) -> tuple[float, float] | None:
    across, down = _positive(tags.get(_PLANE_X)), _positive(tags.get(_PLANE_Y))
    unit = _positive(tags.get(_PLANE_UNIT, 2))
    mm = None if unit is None else _MM_PER_UNIT.get(round(unit))
    return None if across is None or down is None or mm is None else (across / mm, down / mm)


def _size_of(tags: dict[int, Any], width_tag: int, height_tag: int) -> tuple[int, int] | None:
    width, height = _positive(tags.get(width_tag)), _positive(tags.get(height_tag))
    if width is None or height is None or min(width, height) < 1.0 or max(width, height) > 1e6:
        return None
    return round(width), round(height)


def _positive(value: Any) -> float | None:
    """A tag's number, or None where it is missing, 0, negative, not finite (a rational of 0/0) or no number."""
    first: Any = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    try:
        number = float(first)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0.0 else None


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None


def _text(value: Any) -> str | None:
    text = value.strip("\0 \t\r\n") if isinstance(value, str) else ""
    return text or None
