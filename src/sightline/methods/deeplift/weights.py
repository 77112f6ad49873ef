"""Priors in files: tensors in half precision, the rest in their passport."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from sightline.errors import InputError
from sightline.formats.weights import Passport, find_passport, read_passport, read_weights
from sightline.methods.deeplift.alignment import Orientation
from sightline.methods.deeplift.gaussian import Gaussians
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.prior import PosePrior

METHOD: Final = "deeplift"
DEFAULT_PRIOR: Final = "deeplift-mocap"
"""The prior of upright people inside the package."""
ANY_PRIOR: Final = "deeplift-mocap-any"
"""The one of people in any orientation."""


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """What a passport tells of a prior beside its tensors."""

    orientation: Orientation
    size_m: float
    size_spread: float
    stature_m: float
    sigma_factor: float = 1.0
    """What the lifter's standard deviations are multiplied by to hold 68 % of the errors on other people."""
    sigma_factor_known: float = 1.0
    """The same where heights are given."""


def prior_tensors(prior: PosePrior) -> dict[str, Tensor]:
    """Return what is stored of a prior."""
    gaussians, shares = prior.mixture
    return {
        "shares": shares,
        "mean": gaussians.mean,
        "basis": gaussians.basis,
        "noise": gaussians.noise,
        "quantiles": prior.quantiles,
        "tilt": prior.tilt,
    }


def prior_config(prior: PosePrior) -> PriorConfig:
    """Return what a passport tells of a prior that is not calibrated yet."""
    return PriorConfig(
        orientation=prior.orientation,
        size_m=round(prior.size_m, 5),
        size_spread=round(prior.size_spread, 5),
        stature_m=round(prior.stature_m, 4),
    )


def prior_from(tensors: dict[str, Tensor], config: PriorConfig) -> PosePrior:
    """Put a prior together again.

    Raises:
        KeyError, ValueError: for tensors that are missing, or do not fit together.
    """
    stored = {name: value.double() for name, value in tensors.items()}
    unknown = sorted(stored.keys() - {"shares", "mean", "basis", "noise", "quantiles", "tilt"})
    if unknown:
        raise ValueError(f"expected no other tensors, got {', '.join(unknown)}")
    shares = stored["shares"] / stored["shares"].sum()
    facts = {name: value for name, value in asdict(config).items() if not name.startswith("sigma_factor")}
    return PosePrior(
        mixture=Mixture(Gaussians(stored["mean"], stored["basis"], stored["noise"]), shares),
        quantiles=stored["quantiles"],
        tilt=stored["tilt"],
        **facts,
    )


def as_stored(prior: PosePrior) -> PosePrior:
    """Return a prior as whoever loads it will have it, rounded to half precision."""
    tensors = {name: value.half().float() for name, value in prior_tensors(prior).items()}
    return prior_from(tensors, prior_config(prior))


def load_prior(name_or_path: str | Path = DEFAULT_PRIOR) -> tuple[PosePrior, PriorConfig, Passport]:
    """Return a fitted prior and what its passport tells of it.

    Args:
        name_or_path: a prior inside the package by name, or the path of a passport or its safetensors file.

    Raises:
        UsageError: if there is no such prior.
        InputError: if the files are broken or belong to another method.
    """
    path = find_passport(name_or_path)
    passport = read_passport(path)
    if passport.method != METHOD:
        raise InputError(f"{path}: expected a prior of method '{METHOD}', got '{passport.method}'")
    try:
        config = PriorConfig(**passport.model)
        return prior_from(read_weights(passport, path.parent), config), config, passport
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: its prior and its tensors do not fit together ({error})") from error
