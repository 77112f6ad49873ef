"""Keypoints written frame by frame: the same file as at once, whole or not at all, in memory that does not grow."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightline.errors import InputError
from sightline.formats import _spill
from sightline.formats.keypoints import read_keypoints, write_keypoints
from sightline.formats.keypoints_stream import KeypointWriter
from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints
from test_poses_stream import peaks

COCO = get_skeleton("coco17")


def person(seed: int, **changes: object) -> PersonKeypoints:
    """About one keypoint in five is missing."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-10, 2000, (17, 2))
    points[rng.random(17) < 0.2] = np.nan
    sure = np.where(np.isnan(points[:, 0]), 0, rng.random(17))
    return replace(PersonKeypoints(keypoints_px=points, confidence=sure), **changes)


def keypoints(*frames: KeypointFrame, fps: float | None = 30000 / 1001) -> Keypoints:
    return Keypoints(skeleton=COCO, image_size=(1920, 1080), frames=frames, fps=fps)


def film(count: int) -> Keypoints:
    """People with and without ids and statures; in every third frame nobody."""
    groups = [(), (person(0), person(1, id=4)), (person(2, id=0, height_m=1.75), person(3, id=9), person(4))]
    return keypoints(*(KeypointFrame(index=3 * k + 1, people=groups[k % 3]) for k in range(count)))


def stream(path: Path, whole: Keypoints) -> None:
    with KeypointWriter(path, skeleton=whole.skeleton, image_size=whole.image_size, fps=whole.fps) as out:
        for frame in whole.frames:
            out.write(frame)


@pytest.mark.parametrize(
    "whole",
    [film(60), keypoints(), keypoints(KeypointFrame(index=0), fps=None), keypoints(KeypointFrame(index=7))],
    ids=["film", "no frames", "no rate", "nobody"],
)
def test_the_file_equals_that_of_the_whole(tmp_path: Path, whole: Keypoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spill, "_IN_MEMORY", 100)
    monkeypatch.setattr(_spill, "_CHUNK", 777)
    write_keypoints(whole, tmp_path / "whole.json")
    stream(tmp_path / "stream.json", whole)
    assert (tmp_path / "stream.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert [frame.index for frame in read_keypoints(tmp_path / "stream.json").frames] == [
        frame.index for frame in whole.frames
    ]
    assert sorted(os.listdir(tmp_path)) == ["stream.json", "whole.json"]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")

    def stop_half_way(failure: type[BaseException]) -> None:
        with KeypointWriter(tmp_path / "a.json", skeleton=COCO, image_size=(4, 3)) as out:
            out.write(film(2).frames[1])
            raise failure

    for failure in (ValueError, KeyboardInterrupt):
        with pytest.raises(failure):
            stop_half_way(failure)
    assert (tmp_path / "a.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_wrong_frames_are_refused_and_the_rest_is_written(tmp_path: Path) -> None:
    short = PersonKeypoints(keypoints_px=np.ones((5, 2)), confidence=np.ones(5))
    with KeypointWriter(tmp_path / "a.json", skeleton=COCO, image_size=(4, 3)) as out:
        out.write(KeypointFrame(index=3))
        with pytest.raises(ValueError, match="frames: expected a rising index, got 3 after 3"):
            out.write(KeypointFrame(index=3))
        with pytest.raises(ValueError, match=r"frame 4: expected 17 joints \(coco17\), got 5"):
            out.write(KeypointFrame(index=4, people=(short,)))
        out.write(KeypointFrame(index=5))
    assert [frame.index for frame in read_keypoints(tmp_path / "a.json").frames] == [3, 5]
    with pytest.raises(ValueError, match="expected no frame after the end of the file, got frame 6"):
        out.write(KeypointFrame(index=6))


def test_wrong_headers_and_places_are_refused_before_the_work(tmp_path: Path) -> None:
    own = replace(COCO, joints=tuple(f"J{k}" for k in range(17)))
    with pytest.raises(ValueError, match="skeleton: 'coco17' differs from the known joint set"):
        KeypointWriter(tmp_path / "a.json", skeleton=own, image_size=(4, 3))
    with pytest.raises(ValueError, match="image_size: width: expected a whole number of at least 1, got 0"):
        KeypointWriter(tmp_path / "a.json", skeleton=COCO, image_size=(0, 3))
    with pytest.raises(ValueError, match="fps: expected a finite number above 0"):
        KeypointWriter(tmp_path / "a.json", skeleton=COCO, image_size=(4, 3), fps=np.inf)
    with pytest.raises(InputError, match="the folder .*no does not exist"):
        KeypointWriter(tmp_path / "no" / "a.json", skeleton=COCO, image_size=(4, 3))
    with pytest.raises(InputError, match="this is a folder"):
        KeypointWriter(tmp_path, skeleton=COCO, image_size=(4, 3))
    assert os.listdir(tmp_path) == []


def test_a_full_device_is_one_sentence() -> None:
    whole = film(9)
    with pytest.raises(InputError, match=r"/dev/full: writing failed \(No space left"):
        stream(Path("/dev/full"), whole)


def peak_bytes(path: Path, count: int) -> int:
    """The most memory at a time that writing so many frames takes."""
    people = (person(0, id=1),)
    tracemalloc.start()
    try:
        with KeypointWriter(path, skeleton=COCO, image_size=(1920, 1080)) as out:
            for index in range(count):
                out.write(KeypointFrame(index=index, people=people))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_of_a_hundred_thousand_frames_is_that_of_a_thousand(tmp_path: Path) -> None:
    ((few, many),) = peaks("test_keypoints_stream", tmp_path, ["a.json"], 1000, 100_000)
    assert abs(many / few - 1) <= 0.1
