"""Write the results that the README shows between its markers, from the committed runs under benchmarks/results.

`python benchmarks/readme_tables.py` rewrites README.md; with `--check` it only says whether that would change it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results: written by benchmarks/readme_tables.py -->", "<!-- /results -->"


def report(name: str) -> dict[str, Any]:
    """Return a committed run."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, numbers to the right."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def origin(meta: Mapping[str, Any]) -> str:
    """Return the sentence that says where figures come from."""
    return f"`{meta['command']}`, {meta['hardware']}, torch {meta['versions']['torch']}, {meta['date']}."


def shipped() -> str:
    """Scores of the shipped weights, from their passport."""
    path = ROOT / "src" / "sightline" / "assets" / "weights" / "abspose-mocap.json"
    passport = json.loads(path.read_text(encoding="utf-8"))
    names = ("mpjpe_mm", "mpjpe_root_counted_mm", "pa_mpjpe_mm", "mrpe_mm")
    rows = [[test, *(f"{scores[name]:.1f}" for name in names)] for test, scores in passport["expected"].items()]
    return (
        "The shipped lifter on people it was not trained on (exact 2D keypoints, 2.5–7 m away, f 1145 px on "
        "1000 × 1000, whole body anywhere in the frame; mm):\n\n"
        + table(["`abspose-mocap`", "MPJPE", "MPJPE, root counted", "PA-MPJPE", "MRPE"], rows)
        + f"\n\n`{passport['command']}`, {passport['date']}; test split of the motion capture. MPJPE is over the 16 "
        "joints besides the root; the older convention counts the root as a seventeenth joint without error. Most of "
        "MRPE is the spread of body size, which no network can see in one picture (the virtual people vary by ± 5 %): "
        "give the person's height (`--height-m`) where you know it. Here the height given is the exact one."
    )


def held(claim: Mapping[str, Any]) -> str:
    """Return yes, or no with its reason."""
    return "yes" if claim["holds"] else f"no: {claim.get('reason', 'see the rows')}"


def ablations() -> str:
    """The paper's claims, held or not."""
    found = report("abspose")
    rows = [
        [claim["text"], f"{claim['value']:.3g}", f"{claim['target']:.3g}", held(claim)]
        for claim in found["claims"]
    ]
    return (
        "What the paper claims, measured again on held-out people (shares won; "
        f"{len(found['meta']['seeds'])} seeds, equal steps):\n\n"
        + table(["claim", "measured", "target", "holds"], rows)
        + f"\n\n{origin(found['meta'])} All rows: `sightline bench abspose --from-results`."
    )


def speed() -> str:
    """Speed on one thread."""
    found = report("lift")
    rows = []
    for row in found["rows"]:
        value = next(
            f"{row[key]:,.0f} {unit}" if key != "ms_per_frame" else f"{row[key]:.2f} {unit}"
            for key, unit in (("poses_per_second", "poses/s"), ("ms_per_frame", "ms/frame"), ("per_second", "views/s"))
            if key in row
        )
        rows.append([row["what"], value])
    return "Speed on one thread:\n\n" + table(["what", "measured"], rows) + f"\n\n{origin(found['meta'])}"


def real() -> str:
    """Four views of two real people."""
    found = report("real")
    names = ("mpjpe_m", "pa_mpjpe_m", "mrpe_m")
    rows = []
    for row in found["rows"]:
        if row["height"] == "learned" and row["group"] == "person":
            key = (row["view"], row["label"], "given")
            given = next(r for r in found["rows"] if (r["view"], r["label"], r["height"]) == key)
            rows.append(
                [row["view"], row["label"], *(f"{1000 * row[n]:.0f}" for n in names), f"{1000 * given['mrpe_m']:.0f}"]
            )
    return (
        "A real, calibrated scene (two people, four views, 2D from MediaPipe as it comes; mm over shoulders, elbows, "
        "wrists, hips, knees and ankles; truth triangulated from the views, itself good to a few cm):\n\n"
        + table(["view", "person", "MPJPE", "PA-MPJPE", "MRPE", "MRPE, height from the truth's bones"], rows)
        + f"\n\n{origin(found['meta'])} This lifter was trained on nearly exact keypoints of one 17-joint skeleton; "
        "joints that a detector places elsewhere, swaps or guesses cost it what the table shows."
    )


SECTIONS: tuple[Callable[[], str], ...] = (shipped, real, ablations, speed)


def rewritten(readme: str) -> str:
    """Return the README with its results section made anew."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n" + "\n\n".join(section() for section in SECTIONS) + f"\n\n{END}{after}"


def main() -> int:
    """Rewrite the README, or check it."""
    path = ROOT / "README.md"
    old = path.read_text(encoding="utf-8")
    new = rewritten(old)
    if "--check" in sys.argv[1:]:
        print("README.md is up to date" if new == old else "README.md: run python benchmarks/readme_tables.py")
        return int(new != old)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
