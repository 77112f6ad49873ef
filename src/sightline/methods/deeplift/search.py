"""The best of all candidates for landmarks whose weights differ from person to person.

`tables` needs the same weights for all people. Here nothing is known of the weights beforehand, so candidates are
looked at from coarse to fine, and few of them are worked out in full:

1. every fourth of 80 headings of each component with few, well chosen factors (`Rough`);
2. the likeliest of these with the whole basis (`search_systems.Turned`);
3. the headings between, next to the best of those (in more steps, where there are many);
4. what is then within rounding of the best, in double precision (`Search.solved`): this decides, and is the answer.

The winner is that of the exhaustive search for more than 999 people of 1000 (three components with a basis of 20, 80
headings, landmarks missing or weighted at random); its pose, scale and cost are those of `projection.solve`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import heading_rotations
from sightline.methods.deeplift.search_systems import (
    Corner,
    Landmarks,
    Turned,
    among_columns,
    columns_in_body,
    corners,
    factored,
    places,
    prior_entries,
    single,
)
from sightline.methods.deeplift.shapes import CENTRED, JOINTS

FIRST: Final = 20
"""About so many headings of each component are looked at first: every 18°."""
FACTORS: Final = 10
"""Factors of the first stage."""
KEPT: Final = 10
"""Candidates that the second stage looks at."""
WIDENED: Final = 4
"""Candidates whose neighbours the third stage looks at."""
ALONE: Final = 4
"""Systems up to which NumPy solves faster than torch has begun."""
FEW: Final = 40
"""So many candidates are all worked out."""
SHARPEST: Final = 5e-4
"""Least noise (body sizes), a component's and the landmarks' together, that single precision can work with."""
CHUNK: Final = 128
"""People looked at together, so that their systems stay in the processor's cache."""
_FITTING = 6
_ROUNDING = 2e-6
"""What single precision errs in costs, times the least variance: twice the most that was seen."""
_LEAST_ROUNDING = 0.02
_PICTURE = 2 * JOINTS
_TO_ROWS = CENTRED.mT.numpy()


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
    """A part of the headings, with a few factors in the picture and landmarks' own variances for all the rest.

    From one side, a few factors of its own describe a component much better than as many of its basis do, much of
    which may be depth.
    """

    candidate: Int[ndarray, " rough"]
    """Which of all candidates these are."""
    noise: Float[ndarray, "component 2 17 1"]
    """Variance of landmarks' x and y that the factors leave."""
    landmark_noise: float
    shares: Float[ndarray, "component 1"]
    """−2 ln of the components' shares."""
    from_trust: Float[ndarray, "component trust 35"]
    """From 1 and the trust in x and y of the landmarks to entries, one after the other of all headings."""
    from_trusted: Float[ndarray, "component trusted 35"]
    """The same from the sum of squares and what is trusted."""
    index: Int[ndarray, "row row"]

    @classmethod
    def build(cls, mixture: Mixture, cam_from_body: Float[Tensor, "rotation 3 3"], landmark_noise: float) -> Rough:
        """Work it out, in double precision."""
        headings = torch.arange(0, len(cam_from_body), _stride(len(cam_from_body)))
        seen = torch.einsum("rxa,ckaj->crkxj", cam_from_body[headings, :2], columns_in_body(mixture))
        factors, noise = _factors(seen[:, :, :-1].flatten(3), mixture.gaussians.noise.square(), landmark_noise)
        columns = torch.cat([factors.unflatten(3, (2, JOINTS)), seen[:, :, -1:]], dim=2)
        still = torch.eye(2, dtype=columns.dtype)[:, :, None].expand(*columns.shape[:2], 2, 2, JOINTS)
        placed = (columns[:, :, None] * still[:, :, :, None]).flatten(2, 3)
        count = columns.shape[2]
        prior = torch.zeros(count * (count + 1) // 2 + 2 * count + 2, dtype=columns.dtype)
        prior[: count * (count + 1) // 2] = torch.from_numpy(prior_entries(count))
        squares = torch.zeros(count + 4, dtype=columns.dtype)
        squares[-2] = 1.0
        none = torch.zeros_like(still)
        return cls(
            candidate=(np.arange(len(seen))[:, None] * len(cam_from_body) + headings.numpy()).ravel(),
            noise=single(noise.unflatten(1, (2, JOINTS))[..., None]),
            landmark_noise=landmark_noise**2,
            shares=single(-2.0 * mixture.shares.log()[:, None]),
            from_trust=_by_entry(prior, torch.cat([among_columns(columns, columns), placed, still], dim=2)),
            from_trusted=_by_entry(squares, torch.cat([columns, still, none], dim=2)),
            index=places(count),
        )

    def costs(self, people: Landmarks) -> Float[ndarray, "person rough"]:
        """−ln p of components × headings."""
        components, persons = len(self.noise), len(people.told)
        inputs = np.empty((2, components, 1 + _PICTURE, persons), np.float32)
        trust, trusted = inputs[:, :, 1:].reshape(2, components, 2, JOINTS, persons)
        np.divide(people.weight, people.weight * self.noise + self.landmark_noise, out=trust)
        np.multiply(trust, people.view, out=trusted)
        inputs[0, :, 0] = 1.0
        inputs[1, :, 0] = np.add.reduce(trusted * people.view, axis=(1, 2))
        first, second = self.from_trust.shape[1], self.from_trusted.shape[1]
        entries = np.empty((components, first + second, persons), np.float32)
        np.matmul(self.from_trust, inputs[0], out=entries[:, :first])
        np.matmul(self.from_trusted, inputs[1], out=entries[:, first:])
        headings = len(self.candidate) // components
        found = corners(entries.reshape(components, -1, headings * persons), self.index)
        alpha, beta, gamma = (value.reshape(components, headings, persons) for value in found)
        constant = self.shares - np.add.reduce(np.log(trust + people.unseen), axis=(1, 2))
        return Corner(alpha, beta, gamma + constant[:, None]).scaled(people.told)[1].reshape(-1, persons).T


def _by_entry(constant: Float[Tensor, " entry"], table: Float[Tensor, "component heading entry 2 17"]) -> ndarray:
    """A table (component, entry · heading, 35) in single precision."""
    first = constant.expand(*table.shape[:2], -1)[..., None]
    return single(torch.cat([first, table.flatten(3)], dim=-1).transpose(1, 2).flatten(1, 2))


def _factors(
    basis: Float[Tensor, "component heading basis 34"], own: Float[Tensor, " component"], landmark_noise: float
) -> tuple[Float[Tensor, "component heading factor 34"], Float[Tensor, "component 34"]]:
    """Factor analysis of what is seen from each side, with variances that all headings of a component share.

    Each turn takes the strongest directions in units of the present variances, and then the variances that they leave.
    """
    covariance = basis.mT @ basis
    diagonal = covariance.diagonal(dim1=-2, dim2=-1)
    count = min(FACTORS, basis.shape[2])
    factors, noise = basis, own[:, None].expand(-1, basis.shape[-1])
    for _ in range(_FITTING):
        scale = (noise + landmark_noise**2).sqrt()[:, None]
        shared = covariance + torch.diag_embed((own[:, None] - noise)[:, None].expand_as(diagonal))
        values, vectors = torch.linalg.eigh(shared / (scale[..., :, None] * scale[..., None, :]))
        lengths = values[..., -count:].clamp_min(0.0).sqrt()
        factors = (vectors[..., -count:] * lengths[..., None, :]).mT * scale[..., None, :]
        noise = own[:, None] + (diagonal - factors.square().sum(2)).clamp_min(0.0).mean(1)
    return factors, noise


class _Solved(NamedTuple):
    """`projection.Solved` for chosen candidates, in double precision."""

    shape: Float[ndarray, "row 48"]
    inverse_scale: Float[ndarray, " row"]
    cost: Float[ndarray, " row"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """All candidates, components × headings, for one noise of the landmarks and one pitch of the camera."""

    headings: int
    rounding: float
    """Nats within which single precision does not decide."""
    rough: Rough
    turned: Turned
    lines: Float[ndarray, "candidate line 50"]
    """What place (x, y), basis and mean of a candidate add to the picture (x, y of the joints) and, in `CENTRED`
    coordinates, to the depth. Double, as are the next three."""
    own: Float[ndarray, "candidate 1"]
    """Variance of the component's own noise."""
    shares: Float[ndarray, " candidate"]
    """−2 ln of the component's share."""
    prior: Float[ndarray, "row row"]
    """What the prior adds to a system: 1 for each coefficient of the basis."""
    near: tuple[Int[ndarray, "candidate _"], ...]
    """The same component turned a little: by less and less."""

    @classmethod
    def build(cls, mixture: Mixture, *, count: int = 80, pitch: float = 0.0, noise: float) -> Search:
        """Work out what does not depend on landmarks.

        Args:
            mixture: the prior.
            count: headings, evenly about the vertical.
            pitch: how far (rad) the camera looks up.
            noise: standard deviation of landmarks of weight 1, body sizes; its square over the weight is the variance.

        Raises:
            ValueError: without a heading or without noise.
        """
        own = mixture.gaussians.noise.square()
        least = float(own.min()) + noise**2
        if count < 1 or not noise > 0:
            raise ValueError(f"count, noise: expected at least one heading and some noise, got {count} and {noise}")
        if least < SHARPEST**2:
            raise ValueError(f"noise: expected at least {SHARPEST} with the mixture's own, got {least**0.5:.1e}")
        cam_from_body = heading_rotations(count, pitch)
        columns = torch.einsum("rxa,ckaj->crkxj", cam_from_body, columns_in_body(mixture)).flatten(0, 1)
        still = torch.eye(3, dtype=columns.dtype)[:2, :, None].expand(len(columns), 2, 3, JOINTS)
        lines = torch.cat([still, columns], dim=1)
        return cls(
            headings=count,
            rounding=max(_LEAST_ROUNDING, _ROUNDING / least),
            rough=Rough.build(mixture, cam_from_body, noise),
            turned=Turned.build(mixture, count, pitch, noise),
            lines=torch.cat([lines[:, :, :2].flatten(2), lines[:, :, 2] @ CENTRED.mT], dim=2).numpy(),
            own=own.repeat_interleave(count)[:, None].numpy(),
            shares=-2.0 * mixture.shares.log().repeat_interleave(count).numpy(),
            prior=np.diag([0.0, 0.0, *[1.0] * mixture.gaussians.basis.shape[2], 0.0, 0.0]),
            near=_neighbours(len(mixture.shares), count),
        )

    def best(self, xy: Float[Tensor, "person 17 2"], weight: Float[Tensor, "person 17"]) -> Found:
        """Return the best candidate of each person.

        Args:
            xy: landmarks in any unit about any place; finite also where the weight is 0.
            weight: 0 where a landmark is not seen.
        """
        view, weights = xy.detach().cpu().double().numpy(), weight.detach().cpu().double().numpy()
        if not len(view):
            return Found(*(values[:0] for values in self.best(xy.new_zeros(1, JOINTS, 2), weight.new_zeros(1, JOINTS))))
        starts = range(0, len(view), CHUNK)
        chunks = [self._best(view[start : start + CHUNK], weights[start : start + CHUNK]) for start in starts]
        merged = chunks[0] if len(chunks) == 1 else (np.concatenate(values) for values in zip(*chunks, strict=True))
        return Found(*(torch.from_numpy(values) for values in merged))

    def _best(self, xy: Float[ndarray, "person 17 2"], weight: Float[ndarray, "person 17"]) -> tuple[ndarray, ...]:
        view, size = _centred(xy, weight)
        valid = size > 0
        if not valid.all():  # these become the first candidate's mean
            view = np.where(valid[:, None], view, self.lines[0, -1, :_PICTURE])
            weight = np.where(valid[:, None], weight, 1.0)
            size = np.where(valid, size, 1.0)
        told = 2.0 * np.add.reduce(weight > 0, axis=1) - 2.0
        cost = self.costs(_landmarks(view, weight, told))
        person, candidate = (cost <= np.minimum.reduce(cost, axis=1, keepdims=True) + self.rounding).nonzero()
        found = self.solved(candidate, view[person], weight[person], told[person])
        if len(person) > len(view):
            exact = np.full(cost.shape, np.inf)
            exact[person, candidate] = found.cost
            rows = (candidate == exact.argmin(1)[person]).nonzero()[0]
            candidate, found = candidate[rows], _Solved(*(value[rows] for value in found))
        component, rotation = np.divmod(candidate, self.headings)
        return component, rotation, found.cost + told * np.log(size), found.inverse_scale / size, found.shape, valid

    def costs(self, people: Landmarks) -> Float[ndarray, "person candidate"]:
        """−ln p of candidates that were worked out, in single precision; infinity for all others."""
        persons, candidates = len(people.told), len(self.lines)
        prepared = self.turned.prepared(people)
        if candidates <= FEW:
            return self.turned.costs(prepared, np.broadcast_to(np.arange(candidates), (persons, candidates)))
        rows = np.arange(persons)[:, None]
        tried = self.rough.candidate[_least(self.rough.costs(people), KEPT)]
        found = self.turned.costs(prepared, tried)
        for near in self.near:
            more = near[tried[rows, _least(found, WIDENED)]].reshape(persons, -1)
            found = np.concatenate([found, self.turned.costs(prepared, more)], axis=1)
            tried = np.concatenate([tried, more], axis=1)
        cost = np.full((persons, candidates), np.inf, np.float32)
        cost[rows, tried] = found
        return cost

    def solved(
        self,
        candidate: Int[ndarray, " row"],
        view: Float[ndarray, "row 34"],
        weight: Float[ndarray, "row 17"],
        told: Float[ndarray, " row"],
    ) -> _Solved:
        """`projection.solve` where the noise is the same in x and y; landmarks are x of all, then y of all."""
        lines, own = self.lines[candidate], self.own[candidate]
        trust = weight / (weight * own + self.turned.landmark_noise)
        log_trust = np.add.reduce(np.log(trust + (weight == 0)), axis=1)
        trust = np.concatenate([trust, trust], axis=1)
        roots = np.concatenate([lines[..., :_PICTURE], view[:, None]], axis=1) * np.sqrt(trust)[:, None]
        factor, (alpha, beta, gamma) = factored(roots @ roots.swapaxes(1, 2) + self.prior)
        inverse_scale, cost = Corner(alpha, beta, gamma + self.shares[candidate] - 2.0 * log_trust).scaled(told)
        scale = inverse_scale[:, None]
        right = scale * factor[:, -1, :-2] - factor[:, -2, :-2]
        unknowns = _solved_upper(factor[:, :-2, :-2].swapaxes(1, 2), right)
        body = lines[:, -1] + (unknowns[:, None] @ lines[:, :-1])[:, 0]
        picture = body[:, :_PICTURE]
        picture = picture + own * trust * (scale * view - picture)
        across = picture.reshape(-1, 2, JOINTS) @ _TO_ROWS
        return _Solved(np.concatenate([across.reshape(len(own), -1), body[:, _PICTURE:]], axis=1), inverse_scale, cost)


def _solved_upper(matrix: Float[ndarray, "row side side"], right: Float[ndarray, "row side"]) -> ndarray:
    if len(right) <= ALONE:
        return np.linalg.solve(matrix, right[..., None])[..., 0]
    solution = torch.linalg.solve_triangular(torch.from_numpy(matrix), torch.from_numpy(right)[..., None], upper=True)
    return solution[..., 0].numpy()


def _stride(count: int) -> int:
    """How many headings from one of the first to the next."""
    return max(1, round(count / FIRST))


def _neighbours(components: int, count: int) -> tuple[Int[ndarray, "candidate _"], ...]:
    """Per step, which candidates lie about each one, until no heading is left out between the first ones."""
    headings, tables, gap = np.arange(components * count).reshape(components, count, 1), [], _stride(count)
    while gap > 1:
        unit = -(-gap // 5)
        reach = -(-(gap - unit) // (2 * unit))
        steps = unit * np.array([step for step in range(-reach, reach + 1) if step])
        turned = (np.arange(count)[:, None] + steps) % count
        tables.append((headings[:, :1] + turned).reshape(components * count, -1))
        gap = unit
    return tuple(tables)


def _least(cost: Float[ndarray, "person candidate"], count: int) -> Int[ndarray, "person chosen"]:
    """Which are the lowest, in any order."""
    count = min(count, cost.shape[1])
    return cost.argpartition(count - 1, axis=1)[:, :count]


def _centred(
    xy: Float[ndarray, "person 17 2"], weight: Float[ndarray, "person 17"]
) -> tuple[Float[ndarray, "person 34"], Float[ndarray, " person"]]:
    """Landmarks (x of all, y of all) about their weighted mean, of weighted variance 1, and what they were divided by.

    That is 0 for people without two landmarks that are apart; their landmarks are then of no use.
    """
    total = np.add.reduce(weight, axis=1, keepdims=True)
    share = (weight / np.maximum(total, 1e-30))[:, None]
    place = share @ xy
    view = xy - place
    size = np.sqrt(np.add.reduce(share @ (view * view), axis=(1, 2)))
    size = size * (size > 1e-12 * np.abs(place).max((1, 2)))
    return view.swapaxes(1, 2).reshape(-1, _PICTURE) / (size + (size == 0))[:, None], size


def _landmarks(
    view: Float[ndarray, "person 34"], weight: Float[ndarray, "person 17"], told: Float[ndarray, " person"]
) -> Landmarks:
    """As the first stages want them."""
    weights, views = weight.T.astype(np.float32, order="C"), view.T.astype(np.float32, order="C")
    return Landmarks(weights, (weights == 0).astype(np.float32), views.reshape(2, JOINTS, -1), told.astype(np.float32))
