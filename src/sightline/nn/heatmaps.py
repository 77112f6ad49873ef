"""Heat-maps of joints: drawn as Gaussians, and read by the mean place that they say.

Places have corner origin: the middle of a map's first cell is at half a cell.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

COARSER: Final = 2.0
"""How many times broader joints are drawn whose labels are coarse: placed by people, or by other definitions."""
_FAR: Final = 40.0
"""Widths beyond which a Gaussian is 0 in any precision."""


def softmax_place(heat: Float[Tensor, "batch joint height width"], stride: float) -> Float[Tensor, "batch joint 2"]:
    """Return the expected place (px) of a softmax over each map, whose cells are `stride` px wide; middles count."""
    heat = heat if heat.dtype == torch.float64 else heat.float()
    return mean_place(heat.flatten(-2).softmax(-1).view_as(heat), stride)


def mean_place(share: Float[Tensor, "batch joint height width"], stride: float) -> Float[Tensor, "batch joint 2"]:
    """Return the mean place (px) of maps that sum to 1."""
    x, y = (cell_middles(count, share) * stride for count in reversed(share.shape[-2:]))
    return torch.stack((share.sum(-2) @ x, share.sum(-1) @ y), dim=-1)


def gaussian_maps(
    place: Float[Tensor, "*batch joint 2"], size_wh: tuple[int, int], sigma: float | Float[Tensor, "*#batch #joint"]
) -> Float[Tensor, "*batch joint height width"]:
    """Draw each joint as a Gaussian of height 1 about its exact place; at least in single precision.

    Joints outside the map fade with their distance; those that are not finite give an empty map and no gradient.

    Args:
        place: joints, in cells of the map.
        size_wh: cells across and down.
        sigma: widths of the Gaussians, in cells.

    Raises:
        ValueError: for a width that is not positive.
    """
    widths = torch.as_tensor(sigma)
    if not bool((widths > 0).all()):
        raise ValueError(f"sigma: expected positive numbers, got {float(widths.min()):g}")
    work = place.to(torch.promote_types(place.dtype, torch.float32))
    known = work.isfinite().all(-1, keepdim=True)
    across, down = gaussian_factors(torch.where(known, work, 0.0), size_wh, sigma)
    return torch.where(known[..., None], down[..., :, None] * across[..., None, :], 0.0)


def gaussian_factors(
    place: Float[Tensor, "*batch joint 2"], size_wh: tuple[int, int], sigma: float | Float[Tensor, "*#batch #joint"]
) -> tuple[Float[Tensor, "*batch joint width"], Float[Tensor, "*batch joint height"]]:
    """Return the two factors of the Gaussians of `gaussian_maps` about finite places: over columns and over rows."""
    widths = sigma[..., None] if isinstance(sigma, Tensor) else sigma
    across, down = (
        bell(((cell_middles(count, place) - place[..., axis, None]) / widths).clamp(-_FAR, _FAR))
        for axis, count in enumerate(size_wh)
    )
    return across, down


def bell(widths_off: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return a Gaussian of height 1, so many widths off its middle."""
    return (-0.5 * widths_off.square()).exp()


def cell_middles(count: int, like: Tensor) -> Float[Tensor, " count"]:
    """Return the middles of cells along one side of a map, in cells."""
    return torch.arange(count, dtype=like.dtype, device=like.device) + 0.5


def label_widths(sigma: float, coarse: Bool[Tensor, " batch"] | None) -> float | Float[Tensor, "batch 1"]:
    """Return the widths of Gaussians for crops, of whose labels some may be coarse."""
    return sigma if coarse is None else sigma * torch.where(coarse, COARSER, 1.0)[:, None]
