"""`sightline bench deeplift-speed`: the smoke version runs, and its twins agree."""

from __future__ import annotations

import pytest

from sightline.bench.deeplift_speed import ALIKE, LACKING, LAYER, WEIGHTED, bench_deeplift_speed


@pytest.mark.slow
def test_every_way_is_measured_beside_its_twin() -> None:
    measured = bench_deeplift_speed(quick=True)
    rows = {row["what"]: row for row in measured.rows}
    assert len(rows) == 9
    assert all(float(row["one_by_one"]) > 0 and float(row["batch"]) > 0 for row in rows.values())
    for name in (ALIKE, LACKING, WEIGHTED, LAYER):
        assert float(rows[name]["same_share"]) >= 0.95
        assert float(rows[name]["largest_difference"]) < 1e-5
    assert {claim.id for claim in measured.claims if not claim.holds} <= {
        f"{way}-{kind}" for way in ("alike", "missing", "weighted") for kind in ("one_by_one", "batch", "same")
    } | {"layer-faster"}
