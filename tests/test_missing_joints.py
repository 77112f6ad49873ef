"""The shipped lifter on held-out motion capture with joints missing: what the other frames and joints still tell."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from sightline.camera import Camera
from sightline.data.mocap_folder import prepare_mocap
from sightline.pipeline import Lifter, Smoothing, lift_film
from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

MOCAP = Path(__file__).resolve().parents[2] / "shared" / "mocap"
H36M = get_skeleton("h36m17")
LEGS = [H36M.index(name) for name in ("RKnee", "RAnkle", "LKnee", "LAnkle")]
UPPER = [row for row, name in enumerate(H36M.joints) if not any(part in name for part in ("Hip", "Knee", "Ankle"))]
CAMERA = Camera.create((1000, 1000), 1145.0)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not MOCAP.exists(), reason="needs ../shared/mocap")]


@lru_cache(maxsize=1)
def films() -> list[np.ndarray]:
    """Every third held-out clip, its first five seconds, from some side and 4.5 m away (m, camera frame)."""
    with tempfile.TemporaryDirectory() as folder:
        library = prepare_mocap(MOCAP, Path(folder) / "library.npz").library.split("test")
    rng, seen = np.random.default_rng(0), []
    for number in range(0, len(library), 3):
        joints = np.array(library.clip(number)[:150], np.float64)
        yaw = rng.uniform(0.0, 2 * np.pi)
        ahead = np.array([np.cos(yaw), np.sin(yaw), 0.0])
        rotation = np.stack([np.cross(ahead, [0.0, 0.0, 1.0]), [0.0, 0.0, -1.0], ahead])
        cam = (joints - joints[:, 0].mean(0) + 4.5 * ahead) @ rotation.T
        if cam[..., 2].min() > 1.0:
            seen.append(cam)
    return seen


def error(missing: str, smoothing: Smoothing, joints: list[int]) -> float:
    """Mean distance (m) of some joints about the root."""
    lifter, rng, errors = Lifter(), np.random.default_rng(1), []
    for truth in films():
        points = truth[..., :2] / truth[..., 2:] * 1145.0 + 500.0
        if missing == "30 %":
            points[rng.random(points.shape[:2]) < 0.3] = np.nan
        elif missing == "legs":
            points[:, LEGS] = np.nan
        frames = tuple(
            KeypointFrame(index=index, people=(PersonKeypoints(id=0, keypoints_px=row, confidence=1.0 * seen),))
            for index, (row, seen) in enumerate(zip(points, np.isfinite(points[..., 0]), strict=True))
        )
        keypoints = Keypoints(skeleton=H36M, image_size=(1000, 1000), fps=30.0, frames=frames)
        for frame in lift_film(lifter, keypoints, CAMERA, smoothing=smoothing).poses.frames:
            for person in frame.people:
                true = truth[frame.index] - truth[frame.index, 0]
                off = person.joints_cam_m - person.joints_cam_m[0] - true
                errors.append(np.linalg.norm(off[joints], axis=-1).mean())
    assert errors
    return float(np.mean(errors))


def test_a_film_of_which_30_percent_of_the_joints_are_missing() -> None:
    every = list(range(1, 17))
    assert error("30 %", "offline", every) <= 1.3 * error("nothing", "offline", every)


@pytest.mark.parametrize("smoothing", ["off", "offline"])
def test_the_upper_body_of_people_without_legs(smoothing: Smoothing) -> None:
    assert error("legs", smoothing, UPPER) <= 1.2 * error("nothing", smoothing, UPPER)
