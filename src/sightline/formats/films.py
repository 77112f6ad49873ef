"""Films in: files, webcams and addresses of the network, frame by frame, upright, with their real times.

Memory stays the same however long the film is: one frame is decoded, given, and forgotten. A broken frame is skipped,
counted and reported; decoding goes on after it.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import UInt8

from sightline.errors import InputError
from sightline.formats._film_address import FilmAddress, film_address, open_container
from sightline.formats._film_decoding import Clock, Decoding, counted
from sightline.formats._film_pixels import UprightRgb, turn_of

if TYPE_CHECKING:
    import av
    import av.container

# fmt: off
FILM_SUFFIXES: Final = frozenset((
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".flv", ".mpg", ".mpeg", ".m2v", ".mpv", ".ts",
    ".mts", ".m2ts", ".3gp", ".3g2", ".ogv", ".mxf", ".dv", ".vob",
))
# fmt: on
"""Endings, in small letters, of files that are taken for films."""

_MOST_PIXELS = 100_000_000
_SMALLEST_SIDE = 16
_THREADED_PIXELS = 2_500_000  # beyond Full HD, frames are decoded side by side
_MOST_THREADS = 4
_RATE_WHERE_NONE = 25.0  # FFmpeg's own for streams that carry neither rate nor times
_ATTACHED_PICTURE = 0x400
_LIVE_FORMATS = {"hls", "mpjpeg", "dash"}


@dataclass(frozen=True, kw_only=True, eq=False)
class FilmFrame:
    """One frame.

    index: its number in the film, from 0; numbers of broken frames stay free. time_s: when it is shown, relative to the
    first frame.
    """

    index: int
    pixels: UInt8[np.ndarray, "height width 3"]
    time_s: float


def open_film(path_or_url: str | Path, *, timeout_s: float = 10.0) -> Film:
    """Open a film: a file, `webcam:0` (Linux also `/dev/video0`), or an address such as `rtsp://…` or `http://…`.

    To be used as a context manager, or closed by `close()`. Opening decodes the first frame. A camera or address that
    is silent for `timeout_s` seconds is given up. Raises `InputError` for a file that is missing or no film, a film
    without a frame that can be decoded, a camera or address that cannot be reached; `UsageError` for an unknown kind of
    address.
    """
    address = film_address(path_or_url)
    container = open_container(address, timeout_s)
    try:
        return Film(container, address, timeout_s)
    except BaseException:
        container.close()
        raise


class Film:
    """An open film. Interlaced frames and pixels that are not square stay as they are stored.

    image_size: width and height of the upright frames, px. The stored ones were mirrored left-right first, if
    `mirrored` (rare), and turned clockwise by `turned` quarters after that, as in `StillPicture`. fps: average rate,
    None where nothing is said. frame_count: as estimated from the header, None for live ones. is_live: whether frames
    come as time passes, without an end.
    """

    def __init__(self, container: av.container.InputContainer, address: FilmAddress, timeout_s: float) -> None:
        self._container, self._shown = container, address.shown
        stream = _video_stream(container, address)
        self.is_live = _is_live(container, address)
        self.fps = _rate(stream)
        self.frame_count = None if self.is_live else _frame_count(container, stream, self.fps)
        self._step_s = 1.0 / (self.fps or _RATE_WHERE_NONE)
        _set_threads(stream, self.is_live)
        self._decoding = Decoding(container, stream, address, timeout_s)
        self._decoded = self._decoding.frames(1.0 / self._step_s)
        self._started = False
        self._next_index = self._other_size = 0
        self._first, self._first_pixels = self._begin()
        self._clock = Clock(self._first, stream.time_base, self._step_s)
        self.image_size: tuple[int, int] = (self._first_pixels.shape[1], self._first_pixels.shape[0])

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of file, camera or connection; calling it twice does no harm."""
        self._decoded.close()
        self._container.close()

    @property
    def problems(self) -> list[str]:
        """What could not be read so far, a sentence each; complete once all frames were taken."""
        sentences: list[str | None] = []
        if self._decoding.lost.count:
            sentences.append(self._decoding.lost.sentence(self._clock.since_first))
        if self._other_size:
            width, height = self._stored_size
            sentences.append(f"{counted(self._other_size)} skipped that are not {width} × {height} as the first one is")
        sentences += [self._clock.sentence(), self._decoding.broke_off]
        return [f"{self._shown}: {sentence}" for sentence in sentences if sentence is not None]

    def frames(self, every: int = 1) -> Iterator[FilmFrame]:
        """Give the frames in the order in which they are shown, once; with `every` n, those numbered 0, n, 2n … only.

        A broken one is replaced by the next good one. Pixels are the caller's own. What fails on the way is found in
        `problems`. A frame that comes without a time, or not after the one before, gets one by the average rate.
        """
        if every < 1:
            raise ValueError(f"every: expected 1 or more, got {every}")
        if self._started:
            raise ValueError("frames: a film is read only once; open it again to read it again")
        self._started = True
        return self._given(every)

    def _begin(self) -> tuple[Any, np.ndarray]:
        """The first good frame, and its pixels; from here on `turned` and `mirrored` are known."""
        for frame in self._decoded:
            self._stored_size = (frame.width, frame.height)
            if min(self._stored_size) < _SMALLEST_SIDE:
                least, size = f"{_SMALLEST_SIDE} × {_SMALLEST_SIDE}", f"{frame.width} × {frame.height}"
                raise InputError(f"{self._shown}: expected frames of {least} pixels or more, got {size}")
            self.turned, self.mirrored = turn_of(frame)
            self._to_rgb = UprightRgb(self.turned, self.mirrored)
            pixels = self._converted(frame)
            if pixels is not None:
                return frame, pixels
        why = self._decoding.broke_off or "it is broken, or cut off at its beginning"
        raise InputError(f"{self._shown}: holds no frame that can be decoded ({why})")

    def _given(self, every: int) -> Iterator[FilmFrame]:
        due, first_pixels = 0, self._first_pixels
        self._first_pixels = np.empty((0, 0, 3), np.uint8)
        for frame in itertools.chain((self._first,), self._decoded):
            index = self._number(frame)
            if (frame.width, frame.height) != self._stored_size:
                self._other_size += 1
                continue
            time_s = self._clock(frame)
            if index >= due:
                pixels = first_pixels if frame is self._first else self._converted(frame)
                if pixels is not None:
                    due = (index // every + 1) * every
                    yield FilmFrame(index=index, pixels=pixels, time_s=time_s)

    def _converted(self, frame: Any) -> np.ndarray | None:
        import av

        try:
            return self._to_rgb(frame)
        except (av.FFmpegError, ValueError, OSError):
            self._decoding.lost.add(frame.pts)
            return None

    def _number(self, frame: Any) -> int:
        number = self._next_index + self._decoding.lost.passed(frame)
        self._next_index = number + 1
        return number


def _video_stream(container: av.container.InputContainer, address: FilmAddress) -> Any:
    """The stream with the largest frames; `InputError` where there is none that can be decoded."""
    streams = [stream for stream in container.streams.video if not _is_cover(container, stream)]
    if not streams:
        raise InputError(f"{address.shown}: expected a film, but the file holds no moving pictures")
    known = [stream for stream in streams if stream.codec_context is not None]
    if not known:
        raise InputError(f"{address.shown}: is compressed in a way that this FFmpeg cannot decode")
    stream = max(known, key=lambda stream: stream.codec_context.width * stream.codec_context.height)
    if stream.codec_context.width * stream.codec_context.height > _MOST_PIXELS:
        raise InputError(f"{address.shown}: has frames of more than {_MOST_PIXELS // 1_000_000} million pixels")
    return stream


def _is_cover(container: av.container.InputContainer, stream: Any) -> bool:
    """Whether a stream is only the picture on a sound file's cover."""
    disposition = getattr(stream, "disposition", None)
    if disposition is not None:
        return bool(getattr(disposition, "value", disposition) & _ATTACHED_PICTURE)
    return bool(container.streams.audio) and not stream.average_rate  # before PyAV 15


def _is_live(container: av.container.InputContainer, address: FilmAddress) -> bool:
    if address.kind != "network":
        return address.kind == "webcam"
    if container.duration is not None:
        return False
    formats = set(container.format.name.split(","))
    return not address.opened.lower().startswith("http") or bool(formats & _LIVE_FORMATS)


def _rate(stream: Any) -> float | None:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and math.isfinite(float(rate)) and 0.0 < float(rate) <= 1000.0:
            return float(rate)
    return None


def _frame_count(container: av.container.InputContainer, stream: Any, fps: float | None) -> int | None:
    if stream.frames > 0:
        return int(stream.frames)
    duration_s: float | None = None
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration_s = container.duration / 1e6
    return None if duration_s is None or fps is None else max(1, round(duration_s * fps))


def _set_threads(stream: Any, live: bool) -> None:
    """Decode large frames side by side, which costs memory and delay; small ones by parts of a frame only."""
    codec = stream.codec_context
    large = codec.width * codec.height > _THREADED_PIXELS and not live
    with suppress(RuntimeError, ValueError, AttributeError):
        codec.thread_type = "AUTO" if large else "SLICE"
        codec.thread_count = min(_MOST_THREADS, os.cpu_count() or 1)
