"""Pictures of calibration boards through a known camera: the truth that a calibration must give back.

Every pixel is the mean over its area of what the board shows there: the rays of its corners come from the camera
itself, lens included, meet the board's plane, and the pattern is sampled at points spread evenly between them. A narrow
symmetric blur, as every lens has, and noise come after that; neither moves a corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.geometry.rotation import axis_rotation

SIZE = (640, 480)
CAMERAS = {
    # 60° wide, as a phone or webcam
    "normal": Camera.create(
        SIZE,
        (552.0, 547.2),
        (325.8, 235.7),
        distortion=Distortion.create("brown_conrady", [-0.21, 0.14], [2e-3, -1.5e-3]),
    ),
    # 107° wide with strong barrel distortion, as an action camera; every pixel has a ray
    "wide": Camera.create(
        SIZE,
        (310.4, 312.4),
        (315.4, 245.5),
        distortion=Distortion.create("brown_conrady", [-0.24, 0.078, -0.0098], [-1.2e-3, 0.9e-3]),
    ),
    # 160° wide
    "fisheye": Camera.create(
        SIZE,
        (224.8, 224.2),
        (322.9, 237.9),
        distortion=Distortion.create("kannala_brandt", [-0.032, 0.021, -0.012, 0.002]),
    ),
}
INK, PAPER = 0.06, 0.92


@dataclass(frozen=True)
class Pose:
    """Where a board is: cam_from_board rotation and translation (m); its z axis points away from the face."""

    rotation: np.ndarray
    translation_m: np.ndarray

    def points_cam(self, points_board: np.ndarray) -> np.ndarray:
        return points_board @ self.rotation.T + self.translation_m


@dataclass(frozen=True)
class Checkers:
    """A checkerboard of `columns` × `rows` inner corners, top-left square black; the origin is its first corner."""

    columns: int
    rows: int
    square_m: float

    def shade(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Brightness at places of the board (m); NaN beyond its white rim of one square."""
        i, j = np.floor(x / self.square_m), np.floor(y / self.square_m)
        squares = (i >= -1) & (i < self.columns) & (j >= -1) & (j < self.rows)
        rim = (i >= -2) & (i < self.columns + 1) & (j >= -2) & (j < self.rows + 1)
        return np.where(rim, np.where(squares & ((i + j) % 2 == 0), INK, PAPER), np.nan)

    @property
    def corners_m(self) -> np.ndarray:
        """Its inner corners, row by row: (n, 3)."""
        j, i = np.mgrid[: self.rows, : self.columns]
        return np.stack([i.ravel(), j.ravel(), 0 * i.ravel()], -1) * self.square_m


@dataclass(frozen=True)
class Printed:
    """A board as it was printed: grey values (h, w) whose squares are `square_px` wide, the first at `left_top_px`."""

    texture: np.ndarray
    square_px: float
    left_top_px: float
    columns: int
    rows: int
    square_m: float

    def shade(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Brightness at places of the board (m); NaN beyond the paper. The origin is the first inner corner."""
        start, (height, width) = self.left_top_px + self.square_px, self.texture.shape
        column = np.floor(x / self.square_m * self.square_px + start).astype(int)
        row = np.floor(y / self.square_m * self.square_px + start).astype(int)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        ink = self.texture[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)] / 255.0
        return np.where(inside, INK + (PAPER - INK) * ink, np.nan)

    @property
    def corners_m(self) -> np.ndarray:
        """Its inner corners, row by row: (n, 3)."""
        return Checkers(self.columns - 1, self.rows - 1, self.square_m).corners_m


class Photographer:
    """Takes pictures with one camera, whose rays are computed once."""

    def __init__(
        self, camera: Camera, *, samples: int = 16, blur_px: float = 0.6, noise: float = 1.0, seed: int = 0
    ) -> None:
        width, height = (int(value) for value in camera.image_size)
        x, y = np.meshgrid(np.arange(width + 1.0), np.arange(height + 1.0))  # corners of the pixels
        rays, _ = camera.unproject(torch.from_numpy(np.stack([x, y], -1)))
        self.size, self._rays = (width, height), rays.numpy()
        self._samples = _spread_points(samples)
        self._blur_px, self._noise, self._random = blur_px, noise, np.random.default_rng(seed)

    def picture(self, board: Checkers | Printed, pose: Pose) -> np.ndarray:
        """The board at a pose before a grey wall, uint8 RGB (h, w, 3)."""
        corners_m = board.corners_m
        centre, reach = corners_m.mean(0)[:2], np.ptp(corners_m, 0).max() * 0.5 + 4 * board.square_m
        normal = pose.rotation[:, 2]
        with np.errstate(invalid="ignore", divide="ignore"):
            distance = (normal @ pose.translation_m) / (self._rays @ normal)
            seen = ((self._rays * distance[..., None] - pose.translation_m) @ pose.rotation)[..., :2]
            seen[~((distance > 0) & (np.abs(seen - centre).max(-1) < reach))] = np.nan
        four = np.stack([seen[:-1, :-1], seen[:-1, 1:], seen[1:, :-1], seen[1:, 1:]])
        rows, columns = np.nonzero(np.isfinite(four).all((0, 3)))
        four = four[:, rows, columns]
        at_corners = np.stack([board.shade(*each.T) for each in (*four, four.mean(0))])
        plain = np.isfinite(at_corners).all(0) & (np.ptp(at_corners, axis=0) == 0.0)  # no edge runs through the pixel
        grey = self.wall()
        grey[rows[plain], columns[plain]] = at_corners[0, plain]
        rows, columns, four = rows[~plain], columns[~plain], four[:, ~plain]
        total, hit = np.zeros(len(rows)), np.zeros(len(rows))
        for u, v in self._samples:
            weights = np.array([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v])
            shade = board.shade(*np.tensordot(weights, four, 1).T)
            total += np.nan_to_num(shade)
            hit += np.isfinite(shade)
        samples = len(self._samples)
        grey[rows, columns] = grey[rows, columns] * (1 - hit / samples) + total / samples
        return self._exposed(gaussian_filter(grey, self._blur_px) if self._blur_px else grey)

    def empty(self) -> np.ndarray:
        """The wall alone."""
        return self._exposed(self.wall())

    def wall(self) -> np.ndarray:
        """What is behind the board, uneven as walls are."""
        x, y = np.meshgrid(np.linspace(-1, 1, self.size[0]), np.linspace(-1, 1, self.size[1]))
        return 0.42 + 0.07 * x - 0.05 * y + 0.03 * np.sin(7.0 * x) * np.cos(5.0 * y)

    def _exposed(self, grey: np.ndarray) -> np.ndarray:
        noisy = 255.0 * grey[..., None] + self._noise * self._random.normal(size=(*grey.shape, 3))
        return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def _spread_points(count: int) -> np.ndarray:
    """Places in the unit square, even along every direction (the R2 sequence), about its middle."""
    steps = np.array([0.7548776662466927, 0.5698402909980532])
    points = (0.5 + np.outer(np.arange(count), steps)) % 1.0
    return points - points.mean(0) + 0.5


def spread_poses(
    camera: Camera, corners_m: np.ndarray, count: int, *, tilt_deg: float = 35.0, span: float = 0.45, whole: bool = True
) -> list[Pose]:
    """Poses that carry the board all over the picture, tilted every way, as a careful person would hold it.

    span: width of the board as a share of the picture's width. whole: keep all corners 8 px within the picture.
    """
    width, height = camera.image_size.tolist()
    middle = corners_m.mean(0)
    per_row = max(1, round(math.sqrt(count * width / height)))
    rows = math.ceil(count / per_row)
    poses = []
    for number in range(count):
        column, row = number % per_row, number // per_row
        aim = np.array([(column + 0.5) / per_row - 0.5, (row + 0.5) / rows - 0.5]) * 1.1
        # a golden-angle sequence of tilt axes, a slow sequence of rolls and sizes: no two views are alike
        axis, roll = 2.39996 * number, math.radians(25.0) * math.sin(1.7 * number)
        size = span * (1.0 + 0.2 * math.sin(2.3 * number))
        while True:
            pose = _pose_at(camera, middle, aim, axis, math.radians(tilt_deg), roll, size, np.ptp(corners_m[:, 0]))
            seen, valid = camera.project(torch.from_numpy(pose.points_cam(corners_m)))
            seen = seen.numpy()
            if not whole or (
                bool(valid.all()) and (seen > 8).all() and (seen < np.array([width - 8, height - 8])).all()
            ):
                break
            aim, size = aim * 0.94, size * 0.99
        poses.append(pose)
    return poses


def _pose_at(
    camera: Camera,
    middle: np.ndarray,
    aim: np.ndarray,
    axis: float,
    tilt: float,
    roll: float,
    size: float,
    board: float,
) -> Pose:
    width, height = camera.image_size.tolist()
    pixel = np.array([width, height]) * (0.5 + aim)
    ray = camera.unproject(torch.from_numpy(pixel))[0]
    to_left, to_right = camera.unproject(
        torch.tensor(
            [[width * (0.5 - size / 2), height / 2], [width * (0.5 + size / 2), height / 2]], dtype=torch.float64
        )
    )[0]
    angle = torch.arccos((to_left * to_right).sum()).item()
    distance = board / (2.0 * math.tan(angle / 2.0))
    across = np.cross([0.0, 1.0, 0.0], ray.numpy())
    across /= np.linalg.norm(across)
    facing = np.stack([across, np.cross(ray.numpy(), across), ray.numpy()], -1)  # board's axes seen by the camera
    turn = axis_rotation("z", torch.tensor(axis, dtype=torch.float64)).numpy()
    lean = turn @ axis_rotation("x", torch.tensor(tilt, dtype=torch.float64)).numpy() @ turn.T
    rotation = facing @ lean @ axis_rotation("z", torch.tensor(roll, dtype=torch.float64)).numpy()
    return Pose(rotation, ray.numpy() * distance - rotation @ middle)
