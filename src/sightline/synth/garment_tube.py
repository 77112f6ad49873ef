"""Cloth and hair that hang free: sheets around an upright axis, wider than all that they fall past."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.synth._dress_layers import PEEK, Layers, Piece
from sightline.synth._dress_rig import Rig, strongest
from sightline.synth.figure import PARTS, Material

_KNOTS: Final = ("foot.L", "lowerleg01.L", "upperleg01.L", "spine04", "spine03", "spine02", "spine01", "neck01", "head")
_AROUND: Final = 56
_CELL: Final = 10
_LOOKED_M: Final = 0.22
"""How far up from the hem of hanging cloth everything beneath is drawn."""
_HEIGHTS: Final = tuple(float(y) for y in np.linspace(-0.86, 0.44, 53))


@lru_cache(maxsize=4)
def _cells(rig: Rig) -> tuple[Int[np.ndarray, "height around cell"], Int[np.ndarray, "height around cell"]]:
    """For directions around the body's axis at each height, the outermost vertices there; then whether each counts."""
    chosen = np.flatnonzero(rig.seen_vertices & (rig.arm_share < 0.35) & (rig.points[:, 1] < 0.47))
    points = rig.points[chosen]
    turn = np.arctan2(points[:, 0], points[:, 2])
    radius = np.hypot(points[:, 0], points[:, 2])
    cells = np.zeros((len(_HEIGHTS), _AROUND, _CELL), dtype=np.int32)
    counts = np.zeros_like(cells)
    angles = _angles()
    for row, height in enumerate(_HEIGHTS):
        level = np.abs(points[:, 1] - height) < 0.02
        for column, angle in enumerate(angles):
            off = np.abs((turn - angle + np.pi) % (2 * np.pi) - np.pi)
            near = np.flatnonzero(level & (off < 1.4 * np.pi / _AROUND))
            near = near[np.argsort(-radius[near])][:_CELL]
            cells[row, column, : len(near)] = chosen[near]
            counts[row, column, : len(near)] = 1
        filled = np.flatnonzero(counts[row, :, 0])
        for column in np.flatnonzero(counts[row, :, 0] == 0):  # no vertex there: whatever is next to it
            apart = np.abs(filled - column)
            cells[row, column] = cells[row, filled[np.minimum(apart, _AROUND - apart).argmin()]]
    return cells, counts


def _angles() -> Float[np.ndarray, " around"]:
    """Directions around the axis (rad): 0 is ahead, positive to the left; they start behind."""
    return (np.arange(_AROUND) + 0.5) / _AROUND * 2 * np.pi - np.pi


def heights(layers: Layers, canonical: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
    """Where heights on the mean body (m) lie on this one."""
    rows = [layers.rig.bone(name) for name in _KNOTS]
    known, own = layers.rig.joints[rows, 1], layers.joints[rows, 1]
    inside = np.interp(canonical, known, own)
    return inside + (canonical - np.clip(canonical, known[0], known[-1])) * layers.size


@dataclass(frozen=True, kw_only=True)
class Hanging:
    """A skirt, or the lower half of a dress or coat; heights in metres on the mean body."""

    material: Material
    top_m: float
    hem_m: float
    gap_m: float = 0.008
    flare: float = 0.15
    """How fast it widens downwards (m/m)."""
    fold_m: float = 0.015
    """Height of its folds at the hem."""
    folds: int = 9


def add_hanging(layers: Layers, cloth: Hanging) -> None:
    """Hang cloth from the waist around everything there."""
    rig, rng = layers.rig, layers.rng
    canonical = np.linspace(cloth.top_m, cloth.hem_m, max(6, int((cloth.top_m - cloth.hem_m) / 0.03)))
    radius = _radii(layers, canonical, cloth)
    depth = np.clip((cloth.top_m - 0.05 - canonical) / 0.5, 0, 1)[:, None]
    angles = _angles()
    phases = rng.uniform(0, 6.3, 3)
    wave = 0.6 * np.cos(cloth.folds * angles + phases[0] + 0.8 * np.sin(2 * angles + phases[1]))
    wave = wave + 0.4 * np.cos(5 * angles + phases[2])
    radius = radius + depth * cloth.fold_m * layers.size * (1 + wave)
    level = heights(layers, canonical)[:, None] * np.ones_like(radius)
    vertices = np.stack([np.sin(angles) * radius, level, np.cos(angles) * radius], axis=-1).reshape(-1, 3)
    faces = sheet(len(canonical), _AROUND, closed=True)
    places = np.column_stack([vertices[:, 0] / layers.size, np.repeat(canonical, _AROUND), vertices[:, 2]])
    bones, weights = _weights(rig, canonical, vertices[:, 0] / layers.size)
    hem = (np.repeat(canonical, _AROUND) - cloth.hem_m).astype(np.float32)
    layers.add_piece(
        Piece(
            vertices=vertices.astype(np.float32),
            skin_bones=bones,
            skin_weights=weights,
            faces=faces,
            part_of_face=_parts(vertices[faces].mean(1), places[faces][:, :, 1].mean(1)),
            canonical=places.astype(np.float32),
            cut=hem,
            mark=np.zeros(len(vertices), np.float32),
            material=cloth.material,
        )
    )
    layers.hide_below(_covered(layers, canonical, radius, cloth))


def _covered(
    layers: Layers, canonical: Float[np.ndarray, " row"], radius: Float[np.ndarray, "row around"], cloth: Hanging
) -> Bool[np.ndarray, " vertex"]:
    """Whether nobody who looks in below the hem, as far as the gap there is wide, sees a vertex of the body."""
    rig = layers.rig
    y = rig.points[:, 1]
    chosen = np.flatnonzero((y < cloth.top_m - 0.03) & (y > cloth.hem_m + _LOOKED_M) & (rig.arm_share < 0.2))
    row = np.clip(np.searchsorted(-canonical, -y[chosen]), 0, len(canonical) - 1)
    x, z = layers.surface[chosen, 0], layers.surface[chosen, 2]
    column = ((np.arctan2(x, z) + np.pi) / (2 * np.pi) * _AROUND).astype(int) % _AROUND
    off = (radius[row, column] - np.hypot(x, z)) / layers.size
    covered = np.zeros(len(y), dtype=bool)
    covered[chosen[y[chosen] - cloth.hem_m > PEEK * off]] = True
    return covered


def _radii(layers: Layers, canonical: np.ndarray, cloth: Hanging) -> Float[np.ndarray, "row around"]:
    cells, counts = _cells(layers.rig)
    beyond = np.hypot(layers.surface[:, 0], layers.surface[:, 2])
    known = np.where(counts > 0, beyond[cells], 0.0).max(-1)
    rows = np.clip(np.round((canonical - _HEIGHTS[0]) / (_HEIGHTS[1] - _HEIGHTS[0])).astype(int), 0, len(_HEIGHTS) - 1)
    inner = known[rows]
    radius = inner.copy()
    gap = cloth.gap_m * layers.size
    radius[0] = np.maximum(radius[0], _around(radius[0])) + 0.3 * gap
    for row in range(1, len(rows)):
        fall = (canonical[row - 1] - canonical[row]) * layers.size
        radius[row] = np.maximum(inner[row] + gap, radius[row - 1] + cloth.flare * fall)
        radius[row] = np.maximum(_around(radius[row]), inner[row] + gap)
    return radius


def _around(radius: np.ndarray) -> np.ndarray:
    """Smoothed along the last axis, which closes to a ring."""
    for _ in range(3):
        radius = 0.5 * radius + 0.25 * (np.roll(radius, 1, -1) + np.roll(radius, -1, -1))
    return radius


def _weights(rig: Rig, canonical: np.ndarray, aside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At the waist the body's own; further down the thighs', then the shins', shared between left and right."""
    cells, _ = _cells(rig)
    rows = np.clip(np.round((canonical - _HEIGHTS[0]) / (_HEIGHTS[1] - _HEIGHTS[0])).astype(int), 0, len(_HEIGHTS) - 1)
    nearest = cells[rows, :, 0].ravel()
    dense = np.zeros((len(nearest), len(rig.bones)))
    y = np.repeat(canonical, _AROUND)
    own = _step((y + 0.16) / 0.14)
    at = np.arange(len(nearest))[:, None]
    np.add.at(dense, (at, rig.skin_bones[nearest]), rig.skin_weights[nearest] * own[:, None])
    dense[:, rig.bone("root")] += (1 - own) * 0.1
    shin = _step((-0.30 - y) / 0.2)
    left = _step((aside + 0.1) / 0.2)
    for side, share in (("L", left), ("R", 1 - left)):
        dense[:, rig.bone(f"upperleg02.{side}")] += 0.9 * (1 - own) * share * (1 - shin)
        dense[:, rig.bone(f"lowerleg01.{side}")] += 0.9 * (1 - own) * share * shin
    return strongest(dense)


def _step(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _parts(middles: np.ndarray, canonical: np.ndarray) -> Int[np.ndarray, " face"]:
    left = middles[:, 0] > 0
    thigh = np.where(left, PARTS.index("LThigh"), PARTS.index("RThigh"))
    shin = np.where(left, PARTS.index("LShin"), PARTS.index("RShin"))
    lower = np.where(canonical > -0.4, thigh, shin)
    return np.where(canonical > -0.05, PARTS.index("pelvis"), lower).astype(np.int32)


def sheet(rows: int, columns: int, *, closed: bool) -> Int[np.ndarray, "face 3"]:
    """Triangles between the points of a grid; `closed` joins the last column to the first."""
    above, here = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = above * columns + here, above * columns + (here + 1) % columns
    c, d = a + columns, b + columns
    return np.stack([np.stack([a, c, b], -1), np.stack([b, c, d], -1)], 2).reshape(-1, 3).astype(np.int32)
