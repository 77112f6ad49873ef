"""AbsPoseLifter networks from their passports, loaded strictly."""

from __future__ import annotations

from pathlib import Path

from sightline.errors import InputError
from sightline.formats.weights import Passport, find_passport, read_passport, read_weights
from sightline.methods.abspose.exact import check_partner
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.methods.abspose.partial import PartialConfig, PartialLifter

DEFAULT_WEIGHTS = "abspose-street"
PAPER_WEIGHTS = "abspose-mocap"
"""Weights of the paper's own network, which needs every joint."""


def load_abspose(name_or_path: str | Path = PAPER_WEIGHTS) -> tuple[AbsPoseLifter, Passport]:
    """Return a trained lifter in evaluation mode on the CPU, and its passport.

    Args:
        name_or_path: weights inside the package by name, or the path of a passport or its safetensors file.

    Raises:
        UsageError: if there are no such weights.
        InputError: if the files are broken or belong to another method or network.
    """
    network, passport = load_lifter(name_or_path)
    if not isinstance(network, AbsPoseLifter):
        raise InputError(f"{name_or_path}: expected weights of method 'abspose', got '{passport.method}'")
    return network, passport


_KINDS = {"abspose": (AbsPoseLifter, AbsPoseConfig), "abspose-partial": (PartialLifter, PartialConfig)}


def load_lifter(name_or_path: str | Path = DEFAULT_WEIGHTS) -> tuple[AbsPoseLifter | PartialLifter, Passport]:
    """Return a trained lifter of either kind in evaluation mode on the CPU, and its passport; errors as above."""
    path = find_passport(name_or_path)
    passport = read_passport(path)
    if passport.method not in _KINDS:
        raise InputError(f"{path}: expected weights of method 'abspose', got '{passport.method}'")
    network, config = _KINDS[passport.method]
    try:
        known = {name: tuple(value) if isinstance(value, list) else value for name, value in passport.model.items()}
        lifter = network(config(**known))
        lifter.load_state_dict(read_weights(passport, path.parent), strict=True)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: its network and its weights do not fit together ({reason})") from error
    return lifter.eval().requires_grad_(False), passport


def partner_of(network: PartialLifter, name_or_path: str | Path) -> AbsPoseLifter | None:
    """Return the lifter of exact keypoints that a partial lifter names, from beside its passport or the package.

    Args:
        network: the partial lifter.
        name_or_path: what it was loaded by.

    Raises:
        UsageError, InputError: as `load_abspose` does.
    """
    name = network.config.exact
    if name is None:
        return None
    beside = find_passport(name_or_path).parent / f"{name}.json"
    path = beside if beside.exists() else name
    partner, _ = load_abspose(path)
    try:
        check_partner(partner)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return partner
