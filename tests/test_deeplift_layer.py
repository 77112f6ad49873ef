"""The prior as a layer: known people recovered, laws of place, size and mirror, gradients, and what is not there."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sightline.errors import UsageError
from sightline.geometry.rotation import rotation_from_pitch_roll
from sightline.methods.deeplift.belief import GaussianGradient, beliefs_from_landmarks
from sightline.methods.deeplift.gaussian import Gaussians
from sightline.methods.deeplift.layer import BeliefLayer, Fusion, Lifted, Locating, PoseLayer, lifted
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.prior import QUANTILES, TILTS, PosePrior
from sightline.methods.deeplift.projection import heading_rotations, seen_from
from sightline.methods.deeplift.shapes import FLIP, limb_size, mirrored, to_joints, to_shapes
from sightline.methods.deeplift.weights import load_prior

STANDING = [
    [0.00, 0.00, 0.95], [-0.13, 0.0, 0.95], [-0.13, 0.03, 0.50], [-0.13, -0.03, 0.08], [0.13, 0.0, 0.95],
    [0.13, 0.03, 0.50], [0.13, -0.03, 0.08], [0.0, -0.02, 1.20], [0.0, 0.0, 1.45], [0.0, 0.08, 1.53],
    [0.0, 0.04, 1.63], [0.17, 0.0, 1.42], [0.22, -0.03, 1.15], [0.24, 0.10, 0.92], [-0.17, 0.0, 1.42],
    [-0.22, -0.03, 1.15], [-0.24, 0.10, 0.92],
]  # fmt: skip
"""A person, metres, z up, facing y."""
BASIS = 6


def person(seed: int) -> Tensor:
    """A shape (48): somebody standing, every joint moved by about 8 cm."""
    chance = torch.Generator().manual_seed(seed)
    joints = torch.tensor(STANDING, dtype=torch.float64)
    return to_shapes(joints + 0.08 * torch.randn(17, 3, generator=chance, dtype=torch.float64)).shape


def mixture(noise: float = 0.02, components: int = 2) -> Mixture:
    """Components about different people, with wide directions of their own."""
    chance = torch.Generator().manual_seed(7)
    mean = torch.stack([person(seed) for seed in range(components)])
    turns = torch.linalg.qr(torch.randn(components, 48, BASIS, generator=chance, dtype=torch.float64))[0]
    basis = turns * torch.linspace(0.25, 0.08, BASIS, dtype=torch.float64)
    shares = torch.linspace(1.0, 2.0, components, dtype=torch.float64)
    return Mixture(Gaussians(mean, basis, torch.full((components,), noise).double()), shares / shares.sum())


def drawn(model: Mixture, count: int, pitch: float = 0.0, headings: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """People of a mixture without noise, as seen by a camera: poses, components and headings."""
    component = torch.arange(count) % len(model.shares)
    heading = torch.randint(headings, (count,))
    seen = seen_from(model.gaussians, heading_rotations(headings, pitch)[heading], component)
    wide = torch.randn(count, BASIS, 1, dtype=torch.float64)
    return to_joints(seen.mean + (seen.basis @ wide)[..., 0]), component, heading


def people(count: int, noise: float = 0.02) -> Tensor:
    """Landmarks of people who are none of the prior's, in some unit and place."""
    pose, _, _ = drawn(mixture(), count)
    return 100 + 30 * (pose[..., :2] + noise * torch.randn(count, 17, 2, dtype=torch.float64))


def layer(rotations: int = 16, noise: float = 0.02) -> PoseLayer:
    return PoseLayer(mixture(noise), rotations=rotations)


def numbers(found: Lifted) -> tuple[Tensor, ...]:
    """All of an answer that has a gradient."""
    return found.pose, found.model_pose, found.inverse_scale, found.model_xy, found.pose_xy, found.cost


@pytest.mark.parametrize("pitch", [0.0, -0.4])
def test_a_person_of_the_prior_is_recovered(pitch: float) -> None:
    model = mixture(noise=1e-6)
    pose, component, heading = drawn(model, 24, pitch)
    landmarks = torch.tensor([310.0, 140.0]) + 85.0 * pose[..., :2]
    found = PoseLayer(model, rotations=16)(landmarks, pitch=pitch, noise=1e-6)
    assert bool(found.valid.all())
    assert torch.equal(found.component, component)
    torch.testing.assert_close(found.cam_from_body, heading_rotations(16, pitch)[heading])
    ratio = limb_size(pose) / limb_size(found.pose)
    torch.testing.assert_close(found.pose * ratio[:, None, None], pose, atol=1e-4, rtol=0)
    torch.testing.assert_close(1 / (found.inverse_scale * ratio), torch.full((24,), 85.0).double(), atol=1e-3, rtol=0)
    for xy in (found.model_xy, found.pose_xy):
        torch.testing.assert_close(xy, landmarks, atol=1e-3, rtol=0)


def test_each_person_may_have_a_camera_of_his_own() -> None:
    model = mixture(noise=1e-6)
    pitch = torch.tensor([0.3, -0.2, 0.0], dtype=torch.float64)
    pose = torch.cat([drawn(model, 1, float(angle))[0] for angle in pitch])
    found = PoseLayer(model, rotations=16)(pose[..., :2], pitch=pitch, noise=1e-6)
    torch.testing.assert_close(
        found.pose / limb_size(found.pose)[:, None, None], pose / limb_size(pose)[:, None, None], atol=1e-4, rtol=0
    )
    upright = rotation_from_pitch_roll(pitch, torch.zeros_like(pitch)) @ torch.tensor([0.0, -1.0, 0.0]).double()
    torch.testing.assert_close(found.cam_from_body[..., 2], upright)


def test_place_and_size_of_the_landmarks_are_those_of_the_answer() -> None:
    landmarks, ask = people(9), layer()
    one, two = ask(landmarks), ask(torch.tensor([-7.0, 4e3]).double() + 0.02 * landmarks)
    for before, after in ((one.pose, two.pose), (one.model_pose, two.model_pose)):
        torch.testing.assert_close(after, before, atol=1e-7, rtol=0)
    for before, after in ((one.model_xy, two.model_xy), (one.pose_xy, two.pose_xy)):
        torch.testing.assert_close(after, torch.tensor([-7.0, 4e3]).double() + 0.02 * before)
    torch.testing.assert_close(two.inverse_scale, 50 * one.inverse_scale)
    torch.testing.assert_close(two.cost, one.cost + 32 * math.log(0.02))


def test_a_symmetric_prior_mirrors_its_answer() -> None:
    gaussians = mixture().gaussians
    basis = mirrored(gaussians.basis.mT).mT
    both = Gaussians(
        torch.cat([gaussians.mean, mirrored(gaussians.mean)]),
        torch.cat([gaussians.basis, basis]),
        gaussians.noise.repeat(2),
    )
    ask = PoseLayer(Mixture(both, torch.full((4,), 0.25).double()), rotations=16)
    side = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    landmarks = people(8)
    one, two = ask(landmarks, pitch=0.2), ask((landmarks * side[:2])[:, FLIP], pitch=0.2)
    torch.testing.assert_close(two.pose, (one.pose * side)[:, FLIP])
    torch.testing.assert_close(two.model_xy, (one.model_xy * side[:2])[:, FLIP])
    assert torch.equal(two.component, (one.component + 2) % 4)


def test_the_answer_is_where_its_pose_appears() -> None:
    found = layer()(people(7), torch.rand(7, 17).double())
    for pose, xy in ((found.pose, found.pose_xy), (found.model_pose, found.model_xy)):
        shown = pose[..., :2] / found.inverse_scale[:, None, None]
        shift = xy - shown
        torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
    torch.testing.assert_close(found.pose.mean(1), torch.zeros(7, 3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(found.model_pose.mean(1), torch.zeros(7, 3).double(), atol=1e-12, rtol=0)


def test_the_models_own_point_solves_the_normal_equations() -> None:
    """Eq. 4 at the scale that was found: dense least squares for basis weights and place, one person at a time."""
    landmarks, weight, noise = people(5), 0.1 + torch.rand(5, 17).double(), 0.015
    found = layer()(landmarks, weight, noise=noise)
    model = mixture()
    seen = seen_from(model.gaussians, found.cam_from_body, found.component)
    for row in range(5):
        trust = 1 / (float(seen.noise[row]) ** 2 + noise**2 / weight[row]).repeat_interleave(2)
        columns = to_joints(seen.basis[row].mT)[..., :2].flatten(1).mT
        unknowns = torch.cat([columns, torch.eye(2).double().repeat(17, 1)], dim=1)
        prior = torch.diag(torch.tensor([1.0] * BASIS + [0.0] * 2, dtype=torch.float64))
        rest = (found.inverse_scale[row] * landmarks[row] - to_joints(seen.mean[row])[:, :2]).flatten()
        answer = torch.linalg.solve(unknowns.mT @ (trust[:, None] * unknowns) + prior, unknowns.mT @ (trust * rest))
        model_pose = to_joints(seen.mean[row] + seen.basis[row] @ answer[:BASIS])
        torch.testing.assert_close(found.model_pose[row], model_pose)
        shown = (model_pose[:, :2] + answer[BASIS:]) / found.inverse_scale[row]
        torch.testing.assert_close(found.model_xy[row], shown)


def test_the_pose_follows_trusted_landmarks_and_the_model_does_not() -> None:
    landmarks = people(20, noise=0.1)
    found = layer()(landmarks, noise=1e-4)
    assert (found.pose_xy - landmarks).abs().max() < 0.05
    assert (found.model_xy - landmarks).abs().mean() > 0.5


def different(apart: str, count: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Landmarks of people who differ in weights or in their camera's pitch."""
    landmarks, weight = people(count, noise=0.1), torch.ones(count, 17).double()
    pitch = torch.linspace(-0.6, 0.6, count).double() if apart == "cameras" else torch.zeros(count).double()
    if apart == "weights":
        weight = torch.where(torch.rand(count, 17) < 0.5, 1.0, 1e-3).double()
    return landmarks, weight, pitch


@pytest.mark.parametrize("noise", [1e-4, 0.01], ids=["sharp", "smooth"])
@pytest.mark.parametrize("apart", ["weights", "cameras"])
def test_all_together_are_each_by_himself_in_both_searches(apart: str, noise: float) -> None:
    given, ask = different(apart), layer(noise=noise)
    together = ask(*given, noise=noise)
    for row in range(16):
        alone = ask(*(value[row : row + 1] for value in given), noise=noise)
        assert torch.equal(alone.component[0], together.component[row])
        torch.testing.assert_close(alone.cam_from_body[0], together.cam_from_body[row])
        for one, all_of_them in zip(numbers(alone), numbers(together), strict=True):
            torch.testing.assert_close(one[0], all_of_them[row])


@pytest.mark.parametrize("apart", ["weights", "cameras"])
def test_a_short_list_has_the_best_of_all_candidates(apart: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shipped prior; its landmarks are those of people who are not in it."""
    ask, given = PoseLayer.of(load_prior()[0]), different(apart, 24)
    few = ask(*given)
    monkeypatch.setattr("sightline.methods.deeplift.headings._SMOOTH", math.inf)
    every = ask(*given)
    assert torch.equal(few.component, every.component)
    torch.testing.assert_close(few.cam_from_body, every.cam_from_body)
    torch.testing.assert_close(few.cost, every.cost)


def test_tables_are_those_of_the_prior_that_is_asked() -> None:
    """One that is loaded into a layer is asked, not the one that was there before."""
    first, second, landmarks = layer(), PoseLayer(mixture(components=2, noise=0.05), rotations=16), people(6)
    before, expected = first(landmarks), second(landmarks)
    first.load_state_dict(second.state_dict())
    assert not torch.equal(before.cost, expected.cost)
    assert torch.equal(first(landmarks).cost, expected.cost)


def test_many_people_are_asked_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    landmarks, weight = people(7), 0.2 + torch.rand(7, 17).double()
    whole = layer()(landmarks, weight)
    monkeypatch.setattr("sightline.methods.deeplift.headings._ROWS_AT_ONCE", 70)
    for one, two in zip(layer()(landmarks, weight), whole, strict=True):
        assert torch.equal(one, two)


def test_with_the_winner_fixed_gradients_are_exact() -> None:
    model = mixture()
    landmarks, weight = people(2).requires_grad_(), (0.3 + torch.rand(2, 17).double()).requires_grad_()
    rotation = heading_rotations(16, 0.1)[[3, 11]].requires_grad_()

    def asked(points: Tensor, trust: Tensor, turn: Tensor) -> tuple[Tensor, ...]:
        return numbers(lifted(model, torch.tensor([0, 1]), turn, points, trust, 0.02))

    assert torch.autograd.gradcheck(asked, (landmarks, weight, rotation), fast_mode=True)
    with torch.no_grad():
        weight[0, 3:6] = 0.0
    assert torch.autograd.gradcheck(lambda points: asked(points, weight, rotation), (landmarks,))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_whole_layer_has_the_gradient_of_finite_differences(weighted: bool) -> None:
    """Also through the choice, away from where it switches; the pitch of the camera has one, too."""
    ask, landmarks = layer(rotations=6), people(2).requires_grad_()
    weight = (0.3 + torch.rand(2, 17).double()).requires_grad_() if weighted else None
    pitch = torch.tensor([0.1, 0.1 + 0.1 * weighted], dtype=torch.float64, requires_grad=True)
    inputs = (landmarks, pitch) if weight is None else (landmarks, pitch, weight)

    def asked(points: Tensor, tilt: Tensor, trust: Tensor | None = None) -> tuple[Tensor, ...]:
        return numbers(ask(points, trust, tilt, 0.02))

    assert torch.autograd.gradcheck(asked, inputs, fast_mode=True)


def test_the_choice_has_no_gradient_but_may_jump() -> None:
    """Between two candidates the answer jumps, and on both sides its gradient is that of the winner."""
    ask = layer(rotations=16)
    ends = people(2)
    steps = ends[0] + torch.linspace(0, 1, 65).double()[:, None, None] * (ends[1] - ends[0])
    found = ask(steps.requires_grad_())
    fixed = lifted(ask.mixture, found.component, found.cam_from_body, steps, torch.ones(65, 17).double(), 0.01)
    assert len(torch.cat([found.component[:, None], found.cam_from_body.flatten(1)], 1).unique(dim=0)) > 1
    slopes = [torch.autograd.grad(one.model_xy.square().sum(), steps)[0] for one in (found, fixed)]
    torch.testing.assert_close(*slopes)


def test_nobody_is_an_ordinary_answer() -> None:
    for weight in (None, torch.zeros(0, 17)):
        found = layer()(torch.zeros(0, 17, 2), weight)
        assert found.pose.shape == (0, 17, 3)
        assert found.valid.shape == (0,)
    stage = BeliefLayer(layer())(torch.zeros(0, 17, 8, 9))
    assert stage.beliefs.shape == (0, 17, 8, 9)


def spoiled(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Three people of whom the second cannot be lifted: landmarks, weights, pitches."""
    landmarks, weight, pitch = people(3), torch.ones(3, 17).double(), torch.zeros(3).double()
    if kind == "four landmarks":
        weight[1, 4:] = 0.0
    elif kind == "none":
        landmarks[1] = torch.nan
    elif kind == "one point":
        landmarks[1] = landmarks[1, :1]
    elif kind == "as good as one point":
        landmarks[1] = 1e6 + 1e-3 * landmarks[1]
    elif kind == "beyond numbers":
        landmarks[1] *= 1e200
    elif kind == "infinite weights":
        weight[1] = torch.inf
    elif kind == "negative weights":
        weight[1] = -1.0
    elif kind == "no pitch":
        pitch[1] = torch.nan
    return landmarks, weight, pitch


@pytest.mark.parametrize(
    "kind",
    ["four landmarks", "none", "one point", "as good as one point", "beyond numbers", "infinite weights",
     "negative weights", "no pitch"],
)  # fmt: skip
def test_whoever_cannot_be_lifted_is_marked_and_has_no_gradient(kind: str) -> None:
    landmarks, weight, pitch = (value.requires_grad_() for value in spoiled(kind))
    found = layer()(landmarks, weight, pitch)
    assert found.valid.tolist() == [True, False, True]
    for value in numbers(found):
        assert bool(value.isfinite().all())
    loss = torch.stack([(value * torch.rand_like(value)).sum() for value in numbers(found)]).sum()
    for slope in torch.autograd.grad(loss, (landmarks, weight, pitch)):
        assert bool(slope.isfinite().all())
        assert not bool(slope[1].any())
        assert bool(slope[[0, 2]].any())
    whole = layer()(*(value.detach()[[0, 2]] for value in (landmarks, weight, pitch)))
    torch.testing.assert_close(found.pose[[0, 2]], whole.pose)


def test_a_landmark_that_does_not_count_says_nothing() -> None:
    landmarks, weight = people(3), torch.ones(3, 17).double()
    weight[0, 5], weight[1, 3], weight[2, 8] = 0.0, torch.nan, 1e-9
    there = torch.where(weight == 1, 1.0, 0.0)
    there[2, 9] = 0.0
    reference = layer()(landmarks, there)
    landmarks[0, 5] = torch.nan
    landmarks[1, 3] = 1e5
    landmarks[2, 8] = -1e5
    landmarks[2, 9] = -torch.inf
    landmarks.requires_grad_()
    found = layer()(landmarks, weight)
    assert bool(found.valid.all())
    for one, two in zip(numbers(found), numbers(reference), strict=True):
        torch.testing.assert_close(one, two)
    (slope,) = torch.autograd.grad(found.pose_xy.square().sum() + found.cost.sum(), landmarks)
    assert bool(slope.isfinite().all())
    assert not bool(slope[[0, 1, 2, 2], [5, 3, 8, 9]].any())


def test_some_landmarks_at_one_point_or_on_a_line_are_lifted() -> None:
    landmarks = people(2)
    landmarks[0, 5:] = landmarks[0, 5]
    landmarks[1, :, 0] = 2 * landmarks[1, :, 1]
    landmarks.requires_grad_()
    found = layer()(landmarks)
    assert bool(found.valid.all())
    loss = torch.stack([value.square().sum() for value in numbers(found)]).sum()
    (slope,) = torch.autograd.grad(loss, landmarks)
    assert bool(slope.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_work_is_in_double_precision_and_answers_as_asked(dtype: torch.dtype) -> None:
    ask = layer().to(dtype)
    assert all(value.dtype == torch.float64 for value in ask.buffers())
    landmarks = people(4).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = ask(landmarks, torch.ones(4, 17, dtype=dtype))
    exact = layer()(landmarks.detach().double())
    for one, two in zip(numbers(found), numbers(exact), strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, two.to(dtype))
    (slope,) = torch.autograd.grad(found.model_xy.float().sum(), landmarks)
    assert slope.dtype == dtype


def test_the_prior_travels_with_the_module() -> None:
    ask = layer()
    assert not list(ask.parameters())
    other = PoseLayer(Mixture(Gaussians(*(torch.rand_like(v) for v in mixture().gaussians)), mixture().shares))
    other.load_state_dict(ask.state_dict(), strict=True)
    for one, two in zip(ask.mixture.gaussians, other.mixture.gaussians, strict=True):
        assert torch.equal(one, two)
    landmarks = people(2)
    assert torch.equal(copy.deepcopy(ask)(landmarks).pose, ask(landmarks).pose)
    assert layer().to("meta").mean.device.type == "meta"


def test_a_layer_of_a_prior() -> None:
    rest = {
        "size_m": 1.2,
        "size_spread": 0.05,
        "stature_m": 1.75,
        "quantiles": torch.linspace(0, 1, QUANTILES).double(),
        "tilt": torch.zeros(TILTS).double(),
    }
    upright = PoseLayer.of(PosePrior(mixture=mixture(), orientation="upright", **rest), rotations=8)
    assert upright.rotations == 8
    assert torch.equal(upright.mixture.gaussians.mean, mixture().gaussians.mean)
    with pytest.raises(ValueError, match="prior: expected one of upright poses"):
        PoseLayer.of(PosePrior(mixture=mixture(), orientation="any", **rest))


def maps_of(xy: Tensor, sigma: float = 1.5) -> Tensor:
    return beliefs_from_landmarks(xy, (40, 40), sigma)


def on_map(noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Places of a person of the prior on a map of 40 × 40 pixels, and the same with errors."""
    pose, _, _ = drawn(mixture(), 2)
    xy = 20 + 24 * pose[..., :2]
    return xy, xy + noise * torch.randn_like(xy)


@pytest.mark.parametrize("locate", ["hard", "peak", "soft"])
def test_a_stage_lifts_what_its_maps_believe(locate: Locating) -> None:
    xy, _ = on_map()
    stage = BeliefLayer(layer(), sigma_px=1.5, locate=locate)
    found = stage(maps_of(xy), 0.3, noise=0.02)
    assert (found.located.xy - xy).abs().max() <= {"hard": 0.5, "peak": 1e-6, "soft": 0.05}[locate]
    torch.testing.assert_close(found.lifted.pose, layer()(found.located.xy, pitch=0.3, noise=0.02).pose)
    torch.testing.assert_close(found.beliefs, maps_of(found.lifted.model_xy))


def test_tops_between_pixels_teach_as_best_pixels_do() -> None:
    """They are other places with the same sub-gradient, and NaN where a map is not finite."""
    beliefs, slopes = maps_of(on_map()[0]), []
    beliefs[0, 3, 5, 5] = torch.nan
    way = torch.rand(2, 17, 2).double()
    for locate in ("hard", "peak"):
        asked = beliefs.clone().requires_grad_()
        xy = BeliefLayer(layer(), sigma_px=1.5, locate=locate)(asked).located.xy
        assert xy.isnan().any(-1).nonzero().tolist() == [[0, 3]]
        slopes += torch.autograd.grad((xy.nan_to_num() * way).sum(), asked)
    torch.testing.assert_close(slopes[1], slopes[0])
    assert bool(slopes[0].any())


def test_maps_weigh_what_they_believe() -> None:
    xy, _ = on_map()
    height = (0.1 + torch.rand(2, 17).double())[..., None, None]
    beliefs = maps_of(xy) * height
    stage = BeliefLayer(layer(), sigma_px=1.5, weigh_by_belief=True)
    found = stage(beliefs, noise=0.02)
    asked = layer()(found.located.xy, found.located.confidence, noise=0.02)
    torch.testing.assert_close(found.lifted.pose, asked.pose)
    assert not torch.allclose(asked.pose, layer()(found.located.xy, noise=0.02).pose, atol=1e-4)


@pytest.mark.parametrize("weigh", [False, True])
def test_empty_maps_do_not_count_and_people_without_maps_stay_empty(weigh: bool) -> None:
    xy, _ = on_map()
    beliefs = maps_of(xy)
    beliefs[0, 4] = 0.0
    beliefs[0, 9] = -0.3
    beliefs[1, 3:] = 0.0
    beliefs.requires_grad_()
    found = BeliefLayer(layer(), sigma_px=1.5, weigh_by_belief=weigh)(beliefs)
    assert found.lifted.valid.tolist() == [True, False]
    assert not bool(found.beliefs[1].any())
    assert float(found.beliefs[0, 4].detach().max()) > 0.5
    (slope,) = torch.autograd.grad((found.beliefs * torch.rand_like(beliefs)).sum(), beliefs)
    assert bool(slope.isfinite().all())
    assert not bool(slope[1].any())


@pytest.mark.parametrize("gradient", ["analytic", "difference"])
@pytest.mark.parametrize("locate", ["hard", "peak", "soft"])
def test_maps_learn_through_the_layer(locate: Locating, gradient: GaussianGradient) -> None:
    """A few steps on the maps' logits bring the projected maps nearer to the truth."""
    truth, wrong = on_map(noise=1.5)
    logits = (8 * maps_of(wrong, 2.0) - 4).float().requires_grad_()
    stage = BeliefLayer(layer(), sigma_px=2.0, locate=locate, gradient=gradient)
    descent = torch.optim.Adam([logits], lr=0.1)
    losses = []
    for _ in range(30):
        loss = (stage(logits.sigmoid()).beliefs - maps_of(truth, 2.0)).square().sum()
        losses.append(float(loss.detach()))
        (logits.grad,) = torch.autograd.grad(loss, logits)
        assert bool(logits.grad.isfinite().all())
        descent.step()
    assert min(losses[-5:]) < 0.7 * losses[0]


def test_a_stage_has_the_gradient_it_was_asked_for() -> None:
    beliefs = maps_of(on_map()[0]).requires_grad_()
    slopes = []
    for gradient in ("analytic", "difference", "difference"):
        stage = BeliefLayer(layer(), sigma_px=1.5, locate="soft", gradient=gradient)
        slopes.append(torch.autograd.grad(stage(beliefs).beliefs.square().sum(), beliefs)[0])
    assert torch.equal(slopes[1], slopes[2])
    assert not torch.equal(slopes[0], slopes[1])
    assert (slopes[0] - slopes[1]).abs().max() < 0.2 * slopes[0].abs().max()


def test_fusion_is_the_weighted_mean() -> None:
    beliefs, projected = torch.rand(3, 17, 5, 6), torch.rand(3, 17, 5, 6)
    fused = Fusion(start=0.8)(beliefs, projected)
    torch.testing.assert_close(fused, 0.8 * beliefs + 0.2 * projected)
    each = Fusion(17)
    with torch.no_grad():
        each.logit[4] = 50.0
    torch.testing.assert_close(each(beliefs, projected)[:, 4], beliefs[:, 4])
    torch.testing.assert_close(each(beliefs, projected)[:, 5], (beliefs[:, 5] + projected[:, 5]) / 2)
    kept = Fusion()(beliefs, projected, torch.tensor([True, False, True]))
    assert torch.equal(kept[1], beliefs[1])
    assert not torch.equal(kept[0], beliefs[0])


def test_fusion_learns_whom_to_believe() -> None:
    truth = torch.rand(2, 3, 5, 6)
    fusion = Fusion(3)
    noise = torch.tensor([0.0, 0.5, 0.5])[:, None, None] * torch.randn_like(truth)
    other = torch.tensor([0.5, 0.0, 0.5])[:, None, None] * torch.randn_like(truth)
    descent = torch.optim.Adam(fusion.parameters(), lr=0.3)
    for _ in range(60):
        descent.zero_grad()
        (fusion(truth + noise, truth + other) - truth).square().sum().backward()
        descent.step()
    first, second, third = fusion.share.flatten().tolist()
    assert first > 0.95
    assert second < 0.05
    assert 0.3 < third < 0.7


def unchecked(*args: Any, **kwargs: Any) -> object:
    """Call the layer as users do, where annotations are not enforced."""
    return getattr(PoseLayer.forward, "__wrapped__", PoseLayer.forward)(layer(), *args, **kwargs)


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: unchecked(torch.zeros(2, 16, 2)), "landmarks: expected"),
    (lambda: unchecked(torch.zeros(2, 17, 2), torch.ones(1, 17)), "weight: expected"),
    (lambda: unchecked(torch.zeros(2, 17, 2), pitch=torch.zeros(3)), "pitch: expected"),
    (lambda: layer()(torch.zeros(2, 17, 2), pitch=math.nan), "pitch: expected a finite angle"),
    (lambda: layer()(torch.zeros(2, 17, 2), noise=-0.1), "noise: expected a standard deviation"),
    (lambda: layer(rotations=0), "rotations: expected at least 1"),
    (lambda: BeliefLayer(layer(), sigma_px=0.0), "sigma_px: expected a positive number"),
    (lambda: BeliefLayer(layer(), temperature=math.inf), "temperature: expected a positive number"),
    (lambda: Fusion(start=1.0), "start: expected a number between 0 and 1"),
    (lambda: Fusion(0), "landmarks: expected at least 1"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_calls_are_told(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_device_without_double_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(*_: Any, **__: Any) -> None:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")

    ask = layer()
    monkeypatch.setattr(torch.nn.Module, "_apply", moved)
    with pytest.raises(UsageError, match="device: the prior of poses needs double precision"):
        ask.to("meta")
