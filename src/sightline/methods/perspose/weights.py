"""PersPose networks from their passports, loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightline.errors import InputError
from sightline.formats.weights import Passport, find_passport, read_passport, read_weights
from sightline.methods.perspose.model import PersPose, PersPoseConfig

METHOD = "perspose"


def load_perspose(name_or_path: str | Path) -> tuple[PersPose, Passport]:
    """Return a trained network in evaluation mode on the CPU, and its passport.

    Args:
        name_or_path: weights inside the package by name, or the path of a passport or its safetensors file.

    Raises:
        UsageError: if there are no such weights.
        InputError: if the files are broken or belong to another method or network.
    """
    path = find_passport(name_or_path)
    passport = read_passport(path)
    if passport.method != METHOD:
        raise InputError(f"{path}: expected weights of method '{METHOD}', got '{passport.method}'")
    try:
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in passport.model.items()
        }
        network = PersPose(PersPoseConfig(**known))
        network.load_state_dict(read_weights(passport, path.parent), strict=True)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: its network and its weights do not fit together ({reason})") from error
    return network.eval().requires_grad_(False), passport
