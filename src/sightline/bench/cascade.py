"""Tables 2 and 3 of paper 002 measured again on rendered pictures: what 2D a lifter behind an estimator learns from.

One 2D estimator learns from pictures. Lifters learn from the people in the same pictures: from their true 2D poses,
from what the estimator sees there, or from true ones with errors drawn as it makes them of people it has not seen.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sightline.bench.abspose_runs import in_processes
from sightline.bench.cascade_people import LEAST_OVERLAP, Seen, find_boxes
from sightline.bench.cascade_runs import (
    ESTIMATE,
    ESTIMATOR,
    GAUSSIAN,
    KINDS,
    MIXTURE,
    PLAIN,
    ROOTS,
    SPLITS,
    TRUTH,
    VARIANTS,
    Effort,
    Run,
    Variant,
    errors_of,
    estimates,
    kept_folder,
    kept_models,
    run_one,
    seen_of,
)
from sightline.bench.perspective_image_pictures import pictures_folder
from sightline.bench.perspose_runs import SPREADS, render_sets, set_folder
from sightline.bench.report import Claim, Measured, Row, seed_rows
from sightline.methods.abspose.error_model import ErrorModel
from sightline.methods.abspose.estimator import EstimatorConfig
from sightline.methods.abspose.noise import errors_in_crop

QUICK: Final = Effort(
    train_pictures=48, test_pictures=48, side_px=96, estimator_steps=250, estimator_batch=8, least_errors=2, width=32,
    steps=4, batch=8,
    estimator=EstimatorConfig(backbone="resnet10t", backbone_channels=(8, 16, 16, 32), channels=16, size_px=64),
)  # fmt: skip
CASCADE: Final = "estimate, learned root"
METRICS: Final = ("mpjpe_mm", "pa_mpjpe_mm", "mrpe_mm")

Results = Sequence[Mapping[str, Any]]


def bench_cascade(
    library: Path | None,
    *,
    quick: bool = False,
    seeds: Sequence[int] = (0, 1, 2),
    jobs: int = 2,
    cache: Path | None = None,
    effort: Effort | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Render people, train the estimator, fit its errors, train all lifters with every seed, score the cascades.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes procedural poses.
        quick: a few steps on small pictures, which shows that it runs and nothing else.
        seeds: one lifter per variant and seed; there is one estimator.
        jobs: sets, then trainings, at a time, one thread each.
        cache: folder where pictures, estimates and scores are kept, so that a stopped benchmark goes on.
        effort: how much is rendered, trained and tested, where it is to be another than usual.
        progress: called with the number of sets done and of all, then with those of the estimator and of lifters.
    """
    effort = effort or (QUICK if quick else Effort())
    with pictures_folder(cache) as folder:
        render_sets(folder, effort, library, splits=SPLITS, jobs=jobs, progress=progress)
        tests = [(set_folder(folder, spread, "test", effort, library),) for spread in SPREADS]
        in_processes(find_boxes, tests, jobs=jobs, progress=progress)
        (taught,) = in_processes(estimates, [(effort, library, folder)], jobs=1, progress=progress)
        runs = [Run(variant=variant, seed=seed) for seed in seeds for variant in VARIANTS]
        calls = [(run, effort, library, folder, cache) for run in runs]
        results = in_processes(run_one, calls, jobs=jobs, progress=progress)
        seen = {split: seen_of(split, effort, library, folder) for split in SPLITS}
        models = kept_models(effort, library, folder)
    estimator = estimator_rows(seen)
    kept = "" if cache is None else kept_folder(effort, library, folder).relative_to(cache).as_posix()
    return Measured(
        rows=[*rows(results), *estimator, *model_rows(models)],
        claims=claims(results, estimator),
        seeds=tuple(seeds),
        notes=_notes(effort, library, results, seen, taught["seconds"], kept),
    )


def rows(results: Results) -> list[Row]:
    """For each variant and test a row of means over seeds, and one row per seed where there are several."""
    found: list[Row] = []
    for variant in VARIANTS:
        mine = sorted((one for one in results if one["variant"] == variant.name), key=lambda one: one["seed"])
        for test in mine[0]["scores"] if mine else ():
            told = {"what": "cascade", "variant": variant.name, "test": test}
            each = [{**told, "seed": one["seed"], "seconds": one["seconds"], **one["scores"][test]} for one in mine]
            found += seed_rows(each)
    return found


def estimator_rows(seen: Mapping[str, Seen]) -> list[Row]:
    """How far the estimator is off, in pixels of the person's crop of 256: of whom it learnt from, and of others.

    Of the test split also in the boxes of those whom a detector finds, and in the true boxes of the same people.
    """
    asked = [(split, "true", len(its.estimate_px), errors_of(its)) for split, its in seen.items()]
    test = seen["test"]
    for boxes, points in (("found", test.found_px), ("true, of those found", test.estimate_px)):
        errors = errors_in_crop(points[test.found].numpy(), test.views.keypoints_px[test.found].numpy())
        asked.append(("test", boxes, len(test.estimate_px), errors))
    return [
        {"what": "2D estimator", "split": split, "boxes": boxes, "people": len(errors),
         "of_all_percent": 100 * len(errors) / everybody,
         "mean_px": float(np.linalg.norm(errors, axis=-1).mean()),
         "median_px": float(np.median(np.linalg.norm(errors, axis=-1))),
         "beyond_50_percent": 100 * float((np.abs(errors) > 50).any(-1).mean())}
        for split, boxes, everybody, errors in asked
        if len(errors)
    ]  # fmt: skip


def model_rows(models: Mapping[str, ErrorModel]) -> list[Row]:
    """What the error models say, the mean over joints."""
    return [
        {"what": "error model", "kind": kind, "sigma_px": float(models[kind].sigma_px.mean()),
         "inlier_percent": 100 * float(models[kind].inlier.mean())}
        for kind in KINDS
    ]  # fmt: skip


def of(results: Results, variant: Variant, metric: str, test: str = CASCADE) -> float:
    """Return a variant's score, the mean over seeds."""
    return statistics.fmean(one["scores"][test][metric] for one in results if one["variant"] == variant.name)


_ALIKE: Final = (
    "the estimator hardly sees those whom it learnt from better than others, so its output on them has the errors of "
    "the test, with joints that err together, which errors drawn for each joint by itself lack; an estimator that knew "
    "its pictures by heart would show too small ones"
)
REASONS: dict[str, str] = {"mixture-estimate-mpjpe": _ALIKE, "mixture-estimate-mrpe": _ALIKE}
"""Why a claim may fail to hold; told only where it does, and where the estimator is so."""
ALIKE_SHARE: Final = 0.85
"""People whom an estimator learnt from are seen hardly better than others from this share of the others' errors on."""


def claims(results: Results, estimator: Sequence[Row] = ()) -> list[Claim]:
    """The paper's claims as shares of errors won, means over seeds.

    Args:
        results: of all lifters.
        estimator: what `estimator_rows` says of the estimator, on which reasons rest.
    """

    def won(key: str, text: str, better: float, worse: float) -> Claim:
        return Claim(id=key, text=f"{text} (share won)", value=1 - better / worse, target=0.0)

    made: list[Claim] = []
    for name, what in zip(METRICS, ("MPJPE", "PA-MPJPE", "MRPE"), strict=True):
        tag = name.removesuffix("_mm").replace("_", "-")
        made += [
            won(f"mixture-gaussian-{tag}", f"errors drawn from a mixture lower {what} below those of one Gaussian",
                of(results, MIXTURE, name), of(results, GAUSSIAN, name)),
            won(f"mixture-estimate-{tag}", "and below what the estimator's own output teaches",
                of(results, MIXTURE, name), of(results, ESTIMATE, name)),
            won(f"mixture-truth-{tag}", "and below what true 2D poses teach",
                of(results, MIXTURE, name), of(results, TRUTH, name)),
            won(f"mixture-plain-{tag}", "and below what they teach without location and scale",
                of(results, MIXTURE, name), of(results, PLAIN, name)),
            won(f"estimate-truth-{tag}", f"the estimator's own output lowers {what} below what true 2D poses teach",
                of(results, ESTIMATE, name), of(results, TRUTH, name)),
        ]  # fmt: skip
    made.append(won("location", "location and scale lower MRPE (both trained on true 2D poses)",
                    of(results, TRUTH, "mrpe_mm"), of(results, PLAIN, "mrpe_mm")))  # fmt: skip
    for root in list(ROOTS)[1:]:
        rival = of(results, MIXTURE, "mrpe_mm", f"estimate, {root} root")
        made.append(won(f"root-{root.replace(' ', '-')}", f"the learned root has a lower MRPE than a {root} solve",
                        of(results, MIXTURE, "mrpe_mm"), rival))  # fmt: skip
    reasons = REASONS if _sees_alike(estimator) else {}
    return [claim if claim.holds else replace(claim, reason=reasons.get(claim.id)) for claim in made]


def _sees_alike(estimator: Sequence[Row]) -> bool:
    """Whether an estimator sees those whom it learnt from hardly better than others."""
    off = {row["split"]: row["mean_px"] for row in estimator if row["boxes"] == "true"}
    return {"train", "test"} <= off.keys() and off["train"] >= ALIKE_SHARE * off["test"]


def _notes(
    effort: Effort, library: Path | None, results: Results, seen: Mapping[str, Seen], seconds: float, folder: str
) -> tuple[str, ...]:
    from_cache = sum("from_cache" in result for result in results)
    poses = "poses made by rule" if library is None else "poses of the library's splits, each of other subjects"
    network, test = effort.estimator, seen["test"]
    channels = "/".join(map(str, network.backbone_channels))
    people = {split: len(its.estimate_px) for split, its in seen.items()}
    kept = (
        f"; weights and error models are in {folder} of the cache: {ESTIMATOR}.json, {KINDS[0]}.json, {KINDS[1]}.json"
    )
    return (
        f"{effort.train_pictures} rendered pictures of {effort.side_px} px of people about the middle and as many of "
        f"people anywhere in a frame of 90°, and {effort.test_pictures} of each for the errors and for the test; "
        f"{poses}; {people['train']} people to learn from, {people['val']} whose errors are fitted, {people['test']} "
        "for the test, all of them wholly before the camera",
        f"2D estimator: {network.backbone} of {channels} channels, crops of {network.size_px} px of true boxes, "
        f"{effort.estimator_steps} steps of {effort.estimator_batch}, from nothing; lifters: width {effort.width}, "
        f"{effort.steps} steps of {effort.batch} as recipe abspose-quick has them (Adam, no dropout), all of them on "
        "the people of the training pictures, mirrored with chance ½",
        "one estimator serves for the errors and for the test: it has learnt without the subjects whose errors are "
        "fitted, and is not trained again with them",
        "tests: the estimator's 2D poses of people whom nothing has learnt from, lifted; MPJPE without the hips; "
        "roots by the network, by weak perspective (paper 002's rival) or by a linear solve under full perspective; "
        "claims are of true boxes",
        f"found boxes: of lcrnet-synth, which finds {int(test.found.sum())} of the {people['test']} people "
        f"({100 * float(test.found.float().mean()):.1f} %, overlap of {LEAST_OVERLAP:g} with the true box on); the "
        "others do not count there, so the same people are scored in true boxes too",
        f"the estimator took {seconds:.0f} s of one thread (0: kept), the lifters "
        f"{sum(result['seconds'] for result in results):.0f} s; {from_cache} of {len(results)} were kept (--cache)"
        f"{kept if folder else ''}",
    )
