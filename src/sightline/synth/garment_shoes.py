"""Shoes: the convex hull of the foot, rounded, on a sole; made on the mean body and fitted to every foot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import ConvexHull, KDTree

from sightline.synth._dress_layers import PEEK, Layers, Piece
from sightline.synth._dress_rig import Rig, strongest
from sightline.synth.figure import PARTS, Material
from sightline.synth.garment_tube import sheet

_ROWS: Final = 22
_COLUMNS: Final = 36
OPENING: Final = -0.785
"""Highest a shoe can reach; boots go on as shells of the shin."""


@dataclass(frozen=True, eq=False)
class _Last:
    """The shoe of one side on the mean body, and how it follows the vertices of a foot."""

    vertices: Float[np.ndarray, "vertex 3"]
    outwards: Float[np.ndarray, "vertex 3"]
    foot: Int[np.ndarray, " k"]
    fit: Float[np.ndarray, "4 k"]
    """Finds the affine map from the mean foot to another, from that one's vertices."""
    off: Float[np.ndarray, " k"]
    """How far (m) the shoe stands off each vertex of the foot."""
    skin_bones: Int[np.ndarray, "vertex 8"]
    skin_weights: Float[np.ndarray, "vertex 8"]
    sole: Float[np.ndarray, " vertex"]
    """How high over the ground (m)."""


@lru_cache(maxsize=4)
def _last(rig: Rig, side: str) -> _Last:
    sign = 1 if side == "L" else -1
    own = (sign * rig.points[:, 0] > 0) & np.isin(rig.part, [PARTS.index(f"{side}Foot"), PARTS.index(f"{side}Shin")])
    foot = np.flatnonzero(own & (rig.points[:, 1] < -0.775))
    points = rig.points[foot].astype(float)
    hull = ConvexHull(points)
    middle = (points.min(0) + points.max(0)) / 2 * [1, 0, 1] + [0, points[:, 1].min() + 0.035, 0]
    down = (np.arange(_ROWS) + 0.5) / (_ROWS - 0.5) * np.pi  # open around the shin, closed below the foot
    around = np.arange(_COLUMNS) / _COLUMNS * 2 * np.pi
    polar, turn = (grid.ravel() for grid in np.meshgrid(down, around, indexing="ij"))
    spread = np.array([1.0, 0.8, 2.6])  # more directions to the toes and the heel than to the sides
    rays = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1) * spread
    slopes = rays @ hull.equations[:, :3].T
    room = -(hull.equations[:, :3] @ middle + hull.equations[:, 3])
    reach = np.where(slopes > 1e-9, room / np.maximum(slopes, 1e-9), np.inf).min(1)
    vertices = middle + rays * reach[:, None]
    outwards = rays / spread**2 / np.linalg.norm(rays / spread**2, axis=1, keepdims=True)
    homogeneous = np.column_stack([points, np.ones(len(points))])
    fit = np.linalg.pinv(homogeneous)
    bones, weights = _weights(rig, foot, vertices)
    return _Last(
        vertices=vertices.astype(np.float32),
        outwards=outwards.astype(np.float32),
        foot=foot,
        fit=fit.astype(np.float32),
        off=-(points @ hull.equations[:, :3].T + hull.equations[:, 3]).max(1).astype(np.float32),
        skin_bones=bones,
        skin_weights=weights,
        sole=(vertices[:, 1] - points[:, 1].min()).astype(np.float32),
    )


def _weights(rig: Rig, foot: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    near = np.asarray(KDTree(rig.points[foot]).query(vertices, k=16)[1])
    dense = np.zeros((len(vertices), len(rig.bones)))
    for column in range(near.shape[1]):
        bones, weights = rig.skin_bones[foot[near[:, column]]], rig.skin_weights[foot[near[:, column]]]
        for k in range(bones.shape[1]):
            np.add.at(dense, (np.arange(len(vertices)), bones[:, k]), weights[:, k])
    return strongest(dense)


@dataclass(frozen=True, kw_only=True)
class Shoe:
    """A kind of shoe; metres on an adult."""

    material: Material
    """The second colour is the sole's."""
    opening_m: float = OPENING
    """Where the shoe ends, height on the mean body."""
    thick_m: float = 0.006
    sole_m: float = 0.016
    """How high the edge of the sole stands."""


def add_shoes(layers: Layers, shoe: Shoe) -> None:
    """Put a pair of shoes on."""
    for side in "LR":
        last = _last(layers.rig, side)
        scale = layers.size
        affine = last.fit @ layers.points[last.foot]
        vertices = last.vertices @ affine[:3] + affine[3]
        vertices = vertices + last.outwards * shoe.thick_m * scale
        ground = layers.points[last.foot, 1].min()
        vertices[:, 1] = np.maximum(vertices[:, 1], ground - shoe.thick_m * scale)
        edge = np.clip((shoe.sole_m - last.sole) / 0.004 + 0.5, 0, 1)
        vertices += last.outwards * [1, 0, 1] * (edge * 0.004 * scale)[:, None]
        cut = shoe.opening_m - last.vertices[:, 1] + 0.10 * np.clip(last.vertices[:, 2] - 0.06, 0, None)
        layers.add_piece(
            Piece(
                vertices=vertices.astype(np.float32),
                skin_bones=last.skin_bones,
                skin_weights=last.skin_weights,
                faces=sheet(_ROWS, _COLUMNS, closed=True),
                part_of_face=np.full(2 * (_ROWS - 1) * _COLUMNS, PARTS.index(f"{side}Foot"), dtype=np.int32),
                canonical=last.vertices,
                cut=cut.astype(np.float32),
                mark=edge.astype(np.float32),
                material=shoe.material,
            )
        )
        inside = np.zeros(len(layers.points), dtype=bool)
        deep = shoe.opening_m - 0.012 - layers.rig.points[last.foot, 1]
        inside[last.foot[deep > PEEK * last.off]] = True
        layers.hide_below(inside)
