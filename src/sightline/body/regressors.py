"""Where the joints of every joint set lie on a posed body: one linear map from vertices and bones' heads to landmarks.

The landmarks are those of `sightline.landmarks.ALL_LANDMARKS`; docs/body.md says where each lies and why. What turns
with a bone is taken from bones' heads, so it does not slide as the skin does; what is seen on the surface is taken from
the skin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.body._surface import surface_points
from sightline.body.model import BodyModel, PosedBody, RestBody
from sightline.body.skinning import posed_joints, skinned
from sightline.body.smpl_body import SmplBody
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import Skeleton, get_skeleton

Table = Mapping[str, Mapping[str, float]]
"""Landmark → weights of bones, points of the surface and other landmarks; "?" stands for L and R."""

_SHARED: Final[Table] = {
    "Hip": {"LHip": 0.5, "RHip": 0.5},
    "MidHead": {"LEar": 0.5, "REar": 0.5},
    "NeckNose": {"Chin": 1.1, "HeadTop": -0.1, "MidHead": 0.5, "Nose": -0.5},
    "NeckBase": {"SmplNeck": 1.0},
    "?FootIndex": {"?BigToe": 0.75, "?SmallToe": 0.25},
    "?Toe": {"?FootIndex": 1.0},
}

_ANNY: Final[Table] = {
    **_SHARED,
    "?Hip": {"upperleg01.?": 1.0},
    "?Knee": {"lowerleg01.?": 1.0},
    "?Ankle": {"foot.?": 1.0},
    "?Shoulder": {"upperarm01.?": 1.0},
    "?Elbow": {"lowerarm01.?": 1.0},
    "?Wrist": {"wrist.?": 1.0},
    "Spine": {"spine02": 1.0},
    "Thorax": {"clavicle.L": 0.375, "clavicle.R": 0.375, "neck01": 0.25},
    "UpperNeck": {"neck02": 0.5, "neck03": 0.5},
    "SmplPelvis": {"Hip": 5 / 6, "Thorax": 1 / 6},
    "Spine1": {"spine03": 0.67, "spine02": 0.33},
    "Spine2": {"spine02": 0.25, "spine01": 0.25, "Hip": 0.2, "Thorax": 0.3},
    "Spine3": {"Hip": 0.3, "Thorax": 0.7},
    "SmplNeck": {"neck01": 1.0},
    "SmplHead": {"head": 1.0},
    "?Collar": {"?Shoulder": 0.5, "Spine3": 0.4, "neck01": 0.1},
    "MpiSpine2": {"spine02": 0.5, "spine01": 0.5},
    "MpiSpine3": {"spine01": 1.0},
    "MpiSpine4": {"spine01": 0.5, "neck01": 0.5},
    "?Clavicle": {"clavicle.?": 1.0},
    "?Foot": {"toe1-1.?": 0.3, "toe3-1.?": 0.3, "toe5-1.?": 0.3, "foot.?": 0.1},
    "?Index": {"finger2-1.?": 1.0},
    "?Pinky": {"finger5-1.?": 1.0},
    "?Thumb": {"finger1-3.?": 1.0},
    "?Hand": {"?Index": 0.5, "?Pinky": 0.5},
}

_SMPL: Final[Table] = {
    **_SHARED,
    "Spine": {"Spine1": 0.55, "Spine2": 0.45},
    "Thorax": {"LShoulder": 0.35, "RShoulder": 0.35, "Neck": 0.3},
    "UpperNeck": {"Neck": 0.5, "Head": 0.5},
    "SmplPelvis": {"Pelvis": 1.0},
    "SmplNeck": {"Neck": 1.0},
    "SmplHead": {"Head": 1.0},
    "MpiSpine2": {"Spine2": 1.0},
    "MpiSpine3": {"Spine2": 0.7, "Neck": 0.3},
    "MpiSpine4": {"Spine2": 0.35, "Neck": 0.65},
    "?Clavicle": {"?Collar": 0.25, "Thorax": 0.75},
    "?Pinky": {"?HandEdge": 1.0},
    "?Index": {"?Hand": 2.0, "?HandEdge": -1.0},
    "?Thumb": {"?ThumbTip": 0.75, "?Wrist": 0.25},
}

_LEGS: Final = Skeleton("legs", ("LHip", "RHip", "LAnkle", "RAnkle"), (-1, 0, 0, 1))

_TABLES: Final = {"anny": _ANNY, "smpl": _SMPL}
_MEAN_SHAPE: Final = {"anny": 0.5, "smpl": 0.0}


class Regressor(NamedTuple):
    """`landmarks = from_vertices @ vertices + from_joints @ joints`; the weights of a landmark sum to 1."""

    from_vertices: Float[Tensor, "landmark vertex"]
    from_joints: Float[Tensor, "landmark bone"]


def regressor(model: BodyModel) -> Regressor:
    """Return the map from a body's vertices and bones' heads to the landmarks of `ALL_LANDMARKS`, in their order.

    Raises:
        ValueError: for a model that no table is known of.
    """
    return _built(model).dense


def landmarks_of(model: BodyModel, posed: PosedBody | RestBody) -> Float[Tensor, "batch landmark 3"]:
    """Return the landmarks of `ALL_LANDMARKS` (m) in the frame of the body given; differentiable."""
    built = _built(model)
    return built.weights @ posed.vertices[:, built.vertices] + built.dense.from_joints @ posed.joints


def posed_landmarks(
    model: BodyModel, rest: RestBody, rotations: Float[Tensor, "#batch bone 3 3"], root: Float[Tensor, "#batch 3"]
) -> Float[Tensor, "batch landmark 3"]:
    """Return `landmarks_of` the body so posed, without skinning the vertices that no landmark needs."""
    built = _built(model)
    joints = posed_joints(rest.joints, model.parents, rotations, root)
    skin = (model.skin_bones[built.vertices], model.skin_weights[built.vertices])
    resting = rest.vertices[:, built.vertices]
    if isinstance(model, SmplBody):
        resting = resting + model.pose_offsets(rotations)[:, built.vertices]
    vertices = skinned(resting, *skin, rest.joints, rotations, joints)
    return built.weights @ vertices + built.dense.from_joints @ joints


def joints_of(
    model: BodyModel, posed: PosedBody | RestBody, skeleton: str | Skeleton
) -> Float[Tensor, "batch joint 3"]:
    """Return the joints of a joint set, such as "h36m17" or "coco17", in its order (m, the body's frame)."""
    skeleton = get_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    return landmarks_of(model, posed)[:, list(rows_of(skeleton))]


def stature_m(model: BodyModel, rest: RestBody) -> Float[Tensor, " batch"]:
    """Return barefoot statures (m), sole to crown, of the resting bodies, had they put their feet below the hips."""
    heights = rest.vertices[..., 1]
    legs = joints_of(model, rest, _LEGS)
    legs = legs[:, :2] - legs[:, 2:]
    closed = (legs.norm(dim=-1) - legs[..., 1]).mean(dim=-1)
    return heights.amax(dim=-1) - heights.amin(dim=-1) + closed


@dataclass(frozen=True, eq=False)
class _Built:
    """A regressor, and the same with the vertices that it uses only."""

    dense: Regressor
    vertices: Int[Tensor, " used"]
    weights: Float[Tensor, "landmark used"]


@lru_cache(maxsize=8)
def _built(model: BodyModel) -> _Built:
    if model.name not in _TABLES:
        raise ValueError(f"body model {model.name}: landmarks are known of {', '.join(_TABLES)}")
    weights = model.skin_weights
    mean = model.rest(weights.new_full((1, len(model.shape_names)), _MEAN_SHAPE[model.name]))
    table = _both_sides(_TABLES[model.name])
    surface = surface_points(model, mean.vertices[0].double().numpy(), mean.joints[0].double().numpy())
    leaves = _leaves(model, surface)
    rows = np.stack([_row(name, table, leaves) for name in ALL_LANDMARKS])
    dense = torch.as_tensor(rows).to(weights).split([len(weights), len(model.bones)], dim=1)
    used = dense[0].any(dim=0).nonzero()[:, 0]
    return _Built(Regressor(*dense), used, dense[0][:, used])


def _both_sides(table: Table) -> dict[str, dict[str, float]]:
    sided = {}
    for name, sources in table.items():
        for side in "LR" if "?" in name else " ":
            sided[name.replace("?", side)] = {source.replace("?", side): share for source, share in sources.items()}
    return sided


def _leaves(model: BodyModel, surface: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows over vertices and bones of what landmarks are made of."""
    count = len(model.skin_weights)
    leaves = dict(zip(model.bones, np.eye(len(model.bones), count + len(model.bones), count), strict=True))
    leaves.update({name: np.append(row, np.zeros(len(model.bones))) for name, row in surface.items()})
    return leaves


def _row(name: str, table: Table, leaves: Mapping[str, np.ndarray]) -> np.ndarray:
    if name not in table:
        return leaves[name]
    return np.sum([share * _row(source, table, leaves) for source, share in table[name].items()], axis=0)
