"""AbsPoseLifter's network: the normalisation layer and the residual lifter (paper 002, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.nn.residual_mlp import ResidualMLP

REFERENCE_FOCAL_PX = 1000.0
"""Canonical depths and 2D statistics are divided into numbers near one by this focal length (pixels)."""


_CHOICES = {"coordinates": ("pixels", "rays"), "depth": ("canonical", "metric"), "unit": ("metre", "stature")}


@dataclass(frozen=True, kw_only=True)
class AbsPoseConfig:
    """What an AbsPoseLifter is made of; saved beside its weights."""

    joints: int = 17
    """Joints of the skeleton in and out; joint 0 is the root."""
    width: int = 1024
    """Feature width of the residual network (paper: 4096)."""
    blocks: int = 2
    """Residual blocks."""
    dropout: float = 0.0
    """Dropout inside the blocks (paper: 0.5, which costs accuracy where views are sampled without end)."""
    init_std: float | None = None
    """Standard deviation of the first weights (public practice: 0.001); None keeps PyTorch's own start."""
    location: bool = True
    """Whether the network is told the mean of the 2D pose (eq. 3)."""
    scale: bool = True
    """Whether the network is told the spread of the 2D pose (eq. 4)."""
    coordinates: Literal["pixels", "rays"] = "pixels"
    """2D input: pixels from the principal point (eq. 1), or the same seen by an ideal camera of focal 1000 px."""
    depth: Literal["canonical", "metric"] = "canonical"
    """What the depth output means: depth / focal (eq. 6), or metres regressed directly (the ablation)."""
    unit: Literal["metre", "stature"] = "metre"
    """Lengths come out in metres (body size is learned), or in the person's own statures."""
    mean_stature_m: float = 1.7
    """Stature that stands in where none is given, for lengths in statures (m)."""

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected {' or '.join(allowed)}, got {getattr(self, name)!r}")
        if min(self.joints - 1, self.width, self.blocks) < 1:
            raise ValueError("joints, width, blocks: expected at least 2, 1 and 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a probability below 1, got {self.dropout}")
        if self.depth == "metric" and self.coordinates == "rays":
            raise ValueError("depth='metric' is the ablation on pixels; on rays the canonical depth is metric already")


class Lifted(NamedTuple):
    """The network's answer, in the config's unit of length."""

    relative: Float[Tensor, "batch joint 3"]
    """Joints minus the root, camera axes."""
    depth: Float[Tensor, " batch"]
    """Root depth times 1000 px / focal (canonical), or the root depth itself (metric)."""


class NormalizationLayer(nn.Module):
    """Pixels from the principal point → normalised pose, location and scale (eq. 1–4).

    The spread σ is the root mean square distance of the joints from their mean, as eq. 4 has it.
    """

    def __init__(self, *, location: bool = True, scale: bool = True) -> None:
        super().__init__()
        self.location = location
        self.scale = scale

    def features(self, joints: int) -> int:
        """Length of the output for so many joints."""
        return 2 * joints + 2 * self.location + self.scale

    def forward(self, points: Float[Tensor, "batch joint 2"]) -> Float[Tensor, "batch features"]:
        """Return the vector (p̃, m / 1000, σ / 1000); a pose without extent gives p̃ = 0, not NaN."""
        mean = points.mean(dim=-2, keepdim=True)
        centred = points - mean
        variance = centred.square().sum(-1).mean(-1)
        spread = variance.clamp_min(1e-12).sqrt()
        parts = [(centred / spread[:, None, None]).flatten(1)]
        if self.location:
            parts.append(mean[:, 0] / REFERENCE_FOCAL_PX)
        if self.scale:
            parts.append(spread[:, None] / REFERENCE_FOCAL_PX)
        return torch.cat(parts, dim=1)


class AbsPoseLifter(nn.Module):
    """One 2D pose → root-relative 3D pose and canonical root depth (the function h of section 3.1)."""

    def __init__(self, config: AbsPoseConfig) -> None:
        super().__init__()
        self.config = config
        self.normalize = NormalizationLayer(location=config.location, scale=config.scale)
        self.network = ResidualMLP(
            self.normalize.features(config.joints),
            3 * (config.joints - 1) + 1,
            width=config.width,
            blocks=config.blocks,
            dropout=config.dropout,
            init_std=config.init_std,
        )

    def forward(self, points: Float[Tensor, "batch joint 2"]) -> Lifted:
        """Lift 2D poses given in pixels from the principal point (of the config's `coordinates`)."""
        if points.shape[-2] != self.config.joints:
            raise ValueError(f"points: expected (batch, {self.config.joints}, 2), got {tuple(points.shape)}")
        answer = self.network(self.normalize(points))
        others = answer[:, :-1].reshape(len(points), -1, 3)
        relative = torch.cat([torch.zeros_like(others[:, :1]), others], dim=1)
        return Lifted(relative=relative, depth=answer[:, -1])
