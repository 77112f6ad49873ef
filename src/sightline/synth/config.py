"""What rendered pictures are of: every key of a scene's chance, and three ready-made sets of them.

Shares lie in 0…1 and say in how many pictures (or of how many people) something happens; 0 switches it off. Parts of a
scene draw from sources of chance of their own, so that changing one key does not reshuffle what the others draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Final

Range = tuple[float, float]
BACKGROUNDS: Final = ("plain", "leaves", "noise", "sky", "street", "indoor", "room", "folder")
"""Kinds of backdrops. `room` stands before real walls; `folder` is the user's own pictures; the rest is painted."""
GROUNDS: Final = ("none", "shadow", "textured")


@dataclass(frozen=True, kw_only=True)
class CameraDraw:
    """How cameras are drawn: the lens and the tilt, then the distance at which the first person fills its share."""

    fov: Range = (math.radians(28), math.radians(85))
    """Field of view along the picture's longer side (rad); the focal length is log-uniform between them."""
    height_m: Range = (0.35, 2.6)
    """Height over the floor; a tilt that would lead out of this range is drawn again inside it."""
    pitch: Range = (math.radians(-14), math.radians(32))
    """Tilt of the ray to the first person; positive looks down."""
    roll_std: float = math.radians(2)
    rolled_share: float = 0.04
    """Share of cameras held askew, by up to `rolled`."""
    rolled: float = math.radians(35)
    center_std: float = 0.01
    """Spread of the principal point about the middle, as a share of the picture."""
    distortion_share: float = 0.3
    """Share of lenses with radial distortion (Brown–Conrady)."""
    radial_std: float = 0.06
    """Spread of their first coefficient."""
    fill: Range = (0.45, 0.95)
    """Share of the picture, along the tighter side, that the first person fills."""
    truncated_share: float = 0.2
    """Share of pictures that cut the first person off."""
    near_m: float = 0.9
    """Nobody stands nearer to the camera."""


@dataclass(frozen=True, kw_only=True)
class CrowdDraw:
    """Who is in the picture, and how near to one another."""

    people: tuple[int, int] = (1, 1)
    """Least and most; drawn evenly. Those who find no free place are left out."""
    apart_m: Range = (0.7, 5.0)
    """Distance from the person before; log-uniform."""
    close_share: float = 0.35
    """Share of neighbours who face one another at a distance of talk or touch (0.55 to 1.1 m)."""
    overlap_share: float = 0.4
    """Share of neighbours who stand before or behind somebody, as the camera sees it."""
    group_share: float = 0.5
    """Share of pictures of several people whose camera takes in all of them, not only the first."""
    child_share: float = 0.15
    """Share of children under 15."""
    old_share: float = 0.15
    """Share of people over 65."""


@dataclass(frozen=True, kw_only=True)
class PoseDraw:
    """How poses are varied beyond those of their source."""

    recombined_share: float = 0.25
    """Chance with which legs, left arm, right arm and head each come from another pose."""
    fist_share: float = 0.15
    """Share of hands that are closed."""
    curl: float = 0.45
    """How far relaxed fingers bend (rad per joint); 0 keeps the straight fingers of the body model."""
    mirrored_share: float = 0.5


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Everything that decides how a scene is drawn; with the seed and the index it decides the scene."""

    image_sizes: tuple[tuple[int, int], ...] = ((256, 256),)
    """Picture sizes (w, h) in pixels, drawn evenly."""
    crowd: CrowdDraw = CrowdDraw()
    camera: CameraDraw = CameraDraw()
    poses: PoseDraw = PoseDraw()
    clothes: float = 1.0
    """Share of people who wear clothes of the wardrobe; of the others only chest and pelvis are covered."""
    hair: float = 0.95
    """Share of people with hair."""
    textures: float = 0.6
    """Share of cloths, floors and walls that have a pattern."""
    backgrounds: tuple[tuple[str, float], ...] = (
        ("leaves", 1.0), ("noise", 0.5), ("sky", 1.0), ("street", 1.5), ("indoor", 1.0), ("room", 1.5),
    )  # fmt: skip
    """Kinds of backdrops, and how often they come, relative to one another."""
    picture_folder: str | None = None
    """Folder of pictures for the kind `folder`."""
    backdrop_pool: int = 24
    """How many painted backdrops of each kind there are; each picture takes one, flipped and in other colours."""
    grounds: tuple[tuple[str, float], ...] = (("textured", 1.0), ("shadow", 1.0))
    """Kinds of floors under painted backdrops, and how often they come. Rooms have a textured floor."""
    shadows: float = 0.85
    """Share of pictures with cast shadows."""
    motion_blur: float = 0.15
    """Share of pictures in which people move while the shutter is open."""
    shutter_s: Range = (0.002, 0.03)
    sensor_noise: float = 0.6
    jpeg: float = 0.6
    defocus: float = 0.2
    colour_cast: float = 0.7
    """Share of pictures with a drawn exposure, white balance, contrast, saturation or vignette."""
    grey: float = 0.02
    """Share of black-and-white pictures."""
    props: float = 0.35
    """Share of pictures with things that stand before or beside people."""
    seats: float = 1.0
    """Share of sitting people who get something to sit on."""
    figure_reuse: int = 8
    """How many pictures in a row share the people whom they draw; their poses and places are drawn anew."""

    def __post_init__(self) -> None:
        for value in (self, self.camera, self.crowd, self.poses):
            _check_numbers(value)
        for name, known in (("backgrounds", BACKGROUNDS), ("grounds", GROUNDS)):
            _check_weights(name, getattr(self, name), known)
        if "folder" in dict(self.backgrounds) and self.picture_folder is None:
            raise ValueError("backgrounds: the kind folder needs picture_folder")
        if not self.image_sizes or any(side < 16 for size in self.image_sizes for side in size):
            raise ValueError(f"image_sizes: expected sizes of at least 16 px, got {self.image_sizes}")
        low, high = self.crowd.people
        if not 0 <= low <= high:
            raise ValueError(f"people: expected 0 <= least <= most, got {low}, {high}")
        if not (self.figure_reuse >= 1 and self.backdrop_pool >= 1):
            raise ValueError("figure_reuse and backdrop_pool: expected at least 1")


_SHARES: Final = {
    "truncated_share", "distortion_share", "rolled_share", "close_share", "overlap_share", "group_share", "child_share",
    "old_share", "recombined_share", "fist_share", "mirrored_share", "clothes", "hair", "textures", "shadows",
    "motion_blur", "sensor_noise", "jpeg", "defocus", "colour_cast", "grey", "props", "seats",
}  # fmt: skip
_POSITIVE: Final = {"fov", "height_m", "fill", "apart_m", "shutter_s"}


def _check_numbers(value: object) -> None:
    """Refuse shares outside 0…1 and ranges that do not rise."""
    for field in fields(value):  # pyright: ignore[reportArgumentType]
        name, number = field.name, getattr(value, field.name)
        if name in _SHARES and not 0 <= number <= 1:
            raise ValueError(f"{name}: expected a share of 0 to 1, got {number}")
        if name in _POSITIVE or name == "pitch":
            low, high = number
            if not (low <= high and (name == "pitch" or low > 0)):
                raise ValueError(
                    f"{name}: expected a rising range{'' if name == 'pitch' else ' above 0'}, got {number}"
                )


def _check_weights(name: str, weights: tuple[tuple[str, float], ...], known: tuple[str, ...]) -> None:
    if unknown := sorted({kind for kind, _ in weights} - set(known)):
        raise ValueError(f"{name}: expected {', '.join(known)}, got {', '.join(unknown)}")
    if not weights or any(not weight >= 0 for _, weight in weights) or not sum(weight for _, weight in weights) > 0:
        raise ValueError(f"{name}: expected weights of 0 and more, at least one above 0, got {weights}")


def street() -> SceneConfig:
    """One to four people, everything on."""
    return SceneConfig(crowd=CrowdDraw(people=(1, 4)))


def studio() -> SceneConfig:
    """One whole person before a quiet backdrop, well lit, in a clean picture."""
    return SceneConfig(
        camera=CameraDraw(truncated_share=0.0, distortion_share=0.0, rolled_share=0.0, roll_std=0.0, fill=(0.6, 0.92)),
        poses=PoseDraw(recombined_share=0.0),
        backgrounds=(("plain", 1.0), ("room", 1.0)),
        motion_blur=0.0,
        defocus=0.0,
        sensor_noise=0.0,
        jpeg=0.0,
        colour_cast=0.0,
        grey=0.0,
        props=0.0,
    )


def plain() -> SceneConfig:
    """Everything off: one bald, whole person in underwear before an even colour, in even light."""
    quiet = studio()
    return replace(
        quiet,
        camera=replace(quiet.camera, center_std=0.0),
        poses=PoseDraw(recombined_share=0.0, fist_share=0.0, mirrored_share=0.0),
        clothes=0.0,
        hair=0.0,
        textures=0.0,
        backgrounds=(("plain", 1.0),),
        grounds=(("none", 1.0),),
        shadows=0.0,
        seats=0.0,
    )
