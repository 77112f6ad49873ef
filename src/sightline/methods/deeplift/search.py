"""The best of all candidates for landmarks whose weights differ from person to person.

`tables` needs the same weights for all people. Here nothing is known of the weights beforehand, so candidates are
looked at from coarse to fine, and hardly a tenth of them is worked out in full:

1. every fourth heading of each component with few, well chosen factors (`Rough`);
2. the likeliest of these with the whole basis (`search_systems.Turned`);
3. the headings between, next to the best of those;
4. what is then within rounding of the best, in double precision (`_solved`): this decides, and gives the answer.

The winner is that of the exhaustive search for more than 999 people of 1000; its pose, scale and cost are those of
`projection.solve`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import Solved, heading_rotations, scaled, told_by
from sightline.methods.deeplift.search_systems import People, Turned, among_columns, columns_in_body, corners, places
from sightline.methods.deeplift.shapes import CENTRED, JOINTS, ROWS, rotated

STRIDE: Final = 4
"""Headings from one of the first stage to the next."""
FACTORS: Final = 6
"""Factors of the first stage."""
KEPT: Final = 12
"""Candidates that the second stage looks at."""
WIDENED: Final = 4
"""Candidates whose neighbours the third stage looks at."""
FEW: Final = 40
"""So many candidates are all worked out."""
ROUNDING: Final = 0.05
"""Nats within which single precision does not decide."""
CHUNK: Final = 160
"""People looked at together, so that their systems stay in the processor's cache."""
_FITTING = 6


class Found(NamedTuple):
    """The best candidate of each person."""

    component: Int[Tensor, " person"]
    rotation: Int[Tensor, " person"]
    cost: Float[Tensor, " person"]
    """−ln p (nats), as in `projection.Solved`."""
    inverse_scale: Float[Tensor, " person"]
    """Body sizes per unit of the landmarks."""
    shape: Float[Tensor, "person 48"]
    """The pose in the camera's axes, body sizes."""
    valid: Bool[Tensor, " person"]
    """False for people without two landmarks apart from each other; all else that is said of them is made up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rough:
    """Every fourth heading, with a few factors in the picture and landmarks' own variances for all the rest.

    From one side, a few factors of its own describe a component much better than as many of its basis do, much of
    which may be depth.
    """

    candidate: Int[Tensor, " rough"]
    """Which of all candidates these are."""
    noise: Float[Tensor, "component 2 17 1"]
    """Variance of landmarks' x and y that the factors leave."""
    landmark_noise: float
    from_trust: Float[Tensor, "component entry 34"]
    prior: Float[Tensor, "entry 1"]
    from_trusted: Float[Tensor, "component entry 34"]
    shares: Float[Tensor, "component 1"]
    index: Int[Tensor, "row row"]

    @classmethod
    def build(cls, mixture: Mixture, cam_from_body: Float[Tensor, "rotation 3 3"], landmark_noise: float) -> Rough:
        """Work it out, in double precision."""
        headings = torch.arange(0, len(cam_from_body), STRIDE)
        seen = torch.einsum("rxa,ckaj->crkxj", cam_from_body[headings, :2], columns_in_body(mixture))
        own = mixture.gaussians.noise.square()
        factors, noise = _factors(seen[:, :, :-1].flatten(3), own, landmark_noise**2)
        columns = torch.cat([factors.unflatten(3, (2, JOINTS)), seen[:, :, -1:]], dim=2)
        count = columns.shape[2]
        still = torch.eye(2, dtype=columns.dtype)[:, :, None].expand(*columns.shape[:2], 2, 2, JOINTS)
        placed = (columns[:, :, :, None] * still[:, :, None]).transpose(2, 3).flatten(2, 3)
        from_trust = torch.cat([among_columns(columns, columns), placed, still], dim=2)
        among = count * (count + 1) // 2
        prior = torch.zeros(from_trust.shape[2])
        prior[:among] = torch.eye(count)[tuple(torch.triu_indices(count, count))]
        prior[among - 1] = 0.0
        return cls(
            candidate=(torch.arange(len(seen))[:, None] * len(cam_from_body) + headings).flatten(),
            noise=noise.unflatten(1, (2, JOINTS)).float()[..., None],
            landmark_noise=landmark_noise**2,
            from_trust=_entries_first(from_trust),
            prior=prior.repeat_interleave(len(headings))[:, None],
            from_trusted=_entries_first(torch.cat([columns, still], dim=2)),
            shares=-2.0 * mixture.shares.log().float()[:, None],
            index=places(count),
        )

    def costs(self, people: People) -> Float[Tensor, "person candidate"]:
        """−ln p of components × headings."""
        trust = people.weight / torch.add(people.weight * self.noise, self.landmark_noise)
        trusted, squares, log = people.trusted(trust)
        components, persons = squares.shape
        headings = len(self.candidate) // components
        squares = torch.stack([squares, torch.zeros_like(squares)], dim=1)[:, :, None].expand(-1, -1, headings, -1)
        parts = [
            torch.baddbmm(self.prior, self.from_trust, trust.flatten(1, 2)).unflatten(1, (-1, headings)),
            torch.bmm(self.from_trusted, trusted.flatten(1, 2)).unflatten(1, (-1, headings)),
            squares,
        ]
        shape = (components, headings, persons)
        constant = (self.shares - log)[:, None].expand(shape).flatten()
        corner = corners([part.transpose(0, 1) for part in parts], self.index)
        cost = corner.costs(constant, people.told.expand(shape).flatten())
        return cost.view(-1, persons).mT


def _entries_first(table: Float[Tensor, "component heading entry axis 17"]) -> Float[Tensor, "component all 34"]:
    return table.transpose(1, 2).flatten(3).flatten(1, 2).float().contiguous()


def _factors(
    basis: Float[Tensor, "component heading basis 34"], own: Float[Tensor, " component"], landmark_noise: float
) -> tuple[Float[Tensor, "component heading factor 34"], Float[Tensor, "component 34"]]:
    """Factor analysis of what is seen from each side, with variances that all headings of a component share.

    Each turn takes the strongest directions in units of the present variances, and then the variances that they leave.
    """
    covariance = basis.mT @ basis
    diagonal = covariance.diagonal(dim1=-2, dim2=-1)
    noise = own[:, None].expand(-1, basis.shape[-1])
    factors = basis
    for _ in range(_FITTING):
        scale = (noise + landmark_noise).sqrt()[:, None]
        inner = covariance + torch.diag_embed((own[:, None] - noise)[:, None].expand_as(diagonal))
        values, vectors = torch.linalg.eigh(inner / (scale[..., :, None] * scale[..., None, :]))
        count = min(FACTORS, basis.shape[2])
        lengths = values[..., -count:].clamp_min(0.0).sqrt()
        factors = (vectors[..., -count:] * lengths[..., None, :]).mT * scale[..., None, :]
        noise = own[:, None] + (diagonal - factors.square().sum(2)).clamp_min(0.0).mean(1)
    return factors, noise


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """All candidates, components × headings, for one noise of the landmarks and one pitch of the camera."""

    mixture: Mixture
    cam_from_body: Float[Tensor, "rotation 3 3"]
    noise: float
    """Standard deviation of landmarks of weight 1, body sizes."""
    rough: Rough
    turned: Turned
    columns: Float[Tensor, "candidate column 34"]
    """Basis and mean of each candidate in the picture, double."""
    near: Int[Tensor, "candidate neighbour"]
    """The same component turned a little."""

    @classmethod
    def build(cls, mixture: Mixture, *, count: int = 80, pitch: float = 0.0, noise: float) -> Search:
        """Work out what does not depend on landmarks.

        Args:
            mixture: the prior.
            count: headings, evenly about the vertical.
            pitch: how far (rad) the camera looks up.
            noise: standard deviation of landmarks of weight 1, body sizes; its square over the weight is the variance.
        """
        cam_from_body = heading_rotations(count, pitch)
        columns = torch.einsum("rxa,ckaj->crkxj", cam_from_body[:, :2], columns_in_body(mixture))
        return cls(
            mixture=mixture,
            cam_from_body=cam_from_body,
            noise=noise,
            rough=Rough.build(mixture, cam_from_body, noise),
            turned=Turned.build(mixture, count, pitch, noise),
            columns=columns.flatten(3).flatten(0, 1).contiguous(),
            near=_neighbours(len(mixture.shares), count),
        )

    def best(self, xy: Float[Tensor, "person 17 2"], weight: Float[Tensor, "person 17"]) -> Found:
        """Return the best candidate of each person.

        Args:
            xy: landmarks in any unit about any place; finite also where the weight is 0.
            weight: 0 where a landmark is not seen.
        """
        with torch.inference_mode():
            chunks = [self._best(*both) for both in zip(xy.split(CHUNK), weight.split(CHUNK), strict=True)]
        return Found(*(torch.cat(values) for values in zip(*chunks, strict=True)))

    def _best(self, xy: Tensor, weight: Tensor) -> Found:
        xy, weight, valid = self._answerable(xy.double(), weight.double())
        cost = self.costs(_people(xy, weight))
        person, candidate = (cost <= cost.amin(1, keepdim=True) + ROUNDING).nonzero(as_tuple=True)
        exact = self._solved(candidate, xy[person], weight[person])
        if len(person) > len(xy):
            cost = cost.double().fill_(torch.inf).index_put_((person, candidate), exact.cost)
            winner = cost.argmin(1)
            row = (candidate == winner[person]).nonzero()[:, 0]
            candidate, exact = candidate[row], type(exact)(*(value[row] for value in exact))
        count = len(self.cam_from_body)
        return Found(candidate // count, candidate % count, exact.cost, exact.inverse_scale, exact.shape, valid)

    def costs(self, people: People) -> Float[Tensor, "person candidate"]:
        """−ln p of candidates that were worked out, in single precision; infinity for all others."""
        count, persons = len(self.cam_from_body), len(people.told)
        prepared = self.turned.prepared(people)
        if len(self.columns) <= FEW:
            everything = torch.arange(len(self.columns)).expand(persons, -1)
            return self.turned.costs(prepared, people.told, everything)
        start = self.rough.candidate[_least(self.rough.costs(people), KEPT)]
        found = self.turned.costs(prepared, people.told, start)
        near = self.near[start.gather(1, _least(found, WIDENED))].flatten(1)
        cost = found.new_full((persons, len(self.columns)), torch.inf).scatter_(1, start, found)
        return cost.scatter_(1, near, self.turned.costs(prepared, people.told, near))

    def _answerable(self, xy: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Who has two landmarks apart from each other; all others become the first candidate's mean."""
        place, size = _place_and_size(xy, weight)
        valid = ((weight > 0).sum(1) > 1) & (size > 1e-12 * place.abs().amax((1, 2)))
        if not bool(valid.all()):
            middle = self.columns[0, -1].view(2, JOINTS).mT
            xy = torch.where(valid[:, None, None], xy, middle)
            weight = torch.where(valid[:, None], weight, 1.0)
        return xy, weight, valid

    def _solved(self, candidate: Int[Tensor, " row"], xy: Tensor, weight: Tensor) -> Solved:
        """`projection.solve` for spread that is the same in x and y, in double precision."""
        gaussians = self.mixture.gaussians
        rotation, component = candidate % len(self.cam_from_body), candidate // len(self.cam_from_body)
        own = gaussians.noise.square()[component, None]
        trust = (weight / (weight * own + self.noise**2))[:, None]
        total = trust.sum(-1, keepdim=True)
        lines = torch.cat([self.columns[candidate], xy.mT.flatten(1)[:, None]], dim=1).unflatten(2, (2, JOINTS))
        sums = (lines * trust[:, None]).sum(-1, keepdim=True)
        lines = lines - sums / total[:, None]
        roots = (lines * trust.sqrt()[:, None]).flatten(2)
        matrix = torch.bmm(roots, roots.mT)
        diagonal = matrix.diagonal(dim1=1, dim2=2)
        corner = matrix[:, -2:, -2:].clone()
        diagonal[:, :-2] += 1.0
        diagonal[:, -2:] *= 2.0
        factor = torch.linalg.cholesky_ex(matrix)[0]
        border = factor[:, -2:, :-2]
        corner.baddbmm_(border, border.mT, alpha=-1.0)
        seen = weight > 0
        log_det = 2 * (factor.diagonal(dim1=1, dim2=2)[:, :-2].log().sum(1) + total[:, 0, 0].log())
        log_det = log_det - 2 * (trust[:, 0] + ~seen).log().sum(1) - 2 * self.mixture.shares.log()[component]
        told = 2.0 * (seen.sum(1) - 1)
        best = scaled(corner[:, 1, 1], corner[:, 0, 1], corner[:, 0, 0] + log_det, told)
        scale = best.inverse_scale[:, None]
        right = (scale * border[:, 1] - border[:, 0])[..., None]
        coefficients = torch.linalg.solve_triangular(factor[:, :-2, :-2].mT, right, upper=True)
        rest = scale[..., None] * lines[:, -1] - lines[:, -2]
        rest = rest - (lines[:, :-2] * coefficients[..., None]).sum(1)
        body = gaussians.mean[component] + torch.bmm(gaussians.basis[component], coefficients)[..., 0]
        shape = rotated(body, self.cam_from_body[rotation])
        shape[:, : 2 * ROWS] += ((own[..., None] * rest * trust) @ CENTRED.mT).flatten(1)
        return Solved(shape, *best)


def _neighbours(components: int, count: int) -> Int[Tensor, "candidate neighbour"]:
    """Headings nearer to one of the first stage than to its neighbours."""
    reach = STRIDE // 2
    steps = torch.tensor([step for step in range(-reach, reach + 1) if step])
    headings = (torch.arange(count)[:, None] + steps) % count
    return (torch.arange(components)[:, None, None] * count + headings).flatten(0, 1)


def _least(cost: Float[Tensor, "person candidate"], count: int) -> Int[Tensor, "person chosen"]:
    return cost.topk(min(count, cost.shape[1]), 1, largest=False, sorted=False).indices


def _place_and_size(xy: Tensor, weight: Tensor) -> tuple[Float[Tensor, "person 1 2"], Float[Tensor, " person"]]:
    share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-30))[..., None]
    place = (share * xy).sum(1, keepdim=True)
    return place, (share * (xy - place).square()).sum((1, 2)).sqrt()


def _people(xy: Float[Tensor, "person 17 2"], weight: Float[Tensor, "person 17"]) -> People:
    """Landmarks as the first stages want them."""
    place, size = _place_and_size(xy, weight)
    view = ((xy - place) / size[:, None, None]).permute(2, 1, 0)
    return People(weight.mT.float().contiguous(), view.float().contiguous(), told_by(weight, 2).float())
