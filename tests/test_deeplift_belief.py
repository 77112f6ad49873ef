"""Belief maps and landmarks: there and back, gradients against finite differences and against their own definitions."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from sightline.methods.deeplift.belief import (
    SIGMA_PX,
    GaussianGradient,
    beliefs_from_landmarks,
    landmarks_from_beliefs,
    soft_argmax,
)

SIZE = (23, 17)


def places(count: int, margin: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Landmarks (count, 2) anywhere in a map of SIZE, so far from its borders."""
    room = torch.tensor(SIZE, dtype=dtype) - 2 * margin
    return margin + room * torch.rand(count, 2, dtype=dtype)


def test_a_landmark_drawn_is_found_to_half_a_pixel() -> None:
    xy = places(200, 0.0)
    found = landmarks_from_beliefs(beliefs_from_landmarks(xy, SIZE, 1.3), 1.3)
    assert (found.xy - xy).abs().max() <= 0.5
    assert bool(((found.xy - 0.5) == (found.xy - 0.5).round()).all())
    assert bool((found.confidence > math.exp(-0.25 / 1.3**2) - 1e-9).all())


def test_pixels_are_counted_from_the_corner() -> None:
    beliefs = torch.zeros(2, 3, 5)
    beliefs[0, 0, 0] = 1.0
    beliefs[1, 2, 4] = 0.25
    found = landmarks_from_beliefs(beliefs)
    assert found.xy.tolist() == [[0.5, 0.5], [4.5, 2.5]]
    assert found.confidence.tolist() == [1.0, 0.25]
    drawn = beliefs_from_landmarks(found.xy, (5, 3), 0.8)
    assert drawn.shape == (2, 3, 5)
    assert drawn[0, 0, 0] == 1.0
    assert drawn[1, 2, 4] == 1.0


def test_the_first_of_equals_is_the_best() -> None:
    assert landmarks_from_beliefs(torch.ones(1, 4, 6)).xy.tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(("sigma", "error"), [(SIGMA_PX, 0.2), (1.5, 0.05), (2.0, 0.05), (3.0, 0.05)])
def test_soft_argmax_finds_landmarks_between_pixels(sigma: float, error: float) -> None:
    xy = 25 * torch.rand(300, 2, dtype=torch.float64) + 11
    drawn = beliefs_from_landmarks(xy, (46, 46), sigma)
    found = soft_argmax(drawn, window=math.ceil(3 * sigma))
    assert (found.xy - xy).abs().max() < error
    assert torch.equal(found.confidence, drawn.flatten(-2).amax(-1))


def test_soft_argmax_becomes_the_best_pixel() -> None:
    xy = places(50, 1.0).floor() + 0.5 + 0.8 * (torch.rand(50, 2).double() - 0.5)  # no two pixels are equally good
    drawn = beliefs_from_landmarks(xy, SIZE, 2.0)
    torch.testing.assert_close(soft_argmax(drawn, 1e-4).xy, landmarks_from_beliefs(drawn).xy, atol=1e-3, rtol=0)


def test_a_window_keeps_the_rest_of_the_map_out() -> None:
    beliefs = beliefs_from_landmarks(torch.tensor([[8.5, 6.5]]), SIZE, 2.0)
    beliefs[0, 14, 20] = 0.95
    assert (soft_argmax(beliefs, window=5).xy - torch.tensor([8.5, 6.5])).abs().max() < 0.02
    assert (soft_argmax(beliefs).xy - torch.tensor([8.5, 6.5])).abs().max() > 0.1


def test_a_gaussian_is_exact_between_pixels_and_fades_outside() -> None:
    xy = torch.tensor([[7.3, 4.9], [-1.0, 2.0], [400.0, 3.0], [1e30, -1e30]], dtype=torch.float64)
    drawn = beliefs_from_landmarks(xy, SIZE, 1.7)
    for landmark, (row, column) in itertools.product(range(4), ((0, 0), (4, 7), (5, 0), (16, 22))):
        far = (column + 0.5 - float(xy[landmark, 0])) ** 2 + (row + 0.5 - float(xy[landmark, 1])) ** 2
        assert float(drawn[landmark, row, column]) == pytest.approx(math.exp(-far / (2 * 1.7**2)), abs=1e-15)
    assert 0.1 < float(drawn[1].max()) < 1.0
    assert float(drawn[2:].max()) == 0.0


def test_a_landmark_that_is_not_there_gives_an_empty_map() -> None:
    xy = torch.tensor([[torch.nan, 3.0], [4.0, torch.inf], [5.0, 6.0]], requires_grad=True)
    for gradient in ("analytic", "difference"):
        drawn = beliefs_from_landmarks(xy, SIZE, 1.0, gradient)
        assert not bool(drawn[:2].any())
        (slope,) = torch.autograd.grad((drawn * torch.rand_like(drawn)).sum(), xy)
        assert float(slope[:2].abs().max()) == 0.0
        assert bool(slope[2].ne(0).all())


@pytest.mark.parametrize("gradient", ["analytic", "difference"])
def test_a_landmark_at_the_end_of_all_numbers_has_no_gradient(gradient: GaussianGradient) -> None:
    xy = torch.tensor([[3e38, -3e38]], requires_grad=True)
    (slope,) = torch.autograd.grad(beliefs_from_landmarks(xy, SIZE, 0.5, gradient).sum(), xy)
    assert slope.tolist() == [[0.0, 0.0]]


def test_a_map_without_a_finite_peak_has_no_landmark() -> None:
    beliefs = torch.rand(3, 5, 6)
    beliefs[0, 2, 2] = torch.nan
    beliefs[1, 2, 2] = torch.inf
    beliefs.requires_grad_()
    for found in (landmarks_from_beliefs(beliefs), soft_argmax(beliefs), soft_argmax(beliefs, window=1)):
        assert found.xy.isfinite().all(-1).tolist() == [False, False, True]
        (slope,) = torch.autograd.grad(found.xy.square().sum(), beliefs)
        assert float(slope[:2].abs().max()) == 0.0
        assert bool(slope[2].isfinite().all())


def test_any_batch_and_none() -> None:
    xy = places(12, 2.0).unflatten(0, (2, 3, 2))
    drawn = beliefs_from_landmarks(xy, SIZE, 1.5)
    assert drawn.shape == (2, 3, 2, 17, 23)
    for locate in (landmarks_from_beliefs, soft_argmax):
        assert torch.equal(locate(drawn).xy[1, 2], locate(drawn[1, 2]).xy)
        assert locate(drawn[:0]).xy.shape == (0, 3, 2, 2)
    assert beliefs_from_landmarks(xy[:0], SIZE).shape == (0, 3, 2, 17, 23)


def test_half_precision_keeps_its_type_and_its_pixels() -> None:
    beliefs = torch.zeros(1, 1, 3000, dtype=torch.bfloat16)
    beliefs[0, 0, 2049] = 1.0
    assert float(landmarks_from_beliefs(beliefs).xy[0, 0]) == 2049.5
    assert float(soft_argmax(beliefs, 0.01, 2).xy[0, 0]) == pytest.approx(2049.5)
    assert beliefs_from_landmarks(torch.ones(1, 2, dtype=torch.bfloat16), (4, 4)).dtype == torch.bfloat16


def test_the_analytic_gradient_is_that_of_the_map() -> None:
    xy = torch.tensor([[5.2, 7.7], [-0.6, 3.1], [12.5, 8.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda at: beliefs_from_landmarks(at, (13, 11), 1.4), (xy,))


@pytest.mark.parametrize("window", [None, 3])
def test_the_soft_argmax_gradient_is_exact(window: int | None) -> None:
    beliefs = torch.rand(2, 7, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda maps: soft_argmax(maps, 0.3, window), (beliefs,))


def test_the_difference_gradient_is_what_it_says() -> None:
    xy = places(6, 0.0).requires_grad_()
    weight = torch.rand(6, 17, 23, dtype=torch.float64)
    (slope,) = torch.autograd.grad((weight * beliefs_from_landmarks(xy, SIZE, 1.2, "difference")).sum(), xy)
    with torch.no_grad():
        for axis in range(2):
            half = 0.5 * torch.eye(2, dtype=torch.float64)[axis]
            after, before = (beliefs_from_landmarks(xy + sign * half, SIZE, 1.2) for sign in (1, -1))
            torch.testing.assert_close(slope[:, axis], (weight * (after - before)).sum((-2, -1)))


@pytest.mark.parametrize("sigma", [2.0, 4.0, 8.0])
def test_the_difference_gradient_comes_near_the_analytic_one(sigma: float) -> None:
    xy = 32 + 4 * torch.rand(8, 2, dtype=torch.float64)
    weight = beliefs_from_landmarks(xy + torch.tensor([2.5, -1.5], dtype=torch.float64), (64, 64), sigma)
    slopes = []
    for gradient in ("analytic", "difference"):
        at = xy.clone().requires_grad_()
        loss = (weight * beliefs_from_landmarks(at, (64, 64), sigma, gradient)).sum()
        slopes.append(torch.autograd.grad(loss, at)[0])
    # the third derivative of a Gaussian is below 3 / σ² times its greatest slope
    assert (slopes[0] - slopes[1]).abs().max() < slopes[0].abs().max() * 3 / 24 / sigma**2
    assert not torch.equal(*slopes)


def plain_subgradient(
    slope: tuple[float, float], place: tuple[int, int], size: tuple[int, int], sigma: float
) -> torch.Tensor:
    """The docstring of `landmarks_from_beliefs`, pixel by pixel."""
    x, y = (
        0.0 if (at == 0 and part > 0) or (at == last - 1 and part < 0) else part
        for part, at, last in zip(slope, place, size, strict=True)
    )
    answer = torch.zeros(size[1], size[0], dtype=torch.float64)
    for row, column in itertools.product(range(size[1]), range(size[0])):
        step = (column - place[0], row - place[1])
        ways = (x * step[0], y * step[1])
        if max(ways) <= 0 and min(ways) < 0:
            answer[row, column] = -math.exp(-(step[0] ** 2 + step[1] ** 2) / (2 * sigma**2))
    if float(answer.sum()) == 0.0:
        return answer
    answer = answer / answer.sum().abs()
    answer[place[1], place[0]] = 1.0
    return answer * math.hypot(x, y)


@pytest.mark.parametrize(
    ("slope", "place"),
    [
        ((1.0, 2.0), (4, 3)),
        ((-0.5, 0.3), (4, 3)),
        ((0.0, -2.0), (4, 3)),
        ((0.0, 0.0), (4, 3)),
        ((-1.0, 0.5), (8, 3)),  # cannot move further to the right
        ((-1.0, -0.5), (8, 6)),  # nor out of the corner
        ((1.0, 1.0), (0, 0)),
        ((-1.0, -1.0), (0, 0)),
    ],
)
def test_the_subgradient_of_the_best_pixel_is_what_it_says(slope: tuple[float, float], place: tuple[int, int]) -> None:
    beliefs = torch.rand(1, 7, 9, dtype=torch.float64) * 0.5
    beliefs[0, place[1], place[0]] = 1.0
    beliefs.requires_grad_()
    found = landmarks_from_beliefs(beliefs, 1.5)
    (given,) = torch.autograd.grad((found.xy * torch.tensor(slope, dtype=torch.float64)).sum(), beliefs)
    torch.testing.assert_close(given[0], plain_subgradient(slope, place, (9, 7), 1.5))
    assert float(given.sum()) == pytest.approx(0.0, abs=1e-12)


TARGETS = [(3.5, 12.5), (20.5, 2.5), (11.5, 14.5), (0.5, 0.5)]


def step_against(beliefs: torch.Tensor, target: tuple[float, float], length: float) -> tuple[float, torch.Tensor]:
    """The squared distance of the map's landmark from a goal, and the map after a step against its gradient."""
    beliefs = beliefs.detach().requires_grad_()
    loss = (landmarks_from_beliefs(beliefs, 2.0).xy - torch.tensor(target)).square().sum()
    (slope,) = torch.autograd.grad(loss, beliefs)
    return float(loss.detach()), (beliefs - length * slope).detach()


@pytest.mark.parametrize("target", TARGETS)
def test_a_step_against_the_subgradient_moves_the_landmark_towards_its_goal(target: tuple[float, float]) -> None:
    start = beliefs_from_landmarks(torch.tensor([[11.5, 8.5]]), SIZE, 2.0)
    before, after = step_against(start, target, 0.1)
    assert step_against(after, target, 0.0)[0] < before
    assert step_against(step_against(start, target, -0.1)[1], target, 0.0)[0] >= before


@pytest.mark.parametrize("target", TARGETS)
def test_steps_against_the_subgradient_lead_to_the_goal(target: tuple[float, float]) -> None:
    beliefs = beliefs_from_landmarks(torch.tensor([[11.5, 8.5]]), SIZE, 2.0)
    losses = []
    for _ in range(200):
        loss, beliefs = step_against(beliefs, target, 0.05)
        losses.append(loss)
    assert losses[0] > 1
    assert losses[-1] == 0.0


def test_confidence_has_the_gradient_of_its_pixel() -> None:
    beliefs = torch.rand(2, 5, 6, requires_grad=True)
    for found in (landmarks_from_beliefs(beliefs), soft_argmax(beliefs)):
        (slope,) = torch.autograd.grad(found.confidence.sum(), beliefs, retain_graph=True)
        assert torch.equal(slope, (beliefs == beliefs.amax((-2, -1), keepdim=True)).float())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: landmarks_from_beliefs(torch.zeros(2, 3, 0)), "beliefs: expected"),
        (lambda: landmarks_from_beliefs(torch.zeros(2, 3, 4), 0.0), "sigma_px: expected a positive number, got 0"),
        (lambda: soft_argmax(torch.zeros(2, 3, 4), -1.0), "temperature: expected a positive number, got -1"),
        (lambda: soft_argmax(torch.zeros(2, 3, 4), window=0), "window: expected at least 1"),
        (lambda: beliefs_from_landmarks(torch.zeros(2, 2), (4, 0)), "size_wh: expected a map of at least one pixel"),
        (lambda: beliefs_from_landmarks(torch.zeros(2, 2), (4, 4), math.nan), "sigma_px: expected a positive number"),
    ],
)
def test_wrong_calls_are_told(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
