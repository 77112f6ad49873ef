"""Light, floors, walls and what the sensor does to a picture, drawn so that skin is well exposed on the average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from sightline.synth._draw_actor import PosedFigure
from sightline.synth._draw_backdrops import colours
from sightline.synth.cameras import View
from sightline.synth.config import Range, SceneConfig
from sightline.synth.figure import Material
from sightline.synth.scene import RGB, Ground, Light, Sensor, Wall

_WARM, _COLD = np.array([1.25, 0.97, 0.68]), np.array([0.84, 0.98, 1.24])
"""Light of a bulb and of a blue sky, next to daylight."""
_MEAN_COSINE: Final = 0.5
"""Of the angle under which a lamp meets what is seen of a body."""
_LIGHTS: Final[dict[str, tuple[dict[str, float], Range, Range, Range, float]]] = {
    "sun": ({"in": 0.05, "out": 0.55, "any": 0.3}, (0.3, 1.25), (0.6, 0.88), (0.005, 0.03), 0.15),
    "overcast": ({"in": 0.1, "out": 0.42, "any": 0.2}, (1.1, 1.45), (0.05, 0.3), (0.4, 0.6), -0.2),
    "window": ({"in": 0.4, "out": 0.0, "any": 0.18}, (0.1, 0.7), (0.4, 0.75), (0.12, 0.35), -0.1),
    "lamps": ({"in": 0.38, "out": 0.0, "any": 0.2}, (0.7, 1.45), (0.35, 0.7), (0.03, 0.25), 0.45),
    "flash": ({"in": 0.07, "out": 0.03, "any": 0.12}, (0.0, 0.1), (0.7, 0.8), (0.015, 0.03), 0.0),
}
"""How often indoors, outdoors and before what is neither; height of the lamp over the horizon (rad), its share of the
light, the half-angle under which it appears (rad), and how warm it is (1 is a bulb, -1 a blue sky)."""
_WALL_ROOM_M: Final = (0.35, 4.5)
_THINGS: Final = ("stripes", "checks", "knit", "stripes")
_FLOORS: Final = ("stripes", "checks", "checks", "knit", "camouflage")
_WALLS: Final = ("stripes", "stripes", "knit", "floral")
"""Patterns that things, floors and walls have: planks, tiles, carpets, papers."""
_BRIGHTEST: Final = 0.8
"""Of floors and things, sRGB: a white sheet is brighter than skin."""


def drawn_light(rng: np.random.Generator, config: SceneConfig, kind: str, view: View) -> Light:
    """Draw a sun, a covered sky, a window, a room's lamps or a flash, as goes with a kind of backdrop."""
    where = "in" if kind in ("room", "indoor") else "out" if kind in ("sky", "street") else "any"
    weights = np.array([how[where] for how, *_ in _LIGHTS.values()])
    what = str(rng.choice(list(_LIGHTS), p=weights / weights.sum()))
    _, heights, shares, softnesses, warm = _LIGHTS[what]
    azimuth, height, share = rng.uniform(0, 2 * math.pi), rng.uniform(*heights), rng.uniform(*shares)
    softness, warmth = rng.uniform(*softnesses), rng.normal(warm, 0.25)
    if what == "flash":
        back = -view.forward
        azimuth, height, warmth = math.atan2(back[1], back[0]), math.asin(abs(float(back[2]))) + 0.1, 0.0
    if kind == "plain":
        share, softness = min(share, 0.5), max(softness, 0.15)
    sky = _tinted(1.35 * (1 - share), -0.5 * warmth if what == "sun" else 0.6 * warmth)
    bounce = rng.uniform(0.35, 0.8)
    return Light(
        towards_world=(
            math.cos(azimuth) * math.cos(height),
            math.sin(azimuth) * math.cos(height),
            math.sin(height),
        ),
        lamp=_tinted(share / _MEAN_COSINE, warmth),
        sky=sky,
        ground=(1.04 * bounce * sky[0], bounce * sky[1], 0.95 * bounce * sky[2]),
        softness=softness,
        shadows=bool(rng.random() < config.shadows),
    )


def even_light() -> Light:
    """Return light that is the same whatever chance says: from all around, a little stronger from above."""
    up = math.sqrt(0.5)
    return Light(
        towards_world=(0.0, up, up), lamp=(0.5, 0.5, 0.5), sky=(0.8, 0.8, 0.8), ground=(0.6, 0.6, 0.6), shadows=False
    )


def _tinted(amount: float, warmth: float) -> RGB:
    tint = _WARM if warmth > 0 else _COLD
    r, g, b = amount * (1 + min(abs(warmth), 1.0) * (tint - 1))
    return float(r), float(g), float(b)


def drawn_sensor(rng: np.random.Generator, config: SceneConfig, longest: int) -> Sensor:
    """Draw what happens behind the lens; every key draws whether or not another is on."""
    on = rng.random(7) < [
        config.colour_cast, config.sensor_noise, config.jpeg, config.defocus, config.grey, config.colour_cast, 0.5,
    ]  # fmt: skip
    exposure, contrast = math.exp(rng.normal(0, 0.22)), float(np.clip(rng.normal(1.0, 0.10), 0.7, 1.3))
    white, saturation = np.exp(rng.normal(0, (0.05, 0.015, 0.06))), float(np.clip(rng.normal(1.0, 0.15), 0.5, 1.5))
    read, shot = 0.012 * rng.random() ** 2, 0.06 * rng.random() ** 2
    quality, blur = int(rng.integers(35, 96)), rng.uniform(0.3, 1.3) * longest / 256
    vignette = rng.uniform(0, 0.35)
    cast = bool(on[0])
    return Sensor(
        exposure=exposure if cast else 1.0,
        white_balance=(float(white[0]), float(white[1]), float(white[2])) if cast else (1.0, 1.0, 1.0),
        contrast=contrast if cast else 1.0,
        saturation=saturation if cast else 1.0,
        vignette=vignette if on[5] and on[6] else 0.0,
        blur_px=blur if on[3] else 0.0,
        read_noise=read if on[1] else 0.0,
        shot_noise=shot if on[1] else 0.0,
        jpeg_quality=quality if on[2] else None,
        grey=bool(on[4]),
    )


def drawn_material(
    rng: np.random.Generator,
    textures: float,
    *,
    size: float = 1.0,
    patterns: Sequence[str] = _THINGS,
    vivid: float = 0.15,
) -> Material:
    """Draw how a thing, floor or wall looks. size: of its pattern, 1 for something as large as a chair."""
    picked = _linear(np.minimum(colours(rng, 3, contrast=0.14, vivid=vivid), _BRIGHTEST))
    pattern = str(rng.choice(patterns))
    scale, angle = (
        size * math.exp(rng.uniform(math.log(0.03), math.log(0.4))),
        float(rng.choice((0.0, math.pi / 2, 0.6))),
    )
    gloss = rng.uniform(0.0, 0.25) if rng.random() < 0.3 else 0.0
    textured, nearness = rng.random() < textures, rng.uniform(0.12, 0.6)
    second = tuple(a + nearness * (b - a) for a, b in zip(picked[0], picked[1], strict=True))
    return Material(
        kind="plain",
        colours=(picked[0], (second[0], second[1], second[2]), picked[2]),
        pattern=pattern if textured else "plain",
        scale_m=scale,
        angle=angle,
        gloss=gloss,
        roughness=rng.uniform(0.25, 0.8),
        bump=rng.uniform(0, 0.4),
        seed=int(rng.integers(1 << 30)),
    )


def drawn_ground(rng: np.random.Generator, config: SceneConfig, kind: str, *, painted: bool) -> Ground:
    """Draw the floor that goes with a kind of backdrop. painted: whether the backdrop itself has a floor."""
    kinds, weights = zip(*config.grounds, strict=True)
    chosen = str(rng.choice(kinds, p=np.array(weights) / sum(weights)))
    material = drawn_material(rng, config.textures, size=1.5, patterns=_FLOORS, vivid=0.03)
    if chosen == "none":
        return Ground(kind="none")
    if kind == "room" or not painted or (chosen == "textured" and kind != "folder"):
        return Ground(kind="textured", material=material, radius_m=rng.uniform(12, 40))
    return Ground(kind="shadow")


def drawn_walls(
    rng: np.random.Generator,
    config: SceneConfig,
    view: View,
    people: Sequence[PosedFigure],
    things: Sequence[np.ndarray],
) -> tuple[Wall, ...]:
    """Draw one wall behind everybody, or two that meet in a corner; camera, people and things are on one side."""
    points = np.concatenate([*(person.outline for person in people), *things, np.zeros((1, 3))])[:, :2]
    ahead = math.atan2(view.forward[1], view.forward[0])
    corner = rng.random() < 0.45
    first = rng.uniform(0.4, 1.15) if corner else rng.normal(0, 0.25)
    turns = (first, first - math.pi / 2) if corner else (first,)
    material = drawn_material(rng, 0.5 * config.textures, size=1.0, patterns=_WALLS, vivid=0.05)
    walls = []
    for turn in turns:
        way = np.array([math.cos(ahead + turn), math.sin(ahead + turn)])
        room = rng.uniform(0.1, 1.0) ** 1.5 * _WALL_ROOM_M[1] + _WALL_ROOM_M[0]
        furthest = max(float((points @ way).max()), float(view.position[:2] @ way))
        at = way * (furthest + room)
        walls.append(Wall(point_world=(at[0], at[1], 0.0), normal_world=(-way[0], -way[1], 0.0), material=material))
    return tuple(walls)


def _linear(srgb: np.ndarray) -> list[RGB]:
    """Linear light of sRGB colours."""
    light = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return [(float(r), float(g), float(b)) for r, g, b in light]
