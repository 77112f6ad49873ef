"""What every network is that finds the joints of one person in a crop."""

from __future__ import annotations

import math
from typing import Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.skeleton import Skeleton

Belief: TypeAlias = tuple[float, float]
"""Slope and offset with which the height of a joint's map becomes its confidence; see `believed`."""
AS_HIGH: Final[Belief] = (1.0, 0.0)
"""Confidence is the height itself."""
_NEAR: Final = 1e-6
"""Heights nearer to 0 or 1 are not told apart."""


class JointsSeen(NamedTuple):
    """Joints in crops."""

    points_px: Float[Tensor, "batch joint 2"]
    """In the crop, corner origin; NaN where nothing was seen."""
    confidence: Float[Tensor, "batch joint"]
    """0…1: the chance that the joint is right, as far as held-out people tell it; see `believed`."""


@runtime_checkable
class JointNetwork(Protocol):
    """Sees crops of people."""

    @property
    def skeleton(self) -> Skeleton:
        """The joints that it finds."""
        ...

    @property
    def size_px(self) -> int:
        """Side of its crops."""
        ...

    @property
    def rotation(self) -> bool:
        """Whether crops are those of a camera turned to the person."""
        ...

    def joints_in(
        self,
        crops: Float[Tensor, "batch 3 height width"],
        up: Float[Tensor, "batch 3"] | None = None,
        *,
        flip: bool = True,
    ) -> JointsSeen:
        """Return the joints in crops, without gradients.

        Args:
            crops: RGB, 0…1.
            up: against gravity, in the frames of the crops' cameras, where that is known: NaN where not.
            flip: whether to average with the mirrored crops, which costs another pass.
        """
        ...


def logit(height: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return the logit of heights of maps, those of nothing and of certainty a millionth off."""
    return torch.logit(height, eps=_NEAR)


def believed(height: Float[Tensor, "*batch"], belief: Belief) -> Float[Tensor, "*batch"]:
    """Return how far joints are to be believed: σ(slope · logit(height) + offset), and 0 where nothing was seen.

    Networks differ in how high their maps are where they are right (a map learnt with squared errors is as low as its
    network is unsure of the very cell), and only held-out people tell what a height is worth.

    Args:
        height: of a joint's map, 0…1.
        belief: fitted to held-out people.
    """
    if belief == AS_HIGH:
        return height
    slope, offset = belief
    return torch.where(height > 0, torch.sigmoid(slope * logit(height) + offset), 0.0)


def check_belief(belief: Belief) -> None:
    """Raise ValueError for a belief with which a higher map is no better, or that is no number."""
    if len(belief) != 2 or not all(map(math.isfinite, belief)) or belief[0] <= 0:
        raise ValueError(f"belief: expected a slope above 0 and an offset, got {belief}")
