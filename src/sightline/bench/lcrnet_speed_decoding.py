"""How fast pose proposals are integrated, beside plain loops with the same answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from sightline.bench.lcrnet_proposals import SKELETON, made_anchors, made_proposals
from sightline.bench.lcrnet_twin import integrated as twin
from sightline.methods.lcrnet.decode import Integration, Modes, Proposals, integrated, rescored

PEOPLE: Final = 6
THRESHOLDS: Final = {
    "usual": Integration(),
    "of AP": Integration(iou=0.54, distance_m=0.03),
}
"""Ours, and those of the paper's AP, under which hardly two poses agree."""


_LOOP_SECONDS: Final = 8.0


def integration_rows(counts: Sequence[int], *, classes: int, repeats: int) -> list[dict[str, Any]]:
    """Return a row per number of proposals and thresholds: milliseconds of both, and how far answers are apart.

    Args:
        counts: of the proposals.
        classes: K.
        repeats: runs of each at most, after one that does not count: as many of all as the loops do in some seconds, 3
            at least. The best counts.
    """
    anchors, rows = made_anchors(classes), []
    for name, config in THRESHOLDS.items():
        for count in counts:
            proposals = rescored(made_proposals(count, people=PEOPLE, anchors=anchors), SKELETON)
            rows.append(integration_row(name, proposals, config, repeats))
    return rows


def integration_row(name: str, proposals: Proposals, config: Integration, repeats: int) -> dict[str, Any]:
    """Return the row of some proposals."""
    arguments = twin_arguments(proposals, config)
    once, told = best_of(lambda: twin(*arguments), 1)
    repeats = min(repeats, max(3, round(_LOOP_SECONDS / once)))
    loops, _ = best_of(lambda: twin(*arguments), repeats)
    ours, modes = best_of(lambda: integrated(proposals, SKELETON, config), repeats)
    plain, _ = best_of(lambda: integrated(proposals, SKELETON, replace(config, spreads=False)), repeats)
    paper, _ = best_of(lambda: twin(*arguments, spreads=False), repeats)
    return {
        "what": f"integration, thresholds {name}",
        "proposals": len(proposals.scores),
        "runs": repeats,
        "groups": len(np.unique(modes.group)),
        "modes": len(modes.scores),
        "upper_share": float(proposals.upper.mean()),
        "ms": 1000 * ours,
        "loop_ms": 1000 * loops,
        "speedup": loops / ours,
        "without_spreads_ms": 1000 * plain,
        "loop_without_spreads_ms": 1000 * paper,
        "speedup_without_spreads": paper / plain,
        "largest_difference": largest_difference(modes, as_modes(told)),
    }


def twin_arguments(proposals: Proposals, config: Integration) -> tuple[Any, ...]:
    """Return proposals and thresholds as the loops take them."""
    lists = (proposals.poses_px, proposals.joints_m, proposals.scores, proposals.upper)
    return (*(part.tolist() for part in lists), SKELETON.joints, config.iou, config.distance_m, config.leg_weight)


def as_modes(told: Sequence[dict[str, Any]]) -> Modes:
    """Return what the loops found as `integrated` tells it: by falling score."""
    ranked = sorted(told, key=lambda mode: -mode["score"])
    names = ("px", "m", "score", "sigma", "group", "count", "first", "trust", "size_sigma")
    return Modes(*(np.array([mode[name] for mode in ranked]) for name in names))


def largest_difference(one: Modes, other: Modes) -> float:
    """Return by how much any number of two answers differs at most; infinity where they are of other proposals."""
    if not all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("first", "group", "count")):
        return float("inf")
    apart = [0.0]
    for name in ("poses_px", "joints_m", "scores", "sigma_m", "trust", "size_sigma"):
        mine, its = getattr(one, name), getattr(other, name)
        if not np.array_equal(np.isnan(mine), np.isnan(its)):
            return float("inf")
        apart.append(float(np.nan_to_num(np.abs(mine - its)).max(initial=0.0)))
    return max(apart)


def best_of(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the seconds of the fastest of some runs, and what the last one returned; several come after a first."""
    best, result = float("inf"), work() if repeats > 1 else None
    for _ in range(repeats):
        began = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - began)
    return best, result
