"""Virtual people: bodies of many sizes and proportions, and poses recombined from several moments of motion capture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.data.anthropometry import Population, sample_bone_lengths
from sightline.data.plausible import plausible
from sightline.data.procedural import procedural_poses
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
    population_share: float = 0.0
    """Share of people with the bones of somebody of the population; the rest has the clip's own, varied."""
    population: Population = Population()
    """Who there is."""
    swing_share: float = 0.0
    """Chance of each limb, the trunk and the head to be swung about the joint it hangs on."""
    swing_std: float = 0.3
    """Spread of such a swing, in radians per axis."""
    procedural_share: float = 0.0
    """Share of poses that random joint angles make instead of motion capture (`procedural`)."""
    tilt_std: float = 0.0
    """Spread of a lean of the whole body about each horizontal axis, in radians."""
    tumbled_share: float = 0.0
    """Share of people turned any way up: lying, upside down."""
    check: bool = False
    """Whether a widened pose that no body can take (`plausible`) gives way to the one it was made from."""


def sample_bodies(
    joints: Float[Tensor, "batch 17 3"], generator: torch.Generator, people: PeopleConfig
) -> Float[Tensor, "batch 17 3"]:
    """Give each pose (m, z up) a body of its own size and bone lengths, mirrored or not; the root moves to the origin.

    With `recombined_share` and `turn_std` the pose changes too: half an hour of motion holds few poses that differ, and
    what a lifter has not seen it cannot lift.
    """
    skeleton = get_skeleton("h36m17")
    count, original = len(joints), joints
    if people.procedural_share > 0:
        made = _procedural_pool()[torch.randint(_POOL, (count,), generator=generator)].to(joints)
        chosen = torch.rand(count, generator=generator) < people.procedural_share
        joints = original = torch.where(chosen[:, None, None], made, joints)
    if people.recombined_share > 0:
        joints = recombined(joints, generator, people.recombined_share)
    if people.swing_share > 0:
        joints = swung(joints, generator, people.swing_share, people.swing_std)
    factors, lengths = _sizes(count, generator, people)
    flips = torch.rand(count, generator=generator) < people.mirrored_share
    turns = torch.randn(joints.shape, generator=generator).to(joints) * people.turn_std if people.turn_std else None
    if turns is not None:
        turns[:, _LHIP] = -turns[:, _RHIP]
    result = _rebuilt(joints, factors, lengths, turns)
    if people.check:
        result = torch.where(plausible(result)[:, None, None], result, _rebuilt(original, factors, lengths, None))
    mirrored = result[:, list(skeleton.flip)] * result.new_tensor([-1.0, 1.0, 1.0])
    result = torch.where(flips[:, None, None], mirrored, result)
    return tilted(result, generator, people) if people.tilt_std > 0 or people.tumbled_share > 0 else result


_POOL = 16_384


@lru_cache(maxsize=1)
def _procedural_pool() -> Float[Tensor, "pose 17 3"]:
    """Procedural poses to draw from, always the same: making them one batch at a time costs more than all the rest."""
    return procedural_poses(_POOL, torch.Generator().manual_seed(17))


def _sizes(count: int, generator: torch.Generator, people: PeopleConfig) -> tuple[Tensor, Tensor | None]:
    """Return factors on the clip's bones, and lengths in metres in their place where not NaN: (batch, 17)."""
    size = 1 + people.size_std * torch.randn(count, 1, generator=generator)
    bones = 1 + people.bone_std * torch.randn(count, len(_GROUPS), generator=generator)
    group = {name: g for g, names in enumerate(_GROUPS) for name in names}
    columns = [group.get(name, 0) for name in get_skeleton("h36m17").joints]
    factors = (size * bones).clamp_min(0.3)[:, columns]
    if people.population_share == 0:
        return factors, None
    lengths = sample_bone_lengths(count, generator, people.population)
    others = torch.rand(count, generator=generator) >= people.population_share
    return factors, torch.where(others[:, None], torch.nan, lengths)


def _rebuilt(joints: Tensor, factors: Tensor, lengths: Tensor | None, turns: Tensor | None) -> Tensor:
    """The same pose from the root on, with bones of other lengths, each turned by a little."""
    result = torch.zeros_like(joints)
    for joint, parent in enumerate(get_skeleton("h36m17").parents):
        if parent >= 0:
            bone = joints[:, joint] - joints[:, parent]
            factor = factors[:, joint, None].to(bone)
            if lengths is not None:
                given = lengths[:, joint, None].to(bone) / bone.norm(dim=-1, keepdim=True).clamp_min(1e-6)
                factor = torch.where(given.isnan(), factor, given)
            if turns is not None:
                bone = _turned(bone, turns[:, joint])
            bone = bone * factor
            result[:, joint] = result[:, parent] + bone
    return result


_SWINGS = (
    (7, (8, 9, 10, 11, 12, 13, 14, 15, 16), 0.6),
    (8, (9, 10), 1.0),
    (11, (12, 13), 1.5),
    (12, (13,), 0.8),
    (14, (15, 16), 1.5),
    (15, (16,), 0.8),
    (4, (5, 6), 0.8),
    (5, (6,), 0.5),
    (1, (2, 3), 0.8),
    (2, (3,), 0.5),
)
"""What may be swung: the joint it hangs on, the joints that go along, and how far in shares of `swing_std`."""


def swung(
    joints: Float[Tensor, "batch 17 3"], generator: torch.Generator, share: float, std: float
) -> Float[Tensor, "batch 17 3"]:
    """Swing trunk, head, arms and legs, whole or from elbow and knee on, each about its joint by chance `share`."""
    count, result = len(joints), joints.clone()
    drawn = torch.randn(count, len(_SWINGS), 3, generator=generator) * std
    drawn = drawn * (torch.rand(count, len(_SWINGS), 1, generator=generator) < share)
    drawn = drawn * torch.tensor([reach for _, _, reach in _SWINGS])[:, None]
    rotation = roma.rotvec_to_rotmat(drawn).to(joints)
    for number, (pivot, moved, _) in enumerate(_SWINGS):
        rows = list(moved)
        arms = result[:, rows] - result[:, pivot, None]
        result[:, rows] = arms @ rotation[:, number].mT + result[:, pivot, None]
    return result


def tilted(
    joints: Float[Tensor, "batch 17 3"], generator: torch.Generator, people: PeopleConfig
) -> Float[Tensor, "batch 17 3"]:
    """Lean whole bodies about the root (at the origin) by `tilt_std`; turn a share of them any way up."""
    lean = people.tilt_std * torch.randn(len(joints), 3, generator=generator)
    lean[:, 2] = 0.0
    tumbled = torch.rand(len(joints), generator=generator) < people.tumbled_share
    anyhow = roma.random_rotmat(len(joints), generator=generator)
    rotation = torch.where(tumbled[:, None, None], anyhow, roma.rotvec_to_rotmat(lean)).to(joints)
    return joints @ rotation.mT


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
