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

from collections.abc import Callable
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
    picture_factors,
    places,
    prior_entries,
    single,
    solved_upper,
)
from sightline.methods.deeplift.shapes import CENTRED, JOINTS

FIRST: Final = 20
"""About so many headings of each component are looked at first: every 18°."""
FACTORS: Final = 6, 8
"""Factors of the first stage, at least and at most: a fifth of the basis."""
KEPT: Final = 12
"""Candidates that the second stage looks at, or three for each component where that is more."""
WIDENED: Final = 3
"""Candidates whose neighbours the third stage looks at, and one more for every three components beyond the third."""
FEW: Final = 40
"""So many candidates are all worked out."""
SHARPEST: Final = 5e-4
"""Least noise (body sizes), a component's and the landmarks' together, that single precision can work with."""
CHUNK: Final = 75_000
"""Rows of systems worked out together, so that they stay in the processor's cache."""
_ROUNDING = 2e-6
"""What single precision errs in costs, times the least variance: twice the most that was seen."""
_LEAST_ROUNDING = 0.02
_PICTURE = 2 * JOINTS
_TO_ROWS = CENTRED.mT.numpy()
_STILL = np.eye(2)[:, :, None]


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
        own = mixture.gaussians.noise.square()
        least, most = FACTORS
        count = min(max(least, (seen.shape[2] - 1) // 5), most)
        factors, noise = picture_factors(seen[:, :, :-1].flatten(3), own, landmark_noise, count)
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


class _People(NamedTuple):
    """People in double precision."""

    view: Float[ndarray, "person 34"]
    """Landmarks, x of all and then y of all, about their weighted mean, of weighted variance 1."""
    size: Float[ndarray, " person"]
    """What they were divided by."""
    weight: Float[ndarray, "person 17"]
    told: Float[ndarray, " person"]
    """How many numbers the landmarks tell beyond their place."""
    valid: Bool[ndarray, " person"]

    def landmarks(self) -> Landmarks:
        """As the first stages want them."""
        weights, views = (rows.T.astype(np.float32, order="C") for rows in (self.weight, self.view))
        unseen = (weights == 0).astype(np.float32)
        return Landmarks(weights, unseen, views.reshape(2, JOINTS, -1), self.told.astype(np.float32))


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
    turns: Float[ndarray, "heading 3 3"]
    """From body axes to the camera's. Double, as are the next four."""
    columns: Float[ndarray, "component 3 column 17"]
    """Basis and mean as joints in body axes."""
    own: Float[ndarray, " component"]
    """Variance of a component's own noise."""
    shares: Float[ndarray, " component"]
    """−2 ln of a component's share."""
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
        return cls(
            headings=count,
            rounding=max(_LEAST_ROUNDING, _ROUNDING / least),
            rough=Rough.build(mixture, cam_from_body, noise),
            turned=Turned.build(mixture, count, pitch, noise),
            turns=cam_from_body.numpy(),
            columns=columns_in_body(mixture).transpose(1, 2).contiguous().numpy(),
            own=own.numpy(),
            shares=-2.0 * mixture.shares.log().numpy(),
            prior=np.diag([0.0, 0.0, *[1.0] * mixture.gaussians.basis.shape[2], 0.0, 0.0]),
            near=_neighbours(len(mixture.shares), count),
        )

    def best(self, xy: Float[Tensor, "person 17 2"], weight: Float[Tensor, "person 17"]) -> Found:
        """Return the best candidate of each person.

        Args:
            xy: landmarks in any unit about any place; finite also where the weight is 0.
            weight: 0 where a landmark is not seen.
        """
        return Found(*self._by_chunk(self._best, xy, weight))

    def kept(
        self, xy: Float[Tensor, "person 17 2"], weight: Float[Tensor, "person 17"], count: int
    ) -> tuple[Int[Tensor, "person count"], Float[Tensor, "person count"]]:
        """Return each person's `count` cheapest candidates of those worked out, cheapest first, and their costs.

        Costs are −ln p as in `projection.Solved`, so those of searches with other noise or another pitch compare.
        Where fewer were worked out, and for people without two landmarks apart from each other, candidates are made up
        and cost infinity. Arguments as in `best`.
        """
        if count < 1:
            raise ValueError(f"count: expected at least 1, got {count}")
        candidate, cost = self._by_chunk(lambda view, weights: self._kept(view, weights, count), xy, weight)
        return candidate, cost

    @property
    def _second(self) -> int:
        """Candidates that the second stage looks at."""
        return max(KEPT, 3 * len(self.columns))

    def _by_chunk(self, way: Callable[[ndarray, ndarray], tuple[ndarray, ...]], xy: Tensor, weight: Tensor) -> list:
        view, weights = xy.detach().cpu().double().numpy(), weight.detach().cpu().double().numpy()
        if not len(view):
            return [value[:0] for value in self._by_chunk(way, xy.new_zeros(1, JOINTS, 2), weight.new_zeros(1, JOINTS))]
        together = max(1, CHUNK // (len(self.prior) * self._second))
        parts = (slice(start, start + together) for start in range(0, len(view), together))
        chunks = [way(view[part], weights[part]) for part in parts]
        merged = chunks[0] if len(chunks) == 1 else (np.concatenate(values) for values in zip(*chunks, strict=True))
        return [torch.from_numpy(values) for values in merged]

    def _best(self, xy: Float[ndarray, "person 17 2"], weight: Float[ndarray, "person 17"]) -> tuple[ndarray, ...]:
        people = self._people(xy, weight)
        cost = self.costs(people.landmarks())
        person, candidate = (cost <= np.minimum.reduce(cost, axis=1, keepdims=True) + self.rounding).nonzero()
        found = self._solved_of(people, person, candidate)
        if len(person) > len(xy):
            exact = np.full(cost.shape, np.inf)
            exact[person, candidate] = found.cost
            rows = (candidate == exact.argmin(1)[person]).nonzero()[0]
            candidate, found = candidate[rows], _Solved(*(value[rows] for value in found))
        component, rotation = np.divmod(candidate, self.headings)
        units = people.told * np.log(people.size)
        return component, rotation, found.cost + units, found.inverse_scale / people.size, found.shape, people.valid

    def _kept(self, xy: ndarray, weight: ndarray, count: int) -> tuple[ndarray, ndarray]:
        people = self._people(xy, weight)
        cost = self.costs(people.landmarks())
        asked = min(count, cost.shape[1])
        last = np.partition(cost, asked - 1, axis=1)[:, asked - 1 : asked]
        person, candidate = ((cost <= last + self.rounding) & np.isfinite(cost)).nonzero()
        exact = np.full(cost.shape, np.inf)
        exact[person, candidate] = self._solved_of(people, person, candidate).cost
        order = exact.argsort(1, kind="stable")[:, :asked]
        units = np.where(people.valid, people.told * np.log(people.size), np.inf)
        cost = np.take_along_axis(exact, order, 1) + units[:, None]
        fill = (0, 0), (0, count - asked)
        return np.pad(order, fill), np.pad(cost, fill, constant_values=np.inf)

    def _people(self, xy: Float[ndarray, "person 17 2"], weight: Float[ndarray, "person 17"]) -> _People:
        view, size = _centred(xy, weight)
        valid = size > 0
        if not valid.all():  # these become the first candidate's mean
            view = np.where(valid[:, None], view, (self.turns[0, :2] @ self.columns[0, :, -1]).ravel())
            weight = np.where(valid[:, None], weight, 1.0)
            size = np.where(valid, size, 1.0)
        return _People(view, size, weight, 2.0 * np.add.reduce(weight > 0, axis=1) - 2.0, valid)

    def _solved_of(self, people: _People, person: Int[ndarray, " row"], candidate: Int[ndarray, " row"]) -> _Solved:
        return self.solved(candidate, people.view[person], people.weight[person], people.told[person])

    def costs(self, people: Landmarks) -> Float[ndarray, "person candidate"]:
        """−ln p of candidates that were worked out, in single precision; infinity for all others."""
        persons, candidates = len(people.told), len(self.columns) * self.headings
        prepared = self.turned.prepared(people)
        if candidates <= FEW:
            return self.turned.costs(prepared, np.broadcast_to(np.arange(candidates), (persons, candidates)))
        cost = np.full((persons, candidates), np.inf, np.float32)
        first = _least(self.rough.costs(people), self._second)
        rows, tried = np.arange(persons)[:, None], self.rough.candidate[first]
        cost[rows, tried] = self.turned.costs(prepared, tried)
        widened = WIDENED + max(0, len(self.columns) // 3 - 1)
        for near in self.near:
            tried = near[_least(cost, widened)].reshape(persons, -1)
            cost[rows, tried] = self.turned.costs(prepared, tried)
        return cost

    def solved(
        self,
        candidate: Int[ndarray, " row"],
        view: Float[ndarray, "row 34"],
        weight: Float[ndarray, "row 17"],
        told: Float[ndarray, " row"],
    ) -> _Solved:
        """`projection.solve` where the noise is the same in x and y; landmarks are x of all, then y of all."""
        component, heading = np.divmod(candidate, self.headings)
        turn, columns, own = self.turns[heading], self.columns[component], self.own[component, None]
        trust = weight / (weight * own + self.turned.landmark_noise)
        log_trust = np.add.reduce(np.log(trust + (weight == 0)), axis=1)
        rows, count = len(candidate), columns.shape[2]
        roots = np.empty((rows, 2, count + 3, JOINTS))
        roots[:, :, :2] = _STILL
        roots[:, :, 2:-1] = (turn[:, :2] @ columns.reshape(rows, 3, -1)).reshape(rows, 2, count, JOINTS)
        roots[:, :, -1] = view = view.reshape(rows, 2, JOINTS)
        roots *= np.sqrt(trust)[:, None, None]
        squares = roots @ roots.swapaxes(2, 3)
        factor, (alpha, beta, gamma) = factored(squares[:, 0] + squares[:, 1] + self.prior)
        inverse_scale, cost = Corner(alpha, beta, gamma + self.shares[component] - 2.0 * log_trust).scaled(told)
        scale = inverse_scale[:, None]
        right = scale * factor[:, -1, :-2] - factor[:, -2, :-2]
        unknowns = solved_upper(factor[:, :-2, :-2].swapaxes(1, 2), right)
        body = (unknowns[:, None, None, 2:] @ columns[:, :, :-1])[:, :, 0] + columns[:, :, -1]
        joints = turn @ body
        picture = joints[:, :2] + unknowns[:, :2, None]
        joints[:, :2] += (own * trust)[:, None] * (scale[:, None] * view - picture)
        return _Solved((joints @ _TO_ROWS).reshape(rows, -1), inverse_scale, cost)


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
    share = (weight / np.maximum(np.add.reduce(weight, axis=1, keepdims=True), 1e-30))[:, None]
    place = share @ xy
    view = xy - place
    size = np.sqrt(np.add.reduce(share @ (view * view), axis=(1, 2)))
    size *= size > 1e-12 * np.maximum.reduce(np.abs(place), axis=(1, 2))
    return view.swapaxes(1, 2).reshape(-1, _PICTURE) / (size + (size == 0))[:, None], size
