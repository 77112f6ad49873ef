"""A camera from pictures of a board: intrinsics, lens, how sure they are, and where it stands over the floor."""

from sightline.calibration.boards import DICTIONARIES, Board, CharucoBoard, Checkerboard
from sightline.calibration.calibrator import calibrate, calibrated
from sightline.calibration.collecting import BoardCollector
from sightline.calibration.drawing import draw_board
from sightline.calibration.floor import placed_on_floor
from sightline.calibration.result import BoardView, CalibrationResult, FloorFit, LeftOut, ViewFit

__all__ = [
    "DICTIONARIES",
    "Board",
    "BoardCollector",
    "BoardView",
    "CalibrationResult",
    "CharucoBoard",
    "Checkerboard",
    "FloorFit",
    "LeftOut",
    "ViewFit",
    "calibrate",
    "calibrated",
    "draw_board",
    "placed_on_floor",
]
