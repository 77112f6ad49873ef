"""The histograms of several data sets over each other, as a picture (paper 001, figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from sightline.angles.summary import Summary
from sightline.formats.atomic import atomic_path

FORMATS: Final = (".png", ".pdf", ".svg")
_INK, _GREY, _FAINT = "#22313f", "#6b7a89", "#d5dce3"
_COLOURS: Final = ("#2563c9", "#e0821a", "#2a9d4e", "#7a3fb0", "#d1383d", "#0b7285", "#8a6d1f")
_DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)))
"""Another one in every round of the colours."""


def write_histogram(sets: Sequence[Summary], edges_deg: Float[np.ndarray, " edge"], path: str | Path) -> None:
    """Write a picture (.png, .pdf or .svg): densities of all sets in the same bins, with their medians.

    Args:
        sets: summaries whose counts belong to the edges.
        edges_deg: of the bins, which have one width.
        path: replaced when the picture is whole.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 3.9 + 0.17 * max(0, len(sets) - 4)), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, its in enumerate(sets):
        _draw(axes, its, edges_deg, number)
    axes.set(xlim=(0.0, float(edges_deg[-1])), ylim=(0.0, None))
    axes.set_xlabel("φ, angle between the middle of the box and the optical axis (degrees)", color=_INK, fontsize=11)
    axes.set_ylabel("people per degree (%)", color=_INK, fontsize=11)
    axes.tick_params(colors=_INK, labelsize=10)
    axes.grid(axis="y", color=_FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.legend(frameon=False, fontsize=10, labelcolor=_INK, handlelength=2.4)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lower().removeprefix("."), dpi=200)


def _draw(axes: Any, its: Summary, edges_deg: Float[np.ndarray, " edge"], number: int) -> None:
    """One set: its histogram, filled and outlined, and a line at its median."""
    colour = _COLOURS[number % len(_COLOURS)]
    dashes = _DASHES[(number // len(_COLOURS)) % len(_DASHES)]
    percent = 100.0 * its.counts / its.people / np.diff(edges_deg)
    axes.stairs(percent, edges_deg, fill=True, color=colour, alpha=0.18)
    label = f"{its.name}: {its.people} people, median {its.median_deg:.1f}°"
    axes.stairs(percent, edges_deg, color=colour, linewidth=1.8, linestyle=dashes, label=label)
    inside = int(np.searchsorted(edges_deg, its.median_deg, side="right")) - 1
    axes.plot([its.median_deg] * 2, [0.0, percent[inside]], color=colour, linewidth=1.4, linestyle=(0, (1, 1.2)))
