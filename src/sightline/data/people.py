"""Virtual people: bodies of many sizes and proportions, and poses recombined from several moments of motion capture."""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.skeleton import get_skeleton

_GROUPS = (
    ("RHip", "LHip"),
    ("RKnee", "LKnee"),
    ("RAnkle", "LAnkle"),
    ("Spine",),
    ("Thorax",),
    ("Nose",),
    ("Head",),
    ("LShoulder", "RShoulder"),
    ("LElbow", "RElbow"),
    ("LWrist", "RWrist"),
)
"""Bones, named by their far joint, whose length is drawn together (left and right alike)."""

_RHIP, _LHIP, _SPINE, _THORAX, _LSHOULDER, _RSHOULDER = 1, 4, 7, 8, 11, 14
_LEGS = slice(1, 7)
_ARMS = ((_LSHOULDER, (12, 13)), (_RSHOULDER, (15, 16)))


@dataclass(frozen=True, kw_only=True)
class PeopleConfig:
    """How bodies and poses are drawn around those of the motion capture."""

    size_std: float = 0.05
    """Standard deviation of the whole body's size, as a share."""
    bone_std: float = 0.04
    """Standard deviation of each bone's length, as a share, alike on both sides."""
    mirrored_share: float = 0.5
    """Share of people who are mirrored, left and right swapped."""
    recombined_share: float = 0.0
    """Chance with which legs, left arm and right arm each come from another person of the same draw."""
    turn_std: float = 0.0
    """Spread of a small random turn of every bone, in radians per axis across it."""


def sample_bodies(
    joints: Float[Tensor, "batch 17 3"], generator: torch.Generator, people: PeopleConfig
) -> Float[Tensor, "batch 17 3"]:
    """Give each pose (m, z up) a body of its own size and bone lengths, mirrored or not; the root moves to the origin.

    With `recombined_share` and `turn_std` the pose changes too: half an hour of motion holds few poses that differ, and
    what a lifter has not seen it cannot lift.
    """
    skeleton = get_skeleton("h36m17")
    count = len(joints)
    if people.recombined_share > 0:
        joints = recombined(joints, generator, people.recombined_share)
    size = 1 + people.size_std * torch.randn(count, 1, generator=generator).to(joints)
    bones = 1 + people.bone_std * torch.randn(count, len(_GROUPS), generator=generator).to(joints)
    factors = (size * bones).clamp_min(0.3)
    flips = torch.rand(count, generator=generator) < people.mirrored_share
    turns = torch.randn(joints.shape, generator=generator).to(joints) * people.turn_std if people.turn_std else None
    if turns is not None:
        turns[:, _LHIP] = -turns[:, _RHIP]
    group = {name: g for g, names in enumerate(_GROUPS) for name in names}
    result = torch.zeros_like(joints)
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            if turns is not None:
                bone = _turned(bone, turns[:, joint])
            result[:, joint] = result[:, parent] + bone * factors[:, group[skeleton.joints[joint]], None]
    mirrored = result[:, list(skeleton.flip)] * result.new_tensor([-1.0, 1.0, 1.0])
    return torch.where(flips[:, None, None], mirrored, result)


def recombined(
    joints: Float[Tensor, "batch 17 3"], generator: torch.Generator, share: float
) -> Float[Tensor, "batch 17 3"]:
    """Exchange limbs between people: legs turned about the vertical to fit the hips, arms turned with the trunk.

    Bone lengths of a limb come along with it. Roots move to the origin. Limbs may pass through each other: a lifter is
    to read them from pictures of bodies that do not, so such poses only cost it a little of its capacity.
    """
    joints = joints - joints[:, :1]
    result = joints.clone()
    other, chosen = _partners(len(joints), generator, share)
    heading = _heading(joints)
    zero = torch.zeros_like(heading)
    turn = roma.rotvec_to_rotmat(torch.stack([zero, zero, heading - heading[other]], dim=-1))
    legs = joints[other, _LEGS] @ turn.mT
    result[:, _LEGS] = torch.where(chosen[:, None, None], legs, joints[:, _LEGS])
    trunk = _trunk_frame(joints)
    for shoulder, rest in _ARMS:
        other, chosen = _partners(len(joints), generator, share)
        arm = joints[other][:, list(rest)] - joints[other, shoulder][:, None]
        arm = arm @ (trunk @ trunk[other].mT).mT + joints[:, shoulder][:, None]
        result[:, list(rest)] = torch.where(chosen[:, None, None], arm, joints[:, list(rest)])
    return result


def _partners(count: int, generator: torch.Generator, share: float) -> tuple[Tensor, Bool[Tensor, " batch"]]:
    """Return whose limb each person would get, and who gets it."""
    return torch.randperm(count, generator=generator), torch.rand(count, generator=generator) < share


def _heading(joints: Tensor) -> Float[Tensor, " batch"]:
    """Angle of the hip line about the vertical."""
    across = joints[:, _LHIP] - joints[:, _RHIP]
    return torch.atan2(across[:, 1], across[:, 0])


def _trunk_frame(joints: Tensor) -> Float[Tensor, "batch 3 3"]:
    """Axes of the upper trunk as columns: towards the left shoulder, backwards, up the spine."""
    up = joints[:, _THORAX] - joints[:, _SPINE]
    across = joints[:, _LSHOULDER] - joints[:, _RSHOULDER]
    return roma.special_gramschmidt(torch.stack([across, up], dim=-1))


def _turned(bone: Float[Tensor, "batch 3"], turn: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
    """Turn a bone by a small vector across it, keeping its length."""
    length = bone.norm(dim=-1, keepdim=True)
    moved = bone + length * turn
    return moved * (length / moved.norm(dim=-1, keepdim=True).clamp_min(1e-9))
