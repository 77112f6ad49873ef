"""Calibration boards: what is printed on them, and where their corners lie.

A board's frame has its origin at the first inner corner, x along the columns and y along the rows as one reads the
board, and so z into the board, away from whoever looks at it. Sizes are millimetres, as one measures a print; points
are metres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

DICTIONARIES: dict[str, int] = {
    **{f"DICT_{n}X{n}_{size}": size for n in (4, 5, 6, 7) for size in (50, 100, 250, 1000)},
    "DICT_ARUCO_ORIGINAL": 1024,
    "DICT_APRILTAG_16H5": 30,
    "DICT_APRILTAG_25H9": 35,
    "DICT_APRILTAG_36H10": 2320,
    "DICT_APRILTAG_36H11": 587,
}
"""The families of markers by OpenCV's names, and how many markers each holds."""

SQUARE_RANGE_MM = (0.5, 5000.0)
MOST_SQUARES = 100
FEWEST_CORNERS = 6
"""Of a board in one picture: four fix its place, the rest says how well they do."""


@dataclass(frozen=True, kw_only=True)
class Checkerboard:
    """A checkerboard, counted as OpenCV counts it: by **inner corners**, one fewer than squares each way.

    Attributes:
        columns: inner corners along a row, at least 3.
        rows: inner corners along a column, at least 3.
        square_mm: side of a square, mm.
    """

    columns: int
    rows: int
    square_mm: float

    def __post_init__(self) -> None:
        """Check that this can be a board; `ValueError` that begins with the name of what is wrong."""
        for name in ("columns", "rows"):
            _check_count(name, getattr(self, name), 3, "inner corners (squares minus one)")
        _check_square(self.square_mm)

    @property
    def grid(self) -> tuple[int, int]:
        """Inner corners along a row and along a column."""
        return self.columns, self.rows

    @property
    def has_one_way_up(self) -> bool:
        """Whether the board looks different after half a turn, so that its first corner can be told from its last."""
        return (self.columns + self.rows) % 2 == 1

    @property
    def points_m(self) -> Float[np.ndarray, "corners 3"]:
        """Inner corners in the board's frame (m), row by row; z is 0."""
        return _grid_points(self.grid, self.square_mm)

    def __str__(self) -> str:
        return f"checkerboard of {self.columns} × {self.rows} inner corners, squares of {self.square_mm:g} mm"


@dataclass(frozen=True, kw_only=True)
class CharucoBoard:
    """A ChArUco board: a checkerboard with a marker in each white square, so that a part of it is enough.

    Attributes:
        columns: **squares** along a row.
        rows: squares along a column.
        square_mm: side of a square, mm.
        marker_mm: side of a marker, mm; three quarters of a square by default.
        dictionary: family of the markers, by OpenCV's name; numbered row by row from 0.
        legacy: whether the top-left square of a board with an even number of rows is white, as OpenCV before 4.6 drew
            it and some makers of boards still do; None finds out.
    """

    columns: int
    rows: int
    square_mm: float
    marker_mm: float | None = None
    dictionary: str = "DICT_5X5_100"
    legacy: bool | None = None

    def __post_init__(self) -> None:
        """Check that this can be a board; `ValueError` that begins with the name of what is wrong."""
        for name in ("columns", "rows"):
            _check_count(name, getattr(self, name), 3, "squares")
        if (self.columns - 1) * (self.rows - 1) < FEWEST_CORNERS:
            raise ValueError(f"rows: expected at least 4 × 3 squares, got {self.columns} × {self.rows}")
        _check_square(self.square_mm)
        if self.dictionary not in DICTIONARIES:
            raise ValueError(f"dictionary: expected one of {', '.join(DICTIONARIES)}, got {self.dictionary!r}")
        if self.marker_mm is not None and not 0.2 * self.square_mm <= self.marker_mm <= 0.95 * self.square_mm:
            raise ValueError(
                f"marker_mm: expected a marker that fits into its square of {self.square_mm:g} mm, "
                f"0.2 to 0.95 of it, got {self.marker_mm:g}"
            )
        if self.marker_count > DICTIONARIES[self.dictionary]:
            raise ValueError(
                f"dictionary: {self.columns} × {self.rows} squares hold {self.marker_count} markers, but "
                f"{self.dictionary} has {DICTIONARIES[self.dictionary]}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Inner corners along a row and along a column."""
        return self.columns - 1, self.rows - 1

    @property
    def has_one_way_up(self) -> bool:
        """Always: the markers tell."""
        return True

    @property
    def points_m(self) -> Float[np.ndarray, "corners 3"]:
        """Inner corners in the board's frame (m), row by row; z is 0."""
        return _grid_points(self.grid, self.square_mm)

    @property
    def marker_side_mm(self) -> float:
        """Side of a marker, mm."""
        return 0.75 * self.square_mm if self.marker_mm is None else self.marker_mm

    @property
    def marker_count(self) -> int:
        """How many markers are on the board."""
        return len(self.marker_squares())

    @property
    def has_two_layouts(self) -> bool:
        """Whether the board's older layout differs from today's: with an even number of rows it does."""
        return self.rows % 2 == 0

    def marker_squares(self, legacy: bool = False) -> list[tuple[int, int]]:
        """The (column, row) of the square that each marker stands in, by the marker's number."""
        white = 0 if legacy and self.has_two_layouts else 1
        return [(i, j) for j in range(self.rows) for i in range(self.columns) if (i + j) % 2 == white]

    def __str__(self) -> str:
        return (
            f"ChArUco board of {self.columns} × {self.rows} squares of {self.square_mm:g} mm, "
            f"{self.dictionary} markers of {self.marker_side_mm:g} mm"
        )


Board = Checkerboard | CharucoBoard


def _grid_points(grid: tuple[int, int], square_mm: float) -> Float[np.ndarray, "corners 3"]:
    row, column = np.mgrid[: grid[1], : grid[0]]
    return np.stack([column.ravel(), row.ravel(), np.zeros(column.size)], -1) * (square_mm / 1000.0)


def _check_count(name: str, value: int, fewest: int, what: str) -> None:
    if not fewest <= value <= MOST_SQUARES:
        raise ValueError(f"{name}: expected {fewest} to {MOST_SQUARES} {what}, got {value}")


def _check_square(square_mm: float) -> None:
    low, high = SQUARE_RANGE_MM
    if not (math.isfinite(square_mm) and low <= square_mm <= high):
        raise ValueError(f"square_mm: expected a side of {low:g} to {high:g} millimetres, got {square_mm:g}")
