"""The cascade's 2D estimators from their passports, loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sightline.formats.weights import Passport, load_network, model_settings
from sightline.methods.abspose.estimator import EstimatorConfig, JointEstimator

METHOD: Final = "integral"


def load_estimator(name_or_path: str | Path) -> tuple[JointEstimator, Passport]:
    """Return a trained network in evaluation mode on the CPU, and its passport.

    Args:
        name_or_path: weights inside the package by name, or the path of a passport or its safetensors file.

    Raises:
        UsageError: if there are no such weights.
        InputError: if the files are broken or belong to another method or network.
    """
    return load_network(
        name_or_path, METHOD, lambda passport: JointEstimator(EstimatorConfig(**model_settings(passport)))
    )
