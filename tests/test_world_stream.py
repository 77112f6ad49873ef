"""World poses of one view written frame by frame: what `read_world` and `evaluate` read, in memory that stays small."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats import _spill, world_stream
from sightline.formats.world import read_world, write_world
from sightline.formats.world_stream import WorldWriter
from sightline.scoring import evaluate
from sightline.world import WorldPoses
from staged_people import H36M, Walker, film
from test_poses_stream import assert_arrays_equal, peaks

JOINTS = len(H36M)
Frame = dict[int, tuple[np.ndarray, np.ndarray]]
"""By id: joints in the world (m), and how far the view's keypoints lie from them (px)."""


def random_frames(count: int, people: int, seed: int = 0) -> dict[int, Frame]:
    """By index: people who come and go, with joints missing."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(3 * people)[:people]
    frames: dict[int, Frame] = {}
    for row in range(count):
        here: Frame = {}
        for ident in rng.permutation(ids[rng.random(people) < 0.6]):
            joints, errors = rng.normal(size=(JOINTS, 3)), rng.uniform(0, 9, JOINTS)
            joints[rng.random(JOINTS) < 0.2] = np.nan
            errors[np.isnan(joints[:, 0])] = np.nan
            errors[rng.random(JOINTS) < 0.1] = np.inf
            here[int(ident)] = joints, errors
        frames[5 * row + 2] = here
    return frames


def whole(frames: dict[int, Frame], fps: float | None, with_errors: bool) -> WorldPoses:
    """The plain twin: everything on a grid at once."""
    ids = sorted({ident for people in frames.values() for ident in people})
    shape = (len(frames), len(ids))
    joints, errors = np.full((*shape, JOINTS, 3), np.nan), np.full((*shape, 1, JOINTS), np.nan)
    for row, people in enumerate(frames.values()):
        for ident, (joints_world, error) in people.items():
            joints[row, ids.index(ident)] = joints_world
            if with_errors:
                errors[row, ids.index(ident), 0] = error
    return WorldPoses(
        skeleton=H36M,
        joints_world_m=joints,
        frame_index=np.array(list(frames), dtype=np.int64),
        person_id=np.array(ids, dtype=np.int64),
        reprojection_px=errors,
        views=(~np.isnan(joints[..., 0])).astype(np.int64),
        swapped=np.zeros((*shape, 1), dtype=bool),
        fps=fps,
    )


def stream(path: Path, frames: dict[int, Frame], fps: float | None, with_errors: bool) -> None:
    with WorldWriter(path, skeleton=H36M, fps=fps) as out:
        for index, people in frames.items():
            errors = [error for _, error in people.values()]
            out.write(
                index, [(ident, joints) for ident, (joints, _) in people.items()], errors if with_errors else None
            )


@pytest.mark.parametrize("with_errors", [False, True])
@pytest.mark.parametrize(("count", "people"), [(0, 0), (1, 1), (7, 0), (60, 1), (60, 9), (5, 300)])
@pytest.mark.parametrize("small", [False, True])
def test_the_file_equals_that_of_the_whole(
    tmp_path: Path, count: int, people: int, with_errors: bool, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:
        monkeypatch.setattr(_spill, "_IN_MEMORY", 100)
        monkeypatch.setattr(_spill, "_CHUNK", 777)
        monkeypatch.setattr(world_stream, "_BLOCK_BYTES", 2000)
    frames, fps = random_frames(count, people), 25.0 if count > 1 else None
    write_world(whole(frames, fps, with_errors), tmp_path / "whole.npz")
    stream(tmp_path / "stream.npz", frames, fps, with_errors)
    assert_arrays_equal(tmp_path / "stream.npz", tmp_path / "whole.npz")
    assert read_world(tmp_path / "stream.npz").fps == fps
    assert sorted(os.listdir(tmp_path)) == ["stream.npz", "whole.npz"]


def test_it_is_the_truth_of_evaluate(tmp_path: Path) -> None:
    """People of a film, brought into the world and back by `evaluate`, are where they were."""
    camera = Camera.create(
        (1920, 1080), 1500.0, rotation=[[1, 0, 0], [0, 0, -1], [0, 1, 0]], translation_m=(0.1, 1.4, 0.3)
    )
    poses = film(6, [Walker(x=-0.5, speed=1.0), Walker(x=0.6, z=5.0)], camera)
    with WorldWriter(tmp_path / "world.npz", skeleton=H36M, fps=poses.fps) as out:
        for frame in poses.frames:
            people = []
            for person in frame.people:
                joints = (person.joints_cam_m - camera.translation_m.numpy()) @ camera.rotation.numpy()
                people.append((person.id, joints))
            out.write(frame.index, people)
    assert read_world(tmp_path / "world.npz").joints_world_m[..., 2].max() < 1.8  # z is up
    result = evaluate(poses, tmp_path / "world.npz")
    assert result.matched == 12
    assert result.total.figures["mrpe"] < 1e-6
    assert result.total.figures["mpjpe"] < 1e-6


NOBODY_KNOWN = np.full((JOINTS, 3), np.nan)
HALF = NOBODY_KNOWN.copy()
HALF[3, 0] = 1.0
INFINITE = NOBODY_KNOWN.copy()
INFINITE[3] = np.inf


@pytest.mark.parametrize(
    ("index", "people", "errors", "sentence"),
    [
        (3, [], None, "frames: expected a rising index, got 3 after 3"),
        (4, [(None, NOBODY_KNOWN)], None, r"frame 4: expected an id for everybody, .*, got \[None\]"),
        (4, [(0, NOBODY_KNOWN), (None, NOBODY_KNOWN)], None, r"got \[0, None\]"),
        (4, [(-1, NOBODY_KNOWN)], None, r"expected an id for everybody, .*, got \[-1\]"),
        (4, [(2, NOBODY_KNOWN), (2, NOBODY_KNOWN)], None, r"frame 4: expected each person id once, got \[2, 2\]"),
        (4, [(2, NOBODY_KNOWN[:5])], None, r"frame 4: joints_world_m: expected \(17, 3\), got \(5, 3\)"),
        (4, [(2, HALF)], None, "frame 4: joints_world_m: expected each joint finite or NaN throughout"),
        (4, [(2, INFINITE)], None, "frame 4: joints_world_m: expected each joint finite or NaN throughout"),
        (4, [(2, NOBODY_KNOWN)], [np.zeros(3)], r"frame 4: reprojection_px: expected \(17,\), got \(3,\)"),
        (4, [(2, NOBODY_KNOWN)], [], "frame 4: reprojection_px: expected one for each of 1 people, got 0"),
    ],
)
def test_wrong_frames_are_refused_and_the_rest_is_written(
    tmp_path: Path, index: int, people: list[Any], errors: list[np.ndarray] | None, sentence: str
) -> None:
    with WorldWriter(tmp_path / "a.npz", skeleton=H36M) as out:
        out.write(3, [(0, NOBODY_KNOWN)])
        with pytest.raises(ValueError, match=sentence):
            out.write(index, people, errors)
        out.write(9, [(1, np.zeros((JOINTS, 3)))])
    world = read_world(tmp_path / "a.npz")
    assert world.frame_index.tolist() == [3, 9]
    assert world.person_id.tolist() == [0, 1]
    assert world.views.sum() == JOINTS


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def stop_half_way() -> None:
        with WorldWriter(tmp_path / "a.npz", skeleton=H36M) as out:
            out.write(3, [(0, NOBODY_KNOWN)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert os.listdir(tmp_path) == []


def test_wrong_headers_and_places_are_refused_before_the_work(tmp_path: Path) -> None:
    own = replace(H36M, joints=tuple(f"J{k}" for k in range(17)))
    with pytest.raises(ValueError, match="skeleton: 'h36m17' differs from the known joint set"):
        WorldWriter(tmp_path / "a.npz", skeleton=own)
    with pytest.raises(ValueError, match="fps: expected a positive number"):
        WorldWriter(tmp_path / "a.npz", skeleton=H36M, fps=-1.0)
    with pytest.raises(InputError, match="the folder .*no does not exist"):
        WorldWriter(tmp_path / "no" / "a.npz", skeleton=H36M)
    assert os.listdir(tmp_path) == []


def peak_bytes(path: Path, count: int) -> int:
    """The most memory at a time that writing so many frames takes."""
    joints = np.random.default_rng(0).normal(size=(JOINTS, 3))
    tracemalloc.start()
    try:
        with WorldWriter(path, skeleton=H36M) as out:
            for index in range(count):
                out.write(index, [(index % 2, joints), (2, joints)])
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path) -> None:
    ((few, many),) = peaks("test_world_stream", tmp_path, ["a.npz"], 500, 2000)
    assert abs(many / few - 1) <= 0.1


@pytest.mark.slow
def test_memory_of_a_hundred_thousand_frames_is_that_of_a_thousand(tmp_path: Path) -> None:
    ((few, many),) = peaks("test_world_stream", tmp_path, ["a.npz"], 1000, 100_000)
    assert abs(many / few - 1) <= 0.1
