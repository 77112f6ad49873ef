"""Films out: H.264 in a file that every player and browser opens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from sightline.formats.atomic import atomic_path

if TYPE_CHECKING:
    import av

_QUALITY = {"crf": "18", "preset": "veryfast"}
_BT709 = 1  # FFmpeg's number of this colour space, its primaries and its transfer
_LIMITED_RANGE = 1


def write_video(path: str | Path, frames: Iterable[UInt8[np.ndarray, "height width 3"]], fps: float) -> int:
    """Write RGB frames as a film: H.264, yuv420p, BT.709, playable while it loads; returns the number of frames.

    `path` ends in `.mp4`, `.mov` or `.mkv`. Frames are taken one by one, so a generator needs no memory for a whole
    film. Width and height must be even (the colour planes have half the size) and the same throughout. Raises
    `ValueError` for other frames, none at all, or a rate that is not a positive number. Where anything fails, the
    generator included, no file is left and an older one stays as it was.
    """
    container = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}.get(Path(path).suffix.lower())
    if container is None:
        raise ValueError(f"path: expected a name that ends in .mp4, .mov or .mkv, got {str(path)!r}")
    if not (np.isfinite(fps) and 0.0 < fps <= 1000.0):
        raise ValueError(f"fps: expected a number above 0 and up to 1000, got {fps}")
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("frames: expected at least one, got none")
    _check(first, None)
    with atomic_path(path) as temporary:
        return _encode(temporary, container, first, rest, fps)


def _encode(
    path: Path,
    container: str,
    first: UInt8[np.ndarray, "height width 3"],
    rest: Iterator[UInt8[np.ndarray, "height width 3"]],
    fps: float,
) -> int:
    import av

    options = {"movflags": "+faststart"} if container != "matroska" else {}
    count = 0
    with av.open(str(path), "w", format=container, options=options) as output:
        stream = output.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=dict(_QUALITY))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        picture: UInt8[np.ndarray, "height width 3"] | None = first
        while picture is not None:
            _check(picture, first.shape)
            output.mux(stream.encode(_converted(picture)))
            count, picture = count + 1, next(rest, None)
        output.mux(stream.encode(None))
    return count


def _converted(picture: UInt8[np.ndarray, "height width 3"]) -> av.VideoFrame:
    """One picture in the film's own colours."""
    import av

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace="ITU709")


def _check(picture: np.ndarray, shape: tuple[int, ...] | None) -> None:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"frames: expected uint8 (height, width, 3), got {picture.dtype} {picture.shape}")
    if picture.shape[0] % 2 or picture.shape[1] % 2:
        raise ValueError(f"frames: expected an even width and height, got {picture.shape[1]} × {picture.shape[0]}")
    if shape is not None and picture.shape != shape:
        raise ValueError(f"frames: expected all {shape[1]} × {shape[0]}, got {picture.shape[1]} × {picture.shape[0]}")
