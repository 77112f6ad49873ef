"""Boards to print: exact PNG pictures and PDF pages.

A board is a list of black rectangles in millimetres, and both formats draw that list. A PNG has a whole number of
pixels per square and carries its resolution; a PDF is drawn as vectors, on the smallest paper of the A series that
holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sightline.calibration.boards import Board, CharucoBoard, Checkerboard
from sightline.calibration.opencv import opencv
from sightline.errors import UsageError
from sightline.formats.atomic import atomic_path

DPI = 300.0
DPI_RANGE = (30.0, 4800.0)
_PAPERS_MM = {"A4": (210, 297), "A3": (297, 420), "A2": (420, 594), "A1": (594, 841), "A0": (841, 1189)}
_RIM_MM = 10.0  # least white around a board; a square's width is better, and a PNG has it
_FOOT_MM = 18.0  # of that below, where the words and the line are
_WORDS_MM, _LINE_MM = (12.0, 8.0), 6.0  # above the lower edge of the page
_LARGEST_PX = 30_000
_POINT_MM = 25.4 / 72.0

Rectangle = tuple[float, float, float, float]
"""x, y of the top left, width, height; mm from the board's top left."""


@dataclass(frozen=True)
class Sheet:
    """A board to print.

    Attributes:
        size_mm: of the board's squares altogether, width and height.
        black: the black parts.
        words: what the board is, and the options of `sightline calibrate` for it.
    """

    size_mm: tuple[float, float]
    black: tuple[Rectangle, ...]
    words: str

    def lines(self, page_mm: tuple[float, float]) -> tuple[tuple[str, str], float]:
        """What is written below, and the length of the line to check a print by: 100 mm where there is room."""
        ruler_mm = next((length for length in (100.0, 50.0, 20.0) if length <= page_mm[0] - 2 * _RIM_MM), 10.0)
        return (self.words, f"{ruler_mm:g} mm when printed at 100 %"), ruler_mm


def sheet_of(board: Board) -> Sheet:
    """Return what to print; markers need OpenCV, a checkerboard needs nothing."""
    if isinstance(board, Checkerboard):
        columns, rows = board.columns + 1, board.rows + 1
        black = _black_squares(columns, rows, 0, board.square_mm)
        counted = f"{board.columns} × {board.rows} inner corners"
        call = f"--board checkerboard --columns {board.columns} --rows {board.rows} --square-mm {board.square_mm:g}"
    else:
        columns, rows = board.columns, board.rows
        legacy = bool(board.legacy) and board.has_two_layouts
        black = _black_squares(columns, rows, int(legacy), board.square_mm) + _markers(board, legacy)
        counted = f"{columns} × {rows} squares"
        call = f"--board charuco --columns {columns} --rows {rows} --square-mm {board.square_mm:g}"
        call += "" if board.marker_mm is None else f" --marker-mm {board.marker_mm:g}"
        call += f" --dictionary {board.dictionary}"
    size = columns * board.square_mm, rows * board.square_mm
    return Sheet(size, tuple(black), f"{counted}: sightline calibrate … {call}")


def draw_board(board: Board, path: str | Path, *, dpi: float = DPI) -> str:
    """Write a board to print, as PNG or PDF by the ending; return the size of page that it needs, in words."""
    sheet, path = sheet_of(board), Path(path)
    if path.suffix.lower() == ".pdf":
        return _write_pdf(sheet, path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: expected an output that ends in .png or .pdf")
    return _write_png(sheet, board, path, dpi)


def _black_squares(columns: int, rows: int, first: int, side: float) -> list[Rectangle]:
    """The squares of a checkerboard; first: 0 where the top-left one is black."""
    return [(i * side, j * side, side, side) for j in range(rows) for i in range(columns) if (i + j) % 2 == first]


def _markers(board: CharucoBoard, legacy: bool) -> list[Rectangle]:
    """The black parts of the markers, row by row of their cells."""
    aruco, rectangles = opencv().aruco, []
    dictionary = aruco.getPredefinedDictionary(getattr(aruco, board.dictionary))
    cells = dictionary.markerSize + 2
    side = board.marker_side_mm / cells
    margin = (board.square_mm - board.marker_side_mm) / 2.0
    for number, (column, row) in enumerate(board.marker_squares(legacy)):
        bits = aruco.generateImageMarker(dictionary, number, cells, borderBits=1)
        left, top = column * board.square_mm + margin, row * board.square_mm + margin
        for j, line in enumerate(bits < 128):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int), [0]])))
            for start, end in edges.reshape(-1, 2).tolist():
                rectangles.append((left + start * side, top + j * side, (end - start) * side, side))
    return rectangles


# ---- PNG -----------------------------------------------------------------------------------------------------------


def _write_png(sheet: Sheet, board: Board, path: Path, dpi: float) -> str:
    """A square is a whole number of pixels, and the resolution that the file carries makes its size exact."""
    if not DPI_RANGE[0] <= dpi <= DPI_RANGE[1]:
        raise ValueError(f"dpi: expected {DPI_RANGE[0]:g} to {DPI_RANGE[1]:g} dots per inch, got {dpi:g}")
    square_px = max(4, round(board.square_mm * dpi / 25.4))
    per_mm, rim = square_px / board.square_mm, max(board.square_mm, _RIM_MM)
    page = sheet.size_mm[0] + 2 * rim, sheet.size_mm[1] + rim + max(rim, _FOOT_MM)
    width, height = (round(length * per_mm) for length in page)
    if max(width, height) > _LARGEST_PX:
        raise UsageError(f"{path}: the picture would be {width} × {height} px; give a lower --dpi, or draw a .pdf")
    image = Image.new("L", (width, height), 255)
    _write_words(ImageDraw.Draw(image), sheet, page, per_mm)
    pixels, start = np.array(image), round(rim * per_mm)
    for x, y, w, h in sheet.black:
        rows = slice(start + round(y * per_mm), start + round((y + h) * per_mm))
        pixels[rows, start + round(x * per_mm) : start + round((x + w) * per_mm)] = 0
    exact_dpi = per_mm * 25.4
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", dpi=(exact_dpi, exact_dpi))
    return f"{width} × {height} px at {exact_dpi:.1f} dpi, {page[0]:.0f} × {page[1]:.0f} mm"


def _write_words(draw: ImageDraw.ImageDraw, sheet: Sheet, page: tuple[float, float], per_mm: float) -> None:
    import matplotlib

    file = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    lines, ruler_mm = sheet.lines(page)
    left, width = _RIM_MM * per_mm, (page[0] - 2 * _RIM_MM) * per_mm
    for above, line in zip(_WORDS_MM, lines, strict=True):
        size = 2.6 * per_mm
        size *= min(1.0, width / ImageFont.truetype(file, max(8, round(size))).getlength(line))
        letters = ImageFont.truetype(file, max(4, int(size)))
        draw.text((left, (page[1] - above) * per_mm), line, 110, letters, "ls")
    y, thick = round((page[1] - _LINE_MM) * per_mm), max(1, round(0.25 * per_mm))
    draw.rectangle((round(left), y, round(left + ruler_mm * per_mm) - 1, y + thick), 0)


# ---- PDF -----------------------------------------------------------------------------------------------------------


def _write_pdf(sheet: Sheet, path: Path) -> str:
    """One page, in vectors; all black parts are one path, so that no seams appear between them."""
    name, (width, height) = _paper(sheet)
    left, top = (width - sheet.size_mm[0]) / 2.0, (height - sheet.size_mm[1]) / 2.0
    top = min(top, height - _FOOT_MM - sheet.size_mm[1])
    lines, ruler_mm = sheet.lines((width, height))
    commands = ["0 g", *(_rectangle(left + x, top + y, w, h, height) for x, y, w, h in sheet.black)]
    commands += [_rectangle(_RIM_MM, height - _LINE_MM, ruler_mm, 0.25, height), "f"]
    for above, line in zip(_WORDS_MM, lines, strict=True):
        points = min(8.0, (width - 2 * _RIM_MM) / _POINT_MM / (0.55 * len(line)))
        place = f"{_RIM_MM / _POINT_MM:.4f} {above / _POINT_MM:.4f} Td"
        commands.append(f"BT 0.43 g /F1 {points:.2f} Tf {place} ({_escaped(line)}) Tj ET")
    with atomic_path(path) as temporary:
        temporary.write_bytes(_pdf("\n".join(commands).encode("cp1252", "replace"), width, height))
    return f"{name}, {width:.0f} × {height:.0f} mm"


def _paper(sheet: Sheet) -> tuple[str, tuple[float, float]]:
    """The smallest paper of the A series, lying or standing, that holds the board; else a page of its own size."""
    needed = sheet.size_mm[0] + 2 * _RIM_MM, sheet.size_mm[1] + _RIM_MM + _FOOT_MM
    for name, (short, long) in _PAPERS_MM.items():
        for width, height in ((short, long), (long, short)):
            if needed[0] <= width and needed[1] <= height:
                return name, (float(width), float(height))
    return "larger than A0", needed


def _rectangle(x: float, y: float, width: float, height: float, page_height: float) -> str:
    """PDF counts points from the bottom left."""
    numbers = x, page_height - y - height, width, height
    return " ".join(f"{value / _POINT_MM:.5f}" for value in numbers) + " re"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").replace("…", "...")


def _pdf(content: bytes, width_mm: float, height_mm: float) -> bytes:
    """A PDF 1.4 file of one page (ISO 32000-1, section 7.5): its objects, where each begins, and where that is said."""
    box = f"[0 0 {width_mm / _POINT_MM:.4f} {height_mm / _POINT_MM:.4f}]"
    fonts = "<< /Font << /F1 5 0 R >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {box} /Contents 4 0 R /Resources {fonts} >>".encode(),
        f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    data, starts = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, start=1):
        starts.append(len(data))
        data += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = "".join(f"{start:010d} 00000 n \n" for start in starts)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode() + trailer.encode()
