"""Benchmarks: claims judged both ways, reports in one documented form, nothing measured twice."""

from __future__ import annotations

import importlib
import inspect
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import sightline.bench.lift as lift_file
import sightline.bench.report as report_file
import sightline.formats.weights as weights_file
from sightline.bench.catalogue import BENCHES
from sightline.bench.report import (
    MEAN,
    Claim,
    Measured,
    read_report,
    report_json,
    results_folder,
    seed_rows,
    write_report,
)
from sightline.cli import main
from sightline.cli.bench import Bench
from sightline.errors import InputError, UsageError
from sightline.formats.weights import write_weights
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS
from sightline.training.config import config_to_json
from tiny_lifters import write_tiny_priors

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
        name=DEFAULT_WEIGHTS, method="abspose", model=config_to_json(config), **facts,
    )  # fmt: skip
    write_tiny_priors(tmp_path)
    weights = {path.name for path in tmp_path.iterdir()}
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
    assert {path.name for path in tmp_path.iterdir()} == weights


# --- seeds ------------------------------------------------------------------------------------------------------------


def test_rows_of_several_seeds_follow_their_mean() -> None:
    rows = [{"variant": "a", "seed": seed, "error_mm": 10.0 + seed, "people": 3} for seed in (0, 2)]
    mean, *each = seed_rows(rows)
    assert mean == {"variant": "a", "seed": MEAN, "error_mm": 11.0, "people": 3, "error_mm_sd": pytest.approx(2**0.5)}
    assert each == rows
    assert seed_rows(rows[:1]) == rows[:1]


@pytest.mark.parametrize("name", ["perspose", "cascade", "cpm", "lcrnet", "perspective-image", "perspective-lifting"])
def test_the_command_has_the_benchmarks_own_seeds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none are given; a quick run takes the first."""
    spelt = name.replace("-", "_")
    module = importlib.import_module(f"sightline.bench.{spelt}")
    usual = inspect.signature(getattr(module, f"bench_{spelt}")).parameters["seeds"].default
    asked: list[tuple[int, ...]] = []

    def bench(*_: object, seeds: tuple[int, ...], **__: object) -> Measured:
        asked.append(seeds)
        return Measured(rows=[])

    monkeypatch.setattr(module, f"bench_{spelt}", bench)
    for options in ({}, {"quick": True}, {"seeds": (4, 5)}, {"seeds": (4, 5), "quick": True}):
        BENCHES[name][0](Bench(name=name, library=Path("library.npz"), **options), None)
    assert asked == [usual, usual[:1], (4, 5), (4,)]
