"""Cameras drawn backwards from the picture: lens and tilt, the distance at which a body fills its share, its place.

No view is thrown away: for one rotation and lens, the depths at which points fill a frame and the places that keep
them inside follow in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.synth.config import CameraDraw

_LEAST_HEIGHT_M: Final = 0.12
_CUT: Final = (0.95, 1.9)
"""How much of the picture a person fills who is cut off."""
_LEAST_SEEN: Final = 0.4
"""Share of somebody's outline that stays in the picture, however they are cut."""
_HEAD_STAYS: Final = 0.8
"""Share of cut pictures that keep the head."""
_TRIES: Final = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class Lens:
    """A camera before it has a place."""

    size: tuple[int, int]
    focal_px: float
    center_px: Float[np.ndarray, "2"]
    radial: tuple[float, float] | None


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """A placed camera with its numbers as arrays, for cheap questions (without the lens's distortion)."""

    lens: Lens
    rotation: Float[np.ndarray, "3 3"]
    """cam_from_world."""
    position: Float[np.ndarray, "3"]

    def camera(self) -> Camera:
        """Return it as a `Camera` (float64)."""
        lens = self.lens
        bent = None if lens.radial is None else Distortion.create("brown_conrady", lens.radial, dtype=torch.float64)
        return camera_of(
            lens.size, lens.focal_px, lens.center_px, self.rotation, -self.rotation @ self.position, distortion=bent
        )

    def project(
        self, points: Float[np.ndarray, "point 3"]
    ) -> tuple[Float[np.ndarray, "point 2"], Bool[np.ndarray, " point"]]:
        """Return pixels of points of the world (m), and whether each lies before the camera, inside the picture."""
        cam = (points - self.position) @ self.rotation.T
        ahead = cam[:, 2] > 0.05
        px = cam[:, :2] / np.where(ahead, cam[:, 2], 1.0)[:, None] * self.lens.focal_px + self.lens.center_px
        (x, y), (width, height) = px.T, self.lens.size
        return px, ahead & (x >= 0) & (y >= 0) & (x <= width) & (y <= height)

    @property
    def forward(self) -> Float[np.ndarray, "3"]:
        """Unit vector of the optical axis in the world."""
        return self.rotation[2]


def camera_of(
    size: tuple[int, int],
    focal_px: float,
    center_px: Float[np.ndarray, "2"],
    rotation: Float[np.ndarray, "3 3"],
    translation_m: Float[np.ndarray, "3"],
    *,
    distortion: Distortion | None = None,
) -> Camera:
    """Return a camera (float64) of drawn numbers: what `Camera.create` makes of them, without checking what is sound.

    rotation, translation_m: cam_from_world.
    """
    return Camera(
        image_size=torch.tensor(size, dtype=torch.float64),
        focal_px=torch.tensor((focal_px, focal_px), dtype=torch.float64),
        center_px=torch.tensor(center_px, dtype=torch.float64),
        distortion=distortion,
        rotation=torch.tensor(rotation, dtype=torch.float64),
        translation_m=torch.tensor(translation_m, dtype=torch.float64),
    )


def drawn_lens(rng: np.random.Generator, sizes: tuple[tuple[int, int], ...], draw: CameraDraw) -> Lens:
    """Draw a picture size, field of view, principal point and distortion."""
    size = sizes[int(rng.integers(len(sizes)))]
    longest = max(size)
    near, far = (longest / 2 / math.tan(fov / 2) for fov in reversed(draw.fov))
    focal = near * (far / near) ** rng.random()
    center = np.array(size) * (0.5 + draw.center_std * rng.standard_normal(2))
    first = float(np.clip(draw.radial_std * rng.standard_normal(), -0.15, 0.15))
    bent = rng.random() < draw.distortion_share
    return Lens(size=size, focal_px=focal, center_px=center, radial=(first, 0.2 * abs(first)) if bent else None)


def drawn_view(rng: np.random.Generator, lens: Lens, draw: CameraDraw, points: Float[np.ndarray, "point 3"]) -> View:
    """Draw where a camera stands that sees a person, given by points of the outline (m, world)."""
    middle = 0.5 * (points.min(0) + points.max(0))
    azimuth, roll = 2 * math.pi * rng.random(), draw.roll_std * rng.standard_normal()
    if rng.random() < draw.rolled_share:
        roll = rng.uniform(-draw.rolled, draw.rolled)
    cut = rng.random() < draw.truncated_share
    fill = rng.uniform(*_CUT) if cut else rng.uniform(*draw.fill)
    keep_head = rng.random() < _HEAD_STAYS
    view: View | None = None
    for _ in range(_TRIES):
        level = _rotation(azimuth, 0.0, roll)
        away = _depth(lens, (points - middle) @ level.T, fill, draw.near_m)
        low, high = (math.asin(float(np.clip((h - middle[2]) / away, -0.95, 0.95))) for h in draw.height_m)
        low, high = max(low, draw.pitch[0]), min(high, draw.pitch[1])
        pitch = rng.uniform(low, high) if low < high else float(np.clip(0.5 * (low + high), *draw.pitch))
        rotation = _rotation(azimuth, pitch, roll)
        relative = (points - middle) @ rotation.T
        place = _place(rng, lens, relative, _depth(lens, relative, fill, draw.near_m), cut, keep_head)
        view = View(lens=lens, rotation=rotation, position=middle - rotation.T @ place)
        if draw.height_m[0] * 0.8 <= view.position[2] <= draw.height_m[1] * 1.25:
            return view
    assert view is not None
    if view.position[2] >= _LEAST_HEIGHT_M:
        return view
    return View(lens=lens, rotation=view.rotation, position=np.array([*view.position[:2], _LEAST_HEIGHT_M]))


def _rotation(azimuth: float, pitch: float, roll: float) -> Float[np.ndarray, "3 3"]:
    """cam_from_world of a camera that looks along the azimuth, down by the pitch; its picture turned by the roll."""
    c, s, level, down = math.cos(azimuth), math.sin(azimuth), math.cos(pitch), math.sin(pitch)
    upright = np.array([[s, -c, 0.0], [-down * c, -down * s, -level], [level * c, level * s, -down]])
    c, s = math.cos(roll), math.sin(roll)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ upright


def _borders(lens: Lens, fill: float) -> tuple[np.ndarray, np.ndarray]:
    """Low and high borders (x/z, y/z) of a frame as large as `fill` of the picture, about its middle."""
    half = 0.5 * np.array(lens.size)
    low, high = ((half + sign * fill * half - lens.center_px) / lens.focal_px for sign in (-1, 1))
    return low, high


def _depth(lens: Lens, relative: Float[np.ndarray, "point 3"], fill: float, near_m: float) -> float:
    """The depth (m) of the middle at which points just fit into a frame of that share of the picture.

    With borders a and b of x/z, point j is inside while a (z_j + Z) <= x_j + X <= b (z_j + Z), so that
    max(x - b z) + max(a z - x) = (b - a) Z.
    """
    low, high = _borders(lens, fill)
    z = relative[:, 2:]
    needed = (relative[:, :2] - high * z).max(0) + (low * z - relative[:, :2]).max(0)
    return float(max((needed / (high - low)).max(), near_m, 0.6 * near_m - z.min()))


def _place(
    rng: np.random.Generator, lens: Lens, relative: np.ndarray, depth: float, cut: bool, keep_head: bool
) -> Float[np.ndarray, "3"]:
    """Where the middle lies in the camera's frame (m): somewhere that keeps the body inside, or cuts it off."""
    low, high = _borders(lens, 1.0)
    z = relative[:, 2:]
    left = low * depth + (low * z - relative[:, :2]).max(0)
    right = high * depth - (relative[:, :2] - high * z).max(0)
    share = rng.beta(1.6, 1.6, 2)
    if cut:
        further = 0.3 * float(np.ptp(relative[:, 0]))
        share[0] = rng.random()
        left[0], right[0] = min(left[0], right[0]) - further, max(left[0], right[0]) + further
        # A share of 0 has the head at the upper border, 1 the feet at the lower one.
        share[1] = 0.1 * rng.random() if keep_head else rng.random()
    place = np.array([*(left + share * (right - left)), depth])
    while cut and _seen(lens, relative + place) < _LEAST_SEEN and abs(place[0]) > 0.02:
        place[0] *= 0.6
    return place


def _seen(lens: Lens, points_cam: np.ndarray) -> float:
    """Share of points that lie in the picture."""
    low, high = _borders(lens, 1.0)
    xy = points_cam[:, :2] / np.maximum(points_cam[:, 2:], 1e-3)
    return float(((xy >= low) & (xy <= high)).all(1).mean())
