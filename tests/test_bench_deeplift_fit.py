"""`sightline bench deeplift-fit`: the smoke version runs, each fit in a process of its own, and says what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import sightline.bench.deeplift_fit as bench
from deeplift_world import poses
from sightline.errors import InputError
from sightline.methods.deeplift.fit import doubled
from sightline.methods.deeplift.mixture import FitConfig, fit_mixture


@pytest.mark.slow
def test_a_fit_is_measured_in_a_process_of_its_own() -> None:
    row = bench._fit_apart(1_000, bench.QUICK_CONFIG)  # pyright: ignore[reportPrivateUsage]
    assert row["poses"] == 1_000
    assert row["cpu_seconds"] > 0
    assert row["microseconds"] > 0
    assert row["peak_mebibytes"] > row["poses_mebibytes"] > 0
    assert row["beyond_mebibytes"] == pytest.approx(row["peak_mebibytes"] - row["poses_mebibytes"])
    here = bench.measure_cost(bench._poses(1_000), bench.QUICK_CONFIG)  # pyright: ignore[reportPrivateUsage]
    assert row["log_likelihood"] == pytest.approx(here["log_likelihood"], abs=1e-6)


def test_every_number_of_poses_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(count: int, config: FitConfig) -> dict[str, Any]:
        return bench.measure_cost(bench._poses(count), config)  # pyright: ignore[reportPrivateUsage]

    monkeypatch.setattr(bench, "_fit_apart", here)
    done: list[tuple[int, int]] = []
    measured = bench.bench_deeplift_fit(quick=True, progress=lambda *step: done.append(step))
    assert [row["poses"] for row in measured.rows] == list(bench.QUICK_COUNTS)
    assert done == [(1, 2), (2, 2)]
    claims = {claim.id: claim for claim in measured.claims}
    assert set(claims) == {"seconds", "memory", "time-growth", "memory-growth"}
    assert claims["seconds"].holds
    assert claims["memory"].holds


def test_what_is_measured_is_the_fit() -> None:
    shape = doubled(poses(200))
    config = replace(bench.QUICK_CONFIG, sample=300)
    told, found = bench.measure_cost(shape, config), fit_mixture(shape, config)
    assert told["passes"] == {part: len(trace) for part, trace in found.traces.items()}
    assert told["log_likelihood"] == pytest.approx(found.traces["all"][-1])
    assert told["poses_mebibytes"] == pytest.approx(400 * 48 * 8 / 2**20)


def test_claims_tell_growth_from_the_least_to_the_most() -> None:
    rows = [
        {"poses": 1_000, "seconds": 1.0, "microseconds": 2.0, "peak_mebibytes": 300.0},
        {"poses": 4_000, "seconds": 700.0, "microseconds": 3.0, "peak_mebibytes": 300.0 + 3 * 3_000 * 192 / 2**20},
    ]
    claims = {claim.id: claim for claim in bench._claims(rows)}  # pyright: ignore[reportPrivateUsage]
    assert claims["time-growth"].value == pytest.approx(1.5)
    assert claims["memory-growth"].value == pytest.approx(3.0)
    assert {name for name, claim in claims.items() if claim.holds} == {"memory"}


def test_a_fit_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_CHILD", "import sys; sys.exit('out of memory')")
    with pytest.raises(InputError, match="a fit to 1000 poses failed: out of memory"):
        bench.bench_deeplift_fit(quick=True)


def test_the_poses_are_always_the_same() -> None:
    assert torch.equal(bench._poses(60), bench._poses(60))  # pyright: ignore[reportPrivateUsage]
