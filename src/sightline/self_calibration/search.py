"""Mean and covariance of a posterior over four numbers: a scan, Newton's method, and weighted samples around the best.

A camera that is hardly constrained has a posterior far from a Gaussian, so the second derivatives at its highest point
(Laplace's approximation) only say where samples are drawn; what they weigh gives mean and covariance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Density = Callable[[Float[np.ndarray, "hypothesis n"]], Float[np.ndarray, " hypothesis"]]

_SCAN, _STARTS, _STEPS = 1024, 6, 25
_SAMPLES, _ROUNDS, _TAIL = 512, 2, 5.0
_LEAST_EFFECTIVE = 40.0
_DIFFERENCE = 1e-3
_LONGEST = 0.35  # step of Newton's method, in logarithms and radians


@dataclass(frozen=True, kw_only=True, eq=False)
class Belief:
    """Where a density lies: its highest point, mean and covariance."""

    mode: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    covariance: Float[np.ndarray, "n n"]


def scan(density: Density, low: np.ndarray, high: np.ndarray) -> Float[np.ndarray, "start n"]:
    """Return a few points between `low` and `high`, far from each other, at which the density is high."""
    from scipy.stats import qmc  # loads slowly, and whoever knows the camera does not need it

    points = qmc.scale(qmc.Halton(len(low), scramble=False).random(_SCAN + 1)[1:], low, high)
    order = np.argsort(-density(points), kind="stable")
    chosen: list[np.ndarray] = []
    for point in points[order]:
        if all(np.abs((point - one) / (high - low)).max() > 0.12 for one in chosen):
            chosen.append(point)
        if len(chosen) == _STARTS:
            break
    return np.array(chosen)


def highest(density: Density, starts: Float[np.ndarray, "start n"]) -> Float[np.ndarray, " n"]:
    """Return the highest point that Newton's method reaches from any of the starts."""
    found = [_climbed(density, start) for start in starts]
    return max(found, key=lambda pair: pair[1])[0]


def believed(density: Density, mode: Float[np.ndarray, " n"], wide: Float[np.ndarray, " n"]) -> Belief:
    """Return mean and covariance around the highest point; `wide` are deviations that none can exceed (the prior's)."""
    _, _, hessian = _derivatives(density, mode)
    covariance = _inverse(-hessian, wide)
    mean = mode
    top = float(density(mode[None])[0])
    for number in range(_ROUNDS):
        points, log_drawn = _drawn(mean, 1.3 * covariance, number)
        log_weight = density(points) - top - log_drawn
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        if 1.0 / np.square(weight).sum() < _LEAST_EFFECTIVE:
            break
        mean = weight @ points
        away = points - mean
        covariance = (away * weight[:, None]).T @ away
    return Belief(mode=mode, mean=mean, covariance=covariance)


def _climbed(density: Density, start: np.ndarray) -> tuple[np.ndarray, float]:
    """Newton's method with shrinking steps; the density's value at the end."""
    at, value = start, float(density(start[None])[0])
    for _ in range(_STEPS):
        _, gradient, hessian = _derivatives(density, at)
        roots, axes = np.linalg.eigh(-hessian)
        step = axes @ ((axes.T @ gradient) / np.maximum(np.abs(roots), 1.0))
        step *= min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-12))
        tries = at + step * np.array([1.0, 0.5, 0.25, 0.1, 0.02])[:, None]
        values = density(tries)
        best = int(np.argmax(values))
        if not values[best] > value:
            break
        gain, at, value = float(values[best]) - value, tries[best], float(values[best])
        if gain < 1e-3:
            break
    return at, value


def _derivatives(density: Density, at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, gradient and matrix of second derivatives, by differences."""
    n, step = len(at), _DIFFERENCE
    eye = step * np.eye(n)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    moves = [np.zeros(n), *eye, *-eye, *(sign * (eye[i] + eye[j]) for i, j in pairs for sign in (1.0, -1.0))]
    values = density(at + np.array(moves))
    middle, plus, minus = values[0], values[1 : n + 1], values[n + 1 : 2 * n + 1]
    gradient = (plus - minus) / (2.0 * step)
    hessian = np.diag((plus - 2.0 * middle + minus) / step**2)
    for row, (i, j) in enumerate(pairs):
        both = values[2 * n + 1 + 2 * row : 2 * n + 3 + 2 * row].sum()
        mixed = (both - plus[i] - minus[i] - plus[j] - minus[j] + 2.0 * middle) / (2.0 * step**2)
        hessian[i, j] = hessian[j, i] = mixed
    return float(middle), gradient, hessian


def _inverse(information: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """The covariance that second derivatives tell; directions in which they tell nothing are as wide as the prior."""
    scaled = information * wide * wide[:, None]
    roots, axes = np.linalg.eigh(scaled)
    return (axes / np.maximum(roots, 1.0)) @ axes.T * wide * wide[:, None]


def _drawn(mean: np.ndarray, covariance: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a multivariate Student t, and the logarithm of its density up to a constant."""
    n = len(mean)
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(n))
    plain = rng.standard_normal((_SAMPLES, n)) / np.sqrt(rng.chisquare(_TAIL, _SAMPLES) / _TAIL)[:, None]
    points = mean + plain @ root.T
    return points, -0.5 * (_TAIL + n) * np.log1p(np.square(plain).sum(-1) / _TAIL)
