"""The camera from pictures of a board, with all that should be said about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8

from sightline.calibration.boards import Board
from sightline.calibration.bundle import lens_names, lens_values
from sightline.calibration.collecting import MOST_PICTURES, BoardCollector
from sightline.calibration.coverage import Coverage, coverage_of
from sightline.calibration.hints import why_not_found
from sightline.calibration.result import BoardView, CalibrationResult, LeftOut, ViewFit
from sightline.calibration.solve import (
    CHOICES,
    FEWEST_PICTURES,
    Coefficients,
    LensModel,
    Solution,
    rms_px,
    solve,
    stacked,
)
from sightline.camera import Camera
from sightline.errors import InputError

WANTED_PICTURES = 10
_DOUBTFUL_FOCAL = 0.01  # relative standard deviation
_UNKNOWN_FOCAL = 0.10
_LARGE_ERROR_PX = 1.0
_BLURRED_PX = 8.0


def calibrate(
    pictures: Iterable[tuple[str, UInt8[np.ndarray, "_ _ 3"]]],
    board: Board,
    *,
    model: LensModel = "brown_conrady",
    coefficients: Coefficients = "auto",
    max_pictures: int = MOST_PICTURES,
    progress: Callable[[int], None] | None = None,
) -> CalibrationResult:
    """Calibrate a camera from pictures of a board.

    Args:
        pictures: names and pixels (RGB, uint8), read one after the other and not kept.
        board: what is in the pictures.
        model: "brown_conrady" for ordinary lenses up to about 120°, "fisheye" for wider ones.
        coefficients: how many distortion coefficients to estimate; "auto" keeps what the pictures can fix.
        max_pictures: above this many, those most like others are left out: they cost time and tell nothing.
        progress: called with the number of pictures looked at.

    Raises:
        InputError: if fewer than three pictures show the board, or they do not fix the focal length.
        UsageError: if OpenCV is missing.
        ValueError: for a choice that does not exist.
    """
    collector = BoardCollector(board, max_pictures)
    for number, (name, pixels) in enumerate(pictures, start=1):
        collector.look(name, pixels)
        if progress is not None:
            progress(number)
    return calibrated(collector, model=model, coefficients=coefficients)


def calibrated(
    collector: BoardCollector, *, model: LensModel = "brown_conrady", coefficients: Coefficients = "auto"
) -> CalibrationResult:
    """Calibrate from what a collector found; raises as `calibrate` does."""
    check_lens(model, coefficients)
    if len(collector.views) < FEWEST_PICTURES:
        raise InputError(_too_few(collector))
    views, left_out, notes = _of_one_kind(collector.views)
    if len(views) < FEWEST_PICTURES:
        raise InputError(
            f"expected at least {FEWEST_PICTURES} pictures of one size that show the board, got {len(views)} of "
            f"{_size(views[0].image_size)} and {len(left_out)} of others; give pictures of one camera and one setting"
        )
    image_size = views[0].image_size
    points = collector.board.points_m
    solution = solve(stacked(points, [(view.ids, view.corners_px) for view in views]), image_size, model, coefficients)
    if not _focal_doubt(solution) < _UNKNOWN_FOCAL:
        raise InputError(_hopeless(solution, model))
    left_out = [*collector.left_out, *left_out, *_misfits(views, solution)]
    result = _result(collector.board, views, solution, left_out)
    return replace(
        result,
        unneeded=collector.crowded_out,
        turned=views[0].turned,
        warnings=(*notes, *_warnings(result, solution, model)),
    )


def check_lens(model: str, coefficients: str) -> None:
    """Refuse a lens model or number of coefficients that does not exist: `ValueError`."""
    if model not in CHOICES:
        raise ValueError(f"model: expected one of {', '.join(CHOICES)}, got {model!r}")
    if coefficients not in CHOICES[model]:
        choices = ", ".join(CHOICES[model])
        raise ValueError(f"coefficients: {model} takes one of {choices}, got {coefficients!r}")


# ---- which pictures go together ------------------------------------------------------------------------------------


def _of_one_kind(views: Sequence[BoardView]) -> tuple[list[BoardView], list[LeftOut], list[str]]:
    """Keep the pictures of the most common size, all turned as most of them; name the others.

    The sensor counts: a phone that was held upright and lying took both with one camera. Corners of pictures turned
    otherwise are turned back; a mirrored picture is another camera.
    """

    def kind(view: BoardView) -> tuple:
        return view.sensor_size, view.mirrored

    usual = Counter(kind(view) for view in views).most_common(1)[0][0]
    same = [view for view in views if kind(view) == usual]
    turn = Counter(view.turned for view in same).most_common(1)[0][0]
    size = turned_like(same[0], turn).image_size
    left_out = []
    for view in views:
        if kind(view) != usual:
            other = view.sensor_size != usual[0]
            reason = (
                f"it is {_size(view.image_size)}, not {_size(size)} like most"
                if other
                else "it is mirrored, most are not"
            )
            left_out.append(LeftOut(name=view.name, reason=reason, of_film=view.of_film))
    otherwise = sum(view.turned != turn for view in same)
    notes = []
    if otherwise:
        way = "not turned" if turn == 0 else f"turned by {90 * turn}° clockwise"
        notes.append(
            f"{otherwise} of {len(same)} pictures carry another orientation tag and were turned back for the "
            f"calibration: the camera is that of pictures {way}, {_size(size)}"
        )
    return [turned_like(view, turn) for view in same], left_out, notes


def turned_like(view: BoardView, turn: int) -> BoardView:
    """The view as it would be in the picture turned by `turn` quarters clockwise in all."""
    (width, height), (x, y) = view.image_size, view.corners_px.T
    more = (turn - view.turned) % 4
    corners = {0: (x, y), 1: (height - y, x), 2: (width - x, height - y), 3: (y, width - x)}[more]
    size = (height, width) if more % 2 else (width, height)
    return replace(view, image_size=size, turned=turn, corners_px=np.stack(corners, -1))


def _misfits(views: Sequence[BoardView], solution: Solution) -> list[LeftOut]:
    usual = float(np.median(solution.errors_px[solution.kept]))
    return [
        LeftOut(
            name=view.name,
            reason=f"its corners are off by {error:.1f} px where {usual:.2f} px is usual: blurred, bent, or misread",
            of_film=view.of_film,
        )
        for view, error, kept in zip(views, solution.errors_px, solution.kept, strict=True)
        if not kept
    ]


def _hopeless(solution: Solution, model: LensModel) -> str:
    error, doubt = float(np.median(solution.errors_px)), _focal_doubt(solution)
    if error > _LARGE_ERROR_PX:
        other = "fisheye, which lenses wider than 120° need" if model == "brown_conrady" else "brown_conrady"
        return f"no {model} lens fits the corners, which stay {error:.1f} px off; try --model {other}"
    sure = f" (to {100 * doubt:.0f} % only)" if doubt < 1.0 else ""
    return (
        f"the pictures do not fix the focal length{sure}: the boards are parallel to the picture or all tilted alike "
        f"(at most {max(_tilts(solution)):.0f}°); tilt the board by 30 to 45°, to all sides"
    )


def _too_few(collector: BoardCollector) -> str:
    shown, board = len(collector.views), collector.board
    if not collector.looked_at:
        return "none of the pictures could be read; expected photos or films of the board"
    if shown:
        pictures = "1 picture" if shown == 1 else f"{shown} pictures"
        return (
            f"the board was found in {pictures} only, out of {collector.looked_at}; expected at least "
            f"{FEWEST_PICTURES}, and {WANTED_PICTURES} to 20 for good figures"
        )
    hint = why_not_found(collector.without_board, board)
    return f"no picture of {collector.looked_at} shows a {board}; {hint}"


# ---- figures -------------------------------------------------------------------------------------------------------


def _result(board: Board, views: Sequence[BoardView], solution: Solution, left_out: list[LeftOut]) -> CalibrationResult:
    bundle, camera = solution.bundle, solution.bundle.camera
    residuals, seen = bundle.residuals_px(solution.views), solution.views.seen
    deviations = np.zeros(len(solution.free))
    deviations[solution.free.numpy()] = np.sqrt(np.diag(solution.sure.lens))
    lens = zip(lens_names(camera), lens_values(camera).tolist(), deviations.tolist(), strict=True)
    kept = [view for view, keep in zip(views, solution.kept, strict=True) if keep]
    points_cam = bundle.points_cam(solution.views)
    fits = []
    for number, (view, mask, error, tilt) in enumerate(
        zip(kept, seen, rms_px(residuals, seen).tolist(), _tilts(solution), strict=True)
    ):
        fits.append(
            ViewFit(
                name=view.name,
                rms_px=error,
                corners_px=solution.views.corners_px[number][mask].numpy(),
                residuals_px=residuals[number][mask].numpy(),
                distance_m=float(points_cam[number][mask].mean(0).norm()),
                tilt_deg=tilt,
                edge_px=view.edge_px,
            )
        )
    return CalibrationResult(
        camera=camera,
        board=board,
        rms_px=float(((residuals**2).sum() / seen.sum()).sqrt()),
        lens={name: (value, std) for name, value, std in lens},
        fov_deg=_fov_deg(camera),
        coverage=coverage_of((fit.corners_px for fit in fits), views[0].image_size),
        views=tuple(fits),
        left_out=tuple(left_out),
        corners_left_out=solution.left_out,
    )


def _fov_deg(camera: Camera) -> tuple[float | None, float | None]:
    (width, height), middle = camera.image_size.tolist(), (camera.image_size / 2.0).tolist()
    ends = torch.tensor([[0.0, middle[1]], [width, middle[1]], [middle[0], 0.0], [middle[0], height]]).double()
    rays, valid = camera.unproject(ends)
    angles = torch.atan2(torch.stack([rays[:2, 0], rays[2:, 1]]), torch.stack([rays[:2, 2], rays[2:, 2]]))
    wide, tall = torch.rad2deg(angles[:, 1] - angles[:, 0]).tolist()
    return (wide if bool(valid[:2].all()) else None, tall if bool(valid[2:].all()) else None)


def _tilts(solution: Solution) -> list[float]:
    """Angle between each board and the picture plane, degrees."""
    return torch.rad2deg(torch.arccos(solution.bundle.rotation[:, 2, 2].abs().clamp_max(1.0))).tolist()


def _focal_doubt(solution: Solution) -> float:
    """Relative standard deviation of the less certain focal length."""
    deviations = np.sqrt(np.maximum(np.diag(solution.sure.lens)[:2], 0.0))
    return float(np.max(deviations / solution.bundle.camera.focal_px.numpy()))


def _size(image_size: tuple[int, int]) -> str:
    return f"{image_size[0]} × {image_size[1]} px"


# ---- doubts --------------------------------------------------------------------------------------------------------


def _warnings(result: CalibrationResult, solution: Solution, model: LensModel) -> list[str]:
    """What makes a result doubtful, and what to do, a sentence each."""
    found, camera = [], result.camera
    if len(result.views) < WANTED_PICTURES:
        found.append(f"only {len(result.views)} pictures count; take {WANTED_PICTURES} to 20, from different sides")
    doubt, tilt = _focal_doubt(solution), max(view.tilt_deg for view in result.views)
    if doubt > _DOUBTFUL_FOCAL:
        found.append(
            f"the focal length is known to {100 * doubt:.1f} % only; tilt the board by 30 to 45°, to all sides"
        )
    elif tilt < 15.0:
        found.append(f"no board is tilted by more than {tilt:.0f}°; tilt it by 30 to 45°, to all sides")
    found += _coverage_warnings(result.coverage, camera, model)
    if result.rms_px > _LARGE_ERROR_PX:
        fisheye = ", or does a lens wider than 120° need --model fisheye" if model == "brown_conrady" else ""
        found.append(
            f"the error of {result.rms_px:.1f} px is large: is the board flat, the focus locked, the stabiliser off, "
            f"the number of --coefficients high enough{fisheye}?"
        )
    edge = float(np.nanmedian([view.edge_px for view in result.views]))
    if edge > _BLURRED_PX * max(1.0, float(camera.image_size.max()) / 2000.0):
        found.append(f"the pictures are blurred (edges {edge:.0f} px wide); hold still and focus on the board")
    fx, fy = camera.focal_px.tolist()
    if abs(fx / fy - 1.0) > 0.02:
        found.append(
            f"the focal lengths differ by {100 * abs(fx / fy - 1.0):.1f} %, though pixels are square in almost every "
            "camera; are the board's squares as wide as high?"
        )
    off = ((camera.center_px / camera.image_size) - 0.5).abs().max()
    if float(off) > 0.15:
        found.append("the principal point is far from the middle; were the pictures cropped?")
    return found


def _coverage_warnings(coverage: Coverage, camera: Camera, model: LensModel) -> list[str]:
    found = []
    gaps = coverage.gaps(fisheye=model == "fisheye")
    if gaps:
        found.append(
            f"no board came near the {_listed(gaps)} of the picture, where the lens is only guessed; hold it there too"
        )
    width, height = camera.image_size.tolist()
    corners = torch.tensor([[0.0, 0.0], [width, 0.0], [0.0, height], [width, height]]).double()
    _, valid = camera.unproject(corners)
    if model == "brown_conrady" and not bool(valid.all()):
        found.append("the lens model does not reach the corners of the picture; people there will get no position")
    return found


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
