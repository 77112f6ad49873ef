"""Everything about a set of landmarks that does not depend on where they are, worked out once for all candidates.

A candidate is a component seen from one side at one level of noise. For given landmarks and weights each has a
quadratic form; its 528 different entries times the products of the landmarks' coordinates, for all candidates, are one
matrix product. That is why lifting a person costs about as much as reading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import gains, seen_from, told_by
from sightline.methods.deeplift.shapes import DIMENSIONS, JOINTS, ROWS

_PICTURE = 2 * ROWS
_FIRST, _SECOND = torch.triu_indices(_PICTURE, _PICTURE)
_TWICE = torch.where(_FIRST == _SECOND, 2.0, 4.0).double()
_CHUNK = 256
"""People looked at together, so that their products stay in the processor's cache."""
_BUILT = 256
"""Candidates worked out together."""
_ROUNDING = 10.0
"""What a table's precision errs in costs, times its epsilon and its largest entry: twice the most that was seen."""


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


class Poses(NamedTuple):
    """What a table has to know for poses, and to decide between candidates that its precision cannot tell apart."""

    gain: Float[Tensor, "candidate 48 32"]
    offset: Float[Tensor, "candidate 48"]
    """What is left of the mean: the pose is `offset` + u · `gain` · view."""
    exact: Float[Tensor, "candidate 561"]
    """The table in double precision, a candidate's numbers together: quadratic, linear, constant."""


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
    rounding: float
    """Nats over n within which the table's precision does not decide."""
    poses: Poses | None

    @property
    def nbytes(self) -> int:
        """Memory that the table takes."""
        tensors = (self.quadratic, self.linear, self.constant, *(self.poses or ()))
        return sum(tensor.nbytes for tensor in tensors)

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
        chosen = shares.argmin(1)
        close = shares <= shares.gather(1, chosen[:, None]).add_(self.rounding)
        if int(close.count_nonzero()) > len(view):
            rows = (close.count_nonzero(1) > 1).nonzero()[:, 0]
            chosen[rows] = self._decided(view[rows], close[rows])
        scale = inverse_scale.gather(1, chosen[:, None])[:, 0]
        return Best(chosen, scale, self.shapes(view, chosen, scale))

    def _decided(
        self, view: Float[Tensor, "batch 32"], among: Bool[Tensor, "batch candidate"]
    ) -> Int[Tensor, " batch"]:
        """The likeliest of the candidates that each person is left with, in double precision."""
        person, candidate = among.nonzero(as_tuple=True)
        forms, part = self._with_poses().exact.index_select(0, candidate), view.double()[person]
        quadratic, linear, constant = forms.split((len(_FIRST), _PICTURE, 1), dim=1)
        twice_alpha = (part[:, _FIRST] * part[:, _SECOND] * quadratic).sum(1)
        beta = (part * linear).sum(1)
        inverse_scale = (beta + (beta.square() + 2.0 * self.told * twice_alpha).sqrt()) / twice_alpha
        exact = torch.full(among.shape, torch.inf, dtype=torch.float64)
        exact[person, candidate] = constant[:, 0] - 0.5 / self.told * inverse_scale * beta - inverse_scale.log()
        return exact.argmin(1)

    def shapes(
        self, view: Float[Tensor, "batch 32"], candidate: Int[Tensor, " batch"], inverse_scale: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch 48"]:
        """Return the poses of chosen candidates, one per row of the views."""
        poses = self._with_poses()
        gain, offset = poses.gain.index_select(0, candidate), poses.offset.index_select(0, candidate)
        return torch.baddbmm(offset[..., None], gain, (view * inverse_scale[:, None])[..., None])[..., 0]

    def _with_poses(self) -> Poses:
        if self.poses is None:
            raise ValueError("table: expected one built with poses=True")
        return self.poses


def build_table(
    mixture: Mixture,
    candidates: Candidates,
    weight: Float[Tensor, " 17"],
    log_prior: Float[Tensor, " candidate"] | None = None,
    dtype: torch.dtype = torch.float32,
    *,
    poses: bool = True,
) -> Table:
    """Work out all candidates, in double precision.

    Args:
        mixture: the prior.
        candidates: which to work out.
        weight: of each landmark, 0 where it is not seen; at least two are.
        log_prior: of each candidate beside the component's share.
        dtype: precision that the table is kept in.
        poses: whether it is for poses too, or for costs only, which takes a seventh of the memory.
    """
    weight, count = weight.double(), len(candidates.component)
    told, posed = float(told_by(weight, 2)), count if poses else 0
    quadratic, linear = torch.empty(len(_FIRST), count, dtype=dtype), torch.empty(_PICTURE, count, dtype=dtype)
    constant, offset = torch.empty(count, dtype=dtype), torch.empty(posed, DIMENSIONS, dtype=dtype)
    gain = torch.empty(posed, DIMENSIONS, _PICTURE, dtype=dtype)
    exact = torch.empty(posed, len(_FIRST) + _PICTURE + 1, dtype=torch.float64)
    for rows in torch.arange(count).split(_BUILT):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        component, rotation = candidates.component[part], candidates.rotation[part]
        seen = seen_from(mixture.gaussians, candidates.cam_from_body[rotation], component)
        found = gains(seen, _spread(candidates.noise[candidates.level[part]]), weight)
        middle = seen.mean[:, :_PICTURE]
        pulled = (found.precision @ middle[..., None])[..., 0]
        share = mixture.shares.log()[component] + (0.0 if log_prior is None else log_prior[part])
        rest = 0.5 * ((pulled * middle).sum(1) + found.log_det + told) - share
        forms = torch.cat([found.precision[:, _FIRST, _SECOND] * _TWICE, pulled, rest[:, None] / told], dim=1)
        for kept, form in zip((quadratic, linear, constant), forms.mT.split((len(_FIRST), _PICTURE, 1)), strict=True):
            kept[..., part] = form
        if poses:
            gain[part], exact[part] = found.gain, forms
            offset[part] = seen.mean - (found.gain @ middle[..., None])[..., 0]
    return Table(
        quadratic=quadratic,
        linear=linear,
        constant=constant,
        told=told,
        rounding=_ROUNDING * torch.finfo(dtype).eps * float(quadratic.abs().max()) / told,
        poses=Poses(gain, offset, exact) if poses else None,
    )


def _spread(noise: Float[Tensor, " candidate"]) -> Float[Tensor, "candidate 17 2 2"]:
    """Covariances of all landmarks."""
    unit = torch.eye(2, dtype=torch.float64)
    return (noise.square()[:, None, None, None] * unit).expand(-1, JOINTS, 2, 2)
