"""Perspective crops of keypoints (paper 000) before lifting networks, measured on held-out people.

One residual network, one loss, equal numbers of parameters; what differs is how the 2D pose is shown and in which frame
the answer is. The rivals are a network that sees the root-centred pose alone, as behind a plain crop, and one that is
told the location as well, as AbsPoseLifter is.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sightline.bench.abspose import summary
from sightline.bench.abspose_runs import in_processes
from sightline.bench.perspective_lifting_inputs import DEPTH_WEIGHT, Variant
from sightline.bench.perspective_lifting_runs import (
    ANGLES_DEG,
    EXACT,
    LEAST_SHARE,
    Calibration,
    Effort,
    Group,
    per_variant,
    run_group,
)
from sightline.bench.perspective_lifting_views import PICTURE_PX, Scene
from sightline.bench.report import Claim, Measured, Row

ROOT = Variant(name="root-centred")
LOCATION = Variant(name="root-centred + location", location=True)
LOCATION_RAYS = Variant(name="root-centred + location, in rays", location=True, rays=True)
PCL = Variant(name="PCL, 2D scale", turn="no_roll")
PCL_ROOT = Variant(name="PCL, 3D-root scale", turn="no_roll", scale="3d_root")
PCL_SHORTEST = Variant(name="PCL, 2D scale, shortest rotation", turn="shortest")
PCL_LOCATION = Variant(name="PCL + location", turn="no_roll", location=True)
CANONICAL = replace(LOCATION, name="root-centred + location → canonical depth", depth="canonical")
DISTANCE = replace(LOCATION_RAYS, name="root-centred + location, in rays → distance", depth="distance")
PCL_DISTANCE = replace(PCL, name="PCL → distance", depth="distance")
PCL_LOCATION_DISTANCE = replace(PCL_LOCATION, name="PCL + location → distance", depth="distance")

POSES = (ROOT, LOCATION, LOCATION_RAYS, PCL, PCL_ROOT, PCL_SHORTEST, PCL_LOCATION)
PLACED = (CANONICAL, DISTANCE, PCL_DISTANCE, PCL_LOCATION_DISTANCE)
"""Those that also say where the root is; poses and places in statures."""

WIDE, CENTRE, MIDDLE, NARROW = "wide", "wide, trained about the middle", "middle", "narrow"
FOCALS_PX = {WIDE: (500.0, 700.0), MIDDLE: (900.0, 1100.0), NARROW: (1500.0, 1900.0)}
CENTRE_STD = 0.12

Results = Sequence[Mapping[str, Any]]


def calibrations() -> dict[str, Calibration]:
    """The wrong calibrations of the test, and the right one."""
    found = {EXACT: Calibration()}
    for share in (0.05, 0.10, 0.20):
        for sign in (1, -1):
            found[focal_error(sign * share)] = Calibration(focal=sign * share)
    return found | {centre_error(share): Calibration(centre=share) for share in (0.02, 0.05, 0.10)}


def focal_error(share: float) -> str:
    """The name of the test whose focal length is wrong by this share."""
    return f"focal length {100 * share:+.0f} %".replace("-", "−")


def centre_error(share: float) -> str:
    """The name of the test whose principal point is wrong by this share of the width."""
    return f"principal point ±{100 * share:.0f} % of the width"


def groups() -> list[Group]:
    """What is trained together: three fields of view, and the widest with people about the middle only."""
    exact, few = {EXACT: Calibration()}, (ROOT, LOCATION, LOCATION_RAYS, PCL)
    scenes = {name: Scene(focal_px=focal) for name, focal in FOCALS_PX.items()}
    wide, middle, narrow = (scenes[name] for name in (WIDE, MIDDLE, NARROW))
    about = replace(wide, centre_std=CENTRE_STD)
    return [
        Group(name=WIDE, train=wide, test=wide, variants=(*POSES, *PLACED), calibrations=calibrations()),
        Group(name=CENTRE, train=about, test=wide, variants=(*few, PCL_LOCATION), calibrations=exact),
        Group(name=MIDDLE, train=middle, test=middle, variants=few, calibrations=exact),
        Group(name=NARROW, train=narrow, test=narrow, variants=few, calibrations=exact),
    ]


def bench_perspective_lifting(
    library: Path | None,
    *,
    quick: bool = False,
    seeds: Sequence[int] = (0, 1, 2),
    jobs: int = 2,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Train every variant in every group and score it on held-out people.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes procedural poses.
        quick: a few steps of a narrow network, which shows that it runs and nothing else.
        seeds: one training per variant, group and seed.
        jobs: groups at a time, one thread each.
        cache: folder where finished groups are kept, so that a stopped benchmark goes on.
        progress: called with the number of groups done and of all, counted per seed.
    """
    effort = Effort(steps=8, batch=64, width=32, examples=256, views=1024) if quick else Effort()
    calls = [(group, seed, effort, library, cache) for group in groups() for seed in seeds]
    results = in_processes(run_group, calls, jobs=jobs, progress=progress)
    return Measured(rows=rows(results), claims=claims(results), seeds=tuple(seeds), notes=_notes(effort, results))


def rows(results: Results) -> list[Row]:
    """One row per scene, variant and test: means over seeds in millimetres, and what is won over a rival in percent.

    Both come with their standard deviations over seeds. The rival is the root-centred network or, for those that say
    where the root is, the AbsPose-like one; winning is judged seed by seed.
    """
    found = []
    for group in groups():
        of = per_variant(results, group.name)
        variants = {variant.name: variant for variant in group.variants}
        for plain in summary(of):
            row = {"scene": group.name, **plain, "parameters": _parameters(of, plain["variant"])}
            if "canonical_depth_mm" in row:
                for suffix in ("", "_sd"):
                    row[f"canonical_depth_mm_per_px{suffix}"] = row.pop(f"canonical_depth_mm{suffix}")
                row["canonical_depth_needs_focal"] = variants[row["variant"]].depth == "distance"
            rival = ROOT if variants[row["variant"]].depth is None else CANONICAL
            if row["variant"] != rival.name:
                row |= {"rival": rival.name} | _won(of, row["variant"], rival.name, row["test"])
            found.append(row)
    return found


def _parameters(of: Results, variant: str) -> int:
    (count,) = {result["parameters"] for result in of if result["variant"] == variant}
    return count


def _won(of: Results, better: str, worse: str, test: str) -> dict[str, float]:
    metrics = next(result["scores"][test] for result in of if result["variant"] == better)
    found = {}
    for metric in metrics:
        if metric != "canonical_depth":
            values = [100 * value for value in gains(of, better, worse, test, metric)]
            found[f"gain_{metric}_percent"] = statistics.fmean(values)
            found[f"gain_{metric}_percent_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return found


def gains(of: Results, better: str, worse: str, test: str, metric: str = "mpjpe") -> list[float]:
    """Shares won, 1 − better / worse, seed by seed, from one group's results per variant."""
    ours, theirs = (
        {result["seed"]: result["scores"][test][metric] for result in of if result["variant"] == variant}
        for variant in (better, worse)
    )
    return [1 - value / theirs[seed] for seed, value in ours.items()]


REASONS: dict[str, str] = {}
"""Why a claim may fail to hold; told only where it does."""


def claims(results: Results) -> list[Claim]:
    """The paper's claims as shares won (1 − better / worse), means over seeds."""
    return [claim if claim.holds else replace(claim, reason=REASONS.get(claim.id)) for claim in _claims(results)]


def _claims(results: Results) -> list[Claim]:
    of = {group.name: per_variant(results, group.name) for group in groups()}
    border = f"mpjpe_{ANGLES_DEG[-2]}_{ANGLES_DEG[-1]}"
    counts = {result["parameters"] for name in of for result in of[name]}

    def won(better: Variant, *worse: Variant, scene: str = WIDE, test: str = EXACT, metric: str = "mpjpe") -> float:
        """What is won over the best of the others."""
        return min(statistics.fmean(gains(of[scene], better.name, name.name, test, metric)) for name in worse)

    def worst(tests: Sequence[str], *worse: Variant) -> float:
        return min(won(PCL, *worse, test=test) for test in tests)

    off_focal = [focal_error(share) for share in (0.05, -0.05, 0.10, -0.10)]
    off_centre = [centre_error(share) for share in (0.02, 0.05, 0.10)]
    told = (LOCATION, LOCATION_RAYS)
    return [
        Claim(id="pcl-mean", text="PCL beats the root-centred network by ≥ 2 % MPJPE at each field of view (the least)",
              value=min(won(PCL, ROOT, scene=name) for name in FOCALS_PX), target=0.02),
        Claim(id="pcl-border", text="by ≥ 25 % beyond 40° off the axis of the wide view, trained all over the picture",
              value=won(PCL, ROOT, metric=border), target=0.25),
        Claim(id="pcl-border-centre", text="by ≥ 25 % there, trained on people about the middle of the picture",
              value=won(PCL, ROOT, scene=CENTRE, metric=border), target=0.25),
        Claim(id="pcl-calibration", text="PCL still beats it with focal errors up to ±10 % (the least)",
              value=worst(off_focal, ROOT), target=0.0),
        Claim(id="pcl-calibration-centre", text="and with the principal point wrong by up to 10 % of the width",
              value=worst(off_centre, ROOT), target=0.0),
        Claim(id="equal-parameters", text="all networks have equally many parameters (the difference)",
              value=float(max(counts) - min(counts)), target=0.0, better="at_most"),
        Claim(id="pcl-location", text="PCL beats the better network that is told the location (MPJPE, wide view)",
              value=won(PCL, *told), target=0.0),
        Claim(id="pcl-location-border", text="also beyond 40°, trained on people about the middle of the picture",
              value=won(PCL, *told, scene=CENTRE, metric=border), target=0.0),
        Claim(id="pcl-location-calibration", text="also with focal errors up to ±10 %, which pixels do not notice",
              value=worst(off_focal, *told), target=0.0),
        Claim(id="pcl-and-location", text="PCL gains from being told the location as well (MPJPE, wide view)",
              value=won(PCL_LOCATION, PCL), target=0.0),
        Claim(id="pcl-distance-mpjpe", text="PCL and distance beat AbsPose's input and canonical depth (MPJPE)",
              value=won(PCL_DISTANCE, CANONICAL), target=0.0),
        Claim(id="pcl-distance-mrpe", text="PCL and distance beat AbsPose's input and canonical depth (MRPE)",
              value=won(PCL_DISTANCE, CANONICAL, metric="mrpe"), target=0.0),
        Claim(id="pcl-distance-mrpe-tall", text="the same where people's heights are known (MRPE)",
              value=won(PCL_DISTANCE, CANONICAL, metric="mrpe_height_known"), target=0.0),
    ]  # fmt: skip


def _notes(effort: Effort, results: Results) -> tuple[str, ...]:
    scene, kept = Scene(), sum("from_cache" in result for result in results)
    focals = ", ".join(f"{name} f {low:.0f}–{high:.0f} px" for name, (low, high) in FOCALS_PX.items())
    near, far = scene.distance_m
    return (
        f"{effort.steps} steps of {effort.batch} people, residual network of width {effort.width}, Adam with cosine "
        "decay, mean squared error; all variants of a seed start from the same weights and see the same people",
        f"{effort.views} test people of the library's test split, exact keypoints, on {PICTURE_PX:.0f} × "
        f"{PICTURE_PX:.0f} px: {focals}; {near:g}–{far:g} m away along the ray, at least {scene.seen_joints} of 17 "
        "joints in the picture, cameras tilted by 10° and rolled by 3° (standard deviations)",
        f"pelvis anywhere in the picture; '{CENTRE}': within {100 * CENTRE_STD:.0f} % of the width (standard "
        "deviation) of the middle in training, anywhere in the test",
        "MPJPE over 16 joints, the root not counted; _LOW_HIGH are bins of the true angle between the optical axis and "
        f"the pelvis' ray in degrees, those with at least {100 * LEAST_SHARE:.0f} % of the people",
        "the 3D-root scale is told the true depth of the root, which tells people's size; no other network is",
        "→: networks that also say where the root is, in statures, trained with the depth's share of the loss "
        f"{DEPTH_WEIGHT:g}; heights taken as the training people's mean unless 'height known'; where "
        "canonical_depth_needs_focal, depth / focal follows from the distance through the focal length that was given",
        f"the trainings took {sum(result['seconds'] for result in results):.0f} s of one thread each, in all; {kept} "
        f"of {len(results)} were kept from earlier calls (--cache)",
    )
