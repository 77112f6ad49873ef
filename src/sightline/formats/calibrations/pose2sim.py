"""Pose2Sim calibrations (TOML; those of Anipose and Caliscope have the same form): one table per camera.

A table has `size` (w, h), `matrix` (3 × 3), `distortions` in OpenCV's order, `fisheye`, and the camera's place
camera_from_world as `rotation` (rotation vector, rad) and `translation` (m). Pixels count from the first one's centre.
The world's z is up, as Pose2Sim sets it. Where a camera stands at the world's own origin, looking along z, there was
no world yet: the others are placed relative to it, and their places are read only where the caller says so (`placed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.calibrations import _values as values
from sightline.formats.calibrations._content import Content, read_content
from sightline.formats.calibrations._values import Place
from sightline.formats.strict import kind

_FURTHEST_M = 500.0  # a camera from the middle of its world; Anipose's millimetres of a room are thousands


def read_pose2sim(path: str | Path, *, placed: bool = False) -> dict[str, Camera]:
    """Read the cameras of a Pose2Sim calibration by their names (float64, corner origin, metres).

    `placed`: whether cameras placed relative to one of them keep their places. `InputError` for a file that is no such
    calibration, gives two cameras one name, or has one that cannot be.
    """
    return cameras_from_pose2sim(read_content(path), path, placed=placed)


def is_pose2sim(content: Content) -> bool:
    """Whether a parsed file has tables of cameras."""
    return content.syntax == "toml" and bool(_tables(content.value))


def cameras_from_pose2sim(content: Content, path: str | Path, *, placed: bool = False) -> dict[str, Camera]:
    """Make the cameras of a parsed file; see `read_pose2sim`."""
    if not is_pose2sim(content):
        raise InputError(f"{path}: expected a Pose2Sim calibration, found no table with a camera's matrix and size")
    tables: dict[str, Mapping[str, Any]] = {}
    for key, table in _tables(content.value).items():
        name = table.get("name", key)
        if not isinstance(name, str) or not name:
            raise InputError(f"{path}: {key}.name: expected text, got {kind(name)}")
        if name in tables:
            raise InputError(f'{path}: the camera "{name}" stands twice in the file')
        tables[name] = table
    places = {name: _place(table, f'{path}: camera "{name}"') for name, table in tables.items()}
    places = values.known_places(places, placed)
    values.check_metres(places, _FURTHEST_M, path)
    return {name: _camera(table, places[name], f'{path}: camera "{name}"') for name, table in tables.items()}


def _tables(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The tables that describe a camera, among others such as `[metadata]`."""
    return {
        key: table
        for key, table in content.items()
        if isinstance(table, dict) and ("matrix" in table or "size" in table)
    }


def _camera(table: Mapping[str, Any], where_from: Place | None, where: str) -> Camera:
    for key in ("size", "matrix"):
        if key not in table:
            raise InputError(f'{where}: the key "{key}" is missing')
    fisheye = table.get("fisheye", False)
    if not isinstance(fisheye, bool):
        raise InputError(f"{where}: fisheye: expected true or false, got {kind(fisheye)}")
    size = values.image_size(table["size"], f"{where}: size")
    matrix = values.camera_matrix(table["matrix"], f"{where}: matrix")
    coefficients = values.array(table.get("distortions", [0.0] * 4), f"{where}: distortions")
    lens = values.lens(coefficients, fisheye, f"{where}: distortions")
    return values.built(size, matrix[[0, 1], [0, 1]], matrix[:2, 2], lens, where_from, where)


def _place(table: Mapping[str, Any], where: str) -> Place | None:
    given = [key for key in ("rotation", "translation") if key in table]
    if not given:
        return None
    if len(given) == 1:
        raise InputError(f"{where}: expected rotation and translation, or neither, got only {given[0]}")
    return values.place(table["rotation"], table["translation"], where)
