"""From keypoints to the camera that saw them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sightline.camera import Camera
from sightline.self_calibration.posterior import ANKLE_M, Posterior, Priors
from sightline.self_calibration.result import FOCAL_SURE, FoundCamera, enough
from sightline.self_calibration.search import Belief, Density, believed, highest, scan
from sightline.self_calibration.sticks import Sticks, sticks_of
from sightline.structures import Keypoints

_OUTLIER_SQUARED = 13.8  # chi-squared of 2: one good pose in a thousand
_STEADY = 0.12  # of log lengths
_PITCHES, _ROLLS = (math.radians(-20.0), math.radians(65.0)), (math.radians(-35.0), math.radians(35.0))


def find_camera(
    keypoints: Keypoints,
    *,
    camera: Camera | None = None,
    height_m: float | None = None,
    priors: Priors | None = None,
) -> FoundCamera:
    """Estimate focal length, gravity and floor of a camera that does not move, from people who stand or walk.

    Args:
        keypoints: of one picture or many, any joint set with ankles, hips and shoulders.
        camera: where it is known: only gravity and floor are estimated then.
        height_m: barefoot stature of the people, where known; it makes heights in metres surer.
        priors: what is believed before anybody is seen.

    Returns:
        The camera. Where the people do not tell the focal length, the assumed one, with its uncertainty; gravity and
        floor have `world_found` False where they are not told either, as always where nobody stands upright.
    """
    priors, size = priors or Priors(), keypoints.image_size
    diagonal = math.hypot(*size)
    camera = None if camera is None else camera.scaled_to(size)
    known = None if camera is None else float(camera.focal)
    sticks = sticks_of(keypoints, camera, height_m=height_m)
    if not sticks.tracks:
        return _nobody(size, diagonal, known, priors)
    posterior, belief = _fitted(sticks, diagonal, priors, known)
    focal, sigma = (known, 0.0) if known is not None else (math.exp(belief.mean[0]), math.sqrt(belief.covariance[0, 0]))
    told = sigma <= FOCAL_SURE and enough(posterior.sticks.tracks, len(posterior.sticks.track))
    if known is None and not told:
        belief = _at_assumed(posterior, belief)
        focal, sigma = math.exp(posterior.mean_log_focal), priors.focal_sd
    pitch, roll, log_height = belief.mean[-3:]
    spread = np.sqrt(np.diag(belief.covariance)[-3:])
    height = math.exp(log_height) + ANKLE_M
    return FoundCamera(
        image_size=size,
        focal_px=focal,
        focal_sigma=sigma,
        focal_found=known is None and told,
        focal_known=known is not None,
        pitch_rad=float(pitch),
        pitch_sigma_rad=float(spread[0]),
        roll_rad=float(roll),
        roll_sigma_rad=float(spread[1]),
        height_m=height,
        height_sigma_m=float(spread[2]) * height,
        people=posterior.sticks.tracks,
        poses=len(posterior.sticks.track),
    )


def _fitted(sticks: Sticks, diagonal: float, priors: Priors, known: float | None) -> tuple[Posterior, Belief]:
    """Find the camera with which most sticks agree, and where the posterior given those lies."""
    fixed = None if known is None else math.log(known)
    free = slice(0 if fixed is None else 1, 4)
    posterior, mode = _settled(Posterior(sticks, diagonal, priors), fixed)
    if len(posterior.sticks.track) < len(sticks.track):
        steady = _steady(sticks, diagonal, priors, fixed)
        if steady.any() and not steady.all():
            other, other_mode = _settled(Posterior(sticks.chosen(steady), diagonal, priors), fixed)
            if len(other.sticks.track) > len(posterior.sticks.track):
                posterior, mode = other, other_mode
    belief = believed(_over(posterior, fixed), mode, _ranges(posterior)[1][free])
    return posterior, _widened(belief, _misfit(posterior, _whole(mode, fixed)))


def _settled(posterior: Posterior, fixed: float | None) -> tuple[Posterior, np.ndarray]:
    """The posterior without the sticks that do not agree with its highest point, and that point."""
    center, _, low, high = _ranges(posterior)
    free = slice(0 if fixed is None else 1, 4)
    mode = highest(_over(posterior, fixed), scan(_over(posterior, fixed), low[free], high[free]))
    for last in (False, True):
        kept = _agreeing(posterior, _whole(mode, fixed), drop_tracks=last)
        if kept.all():
            continue
        if not kept.any():
            break
        posterior = posterior.given(posterior.sticks.chosen(kept))
        mode = highest(_over(posterior, fixed), np.stack([mode, center[free]]))
    return posterior, mode


def _steady(sticks: Sticks, diagonal: float, priors: Priors, fixed: float | None) -> np.ndarray:
    """Which sticks are as long (m) as their person's others, before a camera for which each stick is somebody else.

    A leap lifts a person off the floor, so that the feet seem to stand farther away, and the body seems larger.
    """
    apart = Posterior(sticks.taken_apart(), diagonal, priors)
    _, _, low, high = _ranges(apart)
    free = slice(0 if fixed is None else 1, 4)
    mode = highest(_over(apart, fixed), scan(_over(apart, fixed), low[free], high[free]))
    size = apart.log_sizes(_whole(mode, fixed))
    middle = np.array([np.median(size[sticks.track == track]) for track in range(sticks.tracks)])
    return np.abs(size - middle[sticks.track]) <= _STEADY


def _misfit(posterior: Posterior, theta: np.ndarray) -> float:
    """How many times the expected squared distance the sticks that are left are off, at least 1.

    People who climb or squat lean more than the model knows of; what they tell is as much less sure (Birge, 1932).
    """
    _, squared, unlike = posterior.outliers(theta)
    free = 2 * len(squared) - len(theta)
    total = float(np.minimum(squared, _OUTLIER_SQUARED).sum() + unlike.sum())
    return max(total / free, 1.0) if free > 0 else 1.0


def _widened(belief: Belief, times: float) -> Belief:
    return replace(belief, covariance=times * belief.covariance)


def _ranges(posterior: Posterior) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Center and width of the prior, and the box that is scanned, over (log focal, pitch, roll, log height)."""
    priors = posterior.priors
    center = np.array([posterior.mean_log_focal, priors.pitch_rad, 0.0, math.log(priors.height_m)])
    wide = np.array([priors.focal_sd, priors.pitch_sd_rad, priors.tilted_sd_rad, priors.height_sd])
    reach = np.array([2.0 * priors.focal_sd, 0.0, 0.0, 2.5 * priors.height_sd])
    low, high = center - reach, center + reach
    (low[1], high[1]), (low[2], high[2]) = _PITCHES, _ROLLS
    return center, wide, low, high


def _whole(theta: np.ndarray, fixed: float | None) -> np.ndarray:
    """All four numbers, the focal length's logarithm filled in where it is fixed."""
    if fixed is None:
        return theta
    return np.concatenate([np.full((*theta.shape[:-1], 1), fixed), theta], -1)


def _over(posterior: Posterior, fixed: float | None) -> Density:
    """The posterior over what is free."""
    return lambda theta: posterior(_whole(theta, fixed))


def _agreeing(posterior: Posterior, theta: np.ndarray, *, drop_tracks: bool) -> np.ndarray:
    """Which sticks agree with a camera: those of a track that mostly does, without its odd moments (a jump)."""
    doubtful, squared, _ = posterior.outliers(theta)
    track = posterior.sticks.track
    good = squared <= _OUTLIER_SQUARED
    mostly = np.bincount(track, good) >= 0.5 * np.bincount(track)
    if drop_tracks:
        return good & (doubtful <= 0.5)[track]
    return good | ~mostly[track]


def _at_assumed(posterior: Posterior, joint: Belief) -> Belief:
    """Gravity and height if the focal length is the assumed one, as unsure as that is."""
    fixed, free = posterior.mean_log_focal, slice(1, 4)
    _, wide, _, _ = _ranges(posterior)
    density = _over(posterior, fixed)
    found = believed(density, highest(density, joint.mode[None, free]), wide[free])
    with_focal = joint.covariance[free, 0] / joint.covariance[0, 0] * posterior.priors.focal_sd
    covariance = _misfit(posterior, _whole(found.mode, fixed)) * found.covariance
    return Belief(mode=found.mode, mean=found.mean, covariance=covariance + np.outer(with_focal, with_focal))


def _nobody(size: tuple[int, int], diagonal: float, known: float | None, priors: Priors) -> FoundCamera:
    """What is believed where nobody stands upright: the prior."""
    return FoundCamera(
        image_size=size,
        focal_px=priors.focal_35mm * diagonal / math.hypot(36.0, 24.0) if known is None else known,
        focal_sigma=priors.focal_sd if known is None else 0.0,
        focal_found=False,
        focal_known=known is not None,
        pitch_rad=priors.pitch_rad,
        pitch_sigma_rad=priors.pitch_sd_rad,
        roll_rad=0.0,
        roll_sigma_rad=priors.tilted_sd_rad,
        height_m=priors.height_m,
        height_sigma_m=priors.height_sd * priors.height_m,
        people=0,
        poses=0,
    )
