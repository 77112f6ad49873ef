"""Which way is up, for cameras that do not know their place in the world: told by angles or a horizon, or unknown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.camera import Camera
from sightline.geometry.rotation import pitch_roll_from_up, rotation_from_pitch_roll

_UPRIGHT = math.sin(math.radians(5.0))
"""A horizon nearer than this to the picture's vertical does not say which side is up."""


@dataclass(frozen=True, kw_only=True)
class Tilt:
    """How a camera is tilted that does not know its place in the world; level, where nothing else is said."""

    pitch_rad: float | None = None
    """How far it looks up; None where that is not known, and the camera is taken as level."""
    roll_rad: float | None = None
    """How far it is turned clockwise about its axis, so that its picture turns anticlockwise; None where not known."""
    tried_rad: tuple[float, ...] = (0.0,)
    """Added to the pitch: for each person the likeliest of these tilts of the camera is taken."""

    def __post_init__(self) -> None:
        right = math.pi / 2
        if self.pitch_rad is not None and not -right < self.pitch_rad < right:
            raise ValueError(
                f"pitch_rad: expected an angle between -90° and 90°, got {math.degrees(self.pitch_rad):g}°"
            )
        if self.roll_rad is not None and not -math.pi <= self.roll_rad <= math.pi:
            raise ValueError(f"roll_rad: expected an angle of -180° to 180°, got {math.degrees(self.roll_rad):g}°")
        pitch = self.pitch_rad or 0.0
        if not self.tried_rad or not all(-right < pitch + tried < right for tried in self.tried_rad):
            told = ", ".join(f"{math.degrees(tried):g}°" for tried in self.tried_rad)
            raise ValueError(
                f"tried_rad: expected one or more that lead to pitches between -90° and 90°, got {told or 'none'}"
            )

    @property
    def known(self) -> bool:
        """Whether anything is said of it."""
        return self.pitch_rad is not None or self.roll_rad is not None

    @property
    def up_cam(self) -> Float[Tensor, "3"]:
        """Unit vector against gravity, the camera's frame."""
        angles = torch.tensor([self.pitch_rad or 0.0, self.roll_rad or 0.0], dtype=torch.float64)
        return -rotation_from_pitch_roll(angles[0], angles[1])[:, 1]


def placed_by(camera: Camera, tilt: Tilt) -> Camera:
    """Return a camera at the origin of a world (z up) in which it looks along y, tilted so.

    One that knows its place in a world stays as it is.
    """
    if camera.has_world:
        return camera
    angles = camera.focal_px.new_tensor([tilt.pitch_rad or 0.0, tilt.roll_rad or 0.0])
    right, down, ahead = rotation_from_pitch_roll(angles[0], angles[1]).unbind(-1)
    rotation = torch.stack((right, ahead, -down), dim=-1)
    return replace(camera, rotation=rotation, translation_m=torch.zeros_like(right))


def tilted_by(up_cam: Float[Tensor, "*batch 3"], angle_rad: float) -> Float[Tensor, "*batch 3"]:
    """Return the upward direction as a camera sees it whose pitch is by an angle larger; unit length."""
    pitch, roll = pitch_roll_from_up(up_cam)
    return -rotation_from_pitch_roll(pitch + angle_rad, roll)[..., :, 1]


def tilt_from_horizon(camera: Camera, first_px: Sequence[float], second_px: Sequence[float]) -> Tilt:
    """Return how a camera is tilted that sees the horizon through two points of its picture (px, corner origin).

    Both lie in the level plane through the camera, whose normal is the vertical. Up is the one of its two directions
    in which the upper side of the picture lies; a camera upside down, or on its side, has to be told by its roll.

    Raises:
        ValueError: for points that are not finite, nearly the same, one above the other, or where the lens is not
            defined.
    """
    points = torch.tensor([list(first_px), list(second_px)], dtype=torch.float64)
    if points.shape != (2, 2) or not bool(points.isfinite().all()):
        raise ValueError(f"horizon: expected two points x, y in pixels, got {points.tolist()}")
    if float((points[0] - points[1]).norm()) < 1.0:
        raise ValueError("horizon: expected two points that are some way apart, got nearly the same twice")
    xy, placed = camera.to(dtype=torch.float64).normalized(points)
    if not bool(placed.all()):
        raise ValueError("horizon: expected points that the lens can see, got one outside of where it is defined")
    rays = torch.cat([xy, torch.ones_like(xy[:, :1])], dim=1)
    up = torch.linalg.cross(rays[0], rays[1])
    if abs(float(up[1])) < _UPRIGHT * float(up[:2].norm()):
        raise ValueError("horizon: expected points beside each other; a camera on its side is told by its roll")
    up = up if float(up[1]) < 0 else -up
    pitch, roll = pitch_roll_from_up(up)
    return Tilt(pitch_rad=float(pitch), roll_rad=float(roll))
