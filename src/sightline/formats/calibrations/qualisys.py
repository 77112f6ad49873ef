"""Qualisys calibrations (`.qca.txt`, XML): every camera's lens, and its place in the world.

Facts of the format, checked on real video: intrinsics are in 1/64 px with the origin at the first pixel's centre of the
whole sensor, of which `fov_video` is the part on the picture. Distortion coefficients are dimensionless (k1, k2, k3
and p1, p2 of the Brown–Conrady lens). `transform` holds a matrix M, row by row, and the camera's centre C in mm:
x_cam = R (x_world − C) with R = diag(1, −1, −1) M. World z is up.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.calibrations._content import Content, read_content
from sightline.geometry.distortion import Distortion

_UNITS_PER_PX = 64.0
_AXES = np.diag([1.0, -1.0, -1.0])


def read_qualisys(path: str | Path) -> dict[str, Camera]:
    """Read the active cameras of a Qualisys calibration by their serials (float64, corner origin, metres).

    They are as the sensor sees: of a video that was exported turned, take `quarter_turned`. `InputError` for a file
    that is not such a calibration, names one camera twice, or gives one skew.
    """
    return cameras_from_qualisys(read_content(path), path)


def is_qualisys(content: Content) -> bool:
    """Whether a parsed file is a calibration of Qualisys, whatever cameras it holds."""
    return content.syntax == "xml" and (
        content.value.tag == "calibration" or content.value.find("cameras/camera") is not None
    )


def cameras_from_qualisys(content: Content, path: str | Path) -> dict[str, Camera]:
    """Make the cameras of a parsed file; see `read_qualisys`."""
    if not is_qualisys(content):
        raise InputError(f"{path}: expected a Qualisys calibration, found no <calibration> in it")
    cameras: dict[str, Camera] = {}
    for number, element in enumerate(content.value.findall("cameras/camera")):
        if element.get("active", "1") == "0":
            continue
        serial = element.get("serial")
        if not serial:
            raise InputError(f"{path}: camera {number + 1} has no serial")
        if serial in cameras:
            raise InputError(f'{path}: the camera "{serial}" stands twice in the file')
        cameras[serial] = _camera(element, f'{path}: camera "{serial}"')
    if not cameras:
        raise InputError(f"{path}: expected a Qualisys calibration, found no active camera in it")
    return cameras


def _camera(element: ElementTree.Element, where: str) -> Camera:
    left, top, right, bottom = _numbers(element, "fov_video", ("left", "top", "right", "bottom"), where)
    names = ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
    fu, fv, cu, cv = (value / _UNITS_PER_PX for value in _numbers(element, "intrinsic", names, where))
    if _numbers(element, "intrinsic", ("skew",), where, default="0") != [0.0]:
        raise InputError(f"{where}: expected square axes, but its lens has skew, which Sightline's cameras do not have")
    radial = _numbers(element, "intrinsic", tuple(f"radialDistortion{n}" for n in (1, 2, 3)), where)
    tangential = _numbers(element, "intrinsic", tuple(f"tangentalDistortion{n}" for n in (1, 2)), where)
    entries = _numbers(element, "transform", tuple(f"r{row}{column}" for row in "123" for column in "123"), where)
    rotation = _AXES @ np.reshape(entries, (3, 3))
    centre_m = np.array(_numbers(element, "transform", ("x", "y", "z"), where)) / 1000.0
    try:
        return Camera.create(
            (right - left + 1.0, bottom - top + 1.0),
            (fu, fv),
            (cu - left, cv - top),
            distortion=Distortion.create("brown_conrady", radial, tangential),
            rotation=rotation,
            translation_m=-rotation @ centre_m,
            pixel_origin="center",
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _numbers(
    camera: ElementTree.Element, tag: str, names: tuple[str, ...], where: str, default: str | None = None
) -> list[float]:
    """Return the named attributes of a camera's child as finite numbers."""
    child = camera.find(tag)
    if child is None:
        raise InputError(f"{where}: <{tag}> is missing")
    numbers = []
    for name in names:
        text = child.get(name, default)
        if text is None:
            raise InputError(f"{where}: {name} of <{tag}> is missing")
        try:
            number = float(text)
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            raise InputError(f"{where}: {name} of <{tag}> is {text!r}, expected a finite number")
        numbers.append(number)
    return numbers
