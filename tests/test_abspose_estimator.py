"""The cascade's 2D estimator: maps of 4 px cells, places that are means of them, a loss that teaches both."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from past_annotations import remade
from sightline.methods.abspose.estimator import EstimatorConfig, JointEstimator, Seen
from sightline.methods.abspose.estimator_loss import EstimatorLossConfig, estimator_loss
from sightline.nn.heatmaps import gaussian_maps

SMALL = EstimatorConfig(backbone="resnet10t", backbone_channels=(8, 8, 16, 16), channels=8, size_px=64)


def estimator(config: EstimatorConfig = SMALL) -> JointEstimator:
    torch.manual_seed(0)
    return JointEstimator(config)


def answers(points_px: torch.Tensor, network: JointEstimator, sigma: float = 2.0) -> Seen:
    """What the network would say of maps that are right."""
    maps = gaussian_maps(points_px / 4, (16, 16), sigma)
    network.heat = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    network.enlarge = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    network.net = nn.ModuleDict({network._last: _Says(maps)})  # pyright: ignore[reportPrivateUsage]
    return network(torch.zeros(len(maps), 3, 64, 64))


class _Says(nn.Module):
    """Answers the same to everything."""

    def __init__(self, maps: torch.Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        del image
        return self.maps


def points(count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 20 + 24 * torch.rand(count, 17, 2, generator=generator)


def test_maps_have_a_quarter_of_the_resolution() -> None:
    seen = estimator().eval()(torch.rand(2, 3, 64, 64))
    assert seen.maps.shape == (2, 17, 16, 16)
    assert seen.points_px.shape == (2, 17, 2)
    assert ((seen.confidence >= 0) & (seen.confidence <= 1)).all()
    assert ((seen.points_px > 0) & (seen.points_px < 64)).all()


@pytest.mark.parametrize(("normalise", "most_px"), [("softmax", 0.6), ("relu", 0.2)])
def test_right_maps_give_right_places(normalise: str, most_px: float) -> None:
    """To what the Gaussians lack beyond the border; of a softmax the empty rest of the map counts a little too."""
    true = points()
    seen = answers(true, estimator(replace(SMALL, normalise=normalise)))
    assert float((seen.points_px - true).detach().norm(dim=-1).max()) < most_px
    assert float(seen.confidence.min()) > 0.9
    assert float(estimator_loss(seen, true).maps.detach()) < 1e-9


def test_an_empty_map_has_no_place() -> None:
    true = points(1)
    true[0, 3] = torch.nan
    seen = answers(true, estimator(replace(SMALL, normalise="relu")))
    assert seen.points_px[0, 3].isnan().all()
    assert seen.confidence[0, 3] == 0
    loss = estimator_loss(seen, points(1))
    assert loss.total.isfinite()
    assert_close(loss.maps.detach(), torch.tensor(1 / 17), atol=0.01, rtol=0)


@pytest.mark.parametrize("coarse", [None, False, True])
def test_knowing_nothing_costs_one(coarse: bool | None) -> None:
    """Whether labels are exact or coarse: people who were labelled by hand do not count more than others."""
    seen = answers(torch.full((3, 17, 2), torch.nan), estimator())
    loss = estimator_loss(seen, points(3), None if coarse is None else torch.full((3,), coarse))
    assert_close(loss.maps.detach(), torch.tensor(1.0), atol=0.05 if coarse else 0.01, rtol=0)
    assert_close(
        loss.places.detach(), 10 * ((points(3) - 32).abs() / 64).mean(), atol=1e-4, rtol=0
    )  # the middle of the crop


def test_joints_outside_the_crop_are_not_there_and_unknown_ones_do_not_count() -> None:
    true = points(1)
    outside, unknown = true.clone(), true.clone()
    outside[0, 5], unknown[0, 5] = torch.tensor([70.0, 20.0]), torch.nan
    seen = answers(outside.where((outside <= 64).all(-1, keepdim=True), torch.nan), estimator())
    right = estimator_loss(seen, outside)
    assert float(right.maps.detach()) < 1e-9
    assert_close(estimator_loss(seen, unknown).places, right.places)
    assert float(estimator_loss(seen, true).maps.detach()) > 0.05


def test_coarse_labels_have_broader_maps() -> None:
    true = points(2)
    seen = answers(true, estimator(), sigma=4.0)
    wide = estimator_loss(seen, true, torch.tensor([True, True]))
    assert float(wide.maps.detach()) < 1e-9
    assert float(estimator_loss(seen, true, torch.tensor([True, False])).maps.detach()) > 0.1


@pytest.mark.slow
def test_it_learns_where_a_spot_is() -> None:
    """Places come to a few pixels of the spot, and the loss to half of what it was."""
    torch.manual_seed(0)
    network = estimator(replace(SMALL, backbone_channels=(8, 16, 16, 32), channels=16)).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(2)
    first = last = torch.tensor(0.0)
    for step in range(150):
        place = 12 + 40 * torch.rand(8, 1, 2, generator=generator)
        image = gaussian_maps(place, (64, 64), 4.0).expand(8, 3, 64, 64)
        seen = network(image)
        loss = estimator_loss(seen, place.expand(8, 17, 2))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        first, last = (loss.total.detach() if step == 0 else first), loss.total.detach()
        apart = float((seen.points_px - place).detach().norm(dim=-1).mean())
    assert float(last) < 0.5 * float(first)
    assert apart < 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_px": 100}, "size_px: expected a multiple of 32"),
        ({"channels": 0}, "channels, backbone_channels: expected positive numbers"),
        ({"skeleton": "nobody"}, "nobody"),
        ({"normalise": "sum"}, "normalise: expected one of softmax, relu, got 'sum'"),
    ],
)
def test_wrong_configurations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        remade(SMALL, **change)


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match=r"image: expected crops of 64 × 64 px, got 96 × 64"):
        estimator()(torch.zeros(1, 3, 64, 96))
    with pytest.raises(ValueError, match="loss: expected weights of at least 0"):
        EstimatorLossConfig(places=-1)


class Sees(nn.Module):
    """The same maps, whatever comes."""

    def __init__(self, maps: torch.Tensor) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        del features
        return self.maps


def test_half_precision_around_it_does_not_move_places() -> None:
    config = EstimatorConfig(backbone="resnet10t", backbone_channels=(8, 8, 16, 16), channels=8, size_px=64)
    torch.manual_seed(3)
    network, crops = JointEstimator(config).eval(), torch.zeros(2, 3, 64, 64)
    network.heat = Sees(gaussian_maps(4 + 8 * torch.rand(2, 17, 2), (16, 16), 2.0))  # pyright: ignore[reportAttributeAccessIssue]
    whole = network.joints_in(crops)
    with torch.autocast("cpu", torch.bfloat16):
        half = network.joints_in(crops)
    assert_close(half.points_px, whole.points_px, atol=1e-5, rtol=0)


def test_a_backbone_is_taken_up_to_the_first_stage_that_is_another() -> None:
    config = EstimatorConfig(backbone="resnet10t", backbone_channels=(8, 8, 16, 16), channels=8, size_px=64)
    other = JointEstimator(config)
    other.net.requires_grad_(False)
    for value in other.net.state_dict().values():
        value.fill_(3)
    network = JointEstimator(replace(config, backbone_channels=(8, 8, 16, 24)))
    network.begin_with(other.state_dict())
    equal = {name: bool((value == 3).all()) for name, value in network.state_dict().items()}
    assert {name.split(".")[1] for name, same in equal.items() if same} == {
        "conv1",
        "bn1",
        "layer1",
        "layer2",
        "layer3",
    }
    assert all(same for name, same in equal.items() if name.startswith(("net.conv1", "net.layer3")))
    first = {name: value for name, value in other.state_dict().items() if not name.startswith("net.conv1")}
    with pytest.raises(ValueError, match="backbone: expected weights of an equal one"):
        network.begin_with(first)
