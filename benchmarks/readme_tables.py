"""Write the results that the README shows between its markers, from the committed runs under benchmarks/results.

`python benchmarks/readme_tables.py` rewrites README.md; with `--check` it only says whether that would change it.
"""

from __future__ import annotations

import json
import statistics
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
    """Scores of the shipped weights, from their passports."""
    folder, rows, commands = ROOT / "src" / "sightline" / "assets" / "weights", [], []
    names = ("mpjpe_mm", "mpjpe_root_counted_mm", "pa_mpjpe_mm", "mrpe_mm")
    for weights in ("abspose-street", "abspose-mocap"):
        passport = json.loads((folder / f"{weights}.json").read_text(encoding="utf-8"))
        commands.append(f"`{passport['command']}`, {passport['date']}")
        for test, scores in passport["expected"].items():
            rows.append([f"`{weights}`, {test}", *(f"{scores[name]:.1f}" for name in names)])
    return (
        "The shipped lifters on people they were not trained on (exact 2D keypoints, 2.5–7 m away, f 1145 px on "
        "1000 × 1000, whole body anywhere in the frame; mm). `abspose-street` is the default; it asks `abspose-mocap` "
        "as a second opinion where keypoints are exact:\n\n"
        + table(["weights, test", "MPJPE", "MPJPE, root counted", "PA-MPJPE", "MRPE"], rows)
        + f"\n\n{'; '.join(commands)}; test split of the motion capture. MPJPE is over the 16 "
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
        [claim["text"], f"{claim['value']:.3g}", f"{claim['target']:.3g}", held(claim)] for claim in found["claims"]
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
    """Four views of two real people, from their keypoints and their films."""
    found = report("real")
    people = [row for row in found["rows"] if row["group"] == "person"]
    by_key = {(row["view"], row["label"], row["from"], row["height"]): row for row in people}
    rows = []
    for view, label in dict.fromkeys((row["view"], row["label"]) for row in people):
        alone, steady, film = (
            by_key[view, label, kind, "learned"] for kind in ("keypoints, each frame alone", "keypoints", "film")
        )
        given, floor = (by_key[view, label, "film", size] for size in ("given", "on_floor"))
        errors = [alone["mpjpe_m"], steady["mpjpe_m"], steady["pa_mpjpe_m"], steady["mrpe_m"]]
        errors += [film["mpjpe_m"], film["pa_mpjpe_m"], film["mrpe_m"], given["mrpe_m"], floor["mrpe_m"]]
        rows.append([view, label, *(f"{1000 * value:.0f}" for value in errors)])
    titles = [
        "view", "person", "each frame alone: MPJPE", "`lift`: MPJPE", "PA-MPJPE", "MRPE", "`predict`: MPJPE",
        "PA-MPJPE", "MRPE", "MRPE, height from the truth's bones", "MRPE, `--on-floor`",
    ]  # fmt: skip
    shaken, calm = (
        statistics.mean(row["acceleration_m_s2"] for row in people if (row["from"], row["height"]) == (kind, "learned"))
        for kind in ("keypoints, each frame alone", "keypoints")
    )
    return (
        "A real, calibrated scene (a woman, 0, who stands beside a treadmill, and a man, 1, on a beam 10 cm high; four "
        "views with MediaPipe's keypoints, and the films themselves with MediaPipe in boxes drawn in the first frame; "
        "mm over shoulders, elbows, wrists, hips, knees and ankles; truth triangulated from the views, itself good to "
        "a few cm):\n\n"
        + table(titles, rows)
        + f"\n\n{origin(found['meta'])} Jitter (mean acceleration error): {shaken:.0f} m/s² each frame alone, "
        f"{calm:.0f} m/s² smoothed. The woman is small (1.34 m by her triangulated bones), so without a height she is "
        "placed too far away; `--on-floor` cures that, and takes the man's beam for the floor."
    )


def predict() -> str:
    """Speed and memory from film to poses."""
    found = report("predict")
    rows = []
    for row in found["rows"]:
        value = next(
            f"{row[key]:,.{digits}f} {unit}"
            for key, digits, unit in (
                ("frames_per_second", 1, "frames/s"), ("ms_per_frame", 1, "ms/frame"), ("mebibytes", 0, "MiB")
            )
            if key in row
        )  # fmt: skip
        rows.append([row["what"], value + (f" ({100 * row['share']:.0f} %)" if "share" in row else "")])
    claims = [
        [claim["text"], f"{claim['value']:.3g}", f"{claim['target']:.3g}", held(claim)] for claim in found["claims"]
    ]
    return (
        "From a film to poses, with MediaPipe:\n\n"
        + table(["what", "measured"], rows)
        + "\n\n"
        + table(["claim", "measured", "target", "holds"], claims)
        + f"\n\n{origin(found['meta'])} {found['meta']['notes'][0]}."
    )


SECTIONS: tuple[Callable[[], str], ...] = (shipped, real, predict, ablations, speed)


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
