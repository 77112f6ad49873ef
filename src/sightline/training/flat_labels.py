"""Keypoints of any tool as labels: who is where in which picture, before anything is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from sightline.formats import strict
from sightline.formats.detections import Detections, OwnFile, read_detections
from sightline.formats.detections.coco import image_id, objects, read_coco
from sightline.formats.detections.content import Dump, Part, frame_indices, load
from sightline.formats.detections.joints import asked_skeleton
from sightline.formats.detections.kinds import told_kind
from sightline.skeleton import Skeleton
from sightline.training.picture_files import Wanted

_NAMING: Final = ("coco", "openpose", "alphapose")
"""Tools whose single files name their pictures, or number them as the pictures' names do; others' list frames."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FlatLabels:
    """Everybody's keypoints."""

    skeleton: Skeleton
    wanted: tuple[Wanted, ...]
    """The pictures that somebody is in."""
    numbered: bool
    """See `find_pictures`."""
    sizes: tuple[tuple[int, int] | None, ...]
    """Width and height of each (px), where the file tells them."""
    points_px: Float[np.ndarray, "person joint 2"]
    """NaN is what is missing."""
    shares: bool
    """Whether they are shares of the picture's width and height instead."""
    confidence: Float[np.ndarray, "person joint"]
    boxes_px: Float[np.ndarray, "person 4"]
    """Left, top, right, bottom as the file has them; NaN for none."""
    statures_m: Float[np.ndarray, " person"]
    picture: Int[np.ndarray, " person"]
    """Row of `wanted`."""
    others_px: Float[np.ndarray, "other 4"] = field(default_factory=lambda: np.zeros((0, 4)))
    """Boxes of more people in these pictures, who have no keypoints; of crowds, the whole crowd's."""
    others_picture: Int[np.ndarray, " other"] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Row of `wanted`."""


def read_flat_labels(path: Path, kind: str | None, skeleton: str | None) -> FlatLabels:
    """Read a file or folder as `read_keypoints_of` does, COCO's annotations of pictures of many sizes too.

    Of COCO's people the boxes are read as well. Who has no keypoints, and crowds, are among the others.

    Raises:
        InputError, UsageError: as `read_keypoints_of` does.
    """
    dump = load(path)
    if (kind or told_kind(dump)) == "coco" and not dump.is_folder and _has_people(dump.single.content):
        return _coco(dump.single, asked_skeleton(skeleton))
    found = read_detections(path, kind=kind, skeleton=skeleton)
    if isinstance(found, OwnFile):
        return _own(found)
    return _labels(found, {}, {}, numbered=dump.is_folder or found.kind in _NAMING)


def _has_people(content: Any) -> bool:
    """Whether COCO's results, or annotations, may be in there; what is neither is complained about elsewhere."""
    return isinstance(content, list) or (isinstance(content, dict) and "annotations" in content)


def _coco(part: Part, asked: Skeleton | None) -> FlatLabels:
    """COCO's people with their boxes, and with names and sizes of pictures where these are told."""
    where, annotated = part.where, isinstance(part.content, dict)
    content: dict[str, Any] = part.content if annotated else {"annotations": part.content}
    images = list(objects(strict.get_list(content, "images", where, []), "images", where))
    plain = [{key: value for key, value in image.items() if key not in ("width", "height")} for image, _ in images]
    entries = strict.get_list(content, "annotations", where)
    people = list(objects(entries, "annotations" if annotated else "", where))
    numbered = [_numbered(row, entry) for row, (entry, _) in enumerate(people)]
    told = {**content, "images": plain, "annotations": numbered} if annotated else numbered
    found = read_coco(Dump(where, (Part(where, part.name, told),), is_folder=False), asked)
    boxes = [_corners(*people[row]) for row in found.ids if row is not None]
    index, files, sizes = _files_and_sizes(images, where)
    labels = _labels(found, files, sizes, numbered=True, boxes_px=np.array(boxes, np.float64).reshape(-1, 4))
    told_of = {one.index: row for row, one in enumerate(labels.wanted)}
    others, pictures, known = [], [], set(found.ids)
    for row, (entry, place) in enumerate(people):
        picture = (
            told_of.get(index.get(image_id(entry, "image_id", place), -1)) if images and row not in known else None
        )
        box = _corners(entry, place)
        if picture is not None and np.isfinite(box).all():
            others.append(box)
            pictures.append(picture)
    return replace(
        labels,
        others_px=np.array(others, np.float64).reshape(-1, 4),
        others_picture=np.array(pictures, np.int64),
    )


def _numbered(row: int, entry: dict[str, Any]) -> dict[str, Any]:
    """An entry by whose id it can be found again; of a crowd, without keypoints, so that it does not count."""
    crowd = {"keypoints": None} if entry.get("iscrowd") else {}
    return {**entry, "track_id": row, **crowd}


def _corners(entry: dict[str, Any], where: str) -> Float[np.ndarray, "4"]:
    """COCO's box (left, top, width, height; corner origin) by two corners; NaN for none."""
    if not entry.get("bbox"):
        return np.full(4, np.nan)
    box = strict.as_array(entry["bbox"], (4,), f"{where}.bbox")
    return np.concatenate([box[:2], box[:2] + box[2:]])


def _files_and_sizes(
    images: Sequence[tuple[dict[str, Any], str]], where: str
) -> tuple[dict[Any, int], dict[int, str], dict[int, tuple[int, int]]]:
    """The numbers of the frames by COCO's ids of pictures, and names and sizes of the pictures by those."""
    ids = [image_id(image, "id", place) for image, place in images]
    index = frame_indices(ids, where)
    files: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}
    for one, (image, place) in zip(ids, images, strict=True):
        if image.get("file_name") is not None:
            files[index[one]] = strict.get_text(image, "file_name", place)
        if image.get("width") and image.get("height"):
            width, height = (strict.get_integer(image, side, place, low=1) for side in ("width", "height"))
            sizes[index[one]] = width, height
    return index, files, sizes


def _labels(
    found: Detections,
    files: dict[int, str],
    sizes: dict[int, tuple[int, int]],
    *,
    numbered: bool,
    boxes_px: Float[np.ndarray, "person 4"] | None = None,
) -> FlatLabels:
    frames = sorted(set(found.frame_of.tolist()))
    return FlatLabels(
        skeleton=found.skeleton,
        wanted=tuple(Wanted(frame, files.get(frame)) for frame in frames),
        numbered=numbered,
        sizes=tuple(sizes.get(frame, found.image_size) for frame in frames),
        points_px=found.points,
        shares=found.layout.shares,
        confidence=found.confidence,
        boxes_px=np.full((len(found.points), 4), np.nan) if boxes_px is None else boxes_px,
        statures_m=np.full(len(found.points), np.nan),
        picture=np.searchsorted(frames, found.frame_of),
    )


def _own(found: OwnFile) -> FlatLabels:
    read = found.read
    stacked = read.stacked()
    frames: Sequence[int] = sorted(set(stacked.frame_index.tolist()))
    heights = [np.nan if one.height_m is None else one.height_m for _, one in read.people()]
    return FlatLabels(
        skeleton=read.skeleton,
        wanted=tuple(Wanted(frame) for frame in frames),
        numbered=False,
        sizes=(read.image_size,) * len(frames),
        points_px=stacked.keypoints_px,
        shares=False,
        confidence=stacked.confidence,
        boxes_px=np.full((len(heights), 4), np.nan),
        statures_m=np.array(heights, np.float64),
        picture=np.searchsorted(frames, stacked.frame_index),
    )
