"""LCR-Net's decoding: the same as loops that follow the paper, and laws of rescoring, integration and suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sightline.bench.lcrnet_twin import integrated as twin
from sightline.bench.lcrnet_twin import rescored as rescored_twin
from sightline.methods.lcrnet.decode import (
    Integration,
    Modes,
    Proposals,
    integrated,
    overlaps,
    pose_boxes,
    rescored,
    strongest,
    suppressed,
)
from sightline.skeleton import get_skeleton

LCR13 = get_skeleton("lcr13")


def crowd(seed: int, people: int = 4, each: int = 30, noise_m: float = 0.08) -> Proposals:
    """Proposals about people who overlap, some of them of upper bodies."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(0, 0.35, (people, 2, 13, 3))
    places = rng.uniform(100, 500, (people, 2))
    who, which = rng.integers(people, size=people * each), rng.integers(2, size=people * each)
    joints = poses[who, which] + rng.normal(0, noise_m, (people * each, 13, 3))
    px = places[who][:, None] + 200 * joints[..., :2] + rng.normal(0, 6, (people * each, 13, 2))
    low, high = px.min(1), px.max(1)
    inner = np.concatenate([low + 0.1 * (high - low), high - 0.1 * (high - low)], axis=1)
    return Proposals(px, joints, rng.uniform(0, 1, len(who)) ** 2, inner, rng.random(len(who)) < 0.4)


def of_twin(proposals: Proposals, config: Integration) -> list[dict]:
    found = twin(
        proposals.poses_px.tolist(), proposals.joints_m.tolist(), proposals.scores.tolist(), proposals.upper.tolist(),
        LCR13.joints, config.iou, config.distance_m, config.leg_weight,
    )  # fmt: skip
    return sorted(found, key=lambda mode: -mode["score"])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("config", [Integration(), Integration(iou=0.54, distance_m=0.2, leg_weight=1.0)])
def test_integration_is_what_the_paper_says(seed: int, config: Integration) -> None:
    proposals = crowd(seed)
    modes, expected = integrated(proposals, LCR13, config), of_twin(proposals, config)
    assert len(modes.scores) == len(expected)
    assert 1 < modes.count.max() < len(proposals.scores)
    for name, key in (("group", "group"), ("first", "first"), ("count", "count")):
        assert_array_equal(getattr(modes, name), [mode[key] for mode in expected])
    assert_allclose(modes.scores, [mode["score"] for mode in expected], rtol=1e-12)
    assert_allclose(modes.poses_px, [mode["px"] for mode in expected], rtol=1e-12, atol=1e-9)
    assert_allclose(modes.joints_m, [mode["m"] for mode in expected], rtol=1e-12, atol=1e-12)


def test_rescoring_is_equation_6() -> None:
    proposals = crowd(3)
    found = rescored(proposals, LCR13, 25.0)
    whole = [row for row, joint in enumerate(LCR13.joints) if not joint.endswith(("Knee", "Ankle"))]
    expected = [
        rescored_twin([pose[row] for row in whole] if upper else pose, box, score, 25.0)
        for pose, box, score, upper in zip(
            proposals.poses_px.tolist(), proposals.boxes_px.tolist(), proposals.scores.tolist(),
            proposals.upper.tolist(), strict=True,
        )
    ]  # fmt: skip
    assert_allclose(found.scores, expected, rtol=1e-12)
    assert (found.scores <= proposals.scores).all()
    assert (found.scores < proposals.scores).any()
    inside = proposals._replace(boxes_px=pose_boxes(proposals.poses_px))
    assert_allclose(rescored(inside, LCR13).scores, proposals.scores, rtol=1e-12)


@pytest.mark.parametrize("off", [(25, 0), (-25, 0), (0, 25), (0, -25), (15, 20), (-20, -15)])
def test_a_joint_that_is_sigma_off_counts_for_the_eth_part(off: tuple[int, int]) -> None:
    px = np.full((1, 13, 2), 50.0)
    px[0, 2] = np.where(np.array(off) > 0, 100, np.where(np.array(off) < 0, 0, 50)) + np.array(off)
    joints = np.zeros((1, 13, 3))
    one = Proposals(px, joints, np.ones(1), np.array([[0.0, 0, 100, 100]]), np.array([False]))
    assert rescored(one, LCR13).scores[0] == pytest.approx((12 + np.exp(-1)) / 13)
    assert LCR13.joints[2] == "RKnee"
    assert rescored(one._replace(upper=np.array([True])), LCR13).scores[0] == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_many_proposals_and_equals(dtype: type) -> None:
    """More than are compared at a time, most of them alone, and many of the same score."""
    many = crowd(11, people=6, each=110, noise_m=0.2)
    many = Proposals(*(part.astype(dtype) if part.dtype == np.float64 else part for part in many))._replace(
        scores=np.maximum(np.round(many.scores, 1), 0.05).astype(dtype)
    )
    modes, expected = integrated(many, LCR13), of_twin(many, Integration())
    assert len(modes.scores) > 300
    by_first = {mode["first"]: mode for mode in expected}
    assert sorted(by_first) == sorted(modes.first)
    for row, first in enumerate(modes.first):
        assert modes.count[row] == by_first[first]["count"]
        assert_allclose(modes.scores[row], by_first[first]["score"], rtol=1e-6)
        assert_allclose(modes.joints_m[row], by_first[first]["m"], atol=1e-6)


def test_the_order_of_proposals_does_not_matter() -> None:
    proposals, rng = crowd(5), np.random.default_rng(0)
    shuffle = rng.permutation(len(proposals.scores))
    one, other = integrated(proposals, LCR13), integrated(proposals.chosen(shuffle), LCR13)
    assert_allclose(one.poses_px, other.poses_px, rtol=1e-12)
    assert_array_equal(one.first, shuffle[other.first])
    doubled = integrated(proposals._replace(scores=2 * proposals.scores), LCR13)
    assert_allclose(doubled.scores, 2 * one.scores, rtol=1e-12)
    assert_allclose(doubled.sigma_m, one.sigma_m, rtol=1e-9)


def test_a_mode_is_the_mean_by_score_with_its_spread() -> None:
    pose = np.random.default_rng(1).normal(0, 0.3, (13, 3))
    shift = np.array([0.03, 0.0, -0.06])
    joints = np.stack([pose, pose + shift])
    px = 300 + 200 * joints[..., :2]
    scores = np.array([0.75, 0.25])
    modes = integrated(Proposals(px, joints, scores, pose_boxes(px), np.array([False, False])), LCR13)
    assert modes.scores.tolist() == [1.0]
    assert modes.count.tolist() == [2]
    assert_allclose(modes.joints_m[0], pose + 0.25 * shift, atol=1e-12)
    assert_allclose(modes.sigma_m[0], np.broadcast_to(np.sqrt(3 / 16) * abs(shift), (13, 3)), atol=1e-12)
    upper = integrated(Proposals(px, joints, scores, pose_boxes(px), np.array([False, True])), LCR13)
    legs = [LCR13.index(side + name) for side in "LR" for name in ("Knee", "Ankle")]
    others = [row for row in range(13) if row not in legs]
    assert_allclose(upper.joints_m[0, others], modes.joints_m[0, others], atol=1e-12)
    assert_allclose(upper.joints_m[0, legs], (pose + 0.025 / 0.775 * shift)[legs], atol=1e-12)
    alone = integrated(
        Proposals(px, joints, scores, pose_boxes(px), np.zeros(2, bool)), LCR13, Integration(distance_m=0.0)
    )
    assert alone.count.tolist() == [1, 1]
    assert alone.group.tolist() == [0, 0]
    assert np.isnan(alone.sigma_m).all()


def test_legs_that_are_guesses_are_trusted_less() -> None:
    """By the share of a mode's score that upper bodies' classes have; and so of single proposals."""
    proposals = crowd(3)
    modes = integrated(proposals, LCR13, Integration(distance_m=0.4))
    legs = np.array([joint.endswith(("Knee", "Ankle")) for joint in LCR13.joints])
    assert_allclose(modes.trust[:, ~legs], 1.0)
    assert len(np.unique(np.round(modes.trust[:, legs][:, 0], 6))) > 3
    assert_allclose(integrated(proposals, LCR13, Integration(leg_weight=1.0)).trust, 1.0)
    px, joints, _, boxes, _ = proposals.chosen(np.arange(1))
    pair = Proposals(px[[0, 0]], joints[[0, 0]], np.array([0.5, 0.3]), boxes[[0, 0]], np.array([True, False]))
    (trust,) = integrated(pair, LCR13).trust
    assert_allclose(trust[legs], (0.1 * 0.5 + 0.3) / 0.8)
    kept = suppressed(proposals, LCR13)
    assert_allclose(kept.trust[:, legs], np.where(proposals.upper[kept.first], 0.1, 1.0)[:, None].repeat(4, 1))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_sizes_differ_by_shares(scale: float) -> None:
    """Of two proposals one of which is larger by a fifth, in metres or, the other way, in pixels."""
    one = crowd(3).chosen(np.arange(1))
    rows = np.array([0, 0])
    for grown in ("joints_m", "poses_px"):
        pair = one.chosen(rows)._replace(scores=np.array([0.3, 0.1]))
        middle = pair.poses_px.mean(1, keepdims=True)
        pair = pair._replace(poses_px=middle + scale * (pair.poses_px - middle))
        values = getattr(pair, grown).copy()
        values[1] = values[1].mean(0) + 1.2 * (values[1] - values[1].mean(0))
        modes = integrated(pair._replace(**{grown: values}), LCR13, Integration(distance_m=1.0))
        assert_allclose(modes.size_sigma, np.sqrt(0.75 * 0.25) * np.log(1.2))
    assert np.isnan(integrated(one, LCR13).size_sigma).all()
    point = one.chosen(rows)._replace(poses_px=np.full((2, 13, 2), 5.0))
    assert np.isfinite(integrated(point, LCR13, Integration(iou=0.0, distance_m=1.0)).trust).all()


def test_suppression_keeps_the_strongest_of_each_place() -> None:
    proposals = crowd(7)
    modes, kept = integrated(proposals, LCR13), suppressed(proposals, LCR13)
    assert len(kept.scores) == len(np.unique(modes.group))
    assert (np.diff(kept.scores) <= 0).all()
    assert_allclose(kept.poses_px, proposals.poses_px[kept.first], rtol=1e-12)
    assert_array_equal(kept.scores, proposals.scores[kept.first])
    boxes = pose_boxes(kept.poses_px)
    for row in range(len(boxes)):
        others = overlaps(boxes[row], np.delete(boxes, row, axis=0))
        assert (others <= Integration().iou).all()


def test_the_strongest_are_kept() -> None:
    proposals = crowd(2)
    kept = strongest(proposals, 10, at_least=0)
    assert (kept.scores >= 0.01).all()
    assert (proposals.scores >= 0.01).sum() == len(kept.scores) < len(proposals.scores)
    assert (np.diff(kept.scores) <= 0).all()
    assert len(strongest(proposals, 10, at_least=10_000).scores) == len(proposals.scores)
    few = strongest(proposals, 1, share=2.0, at_least=7)
    assert_array_equal(few.scores, np.sort(proposals.scores)[::-1][:7])


def test_nobody_and_points() -> None:
    nobody = crowd(0).chosen(np.arange(0))
    for found in (integrated(nobody, LCR13), suppressed(nobody, LCR13)):
        assert isinstance(found, Modes)
        assert [len(part) for part in found] == [0] * 9
        assert found.poses_px.shape == (0, 13, 2)
    assert len(strongest(rescored(nobody, LCR13), 10).scores) == 0
    one = crowd(0).chosen(np.arange(3))
    points = one._replace(poses_px=np.full((3, 13, 2), 40.0), scores=np.zeros(3))
    modes = integrated(points, LCR13)
    assert_allclose(modes.poses_px, 40.0)
    assert modes.scores.sum() == 0.0
    alike = integrated(points, LCR13, Integration(distance_m=9.0))
    assert alike.count.tolist() == [1, 1, 1]  # boxes without any area overlap with nothing
    both = one._replace(scores=np.zeros(3), poses_px=np.repeat(one.poses_px[:1], 3, axis=0), upper=np.zeros(3, bool))
    (mean,) = integrated(both, LCR13, Integration(distance_m=9.0)).joints_m
    assert_allclose(mean, one.joints_m.mean(0), atol=1e-12)
    faint = integrated(both._replace(scores=np.array([3e-20, 1e-20, 0.0])), LCR13, Integration(distance_m=9.0))
    assert_allclose(faint.joints_m[0], (3 * one.joints_m[0] + one.joints_m[1]) / 4, atol=1e-12)
    assert_allclose(overlaps(np.zeros(4), np.zeros((2, 4))), 0.0)
    assert overlaps(np.array([0.0, 0, 2, 2]), np.array([1.0, 1, 3, 3])) == pytest.approx(1 / 7)


def unchecked(function: Any) -> Any:
    """The function without the tests' own checks of shapes."""
    return getattr(function, "__wrapped__", function)


def test_spreads_may_be_left_out() -> None:
    """And nothing else is another."""
    proposals = crowd(1)
    whole, plain = (integrated(proposals, LCR13, Integration(spreads=spreads)) for spreads in (True, False))
    assert np.isnan(plain.sigma_m).all()
    assert np.isnan(plain.size_sigma).all()
    assert np.isfinite(whole.sigma_m).any()
    for name in ("poses_px", "joints_m", "scores", "group", "count", "first", "trust"):
        assert np.array_equal(getattr(whole, name), getattr(plain, name))


def test_complaints() -> None:
    proposals = crowd(1)
    with pytest.raises(ValueError, match=r"poses_px: expected 17 × 2 of each \(h36m17: 17 joints\), got \(13, 2\)"):
        integrated(proposals, get_skeleton("h36m17"))
    for name, wrong in (("boxes_px", proposals.boxes_px[:, :3]), ("joints_m", proposals.joints_m[..., :2]),
                        ("scores", proposals.scores[:, None])):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name}: expected"):
            unchecked(rescored)(proposals._replace(**{name: wrong}), LCR13)
    with pytest.raises(ValueError, match="upper: expected a truth value for each, got int64"):
        unchecked(rescored)(proposals._replace(upper=proposals.upper.astype(np.int64)), LCR13)
    broken = proposals.joints_m.copy()
    broken[4, 2, 1] = np.nan
    with pytest.raises(ValueError, match="joints_m: expected finite numbers"):
        integrated(proposals._replace(joints_m=broken), LCR13)
    with pytest.raises(ValueError, match="boxes_px: expected finite numbers"):
        rescored(proposals._replace(boxes_px=proposals.boxes_px * np.nan), LCR13)
    with pytest.raises(ValueError, match="sigma_px: expected a positive number"):
        rescored(proposals, LCR13, 0.0)
    with pytest.raises(ValueError, match="classes: expected at least 1"):
        strongest(proposals, 0)
    with pytest.raises(ValueError, match="expected as many of everything"):
        unchecked(integrated)(Proposals(*proposals[:4], proposals.upper[:5]), LCR13)
    with pytest.raises(ValueError, match="scores: expected numbers of at least 0"):
        suppressed(proposals._replace(scores=proposals.scores - 1), LCR13)
    for wrong in ({"iou": 1.0}, {"distance_m": -0.1}, {"leg_weight": 0.0}):
        with pytest.raises(ValueError, match="integration: expected iou"):
            Integration(**wrong)
