"""MediaPipe's pose landmarks, as people commonly save them; MediaPipe itself writes no file.

JSON: a list of frames, an object with "frames", one picture, or a folder with a file of each picture. A frame is the 33
landmarks, or several people's; or an object that has them under `pose_landmarks`, `poseLandmarks`, `landmarks` or
`landmark` (protobuf); or null or [] where nobody was found. CSV: a line of each frame (and person). x and y are shares
of the picture's width and height, so their origin is its corner; confidence is the visibility. The landmarks:
MediaPipe's documentation, "pose landmark detection guide".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from sightline.errors import InputError
from sightline.formats import strict
from sightline.formats.detections.content import Dump, Part, Table, file_indices
from sightline.formats.detections.mediapipe_table import people_of_table
from sightline.formats.detections.people import Detections, Layout, Row, gather, whole_id
from sightline.skeleton import Skeleton

LANDMARK_KEYS: Final = ("pose_landmarks", "poseLandmarks", "landmarks", "landmark")
_FRAME_KEYS: Final = ("frame", "frame_index", "frame_id", "frame_number", "frameIndex", "frameId", "frameNumber")
_ID_KEYS: Final = ("person_id", "track_id", "id")
_TIME_KEYS: Final = ("timestamp_ms", "timestampMs")
_LAYOUT: Final = Layout(kind="mediapipe", sets={33: "mediapipe33"}, usual=33, score_range=(0.0, 1.0), shares=True)


def read_mediapipe(dump: Dump, asked: Skeleton | None) -> Detections:
    """The people of a file or folder; frames count from 0 where they do not say their own number."""
    if dump.is_folder:
        index = file_indices(dump)
        rows = [row for part in dump.parts for row in _people(part.content, index[part.name], part.where)]
        return gather(rows, index.values(), _LAYOUT, asked, dump.where)
    part = dump.parts[0]
    if isinstance(part.content, Table):
        rows, frames = people_of_table(part.content, part.where)
        return gather(rows, frames, _LAYOUT, asked, dump.where)
    entries = _entries(part)
    frames = _frame_numbers(entries)
    rows = [row for (entry, place), frame in zip(entries, frames, strict=True) for row in _people(entry, frame, place)]
    header = part.content if isinstance(part.content, dict) else {}
    fps = strict.get_number(header, "fps", part.where, _rate(entries, frames), above=0)
    layout = replace(_LAYOUT, image_size=_image_size(header, part.where), fps=fps)
    return gather(rows, frames, layout, asked, dump.where)


def _entries(part: Part) -> list[tuple[Any, str]]:
    """The frames of a file, each with its place; the file itself where it is one picture."""
    where, content = part.where, part.content
    if isinstance(content, dict) and "frames" in content:
        key, frames = "frames", strict.get_list(content, "frames", where)
    elif isinstance(content, list) and not (content and _is_landmark(content[0])):
        key, frames = "", content
    else:
        return [(content, where)]
    return [(frame, strict.place(where, key, number)) for number, frame in enumerate(frames)]


def _frame_numbers(entries: Sequence[tuple[Any, str]]) -> list[int]:
    """The number each frame says, or its place in the list; a number twice needs people with ids, one by one."""
    key = next((key for key in _FRAME_KEYS for entry, _ in entries if isinstance(entry, dict) and key in entry), None)
    if key is None:
        return list(range(len(entries)))
    numbers: list[int] = []
    seen: dict[int, bool] = {}
    for entry, place in entries:
        number = strict.get_integer(strict.as_object(entry, place), key, place, low=0)
        known = _who(entry, place) is not None
        if number in seen and not (known and seen[number]):
            raise InputError(f"{place}: expected each frame once, got {key} {number} twice")
        numbers.append(number)
        seen[number] = known
    return numbers


def _people(entry: Any, frame: int, where: str) -> list[Row]:
    """The people of one frame, in whichever of its forms it is."""
    if entry is None or entry == []:
        return []
    if isinstance(entry, dict):
        key = next((key for key in LANDMARK_KEYS if key in entry), None)
        if key is None:
            raise InputError(
                f"{where}: expected landmarks under one of {', '.join(LANDMARK_KEYS)}, got an object without"
            )
        who = _who(entry, where)
        found = _people(entry[key], frame, strict.place(where, key))
        return [row._replace(id=who) for row in found] if who is not None and len(found) == 1 else found
    if not isinstance(entry, list):
        raise InputError(f"{where}: expected 33 landmarks, a list of people, or null, got {strict.kind(entry)}")
    if _is_landmark(entry[0]):
        return [Row(frame, _landmarks(entry, where), None, where)]
    if not isinstance(entry[0], (list, dict)):
        raise InputError(
            f"{where}: expected 33 landmarks or a list of people, found {strict.kind(entry[0])} among them"
        )
    return [row for number, person in enumerate(entry) for row in _people(person, frame, f"{where}[{number}]")]


def _is_landmark(value: Any) -> bool:
    """Whether this is one point: an object with x, or a row of numbers."""
    if isinstance(value, dict):
        return "x" in value or "y" in value
    return isinstance(value, list) and bool(value) and not isinstance(value[0], (list, dict))


def _landmarks(marks: Sequence[Any], where: str) -> Float[np.ndarray, "joint 3"]:
    """x, y and visibility of one person; a landmark without visibility counts as seen."""
    if len(marks) != 33:
        raise InputError(f"{where}: expected the 33 landmarks of a body, got {len(marks)}")
    if isinstance(marks[0], list):
        rows = strict.as_array(list(marks), (33, None), where)
        if rows.shape[1] not in (4, 5):
            raise InputError(f"{where}: expected x, y, z and visibility of each landmark, got {rows.shape[1]} numbers")
        return rows[:, (0, 1, 3)]
    try:
        values = [(mark["x"], mark["y"], mark.get("visibility")) for mark in marks]
    except (KeyError, TypeError, AttributeError):
        for number, mark in enumerate(marks):
            strict.check_keys(strict.as_object(mark, f"{where}[{number}]"), ("x", "y"), mark, f"{where}[{number}]")
        raise
    flat = list(chain.from_iterable((x, y, 1.0 if seen is None else seen) for x, y, seen in values))
    return strict.as_array(flat, (None,), where).reshape(-1, 3)


def _who(entry: Mapping[str, Any], where: str) -> int | None:
    key = next((key for key in _ID_KEYS if entry.get(key) is not None), "id")
    return whole_id(entry.get(key), f"{where}.{key}")


def _image_size(header: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    """The size of the pictures where the file says it, beside its frames."""
    if isinstance(header.get("image_size"), list):
        width, height = strict.get_array(header, "image_size", (2,), where).tolist()
        if width < 1 or height < 1 or width % 1 or height % 1:
            raise InputError(f"{where}: image_size: expected a whole width and height, got {width:g} × {height:g}")
        return int(width), int(height)
    for width, height in (("image_width", "image_height"), ("width", "height")):
        if header.get(width) is not None and header.get(height) is not None:
            return strict.get_integer(header, width, where, low=1), strict.get_integer(header, height, where, low=1)
    return None


def _rate(entries: Sequence[tuple[Any, str]], frames: Sequence[int]) -> float | None:
    """Frames per second from the times the frames say (ms), where these are even; None else."""
    times = [entry.get(key) for entry, _ in entries if isinstance(entry, dict) for key in _TIME_KEYS if key in entry]
    if len(times) < 2 or len(times) != len(frames) or not {type(time) for time in times} <= {int, float}:
        return None
    steps, spans = np.diff(frames).astype(float), np.diff(np.array(times, dtype=np.float64))
    if (steps <= 0).any() or (spans <= 0).any() or not np.isfinite(spans).all():
        return None
    mean = spans.sum() / steps.sum()
    even = np.abs(spans / steps - mean) <= max(1.5, 0.1 * mean)  # times are often cut to whole milliseconds
    return round(1000 / float(mean), 3) if even.all() else None
