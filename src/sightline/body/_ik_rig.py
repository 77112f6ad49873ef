"""A body as inverse kinematics sees it: the bones that turn by themselves, and the landmarks that they carry."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.body.articulation import Articulation, articulation_of, carriers
from sightline.body.model import BodyModel, RestBody
from sightline.body.regressors import regressor
from sightline.body.skinning import posed_joints


@dataclass(frozen=True, eq=False, kw_only=True)
class Rig:
    """Resting bodies of one model, reduced to the bones of its articulation. Metres, the body's frame.

    Landmarks are linear in skin and joints, and the skin is linear in what the bones do; so a landmark lies at
    Σ_b R_b `moments`_b + `weights`_b p_b, exactly, without a mesh.
    """

    articulation: Articulation
    bones: tuple[str, ...]
    parents: tuple[int, ...]
    rows: tuple[int, ...]
    """Each bone's row in the model."""
    carrier: tuple[int, ...]
    """For each bone of the model the row in `bones` of the one that carries it."""
    joints: Float[Tensor, "body bone 3"]
    moments: Float[Tensor, "body landmark bone 3"]
    weights: Float[Tensor, "landmark bone"]
    sole_y: Float[Tensor, " body"]
    """Height of the soles at rest."""
    toe_z: Float[Tensor, "body 2"]
    """How far forward the left and the right foot reach at rest, and"""
    heel_z: Float[Tensor, "body 2"]
    """how far back."""
    sides_x: Float[Tensor, "body 2 2"]
    """Where each foot ends to the right and to the left at rest."""

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each bone by name."""
        return {bone: row for row, bone in enumerate(self.bones)}

    @cached_property
    def rest_landmarks(self) -> Float[Tensor, "body landmark 3"]:
        """Where the landmarks of `ALL_LANDMARKS` lie at rest."""
        return self.moments.sum(-2) + self.weights @ self.joints

    def landmarks(
        self, rotations: Float[Tensor, "batch bone 3 3"], root: Float[Tensor, "#batch 3"]
    ) -> Float[Tensor, "batch landmark 3"]:
        """Return where the landmarks lie when the rig's bones are turned so."""
        heads = posed_joints(self.joints, self.parents, rotations, root)
        turned = torch.einsum("nbij,nlbj->nli", rotations, self.moments.expand(len(rotations), -1, -1, -1))
        return turned + self.weights @ heads

    def only(self, bodies: Int[Tensor, " some"]) -> Rig:
        """Return the rig with some of its bodies."""
        of_body = ("joints", "moments", "sole_y", "toe_z", "heel_z", "sides_x")
        return replace(self, **{name: getattr(self, name)[bodies] for name in of_body})


@dataclass(frozen=True, eq=False, kw_only=True)
class _Plan:
    """What of a rig depends on the model alone."""

    rows: tuple[int, ...]
    parents: tuple[int, ...]
    carrier: tuple[int, ...]
    skin_vertex: Int[Tensor, " vertexentry"]
    joint: Int[Tensor, " jointentry"]
    """What landmarks are sums of: vertices, once for each bone that carries one, then the model's joints;"""
    cell: Int[Tensor, " entry"]
    """what each of these entries adds to, landmark · number of bones + bone,"""
    share: Float[Tensor, " entry"]
    """and with which weight."""
    weights: Float[Tensor, "landmark bone"]
    """Sums of these weights."""
    feet: tuple[Int[Tensor, " left"], Int[Tensor, " right"]]
    """Vertices of the feet."""


_PLANS: Final[weakref.WeakKeyDictionary[BodyModel, _Plan]] = weakref.WeakKeyDictionary()


def rig_of(model: BodyModel, rest: RestBody) -> Rig:
    """Return the rig of resting bodies of a model; differentiable in the rest."""
    if model not in _PLANS:
        _PLANS[model] = _plan(model)
    plan, articulation = _PLANS[model], articulation_of(model)
    dtype, device = rest.joints.dtype, rest.joints.device
    joints, weights = rest.joints[:, list(plan.rows)], plan.weights.to(device, dtype)
    entries = (rest.vertices[:, plan.skin_vertex.to(device)], rest.joints[:, plan.joint.to(device)])
    parts = plan.share.to(device, dtype)[:, None] * torch.cat(entries, dim=1)
    moments = parts.new_zeros(len(parts), weights.numel(), 3).index_add(1, plan.cell.to(device), parts)
    moments = moments.unflatten(1, weights.shape) - weights[None, :, :, None] * joints[:, None]
    feet = [rest.vertices[:, rows.to(device)] for rows in plan.feet]
    return Rig(
        articulation=articulation,
        bones=tuple(model.bones[row] for row in plan.rows),
        parents=plan.parents,
        rows=plan.rows,
        carrier=plan.carrier,
        joints=joints,
        moments=moments,
        weights=weights,
        sole_y=torch.stack([foot[..., 1].amin(-1) for foot in feet]).amin(0),
        toe_z=torch.stack([foot[..., 2].amax(-1) for foot in feet], dim=-1),
        sides_x=torch.stack([torch.stack((foot[..., 0].amin(-1), foot[..., 0].amax(-1)), -1) for foot in feet], dim=1),
        heel_z=torch.stack([foot[..., 2].amin(-1) for foot in feet], dim=-1),
    )


def _plan(model: BodyModel) -> _Plan:
    turned = set(articulation_of(model).bones)
    rows = tuple(row for row, bone in enumerate(model.bones) if bone in turned)
    place = {model.bones[row]: at for at, row in enumerate(rows)}
    above = carriers(model)
    carrier = tuple(place[bone] for bone in above)
    parents = tuple(-1 if row == 0 else carrier[model.parents[row]] for row in rows)
    from_vertices, from_joints = regressor(model)
    picked = from_vertices.to_dense().to("cpu", torch.float64)
    owner = torch.tensor(carrier)
    landmark, vertex = torch.nonzero(picked, as_tuple=True)
    bone, share = owner[model.skin_bones[vertex].long().cpu()], model.skin_weights[vertex].to("cpu", torch.float64)
    entry, column = torch.nonzero(share, as_tuple=True)
    landmark, vertex = landmark[entry], vertex[entry]
    of_joints = from_joints.to_dense().to("cpu", torch.float64)
    of_joint, joint = torch.nonzero(of_joints, as_tuple=True)
    cell = torch.cat([landmark * len(rows) + bone[entry, column], of_joint * len(rows) + owner[joint]])
    shares = torch.cat([picked[landmark, vertex] * share[entry, column], of_joints[of_joint, joint]])
    weights = shares.new_zeros(len(picked) * len(rows)).index_add(0, cell, shares)
    main = owner[model.skin_bones.long().cpu().gather(1, model.skin_weights.cpu().argmax(1, keepdim=True))[:, 0]]
    articulation = articulation_of(model)
    left, right = (torch.nonzero(main == place[foot])[:, 0] for foot in articulation.foot)
    return _Plan(
        rows=rows,
        parents=parents,
        carrier=carrier,
        skin_vertex=vertex,
        joint=joint,
        cell=cell,
        share=shares,
        weights=weights.view(len(picked), len(rows)),
        feet=(left, right),
    )
