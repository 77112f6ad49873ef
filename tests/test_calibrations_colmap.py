"""COLMAP's text: every lens against OpenCV, places of images, and what is wrong with a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from opencv_twin import FISHEYE, LENSES, ROTVEC, TRANSLATION_M, assert_placed, points, project, project_fisheye
from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.calibrations.colmap import read_colmap
from sightline.formats.camera import read_camera, read_cameras, write_camera

F, C = [1145.3, 1139.9], [655.6, 353.2]
LENS_8 = LENSES["8"]
MODELS: dict[str, tuple[list[float], list[float]]] = {
    "SIMPLE_PINHOLE": ([F[0], *C], []),
    "PINHOLE": ([*F, *C], []),
    "SIMPLE_RADIAL": ([F[0], *C, -0.21], [-0.21]),
    "RADIAL": ([F[0], *C, -0.21, 0.06], [-0.21, 0.06]),
    "OPENCV": ([*F, *C, *LENSES["4"]], LENSES["4"]),
    "FULL_OPENCV": ([*F, *C, *LENS_8], LENS_8),
    "SIMPLE_RADIAL_FISHEYE": ([F[0], *C, 0.03], [0.03]),
    "RADIAL_FISHEYE": ([F[0], *C, 0.03, -0.02], [0.03, -0.02]),
    "OPENCV_FISHEYE": ([*F, *C, *FISHEYE], FISHEYE),
}
"""Parameters as COLMAP orders them, and the coefficients that OpenCV would take."""

HEADER = "# Camera list with one line of data per camera:\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
ANGLE = np.linalg.norm(ROTVEC)
QUATERNION = [float(np.cos(ANGLE / 2)), *(np.sin(ANGLE / 2) * ROTVEC / ANGLE).tolist()]


def line(model: str = "PINHOLE", number: int = 1, size: str = "1280 720") -> str:
    return f"{number} {model} {size} {' '.join(map(str, MODELS[model][0]))}\n"


def image(name: str, camera: int = 1, number: int = 1, points: str = "") -> str:
    place = " ".join(map(str, [*QUATERNION, *TRANSLATION_M]))
    return f"{number} {place} {camera} {name}\n{points}\n"


def model(folder: Path, cameras: str, images: str | None = None) -> Path:
    (folder / "cameras.txt").write_text(HEADER + cameras, encoding="utf-8")
    if images is not None:
        (folder / "images.txt").write_text("# Image list\n# two lines per image\n" + images, encoding="utf-8")
    return folder


def assert_sees(camera: Camera, name: str) -> None:
    """The camera is its OpenCV twin's; COLMAP's pixels count from the corner, so nothing moves."""
    parameters, coefficients = MODELS[name]
    fy = parameters[1] if name in ("PINHOLE", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE") else parameters[0]
    k = np.array([[parameters[0], 0, C[0]], [0, fy, C[1]], [0, 0, 1]])
    twin = project_fisheye if "FISHEYE" in name else project
    found, valid = camera.project(torch.from_numpy(points()))
    assert valid.all()
    np.testing.assert_allclose(found.numpy(), twin(points(), k, coefficients), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_lenses(name: str, tmp_path: Path) -> None:
    folder = model(tmp_path, line(name))
    camera = read_camera(folder)
    assert_sees(camera, name)
    assert list(read_cameras(folder)) == list(read_cameras(folder / "cameras.txt")) == ["1"]
    write_camera(camera, tmp_path / "own.json")
    assert_sees(read_camera(tmp_path / "own.json"), name)


@pytest.mark.parametrize("name", MODELS)
def test_lenses_against_opencv(name: str, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    camera = read_camera(model(tmp_path, line(name)))
    k, still = camera.intrinsics.numpy(), np.zeros(3)
    lens = np.array([*MODELS[name][1], 0.0, 0.0, 0.0, 0.0])
    if "FISHEYE" in name:
        expected = cv2.fisheye.projectPoints(points()[None], still, still, k, lens[:4])[0][0]
    else:
        expected = cv2.projectPoints(points(), still, still, k, lens[:8] if len(lens) > 8 else lens[:4])[0][:, 0]
    assert np.abs(camera.project(torch.from_numpy(points()))[0].numpy() - expected).max() < 0.01


def test_images_have_places_and_cameras_have_none(tmp_path: Path) -> None:
    seen = "2362.39 248.498 58396 1784.7 268.254 -1"
    images = image("film/frame 1.jpg", 1, 1, seen) + image("b.jpg", 2, 2) + image("c.jpg", 1, 7, seen)
    folder = model(tmp_path, line("OPENCV", 1) + line("OPENCV_FISHEYE", 2), images)
    cameras = read_cameras(folder)
    assert list(cameras) == ["film/frame 1.jpg", "b.jpg", "c.jpg"]
    for name, lens in zip(cameras, ("OPENCV", "OPENCV_FISHEYE", "OPENCV"), strict=True):
        assert_sees(cameras[name], lens)
        assert_placed(cameras[name])
    lenses = read_cameras(folder / "cameras.txt")
    assert list(lenses) == ["1", "2"]
    assert not any(camera.has_world for camera in lenses.values())
    with pytest.raises(UsageError, match="name one of film/frame 1.jpg, b.jpg, c.jpg"):
        read_camera(folder)
    assert_sees(read_camera(folder, "b.jpg"), "OPENCV_FISHEYE")


def test_many_names_are_not_all_listed(tmp_path: Path) -> None:
    folder = model(tmp_path, line(), "".join(image(f"{n}.jpg", 1, n) for n in range(100)))
    with pytest.raises(UsageError, match="11.jpg and 88 more"):
        read_camera(folder)


BROKEN: dict[str, tuple[str, str | None, str]] = {
    "unknown model": (line().replace("PINHOLE", "FOV"), None, "cameras.txt: line 3: expected one of .*, got FOV"),
    "too few": ("1 PINHOLE 1280 720 1145 1139 655\n", None, "expected 4 parameters of PINHOLE, got 3"),
    "too many": (
        "1 SIMPLE_PINHOLE 1280 720 1145 1139 655 352\n",
        None,
        "expected 3 parameters of SIMPLE_PINHOLE, got 4",
    ),
    "cut off": ("1 PINHOLE 1280", None, "line 3: expected an id, a model, width"),
    "negative size": (line(size="-1280 720"), None, "width and height: expected a positive"),
    "size in words": (line(size="wide 720"), None, 'expected a number, got the text "wide"'),
    "nan focal": (line().replace("1145.3", "nan"), None, "parameters: expected a finite number"),
    "negative focal": (line().replace("1145.3", "-5"), None, "focal_px: expected positive"),
    "twice": (line() + line(), None, 'the camera "1" stands twice'),
    "no cameras": ("", None, "expected a camera file, .* nothing is there"),
    "a letter": ("PINHOLE 1\n", None, "expected a camera file, .* it is something else"),
    "no images": (line(), "", "images.txt: expected COLMAP's images, found none"),
    "unknown camera": (line(), image("a.jpg", 3), "images.txt: line 3: names the camera 3, which .*cameras.txt lacks"),
    "an image twice": (line(), image("a.jpg") + image("a.jpg"), 'the image "a.jpg" stands twice'),
    "a short image": (line(), "1 1 0 0 0 0 0\n\n", "expected an id, a quaternion, a translation, a camera and a name"),
    "no unit": (line(), "1 2 0 0 0 0 0 0 1 a.jpg\n\n", "expected a quaternion of length 1, got one of 2"),
    "nan place": (line(), "1 1 0 0 0 nan 0 0 1 a.jpg\n\n", "translation: expected a finite number"),
    "no lines of points": (line(), "".join(image(f"{n}.jpg")[:-1] for n in "ab"), "line 4: expected the points"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_are_one_sentence(name: str, tmp_path: Path) -> None:
    cameras, images, message = BROKEN[name]
    with pytest.raises(InputError, match=message) as caught:
        read_cameras(model(tmp_path, cameras, images))
    assert str(caught.value).startswith(f"{tmp_path}/")
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a camera: it is a folder without the cameras.txt"):
        read_cameras(tmp_path)
    (tmp_path / "cameras.bin").write_bytes(b"\0")
    with pytest.raises(InputError, match="colmap model_converter --output_type TXT"):
        read_cameras(tmp_path)
    model(tmp_path, line(), image("a.jpg"))
    with pytest.raises(InputError, match="expected COLMAP's cameras.txt or the folder with it, got its list of images"):
        read_cameras(tmp_path / "images.txt")
    (tmp_path / "images.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="images.txt: expected UTF-8 text, got the byte 0xff"):
        read_cameras(tmp_path)
    (tmp_path / "images.txt").unlink()
    (tmp_path / "images.txt").mkdir()
    with pytest.raises(InputError, match="images.txt: cannot be read"):
        read_cameras(tmp_path)
    path = tmp_path / "a.yml"
    path.write_text("K: [1, 2]")
    with pytest.raises(InputError, match="expected COLMAP's cameras.txt, found no line of a camera"):
        read_colmap(path)
