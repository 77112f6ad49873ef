"""The README's figures are those of the committed runs, and of nothing else."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "readme_tables.py"))


def test_the_results_in_the_readme_are_up_to_date() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert SCRIPT["rewritten"](readme) == readme, "run python benchmarks/readme_tables.py"


def test_a_figure_that_was_edited_by_hand_is_noticed() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    begin = readme.index(SCRIPT["BEGIN"])
    edited = readme[:begin] + readme[begin:].replace("yes", "of course", 1)
    assert edited != readme
    assert SCRIPT["rewritten"](edited) == readme
