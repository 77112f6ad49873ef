"""Values of calibration files → parts of a camera: matrices, sizes, lenses by OpenCV's coefficients, places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import roma
import torch

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.strict import kind
from sightline.geometry.distortion import Distortion

_LARGEST_SIZE_PX = 10**6
_SKEW_PX = 0.01  # of K: what lies below moves no pixel by more
_COUNTS = (0, 4, 5, 8, 12, 14)
"""How many coefficients OpenCV's lens may have: (k1 k2 p1 p2) (k3) (k4 k5 k6) (s1…s4) (τx τy)."""


class Place(NamedTuple):
    """camera_from_world: x_cam = rotation · x_world + translation_m."""

    rotation: np.ndarray
    translation_m: np.ndarray

    @property
    def is_origin(self) -> bool:
        """Whether the camera's frame is the world's: a place that nobody measured."""
        return bool(np.abs(self.rotation - np.eye(3)).max() < 1e-9 and np.abs(self.translation_m).max() < 1e-9)


def array(value: Any, where: str) -> np.ndarray:
    """Finite numbers as a float64 array: one, a list, a list of rows, or OpenCV's {rows, cols, data}."""
    if isinstance(value, Mapping):
        return _stored_matrix(value, where)
    rows = value if isinstance(value, (list, tuple)) else [value]
    nested = [row for row in rows if isinstance(row, (list, tuple))]
    if nested:
        if len(nested) < len(rows) or len(set(map(len, nested))) > 1:
            raise InputError(f"{where}: expected rows of equal length")
        return np.array([[number(entry, where) for entry in row] for row in rows])
    return np.array([number(entry, where) for entry in rows])


def number(value: Any, where: str) -> float:
    """A finite number; text counts where it is one, for YAML takes 1e-5 for text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InputError(f"{where}: expected a number, got {kind(value)}")
    try:
        result = float(value)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: expected a number, got {kind(value)}") from error
    if not np.isfinite(result):
        raise InputError(f"{where}: expected a finite number, got {kind(value)}")
    return result


def vector(value: Any, length: int, where: str) -> np.ndarray:
    """`length` finite numbers, in a row or a column."""
    found = array(value, where)
    if found.size != length or max(found.shape) != length:
        raise InputError(f"{where}: expected {length} numbers, got {_shape(found)}")
    return found.reshape(length)


def matrix_3x3(value: Any, where: str) -> np.ndarray:
    """A 3 × 3 matrix, in rows or as nine numbers row by row."""
    found = array(value, where)
    if found.shape not in ((3, 3), (9,), (9, 1), (1, 9)):
        raise InputError(f"{where}: expected a 3 × 3 matrix, got {_shape(found)} numbers")
    return found.reshape(3, 3)


def camera_matrix(value: Any, where: str) -> np.ndarray:
    """K = (fx 0 cx; 0 fy cy; 0 0 1), px; four numbers are fx, fy, cx, cy."""
    found = array(value, where)
    if found.shape == (4,):
        return np.array([[found[0], 0.0, found[2]], [0.0, found[1], found[3]], [0.0, 0.0, 1.0]])
    k = matrix_3x3(value, where)
    if abs(k[0, 1]) > _SKEW_PX:
        raise InputError(f"{where}: expected square axes, got a skew of {k[0, 1]:g}, which Sightline's cameras lack")
    if np.abs(k[[1, 2, 2, 2], [0, 0, 1, 2]] - [0, 0, 0, 1]).max() > 1e-6:
        raise InputError(f"{where}: expected a camera matrix (fx 0 cx; 0 fy cy; 0 0 1), got {k.tolist()}")
    return k


def image_size(value: Any, where: str) -> tuple[float, float]:
    """Width and height, whole positive pixels."""
    size = vector(value, 2, where)
    if (size != size.round()).any() or size.min() < 1 or size.max() > _LARGEST_SIZE_PX:
        raise InputError(f"{where}: expected a positive width and height in pixels, got {size.tolist()}")
    return float(size[0]), float(size[1])


def rotation_matrix(value: Any, where: str) -> np.ndarray:
    """A rotation from its matrix, or from its rotation vector (axis times angle, rad)."""
    if array(value, where).size != 3:
        return matrix_3x3(value, where)
    return roma.rotvec_to_rotmat(torch.from_numpy(vector(value, 3, where))).numpy()


def lens(coefficients: np.ndarray, fisheye: bool, where: str) -> Distortion | None:
    """The lens of OpenCV's coefficients in OpenCV's order; None where all of a perspective lens are zero."""
    flat = coefficients.reshape(-1)
    if fisheye:
        if flat.size != 4:
            raise InputError(f"{where}: expected the 4 coefficients of a fisheye, got {flat.size}")
        return Distortion.create("kannala_brandt", flat)
    if flat.size not in _COUNTS:
        raise InputError(f"{where}: expected 4, 5, 8, 12 or 14 coefficients, got {flat.size}")
    if flat[12:].any():
        raise InputError(f"{where}: expected an untilted sensor, got a tilt of {flat[12:].tolist()}")
    if not flat.any():
        return None
    radial = np.concatenate([flat[:2], flat[4:8]])
    thin_prism = flat[8:12] if flat[8:12].any() else None
    return Distortion.create("brown_conrady", radial, flat[2:4], thin_prism)


def place(rotation: Any, translation: Any, where: str) -> Place:
    """A place from a rotation (matrix or vector) and a translation (m)."""
    return Place(rotation_matrix(rotation, f"{where}: rotation"), vector(translation, 3, f"{where}: translation"))


def check_metres(places: Mapping[str, Place | None], furthest_m: float, path: object) -> None:
    """Refuse translations that can only be millimetres: those of a camera further away than any camera is."""
    for name, found in places.items():
        distance = 0.0 if found is None else float(np.linalg.norm(found.translation_m))
        if distance > furthest_m:
            raise InputError(
                f'{path}: camera "{name}": expected a translation in metres, got one of {distance:.0f}; divide those '
                "of a calibration in millimetres by 1000"
            )


def known_places(places: Mapping[str, Place | None], placed: bool) -> dict[str, Place | None]:
    """Leave out places that say nothing of a world whose floor and gravity are known.

    Where one camera's frame is the world's, the others are placed relative to it: a rig, which stays only if `placed`.
    Where all are, nothing is known.
    """
    origins = [found is not None and found.is_origin for found in places.values()]
    if all(origins) or (any(origins) and not placed):
        return dict.fromkeys(places)
    return dict(places)


def built(
    size: Sequence[float],
    focal_px: Sequence[float] | np.ndarray,
    center_px: Sequence[float] | np.ndarray,
    distortion: Distortion | None,
    where_from: Place | None,
    where: str,
    *,
    pixel_origin: str = "center",
) -> Camera:
    """Make the camera; what cannot be one is an `InputError` that begins with `where`."""
    try:
        return Camera.create(
            size,
            focal_px,
            center_px,
            distortion=distortion,
            rotation=None if where_from is None else where_from.rotation,
            translation_m=None if where_from is None else where_from.translation_m,
            pixel_origin=pixel_origin,
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _stored_matrix(value: Mapping[str, Any], where: str) -> np.ndarray:
    """OpenCV's {rows, cols, data}, or ROS's; several channels stand side by side."""
    if "data" not in value:
        raise InputError(f'{where}: expected a matrix with "data", got {", ".join(map(str, value)) or "nothing"}')
    data = array(value["data"] if value["data"] is not None else [], where).reshape(-1)
    if "rows" not in value or "cols" not in value:
        return data
    rows, cols = (number(value[key], f"{where}.{key}") for key in ("rows", "cols"))
    if rows * cols == 0 and data.size == 0:
        return data
    if rows < 1 or cols < 1 or data.size % (rows * cols):
        raise InputError(f"{where}: expected {rows:g} × {cols:g} numbers, got {data.size}")
    return data.reshape(int(rows), -1)


def _shape(found: np.ndarray) -> str:
    return " × ".join(map(str, found.shape))
