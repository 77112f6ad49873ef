"""Sightline: absolute 3D human poses in metres, in the camera's own frame.

The public names are loaded when they are first asked for, so that `import sightline` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline.camera import Camera
    from sightline.detect.protocol import Detection, Detector
    from sightline.errors import InputError, UsageError
    from sightline.formats.bvh import read_bvh
    from sightline.formats.camera import read_camera, read_cameras, write_camera
    from sightline.formats.keypoints import read_keypoints, write_keypoints
    from sightline.formats.poses import read_poses, write_poses
    from sightline.pipeline import Lifter, lift
    from sightline.prediction import predict
    from sightline.scoring import evaluate
    from sightline.skeleton import Skeleton, conversion, get_skeleton
    from sightline.structures import (
        KeypointFrame,
        Keypoints,
        Person,
        PersonKeypoints,
        PoseFrame,
        Poses,
        Scale,
    )
    from sightline.triangulate import triangulate_keypoints
    from sightline.viewer import write_movie, write_page, write_picture

__version__ = "0.1.0"

__all__ = [
    "Camera",
    "Detection",
    "Detector",
    "InputError",
    "KeypointFrame",
    "Keypoints",
    "Lifter",
    "Person",
    "PersonKeypoints",
    "PoseFrame",
    "Poses",
    "Scale",
    "Skeleton",
    "UsageError",
    "__version__",
    "conversion",
    "evaluate",
    "get_skeleton",
    "lift",
    "predict",
    "read_bvh",
    "read_camera",
    "read_cameras",
    "read_keypoints",
    "read_poses",
    "triangulate_keypoints",
    "write_camera",
    "write_keypoints",
    "write_movie",
    "write_page",
    "write_picture",
    "write_poses",
]

_ROOMS = {
    "camera": ("Camera",),
    "detect.protocol": ("Detection", "Detector"),
    "errors": ("InputError", "UsageError"),
    "formats.bvh": ("read_bvh",),
    "formats.camera": ("read_camera", "read_cameras", "write_camera"),
    "formats.keypoints": ("read_keypoints", "write_keypoints"),
    "formats.poses": ("read_poses", "write_poses"),
    "pipeline": ("Lifter", "lift"),
    "prediction": ("predict",),
    "scoring": ("evaluate",),
    "skeleton": ("Skeleton", "conversion", "get_skeleton"),
    "structures": ("KeypointFrame", "Keypoints", "Person", "PersonKeypoints", "PoseFrame", "Poses", "Scale"),
    "triangulate": ("triangulate_keypoints",),
    "viewer": ("write_movie", "write_page", "write_picture"),
}
"""Module → the public names that live in it."""

_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name from its module, once (PEP 562)."""
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'sightline' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"sightline.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
