"""Boards: what can be one, how it is drawn, how far it is seen. None of this needs OpenCV, but for markers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sightline.calibration import CharucoBoard, Checkerboard, draw_board
from sightline.calibration.boards import DICTIONARIES
from sightline.calibration.coverage import coverage_of, inside_hull
from sightline.calibration.finding import _is_even_grid, _read_from_the_first_corner
from sightline.errors import UsageError

# ---- what can be a board -------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"columns": 9, "rows": 6, "square_mm": 25.0}


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (Checkerboard, {"columns": 1, "rows": 1}, "columns: expected 3 to 100 inner corners"),
        (Checkerboard, {"rows": 2}, "rows: expected 3 to 100 inner corners"),
        (Checkerboard, {"columns": -9}, "columns: expected 3 to 100"),
        (Checkerboard, {"columns": 10**9}, "columns: expected 3 to 100"),
        (Checkerboard, {"square_mm": float("nan")}, "square_mm: expected a side of 0.5 to 5000 millimetres, got nan"),
        (Checkerboard, {"square_mm": float("inf")}, "got inf"),
        (Checkerboard, {"square_mm": 0.025}, "millimetres, got 0.025"),
        (Checkerboard, {"square_mm": 0.0}, "millimetres, got 0"),
        (Checkerboard, {"square_mm": -25.0}, "millimetres, got -25"),
        (CharucoBoard, {"columns": 3, "rows": 3}, "rows: expected at least 4 × 3 squares, got 3 × 3"),
        (CharucoBoard, {"columns": 1}, "columns: expected 3 to 100 squares"),
        (CharucoBoard, {"marker_mm": 25.0}, "marker_mm: expected a marker that fits into its square of 25 mm"),
        (CharucoBoard, {"marker_mm": float("nan")}, "marker_mm: expected a marker"),
        (CharucoBoard, {"marker_mm": 0.0}, "marker_mm: expected a marker"),
        (CharucoBoard, {"dictionary": "5X5"}, "dictionary: expected one of DICT_4X4_50"),
        (CharucoBoard, {"columns": 20, "rows": 14}, "hold 140 markers, but DICT_5X5_100 has 100"),
    ],
)
def test_what_can_be_no_board_is_refused(kind: Any, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=re.escape(expected)):
        kind(**{**GOOD, **changes})


def test_corners_are_counted_row_by_row_from_the_first() -> None:
    points = Checkerboard(**GOOD).points_m
    assert points.shape == (54, 3)
    assert points[0].tolist() == [0.0, 0.0, 0.0]
    assert points[1] == pytest.approx([0.025, 0.0, 0.0])
    assert points[9] == pytest.approx([0.0, 0.025, 0.0])
    assert CharucoBoard(**GOOD).points_m.shape == (40, 3)


@pytest.mark.parametrize(("columns", "rows", "one_way"), [(9, 6, True), (8, 5, True), (8, 6, False), (7, 5, False)])
def test_a_board_has_one_way_up_if_one_number_is_even(columns: int, rows: int, one_way: bool) -> None:
    """Turned by half, a square (i, j) becomes (columns − i, rows − j): black and white exchange or do not."""
    squares = np.add.outer(np.arange(rows + 1), np.arange(columns + 1)) % 2
    assert bool((squares != np.rot90(squares, 2)).any()) is one_way
    assert Checkerboard(columns=columns, rows=rows, square_mm=10.0).has_one_way_up is one_way


def test_both_layouts_have_markers_in_all_white_squares() -> None:
    board = CharucoBoard(columns=6, rows=4, square_mm=30.0)
    assert board.marker_count == 12
    assert board.marker_squares()[:4] == [(1, 0), (3, 0), (5, 0), (0, 1)]
    assert board.marker_squares(legacy=True)[:4] == [(0, 0), (2, 0), (4, 0), (1, 1)]
    odd = CharucoBoard(columns=6, rows=5, square_mm=30.0)
    assert odd.marker_squares() == odd.marker_squares(legacy=True)


# ---- drawn ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("square_mm", "dpi"), [(25.0, 300.0), (30.0, 72.0), (33.3, 600.0)])
def test_a_drawn_checkerboard_has_its_size(tmp_path: Path, square_mm: float, dpi: float) -> None:
    board = Checkerboard(columns=5, rows=4, square_mm=square_mm)
    draw_board(board, tmp_path / "board.png", dpi=dpi)
    with Image.open(tmp_path / "board.png") as image:
        pixels, written_dpi = np.array(image), image.info["dpi"]
    square_px = round(square_mm / 25.4 * dpi)
    assert 25.4 * square_px / written_dpi[0] == pytest.approx(square_mm, rel=1e-3)  # PNG counts whole pixels per metre
    rim = round(max(square_mm, 10.0) / square_mm * square_px)
    inside = pixels[rim : rim + 5 * square_px, rim : rim + 6 * square_px]
    cells = inside.reshape(5, square_px, 6, square_px).transpose(0, 2, 1, 3).reshape(5, 6, -1)
    black = np.add.outer(np.arange(5), np.arange(6)) % 2 == 0
    assert (cells[black] == 0).all()
    assert (cells[~black] == 255).all()
    assert (pixels[:rim] == 255).all()
    assert (pixels[rim : rim + 5 * square_px, rim + 6 * square_px :] == 255).all()


def test_the_line_below_the_board_is_100_mm(tmp_path: Path) -> None:
    draw_board(Checkerboard(**GOOD), tmp_path / "board.png", dpi=254.0)
    with Image.open(tmp_path / "board.png") as image:
        below = np.array(image)[-int(10 * 10) :]
        dots_per_mm = image.info["dpi"][0] / 25.4
    longest = max(int((row == 0).sum()) for row in below)
    assert longest == pytest.approx(100.0 * dots_per_mm, abs=1.0)


def read_pdf(path: Path) -> tuple[tuple[float, float], np.ndarray]:
    """Page size and rectangles of a page (mm, from the top left), after checking that the file is built as one."""
    data = path.read_bytes()
    assert data.startswith(b"%PDF-1.4")
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF", data)[1])  # type: ignore[index]
    assert data[start:].startswith(b"xref\n0 6\n")
    for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", data), start=1):
        assert data[int(offset) :].startswith(b"%d 0 obj" % number)
    length = int(re.search(rb"/Length (\d+)", data)[1])  # type: ignore[index]
    content = re.search(rb"stream\n(.*?)\nendstream", data, re.DOTALL)[1]  # type: ignore[index]
    assert len(content) == length
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
    assert box is not None
    width, height = (float(value) * 25.4 / 72.0 for value in box.groups())
    numbers = [
        [float(v) * 25.4 / 72.0 for v in line.split()[:4]] for line in content.split(b"\n") if line.endswith(b" re")
    ]
    rectangles = np.array(numbers)
    rectangles[:, 1] = height - rectangles[:, 1] - rectangles[:, 3]
    return (width, height), rectangles


@pytest.mark.parametrize(
    ("columns", "rows", "square_mm", "paper", "page"),
    [
        (9, 6, 25.0, "A4, 297 × 210 mm", (297.0, 210.0)),
        (6, 9, 25.0, "A4, 210 × 297 mm", (210.0, 297.0)),
        (9, 6, 30.0, "A3, 420 × 297 mm", (420.0, 297.0)),
        (30, 30, 60.0, "larger than A0", (31 * 60 + 20, 31 * 60 + 28)),
    ],
)
def test_a_pdf_has_the_board_on_paper_that_holds_it(
    tmp_path: Path, columns: int, rows: int, square_mm: float, paper: str, page: tuple[float, float]
) -> None:
    board = Checkerboard(columns=columns, rows=rows, square_mm=square_mm)
    assert draw_board(board, tmp_path / "board.pdf").startswith(paper)
    size, rectangles = read_pdf(tmp_path / "board.pdf")
    assert size == pytest.approx(page, abs=0.01)
    squares, ruler = rectangles[:-1], rectangles[-1]
    assert len(squares) == ((columns + 1) * (rows + 1) + 1) // 2
    assert np.allclose(squares[:, 2:], square_mm, atol=1e-4)
    expected = [(i, j) for j in range(rows + 1) for i in range(columns + 1) if (i + j) % 2 == 0]
    assert np.allclose(squares[:, :2] - squares[0, :2], np.array(expected) * square_mm, atol=1e-3)
    assert ruler[2] == pytest.approx(100.0, abs=1e-3)
    assert (rectangles[:, :2] >= 5.0 - 1e-6).all()
    assert (rectangles[:, :2] + rectangles[:, 2:] <= np.array(size) - 5.0 + 1e-6).all()


def test_another_ending_or_resolution_is_refused(tmp_path: Path) -> None:
    board = Checkerboard(**GOOD)
    with pytest.raises(UsageError, match=r"ends in \.png or \.pdf"):
        draw_board(board, tmp_path / "board.svg")
    with pytest.raises(ValueError, match="dpi: expected 30 to 4800"):
        draw_board(board, tmp_path / "board.png", dpi=float("nan"))
    with pytest.raises(UsageError, match=r"give a lower --dpi, or draw a \.pdf"):
        draw_board(Checkerboard(columns=50, rows=50, square_mm=500.0), tmp_path / "board.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["DICT_5X5_100", "DICT_4X4_50", "DICT_7X7_1000", "DICT_APRILTAG_36H11", "DICT_ARUCO_ORIGINAL"]
)
@pytest.mark.parametrize("legacy", [False, True])
def test_a_drawn_charuco_board_is_opencvs(tmp_path: Path, name: str, legacy: bool) -> None:
    """Square by square and bit by bit the board that OpenCV itself draws."""
    cv2 = pytest.importorskip("cv2")
    family = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    cells = family.markerSize + 2
    square_mm, marker_mm = float(cells + 2), float(cells)  # so that a cell of a marker is 1 mm
    theirs = cv2.aruco.CharucoBoard((5, 4), square_mm, marker_mm, family)
    theirs.setLegacyPattern(legacy)
    per_mm = 10
    expected = theirs.generateImage((int(5 * square_mm * per_mm), int(4 * square_mm * per_mm)), borderBits=1)
    board = CharucoBoard(columns=5, rows=4, square_mm=square_mm, marker_mm=marker_mm, dictionary=name, legacy=legacy)
    draw_board(board, tmp_path / "board.png", dpi=254.0)
    rim = round(max(square_mm, 10.0) * per_mm)
    with Image.open(tmp_path / "board.png") as image:
        found = np.array(image)[rim : rim + expected.shape[0], rim : rim + expected.shape[1]]
    centres = np.s_[per_mm // 2 :: per_mm, per_mm // 2 :: per_mm]
    assert np.array_equal(found[centres] > 127, expected[centres] > 127)


def test_the_dictionaries_hold_as_many_markers_as_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    for name, count in DICTIONARIES.items():
        assert cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name)).bytesList.shape[0] == count


# ---- read ----------------------------------------------------------------------------------------------------------


def checkers_px(columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a checkerboard, 20 px per square, and its inner corners (rows, columns, 2)."""
    squares = np.add.outer(np.arange(rows + 1), np.arange(columns + 1)) % 2 * 255
    picture = np.kron(squares, np.ones((20, 20), int)).astype(np.uint8)
    row, column = np.mgrid[1 : rows + 1, 1 : columns + 1]
    return picture, np.stack([column, row], -1) * 20.0 - 0.5


@pytest.mark.parametrize(("columns", "rows"), [(8, 5), (5, 4), (6, 7)])
def test_corners_are_read_from_the_black_one_however_they_were_found(columns: int, rows: int) -> None:
    picture, corners = checkers_px(columns, rows)
    for found in (corners, corners[::-1, ::-1], corners[:, ::-1], corners[::-1]):
        assert np.array_equal(_read_from_the_first_corner(found, picture), corners)


@pytest.mark.parametrize(("columns", "rows"), [(7, 5), (6, 6), (5, 5)])
def test_boards_without_a_first_corner_are_read_to_the_right(columns: int, rows: int) -> None:
    picture, corners = checkers_px(columns, rows)
    for found in (corners, corners[::-1, ::-1], corners[:, ::-1]):
        assert np.array_equal(_read_from_the_first_corner(found, picture), corners)


def test_a_grid_that_jumps_is_no_board() -> None:
    _, corners = checkers_px(6, 5)
    assert _is_even_grid(corners)
    jumped = corners.copy()
    jumped[2, 3:] += [0.0, 20.0]  # a row read one lower from here on
    assert not _is_even_grid(jumped)
    assert not _is_even_grid(corners * 0.1)  # two pixels a square


# ---- how far boards were seen --------------------------------------------------------------------------------------


def test_coverage_is_the_area_within_boards_and_their_reach_to_the_corners() -> None:
    left = np.array([[0.0, 0.0], [200.0, 0.0], [200.0, 300.0], [0.0, 300.0]])
    found = coverage_of([left], (400, 300))
    assert found.share == pytest.approx(0.5, abs=0.02)
    assert found.reach["top left"] == pytest.approx(1.0)
    assert found.reach["bottom left"] == pytest.approx(1.0)
    assert found.reach["top right"] == found.reach["bottom right"] == 0.0
    assert found.gaps(fisheye=False) == ["top right", "bottom right"]
    twice = coverage_of([left, left + [100.0, 0.0]], (400, 300))
    assert twice.share == pytest.approx(0.75, abs=0.02)


def test_of_a_fisheye_the_circle_is_enough() -> None:
    angles = np.linspace(0.0, 2.0 * np.pi, 60)
    circle = np.array([320.0, 240.0]) + 230.0 * np.stack([np.cos(angles), np.sin(angles)], -1)
    found = coverage_of([circle], (640, 480))
    assert len(found.gaps(fisheye=False)) == 4
    assert not found.gaps(fisheye=True)


def test_corners_in_a_line_cover_nothing() -> None:
    line = np.stack([np.arange(5.0), np.arange(5.0)], -1)
    assert not inside_hull(line, line).any()
    assert coverage_of([line], (400, 300)).share == 0.0
