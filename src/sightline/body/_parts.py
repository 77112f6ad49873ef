"""Which part of the body each face of a model's mesh belongs to, by the bones that carry it."""

from __future__ import annotations

from typing import Final

import torch

from sightline.body.model import BodyModel

_ANNY: Final = {
    "pelvis": ("root", "pelvis", "spine05"),
    "trunk": ("spine04", "spine03", "spine02", "spine01", "clavicle", "shoulder01"),
    "head": ("neck01", "neck02", "neck03", "head", "eye"),
    "UpperArm": ("upperarm01", "upperarm02"),
    "Forearm": ("lowerarm01", "lowerarm02"),
    "Hand": ("wrist", "metacarpal", "finger"),
    "Thigh": ("upperleg01", "upperleg02"),
    "Shin": ("lowerleg01", "lowerleg02"),
    "Foot": ("foot", "toe"),
}
"""Part → how the names of its bones begin; the parts of limbs are given once for both sides."""

_SMPL: Final = {
    "pelvis": ("Pelvis",),
    "trunk": ("Spine1", "Spine2", "Spine3", "LCollar", "RCollar"),
    "head": ("Neck", "Head"),
    "UpperArm": ("LShoulder", "RShoulder"),
    "Forearm": ("LElbow", "RElbow"),
    "Hand": ("LWrist", "RWrist", "LHand", "RHand"),
    "Thigh": ("LHip", "RHip"),
    "Shin": ("LKnee", "RKnee"),
    "Foot": ("LAnkle", "RAnkle", "LFoot", "RFoot"),
}

_BONES: Final = {"anny": _ANNY, "smpl": _SMPL}


def part_of_bone(model: BodyModel) -> tuple[str, ...]:
    """Return the part that each bone carries.

    Parts are "pelvis", "trunk" (with the shoulders), "head" (with the neck), and with L or R before them UpperArm,
    Forearm, Hand, Thigh, Shin and Foot.

    Raises:
        ValueError: for a model whose bones are not known.
    """
    if model.name not in _BONES:
        raise ValueError(f"body model {model.name}: parts are known of {', '.join(_BONES)}")
    return tuple(_part(bone, _BONES[model.name]) for bone in model.bones)


def part_of_face(model: BodyModel) -> tuple[str, ...]:
    """Return, for each face, the part (see `part_of_bone`) whose bones carry most of its three corners."""
    of_bone = part_of_bone(model)
    parts = list(dict.fromkeys(of_bone))
    rows = torch.tensor([parts.index(part) for part in of_bone])[model.skin_bones]
    shares = model.skin_weights.new_zeros(len(rows), len(parts)).scatter_add_(1, rows, model.skin_weights)
    return tuple(parts[row] for row in shares[model.faces].sum(dim=1).argmax(dim=1).tolist())


def _part(bone: str, table: dict[str, tuple[str, ...]]) -> str:
    part = next(part for part, beginnings in table.items() if bone.startswith(beginnings))
    if not part[0].isupper():
        return part
    return (bone[-1] if bone[-2] == "." else bone[0]) + part
