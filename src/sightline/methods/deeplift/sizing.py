"""From poses in body sizes to metres: by a stature, or by lengths of limbs that were measured."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.methods.deeplift.shapes import LIMBS, limb_lengths
from sightline.stature import stature_from_joints


def size_from_stature(
    joints: Float[Tensor, "person mode 17 3"], stature_m: Float[Tensor, " person"]
) -> Float[Tensor, "person mode"]:
    """Return metres per body size of people of a known barefoot stature (m)."""
    return stature_m[:, None] / stature_from_joints(joints)


def size_from_limbs(
    joints: Float[Tensor, "person mode 17 3"], limbs_m: Float[Tensor, "person 16"]
) -> Float[Tensor, "person mode"]:
    """Return metres per body size of people some of whose limbs were measured, by least squares.

    Args:
        joints: poses in body sizes.
        limbs_m: length (m) from each joint of `h36m17` but the first to the joint that it hangs on; NaN where unknown.

    Raises:
        ValueError: for lengths that are not positive, or other shapes.
    """
    if limbs_m.shape != (len(joints), LIMBS):
        raise ValueError(f"limbs_m: expected {(len(joints), LIMBS)}, got {tuple(limbs_m.shape)}")
    known = ~limbs_m.isnan()
    if not bool((limbs_m.isfinite() & (limbs_m > 0))[known].all()):
        raise ValueError("limbs_m: expected positive lengths in metres, NaN where unknown")
    lengths = torch.where(known[:, None], limb_lengths(joints), 0.0)
    wanted = torch.where(known, limbs_m, 0.0)[:, None]
    return (wanted * lengths).sum(-1) / lengths.square().sum(-1)
