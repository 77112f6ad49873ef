"""RTMPose: rtmlib's own path on small networks made here, whose answers are known to the pixel.

The person detector answers prescribed boxes. The pose network answers where its crop is brightest, in red, green and
blue in turn, so that what comes back says where in the picture rtmlib looked, and in which order of colours.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sightline.detect.protocol import Detection, Detector
from sightline.detect.rtmpose import NETWORKS, RTMPose
from sightline.errors import InputError, UsageError
from sightline.skeleton import get_skeleton

WIDTH, HEIGHT = 192, 256  # of the pose network's input
SIDE = 64  # of the box network's input


@pytest.fixture
def library() -> Any:
    pytest.importorskip("onnx")
    return pytest.importorskip("rtmlib")


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, np.ndarray]) -> Path:
    import onnx
    from onnx import helper, numpy_helper

    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "made for a test", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def floats(name: str, shape: list[Any]) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def box_network(path: Path, rows: np.ndarray, labels: list[int] | None = None, side: Any = SIDE) -> Path:
    """A person detector that answers `rows` (x0, y0, x1, y1, score) whatever it sees, in the form of MMPose."""
    from onnx import TensorProto, helper

    rows = np.asarray(rows, np.float32).reshape(1, -1, 5)
    constants = {"rows": rows, "zero": np.zeros(1, np.float32)}
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["peak"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["peak", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["dets"]),
    ]
    outputs = [floats("dets", list(rows.shape))]
    if labels is not None:
        constants["given"] = np.array([labels], np.int64)
        nodes.append(helper.make_node("Identity", ["given"], ["labels"]))
        outputs.append(helper.make_tensor_value_info("labels", TensorProto.INT64, [1, len(labels)]))
    return save(path, nodes, [floats("input", [1, 3, side, side])], outputs, constants)


def raw_box_network(path: Path, cells: dict[int, tuple[float, ...]], classes: int = 2) -> Path:
    """A YOLOX without its selection: (x, y, w, h, objectness, classes) per cell; only `cells` hold anything."""
    from onnx import helper

    count = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
    rows = np.zeros((1, count, 5 + classes), np.float32)
    for cell, row in cells.items():
        rows[0, cell] = row
    constants = {"rows": rows, "zero": np.zeros(1, np.float32)}
    nodes = [
        helper.make_node("ReduceMax", ["input"], ["peak"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["peak", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["output"]),
    ]
    return save(path, nodes, [floats("input", [1, 3, SIDE, SIDE])], [floats("output", list(rows.shape))], constants)


def pose_network(path: Path, joints: int = 26, gain: float = 1.0, fixed: bool = True) -> Path:
    """A pose network whose joint j lies where channel j mod 3 of its input is brightest; two positions per pixel.

    Its answers are `gain` where a channel is at its highest (255), and fall with brightness to below 0 at black.
    """
    from onnx import helper

    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    white, black = (255 - mean) / std, (0 - mean) / std
    slope = (1.5 * gain / (white - black)).astype(np.float32).reshape(1, 3, 1)
    offset = (gain - slope[0, :, 0] * white).astype(np.float32).reshape(1, 3, 1)
    constants = {
        "slope": slope,
        "offset": offset,
        "order": (np.arange(joints) % 3).astype(np.int64),
        "two": np.array([1, 1, 1, 2], np.int64),
        "end": np.array([3], np.int64),
        "half": np.array([[[[0.0, -1e-3]]]], np.float32),  # the second position of a pixel is never the highest
        "flat": np.array([0, 0, -1], np.int64),
    }
    nodes = []
    for axis, reduced in (("x", 2), ("y", 3)):
        nodes += [
            helper.make_node("ReduceMax", ["input"], [f"{axis}1"], axes=[reduced], keepdims=0),
            helper.make_node("Mul", [f"{axis}1", "slope"], [f"{axis}2"]),
            helper.make_node("Add", [f"{axis}2", "offset"], [f"{axis}3"]),
            helper.make_node("Gather", [f"{axis}3", "order"], [f"{axis}4"], axis=1),
            helper.make_node("Unsqueeze", [f"{axis}4", "end"], [f"{axis}5"]),
            helper.make_node("Tile", [f"{axis}5", "two"], [f"{axis}6"]),
            helper.make_node("Add", [f"{axis}6", "half"], [f"{axis}7"]),
            helper.make_node("Reshape", [f"{axis}7", "flat"], [f"simcc_{axis}"]),
        ]
    count: Any = joints if fixed else "joints"
    size: list[Any] = [HEIGHT, WIDTH] if fixed else ["height", "width"]
    outputs = [floats("simcc_x", ["people", count, None]), floats("simcc_y", ["people", count, None])]
    return save(path, nodes, [floats("input", ["people", 3, *size])], outputs, constants)


@pytest.fixture
def pose(tmp_path: Path, library: Any) -> Path:
    return pose_network(tmp_path / "pose.onnx")


def make(tmp_path: Path, rows: Any, pose: Path, labels: list[int] | None = None, **options: Any) -> RTMPose:
    """A detector whose person detector answers `rows`, px of its own 64 × 64 input."""
    return RTMPose(boxes=box_network(tmp_path / "boxes.onnx", rows, labels), pose=pose, **options)


def spots(picture: np.ndarray, *places: tuple[int, int], channel: int | None = None) -> np.ndarray:
    """The picture with single bright pixels at (column, row)."""
    for column, row in places:
        picture[row, column, slice(None) if channel is None else channel] = 255
    return picture


def black(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


# ---- where things are ----------------------------------------------------------------------------------------------

# A 256 × 256 picture is seen by the box network at a quarter. A box of 153.6 × 204.8 px is cut out, with rtmlib's
# margin of 1.25, as 192 × 256 px: one pixel of the picture is one of the network's input.
ONE_TO_ONE = np.array([128 - 76.8, 128 - 102.4, 128 + 76.8, 128 + 102.4]) / 4


@pytest.mark.parametrize("place", [(128, 128), (40, 3), (223, 255), (100, 200)])
def test_a_bright_pixel_comes_back_at_its_centre(place: tuple[int, int], tmp_path: Path, pose: Path) -> None:
    detector = make(tmp_path, [[*ONE_TO_ONE, 0.875]], pose)
    ((person,),) = detector.detect([spots(black(256, 256), place)])
    assert_allclose(person.keypoints_px, np.tile(np.add(place, 0.5), (26, 1)), atol=1e-4)
    assert_allclose(person.confidence, 1.0, atol=1e-4)
    assert person.score == pytest.approx(0.875)
    assert_allclose(person.box_px, 4 * ONE_TO_ONE, atol=1e-4)


def test_each_network_gets_its_own_order_of_colours(tmp_path: Path, pose: Path) -> None:
    """Joints 0, 1, 2 look at the pose network's first, second and third channel: red, green and blue, as it learned."""
    picture = black(256, 256)
    places = [(60, 50), (110, 90), (150, 200)]
    for channel, place in enumerate(places):
        spots(picture, place, channel=channel)
    detector = make(tmp_path, [[*ONE_TO_ONE, 0.9]], pose)
    seen: list[np.ndarray] = []
    preprocess = detector._boxes.preprocess
    detector._boxes.preprocess = lambda image: seen.append(image) or preprocess(image)
    ((person,),) = detector.detect([picture])
    assert_allclose(person.keypoints_px[:3], np.add(places, 0.5), atol=1e-4)
    assert_allclose(seen[0], picture[..., ::-1])  # YOLOX learned from blue, green, red


def test_several_people_each_from_their_own_crop(tmp_path: Path, pose: Path) -> None:
    """Two people in a 640 × 320 picture, seen by the box network at a tenth; crops at a half and at full size."""
    places = [(100, 150), (500, 170)]
    picture = spots(black(640, 320), *places)
    rows = [[2, 4, 18, 28, 0.6], [42.32, 6.76, 57.68, 27.24, 0.95]]
    found = make(tmp_path, rows, pose).detect([picture])[0]
    assert [person.score for person in found] == pytest.approx([0.95, 0.6])  # the surest first
    assert_allclose(found[0].keypoints_px, np.tile(np.add(places[1], 0.5), (26, 1)), atol=1e-3)
    assert_allclose(found[1].keypoints_px, np.tile(np.add(places[0], 0.5), (26, 1)), atol=1.2)  # the crop's own pixels
    assert_allclose(found[0].box_px, [423.2, 67.6, 576.8, 272.4], atol=1e-3)


@pytest.mark.parametrize("size", [(640, 320), (320, 640), (64, 64), (100, 33)])
def test_boxes_are_taken_back_to_the_picture(size: tuple[int, int], tmp_path: Path, pose: Path) -> None:
    scale = SIDE / max(size)
    box = np.array([0.1, 0.2, 0.8, 0.9]) * np.tile(size, 2)
    ((person,),) = make(tmp_path, [[*(box * scale), 0.9]], pose).detect(
        [spots(black(*size), (size[0] // 2, size[1] // 2))]
    )
    assert_allclose(person.box_px, box, rtol=1e-5)


# ---- nobody, and who counts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        (np.zeros((0, 5)), []),
        (np.zeros((0, 5)), None),
        ([[0, 0, 0, 0, 0.0]], [0]),  # how ONNX Runtime pads where nothing is found
        ([[10, 10, 40, 60, 0.49]], [0]),
        ([[10, 10, 40, 60, 0.9]], [3]),  # a dog
        ([[10, 10, 40, 60, 0.9]], [-1]),
        ([[np.nan, 10, 40, 60, 0.9]], [0]),
        ([[40, 10, 10, 60, 0.9]], [0]),
    ],
)
def test_nobody_is_nobody_and_not_the_whole_picture(rows: Any, labels: Any, tmp_path: Path, pose: Path) -> None:
    detector = make(tmp_path, rows, pose, labels)
    assert detector.detect([spots(black(256, 256), (30, 30))]) == [()]
    assert detector.detect([]) == []


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 40, 3), (9000, 1, 3)])
def test_pictures_in_which_nothing_can_be_seen(shape: tuple[int, ...], tmp_path: Path, pose: Path) -> None:
    assert make(tmp_path, [[0, 0, 64, 64, 0.9]], pose).detect([np.zeros(shape, np.uint8)]) == [()]


def test_scores_and_numbers_of_people_are_limited(tmp_path: Path, pose: Path) -> None:
    rows = [[5 * n, 10, 5 * n + 15, 50, score] for n, score in enumerate((0.3, 0.9, 0.5, 0.7))]
    picture = spots(black(256, 256), (100, 100))

    def scores(**options: Any) -> list[float]:
        return [round(person.score, 3) for person in make(tmp_path, rows, pose, **options).detect([picture])[0]]

    assert scores() == [0.9, 0.7, 0.5]
    assert scores(min_score=0.0) == [0.9, 0.7, 0.5, 0.3]
    assert scores(max_people=2) == [0.9, 0.7]
    assert scores(min_score=0.95) == []


def test_a_detector_without_selection_is_selected_by_class(tmp_path: Path, pose: Path) -> None:
    """Cell 27 of the grid of stride 8 is column 3, row 3. Two answers overlap, and one is of another class."""
    person = (0.0, 0.0, np.log(3), np.log(5), 1.0, 0.9, 0.0)
    cells = {27: person, 28: (-0.9, *person[1:5], 0.8, 0.0), 45: (*person[:5], 0.0, 0.95)}
    detector = RTMPose(boxes=raw_box_network(tmp_path / "raw.onnx", cells), pose=pose)
    ((found,),) = detector.detect([spots(black(256, 256), (100, 100))])
    assert_allclose(found.box_px, 4 * np.array([24 - 12, 24 - 20, 24 + 12, 24 + 20]), rtol=1e-5)
    assert found.score == pytest.approx(found.confidence.mean())
    nobody = RTMPose(boxes=raw_box_network(tmp_path / "none.onnx", {45: cells[45]}), pose=pose)
    assert nobody.detect([black(256, 256)]) == [()]


# ---- confidence ----------------------------------------------------------------------------------------------------


def test_confidence_is_cut_at_one_and_unseen_joints_are_missing(tmp_path: Path, library: Any) -> None:
    sure = make(tmp_path, [[*ONE_TO_ONE, 0.9]], pose_network(tmp_path / "sure.onnx", gain=1.4))
    picture = spots(black(256, 256), (100, 100), channel=1)  # neither red nor blue
    ((person,),) = sure.detect([picture])
    assert_allclose(person.confidence[1::3], 1.0)
    assert_allclose(np.delete(person.confidence, np.s_[1::3]), 0.0)
    assert np.isnan(np.delete(person.keypoints_px, np.s_[1::3], axis=0)).all()
    assert_allclose(person.keypoints_px[1::3], 100.5, atol=1e-4)


# ---- joint sets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("joints", "name"), [(26, "halpe26"), (17, "coco17")])
@pytest.mark.parametrize("fixed", [True, False])
def test_the_joint_set_follows_from_the_network(
    joints: int, name: str, fixed: bool, tmp_path: Path, library: Any
) -> None:
    network = pose_network(tmp_path / "pose.onnx", joints=joints, fixed=fixed)
    detector = make(tmp_path, [[*ONE_TO_ONE, 0.9]], network)
    assert detector.skeleton is get_skeleton(name)
    ((person,),) = detector.detect([spots(black(256, 256), (99, 101))])
    assert_allclose(person.keypoints_px, np.tile([99.5, 101.5], (joints, 1)), atol=1e-4)
    assert isinstance(detector, Detector)
    assert isinstance(person, Detection)
    assert (detector.name, detector.single_person) == ("rtmpose", False)
    detector.close()
    detector.close()


def test_the_order_of_joints_is_rtmlibs(library: Any) -> None:
    from rtmlib.visualization.skeleton import coco17, halpe26

    sides = {"left": "L", "right": "R"}
    for table in (halpe26, coco17):
        names = [table["keypoint_info"][number]["name"] for number in range(len(table["keypoint_info"]))]
        ours = []
        for name in names:
            side, *rest = name.split("_")
            words = rest if side in sides else [side, *rest]
            ours.append(sides.get(side, "") + "".join(word.capitalize() for word in words))
        assert tuple(ours) == get_skeleton(table["name"]).joints


# ---- what can go wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "expected an ONNX file, but nothing is there"),
        ("folder", "expected an ONNX file, but this is a folder"),
        (b"", "expected a network as an ONNX file, got something else or a part of one"),
        (b"<html></html>", "expected a network as an ONNX file, got something else or a part of one"),
        ("cut", "expected a network as an ONNX file, got something else or a part of one"),
    ],
    ids=str,
)
@pytest.mark.parametrize("which", ["boxes", "pose"])
def test_files_that_are_no_networks(
    content: Any, expected: str, which: str, tmp_path: Path, pose: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good = {"boxes": box_network(tmp_path / "boxes.onnx", np.zeros((0, 5))), "pose": pose}
    path = tmp_path / "bad.onnx"
    if content == "folder":
        path.mkdir()
    elif content == "cut":
        path.write_bytes(good[which].read_bytes()[:-40])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        RTMPose(**good | {which: path})
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message
    assert capfd.readouterr().out == ""


def test_a_network_of_another_kind_is_refused(tmp_path: Path, pose: Path) -> None:
    boxes = box_network(tmp_path / "boxes.onnx", np.zeros((1, 5)), [0])
    with pytest.raises(InputError, match="expected a pose network with two outputs .* got outputs of"):
        RTMPose(boxes=boxes, pose=boxes)
    other = pose_network(tmp_path / "hands.onnx", joints=21)
    with pytest.raises(InputError, match="26 or 17 joints"):
        RTMPose(boxes=boxes, pose=other)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mode": "best"}, "mode: expected one of lightweight, balanced, performance, got 'best'"),
        ({"min_score": 1.5}, "min_score: expected a number from 0 to 1, got 1.5"),
        ({"max_people": 0}, "max_people: expected at least 1, got 0"),
    ],
)
def test_wrong_calls(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        RTMPose(**options)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "cuda:x", "gpu", "cpu:0", "mps"])
def test_a_device_that_is_not_there(device: str, tmp_path: Path, pose: Path) -> None:
    import onnxruntime

    if {"cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}.get(
        device.split(":")[0]
    ) in onnxruntime.get_available_providers() and device != "cuda:x":
        pytest.skip("it is there")
    with pytest.raises(
        UsageError, match=f"device: expected cpu.*which this installation of ONNX Runtime has, got '{device}'"
    ):
        make(tmp_path, [[0, 0, 9, 9, 0.9]], pose, device=device)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(UsageError, match=r"expected the package rtmlib .* pip install 'sightline\[rtmpose\]'"):
        RTMPose()


def test_offline_it_says_where_to_put_the_files(library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    monkeypatch.setattr("sightline.formats.downloads.urlopen", offline)
    with pytest.raises(InputError) as caught:
        RTMPose()
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path / 'weights' / 'yolox_m_8xb8-300e_humanart-c2c7a14a.zip'}: could not be fetched"
    )
    assert "Network is unreachable" in message
    assert message.endswith("put it there")


def test_nothing_is_printed(tmp_path: Path, pose: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, [[*ONE_TO_ONE, 0.9]], pose).detect([black(256, 256)])
    assert capfd.readouterr() == ("", "")


# ---- the published files -------------------------------------------------------------------------------------------


def test_modes_name_the_files_that_rtmlib_names(library: Any) -> None:
    for mode, networks in NETWORKS.items():
        published = library.BodyWithFeet.MODE[mode]
        assert (networks.boxes.url, networks.pose.url) == (published["det"], published["pose"])
        assert (networks.boxes_input, networks.pose_input) == (
            published["det_input_size"],
            published["pose_input_size"],
        )


def test_files_of_a_mode_are_used_from_where_they_lie(
    tmp_path: Path, pose: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put there by hand, of a mode whose checksums nobody has stated; they are recorded, and compared from then on."""
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path))
    boxes, joints = NETWORKS["lightweight"].files
    boxes.path.parent.mkdir()
    box_network(boxes.path, [[*ONE_TO_ONE, 0.9]], side=SIDE)
    joints.path.write_bytes(pose.read_bytes())
    detector = RTMPose(mode="lightweight")
    ((person,),) = detector.detect([spots(black(256, 256), (70, 80))])
    assert_allclose(person.keypoints_px, np.tile([70.5, 80.5], (26, 1)), atol=1e-4)
    assert boxes.check() == joints.check() == "recorded"
    box_network(boxes.path, [[*ONE_TO_ONE, 0.8]], side=SIDE)
    with pytest.raises(InputError, match="its sha256 is .* but when it was fetched"):
        RTMPose(mode="lightweight")


def test_checksums_are_whole() -> None:
    known = [file.sha256 for networks in NETWORKS.values() for file in networks.files if file.sha256 is not None]
    assert len(known) >= 2
    assert all(len(digest) == 64 for digest in known)
    assert all(file.member == "end2end.onnx" for networks in NETWORKS.values() for file in networks.files)
