"""Files of 2D keypoints: what any detector saw, in Sightline's own JSON (docs/schemas/keypoints.schema.json)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from sightline.errors import InputError
from sightline.formats import strict
from sightline.skeleton import Skeleton, get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

_DECIMALS: Final = (3, 3, 4)  # x and y to a thousandth of a pixel, confidence to 0.0001
_ORIGIN_SHIFT_PX: Final = {"corner": 0.0, "center": 0.5}


def read_keypoints(path: str | Path) -> Keypoints:
    """Read a keypoint file; pixels come out with corner origin, whichever the file has.

    null, or any place with confidence 0, is a missing keypoint: NaN with confidence 0. Everything the format does not
    know is an `InputError`: unknown keys, another number of joints than the skeleton has, confidence outside 0…1, a
    person id twice in a frame, frames whose index does not rise, a stature that no person has.
    """
    return keypoints_from_json(strict.load_json(path), str(path))


def keypoints_from_json(obj: Mapping[str, Any], where: str) -> Keypoints:
    """Make keypoints from the object of a file, as `read_keypoints` does; `where` begins every message."""
    strict.check_keys(obj, ("skeleton", "image_size", "pixel_origin", "frames"), ("fps",), where)
    skeleton = skeleton_from_json(obj, where)
    shift_px = _ORIGIN_SHIFT_PX[strict.get_choice(obj, "pixel_origin", _ORIGIN_SHIFT_PX, where)]
    frames = tuple(
        _frame_from_json(strict.as_object(frame, place), skeleton, shift_px, place)
        for number, frame in enumerate(strict.get_list(obj, "frames", where))
        for place in (strict.place(where, "frames", number),)
    )
    size = _image_size(obj, where)
    fps = strict.get_number(obj, "fps", where, None, above=0)
    try:
        return Keypoints(skeleton=skeleton, image_size=size, fps=fps, frames=frames)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def write_keypoints(keypoints: Keypoints, path: str | Path) -> None:
    """Write a keypoint file, all or nothing: corner origin, pixels rounded to 0.001 and confidence to 0.0001."""
    strict.write_json({**header_to_json(keypoints), "frames": [frame_to_json(one) for one in keypoints.frames]}, path)


def header_to_json(keypoints: Keypoints) -> dict[str, Any]:
    """All of `keypoints` but the frames."""
    content: dict[str, Any] = {
        "skeleton": skeleton_to_json(keypoints.skeleton),
        "image_size": list(keypoints.image_size),
        "pixel_origin": "corner",
    }
    return content if keypoints.fps is None else {**content, "fps": keypoints.fps}


def frame_to_json(frame: KeypointFrame) -> dict[str, Any]:
    """One entry of "frames", rounded as `write_keypoints` says."""
    return {"index": frame.index, "people": [_person_to_json(person) for person in frame.people]}


def skeleton_from_json(obj: Mapping[str, Any], where: str) -> Skeleton:
    """The known skeleton named under the key "skeleton"."""
    name = strict.get_text(obj, "skeleton", where)
    try:
        return get_skeleton(name)
    except ValueError as error:
        raise InputError(f"{strict.place(where, 'skeleton')}: {error}") from error


def skeleton_to_json(skeleton: Skeleton) -> str:
    """The name of a known skeleton; `ValueError` for one of the caller's own making, which no file can name."""
    if get_skeleton(skeleton.name) != skeleton:
        raise ValueError(f"skeleton: {skeleton.name!r} differs from the known joint set of that name; convert it first")
    return skeleton.name


def _image_size(obj: Mapping[str, Any], where: str) -> tuple[int, int]:
    width, height = strict.get_array(obj, "image_size", (2,), where).tolist()
    if width < 1 or height < 1 or width % 1 or height % 1:
        place = strict.place(where, "image_size")
        raise InputError(f"{place}: expected a whole width and height of at least 1, got {width:g} × {height:g}")
    return int(width), int(height)


def _frame_from_json(obj: Mapping[str, Any], skeleton: Skeleton, shift_px: float, where: str) -> KeypointFrame:
    strict.check_keys(obj, ("index", "people"), (), where)
    people = tuple(
        _person_from_json(strict.as_object(person, place), skeleton, shift_px, place)
        for number, person in enumerate(strict.get_list(obj, "people", where))
        for place in (strict.place(where, "people", number),)
    )
    index = strict.get_integer(obj, "index", where, low=0)
    try:
        return KeypointFrame(index=index, people=people)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _person_from_json(obj: Mapping[str, Any], skeleton: Skeleton, shift_px: float, where: str) -> PersonKeypoints:
    strict.check_keys(obj, ("keypoints_px",), ("id", "height_m"), where)
    rows = strict.as_points(obj["keypoints_px"], len(skeleton), 3, strict.place(where, "keypoints_px"))
    confidence = np.where(np.isnan(rows[:, 2]), 0.0, rows[:, 2])
    if confidence.min() < 0 or confidence.max() > 1:
        bad = int(np.argmax((confidence < 0) | (confidence > 1)))
        place = strict.place(where, "keypoints_px", bad)
        raise InputError(f"{place}: expected a confidence in 0…1, got {confidence[bad]:g}")
    person_id = strict.get_integer(obj, "id", where, None, low=0)
    height_m = strict.get_number(obj, "height_m", where, None)
    try:
        return PersonKeypoints(
            keypoints_px=np.where(confidence[:, None] > 0, rows[:, :2] + shift_px, np.nan),
            confidence=confidence,
            id=person_id,
            height_m=height_m,
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _person_to_json(person: PersonKeypoints) -> dict[str, Any]:
    content: dict[str, Any] = {} if person.id is None else {"id": person.id}
    if person.height_m is not None:
        content["height_m"] = person.height_m
    rows = np.column_stack([person.keypoints_px, person.confidence])
    content["keypoints_px"] = strict.points_to_json(rows, _DECIMALS)
    return content
