"""From a scene to what its light needs: tables of materials, normals of surfaces, and maps of who shades whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Float32, Int

from sightline.synth.drawing import warp
from sightline.synth.figure import PATTERNS, Material
from sightline.synth.scene import Light

_KINDS: Final = ("skin", "eye", "hair", "cloth", "leather", "plain")
_TEXEL_M: Final = 0.007
_MAP_SIZES: Final = (128, 512)
_NOTHING: Final = -1e9
_LINEAR: Final = np.arange(256) / 255.0
LINEAR_OF_SRGB: Final[Float32[np.ndarray, "256"]] = np.where(
    _LINEAR <= 0.04045, _LINEAR / 12.92, ((_LINEAR + 0.055) / 1.055) ** 2.4
).astype(np.float32)
"""Linear light of each of the 256 values of sRGB."""


def material_table(materials: Sequence[Material]) -> Float32[np.ndarray, "material 18"]:
    """Rows as the kernels read them: kind, pattern, scale (m), cosine of its angle, gloss, roughness, bump, seed,
    three colours, sine of the angle.

    Raises:
        ValueError: for a material without a colour, or of a pattern or kind that there is not.
    """
    table = np.zeros((max(len(materials), 1), 18), dtype=np.float32)
    for row, m in enumerate(materials):
        if m.pattern not in PATTERNS or m.kind not in _KINDS or not m.colours:
            raise ValueError(f"materials: unknown kind or pattern, or no colour, in {m}")
        colours = (*m.colours, m.colours[-1], m.colours[-1])[:3]
        numbers = (_KINDS.index(m.kind), PATTERNS.index(m.pattern), max(m.scale_m, 1e-3), math.cos(m.angle), m.gloss)
        table[row] = (*numbers, m.roughness, m.bump, m.seed % 1_000_000, *np.ravel(colours), math.sin(m.angle))
    return table


def normals_of(
    points: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> Float32[np.ndarray, "vertex 3"]:
    """Return a normal per vertex, not of unit length: the sum of its faces' normals, each as long as the face large."""
    wp = warp()
    from sightline.synth.shading_kernels import add_normals

    normals = np.zeros((len(points), 3), dtype=np.float32)
    inputs = [np.ascontiguousarray(points), np.ascontiguousarray(faces, dtype=np.int32), normals]
    wp.launch(add_normals, dim=1, inputs=inputs, device="cpu")
    return normals


@dataclass(frozen=True, eq=False)
class Lighting:
    """A light with its shadow maps, as the kernels take it."""

    lamp: Any
    lamp_map: Float32[np.ndarray, "lamp lamp"]
    zenith_map: Float32[np.ndarray, "zenith zenith"]


def lighting(
    light: Light,
    points_world: Float[np.ndarray, "vertex 3"],
    cut: Float[np.ndarray, " vertex"],
    faces: Int[np.ndarray, "face 3"],
) -> Lighting:
    """Draw the shadow maps of everything that stands in a light; `faces` index both other arrays."""
    wp = warp()
    from sightline.synth.shading_kernels import Lamp

    towards = np.asarray(light.towards_world, dtype=np.float64)
    towards = towards / np.linalg.norm(towards)
    lamp = Lamp()
    lamp.towards, lamp.softness = wp.vec3(*towards), light.softness
    lamp.lamp, lamp.sky, lamp.ground = wp.vec3(*light.lamp), wp.vec3(*light.sky), wp.vec3(*light.ground)
    lamp.shadows = int(light.shadows and len(faces) > 0)
    maps = []
    for direction, coarser in ((towards, 1.0), (np.array([0.0, 0.0, 1.0]), 2.0)):
        nearest = np.full((1, 1), _NOTHING, dtype=np.float32)
        matrix, texel = np.eye(4), 1.0
        if lamp.shadows:
            nearest, matrix, texel = _heights(direction, points_world, cut, faces, coarser * _TEXEL_M)
        maps.append((nearest, wp.mat44(*matrix.astype(np.float32).ravel()), texel))
    lamp.lamp_from_world, lamp.texel_m = maps[0][1:]
    lamp.zenith_from_world, lamp.zenith_texel_m = maps[1][1:]
    return Lighting(lamp, maps[0][0], maps[1][0])


def _heights(
    direction: np.ndarray, points: np.ndarray, cut: np.ndarray, faces: np.ndarray, texel_m: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """A map of how high things reach towards `direction`, seen from there; map_from_world, and its texel (m)."""
    wp = warp()
    from sightline.synth.shading_kernels import draw_heights

    aside = np.cross(direction, [1.0, 0.0, 0.0] if abs(direction[0]) < 0.8 else [0.0, 1.0, 0.0])
    aside = aside / np.linalg.norm(aside)
    axes = np.stack([aside, np.cross(direction, aside), direction])
    turned = axes @ points.T
    low, high = turned.min(1), turned.max(1)
    extent = float((high - low)[:2].max()) + 4 * texel_m
    size = int(np.clip(np.ceil(extent / texel_m), *_MAP_SIZES))
    texel = extent / size
    matrix = np.eye(4)
    matrix[:3, :3] = axes / np.array([[texel], [texel], [1.0]])
    matrix[:2, 3] = 0.5 * size - (low + high)[:2] / 2 / texel
    placed = np.ascontiguousarray((turned / [[texel], [texel], [1.0]] + matrix[:3, 3:]).T, dtype=np.float32)
    nearest = np.full((size, size), _NOTHING, dtype=np.float32)
    wp.launch(draw_heights, dim=1, inputs=[placed, cut, faces, nearest], device="cpu")
    return nearest, matrix, texel
