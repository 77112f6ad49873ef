"""Laws of Procrustes alignment."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from sightline.geometry.alignment import Similarity, align, procrustes

DOUBLE = torch.float64


def random_pair(*batch: int, joints: int = 17, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.randn(*batch, joints, 3, dtype=DOUBLE)
    target = known(*batch).apply(source)
    return source, target + noise * torch.randn_like(target)


def known(*batch: int) -> Similarity:
    return Similarity(
        scale=0.5 + 2 * torch.rand(*batch, dtype=DOUBLE),
        rotation=roma.random_rotmat(batch, dtype=DOUBLE),
        translation=torch.randn(*batch, 3, dtype=DOUBLE),
    )


def residual(fit: Similarity, source: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (weights * (fit.apply(source) - target).square().sum(-1)).sum(-1)


def umeyama(source: np.ndarray, target: np.ndarray, weights: np.ndarray, scale: bool):
    """Slow twin: Umeyama's equations 38–42 for one pair of point sets, term by term."""
    total = weights.sum()
    mean_s, mean_t = (weights @ source) / total, (weights @ target) / total
    variance, covariance = 0.0, np.zeros((3, 3))
    for weight, s, t in zip(weights, source, target, strict=True):
        variance += weight * np.dot(s - mean_s, s - mean_s) / total
        covariance += weight * np.outer(t - mean_t, s - mean_s) / total
    u, d, vt = np.linalg.svd(covariance)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ sign @ vt
    factor = np.trace(np.diag(d) @ sign) / variance if scale else 1.0
    return factor, rotation, mean_t - factor * rotation @ mean_s


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_recovers_a_known_similarity() -> None:
    truth = known(50)
    source = torch.randn(50, 17, 3, dtype=DOUBLE)
    fit = procrustes(source, truth.apply(source))
    assert_close(fit.scale, truth.scale, rtol=1e-12, atol=1e-12)
    assert_close(fit.rotation, truth.rotation, rtol=1e-12, atol=1e-12)
    assert_close(fit.translation, truth.translation, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("mirrored", [True, False])
def test_agrees_with_the_slow_twin(scale: bool, mirrored: bool) -> None:
    source, target = random_pair(20, noise=0.5)
    if mirrored:
        target = target * torch.tensor([-1.0, 1.0, 1.0], dtype=DOUBLE)
    weights = torch.rand(20, 17, dtype=DOUBLE)
    fit = procrustes(source, target, weights, scale=scale)
    for i in range(20):
        factor, rotation, translation = umeyama(source[i].numpy(), target[i].numpy(), weights[i].numpy(), scale)
        assert_close(fit.scale[i], torch.tensor(factor, dtype=DOUBLE), rtol=1e-10, atol=1e-10)
        assert_close(fit.rotation[i], torch.from_numpy(rotation), rtol=1e-9, atol=1e-9)
        assert_close(fit.translation[i], torch.from_numpy(translation), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [True, False])
def test_no_other_transform_is_better(scale: bool) -> None:
    source, target = random_pair(30, noise=0.5)
    weights = torch.rand(30, 17, dtype=DOUBLE)
    fit = procrustes(source, target, weights, scale=scale)
    best = residual(fit, source, target, weights)
    for _ in range(20):
        nudged = Similarity(
            scale=fit.scale * (1 + 0.02 * torch.randn(30, dtype=DOUBLE)) if scale else fit.scale,
            rotation=roma.rotvec_to_rotmat(0.02 * torch.randn(30, 3, dtype=DOUBLE)) @ fit.rotation,
            translation=fit.translation + 0.02 * torch.randn(30, 3, dtype=DOUBLE),
        )
        assert (residual(nudged, source, target, weights) > best).all()


def test_a_mirrored_pose_is_not_forgiven() -> None:
    source = torch.randn(40, 17, 3, dtype=DOUBLE)
    mirrored = source * torch.tensor([-1.0, 1.0, 1.0], dtype=DOUBLE)
    fit = procrustes(source, mirrored)
    assert_close(torch.linalg.det(fit.rotation), torch.ones(40, dtype=DOUBLE))
    assert (residual(fit, source, mirrored, torch.ones(40, 17, dtype=DOUBLE)) > 1e-2).all()


def test_the_fit_moves_with_both_frames() -> None:
    source, target = random_pair(10)
    before, after = known(10), known(10)
    assert_close(align(before.apply(source), target), align(source, target))
    assert_close(align(source, after.apply(target)), after.apply(align(source, target)))


def test_a_weight_of_two_is_the_joint_twice() -> None:
    source, target = random_pair(5, joints=6)
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0, 1.0], dtype=DOUBLE)
    twice = [0, 1, 1, 2, 3, 3, 3, 4, 5]
    fit, repeated = procrustes(source, target, weights), procrustes(source[:, twice], target[:, twice])
    assert_close(fit.apply(source), repeated.apply(source))


def test_a_joint_without_weight_may_be_nan_and_does_not_count() -> None:
    source, target = random_pair(4, joints=6)
    weights = torch.ones(4, 6, dtype=DOUBLE)
    weights[:, 2] = 0
    broken = source.clone()
    broken[:, 2] = torch.nan
    others = [0, 1, 3, 4, 5]
    fitted = align(broken, target, weights)
    assert_close(fitted[:, others], align(source[:, others], target[:, others]))
    assert fitted[:, 2].isnan().all()


def test_batch_equals_loop_and_shapes_broadcast() -> None:
    source, target = random_pair(2, 3)
    looped = [[align(source[i, j], target[i, j]) for j in range(3)] for i in range(2)]
    assert_close(align(source, target), torch.stack([torch.stack(row) for row in looped]))
    weights = torch.rand(17, dtype=DOUBLE)
    one = align(source[0, 0], target, weights)
    assert one.shape == (2, 3, 17, 3)
    assert_close(one[1, 2], align(source[0, 0], target[1, 2], weights))


def test_an_empty_batch_is_fine() -> None:
    assert align(torch.zeros(0, 17, 3), torch.zeros(0, 17, 3)).shape == (0, 17, 3)


def test_float32_keeps_its_digits_far_from_the_origin() -> None:
    source, target = random_pair(20, noise=0.0)
    target = target + 5
    assert_close(align(source.float(), target.float()), target.float(), atol=1e-5, rtol=1e-5)


DEGENERATE = {
    "one spot": lambda p: torch.full_like(p, 0.1),
    "line": lambda p: p * torch.tensor([1.0, 0.0, 0.0], dtype=DOUBLE),
    "tilted line": lambda p: p[..., :1] * torch.tensor([0.3, -0.2, 0.7], dtype=DOUBLE) + 0.1,
    "plane": lambda p: p * torch.tensor([1.0, 1.0, 0.0], dtype=DOUBLE),
    "zero": torch.zeros_like,
}


@pytest.mark.parametrize("source_kind", DEGENERATE)
@pytest.mark.parametrize("target_kind", DEGENERATE)
def test_degenerate_sets_give_rotations_and_finite_gradients(source_kind: str, target_kind: str) -> None:
    source = DEGENERATE[source_kind](torch.randn(3, 8, 3, dtype=DOUBLE)).requires_grad_()
    target = DEGENERATE[target_kind](torch.randn(3, 8, 3, dtype=DOUBLE)).requires_grad_()
    fit = procrustes(source, target)
    assert_close(fit.rotation @ fit.rotation.mT, torch.eye(3, dtype=DOUBLE).expand(3, 3, 3))
    assert_close(torch.linalg.det(fit.rotation), torch.ones(3, dtype=DOUBLE))
    fit.apply(source).square().sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (source, target))
    if source_kind in ("one spot", "zero"):
        assert_close(fit.scale, torch.ones(3, dtype=DOUBLE))
        assert_close(fit.rotation, torch.eye(3, dtype=DOUBLE).expand(3, 3, 3))


def test_a_plane_and_a_line_are_still_laid_on_each_other() -> None:
    truth = known(9)
    for kind in ("line", "tilted line", "plane"):
        source = DEGENERATE[kind](torch.randn(9, 8, 3, dtype=DOUBLE))
        assert_close(align(source, truth.apply(source)), truth.apply(source), rtol=1e-10, atol=1e-10)


def nan_in_source(source: torch.Tensor, weights: torch.Tensor) -> None:
    source[1, 2] = torch.nan


def no_weight(source: torch.Tensor, weights: torch.Tensor) -> None:
    weights[1] = 0


def negative_weight(source: torch.Tensor, weights: torch.Tensor) -> None:
    weights[1, 3] = -1


def nan_weight(source: torch.Tensor, weights: torch.Tensor) -> None:
    weights[1, 3] = torch.nan


@pytest.mark.parametrize("spoil", [nan_in_source, no_weight, negative_weight, nan_weight])
def test_what_cannot_be_fitted_is_nan_and_spoils_no_neighbour(spoil) -> None:
    source, target = random_pair(3)
    weights = torch.ones(3, 17, dtype=DOUBLE)
    good = procrustes(source, target, weights)
    spoil(source, weights)
    source.requires_grad_(), weights.requires_grad_()
    fit = procrustes(source, target, weights)
    for field in ("scale", "rotation", "translation"):
        bad, expected = getattr(fit, field), getattr(good, field)
        assert bad[1].isnan().all()
        assert_close(bad[[0, 2]], expected[[0, 2]])
    (fit.scale[[0, 2]].sum() + fit.rotation.nansum() + fit.translation.nansum()).backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (source, weights))


@pytest.mark.parametrize("scale", [True, False])
def test_gradients(scale: bool) -> None:
    source, target = random_pair(2, joints=5, noise=0.3)
    weights = 0.1 + torch.rand(2, 5, dtype=DOUBLE)
    inputs = [x.requires_grad_() for x in (source, target, weights)]
    assert gradcheck(lambda s, t, w: align(s, t, w, scale=scale), inputs, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "target", "weights", "message"),
    [
        ((17, 2), (17, 2), None, "source: expected"),
        ((17, 3), (17, 2), None, "target: expected"),
        ((17, 3), (16, 3), None, "the same number of joints"),
        ((0, 3), (0, 3), None, "source: expected"),
        ((17, 3), (17, 3), (16,), "weights: expected"),
    ],
)
def test_wrong_shapes_are_refused(source, target, weights, message) -> None:
    # The shape checker of the tests stands before the door, so the door is tried without it.
    call = getattr(procrustes, "__wrapped__", procrustes)
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(source), torch.zeros(target), None if weights is None else torch.ones(weights))
