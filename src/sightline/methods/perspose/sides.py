"""Left and right among landmarks and joints, by their names."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_SIDES: Final = {"L": "R", "R": "L"}


@lru_cache(maxsize=8)
def swapped(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the permutation that swaps left and right among landmarks or joints.

    Raises:
        ValueError: for one whose other side is missing.
    """
    other = [_SIDES[name[0]] + name[1:] if _has_side(name) else name for name in names]
    missing = [name for name in other if name not in names]
    if missing:
        raise ValueError(f"landmarks: expected both sides of each; without {', '.join(missing)}")
    return tuple(names.index(name) for name in other)


def _has_side(name: str) -> bool:
    return len(name) > 1 and name[0] in _SIDES and name[1].isupper()
