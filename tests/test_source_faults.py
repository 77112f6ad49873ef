"""What is missing is told at once; what cannot be read is left out and told, and the rest goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_files import (
    film,
    make_album,
    number_of,
    overwrite,
    truncate,
    write_film,
)
from sightline.errors import InputError, UsageError
from sightline.sources import Source, SourceFrame, open_sources


def files(source: Source) -> list[str | None]:
    return [frame.file for frame in source.frames()]


def numbers(frames: Iterator[SourceFrame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return make_album(tmp_path / "holiday")


def test_what_cannot_be_read_is_left_out_and_told(album: Path) -> None:
    (album / "img3.jpg").write_text("no picture", encoding="utf-8")
    truncate(album / "img2.png", 0.6)
    (album / "empty.jpg").touch()
    photos = open_sources([album])[0]
    assert photos.frame_count == 6
    frames = list(photos.frames())
    assert [frame.file for frame in frames] == ["img1.jpg", "Img3.webp", "img10.JPG"]
    assert [frame.index for frame in frames] == [1, 4, 5]  # the others keep their numbers
    assert len(photos.problems) == 3
    starts = [f"{album / name}: " for name in ("empty.jpg", "img2.png", "img3.jpg")]
    assert all(text.startswith(start) for text, start in zip(photos.problems, starts, strict=True))
    assert len(list(photos.frames())) == 3
    assert len(photos.problems) == 3  # of the second reading, not of both


def test_the_limit_counts_good_photos(album: Path) -> None:
    (album / "img1.jpg").write_bytes(b"no picture")
    photos = open_sources([album], limit=2)[0]
    assert files(photos) == ["img2.png", "Img3.webp"]


def test_where_nothing_can_be_read_there_are_no_frames(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "b.mp4").write_bytes(b"no film")
    photos, broken = open_sources([tmp_path])
    assert (broken.kind, broken.fps, broken.frame_count) == ("film", None, None)
    assert list(photos.frames()) == list(broken.frames()) == []
    assert len(photos.problems) == len(broken.problems) == 1
    assert broken.problems[0].startswith(f"{tmp_path / 'b.mp4'}: cannot be read as a film")


def test_broken_frames_of_a_film_are_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    write_film(tmp_path / "a.mp4", [np.roll(noise, 3 * k, 1) for k in range(40)], faststart=True, options={"g": "10"})
    overwrite(tmp_path / "a.mp4", 0.5, 3000)
    (source,) = open_sources([tmp_path / "a.mp4"])
    assert source.problems == []
    assert 20 < len(list(source.frames())) < 40
    assert len(source.problems) == 1
    assert source.problems[0].startswith(f"{tmp_path / 'a.mp4'}: ")
    source.close()
    assert len(source.problems) == 1


def test_a_film_is_opened_when_it_is_needed_and_closed_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline import sources

    opened, closed = [], []
    original = sources.open_film

    def noted(address: Any) -> Any:
        opened.append(address)
        film = original(address)
        close = film.close
        monkeypatch.setattr(film, "close", lambda: (closed.append(address), close()))
        return film

    monkeypatch.setattr(sources, "open_film", noted)
    paths = [film(tmp_path / f"{number}.mp4") for number in range(3)]
    found = open_sources(paths)
    assert opened == []
    assert found[0].fps == 30.0
    assert found[0].frame_count == 6
    assert found[0].kind == "film"
    assert opened == paths[:1]
    assert len(list(found[0].frames())) == 6
    assert (opened, closed) == (paths[:1], paths[:1])
    next(frames := found[1].frames())
    found[1].close()
    assert closed == paths[:2]
    frames.close()  # type: ignore[attr-defined]


MISSING: dict[str, tuple[list[str], str]] = {
    "one": (["gone.jpg"], r"gone\.jpg: no such photo, film or folder"),
    "all at once": (["gone.jpg", "img1.jpg", "no/where.mp4", "*.bmp"], r"gone\.jpg, no/where\.mp4, \*\.bmp: no such"),
    "nothing": ([""], r'"": no such'),
    "text": (["notes.txt"], r"notes\.txt: expected a photo or a film, but it is neither"),
    "source code": (["code.ts"], r"code\.ts: expected a photo or a film"),
    "raw": (["img.CR2"], r"img\.CR2: is a camera's raw file; develop it"),
    "a folder without": (["empty"], r"empty: expected photos or films, but the folder holds none"),
    "a folder of text": (["texts"], r"texts: expected photos or films"),
    "several things": (
        ["gone.jpg", "empty", "notes.txt"],
        r"gone\.jpg: no such .*; empty: expected .*; notes\.txt: exp",
    ),
    "a pattern of folders without": (["emp*"], r"emp\*: no such"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_not_there_is_told_at_once(album: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, message = MISSING[name]
    monkeypatch.chdir(album)
    Path("empty").mkdir()
    Path("texts").mkdir()
    Path("texts/readme.md").write_text("# nothing\n", encoding="utf-8")
    Path("img.CR2").write_bytes(b"II*\0" + bytes(100))
    with pytest.raises(InputError, match=message) as caught:
        open_sources(inputs)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe: expected a photo or a film"):
        open_sources([tmp_path / "pipe"])


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"the folder cannot be read \(Permission denied\)"):
        open_sources([tmp_path])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"inputs": []}, "expected at least one photo"),
        ({"inputs": ["img1.jpg"], "every": 0}, "every: expected 1 or more, got 0"),
        ({"inputs": ["img1.jpg"], "limit": 0}, "limit: expected 1 or more, got 0"),
        ({"inputs": ["ftp://host/a.mp4"]}, r"ftp://host/a\.mp4: expected a file"),
        ({"inputs": ["webcam:"]}, "webcam: expected a number"),
    ],
)
def test_bad_calls(album: Path, call: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    with pytest.raises(UsageError, match=message):
        open_sources(**call)
