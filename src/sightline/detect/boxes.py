"""Boxes that say who is meant: drawn on the command line, or read from files of Sightline, MOT and COCO.

A box is (x0, y0, x1, y1) in pixels of the upright picture with corner origin, as everywhere in Sightline. A frame that
is listed says who is there: whoever has no box in it is gone, and an empty list is nobody. Frames that are not listed
are open: in a film people are followed through them, in a folder of photos nobody is looked for.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from sightline.errors import InputError, UsageError
from sightline.formats import strict
from sightline.structures import HEIGHT_RANGE_M

FARTHEST_PX: Final = 1e6
MIN_SCORE: Final = 0.5
"""Boxes of COCO's results below this are left out: detectors list hundreds per picture that they do not believe in."""
_PERSON: Final = 1  # COCO's category
_MOT_PEOPLE: Final = (1, 2, 7)  # pedestrian, person on a vehicle, static person
_FORM: Final = "x0,y0,x1,y1 or ID:x0,y0,x1,y1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Box:
    """A person's box: (x0, y0, x1, y1) px, corner origin, with x0 < x1 and y0 < y1; who it is and how tall, if known.

    `ValueError` where that does not hold.
    """

    box_px: Float[np.ndarray, " 4"]
    id: int | None = None
    height_m: float | None = None

    def __post_init__(self) -> None:
        box = np.array(self.box_px, dtype=np.float64)
        if box.shape != (4,) or not (np.abs(box) <= FARTHEST_PX).all():  # NaN is beyond every bound
            raise ValueError(f"box: expected four finite pixel numbers x0, y0, x1, y1, got {box.tolist()}")
        if not (box[:2] < box[2:]).all():
            raise ValueError(f"box: expected x0 < x1 and y0 < y1, got {_text(box)}; its form is x0,y0,x1,y1")
        box.setflags(write=False)
        object.__setattr__(self, "box_px", box)
        low, high = HEIGHT_RANGE_M
        if self.height_m is not None and not low <= self.height_m <= high:
            raise ValueError(f"height_m: expected a stature of {low} to {high} m, got {self.height_m}")


@dataclass(frozen=True, kw_only=True, eq=False)
class ListedBoxes:
    """The boxes of one picture in pixels of `image_size` (w, h), or of the picture itself where that is None."""

    boxes: tuple[Box, ...]
    image_size: tuple[int, int] | None = None
    where: str = "boxes"

    def __post_init__(self) -> None:
        ids = [box.id for box in self.boxes if box.id is not None]
        if len(set(ids)) < len(ids):
            raise InputError(f"{self.where}: expected each id once in a picture, got {ids}")

    def fitted(self, image_size: tuple[int, int]) -> tuple[Box, ...]:
        """The boxes in pixels of a picture of `image_size` (w, h).

        `InputError` where the picture has another aspect than the boxes' (by over a pixel), or a box lies outside it.
        """
        width, height = self.image_size or image_size
        scale = image_size[0] / width
        if abs(scale * height - image_size[1]) > 1.0:
            raise InputError(
                f"{self.where}: expected a picture of the aspect of {width} × {height}, as its boxes are, "
                f"got {image_size[0]} × {image_size[1]}"
            )
        for box in self.boxes:
            x0, y0, x1, y1 = box.box_px * scale
            if x1 <= 0 or y1 <= 0 or x0 >= image_size[0] or y0 >= image_size[1]:
                raise InputError(
                    f"{self.where}: expected boxes that overlap the picture of {image_size[0]} × {image_size[1]}, "
                    f"got {_text(box.box_px * scale)}"
                )
        return tuple(box if scale == 1 else replace(box, box_px=box.box_px * scale) for box in self.boxes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxes:
    """Boxes by picture. `start` are those drawn once: for a film's first frame, or for every photo.

    by_index: by number of the frame, from 0. by_file: by a photo's file name, without folder. `numbered`: an index may
    also be the number that a photo's file is named by, as in COCO (000000000139.jpg is 139).
    """

    start: ListedBoxes | None = None
    by_index: Mapping[int, ListedBoxes] = field(default_factory=dict)
    by_file: Mapping[str, ListedBoxes] = field(default_factory=dict)
    numbered: bool = False
    where: str = "boxes"

    @classmethod
    def drawn(cls, boxes: Sequence[Box], where: str = "--box") -> Boxes:
        """Boxes drawn once; those without id get the lowest numbers that are free, in order."""
        ids = [box.id for box in boxes if box.id is not None]
        if len(set(ids)) < len(ids):
            raise UsageError(f"{where}: expected each id once, got {', '.join(map(str, ids))}")
        return cls(start=ListedBoxes(boxes=_with_ids(boxes), where=where), where=where)

    def of_photo(self, index: int, file: str | None, image_size: tuple[int, int]) -> tuple[Box, ...] | None:
        """The boxes of a photo in its own pixels; None where none are listed. `InputError` where they do not fit."""
        name = None if file is None else Path(file).name
        listed = self.by_file.get(name) if name is not None else None
        if listed is None and self.numbered and name is not None and Path(name).stem.isdecimal():
            listed = self.by_index.get(int(Path(name).stem))
        if listed is None:
            listed = self.by_index.get(index, self.start)
        return None if listed is None else listed.fitted(image_size)

    def of_frame(self, before: int | None, index: int, image_size: tuple[int, int]) -> tuple[Box, ...] | None:
        """The boxes that say who is in a film's frame; None where none are listed.

        `before` is the frame looked at before this one (None for the first): of the frames listed since, the last
        counts, so frames may be left out. `InputError` where boxes do not fit the picture.
        """
        place = bisect.bisect_right(self._rising, index) - 1
        if place >= 0 and (before is None or self._rising[place] > before):
            return self.by_index[self._rising[place]].fitted(image_size)
        if before is None and self.start is not None:
            return self.start.fitted(image_size)
        if self.by_file and not self.by_index:
            raise InputError(f"{self.where}: names files, but the frames of a film have none; list them by index")
        return None

    @cached_property
    def _rising(self) -> list[int]:
        return sorted(self.by_index)


def parse_box(text: str) -> Box:
    """Make a box of `x0,y0,x1,y1` or `ID:x0,y0,x1,y1` (px, corner origin); `UsageError` for anything else."""
    who, colon, numbers = text.rpartition(":")
    if colon and not re.fullmatch(r"\s*\d{1,18}\s*", who):
        raise UsageError(f"box {text!r}: expected {_FORM}, where ID is a whole number from 0 on, got the ID {who!r}")
    parts = numbers.split(",")
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise UsageError(f"box {text!r}: expected {_FORM} with numbers of pixels ({error})") from error
    if len(values) != 4:
        raise UsageError(f"box {text!r}: expected {_FORM}, got {len(values)} numbers")
    try:
        return Box(box_px=np.array(values), id=int(who) if colon else None)
    except ValueError as error:
        raise UsageError(f"box {text!r}: {error}") from error


def read_boxes(path: str | Path, *, min_score: float = MIN_SCORE) -> Boxes:
    """Read boxes from a file, whose kind is told by its content.

    - Sightline's JSON (docs/schemas/boxes.schema.json).
    - MOT text: `frame,id,x,y,w,h,confidence,…` per line; frames and pixels count from 1, id −1 is nobody in particular.
      Lines with confidence 0, which MOT ignores, are left out, and so are those whose class is no person.
    - COCO's results: a JSON list of {image_id, category_id, bbox: [x, y, w, h], score}. Category 1 at `min_score` and
      more counts; `image_id` is an index from 0, the number a photo is named by, or the name of its file.

    Where just one picture has boxes and none has an id, they are numbered in order, so that they can be followed.
    Everything else is an `InputError` that names the place.
    """
    path = Path(path)
    where = str(path)
    text = _start_of(path)
    if not text.startswith(("{", "[")):
        return _listed(_mot(path), where)
    content = strict.load_value(path)
    if isinstance(content, list):
        return _listed(_coco(content, where, min_score), where, numbered=True)
    obj = strict.as_object(content, where)
    if "annotations" in obj:
        raise InputError(f"{where}: expected boxes, got COCO's annotations; give COCO's results, a list of boxes")
    return _listed(_own(obj, where), where)


Entry = tuple[int | str, ListedBoxes]
"""An index or a file's name, and the boxes of that picture."""


def _own(obj: Mapping[str, Any], where: str) -> list[Entry]:
    strict.check_keys(obj, ("frames",), ("image_size",), where)
    size = _image_size(obj, where)
    entries: list[Entry] = []
    for number, frame in enumerate(strict.get_list(obj, "frames", where)):
        place = strict.place(where, "frames", number)
        frame = strict.as_object(frame, place)
        strict.check_keys(frame, ("boxes",), ("index", "file", "image_size"), place)
        if ("index" in frame) == ("file" in frame):
            raise InputError(f'{place}: expected either the key "index" or the key "file"')
        key = strict.get_integer(frame, "index", place, low=0) if "index" in frame else _file_name(frame, place)
        boxes = tuple(
            _own_box(strict.as_object(box, spot), spot)
            for row, box in enumerate(strict.get_list(frame, "boxes", place))
            for spot in (strict.place(place, "boxes", row),)
        )
        entries.append((key, ListedBoxes(boxes=boxes, image_size=_image_size(frame, place) or size, where=place)))
    return entries


def _own_box(obj: Mapping[str, Any], where: str) -> Box:
    strict.check_keys(obj, ("box_px",), ("id", "height_m"), where)
    return _box(
        strict.get_array(obj, "box_px", (4,), where),
        strict.get_integer(obj, "id", where, None, low=0),
        where,
        height_m=strict.get_number(obj, "height_m", where, None),
    )


def _mot(path: Path) -> list[Entry]:
    frames: dict[int, list[Box]] = {}
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path}: line {number}"
        cells = [cell for cell in re.split(r"[,;\s]+", line.strip()) if cell]
        if not cells:
            continue
        try:
            values = [float(cell) for cell in cells]
        except ValueError as error:
            raise InputError(f"{where}: expected numbers, frame,id,x,y,w,h,… as in MOT ({error})") from error
        if len(values) < 6 or not all(map(math.isfinite, values)):
            raise InputError(f"{where}: expected at least six finite numbers, frame,id,x,y,w,h, got {line.strip():.60}")
        frame, who = values[:2]
        if frame % 1 or not 1 <= frame < 2**53 or who % 1 or not -1 <= who < 2**53:
            raise InputError(f"{where}: expected a frame from 1 on and an id from −1 on, got {cells[0]} and {cells[1]}")
        boxes = frames.setdefault(int(frame) - 1, [])
        ignored = len(values) > 6 and values[6] == 0
        if ignored or (len(values) == 9 and values[7] not in _MOT_PEOPLE):
            continue
        x0, y0 = values[2] - 1, values[3] - 1
        corners = np.array([x0, y0, x0 + values[4], y0 + values[5]])
        boxes.append(_box(corners, int(who) if who >= 0 else None, where))
    if not frames:
        raise InputError(f"{path}: expected boxes, a line frame,id,x,y,w,h,… for each, but there is none")
    return [_entry(frame, boxes, f"{path}: frame {frame + 1}") for frame, boxes in frames.items()]


def _coco(content: Sequence[Any], where: str, min_score: float) -> list[Entry]:
    pictures: dict[int | str, list[Box]] = {}
    for number, entry in enumerate(content):
        place = f"{where}: [{number}]"
        entry = strict.as_object(entry, place)
        if isinstance(entry.get("image_id"), str):
            key: int | str = _file_name(entry, place, "image_id")
        else:
            key = strict.get_integer(entry, "image_id", place, low=0)
        boxes = pictures.setdefault(key, [])
        if strict.get_integer(entry, "category_id", place, _PERSON) != _PERSON:
            continue
        if strict.get_number(entry, "score", place, 1.0) < min_score:
            continue
        x0, y0, width, height = strict.get_array(entry, "bbox", (4,), place)
        who = strict.get_integer(entry, "track_id", place, None, low=0)
        boxes.append(_box(np.array([x0, y0, x0 + width, y0 + height]), who, place))
    return [_entry(key, boxes, f"{where}: image {key}") for key, boxes in pictures.items()]


def _listed(entries: Iterable[Entry], where: str, *, numbered: bool = False) -> Boxes:
    by_key: dict[int | str, ListedBoxes] = {}
    for key, listed in entries:
        if key in by_key:
            name = f"frame {key}" if isinstance(key, int) else f'the file "{key}"'
            raise InputError(f"{listed.where}: expected each picture once, but {name} is listed twice")
        by_key[key] = listed
    if len(by_key) == 1:
        ((key, listed),) = by_key.items()
        by_key[key] = replace(listed, boxes=_with_ids(listed.boxes))
    return Boxes(
        by_index={key: listed for key, listed in by_key.items() if isinstance(key, int)},
        by_file={key: listed for key, listed in by_key.items() if isinstance(key, str)},
        numbered=numbered,
        where=where,
    )


def _entry(key: int | str, boxes: Sequence[Box], where: str) -> Entry:
    return key, ListedBoxes(boxes=tuple(boxes), where=where)


def _with_ids(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes, those without id with the lowest numbers that are free."""
    taken = {box.id for box in boxes}
    free = iter([number for number in range(2 * len(boxes)) if number not in taken])
    return tuple(box if box.id is not None else replace(box, id=next(free)) for box in boxes)


def _box(corners: np.ndarray, who: int | None, where: str, *, height_m: float | None = None) -> Box:
    try:
        return Box(box_px=corners, id=who, height_m=height_m)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _image_size(obj: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    size = strict.get_array(obj, "image_size", (2,), where, None)
    if size is None:
        return None
    if (size < 1).any() or (size % 1).any() or (size > FARTHEST_PX).any():
        raise InputError(f"{strict.place(where, 'image_size')}: expected a whole width and height, got {_text(size)}")
    return int(size[0]), int(size[1])


def _file_name(obj: Mapping[str, Any], where: str, key: str = "file") -> str:
    name = re.split(r"[/\\]", strict.get_text(obj, key, where))[-1]
    if not name:
        raise InputError(f"{strict.place(where, key)}: expected the name of a file, got a folder")
    return name


def _start_of(path: Path) -> str:
    """The first characters of a file that is not empty."""
    try:
        with open(path, "rb") as file:
            text = file.read(4096).removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace").lstrip()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if not text:
        raise InputError(f"{path}: expected boxes, but nothing is there")
    return text


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected JSON or MOT text in UTF-8, got other bytes at {error.start}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _text(numbers: np.ndarray) -> str:
    return ",".join(f"{number:.10g}" for number in numbers)
