"""Inverse kinematics of a whole body, once through: pelvis, trunk, head, arms, legs; each aims from where it lies.

Tensors here are (batch, side, …): one side for the trunk, and left and right for limbs, which are turned in one go
where the same landmarks of both are known. So few poses cost few operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.body._ik_feet import Ground, grounded_foot
from sightline.body._ik_hinges import hinge_towards, straight_axis
from sightline.body._ik_rig import Rig
from sightline.body._ik_rotations import (
    IDENTITY,
    about,
    between,
    constant,
    frame_rotation,
    hinge_axis,
    procrustes_rotation,
    shared_twist,
    swing,
    turned,
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


Bones = tuple[str, ...]
"""A bone of the trunk, or the same bone of one or both limbs, left first."""
Names = tuple[str, ...]
"""Landmarks: the same one of the limbs of such bones."""
Segment = list[tuple[Bones, float]]
"""Bones of a limb's segment, outwards, each with its share of the twist."""


@dataclass(eq=False, kw_only=True)
class Posing:
    """Bodies on the way to a pose, all with the same landmarks known. One use: `solved()`."""

    rig: Rig
    """Of one body, or as many as there are targets."""
    targets: Float[Tensor, "batch landmark 3"]
    """Where landmarks are: what orientations are read from."""
    aims: Float[Tensor, "batch landmark 3"]
    """Where segments aim, in the hope that the landmarks come to lie at the targets."""
    known: frozenset[str]
    ground: Ground | None = None
    reach: bool = False
    """Legs end where the ankles aim, even if knees then miss."""
    turns: dict[Bones, Tensor] = field(default_factory=dict)
    heads: dict[Bones, Tensor] = field(default_factory=dict)

    def solved(self) -> tuple[Float[Tensor, "batch bone 3 3"], Float[Tensor, "batch 3"]]:
        """Return the rotations of the rig's bones, and where the root lies."""
        self._trunk()
        self._head()
        for rows in self._alike():
            self._arms(rows)
            self._legs(rows)
        turns: dict[str, Tensor] = {}
        for bones, both in self.turns.items():
            turns |= zip(bones, both.unbind(1), strict=True)
        return torch.stack([turns[bone] for bone in self.rig.bones], dim=1), self.heads[self._pelvis][:, 0]

    # ------------------------------------------------------------------------------------------------ what is asked

    @property
    def _pelvis(self) -> Bones:
        return (self.rig.articulation.pelvis,)

    @property
    def _chest(self) -> Bones:
        return (self.rig.articulation.spine[-1][0],)

    def rest(self, names: Names) -> Tensor:
        """Landmarks at rest, one a side (batch, side, 3)."""
        return picked(self.rig.rest_landmarks, names)

    def target(self, names: Names) -> Tensor:
        """Landmarks as they are to lie."""
        return picked(self.targets, names)

    def aim(self, names: Names) -> Tensor:
        """Landmarks as they are aimed at."""
        return picked(self.aims, names)

    def has(self, names: Names) -> bool:
        """Whether all these landmarks are known."""
        return self.known.issuperset(names)

    def first(self, groups: Sequence[Names]) -> Names:
        """The first group of landmarks that is known; empty if none is."""
        return next((group for group in groups if self.has(group)), ())

    def above(self, bones: Bones) -> Bones:
        """The bones from which these hang."""
        parents = (self.rig.bones[self.rig.parents[self.rig.index[bone]]] for bone in bones)
        return tuple(dict.fromkeys(parents))

    def at_rest(self, bones: Bones) -> Tensor:
        """The bones' heads at rest."""
        return self.rig.joints.index_select(1, self._rows(bones))

    def place(self, bones: Bones) -> Tensor:
        """Say, and keep, where the bones' heads lie; what they hang from is turned already."""
        parents = self.above(bones)
        offset = self._offsets.index_select(1, self._rows(bones))
        self.heads[bones] = self.heads[parents] + turned(self.turns[parents], offset)
        return self.heads[bones]

    @cached_property
    def _offsets(self) -> Float[Tensor, "body bone 3"]:
        """From the head of what each bone hangs from to its own, at rest."""
        joints = self.rig.joints
        return joints - joints.index_select(1, rows_tensor((0, *self.rig.parents[1:]), joints.device))

    def _rows(self, bones: Bones) -> Int[Tensor, " side"]:
        return rows_tensor(tuple(self.rig.index[bone] for bone in bones), self.rig.joints.device)

    def carried(self, bones: Bones, point: Tensor) -> Tensor:
        """Where points of the resting body lie that the bones carry."""
        return self.heads[bones] + turned(self.turns[bones], point - self.at_rest(bones))

    def swung(self, segment: Sequence[Bones], start: Tensor, end: Tensor, aim: Tensor) -> None:
        """Turn bones of a segment, which starts there, by the least that brings its end into the aim's direction."""
        correction = swing(end - start, aim - start)
        for bones in segment:
            self.turns[bones] = correction @ self.turns[bones]
            self.place(bones)

    # ----------------------------------------------------------------------------------------------- trunk and head

    def _trunk(self) -> None:
        body, batch = self.rig.articulation, len(self.targets)
        identity = constant(IDENTITY, self.targets).expand(batch, 1, 3, 3)
        across = self.first((_HIPS, _SHOULDERS))
        low, high = self.first((_HIPS, ("Hip",))), self.first(_ABOVE_PELVIS)
        pelvis = self._frame(low, high, across, identity, across_first=True)
        chest_low = self.first(_BELOW_CHEST)
        chest = self._frame(chest_low, self.first(_NECK_BASE), self.first((_SHOULDERS, _HIPS)), pelvis)
        group = self.first(_ROOTS) or tuple(sorted(self.known, key=ROW.__getitem__))
        offset = middle(self.rest(group)) - self.at_rest(self._pelvis)
        self.turns[self._pelvis] = pelvis
        self.heads[self._pelvis] = middle(self.aim(group)) - turned(pelvis, offset)
        spine = [(bone,) for bone, _ in body.spine]
        self.turns |= zip(spine, [*_spread(pelvis, chest, body.spine[:-1]), chest], strict=True)
        self._bend(spine, [*self._spine_aims(), (self.first(_NECK_BASE), len(spine))])

    def _frame(self, low: Names, high: Names, across: Names, otherwise: Tensor, across_first: bool = False) -> Tensor:
        """Rotation of a part of the trunk: from the way up it and the way across it, which may be unknown."""
        none = constant((0.0, 0.0, 0.0), self.targets).expand(len(self.targets), 1, 3)
        up, rest_up = none, none
        if low and high:
            up = middle(self.target(high)) - middle(self.target(low))
            rest_up = middle(self.rest(high)) - middle(self.rest(low))
        side, rest_side = none, none
        if across:
            side = self.target(across[:1]) - self.target(across[1:])
            rest_side = self.rest(across[:1]) - self.rest(across[1:])
        if across_first and across:
            return frame_rotation(rest_side, rest_up, side, up, otherwise)
        return frame_rotation(rest_up, rest_side, up, side, otherwise)

    def _spine_aims(self) -> list[tuple[Names, int]]:
        return [((name,), below) for name, below in self.rig.articulation.spine_aims if name in self.known]

    def _bend(self, spine: Sequence[Bones], stations: Sequence[tuple[Names, int]]) -> None:
        """Swing the spine, from below, so that each landmark along it comes to lie in the direction of its target."""
        done = 0
        for names, below in stations:
            segment = spine[done:below]
            if not segment or not names:
                continue
            for bone in segment:
                self.place(bone)
            end = self.carried(segment[-1], middle(self.rest(names)))
            self.swung(segment, self.heads[segment[0]], end, middle(self.aim(names)))
            done = below
        for bone in spine[done:]:
            self.place(bone)

    def _head(self) -> None:
        body, top = self.rig.articulation, (self.rig.articulation.head,)
        chest, neck = self.turns[self._chest], [(bone,) for bone, _ in body.neck]
        names = tuple(name for name in _HEAD if name in self.known)
        turn = self._head_turn(names, self.first(_NECK_BASE), chest)
        self.turns[top] = turn
        if neck:
            self.turns |= zip(neck, _spread(chest, turn, body.neck), strict=True)
        for bone in neck:
            self.place(bone)
        head = self.place(top)
        if names and neck:
            wanted = middle(self.aim(names)) - turned(turn, middle(self.rest(names)) - self.at_rest(top))
            self.swung(neck, self.heads[neck[0]], head, wanted)
            self.place(top)

    def _head_turn(self, names: Names, base: Names, chest: Tensor) -> Tensor:
        """Rotation of the head: from three points of it, from two and the base of the neck, or from one and that."""
        rest, target = self.rest(names), self.target(names)
        if len(names) >= 3:
            rest, target = (points[:, None] - middle(points)[:, None] for points in (rest, target))
            return procrustes_rotation(rest, target, torch.ones_like(rest[..., 0]), chest)
        if not names or not base:
            return chest
        rest_neck, neck = rest[:, :1] - middle(self.rest(base)), target[:, :1] - middle(self.target(base))
        if len(names) == 1:
            return swing(turned(chest, rest_neck), neck) @ chest
        return frame_rotation(rest[:, 1:] - rest[:, :1], rest_neck, target[:, 1:] - target[:, :1], neck, chest)

    # -------------------------------------------------------------------------------------------------------- limbs

    def _alike(self) -> tuple[tuple[int, ...], ...]:
        """Both sides together, or one after the other where different landmarks of them are known."""
        left, right = ({name[1:] for name in self.known if name[0] == side} for side in SIDES)
        return ((0, 1),) if left == right else ((0,), (1,))

    def _arms(self, rows: Sequence[int]) -> None:
        body = self.rig.articulation
        clavicle = list(zip(*(body.clavicle[row] for row in rows), strict=True))
        for bones in clavicle:
            self.turns[bones] = self.turns[self.above(bones)].expand(-1, len(rows), -1, -1)
            self.place(bones)
        names = _sided(rows, "Shoulder")
        if self.has(names):
            end = self.carried(clavicle[-1], self.rest(names))
            self.swung(clavicle, self.heads[clavicle[0]], end, self.aim(names))
        upper, lower = _segment(body.upper_arm, rows), _segment(body.forearm, rows)
        self._hinged(upper, lower, (names, _sided(rows, "Elbow"), _sided(rows, "Wrist")))
        self._hands(rows, lower)

    def _legs(self, rows: Sequence[int]) -> None:
        body = self.rig.articulation
        upper, lower = _segment(body.thigh, rows), _segment(body.shin, rows)
        ankles = _sided(rows, "Ankle")
        self._hinged(upper, lower, (_sided(rows, "Hip"), _sided(rows, "Knee"), ankles))
        shin, foot = self.turns[lower[-1][0]], tuple(body.foot[row] for row in rows)
        head, points = self.place(foot), self._points(rows, _TOES)
        if points:
            self.turns[foot] = self._turned_to(points, foot, shin)
        elif self.ground is not None and self.has(ankles):
            feet = zip(rows, shin.unbind(1), head.unbind(1), strict=True)
            self.turns[foot] = torch.stack([grounded_foot(self.rig, *its, self.ground) for its in feet], dim=1)
        else:
            self.turns[foot] = shin

    def _hinged(self, upper: Segment, lower: Segment, names: tuple[Names, Names, Names]) -> None:
        """Turn limbs of two segments with a hinge between: names of the landmarks at their start, hinge and end."""
        start, hinge, end = names
        first, second = upper[0][0], lower[0][0]
        head = self.place(first)
        before = self.turns[self.above(first)]
        rest_upper, rest_lower = self.rest(hinge) - self.rest(start), self.rest(end) - self.rest(hinge)
        rest_axis = hinge_axis(rest_upper, rest_lower, straight_axis(rest_upper, start, None))
        turn, angle = before.expand(-1, len(first), -1, -1), torch.zeros_like(head[..., 0])
        along = turned(before, rest_axis)
        if self.has(hinge):
            rest_upper, aimed = self.rest(hinge) - self.at_rest(first), self.aim(hinge) - head
            if self.reach and hinge[0].endswith("Knee") and self.has(end):
                lengths = (rest_upper, self.rest(end) - self.at_rest(second))
                aimed = hinge_towards(aimed, self.aim(end) - head, lengths, along)
            turn = swing(turned(before, rest_upper), aimed) @ before
            along = unit(turned(turn, rest_upper), along)
            if self.has(end):
                angle = self._twist(along, turned(turn, rest_axis), head, names)
        for bones, share in upper:
            part = angle if share == 1.0 else shared_twist(angle, share)
            self.turns[bones] = about(along, part) @ turn
            self.place(bones)
        head, turn = self.place(second), self.turns[upper[-1][0]]
        if self.has(end):
            turn = swing(turned(turn, self.rest(end) - self.at_rest(second)), self.aim(end) - head) @ turn
        for bones, _ in lower:
            self.turns[bones] = turn
            self.place(bones)

    def _twist(self, along: Tensor, axis: Tensor, head: Tensor, names: tuple[Names, Names, Names]) -> Tensor:
        """The angle about upper segments that brings the axes of their hinges to where the targets show them bent."""
        start, hinge, end = names
        upper = self.target(hinge) - (self.target(start) if self.has(start) else head)
        straight = axis if start[0].endswith("Hip") else straight_axis(along, start, self.turns[self._chest])
        return twist_angle(along, axis, hinge_axis(upper, self.target(end) - self.target(hinge), straight))

    def _hands(self, rows: Sequence[int], forearm: Segment) -> None:
        """Turn the hands by their points, if there are any, and spread their twist over the forearms."""
        hand = tuple(self.rig.articulation.hand[row] for row in rows)
        self.place(hand)
        turn, points = self.turns[forearm[-1][0]], self._points(rows, _HAND)
        self.turns[hand] = turn
        if not points:
            return
        self.turns[hand] = self._turned_to(points, hand, turn)
        if len(points) < _PALM:
            return
        rest_along = self.at_rest(hand) - self.at_rest(forearm[0][0])
        along = unit(turned(turn, rest_along), rest_along)
        across = turned(turn, self.rest(_sided(rows, "Index")) - self.rest(_sided(rows, "Pinky")))
        angle = twist_angle(along, across, turned(self.turns[hand] @ turn.mT, across))
        for bones, share in forearm:
            self.turns[bones] = about(along, shared_twist(angle, share)) @ turn
            self.place(bones)
        self.place(hand)

    def _points(self, rows: Sequence[int], names: Sequence[str]) -> list[Names]:
        """The known ones of the landmarks of hands or feet."""
        return [its for name in names if self.has(its := _sided(rows, name))]

    def _turned_to(self, points: Sequence[Names], bones: Bones, otherwise: Tensor) -> Tensor:
        """Rotation of hands or feet: their points as seen from their bones' heads."""
        rest = torch.stack([self.rest(names) for names in points], dim=2) - self.at_rest(bones)[:, :, None]
        aims = torch.stack([self.aim(names) for names in points], dim=2) - self.heads[bones][:, :, None]
        if len(points) == 1:
            return swing(turned(otherwise, rest[:, :, 0]), aims[:, :, 0]) @ otherwise
        return procrustes_rotation(rest, aims, torch.ones_like(rest[..., 0]), otherwise)


def _segment(sides: tuple[Shares, Shares], rows: Sequence[int]) -> Segment:
    both = zip(*(sides[row] for row in rows), strict=True)
    return [(tuple(bone for bone, _ in its), its[0][1]) for its in both]


def _sided(rows: Sequence[int], name: str) -> Names:
    return tuple(SIDES[row] + name for row in rows)


def _spread(first: Tensor, second: Tensor, shares: Shares) -> Iterator[Tensor]:
    """Rotations (batch, 1, 3, 3) at shares of the way from one to another."""
    part = constant(tuple(share for _, share in shares), first)
    return iter(between(first, second, part).split(1, dim=1))


@lru_cache(maxsize=256)
def rows_tensor(rows: tuple[int, ...], device: torch.device) -> Int[Tensor, " some"]:
    """Return rows to pick with, made once."""
    with torch.inference_mode(False):
        return torch.tensor(rows, dtype=torch.int64, device=device)


def picked(points: Float[Tensor, "batch landmark 3"], names: Names) -> Float[Tensor, "batch some 3"]:
    """Return some of `ALL_LANDMARKS`."""
    return points.index_select(1, rows_tensor(tuple(ROW[name] for name in names), points.device))


def middle(points: Float[Tensor, "batch some 3"]) -> Float[Tensor, "batch 1 3"]:
    """Return the middle of points; of one itself."""
    return points if points.shape[1] == 1 else points.mean(1, keepdim=True)
