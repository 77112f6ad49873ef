"""Names and distances beside people: small plates that never overlap, never leave the panel, and say whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sightline.viewer.canvas import Canvas, text_width
from sightline.viewer.style import PALETTE, Colour, TypeScale

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Label:
    """What stands beside one person: the id on a plate of the person's colour, then the distance."""

    anchor_px: tuple[float, float]
    badge: str
    text: str
    colour: Colour


def metres(value: float) -> str:
    """A distance as it is printed everywhere: `3.42 m`."""
    return f"{value:.2f} m"


def metres_about(value: float, sigma: float | None) -> str:
    """A distance with its 68 % half-width where one is stated: `3.42 ± 0.18 m`."""
    return metres(value) if sigma is None else f"{value:.2f} ± {metres(sigma)}"


def draw_labels(
    canvas: Canvas,
    labels: Sequence[Label],
    scale: TypeScale,
    *,
    reach_px: float,
    prefer: str = "above",
    taken: Sequence[Box] = (),
) -> list[Box]:
    """Place and draw the labels about `reach_px` from their anchors; returns their boxes.

    An anchor outside the canvas (a person outside the view) keeps its label at the nearest edge. A label that had to
    move away from its person is tied to it by a thin line.
    """
    sizes = [_size(label, scale) for label in labels]
    boxes = placed([label.anchor_px for label in labels], sizes, canvas.size, reach_px, prefer, taken)
    for label, box in zip(labels, boxes, strict=True):
        _tie(canvas, label, box, reach_px)
    for label, box in zip(labels, boxes, strict=True):
        _plate(canvas, label, box, scale)
    return boxes


def head_box(label: Label, scale: TypeScale) -> Box:
    """The spot of a person's head, which the labels of others should leave free."""
    x, y = label.anchor_px
    half = 0.6 * scale.label
    return x - half, y - 0.3 * half, x + half, y + 2.0 * half


def reserved(canvas_size: tuple[int, int], scale: TypeScale) -> list[Box]:
    """Where a panel's heading and its small print stand."""
    width, height = canvas_size
    return [(0.0, 0.0, width, 2.2 * scale.note), (0.0, height - 2.2 * scale.tick, width, float(height))]


def placed(
    anchors_px: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    canvas_size: tuple[int, int],
    reach_px: float,
    prefer: str = "above",
    taken: Sequence[Box] = (),
) -> list[Box]:
    """A free box for every label, in order: the cheapest of many spots around its anchor."""
    boxes: list[Box] = []
    for anchor, size in zip(anchors_px, sizes, strict=True):
        spots = _spots(anchor, size, canvas_size, reach_px, prefer)
        costs = [cost + 50.0 * sum(_overlap(box, other) for other in (*boxes, *taken)) for cost, box in spots]
        boxes.append(spots[int(np.argmin(costs))][1])
    return boxes


def _spots(
    anchor: tuple[float, float], size: tuple[float, float], canvas: tuple[int, int], reach: float, prefer: str
) -> list[tuple[float, Box]]:
    """Boxes around the anchor, ring by ring, with their cost: far away and off the preferred side is worse."""
    (w, h), margin = size, 6.0
    first = {"above": -np.pi / 2, "right": 0.0}[prefer]
    spots = []
    for step, distance in enumerate((0.0, 0.6, 1.3, 2.2, 3.4, 5.0)):
        for turn in np.linspace(-np.pi, np.pi, 16, endpoint=False):
            away = np.array([np.cos(first + turn), np.sin(first + turn)])
            # The box touches a circle around the anchor with the side that faces it.
            center = np.asarray(anchor) + away * (reach + distance * h) + away * np.array([w / 2.0, h / 2.0])
            x = float(np.clip(center[0] - w / 2.0, margin, max(margin, canvas[0] - w - margin)))
            y = float(np.clip(center[1] - h / 2.0, margin, max(margin, canvas[1] - h - margin)))
            clamped = float(np.hypot(x + w / 2.0 - center[0], y + h / 2.0 - center[1]))
            spots.append((20.0 * step + 6.0 * abs(turn) + 0.5 * clamped, (x, y, x + w, y + h)))
    return spots


def _overlap(a: Box, b: Box, gap: float = 4.0) -> float:
    """The common area (px²) of two boxes with a gap around them."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + gap
    height = min(a[3], b[3]) - max(a[1], b[1]) + gap
    return max(0.0, width) * max(0.0, height)


def _size(label: Label, scale: TypeScale) -> tuple[float, float]:
    height = 1.5 * scale.label
    badge = _badge_width(label, scale)
    words = text_width(label.text, scale.label, bold=True) + 0.9 * scale.label if label.text else 0.0
    return badge + words, height


def _badge_width(label: Label, scale: TypeScale) -> float:
    return max(1.5 * scale.label, text_width(label.badge, scale.label, bold=True) + 0.8 * scale.label)


def _plate(canvas: Canvas, label: Label, box: Box, scale: TypeScale) -> None:
    x0, y0, _, y1 = box
    badge, middle, round_px = _badge_width(label, scale), (y0 + y1) / 2.0, 0.3 * scale.label
    if label.text:
        canvas.box(box, PALETTE.casing, radius=round_px, alpha=0.85)
        spot = (x0 + badge + 0.4 * scale.label, middle)
        canvas.text(spot, label.text, scale.label, PALETTE.text, bold=True, anchor="lm")
    canvas.box((x0, y0, x0 + badge, y1), label.colour, radius=round_px)
    if label.badge:
        canvas.text((x0 + badge / 2.0, middle), label.badge, scale.label, PALETTE.casing, bold=True, anchor="mm")


def _tie(canvas: Canvas, label: Label, box: Box, reach: float) -> None:
    anchor = np.asarray(label.anchor_px, dtype=np.float64)
    nearest: Float[np.ndarray, "2"] = np.clip(anchor, [box[0], box[1]], [box[2], box[3]])
    if np.linalg.norm(nearest - anchor) > reach + 8.0:
        canvas.line([anchor, nearest], label.colour, 1.5, alpha=0.7)
