"""The pose machine: the paper's stages, with the prior inside each of them or without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from past_annotations import remade
from sightline.data.procedural import procedural_poses
from sightline.methods.deeplift.belief import beliefs_from_landmarks, landmarks_from_beliefs
from sightline.methods.deeplift.layer import PoseLayer
from sightline.methods.deeplift.machine import STRIDE, MachineConfig, PoseMachine, Stage, machine_loss, true_maps
from sightline.methods.deeplift.mixture import FitConfig, Mixture, fit_mixture
from sightline.methods.deeplift.shapes import to_shapes

SMALL = MachineConfig(
    size_px=64, stages=3, features=(4, 6, 8, 6), first=12, later=8, kernels=(3, 5), normalised=True, components=2,
    directions=6,
)  # fmt: skip
PLAIN = replace(SMALL, layer=False)


@pytest.fixture(scope="module")
def prior() -> Mixture:
    poses = procedural_poses(400, torch.Generator().manual_seed(1)).double()
    return fit_mixture(to_shapes(poses).shape, FitConfig(components=2, basis=6, iterations=10)).mixture


def machine(config: MachineConfig, mixture: Mixture | None = None) -> PoseMachine:
    torch.manual_seed(0)
    return PoseMachine(config, mixture)


def crops(count: int = 2) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(2)) - 0.5


def points(count: int = 2) -> Tensor:
    """People of the prior's kind in crops."""
    joints = procedural_poses(count, torch.Generator().manual_seed(3))
    flat = torch.stack((joints[..., 0], -joints[..., 2]), -1)
    flat = flat - (flat.amax(1, keepdim=True) + flat.amin(1, keepdim=True)) / 2
    return 32 + 27 * flat


def test_every_stage_believes_something_of_all_joints_and_the_background(prior: Mixture) -> None:
    stages = machine(SMALL, prior)(crops())
    assert len(stages) == 3
    for stage in stages:
        assert stage.own.shape == stage.fused.shape == (2, 18, 8, 8)
        assert stage.projected is not None
        assert stage.projected.lifted.pose.shape == (2, 17, 3)
        assert_close(stage.fused[:, 17], stage.own[:, 17])


def test_a_plain_machine_keeps_what_it_believes() -> None:
    net = machine(PLAIN)
    for stage in net(crops()):
        assert stage.projected is None
        assert torch.equal(stage.own, stage.fused)
    assert not any(name.startswith(("prior", "fusion")) for name in net.state_dict())


def test_the_papers_machine_has_the_papers_size() -> None:
    """Layers of six stages counted by hand: convolutions with their biases, without prior and fusion."""
    with torch.device("meta"):
        net = PoseMachine(replace(MachineConfig(), layer=False))
    seeing = (3 * 81 + 1) * 128 + 2 * (128 * 81 + 1) * 128
    last = (128 * 25 + 1) * 32
    first = seeing + last + (32 * 81 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 18
    later = last + ((32 + 18 + 1) * 121 + 1) * 128 + 2 * (128 * 121 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 18
    assert sum(value.numel() for value in net.parameters()) == first + seeing + 5 * later


def test_maps_are_eight_times_smaller_as_the_papers() -> None:
    net = PoseMachine(replace(PLAIN, size_px=368, stages=2)).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 368, 368))[-1].fused.shape == (1, 18, 46, 46)


def test_fusion_is_eq_7(prior: Mixture) -> None:
    net = machine(SMALL, prior)
    with torch.no_grad():
        net.fusion[1].logit.fill_(1.2)
    stage = net(crops())[1]
    assert stage.projected is not None
    share = torch.tensor(1.2).sigmoid()
    valid = stage.projected.lifted.valid[:, None, None, None]
    mixed = share * stage.own[:, :17] + (1 - share) * stage.projected.beliefs
    assert_close(stage.fused[:, :17], torch.where(valid, mixed, stage.own[:, :17]))


def test_gradients_through_the_layer_may_be_left_out(prior: Mixture) -> None:
    """Fused maps teach the network's own either way; what the prior draws teaches them only with its gradient."""
    taught = {}
    for on in (True, False):
        net = machine(replace(SMALL, layer_gradient=on), prior)
        stage = net(crops())[0]
        assert stage.projected is not None
        assert bool(stage.projected.lifted.valid.any())
        assert stage.projected.beliefs.requires_grad == on
        machine_loss([stage], true_maps(points(), 8)).sum().backward()
        gradient = net.first[-1].weight.grad
        assert gradient is not None
        taught[on] = gradient.clone()
        assert gradient.abs().max() > 0
    assert not torch.allclose(taught[True], taught[False])


def test_later_stages_see_the_fused_maps_before_them_and_the_middle(prior: Mixture) -> None:
    net = machine(SMALL, prior).eval()
    with torch.no_grad():
        before = net(crops())
        net.fusion[0].logit.fill_(-3.0)
        after = net(crops())
        assert torch.equal(before[0].own, after[0].own)
        assert not torch.allclose(before[1].own, after[1].own)
        aside = net(crops(), middle_px=torch.tensor([[10.0, 50.0]] * 2))
        assert torch.equal(aside[0].own, after[0].own)
        assert not torch.allclose(aside[1].own, after[1].own)


def test_true_maps_and_what_is_not_known() -> None:
    true = points()
    maps = true_maps(true, 8, 1.0)
    assert_close(maps[:, :17], beliefs_from_landmarks(true / 8, (8, 8), 1.0))
    assert_close(maps[:, 17], 1 - maps[:, :17].amax(1))
    true[0, 4] = torch.nan
    maps = true_maps(true, 8)
    assert maps[0, 4].isnan().all()
    assert maps[0, 17].isnan().all()
    assert maps[1].isfinite().all()
    assert maps[0, :4].isfinite().all()


def test_coarse_labels_have_broader_maps_that_count_no_more() -> None:
    true, coarse = points(), torch.tensor([False, True])
    maps = true_maps(true, 8, 0.5, coarse)
    assert_close(maps[0], true_maps(true, 8, 0.5)[0])
    assert_close(maps[1], true_maps(true, 8, 1.0)[1])
    assert_close(maps[1, 17], 1 - maps[1, :17].amax(0))
    blank = Stage(torch.zeros(2, 18, 40, 40), torch.zeros(2, 18, 40, 40), None)
    middle = 160 + 0.2 * (true - 32)
    for which in (torch.tensor([False, False]), torch.tensor([True, True])):
        drawn = true_maps(middle, 40, 1.5, which)
        drawn[:, 17] = 0.0
        cost = machine_loss([blank], drawn, which)
        assert_close(cost, torch.tensor([17 * torch.pi * 1.5**2]), atol=0, rtol=0.01)


def test_the_loss_is_eq_8_over_what_is_known() -> None:
    stages, true = machine(PLAIN)(crops()), true_maps(points(), 8)
    by_hand = [((stage.fused - true) ** 2).sum() / 2 for stage in stages]
    assert_close(machine_loss(stages, true), torch.stack(by_hand))
    holed = true.clone()
    holed[:, 6] = torch.nan
    rest = [row for row in range(18) if row != 6]
    by_hand = [((stage.fused - true)[:, rest] ** 2).sum() / 2 for stage in stages]
    assert_close(machine_loss(stages, holed), torch.stack(by_hand))


def test_the_prior_corrects_a_joint_that_is_believed_elsewhere(prior: Mixture) -> None:
    """Maps of a person of whom one wrist is believed at a wrong place: what is drawn lies nearer to the true one."""
    true = points(8)
    wrong = true.clone()
    wrong[:, 13] = true[:, 13] + torch.tensor([0.0, -20.0])
    layer = machine(SMALL, prior).prior
    assert layer is not None
    drawn = layer(beliefs_from_landmarks(wrong / 8, (8, 8), 1.0)).beliefs
    told = landmarks_from_beliefs(drawn).xy * 8
    nearer = (told - true)[:, 13].norm(dim=-1) < (wrong - true)[:, 13].norm(dim=-1)
    assert nearer.float().mean() > 0.7


def test_a_machine_may_begin_with_a_plain_one(prior: Mixture) -> None:
    plain, net = machine(PLAIN), machine(SMALL, prior)
    torch.manual_seed(5)
    fresh = PoseMachine(SMALL, prior)
    kept = fresh.begin_with(plain)
    assert kept == [f"fusion.{stage}.logit" for stage in range(3)]
    assert torch.equal(fresh.first[0].weight, plain.first[0].weight)
    assert torch.equal(fresh.later[1][0].weight, plain.later[1][0].weight)
    assert fresh.prior is not None
    assert net.prior is not None
    assert torch.equal(fresh.prior.pose.mean, net.prior.pose.mean)
    other = PoseMachine(replace(PLAIN, first=10))
    assert {name.split(".")[0] for name in fresh.begin_with(other)} == {"first", "fusion"}
    before = fresh.first[0].weight.clone()
    with pytest.raises(ValueError, match="stages: expected a machine with 3 to begin with, got one with 4"):
        fresh.begin_with(PoseMachine(replace(PLAIN, stages=4)))
    assert torch.equal(fresh.first[0].weight, before)


def test_maps_are_read_about_their_best_cells() -> None:
    """With the background's map or without: places in pixels of the crop, confidence the height of the map."""
    net, true = machine(replace(PLAIN, sigma_cells=2.0)), 6 * STRIDE + points()
    maps = 0.8 * beliefs_from_landmarks(true / STRIDE, (20, 20), 2.0)
    seen = net.read(torch.cat((maps, 5 * torch.ones(2, 1, 20, 20)), dim=1))
    assert float((seen.points_px - true).abs().max()) < 0.1 * STRIDE
    assert_close(seen.confidence, maps.amax((2, 3)))
    assert_close(net.read(maps), seen)
    assert float(net.read(3 * maps).confidence.max()) == 1


@pytest.mark.parametrize("sigma", [7 / 8, 1.0, 2.0])
def test_how_high_a_map_is_does_not_move_what_is_read(sigma: float) -> None:
    """Fused maps are higher than a network's own; a Gaussian of any width and height is read where it is."""
    net, true = machine(replace(PLAIN, sigma_cells=sigma)), 6 * STRIDE + points()
    for height in (0.4, 0.75, 1.0):
        seen = net.read(height * beliefs_from_landmarks(true / STRIDE, (20, 20), sigma))
        assert float((seen.points_px - true).abs().max()) < 1e-3 * STRIDE


class Doubting(PoseMachine):
    """Hardly believes in anybody, while the prior draws a whole person elsewhere."""

    def forward(self, image: Tensor, pitch: Any = None, middle_px: Any = None) -> list[Stage]:
        del pitch, middle_px
        drawn = beliefs_from_landmarks(torch.full((len(image), 17, 2), 3.3), (8, 8), 1.0)
        own = torch.cat((0.03 * drawn.flip(-1) + 0.02 * drawn, torch.ones(len(image), 1, 8, 8)), 1)
        fused = torch.cat((0.5 * own[:, :17] + 0.5 * drawn, own[:, 17:]), 1)
        return [Stage(own, fused, None)]


def test_a_person_whom_only_the_prior_draws_is_not_believed() -> None:
    seen = Doubting(PLAIN).joints_in(torch.zeros(2, 3, 64, 64), flip=False)
    assert_close(seen.points_px, torch.full((2, 17, 2), 3.3 * STRIDE), atol=0.5, rtol=0)
    assert float(seen.confidence.max()) < 0.05
    assert float(seen.confidence.min()) > 0


def test_weights_bring_their_prior(prior: Mixture) -> None:
    net, blank = machine(SMALL, prior), machine(SMALL)
    blank.load_state_dict(net.state_dict())
    with torch.no_grad():
        for one, other in zip(net.eval()(crops()), blank.eval()(crops()), strict=True):
            assert torch.equal(one.fused, other.fused)


def test_wrong_calls_are_refused(prior: Mixture) -> None:
    with pytest.raises(ValueError, match="image: expected crops of 64 × 64 px, got 72 × 64"):
        machine(PLAIN)(torch.zeros(1, 3, 64, 72))
    with pytest.raises(ValueError, match="prior: expected 2 Gaussians of 5 directions"):
        PoseMachine(replace(SMALL, directions=5), prior)
    assert isinstance(machine(SMALL, prior).prior.pose, PoseLayer)  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_px": 100}, "size_px: expected a multiple of 8"),
        ({"stages": 0}, "stages, features, first"),
        ({"kernels": (4, 5)}, "kernels: expected odd numbers"),
        ({"sigma_cells": 0.0}, "sigma_cells: expected a positive number"),
        ({"locate": "firm", "layer": False}, "locate: expected one of hard, peak, soft, got 'firm'"),
        ({"gradient": "none", "layer": False}, "gradient: expected one of analytic, difference, got 'none'"),
    ],
)
def test_wrong_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        remade(SMALL, **change)
