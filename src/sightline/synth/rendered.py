"""A picture with its truth: what the renderer returns, and what a data set holds for each picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Float32, UInt8

from sightline.camera import Camera

BEHIND_SELF: Final = 1
BEHIND_PERSON: Final = 2
BEHIND_PROP: Final = 4
OUTSIDE: Final = 8
"""Bits of a joint's visibility; 0 is visible. A joint outside the picture is not asked what lies before it."""

PROP_MASK: Final = 255


@dataclass(frozen=True, eq=False, kw_only=True)
class RenderedPerson:
    """The truth of one person; metres, the camera's frame; pixels, corner origin."""

    landmarks_cam: Float[np.ndarray, "landmark 3"]
    """In the order of `sightline.landmarks.ALL_LANDMARKS`."""
    landmarks_px: Float[np.ndarray, "landmark 2"]
    """Exact projections; NaN for points behind the camera."""
    hidden_by: UInt8[np.ndarray, " landmark"]
    """0 visible, else the bits above."""
    box_px: Float[np.ndarray, "4"]
    """Left, top, right, bottom of what is seen of the person, NaN if nothing is."""
    whole_box_px: Float[np.ndarray, "4"]
    """Of the whole person, also what is hidden or outside the picture; NaN if a part of it lies behind the camera."""
    seen_px: int
    """Pixels in which the person is seen."""
    whole_px: int
    """Pixels inside the picture in which the person would be seen if nobody and nothing stood before."""
    rotations_cam: Float[np.ndarray, "bone 3 3"]
    root_cam: Float[np.ndarray, "3"]
    shape: Float[np.ndarray, " shape"]
    stature_m: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Rendered:
    """A picture, what every pixel of it shows, and who is in it."""

    image: UInt8[np.ndarray, "height width 3"]
    """sRGB."""
    depth_m: Float32[np.ndarray, "height width"]
    """z (not the distance) of what the pixel's centre shows, in the camera's frame; inf for the backdrop."""
    mask: UInt8[np.ndarray, "height width"]
    """0 for floor, walls and backdrop, 1 + row of `people`, 255 for props."""
    people: tuple[RenderedPerson, ...]
    """Everybody in the scene, in the scene's order, also who is not seen."""
    camera: Camera
