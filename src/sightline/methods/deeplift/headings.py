"""Which component of an upright prior, seen in which heading, explains each person's landmarks best."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.geometry.rotation import rotation_from_pitch_roll
from sightline.methods.deeplift.gaussian import Gaussians
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import solve
from sightline.methods.deeplift.shapes import JOINTS
from sightline.methods.deeplift.starts import UprightGrid

_ROWS_AT_ONCE: Final = 4_096
"""Candidates of all people that are solved together; bounds memory."""
_SHORT_LIST: Final = 8
"""Candidates that are worked out in full where tables say which are cheap."""
_SMOOTH: Final = 0.01
"""Least noise (body sizes), a component's and the landmarks' together, with which costs change little from one pitch
that there are tables of to the next; with less, all candidates are worked out."""


def of_unit_size(landmarks: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Landmarks about their middle and of size 1, and what undoes it: constants that the answer does not depend on."""
    counted = (weight > 0)[..., None]
    share = counted / counted.sum(1, keepdim=True)
    middle = (share * landmarks.detach()).sum(1, keepdim=True)
    points = landmarks - middle
    unit = torch.where(counted, points.detach().abs(), 0.0).amax((1, 2))
    return points / unit[:, None, None], middle, unit


def likeliest_upright(
    mixture: Mixture,
    headings: Float[Tensor, "rotation 3 3"],
    pitch: Float[Tensor, " batch"],
    points: Float[Tensor, "batch 17 2"],
    weight: Float[Tensor, "batch 17"],
    noise: float,
) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """Ask every component of a prior in every heading; return those that explain the landmarks best.

    Where costs are smooth, tables of nearby pitches say which few are worked out. All of it is done on the processor.
    """
    device, candidates = points.device, len(mixture.shares) * len(headings)
    points, weight, pitch, headings = (value.cpu() for value in (points, weight, pitch, headings))
    mixture = Mixture(Gaussians(*(value.cpu() for value in mixture.gaussians)), mixture.shares.cpu())
    points = of_unit_size(points, weight)[0]
    tabled = math.hypot(noise, float(mixture.gaussians.noise.min())) >= _SMOOTH and len(points) > 0
    if tabled:
        grid = _grid_of(_Memory.of(mixture), len(headings), noise)
        ask = partial(_of_few, grid=grid)
    else:
        ask = _of_all
    chunk = max(1, _ROWS_AT_ONCE // (min(_SHORT_LIST, candidates) if tabled else candidates))
    groups = zip(pitch.split(chunk), points.split(chunk), weight.split(chunk), strict=True)
    found = [ask(mixture, headings, *group, noise) for group in groups]
    component, heading = zip(*found, strict=True)
    return torch.cat(component).to(device), torch.cat(heading).to(device)


def _of_all(
    mixture: Mixture, headings: Tensor, pitch: Tensor, points: Tensor, weight: Tensor, noise: float
) -> tuple[Tensor, Tensor]:
    """Work out every candidate."""
    grid = (len(points), len(mixture.shares), len(headings))
    component = torch.arange(grid[1], device=points.device)[:, None].expand(grid)
    turned = (tilted(pitch)[:, None, None] @ headings).expand(*grid, 3, 3)
    best = _cost(mixture, component, turned, points, weight, noise).flatten(1).argmin(1)
    return best // grid[2], best % grid[2]


def _of_few(
    mixture: Mixture, headings: Tensor, pitch: Tensor, points: Tensor, weight: Tensor, noise: float, grid: UprightGrid
) -> tuple[Tensor, Tensor]:
    """Work out those that are cheapest at the nearest pitch that there are tables of."""
    few = grid.cheapest(points, weight, pitch, _SHORT_LIST)
    cost = _cost(mixture, few.component, few.cam_from_body, points, weight, noise)
    best = torch.where(few.cost.isfinite(), cost, torch.inf).argmin(1, keepdim=True)
    turned = few.cam_from_body.take_along_dim(best[..., None, None], dim=1)
    level = tilted(pitch)[:, None].mT @ turned
    return few.component.gather(1, best)[:, 0], (level * headings).sum((-1, -2)).argmax(1)


def _cost(
    mixture: Mixture,
    component: Int[Tensor, "batch *candidate"],
    cam_from_body: Float[Tensor, "batch *candidate 3 3"],
    points: Float[Tensor, "batch 17 2"],
    weight: Float[Tensor, "batch 17"],
    noise: float,
) -> Float[Tensor, "batch *candidate"]:
    """−ln p of each person's landmarks under candidates of his own."""
    ones = (len(points), *(1 for _ in component.shape[1:]))
    spread = noise**2 * torch.eye(2, dtype=points.dtype, device=points.device).expand(JOINTS, 2, 2)
    rows = points.view(*ones, JOINTS, 2).expand(*component.shape, JOINTS, 2)
    return solve(mixture, component, cam_from_body, rows, spread, weight.view(*ones, JOINTS)).cost


def tilted(pitch: Float[Tensor, " batch"]) -> Float[Tensor, "batch 3 3"]:
    """Return how cameras of these pitches (rad, up is > 0) see a level world."""
    return rotation_from_pitch_roll(pitch, torch.zeros_like(pitch))


class _Memory(NamedTuple):
    """A mixture by value: what tables are kept by, for all layers that ask the same prior."""

    shape: tuple[int, ...]
    """Of the bases."""
    numbers: tuple[bytes, ...]

    @classmethod
    def of(cls, mixture: Mixture) -> _Memory:
        """Take down a mixture in double precision."""
        parts = (*mixture.gaussians, mixture.shares)
        return cls(tuple(mixture.gaussians.basis.shape), tuple(part.numpy().tobytes() for part in parts))

    def mixture(self) -> Mixture:
        """The same."""
        mean, basis, noise, shares = (
            torch.frombuffer(bytearray(numbers), dtype=torch.float64) for numbers in self.numbers
        )
        return Mixture(Gaussians(mean.view(self.shape[:2]), basis.view(self.shape), noise), shares)


@lru_cache(maxsize=2)
def _grid_of(memory: _Memory, rotations: int, noise: float) -> UprightGrid:
    """Candidates of one of the last two priors, with at most 256 MiB of tables that were asked for until now."""
    return UprightGrid(memory.mixture(), rotations, (0.0,), (noise,))
