"""How pictures, films and pages look: one palette, one type scale, one colour per person, one tone per body side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sightline.skeleton import Skeleton
from sightline.structures import Poses

Colour = tuple[int, int, int]
"""Red, green, blue in 0 … 255 (sRGB)."""
Side = Literal["left", "middle", "right"]


@dataclass(frozen=True, kw_only=True)
class Palette:
    """The colours around the people: dark and nearly neutral, so that only people are colourful."""

    page: Colour = (13, 17, 23)
    panel: Colour = (20, 26, 34)
    border: Colour = (42, 51, 63)
    floor: Colour = (26, 33, 42)
    grid: Colour = (43, 53, 65)
    grid_strong: Colour = (66, 80, 97)
    shadow: Colour = (13, 17, 23)
    text: Colour = (233, 238, 243)
    muted: Colour = (150, 163, 177)
    camera: Colour = (214, 222, 231)
    casing: Colour = (8, 11, 15)


@dataclass(frozen=True, kw_only=True)
class TypeScale:
    """Letter heights (px) at 1600 × 900; `scaled` fits them to another picture size."""

    title: float = 22.0
    label: float = 17.0
    note: float = 15.0
    tick: float = 14.0

    def scaled(self, factor: float) -> TypeScale:
        """The same proportions, `factor` times as large."""
        return TypeScale(
            title=self.title * factor, label=self.label * factor, note=self.note * factor, tick=self.tick * factor
        )


PALETTE = Palette()
HAZE = 0.2
"""How dense the haze of uncertainty is, 0 … 1."""
GHOST = 0.6
"""How dense other poses of a person are."""
TYPE_SCALE = TypeScale()

PERSON_COLOURS: tuple[Colour, ...] = (
    (86, 180, 233),  # sky blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
)
"""Hues that stay apart for colour-blind eyes too (Okabe and Ito 2008)."""


def mixed(colour: Colour, other: Colour, share: float) -> Colour:
    """`colour` with `share` (0 … 1) of `other`."""
    return tuple(round((1.0 - share) * a + share * b) for a, b in zip(colour, other, strict=True))  # pyright: ignore[reportReturnType]


def toned(colour: Colour, side: Side) -> Colour:
    """A person's colour on one body side: left light, right deep, the middle as it is.

    Sides differ in lightness only, so they stay apart in grey and for colour-blind eyes.
    """
    if side == "left":
        return mixed(colour, (255, 255, 255), 0.55)
    if side == "right":
        return mixed(colour, (0, 0, 0), 0.25)
    return colour


def ghostly(colour: Colour) -> Colour:
    """A person's colour in their other poses: paler than any side of the body."""
    return mixed(colour, PALETTE.text, 0.35)


def side_of(skeleton: Skeleton, joint: int) -> Side:
    """The body side of a joint; left and right joints begin with L and R."""
    if skeleton.flip[joint] == joint:
        return "middle"
    return "left" if skeleton.joints[joint].startswith("L") else "right"


def coloured(poses: Poses) -> dict[int, Colour]:
    """One colour per id, by rank among all ids of the film, so that few people never share one."""
    ids = sorted({person.id for _, person in poses.people() if person.id is not None})
    return {ident: PERSON_COLOURS[rank % len(PERSON_COLOURS)] for rank, ident in enumerate(ids)}


def person_colours(ids: Iterable[int | None], by_id: dict[int, Colour]) -> list[Colour]:
    """The colours of the people of one frame; people without id take theirs by order."""
    return [
        PERSON_COLOURS[order % len(PERSON_COLOURS)] if ident is None else by_id[ident]
        for order, ident in enumerate(ids)
    ]


def as_hex(colour: Colour) -> str:
    """`#rrggbb`, as pages want it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
