"""From corners to a camera: a start, least squares, and corners that do not fit left out.

The start is the best of several lenses without distortion (Brown–Conrady: straight; fisheye: angle ∝ radius), each of
which places every board on its own, so that a picture that was misread spoils no other. From there a robust adjustment
(weights of Cauchy's distribution; Triggs et al. 2000, section 3.2) finds what belongs together, and plain least squares
on that gives the result. It is the optimum of OpenCV's `calibrateCamera`, which one misread picture can break, and of
its `fisheye.calibrate`, which fails on many good sets of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.calibration.bundle import (
    Bundle,
    Certainty,
    Views,
    adjusted,
    certainty,
    lens_names,
    lens_values,
    squared_error,
)
from sightline.calibration.opencv import opencv
from sightline.camera import Camera
from sightline.errors import InputError
from sightline.geometry.distortion import Distortion

LensModel = Literal["brown_conrady", "fisheye"]
Coefficients = Literal["auto", "0", "1", "2", "3", "4", "5", "8"]

CHOICES: dict[LensModel, tuple[Coefficients, ...]] = {
    "brown_conrady": ("auto", "0", "1", "2", "4", "5", "8"),
    "fisheye": ("auto", "0", "1", "2", "3", "4"),
}
"""How many coefficients may be estimated; of Brown–Conrady lenses k1, k2, p1, p2, k3, k4 … k6, as OpenCV counts."""

FEWEST_PICTURES = 3
_ROUNDS = 6
_SWEEPS = 8
_RAYLEIGH = 1.1774  # the median length of a residual in units of the noise of a coordinate
_OUTLIER_SIGMAS = 6.0  # a corner this many standard deviations off is a mistake, not noise
_VIEW_RATIO = 3.0  # a picture with this many times the usual error was blurred or its board bent
_TOLERATED_PX = 0.3  # and nothing below this is a mistake
_MOST_MISTAKES = 0.15  # of the corners, and
_FEWEST_KEPT = 0.6  # of the pictures: beyond that the lens is wrong and not the corners
_SHOWN = 0.97  # of the corners must be within the reach of the lens model
_SIGNIFICANT = 3.0  # standard deviations that a last coefficient must differ from zero to be kept
_FOCALS = {  # of the first guesses, as shares of the picture's longer side
    "brown_conrady": (0.35, 0.42, 0.5, 0.6, 0.72, 0.87, 1.05, 1.3, 1.6, 2.0, 2.6, 3.5, 5.0, 8.0),
    "fisheye": (0.22, 0.26, 0.31, 0.37, 0.45, 0.54, 0.65, 0.8, 1.0, 1.3),
}
_GUESSED_FROM = 20  # pictures, when there are more


@dataclass(frozen=True)
class Solution:
    """A camera with the poses of the boards that count.

    Attributes:
        bundle: camera and poses, of the pictures that were kept.
        views: their corners; the mask says which counted.
        kept: which of the pictures given were kept.
        errors_px: RMS error of each picture given, in the round in which it was judged last.
        left_out: how many corners of the kept pictures were left out as mistakes.
        free: which parameters of the lens were estimated.
        sure: how sure it is.
    """

    bundle: Bundle
    views: Views
    kept: Bool[np.ndarray, "given"]
    errors_px: Float[np.ndarray, "given"]
    left_out: int
    free: Bool[Tensor, "lens"]
    sure: Certainty


def solve(views: Views, image_size: tuple[int, int], model: LensModel, coefficients: Coefficients) -> Solution:
    """Calibrate one camera from the corners of at least three pictures.

    Raises:
        InputError: if no lens of this model fits the corners at all.
    """
    if coefficients != "auto":
        return _without_mistakes(views, image_size, model, int(coefficients))
    most = {"brown_conrady": 5, "fisheye": 4}[model]
    try:
        return _without_needless(_without_mistakes(views, image_size, model, most))
    except InputError as error:  # so many coefficients can bend a lens back on itself
        try:
            return _without_mistakes(views, image_size, model, 2)
        except InputError:
            raise error from None


def rms_px(residuals: Float[Tensor, "views corners 2"], seen: Bool[Tensor, "views corners"]) -> Float[Tensor, "views"]:
    """Root mean square length of each picture's residuals, px."""
    squared = torch.where(seen, (residuals**2).sum(-1), 0.0)
    return (squared.sum(-1) / seen.sum(-1).clamp_min(1)).sqrt()


def placed(camera: Camera, views: Views) -> Bundle:
    """Return where the board is in each picture of a known camera, before any adjustment; NaN where that fails."""
    rotations = torch.full((len(views.seen), 3, 3), torch.nan, dtype=torch.float64)
    translations = torch.full((len(views.seen), 3), torch.nan, dtype=torch.float64)
    for number in range(len(views.seen)):
        one = views.only(torch.arange(len(views.seen)) == number)
        ways = both_ways(camera, one)
        if ways:
            best = min(ways, key=lambda way: squared_error(way, one))
            rotations[number], translations[number] = best.rotation[0], best.translation_m[0]
    return Bundle(camera, rotations, translations)


def both_ways(camera: Camera, one: Views) -> list[Bundle]:
    """Return the two poses in which one picture's board may be, the likelier one first; none where that fails.

    A plane seen from far away looks nearly alike in two poses (Collins and Bartoli 2014).
    """
    cv2 = opencv()
    flat, valid = camera.normalized(one.corners_px[0])
    usable = one.seen[0] & valid
    if int(usable.sum()) < 4:
        return []
    points = one.points_board[0][usable].numpy()
    try:
        _, turns, moves, _ = cv2.solvePnPGeneric(points, flat[usable].numpy(), np.eye(3), None, flags=cv2.SOLVEPNP_IPPE)
    except cv2.error:  # corners that no plane before the camera explains
        return []
    ways = []
    for turn, move in zip(turns, moves, strict=True):
        rotation, translation = cv2.Rodrigues(turn)[0], move.reshape(3)
        if np.isfinite(rotation).all() and np.isfinite(translation).all():
            ways.append(Bundle(camera, torch.from_numpy(rotation)[None], torch.from_numpy(translation.copy())[None]))
    return ways


# ---- from nothing to a camera --------------------------------------------------------------------------------------


def _first_guess(views: Views, image_size: tuple[int, int], model: LensModel) -> Bundle:
    """The lens without distortion that comes nearest to half of the corners."""
    some = torch.zeros(len(views.seen), dtype=torch.bool)
    some[:: max(1, len(some) // _GUESSED_FROM)] = True
    best, best_error = None, float("inf")
    for share in _FOCALS[model]:
        lens = Distortion.create("kannala_brandt", [0.0] * 4) if model == "fisheye" else None
        camera = Camera.create(image_size, share * max(image_size), distortion=lens)
        error = float(_lengths(placed(camera, views.only(some)), views.only(some))[views.seen[some]].median())
        if error < best_error:
            best, best_error = camera, error
    if best is None:
        raise InputError(f"the corners fit no {model} lens at all; were all pictures taken by one camera?")
    return placed(best, views)


def _with_coefficients(camera: Camera, model: LensModel, count: int) -> Camera:
    """The camera with that many distortion coefficients, all zero."""
    if model == "fisheye":
        return replace(camera, distortion=Distortion.create("kannala_brandt", [0.0] * count))
    radial = {0: 0, 1: 1, 2: 2, 4: 2, 5: 3, 8: 6}[count]
    lens = Distortion.create("brown_conrady", [0.0] * radial, [0.0, 0.0] if count >= 4 else None) if count else None
    return replace(camera, distortion=lens)


def _robust_fit(views: Views, image_size: tuple[int, int], model: LensModel, count: int) -> Bundle:
    """A camera of that many coefficients that fits most corners; the others may be anywhere."""
    bundle = _first_guess(views, image_size, model)
    bundle = replace(bundle, camera=_with_coefficients(bundle.camera, model, count))
    names = lens_names(bundle.camera)
    for parts in (("fx", "fy", "k1"), ("fx", "fy", "k1", "k2", "cx", "cy"), names):  # the strongest first
        free = torch.tensor([name in parts for name in names])
        for _ in range(_SWEEPS if parts is names else 2):
            bundle = _swept(bundle, views, free)
    return bundle


def _swept(bundle: Bundle, views: Views, free: Bool[Tensor, "lens"]) -> Bundle:
    """Adjust once with the weights that the residuals deserve; boards that are far off are placed anew before."""
    lengths = _lengths(bundle, views)
    noise = max(float(lengths[views.seen].median()) / _RAYLEIGH, 1e-3)
    typical = torch.where(views.seen, lengths, torch.nan).nanmedian(-1).values
    lost = typical > 10.0 * noise
    if bool(lost.any()):
        again = placed(bundle.camera, views.only(lost))
        better = torch.zeros_like(lost)
        better[lost] = (
            torch.where(views.seen[lost], _lengths(again, views.only(lost)), torch.nan).nanmedian(-1).values
            < typical[lost]
        )
        rotation, translation = bundle.rotation.clone(), bundle.translation_m.clone()
        rotation[better], translation[better] = again.rotation[better[lost]], again.translation_m[better[lost]]
        bundle = replace(bundle, rotation=rotation, translation_m=translation)
        lengths = _lengths(bundle, views)
    weight = 1.0 / (1.0 + (lengths / (3.0 * noise)) ** 2)
    trusted = views.seen & (lengths < 30.0 * noise)
    known = bundle.rotation.isfinite().all(-1).all(-1) & trusted.any(-1)
    part = Views(views.points_board, views.corners_px, trusted, weight).only(known)
    found = adjusted(bundle.only(known), part, free, rounds=12)
    rotation, translation = bundle.rotation.clone(), bundle.translation_m.clone()
    rotation[known], translation[known] = found.rotation, found.translation_m
    return Bundle(found.camera, rotation, translation)


def _lengths(bundle: Bundle, views: Views) -> Float[Tensor, "views corners"]:
    """Lengths of the residuals, px; infinite where the lens cannot show a corner or the board has no place."""
    lengths = torch.linalg.vector_norm(bundle.residuals_px(views), dim=-1)
    return torch.where(lengths.isfinite(), lengths, torch.inf)


# ---- what does not fit ---------------------------------------------------------------------------------------------


def _without_mistakes(views: Views, image_size: tuple[int, int], model: LensModel, count: int) -> Solution:
    """Calibrate on what fits together; what does not, corner or picture, was blurred, bent or misread."""
    bundle = _robust_fit(views, image_size, model, count)
    free = torch.ones(len(lens_names(bundle.camera)), dtype=torch.bool)
    good, kept = torch.zeros_like(views.seen), torch.zeros(len(views.seen), dtype=torch.bool)
    for _ in range(_ROUNDS):
        before = good
        good, kept = _judged(_lengths(bundle, views), views.seen)
        if bool((good == before).all()):
            break
        part = Views(views.points_board, views.corners_px, good).only(kept)
        found = adjusted(bundle.only(kept), part, free)
        rotation, translation = bundle.rotation.clone(), bundle.translation_m.clone()
        rotation[kept], translation[kept] = found.rotation, found.translation_m
        bundle = Bundle(found.camera, rotation, translation)
    lengths, part = _lengths(bundle, views), Views(views.points_board, views.corners_px, good).only(kept)
    if (
        int(kept.sum()) < FEWEST_PICTURES
        or float(lengths[views.seen].isfinite().double().mean()) < _SHOWN * _FEWEST_KEPT
    ):
        raise InputError(
            f"no {model} lens with {count} coefficients shows all the corners that were found; take another --model, "
            "or fewer --coefficients"
        )
    errors_px = rms_px(bundle.residuals_px(views), views.seen & lengths.isfinite())
    left_out = int((views.seen & ~good)[kept].sum())
    found = bundle.only(kept)
    return Solution(found, part, kept.numpy(), errors_px.numpy(), left_out, free, certainty(found, part, free))


def _judged(
    lengths: Float[Tensor, "views corners"], seen: Bool[Tensor, "views corners"]
) -> tuple[Bool[Tensor, "views corners"], Bool[Tensor, "views"]]:
    """Return which corners hold, and which pictures: most of a picture's corners must, and its error be usual.

    Where too much would go, the lens is the wrong one and not the corners: then all that it can show are kept.
    """
    noise = float(lengths[seen].median()) / _RAYLEIGH
    good = seen & (lengths <= max(_OUTLIER_SIGMAS * noise, _TOLERATED_PX))
    count = good.sum(-1)
    errors = (torch.where(good, lengths, 0.0) ** 2).sum(-1).div(count.clamp_min(1)).sqrt()
    usual = float(errors[count > 0].median()) if bool((count > 0).any()) else 0.0
    kept = (count >= (0.75 * seen.sum(-1)).clamp_min(4)) & (errors <= max(_VIEW_RATIO * usual, _TOLERATED_PX))
    mistakes = float((seen & ~good)[kept].sum() / seen[kept].sum().clamp_min(1))
    if int(kept.sum()) < max(FEWEST_PICTURES, _FEWEST_KEPT * len(seen)) or mistakes > _MOST_MISTAKES:
        good = seen & lengths.isfinite()
        kept = good.sum(-1) >= 4
    return good & kept[:, None], kept


def _without_needless(solution: Solution) -> Solution:
    """Drop the last radial coefficient while it cannot be told from zero: what the pictures cannot fix only harms."""
    while True:
        bundle, lens = solution.bundle, solution.bundle.camera.distortion
        if lens is None or lens.radial.shape[-1] <= 2:
            return solution
        last = lens_names(bundle.camera).index(f"k{lens.radial.shape[-1]}")
        sigma = float(solution.sure.lens[last, last]) ** 0.5
        if abs(float(lens_values(bundle.camera)[last])) >= _SIGNIFICANT * sigma:
            return solution
        shorter = replace(bundle.camera, distortion=replace(lens, radial=lens.radial[:-1]))
        free = torch.ones(len(lens_names(shorter)), dtype=torch.bool)
        bundle = adjusted(replace(bundle, camera=shorter), solution.views, free)
        if not np.isfinite(squared_error(bundle, solution.views)):
            return solution
        solution = replace(solution, bundle=bundle, free=free, sure=certainty(bundle, solution.views, free))


def stacked(points_m: Float[np.ndarray, "all 3"], found: Sequence[tuple[np.ndarray, np.ndarray]]) -> Views:
    """Pad the (ids, corners_px) of several pictures to one array each."""
    most = max(len(ids) for ids, _ in found)
    points, corners = torch.zeros(len(found), most, 3).double(), torch.zeros(len(found), most, 2).double()
    seen = torch.zeros(len(found), most, dtype=torch.bool)
    for number, (ids, corners_px) in enumerate(found):
        points[number, : len(ids)] = torch.from_numpy(points_m[ids])
        points[number, len(ids) :] = torch.from_numpy(points_m[ids[0]])  # a harmless place for what is not seen
        corners[number, : len(ids)] = torch.from_numpy(corners_px)
        corners[number, len(ids) :] = torch.from_numpy(corners_px[0])
        seen[number, : len(ids)] = True
    return Views(points, corners, seen)
