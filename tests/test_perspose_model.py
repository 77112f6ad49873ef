"""PersPose's network: its backbones, its answers, flips, its loss, and bodies from what it says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import roma
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.body.anny_body import AnnyBody
from sightline.body.ik import leaves
from sightline.body.regressors import landmarks_of
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.body import posed_body, tree_bones, tree_truth
from sightline.methods.perspose.flip import (
    averaged,
    flip_averaged,
    flipped_answers,
    flipped_intrinsics,
    flipped_truth,
)
from sightline.methods.perspose.loss import Loss, LossConfig, Truth, loss_of
from sightline.methods.perspose.model import (
    LEAVES,
    PAPER_LANDMARKS,
    SIGHTLINE_LANDMARKS,
    TREE,
    Answers,
    PersPose,
    PersPoseConfig,
    as_input,
    rotation_from_6d,
    soft_argmax,
)
from sightline.methods.perspose.sides import swapped
from sightline.methods.perspose.trunk import HRNetTrunk, PyramidTrunk, trunk_of
from sightline.perspective import PerspectiveEncoding

SMALL = PersPoseConfig(backbone="mobilenetv4_conv_small_050", size_px=64, shape_numbers=6)


def crops(count: int = 2, size: int = 64) -> tuple[Tensor, Tensor]:
    """Pictures and intrinsics whose principal points lie beside the middle."""
    image = torch.rand(count, 3, size, size, generator=torch.manual_seed(1))
    intrinsics = torch.eye(3).repeat(count, 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = 3.0 * size
    intrinsics[:, 0, 2] = torch.linspace(-1, 2, count) * size
    intrinsics[:, 1, 2] = torch.linspace(0.5, 0.1, count) * size
    return as_input(image), intrinsics


def network(config: PersPoseConfig = SMALL) -> PersPose:
    torch.manual_seed(2)
    return PersPose(config).eval()


def random_answers(config: PersPoseConfig = SMALL, count: int = 3) -> Answers:
    joints = len(config.landmarks)
    return Answers(
        uv_px=64 * torch.rand(count, joints, 2),
        depth_m=torch.randn(count, joints),
        scale_m_px=0.01 + 0.02 * torch.rand(count),
        shape=torch.rand(count, config.shape_numbers),
        twists=torch.randn(count, 24, 3),
        leaf_rotations=roma.random_rotmat((count, len(LEAVES))),
    )


def as_truth(answers: Answers) -> Truth:
    """What is true if the answers are right."""
    stature, coarse = torch.full_like(answers.scale_m_px, 1.7), torch.zeros(len(answers.scale_m_px), dtype=torch.bool)
    return Truth(*answers[:3], stature, *answers[3:], coarse)


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
    assert_close(soft_argmax(heat, 4.0), soft_argmax(heat.double(), 4.0).float())


def test_a_network_without_a_body() -> None:
    answers = network(replace(SMALL, shape_numbers=0))(*crops())
    assert answers.shape.shape == (2, 0)
    assert answers.twists.shape == (2, 0, 3)
    assert answers.leaf_rotations.shape == (2, 0, 3, 3)


def test_soft_argmax_is_the_mean_place_of_cells() -> None:
    heat = torch.full((1, 2, 6, 8), -1e4, dtype=torch.float64)
    heat[0, 0, 2, 5] = 0.0
    heat[0, 1, 0, 0] = heat[0, 1, 5, 7] = 3.0
    assert_close(soft_argmax(heat, 4.0), torch.tensor([[[22.0, 10.0], [16.0, 12.0]]]).double())
    assert_close(soft_argmax(heat + 7.0, 4.0), soft_argmax(heat, 4.0))
    y, x = torch.meshgrid(torch.arange(16.0) + 0.5, torch.arange(16.0) + 0.5, indexing="ij")
    bell = -((4 * x - 30.0) ** 2 + (4 * y - 27.0) ** 2) / (2 * 5.0**2)
    assert_close(soft_argmax(bell[None, None], 4.0), torch.tensor([[[30.0, 27.0]]]), atol=1e-3, rtol=0)


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


# --------------------------------------------------------------------------------------------------------------- loss


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


# ------------------------------------------------------------------------------------------------------------- bodies


def test_joints_of_the_tree_turn_with_annys_bones() -> None:
    body = AnnyBody.load(torch.float64)
    bones = dict(zip(TREE.joints, (body.bones[row] for row in tree_bones(body)), strict=True))
    assert bones["LKnee"] == "lowerleg02.L"
    assert bones["RElbow"] == "lowerarm02.R"
    assert bones["Spine3"] == "spine01"
    assert bones["Head"] == "head"
    assert bones["LFoot"] == "foot.L"


def test_annys_mesh_comes_back_from_its_landmarks() -> None:
    from sightline.bench.retarget import random_rotations

    body = AnnyBody.load(torch.float64)
    rest = body.rest(torch.full((1, 6), 0.5, dtype=torch.float64))
    rotations = random_rotations(body, 6, torch.manual_seed(8))
    posed = body.posed(rest, rotations, torch.randn(6, 3, dtype=torch.float64))
    found = posed_body(body, rest, ALL_LANDMARKS, landmarks_of(body, posed))
    apart = torch.linalg.vector_norm(found.vertices - posed.vertices, dim=-1)
    assert apart.mean() < 0.02
    with pytest.raises(ValueError, match="expected none for anny"):
        posed_body(body, rest, ALL_LANDMARKS, landmarks_of(body, posed), torch.zeros(6, 24, 3).double())


@pytest.mark.slow
def test_smpls_mesh_comes_back_from_joints_twists_and_leaves(tmp_path: Path) -> None:
    """What the network is to learn tells the whole body: solved with it, the mesh is the one it was read from."""
    from sightline.bench.retarget import random_rotations
    from sightline.body.smpl_body import SmplBody
    from smpl_files import anny_as_smpl, write_official_pickle

    arrays = anny_as_smpl(AnnyBody.load(torch.float64))
    smpl = SmplBody.load(write_official_pickle(tmp_path / "smpl.pkl", arrays), torch.float64)
    rest = smpl.rest(torch.zeros(1, 10, dtype=torch.float64))
    rotations = random_rotations(smpl, 10, torch.manual_seed(9))
    posed = smpl.posed(rest, rotations, torch.randn(10, 3, dtype=torch.float64))
    truth = tree_truth(smpl, rest, rotations)
    landmarks = landmarks_of(smpl, posed)
    whole = posed_body(smpl, rest, ALL_LANDMARKS, landmarks, truth.twists, truth.leaf_rotations)
    least = posed_body(smpl, rest, ALL_LANDMARKS, landmarks)
    errors = [torch.linalg.vector_norm(found.vertices - posed.vertices, dim=-1).mean() for found in (whole, least)]
    assert errors[0] < 1e-3
    assert errors[1] > 5 * errors[0]
    few = tuple(name for name in ALL_LANDMARKS if name != "LFoot")
    with pytest.raises(ValueError, match="without LFoot"):
        posed_body(smpl, rest, few, landmarks[:, [ALL_LANDMARKS.index(name) for name in few]])


def test_input_is_normalized() -> None:
    assert_close(as_input(torch.tensor([0.485, 0.456, 0.406])[:, None, None]), torch.zeros(3, 1, 1))
