"""From a picture to the people in it: scaled, looked at, rescored, integrated, in the picture's own pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from sightline.methods.lcrnet.decode import Integration, Modes, Proposals, integrated, rescored, strongest, suppressed
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
    alternatives: bool = False
    """Whether all modes of a place are returned, and not the best one alone."""
    least_score: float = 0.3
    """What a mode's score, the sum of its proposals', has to be for somebody to be there."""

    def __post_init__(self) -> None:
        if not self.least_score >= 0:
            raise ValueError(f"least_score: expected at least 0, got {self.least_score}")


@torch.no_grad()
def proposals_in(network: LcrNet, pictures: list[UInt8[np.ndarray, "height width 3"]]) -> list[Proposals]:
    """Return the pose proposals of pictures of any size, one by one, each in its picture's pixels.

    Args:
        network: in evaluation mode.
        pictures: RGB.
    """
    return [_proposals(network, picture) for picture in pictures]


def people_of(proposals: Proposals, network: LcrNet, decoding: Decoding | None = None) -> Modes:
    """Return the people whom proposals agree on, by falling score.

    Args:
        proposals: of one picture.
        network: whose they are.
        decoding: how they become people.
    """
    decoding = decoding or Decoding()
    if decoding.rescore:
        proposals = rescored(proposals, network.skeleton)
    ranked = strongest(proposals, network.count)
    if decoding.integrate:
        modes = integrated(ranked, network.skeleton, decoding.integration)
    else:
        modes = suppressed(ranked, network.skeleton, decoding.integration.iou)
    keep = modes.scores >= decoding.least_score
    if not decoding.alternatives:
        _, first = np.unique(modes.group, return_index=True)  # modes come by falling score
        keep &= np.isin(np.arange(len(keep)), first)
    return Modes(*(part[keep] for part in modes))


def _proposals(network: LcrNet, picture: np.ndarray) -> Proposals:
    height, width = picture.shape[:2]
    if min(height, width) < LEAST_SIDE_PX:
        joints = len(network.skeleton)
        return Proposals(
            np.zeros((0, joints, 2)), np.zeros((0, joints, 3)), np.zeros(0), np.zeros((0, 4)), np.zeros(0, bool)
        )
    image, scale = scaled(picture, network.scale_of((height, width)))
    (found,) = network(image[None].to(next(network.parameters()).device))
    return found._replace(poses_px=found.poses_px / scale, boxes_px=found.boxes_px / np.tile(scale, 2))


def scaled(
    picture: UInt8[np.ndarray, "height width 3"], scale: float
) -> tuple[Float[Tensor, "3 rows columns"], Float[np.ndarray, "2"]]:
    """Return a picture (0…1) scaled, antialiased, and by how much exactly, across and down."""
    height, width = picture.shape[:2]
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    if (rows, columns) != (height, width):
        image = functional.interpolate(image, (rows, columns), mode="bilinear", antialias=True)
    return image[0], np.array([columns / width, rows / height])
