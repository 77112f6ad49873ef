"""Keypoint R-CNN: its pixels, its confidence, its weights; with hand-made heat maps and with an untrained network."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, keypoints_to_heatmap
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from sightline.detect import keypoint_rcnn
from sightline.detect.keypoint_rcnn import (
    KEYPOINT_RCNN,
    LABEL_SHIFT_PX,
    KeypointRCNN,
    build_network,
    joint_confidence,
    load_weights,
)
from sightline.detect.protocol import Detector
from sightline.errors import InputError, UsageError

CELLS = 56


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---- where its pixels are ------------------------------------------------------------------------------------------


def test_decoding_is_exact_in_corner_coordinates() -> None:
    """A cell of the heat map comes out as its own middle, so coding and decoding add no shift of their own."""
    box = torch.tensor([[10.0, 20.0, 10.0 + 2 * CELLS, 20.0 + 3 * CELLS]])
    for row, column in ((3, 5), (7, 30), (CELLS - 4, CELLS - 3)):
        heat = torch.full((1, 1, CELLS, CELLS), -9.0)
        heat[0, 0, row, column] = 9.0
        found = heatmaps_to_keypoints(heat, box)[0][0, 0, :2]
        middle = torch.tensor([10 + 2 * (column + 0.5), 20 + 3 * (row + 0.5)])
        assert (found - middle).abs().max() <= 0.51  # the decoder's own grid is one pixel wide
    points = torch.rand(1, 4000, 3) * torch.tensor([2.0 * CELLS, 3.0 * CELLS, 0.0]) + torch.tensor([10.0, 20.0, 1.0])
    cells, valid = keypoints_to_heatmap(points, box, CELLS)
    assert valid.all()
    decoded = torch.stack([10 + 2 * (cells % CELLS + 0.5), 20 + 3 * (cells // CELLS + 0.5)], -1)
    assert (decoded - points[..., :2]).mean((0, 1)).abs().max() < 0.05  # of cells 2 × 3 px large


def test_labels_are_half_a_pixel_too_high_and_on_both_sides_in_equal_parts() -> None:
    """What training shows the network: one bright pixel, COCO's number for it as the label, mirrored half of the time.

    Its light after torchvision's own resize lies where the pixel's centre is; the label is compared with that.
    """
    width, height, shift = 64, 48, []
    transform = GeneralizedRCNNTransform(2 * height, 1000, [0.0] * 3, [1.0] * 3).train()
    generator = np.random.default_rng(0)
    for flipped in (False, True) * 4:
        column, row = generator.integers(8, 40, 2)
        image = torch.zeros(3, height, width)
        image[:, row, column] = 1.0
        label = torch.tensor([[[float(column), float(row), 1.0]]])
        if flipped:  # as torchvision's training does it
            image, label = image.flip(-1), torch.cat([width - label[..., :1], label[..., 1:]], -1)
        target = {"boxes": torch.tensor([[0.0, 0.0, width, height]]), "keypoints": label}
        images, targets = transform([image], [target])
        light = images.tensors[0, 0, : 2 * height, : 2 * width].double()
        rows, columns = (torch.arange(count) + 0.5 for count in light.shape)
        center = torch.stack([(light.sum(0) * columns).sum(), (light.sum(1) * rows).sum()]) / light.sum()
        shift.append((targets[0]["keypoints"][0, 0, :2] - center).numpy())
    scale = 2.0
    assert_allclose(np.abs(shift), 0.5 * scale, atol=1e-4)
    assert_allclose(np.mean(shift, 0), [0.0, -0.5 * scale], atol=1e-4)


def test_the_shift_is_half_a_pixel_of_cocos_pictures_at_the_size_of_training() -> None:
    training_px, coco_px = np.mean([640, 672, 704, 736, 768, 800]), 455
    assert pytest.approx(0.5 * training_px / coco_px, abs=0.03) == LABEL_SHIFT_PX


class FakeNetwork(nn.Module):
    """Answers prescribed people, with the parts that the adapter touches."""

    def __init__(self, answers: Callable[[Tensor], dict[str, Tensor]]) -> None:
        super().__init__()
        self.roi_heads = SimpleNamespace(keypoint_predictor=nn.Identity())
        self.answers = answers
        self.seen: list[list[Tensor]] = []

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        self.seen.append(images)
        results = [self.answers(image) for image in images]
        count = sum(len(result["boxes"]) for result in results)
        self.roi_heads.keypoint_predictor(torch.zeros(count, 17, CELLS, CELLS))
        return results


def people(count: int = 1, labels: list[int] | None = None) -> dict[str, Tensor]:
    corners = torch.arange(count)[:, None] * 10.0
    boxes = torch.cat([corners, corners, corners + 56, corners + 112], -1)
    points = torch.cat([corners + 20, corners + 40, torch.ones(count, 1)], -1)[:, None].expand(-1, 17, -1)
    return {
        "boxes": boxes,
        "keypoints": points,
        "scores": torch.linspace(0.9, 0.8, count),
        "labels": torch.tensor(labels or [1] * count),
    }


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[KeypointRCNN, FakeNetwork]]:
    """Make a detector around a network that answers as told."""

    def make(answers: Callable[[Tensor], dict[str, Tensor]], **options: Any) -> tuple[KeypointRCNN, FakeNetwork]:
        network = FakeNetwork(answers)
        monkeypatch.setattr(keypoint_rcnn, "build_network", lambda **_: network)
        monkeypatch.setattr(keypoint_rcnn, "load_weights", lambda *_: None)
        return KeypointRCNN(weights=Path("own.pth"), **options), network

    return make


@pytest.mark.parametrize(
    ("size", "scale"), [((640, 480), 800 / 480), ((1920, 1080), 1333 / 1920), ((1080, 1400), 800 / 1080)]
)
def test_points_come_out_in_corner_pixels(size: tuple[int, int], scale: float, fake: Any) -> None:
    detector, network = fake(lambda _: people(2))
    (found,) = detector.detect([picture(*size)])
    assert [person.score for person in found] == pytest.approx([0.9, 0.8])
    assert_allclose(found[1].keypoints_px, np.tile([30.0, 50 + LABEL_SHIFT_PX / scale], (17, 1)), atol=1e-4)
    assert_allclose(found[1].box_px, [10, 10, 66, 122], atol=1e-4)
    assert isinstance(detector, Detector)
    assert (detector.name, detector.skeleton.name, detector.single_person) == ("keypointrcnn", "coco17", False)
    (image,) = network.seen[0]
    assert image.shape == (3, *size[::-1])
    detector.close()
    detector.close()


def test_colours_stay_rgb_from_0_to_1(fake: Any) -> None:
    detector, network = fake(lambda _: people(1))
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 255
    detector.detect([red[:, ::-1]])  # a view with negative strides
    (image,) = network.seen[0]
    assert image.mean((1, 2)).tolist() == [1.0, 0.0, 0.0]


def test_only_people_count(fake: Any) -> None:
    detector, _ = fake(lambda _: people(3, labels=[1, 2, 1]))
    (found,) = detector.detect([picture(60, 40)])
    assert [person.score for person in found] == pytest.approx([0.9, 0.8])


def test_nobody_is_an_empty_answer(fake: Any) -> None:
    detector, _ = fake(lambda _: people(0))
    assert detector.detect([picture(60, 40), picture(60, 40)]) == [(), ()]
    assert detector.detect([]) == []


def test_pictures_of_one_size_share_a_pass(fake: Any) -> None:
    detector, network = fake(lambda image: people(image.shape[-1] // 10), batch_size=2)
    sizes = [(10, 40), (10, 40), (10, 40), (20, 40), (10, 40)]
    found = detector.detect([picture(*size) for size in sizes])
    assert [[image.shape[-1] for image in group] for group in network.seen] == [[10, 10], [10], [20], [10]]
    assert [len(each) for each in found] == [1, 1, 1, 2, 1]


@pytest.mark.parametrize("shape", [(0, 0, 3), (40, 0, 3), (5000, 1, 3)])
def test_pictures_in_which_nothing_can_be_seen(shape: tuple[int, ...], fake: Any) -> None:
    detector, network = fake(lambda _: people(1))
    found = detector.detect([np.zeros(shape, np.uint8), picture(40, 40)])
    assert [len(each) for each in found] == [0, 1]
    assert len(network.seen) == 1


# ---- confidence ----------------------------------------------------------------------------------------------------


def test_confidence_is_the_share_around_the_point() -> None:
    heat = torch.full((1, 3, CELLS, CELLS), -30.0)
    heat[0, 0, 20, 30] = 5.0  # one peak
    heat[0, 1, 20, 30] = heat[0, 1, 40, 10] = 5.0  # two equal ones
    heat[0, 2] = 0.0  # no idea
    box = torch.tensor([[100.0, 200.0, 100 + 2 * CELLS, 200 + 2 * CELLS]])
    point = torch.tensor([100 + 2 * 30.5, 200 + 2 * 20.5, 1.0]).expand(1, 3, 3)
    found = joint_confidence(heat, point, box)[0]
    assert_allclose(found, [1.0, 0.5, 49 / CELLS**2], atol=1e-6)
    assert_allclose(joint_confidence(heat + 7, point, box)[0], found, atol=1e-6)  # logits have no zero
    off = point + torch.tensor([2 * 4.0, 0.0, 0.0])  # four cells beside the peak
    assert joint_confidence(heat, off, box)[0, 0] < 1e-6
    outside = point + torch.tensor([1e4, -1e4, 0.0])
    assert joint_confidence(heat, outside, box).isfinite().all()


def test_confidence_of_nobody() -> None:
    nobody = joint_confidence(torch.zeros(0, 17, CELLS, CELLS), torch.zeros(0, 17, 3), torch.zeros(0, 4))
    assert nobody.shape == (0, 17)


# ---- the network of torchvision itself, untrained ------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network's tensors in a file, in half precision to spare the disk."""
    torch.manual_seed(0)
    network = build_network(min_score=0.0, max_people=3, short_side_px=64)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    state = network.state_dict()
    for key, value in state.items():
        state[key] = value.half() if value.is_floating_point() else value
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def detector(weights: Path) -> KeypointRCNN:
    return KeypointRCNN(weights=weights, min_score=0.0, max_people=3, short_side_px=64, batch_size=4)


def test_the_network_is_the_one_of_the_published_weights() -> None:
    from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights as Published

    network = build_network(min_score=0.5, max_people=1, short_side_px=64)
    assert sum(parameter.numel() for parameter in network.parameters()) == Published.COCO_V1.meta["num_params"]
    assert KEYPOINT_RCNN.url == Published.COCO_V1.url
    assert KEYPOINT_RCNN.sha256 is not None
    assert f"-{KEYPOINT_RCNN.sha256[:8]}.pth" in Published.COCO_V1.url


def test_an_untrained_network_gives_well_formed_people(detector: KeypointRCNN) -> None:
    shots = [picture(90, 70), picture(70, 110, 1)]
    found = detector.detect(shots)
    assert [len(each) for each in found] == [3, 3]
    for shot, each in zip(shots, found, strict=True):
        assert [person.score for person in each] == sorted((person.score for person in each), reverse=True)
        for person in each:
            assert person.keypoints_px.shape == (17, 2)
            assert person.box_px is not None
            assert np.isfinite(person.keypoints_px).all()
            assert ((person.confidence >= 0) & (person.confidence <= 1)).all()
            assert (person.box_px >= -1e-3).all()
            assert (person.box_px[2:] <= np.array(shot.shape[1::-1]) + 1e-3).all()
            assert (person.keypoints_px[:, 0] >= person.box_px[0]).all()
            assert (person.keypoints_px[:, 0] <= person.box_px[2] + 1).all()


@pytest.mark.slow
def test_batch_equals_loop_and_twice_equals_once(detector: KeypointRCNN) -> None:
    """A hundredth of a pixel: sums of float32 in another order move boxes by a thousandth, more on some processors."""
    shots = [picture(90, 70, seed) for seed in range(3)]
    batch, again = detector.detect(shots), detector.detect(shots)
    loop = [detector.detect([shot])[0] for shot in shots]
    for one, other in ((batch, again), (batch, loop)):
        for each, twin in zip(sum(one, ()), sum(other, ()), strict=True):
            assert_allclose(each.keypoints_px, twin.keypoints_px, rtol=0, atol=1e-2)
            assert_allclose(each.confidence, twin.confidence, atol=1e-4)
            assert each.score == pytest.approx(twin.score, abs=1e-5)


def test_no_score_is_high_enough(weights: Path) -> None:
    sure = KeypointRCNN(weights=weights, min_score=1.0, short_side_px=64)
    assert sure.detect([picture(90, 70), picture(70, 90)]) == [(), ()]


def test_files_of_older_versions_of_torchvision_load(weights: Path, tmp_path: Path) -> None:
    """The published file is of 2020: other names in two places, and no versions beside the tensors."""
    state = torch.load(weights, weights_only=True)
    renamed = re.compile(r"(?P<kept>fpn\.(inner|layer)_blocks\.\d)\.0\.|(?P<conv>rpn\.head\.conv)\.0\.0\.")
    old = {renamed.sub(lambda found: f"{found['kept'] or found['conv']}.", key): value for key, value in state.items()}
    assert {"rpn.head.conv.weight", "backbone.fpn.inner_blocks.3.weight", "backbone.fpn.layer_blocks.0.bias"} <= set(
        old
    )
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    network = build_network(min_score=0.5, max_people=1, short_side_px=64)
    load_weights(network, tmp_path / "old.pth")
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key].to(value.dtype)), key


class Trap:
    """Would run code while it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("the trap has sprung",))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected the weights of Keypoint R-CNN .* got something else or a part"),
        (b"<html>404</html>", "got something else or a part"),
        (np.random.default_rng(0).bytes(5000), "got something else or a part"),
        (pickle.dumps(Trap()), "got something else or a part"),
        ("cut", "got something else or a part"),
        ([1, 2], "a table of tensors, got list"),
        ({"a": 1}, "a table of tensors, got dict"),
        (
            {"a": torch.zeros(3)},
            "its 1 tensors are not those of torchvision's keypointrcnn_resnet50_fpn with 17 joints",
        ),
        ("other shapes", "tensors are not those of torchvision's"),
        ("folder", "expected a file of weights, but this is a folder"),
        ("missing", r"cannot be read \(No such file or directory\)"),
    ],
    ids=str,
)
def test_files_that_are_no_weights(
    content: Any, expected: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        path.write_bytes(weights.read_bytes()[:1_000_000])
    elif content == "folder":
        path.mkdir()
    elif content == "other shapes":
        state = torch.load(weights, weights_only=True)
        state["rpn.head.cls_logits.bias"] = torch.zeros(7)
        torch.save(state, path)
    elif content != "missing":
        torch.save(content, path)
    with pytest.raises(InputError, match=expected) as caught:
        KeypointRCNN(weights=path, short_side_px=64)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "gpu"}, "device: expected cpu.*, got 'gpu'"),
        ({"device": "meta"}, "device: expected cpu.*, got 'meta'"),
        ({"device": "cuda:99"}, "device: expected cpu.*, got 'cuda:99'"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"max_people": 0}, "max_people: expected at least 1, got 0"),
        ({"short_side_px": 0}, "short_side_px: expected at least 1, got 0"),
        ({"min_score": -0.1}, "min_score: expected a number from 0 to 1, got -0.1"),
        ({"min_score": float("nan")}, "min_score: expected a number from 0 to 1, got nan"),
    ],
)
def test_wrong_calls_fail_before_any_download(
    options: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError, match=expected):
        KeypointRCNN(**options)
    assert not (tmp_path / "home").exists()


def test_a_published_file_that_is_damaged_is_not_used(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    KEYPOINT_RCNN.path.parent.mkdir()
    KEYPOINT_RCNN.path.symlink_to(weights)
    with pytest.raises(InputError, match=f"its sha256 is .*, expected {KEYPOINT_RCNN.sha256}; delete it"):
        KeypointRCNN()
