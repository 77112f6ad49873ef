"""Things that stand about: simple meshes before and beside people, and something to sit on.

Each thing is made of parts that lie in upright boxes; whether it goes through somebody, and how much of somebody it
hides, is asked of these boxes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from sightline.synth._draw_actor import PosedFigure
from sightline.synth._draw_skeleton import ROW
from sightline.synth._draw_things import Thing, ball, box, chair, hedge, plank, pole, stool, table
from sightline.synth.cameras import View
from sightline.synth.figure import Material
from sightline.synth.scene import Prop

_MAKERS: Final[tuple[tuple[Callable[[np.random.Generator], Thing], float], ...]] = (
    (box, 1.5), (table, 1.2), (chair, 1.2), (pole, 1.0), (ball, 0.6), (plank, 0.8), (hedge, 1.0), (stool, 0.6),
)  # fmt: skip
_TRIES: Final = 10
_HIDES: Final = (0.04, 0.5)
"""Share of a person's outline that a thing before them hides."""
_BEHIND_SHARE: Final = 0.4
"""Share of things that stand beside or behind people rather than before them."""
MaterialDraw = Callable[[np.random.Generator], Material]


@dataclass(frozen=True, eq=False, kw_only=True)
class Placed:
    """A thing where it stands."""

    prop: Prop
    boxes: Float[np.ndarray, "part 8 3"]
    """Corners of the upright boxes of its parts (m, world)."""


def drawn_things(
    rng: np.random.Generator,
    view: View,
    people: Sequence[PosedFigure],
    around: Sequence[Placed],
    material: MaterialDraw,
) -> list[Placed]:
    """Draw one to three things about the people; those for which no place is found are left out."""
    weights = np.array([weight for _, weight in _MAKERS])
    found: list[Placed] = []
    for _ in range(int(rng.choice((1, 2, 3), p=(0.6, 0.28, 0.12)))):
        make = _MAKERS[int(rng.choice(len(_MAKERS), p=weights / weights.sum()))][0]
        thing, paint = make(rng), material(rng)
        behind = rng.random() < _BEHIND_SHARE
        person = people[int(rng.integers(len(people)))]
        for _ in range(_TRIES):
            placed = _put(thing, paint, rng.uniform(0, 2 * math.pi), *_spot(rng, view, person, thing, behind))
            if _may_stand(placed, view, people, [*around, *found], _HIDES if not behind else (0.0, _HIDES[1])):
                found.append(placed)
                break
    return found


def seat_for(
    rng: np.random.Generator, person: PosedFigure, people: Sequence[PosedFigure], material: MaterialDraw
) -> Placed | None:
    """Return something under a person who sits, None for one who does not."""
    points = person.actor.landmarks_world
    hips, knees, ankles = (0.5 * (points[ROW["L" + n]] + points[ROW["R" + n]]) for n in ("Hip", "Knee", "Ankle"))
    size = person.actor.figure.stature_m
    ahead = knees[:2] - hips[:2]
    reach = float(np.linalg.norm(ahead))
    if not (0.18 * size < hips[2] < 0.40 * size and abs(hips[2] - knees[2]) < 0.12 * size and reach > 0.12 * size):
        return None
    ahead = ahead / reach
    if points[ROW["Thorax"], 2] - hips[2] < 0.15 * size:
        return None  # lies
    if (ankles[:2] - hips[:2]) @ ahead < 0.08 * size:
        return None  # squats on the heels, or kneels
    skin = person.actor.vertices_world[0]
    under = skin[np.linalg.norm(skin[:, :2] - hips[:2], axis=1) < 0.10 * size]
    top = float(under[:, 2].min()) + 0.012
    if top < 0.12:
        return None
    yaw = math.atan2(ahead[1], ahead[0])
    paint = material(rng)
    middle = hips[:2] - 0.04 * size * ahead
    for make in (chair, stool) if rng.random() < 0.5 else (stool, box):
        placed = _put(make(rng).tall(top), paint, yaw, *middle)
        others = [other for other in people if other is not person]
        if make is stool or not _pierces(placed, [*others, person], slack=0.05):
            return placed
    return _put(stool(rng).tall(top), paint, yaw, *middle)


def _spot(rng: np.random.Generator, view: View, person: PosedFigure, thing: Thing, behind: bool) -> tuple[float, float]:
    """A place on the floor: on the way from the camera to a person, or somewhere about the person."""
    at, eye = person.heads[0, :2], view.position[:2]
    way = at - eye
    size = float(np.linalg.norm(thing.vertices[:, :2].max(0) - thing.vertices[:, :2].min(0)))
    aside = np.array([-way[1], way[0]]) / max(float(np.linalg.norm(way)), 1e-6)
    if behind:
        turn = rng.uniform(0, 2 * math.pi)
        return tuple(at + (0.4 + 0.5 * size + rng.exponential(0.7)) * np.array([math.cos(turn), math.sin(turn)]))
    share = rng.uniform(0.35, 0.95)
    return tuple(eye + share * way + rng.normal(0, 0.25 + 0.3 * size) * share * aside)


def _put(thing: Thing, material: Material, yaw: float, x: float, y: float) -> Placed:
    c, s = math.cos(yaw), math.sin(yaw)
    turn, shift = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]), np.array([x, y, 0.0])
    corners = np.array([[[(i, j, k)[a] for a in range(3)] for k in (0, 1) for j in (0, 1) for i in (0, 1)]])
    low, high = thing.boxes[:, 0], thing.boxes[:, 1]
    boxes = low[:, None] + corners * (high - low)[:, None]
    prop = Prop(
        vertices_world=(thing.vertices @ turn.T + shift).astype(np.float32), faces=thing.faces, material=material
    )
    return Placed(prop=prop, boxes=boxes @ turn.T + shift)


def _may_stand(
    placed: Placed, view: View, people: Sequence[PosedFigure], others: Sequence[Placed], hides: tuple[float, float]
) -> bool:
    if _pierces(placed, people, slack=0.0) or _inside(placed.boxes, view.position[None], grown=0.25).any():
        return False
    if any(_inside(placed.boxes, other.boxes.mean(1), grown=0.1).any() for other in others):
        return False
    depth = float(((placed.boxes.reshape(-1, 3) - view.position) @ view.forward).min())
    if depth < 0.45:
        return False
    shares = [hidden_share(placed, view, person) for person in people]
    return max(shares) <= hides[1] and max(shares) >= hides[0]


def hidden_share(placed: Placed, view: View, person: PosedFigure) -> float:
    """Return about how much of the seen part of a person's outline a thing hides."""
    px, inside = view.project(person.outline)
    if not inside.any():
        return 0.0
    depth = (person.outline - view.position) @ view.forward
    covered = np.zeros(len(px), bool)
    for corners in placed.boxes:
        nearest = (corners - view.position) @ view.forward
        if nearest.min() > 0.05:
            covered |= (depth > nearest.mean()) & _within_hull(px, view.project(corners)[0])
    return float(covered[inside].mean())


def _pierces(placed: Placed, people: Sequence[PosedFigure], slack: float) -> bool:
    """Whether people's outlines reach into a thing, further than `slack` (m)."""
    for person in people:
        ends = person.capsules.ends
        axis = (ends[:, :1] + np.linspace(0, 1, 4)[None, :, None] * (ends[:, 1:] - ends[:, :1])).reshape(-1, 3)
        if _inside(placed.boxes, np.concatenate([person.outline, axis]), grown=0.02 - slack).any():
            return True
    return False


def _inside(
    boxes: Float[np.ndarray, "part 8 3"], points: Float[np.ndarray, "point 3"], *, grown: float
) -> Bool[np.ndarray, " point"]:
    """Whether points lie in one of some boxes that reach `grown` (m) further."""
    origin = boxes[:, 0]
    found = np.zeros(len(points), bool)
    edges = np.stack([boxes[:, 1] - origin, boxes[:, 2] - origin, boxes[:, 4] - origin], axis=1)
    lengths = np.linalg.norm(edges, axis=-1)
    for start, axes, length in zip(origin, edges / lengths[..., None], lengths, strict=True):
        along = (points - start) @ axes.T
        found |= ((along > -grown) & (along < length + grown)).all(1)
    return found


def _within_hull(
    points: Float[np.ndarray, "point 2"], corners: Float[np.ndarray, "corner 2"]
) -> Bool[np.ndarray, " point"]:
    """Whether points lie in the convex hull of corners: on no side of which all corners lie away from them."""
    edges = (corners[None] - corners[:, None]).reshape(-1, 2)
    starts = np.repeat(corners, len(corners), axis=0)
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1)
    heights = (starts * normals).sum(1)
    outer = (normals @ corners.T >= heights[:, None] - 1e-6).all(1) & (np.abs(edges).max(1) > 1e-9)
    return (points @ normals[outer].T >= heights[outer] - 1e-6).all(1)
