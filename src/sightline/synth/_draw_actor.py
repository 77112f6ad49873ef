"""From a drawn figure and a pose to an actor: bones laid along the pose, fingers curled, feet on the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int

from sightline.body.anny_body import AnnyBody
from sightline.body.ik import Rig, rig_of, rig_rotations
from sightline.body.model import PosedBody, RestBody
from sightline.body.regressors import landmarks_of
from sightline.body.skinning import RestArrays, posed_joints
from sightline.synth._draw_hands import Fingers, Hands
from sightline.synth._draw_skeleton import ROW, about
from sightline.synth.figure import Actor, Figure
from sightline.synth.intersect import TOUCH, BodyCapsules, Capsules, body_capsules, held_off
from sightline.synth.poses import BodyPose

POSED_STATURE_M: Final = 1.73
"""Of the people whom sources of poses show; what moves them as a whole is scaled with the figure."""
_MOMENTS: Final = 4
"""Moments of a picture in which people move; the renderer takes fewer of slow ones."""
_ALONG: Final = np.linspace(0, 1, 4)[:, None]


@dataclass(frozen=True, eq=False, kw_only=True)
class PosedFigure:
    """An actor at the origin's column of the floor, and what placing it asks for."""

    actor: Actor
    capsules: Capsules
    heads: Float[np.ndarray, "bone 3"]
    outline: Float[np.ndarray, "point 3"]
    """Points spread over what is seen of it (m, world)."""

    @cached_property
    def solid(self) -> Float[np.ndarray, "point 3"]:
        """The outline, and points along the middles of limbs and trunk (m, world): what goes through no thing."""
        start, end = self.capsules.ends[:, :1], self.capsules.ends[:, 1:]
        return np.concatenate([self.outline, (start + _ALONG * (end - start)).reshape(-1, 3)])

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
    with torch.no_grad():  # not inference_mode, in which roma would keep constants that spoil later gradients
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
    bound, about_z = _bound(figure), about("z", yaw)
    turned = bound.fingers.curled(about_z @ solved.rotations[0], hands).astype(np.float32)
    heads = bound.resting.heads(turned, np.zeros(3, np.float32))
    heads[:, :2] -= heads[bound.legs, :2].mean(0)
    vertices = bound.resting.skin(turned, heads)
    rise = np.float32(solved.lift_m - float(vertices[bound.visible, 2].min()))
    vertices[:, 2] += rise
    heads[:, 2] += rise
    moments = vertices[None]
    if shutter_s > 0:
        later = bound.fingers.curled(about_z @ solved.rotations[1], hands).astype(np.float32)
        goal = bound.resting.heads(later, (heads[0] + about_z @ solved.travel).astype(np.float32))
        step = bound.resting.skin(later, goal) - vertices
        step *= np.float32(shutter_s / (_MOMENTS - 1) / solved.interval_s)
        moments = np.stack([vertices + np.float32(k) * step for k in range(_MOMENTS)])
    body = PosedBody(torch.from_numpy(vertices[: figure.body_vertices])[None], torch.from_numpy(heads)[None])
    with torch.inference_mode():
        landmarks = landmarks_of(AnnyBody.load(), body)[0]
    actor = Actor(
        figure=figure,
        vertices_world=moments,
        landmarks_world=landmarks.numpy().astype(np.float64),
        rotations=turned,
        root_world=heads[0].astype(np.float64),
    )
    capsules = bound.capsules.posed(figure, turned.astype(np.float64), heads.astype(np.float64))
    outline = vertices[bound.outline].astype(np.float64)
    return PosedFigure(actor=actor, capsules=capsules, heads=heads, outline=outline)


@dataclass(frozen=True, eq=False)
class _Bound:
    """What depends on the figure alone."""

    rig: Rig
    resting: RestArrays
    capsules: BodyCapsules
    visible: Int[np.ndarray, " some"]
    outline: Int[np.ndarray, " point"]
    fingers: Fingers
    legs: list[int]
    """The roots of both legs."""


@lru_cache(maxsize=16)
def _bound(figure: Figure) -> _Bound:
    model = AnnyBody.load()
    rest = RestBody(
        torch.from_numpy(figure.vertices[None, : figure.body_vertices]), torch.from_numpy(figure.joints[None])
    )
    used = np.zeros(len(figure.vertices), bool)
    used[figure.faces.ravel().astype(np.intp)] = True
    visible = np.flatnonzero(used & (figure.cut >= 0))
    return _Bound(
        rig=rig_of(model, rest),
        resting=RestArrays.of(figure.vertices, figure.skin_bones, figure.skin_weights, figure.joints, figure.parents),
        capsules=body_capsules(figure, model.bones),
        visible=visible,
        outline=visible[:: max(len(visible) // 300, 1)],
        fingers=Fingers.of(figure.joints, model.bones),
        legs=[bone for bone, parent in enumerate(figure.parents) if parent == 0][:2],
    )
