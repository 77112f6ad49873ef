"""The cascade's 2D estimator (section 4.1): a crop of a person → heat-maps of the joints → their places.

A residual network without its last two layers, three deconvolutions that each double the resolution, and a 1 × 1
convolution give heat-maps with cells of 4 px. Places are means over the maps (integral regression), exact to parts of a
cell and differentiable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.nn.backbones import as_input, begin_with_backbone, staged
from sightline.nn.heatmaps import mean_place
from sightline.nn.joint_network import AS_HIGH, Belief, JointsSeen, believed, check_belief
from sightline.skeleton import get_skeleton

STRIDE: Final = 4
"""Pixels of the crop per cell of the heat-maps."""
_COARSEST: Final = 32
_TINY: Final = 1e-6

Normalising = Literal["softmax", "relu"]
"""How a heat-map becomes shares of 1: softmax of the map times a learnt number, or what is above 0 over its sum."""


@dataclass(frozen=True, kw_only=True)
class EstimatorConfig:
    """What a 2D estimator is made of; saved beside its weights."""

    backbone: str = "resnet152"
    """A network of timm's with features at stride 32, by its name there."""
    backbone_channels: tuple[int, ...] = ()
    """Of the backbone's stages, where timm lets them be chosen (of ResNets four); none takes the network's own."""
    channels: int = 256
    """Of the three deconvolutions."""
    size_px: int = 256
    """Side of the crops."""
    skeleton: str = "h36m17"
    """Joint set of the answers."""
    normalise: Normalising = "softmax"
    belief: Belief = AS_HIGH
    """What a height of the maps is worth, which trained weights bring."""

    def __post_init__(self) -> None:
        get_skeleton(self.skeleton)
        if self.size_px % _COARSEST or self.size_px < 2 * _COARSEST:
            raise ValueError(f"size_px: expected a multiple of 32 from 64 on, got {self.size_px}")
        if self.channels < 1 or min(self.backbone_channels, default=1) < 1:
            raise ValueError("channels, backbone_channels: expected positive numbers")
        if self.normalise not in get_args(Normalising):
            raise ValueError(f"normalise: expected one of {', '.join(get_args(Normalising))}, got {self.normalise!r}")
        check_belief(self.belief)


class Seen(NamedTuple):
    """Where the network sees joints."""

    points_px: Float[Tensor, "batch joint 2"]
    """In the crop, px, corner origin; NaN where nothing of the map is above 0 ("relu")."""
    confidence: Float[Tensor, "batch joint"]
    """0…1: the map's greatest value, which is 1 where the network is sure of a place to a cell's breadth; what it is
    worth is left open."""
    maps: Float[Tensor, "batch joint rows columns"]


class JointEstimator(nn.Module):
    """Backbone, three deconvolutions, a 1 × 1 convolution, and the mean places of its maps.

    Args:
        config: what it is made of.
        pretrained: whether the backbone starts from timm's weights, which are downloaded.

    Raises:
        ValueError: for a backbone without features at stride 32, or whose widths cannot be chosen so.
        InputError: for weights that cannot be fetched.
    """

    def __init__(self, config: EstimatorConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config, self.skeleton = config, get_skeleton(config.skeleton)
        self.net, stages = staged(config.backbone, pretrained=pretrained, widths=config.backbone_channels)
        last = [(name, width) for name, (stride, width) in stages.items() if stride == _COARSEST]
        if not last:
            raise ValueError(f"backbone: {config.backbone} has no features at stride {_COARSEST}")
        self._last, width = last[0]
        layers: list[nn.Module] = []
        for before in (width, config.channels, config.channels):
            layers += [
                nn.ConvTranspose2d(before, config.channels, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(config.channels),
                nn.ReLU(inplace=True),
            ]
        self.enlarge = nn.Sequential(*layers)
        self.heat = nn.Conv2d(config.channels, len(self.skeleton), 1)
        for layer in (*self.enlarge, self.heat):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=0.001)
        nn.init.zeros_(self.heat.bias)  # pyright: ignore[reportArgumentType]
        self.sharpness = nn.Parameter(torch.tensor(10.0)) if config.normalise == "softmax" else None

    def begin_with(self, weights: Mapping[str, Tensor]) -> list[str]:
        """Take the backbone's weights from those of another network, under the name `net`: all stages before the first
        that is another.

        Returns:
            The stages that keep their own.

        Raises:
            ValueError: where even what comes first is another.
        """
        return begin_with_backbone(self, weights, whole=False)

    @property
    def size_px(self) -> int:
        """Side of the crops."""
        return self.config.size_px

    @property
    def rotation(self) -> bool:
        """Crops are the picture's own, not turned."""
        return False

    @torch.no_grad()
    def joints_in(
        self,
        crops: Float[Tensor, "batch 3 height width"],
        up: Float[Tensor, "batch 3"] | None = None,
        *,
        flip: bool = True,
    ) -> JointsSeen:
        """Return the joints in crops; see `nn.joint_network.JointNetwork`. Mirrored crops are averaged map by map."""
        del up
        maps = self(as_input(crops)).maps
        if flip:
            mirrored = self(as_input(crops.flip(-1))).maps
            maps = (maps + mirrored[:, list(self.skeleton.flip)].flip(-1)) / 2
        seen = self._read(maps)
        return JointsSeen(seen.points_px, believed(seen.confidence, self.config.belief))

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Seen:
        """Look at crops.

        Args:
            image: crops of the configured size, RGB as `nn.backbones.as_input` gives it.

        Raises:
            ValueError: for crops of another size.
        """
        size = self.config.size_px
        if image.shape[-2:] != (size, size):
            raise ValueError(f"image: expected crops of {size} × {size} px, got {image.shape[-1]} × {image.shape[-2]}")
        features = image
        for layer, module in self.net.items():
            features = module(features)
            if layer == self._last:
                break
        return self._read(self.heat(self.enlarge(features)))

    def _read(self, maps: Float[Tensor, "batch joint rows columns"]) -> Seen:
        maps = maps if maps.dtype == torch.float64 else maps.float()
        with torch.autocast(maps.device.type, enabled=False):  # half precision is pixels off
            return Seen(mean_place(self._shares(maps), STRIDE), maps.detach().amax((-2, -1)).clamp(0, 1), maps)

    def _shares(self, maps: Float[Tensor, "batch joint rows columns"]) -> Float[Tensor, "batch joint rows columns"]:
        if self.sharpness is not None:
            return (self.sharpness * maps).flatten(-2).softmax(-1).view_as(maps)
        above = maps.relu()
        total = above.sum((-2, -1), keepdim=True)
        return torch.where(total > _TINY, above / total.clamp(min=_TINY), torch.nan)
