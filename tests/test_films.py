"""Films come in upright, in true colours, at their real times, frame by frame."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from media_files import (
    corners,
    number_of,
    numbered,
    read_film,
    textured,
    turn_film,
    write_film,
)
from sightline.formats import films
from sightline.formats.films import Film, open_film

KEYS = {"g": "12"}


CONTAINERS: dict[str, dict[str, Any]] = {
    "a.mp4": {},
    "a.mov": {},
    "a.mkv": {},
    "a.ts": {},
    "a.flv": {},
    "with sound.mp4": {"sound": True},
    "a.avi": {"codec": "mpeg4"},
    "b-frames.avi": {},
    "a.mpg": {"codec": "mpeg2video"},
    "a.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "motion jpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "interlaced.mp4": {"options": {"flags": "+ilme+ildct"}},
    "10 bit.mp4": {"pix_fmt": "yuv420p10le"},
    "4 2 2.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_frame_comes_in_order_at_its_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_film(path, [numbered(k) for k in range(40)], **CONTAINERS[name])
    with open_film(path) as film:
        assert (film.image_size, film.turned, film.mirrored, film.is_live) == ((128, 96), 0, False, False)
        assert_allclose(film.fps, 30.0, rtol=0.01)
        assert film.frame_count is not None
        assert abs(film.frame_count - 40) <= 3
        frames = list(film.frames())
        if name != "b-frames.avi":  # which knows no times of presentation
            assert film.problems == []
            assert_allclose([frame.time_s for frame in frames], np.arange(40) / 30.0, atol=1e-3)
    assert [frame.index for frame in frames] == list(range(40))
    assert [number_of(frame.pixels) for frame in frames] == list(range(40))
    assert all(frame.pixels.dtype == np.uint8 and frame.pixels.flags.c_contiguous for frame in frames)
    assert (np.diff([frame.time_s for frame in frames]) > 0.0).all()


def test_pixels_are_the_callers_own(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", [numbered(k) for k in range(4)])
    frames, _ = read_film(tmp_path / "a.mp4")
    for frame in frames:
        frame.pixels[:] = 0  # would be refused, or spoil another frame
    again, _ = read_film(tmp_path / "a.mp4")
    assert [number_of(frame.pixels) for frame in again] == list(range(4))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_of_a_variable_rate_are_real(tmp_path: Path, suffix: str) -> None:
    times_ms = [0, 33, 66, 150, 151, 400, 433, 1500, 1533, 1566]
    write_film(tmp_path / f"a.{suffix}", [numbered(k) for k in range(10)], times_ms=times_ms)
    frames, problems = read_film(tmp_path / f"a.{suffix}")
    assert_allclose([frame.time_s for frame in frames], np.array(times_ms) / 1000.0, atol=1e-3)
    assert problems == []


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    write_film(tmp_path / "a.ts", [numbered(k) for k in range(5)], times_ms=[7000 + 40 * k for k in range(5)])
    frames, problems = read_film(tmp_path / "a.ts")
    assert_allclose([frame.time_s for frame in frames], np.arange(5) * 0.04, atol=1e-3)
    assert problems == []


def test_a_film_without_times_gets_them_by_its_rate(tmp_path: Path) -> None:
    write_film(tmp_path / "a.h264", [numbered(k) for k in range(5)], fps=25)
    frames, problems = read_film(tmp_path / "a.h264")
    assert_allclose([frame.time_s for frame in frames], np.arange(5) / 25.0)
    assert len(problems) == 1
    assert problems[0].endswith("a.h264: carries no times; 25 frames a second are assumed")


@pytest.mark.parametrize("every", [1, 2, 7, 100])
def test_every_nth_frame(tmp_path: Path, every: int) -> None:
    write_film(tmp_path / "a.mp4", [numbered(k) for k in range(20)])
    frames, problems = read_film(tmp_path / "a.mp4", every)
    assert [frame.index for frame in frames] == list(range(0, 20, every))
    assert [number_of(frame.pixels) for frame in frames] == list(range(0, 20, every))
    assert_allclose([frame.time_s for frame in frames], np.arange(0, 20, every) / 30.0, atol=1e-3)
    assert problems == []


def test_a_film_is_read_once(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", [numbered(k) for k in range(3)])
    with open_film(tmp_path / "a.mp4") as film:
        assert len(list(film.frames())) == 3
        with pytest.raises(ValueError, match="read only once"):
            film.frames()
        with pytest.raises(ValueError, match="every: expected 1 or more, got 0"):
            film.frames(0)
    film.close()


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turned", [0, 1, 2, 3])
def test_phones_films_come_upright(tmp_path: Path, turned: int, mirrored: bool, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_film(path, [corners()] * 3)
    turn_film(path, turned, mirrored)
    stored = corners()[:, ::-1] if mirrored else corners()
    expected = np.rot90(stored, -turned)
    with open_film(path) as film:
        assert (film.turned, film.mirrored) == (turned, mirrored)
        assert film.image_size == (expected.shape[1], expected.shape[0])
        for frame in film.frames():
            assert frame.pixels.shape == expected.shape
            assert np.abs(frame.pixels.astype(int) - expected).mean() < 6.0


def test_what_is_turned_left_by_ffmpegs_own_writer_is_turned_left(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream: Any = output.add_stream("libx264", rate=30)
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV does not write rotations")
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_rotation(90)  # counted anticlockwise
        output.mux(stream.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24")))
        output.mux(stream.encode(None))
    with open_film(tmp_path / "a.mp4") as film:
        assert (film.turned, film.image_size) == (3, (64, 96))


COLOURS = [(200, 30, 30), (30, 180, 40), (40, 60, 220), (86, 180, 233), (0, 0, 0), (255, 255, 255), (128, 128, 128)]
LUMA = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def coloured(matrix: int, full: bool, bits: int, width: int, height: int, named: bool = True) -> list[av.VideoFrame]:
    """Frames of one colour each, made by the formulas of ITU-R BT.601, BT.709 and BT.2020."""
    (red, blue), scale, frames = LUMA[matrix], 2 ** (bits - 8), []
    for rgb in COLOURS:
        r, g, b = (value / 255.0 for value in rgb)
        y = red * r + (1.0 - red - blue) * g + blue * b
        planes = (y, (b - y) / (2.0 - 2.0 * blue), (r - y) / (2.0 - 2.0 * red))
        frame: Any = av.VideoFrame(width, height, "yuv420p" if bits == 8 else "yuv420p10le")
        for plane, value, low, span in zip(frame.planes, planes, (16, 128, 128), (219, 224, 224), strict=True):
            low, span = (low - 16 if low == 16 else 128, 255) if full else (low, span)
            number = round(min((low + span * value) * scale, 256 * scale - 1))
            kind = np.uint8 if bits == 8 else np.uint16
            plane.update(np.full(plane.buffer_size // np.dtype(kind).itemsize, number, kind).tobytes())
        frame.colorspace, frame.color_range = matrix if named else 2, 2 if full else 1
        frames.append(frame)
    return frames


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA)
def test_colours_are_right(tmp_path: Path, matrix: int, full: bool, bits: int, turned: int) -> None:
    path, pix_fmt = tmp_path / "a.mp4", "yuv420p" if bits == 8 else "yuv420p10le"
    write_film(path, coloured(matrix, full, bits, 96, 64), pix_fmt=pix_fmt, options={"crf": "4"})
    turn_film(path, turned)
    for frame, colour in zip(read_film(path)[0], COLOURS, strict=True):
        assert_allclose(frame.pixels[10, 20].astype(int), colour, atol=5)


@pytest.mark.parametrize(("matrix", "size"), [(5, (96, 64)), (5, (720, 576)), (1, (1280, 720)), (1, (720, 1280))])
def test_colours_that_nobody_names_go_by_size(tmp_path: Path, matrix: int, size: tuple[int, int]) -> None:
    write_film(tmp_path / "a.mp4", coloured(matrix, False, 8, *size, named=False), options={"crf": "4"})
    for frame, colour in zip(read_film(tmp_path / "a.mp4")[0], COLOURS, strict=True):
        assert_allclose(frame.pixels[10, 20].astype(int), colour, atol=5)


@pytest.mark.parametrize("turned", [0, 1, 2])
@pytest.mark.parametrize("codec", ["libvpx-vp9", "rawvideo"])
def test_odd_sizes_and_formats_without_loss(tmp_path: Path, codec: str, turned: int) -> None:
    chance = np.random.default_rng(0)
    picture = np.repeat(np.repeat(chance.integers(20, 230, (9, 13, 3), np.uint8), 9, 0), 9, 1)[:75, :113]
    raw = codec == "rawvideo"
    path = tmp_path / ("a.mov" if raw else "a.mp4")
    lossless = {} if raw else {"lossless": "1"}
    write_film(path, [picture] * 2, codec=codec, pix_fmt="rgb24" if raw else "yuv444p", options=lossless)
    turn_film(path, turned)
    expected = np.rot90(picture, -turned)
    with open_film(path) as film:
        assert film.image_size == (expected.shape[1], expected.shape[0])
        for frame in film.frames():
            assert frame.pixels.shape == expected.shape
            assert np.abs(frame.pixels.astype(int) - expected).max() <= (0 if raw else 6)


def test_grey_films(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", [numbered(k) for k in range(3)], codec="ffv1", pix_fmt="gray")
    frames, problems = read_film(tmp_path / "a.mkv")
    assert [number_of(frame.pixels) for frame in frames] == [0, 1, 2]
    assert_allclose(frames[0].pixels, 60, atol=2)
    assert problems == []


@pytest.mark.parametrize("name", ["a:b.mp4", "http:x.mp4", "100%d.mp4", "wörter ß.mp4", "-i.mp4"])
def test_names_that_ffmpeg_would_misread_film(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name == "nt" and ":" in name:
        pytest.skip("no such names on Windows")
    write_film(tmp_path / "plain.mp4", [numbered(k) for k in range(3)])
    (tmp_path / "plain.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read_film(name)[0]) == 3


def test_large_films_are_decoded_side_by_side_with_the_same_frames(tmp_path: Path, monkeypatch: Any) -> None:
    write_film(tmp_path / "a.mp4", textured(40), options=KEYS)
    plain = read_film(tmp_path / "a.mp4")[0]
    monkeypatch.setattr(films, "_THREADED_PIXELS", 100)
    threaded, problems = read_film(tmp_path / "a.mp4")
    assert problems == []
    for one, other in zip(plain, threaded, strict=True):
        assert (one.index, one.time_s) == (other.index, other.time_s)
        assert_array_equal(one.pixels, other.pixels)


def test_frames_are_decoded_when_they_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_film(tmp_path / "a.mp4", [numbered(k) for k in range(60)], options={"bf": "0"})
    converted: list[int] = []
    original = Film._converted

    def noted(self: Film, frame: Any) -> Any:
        converted.append(1)
        return original(self, frame)

    monkeypatch.setattr(Film, "_converted", noted)
    with open_film(tmp_path / "a.mp4") as film:
        assert len(list(itertools.islice(film.frames(), 5))) == 5
    assert len(converted) == 5
