"""Least squares over lens and boards: exact corners give the camera back, and the standard deviations are true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from board_pictures import CAMERAS, Checkers, spread_poses
from camera_cases import LENSES
from sightline.calibration.bundle import (
    Bundle,
    Views,
    adjusted,
    certainty,
    lens_names,
    lens_values,
    squared_error,
    with_lens,
)
from sightline.camera import Camera

BOARD = Checkers(6, 4, 0.04)
ALL_LENSES = {**CAMERAS, "pinhole": replace(CAMERAS["normal"], distortion=None)}
ALL_LENSES["rational"] = replace(
    CAMERAS["normal"],
    distortion=replace(LENSES["rational_prism"], thin_prism=None),  # type: ignore[type-var]
)


def exact(camera: Camera, count: int = 8) -> tuple[Bundle, Views]:
    """Boards before a camera, and exactly where it sees their corners; every third corner is hidden somewhere."""
    poses = spread_poses(camera, BOARD.corners_m, count)
    rotation = torch.from_numpy(np.stack([pose.rotation for pose in poses]))
    bundle = Bundle(camera, rotation, torch.from_numpy(np.stack([pose.translation_m for pose in poses])))
    points = torch.from_numpy(BOARD.corners_m).expand(count, -1, -1)
    seen = torch.ones(points.shape[:2], dtype=torch.bool)
    seen[::2, ::3] = False
    blank = Views(points, torch.zeros(*points.shape[:2], 2, dtype=torch.float64), seen)
    corners, valid = camera.project(bundle.points_cam(blank).flatten(0, 1))
    assert valid.all()
    return bundle, replace(blank, corners_px=corners.unflatten(0, seen.shape))


def all_free(camera: Camera) -> Tensor:
    return torch.ones(len(lens_names(camera)), dtype=torch.bool)


def nudged(bundle: Bundle, lens: float = 0.02) -> Bundle:
    """A start that is off by a few percent and degrees."""
    values = lens_values(bundle.camera)
    values[:4] *= 1.0 + lens
    values[4:] *= 1.0 - 5.0 * lens
    turn = roma.rotvec_to_rotmat(0.03 * torch.randn(len(bundle.rotation), 3, dtype=torch.float64))
    moved = bundle.translation_m * (1.0 + 0.03 * torch.randn(len(bundle.rotation), 1, dtype=torch.float64))
    return Bundle(with_lens(bundle.camera, values), turn @ bundle.rotation, moved)


@pytest.mark.parametrize("lens", ALL_LENSES)
def test_exact_corners_give_back_the_camera(lens: str) -> None:
    bundle, views = exact(ALL_LENSES[lens], count=12)
    found = adjusted(nudged(bundle), views, all_free(bundle.camera), rounds=300)
    rms = (squared_error(found, views) / int(views.seen.sum())) ** 0.5
    assert rms < (1e-4 if lens == "rational" else 1e-7)
    if lens != "rational":  # whose coefficients can hardly be told apart, while the pictures agree
        assert torch.allclose(lens_values(found.camera), lens_values(bundle.camera), rtol=1e-6, atol=1e-7)
        assert torch.allclose(found.rotation, bundle.rotation, atol=1e-7)
        assert torch.allclose(found.translation_m, bundle.translation_m, atol=1e-7)


def test_hidden_corners_say_nothing() -> None:
    bundle, views = exact(CAMERAS["normal"])
    corners = torch.where(views.seen[..., None], views.corners_px, views.corners_px + 50.0)
    moved = replace(views, corners_px=corners)
    assert squared_error(bundle, moved) == squared_error(bundle, views) < 1e-18
    one = certainty(bundle, views, all_free(bundle.camera), noise_px=0.1)
    other = certainty(bundle, moved, all_free(bundle.camera), noise_px=0.1)
    assert np.array_equal(one.lens, other.lens)


def test_a_fixed_camera_stays_and_its_boards_move() -> None:
    bundle, views = exact(CAMERAS["fisheye"])
    start = replace(nudged(bundle, lens=0.0), camera=bundle.camera)
    found = adjusted(start, views, torch.zeros(8, dtype=torch.bool))
    assert torch.equal(lens_values(found.camera), lens_values(bundle.camera))
    assert torch.allclose(found.translation_m, bundle.translation_m, atol=1e-8)


def test_some_parameters_can_be_held() -> None:
    bundle, views = exact(CAMERAS["normal"])
    free = torch.tensor([True, True, False, False, True, True, True, True])
    values = lens_values(bundle.camera)
    values[2:4] += 3.0
    start = replace(bundle, camera=with_lens(bundle.camera, values))
    found = lens_values(adjusted(start, views, free).camera)
    assert torch.equal(found[2:4], values[2:4])
    assert (found[:2] != values[:2]).all()


def test_a_start_that_the_lens_cannot_show_is_returned() -> None:
    bundle, views = exact(CAMERAS["normal"])
    behind = replace(bundle, translation_m=-bundle.translation_m)
    assert squared_error(behind, views) == float("inf")
    found = adjusted(behind, views, all_free(bundle.camera))
    assert torch.equal(found.translation_m, behind.translation_m)


def dense_covariance(bundle: Bundle, views: Views, noise_px: float) -> Tensor:
    """The slow, plain twin: one Jacobian over all unknowns by automatic differentiation, inverted as a whole."""
    base = lens_values(bundle.camera)
    unknowns = torch.cat([base, torch.zeros(6 * len(bundle.rotation), dtype=torch.float64)])

    def residuals(x: Tensor) -> Tensor:
        pose = x[len(base) :].reshape(-1, 6)
        turned = roma.rotvec_to_rotmat(pose[:, :3]) @ bundle.rotation
        moved = Bundle(with_lens(bundle.camera, x[: len(base)]), turned, bundle.translation_m + pose[:, 3:])
        return moved.residuals_px(views)[views.seen].flatten()

    jacobian = torch.autograd.functional.jacobian(residuals, unknowns)
    assert isinstance(jacobian, Tensor)
    return torch.linalg.inv(jacobian.T @ jacobian) * noise_px**2


@pytest.mark.parametrize("lens", ["normal", "fisheye"])
def test_certainty_equals_its_slow_twin(lens: str) -> None:
    bundle, views = exact(ALL_LENSES[lens], count=4)
    expected = dense_covariance(bundle, views, 0.25).numpy()
    found, count = certainty(bundle, views, all_free(bundle.camera), noise_px=0.25), len(lens_names(bundle.camera))
    scale = np.sqrt(np.diag(expected))
    assert np.allclose(
        found.lens / np.outer(scale[:count], scale[:count]), _correlation(expected)[:count, :count], atol=2e-3
    )
    for number, pose in enumerate(found.pose):
        block = slice(count + 6 * number, count + 6 * number + 6)
        assert np.allclose(np.sqrt(np.diag(pose)), scale[block], rtol=2e-3)


def _correlation(covariance: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.diag(covariance))
    return covariance / np.outer(scale, scale)


@pytest.mark.slow
def test_standard_deviations_are_what_noise_does() -> None:
    """Corners with noise of 0.2 px, 60 times: the spread of the results is the spread foretold, and so is the noise."""
    bundle, views = exact(CAMERAS["normal"], count=6)
    free, found, noise = all_free(bundle.camera), [], []
    for _ in range(60):
        noisy = replace(views, corners_px=views.corners_px + 0.2 * torch.randn_like(views.corners_px))
        result = adjusted(bundle, noisy, free, rounds=6)
        found.append(lens_values(result.camera).numpy())
        noise.append(certainty(result, noisy, free).noise_px)
    foretold = np.sqrt(np.diag(certainty(bundle, views, free, noise_px=0.2).lens))
    assert np.mean(noise) == pytest.approx(0.2, rel=0.03)
    spread = np.std(found, axis=0, ddof=1)
    assert np.all(np.abs(spread / foretold - 1.0) < 0.35)  # 60 draws know a spread to 9 %
    assert np.mean(spread / foretold) == pytest.approx(1.0, abs=0.12)


def test_boards_that_face_the_camera_leave_the_focal_length_open() -> None:
    """A board parallel to the picture looks the same for twice the focal length at twice the distance."""
    camera = ALL_LENSES["pinhole"]
    points = torch.from_numpy(BOARD.corners_m).expand(5, -1, -1)
    translation = torch.tensor(
        [[-0.1, -0.06, 0.5], [0.0, 0.0, 0.6], [-0.2, 0.0, 0.6], [0.0, -0.1, 0.5], [-0.1, 0.0, 0.7]]
    )
    bundle = Bundle(camera, torch.eye(3).double().expand(5, 3, 3), translation.double())
    seen = torch.ones(points.shape[:2], dtype=torch.bool)
    views = Views(points, torch.zeros(*seen.shape, 2, dtype=torch.float64), seen)
    corners, _ = camera.project(bundle.points_cam(views).flatten(0, 1))
    views = replace(views, corners_px=corners.unflatten(0, seen.shape))
    tilted, tilted_views = exact(camera, count=5)
    deviation = [
        np.sqrt(np.abs(np.diag(certainty(each, its, all_free(camera), noise_px=0.1).lens)))[0]
        for each, its in ((bundle, views), (tilted, tilted_views))
    ]
    assert not deviation[0] < 50.0
    assert deviation[1] < 2.0
