"""The sample clip inside the package: two people of the training motion capture before one virtual camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from sightline.camera import Camera
from sightline.data.mocap import resampled
from sightline.data.motion_library import MotionLibrary
from sightline.errors import InputError
from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

FPS = 30.0
SECONDS = 10.0
IMAGE_SIZE = (1280, 720)


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One person of the scene: which clip, from which second, where on the floor, turned by how much."""

    clip: str
    start_s: float
    place_m: tuple[float, float]
    """(x, z): metres to the right of the camera and in front of it."""
    heading_rad: float


ACTORS = (
    Actor(clip="cmu_daz/13_18", start_s=0.0, place_m=(-0.85, 3.5), heading_rad=0.3),
    Actor(clip="cmu_native/directing_traffic_1", start_s=0.0, place_m=(1.05, 4.6), heading_rad=1.25),
)


def demo_camera() -> Camera:
    """A camera of 1280 × 720 at 1.5 m above the floor, looking 6° down."""
    pitch = math.radians(6.0)
    cam_from_level = torch.tensor(
        [[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]], dtype=torch.float64
    )
    level_from_world = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    rotation = cam_from_level @ level_from_world
    return Camera.create(
        image_size=IMAGE_SIZE,
        focal_px=1050.0,
        rotation=rotation,
        translation_m=-rotation @ torch.tensor([0.0, 0.0, 1.5], dtype=torch.float64),
    )


def demo_keypoints(library: MotionLibrary, actors: tuple[Actor, ...] = ACTORS) -> Keypoints:
    """Project ten seconds of the actors' clips through the demo's camera, to a tenth of a pixel.

    Raises:
        InputError: if the library lacks a clip, the clip is too short or not of the training split.
    """
    camera = demo_camera()
    tracks = [
        camera.project(camera.world_to_camera(torch.from_numpy(_placed(library, actor))))[0].numpy() for actor in actors
    ]
    skeleton = get_skeleton("h36m17")
    confidence = np.ones(len(skeleton))
    frames = tuple(
        KeypointFrame(
            index=index,
            people=tuple(
                PersonKeypoints(id=number, keypoints_px=np.round(track[index], 1), confidence=confidence)
                for number, track in enumerate(tracks)
            ),
        )
        for index in range(int(SECONDS * FPS))
    )
    return Keypoints(skeleton=skeleton, image_size=IMAGE_SIZE, fps=FPS, frames=frames)


def _placed(library: MotionLibrary, actor: Actor) -> np.ndarray:
    """Return the actor's joints in the scene's world (m, z up): feet on the floor, centred on their place."""
    if actor.clip not in library.names:
        raise InputError(f"the motion library has no clip '{actor.clip}', which the demo's scene needs")
    number = library.names.index(actor.clip)
    if library.splits[number] != "train":
        raise InputError(f"clip '{actor.clip}' is not of the training split, and the demo may show no other")
    joints = resampled(np.asarray(library.clip(number), dtype=np.float64), library.fps, FPS)
    start, count = round(actor.start_s * FPS), int(SECONDS * FPS)
    if len(joints) < start + count:
        raise InputError(f"clip '{actor.clip}' has {len(joints)} frames at {FPS:g} Hz; the demo needs {start + count}")
    joints = joints[start : start + count]
    cosine, sine = math.cos(actor.heading_rad), math.sin(actor.heading_rad)
    joints = joints @ np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]).T
    low, high = joints[:, 0, :2].min(0), joints[:, 0, :2].max(0)
    floor = np.quantile(joints[:, (3, 6), 2].min(1), 0.05) - 0.08
    return joints - np.array([*(low + high) / 2, floor]) + np.array([*actor.place_m, 0.0])
