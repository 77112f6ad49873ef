"""LCR-Net++ from a picture to people: scales undone, modes chosen, odd pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional

from sightline.methods.lcrnet.anchors import AnchorPoses, fit_anchors
from sightline.methods.lcrnet.decode import Proposals
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.people import Decoding, Looked, best_rows, looked_at, modes_of, people_of, scaled
from sightline.methods.lcrnet.targets import classes_of, targets_of, true_boxes
from test_lcrnet_network import LCR13, SMALL, network, standing, told, views


@pytest.fixture(scope="module")
def anchors() -> AnchorPoses:
    return fit_anchors(views(), 5, LCR13)


@pytest.mark.parametrize("size", [(160, 200), (480, 600), (80, 101)])
def test_people_are_told_in_the_pictures_own_pixels(
    anchors: AnchorPoses, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(anchors).eval()
    person = standing(views()[4])
    true = true_boxes(person, (160, 200), anchors, with_upper=True)
    targets = targets_of(
        true.boxes[:1], torch.zeros(1, dtype=torch.long), true, person, classes_of(person, anchors), anchors
    )
    told(net, int(targets.label[0]) - 1, targets.offset[0], true.boxes[:1], monkeypatch)
    (looked,) = looked_at(net, [np.zeros((*size, 3), np.uint8)])
    found = people_of(looked, net)
    assert len(found.scores) == 1
    inside = np.round(np.array(size) * net.scale_of(size))
    factor = (np.array(size) / inside)[::-1]
    assert_allclose(found.poses_px[0], person.points_px[0].numpy() * factor, atol=2e-3)
    assert_allclose(found.joints_m[0], person.joints_m[0], atol=1e-5)


def made(scores: list[float], places: list[float], depths: list[float]) -> Proposals:
    """Proposals of one pose at places across the picture, some deeper than others."""
    pose = views()[4].double().numpy()
    count = len(scores)
    points = 60 * np.tile(pose[None, :, :2], (count, 1, 1)) + np.array(places)[:, None, None] * [1.0, 0.0]
    joints = np.tile(pose, (count, 1, 1)) * [1.0, 1.0, 1.0]
    joints[:, :, 2] += np.array(depths)[:, None] * np.sign(pose[:, 2])
    low, high = points.min(1) - 5, points.max(1) + 5
    return Proposals(points, joints, np.array(scores), np.concatenate([low, high], 1), np.zeros(count, bool))


def test_each_place_has_its_best_mode_and_others(anchors: AnchorPoses) -> None:
    net = network(anchors)
    proposals = made([0.5, 0.4, 0.6, 0.35], [0.0, 1.0, 0.0, 300.0], [0.0, 0.0, 0.9, 0.0])
    best = people_of(Looked(proposals, 1.0), net, Decoding(least_score=0.3))
    assert_allclose(best.scores, [0.9, 0.35], rtol=1e-6)
    every = modes_of(Looked(proposals, 1.0), net, Decoding(least_score=0.3))
    assert_allclose(every.scores, [0.9, 0.6, 0.35], rtol=1e-6)
    assert every.group[0] == every.group[1] != every.group[2]
    assert best_rows(every, Decoding(least_score=0.3)).tolist() == [0, 2]
    assert len(people_of(Looked(proposals, 1.0), net).scores) == 1
    strongest = people_of(Looked(proposals, 1.0), net, Decoding(least_score=0.3, integrate=False))
    assert_allclose(strongest.scores, [0.6, 0.35], rtol=1e-6)


def test_rescoring_may_be_left_out(anchors: AnchorPoses) -> None:
    net = network(anchors)
    proposals = made([0.8], [0.0], [0.0])
    out = proposals._replace(boxes_px=proposals.boxes_px + np.array([40.0, 0.0, 40.0, 0.0]))
    assert people_of(Looked(out, 1.0), net).scores.sum() < 0.75
    assert_allclose(people_of(Looked(out, 1.0), net, Decoding(rescore=False)).scores, 0.8)


def test_the_resolution_of_a_picture_does_not_matter(anchors: AnchorPoses) -> None:
    """The same people in a picture of six times the pixels, which the network sees as small, score the same."""
    net = network(anchors)
    proposals = made([0.8, 0.7], [0.0, 300.0], [0.0, 0.0])
    boxes = proposals.boxes_px + np.array([12.0, 0.0, 12.0, 0.0])
    small = people_of(Looked(proposals._replace(boxes_px=boxes), 1.0), net)
    large = people_of(Looked(proposals._replace(boxes_px=6 * boxes, poses_px=6 * proposals.poses_px), 1 / 6), net)
    assert small.scores[0] < 0.795
    assert_allclose(large.scores, small.scores)


@pytest.mark.parametrize("size", [(20, 20), (5, 300), (1, 1)])
def test_tiny_pictures(anchors: AnchorPoses, size: tuple[int, int]) -> None:
    net = network(anchors).eval()
    (looked,) = looked_at(net, [np.zeros((*size, 3), np.uint8)])
    assert np.isfinite(looked.proposals.poses_px).all()
    assert len(looked.proposals.scores) == 0 or min(size) >= 8
    people_of(looked, net)


@pytest.mark.slow
def test_a_huge_picture_is_looked_at_small(anchors: AnchorPoses) -> None:
    net = LcrNet(replace(SMALL, proposals=60), anchors).eval()
    (looked,) = looked_at(net, [np.full((4000, 6000, 3), 90, np.uint8)])
    assert looked.proposals.boxes_px[:, 2].max() <= 6000.5
    assert looked.proposals.boxes_px[:, 2].max() > 3000


def test_pictures_are_scaled_as_a_whole() -> None:
    image, scale = scaled(np.full((50, 99, 3), 51, np.uint8), 0.5)
    assert image.shape == (3, 25, 50)
    assert_allclose(scale, [50 / 99, 0.5])
    assert_allclose(image, 0.2, atol=1e-6)


def test_pictures_are_scaled_in_whole_numbers() -> None:
    """No further off than rounding, twice, read-only and turned pictures too, which stay as they are."""
    picture = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    exact = functional.interpolate(
        torch.tensor(picture).permute(2, 0, 1)[None].double(), (45, 60), mode="bilinear", antialias=True
    )[0]
    locked = picture.copy()
    locked.setflags(write=False)
    turned = np.asfortranarray(picture)
    for its in (picture, locked, turned):
        image, _ = scaled(its, 0.5)
        off = 255 * image.double() - exact
        assert float(off.abs().max()) < 1.0
        assert abs(float(off.mean())) < 0.2
    assert np.array_equal(turned, locked)


def test_wrong_decoding_is_refused() -> None:
    with pytest.raises(ValueError, match="least_score"):
        Decoding(least_score=-1.0)
