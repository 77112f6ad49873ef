"""Camera files: Sightline's own JSON (docs/schemas/camera.schema.json), and Qualisys calibrations.

The door for all of them is `read_camera`, or `read_cameras` for every camera of a file; `write_camera` writes the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats import strict
from sightline.formats.qualisys import read_qualisys
from sightline.geometry.distortion import Distortion, Model

_RADIAL = {"brown_conrady": (0, 6), "human36m": (0, 3), "kannala_brandt": (4, 4)}
"""Fewest and most radial coefficients that the JSON takes, per lens model."""


def read_camera(path: str | Path, name: str | None = None) -> Camera:
    """Read one camera (float64, corner origin, metres) from a JSON or Qualisys file.

    `name` chooses a camera of a file with several: a Qualisys camera's serial, such as "cam01"; a JSON file's one
    camera is named by the file. `InputError` for a bad file; `UsageError`, listing the names, for a missing or unknown
    one.
    """
    cameras = read_cameras(path)
    if name is None and len(cameras) == 1:
        return next(iter(cameras.values()))
    if name is None:
        raise UsageError(f"{path}: holds several cameras, name one of {', '.join(cameras)}")
    if name not in cameras:
        raise UsageError(f'{path}: has no camera "{name}", only {", ".join(cameras)}')
    return cameras[name]


def read_cameras(path: str | Path) -> dict[str, Camera]:
    """Read every camera of a file by its name: a Qualisys camera's serial; of a JSON file, its name without suffix."""
    path = Path(path)
    if _is_xml(path):
        return read_qualisys(path)
    return {path.stem: camera_from_json(strict.load_json(path), str(path))}


def write_camera(camera: Camera, path: str | Path) -> None:
    """Write a single camera as JSON, all or nothing; every digit survives."""
    strict.write_json(camera_to_json(camera), path, indent=2)


def camera_to_json(camera: Camera) -> dict[str, Any]:
    """Return a single camera as the JSON object of docs/schemas/camera.schema.json; `ValueError` for a batch."""
    if camera.batch_shape:
        raise ValueError(f"camera: expected a single one to write, got a batch of {tuple(camera.batch_shape)}")
    content: dict[str, Any] = {
        "image_size": [int(n) if n.is_integer() else n for n in camera.image_size.tolist()],
        "focal_px": camera.focal_px.tolist(),
        "center_px": camera.center_px.tolist(),
        "pixel_origin": "corner",
        "distortion": None if camera.distortion is None else _distortion_to_json(camera.distortion),
    }
    if camera.rotation is not None and camera.translation_m is not None:
        content["camera_from_world"] = {
            "rotation": camera.rotation.tolist(),
            "translation_m": camera.translation_m.tolist(),
        }
    return content


def camera_from_json(obj: Mapping[str, Any], where: str) -> Camera:
    """Make a camera (float64) from its JSON object; `InputError` that begins with `where` for whatever is wrong."""
    required = ("image_size", "focal_px", "center_px", "pixel_origin")
    strict.check_keys(obj, required, ("distortion", "camera_from_world"), where)
    values: dict[str, Any] = {key: strict.get_array(obj, key, (2,), where) for key in required[:3]}
    values["pixel_origin"] = strict.get_choice(obj, "pixel_origin", ("corner", "center"), where)
    lens = strict.get_object(obj, "distortion", where, None)
    if lens is not None:
        values["distortion"] = _distortion_from_json(lens, strict.place(where, "distortion"))
    world = strict.get_object(obj, "camera_from_world", where, None)
    if world is not None:
        world_where = strict.place(where, "camera_from_world")
        strict.check_keys(world, ("rotation", "translation_m"), (), world_where)
        values["rotation"] = strict.get_array(world, "rotation", (3, 3), world_where)
        values["translation_m"] = strict.get_array(world, "translation_m", (3,), world_where)
    try:
        return Camera.create(**values)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _distortion_to_json(lens: Distortion) -> dict[str, Any]:
    fewest, _ = _RADIAL[lens.model]
    k = lens.radial.tolist()
    content: dict[str, Any] = {"model": lens.model, "k": k + [0.0] * (fewest - len(k))}
    if not lens.is_fisheye:
        content["p"] = _or_zeros(lens.tangential)
    if lens.thin_prism is not None:
        content["s"] = lens.thin_prism.tolist()
    return content


def _or_zeros(tangential: Tensor | None) -> list[float]:
    return [0.0, 0.0] if tangential is None else tangential.tolist()


def _distortion_from_json(obj: Mapping[str, Any], where: str) -> Distortion:
    model = strict.get_choice(obj, "model", get_args(Model), where)
    optional = {"brown_conrady": ("p", "s"), "human36m": ("p",), "kannala_brandt": ()}[model]
    strict.check_keys(obj, ("model", "k"), optional, where)
    radial = strict.get_array(obj, "k", (None,), where)
    fewest, most = _RADIAL[model]
    if not fewest <= len(radial) <= most:
        expected = f"{most}" if fewest == most else f"at most {most}"
        raise InputError(f"{where}.k: expected {expected} numbers for {model}, got {len(radial)}")
    tangential = strict.get_array(obj, "p", (2,), where, None)
    return Distortion.create(model, radial, tangential, strict.get_array(obj, "s", (4,), where, None))


def _is_xml(path: Path) -> bool:
    """Whether the file's text begins like XML; what cannot be read is an `InputError`."""
    try:
        with open(path, "rb") as file:
            return file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
