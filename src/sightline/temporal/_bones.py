"""A skeleton's bones as arrays, and poses whose bones have given lengths."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float

from sightline.skeleton import Skeleton

_SWEEPS: Final = 8
_TINY_M: Final = 1e-6


class Limbs:
    """A skeleton's bones as arrays: child and parent of each, its mirror image, and which bones lead to which joint."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.child, self.parent = (np.array(ends, dtype=np.int64) for ends in zip(*skeleton.bones, strict=True))
        bone_of = {int(child): bone for bone, child in enumerate(self.child)}
        self.mirrored = np.array([bone_of.get(skeleton.flip[child], bone) for bone, child in enumerate(self.child)])
        self.leads_to = np.zeros((len(skeleton), len(self.child)))
        for joint in range(len(skeleton)):
            at = joint
            while at != skeleton.root:
                self.leads_to[joint, bone_of[at]] = 1.0
                at = skeleton.parents[at]
        self.root = skeleton.root
        ends = np.zeros((len(skeleton), len(self.child)))
        ends[self.child, range(len(self.child))] = 1.0
        ends[self.parent, range(len(self.child))] = -1.0
        ends[self.root] = 0.0  # it stays where it is
        self._pulls = 0.5 * ends / np.maximum(np.abs(ends).sum(1, keepdims=True), 1.0)
        self._order = sorted(range(len(self.child)), key=lambda bone: self.leads_to[self.child[bone]].sum())

    def lengths(self, joints_m: Float[np.ndarray, "*pose joint 3"]) -> Float[np.ndarray, "*pose bone"]:
        """Bone lengths (m); NaN where an end is missing."""
        return np.linalg.norm(joints_m[..., self.child, :] - joints_m[..., self.parent, :], axis=-1)

    def posed(
        self, joints_m: Float[np.ndarray, "pose joint 3"], lengths_m: Float[np.ndarray, "*#pose bone"]
    ) -> Float[np.ndarray, "pose joint 3"]:
        """Poses near the given ones whose bones have the given lengths; the root stays where it is.

        First every bone pulls and pushes at its ends alike, some times over, so that what one bone lacks is shared by
        its neighbours (position-based dynamics, Müller et al. 2007) and the joints move as little as may be; then the
        lengths are made exact from the root outwards, directions kept. Bones without a length (NaN), with a missing end
        or shorter than a micrometre stay as they are.
        """
        missing = np.isnan(joints_m[..., 0])
        joints = self._filled(joints_m, missing)
        bones = joints[:, self.child] - joints[:, self.parent]
        free = missing[:, self.child] | missing[:, self.parent] | np.isnan(lengths_m)
        free |= np.square(bones).sum(-1) < _TINY_M**2
        holds, goal = (~free).astype(np.float64)[..., None], np.where(free, 1.0, lengths_m)[..., None]
        for _ in range(_SWEEPS):
            joints = joints + self._pulls @ (bones * _lacking(bones, goal, holds))
            bones = joints[:, self.child] - joints[:, self.parent]
        bones = bones + bones * _lacking(bones, goal, holds)
        posed = joints[:, self.root, None] + self.leads_to @ bones
        return np.where(missing[..., None], np.nan, posed)

    def _filled(self, joints_m: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Missing joints at their parents', a missing root at 0: stand-ins that hold no bone."""
        if not missing.any():
            return joints_m
        joints = joints_m.copy()
        joints[:, self.root][missing[:, self.root]] = 0.0
        for bone in self._order:
            child, gone = self.child[bone], missing[:, self.child[bone]]
            joints[gone, child] = joints[gone, self.parent[bone]]
        return joints


def _lacking(bones: np.ndarray, goal: np.ndarray, holds: np.ndarray) -> np.ndarray:
    """By what share of itself each bone is too short; 0 where it holds nothing."""
    return holds * (goal / np.sqrt(np.maximum(np.einsum("...i,...i->...", bones, bones), _TINY_M**2))[..., None] - 1.0)


@lru_cache(maxsize=16)
def limbs_of(skeleton: Skeleton) -> Limbs:
    """Return the skeleton's bones as arrays."""
    return Limbs(skeleton)
