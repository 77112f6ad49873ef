"""People in real pictures: what labels become, and laws between those in 3D and in 2D."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from real_sets import COUNT, SIDE, changed, overlap, write_real_set
from sightline.errors import InputError
from sightline.formats.poses import read_poses, write_poses
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.lifter import Lifter
from sightline.methods.perspose.model import SIGHTLINE_LANDMARKS
from sightline.methods.perspose.samples import sample
from sightline.skeleton import get_skeleton
from sightline.structures import ExtraJoints, ModelInfo
from sightline.training.pictures import SetPeople
from sightline.training.real_people import KeypointsPeople, PosesPeople
from tiny_perspose import NETWORK

H36M = list(rows_of(get_skeleton("h36m17")))


# -------------------------------------------------------------------------------------------------------- what is told


def test_joints_cameras_and_pictures_are_those_of_the_rendered_set(rendered: SetPeople, posed: PosesPeople) -> None:
    assert len(posed) == len(rendered) == COUNT
    others = [row for row in range(len(ALL_LANDMARKS)) if row not in H36M]
    for row in range(COUNT):
        (image, one), (true_image, true) = posed[row], rendered[row]
        assert one.landmarks_cam is not None
        assert true.landmarks_cam is not None
        assert one.camera is not None
        assert true.camera is not None
        assert_allclose(one.landmarks_cam[H36M], true.landmarks_cam[H36M], atol=2e-6)
        assert np.isnan(one.landmarks_cam[others]).all()
        assert_allclose(one.camera.intrinsics.numpy(), true.camera.intrinsics.numpy())
        assert np.array_equal(image, true_image)
        assert overlap(one.box_px, true.box_px) > 0.5
        assert one.twists_cam is None
        assert one.shape is None
        assert not one.coarse
    assert posed.known == tuple(ALL_LANDMARKS[row] for row in sorted(H36M))
    assert posed.complete(posed.known) == tuple(range(COUNT))
    assert posed.complete(("Hip", "Nose")) == ()


@pytest.mark.parametrize("joints", ["smpl24", "coco17"])
def test_joint_sets_without_a_hip_have_the_middle_of_both(tmp_path: Path, rendered: SetPeople, joints: str) -> None:
    write_real_set(tmp_path, rendered, joints)
    for people in (
        PosesPeople(tmp_path / "poses.json", tmp_path / "photos"),
        KeypointsPeople(tmp_path / "keypoints.json", tmp_path / "photos"),
    ):
        person = people[2][1]
        points = person.landmarks_px if person.landmarks_cam is None else person.landmarks_cam
        assert points is not None
        hip, left, right = (points[ALL_LANDMARKS.index(name)] for name in ("Hip", "LHip", "RHip"))
        assert_allclose(hip, (left + right) / 2, rtol=1e-5)
        assert np.isnan(points[ALL_LANDMARKS.index("Spine")]).all()


def test_extra_joints_are_learnt_and_given_boxes_are_taken(made: Path, tmp_path: Path) -> None:
    feet = get_skeleton("openpose25")
    joints = np.full((len(feet), 3), np.nan)
    joints[feet.index("LHeel")] = 0.1, 0.9, 4.0
    joints[feet.index("LKnee")] = 9.0, 9.0, 9.0
    box = np.array([10.0, 5.0, 80.0, 90.0])
    path = changed(made, tmp_path, extra=ExtraJoints(skeleton=feet, joints_cam_m=joints), box_px=box)
    person = PosesPeople(path, made / "real" / "photos")[0][1]
    plain = PosesPeople(made / "real" / "poses.json", made / "real" / "photos")[0][1]
    assert person.landmarks_cam is not None
    assert plain.landmarks_cam is not None
    assert_allclose(person.landmarks_cam[ALL_LANDMARKS.index("LHeel")], (0.1, 0.9, 4.0), rtol=1e-6)
    assert_allclose(person.landmarks_cam[H36M], plain.landmarks_cam[H36M])
    assert_allclose(person.box_px, box)


@pytest.mark.parametrize("box", [(10.0, 5.0, 10.0, 90.0), (10.0, 5.0, 80.0, 5.0)])
def test_boxes_without_area_are_not_given(
    made: Path, tmp_path: Path, box: tuple[float, ...], posed: PosesPeople
) -> None:
    people = PosesPeople(changed(made, tmp_path, box_px=np.array(box)), made / "real" / "photos")
    assert_allclose(people[0][1].box_px, posed[0][1].box_px)


def test_who_has_a_box_beyond_all_measure_is_left_out(made: Path, tmp_path: Path) -> None:
    """An ankle beside the camera, at (5000, 90000) px say, or a box that is given so."""
    joints = np.array(read_poses(made / "real" / "poses.json").frames[0].people[0].joints_cam_m)
    joints[get_skeleton("h36m17").index("RAnkle")] = 0.5, 9.0, 0.011
    for changes in ({"joints_cam_m": joints}, {"box_px": np.array([0.0, 0.0, 600.0, 90.0])}):
        people = PosesPeople(changed(made, tmp_path, **changes), made / "real" / "photos")
        assert (len(people), people.left_out) == (COUNT - 1, 1)
        assert all((people[row][1].box_px[2:] - people[row][1].box_px[:2]).max() < 4 * SIDE for row in range(COUNT - 1))
    wide = changed(made, tmp_path, box_px=np.array([0.0, 0.0, 500.0, 90.0]))  # less than 4 diagonals
    assert PosesPeople(wide, made / "real" / "photos").left_out == 0


@pytest.mark.parametrize(("limbs", "left_out"), [(5, 1), (6, 0)])
def test_only_arms_and_legs_count(made: Path, tmp_path: Path, limbs: int, left_out: int) -> None:
    """Not the face, nor the middles that follow from hips and shoulders."""
    content = json.loads((made / "real" / "coco.json").read_text())
    table = content["annotations"][0]["keypoints"]
    table[2::3] = [2.0] * (5 + limbs) + [0.0] * (12 - limbs)
    (tmp_path / "coco.json").write_text(json.dumps(content))
    people = KeypointsPeople(tmp_path / "coco.json", made / "real" / "mixed")
    assert people.left_out == left_out


def test_boxes_of_coco_are_taken_and_crowds_are_left_out(made: Path, tmp_path: Path) -> None:
    """Whoever stands between, and in whichever order."""
    content = json.loads((made / "real" / "coco.json").read_text())
    content["annotations"].reverse()  # the first is now person 5
    people = content["annotations"]
    nobody = {**people[0], "bbox": [1.0, 1.0, 1.0, 1.0], "keypoints": [0] * 51, "id": 90}
    people.insert(1, nobody)
    people[2]["bbox"] = [10, 20, 60.5, 40]  # person 4
    people[3]["bbox"] = [10, 20, -5, 40]
    people[4]["bbox"] = [0, 0, 0, 0]
    people[5]["iscrowd"], people[5]["bbox"] = 1, [0, 0, 50, 50]  # person 1
    (tmp_path / "coco.json").write_text(json.dumps(content))
    plain = KeypointsPeople(made / "real" / "coco.json", made / "real" / "mixed")
    found = KeypointsPeople(tmp_path / "coco.json", made / "real" / "mixed")
    by_width = {found[row][0].shape[1]: found[row][1] for row in range(len(found))}
    assert sorted(by_width) == [SIDE + 16 * person for person in (0, 2, 3, 4, 5)]
    assert_allclose(by_width[SIDE + 64].box_px, (10.0, 20.0, 70.5, 60.0))
    for person in (0, 2, 3, 5):
        assert_allclose(by_width[SIDE + 16 * person].box_px, plain[person][1].box_px)
    people[2]["bbox"] = [10, 20, 60]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"annotations\[2\].bbox: expected 4 numbers"):
        KeypointsPeople(tmp_path / "coco.json", made / "real" / "mixed")


def test_boxes_of_cocos_results_are_taken(made: Path, tmp_path: Path) -> None:
    people = json.loads((made / "real" / "coco.json").read_text())["annotations"]
    people[1]["bbox"] = [10, 20, 60.5, 40]
    (tmp_path / "results.json").write_text(json.dumps([{**one, "score": 0.9} for one in people]))
    found = KeypointsPeople(tmp_path / "results.json", made / "real" / "mixed" / "train")
    assert_allclose(found[1][1].box_px, (10.0, 20.0, 70.5, 60.0))
    plain = KeypointsPeople(made / "real" / "coco.json", made / "real" / "mixed")
    assert_allclose(found[2][1].box_px, plain[2][1].box_px)


def as_written(made: Path, path: Path, method: str, grow: float = 0.0, box: tuple[float, ...] | None = None) -> Path:
    """The poses with boxes as a method of Sightline writes them: the extents of keypoints, the uppermost ones aside."""
    poses = read_poses(made / "real" / "poses.json")
    frames = []
    for frame in poses.frames:
        (one,) = frame.people
        pixels = poses.camera_of(frame).project(torch.from_numpy(np.array(one.joints_cam_m)))[0].numpy()
        low, high = pixels.min(0), pixels.max(0)
        extent = np.concatenate([low - (0, grow * (high - low).max()), high])
        people = (replace(one, box_px=extent if box is None else np.array(box), keypoints_px=pixels, id=3),)
        frames.append(replace(frame, people=people, time_s=0.1 * frame.index))
    write_poses(replace(poses, frames=tuple(frames), model=ModelInfo(method=method, weights="w", version="1")), path)
    return path


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_boxes_that_lifters_write_are_grown_like_others(
    made: Path, tmp_path: Path, ending: str, posed: PosesPeople, tiny_lifters: Path
) -> None:
    """They hold the extents of what the detector saw, eyes and toes too, which the pose may lack."""
    method = Lifter(tiny_lifters / "metre.json").model.method
    for by, grow in ((method, 0.0), (method, 0.05), ("triangulation", 0.0)):
        people = PosesPeople(as_written(made, tmp_path / f"w.{ending}", by, grow), made / "real" / "photos")
        assert len(people) == COUNT
        for row in range(COUNT):
            assert np.array_equal(people[row][0], posed[row][0])
            assert_allclose(people[row][1].box_px, posed[row][1].box_px, atol=1e-2)
    outline = (10.0, 5.0, 80.0, 90.0)
    seen = PosesPeople(as_written(made, tmp_path / "p.json", "perspose", box=outline), made / "real" / "photos")
    assert all(np.array_equal(seen[row][1].box_px, outline) for row in range(COUNT))


def test_boxes_of_toes_grow_less_than_those_of_ankles(made: Path, tmp_path: Path, rendered: SetPeople) -> None:
    """The same people by other joints: the margin is a share of the joints' extent, by what they leave out."""
    for joints, margin in (("h36m17", 0.1), ("mpii16", 0.065), ("mediapipe33", 0.055), ("mpi_inf_3dhp28", 0.02)):
        write_real_set(tmp_path / joints, rendered, joints)
        people = KeypointsPeople(tmp_path / joints / "keypoints.json", tmp_path / joints / "photos")
        for row in range(COUNT):
            true = np.asarray(rendered.pictures[row].people[0].landmarks_px)[list(rows_of(get_skeleton(joints)))]
            low, high = true.min(0), true.max(0)
            if joints == "mediapipe33":  # hips and shoulders lie inside
                low, high = np.minimum(low, true[[11, 12, 23, 24]].min(0)), high
            grown = margin * (high - low).max()
            assert_allclose(people[row][1].box_px, np.concatenate([low - grown, high + grown]), atol=2e-3)


def test_statures_are_those_of_the_bones_or_those_given(made: Path, tmp_path: Path, flat: KeypointsPeople) -> None:
    """A pose whose bones are of a body of 1.7 m; of clouds of points they are nobody's."""
    from sightline.stature import SEGMENT_SHARE

    joints = np.zeros((17, 3)) + (0.0, 0.0, 4.0)
    body = SEGMENT_SHARE * 1.7
    places = {"Spine": 0.25, "Thorax": 0.5, "RHip": 0, "LHip": 0, "RKnee": -0.25, "LKnee": -0.25, "RAnkle": -0.5}
    skeleton = get_skeleton("h36m17")
    for name, up in (places | {"LAnkle": -0.5, "Head": 0.7}).items():
        joints[skeleton.index(name), 1] = -up * body
    path = changed(made, tmp_path, joints_cam_m=joints)
    assert_allclose(PosesPeople(path, made / "real" / "photos")[0][1].stature_m, 1.7, rtol=1e-5)
    assert flat[0][1].stature_m == 1.7


# -------------------------------------------------------------------------------------------------------------- laws


def test_projected_joints_lie_where_the_keypoints_do(posed: PosesPeople, flat: KeypointsPeople) -> None:
    for row in range(COUNT):
        solid, points = posed[row][1], flat[row][1].landmarks_px
        assert solid.camera is not None
        assert solid.landmarks_cam is not None
        assert points is not None
        pixels = solid.camera.project(torch.from_numpy(solid.landmarks_cam[H36M]))[0].numpy()
        assert_allclose(pixels, points[H36M], atol=2e-3)
        assert_allclose(solid.box_px, flat[row][1].box_px, atol=5e-3)


def test_the_truth_of_a_crop_is_the_same_from_3d_and_from_2d(made: Path, posed: PosesPeople) -> None:
    camera = posed[0][1].camera
    real = made / "real"
    flat = KeypointsPeople(real / "keypoints.json", real / "photos", camera=camera)
    solid_truth, flat_truth = (sample(*people[0], NETWORK).truth for people in (posed, flat))
    rows = [SIGHTLINE_LANDMARKS.index(ALL_LANDMARKS[row]) for row in H36M]
    assert_allclose(flat_truth.uv_px[0, rows].numpy(), solid_truth.uv_px[0, rows].numpy(), atol=0.02)
    assert solid_truth.depth_m[0, rows].isfinite().all()
    assert flat_truth.depth_m.isnan().all()
    assert flat_truth.coarse.all()
    assert not solid_truth.coarse.any()
    assert flat_truth.shape.numel() == 0
    assert solid_truth.scale_m_px.isfinite().all()


def test_people_are_values(made: Path, tmp_path: Path) -> None:
    """Frozen; placed coarsely are others; what tells them is computed once."""
    path = tmp_path / "poses.json"
    path.write_bytes((made / "real" / "poses.json").read_bytes())
    people = PosesPeople(path, made / "real" / "photos")
    digest, coarse = people.digest, people.coarsely()
    path.unlink()
    assert people.digest == digest
    assert coarse.digest == f"{digest}, placed coarsely"
    assert coarse[0][1].coarse
    assert not people[0][1].coarse
    for value, name in ((people, "labels"), (people.labels, "coarse")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
    again = pickle.loads(pickle.dumps(people))
    assert again.digest == digest
    assert_allclose(again[2][1].box_px, people[2][1].box_px)


def test_a_camera_makes_other_people(made: Path, posed: PosesPeople, flat: KeypointsPeople) -> None:
    real, one, two = made / "real", posed[0][1].camera, posed[2][1].camera
    seen = [KeypointsPeople(real / "keypoints.json", real / "photos", camera=camera) for camera in (one, one, two)]
    assert seen[0].digest == seen[1].digest
    assert len({people.digest for people in (*seen, flat)}) == 3
