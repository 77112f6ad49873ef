"""The speed benchmark of perspective crops: equal crops are compared, claims come from the rows, memory is counted."""

from __future__ import annotations

import pytest
import torch

from sightline.bench import perspective_speed as bench
from sightline.bench.perspective_speed import (
    AFFINE,
    NAIVE,
    OURS,
    PEER,
    SHRUNK,
    SHRUNK_SMOOTH,
    SMOOTH,
    bench_perspective_speed,
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "CROP", 32)
    monkeypatch.setattr(bench, "PICTURE", 128)
    monkeypatch.setattr(bench, "LARGE", 100)


@pytest.mark.usefixtures("small")
def test_all_ways_that_should_see_the_same_do() -> None:
    image, centers = bench._pictures(3)
    ways = bench._ways(3, centers)
    crops = {name: way(image, centers) for name, way in ways.items()}
    torch.testing.assert_close(crops[NAIVE], crops[OURS], atol=1e-3, rtol=0)
    if PEER in ways:
        torch.testing.assert_close(crops[PEER], crops[OURS], atol=1e-3, rtol=0)
    torch.testing.assert_close(crops[SMOOTH], crops[OURS])
    assert crops[SHRUNK_SMOOTH].std() < 0.7 * crops[SHRUNK].std()  # the means of noise
    assert {value.shape for value in crops.values()} == {(3, 3, 32, 32)}


@pytest.mark.usefixtures("small")
def test_rows_claims_and_threads() -> None:
    before = torch.get_num_threads()
    seen: list[tuple[int, int]] = []
    measured = bench_perspective_speed(quick=True, progress=lambda done, every: seen.append((done, every)))
    assert torch.get_num_threads() == before
    assert seen[-1] == (3, 3)
    rows = {row["what"]: row for row in measured.rows}
    assert {OURS, SMOOTH, AFFINE, NAIVE} <= set(rows)
    claims = {claim.id: claim for claim in measured.claims}
    assert claims["affine-forward"].value == rows[OURS]["forward_ms"] / rows[AFFINE]["forward_ms"]
    assert claims["memory"].holds
    assert ("peer-both" in claims) == (PEER in rows)


@pytest.mark.usefixtures("small")
def test_memory_is_what_the_backward_pass_needs() -> None:
    """A grid of 32 × 32 × 2 floats, and the crop; the naive twin keeps what it divides as well."""
    image, centers = bench._pictures(4)
    ways = bench._ways(4, centers)
    kept = {name: bench._bytes_kept(ways[name], image, centers) for name in (OURS, AFFINE, NAIVE)}
    least = 4 * (32 * 32 * 2 + 3 * 32 * 32) * 4
    assert least <= kept[AFFINE] < 1.1 * least
    assert least <= kept[OURS] < 1.1 * least
    assert kept[NAIVE] > 1.3 * least
