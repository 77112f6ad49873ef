"""The tables of docs/lcrnet.md: the shipped network's scores, the ablation and the speed of LCR-Net++."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from readme_tables import ROOT, held, origin, report, table

Row = Mapping[str, Any]
Rows = Sequence[Row]
PPI, MEAN = "PPI", "mean"
SCORES = {
    "ap_percent": "AP, %", "pckh_percent": "PCKh, %", "found_percent": "found, %", "false_percent": "false, %",
    "mpjpe_mm": "MPJPE, mm", "pa_mpjpe_mm": "PA-MPJPE, mm", "pck3d_all_percent": "3DPCK over all, %",
    "mrpe_mm": "MRPE, mm",
}  # fmt: skip
SWEPT = re.compile(r"PPI, T3D (?P<distance>[\d.]+) mm, IoU (?P<iou>[\d.]+)")


def lcrnet_weights() -> str:
    """Scores of the shipped network, from its passport."""
    path = ROOT / "src" / "sightline" / "assets" / "weights" / "lcrnet-synth.json"
    passport = json.loads(path.read_text(encoding="utf-8"))
    shown = {name: title for name, title in SCORES.items() if name != "pckh_percent"}
    tests = {test: found for test, found in passport["expected"].items() if "mpjpe_mm" in found}
    rows = [[test, *(figure(found, name) for name in shown)] for test, found in tests.items()]
    return f"{table(['test', *shown.values()], rows)}\n\n`{passport['command']}`, {passport['date']}."


def lcrnet_decoding() -> str:
    """Thresholds on one half of the pictures, scores on the other, and the precision of each joint."""
    found = report("lcrnet-decoding")
    rows = found["rows"]
    told = [row for row in rows if row["what"] == "scores"]
    swept = [row for row in rows if row["what"] == "sweep"]
    ious = sorted({row["iou"] for row in swept})
    f_of = {(row["distance_mm"], row["iou"]): f"{row['f_percent']:.1f} (from {row['least_score']:g})" for row in swept}
    lines = [
        [f"T3D {distance:g} mm", *(f_of[distance, iou] for iou in ious)]
        for distance in sorted({row["distance_mm"] for row in swept})
    ]
    scores = [
        [f"{row['decoding']}: IoU {row['iou']:g}, T3D {row['distance_mm']:g} mm, score {row['least_score']:g}",
         figure(row, "ap_whole_percent"), *(figure(row, name) for name in SCORES)]
        for row in told
    ]  # fmt: skip
    joints = told[0]["ap_joints_percent"]
    by_joint = [[joint, figure(joints, joint)] for joint in joints]
    return "\n\n".join(
        [
            "F-measure of finding people in %, and the least score that it is best with:",
            table(["", *(f"IoU {iou:g}" for iou in ious)], lines),
            "Scores on the other half:",
            table(["thresholds", "AP, whole curve, %", *SCORES.values()], scores),
            "AP of each joint (whole curve, the package's thresholds):",
            table(["joint", "AP, %"], by_joint),
            f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}.",
        ]
    )


def lcrnet() -> str:
    """The ablation: networks, decodings of the first of them, thresholds, people who are cut off, poses, claims."""
    found = report("lcrnet")
    rows = found["rows"]
    everybody = [row for row in networks(rows, "everybody") if row["decoding"] == PPI]
    base = [row for row in networks(rows, "everybody") if row["variant"] == everybody[0]["variant"]]
    cut_off = [row for row in networks(rows, "a leg outside the picture") if row["decoding"] == PPI]
    claims = [[claim["text"], figure(claim, "value", 2), held(claim)] for claim in found["claims"]]
    return "\n\n".join(
        [
            "Trained anew, decoded by integration (PPI):",
            scored(everybody, "variant", {"parameters": "parameters, millions", "seconds": "training, s"}),
            "People of whom a leg is outside the picture, those of some networks:",
            scored([row for row in cut_off if row["variant"] in CUT_OFF], "variant"),
            "The base network's proposals, decoded in other ways:",
            scored([row for row in base if not SWEPT.fullmatch(row["decoding"])], "decoding"),
            "MPJPE in mm of the people whom both find, each with the thresholds that its AP is best with:",
            both_found(rows),
            "AP in % and MPJPE in mm by the thresholds of integration:",
            thresholds(base),
            poses(rows),
            table(["claim", "found", "holds"], claims),
            f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}.",
        ]
    )


CUT_OFF = ("base", "without upper-body classes")


def networks(rows: Rows, who: str) -> list[Row]:
    """Return rows of networks about some people: means over seeds, where there are several."""
    seeds = {row["seed"] for row in rows if row["what"] == "network"}
    return [
        row
        for row in rows
        if row["what"] == "network" and row["people"] == who and (MEAN not in seeds or row["seed"] == MEAN)
    ]


def scored(rows: Rows, by: str, others: Mapping[str, str] | None = None) -> str:
    """Return scores, a line per row, and what else is told of it."""
    others = others or {}
    scale = {"parameters": 1e-6}
    lines = [
        [
            row[by],
            *(figure(row, name) for name in SCORES),
            *(f"{scale.get(name, 1.0) * row[name]:.{2 if name in scale else 0}f}" for name in others),
        ]
        for row in rows
    ]
    return table(["", *SCORES.values(), *others.values()], lines)


def both_found(rows: Rows) -> str:
    """Return errors of the same people, by integration and by suppression."""
    lines = [
        [row["decoding"], str(row["people"]), figure(row, "mpjpe_mm")] for row in rows if row["what"] == "both found"
    ]
    return table(["", "people", "MPJPE, mm"], lines)


def thresholds(rows: Rows) -> str:
    """Return AP and MPJPE by both thresholds of integration."""
    swept = {(float(found["distance"]), float(found["iou"])): row
             for row in rows if (found := SWEPT.fullmatch(row["decoding"]))}  # fmt: skip
    ious = sorted({iou for _, iou in swept})
    lines = [
        [
            f"T3D {distance:g} mm",
            *(f"{figure(swept[distance, iou], 'ap_percent')} / {figure(swept[distance, iou], 'mpjpe_mm')}"
              for iou in ious),
        ]
        for distance in sorted({distance for distance, _ in swept})
    ]  # fmt: skip
    return table(["AP / MPJPE", *(f"IoU {iou:g}" for iou in ious)], lines)


def poses(rows: Rows) -> str:
    """Return what needs no network: errors of quantisation by K, and of matches by motion capture."""
    quantised = [
        [str(row["anchors"]), *(f"{row[name]:.1f}" for name in ("train_mm", "held_out_mm", "held_out_p95_mm"))]
        for row in rows
        if row["what"] == "quantisation"
    ]
    matched = [
        [row["motion"], f"{row['distance_2d']:.4f}", f"{row['distance_mm']:.1f}"]
        for row in rows
        if row["what"] == "matching"
    ]
    titles = ["K", "training people, mm", "held-out people, mm", "95 % of them below, mm"]
    parts = ["How far poses are from the nearest of K anchor poses:", table(titles, quantised)]
    if matched:
        titles = ["motion capture", "in the picture (D_2D)", "in space, mm"]
        parts += ["How far held-out people are from their match among views of motion capture:", table(titles, matched)]
    return "\n\n".join(parts)


def lcrnet_speed() -> str:
    """Decoding beside plain loops, search beside brute force, the network, its memory, and the claims."""
    found = report("lcrnet-speed")
    rows = found["rows"]

    def of(start: str) -> list[Row]:
        return [row for row in rows if row["what"].startswith(start)]

    integration = [
        [row["what"].removeprefix("integration, "), f"{row['proposals']:,}", str(row["groups"]), str(row["modes"]),
         f"{row['ms']:.1f}", f"{row['loop_ms']:.0f}", f"{row['speedup']:.0f}", f"{row['without_spreads_ms']:.1f}",
         f"{row['loop_without_spreads_ms']:.0f}", f"{row['speedup_without_spreads']:.0f}"]
        for row in of("integration")
    ]  # fmt: skip
    search = [
        [row["what"].removeprefix("search, "), str(row["threads"]), f"{row['queries_per_second']:,.0f}",
         f"{row['brute_force_per_second']:,.0f}", f"{row['index_seconds']:.1f}"]
        for row in of("search")
    ]  # fmt: skip
    network = [
        [f"{row['long_px']} px, {row['threads']} {'threads' if row['threads'] > 1 else 'thread'}",
         f"{row['frames_per_second']:.1f}", f"{row['network_ms']:.0f}", f"{row['decoding_ms']:.1f}",
         f"{row['proposals']:.0f}", f"{row['people']:.1f}"]
        for row in of("network")
    ]  # fmt: skip
    memory = [
        [row["what"].removeprefix("memory, "), f"{row['peak_mebibytes']:.0f}", f"{row['beyond_mebibytes']:.0f}"]
        for row in of("memory")
    ]
    layers = [
        [row["what"].removeprefix("regression layer, "), f"{row['parameters'] / 1e6:.2f}", f"{row['mebibytes']:.0f}",
         f"{row['numbers_of_a_picture']:,}", f"{row['numbers_mebibytes']:.1f}"]
        for row in of("regression layer")
    ]  # fmt: skip
    claims = [
        [claim["text"], figure(claim, "value", 3), figure(claim, "target", 3), held(claim)] for claim in found["claims"]
    ]
    titles = ["integration", "proposals", "groups", "modes", "ms", "loops, ms", "times as fast",
              "without spreads, ms", "loops, ms", "times as fast"]  # fmt: skip
    return "\n\n".join(
        [
            table(titles, integration),
            table(["search", "threads", "queries/s", "brute force, queries/s", "index, s"], search),
            table(["network", "frames/s", "network, ms", "decoding, ms", "proposals", "people"], network),
            table(["memory of a process", "peak, MiB", "beyond the first, MiB"], memory),
            table(["regression", "parameters, millions", "MiB", "numbers per picture", "MiB"], layers),
            table(["claim", "value", "target", "holds"], claims),
            f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}.",
        ]
    )


def figure(row: Row, name: str, digits: int = 1) -> str:
    """Return a figure; a dash where there is none. Of digits above 1 so many that count."""
    value = row.get(name)
    if value is None:
        return "–"
    return f"{value:.1f}" if digits == 1 else f"{value:.{digits}g}"
