"""From rays, or the middles of boxes, to their angles to the optical axis: all of a batch at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.camera import Camera


def angles_of_rays(rays: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Return the angles (rad, 0 to π) of rays of any length to the optical axis; NaN for rays that are NaN.

    φ of paper 001, eq. 14, by the arctangent: the arccosine of the paper loses half of all digits near the axis.
    """
    x, y, z = rays.unbind(-1)
    return torch.atan2(torch.hypot(x, y), z)


def angles_of_boxes(camera: Camera, boxes_px: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch"]:
    """Return φ (rad): the angles between the rays through the middles of boxes and the optical axis.

    Args:
        camera: one for all boxes, or one for each; any lens.
        boxes_px: left, top, right, bottom; corner origin.

    NaN for boxes with NaN in them, and for middles that the lens sees no ray at.
    """
    middles = 0.5 * (boxes_px[..., :2] + boxes_px[..., 2:])
    if not camera.batch_shape:
        return angles_of_rays(camera.unproject(middles)[0])
    return angles_of_rays(camera.unproject(middles[..., None, :])[0].squeeze(-2))
