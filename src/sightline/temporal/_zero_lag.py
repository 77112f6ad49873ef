"""A smoother without lag for many series at once, which finds its own strength and is not led astray by wild values.

Each series x minimises Σ w (y − x)² + λ ∫ (x″)² dt over its times, the discrete form of the cubic smoothing spline
(Whittaker 1923; Reinsch 1967): the same as a Kalman filter and Rauch-Tung-Striebel smoother for a motion whose velocity
is a random walk. It keeps motion below a cutoff frequency f and takes away what is faster: with τ the time between
frames, λ = (2π f τ)⁻⁴ halves a wave of f hertz.

The cutoff is the one under which the series are most probable (restricted maximum likelihood, Wahba 1985; it is the
rule that GCV approximates), joined to a prior around the frequencies of human motion. Errors of a detector hang
together over some frames, so frames at a high rate are not that many independent witnesses, and count as
`_WITNESSES_HZ` per second at most.

Values that do not fit get the weights of Student's t distribution (Lange, Little and Taylor 1989), one per frame and
joint.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import cho_solve_banded, cholesky_banded

_WITNESSES_HZ: Final = 15.0
_PRIOR_WIDTH: Final = 0.2  # of the logarithm of the cutoff
_LEAST_CUTOFF_HZ: Final = 0.3
_MOST_CUTOFF: Final = 0.9  # of the frame rate: nothing is taken away
_CUTOFFS: Final = 8  # tried between the two
_STIFFEST: Final = 1e10  # λ beyond which double precision would show
_LEAST_NOISE_M: Final = 0.0005  # nobody measures joints more finely than this
_TOLERANCE_M: Final = 0.01  # deviations of this size are not wild, however smooth the rest
_FREEDOM: Final = 3.0  # degrees of freedom of Student's t
_TINY: Final = 1e-9  # weight of a missing value, which keeps the equations solvable
_BY_MEDIAN: Final = 5  # frames whose median gives the first idea of what is wild
MIN_FRAMES: Final = 4
"""Shorter series, or those with fewer known values, come back as they are."""


class Smoothed(NamedTuple):
    """What `zero_lag` finds."""

    values: Float[np.ndarray, "series frame"]
    """The smooth series, at missing values too."""
    cutoff_hz: Float[np.ndarray, " group"]
    """The frequency above which motion is taken for noise, in hertz."""


def zero_lag(
    values: Float[np.ndarray, "series frame"],
    weights: Float[np.ndarray, "series frame"],
    times_s: Float[np.ndarray, " frame"],
    *,
    groups: Int[np.ndarray, " series"],
    joints: Int[np.ndarray, " series"],
    expected_hz: Float[np.ndarray, " group"],
) -> Smoothed:
    """Smooth series in metres, whose missing values are NaN.

    Args:
        values: metres.
        weights: relative trust in each value, the inverse of its variance up to a common factor.
        times_s: rising, not evenly spaced perhaps.
        groups: series of a group share one cutoff.
        joints: series of a joint are wild together.
        expected_hz: what each group's cutoff is likely to be.
    """
    frames = values.shape[1]
    known = np.isfinite(values)
    if frames < MIN_FRAMES:
        return Smoothed(values.copy(), expected_hz.copy())
    problem = _Problem(values, np.where(known, weights, 0.0), times_s, groups, expected_hz)
    middle = _running_median(values, known)
    noise_m = 1.5 * np.median(np.where(known, np.abs(values - middle), 0.0), axis=1)
    trust = _trusted(problem, middle, noise_m, joints)
    candidates = np.minimum(
        np.geomspace(_LEAST_CUTOFF_HZ, max(_MOST_CUTOFF * problem.rate_hz, 2 * _LEAST_CUTOFF_HZ), _CUTOFFS),
        _MOST_CUTOFF * problem.rate_hz,
    )
    cutoffs = np.repeat(candidates[:, None], len(expected_hz), axis=1)
    cutoff, noise_m = problem.likeliest(cutoffs, trust)
    trust = _trusted(problem, problem.solved(cutoff, trust), noise_m[groups], joints)
    cutoff, noise_m = problem.likeliest(cutoff * np.array([[0.6], [1.0], [1.6]]), trust)
    trust = _trusted(problem, problem.solved(cutoff, trust), noise_m[groups], joints)
    smooth = problem.solved(cutoff, trust)
    too_few = known.sum(1) < MIN_FRAMES
    return Smoothed(np.where(too_few[:, None], values, smooth), cutoff)


class _Problem:
    """The equations of all series, one banded system for them all: a series' last frame does not touch the next one."""

    def __init__(
        self, values: np.ndarray, weights: np.ndarray, times_s: np.ndarray, groups: np.ndarray, expected_hz: np.ndarray
    ) -> None:
        self.known = weights > 0
        self.values, self.weights = np.where(self.known, values, 0.0), weights
        self.groups, self.expected_hz = groups, expected_hz
        step_s = float(np.median(np.diff(times_s)))
        self.rate_hz = 1.0 / step_s
        self.rows, self.band = _curvature(times_s / step_s)
        self.freedom = self._grouped(np.maximum(self.known.sum(1) - 2.0, 1.0))
        self.witnesses = min(1.0, _WITNESSES_HZ * step_s)

    def solved(self, cutoff_hz: Float[np.ndarray, " group"], trust: np.ndarray) -> Float[np.ndarray, "series frame"]:
        """The smooth series at given cutoffs."""
        return self._solve(self._stiffness(cutoff_hz)[self.groups], self.weights * trust)[0]

    def likeliest(
        self, cutoffs_hz: Float[np.ndarray, "candidate group"], trust: np.ndarray
    ) -> tuple[Float[np.ndarray, " group"], Float[np.ndarray, " group"]]:
        """The most probable cutoff of each group, between candidates too, and the noise's standard deviation (m)."""
        weights = self.weights * trust
        surprise, noise = zip(*(self._surprise(cutoff, weights) for cutoff in cutoffs_hz), strict=True)
        surprise, noise = np.array(surprise), np.array(noise)
        every = np.arange(len(self.expected_hz))
        best = surprise.argmin(0)
        inside = np.clip(best, 1, len(cutoffs_hz) - 2)
        low, middle, high = (surprise[inside + step, every] for step in (-1, 0, 1))
        bend = low - 2 * middle + high
        shift = np.where((best == inside) & (bend > 0), 0.5 * (low - high) / np.where(bend > 0, bend, 1.0), 0.0)
        logs = np.log(cutoffs_hz)
        slope = (logs[inside + 1, every] - logs[inside - 1, every]) / 2
        cutoff = np.exp(logs[best, every] + np.clip(shift, -0.5, 0.5) * slope)
        return cutoff, noise[best, every]

    def _surprise(self, cutoff_hz: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Minus twice the logarithm of each group's probability, prior included, and the noise it implies (m)."""
        stiffness = self._stiffness(cutoff_hz)
        smooth, log_det = self._solve(stiffness[self.groups], weights)
        bent = sum(self.rows[:, step] * smooth[:, step : step + len(self.rows)] for step in range(3))
        misfit = (weights * (self.values - smooth) ** 2).sum(1) + stiffness[self.groups] * np.square(bent).sum(1)
        variance = self._grouped(misfit) / self.freedom + _LEAST_NOISE_M**2
        log_det = log_det - len(self.rows) * np.log(stiffness[self.groups])
        surprise = self.witnesses * (self.freedom * np.log(variance) + self._grouped(log_det))
        return surprise + (np.log(cutoff_hz / self.expected_hz) / _PRIOR_WIDTH) ** 2, np.sqrt(variance)

    def _solve(self, stiffness: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The smooth series, and the logarithm of the determinant of each one's equations."""
        series, frames = weights.shape
        band = self.band[:, None, :] * stiffness[None, :, None]
        band[2] += weights + _TINY
        factor = cholesky_banded(band.reshape(3, -1), overwrite_ab=True, check_finite=False)
        smooth = cho_solve_banded((factor, False), (weights * self.values).ravel(), check_finite=False)
        log_det = 2 * np.log(factor[2]).reshape(series, frames).sum(1)
        return smooth.reshape(series, frames), log_det

    def _stiffness(self, cutoff_hz: np.ndarray) -> np.ndarray:
        return np.minimum((2 * np.pi * cutoff_hz / self.rate_hz) ** -4.0, _STIFFEST)

    def _grouped(self, value: Float[np.ndarray, " series"]) -> Float[np.ndarray, " group"]:
        return np.bincount(self.groups, value, len(self.expected_hz))


def _curvature(times: Float[np.ndarray, " frame"]) -> tuple[np.ndarray, np.ndarray]:
    """Rows D of second derivatives, weighted by the time they stand for, and DᵀD as an upper band (3, frame)."""
    early, middle, late = times[:-2], times[1:-1], times[2:]
    rows = 2.0 * np.stack(
        [
            1 / ((early - middle) * (early - late)),
            1 / ((middle - early) * (middle - late)),
            1 / ((late - early) * (late - middle)),
        ],
        axis=1,
    )
    rows *= np.sqrt((late - early) / 2)[:, None]
    band = np.zeros((3, len(times)))
    for one in range(3):
        for other in range(one, 3):
            band[2 + one - other, other : other + len(rows)] += rows[:, one] * rows[:, other]
    return rows, band


def _trusted(
    problem: _Problem, smooth: np.ndarray, noise_m: Float[np.ndarray, " series"], joints: Int[np.ndarray, " series"]
) -> Float[np.ndarray, "series frame"]:
    """How much each value is believed, 0…1, by how far its joint lies from the smooth one."""
    spread = np.maximum(noise_m, _TOLERANCE_M)[:, None]
    square = problem.weights * (problem.values - smooth) ** 2 / spread**2
    member = (joints == np.arange(joints.max() + 1)[:, None]).astype(np.float64)
    far, count = member @ square, member @ problem.known
    return np.minimum((_FREEDOM + count) / (_FREEDOM + far), 1.0)[joints]


def _running_median(values: np.ndarray, known: Bool[np.ndarray, "series frame"]) -> Float[np.ndarray, "series frame"]:
    """The median over neighbouring frames, missing values taken from the line between known ones."""
    filled = values.copy()
    places = np.arange(values.shape[1])
    for row in np.flatnonzero(~known.all(1)):
        seen = known[row]
        filled[row] = np.interp(places, places[seen], values[row, seen]) if seen.any() else 0.0
    half = _BY_MEDIAN // 2
    padded = np.pad(filled, ((0, 0), (half, half)), mode="edge")
    stack = np.stack([padded[:, step : step + values.shape[1]] for step in range(_BY_MEDIAN)])
    return np.partition(stack, half, axis=0)[half]
