"""`sightline demo`: how it compares the rendered photo's poses with the truth."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sightline.cli.demo import Demo
from sightline.formats.poses import read_poses
from sightline.skeleton import conversion, get_skeleton
from sightline.structures import Person, Poses


def in_joint_set(poses: Poses, name: str) -> Poses:
    """The same people in another joint set."""
    rule = conversion(poses.skeleton, name)

    def converted(person: Person) -> Person:
        joints, confidence = rule.apply(person.joints_cam_m, person.confidence)
        assert confidence is not None
        return replace(
            person, joints_cam_m=joints, confidence=confidence, keypoints_px=rule.apply(person.keypoints_px)[0]
        )

    frames = tuple(replace(frame, people=tuple(map(converted, frame.people))) for frame in poses.frames)
    return replace(poses, skeleton=get_skeleton(name), frames=frames)


@pytest.mark.parametrize(("joint_set", "limit_mm"), [("h36m17", 0.0), ("mpi_inf_3dhp17", 20.0)])
def test_the_photo_is_compared_joint_by_joint_by_name(joint_set: str, limit_mm: float, tmp_path: Path) -> None:
    """Poses that are the truth have no error, also in the order of a joint set in which the hip is not the first."""
    truth = read_poses(Path(str(files("sightline"))) / "assets" / "demo" / "photo_truth.json")
    assert truth.skeleton == get_skeleton("h36m17")
    found = in_joint_set(truth, joint_set)
    lifter: Any = SimpleNamespace(lift=lambda keypoints, camera: SimpleNamespace(poses=found))
    figures = Demo(out=tmp_path)._lift_photo(lifter)
    assert figures["people"] == 3
    assert figures["keypoints"] > 20
    assert figures["mpjpe_mm"] <= limit_mm
    assert 1000 * figures["position_m"] <= limit_mm
    assert (tmp_path / "photo_picture.png").exists()
