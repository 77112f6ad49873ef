"""Accuracy of the prior and the lifter of Lifting from the Deep (paper 004) on held-out people.

Priors of many sizes are fitted to the library's training people and their mirror images; each lifts the same views of
the test people. What is varied: size of the mixture, rotations, how the basis comes about, who turns the poses, noise
and what the lifter believes of it, how a component is chosen, cameras, perspective, refinement, modes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.bench.abspose_runs import in_processes
from sightline.bench.deeplift_claims import claims
from sightline.bench.deeplift_plan import scenes, studies
from sightline.bench.deeplift_runs import Effort, run_study
from sightline.bench.report import Measured, Row


def bench_deeplift(
    library: Path | None,
    *,
    quick: bool = False,
    seeds: Sequence[int] = (0, 1, 2),
    jobs: int = 2,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Measured, dict[str, Any]]:
    """Fit every prior and lift held-out people with it.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes procedural poses.
        quick: few passes and few views, which shows that it runs and nothing else.
        seeds: of the views; rows have the mean over seeds, and the standard deviation.
        jobs: priors at a time, one thread each.
        cache: folder where finished fits are kept, so that a stopped benchmark goes on.
        progress: called with the number of priors done and of all.

    Returns:
        Rows and claims, and what the figure is drawn from.
    """
    effort = Effort(weak_views=64, perspective_views=2, many=240, sample=500, iterations=3, largest=3)
    effort = effort if quick else Effort()
    calls = [(study, scenes(), effort, tuple(seeds), library, cache) for study in studies(effort)]
    results = in_processes(run_study, calls, jobs=jobs, progress=progress)
    measured = rows(results)
    notes = _notes(effort, results)
    judged = claims(measured, many=effort.many)
    drawn = next(result["figure"] for result in results if "figure" in result)
    return Measured(rows=measured, claims=judged, seeds=tuple(seeds), notes=notes), drawn


def rows(results: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row per prior about its fit, then one per test: means over seeds of views, with standard deviations."""
    found: list[Row] = []
    fits = sorted(results, key=lambda result: -result["log_likelihood"]["val"])
    for rank, result in enumerate(fits, start=1):
        found.append(
            {"table": "fits", "prior": result["prior"], "components": result["components"], "basis": result["basis"]}
            | {f"log_likelihood_{name}": value for name, value in result["log_likelihood"].items()}
            | {"rank_val": rank, "fit_seconds": result["seconds"], "passes": sum(result["passes"].values())}
        )
    likely = {row["prior"]: row["log_likelihood_test"] for row in found}
    tested = [row for result in results for row in result["rows"]]
    for row in sorted(tested, key=lambda row: _TABLES.index(row["table"])):
        means = {}
        for name in ("mpjpe_mm", "mpjpe_17_mm"):
            values = row[name]
            means[name] = statistics.fmean(values)
            means[f"{name}_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
        told = {"log_likelihood_test": likely[row["prior"]]} if row["table"] in _WITH_LIKELIHOOD else {}
        found.append(dict(row) | means | {"seeds": len(row["mpjpe_mm"])} | told)
    return found


_TABLES = ("size", "rotations", "growth", "turning", "noise", "choice", "cameras", "modes")
_WITH_LIKELIHOOD = ("size", "growth", "turning")


def _notes(effort: Effort, results: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    kept = sum("from_cache" in result for result in results)
    return (
        "priors are fitted to the library's training people and their mirror images, "
        f"{effort.sample} poses at first and all in the last passes, those of more than three components to one "
        f"pose in {effort.thinned}; views are of its test people",
        "MPJPE: roots laid together, the predicted pose given the true one's √(Σ limb²), that is the size is not "
        "judged; mpjpe_mm over 16 joints, the root not counted, as in the other benchmarks and all claims; mpjpe_17_mm "
        "with the root's zero counted, as in older tables; means over seeds of views, with standard deviations as _sd",
        f"weak-perspective views: {effort.weak_views} per seed, frames drawn evenly, any heading, x and y of a level "
        f"camera; others: {effort.perspective_views} per seed, f 1145 px on 1000 × 1000, whole body in the picture at "
        "2.5–7 m unless said; bodies are the clips' own unless said (sightline.bench.deeplift_views.sample_scene)",
        "noise is Gaussian per coordinate; 2 % of the box's longer side is about 0.03 body sizes, 2 % of the body size "
        "(√(Σ limb²)) is 0.02; the lifter as it comes finds each person's among 0.005, 0.015 and 0.04",
        "log-likelihoods are nats per pose under the mixture, each component turning the pose as it likes best, over "
        "poses and mirror images; rank_val orders all priors by that of the validation people",
        f"the fits took {sum(result['seconds'] for result in results):.0f} s of one thread, in all; {kept} of "
        f"{len(results)} were kept from earlier calls (--cache)",
    )
