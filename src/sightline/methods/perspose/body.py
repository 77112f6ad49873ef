"""From joints, twists and shape to a body's mesh by analytic inverse kinematics, and the truth of those from a mesh."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body.articulation import SIDES, articulation_of
from sightline.body.ik import rotations_from_landmarks, solve, twist_vectors
from sightline.body.model import BodyModel, PosedBody, RestBody
from sightline.body.regressors import landmarks_of
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.perspose.model import LEAVES, TREE

_ROWS: Final = list(rows_of(TREE))
_LIMBS: Final = {
    "Collar": "Clavicle", "Shoulder": "UpperArm", "Elbow": "Forearm", "Wrist": "Hand", "Hand": "Hand",
    "Hip": "Thigh", "Knee": "Shin", "Ankle": "Foot", "Foot": "Foot",
}  # fmt: skip


class TreeTruth(NamedTuple):
    """How bodies are turned, in the terms that the network learns."""

    twists: Float[Tensor, "batch 24 3"]
    """As `body.ik.twist_vectors` gives them, in the frame of the rotations; NaN at joints without one child."""
    leaf_rotations: Float[Tensor, "batch leaf 3 3"]
    """Each in its parent's frame."""


def tree_bones(model: BodyModel) -> tuple[int, ...]:
    """Return, for each joint of the tree, the bone of a body model that turns with what follows the joint.

    Raises:
        ValueError: for a model whose articulation is not known.
    """
    if model.name == "smpl":
        return tuple(model.bones.index(joint) for joint in TREE.joints)
    articulation = articulation_of(model)
    segments = articulation.segments
    spine = [bone for bone, _ in articulation.spine]
    third = len(spine) // 3
    middle = {
        "Pelvis": articulation.pelvis, "Spine1": spine[third], "Spine2": spine[-1 - third], "Spine3": spine[-1],
        "Neck": (segments["neck"] or (articulation.head,))[-1], "Head": articulation.head,
    }  # fmt: skip
    names = [
        middle[joint] if joint in middle else segments[joint[0] + _LIMBS[joint[1:]]][-1]
        for joint in TREE.joints
        if joint in middle or joint[0] in SIDES
    ]
    return tuple(model.bones.index(name) for name in names)


def tree_truth(model: BodyModel, rest: RestBody, rotations: Float[Tensor, "batch bone 3 3"]) -> TreeTruth:
    """Return what the network is to say of bodies whose bones are turned from rest by `rotations`."""
    turns = rotations[:, list(tree_bones(model))]
    joints = landmarks_of(model, rest)[:, _ROWS]
    above = turns[:, [TREE.parents[leaf] for leaf in LEAVES]]
    return TreeTruth(twist_vectors(joints, TREE.parents, turns), above.mT @ turns[:, list(LEAVES)])


def posed_body(
    model: BodyModel,
    rest: RestBody,
    landmarks: tuple[str, ...],
    joints: Float[Tensor, "batch joint 3"],
    twists: Float[Tensor, "batch 24 3"] | None = None,
    leaf_rotations: Float[Tensor, "batch leaf 3 3"] | None = None,
) -> PosedBody:
    """Lay bodies along joints (m, any frame): swing from the bones' directions, twist as told, parents first.

    SMPL is solved along its own tree, the scheme that paper 001 takes over. Other bodies have more bones than the
    tree; theirs are aimed at all landmarks that are given, which show the turns of hands, feet and head.

    Args:
        model: the body model.
        rest: one body for all, or as many as there are poses.
        landmarks: names of the joints given.
        joints: where they are.
        twists: of the tree's joints, for SMPL; None: the least.
        leaf_rotations: of its last joints, for SMPL; None: they follow their parents.

    Raises:
        ValueError: for SMPL, where a joint of the tree is not among the landmarks; for others, with twists.
    """
    targets = joints.new_full((len(joints), len(ALL_LANDMARKS), 3), torch.nan)
    targets[:, [ALL_LANDMARKS.index(name) for name in landmarks]] = joints
    if model.name != "smpl":
        if twists is not None or leaf_rotations is not None:
            raise ValueError(f"twists, leaf_rotations: expected none for {model.name}, which is read from landmarks")
        rotations, root = rotations_from_landmarks(model, rest, targets)
        return model.posed(rest, rotations, root)
    missing = [joint for joint, row in zip(TREE.joints, _ROWS, strict=True) if ALL_LANDMARKS[row] not in landmarks]
    if missing:
        raise ValueError(f"landmarks: SMPL needs all joints of its tree; without {', '.join(missing)}")
    rotations, root = solve(rest.joints, TREE.parents, targets[:, _ROWS], twists, leaf_rotations)
    return model.posed(rest, rotations, root)
