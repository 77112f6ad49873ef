"""What the cascade's 2D estimator learns from (section 4.1): squared errors of heat-maps and L1 errors of places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.methods.abspose.estimator import STRIDE, Seen
from sightline.nn.heatmaps import gaussian_maps, label_widths


@dataclass(frozen=True, kw_only=True)
class EstimatorLossConfig:
    """Weights of both parts, and how true maps are drawn."""

    maps: float = 1.0
    """Of maps: squared errors summed up, over those of empty maps, so that knowing nothing costs 1 at any width."""
    places: float = 10.0
    """Of places: mean absolute errors along x and y, in crop sizes."""
    sigma_cells: float = 2.0
    """Width of the true maps' Gaussians."""

    def __post_init__(self) -> None:
        if not (min(self.maps, self.places) >= 0 and self.sigma_cells > 0):
            raise ValueError(f"loss: expected weights of at least 0 and a positive width, got {self}")


class EstimatorLoss(NamedTuple):
    """Both parts, weighted; a part of which nothing is known is 0."""

    maps: Float[Tensor, ""]
    places: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Their sum."""
        return self.maps + self.places


def estimator_loss(
    seen: Seen,
    points_px: Float[Tensor, "batch joint 2"],
    coarse: Bool[Tensor, " batch"] | None = None,
    config: EstimatorLossConfig = EstimatorLossConfig(),
) -> EstimatorLoss:
    """Return the loss of crops, means over the joints that are known.

    A joint that lies outside its crop has an empty map and no place: the network learns that it is not there.

    Args:
        seen: the network's answers.
        points_px: where joints are in the crops; NaN where that is not known.
        coarse: whose joints were placed by people or by other definitions: their maps are `COARSER` times as broad.
        config: weights.
    """
    rows, columns = seen.maps.shape[-2:]
    known = points_px.isfinite().all(-1)
    size = points_px.new_tensor((columns * STRIDE, rows * STRIDE))
    inside = known & ((points_px >= 0) & (points_px <= size)).all(-1)
    place = torch.where(inside[..., None], points_px, torch.nan)
    sigma = label_widths(config.sigma_cells, coarse)
    true = gaussian_maps(place / STRIDE, (columns, rows), sigma)
    wrong = (seen.maps - true).square().sum((-2, -1)) / (torch.pi * sigma**2)
    there = inside & seen.points_px.isfinite().all(-1)
    apart = (torch.where(there[..., None], seen.points_px - points_px, 0.0).abs() / size).mean(-1)
    return EstimatorLoss(
        maps=config.maps * torch.where(known, wrong, 0.0).sum() / known.sum().clamp(min=1),
        places=config.places * apart.sum() / there.sum().clamp(min=1),
    )
