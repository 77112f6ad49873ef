"""Draws docs/figures/cameras.png: why distance hangs on the focal length, and what a wrong one was measured to cost.

The measurements are those of benchmarks/results/camera_errors.json (measure_camera_errors.py). `make figures` runs it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle

INK, GREY, FAINT = "#22313f", "#6b7a89", "#d5dce3"
DEPTH, CANONICAL, POSE, ALIGNED, PICTURE = "#d1383d", "#2563c9", "#e0821a", "#7a3fb0", "#0b7285"
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "camera_errors.json"
OUT = Path(__file__).with_name("cameras.png")

TALL, SHORT = 1.8, 1.2
FOCAL, NEAR = 0.55, 2.6  # the first scene, in drawn metres; the others follow from it


def person(axes: Axes, x: float, floor: float, height: float) -> None:
    """A standing figure of that height, seen from the side."""
    bones = {(0.0, 0.80, 0.0, 0.52): 6.5, (-0.01, 0.5, -0.035, 0.03): 4, (0.01, 0.5, 0.035, 0.03): 4}
    arms = {(-0.025, 0.78, -0.075, 0.45): 2.5, (0.025, 0.78, 0.075, 0.45): 2.5}
    for (x0, y0, x1, y1), width in (bones | arms).items():
        xs, ys = [x + height * x0, x + height * x1], [floor + height * y0, floor + height * y1]
        axes.plot(xs, ys, color=INK, lw=width * height / TALL, solid_capstyle="round")
    axes.add_patch(Circle((x, floor + 0.93 * height), 0.07 * height, color=INK, lw=0))


def scene(axes: Axes, middle: float, focal: float, height: float, title: str, label: str) -> None:
    """A pinhole camera at x = 0 with its picture plane at x = −focal, and a person who fills the same picture."""
    picture = FOCAL * TALL / NEAR  # as tall in every scene: that is the point
    depth = focal * height / picture
    for side in (-0.5, 0.5):
        axes.plot([-focal, depth], [middle - side * picture, middle + side * height], color=FAINT, lw=1.2, zorder=0)
    axes.plot(
        [-focal, -focal], [middle - picture / 2, middle + picture / 2], color=PICTURE, lw=4, solid_capstyle="butt"
    )
    axes.plot([-focal, depth], [middle, middle], color=FAINT, lw=0.8, ls=(0, (4, 3)), zorder=0)
    axes.add_patch(Circle((0, middle), 0.045, color=INK, zorder=3))
    person(axes, depth, middle - height / 2, height)
    bottom = middle - TALL / 2 - 0.12
    for start, end, text in ((-focal, 0.0, "f" if focal == FOCAL else "1.5 f"), (0.0, depth, label)):
        axes.annotate("", (start, bottom), (end, bottom), arrowprops={"arrowstyle": "<->", "color": GREY, "lw": 1})
        axes.text((start + end) / 2, bottom - 0.09, text, color=INK, ha="center", va="top", fontsize=10)
    axes.text(-1.15, middle + TALL / 2 + 0.12, title, color=INK, fontsize=10.5, weight="bold", va="bottom")


def draw_scenes(axes: Axes) -> None:
    """Three cameras and people that make one and the same picture."""
    scene(axes, 6.0, FOCAL, TALL, "An adult, and the camera as it is", "Z = f · H / h")
    scene(axes, 3.0, 1.5 * FOCAL, TALL, "A longer lens believed: the same person stands farther away", "1.5 Z")
    scene(axes, 0.0, FOCAL, SHORT, "A smaller person: nearer, the same picture", "Z · 1.2 m / 1.8 m")
    axes.text(-FOCAL - 0.12, 6.0, "picture,\nh pixels", color=PICTURE, ha="right", va="center", fontsize=9)
    axes.text(NEAR + 0.3, 6.0, "H", color=INK, va="center", fontsize=10)
    axes.set(xlim=(-1.25, 4.6), ylim=(-1.4, 7.35), aspect="equal")
    axes.axis("off")


def rows() -> list[dict[str, Any]]:
    """Measured rows about the focal length, by how wrong it was in percent; 0 is the right camera."""
    found = []
    for row in json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]:
        if row["group"] in ("right", "focal"):
            words = row["what"].replace("−", "-").split()
            found.append(row | {"percent": int(words[-2]) if row["group"] == "focal" else 0})
    return sorted(found, key=lambda row: row["percent"])


def draw_curves(depth: Axes, pose: Axes) -> None:
    """What follows the focal length, and what does not."""
    found = rows()
    percent = [row["percent"] for row in found]
    style = {"marker": "o", "ms": 4, "lw": 2}
    for key, colour, label in (
        ("depth_change", DEPTH, "depth"),
        ("canonical_depth_change", CANONICAL, "canonical depth (Z / f)"),
    ):
        depth.plot(percent, [100 * row[key] for row in found], color=colour, label=label, **style)
    depth.set_ylabel("change, %")
    depth.set_title(
        "What a wrong focal length does to the depth …", loc="left", fontsize=10.5, weight="bold", color=INK
    )
    for key, colour, label in (("mpjpe_m", POSE, "MPJPE"), ("pa_mpjpe_m", ALIGNED, "PA-MPJPE")):
        pose.plot(percent, [1000 * row[key] for row in found], color=colour, label=label, **style)
    pose.set(ylim=(0, None), ylabel="error, mm", xlabel="focal length believed, % longer than the true one")
    pose.set_title("… and to the pose", loc="left", fontsize=10.5, weight="bold", color=INK)
    for axes in (depth, pose):
        axes.grid(color=FAINT, lw=0.6)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=9.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GREY)
        axes.tick_params(colors=GREY, labelcolor=INK, labelsize=9)


def main() -> None:
    """Draw and save."""
    figure = plt.figure(figsize=(11, 6.4), dpi=150, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1))
    draw_scenes(left.subplots())
    draw_curves(*right.subplots(2, 1, sharex=True))
    figure.savefig(OUT, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
