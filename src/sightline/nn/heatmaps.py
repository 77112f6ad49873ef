"""Heat-maps of joints: drawn as Gaussians, and read by the mean place that they say.

Places are pixels with corner origin: cells of a map are `stride` px wide, the first one's middle at half of that.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def soft_argmax(heat: Float[Tensor, "batch joint height width"], stride: float) -> Float[Tensor, "batch joint 2"]:
    """Return the expected place (px) of a softmax over each map, whose cells are `stride` px wide; middles count."""
    heat = heat if heat.dtype == torch.float64 else heat.float()
    return mean_place(heat.flatten(-2).softmax(-1).view_as(heat), stride)


def mean_place(share: Float[Tensor, "batch joint height width"], stride: float) -> Float[Tensor, "batch joint 2"]:
    """Return the mean place (px) of maps that sum to 1."""
    x, y = (
        (torch.arange(n, dtype=share.dtype, device=share.device) + 0.5) * stride for n in reversed(share.shape[-2:])
    )
    return torch.stack((share.sum(-2) @ x, share.sum(-1) @ y), dim=-1)


def gaussian_maps(
    place_px: Float[Tensor, "*batch joint 2"], size_wh: tuple[int, int], stride: float, sigma_cells: float
) -> Float[Tensor, "*batch joint height width"]:
    """Draw each joint as a Gaussian of height 1 about its exact place; an empty map where that is not finite.

    Args:
        place_px: joints.
        size_wh: cells of a map, across and down.
        stride: px per cell.
        sigma_cells: width of the Gaussian.

    Raises:
        ValueError: for a width that is not positive.
    """
    if not sigma_cells > 0:
        raise ValueError(f"sigma_cells: expected a positive number, got {sigma_cells}")
    known = place_px.isfinite().all(-1, keepdim=True)
    place = torch.where(known, place_px / stride, -1e6)
    across, down = (
        torch.exp(-0.5 * ((torch.arange(cells, device=place.device) + 0.5 - place[..., axis, None]) / sigma_cells) ** 2)
        for axis, cells in enumerate(size_wh)
    )
    return down[..., :, None] * across[..., None, :]
