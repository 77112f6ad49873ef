"""What goes into the lifter and comes out of it: eq. 1, 5 and 6, flips, focal lengths, statures, analytic roots."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.camera import Camera
from sightline.data.procedural import procedural_poses
from sightline.geometry.distortion import Distortion
from sightline.methods.abspose.decode import (
    decode,
    depth_unit_m,
    flipped_average,
    points_from_keypoints,
    truth_for,
)
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter, Lifted
from sightline.skeleton import get_skeleton
from sightline.stature import stature_from_joints

DOUBLE = torch.float64
FLIP = list(get_skeleton("h36m17").flip)
MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=DOUBLE)
CONFIGS = {
    f"{coordinates}, {depth}, {unit}": AbsPoseConfig(width=8, coordinates=coordinates, depth=depth, unit=unit)
    for coordinates in ("pixels", "rays")
    for depth in ("canonical", "metric")
    for unit in ("metre", "stature")
    if (coordinates, depth) != ("rays", "metric")
}
PIXELS, RAYS = CONFIGS["pixels, canonical, metre"], CONFIGS["rays, canonical, metre"]


def people(count: int = 12) -> Tensor:
    """Procedural people (m, camera axes: y down) a few metres before the camera, in double precision."""
    joints = procedural_poses(count, torch.Generator().manual_seed(0)).double()
    joints = torch.stack([joints[..., 0], 0.95 - joints[..., 2], joints[..., 1]], dim=-1)
    place = torch.rand(count, 1, 3, dtype=DOUBLE) * torch.tensor([2.0, 1.0, 4.0]) + torch.tensor([-1.0, -0.5, 3.0])
    return (joints + place) * (0.9 + 0.2 * torch.rand(count, 1, 1, dtype=DOUBLE))


def camera(*, distorted: bool = False, batch: int | None = None) -> Camera:
    """A camera off its centre with unequal focals, or a batch of different ones."""
    lens = Distortion(
        model="brown_conrady",
        radial=torch.tensor([-0.12, 0.05], dtype=DOUBLE),
        tangential=torch.tensor([0.002, -0.001], dtype=DOUBLE),
    )
    one = Camera.create((1920, 1080), (1400.0, 1350.0), (951.0, 560.0), distortion=lens if distorted else None)
    if batch is None:
        return one
    chance = torch.Generator().manual_seed(0)
    factor = 0.6 + torch.rand(batch, 1, dtype=DOUBLE, generator=chance)
    moved = 30 * torch.randn(batch, 2, dtype=DOUBLE, generator=chance)
    many = one.expand(batch)
    return replace(many, focal_px=many.focal_px * factor, center_px=many.center_px + moved)


CAMERAS = {
    "pinhole": camera(),
    "distorted": camera(distorted=True),
    "one per pose": camera(batch=12),
    "one per pose, distorted": camera(distorted=True, batch=12),
}


@pytest.fixture(params=CONFIGS)
def config(request: pytest.FixtureRequest) -> AbsPoseConfig:
    return CONFIGS[request.param]


@pytest.fixture(params=CAMERAS)
def view(request: pytest.FixtureRequest) -> Camera:
    return CAMERAS[request.param]


def seen(joints: Tensor, camera: Camera) -> Tensor:
    keypoints, valid = camera.project(joints)
    assert valid.all()
    return keypoints


# --- there and back ---------------------------------------------------------------------------------------------------


def test_decoding_the_truth_gives_the_people_back(config: AbsPoseConfig, view: Camera) -> None:
    joints = people()
    stature = stature_from_joints(joints)
    truth = truth_for(joints, view, config, stature)
    assert_close(decode(truth, seen(joints, view), view, config, stature), joints, rtol=0, atol=1e-9)


def test_without_statures_lengths_in_statures_are_those_of_mean_people() -> None:
    config, view, joints = CONFIGS["rays, canonical, stature"], camera(), people()
    keypoints, stature = seen(joints, view), stature_from_joints(joints)
    truth = truth_for(joints, view, config, stature)
    known = decode(truth, keypoints, view, config, stature)
    unknown = decode(truth, keypoints, view, config)
    assert_close(unknown, known * (config.mean_stature_m / stature)[:, None, None])
    some = torch.where(torch.arange(12) % 2 == 0, stature, torch.nan)
    mixed = decode(truth, keypoints, view, config, some)
    assert_close(mixed[0::2], known[0::2])
    assert_close(mixed[1::2], unknown[1::2])


def test_a_given_stature_scales_everything_about_the_camera() -> None:
    config, view, joints = CONFIGS["pixels, canonical, stature"], camera(), people()
    truth = truth_for(joints, view, config, stature_from_joints(joints))
    keypoints = seen(joints, view)
    small, large = (decode(truth, keypoints, view, config, torch.full((12,), h, dtype=DOUBLE)) for h in (1.5, 1.8))
    assert_close(large, 1.2 * small)


def test_a_camera_for_all_is_the_same_camera_for_each(config: AbsPoseConfig) -> None:
    view, joints = camera(distorted=True), people()
    keypoints, stature = seen(joints, view), stature_from_joints(joints)
    each = view.expand(12)
    assert torch.equal(
        points_from_keypoints(keypoints, view, config)[0], points_from_keypoints(keypoints, each, config)[0]
    )
    one, many = truth_for(joints, view, config, stature), truth_for(joints, each, config, stature)
    assert torch.equal(one.depth, many.depth)
    assert torch.equal(decode(one, keypoints, view, config, stature), decode(one, keypoints, each, config, stature))


# --- equations --------------------------------------------------------------------------------------------------------


def test_equation_1_moves_the_principal_point_to_the_origin() -> None:
    view, joints = camera(), people()
    keypoints = seen(joints, view)
    points, valid = points_from_keypoints(keypoints, view, PIXELS)
    assert valid.all()
    assert_close(points, keypoints - view.center_px)


def test_the_input_is_that_of_the_lens_free_camera() -> None:
    view, joints = camera(distorted=True), people()
    points, _ = points_from_keypoints(seen(joints, view), view, PIXELS)
    assert_close(points, seen(joints, view.undistorted()) - view.center_px, rtol=0, atol=1e-7)
    assert (points - (seen(joints, view) - view.center_px)).abs().max() > 1, "this lens is no pinhole"


def test_rays_are_what_an_ideal_camera_of_a_thousand_pixels_sees(view: Camera) -> None:
    joints = people()
    points, _ = points_from_keypoints(seen(joints, view), view, RAYS)
    assert_close(points, 1000 * joints[..., :2] / joints[..., 2:], rtol=0, atol=1e-7)


def test_the_canonical_depth_is_a_thousand_depths_per_focal(view: Camera) -> None:
    joints = people()
    stature = stature_from_joints(joints)
    depth = joints[:, 0, 2]
    focal = view.focal_px.prod(-1).sqrt()
    assert_close(truth_for(joints, view, PIXELS, stature).depth, 1000 * depth / focal)
    assert_close(truth_for(joints, view, CONFIGS["pixels, metric, metre"], stature).depth, depth)
    assert_close(truth_for(joints, view, RAYS, stature).depth, depth)
    assert_close(truth_for(joints, view, CONFIGS["rays, canonical, stature"], stature).depth, depth / stature)


def test_equations_5_and_6_by_hand() -> None:
    view = camera()
    keypoints = torch.rand(1, 17, 2, dtype=DOUBLE) * 800
    lifted = Lifted(relative=torch.zeros(1, 17, 3, dtype=DOUBLE), depth=torch.tensor([2.5], dtype=DOUBLE))
    x, y, z = decode(lifted, keypoints, view, PIXELS)[0, 3].tolist()
    u, v = keypoints[0, 0].tolist()
    assert z == pytest.approx(2.5 * math.sqrt(1400 * 1350) / 1000)
    assert x == pytest.approx((u - 951) * z / 1400)
    assert y == pytest.approx((v - 560) * z / 1350)


def test_depth_units() -> None:
    view, stature = camera(), torch.tensor([1.5, 2.0], dtype=DOUBLE)
    f = math.sqrt(1400 * 1350) / 1000
    expected = {
        "pixels, canonical, metre": [f, f],
        "pixels, canonical, stature": [1.5 * f, 2 * f],
        "pixels, metric, metre": [1.0, 1.0],
        "pixels, metric, stature": [1.5, 2.0],
        "rays, canonical, metre": [1.0, 1.0],
        "rays, canonical, stature": [1.5, 2.0],
    }
    for name, values in expected.items():
        assert_close(depth_unit_m(view, CONFIGS[name], stature), torch.tensor(values, dtype=DOUBLE))


# --- pictures changed together with their cameras ---------------------------------------------------------------------


def test_a_resized_picture_changes_canonical_depth_and_pixels_as_one_focal_does() -> None:
    view, joints = camera(distorted=True), people()
    stature, keypoints = stature_from_joints(joints), seen(joints, view)
    half, twice = view.resized((960, 540)), view.resized((3840, 2160))
    for resized, factor in ((half, 0.5), (twice, 2.0)):
        pixels, _ = points_from_keypoints(keypoints * factor, resized, PIXELS)
        assert_close(pixels, factor * points_from_keypoints(keypoints, view, PIXELS)[0])
        rays, _ = points_from_keypoints(keypoints * factor, resized, RAYS)
        assert_close(rays, points_from_keypoints(keypoints, view, RAYS)[0])
        before, after = (truth_for(joints, c, PIXELS, stature) for c in (view, resized))
        assert_close(after.depth * factor, before.depth)
        assert_close(after.relative, before.relative)
        for config in (RAYS, CONFIGS["pixels, metric, metre"]):
            metric, again = (truth_for(joints, c, config, stature).depth for c in (view, resized))
            assert_close(again, metric)


def test_a_longer_lens_moves_nobody_whose_picture_it_keeps() -> None:
    """Canonical depth is what a picture shows: twice the focal and twice the distance give the same target."""
    view, joints = camera(), people()
    far = joints + joints[:, :1] * torch.tensor([0.0, 0.0, 1.0])
    longer = replace(view, focal_px=2 * view.focal_px)
    stature = stature_from_joints(joints)
    assert_close(truth_for(far, longer, PIXELS, stature).depth, truth_for(joints, view, PIXELS, stature).depth)


def test_a_crop_changes_nothing(config: AbsPoseConfig) -> None:
    view, joints = camera(distorted=True), people()
    keypoints, corner = seen(joints, view), torch.tensor([311.0, 40.0], dtype=DOUBLE)
    cropped, stature = view.cropped(corner, (640, 480)), stature_from_joints(joints)
    points, again = (
        points_from_keypoints(k, c, config)[0] for k, c in ((keypoints, view), (keypoints - corner, cropped))
    )
    assert_close(again, points, rtol=0, atol=1e-7)
    truth = truth_for(joints, view, config, stature)
    assert_close(truth_for(joints, cropped, config, stature).depth, truth.depth)
    assert_close(decode(truth, keypoints - corner, cropped, config, stature), joints, rtol=0, atol=1e-9)


def test_a_mirrored_picture_gives_the_mirrored_input_and_truth(config: AbsPoseConfig, view: Camera) -> None:
    joints, width = people(), 1920.0
    keypoints, stature = seen(joints, view), stature_from_joints(joints)
    flipped = view.flipped()
    mirrored_px = torch.stack([width - keypoints[..., 0], keypoints[..., 1]], -1)[:, FLIP]
    mirrored = joints[:, FLIP] * MIRROR
    points, _ = points_from_keypoints(keypoints, view, config)
    again, _ = points_from_keypoints(mirrored_px, flipped, config)
    assert_close(again, points[:, FLIP] * MIRROR[:2], rtol=0, atol=1e-7)
    truth, other = truth_for(joints, view, config, stature), truth_for(mirrored, flipped, config, stature)
    assert_close(other.depth, truth.depth)
    assert_close(other.relative, truth.relative[:, FLIP] * MIRROR)
    assert_close(decode(other, mirrored_px, flipped, config, stature), mirrored, rtol=0, atol=1e-8)


def test_a_mirrored_picture_with_the_old_principal_point_is_off_by_17_pixels() -> None:
    """The trap: x → W − x without c_x → W − c_x moves the reference by W − 2 c_x, 17.7 px for one Human3.6M camera."""
    view = Camera.create((1000, 1000), 1145.0, ((1000 - 17.7) / 2, 512.0))
    joints = people()
    keypoints = seen(joints, view)
    mirrored_px = torch.stack([1000 - keypoints[..., 0], keypoints[..., 1]], -1)
    wanted = points_from_keypoints(keypoints, view, PIXELS)[0] * MIRROR[:2]
    right, _ = points_from_keypoints(mirrored_px, view.flipped(), PIXELS)
    wrong, _ = points_from_keypoints(mirrored_px, view, PIXELS)
    assert_close(right, wanted)
    assert_close(wrong - wanted, torch.tensor([17.7, 0.0], dtype=DOUBLE).expand_as(wanted))


def test_averaging_with_the_mirror_image_is_a_mean_that_does_not_know_left_from_right() -> None:
    torch.manual_seed(0)
    lifter, points = AbsPoseLifter(AbsPoseConfig(width=16)).eval(), 200 * torch.randn(5, 17, 2)
    mirror_2d, mirror_3d = MIRROR[:2].float(), MIRROR.float()
    mirrored = points[:, FLIP] * mirror_2d
    average = flipped_average(lifter, points)
    plain, other = lifter(points), lifter(mirrored)
    assert_close(average.depth, (plain.depth + other.depth) / 2)
    assert_close(average.relative, (plain.relative + other.relative[:, FLIP] * mirror_3d) / 2)
    again = flipped_average(lifter, mirrored)
    assert_close(again.depth, average.depth)
    assert_close(again.relative, average.relative[:, FLIP] * mirror_3d)
    assert (average.depth - plain.depth).abs().min() > 1e-5, "an untrained network knows no symmetry"


# --- the analytic roots -----------------------------------------------------------------------------------------------


def test_the_perspective_root_is_exact_for_true_relative_poses(config: AbsPoseConfig, view: Camera) -> None:
    joints = people()
    keypoints, stature = seen(joints, view), stature_from_joints(joints)
    truth = truth_for(joints, view, config, stature)
    unknown = truth._replace(depth=torch.full_like(truth.depth, -7.0))
    solved = decode(unknown, keypoints, view, config, stature, root="perspective")
    assert_close(solved, joints, rtol=0, atol=1e-7)


def test_the_weak_perspective_root_is_near_and_exact_for_a_flat_person(view: Camera) -> None:
    joints = people()
    stature = stature_from_joints(joints)

    def depth_error(joints: Tensor) -> Tensor:
        truth = truth_for(joints, view, PIXELS, stature)
        solved = decode(truth, seen(joints, view), view, PIXELS, stature, root="weak_perspective")
        return ((solved - joints)[:, 0, 2] / joints[:, 0, 2]).abs()

    assert 1e-4 < depth_error(joints).mean() < 0.08
    flat = joints.clone()
    flat[..., 2] = joints[:, :1, 2]
    assert depth_error(flat).max() < 1e-9


def test_all_roots_agree_on_the_relative_pose(view: Camera) -> None:
    joints = people()
    truth = truth_for(joints, view, PIXELS, stature_from_joints(joints))
    for root in ("learned", "perspective", "weak_perspective"):
        solved = decode(truth, seen(joints, view), view, PIXELS, root=root)
        assert_close(solved - solved[:, :1], truth.relative)


# --- bad points, gradients --------------------------------------------------------------------------------------------


def test_a_point_that_the_lens_cannot_place_is_nan_and_touches_nobody_else() -> None:
    lens = Distortion(model="brown_conrady", radial=torch.tensor([-0.4]))
    view = Camera.create((1920, 1080), 1000.0, distortion=lens)
    joints = people(3)
    keypoints = seen(joints, view)
    keypoints[1, 0] = torch.tensor([9000.0, 9000.0])
    points, valid = points_from_keypoints(keypoints, view, PIXELS)
    assert valid.logical_not().nonzero().tolist() == [[1, 0]]
    assert points.isnan().any(-1).nonzero().tolist() == [[1, 0]]
    truth = truth_for(joints, view, PIXELS, stature_from_joints(joints))
    solved = decode(truth, keypoints, view, PIXELS)
    assert_close(solved[[0, 2]], joints[[0, 2]], rtol=0, atol=1e-6)
    assert solved[1, :, :2].isnan().all()


def test_decoding_has_finite_gradients(config: AbsPoseConfig) -> None:
    view, joints = camera(distorted=True), people(4)
    stature = stature_from_joints(joints)
    truth = truth_for(joints, view, config, stature)
    for root in ("learned", "perspective", "weak_perspective"):
        lifted = Lifted(*(value.clone().requires_grad_() for value in truth))
        decode(lifted, seen(joints, view), view, config, stature, root=root).square().sum().backward()
        assert lifted.relative.grad is not None
        assert lifted.relative.grad.isfinite().all()
        assert (lifted.depth.grad is None) == (root != "learned")


def test_turning_the_camera_about_its_axis_turns_the_answer() -> None:
    """Equal focals: a picture turned by 90° and the people turned with it are the same problem."""
    view, joints = Camera.create((1000, 1000), 1100.0), people()
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.0, math.pi / 2], dtype=DOUBLE))
    turned = joints @ turn.mT
    truth = truth_for(turned, view, PIXELS, stature_from_joints(joints))
    assert_close(truth.depth, truth_for(joints, view, PIXELS, stature_from_joints(joints)).depth)
    points = points_from_keypoints(seen(turned, view), view, PIXELS)[0]
    assert_close(points, points_from_keypoints(seen(joints, view), view, PIXELS)[0] @ turn[:2, :2].mT)
