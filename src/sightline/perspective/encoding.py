"""Perspective encoding: a crop's intrinsics as a map of ray directions, for a network (paper 001, section 4.1)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def encoding_map(
    intrinsics: Float[Tensor, "*batch 3 3"], size_wh: tuple[int, int], stride: float = 1.0
) -> Float[Tensor, "*batch 2 height width"]:
    """Return ((u − cx) / fx, (v − cy) / fy) of every cell of a crop (eq. 8 and 9): the tangents of its ray.

    Args:
        intrinsics: K of the crop, px, corner origin.
        size_wh: width and height of the map, in cells.
        stride: side of a cell, px; its middle counts.
    """
    options = {"dtype": intrinsics.dtype, "device": intrinsics.device}
    u, v = ((torch.arange(count, **options) + 0.5) * stride for count in size_wh)
    x = (u - intrinsics[..., 0, 2, None]) / intrinsics[..., 0, 0, None]
    y = (v - intrinsics[..., 1, 2, None]) / intrinsics[..., 1, 1, None]
    shape = (*intrinsics.shape[:-2], size_wh[1], size_wh[0])
    return torch.stack((x[..., None, :].expand(shape), y[..., :, None].expand(shape)), dim=-3)


class PerspectiveEncoding(nn.Module):
    """Add the crop's perspective to the features of a network, as PersPose does after the first stage of its backbone.

    Without `channels` it has no parameters, and `forward` returns the map of tangents, for whoever feeds it to a
    network otherwise. With them, one 1 × 1 convolution without bias, which starts as N(0, 0.01²), turns the map into
    features that are added.

    Args:
        channels: features of the network there (paper: 256); None for the bare map.
        stride: pixels of the crop per cell of the features (paper: 4).
    """

    def __init__(self, channels: int | None = None, stride: float = 4.0) -> None:
        super().__init__()
        if stride <= 0:
            raise ValueError(f"stride: expected a positive number of pixels, got {stride}")
        self.stride = stride
        self.mix = None if channels is None else nn.Conv2d(2, channels, 1, bias=False)
        if self.mix is not None:
            nn.init.normal_(self.mix.weight, std=0.01)

    def forward(
        self,
        features: Float[Tensor, "batch channel height width"],
        intrinsics: Float[Tensor, "*#batch 3 3"],
        known: Tensor | None = None,
    ) -> Float[Tensor, "batch _ height width"]:
        """Return the features with the encoding added; without `channels` the map of their size.

        Args:
            features: of crops, each cell `stride` pixels wide.
            intrinsics: K of the crops, px.
            known: bool (batch,), whether K is known; where not, the map is zero, as the paper has it for pictures
                without intrinsics.

        Raises:
            ValueError: if K is not (batch, 3, 3) or (3, 3).
        """
        if intrinsics.shape[-2:] != (3, 3) or intrinsics.dim() > 3:
            raise ValueError(f"intrinsics: expected (batch, 3, 3), got {tuple(intrinsics.shape)}")
        size_wh = (features.shape[-1], features.shape[-2])
        tangents = encoding_map(intrinsics, size_wh, self.stride).expand(len(features), -1, -1, -1)
        if known is not None:
            tangents = torch.where(known[:, None, None, None], tangents, 0.0)
        if self.mix is None:
            return tangents.to(features.dtype)
        with torch.autocast(features.device.type, enabled=False):  # neighbours off the axis differ by little
            mixed = self.mix(tangents.to(self.mix.weight.dtype))
        return features + mixed.to(features.dtype)

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        return f"stride={self.stride:g}"
