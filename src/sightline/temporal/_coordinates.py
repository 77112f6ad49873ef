"""What a camera measures well and badly, apart: the ray and distance of the root, the joints across and along it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float

_BEHIND: Final = -0.9  # cosine to the optical axis beyond which no shortest turn is sought
_LEAST_M: Final = 1e-6
_INDEPENDENT: Final = 0.1  # least share of a joint's variance that it does not have from the root
_TRUST_RANGE: Final = (0.02, 50.0)
_LEAST_CONFIDENCE: Final = 0.1


class Trust(NamedTuple):
    """Relative weights (inverse variances up to a factor) of joints relative to the root, and of the root itself."""

    across: Float[np.ndarray, "frame joint"]
    along: Float[np.ndarray, "frame joint"]


def ray_and_distance(
    points_cam: Float[np.ndarray, "*batch 3"],
) -> tuple[Float[np.ndarray, "*batch 3"], Float[np.ndarray, "*batch"]]:
    """Unit vectors from the camera to points, and their distances (m); NaN for missing points."""
    distance = np.maximum(np.linalg.norm(points_cam, axis=-1), _LEAST_M)
    return points_cam / distance[..., None], distance


def cam_from_ray(rays: Float[np.ndarray, "frame 3"]) -> Float[np.ndarray, "frame 3 3"]:
    """Turns that bring the optical axis (0, 0, 1) onto each ray by the shortest way.

    In the turned frame z is along the line of sight. For rays that look backwards the shortest way is ill-defined, so
    where there is one, nothing is turned.
    """
    x, y, z = rays.T
    if (z < _BEHIND).any():
        return np.broadcast_to(np.eye(3), (len(rays), 3, 3)).copy()
    share = 1.0 / (1.0 + z)
    return np.stack(
        [
            np.stack([1 - x * x * share, -x * y * share, x], axis=-1),
            np.stack([-x * y * share, 1 - y * y * share, y], axis=-1),
            np.stack([-x, -y, z], axis=-1),
        ],
        axis=-2,
    )


def trust_in(
    sigma_m: Float[np.ndarray, "frame joint 3"], confidence: Float[np.ndarray, "frame joint"], root: int
) -> Trust:
    """How much each joint of each frame is believed, compared with the same joint in other frames.

    By the stated standard deviations where there are any: absolute ones, so that of the root is taken out of the other
    joints' first. Only their course over time counts: their level holds errors too that stay, which no smoother can
    mend, and what is noise of it the series themselves show. Without them by confidence.
    """
    square = np.maximum(sigma_m, 1e-4) ** 2
    kinds = []
    for variance in ((square[..., 0] + square[..., 1]) / 2, square[..., 2]):
        own = variance[:, root].copy()
        relative = np.maximum(variance - own[:, None], _INDEPENDENT * variance)
        relative[:, root] = own
        kinds.append(_relative_to_usual(1.0 / relative, confidence))
    return Trust(*kinds)


def _relative_to_usual(weights: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Each joint's weights over their median in time; where nothing is stated, the confidence."""
    stated = np.isfinite(weights)
    if not stated.any():
        return np.maximum(confidence, _LEAST_CONFIDENCE)
    usual = np.ones(weights.shape[1])
    seen = stated.any(0)
    usual[seen] = np.nanmedian(weights[:, seen], axis=0)
    return np.clip(np.where(stated, weights / usual, 1.0), *_TRUST_RANGE)
