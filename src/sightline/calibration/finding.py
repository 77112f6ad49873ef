"""A board's corners in one picture, to a few hundredths of a pixel.

OpenCV finds the board; every corner is then refined where the brightness has its saddle point (Förstner and Gülch
1987), in a window that holds nothing but that corner. That makes the accuracy independent of who found the corner, and
removes the half pixel by which OpenCV's own ChArUco detector shifts all corners before its release of 2026. Pixels
have their corner origin: 0.5 is added once, here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from sightline.calibration.boards import FEWEST_CORNERS, Board, CharucoBoard, Checkerboard
from sightline.calibration.opencv import opencv
from sightline.calibration.sharpness import edge_width_px

SEARCHED_PX = 1280
"""Longest side of the picture in which a board is looked for first; corners are refined in the picture itself."""
_BEGIN_OFF_PX = 0.25
_WINDOW = 0.011  # largest half-size of a window as a share of the diagonal: beyond it, lenses bend the edges
_LEAST_MARGIN_PX = 2.5  # nearer markers would be in every window
_AGREEING = 0.9  # of the pairs of markers that meet in a corner
Corners = Float[np.ndarray, "corners 2"]
Grey = UInt8[np.ndarray, "_ _"]


@dataclass(frozen=True)
class FoundBoard:
    """The corners of a board that one picture shows.

    Attributes:
        ids: which corners, by their row in the board's `points_m`; rising.
        corners_px: where they are, px, corner origin.
        edge_px: width of the edges between black and white, from 10 to 90 % of the step, px: 2 to 3 is sharp.
        legacy: whether a ChArUco board has the older layout; None where the picture cannot tell.
    """

    ids: Int[np.ndarray, "corners"]
    corners_px: Corners
    edge_px: float
    legacy: bool | None = None


def grey_of(pixels: UInt8[np.ndarray, "_ _ 3"]) -> Grey:
    """The brightness of an RGB picture."""
    return opencv().cvtColor(np.ascontiguousarray(pixels), opencv().COLOR_RGB2GRAY)


def find_board(grey: Grey, board: Board, *, thorough: bool = True) -> FoundBoard | None:
    """Find a board in a picture; None where it is not, or fewer than six of its corners are.

    thorough: try several ways before giving up; without it only the fastest, for films.
    """
    if isinstance(board, Checkerboard):
        return _find_checkerboard(grey, board, thorough)
    return _find_charuco(grey, board, thorough)


# ---- checkerboard --------------------------------------------------------------------------------------------------


def _find_checkerboard(grey: Grey, board: Checkerboard, thorough: bool) -> FoundBoard | None:
    cv2 = opencv()
    small, scale = _reduced(grey)
    sector, classic = cv2.findChessboardCornersSB, cv2.findChessboardCorners
    tries: list[tuple[Any, Grey, int]] = [(sector, small, 0)]
    if thorough:
        tries += [
            (sector, small, cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_EXHAUSTIVE),
            (classic, small, cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE),
        ]
        tries += [(sector, grey, 0)] if small is not grey else []
    for find, picture, flags in tries:
        try:
            found, corners = find(picture, board.grid, flags=flags)
        except cv2.error:  # a picture too small for the search's own windows
            continue
        if not found or corners is None or len(corners) != board.columns * board.rows:
            continue
        corners = corners.reshape(-1, 2).astype(np.float64)
        if picture is small:
            corners = (corners + 0.5) / scale - 0.5
        grid = corners.reshape(board.rows, board.columns, 2)
        if not _is_even_grid(grid):
            continue
        spacing = _spacing(grid).ravel()
        refined, kept = _refined(grey, corners, 0.35 * spacing, spacing)
        if kept.all():
            grid = _read_from_the_first_corner(refined.reshape(grid.shape), grey)
            return FoundBoard(np.arange(len(corners)), grid.reshape(-1, 2) + 0.5, edge_width_px(grey, grid, 0.3))
    return None


def _is_even_grid(grid: Float[np.ndarray, "rows columns 2"]) -> bool:
    """Whether neighbours lie where neighbours on a bent plane can: each near the middle of those beside it."""
    for axis in (0, 1):
        step = np.diff(grid, axis=axis)
        length = np.linalg.norm(step, axis=-1)
        before, after = np.split(length, [-1], axis)[0], np.split(length, [1], axis)[1]
        bend = np.linalg.norm(np.diff(step, axis=axis), axis=-1)
        if length.min() < 3.0 or (bend > 0.6 * np.maximum(before, after)).any():
            return False
    return True


def _spacing(grid: Float[np.ndarray, "rows columns 2"]) -> Float[np.ndarray, "rows columns"]:
    """Distance of each corner to its nearest neighbour in the grid, px; NaN corners have none."""
    nearest = np.full(grid.shape[:2], np.inf)
    across = np.linalg.norm(np.diff(grid, axis=1), axis=-1)
    down = np.linalg.norm(np.diff(grid, axis=0), axis=-1)
    for part, length in (
        (np.s_[:, :-1], across),
        (np.s_[:, 1:], across),
        (np.s_[:-1], down),
        (np.s_[1:], down),
    ):
        nearest[part] = np.fmin(nearest[part], length)
    return nearest


def _read_from_the_first_corner(
    grid: Float[np.ndarray, "rows columns 2"], grey: Grey
) -> Float[np.ndarray, "rows columns 2"]:
    """Number the corners as one reads the board from its face: clockwise axes, black top-left square.

    A board that looks the same after half a turn is read the way in which its rows run most to the right.
    """
    ahead, down = grid[:-1, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, :-1]
    if (ahead[..., 0] * down[..., 1] - ahead[..., 1] * down[..., 0]).sum() < 0:
        grid = grid[:, ::-1]
    ways = [grid, grid[::-1, ::-1]]
    if grid.shape[0] == grid.shape[1]:
        quarter = np.rot90(grid)  # numpy turns the array and keeps each corner's position, as is wanted here
        ways += [quarter, quarter[::-1, ::-1]]
    return max(ways, key=lambda way: (_is_dark_first(way, grey), float((way[:, -1] - way[:, 0])[:, 0].mean())))


def _is_dark_first(grid: Float[np.ndarray, "rows columns 2"], grey: Grey) -> bool:
    """Whether the squares of the colour of the first one are the black ones."""
    middle = (grid[:-1, :-1] + grid[1:, 1:] + grid[:-1, 1:] + grid[1:, :-1]) / 4.0
    column = np.clip(np.round(middle[..., 0]).astype(int), 0, grey.shape[1] - 1)
    row = np.clip(np.round(middle[..., 1]).astype(int), 0, grey.shape[0] - 1)
    shade = grey[row, column].astype(np.float64)
    like_first = np.add.outer(np.arange(shade.shape[0]), np.arange(shade.shape[1])) % 2 == 0
    return bool(shade[like_first].mean() < shade[~like_first].mean())


# ---- ChArUco -------------------------------------------------------------------------------------------------------


def find_markers(grey: Grey, dictionary: str) -> dict[int, Float[np.ndarray, "4 2"]]:
    """The markers of a family in a picture: number → four corners (px, centre origin), clockwise from its top left.

    A number seen twice is left out: nobody can say which of the two belongs to the board.
    """
    corners, ids, _ = _marker_detector(dictionary).detectMarkers(grey)
    numbers = [] if ids is None else [int(number) for number in np.ravel(ids)]
    quads = [np.reshape(quad, (4, 2)).astype(np.float64) for quad in corners]
    return {number: quad for number, quad in zip(numbers, quads, strict=True) if numbers.count(number) == 1}


@cache
def _marker_detector(dictionary: str) -> Any:
    aruco = opencv().aruco
    return aruco.ArucoDetector(aruco.getPredefinedDictionary(getattr(aruco, dictionary)), aruco.DetectorParameters())


def _find_charuco(grey: Grey, board: CharucoBoard, thorough: bool) -> FoundBoard | None:
    small, scale = _reduced(grey)
    markers = find_markers(small, board.dictionary)
    if small is not grey and thorough and len(markers) < board.marker_count:
        more = find_markers(grey, board.dictionary)
        markers, scale = (more, np.ones(2)) if len(more) > len(markers) else (markers, scale)
    quads = {number: (quad + 0.5) / scale - 0.5 for number, quad in markers.items() if number < board.marker_count}
    layouts = [board.legacy] if board.legacy is not None else [False, True][: 1 + board.has_two_layouts]
    guesses = [_predicted(quads, board, bool(legacy)) for legacy in layouts]
    guess = max(guesses, key=lambda each: each.agreeing)
    told_apart = len({each.agreeing for each in guesses}) == len(guesses)
    if guess.agreeing < max(2.0, _AGREEING * guess.meeting):
        return None  # these are the markers of another board
    (columns, rows), margin = board.grid, (board.square_mm - board.marker_side_mm) / 2.0
    ids = np.flatnonzero(np.isfinite(guess.corners_px).all(-1) & (guess.margin_px >= _LEAST_MARGIN_PX))
    if len(ids) < FEWEST_CORNERS:
        return None
    radius = 0.9 * guess.margin_px[ids]
    refined, kept = _refined(grey, guess.corners_px[ids], radius, guess.margin_px[ids] * board.square_mm / margin)
    ids, refined = ids[kept], refined[kept]
    if len(ids) < FEWEST_CORNERS or min(len(set(ids % columns)), len(set(ids // columns))) < 2:
        return None  # too few, or all in a line
    grid = np.full((rows * columns, 2), np.nan)
    grid[ids] = refined
    edge_px = edge_width_px(grey, grid.reshape(rows, columns, 2), 0.9 * margin / board.square_mm)
    return FoundBoard(ids, refined + 0.5, edge_px, guess.legacy if told_apart else None)


class _Guess(NamedTuple):
    """Corners of a ChArUco board as its markers predict them.

    corners_px: NaN where no marker tells. margin_px: how much white is around each corner. meeting: how many corners
    lie between two markers that were seen. agreeing: on how many of them the two agree.
    """

    corners_px: Corners
    margin_px: Float[np.ndarray, "corners"]
    meeting: int
    agreeing: int
    legacy: bool


def _predicted(quads: dict[int, Float[np.ndarray, "4 2"]], board: CharucoBoard, legacy: bool) -> _Guess:
    """Extend each marker to the corners of its square by its own homography, since lenses bend the board.

    Where two markers meet in a corner they must agree to a quarter of their side. A marker that agrees with none is
    not believed: it may be no marker of this board, or the board may have the other layout.
    """
    count, margins = len(board.points_m), np.full(len(board.points_m), np.inf)
    told: list[dict[int, np.ndarray]] = [{} for _ in range(count)]
    for number, quad in quads.items():
        for corner, place, margin_px in _square_corners(number, quad, board, legacy):
            told[corner][number] = place
            margins[corner] = min(margins[corner], margin_px)
    side = {number: np.linalg.norm(quad - np.roll(quad, 1, 0), axis=-1).min() for number, quad in quads.items()}
    agreed = {
        corner
        for corner, around in enumerate(told)
        if len(around) == 2
        and np.linalg.norm(np.subtract(*around.values())) <= 0.25 * min(side[number] for number in around)
    }
    believed = {number for corner in agreed for number in told[corner]}
    corners = np.full((count, 2), np.nan)
    for corner, around in enumerate(told):
        if corner in agreed or (len(around) == 1 and believed >= around.keys()):
            corners[corner] = np.mean(list(around.values()), 0)
    return _Guess(corners, margins, sum(len(around) == 2 for around in told), len(agreed), legacy)


def _square_corners(
    number: int, quad: Float[np.ndarray, "4 2"], board: CharucoBoard, legacy: bool
) -> Iterator[tuple[int, Float[np.ndarray, "2"], float]]:
    """The inner corners around a marker: which, where (px), and how far from the marker itself (px, along an axis)."""
    square, (columns, rows) = board.square_mm, board.grid
    low, high = (square - board.marker_side_mm) / 2.0, (square + board.marker_side_mm) / 2.0
    on_square = np.array([[low, low], [high, low], [high, high], [low, high]], dtype=np.float32)
    image_from_square = opencv().getPerspectiveTransform(on_square, quad.astype(np.float32))
    column, row = board.marker_squares(legacy)[number]
    for nearest, (right, below) in zip(quad, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        i, j = column + right - 1, row + below - 1
        if 0 <= i < columns and 0 <= j < rows:
            x, y, w = image_from_square @ np.array([right * square, below * square, 1.0])
            place = np.array([x, y]) / w
            yield j * columns + i, place, float(np.linalg.norm(place - nearest) / np.sqrt(2.0))


# ---- both ----------------------------------------------------------------------------------------------------------


def _reduced(grey: Grey) -> tuple[Grey, Float[np.ndarray, "2"]]:
    """The picture with its longest side at most `SEARCHED_PX`, and its size relative to the one given."""
    height, width = grey.shape
    factor = SEARCHED_PX / max(height, width)
    if factor >= 1.0:
        return grey, np.ones(2)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return opencv().resize(grey, size, interpolation=opencv().INTER_AREA), np.array(size) / (width, height)


def _refined(
    grey: Grey,
    corners: Corners,
    radius_px: Float[np.ndarray, "corners"],
    spacing_px: Float[np.ndarray, "corners"],
) -> tuple[Corners, np.ndarray]:
    """Refine corners (px, centre origin), each in a window of its own half-size; and say which of them held still.

    A corner that wandered off by over a fifth of the distance to its neighbour is another one, or none; where the
    refinement leaves its window OpenCV returns the start unchanged, and that is no corner either.
    """
    cv2, refined = opencv(), corners.copy()
    height, width = grey.shape
    to_border = np.minimum(corners, np.array([width, height]) - 1.0 - corners).min(-1)
    inside = to_border >= 3.0  # windows must not reach beyond the border, where the picture is made up
    largest = np.clip(_WINDOW * np.hypot(width, height), 5.0, 21.0)
    windows = np.clip(np.minimum(radius_px, to_border - 1.0), 2.0, largest).astype(int)
    until = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
    for window in np.unique(windows[inside]):
        chosen = inside & (windows == window)
        # Begun a little off: a drawn board needs no refinement at all, and "unchanged" has to mean failure.
        start = np.ascontiguousarray(corners[chosen] + _BEGIN_OFF_PX, dtype=np.float32).reshape(-1, 1, 2).copy()
        half = (int(window), int(window))
        refined[chosen] = cv2.cornerSubPix(grey, start, half, (-1, -1), until).reshape(-1, 2)
    held = np.linalg.norm(refined - (corners + _BEGIN_OFF_PX).astype(np.float32), axis=-1) > 1e-3
    moved = np.linalg.norm(refined - corners, axis=-1)
    return refined, inside & held & (moved <= np.maximum(0.2 * spacing_px, 1.5))
