"""Rendered pictures as keypoints and poses: the same numbers in Sightline's own types."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sightline.landmarks import ALL_LANDMARKS
from sightline.structures import Keypoints, Poses
from sightline.synth.render import render
from sightline.synth.rendered import Rendered
from sightline.synth.typed import keypoints_of, poses_of
from synth_scenes import GREEN, ball_person, board, camera_at, scene

pytest.importorskip("warp", reason="drawing people needs the package warp-lang")


@pytest.fixture(scope="module")
def pictures() -> list[Rendered]:
    both = scene(ball_person(), ball_person((0.9, 0.4), GREEN))
    hidden = dataclasses.replace(both, props=(board((0.1, -1.0, 0.7)),))
    away = dataclasses.replace(both, camera=camera_at(target=(0.0, -6.0, 0.9)))
    return [render(value) for value in (both, hidden, away)]


def test_poses_are_the_truth_and_project_onto_the_keypoints(pictures: list[Rendered]) -> None:
    poses = poses_of(pictures)
    assert [len(frame.people) for frame in poses.frames] == [2, 2, 0]
    spine = poses.skeleton.index("Spine")
    row = ALL_LANDMARKS.index("Spine")
    for frame in poses.frames:
        for person in frame.people:
            truth = pictures[frame.index].people[person.id or 0]
            np.testing.assert_array_equal(person.joints_cam_m[spine], truth.landmarks_cam[row])
            np.testing.assert_array_equal(person.keypoints_px[spine], truth.landmarks_px[row])
            focal = float(pictures[frame.index].camera.focal_px[0])
            assert person.root_depth_canonical == pytest.approx(person.joints_cam_m[0, 2] / focal)
    assert poses.camera_of(poses.frames[2]) is pictures[2].camera


def test_keypoints_leave_out_what_is_hidden_unless_asked(pictures: list[Rendered]) -> None:
    seen, every = (keypoints_of(pictures, "h36m17", hidden=hidden) for hidden in (False, True))
    assert isinstance(seen, Keypoints)
    assert seen.image_size == (64, 48)
    spine = seen.skeleton.index("Spine")
    assert np.isfinite(seen.frames[0].people[0].keypoints_px[spine]).all()
    assert np.isnan(seen.frames[1].people[0].keypoints_px[spine]).all()  # behind the board
    assert seen.frames[1].people[0].confidence[spine] == 0
    assert np.isfinite(every.frames[1].people[0].keypoints_px).all()
    assert every.frames[2].people == ()


def test_coco_needs_no_middle(pictures: list[Rendered]) -> None:
    keypoints = keypoints_of(pictures[:1], hidden=True)
    assert keypoints.skeleton.name == "coco17"
    assert len(keypoints.frames[0].people[0].keypoints_px) == 17


def test_nothing_and_mixtures_are_refused(pictures: list[Rendered]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        getattr(poses_of, "__wrapped__", poses_of)([])
    other = render(scene(ball_person(), camera=camera_at(size=(32, 32))))
    for several in ([], [pictures[0], other]):
        with pytest.raises(ValueError, match="one size"):
            getattr(keypoints_of, "__wrapped__", keypoints_of)(several)
    assert isinstance(poses_of([pictures[0], other]), Poses)
