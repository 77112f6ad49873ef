"""From a drawn figure and a pose to an actor: bones laid along the pose, fingers curled, feet on the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int

from sightline.body._ik_rig import Rig, rig_of
from sightline.body.anny_body import AnnyBody
from sightline.body.ik import rig_rotations
from sightline.body.model import PosedBody, RestBody
from sightline.body.regressors import landmarks_of
from sightline.body.skinning import posed_joints, skinned_arrays
from sightline.synth._draw_skeleton import ROW, about
from sightline.synth.figure import Actor, Figure
from sightline.synth.intersect import TOUCH, BodyCapsules, Capsules, body_capsules, held_off
from sightline.synth.poses import BodyPose

POSED_STATURE_M: Final = 1.73
"""Of the people whom sources of poses show; what moves them as a whole is scaled with the figure."""
_MOMENTS: Final = 4
"""Moments of a picture in which people move; the renderer takes one for each of its rays through a pixel."""
_FINGERS: Final = (("finger2", 0.8), ("finger3", 0.95), ("finger4", 1.05), ("finger5", 1.1))
"""Fingers and how far each bends, relative to the others."""
_PHALANGES: Final = (1.0, 1.15, 0.7)
_THUMB: Final = (0.0, 0.35, 0.5)
_FIST: Final = 1.35


@dataclass(frozen=True, eq=False, kw_only=True)
class PosedFigure:
    """An actor at the origin's column of the floor, and what placing it asks for."""

    actor: Actor
    capsules: Capsules
    heads: Float[np.ndarray, "bone 3"]
    outline: Float[np.ndarray, "point 3"]
    """Points spread over what is seen of it (m, world)."""

    def moved(self, x: float, y: float) -> PosedFigure:
        """Return it shifted along the floor (m)."""
        shift = np.array([x, y, 0.0])
        small = shift.astype(np.float32)
        actor = replace(
            self.actor,
            vertices_world=self.actor.vertices_world + small,
            landmarks_world=self.actor.landmarks_world + shift,
            root_world=self.actor.root_world + shift,
        )
        return PosedFigure(
            actor=actor, capsules=self.capsules.moved(shift), heads=self.heads + shift, outline=self.outline + shift
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Hands:
    """How the fingers of the left and the right hand bend: rad per joint."""

    curl: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Solved:
    """A pose laid along a figure's bones, hips over the origin, not yet turned: for one moment and shortly after."""

    rotations: Float[np.ndarray, "moment=2 bone 3 3"]
    travel: Float[np.ndarray, "3"]
    """How far (m) the root goes from the one to the other."""
    interval_s: float
    lift_m: float


def solved_poses(figure: Figure, poses: Sequence[Sequence[BodyPose]]) -> tuple[Solved, ...]:
    """For each list of poses, lay the figure along the first in which no limb passes through another, all in one go.

    Arms that come too near the body are held off it. Where no pose of a list is free of intersection, the one that has
    least of it is taken.
    """
    bound = _bound(figure)
    flat = [pose for choice in poses for pose in choice]
    targets = np.stack([pose.landmarks - pose.landmarks[0, ROW["Hip"]] for pose in flat]).astype(np.float32)
    with torch.inference_mode():
        both = torch.from_numpy(targets.reshape(-1, *targets.shape[2:]))
        turns, roots = rig_rotations(bound.rig, both, passes=1)
        heads = posed_joints(torch.from_numpy(figure.joints)[None], figure.parents, turns, roots)
    shape = (len(flat), 2)
    rotations = turns.numpy().reshape(*shape, -1, 3, 3).astype(np.float64)
    places = heads.numpy().reshape(*shape, -1, 3).astype(np.float64)
    size = figure.stature_m / POSED_STATURE_M
    found: list[Solved] = []
    start = 0
    for choice in poses:
        best: tuple[float, Solved] | None = None
        for number, pose in enumerate(choice, start):
            depth, held = held_off(figure, bound.capsules, rotations[number, 0], places[number, 0])
            solved = Solved(
                rotations=held @ rotations[number],
                travel=size * (places[number, 1, 0] - places[number, 0, 0]),
                interval_s=pose.interval_s,
                lift_m=size * pose.lift_m,
            )
            if best is None or depth < best[0]:
                best = depth, solved
            if depth <= TOUCH:
                break
        assert best is not None
        found.append(best[1])
        start += len(choice)
    return tuple(found)


def posed_figure(figure: Figure, solved: Solved, *, yaw: float, hands: Hands, shutter_s: float = 0.0) -> PosedFigure:
    """Put a figure on the floor in a solved pose, hips over the origin, turned by `yaw` (rad), fingers bent.

    With `shutter_s` above 0 the actor gets four moments of that time.
    """
    model, bound, about_z = AnnyBody.load(), _bound(figure), about("z", yaw)
    rotations = [_curled(about_z @ turn, bound, hands).astype(np.float32) for turn in solved.rotations]
    vertices, heads = _skin(figure, rotations[0], np.zeros(3, np.float32))
    shift = np.array([0.0, 0.0, solved.lift_m - float(vertices[bound.visible, 2].min())], np.float32)
    shift[:2] -= _hips(figure, heads)
    moments = [vertices + shift]
    if shutter_s > 0:
        moved = _skin(figure, rotations[1], (about_z @ solved.travel).astype(np.float32))[0] + shift
        step = (moved - moments[0]) * np.float32(shutter_s / (_MOMENTS - 1) / solved.interval_s)
        moments = [moments[0] + np.float32(k) * step for k in range(_MOMENTS)]
    heads = heads + shift
    body = torch.from_numpy(moments[0][: figure.body_vertices])[None]
    with torch.inference_mode():
        landmarks = landmarks_of(model, PosedBody(body, torch.from_numpy(heads)[None]))[0]
    actor = Actor(
        figure=figure,
        vertices_world=np.stack(moments),
        landmarks_world=landmarks.numpy().astype(np.float64),
        rotations=rotations[0],
        root_world=heads[0].astype(np.float64),
    )
    capsules = bound.capsules.posed(figure, rotations[0].astype(np.float64), heads.astype(np.float64))
    outline = moments[0][bound.outline].astype(np.float64)
    return PosedFigure(actor=actor, capsules=capsules, heads=heads, outline=outline)


@dataclass(frozen=True, eq=False)
class _Bound:
    """What depends on the figure alone."""

    rig: Rig
    capsules: BodyCapsules
    visible: Int[np.ndarray, " some"]
    outline: Int[np.ndarray, " point"]
    finger_bones: Int[np.ndarray, " finger"]
    finger_axes: Float[np.ndarray, "finger 3"]
    finger_bends: Float[np.ndarray, "finger"]
    """How far each finger's bone is turned against the wrist for a curl of 1."""
    finger_sides: Int[np.ndarray, " finger"]
    wrists: Int[np.ndarray, "2"]


@lru_cache(maxsize=64)
def _bound(figure: Figure) -> _Bound:
    model = AnnyBody.load()
    rest = RestBody(
        torch.from_numpy(figure.vertices[None, : figure.body_vertices]), torch.from_numpy(figure.joints[None])
    )
    used = np.zeros(len(figure.vertices), bool)
    used[figure.faces.ravel()] = True
    visible = np.flatnonzero(used & (figure.cut >= 0))
    row = {name: index for index, name in enumerate(model.bones)}
    fingers: list[tuple[int, np.ndarray, float, int]] = []
    for side, letter in enumerate("LR"):
        at = {name: figure.joints[row[f"{name}.{letter}"]].astype(np.float64) for name in
              ("wrist", "finger2-1", "finger5-1", "finger3-1")}  # fmt: skip
        back = np.cross(at["finger2-1"] - at["wrist"], at["finger5-1"] - at["wrist"]) * (1, -1)[side]
        for name, size in (*_FINGERS, ("finger1", 1.0)):
            first, last = (figure.joints[row[f"{name}-{k}.{letter}"]].astype(np.float64) for k in (1, 3))
            axis = np.cross(last - first, -back)
            steps = _THUMB if name == "finger1" else _PHALANGES
            for k in range(3):
                bend = size * sum(steps[: k + 1])
                fingers.append((row[f"{name}-{k + 1}.{letter}"], axis / np.linalg.norm(axis), bend, side))
    return _Bound(
        rig=rig_of(model, rest),
        capsules=body_capsules(figure, model.bones),
        visible=visible,
        outline=visible[:: max(len(visible) // 300, 1)],
        finger_bones=np.array([f[0] for f in fingers]),
        finger_axes=np.array([f[1] for f in fingers]),
        finger_bends=np.array([f[2] for f in fingers]),
        finger_sides=np.array([f[3] for f in fingers]),
        wrists=np.array([row["wrist.L"], row["wrist.R"]]),
    )


def _curled(rotations: Float[np.ndarray, "bone 3 3"], bound: _Bound, hands: Hands) -> Float[np.ndarray, "bone 3 3"]:
    """Bend the fingers, each about its own axis across the palm."""
    angle = np.minimum(np.asarray(hands.curl)[bound.finger_sides] * bound.finger_bends, math.radians(230))
    x, y, z = bound.finger_axes.T
    zero = np.zeros_like(x)
    skew = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)
    turn = np.eye(3) + np.sin(angle)[:, None, None] * skew + (1 - np.cos(angle))[:, None, None] * (skew @ skew)
    turned = rotations.copy()
    turned[bound.finger_bones] = rotations[bound.wrists[bound.finger_sides]] @ turn
    return turned


def drawn_hands(rng: np.random.Generator, curl: float, fist_share: float) -> Hands:
    """Draw how fingers bend: relaxed or, for a share of hands, closed."""
    closed, relaxed = rng.random(2) < fist_share, np.clip(rng.normal(1.0, 0.35, 2), 0.2, 2.0) * curl
    left, right = np.where(closed, _FIST, relaxed)
    return Hands(curl=(float(left), float(right)))


def _skin(figure: Figure, rotations: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (float32) and bones' heads for bones turned so, the root's at `root`."""
    joints = figure.joints
    vertices = skinned_arrays(
        figure.vertices, figure.skin_bones, figure.skin_weights, joints, figure.parents, rotations, root
    )
    with torch.inference_mode():
        heads = posed_joints(
            torch.from_numpy(joints)[None],
            figure.parents,
            torch.from_numpy(np.ascontiguousarray(rotations, np.float32))[None],
            torch.from_numpy(np.asarray(root, np.float32))[None],
        )
    return vertices, heads[0].numpy()


def _hips(figure: Figure, heads: np.ndarray) -> Float[np.ndarray, "2"]:
    """Where on the floor the hips are over: the middle of the roots of both legs."""
    legs = [bone for bone, parent in enumerate(figure.parents) if parent == 0][:2]
    return heads[legs, :2].mean(0)
