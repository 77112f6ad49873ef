"""What is broken in a film is skipped, counted and told; what is no film is one clear error."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose

from media_files import (
    corners,
    number_of,
    numbered,
    overwrite,
    read_film,
    textured,
    truncate,
    write_film,
    write_sound,
)
from sightline.errors import InputError
from sightline.formats.films import open_film

KEYS = {"g": "12"}


def test_decoding_goes_on_after_broken_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_film(path, textured(60), faststart=True, options=KEYS)
    overwrite(path, 0.5, path.stat().st_size // 30)
    frames, problems = read_film(path)
    assert 45 <= len(frames) < 60
    assert frames[-1].index == 59
    lost = 60 - len(frames)
    assert len(problems) == 1
    assert f"{path}: {lost} frame{'s were' if lost > 1 else ' was'} skipped that could not be decoded" in problems[0]
    missing = sorted(set(range(60)) - {frame.index for frame in frames})
    assert f"{missing[0] / 30.0:.2f} s" in problems[0]
    # Numbers and times of the good ones are those of the whole film.
    assert_allclose([frame.time_s for frame in frames], [frame.index / 30.0 for frame in frames], atol=1e-3)
    good = [frame for frame in frames if frame.index < missing[0] - 2 or frame.index >= 48]
    assert [number_of(frame.pixels) for frame in good] == [frame.index for frame in good]
    assert "may show remains" in problems[0]


def test_frames_that_a_decoder_swallows_are_counted_too(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    options = {"x265-params": "log-level=none:keyint=12:min-keyint=12"}
    write_film(path, textured(60), codec="libx265", faststart=True, options=options)
    overwrite(path, 0.5, path.stat().st_size // 30)
    frames, problems = read_film(path)
    assert len(frames) < 60
    assert f"{60 - len(frames)} frame" in problems[0]
    assert [frame.index for frame in frames] == [round(30.0 * frame.time_s) for frame in frames]


def test_of_broken_numbers_the_next_good_one_is_given(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    write_film(path, textured(40), codec="mjpeg", pix_fmt="yuvj420p", faststart=True)
    overwrite(path, 0.5, path.stat().st_size // 40)
    whole = {frame.index for frame in read_film(path)[0]}
    every = min(set(range(40)) - whole)
    assert 1 < every < 30
    frames, problems = read_film(path, every)
    following = min(index for index in whole if index > every)
    assert [frame.index for frame in frames] == [0, following, *range(2 * every, 40, every)]
    assert [number_of(frame.pixels) for frame in frames] == [frame.index for frame in frames]
    assert len(problems) == 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_what_is_cut_off_gives_its_good_frames_and_says_so(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    write_film(path, textured(60), faststart=suffix != "mkv", options=KEYS)
    truncate(path, share)
    frames, problems = read_film(path)
    assert 10 < len(frames) < 55
    # At the cut, a frame shown later may have been stored before one that is missing.
    assert [number_of(frame.pixels) for frame in frames] == [round(30.0 * frame.time_s) for frame in frames]
    assert [number_of(frame.pixels) for frame in frames[:-3]] == [frame.index for frame in frames[:-3]]
    assert [frame.index for frame in frames[:-3]] == list(range(len(frames) - 3))
    assert "breaks off after" in problems[-1]
    assert "of 2.00 s" in problems[-1]
    after = float(problems[-1].partition("breaks off after ")[2].split()[0])
    assert abs(after - len(frames) / 30.0) < 0.15


def test_a_film_that_is_whole_never_breaks_off(tmp_path: Path) -> None:
    for number, (frames, sound) in enumerate(itertools.product((1, 2, 7, 31), (False, True))):
        write_film(tmp_path / f"{number}.mp4", [numbered(k) for k in range(frames)], sound=sound)
        assert read_film(tmp_path / f"{number}.mp4")[1] == []


def test_frames_of_another_size_are_skipped(tmp_path: Path) -> None:
    write_film(tmp_path / "a.ts", [numbered(k) for k in range(6)])
    write_film(tmp_path / "b.ts", [corners()] * 4)
    (tmp_path / "c.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    frames, problems = read_film(tmp_path / "c.ts")
    assert {frame.pixels.shape for frame in frames} == {(96, 128, 3)}
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert len(frames) in (5, 6)  # some decoders drop what they hold back when the size changes
    assert any("4 frames were skipped that are not 128 × 96" in text for text in problems)


def moov_less(path: Path) -> None:
    write_film(path, textured(20))
    truncate(path, 0.5)


def headless(path: Path) -> None:
    write_film(path, textured(20), faststart=True)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 4])


def tiny(path: Path) -> None:
    write_film(path, [np.full((8, 12, 3), 90, np.uint8)] * 2, codec="ffv1", pix_fmt="gray")


def sound_with_cover(path: Path) -> None:
    with av.open(str(path), "w") as output:
        sound: Any = output.add_stream("libmp3lame", rate=44100)
        cover: Any = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        output.mux(cover.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24").reformat(format="yuvj420p")))
        output.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1152), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        output.mux(sound.encode(frame) + sound.encode(None))


BAD: dict[str, tuple[str, Any, str]] = {
    "missing": ("a.mp4", None, r"cannot be read as a film \(No such file"),
    "empty": ("a.mp4", b"", "the file is empty"),
    "text": ("a.mp4", b"no film at all\n" * 50, "cannot be read as a film"),
    "text that ends like a film": ("a.mkv", b"no film at all\n" * 50, "cannot be read as a film"),
    "zeros": ("a.mp4", bytes(5000), "cannot be read as a film"),
    "rubbish": ("a.mp4", np.random.default_rng(0).bytes(20_000), "cannot be read|holds no frame|no moving pictures"),
    "subtitles": ("a.srt", b"1\n00:00:00,000 --> 00:00:02,000\nHello\n", "no moving pictures"),
    "without its index": ("a.mp4", moov_less, "it is none, or it is cut off"),
    "index only": ("a.mp4", headless, "holds no frame that can be decoded"),
    "sound only": ("a.m4a", write_sound, "holds no moving pictures"),
    "a song's cover": ("a.mp3", sound_with_cover, "holds no moving pictures"),
    "twelve pixels": ("a.mkv", tiny, "expected frames of 16 × 16 pixels or more, got 12 × 8"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_film_is_one_sentence(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    file, content, message = BAD[name]
    path = tmp_path / file
    if callable(content):
        content(path)
    elif content is not None:
        path.write_bytes(content)
    capfd.readouterr()  # encoders talk
    with pytest.raises(InputError, match=message) as caught:
        open_film(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_folder_is_no_film(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is a folder"):
        open_film(tmp_path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_rubbish_inside_never_ends_in_another_error(tmp_path: Path, suffix: str) -> None:
    path, chance = tmp_path / f"a.{suffix}", np.random.default_rng(11)
    write_film(path, textured(20), codec="mpeg4" if suffix == "avi" else "libx264", faststart=suffix == "mp4")
    good, complaints = path.read_bytes(), []
    for _ in range(40):
        content = bytearray(good)
        for place in chance.integers(0, len(content), chance.integers(1, 20)):
            content[place] = chance.integers(0, 256)
        path.write_bytes(bytes(content))
        try:
            frames, problems = read_film(path)
        except InputError as error:
            complaints.append(str(error))
            continue
        assert len(frames) <= 40
        assert all(text.startswith(f"{path}: ") for text in problems)
        assert (np.diff([frame.time_s for frame in frames]) > 0.0).all()
        assert (np.diff([frame.index for frame in frames]) > 0).all()
    assert all(text.startswith(f"{path}: ") for text in complaints)
