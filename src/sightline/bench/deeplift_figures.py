"""The paper's figure 2 from own poses: aligned motion capture along its first two principal components."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree

from sightline.formats.atomic import atomic_path
from sightline.methods.deeplift.shapes import to_joints
from sightline.skeleton import get_skeleton

_COMPONENTS = ("#e0a458", "#5b9bd5", "#7fb069", "#b07fb0", "#c97b63", "#8d99ae")
_RIGHT, _LEFT, _MIDDLE = "#b3202c", "#123d5a", "#2b2b2b"
_TURN = math.radians(20.0)
"""People are drawn from the front and a little from the side, which shows noses as well."""
_HEIGHT = 1 / 13
"""Length of a body size in the figure, as a share of the plane's longer side; an adult is about 1.6 of them tall."""
_APART = np.array([1.1, 1.6])
"""How far stick figures stay from each other, in those lengths, along x and y."""
_NEIGHBOURS = 4
"""Poses that a drawn one has close by, so that no single odd frame stands for many."""
_SHOWN = (0.0005, 0.9995)
"""Quantiles along each axis beyond which dots are left out, so that few odd poses do not shrink all others."""


class Plane(NamedTuple):
    """Poses by their first two principal components."""

    places: Float[np.ndarray, "pose 2"]
    means: Float[np.ndarray, "component 2"]
    explained: Float[np.ndarray, "2"]
    """Share of the variance."""


def draw_figures(drawn: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw figure 2 as PNG: poses as dots in their component's colour, some of them and the means as stick figures.

    Args:
        drawn: what `deeplift_runs.figure_points` returns.
        folder: made where it is missing.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "deeplift_poses.png"
    shapes, means = np.asarray(drawn["shapes"]), np.asarray(drawn["means"])
    component = np.asarray(drawn["component"])
    plane, right = principal_plane(shapes, means), to_the_right(shapes)
    figure = Figure(figsize=(10.8, 7.2), dpi=130, layout="constrained")
    grid = figure.add_gridspec(len(means), 2, width_ratios=(6, 1))
    _cloud(figure.add_subplot(grid[:, 0]), plane, component, seen_along(shapes, right))
    for number, joints in enumerate(seen_along(means, right)):
        share = float((component == number).mean())
        _mean(figure.add_subplot(grid[number, 1]), joints, _colour(number), share)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
    return [path]


def principal_plane(shapes: Float[np.ndarray, "pose 48"], means: Float[np.ndarray, "component 48"]) -> Plane:
    """Place poses and means in the plane in which the poses vary most."""
    middle = shapes.mean(0)
    values, vectors = np.linalg.eigh(np.cov(shapes.T))
    axes = vectors[:, [-1, -2]]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), [0, 1]])
    return Plane((shapes - middle) @ axes, (means - middle) @ axes, values[[-1, -2]] / values.sum())


def spread_poses(places: Float[np.ndarray, "pose 2"], apart: Float[np.ndarray, "2"]) -> list[int]:
    """Choose poses one after the other, each as far as can be from those before, until the next would be too near.

    Args:
        places: in the plane.
        apart: how far two of them stay from each other along x or y; none has fewer than a few others within a third.
    """
    scaled = places / apart
    crowd, _ = KDTree(scaled).query(scaled, k=_NEIGHBOURS + 1)
    allowed = crowd[:, -1] < 1 / 3
    if not allowed.any():
        return []
    chosen = [int(np.where(allowed, np.linalg.norm(scaled - np.median(scaled, axis=0), axis=1), np.inf).argmin())]
    nearest = np.full(len(places), np.inf)
    while True:
        nearest = np.minimum(nearest, np.abs(scaled - scaled[chosen[-1]]).max(1))
        following = int(np.where(allowed, nearest, -1.0).argmax())
        if nearest[following] < 1:
            return chosen
        chosen.append(following)


def to_the_right(shapes: Float[np.ndarray, "pose 48"]) -> Float[np.ndarray, "3"]:
    """Return the viewer's right, level, for one who sees the aligned people about from the front.

    On the whole their hips, from the right to the left one, then point to that side.
    """
    skeleton = get_skeleton("h36m17")
    hips = to_joints(torch.from_numpy(shapes)).numpy()[:, [skeleton.index("RHip"), skeleton.index("LHip")]]
    across = (hips[:, 1] - hips[:, 0])[:, :2].mean(0)
    angle = math.atan2(across[1], across[0]) + _TURN
    return np.array([math.cos(angle), math.sin(angle), 0.0])


def seen_along(shapes: Float[np.ndarray, "pose 48"], right: Float[np.ndarray, "3"]) -> Float[np.ndarray, "pose 17 2"]:
    """Return joints as a viewer with that right side sees them, x to the right and y up."""
    return to_joints(torch.from_numpy(shapes)).numpy() @ np.stack([right, [0.0, 0.0, 1.0]], axis=1)


def _cloud(axes: Any, plane: Plane, component: np.ndarray, joints: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    size = _HEIGHT * float(np.ptp(plane.places, axis=0).max())
    low, high = np.quantile(plane.places, _SHOWN, axis=0)
    inside = np.flatnonzero(((low <= plane.places) & (plane.places <= high)).all(1))
    order = np.random.default_rng(0).permutation(inside)
    colours = [_colour(int(component[row])) for row in order]
    axes.scatter(*plane.places[order].T, s=6, c=colours, alpha=0.4, linewidths=0, zorder=1)
    for row in spread_poses(plane.places, size * _APART):
        _stick_figure(axes, plane.places[row] + size * joints[row])
    for number, place in enumerate(plane.means):
        axes.scatter(*place, s=130, marker="D", color=_colour(number), edgecolors="black", linewidths=1.3, zorder=8)
    limbs = [
        Line2D([], [], color=colour, linewidth=2.5, label=f"{side} limbs")
        for side, colour in (("right", _RIGHT), ("left", _LEFT))
    ]
    mean = Line2D([], [], marker="D", linestyle="", color="white", markeredgecolor="black", label="means")
    axes.legend(handles=[*limbs, mean], frameon=False, loc="upper right")
    first, second = 100 * plane.explained
    axes.set_xlabel(f"first principal component ({first:.0f} % of the variance)")
    axes.set_ylabel(f"second principal component ({second:.0f} % of the variance)")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.01)
    axes.spines[["top", "right"]].set_visible(False)


def _mean(axes: Any, joints: np.ndarray, colour: str, share: float) -> None:
    _stick_figure(axes, joints, width=3.0, halo=13.0, colour=colour)
    axes.set_title(f"mean of {100 * share:.0f} %", fontsize=10)
    axes.set_aspect("equal")
    axes.margins(0.15)
    axes.axis("off")


def _stick_figure(
    axes: Any, points: np.ndarray, *, width: float = 1.8, halo: float = 4.2, colour: str = "white"
) -> None:
    skeleton = get_skeleton("h36m17")
    for joint, parent in skeleton.bones:
        axes.plot(
            *points[[joint, parent]].T,
            color=colour,
            linewidth=halo,
            solid_capstyle="round",
            zorder=3,
            alpha=0.85,
            clip_on=False,
        )
    for joint, parent in skeleton.bones:
        side = {"R": _RIGHT, "L": _LEFT}.get(skeleton.joints[joint][0], _MIDDLE)
        axes.plot(
            *points[[joint, parent]].T, color=side, linewidth=width, solid_capstyle="round", zorder=4, clip_on=False
        )


def _colour(component: int) -> str:
    return _COMPONENTS[component % len(_COMPONENTS)]
