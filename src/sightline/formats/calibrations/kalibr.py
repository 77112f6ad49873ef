"""Kalibr calibrations (camchain YAML): cam0, cam1 …, each placed relative to the one before it.

`intrinsics` are (fu, fv, pu, pv) of `camera_model: pinhole`; pixels count from the first one's centre.
`distortion_model` is radtan (k1, k2, p1, p2), equidistant (k1 … k4 of a fisheye) or none. `T_cn_cnm1` takes points of
the camera before to this one's frame, in metres.

A chain knows no gravity and no floor, which Sightline's world has, so by default the cameras have no place: each sees
for itself. Where the caller says which way is up in cam0 (`placed`), cam0's frame is the world.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.calibrations import _values as values
from sightline.formats.calibrations._content import Content, read_content
from sightline.formats.calibrations._values import Place
from sightline.formats.strict import kind
from sightline.geometry.distortion import Distortion

_CAMERA = re.compile(r"cam(\d+)")


def read_kalibr(path: str | Path, *, placed: bool = False) -> dict[str, Camera]:
    """Read the cameras of a Kalibr chain as "cam0", "cam1" … (float64, corner origin, metres).

    `placed`: whether they get their places relative to cam0, whose frame then stands for the world. `InputError` for a
    file that is no such chain, a camera that is no pinhole or cannot be one, and, if `placed`, a broken chain.
    """
    return cameras_from_kalibr(read_content(path), path, placed=placed)


def is_kalibr(content: Content) -> bool:
    """Whether a parsed file has cameras of a chain."""
    return content.syntax == "yaml" and bool(_tables(content.value))


def cameras_from_kalibr(content: Content, path: str | Path, *, placed: bool = False) -> dict[str, Camera]:
    """Make the cameras of a parsed file; see `read_kalibr`."""
    if not is_kalibr(content):
        raise InputError(f"{path}: expected a Kalibr chain, found no cam0 with intrinsics in it")
    tables = _tables(content.value)
    places = _chained(tables, str(path)) if placed and len(tables) > 1 else dict.fromkeys(tables)
    return {name: _camera(table, places[name], f'{path}: camera "{name}"') for name, table in tables.items()}


def _tables(content: Mapping[Any, Any]) -> dict[str, Mapping[str, Any]]:
    found = {
        name: table
        for name, table in content.items()
        if isinstance(name, str) and _CAMERA.fullmatch(name) and isinstance(table, dict) and "intrinsics" in table
    }
    return dict(sorted(found.items(), key=lambda item: int(item[0][3:])))


def _camera(table: Mapping[str, Any], where_from: Place | None, where: str) -> Camera:
    for key in ("resolution", "intrinsics"):
        if table.get(key) is None:
            raise InputError(f'{where}: the key "{key}" is missing')
    model = table.get("camera_model", "pinhole")
    if model != "pinhole":
        raise InputError(f"{where}: camera_model: expected pinhole, got {kind(model)}, which Sightline does not know")
    size = values.image_size(table["resolution"], f"{where}: resolution")
    intrinsics = values.vector(table["intrinsics"], 4, f"{where}: intrinsics")
    return values.built(size, intrinsics[:2], intrinsics[2:], _lens(table, where), where_from, where)


def _lens(table: Mapping[str, Any], where: str) -> Distortion | None:
    model = table.get("distortion_model", "none")
    if model in ("none", None):
        return None
    if model not in ("radtan", "equidistant"):
        raise InputError(f"{where}: distortion_model: expected radtan, equidistant or none, got {kind(model)}")
    if table.get("distortion_coeffs") is None:
        raise InputError(f'{where}: the key "distortion_coeffs" is missing')
    coefficients = values.vector(table["distortion_coeffs"], 4, f"{where}: distortion_coeffs")
    return values.lens(coefficients, model == "equidistant", f"{where}: distortion_coeffs")


def _chained(tables: Mapping[str, Mapping[str, Any]], path: str) -> dict[str, Place | None]:
    """The place of every camera in the first one's frame."""
    places: dict[str, Place | None] = {}
    cam_from_first = np.eye(4)
    for step, (name, table) in enumerate(tables.items()):
        if step > 0:
            where = f'{path}: camera "{name}": T_cn_cnm1'
            if table.get("T_cn_cnm1") is None:
                raise InputError(f"{where}: is missing, so nothing says where this camera stands")
            cam_from_first = _rigid(table["T_cn_cnm1"], where) @ cam_from_first
        places[name] = Place(cam_from_first[:3, :3], cam_from_first[:3, 3])
    return places


def _rigid(value: Any, where: str) -> np.ndarray:
    matrix = values.array(value, where)
    if matrix.shape != (4, 4) or np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise InputError(f"{where}: expected a 4 × 4 matrix whose last row is 0 0 0 1, got {matrix.tolist()}")
    return matrix
