"""PersPose's ablation: pictures by spread, variants that differ in one thing, claims by sign."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightline.bench import perspose as bench
from sightline.bench import perspose_runs as runs
from sightline.bench.perspose import BOTH, NEITHER, VARIANTS, angle_rows, claims, gain, rows
from sightline.bench.perspose_runs import (
    SPREADS,
    Effort,
    Flat,
    Run,
    angles_deg,
    config_of,
    first_path,
    first_weights,
    render_set,
    set_folder,
    started,
)
from sightline.cli import main
from sightline.methods.perspose.model import PersPose
from sightline.methods.perspose.samples import sample
from sightline.training.pictures import SetPeople

SMALL = replace(bench.QUICK, train_pictures=3, test_pictures=6)


def results(depth: dict[tuple[str, str], float]) -> list[dict[str, Any]]:
    """Two seeds; errors of depths as told, MPJPE 20 mm more."""
    return [
        {
            "spread": spread, "variant": variant.name, "seed": seed, "parameters": 10 + (variant != NEITHER),
            "seconds": 5.0,
            "scores": {
                "depth_error_mm": depth[spread, variant.name] * (1 + 0.1 * seed), "pa_mpjpe_mm": 50.0,
                "mpjpe_mm": (depth[spread, variant.name] + 20) * (1 + 0.1 * seed),
            },
        }
        for spread in SPREADS for variant in VARIANTS for seed in (0, 1)
    ]  # fmt: skip


AS_IN_THE_PAPER = {
    ("narrow", "neither"): 50.0, ("narrow", "PE"): 49.0, ("narrow", "PE + PR"): 48.0,
    ("wide", "neither"): 60.0, ("wide", "PE"): 54.0, ("wide", "PE + PR"): 50.0,
}  # fmt: skip


def test_claims_hold_where_the_paper_is_right() -> None:
    made = claims(results(AS_IN_THE_PAPER))
    assert len(made) == 9
    assert all(claim.holds for claim in made)
    by = {claim.id: claim.value for claim in made}
    assert by["pe-depth-error-wide"] == pytest.approx(0.1)
    assert by["pe-pr-depth-error-wider"] == pytest.approx(10 / 60 - 2 / 50)
    assert by["pr-mpjpe-wide"] == pytest.approx(4 / 80)


def test_claims_fail_where_it_is_not() -> None:
    turned = {(spread, name): 110 - value for (spread, name), value in AS_IN_THE_PAPER.items()}
    assert not any(claim.holds for claim in claims(results(turned)) if not claim.id.endswith("wider"))


def test_rows_are_means_with_gains_and_seeds() -> None:
    made = rows(results(AS_IN_THE_PAPER))
    assert len(made) == 2 * 3 * 3
    row = next(row for row in made if (row["spread"], row["variant"], row["seed"]) == ("wide", "PE", "mean"))
    assert row["depth_error_mm"] == pytest.approx(54 * 1.05)
    assert row["depth_error_mm_sd"] == pytest.approx(54 * 0.1 / np.sqrt(2))
    assert row["gain_mpjpe_percent"] == pytest.approx(100 * 6 / 80)
    assert gain(results(AS_IN_THE_PAPER), "narrow", BOTH, "depth_error_mm") == pytest.approx(0.04)
    first = next(row for row in made if row["variant"] == "neither" and row["seed"] == "mean")
    assert "gain_mpjpe_percent" not in first


def test_angles_are_told_as_quantiles() -> None:
    (row,) = angle_rows({"wide": np.linspace(0, 40, 101)})
    assert row["phi_50_percent_deg"] == pytest.approx(20)
    assert row["phi_95_percent_deg"] == pytest.approx(38)
    assert row["people"] == 101


def test_variants_differ_in_what_they_are_told_alone() -> None:
    configs = [config_of(Run(spread="wide", variant=variant, seed=3), Effort()) for variant in VARIANTS]
    same = [replace(config, name="", model=replace(config.model, encoding=True, rotation=True)) for config in configs]
    assert same[0] == same[1] == same[2]
    assert [(config.model.encoding, config.model.rotation) for config in configs] == [
        (False, False), (True, False), (True, True)
    ]  # fmt: skip
    assert len(configs[0].model.landmarks) == 17
    quick = [config_of(Run(spread="wide", variant=variant, seed=3), bench.QUICK).model for variant in VARIANTS]
    counts = [sum(value.numel() for value in PersPose(model).parameters()) for model in quick]
    assert counts[0] < counts[1] == counts[2]
    assert counts[1] - counts[0] < 2000


def test_caches_are_named_by_all_that_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effort = replace(SMALL, train_pictures=4)
    first = first_path(0, False, effort, None, tmp_path)
    assert first == first_path(0, False, replace(effort, steps=7, test_pictures=2), None, tmp_path)
    assert first != first_path(1, False, effort, None, tmp_path)
    assert first != first_path(0, True, effort, None, tmp_path)
    assert first != first_path(0, False, replace(effort, first_steps=7), None, tmp_path)
    assert first != first_path(0, False, replace(effort, train_pictures=5), None, tmp_path)
    other = lambda run, effort: replace(config_of(run, effort), learning_rate=1.0)  # noqa: E731
    monkeypatch.setattr(runs, "config_of", other)
    assert first != first_path(0, False, effort, None, tmp_path)


def test_variants_start_from_the_weights_of_their_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started_from = []
    monkeypatch.setattr(runs, "_measured", lambda run, effort, folders, first: started_from.append(first) or {})
    for variant in VARIANTS:
        runs.run_one(Run(spread="wide", variant=variant, seed=1), SMALL, None, tmp_path, None)
    plain, turned = (first_path(1, rotation, SMALL, None, tmp_path) for rotation in (False, True))
    assert started_from == [plain, plain, turned]


@pytest.mark.slow
def test_variants_start_alike_and_flat_people_are_where_they_are(tmp_path: Path) -> None:
    for spread in SPREADS:
        render_set(tmp_path, spread, "train", SMALL, None)
    assert first_weights(0, False, SMALL, None, tmp_path)["seconds"] > 0
    path = first_path(0, False, SMALL, None, tmp_path)
    assert first_weights(0, False, SMALL, None, tmp_path)["seconds"] == 0
    states = [
        started(config_of(Run(spread="wide", variant=variant, seed=0), SMALL), path).state_dict()
        for variant in VARIANTS
    ]
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key])
        assert torch.equal(value, states[2][key])
    assert {key.rsplit(".", 2)[0] for key in states[1].keys() - states[0].keys()} == {"trunk.encoding"}
    first_weights(0, True, SMALL, None, tmp_path)
    turned = torch.load(first_path(0, True, SMALL, None, tmp_path), weights_only=True)
    assert turned.keys() == states[0].keys()
    assert any(not torch.equal(value, states[0][key]) for key, value in turned.items())
    solid = SetPeople(set_folder(tmp_path, "wide", "train", SMALL, None), body=False)
    network = config_of(Run(spread="wide", variant=NEITHER, seed=0), SMALL).model
    for row in range(len(solid)):
        picture, person = solid[row]
        _, flat = Flat(people=solid, told=True)[row]
        assert flat.landmarks_cam is None
        assert Flat(people=solid, told=False)[row][1].camera is None
        one, other = (sample(picture, its, network).truth for its in (person, flat))
        torch.testing.assert_close(one.uv_px, other.uv_px, equal_nan=True, rtol=0, atol=1e-3)
        assert other.depth_m.isnan().all()


@pytest.mark.slow
def test_wide_people_are_farther_off_the_axis(tmp_path: Path) -> None:
    effort = replace(SMALL, test_pictures=24)
    found = {}
    for spread in SPREADS:
        render_set(tmp_path, spread, "test", effort, None)
        people = SetPeople(set_folder(tmp_path, spread, "test", effort, None), body=False)
        found[spread] = angles_deg(people)
        _, person = people[0]
        assert person.camera is not None
        assert float(person.camera.focal_px[0]) == pytest.approx(48.0)
    assert np.median(found["narrow"]) < 12 < np.median(found["wide"])
    assert set_folder(tmp_path, "wide", "test", effort, None) != set_folder(tmp_path, "wide", "train", effort, None)


@pytest.mark.slow
def test_the_quick_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "QUICK", SMALL)
    call = ["bench", "perspose", "--quick", "--json", "--jobs", "1", "--cache", "kept"]
    assert main(call) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["claims"]) == 9
    assert {row["variant"] for row in report["rows"]} == {"neither", "PE", "PE + PR", None}
    assert main(call) == 0
    again = json.loads(capsys.readouterr().out)
    assert "6 of 6 were kept" in again["meta"]["notes"][2]
    assert again["rows"] == report["rows"]
