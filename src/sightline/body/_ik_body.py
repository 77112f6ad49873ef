"""Inverse kinematics of a whole body, once through: pelvis, trunk, head, arms, legs; each aims from where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body._ik_feet import Ground, grounded_foot
from sightline.body._ik_rig import Rig
from sightline.body._ik_rotations import (
    about,
    between,
    frame_rotation,
    hinge_axis,
    procrustes_rotation,
    shared_twist,
    swing,
    twist_angle,
    unit,
)
from sightline.body.articulation import SIDES, Shares
from sightline.landmarks import ALL_LANDMARKS

ROW: Final = {name: row for row, name in enumerate(ALL_LANDMARKS)}

_HIPS, _SHOULDERS = ("LHip", "RHip"), ("LShoulder", "RShoulder")
_NECK_BASE = (("Thorax",), ("NeckBase",), ("SmplNeck",), _SHOULDERS)
_ROOTS = (_HIPS, ("Hip",), ("SmplPelvis",), ("LHip",), ("RHip",), ("Spine",), ("Spine1",), ("Spine2",), *_NECK_BASE)
_ABOVE_PELVIS = (("SmplPelvis",), ("Spine1",), ("MpiSpine2",), ("Spine",), ("Spine2",), ("Spine3",), *_NECK_BASE)
_BELOW_CHEST = (("Spine3",), ("Spine2",), ("Spine",), ("MpiSpine3",), ("MpiSpine2",), ("Spine1",), _HIPS, ("Hip",))
_HEAD = (
    "NeckNose", "MidHead", "Nose", "LEye", "REye", "LEar", "REar", "HeadTop", "SmplHead", "UpperNeck",
    "LEyeInner", "LEyeOuter", "REyeInner", "REyeOuter", "LMouth", "RMouth",
)  # fmt: skip
_HAND, _TOES = ("Hand", "Index", "Pinky", "Thumb"), ("Foot", "Toe", "FootIndex", "BigToe", "SmallToe", "Heel")
_PALM: Final = 3
"""With so many points of a hand its turn about the forearm's axis can be seen."""

_ARM_FORWARDS: Final = (0.32, -0.19, 0.93)
_ELBOW_AXIS: Final = (-0.71, -0.69, 0.1)
"""A direction of the left upper arm in the chest's frame, and the axis of the elbow there, fitted to the bent elbows of
310 clips of motion capture; directions that nobody's arm takes lie opposite."""

_FORWARD_M: Final = 0.01
"""How far a knee has to be off the line from hip to ankle to say where it points."""


@dataclass(eq=False, kw_only=True)
class Posing:
    """Bodies on the way to a pose, all with the same landmarks known. One use: `solved()`."""

    rig: Rig
    targets: Float[Tensor, "batch landmark 3"]
    """Where landmarks are: what orientations are read from."""
    aims: Float[Tensor, "batch landmark 3"]
    """Where segments aim, in the hope that the landmarks come to lie at the targets."""
    known: frozenset[str]
    ground: Ground | None = None
    reach: bool = False
    """Legs end where the ankles aim, even if knees then miss."""
    turns: dict[str, Tensor] = field(default_factory=dict)
    heads: dict[str, Tensor] = field(default_factory=dict)

    def solved(self) -> tuple[Float[Tensor, "batch bone 3 3"], Float[Tensor, "batch 3"]]:
        """Return the rotations of the rig's bones, and where the root lies."""
        self._trunk()
        self._head()
        for side in range(2):
            self._arm(side)
            self._leg(side)
        pelvis = self.rig.articulation.pelvis
        return torch.stack([self.turns[bone] for bone in self.rig.bones], dim=1), self.heads[pelvis]

    # ------------------------------------------------------------------------------------------------ what is asked

    def rest(self, *names: str) -> Tensor:
        """Middle of landmarks at rest (batch, 3)."""
        return self.rig.rest_landmarks[:, [ROW[name] for name in names]].mean(1)

    def target(self, *names: str) -> Tensor:
        """Middle of landmarks as they are to lie."""
        return self.targets[:, [ROW[name] for name in names]].mean(1)

    def aim(self, *names: str) -> Tensor:
        """Middle of landmarks as they are aimed at."""
        return self.aims[:, [ROW[name] for name in names]].mean(1)

    def has(self, *names: str) -> bool:
        """Whether all these landmarks are known."""
        return self.known.issuperset(names)

    def first(self, groups: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        """The first group of landmarks that is known; empty if none is."""
        return next((group for group in groups if self.has(*group)), ())

    def at_rest(self, bone: str) -> Tensor:
        """The bone's head at rest."""
        return self.rig.joints[:, self.rig.index[bone]]

    def place(self, bone: str) -> Tensor:
        """Say, and keep, where the bone's head lies; its parent is turned already."""
        row = self.rig.index[bone]
        parent = self.rig.bones[self.rig.parents[row]]
        self.heads[bone] = self.carried(parent, self.at_rest(bone))
        return self.heads[bone]

    def carried(self, bone: str, point: Tensor) -> Tensor:
        """Where a point of the resting body lies that a bone carries."""
        return self.heads[bone] + turned(self.turns[bone], point - self.at_rest(bone))

    # ----------------------------------------------------------------------------------------------- trunk and head

    def _trunk(self) -> None:
        body, batch = self.rig.articulation, len(self.targets)
        identity = torch.eye(3, dtype=self.targets.dtype, device=self.targets.device).expand(batch, 3, 3)
        across = self.first((_HIPS, _SHOULDERS))
        low, high = self.first((_HIPS, ("Hip",))), self.first(_ABOVE_PELVIS)
        pelvis = self._frame(low, high, across, identity, across_first=True)
        chest_low = self.first(_BELOW_CHEST)
        chest = self._frame(chest_low, self.first(_NECK_BASE), self.first((_SHOULDERS, _HIPS)), pelvis)
        root = self.at_rest(body.pelvis)
        group = self.first(_ROOTS) or tuple(sorted(self.known, key=ROW.__getitem__))
        self.turns[body.pelvis] = pelvis
        self.heads[body.pelvis] = self.aim(*group) - turned(pelvis, self.rest(*group) - root)
        for bone, share in body.spine:
            self.turns[bone] = chest if share == 1.0 else between(pelvis, chest, share)
        self._bend(body.spine, [*self._spine_aims(), (self.first(_NECK_BASE), len(body.spine))])

    def _frame(
        self,
        low: tuple[str, ...],
        high: tuple[str, ...],
        across: tuple[str, ...],
        otherwise: Tensor,
        across_first: bool = False,
    ) -> Tensor:
        """Rotation of a part of the trunk: from the way up it and the way across it, which may be unknown."""
        none = torch.zeros_like(self.targets[:, 0])
        up, rest_up = none, none
        if low and high:
            up, rest_up = self.target(*high) - self.target(*low), self.rest(*high) - self.rest(*low)
        side, rest_side = none, none
        if across:
            side = self.target(across[0]) - self.target(across[1])
            rest_side = self.rest(across[0]) - self.rest(across[1])
        if across_first and across:
            return frame_rotation(rest_side, rest_up, side, up, otherwise)
        return frame_rotation(rest_up, rest_side, up, side, otherwise)

    def _spine_aims(self) -> list[tuple[tuple[str, ...], int]]:
        return [((name,), below) for name, below in self.rig.articulation.spine_aims if self.has(name)]

    def _bend(self, spine: Shares, stations: Sequence[tuple[tuple[str, ...], int]]) -> None:
        """Swing the spine, from below, so that each landmark along it comes to lie in the direction of its target."""
        done = 0
        for names, below in stations:
            bones = [bone for bone, _ in spine[done:below]]
            if not bones or not names:
                continue
            for bone in bones:
                self.place(bone)
            start, end = self.heads[bones[0]], self.carried(bones[-1], self.rest(*names))
            correction = swing(end - start, self.aim(*names) - start)
            for bone in bones:
                self.turns[bone] = correction @ self.turns[bone]
                self.place(bone)
            done = below
        for bone, _ in spine[done:]:
            self.place(bone)

    def _head(self) -> None:
        body = self.rig.articulation
        chest = self.turns[body.spine[-1][0]]
        names = tuple(name for name in _HEAD if self.has(name))
        base = self.first(_NECK_BASE)
        turn = self._head_turn(names, base, chest)
        self.turns[body.head] = turn
        for bone, share in body.neck:
            self.turns[bone] = between(chest, turn, share)
            self.place(bone)
        head = self.place(body.head)
        if names and body.neck:
            start = self.heads[body.neck[0][0]]
            wanted = self.aim(*names) - turned(turn, self.rest(*names) - self.at_rest(body.head))
            correction = swing(head - start, wanted - start)
            for bone, _ in body.neck:
                self.turns[bone] = correction @ self.turns[bone]
                self.place(bone)
            self.place(body.head)

    def _head_turn(self, names: tuple[str, ...], base: tuple[str, ...], chest: Tensor) -> Tensor:
        """Rotation of the head: from three points of it, from two and the base of the neck, or from one and that."""
        if len(names) >= 3:
            rows = [ROW[name] for name in names]
            rest, target = self.rig.rest_landmarks[:, rows], self.targets[:, rows]
            rest, target = rest - rest.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
            return procrustes_rotation(rest, target, torch.ones_like(rest[..., 0]), chest)
        if not names or not base:
            return chest
        rest_neck, neck = self.rest(names[0]) - self.rest(*base), self.target(names[0]) - self.target(*base)
        if len(names) == 1:
            return swing(turned(chest, rest_neck), neck) @ chest
        rest_main, main = self.rest(names[1]) - self.rest(names[0]), self.target(names[1]) - self.target(names[0])
        return frame_rotation(rest_main, rest_neck, main, neck, chest)

    # -------------------------------------------------------------------------------------------------------- limbs

    def _arm(self, row: int) -> None:
        body, side = self.rig.articulation, SIDES[row]
        for bone in body.clavicle[row]:
            self.turns[bone] = self.turns[self.rig.bones[self.rig.parents[self.rig.index[bone]]]]
            self.place(bone)
        if self.has(side + "Shoulder"):
            start = self.heads[body.clavicle[row][0]]
            end = self.carried(body.clavicle[row][-1], self.rest(side + "Shoulder"))
            correction = swing(end - start, self.aim(side + "Shoulder") - start)
            for bone in body.clavicle[row]:
                self.turns[bone] = correction @ self.turns[bone]
                self.place(bone)
        names = (side + "Shoulder", side + "Elbow", side + "Wrist")
        self._hinged(body.upper_arm[row], body.forearm[row], names)
        self._hand(row)

    def _leg(self, row: int) -> None:
        body, side = self.rig.articulation, SIDES[row]
        names = (side + "Hip", side + "Knee", side + "Ankle")
        self._hinged(body.thigh[row], body.shin[row], names)
        shin, foot = body.shin[row][-1][0], body.foot[row]
        self.place(foot)
        points = tuple(side + name for name in _TOES if self.has(side + name))
        if points:
            self.turns[foot] = self._turned_to(points, foot, self.turns[shin])
        elif self.ground is not None and self.has(side + "Ankle"):
            self.turns[foot] = grounded_foot(self.rig, row, self.turns[shin], self.heads[foot], self.ground)
        else:
            self.turns[foot] = self.turns[shin]

    def _hinged(self, upper: Shares, lower: Shares, names: tuple[str, str, str]) -> None:
        """Turn a limb of two segments with a hinge between: names of the landmarks at its start, hinge and end."""
        start, hinge, end = names
        first, second = upper[0][0], lower[0][0]
        before = self.turns[self.rig.bones[self.rig.parents[self.rig.index[first]]]]
        head = self.place(first)
        rest_upper, rest_lower = self.rest(hinge) - self.rest(start), self.rest(end) - self.rest(hinge)
        rest_axis = hinge_axis(rest_upper, rest_lower, _straight_axis(rest_upper, start, None))
        turn, angle = before, torch.zeros_like(head[..., 0])
        along = turned(before, rest_axis)
        if self.has(hinge):
            rest_upper, aimed = self.rest(hinge) - self.at_rest(first), self.aim(hinge) - head
            if self.reach and hinge.endswith("Knee") and self.has(end):
                lengths = (rest_upper, self.rest(end) - self.at_rest(second))
                aimed = hinge_towards(aimed, self.aim(end) - head, lengths, turned(before, rest_axis))
            turn = swing(turned(before, rest_upper), aimed) @ before
            along = unit(turned(turn, rest_upper), along)
            if self.has(end):
                axis = turned(turn, rest_axis)
                upper_target = self.target(hinge) - (self.target(start) if self.has(start) else head)
                chest = self.turns[self.rig.articulation.spine[-1][0]]
                straight = axis if start.endswith("Hip") else _straight_axis(along, start, chest)
                bent = hinge_axis(upper_target, self.target(end) - self.target(hinge), straight)
                angle = twist_angle(along, axis, bent)
        for bone, share in upper:
            part = angle if share == 1.0 else shared_twist(angle, share)
            self.turns[bone] = about(along, part) @ turn
            self.place(bone)
        head, turn = self.place(second), self.turns[upper[-1][0]]
        if self.has(end):
            turn = swing(turned(turn, self.rest(end) - self.at_rest(second)), self.aim(end) - head) @ turn
        for bone, _ in lower:
            self.turns[bone] = turn
            self.place(bone)

    def _hand(self, row: int) -> None:
        """Turn the hand by its points, if there are any, and spread its twist over the forearm."""
        body, side = self.rig.articulation, SIDES[row]
        hand, forearm = body.hand[row], body.forearm[row]
        self.place(hand)
        turn = self.turns[forearm[-1][0]]
        self.turns[hand] = turn
        points = tuple(side + name for name in _HAND if self.has(side + name))
        if not points:
            return
        self.turns[hand] = self._turned_to(points, hand, turn)
        if len(points) < _PALM:
            return
        rest_along = self.at_rest(hand) - self.at_rest(forearm[0][0])
        along = unit(turned(turn, rest_along), rest_along)
        across = turned(turn, self.rest(side + "Index") - self.rest(side + "Pinky"))
        angle = twist_angle(along, across, turned(self.turns[hand] @ turn.mT, across))
        for bone, share in forearm:
            self.turns[bone] = about(along, shared_twist(angle, share)) @ turn
            self.place(bone)
        self.place(hand)

    def _turned_to(self, points: tuple[str, ...], bone: str, otherwise: Tensor) -> Tensor:
        """Rotation of a hand or foot: its points as seen from its bone's head."""
        rows = [ROW[name] for name in points]
        rest = self.rig.rest_landmarks[:, rows] - self.at_rest(bone)[:, None]
        bones = self.aims[:, rows] - self.heads[bone][:, None]
        if len(points) == 1:
            return swing(turned(otherwise, rest[:, 0]), bones[:, 0]) @ otherwise
        return procrustes_rotation(rest, bones, torch.ones_like(rest[..., 0]), otherwise)


def _straight_axis(upper: Float[Tensor, "batch 3"], start: str, chest: Tensor | None) -> Float[Tensor, "batch 3"]:
    """About which axis a straight knee or elbow would bend, given the direction of the thigh or upper arm.

    Knees about the axis to the left. Elbows as most people's do, in the frame of the `chest` (None: at rest): as if the
    arm had swung, without twist, from where it points forwards.
    """
    if start.endswith("Hip"):
        return upper.new_tensor((1.0, 0.0, 0.0)).expand_as(upper)
    mirror = 1.0 if start.startswith("L") else -1.0
    forwards = upper.new_tensor((mirror * _ARM_FORWARDS[0], *_ARM_FORWARDS[1:]))
    axis = upper.new_tensor((_ELBOW_AXIS[0], mirror * _ELBOW_AXIS[1], mirror * _ELBOW_AXIS[2]))
    seen = upper if chest is None else turned(chest.mT, upper)
    swung = turned(swing(forwards, seen), axis.expand_as(upper))
    return swung if chest is None else turned(chest, swung)


def hinge_towards(
    hinge: Float[Tensor, "batch 3"],
    end: Float[Tensor, "batch 3"],
    segments: tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch 3"]],
    axis: Float[Tensor, "batch 3"],
) -> Float[Tensor, "batch 3"]:
    """Return where a knee has to lie so that the ankle reaches `end`; all as seen from the hip (m).

    The law of cosines, in the plane of the knee that was wished for; forwards of `axis` (to the left) where that lies
    on the line. Where the end is out of reach the limb is straight.
    """
    upper, lower = (torch.linalg.vector_norm(segment, dim=-1, keepdim=True) for segment in segments)
    along = unit(end, hinge)
    far = torch.linalg.vector_norm(torch.where(end.isfinite(), end, 0.0) + 1e-12, dim=-1, keepdim=True)
    far = far.clamp(min=1e-3).maximum((upper - lower).abs() * 1.001).minimum((upper + lower) * 0.9999)
    projected = (upper.square() + far.square() - lower.square()) / (2.0 * far)
    aside = (upper.square() - projected.square()).clamp(min=1e-12).sqrt()
    forward = unit(torch.linalg.cross(along, axis, dim=-1), axis)
    bent = hinge - (hinge * along).sum(-1, keepdim=True) * along + _FORWARD_M * forward
    return projected * along + aside * unit(bent, forward)


def turned(rotation: Float[Tensor, "*batch 3 3"], vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Return the vector turned."""
    return (rotation @ vector[..., None])[..., 0]
