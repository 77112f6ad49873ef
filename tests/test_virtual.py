"""Virtual people before virtual cameras: exact pairs, inside the frame to its border, a function of seed and step."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor
from torch.testing import assert_close

from sightline.data.procedural import procedural_poses
from sightline.data.virtual import (
    CameraConfig,
    PeopleConfig,
    ViewBatch,
    mirrored,
    sample_views,
    step_generator,
)
from sightline.skeleton import get_skeleton
from sightline.stature import stature_from_joints

H36M = get_skeleton("h36m17")
SAME_BODIES = PeopleConfig(size_std=0.0, bone_std=0.0, mirrored_share=0.0)
WIDE = CameraConfig(
    image_sizes=((1000, 1000), (1920, 1080), (720, 1280)),
    focal_px=(600.0, 2000.0),
    center_share_std=0.02,
    depth_m=(1.0, 12.0),
    depth_uniform_in="log",
    pitch=(-0.6, 0.8),
    roll_std=0.15,
)
CAMERAS = {"default": CameraConfig(), "wide": WIDE, "close": CameraConfig(depth_m=(0.1, 0.2))}


def library(count: int = 400) -> Tensor:
    return procedural_poses(count, step_generator(1, 0))


def views(
    count: int = 2000, cameras: CameraConfig | None = None, people: PeopleConfig | None = None, seed: int = 0
) -> ViewBatch:
    return sample_views(library(), count, step_generator(seed, 0), people, cameras)


def tensors(batch: ViewBatch) -> list[Tensor]:
    camera = batch.camera
    parts = [batch.joints_cam, batch.keypoints_px, batch.stature_m, batch.visible, batch.frame]
    parts += [camera.image_size, camera.focal_px, camera.center_px]
    return parts + ([] if camera.distortion is None else [camera.distortion.radial])


def bone_lengths(joints: Tensor) -> Tensor:
    return torch.stack([(joints[:, c] - joints[:, p]).norm(dim=-1) for c, p in H36M.bones], dim=-1)


def rod(direction: tuple[float, float, float]) -> Tensor:
    """A library of one "pose" whose joints lie along a line in the world: shows how the camera is turned."""
    return torch.linspace(0, 1, 17)[None, :, None] * torch.tensor(direction)


# --- chance -----------------------------------------------------------------------------------------------------------


def test_a_step_is_a_function_of_seed_step_and_rank() -> None:
    def drawn(*key: int) -> ViewBatch:
        return sample_views(library(50), 20, step_generator(*key), cameras=replace(WIDE, radial_std=0.05))

    for one, again in zip(tensors(drawn(3, 7, 1)), tensors(drawn(3, 7, 1)), strict=True):
        assert torch.equal(one, again)
    keys = [(3, 7, 1), (4, 7, 1), (3, 8, 1), (3, 7, 0), (7, 3, 1), (3, 1, 7)]
    first = {key: float(drawn(*key).joints_cam.sum()) for key in keys}
    assert len(set(first.values())) == len(keys)


def test_neighbouring_steps_and_seeds_never_share_a_state() -> None:
    states = {step_generator(s, t, r).initial_seed() for s in range(20) for t in range(200) for r in range(4)}
    assert len(states) == 20 * 200 * 4


def test_threads_and_the_global_chance_do_not_matter() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = views(500, WIDE)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    torch.set_num_threads(2)
    try:
        two = views(500, WIDE)
    finally:
        torch.set_num_threads(1)
    for left, right in zip(tensors(one), tensors(two), strict=True):
        assert torch.equal(left, right)


# --- the frame --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CAMERAS)
def test_the_whole_body_is_inside_the_picture(name: str) -> None:
    batch = views(3000, CAMERAS[name])
    size = batch.camera.image_size[:, None]
    slack = 1e-5 * size  # a body that just fits touches two borders, to rounding
    assert ((batch.keypoints_px >= -slack) & (batch.keypoints_px <= size + slack)).all()
    if name != "close":
        assert batch.visible.float().mean() > 0.9999


def test_bodies_reach_every_border() -> None:
    points = views(6000).keypoints_px
    low, high = points.amin(1), points.amax(1)
    for nearest in (*low.amin(0), *(1000 - high).amin(0)):
        assert 0 <= float(nearest) < 3
    assert (low[:, 0] < 20).float().mean() > 0.01, "the border is no rare place"


def test_every_place_that_keeps_the_body_inside_is_as_likely() -> None:
    points = views(6000).keypoints_px
    low, high = points.amin(1)[:, 0], 1000 - points.amax(1)[:, 0]
    share = (low / (low + high))[low + high > 50]
    assert_close(share.sort().values, torch.linspace(0, 1, len(share)), rtol=0, atol=0.04)


def test_overflowing_bodies_are_cut_by_the_border_and_say_so() -> None:
    batch = views(4000, CameraConfig(overflow_share=0.2))
    size = batch.camera.image_size[:, None]
    inside = ((batch.keypoints_px >= 0) & (batch.keypoints_px <= size)).all(-1)
    assert torch.equal(batch.visible, inside)
    assert 0.05 < (~inside.all(1)).float().mean() < 0.8
    assert (batch.keypoints_px > -0.2 * 1000 - 0.1).all()
    assert (batch.keypoints_px < 1.2 * 1000 + 0.1).all()
    assert batch.keypoints_px.amin() < -150, "some reach nearly as far over the border as allowed"


# --- depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth_m", [(2.5, 7.0), (1.0, 1.6), (0.1, 0.2)])
def test_depth_is_within_its_range_or_as_near_as_the_body_fits(depth_m: tuple[float, float]) -> None:
    batch = views(3000, CameraConfig(depth_m=depth_m))
    depth = batch.joints_cam[:, 0, 2]
    assert depth.min() >= depth_m[0] - 1e-5
    beyond = depth > depth_m[1] + 1e-5
    extent = (batch.keypoints_px.amax(1) - batch.keypoints_px.amin(1)).amax(-1)
    assert_close(extent[beyond], torch.full_like(extent[beyond], 1000.0), rtol=1e-4, atol=0)
    if depth_m[1] < 1.2:
        assert beyond.all()
    if depth_m[0] > 2:
        assert beyond.float().mean() < 0.01


def test_nobody_is_closer_than_the_lens() -> None:
    fisheye_like = CameraConfig(focal_px=(50.0, 50.0), depth_m=(0.01, 0.02), overflow_share=1.0)
    batch = views(2000, fisheye_like)
    assert batch.joints_cam[..., 2].min() > 0.3 - 1e-4
    assert batch.keypoints_px.isfinite().all()


@pytest.mark.parametrize(("kind", "middle"), [("depth", 22.0), ("log", math.sqrt(4 * 40))])
def test_depth_is_uniform_in_depth_or_in_its_logarithm(kind: str, middle: float) -> None:
    batch = views(8000, CameraConfig(depth_m=(4.0, 40.0), depth_uniform_in=kind))
    depth = batch.joints_cam[:, 0, 2]
    assert float(depth.median()) == pytest.approx(middle, rel=0.04)
    assert depth.min() < 4.2
    assert depth.max() > 38


# --- projection -------------------------------------------------------------------------------------------------------


def projected_slowly(batch: ViewBatch, view: int) -> np.ndarray:
    """NumPy twin: one view, one joint at a time, the formula of a radial lens written down."""
    camera, points = batch.camera, []
    focal, center = camera.focal_px[view].double().numpy(), camera.center_px[view].double().numpy()
    k = np.zeros(2) if camera.distortion is None else camera.distortion.radial[view].double().numpy()
    for x, y, z in batch.joints_cam[view].double().numpy():
        u, v = x / z, y / z
        r2 = u * u + v * v
        factor = 1 + k[0] * r2 + k[1] * r2 * r2
        points.append(focal * np.array([u, v]) * factor + center)
    return np.array(points)


@pytest.mark.parametrize("cameras", [CameraConfig(), WIDE, replace(WIDE, radial_std=0.05)])
def test_keypoints_are_the_exact_projections(cameras: CameraConfig) -> None:
    batch = views(40, cameras)
    for view in range(40):
        assert_allclose(batch.keypoints_px[view].numpy(), projected_slowly(batch, view), rtol=1e-5, atol=2e-3)
    again, _ = batch.camera.project(batch.joints_cam)
    assert torch.equal(again, batch.keypoints_px)


def test_distortion_is_drawn_and_undone_by_the_camera() -> None:
    batch = views(2000, CameraConfig(radial_std=0.05))
    assert batch.camera.distortion is not None
    k1, k2 = batch.camera.distortion.radial.unbind(-1)
    assert float(k1.std()) == pytest.approx(0.05, rel=0.1)
    assert k1.abs().max() <= 0.2
    assert_close(k2, 0.2 * k1.abs())
    seen, valid = batch.camera.normalized(batch.keypoints_px)
    assert valid.all()
    assert_close(seen, batch.joints_cam[..., :2] / batch.joints_cam[..., 2:], rtol=0, atol=1e-5)
    assert views(10, CameraConfig()).camera.is_pinhole


# --- cameras ----------------------------------------------------------------------------------------------------------


def test_cameras_are_drawn_as_configured() -> None:
    camera = views(6000, WIDE).camera
    sizes = {tuple(size) for size in camera.image_size.int().tolist()}
    assert sizes == set(WIDE.image_sizes)
    for size in WIDE.image_sizes:
        share = (camera.image_size == torch.tensor(size)).all(-1).float().mean()
        assert float(share) == pytest.approx(1 / 3, abs=0.03)
    log_focal = camera.focal_px[:, 0].log()
    assert torch.equal(camera.focal_px[:, 0], camera.focal_px[:, 1])
    share = (log_focal - math.log(600)) / (math.log(2000) - math.log(600))
    assert_close(share.sort().values, torch.linspace(0, 1, 6000), rtol=0, atol=0.04)
    moved = camera.center_px / camera.image_size - 0.5
    assert_close(moved.std(0), torch.full((2,), 0.02), rtol=0.06, atol=0)


def test_a_relative_focal_grows_with_the_picture() -> None:
    camera = views(500, CameraConfig(image_sizes=((1000, 500), (4000, 3000)), focal_relative=True)).camera
    assert_close(camera.focal_px[:, 0] / camera.image_size.amax(-1), torch.full((500,), 1.145))


@pytest.mark.parametrize("pitch", [-0.4, 0.0, 0.3])
def test_positive_pitch_looks_down(pitch: float) -> None:
    cameras = CameraConfig(pitch=(pitch, pitch), roll_std=0.0)
    batch = sample_views(rod((0.0, 0.0, 1.0)), 50, step_generator(0, 0), SAME_BODIES, cameras)
    up_cam = batch.joints_cam[:, H36M.index("Head")] - batch.joints_cam[:, 0]
    up_cam = up_cam / up_cam.norm(dim=-1, keepdim=True)
    assert_close(up_cam, torch.tensor([0.0, -math.cos(pitch), -math.sin(pitch)]).expand(50, 3), rtol=0, atol=1e-5)


def test_roll_and_pitch_spread_as_configured_and_headings_go_all_around() -> None:
    cameras = CameraConfig(pitch=(0.1, 0.1), pitch_std=0.2, roll_std=0.1)
    batch = sample_views(rod((0.0, 0.0, 1.0)), 4000, step_generator(0, 0), SAME_BODIES, cameras)
    up_cam = batch.joints_cam[:, H36M.index("Head")] - batch.joints_cam[:, 0]
    assert float(torch.atan2(up_cam[:, 0], -up_cam[:, 1]).std()) == pytest.approx(0.1, rel=0.06)
    pitch = torch.atan2(-up_cam[:, 2], up_cam[:, :2].norm(dim=-1))
    assert float(pitch.mean()) == pytest.approx(0.1, abs=0.015)
    assert float(pitch.std()) == pytest.approx(0.2, rel=0.06)
    cameras = replace(cameras, pitch=(0.0, 0.0), pitch_std=0.0)
    batch = sample_views(rod((1.0, 0.0, 0.0)), 4000, step_generator(0, 1), SAME_BODIES, cameras)
    along = batch.joints_cam[:, H36M.index("Head")] - batch.joints_cam[:, 0]
    counts = torch.histc(torch.atan2(along[:, 2], along[:, 0]), bins=8, min=-math.pi, max=math.pi)
    assert counts.min() > 0.8 * 4000 / 8


def test_stature_and_frame_belong_to_the_view() -> None:
    batch = views(100)
    assert torch.equal(batch.stature_m, stature_from_joints(batch.joints_cam))
    batch = views(100, people=SAME_BODIES)
    assert_close(bone_lengths(batch.joints_cam), bone_lengths(library()[batch.frame]), rtol=1e-4, atol=1e-5)
    assert len(batch.frame.unique()) > 60


# --- the door, and speed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"focal_px": (0.0, 10.0)}, "focal_px"),
        ({"focal_px": (10.0, 5.0)}, "focal_px"),
        ({"depth_m": (-1.0, 5.0)}, "depth_m"),
        ({"depth_m": (5.0, 1.0)}, "depth_m"),
        ({"depth_uniform_in": "inverse"}, "depth_uniform_in"),
    ],
)
def test_impossible_cameras_are_refused(changes: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        CameraConfig(**changes)


@pytest.mark.parametrize("shape", [(0, 17, 3), (5, 16, 3), (17, 3)])
def test_a_library_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(Exception, match=r"17|joints_world"):
        sample_views(torch.zeros(shape), 4, step_generator(0, 0))


def test_views_are_made_by_the_ten_thousand() -> None:
    joints = library()

    def seconds(step: int) -> float:
        began = time.perf_counter()
        sample_views(joints, 20_000, step_generator(0, step))
        return time.perf_counter() - began

    assert 20_000 / min(seconds(step) for step in range(3)) >= 20_000


# --- in a mirror ------------------------------------------------------------------------------------------------------


def test_mirrored_people_are_seen_in_the_mirrored_picture() -> None:
    """Left is right, in names and in place; principal point, lens and gravity come along, and twice is once."""
    some = views(50, replace(WIDE, radial_std=0.05))
    other = mirrored(some)
    assert_close(other.keypoints_px[:, H36M.index("LWrist"), 1], some.keypoints_px[:, H36M.index("RWrist"), 1])
    x = some.camera.image_size[:, 0] - some.keypoints_px[:, H36M.index("RWrist"), 0]
    assert_close(other.keypoints_px[:, H36M.index("LWrist"), 0], x)
    assert_close(other.camera.project(other.joints_cam)[0], other.keypoints_px, atol=0.02, rtol=0)
    head, hip = H36M.index("Head"), H36M.index("Hip")
    heights = [((one.joints_cam[:, head] - one.joints_cam[:, hip]) * one.up_cam).sum(-1) for one in (some, other)]
    assert_close(*heights)
    assert_close(bone_lengths(other.joints_cam).sum(1), bone_lengths(some.joints_cam).sum(1))
    again = mirrored(other)
    assert_close(again.up_cam, some.up_cam)
    for one, two in zip(tensors(again), tensors(some), strict=True):
        assert_close(one, two, atol=1e-3, rtol=0)


def test_what_is_hidden_changes_sides_too() -> None:
    some = views(2)
    hidden = some.visible.clone()
    hidden[:, H36M.index("LKnee")] = False
    told = mirrored(some._replace(visible=hidden)).visible
    assert not told[:, H36M.index("RKnee")].any()
    assert told.sum() == hidden.sum()
