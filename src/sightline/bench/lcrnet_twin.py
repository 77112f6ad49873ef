"""LCR-Net's decoding as plain loops that follow the paper's text: beside it the fast one is tested."""

from __future__ import annotations

import math
from typing import Any

LEGS = ("RAnkle", "LAnkle", "RKnee", "LKnee")


def rescored(pose: list, box: list, score: float, sigma_px: float) -> float:
    """Return the score of one proposal by eq. 6, whose joints that count are given."""
    total = 0.0
    for x, y in pose:
        dx = max(box[0] - x, 0.0, x - box[2])
        dy = max(box[1] - y, 0.0, y - box[3])
        total += math.exp(-(dx * dx + dy * dy) / sigma_px**2)
    return score * total / len(pose)


def box_of(pose: list) -> tuple[float, float, float, float]:
    """Return the box around the joints."""
    xs, ys = [x for x, _ in pose], [y for _, y in pose]
    return min(xs), min(ys), max(xs), max(ys)


def iou(one: tuple, other: tuple) -> float:
    """Return intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    inside = max(width, 0.0) * max(height, 0.0)
    both = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - inside
    return inside / both if both > 0 else 0.0


def apart(one: list, other: list) -> float:
    """Return the mean distance of the joints of two poses."""
    return sum(math.dist(a, b) for a, b in zip(one, other, strict=True)) / len(one)


def integrated(
    poses_px: list,
    joints_m: list,
    scores: list,
    upper: list,
    joints: tuple,
    overlap: float,
    distance: float,
    leg: float,
) -> list[dict[str, Any]]:
    """Return the modes of eq. 7 and 8, in the order in which they are found."""
    left = sorted(range(len(scores)), key=lambda row: -scores[row])
    modes: list[dict[str, Any]] = []
    group = 0
    while left:
        top = left[0]
        here = [row for row in left if row == top or iou(box_of(poses_px[top]), box_of(poses_px[row])) > overlap]
        left = [row for row in left if row not in here]
        while here:
            seed = here[0]
            mode = [row for row in here if row == seed or apart(joints_m[seed], joints_m[row]) < distance]
            here = [row for row in here if row not in mode]
            modes.append(
                {
                    "group": group, "first": seed, "count": len(mode), "score": sum(scores[row] for row in mode),
                    "px": _mean(poses_px, mode, scores, upper, joints, leg),
                    "m": _mean(joints_m, mode, scores, upper, joints, leg),
                }
            )  # fmt: skip
        group += 1
    return modes


def _mean(poses: list, mode: list, scores: list, upper: list, joints: tuple, leg: float) -> list[list[float]]:
    found = []
    for number, joint in enumerate(joints):
        weights = [scores[row] * (leg if upper[row] and joint in LEGS else 1.0) for row in mode]
        found.append(
            [
                sum(w * poses[row][number][axis] for w, row in zip(weights, mode, strict=True)) / sum(weights)
                for axis in range(len(poses[0][0]))
            ]
        )
    return found
