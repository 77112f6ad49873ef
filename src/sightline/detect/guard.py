"""What comes out of any detector, checked before anything builds on it: other people's code does as it likes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from sightline.camera import Camera
from sightline.detect.protocol import Detection, Detector, Picture, SeesByCameras
from sightline.errors import InputError, UsageError
from sightline.skeleton import Skeleton
from sightline.structures import HEIGHT_RANGE_M

_FARTHEST_PX = 1e6  # no picture is so large that a point so far off it means anything
_LONGEST_REASON = 300


def checked_detections(
    detector: Detector,
    pictures: Sequence[Picture],
    *,
    places: Sequence[str] | None = None,
    cameras: Sequence[Camera | None] | None = None,
    max_people: int | None = None,
    skeleton: Skeleton | None = None,
) -> list[tuple[Detection, ...]]:
    """Run a detector on pictures and return its people in the form that the rest of Sightline counts on.

    Refused, with the detector and the place named: an exception, another number of answers than pictures, anything that
    is no detection of the detector's joints, another joint set than before, an id twice in a picture. Put right, since
    it can mean one thing only: a point of which one number is missing, infinite or beyond a million pixels is missing,
    and so is one whose confidence is no number; a missing point has confidence 0; confidence and score are cut to 0…1,
    and a score that is no number is 0; a box that is not finite or has no area is none; a stature that nobody has is
    none. Beyond `max_people`, those of the lowest score are left out.

    Args:
        detector: any.
        pictures: upright RGB, as `Detector.detect` takes them.
        places: what to call each picture in a message, such as "frame 12" or a file's name; counted by default.
        cameras: that took the pictures, for detectors that ask for them (`SeesByCameras`).
        max_people: people to keep per picture.
        skeleton: the joint set that the detector had before, on which whoever asks relies; its present one by default.

    Raises:
        InputError: where the detector fails or answers something else. Its own InputError and UsageError pass.
    """
    name = _name(detector)
    places = (
        [f"picture {number + 1} of {len(pictures)}" for number in range(len(pictures))] if places is None else places
    )
    if len(places) != len(pictures):
        raise ValueError(f"places: expected one for each of {len(pictures)} pictures, got {len(places)}")
    if max_people is not None and max_people < 1:
        raise UsageError(f"max_people: expected at least 1, got {max_people}")
    if not pictures:
        return []
    where = places[0] if len(places) == 1 else f"{places[0]} to {places[-1]}"
    answers = asked(lambda: seen_by(detector, pictures, cameras), f"detector {name} failed on {where}")
    if not isinstance(answers, (list, tuple)) or len(answers) != len(pictures):
        got = f"{len(answers)} answers" if isinstance(answers, (list, tuple)) else f"a {type(answers).__name__}"
        raise InputError(
            f"detector {name} failed on {where}: expected a list with one answer for each of {len(pictures)} pictures, "
            f"got {got}"
        )
    joints = _joints(detector, skeleton, f"detector {name} failed on {where}")
    return [
        _people(people, f"detector {name} on {place}", joints, max_people)
        for people, place in zip(answers, places, strict=True)
    ]


def seen_by(detector: Detector, pictures: Sequence[Picture], cameras: Sequence[Camera | None] | None) -> Any:
    """Return what a detector says of pictures, of whose cameras it is told where it asks for them (`SeesByCameras`).

    Args:
        detector: any.
        pictures: as `Detector.detect` takes them.
        cameras: as many; None where nothing is known of any.
    """
    if cameras is None or not isinstance(detector, SeesByCameras):
        return detector.detect(pictures)
    return detector.detect_by(pictures, cameras)


def checked_near(
    detector: Any, picture: Picture, before: Sequence[Detection], *, place: str, skeleton: Skeleton
) -> list[Detection]:
    """Let a detector look near where people were (`LooksNear`), and check its answer as `checked_detections` does."""
    return _each(detector, lambda: detector.detect_near(picture, before), len(before), place, skeleton)


def checked_in(
    detector: Any,
    picture: Picture,
    boxes: Float[np.ndarray, "person 4"],
    before: Sequence[Detection | None],
    *,
    camera: Camera | None,
    place: str,
    skeleton: Skeleton,
) -> list[Detection]:
    """Let a detector look into boxes (`LooksIn`), and check its answer as `checked_detections` does."""
    return _each(detector, lambda: detector.detect_in(picture, boxes, before, camera), len(boxes), place, skeleton)


def _each(detector: Any, call: Callable[[], Any], count: int, place: str, skeleton: Skeleton) -> list[Detection]:
    """Those whom a detector has seen of so many people that it was asked for."""
    where = f"detector {_name(detector)} failed on {place}"
    answers = asked(call, where)
    if not isinstance(answers, (list, tuple)) or len(answers) != count:
        got = f"{len(answers)} answers" if isinstance(answers, (list, tuple)) else f"a {type(answers).__name__}"
        raise InputError(f"{where}: expected a list with one answer for each of {count} people, got {got}")
    joints = _joints(detector, skeleton, where)
    return list(_people([one for one in answers if one is not None], f"detector {_name(detector)} on {place}", joints))


def closed(detector: Detector) -> None:
    """Let a detector go; where it cannot, what it has found stands, and a warning says so."""
    try:
        asked(detector.close, f"detector {_name(detector)} failed while it was closed, after its work")
    except ValueError as error:
        warnings.warn(str(error), stacklevel=1)


def asked(call: Callable[[], Any], where: str) -> Any:
    """The result of a call of anybody's code; whatever it raises is an `InputError` that begins with `where`.

    An `InputError` and a `UsageError` pass as they are, and so does an interrupt of the user's. A detector that ends
    the process has failed as well.
    """
    try:
        return call()
    except (InputError, UsageError):
        raise
    except (Exception, SystemExit) as error:  # it is anybody's code
        raise InputError(f"{where}: {_in_words(error)}") from error


def _name(detector: Any) -> str:
    return str(getattr(detector, "name", type(detector).__name__))


def _joints(detector: Any, skeleton: Skeleton | None, where: str) -> int:
    """How many joints a detector's people have; refused where it has changed its joint set."""
    now = detector.skeleton
    if skeleton is not None and now != skeleton:
        got = now.name if isinstance(now, Skeleton) else f"a {type(now).__name__}"
        raise InputError(f"{where}: expected the joint set {skeleton.name}, with which it began, got {got}")
    return len(now)


def _people(people: Any, where: str, joints: int, max_people: int | None = None) -> tuple[Detection, ...]:
    if not isinstance(people, (list, tuple)):
        raise InputError(f"{where}: expected the people of the picture as a tuple, got a {type(people).__name__}")
    good = [_detection(person, f"{where}, person {number}", joints) for number, person in enumerate(people)]
    if max_people is not None and len(good) > max_people:
        surest = sorted(range(len(good)), key=lambda number: -good[number].score)[:max_people]
        good = [good[number] for number in sorted(surest)]
    ids = [person.id for person in good if person.id is not None]
    if len(set(ids)) < len(ids):
        twice = next(number for number in ids if ids.count(number) > 1)
        raise InputError(f"{where}: expected each id once in a picture, but {twice} stands there twice")
    return tuple(good)


def _detection(person: Any, where: str, joints: int) -> Detection:
    """The same person with arrays of the right form, and everything half-missing missing."""
    points = _array(person, "keypoints_px", (joints, 2), where)
    confidence = _array(person, "confidence", (joints,), where)
    with np.errstate(invalid="ignore"):
        seen = (np.abs(points) <= _FARTHEST_PX).all(-1) & ~np.isnan(confidence)  # NaN is beyond every bound
    score = _number(person, "score", where)
    checked: dict[str, Any] = {
        "keypoints_px": np.where(seen[:, None], points, np.nan),
        "confidence": np.where(seen, confidence.clip(0, 1), 0.0),
        "score": 0.0 if np.isnan(score) else min(max(score, 0.0), 1.0),
        "box_px": _box(person, where),
        "id": _id(person, where),
        "height_m": _height(person, where),
    }
    # A detection may say more than others: it keeps that, since its own detector may ask for it in the next frame.
    return replace(person, **checked) if isinstance(person, Detection) else Detection(**checked)


def _array(person: Any, field: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    wanted = " × ".join(map(str, shape))
    if not hasattr(person, field):
        raise InputError(
            f"{where}: expected a Detection with {field} ({wanted} numbers), got a {type(person).__name__}"
        )
    try:
        array = np.asarray(getattr(person, field))
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on a GPU among them
        raise InputError(f"{where}: expected {field} to be {wanted} numbers ({_in_words(error)})") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected {field} to be {wanted} numbers, got values of the type {array.dtype}")
    if array.shape != shape:
        raise InputError(f"{where}: expected {field} to be {wanted} numbers, got the shape {array.shape}")
    return array.astype(np.float64)


def _number(person: Any, field: str, where: str) -> float:
    try:
        return float(getattr(person, field))
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: expected {field} to be a number ({_in_words(error)})") from error


def _box(person: Any, where: str) -> Float[np.ndarray, " 4"] | None:
    if getattr(person, "box_px", None) is None:
        return None
    box = _array(person, "box_px", (4,), where)
    return box if np.isfinite(box).all() and (box[2:] > box[:2]).all() else None


def _id(person: Any, where: str) -> int | None:
    number = getattr(person, "id", None)
    if number is None:
        return None
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, np.integer)) or number < 0:
        raise InputError(f"{where}: expected id to be a whole number from 0 on, or None, got {number!r:.40}")
    return int(number)


def _height(person: Any, where: str) -> float | None:
    if getattr(person, "height_m", None) is None:
        return None
    height, (low, high) = _number(person, "height_m", where), HEIGHT_RANGE_M
    return height if low <= height <= high else None


def _in_words(error: BaseException) -> str:
    """An exception in one short line: its kind, and what it says if anything."""
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
