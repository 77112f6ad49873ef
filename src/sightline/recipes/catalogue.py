"""All recipes by name."""

from __future__ import annotations

from collections.abc import Callable

from sightline.recipes import abspose, partial, perspose
from sightline.training.config import LifterConfig, PartialRunConfig, PersPoseRunConfig

RECIPES: dict[str, Callable[[], LifterConfig | PartialRunConfig | PersPoseRunConfig]] = {
    **abspose.RECIPES,
    **partial.RECIPES,
    **perspose.RECIPES,
}
