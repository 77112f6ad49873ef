"""The error model of AbsPoseLifter's section 4.2: its density, its fit (Algorithm 1) and its sampling."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sightline.data.procedural import procedural_poses
from sightline.data.simulated_detector import SimulatedDetector, detect
from sightline.methods.abspose.noise import (
    ErrorModel,
    crop_scale,
    errors_in_crop,
    fit_gaussian,
    fit_mixture,
    log_likelihood,
    sample,
)
from sightline.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
FLIP = list(H36M.flip)
PAIRED = np.array([other != joint for joint, other in enumerate(H36M.flip)])


def random_model(seed: int = 0, swap: float = 0.0) -> ErrorModel:
    rng = np.random.default_rng(seed)
    return ErrorModel(
        kind="mixture",
        skeleton="h36m17",
        mean_px=rng.uniform(-2, 2, (17, 2)),
        sigma_px=rng.uniform(1.5, 4, (17, 2)),
        inlier=rng.uniform(0.8, 0.97, 17),
        swap=np.where(PAIRED, swap, 0.0),
    )


def drawn_errors(model: ErrorModel, count: int, seed: int = 1) -> np.ndarray:
    """Errors drawn from equation 8 by NumPy alone."""
    rng = np.random.default_rng(seed)
    gaussian = rng.normal(model.mean_px, model.sigma_px, (count, 17, 2))
    box = rng.uniform(-50, 50, (count, 17, 2))
    return np.where(rng.random((count, 17, 1)) < model.inlier[:, None], gaussian, box)


def poses_px(count: int, seed: int = 2) -> torch.Tensor:
    """True 2D poses (count, 17, 2) in double precision, of people of different sizes."""
    generator = torch.Generator().manual_seed(seed)
    joints = procedural_poses(count, generator).double()
    size = 100 + 300 * torch.rand(count, 1, 1, generator=generator, dtype=torch.float64)
    return torch.stack([joints[..., 0], -joints[..., 2]], -1) * size + 700


def slow_fit(errors: np.ndarray, mean, sigma, gamma: float, iterations: int):
    """Algorithm 1 for one joint, line by line, with line 7 corrected."""
    (mx, my), (sx, sy) = mean, sigma
    for _ in range(iterations):
        eta0, eta1 = [], []
        for ex, ey in errors:
            p0 = 1 / 10000
            p1 = math.exp(-0.5 * (((ex - mx) / sx) ** 2 + ((ey - my) / sy) ** 2)) / (2 * math.pi * sx * sy)
            if abs(ex) > 50 or abs(ey) > 50:
                p1 = 0.0
            eta0.append((1 - gamma) * p0 / ((1 - gamma) * p0 + gamma * p1))
            eta1.append(gamma * p1 / ((1 - gamma) * p0 + gamma * p1))
        total = sum(eta1)
        mx = sum(w * ex for w, (ex, _) in zip(eta1, errors, strict=True)) / total
        my = sum(w * ey for w, (_, ey) in zip(eta1, errors, strict=True)) / total
        sx = math.sqrt(sum(w * (ex - mx) ** 2 for w, (ex, _) in zip(eta1, errors, strict=True)) / total)
        sy = math.sqrt(sum(w * (ey - my) ** 2 for w, (_, ey) in zip(eta1, errors, strict=True)) / total)
        gamma = total / (sum(eta0) + total)
    return (mx, my), (sx, sy), gamma


# --- density ----------------------------------------------------------------------------------------------------------


def test_density_integrates_to_one_and_is_equation_8():
    model = random_model()
    grid = np.arange(-49.875, 50, 0.25)
    x, y = np.meshgrid(grid, grid)
    errors = np.repeat(np.stack([x, y], -1).reshape(-1, 1, 2), 17, axis=1)
    density = np.exp(log_likelihood(model, errors))
    np.testing.assert_allclose(density.sum(0) * 0.25**2, 1, atol=1e-6)
    e, j = errors[12345, 3], 3
    quadratic = (((e - model.mean_px[j]) / model.sigma_px[j]) ** 2).sum()
    gaussian = math.exp(-0.5 * quadratic) / (2 * math.pi * model.sigma_px[j].prod())
    assert density[12345, j] == pytest.approx(model.inlier[j] * gaussian + (1 - model.inlier[j]) / 10000)


def test_beyond_the_box_the_outlier_density_stays():
    model = random_model()
    errors = np.full((1, 17, 2), 0.0)
    errors[..., 1] = 50.001
    np.testing.assert_allclose(log_likelihood(model, errors)[0], np.log((1 - model.inlier) / 10000))


# --- fitting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["robust", "gaussian"])
def test_em_recovers_the_parameters(init):
    truth = random_model()
    model, trace = fit_mixture(drawn_errors(truth, 20000), init=init, tolerance=1e-7)
    np.testing.assert_allclose(model.mean_px, truth.mean_px, atol=0.12)
    np.testing.assert_allclose(model.sigma_px, truth.sigma_px, rtol=0.03)
    np.testing.assert_allclose(model.inlier, truth.inlier, atol=0.01)
    assert trace.converged.all()
    assert (trace.samples == 20000).all()


@pytest.mark.parametrize("init", ["robust", "gaussian"])
@pytest.mark.parametrize("heavy", [False, True])
def test_likelihood_never_decreases(init, heavy):
    rng = np.random.default_rng(3)
    errors = rng.standard_t(2, (2000, 17, 2)) * 6 if heavy else drawn_errors(random_model(), 2000)
    model, trace = fit_mixture(errors, init=init, tolerance=0, max_iterations=60)
    assert (np.diff(trace.log_likelihood, axis=0) >= -1e-12).all()
    assert (trace.log_likelihood[-1] > trace.log_likelihood[0]).all()
    np.testing.assert_allclose(trace.log_likelihood[-1], log_likelihood(model, errors).mean(0), rtol=1e-12)


def test_em_equals_algorithm_1_in_a_plain_loop():
    errors = drawn_errors(random_model(), 300)
    errors[5] = 80.0
    inside = np.where((np.abs(errors) > 50).any(-1, keepdims=True), np.nan, errors)
    model, trace = fit_mixture(errors, init="gaussian", gamma0=0.85, tolerance=0, max_iterations=4)
    assert (trace.iterations == 4).all()
    for j in (0, 7, 16):
        start = np.nanmean(inside[:, j], axis=0), np.nanstd(inside[:, j], axis=0)
        mean, sigma, gamma = slow_fit(errors[:, j], *start, 0.85, 4)
        np.testing.assert_allclose(model.mean_px[j], mean, rtol=1e-9)
        np.testing.assert_allclose(model.sigma_px[j], sigma, rtol=1e-9)
        assert model.inlier[j] == pytest.approx(gamma, rel=1e-9)


def test_all_joints_at_once_equals_joint_by_joint():
    errors = drawn_errors(random_model(), 1000)
    together, trace = fit_mixture(errors, tolerance=1e-6)
    assert len(set(trace.iterations.tolist())) > 1  # some joints wait for others
    for j in range(17):
        alone, one = fit_mixture(np.repeat(errors[:, j : j + 1], 17, axis=1), tolerance=1e-6)
        np.testing.assert_allclose(alone.sigma_px[0], together.sigma_px[j], rtol=1e-12)
        assert alone.inlier[0] == pytest.approx(together.inlier[j], rel=1e-12)
        assert one.iterations[0] == trace.iterations[j]


def test_few_iterations_suffice_as_in_the_paper():
    _, trace = fit_mixture(drawn_errors(random_model(), 5000))
    assert trace.iterations.max() <= 4


def test_a_single_gaussian_is_wider_than_the_mixture_and_explains_less():
    true_px = poses_px(4000)
    errors = errors_in_crop(detect(SimulatedDetector(), true_px, torch.Generator().manual_seed(0)), true_px)
    mixture, _ = fit_mixture(errors)
    gaussian = fit_gaussian(errors)
    assert (gaussian.sigma_px > 1.2 * mixture.sigma_px).all()
    assert (log_likelihood(mixture, errors).mean(0) > log_likelihood(gaussian, errors).mean(0)).all()


def test_gaussian_fit_is_mean_and_deviation():
    errors = np.random.default_rng(0).normal(1.0, 3.0, (500, 17, 2))
    model = fit_gaussian(errors)
    np.testing.assert_allclose(model.mean_px, errors.mean(0))
    np.testing.assert_allclose(model.sigma_px, errors.std(0))


def test_gross_errors_cost_inliers_but_leave_sigma_alone():
    errors = drawn_errors(random_model(), 5000)
    plain, _ = fit_mixture(errors, tolerance=1e-8)
    gross = np.concatenate([errors, np.full((500, 17, 2), 400.0)])
    model, trace = fit_mixture(gross, tolerance=1e-8)
    np.testing.assert_allclose(model.sigma_px, plain.sigma_px, rtol=2e-2)
    np.testing.assert_allclose(model.inlier, plain.inlier * 10 / 11, rtol=2e-2)
    assert (trace.outside == 500).all()


def test_missing_joints_are_left_out():
    errors = drawn_errors(random_model(), 900)
    errors[300:600, 4, 0] = np.nan  # one missing coordinate is a missing joint
    with_gaps, trace = fit_mixture(errors)
    without, _ = fit_mixture(np.delete(errors, slice(300, 600), axis=0))
    assert trace.samples[4] == 600
    assert trace.samples[5] == 900
    np.testing.assert_allclose(with_gaps.sigma_px[4], without.sigma_px[4], rtol=1e-12)
    assert with_gaps.inlier[4] == pytest.approx(without.inlier[4], rel=1e-12)
    assert np.isnan(log_likelihood(with_gaps, errors)[300, 4])


@pytest.mark.parametrize("fit", [fit_mixture, fit_gaussian])
def test_too_few_samples_name_the_joint(fit):
    errors = drawn_errors(random_model(), 200)
    errors[20:, 13] = np.nan
    errors[10:, 16] = 200.0
    with pytest.raises(ValueError, match=r"at least 50 samples within ±50 crop px .* LWrist \(20\), RWrist \(10\)"):
        fit(errors)


def test_errors_that_are_all_alike_still_give_a_model():
    model, _ = fit_mixture(np.ones((60, 17, 2)))
    np.testing.assert_allclose(model.mean_px, 1)
    assert (model.sigma_px > 0).all()
    assert (model.inlier > 0.999).all()


@pytest.mark.parametrize(
    "options", [{"gamma0": 1.0}, {"gamma0": 0.0}, {"max_iterations": 0}, {"tolerance": -1.0}, {"tolerance": math.nan}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="gamma0"):
        fit_mixture(drawn_errors(random_model(), 100), **options)


def test_bad_errors_are_refused():
    errors = drawn_errors(random_model(), 100)
    with pytest.raises(ValueError, match="h36m17"):
        fit_mixture(errors[:, :16])
    errors[0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="infinite"):
        fit_mixture(errors)


# --- errors in the crop -----------------------------------------------------------------------------------------------


def test_crop_scale_is_the_enlarged_box_over_256():
    points = torch.zeros(1, 17, 2)
    points[0, 3] = torch.tensor([100.0, 400.0])
    points[0, 5] = math.nan
    assert crop_scale(points).item() == pytest.approx(400 * 1.25 / 256)
    assert crop_scale(points, crop_px=128).item() == pytest.approx(400 * 1.25 / 128)


def test_a_person_without_two_distinct_joints_has_no_scale():
    points = torch.full((2, 17, 2), math.nan)
    points[1, 3] = 5.0
    assert torch.isnan(crop_scale(points)).all()
    drawn = sample(random_model(), points, torch.Generator().manual_seed(0))
    assert torch.isnan(drawn).all()


def test_errors_are_relative_to_the_person():
    true_px = poses_px(8)
    found_px = true_px + 3.0
    errors = errors_in_crop(found_px, true_px)
    torch.testing.assert_close(errors, 3.0 / crop_scale(true_px)[:, None, None].expand_as(errors))
    torch.testing.assert_close(errors_in_crop(7 * found_px + 5, 7 * true_px + 5), errors)
    np.testing.assert_array_equal(errors_in_crop(found_px.numpy(), true_px.numpy()), errors.numpy())
    with pytest.raises(ValueError, match="detected_px"):
        errors_in_crop(found_px[:4], true_px)


# --- sampling ---------------------------------------------------------------------------------------------------------


def test_sampling_then_fitting_returns_the_model():
    truth = random_model()
    true_px = poses_px(20000)
    model, _ = fit_mixture(errors_in_crop(sample(truth, true_px, torch.Generator().manual_seed(0)), true_px))
    np.testing.assert_allclose(model.mean_px, truth.mean_px, atol=0.12)
    np.testing.assert_allclose(model.sigma_px, truth.sigma_px, rtol=0.03)
    np.testing.assert_allclose(model.inlier, truth.inlier, atol=0.01)


def test_gaussian_models_have_no_outliers():
    gaussian = fit_gaussian(np.random.default_rng(0).normal(0, 1, (500, 17, 2)))
    true_px = poses_px(2000)
    errors = errors_in_crop(sample(gaussian, true_px, torch.Generator().manual_seed(0)), true_px)
    assert errors.abs().max() < 8
    np.testing.assert_allclose(errors.std(0), gaussian.sigma_px, rtol=0.08)


def test_outliers_fill_the_box_evenly():
    model = replace(random_model(), inlier=np.zeros(17))
    true_px = poses_px(20000)
    errors = errors_in_crop(sample(model, true_px, torch.Generator().manual_seed(0)), true_px)
    assert errors.abs().max() <= 50
    np.testing.assert_allclose(errors.mean((0, 1)), 0, atol=0.3)
    np.testing.assert_allclose(errors.std((0, 1)), 100 / math.sqrt(12), rtol=0.01)


def test_sampling_moves_and_scales_with_the_person():
    model, true_px = random_model(swap=0.2), poses_px(50)
    drawn = sample(model, true_px, torch.Generator().manual_seed(3))
    moved = sample(model, 2.5 * true_px + 40, torch.Generator().manual_seed(3))
    torch.testing.assert_close(moved, 2.5 * drawn + 40)


def test_equal_states_draw_equal_samples():
    model, true_px = random_model(swap=0.1), poses_px(20).float()
    first, again, other = (sample(model, true_px, torch.Generator().manual_seed(seed)) for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.float32


def test_sampling_takes_any_batch_shape():
    model, true_px = random_model(swap=0.1), poses_px(12)
    flat = sample(model, true_px, torch.Generator().manual_seed(1))
    shaped = sample(model, true_px.unflatten(0, (3, 4)), torch.Generator().manual_seed(1))
    torch.testing.assert_close(shaped.flatten(0, 1), flat)
    assert sample(model, true_px[0], torch.Generator().manual_seed(1)).shape == (17, 2)
    assert sample(model, true_px[:0], torch.Generator()).shape == (0, 17, 2)
    with pytest.raises(ValueError, match="h36m17"):
        sample(model, true_px[:, :16], torch.Generator())


def test_swaps_happen_at_the_stated_rate_and_exchange_the_pair():
    swap = np.zeros(17)
    swap[[3, 6]], swap[[13, 16]] = 0.1, 0.3
    base = random_model()
    exact = replace(base, mean_px=0 * base.mean_px, sigma_px=np.full((17, 2), 1e-6), inlier=np.ones(17), swap=swap)
    true_px = poses_px(20000)
    drawn = sample(exact, true_px, torch.Generator().manual_seed(0))
    scale = crop_scale(true_px)[:, None, None]
    stays = ((drawn - true_px) / scale).abs().amax(-1) < 1e-3
    crossed = ((drawn - true_px[:, FLIP]) / scale).abs().amax(-1) < 1e-3
    assert (stays | crossed).all()
    np.testing.assert_allclose((~stays).double().mean(0), swap, atol=0.012)
    assert torch.equal(stays, stays[:, FLIP])


def test_missing_joints_stay_missing_and_no_others_go():
    true_px = poses_px(500)
    missing = torch.rand(500, 17, generator=torch.Generator().manual_seed(0)) < 0.3
    true_px[missing] = math.nan
    drawn = sample(random_model(swap=0.5), true_px, torch.Generator().manual_seed(0))
    assert torch.equal(torch.isnan(drawn).any(-1), missing)
