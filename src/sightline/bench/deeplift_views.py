"""Views of held-out people for the priors of Lifting from the Deep, and how far lifted poses are from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.data.virtual import CameraConfig, PeopleConfig, sample_views, step_generator
from sightline.geometry.rotation import axis_rotation, no_roll_rotation
from sightline.methods.deeplift.projection import LEVEL_FROM_WORLD
from sightline.methods.deeplift.shapes import limb_size
from sightline.metrics.functional import mpjpe

VIEWS_SEED = 60_000
"""Added to the seed of views, so that no other benchmark has seen them."""
OWN_BODIES = PeopleConfig(size_std=0.0, bone_std=0.0, mirrored_share=0.0)
"""People as the clips have them."""
NOISE = 0.02

NoiseOf = Literal["box", "size"]
"""What noise is a share of: the longer side of the person's box in the picture, or √(Σ limb²) as seen at the person's
depth. A standing adult's box is about one and a half times as long."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How held-out people are seen."""

    cameras: CameraConfig | None = None
    """Pinhole cameras; None for level weak-perspective ones: x and y as they are, any heading."""
    people: PeopleConfig = OWN_BODIES
    tilt_known: bool = True
    """Whether the lifter is told how the camera is tilted, or takes it as level."""
    noise: float = 0.0
    """Standard deviation of the keypoints' Gaussian noise, per coordinate, as a share of `noise_of`."""
    noise_of: NoiseOf = "box"


class Views(NamedTuple):
    """People before cameras that look straight at them (perspective) or that have no perspective."""

    xy: Float[Tensor, "view 17 2"]
    """What the lifter is shown: on the plane z = 1, or metres where there is no perspective."""
    up_cam: Float[Tensor, "view 3"]
    """What it is told of the vertical."""
    joints_cam: Float[Tensor, "view 17 3"]
    """The truth in the same axes, metres."""


def sample_scene(scene: Scene, joints_world: Float[Tensor, "frame 17 3"], count: int, seed: int) -> Views:
    """Draw views of a scene; all scenes of one seed that differ in noise only show the same people.

    Args:
        scene: cameras, bodies and noise.
        joints_world: `h36m17` poses, metres, z up.
        count: number of views.
        seed: of everything that is drawn.
    """
    chance, poses = step_generator(VIEWS_SEED + seed, 0), joints_world.double()
    if scene.cameras is None:
        views = _weak(poses, count, chance)
        extent = limb_size(views.joints_cam)
    else:
        views, extent = _perspective(scene, poses, count, chance)
    if scene.noise == 0:
        return views if scene.cameras is None else _turned(views)
    if scene.noise_of == "box":
        extent = (views.xy.amax(1) - views.xy.amin(1)).amax(1)
    off = torch.randn(views.xy.shape, generator=step_generator(VIEWS_SEED + seed, 1), dtype=torch.float64)
    views = views._replace(xy=views.xy + scene.noise * extent[:, None, None] * off)
    return views if scene.cameras is None else _turned(views)


def _weak(poses: Tensor, count: int, chance: torch.Generator) -> Views:
    frame = torch.randint(len(poses), (count,), generator=chance)
    heading = 2 * math.pi * torch.rand(count, generator=chance, dtype=torch.float64)
    joints = poses[frame] @ (LEVEL_FROM_WORLD @ axis_rotation("z", heading)).mT
    joints = joints - joints[:, :1]
    return Views(joints[..., :2], _level(count), joints)


def _perspective(scene: Scene, poses: Tensor, count: int, chance: torch.Generator) -> tuple[Views, Tensor]:
    """Views as the camera has them, and people's sizes on the plane z = 1."""
    found = sample_views(poses, count, chance, scene.people, scene.cameras)
    xy, _ = found.camera.normalized(found.keypoints_px)
    up = found.up_cam.double() if scene.tilt_known else _level(count)
    joints = found.joints_cam.double()
    return Views(xy.double(), up, joints), limb_size(joints) / joints[:, 0, 2]


def _level(count: int) -> Tensor:
    return torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64).expand(count, 3)


def _turned(views: Views) -> Views:
    """The same, as cameras see it that are turned towards the middle of each person's box."""
    middle = (views.xy.amin(1) + views.xy.amax(1)) / 2
    turned_from_cam = no_roll_rotation(torch.cat([middle, torch.ones_like(middle[:, :1])], dim=1))
    rays = torch.cat([views.xy, torch.ones_like(views.xy[..., :1])], dim=-1) @ turned_from_cam.mT
    up = (turned_from_cam @ views.up_cam[..., None])[..., 0]
    return Views(rays[..., :2] / rays[..., 2:], up, views.joints_cam @ turned_from_cam.mT)


def joined(views: Sequence[Views]) -> Views:
    """Put views one after the other."""
    return Views(*(torch.cat(parts) for parts in zip(*views, strict=True)))


def errors_mm(
    joints: Float[Tensor, "*view 17 3"], truth: Float[Tensor, "*#view 17 3"], root: Literal["excluded", "counted"]
) -> Float[Tensor, "*view"]:
    """MPJPE (mm) of lifted poses that are given the true √(Σ limb²), which no picture tells; roots laid together."""
    truth = truth.expand_as(joints)
    sized = joints * (limb_size(truth) / limb_size(joints))[..., None, None]
    return 1000 * mpjpe(sized, truth, root=root, reduction="none")
