"""LCR-Net++'s ablations (paper 003, tables 1, 4 and 5, figures 7 and 12 to 14) on rendered pictures of 1 to 6 people.

Networks are small and learn for minutes, so their errors are large; what is asked is whether each part is worth what
the paper says, by sign.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sightline.bench.abspose_runs import in_processes
from sightline.bench.lcrnet_claims import Results, claims
from sightline.bench.lcrnet_poses import matching_rows, quantisation_rows
from sightline.bench.lcrnet_runs import Effort, Run, picture_set, run_one, variants_of
from sightline.bench.lcrnet_scoring import BLOCKS, PPI
from sightline.bench.lcrnet_sets import ALL, MADE, ONE, PEOPLE, TEST, TRUNCATED, render_set
from sightline.bench.perspective_image_pictures import pictures_folder
from sightline.bench.report import Measured, Row

QUICK: Final = Effort(
    train_pictures=6, test_pictures=4, width_px=96, steps=2, batch=2, anchors=(4, 2, 6), hidden=16,
    channels=(8, 8, 16, 16),
)  # fmt: skip
COUNTS: Final = (1, 5, 10, 20, 50, 100, 200)
"""K of the sweep of quantisation errors."""
VIEWS, QUERIES = 100_000, 4000
MEAN: Final = "mean"


def bench_lcrnet(
    library: Path | None,
    *,
    quick: bool = False,
    seeds: Sequence[int] = (0,),
    jobs: int = 2,
    cache: Path | None = None,
    effort: Effort | None = None,
    steps: int | None = None,
    pictures: int | None = None,
    variants: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Render the pictures, train all variants with every seed in equally many steps, decode in every way, score.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None makes all poses by rule, and leaves out
            what compares motion captures.
        quick: a few steps on small pictures, which shows that it runs and nothing else.
        seeds: one training per variant and seed.
        jobs: sets, then trainings, at a time, one thread each.
        cache: folder where pictures, weights and scores are kept, so that a stopped benchmark goes on.
        effort: how much is rendered, trained and tested, where it is to be another than usual.
        steps: of each training, where they are to be others than the effort's.
        pictures: of each set to learn from, likewise.
        variants: to be trained beside the base, by name; none trains all.
        progress: called with the number of sets done and of all, then with that of trainings.
    """
    effort = effort or (QUICK if quick else Effort())
    asked = {"steps": steps, "train_pictures": pictures}
    effort = replace(effort, **{name: value for name, value in asked.items() if value is not None})
    chosen = variants_of(effort, library, variants)
    sources = [name for name in (MADE, ONE, ALL) if any(name in variant.sources for variant in chosen)]
    with pictures_folder(cache) as folder:
        sets = [(picture_set(name, effort, library), folder) for name in (*sources, TEST)]
        in_processes(render_set, sets, jobs=jobs, progress=progress)
        runs = [Run(variant=variant, seed=seed) for seed in seeds for variant in chosen]
        calls = [(run, effort, library, folder, cache) for run in runs]
        results = in_processes(run_one, calls, jobs=jobs, progress=progress)
    few = effort.test_pictures < 100
    poses = [
        *quantisation_rows(library, COUNTS[:3] if few else COUNTS, 500 if few else VIEWS),
        *matching_rows(library, 500 if few else VIEWS, 50 if few else QUERIES),
    ]
    return Measured(
        rows=[*rows(results), *poses],
        claims=claims(results, poses),
        seeds=tuple(seeds),
        notes=_notes(effort, library, results),
    )


def rows(results: Results) -> list[Row]:
    """For each variant and decoding a row of means over seeds, and one row per seed; then those of truncated people.

    Last the errors of the people whom integration and suppression both find.
    """
    found: list[Row] = []
    for part, who in (("scores", "everybody"), ("truncated", "a leg outside the picture")):
        for variant in dict.fromkeys(result["variant"] for result in results):
            mine = [result for result in results if result["variant"] == variant]
            for decoding in mine[0][part]:
                found.append(_mean_row(mine, part, who, decoding))
                found += [
                    {**_about(result, who, decoding), "seed": result["seed"], **result[part][decoding]}
                    for result in mine
                    if len(mine) > 1
                ]
    return [
        *found,
        *(
            {"what": "both found", "seed": result["seed"], "people": both["people"], "decoding": decoding,
             "mpjpe_mm": both["mpjpe_mm"][kind]}
            for result in results
            if (both := result.get("both_found"))
            for kind, decoding in both["decodings"].items()
        ),
    ]  # fmt: skip


def _mean_row(mine: Sequence[Mapping[str, Any]], part: str, who: str, decoding: str) -> Row:
    row = {**_about(mine[0], who, decoding), "seed": MEAN if len(mine) > 1 else mine[0]["seed"]}
    for name in mine[0][part][decoding]:
        values = [result[part][decoding][name] for result in mine]
        row[name] = None if None in values else statistics.fmean(values)
        if len(values) > 1 and None not in values:
            row[f"{name}_sd"] = statistics.stdev(values)
    return row


def _about(result: Mapping[str, Any], who: str, decoding: str) -> dict[str, Any]:
    return {
        "what": "network",
        "variant": result["variant"],
        "decoding": decoding,
        "people": who,
        "parameters": result["parameters"],
        "anchors": result["anchors"],
        "joints": result["joints"],
        "seconds": result["seconds"] if decoding == PPI else None,
    }


def _notes(effort: Effort, library: Path | None, results: Results) -> tuple[str, ...]:
    kept = sum("from_cache" in result for result in results)
    poses = "poses made by rule" if library is None else "poses of the library's train and test split"
    return (
        f"{effort.train_pictures} rendered pictures of each source, {effort.width_px} px wide, 4 : 3, to train on and "
        f"{effort.test_pictures} others for the test ({results[0]['people']} people, {results[0]['truncated_people']} "
        f"of them with a leg outside the picture); {PEOPLE[0]} to {PEOPLE[1]} people, recipe street, the first one "
        f"cut off in {100 * TRUNCATED:.0f} % of the pictures; {poses}",
        f"recipe lcrnet-synth, {effort.steps} steps of {effort.batch} pictures, and what the variant's name says; with "
        "the recipe's widths all begin with the backbone of the lcrnet-synth inside the package, and all but those of "
        "one map with its pyramid and proposals of boxes too, none with its heads; those of a seed see the same "
        "pictures; decoded by PPI with rescoring where nothing else is said",
        "people who are seen well enough count (a third of what there is of them); AP and PCKh (at half a head) over "
        f"poses that score at least {effort.least_score:g}, PCKh also of those who are not found; found, false and 3D "
        "errors from the score on at which the F-measure of finding people is best, which each row tells; MPJPE and "
        "PCK at 150 mm (pck3d) of who is found, both poses about the middle of the torso; pck3d_all also of who is not "
        "found, with no joint right; MRPE of the middle of the torso, placed by a robust solve through the camera; "
        "best proposal: nearest in the picture and, for MPJPE, in space, of those that overlap with somebody by half",
        "somebody is found by the pose of which most joints are right (within half a head), one at least, as poses are "
        f"assigned for AP; standard errors are of differences between {BLOCKS} blocks of the test pictures: how much a "
        "further training would vary is not in them",
        f"the trainings took {sum(result['seconds'] for result in results):.0f} s of one thread each, in all; {kept} "
        f"of {len(results)} were kept from earlier calls (--cache), with the seconds that they took there",
    )
