"""`lift` and `prepare keypoints` on files of other tools: the same people give the same poses, whoever wrote them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import detection_files as files
from sightline.camera import Camera
from sightline.cli import main
from sightline.formats.camera import write_camera
from sightline.formats.keypoints import read_keypoints, write_keypoints
from sightline.formats.poses import read_poses
from sightline.skeleton import Skeleton, get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints
from test_skeleton import body

SIZE = (1920, 1080)


def standing(skeleton: Skeleton, *, frames: int = 3, ids: bool = True) -> Keypoints:
    """Two people of 1.75 m who stand 5 m before a camera of f = 1500 px, in any joint set; nobody in frame 1."""
    points = body(skeleton)
    made = []
    for index in range(frames):
        found = []
        for number, x in enumerate((-0.7, 0.9) if index != 1 else ()):
            at = points * (-1, -1, -1) + (x + 0.1 * index, 0.9, 5 + number)
            pixels = at[:, :2] / at[:, 2:] * 1500 + (960, 540)
            sure = np.where(np.isnan(pixels[:, 0]), 0, 0.9)
            found.append(PersonKeypoints(keypoints_px=pixels, confidence=sure, id=number if ids else None))
        made.append(KeypointFrame(index=index, people=tuple(found)))
    return Keypoints(skeleton=skeleton, image_size=SIZE, frames=tuple(made))


TOOLS: dict[str, tuple[str, Callable[[Keypoints, Path], Path]]] = {
    "coco results": ("coco17", lambda made, folder: files.coco_results(made, folder / "results.json")),
    "coco annotations": ("coco17", lambda made, folder: files.coco_annotations(made, folder / "truth.json")),
    "openpose": ("openpose25", lambda made, folder: files.openpose_folder(made, folder / "openpose")),
    "openpose 18": ("openpose18", lambda made, folder: files.openpose_folder(made, folder / "openpose18")),
    "mmpose": ("coco17", lambda made, folder: files.mmpose_demo(made, folder / "v.json", files.COCO_NAMES)),
    "mmpose folder": ("halpe26", lambda made, folder: files.mmpose_folder(made, folder / "predictions")),
    "alphapose": ("halpe26", lambda made, folder: files.alphapose_results(made, folder / "alphapose-results.json")),
    "mediapipe": ("mediapipe33", lambda made, folder: files.mediapipe_tasks(made, folder / "landmarks.json")),
    "mediapipe csv": ("mediapipe33", lambda made, folder: files.mediapipe_csv(made, folder / "l.csv", style="names")),
}


@pytest.fixture
def folder(tmp_path: Path, tiny_lifters: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a camera, and a lifter."""
    monkeypatch.chdir(tmp_path)
    write_camera(Camera.create(SIZE, 1500.0), tmp_path / "camera.json")
    for path in tiny_lifters.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def lift(*arguments: str) -> int:
    return main(["lift", *arguments, "--camera", "camera.json", "--weights", "metre.json"])


@pytest.mark.parametrize("tool", TOOLS)
def test_any_tools_file_lifts_like_sightlines_own(folder: Path, tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    skeleton, write = TOOLS[tool]
    made = standing(get_skeleton(skeleton))
    path = write(made, folder)
    write_keypoints(made, folder / "own.json")
    assert lift(str(path), "-o", "theirs.npz", "--smooth", "off") == 0
    told = capsys.readouterr().err
    if tool == "coco annotations":
        assert told == ""
    else:
        assert f"sightline: {path}: does not say how large its pictures are; 1920 × 1080 px are taken from" in told
    assert lift("own.json", "-o", "own.npz", "--smooth", "off") == 0
    assert capsys.readouterr().err == ""
    theirs, own = read_poses("theirs.npz"), read_poses("own.npz")
    np.testing.assert_allclose(theirs.stacked().joints_cam_m, own.stacked().joints_cam_m, atol=2e-4)
    np.testing.assert_array_equal(theirs.stacked().frame_index, own.stacked().frame_index)
    if "coco results" not in tool and tool != "mediapipe":
        np.testing.assert_array_equal(theirs.stacked().person_id, own.stacked().person_id)


def test_the_pictures_may_be_smaller_than_the_cameras(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = standing(get_skeleton("coco17"))
    half = [
        KeypointFrame(
            index=frame.index,
            people=tuple(
                PersonKeypoints(keypoints_px=person.keypoints_px / 2, confidence=person.confidence)
                for person in frame.people
            ),
        )
        for frame in made.frames
    ]
    small = Keypoints(skeleton=made.skeleton, image_size=(960, 540), frames=tuple(half))
    path = files.coco_results(small, folder / "r.json")
    write_keypoints(small, folder / "own.json")
    assert lift(str(path), "-o", "half.npz", "--image-size", "960", "540", "--fps", "50", "--smooth", "off") == 0
    assert capsys.readouterr().err == ""
    assert lift("own.json", "-o", "own.npz") == 0
    theirs, own = read_poses("half.npz"), read_poses("own.npz")
    np.testing.assert_allclose(theirs.stacked().joints_cam_m, own.stacked().joints_cam_m, atol=2e-4)
    assert theirs.fps == 50
    assert theirs.camera.image_size.tolist() == [960, 540]


def test_a_size_that_cannot_be_the_pictures_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.coco_results(standing(get_skeleton("coco17")), folder / "r.json")
    write_camera(Camera.create((640, 360), 500.0), folder / "small.json")
    assert main(["lift", "r.json", "--camera", "small.json", "--weights", "metre.json", "-o", "p.json"]) == 1
    told = capsys.readouterr().err
    assert "r.json: expected keypoints in pictures of 640 × 360 px (the size that small.json says), but" in told
    assert "give the size of the pictures the tool saw (--image-size W H)" in told
    assert not Path("p.json").exists()


@pytest.mark.parametrize("tool", TOOLS)
def test_prepare_keypoints_writes_sightlines_own_file(
    folder: Path, tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    skeleton, write = TOOLS[tool]
    made = standing(get_skeleton(skeleton))
    path = write(made, folder)
    size = [] if tool == "coco annotations" else ["--image-size", "1920", "1080"]
    call = ["prepare", "keypoints", str(path), "-o", "out.json", "--fps", "25", "--json", *size]
    assert main(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == tool.split()[0]
    assert (told["skeleton"], told["image_size"], told["fps"]) == (skeleton, [1920, 1080], 25)
    assert (told["people"], told["dropped"]) == (4, 0)
    read = read_keypoints("out.json")
    assert len(read.frames) == told["frames"]
    np.testing.assert_allclose(read.stacked().keypoints_px, made.stacked().keypoints_px, atol=0.001)
    assert main([*call[: -len(size) or None], *size]) == 0


def test_prepare_keypoints_says_what_it_did(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(files.coco_annotations(standing(get_skeleton("coco17")), folder / "a.json").read_text())
    content["annotations"].append({**content["annotations"][0], "id": 9, "keypoints": [0] * 51, "track_id": 7})
    files.write(folder / "a.json", content)
    assert main(["prepare", "keypoints", "a.json", "-o", "out.json"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 people in 3 frames (coco, coco17, 2 ids) → out.json",
        "  1 people without a single keypoint were left out",
    ]


@pytest.mark.parametrize(
    ("call", "code", "told"),
    [
        ("prepare keypoints r.json -o out.json", 1, "r.json: expected the size of its pictures beside it"),
        ("prepare keypoints r.json -o out.npz", 2, "out.npz: expected an output that ends in .json"),
        ("prepare keypoints r.json -o r.json", 2, "--out: r.json replaces the input"),
        ("prepare keypoints op -o op/out.json", 2, "--out: op/out.json replaces the input or lies in its folder"),
        ("prepare keypoints no.json -o out.json", 1, "no.json: cannot be read"),
        ("prepare keypoints r.json -o out.json --kind yolo", 2, "--kind: expected one of sightline, coco, openpose"),
        ("prepare keypoints r.json -o out.json --kind openpose", 1, "r.json: expected a file of OpenPose"),
        ("prepare keypoints r.json -o out.json --image-size 0 5", 2, "--image-size: expected a width and height"),
        ("prepare keypoints r.json -o out.json --image-size 640", 2, "--image-size"),
        ("prepare keypoints r.json -o out.json --image-size 64 36", 1, "pictures of 64 × 36 px (as --image-size says)"),
        ("prepare keypoints r.json -o out.json --fps 0", 2, "--fps: expected a positive number"),
        ("prepare keypoints r.json -o out.json --fps nan", 2, "--fps: expected a positive number"),
        ("prepare keypoints r.json -o out.json --skeleton coco", 2, "--skeleton: unknown skeleton 'coco'; known are"),
        (
            "prepare keypoints r.json -o out.json --skeleton halpe26",
            1,
            "people of 26 joints (halpe26, as asked), got 17",
        ),
        ("prepare keypoints a.json -o out.json --image-size 64 36", 1, "says that its pictures are 1920 × 1080 px"),
        ("lift r.json --camera camera.json -o out.json --kind yolo", 2, "--kind: expected one of sightline, coco"),
        ("lift r.json --camera camera.json -o out.json --fps -3", 2, "--fps: expected a positive number"),
        ("lift r.json --camera camera.json -o out.json --skeleton x", 2, "--skeleton: unknown skeleton 'x'"),
        ("lift op --camera camera.json -o op/out.json", 2, "--out: op/out.json lies in the folder of the keypoints"),
        ("lift empty --camera camera.json -o out.json", 1, "empty: expected a folder with files *_keypoints.json"),
        (
            "lift a.json --camera camera.json -o out.json --image-size 64 36",
            1,
            "says that its pictures are 1920 × 1080",
        ),
        ("lift nobody.json --camera camera.json -o out.json", 1, "nobody.json: none of its 1 frames has a person"),
    ],
)
def test_wrong_calls_and_files_end_in_one_sentence(
    folder: Path, call: str, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = standing(get_skeleton("coco17"))
    files.coco_results(made, folder / "r.json")
    files.coco_annotations(made, folder / "a.json")
    files.openpose_folder(standing(get_skeleton("openpose25")), folder / "op")
    files.write(folder / "nobody.json", {"people": []})
    (folder / "empty").mkdir()
    assert main(call.split()) == code
    captured = capsys.readouterr()
    line = captured.err.strip().splitlines()[-1]
    assert line.startswith("sightline: ")
    assert told in line
    assert captured.out == ""
    assert not Path("out.json").exists()


def test_up_may_be_another_axis_of_the_cameras_world(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.coco_results(standing(get_skeleton("coco17")), folder / "r.json")
    write_camera(Camera.create(SIZE, 1500.0, rotation=np.eye(3), translation_m=np.zeros(3)), folder / "camera.json")
    assert lift("r.json", "-o", "z.json") == 0
    assert lift("r.json", "-o", "y.json", "--up=-y") == 0
    ups = [read_poses(name).world for name in ("z.json", "y.json")]
    assert [np.round(world.up_cam, 6).tolist() for world in ups if world is not None] == [[0, 0, 1], [0, -1, 0]]
