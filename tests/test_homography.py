"""Homographies map pixels as the two cameras do, and images as they map pixels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.geometry.homography import homography_between, sample_image, warp_image, warp_points

CAMERA = Camera.create((80, 60), (70.0, 75.0), (37.0, 31.5))
DIRECTIONS = torch.tensor([[0.3, -0.2, 1.0], [-0.2, 0.1, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def pixels(count: int = 30) -> Tensor:
    return torch.rand(count, 2, dtype=torch.float64) * CAMERA.image_size


def smooth(points_px: Tensor) -> Tensor:
    """A picture without end, of three smooth channels (..., 3)."""
    x, y = points_px.unbind(-1)
    return torch.stack((torch.sin(x / 9) + y / 60, torch.cos(y / 7), torch.sin((x + y) / 11)), -1)


def pixel_centres(width: int, height: int) -> Tensor:
    x, y = torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy")
    return torch.stack((x, y), -1).double()


def test_homography_maps_pixels_as_the_two_cameras_do() -> None:
    turned, turned_from_cam = CAMERA.turned_towards(DIRECTIONS)
    points_px = pixels()
    rays, _ = CAMERA.unproject(points_px)
    expected, valid = turned.project(rays @ turned_from_cam.transpose(-1, -2))
    mapped = warp_points(homography_between(CAMERA, turned, turned_from_cam), points_px)
    assert valid.all()
    assert_close(mapped, expected)
    back = homography_between(turned, CAMERA, turned_from_cam.transpose(-1, -2))
    assert_close(warp_points(back, mapped), points_px.expand(3, -1, -1))


def test_crops_and_sizes_are_affine_homographies() -> None:
    crop = CAMERA.cropped((10, 5), (40, 30)).resized((80, 90))
    homography = homography_between(CAMERA, crop, torch.eye(3, dtype=torch.float64))
    expected = torch.tensor([[2.0, 0.0, -20.0], [0.0, 3.0, -15.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    assert_close(homography, expected)


def test_pixels_that_land_behind_are_nan_and_gradients_finite() -> None:
    away, away_from_cam = CAMERA.turned_towards(torch.tensor([1.0, 0.0, 0.02], dtype=torch.float64))
    points_px = torch.tensor([[79.0, 30.0], [1.0, 30.0], [math.nan, 2.0]], dtype=torch.float64, requires_grad=True)
    homography = homography_between(CAMERA, away, away_from_cam).requires_grad_()
    mapped = warp_points(homography, points_px)
    assert mapped.isnan().any(-1).tolist() == [False, True, True]
    mapped.nan_to_num().sum().backward()
    assert points_px.grad is not None
    assert points_px.grad.isfinite().all()
    assert homography.grad is not None
    assert homography.grad.isfinite().all()


def test_derivatives_are_exact() -> None:
    turned, turned_from_cam = CAMERA.turned_towards(DIRECTIONS[:2])
    homography = homography_between(CAMERA, turned, turned_from_cam).requires_grad_()
    assert torch.autograd.gradcheck(warp_points, (homography, pixels(4).requires_grad_()))


def test_a_warped_image_agrees_with_warped_points() -> None:
    turned, turned_from_cam = CAMERA.turned_towards(DIRECTIONS)
    virtual = turned.cropped((20, 15), (40, 30))
    homography = homography_between(CAMERA, virtual, turned_from_cam)
    image = smooth(pixel_centres(80, 60)).permute(2, 0, 1)
    warped = warp_image(image.expand(3, -1, -1, -1), homography, (40, 30))
    source_px = warp_points(torch.linalg.inv(homography), pixel_centres(40, 30).flatten(0, 1)).unflatten(1, (30, 40))
    inside = ((source_px > 1) & (source_px < CAMERA.image_size - 1)).all(-1)
    assert inside.float().mean() > 0.6
    error = (warped.permute(0, 2, 3, 1) - smooth(source_px)).abs().amax(-1)
    assert error[inside].max() < 0.01  # of bilinear interpolation; half a pixel would cost 0.07
    outside = ((source_px < -1) | (source_px > CAMERA.image_size + 1)).any(-1)
    assert outside.any()
    assert warped.permute(0, 2, 3, 1)[outside].eq(0).all()


def test_the_identity_leaves_an_image_alone_and_whole_pixels_shift_it() -> None:
    image = torch.rand(2, 3, 12, 16)
    identity = torch.eye(3)
    assert_close(warp_image(image, identity, (16, 12)), image)
    shift = torch.tensor([[1.0, 0.0, -3.0], [0.0, 1.0, -2.0], [0.0, 0.0, 1.0]])
    assert_close(warp_image(image, shift, (13, 10)), image[..., 2:, 3:])
    flip = torch.tensor([[-1.0, 0.0, 16.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert_close(warp_image(image, torch.stack((flip, identity)), (16, 12))[0], image[0].flip(-1))


def test_lenses_warp_images_through_points() -> None:
    """A picture drawn through a lens, sampled where the lens puts a pinhole's pixels, is the pinhole's picture."""
    lens = Camera.create((80, 60), 70.0, distortion=Distortion.create("brown_conrady", [-0.2, 0.05]))
    straight = lens.undistorted()
    drawn_px, found = lens.undistort(pixel_centres(80, 60))
    assert found.all()
    image = smooth(drawn_px).permute(2, 0, 1)[None]
    centres = pixel_centres(80, 60)[10:50, 15:65]
    source_px, valid = lens.project(straight.unproject(centres)[0])
    assert valid.all()
    assert (sample_image(image, source_px[None])[0].permute(1, 2, 0) - smooth(centres)).abs().max() < 0.01
    assert sample_image(image, torch.full((1, 1, 1, 2), math.nan, dtype=torch.float64)).eq(0).all()


def test_bad_calls_fail_at_the_door() -> None:
    lens = Camera.create((80, 60), 70.0, distortion=Distortion.create("brown_conrady", [-0.2]))
    identity = torch.eye(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="cam_from: expected a pinhole"):
        homography_between(lens, CAMERA, identity)
    with pytest.raises(ValueError, match="cam_to: expected a pinhole"):
        homography_between(CAMERA, lens, identity)
    with pytest.raises(ValueError, match="size_wh"):
        warp_image(torch.zeros(1, 1, 4, 4), torch.eye(3), (0, 4))
