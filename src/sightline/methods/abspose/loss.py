"""The canonical loss (paper 002, eq. 7) and its rival that regresses depth directly."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from sightline.methods.abspose.model import Lifted


class LossParts(NamedTuple):
    """The two terms, already weighted; their sum is what training lowers."""

    pose: Float[Tensor, ""]
    depth: Float[Tensor, ""]

    @property
    def total(self) -> Float[Tensor, ""]:
        """Eq. 7's L."""
        return self.pose + self.depth


def abspose_loss(lifted: Lifted, truth: Lifted, *, pose_weight: float = 1.0) -> LossParts:
    """L1 over root-relative coordinates (summed over joints and axes) and over root depth, means over the batch.

    Lengths are in the config's unit (metres or statures) and the canonical depth is times 1000 px / focal, so
    `pose_weight = 1` is the balance that public training uses: |1000 Z/f| + ‖P̃‖₁ in one unit of length. The paper
    prints λ = 10³ on ‖P̃‖₁ beside |Z/f|, which here is `pose_weight = 10⁶`: the inverse of what was trained.
    Whether the depth term is canonical or direct lies in `truth.depth`, not here.
    """
    pose = (lifted.relative - truth.relative).abs().flatten(1).sum(1).mean()
    depth = (lifted.depth - truth.depth).abs().mean()
    return LossParts(pose=pose_weight * pose, depth=depth)
