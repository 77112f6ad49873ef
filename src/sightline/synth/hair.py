"""Hair of the head, beards and brows: shells of the scalp, and sheets that fall from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.body.anny_body import AnnyBody
from sightline.synth._dress_layers import Cloth, Layers, Piece
from sightline.synth._dress_rig import Rig, rig_of, strongest
from sightline.synth.figure import PARTS, Material
from sightline.synth.garment_tube import heights, sheet
from sightline.synth.skin import Colours, brow_field, texture_mask

HairStyle = Literal["bald", "shaved", "receding", "short", "medium", "bob", "long", "bun", "ponytail"]

_LINE_DEG: Final = (0.0, 25.0, 45.0, 58.0, 70.0, 84.0, 92.0, 112.0, 128.0, 150.0, 180.0)
_LINE_M: Final = (0.712, 0.709, 0.694, 0.672, 0.640, 0.622, 0.650, 0.640, 0.596, 0.572, 0.566)
"""Heights of the hairline on the mean body (m) by the direction from the head's axis: 0 is ahead, 180 behind."""
_AXIS_Z: Final = 0.03
_LEVELS: Final = tuple(float(y) for y in np.linspace(0.26, 0.74, 33))
_COLUMNS: Final = 40
_CELL: Final = 6


@dataclass(frozen=True, kw_only=True)
class Hair:
    """What hair somebody wears; lengths in metres on the mean body."""

    style: HairStyle = "short"
    volume_m: float = 0.014
    """How thick it lies."""
    length_m: float = 0.45
    """How far hair falls at the back (its height on the mean body)."""
    fringe: bool = False
    beard: float = 0.0
    """0 none, 0.3 stubble, 1 full."""
    brow_m: float = 0.0035


def hair_material(colours: Colours, rng: np.random.Generator) -> Material:
    """Hair with darker strands."""
    dark = tuple(0.45 * c for c in colours.hair)
    return Material(
        kind="hair",
        colours=(colours.hair, (dark[0], dark[1], dark[2])),
        gloss=float(rng.uniform(0.02, 0.08)),
        roughness=float(rng.uniform(0.3, 0.5)),
        bump=0.3,
        seed=int(rng.integers(1_000_000)),
    )


def add_hair(layers: Layers, hair: Hair, material: Material, body: AnnyBody) -> None:
    """Put brows, beard and hair on a head."""
    rig = layers.rig
    thin = Cloth(material=material, gap_m=0.0012, smooth=0, fold_m=0.0, hide_m=1.0, slope=2.0)
    layers.add_shell(brow_field(rig, hair.brow_m), thin, zone="head")
    if hair.beard > 0:
        _add_beard(layers, hair, material)
    if hair.style == "bald":
        return
    field = scalp_field(body)
    if hair.fringe:
        field = field + _fringe(rig)
    if hair.style == "receding":
        field = _receding(rig, field)
    thickness = _volume(rig, field, hair)
    flat = hair.style in ("shaved", "receding")
    cap = Cloth(material=material, gap_m=0.0015, smooth=1 if flat else 6, fold_m=0.0 if flat else 0.004, hide_m=0.025)
    layers.add_shell(field, cap, thickness=thickness, zone="head")
    if hair.style in ("bob", "long"):
        _add_fall(layers, hair, material)
    if hair.style in ("bun", "ponytail"):
        _add_knot(layers, hair, material)


@lru_cache(maxsize=2)
def scalp_field(body: AnnyBody) -> Float[np.ndarray, " vertex"]:
    """How far above the hairline (m on the mean body) a vertex of the head lies; negative on face, neck and ears."""
    rig = rig_of(body)
    x, y, z = rig.points.T
    turn = np.degrees(np.arctan2(np.abs(x), z - _AXIS_Z))
    field = y - np.interp(turn, _LINE_DEG, _LINE_M)
    field = np.minimum(field, 0.02 - 0.06 * texture_mask(body, "ears"))
    head = np.isin(rig.part, [PARTS.index("head")]) & (y > 0.5)
    return np.where(head, field, -0.05).astype(np.float32)


def _receding(rig: Rig, field: np.ndarray) -> np.ndarray:
    """Hair around the back of the head only."""
    return np.minimum(field, 0.055 - (rig.points[:, 1] - 0.655) - 0.35 * np.clip(rig.points[:, 2] - 0.02, 0, None))


def _fringe(rig: Rig) -> np.ndarray:
    turn = np.degrees(np.arctan2(np.abs(rig.points[:, 0]), rig.points[:, 2] - _AXIS_Z))
    return 0.028 * np.clip((62 - turn) / 12, 0, 1)


def _volume(rig: Rig, field: np.ndarray, hair: Hair) -> Float[np.ndarray, " vertex"]:
    """Thickness: none at the hairline, more on top."""
    rise = np.clip(field / 0.02, 0, 1)
    top = np.clip((rig.points[:, 1] - 0.66) / 0.08, 0, 1)
    share = {"shaved": 0.12, "receding": 0.3}.get(hair.style, 0.55 + 0.45 * top)
    return (hair.volume_m * rise * (2 - rise) * share).astype(np.float32)


def _add_beard(layers: Layers, hair: Hair, material: Material) -> None:
    x, y, z = layers.rig.points.T
    turn = np.degrees(np.arctan2(np.abs(x), z - _AXIS_Z))
    upper = np.interp(turn, (0, 12, 25, 45, 62, 75, 80), (0.597, 0.594, 0.572, 0.578, 0.600, 0.640, 0.640))
    field = np.minimum(upper - y, y - np.interp(turn, (0, 30, 60, 80), (0.529, 0.535, 0.556, 0.6)))
    field = np.minimum(field, np.minimum((80 - turn) * 0.001, z - 0.02))
    lips = np.hypot(x / 0.027, (y - 0.5745) / 0.0125) - 1  # around the mouth
    field = np.minimum(field, 0.012 * lips)
    field = np.where(layers.rig.part == PARTS.index("head"), field, -0.02)
    full = Cloth(material=material, gap_m=0.0012, smooth=1, fold_m=0.0006, hide_m=0.012)
    thickness = 0.012 * hair.beard * np.clip(field / 0.012, 0, 1)
    layers.add_shell(field.astype(np.float32), full, thickness=thickness.astype(np.float32), zone="head")


def _angles() -> Float[np.ndarray, " column"]:
    """Directions around the head (rad), 0 ahead, from one temple behind the head to the other."""
    return np.linspace(np.radians(62), np.radians(298), _COLUMNS)


@lru_cache(maxsize=4)
def _cells(rig: Rig) -> tuple[Int[np.ndarray, "level column cell"], Bool[np.ndarray, "level column cell"]]:
    """What of head, neck and back lies in a direction from the head's axis at a height; and whether each counts."""
    radius = np.hypot(rig.points[:, 0], rig.points[:, 2] - _AXIS_Z)
    rows = np.flatnonzero(rig.seen_vertices & (radius < 0.15) & (rig.arm_share < 0.3) & (rig.points[:, 1] > 0.24))
    points = rig.points[rows]
    turn = np.arctan2(points[:, 0], points[:, 2] - _AXIS_Z) % (2 * np.pi)
    cells = np.zeros((len(_LEVELS), _COLUMNS, _CELL), dtype=np.int32)
    counts = np.zeros(cells.shape, dtype=bool)
    for row, level in enumerate(_LEVELS):
        near_level = np.abs(points[:, 1] - level) < 0.014
        for column, angle in enumerate(_angles()):
            near = np.flatnonzero(near_level & (np.abs(turn - angle) < 0.12))
            near = near[np.argsort(-radius[rows[near]])][:_CELL]
            cells[row, column, : len(near)], counts[row, column, : len(near)] = rows[near], True
    return cells, counts


def _add_fall(layers: Layers, hair: Hair, material: Material) -> None:
    """A sheet of hair from the crown down the back of the head, in front of it only at the temples."""
    rig, rng = layers.rig, layers.rng
    cells, counts = _cells(rig)
    head = layers.joints[rig.bone("head")]
    levels = np.array(_LEVELS)
    chosen = np.flatnonzero((levels > hair.length_m - 0.03) & (levels < 0.735))[::-1]
    beyond = np.hypot(layers.surface[:, 0] - head[0], layers.surface[:, 2] - head[2])
    inner = np.where(counts[chosen], beyond[cells[chosen]], 0.0).max(-1)
    radius, gap = inner - 0.004 * layers.size, 0.006 * layers.size
    for row in range(1, len(chosen)):
        inwards = 0.10 * (levels[chosen[row - 1]] - levels[chosen[row]]) * layers.size
        radius[row] = np.maximum(
            radius[row - 1] - inwards, np.minimum(inner[row] + min(row / 6 - 0.5, 1.0) * gap, 0.19 * layers.size)
        )
        for _ in range(2):
            radius[row, 1:-1] = 0.5 * radius[row, 1:-1] + 0.25 * (radius[row, 2:] + radius[row, :-2])
    angles = _angles()
    depth = np.clip((0.66 - levels[chosen]) / 0.2, 0, 1)[:, None]
    radius += 0.004 * layers.size * depth * np.cos(rng.integers(8, 14) * angles + rng.uniform(0, 6))
    y = heights(layers, levels[chosen])[:, None] * np.ones_like(radius)
    vertices = np.stack([head[0] + np.sin(angles) * radius, y, head[2] + np.cos(angles) * radius], -1).reshape(-1, 3)
    behind = np.abs(angles - np.pi)
    hem = hair.length_m + np.clip(behind - 1.0, 0, None) * 0.10
    hem = np.where(behind > 1.05, np.maximum(hem, 0.50), hem) + 0.008 * np.cos(9 * angles + rng.uniform(0, 6))
    cut = (levels[chosen][:, None] - hem).ravel()
    flat = np.repeat(levels[chosen], _COLUMNS)
    canonical = np.column_stack([vertices[:, 0] / layers.size, flat, vertices[:, 2] / layers.size])
    bones, weights = _fall_weights(rig, flat)
    faces = sheet(len(chosen), _COLUMNS, closed=False)
    layers.add_piece(_piece(vertices, bones, weights, faces, canonical, cut, material))


def _fall_weights(rig: Rig, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hair follows the head, further down the neck, and on the back the chest."""
    dense = np.zeros((len(height), len(rig.bones)))
    head = np.clip((height - 0.50) / 0.09, 0, 1)
    chest = np.clip((0.50 - height) / 0.08, 0, 1)
    dense[:, rig.bone("head")] = head
    dense[:, rig.bone("spine01")] = chest
    dense[:, rig.bone("neck01")] = 1 - head - chest
    return strongest(dense)


def _add_knot(layers: Layers, hair: Hair, material: Material) -> None:
    """A bun, or the beginning of a ponytail with the tail, at the back of the head."""
    rig, rng = layers.rig, layers.rng
    tail = hair.style == "ponytail"
    rows, columns = 10, 14
    polar, turn = (np.arange(rows) + 0.5) / rows * np.pi, np.arange(columns) / columns * 2 * np.pi
    down, around = np.meshgrid(polar, turn, indexing="ij")
    ball = np.stack([np.sin(down) * np.sin(around), np.cos(down), np.sin(down) * np.cos(around)], -1).reshape(-1, 3)
    back = _back_of_head(layers)
    if tail:
        size = np.array([0.024, 0.5 * (0.70 - hair.length_m), 0.022])
        width = np.sqrt(np.clip(1 - ball[:, 1] ** 2, 0, 1))
        t = np.clip((1 - ball[:, 1]) / 2, 0, 1)
        ball = ball * size + [0, 0.03 - size[1], -0.004]
        ball[:, 2] -= 0.03 * np.sin(np.pi * np.clip(2.2 * t, 0, 1)) * width
    else:
        ball = ball * rng.uniform(0.028, 0.042) + [0, rng.uniform(-0.01, 0.05), -0.012]
    vertices = back + ball * layers.size
    canonical = ball + [0, 0.68, -0.07]
    bones, weights = _fall_weights(rig, np.full(len(ball), 0.68))
    faces = sheet(rows, columns, closed=True)
    layers.add_piece(_piece(vertices, bones, weights, faces, canonical, np.ones(len(ball)), material))


def _back_of_head(layers: Layers) -> Float[np.ndarray, "3"]:
    chosen = (np.abs(layers.rig.points[:, 0]) < 0.02) & (np.abs(layers.rig.points[:, 1] - 0.675) < 0.012)
    chosen &= layers.rig.seen_vertices & (layers.rig.points[:, 2] < 0)
    return layers.surface[chosen].mean(0)


def _piece(
    vertices: np.ndarray, bones: np.ndarray, weights: np.ndarray, faces: np.ndarray, canonical: np.ndarray,
    cut: np.ndarray, material: Material,
) -> Piece:  # fmt: skip
    return Piece(
        vertices=vertices.astype(np.float32),
        skin_bones=bones,
        skin_weights=weights,
        faces=faces,
        part_of_face=np.full(len(faces), PARTS.index("head"), dtype=np.int32),
        canonical=canonical.astype(np.float32),
        cut=cut.astype(np.float32),
        mark=np.zeros(len(vertices), np.float32),
        material=material,
    )
