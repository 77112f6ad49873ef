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
    spreads: bool = True,
) -> list[dict[str, Any]]:
    """Return the modes of eq. 7 and 8 in the order in which they are found, and, beyond the paper, their spreads."""
    left = sorted(range(len(scores)), key=lambda row: -scores[row])
    boxes = [box_of(pose) for pose in poses_px]
    modes: list[dict[str, Any]] = []
    group = 0
    while left:
        top = left[0]
        here = [row for row in left if row == top or iou(boxes[top], boxes[row]) > overlap]
        taken = set(here)
        left = [row for row in left if row not in taken]
        while here:
            seed = here[0]
            mode = [row for row in here if row == seed or apart(joints_m[seed], joints_m[row]) < distance]
            taken = set(mode)
            here = [row for row in here if row not in taken]
            mean_px = _mean(poses_px, mode, scores, upper, joints, leg)
            mean_m = _mean(joints_m, mode, scores, upper, joints, leg)
            modes.append(
                {
                    "group": group, "first": seed, "count": len(mode), "score": sum(scores[row] for row in mode),
                    "px": mean_px, "m": mean_m,
                }
            )  # fmt: skip
            if spreads:
                total = sum(scores[row] for row in mode)
                modes[-1] |= {
                    "sigma": _spread(joints_m, mean_m, mode, scores, upper, joints, leg),
                    "trust": [sum(_weights(joint, mode, scores, upper, leg)) / total for joint in joints],
                    "size_sigma": _size_spread(poses_px, joints_m, mode, scores),
                }
        group += 1
    return modes


def _weights(joint: str, mode: list, scores: list, upper: list, leg: float) -> list[float]:
    return [scores[row] * (leg if upper[row] and joint in LEGS else 1.0) for row in mode]


def _mean(poses: list, mode: list, scores: list, upper: list, joints: tuple, leg: float) -> list[list[float]]:
    found = []
    for number, joint in enumerate(joints):
        weights = _weights(joint, mode, scores, upper, leg)
        total = sum(weights)
        found.append(
            [
                sum(w * poses[row][number][axis] for w, row in zip(weights, mode, strict=True)) / total
                for axis in range(len(poses[0][0]))
            ]
        )
    return found


def _spread(
    poses: list, mean: list, mode: list, scores: list, upper: list, joints: tuple, leg: float
) -> list[list[float]]:
    """Standard deviation about the mean; beyond the paper, as `Modes` has it."""
    found = []
    for number, joint in enumerate(joints):
        weights = _weights(joint, mode, scores, upper, leg)
        total = sum(weights)
        off = [
            sum(w * (poses[row][number][axis] - mean[number][axis]) ** 2 for w, row in zip(weights, mode, strict=True))
            for axis in range(3)
        ]
        found.append([math.sqrt(each / total) if len(mode) > 1 else math.nan for each in off])
    return found


def _size_spread(poses_px: list, joints_m: list, mode: list, scores: list) -> float:
    """The same of the logarithm of metres per pixel."""
    if len(mode) == 1:
        return math.nan
    total = sum(scores[row] for row in mode)
    sizes = [0.5 * math.log(_scatter(joints_m[row]) / _scatter(poses_px[row])) for row in mode]
    mean = sum(scores[row] * size for row, size in zip(mode, sizes, strict=True)) / total
    off = sum(scores[row] * (size - mean) ** 2 for row, size in zip(mode, sizes, strict=True))
    return math.sqrt(off / total)


def _scatter(pose: list) -> float:
    """Sum of squares about the middle, across the picture."""
    x, y = (sum(joint[axis] for joint in pose) / len(pose) for axis in range(2))
    return sum((joint[0] - x) ** 2 + (joint[1] - y) ** 2 for joint in pose)
