"""What a 2D pose detector gets wrong, as a distribution to draw training input from (AbsPoseLifter, section 4.2).

Unit of every error here: pixels of the **256-pixel crop**. A person's crop is a square around the tight box of the true
2D joints, side = ``BOX_FACTOR`` × max(width, height), resized to 256 × 256. One model so serves people of every size.

Per joint, equation 8: p(e) = γ N(e; μ, diag σ²) + (1 − γ) / v with v = 100 × 100. Beyond ±50 px the Gaussian is taken
as zero and the uniform density kept at 1/v: such an error is an outlier for certain. On top of the paper's model, a
left and a right joint may be exchanged. Densities are NumPy in float64, sampling is torch. `noise.py` fits the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import InputError
from sightline.formats.strict import (
    check_keys,
    get_array,
    get_choice,
    get_integer,
    get_number,
    get_object,
    load_json,
    place,
    write_json,
)
from sightline.skeleton import SKELETONS, get_skeleton

CROP_PX = 256.0
BOX_FACTOR = 1.25
HALF_RANGE_PX = 50.0
FORMAT, VERSION = "sightline/error_model", 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ErrorModel:
    """A 2D detector's error per joint, in pixels of the person's 256-pixel crop (equation 8).

    `mean_px`, `sigma_px`: the Gaussian's μ and σ (J, 2). `inlier`: γ (J,); ones for kind "gaussian": no outliers.
    `swap`: probability (J,) that a joint is exchanged with its mirror joint, equal within a pair and 0 on the midline.
    Arrays become read-only float64; anything inconsistent raises ValueError.
    """

    kind: Literal["mixture", "gaussian"]
    skeleton: str
    mean_px: Float[np.ndarray, "joint 2"]
    sigma_px: Float[np.ndarray, "joint 2"]
    inlier: Float[np.ndarray, " joint"]
    swap: Float[np.ndarray, " joint"]
    half_range_px: float = HALF_RANGE_PX
    crop_px: float = CROP_PX

    def __post_init__(self) -> None:
        """Freeze the arrays and check them."""
        skeleton = get_skeleton(self.skeleton)
        count = len(skeleton)
        shapes = {"mean_px": (count, 2), "sigma_px": (count, 2), "inlier": (count,), "swap": (count,)}
        for name, shape in shapes.items():
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name}: expected finite numbers {shape} for {self.skeleton}, got {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        flip = np.array(skeleton.flip)
        checks = {
            f"kind: expected 'mixture' or 'gaussian', got {self.kind!r}": self.kind in ("mixture", "gaussian"),
            "sigma_px: expected positive numbers": (self.sigma_px > 0).all(),
            "inlier: expected probabilities": ((self.inlier >= 0) & (self.inlier <= 1)).all(),
            "inlier: expected 1 everywhere for kind 'gaussian'": self.kind == "mixture" or (self.inlier == 1).all(),
            "swap: expected probabilities": ((self.swap >= 0) & (self.swap <= 1)).all(),
            "swap: expected the same for both joints of a pair": (self.swap == self.swap[flip]).all(),
            "swap: expected 0 on the midline": (self.swap[flip == np.arange(count)] == 0).all(),
            "half_range_px: expected a positive number": 0 < self.half_range_px < math.inf,
            "crop_px: expected a positive number": 0 < self.crop_px < math.inf,
        }
        for message, holds in checks.items():
            if not holds:
                raise ValueError(message)


# --- errors in the crop -----------------------------------------------------------------------------------------------


def crop_scale(keypoints_px: Float[Tensor, "*batch joint 2"], *, crop_px: float = CROP_PX) -> Float[Tensor, "*batch"]:
    """Image pixels per pixel of the person's crop: BOX_FACTOR · max(width, height) of the visible joints / crop_px.

    NaN joints are left out. NaN where no two distinct joints are visible: such a person has no size.
    """
    missing = torch.isnan(keypoints_px)
    high = keypoints_px.masked_fill(missing, -math.inf).amax(-2)
    low = keypoints_px.masked_fill(missing, math.inf).amin(-2)
    side = (high - low).amax(-1)
    return (side * (BOX_FACTOR / crop_px)).masked_fill(~(side > 0), math.nan)


@overload
def errors_in_crop(detected_px: np.ndarray, true_px: np.ndarray, *, crop_px: float = CROP_PX) -> np.ndarray: ...
@overload
def errors_in_crop(detected_px: Tensor, true_px: Tensor, *, crop_px: float = CROP_PX) -> Tensor: ...
def errors_in_crop(
    detected_px: Float[np.ndarray, "... 2"] | Float[Tensor, "... 2"],
    true_px: Float[np.ndarray, "*batch joint 2"] | Float[Tensor, "*batch joint 2"],
    *,
    crop_px: float = CROP_PX,
) -> Float[np.ndarray, "*batch joint 2"] | Float[Tensor, "*batch joint 2"]:
    """Detected − true, image pixels in, crop pixels out (NumPy or torch); NaN where joint or size is missing."""
    if detected_px.shape != true_px.shape:
        raise ValueError(f"detected_px: expected {tuple(true_px.shape)} as true_px, got {tuple(detected_px.shape)}")
    if isinstance(detected_px, np.ndarray) or isinstance(true_px, np.ndarray):
        found, true = (torch.from_numpy(np.array(points)) for points in (detected_px, true_px))
        return errors_in_crop(found, true, crop_px=crop_px).numpy()
    errors = (detected_px - true_px) / crop_scale(true_px, crop_px=crop_px)[..., None, None]
    return errors.masked_fill(torch.isnan(errors).any(-1, keepdim=True), math.nan)


def log_likelihood(
    model: ErrorModel, errors: Float[np.ndarray, "n joint 2"] | Float[Tensor, "n joint 2"]
) -> Float[np.ndarray, "n joint"]:
    """The logarithm of equation 8 (nats, per px²) for errors in crop pixels; NaN for missing joints. Without swaps."""
    errors = error_array(errors)
    if errors.shape[1] != len(model.inlier):
        raise ValueError(f"errors: expected {len(model.inlier)} joints for {model.skeleton}, got {errors.shape[1]}")
    if model.kind == "gaussian":
        return log_gaussian(np.clip(errors, -model.half_range_px, model.half_range_px), model.mean_px, model.sigma_px)
    return log_mixture(errors, model.mean_px, model.sigma_px, model.inlier, model.half_range_px)[1]


def log_gaussian(errors: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Logarithm of N(e; μ, diag σ²) of errors (n, J, 2): (n, J), NaN for missing joints."""
    return -0.5 * (((errors - mean) / sigma) ** 2).sum(-1) - np.log(sigma).sum(-1) - math.log(2 * math.pi)


def log_mixture(
    errors: np.ndarray, mean: np.ndarray, sigma: np.ndarray, inlier: np.ndarray, half: float
) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of equation 8's first summand, the inliers', and of the sum: (n, J) each, NaN for missing joints."""
    missing = np.isnan(errors[..., 0])
    errors = np.where(missing[..., None], 0.0, errors)
    outside = (np.abs(errors) > half).any(-1)
    with np.errstate(divide="ignore"):  # log 0 = −inf is meant
        log_outlier, log_inlier = np.log1p(-inlier) - 2 * math.log(2 * half), np.log(inlier)
    log_inlier = log_inlier + np.where(outside, -np.inf, log_gaussian(errors, mean, sigma))
    total = np.logaddexp(log_outlier, log_inlier)
    return np.where(missing, np.nan, log_inlier), np.where(missing, np.nan, total)


def error_array(errors: np.ndarray | Tensor) -> np.ndarray:
    """Errors as a new float64 array where a joint with one missing coordinate misses both. ValueError if infinite."""
    array = errors.detach().cpu().numpy() if isinstance(errors, Tensor) else errors
    array = np.array(array, dtype=np.float64)
    if np.isinf(array).any():
        raise ValueError("errors: expected finite numbers or NaN (missing), got an infinite one")
    array[np.isnan(array).any(-1)] = np.nan
    return array


# --- sampling ---------------------------------------------------------------------------------------------------------


def sample(
    model: ErrorModel, true_px: Float[Tensor, "*batch joint 2"], generator: torch.Generator
) -> Float[Tensor, "*batch joint 2"]:
    """A detection drawn for every true 2D pose (image pixels in and out), on its device and in its dtype.

    Gaussian inliers, outliers uniform in ±50 crop px, then left/right swaps. `generator` lives on the same device;
    equal states draw equal samples. A missing joint (NaN) stays missing, and of a person without size (`crop_scale`)
    every joint is.
    """
    if true_px.shape[-2] != len(model.inlier):
        expected = f"(..., {len(model.inlier)}, 2) for {model.skeleton}"
        raise ValueError(f"true_px: expected {expected}, got {tuple(true_px.shape)}")
    place = {"dtype": true_px.dtype, "device": true_px.device}
    mean, sigma = torch.tensor(model.mean_px, **place), torch.tensor(model.sigma_px, **place)
    errors = torch.randn(true_px.shape, generator=generator, **place).mul_(sigma).add_(mean)
    if model.kind == "mixture":
        box = torch.rand(true_px.shape, generator=generator, **place).sub_(0.5).mul_(2 * model.half_range_px)
        outlier = torch.rand(true_px.shape[:-1], generator=generator, **place) >= torch.tensor(model.inlier, **place)
        errors = torch.where(outlier[..., None], box, errors)
    scale = crop_scale(true_px, crop_px=model.crop_px)[..., None, None]
    return _with_swaps(model, torch.addcmul(true_px, errors, scale), generator)


def _with_swaps(
    model: ErrorModel, detected_px: Float[Tensor, "*batch joint 2"], generator: torch.Generator
) -> Float[Tensor, "*batch joint 2"]:
    flip = get_skeleton(model.skeleton).flip
    pairs = [(a, b) for a, b in enumerate(flip) if a < b and model.swap[a] > 0]
    if not pairs:
        return detected_px
    left, right = (list(side) for side in zip(*pairs, strict=True))
    place = {"dtype": detected_px.dtype, "device": detected_px.device}
    drawn = torch.rand((*detected_px.shape[:-2], len(pairs)), generator=generator, **place)
    a, b = detected_px[..., left, :], detected_px[..., right, :]
    swapped = drawn < torch.tensor(model.swap[left], **place)
    swapped = (swapped & ~torch.isnan(a + b).any(-1))[..., None]
    result = detected_px.clone()
    result[..., left, :], result[..., right, :] = torch.where(swapped, b, a), torch.where(swapped, a, b)
    return result


# --- files ------------------------------------------------------------------------------------------------------------

_JOINT_KEYS = ("mean_px", "sigma_px", "inlier", "swap")


def write_error_model(model: ErrorModel, path: str | Path) -> None:
    """The model as JSON (docs/schemas/error_model.schema.json). InputError where it cannot be written."""
    rows = zip(*(getattr(model, key).tolist() for key in _JOINT_KEYS), strict=True)
    joints = get_skeleton(model.skeleton).joints
    head = {"format": FORMAT, "version": VERSION, "kind": model.kind, "skeleton": model.skeleton}
    sizes = {"crop_px": model.crop_px, "half_range_px": model.half_range_px}
    table = {name: dict(zip(_JOINT_KEYS, row, strict=True)) for name, row in zip(joints, rows, strict=True)}
    write_json({**head, **sizes, "joints": table}, path, indent=1)


def read_error_model(path: str | Path) -> ErrorModel:
    """The model in a file of `write_error_model`. InputError, with the place, for whatever the format does not know."""
    content, where = load_json(path), str(path)
    check_keys(content, ("format", "version", "kind", "skeleton", "crop_px", "half_range_px", "joints"), (), where)
    get_choice(content, "format", (FORMAT,), where)
    if get_integer(content, "version", where) != VERSION:
        raise InputError(
            f"{place(where, 'version')}: expected {VERSION}, got {content['version']}: from another release"
        )
    skeleton = get_skeleton(get_choice(content, "skeleton", SKELETONS, where))
    table = get_object(content, "joints", where)
    where_joints = place(where, "joints")
    check_keys(table, skeleton.joints, (), where_joints)
    rows = [_read_joint(get_object(table, name, where_joints), place(where_joints, name)) for name in skeleton.joints]
    kind = get_choice(content, "kind", ("mixture", "gaussian"), where)
    crop_px, half_range_px = (get_number(content, key, where, above=0) for key in ("crop_px", "half_range_px"))
    arrays = {key: np.array([row[key] for row in rows]) for key in _JOINT_KEYS}
    try:
        return ErrorModel(kind=kind, skeleton=skeleton.name, crop_px=crop_px, half_range_px=half_range_px, **arrays)
    except ValueError as problem:
        raise InputError(f"{where}: {problem}") from problem


def _read_joint(row: dict, where: str) -> dict:
    check_keys(row, _JOINT_KEYS, (), where)
    vectors = {key: get_array(row, key, (2,), where) for key in ("mean_px", "sigma_px")}
    return vectors | {key: get_number(row, key, where, low=0, high=1) for key in ("inlier", "swap")}
