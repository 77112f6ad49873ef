"""From motion capture to a prior: the mixture, and all else that a prior tells of people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.methods.deeplift.alignment import aligned
from sightline.methods.deeplift.mixture import CHUNK, FitConfig, Fitted, Mixture, Progress, fit_mixture, moments
from sightline.methods.deeplift.prior import QUANTILES, TILTS, PosePrior
from sightline.methods.deeplift.shapes import DIMENSIONS, limb_size, mirrored, to_shapes
from sightline.stature import stature_from_joints

_UNIFORM_TILT = 0.1
"""Share of a prior's orientations that may be any, whatever the poses did that it was fitted to."""


class Choice(NamedTuple):
    """A size of the mixture, and what it is worth."""

    components: int
    basis: int
    held_out: float
    """Mean log-density (nats) of poses that it was not fitted to."""
    fitted: float
    """The same of those it was."""


def doubled(joints: Float[Tensor, "pose 17 3"]) -> Float[Tensor, "double 48"]:
    """Return the shapes of poses, then of their mirror images, made chunk by chunk."""
    both = joints.new_empty(2, len(joints), DIMENSIONS)
    for part, shape, image in zip(joints.split(CHUNK), both[0].split(CHUNK), both[1].split(CHUNK), strict=True):
        shape.copy_(to_shapes(part).shape)
        image.copy_(mirrored(shape))
    return both.flatten(0, 1)


def fit_prior(
    joints: Float[Tensor, "pose 17 3"],
    held_out: Float[Tensor, "other 17 3"],
    config: FitConfig,
    progress: Progress | None = None,
) -> tuple[PosePrior, Fitted]:
    """Fit a prior to poses and their mirror images.

    Args:
        joints: `h36m17`, metres, z up, any place and heading.
        held_out: poses of other people, by whose log-densities plausibility is told. Their bodies have to vary as those
            of `joints` do: among bodies of the clips' own only, drawn ones would seem less plausible than they are.
        config: how the mixture is fitted.
        progress: called with passes done and the most there can be.

    Raises:
        ValueError: for poses that are not finite or without extent, or too few of them.
    """
    shape = doubled(joints)
    fitted = fit_mixture(shape, config, progress)
    size = limb_size(joints).double()
    blank = PosePrior(
        mixture=fitted.mixture,
        orientation=config.orientation,
        size_m=float(size.mean()),
        stature_m=float(torch.cat([stature_from_joints(part.double()) for part in joints.split(CHUNK)]).mean()),
        size_spread=max(float((size / size.mean()).std()), 1e-3),
        quantiles=torch.zeros(QUANTILES, dtype=torch.float64),
        tilt=torch.zeros(TILTS, dtype=torch.float64),
    )
    steps = torch.linspace(0.0, 1.0, QUANTILES, dtype=torch.float64)
    worth = torch.cat([blank.log_prob(part.double()) for part in held_out.split(CHUNK)])
    prior = replace(blank, quantiles=worth.quantile(steps))
    return (prior, fitted) if config.orientation == "upright" else (replace(prior, tilt=_tilt(shape, prior)), fitted)


def _tilt(shape: Tensor, prior: PosePrior) -> Float[Tensor, " tilt"]:
    """Where the axes of poses point that were turned any way, as a log-density per steradian."""
    few = shape[:: max(1, len(shape) // 20_000)].double()
    answers = aligned(few, prior.mixture.gaussians, "any")
    best = torch.stack([one.log_prob for one in answers]).argmax(0)
    cosine = torch.stack([one.rotation[:, 2, 2] for one in answers]).gather(0, best[None])[0]
    edges = torch.linspace(0.0, math.pi, TILTS + 1, dtype=torch.float64)
    area = 2 * math.pi * (edges[:-1].cos() - edges[1:].cos())
    row = (cosine.clamp(-1.0, 1.0).acos() * (TILTS / math.pi)).long().clamp(0, TILTS - 1)
    share = torch.bincount(row, minlength=TILTS).double() / len(few)
    return ((1 - _UNIFORM_TILT) * share / area + _UNIFORM_TILT / (4 * math.pi)).log()


def choose_size(
    joints: Float[Tensor, "pose 17 3"],
    held_out: Float[Tensor, "other 17 3"],
    config: FitConfig,
    *,
    components: Sequence[int],
    bases: Sequence[int],
) -> list[Choice]:
    """Fit mixtures of several sizes, and say how likely each finds other people; the best comes first.

    Args:
        joints: `h36m17` poses that all are fitted to.
        held_out: poses of other people, whose bodies vary as those of `joints` do.
        config: how mixtures are fitted.
        components: numbers of components.
        bases: numbers of wide directions.
    """
    shape, others = doubled(joints), doubled(held_out)
    choices = []
    for count in components:
        for basis in bases:
            if not 1 <= basis < DIMENSIONS:
                raise ValueError(f"bases: expected 1 to {DIMENSIONS - 1}, got {basis}")
            sized = replace(config, components=count, basis=basis)
            fitted = fit_mixture(shape, sized).mixture
            worth = [_density(poses, fitted, sized) for poses in (others, shape)]
            choices.append(Choice(len(fitted.shares), basis, *worth))
    return sorted(choices, key=lambda choice: -choice.held_out)


def _density(shape: Tensor, mixture: Mixture, config: FitConfig) -> float:
    return moments(shape, mixture, config).log_likelihood
