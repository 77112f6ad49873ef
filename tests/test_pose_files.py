"""Pose files: JSON and NPZ hold everything, agree with each other and the schema, and refuse what is not theirs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from referencing import Registry, Resource

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.camera import camera_to_json
from sightline.formats.poses import read_poses, write_poses
from sightline.skeleton import get_skeleton
from sightline.structures import ExtraJoints, Hypothesis, ModelInfo, Person, PoseFrame, Poses, Scale, World

SCHEMAS = Path(__file__).resolve().parents[1] / "docs/schemas"
H36M = get_skeleton("h36m17")
CAMERA = Camera.create(
    (1088, 1920), (1681.3, 1680.1), (533.4, 948.2), rotation=np.diag([1.0, -1, -1]), translation_m=(0.1, 0.2, 4 / 3)
)


def schema_errors(obj: Any) -> list[str]:
    schema = json.loads((SCHEMAS / "poses.schema.json").read_text())
    camera = Resource.from_contents(json.loads((SCHEMAS / "camera.schema.json").read_text()))
    registry = Registry().with_resource("camera.schema.json", camera)
    return [error.message for error in jsonschema.Draft202012Validator(schema, registry=registry).iter_errors(obj)]


def holed(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random points, about one in five missing."""
    points = rng.normal(scale=3, size=shape)
    points[rng.uniform(size=shape[0]) < 0.2] = np.nan
    return points


def random_person(rng: np.random.Generator, number: int) -> Person:
    """A person that has every optional part if `number` is odd, an empty one of some, and none if it is 0."""
    keypoints_px = holed(rng, 17, 2) * 100
    person = Person(
        id=number if number else None,
        score=float(rng.normal()),
        joints_cam_m=holed(rng, 17, 3),
        keypoints_px=keypoints_px,
        confidence=np.where(np.isnan(keypoints_px[:, 0]), 0, rng.uniform(size=17)),
        root_depth_canonical=float(rng.uniform(1e-3, 1e-2)) if number != 2 else None,
    )
    if number == 0:
        return person
    if number % 2 == 0:
        return replace(person, hypotheses=())
    hypotheses = tuple(
        Hypothesis(score=float(k), joints_cam_m=holed(rng, 17, 3), root_depth_canonical=None if k else 0.004)
        for k in range(number)
    )
    skeleton = get_skeleton("halpe26" if number == 1 else "lsp14")
    return replace(
        person,
        box_px=np.array([-3.25, 1.0, 700.123456, 900.0]),
        sigma_m=np.abs(holed(rng, 17, 3)),
        hypotheses=hypotheses,
        extra=ExtraJoints(skeleton=skeleton, joints_cam_m=holed(rng, len(skeleton), 3)),
        mesh=f"person{number}.glb",
    )


def random_poses(seed: int = 0) -> Poses:
    rng = np.random.default_rng(seed)
    frames = []
    for index, count in enumerate((4, 0, 1, 3)):
        frame = PoseFrame(index=index * 2, people=tuple(random_person(rng, number) for number in range(count)))
        if index == 3:
            frame = replace(frame, time_s=0.1 + 0.2, file="bild ß.jpg", camera=CAMERA.resized((544, 960)))
        frames.append(frame)
    return Poses(
        skeleton=H36M,
        camera=CAMERA,
        scale=Scale(source="assumed_fov", body="mixed", note="field of view of a phone"),
        model=ModelInfo(method="abspose", weights="wide", version="0.1.0", details={"sigma": 0.1 + 0.2, "by": "me"}),
        fps=30000 / 1001,
        world=World(up_cam=np.array([0, -0.6, -0.8]), floor_cam=np.array([0, -0.6, -0.8, 1.6])),
        frames=tuple(frames),
    )


def bare_poses() -> Poses:
    """The least a file can hold: no frames and nothing optional."""
    scale, model = Scale(source="calibrated_focal", body="learned"), ModelInfo(method="m")
    return Poses(skeleton=H36M, camera=Camera.create((4, 3), 2.0), scale=scale, model=model, frames=())


def flat(poses: Poses) -> dict[str, Any]:
    """Everything that `poses` holds, by place; arrays stay arrays."""
    out: dict[str, Any] = {"skeleton": poses.skeleton, "scale": poses.scale, "model": poses.model, "fps": poses.fps}
    out["camera"] = camera_to_json(poses.camera)
    if poses.world is not None:
        out |= {"up": poses.world.up_cam, "floor": poses.world.floor_cam}
    for frame in poses.frames:
        camera = None if frame.camera is None else camera_to_json(frame.camera)
        out[f"{frame.index}"] = (frame.time_s, frame.file, camera, len(frame.people))
        for row, person in enumerate(frame.people):
            out |= {f"{frame.index}.{row}.{key}": value for key, value in flat_person(person).items()}
    return out


def flat_person(person: Person) -> dict[str, Any]:
    out = {key: value for key, value in vars(person).items() if key not in ("hypotheses", "extra")}
    out["hypotheses"] = None if person.hypotheses is None else len(person.hypotheses)
    for number, hypothesis in enumerate(person.hypotheses or ()):
        out |= {f"hypotheses.{number}.{key}": value for key, value in vars(hypothesis).items()}
    return out | ({} if person.extra is None else {f"extra.{key}": v for key, v in vars(person.extra).items()})


def assert_same(a: Poses, b: Poses, *, metres: float = 0, pixels: float = 0, confidence: float = 0) -> None:
    left, right = flat(a), flat(b)
    assert left.keys() == right.keys()
    for key, value in left.items():
        if not isinstance(value, np.ndarray):
            assert right[key] == value, key
            continue
        tolerance = pixels if key.endswith("_px") else confidence if key.endswith("confidence") else metres
        np.testing.assert_allclose(right[key], value, rtol=0, atol=tolerance, err_msg=key)


@pytest.mark.parametrize("make", [random_poses, bare_poses])
def test_npz_keeps_every_bit(tmp_path: Path, make: Callable[[], Poses]) -> None:
    original = make()
    write_poses(original, tmp_path / "a.npz")
    again = read_poses(tmp_path / "a.npz")
    assert_same(original, again)
    write_poses(again, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("make", [random_poses, bare_poses])
def test_json_keeps_the_stated_digits_then_all(tmp_path: Path, make: Callable[[], Poses]) -> None:
    original, first, second = make(), tmp_path / "a.json", tmp_path / "b.json"
    write_poses(original, first)
    assert_same(original, read_poses(first), metres=5.01e-7, pixels=5.01e-4, confidence=5.01e-5)
    write_poses(read_poses(first), second)
    assert first.read_bytes() == second.read_bytes()
    assert schema_errors(json.loads(first.read_text())) == []


def test_json_and_npz_agree(tmp_path: Path) -> None:
    write_poses(random_poses(1), tmp_path / "a.json")
    rounded = read_poses(tmp_path / "a.json")
    write_poses(rounded, tmp_path / "b.npz")
    write_poses(read_poses(tmp_path / "b.npz"), tmp_path / "c.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "c.json").read_bytes()


def test_npz_layout_is_the_documented_one(tmp_path: Path) -> None:
    original = random_poses()
    write_poses(original, tmp_path / "a.npz")
    documented = (SCHEMAS / "poses.md").read_text()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert all(f"`{name}`" in documented for name in archive.files)
        stacked = original.stacked()
        np.testing.assert_array_equal(archive["joints_cam_m"], stacked.joints_cam_m)
        np.testing.assert_array_equal(archive["frame_index"][archive["person_frame"]], stacked.frame_index)
        np.testing.assert_array_equal(archive["person_id"], stacked.person_id)
        assert json.loads(str(archive["header"]))["format"] == "sightline/poses"


def json_of(poses: Poses, tmp_path: Path) -> dict[str, Any]:
    write_poses(poses, tmp_path / "good.json")
    return json.loads((tmp_path / "good.json").read_text())


def changed(obj: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A deep copy of `obj` with another value at `place`; `...` removes the key."""
    copy = json.loads(json.dumps(obj))
    target = copy
    for key in place[:-1]:
        target = target[key]
    if value is ...:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return copy


PERSON = ("frames", 0, "people", 1)
REFUSED: list[tuple[tuple[Any, ...], Any, str]] = [
    (("format",), "other", 'a.json: expected "format": "sightline/poses", got the text "other"'),
    (("format",), ..., 'expected "format": "sightline/poses", got null'),
    (("version",), 2, "a.json: expected version 1 of the format, got the number 2"),
    (("version",), True, "expected version 1"),
    (("frames",), ..., 'a.json: the key "frames" is missing'),
    (("more",), 1, 'a.json: unknown key "more"'),
    (("skeleton",), "smpl", "a.json: skeleton: unknown skeleton 'smpl'"),
    (("skeleton",), "lsp14", r"a.json: frames\[0\].people\[0\].joints_cam_m: expected 14 points, got 17"),
    (("camera", "focal_px"), [0, 0], "a.json: camera"),
    (("camera", "lens"), 1, 'a.json: camera: unknown key "lens"'),
    (("scale", "source"), "guess", "a.json: scale.source: expected one of"),
    (("scale", "why"), "x", 'a.json: scale: unknown key "why"'),
    (("model", "method"), "", "a.json: model.method: expected text"),
    (("model", "details", "list"), [1], r"a.json: model: model.details\['list'\]: expected a text or a finite number"),
    (("fps",), -1, "a.json: fps: expected a number above 0"),
    (("world", "up_cam"), [0, 0, 2], "a.json: world: up_cam: expected a unit vector"),
    (("world", "floor_cam"), [0, 1, 0], "a.json: world.floor_cam: expected 4 numbers, got 3"),
    (("frames", 1, "index"), 0, "a.json: frames: expected a rising index, got 0 after 0"),
    (("frames", 3, "time_s"), "1", r"frames\[3\].time_s: expected a number"),
    (("frames", 3, "camera", "image_size"), [1], r"frames\[3\].camera.image_size: expected 2 numbers"),
    ((*PERSON, "pose"), 1, r'frames\[0\].people\[1\]: unknown key "pose"'),
    ((*PERSON, "score"), ..., r'people\[1\]: the key "score" is missing'),
    ((*PERSON, "root_depth_canonical"), ..., 'the key "root_depth_canonical" is missing'),
    ((*PERSON, "root_depth_canonical"), 0, r"people\[1\].root_depth_canonical: expected a number above 0"),
    ((*PERSON, "id"), 2, r"frames\[0\]: frame 0: expected each person id once"),
    ((*PERSON, "box_px"), [5, 5, 4, 9], r"people\[1\]: box_px: expected finite x0 ≤ x1"),
    ((*PERSON, "joints_cam_m", 4), [1, 2], r"joints_cam_m\[4\]: expected 3 numbers, got 2"),
    ((*PERSON, "keypoints_px", 4), [1, 2, 3], r"keypoints_px\[4\]: expected 2 numbers, got 3"),
    ((*PERSON, "confidence", 4), None, r"people\[1\].confidence: expected 17 numbers, found null among them"),
    ((*PERSON, "confidence"), [2.0] * 17, r"people\[1\]: confidence: expected numbers in 0…1"),
    ((*PERSON, "sigma_m", 4), [-1, 1, 1], r"people\[1\]: sigma_m: expected no negative"),
    ((*PERSON, "hypotheses", 0, "score"), None, r"hypotheses\[0\]: the key \"score\" is null, but needs a value"),
    ((*PERSON, "hypotheses", 0, "name"), "x", r'hypotheses\[0\]: unknown key "name"'),
    ((*PERSON, "extra", "skeleton"), "hands", r"people\[1\].extra.skeleton: unknown skeleton 'hands'"),
    ((*PERSON, "extra", "skeleton"), "lsp14", r"people\[1\].extra.joints_cam_m: expected 14 points, got 26"),
    ((*PERSON, "mesh"), 5, r"people\[1\].mesh: expected text"),
]
BEYOND_THE_SCHEMA = {("frames", 1, "index"), (*PERSON, "id"), (*PERSON, "box_px"), ("world", "up_cam")}


@pytest.mark.parametrize(("place", "value", "sentence"), REFUSED)
def test_json_refusals_name_the_place(tmp_path: Path, place: tuple[Any, ...], value: Any, sentence: str) -> None:
    obj = changed(json_of(random_poses(), tmp_path), place, value)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(obj))
    with pytest.raises(InputError, match=sentence) as caught:
        read_poses(path)
    assert str(caught.value).startswith(str(tmp_path))
    extra_joints = place[-2:] == ("extra", "skeleton") and value == "lsp14"  # the schema does not count those
    assert bool(schema_errors(obj)) != (place in BEYOND_THE_SCHEMA or extra_joints)


def test_null_is_the_same_as_absent(tmp_path: Path) -> None:
    obj = json_of(random_poses(), tmp_path)
    obj |= {"fps": None, "world": None}
    obj["frames"][0]["people"][1] |= dict.fromkeys(("id", "box_px", "sigma_m", "hypotheses", "extra", "mesh"))
    assert schema_errors(obj) == []
    (tmp_path / "a.json").write_text(json.dumps(obj))
    poses = read_poses(tmp_path / "a.json")
    person = poses.frames[0].people[1]
    assert (poses.fps, poses.world, person.id, person.box_px, person.hypotheses) == (None,) * 5


def arrays_of(poses: Poses, tmp_path: Path) -> dict[str, np.ndarray]:
    write_poses(poses, tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as archive:
        return dict(archive)


NPZ_REFUSED: list[tuple[str, Callable[[np.ndarray], Any], str]] = [
    ("header", lambda a: np.array(3), 'expected a text array "header"; is this a poses file'),
    ("header", lambda a: np.array("{"), "a.npz: header: not valid JSON at line 1"),
    ("header", lambda a: np.array(str(a).replace('"version": 1', '"version": 9')), "a.npz: header: expected version 1"),
    ("header", lambda a: np.array(str(a).replace("h36m17", "lsp14")), r'"joints_cam_m": expected float64 \(n, 14, 3\)'),
    ("score", lambda a: None, 'a.npz: the key "score" is missing'),
    ("score", lambda a: a.astype(int), r'array "score": expected float64 \(n\), got int64 \(8,\)'),
    ("score", lambda a: a * np.nan, "a.npz: person row 0: score: expected a finite number"),
    ("score", lambda a: a[:-1], r'array "score": expected a row for each of 8 persons, got 7'),
    ("joints_cam_m", lambda a: a[..., :2], r'"joints_cam_m": expected float64 \(n, 17, 3\), got float64 \(8, 17, 2\)'),
    ("person_frame", lambda a: a + 2, '"person_frame": expected rows of 4 frames'),
    ("person_frame", lambda a: a.astype(float), '"person_frame": expected int64'),
    ("person_id", lambda a: a - 5, "person row 0: id: expected a whole number of at least 0"),
    ("frame_index", lambda a: a[::-1], "a.npz: frames: expected a rising index"),
    ("frame_camera", lambda a: np.array(["", "", "", "{}"]), r"a.npz: frame row 3: camera: the key"),
    ("hypothesis_count", lambda a: a + 1, '"hypothesis_count": expected counts of 5 in all'),
    ("extra_joints_cam_m", lambda a: a[:-1], r"extra.joints_cam_m: expected shape \(26, 3\), got \(25, 3\)"),
    ("extra_joints_cam_m", lambda a: np.vstack([a, a]), "a.npz: expected 66 extra joints, got 132"),
    ("extra_skeleton", lambda a: np.where(a == "", a, "hands"), "extra.skeleton: unknown skeleton 'hands'"),
    ("mesh", lambda a: np.array(list(a), dtype=object), "not a readable .npz archive of plain arrays"),
    ("surprise", lambda a: np.zeros(3), 'a.npz: unknown key "surprise"'),
]


@pytest.mark.parametrize(("name", "change", "sentence"), NPZ_REFUSED)
def test_npz_refusals(tmp_path: Path, name: str, change: Callable[[np.ndarray], Any], sentence: str) -> None:
    arrays: dict[str, Any] = arrays_of(random_poses(), tmp_path)
    value = change(arrays.pop(name, np.zeros(0)))
    if value is not None:
        arrays[name] = value
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=sentence):
        read_poses(tmp_path / "a.npz")


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    write_poses(random_poses(), tmp_path / "good.npz")
    good = (tmp_path / "good.npz").read_bytes()
    array, stray = io.BytesIO(), io.BytesIO()
    np.save(array, np.zeros(3))
    with zipfile.ZipFile(stray, "w") as archive:
        archive.writestr("readme.txt", "hello")
    broken = bytearray(good)
    broken[len(good) // 3 : len(good) // 3 + 200] = bytes(200)
    for data in (b"", b"{}", good[: len(good) // 2], bytes(broken), array.getvalue(), stray.getvalue()):
        (tmp_path / "bad.npz").write_bytes(data)
        with pytest.raises(InputError, match="bad.npz: "):
            read_poses(tmp_path / "bad.npz")
    with pytest.raises(InputError, match="none.npz: cannot be read"):
        read_poses(tmp_path / "none.npz")


def test_other_suffixes_are_wrong_calls(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a.bvh: expected a poses file that ends in .json or .npz"):
        read_poses(tmp_path / "a.bvh")
    with pytest.raises(UsageError, match="expected a poses file"):
        write_poses(bare_poses(), tmp_path / "a")


def test_file_names_that_are_not_unicode_survive(tmp_path: Path) -> None:
    name = b"photo\xff.jpg".decode(errors="surrogateescape")
    poses = replace(bare_poses(), frames=(PoseFrame(index=0, file=name),))
    for path in (tmp_path / "a.json", tmp_path / "a.npz"):
        write_poses(poses, path)
        assert read_poses(path).frames[0].file == name


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_poses(bare_poses(), path)
    before = path.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(KeyboardInterrupt):
        write_poses(random_poses(), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]
