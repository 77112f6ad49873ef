"""The measured tables of the pages are those of the committed runs, and of nothing else."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import erfinv

from sightline.formats.weights import shipped_weights
from sightline.methods.abspose.partial import PartialConfig, PartialLifter
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "docs/detectors.md",
    "docs/lcrnet.md",
    "docs/perspective.md",
    "docs/perspose.md",
    "docs/prior.md",
    "docs/rendering.md",
    "docs/retargeting.md",
    "docs/rig.md",
    "docs/training.md",
    "docs/uncertainty.md",
    "src/sightline/methods/abspose/README.md",
    "src/sightline/methods/deeplift/README.md",
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("docs_tables")


@pytest.mark.parametrize("name", PAGES)
def test_the_tables_on_the_page_are_up_to_date(name: str, script: Any) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert script.rewritten(page, script.SECTIONS[name]) == page, "run python benchmarks/docs_tables.py"
    assert set(script.SECTIONS) == set(PAGES)


def test_a_figure_that_was_edited_by_hand_is_noticed(script: Any) -> None:
    page = (ROOT / "docs/rig.md").read_text(encoding="utf-8")
    edited = page.replace("| cam02 | 1 | 9 |", "| cam02 | 1 | 3 |", 1)
    assert edited != page
    assert script.rewritten(edited, script.SECTIONS["docs/rig.md"]) == page


def test_every_person_of_every_view_stands_in_the_table(script: Any) -> None:
    found = json.loads((ROOT / "benchmarks/results/real.json").read_text(encoding="utf-8"))
    people = {(row["from"], row["view"], row["label"]) for row in found["rows"] if row["group"] == "person"}
    lines = [line for line in script.rig_results().splitlines() if line.startswith(("| film", "| keypoints"))]
    assert {tuple(cell.strip() for cell in line.split("|")[1:4]) for line in lines} == people


def test_stated_uncertainty_is_told_where_it_was_measured(script: Any) -> None:
    row = {"height": "learned", "covered_68": 0.6, "covered_68_root_depth": 0.5, "stated_m": 0.1}
    assert script.covered([{"height": "learned"}, {**row, "height": "given"}]) == ""
    text = script.covered([row, {**row, "covered_68": 0.7, "covered_68_root_depth": None}])
    assert "65 % of the joints' errors and 50 % of the depths' lie within the stated 68 % half-widths of 100 mm" in text


@pytest.fixture
def measured_rows(script: Any) -> list[dict[str, Any]]:
    """Rows of three conditions in which widths are true, and of one in which they are half of what they should be."""
    bench = importlib.import_module("reliability")
    # Wider from person to person; any hundred of them in a row err by all quantiles of a normal distribution.
    sigma = np.linspace(0.02, 0.2, 500)[:, None, None] * np.ones((17, 3))
    normal = np.sqrt(2) * erfinv(2 * (np.arange(100) + 0.5) / 100 - 1)
    errors = sigma * np.tile(normal, 5)[:, None, None]
    true, too_sure = (list(bench.compared(factor * errors, sigma)) for factor in (1.0, 2.0))
    named = {"clean": true, "noisy": true, "missing": true, "too sure": too_sure}
    return [{"condition": name, "on": f"{name} views", **row} for name, rows in named.items() for row in rows]


def test_a_reliability_report_becomes_tables(
    script: Any, measured_rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = importlib.import_module("reliability")
    meta = {"command": "x", "hardware": "y", "versions": {"torch": "2"}, "date": "2026-01-01", "notes": ["weights w"]}
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    path = tmp_path / "benchmarks/results/reliability.json"
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "report", lambda name: json.loads(path.read_text(encoding="utf-8")))
    assert "state no uncertainty yet" in script.reliability()
    claims = [vars(claim) | {"holds": claim.holds} for claim in bench.claims(measured_rows)]
    path.write_text(json.dumps({"rows": measured_rows, "claims": claims, "meta": meta}), encoding="utf-8")
    text = script.reliability()
    assert "| clean views | 68 | 68 | 68 | 68 |" in text
    assert "| too sure views | 38 | 38 | 38 | 38 |" in text  # half a standard deviation holds 38 %
    wider = next(line for line in text.splitlines() if line.startswith("| too sure")).split("|")[-2]
    assert 1.9 < float(wider) < 2.1
    assert sum(line.startswith("| the depth, ") for line in text.splitlines()) == 5
    assert "and holds in all of them" in text


def test_what_is_not_true_is_said(script: Any, measured_rows: list[dict[str, Any]]) -> None:
    bench = importlib.import_module("reliability")
    renamed = [row | {"condition": "noisy"} for row in measured_rows if row["condition"] == "too sure"]
    found = bench.claims([row for row in measured_rows if row["condition"] in ("clean", "missing")] + renamed)
    assert {claim.id.split(":")[0] for claim in found if not claim.holds} == {"noisy"}
    text = script.held_or_not([vars(claim) | {"holds": claim.holds} for claim in found])
    assert "and holds in 12. Not with too sure views: all joints and axes (all: 38." in text


def test_the_reliability_told_is_that_of_the_shipped_weights() -> None:
    """Whoever ships other weights has to measure again."""
    passport = json.loads((shipped_weights() / f"{DEFAULT_WEIGHTS}.json").read_text(encoding="utf-8"))
    path = ROOT / "benchmarks/results/reliability.json"
    if passport["method"] != "abspose-partial":
        assert not path.exists()
        return
    (about, *_) = json.loads(path.read_text(encoding="utf-8"))["meta"]["notes"]
    assert f"weights {passport['name']} (sha256 {passport['sha256'][:12]})" in about


@pytest.mark.parametrize(
    ("weights", "library", "part"),
    [
        ("no such weights", "library.npz", "no such weights"),
        ("abspose-mocap", "library.npz", "states no uncertainty"),
        (None, "missing.npz", "missing.npz"),
        (None, "folder", "folder"),
        (None, "rubbish.npz", "rubbish.npz"),
    ],
)
def test_a_bad_call_of_the_measurement_is_one_sentence(
    weights: str | None,
    library: str,
    part: str,
    script: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bench = importlib.import_module("reliability")
    (tmp_path / "folder").mkdir()
    (tmp_path / "rubbish.npz").write_bytes(bytes(range(256)))
    if weights is None:
        monkeypatch.setattr(bench, "load_lifter", lambda name: (PartialLifter(PartialConfig(width=8)), None))
    call = [weights or "some", str(tmp_path / library), "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["reliability.py", *call])
    assert bench.main() in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("reliability.py: ")
    assert part in line
    assert not (tmp_path / "reliability.json").exists()


def test_what_a_widening_buys_is_told_against_the_luck_of_the_seed(script: Any) -> None:
    def row(variant: str, test: str, mm: float, sd: float = 0.0) -> dict[str, Any]:
        return {"variant": variant, "test": test, "mpjpe_mm": mm, "mpjpe_mm_sd": sd}

    rows = [
        row("everything", "plain", 50, 0.5),
        row("everything", "street", 100, 0.1),
        row("everything", "real, person 0", 90, 1.8),
        row("everything", "real, person 1", 110, 0.0),
        *(row("without swings", test, mm) for test, mm in (("street", 98.1), ("real, person 0", 80))),
        row("without swings", "real, person 1", 110),
        *(row("without faults", test, mm) for test, mm in (("street", 150.0), ("real, person 0", 120))),
        row("without faults", "real, person 1", 120),
        row("nothing widened", "street", 900),
    ]
    tests = list(dict.fromkeys(one["test"] for one in rows))
    assert script.by_kind(tests) == [["plain"], ["street"], ["real, person 0", "real, person 1"]]
    assert script.luck(rows, ["street"]) == pytest.approx(0.02)
    assert script.luck(rows, tests[2:]) == pytest.approx(0.04)
    drawn = script.bought(rows, ["street"], 0.02)
    assert drawn == (
        "**Street**, MPJPE, luck of the seed ± 2.0 %: leaving out costs: faults (+50 %); "
        "leaving out makes no difference beyond luck: swings (-2 %)."
    )
    real = script.bought(rows, tests[2:], 0.04)
    assert "costs: faults (+20 %); leaving out lowers it: swings (-5 %)." in real


def test_bodies_fitted_to_motion_are_told_as_they_were_measured(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads((ROOT / "benchmarks/results/retarget.json").read_text(encoding="utf-8"))
    bodies = importlib.import_module("tables_bodies")
    text = bodies.retargeting()
    assert script.SECTIONS["docs/retargeting.md"]["retarget"]() == text
    assert "all hold." in text
    assert sum(line.startswith("| ") and ", walking |" in line for line in text.splitlines()) == 3
    single = next(row for row in found["rows"] if row["what"].startswith("retargeting makehuman"))
    assert bodies.fitted_cells(single)[6] == "–"  # single poses have no feet that could slide
    moving = {**single, "frames": 100, "slide_m_s": 0.5, "clip_slides_m_s": 0.25, "lowest_sole_mm": -0.04}
    assert bodies.fitted_cells(moving)[6:8] == ["0.50 (0.25)", "0.0"]
    assert bodies.fitted_cells({key: value for key, value in moving.items() if "slide" not in key})[6] == "–"
    found["claims"][0] |= {"text": "bodies are there", "value": 31.0, "holds": False}
    monkeypatch.setattr(bodies, "report", lambda name: found)
    assert "these do **not** hold: bodies are there (31)." in bodies.retargeting()


def test_the_ablation_of_perspose_is_told_as_it_was_measured(script: Any) -> None:
    found = json.loads((ROOT / "benchmarks/results/perspose.json").read_text(encoding="utf-8"))
    text = importlib.import_module("tables_perspose").perspose()
    assert script.SECTIONS["docs/perspose.md"]["perspose"]() == text
    for row in found["rows"]:
        if row["variant"] is None:
            assert f"People {row['spread']}, φ in the median {row['phi_50_percent_deg']:.1f}°" in text
            continue
        name = row["variant"] if row["seed"] == "mean" else f"{row['variant']}, seed {row['seed']}"
        gain = row.get("gain_mpjpe_percent")
        told = "" if gain is None else f" ({-gain:+.1f} %)"
        assert f"| {name} | {row['mpjpe_mm']:.1f}{told} |" in text
    assert text.count("| yes |") == sum(claim["holds"] for claim in found["claims"])
