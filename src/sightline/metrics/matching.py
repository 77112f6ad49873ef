"""Who is who: predicted people paired with true ones, and nobody dropped in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from sightline.skeleton import Skeleton

MatchBy = Literal["auto", "row", "id", "frame", "distance"]
"""How people are paired; see `match_people`."""

MAX_ROOT_DISTANCE_M = 2.0
"""By distance, people further apart than this are two people: generous, for a wrong depth is an error to be scored."""
LARGEST_BODY_M = 10.0
"""A pose whose joints lie further than this from their mean is not in metres."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseRows:
    """People as arrays, one row per person and frame; metres, camera frame; a missing joint is NaN.

    frame_index: None where frames are not numbered: then row i is compared with row i. person_id: −1 where there is
    none. annotated_frames: frames that were looked at, those without people included; None is the frames of the rows.
    sigma_m: stated 68 % half-width (m) per joint and axis, NaN where there is none; None where nobody states any.
    Raises `ValueError` where arrays do not fit, an id stands twice in a frame, or lengths are not metres.
    """

    skeleton: Skeleton
    joints_cam_m: Float[np.ndarray, "person joint 3"]
    frame_index: Int[np.ndarray, " person"] | None = None
    person_id: Int[np.ndarray, " person"] | None = None
    action: tuple[str, ...] | None = None
    annotated_frames: Int[np.ndarray, " frame"] | None = None
    fps: float | None = None
    sigma_m: Float[np.ndarray, "person joint 3"] | None = None

    def __post_init__(self) -> None:
        joints = self.joints_cam_m
        if joints.ndim != 3 or joints.shape[1:] != (len(self.skeleton), 3):
            raise ValueError(f"joints_cam_m: expected (n, {len(self.skeleton)}, 3), got {joints.shape}")
        if self.sigma_m is not None:
            if self.sigma_m.shape != joints.shape:
                raise ValueError(
                    f"sigma_m: expected the shape of joints_cam_m, {joints.shape}, got {self.sigma_m.shape}"
                )
            if (self.sigma_m < 0).any():
                raise ValueError(f"sigma_m: expected no negative half-width, got {np.nanmin(self.sigma_m)}")
        for name in ("frame_index", "person_id", "action"):
            column = getattr(self, name)
            if column is not None and len(column) != len(joints):
                raise ValueError(f"{name}: expected one for each of {len(joints)} rows, got {len(column)}")
        if self.fps is not None and not 0 < self.fps < np.inf:
            raise ValueError(f"fps: expected a positive number of frames per second, got {self.fps}")
        self._check_ids()
        self._check_metres()

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.joints_cam_m)

    @property
    def has_ids(self) -> bool:
        """Whether every row says which person it is."""
        return self.person_id is not None and bool((self.person_id >= 0).all())

    @property
    def frames(self) -> Int[np.ndarray, " frame"]:
        """The frames that were looked at, rising."""
        if self.frame_index is None:
            return np.arange(len(self))
        rows = self.frame_index
        return np.unique(rows if self.annotated_frames is None else np.concatenate([rows, self.annotated_frames]))

    def _check_ids(self) -> None:
        if self.frame_index is None or self.person_id is None:
            return
        named = self.person_id >= 0
        keys, counts = np.unique(np.stack([self.frame_index, self.person_id])[:, named], axis=1, return_counts=True)
        if (counts > 1).any():
            frame, person = keys[:, counts > 1][:, 0]
            raise ValueError(f"person_id: expected each id once in a frame, but frame {frame} has {person} twice")

    def _check_metres(self) -> None:
        seen = np.isfinite(self.joints_cam_m).all(-1)
        people = self.joints_cam_m[seen.sum(1) > 1]
        if not len(people):
            return
        known = np.isfinite(people).all(-1, keepdims=True)
        mean = np.where(known, people, 0.0).sum(1, keepdims=True) / known.sum(1, keepdims=True)
        reach = np.where(known, np.abs(people - mean), 0.0).max(axis=(1, 2))
        if np.median(reach) > LARGEST_BODY_M:
            raise ValueError(
                f"joints_cam_m: expected metres, but bodies reach {np.median(reach):.0f} from their middle; "
                "divide millimetres by 1000"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Matching:
    """Row numbers of pairs, and of those who have no partner."""

    by: MatchBy
    predicted: Int[np.ndarray, " pair"]
    true: Int[np.ndarray, " pair"]
    missed: Int[np.ndarray, " missed"]
    """True people without a prediction."""
    extra: Int[np.ndarray, " extra"]
    """Predicted people without a true one, in frames that the truth covers."""
    unannotated: Int[np.ndarray, " unannotated"]
    """Predicted people in frames that the truth does not cover: neither right nor wrong."""


def match_people(
    prediction: PoseRows,
    truth: PoseRows,
    *,
    by: MatchBy = "auto",
    max_root_distance_m: float = MAX_ROOT_DISTANCE_M,
) -> Matching:
    """Pair predicted with true people, both in one skeleton.

    `"row"`: row by row. `"id"`: same frame and same id. `"frame"`: same frame, which has one person on either side.
    `"distance"`: in each frame, as many pairs as possible with roots nearer than `max_root_distance_m` and among those
    the least sum of distances (Hungarian method; where a root is missing, the mean of the joints both have).
    `"auto"` is by row if neither side numbers its frames, by id if all rows of both have ids and share some, else by
    distance. Raises `ValueError` where a rule cannot be followed.
    """
    if by not in get_args(MatchBy):
        raise ValueError(f"match: expected one of {', '.join(get_args(MatchBy))}, got {by!r}")
    if not max_root_distance_m > 0:
        raise ValueError(f"max_root_distance_m: expected a length above 0, got {max_root_distance_m}")
    by = _rule(prediction, truth) if by == "auto" else by
    if by == "row":
        predicted, true = _by_row(prediction, truth)
    elif prediction.frame_index is None or truth.frame_index is None:
        raise ValueError(f'match "{by}": expected frame_index on both sides; only match "row" does without')
    elif by == "id":
        predicted, true = _by_id(prediction, truth)
    elif by == "frame":
        predicted, true = _by_frame(prediction.frame_index, truth.frame_index)
    else:
        predicted, true = _by_distance(prediction, truth, max_root_distance_m)
    alone = np.setdiff1d(np.arange(len(prediction)), predicted)
    covered = np.isin(alone if prediction.frame_index is None else prediction.frame_index[alone], truth.frames)
    return Matching(
        by=by,
        predicted=predicted,
        true=true,
        missed=np.setdiff1d(np.arange(len(truth)), true),
        extra=alone[covered],
        unannotated=alone[~covered],
    )


def _rule(prediction: PoseRows, truth: PoseRows) -> MatchBy:
    if prediction.frame_index is None and truth.frame_index is None:
        return "row"
    both = prediction.has_ids and truth.has_ids
    return "id" if both and np.isin(_ids(prediction), _ids(truth)).any() else "distance"


def _ids(rows: PoseRows) -> np.ndarray:
    return np.empty(0, dtype=np.int64) if rows.person_id is None else rows.person_id


def _by_row(prediction: PoseRows, truth: PoseRows) -> tuple[np.ndarray, np.ndarray]:
    if len(prediction) != len(truth):
        raise ValueError(
            f"expected as many predicted rows as true ones, or frame_index on both sides, "
            f"got {len(prediction)} and {len(truth)}"
        )
    return np.arange(len(truth)), np.arange(len(truth))


def _by_id(prediction: PoseRows, truth: PoseRows) -> tuple[np.ndarray, np.ndarray]:
    if not (prediction.has_ids and truth.has_ids):
        raise ValueError('match "id": expected a person id in every row of both sides')
    key_of = [np.stack([rows.frame_index, rows.person_id], axis=1) for rows in (prediction, truth)]  # type: ignore[list-item]
    row_of = {tuple(key): row for row, key in enumerate(key_of[0].tolist())}
    pairs = [(row_of[tuple(key)], row) for row, key in enumerate(key_of[1].tolist()) if tuple(key) in row_of]
    return _columns(pairs)


def _by_frame(predicted_frames: np.ndarray, true_frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = []
    for frame, predicted, true in _common_frames(predicted_frames, true_frames):
        if len(predicted) > 1 or len(true) > 1:
            raise ValueError(
                f'match "frame": expected one person on either side, '
                f"got {len(predicted)} predicted and {len(true)} true ones in frame {frame}"
            )
        pairs.append((int(predicted[0]), int(true[0])))
    return _columns(pairs)


def _by_distance(prediction: PoseRows, truth: PoseRows, limit: float) -> tuple[np.ndarray, np.ndarray]:
    assert prediction.frame_index is not None  # the caller saw to it
    assert truth.frame_index is not None
    if prediction.skeleton != truth.skeleton:
        raise ValueError(
            f'match "distance": expected one skeleton, got {prediction.skeleton.name} and {truth.skeleton.name}'
        )
    pairs = []
    for _, predicted, true in _common_frames(prediction.frame_index, truth.frame_index):
        distance = root_distances(
            prediction.joints_cam_m[predicted][:, None], truth.joints_cam_m[true][None], truth.skeleton.root
        )
        near = distance <= limit  # False where the distance is not known
        # One pair more always costs less than any sum of distances it could save.
        cost = np.where(near, distance, (limit + 1.0) * (1 + min(distance.shape)))
        rows, columns = linear_sum_assignment(cost)
        pairs += [(int(predicted[r]), int(true[c])) for r, c in zip(rows, columns, strict=True) if near[r, c]]
    return _columns(pairs)


def root_distances(
    predicted_cam: Float[np.ndarray, "*#batch joint 3"], true_cam: Float[np.ndarray, "*#batch joint 3"], root_joint: int
) -> Float[np.ndarray, "*batch"]:
    """Distance (m) of two people's roots; of the means of the joints both have where a root is missing; else NaN."""
    difference = predicted_cam - true_cam
    both = np.asarray(np.isfinite(difference).all(-1, keepdims=True))
    count = both.sum((-2, -1))
    mean = np.where(both, difference, 0.0).sum(-2) / np.maximum(count, 1)[..., None]
    apart = np.where(both[..., root_joint, :], difference[..., root_joint, :], mean)
    return np.where(count > 0, np.linalg.norm(apart, axis=-1), np.nan)


def _common_frames(
    predicted_frames: np.ndarray, true_frames: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each frame that both sides have, with the rows in it."""
    predicted, true = _rows_of_frames(predicted_frames), _rows_of_frames(true_frames)
    return ((frame, rows, true[frame]) for frame, rows in predicted.items() if frame in true)


def _rows_of_frames(frames: np.ndarray) -> dict[int, np.ndarray]:
    order = np.argsort(frames, kind="stable")
    numbers, starts = np.unique(frames[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(order, starts[1:]), strict=False))


def _columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(sorted(pairs, key=lambda pair: pair[1]), dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
