"""The benchmark of retargeting: which clips it takes, how fast feet slide, and which claims it makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("anny", reason="bodies need the package anny")

import sightline.bench.retarget as bench_file
from sightline.data.mocap import MotionLibrary, write_library

LEGS = [14, 11]  # frames of two clips


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Two clips, one of walking, at 60 frames per second."""
    texts = dict.fromkeys(("names", "subjects", "sources", "licences", "takes"), ("x", "y"))
    motion = MotionLibrary(
        joints_world=np.arange(sum(LEGS) * 51, dtype=np.float32).reshape(-1, 17, 3),
        clip_start=np.cumsum([0, *LEGS]),
        splits=("train", "test"),
        source_frames=np.array(LEGS),
        fps=60.0,
        actions=("walk on a beam", "jump"),
        skeletons=("cmu_daz", "cmu_native"),
        **texts,
    )
    write_library(motion, tmp_path / "library.npz")
    return tmp_path / "library.npz"


@pytest.mark.parametrize("quick", [True, False])
def test_a_small_library_is_taken_whole(library: Path, quick: bool) -> None:
    clips, fps = bench_file._clips(library, quick)
    assert [clip[:2] for clip in clips] == [("cmu_daz", "walking"), ("cmu_native", "other")]
    assert [len(joints) for *_, joints in clips] == LEGS
    assert fps == 60.0


def test_a_quick_run_takes_few_clips_of_a_large_library(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    motion = bench_file.read_library(library)
    many = {name: 40 * getattr(motion, name)[:1] for name in vars(motion) if isinstance(getattr(motion, name), tuple)}
    large = replace(
        motion, joints_world=np.zeros((80, 17, 3), np.float32), clip_start=2 * np.arange(41),
        source_frames=np.full(40, 2), **many,
    )  # fmt: skip
    monkeypatch.setattr(bench_file, "read_library", lambda path: large)
    assert bench_file.QUICK_CLIPS <= len(bench_file._clips(library, quick=True)[0]) < 10
    assert len(bench_file._clips(library, quick=False)[0]) == 40


def test_feet_slide_by_their_way_over_the_floor_while_they_stand() -> None:
    ankles = np.zeros((5, 2, 3))
    ankles[:, 0, 0] = 0.01 * np.arange(5)
    ankles[:, 0, 2] = np.arange(5)  # up is not over the floor
    stands = np.zeros((5, 2), bool)
    assert np.isnan(bench_file._slide(ankles, stands, 60.0))
    stands[1:4, 0] = True
    assert bench_file._slide(ankles, stands, 60.0) == pytest.approx(0.6)
    assert bench_file._slide(ankles, stands, 30.0) == pytest.approx(0.3)
    stands[:] = True
    assert bench_file._slide(ankles, stands, 60.0) == pytest.approx(0.3)  # the other foot rests


CLIP = {
    "residual_mm": 2.0, "without_offsets_mm": 8.0, "slide_m_s": 0.2, "clip_slides_m_s": 0.2,
    "lowest_sole_mm": -1.0, "median_sole_mm": 3.0, "seconds": 0.1,
}  # fmt: skip


def row(monkeypatch: pytest.MonkeyPatch, *clips: dict[str, float]) -> dict:
    told = iter(clips)
    monkeypatch.setattr(bench_file, "_of_clip", lambda model, joints, fps: CLIP | next(told))
    joints = [np.zeros((10 * (number + 1), 17, 3)) for number in range(len(clips))]
    measure: Any = getattr(bench_file._retarget_row, "__wrapped__", bench_file._retarget_row)
    return dict(measure(None, "cmu_daz", "walking", joints, 30.0))


def test_means_are_over_frames_and_the_worst_over_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row(monkeypatch, {"residual_mm": 2.0, "lowest_sole_mm": -4.0}, {"residual_mm": 5.0, "slide_m_s": np.nan})
    assert (found["clips"], found["frames"]) == (2, 30)
    assert found["residual_mm"] == pytest.approx(4.0)
    assert (found["worst_clip_mm"], found["lowest_sole_mm"]) == (5.0, -4.0)
    assert found["slide_m_s"] == 0.2
    assert found["ms_per_frame"] == pytest.approx(200 / 30)


def test_where_no_foot_stands_nothing_is_claimed_of_sliding(monkeypatch: pytest.MonkeyPatch) -> None:
    solvers = [
        {"what": "analytic IK, 8 poses of mocap", "mean_mm": 11.0, "ms_per_pose": 0.1},
        {"what": "Adam, 5 steps from rest, 8 poses of mocap", "mean_mm": 5.0, "ms_per_pose": 1.0},
    ]
    unknown = row(monkeypatch, {"slide_m_s": np.nan, "clip_slides_m_s": np.nan})
    assert "slide_m_s" not in unknown
    claims = {claim.id: claim for claim in bench_file._claims([unknown, *solvers])}
    assert set(claims) == {"residual-cmu_daz-walking", "sole-cmu_daz-walking", "ik-accuracy", "ik-speed"}
    assert (claims["ik-accuracy"].value, claims["ik-accuracy"].holds) == (6.0, True)
    assert (claims["ik-speed"].value, claims["ik-speed"].holds) == (10.0, False)
    known = bench_file._claims([row(monkeypatch, {"slide_m_s": 0.25}), *solvers])
    (slide,) = (claim for claim in known if claim.id == "slide-cmu_daz-walking")
    assert (slide.value, slide.holds) == (1.25, False)
