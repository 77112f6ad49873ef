"""Who is who over time, for upright people whose keypoints carry no id."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

_SPEED = 3.0  # lengths of the stick per second: somebody who runs
_JITTER = 0.25  # lengths of the stick
_GAP_S = 1.0
_GROWTH = 1.3  # of the stick's length


def linked(
    ids: Int[np.ndarray, " stick"],
    time_s: Float[np.ndarray, " stick"],
    foot_px: Float[np.ndarray, "stick 2"],
    top_px: Float[np.ndarray, "stick 2"],
) -> Int[np.ndarray, " stick"]:
    """Return a number per stick that people keep over time; sticks come in order of time.

    Those with an id (not −1) have it by that. Of the others, those of neighbouring frames are one person where middle
    and length are alike; whoever is gone for more than a second comes back as somebody else.
    """
    track = np.full(len(ids), -1)
    known, number = np.unique(ids[ids >= 0], return_inverse=True)
    track[ids >= 0] = number
    fresh = len(known)
    middle, length = 0.5 * (foot_px + top_px), np.sqrt(np.square(top_px - foot_px).sum(-1))
    last: dict[int, int] = {}  # track → its newest stick
    loose = np.flatnonzero(ids < 0)
    for now in np.unique(time_s[loose]):
        rows = loose[time_s[loose] == now]
        last = {one: row for one, row in last.items() if now - time_s[row] <= _GAP_S}
        before = np.array(list(last.values()), dtype=int)
        for row, old in _pairs(rows, before, time_s, middle, length):
            track[row] = track[old]
        for row in rows:
            if track[row] < 0:
                track[row], fresh = fresh, fresh + 1
            last[int(track[row])] = int(row)
    return track


def _pairs(
    rows: np.ndarray, before: np.ndarray, time_s: np.ndarray, middle: np.ndarray, length: np.ndarray
) -> list[tuple[int, int]]:
    """Pairs of sticks of now and before that are alike, by the least sum of their distances."""
    if not len(rows) or not len(before):
        return []
    size = np.sqrt(length[rows][:, None] * length[before])
    way = np.sqrt(np.square(middle[rows][:, None] - middle[before]).sum(-1)) / size
    grown = np.abs(np.log(length[rows][:, None] / length[before]))
    reach = _JITTER + _SPEED * (time_s[rows][:, None] - time_s[before])
    cost = np.where((way <= reach) & (grown <= np.log(_GROWTH)), way + grown, 1e6)
    chosen = zip(*linear_sum_assignment(cost), strict=True)
    return [(int(rows[a]), int(before[b])) for a, b in chosen if cost[a, b] < 1e6]
