"""How sharp a picture of a board is: the width of the edges between its squares."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import map_coordinates

_SAMPLES = 33
_LONGEST_PX = 8.0


def edge_width_px(
    grey: UInt8[np.ndarray, "height width"], grid: Float[np.ndarray, "rows columns 2"], share: float
) -> float:
    """Width of the edges (from 10 to 90 % of the step, px) in the middle between neighbouring corners.

    A Gaussian blur of σ gives 2.5 σ. Of the two directions of edges the less sharp one counts, since a moving camera
    blurs one of them. NaN where no two neighbours are known.

    Args:
        grey: the picture.
        grid: corners, px, centre origin; NaN where one is not known.
        share: how far across an edge nothing but that edge is seen, as a share of the corners' distance.
    """
    widths = [_widths(grey, grid, share), _widths(grey, grid.transpose(1, 0, 2), share)]
    known = [float(np.median(each)) for each in widths if len(each)]
    return max(known, default=float("nan"))


def _widths(
    grey: UInt8[np.ndarray, "height width"], grid: Float[np.ndarray, "rows columns 2"], share: float
) -> Float[np.ndarray, "edges"]:
    """Of the edges along the rows of the grid."""
    start, end = grid[:, :-1].reshape(-1, 2), grid[:, 1:].reshape(-1, 2)
    known = np.isfinite(start).all(-1) & np.isfinite(end).all(-1)
    start, end = start[known], end[known]
    along = end - start
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    across = along[:, ::-1] * [-1.0, 1.0] / length
    reach = np.clip(share * length, 1.5, _LONGEST_PX)
    offsets = np.linspace(-1.0, 1.0, _SAMPLES) * reach
    points = ((start + end) / 2.0)[:, None] + offsets[..., None] * across[:, None]
    profile = map_coordinates(grey.astype(np.float32), [points[..., 1], points[..., 0]], order=1, mode="nearest")
    steepest = np.abs(np.diff(profile, axis=-1)).max(-1) / (2.0 * reach[:, 0] / (_SAMPLES - 1))
    contrast = np.ptp(profile, axis=-1)
    visible = contrast > 20.0
    return contrast[visible] / steepest[visible]
