"""Spatial transformers: a network that finds where to look, and a crop of it, plain or perspective (paper 000).

Both are trained end to end with the network behind them, and differ in nothing but the crop.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sightline.camera import Camera
from sightline.perspective.crop import PerspectiveCrop, PerspectiveView
from sightline.perspective.pyramid import Border, levels_for, look_up, look_up_smoothly
from sightline.perspective.virtual import checked_choice, checked_size


class Region(NamedTuple):
    """Where a localiser wants to look."""

    center: Float[Tensor, "batch 2"]
    """Middle, in half picture sizes from the picture's middle: −1 and 1 are its borders."""
    scale: Float[Tensor, "batch 2"]
    """Width and height as shares of the picture's, 0 to 1."""

    def center_px(self, image_wh: tuple[int, int]) -> Float[Tensor, "batch 2"]:
        """The middle in px, corner origin."""
        return 0.5 * (self.center + 1.0) * self.center.new_tensor(image_wh)

    def size_px(self, image_wh: tuple[int, int]) -> Float[Tensor, "batch 2"]:
        """Width and height in px."""
        return self.scale * self.scale.new_tensor(image_wh)


class Localizer(nn.Module):
    """A network on a small copy of the picture → region: places as they come, sizes through a sigmoid.

    Args:
        network: any module that takes pictures (batch, channel, height, width) to four numbers, centre x and y, and the
            logits of both sizes; see `resnet18_localizer`.
        size: width and height of the small copy, px.
    """

    def __init__(self, network: nn.Module, size: int | tuple[int, int] = 128) -> None:
        super().__init__()
        self.network = network
        self.size_wh = checked_size(size)

    def forward(self, image: Float[Tensor, "batch channel height width"]) -> Region:
        """Say where to look."""
        width, height = self.size_wh
        small = functional.interpolate(image, (height, width), mode="bilinear", antialias=True, align_corners=False)
        answer = self.network(small)
        if answer.shape != (len(image), 4):
            raise ValueError(f"network: expected (batch, 4), got {tuple(answer.shape)}")
        return Region(answer[:, :2], answer[:, 2:].sigmoid())


def resnet18_localizer(size: int | tuple[int, int] = 128) -> Localizer:
    """Return the paper's localiser: a ResNet-18 whose last layer starts at zero, so that it begins with the middle."""
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    network.fc = nn.Linear(network.fc.in_features, 4)
    nn.init.zeros_(network.fc.weight)
    nn.init.zeros_(network.fc.bias)
    return Localizer(network, size)


class PerspectiveSTN(nn.Module):
    """A spatial transformer whose crop is a perspective one; the localiser's are its only parameters.

    Args:
        localizer: finds the region; gradients reach it through the crop.
        crop: the perspective crop.
    """

    def __init__(self, localizer: nn.Module, crop: PerspectiveCrop) -> None:
        super().__init__()
        self.localizer = localizer
        self.crop = crop

    def forward(
        self,
        image: Float[Tensor, "batch channel height width"],
        camera: Camera | Float[Tensor, "... 3 3"],
    ) -> tuple[PerspectiveView, Region]:
        """Return the crops with their virtual cameras, and the regions, which a loss may guide."""
        region = self.localizer(image)
        size_wh = (image.shape[-1], image.shape[-2])
        return self.crop(image, camera, region.center_px(size_wh), region.size_px(size_wh)), region


class AffineSTN(nn.Module):
    """The plain spatial transformer: an axis-parallel crop [[s_x, 0, t_x], [0, s_y, t_y]] of the localiser's region.

    Args:
        localizer: finds the region.
        size: width and height of the crop, px, or one number for both.
        antialias: as in `PerspectiveCrop`.
        border: as there.
    """

    def __init__(
        self,
        localizer: nn.Module,
        size: int | tuple[int, int],
        *,
        antialias: bool = True,
        border: Border = "zeros",
    ) -> None:
        super().__init__()
        self.localizer = localizer
        self.size_wh = checked_size(size)
        checked_choice(border, Border, "border")
        self.antialias = antialias
        self.border: Border = border

    def forward(
        self, image: Float[Tensor, "batch channel height width"]
    ) -> tuple[Float[Tensor, "batch channel rows columns"], Region]:
        """Return the crops, and the regions."""
        region = self.localizer(image)
        (width, height), image_wh = self.size_wh, (image.shape[-1], image.shape[-2])
        picture = image if image.dtype in (torch.float32, torch.float64) else image.float()
        with torch.autocast(image.device.type, enabled=False):
            center, scale = (value.to(picture.dtype) for value in region)
            theta = torch.cat([torch.diag_embed(scale), center[..., None]], dim=-1)
            shape = [len(image), image.shape[1], height, width]
            grid = functional.affine_grid(theta, shape, align_corners=False)
            if self.antialias:
                levels = levels_for(image_wh, self.size_wh)
                crops = look_up_smoothly(picture, grid[:, None], levels, self.border)[:, 0]
            else:
                crops = look_up(picture, grid, self.border)
        return crops.to(image.dtype), region
