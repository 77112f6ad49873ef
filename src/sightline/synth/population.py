"""Who is in the pictures: bodies of both sexes and all ages, as tall as people are.

Statures follow growth references (WHO for children; about 1.76 ± 0.07 m for men and 1.63 ± 0.065 m for women), and
Anny's phenotype `height` is solved for them by the statures of its shortest and tallest bodies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

_YEARS: Final = (0.0, 1.0, 4.0, 11.0, 16.0, 18.0, 64.0, 110.0)
_AGES: Final = (0.0, 0.05, 0.215, 0.415, 0.67, 0.77, 0.83, 1.0)
"""Ages in years, and the phenotype `age` of Anny that looks like them (its package's own calibration)."""

_GROWTH_YEARS: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 60.0, 90.0)
_MEN_M: Final = (0.76, 0.87, 0.96, 1.03, 1.10, 1.16, 1.275, 1.385, 1.50, 1.64, 1.73, 1.76, 1.755, 1.71)
_WOMEN_M: Final = (0.745, 0.86, 0.95, 1.03, 1.095, 1.15, 1.27, 1.385, 1.515, 1.595, 1.625, 1.63, 1.62, 1.57)

_TABLE_AGES: Final = (0.0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1.0)


@dataclass(frozen=True, kw_only=True)
class Population:
    """Shares of people; the rest are adults from 15 to 65."""

    child_share: float = 0.15
    """Of children from 2 to 15 years."""
    old_share: float = 0.15
    """Of people from 65 to 90 years."""
    female_share: float = 0.5

    def __post_init__(self) -> None:
        shares = (self.child_share, self.old_share, self.female_share)
        if not all(0 <= share <= 1 for share in shares) or self.child_share + self.old_share > 1:
            raise ValueError(f"population: expected shares from 0 to 1 that leave room for adults, got {shares}")


def sample_shape(rng: np.random.Generator, population: Population = Population()) -> Float[np.ndarray, "6"]:
    """Draw somebody: Anny's phenotypes gender, age, muscle, weight, height, proportions, each from 0 to 1."""
    group = rng.random()
    if group < population.child_share:
        years = rng.uniform(2, 15)
    elif group < population.child_share + population.old_share:
        years = rng.uniform(65, 90)
    else:
        years = rng.uniform(15, 65)
    female = rng.random() < population.female_share
    gender = float(np.clip(rng.beta(1.2, 9), 0, 0.45))
    gender = 1 - gender if female else gender
    if years < 15:
        muscle, weight = rng.uniform(0.3, 0.65), np.clip(rng.normal(0.48, 0.16), 0.1, 0.95)
    else:
        muscle = np.clip(rng.normal(0.5 if years < 65 else 0.4, 0.15), 0.1, 0.95)
        weight = np.clip(rng.normal(0.5 + 0.05 * (years > 40), 0.17), 0.08, 1.0)
    proportions = np.clip(rng.normal(0.5, 0.2), 0, 1)
    age = float(np.interp(years, _YEARS, _AGES))
    mean = np.interp(years, _GROWTH_YEARS, _WOMEN_M if female else _MEN_M)
    spread = 0.045 * mean if years < 15 else (0.063 if female else 0.068)
    stature = float(np.clip(rng.normal(mean, spread), mean - 2.3 * spread, mean + 2.3 * spread))
    low, high = statures(gender, age)
    height = float(np.clip((stature - low) / (high - low), 0, 1))
    return np.array([gender, age, muscle, weight, height, proportions], dtype=np.float32)


def years_of(age: float) -> float:
    """The age in years that a body of Anny's phenotype `age` looks like."""
    return float(np.interp(age, _AGES, _YEARS))


def statures(gender: float, age: float) -> tuple[float, float]:
    """Statures (m) of Anny's shortest and tallest bodies of a sex (0 male … 1 female) and age (phenotype)."""
    low, high = (
        float((1 - gender) * np.interp(age, _TABLE_AGES, men) + gender * np.interp(age, _TABLE_AGES, women))
        for men, women in _STATURES
    )
    return low, high


_STATURES: Final = (
    ((0.438, 0.714, 0.991, 1.177, 1.364, 1.349, 1.334), (0.438, 0.666, 0.896, 1.060, 1.224, 1.217, 1.211)),
    ((0.891, 1.413, 1.936, 2.195, 2.454, 2.438, 2.423), (0.891, 1.366, 1.840, 2.077, 2.313, 2.307, 2.301)),
)
"""Statures (m) of else mean bodies by `_TABLE_AGES`: of the shortest men and women, then of the tallest."""
