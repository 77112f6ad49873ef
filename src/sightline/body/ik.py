"""Analytic inverse kinematics: from where joints lie to how bones are turned. Batched, differentiable, no optimiser.

`solve` is for any tree of joints; `rotations_from_landmarks` for whole bodies of which only some landmarks are known.
Those also need an answer for what no joint tells: the turn of a limb about its axis, feet, hands, the spine's curve.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body._ik_body import Posing
from sightline.body._ik_feet import Ground
from sightline.body._ik_rig import Rig, rig_of
from sightline.body._ik_tree import Flavour, leaves, solve, twist_vectors
from sightline.body.model import BodyModel, RestBody
from sightline.landmarks import ALL_LANDMARKS

__all__ = [
    "Flavour",
    "Ground",
    "Rig",
    "leaves",
    "rig_of",
    "rig_rotations",
    "rotations_from_landmarks",
    "solve",
    "twist_vectors",
]

PASSES: Final = 2
"""Landmarks lie in skin that several bones carry, so aiming one bone at a landmark misses it by millimetres; every pass
after the first moves the aims by what the pass before missed."""


def rotations_from_landmarks(
    model: BodyModel,
    rest: RestBody,
    targets: Float[Tensor, "batch landmark 3"],
    *,
    ground: Ground | None = None,
    reach: bool = False,
    passes: int = PASSES,
) -> tuple[Float[Tensor, "batch bone 3 3"], Float[Tensor, "batch 3"]]:
    """Return the rotations of all bones from rest, and where the root lies, so that landmarks come to their targets.

    In closed form, from the pelvis outwards: the pelvis by the hips and the way up the trunk, the chest by the way up
    to the neck and the shoulders, the spine evenly between them and bent towards the landmarks along it, the head by
    what is known of it. Clavicles, upper arms, forearms, thighs and shins aim from where they have come to lie; the
    turn of a limb about its axis follows the plane of a bent knee or elbow; where a leg is straight it is the least,
    where an arm is, that of most people's arms in this direction. Differentiable in targets and rest.

    Args:
        model: whose articulation is known ("anny", "smpl").
        rest: one body for all, or as many as there are targets.
        targets: points of `sightline.landmarks.ALL_LANDMARKS` (m) in any frame; NaN for unknown ones. The joints of
            h36m17, coco17, lcr13 or smpl24 are enough. A segment whose landmarks are unknown follows the one it hangs
            from.
        ground: the floor, by which feet are laid of which only the ankle is known; None: they keep their angle with
            the shin.
        reach: legs that are longer or shorter than the targets' bend so that ankles are where they are to be, at the
            cost of the knees; otherwise thighs point at the knees, and ankles come as near as they can.
        passes: how often to go through the body.

    Raises:
        ValueError: for shapes that do not fit, or a pose of which no landmark is known.
    """
    count = len(ALL_LANDMARKS)
    if targets.ndim != 3 or targets.shape[1:] != (count, 3):
        raise ValueError(f"targets: expected (batch, {count}, 3), got {tuple(targets.shape)}")
    if len(rest.joints) not in (1, len(targets)):
        raise ValueError(f"rest: expected 1 body or {len(targets)}, as many as targets, got {len(rest.joints)}")
    if passes < 1:
        raise ValueError(f"passes: expected at least 1, got {passes}")
    return rig_rotations(rig_of(model, rest), targets, ground=ground, reach=reach, passes=passes)


def rig_rotations(
    rig: Rig,
    targets: Float[Tensor, "batch landmark 3"],
    *,
    ground: Ground | None = None,
    reach: bool = False,
    passes: int = PASSES,
) -> tuple[Float[Tensor, "batch bone 3 3"], Float[Tensor, "batch 3"]]:
    """Do what `rotations_from_landmarks` does for bodies whose rig is made already."""
    known = targets.isfinite().all(-1)
    if not bool(known.any(-1).all()):
        raise ValueError("targets: expected at least one finite landmark in every pose")
    patterns, of_pose = torch.unique(known, dim=0, return_inverse=True)
    rotations = targets.new_zeros(len(targets), len(rig.bones), 3, 3)
    root = targets.new_zeros(len(targets), 3)
    for number, pattern in enumerate(patterns):
        poses = torch.nonzero(of_pose == number)[:, 0]
        part = rig if len(rig.joints) == 1 else rig.only(poses)
        some, some_root = _pattern_rotations(part, targets[poses], pattern, ground, reach, passes)
        rotations, root = rotations.index_copy(0, poses, some), root.index_copy(0, poses, some_root)
    return rotations[:, list(rig.carrier)], root


def _pattern_rotations(
    rig: Rig, targets: Tensor, known: Tensor, ground: Ground | None, reach: bool, passes: int
) -> tuple[Tensor, Tensor]:
    """Rotations of the rig's bones for poses of which the same landmarks are known."""
    names = frozenset(name for name, its in zip(ALL_LANDMARKS, known.tolist(), strict=True) if its)
    targets = torch.where(known[:, None], targets, 0.0)
    aims = targets
    for number in range(passes):
        posing = Posing(rig=rig, targets=targets, aims=aims, known=names, ground=ground, reach=reach)
        rotations, root = posing.solved()
        if number + 1 < passes:
            aims = torch.where(known[:, None], aims + targets - rig.landmarks(rotations, root), 0.0)
    return rotations, root
