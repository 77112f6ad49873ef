"""What PersPose learns from (eq. 18): crops with their truth, of which any part may be unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.methods.perspose.model import Answers, PersPoseConfig
from sightline.methods.perspose.trunk import STRIDE

MEAN_STATURE_M: Final = 1.7


class Truth(NamedTuple):
    """The truth of crops, in the frame of each crop's camera; NaN is what is not known."""

    uv_px: Float[Tensor, "batch joint 2"]
    """Joints in the crop, px."""
    depth_m: Float[Tensor, "batch joint"]
    """Relative to the root's; of pictures with 2D labels only, NaN."""
    scale_m_px: Float[Tensor, " batch"]
    stature_m: Float[Tensor, " batch"]
    """Barefoot; NaN takes the mean."""
    shape: Float[Tensor, "batch number"]
    twists: Float[Tensor, "batch _ 3"]
    leaf_rotations: Float[Tensor, "batch leaf 3 3"]
    coarse: Bool[Tensor, " batch"]
    """Whether the joints were placed by people or by other definitions, so that a few pixels mean nothing."""


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of eq. 18 and what stands behind them."""

    uvd: float = 1.0
    scale: float = 0.5
    shape: float = 0.01
    twist: float = 0.1
    leaf: float = 0.01
    heat: float = 0.0
    """Of the cross-entropy between heat-maps and the places of joints, which the paper does without: networks that
    start from nothing learn sooner with it where joints are."""
    heat_cells: float = 1.0
    """Standard deviation of the true places' maps, in cells; of joints that are placed coarsely, at least so wide."""
    coarse_px: float = 5.0
    """Of joints that are placed coarsely, errors up to this many pixels are none."""
    by_stature: bool = True
    """Whether errors in metres are taken as those of a person of mean stature."""

    def __post_init__(self) -> None:
        if min(self.uvd, self.scale, self.shape, self.twist, self.leaf, self.heat, self.coarse_px) < 0:
            raise ValueError(f"loss: expected weights of at least 0, got {self}")
        if not 0 < self.heat_cells < math.inf:
            raise ValueError(f"heat_cells: expected a positive number, got {self.heat_cells}")


class Loss(NamedTuple):
    """The parts of eq. 18 and the cross-entropy of heat-maps, each weighted; a part of which nothing is known is 0."""

    uv: Float[Tensor, ""]
    depth: Float[Tensor, ""]
    scale: Float[Tensor, ""]
    shape: Float[Tensor, ""]
    twist: Float[Tensor, ""]
    leaf: Float[Tensor, ""]
    heat: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Their sum."""
        return torch.stack(tuple(self)).sum()


def loss_of(
    answers: Answers,
    truth: Truth,
    network: PersPoseConfig,
    config: LossConfig = LossConfig(),
    heat: Float[Tensor, "batch joint rows columns"] | None = None,
) -> Loss:
    """Return the loss of crops: means over what is known in the batch.

    Pixels count in crop sizes, depths in their whole range, the scale in its middle, so that the parts are of one
    size: mean distance of joints inside the crop, L1 of depths, scale and shape, squared distance of twists, Frobenius
    norm of rotations; the cross-entropy of heat-maps as a share of that of flat ones.

    Args:
        answers: the network's.
        truth: as much as is known.
        network: whose answers they are.
        config: weights.
        heat: the network's heat-maps, for the cross-entropy.

    Raises:
        ValueError: without heat-maps, where their weight is not 0.
    """
    if heat is None and config.heat > 0:
        raise ValueError("heat: expected the network's heat-maps, since their weight is not 0")
    size = network.size_px
    uv_px, inside = _filled(truth.uv_px, 1)
    inside = inside & ((uv_px >= 0) & (uv_px <= size)).all(-1)
    apart = _lengths(answers.uv_px - uv_px)
    apart = torch.where(truth.coarse[:, None], (apart - config.coarse_px).clamp(min=0), apart)
    stature, measured = _filled(truth.stature_m, 0)
    tall = torch.where(measured & torch.tensor(config.by_stature), MEAN_STATURE_M / stature.clamp(min=0.3), 1.0)
    depth_m, deep = _filled(truth.depth_m, 0)
    scale_m_px, scaled = _filled(truth.scale_m_px, 0)
    shape, shaped = _filled(truth.shape, 0)
    twists, twisted = _filled(truth.twists, 1)
    leaves, ended = _filled(truth.leaf_rotations, 2)
    middle = 1e-3 * network.scale_mm_px * 256 / size
    depths = (answers.depth_m - depth_m).abs() * tall[:, None] / (2 * network.depth_range_m)
    scales = (answers.scale_m_px - scale_m_px).abs() * tall / middle
    return Loss(
        uv=config.uvd * _mean(apart / size, inside),
        depth=config.uvd * _mean(depths, deep),
        scale=config.scale * _mean(scales, scaled),
        shape=config.shape * _mean((answers.shape - shape).abs(), shaped),
        twist=config.twist * _mean((answers.twists - twists).square().sum(-1), twisted),
        leaf=config.leaf * _mean(_lengths((answers.leaf_rotations - leaves).flatten(-2)), ended),
        heat=uv_px.new_zeros(())
        if heat is None
        else config.heat * _mean(_surprise(heat, uv_px, truth.coarse, config), inside),
    )


def _surprise(
    heat: Float[Tensor, "batch joint rows columns"],
    uv_px: Float[Tensor, "batch joint 2"],
    coarse: Bool[Tensor, " batch"],
    config: LossConfig,
) -> Float[Tensor, "batch joint"]:
    """Cross-entropy −Σ g log softmax(heat), where g is a Gaussian about the true place, over that of a flat map."""
    spread = torch.where(coarse, max(config.heat_cells, config.coarse_px / STRIDE), config.heat_cells)[:, None, None]
    across, down = (
        torch.softmax(-0.5 * ((torch.arange(cells, device=heat.device) + 0.5 - place) / spread) ** 2, -1)
        for cells, place in zip(reversed(heat.shape[-2:]), (uv_px / STRIDE).split(1, -1), strict=True)
    )
    heat = heat if heat.dtype == torch.float64 else heat.float()
    share = heat.flatten(-2).log_softmax(-1).view_as(heat)
    cells = heat.shape[-2] * heat.shape[-1]
    return -(down[..., None] * share * across[..., None, :]).sum((-2, -1)) / math.log(cells)


def _filled(values: Tensor, event: int) -> tuple[Tensor, Tensor]:
    """Zeros for what is not known, and a mask of what is, without the last `event` axes."""
    known = values.isfinite()
    for _ in range(event):
        known = known.all(-1)
    return torch.where(known[(..., *[None] * event)], values, 0.0), known


def _lengths(vectors: Tensor) -> Tensor:
    """Lengths, with a gradient at zero."""
    return (vectors.square().sum(-1) + 1e-12).sqrt()


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """The mean of what is known; 0, with a gradient of 0, where nothing is."""
    return torch.where(known, values, 0.0).sum() / known.sum().clamp(min=1)
