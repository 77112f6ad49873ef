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
    """The shipped prior of upright people: bodies of a population in the clips' poses, a million with their mirrors.

    Four of the 48 directions vary by under a millimetre, because joints hang together (the hips lie opposite each
    other). With 44 wide directions these four alone would be the noise, which then says nothing of the others; so there
    are 40. The likelihood of validation people for each number of components is in the passport (`choices`): at 12 it
    rises by less than a nat per three more, while the time of a lift grows in proportion. So the choice ends there.
    """
    return PriorRunConfig(
        name="deeplift-mocap",
        fit=FitConfig(components=6, basis=40),
        people=PeopleConfig(population_share=0.6, recombined_share=0.3, turn_std=0.05),
        poses=500_000,
        components=(6, 9, 12),
        bases=(40,),
    )


def deeplift_mocap_any() -> PriorRunConfig:
    """The same for people in any orientation: upside down, lying, doing push-ups.

    Its size is given, not chosen: turning freely takes most of the time of a fit.
    """
    upright = deeplift_mocap()
    return replace(
        upright,
        name="deeplift-mocap-any",
        fit=replace(upright.fit, orientation="any", sample=40_000),
        poses=100_000,
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
