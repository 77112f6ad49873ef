"""Crops of people as cameras (paper 001, eq. 3–6, 11–17); augmentation that moves picture and camera together."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.methods.perspose.crops import Nudge, person_views, plain_views
from sightline.methods.perspose.geometry import uvd_from_xyz, xyz_from_uvd
from sightline.perspective import keypoints_in_virtual, poses_from_virtual, poses_in_virtual
from sightline.perspective.resampling import crop_pictures

SIZE = (640, 480)
CROP = (256, 256)
K = torch.tensor([[500.0, 0.0, 310.0], [0.0, 500.0, 250.0], [0.0, 0.0, 1.0]], dtype=torch.float64)

CAMERA = Camera.create(SIZE, 500.0, (310.0, 250.0))


def boxes(count: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.manual_seed(3)
    wh = torch.tensor(SIZE, dtype=torch.float64)
    return torch.rand(count, 2, generator=generator) * wh, 40 + 200 * torch.rand(count, 2, generator=generator).double()


def nudges(count: int = 8) -> Nudge:
    generator = torch.manual_seed(4)
    roll, zoom = torch.rand(2, count, generator=generator, dtype=torch.float64)
    return Nudge(roll - 0.5, 0.7 + 0.4 * zoom, 0.2 * torch.rand(count, 2, generator=generator).double() - 0.1)


def people(count: int = 8, joints: int = 6) -> Tensor:
    """Joints (m) before the camera."""
    generator = torch.manual_seed(5)
    place = torch.rand(count, 1, 3, generator=generator).double() * torch.tensor([3.0, 2.0, 3.0]) - torch.tensor(
        [1.5, 1.0, -3.0]
    )
    return place + 0.4 * torch.randn(count, joints, 3, generator=generator).double().clamp(-2, 2)


def test_a_plain_crop_is_an_affine_map_of_the_picture() -> None:
    """K_crop = A K with s = crop / box, the larger side deciding, and the box's middle in the crop's (eq. 3 and 4)."""
    centers, sizes = boxes()
    views = plain_views(K, centers, sizes, CROP)
    scale = 256 / sizes.amax(-1)
    affine = torch.eye(3, dtype=torch.float64).repeat(len(centers), 1, 1)
    affine[:, 0, 0] = affine[:, 1, 1] = scale
    affine[:, :2, 2] = 128 - scale[:, None] * centers
    assert_close(views.intrinsics, affine @ K)
    assert_close(views.cam_from_virtual, torch.eye(3, dtype=torch.float64).expand(len(centers), 3, 3))
    assert views.valid.all()


def test_a_crop_of_a_crop_of_a_crop_is_a_crop() -> None:
    """Cutting thrice gives the camera that cutting once with the last box gives."""
    first = plain_views(K, torch.tensor([200.0, 220.0]), torch.tensor([300.0, 280.0]), (400, 400)).intrinsics
    second = plain_views(first, torch.tensor([210.0, 180.0]), torch.tensor([150.0, 170.0]), (300, 300)).intrinsics
    box = torch.tensor([140.0, 160.0]), torch.tensor([60.0, 90.0])
    third = plain_views(second, *box, CROP).intrinsics
    scale = second[0, 0] / K[0, 0]
    origin = K[:2, 2] - second[:2, 2] / scale  # of the second crop, in the picture
    once = plain_views(K, origin + box[0] / scale, box[1] / scale, CROP).intrinsics
    assert_close(third, once)


def test_unequal_focal_lengths_come_out_equal() -> None:
    uneven = K.clone()
    uneven[1, 1] = 400.0
    centers, sizes = boxes()
    views = plain_views(uneven, centers, sizes, CROP)
    assert_close(views.intrinsics[:, 0, 0], views.intrinsics[:, 1, 1])
    edges = torch.cat([centers - sizes / 2, centers + sizes / 2], -1).unflatten(-1, (2, 2))
    seen = keypoints_in_virtual(uneven, views, edges)
    assert (seen > -1e-6).all()
    assert (seen < 256 + 1e-6).all()
    assert_close(keypoints_in_virtual(uneven, views, centers[:, None])[:, 0], torch.full_like(centers, 128))


LENSES = {
    "pinhole": CAMERA,
    "barrel": Camera.create(SIZE, 500.0, (310.0, 250.0), distortion=Distortion.create("brown_conrady", [-0.3, 0.1])),
    "fisheye": Camera.create(SIZE, 260.0, (310.0, 250.0), distortion=Distortion.create("kannala_brandt", [0.02])),
}


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("lens", LENSES)
def test_boxes_lie_in_their_crops(rotation: bool, lens: str) -> None:
    """All of the outline inside, and on the border somewhere, the middle in the middle, through any lens."""
    (centers, sizes), camera = boxes(), LENSES[lens]
    centers, sizes = 0.25 * torch.tensor(SIZE) + 0.5 * centers, 0.5 * sizes
    views = person_views(camera, centers, sizes, CROP, rotation=rotation)
    assert views.valid.all()
    outline = torch.tensor([[x, y] for x in (-0.5, 0, 0.5) for y in (-0.5, 0, 0.5)], dtype=torch.float64)
    seen = keypoints_in_virtual(camera, views, centers[:, None] + outline * sizes[:, None])
    reach = (seen - 128).abs().flatten(1).amax(1)
    assert (reach < 128 * (1.0 + (0.05 if rotation and lens != "pinhole" else 1e-9))).all()
    assert (reach > 127.9).all()
    if lens == "pinhole" or rotation:
        assert_close(keypoints_in_virtual(camera, views, centers[:, None])[:, 0], torch.full_like(centers, 128))


def test_targets_stay_near_small_boxes() -> None:
    """The jitter is a share of the picture, but never so far that a small person shrinks to nothing."""
    center, size = torch.tensor([[300.0, 240.0]]).double(), torch.tensor([[30.0, 40.0]]).double()
    target = torch.tensor([[0.1, 0.1]]).double()
    nudge = Nudge(torch.zeros(1).double(), torch.ones(1).double(), target)
    still = person_views(CAMERA, center, size, CROP, rotation=True)
    moved = person_views(CAMERA, center, size, CROP, rotation=True, nudge=nudge)
    assert 0.6 < float(moved.intrinsics[0, 0, 0] / still.intrinsics[0, 0, 0]) < 0.72


def test_half_precision_leaves_cameras_alone() -> None:
    centers, sizes = (value.float() for value in boxes())
    nudge = Nudge(*(value.float() for value in nudges()))
    for rotation in (False, True):
        plain = person_views(K.float(), centers, sizes, CROP, rotation=rotation, nudge=nudge)
        with torch.autocast("cpu", torch.bfloat16):
            under = person_views(K.float(), centers, sizes, CROP, rotation=rotation, nudge=nudge)
        assert torch.equal(plain.cam_from_virtual, under.cam_from_virtual)
        assert torch.equal(plain.intrinsics, under.intrinsics)


def test_a_turned_crop_has_its_principal_point_in_the_middle() -> None:
    """Eq. 11; and it is turned by the angle of the box's ray off the axis (eq. 14)."""
    centers, sizes = boxes()
    views = person_views(K, centers, sizes, CROP, rotation=True)
    assert_close(views.intrinsics[:, :2, 2], torch.full_like(centers, 128))
    rays = torch.cat([(centers - K[:2, 2]) / 500, torch.ones(len(centers), 1)], -1)
    phi = torch.acos(rays[:, 2] / rays.norm(dim=-1))
    cosine = (torch.diagonal(views.cam_from_virtual, dim1=-2, dim2=-1).sum(-1) - 1) / 2
    assert_close(torch.acos(cosine), phi)
    plain = person_views(K, centers, sizes, CROP, rotation=False)
    assert (plain.intrinsics[:, :2, 2] - 128).abs().max() > 100


@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("nudged", [False, True])
def test_joints_are_where_the_crop_shows_them(rotation: bool, nudged: bool) -> None:
    """Projecting with the crop's camera, and cropping the projection, are one; and so back to the picture's camera."""
    joints = people()
    px = CAMERA.project(joints)[0]
    low, high = px.amin(1), px.amax(1)
    views = person_views(K, (low + high) / 2, high - low, CROP, rotation=rotation, nudge=nudges() if nudged else None)
    uv, depth, scale = uvd_from_xyz(poses_in_virtual(views, joints), views.intrinsics)
    assert_close(uv, keypoints_in_virtual(K, views, px))
    assert_close(depth[:, 0], torch.zeros_like(depth[:, 0]))
    back = poses_from_virtual(views, xyz_from_uvd(uv, depth, scale, views.intrinsics))
    assert_close(back, joints)
    bones, true = (torch.linalg.vector_norm(p[:, 1:] - p[:, :-1], dim=-1) for p in (back, joints))
    assert_close(bones, true)


@pytest.mark.parametrize("rotation", [False, True])
def test_a_nudge_rolls_about_the_principal_point_and_zooms(rotation: bool) -> None:
    """Of the same box: the crop's pixels turn about the principal point and move away from it."""
    centers, sizes = boxes()
    nudge = nudges()._replace(target=torch.zeros(8, 2).double())
    before = person_views(K, centers, sizes, CROP, rotation=rotation)
    after = person_views(K, centers, sizes, CROP, rotation=rotation, nudge=nudge)
    points = centers[:, None] + 10 * torch.randn(8, 5, 2).double()
    old = keypoints_in_virtual(K, before, points) - before.intrinsics[:, None, :2, 2]
    new = keypoints_in_virtual(K, after, points) - after.intrinsics[:, None, :2, 2]
    cos, sin = torch.cos(nudge.roll_rad), torch.sin(nudge.roll_rad)
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    assert_close(new, nudge.zoom[:, None, None] * (old @ turn))
    middle = keypoints_in_virtual(K, after, centers[:, None])[:, 0]
    assert_close(middle, torch.full_like(middle, 128))


def test_the_target_moves_the_box_off_the_middle() -> None:
    centers, sizes = boxes()
    nudge = Nudge(torch.zeros(8).double(), torch.ones(8).double(), nudges().target)
    views = person_views(CAMERA, centers, sizes, CROP, rotation=True, nudge=nudge)
    there = keypoints_in_virtual(CAMERA, views, centers[:, None])[:, 0] - 128
    assert (torch.sign(there) == torch.sign(nudge.target)).all()
    still = person_views(CAMERA, centers, sizes, CROP, rotation=True)
    assert not torch.allclose(still.cam_from_virtual, views.cam_from_virtual)
    off = (640 * nudge.target).clamp(-0.25 * sizes.amax(-1, keepdim=True), 0.25 * sizes.amax(-1, keepdim=True))
    angle = torch.linalg.vector_norm(off, dim=-1) / 500  # tangent of the angle between the two rays
    seen = torch.linalg.vector_norm(there, dim=-1) / views.intrinsics[:, 0, 0]
    assert_close(seen, angle)


def test_the_target_of_a_plain_crop_is_a_share_of_it() -> None:
    """Whatever the box: only the principal point moves, and with it all that the crop shows."""
    centers, sizes = boxes()
    target = nudges().target
    nudge = Nudge(torch.zeros(8).double(), torch.ones(8).double(), target)
    still, moved = (plain_views(K, centers, sizes, CROP, nudge=each) for each in (None, nudge))
    assert_close(moved.intrinsics[:, :2, 2] - still.intrinsics[:, :2, 2], 256 * target)
    assert_close(moved.intrinsics[:, :2, :2], still.intrinsics[:, :2, :2])
    middle = keypoints_in_virtual(K, moved, centers[:, None])[:, 0]
    assert_close(middle, 128 + 256 * target)
    rolled = plain_views(K, centers, sizes, CROP, nudge=nudges())
    assert_close(keypoints_in_virtual(K, rolled, centers[:, None])[:, 0], 128 + 256 * target)


@pytest.mark.parametrize("rotation", [False, True])
def test_what_is_no_box_gives_no_crop(rotation: bool) -> None:
    centers = torch.tensor([[100.0, 100.0], [math.nan, 3.0], [200.0, 200.0]], requires_grad=True)
    sizes = torch.tensor([[50.0, 60.0], [50.0, 60.0], [0.0, 10.0]])
    views = person_views(K.float(), centers, sizes, CROP, rotation=rotation)
    assert views.valid.tolist() == [True, False, False]
    assert views.intrinsics.isfinite().all()
    views.intrinsics.sum().backward()
    assert centers.grad is not None
    assert centers.grad.isfinite().all()


@pytest.mark.parametrize("rotation", [False, True])
def test_a_lens_is_taken_off(rotation: bool) -> None:
    """A crop through a lens shows joints where a pinhole sees them."""
    lens = Distortion.create("brown_conrady", [-0.2, 0.05])
    camera = Camera.create(SIZE, 500.0, (310.0, 250.0), distortion=lens)
    joints = people()
    px = camera.project(joints)[0]
    low, high = px.amin(1), px.amax(1)
    views = person_views(camera, (low + high) / 2, high - low, CROP, rotation=rotation)
    uv, _, _ = uvd_from_xyz(poses_in_virtual(views, joints), views.intrinsics)
    assert_close(uv, keypoints_in_virtual(camera, views, px), atol=2e-2, rtol=0)


def test_a_mirrored_picture_with_its_camera_gives_the_mirrored_crop() -> None:
    from sightline.methods.perspose.flip import flipped_intrinsics

    image = torch.nn.functional.interpolate(torch.rand(8, 3, 24, 32).double(), (SIZE[1], SIZE[0]), mode="bicubic")
    centers, sizes = boxes()
    other = torch.stack([SIZE[0] - centers[:, 0], centers[:, 1]], -1)
    mirrored = flipped_intrinsics(K, SIZE[0])
    for rotation in (False, True):
        one = person_views(K, centers, sizes, CROP, rotation=rotation)
        two = person_views(mirrored, other, sizes, CROP, rotation=rotation)
        assert_close(flipped_intrinsics(one.intrinsics, 256), two.intrinsics)
        crop = crop_pictures(image, K, one, CROP)
        assert_close(crop.flip(-1), crop_pictures(image.flip(-1), mirrored, two, CROP), atol=1e-9, rtol=0)


def test_joints_behind_the_camera_have_no_pixels() -> None:
    joints = torch.tensor([[[0.0, 0.0, 2.0], [0.0, 0.0, -1.0]]])
    uv, depth, scale = uvd_from_xyz(joints, K.float()[None])
    assert uv[0, 0].isfinite().all()
    assert uv[0, 1].isnan().all()
    assert depth.tolist() == [[0.0, -3.0]]
    assert_close(scale, torch.tensor([2.0 / 500]))
