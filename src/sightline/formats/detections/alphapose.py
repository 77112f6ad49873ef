"""AlphaPose's `alphapose-results.json`: a list of people as COCO's results, or a file or object of each picture.

A person is x, y, score for each joint, with COCO's origin at the first pixel's centre: 0.5 is added here. `--format
cmu` and `open` write "bodies" or "people" of 18 joints instead, by picture. `idx` is who it is where AlphaPose tracked.
The format: AlphaPose's documentation, "output format".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from sightline.errors import InputError
from sightline.formats import strict
from sightline.formats.detections.coco import CENTER_SHIFT_PX, flat_row, image_id, objects
from sightline.formats.detections.content import Dump, Part, file_indices, frame_indices
from sightline.formats.detections.joints import BODY_SETS
from sightline.formats.detections.openpose import people_of
from sightline.formats.detections.people import SCORES, Detections, Layout, Row, gather
from sightline.skeleton import Skeleton

_LAYOUT: Final = Layout(kind="alphapose", sets=BODY_SETS, usual=17, score_range=SCORES, shift_px=CENTER_SHIFT_PX)


def read_alphapose(dump: Dump, asked: Skeleton | None) -> Detections:
    """The people of a results file, or of a folder with a file of each picture.

    The index of a frame is the last number in its picture's name, else the picture's place among the others.
    """
    if dump.is_folder or is_picture(dump.parts[0].content):
        index = file_indices(dump)
        rows = [row for part in dump.parts for row in _picture(part, index[part.name])]
        return gather(_with_ids_that_track(rows), index.values(), _LAYOUT, asked, dump.where)
    where, content = dump.single.where, dump.single.content
    if isinstance(content, list):
        return _list(content, asked, where)
    if not isinstance(content, dict) or not all(is_picture(picture) for picture in content.values()):
        raise InputError(
            f"{where}: expected AlphaPose's results, a list of people or an object of pictures with people, got "
            f"{strict.kind(content)}"
        )
    index = frame_indices(content, where)
    parts = [(Part(strict.place(where, name), name, picture), index[name]) for name, picture in content.items()]
    rows = [row for part, frame in parts for row in _picture(part, frame)]
    return gather(rows, index.values(), _LAYOUT, asked, where)


def is_picture(content: Any) -> bool:
    """Whether this is what `--format cmu` and `open` write for one picture."""
    return isinstance(content, dict) and isinstance(content.get("bodies", content.get("people")), list)


def _list(entries: Sequence[Any], asked: Skeleton | None, where: str) -> Detections:
    people: list[tuple[int | str, Row]] = []
    for entry, place in objects(entries, "", where):
        people.append((image_id(entry, "image_id", place), flat_row(entry, _tracked(entry, place), place)))
    index = frame_indices((image for image, _ in people), where)
    rows = [row._replace(frame=index[image]) for image, row in people]
    return gather(_with_ids_that_track(rows), index.values(), _LAYOUT, asked, where)


def _picture(part: Part, frame: int) -> list[Row]:
    """The people of one picture: "bodies" with "joints", "people" as OpenPose's, or a list as COCO's."""
    if isinstance(part.content, list):
        entries = objects(part.content, "", part.where)
        return [flat_row(entry, _tracked(entry, place), place, frame=frame) for entry, place in entries]
    if isinstance(part.content, dict) and "bodies" in part.content:
        entries = objects(strict.get_list(part.content, "bodies", part.where), "bodies", part.where)
        return [flat_row(entry, None, place, key="joints", frame=frame) for entry, place in entries]
    return people_of(part, frame)


def _tracked(entry: Mapping[str, Any], where: str) -> int | None:
    """`idx`: a number, or the same number in lists; nobody's where they differ, as without tracking they may."""
    values: list[Any] = [entry.get("idx")]
    while any(isinstance(value, list) for value in values):
        values = list(chain.from_iterable(value if isinstance(value, list) else [value] for value in values))
    numbers = {strict.as_number(value, f"{where}.idx") for value in values if value is not None}
    if len(numbers) != 1:
        return None
    number = numbers.pop()
    return int(number) if number >= 0 and number.is_integer() else None


def _with_ids_that_track(rows: Sequence[Row]) -> list[Row]:
    """The rows, without any id where AlphaPose did not track: one stands twice in a picture, or all are its 0."""
    seen = Counter((row.frame, row.id) for row in rows if row.id is not None)
    tracked = bool(seen) and seen.most_common(1)[0][1] == 1 and {ident for _, ident in seen} != {0}
    return list(rows) if tracked else [row._replace(id=None) for row in rows]
