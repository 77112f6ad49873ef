"""How a camera is tilted that does not know its place in the world: by angles, and by a horizon."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from sightline.camera import Camera, Distortion
from sightline.geometry.rotation import pitch_roll_from_up, rotation_from_pitch_roll
from sightline.gravity import Tilt, placed_by, tilt_from_horizon, tilted_by

DOUBLE = torch.float64


def seen_horizon(camera: Camera, pitch: float, roll: float) -> list[list[float]]:
    """Two points, far away and level with the camera, as it sees them."""
    turn = rotation_from_pitch_roll(torch.tensor(pitch, dtype=DOUBLE), torch.tensor(roll, dtype=DOUBLE))
    level = torch.tensor([[-0.4, 0.0, 1.0], [0.5, 0.0, 1.0]], dtype=DOUBLE)
    return camera.project((level @ turn.mT).to(camera.dtype))[0].tolist()


@pytest.mark.parametrize("distorted", [False, True])
@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (-0.3, 0.1), (0.2, -0.25), (0.05, 0.6)])
def test_a_horizon_tells_the_tilt(pitch: float, roll: float, distorted: bool) -> None:
    lens = Distortion.create("brown_conrady", [-0.1]) if distorted else None
    camera = Camera.create((1280, 720), 1000.0, distortion=lens)
    told = tilt_from_horizon(camera, *seen_horizon(camera, pitch, roll))
    assert (told.pitch_rad, told.roll_rad) == pytest.approx((pitch, roll), abs=2e-4)


def test_a_horizon_is_the_same_from_either_end() -> None:
    camera = Camera.create((1280, 720), 1000.0)
    first, second = seen_horizon(camera, -0.2, 0.1)
    one, other = tilt_from_horizon(camera, first, second), tilt_from_horizon(camera, second, first)
    assert_close(one.up_cam, other.up_cam)


def test_up_is_where_pitch_and_roll_say() -> None:
    tilt = Tilt(pitch_rad=-0.4, roll_rad=0.2)
    assert [float(angle) for angle in pitch_roll_from_up(tilt.up_cam)] == pytest.approx([-0.4, 0.2])
    assert tilt.known
    assert_close(Tilt().up_cam, torch.tensor([0.0, -1.0, 0.0], dtype=DOUBLE))
    assert not Tilt().known
    assert Tilt(pitch_rad=0.0).known
    assert Tilt(roll_rad=0.0).known
    more = tilted_by(tilt.up_cam, 0.15)
    assert [float(angle) for angle in pitch_roll_from_up(more)] == pytest.approx([-0.25, 0.2])


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"pitch_rad": math.pi / 2}, "pitch_rad: expected"),
        ({"pitch_rad": math.nan}, "pitch_rad: expected"),
        ({"roll_rad": 4.0}, "roll_rad: expected"),
        ({"tried_rad": ()}, "tried_rad: expected"),
        ({"tried_rad": (0.0, math.nan)}, "tried_rad: expected"),
        ({"pitch_rad": -1.3, "tried_rad": (0.0, -0.5)}, "tried_rad: expected"),
    ],
)
def test_tilts_that_no_camera_has(facts: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tilt(**facts)


@pytest.mark.parametrize(
    "points",
    [
        ([0.0, 300.0], [0.2, 300.1]),
        ([600.0, 0.0], [600.0001, 700.0]),
        ([0.0, math.nan], [500.0, 300.0]),
        ([0.0, 1.0, 2.0], [3.0, 4.0, 5.0]),
    ],
)
def test_points_that_are_no_horizon(points: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="horizon: expected"):
        tilt_from_horizon(Camera.create((1280, 720), 1000.0), *points)


def test_a_horizon_where_the_lens_is_not_defined() -> None:
    camera = Camera.create((1280, 720), 600.0, distortion=Distortion.create("brown_conrady", [-0.3]))
    with pytest.raises(ValueError, match="horizon: expected points that the lens can see"):
        tilt_from_horizon(camera, [-9000.0, 300.0], [500.0, 300.0])


@pytest.mark.parametrize("tilt", [Tilt(), Tilt(pitch_rad=0.3), Tilt(pitch_rad=-0.2, roll_rad=0.4)])
def test_a_tilted_camera_has_a_world(tilt: Tilt) -> None:
    """Up is the world's z; the camera looks along y, and knows nothing of where it is."""
    camera = Camera.create((640, 480), 500.0)
    placed = placed_by(camera, tilt)
    assert placed.rotation is not None
    assert_close(placed.rotation[:, 2], tilt.up_cam.to(camera.dtype))
    assert_close(torch.linalg.det(placed.rotation), torch.tensor(1.0).to(camera.dtype))
    ahead = placed.rotation.mT @ torch.tensor([0.0, 0.0, 1.0]).to(camera.dtype)
    assert_close(ahead[:1], torch.zeros(1).to(camera.dtype), atol=1e-6, rtol=0)
    assert float(ahead[1]) > 0
    assert_close(placed.position_world, torch.zeros(3).to(camera.dtype))
    assert_close(placed.focal_px, camera.focal_px)
    assert placed_by(placed, Tilt(pitch_rad=1.0)) is placed
