"""`evaluate`: files and values of every kind, people matched and counted, rows that are means over samples."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.poses import write_poses
from sightline.formats.world import write_world
from sightline.metrics import functional
from sightline.metrics.evaluation import FIGURES, Evaluation
from sightline.metrics.matching import PoseRows, match_people, root_distances
from sightline.scoring import evaluate, read_pose_rows
from sightline.skeleton import conversion, get_skeleton
from sightline.structures import ModelInfo, Person, PoseFrame, Poses, Scale
from sightline.world import WorldPoses

H36M = get_skeleton("h36m17")
COCO = get_skeleton("coco17")
J = 17
CAMERA = Camera.create((1000, 800), 1100.0)
PLACED = Camera.create((1000, 800), 1100.0, rotation=[[0, -1, 0], [0, 0, -1], [1, 0, 0]], translation_m=[0.3, 1.5, 4.0])


def bodies(count: int, seed: int = 0, joints: int = J) -> np.ndarray:
    """Random poses about 4 m before the camera (m)."""
    noise = np.random.default_rng(seed).normal(scale=0.3, size=(count, joints, 3))
    return noise + np.array([0.2, 0.1, 4.0])


def person(joints_cam: np.ndarray, number: int | None = None) -> Person:
    count = len(joints_cam)
    return Person(
        id=number,
        joints_cam_m=joints_cam,
        keypoints_px=np.zeros((count, 2)),
        confidence=np.ones(count),
        score=1.0,
        root_depth_canonical=None,
    )


def poses(
    frames: dict[int, Sequence[tuple[int | None, np.ndarray]]], camera: Camera = CAMERA, fps: float | None = None
) -> Poses:
    """Poses from frame → (id, joints) of its people."""
    return Poses(
        skeleton=H36M,
        camera=camera,
        scale=Scale(source="calibrated_focal", body="learned"),
        model=ModelInfo(method="test"),
        frames=tuple(
            PoseFrame(index=index, people=tuple(person(joints, number) for number, joints in people))
            for index, people in frames.items()
        ),
        fps=fps,
    )


def rows(joints_cam: np.ndarray, **columns: Any) -> PoseRows:
    arrays = {name: np.asarray(value) for name, value in columns.items() if name in ("frame_index", "person_id")}
    return PoseRows(skeleton=H36M, joints_cam_m=joints_cam, **{**columns, **arrays})


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def figures(evaluation: Evaluation) -> dict[str, float]:
    return dict(evaluation.total.figures)


# ---- figures --------------------------------------------------------------------------------------------------------


def test_a_shift_in_depth_is_a_shift_in_depth() -> None:
    true = bodies(5)
    got = figures(evaluate(rows(true + [0, 0, 0.1]), rows(true)))
    zero = ("mpjpe", "pa_mpjpe", "n_mpjpe", "mrpe_x", "mrpe_y", "bone_length", "axis_x", "axis_y", "axis_z")
    assert [got[name] for name in zero] == pytest.approx([0] * len(zero), abs=1e-9)
    assert [got[name] for name in ("mrpe", "mrpe_z", "abs_mpjpe")] == pytest.approx([0.1] * 3)
    assert got["pck"] == 1
    assert got["auc"] == pytest.approx(30 / 31)
    assert np.isnan(got["acceleration"])


def test_total_is_the_function_on_everything() -> None:
    true = bodies(30)
    predicted = true + np.random.default_rng(1).normal(scale=0.1, size=true.shape)
    pair = torch.from_numpy(predicted), torch.from_numpy(true)
    got = figures(evaluate(rows(predicted), rows(true), protocol="h36m17"))
    expected = {
        "mpjpe": functional.mpjpe(*pair),
        "pa_mpjpe": functional.pa_mpjpe(*pair),
        "n_mpjpe": functional.n_mpjpe(*pair),
        "mrpe": functional.mrpe(*pair),
        "abs_mpjpe": functional.abs_mpjpe(*pair),
        "pck": functional.pck3d(*pair),
        "auc": functional.auc(*pair),
        "bone_length": functional.bone_length_error(*pair, H36M.bones),
        "axis_z": functional.depth_error(*pair),
    }
    assert {name: got[name] for name in expected} == pytest.approx({k: v.item() for k, v in expected.items()})
    counted = figures(evaluate(rows(predicted), rows(true), protocol="h36m17_root_counted"))
    assert counted["mpjpe"] == pytest.approx(got["mpjpe"] * 16 / 17)
    assert counted["pa_mpjpe"] == pytest.approx(got["pa_mpjpe"])


def test_total_weighs_samples_not_groups() -> None:
    """Nine people of one action at 10 mm and one of another at 100 mm: 19 mm, not 55."""
    true = bodies(10)
    shift = np.array([0.01] * 9 + [0.1])[:, None, None] * np.array([1.0, 0, 0])
    evaluation = evaluate(rows(true + shift), rows(true, action=("Walking",) * 9 + ("Eating",)))
    by_action = {row.label: row for row in evaluation.rows if row.group == "action"}
    assert {name: row.people for name, row in by_action.items()} == {"Walking": 9, "Eating": 1}
    assert by_action["Walking"].figures["mrpe"] == pytest.approx(0.01)
    assert by_action["Eating"].figures["mrpe"] == pytest.approx(0.1)
    assert evaluation.total.figures["mrpe"] == pytest.approx(0.019)
    shares = [row.figures["mpjpe"] * row.samples["mpjpe"] for row in by_action.values()]
    assert evaluation.total.figures["mpjpe"] == pytest.approx(sum(shares) / 10, abs=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    true = bodies(23)
    predicted = rows(true + np.random.default_rng(2).normal(scale=0.1, size=true.shape), frame_index=np.arange(23))
    whole = evaluate(predicted, rows(true, frame_index=np.arange(23)), fps=25.0)
    monkeypatch.setattr("sightline.metrics.evaluation._CHUNK", 4)
    parts = evaluate(predicted, rows(true, frame_index=np.arange(23)), fps=25.0)
    assert figures(parts) == pytest.approx(figures(whole), rel=1e-12)
    assert not np.isnan(whole.total.figures["acceleration"])


def test_joints_the_truth_lacks_are_masked() -> None:
    true, predicted = bodies(4), bodies(4) + 0.02
    predicted[:, 5] += 9.0
    true[:, 5] = np.nan
    evaluation = evaluate(rows(predicted), rows(true))
    assert evaluation.total.figures["abs_mpjpe"] == pytest.approx(0.02 * np.sqrt(3))
    assert evaluation.joints_not_predicted == 0


def test_joints_the_prediction_lacks_are_counted_and_miss() -> None:
    true = bodies(4)
    predicted = true + 0.01
    predicted[1, 3:7] = np.nan
    evaluation = evaluate(rows(predicted), rows(true))
    assert evaluation.joints_not_predicted == 4
    assert evaluation.total.figures["pck"] == pytest.approx((3 * 16 + 12) / 64)
    assert evaluation.total.figures["abs_mpjpe"] == pytest.approx(0.01 * np.sqrt(3))
    assert "Joints that the prediction lacks (misses in PCK and AUC, in no mean): 4." in evaluation.table()


def test_a_prediction_without_root_has_no_root_error_and_misses() -> None:
    true = bodies(3)
    predicted = true.copy()
    predicted[0, 0] = np.nan
    evaluation = evaluate(rows(predicted), rows(true))
    assert evaluation.total.samples["mpjpe"] == evaluation.total.samples["mrpe"] == 2
    assert evaluation.total.samples["pa_mpjpe"] == 3
    assert evaluation.total.figures["pck"] == pytest.approx(2 / 3)


# ---- who was missed -------------------------------------------------------------------------------------------------


def test_who_was_missed_has_no_joint_right() -> None:
    """Two people, of whom one is found, with one of 16 joints 20 cm off."""
    found, missed = bodies(2)
    off = found.copy()
    off[5] += [0.2, 0, 0]
    evaluation = evaluate(poses({0: [(None, off)]}), poses({0: [(None, found), (None, missed + [3, 0, 0])]}))
    assert evaluation.total.figures["pck"] == pytest.approx(15 / 16)
    assert evaluation.total.figures["pck_all"] == pytest.approx(15 / 32)
    assert (evaluation.total.samples["pck"], evaluation.total.samples["pck_all"]) == (1, 2)
    assert evaluation.to_dict()["rows"][-1]["pck_all"] == pytest.approx(15 / 32)
    lines = evaluation.table().splitlines()
    assert "PCK 150  PCK all" in lines[0]
    assert lines[2].split()[-5:-2] == ["93.8", "46.9", "90.7"]
    assert "PCK all is that of all true people: those without a prediction have every joint wrong." in lines


def test_where_nobody_was_missed_both_pcks_are_one() -> None:
    true = bodies(5)
    predicted = true + np.random.default_rng(4).normal(scale=0.1, size=true.shape)
    evaluation = evaluate(rows(predicted), rows(true, action=("a", "a", "b", "b", "b")))
    assert 0.2 < evaluation.total.figures["pck"] < 0.9
    for row in evaluation.rows:
        assert row.figures["pck_all"] == row.figures["pck"]
        assert row.samples["pck_all"] == row.samples["pck"]
    assert "PCK all" not in evaluation.table()
    assert evaluation.to_dict()["rows"][-1]["pck_all"] == evaluation.total.figures["pck"]


def test_all_people_are_those_of_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Person 3 is found in two frames, 4 in one of two, 5 in none: 1, 1/2, 0 and in total 3/5; and by action."""
    monkeypatch.setattr("sightline.metrics.evaluation._CHUNK", 1)
    frame, who = np.array([0, 1, 0, 1, 2]), np.array([3, 3, 4, 4, 5])
    truth = rows(bodies(5), frame_index=frame, person_id=who, action=("sit", "sit", "sit", "run", "run"))
    seen = [0, 1, 2]
    evaluation = evaluate(
        rows(truth.joints_cam_m[seen] + 0.01, frame_index=frame[seen], person_id=who[seen]), truth, match="id"
    )
    by_label = {row.label: row for row in evaluation.rows}
    share = {label: row.figures["pck_all"] for label, row in by_label.items()}
    assert share == pytest.approx({"3": 1, "4": 0.5, "5": 0, "run": 0, "sit": 1, "total": 0.6})
    assert {label: row.missed for label, row in by_label.items()} == {
        "3": 0, "4": 1, "5": 1, "run": 2, "sit": 0, "total": 2,
    }  # fmt: skip
    assert all(row.samples["pck_all"] == row.people + row.missed for row in evaluation.rows)
    assert np.isnan(by_label["5"].figures["pck"])
    assert evaluation.total.figures["pck"] == 1


@pytest.mark.parametrize(
    ("known", "counts"),
    [(range(J), True), ((0, 5), True), ((5, 6), False), ((0, 9, 10), False), ((), False)],
    ids=["all joints", "the root and a limb", "no root", "no joint of the protocol", "nothing"],
)
def test_of_whom_nothing_could_be_scored_is_not_missed(known: Sequence[int], counts: bool) -> None:
    """A missed person counts if a prediction of theirs could have had a PCK, and only then."""
    true = bodies(2)
    true[1, [joint for joint in range(J) if joint not in known]] = np.nan
    truth = rows(true, frame_index=[0, 1])
    evaluation = evaluate(rows(true[:1], frame_index=[0]), truth, protocol="limbs12")
    assert (evaluation.matched, evaluation.missed) == (1, 1)
    assert evaluation.total.figures["pck_all"] == (0.5 if counts else 1.0)
    assert evaluation.total.samples["pck_all"] == (2 if counts else 1)
    everybody = evaluate(rows(bodies(2), frame_index=[0, 1]), truth, protocol="limbs12", match="frame")
    assert everybody.total.samples["pck"] == evaluation.total.samples["pck_all"]


# ---- accelerations --------------------------------------------------------------------------------------------------


def test_accelerations_need_three_frames_in_a_row_of_one_person() -> None:
    """Person 4 has frames 0–4 and person 6 frames 2, 3, 5, 6, 7: middles 1, 2, 3 and 6."""
    frame, who = np.array([0, 1, 2, 3, 4, 2, 3, 5, 6, 7]), np.array([4] * 5 + [6] * 5)
    true = bodies(10)
    predicted = true + np.random.default_rng(3).normal(scale=0.02, size=true.shape)
    evaluation = evaluate(
        rows(predicted, frame_index=frame, person_id=who), rows(true, frame_index=frame, person_id=who, fps=20.0)
    )
    difference = predicted - true
    errors = [
        np.linalg.norm(difference[i - 1] - 2 * difference[i] + difference[i + 1], axis=-1).mean() * 400
        for i in (1, 2, 3, 8)
    ]
    by_person = {row.label: row.figures["acceleration"] for row in evaluation.rows}
    assert by_person == pytest.approx({"4": np.mean(errors[:3]), "6": errors[3], "total": np.mean(errors)})
    assert evaluation.total.samples["acceleration"] == 4


@pytest.mark.parametrize(
    ("columns", "fps", "note"),
    [
        ({"frame_index": [0, 1, 2, 3]}, None, "neither side states its frames per second"),
        ({}, 30.0, "frames are not numbered"),
        ({"frame_index": [0, 0, 1, 1]}, 30.0, "no ids to follow several people by"),
        ({"frame_index": [0, 5, 10, 15]}, 30.0, "nobody was matched in three frames in a row"),
        ({"frame_index": [0, 1, 2, 3], "action": ("a", "a", "b", "b")}, 30.0, "nobody was matched in three frames"),
    ],
)
def test_why_there_is_no_acceleration(columns: dict[str, Any], fps: float | None, note: str) -> None:
    true = rows(bodies(4), **columns)
    evaluation = evaluate(replace(true, action=None), true, fps=fps)
    assert np.isnan(evaluation.total.figures["acceleration"])
    assert note in " ".join(evaluation.notes)
    assert evaluation.matched == 4


# ---- matching -------------------------------------------------------------------------------------------------------


def test_people_are_matched_by_distance_and_nobody_is_dropped() -> None:
    a, b, c = bodies(3) + np.array([[0, 0, 0], [1.5, 0, 0], [-1.5, 0, 0]])[:, None]
    prediction = poses(
        {0: [(None, b), (None, a)], 1: [(None, a), (None, a + 30)], 2: [], 4: [(None, c)], 9: [(None, a)]}
    )
    truth = poses({0: [(7, a), (8, b)], 1: [(7, a)], 2: [(8, b)], 4: []})
    evaluation = evaluate(prediction, truth)
    assert evaluation.matched_by == "distance"
    assert (evaluation.matched, evaluation.missed, evaluation.extra, evaluation.unannotated) == (3, 1, 2, 1)
    assert evaluation.total.figures["abs_mpjpe"] == pytest.approx(0, abs=1e-12)
    missed = {row.label: (row.people, row.missed) for row in evaluation.rows}
    assert missed == {"7": (2, 0), "8": (1, 1), "total": (3, 1)}


def test_people_are_matched_by_id_where_both_have_ids() -> None:
    a, b = bodies(2)
    evaluation = evaluate(poses({0: [(1, a), (2, b)], 1: [(1, a)]}), poses({0: [(2, a), (1, b)], 1: [(3, a)]}))
    assert evaluation.matched_by == "id"
    assert (evaluation.matched, evaluation.missed, evaluation.extra) == (2, 1, 1)
    assert evaluation.total.figures["abs_mpjpe"] > 0.1
    by_distance = evaluate(poses({0: [(1, a), (2, b)]}), poses({0: [(2, a), (1, b)]}), match="distance")
    assert by_distance.total.figures["abs_mpjpe"] == pytest.approx(0, abs=1e-12)


def test_ids_that_have_nothing_in_common_are_not_used() -> None:
    a = bodies(1)[0]
    assert evaluate(poses({0: [(5, a)]}), poses({0: [(0, a)]})).matched_by == "distance"


def test_hungarian_matching_equals_trying_everything() -> None:
    """As many pairs below the threshold as possible, and among those the least sum."""
    generator = np.random.default_rng(5)
    for trial in range(150):
        count = generator.integers(1, 5, size=2)
        predicted, true = (generator.uniform(-0.9, 0.9, size=(n, 1, 3)) + bodies(1)[0] for n in count)
        got = match_people(
            rows(predicted, frame_index=np.zeros(count[0], int)),
            rows(true, frame_index=np.zeros(count[1], int)),
            max_root_distance_m=1.0,
        )
        distance = np.linalg.norm(predicted[:, None, 0] - true[None, :, 0], axis=-1)
        best = (0, 0.0)
        few, many = sorted(count.tolist())
        for chosen in itertools.permutations(range(many), few):
            pairs = [(i, j) if count[0] == few else (j, i) for i, j in enumerate(chosen)]
            costs = [distance[pair] for pair in pairs if distance[pair] <= 1.0]
            best = min(best, (-len(costs), sum(costs)))
        assert len(got.true) == -best[0], trial
        assert distance[got.predicted, got.true].sum() == pytest.approx(best[1])
        assert sorted([*got.true, *got.missed]) == list(range(count[1]))
        assert sorted([*got.predicted, *got.extra]) == list(range(count[0]))


def test_without_a_root_the_joints_both_have_decide() -> None:
    a = bodies(1)[0]
    b = a + [0, 3.0, 0]
    b[0] = np.nan
    c = np.full_like(a, np.nan)
    distance = root_distances(np.stack([a, b, c])[:, None], np.stack([a, b])[None], 0)
    np.testing.assert_allclose(distance, [[0, 3], [3, 0], [np.nan, np.nan]], atol=1e-12)
    evaluation = evaluate(rows(np.stack([c, b]), frame_index=[0, 0]), rows(np.stack([b, a]), frame_index=[0, 0]))
    assert (evaluation.matched, evaluation.missed, evaluation.extra) == (1, 1, 1)


def test_root_relative_poses_are_matched_by_frame() -> None:
    true = bodies(3)
    relative = rows(true - true[:, :1] + [0, 0, 99.0], frame_index=[3, 5, 8])
    numbered = rows(true, frame_index=[3, 5, 8])
    nobody = evaluate(relative, numbered)
    assert nobody.matched == 0
    assert any("Nobody was matched by distance" in note for note in nobody.notes)
    assert all(row.figures["mpjpe"] != row.figures["mpjpe"] for row in nobody.rows)
    everybody = evaluate(relative, numbered, match="frame")
    assert everybody.matched == 3
    assert everybody.total.figures["mpjpe"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("prediction", [{}, {0: [], 1: []}])
def test_no_prediction_is_a_result(prediction: dict[int, list[Any]]) -> None:
    evaluation = evaluate(poses(prediction), poses({0: [(None, bodies(1)[0])]}))
    assert (evaluation.matched, evaluation.missed, evaluation.extra) == (0, 1, 0)
    assert evaluation.to_dict()["rows"][-1]["mpjpe_m"] is None
    assert (evaluation.total.figures["pck_all"], evaluation.total.samples["pck_all"]) == (0, 1)
    assert "–" in evaluation.table()


# ---- files and values -----------------------------------------------------------------------------------------------


@pytest.fixture
def pair() -> tuple[Poses, Poses]:
    true = bodies(6).round(3)
    predicted = (true + np.random.default_rng(8).normal(scale=0.05, size=true.shape)).round(3)
    people = [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (3, 0)]
    frames: list[dict[int, list[Any]]] = [{}, {}]
    for (frame, who), p, t in zip(people, predicted, true, strict=True):
        frames[0].setdefault(frame, []).append((who, p))
        frames[1].setdefault(frame, []).append((who, t))
    return poses(frames[0], PLACED, fps=30.0), poses(frames[1], PLACED, fps=30.0)


def as_plain(poses: Poses, path: Path) -> Path:
    stacked = poses.stacked()
    return saved(path, fps=poses.fps, **stacked._asdict())


def as_world(poses: Poses) -> WorldPoses:
    """The same people in the world."""
    frames = [frame.index for frame in poses.frames]
    joints = np.full((len(frames), 2, J, 3), np.nan)
    for row, frame in enumerate(poses.frames):
        for person in frame.people:
            assert person.id is not None
            there = poses.camera_of(frame).camera_to_world(torch.from_numpy(person.joints_cam_m.copy()))
            joints[row, person.id] = there.numpy()
    return WorldPoses(
        skeleton=H36M,
        joints_world_m=joints,
        frame_index=np.array(frames),
        person_id=np.arange(2),
        reprojection_px=np.zeros((len(frames), 2, 1, J)),
        views=np.isfinite(joints).all(-1).astype(int),
        swapped=np.zeros((len(frames), 2, 1), dtype=bool),
        fps=poses.fps,
    )


def test_every_way_in_gives_the_same_figures(pair: tuple[Poses, Poses], tmp_path: Path) -> None:
    prediction, truth = pair
    expected = evaluate(prediction, truth)
    assert expected.matched == 6
    assert expected.total.samples["acceleration"] == 2
    for name in ("p.json", "p.npz"):
        write_poses(prediction, tmp_path / name)
        write_poses(truth, tmp_path / f"t{name}")
    write_world(as_world(truth), tmp_path / "world.npz")
    plain = [as_plain(side, tmp_path / f"{name}.npz") for name, side in (("plain", prediction), ("plain_t", truth))]
    ways: list[tuple[Any, Any]] = [
        (tmp_path / "p.json", tmp_path / "tp.json"),
        (str(tmp_path / "p.npz"), str(tmp_path / "tp.npz")),
        (plain[0], plain[1]),
        (prediction, plain[1]),
        (plain[0], truth),
        (prediction, as_world(truth)),
        (tmp_path / "p.json", tmp_path / "world.npz"),
        (read_pose_rows(plain[0]), read_pose_rows(plain[1])),
    ]
    for way in ways:
        got = evaluate(*way)
        assert figures(got) == pytest.approx(figures(expected), rel=1e-9), way
        assert [row.label for row in got.rows] == ["0", "1", "total"]


def test_world_poses_come_through_the_camera_given(pair: tuple[Poses, Poses], tmp_path: Path) -> None:
    prediction, truth = pair
    plain, world = as_plain(prediction, tmp_path / "p.npz"), as_world(truth)
    assert figures(evaluate(plain, world, camera=PLACED)) == pytest.approx(figures(evaluate(prediction, truth)))
    with pytest.raises(InputError, match=r"p\.npz: has no camera to bring world poses into its frame"):
        evaluate(plain, world)
    with pytest.raises(InputError, match="prediction: its camera has no camera_from_world"):
        evaluate(replace(prediction, camera=CAMERA), world)
    with pytest.raises(InputError, match="camera: expected a single one with camera_from_world"):
        evaluate(prediction, world, camera=CAMERA)


def test_world_poses_come_through_a_moving_camera(pair: tuple[Poses, Poses]) -> None:
    truth = pair[1]
    turned = Camera.create((1000, 800), 1100.0, rotation=np.eye(3), translation_m=[0.0, 0.0, 1.0])
    moving = replace(
        truth, frames=tuple(replace(f, camera=turned if f.index % 2 else None) for f in truth.frames if f.index < 3)
    )
    evaluation = evaluate(moving, as_world(replace(truth, frames=(*moving.frames, truth.frames[3]))))
    assert evaluation.total.figures["abs_mpjpe"] == pytest.approx(0, abs=1e-12)
    assert (evaluation.matched, evaluation.missed) == (5, 1), "the frame whose camera nobody knows is counted"


def test_rows_of_plain_arrays_are_compared_one_by_one(tmp_path: Path) -> None:
    true = bodies(4).astype(np.float32)
    prediction = saved(tmp_path / "p.npz", joints_cam_m=true + np.float32(0.03), skeleton="h36m17")
    truth = saved(tmp_path / "t.npz", joints_cam_m=true, action=np.array(["Sitting", "Sitting", "Eating", "Eating"]))
    evaluation = evaluate(prediction, truth)
    assert evaluation.matched_by == "row"
    assert [row.label for row in evaluation.rows] == ["Eating", "Sitting", "total"]
    assert evaluation.total.figures["mrpe_y"] == pytest.approx(0.03, rel=1e-5)


# ---- skeletons ------------------------------------------------------------------------------------------------------


def test_other_skeletons_are_converted_and_say_what_was_approximated() -> None:
    seen = bodies(3, seed=4)
    prediction = PoseRows(skeleton=COCO, joints_cam_m=seen)
    rule = conversion(COCO, H36M)
    truth = rows(rule.apply(seen)[0])
    evaluation = evaluate(prediction, truth)
    assert evaluation.total.figures["mpjpe"] == pytest.approx(0, abs=1e-12)
    assert dict(evaluation.approximated["prediction"]) == dict(rule.approximated)
    assert "Hip" in evaluation.approximated["prediction"]
    assert not evaluation.approximated["truth"]
    assert "Approximated in the prediction: Hip as " in evaluation.table()
    limbs = evaluate(prediction, truth, protocol="limbs12")
    assert set(limbs.approximated["prediction"]) == {"Hip"}, "the root alone, which the poses are aligned at"


def test_only_joints_both_sides_can_have_are_scored() -> None:
    """A joint set without a head top, and none to derive it from, says nothing about it."""
    protocol = "mpi_inf_3dhp"
    from_smpl = conversion("smpl24", "mpi_inf_3dhp17")
    prediction = PoseRows(skeleton=get_skeleton("smpl24"), joints_cam_m=bodies(3, joints=24))
    truth = PoseRows(skeleton=get_skeleton("mpi_inf_3dhp17"), joints_cam_m=bodies(3, seed=6))
    evaluation = evaluate(prediction, truth, protocol=protocol)
    assert set(evaluation.missing_joints) == set(from_smpl.missing) & set(evaluation.protocol.joints)
    assert evaluation.joints_not_predicted == 0
    coco = evaluate(
        PoseRows(skeleton=get_skeleton("lsp14"), joints_cam_m=bodies(3, joints=14)), truth, protocol=protocol
    )
    assert coco.total.samples["mpjpe"] == 3


# ---- what people and programs read ----------------------------------------------------------------------------------


def test_json_is_strict_and_in_metres() -> None:
    true = bodies(3)
    evaluation = evaluate(rows(true + [0.05, 0, 0]), rows(true, person_id=[0, 1, -1]))
    read = json.loads(evaluation.to_json(), parse_constant=lambda text: pytest.fail(f"not JSON: {text}"))
    assert read == evaluation.to_dict()
    assert [(row["group"], row["label"]) for row in read["rows"]] == [
        ("person", "without id"),
        ("person", "0"),
        ("person", "1"),
        ("total", "total"),
    ]
    total = read["rows"][-1]
    assert total["mrpe_m"] == pytest.approx(0.05)
    assert total["acceleration_m_s2"] is None
    assert set(total["samples"]) == {figure.key for figure in FIGURES.values()} <= set(total)
    assert read["protocol"]["root"] == "excluded"
    assert len(read["protocol"]["root_aligned_joints"]) == 16
    assert read["people"] == {"matched_by": "row", "matched": 3, "missed": 0, "extra": 0, "unannotated": 0}


def test_table_is_in_millimetres_and_says_what_it_compared() -> None:
    true = bodies(3)
    text = evaluate(rows(true + [0.05, 0, 0]), rows(true, action=("a", "a", "b")), protocol="limbs12").table()
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["people", "MPJPE", "PA-MPJPE"]
    assert "PCK 150" in lines[0]
    assert [line.split()[:2] for line in lines[2:4]] == [["action", "a"], ["action", "b"]]
    assert lines[4].split() == [
        "total",
        "3",
        "0.0",
        "0.0",
        "0.0",
        "50.0",
        "50.0",
        "0.0",
        "0.0",
        "50.0",
        "100.0",
        "96.8",
        "0.0",
        "–",
    ]
    assert "limbs12" in text
    assert "12 joints after alignment at Hip (root excluded), 12 otherwise" in text
    assert "People matched by row: 3; true people without a prediction: 0" in text


# ---- what is refused ------------------------------------------------------------------------------------------------

TRUE = bodies(2)


@pytest.fixture
def as_in_production() -> Iterator[None]:
    """Without the tests' type checker, which would refuse many a bad call before the function does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"joints": TRUE}, r"expected the prediction as Sightline's poses, .* got the arrays joints"),
        ({"joints_cam_m": TRUE, "frames": [0, 1]}, 'unknown key "frames"'),
        ({"joints_cam_m": TRUE[0]}, r"joints_cam_m: expected floats on 3 axes, got float64 of shape \(17, 3\)"),
        ({"joints_cam_m": TRUE, "frame_index": [0.0, 1.0]}, "frame_index: expected integers on 1 axes"),
        ({"joints_cam_m": TRUE, "frame_index": [0, 1, 2]}, "frame_index: expected one for each of 2 rows, got 3"),
        ({"joints_cam_m": TRUE, "frame_index": [4, 4], "person_id": [1, 1]}, "frame 4 has 1 twice"),
        ({"joints_cam_m": TRUE[:, :13]}, "expected the array skeleton"),
        ({"joints_cam_m": TRUE[:, :13], "skeleton": "lcr31"}, "unknown skeleton 'lcr31'"),
        ({"joints_cam_m": TRUE[:, :13], "skeleton": "h36m17"}, r"joints_cam_m: expected \(n, 17, 3\)"),
        ({"joints_cam_m": TRUE[..., :2]}, r"joints_cam_m: expected \(n, 17, 3\), got \(2, 17, 2\)"),
        ({"joints_cam_m": TRUE * 1000}, "expected metres, but bodies reach .* divide millimetres by 1000"),
        ({"joints_cam_m": TRUE, "fps": -5.0}, "fps: expected a positive number"),
        ({"joints_cam_m": TRUE[:1]}, "expected as many predicted rows as true ones"),
        ({"joints_cam_m": TRUE, "frame_index": [0, 1]}, "expected frame_index on both sides"),
    ],
)
def test_odd_plain_files_are_refused(
    arrays: dict[str, Any], sentence: str, tmp_path: Path, as_in_production: None
) -> None:
    path = saved(tmp_path / "p.npz", **arrays)
    with pytest.raises(InputError, match=sentence):
        evaluate(path, rows(TRUE))


def broken(path: Path) -> Path:
    path.write_bytes(b"PK\x03\x04 not an archive")
    return path


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda p: evaluate(p / "none.npz", rows(TRUE)), InputError, "none.npz: cannot be read"),
        (lambda p: evaluate(broken(p / "x.npz"), rows(TRUE)), InputError, "x.npz: not a readable .npz"),
        (lambda p: evaluate(p / "none.csv", rows(TRUE)), UsageError, "ends in .json or .npz"),
        (lambda p: evaluate(rows(TRUE), rows(TRUE), protocol="p1"), UsageError, "unknown protocol 'p1'; known are"),
        (lambda p: evaluate(rows(TRUE), rows(TRUE), fps=0.0), UsageError, "fps: expected a positive number"),
        (lambda p: evaluate(rows(TRUE), rows(TRUE), max_root_distance_m=0.0), UsageError, "max_root_distance_m"),
        (lambda p: evaluate(rows(TRUE), rows(TRUE), match="id"), UsageError, "expected frame_index on both sides"),
        (
            lambda p: evaluate(rows(TRUE, frame_index=[1, 1]), rows(TRUE, frame_index=[1, 2]), match="frame"),
            UsageError,
            "expected one person on either side, got 2 predicted and 1 true ones in frame 1",
        ),
        (
            lambda p: evaluate(rows(TRUE, frame_index=[1, 2]), rows(TRUE, frame_index=[1, 2]), match="id"),
            UsageError,
            "expected a person id in every row",
        ),
        (lambda p: evaluate(rows(TRUE, fps=25.0), rows(TRUE, fps=50.0)), InputError, "has 25 frames .* the truth 50"),
    ],
)
def test_odd_calls_are_refused(
    call: Callable[[Path], Any], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        call(tmp_path)


def test_a_world_is_no_prediction(pair: tuple[Poses, Poses], tmp_path: Path) -> None:
    write_world(as_world(pair[0]), tmp_path / "w.npz")
    with pytest.raises(InputError, match=r"w\.npz: expected poses in a camera's frame, got world poses"):
        evaluate(tmp_path / "w.npz", pair[1])
