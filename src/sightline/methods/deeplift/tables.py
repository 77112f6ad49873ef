"""Everything about a set of landmarks that does not depend on where they are, worked out once for all candidates.

A candidate is a component seen from one side at one level of noise. For given landmarks and weights each has a
quadratic form; its 528 different entries times the products of the landmarks' coordinates, for all candidates, are one
matrix product. That is why lifting a person costs about as much as reading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import gains, seen_from, told_by
from sightline.methods.deeplift.shapes import ROWS

_PICTURE = 2 * ROWS
_FIRST, _SECOND = torch.triu_indices(_PICTURE, _PICTURE)
_TWICE = torch.where(_FIRST == _SECOND, 2.0, 4.0).double()
_CHUNK = 256
"""People looked at together, so that their products stay in the processor's cache."""


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


class Best(NamedTuple):
    """The likeliest candidate of each person."""

    candidate: Int[Tensor, " batch"]
    inverse_scale: Float[Tensor, " batch"]
    shape: Float[Tensor, "batch 48"]
    """The pose, body sizes, in the camera's axes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """All candidates for landmarks of the same weights."""

    quadratic: Float[Tensor, "528 candidate"]
    """2 M, off the diagonal twice: what the products of coordinates have to be added up with for 2 α."""
    linear: Float[Tensor, "32 candidate"]
    constant: Float[Tensor, " candidate"]
    """γ, the log-determinant and the candidate's prior, over n."""
    told: float
    """n."""
    gain: Float[Tensor, "candidate 48 32"]
    offset: Float[Tensor, "candidate 48"]
    """What is left of the mean: the pose is `offset` + u · `gain` · view."""

    def costs(self, view: Float[Tensor, "batch 32"]) -> tuple[Tensor, Tensor]:
        """Return −ln p (batch, candidate) and the inverse scales, for landmarks in `CENTRED` coordinates."""
        shares, inverse_scale = self._shares(view)
        return shares.mul_(self.told), inverse_scale

    def _shares(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """The same with −ln p over n; few passes over the candidates, since these take as long as the products."""
        products = view.index_select(1, _FIRST).mul_(view.index_select(1, _SECOND))
        twice_alpha, beta = products @ self.quadratic, view @ self.linear
        inverse_scale = torch.addcmul(twice_alpha * (2.0 * self.told), beta, beta).sqrt_().add_(beta).div_(twice_alpha)
        shares = torch.addcmul(self.constant, inverse_scale, beta, value=-0.5 / self.told)
        return shares.sub_(inverse_scale.log()), inverse_scale

    def best(self, view: Float[Tensor, "batch 32"]) -> Best:
        """Return the likeliest candidates and their poses: the core of lifting."""
        parts = [self._best(part) for part in view.split(_CHUNK)] if len(view) > _CHUNK else [self._best(view)]
        return parts[0] if len(parts) == 1 else Best(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def _best(self, view: Tensor) -> Best:
        shares, inverse_scale = self._shares(view)
        candidate = shares.argmin(1)
        scale = inverse_scale.gather(1, candidate[:, None])
        return Best(candidate, scale[:, 0], self.shapes(view, candidate, scale[:, 0]))

    def shapes(
        self, view: Float[Tensor, "batch 32"], candidate: Int[Tensor, " batch"], inverse_scale: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch 48"]:
        """Return the poses of chosen candidates, one per row of the views."""
        moved = torch.bmm(self.gain.index_select(0, candidate), (view * inverse_scale[:, None])[..., None])
        return moved[..., 0].add_(self.offset.index_select(0, candidate))


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
    tensors = {
        "quadratic": found.precision[:, _FIRST, _SECOND].mT * _TWICE[:, None],
        "linear": linear.mT,
        "constant": constant / told,
        "gain": found.gain,
        "offset": seen.mean - (found.gain @ middle[..., None])[..., 0],
    }
    return Table(told=float(told), **{name: value.to(dtype).contiguous() for name, value in tensors.items()})
