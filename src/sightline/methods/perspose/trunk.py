"""Backbones that take the crop's perspective in at stride 4, and give a map at stride 4 and one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sightline.nn.backbones import not_fetched, staged
from sightline.perspective import PerspectiveEncoding

STRIDE = 4
"""Pixels of the crop per cell of the map, and of the features that the encoding is added to."""


class Seen(NamedTuple):
    """What a backbone makes of crops."""

    map: Float[Tensor, "batch channel height width"]
    vector: Float[Tensor, "batch feature"]


class HRNetTrunk(nn.Module):
    """HRNet with its classification head's vector (paper: hrnet_w48 and 2048 numbers).

    The encoding is added before the second stage. The map is that of the finest branch.

    Args:
        name: of one of timm's networks, `hrnet_…`.
        encoding: whether the crop's intrinsics are encoded.
        pretrained: whether to load timm's weights, which are downloaded.
    """

    def __init__(self, name: str, *, encoding: bool = True, pretrained: bool = False) -> None:
        super().__init__()
        import timm

        try:
            self.net: Any = timm.create_model(name, pretrained=pretrained, num_classes=0)
        except RuntimeError as error:
            raise ValueError(f"backbone: timm has no network '{name}' ({error})") from error
        except OSError as error:
            raise not_fetched(name, error) from error
        self.net.eval()
        with torch.no_grad():
            stem = self._stem(torch.zeros(1, 3, 64, 64))
            branches = self._branches(stem)
            self.vector_size = self._vector(branches).shape[1]
        self.net.train()
        self.map_channels = branches[0].shape[1]
        self.encoding = PerspectiveEncoding(stem.shape[1], STRIDE) if encoding else None

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        known: Tensor | None = None,
    ) -> Seen:
        """Look at crops; see `PerspectiveEncoding` for `intrinsics` and `known`."""
        features = self._stem(image)
        if self.encoding is not None:
            features = self.encoding(features, intrinsics, known)
        branches = self._branches(features)
        return Seen(branches[0], self._vector(branches))

    def _stem(self, image: Tensor) -> Tensor:
        net = self.net
        features = net.act1(net.bn1(net.conv1(image)))
        features = net.act2(net.bn2(net.conv2(features)))
        return net.layer1(features)

    def _branches(self, features: Tensor) -> list[Tensor]:
        """What the second to fourth stage make of the first one's features, finest first."""
        net = self.net
        levels = [move(features) for move in net.transition1]
        for number in (2, 3, 4):
            levels = getattr(net, f"stage{number}")(levels)
            if number < 4:
                moves = getattr(net, f"transition{number}")
                same = [isinstance(move, nn.Identity) for move in moves]
                levels = [levels[k] if same[k] else move(levels[-1]) for k, move in enumerate(moves)]
        return levels

    def _vector(self, branches: list[Tensor]) -> Tensor:
        """What the classification head makes of all branches."""
        net = self.net
        joined = net.incre_modules[0](branches[0])
        for number, down in enumerate(net.downsamp_modules, start=1):
            joined = net.incre_modules[number](branches[number]) + down(joined)
        return net.final_layer(joined).mean((-2, -1))


class PyramidTrunk(nn.Module):
    """A network of timm's with features at strides 4 to 32, and a pyramid that brings them back to stride 4.

    Features must be laid out as channels, rows, columns, for pictures of any size.

    The encoding is added to the features of stride 4. The map is the finest level of a feature pyramid (coarse levels
    enlarged and added, one convolution at the end); the vector is the mean of the coarsest features, mixed once.

    Args:
        name: of one of timm's networks (resnet18, mobilenetv4_conv_small, …).
        widths: channels of its stages, where they may be chosen; none takes its own.
        channels: of the pyramid's levels.
        vector_size: numbers in the vector.
        encoding: whether the crop's intrinsics are encoded.
        pretrained: whether to load timm's weights, which are downloaded.

    Raises:
        ValueError: for a network without features at stride 4, or whose widths cannot be chosen so.
    """

    def __init__(
        self,
        name: str,
        *,
        widths: Sequence[int] = (),
        channels: int = 64,
        vector_size: int = 512,
        encoding: bool = True,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.stages = staged(name, pretrained=pretrained, widths=widths)
        strides = sorted(self.stages.values(), key=lambda stage: stage[0])
        levels = {stride: width for stride, width in strides if stride >= STRIDE}
        if STRIDE not in levels:
            raise ValueError(f"backbone: {name} has no features at stride {STRIDE}")
        self.map_channels, self.vector_size = channels, vector_size
        self.encoding = PerspectiveEncoding(levels[STRIDE], STRIDE) if encoding else None
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in levels.values())
        self.smooth = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )
        self.mix = nn.Sequential(nn.Linear(list(levels.values())[-1], vector_size), nn.ReLU(inplace=True))
        self._try(name)

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        known: Tensor | None = None,
    ) -> Seen:
        """Look at crops; see `PerspectiveEncoding` for `intrinsics` and `known`."""
        levels: list[Tensor] = []
        features = image
        for name, module in self.net.items():
            features = module(features)
            stride = self.stages.get(name, (0, 0))[0]
            if stride == STRIDE and self.encoding is not None:
                features = self.encoding(features, intrinsics, known)
            if stride >= STRIDE:
                levels.append(features)
        joined = self.lateral[-1](levels[-1])
        for lateral, level in zip(reversed(list(self.lateral)[:-1]), reversed(levels[:-1]), strict=True):
            joined = lateral(level) + functional.interpolate(joined, size=level.shape[-2:], mode="nearest")
        return Seen(self.smooth(joined), self.mix(levels[-1].mean((-2, -1))))

    def _try(self, name: str) -> None:
        """Refuse networks whose features are laid out in another way."""
        modes = {module: module.training for module in self.modules()}
        self.eval()
        try:
            with torch.no_grad():
                self(torch.zeros(1, 3, 64, 64), torch.eye(3)[None])
        except (AssertionError, RuntimeError) as error:
            raise ValueError(f"backbone: the features of {name} are not maps of any size of picture") from error
        finally:
            for module, mode in modes.items():
                module.training = mode


def trunk_of(
    name: str,
    *,
    encoding: bool,
    pretrained: bool = False,
    widths: Sequence[int] = (),
    channels: int = 64,
    vector_size: int = 512,
) -> HRNetTrunk | PyramidTrunk:
    """Return a backbone by the name that timm knows it by; the last three are for others than HRNets."""
    if name.startswith("hrnet_"):
        if widths:
            raise ValueError(f"backbone_channels: {name} has widths of its own")
        return HRNetTrunk(name, encoding=encoding, pretrained=pretrained)
    return PyramidTrunk(
        name,
        widths=widths,
        channels=channels,
        vector_size=vector_size,
        encoding=encoding,
        pretrained=pretrained,
    )
