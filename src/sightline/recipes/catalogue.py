"""All recipes by name."""

from __future__ import annotations

from collections.abc import Callable

from sightline.recipes import abspose, lcrnet, partial, perspose
from sightline.training.config import LcrNetRunConfig, LifterConfig, PartialRunConfig, PersPoseRunConfig

RECIPES: dict[str, Callable[[], LifterConfig | PartialRunConfig | PersPoseRunConfig | LcrNetRunConfig]] = {
    **abspose.RECIPES,
    **partial.RECIPES,
    **perspose.RECIPES,
    **lcrnet.RECIPES,
}
