"""SMPL as a body model, from the user's own file (Loper et al. 2015, "SMPL: A skinned multi-person linear model").

The file is not Sightline's to give: it comes from https://smpl.is.tue.mpg.de, under its own licence. Sightline reads it
by itself. The skin is template + shape blend shapes · β + pose blend shapes · (R_local − I), skinned by weights; joints
are a regression from the resting skin. A shape is β, ten numbers in standard deviations; 0 is the mean body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.body._smpl_file import read_smpl_arrays
from sightline.body.model import PosedBody, RestBody
from sightline.body.skinning import local_from_global, posed_joints, skinned
from sightline.errors import InputError
from sightline.skeleton import get_skeleton

SHAPE_NAMES: Final = tuple(f"beta{row}" for row in range(10))
_SKELETON: Final = get_skeleton("smpl24")
_JOINTS: Final = len(_SKELETON)


@dataclass(frozen=True, eq=False, kw_only=True)
class SmplBody:
    """A `BodyModel` of SMPL: 24 bones, called as the joint set `smpl24` calls its joints. See `SmplBody.load`."""

    faces: Int[Tensor, "face 3"] = field(repr=False)
    skin_bones: Int[Tensor, "vertex weight"] = field(repr=False)
    skin_weights: Float[Tensor, "vertex weight"] = field(repr=False)
    bones: tuple[str, ...] = field(default=_SKELETON.joints, repr=False)
    parents: tuple[int, ...] = field(default=_SKELETON.parents, repr=False)
    name: str = "smpl"
    shape_names: tuple[str, ...] = SHAPE_NAMES
    _template: Float[Tensor, "vertex 3"] = field(repr=False)
    _shape_blends: Float[Tensor, "10 coordinate"] = field(repr=False)
    _pose_blends: Float[Tensor, "207 coordinate"] = field(repr=False)
    _joint_regressor: Float[Tensor, "24 vertex"] = field(repr=False)

    @staticmethod
    def load(path: str | Path, dtype: torch.dtype = torch.float32) -> SmplBody:
        """Read SMPL of any gender from its official pickle (.pkl) or from an NPZ file of the same arrays; on the CPU.

        A pickle can hold nothing but arrays; one that names anything to be run is refused.

        Raises:
            InputError: for a file that is not readable as SMPL with 24 joints and at least ten shape blend shapes.
        """
        arrays = read_smpl_arrays(Path(path))
        _check(arrays, Path(path))
        bones, weights = _compact(arrays["weights"])
        shape_blends = arrays["shapedirs"][..., : len(SHAPE_NAMES)].reshape(-1, len(SHAPE_NAMES)).T
        pose_blends = arrays["posedirs"].reshape(-1, arrays["posedirs"].shape[-1]).T
        return SmplBody(
            faces=torch.from_numpy(arrays["f"]),
            skin_bones=torch.from_numpy(bones),
            skin_weights=torch.from_numpy(weights).to(dtype),
            _template=torch.from_numpy(arrays["v_template"]).to(dtype),
            _shape_blends=torch.from_numpy(shape_blends.copy()).to(dtype),
            _pose_blends=torch.from_numpy(pose_blends.copy()).to(dtype),
            _joint_regressor=torch.from_numpy(arrays["J_regressor"]).to(dtype),
        )

    def rest(self, shape: Float[Tensor, "batch shape"]) -> RestBody:
        """Return the resting bodies of these β (see `BodyModel.rest`); differentiable.

        Raises:
            ValueError: for shapes that are not ten finite numbers.
        """
        if shape.ndim != 2 or shape.shape[-1] != len(SHAPE_NAMES):
            raise ValueError(f"shape: expected (batch, {len(SHAPE_NAMES)}), got {tuple(shape.shape)}")
        if not bool(shape.isfinite().all()):
            raise ValueError(f"shape: expected ten finite betas, got {shape.detach().tolist()}")
        vertices = self._template + (shape.to(self._template) @ self._shape_blends).unflatten(-1, (-1, 3))
        joints = self._joint_regressor @ vertices
        return RestBody(vertices - joints[:, :1], joints - joints[:, :1])

    def posed(
        self, rest: RestBody, rotations: Float[Tensor, "#batch bone 3 3"], root: Float[Tensor, "#batch 3"]
    ) -> PosedBody:
        """Turn every bone from rest as `rotations` say and put the root joint at `root` (m); differentiable."""
        joints = posed_joints(rest.joints, self.parents, rotations, root)
        vertices = rest.vertices + self.pose_offsets(rotations)
        return PosedBody(skinned(vertices, self.skin_bones, self.skin_weights, rest.joints, rotations, joints), joints)

    def pose_offsets(self, rotations: Float[Tensor, "batch bone 3 3"]) -> Float[Tensor, "batch vertex 3"]:
        """Return how the pose changes the resting skin (m) before it is skinned: SMPL's pose blend shapes."""
        bent = local_from_global(rotations, self.parents)[:, 1:]
        identity = torch.eye(3, dtype=bent.dtype, device=bent.device)
        return ((bent - identity).flatten(1) @ self._pose_blends).unflatten(-1, (-1, 3))


def _compact(weights: Float[np.ndarray, "vertex bone"]) -> tuple[np.ndarray, np.ndarray]:
    """Bones and weights per vertex, the heaviest first, as many as the vertex with the most has; rows sum to 1."""
    most = int((weights > 0).sum(axis=1).max())
    bones = np.argsort(-weights, axis=1, kind="stable")[:, :most]
    kept = np.take_along_axis(weights, bones, axis=1)
    return np.where(kept > 0, bones, 0), kept / kept.sum(axis=1, keepdims=True)


def _check(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Refuse arrays that are not SMPL's."""
    tree = arrays["kintree_table"]
    if tree.shape != (2, _JOINTS) or tuple(tree[0, 1:]) != _SKELETON.parents[1:]:
        raise InputError(f"{path}: kintree_table: expected SMPL's tree of 24 joints (not SMPL-H's or SMPL-X's)")
    if arrays["v_template"].ndim != 2 or arrays["shapedirs"].ndim != 3:
        raise InputError(f"{path}: expected v_template as (vertex, 3) and shapedirs as (vertex, 3, blend)")
    vertices, blends = len(arrays["v_template"]), max(arrays["shapedirs"].shape[-1], len(SHAPE_NAMES))
    expected = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, blends),
        "posedirs": (vertices, 3, 9 * (_JOINTS - 1)),
        "J_regressor": (_JOINTS, vertices),
        "weights": (vertices, _JOINTS),
        "f": (len(arrays["f"]), 3),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise InputError(f"{path}: {name}: expected the shape {shape}, got {arrays[name].shape}")
        if not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: {name}: expected finite numbers only")
    if arrays["f"].min() < 0 or arrays["f"].max() >= vertices:
        raise InputError(f"{path}: f: expected rows of {vertices} vertices, got up to {arrays['f'].max()}")
    if (arrays["weights"] < 0).any() or not np.allclose(arrays["weights"].sum(axis=1), 1, atol=1e-3):
        raise InputError(f"{path}: weights: expected rows of shares that sum to 1")
