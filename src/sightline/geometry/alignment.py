"""Procrustes alignment of point sets: the rotation, scale and translation that lay one on the other, never a mirror.

Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns", with the rotation
from RoMa's special Procrustes solution, whose derivative stays bounded where the rotation is ambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import roma
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Similarity:
    """A similarity transform `target = scale · rotation @ source + translation`, batched.

    All three are NaN where no transform could be fitted (see `procrustes`).
    """

    scale: Float[Tensor, "*batch"]
    """Factor from source to target; 1 for rigid alignment."""
    rotation: Float[Tensor, "*batch 3 3"]
    """Proper rotation, determinant +1 (`target_from_source`)."""
    translation: Float[Tensor, "*batch 3"]
    """In the target's unit, after scale and rotation."""

    def apply(self, points: Float[Tensor, "*batch joint 3"]) -> Float[Tensor, "*batch joint 3"]:
        """Map points of the source frame into the target frame; any number of points per batch element."""
        turned = points @ self.rotation.mT
        return self.scale[..., None, None] * turned + self.translation[..., None, :]


def procrustes(
    source: Float[Tensor, "*#batch joint 3"],
    target: Float[Tensor, "*#batch joint 3"],
    weights: Float[Tensor, "*#batch joint"] | None = None,
    *,
    scale: bool = True,
) -> Similarity:
    """Fit the transform with the least Σ wⱼ ‖s R sourceⱼ + t − targetⱼ‖² (Umeyama 1991), without reflections.

    Units are the caller's; the batch shapes of the three broadcast. `scale=False` keeps s = 1 (rigid alignment).
    Joints of weight zero do not count and may be NaN. Differentiable, with finite gradients always.

    Degenerate input has a defined answer: where points lie on a line or in one spot the rotation is one of the
    equally good ones (the identity for one spot), and a source in one spot keeps s = 1. Where nothing can be fitted
    (no weight at all, a negative weight, a counted joint that is not finite) the transform is NaN.
    """
    _check(source, target, weights)
    if weights is None:
        weights = source.new_ones(source.shape[-2])
    weights, finite_source, finite_target, usable = _only_counted(source, target, weights)

    weights = (weights / weights.sum(-1, keepdim=True))[..., None]
    source_mean, source_centred, extent = _centred(finite_source, weights)
    target_mean, target_centred, _ = _centred(finite_target, weights)
    covariance = target_centred.mT @ (weights * source_centred)

    rotation = _nearest_rotation(covariance)
    if scale:
        has_extent = extent > 0
        overlap = (rotation * covariance).sum((-2, -1))
        factor = torch.where(has_extent, overlap, 1.0) / torch.where(has_extent, extent, 1.0)
    else:
        factor = covariance.new_ones(covariance.shape[:-2])
    translation = (target_mean - factor[..., None, None] * source_mean @ rotation.mT)[..., 0, :]
    return Similarity(
        scale=factor.where(usable, torch.nan),
        rotation=rotation.where(usable[..., None, None], torch.nan),
        translation=translation.where(usable[..., None], torch.nan),
    )


def align(
    source: Float[Tensor, "*#batch joint 3"],
    target: Float[Tensor, "*#batch joint 3"],
    weights: Float[Tensor, "*#batch joint"] | None = None,
    *,
    scale: bool = True,
) -> Float[Tensor, "*batch joint 3"]:
    """Lay `source` on `target` by `procrustes` and return it there, in the target's frame and unit.

    Joints that are NaN in the source stay NaN; everything is NaN where no transform could be fitted.
    """
    fitted = procrustes(source, target, weights, scale=scale)
    return fitted.apply(source.expand(*fitted.scale.shape, *source.shape[-2:]))


def _centred(points: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted mean (keeping its axis), points minus it, and their variance; exactly 0 where only rounding is left."""
    mean = (weights * points).sum(-2, keepdim=True)
    centred = points - mean
    variance = (weights * centred.square()).sum((-2, -1))
    rounding = (8 * torch.finfo(points.dtype).eps) ** 2 * (weights * points.square()).sum((-2, -1))
    apart = (variance > rounding)[..., None, None]
    return mean, torch.where(apart, centred, 0.0), torch.where(apart[..., 0, 0], variance, 0.0)


def _nearest_rotation(covariance: Tensor) -> Tensor:
    """Rotation R with the largest tr(Rᵀ C); the identity where C is zero."""
    norm = torch.linalg.matrix_norm(covariance.detach())[..., None, None]
    some = norm > 0
    identity = torch.eye(3, dtype=covariance.dtype, device=covariance.device)
    # The rotation does not depend on the norm, so the damping of RoMa's derivative is made relative to it.
    unit = torch.where(some, covariance / torch.where(some, norm, 1.0), identity)
    return cast(Tensor, roma.special_procrustes(unit))


def _only_counted(source: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights and points, broadcast, with harmless numbers where nothing counts; and which elements are usable."""
    counted = weights != 0
    fine = (source.isfinite() & target.isfinite()).all(-1) & weights.isfinite() & (weights >= 0)
    usable = (fine | ~counted).all(-1) & counted.any(-1)
    keep = counted & usable[..., None]
    weights = torch.where(usable[..., None], weights, 1.0)
    return weights, torch.where(keep[..., None], source, 0.0), torch.where(keep[..., None], target, 0.0), usable


def _check(source: Tensor, target: Tensor, weights: Tensor | None) -> None:
    for name, points in (("source", source), ("target", target)):
        if points.ndim < 2 or points.shape[-1] != 3 or points.shape[-2] == 0:
            raise ValueError(f"{name}: expected (..., joints, 3), got {tuple(points.shape)}")
    if source.shape[-2] != target.shape[-2]:
        raise ValueError(
            f"source and target: expected the same number of joints, got {source.shape[-2]} and {target.shape[-2]}"
        )
    if weights is not None and (weights.ndim < 1 or weights.shape[-1] != source.shape[-2]):
        raise ValueError(f"weights: expected (..., {source.shape[-2]}), got {tuple(weights.shape)}")
