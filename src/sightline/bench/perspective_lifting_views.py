"""Exact people anywhere in the pictures of cameras with wide, middle and narrow fields of view.

`sightline.data.virtual` keeps whole bodies in the picture, so that nobody's hips ever come near a corner; here it is
enough that most of the body is seen, and the distance is measured along the ray: whoever stands at the border is as
far away as in the middle, and what differs is the perspective alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.data.people import PeopleConfig, sample_bodies
from sightline.data.virtual import Range
from sightline.perspective.eye import pinhole_rays
from sightline.perspective.virtual import centred_intrinsics
from sightline.stature import stature_from_joints

PICTURE_PX = 1000.0
"""Width and height of the pictures."""
_TRIES = 12
_NEAREST_M = 0.3


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where cameras and people are. Ranges are (low, high)."""

    focal_px: Range = (500.0, 700.0)
    """Focal length, log-uniform; the principal point is the picture's centre."""
    distance_m: Range = (2.0, 6.0)
    """From the camera to the pelvis, uniform."""
    centre_std: float | None = None
    """Spread of the pelvis about the picture's centre, in widths; None spreads it evenly over the picture."""
    seen_joints: int = 13
    """How many of the 17 joints lie in the picture at least; the pelvis always does."""
    pitch_std: float = math.radians(10.0)
    """Spread of the camera's tilt about the level."""
    roll_std: float = math.radians(3.0)
    """Spread of its roll."""


class People(NamedTuple):
    """Single people and the pinhole cameras that see them; all tensors share the batch axis."""

    joints_cam: Float[Tensor, "batch joint 3"]
    """Metres, the camera's frame."""
    keypoints_px: Float[Tensor, "batch joint 2"]
    """Exact projections, pixels, corner origin; a few joints may lie outside the picture."""
    intrinsics: Float[Tensor, "batch 3 3"]
    stature_m: Float[Tensor, " batch"]

    @property
    def eccentricity_deg(self) -> Float[Tensor, " batch"]:
        """Angle between the optical axis and the ray to the pelvis."""
        root = self.joints_cam[:, 0]
        return torch.rad2deg(torch.atan2(root[:, :2].norm(dim=-1), root[:, 2]))


def sample_people(
    joints_world: Float[Tensor, "frame 17 3"], count: int, generator: torch.Generator, scene: Scene
) -> People:
    """Draw people in the poses of a motion library (`h36m17`, metres, z up), each before a camera of its own.

    Places are drawn until enough of the body is seen; whoever has found none after twelve stands in the middle, far
    away.
    """
    frame = torch.randint(len(joints_world), (count,), generator=generator)
    bodies = sample_bodies(joints_world[frame], generator, PeopleConfig())
    relative = bodies @ _camera_turns(count, generator, scene).to(bodies).mT
    low, high = (math.log(value) for value in scene.focal_px)
    focal = torch.exp(low + (high - low) * torch.rand(count, 1, generator=generator)).to(bodies)
    intrinsics = centred_intrinsics(focal.expand(-1, 2), (int(PICTURE_PX), int(PICTURE_PX)))
    roots = _tried_places(intrinsics, generator, scene)
    tried = relative[:, None] + roots[:, :, None]
    pixels = projected(tried, intrinsics[:, None])
    inside = ((pixels >= 0) & (pixels <= PICTURE_PX)).all(-1)
    fits = (tried[..., 2] > _NEAREST_M).all(-1) & inside[..., 0] & (inside.sum(-1) >= scene.seen_joints)
    fits[:, -1] = True
    first = fits.int().argmax(1)
    rows = torch.arange(count)
    joints_cam = tried[rows, first]
    return People(joints_cam, pixels[rows, first], intrinsics, stature_from_joints(joints_cam))


def projected(
    joints_cam: Float[Tensor, "*batch joint 3"], intrinsics: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "*batch joint 2"]:
    """Project points before the camera to pixels."""
    image = joints_cam @ intrinsics.mT
    return image[..., :2] / image[..., 2:].clamp_min(1e-3)


def miscalibrated(
    intrinsics: Float[Tensor, "batch 3 3"], *, focal: float = 0.0, centre: float = 0.0
) -> Float[Tensor, "batch 3 3"]:
    """Return wrong camera matrices.

    Args:
        intrinsics: the right ones.
        focal: error of the focal length, as a share of it.
        centre: error of the principal point, in picture widths: right, left, down and up by turns of the batch.
    """
    wrong = intrinsics.clone()
    wrong[:, :2, :2] = wrong[:, :2, :2] * (1.0 + focal)
    sides = wrong.new_tensor([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])
    wrong[:, :2, 2] += centre * PICTURE_PX * sides[torch.arange(len(wrong)) % len(sides)]
    return wrong


def _camera_turns(count: int, generator: torch.Generator, scene: Scene) -> Float[Tensor, "batch 3 3"]:
    """World axes (z up) → camera axes (y down) under any heading."""
    yaw = 2 * math.pi * torch.rand(count, generator=generator)
    pitch = scene.pitch_std * torch.randn(count, generator=generator)
    roll = scene.roll_std * torch.randn(count, generator=generator)
    level_from_world = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    return roma.euler_to_rotmat("ZX", [roll, pitch]) @ level_from_world @ roma.euler_to_rotmat("Z", [yaw])


def _tried_places(intrinsics: Tensor, generator: torch.Generator, scene: Scene) -> Float[Tensor, "batch try 3"]:
    """Places of the pelvis (m) to be tried in turn, the last one in the middle and far away."""
    shape = (len(intrinsics), _TRIES)
    if scene.centre_std is None:
        share = torch.rand(*shape, 2, generator=generator)
    else:
        share = 0.5 + scene.centre_std * torch.randn(*shape, 2, generator=generator)
    near, far = scene.distance_m
    distance = near + (far - near) * torch.rand(*shape, generator=generator)
    share[:, -1], distance[:, -1] = 0.5, far
    rays = pinhole_rays(intrinsics[:, None], (PICTURE_PX * share).to(intrinsics))
    return rays / rays.norm(dim=-1, keepdim=True) * distance[..., None].to(rays)
