"""Resting bodies with longer or shorter segments, their skin stretched along without a seam."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body.articulation import Articulation, articulation_of, carriers
from sightline.body.model import BodyModel, RestBody
from sightline.body.skinning import posed_joints, skinned

LENGTH_LIMITS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        **dict.fromkeys(("pelvis", "neck", "shoulders"), (0.85, 1.2)),
        **dict.fromkeys(("trunk", "upper_arm", "forearm", "thigh", "shin"), (0.75, 1.35)),
        **dict.fromkeys(("head", "hand", "foot"), (0.8, 1.25)),
    }
)
"""What can be lengthened, both sides alike, and the factors outside of which a body no longer looks like a person's.

The pelvis from hip to hip; trunk and neck upwards; the shoulders from the breastbone outwards; arms and legs along
themselves; head, hands and feet to all sides."""

_WHOLE: Final = torch.eye(3)
_ACROSS: Final = torch.diag(torch.tensor((1.0, 0.0, 0.0)))
_UPWARDS: Final = torch.diag(torch.tensor((0.0, 1.0, 0.0)))


def lengthened(model: BodyModel, rest: RestBody, factors: Mapping[str, float | Tensor]) -> RestBody:
    """Return the resting bodies with segments of other lengths; what `factors` does not name stays as it is.

    A factor is a number or one for each body (batch,). Every bone of a segment is stretched from its own head, as
    `LENGTH_LIMITS` says; what hangs from it moves along, and the skin follows its bones in the shares of the skinning
    weights, so that joints and mesh stay one body. Differentiable.

    Raises:
        ValueError: for a name that is not in `LENGTH_LIMITS`, or a factor outside its limits.
    """
    unknown = sorted(set(factors) - set(LENGTH_LIMITS))
    if unknown:
        raise ValueError(f"factors: expected names from {', '.join(LENGTH_LIMITS)}, got {', '.join(unknown)}")
    articulation, carrier = articulation_of(model), carriers(model)
    joints = rest.joints
    stretches = torch.eye(3, dtype=joints.dtype, device=joints.device).repeat(len(joints), len(model.bones), 1, 1)
    for name, given in factors.items():
        low, high = LENGTH_LIMITS[name]
        factor = torch.as_tensor(given, dtype=joints.dtype, device=joints.device)
        if not bool(((factor >= low) & (factor <= high)).all()):
            raise ValueError(f"factors: expected {name} between {low} and {high}, got {factor.tolist()}")
        for bones, along in _stretched(model, articulation, joints, name):
            moved = torch.tensor([bone in bones for bone in carrier], device=joints.device).to(joints)
            extra = (factor - 1.0).expand(len(joints))[:, None, None] * along.to(joints)
            stretches = stretches + moved[:, None, None] * extra[:, None]
    heads = posed_joints(joints, tuple(model.parents), stretches, joints[:, 0])
    skin = skinned(rest.vertices, model.skin_bones, model.skin_weights, joints, stretches, heads)
    return RestBody(vertices=skin, joints=heads)


def _stretched(
    model: BodyModel, body: Articulation, joints: Float[Tensor, "batch bone 3"], name: str
) -> list[tuple[tuple[str, ...], Tensor]]:
    """The bones of a segment with the projection on what they are stretched along, for each side."""
    middle: dict[str, tuple[tuple[str, ...], Tensor]] = {
        "pelvis": ((body.pelvis,), _ACROSS),
        "trunk": (tuple(bone for bone, _ in body.spine), _UPWARDS),
        "neck": (tuple(bone for bone, _ in body.neck), _UPWARDS),
        "head": ((body.head,), _WHOLE),
    }
    if name in middle:
        return [middle[name]]
    if name in ("hand", "foot"):
        return [((bone,), _WHOLE) for bone in (body.hand if name == "hand" else body.foot)]
    limbs: dict[str, tuple[list[tuple[str, ...]], list[str]]] = {
        "shoulders": (list(body.clavicle), [bones[0][0] for bones in body.upper_arm]),
        "upper_arm": (_names(body.upper_arm), [bones[0][0] for bones in body.forearm]),
        "forearm": (_names(body.forearm), list(body.hand)),
        "thigh": (_names(body.thigh), [bones[0][0] for bones in body.shin]),
        "shin": (_names(body.shin), list(body.foot)),
    }
    found: list[tuple[tuple[str, ...], Tensor]] = []
    for bones, end in zip(*limbs[name], strict=True):
        axis = joints[:, model.bones.index(end)] - joints[:, model.bones.index(bones[0])]
        axis = axis / torch.linalg.vector_norm(axis, dim=-1, keepdim=True)
        found.append((bones, axis[:, :, None] * axis[:, None, :]))
    return found


def _names(sides: tuple[tuple[tuple[str, float], ...], ...]) -> list[tuple[str, ...]]:
    return [tuple(bone for bone, _ in bones) for bones in sides]
