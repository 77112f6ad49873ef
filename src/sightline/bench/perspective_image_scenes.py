"""Whole frames of a wide pinhole camera with one person, or one rigid object, anywhere in them; and what is to be read.

The renderer's recipes put people about the middle of the picture. Here the camera is turned about its own place
afterwards, without roll, until the hips appear at a pixel that is drawn evenly from all of the frame: whoever stands
at the border is as far away as in the middle and stands on the same floor, and what differs is the perspective alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sightline.bench.perspective_image_object import object_points, placed_object
from sightline.camera import Camera
from sightline.geometry.rotation import look_rotation
from sightline.landmarks import rows_of
from sightline.skeleton import get_skeleton
from sightline.synth.config import CrowdDraw, SceneConfig, studio
from sightline.synth.draw import draw_scene
from sightline.synth.drawing import warp
from sightline.synth.poses import PoseSource
from sightline.synth.render import render
from sightline.synth.scene import Scene

Subject = Literal["people", "object"]
JOINTS: Final = 17
_ROWS: Final = list(rows_of(get_skeleton("h36m17")))
_TRIES: Final = 16
_NEAREST_M: Final = 0.3
_PLACES: Final = 1001
"""Tells the source of chance of places from those of everything else in a scene."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """What the pictures of one set are like. Ranges are (low, high)."""

    subject: Subject
    side_px: int = 256
    """Width and height."""
    fov: float = math.radians(90)
    """Field of view across; one lens for all pictures, so that who does not know it may learn it by heart."""
    fill: tuple[float, float] = (0.3, 0.5)
    """Share of the picture that a person fills who stands in its middle."""
    distance_m: tuple[float, float] = (0.9, 1.7)
    """Of objects, along the ray."""
    seen_share: float = 0.9
    """Share of the joints, or of the object's corners, that lie in the picture at least."""
    margin: float = 1.15
    """Width and height of the region to be found, beside the least square about its middle that holds every joint."""
    samples: int = 2
    """Rays per pixel."""
    reach: float = 1.0
    """Share of the frame's width and height, about its middle, over which subjects are spread."""


class Labelled(NamedTuple):
    """A picture and what a network is to read from it."""

    image: UInt8[np.ndarray, "height width 3"]
    """sRGB."""
    intrinsics: Float[np.ndarray, "3 3"]
    """K, pixels, corner origin."""
    center: Float[np.ndarray, "2"]
    """The hips or the object's origin, in half picture sizes from the picture's middle."""
    scale: Float[np.ndarray, "2"]
    """Width and height of the square region about them, as shares of the picture's."""
    root_cam: Float[np.ndarray, "3"]
    """Hips or origin, metres, camera frame."""
    pose: Float[np.ndarray, "row 3"]
    """Root-relative `h36m17` joints (m), or cam_from_object."""


def labelled(frames: Frames, poses: PoseSource, seed: int, index: int) -> Labelled:
    """Draw and render the picture of a number: a pure function of its arguments."""
    warp()  # before the body model starts it with a banner
    scene, points_cam, pose = drawn(frames, poses, seed, index)
    center, scale = region(frames, scene.camera, points_cam)
    return Labelled(
        image=render(scene, frames.samples).image,
        intrinsics=scene.camera.intrinsics.numpy(),
        center=center,
        scale=scale,
        root_cam=points_cam[0].numpy(),
        pose=pose.numpy(),
    )


def drawn(frames: Frames, poses: PoseSource, seed: int, index: int) -> tuple[Scene, Tensor, Tensor]:
    """Return a scene; the points that the region is to hold, the root first (m, camera frame); and the pose."""
    scene = draw_scene(recipe(frames), poses, seed, index)
    rng = np.random.default_rng(np.random.SeedSequence((seed, index, _PLACES)))
    return (_person if frames.subject == "people" else _object)(frames, scene, rng)


def recipe(frames: Frames) -> SceneConfig:
    """Return the recipe of the scenes: a studio with painted walls and skies; objects float before a backdrop."""
    quiet, people = studio(), frames.subject == "people"
    count = 1 if people else 0
    camera = replace(
        quiet.camera,
        fov=(frames.fov, frames.fov),
        center_std=0.0,
        height_m=(0.6, 2.2),
        pitch=(math.radians(-10), math.radians(15)),
        fill=frames.fill,
    )
    backgrounds = (("plain", 1.0), ("sky", 1.0), ("street", 1.0), ("indoor", 1.0))
    return replace(
        quiet,
        image_sizes=((frames.side_px, frames.side_px),),
        crowd=CrowdDraw(people=(count, count)),
        camera=camera,
        backgrounds=(*backgrounds, ("room", 1.0)) if people else backgrounds,
        grounds=(("textured", 1.0),) if people else (("none", 1.0),),
        colour_cast=0.7,
    )


def _person(frames: Frames, scene: Scene, rng: np.random.Generator) -> tuple[Scene, Tensor, Tensor]:
    joints_world = torch.from_numpy(scene.actors[0].landmarks_world[_ROWS]).double()
    for pixel in _pixels(frames, rng):
        camera = aimed(scene.camera, joints_world[0], pixel)
        joints_cam = camera.world_to_camera(joints_world)
        if enough_seen(frames, camera, joints_cam):
            break
    return replace(scene, camera=camera), joints_cam, joints_cam - joints_cam[:1]


def _object(frames: Frames, scene: Scene, rng: np.random.Generator) -> tuple[Scene, Tensor, Tensor]:
    camera, points = scene.camera, torch.from_numpy(object_points())
    cam_from_object = roma.unitquat_to_rotmat(torch.from_numpy(_unit(rng.standard_normal(4))))
    away = float(rng.uniform(*frames.distance_m))
    for pixel in _pixels(frames, rng):
        ray, _ = camera.unproject(pixel)
        root_cam = away * ray / ray.norm()
        points_cam = torch.cat([root_cam[None], points @ cam_from_object.mT + root_cam])
        if enough_seen(frames, camera, points_cam):
            break
    assert camera.rotation is not None
    world_from_object = camera.rotation.mT @ cam_from_object
    props = placed_object(world_from_object.numpy(), camera.camera_to_world(root_cam).numpy())
    return replace(scene, props=props), points_cam, cam_from_object


def _pixels(frames: Frames, rng: np.random.Generator) -> Float[Tensor, "try 2"]:
    """Pixels to be tried in turn, even over what is to be reached of the frame; the last one is its middle."""
    pixels = frames.side_px * (0.5 + frames.reach * (torch.from_numpy(rng.random((_TRIES, 2))) - 0.5))
    pixels[-1] = 0.5 * frames.side_px
    return pixels


def enough_seen(frames: Frames, camera: Camera, points_cam: Float[Tensor, "point 3"]) -> bool:
    """Whether enough of some points lie in the picture, the first of them too, and all well before the camera."""
    px, _ = camera.project(points_cam)
    inside = ((px >= 0) & (px <= frames.side_px)).all(-1)
    ahead = bool((points_cam[:, 2] > _NEAREST_M).all())
    return ahead and bool(inside[0]) and float(inside.double().mean()) >= frames.seen_share


def aimed(camera: Camera, point_world: Float[Tensor, "3"], pixel: Float[Tensor, "2"]) -> Camera:
    """Return a camera turned about its place, without roll, so that a point of the world (z up) appears at a pixel."""
    ray, _ = camera.unproject(pixel)
    ray, way = ray / ray.norm(), point_world - camera.position_world
    way = way / way.norm()
    # The pixel's ray climbs by −(cos(pitch) y + sin(pitch) z), which has to be what the way to the point climbs.
    reach = math.hypot(float(ray[1]), float(ray[2]))
    pitch = math.asin(max(-1.0, min(1.0, -float(way[2]) / reach))) - math.atan2(float(ray[1]), float(ray[2]))
    aside = math.atan2(-float(ray[0]), math.cos(pitch) * float(ray[2]) - math.sin(pitch) * float(ray[1]))
    heading = math.atan2(float(way[1]), float(way[0])) - aside
    ahead = (math.cos(pitch) * math.cos(heading), math.cos(pitch) * math.sin(heading), -math.sin(pitch))
    rotation = look_rotation(way.new_tensor(ahead), way.new_tensor((0.0, 0.0, 1.0)))
    return replace(camera, rotation=rotation, translation_m=-rotation @ camera.position_world)


def region(
    frames: Frames, camera: Camera, points_cam: Float[Tensor, "point 3"]
) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    """Return centre and scale of the least square about the first point's pixel that holds all, with the margin.

    In the units of `sightline.perspective.stn.Region`; no larger than the picture.
    """
    px, _ = camera.project(points_cam)
    half = float((px - px[0]).abs().max())
    scale = min(2 * frames.margin * half / frames.side_px, 1.0)
    return (2 * px[0] / frames.side_px - 1).numpy(), np.full(2, scale)


def _unit(vector: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return vector / np.linalg.norm(vector)
