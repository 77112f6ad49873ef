"""Camera files: Sightline's own JSON (docs/schemas/camera.schema.json), and the calibrations of other tools.

The door for all of them is `read_camera`, or `read_cameras` for every camera of a file; what a file is, its content
says, whatever its name. `write_camera` writes the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats import strict
from sightline.formats.calibrations import colmap, kalibr, opencv, pose2sim, qualisys
from sightline.formats.calibrations._content import KNOWN, Content, read_content
from sightline.geometry.distortion import Distortion, Model

Up = Literal["z", "-z", "y", "-y"]
"""Which axis of a file's world points up."""

_RADIAL = {"brown_conrady": (0, 6), "human36m": (0, 3), "kannala_brandt": (4, 4)}
"""Fewest and most radial coefficients that the JSON takes, per lens model."""

_ZUP_FROM_FILE: dict[str, list[list[float]]] = {
    "z": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "-z": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "y": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "-y": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
}
"""The turns that bring each axis up to z; x stays."""

_NAMES_SHOWN = 12


def read_camera(
    path: str | Path, name: str | None = None, *, image_size: Sequence[float] | None = None, up: str | None = None
) -> Camera:
    """Read one camera (float64, corner origin, metres) from a file of any kind that `read_cameras` takes.

    `name` chooses a camera of a file with several: a Qualisys camera's serial, such as "cam01", a name in a Pose2Sim
    file, an image of COLMAP's; a JSON file's one camera is named by the file. `InputError` for a bad file;
    `UsageError`, listing the names, for a missing or unknown one.
    """
    cameras = read_cameras(path, image_size=image_size, up=up)
    if name is None and len(cameras) == 1:
        return next(iter(cameras.values()))
    if name is None:
        raise UsageError(f"{path}: holds several cameras, name one of {_listed(cameras)}")
    if name not in cameras:
        raise UsageError(f'{path}: has no camera "{name}", only {_listed(cameras)}')
    return cameras[name]


def read_cameras(
    path: str | Path, *, image_size: Sequence[float] | None = None, up: str | None = None
) -> dict[str, Camera]:
    """Read every camera of a file by its name: Sightline's JSON, OpenCV, ROS, Pose2Sim, COLMAP, Kalibr or Qualisys.

    Args:
        path: the file, or COLMAP's folder.
        image_size: width and height (px) of the calibrated picture, for OpenCV files that do not say it; not used
            where the file does.
        up: which axis of the file's world points up: "z", "-z", "y" or "-y"; the world is turned so that z does.
            Cameras that a file only places relative to one of them (Kalibr, a stereo rig of OpenCV) have no world, and
            get their places only with `up`: the first camera's frame is the world then, mostly "-y", its floor unknown.

    Raises:
        InputError: for a file of no kind, or of one but broken.
        UsageError: for an unknown `up`, or one beside a file that places no camera.
    """
    if up is not None and up not in get_args(Up):
        raise UsageError(f"up: expected one of {', '.join(get_args(Up))}, got {up!r}")
    path = Path(path)
    cameras = _read(path, image_size, placed=up is not None)
    if up is None:
        return cameras
    if not any(camera.has_world for camera in cameras.values()):
        raise UsageError(f"up: {path} gives its cameras no place in a world that could be turned; leave it out")
    return {name: _with_z_up(camera, up) for name, camera in cameras.items()}


def _read(path: Path, image_size: Sequence[float] | None, *, placed: bool) -> dict[str, Camera]:
    """Tell the kinds of files apart."""
    if path.is_dir():
        return colmap.read_colmap(path)
    content = read_content(path)
    if content.syntax in ("colmap", "colmap_images"):
        return colmap.read_colmap(path)
    if pose2sim.is_pose2sim(content):
        return pose2sim.cameras_from_pose2sim(content, path, placed=placed)
    if kalibr.is_kalibr(content):
        return kalibr.cameras_from_kalibr(content, path, placed=placed)
    if qualisys.is_qualisys(content):
        return qualisys.cameras_from_qualisys(content, path)
    if opencv.is_opencv(content) and not _is_own(content):
        return opencv.cameras_from_opencv(content, path, image_size=image_size, placed=placed)
    if content.syntax == "json":
        return {path.stem: camera_from_json(content.value, str(path))}
    raise InputError(f"{path}: {_no_camera(content)}")


def _is_own(content: Content) -> bool:
    return content.syntax == "json" and "focal_px" in content.value


def _no_camera(content: Content) -> str:
    """Why a well-formed file is no camera file."""
    if content.syntax == "xml":
        tags = "<calibration> or <opencv_storage>"
        return (
            f"expected a Qualisys calibration or OpenCV's XML, which begin with {tags}, got <{content.value.tag:.40}>"
        )
    names = ", ".join(map(str, list(content.value)[:8])) or "nothing"
    return f"expected a camera file, which is {KNOWN}, but this {content.syntax.upper()} holds only {names:.120}"


def _with_z_up(camera: Camera, up: str) -> Camera:
    if camera.rotation is None:
        return camera
    zup_from_file = camera.rotation.new_tensor(_ZUP_FROM_FILE[up])
    return replace(camera, rotation=camera.rotation @ zup_from_file.mT)


def _listed(cameras: Mapping[str, Camera]) -> str:
    names = list(cameras)
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


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
