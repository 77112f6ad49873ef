"""The paper's claims about LCR-Net++ as differences between variants, means over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

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
from sightline.bench.lcrnet_scoring import BOUND, DISTANCES_M, FIRST, IOUS, NMS, PLAIN_NMS, PLAIN_PPI, PPI, swept
from sightline.bench.report import Claim, Row

Results = Sequence[Mapping[str, Any]]
Part = Literal["scores", "truncated"]

REASONS: dict[str, str] = {}
"""Why a claim may fail to hold; told only where it does."""


def value_of(results: Results, variant: Variant, decoding: str, metric: str, part: Part = "scores") -> float:
    """Return a score's mean over seeds; NaN where a seed has none, or the variant was not trained."""
    mine = [result[part].get(decoding, {}).get(metric) for result in results if result["variant"] == variant.name]
    return statistics.fmean(mine) if mine and None not in mine else float("nan")


def claims(results: Results, poses: Sequence[Row]) -> list[Claim]:
    """Return the claims that can be judged: those on variants that were trained and scores that there are."""
    made = [*_decoding_claims(results), *_training_claims(results), *_source_claims(results), *_pose_claims(poses)]
    judged = [claim for claim in made if not math.isnan(claim.value)]
    return [claim if claim.holds else replace(claim, reason=REASONS.get(claim.id)) for claim in judged]


def _better(
    key: str, text: str, one: float, other: float, *, less: bool = False, target: float = 0.0, unit: str = "points"
) -> Claim:
    """A claim that one is better than the other: more, or less, by at least the target."""
    value = other - one if less else one - other
    return Claim(id=key, text=f"{text} (difference, {unit})", value=value, target=target)


def _decoding_claims(results: Results) -> list[Claim]:
    """What different ways to decode the base network's proposals are worth."""

    def of(decoding: str, metric: str) -> float:
        return value_of(results, BASE, decoding, metric)

    narrow, wide = (max(of(swept(distance, iou), "ap_percent") for distance in DISTANCES_M)
                    for iou in (IOUS[-1], IOUS[0]))  # fmt: skip
    errors = [min(of(swept(distance, iou), "mpjpe_mm") for iou in IOUS) for distance in (0.125, 0.03)]
    return [
        _better("ppi-ap", "integration (PPI) has a higher AP than NMS", of(PPI, "ap_percent"), of(NMS, "ap_percent")),
        _better("ppi-pckh", "and a higher PCKh", of(PPI, "pckh_percent"), of(NMS, "pckh_percent")),
        _better("ppi-mpjpe", "and a lower MPJPE", of(PPI, "mpjpe_mm"), of(NMS, "mpjpe_mm"), less=True, unit="mm"),
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

    def of(variant: Variant, metric: str, part: Part = "scores") -> float:
        return value_of(results, variant, PPI, metric, part)

    middle = [of(variant, "mpjpe_mm") for variant in (BASE, MANY_ANCHORS)]
    return [
        _better("iterative-ap", "the iterative head raises AP", of(BASE, "ap_percent"), of(FIRST_ONLY, "ap_percent")),
        _better("iterative-mpjpe", "and lowers MPJPE", of(BASE, "mpjpe_mm"), of(FIRST_ONLY, "mpjpe_mm"), less=True,
                unit="mm"),
        _better("upper-truncated", "upper-body classes raise the AP of people of whom a leg is outside the picture",
                of(BASE, "ap_percent", "truncated"), of(WHOLE_ONLY, "ap_percent", "truncated")),
        _better("upper-truncated-pckh", "and their PCKh", of(BASE, "pckh_percent", "truncated"),
                of(WHOLE_ONLY, "pckh_percent", "truncated")),
        _better("3d-ap", "learning 3D beside 2D raises AP in 2D", of(BASE, "ap_percent"), of(FLAT, "ap_percent")),
        _better("align-ap", "RoIAlign has a higher AP than RoI pooling, on one map of stride 16",
                of(ALIGNED, "ap_percent"), of(POOLED, "ap_percent")),
        _better("align-mpjpe", "and a lower MPJPE", of(ALIGNED, "mpjpe_mm"), of(POOLED, "mpjpe_mm"), less=True,
                unit="mm"),
        _better("anchors", "more anchor poses than the fewest lower MPJPE, the better of two larger K",
                _least(middle), of(FEW_ANCHORS, "mpjpe_mm"), less=True, unit="mm"),
        _better("joints", "MPJPE over 17 joints is lower than over 13, since those of the trunk are easier",
                of(MORE_JOINTS, "mpjpe_mm"), of(BASE, "mpjpe_mm"), less=True, unit="mm"),
    ]  # fmt: skip


def _least(values: Sequence[float]) -> float:
    return float("nan") if any(math.isnan(value) for value in values) else min(values)


def _source_claims(results: Results) -> list[Claim]:
    """What more rendered people are worth, source by source."""
    made: list[Claim] = []
    steps = ((FROM_MADE, FROM_ONE, "one", "pictures of one motion capture beside poses made by rule"),
             (FROM_ONE, FROM_ALL, "all", "pictures of all motion capture instead of one"))  # fmt: skip
    for before, after, key, what in steps:
        ap = [value_of(results, variant, PPI, "ap_percent") for variant in (after, before)]
        error = [value_of(results, variant, PPI, "mpjpe_mm") for variant in (after, before)]
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
