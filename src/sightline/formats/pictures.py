"""Pictures in: whatever cameras, phones and programs write, as upright RGB with 8 bits.

What happens on the way is in `read_picture`'s docstring, and nothing else does.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import UInt8

from sightline.errors import InputError
from sightline.formats._heif_turn import heif_kind, heif_turn
from sightline.formats._pixel_values import to_rgb
from sightline.formats.exif import ExifLens, read_lens

if TYPE_CHECKING:
    import PIL.Image

# fmt: off
PICTURE_SUFFIXES: Final = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".bmp", ".dib", ".gif", ".heic",
    ".heif", ".hif", ".avif", ".jp2", ".ppm", ".pgm", ".pnm",
))
# fmt: on
"""Endings, in small letters, of files that are taken for pictures."""

SMALLEST_SIDE: Final = 16
"""A picture with a side below this many pixels shows nobody."""

_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "AVIF", "JPEG2000", "PPM")
_MOST_PIXELS = 178_956_970  # Pillow's own bound, beyond which it takes a file for an attack
_ORIENTATION_TAG = 0x0112
_TURNS: Final = {
    1: (0, False),
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (1, False),
    7: (1, True),
    8: (3, False),
}
"""EXIF orientation → quarters clockwise, and whether mirrored before."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StillPicture:
    """A picture as it is to be looked at, and what was done to the sensor's for that.

    pixels: upright RGB. The stored picture was mirrored left-right first, if `mirrored`, and turned clockwise by
    `turned` quarters after that: `pixels = numpy.rot90(stored[:, ::-1] if mirrored else stored, -turned)`. The camera
    of the stored picture becomes the one of `pixels` likewise: `camera.flipped()`, then `.quarter_turned(turned)`.
    lens: what the picture's EXIF says about its lens, if it does.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    turned: int
    mirrored: bool
    lens: ExifLens | None

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the upright picture, px."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_picture(path: str | Path) -> StillPicture:
    """Read a picture: JPEG, PNG, TIFF, WebP, BMP, GIF, HEIC, AVIF, JPEG 2000 or PPM, told apart by content.

    Of files with several pictures, the first. The orientation tag is obeyed. 16 bits become 8 by the format's full
    range; floats by 0…1, or from their least to their greatest value where they reach beyond. Transparency lies on
    white. An embedded colour profile is converted to sRGB. Raises `InputError` for a file that is missing, empty,
    broken, cut off, no picture, or of an unreasonable size.
    """
    with _opened(path) as (image, of_container):
        turned, mirrored = of_container or _TURNS[_orientation(image)]
        lens = read_lens(image)
        image.load()
        rgb = to_rgb(image)
        if of_container is None and image.format != "TIFF":  # Pillow turns these itself, while it loads them
            rgb = _upright(rgb, turned, mirrored)
        pixels = np.array(rgb)
    return StillPicture(pixels=pixels, turned=turned, mirrored=mirrored, lens=lens)


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[PIL.Image.Image, tuple[int, bool] | None]]:
    """The Pillow picture of a file, and, where the decoder obeys the container's own turn, that turn.

    Whatever goes wrong inside the block is an `InputError`, and no warning comes out.
    """
    content = _read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            kind = heif_kind(content[:64])
            if kind == "HEIC" or (kind == "AVIF" and not _pillow_reads_avif()):
                image, turn = _open_heif(content, kind), heif_turn(content)
            else:
                image, turn = _open(content, path), None
            with image:
                _check_size(image.size, path)
                yield image, turn
        except InputError:
            raise
        except MemoryError as error:
            raise InputError(f"{path}: too large for this computer's memory; scale it down") from error
        except Exception as error:  # the decoders raise whatever broken bytes make them stumble over
            raise InputError(f"{path}: cannot be decoded ({_reason(error)}); it is broken or cut off") from error


def _read(path: str | Path) -> bytes:
    if os.path.isdir(path):
        raise InputError(f"{path}: expected a picture, but this is a folder")
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not content:
        raise InputError(f"{path}: expected a picture, but the file is empty")
    return content


def _open(content: bytes, path: str | Path) -> PIL.Image.Image:
    from PIL import Image

    Image.init()
    known = [name for name in _FORMATS if name in Image.OPEN and (name != "AVIF" or _pillow_reads_avif())]
    try:
        return Image.open(io.BytesIO(content), formats=known)
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path}: expected a picture (JPEG, PNG, HEIC, TIFF, WebP …), but it is none") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: has more than {_MOST_PIXELS // 1_000_000} million pixels; scale it down") from error


def _open_heif(content: bytes, kind: str) -> Any:
    """The picture in HEIF, opened without telling Pillow of the format: what others do with Pillow stays theirs."""
    import pillow_heif

    name = "HeifImageFile" if kind == "HEIC" else "AvifImageFile"
    opener = getattr(pillow_heif, name, None)
    if opener is None:
        raise ValueError("this Pillow cannot read AVIF; install pillow 11.3 or newer")
    return opener(io.BytesIO(content))


def _pillow_reads_avif() -> bool:
    from PIL import features

    return "avif" in features.modules and bool(features.check("avif"))


def _check_size(size: tuple[int, int], path: str | Path) -> None:
    width, height = size
    if min(width, height) < SMALLEST_SIDE:
        raise InputError(
            f"{path}: expected a picture of {SMALLEST_SIDE} × {SMALLEST_SIDE} pixels or more, got {width} × {height}"
        )
    if width * height > _MOST_PIXELS:
        raise InputError(f"{path}: has more than {_MOST_PIXELS // 1_000_000} million pixels; scale it down")


def _orientation(image: PIL.Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # broken EXIF beside a good picture, as in `read_lens`
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def _upright(image: PIL.Image.Image, turned: int, mirrored: bool) -> PIL.Image.Image:
    from PIL.Image import Transpose

    if mirrored:
        image = image.transpose(Transpose.FLIP_LEFT_RIGHT)
    ways = {1: Transpose.ROTATE_270, 2: Transpose.ROTATE_180, 3: Transpose.ROTATE_90}  # Pillow counts anticlockwise
    return image.transpose(ways[turned]) if turned else image


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else f"{text[:117]}…"
