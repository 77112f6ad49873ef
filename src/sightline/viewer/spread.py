"""Stated uncertainty as it is drawn: a haze of the places where a body may be, and the spread of one place.

`Person.sigma_m` says per joint and camera axis how far off 68 % of such statements are. As ellipsoids whose axes are
the camera's, those of all joints and of the limbs between them join to one translucent shape around a body: narrow
where a joint is known well, wide where it is not, and longest along the line of sight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float

from sightline.viewer.view import View

_CORNERS = 48
_AWAY = np.stack([f(np.linspace(0.0, 2.0 * np.pi, _CORNERS, endpoint=False)) for f in (np.cos, np.sin)], axis=-1)

Placing = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Points (n, 3) and covariances (n, 3, 3) on the ground frame → places (n, 2) and covariances (n, 2, 2) in px."""


def covariances(
    sigma_m: Float[np.ndarray, "joint 3"], ground_from_cam: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "joint 3 3"]:
    """Covariances (m²) on the ground frame of half-widths that are stated along the camera's axes; NaN stays NaN."""
    return np.einsum("ra,ja,ca->jrc", ground_from_cam, np.square(sigma_m), ground_from_cam)


def seen_from_above(px_per_m: float, place: Callable[[np.ndarray], np.ndarray]) -> Placing:
    """How the top view takes points and covariances: x to the right, y up, heights dropped."""
    turn = px_per_m * np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return lambda points, spread: (place(points), turn @ spread @ turn.T)


def seen_through(view: View) -> Placing:
    """How the 3D view takes them: to first order around each point, which is nearly exact at decimetres."""

    def placed(points: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = view.seen(points)
        away = (seen[:, :2] - view.center_px)[..., None] * view.view_from_ground[2]
        slope = (view.focal_px * view.view_from_ground[:2] - away) / np.maximum(seen[:, 2], 1e-6)[:, None, None]
        return seen[:, :2], slope @ spread @ slope.swapaxes(1, 2)

    return placed


def haze(
    joints_ground: Float[np.ndarray, "joint 3"],
    spread_ground: Float[np.ndarray, "joint 3 3"],
    bones: Iterable[tuple[int, int]],
    placing: Placing,
) -> list[Float[np.ndarray, "corner 2"]]:
    """Ellipses (px) around all joints whose spread is known, and what they sweep over along `bones` between two."""
    places_px, spread_px = placing(joints_ground, spread_ground)
    corners, reach = _outlines(places_px, spread_px)
    shapes = [shape for shape in corners if np.isfinite(shape).all()]
    for child, parent in bones:
        if np.isfinite(corners[[child, parent]]).all():
            # Both ellipses have a corner for each direction: the one that lies further out is the hull's.
            shapes.append(np.where((reach[child] >= reach[parent])[:, None], corners[child], corners[parent]))
    return shapes


def _outlines(
    places_px: Float[np.ndarray, "place 2"], spread_px: Float[np.ndarray, "place 2 2"]
) -> tuple[Float[np.ndarray, "place corner 2"], Float[np.ndarray, "place corner"]]:
    """Ellipses with half axes of one standard deviation: for each direction the outermost point, and how far it is."""
    pushed = np.einsum("pab,cb->pca", spread_px, _AWAY)
    half_width = np.sqrt(np.einsum("pca,ca->pc", pushed, _AWAY).clip(1e-12))
    corners = places_px[:, None, :] + pushed / half_width[..., None]
    return corners, places_px @ _AWAY.T + half_width
