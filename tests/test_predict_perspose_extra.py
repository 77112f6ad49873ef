"""What PersPose tells beyond the joint set of its poses: face, hands and feet, in files, over time and in meshes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from sightline.body.model import PosedBody
from sightline.formats.poses import read_poses, write_poses
from sightline.geometry.rotation import axis_rotation
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.prediction.perspose import PersPoseEstimator
from sightline.skeleton import get_skeleton
from sightline.stature import stature_from_joints
from sightline.structures import PoseFrame, Poses
from staged_films import walkers, write_film
from staged_people import LANDSCAPE, person, poses
from test_predict_perspose import CONFIG, NAMES, AllSeeing, poses_of, written

MEDIAPIPE = get_skeleton("mediapipe33")
BEYOND = tuple(ALL_LANDMARKS[row] for row in rows_of(MEDIAPIPE))
KNOWN = tuple(dict.fromkeys((*NAMES, *BEYOND)))


class Knowing(AllSeeing):
    """The same for all joints of two sets."""

    config = replace(CONFIG, landmarks=KNOWN)


def all_known(joints: np.ndarray) -> np.ndarray:
    """Truth of every landmark, made up: those of h36m17, and points around the pelvis."""
    others = np.random.default_rng(3).normal(0.0, 0.2, (len(KNOWN) - len(joints), 3))
    return np.concatenate([joints, joints[0] + others])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("weights"), Knowing.config)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "walk.mp4", frames=3)


def knowing(weights: Path, monkeypatch: pytest.MonkeyPatch) -> PersPoseEstimator:
    estimator = PersPoseEstimator(weights, flip=False)
    script = [all_known(joints) for number in range(3) for joints in walkers(number)]
    estimator.network = Knowing(script, monkeypatch)  # pyright: ignore[reportAttributeAccessIssue]
    return estimator


@pytest.mark.parametrize("height_m", [None, 1.5])
def test_face_hands_and_feet_are_told_as_extra_joints(
    weights: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height_m: float | None
) -> None:
    found = poses_of(film, knowing(weights, monkeypatch), height_m=height_m)
    rows = [KNOWN.index(name) for name in BEYOND]
    for ending in ("json", "npz"):
        write_poses(found, tmp_path / f"poses.{ending}")
        for number, frame in enumerate(read_poses(tmp_path / f"poses.{ending}").frames):
            near_first = sorted(frame.people, key=lambda one: float(one.joints_cam_m[0, 2]))
            for one, truth in zip(near_first, walkers(number), strict=True):
                ratio = 1.0 if height_m is None else height_m / float(stature_from_joints(torch.from_numpy(truth)))
                assert one.extra is not None
                assert one.extra.skeleton == MEDIAPIPE
                assert_allclose(one.joints_cam_m, ratio * truth, atol=4e-4)
                assert_allclose(one.extra.joints_cam_m, ratio * all_known(truth)[rows], atol=4e-4)


def test_a_network_that_does_not_know_them_all_tells_none(tmp_path: Path) -> None:
    path = written(tmp_path, replace(CONFIG, landmarks=tuple(name for name in KNOWN if name[1:] != "Heel")))
    assert PersPoseEstimator(path).beyond is None


# ---- meshes --------------------------------------------------------------------------------------------------------


def turned_body() -> tuple[PosedBody, dict[str, np.ndarray]]:
    """Anny before a camera with head, hands and feet turned, and where the landmarks are (m, the camera's frame)."""
    from sightline.body.anny_body import AnnyBody
    from sightline.body.articulation import articulation_of
    from sightline.body.regressors import landmarks_of

    def turn_about(axis: Literal["x", "y", "z"], angle_rad: float) -> Tensor:
        return axis_rotation(axis, torch.tensor(angle_rad, dtype=torch.float32))

    body = AnnyBody.load()
    rest = body.rest(torch.full((1, len(body.shape_names)), 0.5))
    articulation = articulation_of(body)
    turns = torch.eye(3).expand(1, len(body.bones), 3, 3).clone()
    upright = turn_about("x", np.pi / 2)
    turns[:] = upright
    angles = {articulation.head: (0.0, 0.0, 0.7)}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        angles |= dict.fromkeys(articulation.segments[f"{side}Hand"], (0.0, 0.5, 0.6 * sign))
        angles |= dict.fromkeys(articulation.segments[f"{side}Foot"], (-0.4, 0.0, 0.6 * sign))
    for bone, (x, y, z) in angles.items():
        turned = torch.linalg.multi_dot([turn_about("x", x), turn_about("y", y), turn_about("z", z)])
        turns[0, body.bones.index(bone)] = upright @ turned
    posed = body.posed(rest, turns, torch.tensor([[0.0, 0.0, 4.0]]))
    points = landmarks_of(body, posed)[0].double().numpy()
    return posed, dict(zip(ALL_LANDMARKS, points, strict=True))


def test_bodies_turn_head_hands_and_feet_as_the_extra_joints_say() -> None:
    pytest.importorskip("anny", reason="bodies need the package anny")
    pytest.importorskip("warp", reason="drawing bodies needs the package warp-lang")
    from sightline.structures import ExtraJoints
    from sightline.viewer.mesh import fitted_bodies

    truth, points = turned_body()
    plain = person(np.stack([points[name] for name in NAMES]), LANDSCAPE, 1)
    extra = ExtraJoints(skeleton=MEDIAPIPE, joints_cam_m=np.stack([points[name] for name in BEYOND]))
    told = replace(plain, extra=extra)

    def missed(film: Poses, frame: PoseFrame) -> np.ndarray:
        skin = fitted_bodies(film).vertices_cam(frame, 0)
        assert skin is not None
        return np.linalg.norm(skin - truth.vertices[0].double().numpy(), axis=-1)

    without, with_it = (missed(film, film.frames[0]) for film in (poses([[plain]]), poses([[told]])))
    assert with_it.mean() < 0.6 * without.mean()
    assert np.quantile(with_it, 0.99) < 0.5 * np.quantile(without, 0.99)
    some = poses([[plain], [told], [plain]])
    assert missed(some, some.frames[1]).mean() < 0.6 * without.mean()
    assert missed(some, some.frames[2]).mean() < 1.5 * without.mean()
