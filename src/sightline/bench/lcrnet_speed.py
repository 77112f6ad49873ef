"""Speed and memory of LCR-Net++: its decoding, its search through motion capture, the whole network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from sightline.bench.lcrnet_speed_decoding import PEOPLE, integration_rows
from sightline.bench.lcrnet_speed_network import KINDS, LARGE, SMALL, memory_rows, network_rows, regression_rows
from sightline.bench.lcrnet_speed_search import LACKING, MISSING, NOISE, WHOLE, search_rows
from sightline.bench.report import Claim, Measured, Row

_MOST_GIGABYTES: Final = 2.0
_PICTURE_MEBIBYTES: Final = {SMALL: 320 * 240 * 3 / 2**20, LARGE: 6000 * 4000 * 3 / 2**20}


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured."""

    proposals: tuple[int, ...] = (500, 5000)
    classes: int = 100
    """K, as full and upper bodies twice as many classes."""
    repeats: int = 30
    views: int = 1_000_000
    queries: int = 4096
    compared: int = 512
    sizes_px: tuple[int, ...] = (320, 640)
    pictures: int = 4
    memory: tuple[str, ...] = KINDS


QUICK: Final = Effort(
    proposals=(60, 200), classes=8, repeats=2, views=3000, queries=64, compared=32, sizes_px=(96,), pictures=1,
    memory=KINDS[:2],
)  # fmt: skip


def bench_lcrnet_speed(
    library: Path | None,
    *,
    quick: bool = False,
    effort: Effort | None = None,
    weights: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Measure decoding on one thread, search and network on two and on one, memory in processes of their own.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes poses made by rule.
        quick: a few of everything, which shows that it runs and nothing else.
        effort: how much is measured, where it is to be another than usual.
        weights: of the network, a name or path; None takes lcrnet-synth, and random ones where that is not there.
        progress: called with the number of parts done and of all.
    """
    effort = effort or (QUICK if quick else Effort())
    before = torch.get_num_threads()
    parts: Sequence[tuple[int, Callable[[], list[dict[str, Any]]]]] = (
        (1, lambda: integration_rows(effort.proposals, classes=effort.classes, repeats=10 * effort.repeats)),
        (2, lambda: search_rows(
            library, views=effort.views, queries=effort.queries, compared=effort.compared)),
        (1, lambda: network_rows(
            effort.sizes_px, pictures=effort.pictures, repeats=min(effort.repeats, 10), weights=weights)),
        (1, lambda: memory_rows(effort.memory, weights)),
        (1, regression_rows),
    )  # fmt: skip
    rows: list[Row] = []
    try:
        for done, (threads, part) in enumerate(parts, start=1):
            torch.set_num_threads(threads)
            rows += part()
            if progress is not None:
                progress(done, len(parts))
    finally:
        torch.set_num_threads(before)
    return Measured(rows=rows, claims=claims(rows, effort), notes=_notes(effort, library))


def claims(rows: Sequence[Row], effort: Effort) -> list[Claim]:
    """Return what is claimed of the rows."""
    made: list[Claim] = []
    for count in effort.proposals:
        row = _of(rows, what="integration, thresholds usual", proposals=count)
        made += [
            Claim(id=f"integration-{count}", target=20.0, value=row["speedup"],
                  text=f"integration of {count} proposals is ≥ 20 times as fast as plain loops with the same answer"),
            Claim(id=f"integration-{count}-without-spreads", target=20.0, value=row["speedup_without_spreads"],
                  text="and where neither tells spreads, as in the paper"),
        ]  # fmt: skip
    apart = max(row["largest_difference"] for row in rows if str(row["what"]).startswith("integration"))
    made.append(Claim(
        id="integration-same", value=apart, target=1e-9, better="at_most",
        text="largest difference of any number of both answers (px, m, scores)",
    ))  # fmt: skip
    for name, key, least in ((WHOLE, "all", 1000.0), (LACKING, "missing", 300.0)):
        mine = [row for row in rows if row["what"] == f"search, {name}"]
        made += [
            Claim(id=f"search-{key}", value=max(row["queries_per_second"] for row in mine), target=least,
                  text=f"exact search among {effort.views:,} views, {name}: ≥ {least:g} queries/s on two cores"),
            Claim(id=f"search-{key}-same", value=min(row["same_share"] for row in mine), target=1.0,
                  text="share of the matches that are those of brute force"),
        ]  # fmt: skip
    held = {str(row["what"]).removeprefix("memory, "): row["peak_mebibytes"] for row in rows
            if str(row["what"]).startswith("memory")}  # fmt: skip
    if LARGE in held:
        pictures = _PICTURE_MEBIBYTES[LARGE] - _PICTURE_MEBIBYTES[SMALL]
        made.append(Claim(
            id="memory-large", value=(held[LARGE] - held[SMALL]) / pictures, target=1.5, better="at_most",
            text=f"memory that a picture of {LARGE} takes beyond one of {SMALL}, times the picture's own (8 bits)",
        ))  # fmt: skip
    layers = [row for row in rows if str(row["what"]).startswith("regression layer")]
    return [
        *made,
        Claim(id="memory", value=max(held.values()) * 2**20 / 1e9, target=_MOST_GIGABYTES, better="at_most",
              text="most memory of a process of all these, GB"),
        Claim(id="regression", value=layers[1]["numbers_of_a_picture"] / layers[0]["numbers_of_a_picture"],
              target=0.01, better="at_most",
              text="numbers regressed for a picture by the paper's network, of those of all boxes and classes"),
        Claim(id="regression-rank", value=layers[2]["parameters"] / layers[0]["parameters"], target=0.05,
              better="at_most", text="parameters of all factorised regression, of those of the paper's"),
    ]  # fmt: skip


def _of(rows: Sequence[Row], **wanted: Any) -> Mapping[str, Any]:
    return next(row for row in rows if all(row.get(key) == value for key, value in wanted.items()))


def _notes(effort: Effort, library: Path | None) -> tuple[str, ...]:
    poses = "poses made by rule" if library is None else f"poses of {library.name}, its test split looked for"
    return (
        f"integration: one thread; proposals made of {PEOPLE} people, some 150 boxes on them and as many on nothing, "
        f"K = {effort.classes}, whole and upper bodies, the best pairs of box and class; the best of 3 to "
        f"{10 * effort.repeats} runs, as many of ours as of the loops; the loops find boxes once; spreads of pose and "
        "size are not the paper's: beside both stands what both take without",
        f"search: on two threads and on one, of which the faster counts; views of {poses}; annotations with noise of "
        f"{NOISE:g} of the body's size, {MISSING:.0%} missing at random; brute force by products of matrices in single "
        f"precision on the same threads, of {effort.compared} people",
        "network: recipe lcrnet-synth, rendered pictures of four people; with random weights every class is as likely, "
        f"so that far more proposals pass than with trained ones; the best of {min(effort.repeats, 10)} runs",
        "memory: resident peak of a process of its own, libraries included; pictures of noise and a rendered crowd, "
        "looked at and decoded; and as many proposals as a picture may have at most, decoded",
    )
