"""The cascade of paper 002: one estimator, lifters that learn from different 2D, claims by sign, a cache."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sightline.bench import cascade_runs as runs
from sightline.bench.cascade import CASCADE, QUICK, bench_cascade, claims, estimator_rows, rows
from sightline.bench.cascade_runs import (
    ESTIMATE,
    MIXTURE,
    PLAIN,
    ROOTS,
    TRUTH,
    VARIANTS,
    Run,
    Seen,
    error_models,
    estimated,
    lifter_config,
    source_of,
    views_of,
)
from sightline.bench.catalogue import BENCHES
from sightline.cli import main
from sightline.data.virtual import step_generator
from sightline.methods.abspose.estimator import JointEstimator
from sightline.nn.joint_network import JointsSeen
from sightline.training.pictures import SetPeople

SIZES = {PLAIN.name: 9.0, TRUTH.name: 8.0, ESTIMATE.name: 7.0, "single Gaussian": 6.0, MIXTURE.name: 5.0}


def results(seeds: tuple[int, ...] = (0,), sign: int = 1) -> list[dict[str, Any]]:
    def scores(size: float) -> dict[str, Any]:
        of = dict.fromkeys(("mpjpe_mm", "pa_mpjpe_mm", "mrpe_mm"), 50.0 + sign * size)
        worse = {name: value + sign for name, value in of.items()}
        return {CASCADE: of, **{f"estimate, {root} root": worse for root in list(ROOTS)[1:]}, "truth, learned root": of}

    return [
        {"variant": name, "seed": seed, "seconds": 2.0, "scores": scores(size + seed)}
        for name, size in SIZES.items() for seed in seeds
    ]  # fmt: skip


@pytest.fixture
def people(fake_set: Path) -> SetPeople:
    return SetPeople(fake_set, body=False)


def test_claims_hold_where_better_input_teaches_better() -> None:
    assert all(claim.holds for claim in claims(results()))
    found = {claim.id: claim.value for claim in claims(results())}
    assert len(found) == 4 * 3 + 3
    assert found["mixture-gaussian-mpjpe"] == pytest.approx(1 - 55 / 56)
    assert found["location"] == pytest.approx(1 - 58 / 59)
    assert found["root-weak-perspective"] == pytest.approx(1 - 55 / 56)
    assert not any(claim.holds for claim in claims(results(sign=-1)))


def test_rows_are_means_and_every_seed() -> None:
    assert len(rows(results())) == 5 * 4
    found = rows(results((0, 2)))
    assert len(found) == 5 * 4 * 3
    assert (found[0]["variant"], found[0]["test"], found[0]["seed"]) == (PLAIN.name, CASCADE, "mean")
    assert found[0]["mrpe_mm"] == pytest.approx(60.0)
    assert found[0]["mrpe_mm_sd"] == pytest.approx(2**0.5)


def test_estimator_rows_tell_how_far_it_is_off() -> None:
    errors = np.zeros((4, 17, 2))
    errors[0, :, 0] = 60.0
    (row,) = estimator_rows({"val": errors})
    assert row["mean_px"] == 15.0
    assert row["median_px"] == 0.0
    assert row["beyond_50_percent"] == 25.0


def test_variants_differ_in_what_they_learn_from_alone() -> None:
    configs = [lifter_config(Run(variant=variant, seed=1), QUICK) for variant in VARIANTS]
    assert [config.model.location for config in configs] == [False, True, True, True, True]
    assert len({repr(replace(config, model=configs[1].model)) for config in configs}) == 1


def test_views_are_the_people_of_the_pictures(people: SetPeople) -> None:
    views = views_of(people)
    assert len(views.joints_cam) == len(people)
    pixels, _ = views.camera.project(views.joints_cam)
    assert_allclose(views.keypoints_px, pixels, atol=1e-2)
    assert not views.camera.has_world
    assert_allclose(views.up_cam.norm(dim=-1), 1.0, atol=1e-5)


def test_estimates_are_in_the_pictures_pixels(people: SetPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sees the truth in crops sees it in pictures."""
    sure = torch.ones(len(people), 17)
    monkeypatch.setattr(
        runs, "joints_seen", lambda _, batches: ((JointsSeen(batch.truth.uv_px, sure), batch) for batch in batches)
    )
    found = estimated(JointEstimator(QUICK.estimator), people)
    assert_allclose(found, views_of(people).keypoints_px, atol=0.05)


def pool(people: SetPeople) -> Seen:
    views = runs.chosen(views_of(people), torch.zeros(200, dtype=torch.long))
    noise = torch.randn(200, 17, 2, generator=torch.Generator().manual_seed(1))
    return Seen(views=views, estimate_px=views.keypoints_px + 0.4 * noise)


def test_each_source_gives_its_own_2d(people: SetPeople) -> None:
    seen = pool(people)
    mixture, gaussian, errors = error_models(seen)
    assert errors.shape == (200, 17, 2)
    given = {}
    for variant in VARIANTS:
        source = source_of(Run(variant=variant, seed=0), QUICK, seen, {"mixture": mixture, "gaussian": gaussian})
        views = source(step_generator(0, 1))
        assert len(views.joints_cam) == QUICK.batch
        given[variant.name] = views.keypoints_px
    exact = seen.views.keypoints_px[:1]
    assert_allclose(given[TRUTH.name], exact.expand(QUICK.batch, 17, 2))
    assert_allclose(given[PLAIN.name], given[TRUTH.name])
    assert all((row == seen.estimate_px).all((1, 2)).any() for row in given[ESTIMATE.name])
    for name in ("single Gaussian", MIXTURE.name):
        assert 0.1 < float((given[name] - exact).abs().mean()) < 2
    assert not torch.equal(given["single Gaussian"], given[MIXTURE.name])


def test_the_command_is_known() -> None:
    assert "cascade" in BENCHES


@pytest.mark.slow
def test_it_runs_and_goes_on_from_its_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = bench_cascade(None, quick=True, seeds=(0,), jobs=1, cache=tmp_path)
    again = bench_cascade(None, quick=True, seeds=(0,), jobs=1, cache=tmp_path)
    assert first.rows == again.rows
    assert "5 of 5 were kept" in again.notes[-1]
    assert main(f"bench cascade --quick --json --seeds 0 --jobs 1 --cache {tmp_path}".split()) == 0
    assert json.loads(capsys.readouterr().out)["claims"]
