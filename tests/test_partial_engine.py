"""The engine of the partial lifter: whom it takes, why others not, and whose stature stands in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sightline.camera import Camera
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.lifter import Lifter
from sightline.methods.abspose.engines import PartialEngine
from sightline.methods.abspose.model import AbsPoseLifter
from sightline.methods.abspose.partial import PartialConfig, PartialLifter
from sightline.skeleton import get_skeleton
from sightline.structures import PersonKeypoints
from tiny_lifters import KINDS

CAMERA = Camera.create((1000, 800), 1000.0)
SMALL = PartialConfig(width=32, blocks=1, mean_stature_m=1.6)
H36M = get_skeleton("h36m17")


def engine(exact_mean_m: float | None = None) -> PartialEngine:
    torch.manual_seed(0)
    exact = None
    if exact_mean_m is not None:
        exact = AbsPoseLifter(replace(KINDS["stature"], mean_stature_m=exact_mean_m)).eval()
    return PartialEngine(PartialLifter(SMALL).eval(), torch.device("cpu"), flip=True, exact=exact)


def person(points: np.ndarray, confidence: np.ndarray | None = None) -> PersonKeypoints:
    seen = np.asarray(np.isfinite(points).all(-1), dtype=float)
    return PersonKeypoints(id=0, keypoints_px=points, confidence=seen if confidence is None else confidence)


def standing() -> np.ndarray:
    """Keypoints (px) of somebody in the middle of the picture."""
    joints = procedural_poses(1, step_generator(0, 0))[0].numpy()
    return np.stack([500 + 200 * joints[:, 0], 600 - 200 * joints[:, 2]], axis=1)


def lacking(joints: int) -> np.ndarray:
    points = standing()
    points[:joints] = np.nan
    return points


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (lacking(0), None),
        (lacking(13), None),
        (lacking(14), "only 3 joints were seen (this lifter needs 4)"),
        (lacking(17), "no joint was seen"),
        (standing() + [2600.0, 0.0], "keypoints lie further outside the picture than it is large"),
        (standing() - [0.0, 2500.0], "keypoints lie further outside the picture than it is large"),
        (standing() + [900.0, 0.0], None),
        (np.full((17, 2), 400.0), "the keypoints lie on one spot"),
        (400.0 + standing() / 400.0, "the keypoints lie on one spot"),
    ],
)
def test_whom_it_takes(points: np.ndarray, reason: str | None) -> None:
    assert engine().ready([person(standing()), person(points)], H36M, CAMERA).reasons == (None, reason)


@pytest.mark.parametrize("far", [[1e5, 300.0], [-1e9, -1e9], [500.0, 1601.0]])
def test_a_keypoint_far_outside_the_picture_counts_as_not_seen(far: list[float]) -> None:
    missing, wild = standing(), standing()
    missing[13], wild[13] = np.nan, far
    one = engine()
    answers = []
    for points in (missing, wild):
        readied = one.ready([person(points)], H36M, CAMERA)
        answers.append(one.lift(readied, [0], CAMERA, torch.tensor([1.7], dtype=torch.float64)))
    assert_allclose(answers[1].joints_cam, answers[0].joints_cam)
    assert answers[0].sigma_m is not None
    assert answers[1].sigma_m is not None
    assert_allclose(answers[1].sigma_m, answers[0].sigma_m)


@pytest.mark.parametrize("name", ["h36m17", "coco17"])
def test_the_stature_that_stands_in_is_that_of_the_lifter_who_is_asked(name: str) -> None:
    """Joints of `h36m17` have the second opinion's, whatever it says of them; detectors' joints the network's own."""
    skeleton, both = get_skeleton(name), engine(exact_mean_m=1.8)
    points = np.random.default_rng(1).uniform(300, 600, (len(skeleton), 2))
    readied = both.ready([person(points)], skeleton, CAMERA)
    unknown, known = (
        both.lift(readied, [0], CAMERA, torch.tensor([height], dtype=torch.float64)).joints_cam
        for height in (float("nan"), 1.8 if name == "h36m17" else 1.6)
    )
    assert_allclose(unknown, known, rtol=1e-5)


def test_details_tell_both_statures() -> None:
    assert engine().details["mean_stature_m"] == 1.6
    assert "exact_mean_stature_m" not in engine().details
    assert engine(exact_mean_m=1.8).details["exact_mean_stature_m"] == 1.8


def test_what_stands_in_is_told_for_the_joints_at_hand() -> None:
    lifter = Lifter()
    assert lifter.stand_in("coco17") == "where no height is given, a stature of 1.65 m stands in"
    assert lifter.stand_in("h36m17") == "where no height is given, a stature of 1.70 m stands in"
    assert lifter.stand_in() == "where no height is given, a stature of 1.65 m (1.70 m for joints of h36m17) stands in"
