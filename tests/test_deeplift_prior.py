"""The prior as a tool: how likely a pose is, samples, completion, files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from deeplift_scene import written
from deeplift_world import DOUBLE, chance, fitted_prior, headings, known_mixture, poses, prior_of
from sightline.errors import InputError
from sightline.formats.weights import write_weights
from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.methods.deeplift.prior import QUANTILES, PosePrior
from sightline.methods.deeplift.projection import LEVEL_FROM_WORLD
from sightline.methods.deeplift.shapes import FLIP, limb_size
from sightline.methods.deeplift.weights import as_stored, load_prior, prior_config, prior_from, prior_tensors
from sightline.stature import stature_from_joints


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    """Fitted to procedural people."""
    return fitted_prior(components=2, basis=12)


# --- how likely -------------------------------------------------------------------------------------------------------


def test_place_size_and_heading_leave_the_log_density(prior: PosePrior) -> None:
    joints = poses(20, seed=4)
    assert_close(prior.log_prob(1.2 * joints @ headings(20).mT + 3.0), prior.log_prob(joints), atol=1e-6, rtol=0)


def test_any_orientation_leaves_that_of_a_prior_of_any(prior: PosePrior) -> None:
    free, joints = prior_of(prior.mixture, "any"), poses(20, seed=4)
    tumbled = joints @ (axis_rotation("x", torch.linspace(0.2, 3.0, 20, dtype=DOUBLE)) @ headings(20)).mT
    assert_close(free.log_prob(tumbled), free.log_prob(joints), atol=1e-2, rtol=0)
    assert bool((prior.log_prob(tumbled)[5:] < prior.log_prob(joints)[5:] - 20).all())


@pytest.mark.parametrize("kind", ["exchanged sides", "noise", "knees forwards"])
def test_what_no_body_does_is_implausible(prior: PosePrior, kind: str) -> None:
    joints = poses(40, seed=4)
    told = replace(
        prior, quantiles=prior.log_prob(poses(200, seed=6)).quantile(torch.linspace(0, 1, QUANTILES).double())
    )
    odd = joints.clone()
    if kind == "exchanged sides":
        odd = odd[:, FLIP]
    elif kind == "noise":
        odd = odd + 0.15 * torch.randn(odd.shape, generator=chance(1), dtype=DOUBLE)
    else:
        odd[:, [2, 5]] = odd[:, [2, 5]] + 0.5 * (odd[:, [3, 6]] - odd[:, [1, 4]]).flip(-1)
    assert float(told.plausibility(odd).median()) < 0.05
    assert float(told.plausibility(joints).median()) == pytest.approx(0.5, abs=0.15)


def test_a_pose_that_lacks_joints_has_no_density(prior: PosePrior) -> None:
    joints = poses(2)
    joints[0, 3] = torch.nan
    with pytest.raises(ValueError, match="finite poses"):
        prior.log_prob(joints)


# --- samples ----------------------------------------------------------------------------------------------------------


def test_samples_are_people_as_the_prior_knows_them(prior: PosePrior) -> None:
    drawn = prior.sample(2000, chance(3))
    assert_close(drawn[:, 0], torch.zeros(2000, 3, dtype=DOUBLE))
    size = limb_size(drawn)
    assert float(size.mean()) == pytest.approx(prior.size_m, rel=0.01)
    assert float((size / prior.size_m).std()) == pytest.approx(prior.size_spread, rel=0.1)
    assert_close(prior.sample(5, chance(3)), prior.sample(5, chance(3)))
    own = prior.log_prob(drawn[:300]).mean()
    assert float(own) == pytest.approx(float(prior.log_prob(poses(300, seed=2)).mean()), abs=8.0)
    across = drawn[:, 4] - drawn[:, 1]
    assert float(torch.nn.functional.normalize(across[:, :2], dim=1).mean(0).norm()) < 0.08


def test_samples_of_a_prior_of_any_orientation_point_anywhere(prior: PosePrior) -> None:
    upward = torch.nn.functional.normalize(prior_of(prior.mixture, "any").sample(2000, chance(3))[:, 10], dim=1)
    assert float(upward.mean(0).norm()) < 0.1


# --- completion -------------------------------------------------------------------------------------------------------


def test_missing_joints_of_known_people_come_back() -> None:
    """People of two directions and hardly any noise: what is there tells the rest to a few millimetres."""
    mixture = known_mixture(1, basis=2, noise=0.001)
    joints = prior_of(mixture).sample(30, chance(1)) + 2.0
    broken = joints.clone()
    broken[:, [3, 9, 13]] = torch.nan
    found = prior_of(mixture).completed(broken)
    assert bool(found.valid.all())
    assert_close(found.joints, joints, atol=0.02, rtol=0)
    assert float((found.joints - joints).norm(dim=-1)[:, [3, 9, 13]].mean()) < 0.006
    kept = [joint for joint in range(17) if joint not in (3, 9, 13)]
    assert torch.equal(found.joints[:, kept], joints[:, kept])


def test_completion_is_better_than_the_mean_pose(prior: PosePrior) -> None:
    joints = poses(60, seed=12)
    broken = joints.clone()
    missing = torch.rand(60, 17, generator=chance(5)) < 0.3
    broken[missing] = torch.nan
    error = (prior.completed(broken).joints - joints).norm(dim=-1)[missing]
    assert float(error.mean()) < 0.12


def test_a_wrong_joint_does_not_count(prior: PosePrior) -> None:
    joints = poses(10, seed=12)
    wrong, weight = joints.clone(), torch.ones(10, 17, dtype=DOUBLE)
    wrong[:, 16] += 1.0
    weight[:, 16] = 0.0
    broken = joints.clone()
    broken[:, 16] = torch.nan
    assert_close(prior.completed(wrong, weight).joints, prior.completed(broken).joints)


def test_too_few_joints_say_nothing_and_harm_nobody(prior: PosePrior) -> None:
    joints = poses(3)
    joints[1, 4:] = torch.nan
    found = prior.completed(joints)
    assert found.valid.tolist() == [True, False, True]
    assert bool(found.joints[1].isnan().all())
    assert_close(found.joints[[0, 2]], joints[[0, 2]])


def test_a_heading_turns_the_completion(prior: PosePrior) -> None:
    joints, turn = poses(6, seed=3), headings(6, 9)
    joints[:, 13] = torch.nan
    first, second = prior.completed(joints).projected, prior.completed(joints @ turn.mT).projected
    assert_close(second, first @ turn.mT, atol=2e-3, rtol=0)


@pytest.mark.parametrize("fault", ["one spot", "four joints", "no weight"])
def test_poses_that_cannot_be_completed_are_marked(prior: PosePrior, fault: str) -> None:
    joints, weight = poses(3), torch.ones(3, 17, dtype=DOUBLE)
    if fault == "one spot":
        joints[1] = 2.5
    if fault == "four joints":
        joints[1, 4:] = torch.nan
    if fault == "no weight":
        weight[1, 4:] = 0.0
    found = prior.completed(joints, weight)
    assert found.valid.tolist() == [True, False, True]
    assert bool(found.joints[1].isnan().all())
    assert bool(found.joints[[0, 2]].isfinite().all())
    alone = prior.completed(joints[[0, 2]], weight[[0, 2]])
    assert_close(found.projected[[0, 2]], alone.projected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("weight", [torch.full((2, 17), torch.nan), torch.full((2, 17), -1.0), torch.ones(2, 16)])
def test_weights_that_are_none(prior: PosePrior, weight: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="weight: expected"):
        getattr(PosePrior.completed, "__wrapped__", PosePrior.completed)(prior, poses(2), weight)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_prior_comes_back_from_its_file(prior: PosePrior, tmp_path: Path) -> None:
    loaded, config, passport = load_prior(written(prior, tmp_path, sigma_factor=1.5))
    assert (config.sigma_factor, passport.method) == (1.5, "deeplift")
    stored = as_stored(prior)
    for one, other in zip(prior_tensors(loaded).values(), prior_tensors(stored).values(), strict=True):
        assert_close(one, other)
    joints = poses(50, seed=5)
    assert_close(loaded.log_prob(joints), prior.log_prob(joints), atol=1.0, rtol=0)


@pytest.mark.parametrize(
    "harm",
    [
        {"shares": torch.tensor([0.5, -0.5])},
        {"mean": torch.zeros(3, 48)},
        {"noise": torch.zeros(2)},
        {"basis": torch.zeros(1, 48, 12)},
        {"quantiles": torch.arange(QUANTILES, 0, -1.0)},
        {"tilt": torch.zeros(3)},
        {"more": torch.zeros(3)},
        {"mean": None},
    ],
    ids=lambda harm: next(iter(harm)),
)
def test_tensors_that_are_no_prior_are_refused(prior: PosePrior, tmp_path: Path, harm: dict) -> None:
    tensors = {**prior_tensors(prior), **harm}
    path = written(prior, tmp_path)
    facts = json.loads(path.read_text())
    whole = {name: value for name, value in tensors.items() if value is not None}
    keys = ("name", "method", "licence", "trained_on", "recipe", "model", "expected", "command", "date", "version")
    write_weights(whole, tmp_path, **{key: facts[key] for key in keys})
    with pytest.raises(InputError, match="do not fit together"):
        load_prior(path)


def test_weights_of_another_method_are_no_prior() -> None:
    with pytest.raises(InputError, match="expected a prior of method 'deeplift', got 'abspose"):
        load_prior("abspose-street")


def test_a_prior_of_no_orientation_is_refused(prior: PosePrior) -> None:
    config = replace(prior_config(prior), size_m=-1.0)
    with pytest.raises(ValueError, match="expected positive numbers"):
        prior_from(prior_tensors(prior), config)


@pytest.mark.parametrize("name", ["deeplift-mocap", pytest.param("deeplift-mocap-any", marks=pytest.mark.slow)])
def test_shipped_priors_are_those_of_their_passports(name: str) -> None:
    prior, config, passport = load_prior(name)
    people = prior.sample(400, torch.Generator().manual_seed(0))
    told = prior.plausibility(people)
    assert 0.3 < float(told.mean()) < 0.95
    assert passport.expected["height given"]["mpjpe_mm"] < passport.expected["height unknown"]["mpjpe_mm"]
    engine = DeepLiftEngine(prior, config)
    joints = people - people.mean(1, keepdim=True)
    joints = joints @ LEVEL_FROM_WORLD.mT + torch.tensor([0.0, 0.0, 4.5], dtype=DOUBLE)
    xy = joints[..., :2] / joints[..., 2:]
    found = engine.lift_rays(xy, torch.ones(400, 17, dtype=DOUBLE), None, stature_from_joints(joints))
    located = torch.from_numpy(found.joints_cam)
    error = ((located - located[:, :1]) - (joints - joints[:, :1])).norm(dim=-1).mean()
    assert float(error) < (0.075 if name == "deeplift-mocap" else 0.1)
    assert found.sigma_m is not None
    inside = ((located - joints).abs() <= torch.from_numpy(found.sigma_m)).double().mean()
    assert 0.55 < float(inside) < 0.9
