"""The simulated detector: its errors are heavy-tailed, scale with the person, and come in limbs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sightline.data.procedural import procedural_poses
from sightline.data.simulated_detector import SimulatedDetector, detect
from sightline.methods.abspose.noise import crop_scale, errors_in_crop
from sightline.skeleton import SKELETONS, conversion, get_skeleton

H36M = get_skeleton("h36m17")
FLIP = list(H36M.flip)
QUIET = SimulatedDetector(
    jitter_px=0, hip_bias_px=0, pull=0, miss=(0, 0, 0), hard_person=0, elsewhere=0, swap_pair=0, swap_limbs=0
)
ARM = [H36M.index(name) for name in ("LShoulder", "LElbow", "LWrist")]


def poses_px(count: int, seed: int = 0) -> torch.Tensor:
    joints = procedural_poses(count, torch.Generator().manual_seed(seed)).double()
    return torch.stack([joints[..., 0], -joints[..., 2]], -1) * 250 + 600


def errors(detector: SimulatedDetector, true_px: torch.Tensor, seed: int = 1) -> torch.Tensor:
    return errors_in_crop(detect(detector, true_px, torch.Generator().manual_seed(seed)), true_px)


def test_size_and_tail_of_the_errors():
    distance = errors(SimulatedDetector(), poses_px(20000)).norm(dim=-1)
    assert 2 < distance.median() < 4
    assert 0.05 < (distance > 15).double().mean() < 0.08
    assert 50 < distance.flatten().quantile(0.999) < 80
    median = distance.median(0).values
    assert median[H36M.index("LWrist")] > 1.5 * median[H36M.index("LShoulder")]
    assert median[H36M.index("RAnkle")] > median[H36M.index("RKnee")]


def test_a_detector_without_mistakes_returns_the_truth():
    true_px = poses_px(50)
    torch.testing.assert_close(detect(QUIET, true_px, torch.Generator()), true_px)


def test_mistakes_scale_and_move_with_the_person():
    true_px = poses_px(500)
    found = detect(SimulatedDetector(), true_px, torch.Generator().manual_seed(2))
    moved = detect(SimulatedDetector(), 3 * true_px - 70, torch.Generator().manual_seed(2))
    torch.testing.assert_close(moved, 3 * found - 70)


def test_its_crop_is_that_of_the_error_model():
    """Two floors that may not import each other state one rule: a known bias is measured as itself."""
    true_px = poses_px(20)
    measured = errors(replace(QUIET, hip_bias_px=5.0), true_px)
    torch.testing.assert_close(measured[:, H36M.index("LHip"), 1], torch.full((20,), -5.0, dtype=torch.float64))
    assert (crop_scale(true_px) > 0).all()


def test_equal_states_detect_alike():
    true_px = poses_px(100).float()
    first, again, other = (detect(SimulatedDetector(), true_px, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.float32


def test_missing_joints_stay_missing_and_infect_nobody():
    true_px = poses_px(2000)
    missing = torch.rand(2000, 17, generator=torch.Generator().manual_seed(0)) < 0.25
    true_px[missing] = math.nan
    wild = SimulatedDetector(miss=(0.3, 0.3, 0.3), swap_pair=0.3, swap_limbs=0.3, elsewhere=0.3)
    found = detect(wild, true_px, torch.Generator().manual_seed(3))
    assert torch.equal(torch.isnan(found).any(-1), missing)


def test_people_without_size_are_missing():
    true_px = torch.full((2, 17, 2), math.nan)
    true_px[0, 4] = 3.0
    assert torch.isnan(detect(SimulatedDetector(), true_px, torch.Generator())).all()
    assert detect(SimulatedDetector(), true_px[:0], torch.Generator()).shape == (0, 17, 2)


def test_where_the_elbow_is_lost_the_wrist_is_too():
    wrong = errors(replace(QUIET, miss=(0.1, 0.1, 0.05)), poses_px(20000)).norm(dim=-1)[:, ARM] > 1e-6
    shoulder, elbow, wrist = wrong.unbind(1)
    assert (elbow <= wrist).double().mean() > 0.995  # a mistaken joint may happen to lie on the true one
    assert (shoulder <= elbow).double().mean() > 0.995
    assert wrist.double().mean() == pytest.approx(0.25, abs=0.02)
    assert elbow.double().mean() == pytest.approx(0.15, abs=0.02)
    assert shoulder.double().mean() == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("mistake", "seen_at"),
    [((1, 0, 0, 0), "LElbow"), ((0, 1, 0, 0), "RWrist"), ((0, 0, 1, 0), "LHip")],
)
def test_a_lost_wrist_jumps_to_another_joint(mistake, seen_at):
    true_px = poses_px(3000)
    detector = replace(QUIET, miss=(1, 0, 0), mistake=tuple(map(float, mistake)))
    found = detect(detector, true_px, torch.Generator().manual_seed(0))
    wrist, other = H36M.index("LWrist"), H36M.index(seen_at)
    target = true_px[:, other]
    near = (target - true_px[:, wrist]).norm(dim=-1) / crop_scale(true_px) < detector.reach_px
    assert near.double().mean() > 0.2
    torch.testing.assert_close(found[near, wrist], target[near])
    assert ((found[~near, wrist] - target[~near]).norm(dim=-1) > 1e-3).all()  # the background instead


def test_background_points_are_skewed_not_boxed():
    lost = errors(replace(QUIET, miss=(1.0, 0, 0), mistake=(0.0, 0.0, 0.0, 1.0)), poses_px(20000))[
        :, H36M.index("LAnkle")
    ]
    distance = lost.norm(dim=-1)
    skewness = ((distance - distance.mean()) ** 3).mean() / distance.std() ** 3
    assert skewness > 1
    assert distance.mean() == pytest.approx(16, rel=0.05)
    assert lost[:, 1].mean() > 1  # rather downwards


@pytest.mark.parametrize("rate", ["swap_pair", "swap_limbs"])
def test_inversions_exchange_pairs_at_their_rate(rate):
    true_px = poses_px(20000) * torch.tensor([0.4, 1.0])  # narrow people: everything within reach
    found = detect(replace(QUIET, **{rate: 0.1, "reach_px": 500.0}), true_px, torch.Generator().manual_seed(0))
    exchanged = (found - true_px).norm(dim=-1) > 1e-6
    limbs = [joint for joint in range(17) if H36M.joints[joint][0] in "LR"]
    torch.testing.assert_close(found[exchanged], true_px[:, FLIP][exchanged])
    torch.testing.assert_close(exchanged[:, limbs].double().mean(0), torch.full((12,), 0.1).double(), atol=0.01, rtol=0)
    assert torch.equal(exchanged, exchanged[:, FLIP])
    together = (exchanged[:, ARM[0]] == exchanged[:, ARM[2]]).double().mean()
    assert (together == 1) == (rate == "swap_limbs")


def test_what_lies_far_apart_is_not_inverted():
    true_px = poses_px(5000)
    detector = replace(QUIET, swap_pair=1.0, reach_px=30.0)
    found = detect(detector, true_px, torch.Generator())
    far = (true_px - true_px[:, FLIP]).norm(dim=-1) / crop_scale(true_px)[:, None] > 30
    torch.testing.assert_close(found[far], true_px[far])
    assert far.any()


@pytest.mark.parametrize("name", sorted(SKELETONS))
def test_every_joint_set_with_arms_and_legs_works(name):
    rule = conversion("h36m17", name)
    points, _ = rule.apply(poses_px(30))
    found = detect(SimulatedDetector(skeleton=name), points, torch.Generator().manual_seed(0))
    assert torch.equal(torch.isnan(found), torch.isnan(points))
    assert len(rule.missing) < len(rule.target)


@pytest.mark.parametrize(
    "change",
    [
        {"miss": (0.6, 0.6, 0.0)},
        {"miss": (-0.1, 0.0, 0.0)},
        {"tail": 3},
        {"tail": 0},
        {"mistake": (0.0,) * 4},
        {"jitter_px": -1.0},
        {"jitter_px": math.nan},
        {"swap_pair": 1.2},
        {"hip_bias_px": math.inf},
        {"skeleton": "nobody"},
    ],
)
def test_bad_configurations_are_refused(change):
    with pytest.raises(ValueError, match=r"expected|nobody"):
        SimulatedDetector(**change)


def test_the_wrong_number_of_joints_is_refused():
    with pytest.raises(ValueError, match="17"):
        detect(SimulatedDetector(), poses_px(3)[:, :13], torch.Generator())
