"""What people told about a camera, with how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sightline.camera import Camera
from sightline.self_calibration.posterior import up_from_angles
from sightline.structures import ScaleSource, World

FOCAL_SURE = 0.25
"""Relative standard deviation up to which a focal length counts as found; of unknown cameras it is 0.4."""
UP_SURE_RAD = math.radians(5.0)
HEIGHT_SURE = 0.25
"""Up to which gravity, and the camera's height relative to itself, count as found."""
FEWEST_POSES, FEWEST_OF_ONE = 3, 10
"""Of several people: two who lean do not contradict each other. Of one person alone: whoever is seen for a moment may
lean all that time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FoundCamera:
    """A camera by the people it saw; angles in radians, lengths in metres, standard deviations beside them.

    focal_px: what to use: the estimate where `focal_found`, the known one where `focal_known`, else the assumed one.
    focal_sigma: its relative standard deviation; 0 where known. up_cam, height_m: unit vector against gravity in the
    camera's frame, and how high the camera is above the floor; only to be believed where `world_found`. up_sigma_rad:
    of the angle of up_cam, in its worse direction. people, poses: how many tracks and poses stood upright and agree.
    Each deviation is the half-width within which the truth is to lie in 68 % of all cases.
    """

    image_size: tuple[int, int]
    focal_px: float
    focal_sigma: float
    focal_found: bool
    focal_known: bool
    pitch_rad: float
    pitch_sigma_rad: float
    roll_rad: float
    roll_sigma_rad: float
    height_m: float
    height_sigma_m: float
    people: int
    poses: int

    @property
    def scale_source(self) -> ScaleSource:
        """What a result with this focal length has to say of its scale."""
        return "given_focal" if self.focal_known else "estimated_focal" if self.focal_found else "assumed_focal"

    @property
    def fov_x_rad(self) -> float:
        """Horizontal field of view."""
        return 2.0 * math.atan(0.5 * self.image_size[0] / self.focal_px)

    @property
    def fov_x_sigma_rad(self) -> float:
        """Standard deviation of the horizontal field of view; 0 where the focal length is known."""
        return math.sin(self.fov_x_rad) * self.focal_sigma

    @property
    def up_cam(self) -> Float[np.ndarray, "3"]:
        """Unit vector against gravity, camera frame."""
        return up_from_angles(np.array(self.pitch_rad), np.array(self.roll_rad))

    @property
    def up_sigma_rad(self) -> float:
        """Standard deviation of the direction of `up_cam`, in the worse of its two directions."""
        return max(self.pitch_sigma_rad, self.roll_sigma_rad * math.cos(self.pitch_rad))

    @property
    def floor_cam(self) -> Float[np.ndarray, "4"]:
        """The floor (n, d): n · x + d is the height (m) of a camera-frame point x above it."""
        return np.append(self.up_cam, self.height_m)

    @property
    def world_found(self) -> bool:
        """Whether gravity and floor are known well enough to be used."""
        sure = self.up_sigma_rad <= UP_SURE_RAD and self.height_sigma_m <= HEIGHT_SURE * self.height_m
        return sure and enough(self.people, self.poses)

    @property
    def world(self) -> World | None:
        """Gravity and floor, where they were found."""
        return World(up_cam=self.up_cam, floor_cam=self.floor_cam) if self.world_found else None

    def placed(self, camera: Camera | None = None) -> Camera:
        """Return the camera (a pinhole of `focal_px` where none is given), with its place in the world where found.

        The world's origin is the place on the floor under the camera, z is up, and the camera looks along y.
        """
        camera = Camera.create(self.image_size, self.focal_px) if camera is None else camera
        if not self.world_found:
            return camera
        up = self.up_cam
        ahead = np.array([0.0, 0.0, 1.0]) if abs(up[2]) < 0.999 else np.array([0.0, -1.0, 0.0])
        ahead = ahead - (ahead @ up) * up
        ahead /= np.sqrt(ahead @ ahead)
        return replace(
            camera,
            rotation=torch.from_numpy(np.stack([np.cross(ahead, up), ahead, up], axis=-1)).to(camera.dtype),
            translation_m=torch.from_numpy(-self.height_m * up).to(camera.dtype),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what was found as JSON; gravity, floor and what they rest on are None where they were not."""
        world = self.world
        angles = {
            "height_m": self.height_m,
            "height_sigma_m": self.height_sigma_m,
            "pitch_deg": math.degrees(self.pitch_rad),
            "pitch_sigma_deg": math.degrees(self.pitch_sigma_rad),
            "roll_deg": math.degrees(self.roll_rad),
            "roll_sigma_deg": math.degrees(self.roll_sigma_rad),
        }
        return {
            "focal": "known" if self.focal_known else "estimated" if self.focal_found else "assumed",
            "focal_px": round(self.focal_px, 2),
            "focal_sigma_px": round(self.focal_sigma * self.focal_px, 2),
            "fov_x_deg": round(math.degrees(self.fov_x_rad), 2),
            "fov_x_sigma_deg": round(math.degrees(self.fov_x_sigma_rad), 2),
            "up_cam": None if world is None else [round(float(value), 6) for value in world.up_cam],
            "floor_cam": None if world is None else [round(float(value), 6) for value in world.floor_cam],
            **{name: None if world is None else round(value, 3) for name, value in angles.items()},
            "people": self.people,
            "poses": self.poses,
        }

    def in_words(self) -> str:
        """Return one sentence about what was found, and how surely."""
        who = f"from {_count(self.people, 'person', 'people')} upright in {_count(self.poses, 'pose', 'poses')}"
        if not self.people:
            who = "nobody is seen upright from head to foot"
        parts = [part for part in (self._focal_in_words(), self._world_in_words()) if part]
        stated = " (± holds 68 %)" if self.focal_found or self.world_found else ""
        return f"{who}: {'; '.join(parts)}{stated}"

    def _focal_in_words(self) -> str:
        if self.focal_known:
            return ""
        percent = 100.0 * self.focal_sigma
        if not self.focal_found:
            return f"the focal length cannot be told, {self.focal_px:.0f} px ± {percent:.0f} % is assumed"
        fov, give = math.degrees(self.fov_x_rad), math.degrees(self.fov_x_sigma_rad)
        return (
            f"focal length {self.focal_px:.0f} px ± {percent:.0f} % (a horizontal field of view of {fov:.0f}° ± "
            f"{give:.0f}°)"
        )

    def _world_in_words(self) -> str:
        if not self.world_found:
            return "gravity and floor cannot be told"
        return (
            f"the camera is {self.height_m:.1f} ± {self.height_sigma_m:.1f} m above the floor, looks "
            f"{abs(math.degrees(self.pitch_rad)):.0f}° ± {math.degrees(self.pitch_sigma_rad):.0f}° "
            f"{'down' if self.pitch_rad >= 0.0 else 'up'} and is rolled by {round(math.degrees(self.roll_rad))}° ± "
            f"{math.degrees(self.roll_sigma_rad):.0f}°"
        )


def enough(people: int, poses: int) -> bool:
    """Whether so many poses of so many people can contradict each other: what they agree on is no chance then."""
    return poses >= (FEWEST_POSES if people > 1 else FEWEST_OF_ONE)


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
