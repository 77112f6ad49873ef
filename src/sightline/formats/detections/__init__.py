"""Keypoints of other tools: COCO, OpenPose, MMPose, AlphaPose and MediaPipe, told apart by their content.

Each reader states its joint set, its pixel origin and what its scores mean; docs/keypoints.md has them side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sightline.errors import InputError, UsageError
from sightline.formats import strict
from sightline.formats.detections.alphapose import read_alphapose
from sightline.formats.detections.coco import read_coco
from sightline.formats.detections.content import Dump, Table, load
from sightline.formats.detections.joints import asked_skeleton
from sightline.formats.detections.kinds import KINDS, Kind, told_kind
from sightline.formats.detections.mediapipe import read_mediapipe
from sightline.formats.detections.mmpose import read_mmpose
from sightline.formats.detections.openpose import read_openpose
from sightline.formats.detections.people import Detections, agreed_size
from sightline.formats.keypoints import keypoints_from_json
from sightline.skeleton import Skeleton
from sightline.structures import Keypoints

__all__ = ["KINDS", "Detections", "Kind", "OwnFile", "read_detections", "read_keypoints_of"]

_READERS: Final[Mapping[str, Callable[[Dump, Skeleton | None], Detections]]] = {
    "coco": read_coco,
    "openpose": read_openpose,
    "mmpose": read_mmpose,
    "alphapose": read_alphapose,
    "mediapipe": read_mediapipe,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnFile:
    """A file of Sightline's own: `Detections` to whoever asks, but nothing about it is open."""

    where: str
    read: Keypoints
    kind: Kind = "sightline"
    dropped: int = 0

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the pictures (px)."""
        return self.read.image_size

    def keypoints(self, image_size: Sequence[int] | None = None, fps: float | None = None) -> Keypoints:
        """The keypoints; `fps` takes the place of the file's. `InputError` for another size than the file says."""
        agreed_size(self.read.image_size, image_size, self.where)
        return self.read if fps is None else replace(self.read, fps=fps)


def read_keypoints_of(
    path: str | Path,
    *,
    kind: Kind | str | None = None,
    image_size: Sequence[int] | None = None,
    fps: float | None = None,
    skeleton: str | None = None,
) -> Keypoints:
    """Read the keypoints in a file or folder of any known tool, Sightline's own included.

    Args:
        path: a file, or the folder that the tool wrote.
        kind: the tool, one of `KINDS`; told by content where None.
        image_size: width and height (px) of the pictures, needed where the file does not say them.
        fps: frames per second; takes the place of what the file says.
        skeleton: the joint set, where the file's own names or number of joints do not tell it.

    Raises:
        InputError: for whatever is wrong with the file, or is neither in it nor given.
        UsageError: for a kind or joint set that there is not, or a size that is none.
    """
    return read_detections(path, kind=kind, skeleton=skeleton).keypoints(image_size, fps)


def read_detections(
    path: str | Path, *, kind: Kind | str | None = None, skeleton: str | None = None
) -> Detections | OwnFile:
    """Read a file or folder as `read_keypoints_of` does, for callers who find the pictures' size afterwards."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind: expected one of {', '.join(KINDS)}, got '{kind}'")
    asked = asked_skeleton(skeleton)
    dump = load(path)
    chosen = told_kind(dump) if kind is None else kind
    part = dump.parts[0]
    if isinstance(part.content, Table) and chosen != "mediapipe":
        raise InputError(f"{part.where}: expected JSON, since only landmarks of MediaPipe come as a table, got a table")
    if chosen == "sightline":
        return _own(dump, asked)
    return _READERS[chosen](dump, asked)


def _own(dump: Dump, asked: Skeleton | None) -> OwnFile:
    part = dump.single
    read = keypoints_from_json(strict.as_object(part.content, part.where), part.where)
    if asked is not None and asked != read.skeleton:
        raise InputError(f"{part.where}: its joints are {read.skeleton.name}, but {asked.name} was asked for")
    return OwnFile(where=part.where, read=read)
