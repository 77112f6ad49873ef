"""Left/right labels over time: the most likely sequence of labellings of each person, frame by frame (Viterbi).

Each labelling of a person carries, along its own best history, a constant-velocity Kalman filter of every paired joint
(survivor paths with per-survivor processing: Raheli, Polydoros and Tzou 1995). What a joint's detection costs is the
negative logarithm of its density around the place where the filter expects it, mixed with a uniform one, so that a wild
joint cannot decide. Real turns of the body pass untouched: there, sides cross without a jump.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Int

from sightline.temporal._sides import FACE, SideLayout

CHANGE: Final = 4.0
"""What it costs (nats) that arms and legs change their labelling together between two frames: detectors mostly exchange
all at once …"""
PARTIAL_CHANGE: Final = 6.0
"""… that one of the two does, and the other does not …"""
FACE_CHANGE: Final = 1.0
"""… and that the face does what the arms do not."""
EXCHANGED_PER_S: Final = 1.0
"""What each exchanged group costs per second: the prior for labels as given, and the vote of the majority of frames."""
UNLIKE_PER_S: Final = 1.5
"""What it costs per second that one group is exchanged and its neighbour is not."""
START: Final = 0.5
"""Share of that which exchanged sides in the first frame cost: they are likelier than a change at a given frame."""
FORGOTTEN_S: Final = 1.0
"""After so long out of sight nothing ties a person's sides to those before."""

WILD: Final = 0.05
"""Share of detections that lie anywhere."""
JITTER: Final = 0.008
MOST_JITTER: Final = 0.03
"""Least and largest standard deviation of a detection, in sizes of the person; between them it is measured."""
JERKINESS: Final = 5.0
"""Power spectral density of the joints' acceleration, sizes² / s³: people of 1.7 m, 17 m/s² for a twentieth second."""
COASTING_S: Final = 0.3
"""Time constant with which an unseen joint loses its speed."""
LOST_S: Final = 0.1
"""A joint whose detections have not been where they were expected for so long, and three frames, is found anew."""
SPEED: Final = 1.5
"""Standard deviation of a joint's speed when it is first seen, sizes / s."""
ANYWHERE: Final = 1e12
"""Variance (px²) of the place of a joint of which nothing is known."""
MOST_PX: Final = 1e6
"""No person is believed to be larger."""
SETTLING_S: Final = 0.5
"""Time constant of the running size and noise."""


X, SPEED_XY, VARIANCE, COVARIANCE, SPEED_VARIANCE, LOST = slice(0, 2), slice(2, 4), 4, 5, 6, 7
"""Where a filter keeps a joint's place, its speed, their common variance in x and y, and how long it has been lost."""


class SideFilter:
    """The filters and costs of many people at once; rows belong to people and are handed out and taken back.

    `step` takes one detection of each named row and returns, per labelling, the labelling before it on its best path
    and its cost. Memory is that of the people remembered.
    """

    def __init__(self, layout: SideLayout) -> None:
        self.layout = layout
        labellings, groups = layout.labellings.shape
        self._swapped = layout.labellings[:, layout.group_of_pair]  # (labelling, pair)
        self._change = _change_cost(layout)
        apart = np.abs(np.diff(layout.labellings.astype(float), axis=1)).sum(-1)
        self._prior = EXCHANGED_PER_S * layout.labellings.sum(-1) + UNLIKE_PER_S * apart
        self._of_group = np.eye(groups)[layout.group_of_pair] * layout.weight[:, None]  # (pair, group)
        self._choice = np.concatenate([~layout.labellings, layout.labellings], axis=1).astype(float).T
        self._free: list[int] = []
        self._state = np.zeros((0, labellings, 8, 2, len(layout.left)))  # (row, labelling, quantity, side, pair)
        self._cost = np.zeros((0, labellings))
        self._size, self._noise = np.zeros(0), np.zeros(0)

    def begin(self) -> int:
        """A row for somebody new."""
        if not self._free:
            rows = len(self._size)
            more = max(8, rows)
            for name in ("_state", "_cost", "_size", "_noise"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros((more, *array.shape[1:]))]))
            self._free.extend(range(rows + more - 1, rows - 1, -1))
        row = self._free.pop()
        self._size[row], self._noise[row] = np.nan, 0.0
        return row

    def end(self, row: int) -> None:
        """Give a row back."""
        self._free.append(row)

    def step(
        self,
        rows: Int[np.ndarray, " person"],
        points_px: Float[np.ndarray, "person joint 2"],
        size_px: Float[np.ndarray, " person"],
        anatomical: Float[np.ndarray, "person labelling"],
        after_s: Float[np.ndarray, " person"],
    ) -> tuple[Int[np.ndarray, "person labelling"], Float[np.ndarray, "person labelling"]]:
        """Take detections in, `after_s` seconds after each row's last; return the labellings before, and the costs.

        size_px: by `person_size`; anatomical: by `anatomical_cost`. Both look at one frame only, so that many frames
        may share a call.
        """
        new, settled = np.isnan(self._size[rows]), 1 - np.exp(-after_s / SETTLING_S)
        size = self._measured_size(rows, size_px, settled)
        if new.any():
            self._start(rows[new])
        area, step = (size**2)[:, None, None, None], after_s[:, None, None, None]
        noise = np.minimum(np.maximum(self._noise[rows], JITTER * size), MOST_JITTER * size)
        state = _expected(self._state[rows], step, JERKINESS * area)
        seen = points_px[:, np.stack([self.layout.left, self.layout.right])].transpose(0, 3, 1, 2)
        variance = state[:, :, VARIANCE] + (noise**2)[:, None, None, None] + _of_two_minds(seen, state)
        share = np.minimum(2 * np.pi * variance / area, 1.0)
        moved = self._moved(seen, state, variance, share)
        tie = np.maximum(1 - after_s / FORGOTTEN_S, 0.0)[:, None, None]
        total = self._cost[rows][:, :, None] + moved + self._change * tie
        before, cost = total.argmin(1), total.min(1)
        cost += np.minimum(after_s, 0.2)[:, None] * (self._prior + anatomical)
        cost -= cost.min(1, keepdims=True)
        self._cost[rows] = cost
        people = np.arange(len(rows))
        at = people[:, None], before
        state, missed = self._updated(seen, state[at], variance[at], share[at], step, area)
        self._state[rows] = state
        self._measure_noise(rows, missed[people, cost.argmin(1)].reshape(len(rows), -1), settled, size)
        return before, cost

    def _measured_size(self, rows: np.ndarray, now: np.ndarray, settled: np.ndarray) -> np.ndarray:
        old = self._size[rows]
        size = np.where(np.isnan(old), now, np.where(np.isnan(now), old, old + settled * (now - old)))
        self._size[rows] = size = np.where(np.isnan(size), 1.0, size)
        return size

    def _start(self, rows: np.ndarray) -> None:
        self._state[rows] = 0.0
        self._state[rows, :, VARIANCE] = ANYWHERE
        self._state[rows, :, SPEED_VARIANCE] = ((SPEED * self._size[rows]) ** 2)[:, None, None, None]
        self._cost[rows] = START * self._change[0]

    def _moved(self, seen: np.ndarray, state: np.ndarray, variance: np.ndarray, share: np.ndarray) -> np.ndarray:
        """What each labelling before says against each labelling now, by where the joints are: (person, one, other)."""
        readings = np.stack([seen, seen[:, :, ::-1]], axis=1)[:, None]  # (person, 1, as given or exchanged, …)
        away = ((readings - state[:, :, None, X]) ** 2).sum(3) / variance[:, :, None]
        log = np.log((1 - WILD) * np.exp(-0.5 * away) / share[:, :, None] + WILD)
        against = -np.where(np.isnan(log), 0.0, log).sum(3) @ self._of_group  # (person, labelling, reading, group)
        return against.reshape(*against.shape[:2], -1) @ self._choice

    def _updated(
        self, seen: np.ndarray, state: np.ndarray, variance: np.ndarray, share: np.ndarray, step: np.ndarray,
        area: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Filters after each labelling's own reading of the detection, and by how far it missed what they expected.

        state: that of the labelling before each. A detection counts as far as it is more likely right than wild.
        """
        read = np.where(self._swapped[:, None, None, :], seen[:, None, :, ::-1], seen[:, None])
        missed = read - state[:, :, X]
        square = (missed**2).sum(2)
        unseen = np.isnan(square)
        likely = (1 - WILD) * np.exp(-0.5 * np.where(unseen, 0.0, square) / variance)
        trust = np.where(unseen, 0.0, likely / (likely + WILD * share))
        p, c = state[:, :, VARIANCE], state[:, :, COVARIANCE]
        gain, speed_gain = trust * p / variance, trust * c / variance
        step_px = np.where(unseen[:, :, None], 0.0, missed)
        state[:, :, X] += gain[:, :, None] * step_px
        state[:, :, SPEED_XY] += speed_gain[:, :, None] * step_px
        state[:, :, SPEED_VARIANCE] -= speed_gain * c
        state[:, :, VARIANCE], state[:, :, COVARIANCE] = p * (1 - gain), c * (1 - gain)
        state[:, :, LOST] = np.where(trust > 0.1, 0.0, state[:, :, LOST] + np.where(unseen, 0.0, step))
        lost = state[:, :, LOST] > np.maximum(LOST_S, 2.5 * step)
        if lost.any():
            anew = np.zeros((len(area), 1, 8, 1, 1))
            anew[:, :, VARIANCE], anew[:, :, SPEED_VARIANCE] = ANYWHERE, SPEED**2 * area
            state = np.where(lost[:, :, None], anew, state)
        return state, np.sqrt(square)

    def _measure_noise(self, rows: np.ndarray, missed_px: np.ndarray, settled: np.ndarray, size: np.ndarray) -> None:
        if missed_px.shape[1]:
            ordered = np.sort(missed_px, axis=1)  # NaN last
            known = np.isfinite(ordered).sum(1)
            middle = ordered[np.arange(len(rows)), np.maximum(known - 1, 0) // 2] / 1.18  # median of a Rayleigh
            old = self._noise[rows]
            self._noise[rows] = np.where(known > 0, old + settled * (np.minimum(middle, MOST_JITTER * size) - old), old)


def _expected(state: np.ndarray, step: np.ndarray, jerky: np.ndarray) -> np.ndarray:
    """Filters `step` seconds later, in place."""
    c, v = state[:, :, COVARIANCE], state[:, :, SPEED_VARIANCE]
    state[:, :, X] += state[:, :, SPEED_XY] * step[..., None]
    state[:, :, SPEED_XY] *= np.exp(-step / COASTING_S)[..., None]
    state[:, :, VARIANCE] += step * (2 * c + step * (v + jerky * step / 3))
    c += step * (v + jerky * step / 2)
    v += jerky * step
    return state


def _of_two_minds(seen: np.ndarray, state: np.ndarray) -> Float[np.ndarray, "person labelling 1 pair"]:
    """Variance (px²) of pairs that are seen closer together than expected.

    A detector that wavers between two labellings puts both joints somewhere between the two places.
    """
    apart = np.sqrt(((seen[:, :, 0] - seen[:, :, 1]) ** 2).sum(1))[:, None]
    expected = np.sqrt(((state[:, :, X][..., 0, :] - state[:, :, X][..., 1, :]) ** 2).sum(2))
    return (np.fmax(expected - apart, 0.0) / 2)[:, :, None] ** 2


def _change_cost(layout: SideLayout) -> Float[np.ndarray, "labelling labelling"]:
    """What the labels themselves say against going from one labelling to another between two frames."""
    changed = layout.labellings[:, None] ^ layout.labellings[None]
    is_face = np.array([group == FACE for group in layout.groups], dtype=bool)
    body = changed[..., ~is_face]
    cost = np.where(body.any(-1), np.where(body.all(-1), CHANGE, PARTIAL_CHANGE), 0.0)
    if is_face.any():
        cost += FACE_CHANGE * (changed[..., is_face].any(-1) ^ body[..., :1].any(-1))
    return cost


def person_size(points_px: Float[np.ndarray, "*people joint 2"]) -> Float[np.ndarray, "*people"]:
    """About the standing height in pixels: 2.2 times the distance from the middle that four of five joints keep.

    NaN without a joint. A fifth of the joints may lie anywhere.
    """
    count = np.isfinite(points_px[..., 0]).sum(-1)
    half = (np.maximum(count - 1, 0) // 2)[..., None, None]
    middle = np.take_along_axis(np.sort(points_px, axis=-2), np.concatenate([half, half], axis=-1), axis=-2)
    away = np.sort(((points_px - middle) ** 2).sum(-1), axis=-1)
    outer = np.maximum(np.ceil(0.8 * count).astype(np.int64) - 1, 0)[..., None]
    size = 2.2 * np.sqrt(np.take_along_axis(away, outer, axis=-1)[..., 0])
    return np.minimum(np.maximum(size, 1.0), MOST_PX) + np.where(count > 0, 0.0, np.nan)
