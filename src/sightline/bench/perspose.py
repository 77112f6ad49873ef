"""PersPose's ablation (paper 001, table 2) on rendered people: without either, with PE, with PE and PR.

Everybody is seen by the same wide lens, about the middle of the picture (narrow) or anywhere in it (wide). The paper
says that what the network is told of perspective lowers errors, those of depths above all, and the more so the wider
people are spread.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sightline.bench.abspose_runs import in_processes
from sightline.bench.perspective_image_pictures import pictures_folder
from sightline.bench.perspose_runs import (
    SPREADS,
    Effort,
    Run,
    Variant,
    angles_deg,
    first_weights,
    render_sets,
    run_one,
    set_folder,
)
from sightline.bench.report import MEAN, Claim, Measured, Row
from sightline.training.pictures import SetPeople

NEITHER: Final = Variant(name="neither", encoding=False, rotation=False)
PE: Final = Variant(name="PE", encoding=True, rotation=False)
BOTH: Final = Variant(name="PE + PR", encoding=True, rotation=True)
VARIANTS: Final = (NEITHER, PE, BOTH)
METRICS: Final = ("depth_error_mm", "pa_mpjpe_mm", "mpjpe_mm")
QUICK: Final = Effort(
    train_pictures=8, test_pictures=8, side_px=96, size_px=64, backbone="mobilenetv4_conv_small_050", channels=8,
    vector_size=16, first_steps=2, steps=2, batch=4,
)  # fmt: skip

Results = Sequence[Mapping[str, Any]]


def bench_perspose(
    library: Path | None,
    *,
    quick: bool = False,
    seeds: Sequence[int] = (0, 1),
    jobs: int = 2,
    cache: Path | None = None,
    effort: Effort | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Render both spreads, train all variants with every seed in equally many steps, score them on held-out people.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes procedural poses.
        quick: a few steps on small pictures, which shows that it runs and nothing else.
        seeds: one training per spread, variant and seed.
        jobs: sets, then trainings, at a time, one thread each.
        cache: folder where pictures and finished trainings are kept, so that a stopped benchmark goes on.
        effort: how much is rendered, trained and tested, where it is to be another than usual.
        progress: called with the number of sets done and of all, then with those of first weights and of trainings.
    """
    effort = effort or (QUICK if quick else Effort())
    with pictures_folder(cache) as pictures:
        render_sets(pictures, effort, library, jobs=jobs, progress=progress)
        firsts = [(seed, rotation, effort, library, pictures) for seed in seeds for rotation in (False, True)]
        started = in_processes(first_weights, firsts, jobs=jobs, progress=progress)
        runs = [Run(spread=s, variant=v, seed=seed) for seed in seeds for s in SPREADS for v in VARIANTS]
        calls = [(run, effort, library, pictures, cache) for run in runs]
        results = in_processes(run_one, calls, jobs=jobs, progress=progress)
        angles = {
            spread: angles_deg(SetPeople(set_folder(pictures, spread, "test", effort, library), body=False))
            for spread in SPREADS
        }
    return Measured(
        rows=[*rows(results), *angle_rows(angles)],
        claims=claims(results),
        seeds=tuple(seeds),
        notes=_notes(effort, library, results, sum(one["seconds"] for one in started)),
    )


def rows(results: Results) -> list[Row]:
    """For each spread and variant a row of means over seeds, with what is won over neither, and one row per seed."""
    found: list[Row] = []
    for spread in SPREADS:
        for variant in VARIANTS:
            mine = of_variant(results, spread, variant)
            found.append(_mean_row(results, spread, variant))
            found += [
                {"spread": spread, "variant": variant.name, "seed": result["seed"], "parameters": result["parameters"],
                 "seconds": result["seconds"], **result["scores"]}
                for result in mine
            ]  # fmt: skip
    return found


def _mean_row(results: Results, spread: str, variant: Variant) -> Row:
    mine = of_variant(results, spread, variant)
    row: dict[str, Any] = {
        "spread": spread,
        "variant": variant.name,
        "seed": MEAN,
        "parameters": mine[0]["parameters"],
        "seconds": statistics.fmean(result["seconds"] for result in mine),
    }
    for name in METRICS:
        values = [result["scores"][name] for result in mine]
        row |= {name: statistics.fmean(values), f"{name}_sd": statistics.stdev(values) if len(values) > 1 else 0.0}
        if variant != NEITHER:
            row[f"gain_{name.removesuffix('_mm')}_percent"] = 100 * gain(results, spread, variant, name)
    return row


def angle_rows(angles: Mapping[str, np.ndarray]) -> list[Row]:
    """How far off the axis people are (φ of eq. 14, figure 7), in degrees."""
    return [
        {"spread": spread, "variant": None, "seed": None, "people": len(its), "phi_mean_deg": float(its.mean()),
         **{f"phi_{share}_percent_deg": float(np.quantile(its, share / 100)) for share in (5, 25, 50, 75, 95)}}
        for spread, its in angles.items()
    ]  # fmt: skip


def of_variant(results: Results, spread: str, variant: Variant) -> list[Mapping[str, Any]]:
    """Return the results of one variant on one spread, in the order of their seeds."""
    mine = [result for result in results if (result["spread"], result["variant"]) == (spread, variant.name)]
    return sorted(mine, key=lambda result: result["seed"])


def gain(results: Results, spread: str, variant: Variant, name: str) -> float:
    """Return the share that a variant wins over neither, 1 − its error / theirs; the mean over seeds."""
    pairs = zip(of_variant(results, spread, variant), of_variant(results, spread, NEITHER), strict=True)
    return statistics.fmean(1 - mine["scores"][name] / theirs["scores"][name] for mine, theirs in pairs)


REASONS: dict[str, str] = {}
"""Why a claim may fail to hold; told only where it does."""


def claims(results: Results) -> list[Claim]:
    """The paper's claims as shares won (1 − error / error without either), means over seeds."""
    made: list[Claim] = []
    for variant, key in ((PE, "pe"), (BOTH, "pe-pr")):
        for name, what in (("depth_error_mm", "the error of depths"), ("mpjpe_mm", "MPJPE")):
            wide, narrow = (gain(results, spread, variant, name) for spread in ("wide", "narrow"))
            tag = f"{key}-{name.removesuffix('_mm').replace('_', '-')}"
            made += [
                Claim(id=f"{tag}-wide", text=f"{variant.name} lowers {what} of people anywhere in the picture",
                      value=wide, target=0.0),
                Claim(id=f"{tag}-wider", text="and by more than that of people about its middle (difference)",
                      value=wide - narrow, target=0.0),
            ]  # fmt: skip
    more = gain(results, "wide", BOTH, "mpjpe_mm") - gain(results, "wide", PE, "mpjpe_mm")
    made.append(Claim(id="pr-mpjpe-wide", text="PR lowers MPJPE beyond PE (difference)", value=more, target=0.0))
    return [claim if claim.holds else replace(claim, reason=REASONS.get(claim.id)) for claim in made]


def _notes(effort: Effort, library: Path | None, results: Results, first_seconds: float) -> tuple[str, ...]:
    kept = sum("from_cache" in result for result in results)
    poses = "poses made by rule" if library is None else "poses of the library's train and test split"
    return (
        f"{effort.train_pictures} rendered pictures of {effort.side_px} × {effort.side_px} px to train on and "
        f"{effort.test_pictures} others for the test, one person in each, a pinhole lens of 90° across; {poses}; "
        f"narrow: hips within the middle {100 * SPREADS['narrow']:.0f} % of the picture's width and height, wide: "
        "anywhere; distances alike",
        f"{effort.backbone} with a pyramid, crops of {effort.size_px} px; {effort.first_steps} steps of {effort.batch} "
        "for where joints are in crops of both spreads alone, plain ones or, for PR, turned ones, and then "
        f"{effort.steps} for poses in either spread; "
        "variants of a seed see the same people, rolled, zoomed and mirrored alike; scored over 16 joints of h36m17 "
        "beside the hips in the picture's frame, answers averaged with those about the mirrored crops",
        f"first weights that were not kept from earlier calls took {first_seconds:.0f} s of one thread in all, the "
        f"trainings {sum(result['seconds'] for result in results):.0f} s; {kept} of {len(results)} were kept from "
        "earlier calls (--cache), with the seconds that they took there",
    )
