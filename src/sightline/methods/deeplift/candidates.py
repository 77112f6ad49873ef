"""Which sides a person may be seen from: the discrete rotations that a lifter tries (paper 004, section 5.3)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.geometry.rotation import axis_rotation, shortest_rotation


def free_rotations(spacing_rad: float) -> Float[Tensor, "count 3 3"]:
    """Rotations that leave no orientation further than about `spacing_rad` / √2 away from one of them.

    The body's long axis points along each of a spiral of directions, as even as points on a sphere can be; about each
    the body is turned through a full circle.
    """
    if not 0.05 <= spacing_rad <= math.pi:
        raise ValueError(f"spacing_rad: expected 0.05 to π, got {spacing_rad}")
    count = math.ceil(4 * math.pi / spacing_rad**2)
    turns = math.ceil(2 * math.pi / spacing_rad)
    row = torch.arange(count, dtype=torch.float64) + 0.5
    height, angle = 1 - 2 * row / count, row * math.pi * (3 - math.sqrt(5))
    level = (1 - height.square()).sqrt()
    directions = torch.stack([level * angle.cos(), level * angle.sin(), height], dim=-1)
    upward = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand_as(directions)
    tilted = shortest_rotation(upward, directions)
    turned = axis_rotation("z", torch.arange(turns, dtype=torch.float64) * (2 * math.pi / turns))
    return (tilted[:, None] @ turned).flatten(0, 1)
