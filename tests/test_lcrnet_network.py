"""LCR-Net++'s network: its maps and heads, what it learns from, what it answers, and pictures that are odd."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.testing import assert_close

import sightline.methods.lcrnet.network as network_file
from sightline.data.procedural import procedural_poses
from sightline.methods.lcrnet.anchors import AnchorPoses, fit_anchors
from sightline.methods.lcrnet.boxes import BOX_MARGIN, pose_boxes
from sightline.methods.lcrnet.features import Maps, Pool
from sightline.methods.lcrnet.network import LcrNet, LcrNetConfig, Losses, Sampling
from sightline.methods.lcrnet.people import Decoding, Looked, people_of
from sightline.methods.lcrnet.targets import TruePeople, classes_of, sampled, targets_of, true_boxes
from sightline.methods.lcrnet.views import drawn_views
from sightline.skeleton import get_skeleton

LCR13 = get_skeleton("lcr13")
SMALL = LcrNetConfig(
    backbone="resnet10t", backbone_channels=(8, 16, 16, 32), channels=16, hidden=32, summary=24, dropout=0.0,
    short_px=160, long_px=320, box_sizes_px=(48, 96, 144), proposals=20, proposals_training=40,
)  # fmt: skip
PYRAMID = replace(SMALL, pyramid=True, box_sizes_px=(24, 48, 96, 144), summary=0, rank=8, pooling="align-mean")
COARSE = replace(PYRAMID, finest=8, box_sizes_px=(48, 96, 144), backbone_stem=8)
SIZE = (160, 200)


def views(count: int = 300) -> Tensor:
    poses = procedural_poses(100, torch.Generator().manual_seed(1))
    return drawn_views(poses, count, LCR13, torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def anchors() -> AnchorPoses:
    return fit_anchors(views(), 5, LCR13)


def network(anchors: AnchorPoses, config: LcrNetConfig = SMALL) -> LcrNet:
    torch.manual_seed(3)
    return LcrNet(config, anchors)


def standing(joints_m: Tensor, place: tuple[float, float] = (100.0, 70.0), px_per_m: float = 60.0) -> TruePeople:
    """One person in a picture, orthographic."""
    points = px_per_m * joints_m[None, :, :2] + torch.tensor(place)
    return TruePeople(points, joints_m[None])


def nobody() -> TruePeople:
    return TruePeople(torch.zeros(0, 13, 2), torch.zeros(0, 13, 3))


def pictures(count: int = 2, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(4))


# ------------------------------------------------------------------------------------------------------------- parts


def test_a_backbone_may_begin_with_anothers_and_stay(anchors: AnchorPoses) -> None:
    """What is frozen up to a stage keeps its weights in a step, and what comes after it learns."""
    torch.manual_seed(0)
    net, other = LcrNet(COARSE, anchors), LcrNet(COARSE, anchors)
    net.maps.begin_with(other.maps.state_dict())
    begun = {name: value.clone() for name, value in net.maps.net.named_parameters()}
    assert all(torch.equal(begun[name], value) for name, value in other.maps.net.named_parameters())
    assert not torch.equal(net.heads.first.label.weight, other.heads.first.label.weight)
    net.maps.freeze(4)
    means = net.maps.state_dict()["net.bn1.running_mean"].clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.train().losses(pictures(1), [standing(views(1)[0].float())]).total.backward()
    optimizer.step()
    changed = {name for name, value in net.maps.net.named_parameters() if not torch.equal(begun[name], value)}
    assert changed
    assert all(name.startswith(("layer2", "layer3", "layer4")) for name in changed)
    assert any(name.startswith("layer2") for name in changed)
    assert torch.equal(net.maps.state_dict()["net.bn1.running_mean"], means)
    assert net.maps.net["layer2"].training
    assert not net.maps.net["layer1"].training


def test_a_network_may_begin_with_anothers_maps_and_proposals(anchors: AnchorPoses) -> None:
    """Where both are equal; where they are not, with its backbone alone, and never with its heads."""
    torch.manual_seed(0)
    other = LcrNet(COARSE, anchors)
    theirs = other.state_dict()
    one_map = replace(COARSE, pyramid=False, finest=4)
    for config, taken in ((COARSE, ("maps.", "rpn.")), (one_map, ("maps.net.",))):
        net = LcrNet(config, anchors)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        net.begin_with(other)
        learnt = {name: value for name, value in net.state_dict().items() if value.ndim > 1}
        for name, value in learnt.items():
            if name.startswith(taken):
                assert torch.equal(value, theirs[name]), name
            else:
                assert torch.equal(value, before[name]), name
        assert {name.split(".")[0] for name in learnt} == {"anchors_m", "maps", "rpn", "heads"}
    with pytest.raises(ValueError, match="expected weights of an equal one"):
        LcrNet(replace(COARSE, backbone_channels=(8, 16, 16, 16)), anchors).begin_with(other)


def test_a_backbone_of_another_kind_is_refused(anchors: AnchorPoses) -> None:
    net = LcrNet(COARSE, anchors)
    other = LcrNet(replace(COARSE, backbone_channels=(8, 16, 16, 16)), anchors)
    with pytest.raises(ValueError, match="expected weights of an equal one"):
        net.maps.begin_with(other.maps.state_dict())
    with pytest.raises(ValueError, match="frozen_stride: expected one of"):
        net.maps.freeze(5)


def test_the_largest_of_four_points_of_each_cell_is_taken() -> None:
    """A map of one bright cell: align-max keeps its height where align-mean spreads it."""
    maps = {"0": torch.zeros(1, 1, 14, 14)}
    maps["0"][0, 0, 4, 6] = 1.0
    boxes = [torch.tensor([[0.0, 0.0, 224.0, 224.0]])]
    largest = Pool("align-max", (16,))(maps, boxes)
    mean = Pool("align-mean", (16,))(maps, boxes)
    rounded = Pool("pool", (16,))(maps, boxes)
    assert largest.shape == mean.shape == rounded.shape == (1, 1, 7, 7)
    assert float(rounded.max()) == 1.0
    assert float(largest.max()) > 1.5 * float(mean.max())


@pytest.mark.parametrize("name", ["vgg16", "resnet10t", "mobilenetv4_conv_small_050"])
def test_backbones_by_name(name: str) -> None:
    maps = Maps(name).eval()
    with torch.no_grad():
        found = maps(torch.zeros(1, 3, 64, 96))
    assert list(found) == ["0"]
    assert found["0"].shape == (1, maps.channels, 4, 6)
    assert maps.channels == {"vgg16": 512}.get(name, maps.channels)


def test_a_pyramid_has_four_levels() -> None:
    maps = Maps("resnet10t", channels=12, pyramid=True).eval()
    with torch.no_grad():
        found = maps(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape) for level in found.values()] == [(1, 12, 64 // s, 96 // s) for s in (4, 8, 16, 32)]


def test_a_coarse_pyramid_and_a_narrow_stem_save_work() -> None:
    whole, small = (
        Maps("resnet10t", channels=12, pyramid=True, **own).eval() for own in ({}, {"finest": 8, "stem": 8})
    )
    with torch.no_grad():
        found = small(torch.zeros(1, 3, 64, 96))
    assert small.strides == (8, 16, 32)
    assert [level.shape[-1] for level in found.values()] == [12, 6, 3]
    first = [next(part for part in maps.net.modules() if isinstance(part, nn.Conv2d)) for maps in (whole, small)]
    assert first[1].out_channels * 4 == first[0].out_channels


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Maps("vgg16", pyramid=True, channels=8), "one map"),
        (lambda: Maps("resnet10t", pyramid=True), "channels: expected"),
        (lambda: Maps("no_such_network"), "no network 'no_such_network'"),
        (lambda: Pool("pool", (4, 8)), "for one map"),
        (lambda: replace(SMALL, hidden=0), "hidden: expected at least 1"),
        (lambda: replace(SMALL, long_px=100), "long_px"),
        (lambda: replace(SMALL, pyramid=True), "expected 4, one per level"),
        (lambda: replace(COARSE, finest=4), "expected 4, one per level"),
        (lambda: replace(COARSE, finest=2), "finest: expected one of 4, 8, 16, 32, got 2"),
        (lambda: Maps("vgg16", stem=8), "one map"),
        (lambda: Maps("mobilenetv3_small_100", stem=8), "cannot have a stem of 8"),
        (lambda: Maps("resnet10t", stem=8, pretrained=True), "train without pretrained"),
        (lambda: replace(SMALL, box_sizes_px=()), "expected positive numbers"),
        (lambda: replace(SMALL, dropout=1.0), "dropout"),
        (lambda: Sampling(person_share=0.0), "above 0"),
    ],
)
def test_what_cannot_be_is_refused(call, message: str) -> None:  # noqa: ANN001
    with pytest.raises(ValueError, match=message):
        call()


# ----------------------------------------------------------------------------------------------------------- targets


def test_an_anchor_in_its_own_box_has_no_offset(anchors: AnchorPoses) -> None:
    for which in range(len(anchors)):
        person = standing(torch.tensor(anchors.joints_m[which], dtype=torch.float32))
        true = true_boxes(person, SIZE, anchors, with_upper=True)
        nearest = classes_of(person, anchors)
        assert nearest.tolist() == [which]
        assert true.upper.tolist() == [False, True]
        targets = targets_of(true.boxes, torch.arange(2), true, person, nearest, anchors)
        assert targets.label.tolist() == [1 + which, 1 + which + len(anchors)]
        assert_allclose(targets.offset, 0, atol=1e-5)


def test_who_shows_no_leg_is_an_upper_body_only(anchors: AnchorPoses) -> None:
    pose = torch.tensor(anchors.joints_m[0], dtype=torch.float32)
    person = standing(pose, place=(100.0, 140.0))
    assert (person.points_px[0, :4, 1] > SIZE[0]).all()
    assert true_boxes(person, SIZE, anchors, with_upper=True).upper.tolist() == [True]
    without = true_boxes(person, SIZE, anchors, with_upper=False)
    assert without.upper.tolist() == [False]
    assert float(without.boxes[0, 3]) == SIZE[0]  # cut off where the picture ends


def test_joints_that_are_not_known_are_not_learnt(anchors: AnchorPoses) -> None:
    pose = torch.tensor(anchors.joints_m[1], dtype=torch.float32)
    whole = standing(pose)
    points = whole.points_px.clone()
    points[0, 6] = torch.nan
    some = TruePeople(points, whole.joints_m)
    true = true_boxes(some, SIZE, anchors, with_upper=True)
    offset = targets_of(
        true.boxes, torch.zeros(2, dtype=torch.long), true, some, classes_of(some, anchors), anchors
    ).offset
    assert torch.equal(offset.isnan().nonzero()[:, 1].unique(), torch.tensor([12, 13]))
    unknown = TruePeople(whole.points_px, torch.full_like(whole.joints_m, torch.nan))
    assert classes_of(unknown, anchors).tolist() == [-1]


def test_boxes_are_drawn_by_share_and_overlap(anchors: AnchorPoses) -> None:
    person = standing(torch.tensor(anchors.joints_m[0], dtype=torch.float32))
    true = true_boxes(person, SIZE, anchors, with_upper=False)
    near = true.boxes + torch.linspace(-3, 3, 20)[:, None]
    far = torch.tensor([0.0, 0.0, 20.0, 20.0]) + torch.linspace(0, 5, 30)[:, None]
    proposals = torch.cat((near, far))
    torch.manual_seed(0)
    rows, on = sampled(proposals, true, torch.tensor([True]), count=16, share=0.25)
    assert (on >= 0).sum() == 4
    assert (rows[on >= 0] < 20).all()
    assert (rows[on < 0] >= 20).all()
    assert len(rows.unique()) == 16
    rows, on = sampled(proposals, true, torch.tensor([False]), count=16, share=0.25)
    assert (on < 0).all()
    assert (rows >= 20).all()  # what lies on somebody unknown is not background either


# ----------------------------------------------------------------------------------------------------------- network


@pytest.mark.parametrize("config", [SMALL, PYRAMID, COARSE, replace(SMALL, upper_bodies=False, pooling="pool")])
def test_every_parameter_learns(anchors: AnchorPoses, config: LcrNetConfig) -> None:
    net = network(anchors, config)
    people = [standing(views()[0]), nobody()]
    losses = net.losses(pictures(), people, Sampling(boxes=16))
    assert all(bool(part.isfinite()) for part in losses)
    losses.total.backward()
    for name, value in net.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name


def test_2d_alone_leaves_3d_unlearnt(anchors: AnchorPoses) -> None:
    net = network(anchors, replace(SMALL, summary=0))
    losses = net.losses(pictures(1), [standing(views()[0])], Sampling(with_3d=False))
    assert losses.pose_3d.item() == 0
    losses.total.backward()
    grad = net.heads.first.pose.weight.grad
    assert grad is not None
    assert grad[:, :26].abs().sum() > 0
    assert grad[:, 26:].abs().sum() == 0


def test_poses_weigh_as_much_as_is_asked(anchors: AnchorPoses) -> None:
    person = standing(torch.tensor(anchors.joints_m[0], dtype=torch.float32))

    def losses(weight: float) -> Losses:
        torch.manual_seed(1)
        return network(anchors).train().losses(pictures(1), [person], Sampling(pose_weight=weight))

    whole, part = losses(1.0), losses(0.25)
    assert float(whole.pose_2d.detach()) > 0
    assert_close(part.pose_2d, 0.25 * whole.pose_2d)
    assert_close(part.pose_3d, 0.25 * whole.pose_3d)
    assert_close(part.label, whole.label)


def test_pictures_of_nobody_teach_that_nobody_is_there(anchors: AnchorPoses) -> None:
    losses = network(anchors).losses(pictures(), [nobody(), nobody()])
    assert losses.pose_2d.item() == losses.pose_3d.item() == losses.box.item() == 0
    assert losses.label.item() > 0


def told(net: LcrNet, which: int, offset: Tensor, boxes: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a network find given boxes, and say one class and one offset of each."""
    monkeypatch.setattr(net.rpn, "forward", lambda images, maps, wanted=None: ([boxes] * len(images.image_sizes), {}))
    for head in filter(None, (net.heads.first, net.heads.second)):
        with torch.no_grad():
            head.label.weight.zero_()
            head.label.bias.fill_(-20.0)
            head.label.bias[1 + which] = 20.0
            head.pose.weight.zero_()
            head.pose.bias.zero_()
            head.pose.bias[which] = net.config.offset_scale * offset


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("config", [SMALL, replace(SMALL, summary=0)])
def test_what_the_heads_say_is_where_people_are(
    anchors: AnchorPoses, config: LcrNetConfig, upper: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that says the targets gives the person back: anchors, boxes, offsets and their order agree."""
    net = network(anchors, config).eval()
    person = standing(views()[7])
    true = true_boxes(person, SIZE, anchors, with_upper=True)
    row = int(upper)
    nearest = classes_of(person, anchors)
    targets = targets_of(true.boxes[[row]] + 2.0, torch.tensor([row]), true, person, nearest, anchors)
    told(net, int(targets.label[0]) - 1, targets.offset[0], true.boxes[[row]] + 2.0, monkeypatch)
    (found,) = net(pictures(1))
    best = found.scores.argmax()
    assert found.scores[best] > 0.99
    assert_allclose(found.poses_px[best], person.points_px[0], atol=1e-3)
    assert_allclose(found.joints_m[best], person.joints_m[0], atol=1e-5)
    assert_allclose(found.boxes_px[best], true.boxes[row] + 2.0, atol=1e-4)
    assert bool(found.upper[best]) == upper
    if not upper:
        assert_allclose(pose_boxes(found.poses_px[best], BOX_MARGIN) + 2.0, found.boxes_px[best], atol=1e-2)


def test_weights_bring_their_anchors(anchors: AnchorPoses) -> None:
    net = network(anchors)
    other = LcrNet(SMALL, fit_anchors(views(), 5, LCR13, seed=9))
    other.load_state_dict(net.state_dict())
    assert_allclose(other.anchors.joints_m, anchors.joints_m, atol=1e-6)
    assert_allclose(other.anchors.in_box, anchors.in_box, atol=1e-5)


@pytest.mark.parametrize("size", [(20, 20), (33, 400), (160, 200)])
def test_pictures_of_any_size_have_proposals(anchors: AnchorPoses, size: tuple[int, int]) -> None:
    net = network(anchors).eval()
    found = net(pictures(2, size))
    assert len(found) == 2
    for its in found:
        assert np.isfinite(its.poses_px).all()
        assert len(its.scores) <= SMALL.proposals * net.classes
        assert (its.boxes_px[:, 2:] <= np.array(size)[::-1] + 1e-3).all()


@pytest.mark.parametrize("config", [SMALL, replace(PYRAMID, pooling="align-max")])
def test_answers_do_not_hang_on_what_was_seen_before(anchors: AnchorPoses, config: LcrNetConfig) -> None:
    picture = pictures(1)
    (fresh,) = network(anchors, config).eval()(picture)
    used = network(anchors, config).eval()
    for size in ((20, 20), (33, 400)):
        used(pictures(1, size))
    for one, other in zip(fresh, used(picture)[0], strict=True):
        assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("config", [SMALL, PYRAMID, COARSE])
def test_boxes_are_pooled_where_they_are(anchors: AnchorPoses, config: LcrNetConfig) -> None:
    """In maps of ramps, whose middle is known, at every level and for pictures whose sides are no multiples."""
    pool_strides = network(anchors, config).maps.strides
    pool = Pool("align-mean", pool_strides)
    for size in ((40, 40), (67, 1000), (160, 200)):
        maps = {}
        for level, stride in enumerate(pool_strides):
            rows, columns = (-(-side // 32) * 32 // stride for side in size)
            maps[str(level)] = ((torch.arange(columns) + 0.5) * stride).expand(1, 1, rows, columns)
        box = torch.tensor([[0.3 * size[1], 0.2 * size[0], 0.8 * size[1], 0.9 * size[0]]])
        found = pool(maps, [box])
        assert abs(float(found.mean()) - 0.55 * size[1]) < 1.0


def test_who_is_not_known_teaches_nothing(anchors: AnchorPoses) -> None:
    """A box on somebody whose pose is not known is neither a person nor background, for proposals too."""
    torch.manual_seed(0)
    person = standing(views()[0])
    unknown = TruePeople(person.points_px, torch.full_like(person.joints_m, torch.nan))
    losses = network(anchors).losses(pictures(1), [unknown])
    assert losses.box.item() == losses.pose_2d.item() == 0
    net = network(anchors)
    true = true_boxes(person, SIZE, anchors, with_upper=False)
    places = [torch.cat((true.boxes, true.boxes + 3.0, torch.tensor([[0.0, 0.0, 9.0, 9.0]])))]
    wanted = [{"boxes": true.boxes, "known": torch.tensor([False])}]
    labels, _ = net.rpn.assign_targets_to_anchors(places, wanted)
    assert labels[0].tolist() == [-1, -1, 0]
    wanted[0]["known"] = torch.tensor([True])
    labels, _ = net.rpn.assign_targets_to_anchors(places, wanted)
    assert labels[0].tolist() == [1, 1, 0]


def test_every_parameter_has_a_gradient_where_nobody_is(anchors: AnchorPoses) -> None:
    net = network(anchors)
    net.losses(pictures(), [nobody(), nobody()]).total.backward()
    assert [name for name, value in net.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("rank", [0, 2])
def test_one_anchor_pose_is_enough(upper: bool, rank: int) -> None:
    """It learns, proposes, and its proposals become people."""
    alone = fit_anchors(views(), 1, LCR13)
    net = network(alone, replace(SMALL, upper_bodies=upper, rank=rank))
    net.losses(pictures(1), [standing(views()[0])]).total.backward()
    assert all(value.grad is not None for value in net.parameters())
    (found,) = net.eval()(pictures(1))
    assert len(found.scores) == SMALL.proposals * (1 + upper)
    assert set(found.upper.tolist()) == ({False, True} if upper else {False})
    people = people_of(Looked(found, 1.0), net, Decoding(least_score=0.0))
    assert 0 < len(people.scores) <= len(found.scores)
    assert np.isfinite(people.joints_m).all()


def test_boxes_are_looked_at_a_part_at_a_time(anchors: AnchorPoses, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same answer, whatever the parts; also of several pictures, and of none of the boxes."""
    net = network(anchors, COARSE).eval()
    whole = net(pictures(2))
    monkeypatch.setattr(network_file, "_AT_ONCE", 3)
    for one, other in zip(whole, net(pictures(2)), strict=True):
        for name, value in one._asdict().items():
            assert_allclose(getattr(other, name), value, atol=1e-4, err_msg=name)
    monkeypatch.setattr(net.rpn, "forward", lambda *_: ([torch.zeros(0, 4)] * 2, {}))
    assert [len(its.scores) for its in net(pictures(2))] == [0, 0]


def test_scales_keep_to_both_sides(anchors: AnchorPoses) -> None:
    net = network(anchors)
    assert net.scale_of((160, 200)) == 1.0
    assert net.scale_of((1080, 1920)) == 160 / 1080
    assert net.scale_of((100, 1000)) == 320 / 1000
    assert net.scale_of((20, 20)) == 8.0


@pytest.mark.slow
def test_it_learns_a_picture_by_heart(anchors: AnchorPoses) -> None:
    """Two people drawn as coloured joints: after some steps the strongest proposals are their poses."""
    poses = views()[[3, 11]]
    places = torch.tensor([[55.0, 75.0], [145.0, 80.0]])
    people = TruePeople(55 * poses[..., :2] + places[:, None], poses)
    image = torch.full((1, 3, *SIZE), 0.5)
    colours = torch.rand(13, 3, 1, 1, generator=torch.manual_seed(5))
    for points in people.points_px:
        for colour, (x, y) in zip(colours, points.round().long().tolist(), strict=True):
            image[0, :, max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = colour
    net = network(anchors)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(400):
        losses = net.losses(image, [people], Sampling(boxes=32, person_share=0.5))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    (found,) = net.eval()(image)
    for points, joints in zip(people.points_px, people.joints_m, strict=True):
        apart = np.linalg.norm(found.poses_px - points.numpy(), axis=-1).mean(-1)
        good = apart < 6
        assert found.scores[good].max() > 0.3
        best = np.flatnonzero(good)[found.scores[good].argmax()]
        assert np.linalg.norm(found.joints_m[best] - joints.numpy(), axis=-1).mean() < 0.12
