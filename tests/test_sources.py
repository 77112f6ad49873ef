"""Whatever a user names becomes sources of frames: photos together, each film by itself."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpy.testing import assert_allclose
from PIL import Image

from media_files import (
    corners,
    exif,
    film,
    make_album,
    number_of,
    photo,
    turn_film,
    write_film,
    write_heic,
)
from sightline.formats.inputs import natural_key
from sightline.sources import Source, SourceFrame, open_sources


def files(source: Source) -> list[str | None]:
    return [frame.file for frame in source.frames()]


def numbers(frames: Iterator[SourceFrame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return make_album(tmp_path / "holiday")


def test_a_folder_gives_its_photos_as_one_source_and_each_film(album: Path) -> None:
    photos, run, walk = open_sources([album])
    assert [source.kind for source in (photos, run, walk)] == ["photos", "film", "film"]
    assert [source.name for source in (photos, run, walk)] == ["holiday", "run 2", "walk"]
    assert [source.frame_count for source in (photos, run, walk)] == [4, 3, 6]
    assert [source.fps for source in (photos, run, walk)] == [None, 30.0, 30.0]
    frames = list(photos.frames())
    assert [frame.file for frame in frames] == ["img1.jpg", "img2.png", "Img3.webp", "img10.JPG"]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [number_of(frame.pixels) for frame in frames] == [0, 2, 3, 1]
    assert {frame.time_s for frame in frames} == {None}
    assert numbers(walk.frames()) == list(range(6))
    assert photos.problems == run.problems == walk.problems == []
    for source in (photos, run, walk):
        source.close()
        source.close()


def test_frames_of_a_film(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", [corners()] * 3, times_ms=[0, 50, 250])
    turn_film(tmp_path / "a.mp4", 1, mirrored=True)
    (source,) = open_sources([tmp_path / "a.mp4"])
    frames = list(source.frames())
    assert [(frame.index, frame.file, frame.turned, frame.mirrored) for frame in frames] == [
        (0, None, 1, True),
        (1, None, 1, True),
        (2, None, 1, True),
    ]
    assert_allclose([frame.time_s for frame in frames], [0.0, 0.05, 0.25], atol=1e-3)
    assert frames[0].pixels.shape == (96, 64, 3)
    assert frames[0].lens is None


def test_frames_of_photos_carry_turn_and_lens(tmp_path: Path) -> None:
    Image.fromarray(corners()).save(tmp_path / "a.jpg", exif=exif(7, FOCAL_35MM=26))
    write_heic(tmp_path / "b.heic", corners(), exif(8, FOCAL_35MM=50))
    (source,) = open_sources([tmp_path])
    first, second = source.frames()
    assert (first.turned, first.mirrored, second.turned, second.mirrored) == (1, True, 3, False)
    assert first.lens is not None
    assert second.lens is not None
    assert (first.lens.focal_35mm, second.lens.focal_35mm) == (26.0, 50.0)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["img1.jpg"]),
        ("img*", ["img1.jpg", "img2.png", "img10.JPG"]),
        ("img[12].*", ["img1.jpg", "img2.png"]),
        ("**/*.jpg", ["img1.jpg", "deep.jpg"]),
        ("ins*", ["deep.jpg"]),
        ("*", ["img1.jpg", "img2.png", "Img3.webp", "img10.JPG"]),
    ],
)
def test_patterns_that_no_shell_expanded(album: Path, pattern: str, expected: list[str]) -> None:
    if os.name == "nt":
        expected = [name for name in expected if name]  # Windows also matches JPG and Img3
    source = open_sources([str(album / pattern)])[0]
    assert source.kind == "photos"
    assert set(files(source)) >= set(expected)
    if os.name != "nt":
        assert files(source) == expected


def test_files_named_one_by_one_keep_their_order_and_count_once(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    named = ["img2.png", album / "img1.jpg", "./img2.png", album / "inside" / ".." / "img2.png", "img10.JPG", "*.jpg"]
    (source,) = open_sources(named)
    assert files(source) == ["img2.png", "img1.jpg", "img10.JPG"]
    assert source.frame_count == 3
    (walk,) = open_sources(["walk.mp4", album / "walk.mp4"])
    assert walk.name == "walk"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_to_one_file_count_once_and_broken_ones_are_left_out(album: Path) -> None:
    (album / "link.jpg").symlink_to(album / "img1.jpg")
    (album / "nowhere.jpg").symlink_to(album / "gone.jpg")
    assert files(open_sources([album])[0]) == ["img1.jpg", "img2.png", "Img3.webp", "img10.JPG"]


def test_names_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = photo(tmp_path / "a" / "one.jpg"), photo(tmp_path / "b" / "other.jpg")
    photo(tmp_path / "a" / "two.jpg")
    assert open_sources([one])[0].name == "one"
    assert open_sources([tmp_path / "a"])[0].name == "a"
    assert open_sources([one, other])[0].name == "photos"
    monkeypatch.chdir(tmp_path / "a")
    assert open_sources(["."])[0].name == "a"
    assert open_sources(["one.jpg", "two.jpg"])[0].name == "a"


def test_names_of_sources_differ(tmp_path: Path) -> None:
    photo(tmp_path / "walk" / "1.jpg")
    photo(tmp_path / "walk" / "2.jpg")
    paths = [
        film(tmp_path / "a" / "walk.mp4", 2),
        film(tmp_path / "b" / "Walk.mov", 2),
        film(tmp_path / "walk-2.mp4", 2),
    ]
    sources = open_sources([tmp_path / "walk", *paths, "rtsp://me:pw@cam.local:554/live/1?x=2", "webcam:0", "webcam:1"])
    names = [source.name for source in sources]
    assert names == ["walk", "walk-2", "Walk-3", "walk-2-2", "cam.local-554-live-1", "webcam-0", "webcam-1"]


def test_files_that_share_a_name_are_told_by_their_folders(tmp_path: Path) -> None:
    paths = [photo(tmp_path / folder / "img.jpg") for folder in ("left", "right/near")] + [
        photo(tmp_path / "left/b.jpg")
    ]
    (source,) = open_sources(paths)
    assert files(source) == ["left/img.jpg", "right/near/img.jpg", "b.jpg"]


def test_names_sort_as_people_sort() -> None:
    names = [
        "img10",
        "img2",
        "IMG1",
        "img02",
        "img",
        "a1b10",
        "a1b9",
        "7",
        "10",
        "é1",
        "img2a",
        "20240101_1",
        "20240101_02",
    ]
    ordered = sorted((Path(name) for name in names), key=natural_key)
    assert [path.name for path in ordered][:4] == ["7", "10", "20240101_1", "20240101_02"]
    assert [path.name for path in ordered][4:6] == ["a1b9", "a1b10"]
    ranks = {path.name: rank for rank, path in enumerate(ordered)}
    assert ranks["img"] < ranks["IMG1"] < ranks["img2"] < ranks["img2a"] < ranks["img10"]
    assert sorted([Path("9" * 5000), Path("1")], key=natural_key)[0] == Path("1")


@pytest.mark.parametrize("every", [1, 2, 3])
@pytest.mark.parametrize("limit", [None, 1, 2, 50])
def test_every_nth_frame_and_no_more_than_a_limit(album: Path, every: int, limit: int | None) -> None:
    for source, count in zip(open_sources([album], every=every, limit=limit), (4, 3, 6), strict=True):
        expected = list(range(0, count, every))[:limit]
        assert source.frame_count == len(expected)
        assert [frame.index for frame in source.frames()] == expected
        assert source.fps in (None, 30.0), "index / fps is the time, whatever is left out"


def test_a_second_reading_begins_anew(album: Path) -> None:
    for source in open_sources([album]):
        first = numbers(source.frames())
        assert numbers(itertools.islice(source.frames(), 2)) == first[:2]
        assert numbers(source.frames()) == first
        source.close()
        assert numbers(source.frames()) == first


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "heic"])
def test_photos_without_an_ending_are_known_by_content(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "heic":
        write_heic(path, corners())
    else:
        photo(path)
    path.rename(tmp_path / "IMG_0001")
    (source,) = open_sources([tmp_path / "IMG_0001"])
    assert source.kind == "photos"
    assert len(list(source.frames())) == 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "flv", "mpg", "ts", "wmv", "mov"])
def test_films_without_an_ending_are_known_by_content(tmp_path: Path, suffix: str) -> None:
    codec = {"avi": "mpeg4", "mpg": "mpeg2video", "wmv": "wmv2"}.get(suffix, "libx264")
    film(tmp_path / f"a.{suffix}", codec=codec).rename(tmp_path / "clip.bak")
    (source,) = open_sources([tmp_path / "clip.bak"])
    assert source.kind == "film"
    assert len(list(source.frames())) == 6


def test_transport_streams_are_no_source_code(tmp_path: Path) -> None:
    film(tmp_path / "a.ts")
    (tmp_path / "b.ts").write_text("export const x = 1;\n" * 50, encoding="utf-8")
    (source,) = open_sources([tmp_path])
    assert (source.name, source.kind) == ("a", "film")
