"""All recipes by name."""

from __future__ import annotations

from collections.abc import Callable

from sightline.recipes import abspose, partial
from sightline.training.config import LifterConfig, PartialRunConfig

RECIPES: dict[str, Callable[[], LifterConfig | PartialRunConfig]] = {**abspose.RECIPES, **partial.RECIPES}
