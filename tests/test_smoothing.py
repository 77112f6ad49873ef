"""Smooth without lag, bones and bodies that keep their size, nobody mixed; streams like whole films."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sightline.metrics.functional import acceleration_error, mpjpe
from sightline.skeleton import Skeleton
from sightline.structures import ExtraJoints, Hypothesis, Person, PoseFrame, Poses
from sightline.temporal.smoothing import Mode, PoseSmoother, smoothed
from smoothing_films import (
    H36M,
    film,
    joints_of,
    lengths_of,
    lifted,
    together,
    true_joints,
)

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"
WRIST, ROOT = H36M.index("RWrist"), H36M.root
MODES: tuple[Mode, ...] = ("offline", "online")
LOOSE: dict[str, Any] = {"constant_bones": False, "constant_size": False}


def figures(poses: np.ndarray, truth: np.ndarray, fps: float) -> tuple[float, float, float]:
    """MPJPE, mean error of the root (m) and mean acceleration error (m/s²)."""
    found, true = torch.from_numpy(poses), torch.from_numpy(truth)
    root = np.linalg.norm(poses[:, ROOT] - truth[:, ROOT], axis=-1).mean()
    return float(mpjpe(found, true)), float(root), float(acceleration_error(found, true, fps))


def streamed(poses: Poses, mode: Mode, **options: Any) -> Poses:
    smoother = PoseSmoother(poses.skeleton, fps=poses.fps, mode=mode, **options)
    frames = [frame for pushed in poses.frames for frame in smoother.push(pushed)]
    return replace(poses, frames=(*frames, *smoother.finish()))


def assert_equal(one: np.ndarray, other: np.ndarray) -> None:
    """But for rounding: where arrays lie in memory decides in which order some libraries add them up."""
    assert_allclose(one, other, rtol=0, atol=1e-8)


def assert_same(one: Poses, other: Poses) -> None:
    """Every number of every person is the same."""
    assert [frame.index for frame in one.frames] == [frame.index for frame in other.frames]
    for (_, a), (_, b) in zip(one.people(), other.people(), strict=True):
        assert a.id == b.id
        assert a.root_depth_canonical == pytest.approx(b.root_depth_canonical, abs=1e-9)
        assert_equal(a.joints_cam_m, b.joints_cam_m)


# ---- what is smooth -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [25.0, 60.0, 120.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_noise_goes_and_motion_stays(fps: float, seed: int) -> None:
    truth = true_joints(240 / fps, fps, seed)
    given = film(lifted(truth, seed), fps)
    before = figures(joints_of(given), truth, fps)
    after = figures(joints_of(smoothed(given)), truth, fps)
    assert after[2] < before[2] / 10
    assert after[0] < 0.6 * before[0]
    assert after[1] < 0.5 * before[1]
    online = figures(joints_of(smoothed(given, mode="online")), truth, fps)
    assert online[2] < before[2] / 3
    assert online[0] < before[0]
    assert online[1] < before[1]


@pytest.mark.parametrize("hz", [0.5, 1.0, 2.0])
def test_a_swinging_arm_does_not_lag(hz: float) -> None:
    fps, seconds = 60.0, 12
    time = np.arange(int(seconds * fps)) / fps
    truth = np.repeat(true_joints(0.02, fps), len(time), axis=0)
    truth[:, WRIST, 0] += 0.15 * np.sin(2 * np.pi * hz * time)
    rng = np.random.default_rng(0)
    smooth = joints_of(smoothed(film(truth + rng.normal(0, 0.005, truth.shape), fps), **LOOSE))
    wave = (smooth[:, WRIST, 0] * np.exp(-2j * np.pi * hz * time)).mean() * 2j
    assert abs(np.angle(wave)) / (2 * np.pi * hz) < 0.002, "seconds of lag"
    assert abs(wave) / 0.15 == pytest.approx(1.0, abs=0.05)


def test_backwards_in_time_is_the_same() -> None:
    joints = lifted(true_joints(4, 50.0))
    forth = joints_of(smoothed(film(joints, 50.0), **LOOSE))
    back = joints_of(smoothed(film(joints[::-1], 50.0), **LOOSE))
    assert_allclose(back[::-1], forth, atol=1e-9)


def test_windows_leave_no_seam() -> None:
    """Frame to frame, nothing jumps anywhere in a film of many windows."""
    truth = true_joints(16, 30.0)
    smooth = joints_of(smoothed(film(lifted(truth), 30.0)))
    bend = np.linalg.norm(np.diff(smooth - truth, 2, axis=0), axis=-1).max(axis=1) * 30.0**2
    assert bend.max() < 6 * np.median(bend)


@pytest.mark.parametrize("mode", MODES)
def test_a_wild_pose_does_little(mode: Mode) -> None:
    truth = true_joints(4, 60.0)
    seen = truth + np.random.default_rng(0).normal(0, 0.004, truth.shape)
    seen[100, WRIST] += [0.5, 0.2, -0.4]
    seen[150] *= 1.3  # for one frame, 1.2 m further away
    found = np.linalg.norm(joints_of(smoothed(film(seen), mode=mode, **LOOSE)) - truth, axis=-1)
    assert found[100, WRIST] < (0.05 if mode == "offline" else 0.2)
    assert found[150].max() < (0.05 if mode == "offline" else 0.3)
    assert found[[90, 140]].max() < 0.1


def test_a_motionless_person_is_motionless() -> None:
    still = np.repeat(true_joints(0.02, 60.0), 300, axis=0)
    for mode in MODES:
        assert_allclose(joints_of(smoothed(film(still), mode=mode, constant_bones=False)), still, atol=1e-6)


# ---- bones and bodies ---------------------------------------------------------------------------------------------


def test_bones_keep_one_length_and_the_right_one() -> None:
    truth = true_joints(7, 50.0)
    given = film(lifted(truth), 50.0)
    lengths = lengths_of(joints_of(smoothed(given)))
    assert np.ptp(lengths_of(joints_of(given)), axis=0).min() > 0.03
    assert np.ptp(lengths, axis=0).max() < 1e-9
    assert_allclose(lengths[0], lengths_of(truth)[0], rtol=0.04)


def test_the_distance_does_not_breathe() -> None:
    """A lifter whose people grow and shrink, and so come and go while they stand still."""
    time = np.arange(480) / 60.0
    truth = np.repeat(true_joints(0.02, 60.0), 480, axis=0)
    breath = np.exp(0.08 * np.sin(2 * np.pi * 0.25 * time))[:, None, None]
    given = film(lifted(truth * breath, depth=0.005))
    depth = joints_of(smoothed(given))[:, ROOT, 2]
    assert depth.std() < 0.2 * joints_of(given)[:, ROOT, 2].std()
    assert depth.mean() == pytest.approx(truth[0, ROOT, 2], rel=0.01)
    free = joints_of(smoothed(given, constant_size=False))[:, ROOT, 2]
    assert free.std() > 0.8 * joints_of(given)[:, ROOT, 2].std()


def test_given_sizes_stay() -> None:
    truth = true_joints(3, 30.0)
    given = together(film(lifted(truth), 30.0, 4), film(lifted(truth, 5) + [2.0, 0, 0], 30.0, 9))
    fixed, loose = smoothed(given, fixed_size_ids={4}), smoothed(given)
    assert_equal(joints_of(fixed, 9), joints_of(loose, 9))
    assert_equal(joints_of(fixed, 4), joints_of(smoothed(given, constant_size=False), 4))
    assert (joints_of(fixed, 4) != joints_of(loose, 4)).any()
    assert_allclose(lengths_of(joints_of(fixed, 4)).sum(1), lengths_of(truth).sum(1), rtol=0.03)
    all_given = replace(given, scale=replace(given.scale, body="given_height"))
    assert_same(smoothed(all_given), smoothed(given, fixed_size_ids={4, 9}))


# ---- people apart -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_people_are_never_mixed(mode: Mode) -> None:
    films = [film(lifted(true_joints(3, 30.0, seed, 3.0 + seed), seed), 30.0, seed) for seed in range(3)]
    both = smoothed(together(*films), mode=mode)
    back = smoothed(together(*films[::-1]), mode=mode)
    for ident, alone in enumerate(films):
        assert_equal(joints_of(both, ident), joints_of(smoothed(alone, mode=mode), ident))
        assert_equal(joints_of(both, ident), joints_of(back, ident))


@pytest.mark.parametrize("mode", MODES)
def test_people_without_id_and_photos_pass_unchanged(mode: Mode) -> None:
    joints = lifted(true_joints(1, 60.0))
    nameless = film(joints, ident=None)
    for given in (nameless, film(joints, fps=None)):
        pairs = zip(smoothed(given, mode=mode).people(), given.people(), strict=True)
        assert all(new is old for (_, new), (_, old) in pairs)
    beside = smoothed(together(film(joints, ident=1), nameless), mode=mode)
    assert_array_equal(joints_of(beside, None), joints)
    assert (joints_of(beside, 1) != joints).any()


def test_what_belongs_to_a_pose_goes_along() -> None:
    """Hypotheses and joints beyond the skeleton move with it; half-widths and what was seen stay."""
    joints = lifted(true_joints(2, 60.0))
    toes = Skeleton("toes", ("LToe", "RToe"), (-1, 0))
    sigma = np.full((len(H36M), 3), 0.05)
    given = film(joints, sigma_m=sigma, box_px=np.array([1.0, 2, 30, 40]))
    ankles = [H36M.index("LAnkle"), H36M.index("RAnkle")]
    frames = []
    for frame in given.frames:
        (one,) = frame.people
        other = Hypothesis(score=0.2, joints_cam_m=one.joints_cam_m * 1.1, root_depth_canonical=0.01)
        extra = ExtraJoints(skeleton=toes, joints_cam_m=one.joints_cam_m[ankles] + [0.0, 0.1, 0.0])
        frames.append(replace(frame, people=(replace(one, hypotheses=(other,), extra=extra),)))
    given = replace(given, frames=tuple(frames))
    for (_, old), (_, new) in zip(given.people(), smoothed(given).people(), strict=True):
        assert old.root_depth_canonical is not None
        assert old.hypotheses is not None
        assert new.hypotheses is not None
        assert new.extra is not None
        shift = new.joints_cam_m - old.joints_cam_m
        assert_allclose(new.hypotheses[0].joints_cam_m - old.hypotheses[0].joints_cam_m, shift, atol=1e-12)
        share = new.joints_cam_m[ROOT, 2] / old.joints_cam_m[ROOT, 2]
        assert new.root_depth_canonical == pytest.approx(old.root_depth_canonical * share)
        assert np.abs(new.extra.joints_cam_m - new.joints_cam_m[ankles] - [0, 0.1, 0]).max() < 0.15
        for name in ("sigma_m", "keypoints_px", "confidence", "box_px"):
            assert_array_equal(getattr(new, name), getattr(old, name))


def test_uncertain_frames_count_less() -> None:
    truth = true_joints(3, 60.0)
    seen = truth + np.random.default_rng(0).normal(0, 0.003, truth.shape)
    blurred = slice(80, 92)
    seen[blurred, WRIST] += [0.06, 0.0, 0.0]
    sigma = np.full((len(truth), len(H36M), 3), 0.02)
    plain = film(seen)
    sigma[blurred, WRIST] = 0.2
    people = [replace(one, sigma_m=s) for (_, one), s in zip(plain.people(), sigma, strict=True)]
    stated = replace(plain, frames=tuple(replace(f, people=(p,)) for f, p in zip(plain.frames, people, strict=True)))
    wrong = [
        np.linalg.norm((joints_of(smoothed(each, **LOOSE)) - truth)[blurred, WRIST], axis=-1).mean()
        for each in (plain, stated)
    ]
    assert wrong[1] < 0.6 * wrong[0]


# ---- streams ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [10.0, 60.0])
def test_online_knows_only_the_past(fps: float) -> None:
    given = film(lifted(true_joints(3, fps)), fps)
    smoother = PoseSmoother(H36M, fps=fps, mode="online")
    at_once = [smoother.push(frame) for frame in given.frames]
    assert all(len(frames) == 1 for frames in at_once)
    whole = smoothed(given, mode="online")
    assert_same(replace(given, frames=tuple(frame for (frame,) in at_once)), whole)
    for count in (1, 2, len(given.frames) // 2):
        part = smoothed(replace(given, frames=given.frames[:count]), mode="online")
        assert_same(part, replace(whole, frames=whole.frames[:count]))


def test_a_stream_is_the_whole_film() -> None:
    """Bodies are learned on the way in a stream; without them, or before the first window ends, nothing differs."""
    short, long = (film(lifted(true_joints(seconds, 40.0)), 40.0) for seconds in (5, 9))
    assert_same(streamed(short, "offline"), smoothed(short))
    assert_same(streamed(long, "offline", **LOOSE), smoothed(long, **LOOSE))
    apart = joints_of(streamed(long, "offline")) - joints_of(smoothed(long))
    assert 0 < np.abs(apart).max() < 0.15
    assert np.linalg.norm(apart, axis=-1).mean() < 0.03


def test_offline_waits_three_and_a_half_seconds() -> None:
    given = film(lifted(true_joints(12, 20.0)), 20.0)
    smoother, out = PoseSmoother(H36M, fps=20.0), []
    for frame in given.frames:
        out += smoother.push(frame)
        assert frame.index - len(out) <= 5.0 * 20
        if len(out) > 60:
            assert frame.index - len(out) <= 3.5 * 20 + 40
    out += smoother.finish()
    assert [frame.index for frame in out] == list(range(len(given.frames)))
    assert smoother.finish() == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("frames", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow(mode: Mode, frames: int) -> None:
    """One person who stays, and others who come and go."""
    chain = Skeleton("chain", ("Hip", "Spine", "Head"), (-1, 0, 1))
    rng, fps = np.random.default_rng(0), 50.0
    points = np.array([[0.0, 0, 4], [0, -0.4, 4], [0, -0.9, 4]]) + rng.normal(0, 0.01, (50, 3, 3))
    people = [
        Person(joints_cam_m=p, keypoints_px=p[:, :2], confidence=np.ones(3), score=1.0, root_depth_canonical=None, id=0)
        for p in points
    ]
    smoother, out = PoseSmoother(chain, fps=fps, mode=mode), 0
    for n in range(frames):
        passing = replace(people[n % 50], id=1 + n // 60) if n % 30 == 0 else None
        out += len(smoother.push(PoseFrame(index=n, people=tuple(p for p in (people[n % 50], passing) if p))))
        if n % 100 == 0:
            assert len(smoother._waiting) <= 5.5 * fps
            assert len(smoother._tracks) <= 3
            assert len(smoother._bodies) <= 256
            assert all(len(body._rows) <= 512 for body in smoother._bodies.values())
            for track, *_ in smoother._tracks.values():
                assert len(getattr(track, "_rows", ())) <= 5.5 * fps
    assert out + len(smoother.finish()) == frames


def test_the_same_again() -> None:
    given = film(lifted(true_joints(3, 60.0)))
    for mode in MODES:
        assert_same(smoothed(given, mode=mode), smoothed(given, mode=mode))


# ---- a real film --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/real")
def test_real_people_jitter_a_third_as_much_and_err_no_more() -> None:
    """Over all views and both people; the truth jitters itself, by 30 to 50 m/s², which nothing can take away."""
    from sightline.formats.camera import read_cameras
    from sightline.formats.keypoints import read_keypoints
    from sightline.pipeline import Lifter, Smoothing, lift_film
    from sightline.scoring import evaluate
    from sightline.triangulate import triangulate_keypoints

    names = [f"cam0{n}" for n in (1, 2, 3, 4)]
    cameras = read_cameras(REAL / "calibration.qca.txt")
    views = [read_keypoints(REAL / f"{name}.keypoints.json") for name in names]
    truth = triangulate_keypoints(views, [cameras[name] for name in names], skeleton="h36m17", min_views=3)
    lifter = Lifter()

    def measured(smoothing: Smoothing) -> dict[str, np.ndarray]:
        found: dict[str, list[list[float]]] = {"0": [], "1": []}
        for name, view in zip(names, views, strict=True):
            poses = lift_film(lifter, view, cameras[name], smoothing=smoothing).poses
            for row in evaluate(poses, truth, protocol="limbs12").to_dict()["rows"]:
                if row["group"] == "person":
                    found[row["label"]].append([row["mpjpe_m"], row["acceleration_m_s2"]])
        return {person: np.array(rows) for person, rows in found.items()}

    before, after = measured("off"), measured("offline")
    for person_id in ("0", "1"):
        assert (after[person_id][:, 0] < before[person_id][:, 0] + 0.002).all()
        assert after[person_id][:, 0].mean() <= before[person_id][:, 0].mean()
    jitter_before, jitter_after = (np.mean([rows[:, 1].mean() for rows in found.values()]) for found in (before, after))
    assert jitter_after <= jitter_before / 3
