"""A board on the floor says where the camera stands: which way is up, right-handed, in metres."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("cv2", reason="the first guess of a board's pose is OpenCV's")

from board_pictures import CAMERAS, Checkers, Photographer, Pose
from sightline.calibration import BoardView, CharucoBoard, Checkerboard, placed_on_floor
from sightline.calibration.finding import find_board, grey_of
from sightline.camera import Camera
from sightline.errors import InputError

BOARD = Checkerboard(columns=8, rows=5, square_mm=90.0)
UP = np.array([0.0, 0.0, 1.0])


def standing(
    lens: str, position: tuple[float, float, float], target: tuple[float, float, float], roll_deg: float = 0.0
) -> Camera:
    """A camera at a place of the world (m, z up) that looks at another."""
    forward = np.subtract(target, position)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, UP)
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    c, s = math.cos(math.radians(roll_deg)), math.sin(math.radians(roll_deg))
    rotation = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]) @ rotation
    bare = CAMERAS[lens]
    return Camera.create(
        bare.image_size,
        bare.focal_px,
        bare.center_px,
        distortion=bare.distortion,
        rotation=rotation,
        translation_m=-rotation @ np.asarray(position),
    )


def on_the_floor(board: Checkerboard | CharucoBoard) -> np.ndarray:
    """Corners of a board that lies face up with its first corner at the origin (m, world)."""
    return board.points_m * [1.0, -1.0, 1.0]


def seen_by(camera: Camera, board: Checkerboard | CharucoBoard, noise_px: float = 0.0) -> BoardView:
    corners, valid = camera.project(camera.world_to_camera(torch.from_numpy(on_the_floor(board))))
    assert valid.all()
    noise = noise_px * np.random.default_rng(3).normal(size=corners.shape)
    return BoardView(
        name="floor.png",
        image_size=(640, 480),
        ids=np.arange(len(corners)),
        corners_px=corners.numpy() + noise,
        edge_px=2.0,
    )


PLACES = {
    "before": ((0.3, -2.0, 1.2), (0.3, -0.2, 0.0)),
    "behind": ((0.2, 2.2, 1.5), (0.3, -0.2, 0.0)),
    "beside": ((-2.0, -0.5, 1.4), (0.3, -0.2, 0.0)),
    "above": ((0.31, -0.25, 2.4), (0.3, -0.18, 0.0)),
}


@pytest.mark.parametrize("lens", ["normal", "wide", "fisheye"])
@pytest.mark.parametrize("place", PLACES)
def test_exact_corners_give_the_exact_place(lens: str, place: str) -> None:
    true = standing(lens, *PLACES[place])
    found, fit, doubts = placed_on_floor(CAMERAS[lens], BOARD, seen_by(true, BOARD))
    assert found.rotation is not None
    assert true.rotation is not None
    assert torch.allclose(found.rotation, true.rotation, atol=1e-7)
    assert torch.allclose(found.position_world, true.position_world, atol=1e-6)
    assert torch.linalg.det(found.rotation).item() == pytest.approx(1.0)
    assert fit.rms_px < 1e-6
    assert fit.height_m == pytest.approx(PLACES[place][0][2], abs=1e-6)
    assert not doubts


def test_up_is_up_and_the_world_is_right_handed() -> None:
    """Somebody 1.8 m tall at (1, 2): feet below head in the picture, x to the right, y away from the camera."""
    true = standing("normal", *PLACES["before"])
    found, _, _ = placed_on_floor(CAMERAS["normal"], BOARD, seen_by(true, BOARD))
    points = torch.tensor([[0.3, 1.0, 0.0], [0.3, 1.0, 1.8], [0.8, 1.0, 0.0], [0.3, 2.0, 0.0]], dtype=torch.float64)
    feet, head, right, away = found.project(found.world_to_camera(points))[0]
    assert torch.allclose(
        found.project(found.world_to_camera(points))[0], true.project(true.world_to_camera(points))[0]
    )
    assert head[1] < feet[1] - 100.0
    assert right[0] > feet[0] + 50.0
    assert away[1] < feet[1]
    back = found.camera_to_world(found.world_to_camera(points))
    assert torch.allclose(back, points)


@pytest.mark.parametrize(("roll_deg", "pitch_deg"), [(0.0, 30.0), (12.0, 20.0), (-90.0, 35.0), (179.0, 40.0)])
def test_pitch_and_roll_are_told(roll_deg: float, pitch_deg: float) -> None:
    height = 1.5
    back = height / math.tan(math.radians(pitch_deg))
    true = standing("normal", (0.3, -0.2 - back, height), (0.3, -0.2, 0.0), roll_deg)
    _, fit, _ = placed_on_floor(CAMERAS["normal"], BOARD, seen_by(true, BOARD))
    assert fit.pitch_deg == pytest.approx(pitch_deg, abs=1e-5)
    assert fit.roll_deg == pytest.approx(roll_deg, abs=1e-5)


def test_what_is_said_to_be_sure_is_so() -> None:
    """The up direction and the place spread as foretold when the corners do."""
    true, ups, places, foretold = standing("normal", *PLACES["before"]), [], [], None
    corners = seen_by(true, BOARD).corners_px
    for draw in range(50):
        noise = 0.3 * np.random.default_rng(draw).normal(size=corners.shape)
        view = BoardView(name="f", image_size=(640, 480), ids=np.arange(40), corners_px=corners + noise, edge_px=2.0)
        found, fit, _ = placed_on_floor(CAMERAS["normal"], BOARD, view, noise_px=0.3)
        assert found.rotation is not None
        assert true.rotation is not None
        ups.append(np.degrees(np.linalg.norm((found.rotation - true.rotation)[:, 2].numpy())))
        places.append(found.position_world.numpy())
        foretold = fit if foretold is None else foretold
    assert foretold is not None
    assert np.std(places, axis=0) == pytest.approx(foretold.position_std_m, rel=0.4)
    rms_deg = float(np.sqrt(np.mean(np.square(ups))))
    assert 0.6 * foretold.up_std_deg < rms_deg < 1.5 * foretold.up_std_deg  # one axis foretold, two counted


def test_a_small_board_far_away_is_doubted() -> None:
    board = Checkerboard(columns=8, rows=5, square_mm=20.0)
    true = standing("normal", (0.0, -6.0, 1.5), (0.0, 0.0, 0.0))
    _, fit, doubts = placed_on_floor(CAMERAS["normal"], board, seen_by(true, board, noise_px=0.1))
    assert fit.up_std_deg > 0.3
    assert any("print a larger one" in doubt for doubt in doubts)


def test_a_board_with_two_ways_up_is_told() -> None:
    board = Checkerboard(columns=7, rows=5, square_mm=90.0)
    _, fit, doubts = placed_on_floor(CAMERAS["normal"], board, seen_by(standing("normal", *PLACES["before"]), board))
    assert not fit.has_one_way_up
    assert any("looks the same after half a turn" in doubt for doubt in doubts)


def test_the_picture_of_another_camera_is_doubted() -> None:
    """With another lens the board has a pose that nearly fits, ten times worse than corners are found."""
    view = seen_by(standing("wide", *PLACES["before"]), BOARD)
    _, _, doubts = placed_on_floor(CAMERAS["normal"], BOARD, view, noise_px=0.05)
    assert any("the same zoom and focus" in doubt for doubt in doubts)


def test_a_mirrored_picture_puts_the_camera_below_the_floor() -> None:
    view = seen_by(standing("normal", *PLACES["before"]), BOARD)
    mirrored = BoardView(
        name="floor.png",
        image_size=(640, 480),
        ids=view.ids,
        corners_px=view.corners_px * [-1.0, 1.0] + [640.0, 0.0],
        edge_px=2.0,
    )
    with pytest.raises(
        InputError, match=r"floor\.png: the camera would stand below the floor; is the picture mirrored"
    ):
        placed_on_floor(CAMERAS["normal"].flipped(), BOARD, mirrored)


def test_a_photo_of_a_board_on_the_floor_gives_the_place_to_millimetres() -> None:
    """From pixels, not from corners: the board's first corner is told by its black square, from any side."""
    pattern = Checkers(8, 5, 0.090)
    for place in ("before", "behind", "beside"):
        true = standing("normal", *PLACES[place])
        assert true.rotation is not None
        assert true.translation_m is not None
        pose = Pose(true.rotation.numpy() @ np.diag([1.0, -1.0, -1.0]), true.translation_m.numpy())
        found = find_board(grey_of(Photographer(CAMERAS["normal"]).picture(pattern, pose)), BOARD)
        assert found is not None
        view = BoardView(name=place, image_size=(640, 480), ids=found.ids, corners_px=found.corners_px, edge_px=2.0)
        camera, fit, _ = placed_on_floor(CAMERAS["normal"], BOARD, view)
        assert torch.allclose(camera.position_world, true.position_world, atol=5e-3), place
        assert fit.up_std_deg < 0.1
        assert camera.rotation is not None
        up_off = torch.linalg.vector_norm(camera.rotation[:, 2] - true.rotation[:, 2])
        assert math.degrees(float(up_off)) < 0.15
