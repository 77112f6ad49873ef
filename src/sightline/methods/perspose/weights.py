"""PersPose networks from their passports, loaded strictly."""

from __future__ import annotations

from pathlib import Path

from sightline.formats.weights import Passport, load_network, model_settings
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
    return load_network(name_or_path, METHOD, lambda passport: PersPose(PersPoseConfig(**model_settings(passport))))
