"""The tables of the image experiment on docs/perspective.md, from benchmarks/results/perspective-image.json."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from readme_tables import held, origin, report, table

Rows = Sequence[Mapping[str, Any]]
ERRORS = {"people": ("mpjpe", "mm", "people, MPJPE in mm"), "object": ("angle", "deg", "object, angle in degrees")}
"""Of each subject: what its error is called in the rows, its unit there, and the title of its table."""
MEAN = "mean"


def perspective_image() -> str:
    """Both crops by subject and angle, seed by seed, and the claims."""
    found = report("perspective-image")
    tables = [by_band(found["rows"], subject) for subject in ERRORS]
    claims = [
        [claim["text"], f"{claim['value']:.3g}", f"{claim['target']:.3g}", held(claim)] for claim in found["claims"]
    ]
    tables.append(table(["claim", "value", "target", "holds"], claims))
    return "\n\n".join([*tables, f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}."])


def by_band(rows: Rows, subject: str) -> str:
    """Errors of one subject: means over seeds, what is won over the plain crop, then every seed by itself."""
    metric, unit, title = ERRORS[subject]
    mine = sorted((row for row in rows if row["subject"] == subject), key=lambda row: row["seed"] != MEAN)
    bands = [found[1] for key in mine[0] if (found := re.fullmatch(rf"{metric}_([a-z]+)_{unit}", key))]
    titles = [title, "all", *bands, "gain, %", *(f"{band}, %" for band in bands), "localiser, px", "its size, %"]
    keys = [f"{metric}_{unit}", *(f"{metric}_{band}_{unit}" for band in bands)]
    keys += ["gain_percent", *(f"gain_{band}_percent" for band in bands), "center_px", "scale_percent"]
    lines = [
        [
            row["variant"] if row["seed"] == MEAN else f"{row['variant']}, seed {row['seed']}",
            *(spread(row, key) for key in keys),
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['seconds']:.0f}",
        ]
        for row in mine
    ]
    return table([*titles, "parameters, millions", "training, s"], lines)


def spread(row: Mapping[str, Any], key: str) -> str:
    """Return a figure, with its standard deviation over seeds where the row has one; a dash where there is none."""
    if key not in row:
        return "–"
    deviation = f" ± {row[f'{key}_sd']:.1f}" if f"{key}_sd" in row else ""
    return f"{row[key]:.1f}{deviation}"
