"""Anchor poses of LCR-Net++ from motion capture, and how far people nobody has seen are from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.data.virtual import step_generator
from sightline.methods.lcrnet.anchors import AnchorPoses, fit_anchors
from sightline.methods.lcrnet.views import ViewSpread, drawn_views
from sightline.skeleton import get_skeleton
from sightline.training.data import Splits

_OWN, _HELD_OUT = 0, 1
_PARTS: Final = 3
_MOST: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class AnchorConfig:
    """What anchor poses are fitted to."""

    count: int = 100
    """K. The paper: 100 for Human3.6M, 200 for pictures from anywhere."""
    skeleton: str = "lcr13"
    """Joint set; the paper's other one, of 17 joints, is h36m17."""
    views: int = 200_000
    """Poses that are drawn from the library, each seen from somewhere (the paper: 190,000)."""
    spread: ViewSpread = field(default_factory=ViewSpread)
    seed: int = 0


class Quantisation(NamedTuple):
    """D_3D between poses and the nearest anchor (m): the least error of a network that only classifies."""

    mean_m: float
    p95_m: float


class FittedAnchors(NamedTuple):
    """Anchors, and what they miss of the poses they were fitted to and of other people's."""

    anchors: AnchorPoses
    train: Quantisation
    held_out: Quantisation


def fitted_anchors(
    config: AnchorConfig, splits: Splits, *, progress: Callable[[int, int], None] | None = None
) -> FittedAnchors:
    """Fit anchors to views of the training poses, and measure them on views of the test split's people.

    Args:
        config: what anchors are fitted to.
        splits: whose poses.
        progress: called with the number of parts done and of all: drawing, clustering, measuring.

    Raises:
        ValueError: for fewer views than anchors, or a joint set that does not follow from h36m17.
    """
    skeleton = get_skeleton(config.skeleton)

    def views(joints_world: Float[Tensor, "frame 17 3"], count: int, which: int) -> Float[Tensor, "view joint 3"]:
        return drawn_views(joints_world, count, skeleton, step_generator(config.seed, which), config.spread)

    told = progress or (lambda done, count: None)
    told(0, _PARTS)
    train = views(splits.train, config.views, _OWN)
    told(1, _PARTS)
    anchors = fit_anchors(train, config.count, skeleton, seed=config.seed)
    told(2, _PARTS)
    held_out = views(splits.test, min(config.views, _MOST), _HELD_OUT)
    found = FittedAnchors(anchors, quantisation(anchors, train[:_MOST]), quantisation(anchors, held_out))
    told(_PARTS, _PARTS)
    return found


def quantisation(anchors: AnchorPoses, joints_m: Float[Tensor, "view joint 3"]) -> Quantisation:
    """Return how far poses are from the nearest anchor (m): mean and 95th percentile."""
    with torch.inference_mode():
        distance = anchors.nearest(joints_m)[1]
    return Quantisation(float(distance.mean()), float(np.quantile(distance, 0.95)))
