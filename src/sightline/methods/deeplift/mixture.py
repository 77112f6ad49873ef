"""Fit a mixture of probabilistic principal components to poses that may turn: paper 004, sections 4.1 and 4.2.

One loop does all of it. A pass turns every pose as each component likes it best, weighs the components, and keeps sums:
per component the weight, the mean and the second moments of the turned shapes. From these the components follow in
closed form. Neither step can lower the likelihood: turns about the vertical are the best there are; of poses that turn
freely, where only a local optimum is found, each component keeps its turns and exchanges them for likelier ones only. A
pass needs one chunk of poses at a time, so memory does not grow with their number (but for the 72 bytes per pose and
component of kept turns), and time grows with poses × components.

With a single component this is the paper's alternation between alignment and PPCA; with several it is EM, in which,
unlike in the paper, each component keeps turning the poses its own way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.methods.deeplift.alignment import Aligned, Orientation, aligned, as_they_are, faced, upright_start
from sightline.methods.deeplift.gaussian import Gaussians, fitted
from sightline.methods.deeplift.shapes import DIMENSIONS

CHUNK = 8_192
"""Poses looked at together."""
_LEAST_SHARE = 1e-3
"""A component that fewer poses belong to stays as it is."""

Progress = Callable[[int, int], None]
Turns = list[Float[Tensor, "_ _ 3 3"]]
"""What components turned free poses by in the pass before, chunk by chunk; nothing before the first."""
Turning = Literal["always", "once", "hips"]
"""Who turns the poses: every component in every pass; the first component before EM, as in the paper; or nobody's fit,
all of them face the way their hips do."""


class Mixture(NamedTuple):
    """A density of shapes: components and how many of the poses belong to each."""

    gaussians: Gaussians
    shares: Float[Tensor, " component"]


class Moments(NamedTuple):
    """What a pass keeps of the poses: sums over poses, per component."""

    weight: Float[Tensor, " component"]
    first: Float[Tensor, "component 48"]
    second: Float[Tensor, "component 48 48"]
    log_likelihood: float
    """Mean ln p per pose (nats) under the mixture that the pass was made with."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a mixture is fitted."""

    components: int = 3
    basis: int = 20
    """Wide directions of each component: J of the paper."""
    orientation: Orientation = "upright"
    turning: Turning = "always"
    grow: bool = True
    """Whether the first component's basis grows from one direction to all, so that none learns what a turn does."""
    sample: int = 100_000
    """Poses that growing and the first passes of EM look at, drawn evenly; the last passes see all."""
    seed_sample: int = 2_000
    """Poses among which the components' seeds are chosen."""
    crowding: float = 0.25
    """A seed nearer to another than this share of all poses' distance from the first (RMS) shows the same mode."""
    iterations: int = 200
    """Most passes of one loop over the sample."""
    last_iterations: int = 20
    """Most passes over all poses, where they are more than the sample: what is left for them to do is little."""
    tolerance: float = 1e-3
    """A loop ends where a pass gains fewer nats per pose."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.components < 1:
            raise ValueError(f"components: expected at least 1, got {self.components}")
        if not 1 <= self.basis < DIMENSIONS:
            raise ValueError(f"basis: expected 1 to {DIMENSIONS - 1}, got {self.basis}")
        for name, choices in (("orientation", get_args(Orientation)), ("turning", get_args(Turning))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.orientation == "any" and self.turning == "hips":
            raise ValueError("turning: hips tell the heading of upright poses only")
        if min(self.iterations, self.last_iterations, self.sample, self.seed_sample) < 1:
            raise ValueError("iterations, last_iterations, sample, seed_sample: expected at least 1")


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A mixture and how it came about."""

    mixture: Mixture
    traces: dict[str, tuple[float, ...]]
    """Mean log-likelihood (nats per pose) before every pass, by part of the fit."""


def fit_mixture(shape: Float[Tensor, "pose 48"], config: FitConfig, progress: Progress | None = None) -> Fitted:
    """Fit a mixture to shapes (`shapes.to_shapes`), z up where they are upright.

    Fewer components than asked for come out where seeds would crowd.

    Args:
        shape: poses in any float type; work is in double precision, chunk by chunk.
        config: how.
        progress: called with passes done and the most there can be.

    Raises:
        ValueError: for fewer poses than a component has dimensions, or poses that are not finite.
    """
    _check(shape)
    chance = torch.Generator().manual_seed(config.seed)
    few = _drawn(shape, config.sample, chance)
    first, trace = _single(few, config, progress)
    traces, mixture = {"alignment": tuple(trace)}, first
    if config.components > 1:
        turned = _turned(few, first, config)
        seeds = spread_seeds(_drawn(turned, config.seed_sample, chance), config.components, config.crowding)
        source = few if config.turning == "always" else turned
        mixture, trace = em(source, _assigned(turned, seeds, config.basis), config, progress)
        traces["sample"] = tuple(trace)
    if len(shape) > len(few):
        source = shape if config.turning == "always" else _turned(shape, first, config)
        last = replace(config, iterations=min(config.iterations, config.last_iterations))
        mixture, trace = em(source, mixture, last, progress)
        traces["all"] = tuple(trace)
    return Fitted(mixture=mixture, traces=traces)


def em(
    shape: Float[Tensor, "pose 48"],
    mixture: Mixture,
    config: FitConfig,
    progress: Progress | None = None,
    turns: Turns | None = None,
) -> tuple[Mixture, list[float]]:
    """Improve a mixture until a pass gains little; also the log-likelihood per pose before each pass.

    Args:
        shape: poses.
        mixture: where to start.
        config: how.
        progress: called with passes done and the most there can be.
        turns: of passes that were made before with the same poses and components.

    The log-likelihood never falls from pass to pass, but for rounding (1e-9). Of poses that turn freely it is that at
    the turns kept, which a look at the same poses with nothing kept (`moments`) may miss by a little, either way.
    """
    trace: list[float] = []
    turns = [] if turns is None else turns
    for step in range(config.iterations):
        found = moments(shape, mixture, config, turns)
        trace.append(found.log_likelihood)
        if progress is not None:
            progress(step + 1, config.iterations)
        if step > 0 and trace[-1] - trace[-2] < config.tolerance:
            break
        mixture = updated(found, mixture, config.basis)
    return mixture, trace


def moments(
    shape: Float[Tensor, "pose 48"], mixture: Mixture, config: FitConfig, turns: Turns | None = None
) -> Moments:
    """One pass: turn, weigh, sum. Memory is that of one chunk.

    Where poses turn freely, `turns` holds what they were turned by before, and afterwards the likelier turns.
    """
    kept = turns if turns is not None and config.orientation == "any" and config.turning == "always" else None
    count = len(mixture.shares)
    weight = mixture.shares.new_zeros(count)
    first, second = weight.new_zeros(count, DIMENSIONS), weight.new_zeros(count, DIMENSIONS, DIMENSIONS)
    total = 0.0
    for number, chunk in enumerate(shape.split(CHUNK)):
        before = kept[number] if kept is not None and number < len(kept) else None
        turned = _looked_at(chunk.double(), mixture.gaussians, config, before)
        if kept is not None:
            kept[number : number + 1] = [torch.stack([one.rotation for one in turned])]
        joint = torch.stack([one.log_prob for one in turned]) + mixture.shares.log()[:, None]
        evidence = joint.logsumexp(0)
        total += float(evidence.sum())
        belongs = (joint - evidence).exp()
        weight += belongs.sum(1)
        for row, one in enumerate(turned):
            weighted = belongs[row, :, None] * one.shape
            first[row] += weighted.sum(0)
            second[row] += weighted.mT @ one.shape
    return Moments(weight, first, second, total / len(shape))


def updated(found: Moments, mixture: Mixture, basis: int) -> Mixture:
    """Return the likeliest mixture for these sums; components that hardly any pose belongs to stay as they are."""
    kept = found.weight > _LEAST_SHARE * found.weight.sum()
    weight = found.weight.clamp_min(1e-12)
    mean = found.first / weight[:, None]
    covariance = found.second / weight[:, None, None] - mean[:, :, None] * mean[:, None]
    unit = torch.eye(DIMENSIONS, dtype=mean.dtype, device=mean.device)
    new = fitted(mean, torch.where(kept[:, None, None], covariance, unit), basis)
    old = fitted(mixture.gaussians.mean, mixture.gaussians.covariance(), basis)
    pairs = zip(new, old, strict=True)
    gaussians = Gaussians(*(torch.where(kept.view(-1, *[1] * (n.ndim - 1)), n, o) for n, o in pairs))
    return Mixture(gaussians, (found.weight / found.weight.sum()).clamp_min(1e-12))


def spread_seeds(shape: Float[Tensor, "pose 48"], count: int, crowding: float = 0.0) -> Float[Tensor, "seed 48"]:
    """Choose poses that all others are near to, one after the other: S = argmin Σ_p min over s of |p − s|².

    The first lies in the dominant mode. Choosing ends early where a seed would lie nearer to another than the share
    `crowding` of the root mean square distance of all poses from the first one.
    """
    apart = torch.cdist(shape, shape).square()
    first = int(apart.sum(1).argmin())
    chosen, nearest = [first], apart[first]
    limit = crowding**2 * float(nearest.mean())
    while len(chosen) < count:
        candidate = int(torch.minimum(apart, nearest).sum(1).argmin())
        if float(nearest[candidate]) <= limit:
            break
        chosen.append(candidate)
        nearest = torch.minimum(nearest, apart[candidate])
    return shape[chosen]


def _check(shape: Tensor) -> None:
    if shape.ndim != 2 or shape.shape[1] != DIMENSIONS:
        raise ValueError(f"shape: expected (poses, {DIMENSIONS}), got {tuple(shape.shape)}")
    if len(shape) <= DIMENSIONS:
        raise ValueError(f"shape: expected more than {DIMENSIONS} poses to fit to, got {len(shape)}")
    if not all(bool(chunk.isfinite().all()) for chunk in shape.split(CHUNK)):
        raise ValueError("shape: expected finite poses, got NaN or infinity")


def _drawn(shape: Tensor, count: int, chance: torch.Generator) -> Tensor:
    """As many poses as asked for, drawn evenly; all of them where there are no more."""
    if len(shape) <= count:
        return shape
    return shape[torch.randperm(len(shape), generator=chance)[:count].sort().values]


def _looked_at(shape: Tensor, gaussians: Gaussians, config: FitConfig, before: Tensor | None) -> tuple[Aligned, ...]:
    if config.turning == "always":
        return aligned(shape, gaussians, config.orientation, before)
    return as_they_are(shape, gaussians)


def _single(shape: Tensor, config: FitConfig, progress: Progress | None) -> tuple[Mixture, list[float]]:
    """The paper's alignment: a rank-2 start, then PPCA and turning in turns while the basis grows."""
    if config.turning == "hips":
        facing = faced(shape.double())
        return em(facing, _whole(facing, config.basis), config, progress)
    always = replace(config, turning="always")
    mixture = _whole(upright_start(shape.double()), 1 if config.grow else config.basis)
    trace: list[float] = []
    turns: Turns = []
    for basis in range(1, config.basis) if config.grow else ():
        found = moments(shape, mixture, always, turns)
        trace.append(found.log_likelihood)
        mixture = updated(found, mixture, basis + 1)
    mixture, rest = em(shape, mixture, always, progress, turns)
    return mixture, trace + rest


def _whole(shape: Tensor, basis: int) -> Mixture:
    """One component for poses as they are."""
    return Mixture(_moments_of(shape, basis), shape.new_ones(1))


def _moments_of(shape: Tensor, basis: int) -> Gaussians:
    mean = shape.mean(0)
    apart = shape - mean
    return fitted(mean[None], (apart.mT @ apart / len(shape))[None], basis)


def _turned(shape: Tensor, first: Mixture, config: FitConfig) -> Tensor:
    """The poses as the first component, or their hips, have turned them: as many and as precise, chunk by chunk."""
    turned = torch.empty_like(shape)
    for chunk, place in zip(shape.split(CHUNK), turned.split(CHUNK), strict=True):
        if config.turning == "hips":
            place.copy_(faced(chunk.double()))
        else:
            place.copy_(aligned(chunk.double(), first.gaussians, config.orientation)[0].shape)
    return turned


def _assigned(turned: Tensor, seeds: Tensor, basis: int) -> Mixture:
    """A component about each seed: of the poses that are nearest to it."""
    nearest = torch.cat([torch.cdist(chunk, seeds).argmin(1) for chunk in turned.split(CHUNK)])
    parts = [_moments_of(turned[nearest == row].double(), basis) for row in range(len(seeds))]
    gaussians = Gaussians(*(torch.cat(values) for values in zip(*parts, strict=True)))
    return Mixture(gaussians, torch.bincount(nearest, minlength=len(seeds)).double() / len(turned))
