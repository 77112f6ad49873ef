"""What a camera sees, as rays: the border of its picture, and its field of view from left to right."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from sightline.camera import Camera

_PER_SIDE = 12


def border_rays(camera: Camera) -> Float[np.ndarray, "ray 3"]:
    """Rays (camera frame) through the picture's border, clockwise from the top-left corner.

    They end on the plane at depth 1 where the lens allows it, else (fisheye) on the unit sphere. Border points that
    the lens cannot map are left out, so there may be none.
    """
    w, h = camera.image_size.tolist()
    t = np.linspace(0.0, 1.0, _PER_SIDE, endpoint=False)
    sides = [(t * w, 0 * t), (w + 0 * t, t * h), (w - t * w, h + 0 * t), (0 * t, h - t * h)]
    rays = _rays(camera, np.concatenate([np.stack(side, axis=-1) for side in sides]))
    if len(rays) and rays[:, 2].min() > 0.35:
        return rays / rays[:, 2:]
    return rays


def horizontal_rays(camera: Camera) -> Float[np.ndarray, "2 3"]:
    """The leftmost and rightmost ray (unit, camera frame) on the row of the principal point."""
    w = float(camera.image_size[0])
    row = np.full(257, float(camera.center_px[1]))
    rays = _rays(camera, np.stack([np.linspace(0.0, w, 257), row], axis=-1))
    if len(rays) == 0:
        return np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    return np.stack([rays[0], rays[-1]])


def horizontal_fov_rad(camera: Camera) -> float:
    """The angle between those two rays; beyond a half turn for lenses that see behind themselves."""
    left, right = horizontal_rays(camera)
    return float(np.arctan2(right[0], right[2]) - np.arctan2(left[0], left[2]))


def projected(camera: Camera, points_cam: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 2"]:
    """Camera-frame points (m) to pixels in NumPy; NaN where a point is missing or cannot be seen."""
    points_px, valid = camera.project(torch.as_tensor(np.array(points_cam), dtype=camera.dtype, device=camera.device))
    return np.where(valid.cpu().numpy()[:, None], points_px.detach().cpu().numpy(), np.nan).astype(np.float64)


def _rays(camera: Camera, points_px: Float[np.ndarray, "point 2"]) -> Float[np.ndarray, "ray 3"]:
    rays, valid = camera.unproject(torch.as_tensor(points_px, dtype=camera.dtype, device=camera.device))
    kept = rays[valid & torch.isfinite(rays).all(dim=-1)]
    return kept.detach().cpu().numpy().astype(np.float64)
