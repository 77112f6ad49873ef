"""Write the measured tables of pages under docs between their markers, from the committed runs in benchmarks/results.

`python benchmarks/docs_tables.py` rewrites the pages that `SECTIONS` lists; with `--check` it only says whether that
would change them.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from readme_tables import ROOT, origin, report, table
from tables_bodies import render_domain, render_speed, retargeting
from tables_joints import cascade, cpm, joint_weights, joints_real
from tables_lcrnet import lcrnet, lcrnet_decoding, lcrnet_speed, lcrnet_weights
from tables_perspective_image import perspective_image
from tables_perspose import perspose, perspose_weights

Rows = Sequence[Mapping[str, Any]]


def rig_truth() -> str:
    """How good the truth of the worked example is."""
    found = report("rig_truth")
    views = [row for row in found["rows"] if row["group"] == "view"]
    moved = {(row["view"], row["person"]): row for row in found["rows"] if row["group"] == "left out"}
    rows = []
    for row in views:
        out = moved.get((row["view"], row["person"]))
        rows.append(
            [
                row["view"], str(row["person"]), f"{row['median_px']:.0f}", f"{row['p90_px']:.0f}",
                f"{100 * row['agree']:.0f}", f"{100 * row['swapped']:.0f}",
                "–" if out is None else f"{1e3 * out['median_m']:.0f} ({out['joints']})",
            ]
        )  # fmt: skip
    titles = [
        "view", "person", "median px", "90 % px", "joints that agree, %", "frames with sides exchanged, %",
        "joints move without this view, mm (joints)",
    ]  # fmt: skip
    return (
        "How good its truth is:\n\n"
        + table(titles, rows)
        + "\n\n"
        + bones(found["rows"])
        + f"\n\n{origin(found['meta'])} {found['meta']['notes'][0].capitalize()}; {found['meta']['notes'][1]}. The "
        "last column is the median over joints on which the view had agreed and that the other three fix alone."
    )


def bones(rows: Rows) -> str:
    """Return one sentence per person on bones that tremble."""
    told = []
    for person in sorted({row["person"] for row in rows}):
        mine = [row for row in rows if row["group"] == "bone" and row["person"] == person]
        (agreement,) = (row for row in rows if row["group"] == "agreement" and row["person"] == person)
        spread = [1e3 * row["spread_m"] for row in mine]
        thigh = statistics.mean(row["length_m"] for row in mine if "Knee" in row["bone"] and "Hip" in row["bone"])
        told.append(
            f"person {person}: {100 * agreement['known']:.0f} % of the joints are known "
            f"({100 * agreement['all_views']:.0f} % by all views), thighs {100 * thigh:.0f} cm long, upper arms, "
            f"thighs and shins ± {min(spread):.0f} to {max(spread):.0f} mm over the film"
        )
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]}."


def rig_results() -> str:
    """Each single view of the worked example, per person and way to fix the size."""
    found = report("real")
    people = [row for row in found["rows"] if row["group"] == "person"]
    sizes = list(dict.fromkeys(row["height"] for row in people))
    words = {"learned": "learned", "given": "given", "on_floor": "by the floor"}
    rows = []
    for origin_of in dict.fromkeys(row["from"] for row in people):
        for view, label in dict.fromkeys((row["view"], row["label"]) for row in people):
            mine = {
                row["height"]: row
                for row in people
                if (row["view"], row["label"], row["from"]) == (view, label, origin_of)
            }
            first = mine[sizes[0]]
            errors = [first[key] for key in ("mpjpe_m", "pa_mpjpe_m")] + [mine[size]["mrpe_m"] for size in sizes]
            rows.append([origin_of, view, label, *(f"{1e3 * error:.0f}" for error in errors), str(first["missed"])])
    titles = [
        "from",
        "view",
        "person",
        "MPJPE",
        "PA-MPJPE",
        *(f"MRPE, size {words.get(size, size)}" for size in sizes),
        "missed",
    ]
    lines = [
        "What each view by itself makes of it (mm, `limbs12`; MPJPE and PA-MPJPE with the learned size; *missed* are "
        "frames in which the person was not found):",
        table(titles, rows),
        f"{origin(found['meta'])} {'; '.join(found['meta'].get('notes', []))}.",
    ]  # fmt: skip
    stated = covered(people)
    return "\n\n".join([*lines, *([stated] if stated else [])])


def covered(people: Rows) -> str:
    """Return one sentence on the stated uncertainty in the example; empty where none was stated."""
    shares = [row for row in people if row.get("covered_68") is not None and row["height"] == "learned"]
    if not shares:
        return ""
    joints = 100 * statistics.mean(row["covered_68"] for row in shares)
    stated = 1e3 * statistics.mean(row["stated_m"] for row in shares)
    depths = [row for row in shares if row.get("covered_68_root_depth") is not None]
    depth = 100 * statistics.mean(row["covered_68_root_depth"] for row in depths) if depths else 0.0
    return (
        f"Stated uncertainty, learned size, mean over views and people: {joints:.0f} % of the joints' errors and "
        f"{depth:.0f} % of the depths' lie within the stated 68 % half-widths of {stated:.0f} mm on average. "
        "Two people are two samples of body size, so the depths' share says little."
    )


def reliability() -> str:
    """How true the stated uncertainty is, from benchmarks/results/reliability.json."""
    if not (ROOT / "benchmarks" / "results" / "reliability.json").exists():
        return "The shipped weights state no uncertainty yet, so there is nothing measured to show here."
    found = report("reliability")
    rows: Rows = found["rows"]
    names = list(dict.fromkeys(row["condition"] for row in rows))
    return "\n\n".join(
        [
            "Share of the absolute errors within the stated 68 % half-widths, in %; 68.3 is right (*×*: by what the "
            "widths would have to be multiplied):",
            covered_by_part([[row for row in rows if row["condition"] == name] for name in names]),
            held_or_not(found["claims"]),
            "By the width that was stated, tenths of all joints and axes from the narrowest to the widest (%, and "
            "their mean width):",
            covered_by_width(rows, names[:3]),
            f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}.",
        ]
    )


def covered_by_part(conditions: Sequence[Rows]) -> str:
    """Return a table with a row per condition: coverage in all, by axis, of the depth, by part, by joint and axis."""
    rows = []
    for mine in conditions:
        (total,), (depth,) = ([row for row in mine if row["group"] == group] for group in ("total", "root"))
        columns = [total, *(row for row in mine if row["group"] == "axis"), depth]
        columns += [row for row in mine if row["group"] == "part"]
        single = [100 * row["covered"] for row in mine if row["group"] == "joint axis"]
        shares = [f"{100 * row['covered']:.0f}" for row in columns]
        lengths = [f"{1e3 * row['stated_m']:.0f}" for row in (total, depth)]
        span = f"{min(single):.0f}–{max(single):.0f}"
        rows.append([total["on"], *shares, span, *lengths, f"{depth['widening']:.2f}"])
    parts = [row["label"] for row in conditions[0] if row["group"] == "part"]
    titles = ["", "all", "x", "y", "z", "root's depth", *parts, "joint and axis, from–to"]
    return table([*titles, "stated ±, mm", "of the depth", "× of the depth"], rows)


def covered_by_width(rows: Rows, conditions: Sequence[str]) -> str:
    """Return a table with a row per class of stated widths and two columns per condition; then the depth's classes."""
    lines: list[list[str]] = []
    titles = [""]
    for name in conditions:
        mine = [row for row in rows if row["condition"] == name]
        titles += [mine[0]["on"], "± mm"]
        for group, words in (("stated", "{} of {}"), ("root stated", "the depth, {} of {}")):
            classes = [row for row in mine if row["group"] == group]
            start = 0 if group == "stated" else len([row for row in mine if row["group"] == "stated"])
            for number, row in enumerate(classes):
                if len(lines) <= start + number:
                    lines.append([words.format(number + 1, len(classes))])
                lines[start + number] += [f"{100 * row['covered']:.0f}", f"{1e3 * row['stated_m']:.0f}"]
    return table(titles, lines)


def held_or_not(claims: Rows) -> str:
    """Return a sentence on where 68 ± 3 % was promised and whether it holds."""
    broken = [claim for claim in claims if not claim["holds"]]
    text = f"68 ± 3 % is wanted in {len(claims)} comparisons (first three rows: all, per axis, part, depth, class)"
    if not broken:
        return f"{text} and holds in all of them."
    by_condition: dict[str, list[str]] = {}
    for claim in broken:
        on, what = claim["text"].rsplit(": ", 1)
        by_condition.setdefault(on, []).append(f"{what} ({claim['reason']})")
    listed = "; ".join(f"{on}: {', '.join(parts)}" for on, parts in by_condition.items())
    return f"{text} and holds in {len(claims) - len(broken)}. Not with {listed}."


EVERYTHING, WITHOUT = "everything", "without "


def widening() -> str:
    """What each widening of the training data buys, from benchmarks/results/widening.json."""
    found = report("widening")
    scores = {(row["variant"], row["test"]): row for row in found["rows"]}
    tests = list(dict.fromkeys(row["test"] for row in found["rows"]))
    drawn, real = ("mpjpe_mm", "root_median_mm"), ("mpjpe_mm", "pa_mpjpe_mm", "mrpe_mm")
    metrics = {test: real if test.startswith("real") else drawn for test in tests}
    rows = [
        [variant, *(" / ".join(f"{scores[variant, test][name]:.0f}" for name in metrics[test]) for test in tests)]
        for variant in dict.fromkeys(row["variant"] for row in found["rows"])
    ]
    return "\n\n".join(
        [
            "Errors in mm: MPJPE / median error of the root, and on the real scene MPJPE / PA-MPJPE / MRPE:",
            table(["trained on", *tests], rows),
            *(bought(found["rows"], group, luck(found["rows"], group)) for group in by_kind(tests)),
            f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}.",
        ]
    )


def by_kind(tests: Sequence[str]) -> list[list[str]]:
    """Each test of its own; the people of the real scene together, where there is one."""
    real = [test for test in tests if test.startswith("real")]
    return [*([test] for test in tests if test not in real), *([real] if real else [])]


def luck(rows: Rows, tests: Sequence[str]) -> float:
    """Return the share by which the seed alone may move MPJPE: two deviations, the largest of all tests of the kind."""
    real = tests[0].startswith("real")
    whole = [row for row in rows if row["variant"] == EVERYTHING and row["test"].startswith("real") == real]
    return 2 * max(row["mpjpe_mm_sd"] / row["mpjpe_mm"] for row in whole)


def bought(rows: Rows, tests: Sequence[str], noise: float) -> str:
    """Return a sentence: what costs MPJPE when it is left out, what makes no difference, what is better left out."""

    def error(variant: str) -> float:
        return statistics.mean(row["mpjpe_mm"] for row in rows if row["test"] in tests and row["variant"] == variant)

    names = [name for name in dict.fromkeys(row["variant"] for row in rows) if name.startswith(WITHOUT)]
    change = {name.removeprefix(WITHOUT): error(name) / error(EVERYTHING) - 1 for name in names}
    ordered = sorted(change, key=lambda name: -abs(change[name]))
    kinds = {
        "costs": [name for name in ordered if change[name] > noise],
        "lowers it": [name for name in ordered if change[name] < -noise],
        "makes no difference beyond luck": [name for name in ordered if abs(change[name]) <= noise],
    }
    told = []
    for verb, those in kinds.items():
        listed = ", ".join(f"{name} ({100 * change[name]:+.0f} %)" for name in those)
        told += [f"leaving out {verb}: {listed}"] if those else []
    where = "real scene, mean of the people" if len(tests) > 1 else tests[0]
    return f"**{where[0].upper()}{where[1:]}**, MPJPE, luck of the seed ± {100 * noise:.1f} %: {'; '.join(told)}."


def perspective_lifting() -> str:
    """Every input by scene and angle, by calibration, and with the root."""
    found = report("perspective-lifting")
    poses = [row for row in found["rows"] if "mrpe_mm" not in row]
    placed = [row for row in found["rows"] if "mrpe_mm" in row]
    scenes = list(dict.fromkeys(row["scene"] for row in poses))
    tables = [by_angle([row for row in poses if row["scene"] == scene and row["test"] == EXACT]) for scene in scenes]
    tables += [by_calibration([row for row in poses if row["scene"] == scenes[0]])]
    tables += [with_root([row for row in placed if row["test"] == EXACT])]
    tables += [table(["claim", "value", "target", "holds"], claim_rows(found["claims"]))]
    return "\n\n".join([*tables, f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}."])


EXACT = "exact calibration"


def by_angle(rows: Rows) -> str:
    """Errors of each input, overall and by the angle off the axis."""
    bins = [key for key in rows[0] if re.fullmatch(r"mpjpe_\d+_\d+_mm", key)]
    titles = [rows[0]["scene"], "MPJPE", "gain, %", *("–".join(key.split("_")[1:3]) + "°" for key in bins)]
    return table(
        titles,
        [
            [
                row["variant"],
                *(spread(row, key) for key in ("mpjpe_mm", "gain_mpjpe_percent")),
                *(f"{row[key]:.1f}" for key in bins),
            ]
            for row in rows
        ],
    )


def by_calibration(rows: Rows) -> str:
    """Errors of each input under wrong calibrations."""
    variants, tests = (list(dict.fromkeys(row[key] for row in rows)) for key in ("variant", "test"))
    error = {(row["variant"], row["test"]): f"{row['mpjpe_mm']:.1f}" for row in rows}
    titles = [f"{rows[0]['scene']}, MPJPE", *tests]
    return table(titles, [[name, *(error[name, test] for test in tests)] for name in variants])


def with_root(rows: Rows) -> str:
    """Errors of those that also say where the root is."""
    keys = ("mpjpe_mm", "mrpe_mm", "mrpe_height_known_mm", "canonical_depth_mm_per_px")
    titles = [f"{rows[0]['scene']}, with the root", "MPJPE", "MRPE", "MRPE, heights known", "depth / focal, mm per px"]
    needs = {True: "yes", False: "no"}
    return table(
        [*titles, "needs the focal"],
        [
            [row["variant"], *(spread(row, key) for key in keys), needs[row["canonical_depth_needs_focal"]]]
            for row in rows
        ],
    )


def spread(row: Mapping[str, Any], key: str) -> str:
    """Return a mean and its standard deviation over seeds, or a dash."""
    if key not in row:
        return "–"
    digits = 2 if abs(row[key]) < 1 else 1
    return f"{row[key]:.{digits}f} ± {row[f'{key}_sd']:.{digits}f}"


def claim_rows(claims: Rows) -> list[list[str]]:
    """Return what was claimed beside what was found."""
    return [
        [claim["text"], f"{claim['value']:.3g}", f"{claim['target']:.3g}", "yes" if claim["holds"] else "**no**"]
        for claim in claims
    ]


def perspective_speed() -> str:
    """Crops per second and memory of each way."""
    found = report("perspective-speed")
    rows = [
        [
            row["what"], f"{row['forward_ms']:.0f}", f"{row['forward_backward_ms']:.0f}",
            f"{row['crops_per_second']:.0f}", f"{row['megabytes_kept_per_crop']:.1f}",
        ]
        for row in found["rows"]
    ]  # fmt: skip
    titles = ["64 crops", "forward, ms", "and backward, ms", "crops per second", "MB kept per crop"]
    return f"{table(titles, rows)}\n\n{origin(found['meta'])} {'; '.join(found['meta']['notes'])}."


def priors() -> str:
    """Scores of the shipped priors, from their passports."""
    rows, commands = [], []
    names = ("mpjpe_mm", "pa_mpjpe_mm", "mrpe_mm")
    for name in ("deeplift-mocap", "deeplift-mocap-any"):
        path = ROOT / "src" / "sightline" / "assets" / "weights" / f"{name}.json"
        passport = json.loads(path.read_text(encoding="utf-8"))
        commands.append(f"`{passport['command']}`, {passport['date']}")
        for test, scores in passport["expected"].items():
            rows.append([f"`{name}`, {test}", *(f"{scores[key]:.1f}" for key in names)])
    return (
        table(["prior, test", "MPJPE, mm", "PA-MPJPE, mm", "MRPE, mm"], rows)
        + f"\n\n{'; '.join(commands)}; 2,048 views of the test split's people, exact keypoints, level cameras "
        "of 1145 px, 2.5–7 m away; bodies whose sizes and bones vary by ± 5 and ± 4 %."
    )


def deeplift() -> str:
    """What the bench of the prior found, claim by claim."""
    found = report("deeplift")
    claims = table(["claim", "found", "target", "holds"], claim_rows(found["claims"]))
    return f"{claims}\n\n{origin(found['meta'])} Rows: `sightline bench deeplift --from-results`."


def deeplift_fit() -> str:
    """What fits of a prior to more and more poses cost."""
    found = report("deeplift-fit")
    rows = [
        [
            f"{row['poses']:,}",
            f"{row['seconds']:.0f}",
            f"{row['cpu_seconds']:.0f}",
            f"{row['peak_mebibytes']:,.0f}",
            f"{row['microseconds']:.2f}",
        ]
        for row in found["rows"]
    ]
    titles = ["poses", "seconds", "of the processor", "most memory held, MiB", "µs per pose, Gaussian and pass"]
    return f"{table(titles, rows)}\n\n{origin(found['meta'])} {'; '.join(found['meta']['notes'])}."


def deeplift_speed() -> str:
    """Poses per second of each way."""
    found = report("deeplift-speed")
    rows = [
        [
            row["what"], f"{row['one_by_one']:,.0f}", f"{row['batch']:,.0f}",
            f"{100 * row['same_share']:.2f} %" if "same_share" in row else "–",
        ]
        for row in found["rows"]
    ]  # fmt: skip
    titles = ["poses per second", "one by one", "in batches", "answers as the exhaustive search's"]
    return f"{table(titles, rows)}\n\n{origin(found['meta'])} {'; '.join(found['meta']['notes'])}."


SECTIONS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "docs/detectors.md": {"joint weights": joint_weights},
    "docs/lcrnet.md": {
        "lcrnet weights": lcrnet_weights,
        "lcrnet decoding": lcrnet_decoding,
        "lcrnet": lcrnet,
        "lcrnet speed": lcrnet_speed,
    },
    "docs/perspective.md": {
        "perspective lifting": perspective_lifting,
        "perspective image": perspective_image,
        "perspective speed": perspective_speed,
    },
    "docs/perspose.md": {"perspose weights": perspose_weights, "perspose": perspose},
    "docs/prior.md": {
        "priors": priors,
        "deeplift fit": deeplift_fit,
        "deeplift": deeplift,
        "deeplift speed": deeplift_speed,
    },
    "docs/rendering.md": {"render": render_speed, "render domain": render_domain},
    "docs/retargeting.md": {"retarget": retargeting},
    "docs/rig.md": {"rig truth": rig_truth, "rig results": rig_results},
    "docs/training.md": {"widening": widening},
    "docs/uncertainty.md": {"reliability": reliability},
    "src/sightline/methods/abspose/README.md": {
        "cascade": cascade,
        "integral on real people": partial(joints_real, "integral"),
    },
    "src/sightline/methods/deeplift/README.md": {"cpm": cpm, "cpm on real people": partial(joints_real, "cpm")},
}


def rewritten(page: str, sections: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with its measured sections made anew."""
    for name, section in sections.items():
        begin, end = f"<!-- {name}: written by benchmarks/docs_tables.py -->", f"<!-- /{name} -->"
        before, rest = page.split(begin)
        _, after = rest.split(end)
        page = f"{before}{begin}\n\n{section()}\n\n{end}{after}"
    return page


def main() -> int:
    """Rewrite the pages, or check them."""
    stale = 0
    for name, sections in SECTIONS.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        new = rewritten(old, sections)
        if "--check" in sys.argv[1:]:
            stale += new != old
            print(f"{name} is up to date" if new == old else f"{name}: run python benchmarks/docs_tables.py")
        else:
            path.write_text(new, encoding="utf-8")
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main())
