"""Kalibr's chains: lenses against OpenCV, places along the chain, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opencv_twin import (
    FISHEYE,
    LENSES,
    K,
    assert_placed,
    assert_projects,
    points,
    project,
    project_fisheye,
    rotation_matrix,
)
from sightline.errors import InputError, UsageError
from sightline.formats.calibrations.kalibr import read_kalibr
from sightline.formats.camera import read_camera, read_cameras, write_camera

STEP = np.eye(4)
STEP[:3, :3], STEP[:3, 3] = rotation_matrix(np.array([0.1, -0.4, 0.05])), [-0.8, 0.02, 0.1]


def camera(number: int, **changes: Any) -> str:
    values: dict[str, Any] = {
        "cam_overlaps": [],
        "camera_model": "pinhole",
        "distortion_coeffs": LENSES["4"],
        "distortion_model": "radtan",
        "intrinsics": [K[0, 0].item(), K[1, 1].item(), K[0, 2].item(), K[1, 2].item()],
        "resolution": [1280, 720],
        "rostopic": f"/cam{number}/image_raw",
    }
    if number:
        values["T_cn_cnm1"] = STEP.tolist()
    lines = [f"  {key}: {value}" for key, value in (values | changes).items() if value is not None]
    return f"cam{number}:\n" + "\n".join(lines) + "\n"


def written(folder: Path, *cameras: str) -> Path:
    path = folder / "camchain.yaml"
    path.write_text("".join(cameras), encoding="utf-8")
    return path


def test_lenses(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        camera(0),
        camera(1, distortion_model="equidistant", distortion_coeffs=FISHEYE),
        camera(2, distortion_model="none", distortion_coeffs=[]),
        camera(10),
    )
    cameras = read_cameras(path)
    assert list(cameras) == ["cam0", "cam1", "cam2", "cam10"]
    assert_projects(cameras["cam0"], project(points(), K, LENSES["4"]))
    assert_projects(cameras["cam1"], project_fisheye(points(), K, FISHEYE))
    assert_projects(cameras["cam2"], project(points(), K, []))
    write_camera(cameras["cam1"], tmp_path / "own.json")
    assert_projects(read_camera(tmp_path / "own.json"), project_fisheye(points(), K, FISHEYE))


def test_lenses_against_opencv(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    cameras = read_cameras(
        written(tmp_path, camera(0), camera(1, distortion_model="equidistant", distortion_coeffs=FISHEYE))
    )
    still = np.zeros(3)
    plain = cv2.projectPoints(points(), still, still, K, np.array(LENSES["4"]))[0][:, 0]
    fisheye = cv2.fisheye.projectPoints(points()[None], still, still, K, np.array(FISHEYE))[0][0]
    for found, expected in zip(cameras.values(), (plain, fisheye), strict=True):
        seen = found.project(torch.from_numpy(points()))[0].numpy()
        assert np.abs(seen - 0.5 - expected).max() < 0.01


def test_a_chain_is_no_world_unless_the_caller_says_what_is_up(tmp_path: Path) -> None:
    path = written(tmp_path, camera(0), camera(1), camera(2))
    assert not any(found.has_world for found in read_cameras(path).values())
    chained = read_kalibr(path, placed=True)
    assert_placed(chained["cam1"], np.array([0.1, -0.4, 0.05]), STEP[:3, 3])
    twice = STEP @ STEP
    np.testing.assert_allclose(chained["cam2"].rotation, twice[:3, :3], atol=1e-12)
    np.testing.assert_allclose(chained["cam2"].translation_m, twice[:3, 3], atol=1e-12)
    first, _, last = read_cameras(path, up="-y").values()
    up_cam = first.world_to_camera(torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64))
    assert up_cam.tolist() == [[0, -1, 0]]  # up in the picture of a level camera
    seen_by_last = torch.from_numpy(points() @ twice[:3, :3].T + twice[:3, 3])
    world = first.camera_to_world(torch.from_numpy(points()))
    torch.testing.assert_close(last.world_to_camera(world), seen_by_last)


def test_one_camera_has_no_chain(tmp_path: Path) -> None:
    path = written(tmp_path, camera(0))
    assert not read_camera(path).has_world
    with pytest.raises(UsageError, match="no place"):
        read_camera(path, up="-y")


def test_headers_of_opencv_above_a_chain(tmp_path: Path) -> None:
    path = written(tmp_path, "%YAML:1.0\n---\n# of a rig\n", camera(0))
    assert_projects(read_camera(path, "cam0"), project(points(), K, LENSES["4"]))


BROKEN: dict[str, tuple[str, str]] = {
    "omni": (camera(0, camera_model="omni"), 'camera_model: expected pinhole, got the text "omni"'),
    "ds": (camera(0, camera_model="ds", intrinsics=[0.1] * 6), "camera_model: expected pinhole"),
    "fov": (camera(0, distortion_model="fov", distortion_coeffs=[0.9]), "distortion_model: expected radtan, equid"),
    "three intrinsics": (camera(0, intrinsics=[500, 320, 240]), "intrinsics: expected 4 numbers, got 3"),
    "nan focal": (camera(0, intrinsics="[.nan, 500, 320, 240]"), "intrinsics: expected a finite number"),
    "negative focal": (camera(0, intrinsics=[-500, 500, 320, 240]), "focal_px: expected positive"),
    "negative size": (camera(0, resolution=[-1280, 720]), "resolution: expected a positive width"),
    "no resolution": (camera(0, resolution=None), 'the key "resolution" is missing'),
    "no coefficients": (camera(0, distortion_coeffs=None), 'the key "distortion_coeffs" is missing'),
    "five coefficients": (camera(0, distortion_coeffs=[0.1] * 5), "distortion_coeffs: expected 4 numbers, got 5"),
    "twice": (camera(0) + camera(0), 'the name "cam0" stands twice'),
    "no intrinsics": ("cam0:\n  rostopic: /a\n", "expected a camera file, .* this YAML holds only cam0"),
    "cut off": (camera(0).split("1139")[0], "not valid YAML at line .*cut off"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_sentence(name: str, tmp_path: Path) -> None:
    text, message = BROKEN[name]
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"T_cn_cnm1": None}, "T_cn_cnm1: is missing, so nothing says where this camera stands"),
        ({"T_cn_cnm1": np.eye(3).tolist()}, "expected a 4 × 4 matrix"),
        ({"T_cn_cnm1": np.ones((4, 4)).tolist()}, "whose last row is 0 0 0 1"),
        ({"T_cn_cnm1": (np.eye(4) * [[2], [1], [1], [1]]).tolist()}, "rotation: expected an orthonormal"),
    ],
)
def test_a_broken_chain_is_told_where_places_are_asked_for(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, camera(0), camera(1, **changes))
    assert len(read_cameras(path)) == 2
    with pytest.raises(InputError, match=message):
        read_cameras(path, up="-y")


def test_the_reader_itself_refuses_other_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text("K: [1, 2]")
    with pytest.raises(InputError, match="expected a Kalibr chain"):
        read_kalibr(path)
