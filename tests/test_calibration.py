"""Pictures of a board give back the camera that took them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import roma
import torch

pytest.importorskip("cv2", reason="finding boards needs OpenCV")

import cv2

from board_pictures import CAMERAS, SIZE, Checkers, Photographer, Pose, Printed, spread_poses
from sightline.calibration import Board, CalibrationResult, CharucoBoard, Checkerboard, calibrate
from sightline.calibration.finding import find_board, grey_of
from sightline.camera import Camera
from sightline.errors import InputError

CHECKERS = Checkerboard(columns=8, rows=5, square_mm=30.0)
CHARUCO = CharucoBoard(columns=7, rows=5, square_mm=40.0)
COUNT = {"checkerboard": 12, "charuco": 15}
SPAN = {"checkerboard": 0.45, "charuco": 0.52}  # of a ChArUco board a part may be beyond the border


def charuco_print(columns: int = 7, rows: int = 5, *, legacy: bool = False) -> Printed:
    """As OpenCV itself draws the board."""
    family = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
    board = cv2.aruco.CharucoBoard((columns, rows), 0.040, 0.030, family)
    board.setLegacyPattern(legacy)
    texture = board.generateImage((columns * 42 + 84, rows * 42 + 84), marginSize=42, borderBits=1)
    return Printed(texture, 42, 42, columns, rows, 0.040)


BOARDS: dict[str, tuple[Board, Any]] = {
    "checkerboard": (CHECKERS, Checkers(8, 5, 0.030)),
    "charuco": (CHARUCO, charuco_print()),
}


@dataclass(frozen=True)
class Shots:
    """Pictures of a board by a known camera, and where the board was."""

    camera: Camera
    pattern: Any
    poses: list[Pose]
    pictures: list[np.ndarray]

    def named(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((f"{number:02d}.png", pixels) for number, pixels in enumerate(self.pictures))

    def true_px(self, number: int) -> np.ndarray:
        """Where the corners of the board are in a picture, px."""
        points = torch.from_numpy(self.poses[number].points_cam(self.pattern.corners_m))
        return self.camera.project(points)[0].numpy()


_taken: dict[tuple[str, str], Shots] = {}


def shots(lens: str, board: str = "checkerboard") -> Shots:
    """Taken once per process: several tests look at the same pictures."""
    if (lens, board) not in _taken:
        camera, pattern = CAMERAS[lens], BOARDS[board][1]
        poses = spread_poses(camera, pattern.corners_m, COUNT[board], whole=board == "checkerboard", span=SPAN[board])
        photographer = Photographer(camera)
        pictures = [photographer.picture(pattern, pose) for pose in poses]
        _taken[lens, board] = Shots(camera, pattern, poses, pictures)
    return _taken[lens, board]


def model_of(lens: str) -> Any:
    return "fisheye" if lens == "fisheye" else "brown_conrady"


def grid_px(margin: float = 0.1) -> torch.Tensor:
    """Places all over the picture."""
    width, height = SIZE
    x, y = np.meshgrid(np.linspace(margin, 1 - margin, 13) * width, np.linspace(margin, 1 - margin, 9) * height)
    return torch.from_numpy(np.stack([x, y], -1).reshape(-1, 2))


# ---- the camera comes back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lens", "board"),
    [
        ("normal", "checkerboard"),
        ("wide", "checkerboard"),
        ("fisheye", "checkerboard"),
        pytest.param("normal", "charuco", marks=pytest.mark.slow),
        pytest.param("wide", "charuco", marks=pytest.mark.slow),
        ("fisheye", "charuco"),
    ],
)
def test_pictures_give_back_the_camera(lens: str, board: str) -> None:
    taken = shots(lens, board)
    result = calibrate(taken.named(), BOARDS[board][0], model=model_of(lens))
    found, true = result.camera, taken.camera
    assert found.image_size.tolist() == list(SIZE)
    assert torch.allclose(found.focal_px, true.focal_px, rtol=3e-3)
    assert torch.allclose(found.center_px, true.center_px, atol=3e-3 * max(SIZE))
    assert_same_coefficients(found, true, result)
    assert_same_lens(found, true)
    assert result.rms_px < 0.12
    assert len(result.views) >= COUNT[board] - 1
    for view in result.views:
        pose = taken.poses[int(view.name[:2])]
        assert view.tilt_deg == pytest.approx(math.degrees(math.acos(abs(pose.rotation[2, 2]))), abs=0.5)
        if board == "checkerboard":  # of which all corners are seen
            distance_m = np.linalg.norm(pose.points_cam(taken.pattern.corners_m).mean(0))
            assert view.distance_m == pytest.approx(distance_m, rel=0.03)


def assert_same_coefficients(found: Camera, true: Camera, result: CalibrationResult) -> None:
    """Within 5 % each, where the true one stands out of its own standard deviation; else within four of those."""
    assert found.distortion is not None
    assert true.distortion is not None
    names = [f"k{number + 1}" for number in range(true.distortion.radial.shape[-1])]
    expected = dict(zip(names, true.distortion.radial.tolist(), strict=True))
    if true.distortion.tangential is not None:
        expected |= dict(zip(("p1", "p2"), true.distortion.tangential.tolist(), strict=True))
    compared = 0
    for name, value in expected.items():
        estimate, std = result.lens[name]
        if abs(value) > 40.0 * std:
            assert estimate == pytest.approx(value, rel=0.05), name
            compared += 1
        else:
            assert estimate == pytest.approx(value, abs=max(6.0 * std, 0.05 * abs(value))), name
    assert compared >= 1


def assert_same_lens(found: Camera, true: Camera) -> None:
    """The pixels' rays agree all over the picture to half a pixel, and what the lens does to 5 % of it.

    Up to a turn of the camera: a small shift of the principal point can hardly be told from one, in any calibration.
    """
    pixels = grid_px()
    (rays, valid), (rays_found, valid_found) = true.unproject(pixels), found.unproject(pixels)
    assert valid.all()
    assert valid_found.all()
    turn = roma.special_procrustes(rays_found.T @ rays)
    predicted, _ = found.project(rays @ turn.T)
    assert float((predicted - pixels).norm(dim=-1).max()) < 0.5
    if true.distortion is not None and not true.distortion.is_fisheye:
        moved_true, moved_found = true.undistort(pixels)[0] - pixels, found.undistort(pixels)[0] - pixels
        strong = moved_true.norm(dim=-1) > 4.0
        assert strong.sum() > 20
        off = (moved_found - moved_true).norm(dim=-1)
        assert float((off / moved_true.norm(dim=-1))[strong].max()) < 0.05


def test_the_principal_point_counts_from_the_corner_of_the_picture() -> None:
    """Half a pixel is fifty times the standard deviation here: OpenCV's centre origin would show."""
    taken = shots("fisheye")
    result = calibrate(taken.named(), CHECKERS, model="fisheye")
    assert max(result.center_std_px) < 0.05
    assert torch.allclose(result.camera.center_px, taken.camera.center_px, atol=0.15)


# ---- corners -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lens", "board"), [("normal", "checkerboard"), ("wide", "checkerboard"), ("fisheye", "charuco")]
)
def test_corners_are_found_to_hundredths_of_a_pixel(lens: str, board: str) -> None:
    taken, errors, in_picture = shots(lens, board), [], 0
    for number, pixels in enumerate(taken.pictures):
        found = find_board(grey_of(pixels), BOARDS[board][0])
        true = taken.true_px(number)
        in_picture += int(((true > 5) & (true < np.array(SIZE) - 5)).all(-1).sum())
        if found is None:
            continue
        errors.append(found.corners_px - true[found.ids])
        assert 1.2 < found.edge_px < 2.6  # the photographer's blur of 0.6 px and the pixel's own width
    every = np.concatenate(errors)
    assert np.abs(every.mean(0)).max() < 0.02  # OpenCV's ChArUco detector was half a pixel off for years
    assert np.median(np.abs(every)) < 0.04
    assert np.mean(np.abs(every) > 0.5) < 0.01
    assert len(every) > 0.75 * in_picture


def test_corners_of_a_large_picture_are_refined_in_it() -> None:
    """It is searched at two thirds of its size; its corners are as sharp as it is."""
    large = Camera.create((1920, 1440), 1700.0, (952.0, 729.0))
    pattern, board = BOARDS["checkerboard"][1], CHECKERS
    pose = spread_poses(large, pattern.corners_m, 1, span=0.25)[0]
    found = find_board(grey_of(Photographer(large, samples=9).picture(pattern, pose)), board)
    true = large.project(torch.from_numpy(pose.points_cam(pattern.corners_m)))[0].numpy()
    assert found is not None
    assert np.sqrt(np.mean((found.corners_px - true) ** 2)) < 0.05
    assert np.abs(found.corners_px - true).max() < 0.3


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_picture_has_the_same_first_corner(quarter: int) -> None:
    """8 × 5 inner corners: the board looks different after half a turn, and its black corner square tells."""
    taken = shots("normal")
    upright = find_board(grey_of(taken.pictures[2]), CHECKERS)
    turned = find_board(grey_of(np.rot90(taken.pictures[2], -quarter).copy()), CHECKERS)
    assert upright is not None
    assert turned is not None
    x, y = upright.corners_px.T
    expected = {1: (SIZE[1] - y, x), 2: (SIZE[0] - x, SIZE[1] - y), 3: (y, SIZE[0] - x)}[quarter]
    assert np.abs(turned.corners_px - np.stack(expected, -1)).max() < 0.05


@pytest.mark.parametrize(("columns", "rows"), [(9, 6), (8, 6), (7, 5), (8, 5)])
@pytest.mark.parametrize("legacy", [False, True])
def test_both_layouts_of_charuco_boards_are_read(columns: int, rows: int, legacy: bool) -> None:
    camera, pattern = CAMERAS["normal"], charuco_print(columns, rows, legacy=legacy)
    board = CharucoBoard(columns=columns, rows=rows, square_mm=40.0)
    pose = spread_poses(camera, pattern.corners_m, 1, tilt_deg=20.0)[0]
    found = find_board(grey_of(Photographer(camera).picture(pattern, pose)), board)
    assert found is not None
    assert len(found.ids) == (columns - 1) * (rows - 1)
    assert found.legacy is (legacy and rows % 2 == 0)
    true = camera.project(torch.from_numpy(pose.points_cam(pattern.corners_m)))[0].numpy()
    assert np.abs(found.corners_px - true).max() < 0.3


def test_an_edge_is_as_wide_as_the_blur() -> None:
    camera, pattern = CAMERAS["normal"], BOARDS["checkerboard"][1]
    pose, widths = spread_poses(camera, pattern.corners_m, 1)[0], []
    for blur_px in (1.0, 2.0):
        found = find_board(grey_of(Photographer(camera, blur_px=blur_px, noise=0.0).picture(pattern, pose)), CHECKERS)
        assert found is not None
        widths.append(found.edge_px)
    assert widths == pytest.approx([2.5 * math.hypot(1.0, 0.29), 2.5 * math.hypot(2.0, 0.29)], rel=0.12)


# ---- what does not fit ---------------------------------------------------------------------------------------------


def test_pictures_without_a_board_or_of_another_size_are_left_out_by_name() -> None:
    taken = shots("normal")
    named = [*taken.named(), ("wall.png", Photographer(taken.camera).empty())]
    named += [("blank.png", np.full((480, 640, 3), 255, np.uint8)), ("dot.png", np.zeros((1, 1, 3), np.uint8))]
    named += [("small.png", cv2.resize(taken.pictures[2], (540, 405)))]
    result = calibrate(named, CHECKERS)
    assert {each.name: each.reason for each in result.left_out} == {
        "wall.png": "no board was found in it",
        "blank.png": "no board was found in it",
        "dot.png": "no board was found in it",
        "small.png": "it is 540 × 405 px, not 640 × 480 px like most",
    }
    assert len(result.views) == 12
    assert torch.allclose(result.camera.focal_px, taken.camera.focal_px, rtol=3e-3)


def test_a_blurred_or_bent_board_is_left_out() -> None:
    """A picture squeezed sideways by a tenth shows no plane board that this camera could see."""
    taken = shots("normal")
    bent = cv2.warpAffine(taken.pictures[4], np.array([[1.0, 0.0, 0.0], [0.0, 0.9, 30.0]]), SIZE)
    bow = np.stack(np.meshgrid(np.arange(640.0), np.arange(480.0)), -1).astype(np.float32)
    bow[..., 1] += 6.0 * np.sin(bow[..., 0] / 60.0)
    bent = cv2.remap(bent, bow[..., 0], bow[..., 1], cv2.INTER_LINEAR)
    result = calibrate([*taken.named(), ("bent.png", bent)], CHECKERS)
    assert [each.name for each in result.left_out] == ["bent.png"]
    assert "blurred, bent, or misread" in result.left_out[0].reason
    assert torch.allclose(result.camera.focal_px, taken.camera.focal_px, rtol=3e-3)


def test_boards_that_face_the_camera_do_not_tell_the_focal_length() -> None:
    camera, pattern = replace(CAMERAS["normal"], distortion=None), BOARDS["checkerboard"][1]
    poses = spread_poses(camera, pattern.corners_m, 6, tilt_deg=0.0, span=0.35)
    flat = [Pose(np.eye(3), pose.translation_m) for pose in poses]
    photographer = Photographer(camera)
    named = [(f"{number}.png", photographer.picture(pattern, pose)) for number, pose in enumerate(flat)]
    with pytest.raises(InputError, match=r"do not fix the focal length.*tilt the board by 30 to 45°"):
        calibrate(named, CHECKERS)


def test_few_pictures_in_the_middle_are_warned_about() -> None:
    camera, pattern = CAMERAS["normal"], BOARDS["checkerboard"][1]
    photographer, named = Photographer(camera), []
    for number, pose in enumerate(spread_poses(camera, pattern.corners_m, 12, span=0.3)):
        centred = Pose(pose.rotation, np.array([0.0, 0.0, 0.55]) - pose.rotation @ pattern.corners_m.mean(0))
        if number < 5:
            named.append((f"{number}.png", photographer.picture(pattern, centred)))
    warnings = " ".join(calibrate(named, CHECKERS).warnings)
    assert "only 5 pictures count; take 10 to 20" in warnings
    assert "no board came near the top left, top right, bottom left and bottom right" in warnings


def test_pictures_of_a_turned_phone_are_turned_back() -> None:
    """Held upright, the phone turned the picture by a quarter: the camera is that of the picture lying most often."""
    taken, board = shots("normal"), CHECKERS
    from sightline.calibration import BoardCollector, calibrated

    collector = BoardCollector(board)
    for number, pixels in enumerate(taken.pictures):
        turned = {0: 1, 5: 3, 7: 2}.get(number, 0)
        collector.look(f"{number}.png", np.rot90(pixels, -turned).copy(), turned=turned)
    result = calibrated(collector)
    assert len(result.views) == 12
    assert result.turned == 0
    assert result.camera.image_size.tolist() == list(SIZE)
    assert "3 of 12 pictures carry another orientation tag and were turned back" in result.warnings[0]
    assert torch.allclose(result.camera.focal_px, taken.camera.focal_px, rtol=3e-3)
    assert torch.allclose(result.camera.center_px, taken.camera.center_px, atol=1.0)


def test_the_camera_of_upright_pictures_is_the_turned_camera() -> None:
    from sightline.calibration import BoardCollector, calibrated

    taken, collector = shots("normal"), BoardCollector(CHECKERS)
    for number, pixels in enumerate(taken.pictures):
        turned = 0 if number == 3 else 1
        collector.look(f"{number}.png", np.rot90(pixels, -turned).copy(), turned=turned)
    result, expected = calibrated(collector), taken.camera.quarter_turned(1)
    assert result.turned == 1
    assert result.camera.image_size.tolist() == [480.0, 640.0]
    assert torch.allclose(result.camera.focal_px, expected.focal_px, rtol=3e-3)
    assert torch.allclose(result.camera.center_px, expected.center_px, atol=1.0)
    pixels = torch.tensor([[100.0, 500.0], [400.0, 80.0]], dtype=torch.float64)
    assert torch.allclose(result.camera.undistort(pixels)[0], expected.undistort(pixels)[0], atol=0.5)


def test_of_many_alike_pictures_the_sharpest_stay() -> None:
    from sightline.calibration import BoardCollector

    taken, collector = shots("normal"), BoardCollector(CHECKERS, most=6)
    for number in range(6):
        blurred = cv2.GaussianBlur(taken.pictures[number], (0, 0), 1.5)
        collector.look(f"{number} blurred", blurred)
    for number in range(6):
        collector.look(f"{number} sharp", taken.pictures[number])
    assert sorted(view.name for view in collector.views) == [f"{number} sharp" for number in range(6)]
    assert collector.crowded_out == 6


def test_of_a_film_sharp_frames_in_new_places_are_kept() -> None:
    from sightline.calibration import BoardCollector

    taken, collector = shots("normal"), BoardCollector(CHECKERS)
    moving = cv2.blur(taken.pictures[1], (15, 1))  # a hand that moves sideways
    still = [taken.pictures[1], taken.pictures[1], np.roll(taken.pictures[1], 3, 1)]
    frames = [Photographer(taken.camera).empty(), moving, *still, cv2.GaussianBlur(taken.pictures[2], (0, 0), 1.2)]
    kept = [collector.glance(f"frame {number}", pixels) for number, pixels in enumerate([*frames, taken.pictures[2]])]
    assert kept == [False, False, True, False, False, True, True]
    assert [view.name for view in collector.views] == ["frame 2", "frame 6"]
    assert not collector.left_out  # nobody misses a frame


# ---- what to look for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("board", "picture", "expected"),
    [
        (Checkerboard(columns=9, rows=6, square_mm=30.0), "checkerboard", "give --columns 8 --rows 5"),
        (Checkerboard(columns=9, rows=6, square_mm=30.0), "checkerboard", "inner corners, one fewer than squares"),
        (Checkerboard(columns=8, rows=6, square_mm=30.0), "checkerboard", "count again; give --columns 8 --rows 5"),
        (Checkerboard(columns=6, rows=4, square_mm=30.0), "charuco", "markers are there: give --board charuco"),
        (CharucoBoard(columns=5, rows=7, square_mm=40.0), "charuco", "give --columns 7 --rows 5"),
        (CharucoBoard(columns=6, rows=4, square_mm=40.0), "charuco", "count squares; give --columns 7 --rows 5"),
        (replace(CHARUCO, dictionary="DICT_4X4_50"), "charuco", "markers of DICT_5X5 are there"),
        (
            CharucoBoard(columns=9, rows=6, square_mm=30.0),
            "checkerboard",
            "give --board checkerboard, counted by inner corners",
        ),
        (CHARUCO, "mirrored", "its mirror image is there"),
        (CHARUCO, "empty", "no marker of DICT_5X5_100 either: is the whole board in the picture"),
    ],
)
def test_no_board_is_found_and_the_message_says_why(board: Board, picture: str, expected: str) -> None:
    taken = shots("normal", "charuco" if picture != "checkerboard" else picture)
    pictures = taken.pictures[6:9]
    if picture == "mirrored":
        pictures = [pixels[:, ::-1].copy() for pixels in pictures]
    elif picture == "empty":
        pictures = [Photographer(taken.camera).empty()]
    with pytest.raises(InputError) as caught:
        calibrate(((f"{number}.png", pixels) for number, pixels in enumerate(pictures)), board)
    assert f"no picture of {len(pictures)} shows a {board}" in str(caught.value)
    assert expected in str(caught.value)


def test_two_pictures_are_too_few() -> None:
    with pytest.raises(InputError, match=r"found in 2 pictures only, out of 2; expected at least 3, and 10 to 20"):
        calibrate(list(shots("normal").named())[:2], CHECKERS)
