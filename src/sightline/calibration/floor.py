"""Where a camera stands, from one picture of a board that lies flat on the floor.

The world has its origin at the board's first corner, x along the board's columns, z up and the floor at z = 0; y points
against the board's rows, which makes it right-handed. The print's own thickness is not known and taken as none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.calibration.boards import Board
from sightline.calibration.bundle import Bundle, Views, adjusted, certainty, lens_names, squared_error
from sightline.calibration.result import BoardView, FloorFit
from sightline.calibration.solve import both_ways, rms_px, stacked
from sightline.camera import Camera
from sightline.errors import InputError

_BOARD_FROM_WORLD = np.diag([1.0, -1.0, -1.0])  # the board's z points into the floor
_TWO_WAYS = 25.0  # difference in squared error, in units of the noise, below which both poses are possible
_DOUBTFUL_UP_DEG = 1.0
_LARGE_ERROR_PX = 1.0  # where nothing is known of the noise; otherwise
_LARGE_ERROR = 7.0  # times the noise of a coordinate, but never below
_TOLERATED_PX = 0.3


def placed_on_floor(
    camera: Camera, board: Board, view: BoardView, *, noise_px: float = 0.0
) -> tuple[Camera, FloorFit, tuple[str, ...]]:
    """Return the camera with its place in the world, how well it is known, and what makes it doubtful.

    Args:
        camera: calibrated, for pictures of the view's size; its own place in the world, if any, is replaced.
        board: what lies on the floor, face up.
        view: its corners in one picture.
        noise_px: standard deviation of a corner as the calibration found it; a picture's own residuals count if larger.

    Raises:
        InputError: if the board has no pose in which the camera sees its face.
    """
    views = stacked(board.points_m, [(view.ids, view.corners_px)])
    bare = replace(camera, rotation=None, translation_m=None)
    lens_fixed = torch.zeros(len(lens_names(bare)), dtype=torch.bool)
    ways = [adjusted(way, views, lens_fixed) for way in both_ways(bare, views)]
    ways = sorted(
        (way for way in ways if np.isfinite(squared_error(way, views))), key=lambda way: squared_error(way, views)
    )
    if not ways:
        raise InputError(f"{view.name}: the camera cannot have seen the board like this; was it made for this picture?")
    best = ways[0]
    large_px = max(_LARGE_ERROR * noise_px, _TOLERATED_PX) if noise_px > 0.0 else _LARGE_ERROR_PX
    own_noise = (squared_error(best, views) / max(2 * len(view.ids) - 6, 1)) ** 0.5
    noise_px = max(noise_px, own_noise, 1e-9)
    rotation = best.rotation[0] @ torch.from_numpy(_BOARD_FROM_WORLD)
    stands = replace(camera, rotation=rotation, translation_m=best.translation_m[0])
    if float(stands.position_world[2]) <= 0.0:
        raise InputError(f"{view.name}: the camera would stand below the floor; is the picture mirrored?")
    sure = certainty(best, views, lens_fixed, noise_px).pose[0]
    fit = _fit(stands, view, board, best, sure, float(rms_px(best.residuals_px(views), views.seen)[0]))
    return stands, fit, tuple(_doubts(fit, ways, views, noise_px, large_px))


def _fit(
    stands: Camera, view: BoardView, board: Board, bundle: Bundle, sure: Float[np.ndarray, "6 6"], error_px: float
) -> FloorFit:
    """Angles of the camera to the horizon, and what the covariance of turn and translation makes of up and place."""
    assert stands.rotation is not None
    rotation = stands.rotation.numpy()
    cam_from_board, translation = bundle.rotation[0].numpy(), bundle.translation_m[0].numpy()
    up = rotation[:, 2]
    turn = _cross_matrix(up) @ sure[:3, :3] @ _cross_matrix(up).T  # of up, as a vector of the camera's frame
    moved = -cam_from_board.T @ np.concatenate([_cross_matrix(translation), np.eye(3)], -1)
    position = np.diag(moved @ sure @ moved.T)
    return FloorFit(
        picture=view.name,
        rms_px=error_px,
        height_m=float(stands.position_world[2]),
        pitch_deg=float(np.degrees(np.arcsin(np.clip(-rotation[2, 2], -1.0, 1.0)))),
        roll_deg=float(np.degrees(np.arctan2(-rotation[0, 2], -rotation[1, 2]))),
        up_std_deg=float(np.degrees(np.sqrt(np.linalg.norm(turn, 2)))) if np.isfinite(turn).all() else float("inf"),
        position_std_m=np.sqrt(np.abs(position)),
        has_one_way_up=board.has_one_way_up,
    )


def _doubts(fit: FloorFit, ways: list[Bundle], views: Views, noise_px: float, large_px: float) -> list[str]:
    found = []
    if len(ways) > 1:
        more = (squared_error(ways[1], views) - squared_error(ways[0], views)) / noise_px**2
        if more < _TWO_WAYS and _angle_deg(ways[0].rotation[0], ways[1].rotation[0]) > 1.0:
            found.append(
                f"{fit.picture}: the board is so small in it that it may as well lean the other way; "
                "put it nearer to the camera, or print a larger one"
            )
    if fit.up_std_deg > _DOUBTFUL_UP_DEG:
        found.append(
            f"{fit.picture}: the up direction is known to {fit.up_std_deg:.1f}° only; put the board nearer to the "
            "camera, or print a larger one"
        )
    if fit.rms_px > large_px:
        found.append(
            f"{fit.picture}: the board is off by {fit.rms_px:.1f} px there; is it flat, and the camera the calibrated "
            "one with the same zoom and focus?"
        )
    if not fit.has_one_way_up:
        found.append(
            "the board looks the same after half a turn, so that another camera may take its opposite corner for the "
            "origin; a board with one even and one odd number has one way up"
        )
    return found


def _angle_deg(one: Tensor, other: Tensor) -> float:
    cosine = (torch.trace(one.T @ other) - 1.0) / 2.0
    return float(torch.rad2deg(torch.arccos(cosine.clamp(-1.0, 1.0))))


def _cross_matrix(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The matrix that takes the cross product of `vector` with another."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
