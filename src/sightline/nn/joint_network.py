"""What every network is that finds the joints of one person in a crop."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sightline.skeleton import Skeleton


class JointsSeen(NamedTuple):
    """Joints in crops."""

    points_px: Float[Tensor, "batch joint 2"]
    """In the crop, corner origin; NaN where nothing was seen."""
    confidence: Float[Tensor, "batch joint"]
    """0…1."""


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
