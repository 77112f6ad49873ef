"""`sightline calibrate`: pictures of a board → the camera; and boards to print."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from sightline.cli.options import (
    MaybeNumber,
    MaybeOut,
    MaybePath,
    MaybeText,
    checked_output,
    print_json,
    progress_bar,
)
from sightline.errors import InputError, UsageError

if TYPE_CHECKING:
    from sightline.calibration import Board, BoardCollector, BoardView, CalibrationResult, FloorFit
    from sightline.camera import Camera

_MOST_TOLD = 10


@dataclass(frozen=True, kw_only=True)
class Calibrate:
    """Measure a camera's focal length, principal point and lens from pictures of a board; or draw a board to print."""

    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="[PICTURES...]")] = ()
    """Photos, folders and films that show the board from many sides. None with --draw-board or --camera."""
    board: Literal["checkerboard", "charuco"]
    """What is on the board: squares alone, or squares with markers in the white ones."""
    columns: int
    """Of a checkerboard: inner corners along a row, one fewer than squares. Of a ChArUco board: squares along a row."""
    rows: int
    """The same along a column."""
    square_mm: float
    """Side of a square on the print, measured (mm)."""
    out: MaybeOut = None
    """The camera, ending in .json; `--camera` of the other commands takes it."""
    marker_mm: MaybeNumber = None
    """Side of a ChArUco board's markers (mm); three quarters of a square by default."""
    dictionary: MaybeText = None
    """Family of its markers, by OpenCV's name; DICT_5X5_100 by default."""
    model: Literal["brown_conrady", "fisheye"] = "brown_conrady"
    """Lens model: fisheye for lenses wider than about 120°."""
    coefficients: Literal["auto", "0", "1", "2", "3", "4", "5", "8"] = "auto"
    """How many distortion coefficients to estimate, counted as OpenCV does; 8 is the rational model. By default as many
    as the pictures can fix: up to 5, of a fisheye 4."""
    plot: MaybePath = None
    """Also draw to this .png where the boards were, how well they fit, and what the lens does."""
    floor_picture: MaybePath = None
    """Picture, by the same camera, of the board lying face up on the floor: the camera's place in the world is written
    too, z up, floor at z = 0, origin at the board's first corner, x along its columns."""
    camera: MaybePath = None
    """Camera file to keep: only --floor-picture is looked at, and the camera with its place is written to --out."""
    camera_name: MaybeText = None
    """Which camera of a file that holds several."""
    max_pictures: int = 60
    """Above this many pictures, those most like another are left out."""
    draw_board: MaybePath = None
    """Draw the board to this .png or .pdf, to print at 100 %, and do nothing else."""
    dpi: float = 300.0
    """About how many dots per inch of a drawn .png; the exact number is in the file."""
    json: bool = False
    """Print all figures as JSON."""

    def run(self) -> int:
        """Draw a board, place a known camera over the floor, or calibrate."""
        board = self._board()
        self._check_call()
        if self.draw_board is not None:
            return self._draw(board, self.draw_board)
        if self.camera is not None:
            return self._place(board, self.camera)
        return self._calibrate(board)

    # What is asked for

    def _board(self) -> Board:
        from sightline.calibration import CharucoBoard, Checkerboard

        size: dict[str, Any] = {"columns": self.columns, "rows": self.rows, "square_mm": self.square_mm}
        try:
            if self.board == "charuco":
                family: dict[str, Any] = {} if self.dictionary is None else {"dictionary": self.dictionary}
                return CharucoBoard(**size, marker_mm=self.marker_mm, **family)
            for name in ("marker_mm", "dictionary"):
                if getattr(self, name) is not None:
                    raise UsageError(f"{name}: a checkerboard has no markers; expected it with --board charuco")
            return Checkerboard(**size)
        except ValueError as error:
            raise UsageError(str(error)) from error

    def _check_call(self) -> None:
        """Refuse what is wrong with the call itself, before any work."""
        from sightline.calibration.calibrator import check_lens
        from sightline.calibration.drawing import DPI_RANGE

        if self.draw_board is not None:
            self._check_alone("draw_board", self.pictures, self.out, self.plot, self.floor_picture, self.camera)
            checked_output(self.draw_board, (".png", ".pdf"))
            low, high = DPI_RANGE
            if not low <= self.dpi <= high:
                raise UsageError(f"--dpi: expected {low:g} to {high:g} dots per inch, got {self.dpi:g}")
            return
        if self.camera is not None:
            self._check_alone("camera", self.pictures, self.plot)
            if self.floor_picture is None:
                raise UsageError("--camera: expected --floor-picture beside it, which tells where the camera stands")
        elif not self.pictures:
            raise UsageError("expected pictures of the board, got none; see `sightline calibrate --help`")
        if self.out is None:
            raise UsageError("--out: expected the name of the camera file to write, which is missing")
        try:
            check_lens(self.model, self.coefficients)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if self.max_pictures < 3:
            raise UsageError(f"--max-pictures: expected 3 or more, got {self.max_pictures}")
        checked_output(self.out, (".json",))
        if self.plot is not None:
            checked_output(self.plot, (".png",))
        inputs = [*map(Path, self.pictures), *(path for path in (self.floor_picture, self.camera) if path is not None)]
        for output in (self.out, self.plot):
            if output is not None and output.resolve() in [path.resolve() for path in inputs]:
                raise UsageError(f"{output}: is an input, which the output would replace; choose another name")

    def _check_alone(self, name: str, *others: object) -> None:
        if any(others):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option}: does its work alone; leave out pictures and the options that go with them")

    # What is done

    def _draw(self, board: Board, path: Path) -> int:
        from sightline.calibration import draw_board

        page = draw_board(board, path, dpi=self.dpi)
        if self.json:
            print_json({"board": str(board), "file": str(path), "page": page})
        else:
            print(f"{board} → {path} ({page})")
            print("  print it at 100 %, measure the line below it, and glue it to something flat")
        return 0

    def _place(self, board: Board, path: Path) -> int:
        from sightline.calibration import placed_on_floor
        from sightline.formats.camera import read_camera, write_camera

        assert self.floor_picture is not None
        assert self.out is not None
        camera = read_camera(path, self.camera_name)
        view = _floor_view(self.floor_picture, board)
        try:
            fitting = camera.scaled_to(view.image_size)
        except ValueError as error:
            camera = camera.quarter_turned(view.turned)  # one of the picture as it is stored is turned along
            try:
                fitting = camera.scaled_to(view.image_size)
            except ValueError:
                raise InputError(f"{path}: does not fit {self.floor_picture}: {error}") from error
        stands, fit, doubts = placed_on_floor(fitting, board, view)
        write_camera(_standing_like(camera, stands), self.out)
        _complain(doubts)
        if self.json:
            print_json({"floor": fit.to_dict(), "warnings": list(doubts)})
        else:
            print(f"camera with its place in the world → {self.out}")
            print("\n".join(_floor_lines(fit)))
        return 0

    def _calibrate(self, board: Board) -> int:
        from dataclasses import replace

        from sightline.calibration import BoardCollector, calibrated, placed_on_floor
        from sightline.calibration.calibrator import turned_like
        from sightline.formats.camera import write_camera

        assert self.out is not None
        floor = None if self.floor_picture is None else _floor_view(self.floor_picture, board)
        collector = BoardCollector(board, self.max_pictures)
        problems = _look_at(self.pictures, collector)
        _complain(problems)
        try:
            result = calibrated(collector, model=self.model, coefficients=self.coefficients)
        except InputError as error:
            raise InputError(f"{self._inputs()}: {error}") from error
        if floor is not None:
            view = turned_like(floor, result.turned)
            size = tuple(int(value) for value in result.camera.image_size.tolist())
            if view.image_size != size:
                raise InputError(
                    f"{self.floor_picture}: expected a picture of {size[0]} × {size[1]} px like the others, got "
                    f"{view.image_size[0]} × {view.image_size[1]}"
                )
            noise_px = result.rms_px / 2.0**0.5
            camera, fit, doubts = placed_on_floor(result.camera, collector.board, view, noise_px=noise_px)
            result = replace(result, camera=camera, floor=fit, warnings=(*result.warnings, *doubts))
        write_camera(result.camera, self.out)
        if self.plot is not None:
            from sightline.calibration.plot import write_plot

            write_plot(result, self.plot)
        return self._tell(result, problems)

    def _inputs(self) -> str:
        others = len(self.pictures) - 1
        return self.pictures[0] + (f" and {others} more" if others else "")

    def _tell(self, result: CalibrationResult, problems: list[str]) -> int:
        _complain([f"{each.name}: left out, since {each.reason}" for each in result.left_out if not each.of_film])
        _complain(result.warnings)
        if self.json:
            print_json(result.to_dict() | {"file": str(self.out), "unreadable": problems})
        else:
            print(f"camera from {len(result.views)} pictures of a {result.board} → {self.out}")
            print("\n".join(_lines(result)))
        return 1 if problems or any(not each.of_film for each in result.left_out) else 0


def _look_at(pictures: tuple[str, ...], collector: BoardCollector) -> list[str]:
    """Let the collector see every photo, and films as often as it wants; return what could not be used."""
    from sightline.calibration.collecting import LOOKS_PER_SECOND
    from sightline.sources import open_sources

    sources, problems, done = open_sources(pictures), [], 0
    live = [source.name for source in sources if source.kind == "live"]
    if live:
        raise UsageError(f"{live[0]}: expected photos or films, got a live camera; record a film with it first")
    total = sum(source.frame_count or 0 for source in sources)
    with progress_bar("looking for the board") as progress:
        for source in sources:
            found, next_look_s = 0, 0.0
            for frame in source.frames():
                done += 1
                if progress is not None:
                    progress(done, max(total, done))
                turn: dict[str, Any] = {"turned": frame.turned, "mirrored": frame.mirrored}
                if source.kind == "photos":
                    found += collector.look(frame.file or f"{source.name} {frame.index}", frame.pixels, **turn)
                elif frame.time_s is None or frame.time_s >= next_look_s:
                    next_look_s = (frame.time_s or 0.0) + 1.0 / LOOKS_PER_SECOND - 1e-6
                    found += collector.glance(f"{source.name} frame {frame.index}", frame.pixels, **turn)
            problems += source.problems
            if source.kind == "film" and not found and not source.problems:
                problems.append(f"{source.name}: no frame shows the board sharply, in a place not seen before")
            source.close()
    return problems


def _floor_view(path: Path, board: Board) -> BoardView:
    """The board in the picture of the floor; `InputError` where it is not."""
    from sightline.calibration.collecting import board_view
    from sightline.calibration.finding import find_board, grey_of
    from sightline.calibration.hints import why_not_found
    from sightline.formats.pictures import read_picture

    picture = read_picture(path)
    grey = grey_of(picture.pixels)
    found = find_board(grey, board)
    if found is None:
        raise InputError(f"{path}: does not show the {board}; {why_not_found([grey], board)}")
    return board_view(str(path), grey, found, turned=picture.turned, mirrored=picture.mirrored)


def _standing_like(camera: Camera, stands: Camera) -> Camera:
    """The camera at its own resolution, with the other's place in the world."""
    from dataclasses import replace

    return replace(camera, rotation=stands.rotation, translation_m=stands.translation_m)


def _complain(sentences: list[str] | tuple[str, ...]) -> None:
    """One line each on standard error; of many, the first few and how many more."""
    for sentence in sentences[:_MOST_TOLD]:
        print(f"sightline: {' '.join(sentence.split())}", file=sys.stderr)
    if len(sentences) > _MOST_TOLD:
        print(f"sightline: and {len(sentences) - _MOST_TOLD} more like the last one; --json lists all", file=sys.stderr)


def _lines(result: CalibrationResult) -> list[str]:
    """The figures, for people."""
    lens = {name: f"{value:.2f} ± {std:.2f}" for name, (value, std) in result.lens.items() if name[0] in "fc"}
    fov = " × ".join("beyond the lens model" if value is None else f"{value:.1f}°" for value in result.fov_deg)
    errors = [view.rms_px for view in result.views]
    tilts = [view.tilt_deg for view in result.views]
    lines = [
        f"  reprojection error   {result.rms_px:.3f} px RMS, {min(errors):.3f} to {max(errors):.3f} px per picture",
        f"  focal length         x {lens['fx']}, y {lens['fy']} px",
        f"  principal point      x {lens['cx']}, y {lens['cy']} px",
        f"  field of view        {fov}",
    ]
    if result.camera.distortion is not None:
        terms = [f"{name} {value:.5f} ± {std:.5f}" for name, (value, std) in result.lens.items() if name[0] in "kp"]
        lines.append(f"  distortion           {result.camera.distortion.model}: {', '.join(terms)}")
    lines.append(
        f"  boards               over {result.coverage.share:.0%} of the picture, tilted by {min(tilts):.0f}° to "
        f"{max(tilts):.0f}°"
    )
    if result.unneeded:
        lines.append(f"  not needed           {result.unneeded} pictures much like others (see --max-pictures)")
    if result.corners_left_out:
        lines.append(f"  left out             {result.corners_left_out} single corners, as mistakes")
    lines += [] if result.floor is None else _floor_lines(result.floor)
    lines += [
        f"    {view.name}: {len(view.corners_px)} corners, {view.rms_px:.3f} px, tilted by {view.tilt_deg:.0f}°, "
        f"{view.distance_m:.2f} m away"
        for view in result.views
    ]
    return lines


def _floor_lines(fit: FloorFit) -> list[str]:
    x, y, z = (f"{1000.0 * value:.1f}" for value in fit.position_std_m)
    return [
        f"  over the floor       {fit.height_m:.3f} m high, looking {fit.pitch_deg:.2f}° down, rolled by "
        f"{fit.roll_deg:.2f}°",
        f"                       up known to {fit.up_std_deg:.2f}°, place to {x}, {y}, {z} mm (x, y, z)",
    ]
