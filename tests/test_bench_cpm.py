"""The pose machine's ablation: every stage of every variant, from one plain machine, claims by sign, a cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sightline.bench import cpm_runs as runs
from sightline.bench.catalogue import BENCHES
from sightline.bench.cpm import QUICK, bench_cpm, claims, rows
from sightline.bench.cpm_runs import (
    BETWEEN,
    BETWEEN_STOPPED,
    LAYERED,
    PLAIN,
    STOPPED,
    VARIANTS,
    Run,
    config_of,
    first_config,
)
from sightline.cli import main
from sightline.methods.deeplift.machine import PoseMachine, Stage
from sightline.nn.joint_network import JointsSeen
from sightline.training.pictures import SetPeople, plain_batches

PX = {PLAIN.name: (20.0, 15.0), LAYERED.name: (18.0, 12.0), STOPPED.name: (18.0, 12.3),
      BETWEEN.name: (18.0, 11.0), BETWEEN_STOPPED.name: (18.0, 11.1)}  # fmt: skip


def result(variant: str, seed: int, px: tuple[float, float]) -> dict[str, Any]:
    stages = [
        {
            "own_px": value + 1.0 + seed,
            "fused_px": value + seed,
            "mpjpe_mm": 10 * value + seed,
            "pa_mpjpe_mm": 5 * value,
        }
        for value in px
    ]
    shares = [] if variant == PLAIN.name else [0.6, 0.7]
    return {"variant": variant, "seed": seed, "parameters": 9, "seconds": 2.0, "people": 4, "own_maps": shares,
            "stages": stages}  # fmt: skip


def results(seeds: tuple[int, ...] = (0,), worse: float = 0.0) -> list[dict[str, Any]]:
    return [
        result(name, seed, px if name == PLAIN.name else (px[0] + worse, px[1] + 2 * worse))
        for name, px in PX.items()
        for seed in seeds
    ]


def test_claims_hold_where_the_prior_helps() -> None:
    found = {claim.id: claim for claim in claims(results(), 2)}
    assert all(claim.holds for claim in found.values())
    assert found["fused-plain"].value == pytest.approx(1 - 12 / 15)
    assert found["stages-3d"].value == pytest.approx(1 - 120 / 180)
    assert found["gradient-mpjpe"].value == pytest.approx(0.025)
    assert found["between-plain"].value == pytest.approx(1 - 11 / 15)
    assert found["between-first"].value == pytest.approx(1 - 18 / 20)
    assert len(found) == 12


def test_reasons_are_told_of_the_whole_benchmark_alone() -> None:
    lost = [claim for claim in claims(results(worse=8.0), 2, explained=True) if not claim.holds]
    assert {claim.id for claim in lost if claim.reason} >= {"fused-plain", "layer-3d", "between-plain", "between-3d"}
    held = [claim for claim in claims(results(), 2, explained=True) if claim.holds]
    assert held
    assert not any(claim.reason for claim in held)
    assert not any(claim.reason for claim in claims(results(worse=8.0), 2))


def test_and_do_not_where_it_does_not() -> None:
    found = {claim.id: claim.holds for claim in claims(results(worse=8.0), 2)}
    lost = ("fused-plain", "stages-2d", "stages-3d", "layer-3d", "between-plain", "between-first", "between-3d")
    assert not any(found[name] for name in lost)
    other = [one | {"stages": [one["stages"][0], {**one["stages"][1], "fused_px": 14.0}]}
             if one["variant"] == STOPPED.name else one for one in results()]  # fmt: skip
    assert not {claim.id: claim.holds for claim in claims(other, 2)}["gradient-fused"]


def test_rows_are_means_and_every_seed() -> None:
    found = rows(results((0, 2)))
    assert len(found) == 5 * 2 * 3
    mean = found[0]
    assert (mean["variant"], mean["stage"], mean["seed"]) == (PLAIN.name, 1, "mean")
    assert mean["fused_px"] == pytest.approx(21.0)
    assert mean["fused_px_sd"] == pytest.approx(2**0.5)
    assert mean["own_share"] is None
    assert [row["seed"] for row in rows(results())] == [0] * 10


def test_variants_differ_in_the_prior_alone() -> None:
    configs = [config_of(Run(variant=variant, seed=3), QUICK) for variant in VARIANTS]
    assert [(config.model.layer, config.model.layer_gradient, config.model.locate, config.model.weigh_by_belief)
            for config in configs] == [
        (False, True, "hard", False), (True, True, "hard", False), (True, False, "hard", False),
        (True, True, "peak", True), (True, False, "peak", True),
    ]  # fmt: skip
    assert len({config.steps for config in configs}) == 1
    assert first_config(3, QUICK).steps == QUICK.plain_steps
    assert first_config(3, QUICK).seed != configs[0].seed


class Right(PoseMachine):
    """Believes in the truth."""

    truth: list[torch.Tensor]

    def forward(self, image: torch.Tensor, pitch: Any = None, middle_px: Any = None) -> list[Stage]:
        del image, pitch, middle_px
        place = self.truth.pop(0)
        maps = torch.cat((place[..., :1, None].expand(-1, -1, 8, 8), place[:, :1, :1, None].expand(-1, -1, 8, 8)), 1)
        return [Stage(maps, maps, None)] * self.config.stages


def test_right_maps_have_no_error_in_2d_and_little_in_3d(fake_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Landmarks as exact as the truth; what is left in 3D is what the prior guesses of depths."""
    people = SetPeople(fake_set, body=False)
    network = Right(config_of(Run(variant=PLAIN, seed=0), QUICK).model)
    kind = runs.crops_of(network)
    batches = list(plain_batches(people, kind, range(len(people))))
    network.truth = [batch.truth.uv_px for batch in batches]
    exact = [batch.truth.uv_px for batch in batches for _ in range(QUICK.stages)]
    monkeypatch.setattr(network, "read", lambda maps: JointsSeen(exact.pop(0), maps.amax((-2, -1))))
    scores = runs.stage_scores(network, people)
    assert len(scores) == QUICK.stages
    for stage in scores:
        assert stage["fused_px"] == pytest.approx(0.0, abs=1e-3)
        assert 0 < stage["pa_mpjpe_mm"] <= stage["mpjpe_mm"] < 1000
        assert not any(name.startswith("own_") for name in stage), "a plain machine's own maps are its fused ones"


class Doubtful(Right):
    """Believes in the truth only together with the prior."""

    def forward(self, image: torch.Tensor, pitch: Any = None, middle_px: Any = None) -> list[Stage]:
        stages = super().forward(image, pitch, middle_px)
        drawn: Any = stages  # that there is anything of the prior is all that is asked
        return [stage._replace(own=torch.rand_like(stage.own), projected=drawn) for stage in stages]


def test_own_maps_are_lifted_by_themselves(fake_set: Path) -> None:
    """Those of fused maps that weigh nothing else: here they are chance, and the fused ones are not."""
    people = SetPeople(fake_set, body=False)
    network = Doubtful(config_of(Run(variant=PLAIN, seed=0), QUICK).model)
    batches = list(plain_batches(people, runs.crops_of(network), range(len(people))))
    network.truth = [batch.truth.uv_px for batch in batches]
    for stage in runs.stage_scores(network, people):
        assert len(stage) == 6
        assert all(stage[f"own_{name}"] != pytest.approx(stage[name]) for name in ("mpjpe_mm", "pa_mpjpe_mm"))
        assert stage["own_px"] != pytest.approx(stage["fused_px"])


def test_first_weights_are_named_by_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = runs.first_path(0, QUICK, None, tmp_path)
    monkeypatch.setattr(runs, "VERSION", runs.VERSION + 1)
    assert runs.first_path(0, QUICK, None, tmp_path) != before


def test_the_command_is_known() -> None:
    assert "cpm" in BENCHES


@pytest.mark.slow
def test_it_runs_and_goes_on_from_its_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = bench_cpm(None, quick=True, seeds=(0,), jobs=1, cache=tmp_path)
    again = bench_cpm(None, quick=True, seeds=(0,), jobs=1, cache=tmp_path)
    assert first.rows == again.rows
    assert f"{len(VARIANTS)} of {len(VARIANTS)} were kept" in again.notes[-1]
    assert main(f"bench cpm --quick --json --seeds 0 --jobs 1 --cache {tmp_path}".split()) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == len(VARIANTS) * QUICK.stages
