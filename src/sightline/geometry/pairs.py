"""Pairs of things, for estimates that try every smallest sample (all pairs of joints, all pairs of views)."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


def spread_pairs(count: int, limit: int, device: torch.device | None = None) -> Int[Tensor, "pair 2"]:
    """Index pairs (a, b), a < b, of `count` things: all of them, or `limit` spread evenly over all."""
    pairs = torch.triu_indices(count, count, offset=1, device=device).T
    if len(pairs) <= limit:
        return pairs
    return pairs[torch.linspace(0, len(pairs) - 1, limit, device=device, dtype=torch.float64).round().long()]
