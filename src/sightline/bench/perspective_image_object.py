"""A rigid thing without any symmetry, each of whose sides has a colour of its own: what an orientation is read from."""

from __future__ import annotations

import colorsys
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from sightline.synth.figure import Material
from sightline.synth.scene import RGB, Prop

BOXES_M: Final = (
    ((-0.30, -0.12, -0.10), (0.30, 0.12, 0.08)),
    ((0.10, -0.12, 0.08), (0.30, 0.06, 0.34)),
    ((-0.28, 0.12, -0.10), (-0.06, 0.26, 0.02)),
)
"""Low and high corners of a body, a tower at one of its ends and a step at the other, in the object's own frame."""
_SIDES: Final = tuple((axis, high) for axis in range(3) for high in (0, 1))
_BRIGHTNESS: Final = (0.85, 0.5, 0.25)
"""Of the boxes' colours; their hues are those of the directions that their sides face."""


def object_sides() -> list[tuple[Float[np.ndarray, "corner=4 3"], RGB]]:
    """Return the sides of all boxes: corners (m, the object's frame, counterclockwise from outside), and colours."""
    return [
        (_side(box, axis, high), _colour(number, 2 * axis + high))
        for number, box in enumerate(BOXES_M)
        for axis, high in _SIDES
    ]


def object_points() -> Float[np.ndarray, "corner 3"]:
    """Return the corners of all boxes (m, the object's frame)."""
    return np.concatenate([corners for corners, _ in object_sides()])


def placed_object(rotation: Float[np.ndarray, "3 3"], translation_m: Float[np.ndarray, "3"]) -> tuple[Prop, ...]:
    """Return the object in the world, one prop for each colour.

    Args:
        rotation: world_from_object.
        translation_m: where the object's origin, which lies in its middle, comes to.
    """
    return tuple(
        Prop(
            vertices_world=(corners @ rotation.T + translation_m).astype(np.float32), faces=_faces(), material=material
        )
        for (corners, _), material in zip(object_sides(), _materials(), strict=True)
    )


def _side(box: tuple[tuple[float, ...], tuple[float, ...]], axis: int, high: int) -> Float[np.ndarray, "corner=4 3"]:
    after, last = (axis + 1) % 3, (axis + 2) % 3
    corners = np.empty((4, 3))
    for row, (i, j) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
        corners[row, axis] = box[high][axis]
        corners[row, after], corners[row, last] = box[i][after], box[j][last]
    return corners if high else corners[::-1]


def _colour(box: int, side: int) -> RGB:
    red, green, blue = colorsys.hsv_to_rgb((side + 0.3 * box) / 6, 0.9, _BRIGHTNESS[box])
    return red, green, blue


@lru_cache(maxsize=1)
def _materials() -> tuple[Material, ...]:
    return tuple(Material(kind="plain", colours=(colour,), roughness=0.8) for _, colour in object_sides())


def _faces() -> Int[np.ndarray, "face=2 3"]:
    return np.array([(0, 1, 2), (0, 2, 3)], np.int32)
