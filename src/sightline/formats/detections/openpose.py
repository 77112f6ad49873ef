"""OpenPose's `--write_json`: a file of each frame, `NAME_000000000012_keypoints.json`, with its people.

A person is x, y, confidence for each joint of BODY_25 or of the older COCO model with 18; 0, 0, 0 is a joint that was
not found. Pixels are of the source picture and have corner origin: OpenPose adds half a pixel to each peak of its heat
maps. `person_id` is [-1] where nobody tracks. The format: OpenPose's documentation, "output".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sightline.errors import InputError
from sightline.formats import strict
from sightline.formats.detections.coco import objects
from sightline.formats.detections.content import Dump, Part, file_indices
from sightline.formats.detections.people import Detections, Layout, Row, gather, triples, whole_id
from sightline.skeleton import Skeleton

_LAYOUT: Final = Layout(kind="openpose", sets={25: "openpose25", 18: "openpose18"}, usual=25, score_range=(0.0, 10.0))
_KEYS: Final = ("pose_keypoints_2d", "pose_keypoints")  # the second until version 1.2


def read_openpose(dump: Dump, asked: Skeleton | None) -> Detections:
    """The people of one file or of a folder; each file is a frame, with the number that stands in its name."""
    index = file_indices(dump)
    rows = [row for part in dump.parts for row in people_of(part, index[part.name])]
    return gather(rows, index.values(), _LAYOUT, asked, dump.where)


def people_of(part: Part, frame: int) -> list[Row]:
    """The people of one file; who has no body, since OpenPose looked for faces or hands only, is nobody."""
    if not isinstance(part.content, dict) or "people" not in part.content:
        raise InputError(
            f'{part.where}: expected a file of OpenPose, an object with "people", got {strict.kind(part.content)}'
        )
    entries = strict.get_list(part.content, "people", part.where)
    found = (_person(entry, frame, place) for entry, place in objects(entries, "people", part.where))
    return [row for row in found if row is not None]


def _person(entry: Mapping[str, Any], frame: int, where: str) -> Row | None:
    key = next((key for key in _KEYS if key in entry), _KEYS[0])
    values = strict.get_list(entry, key, where)
    who = entry.get("person_id")
    if isinstance(who, list):
        if len(who) > 1:
            raise InputError(f"{where}.person_id: expected one id, got {len(who)}")
        who = who[0] if who else None
    person_id = whole_id(who, f"{where}.person_id")
    return Row(frame, triples(values, f"{where}.{key}"), person_id, where) if values else None
