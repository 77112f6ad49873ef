"""What MMPose's inferencer (`pred_out_dir`) and demos (`--save-predictions`) write.

A person ("instance") has `keypoints`, x and y of each joint, and `keypoint_scores`. Of a picture, the file is the list
of its instances; of a video, a list of frames with `frame_id` and `instances`. The demos put that under
`instance_info`, beside `meta_info` with the names of the joints, and count frames from 1. COCO's origin at the first
pixel's centre: 0.5 is added here. The format: MMPose's documentation, "inference", and its demos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from sightline.errors import InputError
from sightline.formats import strict
from sightline.formats.detections.coco import CENTER_SHIFT_PX, objects
from sightline.formats.detections.content import Dump, Part, file_indices
from sightline.formats.detections.joints import BODY_SETS
from sightline.formats.detections.people import SCORES, Detections, Layout, Row, gather, whole_id
from sightline.skeleton import Skeleton

_LAYOUT: Final = Layout(
    kind="mmpose",
    sets=BODY_SETS,
    usual=17,
    score_range=SCORES,
    shift_px=CENTER_SHIFT_PX,
)


class _Picture(NamedTuple):
    """The instances of one picture, which stand under `key` of what `where` names."""

    frame: int
    instances: list[Any]
    key: str
    where: str


def read_mmpose(dump: Dump, asked: Skeleton | None) -> Detections:
    """The people of one file, or of a folder with a file of each picture; frames count from 0."""
    files = file_indices(dump)
    rows: list[Row] = []
    frames: list[int] = []
    named: dict[tuple[str, ...] | None, str] = {}
    for part in dump.parts:
        pictures = _pictures(part)
        if dump.is_folder and len(pictures) != 1:
            raise InputError(f"{part.where}: expected one picture in each file of a folder, got {len(pictures)} frames")
        for picture in pictures:
            frames.append(files[part.name] if dump.is_folder else picture.frame)
            instances = objects(picture.instances, picture.key, picture.where)
            rows += [_person(instance, frames[-1], place) for instance, place in instances]
        named.setdefault(_joint_names(part), part.where)
    if len(named) > 1:
        first, second, *_ = named.values()
        raise InputError(f"{second}: expected the joints of {first}, since people have one joint set, got others")
    return gather(rows, frames, replace(_LAYOUT, names=next(iter(named))), asked, dump.where)


def _pictures(part: Part) -> list[_Picture]:
    """The pictures of a file, in whichever of its forms it is."""
    where, content = part.where, part.content
    if isinstance(content, dict):
        key = "instance_info" if "instance_info" in content else "predictions"
        if key not in content:
            raise InputError(
                f"{where}: expected a list of instances or frames, or an object with instance_info, got others"
            )
        entries = strict.get_list(content, key, where)
    elif isinstance(content, list):
        key, entries = "", content
    else:
        raise InputError(f"{where}: expected MMPose's list of instances or frames, got {strict.kind(content)}")
    if any(isinstance(entry, dict) and "instances" in entry for entry in entries):
        return _frames(entries, key, where)
    if entries and all(isinstance(entry, list) for entry in entries):
        return [_Picture(n, entry, "", strict.place(where, key, n)) for n, entry in enumerate(entries)]
    return [_Picture(0, entries, key, where)]


def _frames(entries: Sequence[Any], key: str, where: str) -> list[_Picture]:
    """The frames of a video. The demos count them from 1, which shows where no frame is 0."""
    pictures: dict[int, _Picture] = {}
    for entry, place in objects(entries, key, where):
        frame = strict.get_integer(entry, "frame_id", place, low=0)
        if frame in pictures:
            raise InputError(f"{place}: expected each frame_id once, got {frame} twice")
        pictures[frame] = _Picture(frame, strict.get_list(entry, "instances", place), "instances", place)
    first = 1 if key == "instance_info" and 0 not in pictures else 0
    return [picture._replace(frame=picture.frame - first) for picture in pictures.values()]


def _person(instance: Mapping[str, Any], frame: int, where: str) -> Row:
    """One instance; before version 1.0 the score was the third number of each joint."""
    points = strict.get_list(instance, "keypoints", where)
    place = f"{where}.keypoints"
    person_id = whole_id(instance.get("track_id"), f"{where}.track_id")
    if "keypoint_scores" not in instance:
        return Row(frame, strict.as_array(points, (None, 3), place), person_id, where)
    if points and isinstance(points[0], list) and len(points[0]) == 3:
        raise InputError(f"{place}: expected x and y in pixels, got three coordinates, which MMPose's 3D models write")
    xy = strict.as_array(points, (None, 2), place)
    score = strict.get_array(instance, "keypoint_scores", (len(xy),), where)
    return Row(frame, np.column_stack([xy, score]), person_id, where)


def _joint_names(part: Part) -> tuple[str, ...] | None:
    """The names of the joints in their order, as the demos' files tell them."""
    meta = part.content.get("meta_info") if isinstance(part.content, dict) else None
    named = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(named, dict) or not named:
        return None
    place = f"{part.where}: meta_info.keypoint_id2name"
    if set(named) != {str(number) for number in range(len(named))}:
        raise InputError(f"{place}: expected the joints 0 to {len(named) - 1}, got {', '.join(named)[:80]}")
    return tuple(strict.get_text(named, str(number), place) for number in range(len(named)))
