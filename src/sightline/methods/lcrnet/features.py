"""What LCR-Net++ looks at: maps of a backbone, and features of boxes in them (paper 003, sections 3.1 and 3.5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork, roi_align, roi_pool
from torchvision.ops.poolers import initLevelMapper

from sightline.nn.backbones import begin_with_backbone, not_fetched, staged

Pooling = Literal["align-max", "align-mean", "pool"]
STRIDE: Final = 16
"""Pixels per cell of the map of a backbone without a pyramid."""
CELLS: Final = 7
"""A box becomes so many cells, across and down."""
LEVELS: Final = (4, 8, 16, 32)
"""Strides that a feature pyramid may have; it ends with the last."""


class Maps(nn.Module):
    """A backbone's maps: one of stride 16, or a feature pyramid's up to stride 32.

    Args:
        name: vgg16, as in the paper (torchvision's, up to its last convolution), or any network of timm's with stages.
        widths: channels of the stages from stride 4 on, where they may be chosen; none takes the network's own.
        channels: of each map; 0 leaves the single map's as they are.
        pyramid: whether to build a feature pyramid.
        finest: stride of its first level, 4 or more.
        stem: width of what comes before the stages of a residual network; 0 takes its own.
        pretrained: whether to load weights that learnt ImageNet, which are downloaded.

    Raises:
        ValueError: for a network that there is not, or without the stages.
        InputError: for weights that cannot be fetched.
    """

    def __init__(
        self,
        name: str,
        *,
        widths: Sequence[int] = (),
        channels: int = 0,
        pyramid: bool = False,
        finest: int = LEVELS[0],
        stem: int = 0,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        if name == "vgg16":
            if pyramid or widths or stem:
                raise ValueError("backbone: vgg16 has one map, of its own width; a pyramid needs a network of timm's")
            self.net, stages = _vgg16(pretrained), {}
            found = {STRIDE: 512}
        else:
            self.net, stages = staged(name, pretrained=pretrained, widths=widths, stem=stem)
            found = dict(stages.values())
        self.strides = LEVELS[LEVELS.index(finest) :] if pyramid else (STRIDE,)
        if missing := [stride for stride in self.strides if stride not in found]:
            raise ValueError(f"backbone: {name} has no features at stride {missing[0]}")
        if pyramid and not channels:
            raise ValueError("channels: expected a positive number for a pyramid")
        self._ends = [layer for layer, (stride, _) in stages.items() if stride in self.strides]
        if isinstance(self.net, nn.ModuleDict):
            layers = list(self.net)
            self.net = nn.ModuleDict({name: self.net[name] for name in layers[: layers.index(self._ends[-1]) + 1]})
        self._frozen: list[str] = []
        kept = dict(self.net.named_children())
        self._stages = {stride: layer for layer, (stride, _) in stages.items() if layer in kept}
        own = [found[stride] for stride in self.strides]
        self.channels = channels or own[0]
        self.pyramid = FeaturePyramidNetwork(own, channels) if pyramid else None
        self.narrow = nn.Conv2d(own[0], channels, 1) if channels and not pyramid else None

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Take the backbone's weights from those of another network with an equal one, under the name `net`.

        Raises:
            ValueError: where its backbone is another one.
        """
        begin_with_backbone(self, weights)

    def freeze(self, stride: int) -> None:
        """Leave the backbone as it is up to the stage of a stride, its normalization too; 0 leaves all of it free.

        Raises:
            ValueError: for a backbone without such a stage.
        """
        if not stride:
            return
        if not self._stages:
            raise ValueError("frozen_stride: expected a network of timm's beside it, vgg16 has no stages to freeze")
        if stride not in self._stages:
            raise ValueError(f"frozen_stride: expected one of {', '.join(map(str, self._stages))}, got {stride}")
        assert isinstance(self.net, nn.ModuleDict)
        layers = list(self.net)
        self._frozen = layers[: layers.index(self._stages[stride]) + 1]
        for layer in self._frozen:
            self.net[layer].requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Maps:  # noqa: FBT001, FBT002
        """As modules do, but for what is frozen, whose normalization goes by what it has learnt."""
        super().train(mode)
        if self._frozen:
            assert isinstance(self.net, nn.ModuleDict)
            for layer in self._frozen:
                self.net[layer].eval()
        return self

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> dict[str, Tensor]:
        """Return maps by name, finest first. Pictures are padded to a multiple of the coarsest stride by callers."""
        if isinstance(self.net, nn.Sequential):
            maps = {"0": self.net(image)}
        else:
            maps, features = {}, image
            for layer, module in self.net.items():  # pyright: ignore[reportCallIssue]
                features = module(features)
                if layer in self._ends:
                    maps[str(len(maps))] = features
        if self.pyramid is not None:
            return self.pyramid(maps)
        return {"0": functional.relu(self.narrow(maps["0"]))} if self.narrow is not None else maps


def _vgg16(pretrained: bool) -> nn.Sequential:
    """VGG-16 up to conv5_3."""
    from torchvision.models import VGG16_Weights, vgg16

    try:
        net = vgg16(weights=VGG16_Weights.IMAGENET1K_V1 if pretrained else None)
    except OSError as error:
        raise not_fetched("vgg16", error) from error
    return nn.Sequential(*list(net.features.children())[:-1])


class Pool(nn.Module):
    """Features of boxes: 7 × 7 cells each.

    Args:
        how: align-max, the paper's: four points of each cell, bilinear, the largest; align-mean: their mean (as in Mask
            R-CNN); pool: of Fast R-CNN, cells rounded to the map's.
        strides: of the maps.

    Raises:
        ValueError: for rounded cells in a pyramid.
    """

    def __init__(self, how: Pooling, strides: Sequence[int]) -> None:
        super().__init__()
        if how == "pool" and len(strides) > 1:
            raise ValueError("pooling: 'pool' is for one map; a pyramid takes align-max or align-mean")
        self.how, self.strides = how, tuple(strides)
        self.points, self.each = (2 * CELLS, 1) if how == "align-max" else (CELLS, 2)
        self.level_of = initLevelMapper(round(math.log2(strides[0])), round(math.log2(strides[-1])))

    def forward(
        self, maps: dict[str, Tensor], boxes: list[Float[Tensor, "box 4"]]
    ) -> Float[Tensor, "boxes channel 7 7"]:
        """Return features of the boxes (px) of each picture, one picture's after the other's.

        In a pyramid a box goes to the level that its size says (224 px to stride 16). Cells lie about their middles.
        """
        if self.how == "pool":
            return roi_pool(maps["0"], boxes, CELLS, 1 / self.strides[0])
        flat = torch.cat([torch.cat((its.new_full((len(its), 1), row), its), 1) for row, its in enumerate(boxes)])
        level = self.level_of(boxes) if len(self.strides) > 1 and len(flat) else flat.new_zeros(len(flat))
        cells = maps["0"].new_zeros(len(flat), maps["0"].shape[1], self.points, self.points)
        for number, stride in enumerate(self.strides):
            rows = torch.nonzero(level == number)[:, 0]
            found = roi_align(maps[str(number)], flat[rows].to(cells), self.points, 1 / stride, self.each, aligned=True)
            cells.index_copy_(0, rows, found.to(cells))
        return functional.max_pool2d(cells, 2) if self.how == "align-max" else cells


def padded(image: Float[Tensor, "batch 3 height width"], multiple: int) -> Float[Tensor, "batch 3 rows columns"]:
    """Return pictures with zeros at the right and below, so that their sides are multiples."""
    height, width = image.shape[-2:]
    return functional.pad(image, (0, -width % multiple, 0, -height % multiple)) if height and width else image
