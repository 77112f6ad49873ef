"""Films: what goes in comes out, with its size, rate and colours; bad input leaves no file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose

from sightline.errors import InputError
from sightline.formats import video
from sightline.formats.films import open_film
from sightline.formats.video import write_video


def pictures(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """Smooth pictures, each with a bright square at another place."""
    ramp = np.linspace(40, 160, width)[None, :, None] * np.ones((height, 1, 3))
    frames = []
    for k in range(count):
        frame = ramp.astype(np.uint8)
        frame[16:32, 6 * k : 6 * k + 16] = (230, 230, 230)
        frames.append(frame)
    return frames


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".MP4"])
def test_frames_come_back_in_number_order_size_and_nearly_in_value(tmp_path: Path, suffix: str) -> None:
    path, frames = tmp_path / f"a{suffix}", pictures(9)
    assert write_video(path, iter(frames), 30) == 9
    with open_film(path) as film:
        decoded = [frame.pixels for frame in film.frames()]
        assert film.problems == []
    assert len(decoded) == 9
    for frame, back in zip(frames, decoded, strict=True):
        assert back.shape == frame.shape
        assert back.dtype == np.uint8
        assert np.abs(back.astype(int) - frame).mean() < 4.0


@pytest.mark.parametrize("fps", [1, 24, 25.0, 29.97, 30000 / 1001, 59.94, 60, 0.5])
def test_the_rate_is_kept(tmp_path: Path, fps: float) -> None:
    write_video(tmp_path / "a.mp4", pictures(4), fps)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate is not None
        assert_allclose(float(stream.average_rate), fps, rtol=1e-4)
        times = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
    assert_allclose(np.diff(times), 1.0 / fps, rtol=1e-2)


def test_any_player_can_show_it(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", pictures(3), 30)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.width, context.height) == ("h264", "yuv420p", 96, 64)
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # the index comes first: it plays while it loads


@pytest.mark.parametrize("colour", [(200, 30, 30), (30, 180, 40), (40, 60, 220), (86, 180, 233), (0, 0, 0), (255,) * 3])
def test_colours_are_the_same_on_the_screen(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    write_video(tmp_path / "a.mp4", [np.full((64, 96, 3), colour, np.uint8)] * 2, 30)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    y, u, v = (plane[8, 8] for plane in _planes(frame))
    # BT.709, limited range, by hand: what a player does with the numbers in the file.
    luma, blue, red = (float(y) - 16) / 219, (float(u) - 128) / 224, (float(v) - 128) / 224
    r, b = luma + 1.5748 * red, luma + 1.8556 * blue
    g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152
    assert_allclose(255 * np.array([r, g, b]), colour, atol=5)


def _planes(frame: av.VideoFrame) -> Iterator[np.ndarray]:
    for plane in frame.planes:
        yield np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)


def test_frames_are_taken_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    converted = video._converted

    def noted(picture: np.ndarray) -> av.VideoFrame:
        events.append("written")
        return converted(picture)

    def counted() -> Iterator[np.ndarray]:
        for frame in pictures(6):
            events.append("made")
            yield frame

    monkeypatch.setattr(video, "_converted", noted)
    assert write_video(tmp_path / "a.mp4", counted(), 30) == 6
    assert events == ["made", "written"] * 6


BAD = {
    "odd width": ([np.zeros((64, 95, 3), np.uint8)], 30, "even width and height, got 95 × 64"),
    "odd height": ([np.zeros((63, 96, 3), np.uint8)], 30, "even width and height, got 96 × 63"),
    "another size later": ([*pictures(2), np.zeros((64, 98, 3), np.uint8)], 30, "expected all 96 × 64, got 98 × 64"),
    "none": ([], 30, "expected at least one"),
    "rate zero": (pictures(1), 0.0, "fps: expected"),
    "rate negative": (pictures(1), -5.0, "fps: expected"),
    "rate unknown": (pictures(1), float("nan"), "fps: expected"),
    "rate endless": (pictures(1), float("inf"), "fps: expected"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frames_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    frames, fps, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", frames, fps)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["", ".avi", ".png"])
def test_other_endings_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ValueError, match=r"ends in \.mp4"):
        write_video(tmp_path / f"a{suffix}", pictures(1), 30)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_film_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")

    def breaking() -> Iterator[np.ndarray]:
        yield from pictures(3)
        raise error("stop")

    with pytest.raises(error, match="stop"):
        write_video(tmp_path / "a.mp4", breaking(), 30)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"old"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        write_video(tmp_path / "no" / "a.mp4", pictures(1), 30)
