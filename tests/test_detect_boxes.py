"""Boxes of the command line, of Sightline's files, MOT and COCO: read right, fitted to pictures, refused in a sentence."""  # noqa: E501

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from sightline.detect.boxes import Box, Boxes, parse_box, read_boxes
from sightline.errors import InputError, UsageError

SCHEMA = json.loads((Path(__file__).resolve().parents[1] / "docs/schemas/boxes.schema.json").read_text())
SIZE = (640, 480)


def saved(tmp_path: Path, content: Any, name: str = "boxes.json") -> Path:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def file(**changes: Any) -> dict[str, Any]:
    """A small good file; `changes` replace top-level keys."""
    frames = [
        {
            "index": 0,
            "boxes": [{"id": 4, "box_px": [10, 20, 110, 220.5], "height_m": 1.7}, {"box_px": [300, 0, 400, 90]}],
        },  # noqa: E501
        {"index": 5, "boxes": []},
    ]
    return {"image_size": list(SIZE), "frames": frames, **changes}


def with_box(**changes: Any) -> dict[str, Any]:
    """A file of one frame with one box, of which `changes` replace keys."""
    return file(frames=[{"index": 0, "boxes": [{"id": 1, "box_px": [10, 20, 110, 220], **changes}]}])


def rows(boxes: tuple[Box, ...] | None) -> list[tuple[int | None, list[float], float | None]]:
    assert boxes is not None
    return [(box.id, box.box_px.tolist(), box.height_m) for box in boxes]


# On the command line


@pytest.mark.parametrize(
    ("text", "corners", "who"),
    [
        ("10,20,30,40", [10, 20, 30, 40], None),
        ("7:10,20,30,40", [10, 20, 30, 40], 7),
        (" 0 : 1.5, -2 ,3e1,4e2", [1.5, -2, 30, 400], 0),
    ],
)
def test_boxes_are_parsed(text: str, corners: list[float], who: int | None) -> None:
    box = parse_box(text)
    assert box.box_px.tolist() == corners
    assert box.id == who
    with pytest.raises(ValueError, match="read-only"):
        box.box_px[0] = 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected x0,y0,x1,y1 or ID:x0,y0,x1,y1 with numbers of pixels"),
        ("10,20,30", "got 3 numbers"),
        ("10,20,30,40,50", "got 5 numbers"),
        ("10,20,x,40", "with numbers of pixels"),
        ("10;20;30;40", "with numbers of pixels"),
        ("30,20,10,40", "expected x0 < x1 and y0 < y1, got 30,20,10,40"),
        ("10,40,30,40", "expected x0 < x1 and y0 < y1"),
        ("nan,20,30,40", "expected four finite pixel numbers"),
        ("10,20,inf,40", "expected four finite pixel numbers"),
        ("10,20,1e9,40", "expected four finite pixel numbers"),
        ("woman:10,20,30,40", "where ID is a whole number from 0 on, got the ID 'woman'"),
        ("-1:10,20,30,40", "got the ID '-1'"),
        ("1.5:10,20,30,40", "got the ID '1.5'"),
        (":10,20,30,40", "got the ID ''"),
        ("1:2:10,20,30,40", "got the ID '1:2'"),
    ],
)
def test_what_is_no_box_is_a_wrong_call(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_box(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_drawn_boxes_get_the_free_numbers_and_begin_films_and_every_photo() -> None:
    boxes = Boxes.drawn([parse_box("1,1,9,9"), parse_box("0:2,2,9,9"), parse_box("3,3,9,9")])
    wanted = [(1, [1, 1, 9, 9], None), (0, [2, 2, 9, 9], None), (2, [3, 3, 9, 9], None)]
    assert rows(boxes.of_frame(None, 0, SIZE)) == wanted
    assert rows(boxes.of_frame(None, 12, SIZE)) == wanted
    assert boxes.of_frame(0, 1, SIZE) is None
    for index in range(3):
        assert rows(boxes.of_photo(index, f"{index}.jpg", SIZE)) == wanted
    with pytest.raises(UsageError, match="--box: expected each id once, got 3, 3"):
        Boxes.drawn([parse_box("3:1,1,9,9"), parse_box("3:2,2,9,9")])


# Sightline's file


def test_a_small_file_is_read(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(file(), SCHEMA)
    boxes = read_boxes(saved(tmp_path, file()))
    wanted = [(4, [10, 20, 110, 220.5], 1.7), (None, [300, 0, 400, 90], None)]
    assert rows(boxes.of_frame(None, 0, SIZE)) == wanted
    assert boxes.of_frame(0, 1, SIZE) is None
    assert rows(boxes.of_frame(4, 5, SIZE)) == []
    assert rows(boxes.of_frame(0, 9, SIZE)) == []  # frame 5 was left out
    assert boxes.of_frame(5, 9, SIZE) is None
    assert rows(boxes.of_photo(0, "any.jpg", SIZE)) == wanted
    assert boxes.of_photo(1, "any.jpg", SIZE) is None


def test_boxes_without_id_in_one_picture_alone_are_numbered(tmp_path: Path) -> None:
    frames = [{"index": 3, "boxes": [{"box_px": [1, 1, 9, 9]}, {"id": 0, "box_px": [2, 2, 9, 9]}]}]
    boxes = read_boxes(saved(tmp_path, {"frames": frames}))
    assert [who for who, _, _ in rows(boxes.of_frame(None, 3, SIZE))] == [1, 0]


def test_photos_are_found_by_their_files_name(tmp_path: Path) -> None:
    content = {
        "frames": [
            {"file": "shots/a.jpg", "boxes": [{"id": 0, "box_px": [1, 1, 9, 9]}]},
            {"file": "b.jpg", "image_size": [1280, 960], "boxes": [{"id": 1, "box_px": [2, 2, 18, 18]}]},
        ]
    }
    jsonschema.validate(content, SCHEMA)
    boxes = read_boxes(saved(tmp_path, content))
    assert rows(boxes.of_photo(7, "a.jpg", SIZE)) == [(0, [1, 1, 9, 9], None)]
    assert rows(boxes.of_photo(0, "elsewhere/b.jpg", SIZE)) == [(1, [1, 1, 9, 9], None)]
    assert boxes.of_photo(0, "c.jpg", SIZE) is None
    with pytest.raises(InputError, match="boxes.json: names files, but the frames of a film have none"):
        boxes.of_frame(None, 0, SIZE)


def test_boxes_are_scaled_to_pictures_of_the_same_aspect_only(tmp_path: Path) -> None:
    boxes = read_boxes(saved(tmp_path, file()))
    assert rows(boxes.of_frame(None, 0, (1280, 960)))[0][1] == [20, 40, 220, 441]
    assert rows(boxes.of_frame(None, 0, (320, 241)))[0][1] == [5, 10, 55, 110.25]  # a pixel's rounding
    with pytest.raises(InputError, match=r"frames\[0\]: expected a picture of the aspect of 640 × 480, .* 480 × 640"):
        boxes.of_frame(None, 0, (480, 640))


def test_boxes_must_overlap_the_picture(tmp_path: Path) -> None:
    for corners in ([640, 0, 700, 50], [-50, 0, 0, 50], [0, 480, 50, 500], [0, -9, 50, 0]):
        boxes = read_boxes(saved(tmp_path, with_box(box_px=corners)))
        with pytest.raises(InputError, match="expected boxes that overlap the picture of 640 × 480, got"):
            boxes.of_frame(None, 0, SIZE)
    over_the_edge = read_boxes(saved(tmp_path, with_box(box_px=[-50, -50, 700, 500])))
    assert len(rows(over_the_edge.of_frame(None, 0, SIZE))) == 1


REFUSED: list[tuple[Any, str]] = [
    ([{"index": 0, "boxes": []}], r"\[0\]: the key \"image_id\" is missing"),
    (file(extra=1), 'unknown key "extra"'),
    ({"image_size": [640, 480]}, 'the key "frames" is missing'),
    (file(image_size=[640]), "image_size: expected 2 numbers, got 1"),
    (file(image_size=[640.5, 480]), "image_size: expected a whole width and height, got 640.5,480"),
    (file(image_size=[0, 480]), "image_size: expected a whole width and height"),
    (file(frames={}), "frames: expected a list"),
    (file(frames=[3]), r"frames\[0\]: expected an object"),
    (file(frames=[{"index": 0}]), r'frames\[0\]: the key "boxes" is missing'),
    (file(frames=[{"boxes": []}]), r'frames\[0\]: expected either the key "index" or the key "file"'),
    (file(frames=[{"index": 0, "file": "a.jpg", "boxes": []}]), 'expected either the key "index" or the key "file"'),
    (file(frames=[{"index": -1, "boxes": []}]), r"frames\[0\].index: expected a whole number of at least 0"),
    (file(frames=[{"index": 1.5, "boxes": []}]), r"frames\[0\].index: expected a whole number"),
    (file(frames=[{"file": 3, "boxes": []}]), r"frames\[0\].file: expected text"),
    (file(frames=[{"index": 2, "boxes": []}] * 2), r"frames\[1\]: expected each picture once, but frame 2 is listed"),
    (file(frames=[{"file": n, "boxes": []} for n in ("a/x", "b/x")]), 'the file "x" is listed twice'),
    (with_box(box_px=[1, 2, 3]), r"boxes\[0\].box_px: expected 4 numbers, got 3"),
    (with_box(box_px=[3, 2, 1, 4]), r"boxes\[0\]: box: expected x0 < x1 and y0 < y1, got 3,2,1,4"),
    (with_box(box_px=[1, 2, 3, 4e7]), r"boxes\[0\]: box: expected four finite pixel numbers"),
    (with_box(box_px=[1, 2, None, 4]), "found null among them"),
    (with_box(id=-1), r"boxes\[0\].id: expected a whole number of at least 0"),
    (with_box(id="anna"), r"boxes\[0\].id: expected a whole number"),
    (with_box(height_m=170), r"boxes\[0\]: height_m: expected a stature of 0.4 to 2.6 m, got 170"),
    (with_box(name="anna"), 'unknown key "name"'),
    (
        file(frames=[{"index": 0, "boxes": [{"id": 1, "box_px": [1, 2, 3, 4]}] * 2}]),
        "expected each id once in a picture",
    ),  # noqa: E501
    ({"annotations": [], "images": []}, "expected boxes, got COCO's annotations"),
    (json.dumps(file()).replace("220.5", "NaN"), "NaN is not a JSON number"),
    (json.dumps(file())[:60], "the file seems cut off"),
    ("{" * 100_000, "not valid JSON|nested too deeply"),
    ("[" * 100_000, "not valid JSON|nested too deeply"),
]


@pytest.mark.parametrize(("content", "sentence"), REFUSED)
def test_refusals_name_the_place(tmp_path: Path, content: Any, sentence: str) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(InputError, match=sentence) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


BEYOND_THE_SCHEMA = ("listed", "x0 < x1", "each id once", "nested", "annotations", "JSON", "cut off", "image_id")


@pytest.mark.parametrize(
    ("content", "sentence"), [row for row in REFUSED if not any(word in row[1] for word in BEYOND_THE_SCHEMA)]
)
def test_the_schema_refuses_too(content: Any, sentence: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


# MOT


def test_mot_counts_frames_and_pixels_from_one(tmp_path: Path) -> None:
    text = "1,3,1,1,100,200,-1,-1,-1,-1\n1, 5, 301.5, 51, 40, 80, 0.9, -1, -1, -1\n\n4,3,11,1,100,200,1,-1,-1,-1\n"
    boxes = read_boxes(saved(tmp_path, text, "gt.txt"))
    assert rows(boxes.of_frame(None, 0, SIZE)) == [(3, [0, 0, 100, 200], None), (5, [300.5, 50, 340.5, 130], None)]
    assert boxes.of_frame(0, 2, SIZE) is None
    assert rows(boxes.of_frame(0, 3, SIZE)) == [(3, [10, 0, 110, 200], None)]


def test_mot_leaves_out_what_mot_ignores_and_what_is_no_person(tmp_path: Path) -> None:
    text = (
        "\ufeff1,1,1,1,9,9,1,1,1.0\n1,2,1,1,9,9,0,1,1.0\n1,3,1,1,9,9,1,3,1.0\n1,4,1,1,9,9,1,7,0.2\n2 -1 1 1 9 9 0.4\n"  # noqa: E501
    )
    boxes = read_boxes(saved(tmp_path, text, "gt.txt"))
    assert [who for who, _, _ in rows(boxes.of_frame(None, 0, SIZE))] == [1, 4]
    assert [who for who, _, _ in rows(boxes.of_frame(0, 1, SIZE))] == [None]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "boxes.txt: expected boxes, but nothing is there"),
        ("  \n\n", "boxes.txt: expected boxes, but nothing is there"),
        ("frame,id,x,y,w,h\n1,1,1,1,9,9", "line 1: expected numbers, frame,id,x,y,w,h,"),
        ("1,1,1,1,9", "line 1: expected at least six finite numbers"),
        ("1,1,1,1,9,nan", "line 1: expected at least six finite numbers"),
        ("1,1,1,1,9,9\n1,2,1,1,inf,9", "line 2: expected at least six finite numbers"),
        ("0,1,1,1,9,9", "line 1: expected a frame from 1 on and an id from −1 on, got 0 and 1"),
        ("1.5,1,1,1,9,9", "expected a frame from 1 on"),
        ("1e300,1,1,1,9,9", "expected a frame from 1 on"),
        ("1,-2,1,1,9,9", "expected a frame from 1 on and an id from −1 on, got 1 and -2"),
        ("1,1,1,1,0,9", "line 1: box: expected x0 < x1 and y0 < y1"),
        ("1,1,1,1,-5,9", "line 1: box: expected x0 < x1"),
        ("1,1,1,1,9,9e99", "line 1: box: expected four finite pixel numbers"),
        ("1,1,1,1,9,9\n1,1,20,1,9,9", "frame 1: expected each id once in a picture, got \\[1, 1\\]"),
        (bytes(range(256)), "boxes.txt: expected JSON or MOT text in UTF-8"),
        (b"\xff\xd8\xff\xe0rubbish", "boxes.txt: expected JSON or MOT text in UTF-8"),
    ],
)
def test_bad_mot_files_name_the_line(tmp_path: Path, text: Any, sentence: str) -> None:
    path = saved(tmp_path, text, "boxes.txt")
    with pytest.raises(InputError, match=sentence) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


# COCO


def coco(**changes: Any) -> dict[str, Any]:
    return {"image_id": 0, "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9, **changes}


def test_coco_results_are_corner_boxes_of_people_who_are_believed_in(tmp_path: Path) -> None:
    content = [
        coco(),
        coco(category_id=18),
        coco(score=0.2),
        coco(bbox=[1, 2, 3, 4], track_id=9),
        coco(image_id=2, score=0.1),
    ]
    boxes = read_boxes(saved(tmp_path, content))
    assert rows(boxes.of_frame(None, 0, SIZE)) == [(None, [10, 20, 40, 60], None), (9, [1, 2, 4, 6], None)]
    assert rows(boxes.of_frame(0, 2, SIZE)) == []
    low = read_boxes(saved(tmp_path, content), min_score=0.05)
    assert len(rows(low.of_frame(None, 0, SIZE))) == 3
    assert len(rows(low.of_frame(0, 2, SIZE))) == 1


def test_coco_names_photos_by_file_or_number(tmp_path: Path) -> None:
    by_name = read_boxes(saved(tmp_path, [coco(image_id="val/a.jpg")]))
    assert rows(by_name.of_photo(3, "a.jpg", SIZE)) == [(0, [10, 20, 40, 60], None)]
    by_number = read_boxes(saved(tmp_path, [coco(image_id=139)]))
    assert rows(by_number.of_photo(0, "000000000139.jpg", SIZE)) == [(0, [10, 20, 40, 60], None)]
    assert by_number.of_photo(0, "000000000285.jpg", SIZE) is None
    assert by_number.of_photo(0, "portrait.jpg", SIZE) is None


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1], r"boxes.json: \[0\]: expected an object"),
        ([coco(image_id=-1)], r"\[0\].image_id: expected a whole number of at least 0"),
        ([coco(image_id=None)], r'\[0\]: the key "image_id" is null'),
        ([coco(image_id="val/")], r"\[0\].image_id: expected the name of a file, got a folder"),
        ([coco(bbox=[1, 2, 3])], r"\[0\].bbox: expected 4 numbers, got 3"),
        ([coco(), coco(bbox=[1, 2, 0, 4])], r"\[1\]: box: expected x0 < x1 and y0 < y1"),
        ([coco(score="high")], r"\[0\].score: expected a number"),
        ([coco(category_id="person")], r"\[0\].category_id: expected a whole number"),
    ],
)
def test_bad_coco_results_name_the_entry(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_boxes(saved(tmp_path, content))


def test_no_results_are_no_boxes(tmp_path: Path) -> None:
    boxes = read_boxes(saved(tmp_path, []))
    assert boxes.of_frame(None, 0, SIZE) is None
    assert boxes.of_photo(0, "a.jpg", SIZE) is None


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no.json: cannot be read \(No such file"):
        read_boxes(tmp_path / "no.json")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory"):
        read_boxes(tmp_path)
    with pytest.raises(InputError, match="expected UTF-8 text, got the byte 0xff"):
        read_boxes(saved(tmp_path, b'{"frames": "\xff"}'))
    locked = saved(tmp_path, file(), "locked.json")
    locked.chmod(0)
    if not os.access(locked, os.R_OK):
        with pytest.raises(InputError, match=r"locked.json: cannot be read \(Permission denied\)"):
            read_boxes(locked)


def test_many_frames_are_found_quickly(tmp_path: Path) -> None:
    count = 8_000
    boxes = read_boxes(saved(tmp_path, "".join(f"{n + 1},1,{n % 500 + 1},1,9,9\n" for n in range(count)), "long.txt"))
    found = [boxes.of_frame(index - 1 if index else None, index, SIZE) for index in range(count)]
    assert [one[0].box_px[0] for one in found if one] == [n % 500 for n in range(count)]


@pytest.mark.parametrize("bad", [[3, 1, 2, 4], [1, 2, np.nan, 4]])
def test_a_box_checks_itself(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="box: expected"):
        Box(box_px=np.array(bad, dtype=float))
