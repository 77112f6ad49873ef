"""PersPose's network: its backbones, its answers and flips."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch
from torch.testing import assert_close

from sightline.body.anny_body import AnnyBody
from sightline.body.ik import leaves
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.body import tree_truth
from sightline.methods.perspose.flip import (
    averaged,
    flip_averaged,
    flipped_answers,
    flipped_intrinsics,
    flipped_truth,
)
from sightline.methods.perspose.loss import Truth
from sightline.methods.perspose.model import (
    LEAVES,
    PAPER_LANDMARKS,
    SIGHTLINE_LANDMARKS,
    TREE,
    PersPoseConfig,
    rotation_from_6d,
)
from sightline.methods.perspose.sides import swapped
from sightline.methods.perspose.trunk import HRNetTrunk, PyramidTrunk, trunk_of
from sightline.nn.backbones import as_input
from sightline.nn.heatmaps import softmax_place
from sightline.perspective import PerspectiveEncoding
from tiny_perspose import SMALL, as_truth, crops, network, random_answers

# ---------------------------------------------------------------------------------------------------------- backbones


def test_without_encoding_hrnet_is_timms() -> None:
    """Stem, stages and the classification head are gone through as timm does."""
    trunk = HRNetTrunk("hrnet_w18_small", encoding=False).eval()
    image, intrinsics = crops()
    with torch.no_grad():
        seen = trunk(image, intrinsics)
        assert_close(seen.vector, trunk.net.global_pool(trunk.net.forward_features(image)))
    assert seen.map.shape == (2, trunk.map_channels, 16, 16)
    assert seen.vector.shape == (2, 2048) == (2, trunk.vector_size)


@pytest.mark.parametrize("name", ["hrnet_w18_small", "mobilenetv4_conv_small_050", "resnet10t", "edgenext_xx_small"])
def test_backbones_by_name(name: str) -> None:
    """A map at stride 4, a vector, a gradient for every parameter; the intrinsics matter only through the encoding."""
    trunk = trunk_of(name, encoding=True)
    image, intrinsics = crops()
    seen = trunk(image, intrinsics)
    assert seen.map.shape == (2, trunk.map_channels, 16, 16)
    assert seen.vector.shape == (2, trunk.vector_size)
    (seen.map.square().mean() + seen.vector.square().mean()).backward()
    assert [key for key, value in trunk.named_parameters() if value.grad is None] == []
    trunk.eval()
    with torch.no_grad():
        other = trunk(image, intrinsics + torch.tensor([[0, 0, 50.0], [0, 0, 0], [0, 0, 0]]))
        unknown = trunk(image, intrinsics, torch.tensor([False, False]))
        again = trunk(image, 2 * intrinsics, torch.tensor([False, False]))
    same = trunk(image, intrinsics)
    assert not torch.allclose(other.map, same.map, rtol=1e-6)
    assert not torch.allclose(unknown.map, same.map, rtol=1e-6)
    assert_close(unknown, again)
    blind = trunk_of(name, encoding=False).eval()
    with torch.no_grad():
        assert_close(blind(image, intrinsics), blind(image, 3 * intrinsics))


def test_what_is_no_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="timm has no network 'nothing_of_this_name'"):
        trunk_of("nothing_of_this_name", encoding=True)
    with pytest.raises(ValueError, match="timm has no network 'hrnet_w99'"):
        trunk_of("hrnet_w99", encoding=True)
    with pytest.raises(ValueError, match="whose stages can be had"):
        PyramidTrunk("vit_tiny_patch16_224")
    with pytest.raises(ValueError, match="not maps of any size"):
        PyramidTrunk("swin_tiny_patch4_window7_224")


@pytest.mark.parametrize("name", ["hrnet_w18_small", "resnet10t"])
def test_weights_that_cannot_be_fetched_are_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def nowhere(*_: object, **__: object) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(timm, "create_model", nowhere)
    with pytest.raises(InputError, match=f"weights of {name} could not be fetched .no route.; train without"):
        trunk_of(name, encoding=True, pretrained=True)


# ------------------------------------------------------------------------------------------------------------ network


def test_answers_are_within_their_ranges() -> None:
    net, (image, intrinsics) = network(replace(SMALL, landmarks=SIGHTLINE_LANDMARKS)), crops()
    with torch.no_grad():
        for layer in (net.depth, net.scale, net.heat):
            layer.weight.mul_(1000)  # as far as it goes
        answers = net(image, intrinsics)
    assert answers.uv_px.shape == (2, len(ALL_LANDMARKS), 2)
    assert ((answers.uv_px > 1.999) & (answers.uv_px < 62.001)).all()
    assert (answers.depth_m[:, 0] == 0).all()
    assert 1.0 < answers.depth_m.abs().max() <= 1.1
    middle = 0.007 * 256 / 64
    assert (answers.scale_m_px >= middle * math.exp(-1.5) * 0.999).all()
    assert (answers.scale_m_px <= middle * math.exp(1.5) * 1.001).all()
    turns = answers.leaf_rotations
    assert_close(turns @ turns.mT, torch.eye(3).expand_as(turns), atol=1e-5, rtol=0)
    assert answers.joints_in_crop(intrinsics).shape == (2, len(ALL_LANDMARKS), 3)


def test_half_precision_leaves_pixels_alone() -> None:
    """Under autocast places are those of the heat-maps in single precision, and the encoding keeps its steps."""
    heat = 5 * torch.rand(2, 3, 64, 64)
    net, (image, intrinsics) = network(), crops()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        answers = net(image, intrinsics)
    assert {value.dtype for value in answers} == {torch.float32}
    assert len(answers.uv_px.unique()) > 90
    layer = PerspectiveEncoding(2, 4.0)
    with torch.no_grad():
        layer.mix.weight.copy_(torch.eye(2)[..., None, None])  # pyright: ignore[reportOptionalMemberAccess]
        narrow = torch.tensor([[[2000.0, 0, -1300], [0, 2000.0, 0], [0, 0, 1]]])
        with torch.autocast("cpu", torch.bfloat16):
            added = layer(torch.zeros(1, 2, 64, 64), narrow)
    assert len(added[0, 0, 0].unique()) == 64
    assert_close(softmax_place(heat, 4.0), softmax_place(heat.double(), 4.0).float())


def test_a_network_without_a_body() -> None:
    answers = network(replace(SMALL, shape_numbers=0))(*crops())
    assert answers.shape.shape == (2, 0)
    assert answers.twists.shape == (2, 0, 3)
    assert answers.leaf_rotations.shape == (2, 0, 3, 3)


def test_rotations_of_six_numbers() -> None:
    turns = roma.random_rotmat(5, dtype=torch.float64)
    numbers = torch.cat([2.0 * turns[..., 0], 3.0 * turns[..., 1] - 0.4 * turns[..., 0]], -1)
    assert_close(rotation_from_6d(numbers), turns)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"landmarks": ("Hip", "Tail")}, "unknown: \\['Tail'\\]"),
        ({"landmarks": ("Hip", "Hip")}, "each once"),
        ({"landmarks": ("LKnee", "RKnee")}, "expected Hip first"),
        ({"landmarks": ("Hip", "LKnee")}, "without RKnee"),
        ({"size_px": 100}, "multiple of 32"),
        ({"shape_numbers": -1}, "shape_numbers"),
        ({"scale_mm_px": 0.0}, "positive"),
    ],
)
def test_a_wrong_configuration_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PersPoseConfig(**wrong)  # pyright: ignore[reportArgumentType]


def test_crops_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="expected crops of 64 × 64 px, got 96 × 96"):
        network()(*crops(size=96))


def test_the_papers_joints_and_tree() -> None:
    assert len(PAPER_LANDMARKS) == 25
    assert PAPER_LANDMARKS[0] == "Hip"
    assert leaves(TREE.parents) == LEAVES
    assert len(LEAVES) == 5


# -------------------------------------------------------------------------------------------------------------- flips


@pytest.mark.parametrize("landmarks", [PAPER_LANDMARKS, SIGHTLINE_LANDMARKS])
def test_flipping_twice_is_nothing(landmarks: tuple[str, ...]) -> None:
    config = replace(SMALL, landmarks=landmarks)
    answers = random_answers(config)
    once = flipped_answers(answers, landmarks, 64.0)
    assert_close(flipped_answers(once, landmarks, 64.0), answers)
    left, right = landmarks.index("LKnee"), landmarks.index("RKnee")
    assert_close(once.uv_px[:, left, 0], 64 - answers.uv_px[:, right, 0])
    truth = as_truth(answers)
    assert_close(flipped_truth(truth, landmarks, 64.0), as_truth(once))


def test_flip_averaging_makes_the_network_symmetric() -> None:
    """Mirroring picture and camera mirrors the answer, for a network that has learnt nothing of it."""
    net, (image, intrinsics) = network(), crops(3)
    with torch.no_grad():
        one = flip_averaged(net, image, intrinsics)
        two = flip_averaged(net, image.flip(-1), flipped_intrinsics(intrinsics, 64.0))
        plain, other = net(image, intrinsics), net(image.flip(-1), flipped_intrinsics(intrinsics, 64.0))
    for a, b in zip(flipped_answers(one, SMALL.landmarks, 64.0), two, strict=True):
        assert_close(a, b, atol=2e-5, rtol=0)
    assert not torch.allclose(flipped_answers(plain, SMALL.landmarks, 64.0).uv_px, other.uv_px, atol=1e-3)
    assert_close(averaged(plain, plain), plain)


def test_sides_without_another_are_refused() -> None:
    with pytest.raises(ValueError, match="without RKnee"):
        swapped(("Hip", "LKnee"))


def test_mirrored_bodies_have_mirrored_truth() -> None:
    """Twists and leaf rotations of a mirrored person are those that `flipped_truth` says."""
    body = AnnyBody.load(torch.float64)
    rest = body.rest(torch.full((1, 6), 0.5, dtype=torch.float64))
    turns = roma.random_rotmat((4, len(body.bones)), dtype=torch.float64)
    names = [name.replace(".L", ".?").replace(".R", ".L").replace(".?", ".R") for name in body.bones]
    order = [body.bones.index(name) for name in names]
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    true = tree_truth(body, rest, turns)
    seen = tree_truth(body, rest, (mirror @ turns @ mirror)[:, order])
    blank = torch.full((4, 2, 2), torch.nan, dtype=torch.float64)
    whole = Truth(blank, blank[..., 0], blank[:, 0, 0], blank[:, 0, 0], blank[:, 0], *true, blank[:, 0, 0] > 0)
    flipped = flipped_truth(whole, ("LKnee", "RKnee"), 64.0)
    assert_close(flipped.twists, seen.twists, equal_nan=True, atol=2e-3, rtol=0)  # Anny is not quite symmetric
    assert_close(flipped.leaf_rotations, seen.leaf_rotations)


def test_input_is_normalized() -> None:
    assert_close(as_input(torch.tensor([0.485, 0.456, 0.406])[:, None, None]), torch.zeros(3, 1, 1))
