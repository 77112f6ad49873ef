"""Laws of the main job: who goes in comes out, and what is the same seen otherwise is lifted the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sightline.camera import Camera
from sightline.data.procedural import procedural_poses
from sightline.errors import InputError, UsageError
from sightline.formats.camera import write_camera
from sightline.formats.keypoints import write_keypoints
from sightline.geometry.distortion import Distortion
from sightline.pipeline import Lifter, LiftResult, lift
from sightline.skeleton import conversion, get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints, Poses

H36M = get_skeleton("h36m17")
SIZE = (1280, 960)
PINHOLE = Camera.create(SIZE, (1000.0, 1010.0), (700.0, 450.0))
LENS = Distortion.create("brown_conrady", [-0.2, 0.05], [0.002, -0.001])
PITCH = 0.2
LEVEL = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # world z up → camera y down, looking along the world's y
DOWN = np.array([[1, 0, 0], [0, np.cos(PITCH), -np.sin(PITCH)], [0, np.sin(PITCH), np.cos(PITCH)]])
PLACES = np.array([[-1.0, 4.0, 0.0], [0.8, 5.0, 0.0], [0.0, 3.5, 0.0]])
PEOPLE = [(2, 7), (2, 3), (9, None)]
"""(frame, id) of the scene's three people; frame 5 is empty."""


def joints_cam() -> torch.Tensor:
    """Three people on a floor 1.4 m below the camera (m, camera frame)."""
    joints = procedural_poses(3, torch.Generator().manual_seed(4)).double() + torch.from_numpy(PLACES)[:, None]
    return (joints - torch.tensor([0.0, 0.0, 1.4])) @ torch.from_numpy(LEVEL).double().T


def seen(camera: Camera, joints: torch.Tensor | None = None, **changes: Any) -> Keypoints:
    """The people as exact keypoints; `changes` maps a row to what differs in that person."""
    points, valid = camera.project(joints_cam() if joints is None else joints)
    assert valid.all()
    return scene(points.numpy(), {int(row[3:]): change for row, change in changes.items()})


def scene(points_px: np.ndarray, changes: dict[int, dict[str, Any]] | None = None) -> Keypoints:
    people: dict[int, list[PersonKeypoints]] = {2: [], 5: [], 9: []}
    for row, (frame, ident) in enumerate(PEOPLE):
        fields = {"id": ident, "keypoints_px": points_px[row], "confidence": np.full(17, 0.5 + 0.1 * row)}
        people[frame].append(PersonKeypoints(**(fields | (changes or {}).get(row, {}))))
    frames = tuple(KeypointFrame(index=index, people=tuple(found)) for index, found in people.items())
    return Keypoints(skeleton=H36M, image_size=SIZE, fps=10.0, frames=frames)


@pytest.fixture(scope="module", params=["metre", "stature"])
def lifter(request: pytest.FixtureRequest, tiny_lifters: Path) -> Lifter:
    return Lifter(tiny_lifters / f"{request.param}.json")


@pytest.fixture(scope="module")
def by_stature(tiny_lifters: Path) -> Lifter:
    return Lifter(tiny_lifters / "stature.json")


def joints_of(result: LiftResult | Poses) -> np.ndarray:
    return (result.poses if isinstance(result, LiftResult) else result).stacked().joints_cam_m


def test_who_goes_in_comes_out_in_order(lifter: Lifter) -> None:
    keypoints = seen(PINHOLE)
    result = lifter.lift(keypoints, PINHOLE)
    poses = result.poses
    assert [frame.index for frame in poses.frames] == [2, 5, 9]
    assert [frame.time_s for frame in poses.frames] == [0.2, 0.5, 0.9]
    assert [(frame.index, person.id) for frame, person in poses.people()] == PEOPLE
    assert poses.frames[1].people == ()
    assert (poses.fps, poses.skeleton, result.skipped, result.lifted) == (10.0, H36M, (), 3)
    assert result.skipped_in_words() == ""
    for (_, before), (_, after) in zip(keypoints.people(), poses.people(), strict=True):
        assert_array_equal(after.keypoints_px, before.keypoints_px)
        assert after.score == pytest.approx(before.confidence.mean())
        low, high = before.keypoints_px.min(0), before.keypoints_px.max(0)
        assert_allclose(after.box_px, [*low, *high])


def test_it_is_the_place_that_is_right_and_not_only_the_order(lifter: Lifter) -> None:
    """Even a lifter that was trained for a second tells left from right, and puts the root on its ray."""
    roots = joints_of(lifter.lift(seen(PINHOLE), PINHOLE))[:, 0]
    rays = joints_cam()[:, 0].numpy()
    assert_allclose(roots[:, :2] / roots[:, 2:], rays[:, :2] / rays[:, 2:], atol=1e-6)
    assert (np.abs(roots[:, 2] / rays[:, 2] - 1) < 0.5).all()


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_camera_of_another_resolution_is_scaled(lifter: Lifter, factor: float) -> None:
    width, height = SIZE
    other = PINHOLE.resized((width * factor, height * factor))
    result = lifter.lift(seen(PINHOLE), other)
    assert_allclose(joints_of(result), joints_of(lifter.lift(seen(PINHOLE), PINHOLE)), atol=1e-5)
    assert result.poses.camera.image_size.tolist() == list(SIZE)


def test_a_lens_makes_no_difference(lifter: Lifter) -> None:
    bent = replace(PINHOLE, distortion=LENS)
    straight = seen(PINHOLE)
    crooked = seen(bent)
    assert np.abs(crooked.stacked().keypoints_px - straight.stacked().keypoints_px).max() > 1
    assert_allclose(joints_of(lifter.lift(crooked, bent)), joints_of(lifter.lift(straight, PINHOLE)), atol=1e-4)


@pytest.mark.parametrize("camera", [PINHOLE, replace(PINHOLE, distortion=LENS)], ids=["pinhole", "lens"])
def test_the_mirrored_picture_gives_the_mirrored_poses(lifter: Lifter, tiny_lifters: Path, camera: Camera) -> None:
    keypoints = seen(camera)
    points = keypoints.stacked().keypoints_px[:, list(H36M.flip)].copy()
    points[..., 0] = SIZE[0] - points[..., 0]
    mirrored = scene(points)
    expected = joints_of(lifter.lift(keypoints, camera))[:, list(H36M.flip)] * [-1, 1, 1]
    assert_allclose(joints_of(lifter.lift(mirrored, camera.flipped())), expected, atol=1e-4)
    once = Lifter(tiny_lifters / f"{lifter.passport.name}.json", flip=False)
    plain = joints_of(once.lift(keypoints, camera))[:, list(H36M.flip)] * [-1, 1, 1]
    assert np.abs(joints_of(once.lift(mirrored, camera.flipped())) - plain).max() > 1e-3


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_batches_make_no_difference(lifter: Lifter, tiny_lifters: Path, size: int) -> None:
    told: list[tuple[int, int]] = []
    parts = Lifter(tiny_lifters / f"{lifter.passport.name}.json", batch_size=size)
    result = parts.lift(seen(PINHOLE), PINHOLE, progress=lambda done, total: told.append((done, total)))
    assert_allclose(joints_of(result), joints_of(lifter.lift(seen(PINHOLE), PINHOLE)), atol=1e-5)
    assert told == [(done, 3) for done in [*range(size, 3, size), 3]]


def test_arrays_in_are_structures_in(lifter: Lifter) -> None:
    keypoints = seen(PINHOLE)
    arrays = lifter.lift_array(torch.tensor(keypoints.stacked().keypoints_px), PINHOLE)
    assert_allclose(joints_of(lifter.lift(keypoints, PINHOLE)), arrays.numpy(), atol=1e-5)
    rows = [lifter.lift_array(torch.tensor(row)[None], PINHOLE)[0].numpy() for row in keypoints.stacked().keypoints_px]
    assert_allclose(arrays.numpy(), np.stack(rows), atol=1e-5)


def test_depth_is_the_canonical_one_times_the_focal(lifter: Lifter) -> None:
    result = lifter.lift(seen(PINHOLE), PINHOLE)
    for _, person in result.poses.people():
        assert person.root_depth_canonical is not None
        assert person.root_depth_canonical * np.sqrt(1000.0 * 1010.0) == pytest.approx(person.joints_cam_m[0, 2])
    fisheye = Camera.create(SIZE, 500.0, distortion=Distortion.create("kannala_brandt", [0.01, 0.0, 0.0, 0.0]))
    lifted = lifter.lift(seen(fisheye), fisheye).poses
    assert [person.root_depth_canonical for _, person in lifted.people()] == [None] * 3


# ---- heights -------------------------------------------------------------------------------------------------------


def test_a_height_scales_pose_and_place_alike(by_stature: Lifter) -> None:
    small, tall = (by_stature.lift(seen(PINHOLE), PINHOLE, height_m=height) for height in (1.2, 2.4))
    assert_allclose(joints_of(tall), 2 * joints_of(small), rtol=1e-6)
    mean = by_stature.mean_stature_m
    unknown = by_stature.lift(seen(PINHOLE), PINHOLE)
    assert_allclose(joints_of(unknown), joints_of(small) * mean / 1.2, rtol=1e-6)
    assert (unknown.poses.scale.body, tall.poses.scale.body) == ("learned", "given_height")


def test_a_height_in_the_file_goes_before_the_option(by_stature: Lifter) -> None:
    keypoints = seen(PINHOLE, row1={"height_m": 2.0})
    base = joints_of(by_stature.lift(seen(PINHOLE), PINHOLE, height_m=1.0))
    both = by_stature.lift(keypoints, PINHOLE, height_m=1.0)
    assert_allclose(joints_of(both), base * [[[1]], [[2]], [[1]]], rtol=1e-6)
    assert both.poses.scale.body == "given_height"
    alone = by_stature.lift(keypoints, PINHOLE)
    assert_allclose(joints_of(alone)[1], joints_of(both)[1])
    assert alone.poses.scale.body == "mixed"


def test_weights_that_cannot_use_a_height_say_so(tiny_lifters: Path) -> None:
    lifter = Lifter(tiny_lifters / "metre.json")
    with pytest.raises(UsageError, match="height_m: the weights 'metre' cannot use it"):
        lifter.lift(seen(PINHOLE), PINHOLE, height_m=1.8)
    scale = lifter.lift(seen(PINHOLE, row0={"height_m": 1.9}), PINHOLE).poses.scale
    assert (scale.body, scale.note) == ("learned", "given heights cannot be used by these weights")


@pytest.mark.parametrize("height_m", [0.0, -1.8, 17.0, float("nan")])
def test_heights_that_no_person_has_are_refused(by_stature: Lifter, height_m: float) -> None:
    with pytest.raises(UsageError, match="height_m: expected a stature of 0.4 to 2.6 m"):
        by_stature.lift(seen(PINHOLE), PINHOLE, height_m=height_m)


# ---- people who cannot be lifted -----------------------------------------------------------------------------------


def without_joints(row: int, *joints: str) -> dict[str, Any]:
    """The keypoints and confidence of that person without some joints."""
    points = seen(PINHOLE).stacked().keypoints_px[row].copy()
    confidence = np.full(17, 0.9)
    for joint in joints:
        points[H36M.index(joint)], confidence[H36M.index(joint)] = np.nan, 0
    return {"keypoints_px": points, "confidence": confidence}


def test_a_person_who_lacks_a_joint_is_named_and_the_others_lifted(lifter: Lifter) -> None:
    keypoints = seen(PINHOLE, row0=without_joints(0, *H36M.joints[4:]), row2=without_joints(2, *H36M.joints))
    result = lifter.lift(keypoints, PINHOLE)
    assert [(person.frame, person.id) for person in result.skipped] == [(2, 7), (9, None)]
    assert result.skipped[0].reason.startswith("missing LHip, LKnee, ")
    assert result.skipped[1].reason == "no joint was seen"
    assert result.skipped_in_words().startswith("2 of 3 people could not be lifted: 1 × missing LHip, LKnee")
    assert_allclose(joints_of(result), joints_of(lifter.lift(seen(PINHOLE), PINHOLE))[1:2], atol=1e-5)
    assert [len(frame.people) for frame in result.poses.frames] == [1, 0, 0]


def test_joints_that_nobody_saw_are_filled_in_and_told(lifter: Lifter) -> None:
    """The prior says where they would be; the answer is near that to all joints, and keeps them as not seen."""
    whole = joints_of(lifter.lift(seen(PINHOLE), PINHOLE))
    result = lifter.lift(seen(PINHOLE, row0=without_joints(0, "LWrist", "Head")), PINHOLE)
    assert not result.skipped
    assert set(result.approximated) == {"LWrist", "Head"}
    assert result.approximated["Head"].startswith("where missing (1 of 3), as the prior deeplift-mocap has it")
    person = next(result.poses.people())[1]
    assert np.isnan(person.keypoints_px[H36M.index("Head")]).all()
    assert_allclose(joints_of(result)[1:], whole[1:], atol=1e-5)
    assert np.linalg.norm(joints_of(result)[0] - whole[0], axis=-1).mean() < 0.35
    assert not lifter.lift(seen(PINHOLE), PINHOLE).approximated


def test_every_pose_is_told_how_plausible_it_is(lifter: Lifter) -> None:
    told = [person.plausibility for _, person in lifter.lift(seen(PINHOLE), PINHOLE).poses.people()]
    assert all(value is not None and 0.0 <= value <= 1.0 for value in told)


def test_points_that_the_lens_cannot_place_are_told(lifter: Lifter) -> None:
    barrel = replace(PINHOLE, distortion=Distortion.create("brown_conrady", [-0.3]))
    far = {"keypoints_px": seen(PINHOLE).stacked().keypoints_px[1] + [9000.0, 0.0]}
    result = lifter.lift(seen(PINHOLE, row1=far), barrel)
    assert [(skipped.id, skipped.reason) for skipped in result.skipped] == [
        (3, "keypoints lie where the lens model is not defined")
    ]


def test_a_place_behind_the_camera_is_no_place(tiny_lifters: Path) -> None:
    """All joints in one spot fit no distance; the solve says so, and nobody is put anywhere."""
    spot = {"keypoints_px": np.full((17, 2), 400.0)}
    result = Lifter(tiny_lifters / "metre.json", root="perspective").lift(seen(PINHOLE, row1=spot), PINHOLE)
    assert [skipped.id for skipped in result.skipped] == [3]
    assert "no place in front of the camera" in result.skipped_in_words()
    assert [(frame.index, person.id) for frame, person in result.poses.people()] == [PEOPLE[0], PEOPLE[2]]


def test_nobody_there_is_a_result(lifter: Lifter) -> None:
    empty = Keypoints(skeleton=H36M, image_size=SIZE, frames=(KeypointFrame(index=0, people=()),))
    result = lifter.lift(empty, PINHOLE)
    assert (result.lifted, result.skipped, [frame.index for frame in result.poses.frames]) == (0, (), [0])


# ---- what else the result says -------------------------------------------------------------------------------------


def test_the_world_is_where_the_camera_knows_it(lifter: Lifter) -> None:
    rotation = DOWN @ LEVEL
    centre = np.array([3.0, -2.0, 1.4])
    placed = Camera.create(SIZE, 1000.0, rotation=rotation, translation_m=-rotation @ centre)
    world = lifter.lift(seen(PINHOLE), placed).poses.world
    assert world is not None
    assert_allclose(world.up_cam, rotation @ [0, 0, 1], atol=1e-12)
    on_floor = placed.world_to_camera(torch.tensor([[5.0, 6.0, 0.0], [0.0, 1.0, 0.7]], dtype=torch.float64)).numpy()
    assert_allclose(on_floor @ world.floor_cam[:3] + world.floor_cam[3], [0.0, 0.7], atol=1e-12)
    assert_allclose(world.floor_cam[3], 1.4)
    assert lifter.lift(seen(PINHOLE), PINHOLE).poses.world is None


@pytest.mark.parametrize("name", ["coco17", "mediapipe33", "openpose25", "halpe26"])
def test_a_detectors_joints_are_converted_once(lifter: Lifter, name: str) -> None:
    rng, source = np.random.default_rng(1), get_skeleton(name)
    points = rng.uniform(300, 700, (1, len(source), 2))
    person = PersonKeypoints(id=1, keypoints_px=points[0], confidence=np.ones(len(source)))
    frames = (KeypointFrame(index=0, people=(person,)),)
    keypoints = Keypoints(skeleton=source, image_size=SIZE, frames=frames)
    result = lifter.lift(keypoints, PINHOLE)
    converted, _ = conversion(name, "h36m17").apply(points, None)
    assert_allclose(joints_of(result), lifter.lift_array(torch.from_numpy(converted), PINHOLE).numpy(), atol=1e-5)
    assert {"Nose", "Spine"} <= set(result.conversion.approximated)
    assert result.poses.skeleton == H36M


def test_the_root_rule_moves_the_pose_as_a_whole(lifter: Lifter, tiny_lifters: Path) -> None:
    learned = joints_of(lifter.lift(seen(PINHOLE), PINHOLE))
    for rule in ("perspective", "weak_perspective"):
        solved = Lifter(tiny_lifters / f"{lifter.passport.name}.json", root=rule).lift(seen(PINHOLE), PINHOLE)
        joints = joints_of(solved)
        assert_allclose(joints - joints[:, :1], learned - learned[:, :1], atol=1e-5)
        assert np.abs(joints[:, 0] - learned[:, 0]).max() > 1e-3
        assert solved.poses.model.details["root"] == rule


def test_what_made_the_poses_is_written_in_them(lifter: Lifter) -> None:
    poses = lifter.lift(seen(PINHOLE), PINHOLE, scale_source="assumed_fov").poses
    assert (poses.model.method, poses.model.weights) == ("abspose", lifter.passport.name)
    assert poses.scale.source == "assumed_fov"


# ---- one line of Python --------------------------------------------------------------------------------------------


def test_lift_takes_paths_or_values(tiny_lifters: Path, tmp_path: Path) -> None:
    write_keypoints(seen(PINHOLE), tmp_path / "people.json")
    write_camera(PINHOLE, tmp_path / "camera.json")
    weights = tiny_lifters / "stature.json"
    by_path = lift(tmp_path / "people.json", str(tmp_path / "camera.json"), weights=weights, height_m=1.8)
    by_value = lift(seen(PINHOLE), PINHOLE, weights=weights, height_m=1.8)
    assert_allclose(joints_of(by_path), joints_of(by_value), atol=1e-3)  # files round to a thousandth of a pixel


def test_lift_warns_of_some_and_fails_for_all(tiny_lifters: Path) -> None:
    weights = tiny_lifters / "metre.json"
    with pytest.warns(UserWarning, match="1 of 3 people could not be lifted: 1 × missing LHip, LKnee"):
        poses = lift(seen(PINHOLE, row0=without_joints(0, *H36M.joints[4:])), PINHOLE, weights=weights)
    assert len(joints_of(poses)) == 2
    nobody = {f"row{row}": without_joints(row, *H36M.joints[4:]) for row in range(3)}
    with pytest.raises(InputError, match="3 of 3 people could not be lifted: 3 × missing LHip, LKnee"):
        lift(seen(PINHOLE, **nobody), PINHOLE, weights=weights)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"batch_size": 0}, UsageError, "batch_size: expected at least 1, got 0"),
        ({"device": "abacus"}, UsageError, "device: expected cpu"),
        ({"device": "meta"}, UsageError, "device: expected cpu"),
    ],
)
def test_wrong_calls_are_refused_at_the_door(tiny_lifters: Path, wrong: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        Lifter(tiny_lifters / "metre.json", **wrong)


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        (Camera.create((1280, 720), 1000.0), "expected the aspect of"),
        (Camera.create(SIZE, [[1000.0, 1000.0]]), "expected one camera, got a batch"),
    ],
    ids=["aspect", "batch"],
)
def test_cameras_that_do_not_fit_are_refused(lifter: Lifter, camera: Camera, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lifter.lift(seen(PINHOLE), camera)
