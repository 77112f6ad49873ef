"""`sightline bench lcrnet-speed`: the loops give the same answer, searches are compared, claims can hold and fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sightline.bench import lcrnet_speed_network as network_file
from sightline.bench.lcrnet_proposals import SKELETON, made_anchors, made_proposals
from sightline.bench.lcrnet_speed import Effort, claims
from sightline.bench.lcrnet_speed_decoding import (
    THRESHOLDS,
    as_modes,
    integration_row,
    largest_difference,
    twin_arguments,
)
from sightline.bench.lcrnet_speed_network import (
    CROWDED,
    LARGE,
    NOTHING,
    SMALL,
    memory_rows,
    network_rows,
    regression_rows,
    the_network,
)
from sightline.bench.lcrnet_speed_search import LACKING, WHOLE, Best, asked_people, looked_through, same_share
from sightline.bench.lcrnet_twin import integrated as twin
from sightline.bench.report import Row
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.errors import InputError, UsageError
from sightline.methods.lcrnet.boxes import pose_boxes
from sightline.methods.lcrnet.decode import integrated, rescored
from sightline.methods.lcrnet.search import pose_index
from sightline.methods.lcrnet.views import drawn_views

ANCHORS = made_anchors(8)


@pytest.mark.parametrize("name", list(THRESHOLDS))
def test_the_loops_give_the_same_answer(name: str) -> None:
    proposals = rescored(made_proposals(150, people=3, anchors=ANCHORS, boxes=40), SKELETON)
    row = integration_row(name, proposals, THRESHOLDS[name], 1)
    assert row["proposals"] == 150
    assert row["largest_difference"] < 1e-9
    assert row["speedup"] > 0
    assert row["loop_without_spreads_ms"] > 0


def test_other_answers_are_noticed() -> None:
    proposals, config = made_proposals(80, people=2, anchors=ANCHORS, boxes=30), THRESHOLDS["usual"]
    modes = integrated(proposals, SKELETON, config)
    told = as_modes(twin(*twin_arguments(proposals, config)))
    assert 1 < len(modes.scores) < 80
    assert largest_difference(modes, told) < 1e-9
    assert largest_difference(modes, told._replace(trust=told.trust + 0.25)) == pytest.approx(0.25)
    assert largest_difference(modes, told._replace(count=told.count + 1)) == float("inf")
    assert largest_difference(modes, told._replace(sigma_m=np.nan_to_num(told.sigma_m))) == float("inf")
    assert largest_difference(modes, integrated(proposals.chosen(np.arange(40)), SKELETON, config)) == float("inf")


def test_proposals_are_as_a_network_gives_them() -> None:
    proposals = made_proposals(200, people=3, anchors=ANCHORS, boxes=60, seed=4)
    again = made_proposals(200, people=3, anchors=ANCHORS, boxes=60, seed=4)
    assert all(np.array_equal(one, other) for one, other in zip(proposals, again, strict=True))
    assert (np.diff(proposals.scores) <= 0).all()
    assert 0.1 < proposals.upper.mean() < 0.9
    assert (proposals.scores > 0).all()
    assert (proposals.scores < 1).all()
    modes = integrated(proposals, SKELETON)
    assert (modes.count > 5).sum() >= 3  # about each of them
    everything = made_proposals(10_000, people=0, anchors=ANCHORS, boxes=5)
    assert len(everything.scores) == 5 * 2 * len(ANCHORS)
    assert np.isfinite(pose_boxes(everything.poses_px)).all()


def test_brute_force_finds_what_the_search_finds() -> None:
    people = procedural_poses(200, step_generator(1, 0))
    points = drawn_views(people, 1500, SKELETON, step_generator(1, 1))[..., :2]
    asked = asked_people(people, 40)
    assert list(asked) == [WHOLE, LACKING]
    assert asked[WHOLE].isfinite().all()
    known = asked[LACKING].isfinite().all(-1)
    assert 0.65 < float(known.float().mean()) < 0.9
    assert int(known.sum(1).min()) >= 4
    index = pose_index(points)
    for queries in asked.values():
        found, brute = index.search(queries), looked_through(points, queries)
        assert same_share(found.rows[:, 0], found.distance[:, 0], brute) == 1.0
        worse = Best((brute.rows + 1) % 1500, brute.distance - 0.1)
        assert same_share(found.rows[:, 0], found.distance[:, 0], worse) == 0.0


def test_the_network_of_another_size_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = the_network(None)
    larger = network.looking_at(640)
    assert (larger.config.short_px, larger.config.long_px) == (480, 640)
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), larger.parameters(), strict=True))
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    monkeypatch.setattr(network_file, "crowd_pictures", lambda count, long_px, people=4: [noise] * count)
    rows = network_rows((64,), pictures=1, repeats=1, weights=None)
    assert [row["threads"] for row in rows] == [2, 1]
    assert all(row["frames_per_second"] > 0 and row["proposals"] >= 500 for row in rows)
    with pytest.raises(UsageError):
        the_network("no-such-weights")


def test_the_regression_layer_is_counted() -> None:
    dense, asked, ranked = regression_rows()
    assert asked["parameters"] == 2 * 400 * 65 * (4096 + 1) + 2048 * 400 * 65
    assert dense["parameters"] == 2 * 401 * 65 * (4096 + 1) + 2048 * 401 * 65
    assert ranked["parameters"] == 2 * ((64 + 65) * 4096 + 400 * 65 * (64 + 1)) + 2048 * (64 + 65)
    assert dense["numbers_of_a_picture"] == 300 * 401 * 65


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own() -> None:
    held = np.ones(2**27)  # a gigabyte, which is not theirs
    nothing, picture, large, crowd = memory_rows((NOTHING, SMALL, LARGE, CROWDED), None)
    assert large["peak_mebibytes"] - picture["peak_mebibytes"] < 1.5 * 6000 * 4000 * 3 / 2**20
    assert crowd["proposals"] >= 500
    assert nothing["peak_mebibytes"] < network_file._peak_mebibytes() - held.nbytes / 2**21
    assert nothing["beyond_mebibytes"] == 0
    assert picture["proposals"] >= 500
    assert 100 < nothing["peak_mebibytes"] <= 1.2 * picture["peak_mebibytes"]
    with pytest.raises(InputError, match="memory of nothing: the process failed"):
        memory_rows((NOTHING,), "no-such-weights")


def rows(factor: float) -> list[Row]:
    """What is measured, so many times as good as what is claimed."""
    found: list[dict[str, Any]] = [
        {"what": "integration, thresholds usual", "proposals": count, "speedup": 20 * factor,
         "speedup_without_spreads": 20 * factor, "largest_difference": 1e-9 / factor}
        for count in (5, 50)
    ]  # fmt: skip
    for name, least in ((WHOLE, 1000), (LACKING, 300)):
        found.append({"what": f"search, {name}", "queries_per_second": least * factor, "same_share": min(1.0, factor)})
    most = 2e9 / 2**20 / factor
    found += [{"what": "memory, 6000 × 4000 px", "peak_mebibytes": most},
              {"what": "memory, 320 × 240 px", "peak_mebibytes": most - 1.5 * 68.445 / factor}]  # fmt: skip
    shares = ((1.0, 1.0), (0.01 / factor, 1.0), (0.01, 0.05 / factor))
    found += [
        {"what": f"regression layer, {number}", "numbers_of_a_picture": numbers, "parameters": parameters}
        for number, (numbers, parameters) in enumerate(shares)
    ]
    return found


@pytest.mark.parametrize(("factor", "holds"), [(1.1, True), (0.9, False)])
def test_claims_hold_where_figures_reach_them(factor: float, holds: bool) -> None:
    made = claims(rows(factor), Effort(proposals=(5, 50)))
    assert [claim.id for claim in made] == [
        "integration-5", "integration-5-without-spreads", "integration-50", "integration-50-without-spreads",
        "integration-same", "search-all", "search-all-same", "search-missing", "search-missing-same", "memory-large",
        "memory", "regression", "regression-rank",
    ]  # fmt: skip
    assert {claim.holds for claim in made} == {holds}
