"""Laws of the camera: round trips, batches, derivatives, refusals."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camera_cases import LENSES, MIRROR, camera, people, varied
from sightline.camera import Camera
from sightline.geometry.distortion import Distortion

every_lens = pytest.mark.parametrize("lens", LENSES)


# Maps


@every_lens
def test_projection_and_unprojection_are_inverse(lens: str) -> None:
    cam, points_cam = camera(lens), people(3, 5)
    points_px, valid = cam.project(points_cam)
    rays, found = cam.unproject(points_px)
    xy, flat = cam.normalized(points_px)
    assert valid.all()
    assert found.all()
    assert flat.all()
    assert_close(rays, points_cam / points_cam.norm(dim=-1, keepdim=True))
    assert_close(xy, points_cam[..., :2] / points_cam[..., 2:])
    assert_close(cam.project(2.5 * rays)[0], points_px)


def test_pinhole_projection_is_k() -> None:
    cam, points_cam = camera("pinhole"), people()
    homogeneous = points_cam @ cam.intrinsics.T
    assert_close(cam.project(points_cam)[0], homogeneous[:, :2] / homogeneous[:, 2:])


@every_lens
def test_undistorted_pixels_belong_to_the_undistorted_camera(lens: str) -> None:
    cam, points_cam = camera(lens), people()
    straight_px, valid = cam.undistort(cam.project(points_cam)[0])
    assert valid.all()
    assert cam.undistorted().is_pinhole
    assert_close(straight_px, cam.undistorted().project(points_cam)[0])


def test_single_points_and_any_leading_shape_fit_a_single_camera() -> None:
    cam = camera()
    points_cam = people(2, 3)
    points_px, valid = cam.project(points_cam)
    assert points_px.shape == (2, 3, 17, 2)
    assert valid.shape == (2, 3, 17)
    assert_close(cam.project(points_cam[1, 2, 5])[0], points_px[1, 2, 5])
    assert_close(cam.normalized(points_px[1, 2, 5])[0], cam.normalized(points_px)[0][1, 2, 5])


@every_lens
def test_batch_equals_loop(lens: str) -> None:
    cameras = [camera(lens, (1000.0 + 50 * i, 1100.0 - 20 * i)) for i in range(3)]
    stacked, points_cam = Camera.stack(cameras), people(3)
    points_px, valid = stacked.project(points_cam)
    rays, _ = stacked.unproject(points_px)
    world = stacked.camera_to_world(points_cam)
    assert valid.all()
    for i, cam in enumerate(cameras):
        assert_close(points_px[i], cam.project(points_cam[i])[0])
        assert_close(stacked[i].project(points_cam[i])[0], points_px[i])
        assert_close(rays[i], cam.unproject(points_px[i])[0])
        assert_close(world[i], cam.camera_to_world(points_cam[i]))
        assert_close(cam.world_to_camera(world[i]), points_cam[i])


def test_views_of_one_scene_broadcast() -> None:
    cameras, points_world = varied(), people(count=9)
    points_cam = cameras.world_to_camera(points_world)
    assert points_cam.shape == (4, 9, 3)
    assert_close(cameras.project(points_world)[0], cameras.project(points_world.expand(4, -1, -1))[0])
    over_time = people(6, 4)
    assert_close(cameras.project(over_time)[0][2], cameras.project(over_time[2])[0])


def test_world_and_camera_are_inverse_and_the_camera_is_where_it_says() -> None:
    cam, points = camera(), people()
    assert_close(cam.camera_to_world(cam.world_to_camera(points)), points)
    assert_close(cam.world_to_camera(cam.position_world[None]), torch.zeros(1, 3, dtype=torch.float64))


@every_lens
def test_unseen_points_are_nan_and_leave_gradients_finite(lens: str) -> None:
    nan, inf = math.nan, math.inf
    points_cam = torch.tensor(
        [[0.1, 0.2, 3.0], [0.1, 0.2, -3.0], [0.0, 0.0, 0.0], [nan, 0.0, 2.0], [0.0, inf, 2.0], [0.0, 0.0, -1.0]],
        dtype=torch.float64,
        requires_grad=True,
    )
    base = camera(lens)
    focal_px, center_px = base.focal_px.clone().requires_grad_(), base.center_px.clone().requires_grad_()
    cam = replace(base, focal_px=focal_px, center_px=center_px)
    points_px, valid = cam.project(points_cam)
    seen = [True, lens == "kannala_brandt" and bool(valid[1]), False, False, False, False]
    assert valid.tolist() == seen
    assert points_px.isnan().any(-1).tolist() == [not v for v in seen]
    points_px.nan_to_num().square().sum().backward()
    pixels = torch.tensor([[500.0, 400.0], [nan, 3.0], [inf, 0.0], [1e7, 0.0]], dtype=torch.float64).requires_grad_()
    for function in (cam.normalized, cam.unproject, cam.undistort):
        values, found = function(pixels)
        assert found[:3].tolist() == [True, False, False]
        assert values.isnan().any(-1).tolist() == [not v for v in found.tolist()]
        values.nan_to_num().square().sum().backward()
    for leaf in (points_cam, pixels, focal_px, center_px):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


def test_fisheye_has_rays_beyond_the_plane_but_no_plane_there() -> None:
    cam = Camera.create((2000, 2000), 500.0, distortion=Distortion.create("kannala_brandt", [0.0] * 4))
    angle = torch.tensor([0.0, 88.9, 89.1, 90.0, 120.0], dtype=torch.float64).deg2rad()
    points_cam = torch.stack((angle.sin(), 0 * angle, angle.cos()), -1)
    points_px, valid = cam.project(points_cam)
    assert valid.all()
    assert_close(points_px[:, 0], 1000 + 500 * angle)
    rays, found = cam.unproject(points_px)
    assert found.all()
    assert_close(rays, points_cam)
    assert cam.normalized(points_px)[1].tolist() == [True, True, False, False, False]
    assert cam.canonical_focal_px is None


def test_a_folded_picture_is_invalid() -> None:
    cam = Camera.create((1000, 1000), 500.0, distortion=Distortion.create("brown_conrady", [-0.5, 0.08]))
    radius = torch.linspace(0.0, 3.0, 50, dtype=torch.float64)
    points_px, valid = cam.project(torch.stack((radius, 0 * radius, torch.ones_like(radius)), -1))
    assert 5 < valid.sum() < 30
    assert bool((points_px[valid, 0].diff() > 0).all())
    assert not cam.normalized(torch.tensor([[2000.0, 500.0]], dtype=torch.float64))[1].any()


@every_lens
def test_derivatives_are_exact(lens: str) -> None:
    base = camera(lens)
    leaves = [base.focal_px, base.center_px]
    if base.distortion is not None:
        leaves.append(base.distortion.radial)
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]

    def made(focal_px: Tensor, center_px: Tensor, *radial: Tensor) -> Camera:
        lens_made = replace(base.distortion, radial=radial[0]) if base.distortion is not None else None
        return replace(base, focal_px=focal_px, center_px=center_px, distortion=lens_made)

    points_cam = people(count=3).requires_grad_()
    points_px = base.project(points_cam)[0].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, *c: made(*c).project(p)[0], (points_cam, *leaves))
    for name in ("unproject", "normalized", "undistort"):
        assert torch.autograd.gradcheck(lambda p, *c, name=name: getattr(made(*c), name)(p)[0], (points_px, *leaves))


# Making and reading


def test_create_takes_plain_numbers() -> None:
    cam = Camera.create((640, 480), 500)
    assert cam.focal_px.tolist() == [500, 500]
    assert cam.center_px.tolist() == [320, 240]
    assert cam.dtype is torch.float64
    assert cam.batch_shape == ()
    assert cam.is_pinhole
    assert not cam.has_world
    assert Camera.create((640, 480), 500, (319.5, 239.5), pixel_origin="center").center_px.tolist() == [320, 240]
    batch = Camera.create((640, 480), [[500, 500], [600, 900]], distortion=LENSES["human36m"], dtype=torch.float32)
    assert batch.batch_shape == (2,)
    assert batch.distortion is not None
    assert batch.distortion.batch_shape == (2,)
    assert_close(batch.focal, torch.tensor([500.0, math.sqrt(540000.0)]))
    assert_close(batch.canonical_focal_px, batch.focal)
    assert batch.to(torch.float64).dtype is torch.float64


def test_from_fov_sees_that_angle() -> None:
    cam = Camera.from_fov((640, 480), math.radians(60))
    rays = cam.unproject(torch.tensor([[0.0, 240.0], [640.0, 240.0]], dtype=torch.float64))[0]
    assert math.degrees(math.acos(float(rays[0] @ rays[1]))) == pytest.approx(60)


def test_indexing_and_expanding_keep_everything() -> None:
    cameras = varied(4)
    points_cam = people(4)
    mask = torch.tensor([True, False, True, False])
    assert_close(cameras[mask].project(points_cam[mask])[0], cameras.project(points_cam)[0][mask])
    assert cameras[1:3].batch_shape == (2,)
    assert cameras[None].batch_shape == (1, 4)
    assert camera().expand(2, 3).batch_shape == (2, 3)
    assert cameras.expand(5, 4).batch_shape == (5, 4)
    assert len(list(cameras)) == 4
    with pytest.raises(IndexError):
        cameras[0, 1]
    with pytest.raises(IndexError):
        cameras[..., 0]


def test_stack_of_pinhole_and_lens() -> None:
    cams = [camera("pinhole"), camera("rational_prism"), camera("brown_conrady")]
    stacked, points_cam = Camera.stack(cams), people()
    for i, cam in enumerate(cams):
        assert_close(stacked[i].project(points_cam)[0], cam.project(points_cam)[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Camera.create((640, 480), -1), "focal_px: expected positive"),
        (lambda: Camera.create((0, 480), 500), "image_size: expected positive"),
        (lambda: Camera.create((640, 480), math.nan), "focal_px: expected finite"),
        (lambda: Camera.create((640, 480, 3), 500), "image_size: expected"),
        (lambda: Camera.create((640, 480), 500, pixel_origin="middle"), "pixel_origin"),
        (lambda: Camera.create((640, 480), 500, rotation=torch.diag(MIRROR), translation_m=(0, 0, 0)), "orthonormal"),
        (lambda: Camera.create((640, 480), 500, rotation=torch.eye(3)), "both or neither"),
        (lambda: Camera.create([[640, 480]] * 2, [[500, 500]] * 3), "broadcast"),
        (lambda: Camera.from_fov((640, 480), 3.2), "fov_x_rad"),
        (lambda: Camera.stack([]), "at least one"),
        (lambda: Camera.stack([camera(), Camera.create((640, 480), 500)]), "place in the world"),
        (lambda: Camera.stack([camera("kannala_brandt"), camera()]), "one model"),
        (lambda: Camera.create((640, 480), 500).world_to_camera(people()), "unknown"),
        (lambda: camera().cropped((0, 0), (0, 5)), "size_wh"),
        (lambda: camera().turned_towards(torch.tensor([0.0, 1.0, 0.0])), "direction_cam"),
        (lambda: varied(4).project(people(3)), r"points_cam: expected \(4, n, 3\)"),
        (lambda: varied(4).turned_towards(people(count=3)), r"direction_cam: expected \(4, 3\)"),
        (lambda: Camera.project.__wrapped__(camera(), torch.zeros(5, 2)), r"points_cam: expected \(\.\.\., 3\)"),
    ],
)
def test_bad_calls_fail_at_the_door(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_pose_projects_in_a_blink() -> None:
    """Well under 0.2 ms on an idle core without the type checks of the tests; 20 times that is still a law here."""
    cam, points_cam = camera().to(torch.float32), people().float()
    cam.project(points_cam)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        cam.project(points_cam)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 4e-3
