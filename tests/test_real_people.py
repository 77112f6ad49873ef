"""People in real pictures: what labels become, which files they need, and runs that learn from them."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

from real_sets import COUNT, SIDE, set_people, write_coco, write_real_set
from sightline.camera import Camera
from sightline.cli import main
from sightline.errors import InputError, UsageError
from sightline.formats.camera import write_camera
from sightline.formats.poses import read_poses, write_poses
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.lifter import Lifter
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.model import SIGHTLINE_LANDMARKS, PersPoseConfig
from sightline.methods.perspose.samples import Samples, sample
from sightline.methods.perspose.weights import load_perspose
from sightline.recipes import catalogue, perspose
from sightline.skeleton import get_skeleton
from sightline.structures import ExtraJoints, ModelInfo
from sightline.training import picture_files
from sightline.training.config import PersPoseRunConfig
from sightline.training.perspose import PersPoseModule
from sightline.training.pictures import MixedPeople, PictureBatches, SetPeople
from sightline.training.real_people import KeypointsPeople, PosesPeople
from sightline.training.run import train_perspose

NETWORK = PersPoseConfig(
    backbone="mobilenetv4_conv_small_050", size_px=64, landmarks=SIGHTLINE_LANDMARKS, shape_numbers=0, channels=16,
    vector_size=32,
)  # fmt: skip
RUN = PersPoseRunConfig(
    name="perspose-test", model=NETWORK, steps=4, batch_size=4, warmup_steps=1, workers=0, precision="32-true",
    checkpoint_every=2, validate_every=0,
)  # fmt: skip
H36M = list(rows_of(get_skeleton("h36m17")))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set` and `others`, rendered, and `real` and `tests` with the same people as files; nobody writes into them."""
    folder = tmp_path_factory.mktemp("real")
    for seed, (rendered, real) in enumerate((("set", "real"), ("others", "tests"))):
        write_real_set(folder / real, set_people(folder / rendered, seed))
    write_coco(folder / "real", SetPeople(folder / "set", body=False))
    return folder


@pytest.fixture
def rendered(made: Path) -> SetPeople:
    return SetPeople(made / "set", body=False)


@pytest.fixture
def posed(made: Path) -> PosesPeople:
    return PosesPeople(made / "real" / "poses.json", made / "real" / "photos")


@pytest.fixture
def flat(made: Path) -> KeypointsPeople:
    return KeypointsPeople(made / "real" / "keypoints.json", made / "real" / "photos")


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    both = np.clip(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0, None).prod()
    return float(both / ((one[2:] - one[:2]).prod() + (two[2:] - two[:2]).prod() - both))


def changed(made: Path, folder: Path, **changes: object) -> Path:
    """Poses of which some fields of the first person are others."""
    poses = read_poses(made / "real" / "poses.json")
    first = poses.frames[0]
    person = replace(first.people[0], **changes)  # pyright: ignore[reportArgumentType]
    path = folder / "changed.json"
    write_poses(replace(poses, frames=(replace(first, people=(person,)), *poses.frames[1:])), path)
    return path


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


# ------------------------------------------------------------------------------------------------------ several people


def crowded(made: Path, path: Path, seen: tuple[int, ...], source: str = "poses.json") -> Path:
    """Poses of two people in each frame, of whom the last few stand in the picture and the others beside it."""
    poses = read_poses(made / "real" / source)
    frames = []
    for frame, count in zip(poses.frames, seen, strict=True):
        joints = np.array(frame.people[0].joints_cam_m)
        moves = [(50.0, 0.0, 0.0)] * (2 - count) + [(0.0, 0.0, 0.0), (0.2, 0.0, 0.0)][:count]
        people = tuple(replace(frame.people[0], joints_cam_m=joints + move, id=row) for row, move in enumerate(moves))
        frames.append(replace(frame, people=people))
    write_poses(replace(poses, frames=tuple(frames)), path)
    return path


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_everybody_has_the_picture_they_are_in(made: Path, tmp_path: Path, ending: str, posed: PosesPeople) -> None:
    seen = (2, 0, 1, 2, 0, 1)
    people = PosesPeople(crowded(made, tmp_path / f"crowd.{ending}", seen), made / "real" / "photos")
    assert (len(people), people.left_out) == (6, 6)
    where = [frame for frame, count in enumerate(seen) for _ in range(count)]
    for row, frame in enumerate(where):
        (image, one), (photo, plain) = people[row], posed[frame]
        assert np.array_equal(image, photo)
        assert one.landmarks_cam is not None
        assert plain.landmarks_cam is not None
        assert one.camera is not None
        assert plain.camera is not None
        assert_allclose(one.camera.intrinsics.numpy(), plain.camera.intrinsics.numpy())
        moved = 0.2 * (row > 0 and where[row - 1] == frame)
        assert_allclose(one.landmarks_cam[H36M], plain.landmarks_cam[H36M] + (moved, 0, 0), atol=1e-5)
        points = one.camera.project(torch.from_numpy(one.landmarks_cam[H36M]))[0].numpy()
        assert (points > one.box_px[:2]).all()
        assert (points < one.box_px[2:]).all()


def test_several_people_share_a_frame_of_a_film(made: Path, tmp_path: Path) -> None:
    truth = crowded(made, tmp_path / "crowd.json", (1, 2, 0, 2, 1, 2), "film.json")
    people = PosesPeople(truth, made / "real" / "film.mp4", cache=tmp_path / "films")
    assert (len(people), people.left_out) == (8, 4)
    assert len(list((tmp_path / "films").rglob("*.jpg"))) == COUNT
    assert np.array_equal(people[1][0], people[2][0])
    assert not np.array_equal(people[0][0], people[1][0])
    assert not np.array_equal(people[1][1].box_px, people[2][1].box_px)
    assert_allclose(people[3][0].mean((0, 1)), np.asarray(Image.open(made / "real/photos/p3.png")).mean((0, 1)), atol=8)


def test_several_labelled_people_share_a_picture(made: Path, tmp_path: Path) -> None:
    """Of the second picture nobody is left, of the first one and of the third two."""
    content = json.loads((made / "real" / "keypoints.json").read_text())
    frames = content["frames"]
    few = {**frames[0]["people"][0], "keypoints_px": [*frames[0]["people"][0]["keypoints_px"][:3], *[None] * 14]}
    frames[0]["people"].insert(0, few)
    frames[1]["people"] = [few, few]
    frames[2]["people"].append(frames[3]["people"][0])
    (tmp_path / "k.json").write_text(json.dumps(content))
    people = KeypointsPeople(tmp_path / "k.json", made / "real" / "photos")
    plain = KeypointsPeople(made / "real" / "keypoints.json", made / "real" / "photos")
    assert (len(people), people.left_out) == (COUNT, 3)
    for row, (photo, same) in enumerate(((0, 0), (2, 2), (2, 3), (3, 3), (4, 4), (5, 5))):
        assert np.array_equal(people[row][0], plain[photo][0])
        assert_allclose(people[row][1].box_px, plain[same][1].box_px)


def test_an_archive_tells_what_the_text_does(made: Path, tmp_path: Path, posed: PosesPeople) -> None:
    write_poses(read_poses(made / "real" / "poses.json"), tmp_path / "poses.npz")
    people = PosesPeople(tmp_path / "poses.npz", made / "real" / "photos")
    for row in range(COUNT):
        assert np.array_equal(people[row][0], posed[row][0])
        assert_allclose(people[row][1].box_px, posed[row][1].box_px, atol=1e-3)


# -------------------------------------------------------------------------------------------------------------- scores


def without_knees(made: Path, path: Path, rows: tuple[int, ...], source: str = "real") -> Path:
    """Poses in which some people lack a knee."""
    poses = read_poses(made / source / "poses.json")
    frames = []
    for row, frame in enumerate(poses.frames):
        joints = np.array(frame.people[0].joints_cam_m)
        joints[get_skeleton("h36m17").index("LKnee")] *= np.nan if row in rows else 1.0
        frames.append(replace(frame, people=(replace(frame.people[0], joints_cam_m=joints),)))
    write_poses(replace(poses, frames=tuple(frames)), path)
    return path


def test_only_whole_people_are_validated_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, posed: PosesPeople
) -> None:
    """Of six the first and the fourth would be looked at, who lack a knee."""
    monkeypatch.setattr("sightline.training.perspose.VALIDATION_PEOPLE", 2)
    photos = made / "real" / "photos"
    module = PersPoseModule(RUN, posed, PosesPeople(without_knees(made, tmp_path / "k.json", (0, 3)), photos))
    module.start(None)
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log_dict", lambda values, batch_size: logged.update(values, count=batch_size))
    module.validation_step(None, 0)
    assert logged["count"] == 2
    assert len(logged) == 4
    assert all(np.isfinite(value) for value in logged.values())
    nobody = PosesPeople(without_knees(made, tmp_path / "k.json", tuple(range(COUNT))), photos)
    for people in (nobody, KeypointsPeople(made / "real" / "keypoints.json", photos)):
        with pytest.raises(InputError, match="nobody among them has all joints in 3D"):
            PersPoseModule(RUN, posed, people)


def test_unlikely_keypoints_are_unknown(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / "real" / "keypoints.json").read_text())
    points = content["frames"][1]["people"][0]["keypoints_px"]
    points[3][2], points[4][2] = 0.2, 0.4
    path = tmp_path / "k.json"
    path.write_text(json.dumps(content))
    found = KeypointsPeople(path, made / "real" / "photos")[1][1].landmarks_px
    assert found is not None
    assert np.isnan(found[H36M[3]]).all()
    assert np.isfinite(found[H36M[4]]).all()


# ----------------------------------------------------------------------------------------------------------- pictures


def test_a_film_is_as_good_as_photos(made: Path, tmp_path: Path, posed: PosesPeople) -> None:
    real = made / "real"
    filmed = PosesPeople(real / "film.json", real / "film.mp4", cache=tmp_path)
    flat = KeypointsPeople(real / "keypoints.json", real / "film.mp4", cache=tmp_path)
    for row in (3, 0, 5, 1):
        (image, one), (photo, other) = filmed[row], posed[row]
        assert one.landmarks_cam is not None
        assert other.landmarks_cam is not None
        assert_allclose(one.landmarks_cam, other.landmarks_cam)
        assert np.abs(image.astype(int) - photo).max() < 8
        assert np.array_equal(flat[row][0], image)
    by_number = PosesPeople(real / "film.json", real / "photos")
    assert np.array_equal(by_number[3][0], posed[3][0])


def test_a_film_is_decoded_once_and_anew_when_it_is_another(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, truth, calls = tmp_path / "film.mp4", made / "real" / "film.json", []
    film.write_bytes((made / "real" / "film.mp4").read_bytes())
    plain = picture_files.open_film
    monkeypatch.setattr(picture_files, "open_film", lambda path: calls.append(path) or plain(path))

    def stopped(done: int, count: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        PosesPeople(truth, film, cache=cache, progress=stopped)
    assert len(list(cache.rglob("*.jpg"))) == 3
    first = PosesPeople(truth, film, cache=cache)
    assert PosesPeople(truth, film, cache=cache).digest == first.digest
    assert len(calls) == 2
    assert sorted(path.name for path in cache.rglob("*.jpg")) == [f"{index:08d}.jpg" for index in range(COUNT)]
    film.write_bytes((made / "tests" / "film.mp4").read_bytes())
    os.utime(film, ns=(1, 1))
    other = PosesPeople(truth, film, cache=cache)
    assert len(calls) == 3
    assert not np.array_equal(other[0][0], first[0][0])


def test_annotations_of_coco_may_be_of_many_sizes(made: Path, rendered: SetPeople) -> None:
    people = KeypointsPeople(made / "real" / "coco.json", made / "real" / "mixed")
    rows = list(rows_of(get_skeleton("coco17")))
    for row in range(COUNT):
        image, person = people[row]
        assert image.shape == (SIDE, SIDE + 16 * row, 3)
        assert person.landmarks_px is not None
        assert person.camera is None
        assert person.coarse
        known = [place for joint, place in enumerate(rows) if joint != row]
        assert np.isnan(person.landmarks_px[rows[row]]).all()
        true = np.asarray(rendered.pictures[row].people[0].landmarks_px)
        assert_allclose(person.landmarks_px[known], true[known], atol=2e-3)


def test_photos_of_other_tools_go_by_their_own_numbers(made: Path, tmp_path: Path) -> None:
    """Of three photos that begin at number 5, OpenPose found nobody in the first; ours count places."""
    (tmp_path / "json").mkdir()
    (tmp_path / "photos").mkdir()
    for number in (5, 6, 7):
        colour = np.full((SIDE, SIDE, 3), 10 * number, np.uint8)
        Image.fromarray(colour).save(tmp_path / "photos" / f"img_{number}.png")
        points = np.random.default_rng(number).uniform(20, 70, (25, 2))
        table = np.column_stack([points, np.ones(25)]).ravel().tolist()
        content = {"version": 1.3, "people": [{"pose_keypoints_2d": table}] if number > 5 else []}
        (tmp_path / "json" / f"img_{number}_keypoints.json").write_text(json.dumps(content))
    people = KeypointsPeople(tmp_path / "json", tmp_path / "photos")
    assert [int(people[row][0].max()) for row in range(len(people))] == [60, 70]
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "photos" / "mask_6.png")
    with pytest.raises(InputError, match=r"got that of img_6.png again in mask_6.png; leave there only"):
        KeypointsPeople(tmp_path / "json", tmp_path / "photos")
    (tmp_path / "photos" / "mask_6.png").rename(tmp_path / "photos" / "mask.png")
    with pytest.raises(InputError, match=r"got none in mask.png"):
        KeypointsPeople(tmp_path / "json", tmp_path / "photos")


def test_a_picture_alone_needs_no_number(tmp_path: Path) -> None:
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "anna.png")
    table = np.random.default_rng(0).uniform(20, 70, (25, 3))
    table[:, 2] = 1.0
    labels = tmp_path / "anna_keypoints.json"
    labels.write_text(json.dumps({"people": [{"pose_keypoints_2d": table.ravel().tolist()}]}))
    assert len(KeypointsPeople(labels, tmp_path)) == 1


# ------------------------------------------------------------------------------------------------------------ batches


def equal(one: Samples, two: Samples) -> bool:
    parts = [(one.crops, two.crops), *zip(one.views, two.views, strict=True), *zip(one.truth, two.truth, strict=True)]
    return all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) for a, b in parts)


def three_parts(made: Path) -> MixedPeople:
    """3D, 2D in pictures of many sizes, and rendered people."""
    real = made / "real"
    solid = PosesPeople(real / "poses.json", real / "photos").coarsely()
    parts = solid, KeypointsPeople(real / "coco.json", real / "mixed"), SetPeople(made / "others", body=False)
    return MixedPeople(parts=parts, shares=(1.0, 1.0, 2.0))


def test_batches_of_unlike_pictures_are_functions_of_seed_and_step(made: Path) -> None:
    make = lambda seed: PictureBatches(  # noqa: E731
        three_parts(made), NETWORK, AugmentConfig(), batch_size=24, seed=seed
    )
    batch = make(3).batch(7)
    assert equal(batch, make(3).batch(7))
    assert not equal(batch, make(4).batch(7))
    solid, flat = batch.known & batch.truth.coarse, ~batch.known
    assert solid.any()
    assert flat.any()
    assert (batch.known & ~batch.truth.coarse).any()
    assert batch.truth.depth_m[flat].isnan().all()
    rows = [SIGHTLINE_LANDMARKS.index(ALL_LANDMARKS[row]) for row in H36M]
    assert batch.truth.depth_m[solid][:, rows].isfinite().all()
    assert batch.truth.depth_m[solid].isnan().any()


def test_a_mixed_run_that_was_stopped_ends_as_one_that_was_not(made: Path, tmp_path: Path) -> None:
    def stop(step: int, steps: int) -> None:
        if step == 3:
            raise RuntimeError("stopped")

    whole = train_perspose(RUN, three_parts(made))
    with pytest.raises(RuntimeError, match="stopped"):
        train_perspose(RUN, three_parts(made), folder=tmp_path, progress=stop)
    rest = train_perspose(RUN, three_parts(made), folder=tmp_path)
    assert rest.resumed_from == 2
    for one, two in zip(whole.lifter.parameters(), rest.lifter.parameters(), strict=True):
        assert one.isfinite().all()
        assert torch.equal(one, two)
    other = replace(three_parts(made), shares=(1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="training people"):
        train_perspose(RUN, other, folder=tmp_path)


# ------------------------------------------------------------------------------------------------------------ command


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside which the files lie, and a recipe that learns briefly."""
    smoke = perspose.perspose_smoke()
    small = replace(
        smoke, name="perspose-synth", steps=2, batch_size=4, validate_every=2,
        model=replace(smoke.model, shape_numbers=0),
    )  # fmt: skip
    monkeypatch.setitem(catalogue.RECIPES, "perspose-synth", lambda: small)
    for name in ("set", "others", "real", "tests"):
        (tmp_path / name).symlink_to(made / name)
    write_camera(read_poses(made / "real" / "poses.json").camera, tmp_path / "camera.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sightline(line: str) -> int:
    return main(line.split())


REAL = "--real real/poses.json --real-pictures real/photos"
TESTS = "--held-out tests/poses.json --held-out-pictures tests/photos"


@pytest.mark.parametrize(
    ("options", "words", "landmarks"),
    [
        (f"{REAL} {TESTS}", ["real people in pictures of poses.json"], 17),
        (
            "--real real/film.json real/coco.json --real-pictures real/film.mp4 real/mixed --shares 3 1 "
            "--held-out tests/film.json --held-out-pictures tests/film.mp4",
            ["75% real people in pictures of film.json", "25% real people in pictures of coco.json"],
            17,
        ),
        (f"{REAL} --pictures set --held-out others", ["50% real people", "50% rendered people"], 64),
        (f"--pictures set {TESTS}", ["rendered people"], 64),
    ],
)
def test_runs_on_real_people_end_in_weights(
    desk: Path, capsys: pytest.CaptureFixture[str], options: str, words: list[str], landmarks: int
) -> None:
    call = f"train perspose-synth {options} -o run"
    assert sightline(f"{call} --json") == 0
    printed = capsys.readouterr()
    few = "scores of 6 people say little\n"
    assert printed.err == ("" if "--held-out others" in options else f"sightline: {options.split()[-3]}: {few}")
    scores = json.loads(printed.out)["expected"]["held-out people in pictures, 17 joints"]
    assert all(value > 0 for value in scores.values())
    network, passport = load_perspose(Path("run") / "perspose-synth.json")
    assert len(network.config.landmarks) == landmarks
    assert all(value.isfinite().all() for value in network.state_dict().values())
    for word in words:
        assert word in passport.trained_on
    assert passport.recipe["loss"]["coarse_px"] == (1.25 if "--real " in options else 5.0)


def test_a_finished_run_is_its_own_and_can_be_started_from(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same call ends at once, one with other shares is refused, and fine-tuning on real people alone keeps all."""
    call = f"train perspose-synth {REAL} --pictures set {TESTS} -o run"
    assert sightline(call) == 0
    assert "2 steps (taken up at 0)" in capsys.readouterr().out
    assert sightline(call) == 0
    assert "2 steps (taken up at 2)" in capsys.readouterr().out
    assert sightline(f"{call} --shares 1 2") == 1
    assert "training people" in capsys.readouterr().err
    assert sightline(f"train perspose-synth {REAL} {TESTS} -o tuned --start-from run/perspose-synth.json") == 0
    networks = [load_perspose(Path(folder) / "perspose-synth.json")[0] for folder in ("run", "tuned")]
    assert networks[0].config == networks[1].config
    assert not all(torch.equal(*pair) for pair in zip(*(one.parameters() for one in networks), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (f"--real real/poses.json {TESTS}", "--real-pictures: expected a folder or film for each of 1 files of --real"),
        (REAL, "--held-out: expected other people to be scored on"),
        (f"{REAL} --held-out tests/poses.json", "--held-out-pictures: expected the folder or film of --held-out"),
        (f"{REAL} --held-out others --held-out-pictures tests/photos", "expected none beside a rendered set"),
        (f"{REAL} --held-out nowhere", "nowhere: expected a rendered set or a file of poses"),
        (f"{REAL} {TESTS} --shares 1 2", "--shares: expected a positive number for each"),
        (f"{REAL} {TESTS} --shares 0", "--shares: expected a positive number for each"),
        (f"{REAL} {TESTS.replace('tests', 'real')}", "--held-out: 6 of the pictures of real/poses.json are also in"),
        (
            f"--real real/keypoints.json --real-pictures real/photos {TESTS}",
            "--real: expected at least one file of poses among them",
        ),
        (
            f"{REAL} --held-out tests/keypoints.json --held-out-pictures tests/photos",
            "tests/keypoints.json: expected a file of poses to be scored on",
        ),
        (TESTS, "--pictures: expected a rendered set to learn from, or --real"),
        ("--pictures set --held-out others --shares 1", "--shares, --held-out-pictures: expected --real"),
        (f"{REAL} --real-pictures real/nowhere {TESTS}", "real/nowhere: expected the folder or film"),
        (f"{REAL} --real-camera none none {TESTS}", "--real-camera: expected a camera's file, or none, for each of 1"),
        (f"{REAL} --real-camera camera.json {TESTS}", "--real-camera: expected none for real/poses.json, since poses"),
        (f"{REAL} --real-camera real/poses.json {TESTS}", "real/poses.json"),
        ("--pictures set --held-out others --real-camera camera.json", "--real-camera, --shares, --held-out-pictures"),
    ],
)
def test_complaints(desk: Path, capsys: pytest.CaptureFixture[str], options: str, message: str) -> None:
    assert sightline(f"train perspose-synth {options}") in (1, 2)
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not Path("runs").exists()


def test_recipes_of_motion_capture_refuse_pictures(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline(f"train abspose-smoke {REAL}") == 2
    assert "learns from motion capture" in capsys.readouterr().err


def test_held_out_people_must_have_the_joints(desk: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_real_set(desk / "smpl", SetPeople(made / "others", body=False), "smpl24")
    options = f"{REAL} --held-out smpl/poses.json --held-out-pictures smpl/photos"
    assert sightline(f"train perspose-synth {options}") == 1
    assert "without Spine, NeckNose, MidHead" in capsys.readouterr().err
    own = f"--real smpl/poses.json --real-pictures smpl/photos --held-out {desk}/other/poses.json"
    write_real_set(desk / "other", SetPeople(made / "set", body=False), "smpl24")
    assert sightline(f"train perspose-synth {own} --held-out-pictures other/photos -o run --json") == 0
    printed = capsys.readouterr()
    assert "14 joints" in printed.out
    assert "the network will not know Spine, NeckNose, MidHead, of which no 3D label speaks" in printed.err


def test_people_who_are_left_out_are_told(desk: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = np.array(read_poses(made / "real" / "poses.json").frames[0].people[0].joints_cam_m)
    few[5:] = np.nan
    changed(made, desk, joints_cam_m=few)
    assert sightline(f"train perspose-synth --real changed.json --real-pictures real/photos {TESTS} -o run") == 0
    assert "changed.json: 1 of its 6 people are left out" in capsys.readouterr().err


def test_scores_say_of_how_many_people_they_are(desk: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lack a knee, and one is not in the picture."""
    poses = read_poses(without_knees(made, desk / "part.json", (1, 4), "tests"))
    last = poses.frames[5]
    aside = replace(last.people[0], joints_cam_m=np.array(last.people[0].joints_cam_m) + (50, 0, 0))
    write_poses(replace(poses, frames=(*poses.frames[:5], replace(last, people=(aside,)))), desk / "part.npz")
    held_out = "--held-out part.npz --held-out-pictures tests/photos"
    assert sightline(f"train perspose-synth {REAL} {held_out} -o run --json") == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "sightline: part.npz: 1 of its 6 people are left out: too few known joints of arms and legs, outside of their "
        "pictures, too small, or far larger than the picture",
        "sightline: part.npz: 3 of its 5 people have all joints that the network is scored on; the others do not count",
        "sightline: part.npz: scores of 3 people say little",
    ]
    scores = json.loads(printed.out)["expected"]["held-out people in pictures, 17 joints, 3 of 6 people"]
    assert all(value > 0 for value in scores.values())
    without_knees(made, desk / "part.json", tuple(range(COUNT)), "tests")
    nobody = "--held-out part.json --held-out-pictures tests/photos"
    assert sightline(f"train perspose-synth {REAL} {nobody} -o other") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_cameras_of_2d_labels_can_be_told(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = "--real real/poses.json real/keypoints.json --real-pictures real/photos real/photos"
    assert sightline(f"train perspose-synth {both} --real-camera none camera.json {TESTS} -o run") == 0
    _, passport = load_perspose(Path("run") / "perspose-synth.json")
    assert passport.trained_on.count(" by camera ") == 1
    assert sightline(f"train perspose-synth {both} {TESTS} -o run") == 1
    assert "training people" in capsys.readouterr().err
    write_camera(Camera.create((48, 48), 50.0), desk / "camera.json")
    assert sightline(f"train perspose-synth {both} --real-camera none camera.json {TESTS} -o other") == 1
    assert "the camera's are 48 × 48 px" in capsys.readouterr().err


def test_the_file_that_lacks_hips_is_named(desk: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses = read_poses(made / "real" / "poses.json")
    hips = [get_skeleton("h36m17").index(name) for name in ("Hip", "LHip", "RHip")]
    frames = []
    for frame in poses.frames:
        joints = np.array(frame.people[0].joints_cam_m)
        joints[hips] = np.nan
        frames.append(replace(frame, people=(replace(frame.people[0], joints_cam_m=joints),)))
    write_poses(replace(poses, frames=tuple(frames)), desk / "hipless.json")
    both = "--real real/keypoints.json hipless.json --real-pictures real/photos real/photos"
    assert sightline(f"train perspose-synth {both} {TESTS}") == 1
    assert "hipless.json: expected labels of both hips" in capsys.readouterr().err


# --------------------------------------------------------------------------------------------------------- complaints


def test_missing_pictures_are_counted(made: Path, tmp_path: Path) -> None:
    (tmp_path / "p1.png").write_bytes((made / "real" / "photos" / "p1.png").read_bytes())
    truth = made / "real" / "poses.json"
    with pytest.raises(InputError, match=r"5 of the 6 pictures that .*poses.json speaks of are missing, .* p0.png$"):
        PosesPeople(truth, tmp_path)
    with pytest.raises(InputError, match=r"5 of the 6 pictures .* the first is number 1$"):
        KeypointsPeople(made / "real" / "keypoints.json", tmp_path)
    with pytest.raises(InputError, match=r"poses.json speaks of photos such as p0.png; give their folder"):
        PosesPeople(truth, made / "real" / "film.mp4", cache=tmp_path)
    with pytest.raises(UsageError, match="cache"):
        PosesPeople(made / "real" / "film.json", made / "real" / "film.mp4")


def test_frames_beyond_the_films_end_are_counted(made: Path, tmp_path: Path) -> None:
    poses = read_poses(made / "real" / "film.json")
    late = tuple(replace(frame, index=frame.index + 4) for frame in poses.frames)
    write_poses(replace(poses, frames=late), tmp_path / "late.json")
    with pytest.raises(InputError, match=r"4 of the 6 frames that .* are missing, the first is number 6$"):
        PosesPeople(tmp_path / "late.json", made / "real" / "film.mp4", cache=tmp_path)


def test_pictures_of_another_size_are_refused(made: Path, tmp_path: Path) -> None:
    """By whichever file tells the size, and with EXIF's turn obeyed."""
    real = made / "real"
    for index in range(COUNT):
        photo = Image.open(real / "photos" / f"p{index}.png").resize((SIDE // 2, SIDE // 2))
        photo.save(tmp_path / f"p{index}.png")
    for kind, truth in ((PosesPeople, "poses.json"), (KeypointsPeople, "keypoints.json")):
        with pytest.raises(InputError, match=r"p0.png: is 48 × 48 px, but .* of a picture of 96 × 96 px; give the"):
            kind(real / truth, tmp_path)
    with pytest.raises(InputError, match=r"of 96 × 96 px, but the camera's are 48 × 48 px"):
        KeypointsPeople(real / "keypoints.json", tmp_path, camera=Camera.create((48, 48), 50.0))


def test_turned_photos_come_upright(made: Path, tmp_path: Path, posed: PosesPeople) -> None:
    for index in range(COUNT):
        picture = np.array(posed[index][0])
        picture[:20, :20] = 255
        stored, exif = Image.fromarray(np.ascontiguousarray(np.rot90(picture, 1))), Image.Exif()
        exif[0x0112] = 6
        stored.save(tmp_path / f"p{index}.png", exif=exif)
    image = PosesPeople(made / "real" / "poses.json", tmp_path)[0][0]
    assert (image[:20, :20] == 255).all()
    assert (image[20:] < 255).all()


def test_nobody_to_learn_from(made: Path, tmp_path: Path) -> None:
    poses = read_poses(made / "real" / "poses.json")
    photos, path = made / "real" / "photos", tmp_path / "poses.json"
    write_poses(replace(poses, frames=tuple(replace(frame, people=()) for frame in poses.frames)), path)
    with pytest.raises(InputError, match="none of its 6 frames has people"):
        PosesPeople(path, photos)
    nowhere = np.full((17, 3), np.nan)
    behind = np.array(poses.frames[0].people[0].joints_cam_m) * (1, 1, -1)
    aside = np.array(poses.frames[0].people[0].joints_cam_m) + (5, 0, 0)
    for joints in (nowhere, behind, aside):
        frames = [
            replace(frame, people=tuple(replace(one, joints_cam_m=joints) for one in frame.people))
            for frame in poses.frames
        ]
        write_poses(replace(poses, frames=tuple(frames)), path)
        with pytest.raises(InputError, match="none of its 6 people has 6 known joints of arms and legs before"):
            PosesPeople(path, photos)
    content = json.loads((made / "real" / "keypoints.json").read_text())
    for frame in content["frames"]:
        frame["people"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="nobody in it to learn from"):
        KeypointsPeople(path, photos)


def test_poses_need_a_camera_and_numbers(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / "real" / "poses.json").read_text())
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "camera"}))
    with pytest.raises(InputError, match="camera"):
        PosesPeople(path, made / "real" / "photos")
    content["frames"][0]["people"][0]["joints_cam_m"][0] = [0.0, float("nan"), 4.0]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="NaN"):
        PosesPeople(path, made / "real" / "photos")


@pytest.mark.slow
def test_boxes_are_near_those_of_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of people who are drawn: grown joints are about as long as the body, and lie where it does."""
    monkeypatch.chdir(tmp_path)
    assert sightline("render -o set --recipe studio --size 96x96 --count 8 --without-depth --without-mask") == 0
    rendered = SetPeople("set", body=False)
    for joints in ("h36m17", "mpi_inf_3dhp28"):
        write_real_set(tmp_path / joints, rendered, joints)
        people = PosesPeople(tmp_path / joints / "poses.json", tmp_path / joints / "photos")
        pairs = [(people[row][1].box_px, rendered[row][1].box_px) for row in range(len(people))]
        sides = [(one[2:] - one[:2]).max() / (two[2:] - two[:2]).max() for one, two in pairs]
        assert 0.9 < np.median(sides) < 1.1
        assert np.median([overlap(*pair) for pair in pairs]) > 0.7
