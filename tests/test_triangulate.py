"""Whole files triangulated, and world poses as files."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.camera import read_cameras
from sightline.formats.keypoints import read_keypoints
from sightline.formats.world import read_world, write_world
from sightline.geometry.rotation import look_rotation
from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints
from sightline.triangulate import triangulate_keypoints
from sightline.world import WorldPoses

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"
COCO = get_skeleton("coco17")
SIZE = (1000, 800)


def ring(count: int) -> list[Camera]:
    cameras = []
    for k in range(count):
        angle = 2 * math.pi * (k + 0.3) / count
        position = torch.tensor([4 * math.cos(angle), 4 * math.sin(angle), 2.0], dtype=torch.float64)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        rotation = look_rotation(up - position, up)
        cameras.append(Camera.create(SIZE, 900.0, rotation=rotation, translation_m=-rotation @ position))
    return cameras


def people(frames: int = 5, count: int = 2, seed: int = 0) -> np.ndarray:
    """Joints (frame person joint 3) in the world, metres."""
    return np.array([0, 0, 1]) + 0.4 * np.random.default_rng(seed).standard_normal((frames, count, 17, 3)).clip(-2, 2)


def seen(
    camera: Camera, joints: np.ndarray, ids: tuple[int | None, ...] = (3, 8), confidence: float = 1.0
) -> Keypoints:
    pixels = camera.project(camera.world_to_camera(torch.from_numpy(joints)))[0].numpy()
    sure = np.full(17, confidence)
    frames = [
        KeypointFrame(
            index=10 + number,
            people=tuple(
                PersonKeypoints(id=i, keypoints_px=xy, confidence=sure) for i, xy in zip(ids, frame, strict=True)
            ),
        )
        for number, frame in enumerate(pixels)
    ]
    return Keypoints(skeleton=COCO, image_size=SIZE, frames=tuple(frames), fps=30.0)


def with_frames(view: Keypoints, change) -> Keypoints:
    return replace(view, frames=tuple(change(frame) for frame in view.frames))


def test_people_are_matched_by_id_and_frames_by_index() -> None:
    cameras, joints = ring(4), people()
    views = [seen(camera, joints) for camera in cameras]
    views[1] = with_frames(
        views[1], lambda frame: replace(frame, people=frame.people[::-1])
    )  # listed the other way round
    views[2] = replace(views[2], frames=views[2].frames[1:4])  # starts later, ends earlier
    views[3] = with_frames(views[3], lambda frame: replace(frame, people=frame.people[:1]))  # sees one of the two
    world = triangulate_keypoints(views, cameras)
    assert world.frame_index.tolist() == [10, 11, 12, 13, 14]
    assert world.person_id.tolist() == [3, 8]
    assert world.fps == 30.0
    np.testing.assert_allclose(world.joints_world_m, joints, atol=1e-9)
    assert world.views[:, 0].min(axis=-1).tolist() == [3, 4, 4, 4, 3]
    assert world.views[:, 1].min(axis=-1).tolist() == [2, 3, 3, 3, 2]
    assert np.isnan(world.reprojection_px[0, :, 2]).all()
    assert np.nanmax(world.reprojection_px) < 1e-6
    assert not world.swapped.any()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cameras, joints = ring(3), people(7)
    views = [seen(camera, joints) for camera in cameras]
    whole = triangulate_keypoints(views, cameras)
    monkeypatch.setattr("sightline.triangulate.CHUNK", 2 * 2 * 3 * 17)
    told: list[tuple[int, int]] = []
    parts = triangulate_keypoints(views, cameras, progress=lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(parts.joints_world_m, whole.joints_world_m, atol=1e-12)
    assert told == [(2, 7), (4, 7), (6, 7), (7, 7)]


def test_unsure_keypoints_do_not_count() -> None:
    cameras, joints = ring(3), people()
    views = [seen(camera, joints) for camera in cameras]
    views[0] = seen(cameras[0], joints + 0.5, confidence=0.2)
    world = triangulate_keypoints(views, cameras, min_confidence=0.3)
    np.testing.assert_allclose(world.joints_world_m, joints, atol=1e-9)
    assert (world.views == 2).all()
    strict = triangulate_keypoints(views, cameras, min_confidence=0.3, min_views=3)
    assert np.isnan(strict.joints_world_m).all()
    assert np.isnan(strict.reprojection_px).all()
    assert (strict.views == 0).all()


def test_a_view_with_left_and_right_exchanged_is_put_right() -> None:
    cameras, joints = ring(4), people()
    views = [seen(camera, joints) for camera in cameras]

    def exchanged(frame: KeypointFrame) -> KeypointFrame:
        if frame.index != 12:
            return frame
        wrong = replace(frame.people[1], keypoints_px=frame.people[1].keypoints_px[list(COCO.flip)])
        return replace(frame, people=(frame.people[0], wrong))

    views[2] = with_frames(views[2], exchanged)
    world = triangulate_keypoints(views, cameras)
    assert np.argwhere(world.swapped).tolist() == [[2, 1, 2]]
    np.testing.assert_allclose(world.joints_world_m, joints, atol=1e-9)
    assert (world.views == 4).all()
    plain = triangulate_keypoints(views, cameras, robust=False)
    assert not plain.swapped.any()
    assert np.abs(plain.joints_world_m - joints)[2, 1].max() > 0.1


def test_joints_are_converted_in_the_world() -> None:
    cameras, joints = ring(3), people()
    world = triangulate_keypoints([seen(camera, joints) for camera in cameras], cameras, skeleton="h36m17")
    hips = (joints[:, :, COCO.index("LHip")] + joints[:, :, COCO.index("RHip")]) / 2
    assert world.skeleton.name == "h36m17"
    np.testing.assert_allclose(world.joints_world_m[:, :, 0], hips, atol=1e-9)
    assert world.reprojection_px.shape == (5, 2, 3, 17)
    assert (world.views == 3).all()


def test_conversion_says_what_is_unknown() -> None:
    cameras, joints = ring(3), people()
    views = [seen(camera, joints) for camera in cameras]

    def without_left_hip(frame: KeypointFrame) -> KeypointFrame:
        sure = np.where(np.arange(17) == COCO.index("LHip"), 0.0, 1.0)
        return replace(frame, people=tuple(replace(p, confidence=sure) for p in frame.people))

    world = triangulate_keypoints([with_frames(v, without_left_hip) for v in views], cameras, skeleton="h36m17")
    unknown = np.isnan(world.joints_world_m[0, 0, :, 0])
    names = {joint for joint, missing in zip(world.skeleton.joints, unknown, strict=True) if missing}
    assert names == {"Hip", "LHip", "Spine"}
    assert (world.views[:, :, unknown] == 0).all()
    assert np.isnan(world.reprojection_px[..., unknown]).all()


def test_a_calibration_at_another_resolution_is_scaled() -> None:
    cameras, joints = ring(3), people()
    views = [seen(camera, joints) for camera in cameras]
    world = triangulate_keypoints(views, [camera.resized((2000, 1600)) for camera in cameras])
    np.testing.assert_allclose(world.joints_world_m, joints, atol=1e-9)


def test_one_person_needs_no_id() -> None:
    cameras, joints = ring(3), people(count=1)
    world = triangulate_keypoints([seen(camera, joints, (None,)) for camera in cameras], cameras)
    assert world.person_id.tolist() == [0]
    np.testing.assert_allclose(world.joints_world_m, joints, atol=1e-9)


@pytest.mark.parametrize(("frames", "count"), [(0, 0), (3, 0)])
def test_nobody_is_a_normal_result(frames: int, count: int) -> None:
    cameras = ring(3)
    views = [seen(camera, people(frames, count), ()) for camera in cameras]
    world = triangulate_keypoints(views, cameras, skeleton="h36m17")
    assert world.joints_world_m.shape == (frames, 0, 17, 3)
    assert world.swapped.shape == (frames, 0, 3)


def arguments() -> dict:
    cameras = ring(3)
    return {"views": [seen(camera, people(2)) for camera in cameras], "cameras": cameras}


def first_camera(change):
    return lambda a: a | {"cameras": [change(a["cameras"][0]), *a["cameras"][1:]]}


def first_view(change):
    return lambda a: a | {"views": [change(a["views"][0]), *a["views"][1:]]}


def without_ids(view: Keypoints) -> Keypoints:
    def bare(frame: KeypointFrame) -> KeypointFrame:
        return replace(frame, people=tuple(replace(person, id=None) for person in frame.people))

    return with_frames(view, bare)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: {"views": a["views"][:1], "cameras": a["cameras"][:1]}, UsageError, "at least two views"),
        (lambda a: a | {"cameras": a["cameras"][:2]}, UsageError, "one per view"),
        (lambda a: a | {"min_confidence": 1.5}, UsageError, "min_confidence"),
        (lambda a: a | {"inlier_px": -1.0}, UsageError, "inlier_px"),
        (lambda a: a | {"min_views": 4}, UsageError, "min_views"),
        (lambda a: a | {"skeleton": "octopus"}, UsageError, "unknown skeleton"),
        (first_camera(lambda c: Camera.stack([c, c])), UsageError, "one camera, got a batch"),
        (first_camera(lambda c: Camera.create(SIZE, 900.0)), InputError, "no camera_from_world"),
        (first_camera(lambda c: c.cropped((0, 0), (500, 800))), InputError, "does not fit its keypoints"),
        (first_view(lambda v: replace(v, fps=25.0)), InputError, "one frame rate"),
        (first_view(lambda v: replace(v, skeleton=get_skeleton("h36m17"))), InputError, "expected the skeleton"),
        (first_view(without_ids), InputError, "an id for every person"),
    ],
)
def test_views_that_do_not_fit_are_refused(change, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        triangulate_keypoints(**change(arguments()))


# Files


def some_world(**changes) -> WorldPoses:
    world = triangulate_keypoints(**arguments())
    return replace(world, **changes)


@pytest.mark.parametrize("fps", [None, 59.94])
def test_a_file_keeps_every_bit(tmp_path: Path, fps: float | None) -> None:
    joints = np.where(np.arange(17)[:, None] == 4, np.nan, people(2))
    world = some_world(fps=fps, joints_world_m=joints)
    write_world(world, tmp_path / "world.npz")
    read = read_world(tmp_path / "world.npz")
    assert read.skeleton == world.skeleton
    assert read.fps == world.fps
    for name in ("joints_world_m", "frame_index", "person_id", "reprojection_px", "views", "swapped"):
        np.testing.assert_array_equal(getattr(read, name), getattr(world, name))
        assert getattr(read, name).dtype == getattr(world, name).dtype
        assert not getattr(read, name).flags.writeable
    assert [file.name for file in tmp_path.iterdir()] == ["world.npz"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        write_world(some_world(), tmp_path / "nowhere" / "world.npz")
    foreign = replace(COCO, joints=("Nought", *COCO.joints[1:]))
    with pytest.raises(ValueError, match="convert it first"):
        write_world(some_world(skeleton=foreign), tmp_path / "world.npz")
    assert not list(tmp_path.iterdir())


def content() -> dict[str, np.ndarray]:
    world = some_world()
    names = ("joints_world_m", "frame_index", "person_id", "reprojection_px", "views", "swapped")
    head = {"format": "sightline/world", "version": 1, "skeleton": "coco17", "fps": np.float64(30)}
    return {name: np.asarray(value) for name, value in head.items()} | {n: getattr(world, n) for n in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": np.array("other/thing")}, "format: expected"),
        ({"version": np.array(2)}, "version: expected 1, got 2"),
        ({"skeleton": np.array("octopus")}, "unknown skeleton"),
        ({"fps": np.array(-1.0)}, "fps: expected"),
        ({"fps": np.array(np.inf)}, "fps: expected"),
        ({"views": None}, 'the key "views" is missing'),
        ({"surplus": np.zeros(1)}, 'unknown key "surplus"'),
        ({"person_id": np.array([8, 3])}, "person_id: expected rising"),
        ({"person_id": np.array([3.0, 8.0])}, "person_id: expected integers"),
        ({"joints_world_m": np.zeros((2, 2, 16, 3))}, "joints_world_m: expected"),
        ({"joints_world_m": np.zeros((2, 2, 51))}, "joints_world_m: expected floats on 4 axes"),
        ({"views": np.array([{}], dtype=object)}, "not a readable .npz"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, message: str
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no shape checker before the door
    arrays = {name: array for name, array in (content() | change).items() if array is not None}
    np.savez(tmp_path / "world.npz", **arrays)
    with pytest.raises(InputError, match=message) as caught:
        read_world(tmp_path / "world.npz")
    assert str(caught.value).startswith(str(tmp_path / "world.npz"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["missing", "folder", "empty", "text", "cut", "flipped", "single"])
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "world.npz"
    write_world(some_world(), path)
    whole = path.read_bytes()
    if damage in ("missing", "folder"):
        path.unlink()
        if damage == "folder":
            path.mkdir()
    elif damage == "single":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes(255 - b for b in whole[middle : middle + 64]) + whole[middle + 64 :]
        path.write_bytes({"empty": b"", "text": b"{}", "cut": whole[:middle], "flipped": flipped}[damage])
    with pytest.raises(InputError, match=r"world\.npz: ") as caught:
        read_world(path)
    assert "\n" not in str(caught.value)


# The real views


@pytest.fixture(scope="module")
def real() -> tuple[list[Keypoints], list[Camera]]:
    if not REAL.is_dir():
        pytest.skip("needs ../shared/real")
    cameras = read_cameras(REAL / "calibration.qca.txt")
    views = [read_keypoints(REAL / f"{name}.keypoints.json") for name in sorted(cameras)]
    return views, [cameras[name] for name in sorted(cameras)]


def test_the_real_people_stand_on_the_floor_and_keep_their_bones(real) -> None:
    world = triangulate_keypoints(*real, min_views=3)
    joint = world.skeleton.index
    agreeing = world.reprojection_px[world.reprojection_px <= 0.01 * math.hypot(1088, 1920)]
    assert np.median(agreeing) < 8  # px, of MediaPipe on people 800 px tall
    woman, man = world.joints_world_m[:, 0], world.joints_world_m[:, 1]
    feet = [joint(name) for name in ("LHeel", "RHeel", "LFootIndex", "RFootIndex")]
    assert np.abs(np.nanmedian(woman[:, feet, 2])) < 0.05  # she stands on the floor, z = 0
    assert 0.0 < np.nanmedian(man[:, feet, 2]) < 0.2  # he stands on a beam
    for person, nose_m in ((woman, 1.25), (man, 1.45)):
        assert abs(np.nanmedian(person[:, joint("Nose"), 2]) - nose_m) < 0.05
        for side in "LR":
            thigh = np.linalg.norm(person[:, joint(f"{side}Hip")] - person[:, joint(f"{side}Knee")], axis=-1)
            quartiles = np.nanpercentile(thigh, [25, 75])
            assert quartiles[1] - quartiles[0] < 0.05
    steps = np.linalg.norm(np.diff(world.joints_world_m, axis=0), axis=-1)
    assert np.nanmedian(steps) < 0.015  # metres in a sixtieth of a second: no jumping between views


def test_the_real_swaps_are_found_in_runs(real) -> None:
    swapped = triangulate_keypoints(*real).swapped
    assert not swapped[:, 0].any()
    assert swapped[50:63, 1, 1].all()  # the man's left and right in the second view
    assert not swapped[:, 1, [0, 2, 3]].any()


@pytest.mark.parametrize("left_out", [1, 3])
def test_where_three_views_agree_the_fourth_sees_the_same(real, left_out: int) -> None:
    """Only the second and fourth are foretold: the calibration puts the first and third some 20 px apart."""
    views, cameras = real
    others = [k for k in range(4) if k != left_out]
    world = triangulate_keypoints([views[k] for k in others], [cameras[k] for k in others], min_views=3)
    camera, joints = cameras[left_out], torch.from_numpy(world.joints_world_m.copy())
    projected = camera.project(camera.world_to_camera(joints))[0].numpy()
    stacked = views[left_out].stacked()
    sure = stacked.confidence.reshape(100, 2, 33) > 0.9
    apart = np.linalg.norm(projected - stacked.keypoints_px.reshape(100, 2, 33, 2), axis=-1)[sure]
    assert np.isfinite(apart).sum() > 300
    assert np.nanmedian(apart) < 16  # px: 4 cm at the people's distance
