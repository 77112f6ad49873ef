"""Pictures and films in, boards out: which pictures show the board, and which frames of a film are worth keeping."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8

from sightline.calibration.boards import Board, CharucoBoard
from sightline.calibration.finding import FoundBoard, Grey, find_board, grey_of
from sightline.calibration.opencv import opencv
from sightline.calibration.result import BoardView, LeftOut

MOST_PICTURES = 60
LOOKS_PER_SECOND = 5.0
"""How often a film is looked at: a board that is held still for a moment is caught several times."""

_NEW_PLACE = 0.05  # of the picture's diagonal that the board's corners must have moved by, on average
_SHARPER = 0.85  # of the edge width that a frame in the same place must have to replace the other
_SHARP_PX = 6.0  # frames with wider edges are blurred by motion
_REMEMBERED = 3


class BoardCollector:
    """Looks for the board in pictures, one after the other, and remembers corners, not pictures.

    Of films it keeps sharp frames with the board in new places. Above `most` pictures, the one most like another goes.
    """

    def __init__(self, board: Board, most: int = MOST_PICTURES) -> None:
        self.board = board
        self.most = most
        self.left_out: list[LeftOut] = []
        self.looked_at = 0
        self.crowded_out = 0
        self.without_board: list[Grey] = []
        """The first few pictures in which no board was found, to find out why."""
        self._views: list[BoardView] = []

    @property
    def views(self) -> tuple[BoardView, ...]:
        """What was found and kept, in the order of the pictures."""
        return tuple(self._views)

    def look(
        self,
        name: str,
        pixels: UInt8[np.ndarray, "_ _ 3"],
        *,
        turned: int = 0,
        mirrored: bool = False,
    ) -> bool:
        """Look for the board in a picture; one without goes on the list of those left out. Say whether it is there."""
        grey = grey_of(pixels)
        self.looked_at += 1
        found = find_board(grey, self.board)
        if found is None:
            self.left_out.append(LeftOut(name=name, reason="no board was found in it"))
            self._remember(grey)
            return False
        self._keep(board_view(name, grey, found, turned=turned, mirrored=mirrored), found)
        return True

    def glance(
        self,
        name: str,
        pixels: UInt8[np.ndarray, "_ _ 3"],
        *,
        turned: int = 0,
        mirrored: bool = False,
    ) -> bool:
        """Look at a frame of a film; keep it if the board is sharp and in a new place. Say whether it was kept."""
        grey = grey_of(pixels)
        self.looked_at += 1
        found = find_board(grey, self.board, thorough=False)
        if found is None:
            self._remember(grey)
            return False
        view = board_view(name, grey, found, turned=turned, mirrored=mirrored, of_film=True)
        if not view.edge_px <= _SHARP_PX * max(1.0, max(view.image_size) / 2000.0):
            return False
        close = [number for number, other in enumerate(self._views) if _apart(view, other, self.board) < _NEW_PLACE]
        if any(view.edge_px > _SHARPER * self._views[number].edge_px for number in close):
            return False
        for number in reversed(close):
            del self._views[number]
        self._keep(view, found)
        return True

    def _keep(self, view: BoardView, found: FoundBoard) -> None:
        self._views.append(view)
        if isinstance(self.board, CharucoBoard) and self.board.legacy is None and found.legacy is not None:
            self.board = replace(self.board, legacy=found.legacy)
        if len(self._views) > self.most:
            del self._views[self._most_alike()]
            self.crowded_out += 1

    def _most_alike(self) -> int:
        """The picture of the two closest boards that is less sharp."""
        best, pair = np.inf, (0, 1)
        for second in range(len(self._views)):
            for first in range(second):
                apart = _apart(self._views[first], self._views[second], self.board)
                if apart < best:
                    best, pair = apart, (first, second)
        return max(pair, key=lambda number: self._views[number].edge_px)

    def _remember(self, grey: Grey) -> None:
        if len(self.without_board) < _REMEMBERED:
            self.without_board.append(grey)


def board_view(
    name: str, grey: Grey, found: FoundBoard, *, turned: int = 0, mirrored: bool = False, of_film: bool = False
) -> BoardView:
    """A board found in a picture, with what is known of the picture."""
    return BoardView(
        name=name,
        image_size=(grey.shape[1], grey.shape[0]),
        turned=turned,
        mirrored=mirrored,
        ids=found.ids,
        corners_px=found.corners_px,
        edge_px=found.edge_px,
        of_film=of_film,
    )


def _apart(one: BoardView, other: BoardView, board: Board) -> float:
    """Mean distance between the outer corners of the board in two pictures, as a share of the picture's diagonal."""
    if one.image_size != other.image_size:
        return float("inf")
    moved = np.linalg.norm(_outline(one, board) - _outline(other, board), axis=-1).mean()
    return float(moved / np.linalg.norm(one.image_size))


def _outline(view: BoardView, board: Board) -> Float[np.ndarray, "4 2"]:
    """The board's four outer corners in the picture (px), found or not: by the homography of those found."""
    columns, rows = board.grid
    ends = np.array([0, columns - 1, columns * rows - 1, columns * (rows - 1)])
    points = board.points_m[:, :2]
    homography, _ = opencv().findHomography(points[view.ids], view.corners_px, 0)
    if homography is None:
        return np.repeat(view.corners_px.mean(0, keepdims=True), 4, 0)
    away = np.concatenate([points[ends], np.ones((4, 1))], -1) @ homography.T
    return away[:, :2] / np.where(np.abs(away[:, 2:]) < 1e-12, 1e-12, away[:, 2:])
