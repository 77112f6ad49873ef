"""Fingers: how far they bend, and the bones turned so, each about its own axis across the palm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float, Int

_FINGERS: Final = (("finger2", 0.8), ("finger3", 0.95), ("finger4", 1.05), ("finger5", 1.1), ("finger1", 1.0))
"""Fingers, the thumb last, and how far each bends, relative to the others."""
_PHALANGES: Final = (1.0, 1.15, 0.7)
_THUMB: Final = (0.0, 0.35, 0.5)
_FIST: Final = 1.35
_MOST: Final = math.radians(230)


@dataclass(frozen=True, eq=False, kw_only=True)
class Hands:
    """How the fingers of the left and the right hand bend: rad per joint."""

    curl: tuple[float, float] = (0.0, 0.0)


def drawn_hands(rng: np.random.Generator, curl: float, fist_share: float) -> Hands:
    """Draw how fingers bend: relaxed or, for a share of hands, closed."""
    closed, relaxed = rng.random(2) < fist_share, np.clip(rng.normal(1.0, 0.35, 2), 0.2, 2.0) * curl
    left, right = np.where(closed, _FIST, relaxed)
    return Hands(curl=(float(left), float(right)))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Rows:
    """Where the bones of the hands stand among a model's; left, then right."""

    wrists: Int[np.ndarray, "2"]
    knuckles: Int[np.ndarray, "2 2"]
    """First bones of the forefinger and the little finger."""
    fingers: Int[np.ndarray, "2 5 3"]

    @property
    def bones(self) -> Int[np.ndarray, " bone"]:
        """All bones of fingers."""
        return self.fingers.ravel()


@dataclass(frozen=True, eq=False, kw_only=True)
class Fingers:
    """The fingers of a figure at rest."""

    rows: _Rows
    skew: Float[np.ndarray, "bone 3 3"]
    """Takes x to axis × x, for the axis about which a bone of `rows.bones` bends."""

    @classmethod
    def of(cls, joints: Float[np.ndarray, "bone 3"], bones: tuple[str, ...]) -> Fingers:
        """Return those of a figure whose bones of these names (Anny's) have their heads at `joints` at rest."""
        rows = _rows(bones)
        at = joints.astype(np.float64)
        first, last = (at[rows.knuckles[:, k]] - at[rows.wrists] for k in (0, 1))
        palm = np.cross(first, last) * [[-1.0], [1.0]]
        axes = np.cross(at[rows.fingers[:, :, 2]] - at[rows.fingers[:, :, 0]], palm[:, None])
        x, y, z = np.repeat((axes / np.linalg.norm(axes, axis=-1, keepdims=True)).reshape(-1, 3), 3, axis=0).T
        zero = np.zeros_like(x)
        return cls(rows=rows, skew=np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1))

    def curled(self, rotations: Float[np.ndarray, "bone 3 3"], hands: Hands) -> Float[np.ndarray, "bone 3 3"]:
        """Return the rotations of all bones with the fingers bent."""
        angle = np.minimum(np.array(hands.curl)[:, None] * _bends(), _MOST).ravel()[:, None, None]
        turn = np.eye(3) + np.sin(angle) * self.skew + (1 - np.cos(angle)) * (self.skew @ self.skew)
        turned = rotations.copy()
        turned[self.rows.bones] = np.repeat(rotations[self.rows.wrists], len(turn) // 2, axis=0) @ turn
        return turned


@lru_cache(maxsize=1)
def _bends() -> Float[np.ndarray, " bone"]:
    """How far each bone of the fingers of a hand is turned against the wrist for a curl of 1."""
    steps = [_THUMB if name == "finger1" else _PHALANGES for name, _ in _FINGERS]
    return np.concatenate([size * np.cumsum(its) for (_, size), its in zip(_FINGERS, steps, strict=True)])


@lru_cache(maxsize=4)
def _rows(bones: tuple[str, ...]) -> _Rows:
    row = {name: index for index, name in enumerate(bones)}
    return _Rows(
        wrists=np.array([row[f"wrist.{side}"] for side in "LR"]),
        knuckles=np.array([[row[f"finger{n}-1.{side}"] for n in (2, 5)] for side in "LR"]),
        fingers=np.array([[[row[f"{name}-{k}.{side}"] for k in (1, 2, 3)] for name, _ in _FINGERS] for side in "LR"]),
    )
