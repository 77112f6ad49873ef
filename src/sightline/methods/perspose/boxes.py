"""Boxes of whole people, by which crops are cut: those given, or from joints where nobody gives one."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from sightline.landmarks import ALL_LANDMARKS

_MARGIN: Final = 0.02
_NO_CROWN: Final = 0.035
_NO_FEET: Final = 0.045
"""By how much of their longer side the joints' extent grows on every side to be a body's box, and by how much more for
those of whom neither the crown nor the feet are known. Measured on 1,024 rendered people on 2026-11-22: the longer side
of whole bodies is 1.04 times that of MPI-INF-3DHP's 28 joints (crown, feet), 1.13 times that of MPII's (crown), 1.10
times that of MediaPipe's (feet), 1.21 to 1.24 times that of COCO's and Human3.6M's (neither)."""
_CROWN: Final = ALL_LANDMARKS.index("HeadTop")
_FEET: Final = [
    ALL_LANDMARKS.index(name) for name in ALL_LANDMARKS if name[1:] in ("BigToe", "FootIndex", "Toe", "Foot")
]


SURE: Final = 0.3
"""Keypoints of which a detector is less sure say nothing about where somebody is."""
_ALIKE: Final = 0.02
"""A given box that differs from the joints' extent by less than this share of its longer side is that extent."""


def outlines(
    given_px: Float[np.ndarray, "person 4"], landmarks_px: Float[np.ndarray, "person landmark 2"]
) -> Float[np.ndarray, "person 4"]:
    """Return boxes of whole bodies (px: left, top, right, bottom): those given, or `body_boxes`.

    A given box that is not finite or has no area is none; nor is the bare extent of the joints, as poses files have it.
    NaN where neither box nor joints say where somebody is.

    Args:
        given_px: boxes, NaN where there is none.
        landmarks_px: points of `ALL_LANDMARKS`, NaN where unknown.
    """
    known = np.asarray(np.isfinite(landmarks_px).all(-1))[..., None]
    low = np.where(known, landmarks_px, np.inf).min(1)
    high = np.where(known, landmarks_px, -np.inf).max(1)
    longer = (given_px[:, 2:] - given_px[:, :2]).max(1)
    with np.errstate(invalid="ignore"):
        apart = np.abs(given_px - np.concatenate([low, high], axis=1)).max(1)
        own = np.asarray(apart <= _ALIKE * longer)
        boxes = np.where(own[:, None], np.nan, given_px)
        grown = body_boxes(landmarks_px)
        return np.where(_sized(boxes), boxes, np.where(_sized(grown), grown, np.nan))


def _sized(boxes: Float[np.ndarray, "person 4"]) -> Bool[np.ndarray, "person 1"]:
    """Which boxes are finite and have an area."""
    return np.asarray(np.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1))[:, None]


def body_boxes(landmarks_px: Float[np.ndarray, "person landmark 2"]) -> Float[np.ndarray, "person 4"]:
    """Return about the boxes of whole bodies (px: left, top, right, bottom), the extents of their known joints, grown.

    Args:
        landmarks_px: points of `ALL_LANDMARKS`, NaN where unknown; of whom nothing is known, the box is NaN.
    """
    known = np.asarray(np.isfinite(landmarks_px).all(-1))
    low = np.where(known[..., None], landmarks_px, np.inf).min(1)
    high = np.where(known[..., None], landmarks_px, -np.inf).max(1)
    feet = np.asarray(known[:, _FEET]).any(1)
    share = _MARGIN + np.where(known[:, _CROWN], 0.0, _NO_CROWN) + np.where(feet, 0.0, _NO_FEET)
    anybody = np.asarray(known.any(1))[:, None]
    low, high = np.where(anybody, low, np.nan), np.where(anybody, high, np.nan)
    margin = share[:, None] * (high - low).max(1, keepdims=True)
    return np.concatenate([low - margin, high + margin], axis=1)
