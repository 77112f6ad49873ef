"""Widened data: populations of bodies, swung limbs, faces and feet, cameras askew, people cut, detectors' faults."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sightline.data.anthropometry import Population, sample_bone_lengths
from sightline.data.detected import DetectionConfig, detect_views
from sightline.data.people import PeopleConfig, sample_bodies, swung
from sightline.data.plausible import plausible
from sightline.data.procedural import procedural_poses
from sightline.data.surface import with_surface
from sightline.data.virtual import CameraConfig, ViewBatch, sample_views, step_generator
from sightline.landmarks import BODY_LANDMARKS, landmark_mask
from sightline.skeleton import get_skeleton
from sightline.stature import stature_from_joints

SKELETON = get_skeleton("h36m17")
POSES = procedural_poses(500, step_generator(1, 0))


def lengths_of(joints: torch.Tensor) -> torch.Tensor:
    bones = torch.zeros(joints.shape[:2])
    for child, parent in SKELETON.bones:
        bones[:, child] = (joints[:, child] - joints[:, parent]).norm(dim=-1)
    return bones


def views(count: int = 2000, **cameras: object) -> ViewBatch:
    return sample_views(POSES, count, step_generator(2, 0), PeopleConfig(), CameraConfig(**cameras))  # type: ignore[arg-type]


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_a_population_has_the_sizes_of_people() -> None:
    bones = sample_bone_lengths(20_000, step_generator(0, 0))
    assert (bones[:, 1:] > 0.015).all()
    assert bones[:, 0].eq(0).all()
    leg, trunk = bones[:, [2, 3]].sum(1), bones[:, [7, 8]].sum(1)
    stature = (leg + trunk) / 0.779
    assert 1.55 < stature.median() < 1.75
    assert 0.02 < (stature < 1.4).float().mean() < 0.1, "children"
    assert (bones[:, 11] * 2).std() > 0.03, "shoulders of many widths"


def test_without_spread_everybody_has_the_same_proportions() -> None:
    bones = sample_bone_lengths(50, step_generator(0, 0), Population(spread=0.0, child_share=0.0))
    shares = bones[:, 1:] / bones[:, 2:3]
    assert torch.allclose(shares, shares[:1].expand_as(shares), atol=1e-6)


def test_population_bodies_keep_the_pose_and_take_the_bones() -> None:
    people = PeopleConfig(population_share=1.0, mirrored_share=0.0)
    bodies = sample_bodies(POSES, step_generator(3, 0), people)
    for child, parent in SKELETON.bones:
        before, after = POSES[:, child] - POSES[:, parent], bodies[:, child] - bodies[:, parent]
        assert torch.cosine_similarity(before, after, dim=-1).min() > 0.9999
    assert stature_from_joints(bodies).std() > 2 * stature_from_joints(POSES).std()


def test_a_share_of_people_has_the_clips_bones() -> None:
    people = PeopleConfig(population_share=0.5, size_std=0.0, bone_std=0.0)
    bodies = sample_bodies(POSES, step_generator(3, 0), people)
    same = torch.isclose(lengths_of(bodies), lengths_of(POSES), atol=1e-5).all(1).float().mean()
    assert 0.4 < same < 0.6


def test_swings_move_limbs_and_keep_bones() -> None:
    moved = swung(POSES, step_generator(4, 0), 1.0, 0.3)
    assert torch.allclose(lengths_of(moved), lengths_of(POSES), atol=1e-5)
    assert (moved[:, 13] - POSES[:, 13]).norm(dim=-1).mean() > 0.1
    assert torch.allclose(swung(POSES, step_generator(4, 0), 0.0, 0.3), POSES)


def test_checked_poses_are_plausible_where_their_origin_was() -> None:
    wild = PeopleConfig(swing_share=1.0, swing_std=0.8, size_std=0.0, bone_std=0.0, mirrored_share=0.0)
    free = plausible(sample_bodies(POSES, step_generator(5, 0), wild)).float().mean()
    kept = plausible(sample_bodies(POSES, step_generator(5, 0), replace(wild, check=True))).float().mean()
    assert free < 0.6
    assert kept >= plausible(POSES).float().mean() - 0.01


def test_tumbled_people_point_anywhere_and_leaning_ones_upwards() -> None:
    up = POSES[:, 8] - POSES[:, 0]
    assert (up[:, 2] > 0).all()
    tumbled = sample_bodies(POSES, step_generator(6, 0), PeopleConfig(tumbled_share=1.0))
    assert 0.4 < ((tumbled[:, 8] - tumbled[:, 0])[:, 2] > 0).float().mean() < 0.6
    leaning = sample_bodies(POSES, step_generator(6, 0), PeopleConfig(tilt_std=0.1))
    assert ((leaning[:, 8] - leaning[:, 0])[:, 2] > 0).all()


# --- face and feet ----------------------------------------------------------------------------------------------------


def test_faces_and_feet_are_where_a_body_has_them() -> None:
    standing = POSES[:200]
    body = with_surface(standing, step_generator(8, 0))
    row = {name: number for number, name in enumerate(BODY_LANDMARKS)}
    assert body.shape == (200, len(BODY_LANDMARKS), 3)
    assert torch.equal(body[:, :17], standing)
    head, thorax = body[:, row["MidHead"]], body[:, row["Thorax"]]
    assert ((body[:, row["HeadTop"]] - thorax).norm(dim=-1) > (head - thorax).norm(dim=-1)).all(), "the crown is on top"
    ears = body[:, row["LEar"]] - body[:, row["REar"]]
    face = body[:, row["Nose"]] - head
    left = torch.linalg.cross(head - thorax, face, dim=-1)
    assert ((ears * left).sum(-1) > 0).all(), "the left ear is to the left of where the nose points"
    assert 0.1 < ears.norm(dim=-1).mean() < 0.2
    for side in "LR":
        toe, heel = body[:, row[side + "BigToe"]], body[:, row[side + "Heel"]]
        assert 0.15 < (toe - heel).norm(dim=-1).mean() < 0.3
    hips = body[:, row["LHip"]] - body[:, row["RHip"]]
    straight = torch.linalg.cross(hips, torch.tensor([0.0, 0.0, 1.0]).expand_as(hips), dim=-1)
    toes = body[:, row["LBigToe"]] - body[:, row["LHeel"]] + body[:, row["RBigToe"]] - body[:, row["RHeel"]]
    assert ((toes * straight).sum(-1) > 0).float().mean() > 0.95, "toes point forwards"


def test_a_mirrored_body_has_a_mirrored_face() -> None:
    flip = torch.tensor([-1.0, 1.0, 1.0])
    mirrored = POSES[:50, list(SKELETON.flip)] * flip
    row = {name: number for number, name in enumerate(BODY_LANDMARKS)}
    one, other = with_surface(POSES[:50], step_generator(9, 0)), with_surface(mirrored, step_generator(9, 0))
    assert (one[:, row["LEye"]] * flip - other[:, row["REye"]]).norm(dim=-1).mean() < 0.05


# --- cameras ----------------------------------------------------------------------------------------------------------


def test_up_is_up_and_rolled_cameras_roll() -> None:
    level = views()
    assert torch.allclose(level.up_cam, torch.tensor([0.0, -1.0, 0.0]).expand_as(level.up_cam), atol=1e-5)
    askew = views(rolled_share=1.0)
    roll = torch.atan2(askew.up_cam[:, 0], -askew.up_cam[:, 1])
    assert 0.3 < roll.abs().mean() < 0.5
    assert roll.abs().max() <= math.pi / 4 + 1e-5
    trunk = level.joints_cam[:, 8] - level.joints_cam[:, 0]
    assert ((trunk * level.up_cam).sum(-1) > 0).all()


def test_cut_people_are_near_and_partly_out_of_the_picture() -> None:
    whole, cut = views(depth_m=(0.5, 8.0)), views(depth_m=(0.5, 8.0), cut_share=1.0)
    assert whole.visible.all()
    assert 0.05 < 1 - cut.visible.float().mean() < 0.7
    assert cut.joints_cam[:, 0, 2].median() < whole.joints_cam[:, 0, 2].median()
    assert (cut.joints_cam[..., 2] > 0.2).all(), "nobody reaches behind the camera"


# --- detectors --------------------------------------------------------------------------------------------------------


def test_clean_detections_are_exact() -> None:
    seen = views(300)
    found = detect_views(seen, step_generator(10, 0), DetectionConfig())
    exact = seen.joints_cam[..., :2] / seen.joints_cam[..., 2:]
    assert torch.allclose(found.rays[:, :17], exact, atol=1e-5)
    assert found.seen[:, :17].all()
    assert not found.seen[:, 17:].any()
    assert found.confidence[:, :17].eq(1).all()
    assert found.up_cam.eq(0).all()


def test_each_joint_set_shows_its_own_landmarks() -> None:
    config = DetectionConfig(joint_sets=(("coco17", 0.5), ("mediapipe33", 0.5)))
    found = detect_views(views(400), step_generator(11, 0), config)
    masks = torch.stack([landmark_mask("coco17"), landmark_mask("mediapipe33")])
    which = ~(found.seen[:, None] & ~masks).any(-1)  # toes may lie beyond the border, and are not seen then
    assert which.any(1).all()
    assert (found.seen[:, None] == masks).all(-1).any(1).float().mean() > 0.8
    assert which[:, 0].float().mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("changes", "least", "most"),
    [
        ({"noise_px": (1.0, 1.0), "outlier_share": 0.0}, 0.7, 3.0),
        ({"noise_px": (4.0, 4.0), "outlier_share": 0.0}, 3.0, 12.0),
        ({"noise_px": (0.1, 0.1), "outlier_share": 1.0}, 25.0, 60.0),
    ],
)
def test_noise_has_the_size_asked_for_in_pixels_of_the_crop(changes: dict, least: float, most: float) -> None:
    config = DetectionConfig(clean_share=0.0, swapped_share=0.0, guessed_share=0.0, **changes)
    seen = views(500)
    found = detect_views(seen, step_generator(12, 0), config)
    exact = seen.joints_cam[..., :2] / seen.joints_cam[..., 2:]
    side = 1.25 * (exact.amax(1) - exact.amin(1)).amax(-1)
    error = (found.rays[:, :17] - exact).norm(dim=-1) / side[:, None] * 256
    assert least < error.mean() < most


def test_joints_are_missing_as_often_as_asked_for() -> None:
    config = DetectionConfig(missing_share=1.0, missing_exactly=0.3)
    found = detect_views(views(3000), step_generator(13, 0), config)
    assert found.seen[:, :17].float().mean() == pytest.approx(0.7, abs=0.02)
    assert found.seen.sum(1).min() >= 4
    assert found.rays[~found.seen].eq(0).all()
    assert found.confidence[~found.seen].eq(0).all()


def test_confidence_tells_good_from_bad() -> None:
    config = DetectionConfig(clean_share=0.0, outlier_share=0.1, swapped_share=0.0, noise_px=(0.5, 1.0))
    seen = views(2000)
    found = detect_views(seen, step_generator(14, 0), config)
    error = (found.rays[:, :17] - seen.joints_cam[..., :2] / seen.joints_cam[..., 2:]).norm(dim=-1)
    bad = error > error.quantile(0.95)
    assert found.confidence[:, :17][bad].mean() < 0.7 * found.confidence[:, :17][~bad].mean()


def test_swapped_people_have_left_and_right_exchanged() -> None:
    config = DetectionConfig(clean_share=0.0, swapped_share=1.0, noise_px=(0.01, 0.01), outlier_share=0.0)
    seen = views(600)
    found = detect_views(seen, step_generator(15, 0), config)
    exact = seen.joints_cam[..., :2] / seen.joints_cam[..., 2:]
    crossed = (found.rays[:, 3] - exact[:, 6]).norm(dim=-1) < (found.rays[:, 3] - exact[:, 3]).norm(dim=-1)
    assert 0.5 < crossed.float().mean() < 0.85, "two of three kinds of swap reach the legs"


def test_gravity_is_told_as_often_as_asked_for_and_nearly_right() -> None:
    seen = views(2000, roll_std=0.3, pitch=(-0.3, 0.6))
    found = detect_views(seen, step_generator(16, 0), DetectionConfig(up_share=0.5))
    known = found.up_cam.norm(dim=-1) > 0
    assert known.float().mean() == pytest.approx(0.5, abs=0.05)
    angle = torch.acos((found.up_cam * seen.up_cam).sum(-1)[known].clamp(-1, 1))
    assert angle.mean() < 0.08


def test_detections_are_a_function_of_their_generator() -> None:
    config = DetectionConfig(clean_share=0.2, missing_share=0.5, cut_share=0.3, up_share=0.5)
    one, other = (detect_views(views(64), step_generator(17, 0), config) for _ in range(2))
    assert all(torch.equal(left, right) for left, right in zip(one, other, strict=True))
