"""Colours and patterns that cloth really has."""

from __future__ import annotations

from typing import Final

import numpy as np

from sightline.synth.figure import Material
from sightline.synth.skin import RGB, linear

_NEUTRAL: Final = (
    "#17181b", "#202226", "#2b2d31", "#3b3d41", "#55585c", "#76797c", "#9b9c9b", "#c3c2bd", "#e4e2dc", "#efeeea",
    "#1d2433", "#26304a", "#33405c",
)  # fmt: skip
_MUTED: Final = (
    "#5b4636", "#7a624b", "#9a8467", "#b9a584", "#d5c7a9", "#4a5240", "#66705a", "#8a937b", "#3f5560", "#5f7a86",
    "#8fa6ae", "#6b3138", "#8a4a44", "#a9746a", "#c9a19a", "#57466a", "#7d6b8d", "#2f4a3d", "#b58b4c", "#c8b7c0",
)  # fmt: skip
_BRIGHT: Final = (
    "#b8232f", "#d2473c", "#e07a2f", "#e9b83a", "#f0d869", "#3f8f4f", "#2b7a78", "#2f6fb5", "#4f9bd9", "#7a4fa3",
    "#c94f8a", "#e89ab5", "#9fd3c7", "#1f4fa0", "#f2f2ee",
)  # fmt: skip
_TROUSERS: Final = (
    "#17181b", "#1f2226", "#2c2f34", "#40444a", "#23304a", "#2f3d57", "#8a7a60", "#b3a07d", "#5a4a3a", "#6f7266",
    "#4b5140", "#8d8f91",
)  # fmt: skip
_DENIM: Final = ("#1e2a44", "#2b3f63", "#3d5a86", "#5f7fa6", "#7f9cbd", "#2a2d33", "#a9bccf")
_LEATHER: Final = ("#15130f", "#1c1814", "#3a2619", "#56371f", "#7a5232", "#e9e6df", "#6e6a63")


def some_colour(rng: np.random.Generator, *, bright: float = 0.3) -> RGB:
    """A colour of cloth: mostly dark or quiet, with the chance `bright` a lively one."""
    chance = rng.random()
    codes = _BRIGHT if chance < bright else _NEUTRAL if chance < bright + 0.55 * (1 - bright) else _MUTED
    return _varied(rng, codes)


def _varied(rng: np.random.Generator, codes: tuple[str, ...]) -> RGB:
    colour = np.array(linear(codes[rng.integers(len(codes))])) * rng.uniform(0.8, 1.15) * rng.normal(1, 0.04, 3)
    red, green, blue = np.clip(colour, 0.004, 0.88).tolist()
    return red, green, blue


def _shaded(rng: np.random.Generator, colour: RGB) -> RGB:
    """A second colour that goes with the first: its lighter or darker shade, or white, black or another."""
    chance = rng.random()
    if chance < 0.4:
        factor = rng.uniform(0.25, 0.55) if sum(colour) > 0.5 else rng.uniform(2.5, 5)
        red, green, blue = (min(c * factor + 0.01, 0.85) for c in colour)
        return red, green, blue
    if chance < 0.75:
        return _varied(rng, ("#efeeea", "#17181b", "#e4e2dc", "#26304a"))
    return some_colour(rng, bright=0.5)


def cloth(
    rng: np.random.Generator, *, patterned: float, patterns: tuple[tuple[str, float], ...], bright: float = 0.3,
    child: bool = False, colour: RGB | None = None,
) -> Material:  # fmt: skip
    """A cloth, with the chance `patterned` of one of `patterns` (names with how often each comes)."""
    first = some_colour(rng, bright=bright + 0.25 * child) if colour is None else colour
    pattern = "plain"
    if rng.random() < patterned:
        weights = np.array([weight for _, weight in patterns])
        pattern = patterns[rng.choice(len(patterns), p=weights / weights.sum())][0]
    scales = {"stripes": (0.02, 0.09), "checks": (0.025, 0.09), "dots": (0.03, 0.06), "knit": (0.006, 0.016),
              "camouflage": (0.07, 0.13), "floral": (0.04, 0.09), "print": (0.1, 0.2)}  # fmt: skip
    low, high = scales.get(pattern, (0.05, 0.1))
    return Material(
        kind="cloth",
        colours=(first, _shaded(rng, first), _shaded(rng, first)),
        pattern=pattern,
        scale_m=float(np.exp(rng.uniform(np.log(low), np.log(high)))),
        angle=0.0 if rng.random() < 0.8 else float(np.pi / 2),
        gloss=float(rng.uniform(0, 0.05)),
        roughness=float(rng.uniform(0.5, 0.9)),
        bump=float(rng.uniform(0.02, 0.08)),
        seed=int(rng.integers(1_000_000)),
    )


def trouser_cloth(rng: np.random.Generator, *, patterned: float) -> Material:
    """Denim or plain cloth in the colours of trousers."""
    if rng.random() < 0.45:
        first = _varied(rng, _DENIM)
        worn = (min(1.9 * first[0] + 0.03, 0.7), min(1.9 * first[1] + 0.035, 0.7), min(1.8 * first[2] + 0.045, 0.7))
        seed = int(rng.integers(1_000_000))
        pattern = "denim" if rng.random() < max(patterned, 0.0) * 2 else "plain"
        return Material(kind="cloth", colours=(first, worn), pattern=pattern, bump=0.05, roughness=0.7, seed=seed)
    quiet = (("checks", 1.0), ("camouflage", 1.0), ("stripes", 0.4))
    return cloth(rng, patterned=0.25 * patterned, patterns=quiet, colour=_varied(rng, _TROUSERS))


def leather(rng: np.random.Generator, sole: RGB | None = None) -> Material:
    """Leather, or what shoes are made of; the second colour is the sole's."""
    first = _varied(rng, _LEATHER)
    return Material(
        kind="leather",
        colours=(first, first if sole is None else sole),
        gloss=float(rng.uniform(0.05, 0.3)),
        roughness=float(rng.uniform(0.25, 0.5)),
        bump=0.15,
        seed=int(rng.integers(1_000_000)),
    )


def trainer(rng: np.random.Generator) -> Material:
    """A sports shoe with a light or dark sole."""
    sole = _varied(rng, ("#efeeea", "#e4e2dc", "#17181b", "#8a7a60", "#efeeea"))
    first = some_colour(rng, bright=0.3) if rng.random() < 0.6 else _varied(rng, ("#efeeea", "#17181b", "#e4e2dc"))
    return Material(
        kind="leather", colours=(first, sole), gloss=0.06, roughness=0.6, bump=0.2, seed=int(rng.integers(1_000_000))
    )
