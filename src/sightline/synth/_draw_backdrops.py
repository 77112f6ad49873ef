"""Painted backdrops: dead leaves, noise, skies, streets and indoor walls as square sRGB pictures.

Each painter takes a source of chance and the side of the square (px), and returns a picture whose middle row is the
horizon. Colours are spread as in photographs: light varies most, then blue against yellow, then red against green
(Ruderman, Cronin, Chiao 1998), with some saturated exceptions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFilter

Picture = UInt8[np.ndarray, "side side 3"]
_LIGHT, _BLUE, _RED = (np.array(v) for v in ((1.0, 1.0, 1.0), (-0.55, -0.35, 0.9), (0.9, -0.6, -0.3)))


def plain(rng: np.random.Generator, side: int) -> Picture:
    """An even colour, a little darker to one side, as of a studio's paper."""
    colour = colours(rng, 1, contrast=0.16, vivid=0.1)[0]
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    turn = rng.uniform(0, 2 * math.pi)
    slope = 1 + rng.uniform(0, 0.25) * (x * math.cos(turn) + y * math.sin(turn))
    return _bytes(colour * slope[..., None])


def leaves(rng: np.random.Generator, side: int) -> Picture:
    """Dead leaves: shapes that hide one another, as many of each size as the cube of the size is small."""
    least, most = 0.008 * side, 0.35 * side
    u = rng.random(_LEAVES)
    size = (least**-2 + u * (most**-2 - least**-2)) ** -0.5
    size[:12] = most * rng.uniform(0.6, 1.6, 12)  # the first lie under all others, and leave no hole
    centre = rng.uniform(-0.15 * side, 1.15 * side, (_LEAVES, 2))
    numbers = Image.new("I", (side, side), 0)
    pen = ImageDraw.Draw(numbers)
    kinds, turns = rng.integers(4, size=_LEAVES), rng.uniform(0, math.pi, _LEAVES)
    flat = rng.uniform(0.35, 1.0, _LEAVES)
    for row in range(_LEAVES):
        (x, y), r = centre[row], size[row]
        if kinds[row] == 0:
            pen.ellipse((x - r, y - r * flat[row], x + r, y + r * flat[row]), fill=row)
        else:
            corners = (4, 4, 3 + row % 5)[kinds[row] - 1]
            angle = turns[row] + 2 * math.pi * np.arange(corners) / corners
            ring = np.stack([np.cos(angle), np.sin(angle)], 1) * r * (1, flat[row])
            c, s = math.cos(turns[row]), math.sin(turns[row])
            pen.polygon([(x + c * a - s * b, y + s * a + c * b) for a, b in ring], fill=row)
    number = np.asarray(numbers)
    colour = colours(rng, _LEAVES, contrast=0.17, vivid=0.07)[number]
    texture = fractal(rng, side, 1)[..., 0] * rng.uniform(0.0, 0.16, _LEAVES)[number]
    turn, period = rng.uniform(0, math.pi, _LEAVES), rng.uniform(4, 30, _LEAVES)
    y, x = np.mgrid[0:side, 0:side]
    waves = np.sin((x * np.cos(turn)[number] + y * np.sin(turn)[number]) * (2 * math.pi / period[number]))
    texture += waves * (rng.uniform(0.0, 0.12, _LEAVES) * (rng.random(_LEAVES) < 0.25))[number]
    return _softened(rng, _bytes(colour * (1 + texture)[..., None]))


def noise(rng: np.random.Generator, side: int) -> Picture:
    """Noise whose amplitude falls with frequency as in photographs."""
    field = fractal(rng, side, 3, slope=rng.uniform(0.9, 1.5))
    mean = colours(rng, 1, contrast=0.12, vivid=0.05)[0]
    light, blue, red = field[..., 0] * rng.uniform(0.10, 0.2), field[..., 1] * 0.03, field[..., 2] * 0.015
    return _bytes(mean + light[..., None] * _LIGHT + blue[..., None] * _BLUE + red[..., None] * _RED)


def sky(rng: np.random.Generator, side: int) -> Picture:
    """A sky with clouds over a plain, hills at the horizon."""
    picture = _heaven(rng, side)
    ground = colours(rng, 1, contrast=0.1, vivid=0.05)[0] * rng.uniform(0.5, 0.9) + [-0.02, 0.02, -0.05]
    rows = np.arange(side)
    field = fractal(rng, side, 1)[..., 0]
    below = rows[:, None] >= side / 2
    haze = np.exp(-np.maximum(rows - side / 2, 0) / (0.1 * side))[:, None, None] * 0.35
    far = picture[side // 2].mean(0)
    land = ground * (1 + 0.14 * field[..., None]) * (1 - haze) + far * haze
    picture = np.where(below[..., None], land, picture)
    for row in range(int(rng.integers(0, 4))):
        height = (0.5 - (0.09 - 0.025 * row) * rng.random()) * side
        rise = np.interp(np.arange(side), np.linspace(0, side, 14), rng.uniform(0, 0.07 * side, 14))
        hills = (rows[:, None] > height - rise) & (rows[:, None] < 0.505 * side)
        tone = far * (0.75 - 0.13 * row) + ground * (0.08 + 0.13 * row)
        picture = np.where(hills[..., None], tone * (1 + 0.1 * field[..., None]), picture)
    return _softened(rng, _bytes(picture))


def street(rng: np.random.Generator, side: int) -> Picture:
    """A street: houses with windows in rows, trees and cars before them, under a sky; out of focus."""
    image = Image.fromarray(_bytes(_heaven(rng, side)))
    pen = ImageDraw.Draw(image)
    half = side / 2
    road = _rgb(colours(rng, 1, contrast=0.07, vivid=0.0)[0] * 0.9)
    pen.rectangle((0, half, side, side), fill=road)
    x = -rng.uniform(0, 0.2) * side
    while x < side:
        width = rng.uniform(0.1, 0.4) * side
        top, foot = half - rng.uniform(0.08, 0.75) * side, half + rng.uniform(0.0, 0.06) * side
        wall = colours(rng, 1, contrast=0.15, vivid=0.05)[0]
        pen.rectangle((x, top, x + width, foot), fill=_rgb(wall))
        _windows(rng, pen, (x, top, x + width, foot), wall, side)
        x += width + (rng.uniform(0, 0.08) * side if rng.random() < 0.3 else 0)
    walk = _rgb(colours(rng, 1, contrast=0.08, vivid=0.0)[0])
    pen.polygon(
        [(0, half + 0.05 * side), (side, half + 0.03 * side), (side, half + 0.09 * side), (0, half + 0.13 * side)],
        fill=walk,
    )
    for _ in range(int(rng.integers(0, 9))):
        _street_thing(rng, pen, side)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.choice((0.4, 1.0, 2.0, 3.5))) * side / 384))
    lit = 1 + 0.09 * fractal(rng, side, 1)
    return _bytes(np.asarray(image) / 255.0 * lit)


def indoor(rng: np.random.Generator, side: int) -> Picture:
    """An indoor wall with pictures, windows, doors, shelves, over a floor with a skirting board."""
    wall, floor = colours(rng, 2, contrast=0.11, vivid=0.04) * [[1.1], [0.8]]
    image = Image.new("RGB", (side, side), _rgb(wall))
    pen = ImageDraw.Draw(image)
    if rng.random() < 0.3:
        stripe = wall * rng.uniform(0.85, 1.1)
        step = rng.uniform(0.01, 0.06) * side
        for x in np.arange(0, side, 2 * step):
            pen.rectangle((x, 0, x + step, side), fill=_rgb(stripe))
    for _ in range(int(rng.integers(1, 7))):
        _wall_thing(rng, pen, side)
    edge = (0.5 + rng.uniform(0.06, 0.25)) * side
    pen.rectangle((0, edge, side, side), fill=_rgb(floor))
    pen.rectangle((0, edge - 0.02 * side, side, edge), fill=_rgb(wall * rng.choice((0.6, 1.2))))
    if rng.random() < 0.5:
        for k in np.linspace(-2, 3, 22):
            pen.line((k * side, side, side / 2 + (k * side - side / 2) * 0.35, edge), fill=_rgb(floor * 0.85), width=2)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.choice((0.3, 0.8, 2.0))) * side / 384))
    y, x = np.mgrid[0:side, 0:side] / side - rng.uniform(0.2, 0.8, 2)[:, None, None]
    lamp = 0.75 + 0.45 * np.exp(-(x**2 + y**2) / rng.uniform(0.1, 0.6))
    return _bytes(np.asarray(image) / 255.0 * lamp[..., None] * (1 + 0.04 * fractal(rng, side, 1)))


PAINTERS: Final[Mapping[str, Callable[[np.random.Generator, int], Picture]]] = {
    "plain": plain, "leaves": leaves, "noise": noise, "sky": sky, "street": street, "indoor": indoor, "room": indoor,
}  # fmt: skip
_LEAVES: Final = 1600


def colours(rng: np.random.Generator, count: int, *, contrast: float, vivid: float) -> Float[np.ndarray, "count 3"]:
    """Draw sRGB colours (0…1) that go together: each about one mean, light varying more than hue.

    vivid: share of saturated exceptions.
    """
    spread = np.array([contrast, 0.055, 0.03])
    mean = np.array([rng.uniform(0.3, 0.68), 0, 0]) + rng.standard_normal(3) * spread * [0.2, 1.0, 1.0]
    amount = mean + rng.standard_normal((count, 3)) * spread
    amount[:, 1:] += (rng.random((count, 1)) < vivid) * rng.normal(0, 0.16, (count, 2))
    return np.clip(amount[:, :1] * _LIGHT + amount[:, 1:2] * _BLUE + amount[:, 2:] * _RED, 0.02, 0.98)


def fractal(
    rng: np.random.Generator, side: int, count: int, slope: float = 1.1
) -> Float[np.ndarray, "side side count"]:
    """Draw noise of amplitude f^-slope, periodic, with standard deviation 1."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = 1.0
    shape = (count, *frequency.shape)
    wave = rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)
    wave = wave * frequency**-slope
    wave[:, 0, 0] = 0.0
    field = np.fft.irfft2(wave, s=(side, side))
    return np.moveaxis(field / field.std(axis=(1, 2), keepdims=True), 0, -1)


def _heaven(rng: np.random.Generator, side: int) -> Float[np.ndarray, "side side 3"]:
    """A sky, brightest at the horizon (the middle row), with clouds."""
    top = np.array([0.25, 0.45, 0.78]) * rng.uniform(0.6, 1.15) + rng.normal(0, 0.03, 3)
    low = np.array([0.80, 0.87, 0.94]) * rng.uniform(0.7, 1.05) + rng.normal(0, 0.04, 3)
    if rng.random() < 0.35:
        top = low * rng.uniform(0.75, 1.0)  # overcast
    share = np.linspace(0, 2, side).clip(0, 1)[:, None, None] ** rng.uniform(0.6, 1.4)
    cloud = np.clip(fractal(rng, side, 1, slope=1.5) + rng.uniform(-1.2, 0.6), 0, 1.5)
    cloud = np.clip(cloud * rng.uniform(0.2, 0.8), 0, 1)
    picture = top * (1 - share) + low * share
    return picture * (1 - cloud) + np.array([0.95, 0.95, 0.96]) * rng.uniform(0.75, 1.02) * cloud


def _windows(
    rng: np.random.Generator, pen: ImageDraw.ImageDraw, box: tuple[float, ...], wall: np.ndarray, side: int
) -> None:
    x0, y0, x1, y1 = box
    step_x, step_y = rng.uniform(0.022, 0.07, 2) * side
    pane, share = wall * rng.uniform(0.25, 0.6) + [0, 0.02, 0.05], rng.uniform(0.4, 0.7)
    for y in np.arange(y0 + 0.4 * step_y, y1 - step_y, step_y):
        for x in np.arange(x0 + 0.4 * step_x, x1 - step_x, step_x):
            tone = _rgb(pane * rng.uniform(0.7, 1.5))
            pen.rectangle((x, y, x + share * step_x, y + share * step_y), fill=tone)


def _street_thing(rng: np.random.Generator, pen: ImageDraw.ImageDraw, side: int) -> None:
    """A tree, a parked car or a post."""
    x, foot = rng.uniform(0, side), (0.5 + rng.uniform(0.01, 0.12)) * side
    kind = rng.integers(3)
    colour = colours(rng, 1, contrast=0.18, vivid=0.3)[0]
    if kind == 0:
        height, width = rng.uniform(0.15, 0.6) * side, rng.uniform(0.05, 0.2) * side
        pen.rectangle((x - 0.006 * side, foot - height, x + 0.006 * side, foot), fill=_rgb(np.array([0.25, 0.2, 0.16])))
        for _ in range(26):
            cx, cy = x + rng.normal(0, 0.4) * width, foot - height + rng.normal(0, 0.4) * width
            r = rng.uniform(0.15, 0.45) * width
            green = np.array([0.22, 0.32, 0.12]) * rng.uniform(0.6, 1.6)
            pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=_rgb(green))
    elif kind == 1:
        length, height = rng.uniform(0.12, 0.3) * side, rng.uniform(0.04, 0.09) * side
        pen.rounded_rectangle((x, foot - height, x + length, foot), radius=height / 3, fill=_rgb(colour))
        pen.rounded_rectangle(
            (x + 0.2 * length, foot - 1.8 * height, x + 0.8 * length, foot - 0.8 * height),
            radius=height / 3,
            fill=_rgb(colour * 0.5),
        )
        for wheel in (0.2, 0.8):
            cx = x + wheel * length
            pen.ellipse((cx - height / 2, foot - height / 2, cx + height / 2, foot + height / 2), fill=(25, 25, 27))
    else:
        width = rng.uniform(0.002, 0.012) * side
        pen.rectangle((x, foot - rng.uniform(0.1, 0.7) * side, x + width, foot), fill=_rgb(colour))


def _wall_thing(rng: np.random.Generator, pen: ImageDraw.ImageDraw, side: int) -> None:
    """A picture in its frame, a window, a door or a shelf of books."""
    width, height = rng.uniform(0.08, 0.35, 2) * side
    x, y = rng.uniform(-0.05, 0.9) * side, rng.uniform(0.1, 0.45) * side
    frame, inner, accent = colours(rng, 3, contrast=0.22, vivid=0.3)
    kind = rng.integers(4)
    if kind == 2:
        width, height = rng.uniform(0.15, 0.25) * side, rng.uniform(0.55, 0.8) * side
        y = 0.75 * side - height
    border = rng.uniform(0.03, 0.1) * width
    pen.rectangle((x, y, x + width, y + height), fill=_rgb(frame))
    inside = (x + border, y + border, x + width - border, y + height - border)
    if kind == 1:
        inner = np.array([0.85, 0.91, 0.97]) * rng.uniform(0.6, 1.05)
    pen.rectangle(inside, fill=_rgb(inner))
    if kind == 0:
        r = rng.uniform(0.1, 0.4) * min(width, height)
        cx, cy = x + width * rng.uniform(0.3, 0.7), y + height * rng.uniform(0.3, 0.7)
        pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=_rgb(accent))
    elif kind == 1:
        pen.line((x + width / 2, y, x + width / 2, y + height), fill=_rgb(frame), width=max(int(border), 1))
    elif kind == 3:
        at = inside[0]
        while at < inside[2] - 2:
            thick = rng.uniform(0.008, 0.03) * side
            book = colours(rng, 1, contrast=0.2, vivid=0.35)[0]
            top = inside[1] + rng.uniform(0, 0.4) * (inside[3] - inside[1])
            pen.rectangle((at, top, min(at + thick, inside[2]), inside[3]), fill=_rgb(book))
            at += thick


def _softened(rng: np.random.Generator, picture: Picture) -> Picture:
    """Put a picture out of focus, by a lot, a little or not at all."""
    radius = float(rng.choice((0.0, 0.7, 1.5, 3.0), p=(0.4, 0.25, 0.2, 0.15))) * len(picture) / 384
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius))) if radius else picture


def _bytes(picture: np.ndarray) -> Picture:
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    r, g, b = (int(255 * min(max(float(c), 0.0), 1.0)) for c in colour)
    return r, g, b
