"""Meshes of simple things, standing on the floor over the origin; metres, z up, x to their front."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

_CUBE_FACES = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))


@dataclass(frozen=True, eq=False)
class Thing:
    """A mesh, and the upright boxes (low and high corner) in which its parts lie."""

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    boxes: Float[np.ndarray, "part 2 3"]
    seat_m: float = 0.5
    """Height of what one would sit on."""

    def tall(self, seat_m: float) -> Thing:
        """Return it stretched upwards so that its seat has this height."""
        factor = np.array([1.0, 1.0, seat_m / self.seat_m])
        return Thing(self.vertices * factor, self.faces, self.boxes * factor, seat_m)


def box(rng: np.random.Generator) -> Thing:
    """A case, a counter, a wall of half a man's height."""
    x, y, z = rng.uniform((0.2, 0.25, 0.25), (0.6, 1.2, 1.05))
    return _of_blocks([((-x / 2, -y / 2, 0), (x / 2, y / 2, z))], seat_m=z)


def stool(rng: np.random.Generator) -> Thing:
    """A block to sit on."""
    x, y, z = rng.uniform((0.34, 0.36, 0.4), (0.44, 0.55, 0.5))
    return _of_blocks([((-x / 2, -y / 2, 0), (x / 2, y / 2, z))], seat_m=z)


def table(rng: np.random.Generator) -> Thing:
    """A table with four legs."""
    x, y, z = rng.uniform((0.5, 0.7, 0.65), (0.9, 1.7, 0.95))
    top = rng.uniform(0.025, 0.06)
    return _of_blocks(
        [((-x / 2, -y / 2, z - top), (x / 2, y / 2, z)), *_legs(x, y, z - top, rng.uniform(0.03, 0.08))], z
    )


def chair(rng: np.random.Generator) -> Thing:
    """A chair with four legs and a back."""
    x, y, z = rng.uniform((0.38, 0.40, 0.42), (0.48, 0.5, 0.48))
    back, leg = z + rng.uniform(0.3, 0.55), rng.uniform(0.025, 0.045)
    low = z + rng.uniform(0.05, 0.2)
    parts = [((-x / 2, -y / 2, z - 0.04), (x / 2, y / 2, z)), *_legs(x, y, z - 0.04, leg)]
    parts += [((-x / 2 - 0.03, -y / 2, low), (-x / 2, y / 2, back))]
    parts += [
        ((-x / 2 - 0.03, s * (y / 2 - leg / 2) - leg / 2, z - 0.04), (-x / 2, s * (y / 2 - leg / 2) + leg / 2, low))
        for s in (-1, 1)
    ]
    return _of_blocks(parts, seat_m=z)


def pole(rng: np.random.Generator) -> Thing:
    """A round post, as of a lamp or a sign, some with a board at the top."""
    radius, height = rng.uniform(0.025, 0.11), rng.uniform(1.2, 3.5)
    vertices, faces = _tube(radius, height)
    boxes = [((-radius, -radius, 0.0), (radius, radius, height))]
    return Thing(vertices, faces, np.array(boxes))


def ball(rng: np.random.Generator) -> Thing:
    """A ball on the floor."""
    radius = rng.uniform(0.1, 0.35)
    unit, faces = _sphere()
    vertices = unit * radius + [0, 0, radius]
    return Thing(vertices, faces, np.array([(vertices.min(0), vertices.max(0))]))


def plank(rng: np.random.Generator) -> Thing:
    """A fence: one to three planks on two posts."""
    y, height, thick = rng.uniform(0.8, 2.4), rng.uniform(0.5, 1.2), rng.uniform(0.02, 0.05)
    count, width = int(rng.integers(1, 4)), rng.uniform(0.06, 0.16)
    rows = np.linspace(0.25 * height, height - width / 2, count) if count > 1 else [height - width / 2]
    parts = [((-thick, -y / 2, z - width / 2), (0.0, y / 2, z + width / 2)) for z in rows]
    parts += [((0.0, s * y / 2 - 0.04, 0.0), (0.08, s * y / 2 + 0.04, height + 0.05)) for s in (-1, 1)]
    return _of_blocks(parts, seat_m=height)


def hedge(rng: np.random.Generator) -> Thing:
    """A bush: a lumpy ball on the floor."""
    unit, faces = _sphere(4)
    size = rng.uniform((0.2, 0.3, 0.2), (0.45, 1.0, 0.55))
    lumps = np.ones(len(unit))
    for _ in range(24):
        way = rng.standard_normal(3)
        lumps += 0.09 * np.sin(unit @ way * rng.uniform(2, 9) + rng.uniform(0, 6))
    vertices = unit * np.clip(lumps, 0.6, 1.5)[:, None] * size
    vertices = vertices - [0, 0, vertices[:, 2].min() * 0.9]
    vertices[:, 2] = np.maximum(vertices[:, 2], 0.0)
    return Thing(vertices, faces, np.array([(0.85 * vertices.min(0), 0.85 * vertices.max(0))]))


def _legs(
    x: float, y: float, z: float, thick: float
) -> list[tuple[tuple[float, float, float], tuple[float, float, float]]]:
    return [
        ((a * (x / 2 - thick / 2) - thick / 2, b * (y / 2 - thick / 2) - thick / 2, 0.0),
         (a * (x / 2 - thick / 2) + thick / 2, b * (y / 2 - thick / 2) + thick / 2, z))
        for a in (-1, 1) for b in (-1, 1)
    ]  # fmt: skip


def _of_blocks(parts: list, seat_m: float) -> Thing:
    """A thing of upright blocks, each with vertices of its own per side so that edges stay sharp."""
    vertices, faces = [], []
    for low, high in parts:
        corners = np.array(
            [[(low, high)[i][0], (low, high)[j][1], (low, high)[k][2]] for k in (0, 1) for j in (0, 1) for i in (0, 1)]
        )
        for quad in _CUBE_FACES:
            start = len(vertices)
            vertices += [corners[q] for q in quad]
            faces += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
    return Thing(np.array(vertices), np.array(faces, np.int32), np.array(parts, float), float(seat_m))


def _tube(radius: float, height: float, sides: int = 14) -> tuple[np.ndarray, np.ndarray]:
    angle = 2 * math.pi * np.arange(sides) / sides
    ring = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    low, high = (np.column_stack([ring, np.full(sides, z)]) for z in (0.0, height))
    vertices = np.concatenate([low, high, high, [[0.0, 0.0, height]]])
    faces = []
    for i in range(sides):
        j = (i + 1) % sides
        faces += [(i, j, sides + j), (i, sides + j, sides + i), (2 * sides + i, 2 * sides + j, 3 * sides)]
    return vertices, np.array(faces, np.int32)


@lru_cache(maxsize=4)
def _sphere(times: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A ball of radius 1: an octahedron, each of whose triangles is cut into four so many times."""
    vertices = [np.array(v, float) for v in ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    for _ in range(times):
        middles: dict[tuple[int, int], int] = {}

        def middle(a: int, b: int, middles: dict[tuple[int, int], int] = middles) -> int:
            key = (min(a, b), max(a, b))
            if key not in middles:
                point = vertices[a] + vertices[b]
                middles[key] = len(vertices)
                vertices.append(point / np.linalg.norm(point))
            return middles[key]

        cut = []
        for a, b, c in faces:
            ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
            cut += [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
        faces = cut
    return np.array(vertices), np.array(faces, np.int32)
