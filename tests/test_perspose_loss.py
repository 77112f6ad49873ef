"""PersPose's loss: what each part costs, what is not known, maps, and that a network learns by it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sightline.methods.perspose.loss import Loss, LossConfig, Truth, loss_of
from sightline.methods.perspose.model import (
    LEAVES,
    PersPose,
    PersPoseConfig,
)
from sightline.methods.perspose.trunk import PyramidTrunk
from tiny_perspose import SMALL, as_truth, crops, network, random_answers


def test_the_truth_costs_nothing_and_each_part_its_own() -> None:
    answers = random_answers()
    truth = as_truth(answers)
    assert float(loss_of(answers, truth, SMALL).total) < 1e-5
    moved = {
        "uv": answers._replace(uv_px=answers.uv_px + torch.tensor([6.4, 0.0])),
        "depth": answers._replace(depth_m=answers.depth_m + 0.22),
        "scale": answers._replace(scale_m_px=answers.scale_m_px + 0.028),
        "shape": answers._replace(shape=answers.shape + 0.5),
        "twist": answers._replace(twists=answers.twists + torch.tensor([0.0, 2.0, 0.0])),
        "leaf": answers._replace(leaf_rotations=-answers.leaf_rotations),
    }
    expected = {"uv": 0.1, "depth": 0.1, "scale": 0.5, "shape": 0.005, "twist": 0.4, "leaf": 0.01 * 2 * math.sqrt(3)}
    for part, wrong in moved.items():
        loss = loss_of(wrong, truth, SMALL)._asdict()
        assert float(loss.pop(part)) == pytest.approx(expected[part], rel=1e-3), part
        assert all(float(other) < 1e-5 for other in loss.values()), part


def test_what_is_not_known_costs_nothing_and_spoils_no_gradient() -> None:
    net, (image, intrinsics) = network().train(), crops()
    joints = len(SMALL.landmarks)
    nan = torch.nan
    truth = Truth(
        uv_px=torch.full((2, joints, 2), nan),
        depth_m=torch.full((2, joints), nan),
        scale_m_px=torch.full((2,), nan),
        stature_m=torch.full((2,), nan),
        shape=torch.full((2, 6), nan),
        twists=torch.full((2, 24, 3), nan),
        leaf_rotations=torch.full((2, len(LEAVES), 3, 3), nan),
        coarse=torch.tensor([True, False]),
    )
    truth.uv_px[0, 3] = torch.tensor([20.0, 30.0])
    answers, heat = net.with_maps(image, intrinsics, torch.tensor([False, True]))
    loss = loss_of(answers, truth, SMALL, LossConfig(heat=0.5), heat)
    assert loss.uv.item() > 0
    assert loss.heat.item() > 0
    assert [part.item() for part in loss[1:-1]] == [0.0] * 5
    loss.total.backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in net.parameters())
    assert net.heat.weight.grad is not None
    assert net.heat.weight.grad[3].abs().sum() > 0
    assert net.heat.weight.grad[4].abs().sum() == 0


def test_coarse_joints_joints_outside_and_small_people() -> None:
    answers = random_answers()
    truth = as_truth(answers)
    near = answers._replace(uv_px=answers.uv_px + torch.tensor([4.0, 0.0]))
    assert float(loss_of(near, truth, SMALL).uv) == pytest.approx(4 / 64, rel=1e-4)
    assert float(loss_of(near, truth._replace(coarse=truth.coarse | True), SMALL).uv) == 0.0
    outside = truth._replace(uv_px=truth.uv_px - 100.0)
    assert float(loss_of(answers, outside, SMALL).uv) == 0.0
    child = truth._replace(stature_m=torch.full((3,), 0.85))
    deep = answers._replace(depth_m=answers.depth_m + 0.1)
    as_metres = loss_of(deep, child, SMALL, LossConfig(by_stature=False)).depth
    assert float(loss_of(deep, child, SMALL).depth) == pytest.approx(2 * float(as_metres), rel=1e-4)
    assert Loss._fields == ("uv", "depth", "scale", "shape", "twist", "leaf", "heat")


def test_the_entropy_of_maps_is_least_where_the_joints_are() -> None:
    truth = as_truth(random_answers())
    count, joints = truth.uv_px.shape[:2]
    middles = (torch.arange(16) + 0.5) * 4
    truth.uv_px[..., 0], truth.uv_px[..., 1] = middles[5], middles[9]
    config = LossConfig(heat=1.0, heat_cells=0.05)

    def cost(heat: torch.Tensor, config: LossConfig = config, truth: Truth = truth) -> float:
        return float(loss_of(random_answers(), truth, SMALL, config, heat).heat)

    flat = torch.zeros(count, joints, 16, 16)
    assert cost(flat) == pytest.approx(1.0)
    assert cost(flat, LossConfig(heat=0.5)) == pytest.approx(0.5)
    right, wrong = flat.clone(), flat.clone()
    right[..., 9, 5], wrong[..., 5, 9] = 30.0, 30.0
    assert cost(right) < 1e-6
    assert cost(wrong) == pytest.approx(30 / math.log(256), rel=1e-4)
    broad = LossConfig(heat=1.0, heat_cells=1.5)
    squared = (middles - middles[5]) ** 2 + ((middles - middles[9]) ** 2)[:, None]
    like = (-0.5 * squared / 6**2).expand(count, joints, -1, -1)
    assert cost(like, broad) < min(cost(1.1 * like, broad), cost(0.9 * like, broad))
    outside = truth._replace(uv_px=truth.uv_px - 100.0)
    assert cost(wrong, truth=outside) == 0.0
    assert float(loss_of(random_answers(), truth, SMALL).heat) == 0.0
    with pytest.raises(ValueError, match="heat: expected the network's heat-maps"):
        loss_of(random_answers(), truth, SMALL, config)
    beside = flat.clone()
    beside[..., 9, 6] = 30.0
    coarse = truth._replace(coarse=truth.coarse | True)
    assert cost(beside, truth=coarse) < cost(beside)
    assert cost(beside, truth=coarse) == pytest.approx(cost(beside, LossConfig(heat=1.0, heat_cells=5 / 4)))
    with pytest.raises(ValueError, match="heat_cells: expected a positive number"):
        LossConfig(heat_cells=0.0)


def test_widths_of_stages_may_be_chosen() -> None:
    slim = PersPose(replace(SMALL, backbone="resnet10t", backbone_channels=(8, 16, 24, 32)))
    trunk = slim.trunk
    assert isinstance(trunk, PyramidTrunk)
    assert [lateral.in_channels for lateral in trunk.lateral] == [8, 16, 24, 32]
    answers = slim(*crops())
    assert answers.uv_px.isfinite().all()
    with pytest.raises(ValueError, match="backbone_channels: expected positive numbers"):
        replace(SMALL, backbone_channels=(8, 0, 8, 8))
    with pytest.raises(ValueError, match="hrnet_w18_small has widths of its own"):
        PersPose(replace(SMALL, backbone="hrnet_w18_small", backbone_channels=(8, 16, 24, 32)))
    wrong = ("mobilenetv4_conv_small_050", (8, 16, 24, 32)), ("resnet10t", (8, 16)), ("resnet10t", (8, 16, 24, 32, 40))
    for name, widths in wrong:
        with pytest.raises(ValueError, match=f"backbone_channels: {name}"):
            PersPose(replace(SMALL, backbone=name, backbone_channels=widths))
    with pytest.raises(ValueError, match="of its own widths; train without pretrained"):
        PersPose(replace(SMALL, backbone="resnet10t", backbone_channels=(8, 16, 24, 32)), pretrained=True)


def test_it_learns_a_batch_by_heart() -> None:
    """Pixels, depths, scale: a small network comes near to the truth of four crops in some steps."""
    config = replace(SMALL, shape_numbers=0)
    net, (image, intrinsics) = network(config).train(), crops(4)
    aim = random_answers(config, 4)
    aim = aim._replace(uv_px=8 + 0.75 * aim.uv_px, depth_m=0.3 * aim.depth_m - 0.3 * aim.depth_m[:, :1])
    truth = as_truth(aim._replace(twists=aim.twists[:, :0], leaf_rotations=aim.leaf_rotations[:, :0]))
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    first = last = math.nan
    for step in range(40):
        loss = loss_of(net(image, intrinsics), truth, config).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < 0.6 * first


@pytest.mark.slow
def test_a_training_step_of_the_papers_whole_configuration() -> None:
    """HRNet-W48 on 256 × 256 px, batch 2: every parameter has a finite gradient."""
    config = PersPoseConfig()
    net, (image, intrinsics) = PersPose(config).train(), crops(2, 256)
    assert 70e6 < sum(value.numel() for value in net.parameters()) < 85e6
    answers = net(image, intrinsics)
    aim = random_answers(config, 2)
    truth = as_truth(aim._replace(uv_px=4 * aim.uv_px))
    loss_of(answers, truth, config).total.backward()
    for name, value in net.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
        assert value.grad.abs().sum() > 0 or name == "depth.bias", name
    slope = net.depth.weight.grad
    assert slope is not None
    assert not slope[0].any()  # the root's depth is 0 by definition
