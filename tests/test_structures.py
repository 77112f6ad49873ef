"""The typed results: frozen, checked at the door, and the same one by one as in arrays."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from sightline.camera import Camera
from sightline.skeleton import get_skeleton
from sightline.structures import (
    ExtraJoints,
    Hypothesis,
    KeypointFrame,
    Keypoints,
    ModelInfo,
    Person,
    PersonKeypoints,
    PoseFrame,
    Poses,
    Scale,
    World,
)

H36M = get_skeleton("h36m17")
CAMERA = Camera.create((1000, 800), 900.0)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """The library as users run it: without the tests' type checks, which would stop bad calls before our own do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def person_keypoints(**changes: Any) -> PersonKeypoints:
    fields: dict[str, Any] = {"keypoints_px": np.ones((17, 2)), "confidence": np.full(17, 0.5), "id": 0}
    return PersonKeypoints(**{**fields, **changes})


def person(**changes: Any) -> Person:
    fields: dict[str, Any] = {"joints_cam_m": np.ones((17, 3)), "keypoints_px": np.ones((17, 2))}
    fields |= {"confidence": np.ones(17), "score": 0.5, "root_depth_canonical": 0.003}
    return Person(**{**fields, **changes})


def poses(**changes: Any) -> Poses:
    fields: dict[str, Any] = {"skeleton": H36M, "camera": CAMERA, "model": ModelInfo(method="abspose"), "frames": ()}
    fields["scale"] = Scale(source="calibrated_focal", body="learned")
    return Poses(**{**fields, **changes})


def holed(rows: int, columns: int, at: tuple[int, ...] = (3,), value: float = np.nan) -> np.ndarray:
    array = np.ones((rows, columns))
    array[at] = value
    return array


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (person_keypoints, {"keypoints_px": np.ones((17, 3))}, r"keypoints_px: expected shape \(n, 2\), got \(17, 3\)"),
    (person_keypoints, {"keypoints_px": "x"}, "keypoints_px: expected an array of numbers"),
    (person_keypoints, {"keypoints_px": holed(17, 2, (3, 0))}, "keypoints_px: expected each point finite or NaN"),
    (person_keypoints, {"keypoints_px": holed(17, 2, value=np.inf)}, "keypoints_px: expected each point finite"),
    (person_keypoints, {"keypoints_px": holed(17, 2)}, "confidence: expected 0 where the keypoint is missing"),
    (person_keypoints, {"confidence": np.ones(16)}, r"confidence: expected shape \(17\), got \(16,\)"),
    (person_keypoints, {"confidence": np.full(17, 1.5)}, "confidence: expected numbers in 0…1"),
    (person_keypoints, {"confidence": np.full(17, np.nan)}, "confidence: expected numbers in 0…1"),
    (person_keypoints, {"id": -1}, "id: expected a whole number of at least 0, got -1"),
    (person_keypoints, {"height_m": 180.0}, "height_m: expected a stature of 0.4 to 2.6 m, got 180.0"),
    (person_keypoints, {"height_m": float("nan")}, "height_m: expected a stature"),
    (person, {"joints_cam_m": holed(17, 3, (2, 1))}, "joints_cam_m: expected each point finite or NaN"),
    (person, {"keypoints_px": np.ones((16, 2))}, r"keypoints_px: expected shape \(17, 2\)"),
    (person, {"score": float("nan")}, "score: expected a finite number"),
    (person, {"root_depth_canonical": 0.0}, "root_depth_canonical: expected a finite number above 0"),
    (person, {"box_px": (5, 5, 1, 9)}, "box_px: expected finite x0 ≤ x1"),
    (person, {"box_px": (0, 0, 1, np.nan)}, "box_px: expected finite"),
    (person, {"sigma_m": np.full((17, 3), -1.0)}, "sigma_m: expected no negative"),
    (person, {"mesh": ""}, "mesh: expected a text or None"),
    (person, {"hypotheses": (Hypothesis(score=1, joints_cam_m=np.ones((4, 3))),)}, "hypotheses: joints_cam_m"),
    (KeypointFrame, {"index": -1}, "index: expected a whole number of at least 0"),
    (KeypointFrame, {"index": 7, "people": (person_keypoints(), person_keypoints())}, "frame 7: expected each person"),
    (PoseFrame, {"index": 7, "people": (person(id=2), person(id=2))}, "frame 7: expected each person id once"),
    (PoseFrame, {"index": 7, "time_s": float("inf")}, "time_s: expected a finite number"),
    (Scale, {"source": "guess", "body": "learned"}, "scale.source: expected one of calibrated_focal"),
    (Scale, {"source": "exif_focal", "body": "tall"}, "scale.body: expected one of learned"),
    (ModelInfo, {"method": ""}, "model.method: expected a name"),
    (ModelInfo, {"method": "m", "details": {"loss": float("nan")}}, r"model.details\['loss'\]: expected a text or"),
    (World, {"up_cam": (0, -2, 0), "floor_cam": (0, -1, 0, 1.5)}, "up_cam: expected a unit vector"),
    (World, {"up_cam": (0, -1, 0), "floor_cam": (0, -1, 0, np.nan)}, "floor_cam: expected four finite numbers"),
    (poses, {"fps": 0.0}, "fps: expected a finite number above 0"),
    (poses, {"frames": (PoseFrame(index=2), PoseFrame(index=2))}, "frames: expected a rising index, got 2 after 2"),
    (poses, {"skeleton": get_skeleton("lsp14"), "frames": (PoseFrame(index=0, people=(person(),)),)}, "expected 14"),
    (poses, {"camera": Camera.stack([CAMERA, CAMERA])}, "camera: expected a single one"),
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("make", "fields", "sentence"), BAD)
def test_bad_values_fail_at_the_door(make: Any, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(**fields)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image_size": (0, 10)}, "image_size: width: expected a whole number of at least 1"),
        ({"image_size": (10, 10, 3)}, r"image_size: expected \(width, height\)"),
        ({"image_size": (10.5, 10)}, "image_size: width"),
        ({"fps": -1.0}, "fps: expected"),
        ({"frames": (KeypointFrame(index=3), KeypointFrame(index=1))}, "rising index, got 1 after 3"),
        ({"skeleton": get_skeleton("mpii16")}, r"frame 0: expected 16 joints \(mpii16\), got 17"),
    ],
)
def test_bad_keypoints_fail_at_the_door(changes: dict[str, Any], sentence: str) -> None:
    frames = (KeypointFrame(index=0, people=(person_keypoints(),)),)
    good = Keypoints(skeleton=get_skeleton("coco17"), image_size=(10, 20), frames=frames)
    with pytest.raises(ValueError, match=sentence):
        replace(good, **changes)


def test_values_are_frozen_copies() -> None:
    points = np.ones((17, 2), dtype=np.float32)
    value = person_keypoints(keypoints_px=points)
    points[0] = 9
    assert value.keypoints_px.dtype == np.float64
    assert value.keypoints_px[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        value.keypoints_px[0] = 2
    with pytest.raises(FrozenInstanceError):
        value.id = 3  # pyright: ignore
    with pytest.raises(TypeError):
        ModelInfo(method="m", details={"a": 1}).details["a"] = 2  # pyright: ignore


@pytest.mark.usefixtures("unchecked")
def test_lists_and_tensors_are_taken() -> None:
    value = person(joints_cam_m=torch.ones(17, 3), box_px=[0, 1, 2, 3], sigma_m=np.full((17, 3), np.nan).tolist())
    assert value.box_px is not None
    np.testing.assert_array_equal(value.box_px, (0, 1, 2, 3))


def test_no_people_is_a_normal_result() -> None:
    empty = poses(frames=(PoseFrame(index=0), PoseFrame(index=5)))
    joints, frame_index, person_id = empty.stacked()
    assert joints.shape == (0, 17, 3)
    assert frame_index.shape == person_id.shape == (0,)
    assert list(empty.people()) == []
    keypoints = Keypoints(skeleton=get_skeleton("coco17"), image_size=(4, 4), frames=(KeypointFrame(index=0),))
    assert keypoints.stacked().keypoints_px.shape == (0, 17, 2)
    converted, _ = keypoints.converted("h36m17")
    assert len(converted.frames) == 1


def test_stacked_rows_are_the_people_in_order() -> None:
    crowd = tuple(person(id=number, joints_cam_m=np.full((17, 3), float(number))) for number in range(3))
    nameless = replace(crowd[0], id=None, joints_cam_m=np.full((17, 3), 3.0))
    groups = {2: crowd, 4: (), 9: (nameless,)}
    result = poses(frames=tuple(PoseFrame(index=index, people=people) for index, people in groups.items()))
    stacked = result.stacked()
    np.testing.assert_array_equal(stacked.frame_index, [2, 2, 2, 9])
    np.testing.assert_array_equal(stacked.person_id, [0, 1, 2, -1])
    for row, (frame, someone) in zip(range(4), result.people(), strict=True):
        assert frame.index == stacked.frame_index[row]
        np.testing.assert_array_equal(stacked.joints_cam_m[row], someone.joints_cam_m)


def test_converting_all_equals_converting_one_by_one() -> None:
    rng = np.random.default_rng(1)
    frames = []
    for index, count in enumerate((2, 0, 1, 3)):
        people = [
            person_keypoints(id=k, keypoints_px=rng.normal(size=(17, 2)), confidence=rng.uniform(size=17), height_m=1.7)
            for k in range(count)
        ]
        frames.append(KeypointFrame(index=index, people=tuple(people)))
    keypoints = Keypoints(skeleton=get_skeleton("coco17"), image_size=(640, 480), frames=tuple(frames), fps=25)
    converted, rule = keypoints.converted("h36m17")
    assert converted.skeleton == H36M
    assert (converted.fps, converted.image_size) == (25, (640, 480))
    for (frame, before), (frame_after, after) in zip(keypoints.people(), converted.people(), strict=True):
        points, confidence = rule.apply(before.keypoints_px, before.confidence)
        assert frame_after.index == frame.index
        assert (after.id, after.height_m) == (before.id, 1.7)
        np.testing.assert_allclose(after.keypoints_px, points, rtol=1e-14)
        np.testing.assert_array_equal(after.confidence, confidence)


def test_frames_have_their_own_camera_or_the_common_one() -> None:
    own = CAMERA.resized((500, 400))
    result = poses(frames=(PoseFrame(index=0), PoseFrame(index=1, camera=own)))
    assert [result.camera_of(frame) is own for frame in result.frames] == [False, True]
    assert result.camera_of(result.frames[0]) is CAMERA


def test_results_travel_between_processes() -> None:
    extra = ExtraJoints(skeleton=get_skeleton("lsp14"), joints_cam_m=np.ones((14, 3)))
    model = ModelInfo(method="abspose", details={"sigma": 0.5, "note": "x"})
    result = poses(frames=(PoseFrame(index=0, people=(person(extra=extra),)),), model=model)
    copy = pickle.loads(pickle.dumps(result))
    assert (copy.model, copy.scale, copy.skeleton) == (result.model, result.scale, result.skeleton)
    np.testing.assert_array_equal(copy.stacked().joints_cam_m, result.stacked().joints_cam_m)
    with pytest.raises(TypeError):
        copy.model.details["sigma"] = 1
