"""Inverse kinematics of any tree of joints, bone by bone: swing from the targets, twist given or the least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body._ik_rotations import about, perpendicular, procrustes_rotation, swing, twist_angle, unit, usable

Flavour = Literal["plain", "adaptive"]


def leaves(parents: Sequence[int]) -> tuple[int, ...]:
    """Return the joints without children, in order: those whose rotations no position tells."""
    return tuple(joint for joint in range(len(parents)) if joint not in parents)


def solve(
    rest_joints: Float[Tensor, "*#batch joint 3"],
    parents: Sequence[int],
    targets: Float[Tensor, "*#batch joint 3"],
    twist: Float[Tensor, "*#batch joint"] | Float[Tensor, "*#batch joint 3"] | None = None,
    leaf_rotations: Float[Tensor, "*#batch leaf 3 3"] | None = None,
    *,
    flavour: Flavour = "adaptive",
) -> tuple[Float[Tensor, "*batch joint 3 3"], Float[Tensor, "*batch 3"]]:
    """Return the rotations of all joints from rest, and where the root lies, so that the joints come to their targets.

    Analytic, from parent to child, differentiable (the scheme of HybrIK, which paper 001 takes over). A joint with one
    child first takes its parent's rotation, then the shortest one that points its bone at the child's target; one with
    several children takes the orthogonal Procrustes solution. Rotations are those of `body.model`: from rest, in the
    targets' frame.

    Args:
        rest_joints: joints at rest (m).
        parents: row of each joint's parent, parents first; −1 for row 0, the root.
        targets: where the joints are to lie (m), in any frame; NaN for unknown ones, whose bones follow their parents.
        twist: about each joint's bone to its only child: an angle (rad) beyond the least twist, or a vector as
            `twist_vectors` gives it. NaN, and what stands at other joints, does not count. None: the least twist.
        leaf_rotations: of the joints in `leaves(parents)`, each in its parent's frame. None: they follow their parents.
        flavour: "plain" takes directions from target to target, so that wrong lengths of bones add up along a limb;
            "adaptive" aims from where each joint has come to lie.

    A bone that is to point against its direction turns by half a turn about a fixed axis across it.

    Raises:
        ValueError: for shapes that do not fit, or parents that do not come first.
    """
    _check(rest_joints, parents, targets, twist, leaf_rotations, flavour)
    rest_joints, targets = torch.broadcast_tensors(rest_joints, targets)
    identity = torch.eye(3, dtype=targets.dtype, device=targets.device).expand(*targets.shape[:-2], 3, 3)
    ends = leaves(parents)
    rotations: list[Tensor] = []
    heads: list[Tensor] = []
    for joint, parent in enumerate(parents):
        before = identity if parent < 0 else rotations[parent]
        if parent < 0:
            head = targets[..., 0, :]
        else:
            bone = (before @ (rest_joints[..., joint, :] - rest_joints[..., parent, :])[..., None])[..., 0]
            head = heads[parent] + bone
            head = torch.where(head.isfinite(), head, targets[..., joint, :])  # below a joint that is nowhere
        heads.append(head)
        start = head if flavour == "adaptive" else targets[..., joint, :]
        children = [child for child, its in enumerate(parents) if its == joint]
        if len(children) == 1:
            rest_bone = rest_joints[..., children[0], :] - rest_joints[..., joint, :]
            turned = swing((before @ rest_bone[..., None])[..., 0], targets[..., children[0], :] - start) @ before
            turned = _twisted(turned, rest_bone, None if twist is None else _of_joint(twist, joint, targets))
        elif children:
            rest_bones = rest_joints[..., children, :] - rest_joints[..., joint : joint + 1, :]
            turned = _towards_all(rest_bones, targets[..., children, :] - start[..., None, :], before)
        elif leaf_rotations is not None:
            turned = before @ leaf_rotations[..., ends.index(joint), :, :]
        else:
            turned = before
        rotations.append(turned)
    return torch.stack(rotations, dim=-3), targets[..., 0, :]


def twist_vectors(
    rest_joints: Float[Tensor, "*#batch joint 3"],
    parents: Sequence[int],
    rotations: Float[Tensor, "*#batch joint 3 3"],
) -> Float[Tensor, "*batch joint 3"]:
    """Return, for joints with one child, the unit vector across the bone into which the rotation takes a fixed one.

    The fixed one is `perpendicular` of the bone at rest. With the bone's direction it tells the whole rotation, without
    the jump of an angle: what a network learns (paper 001, "twist"), and what `solve` takes. NaN at other joints.
    """
    columns = []
    for joint in range(len(parents)):
        children = [child for child, its in enumerate(parents) if its == joint]
        rest_bone = rest_joints[..., children[0], :] - rest_joints[..., joint, :] if len(children) == 1 else None
        if rest_bone is None:
            columns.append(torch.full_like(rotations[..., joint, :, 0], torch.nan))
        else:
            columns.append((rotations[..., joint, :, :] @ perpendicular(rest_bone)[..., None])[..., 0])
    return torch.stack(torch.broadcast_tensors(*columns), dim=-2)


def _of_joint(twist: Tensor, joint: int, targets: Tensor) -> Tensor:
    """The joint's angle (*batch,) or vector (*batch, 3)."""
    vectors = twist.ndim == targets.ndim and twist.shape[-1] == 3 and twist.shape[-2] == targets.shape[-2]
    return twist[..., joint, :] if vectors else twist[..., joint, None]


def _twisted(turned: Tensor, rest_bone: Tensor, twist: Tensor | None) -> Tensor:
    if twist is None:
        return turned
    bone = unit((turned @ rest_bone[..., None])[..., 0], turned.new_tensor((0.0, 1.0, 0.0)))
    if twist.shape[-1] == 1:
        angle = torch.where(twist[..., 0].isfinite(), twist[..., 0], 0.0)
    else:
        angle = twist_angle(bone, (turned @ perpendicular(rest_bone)[..., None])[..., 0], twist)
    return about(bone, angle) @ turned


def _towards_all(rest_bones: Tensor, bones: Tensor, before: Tensor) -> Tensor:
    """Rotation of a joint with several children; by the swing alone where only one child's target is known."""
    known = usable(rest_bones) & usable(bones)
    several = procrustes_rotation(rest_bones, bones, known.to(bones.dtype), before)
    first = known.to(torch.int64).argmax(-1)[..., None, None].expand(*known.shape[:-1], 1, 3)
    rest_bone, bone = rest_bones.gather(-2, first)[..., 0, :], bones.gather(-2, first)[..., 0, :]
    alone = swing((before @ rest_bone[..., None])[..., 0], bone) @ before
    return torch.where((known.sum(-1) > 1)[..., None, None], several, alone)


def _check(
    rest_joints: Tensor,
    parents: Sequence[int],
    targets: Tensor,
    twist: Tensor | None,
    leaf_rotations: Tensor | None,
    flavour: str,
) -> None:
    count = len(parents)
    if not count or parents[0] != -1 or any(not 0 <= parent < row for row, parent in enumerate(parents) if row):
        raise ValueError(f"parents: expected -1 for joint 0 and earlier joints for the others, got {tuple(parents)}")
    for name, points in (("rest_joints", rest_joints), ("targets", targets)):
        if points.ndim < 2 or points.shape[-2:] != (count, 3):
            raise ValueError(f"{name}: expected (..., {count}, 3), got {tuple(points.shape)}")
    if twist is not None and twist.shape[-1:] != (count,) and twist.shape[-2:] != (count, 3):
        raise ValueError(f"twist: expected (..., {count}) or (..., {count}, 3), got {tuple(twist.shape)}")
    wanted = (len(leaves(parents)), 3, 3)
    if leaf_rotations is not None and leaf_rotations.shape[-3:] != wanted:
        raise ValueError(f"leaf_rotations: expected (..., {wanted[0]}, 3, 3), got {tuple(leaf_rotations.shape)}")
    if flavour not in ("plain", "adaptive"):
        raise ValueError(f'flavour: expected "plain" or "adaptive", got {flavour!r}')
