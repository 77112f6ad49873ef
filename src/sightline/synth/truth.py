"""The truth of a rendered scene: who is where, in metres and pixels, and which of it can be seen.

A joint lies inside the body, so the surface before it is not in its way where it is the joint's own: a hip is seen
through the trousers, from behind as well, and not through a hand that rests on it. Which parts count as a joint's own,
and how deep it may lie under them, is a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from sightline.landmarks import ALL_LANDMARKS
from sightline.synth.drawing import Drawn, cam_from_world
from sightline.synth.figure import PARTS, Actor, Figure
from sightline.synth.rendered import BEHIND_PERSON, BEHIND_PROP, BEHIND_SELF, OUTSIDE, RenderedPerson
from sightline.synth.scene import Scene

_ADULT_M: Final = 1.72
_CLOTH_M: Final = 0.03

_OWN: Final[dict[str, tuple[tuple[str, ...], float]]] = {
    "Hip": (("pelvis", "trunk", "{side}Thigh"), 0.20),
    "Knee": (("{side}Thigh", "{side}Shin"), 0.10),
    "Ankle": (("{side}Shin", "{side}Foot"), 0.08),
    "Heel": (("{side}Foot", "{side}Shin"), 0.05),
    "Toe": (("{side}Foot",), 0.06),
    "Foot": (("{side}Foot",), 0.06),
    "Shoulder": (("trunk", "{side}UpperArm"), 0.16),
    "Collar": (("trunk", "head", "{side}UpperArm"), 0.18),
    "Clavicle": (("trunk", "head", "{side}UpperArm"), 0.18),
    "Elbow": (("{side}UpperArm", "{side}Forearm"), 0.09),
    "Wrist": (("{side}Forearm", "{side}Hand"), 0.07),
    "Hand": (("{side}Forearm", "{side}Hand"), 0.07),
    "Pinky": (("{side}Hand",), 0.05),
    "Index": (("{side}Hand",), 0.05),
    "Thumb": (("{side}Hand",), 0.05),
    "Ear": (("head",), 0.03),
    "Eye": (("head",), 0.03),
    "Mouth": (("head",), 0.03),
    "Nose": (("head",), 0.025),
}
"""By the end of a landmark's name: the parts it is seen through, and how deep below them it may lie in an adult (m)."""
_HEAD_POINTS: Final = ("MidHead", "HeadTop", "SmplHead", "NeckNose", "UpperNeck")
_NECK_POINTS: Final = ("Thorax", "NeckBase", "SmplNeck", "Spine3", "MpiSpine4")
_HIP_POINTS: Final = ("Hip", "SmplPelvis")
_MIDDLE: Final[dict[str, dict[str, float]]] = {
    "head": {"head": 0.19, "trunk": 0.06},
    "neck": {"trunk": 0.22, "head": 0.09, "LUpperArm": 0.06, "RUpperArm": 0.06},
    "hip": {"pelvis": 0.26, "trunk": 0.26, "LThigh": 0.16, "RThigh": 0.16},
    "back": {"pelvis": 0.24, "trunk": 0.26},
}
"""The same of points in the middle of the body, by the part that is in front."""


def _table() -> Float[np.ndarray, "landmark part"]:
    """How deep each landmark may lie below each part and still be seen (m, of an adult); 0 for parts not its own."""
    depth = np.zeros((len(ALL_LANDMARKS), len(PARTS)))
    for row, name in enumerate(ALL_LANDMARKS):
        if name != "Nose" and (name[0] not in "LR" or name in _HIP_POINTS):
            groups = {"head": _HEAD_POINTS, "neck": _NECK_POINTS, "hip": _HIP_POINTS}
            group = next((group for group, names in groups.items() if name in names), "back")
            own = _MIDDLE[group]
        else:
            end = next(end for end in _OWN if name.endswith(end) or end in ("Eye", "Foot") and end in name[1:])
            parts, deep = _OWN[end]
            own = dict.fromkeys((part.format(side=name[0]) for part in parts), deep)
        for part, deep in own.items():
            depth[row, PARTS.index(part)] = deep
    return depth


_OWN_DEPTH_M = _table()


@dataclass(frozen=True, eq=False)
class Sight:
    """What the centres of a picture's pixels meet, person by person and altogether."""

    alone: tuple[Drawn, ...]
    """Each actor as if nobody and nothing else were there."""
    points_px: tuple[Float[np.ndarray, "_ 2"], ...]
    """Of each actor at moment 0, its vertices first; NaN where one cannot be seen."""
    props_along: Float[np.ndarray, "height width"]
    """Nearest thing, wall or floor (m along the ray)."""
    mask: UInt8[np.ndarray, "height width"]
    """What is seen: 0, 1 + row of the actor, 255."""


def truth_of(scene: Scene, sight: Sight) -> tuple[RenderedPerson, ...]:
    """Return the labels of all actors of a scene (m, the camera's frame; pixels)."""
    return tuple(_person(scene, sight, row, actor) for row, actor in enumerate(scene.actors))


def _person(scene: Scene, sight: Sight, row: int, actor: Actor) -> RenderedPerson:
    camera = scene.camera
    rotation = cam_from_world(camera)
    to_camera = lambda points: camera.world_to_camera(torch.from_numpy(np.asarray(points, np.float64)))  # noqa: E731
    landmarks = to_camera(actor.landmarks_world)
    px = camera.project(landmarks)[0].numpy()
    figure = actor.figure
    whole = sight.points_px[row][_shown(figure)].T.copy()
    seen = sight.mask == row + 1
    return RenderedPerson(
        landmarks_cam=landmarks.numpy(),
        landmarks_px=px,
        hidden_by=_hidden_by(landmarks.numpy(), px, sight, row, actor),
        box_px=_box(seen),
        whole_box_px=np.concatenate([whole.min(1), whole.max(1)]),
        seen_px=int(seen.sum()),
        whole_px=int((sight.alone[row].face >= 0).sum()),
        rotations_cam=rotation @ np.asarray(actor.rotations, np.float64),
        root_cam=to_camera(actor.root_world).numpy(),
        shape=np.asarray(figure.shape, np.float64),
        stature_m=figure.stature_m,
    )


@lru_cache(maxsize=16)
def _shown(figure: Figure) -> Int[np.ndarray, " some"]:
    """The vertices that something drawn hangs on."""
    used = np.zeros(len(figure.vertices), dtype=bool)
    used[figure.faces] = True
    return np.flatnonzero(used & (figure.cut >= 0))


def _hidden_by(
    landmarks: Float[np.ndarray, "landmark 3"],
    px: Float[np.ndarray, "landmark 2"],
    sight: Sight,
    row: int,
    actor: Actor,
) -> UInt8[np.ndarray, " landmark"]:
    """What is in the way of each landmark, along the ray of the pixel that it falls into."""
    height, width = sight.mask.shape
    inside = (px >= 0).all(-1) & (px < [width, height]).all(-1)
    x, y = (np.where(inside, px[:, axis], 0).astype(int) for axis in (0, 1))
    far = np.linalg.norm(landmarks, axis=-1)
    hidden = np.zeros(len(landmarks), dtype=np.uint8)
    own: Drawn = sight.alone[row]
    part = _parts_at(own.face[y, x], actor.figure.part_of_face)
    scale = actor.figure.stature_m / _ADULT_M
    allowed = _OWN_DEPTH_M[np.arange(len(part)), part] * scale + _CLOTH_M
    hidden[far - own.along[y, x] > allowed] |= BEHIND_SELF
    others = [drawn.along[y, x] for number, drawn in enumerate(sight.alone) if number != row]
    hidden[np.any([along < far for along in others], axis=0) if others else np.zeros(len(far), bool)] |= BEHIND_PERSON
    hidden[sight.props_along[y, x] < far - _CLOTH_M] |= BEHIND_PROP
    return np.where(inside, hidden, OUTSIDE).astype(np.uint8)


def _parts_at(
    face: Int[np.ndarray, " landmark"], part_of_face: Int[np.ndarray, " face"]
) -> Int[np.ndarray, " landmark"]:
    return np.asarray(part_of_face)[np.maximum(face, 0)].astype(np.int64)


def _box(seen: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "4"]:
    """Left, top, right, bottom edges of the pixels in which something is seen."""
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if len(rows) == 0:
        return np.full(4, np.nan)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)
