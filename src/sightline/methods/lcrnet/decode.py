"""From scored pose proposals to people: rescoring (eq. 6), integration of proposals (eq. 7 and 8), and its rival, NMS.

Everything here takes the proposals of one picture, as NumPy arrays. `bench/lcrnet_twin.py` does the same in loops that
follow the paper's text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.methods.lcrnet.boxes import overlaps, pose_boxes, upper_rows
from sightline.skeleton import Skeleton

SIGMA_BOX_PX: Final = 25.0
"""σ_b of eq. 6."""
_TINY: Final = 1e-12
_BLOCK: Final = 32


class Proposals(NamedTuple):
    """Refined poses with their scores, as the network gives them: (p, P), s and the box that each was read from."""

    poses_px: Float[np.ndarray, "proposal joint 2"]
    joints_m: Float[np.ndarray, "proposal joint 3"]
    """About the middle of the torso, in the camera's axes."""
    scores: Float[np.ndarray, " proposal"]
    boxes_px: Float[np.ndarray, "proposal 4"]
    """Left, top, right, bottom."""
    upper: Bool[np.ndarray, " proposal"]
    """Whether the class is that of an upper body, whose box ends at the hips, so that legs are guesses."""

    def chosen(self, rows: np.ndarray) -> Proposals:
        """Return some of them, by numbers or by a mask."""
        return Proposals(*(part[rows] for part in self))


class Modes(NamedTuple):
    """Poses that proposals agree on, by falling score."""

    poses_px: Float[np.ndarray, "mode joint 2"]
    joints_m: Float[np.ndarray, "mode joint 3"]
    """About the middle of the torso, in the camera's axes."""
    scores: Float[np.ndarray, " mode"]
    sigma_m: Float[np.ndarray, "mode joint 3"]
    """Standard deviation of the proposals about the mean, by score; NaN for a proposal that stands alone."""
    group: Int[np.ndarray, " mode"]
    """Which modes lie at one place of the picture: those of one number."""
    count: Int[np.ndarray, " mode"]
    """Of how many proposals."""
    first: Int[np.ndarray, " mode"]
    """The strongest of them."""


@dataclass(frozen=True, kw_only=True)
class Integration:
    """When proposals are of one person in one pose."""

    iou: float = 0.12
    """Boxes around the joints overlap by more than this share (intersection over union). The paper: 0.12 for PCKh of
    single people, 0.54 for AP of several; for Human3.6M, where one person is in each picture, it does not matter."""
    distance_m: float = 0.125
    """T_3D: mean distance of the joints below which poses are of one mode. The paper: 0.125 for Human3.6M, 0.13 for
    PCKh, 0.03 for AP."""
    leg_weight: float = 0.1
    """What knees and ankles of upper-body classes count for in the mean."""

    def __post_init__(self) -> None:
        if not (0 <= self.iou < 1 and self.distance_m >= 0 and 0 < self.leg_weight <= 1):
            raise ValueError(
                f"integration: expected iou from 0 to below 1, distance_m of at least 0 and leg_weight above 0 up to "
                f"1, got {self}"
            )


def rescored(proposals: Proposals, skeleton: Skeleton, sigma_px: float = SIGMA_BOX_PX) -> Proposals:
    """Return proposals with scores lowered by what lies outside their box: s' = s mean exp(−d²/σ_b²) (eq. 6).

    Of upper-body classes knees and ankles do not count, since their box ends at the hips.

    Args:
        proposals: of one picture.
        skeleton: the joints of the poses.
        sigma_px: σ_b, in pixels of the picture that the proposals are in.

    Raises:
        ValueError: as for `integrated`, or where sigma_px is not positive.
    """
    if not sigma_px > 0:
        raise ValueError(f"sigma_px: expected a positive number, got {sigma_px}")
    _check(proposals, skeleton)
    low, high = proposals.boxes_px[:, None, :2], proposals.boxes_px[:, None, 2:]
    beyond = np.maximum(0.0, np.maximum(low - proposals.poses_px, proposals.poses_px - high))
    near = np.exp(-(beyond**2).sum(-1) / sigma_px**2)
    counted = ~(proposals.upper[:, None] & _legs(skeleton))
    return proposals._replace(scores=proposals.scores * (near * counted).sum(-1) / counted.sum(-1))


def strongest(proposals: Proposals, classes: int, *, share: float = 0.1, at_least: int = 500) -> Proposals:
    """Return those that can matter, by falling score: of at least `share` / `classes`, and the first few anyway.

    Args:
        proposals: of one picture, rescored or not.
        classes: K, the number of anchor poses, as whole and upper bodies counted once.
        share: of 1 / K.
        at_least: so many are kept whatever they score.

    Raises:
        ValueError: for less than one class.
    """
    if classes < 1:
        raise ValueError(f"classes: expected at least 1, got {classes}")
    order = _falling(proposals.scores)
    good = proposals.scores[order] >= share / classes
    return proposals.chosen(order[: max(int(good.sum()), at_least)])


def integrated(proposals: Proposals, skeleton: Skeleton, config: Integration = Integration()) -> Modes:
    """Pose proposal integration: groups by place, modes by pose, means by score.

    The strongest proposal that is left takes all whose boxes overlap with its own (a group); in a group the strongest
    that is left takes all whose 3D pose is near its own (eq. 7, a mode). A mode's pose is the mean by score (eq. 8),
    and its score the sum.

    Args:
        proposals: of one picture.
        skeleton: the joints of the poses.
        config: when proposals are alike.

    Raises:
        ValueError: for numbers that are not finite, scores below zero, or arrays of another length or number of joints.
    """
    _check(proposals, skeleton)
    order = _falling(proposals.scores)
    ranked = proposals.chosen(order)
    group, mode = _labels(ranked, config)
    return _means(ranked, order, group, mode, skeleton, config.leg_weight)


def suppressed(proposals: Proposals, skeleton: Skeleton, iou: float = Integration().iou) -> Modes:
    """Non-maximum suppression: of each group by place the strongest proposal alone.

    Args:
        proposals: of one picture.
        skeleton: the joints of the poses.
        iou: see `Integration`.

    Raises:
        ValueError: as for `integrated`.
    """
    _check(proposals, skeleton)
    order = _falling(proposals.scores)
    ranked = proposals.chosen(order)
    _, first = np.unique(_groups(pose_boxes(ranked.poses_px), iou), return_index=True)
    alone = np.arange(len(first))
    return _means(ranked.chosen(first), order[first], alone, alone, skeleton, 1.0)


def _legs(skeleton: Skeleton) -> Bool[np.ndarray, " joint"]:
    """Which joints are knees and ankles."""
    return ~np.isin(np.arange(len(skeleton)), upper_rows(skeleton))


def _falling(scores: Float[np.ndarray, " proposal"]) -> Int[np.ndarray, " proposal"]:
    """The order of scores, largest first; of equals the first one."""
    return np.argsort(-scores, kind="stable")


def _labels(ranked: Proposals, config: Integration) -> tuple[np.ndarray, np.ndarray]:
    """Group and mode of each of ranked proposals; modes are numbered through all groups, both in order of seeds."""
    group = _groups(pose_boxes(ranked.poses_px), config.iou)
    mode, count = np.full(len(group), -1), 0
    by_group = np.argsort(group, kind="stable")
    for rows in np.split(by_group, np.flatnonzero(np.diff(group[by_group])) + 1) if len(group) else ():
        poses = np.ascontiguousarray(np.moveaxis(ranked.joints_m[rows], -1, 0))
        own = _taken(
            len(rows), lambda seeds, left, its=poses: _distances(its[:, seeds], its[:, left]) < config.distance_m
        )
        mode[rows] = count + own
        count += int(own.max()) + 1
    return group, mode


def _groups(boxes: Float[np.ndarray, "proposal 4"], iou: float) -> Int[np.ndarray, " proposal"]:
    """The group of each of ranked boxes."""
    return _taken(len(boxes), lambda seeds, left: overlaps(boxes[seeds, None], boxes[left]) > iou)


def _taken(count: int, near: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Int[np.ndarray, " row"]:
    """By whom each row is taken, where the first row that is left takes all that are near it, again and again.

    Seeds are compared with all others several at a time, about as many as have taken somebody the last time: most
    of the time goes into calls.

    Args:
        count: of rows.
        near: tells which of some rows (along) are near others (down).
    """
    taker, left, found, block = np.full(count, -1), np.arange(count), 0, 1
    while len(left):
        before, close = found, near(left[:block], left)
        free = np.ones(len(left), bool)
        for row, its in enumerate(close):
            if free[row]:
                its &= free
                its[row] = True
                taker[left[its]] = found
                free ^= its
                found += 1
        left, block = left[free], min(_BLOCK, 2 * (found - before))
    return taker


def _distances(
    poses: Float[np.ndarray, "3 pose joint"], others: Float[np.ndarray, "3 other joint"]
) -> Float[np.ndarray, "pose other"]:
    """D_3D: mean distance of the joints; axes come first, so that the sums run along rows."""
    squared = 0.0
    for one, other in zip(poses, others, strict=True):
        apart = other - one[:, None]
        squared = squared + np.square(apart, out=apart)
    return np.sqrt(squared) @ np.full(others.shape[-1], 1 / others.shape[-1])


def _means(
    ranked: Proposals, order: np.ndarray, group: np.ndarray, mode: np.ndarray, skeleton: Skeleton, leg_weight: float
) -> Modes:
    """The modes of labelled proposals; `order` are their numbers before they were ranked."""
    by_mode = np.argsort(mode, kind="stable")
    starts = np.flatnonzero(np.diff(mode[by_mode], prepend=-1))
    ranked = ranked.chosen(by_mode)
    count = np.diff(starts, append=len(mode))
    scores = ranked.scores.astype(np.float64)
    sums = _sums(scores, starts)
    scores = np.where(np.repeat(sums > 0, count), scores, 1.0)  # a mode that scores nothing has a plain mean
    weights = scores[:, None] * np.where(ranked.upper[:, None] & _legs(skeleton), leg_weight, 1.0)
    totals = _sums(weights, starts)[..., None]
    poses_px = _sums(weights[..., None] * ranked.poses_px, starts) / totals
    joints_m = _sums(weights[..., None] * ranked.joints_m, starts) / totals
    off = ranked.joints_m - joints_m[np.repeat(np.arange(len(starts)), count)]
    sigma_m = np.sqrt(_sums(weights[..., None] * off**2, starts) / totals)
    rank = _falling(sums)
    alone = (count == 1)[:, None, None]
    found = Modes(
        poses_px=poses_px,
        joints_m=joints_m,
        scores=sums,
        sigma_m=np.where(alone, np.nan, sigma_m),
        group=group[by_mode][starts],
        count=count,
        first=order[by_mode][starts],
    )
    return Modes(*(part[rank] for part in found))


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums of the stretches of rows that begin at `starts`."""
    if not len(starts):
        return np.zeros((0, *values.shape[1:]))
    return np.add.reduceat(values, starts, axis=0)


def _check(proposals: Proposals, skeleton: Skeleton) -> None:
    lengths = {name: len(part) for name, part in proposals._asdict().items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"proposals: expected as many of everything, got {lengths}")
    if proposals.poses_px.shape[1] != len(skeleton) or proposals.joints_m.shape[1] != len(skeleton):
        shapes = f"{proposals.poses_px.shape[1]} and {proposals.joints_m.shape[1]}"
        raise ValueError(f"proposals: expected {len(skeleton)} joints ({skeleton.name}), got {shapes}")
    for name in ("poses_px", "joints_m", "scores", "boxes_px"):
        if not np.isfinite(getattr(proposals, name)).all():
            raise ValueError(f"{name}: expected finite numbers")
    if (proposals.scores < 0).any():
        raise ValueError("scores: expected numbers of at least 0")
