"""Whose keypoints a file has, told by its content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from sightline.errors import InputError
from sightline.formats import strict
from sightline.formats.detections.alphapose import is_picture
from sightline.formats.detections.content import OPENPOSE_ENDING, Dump, Table
from sightline.formats.detections.mediapipe import LANDMARK_KEYS

Kind = Literal["sightline", "coco", "openpose", "mmpose", "alphapose", "mediapipe"]
KINDS: Final[tuple[Kind, ...]] = ("sightline", "coco", "openpose", "mmpose", "alphapose", "mediapipe")
"""The tools whose keypoints can be read; the first is Sightline's own format."""

_OBJECTS: Final[tuple[tuple[Kind, tuple[str, ...]], ...]] = (
    ("sightline", ("skeleton", "pixel_origin")),
    ("coco", ("annotations",)),
    ("mmpose", ("instance_info", "predictions")),
    ("openpose", ("people",)),
    ("alphapose", ("bodies",)),
    ("mediapipe", LANDMARK_KEYS),
)
"""Kind → the keys of which an object of that kind has one."""

_ENTRIES: Final[tuple[tuple[Kind, tuple[str, ...]], ...]] = (
    ("mmpose", ("keypoint_scores", "instances")),
    ("alphapose", ("idx", "box")),
    ("coco", ("image_id",)),
    ("mmpose", ("keypoints",)),
    ("mediapipe", (*LANDMARK_KEYS, "x")),
)
"""Kind → the keys of which a list's entries have one."""


def told_kind(dump: Dump) -> Kind:
    """The kind of a file or folder; `InputError` that says what was seen where its content does not tell."""
    for part in dump.parts:
        kind = _kind(part.content)
        if kind is not None:
            return kind
    part = dump.parts[0]
    if dump.is_folder and part.name.endswith(OPENPOSE_ENDING):
        return "openpose"
    raise InputError(
        f"{part.where}: cannot tell whose keypoints these are: expected an object {{…}} of Sightline, or a file of "
        f"COCO, OpenPose, MMPose, AlphaPose or MediaPipe, got {_seen(part.content)}; if it is one of them, say which "
        f"(kind, or --kind on the command line: {', '.join(KINDS)})"
    )


def _kind(content: Any) -> Kind | None:
    if isinstance(content, Table):
        return "mediapipe"
    if isinstance(content, dict):
        return _kind_of_object(content)
    if isinstance(content, list):
        entry = next(_telling(content), None)
        if isinstance(entry, dict):
            return next((kind for kind, keys in _ENTRIES if any(key in entry for key in keys)), None)
        return "mediapipe" if _is_row(entry) else None
    return None


def _kind_of_object(content: dict[str, Any]) -> Kind | None:
    if str(content.get("version", "")).startswith("AlphaPose"):
        return "alphapose"
    kind: Kind | None = next((kind for kind, keys in _OBJECTS if any(key in content for key in keys)), None)
    if kind is None and isinstance(content.get("frames"), list):
        return "mediapipe" if _kind(content["frames"]) == "mediapipe" else "sightline"
    if kind is None and content and all(is_picture(picture) for picture in content.values()):
        return "alphapose"
    return kind


def _telling(content: list[Any]) -> Iterator[Any]:
    """What lists in lists hold at last: their objects, and rows of numbers; null and empty lists tell nothing."""
    for entry in content:
        if isinstance(entry, list) and not _is_row(entry):
            yield from _telling(entry)
        elif entry is not None and entry != []:
            yield entry


def _is_row(value: Any) -> bool:
    """Whether this is a list of four or five numbers, as a landmark."""
    return isinstance(value, list) and len(value) in (4, 5) and {type(number) for number in value} <= {int, float}


def _seen(content: Any) -> str:
    if isinstance(content, dict):
        keys = ", ".join(f'"{key}"' for key in list(content)[:6])
        return f"an object with the keys {keys}" if keys else "an empty object"
    if isinstance(content, list):
        entry = next(_telling(content), None)
        return f"{strict.kind(content)} that holds {_seen(entry)}" if entry is not None else "a list without anybody"
    return strict.kind(content)
