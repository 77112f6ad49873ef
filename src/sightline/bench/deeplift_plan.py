"""What `deeplift` measures: priors, whom they lift, and how. Names are those in the report's rows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from sightline.bench.deeplift_runs import Effort, Study, Test
from sightline.bench.deeplift_search import Choice, Search
from sightline.bench.deeplift_views import NOISE, NoiseOf, Scene
from sightline.data.virtual import CameraConfig, PeopleConfig
from sightline.methods.deeplift.map_lifter import MapConfig
from sightline.methods.deeplift.mixture import FitConfig, Turning

SIZES = (5, 10, 20, 30, 40, 47)
GROWN = (10, 20, 30, 47)
LARGER = ((6, 20), (6, 30), (12, 20), (12, 30))
ROTATIONS = (8, 20, 40, 80, 160)
TURNINGS: tuple[Turning, ...] = ("always", "once", "hips")
FIT_SEEDS = (0, 1, 2)
"""By whom poses are turned is compared over several fits: EM ends in optima that differ by as much."""
TILTS_DEG = (-10, 0, 10, 20, 30)

WEAK, LEVEL, PITCHED, TILTED, UNTOLD = (
    "weak perspective, level",
    "level, 4–7 m",
    "looking down by 10°, known, 2.5–7 m",
    "looking down by −10…30°, known, 2.5–7 m",
    "looking down by −10…30°, taken as level, 2.5–7 m",
)
OTHERS = "level, 4–7 m, bodies varied"
SOURCES: tuple[NoiseOf, ...] = ("box", "size")


def noisy(scene: str, of: NoiseOf) -> str:
    """The name of the same views with noise."""
    return f"{scene}; noise {100 * NOISE:.0f} % of the " + ("box's longer side" if of == "box" else "body size")


def scenes() -> dict[str, Scene]:
    """Whom the priors lift, by name."""
    looking = (math.radians(-10), math.radians(30))
    plain = {
        WEAK: Scene(),
        LEVEL: Scene(cameras=CameraConfig(depth_m=(4.0, 7.0))),
        PITCHED: Scene(cameras=CameraConfig(pitch=(math.radians(10), math.radians(10)))),
        TILTED: Scene(cameras=CameraConfig(pitch=looking)),
        UNTOLD: Scene(cameras=CameraConfig(pitch=looking), tilt_known=False),
    }
    with_noise = {
        noisy(name, of): replace(scene, noise=NOISE, noise_of=of) for name, scene in plain.items() for of in SOURCES
    }
    varied = {OTHERS: replace(plain[LEVEL], people=PeopleConfig())}
    return plain | with_noise | varied


def prior_name(components: int, basis: int, *, turning: Turning = "always", grow: bool = True, seed: int = 0) -> str:
    """A prior's name in rows."""
    parts = [f"{components} component{'s' if components > 1 else ''}, J = {basis}"]
    parts += {"always": [], "once": ["turned by the first component"], "hips": ["turned by the hips"]}[turning]
    parts += [] if grow else ["basis not grown"]
    return ", ".join(parts + ([f"fit seed {seed}"] if seed else []))


EIGHTY, BASIS_ONLY, DEFAULT = "80 rotations", "80 rotations, μ + W a", "all of it"
"""The paper's search, the paper's own answer, and the lifter as it comes."""
_LOW = 0.005
"""Standard deviation that keypoints without noise are taken to have, body sizes."""
_PLAIN = MapConfig(refine=False, perspective_rounds=0, noise=(_LOW,))


def size_tests() -> tuple[Test, ...]:
    """Without noise, refinement and perspective: μ + W a and the mean of the poses that landmarks leave possible."""
    return (
        Test(table="size", lifter=EIGHTY, how=_PLAIN, scenes=(WEAK,)),
        Test(table="size", lifter=BASIS_ONLY, how=Search(basis_only=True), scenes=(WEAK,)),
    )


def rotation_tests(effort: Effort) -> tuple[Test, ...]:
    """Few to many rotations, and those that refinement makes up for."""
    counts = (*ROTATIONS, effort.many)
    exhaustive = [
        Test(table="rotations", lifter=f"{count} rotations", how=Search(rotations=count), scenes=(WEAK,))
        for count in counts
    ]
    refined = [
        Test(table="rotations", lifter=f"{count} rotations, refined", scenes=(WEAK,),
             how=replace(_PLAIN, rotations=count, refine=True))
        for count in (20, 80)
    ]  # fmt: skip
    return (*exhaustive, *refined)


def noise_tests() -> tuple[Test, ...]:
    """What the lifter believes of the keypoints' noise."""
    seen = (WEAK, *(noisy(WEAK, of) for of in SOURCES))
    levels = {f"noise taken as {level:g}": (level,) for level in (_LOW, 0.01, 0.02, 0.03)}
    levels |= {"noise found among 3 levels": MapConfig().noise, "noise found among 4 levels": (0.005, 0.01, 0.02, 0.04)}
    return tuple(
        Test(table="noise", lifter=lifter, how=replace(_PLAIN, noise=noise), scenes=seen)
        for lifter, noise in levels.items()
    )


CHOICES: dict[str, Choice] = {
    "component by likelihood": "likelihood",
    "component by plain cost": "plain",
    "component by marginal likelihood": "marginal",
}


def choice_tests() -> tuple[Test, ...]:
    """How the component is chosen, with the noise known to be low or what it is."""
    seen = (WEAK, *(noisy(WEAK, of) for of in SOURCES))
    return tuple(
        Test(table="choice", lifter=f"{lifter}, noise taken as {level:g}", how=Search(choice=choice, noise=level),
             scenes=seen)
        for lifter, choice in CHOICES.items()
        for level in (_LOW, 0.03)
    )  # fmt: skip


def camera_tests() -> tuple[Test, ...]:
    """Cameras by what is known of their tilt; the lifter's parts, each left out."""
    plain = (LEVEL, PITCHED, TILTED, UNTOLD)
    with_noise = (*(noisy(name, "box") for name in plain), noisy(LEVEL, "size"))
    weak = replace(MapConfig(), perspective_rounds=0)
    tilts = tuple(math.radians(-tilt) for tilt in TILTS_DEG)

    def test(lifter: str, how: MapConfig, *seen: str) -> Test:
        return Test(table="cameras", lifter=lifter, how=how, scenes=seen)

    return (
        test(DEFAULT, MapConfig(), *plain, OTHERS, *with_noise),
        test("without perspective", weak, *plain, noisy(LEVEL, "box")),
        test("without refinement", MapConfig(refine=False), LEVEL, PITCHED),
        test("without both", replace(weak, refine=False), LEVEL, PITCHED),
        test("4 modes refined, the likeliest told", MapConfig(modes=4), LEVEL, UNTOLD),
        test("5 tilts tried", MapConfig(tilts_rad=tilts), UNTOLD, noisy(UNTOLD, "box")),
    )


def mode_tests() -> tuple[Test, ...]:
    """The error of the best of several modes, which an oracle picks."""
    eight = MapConfig(modes=8)
    weak = replace(eight, perspective_rounds=0)
    return tuple(
        Test(table="modes", lifter="best of 8 modes", how=how, scenes=seen, best_of=(1, 2, 4, 8))
        for how, seen in ((weak, (WEAK,)), (eight, (LEVEL, noisy(LEVEL, "box"))))
    )


def studies(effort: Effort) -> list[Study]:
    """Every prior with its tests, those that take longest first."""

    def study(components: int, basis: int, *tests: Test, drawn: bool = False, **changes: Any) -> Study:
        many = components > 3
        fit = FitConfig(
            components=components, basis=basis, iterations=effort.iterations, **changes,
            sample=FitConfig.sample if many else effort.sample,
        )  # fmt: skip
        every = effort.thinned if many else 1
        return Study(prior=prior_name(components, basis, **changes), fit=fit, tests=tests, every=every, drawn=drawn)

    size = size_tests()
    turned = tuple(replace(test, table="turning") for test in size[:1])
    grown = tuple(replace(test, table="growth") for test in size[:1])
    more: dict[tuple[int, int], tuple[Test, ...]] = {
        (3, 30): (*camera_tests(), *mode_tests(), *noise_tests(), *choice_tests(), *turned),
        (3, 20): (*rotation_tests(effort), *turned),
    }
    more |= {(1, basis): grown for basis in GROWN}
    found = [
        study(components, basis, *size, *more.get((components, basis), ()), drawn=(components, basis) == (3, 20))
        for components, basis in [(3, basis) for basis in (30, 20)] + [s for s in LARGER if s[0] <= effort.largest]
    ]
    found += [study(3, basis, *size) for basis in SIZES if basis not in (20, 30)]
    found += [study(3, 30, *turned, turning=turning) for turning in ("once", "hips")]
    found += [
        study(3, 20, *turned, turning=turning, seed=seed)
        for turning in TURNINGS
        for seed in FIT_SEEDS
        if (turning, seed) != ("always", 0)
    ]
    found += [study(1, basis, *size, *more.get((1, basis), ())) for basis in SIZES]
    return found + [study(1, basis, *grown, grow=False) for basis in GROWN]
