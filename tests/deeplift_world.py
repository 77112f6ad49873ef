"""A small world for the tests of Lifting from the Deep: a mixture made by hand, and people drawn from it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift.fit import doubled
from sightline.methods.deeplift.gaussian import Gaussians
from sightline.methods.deeplift.mixture import FitConfig, Mixture, fit_mixture
from sightline.methods.deeplift.prior import QUANTILES, TILTS, PosePrior
from sightline.methods.deeplift.shapes import DIMENSIONS, to_shapes

DOUBLE = torch.float64


def chance(seed: int = 0) -> torch.Generator:
    """A source of chance of its own."""
    return torch.Generator().manual_seed(seed)


def poses(count: int = 400, seed: int = 0) -> Tensor:
    """Procedural people in metres, z up."""
    return procedural_poses(count, step_generator(seed, 1)).double()


def known_mixture(components: int = 2, basis: int = 4, noise: float = 0.004) -> Mixture:
    """Components about different poses, with a few wide directions each."""
    mean = to_shapes(poses(components, seed=3)).shape
    raw = torch.randn(components, DIMENSIONS, basis, generator=chance(5), dtype=DOUBLE)
    directions, _ = torch.linalg.qr(raw)
    lengths = torch.linspace(0.12, 0.05, basis, dtype=DOUBLE)
    shares = torch.arange(components, 0, -1, dtype=DOUBLE)
    noises = torch.full((components,), noise, dtype=DOUBLE)
    return Mixture(Gaussians(mean, directions * lengths, noises), shares / shares.sum())


def drawn(mixture: Mixture, count: int, seed: int = 0, *, noise: bool = False) -> tuple[Tensor, Tensor]:
    """Shapes drawn from a mixture, and the component of each."""
    generator = chance(seed)
    component = torch.multinomial(mixture.shares, count, replacement=True, generator=generator)
    gaussians = mixture.gaussians
    wide = torch.randn(count, gaussians.basis.shape[-1], generator=generator, dtype=DOUBLE)
    shape = gaussians.mean[component] + (gaussians.basis[component] @ wide[..., None])[..., 0]
    if noise:
        rest = torch.randn(count, DIMENSIONS, generator=generator, dtype=DOUBLE)
        shape = shape + gaussians.noise[component, None] * rest
    return shape, component


def headings(count: int, seed: int = 0) -> Tensor:
    """Rotations about the vertical, any heading."""
    return axis_rotation("z", 2 * math.pi * torch.rand(count, generator=chance(seed), dtype=DOUBLE))


def prior_of(mixture: Mixture, orientation: str = "upright") -> PosePrior:
    """A prior about a mixture, with plain facts."""
    return PosePrior(
        mixture=mixture,
        orientation=orientation,  # pyright: ignore[reportArgumentType]
        size_m=1.08,
        size_spread=0.05,
        stature_m=1.7,
        quantiles=torch.linspace(0.0, 150.0, QUANTILES, dtype=DOUBLE),
        tilt=torch.zeros(TILTS, dtype=DOUBLE),
    )


def fitted_prior(components: int = 2, basis: int = 10) -> PosePrior:
    """A prior fitted to procedural people."""
    shape = doubled(poses(600, seed=2))
    return prior_of(fit_mixture(shape, FitConfig(components=components, basis=basis, iterations=12)).mixture)
