"""Points of the skin found by the shape of the mean body: nose, eyes, ears, mouth, chin, crown, heels and toes.

No table of vertices is needed, which would hold for one mesh only: a point is the mean of the vertices around the place
where the body is furthest in some direction, or of those on the face at a given share of its height. The same rules,
mirrored, find left and right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from sightline.body._parts import part_of_bone
from sightline.body.model import BodyModel

_TIP_M: Final = 0.006
"""Vertices so near to the furthest one share its part (on a body of adult size)."""

_FACE: Final = {
    "?Eye": (0.20, 0.25),
    "?EyeInner": (0.11, 0.25),
    "?EyeOuter": (0.30, 0.25),
    "?Mouth": (0.17, -0.22),
}
"""Place on the face, from the nose's tip: to the side and up, in units of the height of the crown above that tip."""

_FACE_RADIUS: Final = 0.045  # of vertices that make such a point, in the same unit
_FACE_DEPTH: Final = 0.08  # how far behind the foremost of them
_EAR_REACH: Final = 0.86
"""What lies further out than this share of the head's half width is ear."""

_TOES: Final = {"?BigToe": (-0.3, 0.0, 1.0), "?SmallToe": (0.8, 0.0, 0.6)}
"""Directions (outwards, up, forwards) in which a foot is furthest at its toes."""

_KNUCKLES_M: Final = 0.015  # how far along the arm from the hand's joint
_HEEL: Final = (0.0, -1.0, -1.0)
_CHIN: Final = (0.0, -1.0, 1.0)

Rows = Float[np.ndarray, " vertex"]


@dataclass(frozen=True, eq=False)
class _Skin:
    """The mean body's vertices (m, the body's frame) with the part and the bone that most of each belongs to."""

    vertices: Float[np.ndarray, "vertex 3"]
    part: np.ndarray
    bone: np.ndarray

    def around(self, centre: np.ndarray, chosen: np.ndarray, radius: float) -> Rows:
        """Equal weights for the chosen vertices within `radius` of `centre`, at least for the nearest."""
        distance = np.where(chosen, np.linalg.norm(self.vertices - centre, axis=-1), np.inf)
        return _equal(distance <= max(radius, distance.min() + 1e-4))

    def furthest(self, direction: tuple[float, ...], chosen: np.ndarray, *, midline: bool = False) -> Rows:
        """Weights for the tip of the chosen vertices in a direction; `midline` centres it between left and right."""
        reach = np.where(chosen, self.vertices @ np.array(direction), -np.inf)
        tip = self.vertices[reach.argmax()] * ([0, 1, 1] if midline else [1, 1, 1])
        return self.around(tip, chosen, _TIP_M)


def surface_points(
    model: BodyModel, vertices: Float[np.ndarray, "vertex 3"], joints: Float[np.ndarray, "bone 3"]
) -> dict[str, Rows]:
    """Return weights over the vertices for each point, given the mean body at rest (m, the body's frame).

    The points are Nose, Chin, HeadTop, and with L and R Eye, EyeInner, EyeOuter, Ear, Mouth, Heel, BigToe, SmallToe;
    for SMPL, whose hands have no bones of fingers, also HandEdge and ThumbTip.
    """
    main = model.skin_bones.gather(1, model.skin_weights.argmax(dim=1, keepdim=True))[:, 0].numpy()
    skin = _Skin(vertices, np.array(part_of_bone(model))[main], np.array(model.bones)[main])
    points = {**_head(skin), **_feet(skin)}
    if model.name == "smpl":
        for side in "LR":
            points.update(_hand_of_smpl(skin, side, joints[model.bones.index(side + "Hand")]))
    return points


def _head(skin: _Skin) -> dict[str, Rows]:
    skull = (skin.part == "head") & ~np.char.startswith(np.char.lower(skin.bone), "neck")
    points = {
        "Nose": skin.furthest((0.0, 0.0, 1.0), skull, midline=True),
        "Chin": skin.furthest(_CHIN, skull, midline=True),
        "HeadTop": skin.furthest((0.0, 1.0, 0.0), skull, midline=True),
    }
    nose, crown = points["Nose"] @ skin.vertices, points["HeadTop"] @ skin.vertices
    unit = crown[1] - nose[1]
    half_width = np.abs(skin.vertices[skull, 0]).max()
    for side, sign in (("L", 1.0), ("R", -1.0)):
        points[side + "Ear"] = _equal(skull & (sign * skin.vertices[:, 0] > _EAR_REACH * half_width))
        for name, (aside, up) in _FACE.items():
            place = nose[:2] + unit * np.array([sign * aside, up])
            points[name.replace("?", side)] = _on_face(skin, skull, place, unit)
        ball = skin.bone == f"eye.{side}"
        if ball.any():
            points[side + "Eye"] = skin.furthest((0.0, 0.0, 1.0), ball)
    return points


def _feet(skin: _Skin) -> dict[str, Rows]:
    points = {}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        foot = skin.part == side + "Foot"
        points[side + "Heel"] = skin.furthest(_HEEL, foot)
        for name, (outwards, up, forwards) in _TOES.items():
            points[name.replace("?", side)] = skin.furthest((sign * outwards, up, forwards), foot)
    return points


def _hand_of_smpl(skin: _Skin, side: str, middle: Float[np.ndarray, "3"]) -> dict[str, Rows]:
    """HandEdge, outside the little knuckle, and ThumbTip: SMPL rests with its arms aside and the palms down."""
    hand = skin.part == side + "Hand"
    knuckles = hand & (np.abs(skin.vertices[:, 0] - middle[0]) < _KNUCKLES_M)
    return {
        side + "HandEdge": skin.furthest((0.0, 0.0, -1.0), knuckles),
        side + "ThumbTip": skin.furthest((0.0, 0.0, 1.0), hand),
    }


def _on_face(skin: _Skin, skull: np.ndarray, place: np.ndarray, unit: float) -> Rows:
    """Weights for the foremost vertices of the head at a place (x, y) as seen from before."""
    aside = np.where(skull & (skin.vertices[:, 2] > 0), np.linalg.norm(skin.vertices[:, :2] - place, axis=-1), np.inf)
    near = aside <= max(_FACE_RADIUS * unit, aside.min() + 1e-4)
    return _equal(near & (skin.vertices[:, 2] >= skin.vertices[near, 2].max() - _FACE_DEPTH * unit))


def _equal(chosen: np.ndarray) -> Rows:
    return chosen / chosen.sum()
