"""Whole pictures with labels: scenes say what the labels say, and what motion capture completes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sightline.cli.app import main
from sightline.data.procedural import procedural_poses
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.lcrnet.anchors import fit_anchors
from sightline.methods.lcrnet.boxes import pose_boxes
from sightline.methods.lcrnet.targets import sampled, true_boxes
from sightline.methods.lcrnet.weights import load_lcrnet
from sightline.recipes import catalogue, lcrnet
from sightline.skeleton import get_skeleton
from sightline.training.pictures import SetPeople
from sightline.training.real_people import KeypointsPeople, PosesPeople, RealPeople
from sightline.training.real_scenes import HEAD_M, LibraryViews, RealScenes
from sightline.training.scenes import HEAD, SetScenes, as_people

LCR13 = get_skeleton("lcr13")


POSES = procedural_poses(200, torch.Generator().manual_seed(1))


def views(**options: Any) -> LibraryViews:
    return LibraryViews(joints_world=POSES, skeleton=LCR13, count=2000, **options)


def test_poses_are_told_as_a_rendered_set_tells_them(made: Path, posed: PosesPeople) -> None:
    real, rendered = RealScenes(posed, LCR13), SetScenes(made / "set", LCR13)
    assert len(real) == len(rendered)
    for index in range(len(real)):
        one, other = real[index], rendered[index]
        assert_allclose(one.image, other.image)
        assert_allclose(one.points_px, other.points_px, atol=1e-3)
        assert_allclose(one.joints_m, other.joints_m, atol=1e-5)
        assert one.sure.all()
        assert one.camera is not None
        assert one.middles_cam is not None
        assert other.middles_cam is not None
        assert_allclose(one.middles_cam, other.middles_cam, atol=1e-5)
        there = torch.from_numpy(one.joints_m + one.middles_cam[:, None]).double()
        assert_allclose(one.camera.project(there)[0], one.points_px, atol=1e-2)
        depth = np.linalg.norm(rendered.pictures[index].people[0].landmarks_cam.mean(0))
        assert_allclose(one.head_px, 110.0 * HEAD_M / depth, rtol=0.3)
    assert_allclose(real.poses(), rendered.poses(), atol=1e-5)


def test_2d_labels_teach_nothing_without_motion_capture(flat: KeypointsPeople) -> None:
    with pytest.raises(InputError, match="there is no motion capture whose views would complete them"):
        RealScenes(flat, LCR13)


def test_2d_labels_keep_their_joints_and_get_the_others(made: Path, tmp_path: Path) -> None:
    """COCO's people lack one joint each; where it is annotated, a joint stays where it was."""
    people = KeypointsPeople(made / "real" / "coco.json", made / "real" / "mixed")
    told: list[tuple[int, int]] = []
    far = views(refined=False, farthest=2.0)
    scenes = RealScenes(people, LCR13, far, cache=tmp_path, progress=lambda *count: told.append(count))
    assert scenes.sure.all()
    assert scenes.completed == len(people)
    assert told == [(len(people), len(people))]
    again = RealScenes(
        people, LCR13, views(refined=False, farthest=2.0), cache=tmp_path, progress=lambda *_: told.append((0, 0))
    )
    assert len(told) == 1, "what was completed is kept"
    assert again.digest == scenes.digest
    assert_allclose(again.poses(), scenes.poses())
    other = RealScenes(people, LCR13, views(farthest=2.0))
    assert other.digest != scenes.digest
    assert not np.allclose(other.poses(), scenes.poses(), atol=1e-3), "refined matches are turned"
    rendered = SetScenes(made / "set", LCR13)
    annotated = [name != "Head" for name in LCR13.joints]
    for index in range(len(scenes)):
        one = scenes[index]
        near = np.abs(one.points_px - rendered[index].points_px).max(-1)[0]
        assert (near < 0.01)[annotated].sum() >= 11
        assert np.isfinite(one.joints_m).all()
        assert_allclose(one.joints_m[:, [4, 5, 10, 11]].mean(1), 0.0, atol=1e-5)
        assert one.middles_cam is not None
        assert np.isnan(one.middles_cam).all(), "nobody knows how far they are away"
    assert len(scenes.poses()) == 2 * len(scenes)
    with pytest.raises(InputError, match="no view of motion capture is near enough to anybody"):
        RealScenes(people, LCR13, views(farthest=1e-3))


def test_who_has_only_a_box_is_neither_learnt_nor_background(posed: PosesPeople) -> None:
    """Proposals on the whole of them and on their upper half are not sampled."""
    box = np.array([[10.0, 20.0, 50.0, 90.0]])
    labels = replace(posed.labels, others_px=box, others_picture=np.array([2]), left_out=1)
    scenes = RealScenes(RealPeople(labels), LCR13)
    plain, with_box = scenes[1], scenes[2]
    assert plain.sure.tolist() == [True]
    assert with_box.sure.tolist() == [True, False]
    assert np.isnan(with_box.joints_m[1]).all()
    assert with_box.middles_cam is not None
    assert np.isfinite(with_box.middles_cam).all(1).tolist() == [True, False]
    assert_allclose(pose_boxes(with_box.points_px[1:], 0.1), box, atol=1e-4)
    people = as_people(with_box.points_px[1:], with_box.joints_m[1:], with_box.sure[1:], (96, 96), LCR13)
    anchors = fit_anchors(scenes.poses(), 2, LCR13)
    true = true_boxes(people, (96, 96), anchors, with_upper=True)
    found = torch.tensor([[10.0, 20, 50, 90], [10.0, 20, 50, 62], [60.0, 0, 90, 60]])
    known = torch.zeros(len(true.boxes), dtype=torch.bool)
    rows, _ = sampled(found, true, known, count=8, share=0.5)
    assert rows.tolist() == [2]


def test_left_out_people_keep_their_boxes(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / "real" / "coco.json").read_text())
    seen, *_ = content["annotations"]
    none = [0.0] * len(seen["keypoints"])
    others = [
        {**seen, "id": 97, "bbox": [30, 30, 40, 50], "keypoints": [40.0, 40.0, 2.0, *none[3:]]},
        {**seen, "id": 98, "bbox": [1, 2, 3, 4], "keypoints": none},
        {**seen, "id": 99, "bbox": [5, 6, 7, 8], "iscrowd": 1},
        {**seen, "id": 100, "keypoints": none},
    ]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({**content, "annotations": [*content["annotations"], *others]}))
    labels = KeypointsPeople(path, made / "real" / "mixed").labels
    assert labels.left_out == 1
    assert labels.others_picture.tolist() == [0, 0, 0]
    assert_allclose(labels.others_px[:2], [[1, 2, 4, 6], [5, 6, 12, 14]])


def test_a_missing_joint_alone_is_filled(posed: PosesPeople) -> None:
    """3D labels stay; without motion capture they teach nothing."""
    points = posed.labels.points.copy()
    ankle = posed.labels.rows.index(ALL_LANDMARKS.index("LAnkle"))
    points[0, ankle] = np.nan
    people = RealPeople(replace(posed.labels, points=points))
    assert RealScenes(people, LCR13).sure.tolist() == [False] + [True] * (len(people) - 1)
    filled, whole = RealScenes(people, LCR13, views(farthest=2.0)), RealScenes(posed, LCR13)
    assert filled.completed == 1
    assert filled.sure.all()
    others = [row for row, name in enumerate(LCR13.joints) if name != "LAnkle"]
    assert_allclose(filled[0].joints_m[:, others], whole[0].joints_m[:, others])
    assert not np.allclose(filled[0].joints_m, whole[0].joints_m)


def test_joints_follow_from_the_labels_set(made: Path) -> None:
    """COCO's heads lie between the ears."""
    people = KeypointsPeople(made / "real" / "coco.json", made / "real" / "mixed")
    scenes, head = RealScenes(people, LCR13, views(farthest=2.0)), LCR13.index("Head")
    rendered = SetPeople(made / "set", body=False)
    ears = [ALL_LANDMARKS.index(name) for name in ("LEar", "REar")]
    whole = rendered.pictures[5].people[0]
    assert_allclose(scenes[5].points_px[0, head], np.asarray(whole.landmarks_px)[ears].mean(0), atol=0.01)


def test_pictures_hold_all_their_people(posed: PosesPeople) -> None:
    """Two people in the second picture, nobody in the first."""
    labels = posed.labels
    picture = np.where(labels.picture == 0, 1, labels.picture)
    scenes = RealScenes(RealPeople(replace(labels, picture=picture)), LCR13)
    assert len(scenes) == len(np.unique(picture)) == len(labels.picture) - 1
    assert len(scenes[0].sure) == 2
    assert_allclose(scenes[0].image, labels.files.read(1, None, ""))
    assert_allclose(scenes[1].image, labels.files.read(2, None, ""))


def test_heads_are_as_large_as_labels_say(posed: PosesPeople) -> None:
    labels = posed.labels
    points = np.concatenate((labels.points, labels.points[:, :2] * 0 + [0.0, 0.0, 5.0]), axis=1).astype(np.float32)
    points[:, -1, 1] = 0.4
    scenes = RealScenes(RealPeople(replace(labels, points=points, rows=(*labels.rows, *HEAD))), LCR13)
    for index in range(len(scenes)):
        camera = labels.cameras[index]
        assert camera is not None
        assert_allclose(scenes[index].head_px, 0.4 * float(camera.focal_px.mean()) / np.hypot(5.0, 0.2), rtol=1e-4)


# ------------------------------------------------------------------------------------------------------------ command


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside which the files lie, and a recipe that learns briefly."""
    smoke = lcrnet.lcrnet_smoke()
    small = replace(smoke, name="lcrnet-synth", steps=2, validate_every=2, anchors=2, size_px=(64, 96))
    monkeypatch.setitem(catalogue.RECIPES, "lcrnet-synth", lambda: small)
    monkeypatch.setattr("sightline.training.real_scenes.VIEWS", 500)
    for name in ("set", "others", "real", "tests"):
        (tmp_path / name).symlink_to(made / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sightline(line: str) -> int:
    return main(line.split())


REAL = "--real real/poses.json --real-pictures real/photos"
TESTS = "--held-out tests/poses.json --held-out-pictures tests/photos"


def standing(coco: Path, other: Path) -> None:
    """Write annotations like others, of people in poses that people take, whose faces are not annotated."""
    content = json.loads(coco.read_text())
    names = content["categories"][0]["keypoints"]
    joints = get_skeleton("h36m17").joints
    told = {f"{'left' if name[0] == 'L' else 'right'}_{name[1:].lower()}": row for row, name in enumerate(joints)}
    poses = procedural_poses(len(content["annotations"]), torch.Generator().manual_seed(2)).numpy()
    for one, pose in zip(content["annotations"], poses, strict=True):
        place = {
            name: [48 + 30 * pose[told[name], 0], 80 - 30 * pose[told[name], 2], 2] for name in names if name in told
        }
        one["keypoints"] = [float(value) for name in names for value in place.get(name, (0, 0, 0))]
    other.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (f"{REAL} {TESTS}", ["real people in pictures of poses.json"]),
        (f"{REAL} --pictures set set --shares 2 1 1 --held-out others", ["50% real people", "25% rendered people"]),
        (f"--real real/film.json --real-pictures real/film.mp4 {TESTS}", ["real people in pictures of film.json"]),
        ("--pictures set --held-out others", ["rendered people"]),
        (f"--pictures set {TESTS}", ["rendered people"]),
    ],
)
def test_runs_on_whole_pictures_end_in_weights(
    desk: Path, capsys: pytest.CaptureFixture[str], options: str, words: list[str]
) -> None:
    assert sightline(f"train lcrnet-synth {options} -o run --json") == 0
    scores, by_joint = json.loads(capsys.readouterr().out)["expected"].values()
    assert scores["found_percent"] >= 0
    assert "RAnkle_percent" in by_joint
    network, passport = load_lcrnet(Path("run") / "lcrnet-synth.json")
    assert network.count == 2
    assert all(word in passport.trained_on for word in words)


def test_anchors_and_weights_to_start_from_are_taken(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline("train lcrnet-synth --pictures set --held-out others -o first") == 0
    told = capsys.readouterr().out
    assert "ap " in told
    assert " %" in told
    assert sightline("fit anchors -o anchors.json --anchors 3 --poses 200") == 0
    assert sightline("train lcrnet-synth --pictures set --held-out others --anchors anchors.json -o second") == 0
    assert load_lcrnet("second/lcrnet-synth.json")[0].count == 3
    start = "--start-from first/lcrnet-synth.json"
    assert sightline(f"train lcrnet-synth --pictures set --held-out others {start} -o third") == 0
    one, other = (load_lcrnet(f"{name}/lcrnet-synth.json")[0].anchors.joints_m for name in ("first", "third"))
    assert_allclose(one, other, atol=1e-3)


def test_2d_labels_learn_beside_motion_capture(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightline.training.data import read_splits

    monkeypatch.setattr("sightline.training.data.read_splits", lambda path: read_splits(None))
    standing(desk / "real" / "coco.json", desk / "coco.json")
    call = "train lcrnet-synth --real coco.json --real-pictures real/mixed --library MOCAP --pictures set "
    assert sightline(f"{call}--held-out others -o run") == 0
    assert capsys.readouterr().err == ""
    passport = load_lcrnet(Path("run") / "lcrnet-synth.json")[1]
    assert "completed by procedural poses" in passport.trained_on


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train lcrnet-synth", "--pictures: this recipe needs rendered sets"),
        ("train lcrnet-synth --pictures set", "--held-out: this recipe needs rendered sets"),
        ("train lcrnet-synth --pictures others set --held-out set", "holds the same pictures as"),
        ("train lcrnet-synth --pictures set --held-out others --shares 1 2", "--shares: expected a positive number"),
        ("train lcrnet-synth --pictures set --held-out others --library x.npz", "expected --real beside it"),
        ("train lcrnet-synth --pictures set --held-out others --real-camera none", "expected --real or a poses file"),
        (f"train lcrnet-synth {REAL} --real-camera camera.json {TESTS}", "asks no camera"),
        ("train lcrnet-synth --pictures set --held-out others --shares inf", "--shares: expected a positive number"),
        ("train lcrnet-smoke --shares 1", "--shares: expected a positive number"),
        ("train lcrnet-synth --pictures set --held-out others --compile", "are not compiled"),
        ("train perspose-smoke --anchors anchors.json", "has no anchor poses"),
        (f"train lcrnet-synth {REAL} --held-out real/poses.json --held-out-pictures real/photos", "are also in"),
        (f"train lcrnet-synth {REAL} --held-out tests/keypoints.json --held-out-pictures tests/photos", "no depth"),
        ("train lcrnet-synth --real real/coco.json --real-pictures real/mixed --held-out others", "no motion capture"),
        ("train lcrnet-synth --pictures set --held-out others --start-from abspose-street", "method 'lcrnet'"),
        ("train lcrnet-synth --pictures set --held-out others --anchors nowhere.json", "nowhere.json"),
    ],
)
def test_complaints(desk: Path, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert sightline(line) in (1, 2)
    told = capsys.readouterr().err
    assert message in told
    assert not list(desk.glob("runs/*/*.safetensors"))


def test_sets_of_people_are_mixed_too(made: Path) -> None:
    from sightline.training.pictures import mixed_people

    one, other = (SetPeople(made / name, body=False) for name in ("set", "others"))
    assert mixed_people([one]) is one
    mixed = mixed_people([one, other], (1.0, 3.0))
    assert "1 × " in mixed.digest
    assert "3 × " in mixed.digest
