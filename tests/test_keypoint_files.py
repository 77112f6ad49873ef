"""Keypoint files: what is written comes back, what the format does not know is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from sightline.errors import InputError
from sightline.formats.keypoints import read_keypoints, write_keypoints
from sightline.skeleton import SKELETONS, Skeleton, get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
SCHEMA = json.loads((ROOT / "docs/schemas/keypoints.schema.json").read_text())
LSP_POINT = [10.5, 20, 0.75]


def content(**changes: Any) -> dict[str, Any]:
    """A small good file of the 14-joint set; `changes` replace top-level keys."""
    person = {"id": 3, "height_m": 1.8, "keypoints_px": [LSP_POINT] * 13 + [None]}
    frames = [{"index": 4, "people": [person]}, {"index": 6, "people": []}]
    base = {"skeleton": "lsp14", "image_size": [640, 480], "pixel_origin": "corner", "fps": 29.97, "frames": frames}
    return {**base, **changes}


def with_person(**changes: Any) -> dict[str, Any]:
    """The same file with other values in its one person."""
    person = {**content()["frames"][0]["people"][0], **changes}
    return content(frames=[{"index": 0, "people": [person]}])


def saved(tmp_path: Path, obj: Any) -> Path:
    path = tmp_path / "people.json"
    path.write_text(obj if isinstance(obj, str) else json.dumps(obj), encoding="utf-8")
    return path


def random_keypoints(seed: int = 0) -> Keypoints:
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(5):
        people = []
        for number in range(int(rng.integers(0, 4))):
            points, confidence = rng.uniform(-50, 2000, size=(17, 2)), rng.uniform(size=17)
            lost = rng.uniform(size=17) < 0.2
            points[lost], confidence[lost] = np.nan, 0
            person = PersonKeypoints(
                id=number if number else None,
                keypoints_px=points,
                confidence=confidence,
                height_m=1.75 if number == 1 else None,
            )
            people.append(person)
        frames.append(KeypointFrame(index=index * 3, people=tuple(people)))
    return Keypoints(skeleton=get_skeleton("coco17"), image_size=(1920, 1080), fps=29.97, frames=tuple(frames))


def assert_same(a: Keypoints, b: Keypoints, *, px: float, confidence: float) -> None:
    assert (a.skeleton, a.image_size, a.fps) == (b.skeleton, b.image_size, b.fps)
    assert [frame.index for frame in a.frames] == [frame.index for frame in b.frames]
    assert [(p.id, p.height_m) for _, p in a.people()] == [(p.id, p.height_m) for _, p in b.people()]
    np.testing.assert_allclose(a.stacked().keypoints_px, b.stacked().keypoints_px, rtol=0, atol=px)
    np.testing.assert_allclose(a.stacked().confidence, b.stacked().confidence, rtol=0, atol=confidence)


def test_reading_a_small_file(tmp_path: Path) -> None:
    keypoints = read_keypoints(saved(tmp_path, content()))
    assert keypoints.skeleton is get_skeleton("lsp14")
    assert (keypoints.image_size, keypoints.fps) == ((640, 480), 29.97)
    assert [frame.index for frame in keypoints.frames] == [4, 6]
    (person,) = keypoints.frames[0].people
    assert (person.id, person.height_m) == (3, 1.8)
    np.testing.assert_array_equal(person.keypoints_px[0], (10.5, 20))
    assert person.confidence[0] == 0.75
    assert np.isnan(person.keypoints_px[13]).all()
    assert person.confidence[13] == 0
    assert keypoints.frames[1].people == ()


def test_center_origin_moves_by_half_a_pixel_once(tmp_path: Path) -> None:
    corner = read_keypoints(saved(tmp_path, content()))
    center = read_keypoints(saved(tmp_path, content(pixel_origin="center")))
    np.testing.assert_array_equal(center.stacked().keypoints_px, corner.stacked().keypoints_px + 0.5)
    write_keypoints(center, tmp_path / "again.json")
    assert_same(read_keypoints(tmp_path / "again.json"), center, px=0, confidence=0)


@pytest.mark.parametrize("seed", range(4))
def test_round_trip_to_the_stated_digits_then_exactly(tmp_path: Path, seed: int) -> None:
    original, first, second = random_keypoints(seed), tmp_path / "a.json", tmp_path / "b.json"
    write_keypoints(original, first)
    assert_same(read_keypoints(first), original, px=0.0005 + 1e-9, confidence=0.00005 + 1e-9)
    write_keypoints(read_keypoints(first), second)
    assert second.read_bytes() == first.read_bytes()
    jsonschema.validate(json.loads(first.read_text()), SCHEMA)


def test_optional_keys_may_be_absent_or_null(tmp_path: Path) -> None:
    obj = with_person(id=None, height_m=None) | {"fps": None}
    for entry in (obj, {key: value for key, value in obj.items() if key != "fps"}):
        keypoints = read_keypoints(saved(tmp_path, entry))
        assert keypoints.fps is None
        assert keypoints.frames[0].people[0].id is None
        jsonschema.validate(entry, SCHEMA)


def test_byte_order_mark_and_other_scripts_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "люди.json"
    path.write_text("\ufeff" + json.dumps(content()), encoding="utf-8")
    assert len(read_keypoints(path).frames) == 2


REFUSED: list[tuple[Any, str]] = [
    ("", "people.json: expected JSON, but nothing is there"),
    ('{"skeleton": "lsp14", "fra', "people.json: not valid JSON at line 1, column .*"),
    ("[1, 2", "the file seems cut off"),
    ("[]", r"people.json: expected an object \{…\}, got a list of 0"),
    ('{"fps": NaN}', "people.json: NaN is not a JSON number; a missing value is written null"),
    ('{"fps": -Infinity}', "-Infinity is not a JSON number"),
    ('{"fps": 1, "fps": 2}', 'people.json: the key "fps" stands twice in one object'),
    ("[" * 100_000, "nested too deeply"),
    (json.dumps(content()).replace("29.97", "1e999"), "people.json: fps: expected a finite number"),
    (json.dumps(content()).replace("20,", "1" + "0" * 400 + ",", 1), r"keypoints_px\[0\]: expected"),
    (json.dumps(content()).replace("10.5", "1e999"), r"keypoints_px\[0\]: expected finite numbers"),
    (content(extra=1), 'people.json: unknown key "extra"; known are'),
    ({"skeleton": "lsp14"}, 'people.json: the keys "image_size", "pixel_origin", "frames" are missing'),
    (content(skeleton="coco"), "people.json: skeleton: unknown skeleton 'coco'; known are h36m17"),
    (content(skeleton=17), "people.json: skeleton: expected text, got the number 17"),
    (content(pixel_origin="middle"), 'pixel_origin: expected one of "corner", "center", got the text "middle"'),
    (content(image_size=[640]), "image_size: expected 2 numbers, got 1"),
    (content(image_size=[0, 480]), "image_size: expected a whole width and height of at least 1, got 0 × 480"),
    (content(image_size=[640.5, 480]), "expected a whole width"),
    (content(image_size=[True, 480]), "image_size: expected 2 numbers, found true among them"),
    (content(fps=0), "people.json: fps: expected a number above 0, got 0"),
    (content(fps="30"), 'people.json: fps: expected a number, got the text "30"'),
    (content(frames={}), "people.json: frames: expected a list, got an object"),
    (content(frames=[7]), r"people.json: frames\[0\]: expected an object \{…\}, got the number 7"),
    (content(frames=[{"index": 0}]), r'people.json: frames\[0\]: the key "people" is missing'),
    (content(frames=[{"index": -1, "people": []}]), r"frames\[0\].index: expected a whole number of at least 0"),
    (content(frames=[{"index": 1.5, "people": []}]), r"frames\[0\].index: expected a whole number, got the number 1.5"),
    (content(frames=[{"index": True, "people": []}]), r"frames\[0\].index: expected a whole number, got true"),
    (content(frames=[{"index": 1, "people": []}] * 2), "people.json: frames: expected a rising index, got 1 after 1"),
    (content(frames=[{"index": 0, "people": content()["frames"][0]["people"] * 2}]), "expected each person id once"),
    (with_person(id=-1), r"people\[0\].id: expected a whole number of at least 0"),
    (with_person(id="a"), r"people\[0\].id: expected a whole number, got the text"),
    (with_person(height_m=180), r"people\[0\]: height_m: expected a stature of 0.4 to 2.6 m, got 180"),
    (with_person(name="x"), r'frames\[0\].people\[0\]: unknown key "name"'),
    (with_person(keypoints_px=[LSP_POINT] * 13), r"people\[0\].keypoints_px: expected 14 points, got 13"),
    (with_person(keypoints_px=None), r"people\[0\].keypoints_px: expected a list, got null"),
    (with_person(keypoints_px=[LSP_POINT] * 13 + [[1, 2]]), r"keypoints_px\[13\]: expected 3 numbers, got 2"),
    (with_person(keypoints_px=[LSP_POINT] * 13 + [[1, None, 0.5]]), r"keypoints_px\[13\]: .* found null among them"),
    (with_person(keypoints_px=[LSP_POINT] * 13 + [["1", 2, 0.5]]), r'keypoints_px\[13\]: .* the text "1" among them'),
    (with_person(keypoints_px=[LSP_POINT] * 13 + [[1, 2, True]]), r"keypoints_px\[13\]: .* found true among them"),
    (with_person(keypoints_px=[LSP_POINT] * 13 + [5]), r"keypoints_px\[13\]: expected 3 numbers, got one"),
    (with_person(keypoints_px=[LSP_POINT] * 13 + [[1, 2, 1.01]]), r"\[13\]: expected a confidence in 0…1, got 1.01"),
    (with_person(keypoints_px=[[1, 2, -0.1]] + [LSP_POINT] * 13), r"\[0\]: expected a confidence in 0…1, got -0.1"),
]


@pytest.mark.parametrize(("obj", "sentence"), REFUSED)
def test_refusals_name_the_place(tmp_path: Path, obj: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        read_keypoints(saved(tmp_path, obj))
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "obj",
    [
        content(extra=1),
        content(skeleton="coco"),
        content(pixel_origin="middle"),
        content(image_size=[0, 1]),
        content(fps=0),
        with_person(height_m=180),
        with_person(keypoints_px=[[1, 2, 1.5]] * 14),
        with_person(keypoints_px=[LSP_POINT] * 13),
    ],
)
def test_the_schema_refuses_too(obj: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(obj, SCHEMA)


def test_the_schema_knows_every_skeleton() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    counts = {rule["if"]["properties"]["skeleton"]["const"]: rule["then"] for rule in SCHEMA["allOf"]}
    assert set(counts) == set(SKELETONS) == set(SCHEMA["properties"]["skeleton"]["enum"])
    for name, skeleton in SKELETONS.items():
        people = counts[name]["properties"]["frames"]["items"]["properties"]["people"]
        points = people["items"]["properties"]["keypoints_px"]
        assert points == {"minItems": len(skeleton), "maxItems": len(skeleton)}


def test_missing_and_binary_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no.json: cannot be read \(No such file"):
        read_keypoints(tmp_path / "no.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_keypoints(tmp_path)
    (tmp_path / "binary.json").write_bytes(b'{"skeleton": "\xff"}')
    with pytest.raises(InputError, match="binary.json: expected UTF-8 text, got the byte 0xff at offset 14"):
        read_keypoints(tmp_path / "binary.json")


def test_own_skeletons_cannot_be_written(tmp_path: Path) -> None:
    for name, sentence in (("mine", "unknown skeleton 'mine'"), ("lsp14", "'lsp14' differs from the known")):
        own = Skeleton(name, ("A",), (-1,))
        with pytest.raises(ValueError, match=sentence):
            write_keypoints(Keypoints(skeleton=own, image_size=(1, 1), frames=()), tmp_path / "own.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("camera", ["cam01", "cam02", "cam03", "cam04"])
def test_the_real_video_reads_and_converts(camera: str, tmp_path: Path) -> None:
    path = SHARED / "real" / f"{camera}.keypoints.json"
    if not path.exists():
        pytest.skip("needs ../shared/real")
    keypoints = read_keypoints(path)
    assert (keypoints.skeleton.name, keypoints.image_size, len(keypoints.frames)) == ("mediapipe33", (1088, 1920), 100)
    converted, rule = keypoints.converted("h36m17")
    assert not rule.missing
    thorax, nose, head = (converted.stacked().keypoints_px[:, rule.target.index(j)] for j in ("Thorax", "Nose", "Head"))
    assert np.median(nose[:, 1]) < np.median(thorax[:, 1])  # y points down
    assert np.median(head[:, 1]) < np.median(nose[:, 1])
    write_keypoints(keypoints, tmp_path / "again.json")
    assert_same(read_keypoints(tmp_path / "again.json"), keypoints, px=0, confidence=0)
