"""From corners to a camera: OpenCV's optimum where that is to be had, and the truth where mistakes would break it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="the first guess of a board's pose is OpenCV's")

import cv2

from board_pictures import CAMERAS, SIZE, Checkers, spread_poses
from sightline.calibration.bundle import Views, lens_names, lens_values
from sightline.calibration.solve import LensModel, Solution, rms_px, solve, stacked
from sightline.camera import Camera
from sightline.errors import InputError
from sightline.geometry.distortion import Distortion

BOARD = Checkers(8, 5, 0.03)


def corners_of(camera: Camera, count: int = 12, noise_px: float = 0.1, **how: Any) -> list[np.ndarray]:
    """Where a camera sees the corners of boards, with noise."""
    random, found = np.random.default_rng(1), []
    for pose in spread_poses(camera, BOARD.corners_m, count, **how):
        pixels, valid = camera.project(torch.from_numpy(pose.points_cam(BOARD.corners_m)))
        assert valid.all()
        found.append(pixels.numpy() + noise_px * random.normal(size=pixels.shape))
    return found


def views_of(corners: list[np.ndarray]) -> Views:
    return stacked(BOARD.corners_m, [(np.arange(len(each)), each) for each in corners])


def model_of(lens: str) -> LensModel:
    return "fisheye" if lens == "fisheye" else "brown_conrady"


def deviations(solution: Solution) -> np.ndarray:
    return np.sqrt(np.diag(solution.sure.lens))


# ---- OpenCV's optimum ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lens", ["normal", "wide"])
def test_brown_conrady_is_the_optimum_of_calibrate_camera(lens: str) -> None:
    corners = corners_of(CAMERAS[lens])
    found = solve(views_of(corners), SIZE, "brown_conrady", "5")
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 300, 1e-14)
    rms, matrix, k, *_, std, _, per_view = cv2.calibrateCameraExtended(
        [BOARD.corners_m.astype(np.float32)] * len(corners),
        [each.astype(np.float32)[:, None] for each in corners],
        SIZE,
        None,
        None,
        criteria=until,
    )
    k1, k2, p1, p2, k3 = k.ravel()
    expected = [*matrix[[0, 1, 0, 1], [0, 1, 2, 2]], k1, k2, k3, p1, p2]
    off = lens_values(found.bundle.camera).numpy() - expected
    assert np.abs(off / deviations(found)).max() < 0.02
    errors = rms_px(found.bundle.residuals_px(found.views), found.views.seen)
    assert float((errors**2).mean().sqrt()) == pytest.approx(rms, rel=1e-5)
    assert errors.numpy() == pytest.approx(per_view.ravel(), rel=1e-2)
    assert deviations(found) == pytest.approx(std.ravel()[[0, 1, 2, 3, 4, 5, 8, 6, 7]], rel=0.01)


def test_fisheye_is_the_optimum_of_fisheye_calibrate() -> None:
    """On a set of pictures on which OpenCV's does not fail; it does on those of the widest lens here."""
    camera = Camera.create(
        SIZE,
        (401.0, 399.5),
        (322.0, 237.0),
        distortion=Distortion.create("kannala_brandt", [0.03, -0.02, 0.01, -0.003]),
    )
    corners = corners_of(camera, tilt_deg=25.0, span=0.4)
    found = solve(views_of(corners), SIZE, "fisheye", "4")
    matrix, k = np.array([[390.0, 0, 320], [0, 390.0, 240], [0, 0, 1]]), np.zeros((4, 1))
    flags = cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC | cv2.fisheye.CALIB_FIX_SKEW | cv2.fisheye.CALIB_USE_INTRINSIC_GUESS
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 300, 1e-12)
    points = [BOARD.corners_m[None]] * len(corners)
    rms, matrix, k, *_ = cv2.fisheye.calibrate(
        points, [each[None] for each in corners], SIZE, matrix, k, None, None, flags, until
    )
    assert rms < 0.2, "OpenCV's calibration failed"
    expected = [*matrix[[0, 1, 0, 1], [0, 1, 2, 2]], *k.ravel()]
    assert np.abs((lens_values(found.bundle.camera).numpy() - expected) / deviations(found)).max() < 0.1


# ---- the truth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lens", CAMERAS)
@pytest.mark.parametrize("damage", ["none", "loud", "both"])
def test_mistakes_are_found_and_the_truth_behind_them(lens: str, damage: str) -> None:
    """Three in a hundred corners 15 px off; three of sixteen pictures with corners in another order or sheared."""
    random, corners = np.random.default_rng(7), corners_of(CAMERAS[lens], 16, 0.8 if damage == "loud" else 0.1)
    spoilt = 0
    if damage == "both":
        for each in corners:
            wrong = random.random(len(each)) < 0.03
            spoilt += int(wrong.sum())
            each[wrong] += 15.0 * random.choice([-1.0, 1.0], size=(int(wrong.sum()), 2))
        corners[2] = random.permutation(corners[2])
        corners[5] = corners[5] + np.linspace(0.0, 40.0, 40)[:, None] * [1.0, -0.4]
        corners[9] = random.permutation(corners[9])
    found = solve(views_of(corners), SIZE, model_of(lens), "auto")
    assert np.flatnonzero(~found.kept).tolist() == ([2, 5, 9] if damage == "both" else [])
    assert found.left_out <= spoilt
    assert found.left_out >= 0.6 * spoilt
    true = dict(zip(lens_names(CAMERAS[lens]), lens_values(CAMERAS[lens]).tolist(), strict=True))
    estimated = dict(zip(lens_names(found.bundle.camera), lens_values(found.bundle.camera).tolist(), strict=True))
    for (name, value), std in zip(estimated.items(), deviations(found), strict=True):
        assert abs(value - true.get(name, 0.0)) < 4.5 * std, name


def test_a_wider_view_than_half_the_world() -> None:
    """Some corners lie behind the camera's plane, where x / z has no meaning."""
    camera = Camera.create(
        (800, 800), 800 / np.radians(200), distortion=Distortion.create("kannala_brandt", [0.01, -0.005, 0.0, 0.0])
    )
    corners = corners_of(camera, 20, span=0.28)
    rays, _ = camera.unproject(torch.from_numpy(np.concatenate(corners)))
    assert int((rays[:, 2] < 0.0).sum()) > 5
    found = solve(views_of(corners), (800, 800), "fisheye", "auto")
    assert torch.allclose(found.bundle.camera.focal_px, camera.focal_px, rtol=2e-3)


@pytest.mark.parametrize(("focal_px", "expected"), [(300.0, 0.002), (560.0, 0.003), (5000.0, 0.02)])
def test_wide_and_long_lenses_start_well(focal_px: float, expected: float) -> None:
    camera = Camera.create(SIZE, focal_px)
    found = solve(views_of(corners_of(camera, noise_px=0.05)), SIZE, "brown_conrady", "auto")
    assert torch.allclose(found.bundle.camera.focal_px, camera.focal_px, rtol=expected)


def test_needless_coefficients_are_left_out() -> None:
    """A lens with two: the third adds noise only. One with three keeps them."""
    normal = solve(views_of(corners_of(CAMERAS["normal"], 6)), SIZE, "brown_conrady", "auto")
    wide = solve(views_of(corners_of(CAMERAS["wide"], 6)), SIZE, "brown_conrady", "auto")
    assert lens_names(normal.bundle.camera)[4:] == ["k1", "k2", "p1", "p2"]
    assert lens_names(wide.bundle.camera)[4:] == ["k1", "k2", "k3", "p1", "p2"]
    forced = solve(views_of(corners_of(CAMERAS["normal"], 6)), SIZE, "brown_conrady", "5")
    assert deviations(forced)[5] > 2.0 * deviations(normal)[5]


def test_nonsense_is_no_camera() -> None:
    random = np.random.default_rng(0)
    nonsense = [random.uniform([0, 0], SIZE, size=(40, 2)) for _ in range(6)]
    try:
        found = solve(views_of(nonsense), SIZE, "brown_conrady", "auto")
    except InputError:
        return
    assert np.median(found.errors_px) > 20.0  # and `calibrated` refuses that
