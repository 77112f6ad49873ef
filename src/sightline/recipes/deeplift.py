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
    other). With 44 wide directions these four alone would be noise: other people seem likelier by 6 nats than with 40,
    and are lifted worse (58.1 instead of 57.1 mm). The likelihood of other people rises by ever less with the number of
    components: at 40 directions by 1.6 nats from 3 to 6, by 1.4 from 6 to 12, by 0.2 from 12 to 16 (mean of the splits
    val and test, fits to 30,000 bodies), while the time of a lift grows with it. So the choice ends at 12.
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

    Five times as many bodies as 20,000 cost three times the time and make other people likelier by 0.1 nats (mean of
    the splits val and test); 6 components × 40 directions instead of 3 × 30 do by 10.
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
