"""Everyday postures made from nothing: how people stand, walk, run, sit, bend, reach, crouch and lie.

Angles are drawn about those of adults. Gait follows the curves of hip, knee and ankle over a cycle as gait laboratories
print them (Winter, Biomechanics and Motor Control of Human Movement: natural cadence; running after Novacheck 1998),
rounded to the degree, with arms that swing against the legs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final, TypeVar

import numpy as np

from sightline.synth._draw_skeleton import Arm, Leg, Planted, Posture, Reach, Trunk

Part = TypeVar("Part", bound=Trunk | Leg | Planted | Arm | Reach)
Moments = tuple[Posture, Posture]
"""A posture and the one a moment later."""

_WALK: Final = {  # degrees at 0, 10 … 100 % of a cycle that begins with the heel's strike
    "hip": (24, 20, 13, 6, -2, -9, -11, 3, 18, 26, 24),
    "knee": (4, 15, 15, 8, 5, 10, 35, 60, 52, 16, 4),
    "foot": (0, -3, 3, 7, 9, 8, -14, -12, 0, 2, 0),
}
_RUN: Final = {
    "hip": (40, 38, 26, 10, -6, -14, -8, 14, 38, 50, 40),
    "knee": (18, 40, 42, 28, 16, 30, 72, 105, 95, 45, 18),
    "foot": (8, 18, 22, 12, -12, -24, -14, 0, 6, 8, 8),
}


def standing(rng: np.random.Generator, moment_s: float) -> Moments:
    """Stand on both feet, the weight more on one, arms doing something."""
    shift, width = rng.normal(0, 0.03), _between(rng, 0.07, 0.17)
    step = rng.normal(0, 0.07)
    legs = tuple(
        Planted(forwards=sign * step + shift * 0.2, outwards=width - sign * shift, toes=rng.normal(0.16, 0.12))
        for sign in (1.0, -1.0)
    )
    trunk = _upright(rng, 1.0)
    lean = shift * 2
    trunk = replace(trunk, roll=lean * 0.6, lean=trunk.lean - lean)
    hips = _between(rng, 0.90, 0.95)
    return _moving(rng, moment_s, Posture(trunk=trunk, legs=(legs[0], legs[1]), arms=_arms(rng), hips_m=hips), 0.5)


def walking(rng: np.random.Generator, moment_s: float) -> Moments:
    """A moment of walking."""
    return _gait(rng, moment_s, _WALK, cycle_s=_between(rng, 0.95, 1.35), size=_between(rng, 0.65, 1.15), lean=0.05)


def running(rng: np.random.Generator, moment_s: float) -> Moments:
    """A moment of running."""
    return _gait(rng, moment_s, _RUN, cycle_s=_between(rng, 0.6, 0.8), size=_between(rng, 0.7, 1.2), lean=0.18)


def _gait(
    rng: np.random.Generator,
    moment_s: float,
    curves: dict[str, tuple[int, ...]],
    *,
    cycle_s: float,
    size: float,
    lean: float,
) -> Moments:
    phase, run = rng.random(), curves is _RUN
    trunk = _upright(rng, 0.6)
    trunk = replace(trunk, bend=trunk.bend + lean)
    swing = _between(rng, 0.25, 0.5) * size * (1.6 if run else 1.0)
    elbow = rng.normal(1.5, 0.15) if run else max(rng.normal(0.35, 0.15), 0.1)
    busy = _arms(rng)[0] if rng.random() < 0.2 else None

    def at(phase: float) -> Posture:
        legs, arms = [], []
        for side, shifted in enumerate((phase, phase + 0.5)):
            hip, knee, foot = (_curve(curves[name], shifted) for name in ("hip", "knee", "foot"))
            legs.append(
                Leg(flexion=hip * size, knee=knee * (0.5 + 0.5 * size), foot=foot, abduction=0.02, outwards=0.1)
            )
            forwards = -swing * math.cos(2 * math.pi * shifted) + 0.05
            bent = elbow + (0.3 if run else 0.2) * max(forwards, 0.0)
            arms.append(
                Arm(raised=abs(forwards) + 0.05, azimuth=0.35 if forwards > 0 else 2.85, elbow=bent, inwards=0.3)
            )
            if busy is not None and side == 0:
                arms[0] = busy
        turn = 0.10 * size * math.cos(2 * math.pi * phase)
        moved = replace(trunk, yaw=-turn, twist=trunk.twist + 2 * turn)
        return Posture(trunk=moved, legs=(legs[0], legs[1]), arms=(arms[0], arms[1]))

    return at(phase), at(phase + moment_s / cycle_s)


def sitting(rng: np.random.Generator, moment_s: float) -> Moments:
    """Sit on something as high as a chair or a step."""
    height = _between(rng, 0.42, 0.56)
    slump = _between(rng, -0.15, 0.55)
    legs = []
    stretched = rng.random() < 0.25
    for _ in range(2):
        forwards = _between(rng, 0.55, 0.75) if stretched else rng.normal(0.42, 0.06)
        legs.append(Planted(forwards=forwards, outwards=_between(rng, 0.06, 0.24), toes=rng.normal(0.15, 0.12)))
    trunk = replace(_upright(rng, 1.0), pitch=rng.normal(-0.12, 0.1), bend=max(slump, -0.1))
    lap = [
        Reach(forwards=_between(rng, 0.18, 0.36), outwards=_between(rng, 0.04, 0.2), upwards=rng.normal(-0.36, 0.05))
        for _ in range(2)
    ]
    arms = (lap[0], lap[1]) if rng.random() < 0.6 else _arms(rng)
    return _moving(rng, moment_s, Posture(trunk=trunk, legs=(legs[0], legs[1]), arms=arms, hips_m=height), 0.4)


def crouching(rng: np.random.Generator, moment_s: float) -> Moments:
    """Squat, lunge or kneel on one knee."""
    lunge = rng.random() < 0.5
    if lunge:
        front = Planted(forwards=_between(rng, 0.2, 0.4), outwards=0.12, toes=0.1)
        back = Planted(
            forwards=_between(rng, -0.55, -0.3), outwards=0.12, toes=0.15, heel_raised=_between(rng, 0.5, 0.9)
        )
        legs, hips = ((front, back) if rng.random() < 0.5 else (back, front)), _between(rng, 0.45, 0.75)
    else:
        wide, toes = _between(rng, 0.12, 0.3), _between(rng, 0.15, 0.5)
        heel, ahead = _between(rng, 0.0, 0.4), _between(rng, 0.0, 0.12)
        legs = tuple(Planted(forwards=ahead, outwards=wide, toes=toes, heel_raised=heel) for _ in range(2))
        hips = _between(rng, 0.38, 0.7)
    low = np.clip((0.9 - hips) / 0.5, 0, 1)
    trunk = replace(_upright(rng, 1.0), pitch=(0.1 if lunge else 0.55) * low, bend=_between(rng, 0.0, 0.5))
    return _moving(rng, moment_s, Posture(trunk=trunk, legs=(legs[0], legs[1]), arms=_arms(rng), hips_m=hips), 0.8)


def bending(rng: np.random.Generator, moment_s: float) -> Moments:
    """Bend down from the hips, hands near the floor, the shins or the knees."""
    pitch = _between(rng, 0.4, 1.25)
    wide, split = _between(rng, 0.08, 0.2), rng.normal(0, 0.08)
    legs = tuple(
        Planted(forwards=0.12 * pitch + sign * split, outwards=wide, toes=rng.normal(0.15, 0.1)) for sign in (1.0, -1.0)
    )
    trunk = replace(_upright(rng, 1.0), pitch=pitch, bend=_between(rng, 0.1, 0.7), nod=_between(rng, -0.5, 0.1))
    arms = tuple(
        Arm(raised=pitch + _between(rng, -0.1, 0.8), azimuth=rng.normal(0.1, 0.2), elbow=_between(rng, 0.05, 0.7))
        for _ in range(2)
    )
    hips = _between(rng, 0.7, 0.92)
    posture = Posture(trunk=trunk, legs=(legs[0], legs[1]), arms=(arms[0], arms[1]), hips_m=hips)
    return _moving(rng, moment_s, posture, 1.0)


def reaching(rng: np.random.Generator, moment_s: float) -> Moments:
    """Stand and reach up, forwards or aside with one arm or both; wave and point."""
    posture, _ = standing(rng, moment_s)
    arms = list(posture.arms)
    for side in (0, 1) if rng.random() < 0.4 else (int(rng.integers(2)),):
        raised = _between(rng, 0.8, 2.9)
        arms[side] = Arm(
            raised=raised,
            azimuth=_between(rng, -0.2, 1.5 if raised < 2.2 else 1.2),
            inwards=rng.normal(-0.3, 0.4),
            elbow=abs(rng.normal(0.3, 0.35)),
            pronation=_between(rng, -0.5, 1.5),
        )
    trunk = replace(posture.trunk, twist=posture.trunk.twist + rng.normal(0, 0.2), nod=rng.normal(-0.15, 0.2))
    return _moving(rng, moment_s, replace(posture, arms=(arms[0], arms[1]), trunk=trunk), 2.0)


def exercising(rng: np.random.Generator, moment_s: float) -> Moments:
    """Balance, kick and stretch: free angles within easy limits, on one leg or two."""
    trunk = Trunk(
        pitch=rng.normal(0.05, 0.15), roll=rng.normal(0, 0.1), bend=rng.normal(0.15, 0.2), lean=rng.normal(0, 0.2),
        twist=rng.normal(0, 0.35), nod=rng.normal(0, 0.2), tilt=rng.normal(0, 0.1), turn=rng.normal(0, 0.4),
    )  # fmt: skip
    stand = Leg(flexion=_between(rng, -0.1, 0.35), knee=_between(rng, 0.05, 0.5), abduction=_between(rng, 0.0, 0.1))
    stand = replace(stand, foot=stand.knee - stand.flexion)
    flexion = _between(rng, -0.6, 1.5)
    knee = abs(rng.normal(0.3, 0.5)) + max(flexion, 0) * rng.random()
    free = Leg(flexion=flexion, abduction=_between(rng, 0.0, 0.6), knee=min(knee, 2.2), foot=rng.normal(-0.2, 0.2))
    arms = [
        Arm(
            raised=_between(rng, 0.2, 2.9), azimuth=_between(rng, 0.0, 1.7), inwards=rng.normal(0.0, 0.5),
            elbow=min(abs(rng.normal(0, 0.8)), 2.2), pronation=_between(rng, -0.3, 1.4),
        )
        for _ in range(2)
    ]  # fmt: skip
    legs = (stand, free) if rng.random() < 0.5 else (free, stand)
    return _moving(rng, moment_s, Posture(trunk=trunk, legs=legs, arms=(arms[0], arms[1])), 3.0)


def lying(rng: np.random.Generator, moment_s: float) -> Moments:
    """Lie on the back, the belly or one side, or sit on the floor with the legs ahead."""
    kind = rng.choice(("back", "belly", "side", "floor"), p=(0.4, 0.15, 0.2, 0.25))
    trunk = replace(_upright(rng, 0.7), pitch=-math.pi / 2, bend=_between(rng, 0.0, 0.15))
    bent = _between(rng, 0.0, 1.1)
    legs = [
        Leg(
            flexion=k * 0.6,
            abduction=_between(rng, 0.02, 0.25),
            knee=k * 1.15,
            outwards=rng.normal(0.3, 0.15),
            foot=-0.3,
        )
        for k in (bent, bent if rng.random() < 0.5 else 0.0)
    ]
    if kind == "belly":
        trunk = replace(trunk, pitch=math.pi / 2, bend=-0.1, turn=rng.choice((-1.0, 1.0)) * 0.9, nod=-0.1)
        legs = [replace(leg, flexion=0.0, knee=min(leg.knee, 0.3), foot=-0.9) for leg in legs]
    elif kind == "side":
        side = rng.choice((-1.0, 1.0))
        trunk = replace(trunk, pitch=0.0, roll=side * math.pi / 2, bend=0.25)
        legs = [replace(leg, flexion=bent + rng.normal(0.2, 0.1), knee=bent * 1.3, abduction=0.0) for leg in legs]
    elif kind == "floor":
        trunk = replace(trunk, pitch=_between(rng, -0.5, 0.0), bend=_between(rng, 0.2, 0.6))
        legs = [
            Leg(flexion=1.55 + k * 0.6, knee=k * 1.2, abduction=_between(rng, 0.05, 0.3), foot=-0.2, outwards=0.2)
            for k in (_between(rng, 0.0, 1.0) for _ in range(2))
        ]
    raised = 0.5 if kind == "side" else 0.25
    arms = tuple(Arm(raised=_between(rng, 0.1, 1.2), azimuth=1.6 - raised, elbow=_between(rng, 0.1, 1.0)) for _ in "LR")
    return _moving(rng, moment_s, Posture(trunk=trunk, legs=(legs[0], legs[1]), arms=(arms[0], arms[1])), 0.3)


KINDS: Final[tuple[tuple[Callable[[np.random.Generator, float], Moments], float], ...]] = (
    (standing, 0.28), (walking, 0.24), (running, 0.07), (sitting, 0.13), (crouching, 0.06),
    (bending, 0.05), (reaching, 0.08), (exercising, 0.06), (lying, 0.03),
)  # fmt: skip
"""How people spend their time in pictures."""


def _upright(rng: np.random.Generator, spread: float) -> Trunk:
    """A trunk as people carry it, looking about."""
    values = rng.normal((0.0, 0.0, 0.06, 0.0, 0.0, 0.05, 0.0, 0.0), (0.05, 0.02, 0.09, 0.05, 0.13, 0.17, 0.07, 0.35))
    pitch, roll, bend, lean, twist, nod, tilt, turn = (float(value) * spread for value in values)
    return Trunk(
        pitch=pitch, roll=roll, bend=bend, lean=lean, twist=twist, nod=nod, tilt=tilt, turn=float(np.clip(turn, -1, 1))
    )


def _arms(rng: np.random.Generator) -> tuple[Arm | Reach, Arm | Reach]:
    """Arms of somebody who does nothing much: most hang, some rest on the hips, hold something, touch the face."""
    style = rng.choice(("hang", "hips", "front", "face", "behind", "gesture"), p=(0.5, 0.08, 0.15, 0.09, 0.04, 0.14))
    hang = tuple(
        Arm(
            raised=abs(rng.normal(0.16, 0.08)) + 0.06, azimuth=rng.normal(1.1, 0.4), inwards=rng.normal(0.35, 0.25),
            elbow=max(rng.normal(0.3, 0.18), 0.06), pronation=rng.normal(0.45, 0.3),
        )
        for _ in "LR"
    )  # fmt: skip
    arms: list[Arm | Reach] = list(hang)
    one = int(rng.integers(2))
    if style == "hips":
        arms = [Reach(forwards=0.06, outwards=0.21, upwards=-0.42, elbow_outwards=0.95, pronation=-0.8) for _ in "LR"]
    elif style == "front":
        x, z = _between(rng, 0.26, 0.36), _between(rng, -0.42, -0.12)
        y = _between(rng, 0.02, 0.14)
        arms = [Reach(forwards=x, outwards=y, upwards=z, elbow_outwards=0.45, pronation=0.3) for _ in "LR"]
    elif style == "face":
        place = Reach(forwards=rng.normal(0.19, 0.02), outwards=rng.normal(0.11, 0.02), upwards=rng.normal(0.03, 0.04))
        arms[one] = replace(place, elbow_outwards=0.4)
    elif style == "behind":
        arms = [Reach(forwards=-0.19, outwards=0.05, upwards=-0.46, elbow_outwards=0.9) for _ in "LR"]
    elif style == "gesture":
        for side in (0, 1) if rng.random() < 0.5 else (one,):
            arms[side] = Reach(
                forwards=_between(rng, 0.22, 0.42),
                outwards=_between(rng, 0.12, 0.38),
                upwards=_between(rng, -0.35, 0.05),
            )
    return arms[0], arms[1]


def _moving(rng: np.random.Generator, moment_s: float, posture: Posture, speed: float) -> Moments:
    """Add the posture a moment later: trunk and arms, and legs that are free, turn at drawn speeds (rad/s)."""
    arms = tuple(_moved(rng, arm, speed * moment_s) for arm in posture.arms)
    legs = tuple(leg if isinstance(leg, Planted) else _moved(rng, leg, speed * moment_s) for leg in posture.legs)
    trunk = _moved(rng, posture.trunk, 0.3 * speed * moment_s)
    return posture, replace(posture, arms=(arms[0], arms[1]), legs=(legs[0], legs[1]), trunk=trunk)


def _moved(rng: np.random.Generator, part: Part, size: float) -> Part:
    return replace(part, **{f.name: getattr(part, f.name) + size * rng.normal() for f in fields(part)})


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _curve(degrees: tuple[int, ...], phase: float) -> float:
    """A periodic curve (rad) through its eleven values, smoothed by Catmull and Rom's spline."""
    place = (phase % 1.0) * 10
    row, t = int(place), place - int(place)
    p = [degrees[(row + k) % 10] for k in (-1, 0, 1, 2)]
    value = 0.5 * (
        2 * p[1]
        + (p[2] - p[0]) * t
        + (2 * p[0] - 5 * p[1] + 4 * p[2] - p[3]) * t**2
        + (3 * p[1] - p[0] - 3 * p[2] + p[3]) * t**3
    )
    return math.radians(value)
