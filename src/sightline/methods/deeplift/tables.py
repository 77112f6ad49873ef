"""Everything about a set of landmarks that does not depend on where they are, worked out once for all candidates.

A candidate is a component seen from one side at one level of noise. For given landmarks and weights each has a
quadratic form; its 528 different entries times the products of the landmarks' coordinates, for all candidates, are one
matrix product. That is why lifting a person costs about as much as reading them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import gains, seen_from, told_by
from sightline.methods.deeplift.shapes import ROWS

_PICTURE = 2 * ROWS
_FIRST, _SECOND = torch.triu_indices(_PICTURE, _PICTURE)
_TWICE = torch.where(_FIRST == _SECOND, 1.0, 2.0).double()


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Components × rotations × levels of noise, in that order."""

    component: Int[Tensor, " candidate"]
    rotation: Int[Tensor, " candidate"]
    level: Int[Tensor, " candidate"]
    cam_from_body: Float[Tensor, "rotation 3 3"]
    noise: Float[Tensor, " level"]

    @classmethod
    def of(cls, components: int, cam_from_body: Float[Tensor, "rotation 3 3"], noise: tuple[float, ...]) -> Candidates:
        """All of them."""
        counts = (components, len(cam_from_body), len(noise))
        grid = torch.stack(torch.meshgrid(*(torch.arange(count) for count in counts), indexing="ij")).flatten(1)
        return cls(
            component=grid[0],
            rotation=grid[1],
            level=grid[2],
            cam_from_body=cam_from_body,
            noise=torch.tensor(noise, dtype=torch.float64),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """All candidates for landmarks of the same weights."""

    quadratic: Float[Tensor, "528 candidate"]
    linear: Float[Tensor, "32 candidate"]
    constant: Float[Tensor, " candidate"]
    """γ, the log-determinant, and −2 ln of the candidate's prior."""
    told: Float[Tensor, ""]
    gain: Float[Tensor, "candidate 48 32"]
    offset: Float[Tensor, "candidate 48"]
    """What is left of the mean: the pose is `offset` + u · `gain` · picture."""

    def costs(self, picture: Float[Tensor, "batch 32"]) -> tuple[Tensor, Tensor]:
        """Return −ln p (batch, candidate) and the inverse scales, for landmarks in `CENTRED` coordinates."""
        products = picture[:, _FIRST] * picture[:, _SECOND]
        alpha, beta = products @ self.quadratic, picture @ self.linear
        root = torch.addcmul(4.0 * self.told * alpha, beta, beta).sqrt_()
        inverse_scale = root.add_(beta).div_(alpha.mul_(2.0))
        cost = torch.addcmul(self.constant, inverse_scale, beta, value=-0.5)
        return cost.sub_(inverse_scale.log().mul_(self.told)), inverse_scale

    def shapes(self, picture: Tensor, candidate: Tensor, inverse_scale: Tensor) -> Float[Tensor, "batch 48"]:
        """Return the poses of chosen candidates, one per row of the pictures."""
        moved = torch.bmm(self.gain[candidate], (picture * inverse_scale[:, None])[..., None])[..., 0]
        return moved.add_(self.offset[candidate])


def build_table(
    mixture: Mixture,
    candidates: Candidates,
    weight: Float[Tensor, " 17"],
    log_prior: Float[Tensor, " candidate"] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Table:
    """Work out all candidates, in double precision.

    Args:
        mixture: the prior.
        candidates: which to work out.
        weight: of each landmark, 0 where it is not seen; at least two are.
        log_prior: of each candidate beside the component's share.
        dtype: precision that the table is kept in.
    """
    seen = seen_from(mixture.gaussians, candidates.cam_from_body[candidates.rotation], candidates.component)
    unit = torch.eye(2, dtype=torch.float64)
    spread = candidates.noise[candidates.level].square()[:, None, None, None] * unit
    found = gains(seen, spread.expand(-1, len(weight), 2, 2), weight.double())
    middle = seen.mean[:, :_PICTURE]
    linear = (found.precision @ middle[..., None])[..., 0]
    share = mixture.shares.log()[candidates.component] + (0.0 if log_prior is None else log_prior)
    told = told_by(weight.double(), 2)
    constant = 0.5 * ((linear * middle).sum(1) + found.log_det + told) - share
    offset = seen.mean - (found.gain @ middle[..., None])[..., 0]
    tensors = {
        "quadratic": found.precision[:, _FIRST, _SECOND].mT * _TWICE[:, None],
        "linear": linear.mT,
        "constant": constant,
        "told": told,
        "gain": found.gain,
        "offset": offset,
    }
    return Table(**{name: value.to(dtype).contiguous() for name, value in tensors.items()})
