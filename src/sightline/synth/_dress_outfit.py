"""What somebody puts on, from the skin outwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sightline.body.anny_body import AnnyBody
from sightline.synth._dress_colours import cloth, leather, some_colour, trainer, trouser_cloth
from sightline.synth._dress_layers import Layers
from sightline.synth.figure import Material
from sightline.synth.garment_shoes import OPENING, Shoe, add_shoes
from sightline.synth.garment_tube import Hanging, add_hanging
from sightline.synth.garments import (
    ELBOW,
    WRIST,
    Bottom,
    Top,
    add_boot_shafts,
    add_bottom,
    add_cap,
    add_gloves,
    add_socks,
    add_top,
    add_underwear,
)
from sightline.synth.hair import Hair
from sightline.synth.skin import texture_mask

if TYPE_CHECKING:
    from sightline.synth.wardrobe import Clothing

_ON_TOPS: Final = (
    ("stripes", 3.0),
    ("checks", 2.0),
    ("dots", 0.7),
    ("print", 3.0),
    ("floral", 1.2),
    ("camouflage", 0.4),
)
_ON_SKIRTS: Final = (("floral", 3.0), ("dots", 1.5), ("checks", 1.5), ("stripes", 1.0))
_ON_JUMPERS: Final = (("knit", 4.0), ("stripes", 2.0), ("print", 1.5), ("checks", 0.3))


@dataclass(frozen=True, kw_only=True)
class Outfit:
    """What remains to be put on once the hair is known."""

    hair: Hair
    hat: Material | None = None
    knitted: bool = False

    def add_hat(self, layers: Layers, body: AnnyBody) -> None:
        """Put the hat on, over the hair."""
        if self.hat is not None:
            ears = texture_mask(body, "ears")
            add_cap(layers, self.hat, ears, low_m=0.668 if self.knitted else 0.682, knitted=self.knitted)


def put_on(layers: Layers, knobs: Clothing, *, years: float, female: bool, hair: Hair) -> Outfit:
    """Draw and put on clothes for somebody of this age and sex."""
    rng = layers.rng
    if rng.random() >= knobs.clothes:
        suit = cloth(rng, patterned=0.0, patterns=_ON_TOPS)
        add_underwear(layers, suit, chest=True)
        return Outfit(hair=hair)
    underwear = cloth(rng, patterned=0.0, patterns=_ON_TOPS)
    skirt = bool(rng.random() < knobs.skirts and female)
    if skirt:
        add_underwear(layers, underwear, chest=False)
    dress = skirt and rng.random() < 0.5
    coat = rng.random() < knobs.coats
    tucked = bool(not dress and rng.random() < 0.25)
    loose = rng.random() < knobs.loose
    bare_legs = bool(rng.random() < knobs.bare_legs)
    _shoes(layers, knobs, bare_legs=bare_legs or skirt)
    top = _top(layers, knobs, years=years, female=female, loose=loose, dress=dress)
    if tucked:
        add_top(layers, replace(top, hem_m=-0.02))
    if skirt:
        if rng.random() < 0.35:
            _leggings(layers)
        if not dress:
            _skirt(layers, knobs, years=years)
    else:
        _trousers(layers, knobs, female=female, bare_legs=bare_legs, loose=rng.random() < knobs.loose)
    if not tucked:
        add_top(layers, top)
    if coat and not dress:
        _coat(layers, knobs)
    if rng.random() < knobs.gloves:
        add_gloves(layers, leather(rng))
    return _hatted(layers, knobs, years=years, hair=hair)


def _top(layers: Layers, knobs: Clothing, *, years: float, female: bool, loose: bool, dress: bool) -> Top:
    rng = layers.rng
    child = years < 13
    warm = rng.random() < 0.4
    short = rng.random() < knobs.short_sleeves
    jumper = not short and warm
    patterns = _ON_SKIRTS if dress else _ON_JUMPERS if jumper else _ON_TOPS
    material = cloth(rng, patterned=knobs.patterns, patterns=patterns, child=child)
    sleeve = float(rng.uniform(0.10, 0.22)) if short else float(rng.uniform(WRIST - 0.03, WRIST + 0.015))
    if short and rng.random() < (0.3 if female else 0.1):
        sleeve = -1.0
    elif not short and rng.random() < 0.15:
        sleeve = float(rng.uniform(ELBOW - 0.02, ELBOW + 0.12))
    gap = float(rng.uniform(0.010, 0.018)) if jumper else float(rng.uniform(0.004, 0.009))
    v = float(rng.uniform(0.05, 0.09)) if rng.random() < 0.3 else 0.0
    return Top(
        material=material,
        sleeve_m=sleeve,
        hem_m=0.0 if dress else float(rng.uniform(-0.065, -0.02)),
        neck_m=float(rng.uniform(-0.035, -0.005)) if not jumper else float(rng.uniform(-0.01, 0.03)),
        v_m=v,
        gap_m=gap * (1.0 if loose else 0.6),
        slope=float(rng.uniform(0.02, 0.3)) if loose else float(rng.uniform(0.5, 1.2)),
        fold_m=(float(rng.uniform(0.003, 0.007)) if loose else 0.0015) * knobs.folds,
        length_m=float(rng.uniform(-0.55, -0.25)) if dress else None,
        flare=float(rng.uniform(0.05, 0.3)),
    )


def _trousers(layers: Layers, knobs: Clothing, *, female: bool, bare_legs: bool, loose: bool) -> None:
    rng = layers.rng
    material = trouser_cloth(rng, patterned=knobs.patterns)
    end = float(rng.uniform(-0.40, -0.22)) if bare_legs else float(rng.uniform(-0.835, -0.77))
    if not bare_legs and rng.random() < 0.1:
        end = float(rng.uniform(-0.72, -0.60))
    tight = not loose and female and rng.random() < 0.5
    slope = float(rng.uniform(0.05, 0.2)) if loose else float(rng.uniform(0.3, 0.6))
    add_bottom(
        layers,
        Bottom(
            material=material,
            end_m=end,
            waist_m=float(rng.uniform(0.07, 0.13)),
            gap_m=0.003 if tight else float(rng.uniform(0.006, 0.012)),
            slope=1.5 if tight else slope,
            flare_m=float(rng.uniform(0.01, 0.04)) if loose and rng.random() < 0.4 else 0.0,
            fold_m=(0.001 if tight else float(rng.uniform(0.003, 0.007))) * knobs.folds,
        ),
    )


def _leggings(layers: Layers) -> None:
    rng = layers.rng
    material = cloth(rng, patterned=0.0, patterns=_ON_TOPS, bright=0.1)
    add_bottom(layers, Bottom(material=material, end_m=-0.8, gap_m=0.002, slope=2.0, fold_m=0.0))


def _skirt(layers: Layers, knobs: Clothing, *, years: float) -> None:
    rng = layers.rng
    material = cloth(rng, patterned=knobs.patterns, patterns=_ON_SKIRTS, child=years < 13)
    add_hanging(
        layers,
        Hanging(
            material=material,
            top_m=float(rng.uniform(0.08, 0.13)),
            hem_m=float(rng.uniform(-0.62, -0.25)),
            flare=float(rng.uniform(0.03, 0.4)),
            fold_m=float(rng.uniform(0.004, 0.022)) * knobs.folds,
            folds=int(rng.integers(6, 12)),
        ),
    )


def _coat(layers: Layers, knobs: Clothing) -> None:
    rng = layers.rng
    long = rng.random() < 0.4
    add_top(
        layers,
        Top(
            material=cloth(rng, patterned=0.2 * knobs.patterns, patterns=(("checks", 1.0), ("knit", 0.5)), bright=0.15),
            sleeve_m=WRIST + 0.005,
            hem_m=0.0 if long else float(rng.uniform(-0.06, -0.02)),
            neck_m=float(rng.uniform(0.0, 0.035)),
            v_m=float(rng.uniform(0.0, 0.09)),
            gap_m=float(rng.uniform(0.010, 0.02)),
            slope=float(rng.uniform(0.05, 0.25)),
            fold_m=0.006 * knobs.folds,
            length_m=float(rng.uniform(-0.45, -0.2)) if long else None,
            flare=float(rng.uniform(0.02, 0.12)),
        ),
    )


def _shoes(layers: Layers, knobs: Clothing, *, bare_legs: bool) -> None:
    rng = layers.rng
    if rng.random() < knobs.barefoot:
        return
    boots = not bare_legs and rng.random() < 0.2
    if rng.random() < (0.4 if bare_legs else 0.85):
        sock = cloth(rng, patterned=0.0, patterns=_ON_TOPS, bright=0.1, colour=some_colour(rng, bright=0.08))
        add_socks(layers, sock, float(rng.uniform(-0.76, -0.62)))
    if boots:
        material = leather(rng, sole=(0.02, 0.018, 0.016))
        add_shoes(layers, Shoe(material=material, thick_m=0.008, sole_m=0.02))
        add_boot_shafts(layers, material, float(rng.uniform(-0.74, -0.55)))
        return
    material = trainer(rng) if rng.random() < 0.65 else leather(rng, sole=(0.03, 0.026, 0.02))
    opening = OPENING if rng.random() < 0.6 else OPENING - 0.012
    add_shoes(layers, Shoe(material=material, opening_m=opening, sole_m=float(rng.uniform(0.01, 0.026))))


def _hatted(layers: Layers, knobs: Clothing, *, years: float, hair: Hair) -> Outfit:
    rng = layers.rng
    if rng.random() >= knobs.hats:
        return Outfit(hair=hair)
    knitted = bool(rng.random() < 0.55)
    patterns = (("knit", 1.0), ("stripes", 0.3)) if knitted else (("camouflage", 0.3), ("checks", 0.3))
    hat = cloth(rng, patterned=knobs.patterns, patterns=patterns, child=years < 13)
    if hair.style in ("bun", "ponytail"):
        hair = replace(hair, style="medium")
    return Outfit(hair=replace(hair, volume_m=min(hair.volume_m, 0.012)), hat=hat, knitted=knitted)
