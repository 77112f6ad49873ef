"""The lifter that eats detections: symmetries, precision, half-widths, and the way to metres and back."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch

from sightline.data.detected import DetectionConfig, detect_views
from sightline.data.people import PeopleConfig
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import CameraConfig, ViewBatch, sample_views, step_generator
from sightline.landmarks import BODY_LANDMARKS
from sightline.methods.abspose.partial import (
    Detected,
    PartialConfig,
    PartialLifted,
    PartialLifter,
    flip_averaged,
    look_straight,
    mirrored_back,
    place_of,
    truth_of,
)
from sightline.methods.abspose.partial_decode import locate
from sightline.methods.abspose.partial_loss import COVERED, partial_loss, quantile_loss

POSES = procedural_poses(300, step_generator(1, 0))
SMALL = PartialConfig(width=48, blocks=1)
KINDS = [SMALL, replace(SMALL, network="transformer", width=32, blocks=2, heads=2)]


def people(count: int = 64, **detections: object) -> tuple[ViewBatch, Detected]:
    views = sample_views(POSES, count, step_generator(2, 0), PeopleConfig(), CameraConfig(pitch=(-0.2, 0.4)))
    config = DetectionConfig(**{"up_share": 0.5, **detections})  # type: ignore[arg-type]
    return views, Detected(*detect_views(views, step_generator(3, 0), config))


def network(config: PartialConfig = SMALL) -> PartialLifter:
    torch.manual_seed(0)
    return PartialLifter(config).eval()


def true_answer(views: ViewBatch, detected: Detected) -> PartialLifted:
    """What a perfect network would say."""
    lifted = network()(detected)
    relative, root = truth_of(views.joints_cam, views.stature_m, lifted)
    return lifted._replace(relative=relative, root=root)


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.network)
def test_answers_have_their_shapes_and_are_finite(config: PartialConfig) -> None:
    _, detected = people(8, missing_share=1.0)
    lifted = network(config)(detected)
    assert lifted.relative.shape == lifted.spread.shape == (8, 17, 3)
    assert lifted.root.shape == lifted.root_spread.shape == (8, 3)
    assert lifted.others.shape == (8, config.hypotheses, 17, 3)
    assert lifted.scores.shape == (8, config.hypotheses)
    assert all(value.isfinite().all() for value in lifted)
    assert lifted.relative[:, 0].eq(0).all()
    assert lifted.others[:, :, 0].eq(0).all()
    assert (lifted.spread[:, 1:] > 0).all()


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.network)
def test_what_was_not_seen_does_not_matter(config: PartialConfig) -> None:
    _, detected = people(16, missing_share=1.0)
    lifter = network(config)
    noise = torch.where(detected.seen[..., None], 0.0, 3.0)
    other = detected._replace(rays=detected.rays + noise, confidence=detected.confidence + noise[..., 0])
    for one, two in zip(lifter(detected), lifter(other), strict=True):
        torch.testing.assert_close(one, two)


def test_nobody_seen_gives_no_nan() -> None:
    count = len(BODY_LANDMARKS)
    nobody = Detected(torch.zeros(2, count, 2), torch.zeros(2, count), torch.zeros(2, count).bool(), torch.zeros(2, 3))
    assert all(value.isfinite().all() for value in network()(nobody))


def test_a_wrong_number_of_landmarks_is_refused() -> None:
    wrong = Detected(torch.zeros(1, 17, 2), torch.zeros(1, 17), torch.ones(1, 17).bool(), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="27 landmarks"):
        network()(wrong)


def test_the_same_person_looks_the_same_anywhere_in_the_picture() -> None:
    views, detected = people()
    turn = roma.rotvec_to_rotmat(torch.tensor([0.05, 0.2, 0.0]))
    turned = views._replace(joints_cam=views.joints_cam @ turn.mT, up_cam=views.up_cam @ turn.mT)
    rays = torch.zeros_like(detected.rays)
    rays[:, :17] = turned.joints_cam[..., :2] / turned.joints_cam[..., 2:]
    points, spread, _, back = look_straight(detected)
    points_turned, spread_turned, _, back_turned = look_straight(detected._replace(rays=rays))
    assert torch.allclose(spread, spread_turned, rtol=1e-3)
    roll = (back.mT @ turn.mT @ back_turned)[:, :2, :2]  # what is left is a turn about the line of sight
    assert torch.allclose(points_turned @ roll.mT, points, atol=2e-3)


def test_a_known_gravity_points_down_the_turned_picture() -> None:
    views = sample_views(
        POSES, 200, step_generator(5, 0), PeopleConfig(), CameraConfig(rolled_share=1.0, pitch=(-0.3, 0.5))
    )
    exact = Detected(*detect_views(views, step_generator(6, 0), DetectionConfig()))._replace(up_cam=views.up_cam)
    _, _, up, back = look_straight(exact)
    assert up[:, 0].abs().max() < 1e-4
    assert (up[:, 1] < 0).all()
    assert torch.allclose(torch.linalg.det(back), torch.ones(200), atol=1e-4)
    unknown = look_straight(exact._replace(up_cam=torch.zeros(200, 3)))[3]
    assert (unknown - back).abs().amax() > 0.3, "the cameras are rolled by up to 45 degrees"


def test_rays_stay_exact_though_the_network_rounds() -> None:
    """In bfloat16 the rays of a person would be blurred by more than a hand's breadth."""
    _, detected = people()
    seen: list[torch.Tensor] = []
    lifter = network()
    handle = lifter.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lifter(detected)
    lifter(detected)
    handle.remove()
    torch.testing.assert_close(seen[0].float(), seen[1])


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.network)
def test_flip_averaging_makes_mirror_images_of_mirror_images(config: PartialConfig) -> None:
    _, detected = people(16)
    lifter = network(config)
    straight, mirrored = flip_averaged(lifter, detected), mirrored_back(flip_averaged(lifter, detected.mirrored()))
    for name in ("relative", "spread", "root", "root_spread", "cam_from_turned"):
        torch.testing.assert_close(getattr(straight, name), getattr(mirrored, name), atol=1e-5, rtol=1e-4)


def test_the_truth_comes_back_in_metres() -> None:
    views, detected = people()
    lifted = true_answer(views, detected)
    for fitted in (False, True):
        located = locate(lifted, detected, SMALL, views.stature_m, fitted=fitted)
        torch.testing.assert_close(located.joints_cam, views.joints_cam, atol=2e-4, rtol=1e-4)


def test_an_unknown_stature_is_the_mean_and_scales_about_the_camera() -> None:
    views, detected = people()
    located = locate(true_answer(views, detected), detected, SMALL)
    factor = (SMALL.mean_stature_m / views.stature_m)[:, None, None]
    torch.testing.assert_close(located.joints_cam, views.joints_cam * factor, atol=5e-4, rtol=1e-3)


def test_the_root_is_moved_to_where_the_joints_were_seen() -> None:
    views, detected = people()
    lifted = true_answer(views, detected)
    off = lifted._replace(root=lifted.root + torch.tensor([0.1, -0.1, 0.0]), root_spread=torch.full((64, 3), 0.1))
    exact = locate(lifted, detected, SMALL, views.stature_m)
    moved = locate(off, detected, SMALL, views.stature_m)
    left = locate(off, detected, SMALL, views.stature_m, fitted=False)
    assert (left.joints_cam - exact.joints_cam).norm(dim=-1).mean() > 0.05
    assert (moved.joints_cam - exact.joints_cam).norm(dim=-1).mean() < 0.01


def test_half_widths_grow_with_doubt_and_with_an_unknown_height() -> None:
    views, detected = people()
    lifted = true_answer(views, detected)._replace(root_spread=torch.full((64, 3), 0.03))
    known = locate(lifted, detected, SMALL, views.stature_m).sigma_m
    unknown = locate(lifted, detected, SMALL).sigma_m
    assert (unknown[:, 0, 2] > known[:, 0, 2]).all()
    wider = locate(lifted, detected, replace(SMALL, relative_factors=(2.0, 2.0, 2.0)), views.stature_m).sigma_m
    assert (wider[:, 1:] > known[:, 1:]).all()
    torch.testing.assert_close(wider[:, 0], known[:, 0])
    depth = locate(lifted, detected, replace(SMALL, root_factors=(1.0, 1.0, 3.0)), views.stature_m).sigma_m
    assert (depth[:, 0, 2] > 1.5 * known[:, 0, 2]).all()


def test_the_quantile_loss_is_least_at_the_quantile() -> None:
    errors = torch.randn(200_000, generator=step_generator(4, 0))
    widths = torch.linspace(0.5, 1.6, 111)
    losses = torch.stack([quantile_loss(errors, width) for width in widths])
    assert widths[losses.argmin()].item() == pytest.approx(1.0, abs=0.03)
    assert (errors.abs() <= widths[losses.argmin()]).float().mean().item() == pytest.approx(COVERED, abs=0.02)


def test_half_widths_do_not_pull_at_the_pose() -> None:
    views, detected = people(8)
    lifter = network()
    lifted = lifter(detected)
    truth = truth_of(views.joints_cam, views.stature_m, lifted)
    partial_loss(lifted, *truth).spread.backward()
    assert all(parameter.grad is None for parameter in lifter.trunk.parameters())
    assert any(parameter.grad is not None for parameter in lifter.doubt.parameters())


def test_the_loss_is_nothing_at_the_truth_and_more_elsewhere() -> None:
    views, detected = people()
    lifted = true_answer(views, detected)
    relative, root = truth_of(views.joints_cam, views.stature_m, lifted)
    right, wrong = partial_loss(lifted, relative, root), partial_loss(lifted, relative + 0.05, root + 0.05)
    assert right.pose + right.root < 1e-3
    assert wrong.pose > 0.04
    assert wrong.root > 0.02


def test_depth_is_the_exponential_of_the_answer_over_the_spread() -> None:
    views, detected = people()
    lifted = true_answer(views, detected)
    place = place_of(lifted)
    turned = (views.joints_cam[:, :1] @ lifted.cam_from_turned)[:, 0] / views.stature_m[:, None]
    torch.testing.assert_close(place, turned, atol=1e-4, rtol=1e-4)
    farther = place_of(lifted._replace(root=lifted.root + torch.tensor([0.0, 0.0, math.log(2.0)])))
    torch.testing.assert_close(farther[:, 2], 2 * place[:, 2])


@pytest.mark.parametrize("changes", [{"width": 0}, {"blocks": 0}, {"hypotheses": 0}])
def test_impossible_networks_are_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(SMALL, **changes)
