"""Smoothing where something is missing: joints, people, frames, even time; and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sightline.structures import PoseFrame, Poses
from sightline.temporal.smoothing import Mode, PoseSmoother, smoothed
from smoothing_films import CAMERA, H36M, film, joints_of, lengths_of, lifted, person, true_joints, without

WRIST, ROOT = H36M.index("RWrist"), H36M.root
MODES: tuple[Mode, ...] = ("offline", "online")
LOOSE: dict[str, Any] = {"constant_bones": False, "constant_size": False}


def with_gaps(joints: np.ndarray, *spans: tuple[int, int, int]) -> np.ndarray:
    """Joints missing in spans (joint, first frame, end)."""
    seen = joints.copy()
    for joint, start, stop in spans:
        seen[start:stop, joint] = np.nan
    return seen


# ---- missing joints -----------------------------------------------------------------------------------------------


def test_short_gaps_of_a_joint_are_filled_and_others_not() -> None:
    truth = true_joints(4, 40.0)
    seen = with_gaps(truth, (WRIST, 30, 36), (WRIST, 80, 100), (WRIST, 150, 160), (WRIST, 0, 3))
    found = joints_of(smoothed(film(seen, 40.0)))
    there = np.isfinite(found[:, WRIST, 0])
    assert there[30:36].all(), "7 steps from one sight to the next are 0.175 s"
    assert np.linalg.norm(found[30:36, WRIST] - truth[30:36, WRIST], axis=-1).max() < 0.03
    assert not there[80:100].any()
    assert not there[150:].any(), "nothing is known behind the end"
    assert not there[:3].any()
    assert np.isfinite(np.delete(found, WRIST, axis=1)).all()
    none = joints_of(smoothed(film(seen, 40.0), fill_gaps_s=0.0))
    assert_array_equal(np.isnan(none), np.isnan(seen))


def test_online_holds_a_joint_for_a_moment() -> None:
    seen = with_gaps(true_joints(2, 40.0), (WRIST, 30, 60), (WRIST, 0, 3))
    there = np.isfinite(joints_of(smoothed(film(seen, 40.0), mode="online"))[:, WRIST, 0])
    assert there[30:39].all()
    assert not there[41:60].any()
    assert not there[:3].any()
    none = joints_of(smoothed(film(seen, 40.0), mode="online", fill_gaps_s=0.0))
    assert_array_equal(np.isnan(none), np.isnan(seen))


@pytest.mark.parametrize("mode", MODES)
def test_a_joint_that_is_never_seen(mode: Mode) -> None:
    seen = with_gaps(lifted(true_joints(2, 40.0)), (WRIST, 0, 80))
    found = joints_of(smoothed(film(seen, 40.0), mode=mode))
    assert_array_equal(np.isnan(found), np.isnan(seen))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("span", [(0, 80), (30, 34), (20, 60), (0, 5)])
def test_a_missing_root(mode: Mode, span: tuple[int, int]) -> None:
    """The others stay where they are, about; none goes missing."""
    truth = true_joints(2, 40.0)
    found = joints_of(smoothed(film(with_gaps(truth, (ROOT, *span)), 40.0), mode=mode))
    others = np.delete(found - truth, ROOT, axis=1)
    assert np.isfinite(others).all()
    assert np.linalg.norm(others, axis=-1).mean() < 0.05


@pytest.mark.parametrize("mode", MODES)
def test_a_person_of_whom_nothing_is_there(mode: Mode) -> None:
    seen = lifted(true_joints(1, 30.0))
    seen[10:12] = np.nan
    found = joints_of(smoothed(film(seen, 30.0), mode=mode))
    assert np.isfinite(found[[9, 12]]).all()
    all_gone = np.full((8, len(H36M), 3), np.nan)
    assert np.isnan(joints_of(smoothed(film(all_gone, 30.0), mode=mode))).all()


# ---- missing frames, uneven time ----------------------------------------------------------------------------------


def test_lost_frames_are_not_made_up_and_do_no_harm() -> None:
    truth = true_joints(5, 60.0)
    gone = set(np.random.default_rng(0).choice(300, 80, replace=False).tolist()) | set(range(100, 115))
    given = without(film(lifted(truth)), gone)
    kept = [frame.index for frame in given.frames]
    found = smoothed(given)
    assert [frame.index for frame in found.frames] == kept
    before = np.linalg.norm(joints_of(given) - truth[kept], axis=-1).mean()
    assert np.linalg.norm(joints_of(found) - truth[kept], axis=-1).mean() < 0.6 * before


def test_empty_frames_stay_empty() -> None:
    given = film(lifted(true_joints(1, 30.0)), 30.0)
    given = replace(given, frames=tuple(replace(f, people=()) if f.index % 4 == 0 else f for f in given.frames))
    for mode in MODES:
        counts = [len(frame.people) for frame in smoothed(given, mode=mode).frames]
        assert counts == [len(frame.people) for frame in given.frames]


@pytest.mark.parametrize("mode", MODES)
def test_whoever_was_away_for_long_begins_anew(mode: Mode) -> None:
    joints = lifted(true_joints(4, 40.0))
    given = without(film(joints, 40.0), range(60, 85))
    halves = [without(given, range(60, 160)), without(given, range(60))]
    apart = np.concatenate([joints_of(smoothed(half, mode=mode, **LOOSE)) for half in halves])
    assert_allclose(joints_of(smoothed(given, mode=mode, **LOOSE)), apart, rtol=0, atol=1e-8)
    assert (joints_of(smoothed(given, mode=mode, max_gap_s=1.0, **LOOSE)) - apart).max() > 1e-4
    lengths = lengths_of(joints_of(smoothed(given)))
    assert np.ptp(lengths, axis=0).max() < 1e-9, "it is the same body"


def test_a_camera_somewhere_else_begins_anew() -> None:
    given = film(lifted(true_joints(2, 40.0)), 40.0)
    turn = torch.eye(3, dtype=torch.float64)
    places = [replace(CAMERA, rotation=turn, translation_m=torch.tensor([x, 0.0, 0.0]).double()) for x in (0.0, 2.0)]
    moved = replace(given, frames=tuple(replace(f, camera=places[f.index // 40]) for f in given.frames))
    halves = [without(given, range(40, 80)), without(given, range(40))]
    apart = np.concatenate([joints_of(smoothed(half, **LOOSE)) for half in halves])
    assert_allclose(joints_of(smoothed(moved, **LOOSE)), apart, rtol=0, atol=1e-8)


def test_times_of_frames_go_before_the_rate() -> None:
    """Uneven times: a point that moves steadily stays where it is, whatever the file's frame rate says."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.05, 150))
    joints = true_joints(0.02, 60.0) + times[:, None, None] * np.array([0.5, 0.0, 0.0])
    given = film(joints, 5.0)
    timed = tuple(replace(f, time_s=float(t)) for f, t in zip(given.frames, times, strict=True))
    found = joints_of(smoothed(replace(given, frames=timed), **LOOSE))
    assert_allclose(found, joints, atol=2e-3)
    no_rate = joints_of(smoothed(replace(given, frames=timed, fps=None), **LOOSE))
    assert_allclose(no_rate, found, rtol=0, atol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_time_that_stands_still_or_goes_back(mode: Mode) -> None:
    given = film(lifted(true_joints(1, 30.0)), 30.0)
    odd = tuple(replace(f, time_s=float([0, 0.1, 0.1, 0.05, 3][f.index % 5])) for f in given.frames)
    found = smoothed(replace(given, frames=odd), mode=mode)
    assert np.isfinite(joints_of(found)).all()
    assert [frame.time_s for frame in found.frames] == [frame.time_s for frame in odd]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fps", [3.0, 240.0])
def test_slow_and_quick_films(mode: Mode, fps: float) -> None:
    truth = true_joints(40 if fps < 100 else 0.8, fps, swing=0.3 if fps > 100 else 0.05)
    given = film(lifted(truth), fps)
    found = joints_of(smoothed(given, mode=mode))
    bends = [np.linalg.norm(np.diff(each, 2, axis=0), axis=-1).mean() for each in (found, joints_of(given))]
    assert bends[0] < (0.9 if fps < 100 else 0.33) * bends[1]
    errors = [np.linalg.norm(each - truth, axis=-1).mean() for each in (found, joints_of(given))]
    assert errors[0] < (1.0 if mode == "offline" else 1.1) * errors[1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 4, 5])
def test_tiny_films(mode: Mode, frames: int) -> None:
    joints = lifted(true_joints(1, 30.0))[:frames]
    found = smoothed(film(joints, 30.0), mode=mode)
    assert len(found.frames) == frames
    if frames:
        assert np.linalg.norm(joints_of(found) - joints, axis=-1).max() < 0.25
    if frames == 1:
        assert_allclose(joints_of(found), joints, atol=0.03)  # sides made a little more alike


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("metres", [1e-3, 1e3])
def test_absurd_sizes_and_places(mode: Mode, metres: float) -> None:
    joints = lifted(true_joints(1, 30.0)) * metres
    joints[10:14] *= -1.0  # behind the camera
    assert np.isfinite(joints_of(smoothed(film(joints, 30.0), mode=mode))).all()


# ---- refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.0}, "fps: expected a finite number above 0, got 0.0"),
        ({"fps": float("nan")}, "fps: expected"),
        ({"fill_gaps_s": -1.0}, "fill_gaps_s: expected a finite number of at least 0, got -1.0"),
        ({"max_gap_s": float("inf")}, "max_gap_s: expected"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseSmoother(H36M, **options)


def test_another_skeleton() -> None:
    few = replace(person(true_joints(0.1, 30.0)[0][:4]), id=1)
    with pytest.raises(ValueError, match=r"frame 3: expected 17 joints \(h36m17\), got 4"):
        PoseSmoother(H36M, fps=30.0).push(PoseFrame(index=3, people=(few,)))


def test_two_hundred_people() -> None:
    joints = lifted(true_joints(0.07, 30.0))
    crowd = [tuple(person(pose + [0.1 * k, 0, 0.0], k) for k in range(200)) for pose in joints]
    given = film(joints, 30.0)
    given: Poses = replace(given, frames=tuple(replace(f, people=p) for f, p in zip(given.frames, crowd, strict=True)))
    found = smoothed(given)
    assert [len(frame.people) for frame in found.frames] == [200] * len(joints)
