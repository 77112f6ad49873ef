"""From scored pose proposals to people: rescoring (eq. 6), integration of proposals (eq. 7 and 8), and its rival, NMS.

Everything here takes the proposals of one picture, as NumPy arrays. `bench/lcrnet_twin.py` does the same in loops that
follow the paper's text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.methods.lcrnet.boxes import overlaps, pose_boxes, upper_rows
from sightline.skeleton import Skeleton

SIGMA_BOX_PX: Final = 25.0
"""σ_b of eq. 6."""
_TINY: Final = 1e-12


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
    trust: Float[np.ndarray, "mode joint"]
    """Which share of the score speaks for a joint: 1, but less for knees and ankles, the more of it is of upper bodies'
    classes; they are guesses where all of it is."""
    size_sigma: Float[np.ndarray, " mode"]
    """Spread of the logarithm of the proposals' sizes in metres per pixel, from which the distance follows, so of the
    distance in shares of it; NaN for a proposal that stands alone."""


@dataclass(frozen=True, kw_only=True)
class Integration:
    """When proposals are of one person in one pose."""

    iou: float = 0.3
    """Boxes around the joints overlap by more than this share (intersection over union). The paper: 0.12 for PCKh of
    single people, 0.54 for AP of several; for Human3.6M, where one person is in each picture, it does not matter. Here:
    what is best for AP of lcrnet-synth in crowds."""
    distance_m: float = 0.125
    """T_3D: mean distance of the joints below which poses are of one mode. The paper: 0.125 for Human3.6M, 0.13 for
    PCKh, 0.03 for AP."""
    leg_weight: float = 0.1
    """What knees and ankles of upper-body classes count for in the mean."""
    spreads: bool = True
    """Whether the spreads of poses and sizes are told, which the paper does not have; else they are NaN."""

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
    group = _groups(pose_boxes(proposals.poses_px)[order], config.iou)
    mode = _modes(proposals.joints_m[order], group, config.distance_m)
    return _means(proposals, order, group, mode, skeleton, config)


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
    _, first = np.unique(_groups(pose_boxes(proposals.poses_px)[order], iou), return_index=True)
    alone = np.arange(len(first))
    return _means(proposals, order[first], alone, alone, skeleton, replace(Integration(), spreads=False))


@lru_cache(maxsize=8)
def _legs(skeleton: Skeleton) -> Bool[np.ndarray, " joint"]:
    """Which joints are knees and ankles."""
    return ~np.isin(np.arange(len(skeleton)), upper_rows(skeleton))


def _falling(scores: Float[np.ndarray, " proposal"]) -> Int[np.ndarray, " proposal"]:
    """The order of scores, largest first; of equals the first one."""
    return np.argsort(-scores, kind="stable")


def _groups(boxes: Float[np.ndarray, "proposal 4"], iou: float) -> Int[np.ndarray, " proposal"]:
    """The group of each of ranked boxes: the first that is left takes all that overlap with it, again and again."""
    boxes = np.asfortranarray(boxes)
    group, left, found = np.full(len(boxes), -1), np.ones(len(boxes), bool), 0
    while left.any():
        seed = int(left.argmax())
        near = (overlaps(boxes[seed], boxes) > iou) & left
        near[seed] = True
        group[near] = found
        left ^= near
        found += 1
    return group


def _modes(
    joints_m: Float[np.ndarray, "proposal joint 3"], group: Int[np.ndarray, " proposal"], distance_m: float
) -> Int[np.ndarray, " proposal"]:
    """The mode of each of ranked poses: in every group the first that is left takes all that are near, D_3D (eq. 7).

    All groups take a step at a time: most of the time goes into calls.
    """
    left, joints = np.argsort(group, kind="stable"), joints_m.shape[1]
    mode, group, found = np.full(len(group), -1), group[left], 0
    poses = _across(joints_m[left]).reshape(3 * joints, -1)
    while len(left):
        first = _begins(group)
        own = first.cumsum() - 1
        apart = poses.compress(first, axis=1).take(own, axis=1)
        apart -= poses
        apart *= apart
        squared = apart[0::3]
        squared += apart[1::3]
        squared += apart[2::3]
        near = np.sqrt(squared).sum(0) < joints * distance_m
        near |= first
        mode[left[near]] = found + own[near]
        found += int(own[-1]) + 1
        further = ~near
        left, group, poses = left[further], group[further], poses.compress(further, axis=1)
    return mode


def _across(points: Float[np.ndarray, "proposal joint axis"]) -> Float[np.ndarray, "joint axis proposal"]:
    """Points by joint and axis: what is done to all proposals then runs along rows."""
    return np.ascontiguousarray(np.moveaxis(points, 0, -1))


def _begins(labels: Int[np.ndarray, " row"]) -> Bool[np.ndarray, " row"]:
    """Where another label begins."""
    found = np.ones(len(labels), bool)
    np.not_equal(labels[1:], labels[:-1], out=found[1:])
    return found


def _means(
    proposals: Proposals,
    order: np.ndarray,
    group: np.ndarray,
    mode: np.ndarray,
    skeleton: Skeleton,
    config: Integration,
) -> Modes:
    """The modes of labelled proposals, which are told by falling score: `order` has their numbers."""
    by_mode = np.argsort(mode, kind="stable")
    begins = _begins(mode[by_mode])
    starts, own, rows = np.flatnonzero(begins), begins.cumsum() - 1, order[by_mode]
    count, scores = np.bincount(own), proposals.scores[rows].astype(np.float64)
    px, metres = _across(proposals.poses_px[rows]), _across(proposals.joints_m[rows])
    sums = _sums(scores, starts)
    scores = np.where(sums[own] > 0, scores, 1.0)  # a mode that scores nothing has a plain mean
    weights = np.tile(scores, (len(skeleton), 1, 1))
    weights[_legs(skeleton)] *= np.where(proposals.upper[rows], config.leg_weight, 1.0)
    totals, total = _sums(weights, starts), _sums(scores, starts)
    mean_px, mean = _sums(weights * px, starts) / totals, _sums(weights * metres, starts) / totals
    sigma, size_sigma = np.full_like(mean, np.nan), np.full_like(total, np.nan)
    if config.spreads:
        off = mean.take(own, axis=-1)
        off -= metres
        off *= off
        off *= weights
        sigma = np.sqrt(_sums(off, starts) / totals)
        size = _log_sizes(px, metres)
        size_off = size - (_sums(scores * size, starts) / total)[own]
        size_sigma = np.sqrt(_sums(scores * size_off**2, starts) / total)
        sigma[..., count == 1], size_sigma[count == 1] = np.nan, np.nan
    rank = _falling(sums)
    first = by_mode[starts[rank]]
    return Modes(
        poses_px=np.moveaxis(mean_px, -1, 0)[rank],
        joints_m=np.moveaxis(mean, -1, 0)[rank],
        scores=sums[rank],
        sigma_m=np.moveaxis(sigma, -1, 0)[rank],
        group=group[first],
        count=count[rank],
        first=order[first],
        trust=(totals[:, 0] / total).T[rank],
        size_sigma=size_sigma[rank],
    )


def _log_sizes(
    px: Float[np.ndarray, "joint 2 proposal"], metres: Float[np.ndarray, "joint 3 proposal"]
) -> Float[np.ndarray, " proposal"]:
    """The logarithm of metres per pixel: how far joints are spread across the camera's axis, in both."""
    spread = []
    for points in (metres[:, :2], px):
        off = points - points.sum(0) / len(points)
        off *= off
        spread.append(np.maximum(off.sum(0).sum(0), _TINY))
    return 0.5 * np.log(spread[0] / spread[1])


def _sums(values: Float[np.ndarray, "*axes proposal"], starts: np.ndarray) -> Float[np.ndarray, "*axes mode"]:
    """Sums of the stretches of proposals that begin at `starts`."""
    if not len(starts):
        return np.zeros((*values.shape[:-1], 0))
    return np.add.reduceat(values, starts, axis=-1)


def _check(proposals: Proposals, skeleton: Skeleton) -> None:
    lengths = {name: len(part) for name, part in proposals._asdict().items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"proposals: expected as many of everything, got {lengths}")
    joints = len(skeleton)
    for name, shape in (("poses_px", (joints, 2)), ("joints_m", (joints, 3)), ("scores", ()), ("boxes_px", (4,))):
        part = getattr(proposals, name)
        if part.shape[1:] != shape:
            told = " × ".join(map(str, shape)) or "one"
            own = f"{skeleton.name}: {joints} joints"
            raise ValueError(f"{name}: expected {told} of each ({own}), got {part.shape[1:]}")
        if not np.isfinite(part).all():
            raise ValueError(f"{name}: expected finite numbers")
    if (proposals.scores < 0).any():
        raise ValueError("scores: expected numbers of at least 0")
    if proposals.upper.dtype != bool or proposals.upper.ndim != 1:
        raise ValueError(f"upper: expected a truth value for each, got {proposals.upper.dtype}")
