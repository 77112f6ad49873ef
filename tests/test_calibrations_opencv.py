"""OpenCV and ROS calibrations: what cv2 writes is read, and projects where cv2 projects; whatever is wrong is told."""

from __future__ import annotations

import json
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
from sightline.formats.calibrations.opencv import read_opencv
from sightline.formats.camera import read_camera, read_cameras, write_camera

ENDINGS = ("yml", "yaml", "xml", "json")


def matrix(values: Any) -> str:
    """A matrix as cv2 writes it in YAML."""
    values = np.atleast_2d(np.asarray(values, dtype=float))
    rows, cols = values.shape if values.shape[0] > 1 else (values.shape[1], 1)
    data = ", ".join(repr(float(value)) for value in values.ravel())
    return f"!!opencv-matrix\n   rows: {rows}\n   cols: {cols}\n   dt: d\n   data: [ {data} ]"


def yaml_text(**values: Any) -> str:
    lines = [f"{key}: {matrix(v) if isinstance(v, (np.ndarray, list)) else v}" for key, v in values.items()]
    return "%YAML:1.0\n---\n" + "\n".join(lines) + "\n"


def good(**changes: Any) -> dict[str, Any]:
    values = {
        "calibration_time": "Mon 01 Jan 2024",
        "image_width": SIZE[0],
        "image_height": SIZE[1],
        "camera_matrix": K,
        "distortion_coefficients": LENSES["5"],
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def written(folder: Path, text: str | bytes, name: str = "calibration.yml") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def stored(path: Path, values: dict[str, Any]) -> Path:
    """Let OpenCV itself write the file."""
    cv2 = pytest.importorskip("cv2")
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in values.items():
        storage.write(key, np.array(value) if isinstance(value, list) else value)
    storage.release()
    return path


def far_away() -> tuple[np.ndarray, np.ndarray]:
    """Points of the world, and the same of the camera's frame."""
    points_cam = points()
    return (points_cam - TRANSLATION_M) @ rotation_matrix(ROTVEC), points_cam


# ---- against OpenCV itself


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("count", LENSES)
def test_what_opencv_writes_projects_as_opencv_does(count: str, ending: str, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    lens = np.array(LENSES[count])
    placed = {"rvec": ROTVEC, "tvec": TRANSLATION_M.reshape(3, 1)}
    camera = read_camera(stored(tmp_path / f"a.{ending}", good(distortion_coefficients=lens, **placed)))
    points_world, _ = far_away()
    expected = cv2.projectPoints(points_world, ROTVEC, TRANSLATION_M, K, lens)[0][:, 0]
    found, valid = camera.project(camera.world_to_camera(torch.from_numpy(points_world)))
    assert valid.all()
    assert np.abs(found.numpy() - 0.5 - expected).max() < 0.01
    assert camera.image_size.tolist() == list(SIZE)
    assert camera.is_pinhole is (count == "none")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_fisheye_that_opencv_writes_projects_as_opencv_does(ending: str, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    values = good(distortion_coefficients=FISHEYE, fisheye_model=1, R=rotation_matrix(ROTVEC), T=TRANSLATION_M)
    camera = read_camera(stored(tmp_path / f"a.{ending}", values))
    points_world, points_cam = far_away()
    lens = np.array(FISHEYE)
    expected = cv2.fisheye.projectPoints(points_world[None], ROTVEC, TRANSLATION_M, K, lens)[0][0]
    found, _ = camera.project(camera.world_to_camera(torch.from_numpy(points_world)))
    assert np.abs(found.numpy() - 0.5 - expected).max() < 0.01
    np.testing.assert_allclose(expected, project_fisheye(points_cam, K, lens), atol=1e-6)  # the twin is right, too


def test_the_twin_is_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    for lens in LENSES.values():
        expected = cv2.projectPoints(points(), np.zeros(3), np.zeros(3), K, np.array(lens))[0][:, 0]
        np.testing.assert_allclose(project(points(), K, lens), expected, atol=1e-6)


def test_a_stereo_rig_of_opencv_sees_as_it_does(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    rotation, baseline = rotation_matrix(np.array([0.02, -0.3, 0.01])), np.array([-1.2, 0.02, 0.1])
    values = {"image_size": [1280, 720], "M1": K, "D1": LENSES["5"], "M2": K * [[1.1], [1.1], [1]], "D2": LENSES["8"]}
    path = stored(tmp_path / "stereo.xml", values | {"R": rotation, "T": baseline, "R1": np.eye(3), "R2": np.eye(3)})
    left, right = read_cameras(path, up="-y").values()
    seen = torch.from_numpy(points())
    world = left.camera_to_world(seen)
    second = cv2.projectPoints(points(), cv2.Rodrigues(rotation)[0], baseline, values["M2"], np.array(LENSES["8"]))[0]
    found, valid = right.project(right.world_to_camera(world))
    assert valid.sum() > 50
    assert np.abs(found.numpy() - 0.5 - second[:, 0])[valid.numpy()].max() < 0.01
    first = cv2.projectPoints(points(), np.zeros(3), np.zeros(3), K, np.array(LENSES["5"]))[0][:, 0]
    assert np.abs(left.project(seen)[0].numpy() - 0.5 - first).max() < 0.01


# ---- without OpenCV: its text, and other people's


@pytest.mark.parametrize("count", LENSES)
def test_yaml_and_every_number_of_coefficients(count: str, tmp_path: Path) -> None:
    path = written(tmp_path, yaml_text(**good(distortion_coefficients=LENSES[count])))
    camera = read_camera(path)
    assert_projects(camera, project(points(), K, LENSES[count]))
    assert not camera.has_world
    assert list(read_cameras(path)) == ["calibration"]
    write_camera(camera, tmp_path / "own.json")
    assert_projects(read_camera(tmp_path / "own.json"), project(points(), K, LENSES[count]))


XML = """<?xml version="1.0"?>
<opencv_storage>
<calibration_time>"Mon 01 Jan"</calibration_time>
<image_size>
  1280 720</image_size>
<cameraMatrix type_id="opencv-matrix"><rows>3</rows><cols>3</cols><dt>d</dt><data>
    1145.3 0. 655.1 0. 1139.9 352.7 0. 0. 1.</data></cameraMatrix>
<distCoeffs type_id="opencv-matrix"><rows>1</rows><cols>4</cols><dt>d</dt><data>
    0.03 -2.0e-02 6.0e-03 -8.0e-04</data></distCoeffs>
<fisheye>1</fisheye>
<points><_ type_id="opencv-matrix"><rows>1</rows><cols>2</cols><dt>f</dt><data>1. 2.</data></_></points>
</opencv_storage>"""

ROS = f"""image_width: 1280
image_height: 720
camera_name: narrow_left
camera_matrix:
  rows: 3
  cols: 3
  data: {K.ravel().tolist()}
distortion_model: MODEL
distortion_coefficients:
  rows: 1
  cols: COUNT
  data: LENS
rectification_matrix: {{rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}}
projection_matrix: {{rows: 3, cols: 4, data: [1000, 0, 640, 0, 0, 1000, 360, 0, 0, 0, 1, 0]}}
"""


def test_xml_with_a_fisheye(tmp_path: Path) -> None:
    assert_projects(read_camera(written(tmp_path, XML, "a.xml")), project_fisheye(points(), K, FISHEYE))


@pytest.mark.parametrize(
    ("model", "lens", "expected"),
    [
        ("plumb_bob", LENSES["5"], project),
        ("rational_polynomial", LENSES["8"], project),
        ("equidistant", FISHEYE, project_fisheye),
        ("plumb_bob", [], project),
    ],
)
def test_ros(model: str, lens: list[float], expected: Any, tmp_path: Path) -> None:
    text = ROS.replace("MODEL", model).replace("COUNT", str(len(lens))).replace("LENS", str(lens))
    cameras = read_cameras(written(tmp_path, text, "ost.yaml"))
    assert list(cameras) == ["narrow_left"]
    assert_projects(cameras["narrow_left"], expected(points(), K, lens))


def test_a_message_of_ros_is_rectified_not_placed(tmp_path: Path) -> None:
    text = (
        f"header:\n  seq: 3\nheight: 720\nwidth: 1280\ndistortion_model: plumb_bob\nD: {LENSES['5']}\n"
        f"K: {K.ravel().tolist()}\nR: [0, -1, 0, 1, 0, 0, 0, 0, 1]\nP: {[1.0] * 12}\n"
    )
    camera = read_camera(written(tmp_path, text))
    assert_projects(camera, project(points(), K, LENSES["5"]))
    assert not camera.has_world


PYTHON_NAMES = [
    ("camera_matrix", "dist_coeff", "image_size"),
    ("cameraMatrix", "distCoeffs", "imageSize"),
    ("K", "D", "resolution"),
    ("k", "dist", "size"),
    ("intrinsic_matrix", "distortion_coefficients", "image_size"),
    ("mtx", "dist", "img_size"),
    ("Intrinsics", "distCoefs", "ImageSize"),
]


@pytest.mark.parametrize(("k", "d", "size"), PYTHON_NAMES)
@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_names_and_lists_of_scripts(k: str, d: str, size: str, ending: str, tmp_path: Path) -> None:
    content = {k: K.tolist(), d: [LENSES["5"]], size: list(SIZE), "rms": 0.31, "board": [9, 6]}
    text = json.dumps(content) if ending == "json" else "\n".join(f"{key}: {value}" for key, value in content.items())
    assert_projects(read_camera(written(tmp_path, text, f"a.{ending}")), project(points(), K, LENSES["5"]))


def test_sizes_in_other_words(tmp_path: Path) -> None:
    values = good(image_width=None, image_height=None)
    for number, size in enumerate(("image_size: {width: 1280, height: 720}", "image_size: !!python/tuple [1280, 720]")):
        path = written(tmp_path, yaml_text(**values) + size + "\n", f"{number}.yml")
        assert read_camera(path).image_size.tolist() == [1280, 720]


def test_intrinsics_of_four_numbers_and_exponents_that_yaml_takes_for_text(tmp_path: Path) -> None:
    text = (
        "camera_model: pinhole\nresolution: [1280, 720]\nintrinsics: [1145.3, 1139.9, 655.1, 352.7]\n"
        "distortion_model: radial-tangential\ndistortion_coefficients: [-2.1e-1, 6e-2, 11e-4, -7e-4]\n"
        "T_BS:\n  rows: 4\n  cols: 4\n  data: [0, -1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]\n"
    )
    camera = read_camera(written(tmp_path, text))
    assert_projects(camera, project(points(), K, LENSES["4"]))
    assert not camera.has_world


@pytest.mark.parametrize(
    "names", [("R", "T"), ("rvec", "tvec"), ("rotation_vector", "translation"), ("rotation_matrix", "t")]
)
def test_a_place(names: tuple[str, str], tmp_path: Path) -> None:
    turn = ROTVEC if "vec" in names[0] else rotation_matrix(ROTVEC)
    text = yaml_text(**good(), **{names[0]: turn, names[1]: TRANSLATION_M})
    assert_placed(read_camera(written(tmp_path, text)))


def test_rotation_and_its_vector_may_both_stand_there(tmp_path: Path) -> None:
    values = good(R=rotation_matrix(ROTVEC), rvec=ROTVEC, T=TRANSLATION_M)
    assert_placed(read_camera(written(tmp_path, yaml_text(**values))))


@pytest.mark.parametrize("names", [("rotation_vectors", "translation_vectors"), ("rvecs", "tvecs")])
def test_where_the_boards_lay_is_no_place_of_the_camera(names: tuple[str, str], tmp_path: Path) -> None:
    for boards in (np.ones((1, 3)), np.ones((5, 3))):
        values = good(extrinsic_parameters=np.ones((5, 6)), **{names[0]: boards, names[1]: boards})
        assert not read_camera(written(tmp_path, yaml_text(**values))).has_world


def test_a_camera_at_the_origin_of_its_world_was_never_placed(tmp_path: Path) -> None:
    path = written(tmp_path, yaml_text(**good(R=np.eye(3), T=np.zeros(3))))
    assert not read_camera(path).has_world
    with pytest.raises(UsageError, match="gives its cameras no place"):
        read_camera(path, up="y")


RIG = {"M1": K, "D1": LENSES["4"], "M2": K + np.diag([5.0, 5.0, 0]), "D2": LENSES["5"]}


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (("M1", "D1", "M2", "D2"), ["1", "2"]),
        (("K1", "dist_1", "K2", "dist_2"), ["1", "2"]),
        (("camera_matrix_left", "dist_left", "camera_matrix_right", "dist_right"), ["left", "right"]),
        (("left_camera_matrix", "left_dist_coeffs", "right_camera_matrix", "right_dist_coeffs"), ["left", "right"]),
        (("cameraMatrixL", "distCoeffsL", "cameraMatrixR", "distCoeffsR"), ["left", "right"]),
        (("K_01", "dist_01", "K_02", "dist_02"), ["01", "02"]),
    ],
)
def test_stereo_rigs(keys: tuple[str, ...], names: list[str], tmp_path: Path) -> None:
    parts = dict(zip(keys, RIG.values(), strict=True)) | {"image_size": [1280, 720]}
    between = {"R": rotation_matrix(np.array([0.0, -0.3, 0.0])), "T": [-1.2, 0.0, 0.1]}
    path = written(tmp_path, yaml_text(**parts, **between))
    cameras = read_cameras(path)
    assert list(cameras) == names
    assert not any(camera.has_world for camera in cameras.values())  # a rig has no floor
    assert_projects(cameras[names[0]], project(points(), RIG["M1"], RIG["D1"]))
    assert_projects(cameras[names[1]], project(points(), RIG["M2"], RIG["D2"]))
    first, second = read_opencv(path, placed=True).values()
    assert first.position_world.tolist() == [0, 0, 0]
    assert_placed(second, np.array([0.0, -0.3, 0.0]), np.array([-1.2, 0.0, 0.1]))


def test_cameras_of_a_room_each_with_its_place(tmp_path: Path) -> None:
    parts = {f"{key}_{n}": value for n in (1, 2, 10) for key, value in (("K", K), ("D", FISHEYE), ("rvec", ROTVEC))}
    parts |= {f"T_{n}": TRANSLATION_M * n for n in (1, 2, 10)}
    cameras = read_cameras(written(tmp_path, yaml_text(**parts, image_width=1280, image_height=720, fisheye=1)))
    assert list(cameras) == ["1", "2", "10"]
    for name, camera in cameras.items():
        assert_placed(camera, ROTVEC, TRANSLATION_M * int(name))
        assert_projects(camera, project_fisheye(points(), K, FISHEYE))


def test_the_picture_s_size_from_the_caller(tmp_path: Path) -> None:
    path = written(tmp_path, yaml_text(**good(image_width=None, image_height=None)))
    with pytest.raises(InputError, match="does not say how large .*; add image_width and image_height"):
        read_camera(path)
    assert read_camera(path, image_size=(1280, 720)).image_size.tolist() == [1280, 720]
    with pytest.raises(InputError, match=r"principal point \(655, 353\) lies far from the middle of 3840 × 2160 px"):
        read_camera(path, image_size=(3840, 2160))
    with pytest.raises(InputError, match="image_size: expected a positive width"):
        read_camera(path, image_size=(1280, 0))
    path = written(tmp_path, yaml_text(**good()))
    assert read_camera(path, image_size=(640, 360)).image_size.tolist() == [1280, 720]  # the file knows better


# ---- what is wrong

K_TEXT = yaml_text(**good())
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "cut off": (K_TEXT[: K_TEXT.index("1139.9")], "not valid YAML at line .*cut off"),
    "cut in the matrix": (yaml_text(**good())[:170].rsplit("data", 1)[0], 'expected a matrix with "data"'),
    "only a header": ("%YAML:1.0\n---\n", "expected names with values"),
    "three by four": (yaml_text(**good(camera_matrix=np.ones((3, 4)))), "expected a 3 × 3 matrix, got 3 × 4 numbers"),
    "rows that lie": (K_TEXT.replace("rows: 3", "rows: 4", 1), "expected 4 × 3 numbers, got 9"),
    "no rows": (K_TEXT.replace("rows: 3", "rows: -3", 1), "expected -3 × 3 numbers"),
    "nan focal": (K_TEXT.replace("1145.3", ".nan"), "camera_matrix: expected a finite number, got the number nan"),
    "OpenCV's nan": (K_TEXT.replace("1145.3", ".Nan"), 'camera_matrix: expected a number, got the text ".Nan"'),
    "huge": (K_TEXT.replace("1145.3", "1.0e+999"), "camera_matrix: expected a finite number"),
    "negative focal": (yaml_text(**good(camera_matrix=-K * [[1], [1], [-1]])), "focal_px: expected positive"),
    "skew": (yaml_text(**good(camera_matrix=K + [[0, 3, 0], [0, 0, 0], [0, 0, 0]])), "got a skew of 3"),
    "transposed": (yaml_text(**good(camera_matrix=K.T)), r"expected a camera matrix \(fx 0 cx; 0 fy cy; 0 0 1\)"),
    "no size": (yaml_text(**good(image_width=None)), "add image_width and image_height"),
    "negative size": (yaml_text(**good(image_width=-1280)), "image_width: expected a positive width and height"),
    "half a pixel": (yaml_text(**good(image_width=1280.5)), "expected a positive width and height"),
    "a size in words": (yaml_text(**good(image_width="wide")), 'image_width: expected a number, got the text "wide"'),
    "a size that is huge": (yaml_text(**good(image_width="9" * 5000)), "calibration.yml: "),
    "three coefficients": (yaml_text(**good(distortion_coefficients=[0.1] * 3)), "expected 4, 5, 8, 12 or 14 coeff"),
    "a tilted sensor": (yaml_text(**good(distortion_coefficients=[0.01] * 14)), "expected an untilted sensor"),
    "five for a fisheye": (yaml_text(**good(fisheye_model=1)), "expected the 4 coefficients of a fisheye, got 5"),
    "none for a fisheye": (yaml_text(**good(fisheye_model=1, distortion_coefficients=None)), "found no distortion"),
    "unknown lens": (yaml_text(**good(distortion_model="omni")), 'equidistant, got "omni"'),
    "no lens but bent": (yaml_text(**good(distortion_model="none")), "expected no distortion with"),
    "words for coefficients": (
        K_TEXT.replace("-0.28", "wide"),
        "distortion_coefficients: expected a number, got the tex",
    ),
    "no rotation": (yaml_text(**good(R=np.ones((3, 3)), T=TRANSLATION_M)), "rotation: expected an orthonormal"),
    "a mirror": (yaml_text(**good(R=np.diag([1.0, 1, -1]), T=TRANSLATION_M)), "rotation: expected an orthonormal"),
    "long translation": (yaml_text(**good(rvec=ROTVEC, T=[1.0] * 4)), "T: expected 3 numbers, got 4 × 1"),
    "two rotations": (
        yaml_text(**good(rvec=ROTVEC, R=rotation_matrix(-ROTVEC), T=TRANSLATION_M)),
        "R and rvec contradict each other",
    ),
    "millimetres": (
        yaml_text(**good(rvec=ROTVEC, T=1000 * TRANSLATION_M)),
        "expected a translation in metres, got one",
    ),
    "two matrices": (yaml_text(**good(K=K + np.diag([5.0, 5.0, 0.0]))), "camera_matrix and K contradict each other"),
    "uneven rows": ("image_size: [1280, 720]\nK: [[1, 0, 3], [0, 1]]", "K: expected rows of equal length"),
    "rows and numbers": ("image_size: [1280, 720]\nK: [1, [0, 1]]", "K: expected rows of equal length"),
    "true": ("image_size: [1280, 720]\nK: [true, 0, 3, 0, 1, 2, 0, 0, 1]", "K: expected a number, got true"),
    "no camera": ("poses: 3\nframes: [1, 2]", "expected a camera file, .* but this YAML holds only poses, frames"),
    "twice": ("K: [[1]]\nK: [[2]]", 'the name "K" stands twice'),
    "a list": ("%YAML:1.0\n---\n- 1\n- 2\n", "expected names with values in YAML, got a list of 2"),
    "a Python object": ("K: !!python/object/apply:os.getcwd []", "not valid YAML at line 1.*could not determine"),
    "an alias": ("K: &k [1, 2]\nD: *k\n", r"got a reference to another \(\*k\)"),
    "a bomb": (
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)) + "K: *a39\n",
        "reference to another",
    ),
    "a well": ("K: " + "[" * 5000, "nested too deeply"),
    "a date that is none": ("K: [[1]]\nwhen: 2024-13-45\n", "not valid YAML"),
    "not UTF-8": ("camera_name: vélo\n".encode("latin-1"), "expected UTF-8 text, got the byte 0xe9"),
    "control characters": ("K: \x01\x02", "not valid YAML"),
    "a tab": ("K:\n\t- 1", "not valid YAML at line 2"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_sentence(name: str, tmp_path: Path) -> None:
    text, message = BROKEN[name]
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_rig_in_millimetres_gives_lenses_but_no_places(tmp_path: Path) -> None:
    path = written(tmp_path, yaml_text(**RIG, image_size=[1280, 720], R=np.eye(3), T=[-120.0, 0, 0]))
    assert not any(camera.has_world for camera in read_cameras(path).values())
    with pytest.raises(InputError, match='camera "2": expected a translation in metres, got one of 120'):
        read_cameras(path, up="-y")


def test_a_message_that_ros_ends_with_dashes_is_whole(tmp_path: Path) -> None:
    text = yaml_text(**good())
    path = written(tmp_path, text)
    plain = read_cameras(path)
    again = read_cameras(written(tmp_path, text.rstrip() + "\n---\n"))
    for name in plain:
        assert plain[name].focal_px.tolist() == again[name].focal_px.tolist()


BROKEN_XML: dict[str, tuple[str, str]] = {
    "no matrix": (
        "<opencv_storage><image_width>3</image_width></opencv_storage>",
        "such as camera_matrix.*image_width",
    ),
    "empty": ("<opencv_storage></opencv_storage>", "expected a camera matrix .*, got nothing"),
    "cut off": (XML[:300], "not valid XML"),
    "short data": (XML.replace("1139.9", ""), "cameraMatrix: expected 3 × 3 numbers, got 8"),
    "words": (XML.replace("1139.9", "wide"), 'cameraMatrix: expected a number, got the text "wide"'),
    "nan": (XML.replace("1139.9", "nan"), "cameraMatrix: expected a finite number"),
    "no data": (XML.replace("data>", "dates>"), 'cameraMatrix: expected a matrix with "data"'),
    "a bomb": (
        '<!DOCTYPE b [<!ENTITY a "1145"><!ENTITY b "&a;&a;&a;&a;">]>' + XML[21:].replace("1139.9", "&b;"),
        "got one with a document type",
    ),
    "a file from elsewhere": (
        '<!DOCTYPE b [<!ENTITY x SYSTEM "a.txt">]><opencv_storage>&x;</opencv_storage>',
        "DOCTYPE",
    ),
    "twice": (XML.replace("<points>", "<fisheye>0</fisheye><points>"), 'the name "fisheye" stands twice'),
    "a well": (f"<opencv_storage>{'<a>' * 5000}{'</a>' * 5000}</opencv_storage>", "expected a camera matrix"),
    "one entry": ("<opencv_storage><_>1</_></opencv_storage>", "expected a camera matrix .*, got _"),
    "an encoding nobody knows": ('<?xml version="1.0" encoding="klingon"?><opencv_storage/>', "not valid XML"),
}


@pytest.mark.parametrize("name", BROKEN_XML)
def test_broken_xml_is_one_sentence(name: str, tmp_path: Path) -> None:
    text, message = BROKEN_XML[name]
    path = written(tmp_path, text, "a.xml")
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_nan_in_json_of_opencv(tmp_path: Path) -> None:
    path = written(tmp_path, '{"camera_matrix": {"rows": 3, "cols": 3, "data": [.Nan, 1, 2]}}', "a.json")
    with pytest.raises(InputError, match="not valid JSON at line 1"):
        read_camera(path)


def test_the_reader_itself_refuses_other_kinds(tmp_path: Path) -> None:
    for name, text in (("a.yml", "cam0: {intrinsics: [1, 2, 3, 4]}"), ("a.json", "{}"), ("a.toml", "[a]\nb = 3")):
        with pytest.raises(InputError, match="expected an OpenCV calibration"):
            read_opencv(written(tmp_path, text, name))
