"""Fits of the prior of human poses (Lifting from the Deep)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sightline.data.people import PeopleConfig
from sightline.methods.deeplift.mixture import FitConfig
from sightline.training.prior import PriorRunConfig


def deeplift_clips() -> PriorRunConfig:
    """The paper's fit: the clips' own bodies, three components."""
    return PriorRunConfig(name="deeplift-clips", fit=FitConfig(components=3, basis=30))


def deeplift_mocap() -> PriorRunConfig:
    """The shipped prior of upright people: bodies of a population in the clips' poses, a million with their mirrors."""
    return PriorRunConfig(
        name="deeplift-mocap",
        fit=FitConfig(components=3, basis=30),
        people=PeopleConfig(population_share=0.6, recombined_share=0.3, turn_std=0.05),
        poses=500_000,
        components=(3, 6),
        bases=(20, 30, 40),
    )


def deeplift_mocap_any() -> PriorRunConfig:
    """The same for people in any orientation: upside down, lying, doing push-ups."""
    upright = deeplift_mocap()
    return replace(
        upright,
        name="deeplift-mocap-any",
        fit=replace(upright.fit, orientation="any", iterations=25),
        poses=20_000,
        components=(),
        bases=(),
    )


def deeplift_smoke() -> PriorRunConfig:
    """A few seconds: shows that everything runs."""
    return PriorRunConfig(name="deeplift-smoke", fit=FitConfig(components=2, basis=8, sample=4_000, iterations=8))


RECIPES: dict[str, Callable[[], PriorRunConfig]] = {
    "deeplift-mocap": deeplift_mocap,
    "deeplift-mocap-any": deeplift_mocap_any,
    "deeplift-clips": deeplift_clips,
    "deeplift-smoke": deeplift_smoke,
}
