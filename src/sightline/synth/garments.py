"""Where each garment begins and ends on the body, and how its cloth lies.

All fields are metres inside the garment's edge on the mean body (see `_dress_rig`): where they are negative there is
no cloth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float

from sightline.synth._dress_layers import Cloth, Layers
from sightline.synth._dress_rig import CROTCH, Rig
from sightline.synth.figure import PARTS, Material
from sightline.synth.garment_tube import Hanging, add_hanging

WRIST: Final = 0.478
ELBOW: Final = 0.252
ANKLE: Final = -0.795
KNEE: Final = -0.40
WAIST: Final = 0.12
"""Distances along the arm from the shoulder, and heights, on the mean body."""

_HEAD: Final = PARTS.index("head")


@dataclass(frozen=True, kw_only=True)
class Top:
    """What is worn around the trunk."""

    material: Material
    sleeve_m: float = 0.16
    """Where sleeves end along the arm; below 0 there are none."""
    hem_m: float = -0.04
    neck_m: float = 0.0
    """How far the collar lies above (or below) the root of the neck."""
    v_m: float = 0.0
    """How deep a V is cut."""
    gap_m: float = 0.005
    slope: float = 0.6
    fold_m: float = 0.006
    length_m: float | None = None
    """Where a dress or coat ends that hangs on below the hips."""
    flare: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Bottom:
    """What is worn on each leg."""

    material: Material
    end_m: float = -0.80
    waist_m: float = 0.09
    gap_m: float = 0.005
    slope: float = 0.35
    flare_m: float = 0.0
    """How much wider than the leg the hem is."""
    fold_m: float = 0.006


def top_field(
    rig: Rig, top: Top, margins: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Float[np.ndarray, " vertex"]:
    """How far inside a top each vertex lies, less margins at the neck, the sleeves and the hem."""
    x, y, z = np.abs(rig.points[:, 0]), rig.points[:, 1], rig.points[:, 2]
    low = y + 0.44 * z  # the root of the neck is about even in this height
    if top.v_m > 0:
        low = low + np.clip(top.v_m - 1.7 * x, 0, None) * np.clip(z / 0.04, 0, 1)
    depth = np.clip(0.56 - low, 0, None) / (0.060 - top.neck_m)
    neck = 0.06 * (np.hypot(x / (0.088 - 0.5 * top.neck_m), depth) - 1) - margins[0]
    if top.sleeve_m >= 0:
        sleeve = top.sleeve_m - rig.arm_m
    else:  # a plane beside the neck that leans outwards below the armpit
        sleeve = np.minimum(0.157 + 0.8 * np.clip(0.40 - y, 0, 1) - x, 0.1 * (0.85 - rig.arm_share))
    sleeve = sleeve - margins[1]
    hem = -margins[2] + np.where(rig.arm_share < 0.5, y - top.hem_m, 0.2)
    field = np.minimum(np.minimum(neck, sleeve), hem)
    return np.where(rig.part == _HEAD, np.minimum(field, neck), field).astype(np.float32)


def add_top(layers: Layers, top: Top) -> None:
    """Put a top on, with what hangs below it."""
    cloth = Cloth(
        material=top.material,
        gap_m=top.gap_m,
        slope=top.slope,
        smooth=3 + int(round(700 * top.gap_m)),
        fold_m=top.fold_m,
    )
    falls = ("trunk", "LArm", "RArm") if top.sleeve_m > 0.05 else ("trunk",)
    deep = top_field(layers.rig, top, (0.012, 0.02, 0.02))
    layers.add_shell(top_field(layers.rig, top), cloth, deep=deep, falls=falls)
    if top.length_m is not None:
        add_hanging(
            layers,
            Hanging(
                material=top.material, top_m=max(0.06, top.hem_m + 0.05), hem_m=top.length_m, gap_m=top.gap_m + 0.003,
                flare=top.flare,
            ),
        )  # fmt: skip


def bottom_field(rig: Rig, bottom: Bottom, margins: tuple[float, float] = (0.0, 0.0)) -> Float[np.ndarray, " vertex"]:
    """How far inside trousers each vertex lies, less margins at waist and hems."""
    y, z = rig.points[:, 1], rig.points[:, 2]
    field = np.minimum(bottom.waist_m - y - margins[0], y - bottom.end_m - margins[1])
    field = np.where(y < -0.70, np.minimum(field, 0.055 - z), field)
    return np.where(rig.arm_share < 0.2, field, -0.05).astype(np.float32)


def add_bottom(layers: Layers, bottom: Bottom) -> None:
    """Put trousers, shorts or leggings on."""
    rig = layers.rig
    y = rig.points[:, 1]
    cloth = Cloth(
        material=bottom.material,
        gap_m=bottom.gap_m,
        slope=bottom.slope,
        smooth=2 + int(round(600 * bottom.gap_m)),
        fold_m=bottom.fold_m,
    )
    deep = bottom_field(rig, bottom, (0.012, 0.02))
    wide = bottom.flare_m * np.clip((CROTCH - y) / max(CROTCH - bottom.end_m, 0.05), 0, 1)
    layers.add_shell(
        bottom_field(rig, bottom), cloth, thickness=wide.astype(np.float32), deep=deep, falls=("trunk", "LLeg", "RLeg")
    )


def add_underwear(layers: Layers, material: Material, *, chest: bool) -> None:
    """A tight layer over the pelvis, and with `chest` over the trunk too: nobody is without."""
    rig = layers.rig
    x, y = np.abs(rig.points[:, 0]), rig.points[:, 1]
    legs = y - (CROTCH - 0.03)
    field = np.minimum(legs, 0.09 - y)
    if chest:
        field = top_field(rig, Top(material=material, sleeve_m=-1.0, hem_m=CROTCH - 0.03, neck_m=-0.05))
    field = np.where((rig.arm_share < 0.35) | (x < 0.12), field, -0.05)
    layers.add_shell(
        field.astype(np.float32), Cloth(material=material, gap_m=0.002, slope=3.0, smooth=2, fold_m=0.0, hide_m=0.012)
    )


def add_socks(layers: Layers, material: Material, top_m: float) -> None:
    """Socks up to a height on the mean body."""
    y = layers.rig.points[:, 1]
    field = np.where(layers.rig.arm_share < 0.1, top_m - y, -0.05).astype(np.float32)
    layers.add_shell(
        field, Cloth(material=material, gap_m=0.002, slope=3.0, smooth=2, fold_m=0.0005, hide_m=0.012), zone="legs"
    )


def add_boot_shafts(layers: Layers, material: Material, top_m: float) -> None:
    """The upper half of boots, above the shoes."""
    y = layers.rig.points[:, 1]
    field = np.where(layers.rig.arm_share < 0.1, np.minimum(top_m - y, y + 0.835), -0.05).astype(np.float32)
    layers.add_shell(
        field,
        Cloth(material=material, gap_m=0.009, slope=0.3, smooth=4, fold_m=0.003),
        deep=field - 0.012,
        falls=("LLeg", "RLeg"),
        zone="legs",
    )


def add_gloves(layers: Layers, material: Material) -> None:
    """Gloves up to the wrist."""
    field = (layers.rig.arm_m - (WRIST - 0.03)).astype(np.float32)
    layers.add_shell(
        field, Cloth(material=material, gap_m=0.002, slope=3.0, smooth=1, fold_m=0.0, hide_m=0.012), zone="hands"
    )


def add_cap(
    layers: Layers, material: Material, ears: Float[np.ndarray, " vertex"], *, low_m: float, knitted: bool
) -> None:
    """A beanie, or the round of a cap, down to a height on the mean head; over hair, and over the ears' tops."""
    rig = layers.rig
    y, z = rig.points[:, 1], rig.points[:, 2]
    field = np.minimum(y - low_m - 0.12 * (z - 0.03), 0.02 - 0.06 * ears)
    field = np.where(rig.part == _HEAD, field, -0.05)
    thickness = (0.012 if knitted else 0.006) * np.clip((y - low_m) / 0.03, 0.3, 1)
    layers.add_shell(
        field.astype(np.float32),
        Cloth(material=material, gap_m=0.003, smooth=8, fold_m=0.002 if knitted else 0.0, hide_m=0.01, slope=3.0),
        thickness=thickness.astype(np.float32),
        zone="head",
    )
