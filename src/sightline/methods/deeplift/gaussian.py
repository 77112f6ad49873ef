"""Probabilistic principal components in closed form (Tipping and Bishop 1999), for shapes.

x = μ + W a + ε with a ~ N(0, I) and ε ~ N(0, s² I), so x ~ N(μ, W Wᵀ + s² I). In the paper's symbols e are the columns
of W at unit length and σ_j the inverse of their lengths.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.methods.deeplift.shapes import DIMENSIONS

NOISE_FLOOR = 1e-3
"""Least noise of a component, in units of √(Σ limb²): about a millimetre of an adult. Keeps densities finite."""


class Gaussians(NamedTuple):
    """Components of a mixture, each a Gaussian with a few wide directions and the same noise in all others."""

    mean: Float[Tensor, "component 48"]
    basis: Float[Tensor, "component 48 basis"]
    """W: orthogonal columns, as long as the deviation along them that is not noise."""
    noise: Float[Tensor, " component"]
    """s: standard deviation."""

    def covariance(self) -> Float[Tensor, "component 48 48"]:
        """W Wᵀ + s² I."""
        unit = torch.eye(DIMENSIONS, dtype=self.mean.dtype, device=self.mean.device)
        return self.basis @ self.basis.mT + self.noise.square()[:, None, None] * unit


def fitted(mean: Float[Tensor, "component 48"], covariance: Float[Tensor, "component 48 48"], basis: int) -> Gaussians:
    """Return the likeliest Gaussians of a given number of wide directions for data of these moments.

    With eigenvalues λ₁ ≥ … of the covariance: s² is the mean of those left out, W = U (Λ − s² I)^½. Where the noise
    would fall below `NOISE_FLOOR`, that is the noise, and the likeliest W is the same formula with it.
    """
    if not 1 <= basis < DIMENSIONS:
        raise ValueError(f"basis: expected 1 to {DIMENSIONS - 1} directions, got {basis}")
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(-1), vectors.flip(-1)
    variance = values[:, basis:].mean(-1).clamp_min(NOISE_FLOOR**2)
    lengths = (values[:, :basis] - variance[:, None]).clamp_min(0.0).sqrt()
    return Gaussians(mean, vectors[..., :basis] * lengths[:, None], variance.sqrt())


class Whitening(NamedTuple):
    """What turns a Gaussian's Mahalanobis distance into a Euclidean one."""

    matrix: Float[Tensor, "component 48 48"]
    """F with Fᵀ F = C⁻¹, so that −2 ln p = |F (x − μ)|² + `constant`."""
    constant: Float[Tensor, " component"]
    """ln |2 π C|."""


def whitening(gaussians: Gaussians) -> Whitening:
    """Return what log-densities need, once for many shapes."""
    factor = torch.linalg.cholesky(gaussians.covariance())
    unit = torch.eye(DIMENSIONS, dtype=factor.dtype, device=factor.device).expand_as(factor)
    matrix = torch.linalg.solve_triangular(factor, unit, upper=False)
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return Whitening(matrix, log_det + DIMENSIONS * math.log(2 * math.pi))
