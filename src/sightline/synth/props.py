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
_CORNERS: Final = np.array([(i, j, k) for k in (0, 1) for j in (0, 1) for i in (0, 1)])
_EVERY_PAIR: Final = np.array([(i, j) for i in range(8) for j in range(8) if i != j]).T
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
    low, high = thing.boxes[:, :1], thing.boxes[:, 1:]
    boxes = low + _CORNERS * (high - low)
    prop = Prop(
        vertices_world=(thing.vertices @ turn.T + shift).astype(np.float32), faces=thing.faces, material=material
    )
    return Placed(prop=prop, boxes=boxes @ turn.T + shift)


def _may_stand(
    placed: Placed, view: View, people: Sequence[PosedFigure], others: Sequence[Placed], hides: tuple[float, float]
) -> bool:
    if float(((placed.boxes - view.position) @ view.forward).min()) < 0.45:
        return False
    if _pierces(placed, people, slack=0.0) or _inside(placed.boxes, view.position[None], grown=0.25).any():
        return False
    if any(_inside(placed.boxes, other.boxes.mean(1), grown=0.1).any() for other in others):
        return False
    shares = [hidden_share(placed, view, person) for person in people]
    return max(shares) <= hides[1] and max(shares) >= hides[0]


def hidden_share(placed: Placed, view: View, person: PosedFigure) -> float:
    """Return about how much of the seen part of a person's outline a thing hides."""
    px, inside = view.project(person.outline)
    if not inside.any():
        return 0.0
    depth = (person.outline - view.position) @ view.forward
    of_boxes = (placed.boxes - view.position) @ view.forward
    ahead = of_boxes.min(1) > 0.05
    if not ahead.any():
        return 0.0
    corners = view.project(placed.boxes[ahead].reshape(-1, 3))[0].reshape(-1, 8, 2)
    covered = (depth > of_boxes[ahead].mean(1)[:, None]) & _within_hulls(px, corners)
    return float(covered.any(0)[inside].mean())


def _pierces(placed: Placed, people: Sequence[PosedFigure], slack: float) -> bool:
    """Whether people's outlines reach into a thing, further than `slack` (m)."""
    return any(_inside(placed.boxes, person.solid, grown=0.02 - slack).any() for person in people)


def _inside(
    boxes: Float[np.ndarray, "part 8 3"], points: Float[np.ndarray, "point 3"], *, grown: float
) -> Bool[np.ndarray, " point"]:
    """Whether points lie in one of some boxes that reach `grown` (m) further."""
    origin = boxes[:, :1]
    edges = boxes[:, [1, 2, 4]] - origin
    lengths = np.sqrt(np.einsum("bij,bij->bi", edges, edges))
    along = (edges / lengths[..., None]) @ (points - origin).transpose(0, 2, 1)
    return ((along > -grown) & (along < lengths[..., None] + grown)).all(1).any(0)


def _within_hulls(
    points: Float[np.ndarray, "point 2"], corners: Float[np.ndarray, "part 8 2"]
) -> Bool[np.ndarray, "part point"]:
    """Whether points lie in the convex hulls of corners: on no side of which all corners lie away from them."""
    first, second = corners[:, _EVERY_PAIR[0]], corners[:, _EVERY_PAIR[1]]
    normals = (second - first)[..., ::-1] * [-1.0, 1.0]
    heights = np.einsum("bij,bij->bi", first, normals)
    outer = (corners @ normals.transpose(0, 2, 1) >= heights[:, None] - 1e-6).all(1) & (np.abs(normals).max(2) > 1e-9)
    sides = zip(normals, heights - 1e-6, outer, strict=True)
    return np.stack([(normal[its] @ points.T >= height[its, None]).all(0) for normal, height, its in sides])
