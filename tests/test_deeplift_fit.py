"""The prior's fit: poses as vectors, closed-form PPCA, alignment, EM, the choice of a size (paper 004, section 4)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.testing import assert_close

from deeplift_world import DOUBLE, chance, drawn, headings, known_mixture, poses
from sightline.data.people import PeopleConfig, sample_bodies
from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift.alignment import (
    aligned,
    exact_angles,
    faced,
    fit_rotation,
    quick_angles,
    upright_start,
)
from sightline.methods.deeplift.fit import choose_size, doubled, fit_prior
from sightline.methods.deeplift.gaussian import NOISE_FLOOR, Gaussians, Whitening, fitted, whitening
from sightline.methods.deeplift.mixture import (
    CHUNK,
    FitConfig,
    Mixture,
    Turns,
    em,
    fit_mixture,
    moments,
    spread_seeds,
    updated,
)
from sightline.methods.deeplift.shapes import (
    CENTRED,
    DIMENSIONS,
    FLIP,
    limb_size,
    mirrored,
    rotated,
    to_joints,
    to_shapes,
)

# --- poses as vectors -------------------------------------------------------------------------------------------------


def test_a_shape_is_the_pose_without_place_and_size() -> None:
    joints = poses(20)
    shape, size = to_shapes(joints)
    assert_close(to_joints(shape) * size[:, None, None], joints - joints.mean(1, keepdim=True))
    assert_close(limb_size(to_joints(shape)), torch.ones(20, dtype=DOUBLE))
    moved = to_shapes(3.0 * joints + torch.tensor([1.0, 2.0, 3.0], dtype=DOUBLE))
    assert_close(moved.shape, shape)
    assert_close(moved.size, 3.0 * size)


def test_equal_errors_of_joints_are_equal_errors_of_shapes() -> None:
    assert_close(CENTRED @ CENTRED.mT, torch.eye(16, dtype=DOUBLE))
    assert_close(CENTRED.sum(1), torch.zeros(16, dtype=DOUBLE), atol=1e-12, rtol=0)


def test_mirroring_is_that_of_the_joints_and_its_own_inverse() -> None:
    joints = poses(10)
    glass = (joints * torch.tensor([-1.0, 1.0, 1.0], dtype=DOUBLE))[:, FLIP]
    shape = to_shapes(joints).shape
    assert_close(mirrored(shape), to_shapes(glass).shape)
    assert_close(mirrored(mirrored(shape)), shape)


def test_turning_is_that_of_the_joints() -> None:
    joints, turn = poses(6), headings(6, 4)
    assert_close(rotated(to_shapes(joints).shape, turn), to_shapes(joints @ turn.mT).shape)


@pytest.mark.parametrize(
    "joints", [torch.zeros(3, 17, 3), torch.full((3, 17, 3), torch.nan), torch.zeros(3, 16, 3), torch.zeros(3, 17)]
)
def test_no_shape_without_a_pose(joints: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="joints: expected"):
        getattr(to_shapes, "__wrapped__", to_shapes)(joints)


# --- one Gaussian -----------------------------------------------------------------------------------------------------


def moments_of(shape: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    apart = shape - shape.mean(0)
    return shape.mean(0)[None], (apart.mT @ apart / len(shape))[None]


def log_prob(shape: torch.Tensor, gaussians: Gaussians) -> torch.Tensor:
    white = whitening(gaussians)
    distance = ((shape - gaussians.mean[0]) @ white.matrix[0].mT).square().sum(1)
    return -0.5 * (distance + white.constant[0])


def test_log_density_is_scipys() -> None:
    mixture = known_mixture(1)
    shape, _ = drawn(mixture, 5, noise=True)
    facts: tuple[Any, ...] = (mixture.gaussians.mean[0].numpy(), mixture.gaussians.covariance()[0].numpy())
    expected = multivariate_normal(*facts).logpdf(shape.numpy())
    assert_close(log_prob(shape, mixture.gaussians), torch.from_numpy(np.asarray(expected)))


@pytest.mark.parametrize("basis", [1, 4, 20, 47])
def test_no_nearby_gaussian_of_that_rank_is_likelier(basis: int) -> None:
    shape, _ = drawn(known_mixture(1, basis=6, noise=0.02), 300, noise=True)
    best = fitted(*moments_of(shape), basis)
    least = float(log_prob(shape, best).mean())
    for seed in range(8):
        generator = chance(seed)

        def shaken(value: torch.Tensor, generator: torch.Generator = generator) -> torch.Tensor:
            return value + 1e-3 * torch.randn(value.shape, generator=generator, dtype=DOUBLE) * value.abs().mean()

        other = Gaussians(shaken(best.mean), shaken(best.basis), shaken(best.noise))
        assert float(log_prob(shape, other).mean()) < least


def test_the_covariance_is_that_of_the_data_where_the_rank_allows() -> None:
    shape, _ = drawn(known_mixture(1, noise=0.02), 4000, noise=True)
    mean, covariance = moments_of(shape)
    whole = fitted(mean, covariance, DIMENSIONS - 1)
    assert_close(whole.covariance(), covariance, atol=1e-9, rtol=1e-6)


def test_noise_has_a_floor() -> None:
    shape, _ = drawn(known_mixture(1), 300)
    assert float(fitted(*moments_of(shape), 10).noise[0]) == pytest.approx(NOISE_FLOOR)


# --- alignment --------------------------------------------------------------------------------------------------------


def test_the_best_turn_is_that_of_a_fine_grid() -> None:
    mixture = known_mixture(2, noise=0.01)
    shape, _ = drawn(mixture, 12, noise=True)
    shape = rotated(shape, headings(12))
    found = aligned(shape, mixture.gaussians, "upright")
    grid = axis_rotation("z", torch.arange(3600, dtype=DOUBLE) * (2 * math.pi / 3600))
    for row in range(2):
        one = Gaussians(*(value[row : row + 1] for value in mixture.gaussians))
        every = log_prob(rotated(shape.expand(3600, -1, -1), grid[:, None]).flatten(0, 1), one).unflatten(0, (-1, 12))
        assert bool((found[row].log_prob >= every.max(0).values - 1e-9).all())
        assert_close(found[row].log_prob, every.max(0).values, atol=0.05, rtol=0)
        assert_close(found[row].shape, rotated(shape, found[row].rotation))
        assert_close(log_prob(found[row].shape, one), found[row].log_prob)


def one_of(gaussians: Gaussians, row: int) -> tuple[torch.Tensor, Whitening]:
    white = whitening(gaussians)
    return gaussians.mean[row], Whitening(white.matrix[row], white.constant[row])


def any_gaussians(count: int, noise: float, seed: int = 0) -> Gaussians:
    """Gaussians that know nothing of people, under which polynomials of turns have all forms."""
    generator = chance(seed)
    mean = 0.3 * torch.randn(count, DIMENSIONS, generator=generator, dtype=DOUBLE)
    basis = 0.3 * torch.randn(count, DIMENSIONS, 20, generator=generator, dtype=DOUBLE)
    return Gaussians(mean, basis, torch.full((count,), noise, dtype=DOUBLE))


@pytest.mark.parametrize("noise", [1e-3, 0.03, 1.0])
def test_turns_sought_in_single_precision_are_those_of_the_exact_twin(noise: float) -> None:
    gaussians = any_gaussians(6, noise)
    shape = torch.randn(400, DIMENSIONS, generator=chance(9), dtype=DOUBLE)
    gaussians.mean[5] *= 0.0  # a turn and its opposite are as likely
    for row, found in enumerate(aligned(shape, gaussians, "upright")):
        mean, white = one_of(gaussians, row)
        twin = rotated(shape, axis_rotation("z", exact_angles(shape, mean, white)))
        one = Gaussians(*(value[row : row + 1] for value in gaussians))
        best = log_prob(twin, one)
        assert_close(found.log_prob, best, rtol=1e-9, atol=1e-9)
        assert_close(found.shape, rotated(shape, found.rotation))


def test_where_single_precision_cannot_tell_it_says_so() -> None:
    """A pose and its opposite are as likely under a mean that is a vertical line, and so unsure."""
    gaussians = known_mixture(1, noise=0.01).gaussians
    shape = rotated(to_shapes(poses(50)).shape, headings(50))
    _, sure = quick_angles(shape, *one_of(gaussians, 0))
    assert bool(sure.any())
    line = gaussians._replace(mean=torch.cat([torch.zeros(1, 32, dtype=DOUBLE), gaussians.mean[:, 32:]], dim=1))
    flat = shape * torch.cat([torch.ones(32, dtype=DOUBLE), torch.zeros(16, dtype=DOUBLE)])
    line.mean[:, 32:] = 0.0
    _, unsure = quick_angles(flat, *one_of(line, 0))
    assert not bool(unsure.any())


def test_the_slope_of_the_best_density_needs_no_slope_of_the_turn() -> None:
    gaussians = known_mixture(1, noise=0.02).gaussians
    shape = rotated(drawn(known_mixture(1), 4, noise=True)[0], headings(4)).requires_grad_()

    def density(value: torch.Tensor) -> torch.Tensor:
        return aligned(value, gaussians, "upright")[0].log_prob

    assert torch.autograd.gradcheck(density, (shape,), eps=1e-6, atol=1e-2, rtol=1e-3)


def test_a_turn_that_was_kept_is_only_exchanged_for_a_likelier_one() -> None:
    mixture = known_mixture(2, noise=0.01)
    shape, _ = drawn(mixture, 40, noise=True)
    before = torch.stack(
        [axis_rotation("x", 3.0 * torch.rand(40, generator=chance(3), dtype=DOUBLE)) @ headings(40, k) for k in (1, 2)]
    )
    for row, found in enumerate(aligned(shape, mixture.gaussians, "any", before)):
        one = Gaussians(*(value[row : row + 1] for value in mixture.gaussians))
        kept = log_prob(rotated(shape, before[row]), one)
        assert bool((found.log_prob >= kept).all())
        assert bool((found.log_prob > kept + 1.0).any())
        assert_close(found.shape, rotated(shape, found.rotation))
        assert_close(found.log_prob, log_prob(found.shape, one))


def test_free_turns_are_found_whatever_way_a_pose_lies() -> None:
    mixture = known_mixture(1, noise=0.01)
    shape, _ = drawn(mixture, 12, noise=True)
    straight = aligned(shape, mixture.gaussians, "any")[0]
    tumble = axis_rotation("x", torch.linspace(0.3, 3.0, 12, dtype=DOUBLE)) @ headings(12)
    found = aligned(rotated(shape, tumble), mixture.gaussians, "any")[0]
    assert_close(found.log_prob, straight.log_prob, atol=1e-3, rtol=0)
    assert bool((found.log_prob >= log_prob(shape, mixture.gaussians) - 1e-6).all())


def test_a_common_heading_follows_from_two_rows_per_pose() -> None:
    shape = to_shapes(poses(1, seed=8)).shape.expand(30, -1)
    turned = upright_start(rotated(shape, headings(30)))
    assert_close(turned, turned[:1].expand(30, -1), atol=1e-9, rtol=0)


def test_hips_point_along_x() -> None:
    joints = to_joints(faced(rotated(to_shapes(poses(20)).shape, headings(20))))
    across = joints[:, 4] - joints[:, 1]
    assert bool((across[:, 0] > 0).all())
    assert_close(across[:, 1], torch.zeros(20, dtype=DOUBLE), atol=1e-9, rtol=0)


@pytest.mark.parametrize("orientation", ["upright", "any"])
def test_a_known_turn_is_found_from_some_of_the_joints(orientation: str) -> None:
    joints, turn = poses(9), headings(9, 2)
    if orientation == "any":
        turn = axis_rotation("x", torch.linspace(0.0, 3.0, 9, dtype=DOUBLE)) @ turn
    weight = (torch.rand(9, 17, generator=chance(1)) > 0.4).double()
    goal = 2.0 * joints @ turn.mT + 5.0
    assert_close(fit_rotation(joints, goal, weight, orientation), turn)  # pyright: ignore[reportArgumentType]


# --- mixtures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        FitConfig(components=3, basis=6),
        FitConfig(components=3, basis=6, turning="once"),
        FitConfig(components=3, basis=6, turning="hips"),
        FitConfig(components=1, basis=12),
        FitConfig(components=2, basis=47, grow=False, iterations=60),
        FitConfig(components=1, basis=12, orientation="any", iterations=60),
        FitConfig(components=3, basis=10, orientation="any", iterations=40, tolerance=-1.0, grow=False),
        FitConfig(components=2, basis=8, orientation="any", turning="once", iterations=40),
    ],
    ids=lambda config: f"{config.orientation}-{config.components}-{config.basis}-{config.turning}",
)
def test_no_pass_makes_poses_less_likely(config: FitConfig) -> None:
    shape = doubled(poses(300))
    if config.orientation == "any":
        shape = rotated(shape, axis_rotation("x", torch.linspace(0.0, 3.0, 600, dtype=DOUBLE)) @ headings(600))
    found = fit_mixture(shape, config)
    for trace in found.traces.values():
        assert all(after >= before - 1e-9 for before, after in zip(trace, trace[1:], strict=False))
        assert trace[-1] >= trace[0] - 1e-9


def test_a_pass_is_the_same_in_one_chunk_and_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, config = known_mixture(2), FitConfig(components=2, basis=4)
    shape, _ = drawn(mixture, 100, noise=True)
    whole = moments(shape, mixture, config)
    assert len(shape) <= CHUNK
    monkeypatch.setattr("sightline.methods.deeplift.mixture.CHUNK", 7)
    parts = moments(shape, mixture, config)
    for one, other in zip(whole, parts, strict=True):
        assert_close(one, other)


def test_free_turns_are_kept_from_pass_to_pass_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.methods.deeplift.mixture.CHUNK", 16)
    mixture, config = known_mixture(2), FitConfig(components=2, basis=4, orientation="any")
    shape, _ = drawn(mixture, 40, noise=True)
    turns: Turns = []
    once = moments(shape, mixture, config, turns)
    assert [tuple(part.shape) for part in turns] == [(2, 16, 3, 3), (2, 16, 3, 3), (2, 8, 3, 3)]
    assert once.log_likelihood == moments(shape, mixture, config).log_likelihood
    first = turns[0].clone()
    again = moments(shape, mixture, config, turns)
    assert len(turns) == 3
    assert again.log_likelihood >= once.log_likelihood
    assert_close(again.log_likelihood, once.log_likelihood, atol=1e-3, rtol=0)
    assert_close(turns[0], first, atol=0.05, rtol=0)
    upright: Turns = []
    moments(shape, mixture, FitConfig(components=2, basis=4), upright)
    assert upright == []


def test_moments_are_those_of_a_plain_loop() -> None:
    mixture, config = known_mixture(3, noise=0.02), FitConfig(components=3, basis=4)
    shape, _ = drawn(mixture, 30, noise=True)
    found = moments(shape, mixture, config)
    weight, first, total = torch.zeros(3, dtype=DOUBLE), torch.zeros(3, DIMENSIONS, dtype=DOUBLE), 0.0
    for pose in shape:
        turned = aligned(pose[None], mixture.gaussians, "upright")
        joint = torch.stack([one.log_prob[0] for one in turned]).exp() * mixture.shares
        total += math.log(float(joint.sum()))
        for row, one in enumerate(turned):
            weight[row] += joint[row] / joint.sum()
            first[row] += joint[row] / joint.sum() * one.shape[0]
    assert_close(found.weight, weight)
    assert_close(found.first, first)
    assert found.log_likelihood == pytest.approx(total / 30)


def test_a_known_mixture_is_found_again() -> None:
    """Two modes far apart, turned any way: shares, means up to a turn, and variances come back."""
    truth = known_mixture(2, basis=3, noise=0.003)
    shape, component = drawn(truth, 6000, noise=True)
    config = FitConfig(components=2, basis=3, iterations=60)
    found = fit_mixture(rotated(shape, headings(6000)), config).mixture
    order = found.shares.argsort(descending=True)
    share = float((component == 0).double().mean())
    assert found.shares[order].tolist() == pytest.approx([share, 1 - share], abs=0.01)
    for row, at in enumerate(order.tolist()):
        best = aligned(found.gaussians.mean[at : at + 1], truth.gaussians, "upright")[row].shape
        assert_close(best[0], truth.gaussians.mean[row], atol=0.01, rtol=0)
        values = torch.linalg.eigvalsh(found.gaussians.covariance()[at])[-3:].sqrt()
        assert_close(values, torch.linalg.eigvalsh(truth.gaussians.covariance()[row])[-3:].sqrt(), atol=0.006, rtol=0)
    log_likelihood = moments(rotated(shape, headings(6000)), truth, FitConfig(components=2, basis=3)).log_likelihood
    assert (
        moments(shape, found, FitConfig(components=2, basis=3)).log_likelihood > log_likelihood - 0.3
    )  # slow EM ends early


def test_seeds_are_the_greedy_choice() -> None:
    shape = to_shapes(poses(60)).shape
    chosen: list[int] = []
    for _ in range(3):
        costs = [
            sum(
                min(float((shape[p] - shape[s]).square().sum()) for s in [*chosen, candidate])
                for p in range(len(shape))
            )
            for candidate in range(len(shape))
        ]
        chosen.append(int(np.argmin(costs)))
    assert_close(spread_seeds(shape, 3), shape[chosen])


def test_seeds_do_not_crowd_into_one_mode() -> None:
    centres = to_shapes(poses(2, seed=3)).shape
    shape = centres.repeat_interleave(50, 0) + 1e-3 * torch.randn(100, DIMENSIONS, generator=chance(), dtype=DOUBLE)
    assert len(spread_seeds(shape, 5)) == 5
    assert len(spread_seeds(shape, 5, crowding=0.5)) == 2
    found = fit_mixture(shape.repeat(2, 1), FitConfig(components=5, basis=2, turning="hips", crowding=0.5)).mixture
    assert len(found.shares) == len(spread_seeds(faced(shape.repeat(2, 1)), 5, crowding=0.5))


def test_a_component_that_nobody_belongs_to_stays() -> None:
    mixture = known_mixture(2)
    shape, _ = drawn(Mixture(mixture.gaussians, torch.tensor([1.0, 1e-9], dtype=DOUBLE)), 200, noise=True)
    config = FitConfig(components=2, basis=4)
    after = updated(moments(shape, mixture, config), mixture, 4)
    assert_close(after.gaussians.mean[1], mixture.gaussians.mean[1])
    assert all(bool(value.isfinite().all()) for value in after.gaussians)


def test_all_poses_are_looked_at_where_there_are_more_than_the_sample() -> None:
    shape = doubled(poses(300))
    found = fit_mixture(shape, FitConfig(components=2, basis=5, sample=150, iterations=5))
    assert set(found.traces) == {"alignment", "sample", "all"}
    few = fit_mixture(shape, FitConfig(components=2, basis=5, sample=150, iterations=5, last_iterations=2))
    assert len(few.traces["all"]) == 2 < len(few.traces["sample"])


def test_a_growing_basis_is_no_worse_on_poses_that_turn() -> None:
    shape = doubled(poses(400))
    grown, whole = (fit_mixture(shape, FitConfig(components=1, basis=12, grow=grow)) for grow in (True, False))
    assert grown.traces["alignment"][-1] > whole.traces["alignment"][-1] - 0.5


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (torch.zeros(10, 47), "expected \\(poses, 48\\)"),
        (torch.zeros(48, 48), "more than 48 poses"),
        (torch.full((100, 48), torch.nan), "finite poses"),
    ],
)
def test_poses_that_nothing_can_be_fitted_to(shape: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(fit_mixture, "__wrapped__", fit_mixture)(shape, FitConfig())


@pytest.mark.parametrize(
    "changes",
    [
        {"components": 0},
        {"basis": 48},
        {"basis": 0},
        {"orientation": "any", "turning": "hips"},
        {"sample": 0},
        {"last_iterations": 0},
    ],
)
def test_configurations_that_mean_nothing(changes: dict) -> None:
    with pytest.raises(ValueError, match="expected|hips"):
        FitConfig(**changes)


def test_the_size_is_chosen_by_people_whom_the_fit_has_not_seen() -> None:
    choices = choose_size(poses(300), poses(80, seed=9), FitConfig(iterations=6), components=(1, 2), bases=(3, 10))
    assert [choice.held_out for choice in choices] == sorted((choice.held_out for choice in choices), reverse=True)
    assert {(choice.components, choice.basis) for choice in choices} == {(1, 3), (1, 10), (2, 3), (2, 10)}
    best = choices[0]
    config = FitConfig(components=best.components, basis=best.basis, iterations=6)
    again = fit_mixture(doubled(poses(300)), config).mixture
    assert best.held_out == pytest.approx(moments(doubled(poses(80, seed=9)), again, config).log_likelihood, abs=1e-6)


def test_mirror_images_follow_the_poses_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    joints = poses(20)
    shape = to_shapes(joints).shape
    for chunk in (7, 1000):
        monkeypatch.setattr("sightline.methods.deeplift.fit.CHUNK", chunk)
        assert_close(doubled(joints), torch.cat([shape, mirrored(shape)]))
        assert doubled(joints.float()).dtype == torch.float32


def test_plausibility_is_told_among_bodies_that_vary_as_those_of_the_fit() -> None:
    """Bodies of one make are all plausible among themselves, drawn ones less than they should be among those."""
    people = PeopleConfig(size_std=0.1, bone_std=0.1)
    generator = chance(4)
    joints, others, more = (sample_bodies(poses(400, seed), generator, people) for seed in (0, 1, 2))
    config = FitConfig(components=1, basis=20, iterations=30)
    alike, _ = fit_prior(joints, others, config)
    narrow, _ = fit_prior(joints, poses(400, seed=1), config)
    assert float(alike.plausibility(more).mean()) == pytest.approx(0.5, abs=0.06)
    assert float(narrow.plausibility(more).mean()) < 0.35


def test_a_prior_knows_its_people() -> None:
    joints = poses(400)
    prior, found = fit_prior(joints, poses(100, seed=9), FitConfig(components=2, basis=8, iterations=8))
    assert prior.size_m == pytest.approx(float(limb_size(joints).mean()))
    assert len(found.mixture.shares) == prior.components
    told = prior.plausibility(poses(100, seed=9))
    assert float(told.mean()) == pytest.approx(0.5, abs=0.05)
    elsewhere = 1.3 * joints[:20] @ headings(20).mT + 4.0
    assert_close(prior.log_prob(elsewhere), prior.log_prob(joints[:20]), atol=1e-6, rtol=0)


def test_a_prior_of_any_orientation_learns_which_way_people_stand() -> None:
    prior, _ = fit_prior(
        poses(300), poses(60, seed=9), FitConfig(components=1, basis=6, orientation="any", iterations=4)
    )
    assert int(prior.tilt.argmax()) <= 1
    cosine = torch.linspace(1.0, -1.0, 20_001, dtype=DOUBLE)
    total = float(prior.tilt_log_prob(cosine).exp().mean()) * 4 * math.pi
    assert total == pytest.approx(1.0, abs=0.01)


def test_em_ends_where_a_pass_gains_little() -> None:
    mixture = known_mixture(2)
    shape, _ = drawn(mixture, 400, noise=True)
    _, trace = em(shape, mixture, FitConfig(components=2, basis=4, iterations=50, tolerance=0.5))
    assert len(trace) < 10
