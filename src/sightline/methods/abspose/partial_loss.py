"""What a partial lifter is trained to lower: errors of the pose and the root, of its half-widths and of its rivals."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from sightline.methods.abspose.partial import SPREAD_STATURES, PartialLifted

COVERED = 0.6827
"""Share of errors that a half-width is to hold: that of one standard deviation of a normal distribution."""
DEPTH_WEIGHT = 2.4
"""A usual distance in statures: turns an error of log depth into one of length."""
_TINY = 1e-4
_RIVAL_WEIGHT, _LOSERS_SHARE = 0.25, 0.05


class PartialLoss(NamedTuple):
    """The terms, already weighted."""

    pose: Float[Tensor, ""]
    root: Float[Tensor, ""]
    spread: Float[Tensor, ""]
    rivals: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """What training lowers."""
        return self.pose + self.root + self.spread + self.rivals


def partial_loss(
    lifted: PartialLifted, relative: Float[Tensor, "batch 17 3"], root: Float[Tensor, "batch 3"]
) -> PartialLoss:
    """Distances of joints (as MPJPE has them) and of the root, in statures; quantile losses; the winner's distance.

    Args:
        lifted: the network's answer.
        relative: the true pose, as `truth_of` returns it.
        root: the true root, likewise.
    """
    error = lifted.relative - relative
    joints = _norm(error).mean(1)
    beside = _norm(lifted.root[:, :2] - root[:, :2]) * SPREAD_STATURES
    depth = (lifted.root[:, 2] - root[:, 2]).abs()
    spread = quantile_loss(error[:, 1:], lifted.spread[:, 1:]) + quantile_loss(lifted.root - root, lifted.root_spread)
    return PartialLoss(
        pose=joints.mean(),
        root=0.4 * (beside + DEPTH_WEIGHT * depth).mean(),
        spread=0.05 * spread,
        rivals=_RIVAL_WEIGHT * _rivals(lifted, relative),
    )


def quantile_loss(error: Tensor, half_width: Tensor, covered: float = COVERED) -> Float[Tensor, ""]:
    """Pinball loss of half-widths in the logarithm: least where `covered` of the errors lie within them.

    The errors themselves get no gradient from it.
    """
    over = error.detach().abs().clamp_min(_TINY).log() - half_width.log()
    return torch.maximum(covered * over, (covered - 1) * over).mean()


def _norm(vector: Tensor) -> Tensor:
    return (vector.square().sum(-1) + 1e-10).sqrt()


def _rivals(lifted: PartialLifted, relative: Tensor) -> Float[Tensor, ""]:
    """The nearest of the rivals learns, the others hardly; and the scores learn which it is."""
    apart = _norm(lifted.others - relative[:, None]).mean(-1)
    best = apart.detach().argmin(1)
    nearest = apart.gather(1, best[:, None])[:, 0]
    guess = cross_entropy(lifted.scores, best)
    return nearest.mean() + _LOSERS_SHARE * apart.mean() + 0.05 * guess
