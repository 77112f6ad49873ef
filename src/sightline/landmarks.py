"""Points of the body that 2D detectors see, as one vocabulary: whatever a joint set holds of it can be an input.

The joint sets overlap, but none holds another. So a lifter that is to take any of them sees each as a subset of these
landmarks: those of the interchange skeleton, and what detectors see on head and feet. A joint belongs to a landmark
where `joint_sets` says that it is the same point; nothing is derived from other joints.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.joint_sets import JOINT_SETS
from sightline.skeleton import Skeleton, get_skeleton, landmark_of

_OF_H36M: Final = tuple(landmark_of(get_skeleton("h36m17"), joint) for joint in get_skeleton("h36m17").joints)
_FACE: Final = ("Nose", "LEye", "REye", "LEar", "REar", "HeadTop")
_FEET: Final = ("LHeel", "RHeel", "LBigToe", "RBigToe")

BODY_LANDMARKS: Final[tuple[str, ...]] = (*_OF_H36M, *_FACE, *_FEET)
"""The vocabulary: first the 17 of `h36m17` in its order, then face, crown and feet."""

_SAME: Final = {"LFootIndex": "LBigToe", "RFootIndex": "RBigToe", "LToe": "LBigToe", "RToe": "RBigToe"}
"""Landmarks that lie within two centimetres of one of the vocabulary."""

LANDMARK_FLIP: Final[tuple[int, ...]] = tuple(
    BODY_LANDMARKS.index({"L": "R", "R": "L"}.get(name[0], "") + name[1:])
    if {"L": "R", "R": "L"}.get(name[0], "") + name[1:] in BODY_LANDMARKS
    else row
    for row, name in enumerate(BODY_LANDMARKS)
)
"""The permutation that swaps left and right."""

ALL_LANDMARKS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        landmark_of(skeleton, joint) for skeleton in map(get_skeleton, JOINT_SETS) for joint in skeleton.joints
    )
)
"""Every landmark that some joint set holds, each once: what a body with a mesh can answer for."""

Array = TypeVar("Array", np.ndarray, Tensor)


def rows_of(skeleton: Skeleton) -> tuple[int, ...]:
    """Return, for each joint of a skeleton, its row in `ALL_LANDMARKS`.

    Raises:
        ValueError: for a joint that none of Sightline's joint sets has.
    """
    rows = {name: row for row, name in enumerate(ALL_LANDMARKS)}
    missing = [joint for joint in skeleton.joints if landmark_of(skeleton, joint) not in rows]
    if missing:
        raise ValueError(f"skeleton {skeleton.name}: no landmark is known for {', '.join(missing)}")
    return tuple(rows[landmark_of(skeleton, joint)] for joint in skeleton.joints)


def landmark_rows(skeleton: Skeleton) -> dict[int, int]:
    """Return, by row of the vocabulary, the joint of `skeleton` that is this landmark."""
    rows: dict[int, int] = {}
    for joint, name in enumerate(skeleton.joints):
        landmark = landmark_of(skeleton, name)
        landmark = _SAME.get(landmark, landmark)
        if landmark in BODY_LANDMARKS:
            rows.setdefault(BODY_LANDMARKS.index(landmark), joint)
    return rows


def as_landmarks(
    skeleton: Skeleton, points: Float[np.ndarray, "*batch joint d"], confidence: Float[np.ndarray, "*batch joint"]
) -> tuple[Float[np.ndarray, "*batch landmark d"], Float[np.ndarray, "*batch landmark"]]:
    """Sort a joint set's points into the vocabulary; landmarks that it does not have are NaN with confidence 0."""
    rows = landmark_rows(skeleton)
    into, out_of = list(rows.keys()), list(rows.values())
    sorted_points = np.full((*points.shape[:-2], len(BODY_LANDMARKS), points.shape[-1]), np.nan)
    sorted_confidence = np.zeros((*points.shape[:-2], len(BODY_LANDMARKS)))
    sorted_points[..., into, :] = points[..., out_of, :]
    sorted_confidence[..., into] = confidence[..., out_of]
    return sorted_points, sorted_confidence


def landmark_mask(skeleton: str | Skeleton) -> Tensor:
    """Which landmarks a joint set holds, as a bool tensor (landmark,)."""
    skeleton = get_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    mask = torch.zeros(len(BODY_LANDMARKS), dtype=torch.bool)
    mask[list(landmark_rows(skeleton))] = True
    return mask
