"""The image experiment of Perspective Crop Layers (paper 000): whole frames without boxes, plain or perspective crops.

A localiser finds where to look, a spatial transformer crops there, a network reads the pose from the crop; all three
are trained in one run. Once the crop is the plain affine one, once the perspective one; pictures, first weights,
parameters and steps are the same. Subjects are people (root-relative joints) and a rigid object (its orientation).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sightline.bench.abspose_runs import in_processes
from sightline.bench.perspective_image_networks import Sizes, Variant
from sightline.bench.perspective_image_pictures import PictureSet, pictures_folder, render_sets
from sightline.bench.perspective_image_runs import (
    BANDS_DEG,
    Effort,
    Run,
    of_variant,
    picture_sets,
    run_one,
)
from sightline.bench.perspective_image_scenes import Subject
from sightline.bench.report import Claim, Measured, Row

STN: Final = Variant(name="STN", perspective=False)
PCL: Final = Variant(name="STN with PCL", perspective=True)
VARIANTS: Final = (STN, PCL)
SUBJECTS: Final[tuple[Subject, ...]] = ("people", "object")
METRICS: Final[Mapping[str, tuple[str, str]]] = {"people": ("mpjpe", "mm"), "object": ("angle", "deg")}
"""What a subject's error is called, and its unit."""
QUICK: Final = Effort(
    train_pictures=32,
    test_pictures=48,
    steps=4,
    batch=8,
    side_px=64,
    sizes=Sizes(localizer_px=32, localizer_width=4, crop_px=32, pose_width=4),
)
MEAN: Final = "mean"

Results = Sequence[Mapping[str, Any]]


def bench_perspective_image(
    library: Path | None,
    *,
    quick: bool = False,
    seeds: Sequence[int] = (0, 1, 2),
    jobs: int = 2,
    cache: Path | None = None,
    effort: Effort | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Render the pictures, train both variants on both subjects with every seed, and score them on held-out pictures.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes procedural poses.
        quick: a few steps on small pictures, which shows that it runs and nothing else.
        seeds: one training per subject, variant and seed.
        jobs: pictures' chunks and trainings at a time, one thread each.
        cache: folder where pictures and finished trainings are kept, so that a stopped benchmark goes on.
        effort: how much is rendered, trained and tested, where it is to be another than usual.
        progress: called with the number of chunks done and of all, then with that of trainings.
    """
    effort = effort or (QUICK if quick else Effort())
    sets = [its for subject in SUBJECTS for its in picture_sets(subject, effort, library).values()]
    with pictures_folder(cache) as pictures:
        render_sets(sets, pictures, jobs=jobs, progress=progress)
        runs = [Run(subject=subject, variant=v, seed=seed) for seed in seeds for subject in SUBJECTS for v in VARIANTS]
        calls = [(run, effort, library, pictures, cache) for run in runs]
        results = in_processes(run_one, calls, jobs=jobs, progress=progress)
    return Measured(rows=rows(results), claims=claims(results), seeds=tuple(seeds), notes=_notes(effort, sets, results))


def rows(results: Results) -> list[Row]:
    """For each subject and variant one row with means over seeds and their standard deviations, and one per seed.

    What is won over the plain crop, in percent, is judged seed by seed.
    """
    found: list[Row] = []
    for subject in SUBJECTS:
        for variant in VARIANTS:
            mine = of_variant(results, subject, variant.name)
            found.append(_mean_row(results, subject, variant))
            found += [
                {
                    "subject": subject,
                    "variant": variant.name,
                    "seed": result["seed"],
                    "parameters": result["parameters"],
                    "seconds": result["seconds"],
                    **_named(subject, result["scores"]),
                }
                for result in mine
            ]
    return found


def _mean_row(results: Results, subject: str, variant: Variant) -> Row:
    mine = of_variant(results, subject, variant.name)
    row: dict[str, Any] = {
        "subject": subject,
        "variant": variant.name,
        "seed": MEAN,
        "parameters": parameters(results, subject, variant),
        "seconds": statistics.fmean(result["seconds"] for result in mine),
    }
    for name in mine[0]["scores"]:
        values = [result["scores"][name] for result in mine]
        (key,) = _named(subject, {name: 0.0})
        row |= {key: statistics.fmean(values), f"{key}_sd": _deviation(values)}
    if variant != STN:
        for name in (name for name in mine[0]["scores"] if name.startswith("error")):
            values = [100 * value for value in gains(results, subject, name)]
            key = f"gain{name.removeprefix('error')}_percent"
            row |= {key: statistics.fmean(values), f"{key}_sd": _deviation(values)}
    return row


def _named(subject: str, scores: Mapping[str, float]) -> dict[str, float]:
    """Scores under the names that rows have: `error_border` is `mpjpe_border_mm` of people."""
    metric, unit = METRICS[subject]
    return {
        f"{metric}{name.removeprefix('error')}_{unit}" if name.startswith("error") else name: value
        for name, value in scores.items()
    }


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def parameters(results: Results, subject: str, variant: Variant) -> int:
    """Return how many numbers a variant learns, which no seed changes."""
    (count,) = {result["parameters"] for result in of_variant(results, subject, variant.name)}
    return count


def gains(results: Results, subject: str, score: str = "error") -> list[float]:
    """Shares that the perspective crop wins, 1 − PCL / STN, seed by seed."""
    ours, theirs = (of_variant(results, subject, variant.name) for variant in (PCL, STN))
    return [1 - mine["scores"][score] / its["scores"][score] for mine, its in zip(ours, theirs, strict=True)]


REASONS: dict[str, str] = {
    "image-people-border": "the plain crop does better at the border than in the centre (rows), so little is left to "
    "win: there the stretch of a wide lens shows from where people are seen",
    "image-people-border-centre": "in the centre nothing shows from where people are seen, and the plain crop's "
    "network, which learnt from people all over the frame, averages over places; at the border the stretch of a wide "
    "lens does",
}
"""Why a claim may fail to hold; told only where it does."""


def claims(results: Results) -> list[Claim]:
    """The paper's claims as shares won (1 − PCL / STN), means over seeds; without those on bands that nobody was in."""
    judged = [claim for claim in _claims(results) if not math.isnan(claim.value)]
    return [claim if claim.holds else replace(claim, reason=REASONS.get(claim.id)) for claim in judged]


def _claims(results: Results) -> list[Claim]:
    def won(subject: Subject, score: str = "error") -> float:
        """NaN where no test picture lies in the band."""
        if any(score not in result["scores"] for result in results if result["subject"] == subject):
            return float("nan")
        return statistics.fmean(gains(results, subject, score))

    def further_out(subject: Subject) -> float:
        return won(subject, "error_border") - won(subject, "error_centre")

    off = max(abs(parameters(results, subject, PCL) - parameters(results, subject, STN)) for subject in SUBJECTS)
    border = f"beyond {BANDS_DEG['border'][0]:g}° off the axis"
    return [
        Claim(id="image-people", text="a perspective crop in an STN wins ≥ 2 % MPJPE of people over the plain one",
              value=won("people"), target=0.02),
        Claim(id="image-people-border", text=f"it wins ≥ 2 % {border}", value=won("people", "error_border"),
              target=0.02),
        Claim(id="image-people-border-centre", text="it wins more there than in the centre (difference of the shares)",
              value=further_out("people"), target=0.0),
        Claim(id="image-object", text="it wins ≥ 2 % of a rigid object's error of orientation",
              value=won("object"), target=0.02),
        Claim(id="image-object-border-centre", text="and more at the border than in the centre",
              value=further_out("object"), target=0.0),
        Claim(id="image-equal-parameters", text="both networks have equally many parameters (the difference)",
              value=float(off), target=0.0, better="at_most"),
    ]  # fmt: skip


def _notes(effort: Effort, sets: Sequence[PictureSet], results: Results) -> tuple[str, ...]:
    sizes, frames = effort.sizes, sets[0].frames
    kept = sum("from_cache" in result for result in results)
    bands = ", ".join(f"{name} {low:g}–{high:g}°" for name, (low, high) in BANDS_DEG.items())
    poses = "procedural poses" if sets[0].library is None else "poses of the library's train and test split"
    return (
        f"{effort.train_pictures} rendered frames of {effort.side_px} × {effort.side_px} px to train on and "
        f"{effort.test_pictures} others for the test, of each subject; a pinhole lens of {frames.fov * 57.29578:.0f}° "
        f"across; hips or the object's middle anywhere in the frame, at least {100 * frames.seen_share:.0f} % of the "
        f"joints or corners in it; {poses}, one person a frame, distances alike at border and centre",
        f"localiser: ResNet-18 of width {sizes.localizer_width} on a copy of {sizes.localizer_px} px; crop of "
        f"{sizes.crop_px} px; pose network: ResNet-18 of width {sizes.pose_width}; no boxes are given; "
        "mean squared errors of place, size and pose in equal parts",
        f"{effort.steps} steps of {effort.batch} frames, Adam with cosine decay; all variants of a seed start from the "
        "same weights and see the same frames, of people half of them mirrored with their cameras; crops lie where "
        f"they should in the first {100 * effort.guided_share:.0f} % of the steps, then where the localiser says, "
        "which learns from errors of place and size alone, in both variants",
        f"MPJPE over 16 joints, the hips not counted; the object's error is the angle between orientations; bands of "
        f"the true angle between the optical axis and the subject's ray: {bands}; center_px and scale_percent: mean "
        "errors of the localiser's place (px of the frame) and size",
        f"the trainings took {sum(result['seconds'] for result in results):.0f} s of one thread each, in all; {kept} "
        f"of {len(results)} were kept from earlier calls (--cache)",
    )
