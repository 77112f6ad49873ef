"""Poses that are drawn: made postures, libraries, feet, recombined limbs, and bodies that pass through nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sightline.body.anny_body import AnnyBody
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS
from sightline.synth._draw_actor import posed_figure, solved_poses
from sightline.synth._draw_feet import FLIP, mirrored, recombined, with_feet
from sightline.synth._draw_figures import drawn_figure, drawn_poses
from sightline.synth._draw_hands import Hands
from sightline.synth._draw_postures import KINDS
from sightline.synth._draw_skeleton import FOREARM, ROW, SHIN, THIGH, UPPER_ARM, posture_landmarks, two_bones
from sightline.synth.config import PoseDraw, plain, studio
from sightline.synth.intersect import TOUCH, _percentile, body_capsules, segment_distances
from sightline.synth.poses import JointPoses, LibraryPoses, PoseSource, ProceduralPoses

POSES = ProceduralPoses()
ROWS_H36M = list(range(17))


# -------------------------------------------------------------------------------------------------------------- poses


def _kinds() -> Iterator[tuple[str, int]]:
    yield from ((make.__name__, seed) for make, _ in KINDS for seed in range(3))


@pytest.mark.parametrize(("name", "seed"), list(_kinds()))
def test_made_postures_have_the_figures_bones(name: str, seed: int) -> None:
    make = next(make for make, _ in KINDS if make.__name__ == name)
    now, then = (posture_landmarks(posture) for posture in make(np.random.default_rng(seed), 0.03))
    for points in (now, then):
        assert np.isfinite(points[ROWS_H36M]).all()
        for side in "LR":
            for a, b, length in (
                ("Hip", "Knee", THIGH), ("Knee", "Ankle", SHIN), ("Shoulder", "Elbow", UPPER_ARM),
                ("Elbow", "Wrist", FOREARM),
            ):  # fmt: skip
                assert np.linalg.norm(points[ROW[side + a]] - points[ROW[side + b]]) == pytest.approx(length, abs=2e-3)
    assert np.nanmax(np.linalg.norm(then - now, axis=-1)) < 0.5


def test_planted_feet_stand_on_the_floor() -> None:
    for seed in range(20):
        make = KINDS[0][0]
        points = posture_landmarks(make(np.random.default_rng(seed), 0.03)[0])
        assert points[ROW["LAnkle"], 2] == pytest.approx(points[ROW["RAnkle"], 2], abs=1e-6)
        assert points[ROW["LHeel"], 2] == pytest.approx(0.02, abs=1e-6)


def test_two_bones_meet_at_their_lengths() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        start, pole = rng.normal(size=3), rng.normal(size=3)
        end = start + rng.normal(size=3) * 0.25
        middle = two_bones(start, end, 0.4, 0.35, pole)
        assert np.linalg.norm(middle - start) == pytest.approx(0.4)
        if 0.06 < np.linalg.norm(end - start) < 0.74:
            assert np.linalg.norm(middle - end) == pytest.approx(0.35)


def test_mirroring_twice_is_nothing() -> None:
    pose = POSES.pose(np.random.default_rng(3)).landmarks
    np.testing.assert_array_equal(mirrored(mirrored(pose)), pose)
    assert ALL_LANDMARKS[FLIP[ROW["LWrist"]]] == "RWrist"
    assert FLIP[ROW["Hip"]] == ROW["Hip"]


def test_recombined_limbs_keep_their_bones_and_the_rest_stays() -> None:
    one, other = (POSES.pose(np.random.default_rng(seed)).landmarks for seed in (1, 2))
    mixed = recombined(one, {"L": other, "legs": other})
    for a, b in (("LShoulder", "LElbow"), ("LElbow", "LWrist"), ("RHip", "RKnee"), ("RKnee", "RAnkle")):
        for points in (mixed, other):
            length = np.linalg.norm(points[0, ROW[a]] - points[0, ROW[b]])
            assert length == pytest.approx(np.linalg.norm(one[0, ROW[a]] - one[0, ROW[b]]), abs=1e-3)
    for name in ("Hip", "Thorax", "LShoulder", "RShoulder", "RWrist", "MidHead", "LHip"):
        np.testing.assert_array_equal(mixed[:, ROW[name]], one[:, ROW[name]])
    np.testing.assert_allclose(recombined(one, dict.fromkeys(("L", "R", "legs", "head"), one)), one, atol=1e-9)


def test_feet_of_a_standing_person_are_level_and_point_ahead() -> None:
    joints = posture_landmarks(KINDS[0][0](np.random.default_rng(1), 0.03)[0])[ROWS_H36M]
    points = with_feet(np.stack([joints, joints]), float(joints[:, 2].min()))
    for side in "LR":
        heel, toe = points[0, ROW[side + "Heel"]], points[0, ROW[side + "BigToe"]]
        assert abs(heel[2] - toe[2]) < 0.01
        assert (toe - heel)[0] > 0.1  # the figure looks along x


def _library(path: Path, **changes: object) -> Path:
    rng = np.random.default_rng(0)
    joints = np.stack([posture_landmarks(KINDS[1][0](rng, 0.03)[0])[ROWS_H36M] for _ in range(12)])
    arrays: dict[str, object] = {
        "joints_world": joints.astype(np.float32), "clip_start": np.array([0, 5, 9, 12]),
        "splits": np.array(["train", "test", "train"]), "fps": np.array(30.0),
    }  # fmt: skip
    np.savez(path, **{**arrays, **changes})  # pyright: ignore[reportArgumentType]
    return path


def test_a_library_gives_poses_of_its_split(tmp_path: Path) -> None:
    path = _library(tmp_path / "motion.npz")
    poses = LibraryPoses(path=str(path))
    assert isinstance(poses, PoseSource)
    with np.load(path) as file:
        joints = file["joints_world"]
    drawn = [poses.pose(np.random.default_rng(seed)).landmarks for seed in range(40)]
    rows = {int(np.abs(joints - pose[0, ROWS_H36M]).max((1, 2)).argmin()) for pose in drawn}
    assert rows <= {0, 1, 2, 3, 4, 9, 10, 11}
    assert len(rows) > 5
    for pose in drawn:
        row = int(np.abs(joints - pose[0, ROWS_H36M]).max((1, 2)).argmin())
        following = row if row in (4, 11) else row + 1
        np.testing.assert_allclose(pose[1, ROWS_H36M], joints[following], atol=1e-6)


def test_clips_of_a_library_are_drawn_by_their_length(tmp_path: Path) -> None:
    """The draws are those of `Generator.choice`, up to the length that counts."""
    path = str(_library(tmp_path / "motion.npz", splits=np.array(["train"] * 3)))
    poses = LibraryPoses(path=path, longest_s=0.12)
    weights = np.minimum([5, 4, 3], 0.12 * 30)
    for seed in range(30):
        rng, twin = np.random.default_rng(seed), np.random.default_rng(seed)
        found = poses.pose(rng).landmarks
        clip = int(twin.choice(3, p=weights / weights.sum()))
        frame = int(twin.integers((0, 5, 9)[clip], (5, 9, 12)[clip]))
        with np.load(path) as file:
            np.testing.assert_allclose(found[0, ROWS_H36M], file["joints_world"][frame], atol=1e-6)
        assert rng.random() == twin.random()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"joints_world": np.zeros((12, 5, 3), np.float32)}, "expected float32"),
        ({"joints_world": np.full((12, 17, 3), np.nan, np.float32)}, "NaN"),
        ({"clip_start": np.array([0, 5, 12])}, "clip_start"),
        ({"clip_start": np.array([0, 5, 5, 12])}, "clip_start"),
        ({"fps": np.array(0.0)}, "fps"),
        ({"splits": np.array(["test", "test", "val"])}, "no clip of the split 'train'"),
    ],
)
def test_bad_libraries(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        LibraryPoses(path=str(_library(tmp_path / "motion.npz", **changes)))


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    for name in ("a.npz", "missing.npz"):
        with pytest.raises(InputError, match="expected a motion library"):
            LibraryPoses(path=str(tmp_path / name))


def test_jumps_keep_their_height() -> None:
    joints = np.stack([posture_landmarks(KINDS[0][0](np.random.default_rng(0), 0.03)[0])[ROWS_H36M]] * 21)
    joints[8:13, :, 2] += 0.3
    poses = JointPoses(joints_world=joints, fps=30.0, clip_start=np.array([0, 21]))
    assert poses.at(10).lift_m == pytest.approx(0.3)
    assert poses.at(0).lift_m == 0.0
    assert poses.at(20).interval_s == pytest.approx(1 / 30)


# ------------------------------------------------------------------------------------------------------- intersection


def test_segment_distances_against_sampling() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(40, 2, 3)), rng.normal(size=(40, 2, 3))
    share = np.linspace(0, 1, 101)[:, None, None]
    a, b = (s[None, :, 0] * (1 - share) + s[None, :, 1] * share for s in (one, other))
    brute = np.linalg.norm(a[:, None] - b[None], axis=-1).min((0, 1))
    np.testing.assert_allclose(segment_distances(one, other), brute, atol=0.02)
    assert (segment_distances(one, other) <= brute + 1e-9).all()


def test_recombined_poses_do_not_pass_through_themselves() -> None:
    config = replace(studio(), poses=PoseDraw(recombined_share=0.6), figure_reuse=48)
    figure, bones = drawn_figure(config, 1, 0, 0), AnnyBody.load().bones
    capsules = body_capsules(figure, bones)
    deep = []
    for solved in drawn_poses(config, POSES, 1, 0, 0):
        person = posed_figure(figure, solved, yaw=0.3, hands=Hands())
        deep.append(capsules.deepest(person.capsules)[0])
    assert np.mean(np.array(deep) > TOUCH) < 0.05


def test_percentiles_are_numpys() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 1000):
        values = rng.normal(size=count)
        for percent in (0, 4, 55, 96, 100):
            assert _percentile(values, percent) == pytest.approx(np.percentile(values, percent))


def test_a_hand_in_the_belly_is_noticed_and_held_off() -> None:
    figure = drawn_figure(studio(), 1, 0, 0)
    pose = POSES.pose(np.random.default_rng(0))
    points = posture_landmarks(KINDS[0][0](np.random.default_rng(5), 0.03)[0])
    inside = 0.5 * (points[ROW["Spine"]] + points[ROW["Hip"]])
    shoulder = points[ROW["LShoulder"]]
    points[ROW["LElbow"]] = two_bones(shoulder, inside, UPPER_ARM, FOREARM, np.array([-1.0, 1.0, 0.0]))
    points[ROW["LWrist"]] = inside
    points[[ROW["LIndex"], ROW["LPinky"]]] = np.nan
    bad = replace(pose, landmarks=np.stack([points, points]))
    capsules = body_capsules(figure, AnnyBody.load().bones)
    person = posed_figure(figure, solved_poses(figure, [[bad]])[0], yaw=0.0, hands=Hands())
    assert capsules.deepest(person.capsules)[0] < TOUCH
    wrist = person.actor.landmarks_world[ROW["LWrist"]]
    assert np.linalg.norm(wrist - inside) > 0.05


@pytest.mark.slow
def test_capsules_agree_with_the_mesh() -> None:
    """A forearm or hand whose capsule is deep in the trunk has skin in it, and one that is clear of it has none."""
    config = replace(plain(), figure_reuse=64, poses=PoseDraw(recombined_share=0.0))
    figure, model = drawn_figure(config, 2, 0, 0), AnnyBody.load()
    capsules = body_capsules(figure, model.bones)
    rng, found = np.random.default_rng(0), []
    row = {name: index for index, name in enumerate(model.bones)}
    carrier = np.take_along_axis(figure.skin_bones, figure.skin_weights.argmax(1)[:, None], 1)[:, 0]
    naked = np.arange(len(carrier)) < figure.body_vertices
    arm = np.flatnonzero(naked & np.isin(carrier, [row["lowerarm01.L"], row["lowerarm02.L"], row["wrist.L"]]))
    trunk = np.isin(carrier, [i for n, i in row.items() if n.startswith(("root", "spine", "pelvis"))]) & naked
    faces = model.faces.numpy()
    faces = faces[trunk[faces].all(1)]
    rows = [n for n, name in enumerate(capsules.names) if name in ("L_forearm", "L_hand")]
    slabs = [n for n, name in enumerate(capsules.names) if name in ("pelvis", "belly", "chest")]
    for _ in range(60):
        pose = POSES.pose(rng)
        bent = pose.landmarks.copy()
        bent[:, ROW["LWrist"]] = bent[:, ROW["Spine"]] + rng.normal(0, 0.16, 3)
        for moment in bent:
            moment[ROW["LElbow"]] = two_bones(
                moment[ROW["LShoulder"]], moment[ROW["LWrist"]], UPPER_ARM, FOREARM, rng.normal(size=3)
            )
        bent[:, [ROW["LIndex"], ROW["LPinky"]]] = np.nan
        from sightline.body.ik import rotations_from_landmarks
        from sightline.body.model import RestBody
        from sightline.body.skinning import posed_joints, skinned_arrays

        rest = RestBody(
            torch.from_numpy(figure.vertices[None, : figure.body_vertices]), torch.from_numpy(figure.joints[None])
        )
        turns, root = rotations_from_landmarks(model, rest, torch.from_numpy(bent[:1].astype(np.float32)), passes=1)
        heads = posed_joints(rest.joints, figure.parents, turns, root)[0].numpy()
        posed = capsules.posed(figure, turns[0].numpy().astype(float), heads.astype(float))
        gap = segment_distances(posed.ends[rows][:, None], posed.ends[slabs][None])
        depth = (posed.radius[rows][:, None] + posed.radius[slabs][None] - gap).max()
        vertices = skinned_arrays(
            figure.vertices, figure.skin_bones, figure.skin_weights, figure.joints, figure.parents,
            turns[0].numpy(), root[0].numpy(),
        )  # fmt: skip
        winding = _winding(vertices[arm[::6]].astype(float), vertices[faces].astype(float))
        found.append((depth, (winding > 0.5).mean()))
    depth, share = np.array(found).T
    assert (share[depth > 0.045] > 0.05).mean() > 0.85
    assert (share[depth < -0.01] < 0.05).mean() > 0.85


def _winding(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """How often a surface winds about points: about 1 inside, 0 outside (Van Oosterom and Strackee's solid angles)."""
    totals = []
    for point in points:
        a, b, c = (triangles[:, k] - point for k in range(3))
        la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
        above = (np.cross(a, b) * c).sum(1)
        below = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        totals.append((2 * np.arctan2(above, below)).sum() / (4 * np.pi))
    return np.array(totals)
