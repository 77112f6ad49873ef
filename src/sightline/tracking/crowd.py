"""People as arrays: what was last seen of them, where each is expected now, and how sure that is.

A place is four numbers: where the trunk is in the picture, the logarithm of the distance that the pose tells, and the
logarithm of the size in the picture. Their errors hardly depend on each other, so each has a Kalman filter of its own,
of two by two numbers. The picture tells the direction far better than a lifted root does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sightline.structures import Person

NOWHERE_PX: Final = -1e7
"""Where missing keypoints are put: far from every other, and finite."""

# How exact a place is, as standard deviations: of the trunk in the picture (m at the person's distance), of the
# logarithm of the distance, for one camera tells it badly, and of that of the size, which the pose changes as well.
_NOISE: Final = np.array([0.025, 0.025, 0.08, 0.05])
_LEAST_PX: Final = 1.0
LEAST_M: Final = 0.03
"""Nobody sees the root itself more exactly than that."""
_LATELY: Final = 0.4  # how much of the facing is that of the last sight

# How people walk: with a velocity that chance renews and time forgets (an Ornstein-Uhlenbeck process), whose standard
# deviation is 1.1 m/s along each level axis in the long run, and which seldom points up or down.
_FORGET_S: Final = 1.5
_SURPRISE: Final = np.array([1.5, 0.3, 1.5, 1.5])  # m²/s³
_FIRST_SPEED_M_S: Final = 1.2  # standard deviation of each axis of the velocity of somebody new


@dataclass(frozen=True, eq=False)
class Crowd:
    """Some people, a row each; what was never known is NaN.

    place: of the trunk in the picture (px, right and down), logarithms of the distance (m) and of the size (px), as
    expected now; speed: their change per second; variance: of place, of place and speed together, of speed, per axis.
    The rest is as last seen, at seen_s in frame number seen_frame, for the `sights`-th time: measured, the place;
    root_cam (m); points_px (NOWHERE_PX if missing); weight (0…1, 0 if missing); area_px (px²); px_per_m at the person;
    facing: where the body's right lies, to the camera's right and ahead, a mean of unit vectors (0 if never known).
    """

    id: Int[np.ndarray, " person"]
    place: Float[np.ndarray, "person 4"]
    speed: Float[np.ndarray, "person 4"]
    variance: Float[np.ndarray, "person 3 4"]
    measured: Float[np.ndarray, "person 4"]
    root_cam: Float[np.ndarray, "person 3"]
    points_px: Float[np.ndarray, "person joint 2"]
    weight: Float[np.ndarray, "person joint"]
    area_px: Float[np.ndarray, " person"]
    px_per_m: Float[np.ndarray, " person"]
    facing: Float[np.ndarray, "person 2"]
    seen_s: Float[np.ndarray, " person"]
    seen_frame: Int[np.ndarray, " person"]
    sights: Int[np.ndarray, " person"]

    def __len__(self) -> int:
        """The number of people."""
        return len(self.id)

    def __getitem__(self, rows: np.ndarray | Sequence[int]) -> Crowd:
        """Those of `rows`, indices or a mask."""
        at = np.asarray(rows)
        return Crowd(*(getattr(self, name)[at] for name in _FIELDS))

    def joined(self, others: Crowd) -> Crowd:
        """These, then the others."""
        return Crowd(*(np.concatenate([getattr(self, name), getattr(others, name)]) for name in _FIELDS))

    def with_id(self, row: int, ident: int) -> Crowd:
        """The same people, of whom one has another id."""
        return replace(self, id=_written(self.id, np.array([row]), np.array([ident])))

    def with_row(self, row: int, one: Crowd) -> Crowd:
        """The same people, but somebody else in one row."""
        at = np.array([row])
        return Crowd(*(_written(getattr(self, name), at, getattr(one, name)) for name in _FIELDS))

    def after(self, step_s: float) -> Crowd:
        """The same people a while later: they go on as they went, ever slower, and are known less well."""
        keep = math.exp(-step_s / _FORGET_S)
        way = _FORGET_S * (1 - keep)  # how far speed 1 still carries
        speeds = _FORGET_S / 2 * (1 - keep**2)
        spread = np.array([[max(_FORGET_S**2 * (step_s - 2 * way + speeds), 0.0)], [way**2 / 2], [speeds]]) * _SURPRISE
        place, both, speed = self.variance[:, 0], self.variance[:, 1], self.variance[:, 2]
        moved = np.empty_like(self.variance)
        moved[:, 0] = place + way * (2 * both + way * speed)
        moved[:, 1] = keep * (both + way * speed)
        moved[:, 2] = keep**2 * speed
        moved += per_metre(self.px_per_m, self.place)[:, None] ** 2 * spread
        return replace(self, place=self.place + way * self.speed, speed=keep * self.speed, variance=moved)

    def seen_again(self, rows: np.ndarray, new: Crowd, missed: np.ndarray, jumped: np.ndarray) -> Crowd:
        """The same people, of whom those of `rows` are seen as `new` sees them, which misses the place by `missed`.

        Who `jumped` begins to move anew, as does every number that is known for the first time.
        """
        place, speed, variance = self.place[rows], self.speed[rows], self.variance[rows]
        gain = variance[:, :2] / (variance[:, :1] + new.variance[:, :1])
        at, going = place + gain[:, 0] * missed, speed + gain[:, 1] * missed
        less = variance.copy()
        less[:, :2] -= gain * variance[:, :1]
        less[:, 2] -= gain[:, 1] * variance[:, 1]
        measured = place + missed
        begins, unseen = jumped[:, None] | np.isnan(place), np.isnan(missed)
        if begins.any() or unseen.any():
            unseen &= ~begins
            at = np.where(begins, new.place, np.where(unseen, place, at))
            going = np.where(begins, new.speed, np.where(unseen, speed, going))
            less = np.where(begins[:, None], new.variance, np.where(unseen[:, None], variance, less))
            measured = np.where(begins, new.place, np.where(unseen, place, measured))
        merged = replace(
            new, id=self.id[rows], place=at, speed=going, variance=less, measured=measured,
            sights=self.sights[rows] + 1, facing=_mixed(self.facing[rows], new.facing),
        )  # fmt: skip
        if len(rows) == len(self):
            return merged
        return Crowd(*(_written(getattr(self, name), rows, getattr(merged, name)) for name in _FIELDS))


_FIELDS: Final = tuple(field.name for field in fields(Crowd))


def sights_of(
    people: Sequence[Person], root: int, trunk: np.ndarray, sides: np.ndarray, time_s: float, frame: int
) -> Crowd:
    """People as if they were seen for the first time, now; the id is −1 where they have none.

    root: index of the root joint. trunk: how much each joint counts for the place in the picture. sides: 1 for joints
    at the right of the trunk, −1 for those at its left, 0 for others.
    """
    count, joints = len(people), len(trunk)
    joints_cam = np.array([person.joints_cam_m for person in people], dtype=np.float64).reshape(count, joints, 3)
    points = np.array([person.keypoints_px for person in people], dtype=np.float64).reshape(count, joints, 2)
    confidence = np.array([person.confidence for person in people], dtype=np.float64).reshape(count, joints)
    depth = np.array([person.root_depth_canonical or np.nan for person in people], dtype=np.float64)
    missing = np.isnan(points[..., 0])
    weight = np.where(missing, 0.0, 0.1 + 0.9 * confidence)
    points = np.where(missing[..., None], NOWHERE_PX, points)
    root_cam = joints_cam[:, root]
    if np.isnan(root_cam).any():
        root_cam = np.where(np.isnan(root_cam), _middle(joints_cam), root_cam)
    distance = np.maximum(np.sqrt((root_cam**2).sum(-1)), LEAST_M)
    area = _area(points, missing)
    per_m = np.where(np.isnan(depth), np.sqrt(area), 1 / depth)  # the box of a person has about 1 m²
    place = np.empty((count, 4))
    place[:, :2], size, _ = laid_out(points, weight, trunk)
    place[:, 2], place[:, 3] = np.log(distance), np.log(size)
    scale = per_metre(per_m, place)
    variance = np.zeros((count, 3, 4))
    variance[:, 0] = _NOISE**2 + (LEAST_M / distance[:, None]) ** 2 * (0, 0, 1, 1)
    variance[:, 0, :2] = _NOISE[:2] ** 2 * scale[:, :2] ** 2 + _LEAST_PX**2
    variance[:, 2] = (_FIRST_SPEED_M_S * scale) ** 2
    return Crowd(
        id=np.array([-1 if person.id is None else person.id for person in people], dtype=np.int64),
        place=place,
        speed=np.zeros((count, 4)),
        variance=variance,
        measured=place,
        root_cam=root_cam,
        points_px=points,
        weight=weight,
        area_px=area,
        px_per_m=per_m,
        facing=_facing(joints_cam, sides),
        seen_s=np.full(count, time_s),
        seen_frame=np.full(count, frame),
        sights=np.ones(count, dtype=np.int64),
    )


class LaidOut(NamedTuple):
    """Bodies in the picture (px): the middle of the trunk, how far joints lie from it (rms), and where from there.

    Middle and size are NaN for bodies without points.
    """

    middle: Float[np.ndarray, "*body 2"]
    size: Float[np.ndarray, "*body"]
    apart: Float[np.ndarray, "*body joint 2"]


def laid_out(points_px: np.ndarray, weight: np.ndarray, trunk: np.ndarray) -> LaidOut:
    """Lay points (…, joint, 2) out around the middle of the trunk; `trunk` is what each joint counts for that."""
    counting = weight * trunk
    total, every = counting.sum(-1), weight.sum(-1)
    none = every == 0
    if none.any():
        total, every = np.where(none, np.nan, total), np.where(none, np.nan, every)
    middle = (counting[..., None, :] @ points_px)[..., 0, :] / total[..., None]
    apart = points_px - middle[..., None, :]
    size = np.sqrt((square(apart) * weight).sum(-1) / every)
    return LaidOut(middle, np.maximum(size, 1.0), apart)


def square(offset: np.ndarray) -> np.ndarray:
    """Squared length of offsets (…, 2)."""
    return offset[..., 0] ** 2 + offset[..., 1] ** 2


def per_metre(px_per_m: np.ndarray, place: np.ndarray) -> Float[np.ndarray, "person 4"]:
    """How much each number of a place changes when somebody moves by a metre; NaN where that is not known."""
    scale = np.empty(place.shape)
    scale[:, :2] = px_per_m[:, None]
    scale[:, 2:] = np.exp(-place[:, 2:3])
    scale[:, 3] = np.where(np.isnan(scale[:, 3]), 0.2, scale[:, 3])
    return scale


def _facing(joints_cam: np.ndarray, sides: np.ndarray) -> Float[np.ndarray, "person 2"]:
    """Unit vectors from left to right through the trunk, seen from above; 0 where a joint of those is missing."""
    across = sides @ joints_cam[..., ::2]
    length = np.sqrt((across**2).sum(-1, keepdims=True))
    return np.where(length > 0, across / np.where(length > 0, length, 1.0), 0.0)


def _mixed(old: np.ndarray, new: np.ndarray) -> Float[np.ndarray, "person 2"]:
    """What was seen lately counts most; the old stays where there is nothing new."""
    return np.where((new != 0).any(-1, keepdims=True), old + _LATELY * (new - old), old)


def _middle(joints_cam: np.ndarray) -> Float[np.ndarray, "person 3"]:
    """The mean of the known joints; NaN without one."""
    known = ~np.isnan(joints_cam[:, :, :1])
    total = np.where(known, joints_cam, 0.0).sum(1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _area(points_px: np.ndarray, missing: np.ndarray) -> Float[np.ndarray, " person"]:
    """Area (px²) of the box around the seen points; of a narrow one, as if it were a third as wide as long."""
    high = points_px.max(1)
    low = np.where(missing[..., None], -NOWHERE_PX, points_px).min(1)
    sides = np.maximum(high - low, 0.0)
    longer = sides.max(-1)
    return np.maximum(longer * np.maximum(sides.min(-1), longer / 3), 1.0)


def _written(values: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
    """A copy of `values` with `new` in place of `rows`."""
    values = values.copy()
    values[rows] = new
    return values
