"""Laws of virtual cameras: where they look, what they see, how poses come back, and what has no answer."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.geometry.rotation import axis_rotation
from sightline.perspective import (
    VirtualCamera,
    keypoints_from_virtual,
    keypoints_in_virtual,
    poses_from_virtual,
    poses_in_virtual,
    virtual_camera,
)
from sightline.perspective.eye import pinhole_rays
from sightline.perspective.virtual import Turn, cam_px_from_virtual_px, inverse_intrinsics

OPTIONS = [
    dict(zip(("turn", "square", "slant", "focal_at_plane"), values, strict=True))
    for values in product(("no_roll", "shortest"), (True, False), (True, False), (True, False))
]
TURNS: list[Turn] = ["no_roll", "shortest"]


def regions(count: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cameras (K, with skew), centres inside and outside the picture, sizes."""
    rng = np.random.default_rng(seed)
    intrinsics = np.zeros((count, 3, 3))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = rng.uniform(400, 1600, (2, count))
    intrinsics[:, 0, 1] = rng.normal(0, 3, count)
    intrinsics[:, :2, 2] = rng.uniform(350, 650, (count, 2))
    intrinsics[:, 2, 2] = 1.0
    centers, sizes = rng.uniform(-300, 1300, (count, 2)), rng.uniform(40, 500, (count, 2))
    return torch.from_numpy(intrinsics), torch.from_numpy(centers), torch.from_numpy(sizes)


def projected(intrinsics: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    pixels = points @ intrinsics.mT
    return pixels[..., :2] / pixels[..., 2:]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_regions_centre_is_the_crops(options: dict) -> None:
    intrinsics, centers, sizes = regions()
    virtual = virtual_camera(intrinsics, centers, sizes, (256, 192), **options)
    assert virtual.valid.all()
    seen = keypoints_in_virtual(intrinsics, virtual, centers[:, None])
    assert_close(seen[:, 0], torch.tensor([128.0, 96.0]).double().expand(len(seen), 2))
    assert_close(projected(cam_px_from_virtual_px(intrinsics, virtual), torch.tensor([128.0, 96, 1]).double()), centers)


@pytest.mark.parametrize("turn", TURNS)
def test_keypoints_are_where_the_virtual_camera_sees_the_joints(turn: Turn) -> None:
    """2D keypoints mapped by H equal projected rotated joints."""
    intrinsics, centers, sizes = regions()
    virtual = virtual_camera(intrinsics, centers, sizes, (256, 256), turn=turn)
    around = pinhole_rays(intrinsics, centers)[:, None] * 4.0
    joints = around + 0.5 * torch.randn(len(around), 17, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    pixels = projected(intrinsics[:, None], joints[..., None, :])[..., 0, :]
    seen = keypoints_in_virtual(intrinsics, virtual, pixels)
    turned = poses_in_virtual(virtual, joints)
    assert (turned[..., 2] > 0).all()
    assert_close(seen, projected(virtual.intrinsics[:, None], turned[..., None, :])[..., 0, :])


LENSES = {
    "pinhole": None,
    "barrel": Distortion.create("brown_conrady", [-0.12, 0.03], [0.001, -0.002]),
    "fisheye": Distortion.create("kannala_brandt", [0.02, -0.004]),
}


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("turn", TURNS)
def test_keypoints_come_back(lens: str, turn: Turn) -> None:
    camera = Camera.create((1000, 1000), 700.0 if lens != "fisheye" else 350.0, distortion=LENSES[lens])
    _, centers, sizes = regions()
    centers = centers.clamp(50, 950)
    keypoints = centers[:, None] + torch.from_numpy(np.random.default_rng(1).uniform(-150, 150, (40, 17, 2)))
    virtual = virtual_camera(camera, centers, sizes, (256, 256), turn=turn)
    seen = keypoints_in_virtual(camera, virtual, keypoints)
    there = seen.isfinite().all(-1)
    assert there.double().mean() > 0.9
    back = keypoints_from_virtual(camera, virtual, seen)
    assert (back - keypoints)[there].abs().max() < 1e-5


@pytest.mark.parametrize("turn", TURNS)
def test_a_camera_value_is_the_same_as_its_matrix(turn: Turn) -> None:
    intrinsics, centers, sizes = regions()
    intrinsics[:, 0, 1] = 0.0
    camera = Camera(
        image_size=torch.full((40, 2), 1000.0).double(),
        focal_px=torch.diagonal(intrinsics, dim1=1, dim2=2)[:, :2].contiguous(),
        center_px=intrinsics[:, :2, 2].contiguous(),
    )
    for options in ({}, {"square": False}, {"slant": False}, {"focal_at_plane": False}):
        ours = virtual_camera(intrinsics, centers, sizes, (64, 48), turn=turn, **options)
        same = virtual_camera(camera, centers, sizes, (64, 48), turn=turn, **options)
        assert_close(same.cam_from_virtual, ours.cam_from_virtual)
        assert_close(same.intrinsics, ours.intrinsics, rtol=1e-6, atol=1e-6)


def test_no_roll_keeps_the_x_axis_level() -> None:
    """Entry (row 2, column 1) of R_orig_from_virt is exactly zero, and R is the paper's product of two turns."""
    intrinsics, centers, sizes = regions()
    intrinsics[:, 0, 1] = 0.0
    virtual = virtual_camera(intrinsics, centers, sizes, (256, 256))
    rotation = virtual.cam_from_virtual
    assert (rotation[:, 1, 0] == 0).all()
    assert_close(torch.linalg.det(rotation), torch.ones(40).double())
    x, y, _ = pinhole_rays(intrinsics, centers).unbind(-1)
    product_of_turns = axis_rotation("y", torch.atan2(x, torch.ones_like(x))) @ axis_rotation(
        "x", -torch.atan2(y, (1 + x * x).sqrt())
    )
    assert_close(rotation, product_of_turns)


def test_the_shortest_turn_rolls_diagonally_and_nowhere_else() -> None:
    angle = math.radians(23.0)
    side = math.tan(angle) / math.sqrt(2.0)
    intrinsics = torch.eye(3, dtype=torch.float64)
    centers = torch.tensor([[math.tan(angle), 0.0], [0.0, math.tan(angle)], [side, side]], dtype=torch.float64)
    one, other = (
        virtual_camera(intrinsics, centers, torch.ones(3, 2).double(), (1, 1), turn=turn).cam_from_virtual
        for turn in TURNS
    )
    between = one.mT @ other
    roll = torch.atan2(between[:, 1, 0], between[:, 0, 0]).rad2deg().abs()
    assert_close(roll[:2], torch.zeros(2).double())
    assert abs(roll[2] - 2.4) < 0.05


def test_intrinsics_are_those_of_the_paper() -> None:
    intrinsics, centers, sizes = regions()
    intrinsics[:, 0, 1] = 0.0
    rays = pinhole_rays(intrinsics, centers)
    x, y, _ = rays.unbind(-1)
    slanted = torch.stack((1 / (1 + x * x).sqrt(), (1 + x * x).sqrt() / (1 + x * x + y * y).sqrt()), -1) * sizes
    focal = torch.diagonal(intrinsics, dim1=1, dim2=2)[:, :2]
    for slant, at_plane in product((True, False), (True, False)):
        extent = slanted if slant else sizes
        gain = rays.norm(dim=-1, keepdim=True) if at_plane else 1.0
        options: dict[str, Any] = {"slant": slant, "focal_at_plane": at_plane}
        square = virtual_camera(intrinsics, centers, sizes, (200, 200), **options)
        found = torch.diagonal(square.intrinsics, dim1=1, dim2=2)[:, :2]
        assert_close(found, 200 * gain * focal / extent.amax(-1, keepdim=True))
        free = virtual_camera(intrinsics, centers, sizes, (200, 200), square=False, **options)
        found = torch.diagonal(free.intrinsics, dim1=1, dim2=2)[:, :2]
        assert_close(found, (200 * gain * focal / extent).amin(-1, keepdim=True).expand(-1, 2))


def test_slant_compensation_makes_a_facing_square_fill_the_crop() -> None:
    """A small square that faces the virtual camera: its picture's extent, as region, is its own size in the crop."""
    intrinsics = torch.tensor([[700.0, 0, 500], [0, 700, 500], [0, 0, 1]], dtype=torch.float64)
    center = torch.tensor([[930.0, 860.0]], dtype=torch.float64)
    virtual = virtual_camera(intrinsics, center, torch.ones(1, 2).double(), (1, 1))
    half = 1e-3
    ends = torch.tensor([[-half, 0, 1], [half, 0, 1], [0, -half, 1], [0, half, 1]], dtype=torch.float64)
    seen = projected(intrinsics, poses_from_virtual(virtual, ends))
    size = torch.stack(((seen[0, 1, 0] - seen[0, 0, 0]), (seen[0, 3, 1] - seen[0, 2, 1])))[None]
    crop = virtual_camera(intrinsics, center, size, (100, 100), square=False)
    assert_close(keypoints_in_virtual(intrinsics, crop, seen)[0, 1, 0], torch.tensor(100.0).double(), rtol=1e-3, atol=0)
    plain = virtual_camera(intrinsics, center, size, (100, 100), square=False, slant=False)
    assert keypoints_in_virtual(intrinsics, plain, seen)[0, 1, 0] < 95


@pytest.mark.parametrize("turn", TURNS)
def test_on_the_axis_it_is_an_ordinary_crop(turn: Turn) -> None:
    intrinsics = torch.tensor([[900.0, 0, 480], [0, 900, 530], [0, 0, 1]], dtype=torch.float64)
    virtual = virtual_camera(
        intrinsics, intrinsics[:2, 2], torch.tensor([300.0, 300.0]).double(), (150, 150), turn=turn
    )
    assert_close(virtual.cam_from_virtual, torch.eye(3).double())
    points = torch.tensor([[330.0, 380.0], [630.0, 680.0], [481.0, 520.0]], dtype=torch.float64)
    assert_close(keypoints_in_virtual(intrinsics, virtual, points), (points - torch.tensor([330.0, 380.0])) / 2)


@pytest.mark.parametrize("turn", TURNS)
def test_bones_keep_their_lengths_on_the_way_back(turn: Turn) -> None:
    intrinsics, centers, sizes = regions()
    virtual = virtual_camera(intrinsics, centers, sizes, (256, 256), turn=turn)
    pose = torch.randn(40, 17, 3, dtype=torch.float64, generator=torch.manual_seed(1))
    back = poses_from_virtual(virtual, pose)
    assert_close(torch.cdist(back, back), torch.cdist(pose, pose))
    assert_close(poses_in_virtual(virtual, back), pose)


def test_the_inverse_of_k_holds_with_skew() -> None:
    intrinsics, _, _ = regions()
    assert_close(intrinsics @ inverse_intrinsics(intrinsics), torch.eye(3).double().expand(40, 3, 3))


BAD = {
    "no width": ([500.0, 500.0], [0.0, 10.0]),
    "negative height": ([500.0, 500.0], [10.0, -1.0]),
    "NaN centre": ([math.nan, 500.0], [10.0, 10.0]),
    "infinite centre": ([math.inf, 500.0], [10.0, 10.0]),
    "NaN size": ([500.0, 500.0], [math.nan, 10.0]),
    "infinite size": ([500.0, 500.0], [math.inf, 10.0]),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("case", BAD)
def test_what_has_no_virtual_camera_is_marked_and_pulls_at_nothing(case: str, turn: Turn) -> None:
    intrinsics = torch.tensor([[700.0, 0, 500], [0, 700, 500], [0, 0, 1]], dtype=torch.float64).requires_grad_()
    center, size = (
        torch.tensor([good, bad], dtype=torch.float64).requires_grad_()
        for good, bad in zip(([400.0, 600.0], [80.0, 90.0]), BAD[case], strict=True)
    )
    virtual = virtual_camera(intrinsics, center, size, (64, 64), turn=turn)
    assert virtual.valid.tolist() == [True, False]
    assert virtual.intrinsics.isfinite().all()
    (virtual.cam_from_virtual.sum() + virtual.intrinsics.sum()).backward()
    for value in (intrinsics, center, size):
        assert value.grad is not None
        assert value.grad.isfinite().all()
    assert center.grad is not None
    assert size.grad is not None
    assert (center.grad[1] == 0).all()
    assert (size.grad[1] == 0).all()
    assert (center.grad[0] != 0).any()


def test_a_pixel_without_a_ray_has_no_virtual_camera() -> None:
    barrel = Camera.create((1000, 1000), 500.0, distortion=Distortion.create("brown_conrady", [-0.3]))
    centers = torch.tensor([[500.0, 500.0], [5000.0, 500.0]], dtype=torch.float64)
    virtual = virtual_camera(barrel, centers, torch.full((2, 2), 100.0).double(), (64, 64))
    assert virtual.valid.tolist() == [True, False]


def test_a_matrix_that_is_none_is_marked() -> None:
    intrinsics = torch.eye(3).double().repeat(3, 1, 1)
    intrinsics[1, 0, 0], intrinsics[2, 1, 2] = 0.0, math.nan
    virtual = virtual_camera(intrinsics, torch.zeros(3, 2).double(), torch.ones(3, 2).double(), (8, 8))
    assert virtual.valid.tolist() == [True, False, False]


def test_a_fisheye_looks_beyond_its_side() -> None:
    """A ray 100° off the axis has a virtual camera; none of the pinhole's formulas could say where."""
    fisheye = Camera.create((1000, 1000), 250.0, distortion=Distortion.create("kannala_brandt", []))
    angle = math.radians(100.0)
    center = torch.tensor([[500.0 + 250.0 * angle, 500.0]], dtype=torch.float64)
    virtual = virtual_camera(fisheye, center, torch.full((1, 2), 50.0).double(), (100, 100))
    assert virtual.valid.all()
    ahead = torch.tensor([math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64)
    assert_close(virtual.cam_from_virtual[0, :, 2], ahead, rtol=0, atol=1e-7)
    assert_close(
        virtual.intrinsics[0, 0, 0], torch.tensor(500.0).double(), rtol=1e-3, atol=0
    )  # 250 px/rad, twice as large
    with pytest.raises(ValueError, match="a fisheye has a scale only with slant=True"):
        virtual_camera(fisheye, center, torch.full((1, 2), 50.0).double(), (100, 100), slant=False)


def test_leading_axes_broadcast() -> None:
    intrinsics, centers, sizes = regions(6)
    many = virtual_camera(intrinsics[:, None], centers[:, None] + torch.zeros(6, 3, 2).double(), sizes[:, None], (8, 8))
    one = virtual_camera(intrinsics, centers, sizes, (8, 8))
    assert many.valid.shape == (6, 3)
    assert_close(many.intrinsics[:, 1], one.intrinsics)
    single = virtual_camera(intrinsics[0], centers[0], sizes[0], (8, 8))
    assert_close(single, VirtualCamera(*(value[0] for value in one)))


def test_a_crop_without_size_is_refused() -> None:
    eye, one = torch.eye(3), torch.ones(2)
    with pytest.raises(ValueError, match="crop_wh: expected a positive width and height"):
        virtual_camera(eye, one, one, (0, 10))


@pytest.mark.parametrize("options", OPTIONS[::3])
def test_derivatives_are_right(options: dict) -> None:
    intrinsics, centers, sizes = (value[:3].requires_grad_() for value in regions())
    known = intrinsics.detach().clone()
    mask = torch.tensor([[1.0, 0, 1], [0, 1, 1], [0, 0, 0]], dtype=torch.float64)

    def see(free: torch.Tensor, center: torch.Tensor, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        fixed = known * (1 - mask) + free * mask
        virtual = virtual_camera(fixed, center, size, (64, 48), **options)
        return virtual.cam_from_virtual, virtual.intrinsics

    assert torch.autograd.gradcheck(see, (intrinsics, centers, sizes))
