"""Fit the error model of a 2D pose detector: Algorithm 1 of AbsPoseLifter, section 4.2, for all joints at once.

The model itself, its sampling and its files live in `error_model.py`; everything public is offered here too.
Errors are in pixels of the person's 256-pixel crop. Fitting is NumPy in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.errors import InputError
from sightline.methods.abspose.error_model import (
    BOX_FACTOR,
    CROP_PX,
    HALF_RANGE_PX,
    ErrorModel,
    crop_scale,
    error_array,
    errors_in_crop,
    log_likelihood,
    log_mixture,
    read_error_model,
    sample,
    write_error_model,
)
from sightline.skeleton import Skeleton, conversion, get_skeleton
from sightline.structures import Keypoints, PersonKeypoints

__all__ = [
    "BOX_FACTOR",
    "CROP_PX",
    "HALF_RANGE_PX",
    "ErrorModel",
    "FitTrace",
    "crop_scale",
    "errors_in_crop",
    "fit_gaussian",
    "fit_mixture",
    "fit_noise",
    "log_likelihood",
    "read_error_model",
    "sample",
    "write_error_model",
]

MIN_SAMPLES = 50

_SIGMA_FLOOR_PX = 0.01
_INLIER_RANGE = (1e-6, 1.0 - 1e-9)
_SWAP_MIN_SEPARATION_PX = 20.0  # nearer pairs cannot tell a swap from jitter
_SWAP_FACTOR = 2.0  # "far better": the exchanged pair explains the detection twice as closely


@dataclass(frozen=True, kw_only=True, eq=False)
class FitTrace:
    """How a fit went, per joint: `iterations`, whether it `converged`, `samples` seen, and those `outside` ±50 px.

    `log_likelihood` (most iterations + 1, J): mean nats per sample, first row = the initial guess; a joint that has
    converged keeps its value. A single Gaussian takes 0 iterations.
    """

    log_likelihood: Float[np.ndarray, "step joint"]
    iterations: Int[np.ndarray, " joint"]
    converged: Bool[np.ndarray, " joint"]
    samples: Int[np.ndarray, " joint"]
    outside: Int[np.ndarray, " joint"]


def fit_mixture(
    errors: Float[np.ndarray, "n joint 2"] | Float[Tensor, "n joint 2"],
    *,
    skeleton: str = "h36m17",
    swap: Float[np.ndarray, " joint"] | None = None,
    init: Literal["robust", "gaussian"] = "robust",
    gamma0: float = 0.9,
    tolerance: float = 1e-3,
    max_iterations: int = 100,
    min_samples: int = MIN_SAMPLES,
) -> tuple[ErrorModel, FitTrace]:
    """Expectation–maximisation of equation 8, every joint at once: Algorithm 1, line 7's numerator being (1 − γ) p₀.

    `errors`: crop pixels, NaN = missing and left out. `init`: μ and σ from median and 0.7413 · interquartile range, or
    from a single Gaussian as in the paper. A joint stops when its mean log-likelihood gains at most `tolerance` nats.
    ValueError names the joints with fewer than `min_samples` errors within the box.
    """
    if not 0 < gamma0 < 1 or not tolerance >= 0 or max_iterations < 1 or init not in ("robust", "gaussian"):
        raise ValueError("expected 0 < gamma0 < 1, tolerance >= 0, max_iterations >= 1 and init 'robust' or 'gaussian'")
    errors = _checked(errors, skeleton, min_samples)
    mean, sigma = _initial(errors, init)
    inlier = np.full(errors.shape[1], gamma0)
    weight, level = _expectation(errors, mean, sigma, inlier)
    history, running = [level], np.ones(errors.shape[1], dtype=bool)
    iterations = np.zeros(errors.shape[1], dtype=np.int64)
    while running.any() and len(history) <= max_iterations:
        updated = _maximisation(errors, weight)
        mean, sigma = (np.where(running[:, None], new, old) for new, old in zip(updated, (mean, sigma), strict=False))
        inlier = np.where(running, updated[2], inlier)
        iterations += running
        weight, level = _expectation(errors, mean, sigma, inlier)
        history.append(level)
        running &= level - history[-2] > tolerance
    swap = np.zeros_like(inlier) if swap is None else swap
    model = ErrorModel(kind="mixture", skeleton=skeleton, mean_px=mean, sigma_px=sigma, inlier=inlier, swap=swap)
    return model, _trace(errors, np.stack(history), iterations, ~running)


def fit_gaussian(
    errors: Float[np.ndarray, "n joint 2"] | Float[Tensor, "n joint 2"],
    *,
    skeleton: str = "h36m17",
    swap: Float[np.ndarray, " joint"] | None = None,
    min_samples: int = MIN_SAMPLES,
) -> ErrorModel:
    """The single-Gaussian rival of Table 2 in closed form: mean and standard deviation per joint and axis.

    Errors beyond ±50 px are clipped to the box first, so that both kinds of model see the same range. ValueError as
    in `fit_mixture`.
    """
    errors = np.clip(_checked(errors, skeleton, min_samples), -HALF_RANGE_PX, HALF_RANGE_PX)
    mean, sigma = np.nanmean(errors, axis=0), np.maximum(np.nanstd(errors, axis=0), _SIGMA_FLOOR_PX)
    inlier = np.ones(errors.shape[1])
    swap = np.zeros_like(inlier) if swap is None else swap
    return ErrorModel(kind="gaussian", skeleton=skeleton, mean_px=mean, sigma_px=sigma, inlier=inlier, swap=swap)


def _trace(errors: np.ndarray, history: np.ndarray, iterations: np.ndarray, converged: np.ndarray) -> FitTrace:
    outside = (np.abs(errors) > HALF_RANGE_PX).any(-1).sum(0)
    samples = (~np.isnan(errors[..., 0])).sum(0)
    return FitTrace(
        log_likelihood=history, iterations=iterations, converged=converged, samples=samples, outside=outside
    )


def _checked(errors: np.ndarray | Tensor, skeleton: str, min_samples: int) -> np.ndarray:
    """Errors as float64 (n, J, 2) with both coordinates NaN where missing, every joint seen often enough."""
    joints, array = get_skeleton(skeleton).joints, error_array(errors)
    if array.shape[1] != len(joints):
        raise ValueError(f"errors: expected (n, {len(joints)}, 2) for {skeleton}, got {array.shape}")
    inside = (np.abs(array) <= HALF_RANGE_PX).all(-1).sum(0)
    few = [f"{name} ({count})" for name, count in zip(joints, inside, strict=True) if count < max(min_samples, 2)]
    if few:
        need = f"errors: expected at least {max(min_samples, 2)} samples within ±{HALF_RANGE_PX:.0f} crop px per joint"
        raise ValueError(f"{need}, got too few for {', '.join(few)}")
    return array


def _initial(errors: np.ndarray, init: str) -> tuple[np.ndarray, np.ndarray]:
    """Starting μ and σ from the errors within the box."""
    outside = (np.abs(errors) > HALF_RANGE_PX).any(-1, keepdims=True)
    errors = np.where(outside, np.nan, errors)
    if init == "gaussian":
        mean, sigma = np.nanmean(errors, axis=0), np.nanstd(errors, axis=0)
    else:
        low, mean, high = np.nanquantile(errors, (0.25, 0.5, 0.75), axis=0)
        sigma = 0.7413 * (high - low)
    return mean, np.maximum(sigma, _SIGMA_FLOOR_PX)


def _expectation(
    errors: np.ndarray, mean: np.ndarray, sigma: np.ndarray, inlier: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lines 3–8: membership η₁ (n, J), NaN where missing, and the mean log-likelihood (J,) of the same parameters."""
    inlier_part, total = log_mixture(errors, mean, sigma, inlier, HALF_RANGE_PX)
    return np.exp(inlier_part - total), np.nanmean(total, axis=0)


def _maximisation(errors: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines 9–12: μ, σ (diagonal Σ) and γ. The bounds of σ and γ are constraints, so the likelihood still rises."""
    total = np.maximum(np.nansum(weight, axis=0), np.finfo(np.float64).tiny)
    mean = np.nansum(weight[..., None] * errors, axis=0) / total[:, None]
    variance = np.nansum(weight[..., None] * (errors - mean) ** 2, axis=0) / total[:, None]
    inlier = total / (~np.isnan(weight)).sum(0)
    return mean, np.maximum(np.sqrt(variance), _SIGMA_FLOOR_PX), np.clip(inlier, *_INLIER_RANGE)


def fit_noise(
    detected: Keypoints,
    truth: Keypoints,
    *,
    skeleton: str | None = None,
    kind: Literal["mixture", "gaussian"] = "mixture",
    swaps: bool = True,
    min_samples: int = MIN_SAMPLES,
) -> tuple[ErrorModel, FitTrace]:
    """The error model of a detector from its 2D poses and the true ones of the same images, matched by frame and id.

    Both are converted by joint name to `skeleton` (default: the truth's). Where a frame holds one person in each file,
    ids do not matter. `swaps=False`: the paper's model, where an inversion is an outlier. InputError where nothing
    matches, image sizes differ or a joint has fewer than `min_samples` errors.
    """
    if detected.image_size != truth.image_size:
        raise InputError(f"fit_noise: expected the truth's image size {truth.image_size}, got {detected.image_size}")
    target = truth.skeleton if skeleton is None else get_skeleton(skeleton)
    pairs = list(_matched(detected, truth))
    if not pairs:
        raise InputError("fit_noise: no person of the detections has the frame index and id of one in the truth")
    found_px = _stacked([pair[0] for pair in pairs], detected.skeleton, target)
    true_px = _stacked([pair[1] for pair in pairs], truth.skeleton, target)
    swap = np.zeros(len(target))
    if swaps:
        found_px, swap = _unswapped(found_px, true_px, target)
    errors = error_array(errors_in_crop(found_px, true_px))
    try:
        if kind == "mixture":
            return fit_mixture(errors, skeleton=target.name, swap=swap, min_samples=min_samples)
        model = fit_gaussian(errors, skeleton=target.name, swap=swap, min_samples=min_samples)
    except ValueError as problem:
        raise InputError(f"fit_noise: {problem}") from problem
    none = np.zeros(len(target), dtype=np.int64)
    return model, _trace(errors, np.nanmean(log_likelihood(model, errors), axis=0)[None], none, none == 0)


def _matched(detected: Keypoints, truth: Keypoints) -> Iterator[tuple[PersonKeypoints, PersonKeypoints]]:
    true_people = {frame.index: frame.people for frame in truth.frames}
    for frame in detected.frames:
        people = true_people.get(frame.index, ())
        if len(frame.people) == len(people) == 1:
            yield frame.people[0], people[0]
            continue
        by_id = {person.id: person for person in people if person.id is not None}
        yield from ((person, by_id[person.id]) for person in frame.people if person.id in by_id)


def _stacked(people: list[PersonKeypoints], source: Skeleton, target: Skeleton) -> Float[Tensor, "n joint 2"]:
    points, _ = conversion(source, target).apply(np.stack([person.keypoints_px for person in people]), None)
    return torch.from_numpy(np.array(points, dtype=np.float64))


def _unswapped(
    found_px: Float[Tensor, "n joint 2"], true_px: Float[Tensor, "n joint 2"], skeleton: Skeleton
) -> tuple[Float[Tensor, "n joint 2"], Float[np.ndarray, " joint"]]:
    """Detections with recognised left/right swaps undone, and the swap probability per joint.

    Only pairs whose true joints lie 20 crop px apart can tell; a pair that never does gets the rate of all pairs.
    """
    flip = torch.tensor(skeleton.flip)
    scale = crop_scale(true_px)[:, None]

    def distance(points: Tensor, others: Tensor) -> Tensor:  # of both joints of the pair together, crop px
        squared = ((points - others) ** 2).sum(-1)
        return (squared + squared[:, flip]).sqrt() / scale

    apart = torch.linalg.vector_norm(true_px - true_px[:, flip], dim=-1) / scale >= _SWAP_MIN_SEPARATION_PX
    straight, crossed = distance(found_px, true_px), distance(found_px, true_px[:, flip])
    swapped = apart & (straight > _SWAP_FACTOR * crossed)  # NaN compares False
    telling = apart & ~torch.isnan(straight)
    pooled = swapped.sum() / telling.sum().clamp(min=1)
    rate = torch.where(telling.any(0), swapped.sum(0) / telling.sum(0).clamp(min=1), pooled)
    rate = torch.where(flip == torch.arange(len(flip)), 0.0, rate)
    return torch.where(swapped[..., None], found_px[:, flip], found_px), rate.double().numpy()
