"""Why no board was found: what else may be in the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sightline.calibration.boards import Board, CharucoBoard, Checkerboard
from sightline.calibration.finding import Grey, find_board, find_markers

_GENERAL = "is the whole board in the picture, flat, sharp, and with a white rim?"
_SEARCHED = (
    "DICT_4X4_1000",
    "DICT_5X5_1000",
    "DICT_6X6_1000",
    "DICT_7X7_1000",
    "DICT_ARUCO_ORIGINAL",
    "DICT_APRILTAG_36H11",
)


def why_not_found(pictures: Sequence[Grey], board: Board) -> str:
    """Look for boards one row or column off, or with other markers; return what to do, in half a sentence."""
    if isinstance(board, Checkerboard):
        return _other_checkerboard(pictures, board)
    return _other_charuco(pictures, board)


def _other_checkerboard(pictures: Sequence[Grey], board: Checkerboard) -> str:
    if max(_most_markers(dictionary, pictures) for dictionary in _SEARCHED) >= 6:
        return "but markers are there: give --board charuco, and columns and rows as squares"
    usual, sizes = (board.columns - 1, board.rows - 1), []
    for columns in (board.columns - 1, board.columns, board.columns + 1):
        for rows in (board.rows - 1, board.rows, board.rows + 1):
            if min(columns, rows) >= 3 and (columns, rows) != board.grid:
                sizes.append((columns, rows))
    sizes.sort(key=lambda size: size != usual)  # squares were counted: the most common mistake first
    for size in sizes:
        if _is_there(replace(board, columns=size[0], rows=size[1]), pictures):
            counted = "columns and rows count inner corners, one fewer than squares" if size == usual else "count again"
            there = f"but one of {size[0]} × {size[1]} inner corners is there"
            return f"{there}: {counted}; give --columns {size[0]} --rows {size[1]}"
    return _GENERAL


def _other_charuco(pictures: Sequence[Grey], board: CharucoBoard) -> str:
    if _most_markers(board.dictionary, pictures) >= 4:
        return _other_count(pictures, board)
    mirrored = _most_markers(board.dictionary, [grey[:, ::-1].copy() for grey in pictures])
    others = {name: _most_markers(name, pictures) for name in _SEARCHED if name[:8] != board.dictionary[:8]}
    most = max(others, key=lambda name: others[name])
    if mirrored >= 4 and mirrored >= others[most]:
        return "but its mirror image is there: switch the camera's mirroring off"
    if others[most] >= 4:
        family = most.removesuffix("_1000")
        return f"but markers of {family} are there: give the --dictionary that the board was made with"
    columns, rows = board.grid
    if min(columns, rows) >= 3:
        plain = Checkerboard(columns=columns, rows=rows, square_mm=board.square_mm)
        if _is_there(plain, pictures):
            return "but a board without markers is there: give --board checkerboard, counted by inner corners"
    return f"no marker of {board.dictionary} either: {_GENERAL}"


def _other_count(pictures: Sequence[Grey], board: CharucoBoard) -> str:
    for columns, rows in ((board.rows, board.columns), (board.columns + 1, board.rows + 1)):
        try:
            other = replace(board, columns=columns, rows=rows, legacy=None)
        except ValueError:  # more markers than the dictionary has
            continue
        if _is_there(other, pictures):
            there = f"but one of {columns} × {rows} squares is there"
            return f"{there}: columns and rows count squares; give --columns {columns} --rows {rows}"
    numbers = [number for grey in pictures for number in find_markers(grey, board.dictionary)]
    return (
        f"but its markers are there, up to number {max(numbers)}: count the squares of a row (columns) and of a "
        "column (rows), and see whether the board is whole and flat"
    )


def _is_there(board: Board, pictures: Sequence[Grey]) -> bool:
    return any(find_board(grey, board, thorough=False) is not None for grey in pictures)


def _most_markers(dictionary: str, pictures: Sequence[Grey]) -> int:
    return max((len(find_markers(grey, dictionary)) for grey in pictures), default=0)
