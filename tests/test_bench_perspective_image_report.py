"""What the image benchmark reports: rows, claims, tables, and a small run from pictures to rows."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sightline.bench.perspective_image as bench_file
import sightline.bench.perspective_image_pictures as pictures_file
from sightline.bench.catalogue import BENCHES
from sightline.bench.perspective_image import (
    MEAN,
    PCL,
    STN,
    SUBJECTS,
    VARIANTS,
    bench_perspective_image,
    claims,
    gains,
    rows,
)
from sightline.bench.perspective_image_networks import (
    Sizes,
)
from sightline.bench.perspective_image_runs import (
    BANDS_DEG,
    Effort,
)
from sightline.bench.report import Claim, Measured

SIZES = Sizes(localizer_px=32, localizer_width=4, crop_px=32, pose_width=4)
TINY = Effort(train_pictures=6, test_pictures=5, steps=1, batch=3, side_px=48, sizes=SIZES)
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do in this process what is done in others."""

    def each(work: Callable[..., Any], calls: Sequence[tuple], *, jobs: int, progress: Any = None) -> list[Any]:
        assert jobs >= 1
        return [work(*call) for call in calls]

    monkeypatch.setattr(pictures_file, "in_processes", each)
    monkeypatch.setattr(bench_file, "in_processes", each)


# --- rows, claims and tables


def made_up(change: Mapping[tuple[str, str, str], float] | None = None, extra: int = 0) -> list[dict[str, Any]]:
    """Two seeds, errors of 50 and 60 everywhere unless multiplied (subject, variant, score)."""
    results = []
    for seed, value in ((1, 60.0), (0, 50.0)):
        for subject in SUBJECTS:
            for variant in VARIANTS:
                scores = {"error": value, "center_px": 4.0, "scale_percent": 9.0}
                scores |= {f"error_{band}": value for band in BANDS_DEG}
                scores = {k: v * (change or {}).get((subject, variant.name, k), 1.0) for k, v in scores.items()}
                count = 100 + (extra if variant is PCL and subject == "object" else 0)
                results.append(
                    {"subject": subject, "variant": variant.name, "seed": seed, "parameters": count, "seconds": 2.0}
                    | {"scores": scores}
                )
    return results


def judged(change: Mapping[tuple[str, str, str], float] | None = None, extra: int = 0) -> dict[str, Claim]:
    return {claim.id: claim for claim in claims(made_up(change, extra))}


def test_rows_tell_every_seed_and_their_means() -> None:
    results = made_up({("people", PCL.name, "error"): 0.5, ("object", PCL.name, "error_border"): 0.8})
    results[1]["scores"]["error"] = 48.0
    found = {(row["subject"], row["variant"], row["seed"]): row for row in rows(results)}
    assert len(found) == 2 * 2 * 3
    row = found["people", PCL.name, MEAN]
    assert row["mpjpe_mm"] == pytest.approx((48 + 25) / 2)
    assert row["gain_percent"] == pytest.approx((20 + 50) / 2)
    assert row["gain_percent_sd"] == pytest.approx(30 / 2**0.5)
    assert row["gain_border_percent"] == pytest.approx(0)
    assert (row["center_px"], row["parameters"], row["seconds"]) == (4, 100, 2)
    assert found["people", PCL.name, 0]["mpjpe_mm"] == 25
    assert found["people", PCL.name, 1]["mpjpe_mm"] == 48
    assert found["object", PCL.name, MEAN]["angle_border_deg"] == pytest.approx(44)
    assert found["object", PCL.name, MEAN]["gain_border_percent"] == pytest.approx(20)
    assert not any(key.startswith("gain") for key in found["people", STN.name, MEAN])
    assert gains(results, "people") == [pytest.approx(0.5), pytest.approx(0.2)]


@pytest.mark.parametrize(
    ("claim", "subject", "score_name", "target"),
    [
        ("image-people", "people", "error", 0.02),
        ("image-people-border", "people", "error_border", 0.02),
        ("image-people-border-centre", "people", "error_border", 0.0),
        ("image-object", "object", "error", 0.02),
        ("image-object-border-centre", "object", "error_border", 0.0),
    ],
)
def test_claims_are_shares_won(claim: str, subject: str, score_name: str, target: float) -> None:
    assert judged()[claim].value == pytest.approx(0)
    assert judged()[claim].target == target
    won = judged({(subject, PCL.name, score_name): 0.99 - target})[claim]
    assert won.value == pytest.approx(target + 0.01)
    assert won.holds
    assert not judged({(subject, PCL.name, score_name): 1.01 - target})[claim].holds


def test_more_at_the_border_is_more_than_in_the_centre() -> None:
    change = {("people", PCL.name, "error_border"): 0.7, ("people", PCL.name, "error_centre"): 0.6}
    claim = judged(change)["image-people-border-centre"]
    assert claim.value == pytest.approx(-0.1)
    assert not claim.holds


def test_unequal_parameters_and_bands_without_anybody_are_told() -> None:
    assert judged()["image-equal-parameters"].holds
    claim = judged(extra=1)["image-equal-parameters"]
    assert (claim.value, claim.holds) == (1, False)
    results = made_up()
    for result in results:
        result["scores"].pop("error_centre")
    found = {claim.id for claim in claims(results)}
    assert set(judged()) - found == {"image-people-border-centre", "image-object-border-centre"}
    assert not any(key.startswith("mpjpe_centre") for row in rows(results) for key in row)


def test_the_table_has_every_row_and_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module("tables_perspective_image")
    results = made_up({("people", PCL.name, "error"): 0.5})
    report = {
        "rows": rows(results),
        "claims": [
            {"text": claim.text, "value": claim.value, "target": claim.target, "holds": claim.holds}
            for claim in claims(results)
        ],
        "meta": {"command": "c", "hardware": "h", "versions": {"torch": "t"}, "date": "d", "notes": ["n1", "n2"]},
    }
    monkeypatch.setattr(script, "report", lambda name: report if name == "perspective-image" else None)
    text = script.perspective_image()
    people = next(line for line in text.splitlines() if line.startswith(f"| {PCL.name} |"))
    assert people.split(" | ")[1:6] == ["27.5 ± 3.5", *["55.0 ± 7.1"] * 3, "50.0 ± 0.0"]
    assert sum(line.startswith(f"| {STN.name}, seed") for line in text.splitlines()) == 4
    assert all(f"| {claim.text} |" in text for claim in claims(results))
    assert "n1; n2." in text
    widths = {block: {line.count("|") for line in block.splitlines()} for block in text.split("\n\n")[:3]}
    assert all(len(counts) == 1 for counts in widths.values())


@pytest.mark.usefixtures("here")
def test_a_run_has_all_rows_and_claims_and_goes_on_from_its_cache(tmp_path: Path) -> None:
    measured = bench_perspective_image(None, seeds=(0,), jobs=1, cache=tmp_path, effort=TINY)
    assert {(row["subject"], row["variant"]) for row in measured.rows} == {
        (subject, variant.name) for subject in SUBJECTS for variant in VARIANTS
    }
    assert len({row["parameters"] for row in measured.rows if row["subject"] == "people"}) == 1
    for row in measured.rows:
        error = row["mpjpe_mm"] if row["subject"] == "people" else row["angle_deg"]
        assert 0 < error < (5000 if row["subject"] == "people" else 180)
        assert row["center_px"] > 0
    found = {claim.id: claim for claim in measured.claims}
    assert {"image-people", "image-object"} <= set(found)
    assert found["image-equal-parameters"].holds
    assert all(math.isfinite(claim.value) for claim in found.values())
    assert any("1 steps of 3 frames" in note for note in measured.notes)
    again = bench_perspective_image(None, seeds=(0,), jobs=1, cache=tmp_path, effort=TINY)
    assert again.rows == measured.rows
    assert "4 of 4 were kept" in again.notes[-1]


def test_the_catalogue_passes_on_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[Any, dict[str, Any]]] = []

    def called(library: Path | None, **rest: Any) -> Measured:
        asked.append((library, rest))
        return Measured(rows=[])

    monkeypatch.setattr(bench_file, "bench_perspective_image", called)
    unasked = dict.fromkeys(("views", "film", "figures", "renders", "steps", "pictures"))
    settings = SimpleNamespace(**unasked, library=tmp_path / "l.npz", quick=True, seeds=(3, 4), jobs=1, cache=tmp_path)
    for quick in (True, False):
        BENCHES["perspective-image"][0](SimpleNamespace(**vars(settings) | {"quick": quick}), None)  # type: ignore[arg-type]
    expected = {"jobs": 1, "cache": tmp_path, "progress": None}
    assert asked == [
        (tmp_path / "l.npz", expected | {"quick": True, "seeds": (3,)}),
        (tmp_path / "l.npz", expected | {"quick": False, "seeds": (3, 4)}),
    ]


@pytest.mark.slow
def test_the_quick_benchmark_runs_in_processes_of_its_own() -> None:
    done: list[tuple[int, int]] = []
    measured = bench_perspective_image(None, quick=True, seeds=(0,), jobs=1, progress=lambda *now: done.append(now))
    assert done == [(number, 4) for number in (1, 2, 3, 4)] * 2
    assert len(measured.rows) == 8
