"""Whether stated uncertainties are true: how often errors stay within the half-widths that were stated beside them.

A stated `sigma_m` is the half-width of the interval that holds 68.27 % of the errors of a joint along an axis: one
standard deviation where errors are normal. That one level needs no assumption. What the width of another level is (of
90 %, say) depends on the shape of the errors' distribution, so the tables name the shape they assume.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from scipy.special import erf, erfinv
from torch import Tensor

Shape = Literal["normal", "laplace"]
"""How errors along one axis are supposed to be distributed, with the stated width as their 68.27 % half-width."""
Group = Literal["total", "axis", "joint", "stated", "root"]

STATED_LEVEL: Final = float(erf(math.sqrt(0.5)))
"""0.6827: the share of errors that lie within the stated half-width, called "68 %" for short."""
LEVELS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, STATED_LEVEL, 0.8, 0.9, 0.95, 0.99)
AXES: Final = ("x", "y", "z")


class Width(NamedTuple):
    """A nominal level and the multiple of the stated half-width that it takes under the assumed shape."""

    level: float
    multiple: float


@dataclass(frozen=True, kw_only=True)
class ReliabilityRow:
    """How one group of errors lies within its stated half-widths. Without samples, every number is NaN."""

    group: Group
    label: str
    samples: int
    """Joint axes with an error and a stated half-width; of the root's depth, people."""
    stated_m: float
    """Mean stated half-width: how sharp the statement is. A wide one is easily true and says little."""
    error_m: float
    """The half-width that holds 68.27 % of the errors: what would have been right for the group as a whole."""
    widening: float
    """What the stated half-widths would have to be multiplied by so that they hold 68.27 %: above 1, too sure."""
    coverage: Mapping[float, float]
    """Nominal level → share of the errors within the half-width of that level."""

    @property
    def covered(self) -> float:
        """Share of the errors within the stated half-width; 0.6827 is right."""
        return self.coverage[STATED_LEVEL]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """A reliability table: the total, per axis, per joint, per class of the stated half-width, and the root's depth."""

    shape: Shape
    widths: tuple[Width, ...]
    rows: tuple[ReliabilityRow, ...]

    @property
    def total(self) -> ReliabilityRow:
        """All joints and axes."""
        return self.rows[0]

    @property
    def root_depth(self) -> ReliabilityRow:
        """The root's depth: z of the root."""
        return self.rows[-1]

    def of(self, group: Group) -> tuple[ReliabilityRow, ...]:
        """The rows of one group, in order."""
        return tuple(row for row in self.rows if row.group == group)

    def describe(self) -> str:
        """One sentence for people."""
        x, y, z = (f"{100 * row.covered:.0f}" for row in self.of("axis"))
        depth, factor = self.root_depth, self.total.widening
        return (
            f"Stated uncertainty: its 68 % half-widths hold {100 * self.total.covered:.0f} % of the absolute errors "
            f"per joint and axis (x {x}, y {y}, z {z} %)"
            + (f" and {100 * depth.covered:.0f} % of those of the root's depth" if depth.samples else "")
            + (f"; {factor:.2f} times as wide they would hold 68 %." if 0 < factor < math.inf else ".")
        )

    def to_rows(self) -> list[dict[str, Any]]:
        """Plain rows for JSON: metres, and shares by level as `"0.9": 0.88`; None where there was no sample."""
        return [
            {
                "group": row.group,
                "label": row.label,
                "samples": row.samples,
                "stated_m": _or_none(row.stated_m),
                "error_m": _or_none(row.error_m),
                "widening": _or_none(row.widening),
                "covered": _or_none(row.covered),
                "coverage": {f"{level:.4g}": _or_none(share) for level, share in row.coverage.items()},
            }
            for row in self.rows
        ]


def multiple(level: float, shape: Shape = "normal") -> float:
    """How many stated half-widths hold a nominal share of the errors; 1 for 68.27 % whatever the shape.

    Raises `ValueError` for a level outside 0 … 1 (both excluded) and an unknown shape.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level}")
    if shape not in get_args(Shape):
        raise ValueError(f"shape: expected one of {', '.join(get_args(Shape))}, got {shape!r}")
    if level == STATED_LEVEL:
        return 1.0
    if shape == "laplace":
        return math.log1p(-level) / math.log1p(-STATED_LEVEL)
    return math.sqrt(2.0) * float(erfinv(level))


def covered(errors_m: np.ndarray | Tensor, sigma_m: np.ndarray | Tensor) -> np.ndarray:
    """Where an error lies within its stated half-width: 1 yes, 0 no, NaN where either is missing; any equal shapes.

    An error as large as the half-width lies within, so a stated 0 covers an error of 0.
    """
    errors, sigma = _numbers(errors_m, sigma_m)
    with np.errstate(invalid="ignore"):
        within = (np.abs(errors) <= sigma).astype(np.float64)
    return np.where(np.isfinite(errors) & np.isfinite(sigma), within, np.nan)


def reliability(
    errors_m: np.ndarray | Tensor,
    sigma_m: np.ndarray | Tensor,
    *,
    joints: Sequence[str],
    root: int,
    shape: Shape = "normal",
    levels: Sequence[float] = LEVELS,
    classes: int = 10,
) -> Reliability:
    """Compare errors with the half-widths that were stated for them.

    Args:
        errors_m: predicted − true position (m), (person, joint, 3), camera frame, absolute; NaN where unknown.
        sigma_m: stated 68 % half-widths (m) of the same shape; NaN where none was stated.
        joints: the joints' names.
        root: the row of the root joint, whose z is the root's depth.
        shape: the distribution that gives the widths of levels other than 68.27 %.
        levels: nominal levels; 68.27 % is always among them.
        classes: into how many classes of equal size the stated half-widths are sorted.

    Raises:
        ValueError: for shapes that do not fit, a negative half-width, a level or a number of classes that cannot be.
    """
    errors, sigma = _numbers(errors_m, sigma_m)
    if errors.ndim != 3 or errors.shape[1:] != (len(joints), 3):
        raise ValueError(f"errors_m: expected (n, {len(joints)}, 3), got {errors.shape}")
    if not 0 <= root < len(joints):
        raise ValueError(f"root: expected the row of a joint, 0 to {len(joints) - 1}, got {root}")
    if classes < 1:
        raise ValueError(f"classes: expected at least 1, got {classes}")
    widths = tuple(Width(level, multiple(level, shape)) for level in sorted({*levels, STATED_LEVEL}))
    errors = np.where(np.isfinite(errors) & np.isfinite(sigma), np.abs(errors), np.nan)
    rows = [_row("total", "all", errors, sigma, widths)]
    rows += [_row("axis", name, errors[..., axis], sigma[..., axis], widths) for axis, name in enumerate(AXES)]
    rows += [_row("joint", name, errors[:, joint], sigma[:, joint], widths) for joint, name in enumerate(joints)]
    rows += _by_stated(errors, sigma, widths, classes)
    rows.append(_row("root", f"{joints[root]} z", errors[:, root, 2], sigma[:, root, 2], widths))
    return Reliability(shape=shape, widths=widths, rows=tuple(rows))


def _by_stated(
    errors: np.ndarray, sigma: np.ndarray, widths: tuple[Width, ...], classes: int
) -> Iterator[ReliabilityRow]:
    """A row per class of stated half-widths, from the narrowest to the widest, each of about as many samples."""
    known = ~np.isnan(errors)
    errors, sigma = errors[known], sigma[known]
    order = np.argsort(sigma, kind="stable")
    for part in np.array_split(order, min(classes, len(order)) or 1):
        if len(part):
            label = f"{1e3 * sigma[part[0]]:.0f}–{1e3 * sigma[part[-1]]:.0f} mm"
            yield _row("stated", label, errors[part], sigma[part], widths)


def _row(group: Group, label: str, errors: np.ndarray, sigma: np.ndarray, widths: tuple[Width, ...]) -> ReliabilityRow:
    """Measure one group; `errors` are absolute, NaN where there is nothing to compare."""
    known = ~np.isnan(errors)
    errors, sigma = errors[known], sigma[known]
    if not len(errors):
        shares = dict.fromkeys((width.level for width in widths), math.nan)
        return _made(group, label, 0, math.nan, math.nan, math.nan, shares)
    # An error of 0 lies within any half-width, even one of 0; any other error lies beyond a half-width of 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sort(np.where(errors == 0, 0.0, errors / sigma))
    found = np.searchsorted(ratio, [width.multiple for width in widths], side="right") / len(ratio)
    shares = {width.level: float(share) for width, share in zip(widths, found, strict=True)}
    holding = min(len(ratio) - 1, math.ceil(STATED_LEVEL * len(ratio)) - 1)
    error = float(np.partition(errors, holding)[holding])
    return _made(group, label, len(errors), float(sigma.mean()), error, float(ratio[holding]), shares)


def _made(
    group: Group, label: str, samples: int, stated: float, error: float, widening: float, shares: dict[float, float]
) -> ReliabilityRow:
    return ReliabilityRow(
        group=group,
        label=label,
        samples=samples,
        stated_m=stated,
        error_m=error,
        widening=widening,
        coverage=MappingProxyType(shares),
    )


def _numbers(errors: np.ndarray | Tensor, sigma: np.ndarray | Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 arrays of one shape; refused where they are not, or where a half-width is negative."""
    one, other = (
        (value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)).astype(np.float64)
        for value in (errors, sigma)
    )
    if one.shape != other.shape:
        raise ValueError(f"sigma_m: expected the shape of errors_m, {one.shape}, got {other.shape}")
    if (other < 0).any():
        raise ValueError(f"sigma_m: expected no negative half-width, got {np.nanmin(other)}")
    return one, other


def _or_none(value: float) -> float | None:
    """A number for JSON: None where there was no sample, or no finite answer."""
    return value if math.isfinite(value) else None
