"""A motion library comes back as it was written, and nothing else is taken for one."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from moving_person import assert_same, person_joints
from sightline.data.motion_library import MotionLibrary, read_library, write_library
from sightline.errors import InputError


def small_library() -> MotionLibrary:
    clips = [person_joints(frames=n, seed=n) for n in (3, 5, 1)]
    return MotionLibrary(
        joints_world=np.concatenate(clips).astype(np.float32),
        clip_start=np.array([0, 3, 8, 9]),
        names=("a/x", "a/ÿ", "b/z"),
        subjects=("1", "2", "2"),
        sources=("a", "a", "b"),
        actions=("walk", "", "jump, far"),
        splits=("train", "val", "train"),
        licences=("MIT", "MIT", "CC0"),
        skeletons=("deepmimic",) * 3,
        takes=("", "02_01", ""),
        source_frames=np.array([3, 5, 1]),
        fps=30.0,
        acknowledgement="MIT\n\nText\n",
    )


def test_a_library_comes_back_as_it_was(tmp_path: Path) -> None:
    library = small_library()
    write_library(library, tmp_path / "a.npz")
    again = read_library(tmp_path / "a.npz")
    assert_same(again, library)
    assert again.joints_world.dtype == np.float32
    assert not again.joints_world.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_clips_and_splits() -> None:
    library = small_library()
    assert len(library) == 3
    assert [len(library.clip(i)) for i in (0, 1, 2, -1)] == [3, 5, 1, 1]
    train = library.split("train")
    assert train.names == ("a/x", "b/z")
    assert_array_equal(train.clip(1), library.clip(2))
    assert_array_equal(train.joints_world, np.concatenate([library.clip(0), library.clip(2)]))
    assert train.source_frames.tolist() == [3, 1]
    empty = library.split("test")
    assert len(empty) == len(empty.joints_world) == 0
    with pytest.raises(IndexError):
        library.clip(3)
    with pytest.raises(ValueError, match="split: expected one of train, val, test, got 'dev'"):
        library.split("dev")
    with pytest.raises(ValueError, match="keep"):
        library.selected(np.array([True]))


def test_an_empty_library_can_be_written(tmp_path: Path) -> None:
    write_library(replace(small_library().split("test"), fps=30), tmp_path / "a.npz")
    assert len(read_library(tmp_path / "a.npz")) == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"clip_start": np.array([0, 3, 8])}, "clip_start: expected 4 rising numbers from 0 to 9"),
        ({"clip_start": np.array([0, 3, 3, 9])}, "clip_start"),
        ({"clip_start": np.array([0, 3, 8, 10])}, "clip_start"),
        ({"splits": ("train", "val", "dev")}, "splits: expected train, val, test, got dev"),
        ({"subjects": ("1", "2")}, "subjects: expected 3 entries"),
        ({"fps": 0.0}, "fps"),
        ({"joints_world": np.full((9, 17, 3), np.nan, dtype=np.float32)}, "finite"),
        ({"joints_world": np.zeros((9, 17, 3)) * 0 + np.inf}, "finite"),
    ],
)
def test_libraries_that_do_not_fit_together_are_refused(change: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        replace(small_library(), **change)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": np.array("other")}, "expected a motion library"),
        ({"version": np.array(2)}, "expected version 1 of the motion library, got 2"),
        ({"version": np.array([1, 1])}, "expected version 1"),
        ({"names": None}, r"missing: \['names'\], unknown: \[\]"),
        ({"extra": np.array(1)}, r"unknown: \['extra'\]"),
        (
            {"joints_world": np.zeros((9, 51), dtype=np.float32)},
            r"joints_world: expected float32 \(any, 17, 3\), got float32 \(9, 51\)",
        ),
        ({"joints_world": np.zeros((9, 16, 3), dtype=np.float32)}, r"got float32 \(9, 16, 3\)"),
        ({"joints_world": np.zeros((9, 17, 3))}, "got float64"),
        ({"names": np.arange(3)}, r"names: expected str \(any\), got int64"),
        ({"fps": np.array("30")}, r"fps: expected float64 \(\)"),
        ({"takes": np.array(["a"])}, "takes: expected 3 entries"),
        ({"names": np.array([None] * 3, dtype=object)}, "expected an npz file without pickled objects"),
    ],
)
def test_files_that_are_no_library_are_refused(tmp_path: Path, change: dict, expected: str) -> None:
    write_library(small_library(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        arrays = {**file, **change}
    np.savez(tmp_path / "b.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(InputError, match=expected):
        read_library(tmp_path / "b.npz")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_library(small_library(), path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:length] for length in range(0, len(content), 97)]
    for _ in range(100):
        copy = bytearray(content)
        copy[rng.integers(len(copy))] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(copy))
    sentences: list[str] = []
    for text in [b"", b"text", *damaged]:
        path.write_bytes(text)
        try:
            assert_same(read_library(path), small_library())
        except InputError as error:
            sentences.append(str(error))
    assert len(sentences) > len(damaged) // 2
    assert not [sentence for sentence in sentences if "\n" in sentence]
    with pytest.raises(InputError, match="no such file"):
        read_library(tmp_path / "none.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match="expected an npz file"):
        read_library(tmp_path / "one.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("format.npy", b"no array")
    with pytest.raises(InputError, match="expected an npz file"):
        read_library(path)
