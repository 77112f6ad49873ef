"""AbsPoseLifter's network and loss: the normalisation layer (eq. 1–4), the residual lifter, the loss (eq. 7)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.testing import assert_close

from sightline.methods.abspose.loss import abspose_loss
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter, Lifted, NormalizationLayer
from sightline.nn.residual_mlp import ResidualBlock, ResidualMLP

DOUBLE = torch.float64
ABLATION = [(True, True, 37), (True, False, 36), (False, True, 35), (False, False, 34)]


def points(count: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    """2D poses (px) from the principal point: a few hundred pixels tall, anywhere."""
    return (120 * torch.randn(count, 17, 2) + 300 * torch.randn(count, 1, 2)).to(dtype)


def tiny(**changes: object) -> AbsPoseLifter:
    """A lifter of 32 features that answers something else for every pose."""
    return AbsPoseLifter(AbsPoseConfig(**{"width": 32, **changes})).eval()


# --- the normalisation layer ------------------------------------------------------------------------------------------


def normalized_slowly(pose: np.ndarray, location: bool, scale: bool) -> np.ndarray:
    """NumPy twin: equations 2, 3 and 4, joint by joint."""
    joints = len(pose)
    mean = sum(pose) / joints
    spread = np.sqrt(sum((point - mean) @ (point - mean) for point in pose) / joints)
    answer = [coordinate for point in pose for coordinate in (point - mean) / spread]
    return np.array(answer + (list(mean / 1000) if location else []) + ([spread / 1000] if scale else []))


@pytest.mark.parametrize(("location", "scale", "length"), ABLATION)
def test_the_layer_is_equations_2_to_4(location: bool, scale: bool, length: int) -> None:
    poses = points(20, DOUBLE)
    layer = NormalizationLayer(location=location, scale=scale)
    answer = layer(poses)
    assert answer.shape == (20, length)
    assert layer.features(17) == length
    for pose, row in zip(poses.numpy(), answer.numpy(), strict=True):
        assert_allclose(row, normalized_slowly(pose, location, scale), rtol=1e-12, atol=1e-12)


def test_normalised_poses_have_zero_mean_and_unit_rms_distance() -> None:
    pose = NormalizationLayer()(points(50, DOUBLE))[:, :34].reshape(50, 17, 2)
    assert_close(pose.mean(1), torch.zeros(50, 2, dtype=DOUBLE))
    assert_close(pose.square().sum(-1).mean(-1), torch.ones(50, dtype=DOUBLE))


def test_nothing_is_lost() -> None:
    poses = points(50, DOUBLE)
    answer = NormalizationLayer()(poses)
    shape, mean, spread = answer[:, :34].reshape(50, 17, 2), 1000 * answer[:, 34:36], 1000 * answer[:, 36]
    assert_close(shape * spread[:, None, None] + mean[:, None], poses)


def test_a_moved_pose_differs_in_location_only_and_a_larger_one_in_scale_only() -> None:
    poses, layer = points(20, DOUBLE), NormalizationLayer()
    moved = layer(poses + torch.tensor([70.0, -30.0])) - layer(poses)
    assert_close(moved[:, 34:36], torch.tensor([[0.07, -0.03]], dtype=DOUBLE).expand(20, 2))
    assert_close(moved[:, list(range(34)) + [36]], torch.zeros(20, 35, dtype=DOUBLE))
    centre = poses.mean(1, keepdim=True)
    larger = layer(centre + 1.7 * (poses - centre))
    assert_close(larger[:, :36], layer(poses)[:, :36])
    assert_close(larger[:, 36], 1.7 * layer(poses)[:, 36])


def test_a_network_without_location_or_scale_cannot_see_it() -> None:
    poses = points(10, DOUBLE).float()
    blind = tiny(location=False, scale=False)
    for one, other in zip(blind(poses), blind(3 * poses + 50), strict=True):
        assert_close(one, other, rtol=1e-3, atol=1e-4)
    seeing = tiny()
    assert (seeing(poses).depth - seeing(3 * poses + 50).depth).abs().min() > 1e-4


@pytest.mark.parametrize("spread_px", [0.0, 1e-9, 1e-6])
def test_a_pose_without_extent_gives_no_nan_and_no_nan_gradient(spread_px: float) -> None:
    degenerate = (torch.full((2, 17, 2), 123.0) + spread_px * torch.randn(2, 17, 2)).requires_grad_()
    lifter = tiny()
    answer = lifter.normalize(degenerate)
    assert answer.isfinite().all()
    lifted = lifter(degenerate)
    (lifted.relative.sum() + lifted.depth.sum()).backward()
    assert degenerate.grad is not None
    assert degenerate.grad.isfinite().all()
    if spread_px == 0:
        assert torch.equal(answer[:, :34], torch.zeros(2, 34))


def test_the_layer_has_the_right_gradient() -> None:
    assert gradcheck(NormalizationLayer(), (points(2, DOUBLE).requires_grad_(),), eps=1e-4, atol=1e-6)


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("location", "scale", "length"), ABLATION)
def test_the_ablations_networks_take_34_to_37_numbers(location: bool, scale: bool, length: int) -> None:
    lifter = tiny(location=location, scale=scale)
    assert lifter.network.enter.in_features == length
    assert lifter.network.leave.out_features == 49
    assert lifter(points(3)).relative.shape == (3, 17, 3)


@pytest.mark.parametrize(("width", "millions"), [(4096, 67.5), (1024, 4.3)])
def test_parameter_counts_are_the_papers(width: int, millions: float) -> None:
    with torch.device("meta"):
        lifter = AbsPoseLifter(AbsPoseConfig(width=width))
    count = sum(parameter.numel() for parameter in lifter.parameters())
    assert round(count / 1e6, 1) == millions
    blocks = 4 * (width * width + width) + 4 * 2 * width
    assert count == blocks + (37 * width + width) + (49 * width + 49)


def test_the_network_is_figure_3() -> None:
    network = ResidualMLP(37, 49, width=16, dropout=0.5)
    inner = [type(layer) for layer in network.blocks[0].layers]
    assert inner == 2 * [nn.BatchNorm1d, nn.Dropout, nn.ReLU, nn.Linear]
    assert len(network.blocks) == 2
    assert {layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)} == {0.5}


def test_a_block_of_zeros_passes_its_input_on() -> None:
    block = ResidualBlock(8, 0.0)
    nn.init.zeros_(block.layers[-1].weight)
    nn.init.zeros_(block.layers[-1].bias)
    features = torch.randn(5, 8)
    assert torch.equal(block(features), features)


def test_first_weights() -> None:
    small = ResidualMLP(37, 49, width=256, init_std=0.001)
    for layer in small.modules():
        if isinstance(layer, nn.Linear):
            assert float(layer.weight.detach().std()) == pytest.approx(0.001, rel=0.05)
            assert not layer.bias.any()
    assert float(ResidualMLP(37, 49, width=256).enter.weight.detach().std()) > 0.05


def test_the_root_is_at_the_origin_and_depth_comes_last() -> None:
    lifter = tiny()
    nn.init.zeros_(lifter.network.leave.weight)
    with torch.no_grad():
        lifter.network.leave.bias.copy_(torch.arange(49.0))
    lifted = lifter(points(2))
    assert torch.equal(lifted.relative[:, 0], torch.zeros(2, 3))
    assert torch.equal(lifted.relative[:, 1:].flatten(1), torch.arange(48.0).expand(2, 48))
    assert torch.equal(lifted.depth, torch.full((2,), 48.0))


def test_batch_is_the_loop_over_it() -> None:
    lifter, poses = tiny(), points(6)
    together = lifter(poses)
    for row in range(6):
        alone = lifter(poses[row : row + 1])
        assert_close(alone.relative[0], together.relative[row])
        assert_close(alone.depth[0], together.depth[row])


def test_under_autocast_first_and_last_layer_keep_32_bits() -> None:
    lifter, poses, seen = tiny(), points(4), {}
    exact = lifter(poses)
    for name, layer in lifter.network.named_modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda _, given, answer, name=name: seen.update({name: answer.dtype}))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lifted = lifter(poses)
    assert (seen.pop("enter"), seen.pop("leave")) == (torch.float32, torch.float32)
    assert list(seen.values()) == 4 * [torch.bfloat16]
    assert lifted.relative.dtype == lifted.depth.dtype == torch.float32
    assert not torch.equal(lifted.depth, exact.depth)
    assert_close(lifted.depth, exact.depth, rtol=0.1, atol=0.05)


def test_wrong_joints_are_refused() -> None:
    with pytest.raises(ValueError, match=r"17, 2"):
        tiny()(torch.zeros(3, 16, 2))
    with pytest.raises(ValueError, match="rays"):
        AbsPoseConfig(depth="metric", coordinates="rays")


# --- the loss ---------------------------------------------------------------------------------------------------------


def answers(count: int = 3) -> Lifted:
    return Lifted(relative=torch.randn(count, 17, 3, dtype=DOUBLE), depth=4 + torch.rand(count, dtype=DOUBLE))


def test_the_loss_is_equation_7_by_hand() -> None:
    lifted, truth = answers(), answers()
    pose = depth = 0.0
    for row in range(3):
        depth += abs(float(lifted.depth[row] - truth.depth[row])) / 3
        for joint in range(17):
            for axis in range(3):
                pose += abs(float(lifted.relative[row, joint, axis] - truth.relative[row, joint, axis])) / 3
    parts = abspose_loss(lifted, truth)
    assert float(parts.pose) == pytest.approx(pose)
    assert float(parts.depth) == pytest.approx(depth)
    assert float(parts.total) == pytest.approx(pose + depth)
    assert float(abspose_loss(lifted, truth, pose_weight=7.0).total) == pytest.approx(7 * pose + depth)
    assert float(abspose_loss(truth, truth).total) == 0.0


def test_the_printed_lambda_is_a_million_here_and_the_trained_one_is_one() -> None:
    """With R̃ = Z / f (m/px) and P̃ in metres: eq. 7 as printed has λ = 10³, public training |1000 R̃| + ‖P̃‖₁."""
    lifted, truth = answers(), answers()
    canonical = ((lifted.depth - truth.depth) / 1000).abs().mean()
    pose = (lifted.relative - truth.relative).abs().sum((1, 2)).mean()
    printed = canonical + 1e3 * pose
    assert_close(abspose_loss(lifted, truth, pose_weight=1e6).total, 1000 * printed)
    trained = canonical + 1e-3 * pose
    assert_close(abspose_loss(lifted, truth).total, 1000 * trained)


def test_the_loss_is_a_mean_over_the_batch() -> None:
    lifted, truth = answers(4), answers(4)
    rows = [
        abspose_loss(Lifted(*(v[r : r + 1] for v in lifted)), Lifted(*(v[r : r + 1] for v in truth))).total
        for r in range(4)
    ]
    assert_close(abspose_loss(lifted, truth).total, torch.stack(rows).mean())
