"""How like two detections of a person are, and a detection and a box. Pixels with corner origin throughout."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from sightline.detect.protocol import Detection

_FEWEST = 4
"""With fewer sure joints than this, unsure ones count as well."""


def extent(detection: Detection, sure: float) -> Float[np.ndarray, " 4"]:
    """The box (x0, y0, x1, y1) of the sure joints; NaN where there is no joint at all."""
    points = detection.keypoints_px[_counting(detection.confidence, detection.keypoints_px, sure)]
    if not len(points):
        return np.full(4, np.nan)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def diagonal(box_px: Float[np.ndarray, " 4"]) -> float:
    """Length of a box's diagonal, px, at least 1."""
    return max(float(np.linalg.norm(box_px[2:] - box_px[:2])), 1.0)


def overlap(a_px: Float[np.ndarray, " 4"], b_px: Float[np.ndarray, " 4"]) -> float:
    """Intersection over union of two boxes, 0…1."""
    sides = np.minimum(a_px[2:], b_px[2:]) - np.maximum(a_px[:2], b_px[:2])
    common = float(sides.clip(min=0).prod())
    both = float((a_px[2:] - a_px[:2]).prod() + (b_px[2:] - b_px[:2]).prod()) - common
    return common / both if both > 0 else 0.0


def apart(a: Detection, b: Detection, flip: Sequence[int], sure: float) -> float:
    """Mean distance (px) of the joints both are sure of, sides exchanged where that is less; infinite without any.

    Detectors take left for right now and then; that makes nobody another person.
    """
    swapped = list(flip)
    return min(
        _distance(a, b.keypoints_px, b.confidence, sure),
        _distance(a, b.keypoints_px[swapped], b.confidence[swapped], sure),
    )


def size_ratio(a: Detection, b: Detection, sure: float) -> float:
    """How many times larger `a` is than `b`, by the joints both are sure of; 1 where those are too few to tell."""
    both = (a.confidence >= sure) & (b.confidence >= sure)
    if both.sum() < _FEWEST:
        return 1.0
    sizes = [float(np.linalg.norm(np.ptp(detection.keypoints_px[both], axis=0))) for detection in (a, b)]
    return sizes[0] / sizes[1] if sizes[1] > 0 else math.inf


def _distance(a: Detection, points_px: np.ndarray, confidence: np.ndarray, sure: float) -> float:
    both = (a.confidence >= sure) & (confidence >= sure)
    if both.sum() < _FEWEST:
        both = np.isfinite(a.keypoints_px).all(axis=1) & np.isfinite(points_px).all(axis=1)
    if not both.any():
        return math.inf
    return float(np.linalg.norm(a.keypoints_px[both] - points_px[both], axis=1).mean())


def _counting(confidence: np.ndarray, points_px: np.ndarray, sure: float) -> Bool[np.ndarray, " joint"]:
    known = np.asarray(np.isfinite(points_px).all(axis=1))
    certain = known & (confidence >= sure)
    return certain if certain.sum() >= _FEWEST else known
