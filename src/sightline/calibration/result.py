"""What a calibration found: the camera, how well it fits, how sure it is, and what should be done better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from sightline.calibration.boards import Board
from sightline.calibration.coverage import Coverage
from sightline.camera import Camera


@dataclass(frozen=True, kw_only=True)
class BoardView:
    """The board in one picture.

    Attributes:
        name: of the picture, or of the film and its frame.
        image_size: of the picture as it was looked at, px.
        turned: quarter turns, clockwise, by which the picture's orientation tag had turned it before.
        mirrored: whether that tag had mirrored it before turning it.
        ids: which corners of the board were found.
        corners_px: where, px, corner origin.
        edge_px: width of the board's edges, px; 2 to 3 is sharp.
        of_film: whether it is one of many frames, of which nobody misses one.
    """

    name: str
    image_size: tuple[int, int]
    turned: int = 0
    mirrored: bool = False
    ids: Int[np.ndarray, "corners"]
    corners_px: Float[np.ndarray, "corners 2"]
    edge_px: float
    of_film: bool = False

    @property
    def sensor_size(self) -> tuple[int, int]:
        """The picture's size before it was turned."""
        width, height = self.image_size
        return (height, width) if self.turned % 2 else (width, height)


@dataclass(frozen=True, kw_only=True)
class ViewFit:
    """How the calibrated camera sees one picture's board.

    Attributes:
        name: of the picture.
        rms_px: root mean square distance between corners found and corners predicted, px.
        corners_px: the corners found that counted, px, corner origin.
        residuals_px: predicted minus found, px.
        distance_m: from the camera to the middle of the corners.
        tilt_deg: angle between the board and the picture plane.
        edge_px: width of the board's edges, px.
    """

    name: str
    rms_px: float
    corners_px: Float[np.ndarray, "corners 2"]
    residuals_px: Float[np.ndarray, "corners 2"]
    distance_m: float
    tilt_deg: float
    edge_px: float

    def to_dict(self) -> dict[str, Any]:
        """Return its figures as JSON values."""
        return {
            "name": self.name,
            "corners": len(self.corners_px),
            "rms_px": _rounded(self.rms_px, 4),
            "tilt_deg": _rounded(self.tilt_deg, 1),
            "distance_m": _rounded(self.distance_m, 3),
            "edge_px": _rounded(self.edge_px, 2),
        }


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A picture that did not count, and why, in half a sentence; of_film: one of many frames."""

    name: str
    reason: str
    of_film: bool = False


@dataclass(frozen=True, kw_only=True)
class FloorFit:
    """How a camera stands over a board on the floor.

    Attributes:
        picture: in which the board lies.
        rms_px: reprojection error, px.
        height_m: of the camera above the floor.
        pitch_deg: how far the optical axis points below the horizon.
        roll_deg: by how much the picture's right hand side hangs, clockwise.
        up_std_deg: standard deviation of the up direction.
        position_std_m: of the camera's place in the world (x, y, z).
        has_one_way_up: False where the board looks the same after half a turn, so that x and y may both point the
            other way and the origin be the board's opposite corner.
    """

    picture: str
    rms_px: float
    height_m: float
    pitch_deg: float
    roll_deg: float
    up_std_deg: float
    position_std_m: Float[np.ndarray, "3"]
    has_one_way_up: bool

    def to_dict(self) -> dict[str, Any]:
        """Return what it says as JSON values."""
        return {
            "picture": self.picture,
            "rms_px": _rounded(self.rms_px, 4),
            "height_m": _rounded(self.height_m, 4),
            "pitch_deg": _rounded(self.pitch_deg, 3),
            "roll_deg": _rounded(self.roll_deg, 3),
            "up_std_deg": _rounded(self.up_std_deg, 4),
            "position_std_m": _all_rounded(self.position_std_m, 5),
            "has_one_way_up": self.has_one_way_up,
        }


@dataclass(frozen=True, kw_only=True)
class CalibrationResult:
    """A calibrated camera and what there is to know about it.

    Attributes:
        camera: intrinsics and lens; its place in the world too, where a picture of the floor was given.
        board: what was in the pictures.
        rms_px: root mean square reprojection error of all corners, px.
        lens: each estimated parameter's value and standard deviation (fx, fy, cx, cy in px, corner origin).
        fov_deg: field of view from the left to the right border through the middle, and from top to bottom; None
            where the lens model does not reach the border.
        coverage: where in the picture boards were.
        views: the pictures that counted.
        left_out: pictures that did not.
        unneeded: how many were left out since others show the board in nearly the same place.
        turned: quarter turns, clockwise, by which their orientation tag turns the pictures that the camera is of.
        corners_left_out: single corners of the pictures that counted, taken for mistakes.
        warnings: what makes the result doubtful and what to do about it, a sentence each.
        floor: how the camera stands over the floor, where that was asked for.
    """

    camera: Camera
    board: Board
    rms_px: float
    lens: dict[str, tuple[float, float]]
    fov_deg: tuple[float | None, float | None]
    coverage: Coverage
    views: tuple[ViewFit, ...]
    left_out: tuple[LeftOut, ...] = ()
    unneeded: int = 0
    turned: int = 0
    corners_left_out: int = 0
    warnings: tuple[str, ...] = ()
    floor: FloorFit | None = None

    @property
    def focal_std_px(self) -> tuple[float, float]:
        """Standard deviations of the focal lengths, px."""
        return self.lens["fx"][1], self.lens["fy"][1]

    @property
    def center_std_px(self) -> tuple[float, float]:
        """Standard deviations of the principal point, px."""
        return self.lens["cx"][1], self.lens["cy"][1]

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as JSON values."""
        camera, lens = self.camera, self.camera.distortion
        return {
            "board": str(self.board),
            "image_size": [int(value) for value in camera.image_size.tolist()],
            "rms_px": _rounded(self.rms_px, 4),
            "focal_px": _all_rounded(camera.focal_px, 3),
            "focal_std_px": _all_rounded(self.focal_std_px, 3),
            "center_px": _all_rounded(camera.center_px, 3),
            "center_std_px": _all_rounded(self.center_std_px, 3),
            "fov_deg": _all_rounded(self.fov_deg, 2),
            "distortion": None
            if lens is None
            else {
                "model": lens.model,
                "coefficients": {
                    name: {"value": _rounded(value, 7), "std": _rounded(std, 7)}
                    for name, (value, std) in self.lens.items()
                    if name[0] in "kp"
                },
            },
            "coverage": {
                "share": round(self.coverage.share, 3),
                "reach": {name: round(value, 3) for name, value in self.coverage.reach.items()},
            },
            "pictures": [view.to_dict() for view in self.views],
            "left_out": [{"name": each.name, "reason": each.reason} for each in self.left_out],
            "corners_left_out": self.corners_left_out,
            "unneeded": self.unneeded,
            "turned": self.turned,
            "warnings": list(self.warnings),
            "floor": None if self.floor is None else self.floor.to_dict(),
        }


def _rounded(value: float | None, digits: int) -> float | None:
    """A number for JSON, which has no word for one that is not finite."""
    return round(value, digits) if value is not None and np.isfinite(value) else None


def _all_rounded(values: Any, digits: int) -> list[float | None]:
    return [_rounded(None if value is None else float(value), digits) for value in values]
