"""The page on cameras: its figures are the committed run's, and the script that measures them still does."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(ROOT / "docs/figures/measure_camera_errors.py"))
PAGE = (ROOT / "docs/cameras.md").read_text(encoding="utf-8")
REPORT = json.loads((ROOT / "benchmarks/results/camera_errors.json").read_text(encoding="utf-8"))


def test_the_tables_are_up_to_date() -> None:
    assert SCRIPT["rewritten"](PAGE, REPORT) == PAGE, "run python docs/figures/measure_camera_errors.py --table"


def test_a_figure_that_was_edited_by_hand_is_noticed() -> None:
    edited = PAGE.replace("| 5 cm |", "| 3 cm |", 1)
    assert edited != PAGE
    assert SCRIPT["rewritten"](edited, REPORT) == PAGE


def test_what_the_page_says_in_words_is_what_was_measured() -> None:
    rows = {row["what"]: row for row in REPORT["rows"]}
    right = rows["the right camera, height given"]
    for row in REPORT["rows"]:
        if row["group"] == "focal":
            told = float(row["what"].split()[2].replace("−", "-")) / 100
            assert row["depth_change"] == pytest.approx(told, abs=0.02)  # percent by percent
            assert abs(row["canonical_depth_change"]) < 0.04  # within a few percent
            if abs(told) < 0.5:
                assert row["mpjpe_m"] - right["mpjpe_m"] < 0.005  # the pose hardly notices
    unknown, focal = rows["height not given (1.70 m stands in)"], rows["focal length +5 %"]
    assert unknown["position_m"] == pytest.approx(focal["position_m"], rel=0.2)  # costs as much


@pytest.mark.slow
def test_the_script_measures() -> None:
    rows = SCRIPT["measured"](40).rows
    assert [row["what"] for row in rows] == [row["what"] for row in REPORT["rows"]]
    by_name = {row["what"]: row for row in rows}
    assert by_name["focal length +10 %"]["depth_change"] == pytest.approx(0.1, abs=0.03)
    assert by_name["height −5 %"]["depth_change"] == pytest.approx(-0.05, abs=1e-6)
    assert (
        by_name["a wide lens (k1 = −0.3) known"]["position_m"]
        < by_name["a wide lens (k1 = −0.3) ignored"]["position_m"]
    )
