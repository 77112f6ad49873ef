"""A page to open: one HTML file without any network; the scene in it turns, plays and says how far people are."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.atomic import atomic_path
from sightline.structures import Person, PoseFrame, Poses
from sightline.viewer.figure import machinery_words, scale_words, spoken
from sightline.viewer.frustum import horizontal_fov_rad, projected
from sightline.viewer.ground import left_right
from sightline.viewer.overlay import check_background
from sightline.viewer.scene import tiles
from sightline.viewer.stage import Stage, usual_step
from sightline.viewer.style import GHOST, HAZE, PALETTE, PERSON_COLOURS, Colour, as_hex, person_colours

_LONGEST_BACKDROP_PX: Final = 1280
_DEFAULT_FPS: Final = 25.0
_SCRIPTS: Final = ("draw.js", "doubt.js", "scene.js", "panels.js", "page.js")


def write_page(
    poses: Poses,
    path: str | Path,
    *,
    background_png: str | Path | bytes | UInt8[np.ndarray, "height width 3"] | None = None,
    background_frame: int = 0,
) -> None:
    """Write a film (or one picture) as a single HTML page that needs no network and no other file.

    The page holds the poses rounded to millimetres and tenths of a pixel (about 0.6 kB per
    person and frame, 0.2 kB more with stated uncertainty and 0.3 kB for every other pose), the 3D
    view, the picture plane, the top view, the distances and, for films, a timeline. `background_png` is the image (an
    array, the bytes of an image file, or its path) of the frame at position `background_frame` in `poses.frames`, where
    the page opens; it is embedded at up to 1280 px and shown pale behind other frames. Raises `InputError` where the
    image cannot be read, `ValueError` for a wrong shape or position and poses without frames.
    """
    if not poses.frames:
        raise ValueError("poses: expected at least one frame to show, got none")
    if not 0 <= background_frame < len(poses.frames):
        raise ValueError(f"background_frame: expected 0 to {len(poses.frames) - 1}, got {background_frame}")
    payload = _payload(poses)
    payload["start"] = background_frame
    if background_png is not None:
        picture = _picture(background_png)
        camera = poses.camera_of(poses.frames[background_frame])
        check_background(picture, (float(camera.image_size[0]), float(camera.image_size[1])))
        payload["backdrop"] = {"image": _embedded(picture), "frame": background_frame}
    with atomic_path(path) as temporary:
        temporary.write_text(_filled(payload), encoding="utf-8")


def _payload(poses: Poses) -> dict[str, Any]:
    """Everything the page's scripts need, as plain JSON values."""
    stage = Stage.of(poses)
    skeleton, ground = poses.skeleton, stage.ground
    cameras: list[Camera] = [poses.camera]
    frames = [_frame(stage, frame, cameras) for frame in poses.frames]
    named = next((frame.file for frame in poses.frames if frame.file), None)
    step, low, high = tiles(stage)
    corners = stage.bounds_m
    reach = float(np.linalg.norm(stage.cloud_ground, axis=-1).max()) if len(stage.cloud_ground) else 3.0
    return {
        "title": named or "Sightline",
        "scale": scale_words(poses.scale),
        "machinery": machinery_words(poses, poses.camera),
        "fps": _DEFAULT_FPS if poses.fps is None else poses.fps / usual_step(poses),
        "trail": round(stage.trail_frames),
        "palette": {name: as_hex(colour) for name, colour in dataclasses.asdict(PALETTE).items()},
        "first": as_hex(PERSON_COLOURS[0]),
        "skeleton": {
            "parents": list(skeleton.parents),
            "sides": list(stage.sides),
            "root": skeleton.root,
            "rootName": spoken(skeleton.joints[skeleton.root]),
            "head": skeleton.joints.index("Head") if "Head" in skeleton.joints else -1,
            "pairs": [rows for part in ("Shoulder", "Hip") if (rows := left_right(skeleton, part))],
        },
        "ground": {
            "floor": ground.has_floor,
            "words": f"{ground.words}  ·  {step:g} m grid",
            "height": round(ground.camera_height_m, 4),
            "turn": np.round(ground.ground_from_cam, 7).tolist(),
            "axis": np.round(ground.turned(np.array([0.0, 0.0, 1.0])), 6).tolist(),
        },
        "grid": {"step": step, "low": low, "high": high},
        "bounds": {"low": np.round(corners[0], 3).tolist(), "high": np.round(corners[1], 3).tolist()},
        "reach": round(1.05 * reach, 2),
        "cameras": [_camera(stage, camera) for camera in cameras],
        "frames": frames,
        "haze": HAZE,
        "ghost": GHOST,
        "spreadWords": poses.model.sigma_in_words,
    }


def _frame(stage: Stage, frame: PoseFrame, cameras: list[Camera]) -> dict[str, Any]:
    """One frame: index, time, file, the position of its camera in `cameras` (which grows), people."""
    camera = stage.camera_of(frame)
    if all(camera is not known for known in cameras):
        cameras.append(camera)
    position = next(k for k, known in enumerate(cameras) if known is camera)
    colours = person_colours([person.id for person in frame.people], stage.colours)
    return {
        "i": frame.index,
        "t": None if frame.time_s is None else round(frame.time_s, 4),
        "f": frame.file,
        "c": position,
        "p": [_person(stage, camera, person, colour) for person, colour in zip(frame.people, colours, strict=True)],
    }


def _person(stage: Stage, camera: Camera, person: Person, colour: Colour) -> dict[str, Any]:
    """One person: id, colour, joints (mm, ground frame), keypoints and reprojected joints (px), all flat.

    Where they are stated also `s`, half-widths along the camera's axes (mm), and `h`, other poses with their scores.
    """
    shown: dict[str, Any] = {
        "id": person.id,
        "c": as_hex(colour),
        "j": _whole(1000.0 * stage.ground.placed(person.joints_cam_m)),
        "k": _tenths(person.keypoints_px),
        "r": _tenths(projected(camera, person.joints_cam_m)),
    }
    if person.sigma_m is not None:
        shown["s"] = _whole(1000.0 * person.sigma_m)
    if person.hypotheses:
        shown["h"] = [
            {"w": f"{each.score:.2g}", "j": _whole(1000.0 * stage.ground.placed(each.joints_cam_m))}
            for each in person.hypotheses
        ]
    return shown


def _camera(stage: Stage, camera: Camera) -> dict[str, Any]:
    """A camera's picture size, small frustum (ground frame, m) and field of view from left to right (rad)."""
    return {
        "size": [round(v) for v in camera.image_size.tolist()],
        "rim": np.round(stage.rim(camera), 3).tolist(),
        "fan": [round(v, 4) for v in stage.fan(camera)],
        "halfTan": round(float(np.tan(min(horizontal_fov_rad(camera) / 2.0, 1.2))), 4),
    }


def _whole(points: Float[np.ndarray, "joint axis"]) -> list[int | None]:
    return [round(value) if np.isfinite(value) else None for value in points.ravel().tolist()]


def _tenths(points_px: Float[np.ndarray, "joint 2"]) -> list[float | None] | None:
    """Flat coordinates (px) in tenths, or None where there is no point at all."""
    if not np.isfinite(points_px).any():
        return None
    return [round(value, 1) if np.isfinite(value) else None for value in points_px.ravel().tolist()]


def _picture(source: str | Path | bytes | np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """The image as RGB, from an array, a file's bytes or its path."""
    if isinstance(source, np.ndarray):
        return source
    name = "background_png" if isinstance(source, bytes) else str(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: cannot be read as an image ({error})") from error


def _embedded(picture: UInt8[np.ndarray, "height width 3"]) -> str:
    """The image as a data address: JPEG, its longer side at most 1280 px."""
    image, stream = Image.fromarray(np.ascontiguousarray(picture)), io.BytesIO()
    image.thumbnail((_LONGEST_BACKDROP_PX, _LONGEST_BACKDROP_PX))
    image.save(stream, format="JPEG", quality=82, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _filled(payload: dict[str, Any]) -> str:
    """The page's text: the template with style, palette, poses and scripts in their places."""
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    parts = {
        "title": html.escape(f"{payload['title']} – Sightline"),
        "palette": ":root { " + " ".join(f"--{name}: {value};" for name, value in payload["palette"].items()) + " }",
        "style": _asset("page.css"),
        "script": "\n".join(_asset(name) for name in _SCRIPTS),
        "payload": text.replace("<", "\\u003c"),  # no text in the poses can end the script element
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return (resources.files("sightline.viewer") / "assets" / name).read_text(encoding="utf-8")
