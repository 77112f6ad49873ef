"""A drawing surface with smooth edges: Pillow at twice the size, in floating-point picture pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from sightline.viewer.style import Colour

_FINER = 2  # samples per pixel and axis
_FAR_PX = 30_000.0  # polygons are cut here, far outside any picture, before coordinates become integers

Anchor = Literal["la", "ma", "ra", "lm", "mm", "rm", "ls", "ms", "rs"]
"""Pillow's text anchors: left, middle, right; ascender, middle, baseline."""


@lru_cache(maxsize=64)
def font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans (it comes with matplotlib and knows Latin, Greek, Cyrillic and signs) at a letter height."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size_px)


def text_width(text: str, size_px: float, bold: bool = False) -> float:
    """The advance (px) of a line of text."""
    return font(round(size_px * _FINER), bold).getlength(text) / _FINER


def shortened(text: str, width_px: float, size_px: float, bold: bool = False) -> str:
    """The text, with an ellipsis in its middle where it is wider than `width_px`."""
    if text_width(text, size_px, bold) <= width_px:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head, tail = (kept + 1) // 2, kept // 2
        candidate = f"{text[:head]}…{text[len(text) - tail :]}"
        if text_width(candidate, size_px, bold) <= width_px:
            return candidate
    return ""


class Canvas:
    """A picture to draw on; sizes, widths and positions in its own pixels (corner origin), any fraction allowed."""

    def __init__(self, size: tuple[int, int], colour: Colour) -> None:
        self.size = size
        self._image = Image.new("RGB", (size[0] * _FINER, size[1] * _FINER), colour)
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def copied(self) -> Canvas:
        """A second canvas with the same content."""
        copy = object.__new__(Canvas)
        copy.size, copy._image = self.size, self._image.copy()
        copy._draw = ImageDraw.Draw(copy._image, "RGBA")
        return copy

    def finished(self) -> Image.Image:
        """The picture at its own size."""
        return self._image.reduce(_FINER)

    def line(self, points: np.ndarray | Sequence, colour: Colour, width: float = 1.0, alpha: float = 1.0) -> None:
        """A line through (n, 2) points; parts far outside the canvas are left out."""
        margin = np.asarray(self.size, dtype=np.float64)
        for start, end in zip(points[:-1], points[1:], strict=True):
            cut = clipped_segment(np.asarray(start, float), np.asarray(end, float), -margin, 2.0 * margin)
            if cut is not None:
                flat = [float(v) * _FINER for point in cut for v in point]
                self._draw.line(flat, fill=_paint(colour, alpha), width=max(1, round(width * _FINER)))

    def limb(self, start: np.ndarray, end: np.ndarray, colour: Colour, width: float, alpha: float = 1.0) -> None:
        """A thick line with round ends."""
        self.line([start, end], colour, width, alpha)
        if alpha == 1.0:  # round ends would show twice in translucent limbs
            self.dot(start, width / 2.0, colour)
            self.dot(end, width / 2.0, colour)

    def dashes(self, start: np.ndarray, end: np.ndarray, colour: Colour, width: float = 1.0, dash: float = 6.0) -> None:
        """A dashed straight line; a dash and the gap after it are equally long."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        length = float(np.linalg.norm(end - start))
        if length < 1e-6:
            return
        for begin in np.arange(0.0, min(length, 4.0 * max(self.size)), 2.0 * dash):
            stop = min(begin + dash, length)
            self.line([start + (end - start) * begin / length, start + (end - start) * stop / length], colour, width)

    def dot(self, center: np.ndarray | Sequence[float], radius: float, colour: Colour, alpha: float = 1.0) -> None:
        """A filled disc."""
        self._draw.ellipse(self._box(center, radius), fill=_paint(colour, alpha))

    def ring(self, center: np.ndarray | Sequence[float], radius: float, colour: Colour, width: float = 1.0) -> None:
        """A circle line."""
        self._draw.ellipse(self._box(center, radius), outline=colour, width=max(1, round(width * _FINER)))

    def polygon(self, points: np.ndarray | Sequence, colour: Colour, alpha: float = 1.0) -> None:
        """A filled polygon of (n, 2) points."""
        inside = np.clip(np.asarray(points, dtype=np.float64) * _FINER, -_FAR_PX, _FAR_PX)
        if len(inside) >= 3:
            self._draw.polygon([tuple(point) for point in inside.tolist()], fill=_paint(colour, alpha))

    def haze(self, polygons: Sequence[np.ndarray], colour: Colour, alpha: float) -> None:
        """Filled polygons that overlap as one shape: where several lie over each other, it is no denser."""
        inside = [np.clip(np.asarray(each, dtype=np.float64) * _FINER, -_FAR_PX, _FAR_PX) for each in polygons]
        if not inside:
            return
        corners = np.concatenate(inside)
        low = np.floor(corners.min(axis=0)).clip(0, self._image.size).astype(int)
        high = np.ceil(corners.max(axis=0) + 1.0).clip(0, self._image.size).astype(int)
        if (high <= low).any():
            return
        mask = Image.new("L", tuple((high - low).tolist()))
        painter = ImageDraw.Draw(mask)
        for each in inside:
            painter.polygon([tuple(point) for point in (each - low).tolist()], fill=round(255 * alpha))
        self._image.paste(colour, tuple(low.tolist()), mask)

    def box(
        self,
        corners: tuple[float, float, float, float],
        fill: Colour | None,
        outline: Colour | None = None,
        radius: float = 0.0,
        alpha: float = 1.0,
    ) -> None:
        """A rectangle x0, y0, x1, y1 with round corners."""
        x0, y0, x1, y1 = (value * _FINER for value in corners)
        paint = None if fill is None else _paint(fill, alpha)
        self._draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius * _FINER, paint, outline, _FINER)

    def text(
        self,
        position: np.ndarray | Sequence[float],
        text: str,
        size: float,
        colour: Colour,
        *,
        bold: bool = False,
        anchor: Anchor = "la",
        casing: Colour | None = None,
    ) -> None:
        """One line of text; `casing` draws a thin border around its letters, for text on pictures."""
        spot = (float(position[0]) * _FINER, float(position[1]) * _FINER)
        border = 0 if casing is None else _FINER
        letters = font(round(size * _FINER), bold)
        self._draw.text(spot, text, colour, letters, anchor, stroke_width=border, stroke_fill=casing)

    def paste(self, picture: UInt8[np.ndarray, "height width 3"], corners: tuple[float, float, float, float]) -> None:
        """A picture, resized into the rectangle x0, y0, x1, y1."""
        x0, y0, x1, y1 = (round(value * _FINER) for value in corners)
        source = Image.fromarray(np.ascontiguousarray(picture))
        resized = source.resize((max(1, x1 - x0), max(1, y1 - y0)), Image.Resampling.BILINEAR, reducing_gap=2.0)
        self._image.paste(resized, (x0, y0))

    def _box(self, center: np.ndarray | Sequence[float], radius: float) -> list[float]:
        x, y = (float(np.clip(v, -_FAR_PX, _FAR_PX)) * _FINER for v in center)
        return [x - radius * _FINER, y - radius * _FINER, x + radius * _FINER, y + radius * _FINER]


def clipped_segment(
    start: Float[np.ndarray, "2"],
    end: Float[np.ndarray, "2"],
    low: Float[np.ndarray, "2"],
    high: Float[np.ndarray, "2"],
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]] | None:
    """The part of a segment inside an axis-parallel box, or None (Liang and Barsky, 1984)."""
    step, enter, leave = end - start, 0.0, 1.0
    for axis in range(2):
        if step[axis] == 0.0:
            if not low[axis] <= start[axis] <= high[axis]:
                return None
            continue
        near, far = sorted(((low[axis] - start[axis]) / step[axis], (high[axis] - start[axis]) / step[axis]))
        enter, leave = max(enter, near), min(leave, far)
    return None if enter > leave else (start + enter * step, start + leave * step)


def _paint(colour: Colour, alpha: float) -> tuple[int, ...]:
    return colour if alpha >= 1.0 else (*colour, round(255 * alpha))
