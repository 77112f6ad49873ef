"""From a scene to what its light needs: tables of materials, normals of surfaces, and maps of who shades whom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import ndimage

from sightline.synth.drawing import warp
from sightline.synth.figure import PATTERNS, Material
from sightline.synth.scene import Light

_KINDS: Final = ("skin", "eye", "hair", "cloth", "leather", "plain")
_TEXEL_M: Final = 0.007
_MAP_SIZES: Final = (128, 512)
_NOTHING: Final = -1e9
_SKY_SOFTNESS: Final = 0.7
"""Half of the angle (rad) of the sky around the zenith that is asked for."""
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
    """A `shading_kernels.Lamp`."""


def lighting(
    light: Light,
    points_world: Float[np.ndarray, "vertex 3"],
    cut: Float[np.ndarray, " vertex"],
    faces: Int[np.ndarray, "face 3"],
) -> Lighting:
    """Return a light with shadow maps of all that stands in it; `faces` index both arrays."""
    wp = warp()
    from sightline.synth.shading_kernels import Lamp

    towards = np.asarray(light.towards_world, dtype=np.float64)
    towards = towards / np.linalg.norm(towards)
    lamp = Lamp()
    lamp.towards = wp.vec3(*towards)
    lamp.lamp, lamp.sky, lamp.ground = wp.vec3(*light.lamp), wp.vec3(*light.sky), wp.vec3(*light.ground)
    lamp.shadows = int(light.shadows and len(faces) > 0)
    if lamp.shadows:
        meshes = (points_world, cut, faces)
        lamp.before = _shadows(towards, light.softness, _TEXEL_M, *meshes)
        lamp.above = _shadows(np.array([0.0, 0.0, 1.0]), _SKY_SOFTNESS, 2 * _TEXEL_M, *meshes)
    return Lighting(lamp)


def _shadows(
    direction: np.ndarray, softness: float, texel_m: float, points: np.ndarray, cut: np.ndarray, faces: np.ndarray
) -> Any:
    """Who stands before whom in a light of half-angle `softness` (rad) that comes from `direction`."""
    wp = warp()
    from sightline.synth.shading_kernels import Shadows

    nearest, map_from_world, texel_m = _heights(direction, points, cut, faces, texel_m)
    search_px = float(np.clip(0.5 * softness / texel_m, 1.0, 0.12 * len(nearest)))
    shadows = Shadows()
    shadows.nearest, shadows.covers = (
        wp.array(heights, dtype=float, device="cpu", copy=False) for heights in (nearest, _covers(nearest, search_px))
    )
    shadows.map_from_world = wp.mat44(*map_from_world.astype(np.float32).ravel())
    shadows.texel_m, shadows.softness, shadows.search_px = texel_m, softness, search_px
    return shadows


def _covers(nearest: Float32[np.ndarray, "size size"], reach_px: float) -> Float32[np.ndarray, "block block"]:
    """The greatest height that is found up to `reach_px` texels from anywhere in each block of a shadow map."""
    from sightline.synth.shading_kernels import BLOCK

    count = -(-len(nearest) // BLOCK)
    padded = np.full((count * BLOCK, count * BLOCK), _NOTHING, dtype=np.float32)
    padded[: len(nearest), : len(nearest)] = nearest
    highest = padded.reshape(count, BLOCK, count, BLOCK).max(axis=(1, 3))
    return ndimage.maximum_filter(highest, 2 * math.ceil(reach_px / BLOCK) + 1, mode="nearest")


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
