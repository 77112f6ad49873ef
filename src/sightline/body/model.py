"""What every body model offers: a resting body from shape, and linear blend skinning to any pose.

**The body's frame**: metres, x to the person's own left, y up, z to where the person looks; right-handed, like SMPL's.
The origin is the resting position of the root bone.

**Rotations** of bones are *from rest*: `rotations[b]` turns what is fixed to bone b from how it lies at rest to how it
lies now, in the frame in which the body is placed. So all identities show the resting body, and turning every bone by
one matrix turns the body. A bone's point x at rest then lies at R_b (x − j_b) + p_b, where j_b is the bone's head at
rest and p_b where it lies now: p_b = p_parent + R_parent (j_b − j_parent).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RestBody:
    """Bodies of some shapes before they take a pose; metres, the body's frame."""

    vertices: Float[Tensor, "batch vertex 3"]
    joints: Float[Tensor, "batch bone 3"]
    """Heads of the bones: the points they turn about."""


@dataclass(frozen=True, eq=False)
class PosedBody:
    """Bodies in some pose; metres, the frame they were placed in."""

    vertices: Float[Tensor, "batch vertex 3"]
    joints: Float[Tensor, "batch bone 3"]


@runtime_checkable
class BodyModel(Protocol):
    """A body whose mesh follows from shape and pose. All tensors are on one device and of one float type."""

    @property
    def name(self) -> str:
        """What the model is called in files: "anny", "smpl"."""
        ...

    @property
    def bones(self) -> tuple[str, ...]:
        """Names of the bones, parents first."""
        ...

    @property
    def parents(self) -> tuple[int, ...]:
        """Row of each bone's parent; −1 for the root, which is row 0."""
        ...

    @property
    def faces(self) -> Int[Tensor, "face 3"]:
        """Triangles as rows of vertices, anticlockwise seen from outside."""
        ...

    @property
    def shape_names(self) -> tuple[str, ...]:
        """What the numbers of a shape mean."""
        ...

    @property
    def skin_bones(self) -> Int[Tensor, "vertex weight"]:
        """The bones that carry each vertex, padded with bone 0."""
        ...

    @property
    def skin_weights(self) -> Float[Tensor, "vertex weight"]:
        """How much of each vertex they carry; rows sum to 1, padding is 0."""
        ...

    def rest(self, shape: Float[Tensor, "batch shape"]) -> RestBody:
        """Return the resting bodies of these shapes. Raises ValueError for shapes of another width or with NaN."""
        ...

    def posed(
        self, rest: RestBody, rotations: Float[Tensor, "batch bone 3 3"], root: Float[Tensor, "batch 3"]
    ) -> PosedBody:
        """Turn every bone from rest as `rotations` say and put the root bone's head at `root` (m)."""
        ...
