"""The benchmark of ids: it measures what it says, and its twin is what it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sightline.bench.track as track_file
from sightline.bench.track import NearestRoots, bench_track, identity_scores
from sightline.cli import main
from sightline.data.crossings import CrossingConfig, draw_crossing
from sightline.structures import Person


def at(x: float, z: float) -> Person:
    return Person(
        joints_cam_m=np.full((17, 3), (x, 0.0, z)), keypoints_px=np.ones((17, 2)), confidence=np.ones(17), score=1.0,
        root_depth_canonical=None,
    )  # fmt: skip


def ids(people: tuple[Person, ...]) -> list[int | None]:
    return [person.id for person in people]


def test_the_twin_takes_the_nearest_pair_first_and_forgets() -> None:
    twin = NearestRoots(reach_m=1.0, gap_s=1.0)
    assert ids(twin.update([at(0, 4), at(0.5, 4)], 0.0)) == [0, 1]
    assert ids(twin.update([at(0.6, 4), at(0.4, 4)], 0.1)) == [1, 0]
    assert ids(twin.update([at(3.0, 4)], 0.2)) == [2]
    assert ids(twin.update([at(0.5, 4)], 1.5)) == [3]


def test_ids_that_are_true_score_all_that_was_found() -> None:
    film = draw_crossing(0, CrossingConfig(people=3, frames=60, doubled=0, false=0, missed=0.2))

    class Truth:
        def __init__(self) -> None:
            self.sources = iter(seen.source for seen in film.seen)

        def update(self, people: Sequence[Person], time_s: float) -> tuple[Person, ...]:
            return tuple(replace(person, id=name) for person, name in zip(people, next(self.sources), strict=True))

    scores = identity_scores(film, Truth())
    assert (scores.idp, scores.switches) == (1.0, 0)
    assert scores.idr == pytest.approx(0.8, abs=0.1)


def test_the_quick_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(track_file, "QUICK_FRAMES", 15)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "track", "--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {claim["id"]: claim["target"] for claim in report["claims"]} == {
        **{f"idf1-{people}{kind}": 0.95 for people in range(2, 7) for kind in ("", "-hidden")}, "track-speed": 1000,
    }  # fmt: skip
    told = {row["what"]: row for row in report["rows"]}
    for people in range(2, 7):
        for kind in ("who cross", "who cross and hide"):
            row = told[f"ids of {people} people {kind}"]
            assert 0 < row["idf1_worst"] <= row["idf1"] <= 1
            assert 0 < row["naive_twin_idf1"] <= 1
    assert told["tracker, 6 people in every frame"]["people_per_frame"] == 6
    assert all(row["frames_per_second"] > 0 for row in report["rows"] if "frames_per_second" in row)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_claims_of_the_benchmark_are_those_of_its_rows() -> None:
    measured = bench_track(quick=True)
    claims = {claim.id: claim for claim in measured.claims}
    speeds = [row["frames_per_second"] for row in measured.rows if row["what"].startswith("tracker")]
    assert claims["track-speed"].value == min(speeds)
    for row in measured.rows:
        if "idf1" in row:
            claim = claims[f"idf1-{row['people']}" + ("-hidden" if row["what"].endswith("hide") else "")]
            assert claim.value == row["idf1"]
            assert claim.holds or claim.reason or not row["what"].endswith("hide")
