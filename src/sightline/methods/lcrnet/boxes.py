"""Boxes around poses, where points lie in them, and how much they overlap."""

from __future__ import annotations

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
    low, high = np.fmin.reduce(points, axis=-2), np.fmax.reduce(points, axis=-2)
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
    sides = np.minimum(box[..., 2:], boxes[..., 2:]) - np.maximum(box[..., :2], boxes[..., :2])
    inside = np.maximum(sides, 0.0).prod(-1)
    both = (box[..., 2:] - box[..., :2]).prod(-1) + (boxes[..., 2:] - boxes[..., :2]).prod(-1) - inside
    return np.where(both > 0, inside / np.maximum(both, _TINY), 0.0)
