"""Augmentation: chance moves the crop's camera, and spoils its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sightline.methods.perspose.crops import Nudge


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How far chance goes; shares are of crops."""

    roll_deg: float = 30.0
    """The camera rolls by up to so much, in 3 of 5 crops."""
    zoom: tuple[float, float] = (0.7, 1.1)
    """Range of what its focal length is multiplied by."""
    target: float = 0.1
    """How far the box may lie off the crop's middle: of turned crops in longer sides of the picture, of plain ones in
    crops."""
    mirrored_share: float = 0.5
    cut_out: float = 0.4
    """Largest side of a piece that is covered, in crops."""
    cut_out_share: float = 0.5
    noise: float = 0.04
    """Largest standard deviation of noise."""
    blur_px: float = 1.5
    """Largest standard deviation of blur, in a third of crops."""
    colour: float = 0.25
    """Channels are multiplied by up to so much more or less."""

    def __post_init__(self) -> None:
        shares = (self.mirrored_share, self.cut_out, self.cut_out_share)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError(f"augment: expected shares from 0 to 1, got {shares}")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"zoom: expected two positive numbers, the smaller first, got {self.zoom}")
        if min(self.roll_deg, self.target, self.noise, self.blur_px, self.colour) < 0 or self.colour >= 1:
            raise ValueError("roll_deg, target, noise, blur_px, colour: expected at least 0, and colour below 1")


NO_AUGMENTATION = AugmentConfig(
    roll_deg=0, zoom=(1.0, 1.0), target=0, mirrored_share=0, cut_out=0, cut_out_share=0, noise=0, blur_px=0, colour=0
)


def drawn_nudges(config: AugmentConfig, count: int, generator: torch.Generator) -> tuple[Nudge, list[bool]]:
    """Draw what happens to the cameras of crops, and which are mirrored. Always takes the same chance."""
    chance = torch.rand(count, 6, generator=generator, dtype=torch.float64)
    rolls = torch.where(chance[:, 0] < 0.6, math.radians(config.roll_deg), 0.0)
    low, high = config.zoom
    nudge = Nudge(
        roll_rad=rolls * (2 * chance[:, 1] - 1),
        zoom=low + (high - low) * chance[:, 2],
        target=config.target * (2 * chance[:, 3:5] - 1),
    )
    return nudge, (chance[:, 5] < config.mirrored_share).tolist()


def spoiled(
    crops: Float[Tensor, "batch 3 size size"], config: AugmentConfig, generator: torch.Generator
) -> Float[Tensor, "batch 3 size size"]:
    """Return crops (RGB, 0…1) with other colours, blur, noise and pieces covered, as the generator draws them."""
    count, _, size, _ = crops.shape
    chance = torch.rand(count, 10, generator=generator)
    gain = 1 + config.colour * (2 * chance[:, :3] - 1)
    result = crops * gain[:, :, None, None]
    for row in range(count):
        if config.blur_px > 0 and chance[row, 3] < 1 / 3:
            result[row] = _blurred(result[row], float(chance[row, 3]) * 3 * config.blur_px)
    spread = config.noise * chance[:, 4, None, None, None]
    result = result + spread * torch.randn(crops.shape, generator=generator)
    for row in range(count):
        if config.cut_out > 0 and chance[row, 5] < config.cut_out_share:
            sides = (config.cut_out * size * (0.25 + 0.75 * chance[row, 6:8])).int().clamp(min=1).tolist()
            left, top = ((size - side) * float(share) for side, share in zip(sides, chance[row, 8:10], strict=True))
            filled = torch.rand(3, generator=generator)
            result[row, :, int(top) : int(top) + sides[1], int(left) : int(left) + sides[0]] = filled[:, None, None]
    return result.clamp(0, 1)


def _blurred(crop: Float[Tensor, "3 size size"], spread_px: float) -> Float[Tensor, "3 size size"]:
    reach = max(1, math.ceil(2.5 * spread_px))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / max(spread_px, 1e-3)) ** 2)
    line = (line / line.sum()).to(crop.dtype)
    padded = functional.pad(crop[:, None], (reach, reach, reach, reach), mode="replicate")
    across = functional.conv2d(padded, line[None, None, None, :])
    return functional.conv2d(across, line[None, None, :, None])[:, 0]
