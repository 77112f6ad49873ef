"""Skeletons as people: thick limbs with a dark edge, light on the left side of the body and deep on the right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from sightline.skeleton import Skeleton
from sightline.viewer.canvas import Canvas
from sightline.viewer.style import PALETTE, Colour, Side, toned


def draw_body(
    canvas: Canvas,
    points: Float[np.ndarray, "joint 2"],
    skeleton: Skeleton,
    sides: Sequence[Side],
    colour: Colour,
    width: float | Float[np.ndarray, "joint"],
    *,
    depth: Float[np.ndarray, "joint"] | None = None,
    edge: float = 1.25,
) -> None:
    """Draw the limbs and joints of one person (picture px); a limb with a missing joint (NaN) is left out.

    `width` (px) may differ per joint; `edge` is the width of the dark border. With `depth`, far limbs come first.
    """
    widths = np.broadcast_to(np.asarray(width, dtype=np.float64), (len(skeleton),))
    known = np.asarray(np.isfinite(points).all(axis=-1))
    bones = [(child, parent) for child, parent in skeleton.bones if known[child] and known[parent]]
    if depth is not None:
        bones.sort(key=lambda bone: -(depth[bone[0]] + depth[bone[1]]))
    for child, parent in bones:
        thick = float(widths[child] + widths[parent]) / 2.0
        canvas.limb(points[child], points[parent], PALETTE.casing, thick + 2.0 * edge)
        canvas.limb(points[child], points[parent], toned(colour, sides[child]), thick)
    for joint in np.flatnonzero(known).tolist():
        radius = float(widths[joint]) * (0.95 if skeleton.joints[joint] == "Head" else 0.62)
        canvas.dot(points[joint], radius, toned(colour, sides[joint]))


def draw_ghost(
    canvas: Canvas, points: Float[np.ndarray, "joint 2"], skeleton: Skeleton, colour: Colour, width: float, alpha: float
) -> None:
    """Draw a skeleton as faint lines without joints, as one shape."""
    known = np.asarray(np.isfinite(points).all(axis=-1))
    pairs = [points[[child, parent]] for child, parent in skeleton.bones if known[child] and known[parent]]
    canvas.haze([_bar(pair[0], pair[1], width) for pair in pairs], colour, alpha)


def _bar(start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"], width: float) -> Float[np.ndarray, "corner 2"]:
    """The outline of a line of a width with round ends."""
    along = end - start
    turn = float(np.arctan2(along[1], along[0])) + np.linspace(0.5 * np.pi, 1.5 * np.pi, 7)
    cap = 0.5 * width * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    return np.concatenate([start + cap, end - cap])


def draw_wire(
    canvas: Canvas, points: Float[np.ndarray, "joint 2"], skeleton: Skeleton, colour: Colour, width: float
) -> None:
    """Draw a skeleton as thin lines with small rings at its joints."""
    known = np.asarray(np.isfinite(points).all(axis=-1))
    for child, parent in skeleton.bones:
        if known[child] and known[parent]:
            canvas.line([points[child], points[parent]], colour, width, alpha=0.9)
    for joint in np.flatnonzero(known):
        canvas.ring(points[joint], 2.0 * width, colour, width)
