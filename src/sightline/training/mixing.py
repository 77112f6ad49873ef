"""Several sources to learn from as one, each drawn from by its share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

COUNT: Final = 1 << 40
"""Numbers that a mixture has; each stands for something of a part, by the shares. So many that nothing is left out."""
_SEED: Final = 77


def check_mixture(parts: Sequence[object], lengths: Sequence[int], shares: Sequence[float]) -> None:
    """Raise `ValueError` unless there is a positive share for each part, and something in each of them."""
    if not parts or len(parts) != len(shares) or not all(0 < share < math.inf for share in shares):
        raise ValueError(f"shares: expected a positive number for each of {len(parts)} parts")
    if 0 in lengths:
        raise ValueError("parts: expected something in each of them")


def drawn(lengths: Sequence[int], shares: Sequence[float], row: int) -> tuple[int, int]:
    """Return the part into whose share a number of the mixture falls, and a number inside that part."""
    rng = np.random.default_rng((_SEED, row))
    part = int(rng.choice(len(shares), p=np.array(shares) / sum(shares)))
    return part, int(rng.integers(lengths[part]))


def mixed_digest(count: int, digests: Sequence[str], shares: Sequence[float]) -> str:
    """Return the digests of parts, with their shares."""
    told = (f"{share:g} × {digest}" for share, digest in zip(shares, digests, strict=True))
    return "; ".join((f"{count} of", *told))
