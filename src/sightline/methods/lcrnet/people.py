"""From a picture to the people in it: scaled, looked at, rescored, integrated, in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from sightline.methods.lcrnet.decode import (
    SIGMA_BOX_PX,
    Integration,
    Modes,
    Proposals,
    integrated,
    rescored,
    strongest,
    suppressed,
)
from sightline.methods.lcrnet.network import LcrNet

LEAST_SIDE_PX: Final = 8
"""Smaller pictures are not looked at: nobody is in them."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How proposals become people."""

    rescore: bool = True
    """Whether eq. 6 lowers the scores of poses that leave their boxes."""
    integrate: bool = True
    """Whether proposals are integrated (PPI); otherwise the strongest of each place is taken (NMS)."""
    integration: Integration = field(default_factory=Integration)
    least_score: float = 0.6
    """What a mode's score, the sum of its proposals', has to be for somebody to be there. Here: what is best for the
    F-measure of people whom lcrnet-synth finds in crowds."""

    def __post_init__(self) -> None:
        if not self.least_score >= 0:
            raise ValueError(f"least_score: expected at least 0, got {self.least_score}")


class Looked(NamedTuple):
    """What a network makes of a picture."""

    proposals: Proposals
    """In the picture's pixels."""
    scale: float
    """Pixels of the network's picture per pixel of the picture: in those σ_b of eq. 6 is meant."""


def looked_at(network: LcrNet, pictures: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Iterator[Looked]:
    """Look at pictures of any size, one by one.

    Args:
        network: in evaluation mode.
        pictures: RGB.
    """
    for picture in pictures:
        yield _looked_at(network, picture)


def people_of(looked: Looked, network: LcrNet, decoding: Decoding | None = None) -> Modes:
    """Return the people whom a picture's proposals agree on, by falling score: the best mode of each place.

    Args:
        looked: of one picture.
        network: whose they are.
        decoding: how they become people.
    """
    modes = modes_of(looked, network, decoding)
    rows = best_rows(modes, decoding)
    return Modes(*(part[rows] for part in modes))


def best_rows(modes: Modes, decoding: Decoding | None = None) -> Int[np.ndarray, " person"]:
    """Return which modes are people: of each place the best one, if it scores enough."""
    _, first = np.unique(modes.group, return_index=True)  # modes come by falling score
    first.sort()
    return first[modes.scores[first] >= (decoding or Decoding()).least_score]


def modes_of(looked: Looked, network: LcrNet, decoding: Decoding | None = None) -> Modes:
    """Return all modes of a picture's proposals by falling score, also those that score next to nothing.

    Args:
        looked: of one picture.
        network: whose they are.
        decoding: how they become modes.
    """
    decoding = decoding or Decoding()
    proposals = looked.proposals
    if decoding.rescore:
        proposals = rescored(proposals, network.skeleton, SIGMA_BOX_PX / looked.scale)
    ranked = strongest(proposals, network.count)
    if decoding.integrate:
        return integrated(ranked, network.skeleton, decoding.integration)
    return suppressed(ranked, network.skeleton, decoding.integration.iou)


@torch.no_grad()
def _looked_at(network: LcrNet, picture: np.ndarray) -> Looked:
    height, width = picture.shape[:2]
    if min(height, width) < LEAST_SIDE_PX:
        joints = len(network.skeleton)
        nothing = np.zeros((0, joints, 2)), np.zeros((0, joints, 3)), np.zeros(0), np.zeros((0, 4)), np.zeros(0, bool)
        return Looked(Proposals(*nothing), 1.0)
    image, scale = scaled(picture, network.scale_of((height, width)))
    (found,) = network(image[None].to(next(network.parameters()).device))
    found = found._replace(poses_px=found.poses_px / scale, boxes_px=found.boxes_px / np.tile(scale, 2))
    return Looked(found, float(np.sqrt(scale.prod())))


def scaled(
    picture: UInt8[np.ndarray, "height width 3"], scale: float
) -> tuple[Float[Tensor, "3 rows columns"], Float[np.ndarray, "2"]]:
    """Return a picture (0…1) scaled, antialiased, and by how much exactly, across and down.

    It is scaled in whole numbers of 0 to 255, so that beside a large picture nothing of its size is held.
    """
    height, width = picture.shape[:2]
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    own = picture if picture.flags.writeable and picture.flags.c_contiguous else np.array(picture)
    image = torch.from_numpy(own).permute(2, 0, 1)[None]
    if (rows, columns) != (height, width):
        image = functional.interpolate(image, (rows, columns), mode="bilinear", antialias=True)
    return image[0].float() / 255, np.array([columns / width, rows / height])
