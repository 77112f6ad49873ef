"""Pose2Sim's TOML: conventions checked on real cameras, lenses against OpenCV, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opencv_twin import (
    FISHEYE,
    LENSES,
    ROTVEC,
    SIZE,
    TRANSLATION_M,
    K,
    assert_placed,
    assert_projects,
    points,
    project,
    project_fisheye,
    rotation_matrix,
)
from sightline.errors import InputError, UsageError
from sightline.formats.calibrations.pose2sim import read_pose2sim
from sightline.formats.camera import read_camera, read_cameras, write_camera

REAL = Path(__file__).resolve().parents[2] / "shared" / "real" / "calibration.qca.txt"


def table(key: str = "cam_01", **changes: Any) -> str:
    values = {
        "name": f'"{key}"',
        "size": [float(side) for side in SIZE],
        "matrix": K.tolist(),
        "distortions": LENSES["4"],
        "rotation": ROTVEC.tolist(),
        "translation": TRANSLATION_M.tolist(),
        "fisheye": "false",
    } | changes
    lines = [f"{name} = {value}" for name, value in values.items() if value is not None]
    return f"[{key}]\n" + "\n".join(lines) + "\n\n"


METADATA = "[metadata]\nadjusted = false\nerror = 0.0\n"


def written(folder: Path, *tables: str) -> Path:
    path = folder / "Calib.toml"
    path.write_text("".join(tables) + METADATA, encoding="utf-8")
    return path


@pytest.mark.parametrize("lens", ["4", "5", "8", "12", "none"])
def test_cameras_of_a_room(lens: str, tmp_path: Path) -> None:
    path = written(tmp_path, table("a", distortions=LENSES[lens]), table("b", distortions=FISHEYE, fisheye="true"))
    cameras = read_cameras(path)
    assert list(cameras) == ["a", "b"]
    assert cameras["a"].image_size.tolist() == list(SIZE)
    assert_projects(cameras["a"], project(points(), K, LENSES[lens]))
    assert_projects(cameras["b"], project_fisheye(points(), K, FISHEYE))
    for camera in cameras.values():
        assert_placed(camera)
    with pytest.raises(UsageError, match="name one of a, b"):
        read_camera(path)
    with pytest.raises(UsageError, match='has no camera "c", only a, b'):
        read_camera(path, "c")
    write_camera(cameras["b"], tmp_path / "b.json")
    assert_projects(read_camera(tmp_path / "b.json"), project_fisheye(points(), K, FISHEYE))
    assert_placed(read_camera(tmp_path / "b.json"))


@pytest.mark.parametrize("fisheye", [False, True])
def test_they_see_the_world_as_opencv_does(fisheye: bool, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    lens = np.array(FISHEYE if fisheye else LENSES["5"])
    camera = read_camera(written(tmp_path, table(distortions=lens.tolist(), fisheye=str(fisheye).lower())))
    world = (points() - TRANSLATION_M) @ rotation_matrix(ROTVEC)
    if fisheye:
        expected = cv2.fisheye.projectPoints(world[None], ROTVEC, TRANSLATION_M, K, lens)[0][0]
    else:
        expected = cv2.projectPoints(world, ROTVEC, TRANSLATION_M, K, lens)[0][:, 0]
    found = camera.project(camera.world_to_camera(torch.from_numpy(world)))[0].numpy()
    assert np.abs(found - 0.5 - expected).max() < 0.01


def test_pose2sim_s_own_conversion_of_a_real_camera_is_the_same_camera(tmp_path: Path) -> None:
    """Rotation and translation are what Pose2Sim's demo gives for the first camera of the Qualisys file."""
    if not REAL.exists():
        pytest.skip("needs ../shared/real/calibration.qca.txt")
    text = table(
        rotation=[1.6882754799999993, 1.0483220499999997, -0.41955852000000016],
        translation=[0.3211048899999996, 0.9563320600000009, 2.8907130499999996],
    )
    found, expected = read_camera(written(tmp_path, text)), read_camera(REAL, "cam01")
    torch.testing.assert_close(found.rotation, expected.rotation, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.translation_m, expected.translation_m, atol=1e-9, rtol=0)


def test_what_a_table_may_leave_out(tmp_path: Path) -> None:
    path = written(tmp_path, table(name=None, rotation=None, translation=None, fisheye=None, distortions=None))
    camera = read_camera(path.rename(tmp_path / "rig.txt"), None)  # told by its content, whatever its name
    assert_projects(camera, project(points(), K, []))
    assert not camera.has_world


def test_the_table_names_a_camera_without_a_name(tmp_path: Path) -> None:
    assert list(read_cameras(written(tmp_path, table("left", name=None)))) == ["left"]


ORIGIN = {"rotation": [0.0, 0.0, 0.0], "translation": [0.0, 0.0, 0.0]}


def test_cameras_that_were_never_placed(tmp_path: Path) -> None:
    path = written(tmp_path, table("a", **ORIGIN), table("b", **ORIGIN))
    assert not any(camera.has_world for camera in read_cameras(path).values())
    with pytest.raises(UsageError, match="no place"):
        read_cameras(path, up="-y")


def test_cameras_placed_relative_to_one_of_them(tmp_path: Path) -> None:
    path = written(tmp_path, table("a", **ORIGIN), table("b"))
    assert not any(camera.has_world for camera in read_cameras(path).values())
    cameras = read_pose2sim(path, placed=True)
    assert cameras["a"].position_world.tolist() == [0, 0, 0]
    assert_placed(cameras["b"])


BROKEN: dict[str, tuple[tuple[str, ...], str]] = {
    "missing matrix": ((table(matrix=None),), 'camera "cam_01": the key "matrix" is missing'),
    "missing size": ((table(size=None),), 'camera "cam_01": the key "size" is missing'),
    "negative size": ((table(size=[-1088, 1920]),), "size: expected a positive width and height"),
    "three sides": ((table(size=[1, 2, 3]),), "size: expected 2 numbers, got 3"),
    "3 × 4": ((table(matrix=np.ones((3, 4)).tolist()),), "matrix: expected a 3 × 3 matrix, got 3 × 4"),
    "nan focal": ((table(matrix="[[nan, 0, 1], [0, 1, 1], [0, 0, 1]]"),), "matrix: expected a finite number"),
    "infinite": ((table(translation="[inf, 0, 1]"),), "translation: expected a finite number"),
    "zero focal": ((table(matrix="[[0, 0, 1], [0, 0, 1], [0, 0, 1]]"),), "focal_px: expected positive"),
    "text": ((table(matrix='"K"'),), 'matrix: expected a number, got the text "K"'),
    "three coefficients": ((table(distortions=[0.1, 0.2, 0.3]),), "distortions: expected 4, 5, 8, 12 or 14"),
    "fisheye of five": ((table(distortions=[0.1] * 5, fisheye="true"),), "expected the 4 coefficients of a fisheye"),
    "fisheye in words": ((table(fisheye='"yes"'),), "fisheye: expected true or false"),
    "half a place": ((table(translation=None),), "expected rotation and translation, or neither, got only rotation"),
    "a quaternion": ((table(rotation=[1, 0, 0, 0]),), "rotation: expected a 3 × 3 matrix, got 4 numbers"),
    "millimetres": ((table(translation=[321.0, 956.0, 2890.0]),), "expected a translation in metres, got one of 3061"),
    "one name twice": ((table("a"), table("b", name='"a"')), 'the camera "a" stands twice'),
    "one table twice": ((table("a"), table("a")), "not valid TOML"),
    "a name that is none": ((table(name="3"),), "cam_01.name: expected text, got the number 3"),
    "no camera": (("[cameras]\nnumber = 3\n",), "expected a camera file, .* this TOML holds only cameras, metadata"),
    "cut off": ((table()[:120],), "not valid TOML"),
    "a well": (("a = " + "[" * 100_000,), "Calib.toml: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_sentence(name: str, tmp_path: Path) -> None:
    tables, message = BROKEN[name]
    path = written(tmp_path, *tables)
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_the_reader_itself_refuses_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text("K: [1, 2]")
    with pytest.raises(InputError, match="expected a Pose2Sim calibration"):
        read_pose2sim(path)
