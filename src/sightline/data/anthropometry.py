"""Bodies of a population: how long people's bones are, and how much that varies.

Segment lengths as shares of stature begin with Drillis and Contini (1966); the widths of hips and shoulders and the
spread of all of them are wide on purpose, since detectors, data sets and marker sets place the same joint up to five
centimetres apart (the hips of Human3.6M are 26 cm apart, those of a skeleton in the joints' centres 17). A lifter
should take the proportions from what it sees. Shoulder joints are a fifth of the stature apart and more, far wider than
the skeletons of most motion capture: who has learned narrow shoulders takes a person who stands obliquely for one who
faces the camera. Statures: adults of both sexes, and some children, whose legs are short and whose heads are large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.skeleton import get_skeleton

_SHARES: Final[dict[str, tuple[float, float]]] = {
    "Hip": (0.060, 0.013),  # half the distance between the hips
    "Knee": (0.238, 0.012),
    "Ankle": (0.234, 0.013),
    "Spine": (0.142, 0.012),
    "Thorax": (0.168, 0.014),
    "Nose": (0.070, 0.008),
    "Head": (0.063, 0.006),
    "Shoulder": (0.113, 0.014),
    "Elbow": (0.169, 0.010),
    "Wrist": (0.148, 0.009),
}
"""Length of the bone that ends at a joint, in statures: mean and standard deviation."""

_SIDE_STD: Final = 0.012  # left against right, as a share: bodies, and how joints are found, are not symmetric
_CHILD_LEGS: Final = 0.16  # how much shorter, as a share, the legs of a child of one metre are
_CHILD_HEAD: Final = 0.35  # how much larger the head


@dataclass(frozen=True, kw_only=True)
class Population:
    """Who there is. Statures in metres."""

    women_m: tuple[float, float] = (1.63, 0.07)
    """Mean and standard deviation of women's statures; half of the adults."""
    men_m: tuple[float, float] = (1.76, 0.075)
    child_share: float = 0.08
    """Share of children of 1.0 to 1.5 m."""
    spread: float = 1.0
    """Factor on the spread of the proportions; 0 gives everybody the same."""


def sample_bone_lengths(
    count: int, generator: torch.Generator, population: Population | None = None
) -> Float[Tensor, "batch 17"]:
    """Draw the bones of people: the length (m) of the bone that ends at each joint of `h36m17`; 0 for the root."""
    population = population or Population()
    skeleton = get_skeleton("h36m17")
    parts = list(_SHARES)
    rows = [-1 if joint == skeleton.root else _part(name, parts) for joint, name in enumerate(skeleton.joints)]
    mean, std = torch.tensor(list(_SHARES.values())).T
    shares = mean + population.spread * std * torch.randn(count, len(parts), generator=generator).clamp(-2.5, 2.5)
    stature, youth = _statures(count, generator, population)
    legs, head = [parts.index("Knee"), parts.index("Ankle")], [parts.index("Nose"), parts.index("Head")]
    shares[:, legs] *= (1 - _CHILD_LEGS * youth)[:, None]
    shares[:, head] *= (1 + _CHILD_HEAD * youth)[:, None]
    lengths = (shares * stature[:, None])[:, [max(row, 0) for row in rows]]
    uneven = 1 + population.spread * _SIDE_STD * torch.randn(count, len(rows), generator=generator)
    paired = torch.tensor([joint != other for joint, other in enumerate(skeleton.flip)])
    lengths = torch.where(paired, lengths * uneven, lengths)
    lengths[:, skeleton.root] = 0.0
    return lengths


def _part(name: str, parts: list[str]) -> int:
    """Row of the table for a joint such as LKnee or Spine; the pelvis' own half bones are called Hip."""
    return parts.index(name if name in parts else name[1:])


def _statures(
    count: int, generator: torch.Generator, population: Population
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Draw statures (m), and how much of a child each person is: 1 at one metre, 0 from 1.5 m on."""
    women = torch.rand(count, generator=generator) < 0.5
    mean = torch.where(women, population.women_m[0], population.men_m[0])
    std = torch.where(women, population.women_m[1], population.men_m[1])
    adult = mean + std * torch.randn(count, generator=generator).clamp(-2.8, 2.8)
    small = 1.0 + 0.5 * torch.rand(count, generator=generator)
    child = torch.rand(count, generator=generator) < population.child_share
    return torch.where(child, small, adult), torch.where(child, (1.5 - small) / 0.5, 0.0)
