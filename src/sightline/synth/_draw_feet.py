"""Feet and moved parts of measured poses: joints know of no toes, and limbs of one pose may join another's body."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float

from sightline.landmarks import ALL_LANDMARKS, BODY_LANDMARKS
from sightline.synth._draw_skeleton import ROW

_H36M: Final = [ROW[name] for name in BODY_LANDMARKS[:17]]
_STANDS_M, _FREE_M = 0.06, 0.16
"""Height of an ankle over the lowest joint: below the first its foot is level, above the second it is free."""
_HEEL, _TOE, _ANKLE = 0.055, 0.155, 0.068
"""Places of heel and toe behind, before and below the ankle (m)."""
_HANGING: Final = 0.45
"""How far a free foot points down along the shin (sine and cosine of it are near enough)."""

FLIP: Final[tuple[int, ...]] = tuple(
    ROW.get({"L": "R", "R": "L"}.get(name[0], name[0]) + name[1:], row) for row, name in enumerate(ALL_LANDMARKS)
)
"""The permutation of `ALL_LANDMARKS` that swaps left and right."""
_PELVIS: Final = [ROW[name] for name in ("Hip", "LHip", "RHip", "Spine")]
_JOINTS_OF_LEGS: Final = [ROW[side + part] for part in ("Hip", "Knee", "Ankle") for side in "LR"]
_HEELS, _BIG_TOES, _FOOT_INDICES = ([ROW[side + part] for side in "LR"] for part in ("Heel", "BigToe", "FootIndex"))
_YZX, _ZXY = np.array([1, 2, 0]), np.array([2, 0, 1])
_LEVEL: Final = np.array([1.0, 1.0, 0.0])
_UP: Final = np.array([0.0, 0.0, 1.0])
_LEG, _ARM = ("Knee", "Ankle", "Heel", "BigToe", "FootIndex"), ("Elbow", "Wrist", "Index", "Pinky")
_HEAD: Final = [ROW[n] for n in ("NeckNose", "MidHead", "HeadTop", "Nose", "LEye", "REye", "LEar", "REar")]
_PARTS: Final = {
    "legs": (True, [(ROW[side + "Hip"], [ROW[side + name] for name in _LEG]) for side in "LR"]),
    "L": (False, [(ROW["LShoulder"], [ROW["L" + name] for name in _ARM])]),
    "R": (False, [(ROW["RShoulder"], [ROW["R" + name] for name in _ARM])]),
    "head": (False, [(ROW["Thorax"], _HEAD)]),
}
"""Parts that may be another's: whether they turn with the pelvis or the chest, the joint of the body's own at which
they start, and their landmarks."""

Points = Float[np.ndarray, "moment landmark 3"]


def with_feet(joints: Float[np.ndarray, "moment 17 3"], floor_m: float) -> Points:
    """Return the landmarks of `h36m17` joints (m, z up) with feet: level near the floor, hanging where they are free.

    A foot points where its knee does, as far as the leg is bent, else where the pelvis does.
    """
    points = np.full((len(joints), len(ALL_LANDMARKS), 3), np.nan)
    points[:, _H36M] = joints
    (hip, left_hip, right_hip, spine), legs = points[:, _PELVIS].transpose(1, 0, 2), points[:, _JOINTS_OF_LEGS]
    ahead = _unit(_cross(left_hip - right_hip, spine - hip))[:, None]
    hip, knee, ankle = legs[:, :2], legs[:, 2:4], legs[:, 4:]
    leg, shin = ankle - hip, _unit(ankle - knee)
    thigh = knee - hip
    way = thigh - leg * (_dot(thigh, leg) / np.maximum(_dot(leg, leg), 1e-9)) + 0.06 * ahead
    free = _unit(_unit(way - shin * _dot(way, shin)) + _HANGING * shin)
    flat = _unit(way * _LEVEL + 1e-6 * ahead)
    share = ((ankle[..., 2:] - (floor_m + _STANDS_M)) / (_FREE_M - _STANDS_M)).clip(0, 1)
    share = np.where(shin[..., 2:] > -0.3, 1.0, share)
    toes = _unit(flat * (1 - share) + free * share)
    down = shin * share - _UP * (1 - share)
    ankle = ankle + _ANKLE * _unit(down - toes * _dot(down, toes))
    points[:, _HEELS] = ankle - _HEEL * toes
    points[:, _BIG_TOES] = points[:, _FOOT_INDICES] = ankle + _TOE * toes
    return points


def mirrored(points: Points) -> Points:
    """Return landmarks mirrored at the plane y = 0, left and right swapped."""
    return points[:, FLIP] * np.array([1.0, -1.0, 1.0])


def recombined(body: Points, others: dict[str, Points]) -> Points:
    """Return a body with parts of others: "legs" in its pelvis' frame, "L", "R" (arms) and "head" in its chest's.

    Landmarks that the other pose does not know are unknown in the result too. Legs keep the other's pelvis tilt against
    the vertical only as far as the body's own pelvis has it.
    """
    result = body.copy()
    for part, other in others.items():
        of_pelvis, limbs = _PARTS[part]
        turn = _frames(other, of_pelvis) @ _frames(body, of_pelvis).transpose(0, 2, 1)  # of rows
        for joint, limb in limbs:
            result[:, limb] = body[:, [joint]] + (other[:, limb] - other[:, [joint]]) @ turn
    return result


def _frames(points: Points, of_pelvis: bool) -> Float[np.ndarray, "moment 3 3"]:
    """Axes of pelvis or chest as columns: left, forwards, up."""
    pair = ("LHip", "RHip") if of_pelvis else ("LShoulder", "RShoulder")
    low, high = ("Hip", "Spine") if of_pelvis else ("Spine", "Thorax")
    left = _unit(points[:, ROW[pair[0]]] - points[:, ROW[pair[1]]])
    up = points[:, ROW[high]] - points[:, ROW[low]]
    up = _unit(up - left * _dot(up, left))
    return np.stack([left, _cross(up, left), up], axis=-1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", a, b)[..., None]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cross product, quicker than NumPy's for a few vectors."""
    return a.take(_YZX, -1) * b.take(_ZXY, -1) - a.take(_ZXY, -1) * b.take(_YZX, -1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.sqrt(_dot(vector, vector)), 1e-9)
