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
_LEGS: Final = [ROW[s + part] for s in "LR" for part in ("Knee", "Ankle", "Heel", "BigToe", "FootIndex")]
_HEAD: Final = [ROW[n] for n in ("NeckNose", "MidHead", "HeadTop", "Nose", "LEye", "REye", "LEar", "REar")]
_ARM: Final = {s: [ROW[s + part] for part in ("Elbow", "Wrist", "Index", "Pinky")] for s in "LR"}

Points = Float[np.ndarray, "moment landmark 3"]


def with_feet(joints: Float[np.ndarray, "moment 17 3"], floor_m: float) -> Points:
    """Return the landmarks of `h36m17` joints (m, z up) with feet: level near the floor, hanging where they are free.

    A foot points where its knee does, as far as the leg is bent, else where the pelvis does.
    """
    points = np.full((len(joints), len(ALL_LANDMARKS), 3), np.nan)
    points[:, _H36M] = joints
    left = points[:, ROW["LHip"]] - points[:, ROW["RHip"]]
    ahead = _unit(_cross(left, points[:, ROW["Spine"]] - points[:, ROW["Hip"]]))[:, None]
    hip, knee, ankle = (points[:, [ROW["L" + name], ROW["R" + name]]] for name in ("Hip", "Knee", "Ankle"))
    leg, shin = ankle - hip, _unit(ankle - knee)
    bent = knee - hip - leg * _dot(knee - hip, leg) / np.maximum(_dot(leg, leg), 1e-9)
    way = bent + 0.06 * ahead
    free = _unit(_unit(way - shin * _dot(way, shin)) + _HANGING * shin)
    flat = _unit(way * [1, 1, 0] + 1e-6 * ahead)
    share = np.clip((ankle[..., 2:] - floor_m - _STANDS_M) / (_FREE_M - _STANDS_M), 0, 1)
    share = np.where(shin[..., 2:] > -0.3, 1.0, share)
    toes = _unit(flat * (1 - share) + free * share)
    down = shin * share - np.array([0.0, 0.0, 1.0]) * (1 - share)
    sole = _unit(down - toes * _dot(down, toes))
    for name, along in (("Heel", -_HEEL), ("BigToe", _TOE), ("FootIndex", _TOE)):
        points[:, [ROW["L" + name], ROW["R" + name]]] = ankle + along * toes + _ANKLE * sole
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
        legs = part == "legs"
        rows = {"legs": _LEGS, "head": _HEAD}.get(part) or _ARM[part]
        centres = [points[:, ROW["Hip" if legs else "Thorax"]] for points in (body, other)]
        axes = [_frames(points, legs) for points in (body, other)]
        turn = axes[0] @ np.swapaxes(axes[1], -1, -2)
        for row in rows:
            result[:, row] = centres[0] + (turn @ (other[:, row] - centres[1])[..., None])[..., 0]
        for side in "LR" if legs else "":
            _hang(result, other, side + "Hip", [row for row in rows if ALL_LANDMARKS[row][0] == side], turn, body)
        if part in "LR":
            _hang(result, other, part + "Shoulder", rows, turn, body)
    return result


def _hang(result: Points, other: Points, joint: str, rows: list[int], turn: np.ndarray, body: Points) -> None:
    """Let a limb start at the body's own joint."""
    row = ROW[joint]
    for limb in rows:
        result[:, limb] = body[:, row] + (turn @ (other[:, limb] - other[:, row])[..., None])[..., 0]


def _frames(points: Points, of_pelvis: bool) -> Float[np.ndarray, "moment 3 3"]:
    """Axes of pelvis or chest as columns: left, forwards, up."""
    pair = ("LHip", "RHip") if of_pelvis else ("LShoulder", "RShoulder")
    low, high = ("Hip", "Spine") if of_pelvis else ("Spine", "Thorax")
    left = _unit(points[:, ROW[pair[0]]] - points[:, ROW[pair[1]]])
    up = points[:, ROW[high]] - points[:, ROW[low]]
    up = _unit(up - left * (up * left).sum(-1, keepdims=True))
    return np.stack([left, _cross(up, left), up], axis=-1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1, keepdims=True)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cross product, quicker than NumPy's for a few vectors."""
    (ax, ay, az), (bx, by, bz) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)
