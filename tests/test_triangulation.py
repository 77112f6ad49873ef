"""Laws of triangulation and of finding views with left and right exchanged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch.testing import assert_close

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.geometry.pairs import spread_pairs
from sightline.geometry.rotation import look_rotation
from sightline.geometry.side_swaps import swapped_views
from sightline.geometry.triangulation import triangulate
from sightline.skeleton import get_skeleton

DOUBLE = torch.float64
SKELETON = get_skeleton("h36m17")
LENSES = {
    "pinhole": None,
    "brown_conrady": Distortion.create("brown_conrady", radial=[-0.2, 0.05, 0.0], tangential=[0.001, -0.002]),
    "kannala_brandt": Distortion.create("kannala_brandt", radial=[0.02, -0.005, 0.001, 0.0]),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def ring(count: int, lens: str = "pinhole") -> list[Camera]:
    """Cameras four metres round the origin, two metres up (world z up), looking at a point one metre above it."""
    cameras = []
    for k in range(count):
        angle = 2 * math.pi * (k + 0.3) / count
        position = torch.tensor([4 * math.cos(angle), 4 * math.sin(angle), 2.0 + 0.2 * k], dtype=DOUBLE)
        up = torch.tensor([0.0, 0.0, 1.0], dtype=DOUBLE)
        rotation = look_rotation(up - position, up)
        camera = Camera.create(
            (1000, 800),
            900.0 if lens != "kannala_brandt" else 500.0,
            distortion=LENSES[lens],
            rotation=rotation,
            translation_m=-rotation @ position,
        )
        cameras.append(camera)
    return cameras


def people(*batch: int, joints: int = 17) -> torch.Tensor:
    return torch.tensor([0.0, 0.0, 1.0], dtype=DOUBLE) + 0.5 * torch.randn(*batch, joints, 3, dtype=DOUBLE).clamp(-2, 2)


def seen(cameras: list[Camera], points: torch.Tensor) -> torch.Tensor:
    return torch.stack([camera.project(camera.world_to_camera(points))[0] for camera in cameras], dim=-3)


@pytest.mark.parametrize("robust", [True, False])
@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_noise_free_views_give_the_exact_points(count: int, lens: str, robust: bool) -> None:
    cameras, points = ring(count, lens), people(4, 3)
    found = triangulate(cameras, seen(cameras, points), robust=robust)
    assert found.valid.all()
    assert found.inliers.all()
    assert_close(found.points_world, points, rtol=0, atol=1e-9)
    assert found.reprojection_px.max() < 1e-6


@pytest.mark.parametrize("lens", ["pinhole", "brown_conrady"])
def test_least_squares_agrees_with_the_slow_twin(lens: str) -> None:
    """One point at a time, handed to a general solver of nonlinear least squares."""
    cameras, points = ring(4, lens), people(joints=6)
    pixels = seen(cameras, points)
    pixels = pixels + 3 * torch.randn_like(pixels)
    weights = 0.2 + torch.rand(4, 6, dtype=DOUBLE)
    found = triangulate(cameras, pixels, weights, robust=False)
    for joint in range(6):

        def misses(point: np.ndarray, joint: int = joint) -> np.ndarray:
            projected = seen(cameras, torch.from_numpy(point)[None])[:, 0]
            return (weights[:, joint, None].sqrt() * (projected - pixels[:, joint])).numpy().ravel()

        twin = least_squares(misses, points[joint].numpy() + 0.1, xtol=1e-14, ftol=1e-14, gtol=1e-14).x
        assert_close(found.points_world[joint], torch.from_numpy(twin), rtol=0, atol=1e-6)


def test_a_linear_twin_starts_where_we_do() -> None:
    """The textbook's direct linear transformation by SVD lies within the noise of our optimum."""
    cameras, points = ring(4), people(joints=5)
    pixels = seen(cameras, points) + torch.randn(4, 5, 2, dtype=DOUBLE)
    found = triangulate(cameras, pixels, robust=False).points_world
    for joint in range(5):
        rows = []
        for camera, (x, y) in zip(cameras, pixels[:, joint], strict=True):
            projection = camera.intrinsics @ torch.cat([camera.rotation, camera.translation_m[:, None]], 1)
            rows += [x * projection[2] - projection[0], y * projection[2] - projection[1]]
        homogeneous = torch.linalg.svd(torch.stack(rows)).Vh[-1]
        assert_close(found[joint], homogeneous[:3] / homogeneous[3], rtol=0, atol=0.01)


def test_no_nearby_point_has_a_smaller_error() -> None:
    cameras, points = ring(4, "brown_conrady"), people(20)
    pixels = seen(cameras, points)
    pixels = pixels + 2 * torch.randn_like(pixels)
    found = triangulate(cameras, pixels)
    assert found.inliers.all()

    def error(at: torch.Tensor) -> torch.Tensor:
        return (seen(cameras, at) - pixels).square().sum(-1).sum(-2)

    for _ in range(20):
        assert (error(found.points_world + 1e-3 * torch.randn_like(points)) > error(found.points_world)).all()


def test_one_wrong_view_of_four_is_outvoted() -> None:
    cameras, points = ring(4), people(50)
    pixels = seen(cameras, points)
    wrong = torch.arange(4)[:, None] == torch.randint(4, (50, 1, 17))
    shift = 60 * torch.nn.functional.normalize(torch.randn_like(pixels), dim=-1)
    spoilt = torch.where(wrong[..., None], pixels + shift, pixels)
    found = triangulate(cameras, spoilt, inlier_px=10.0)
    lucky = found.inliers[wrong].float().mean()  # shifted along the line on which the other views put the joint
    assert lucky < 0.02
    exact = (found.points_world - points).norm(dim=-1) < 1e-6
    assert exact.float().mean() > 0.97
    assert (found.reprojection_px[wrong & exact[:, None]] - 60).abs().max() < 1e-3  # the outlier's error is told
    plain = triangulate(cameras, spoilt, robust=False)
    assert (plain.points_world - points).norm(dim=-1).median() > 0.03


def test_noise_is_averaged_and_weights_count() -> None:
    cameras, points = ring(6), people(100)
    pixels = seen(cameras, points)
    noise = torch.tensor([1.0, 1.0, 1.0, 8.0, 8.0, 8.0], dtype=DOUBLE)[:, None, None]
    noisy = pixels + noise * torch.randn_like(pixels)
    weights = (1 / noise[..., 0].square()).expand(100, 6, 17)
    errors = {
        name: (triangulate(cameras, noisy, w, robust=False).points_world - points).norm(dim=-1).mean()
        for name, w in {"weighted": weights, "alike": None}.items()
    }
    assert errors["weighted"] < 0.5 * errors["alike"]


def test_missing_keypoints_do_not_count() -> None:
    cameras, points = ring(4), people(3)
    pixels = seen(cameras, points)
    weights = torch.ones(3, 4, 17, dtype=DOUBLE)
    pixels[0, 1] = torch.nan  # NaN is missing, whatever its weight
    weights[1, 2] = 0
    pixels[1, 2] += 500
    found = triangulate(cameras, pixels, weights)
    assert_close(found.points_world, points, rtol=0, atol=1e-8)
    assert found.reprojection_px[0, 1].isnan().all()
    assert found.reprojection_px[1, 2].isnan().all()
    assert found.inliers.sum() == 3 * 4 * 17 - 2 * 17


@pytest.mark.parametrize("robust", [True, False])
def test_what_cannot_be_fixed_is_nan_and_spoils_no_neighbour(robust: bool) -> None:
    cameras, points = ring(3), people(joints=6)
    pixels = seen(cameras, points)
    pixels[:, 0] = torch.nan
    pixels[1:, 1] = torch.nan
    found = triangulate(cameras, pixels, robust=robust)
    assert found.valid.tolist() == [False, False, True, True, True, True]
    assert found.points_world[:2].isnan().all()
    assert not found.inliers[:, :2].any()
    assert found.reprojection_px[:, :2].isnan().all()
    assert_close(found.points_world[2:], points[2:], rtol=0, atol=1e-9)


def test_two_views_that_disagree_give_no_point() -> None:
    cameras, points = ring(4)[:2], people()
    pixels = seen(cameras, points)
    pixels[1, :, 1] += 100  # off the line on which the first view puts the joint
    assert not triangulate(cameras, pixels).valid.any()
    assert triangulate(cameras, pixels, robust=False).valid.any()


def test_parallel_rays_and_points_behind_the_cameras_give_no_point() -> None:
    first = Camera.create((1000, 800), 900.0, rotation=torch.eye(3), translation_m=torch.zeros(3))
    second = Camera.create((1000, 800), 900.0, rotation=torch.eye(3), translation_m=torch.tensor([-1.0, 0, 0]))
    same = torch.tensor([[[500.0, 400.0]], [[500.0, 400.0]]], dtype=DOUBLE)  # meet at infinity
    apart = torch.tensor([[[400.0, 400.0]], [[600.0, 400.0]]], dtype=DOUBLE)  # meet behind
    for pixels in (same, apart):
        for robust in (True, False):
            found = triangulate([first, second], pixels, robust=robust)
            assert not found.valid.any()
            assert found.points_world.isnan().all()


def test_batch_equals_loop() -> None:
    cameras, points = ring(4), people(2, 3)
    pixels = seen(cameras, points)
    pixels = pixels + 5 * torch.randn_like(pixels)
    pixels[0, 1, 2] = torch.nan
    found = triangulate(cameras, pixels)
    for i in range(2):
        for j in range(3):
            one = triangulate(cameras, pixels[i, j])
            assert_close(found.points_world[i, j], one.points_world, rtol=0, atol=1e-7, equal_nan=True)
            assert (found.inliers[i, j] == one.inliers).all()
    assert triangulate(cameras, pixels[:0]).points_world.shape == (0, 3, 17, 3)


def test_moving_cameras_broadcast_with_the_batch() -> None:
    cameras = [Camera.stack([ring(5)[k], ring(5)[k + 1]]) for k in range(3)]
    points = people(2)
    found = triangulate(cameras, seen(cameras, points))
    assert_close(found.points_world, points, rtol=0, atol=1e-9)


def test_moving_the_world_moves_the_points() -> None:
    cameras, points = ring(3, "brown_conrady"), people(2)
    pixels = seen(cameras, points)
    pixels = pixels + torch.randn_like(pixels)
    turn = look_rotation(torch.tensor([0.2, 0.3, 0.9], dtype=DOUBLE), torch.tensor([0.0, -1.0, 0.1], dtype=DOUBLE))
    shift = torch.tensor([3.0, -2.0, 0.5], dtype=DOUBLE)  # new world = turn · old world + shift
    moved = [
        Camera.create(
            c.image_size,
            c.focal_px,
            c.center_px,
            distortion=c.distortion,
            rotation=c.rotation @ turn.mT,
            translation_m=c.translation_m - c.rotation @ turn.mT @ shift,
        )
        for c in cameras
    ]
    expected = triangulate(cameras, pixels).points_world @ turn.mT + shift
    assert_close(triangulate(moved, pixels).points_world, expected, rtol=0, atol=1e-6)


def test_it_works_in_float32_and_in_inference_mode() -> None:
    cameras, points = ring(4), people(2)
    with torch.inference_mode():
        found = triangulate(cameras, seen(cameras, points).float())
    assert found.points_world.dtype == torch.float32
    assert_close(found.points_world.double(), points, rtol=0, atol=1e-3)


def exchanged(pixels: torch.Tensor, swapped: torch.Tensor) -> torch.Tensor:
    return torch.where(swapped[..., None, None], pixels[..., list(SKELETON.flip), :], pixels)


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_view_with_left_and_right_exchanged_is_found(count: int) -> None:
    cameras, points = ring(count), people(60)
    pixels = seen(cameras, points)
    pixels = pixels + 3 * torch.randn_like(pixels)
    truth = torch.zeros(60, count, dtype=torch.bool)
    truth[torch.arange(30), torch.randint(count, (30,))] = True
    found = swapped_views(cameras, exchanged(pixels, truth), None, SKELETON.flip)
    assert (found == truth).all()
    assert (swapped_views(cameras, pixels, None, SKELETON.flip) == 0).all()


def test_swaps_are_found_among_outliers_and_missing_joints() -> None:
    cameras, points = ring(4), people(60)
    pixels = seen(cameras, points)
    weights = torch.ones(60, 4, 17, dtype=DOUBLE)
    truth = torch.zeros(60, 4, dtype=torch.bool)
    truth[:30, 2] = True
    labelled = exchanged(pixels, truth)
    labelled = torch.where(torch.rand(60, 4, 17, 1) < 0.1, labelled + 200 * torch.randn_like(labelled), labelled)
    weights[torch.rand(60, 4, 17) < 0.2] = 0
    weights[50:, 0] = 0  # nobody in that view
    labelled[50:, 0] = torch.nan
    found = swapped_views(cameras, labelled, weights, SKELETON.flip)
    assert (found == truth).float().mean() > 0.99
    assert not found[50:, 0].any()


def test_no_swap_is_claimed_from_two_views_or_without_sides() -> None:
    cameras, points = ring(3), people(5)
    pixels = exchanged(seen(cameras, points), torch.tensor([True, False, False]))
    assert not swapped_views(cameras[:2], pixels[:, :2], None, SKELETON.flip).any()
    assert not swapped_views(cameras, pixels, None, range(17)).any()


def test_pairs_are_all_or_spread_evenly() -> None:
    assert spread_pairs(4, 10).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    some = spread_pairs(40, 50)
    assert len(some) == 50
    assert len({tuple(pair) for pair in some.tolist()}) == 50
    assert (some[:, 0] < some[:, 1]).all()


def bare(camera: Camera) -> Camera:
    return Camera.create(camera.image_size, camera.focal_px, camera.center_px)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"cameras": a["cameras"][:1]}, "at least two views"),
        (lambda a: a | {"cameras": [*a["cameras"][:2], bare(a["cameras"][2])]}, r"cameras\[2\]: expected"),
        (lambda a: a | {"keypoints_px": a["keypoints_px"][:2]}, "keypoints_px: expected"),
        (lambda a: a | {"weights": torch.ones(2, 17, dtype=DOUBLE)}, "weights: expected"),
        (lambda a: a | {"inlier_px": 0.0}, "inlier_px: expected"),
    ],
)
def test_wrong_calls_are_refused(change, message: str) -> None:
    cameras = ring(3)
    arguments = change({"cameras": cameras, "keypoints_px": seen(cameras, people()), "inlier_px": 5.0})
    # The shape checker of the tests stands before the door, so the door is tried without it.
    call = getattr(triangulate, "__wrapped__", triangulate)
    with pytest.raises(ValueError, match=message):
        call(**arguments)


def test_a_flip_that_is_no_permutation_is_refused() -> None:
    cameras = ring(3)
    with pytest.raises(ValueError, match="flip: expected a permutation"):
        swapped_views(cameras, seen(cameras, people()), None, [0] * 17)
