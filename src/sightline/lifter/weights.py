"""Which weights a method takes, and the engine that weights belong to."""

from __future__ import annotations

from pathlib import Path

import torch

from sightline.engine import Engine
from sightline.errors import UsageError
from sightline.formats.weights import Passport, find_passport, read_passport
from sightline.gravity import Tilt
from sightline.methods.abspose.decode import RootRule
from sightline.methods.abspose.engines import PartialEngine, WholeEngine
from sightline.methods.abspose.partial import PartialLifter
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS, load_lifter, partner_of
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.methods.deeplift.weights import ANY_PRIOR, DEFAULT_PRIOR, METHOD, load_prior

METHODS = {"abspose": DEFAULT_WEIGHTS, METHOD: DEFAULT_PRIOR}
"""The methods that lift keypoints, and the weights that each takes where none are named."""


def weights_for(method: str, weights: str | Path | None, *, any_orientation: bool = False) -> str | Path:
    """Return the weights of a method: those that are named, or its own.

    Raises:
        UsageError: for a method that there is not, weights of another one, or people in any orientation where the
            method or the weights know upright ones only.
    """
    if method not in METHODS:
        raise UsageError(f"method: expected one of {', '.join(METHODS)}, got '{method}'")
    if any_orientation and method != METHOD:
        raise UsageError(f"any_orientation: expected method '{METHOD}' beside it, got '{method}'")
    if weights is None:
        return ANY_PRIOR if any_orientation else METHODS[method]
    passport = read_passport(find_passport(weights))
    known = passport.method.split("-")[0]
    if known in METHODS and known != method:
        raise UsageError(f"method: '{method}' cannot use the weights '{passport.name}' of method '{passport.method}'")
    if any_orientation and passport.model.get("orientation") != "any":
        raise UsageError(f"any_orientation: the weights '{passport.name}' know upright people only")
    return weights


def engine_of(
    weights: str | Path, device: torch.device, *, root: RootRule, flip: bool, tilt: Tilt | None
) -> tuple[Engine, Passport]:
    """Return the engine that weights belong to, and their passport.

    Raises:
        UsageError: for a rule of roots or a tilt that these weights do not know.
    """
    passport = read_passport(find_passport(weights))
    if root != "learned" and passport.method != "abspose":
        raise UsageError(f"root: the weights '{passport.name}' know only 'learned', got '{root}'")
    if passport.method == METHOD:
        prior, config, passport = load_prior(weights)
        if tilt is not None and prior.orientation == "any" and tilt.tried_rad != (0.0,):
            raise UsageError(f"tilts: '{passport.name}' tries all orientations of people, which no tilt adds to")
        return DeepLiftEngine(prior, config, tilt=tilt), passport
    if tilt is not None:
        raise UsageError(f"tilt: the weights '{passport.name}' do not ask how the camera is tilted")
    network, passport = load_lifter(weights)
    if isinstance(network, PartialLifter):
        return PartialEngine(network, device, flip=flip, exact=partner_of(network, weights)), passport
    return WholeEngine(network, device, root=root, flip=flip), passport
