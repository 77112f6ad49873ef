"""Sheets of many pictures: as they are, and with their labels drawn over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from sightline.synth.labelled import Labelled

if TYPE_CHECKING:
    from sightline.skeleton import Skeleton

Colour = tuple[int, int, int]

PAGE: Final[Colour] = (18, 20, 24)
LEFT: Final[Colour] = (86, 180, 233)
RIGHT: Final[Colour] = (240, 140, 40)
MIDDLE: Final[Colour] = (235, 235, 235)
EDGE: Final[Colour] = (10, 10, 10)
PEOPLE: Final[tuple[Colour, ...]] = ((240, 228, 66), (0, 190, 130), (214, 110, 180), (255, 90, 70), (150, 140, 255))
PROPS: Final[Colour] = (150, 150, 150)

_GAP = 6
_FINER = 2  # samples per pixel and axis
_LEGEND = 40  # height in pixels
_PROP_MASK = 255


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_height _width 3"]], columns: int = 8, tile_px: int = 256
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Lay pictures (sRGB) side by side, each with its longer side as long as a tile."""
    return np.asarray(_sheet(images, columns, tile_px, _fitted))


def labels_sheet(
    pictures: Sequence[Labelled],
    columns: int = 8,
    tile_px: int = 384,
    skeleton: str = "h36m17",
    landmarks: Sequence[str] | None = None,
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Lay pictures side by side with limbs, joints, boxes and the outlines of masks over them.

    Left limbs are blue, right ones orange, the middle white; joints that are hidden or outside are hollow. `landmarks`
    names the rows of the pictures' landmarks, where they are not `sightline.landmarks.ALL_LANDMARKS`.
    """
    from sightline.landmarks import ALL_LANDMARKS, rows_of
    from sightline.skeleton import get_skeleton

    joints = get_skeleton(skeleton)
    names = list(landmarks or ALL_LANDMARKS)
    rows = [names.index(ALL_LANDMARKS[row]) for row in rows_of(joints)]

    def tile(picture: Labelled, side: int) -> Image.Image:
        return _labelled(picture, joints, rows, side)

    sheet = _sheet(pictures, columns, tile_px, tile)
    page = Image.new("RGB", (sheet.width, sheet.height + _LEGEND), PAGE)
    page.paste(sheet, (0, 0))
    _draw_legend(page, sheet.height, skeleton)
    return np.asarray(page)


def _sheet(pictures: Sequence, columns: int, tile_px: int, tile: Callable[..., Image.Image]) -> Image.Image:
    if not pictures or columns < 1 or tile_px < 16:
        raise ValueError(
            f"sheet: expected pictures, columns and tiles of at least 16 px, got {len(pictures)}, {columns}, {tile_px}"
        )
    tiles = [tile(picture, tile_px) for picture in pictures]
    columns, rows = min(columns, len(tiles)), math.ceil(len(tiles) / columns)
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP), PAGE)
    for number, fitted in enumerate(tiles):
        row, column = divmod(number, columns)
        left = _GAP + column * (width + _GAP) + (width - fitted.width) // 2
        sheet.paste(fitted, (left, _GAP + row * (height + _GAP) + (height - fitted.height) // 2))
    return sheet


def _fitted(image: UInt8[np.ndarray, "height width 3"], side: int) -> Image.Image:
    """A picture with its longer side as long as the tile's."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _labelled(picture: Labelled, skeleton: Skeleton, rows: list[int], side: int) -> Image.Image:
    fine = _fitted(picture.image, side * _FINER)
    scale = fine.width / picture.image.shape[1]
    fine = Image.blend(fine, Image.new("RGB", fine.size, (90, 90, 90)), 0.25)
    if picture.mask is not None:
        _draw_outlines(fine, picture.mask)
    draw = ImageDraw.Draw(fine)
    for number, person in enumerate(picture.people):
        if np.isfinite(person.box_px).all():
            box = (np.asarray(person.box_px, float) * scale).tolist()
            draw.rectangle(box, outline=PEOPLE[number % len(PEOPLE)], width=_FINER)
    for person in picture.people:
        points = np.asarray(person.landmarks_px, float)[rows] * scale
        _draw_person(draw, points, np.asarray(person.hidden_by)[rows] == 0, skeleton, _line_width(points, side))
    return fine.reduce(_FINER)


def _line_width(points: Float[np.ndarray, "joint 2"], side: int) -> float:
    """Width (fine pixels) of a limb's line: the hundredth part of the tile, less for people who are small in it."""
    known = points[np.isfinite(points).all(axis=-1)]
    reach = float(np.ptp(known, axis=0).max()) if len(known) else 0.0
    return side * _FINER / 100 * min(max(reach / (0.5 * side * _FINER), 0.35), 1.0)


def _draw_outlines(fine: Image.Image, mask: UInt8[np.ndarray, "height width"]) -> None:
    """Draw the border of every person and prop in the mask, two fine pixels wide."""
    grown = np.asarray(Image.fromarray(np.ascontiguousarray(mask)).resize(fine.size, Image.Resampling.NEAREST))
    for value in np.unique(mask[mask > 0]).tolist():
        inside = grown == value
        core = inside.copy()
        for axis in (0, 1):
            for step in (-2, -1, 1, 2):
                core &= np.roll(inside, step, axis)
        colour = PROPS if value == _PROP_MASK else PEOPLE[(value - 1) % len(PEOPLE)]
        fine.paste(colour, mask=Image.fromarray(inside & ~core))


def _draw_person(
    draw: ImageDraw.ImageDraw,
    points: Float[np.ndarray, "joint 2"],
    visible: Bool[np.ndarray, " joint"],
    skeleton: Skeleton,
    unit: float,
) -> None:
    """Draw limbs with a dark edge, full ones where a joint of theirs is seen, and the joints over them."""
    reach = 10 * max(draw.im.size)
    near = np.asarray((np.abs(np.nan_to_num(points, nan=np.inf)) < reach).all(axis=-1))
    for child, parent in skeleton.bones:
        if not (near[child] and near[parent]):
            continue
        ends = [tuple(points[child].tolist()), tuple(points[parent].tolist())]
        thick = unit * (1.0 if visible[child] or visible[parent] else 0.45)
        draw.line(ends, fill=EDGE, width=max(1, round(thick + 0.7 * unit)))
        draw.line(ends, fill=_side(skeleton, child, parent), width=max(1, round(thick)))
    for joint in np.flatnonzero(near).tolist():
        x, y = points[joint].tolist()
        radius = 1.15 * unit
        box = (x - radius, y - radius, x + radius, y + radius)
        colour = _side(skeleton, joint, joint)
        draw.ellipse(tuple(np.add(box, (-0.4, -0.4, 0.4, 0.4)).tolist()), fill=EDGE)
        if visible[joint]:
            draw.ellipse(box, fill=colour)
        else:
            draw.ellipse(box, outline=colour, width=max(1, round(0.4 * unit)))


def _side(skeleton: Skeleton, joint: int, parent: int) -> Colour:
    """The colour of a limb: its outer end's side, or its inner one's."""
    for end in (joint, parent):
        if skeleton.flip[end] != end:
            return LEFT if skeleton.joints[end].startswith("L") else RIGHT
    return MIDDLE


def _draw_legend(page: Image.Image, top: int, skeleton: str) -> None:
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(20)
    x, middle = 2.0 * _GAP, top + _LEGEND / 2
    entries = [(LEFT, "left", True), (RIGHT, "right", True), (MIDDLE, "middle", True), (MIDDLE, "hidden", False)]
    for colour, text, full in entries:
        box = (x, middle - 8, x + 16, middle + 8)
        draw.ellipse(box, fill=colour) if full else draw.ellipse(box, outline=colour, width=3)
        draw.text((x + 24, middle), text, MIDDLE, font, "lm")
        x += 44 + draw.textlength(text, font)
    draw.text((x + 10, middle), f"joints of {skeleton}; boxes and outlines: one colour per person", PROPS, font, "lm")
