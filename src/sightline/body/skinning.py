"""Linear blend skinning: from the rotations of bones to where the joints and the skin lie.

The conventions are those of `body.model`: rotations turn bones from rest, in the frame in which the body is placed.
Each vertex follows the bones that carry it, in shares that sum to 1: x = Σ_b w_b (R_b (x_rest − j_b) + p_b). A call's
tensors share a float type and a device; a batch of one broadcasts against a larger one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

Parents = tuple[int, ...]
"""Row of each bone's parent, parents before children; −1 for the root, which is row 0."""


def posed_joints(
    rest_joints: Float[Tensor, "#batch bone 3"],
    parents: Parents,
    rotations: Float[Tensor, "#batch bone 3 3"],
    root: Float[Tensor, "#batch 3"],
) -> Float[Tensor, "batch bone 3"]:
    """Return where the bones' heads lie (m): the root's at `root`, any other where its parent carries it.

    Differentiable.

    Raises:
        ValueError: for rotations, joints and parents of different numbers, or parents that come after their children.
    """
    _check_bones(parents, rest_joints.shape[-2], rotations.shape[-3])
    above, chains = _tree(parents, rotations.dtype, rotations.device)
    bone = rest_joints - rest_joints.index_select(1, above)
    carried = (rotations.index_select(1, above) @ bone[..., None])[..., 0]
    return chains @ carried + root[:, None]


def skinned(
    vertices: Float[Tensor, "#batch vertex 3"],
    skin_bones: Int[Tensor, "vertex weight"],
    skin_weights: Float[Tensor, "vertex weight"],
    rest_joints: Float[Tensor, "#batch bone 3"],
    rotations: Float[Tensor, "#batch bone 3 3"],
    joints: Float[Tensor, "#batch bone 3"],
) -> Float[Tensor, "batch vertex 3"]:
    """Return the skin (m) of bodies that rest as `vertices` around `rest_joints`, whose heads now lie at `joints`.

    `joints` are those that `posed_joints` returns. Differentiable in all floats (reverse mode).
    """
    batch = max(len(vertices), len(rest_joints), len(rotations), len(joints))
    table = _moves(rest_joints, rotations, joints, batch)
    return _moved(vertices, embedding_bag(skin_bones, table, per_sample_weights=skin_weights, mode="sum"), batch)


def skinned_arrays(
    vertices: Float[np.ndarray, "vertex 3"],
    skin_bones: Int[np.ndarray, "vertex weight"],
    skin_weights: Float[np.ndarray, "vertex weight"],
    joints: Float[np.ndarray, "bone 3"],
    parents: Parents,
    rotations: Float[np.ndarray, "bone 3 3"],
    root: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "vertex 3"]:
    """Return the skin (m, float32) of one figure that rests as `vertices` around `joints`: `skinned` for arrays."""
    resting = RestArrays.of(vertices, skin_bones, skin_weights, joints, parents)
    return resting.skin(rotations, resting.heads(rotations, root))


@dataclass(frozen=True, eq=False, kw_only=True)
class RestArrays:
    """One figure at rest (m, float32) that takes many poses: what bones carry, without the padding of the weights."""

    vertices: Float[Tensor, "1 vertex 3"]
    bones: Int[Tensor, " entry"]
    weights: Float[Tensor, " entry"]
    """The bones that carry each vertex and in which shares, one vertex after the other."""
    starts: Int[Tensor, " vertex"]
    """Where each vertex' entries start."""
    joints: Float[Tensor, "1 bone 3"]
    parents: Parents

    @classmethod
    def of(
        cls,
        vertices: Float[np.ndarray, "vertex 3"],
        skin_bones: Int[np.ndarray, "vertex weight"],
        skin_weights: Float[np.ndarray, "vertex weight"],
        joints: Float[np.ndarray, "bone 3"],
        parents: Parents,
    ) -> RestArrays:
        """Return the figure that rests as `vertices` around `joints`."""
        carries = skin_weights != 0
        counts = carries.view(np.int8) @ np.ones(carries.shape[1], np.int8)
        entries = np.flatnonzero(carries)
        return cls(
            vertices=_as_float32(vertices)[None],
            bones=torch.from_numpy(skin_bones.ravel()[entries].astype(np.int64)),
            weights=_as_float32(skin_weights.ravel()[entries]),
            starts=torch.from_numpy(np.cumsum(counts, dtype=np.int64) - counts),
            joints=_as_float32(joints)[None],
            parents=tuple(parents),
        )

    def heads(
        self, rotations: Float[np.ndarray, "bone 3 3"], root: Float[np.ndarray, "3"]
    ) -> Float[np.ndarray, "bone 3"]:
        """Return where the bones' heads lie (m): `posed_joints` for arrays."""
        with torch.inference_mode():
            turns = _as_float32(rotations)[None]
            return posed_joints(self.joints, self.parents, turns, _as_float32(root)[None])[0].numpy()

    def skin(
        self, rotations: Float[np.ndarray, "bone 3 3"], heads: Float[np.ndarray, "bone 3"]
    ) -> Float[np.ndarray, "vertex 3"]:
        """Return the skin (m) where bones are turned so, with their heads there: `skinned` for arrays."""
        with torch.inference_mode():
            table = _moves(self.joints, _as_float32(rotations)[None], _as_float32(heads)[None], 1)
            entries = (self.bones, table, self.starts)
            blended = embedding_bag(*entries, per_sample_weights=self.weights, mode="sum")
            return _moved(self.vertices, blended, 1)[0].numpy()


def _moves(rest_joints: Tensor, rotations: Tensor, joints: Tensor, batch: int) -> Float[Tensor, "bone move"]:
    """How bones move what they carry: the columns of R, then t, of every body."""
    shifts = joints - (rotations @ rest_joints[..., None])[..., 0]
    moves = torch.cat([rotations.mT.flatten(-2), shifts], dim=-1).expand(batch, -1, -1)
    return moves.transpose(0, 1).flatten(1)


def _moved(vertices: Tensor, blended: Float[Tensor, "vertex move"], batch: int) -> Float[Tensor, "batch vertex 3"]:
    """Vertices where the blended moves take them."""
    x, y, z, shift = blended.unflatten(-1, (batch, 4, 3)).transpose(0, 1).unbind(-2)
    moved = torch.addcmul(shift, x, vertices[..., :1])
    return torch.addcmul(torch.addcmul(moved, y, vertices[..., 1:2]), z, vertices[..., 2:])


def local_from_global(
    rotations: Float[Tensor, "*batch bone 3 3"], parents: Parents
) -> Float[Tensor, "*batch bone 3 3"]:
    """Return what each bone turns relative to its parent, R_parentᵀ R; the root's own stays. Differentiable."""
    _check_bones(parents, rotations.shape[-3])
    rest = list(parents[1:])
    return torch.cat([rotations[..., :1, :, :], rotations[..., rest, :, :].mT @ rotations[..., 1:, :, :]], dim=-3)


def global_from_local(
    rotations: Float[Tensor, "*batch bone 3 3"], parents: Parents
) -> Float[Tensor, "*batch bone 3 3"]:
    """Return rotations from rest given each bone's turn relative to its parent, R_parent R_local. Differentiable."""
    _check_bones(parents, rotations.shape[-3])
    generations, order = _generations(parents)
    turned = [rotations[..., :1, :, :]]
    for bones, place_of_parent in generations[1:]:
        turned.append(turned[-1][..., place_of_parent, :, :] @ rotations[..., bones, :, :])
    return torch.cat(turned, dim=-3)[..., order, :, :]


def _as_float32(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(array, np.float32, ("C", "W")))


def _check_bones(parents: Parents, *counts: int) -> None:
    if any(count != len(parents) for count in counts):
        raise ValueError(f"expected as many joints and rotations as parents, {len(parents)}, got {counts}")
    _chains(parents)  # refuses what is no tree


@lru_cache(maxsize=32)
def _tree(
    parents: Parents, dtype: torch.dtype, device: torch.device
) -> tuple[Int[Tensor, " bone"], Float[Tensor, "bone bone"]]:
    """Each bone's parent (the root's is itself), and `_chains`, as tensors."""
    with torch.inference_mode(False):  # kept beyond it
        above = torch.tensor([0, *parents[1:]], device=device)
        return above, torch.as_tensor(_chains(parents), dtype=dtype, device=device)


@lru_cache(maxsize=16)
def _chains(parents: Parents) -> np.ndarray:
    """1 where the row's bone hangs from the column's, or is it: (bone, bone)."""
    chains = np.eye(len(parents))
    for bone, parent in enumerate(parents):
        if not -1 <= parent < bone or (parent == -1) != (bone == 0):
            raise ValueError(f"parents: expected -1 for row 0 and a row above its own for all others, got {parents}")
        if bone:
            chains[bone] += chains[parent]
    return chains


@lru_cache(maxsize=16)
def _generations(parents: Parents) -> tuple[list[tuple[list[int], list[int]]], list[int]]:
    """Bones by distance from the root, each with its parent's place in the generation before; how to undo this."""
    depth = _chains(parents).sum(axis=1).astype(int) - 1
    generations: list[tuple[list[int], list[int]]] = []
    for level in range(depth.max() + 1):
        bones = np.flatnonzero(depth == level).tolist()
        before = generations[-1][0] if generations else []
        generations.append((bones, [before.index(parents[bone]) for bone in bones] if level else []))
    return generations, np.argsort([bone for bones, _ in generations for bone in bones]).tolist()
