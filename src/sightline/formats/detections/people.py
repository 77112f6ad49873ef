"""People as another tool's file has them, checked together and brought into Sightline's terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.errors import InputError, UsageError
from sightline.formats import strict
from sightline.formats.detections.content import LARGEST_INDEX
from sightline.formats.detections.joints import choose_joints
from sightline.skeleton import Skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

FARTHEST_PX: Final = 1e6
FARTHEST_SHARE: Final = 20.0
SCORES: Final = (-1.0, 10.0)
"""Raw scores: a heat map's peak may lie a little below 0 where there is none, beyond 1, and with old AlphaPose at 6."""


class Row(NamedTuple):
    """One person as the file has them: x, y and a score per joint. `where` begins the messages about them."""

    frame: int
    table: Float[np.ndarray, "joint 3"]
    id: int | None
    where: str


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a kind of file says about all its people.

    sets: number of joints → joint set. usual: the number where there is nobody to count at. names: of the joints, where
    the file tells them. shift_px: from the tool's pixel origin to the corner. shares: coordinates are shares of the
    picture's width and height instead of pixels. score_range: lowest and highest score there can be. flags: scores may
    be COCO's visibility instead.
    """

    kind: str
    sets: Mapping[int, str]
    usual: int
    score_range: tuple[float, float]
    names: Sequence[str] | None = None
    shift_px: float = 0.0
    shares: bool = False
    flags: bool = False
    image_size: tuple[int, int] | None = None
    fps: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """The people of another tool's file, before the size of its pictures need be known.

    points: px with corner origin, or shares of the picture's width and height; NaN where missing, with confidence 0.
    frame_of: the frame of each person, one of `frames`, which rise and may have nobody. dropped: people without a
    single keypoint, who were left out.
    """

    where: str
    layout: Layout
    skeleton: Skeleton
    frames: tuple[int, ...]
    points: Float[np.ndarray, "person joint 2"]
    confidence: Float[np.ndarray, "person joint"]
    frame_of: Int[np.ndarray, " person"]
    ids: tuple[int | None, ...]
    dropped: int

    @property
    def kind(self) -> str:
        """The tool: one of `KINDS`."""
        return self.layout.kind

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Width and height of the pictures (px), where the file says them."""
        return self.layout.image_size

    def keypoints(self, image_size: Sequence[int] | None = None, fps: float | None = None) -> Keypoints:
        """Keypoints in pixels of pictures of that size; `fps` takes the place of the file's.

        `InputError` where neither the file nor the caller says the size, or both do and differ.
        """
        size = agreed_size(self.image_size, image_size, self.where)
        if size is None:
            what = "are shares of the picture's width and height" if self.layout.shares else "are pixels of pictures"
            raise InputError(
                f"{self.where}: expected the size of its pictures beside it, since its coordinates {what} whose size "
                "the file does not say; give it (image_size, or --image-size W H on the command line)"
            )
        points = self.points * size if self.layout.shares else self.points
        people: dict[int, list[PersonKeypoints]] = {frame: [] for frame in self.frames}
        for frame, point, confidence, person_id in zip(
            self.frame_of.tolist(), points, self.confidence, self.ids, strict=True
        ):
            people[frame].append(PersonKeypoints(keypoints_px=point, confidence=confidence, id=person_id))
        frames = tuple(KeypointFrame(index=index, people=tuple(found)) for index, found in people.items())
        rate = self.layout.fps if fps is None else fps
        return Keypoints(skeleton=self.skeleton, image_size=size, fps=rate, frames=frames)


def agreed_size(told: tuple[int, int] | None, given: Sequence[int] | None, where: str) -> tuple[int, int] | None:
    """The size (px) a file tells or a caller gives; `InputError` where both do and differ, `UsageError` for no size."""
    if given is None:
        return told
    sides = tuple(given)
    if len(sides) != 2 or not all(isinstance(side, (int, np.integer)) and side >= 1 for side in sides):
        raise UsageError(f"image_size: expected a width and height of at least 1 in whole pixels, got {sides}")
    width, height = int(sides[0]), int(sides[1])
    if told is not None and told != (width, height):
        raise InputError(
            f"{where}: says that its pictures are {told[0]} × {told[1]} px, but {width} × {height} was given; give no "
            "size, or that one"
        )
    return width, height


def gather(
    rows: Sequence[Row], frames: Iterable[int], layout: Layout, asked: Skeleton | None, where: str
) -> Detections:
    """Check all people of a file together and bring them into one joint set, origin and measure of confidence.

    `InputError` for people of different or unknown numbers of joints, coordinates and scores that cannot be, pixels
    that are none, and an id twice in a frame.
    """
    count = _same_count(rows, asked, layout)
    chosen = choose_joints(count, layout.names, asked, layout.sets, where)
    table = np.stack([row.table for row in rows]) if rows else np.zeros((0, count, 3))
    table = table[:, chosen.columns]
    points, confidence = table[..., :2], _confidence(table[..., 2], rows, chosen.skeleton, layout)
    missing = (confidence <= 0) | np.isnan(points).any(-1) | (points == 0).all(-1)  # all tools write 0, 0 for nothing
    _check_coordinates(points, missing, rows, chosen.skeleton, layout, where)
    kept = np.flatnonzero(~missing.all(-1))
    found = Detections(
        where=where,
        layout=layout,
        skeleton=chosen.skeleton,
        frames=tuple(sorted({*frames, *(row.frame for row in rows)})),
        points=np.where(missing[..., None], np.nan, points + layout.shift_px)[kept],
        confidence=np.where(missing, 0.0, confidence)[kept],
        frame_of=np.array([rows[person].frame for person in kept.tolist()], dtype=np.int64),
        ids=tuple(rows[person].id for person in kept.tolist()),
        dropped=len(rows) - len(kept),
    )
    _check_ids(found)
    return found


def triples(value: Any, where: str) -> Float[np.ndarray, "joint 3"]:
    """`x0, y0, score0, x1, …` of any number of joints as (joint, 3)."""
    flat = strict.as_array(value, (None,), where)
    if len(flat) % 3:
        raise InputError(f"{where}: expected x, y and a score per joint, got {len(flat)} numbers")
    return flat.reshape(-1, 3)


def whole_id(value: Any, where: str) -> int | None:
    """A tool's tracking id; none, or below 0, is nobody known."""
    if value is None:
        return None
    if type(value) not in (int, float) or (isinstance(value, float) and not value.is_integer()):
        raise InputError(f"{where}: expected a whole number, got {strict.kind(value)}")
    return int(value) if 0 <= value <= LARGEST_INDEX else None


def _same_count(rows: Sequence[Row], asked: Skeleton | None, layout: Layout) -> int:
    """The number of joints that all people have; of nobody, any number that fits."""
    if not rows:
        if layout.names is not None:
            return len(layout.names)
        return layout.usual if asked is None else len(asked)
    count = len(rows[0].table)
    other = next((row for row in rows if len(row.table) != count), None)
    if other is not None:
        raise InputError(
            f"{other.where}: expected {count} joints, as the people before have, got {len(other.table)}; all must have "
            "one joint set"
        )
    return count


def _confidence(
    score: Float[np.ndarray, "person joint"], rows: Sequence[Row], skeleton: Skeleton, layout: Layout
) -> Float[np.ndarray, "person joint"]:
    """Scores as confidence: up to 0 is missing, above 1 counts as 1; a score out of the layout's range is refused.

    Where flags may stand and all scores are 0, 1 or 2, they are COCO's: 2 is seen, 1 is there but hidden, hence half.
    """
    low, high = layout.score_range
    wrong = (score < low) | (score > high)
    if wrong.any():
        person, joint = np.argwhere(wrong)[0].tolist()
        at = f"{rows[person].where}: {skeleton.joints[joint]}"
        what = "a visibility of 0, 1 or 2" if layout.flags and high == 2 else "a confidence of 0…1"
        raise InputError(f"{at}: expected {what}, got {score[person, joint]:g}")
    if layout.flags and np.isin(score, (0, 1, 2)).all() and (score == 2).any():
        return score / 2
    return np.clip(score, 0, 1)


def _check_coordinates(
    points: Float[np.ndarray, "person joint 2"],
    missing: Bool[np.ndarray, "person joint"],
    rows: Sequence[Row],
    skeleton: Skeleton,
    layout: Layout,
    where: str,
) -> None:
    size = np.where(missing, 0.0, np.abs(np.nan_to_num(points)).max(-1))
    farthest = FARTHEST_SHARE if layout.shares else FARTHEST_PX
    if (size > farthest).any():
        person, joint = np.argwhere(size > farthest)[0].tolist()
        at = f"{rows[person].where}: {skeleton.joints[joint]}"
        what = "shares of the picture's width and height, about 0…1" if layout.shares else "pixels"
        hint = ": these look like pixels" if layout.shares else ""
        raise InputError(f"{at}: expected {what}, got {size[person, joint]:g}{hint}")
    if not layout.shares and not missing.all() and size.max() <= 1:
        raise InputError(
            f"{where}: expected pixels, but all coordinates lie within -1…1 as shares of the picture do; have the tool "
            "write pixels of the source picture (OpenPose: --keypoint_scale 0)"
        )


def _check_ids(found: Detections) -> None:
    seen: set[tuple[int, int]] = set()
    for frame, person_id in zip(found.frame_of.tolist(), found.ids, strict=True):
        if person_id is not None and (frame, person_id) in seen:
            raise InputError(f"{found.where}: frame {frame}: expected each person id once, got {person_id} twice")
        seen.add((frame, -1 if person_id is None else person_id))
