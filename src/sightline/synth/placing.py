"""Where people stand: the first before the camera, the others round about, not inside one another, some overlapping."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float

from sightline.synth._draw_actor import PosedFigure
from sightline.synth.cameras import View
from sightline.synth.config import CrowdDraw
from sightline.synth.intersect import depth_between

_TRIES: Final = 14
_TOUCH_M: Final = 0.015
"""How deep people may press into one another."""
_CLOSE_M: Final = (0.55, 1.1)
_MOST_HIDDEN: Final = 0.65
"""Share of somebody's box that a nearer neighbour's box may cover."""
_NEARER: Final = 0.6
"""Share of the least distance of people at which a hand or foot of theirs may be."""
_SEEN: Final = 0.3
"""Share of a neighbour's outline that has to lie in the picture."""

Box = Float[np.ndarray, "4"]


def placed_neighbour(
    rng: np.random.Generator,
    draw: CrowdDraw,
    view: View,
    placed: Sequence[PosedFigure],
    make: Callable[[float], PosedFigure],
    near_m: float,
) -> PosedFigure | None:
    """Find a free place for another person near one of those placed; None if chance finds none.

    make: poses the person at the origin, turned by an angle (rad); 0 looks along x.
    """
    anchor = placed[int(rng.integers(len(placed)))]
    close, overlap = rng.random() < draw.close_share, rng.random() < draw.overlap_share
    towards = rng.uniform(0, 2 * math.pi)
    low, high = _CLOSE_M if close else draw.apart_m
    person: PosedFigure | None = None
    for number in range(_TRIES):
        away = low * (high / low) ** rng.random()
        if overlap and not close:
            ahead = view.forward[:2] / max(float(np.linalg.norm(view.forward[:2])), 1e-6)
            towards = math.atan2(ahead[1], ahead[0]) + rng.normal(0, 0.25) + (math.pi if rng.random() < 0.35 else 0.0)
        else:
            towards = rng.uniform(0, 2 * math.pi)
        if number == 0 or person is None:
            facing = towards + math.pi + rng.normal(0, 0.35) if close else rng.uniform(0, 2 * math.pi)
            person = make(facing)
        moved = person.moved(*(anchor.heads[0, :2] + away * np.array([math.cos(towards), math.sin(towards)])))
        if fits(moved, view, placed, near_m):
            return moved
    return None


def fits(person: PosedFigure, view: View, placed: Sequence[PosedFigure], near_m: float) -> bool:
    """Whether somebody is in view, far enough from the camera, in nobody's body, and hides nobody wholly."""
    px, inside = view.project(person.outline)
    if inside.mean() < _SEEN:
        return False
    if not clear_of(view, person, near_m):
        return False
    if any(depth_between(person.capsules, other.capsules) > _TOUCH_M for other in placed):
        return False
    mine, depth = box_of(px), _depth_of(view, person)
    for other in placed:
        its = box_of(view.project(other.outline)[0])
        nearer, further = (mine, its) if depth < _depth_of(view, other) else (its, mine)
        if covered(further, nearer) > _MOST_HIDDEN:
            return False
    return True


def clear_of(view: View, person: PosedFigure, near_m: float) -> bool:
    """Whether the camera stands far enough from everything of somebody."""
    return bool(np.linalg.norm(person.outline - view.position, axis=1).min() >= _NEARER * near_m)


def takes_in(view: View, people: Sequence[PosedFigure], near_m: float) -> bool:
    """Whether a camera stands clear of all these people and sees enough of each."""
    return all(clear_of(view, person, near_m) and view.project(person.outline)[1].mean() > _SEEN for person in people)


def box_of(points: Float[np.ndarray, "point 2"]) -> Box:
    """Left, top, right, bottom."""
    return np.concatenate([points.min(0), points.max(0)])


def covered(box: Box, by: Box) -> float:
    """Share of a box that another one covers."""
    width, height = np.minimum(box[2:], by[2:]) - np.maximum(box[:2], by[:2])
    return float(max(width, 0) * max(height, 0) / max(float(np.prod(box[2:] - box[:2])), 1e-9))


def _depth_of(view: View, person: PosedFigure) -> float:
    return float((person.heads[0] - view.position) @ view.forward)
