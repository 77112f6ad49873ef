"""Camera files: what is written is read, what is wrong is one sentence, and the real calibration fits its pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import roma
import torch
from torch.testing import assert_close

from opencv_twin import FISHEYE, assert_projects, project, project_fisheye
from opencv_twin import points as twin_points
from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.camera import camera_from_json, camera_to_json, read_camera, read_cameras, write_camera
from sightline.geometry.distortion import Distortion

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = json.loads((ROOT / "docs/schemas/camera.schema.json").read_text(encoding="utf-8"))
REAL = Path(__file__).resolve().parents[2] / "shared" / "real" / "calibration.qca.txt"

ROTATION = roma.random_rotmat(1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))[0]
LENSES = {
    "pinhole": None,
    "plain": Distortion.create("brown_conrady", [-0.28, 0.09, -0.01], [0.0011, -0.0007]),
    "radial": Distortion.create("brown_conrady", [0.1]),
    "full": Distortion.create("brown_conrady", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.01, 0.02], [0.1, 0.2, 0.3, 0.4]),
    "human36m": Distortion.create("human36m", [-0.2077, 0.2475, -0.0031], [-0.0009, -0.0016]),
    "fisheye": Distortion.create("kannala_brandt", [0.03, -0.02]),
}
VALID: dict[str, Any] = {
    "image_size": [1000, 1002],
    "focal_px": [1145.0, 1143.8],
    "center_px": [512.5, 515.4],
    "pixel_origin": "center",
    "distortion": {"model": "human36m", "k": [-0.2, 0.24, -0.002], "p": [-0.0009, -0.0016]},
    "camera_from_world": {"rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "translation_m": [0.0, 1.5, 4]},
}


def points() -> torch.Tensor:
    return torch.randn(20, 3, dtype=torch.float64) * 0.5 + torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64)


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("placed", [False, True])
def test_what_is_written_is_read(lens: str, placed: bool, tmp_path: Path) -> None:
    world: dict[str, Any] = {"rotation": ROTATION, "translation_m": [0.1, -0.2, 3.3]} if placed else {}
    camera = Camera.create((1088, 1920), (1681.25, 1680.1), (533.3, 948.6), distortion=LENSES[lens], **world)
    path = tmp_path / "side.json"
    write_camera(camera, path)
    content = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(content, SCHEMA)
    back, seen = read_camera(path), points()
    assert_close(back.project(seen)[0], camera.project(seen)[0], atol=0, rtol=1e-15, equal_nan=True)
    assert back.has_world is placed
    assert back.dtype is torch.float64
    if placed:
        assert_close(back.rotation, camera.rotation, atol=0, rtol=0)
        assert_close(back.translation_m, camera.translation_m, atol=0, rtol=0)
    assert camera_to_json(back) == content
    assert list(read_cameras(path)) == ["side"]
    assert read_camera(path, "side").image_size.tolist() == [1088, 1920]


def test_a_file_of_the_contract_is_read_with_its_origin() -> None:
    jsonschema.validate(VALID, SCHEMA)
    camera = camera_from_json(VALID, "here")
    assert camera.center_px.tolist() == [513.0, 515.9]
    assert camera.distortion is not None
    assert camera.distortion.model == "human36m"
    assert camera_from_json({**VALID, "distortion": None, "camera_from_world": None}, "here").is_pinhole
    assert not camera_from_json({key: VALID[key] for key in SCHEMA["required"]}, "here").has_world


def changed(**values: Any) -> dict[str, Any]:
    return {**VALID, **values}


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (changed(focal=3), 'unknown key "focal"'),
    "missing key": ({k: v for k, v in VALID.items() if k != "pixel_origin"}, "pixel_origin"),
    "origin": (changed(pixel_origin="middle"), "pixel_origin"),
    "text": (changed(focal_px=["1145", "1143"]), "focal_px"),
    "one focal": (changed(focal_px=1145), "focal_px"),
    "negative": (changed(focal_px=[-1145.0, 1145.0]), "focal_px: expected positive"),
    "empty picture": (changed(image_size=[0, 100]), "image_size: expected positive"),
    "lens": (changed(distortion={"model": "mirror", "k": []}), "distortion.model"),
    "lens key": (changed(distortion={"model": "human36m", "k": [0.0], "s": [0.0] * 4}), 'unknown key "s"'),
    "fisheye p": (changed(distortion={"model": "kannala_brandt", "k": [0.0] * 4, "p": [0.0, 0.0]}), 'unknown key "p"'),
    "fisheye k": (changed(distortion={"model": "kannala_brandt", "k": [0.0] * 3}), "distortion.k: expected 4"),
    "too many k": (changed(distortion={"model": "brown_conrady", "k": [0.0] * 7}), "at most 6"),
    "mirror": (
        changed(camera_from_world={"rotation": np.diag([1, 1, -1]).tolist(), "translation_m": [0, 0, 0]}),
        "det",
    ),
    "short": (changed(camera_from_world={"rotation": np.eye(3).tolist(), "translation_m": [0, 0]}), "translation_m"),
    "shear": (
        changed(camera_from_world={"rotation": [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]], "translation_m": [0, 0, 0]}),
        "orthonormal",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_sentence_that_names_it(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_camera(path)
    assert str(caught.value).startswith(f"{path}: " if message[0] != "d" else f"{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", '{"image_size": [NaN, 1]}', "<calibration>", "<other/>", "<?xml version='1.0'?>", "\xff\xfe"],
)
def test_files_that_are_no_camera_files(text: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="camera.json"):
        read_camera(path)


def test_files_and_names_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            read_camera(path)
    write_camera(Camera.create((640, 480), 500), tmp_path / "front.json")
    with pytest.raises(UsageError, match='no camera "back", only front'):
        read_camera(tmp_path / "front.json", "back")
    with pytest.raises(ValueError, match="batch"):
        write_camera(Camera.create((640, 480), [[500, 500]]), tmp_path / "batch.json")
    with pytest.raises(InputError, match="does not exist"):
        write_camera(Camera.create((640, 480), 500), tmp_path / "nowhere" / "camera.json")


# Kinds of files

KINDS = r"Sightline's JSON, OpenCV's YAML.*Pose2Sim's TOML.*COLMAP.*Kalibr.*Qualisys"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n# a comment\n",
        "hello",
        "[1, 2]",
        "a: 1\n",
        "[table]\na = 1\n",
        "1 2 3 4",
        "\0\0\0",
        "%YAML:1.0\n---\na: 1",
    ],
)
def test_a_file_of_no_kind_is_told_which_kinds_there_are(text: str, tmp_path: Path) -> None:
    path = tmp_path / "camera.dat"
    path.write_text(text)
    with pytest.raises(InputError, match=KINDS) as caught:
        read_cameras(path)
    assert str(caught.value).startswith(f"{path}: expected a camera file")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_far_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with open(path, "wb") as file:
        file.truncate(2**31)
    with pytest.raises(InputError, match="larger than 64 MB"):
        read_cameras(path)


@pytest.mark.parametrize("ending", [".json", ".xml", ".yml", ".toml", ".txt", ""])
def test_the_content_says_what_a_file_is_and_not_its_name(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"camera{ending}"
    for text in (
        json.dumps(VALID),
        f"<calibration><cameras>{qualisys_camera()}</cameras></calibration>",
        "image_size: [1000, 1002]\nK: [1145, 1143, 512, 515]\n",
        "[a]\nsize = [1000, 1002]\nmatrix = [[1145, 0, 512], [0, 1143, 515], [0, 0, 1]]\n",
        "1 PINHOLE 1000 1002 1145 1143 512.5 515.5\n",
        "cam0:\n  intrinsics: [1145, 1143, 512, 515]\n  resolution: [1000, 1002]\n",
    ):
        path.write_text(text, encoding="utf-8-sig")
        assert len(read_cameras(path)) == 1, text


# Against OpenCV


def own_file(folder: Path, lens: str) -> Path:
    coefficients = {"k": FISHEYE} if lens == "fisheye" else {"k": [-0.1, 0.05, 0.01], "p": [0.001, -0.002]}
    content = {
        "image_size": [1280, 720],
        "focal_px": [1200.0, 1210.0],
        "center_px": [640.0, 360.0],
        "pixel_origin": "center",
        "distortion": {"model": "kannala_brandt" if lens == "fisheye" else "brown_conrady", **coefficients},
    }
    path = folder / "own.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["qualisys", "own", "fisheye"])
def test_sightline_s_own_files_and_qualisys_s_project_as_opencv_does(kind: str, tmp_path: Path) -> None:
    path = qualisys_file(tmp_path, qualisys_camera()) if kind == "qualisys" else own_file(tmp_path, kind)
    k = np.array([[1200.0, 0.0, 640.0], [0.0, 1210.0, 360.0], [0.0, 0.0, 1.0]])
    coefficients = np.array(FISHEYE if kind == "fisheye" else [-0.1, 0.05, 0.001, -0.002, 0.01])
    twin = project_fisheye if kind == "fisheye" else project
    assert_projects(read_camera(path), twin(twin_points(), k, coefficients))
    cv2 = pytest.importorskip("cv2")
    still = np.zeros(3)
    if kind == "fisheye":
        expected = cv2.fisheye.projectPoints(twin_points()[None], still, still, k, coefficients)[0][0]
    else:
        expected = cv2.projectPoints(twin_points(), still, still, k, coefficients)[0][:, 0]
    found = read_camera(path).project(torch.from_numpy(twin_points()))[0].numpy()
    assert np.abs(found - 0.5 - expected).max() < 0.01


# Worlds

PLACED = {**VALID["camera_from_world"], "rotation": ROTATION.tolist()}
AXES = {"z": [0, 0, 1], "-z": [0, 0, -1], "y": [0, 1, 0], "-y": [0, -1, 0]}


@pytest.mark.parametrize("up", AXES)
def test_a_world_is_turned_so_that_z_is_up(up: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(changed(camera_from_world=PLACED)), encoding="utf-8")
    given, turned = read_camera(path), read_camera(path, up=up)
    above_file = torch.tensor([AXES[up]], dtype=torch.float64) * 1.7
    above_world = torch.tensor([[0.0, 0.0, 1.7]], dtype=torch.float64)
    assert_close(turned.world_to_camera(above_world), given.world_to_camera(above_file))
    assert_close(turned.position_world.norm(), given.position_world.norm())
    assert float(torch.linalg.det(turned.rotation)) == pytest.approx(1.0)
    if up == "z":
        assert_close(turned.rotation, given.rotation, atol=0, rtol=0)
    stacked = Camera.stack([given, turned])  # two cameras that were one stay one
    there = stacked.camera_to_world(torch.ones(2, 3, dtype=torch.float64))
    assert_close(there[0].norm(), there[1].norm())


def test_a_world_that_cannot_be_turned(tmp_path: Path) -> None:
    write_camera(Camera.create((640, 480), 500), tmp_path / "a.json")
    with pytest.raises(UsageError, match="gives its cameras no place in a world that could be turned"):
        read_camera(tmp_path / "a.json", up="y")
    with pytest.raises(UsageError, match="up: expected one of z, -z, y, -y, got 'x'"):
        read_camera(tmp_path / "a.json", up="x")


# Qualisys

ROTATION_FILE = np.diag([1.0, -1.0, -1.0]) @ ROTATION.numpy()
CENTRE_MM = np.array([1200.0, -3400.0, 1600.0])


def qualisys_camera(serial: str = "cam01", **changes: str) -> str:
    """One camera of a calibration, 1280 × 720 px from the column 8 of the sensor on."""
    entries = " ".join(f'r{i + 1}{j + 1}="{float(ROTATION_FILE[i, j])!r}"' for i in range(3) for j in range(3))
    values = {"skew": "0.0", "active": "1", "focalLengthU": "76800.0", "radialDistortion1": "-0.1"} | changes
    return f"""<camera active="{values["active"]}" serial="{serial}" viewrotation="0">
      <fov_video left="8" top="0" right="1287" bottom="719"/>
      <transform x="{CENTRE_MM[0]}" y="{CENTRE_MM[1]}" z="{CENTRE_MM[2]}" {entries}/>
      <intrinsic focalLengthU="{values["focalLengthU"]}" focalLengthV="77440.0" centerPointU="41472.0"
        centerPointV="23040.0" skew="{values["skew"]}" radialDistortion1="{values["radialDistortion1"]}"
        radialDistortion2="0.05" radialDistortion3="0.01" tangentalDistortion1="0.001" tangentalDistortion2="-0.002"/>
    </camera>"""


def qualisys_file(folder: Path, *cameras: str) -> Path:
    path = folder / "calibration.qca.txt"
    body = "\n".join(cameras)
    path.write_text(f"<?xml version='1.0' encoding='ASCII'?><calibration><cameras>{body}</cameras></calibration>")
    return path


def test_qualisys_conventions(tmp_path: Path) -> None:
    camera = read_camera(qualisys_file(tmp_path, qualisys_camera()))
    assert camera.image_size.tolist() == [1280, 720]
    assert camera.focal_px.tolist() == [1200.0, 1210.0]
    assert camera.center_px.tolist() == [640.5, 360.5]  # 648 and 360 from the sensor's first pixel centre
    assert camera.distortion is not None
    assert camera.distortion.tangential is not None
    assert camera.distortion.radial.tolist() == [-0.1, 0.05, 0.01]
    assert camera.distortion.tangential.tolist() == [0.001, -0.002]
    assert_close(camera.rotation, ROTATION)
    assert_close(camera.position_world, torch.tensor(CENTRE_MM) / 1000)


def test_qualisys_cameras_are_chosen_by_serial(tmp_path: Path) -> None:
    path = qualisys_file(tmp_path, qualisys_camera("a"), qualisys_camera("b", active="0"), qualisys_camera("c"))
    assert list(read_cameras(path)) == ["a", "c"]
    assert read_camera(path, "c").has_world
    with pytest.raises(UsageError, match="name one of a, c"):
        read_camera(path)
    with pytest.raises(UsageError, match='no camera "b"'):
        read_camera(path, "b")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda text: text.replace("focalLengthU", "focal"), "focalLengthU of <intrinsic> is missing"),
        (lambda text: text.replace('"76800.0"', '"many"'), "'many', expected a finite number"),
        (lambda text: text.replace('"76800.0"', '"nan"'), "'nan', expected a finite number"),
        (lambda text: text.replace('"76800.0"', '"-1"'), "positive"),
        (lambda text: text.replace('skew="0.0"', 'skew="0.3"'), "skew"),
        (lambda text: text.replace("transform", "transformed"), "<transform> is missing"),
        (lambda text: text.replace('r11="', 'r11="1.5" was="'), "orthonormal"),
        (lambda text: text.replace('serial="cam01"', ""), "no serial"),
        (lambda text: text + text, "twice"),
        (lambda text: "", "no active camera"),
    ],
)
def test_broken_qualisys_files(broken: Callable[[str], str], message: str, tmp_path: Path) -> None:
    path = qualisys_file(tmp_path, broken(qualisys_camera()))
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(path)
    assert str(caught.value).startswith(str(path))


def real_cameras() -> dict[str, Camera]:
    if not REAL.exists():
        pytest.skip("needs ../shared/real/calibration.qca.txt")
    return read_cameras(REAL)


def test_the_real_treadmill_lies_in_all_four_pictures() -> None:
    cameras = real_cameras()
    assert list(cameras) == ["cam01", "cam02", "cam03", "cam04"]
    x, y = torch.meshgrid(torch.arange(-1.5, 0.1, 0.5), torch.arange(-0.5, 0.6, 0.5), indexing="ij")
    floor_world = torch.stack((x, y, 0 * x), -1).flatten(0, 1).double()
    for camera in cameras.values():
        assert camera.image_size.tolist() == [1088, 1920]
        assert_close(camera.focal, torch.tensor(1681.0, dtype=torch.float64), atol=10, rtol=0)
        floor_px, valid = camera.project(camera.world_to_camera(floor_world))
        assert valid.all()
        assert ((floor_px > 0) & (floor_px < camera.image_size)).all()
        above_px = camera.project(camera.world_to_camera(floor_world + torch.tensor([0.0, 0.0, 0.5])))[0]
        assert (above_px[:, 1] < floor_px[:, 1]).all()  # world z is up in the pictures
        assert 1.5 < float(camera.position_world[2]) < 2.5
        assert_close(camera.unproject(floor_px)[0], torch.nn.functional.normalize(camera.world_to_camera(floor_world)))
    stacked = Camera.stack(list(cameras.values()))
    assert stacked.project(stacked.world_to_camera(floor_world))[1].all()


def test_the_real_views_agree_on_a_person() -> None:
    """Rays through the same confident keypoint of two views pass each other within a few centimetres."""
    cameras = real_cameras()
    lines = []
    for name, camera in cameras.items():
        content = json.loads(REAL.with_name(f"{name}.keypoints.json").read_text(encoding="utf-8"))
        assert content["pixel_origin"] == "corner"
        frames = [[p for p in frame["people"] if p["id"] == 0] for frame in content["frames"]]
        nose = torch.tensor([(p[0]["keypoints_px"][0] if p else None) or [np.nan] * 3 for p in frames]).double()
        rays = camera.unproject(nose[:, :2])[0]
        offsets = camera.camera_to_world(rays) - camera.position_world
        lines.append((camera.position_world, offsets, nose[:, 2] > 0.9))
    (a, ray_a, sure_a), (b, ray_b, sure_b) = lines[0], lines[3]
    normal = torch.nn.functional.normalize(torch.linalg.cross(ray_a, ray_b), dim=-1)
    gap = ((b - a) * normal).sum(-1).abs()[sure_a & sure_b]
    assert len(gap) > 20
    assert float(gap.median()) < 0.05
