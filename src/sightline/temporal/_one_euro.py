"""The 1 € filter (Casiez, Roussel and Vogel, CHI 2012) for many points at once, with a guard against wild values."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

_SPEED_HZ: Final = 1.0  # cutoff of the speed itself, as the paper has it
_USUAL_S: Final = 0.3  # over which the usual deviation is known
_LEAST_M: Final = 0.015
_WILD: Final = 5.0  # times the usual deviation


class OneEuro:
    """A low-pass filter per point whose cutoff rises with its speed: cutoff = `least_hz` + `per_speed` · speed.

    Still points are held still, fast ones are followed at once. It is causal: frame t depends on frames up to t. A
    point that deviates much more than usual, and did not the frame before, is followed only part of the way; so one
    wild value does little, and a true jump is late by one frame.

    Args:
        least_hz: of each point at rest, in hertz.
        per_speed: hertz per metre per second.
    """

    def __init__(self, least_hz: Float[np.ndarray, " point"], per_speed: Float[np.ndarray, " point"]) -> None:
        self._least_hz, self._per_speed = least_hz, per_speed
        self.value = np.full((len(least_hz), 3), np.nan)
        self._speed = np.zeros((len(least_hz), 3))
        self._deviation, self._usual = np.zeros(len(least_hz)), np.full(len(least_hz), _LEAST_M)

    def update(
        self,
        value: Float[np.ndarray, "point 3"],
        step_s: float,
        metres: Float[np.ndarray, " point"],
    ) -> Float[np.ndarray, "point 3"]:
        """Return the filtered points of the next frame; missing ones (NaN) stay where they were.

        Args:
            value: points, in any unit.
            step_s: seconds since the last frame.
            metres: what one unit of each point is in metres, by which speeds and deviations are judged.
        """
        known = np.isfinite(value[:, 0])
        new = known & np.isnan(self.value[:, 0])
        self.value[new] = value[new]
        deviation = np.where(known[:, None], value - self.value, 0.0)
        deviation *= self._believed(np.sqrt(np.square(deviation).sum(1)) * metres, known, step_s)[:, None]
        self._speed += _share(np.full(1, _SPEED_HZ), step_s) * (deviation / step_s - self._speed)
        speed_m_s = np.sqrt(np.square(self._speed).sum(1)) * metres
        share = _share(self._least_hz + self._per_speed * speed_m_s, step_s)
        self.value += share[:, None] * deviation
        return self.value.copy()

    def _believed(self, away_m: np.ndarray, known: Bool[np.ndarray, " point"], step_s: float) -> np.ndarray:
        """The share of each deviation that is followed."""
        limit = np.maximum(_WILD * self._usual, self._deviation)
        followed = np.minimum(away_m, limit)
        faded = math.exp(-step_s / _USUAL_S)
        usual = np.maximum(faded * self._usual + (1 - faded) * followed, _LEAST_M)
        self._usual = np.where(known, usual, self._usual)
        self._deviation = np.where(known, away_m, self._deviation)
        return np.where(away_m > limit, limit / np.maximum(away_m, 1e-12), 1.0)


def _share(cutoff_hz: np.ndarray, step_s: float) -> np.ndarray:
    """How far a low-pass filter of that cutoff goes towards the next value in one step."""
    return 1.0 / (1.0 + 1.0 / (2 * math.pi * cutoff_hz * step_s))
