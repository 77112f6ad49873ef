"""What is told of a distribution of angles: number, mean, quantiles, shares beyond, histogram. Degrees, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int

from sightline.angles.reading import Angles
from sightline.errors import UsageError

QUANTILES_PERCENT: Final = (5, 25, 50, 75, 95)
BEYOND_DEG: Final = (10, 20, 30)
_BIN_RANGE_DEG: Final = (0.01, 90.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary:
    """A data set's distribution of φ."""

    name: str
    people: int
    left_out: int
    """How many more people have no angle."""
    mean_deg: float
    quantiles_deg: tuple[float, ...]
    """At `QUANTILES_PERCENT`."""
    beyond: tuple[float, ...]
    """Shares of people further off the axis than `BEYOND_DEG`, 0…1."""
    counts: Int[np.ndarray, " bin"]
    """People in each bin of the histogram."""

    @property
    def median_deg(self) -> float:
        """The middle one of the quantiles."""
        return self.quantiles_deg[QUANTILES_PERCENT.index(50)]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {
            "name": self.name,
            "people": self.people,
            "left_out": self.left_out,
            "mean_deg": self.mean_deg,
            "quantiles_deg": dict(zip(map(str, QUANTILES_PERCENT), self.quantiles_deg, strict=True)),
            "share_beyond_deg": dict(zip(map(str, BEYOND_DEG), self.beyond, strict=True)),
            "counts": self.counts.tolist(),
        }


def bin_edges_deg(sets: Sequence[Angles], width_deg: float) -> Float[np.ndarray, " edge"]:
    """Return the edges (degrees, from 0 on) of bins of one width that hold everybody; `UsageError` for the width."""
    low, high = _BIN_RANGE_DEG
    if not low <= width_deg <= high:
        raise UsageError(f"bin_deg: expected a width of {low:g} to {high:g} degrees, got {width_deg:g}")
    largest = max(float(np.degrees(its.angles_rad).max()) for its in sets)
    return width_deg * np.arange(int(largest // width_deg) + 2)


def summary_of(angles: Angles, name: str, edges_deg: Float[np.ndarray, " edge"]) -> Summary:
    """Summarise the angles of a set, which lie within the edges."""
    degrees = np.degrees(angles.angles_rad)
    return Summary(
        name=name,
        people=len(degrees),
        left_out=angles.left_out,
        mean_deg=float(degrees.mean()),
        quantiles_deg=tuple(np.percentile(degrees, QUANTILES_PERCENT).tolist()),
        beyond=tuple(float((degrees > limit).mean()) for limit in BEYOND_DEG),
        counts=np.histogram(degrees, edges_deg)[0],
    )
