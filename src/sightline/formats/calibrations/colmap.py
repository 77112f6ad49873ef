"""COLMAP models as text: the lenses of `cameras.txt`, and the places of `images.txt`.

A folder gives one camera per image, by the image's name, with its place; `cameras.txt` by itself (or a folder without
`images.txt`) gives the cameras by their ids, without one. Pixels count from the picture's corner, as in Sightline.
Places are camera_from_world: a quaternion (w, x, y, z) and a translation. COLMAP's units and axes are arbitrary
unless the model was aligned: the translation is taken as metres and z as up, as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import roma
import torch

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.calibrations import _values as values
from sightline.formats.calibrations._content import read_content
from sightline.formats.calibrations._values import Place
from sightline.geometry.distortion import Distortion


class _Model(NamedTuple):
    focals: int
    """One focal length for both axes, or two."""
    order: tuple[int, ...]
    """Where each parameter behind the centre belongs among OpenCV's coefficients."""
    fisheye: bool = False


_MODELS = {
    "SIMPLE_PINHOLE": _Model(1, ()),
    "PINHOLE": _Model(2, ()),
    "SIMPLE_RADIAL": _Model(1, (0,)),
    "RADIAL": _Model(1, (0, 1)),
    "OPENCV": _Model(2, (0, 1, 2, 3)),
    "FULL_OPENCV": _Model(2, (0, 1, 2, 3, 4, 5, 6, 7)),
    "SIMPLE_RADIAL_FISHEYE": _Model(1, (0,), fisheye=True),
    "RADIAL_FISHEYE": _Model(1, (0, 1), fisheye=True),
    "OPENCV_FISHEYE": _Model(2, (0, 1, 2, 3), fisheye=True),
}


def read_colmap(path: str | Path) -> dict[str, Camera]:
    """Read a COLMAP model (float64, corner origin; metres and z up only if the model was aligned so).

    Args:
        path: a folder with `cameras.txt`, and `images.txt` for places; or `cameras.txt` itself.

    Raises:
        InputError: for files that are none, and cameras of a lens that Sightline does not know.
    """
    path = Path(path)
    if not path.is_dir():
        return _lenses(path)
    lenses = _lenses(_text_file(path))
    images = path / "images.txt"
    return _placed(lenses, images) if images.exists() else lenses


def _text_file(folder: Path) -> Path:
    """`cameras.txt` of a folder, or why there is none."""
    if (folder / "cameras.txt").exists():
        return folder / "cameras.txt"
    if (folder / "cameras.bin").exists():
        raise InputError(
            f"{folder}: expected COLMAP's text, got its binary files; convert them by "
            "colmap model_converter --output_type TXT"
        )
    raise InputError(f"{folder}: cannot be read as a camera: it is a folder without the cameras.txt of COLMAP")


def _lenses(path: Path) -> dict[str, Camera]:
    content = read_content(path)
    if content.syntax == "colmap_images":
        raise InputError(f"{path}: expected COLMAP's cameras.txt or the folder with it, got its list of images")
    if content.syntax != "colmap":
        raise InputError(f"{path}: expected COLMAP's cameras.txt, found no line of a camera in it")
    cameras: dict[str, Camera] = {}
    for number, line in enumerate(content.value.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            if words[0] in cameras:
                raise InputError(f'{path}: line {number}: the camera "{words[0]}" stands twice in the file')
            cameras[words[0]] = _camera(words, f"{path}: line {number}")
    return cameras


def _camera(words: list[str], where: str) -> Camera:
    """CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]."""
    if len(words) < 4:
        raise InputError(f"{where}: expected an id, a model, width, height and parameters, got {len(words)} words")
    model = _MODELS.get(words[1])
    if model is None:
        raise InputError(f"{where}: expected one of the models {', '.join(_MODELS)}, got {words[1]:.40}")
    size = values.image_size(words[2:4], f"{where}: width and height")
    count = model.focals + 2 + len(model.order)
    if len(words) != 4 + count:
        raise InputError(f"{where}: expected {count} parameters of {words[1]}, got {len(words) - 4}")
    parameters = values.vector(words[4:], count, f"{where}: parameters")
    focal, center, rest = np.split(parameters, [model.focals, model.focals + 2])
    focal = np.resize(focal, 2)
    return values.built(size, focal, center, _lens(model, rest, where), None, where, pixel_origin="corner")


def _lens(model: _Model, parameters: np.ndarray, where: str) -> Distortion | None:
    coefficients = np.zeros(4 if model.fisheye or len(model.order) <= 4 else 8)
    coefficients[list(model.order)] = parameters
    return values.lens(coefficients, model.fisheye, where)


def _placed(lenses: dict[str, Camera], path: Path) -> dict[str, Camera]:
    """Give every image its camera's lens and its own place."""
    cameras: dict[str, Camera] = {}
    for where, words in _image_lines(path):
        if len(words) < 10:
            raise InputError(f"{where}: expected an id, a quaternion, a translation, a camera and a name")
        numbers = values.vector(words[1:8], 7, f"{where}: quaternion and translation")
        camera_id, name = words[8], words[9].strip()
        if camera_id not in lenses:
            raise InputError(f"{where}: names the camera {camera_id:.40}, which {path.with_name('cameras.txt')} lacks")
        if name in cameras:
            raise InputError(f'{where}: the image "{name}" stands twice in the file')
        cameras[name] = _at(lenses[camera_id], _place(numbers, where), where)
    if not cameras:
        raise InputError(f"{path}: expected COLMAP's images, found none in it")
    return cameras


def _image_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The first line of each image's two, with its place in the file; the second, its points, may be empty."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = enumerate(file, 1)
            for number, line in lines:
                stripped = line.strip()
                if not stripped or stripped.startswith("#"):
                    continue
                yield f"{path}: line {number}", stripped.split(maxsplit=9)
                _, points = next(lines, (0, ""))
                if len(points.split()) % 3:
                    raise InputError(f"{path}: line {number + 1}: expected the points of the image above, in threes")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, got the byte 0x{error.object[error.start]:02x}") from error


def _place(numbers: np.ndarray, where: str) -> Place:
    w, x, y, z = numbers[:4]
    norm = float(np.linalg.norm(numbers[:4]))
    if abs(norm - 1.0) > 0.01:
        raise InputError(f"{where}: expected a quaternion of length 1, got one of {norm:.4g}")
    rotation = roma.unitquat_to_rotmat(torch.tensor([x, y, z, w], dtype=torch.float64) / norm)
    return Place(rotation.numpy(), numbers[4:])


def _at(camera: Camera, there: Place, where: str) -> Camera:
    size, focal, center = (value.tolist() for value in (camera.image_size, camera.focal_px, camera.center_px))
    return values.built(size, focal, center, camera.distortion, there, where, pixel_origin="corner")
