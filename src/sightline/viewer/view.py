"""The eye of the 3D view: a small perspective of its own, set up so that a whole scene fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_NEAR_M = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """An eye on the ground frame. `view_from_ground` has the rows right, down, ahead."""

    eye_ground: Float[np.ndarray, "3"]
    view_from_ground: Float[np.ndarray, "3 3"]
    focal_px: float
    center_px: Float[np.ndarray, "2"]

    def seen(self, points_ground: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Ground-frame points (m) as picture x, y (px) and depth (m); NaN x and y behind the eye."""
        points = (points_ground - self.eye_ground) @ self.view_from_ground.T
        depth = points[..., 2:]
        front = np.where(depth > _NEAR_M, depth, np.nan)
        return np.concatenate([points[..., :2] / front * self.focal_px + self.center_px, depth], axis=-1)

    def segment(self, start: Float[np.ndarray, "3"], end: Float[np.ndarray, "3"]) -> Float[np.ndarray, "2 2"] | None:
        """A ground-frame segment on the picture (px), cut at the eye's near plane; None where it lies behind."""
        depths = (np.stack([start, end]) - self.eye_ground) @ self.view_from_ground[2]
        if depths.max() <= 2.0 * _NEAR_M:
            return None
        if depths.min() < 2.0 * _NEAR_M:
            share = (2.0 * _NEAR_M - depths[0]) / (depths[1] - depths[0])
            cut = start + share * (end - start)
            start, end = (cut, end) if depths[0] < depths[1] else (start, cut)
        return self.seen(np.stack([start, end]))[:, :2]


def fitted_view(
    points_ground: Float[np.ndarray, "point 3"],
    size: tuple[int, int],
    *,
    azimuth_rad: float,
    elevation_rad: float,
    fov_rad: float = np.radians(32.0),
    margin: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
) -> View:
    """The nearest eye that sees all points inside the margins (px: left, top, right, bottom), centred.

    It looks ahead (+y of the ground frame), turned to the left by `azimuth_rad` (so it stands on the right) and
    down by `elevation_rad`; `fov_rad` is the angle across the picture's longer side.
    """
    ahead = np.array([-np.sin(azimuth_rad), np.cos(azimuth_rad), 0.0]) * np.cos(elevation_rad)
    ahead[2] = -np.sin(elevation_rad)
    right = np.array([np.cos(azimuth_rad), np.sin(azimuth_rad), 0.0])
    turn = np.stack([right, np.cross(ahead, right), ahead])
    focal = max(size) / 2.0 / np.tan(fov_rad / 2.0)
    room = np.array([size[0] - margin[0] - margin[2], size[1] - margin[1] - margin[3]]) / 2.0
    middle = np.array([size[0] + margin[0] - margin[2], size[1] + margin[1] - margin[3]]) / 2.0
    flat = points_ground @ turn.T
    eye = flat.mean(axis=0)
    for _ in range(40):
        # The depth at which the widest point just fits, then the middle of what that shows.
        eye[2] = float((flat[:, 2] - (np.abs(flat[:, :2] - eye[:2]) * focal / room).max(axis=1)).min())
        seen = (flat[:, :2] - eye[:2]) / (flat[:, 2:] - eye[2])
        off = (seen.max(axis=0) + seen.min(axis=0)) / 2.0
        eye[:2] += 0.7 * off * float(np.mean(flat[:, 2] - eye[2]))
    return View(eye_ground=turn.T @ eye, view_from_ground=turn, focal_px=float(focal), center_px=middle)
