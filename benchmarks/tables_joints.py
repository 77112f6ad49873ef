"""The tables of networks that find joints in crops: shipped weights, the cascade, and the pose machine by stages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from readme_tables import ROOT, held, origin, report, table

Row = Mapping[str, Any]
MEAN = "mean"
LIFTED = {"mpjpe_mm": "MPJPE, mm", "pa_mpjpe_mm": "PA-MPJPE, mm", "mrpe_mm": "MRPE, mm"}
PLACED = LIFTED | {"mrpe_x_mm": "in x", "mrpe_y_mm": "in y", "mrpe_z_mm": "in z", "mrpe_mm_sd": "MRPE, ± over seeds"}
STAGES = {
    "fused_px": "2D error, px", "mpjpe_mm": "MPJPE, mm", "pa_mpjpe_mm": "PA-MPJPE, mm",
    "own_px": "2D error of own maps, px",
    "own_mpjpe_mm": "MPJPE of own maps, mm", "own_share": "weight of own maps",
}  # fmt: skip


def joint_weights() -> str:
    """Scores of the shipped networks, from their passports."""
    folder = ROOT / "src" / "sightline" / "assets" / "weights"
    passports = [json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in WEIGHTS]
    rows = [
        [f"`{name}`", test, f"{scores['error_px']:.1f}", f"{scores['pck5_percent']:.1f}"]
        for name, passport in zip(WEIGHTS, passports, strict=True)
        for test, scores in passport["expected"].items()
    ]
    calls = "; ".join(f"`{passport['command']}`, {passport['date']}" for passport in passports)
    titles = ["", "test", "mean error, px", "joints within 5 % of the crop's side, %"]
    return f"{table(titles, rows)}\n\n{calls}."


WEIGHTS = ("integral-synth", "cpm-synth")


def joints_real(network: str) -> str:
    """What a network sees of real people, and what is lifted from it, view by view."""
    found = report("joints_real")
    mine = [row for row in found["rows"] if row["network"] == network]
    seen = [
        [row["view"], str(row["person"]), *scores(row, ("seen_percent", "median_percent", "near_percent"))]
        for row in mine if row["group"] == "picture"
    ]  # fmt: skip
    lifted = [
        [row["view"], row["method"], *scores(row, ("people_percent", *LIFTED))]
        for row in mine if row["group"] == "space"
    ]  # fmt: skip
    titles = ["view", "person", "limbs given out, %", "off in the median, % of the box", "limbs found, %"]
    return "\n\n".join(
        [
            table(titles, seen),
            "Lifted, both people:",
            table(["view", "method", "of all people, %", *LIFTED.values()], lifted),
            f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}.",
        ]
    )


def cascade() -> str:
    """Lifters by what 2D they learnt from, behind one estimator; the estimator; the error models; the claims."""
    found = report("cascade")
    rows = found["rows"]
    lifters = means(row for row in rows if row["what"] == "cascade")
    tests = list(dict.fromkeys(row["test"] for row in lifters))
    own = tests[0]
    main = [[row["variant"], *scores(row, PLACED)] for row in lifters if row["test"] == own]
    others = [
        [row["test"], *scores(row, PLACED)] for row in lifters if row["variant"] == "mixture" and row["test"] != own
    ]
    estimator = [
        [row["split"], row["boxes"], f"{row['people']} ({row['of_all_percent']:.0f} %)",
         *scores(row, ("mean_px", "median_px", "beyond_50_percent"))]
        for row in rows if row["what"] == "2D estimator"
    ]  # fmt: skip
    models = [
        [row["kind"], *scores(row, ("sigma_px", "inlier_percent"))] for row in rows if row["what"] == "error model"
    ]
    titles = ["people", "boxes", "how many", "mean error, px of a crop of 256", "median, px", "beyond 50 px, %"]
    return "\n\n".join(
        [
            f"Table 2, `{own}`, by what the lifter learnt from:",
            table(["", *PLACED.values()], main),
            "The lifter that learnt from the mixture, behind other 2D and with other roots (table 3):",
            table(["", *PLACED.values()], others),
            roots_by_seed(rows, own),
            table(titles, estimator),
            table(["errors as fitted", "σ, px", "inliers, %"], models),
            claimed(found),
        ]
    )


def roots_by_seed(rows: Iterable[Row], own: str) -> str:
    """Tell with how many seeds the learned root is nearer than each rule's."""
    errors = {(row["test"], row["seed"]): row["mrpe_mm"] for row in rows if row.get("variant") == "mixture"}
    seeds = [seed for test, seed in errors if test == own and seed != MEAN]
    rivals = dict.fromkeys(test for test, _ in errors if test.startswith("estimate, ") and test != own)
    won = [
        f"{sum(errors[own, seed] < errors[rival, seed] for seed in seeds)} with the {rival.removeprefix('estimate, ')}"
        for rival in rivals
    ]
    return f"Of {len(seeds)} seeds the learned root has the lower MRPE in {', in '.join(won)} beside it."


def cpm() -> str:
    """What each stage of each machine finds, and the claims."""
    found = report("cpm")
    rows = means(found["rows"])
    lines = [[row["variant"], str(row["stage"]), *scores(row, STAGES)] for row in rows]
    return "\n\n".join([table(["", "stage", *STAGES.values()], lines), claimed(found)])


def means(rows: Iterable[Row]) -> list[Row]:
    """Return the means over seeds, or what there is of the only one."""
    every = list(rows)
    several = any(row["seed"] == MEAN for row in every)
    return [row for row in every if not several or row["seed"] == MEAN]


def scores(row: Row, names: Iterable[str]) -> list[str]:
    """Return figures; what is not there is a dash."""
    return ["–" if row.get(name) is None else f"{row[name]:.{2 if name == 'own_share' else 1}f}" for name in names]


def claimed(found: Mapping[str, Any]) -> str:
    """Return the claims, and where the figures come from."""
    claims = [[claim["text"], f"{100 * claim['value']:+.1f} %", held(claim)] for claim in found["claims"]]
    told = table(["claim", "found", "holds"], claims)
    return f"{told}\n\n{origin(found['meta'])} {'; '.join(found['meta']['notes'])}."
