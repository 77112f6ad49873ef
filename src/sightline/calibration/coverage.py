"""How much of the picture the boards have been in: where none was, a lens is guessed, not measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import ConvexHull, QhullError

CORNERS = ("top left", "top right", "bottom left", "bottom right")
_CELLS_ACROSS = 64
_SECTOR_RAD = math.radians(22.0)
REACH_WANTED = 0.7


@dataclass(frozen=True)
class Coverage:
    """Where boards were seen.

    Attributes:
        share: part of the picture that lay within the outermost corners of some board, 0 … 1.
        reach: how far towards each corner of the picture a board's corner came, as a share of the way from the middle.
        inscribed: the same share of the way at which the largest circle in the picture ends: fisheyes show no more.
    """

    share: float
    reach: dict[str, float]
    inscribed: float

    def gaps(self, *, fisheye: bool) -> list[str]:
        """The corners of the picture that no board came near: to 70 % of the way (of a fisheye, to the circle)."""
        wanted = min(REACH_WANTED, REACH_WANTED * self.inscribed) if fisheye else REACH_WANTED
        return [name for name in CORNERS if self.reach[name] < wanted]


def coverage_of(pictures: Iterable[Float[np.ndarray, "_ 2"]], image_size: tuple[int, int]) -> Coverage:
    """Return the coverage by the corners (px, corner origin) of each picture."""
    width, height = image_size
    across, down = _CELLS_ACROSS, max(1, round(_CELLS_ACROSS * height / width))
    x, y = np.meshgrid((np.arange(across) + 0.5) * width / across, (np.arange(down) + 0.5) * height / down)
    centres, every = np.stack([x.ravel(), y.ravel()], -1), list(pictures)
    covered = np.zeros(len(centres), dtype=bool)
    for corners in every:
        covered |= inside_hull(centres, corners)
    return Coverage(
        float(covered.mean()), _reach(np.concatenate(every), image_size), min(width, height) / math.hypot(width, height)
    )


def inside_hull(points: Float[np.ndarray, "points 2"], corners: Float[np.ndarray, "_ 2"]) -> Bool[np.ndarray, "points"]:
    """Which points lie in the convex hull of the corners; none where the corners lie in a line."""
    try:
        edges = ConvexHull(corners).equations
    except QhullError:
        return np.zeros(len(points), dtype=bool)
    return (points @ edges[:, :2].T + edges[:, 2] <= 0.0).all(-1)


def _reach(corners: Float[np.ndarray, "_ 2"], image_size: tuple[int, int]) -> dict[str, float]:
    half = np.array(image_size) / 2.0
    away = (corners - half) / np.linalg.norm(half)
    length = np.linalg.norm(away, axis=-1)
    reach = {}
    for name, sign in zip(CORNERS, ((-1, -1), (1, -1), (-1, 1), (1, 1)), strict=True):
        direction = half * sign / np.linalg.norm(half)
        towards = away @ direction >= length * math.cos(_SECTOR_RAD)
        reach[name] = float(length[towards].max(initial=0.0))
    return reach
