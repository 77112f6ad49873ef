"""The tables of PersPose's ablation on docs/perspose.md, from benchmarks/results/perspose.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from readme_tables import ROOT, held, origin, report, table

Rows = Sequence[Mapping[str, Any]]
MEAN = "mean"
ERRORS = {"mpjpe": "MPJPE, mm", "pa_mpjpe": "PA-MPJPE, mm", "depth_error": "depth error, mm"}


def perspose_weights() -> str:
    """Scores of the shipped network, from its passport."""
    path = ROOT / "src" / "sightline" / "assets" / "weights" / "perspose-synth.json"
    passport = json.loads(path.read_text(encoding="utf-8"))
    scores = {**ERRORS, "pve": "PVE, mm"}
    rows = [[test, *(f"{found[f'{name}_mm']:.1f}" for name in scores)] for test, found in passport["expected"].items()]
    return (
        table(["test", *scores.values()], rows)
        + f"\n\n`{passport['command']}`, {passport['date']}; 600 rendered pictures of the test split's motion, 1,151 "
        "people of whom at least 30 % is seen, true boxes and cameras; answers averaged with those about the mirrored "
        "crops."
    )


def perspose() -> str:
    """What each variant errs by spread, seed by seed, how far off the axis people are, and the claims."""
    found = report("perspose")
    rows = found["rows"]
    spreads = list(dict.fromkeys(row["spread"] for row in rows))
    angles = {row["spread"]: row for row in rows if row["variant"] is None}
    tables = [
        f"People {of_spread(angles[spread])}:\n\n{by_variant([row for row in rows if row['spread'] == spread])}"
        for spread in spreads
    ]
    claims = [[claim["text"], f"{100 * claim['value']:+.1f} %", held(claim)] for claim in found["claims"]]
    return "\n\n".join(
        [
            *tables,
            table(["claim (shares won over neither)", "found", "holds"], claims),
            f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}.",
        ]
    )


def of_spread(row: Mapping[str, Any]) -> str:
    """Return in words how far off the axis people are."""
    low, middle, high = (row[f"phi_{share}_percent_deg"] for share in (5, 50, 95))
    return f"{row['spread']}, φ in the median {middle:.1f}° (5 % below {low:.1f}°, 5 % above {high:.1f}°)"


def by_variant(rows: Rows) -> str:
    """Return means over seeds with what they win over neither, and every seed by itself."""
    lines = [
        [
            row["variant"] if row["seed"] == MEAN else f"{row['variant']}, seed {row['seed']}",
            *(_error(row, name) for name in ERRORS),
            f"{row['seconds']:.0f}",
        ]
        for row in rows
        if row["variant"] is not None
    ]
    return table(["", *ERRORS.values(), "training, s"], lines)


def _error(row: Mapping[str, Any], name: str) -> str:
    """An error, with what is won where the row is a mean over seeds."""
    gain = row.get(f"gain_{name}_percent")
    return f"{row[f'{name}_mm']:.1f}" + ("" if gain is None else f" ({-gain:+.1f} %)")
