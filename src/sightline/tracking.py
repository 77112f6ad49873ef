"""Who is who from frame to frame: people in, the same people with ids out."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from sightline.skeleton import Skeleton
from sightline.structures import Person

OKS_SIGMA: Final = {
    "Hip": 0.107, "Knee": 0.087, "Ankle": 0.089, "Shoulder": 0.079, "Elbow": 0.072, "Wrist": 0.062,
    "Spine": 0.107, "Thorax": 0.079, "Nose": 0.05, "Head": 0.05,
}  # fmt: skip
"""How far a joint may be off, as a share of the root of the person's area: COCO's for the joints that COCO has (Lin et
al. 2014), those of their neighbours for the rest of h36m17, whose Nose and Head are no points on the skin."""
_OTHER_SIGMA: Final = 0.08

# How exact a place is: its distance is far less certain than its direction, as for everything that one camera measures.
_ACROSS: Final = 0.01  # standard deviation across the line of sight, m per m of distance
_ALONG: Final = 0.06  # along it
_LEAST_M: Final = 0.03  # of both: nobody sees the root itself
_SURPRISE: Final = 4.0  # m²/s³: a walker's velocity changes by about 1.4 m/s within half a second
_FIRST_SPEED_M_S: Final = 1.5  # standard deviation of each axis of the velocity of somebody new
_REACH: Final = 1.5  # standard deviations at which nearness has fallen to 0.6
_LEAST_LIKENESS: Final = 0.05  # below this, two sights are not the same person


@dataclass(frozen=True, eq=False)
class _Tracks:
    """People as they were last seen, as arrays; what was never known is NaN.

    motion: place (m, camera frame) and velocity (m/s) as expected now; spread: their covariance. place_cam, points_px,
    focal_px: as last seen, at seen_s and in frame number seen_frame.
    """

    id: Int[np.ndarray, " track"]
    motion: Float[np.ndarray, "track 6"]
    spread: Float[np.ndarray, "track 6 6"]
    place_cam: Float[np.ndarray, "track 3"]
    points_px: Float[np.ndarray, "track joint 2"]
    focal_px: Float[np.ndarray, " track"]
    seen_s: Float[np.ndarray, " track"]
    seen_frame: Int[np.ndarray, " track"]

    def __getitem__(self, rows: np.ndarray) -> _Tracks:
        """Those of `rows`, indices or a mask."""
        return _Tracks(**{name: value[rows] for name, value in vars(self).items()})

    def with_others(self, others: _Tracks) -> _Tracks:
        """All of both, by id."""
        joined = {name: np.concatenate([value, getattr(others, name)]) for name, value in vars(self).items()}
        return _Tracks(**joined)[np.argsort(joined["id"])]

    def after(self, step_s: float) -> _Tracks:
        """The same people a while later: they go on as they went, and are known less well."""
        forward = np.kron([[1.0, step_s], [0.0, 1.0]], np.eye(3))
        surprise = _SURPRISE * np.kron([[step_s**3 / 3, step_s**2 / 2], [step_s**2 / 2, step_s]], np.eye(3))
        return replace(self, motion=self.motion @ forward.T, spread=forward @ self.spread @ forward.T + surprise)

    def seen_as(self, new: _Tracks, jumped: Bool[np.ndarray, " track"]) -> _Tracks:
        """The same people, row by row, as `new` saw them.

        Motion follows from places by a Kalman filter; it begins anew for whom a place is known for the first time, or
        who jumped.
        """
        gain = self.spread[:, :, :3] @ np.linalg.inv(self.spread[:, :3, :3] + _noise(new.place_cam))
        missed = new.place_cam - self.motion[:, :3]
        motion, spread = self.motion + (gain @ missed[..., None])[..., 0], self.spread - gain @ self.spread[:, :3]
        begins, unseen = jumped | np.isnan(self.motion[:, 0]), np.isnan(new.place_cam[:, 0])
        return replace(
            new,
            motion=_choice(unseen, self.motion, _choice(begins, new.motion, motion)),
            spread=_choice(unseen, self.spread, _choice(begins, new.spread, spread)),
            place_cam=_choice(unseen, self.motion[:, :3], new.place_cam),
        )

    def expected_px(self, now_s: float) -> Float[np.ndarray, "track joint 2"]:
        """The points moved by as much as the place is expected to have moved in the picture, where that is known."""
        now, velocity = self.motion[:, :3], self.motion[:, 3:]
        then = now - velocity * (now_s - self.seen_s)[:, None]
        known = np.isfinite(self.focal_px) & (np.minimum(now[:, 2], then[:, 2]) > _LEAST_M)
        now, then = (_choice(known, place, np.ones_like(place)) for place in (now, then))
        moved_px = np.where(known, self.focal_px, 0.0)[:, None] * (now[:, :2] / now[:, 2:] - then[:, :2] / then[:, 2:])
        return self.points_px + moved_px[:, None]


class Tracker:
    """Gives people of a film ids that last; remembers those seen lately, however long the film.

    People are paired with those seen before so that the sum of their likeness is greatest (the Hungarian method).
    Likeness is the mean of two numbers in 0…1, or the one that is known: the object keypoint similarity of the 2D
    keypoints (COCO's, with the earlier ones moved to where the person is expected), and the nearness of the root to its
    expected place in standard deviations, of which one along the line of sight is six times as long as one across.
    Nobody moves faster than `max_speed_m_s`, but for that noise. The order of people within a frame does not matter.

    Whoever was away for more than `max_gap_s` and missed more than `max_gap_frames` is forgotten. New people get the
    next free ids, the largest in the picture first; no id is given twice. Ids that people bring along are never
    changed; where one had been given to somebody else, that person gets another.

    Args:
        skeleton: the joints of all people.
        max_gap_s: seconds.
        max_gap_frames: calls of `update`; it counts where frames are rare.
        max_speed_m_s: metres per second; the fastest sprinter runs 12.4.
    """

    def __init__(
        self, skeleton: Skeleton, *, max_gap_s: float = 1.0, max_gap_frames: int = 3, max_speed_m_s: float = 12.5
    ) -> None:
        if not (max_gap_s >= 0 and max_gap_frames >= 0 and max_speed_m_s > 0):
            raise ValueError(
                "max_gap_s, max_gap_frames, max_speed_m_s: expected gaps of at least 0 and a speed above 0, got "
                f"{max_gap_s}, {max_gap_frames}, {max_speed_m_s}"
            )
        self.skeleton, self.max_speed_m_s = skeleton, max_speed_m_s
        self.max_gap_s, self.max_gap_frames = max_gap_s, max_gap_frames
        parts = [joint[1:] if joint[:1] in "LR" and joint[1:2].isupper() else joint for joint in skeleton.joints]
        self._tolerance = 2 * np.array([OKS_SIGMA.get(part, _OTHER_SIGMA) for part in parts])
        self._time_s, self._frame, self._next_id = -math.inf, 0, 0
        self._tracks = self._sights([])

    def update(self, people: Sequence[Person], time_s: float, taken: Collection[int] = ()) -> tuple[Person, ...]:
        """Return the people of the next frame, in the same order, each with an id.

        Args:
            people: in the tracker's skeleton; some may bring their id.
            time_s: when the frame was taken, in seconds; not before the last one.
            taken: ids of others in this frame, who are not among `people`; nobody new gets them.

        Raises:
            ValueError: for time that runs backwards, another number of joints, or an id twice.
        """
        self._check(people, time_s, taken)
        self._advance(float(time_s))
        sights = self._sights(people)
        ids = self._ids(sights, taken)
        self._remember(replace(sights, id=ids))
        return tuple(
            replace(person, id=ident) if person.id is None else person
            for person, ident in zip(people, ids.tolist(), strict=True)
        )

    def _check(self, people: Sequence[Person], time_s: float, taken: Collection[int]) -> None:
        if not self._time_s <= time_s < math.inf:
            raise ValueError(f"time_s: expected a finite time, not before {self._time_s}, got {time_s}")
        joints = len(self.skeleton)
        for count in (len(person.joints_cam_m) for person in people):
            if count != joints:
                raise ValueError(f"people: expected {joints} joints ({self.skeleton.name}), got {count}")
        ids = [*(person.id for person in people if person.id is not None), *taken]
        if len(set(ids)) < len(ids):
            raise ValueError(f"people: expected each id once in a frame, got {ids}")

    def _advance(self, time_s: float) -> None:
        """Go to the next frame: forget those away for too long, and expect the others where they should be now."""
        before, self._time_s, self._frame = self._time_s, time_s, self._frame + 1
        away_s, missed = time_s - self._tracks.seen_s, self._frame - 1 - self._tracks.seen_frame
        lately = (away_s <= self.max_gap_s) | (missed <= self.max_gap_frames)
        self._tracks = self._tracks[lately].after(time_s - before) if lately.any() else self._tracks[lately]

    def _sights(self, people: Sequence[Person]) -> _Tracks:
        """People as if they were seen for the first time, now; the id is −1 where they have none."""
        count, joints = len(people), len(self.skeleton)
        joints_cam = np.array([person.joints_cam_m for person in people], dtype=np.float64).reshape(count, joints, 3)
        root = joints_cam[:, self.skeleton.root]
        place = _choice(np.isnan(root[:, 0]), _middle(joints_cam), root)
        depth = [np.nan if person.root_depth_canonical is None else person.root_depth_canonical for person in people]
        spread = np.zeros((count, 6, 6))
        spread[:, :3, :3], spread[:, 3:, 3:] = _noise(place), _FIRST_SPEED_M_S**2 * np.eye(3)
        return _Tracks(
            id=np.array([-1 if person.id is None else person.id for person in people], dtype=np.int64),
            motion=np.concatenate([place, np.zeros((count, 3))], axis=1),
            spread=spread,
            place_cam=place,
            points_px=np.array([person.keypoints_px for person in people], dtype=np.float64).reshape(count, joints, 2),
            focal_px=place[:, 2] / np.array(depth, dtype=np.float64),
            seen_s=np.full(count, self._time_s),
            seen_frame=np.full(count, self._frame),
        )

    def _ids(self, sights: _Tracks, taken: Collection[int]) -> Int[np.ndarray, " sight"]:
        """The id of each sight: its own, that of the track it goes on with, or a new one."""
        ids = sights.id.copy()
        given = [*ids[ids >= 0].tolist(), *taken]
        self._next_id = max([self._next_id, *(ident + 1 for ident in given)])
        tracks = self._tracks[~np.isin(self._tracks.id, given)]
        unnamed = np.array([row for row in _largest_first(sights) if ids[row] < 0], dtype=np.int64)
        likeness = self._likeness(tracks, sights[unnamed])
        for track, column in zip(*linear_sum_assignment(-likeness), strict=True):
            if likeness[track, column] > 0:
                ids[unnamed[column]] = tracks.id[track]
        for row in unnamed[ids[unnamed] < 0]:
            ids[row] = self._next_id
            self._next_id += 1
        return ids

    def _likeness(self, tracks: _Tracks, sights: _Tracks) -> Float[np.ndarray, "track sight"]:
        """How like each track each sight is, 0…1; 0 for those who cannot be the same person."""
        likeness = np.zeros((len(tracks.id), len(sights.id)))
        pairs = np.nonzero(~self._too_far(tracks.place_cam[:, None], sights.place_cam, tracks.seen_s[:, None]))
        old, new = tracks[pairs[0]], sights[pairs[1]]
        parts = np.stack(
            [_oks(old.expected_px(self._time_s), new.points_px, self._tolerance), _nearness(old, new.place_cam)]
        )
        known = ~np.isnan(parts)
        mean = np.where(known, parts, 0.0).sum(0) / np.maximum(known.sum(0), 1)
        likeness[pairs] = np.where(mean >= _LEAST_LIKENESS, mean, 0.0)
        return likeness

    def _too_far(self, old_cam: np.ndarray, new_cam: np.ndarray, seen_s: np.ndarray) -> np.ndarray:
        """Whether nobody could have moved from the one to the other since; False where a place is unknown."""
        distance = np.maximum(np.linalg.norm(new_cam, axis=-1), _LEAST_M)
        moved = new_cam - old_cam
        along = np.abs((moved * new_cam).sum(-1)) / distance
        across = np.sqrt(np.maximum((moved**2).sum(-1) - along**2, 0.0))
        step = self.max_speed_m_s * (self._time_s - seen_s) + 3 * math.sqrt(2) * _LEAST_M
        noise = 3 * math.sqrt(2) * distance  # both ends have it
        return np.hypot(along / (step + _ALONG * noise), across / (step + _ACROSS * noise)) > 1

    def _remember(self, sights: _Tracks) -> None:
        """Bring the tracks up to date with named sights."""
        tracks = self._tracks
        again, old, new = np.intersect1d(tracks.id, sights.id, return_indices=True)
        jumped = self._too_far(tracks.place_cam[old], sights.place_cam[new], tracks.seen_s[old])
        seen = tracks[old].seen_as(sights[new], jumped)
        away, born = tracks[~np.isin(tracks.id, again)], sights[~np.isin(sights.id, again)]
        self._tracks = away.with_others(seen).with_others(born)


def _oks(old_px: np.ndarray, new_px: np.ndarray, tolerance: np.ndarray) -> Float[np.ndarray, " pair"]:
    """Object keypoint similarity, over the joints that both have; NaN without such joints."""
    area = (_area(old_px) + _area(new_px)) / 2
    share = ((new_px - old_px) ** 2).sum(-1) / (2 * area[:, None] * tolerance**2)
    known = ~np.isnan(share)
    alike = np.where(known, np.exp(-np.where(known, share, 0.0)), 0.0).sum(-1)
    return np.where(known.any(-1), alike / np.maximum(known.sum(-1), 1), np.nan)


def _nearness(old: _Tracks, new_cam: np.ndarray) -> Float[np.ndarray, " pair"]:
    """1 at the expected place, 0 far away; NaN where a place is unknown."""
    missed = (new_cam - old.motion[:, :3])[..., None]
    square = (missed * (np.linalg.inv(old.spread[:, :3, :3] + _noise(new_cam)) @ missed)).sum((-2, -1))
    return np.exp(-square / (2 * _REACH**2))


def _noise(place_cam: np.ndarray) -> Float[np.ndarray, "place 3 3"]:
    """Covariance (m²) of measured places; of an unknown one, that of a place a metre ahead."""
    place_cam = _choice(np.isnan(place_cam[:, 0]), np.array([0.0, 0.0, 1.0]), place_cam)
    line = place_cam[:, :, None] * place_cam[:, None]  # as long as the square of the distance
    square = np.einsum("nii->n", line)[:, None, None]
    return (_ACROSS**2 * square + _LEAST_M**2) * np.eye(3) + (_ALONG**2 - _ACROSS**2) * line


def _middle(joints_cam: np.ndarray) -> Float[np.ndarray, "person 3"]:
    """The mean of the known joints; NaN without one."""
    known = ~np.isnan(joints_cam[:, :, :1])
    total = np.where(known, joints_cam, 0.0).sum(1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _area(points_px: np.ndarray) -> Float[np.ndarray, " person"]:
    """Area (px²) of the box around the known points; of a narrow one, as if it were a third as wide as long."""
    known = ~np.isnan(points_px)
    high, low = np.where(known, points_px, -np.inf).max(1), np.where(known, points_px, np.inf).min(1)
    sides = np.where(known.any(1), high - low, 0.0)
    return np.maximum(sides.max(-1) * np.maximum(sides.min(-1), sides.max(-1) / 3), 1.0)


def _largest_first(sights: _Tracks) -> Int[np.ndarray, " sight"]:
    """Rows in an order that depends on what is seen only: by area, then by every other number."""
    numbers = [-_area(sights.points_px)[:, None], *sights.points_px.swapaxes(0, 1), sights.place_cam]
    return np.lexsort(np.nan_to_num(np.concatenate(numbers, axis=1)).T[::-1])


def _choice(which: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """`np.where` for whole rows."""
    return np.where(which.reshape(-1, *[1] * (no.ndim - 1)), yes, no)
