"""Errors between predicted and true poses: pure, batched, differentiable functions that losses and scores share.

Every function takes poses `(*batch, joint, 3)` in metres, camera axes (x right, y down, z forward), and answers in
metres (accelerations in m/s², 3DPCK and AUC as fractions of 1). One pose is one *sample*. The common keywords are:

`mask (*batch, joint)`: True where the joint exists in prediction and truth. What it hides may be NaN and never counts.
    A joint that is not hidden and NaN makes its sample NaN: a diverged network must not look well.
`weights (*batch, joint)`: how much each joint counts in its sample's mean and in fitted alignments, ≥ 0.
    A joint of weight 0 is not averaged over, but as the root it is still aligned at.
`root`: under an alignment at the root, the root's error is zero by construction. `"excluded"` (default) leaves this
    free zero out of the mean; `"counted"` divides by all joints, as older tables do (J − 1 over J times as large).
    Without alignment, and under Procrustes, the root is a joint like the others and always averaged over.
`sample_weights (*batch)`: how much each sample counts in the overall mean, ≥ 0.
`reduction`: `"mean"` is the weighted mean over samples (each sample's mean over its joints first), NaN if there is
    nothing to average; `"none"` is one value per sample, NaN where no joint could be scored; `"total"` is the weighted
    sum over samples and the weight it has, stacked on the last axis: what a running mean adds up.

Masks and weights broadcast, so `(joint,)` serves a whole batch. Gradients are finite everywhere, zero error included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.geometry.alignment import align

Alignment = Literal["none", "root", "scale", "similarity"]
"""Before comparing: nothing; roots laid together; the same plus the best size; Procrustes (never a mirror)."""
Root = Literal["excluded", "counted"]
"""Whether the root's free zero under root alignment is left out of the mean or counted."""
Reduction = Literal["mean", "none", "total"]
"""One mean over all samples; a value per sample; the sum and its weight."""

PCK_THRESHOLD_M = 0.15
"""3DPCK: a joint is correct when it is nearer than this (Mehta et al. 2017, about half a head)."""
AUC_THRESHOLDS_M = tuple(step * 0.005 for step in range(31))
"""AUC: the 31 thresholds 0, 5, … 150 mm of MPI-INF-3DHP's evaluation. None is below 0: the best AUC is 30/31."""


class Differences(NamedTuple):
    """Prediction minus truth after an alignment, and what counts of it."""

    metres: Float[Tensor, "*batch joint 3"]
    """Camera axes; zero at joints that are hidden."""
    weights: Float[Tensor, "*batch joint"]
    """Zero where the joint does not count; all zero where the sample cannot be scored."""


def mpjpe(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    root: Root = "excluded",
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean per joint position error (m) with the roots laid on each other ("protocol 1"). See the module's keywords.

    A sample without its root is not scored.
    """
    found = _differences(predicted_cam, true_cam, "root", root, root_joint, mask, weights)
    return _reduced(_length(found.metres), found.weights, sample_weights, reduction)


def n_mpjpe(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    root: Root = "excluded",
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """MPJPE (m) after the best size: Rhodin et al. 2018's N-MPJPE.

    With both roots at zero the prediction is multiplied by s = Σ w⟨p, t⟩ / Σ w⟨p, p⟩, the least-squares scale, but by
    no less than 0: a negative scale would mirror the pose through its root.
    """
    found = _differences(predicted_cam, true_cam, "scale", root, root_joint, mask, weights)
    return _reduced(_length(found.metres), found.weights, sample_weights, reduction)


def pa_mpjpe(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """MPJPE (m) after Procrustes alignment by scale, rotation and translation ("protocol 2"), never a reflection.

    Fitted to and averaged over the same joints, the root among them. A sample of fewer than 3 joints is not scored.
    """
    found = pose_differences(predicted_cam, true_cam, "similarity", mask=mask, weights=weights)
    return _reduced(_length(found.metres), found.weights, sample_weights, reduction)


def abs_mpjpe(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean per joint position error (m) in the camera frame, nothing aligned; the root is a joint like the others."""
    found = pose_differences(predicted_cam, true_cam, "none", mask=mask, weights=weights)
    return _reduced(_length(found.metres), found.weights, sample_weights, reduction)


def per_axis_error(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    alignment: Alignment = "root",
    root: Root = "excluded",
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean absolute error (m) along x, y and z of the camera: `(3,)`, `(*batch, 3)`, or `(3, 2)` as a total."""
    found = _differences(predicted_cam, true_cam, alignment, root, root_joint, mask, weights)
    return _reduced(found.metres.abs(), found.weights, sample_weights, reduction)


def depth_error(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    alignment: Alignment = "root",
    root: Root = "excluded",
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean absolute error (m) of depth from the root (paper 001, section 5) or, with `"none"`, from the camera."""
    found = _differences(predicted_cam, true_cam, alignment, root, root_joint, mask, weights)
    return _reduced(found.metres[..., 2].abs(), found.weights, sample_weights, reduction)


def mrpe(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean root position error (m) in the camera frame (paper 002, eq. 10)."""
    found = _root_differences(predicted_cam, true_cam, root_joint, mask)
    return _reduced(_length(found.metres), found.weights, sample_weights, reduction)


def mrpe_axes(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean absolute root error (m) along x, y, z (MRPE-X, -Y, -Z of paper 002, table 3); shapes as `per_axis_error`."""
    found = _root_differences(predicted_cam, true_cam, root_joint, mask)
    return _reduced(found.metres.abs(), found.weights, sample_weights, reduction)


def pve(
    predicted_cam: Float[Tensor, "*batch vertex 3"],
    true_cam: Float[Tensor, "*batch vertex 3"],
    predicted_root_cam: Float[Tensor, "*batch 3"],
    true_root_cam: Float[Tensor, "*batch 3"],
    *,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean per vertex error (m) of meshes whose roots, which are no vertices, are laid on each other."""
    predicted, true = with_root(predicted_cam, predicted_root_cam), with_root(true_cam, true_root_cam)
    return mpjpe(predicted, true, sample_weights=sample_weights, reduction=reduction)


def with_root(
    vertices: Float[Tensor, "*batch vertex 3"], root: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch point 3"]:
    """Return the root with a mesh's vertices behind it: what errors that are aligned at joint 0 take."""
    return torch.cat((root[..., None, :], vertices), dim=-2)


def pck3d(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    threshold_m: float = PCK_THRESHOLD_M,
    alignment: Alignment = "root",
    root: Root = "excluded",
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Fraction of joints nearer than the threshold (3DPCK, Mehta et al. 2017); a step function without gradient.

    A predicted joint that is NaN and not masked counts as a miss.
    """
    found = _differences(predicted_cam, true_cam, alignment, root, root_joint, mask, weights)
    correct = (_length(found.metres.detach()) < threshold_m).to(found.weights.dtype)
    return _reduced(correct, found.weights, sample_weights, reduction)


def auc(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    *,
    thresholds_m: Sequence[float] = AUC_THRESHOLDS_M,
    alignment: Alignment = "root",
    root: Root = "excluded",
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean of 3DPCK over the thresholds (area under the curve, Mehta et al. 2017); see `pck3d`, `AUC_THRESHOLDS_M`."""
    if len(thresholds_m) == 0:
        raise ValueError("thresholds_m: expected at least one threshold, got none")
    found = _differences(predicted_cam, true_cam, alignment, root, root_joint, mask, weights)
    distance = _length(found.metres.detach())
    correct = torch.stack([distance < threshold for threshold in thresholds_m]).to(distance.dtype)
    return _reduced(correct.mean(0), found.weights, sample_weights, reduction)


def acceleration_error(
    predicted_cam: Float[Tensor, "*sequence joint 3"],
    true_cam: Float[Tensor, "*sequence joint 3"],
    fps: float,
    *,
    alignment: Literal["none", "root"] = "none",
    root: Root = "excluded",
    root_joint: int = 0,
    mask: Bool[Tensor, "*#sequence joint"] | None = None,
    weights: Float[Tensor, "*#sequence joint"] | None = None,
    sample_weights: Float[Tensor, "*samples"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean distance (m/s²) of joint accelerations: second differences p₋ − 2p + p₊ of consecutive frames, times fps².

    Poses are `(*batch, frame, joint, 3)`. A sample is a middle frame: values per sample and `sample_weights` have shape
    `(*batch, frame − 2)`. A joint counts where all three frames have it, with the middle frame's weight. `"none"`
    compares motion in the camera frame, `"root"` motion relative to the root (as video papers often do). Fewer than 3
    frames: ValueError.
    """
    _check(predicted_cam, true_cam, root_joint, mask, weights)
    frames = predicted_cam.shape[-3] if predicted_cam.ndim > 2 else 0
    if frames < 3:
        raise ValueError(f"predicted_cam: expected (..., frames >= 3, joints, 3), got {tuple(predicted_cam.shape)}")
    if not fps > 0:
        raise ValueError(f"fps: expected a positive number of frames per second, got {fps}")
    if alignment not in ("none", "root"):
        raise ValueError(f'alignment: expected "none" or "root", got "{alignment}"')
    if mask is not None:
        mask = mask.expand(predicted_cam.shape[:-1])
        mask = mask[..., :-2, :] & mask[..., 1:-1, :] & mask[..., 2:, :]
    if weights is not None:
        weights = weights.expand(predicted_cam.shape[:-1])[..., 1:-1, :]
    predicted, true = _second_difference(predicted_cam) * fps**2, _second_difference(true_cam) * fps**2
    found = _differences(predicted, true, alignment, root, root_joint, mask, weights)
    return _reduced(_length(found.metres), found.weights, sample_weights, reduction)


def bone_length_error(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    bones: Sequence[tuple[int, int]],
    *,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
    sample_weights: Float[Tensor, "*#batch"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*result"]:
    """Mean absolute difference (m) of bone lengths; `bones` are pairs of joints, as `Skeleton.bones`.

    A bone counts where both of its ends do, with the smaller of their weights.
    """
    _check(predicted_cam, true_cam, 0, mask, weights)
    joints = predicted_cam.shape[-2]
    if not bones or any(not 0 <= end < joints for bone in bones for end in bone):
        raise ValueError(f"bones: expected pairs of joint indices below {joints}, got {list(bones)}")
    child, parent = (list(ends) for ends in zip(*bones, strict=True))
    predicted_cam, true_cam, weights = _only_counted(predicted_cam, true_cam, mask, weights)
    predicted = _length(predicted_cam[..., child, :] - predicted_cam[..., parent, :])
    true = _length(true_cam[..., child, :] - true_cam[..., parent, :])
    both = torch.minimum(weights[..., child], weights[..., parent])
    return _reduced((predicted - true).abs().where(both > 0, 0.0), both, sample_weights, reduction)


def pose_differences(
    predicted_cam: Float[Tensor, "*batch joint 3"],
    true_cam: Float[Tensor, "*batch joint 3"],
    alignment: Alignment,
    *,
    root: Root = "excluded",
    root_joint: int = 0,
    mask: Bool[Tensor, "*#batch joint"] | None = None,
    weights: Float[Tensor, "*#batch joint"] | None = None,
) -> Differences:
    """Align the prediction to the truth and subtract: what every error above is the size of.

    Metres, camera axes; the module's text explains the keywords. A sample without root (alignments `"root"` and
    `"scale"`) or with fewer than 3 joints (`"similarity"`) gets weight zero.
    """
    return _differences(predicted_cam, true_cam, alignment, root, root_joint, mask, weights)


def _differences(
    predicted: Tensor,
    true: Tensor,
    alignment: Alignment,
    root: Root,
    root_joint: int,
    mask: Tensor | None,
    weights: Tensor | None,
) -> Differences:
    """`pose_differences`, checked at this door."""
    _check(predicted, true, root_joint, mask, weights)
    if alignment not in get_args(Alignment):
        raise ValueError(f"alignment: expected one of {', '.join(get_args(Alignment))}, got {alignment!r}")
    if root not in get_args(Root):
        raise ValueError(f'root: expected "excluded" or "counted", got {root!r}')
    if alignment in ("root", "scale"):
        return _root_aligned(predicted, true, root, root_joint, mask, weights, scale=alignment == "scale")
    predicted, true, weights = _only_counted(predicted, true, mask, weights)
    if alignment == "similarity":
        enough = (weights > 0).sum(-1, keepdim=True) >= 3
        weights = weights * enough
        # Samples that do not count get uniform weights, for the alignment must find something to fit.
        predicted = align(predicted, true, weights.where(enough, 1.0))
    return Differences((predicted - true).where(weights[..., None] > 0, 0.0), weights)


def _root_aligned(
    predicted: Tensor,
    true: Tensor,
    root: Root,
    root_joint: int,
    mask: Tensor | None,
    weights: Tensor | None,
    *,
    scale: bool,
) -> Differences:
    """Differences with both roots at zero and, if asked, the prediction at its best size."""
    is_root = torch.arange(predicted.shape[-2], device=predicted.device) == root_joint
    predicted, true, weights = _only_counted(predicted, true, mask, weights, keep=is_root)
    if mask is not None:
        weights = weights * mask[..., root_joint, None]
    counts = weights > 0 if root == "counted" else (weights > 0) & ~is_root
    predicted = predicted - predicted[..., root_joint, None, :]
    true = true - true[..., root_joint, None, :]
    if scale:
        counted = predicted.where(counts[..., None], 0.0)
        size = (weights[..., None] * counted.square()).sum((-2, -1))
        overlap = (weights[..., None] * counted * true.where(counts[..., None], 0.0)).sum((-2, -1))
        factor = (overlap / size.where(size != 0, 1.0)).clamp(min=0.0)
        predicted = factor[..., None, None] * predicted
    return Differences((predicted - true).where(counts[..., None], 0.0), weights * counts)


def _root_differences(predicted: Tensor, true: Tensor, root_joint: int, mask: Tensor | None) -> Differences:
    """Differences of the roots alone, as poses of one joint."""
    _check(predicted, true, root_joint, mask, None)
    one = slice(root_joint, root_joint + 1)
    mask = None if mask is None else mask[..., one]
    return _differences(predicted[..., one, :], true[..., one, :], "none", "counted", 0, mask, None)


def _only_counted(
    predicted: Tensor, true: Tensor, mask: Tensor | None, weights: Tensor | None, keep: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Poses with zeros where nothing counts (or is kept), and one weight per joint, zero where hidden."""
    shape = predicted.shape[:-1]
    full = torch.ones_like(predicted[..., 0]) if weights is None else weights.to(predicted.dtype).expand(shape)
    seen = torch.ones_like(full, dtype=torch.bool) if mask is None else mask.expand(shape)
    needed = (full != 0) if keep is None else (full != 0) | keep
    needed = (needed & seen)[..., None]
    return predicted.where(needed, 0.0), true.where(needed, 0.0), full.where(seen, 0.0)


def _reduced(errors: Tensor, weights: Tensor, sample_weights: Tensor | None, reduction: Reduction) -> Tensor:
    """Reduce `(*batch, joint)` or `(*batch, joint, axis)` errors over joints, then over samples as asked."""
    per_axis = errors.ndim > weights.ndim
    if not per_axis:
        errors = errors[..., None]
    weight = weights.sum(-1)[..., None]
    scored = weight > 0
    values = (weights[..., None] * errors).sum(-2) / weight.where(scored, 1.0)
    if reduction == "none":
        values = values.where(scored, torch.nan)
        return values if per_axis else values[..., 0]
    if reduction not in ("mean", "total"):
        raise ValueError(f'reduction: expected "mean", "none" or "total", got {reduction!r}')
    counts = scored.to(values.dtype)
    if sample_weights is not None:
        counts = counts * sample_weights.to(values.dtype).expand(weights.shape[:-1])[..., None]
    total = (counts * values.where(counts != 0, 0.0)).reshape(-1, values.shape[-1]).sum(0)
    weight = counts.sum().expand(total.shape)
    if reduction == "total":
        total = torch.stack([total, weight], -1)
    else:
        total = (total / weight.where(weight != 0, 1.0)).where(weight != 0, torch.nan)
    return total if per_axis else total[0]


def _length(vectors: Tensor) -> Tensor:
    """Euclidean norm over the last axis whose gradient at zero is zero (NaN stays NaN)."""
    squared = vectors.square().sum(-1)
    some = squared != 0
    return squared.where(some, 1.0).sqrt().where(some, 0.0)


def _second_difference(poses: Tensor) -> Tensor:
    """p₋ − 2p + p₊ along the frames."""
    return poses[..., :-2, :, :] - 2 * poses[..., 1:-1, :, :] + poses[..., 2:, :, :]


def _check(predicted: Tensor, true: Tensor, root_joint: int, mask: Tensor | None, weights: Tensor | None) -> None:
    """Refuse shapes that do not fit, in one sentence."""
    if predicted.ndim < 2 or predicted.shape[-1] != 3 or predicted.shape[-2] == 0:
        raise ValueError(f"predicted_cam: expected (..., joints, 3), got {tuple(predicted.shape)}")
    if true.shape != predicted.shape:
        raise ValueError(f"true_cam: expected the prediction's shape {tuple(predicted.shape)}, got {tuple(true.shape)}")
    joints = predicted.shape[-2]
    if not 0 <= root_joint < joints:
        raise ValueError(f"root_joint: expected an index below {joints}, got {root_joint}")
    for name, given in (("mask", mask), ("weights", weights)):
        if given is not None and (given.ndim == 0 or given.shape[-1] != joints):
            raise ValueError(f"{name}: expected (..., {joints}), got {tuple(given.shape)}")
    if mask is not None and mask.dtype != torch.bool:
        raise ValueError(f"mask: expected True and False, got {mask.dtype}")
