"""The residual multilayer perceptron of lifting networks (paper 002, section 3.2 and figure 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Twice {batch norm, dropout, ReLU, linear}, added to the input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.BatchNorm1d(width), nn.Dropout(dropout), nn.ReLU(), nn.Linear(width, width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Return the features plus the block's correction of them."""
        return features + self.layers(features)


class ResidualMLP(nn.Module):
    """Linear → residual blocks → linear: a plain vector in, a plain vector out.

    Args:
        inputs: length of the input vector.
        outputs: length of the output vector.
        width: length of the features between (paper: 4096).
        blocks: number of residual blocks (paper: 2).
        dropout: probability inside the blocks (paper: 0.5).
        init_std: weights start as N(0, init_std²), biases at zero; None keeps PyTorch's own start.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 1024,
        blocks: int = 2,
        dropout: float = 0.0,
        init_std: float | None = None,
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        self.leave = nn.Linear(width, outputs)
        if init_std is not None:
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, std=init_std)
                    nn.init.zeros_(layer.bias)

    def forward(self, vector: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Map a batch of vectors; under autocast the first and the last layer still keep full precision.

        In bfloat16 a coordinate of one has steps of 1/256: too coarse for what enters and leaves, harmless between.
        """
        with torch.autocast(vector.device.type, enabled=False):
            features = self.enter(vector.float())
        features = self.blocks(features)
        with torch.autocast(vector.device.type, enabled=False):
            return self.leave(features.float())
