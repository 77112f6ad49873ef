"""How fast the nearest of a million views of motion capture is found, beside looking at all of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.bench.lcrnet_proposals import SKELETON
from sightline.data.virtual import step_generator
from sightline.methods.lcrnet.search import LEAST_JOINTS, PoseIndex, normalised, pose_index
from sightline.methods.lcrnet.views import drawn_views
from sightline.training.data import read_splits

MISSING: Final = 0.3
WHOLE, LACKING = "all joints annotated", f"{MISSING:.0%} of the joints missing, each person's own"
THREADS: Final = (2, 1)
NOISE: Final = 0.02
"""Of annotations, in a body's size."""
_SEEDS: Final = 31
_CHUNK: Final = 1 << 16
_SAME: Final = 1e-6
_DRAWN: Final = 50_000


class Best(NamedTuple):
    """The nearest view of each query."""

    rows: Int[Tensor, " query"]
    distance: Float[Tensor, " query"]


def search_rows(library: Path | None, *, views: int, queries: int, compared: int) -> list[dict[str, Any]]:
    """Return a row for people of whom all joints are annotated and one for those who lack some, per number of threads.

    Leaves torch with the last number of threads.

    Args:
        library: motion capture; None takes poses made by rule.
        views: to be searched, of its training split.
        queries: people of its test split, seen likewise, with noise.
        compared: how many of them are looked for among all views too.
    """
    splits = read_splits(library)
    parts = [
        drawn_views(splits.train, min(_DRAWN, views - start), SKELETON, step_generator(_SEEDS, start))[..., :2]
        for start in range(0, views, _DRAWN)
    ]
    points = torch.cat(parts)
    began = time.perf_counter()
    index = pose_index(points)
    built = time.perf_counter() - began
    rows: list[dict[str, Any]] = []
    for threads in THREADS:
        torch.set_num_threads(threads)
        rows += [
            {"what": f"search, {name}", "threads": threads, "views": views, "index_seconds": built,
             **_measured(index, points, asked, compared)}
            for name, asked in asked_people(splits.test, queries).items()
        ]  # fmt: skip
    return rows


def asked_people(joints_world: Float[Tensor, "pose 17 3"], count: int) -> dict[str, Float[Tensor, "query joint 2"]]:
    """Return people to be looked for: with all joints, and the same without some."""
    chance = step_generator(_SEEDS + 1, 0)
    seen = normalised(drawn_views(joints_world, count, SKELETON, chance)[..., :2])
    seen = seen + NOISE * torch.randn(seen.shape, generator=chance)
    shape = (count, len(SKELETON))
    first = torch.rand(shape, generator=chance).argsort(1).argsort(1) < LEAST_JOINTS + 1
    known = (torch.rand(shape, generator=chance) >= MISSING) | first
    return {WHOLE: seen, LACKING: torch.where(known[..., None], seen, torch.nan)}


def _measured(
    index: PoseIndex, points: Float[Tensor, "view joint 2"], asked: Float[Tensor, "query joint 2"], compared: int
) -> dict[str, Any]:
    index.search(asked[:64])
    began = time.perf_counter()
    found = index.search(asked)
    seconds = time.perf_counter() - began
    few = asked[:compared]
    began = time.perf_counter()
    brute = looked_through(points, few)
    brute_seconds = time.perf_counter() - began
    return {
        "queries": len(asked),
        "queries_per_second": len(asked) / seconds,
        "brute_force_per_second": len(few) / brute_seconds,
        "speedup": len(asked) / seconds * brute_seconds / len(few),
        "compared": len(few),
        "same_share": same_share(found.rows[:compared, 0], found.distance[:compared, 0], brute),
    }


def same_share(rows: Int[Tensor, " query"], distance: Float[Tensor, " query"], brute: Best) -> float:
    """Return the share of queries whose match is brute force's, or is as near but for what single precision rounds."""
    return float(((rows == brute.rows) | (distance <= brute.distance + _SAME)).double().mean())


def looked_through(points: Float[Tensor, "view joint 2"], asked: Float[Tensor, "query joint 2"]) -> Best:
    """Compare all views with all queries, by products of matrices, so many views at a time."""
    known, queries = asked.isfinite().all(-1), normalised(asked)
    flat, seen, whole = queries.flatten(1), known.to(queries), bool(known.all())
    best, rows = torch.full((len(asked),), -2.0), torch.zeros(len(asked), dtype=torch.long)
    for start in range(0, len(points), _CHUNK):
        part = normalised(points[start : start + _CHUNK])
        cosine = flat @ part.flatten(1).T
        if not whole:
            x, y = part.unbind(-1)
            middle = (seen @ x.T).square_() + (seen @ y.T).square_()
            square = seen @ (x * x + y * y).T - middle / seen.sum(1, keepdim=True)
            cosine /= square.clamp_min_(1e-12).sqrt_()
        largest = cosine.max(1)
        better = largest.values > best
        best = torch.where(better, largest.values, best)
        rows = torch.where(better, start + largest.indices, rows)
    its = points[rows].double().where(known[..., None], torch.nan)
    return Best(rows, (normalised(its) - normalised(asked.double())).flatten(1).norm(dim=1))
