"""How well 2D poses of several people are found: PCKh, and average precision per joint as on MPII's groups of people.

Pishchulin et al. (DeepCut, 2016) match poses to people by PCKh: every pose goes to the person on whom most of its
joints are right, and a person keeps the best of the poses that came. All joints of poses without a person are false.
Joints of one kind are then ranked by score over all pictures, and precision is averaged over recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

PCKH_THRESHOLD: Final = 0.5
"""A joint is right where it is nearer to its place than this share of the head's size."""


class Found(NamedTuple):
    """The poses that were found in one picture."""

    points_px: Float[np.ndarray, "pose joint 2"]
    """NaN for joints that a pose does not have."""
    scores: Float[np.ndarray, " pose"]


class There(NamedTuple):
    """The people who are in one picture."""

    points_px: Float[np.ndarray, "person joint 2"]
    """NaN for joints that are not annotated."""
    head_px: Float[np.ndarray, " person"]
    """Size of the head: what distances are measured by."""


class Precision(NamedTuple):
    """Average precision, 0 to 1."""

    joints: Float[np.ndarray, " joint"]
    """NaN for a joint that nobody has."""
    mean: float
    """Over the joints that somebody has."""


def pckh(
    points_px: Float[np.ndarray, "*batch joint 2"],
    true_px: Float[np.ndarray, "*batch joint 2"],
    head_px: Float[np.ndarray, "*batch"],
    *,
    threshold: float = PCKH_THRESHOLD,
) -> float:
    """Return the share of annotated joints that are right (Andriluka et al. 2014); joints that are missing are wrong.

    Args:
        points_px: found joints, NaN where missing.
        true_px: annotated ones, NaN where not.
        head_px: size of each head.
        threshold: see `PCKH_THRESHOLD`.

    Returns:
        The share, NaN where nothing is annotated.
    """
    annotated = np.isfinite(true_px).all(-1)
    return float(_right(points_px, true_px, head_px, threshold).sum() / annotated.sum()) if annotated.any() else np.nan


def average_precision(
    found: Sequence[Found], there: Sequence[There], *, threshold: float = PCKH_THRESHOLD
) -> Precision:
    """Return average precision per joint, over all pictures.

    Args:
        found: poses, picture by picture.
        there: people in the same pictures.
        threshold: see `PCKH_THRESHOLD`.

    Raises:
        ValueError: for no picture, for other numbers of pictures, or scores that are not finite.
    """
    if len(found) != len(there) or not found:
        counts = f"{len(found)} and {len(there)}"
        raise ValueError(f"average_precision: expected poses of as many pictures as people, got {counts}")
    if not all(np.isfinite(its.scores).all() for its in found):
        raise ValueError("scores: expected finite numbers")
    parts = [_judged(poses, people, threshold) for poses, people in zip(found, there, strict=True)]
    scores = np.concatenate([np.tile(its.scores[:, None], its.points_px.shape[1]) for its in found])
    true, told = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
    count = np.sum([np.isfinite(people.points_px).all(-1).sum(0) for people in there], axis=0)
    joints = np.array([
        _area(scores[told[:, joint], joint], true[told[:, joint], joint], int(count[joint]))
        for joint in range(true.shape[1])
    ])  # fmt: skip
    return Precision(joints, float(np.nanmean(joints)) if np.isfinite(joints).any() else float("nan"))


def assigned(found: Found, there: There, *, threshold: float = PCKH_THRESHOLD) -> Int[np.ndarray, " pose"]:
    """Return which person each pose is of, −1 for none: no person has two poses, and no pose two persons.

    Args:
        found: the poses of a picture.
        there: its people.
        threshold: see `PCKH_THRESHOLD`.
    """
    best, share = likest(found, there, threshold=threshold)
    person = np.full(len(best), -1)
    for row in np.lexsort((-found.scores, -share)):
        if best[row] >= 0 and best[row] not in person:
            person[row] = best[row]
    return person


def likest(
    found: Found, there: There, *, threshold: float = PCKH_THRESHOLD
) -> tuple[Int[np.ndarray, " pose"], Float[np.ndarray, " pose"]]:
    """Return the person on whom most joints of each pose are right, −1 where none is, and the share that is.

    Several poses may be likest to one person; arguments are those of `assigned`.
    """
    if not len(found.scores) or not len(there.head_px):
        return np.full(len(found.scores), -1), np.zeros(len(found.scores))
    right = _right(found.points_px[:, None], there.points_px[None], there.head_px[None], threshold)
    share = right.sum(-1) / np.maximum(1, np.isfinite(there.points_px).all(-1).sum(-1))
    best = share.argmax(1)
    own = share[np.arange(len(best)), best]
    return np.where(own > 0, best, -1), own


def _right(
    points: Float[np.ndarray, "*#batch joint 2"],
    true: Float[np.ndarray, "*#batch joint 2"],
    head_px: Float[np.ndarray, "*#batch"],
    threshold: float,
) -> Bool[np.ndarray, "*batch joint"]:
    """Whether joints are where they should be."""
    return np.linalg.norm(points - true, axis=-1) <= threshold * head_px[..., None]  # False where something is NaN


def _judged(found: Found, there: There, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Which joints of the poses are right, and which count: a person's that are not annotated do not."""
    person = assigned(found, there, threshold=threshold)
    told = np.all(np.isfinite(found.points_px), axis=-1)
    right = np.zeros(told.shape, bool)
    its = np.flatnonzero(person >= 0)
    true = there.points_px[person[its]]
    right[its] = _right(found.points_px[its], true, there.head_px[person[its]], threshold)
    told[its] &= np.isfinite(true).all(-1)
    return right, told


def _area(scores: np.ndarray, right: np.ndarray, count: int) -> float:
    """The area under the curve of precision over recall: at each recall the best precision from there on."""
    if count == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[right[order]].sum() / count)
