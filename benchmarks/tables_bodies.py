"""The tables of rendered people and of bodies fitted to motion capture, from the committed runs of their benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from readme_tables import origin, report, table


def render_speed() -> str:
    """Pictures per second, where the time goes, the twins, and memory."""
    found = report("render")
    rows = found["rows"]
    crowds = sorted({row["people"] for row in rows if row["what"].endswith(("person", "people"))})
    speed = []
    for side in sorted({row["side_px"] for row in rows if row["what"].endswith(("person", "people"))}):
        cells = [row for row in rows if row.get("side_px") == side and row["what"].endswith(("person", "people"))]
        speed.append([f"{side} × {side}", *(f"{row['pictures_per_second']:.1f}" for row in cells)])
    titles = ["px", *("1 person" if count == 1 else f"{count} people" for count in crowds)]
    parts = [row for row in rows if row["what"].startswith("part: ")]
    shares = ", ".join(f"{row['what'].removeprefix('part: ')} {100 * row['share']:.0f} %" for row in parts)
    ways = [row for row in rows if row["what"].startswith("visibility, ")]
    twins = ", ".join(
        f"{row['what'].removeprefix('visibility, ')} {row['ms']:.1f} ms ({100 * row['same']:.2f} % of the pixels alike)"
        for row in ways
    )
    measure = next(row["yardstick_ms"] for row in rows if (row.get("side_px"), row["people"]) == (256, 1))
    claims = " ".join(
        f"{claim['text'][0].upper()}{claim['text'][1:]}: {'holds' if claim['holds'] else '**does not hold**'} "
        f"({claim['value']:.3g})."
        for claim in found["claims"]
    )
    return (
        f"Pictures per second on one core:\n\n{table(titles, speed)}\n\n{claims} Beside those pictures, 10⁶ "
        f"square roots in plain Python took this core {measure:.0f} ms.\n\n"
        f"Of the time of one person at 256 × 256: {shares}. What each pixel's centre sees: {twins}.\n\n"
        f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}."
    )


def render_domain() -> str:
    """What a detector makes of rendered people, knob by knob, and where it means other points than we do."""
    found = report("render-domain")
    kinds = [row for row in found["rows"] if "found" in row]
    rows = [
        [
            row["what"], str(row["pictures"]), f"{100 * row['found']:.0f} %", f"{100 * row['error']:.1f} %",
            f"{100 * row['median_error']:.1f} %",
        ]
        for row in kinds
    ]  # fmt: skip
    titles = ["pictures", "how many", "found", "mean error", "median"]
    joints = [row for row in found["rows"] if row["what"].startswith("joint ")]
    offsets = [
        [row["what"].removeprefix("joint "), f"{row['median_mm']:.0f}", f"{row['median_less_offset_mm']:.0f}",
         ", ".join(f"{number:.0f}" for number in row["offset_mm"])]
        for row in joints
    ]  # fmt: skip
    claims = " ".join(
        f"{claim['text'][0].upper()}{claim['text'][1:]}: {'holds' if claim['holds'] else '**does not hold**'} "
        f"({100 * claim['value']:.1f} %)."
        for claim in found["claims"]
    )
    names = ["joint", "median, mm", "less its offset, mm", "offset: left, up, forwards at rest, mm"]
    return (
        f"{table(titles, rows)}\n\n{claims}\n\nA part of the error is that MediaPipe means other points than the "
        f"labels do:\n\n{table(names, offsets)}\n\n"
        f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}."
    )


FITTED, TRIP = "retargeting ", "round trip of "


def retargeting() -> str:
    """Residuals of bodies fitted to motion capture, analytic IK beside an optimiser, and round trips."""
    found = report("retarget")
    fitted = [row for row in found["rows"] if row["what"].startswith(FITTED)]
    trips = [row for row in found["rows"] if row["what"].startswith(TRIP)]
    alone = [row for row in found["rows"] if "ms_per_pose" in row]
    titles = [
        "skeleton, clips", "clips", "frames", "beside offsets, mm", "to the joints, mm", "worst clip, mm",
        "feet slide (the clip's own), m/s", "lowest vertex, mm", "ms per frame",
    ]  # fmt: skip
    missed = [f"{claim['text']} ({claim['value']:.3g})" for claim in found["claims"] if not claim["holds"]]
    return "\n\n".join(
        [
            "How far a body's joints are from the clip's: beside the constant offsets that were fitted to each clip; "
            "and, of a body fitted without offsets, to the joints themselves (mean, and the worst clip's mean):",
            table(titles, [fitted_cells(row) for row in fitted]),
            "Single poses without offsets, each with its own body:",
            table(
                ["", "mean, mm", "worst pose, mm", "ms per pose"],
                [[row["what"], *told(row, "mean_mm", "worst_mm", "ms_per_pose")] for row in alone],
            ),
            "From a posed body to its joints, and by IK back to them:",
            table(
                ["", "poses", "mean, mm", "95 % are below, mm", "worst joint, mm"],
                [
                    [row["what"].removeprefix(TRIP), str(row["poses"]), *told(row, "mean_mm", "p95_mm", "worst_mm")]
                    for row in trips
                ],
            ),
            f"Of {len(found['claims'])} claims (`sightline bench retarget --from-results` lists them) "
            + (f"these do **not** hold: {'; '.join(missed)}." if missed else "all hold."),
            f"{origin(found['meta'])} {'; '.join(found['meta']['notes'])}.",
        ]
    )


def fitted_cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of one kind of clips of a mocap skeleton; single poses have no feet that could slide."""
    moves = "slide_m_s" in row and row["frames"] > row["clips"]
    slide = f"{row['slide_m_s']:.2f} ({row['clip_slides_m_s']:.2f})" if moves else "–"
    return [
        row["what"].removeprefix(FITTED), str(row["clips"]), f"{row['frames']:,}",
        *told(row, "residual_mm", "without_offsets_mm", "worst_clip_without_offsets_mm"),
        slide, *told(row, "lowest_sole_mm", "ms_per_frame"),
    ]  # fmt: skip


def told(row: Mapping[str, Any], *keys: str) -> list[str]:
    """Return figures with one decimal each; a zero has no minus."""
    return [f"{round(row[key], 1) + 0.0:.1f}" for key in keys]
