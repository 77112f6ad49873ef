"""Broken files of other tools: each is one sentence with the file, what was expected and what came."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import detection_files as files
from sightline.errors import InputError, UsageError
from sightline.formats.detections import KINDS, read_detections, read_keypoints_of

SIZE = (1920, 1080)
PERSON = {"image_id": 1, "category_id": 1, "keypoints": [100.0, 200.0, 0.9] * 17, "score": 0.9}
ALPHA = {**PERSON, "image_id": "1.jpg", "idx": 0, "box": [1, 2, 3, 4]}
BODY = {"person_id": [-1], "pose_keypoints_2d": [100.0, 200.0, 0.9] * 25}
INSTANCE = {"keypoints": [[100.0, 200.0]] * 17, "keypoint_scores": [0.9] * 17, "bbox": [[1, 2, 3, 4]]}
MARK = {"x": 0.5, "y": 0.4, "z": 0.0, "visibility": 0.9}
IMAGE = {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}


def but(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A good object, some of its keys changed; a key that becomes `...` is left out."""
    return {key: value for key, value in {**base, **changes}.items() if value is not ...}


def with_number(values: list[float], place: int, value: Any) -> list[Any]:
    return [*values[:place], value, *values[place + 1 :]]


def labelled(annotation: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return but({"images": [IMAGE], "annotations": [annotation], "categories": [{"id": 1, "name": "person"}]}, **changes)


def named(*names: Any) -> list[dict[str, Any]]:
    return [{"id": 1, "name": "person", "keypoints": list(names)}]


def video(*numbers: Any) -> dict[str, Any]:
    return {"meta_info": {}, "instance_info": [{"frame_id": n, "instances": [INSTANCE]} for n in numbers]}


def marks(**changes: Any) -> list[list[dict[str, Any]]]:
    """Frames of one person, one of whose landmarks is changed."""
    return [[but(MARK, **changes), *[MARK] * 32]]


FLAT = PERSON["keypoints"]
BAD: dict[str, list[tuple[Any, str]]] = {
    "coco": [
        ([7], "[0]: expected an object {…}, got the number 7"),
        ("true", "expected COCO's results, a list of people, or its annotations"),
        ({"images": []}, "expected COCO's results, a list of people, or its annotations"),
        ([but(PERSON, keypoints=...)], '[0]: the key "keypoints" is missing'),
        ([but(PERSON, keypoints=None)], '[0]: the key "keypoints" is null'),
        ([but(PERSON, keypoints={})], "[0].keypoints: expected a list, got an object"),
        ([but(PERSON, keypoints=FLAT[:-1])], "[0].keypoints: expected x, y and a score per joint, got 50 numbers"),
        ([but(PERSON, keypoints=[])], "expected people of 16 (mpii16), 17 (coco17)"),
        ([but(PERSON, keypoints=FLAT[:42])], "136 (halpe26) joints, got 14; if they are another known set"),
        (
            [PERSON, but(PERSON, keypoints=FLAT + FLAT[:27])],
            "[1]: expected 17 joints, as the people before have, got 26",
        ),
        (
            [but(PERSON, keypoints=with_number(FLAT, 3, "100"))],
            '[0].keypoints: expected n numbers, found the text "100"',
        ),
        ([but(PERSON, keypoints=with_number(FLAT, 3, None))], "[0].keypoints: expected n numbers, found null"),
        ([but(PERSON, keypoints=with_number(FLAT, 3, True))], "[0].keypoints: expected n numbers, found true"),
        ([but(PERSON, keypoints=with_number(FLAT, 4, 1e300))], "[0]: LEye: expected pixels, got 1e+300"),
        ([but(PERSON, keypoints=with_number(FLAT, 4, 10**400))], "[0].keypoints: expected n finite numbers"),
        ([but(PERSON, keypoints=with_number(FLAT, 5, -3))], "[0]: LEye: expected a confidence of 0…1, got -3"),
        ([but(PERSON, keypoints=with_number(FLAT, 5, 99))], "[0]: LEye: expected a confidence of 0…1, got 99"),
        ([but(PERSON, keypoints=[0.4, 0.6, 0.9] * 17)], "expected pixels, but all coordinates lie within -1…1"),
        ([but(PERSON, image_id=...)], '[0]: the key "image_id" is missing'),
        ([but(PERSON, image_id=1.5)], "[0].image_id: expected a whole number, got the number 1.5"),
        ([but(PERSON, image_id=[1])], "[0].image_id: expected a whole number, got a list of 1"),
        ([but(PERSON, image_id=-1)], "expected image ids of at least 0, got the number -1"),
        ([but(PERSON, image_id="")], "[0].image_id: expected text"),
        ([PERSON, but(PERSON, image_id="a")], "image ids to be either whole numbers or names of files, got both"),
        ([but(PERSON, track_id="x")], '[0].track_id: expected a whole number, got the text "x"'),
        ([but(PERSON, track_id=3)] * 2, "frame 1: expected each person id once, got 3 twice"),
        (
            '[{"keypoints": [1, 2',
            "not valid JSON at line 1, column 21: Expecting ',' delimiter; the file seems cut off",
        ),
        (json.dumps([PERSON]).replace("0.9", "NaN", 1), "NaN is not a JSON number"),
        (json.dumps([PERSON]).replace('"score"', '"image_id"'), 'the key "image_id" stands twice'),
        (
            labelled(but(PERSON, image_id=9)),
            "annotations[0].image_id: expected the id of one of the images, got the number 9",
        ),
        (labelled(PERSON, annotations={}), "annotations: expected a list, got an object"),
        (labelled(PERSON, images=[IMAGE, IMAGE]), "images: expected each id once, got the number 1 twice"),
        (
            labelled(PERSON, images=[IMAGE, but(IMAGE, id=2, width=641)]),
            "pictures of one size, as one camera takes them",
        ),
        (
            labelled(PERSON, images=[but(IMAGE, width=-5)]),
            "images[0].width: expected a whole number of at least 1, got -5",
        ),
        (labelled(PERSON, images=[but(IMAGE, width="640")]), "images[0].width: expected a whole number, got the text"),
        (labelled(but(PERSON, keypoints=...)), "expected annotations with keypoints, but none of its 1 has them"),
        (labelled(but(PERSON, keypoints=with_number(FLAT, 5, 3))), "LEye: expected a visibility of 0, 1 or 2, got 3"),
        (labelled(but(PERSON, keypoints=with_number(FLAT, 5, -1))), "LEye: expected a visibility of 0, 1 or 2, got -1"),
        (labelled(PERSON, categories=named("nose", "tail")), "its 2 joint names do not go with people of 17 joints"),
        (labelled(PERSON, categories=named(*"abcdefghijklmnopq")), "hold none of the sets mediapipe33, halpe26"),
        (
            labelled(PERSON, categories=named(1, 2)),
            "categories[0].keypoints: expected names of joints, found the number 1",
        ),
    ],
    "openpose": [
        ([BODY], 'expected a file of OpenPose, an object with "people", got a list of 1'),
        ({"version": 1.3}, 'expected a file of OpenPose, an object with "people", got an object'),
        ({"people": {}}, "people: expected a list, got an object"),
        ({"people": [3]}, "people[0]: expected an object {…}, got the number 3"),
        ({"people": [but(BODY, pose_keypoints_2d=...)]}, 'people[0]: the key "pose_keypoints_2d" is missing'),
        ({"people": [but(BODY, pose_keypoints_2d="1 2")]}, "people[0].pose_keypoints_2d: expected a list"),
        ({"people": [but(BODY, pose_keypoints_2d=[1.0] * 74)]}, "expected x, y and a score per joint, got 74 numbers"),
        ({"people": [but(BODY, pose_keypoints_2d=[9.0] * 45)]}, "18 (openpose18), 25 (openpose25) joints, got 15"),
        ({"people": [BODY, but(BODY, pose_keypoints_2d=[1.0] * 54)]}, "people[1]: expected 25 joints, as the people"),
        ({"people": [but(BODY, pose_keypoints_2d=[9, 9, -0.1] * 25)]}, "Nose: expected a confidence of 0…1, got -0.1"),
        ({"people": [but(BODY, pose_keypoints_2d=[9, 9, 50] * 25)]}, "Nose: expected a confidence of 0…1, got 50"),
        ({"people": [but(BODY, pose_keypoints_2d=[1e9, 9, 0.5] * 25)]}, "people[0]: Nose: expected pixels, got 1e+09"),
        ({"people": [but(BODY, pose_keypoints_2d=[-0.5, 0.9, 0.5] * 25)]}, "OpenPose: --keypoint_scale 0"),
        ({"people": [but(BODY, pose_keypoints_2d=["1", 2, 0.5] * 25)]}, 'found the text "1" among them'),
        ({"people": [but(BODY, person_id="a")]}, "people[0].person_id: expected a whole number"),
        ({"people": [but(BODY, person_id=[1, 2])]}, "people[0].person_id: expected one id, got 2"),
        ({"people": [but(BODY, person_id=[1])] * 2}, "frame 0: expected each person id once, got 1 twice"),
        ('{"version":1.3,"people":[{"person_id":[-1],"pose_key', "not valid JSON at line 1, column 44: Unterminated"),
        (json.dumps({"people": [BODY]}).replace("0.9", "Infinity", 1), "Infinity is not a JSON number"),
        (json.dumps({"people": [BODY]}).replace("0.9", "1e999", 1), "finite numbers, but one is too large"),
    ],
    "mmpose": [
        ({"meta_info": {}}, "expected a list of instances or frames, or an object with instance_info"),
        ("5", "expected MMPose's list of instances or frames, got the number 5"),
        ([3], "[0]: expected an object {…}, got the number 3"),
        ([but(INSTANCE, keypoints=...)], '[0]: the key "keypoints" is missing'),
        ([but(INSTANCE, keypoints=[[1, 2]] * 16)], "[0].keypoint_scores: expected 16 numbers, got 17"),
        ([but(INSTANCE, keypoints=[[1, 2, 3]] * 17)], "three coordinates, which MMPose's 3D models write"),
        ([but(INSTANCE, keypoints=[[1]] * 17)], "[0].keypoints: expected n × 2 numbers, got 17 × 1"),
        ([but(INSTANCE, keypoints=[[1, 2], [3]])], "[0].keypoints: expected n × 2 finite numbers in even rows"),
        ([but(INSTANCE, keypoints=[["1", 2]] * 17)], '[0].keypoints: expected n × 2 numbers, found the text "1"'),
        ([but(INSTANCE, keypoints=[[1, 2]] * 17, keypoint_scores=...)], "[0].keypoints: expected n × 3 numbers"),
        ([but(INSTANCE, keypoint_scores=[0.5] * 16)], "[0].keypoint_scores: expected 17 numbers, got 16"),
        ([but(INSTANCE, keypoint_scores=["a"] * 17)], "[0].keypoint_scores: expected 17 numbers, found the text"),
        ([but(INSTANCE, keypoint_scores=[-8.0] * 17)], "[0]: Nose: expected a confidence of 0…1, got -8"),
        ([but(INSTANCE, keypoints=[[1e7, 1]] * 17)], "[0]: Nose: expected pixels, got 1e+07"),
        ([but(INSTANCE, keypoints=[[1, 2]] * 14, keypoint_scores=[1] * 14)], "joints, got 14"),
        ([but(INSTANCE, track_id=2)] * 2, "frame 0: expected each person id once, got 2 twice"),
        (video(1, 1), "instance_info[1]: expected each frame_id once, got 1 twice"),
        (video(-1), "instance_info[0].frame_id: expected a whole number of at least 0"),
        (video("1"), "instance_info[0].frame_id: expected a whole number, got the text"),
        ([{"frame_id": 0, "instances": {}}], "[0].instances: expected a list, got an object"),
        (but(video(1), meta_info={"keypoint_id2name": {"0": "a", "2": "b"}}), "expected the joints 0 to 1, got 0, 2"),
        (
            but(video(1), meta_info={"keypoint_id2name": {"0": 3}}),
            "keypoint_id2name.0: expected text, got the number 3",
        ),
        (but(video(1), meta_info={"keypoint_id2name": {"0": "a"}}), "its 1 joint names do not go with people of 17"),
        (json.dumps([INSTANCE])[:-30], "not valid JSON"),
        (json.dumps([INSTANCE]).replace("0.9", "NaN", 1), "NaN is not a JSON number"),
    ],
    "alphapose": [
        ([5], "[0]: expected an object {…}, got the number 5"),
        (
            {"1.jpg": {"version": "AlphaPose v0.3"}},
            "expected AlphaPose's results, a list of people or an object of pictures",
        ),
        ([but(ALPHA, keypoints=...)], '[0]: the key "keypoints" is missing'),
        ([but(ALPHA, keypoints=FLAT[:-2])], "[0].keypoints: expected x, y and a score per joint, got 49 numbers"),
        ([but(ALPHA, keypoints=FLAT + FLAT[:9])], "joints, got 20; if they are another known set"),
        ([ALPHA, but(ALPHA, keypoints=FLAT + FLAT[:27])], "[1]: expected 17 joints"),
        ([but(ALPHA, keypoints=with_number(FLAT, 0, "x"))], 'found the text "x" among them'),
        ([but(ALPHA, keypoints=with_number(FLAT, 0, 1e12))], "[0]: Nose: expected pixels, got 1e+12"),
        ([but(ALPHA, keypoints=with_number(FLAT, 2, -2))], "[0]: Nose: expected a confidence of 0…1, got -2"),
        ([but(ALPHA, idx="a")], '[0].idx: expected a number, got the text "a"'),
        ([but(ALPHA, image_id=None)], '[0]: the key "image_id" is null'),
        ({"1.jpg": {"bodies": [{"joints": [1.0] * 53}]}}, "1.jpg.bodies[0].joints: expected x, y and a score"),
        ({"1.jpg": {"people": [{"pose_keypoints_2d": [1.0] * 7}]}}, "1.jpg.people[0].pose_keypoints_2d: expected x, y"),
        ({"1.jpg": {"bodies": [{"joints": [9.0, 9.0, 0.5] * 15}]}}, "joints, got 15"),
        (json.dumps([ALPHA])[:200], "the file seems cut off"),
        (json.dumps([ALPHA]).replace("0.9", "NaN", 1), "NaN is not a JSON number"),
    ],
    "mediapipe": [
        ("7", "expected 33 landmarks, a list of people, or null, got the number 7"),
        (["a"], '[0]: expected 33 landmarks, a list of people, or null, got the text "a"'),
        ([["a"]], "expected the 33 landmarks of a body, got 1"),
        ([["a"], ["b"]], "expected the 33 landmarks of a body, got 2"),
        ([["a", [MARK]]] * 2, "expected the 33 landmarks of a body, got 2"),
        ([[[MARK] * 33, "a"]], '[0][1]: expected 33 landmarks, a list of people, or null, got the text "a"'),
        ([{"frame": 1}], "[0]: expected landmarks under one of pose_landmarks, poseLandmarks"),
        ([[MARK] * 21], "[0]: expected the 33 landmarks of a body, got 21"),
        ([[[MARK] * 33, [MARK] * 32]], "[0][1]: expected the 33 landmarks of a body, got 32"),
        (marks(x=...), '[0][0]: the key "x" is missing'),
        (marks(y=None), "[0]: expected n numbers, found null among them"),
        (marks(x="0.5"), '[0]: expected n numbers, found the text "0.5" among them'),
        (
            marks(x=640.5),
            "[0]: Nose: expected shares of the picture's width and height, about 0…1, got 640.5: these look",
        ),
        (marks(x=1e300), "[0]: Nose: expected shares of the picture's width and height"),
        (marks(visibility=-0.2), "[0]: Nose: expected a confidence of 0…1, got -0.2"),
        (marks(visibility=3.5), "[0]: Nose: expected a confidence of 0…1, got 3.5"),
        (marks(visibility="high"), 'found the text "high" among them'),
        ([[[0.1, 0.2, 0.3]] * 33], "[0]: expected x, y, z and visibility of each landmark, got 3 numbers"),
        ([[*[MARK] * 32, 5]], "[0][32]: expected an object {…}, got the number 5"),
        ([{"frame": 3, "landmarks": [MARK] * 33}] * 2, "[1]: expected each frame once, got frame 3 twice"),
        ([{"frame": 3, "landmarks": [MARK] * 33}, None], "[1]: expected an object {…}, got null"),
        ([{"frame": "3", "landmarks": [MARK] * 33}], "[0].frame: expected a whole number"),
        ({"frames": 3, "landmarks": []}, "frames: expected a list, got the number 3"),
        ({"frames": [], "fps": -1}, "fps: expected a number above 0, got -1"),
        ({"frames": [], "image_size": [0, 5]}, "image_size: expected a whole width and height, got 0 × 5"),
        ({"frames": [], "width": 1.5, "height": 2}, "width: expected a whole number, got the number 1.5"),
        (json.dumps([[MARK] * 33])[:-40], "not valid JSON"),
        (json.dumps([[MARK] * 33]).replace("0.9", "NaN", 1), "NaN is not a JSON number"),
    ],
}
GOOD: dict[str, list[Any]] = {
    "coco": [[PERSON, but(PERSON, track_id=4)], labelled(PERSON, categories=named(*files.COCO_NAMES))],
    "openpose": [{"version": 1.3, "people": [BODY]}],
    "mmpose": [[INSTANCE], video(1, 2), {"predictions": [[INSTANCE], []]}, [{"frame_id": 0, "instances": [INSTANCE]}]],
    "alphapose": [[ALPHA], {"1.jpg": {"bodies": [{"joints": [9.0, 9.0, 0.5] * 18}]}}],
    "mediapipe": [[[MARK] * 33, None], {"fps": 5, "frames": [{"frame": 1, "pose_landmarks": [[MARK] * 33]}]}],
}
CASES = [(kind, content, sentence) for kind, cases in BAD.items() for content, sentence in cases]


def check(path: Path, kind: str | None, sentence: str, start: Path | None = None) -> None:
    with pytest.raises(InputError) as caught:
        read_keypoints_of(path, kind=kind, image_size=None if kind == "coco" else SIZE)
    told = str(caught.value)
    assert sentence in told
    assert told.startswith(str(start or path))
    assert "\n" not in told


@pytest.mark.parametrize(("kind", "content", "sentence"), CASES)
def test_broken_files_are_one_sentence_with_their_place(tmp_path: Path, kind: str, content: Any, sentence: str) -> None:
    check(files.write(tmp_path / "file.json", content), kind, sentence)


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "expected JSON, but nothing is there"),
        (b" \n", "expected JSON, but nothing is there"),
        (bytes(range(256)), "expected UTF-8 text, got the byte 0x80"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\x89PNG\r\n\x1a\n", "expected UTF-8 text, got the byte 0x89"),
        (b"nose,eye\n1,2\n", "not valid JSON at line 1, column 1"),
    ],
)
def test_what_is_no_json_is_refused_for_every_kind(
    tmp_path: Path, kind: str | None, content: bytes, sentence: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    check(path, kind, sentence)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ([], "a list without anybody"),
        ([None, [], [[]]], "a list without anybody"),
        ([1, 2], "got a list of 2 that holds the number 1"),
        ({}, "an empty object"),
        ({"a": 1, "b": 2}, 'an object with the keys "a", "b"'),
        ([{"left": 1}], 'a list of 1 that holds an object with the keys "left"'),
        ([[[0.5, 0.5, 0.9]] * 17], "a list of 1 that holds"),
        ("null", "got null"),
    ],
)
def test_what_nobody_writes_is_named_with_the_kinds_there_are(tmp_path: Path, content: Any, seen: str) -> None:
    path = files.write(tmp_path / "file.json", content)
    check(path, None, seen)
    check(path, None, "(kind, or --kind on the command line: sightline, coco, openpose, mmpose, alphapose, mediapipe)")


def cut(path: Path) -> None:
    text = path.read_text()
    path.write_text(text[: len(text) // 2])


FOLDERS: list[tuple[str, Callable[[Path], Any], str]] = [
    ("empty", lambda folder: None, "(MMPose, AlphaPose, MediaPipe), found none among its 0 entries"),
    ("pictures", lambda folder: (folder / "a.png").write_bytes(b"x"), "found none among its 1 entries"),
    ("nested", lambda folder: (folder / "a.json").mkdir(), "found none among its 1 entries"),
    ("hidden", lambda folder: files.write(folder / "._a_keypoints.json", "{}"), "found none among its 1 entries"),
]


@pytest.mark.parametrize(("name", "make", "sentence"), FOLDERS)
def test_folders_without_keypoints(tmp_path: Path, name: str, make: Callable[[Path], Any], sentence: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    make(folder)
    check(folder, None, sentence)


def test_a_folder_names_the_file_that_is_broken(tmp_path: Path) -> None:
    folder = files.openpose_folder(files.people("openpose25"), tmp_path / "out")
    broken = folder / "clip_000000000003_keypoints.json"
    cut(broken)
    check(folder, None, "not valid JSON", start=broken)
    files.write(broken, [1])
    check(folder, None, 'an object with "people", got a list of 1', start=broken)
    files.write(broken, {"people": [but(BODY, pose_keypoints_2d=[9.0] * 54)]})
    check(folder, None, "people[0]: expected 25 joints, as the people before have, got 18", start=broken)


def test_two_videos_in_a_folder_are_refused(tmp_path: Path) -> None:
    made = files.people("openpose25")
    for clip in ("left", "right"):
        files.openpose_folder(made, tmp_path / "out", clip=clip)
    sentence = "two of frame 0, left_000000000000_keypoints.json and right_000000000000_keypoints.json; put each video"
    check(tmp_path / "out", None, sentence)


def test_folders_hold_one_kind_one_picture_each_and_one_joint_set(tmp_path: Path) -> None:
    made = files.people("coco17")
    folder = files.mmpose_folder(made, tmp_path / "mmpose")
    mixed = files.write(folder / "shot 9.json", video(1, 2))
    check(folder, None, "expected one picture in each file of a folder, got 2 frames", start=mixed)
    id2name = {str(number): name for number, name in enumerate(files.COCO_NAMES)}
    files.write(mixed, {"meta_info": {"keypoint_id2name": id2name}, "instance_info": [INSTANCE]})
    check(folder, None, "since people have one joint set, got others", start=mixed)
    files.write(mixed, {"skeleton": "coco17"})
    check(folder, None, "expected a list of instances or frames", start=mixed)
    coco = tmp_path / "coco"
    coco.mkdir()
    files.coco_results(made, coco / "a.json")
    check(coco, None, "expected one file of this kind, got a folder; name the file in it")


def test_missing_files_and_those_nobody_may_read(tmp_path: Path) -> None:
    check(tmp_path / "no.json", None, "cannot be read (No such file or directory)")
    check(tmp_path / "no.csv", None, "cannot be read (No such file or directory)")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0)
    if os.access(folder, os.R_OK):  # the superuser reads everything
        return
    check(folder, None, "cannot be read (Permission denied)")


TABLE = "frame," + ",".join(f"x{n},y{n},v{n}" for n in range(33))
CELLS = ",".join(["0.5,0.5,0.9"] * 33)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected a line of column names, but nothing is there"),
        ("a,b\n1,2\n", "expected columns with x and y of all 33 landmarks"),
        (TABLE.replace("x7,", "q7,") + "\n", "nose_visibility; 1 are missing, the first is LEar x"),
        (f"{TABLE}\n0,{CELLS},9\n", "row 1: expected 100 cells, got 101"),
        (f"{TABLE}\n0,{CELLS}\n1,0.5\n", "row 2: expected 100 cells, got 2"),
        (f"{TABLE}\n0,{CELLS.replace('0.5', 'left', 1)}\n", 'row 1: column "x0": expected a number, got "left"'),
        (f"{TABLE}\n0,{CELLS.replace('0.5', 'inf', 1)}\n", 'row 1: column "x0": expected a finite number, got "inf"'),
        (f"{TABLE}\n0,{CELLS.replace('0.5', '640', 1)}\n", "row 1: Nose: expected shares of the picture's width"),
        (f"{TABLE}\n0,{CELLS.replace('0.9', '-1', 1)}\n", "row 1: Nose: expected a confidence of 0…1, got -1"),
        (f"{TABLE}\none,{CELLS}\n", 'row 1: column "frame": expected a number, got "one"'),
        (f"{TABLE}\n0.5,{CELLS}\n", 'row 1: column "frame": expected a whole number, got "0.5"'),
        (f"{TABLE}\n,{CELLS}\n", 'row 1: column "frame": expected a whole number, got ""'),
        (f"{TABLE}\n-1,{CELLS}\n", "row 1: expected a frame of at least 0, got -1"),
        (f"{TABLE}\n4,{CELLS}\n4,{CELLS}\n", "row 2: expected each frame once where no column has ids, got 4 twice"),
        (f"id,{TABLE}\n7,4,{CELLS}\n7,4,{CELLS}\n", "frame 4: expected each person id once, got 7 twice"),
        (f'{TABLE}\n0,"{CELLS}\n', "not a valid table"),
    ],
)
def test_broken_tables(tmp_path: Path, text: str, sentence: str) -> None:
    check(files.write(tmp_path / "m.csv", text), None, sentence)


def test_a_table_is_of_no_other_kind(tmp_path: Path) -> None:
    check(
        files.write(tmp_path / "m.csv", TABLE),
        "coco",
        "expected JSON, since only landmarks of MediaPipe come as a table",
    )
    check(files.write(tmp_path / "m.csv", TABLE), "sightline", "got a table")


def test_the_size_of_the_pictures_must_be_known_and_agree(tmp_path: Path) -> None:
    results = files.write(tmp_path / "r.json", [PERSON])
    with pytest.raises(InputError, match=r"r.json: expected the size of its pictures beside it.*--image-size W H"):
        read_keypoints_of(results)
    shares = files.write(tmp_path / "m.json", [[MARK] * 33])
    with pytest.raises(InputError, match="coordinates are shares of the picture's width and height"):
        read_keypoints_of(shares)
    truth = files.write(tmp_path / "t.json", labelled(PERSON))
    assert read_keypoints_of(truth, image_size=(640, 480)).image_size == (640, 480)
    with pytest.raises(InputError, match="says that its pictures are 640 × 480 px, but 1920 × 1080 was given"):
        read_keypoints_of(truth, image_size=SIZE)
    for size in ((0, 5), (5,), (1, 2, 3)):
        with pytest.raises(UsageError, match="image_size: expected a width and height of at least 1 in whole pixels"):
            read_keypoints_of(results, image_size=size)


def test_unknown_kinds_and_sets_are_wrong_calls(tmp_path: Path) -> None:
    path = files.write(tmp_path / "r.json", [PERSON])
    with pytest.raises(UsageError, match="kind: expected one of sightline, coco, .*, got 'yolo'"):
        read_detections(path, kind="yolo")
    with pytest.raises(UsageError, match="skeleton: unknown skeleton 'coco'; known are"):
        read_detections(path, skeleton="coco")
    with pytest.raises(InputError, match=r"r.json: expected people of 26 joints \(halpe26, as asked\), got 17"):
        read_detections(path, skeleton="halpe26")


def test_sightlines_own_files_keep_their_sentences(tmp_path: Path) -> None:
    own = {"skeleton": "coco17", "image_size": [8, 6], "pixel_origin": "corner", "frames": []}
    check(files.write(tmp_path / "o.json", but(own, frames=...)), None, 'the key "frames" is missing')
    check(files.write(tmp_path / "o.json", but(own, skeleton=...)), None, 'the key "skeleton" is missing')
    check(files.write(tmp_path / "o.json", {**own, "score": 1}), None, 'unknown key "score"')
    check(files.write(tmp_path / "o.json", [own]), "sightline", "expected an object {…}, got a list of 1")
    with pytest.raises(InputError, match="its joints are coco17, but h36m17 was asked for"):
        read_detections(files.write(tmp_path / "o.json", own), skeleton="h36m17")
    with pytest.raises(InputError, match="says that its pictures are 8 × 6 px, but 1920 × 1080 was given"):
        read_keypoints_of(files.write(tmp_path / "o.json", own), image_size=SIZE)


def test_the_good_halves_of_this_table_are_good(tmp_path: Path) -> None:
    for kind, contents in GOOD.items():
        for content in contents:
            found = read_detections(files.write(tmp_path / "g.json", content))
            assert (found.kind, found.dropped) == (kind, 0)
            assert len(found.keypoints(found.image_size or SIZE).frames) >= 1
    assert len(read_keypoints_of(files.write(tmp_path / "m.csv", f"{TABLE}\n0,{CELLS}\n"), image_size=SIZE).frames) == 1


STRANGE = (None, True, "", "x", "0.5", 0, -1, 7.5, 1e308, -1e-320, 10**400, [], {}, [[]], [None], {"x": 1}, [0.5] * 4)


def nodes(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON value, itself included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(way for key, entry in inner for way in nodes(entry, (*path, key)))]


def replaced(value: Any, way: tuple[Any, ...], by: Any) -> Any:
    """The same JSON value with another one at that place."""
    if not way:
        return by
    whole = copy.deepcopy(value)
    at = whole
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = by
    return whole


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sightline"])
def test_nothing_but_input_errors_whatever_stands_where(tmp_path: Path, kind: str, named: bool) -> None:
    rng = np.random.default_rng(len(kind))
    path = tmp_path / "file.json"
    told: list[str] = []
    for good in GOOD[kind]:
        ways, size = nodes(good), None if "images" in good else SIZE
        for _ in range(150):
            way, by = ways[int(rng.integers(len(ways)))], STRANGE[int(rng.integers(len(STRANGE)))]
            files.write(path, json.dumps(replaced(good, way, by)))
            try:
                read_keypoints_of(path, kind=kind if named else None, image_size=size)
            except InputError as error:
                told.append(str(error))
    assert len(told) > 30
    assert not [sentence for sentence in told if "\n" in sentence or not sentence.startswith(str(path))]
