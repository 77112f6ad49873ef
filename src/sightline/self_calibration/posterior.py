"""How likely a camera is, given upright people: everything but focal, pitch, roll and height integrated out.

A camera at the height h above the floor looks down by `pitch` and is turned by `roll`. The ray through a person's feet
meets the floor in one place, so the shoulders must be seen a body's length above it, against gravity. They are not
quite, because people are of different size, lean, lift their feet, and because detectors err. All of these are
Gaussian and small, so each person's stature, lean and lift, which are the same in all frames, and the rest, which is
new in each, are integrated out in closed form: with e the pixels between the shoulders seen and expected, z = (log
stature, lean right, lean ahead, lift) of the person and G = ∂e/∂z,

    e = G z + ε,    ε ~ N(0, D),    z ~ N(m, Λ⁻¹)    ⇒    e ~ N(G m, D + G Λ⁻¹ Gᵀ).

A person is an adult, or one who bends, or of unusual size, or does not stand on this floor at all: four components of a
mixture.
How people lean and lift their feet was measured on the training split of the motion capture pack (219 clips).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sightline.self_calibration.sticks import Sticks

ANKLE_M = 0.066
"""An ankle above the sole, 0.039 of 1.70 m (Drillis and Contini, 1966)."""
TOP_SHARE = 0.762
"""How high the shoulders' middle is above the ankle of the leg that stands, in statures; mocap: 0.745 to 0.775."""
LIFT_M, LIFT_SD_M, LIFT_BIAS_SD_M = 0.03, 0.03, 0.025
"""The ankles' middle above that ankle: the other foot swings. In the mean, from frame to frame, and of a person all the
time: some stand, some walk. mocap: 0.05 ± 0.03 of those who walk."""
SIZE_SD = 0.02
"""Of log stature from frame to frame: knees that bend."""
LEAN_SD, LEAN_BIAS_SD, BENT_BIAS_SD = 0.045, 0.04, 0.12
"""Shoulders beside the ankles, in lengths of the stick: from frame to frame, and of a person all the time: of most, and
of those who bend; rad."""
PIXEL_SD, PIXEL_SHARE_SD = 1.0, 0.012
"""A detector's error in the middle of two joints: px in pictures with a diagonal of 1000, and of the stick's length."""

_ADULT_SHARE, _BENT_SHARE, _ODD_SHARE, _OUTLIER_SHARE = 0.67, 0.20, 0.10, 0.03
_ODD_M, _ODD_SD = 1.35, 0.25
_GIVEN_SD = 0.02
_OUTLIER_SD = 0.5  # of the stick's length
_LEAST_SLOPE = 2e-3  # of rays that meet the floor: 500 camera heights away
_BELIEVED_SIZE = (0.35, 1.4)  # of an adult, for the place about which the model is linear
_ROWS = 60_000  # hypotheses × sticks at a time


@dataclass(frozen=True, kw_only=True)
class Priors:
    """What is believed before anybody is seen: medians, and standard deviations of the logarithm or angle."""

    focal_35mm: float = 28.0
    focal_sd: float = 0.4
    pitch_rad: float = math.radians(10.0)
    pitch_sd_rad: float = math.radians(18.0)
    roll_sd_rad: float = math.radians(8.0)
    tilted_share: float = 0.15
    """Share of cameras that somebody tilted on purpose, by `tilted_sd_rad`."""
    tilted_sd_rad: float = math.radians(25.0)
    height_m: float = 1.5
    height_sd: float = 0.5
    stature_m: float = 1.70
    stature_sd: float = 0.057
    """0.09 m, and the proportions of people."""


class Posterior:
    """The logarithm of the posterior density (up to a constant) over (log focal px, pitch, roll, log height m).

    Args:
        sticks: upright people.
        diagonal: of the picture, px.
        priors: what is believed before.
    """

    def __init__(self, sticks: Sticks, diagonal: float, priors: Priors) -> None:
        self.sticks, self.priors, self.diagonal = sticks, priors, diagonal
        self.mean_log_focal = math.log(priors.focal_35mm * diagonal / math.hypot(36.0, 24.0))
        self._starts = np.flatnonzero(np.diff(sticks.track, prepend=-1))
        length = np.sqrt(np.square(sticks.top_px - sticks.foot_px).sum(-1))
        self._pixel_var = (PIXEL_SD * diagonal / 1000.0) ** 2 + np.square(PIXEL_SHARE_SD * length)
        self._outlier = self._by_track(-np.log(2.0 * np.pi * np.square(_OUTLIER_SD * length))[None])[0]
        self._components = self._kinds()

    def __call__(self, theta: Float[np.ndarray, "hypothesis 4"]) -> Float[np.ndarray, " hypothesis"]:
        """Return the logarithm per hypothesis; memory does not grow with their number."""
        step = max(_ROWS // max(len(self.sticks.track), 1), 1)
        parts = [self._part(theta[start : start + step]) for start in range(0, len(theta), step)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def given(self, sticks: Sticks) -> Posterior:
        """The same, given other sticks."""
        return Posterior(sticks, self.diagonal, self.priors)

    def log_sizes(self, theta: Float[np.ndarray, "4"]) -> Float[np.ndarray, " track"]:
        """Return the logarithm of each track's length, in those of an adult, that fits a camera best."""
        return self._seen(theta[None]).log_size[0]

    def prior(self, theta: Float[np.ndarray, "hypothesis 4"]) -> Float[np.ndarray, " hypothesis"]:
        """Return the logarithm of the prior density, up to a constant."""
        priors = self.priors
        log_focal, pitch, roll, log_height = theta.T
        level = (1.0 - priors.tilted_share) * _normal(roll, priors.roll_sd_rad)
        tilted = priors.tilted_share * _normal(roll, priors.tilted_sd_rad)
        floor = math.log(priors.height_m - ANKLE_M)
        return (
            -0.5 * np.square((log_focal - self.mean_log_focal) / priors.focal_sd)
            - 0.5 * np.square((pitch - priors.pitch_rad) / priors.pitch_sd_rad)
            - 0.5 * np.square((log_height - floor) / priors.height_sd)
            + np.log(level + tilted)
        )

    def outliers(
        self, theta: Float[np.ndarray, "4"]
    ) -> tuple[Float[np.ndarray, " track"], Float[np.ndarray, " stick"], Float[np.ndarray, " track"]]:
        """Return, for one camera, how probably each track is an outlier, and how far off sticks and people are.

        The first is the probability that the track does not stand on the camera's floor. The second is the squared
        distance from where the person's own stature, lean and lift put the shoulders, in standard deviations
        (chi-squared of 2). The third is that of these four from what people are like (chi-squared of 4).
        """
        seen = self._seen(theta[None])
        parts = self._tracks(seen)
        total = np.logaddexp.reduce(parts, axis=0)[0]
        best = np.argmax(parts[:-1, 0], axis=0)
        _, means, precisions = self._components
        means, precisions = (values[best, np.arange(self.sticks.tracks)] for values in (means, precisions))
        shift = np.zeros((self.sticks.tracks, 4))
        shift[:, 0] = means - seen.log_size[0]
        right = seen.right[0] + precisions * shift
        z = np.linalg.solve(seen.normal[0] + precisions[..., None] * np.eye(4), right[..., None])[..., 0]
        rest = seen.error[0] - (seen.slope[0] @ z[self.sticks.track][..., None])[..., 0]
        squared = (rest * (seen.weight[0] @ rest[..., None])[..., 0]).sum(-1)
        unlike = (precisions * np.square(z - shift)).sum(-1)
        return np.exp(parts[-1, 0] - total), np.where(seen.valid[0], squared, np.inf), unlike

    # Inside

    def _part(self, theta: np.ndarray) -> np.ndarray:
        likelihood = np.logaddexp.reduce(self._tracks(self._seen(theta)), axis=0).sum(-1)
        return likelihood + self.prior(theta)

    def _kinds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log share, mean of log size (of an adult), and precision of z: adults, those who bend, unusual people.

        Shapes (component,), (component, track), (component, track, 4).
        """
        priors, given = self.priors, self.sticks.height_m
        known = np.isfinite(given)
        told = np.log(np.where(known, given, 1.0) / priors.stature_m)
        usual, odd = np.where(known, told, 0.0), np.where(known, told, math.log(_ODD_M / priors.stature_m))
        size_sd = np.where(known, _GIVEN_SD, priors.stature_sd)
        deviations = np.ones((3, len(given), 4))
        deviations[:2, :, 0], deviations[2, :, 0] = size_sd, _ODD_SD
        deviations[..., 1:3] = np.array([LEAN_BIAS_SD, BENT_BIAS_SD, LEAN_BIAS_SD])[:, None, None]
        deviations[..., 3] = LIFT_BIAS_SD_M
        return np.log([_ADULT_SHARE, _BENT_SHARE, _ODD_SHARE]), np.stack([usual, usual, odd]), deviations**-2.0

    def _tracks(self, seen: _Seen) -> Float[np.ndarray, "component hypothesis track"]:
        """Log density of each track in each component, its share included; the last component is that of outliers."""
        found = []
        for share, mean, precision in zip(*self._components, strict=True):
            shift = mean - seen.log_size  # (hypothesis, track): of z's mean, whose other parts are 0
            column = seen.normal[..., 0]
            normal = seen.normal + precision[..., None] * np.eye(4)
            right = seen.right - column * shift[..., None]
            squared = seen.squared - 2.0 * shift * seen.right[..., 0] + shift * shift * column[..., 0]
            solved = np.linalg.solve(normal, right[..., None])[..., 0]
            log_det = np.linalg.slogdet(normal)[1] - np.log(precision).sum(-1)
            squared = squared - (right * solved).sum(-1)
            found.append(share - 0.5 * (squared + log_det + seen.log_det))
        parts = np.stack([*found, np.broadcast_to(math.log(_OUTLIER_SHARE) + self._outlier, found[0].shape)])
        parts[:-1] = np.where(seen.whole, parts[:-1], -1e6)
        return parts

    def _seen(self, theta: Float[np.ndarray, "hypothesis 4"]) -> _Seen:
        """Everything that the closed form needs, for each hypothesis and stick."""
        focal, up = np.exp(theta[:, 0]), up_from_angles(theta[:, 1], theta[:, 2])
        height = np.exp(theta[:, 3])[:, None]
        rays, tops = (_rays(points, focal) for points in (self.sticks.foot_px, self.sticks.top_px))
        slope = -np.einsum("hi,hsi->hs", up, rays)
        valid = (slope > _LEAST_SLOPE) & (height > 2.0 * LIFT_M)
        slope = np.where(valid, slope, 1.0)
        range_m = (height - LIFT_M) / slope
        base = rays * range_m[..., None] - LIFT_M * up[:, None]
        log_size = self._log_size(base, up, tops, valid)
        length = np.exp(log_size)[:, self.sticks.track] * (TOP_SHARE * self.priors.stature_m)
        top = base + length[..., None] * up[:, None]
        valid &= top[..., 2] > 0.05
        depth = np.where(valid, top[..., 2], 1.0)
        seen_at = top[..., :2] / depth[..., None]
        error = (tops[..., :2] - seen_at) * focal[:, None, None]
        scale = (focal[:, None] / depth)[..., None, None]
        project = np.zeros((*depth.shape, 2, 3))  # ∂ pixel / ∂ point
        project[..., 0, 0] = project[..., 1, 1] = 1.0
        project[..., 2] = -seen_at
        project *= scale
        axes = np.stack([up, *_across(up)], -1)[:, None]  # (hypothesis, 1, 3, up and two across)
        lifted = -(project @ (rays / slope[..., None] + up[:, None])[..., None])  # px per metre
        bent = np.concatenate([(project @ axes) * length[..., None, None], lifted], -1)
        noise = self._noise(project, rays, up, slope, range_m, focal, bent)
        weight, log_det = _inverted(noise)
        weighted = np.swapaxes(weight @ bent, -1, -2)
        return _Seen(
            error=error,
            slope=bent,
            weight=weight,
            valid=valid,
            log_size=log_size,
            whole=self._by_track((~valid).astype(np.float64)) == 0.0,
            normal=self._by_track(weighted @ bent),
            right=self._by_track((weighted @ error[..., None])[..., 0]),
            squared=self._by_track(np.einsum("hsi,hsij,hsj->hs", error, weight, error)),
            log_det=self._by_track(log_det + 2.0 * math.log(2.0 * math.pi)),
        )

    def _log_size(self, base: np.ndarray, up: np.ndarray, tops: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The log size (of an adult) of each track that fits its sticks best: where the model is made linear."""
        along = up[:, None, :2] - tops[..., :2] * up[:, None, 2:]
        beside = tops[..., :2] * base[..., 2:] - base[..., :2]
        weight = np.where(valid, 1.0 / np.square(base[..., 2].clip(0.1)), 0.0)
        over = self._by_track(weight * (along * beside).sum(-1))
        under = self._by_track(weight * np.square(along).sum(-1)).clip(1e-12)
        return np.log((over / under / (TOP_SHARE * self.priors.stature_m)).clip(*_BELIEVED_SIZE))

    def _noise(
        self,
        project: np.ndarray,
        rays: np.ndarray,
        up: np.ndarray,
        slope: np.ndarray,
        range_m: np.ndarray,
        focal: np.ndarray,
        bent: np.ndarray,
    ) -> Float[np.ndarray, "hypothesis stick 2 2"]:
        """Covariance (px²) of what is new in each frame: pixels of shoulders and feet, size, lean, lifted feet."""
        moved = rays[..., None] * (range_m / slope)[..., None, None] * up[:, None, None, :2]
        moved[..., [0, 1], [0, 1]] += range_m[..., None]  # ∂ foot on the floor / ∂ (x, y) of its ray
        feet = project @ moved / focal[:, None, None, None]
        pixel = self._pixel_var[:, None, None]
        fresh = np.square(np.array([SIZE_SD, LEAN_SD, LEAN_SD, LIFT_SD_M]))
        return pixel * (np.eye(2) + feet @ np.swapaxes(feet, -1, -2)) + (bent * fresh) @ np.swapaxes(bent, -1, -2)

    def _by_track(self, values: np.ndarray) -> np.ndarray:
        """Sum over the sticks (axis 1) of each track."""
        return np.add.reduceat(values, self._starts, axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """The parts of the closed form: error, ∂error/∂z, D⁻¹ per stick; GᵀD⁻¹G, GᵀD⁻¹e, eᵀD⁻¹e, log |2πD| per track."""

    error: np.ndarray
    slope: np.ndarray
    weight: np.ndarray
    valid: np.ndarray
    log_size: np.ndarray
    whole: np.ndarray
    normal: np.ndarray
    right: np.ndarray
    squared: np.ndarray
    log_det: np.ndarray


def up_from_angles(pitch: np.ndarray, roll: np.ndarray) -> Float[np.ndarray, "*batch 3"]:
    """Unit vector against gravity in the camera's frame; positive pitch looks down, roll turns the camera clockwise."""
    return np.stack([np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)], -1)


def _across(up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors that are level: to the right, and ahead."""
    right = np.stack([-up[..., 1], up[..., 0], np.zeros_like(up[..., 0])], -1)
    norm = np.sqrt(np.square(right).sum(-1, keepdims=True))
    right = np.where(norm > 1e-9, right / norm.clip(1e-9), np.array([1.0, 0.0, 0.0]))
    return right, np.cross(up, right)


def _rays(points_px: np.ndarray, focal: np.ndarray) -> Float[np.ndarray, "hypothesis stick 3"]:
    plane = points_px / focal[:, None, None]
    return np.concatenate([plane, np.ones((*plane.shape[:-1], 1))], -1)


def _inverted(matrices: Float[np.ndarray, "*batch 2 2"]) -> tuple[np.ndarray, np.ndarray]:
    """Inverses and logarithms of the determinants of symmetric matrices."""
    a, b, d = matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 1, 1]
    det = a * d - b * b
    inverse = np.stack([np.stack([d, -b], -1), np.stack([-b, a], -1)], -2) / det[..., None, None]
    return inverse, np.log(det)


def _normal(value: np.ndarray, deviation: float) -> np.ndarray:
    return np.exp(-0.5 * np.square(value / deviation)) / deviation
