"""The paper's claims about LCR-Net++ as differences between variants, means over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from sightline.bench.lcrnet_poses import ALL_SOURCES, ONE_SOURCE
from sightline.bench.lcrnet_runs import (
    ALIGNED,
    BASE,
    FEW_ANCHORS,
    FIRST_ONLY,
    FLAT,
    FROM_ALL,
    FROM_MADE,
    FROM_ONE,
    MANY_ANCHORS,
    MORE_JOINTS,
    POOLED,
    WHOLE_ONLY,
    Variant,
)
from sightline.bench.lcrnet_scoring import (
    BOUND,
    DISTANCES_M,
    FIRST,
    IOUS,
    NMS,
    PLAIN_NMS,
    PLAIN_PPI,
    PPI,
    suppressing,
    swept,
)
from sightline.bench.report import Claim, Row

Results = Sequence[Mapping[str, Any]]
Part = Literal["scores", "truncated"]

_TINY = 1e-9
_SECOND = (
    "the second estimate lowers 3D errors a little and wins nothing in 2D; of lcrnet-synth too, after 10,000 steps, "
    "both estimates are nearly as good as each other (benchmarks/results/lcrnet-decoding.json)"
)
_ALIGN = "no difference beyond its standard error; on one map of stride 16 neither learns much in so few steps"
_ALL = (
    "all motion capture together has views that are hardly nearer to the held-out people than those of its largest "
    "source (the matching errors), and no network here sees each view more than a few times"
)
REASONS: dict[str, str] = {
    "rescoring-ppi": "a mode's score is a sum over many proposals, and one that leaves its box moves it little; by "
    "NMS, where one proposal speaks for a person, rescoring is worth more",
    "second-estimate": _SECOND,
    "iterative-ap": _SECOND,
    "sweep-iou": "proposals of one person overlap by less than 0.54 often enough that many are told more than "
    "once: far more poses are nobody's there. PCKh, which false poses do not lower, does want 0.54",
    "align-ap": _ALIGN,
    "align-mpjpe": _ALIGN,
    "anchors": "K = 10 is best after so few steps, though its quantisation error is larger by a seventh than that of "
    "K = 50; longer trainings were not compared",
    "source-all-ap": _ALL,
    "source-all-mpjpe": _ALL,
    "3d-ap": "no difference beyond its standard error; 3D errors are what learning 3D is worth here",
}
"""Why a claim may fail to hold; told only where it does."""


class Score(NamedTuple):
    """A score's mean over seeds."""

    value: float
    """NaN where a seed has none, or the variant was not trained."""
    blocks: tuple[float, ...] = ()
    """The same of each block of the test pictures, where that was told."""


_NONE = Score(float("nan"))


def score_of(results: Results, variant: Variant, decoding: str, metric: str, part: Part = "scores") -> Score:
    """Return a score of a variant, decoded in some way."""
    mine = [result for result in results if result["variant"] == variant.name]
    values = [result[part].get(decoding, {}).get(metric) for result in mine]
    if not mine or None in values:
        return _NONE
    blocks = [result["blocks"][part].get(decoding, {}).get(metric, []) for result in mine]
    return Score(statistics.fmean(values), _means(blocks))


def _means(blocks: Sequence[Sequence[float | None]]) -> tuple[float, ...]:
    """Means over seeds, block by block; none where a block has no score."""
    every = list(zip(*blocks, strict=True))
    return tuple(statistics.fmean(its) for its in every) if all(None not in its for its in every) else ()  # pyright: ignore[reportArgumentType, reportCallIssue]


def claims(results: Results, poses: Sequence[Row]) -> list[Claim]:
    """Return the claims that can be judged: those on variants that were trained and scores that there are."""
    made = [*_decoding_claims(results), *_training_claims(results), *_source_claims(results), *_pose_claims(poses)]
    judged = [claim for claim in made if not math.isnan(claim.value)]
    return [claim if claim.holds else replace(claim, reason=REASONS.get(claim.id)) for claim in judged]


def _better(
    key: str, text: str, one: Score, other: Score, *, less: bool = False, target: float = 0.0, unit: str = "points"
) -> Claim:
    """A claim that one is better than the other, more or less: by the target, and by more than chance may have made.

    That is one standard error of the difference, by how much it varies over blocks of the test pictures.
    """
    value = other.value - one.value if less else one.value - other.value
    error = 0.0
    if len(one.blocks) == len(other.blocks) > 1:
        apart = [first - second for first, second in zip(one.blocks, other.blocks, strict=True)]
        error = statistics.stdev(apart) / math.sqrt(len(apart))
    told = f"{unit}, at least its standard error" if error > target else unit
    return Claim(id=key, text=f"{text} (difference, {told})", value=value, target=max(target, error, _TINY))


def _decoding_claims(results: Results) -> list[Claim]:
    """What different ways to decode the base network's proposals are worth."""

    def of(decoding: str, metric: str) -> Score:
        return score_of(results, BASE, decoding, metric)

    def best(metric: str, names: Iterable[str], *, least: bool = False) -> Score:
        return (min if least else max)((of(name, metric) for name in names), key=lambda score: score.value)

    narrow, wide = (best("ap_percent", [swept(distance, iou) for distance in DISTANCES_M])
                    for iou in (IOUS[-1], IOUS[0]))  # fmt: skip
    errors = [best("mpjpe_mm", [swept(far, iou) for iou in IOUS], least=True) for far in (0.125, 0.03)]
    ppi = [PPI, *(swept(distance, iou) for distance in DISTANCES_M for iou in IOUS)]
    nms = [NMS, *map(suppressing, IOUS)]
    told = "each with its best thresholds"
    return [
        _better("ppi-ap", f"integration (PPI) has a higher AP than NMS, {told}", best("ap_percent", ppi),
                best("ap_percent", nms)),
        _better("ppi-pckh", f"and a higher PCKh, {told}", best("pckh_percent", ppi), best("pckh_percent", nms)),
        _better("ppi-mpjpe", "and a lower MPJPE of the people whom both find", _both(results, PPI), _both(results, NMS),
                less=True, unit="mm"),
        _better("rescoring-ppi", "rescoring raises the AP of PPI", of(PPI, "ap_percent"), of(PLAIN_PPI, "ap_percent")),
        _better("rescoring-nms", "rescoring raises the AP of NMS", of(NMS, "ap_percent"), of(PLAIN_NMS, "ap_percent")),
        _better("second-estimate", "the second estimate has a higher AP than the first one of the same network",
                of(PPI, "ap_percent"), of(FIRST, "ap_percent")),
        _better("second-estimate-mpjpe", "and a lower MPJPE", of(PPI, "mpjpe_mm"), of(FIRST, "mpjpe_mm"), less=True,
                unit="mm"),
        _better("bound-pckh", "the best proposals have a PCKh that is ≥ 5 points higher than what is integrated",
                of(BOUND, "pckh_percent"), of(PPI, "pckh_percent"), target=5.0),
        _better("bound-mpjpe", "and a lower MPJPE", of(BOUND, "mpjpe_mm"), of(PPI, "mpjpe_mm"), less=True, unit="mm"),
        _better("sweep-iou", f"AP of several people wants an IoU of {IOUS[-1]:g} rather than {IOUS[0]:g}, each with "
                "its best T3D", narrow, wide),
        _better("sweep-t3d", "MPJPE wants a T3D of 125 mm rather than 30 mm, each with its best IoU", errors[0],
                errors[1], less=True, unit="mm"),
    ]  # fmt: skip


def _training_claims(results: Results) -> list[Claim]:
    """What parts of the network are worth, each trained anew without it."""

    def of(variant: Variant, metric: str, part: Part = "scores", decoding: str = PPI) -> Score:
        return score_of(results, variant, decoding, metric, part)

    middle = [of(variant, "mpjpe_mm") for variant in (BASE, MANY_ANCHORS)]
    return [
        _better("iterative-ap", "the iterative head raises AP", of(BASE, "ap_percent"), of(FIRST_ONLY, "ap_percent")),
        _better("iterative-mpjpe", "and lowers MPJPE", of(BASE, "mpjpe_mm"), of(FIRST_ONLY, "mpjpe_mm"), less=True,
                unit="mm"),
        _better("upper-truncated", "upper-body classes raise the AP of people of whom a leg is outside the picture",
                of(BASE, "ap_percent", "truncated"), of(WHOLE_ONLY, "ap_percent", "truncated")),
        _better("upper-truncated-pckh", "and their PCKh", of(BASE, "pckh_percent", "truncated"),
                of(WHOLE_ONLY, "pckh_percent", "truncated")),
        _better("3d-ap", "learning 3D beside 2D raises AP in 2D, both by NMS, which does without 3D",
                *(of(variant, "ap_percent", decoding=NMS) for variant in (BASE, FLAT))),
        _better("align-ap", "RoIAlign has a higher AP than RoI pooling, on one map of stride 16",
                of(ALIGNED, "ap_percent"), of(POOLED, "ap_percent")),
        _better("align-mpjpe", "and a lower MPJPE", of(ALIGNED, "mpjpe_mm"), of(POOLED, "mpjpe_mm"), less=True,
                unit="mm"),
        _better("anchors", "more anchor poses than the fewest lower MPJPE, the better of two larger K",
                _least(middle), of(FEW_ANCHORS, "mpjpe_mm"), less=True, unit="mm"),
        _better("joints", "MPJPE over 17 joints is lower than over 13, since those of the trunk are easier",
                of(MORE_JOINTS, "mpjpe_mm"), of(BASE, "mpjpe_mm"), less=True, unit="mm"),
    ]  # fmt: skip


def _both(results: Results, kind: str) -> Score:
    """MPJPE by a kind of decoding, of the people whom integration and suppression find."""
    mine = [result["both_found"] for result in results if result["variant"] == BASE.name]
    values = [its["mpjpe_mm"][kind] for its in mine]
    return (
        Score(statistics.fmean(values), _means([its["blocks"][kind] for its in mine])) if None not in values else _NONE
    )


def _least(scores: Sequence[Score]) -> Score:
    return _NONE if any(math.isnan(score.value) for score in scores) else min(scores)


def _source_claims(results: Results) -> list[Claim]:
    """What more rendered people are worth, source by source."""
    made: list[Claim] = []
    steps = ((FROM_MADE, FROM_ONE, "one", "pictures of one motion capture beside poses made by rule"),
             (FROM_ONE, FROM_ALL, "all", "pictures of all motion capture instead of one"))  # fmt: skip
    for before, after, key, what in steps:
        ap = [score_of(results, variant, PPI, "ap_percent") for variant in (after, before)]
        error = [score_of(results, variant, PPI, "mpjpe_mm") for variant in (after, before)]
        made += [
            _better(f"source-{key}-ap", f"{what} raise AP, in as many steps", *ap),
            _better(f"source-{key}-mpjpe", f"{what} lower MPJPE", *error, less=True, unit="mm"),
        ]
    return made


def _pose_claims(poses: Sequence[Row]) -> list[Claim]:
    """What needs no network."""
    errors = [row["held_out_mm"] for row in sorted(
        (row for row in poses if row["what"] == "quantisation"), key=lambda row: row["anchors"])]  # fmt: skip
    falls = [later < before for before, later in zip(errors, errors[1:], strict=False)]
    made = [
        Claim(id="quantisation", text="the quantisation error of held-out people falls with every larger K (share)",
              value=statistics.fmean(falls) if falls else float("nan"), target=1.0),
    ]  # fmt: skip
    matched = {row["motion"]: row for row in poses if row["what"] == "matching"}
    if matched:
        for key, what in (("distance_2d", "in the picture"), ("distance_mm", "in space")):
            value = 1 - matched[ALL_SOURCES][key] / matched[ONE_SOURCE][key]
            name = f"matching-{'2d' if key == 'distance_2d' else '3d'}"
            made.append(Claim(id=name, value=value, target=0.0,
                              text=f"merging motion captures cuts the matching error {what} (share)"))  # fmt: skip
    return made
