"""Where the three panels of a picture stand: the arrangement that shows each of them largest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Rect = tuple[int, int, int, int]
"""x0, y0, x1, y1 (px)."""

_SCENE_ASPECTS = (0.75, 1.9)  # shapes (width / height) in which a 3D view uses its whole panel …
_TOP_ASPECTS = (0.5, 1.6)  # … and a top view


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The rectangles of the title, the picture plane, the 3D view and the top view."""

    title: Rect
    picture: Rect
    scene: Rect
    top: Rect


def arranged(size: tuple[int, int], picture_aspect: float, unit: float) -> Layout:
    """The best of a few arrangements of three panels for a picture of this aspect (width / height).

    `unit` (px) is the gap between panels; the title takes five of them.
    """
    title = (2 * round(unit), round(unit), size[0] - 2 * round(unit), round(5.2 * unit))
    body = (2 * round(unit), round(6.2 * unit), size[0] - 2 * round(unit), size[1] - 2 * round(unit))
    best = max(_arrangements(body, round(unit), picture_aspect), key=lambda panels: _worth(panels, picture_aspect))
    return Layout(title=title, picture=best[0], scene=best[1], top=best[2])


def fitted(rect: Rect, aspect: float) -> Rect:
    """The largest rectangle of an aspect inside another, centred; its sides are at least one pixel."""
    x0, y0, x1, y1 = rect
    width = max(1, min(x1 - x0, round((y1 - y0) * aspect)))
    height = max(1, min(y1 - y0, round(width / aspect)))
    left, top = (x0 + x1 - width) // 2, (y0 + y1 - height) // 2
    return left, top, left + width, top + height


def _arrangements(body: Rect, gap: int, aspect: float) -> Iterator[tuple[Rect, Rect, Rect]]:
    """Picture, scene and top view: side by side, on top of each other, or two on one side and one on the other.

    The picture's panel has the picture's own shape wherever that leaves enough for the others.
    """
    width, height = body[2] - body[0], body[3] - body[1]
    full_height, full_width = aspect * height / (width - gap), width / aspect / (height - gap)
    for second in (0.4, 0.45, 0.5, 0.55, 0.6):
        left, right = _cut(body, min(full_height, 0.6), gap, across=True)
        yield left, *_cut(right, second, gap, across=True)
        yield left, *_cut(right, second, gap, across=False)
        upper, lower = _cut(body, min(full_width, 0.6), gap, across=False)
        yield upper, *_cut(lower, second, gap, across=False)
        yield upper, *_cut(lower, second, gap, across=True)
    for share in (0.3 + 0.02 * step for step in range(20)):
        left, right = _cut(body, share, gap, across=True)
        upper, lower = _cut(left, min((left[2] - left[0]) / aspect / (height - gap), 0.7), gap, across=False)
        yield upper, lower, right
        upper, lower = _cut(body, share, gap, across=False)
        first, other = _cut(upper, min((upper[3] - upper[1]) * aspect / (width - gap), 0.7), gap, across=True)
        yield first, other, lower


def _cut(rect: Rect, share: float, gap: int, *, across: bool) -> tuple[Rect, Rect]:
    """A rectangle in two parts with a gap: left and right (`across`) or upper and lower."""
    x0, y0, x1, y1 = rect
    if across:
        middle = round(x0 + (x1 - x0 - gap) * share)
        return (x0, y0, middle, y1), (middle + gap, y0, x1, y1)
    middle = round(y0 + (y1 - y0 - gap) * share)
    return (x0, y0, x1, middle), (x0, middle + gap, x1, y1)


def _worth(panels: tuple[Rect, Rect, Rect], aspect: float) -> float:
    """The product of the panels' useful areas: no panel may starve."""
    picture = _useful(panels[0], aspect, aspect)
    return picture * _useful(panels[1], *_SCENE_ASPECTS) * _useful(panels[2], *_TOP_ASPECTS) ** 0.7


def _useful(rect: Rect, low: float, high: float) -> float:
    """The area of the largest part of a rectangle whose aspect lies between two bounds."""
    width, height = max(1, rect[2] - rect[0]), max(1, rect[3] - rect[1])
    return float(min(width, height * high) * min(height, width / low))
