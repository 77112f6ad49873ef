"""Laws of the camera's participles: what is done to the picture is done to the points."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from camera_cases import LENSES, MIRROR, camera, people, varied
from sightline.camera import Camera
from sightline.geometry.rotation import axis_rotation, is_rotation, rotation_angle

every_lens = pytest.mark.parametrize("lens", LENSES)


@every_lens
def test_cropping_and_resizing_move_the_pixels(lens: str) -> None:
    cam, points_cam = camera(lens), people()
    points_px = cam.project(points_cam)[0]
    cropped = cam.cropped((120.5, -30.0), (256, 300))
    assert cropped.image_size.tolist() == [256, 300]
    assert_close(cropped.project(points_cam)[0], points_px - torch.tensor([120.5, -30.0]))
    resized = cam.resized((500, 334))
    assert_close(resized.project(points_cam)[0], points_px * torch.tensor([0.5, 1 / 3]).double(), rtol=1e-7, atol=1e-5)
    affine = torch.diag(torch.tensor([0.5, 334 / 1002, 1.0], dtype=torch.float64))
    assert_close(resized.intrinsics, affine @ cam.intrinsics)


@every_lens
def test_flipping_mirrors_the_picture_and_the_world(lens: str) -> None:
    cam, points_world = camera(lens), people(count=5)
    points_cam = people()
    expected = cam.project(points_cam)[0] * MIRROR[:2] + torch.tensor([1000.0, 0.0])
    flipped = cam.flipped()
    assert_close(flipped.project(points_cam * MIRROR)[0], expected)
    assert_close(flipped.world_to_camera(points_world * MIRROR), cam.world_to_camera(points_world) * MIRROR)
    assert flipped.rotation is not None
    assert is_rotation(flipped.rotation, 1e-9)
    assert_close(flipped.flipped().project(points_cam)[0], cam.project(points_cam)[0])


@every_lens
@pytest.mark.parametrize("angle", [0.3, -2.0, math.pi / 2])
def test_rotating_turns_the_picture_about_the_principal_point(lens: str, angle: float) -> None:
    cam, points_cam = camera(lens, (1145.0, 1145.0)), people()
    rotated = cam.rotated(angle)
    rolled_from_cam = axis_rotation("z", torch.tensor(angle, dtype=torch.float64))
    expected = (cam.project(points_cam)[0] - cam.center_px) @ rolled_from_cam[:2, :2].T + cam.center_px
    assert_close(rotated.project(points_cam @ rolled_from_cam.T)[0], expected)
    assert_close(rotated.world_to_camera(points_cam), cam.world_to_camera(points_cam) @ rolled_from_cam.T)


def test_rotating_unequal_focals_needs_quarters() -> None:
    cam, points_cam = camera("rational_prism"), people()
    with pytest.raises(ValueError, match="90°"):
        cam.rotated(0.3)
    for quarter in (-1, 1, 2):
        rolled_from_cam = axis_rotation("z", torch.tensor(quarter * math.pi / 2, dtype=torch.float64))
        expected = (cam.project(points_cam)[0] - cam.center_px) @ rolled_from_cam[:2, :2].T + cam.center_px
        assert_close(cam.rotated(quarter * math.pi / 2).project(points_cam @ rolled_from_cam.T)[0], expected)


def test_each_camera_of_a_batch_can_turn_by_its_own_angle() -> None:
    cam = camera("rational_prism", (900.0, 900.0))
    angles = torch.tensor([0.1, -0.4, 2.0], dtype=torch.float64)
    rotated, points_cam = cam.rotated(angles), people(3)
    for i, angle in enumerate(angles.tolist()):
        assert_close(rotated[i].project(points_cam[i])[0], cam.rotated(angle).project(points_cam[i])[0])


@every_lens
@pytest.mark.parametrize("k", [-1, 0, 1, 2, 3, 5])
def test_quarter_turns_follow_the_turned_picture(lens: str, k: int) -> None:
    cam, points_cam = camera(lens), people()
    turned = cam.quarter_turned(k)
    rolled_from_cam = axis_rotation("z", torch.tensor(k * math.pi / 2, dtype=torch.float64))
    x, y = cam.project(points_cam)[0].unbind(-1)
    w, h = 1000.0, 1002.0
    expected = {0: (x, y), 1: (h - y, x), 2: (w - x, h - y), 3: (y, w - x)}[k % 4]
    assert turned.image_size.tolist() == ([h, w] if k % 2 else [w, h])
    assert_close(turned.project(points_cam @ rolled_from_cam.T)[0], torch.stack(expected, -1))
    assert_close(turned.world_to_camera(points_cam), cam.world_to_camera(points_cam) @ rolled_from_cam.T)


def test_quarter_turn_is_rot90_of_the_picture() -> None:
    picture = torch.zeros(6, 4)
    picture[1, 3] = 1.0  # the pixel whose centre is (3.5, 1.5)
    cam = Camera.create((4, 6), 5.0)
    ray, _ = cam.unproject(torch.tensor([[3.5, 1.5]], dtype=torch.float64))
    for k in range(4):
        turned_ray = ray @ axis_rotation("z", torch.tensor(k * math.pi / 2, dtype=torch.float64)).T
        row, column = torch.rot90(picture, -k).nonzero()[0].tolist()
        got = cam.quarter_turned(k).project(turned_ray)[0][0]
        assert_close(got, torch.tensor([column + 0.5, row + 0.5], dtype=torch.float64))


@every_lens
def test_turning_puts_the_direction_in_the_middle_without_roll(lens: str) -> None:
    cam = camera(lens)
    direction = torch.tensor([[0.3, -0.2, 1.0], [-1.0, 0.4, 0.5], [0.1, 0.1, -2.0]], dtype=torch.float64)
    turned, turned_from_cam = cam.turned_towards(direction)
    assert turned.is_pinhole
    assert turned.batch_shape == (3,)
    ahead, valid = turned.project(direction[:, None] @ turned_from_cam.transpose(-1, -2))
    assert valid.all()
    assert_close(ahead[:, 0], torch.tensor([[500.0, 501.0]] * 3, dtype=torch.float64))
    assert_close(turned_from_cam[:, 0, 1], torch.zeros(3, dtype=torch.float64))
    assert is_rotation(turned_from_cam, 1e-9).all()
    points_world = people(3, count=5)
    expected = cam.world_to_camera(points_world) @ turned_from_cam.transpose(-1, -2)
    assert_close(turned.world_to_camera(points_world), expected)
    single, rotation = cam.turned_towards(direction[0])
    assert single.batch_shape == ()
    assert float(rotation_angle(rotation, turned_from_cam[0])) < 1e-6


def test_turning_a_batch_takes_one_direction_each() -> None:
    cameras = varied(3)
    direction = people(count=3)
    turned, turned_from_cam = cameras.turned_towards(direction)
    for i in range(3):
        assert_close(turned[i].rotation, cameras[i].turned_towards(direction[i])[0].rotation)
    assert turned_from_cam.shape == (3, 3, 3)
    assert cameras.turned_towards(direction[0])[1].shape == (3, 3, 3)


def test_scaling_keeps_the_aspect() -> None:
    cam, points_cam = camera(), people()
    assert_close(cam.scaled_to((500, 501)).project(points_cam)[0], cam.project(points_cam)[0] / 2)
    assert cam.scaled_to((333, 334)).image_size.tolist() == [333, 334]  # rounded to whole pixels
    with pytest.raises(ValueError, match="aspect"):
        cam.scaled_to((1002, 1080))


def test_participles_of_batches_with_their_own_parameters() -> None:
    cam = camera()
    left_top_px = torch.rand(5, 2, dtype=torch.float64) * 100
    crops = cam.cropped(left_top_px, (64, 64))
    points_cam = people(5)
    assert crops.batch_shape == (5,)
    assert_close(crops.project(points_cam)[0], cam.project(points_cam)[0] - left_top_px[:, None])
    assert_close(crops.flipped()[2].project(points_cam[2])[0], crops[2].flipped().project(points_cam[2])[0])
