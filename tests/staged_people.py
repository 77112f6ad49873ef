"""Made-up films with known truth for the viewers' tests: people who stand and walk on a floor before a camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.skeleton import Skeleton, conversion, get_skeleton
from sightline.structures import ModelInfo, Person, PoseFrame, Poses, Scale, World

H36M = get_skeleton("h36m17")
LANDSCAPE = Camera.create((1920, 1080), 1500.0)
SQUARE = Camera.create((1000, 1000), 1150.0)
PORTRAIT = Camera.create((1088, 1920), 1681.0)
FISHEYE = Camera.create((1280, 1280), 400.0, distortion=Distortion.create("kannala_brandt", [-0.01, 0.002, 0.0, 0.0]))

# A standing person who looks ahead (+y), z up, in metres, with the right side at +x.
STANDING = {
    "Hip": (0.0, 0.0, 0.92), "RHip": (0.12, 0.0, 0.92), "RKnee": (0.12, 0.03, 0.5), "RAnkle": (0.12, 0.0, 0.08),
    "LHip": (-0.12, 0.0, 0.92), "LKnee": (-0.12, 0.03, 0.5), "LAnkle": (-0.12, 0.0, 0.08), "Spine": (0.0, 0.01, 1.17),
    "Thorax": (0.0, 0.0, 1.42), "Nose": (0.0, 0.08, 1.5), "Head": (0.0, 0.04, 1.62), "LShoulder": (-0.17, 0.0, 1.4),
    "LElbow": (-0.24, 0.0, 1.12), "LWrist": (-0.24, 0.1, 0.9), "RShoulder": (0.17, 0.0, 1.4),
    "RElbow": (0.24, 0.0, 1.12), "RWrist": (0.24, 0.1, 0.9),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Walker:
    """Where a person starts (m right of and before the camera), looks (rad from ahead to the right) and walks (m/s)."""

    x: float = 0.0
    z: float = 4.0
    heading: float = np.pi
    speed: float = 0.0


def standing_cam(x: float, z: float, heading: float = np.pi, height: float = 1.4, pitch: float = 0.0) -> np.ndarray:
    """Joints (camera frame, m) of a person on the floor below a camera at `height`, which looks down by `pitch` rad."""
    body = np.array([STANDING[joint] for joint in H36M.joints])
    c, s = np.cos(heading), np.sin(heading)
    right, ahead = body[:, 0] * c + body[:, 1] * s + x, body[:, 1] * c - body[:, 0] * s + z
    level = np.stack([right, height - body[:, 2], ahead], axis=-1)
    c, s = np.cos(pitch), np.sin(pitch)
    return level @ np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]).T


def person(joints_cam: np.ndarray, camera: Camera, ident: int | None = 0, noise_px: float = 2.0) -> Person:
    """The person with keypoints that nearly fit; joints outside the lens have none."""
    points_px, valid = (part.numpy() for part in camera.project(torch.tensor(joints_cam)))
    seen = valid & np.isfinite(joints_cam).all(axis=-1)
    rng = np.random.default_rng(0 if ident is None else ident)
    points_px = np.where(seen[:, None], points_px + rng.normal(0.0, noise_px, points_px.shape), np.nan)
    return Person(
        joints_cam_m=joints_cam, keypoints_px=points_px, confidence=0.9 * seen, score=0.9, root_depth_canonical=None,
        id=ident, sigma_m=np.full(joints_cam.shape, 0.05),
    )  # fmt: skip


def poses(
    people: Sequence[Person] | Sequence[Sequence[Person]],
    camera: Camera = LANDSCAPE,
    *,
    skeleton: Skeleton = H36M,
    world: World | None = None,
    fps: float | None = 30.0,
    file: str | None = "street.mp4",
    note: str | None = None,
) -> Poses:
    """One frame of these people, or several where `people` holds several groups."""
    groups = [people] if not people or isinstance(people[0], Person) else people
    frames = tuple(
        PoseFrame(index=k, people=tuple(group), time_s=k / 30.0, file=file)  # pyright: ignore[reportArgumentType]
        for k, group in enumerate(groups)
    )
    scale = Scale(source="calibrated_focal", body="learned", note=note)
    return Poses(
        skeleton=skeleton, camera=camera, scale=scale, model=ModelInfo(method="abspose"), frames=frames, fps=fps,
        world=world,
    )  # fmt: skip


def film(
    count: int, walkers: Sequence[Walker], camera: Camera = LANDSCAPE, *, height: float = 1.4, pitch: float = 0.0,
    noise_m: float = 0.0, **options: object,
) -> Poses:  # fmt: skip
    """`count` frames of walking people at 30 a second."""
    rng = np.random.default_rng(0)
    groups = []
    for frame in range(count):
        group = []
        for ident, walker in enumerate(walkers):
            way = walker.speed * frame / 30.0
            x, z = walker.x + np.sin(walker.heading) * way, walker.z + np.cos(walker.heading) * way
            joints = standing_cam(x, z, walker.heading, height, pitch)
            group.append(person(joints + rng.normal(0.0, noise_m, joints.shape), camera, ident))
        groups.append(group)
    return poses(groups, camera, **options)  # pyright: ignore[reportArgumentType]


def in_skeleton(name: str) -> Poses:
    """One person, in another joint set."""
    rule = conversion("h36m17", name)
    joints, _ = rule.apply(standing_cam(0.0, 4.0))
    return poses([person(joints, LANDSCAPE)], skeleton=get_skeleton(name))
