"""Virtual people before virtual cameras: endless exact 2D–3D pairs from motion capture, a function of seed and step.

A view is drawn backwards from the picture: first the person's size and bones, then the camera's tilt and lens, then
the distance among those at which the whole body fits into the frame, then a place in the frame among those that keep
it there. So no view is thrown away, and the border is reached as often as the middle. A lens with distortion is put
before the finished scene, so it may carry joints a little over the border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.camera import Camera
from sightline.data.people import PeopleConfig, sample_bodies
from sightline.geometry.distortion import Distortion
from sightline.skeleton import get_skeleton
from sightline.stature import stature_from_joints

__all__ = ["CameraConfig", "PeopleConfig", "ViewBatch", "mirrored", "sample_bodies", "sample_views", "step_generator"]

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """How cameras are drawn. Ranges are (low, high); angles in radians; shares are of the picture's size."""

    image_sizes: tuple[tuple[int, int], ...] = ((1000, 1000),)
    """Picture sizes (w, h) in pixels, drawn evenly."""
    focal_px: Range = (1145.0, 1145.0)
    """Focal length, log-uniform."""
    focal_relative: bool = False
    """Whether `focal_px` is for a picture whose longest side is 1000 px and grows with the picture."""
    center_share_std: float = 0.0
    """Spread of the principal point around the picture's centre."""
    depth_m: Range = (2.5, 7.0)
    """Depth of the person's root, uniform above the depth at which the body fits; further away where it cannot."""
    depth_uniform_in: str = "depth"
    """"depth", or "log" to meet near people as often as far ones."""
    pitch: Range = (0.0, 0.0)
    """Tilt of the camera, uniform; positive looks down (the opposite of `geometry.rotation`'s pitch)."""
    pitch_std: float = 0.0
    """Spread of a Gaussian that is added to the tilt."""
    roll_std: float = 0.0
    """Spread of the camera's roll."""
    rolled_share: float = 0.0
    """Share of cameras held askew: their roll is uniform between ±`rolled`, not Gaussian."""
    rolled: float = math.pi / 4
    """Furthest roll of those."""
    cut_share: float = 0.0
    """Share of views that need to show only a part of the body: from some joint of head or trunk upwards, or a side."""
    overflow_share: float = 0.0
    """How far bodies may reach over each border; drawn uniformly per view between 0 and this."""
    radial_std: float = 0.0
    """Spread of the first radial distortion coefficient (Brown–Conrady); 0 draws pinhole cameras."""

    def __post_init__(self) -> None:
        for name in ("focal_px", "depth_m"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: expected 0 < low <= high, got {low}, {high}")
        if self.depth_uniform_in not in ("depth", "log"):
            raise ValueError(f'depth_uniform_in: expected "depth" or "log", got {self.depth_uniform_in!r}')


class ViewBatch(NamedTuple):
    """Views of single people; all tensors share the batch axis."""

    joints_cam: Float[Tensor, "batch joint 3"]
    """Metres, the camera's frame."""
    keypoints_px: Float[Tensor, "batch joint 2"]
    """Exact projections, pixels, corner origin."""
    camera: Camera
    stature_m: Float[Tensor, " batch"]
    visible: Bool[Tensor, "batch joint"]
    """Whether the joint lies inside the picture."""
    frame: Int[Tensor, " batch"]
    """Row of the pose in the library it was drawn from."""
    up_cam: Float[Tensor, "batch 3"]
    """Unit vector against gravity, the camera's frame."""


def mirrored(views: ViewBatch) -> ViewBatch:
    """Return the same people (`h36m17`) in a mirror: x → W − x in the picture, whose camera is mirrored with it."""
    order, side = list(get_skeleton("h36m17").flip), views.joints_cam.new_tensor([-1.0, 1.0, 1.0])
    x, y = views.keypoints_px[:, order].unbind(-1)
    return ViewBatch(
        joints_cam=views.joints_cam[:, order] * side,
        keypoints_px=torch.stack((views.camera.image_size[:, :1] - x, y), -1),
        camera=views.camera.flipped(),
        stature_m=views.stature_m,
        visible=views.visible[:, order],
        frame=views.frame,
        up_cam=views.up_cam * side,
    )


def step_generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """Return the source of chance of one training step: the same whenever and wherever that step is run."""
    generator = torch.Generator()
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB) % 2**63
    generator.manual_seed(mixed ^ (mixed >> 29))
    return generator


def sample_views(
    joints_world: Float[Tensor, "frame 17 3"],
    count: int,
    generator: torch.Generator,
    people: PeopleConfig | None = None,
    cameras: CameraConfig | None = None,
) -> ViewBatch:
    """Draw views of people in the poses of a motion-capture library.

    Args:
        joints_world: `h36m17` poses in metres, z up, anywhere in the world.
        count: number of views.
        generator: source of every random number; the same state gives the same views.
        people: how bodies vary.
        cameras: how cameras vary.
    """
    if joints_world.ndim != 3 or joints_world.shape[1:] != (17, 3) or len(joints_world) == 0:
        raise ValueError(f"joints_world: expected (frame >= 1, 17, 3), got {tuple(joints_world.shape)}")
    people, cameras = people or PeopleConfig(), cameras or CameraConfig()
    frame = torch.randint(len(joints_world), (count,), generator=generator)
    body = sample_bodies(joints_world[frame], generator, people)
    cam_from_world = _turn(body, generator, cameras)
    relative_cam = body @ cam_from_world.mT
    camera, bounds = _sample_cameras(count, body.dtype, generator, cameras)
    needed = _needed(body, generator, cameras.cut_share) if cameras.cut_share > 0 else None
    joints_cam = relative_cam + _placed(relative_cam, camera, bounds, generator, cameras, needed)[:, None]
    keypoints_px, in_front = camera.project(joints_cam)
    inside = ((keypoints_px >= 0) & (keypoints_px <= camera.image_size[:, None])).all(-1)
    return ViewBatch(
        joints_cam,
        keypoints_px,
        camera,
        stature_from_joints(joints_cam),
        in_front & inside,
        frame,
        cam_from_world[:, :, 2],
    )


def _turn(body: Tensor, generator: torch.Generator, cameras: CameraConfig) -> Float[Tensor, "batch 3 3"]:
    """World axes (z up) → camera axes (y down) under any heading, the camera's pitch and its roll."""
    count = len(body)
    yaw = 2 * math.pi * torch.rand(count, generator=generator)
    low, high = cameras.pitch
    pitch = low + (high - low) * torch.rand(count, generator=generator)
    pitch = pitch + cameras.pitch_std * torch.randn(count, generator=generator)
    roll = cameras.roll_std * torch.randn(count, generator=generator)
    if cameras.rolled_share > 0:
        askew = cameras.rolled * (2 * torch.rand(count, generator=generator) - 1)
        roll = torch.where(torch.rand(count, generator=generator) < cameras.rolled_share, askew, roll)
    level_from_world = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    cam_from_level = roma.euler_to_rotmat("ZX", [roll, pitch])
    cam_from_world = cam_from_level @ level_from_world @ roma.euler_to_rotmat("Z", [yaw])
    return cam_from_world.to(body)


_CUT_JOINTS = ((0, 1, 4, 7, 8, 9, 10, 11, 14), (7, 8, 9, 10, 11, 14), (8, 9, 10, 11, 14))
"""What a view of a cut person still shows at least: from the hips, the waist or the shoulders upwards."""
_SIDES = ((0, 8, 10, 1, 2, 14, 15), (0, 8, 10, 4, 5, 11, 12))
"""Or one side of the body."""


def _needed(body: Tensor, generator: torch.Generator, share: float) -> Bool[Tensor, "batch joint"]:
    """Which joints have to lie within the picture: all, or for a share of people those of one part of the body."""
    count, joints = body.shape[:2]
    parts = torch.zeros(len(_CUT_JOINTS) + len(_SIDES) + 1, joints, dtype=torch.bool)
    for row, part in enumerate((*_CUT_JOINTS, *_SIDES)):
        parts[row, list(part)] = True
    parts[-1] = True
    kind = torch.randint(len(parts) - 1, (count,), generator=generator)
    whole = torch.rand(count, generator=generator) >= share
    return parts[torch.where(whole, len(parts) - 1, kind)]


def _sample_cameras(
    count: int, dtype: torch.dtype, generator: torch.Generator, cameras: CameraConfig
) -> tuple[Camera, Float[Tensor, "batch 2 2"]]:
    """Draw cameras, and the low and high borders (px) that each body has to stay within."""
    sizes = torch.tensor(cameras.image_sizes, dtype=dtype)
    size = sizes[torch.randint(len(sizes), (count,), generator=generator)]
    low, high = (math.log(value) for value in cameras.focal_px)
    focal = torch.exp(low + (high - low) * torch.rand(count, generator=generator)).to(dtype)
    if cameras.focal_relative:
        focal = focal * size.amax(-1) / 1000
    center = size * (0.5 + cameras.center_share_std * torch.randn(count, 2, generator=generator).to(dtype))
    distortion = None
    if cameras.radial_std > 0:
        k1 = cameras.radial_std * torch.randn(count, 1, generator=generator).to(dtype)
        distortion = Distortion(model="brown_conrady", radial=torch.cat([k1.clamp(-0.2, 0.2), 0.2 * k1.abs()], dim=1))
    camera = Camera(image_size=size, focal_px=focal[:, None].expand(-1, 2), center_px=center, distortion=distortion)
    overflow = size * cameras.overflow_share * torch.rand(count, 1, generator=generator).to(dtype)
    return camera, torch.stack([-overflow, size + overflow], dim=1)


def _placed(
    relative: Tensor,
    camera: Camera,
    bounds: Tensor,
    generator: torch.Generator,
    cameras: CameraConfig,
    needed: Tensor | None = None,
) -> Float[Tensor, "batch 3"]:
    """Draw the root's place (m) such that every joint projects within the bounds.

    With a = (low − c)/f and b = (high − c)/f per axis, joint j is inside when a(z_j + Z) ≤ x_j + X ≤ b(z_j + Z): an
    interval for X whose ends are linear in Z, open from the depth on where max(x − b z) + max(a z − x) = (b − a) Z.
    """
    low, high = ((bounds - camera.center_px[:, None]) / camera.focal_px[:, None]).unbind(1)
    z = relative[..., 2:]
    over, under = relative[..., :2] - high[:, None] * z, low[:, None] * z - relative[..., :2]
    if needed is not None:
        over, under = (side.masked_fill(~needed[..., None], -math.inf) for side in (over, under))
    over, under = over.amax(1), under.amax(1)
    fits = ((over + under) / (high - low)).amax(-1)
    nearest = torch.maximum(fits, 0.3 - z[..., 0].amin(1))
    near, far = cameras.depth_m
    start = nearest.clamp_min(near)
    end = torch.maximum(start, start.new_tensor(far))
    share = torch.rand(len(relative), generator=generator).to(relative)
    linear = cameras.depth_uniform_in == "depth"
    depth = start + (end - start) * share if linear else start * (end / start) ** share
    left, right = low * depth[:, None] + under, high * depth[:, None] - over
    place = left + (right - left) * torch.rand(len(relative), 2, generator=generator).to(relative)
    return torch.cat([place, depth[:, None]], dim=1)
