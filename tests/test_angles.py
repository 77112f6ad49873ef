"""How far off the optical axis people are seen: exact angles, their histogram, and `sightline angles`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fake_renders import COUNT, FakeRenders, written
from sightline.angles import (
    Angles,
    angles_of_boxes,
    angles_of_poses,
    angles_of_rays,
    angles_of_set,
    bin_edges_deg,
    read_angles,
    summary_of,
)
from sightline.camera import Camera
from sightline.cli import main
from sightline.errors import InputError, UsageError
from sightline.formats.poses import write_poses
from sightline.geometry.distortion import Distortion
from sightline.skeleton import get_skeleton
from sightline.structures import ModelInfo, Person, PoseFrame, Poses, Scale
from sightline.synth.reading import RenderedSet
from sightline.synth.rendered import Rendered

H36M = get_skeleton("h36m17")
PINHOLE = Camera.create((400, 300), 200.0, (150.0, 120.0))
FISHEYE = Camera.create(
    (400, 300), 200.0, (150.0, 120.0), distortion=Distortion.create("kannala_brandt", [0.0, 0.0, 0.0, 0.0])
)
BENT = Camera.create((400, 300), 300.0, distortion=Distortion.create("brown_conrady", [-0.1, 0.02], [0.001, -0.002]))


def person(box_px: tuple[float, ...] | None = None, joints_cam: np.ndarray | None = None) -> Person:
    joints = np.full((17, 3), [0.0, 0.0, 3.0]) if joints_cam is None else joints_cam
    return Person(
        joints_cam_m=joints, keypoints_px=np.full((17, 2), np.nan), confidence=np.zeros(17), score=1.0,
        root_depth_canonical=None, box_px=None if box_px is None else np.array(box_px),
    )  # fmt: skip


def poses_of(*people: tuple[Person, ...], cameras: tuple[Camera | None, ...] = (), common: Camera = PINHOLE) -> Poses:
    """A frame for each group of people, with its own camera where one is given."""
    own = (*cameras, *[None] * (len(people) - len(cameras)))
    frames = tuple(PoseFrame(index=i, people=p, camera=c) for i, (p, c) in enumerate(zip(people, own, strict=True)))
    scale = Scale(source="given_focal", body="learned")
    return Poses(skeleton=H36M, camera=common, scale=scale, model=ModelInfo(method="made up"), frames=frames)


def about(x: float, y: float) -> tuple[float, float, float, float]:
    """A box about a pixel."""
    return (x - 7.0, y - 20.0, x + 7.0, y + 20.0)


# ---- angles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ray", "degrees"),
    [((0, 0, 5), 0), ((1, 0, 1), 45), ((0, -2, 2), 45), ((3, 4, 5), 45), ((1, 0, 0), 90), ((0, 1, -1), 135)],
)
def test_angles_of_rays_are_those_to_the_axis(ray: tuple[int, ...], degrees: float) -> None:
    assert float(angles_of_rays(torch.tensor(ray, dtype=torch.float64))) == pytest.approx(math.radians(degrees))


def test_tiny_angles_keep_their_digits() -> None:
    assert float(angles_of_rays(torch.tensor([3e-9, 4e-9, 1.0]).double())) == pytest.approx(5e-9, rel=1e-6)


@pytest.mark.parametrize(
    ("camera", "middle", "expected"),
    [
        (PINHOLE, (150.0, 120.0), 0.0),  # the principal point, not the picture's middle
        (PINHOLE, (200.0, 150.0), math.atan(math.hypot(50, 30) / 200)),
        (PINHOLE, (150.0, 320.0), math.radians(45)),
        (FISHEYE, (250.0, 120.0), 0.5),  # an equidistant fisheye: radius is f φ
        (FISHEYE, (550.0, 120.0), 2.0),  # even behind the camera
    ],
)
def test_boxes_have_the_angle_of_their_middle(camera: Camera, middle: tuple[float, float], expected: float) -> None:
    boxes = torch.tensor([about(*middle)], dtype=torch.float64)
    assert angles_of_boxes(camera, boxes).tolist() == pytest.approx([expected], abs=1e-12)


def test_a_lens_is_taken_off() -> None:
    """A point 30° off the axis is seen at another radius than a pinhole's, and has 30° all the same."""
    ray = torch.tensor([[math.sin(math.radians(30)), 0.0, math.cos(math.radians(30))]], dtype=torch.float64)
    pixel = BENT.project(ray)[0][0].tolist()
    assert math.degrees(math.atan(math.hypot(pixel[0] - 200, pixel[1] - 150) / 300)) < 29.5
    boxes = torch.tensor([about(*pixel)], dtype=torch.float64)
    assert np.degrees(angles_of_boxes(BENT, boxes).numpy()) == pytest.approx([30.0], abs=1e-9)


def test_a_batch_of_cameras_is_a_loop_over_them() -> None:
    cameras = [PINHOLE, PINHOLE.cropped((30, -10), (100, 100)), PINHOLE.resized((800, 300))]
    boxes = torch.tensor([about(*place) for place in ((10, 20), (70, 30), (300, 200))], dtype=torch.float64)
    alone = [float(angles_of_boxes(camera, box)) for camera, box in zip(cameras, boxes, strict=True)]
    assert angles_of_boxes(Camera.stack(cameras), boxes).tolist() == pytest.approx(alone, abs=1e-14)


def test_half_a_box_has_no_angle() -> None:
    boxes = torch.tensor([[1.0, 2.0, torch.nan, 4.0], [1.0, 2.0, 3.0, 4.0]])
    assert angles_of_boxes(PINHOLE.to(torch.float32), boxes).isnan().tolist() == [True, False]


# ---- poses -----------------------------------------------------------------------------------------------------------


def test_each_frame_has_its_own_camera() -> None:
    """The same box, before the common camera, one that is shifted, fisheyes, and one with a place in the world."""
    longer = Camera.create((400, 300), 400.0, (150.0, 120.0), rotation=np.eye(3), translation_m=[0.0, 0.0, 1.0])
    cameras = (None, PINHOLE.cropped((100, 0), (300, 300)), FISHEYE, longer)
    poses = poses_of(*[(person(about(250, 120)),)] * 4, cameras=cameras)
    expected = [math.atan(0.5), math.atan(1.0), 0.5, math.atan(0.25)]
    assert angles_of_poses(poses).tolist() == pytest.approx(expected, abs=1e-12)


def test_without_a_box_the_projected_joints_have_one() -> None:
    joints = np.full((17, 3), np.nan)
    joints[:3] = [(0.0, 0.0, 2.0), (2.0, 0.0, 2.0), (1.0, 0.4, 2.0)]  # pixels 150…350, 120…160
    found = angles_of_poses(poses_of((person(None, joints), person(about(250, 140)))))
    assert found.tolist() == pytest.approx([math.atan(math.hypot(100, 20) / 200)] * 2, abs=1e-12)


def test_who_is_partly_behind_the_camera_or_without_joints_is_left_out(tmp_path: Path) -> None:
    behind, nowhere = np.full((17, 3), [0.0, 0.0, 3.0]), np.full((17, 3), np.nan)
    behind[4, 2] = -1.0
    poses = poses_of((person(None, behind), person(None, nowhere), person(about(150, 320), nowhere)))
    write_poses(poses, tmp_path / "poses.npz")
    found = read_angles(tmp_path / "poses.npz")
    assert found.left_out == 2
    assert np.degrees(found.angles_rad) == pytest.approx([45.0])


# ---- rendered sets ---------------------------------------------------------------------------------------------------


def test_a_rendered_set_is_its_pictures_one_by_one(tmp_path: Path) -> None:
    """All five kinds of lenses of the fake pictures at once are what each picture says alone."""
    written(tmp_path / "set")
    pictures = RenderedSet(tmp_path / "set")
    alone = []
    for picture in pictures:
        for one in picture.people:
            middle = torch.from_numpy((one.whole_box_px[:2].astype(float) + one.whole_box_px[2:]) / 2)
            ray = picture.camera.unproject(middle)[0].numpy()
            alone.append(math.atan2(math.hypot(ray[0], ray[1]), ray[2]))
    found = angles_of_set(pictures)
    assert len({str(lens) for lens in pictures.arrays("lens")["lens"]}) == 4
    assert np.isfinite(found).sum() > COUNT
    np.testing.assert_allclose(found, alone, rtol=0, atol=1e-12)


def test_no_picture_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "set")
    monkeypatch.setattr(RenderedSet, "read", lambda *_args, **_kwargs: pytest.fail("a picture was read"))
    assert len(read_angles(tmp_path / "set").angles_rad) > 0


def test_a_set_and_the_poses_of_its_people_agree(tmp_path: Path) -> None:
    """Also where people of whom nothing is seen are left out."""
    written(tmp_path / "set")
    pictures = RenderedSet(tmp_path / "set")
    rows = [pictures.landmarks.index(name) for name in ("Hip", "Nose")]
    groups, cameras, unseen = [], [], 0
    for picture in pictures:
        seen = [one for one in picture.people if one.seen_px > 0]
        unseen += len(picture.people) - len(seen)
        joints = [np.full((17, 3), one.landmarks_cam[rows[0]]) for one in seen]
        boxes = [tuple(one.whole_box_px.tolist()) for one in seen]
        groups.append(tuple(person(box, place) for box, place in zip(boxes, joints, strict=True)))
        cameras.append(picture.camera)
    write_poses(poses_of(*groups, cameras=tuple(cameras)), tmp_path / "truth.npz")
    of_set, of_poses = read_angles(tmp_path / "set"), read_angles(tmp_path / "truth.npz")
    np.testing.assert_allclose(of_set.angles_rad, of_poses.angles_rad, rtol=0, atol=1e-12)
    assert unseen > 0
    assert of_set.left_out == of_poses.left_out + unseen


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Fake pictures with something done to them."""

    change: Callable[[Rendered], Rendered]

    def __call__(self, index: int) -> Rendered:
        return self.change(FakeRenders()(index))


def unseen(picture: Rendered) -> Rendered:
    return replace(picture, people=tuple(replace(one, seen_px=0) for one in picture.people))


def deserted(picture: Rendered) -> Rendered:
    return replace(picture, people=())


def without_camera(picture: Rendered) -> Rendered:
    return replace(picture, camera=replace(picture.camera, focal_px=picture.camera.focal_px * torch.nan))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (unseen, "none of its 12 people is seen whole"),
        (deserted, "expected people, but nobody is in it"),
        (without_camera, r"picture 0: expected a camera with positive focal_px .*got \[nan, nan\]"),
    ],
)
def test_bad_sets_are_named(change: Callable[[Rendered], Rendered], expected: str, tmp_path: Path) -> None:
    written(tmp_path / "set", Changed(change=change), 6)
    with pytest.raises(InputError, match=expected):
        read_angles(tmp_path / "set")


# ---- histograms ------------------------------------------------------------------------------------------------------


def of_degrees(*degrees: float) -> Angles:
    return Angles(angles_rad=np.radians(degrees), left_out=1)


def test_a_summary_by_hand() -> None:
    angles = of_degrees(0.0, 5.0, 15.0, 25.0, 35.0)
    edges = bin_edges_deg([angles], 10.0)
    assert edges.tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
    told = summary_of(angles, "x", edges).to_dict()
    assert told.pop("mean_deg") == pytest.approx(16.0)
    quantiles = told.pop("quantiles_deg")
    assert quantiles == pytest.approx({"5": 1.0, "25": 5.0, "50": 15.0, "75": 25.0, "95": 33.0})
    assert told == {
        "name": "x", "people": 5, "left_out": 1, "share_beyond_deg": {"10": 0.6, "20": 0.4, "30": 0.2},
        "counts": [2, 1, 1, 1],
    }  # fmt: skip


@pytest.mark.parametrize("width", [0.01, 0.7, 2.0, 3.0, 90.0])
def test_everybody_is_in_a_bin(width: float) -> None:
    """Also those on an edge, of which floating point makes something else, and the largest of another set."""
    rng = np.random.default_rng(0)
    sets = [of_degrees(*rng.uniform(0, 60, 300)), of_degrees(*(width * np.arange(1, 4)), 0.0), of_degrees(math.pi)]
    edges = bin_edges_deg(sets, width)
    assert np.diff(edges) == pytest.approx(width)
    assert edges[-2] <= max(float(np.degrees(its.angles_rad).max()) for its in sets) <= edges[-1]
    for its in sets:
        assert summary_of(its, "x", edges).counts.sum() == len(its.angles_rad)


@pytest.mark.parametrize("width", [0.0, -1.0, 91.0, math.nan])
def test_bins_without_a_width_are_refused(width: float) -> None:
    with pytest.raises(UsageError, match="bin_deg: expected a width of 0.01 to 90 degrees"):
        bin_edges_deg([of_degrees(1.0)], width)


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`set`, a rendered set, and `people.json`, `again.json`, poses of three people of 0°, 15° and 45°."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "set")
    places = (150.0, 150.0 + 200 * math.tan(math.radians(15)), 350.0)
    poses = poses_of(tuple(person(about(x, 120)) for x in places))
    write_poses(poses, "people.json")
    write_poses(poses, "again.json")
    write_poses(poses_of(()), "nobody.json")
    Path("folder").mkdir()
    Path("text.txt").write_text("no poses\n")
    Path("broken.npz").write_bytes(b"PK")
    camera = json.loads(Path("people.json").read_text())
    Path("blind.json").write_text(json.dumps({key: value for key, value in camera.items() if key != "camera"}))
    Path("nan.json").write_text(Path("people.json").read_text().replace("343", "NaN", 1))
    return tmp_path


def test_the_table(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["angles", "people.json", "set"]) == 0
    head, people, rendered, note = capsys.readouterr().out.splitlines()
    assert " ".join(head.split()) == "φ in degrees people mean 5 % 25 % 50 % 75 % 95 % > 10° > 20° > 30°"
    assert " ".join(people.split()) == "people.json 3 20.0 1.5 7.5 15.0 30.0 42.0 66.7% 33.3% 33.3%"
    assert rendered.split()[0] == "set"
    assert note.startswith("set: ")
    assert note.endswith(" more not counted, since they are hidden or partly behind the camera")
    assert len(head) == len(people) == len(rendered)


def test_json_holds_the_histogram(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["angles", "people.json", "set", "--bin-deg", "10", "--names", "real", "made", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [its["name"] for its in told["sets"]] == ["real", "made"]
    assert told["sets"][0]["counts"][:5] == [1, 1, 0, 0, 1]
    for its in told["sets"]:
        assert sum(its["counts"]) == its["people"]
        assert len(its["counts"]) == len(told["bin_edges_deg"]) - 1


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_a_picture_is_drawn(ending: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = desk / f"angles.{ending}"
    assert main(["angles", "people.json", "set", "-o", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"histogram of 2 sets → {out}\n")
    assert out.read_bytes().startswith({"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[ending])


def test_sets_have_colours_of_their_own(desk: Path) -> None:
    """Blue where only the first one is, orange where only the second; white above."""
    assert main(["angles", "people.json", "set", "-o", "both.png"]) == 0
    with Image.open("both.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in ((0x25, 0x63, 0xC9), (0xE0, 0x82, 0x1A)):
        assert (np.abs(pixels - colour).max(1) < 4).sum() > 500
    assert (pixels == 255).all(1).mean() > 0.3


def test_a_picture_that_fails_leaves_the_old_one(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("old.png").write_bytes(b"old")
    before = sorted(os.listdir())

    def half(_figure: object, path: Path, **_options: object) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", half)
    assert main(["angles", "people.json", "-o", "old.png"]) == 1
    assert Path("old.png").read_bytes() == b"old"
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("call", "code", "expected"),
    [
        ("nobody.json", 1, "nobody.json: expected people, but nobody is in it"),
        ("people.json nobody.json", 1, "nobody.json: expected people"),
        ("folder", 1, "folder: expected a rendered set"),
        ("blind.json", 1, 'blind.json: the key "camera" is missing'),
        ("nan.json", 1, "nan.json: NaN is not a JSON number"),
        ("broken.npz", 1, "broken.npz"),
        ("nowhere.json", 1, "nowhere.json: cannot be read (No such file or directory)"),
        ("nowhere", 2, "nowhere: expected a folder that `sightline render` made, or a poses file"),
        ("text.txt", 2, "text.txt: expected a folder"),
        ("people.json ./people.json", 2, "expected each data set once, got it twice"),
        ("people.json --names a b", 2, "--names: expected one for each of the 1 data sets, got 2"),
        ("people.json again.json --names a a", 2, "--names: expected each once"),
        ("people.json --bin-deg 0", 2, "--bin-deg: expected a width"),
        ("people.json -o angles.jpg", 2, "angles.jpg: expected an output that ends in .png or .pdf or .svg"),
        ("people.json -o nowhere/angles.png", 2, "the folder nowhere does not exist"),
        ("", 2, "DATA"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    call: str, code: int, expected: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.listdir())
    assert main(["angles", *call.split()]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert expected in said.err
    assert sorted(os.listdir()) == before


def test_two_files_of_one_name_are_told_apart(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "folder" / "people.json").write_bytes((desk / "people.json").read_bytes())
    assert main(["angles", "people.json", "folder/people.json", "--json"]) == 0
    names = [its["name"] for its in json.loads(capsys.readouterr().out)["sets"]]
    assert names == ["people.json", "folder/people.json"]
