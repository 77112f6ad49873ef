"""Boxes around poses, where points lie in them, and how much they overlap."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from sightline.skeleton import Skeleton, landmark_of

BOX_MARGIN: Final = 0.1
"""By what share of its size the box of a pose reaches beyond the joints, on each side (paper 003, section 3.1)."""
LEGS: Final = ("Knee", "Ankle", "Foot", "Heel", "Toe")
"""What lies below the box of an upper body, as landmarks are called."""
_TINY: Final = 1e-12


def upper_rows(skeleton: Skeleton) -> Int[np.ndarray, " joint"]:
    """Return the joints of an upper body: all but those of the legs below the hips."""
    names = [landmark_of(skeleton, joint) for joint in skeleton.joints]
    return np.array([row for row, name in enumerate(names) if not any(part in name for part in LEGS)])


def pose_boxes(points: Float[np.ndarray, "*batch joint 2"], margin: float = 0.0) -> Float[np.ndarray, "*batch 4"]:
    """Return boxes (left, top, right, bottom) around joints.

    Args:
        points: joints; those that are not known are NaN.
        margin: by what share of its size a box reaches beyond them, on each side.

    Returns:
        The boxes, NaN for a pose of which no joint is known.
    """
    *batch, count, _ = points.shape
    joints = np.ascontiguousarray(points.reshape(math.prod(batch), 2 * count).T)  # extremes are quicker down than along
    ends = (np.fmin, np.fmax) if np.isnan(joints).any() else (np.minimum, np.maximum)  # the first two take their time
    low, high = (end.reduce(joints.reshape(count, 2, math.prod(batch))).T.reshape(*batch, 2) for end in ends)
    grown = margin * (high - low)
    return np.concatenate([low - grown, high + grown], axis=-1)


def box_coordinates(
    points: Float[np.ndarray, "*batch joint 2"], boxes: Float[np.ndarray, "*batch 4"]
) -> Float[np.ndarray, "*batch joint 2"]:
    """Return where points lie in boxes, from (0, 0) at the left and top to (1, 1)."""
    size = np.maximum(boxes[..., 2:] - boxes[..., :2], 1e-9)
    return (points - boxes[..., None, :2]) / size[..., None, :]


def points_of_box(
    coordinates: Float[np.ndarray, "*batch joint 2"], boxes: Float[np.ndarray, "*batch 4"]
) -> Float[np.ndarray, "*batch joint 2"]:
    """Return the points of which `box_coordinates` are told."""
    return boxes[..., None, :2] + coordinates * (boxes[..., 2:] - boxes[..., :2])[..., None, :]


def overlaps(box: Float[np.ndarray, "*#batch 4"], boxes: Float[np.ndarray, "*#batch 4"]) -> Float[np.ndarray, "*batch"]:
    """Return intersection over union; 0 for boxes without any area."""
    width = np.minimum(box[..., 2], boxes[..., 2]) - np.maximum(box[..., 0], boxes[..., 0])
    height = np.minimum(box[..., 3], boxes[..., 3]) - np.maximum(box[..., 1], boxes[..., 1])
    inside = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    return np.asarray(inside / np.maximum(_areas(box) + _areas(boxes) - inside, _TINY))


def _areas(boxes: Float[np.ndarray, "*batch 4"]) -> np.ndarray | np.floating:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
