"""All recipes by name."""

from __future__ import annotations

from collections.abc import Callable

from sightline.recipes import abspose, joints, lcrnet, partial, perspose
from sightline.training.config import (
    EstimatorRunConfig,
    LcrNetRunConfig,
    LifterConfig,
    MachineRunConfig,
    PartialRunConfig,
    PersPoseRunConfig,
)

AnyConfig = (
    LifterConfig | PartialRunConfig | PersPoseRunConfig | LcrNetRunConfig | EstimatorRunConfig | MachineRunConfig
)

RECIPES: dict[str, Callable[[], AnyConfig]] = {
    **abspose.RECIPES,
    **partial.RECIPES,
    **perspose.RECIPES,
    **lcrnet.RECIPES,
    **joints.RECIPES,
}
