"""LCR-Net++'s heads: a layer for each class, factorised ones, and what sums the first estimate up."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sightline.methods.lcrnet.heads import ByClass, Heads, condensed


def test_each_class_has_a_layer_of_its_own() -> None:
    torch.manual_seed(0)
    layer = ByClass(4, 6, 8)
    nn.init.normal_(layer.bias)
    features, classes = torch.randn(10, 8), torch.tensor([3, 0, 0, 3, 1, 3, 0, 1, 1, 3])
    expected = torch.stack(
        [layer.weight[row] @ one + layer.bias[row] for one, row in zip(features, classes, strict=True)]
    )
    assert_close(layer(features, classes), expected)
    assert layer(features[:0], classes[:0]).shape == (0, 6)


def test_all_classes_are_summed_up_alike_in_training_and_evaluation() -> None:
    torch.manual_seed(0)
    layer = ByClass(4, 6, 8)
    nn.init.normal_(layer.bias)
    features, summary = torch.randn(10, 8), torch.randn(5, 24)
    every = torch.stack([layer(features, torch.full((10,), row)) for row in range(4)], dim=1).flatten(1)
    assert_close(layer.summed(features, summary), every @ summary.T)
    with torch.no_grad():
        assert_close(layer.summed(features, summary), every @ summary.T)
        assert_close(layer.summed(features[:4], summary), every[:4] @ summary.T)
        layer.weight.mul_(2.0)
        layer.bias.mul_(2.0)
        assert_close(layer.summed(features, summary), 2 * every @ summary.T)
        layer.load_state_dict({name: value / 2 for name, value in layer.state_dict().items()})
        assert_close(layer.summed(features, summary), every @ summary.T)


def test_what_sums_up_factorised_classes_is_as_good_as_one_over_all_their_numbers() -> None:
    """A layer over 4 classes' 24 numbers, and the one over 3 + 6 numbers that says the same."""
    torch.manual_seed(0)
    layer = ByClass(4, 6, 8, 3)
    nn.init.normal_(layer.bias)
    features, summary = torch.randn(10, 8), torch.randn(5, 24)
    every = torch.stack([layer(features, torch.full((10,), row)) for row in range(4)], dim=1).flatten(1)
    few, more = condensed(summary, layer.weight, layer.bias)
    assert few.shape == (5, layer.known) == (5, 9)
    assert_close(layer.summed(features, few) + more, every @ summary.T)


def test_weights_that_sum_up_all_classes_numbers_are_taken() -> None:
    """As factorised heads were written once; the second estimate is what it was."""
    torch.manual_seed(0)
    heads = Heads(10, 8, 4, 6, summary=5, rank=3).eval()
    assert heads.of_pose is not None
    nn.init.normal_(heads.first.pose.bias)
    whole = torch.randn(5, 24)
    weights = {name: value.clone() for name, value in heads.state_dict().items()} | {"of_pose": whole}
    few, more = condensed(whole, heads.first.pose.weight, heads.first.pose.bias)
    heads.load_state_dict(weights)
    assert_close(heads.of_pose.detach(), few.detach())
    assert heads.of_label is not None
    assert_close(heads.of_label.bias.detach(), (weights["of_label.bias"] + more).detach())
    with pytest.raises(RuntimeError, match="of_pose"):
        heads.load_state_dict({**weights, "of_pose": torch.randn(5, 25)})


def test_factorised_classes_add_their_own_to_what_all_have_in_common() -> None:
    torch.manual_seed(0)
    layer = ByClass(4, 6, 8, 3)
    features, classes = torch.randn(5, 8), torch.tensor([3, 0, 3, 1, 2])
    assert layer.shared is not None
    assert layer.common is not None
    own = torch.stack([layer.weight[row] @ layer.shared(one) for one, row in zip(features, classes, strict=True)])
    assert_close(layer(features, classes), own + features @ layer.common.weight.T)
    assert float((layer(features, classes) - own).detach().abs().min()) > 0


def test_a_shared_layer_makes_the_regression_small() -> None:
    """All that regresses in the paper's two heads is most of the network; factorised it is a small part."""
    with torch.device("meta"):
        both = [Heads(512 * 49, 4096, 400, 65, summary=2048, rank=rank) for rank in (0, 64)]
    sizes = [sum(value.numel() for name, value in each.named_parameters() if "pose" in name) for each in both]
    assert sizes[0] == 2 * 400 * 65 * 4097 + 2048 * 400 * 65
    assert sizes[1] < 0.025 * sizes[0]


def test_the_second_estimate_sees_the_first() -> None:
    torch.manual_seed(0)
    heads = Heads(12, 16, 3, 10, summary=8).eval()
    boxes = torch.randn(5, 12)
    first, second = heads(boxes)
    assert first[1].logits.shape == second[1].logits.shape == (5, 4)
    with torch.no_grad():
        heads.first.pose.bias.add_(3.0)
        assert_close(heads(boxes)[0][1].logits, first[1].logits)
        assert float((heads(boxes)[1][1].logits - second[1].logits).abs().max()) > 1e-6
    assert len(Heads(12, 16, 3, 10)(boxes)) == 1
