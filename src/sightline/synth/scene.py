"""A scene: people and things on a floor before a camera, and the light they stand in. Frozen plain arrays.

The world is right-handed, z up, metres; the floor is z = 0. Colours are linear light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from sightline.camera import Camera
from sightline.synth.figure import Actor, Material

RGB = tuple[float, float, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class Prop:
    """A thing that stands about, in front of people or behind them."""

    vertices_world: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    material: Material


@dataclass(frozen=True, eq=False, kw_only=True)
class Backdrop:
    """What is behind everything, fixed to directions: a picture as `camera` saw it, mirrored beyond its borders."""

    picture: UInt8[np.ndarray, "height width 3"]
    """sRGB."""
    camera: Camera
    """Pinhole, with its rotation from the world; its place does not matter."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The floor, and up to two walls; a plane with a texture of the plane's own coordinates."""

    kind: Literal["none", "shadow", "textured"]
    """`shadow` darkens the backdrop (a photo) where people shade it; with `none` people float before it."""
    material: Material | None = None
    radius_m: float = 30.0
    """The textured floor fades into the backdrop at this distance from the origin."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Wall:
    """An upright plane through `point_world` with the horizontal normal `normal_world`, seen from either side."""

    point_world: tuple[float, float, float]
    normal_world: tuple[float, float, float]
    material: Material


@dataclass(frozen=True, kw_only=True)
class Light:
    """A sun or lamp, and the light from all around."""

    towards_world: tuple[float, float, float]
    """Unit vector from the scene to the lamp."""
    lamp: RGB
    sky: RGB
    ground: RGB
    softness: float = 0.03
    """Half-angle (rad) under which the lamp appears: how soft shadows are; 0.005 is the sun, 0.3 a big window."""
    shadows: bool = True


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What the camera does to the light after the lens; all off by default."""

    exposure: float = 1.0
    white_balance: RGB = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    vignette: float = 0.0
    """Share of light lost in the corners."""
    blur_px: float = 0.0
    """Standard deviation of a defocus."""
    read_noise: float = 0.0
    """Standard deviation, share of full scale, linear light."""
    shot_noise: float = 0.0
    """Standard deviation at full scale; grows with the root of the light."""
    jpeg_quality: int | None = None
    grey: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """All that a picture is made of."""

    camera: Camera
    """With its place in the world (`camera_from_world`)."""
    actors: tuple[Actor, ...]
    backdrop: Backdrop
    light: Light
    ground: Ground = Ground(kind="none")
    walls: tuple[Wall, ...] = ()
    props: tuple[Prop, ...] = ()
    sensor: Sensor = Sensor()
    seed: int = 0
    """Of the noise."""
