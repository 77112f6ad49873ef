"""Poses as vectors: without place and size, 48 numbers that a Gaussian may have an opinion about.

A pose's place is taken out by an orthonormal basis of what is left of 17 points when their mean is known (16 rows),
its size by the sum of squared limb lengths, which is one afterwards (paper 004, section 4). Vectors are
(x₁ … x₁₆, y₁ … y₁₆, z₁ … z₁₆); independent errors of equal spread on the joints are the same on these numbers.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.skeleton import get_skeleton

JOINTS: Final = 17
ROWS: Final = JOINTS - 1
"""Independent points of a centred pose."""
DIMENSIONS: Final = 3 * ROWS

_SKELETON = get_skeleton("h36m17")
FLIP: Final = _SKELETON.flip
LIMBS: Final = len(_SKELETON.bones)
"""From each joint but the root to the one that it hangs on."""
_CHILDREN, _PARENTS = (list(ends) for ends in zip(*_SKELETON.bones, strict=True))


def _helmert() -> Float[Tensor, "16 17"]:
    """Orthonormal rows, each orthogonal to (1, …, 1): row i sets joint i + 1 against the mean of those before."""
    rows = torch.zeros(ROWS, JOINTS, dtype=torch.float64)
    for row in range(ROWS):
        rows[row, : row + 1] = 1.0
        rows[row, row + 1] = -(row + 1.0)
    return rows / rows.norm(dim=1, keepdim=True)


CENTRED: Final = _helmert()
"""The basis (16, 17) in which centred poses are written."""


class Shapes(NamedTuple):
    """Poses without place and size, and the sizes."""

    shape: Float[Tensor, "*batch 48"]
    """Coordinates in `CENTRED`, the sum of squared limb lengths is one."""
    size: Float[Tensor, "*batch"]
    """What they were divided by, in the joints' unit."""


def limb_size(joints: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch"]:
    """Return √(Σ limb²) over the 16 limbs of `h36m17`, in the joints' unit."""
    return _limbs(joints).square().sum((-2, -1)).sqrt()


def limb_lengths(joints: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch 16"]:
    """Return how long the limbs are, from each joint but the root to the one that it hangs on, in the joints' unit."""
    return _limbs(joints).norm(dim=-1)


def _limbs(joints: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch 16 3"]:
    return joints[..., _CHILDREN, :] - joints[..., _PARENTS, :]


def to_shapes(joints: Float[Tensor, "*batch 17 3"]) -> Shapes:
    """Take place and size out of `h36m17` poses of any unit; the axes stay as they are.

    Raises:
        ValueError: for another shape, and for a pose that is not finite or has no extent.
    """
    if joints.ndim < 2 or joints.shape[-2:] != (JOINTS, 3):
        raise ValueError(f"joints: expected (..., 17, 3) in h36m17 order, got {tuple(joints.shape)}")
    size = limb_size(joints)
    if not bool((size.isfinite() & (size > 0)).all()):
        raise ValueError("joints: expected finite poses with some extent, got one without")
    rows = CENTRED.to(joints) @ (joints / size[..., None, None])
    return Shapes(rows.mT.flatten(-2), size)


def to_joints(shape: Float[Tensor, "*batch 48"]) -> Float[Tensor, "*batch 17 3"]:
    """Return the 17 joints of a shape about their mean; any scale."""
    return CENTRED.to(shape).mT @ shape.unflatten(-1, (3, ROWS)).mT


def mirrored(shape: Float[Tensor, "*batch 48"]) -> Float[Tensor, "*batch 48"]:
    """Return the shapes as a mirror across the plane x = 0 shows them, left and right re-named."""
    rows = CENTRED.to(shape)
    swap = rows @ rows[:, FLIP].mT
    side = shape.new_tensor([-1.0, 1.0, 1.0])
    return ((side[:, None] * shape.unflatten(-1, (3, ROWS))) @ swap.mT).flatten(-2)


def rotated(shape: Float[Tensor, "*batch 48"], rotation: Float[Tensor, "*#batch 3 3"]) -> Float[Tensor, "*batch 48"]:
    """Return the shapes turned by a rotation of their axes: each joint p becomes R p."""
    return (rotation @ shape.unflatten(-1, (3, ROWS))).flatten(-2)
