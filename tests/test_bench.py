"""Benchmarks: claims judged both ways, reports in one documented form, nothing measured twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import sightline.bench.abspose_runs as runs_file
import sightline.bench.lift as lift_file
import sightline.bench.report as report_file
import sightline.formats.weights as weights_file
from sightline.bench.abspose import TESTS, claims, practices, summary, variants
from sightline.bench.abspose_figures import draw_figures
from sightline.bench.abspose_runs import Run, TestViews, detected_pool, run_one, score
from sightline.bench.catalogue import BENCHES
from sightline.bench.report import Claim, Measured, read_report, report_json, results_folder, write_report
from sightline.cli import main
from sightline.data.virtual import CameraConfig, step_generator
from sightline.errors import InputError, UsageError
from sightline.formats.weights import write_weights
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.methods.abspose.noise import ErrorModel
from sightline.training.config import config_to_json
from test_training import environment
from tiny_runs import people, tiny

META = {"command", "commit", "seconds", "hardware", "versions", "date", "seeds"}
CLAIM = {"id", "text", "value", "target", "better", "holds"}


# --- claims and reports -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("better", "value", "holds"),
    [
        ("at_least", 0.21, True),
        ("at_least", 0.2, True),
        ("at_least", 0.19, False),
        ("at_most", 0.19, True),
        ("at_most", 0.2, True),
        ("at_most", 0.21, False),
        ("at_least", float("nan"), False),
        ("at_most", float("nan"), False),
    ],
)
def test_a_claim_holds_when_its_value_reaches_the_target_from_the_right_side(
    better: str, value: float, holds: bool
) -> None:
    assert Claim(id="a", text="…", value=value, target=0.2, better=better).holds is holds


def measured() -> Measured:
    return Measured(
        rows=[{"variant": "a", "mm": 123.456789, "list": [1.23456789], "count": 1234567}],
        claims=[
            Claim(id="yes", text="holds", value=0.2000001, target=0.2),
            Claim(id="no", text="does not", value=0.1999999, target=0.2, reason="because"),
        ],
        seeds=(0, 1),
        notes=("said",),
    )


def test_a_report_has_the_contracts_form() -> None:
    report = report_json("abspose", measured(), command="sightline bench abspose", seconds=12.345)
    assert set(report) == {"bench", "rows", "claims", "meta"}
    assert set(report["meta"]) >= META
    assert report["meta"]["seconds"] == 12.3
    assert report["meta"]["seeds"] == [0, 1]
    assert report["meta"]["notes"] == ["said"]
    assert {"python", "torch", "numpy", "sightline"} <= set(report["meta"]["versions"])
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_rows_are_rounded_and_claims_are_judged_before_rounding() -> None:
    report = report_json("abspose", measured(), command="", seconds=1)
    assert report["rows"] == [{"variant": "a", "mm": 123.46, "list": [1.2346], "count": 1234567}]
    yes, no = report["claims"]
    assert set(yes) == CLAIM
    assert set(no) == CLAIM | {"reason"}
    assert (yes["holds"], no["holds"]) == (True, False)
    assert no["value"] == 0.1999999


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    report = report_json("abspose", measured(), command="", seconds=1)
    path = write_report(report, tmp_path / "deep" / "folder")
    assert path == tmp_path / "deep" / "folder" / "abspose.json"
    assert read_report("abspose", path.parent) == report


def test_results_that_are_not_there_or_broken_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sightline bench lift"):
        read_report("lift", tmp_path)
    (tmp_path / "lift.json").write_text('{"bench": "li')
    with pytest.raises(InputError, match=r"lift\.json"):
        read_report("lift", tmp_path)


def test_results_go_where_asked_or_into_the_project_or_beside_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert results_folder(tmp_path) == tmp_path
    root = Path(__file__).resolve().parents[1]
    assert results_folder(None) == root / "benchmarks" / "results"
    monkeypatch.setattr(report_file, "__file__", str(tmp_path / "site" / "sightline" / "bench" / "report.py"))
    assert results_folder(None) == Path("sightline-bench")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_lists_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name}: " in listed for name in BENCHES)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nothing"], "abspose, "),
        (["abspose"], "--library"),
        (["lift", "--from-results", "-o", "."], "sightline bench lift"),
    ],
)
def test_wrong_calls(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report_file, "_project_root", lambda: None)
    assert main(["bench", *arguments]) == 2
    assert named in capsys.readouterr().err


def test_committed_results_are_printed_without_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BENCHES, "lift", (lambda *_: pytest.fail("it measured"), ""))
    report = report_json("lift", measured(), command="", seconds=1)
    write_report(report, tmp_path)
    assert main(["bench", "lift", "--from-results", "--json", "-o", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == report
    assert main(["bench", "lift", "--from-results", "-o", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "yes: holds" in told
    assert "does not hold (because)" in told


def test_a_measurement_is_written_and_a_quick_one_only_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BENCHES, "lift", (lambda *_: measured(), ""))
    out = tmp_path / "results"
    assert main(["bench", "lift", "--quick", "--json", "-o", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["bench"] == "lift"
    assert not (out / "lift.json").exists()
    assert main(["bench", "lift", "--json", "-o", str(out)]) == 0
    assert json.loads(capsys.readouterr().out) == read_report("lift", out)


# --- bench abspose ----------------------------------------------------------------------------------------------------


def error_model(kind: str = "gaussian") -> ErrorModel:
    ones = np.ones(17)
    inlier = ones if kind == "gaussian" else 0.9 * ones
    values = {"mean_px": np.zeros((17, 2)), "sigma_px": np.full((17, 2), 3.0), "inlier": inlier, "swap": 0 * ones}
    return ErrorModel(kind=kind, skeleton="h36m17", **values)


def all_runs() -> list[Run]:
    base = tiny(seed=4)
    return [*variants(base, error_model("mixture"), error_model(), 100), *practices(base)]


def test_variants_share_seed_steps_and_batches_and_differ_in_what_they_are_named_for() -> None:
    runs = {run.variant: run for run in all_runs()}
    assert len(runs) == len(all_runs()), "one name each"
    base = tiny(seed=4)
    for run in runs.values():
        config = run.config
        assert (config.seed, config.steps, config.batch_size) == (base.seed, base.steps, base.batch_size)
        assert set(run.tests) <= set(TESTS)
    shape = {name: (runs[name].config.model.location, runs[name].config.model.scale) for name in runs}
    assert shape["baseline"] == (False, False)
    assert shape["location"] == (True, False)
    assert shape["scale"] == (False, True)
    assert runs["location and scale"].config == base
    assert runs["direct depth"].config.model.depth == "metric"
    assert runs["single Gaussian"].config.error_model.kind == "gaussian"
    assert runs["mixture"].config.error_model.kind == "mixture"
    assert runs["2D estimate"].detected_pool == 100
    assert runs["2D estimate"].config == base
    assert runs["RMSprop"].config.optimizer == "rmsprop"
    assert runs["λ as printed"].config.pose_weight == 1e6
    across = [name for name, run in runs.items() if run.config.cameras.focal_px != base.cameras.focal_px]
    assert all("across focals" in name for name in across)
    assert len(across) == 3


def made_up_results(change: dict[tuple[str, str], float] | None = None) -> list[dict]:
    """Every variant on every test, two seeds: MPJPE 60 and 64 mm, MRPE 300 mm, unless changed (in mm, both)."""
    results = []
    for run in all_runs():
        for seed, value in ((0, 0.060), (1, 0.064)):
            scores = {}
            for test in run.tests:
                factor = (change or {}).get((run.variant, test), 1.0)
                scores[test] = {"mpjpe": value * factor, "pa_mpjpe": 0.04, "mrpe": 0.3 * factor}
            results.append({"variant": run.variant, "seed": seed, "scores": scores})
    return results


EM = {"variant": "EM", "iterations_median": 2.5, "iterations_max": 4}


def judged(change: dict[tuple[str, str], float] | None = None) -> dict[str, Claim]:
    return {claim.id: claim for claim in claims([*summary(made_up_results(change)), EM])}


def test_rows_are_means_and_deviations_over_seeds_in_millimetres() -> None:
    rows = {(row["variant"], row["test"]): row for row in summary(made_up_results())}
    row = rows["baseline", "clean"]
    assert row["seeds"] == 2
    assert row["mpjpe_mm"] == pytest.approx(62)
    assert row["mpjpe_mm_sd"] == pytest.approx(2 * 2**0.5)
    assert row["mrpe_mm_sd"] == pytest.approx(0)
    assert len(rows) == sum(len(run.tests) for run in all_runs())
    alone = summary(made_up_results()[:1])[0]
    assert (alone["seeds"], alone["mpjpe_mm_sd"]) == (1, 0.0)


@pytest.mark.parametrize(
    ("claim", "better", "worse", "target"),
    [
        ("table1-both-mpjpe", ("location and scale", "clean"), ("baseline", "clean"), 0.20),
        ("table1-both-mrpe", ("location and scale", "clean"), ("baseline", "clean"), 0.70),
        ("table1-scale-mrpe", ("scale", "clean"), ("baseline", "clean"), 0.70),
        ("table1-location-mpjpe", ("location", "clean"), ("baseline", "clean"), 0.15),
        (
            "table5-canonical-mrpe",
            ("canonical depth, trained across focals", "focals 700–1600"),
            ("direct depth, trained across focals", "focals 700–1600"),
            0.50,
        ),
        ("table2-mixture-clean", ("mixture", "detected"), ("location and scale", "detected"), 0.07),
        ("table2-mixture-gaussian", ("mixture", "detected"), ("single Gaussian", "detected"), 0.02),
    ],
)
def test_the_issues_claims_are_the_shares_won(
    claim: str, better: tuple[str, str], worse: tuple[str, str], target: float
) -> None:
    assert judged()[claim].target == target
    assert judged()[claim].value == pytest.approx(0)
    assert not judged()[claim].holds
    won = judged({better: 1 - target - 0.01})[claim]
    assert won.value == pytest.approx(target + 0.01)
    assert won.holds
    assert not judged({better: 1 - target + 0.01})[claim].holds
    assert judged({worse: 2.0})[claim].value == pytest.approx(0.5)


def test_the_other_claims_point_the_right_way() -> None:
    centre = ("location and scale", "moved principal point, taken as the centre")
    assert judged()["principal-point"].value == pytest.approx(0)
    assert judged()["principal-point"].holds
    assert not judged({centre: 1.06})["principal-point"].holds
    assert judged()["em-iterations"].value == 2.5
    assert judged()["em-iterations"].better == "at_most"
    for claim, rival in (
        ("table3-perspective", ("mixture", "detected, perspective root")),
        ("table3-weak", ("mixture", "detected, weak-perspective root")),
        ("table2-mixture-estimate", ("2D estimate", "detected")),
        ("table2-location-scale", ("baseline", "detected")),
    ):
        assert judged({rival: 1.2})[claim].holds
        assert not judged({rival: 0.9})[claim].holds
    assert len({claim.id for claim in judged().values()}) == len(judged())


def tiny_run(**changes: object) -> Run:
    return Run(variant="tiny", config=tiny(steps=2, **changes), tests=("clean", "detected"))


def test_a_finished_run_is_kept_and_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ran(run: Run, views: int = 64) -> dict:
        return run_one(run, TESTS, None, views, tmp_path)

    first = ran(tiny_run())
    assert set(first["scores"]) == {"clean", "detected"}
    assert len(first["figure6"]["spread_px"]) == len(first["figure6"]["depth_mm_per_px"]) > 100
    assert len(list(tmp_path.iterdir())) == 1

    def train(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(runs_file, "train_lifter", train)
    assert ran(tiny_run()) == json.loads(json.dumps(first))
    for other, views in ((tiny_run(seed=1), 64), (tiny_run(), 65), (replace(tiny_run(), detected_pool=9), 64)):
        with pytest.raises(AssertionError, match="trained again"):
            ran(other, views)


def test_scores_are_equal_for_equal_views_and_differ_where_the_test_does() -> None:
    torch.manual_seed(0)
    lifter, joints = AbsPoseLifter(AbsPoseConfig(width=16)).eval(), people()
    results = {name: score(lifter, joints, test, 200) for name, test in TESTS.items()}
    clean = results["clean"]
    assert score(lifter, joints, TESTS["clean"], 200)[0] == clean[0]
    for name in ("clean, perspective root", "clean, weak-perspective root", "detected"):
        assert torch.equal(results[name][1].joints_cam, clean[1].joints_cam), "the same people"
    assert torch.equal(results["clean, perspective root"][1].keypoints_px, clean[1].keypoints_px)
    assert not torch.equal(results["detected"][1].keypoints_px, clean[1].keypoints_px)
    known, guessed = (results[f"moved principal point, {kind}"] for kind in ("known", "taken as the centre"))
    assert torch.equal(known[1].keypoints_px, guessed[1].keypoints_px)
    assert_close(guessed[1].camera.center_px, guessed[1].camera.image_size / 2)
    assert (known[1].camera.center_px - guessed[1].camera.center_px).abs().max() > 5
    for focal in (800, 1500):
        assert_close(results[f"focal {focal}"][1].camera.focal, torch.full((200,), float(focal)))


def test_a_pool_is_a_fixed_set_of_detected_views() -> None:
    config = tiny(batch_size=500)
    source = detected_pool(people(), 40, config)
    one, other = source(step_generator(0, 0)), source(step_generator(0, 1))
    assert len(one.joints_cam) == 500
    assert one.camera.batch_shape == (500,)
    for batch in (one, other):
        assert len(batch.keypoints_px.flatten(1).unique(dim=0)) == 40
        assert not torch.equal(batch.camera.project(batch.joints_cam)[0], batch.keypoints_px)
    assert torch.equal(source(step_generator(0, 0)).keypoints_px, one.keypoints_px)
    assert torch.equal(one.keypoints_px.flatten(1).unique(dim=0), other.keypoints_px.flatten(1).unique(dim=0))


def test_figures_are_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(50, 300, 40)
    drawn = {
        "errors": rng.normal(0, 3, (200, 17, 2)),
        "mixture": error_model("mixture"),
        "gaussian": error_model(),
        "figure6": {"spread_px": spread.tolist(), "depth_mm_per_px": (700 / spread).tolist()},
    }
    paths = draw_figures(drawn, tmp_path / "figures")
    assert len(paths) == 2
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "figures").iterdir())) == 2


@pytest.mark.slow
def test_the_quick_bench_of_the_paper_prints_the_contracts_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sightline.cli", "bench", "abspose", "--quick", "--json", "--jobs", "1"]
    extra = ["--cache", str(tmp_path / "cache"), "--figures", str(tmp_path / "figures"), "-o", str(tmp_path / "out")]
    reports = []
    for _ in range(2):  # the second finds every training in the cache
        done = subprocess.run(
            [*command, *extra], capture_output=True, text=True, timeout=280, cwd=tmp_path, env=environment([])
        )
        assert done.returncode == 0, done.stderr[-2000:]
        reports.append(json.loads(done.stdout))
    report = reports[0]
    assert report["bench"] == "abspose"
    assert set(report["meta"]) >= META
    assert {claim["id"] for claim in report["claims"]} == set(judged())
    assert all(set(claim) >= CLAIM for claim in report["claims"])
    assert {row["variant"] for row in report["rows"]} >= {run.variant for run in all_runs()}
    assert len(list((tmp_path / "cache").iterdir())) == len(all_runs())
    assert not list((tmp_path / "out").glob("*")), "a quick run writes no results"
    assert reports[1]["rows"] == report["rows"]
    assert len(list((tmp_path / "figures").glob("*.png"))) == 2


# --- bench lift -------------------------------------------------------------------------------------------------------


def timed_once(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def test_times_are_medians_of_calls_after_one_that_warms_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, taken = [0.0], iter([50.0, 1.0, 9.0, 2.0])

    def call() -> None:
        clock[0] += next(taken)

    monkeypatch.setattr(lift_file.time, "perf_counter", lambda: clock[0])
    assert lift_file._timed(call, 3) == 2.0


def test_the_quick_bench_of_speed_prints_the_contracts_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With weights of its own, since it tests the benchmark and not the machine."""
    config = AbsPoseConfig(width=32, coordinates="rays", unit="stature")
    facts = dict.fromkeys(("licence", "trained_on", "command", "date", "version"), "") | {"recipe": {}, "expected": {}}
    write_weights(
        AbsPoseLifter(config).state_dict(), tmp_path,
        name="abspose-mocap", method="abspose", model=config_to_json(config), **facts,
    )  # fmt: skip
    monkeypatch.setattr(weights_file, "shipped_weights", lambda: tmp_path)
    monkeypatch.setattr(lift_file, "_timed", lambda call, repeats: timed_once(call))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    assert main(["bench", "lift", "--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bench"] == "lift"
    assert set(report["meta"]) >= META
    claimed = {claim["id"]: claim for claim in report["claims"]}
    assert set(claimed) == {"lift-latency", "views-per-second"}
    assert (claimed["lift-latency"]["better"], claimed["lift-latency"]["target"]) == ("at_most", 5.0)
    assert (claimed["views-per-second"]["better"], claimed["views-per-second"]["target"]) == ("at_least", 200_000)
    keys = ("poses_per_second", "ms_per_frame", "per_second")
    speeds = [row[key] for row in report["rows"] for key in keys if key in row]
    assert len(speeds) == len(report["rows"]) >= 8
    assert min(speeds) > 0
    assert torch.get_num_threads() == threads
    assert {path.name for path in tmp_path.iterdir()} == {"abspose-mocap.json", "abspose-mocap.safetensors"}


def test_test_views_are_what_they_say() -> None:
    assert TESTS["detected"] == TestViews(cameras=CameraConfig(), detected=True)
    assert TESTS["clean"].cameras.focal_px == (1145.0, 1145.0)
    assert TESTS["clean"].cameras.image_sizes == ((1000, 1000),)
    assert TESTS["clean"].cameras.depth_m == (2.5, 7.0)
