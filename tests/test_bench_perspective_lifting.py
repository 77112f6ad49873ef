"""The lifting benchmark of perspective crops: equal terms for all, what each is shown, and who is tested how."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import roma
import torch
from torch import Tensor
from torch.testing import assert_close

import sightline.bench.perspective_lifting as bench_file
import sightline.bench.perspective_lifting_runs as runs_file
from sightline.bench.perspective_lifting import (
    CANONICAL,
    CENTRE,
    DISTANCE,
    FOCALS_PX,
    LOCATION,
    LOCATION_RAYS,
    NARROW,
    PCL,
    PCL_DISTANCE,
    PCL_LOCATION,
    PCL_LOCATION_DISTANCE,
    PCL_ROOT,
    PCL_SHORTEST,
    PLACED,
    POSES,
    ROOT,
    WIDE,
    bench_perspective_lifting,
    calibrations,
    claims,
    groups,
    rows,
)
from sightline.bench.perspective_lifting_inputs import INPUTS, JOINTS, Seen, Variant, VariantLifter, placed, seen, truth
from sightline.bench.perspective_lifting_runs import (
    ANGLES_DEG,
    EXACT,
    Calibration,
    Effort,
    by_angle,
    run_group,
    score,
    train,
)
from sightline.bench.perspective_lifting_views import People, Scene, miscalibrated, projected, sample_people
from sightline.bench.report import Claim
from sightline.camera import Camera
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.methods.abspose.decode import points_from_keypoints
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.perspective.virtual import Turn, turned_towards

ALL = (*POSES, *PLACED)
TINY = Effort(steps=2, batch=32, width=8, examples=64, views=256)


def people(count: int = 300, scene: Scene | None = None, seed: int = 3) -> People:
    joints = procedural_poses(200, step_generator(1, 0))
    return sample_people(joints.double(), count, step_generator(seed, 0), scene or Scene())


def shown_to(variant: Variant, these: People, intrinsics: Tensor | None = None) -> Seen:
    matrix = these.intrinsics if intrinsics is None else intrinsics
    return seen(variant, these.keypoints_px, matrix, these.joints_cam[:, 0, 2])


def names(variant: Variant) -> str:
    return variant.name


# --- people before cameras


@pytest.mark.parametrize("name", FOCALS_PX)
def test_people_stand_where_the_scene_says_and_most_of_them_is_seen(name: str) -> None:
    scene = Scene(focal_px=FOCALS_PX[name])
    these = people(2000, scene)
    assert_close(projected(these.joints_cam, these.intrinsics), these.keypoints_px)
    focal = these.intrinsics[:, 0, 0]
    assert scene.focal_px[0] <= focal.min() < 1.1 * scene.focal_px[0]
    assert 0.9 * scene.focal_px[1] < focal.max() <= scene.focal_px[1]
    inside = ((these.keypoints_px >= 0) & (these.keypoints_px <= 1000)).all(-1)
    assert inside[:, 0].all()
    assert inside.sum(1).min() == scene.seen_joints, "some people are cut, but not by more"
    distance = these.joints_cam[:, 0].norm(dim=-1)
    assert 2 <= distance.min() < distance.max() <= 6
    assert (these.joints_cam[..., 2] > 0.3).all()
    corner = math.degrees(math.atan(0.5 * 2**0.5 * 1000 / scene.focal_px[0]))
    assert 0.85 * corner < these.eccentricity_deg.max() < corner, "people come near the corners"


def test_the_same_chance_gives_the_same_people() -> None:
    assert_close(people(50)._asdict(), people(50)._asdict(), rtol=0, atol=0)
    assert not torch.equal(people(50).joints_cam, people(50, seed=4).joints_cam)


def test_people_spread_over_the_picture_or_about_its_middle() -> None:
    everywhere, about = people(3000), people(3000, Scene(centre_std=0.12))
    hips = everywhere.keypoints_px[:, 0]
    assert hips.std(0).min() > 220
    assert_close(about.keypoints_px[:, 0].std(0), torch.tensor([120.0, 120.0]).double(), rtol=0.1, atol=0)
    assert_close(about.keypoints_px[:, 0].mean(0), torch.tensor([500.0, 500.0]).double(), rtol=0, atol=15)
    beyond = (everywhere.eccentricity_deg > 40).double().mean()
    assert beyond > 0.1
    assert (about.eccentricity_deg > 40).double().mean() < 0.01


def test_wrong_cameras_are_wrong_by_what_is_said() -> None:
    right = people(8).intrinsics
    focal = miscalibrated(right, focal=-0.2)
    assert_close(focal[:, 0, 0], 0.8 * right[:, 0, 0])
    assert_close(focal[:, :, 2], right[:, :, 2])
    centre = miscalibrated(right, centre=0.05)
    assert_close(centre[:, :2, :2], right[:, :2, :2])
    moved = centre[:4, :2, 2] - right[:4, :2, 2]
    assert_close(moved, torch.tensor([[50.0, 0], [-50, 0], [0, 50], [0, -50]]).double())
    assert_close(miscalibrated(right), right)


# --- what networks are shown


@pytest.mark.parametrize("variant", ALL, ids=names)
def test_all_networks_get_and_give_equally_many_numbers(variant: Variant) -> None:
    these = people(64)
    shown = shown_to(variant, these)
    assert shown.features.shape == (64, INPUTS)
    lifter = VariantLifter(variant, 16, these)
    assert lifter.parameters_count == VariantLifter(ROOT, 16, these).parameters_count
    paper = AbsPoseLifter(AbsPoseConfig(width=16))
    assert lifter.parameters_count == sum(parameter.numel() for parameter in paper.parameters())
    used = 2 * JOINTS + (3 if variant.location else 1 if variant.depth else 0)
    assert not shown.features[:, used:].any()
    assert shown.features[:, 2:used].any(0).all()


@pytest.mark.parametrize("variant", ALL, ids=names)
def test_the_right_answer_comes_back_as_the_person(variant: Variant) -> None:
    these = people()
    shown = shown_to(variant, these)
    found = placed(variant, truth(variant, these, shown), shown, these.stature_m)
    expected = these.joints_cam if variant.depth else these.joints_cam - these.joints_cam[:, :1]
    assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", ALL, ids=names)
def test_a_network_that_says_the_right_thing_in_its_frame_is_right(variant: Variant) -> None:
    """What comes out of the last layer is turned back to the camera before it is judged."""
    these = people(40)
    lifter = VariantLifter(variant, 16, these).double().eval()
    shown = shown_to(variant, these)
    right = truth(variant, these, shown)
    in_frame = torch.einsum("bij,bnj->bni", shown.cam_from_frame.mT, right.relative)[:, 1:]
    said = torch.cat([in_frame.flatten(1), right.depth[:, None]], dim=1)
    lifter.network.forward = lambda _: (said - lifter.offset_out) / lifter.factor_out  # type: ignore[method-assign]
    answer = lifter(shown)
    assert_close(answer, right, rtol=1e-6, atol=1e-6)
    assert float(lifter.loss(answer, right)) < 1e-9
    wrong = right._replace(relative=right.relative + 0.1)
    pose_alone = 0.01 / lifter.pose_variance
    assert float(lifter.loss(wrong, right)) == pytest.approx(pose_alone)
    deeper = right._replace(depth=right.depth + lifter.factor_out[-1])
    expected = 0.2 if variant.depth else 0.0
    assert float(lifter.loss(deeper, right)) == pytest.approx(expected, abs=1e-6)


def rotated(these: People, turn: Turn) -> tuple[People, Tensor]:
    """People turned about the camera so that the same virtual view lies somewhere else in the picture."""
    rays = these.joints_cam[:, 0]
    elsewhere = people(len(rays), seed=9).joints_cam[:, 0]
    now, then = (turned_towards(ray, turn)[0] for ray in (rays, elsewhere))
    rotation = then @ now.mT
    joints = these.joints_cam @ rotation.mT
    ahead = (joints[..., 2] > 0.2).all(1)
    moved = People(joints, projected(joints, these.intrinsics), these.intrinsics, these.stature_m)
    return People(*(value[ahead] for value in moved)), ahead


@pytest.mark.parametrize("variant", [PCL, PCL_ROOT, PCL_SHORTEST, PCL_DISTANCE], ids=names)
def test_a_perspective_crop_does_not_tell_where_in_the_picture_it_was(variant: Variant) -> None:
    """Exactly so by the root's depth; by the 2D extent up to one factor per person, since extents are not linear."""
    assert variant.turn is not None
    these = people()
    moved, ahead = rotated(these, variant.turn)
    before, after = shown_to(variant, these), shown_to(variant, moved)
    before = Seen(*(value[ahead] for value in before))
    assert ahead.sum() > 200
    points = 2 * JOINTS
    if variant.scale == "3d_root":
        assert_close(after.features, before.features, rtol=1e-7, atol=1e-7)
    in_tangents = (shown.features[:, :points] * shown.size[:, None] for shown in (after, before))
    assert_close(*in_tangents, rtol=1e-7, atol=1e-7)
    factor = after.size / before.size
    assert factor.log().abs().mean() < 0.1
    answers = (
        (truth(variant, one, shown).relative @ shown.cam_from_frame)
        for one, shown in ((moved, after), (People(*(value[ahead] for value in these)), before))
    )
    assert_close(*answers, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("variant", [ROOT, LOCATION], ids=names)
def test_other_pictures_do_tell(variant: Variant) -> None:
    these = people()
    moved, ahead = rotated(these, "no_roll")
    before, after = shown_to(variant, these).features[ahead], shown_to(variant, moved).features
    off = (after - before)[:, : 2 * JOINTS]
    assert off.abs().mean() > 0.1 * before[:, : 2 * JOINTS].abs().mean()


def test_on_the_axis_a_perspective_crop_is_an_ordinary_one() -> None:
    these = people()
    back = turned_towards(these.joints_cam[:, 0])[0]
    joints = these.joints_cam @ back
    these = these._replace(joints_cam=joints, keypoints_px=projected(joints, these.intrinsics))
    plain = shown_to(ROOT, these)
    for variant in (PCL, PCL_SHORTEST):
        crop = shown_to(variant, these)
        assert_close(crop.features, plain.features, rtol=1e-9, atol=1e-9)
        assert_close(crop.size, plain.size)
        assert_close(crop.cam_from_frame, plain.cam_from_frame)


def test_one_is_told_what_abspose_is_told() -> None:
    these = people(50)
    size = torch.full((50, 2), 1000.0, dtype=torch.float64)
    focal = these.intrinsics[:, 0, 0, None].expand(-1, 2)
    camera = Camera(image_size=size, focal_px=focal, center_px=size / 2)
    pixels, rays = AbsPoseConfig(), AbsPoseConfig(coordinates="rays")
    for variant, config in ((LOCATION, pixels), (LOCATION_RAYS, rays), (CANONICAL, pixels)):
        points, _ = points_from_keypoints(these.keypoints_px, camera, config)
        assert_close(shown_to(variant, these).features, AbsPoseLifter(config).normalize(points))


def test_sizes_locations_and_turns_are_those_of_the_ray() -> None:
    these = people()
    root = these.joints_cam[:, 0]
    shown = shown_to(PCL_LOCATION, these)
    assert_close(shown.features[:, -3:-1], root[:, :2] / root[:, 2:])
    assert_close(shown.features[:, -1], shown.size)
    assert_close(shown.cam_from_frame[..., 2], root / root.norm(dim=-1, keepdim=True))
    assert_close(shown.cam_from_frame[:, 1, 0], torch.zeros(len(root)).double())
    by_root = shown_to(PCL_ROOT, these)
    assert_close(by_root.size, 2.0 / root.norm(dim=-1))
    rolled = roma.rotmat_geodesic_distance(shown.cam_from_frame, shown_to(PCL_SHORTEST, these).cam_from_frame)
    assert 0.02 < rolled.max() < 0.3


@pytest.mark.parametrize("variant", [v for v in ALL if v.scale == "2d"], ids=names)
def test_nobody_else_is_told_the_depth_of_the_root(variant: Variant) -> None:
    these = people(20)
    features = [seen(variant, these.keypoints_px, these.intrinsics, depth) for depth in torch.rand(2, 20).double()]
    assert_close(features[0], features[1], rtol=0, atol=0)


# --- wrong calibrations


def test_wrong_calibrations_reach_only_who_uses_them() -> None:
    these = people()
    wrong_focal = miscalibrated(these.intrinsics, focal=0.1)
    wrong_centre = miscalibrated(these.intrinsics, centre=0.05)

    def unchanged(variant: Variant, wrong: Tensor) -> Tensor:
        """Which features stay."""
        right = shown_to(variant, these).features
        return (shown_to(variant, these, wrong).features - right).abs().amax(0) < 1e-9

    assert unchanged(ROOT, wrong_focal).all()
    assert unchanged(ROOT, wrong_centre).all()
    assert unchanged(LOCATION, wrong_focal).all()
    assert unchanged(LOCATION, wrong_centre).nonzero()[:, 0].tolist() == [*range(34), 36]
    assert unchanged(LOCATION_RAYS, wrong_focal).nonzero()[:, 0].tolist() == [*range(34)]
    for variant in (PCL, PCL_SHORTEST, PCL_ROOT):
        pelvis_and_padding = [0, 1, *range(34, 37)]
        assert unchanged(variant, wrong_focal).nonzero()[:, 0].tolist() == pelvis_and_padding
        assert unchanged(variant, wrong_centre).nonzero()[:, 0].tolist() == pelvis_and_padding


@pytest.mark.parametrize("variant", [CANONICAL, PCL_DISTANCE], ids=names)
def test_a_wrong_focal_moves_the_root_and_the_canonical_depth_through_it(variant: Variant) -> None:
    these = people()
    right = shown_to(variant, these)
    wrong = shown_to(variant, these, miscalibrated(these.intrinsics, focal=0.1))
    answer = truth(variant, these, right)
    depth = placed(variant, answer, wrong, these.stature_m)[:, 0, 2]
    expected = 1.1 * these.joints_cam[:, 0, 2]
    if variant is CANONICAL:
        assert_close(depth, expected)
    else:
        near = these.eccentricity_deg < 15
        assert_close(depth[near], expected[near], rtol=0.02, atol=0)


# --- trainings


def test_a_network_learns_the_same_alone_and_beside_others() -> None:
    joints = procedural_poses(100, step_generator(1, 0))
    group = replace(groups()[0], variants=(ROOT, PCL, PCL_DISTANCE))
    together = train(group, 5, TINY, joints)
    (alone,) = train(replace(group, variants=(PCL,)), 5, TINY, joints)
    assert_close(together[1].state_dict(), alone.state_dict(), rtol=0, atol=0)
    first = [next(lifter.parameters()) for lifter in train(group, 5, replace(TINY, steps=0), joints)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], next(alone.parameters()))


@pytest.mark.parametrize("variant", [PCL, PCL_DISTANCE], ids=names)
def test_training_helps(variant: Variant) -> None:
    joints = procedural_poses(500, step_generator(1, 0))
    group = replace(groups()[0], variants=(variant,))
    effort = replace(TINY, batch=64, width=48, examples=256)
    these = sample_people(joints, 400, step_generator(6, 0), group.test)
    before, after = (
        score(train(group, 0, replace(effort, steps=steps), joints)[0], these, Calibration()) for steps in (2, 120)
    )
    for metric in ("mpjpe", *(("mrpe",) if variant.depth else ())):
        assert after[metric] < 0.8 * before[metric], metric


def test_scores_are_those_of_who_is_told_a_wrong_camera_about_people_who_are_not_moved() -> None:
    these = People(*(value.float() for value in people(200)))
    root, crop = (VariantLifter(variant, 16, these).eval() for variant in (ROOT, PCL))
    wrong = Calibration(focal=0.2)
    assert score(root, these, wrong)["mpjpe"] == score(root, these, Calibration())["mpjpe"]
    assert score(crop, these, wrong)["mpjpe"] != score(crop, these, Calibration())["mpjpe"]
    assert set(score(crop, these, wrong)) == {"mpjpe"}
    found = score(VariantLifter(DISTANCE, 16, these).eval(), these, Calibration())
    assert {"mrpe", "mrpe_height_known", "mpjpe_height_known", "canonical_depth", "mpjpe_40_60"} <= set(found)


def test_errors_by_angle() -> None:
    angles = torch.tensor([0.0, 9.9, 10.0, 35.0, 59.0, 61.0])
    found = by_angle(torch.tensor([1.0, 3.0, 5.0, 6.0, 7.0, 100.0]), angles)
    assert found == {"mpjpe_0_10": 2, "mpjpe_10_20": 5, "mpjpe_30_40": 6, "mpjpe_40_60": 7}
    many = torch.cat([torch.zeros(500), torch.tensor([50.0] * 4)])
    assert set(by_angle(many, many)) == {"mpjpe_0_10"}, "a bin of fewer than 1 % is left out"


def test_a_finished_group_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = replace(groups()[-1], variants=(ROOT, PCL))
    first = run_group(group, 0, TINY, None, tmp_path)
    assert [found["variant"] for found in first["variants"]] == [ROOT.name, PCL.name]
    monkeypatch.setattr(runs_file, "train", lambda *_: pytest.fail("trained again"))
    again = run_group(group, 0, TINY, None, tmp_path)
    assert again.pop("from_cache") is True
    assert again == json.loads(json.dumps(first))
    for other in (replace(group, test=Scene()), replace(group, variants=(PCL,))):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            run_group(other, 0, TINY, None, tmp_path)


# --- the report


def test_groups_hold_what_the_issue_asks_for() -> None:
    found = {group.name: group for group in groups()}
    assert set(found) == {*FOCALS_PX, CENTRE}
    for group in found.values():
        assert {ROOT, LOCATION, LOCATION_RAYS, PCL} <= set(group.variants)
        assert len({variant.name for variant in group.variants}) == len(group.variants)
        assert group.calibrations[EXACT] == Calibration()
    assert set(found[WIDE].variants) == set(ALL)
    assert found[CENTRE].test == found[WIDE].test
    assert found[CENTRE].train == replace(found[WIDE].train, centre_std=0.12)
    assert set(calibrations().values()) == {
        Calibration(),
        *(Calibration(focal=sign * share) for share in (0.05, 0.1, 0.2) for sign in (1, -1)),
        *(Calibration(centre=share) for share in (0.02, 0.05, 0.1)),
    }
    assert found[WIDE].calibrations == calibrations()


def made_up(change: dict[tuple[str, str, str], float] | None = None, parameters: int = 100) -> list[dict]:
    """Every group, two seeds: 50 and 60 mm for everyone on everything, unless multiplied (scene, variant, test)."""
    results = []
    for group in groups():
        for seed, value in ((0, 0.05), (1, 0.06)):
            found = []
            for variant in group.variants:
                scores = {}
                for test in group.calibrations:
                    factor = (change or {}).get((group.name, variant.name, test), 1.0)
                    metrics = ["mpjpe", f"mpjpe_{ANGLES_DEG[-2]}_{ANGLES_DEG[-1]}"]
                    metrics += ["mrpe", "mrpe_height_known", "canonical_depth"] if variant.depth else []
                    scores[test] = dict.fromkeys(metrics, value * factor)
                found.append({"variant": variant.name, "parameters": parameters + (variant is PCL), "scores": scores})
            results.append({"group": group.name, "seed": seed, "seconds": 1.0, "variants": found})
    return results


def judged(change: dict[tuple[str, str, str], float] | None = None) -> dict[str, Claim]:
    return {claim.id: claim for claim in claims(made_up(change))}


def test_rows_tell_means_over_seeds_and_what_is_won_seed_by_seed() -> None:
    results = made_up({(WIDE, PCL.name, EXACT): 0.5})
    results[0]["variants"][3]["scores"][EXACT]["mpjpe"] *= 1.2
    found = {(row["scene"], row["variant"], row["test"]): row for row in rows(results)}
    row = found[WIDE, PCL.name, EXACT]
    assert row["seeds"] == 2
    assert row["mpjpe_mm"] == pytest.approx(30)
    assert row["gain_mpjpe_percent"] == pytest.approx((40 + 50) / 2)
    assert row["gain_mpjpe_percent_sd"] == pytest.approx(50**0.5)
    assert row["rival"] == ROOT.name
    assert "rival" not in found[WIDE, ROOT.name, EXACT]
    assert row["parameters"] == found[WIDE, ROOT.name, EXACT]["parameters"] + 1
    placing = found[WIDE, PCL_LOCATION_DISTANCE.name, EXACT]
    assert placing["rival"] == CANONICAL.name
    assert placing["canonical_depth_mm_per_px"] == pytest.approx(55)
    assert placing["canonical_depth_needs_focal"] is True
    assert found[WIDE, CANONICAL.name, EXACT]["canonical_depth_needs_focal"] is False
    assert len(found) == sum(len(group.variants) * len(group.calibrations) for group in groups())


@pytest.mark.parametrize(
    ("claim", "scene", "variant", "test", "target"),
    [
        ("pcl-border", WIDE, PCL, EXACT, 0.25),
        ("pcl-border-centre", CENTRE, PCL, EXACT, 0.25),
        ("pcl-location", WIDE, PCL, EXACT, 0.0),
        ("pcl-location-border", CENTRE, PCL, EXACT, 0.0),
        ("pcl-and-location", WIDE, PCL_LOCATION, EXACT, 0.0),
        ("pcl-distance-mpjpe", WIDE, PCL_DISTANCE, EXACT, 0.0),
        ("pcl-distance-mrpe", WIDE, PCL_DISTANCE, EXACT, 0.0),
        ("pcl-distance-mrpe-tall", WIDE, PCL_DISTANCE, EXACT, 0.0),
    ],
)
def test_claims_are_shares_won(claim: str, scene: str, variant: Variant, test: str, target: float) -> None:
    assert judged()[claim].value == pytest.approx(0)
    assert judged()[claim].target == target
    won = judged({(scene, variant.name, test): 0.99 - target})[claim]
    assert won.value == pytest.approx(target + 0.01)
    assert won.holds
    assert not judged({(scene, variant.name, test): 1.01 - target})[claim].holds


def test_claims_over_several_tests_are_about_the_least() -> None:
    everywhere = {(scene, PCL.name, EXACT): 0.9 for scene in FOCALS_PX}
    assert judged(everywhere)["pcl-mean"].value == pytest.approx(0.1)
    narrow = judged(everywhere | {(NARROW, PCL.name, EXACT): 0.99})["pcl-mean"]
    assert narrow.value == pytest.approx(0.01)
    assert not narrow.holds
    all_tests = {(WIDE, PCL.name, test): 0.9 for test in calibrations()}
    for claim in ("pcl-calibration", "pcl-calibration-centre", "pcl-location-calibration"):
        assert judged(all_tests)[claim].value == pytest.approx(0.1)
    one = all_tests | {(WIDE, PCL.name, "focal length −10 %"): 1.1}
    assert judged(one)["pcl-calibration"].value == pytest.approx(-0.1)
    assert judged(one)["pcl-location-calibration"].value == pytest.approx(-0.1)
    assert judged(one)["pcl-calibration-centre"].holds
    far = all_tests | {(WIDE, PCL.name, "focal length −20 %"): 1.1}
    assert judged(far)["pcl-calibration"].holds
    centre = all_tests | {(WIDE, PCL.name, "principal point ±10 % of the width"): 1.1}
    assert not judged(centre)["pcl-calibration-centre"].holds
    rival = all_tests | {(WIDE, LOCATION_RAYS.name, "focal length +5 %"): 0.8}
    assert not judged(rival)["pcl-location-calibration"].holds


def test_unequal_parameters_are_told() -> None:
    claim = judged()["equal-parameters"]
    assert (claim.value, claim.holds) == (1, False)
    assert len({claim.id for claim in judged().values()}) == len(judged())


def test_the_quick_benchmark_has_all_rows_and_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_file, "in_processes", lambda work, calls, **_: [work(*call) for call in calls])
    measured = bench_perspective_lifting(None, quick=True, seeds=(0,))
    assert {row["scene"] for row in measured.rows} == {group.name for group in groups()}
    for row in measured.rows:
        assert math.isfinite(row["mpjpe_mm"])
        assert 0 < row["mpjpe_mm"] < 1000
    assert len({row["parameters"] for row in measured.rows}) == 1
    found = {claim.id: claim for claim in measured.claims}
    assert found["equal-parameters"].holds
    assert all(math.isfinite(claim.value) for claim in found.values())
    assert any("8 steps" in note for note in measured.notes)


@pytest.mark.slow
def test_the_quick_benchmark_runs_in_processes_of_its_own(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    call = {"quick": True, "seeds": (0,), "jobs": 1, "cache": tmp_path}
    measured = bench_perspective_lifting(None, **call, progress=lambda *now: done.append(now))
    assert done == [(number, 4) for number in (1, 2, 3, 4)]
    assert len(list(tmp_path.glob("*.json"))) == 4
    again = bench_perspective_lifting(None, **call)
    assert again.rows == measured.rows
    assert "4 of 4 were kept" in again.notes[-1]
