"""Keypoints of any tool as labels: who is where in which picture, before anything is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
    statures_m: Float[np.ndarray, " person"]
    picture: Int[np.ndarray, " person"]
    """Row of `wanted`."""


def read_flat_labels(path: Path, kind: str | None, skeleton: str | None) -> FlatLabels:
    """Read a file or folder as `read_keypoints_of` does, COCO's annotations of pictures of many sizes too.

    Raises:
        InputError, UsageError: as `read_keypoints_of` does.
    """
    dump = load(path)
    if (kind or told_kind(dump)) == "coco" and not dump.is_folder and isinstance(dump.single.content, dict):
        return _labels(*_annotations(dump.single, asked_skeleton(skeleton)), numbered=True)
    found = read_detections(path, kind=kind, skeleton=skeleton)
    if isinstance(found, OwnFile):
        return _own(found)
    return _labels(found, {}, {}, numbered=dump.is_folder or found.kind in _NAMING)


def _annotations(part: Part, asked: Skeleton | None) -> tuple[Detections, dict[int, str], dict[int, tuple[int, int]]]:
    """COCO's people, and names and sizes of its pictures by the frames' numbers."""
    content, where = part.content, part.where
    images = list(objects(strict.get_list(content, "images", where, []), "images", where))
    plain = [{key: value for key, value in image.items() if key not in ("width", "height")} for image, _ in images]
    found = read_coco(Dump(where, (Part(where, part.name, {**content, "images": plain}),), is_folder=False), asked)
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
    return found, files, sizes


def _labels(
    found: Detections, files: dict[int, str], sizes: dict[int, tuple[int, int]], *, numbered: bool
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
        statures_m=np.array(heights, np.float64),
        picture=np.searchsorted(frames, stacked.frame_index),
    )
