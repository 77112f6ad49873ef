"""A jointed figure of sticks: joint angles or places of hands and feet to landmarks, for poses made from nothing.

The figure is an adult of 1.73 m. Its frame: x to where it looks, y to its left, z up, metres, the floor below its hips
at z = 0. What a pose does not say of a limb (where a planted foot is, where a hand reaches) is solved with two bones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from sightline.landmarks import ALL_LANDMARKS

Array = np.ndarray
Vector = tuple[float, float, float]

ROW: Final = {name: row for row, name in enumerate(ALL_LANDMARKS)}
SIDES: Final = (("L", 1.0), ("R", -1.0))

HIP, THIGH, SHIN, ANKLE = 0.092, 0.430, 0.415, 0.085
LUMBAR, CHEST, SHOULDER, UPPER_ARM, FOREARM, HAND = 0.235, 0.250, 0.180, 0.285, 0.250, 0.090
_HEAD: Final = {
    "NeckNose": (0.045, 0.0, 0.105), "MidHead": (0.015, 0.0, 0.195), "HeadTop": (0.0, 0.0, 0.275),
    "Nose": (0.105, 0.0, 0.135), "LEye": (0.085, 0.032, 0.165), "REye": (0.085, -0.032, 0.165),
    "LEar": (0.0, 0.075, 0.150), "REar": (0.0, -0.075, 0.150),
}  # fmt: skip
"""From the point between the shoulders, in the head's frame."""
_FOOT: Final = {"Heel": (-0.055, 0.0, -0.065), "BigToe": (0.155, -0.012, -0.070), "FootIndex": (0.155, -0.012, -0.070)}
"""From the ankle, of a foot flat on the floor; the y of a left foot."""
_HAND: Final = {"Index": (0.028, 0.0, -HAND), "Pinky": (-0.035, 0.0, -0.85 * HAND)}
"""From the wrist of an arm that hangs, thumb forwards."""


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """Pelvis, spine and neck; radians. Bends are forwards, leans and turns to the left."""

    pitch: float = 0.0
    roll: float = 0.0
    yaw: float = 0.0
    bend: float = 0.0
    lean: float = 0.0
    twist: float = 0.0
    nod: float = 0.0
    tilt: float = 0.0
    turn: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Leg:
    """A leg by its angles (rad): hip flexion, abduction and outward turn, knee flexion, foot towards the shin."""

    flexion: float = 0.0
    abduction: float = 0.0
    outwards: float = 0.1
    knee: float = 0.0
    foot: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A leg whose foot stands at a place: forwards and outwards (m) from below the hips, toes turned outwards (rad)."""

    forwards: float = 0.0
    outwards: float = 0.1
    toes: float = 0.15
    heel_raised: float = 0.0
    """Pitch of the foot over its toes (rad)."""
    lifted: float = 0.0
    """Height (m) of the place on which the foot stands."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm by its angles (rad): raised from hanging, towards an azimuth (0 forwards, π/2 outwards), turned inwards
    about itself, elbow flexion, and the turn of the hand from thumb forwards to thumb inwards.
    """

    raised: float = 0.15
    azimuth: float = 1.0
    inwards: float = 0.2
    elbow: float = 0.25
    pronation: float = 0.3


@dataclass(frozen=True, kw_only=True)
class Reach:
    """An arm whose wrist is at a place: forwards, outwards, upwards (m) from the mid-shoulder point, in chest axes."""

    forwards: float
    outwards: float
    upwards: float
    elbow_outwards: float = 0.5
    """Where the elbow points: 0 down and back, 1 outwards."""
    pronation: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Posture:
    """A whole pose; limbs left, then right."""

    trunk: Trunk
    legs: tuple[Leg | Planted, Leg | Planted]
    arms: tuple[Arm | Reach, Arm | Reach]
    hips_m: float = 0.93
    """Height of the hips over the floor; less where planted feet would not reach it. Only planted legs heed it."""


def posture_landmarks(posture: Posture) -> Float[Array, "landmark 3"]:
    """Return the landmarks (m) of a posture in the figure's frame; NaN for those that the figure does not have."""
    points = np.full((len(ALL_LANDMARKS), 3), np.nan)
    trunk = posture.trunk
    pelvis = about("z", trunk.yaw) @ about("y", trunk.pitch) @ about("x", -trunk.roll)
    hips = np.array([0.0, 0.0, _reachable(posture, pelvis)])
    half = about("z", trunk.twist / 2) @ about("y", trunk.bend / 2) @ about("x", -trunk.lean / 2)
    lumbar, chest = pelvis @ half, pelvis @ half @ half
    head = chest @ about("z", trunk.turn) @ about("y", trunk.nod) @ about("x", -trunk.tilt)
    spine = hips + LUMBAR * lumbar[:, 2]
    thorax = spine + CHEST * chest[:, 2]
    for name, point in (("Hip", hips), ("Spine", spine), ("Thorax", thorax)):
        points[ROW[name]] = point
    for name, offset in _HEAD.items():
        points[ROW[name]] = thorax + head @ np.array(offset)
    for (letter, side), leg, arm in zip(SIDES, posture.legs, posture.arms, strict=True):
        _add_leg(points, letter, side, leg, hips, pelvis)
        _add_arm(points, letter, side, arm, thorax, chest)
    return points


def _reachable(posture: Posture, pelvis: Array) -> float:
    """The height of the hips, lowered until both planted feet touch their places."""
    height = posture.hips_m
    for (_, side), leg in zip(SIDES, posture.legs, strict=True):
        if isinstance(leg, Planted):
            hip = pelvis @ np.array([0.0, side * HIP, 0.0])
            ankle = _planted_ankle(leg, side)
            away = math.hypot(ankle[0] - hip[0], ankle[1] - hip[1])
            rise = math.sqrt(max((0.992 * (THIGH + SHIN)) ** 2 - away**2, 0.01))
            height = min(height, ankle[2] + rise - hip[2])
    return height


def _planted_ankle(leg: Planted, side: float) -> Array:
    raised = ANKLE + 0.16 * math.sin(leg.heel_raised)
    return np.array([leg.forwards, side * leg.outwards, leg.lifted + raised])


def _add_leg(points: Array, letter: str, side: float, leg: Leg | Planted, hips: Array, pelvis: Array) -> None:
    hip = hips + pelvis @ np.array([0.0, side * HIP, 0.0])
    if isinstance(leg, Planted):
        foot = about("z", side * leg.toes) @ about("y", leg.heel_raised)
        ankle = _planted_ankle(leg, side)
        knee = two_bones(hip, ankle, THIGH, SHIN, about("z", side * leg.toes)[:, 0] + 0.3 * pelvis[:, 0])
    else:
        thigh = pelvis @ about("x", side * leg.abduction) @ about("y", -leg.flexion) @ about("z", side * leg.outwards)
        shin = thigh @ about("y", leg.knee)
        knee = hip - THIGH * thigh[:, 2]
        ankle = knee - SHIN * shin[:, 2]
        foot = shin @ about("y", -leg.foot)
    for name, point in (("Hip", hip), ("Knee", knee), ("Ankle", ankle)):
        points[ROW[letter + name]] = point
    for name, (x, y, z) in _FOOT.items():
        points[ROW[letter + name]] = ankle + foot @ np.array([x, side * y, z])


def _add_arm(points: Array, letter: str, side: float, arm: Arm | Reach, thorax: Array, chest: Array) -> None:
    shoulder = thorax + chest @ np.array([0.0, side * SHOULDER, -0.02])
    if isinstance(arm, Reach):
        wrist = thorax + chest @ np.array([arm.forwards, side * arm.outwards, arm.upwards])
        pole = chest @ np.array([-0.35, side * arm.elbow_outwards, -1.0 + arm.elbow_outwards])
        elbow = two_bones(shoulder, wrist, UPPER_ARM, FOREARM, pole)
        wrist = elbow + FOREARM * _unit(wrist - elbow)
        along, bend = _unit(elbow - wrist), _unit(elbow - shoulder)
        across = np.cross(bend, along)
        across = across / np.linalg.norm(across) if np.linalg.norm(across) > 1e-6 else chest[:, 1]
        forearm = np.stack([np.cross(across, along), across, along], axis=1)
        # The elbow bends forwards: keep x on the side to which the forearm closes.
        if forearm[:, 0] @ (wrist - shoulder) < 0:
            forearm[:, :2] *= -1
    else:
        swing = about("z", side * arm.azimuth) @ about("y", -arm.raised) @ about("z", -side * arm.azimuth)
        upper = chest @ swing @ about("z", -side * arm.inwards)
        forearm = upper @ about("y", -arm.elbow)
        elbow = shoulder - UPPER_ARM * upper[:, 2]
        wrist = elbow - FOREARM * forearm[:, 2]
    hand = forearm @ about("z", -side * arm.pronation)
    for name, point in (("Shoulder", shoulder), ("Elbow", elbow), ("Wrist", wrist)):
        points[ROW[letter + name]] = point
    for name, offset in _HAND.items():
        points[ROW[letter + name]] = wrist + hand @ np.array(offset)


def two_bones(start: Array, end: Array, first: float, second: float, pole: Array) -> Float[Array, "3"]:
    """Return the joint between two bones (m) from `start` towards `end`, bent towards `pole`; straight if too far."""
    along = end - start
    distance = float(np.clip(np.linalg.norm(along), abs(first - second) + 1e-4, first + second - 1e-4))
    along = _unit(along)
    across = pole - along * (along @ pole)
    reach = (first**2 - second**2 + distance**2) / (2 * distance)
    return start + reach * along + math.sqrt(max(first**2 - reach**2, 0.0)) * _unit(across)


def about(axis: str, angle: float) -> Float[Array, "3 3"]:
    """Return the matrix that turns by an angle (rad) about an axis, by the right-hand rule."""
    c, s = math.cos(angle), math.sin(angle)
    if axis == "x":
        return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    if axis == "y":
        return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _unit(vector: Array) -> Array:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
