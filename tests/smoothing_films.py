"""Made-up people in 3D whose bones keep their lengths, and what a lifter makes of them: jitter, breathing, gaps."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np

from sightline.camera import Camera
from sightline.skeleton import get_skeleton
from sightline.structures import ModelInfo, Person, PoseFrame, Poses, Scale

H36M = get_skeleton("h36m17")
CAMERA = Camera.from_fov((1280, 720), 1.0)
# Rest directions (x right, y down, z away from a camera that sees the person from the front) and lengths in metres.
REST = {
    "RHip": (-1, 0, 0, 0.13), "RKnee": (0, 1, 0, 0.44), "RAnkle": (0, 1, 0, 0.43),
    "LHip": (1, 0, 0, 0.13), "LKnee": (0, 1, 0, 0.44), "LAnkle": (0, 1, 0, 0.43),
    "Spine": (0, -1, 0, 0.25), "Thorax": (0, -1, 0, 0.26), "Nose": (0, -1, -0.2, 0.1), "Head": (0, -1, 0, 0.12),
    "LShoulder": (1, 0, 0, 0.18), "LElbow": (0.3, 1, 0, 0.29), "LWrist": (0, 1, -0.3, 0.25),
    "RShoulder": (-1, 0, 0, 0.18), "RElbow": (-0.3, 1, 0, 0.29), "RWrist": (0, 1, -0.3, 0.25),
}  # fmt: skip


def true_joints(seconds: float, fps: float, seed: int = 0, depth_m: float = 4.0, swing: float = 0.5) -> np.ndarray:
    """A person (frame, joint, 3) who strolls about and swings limbs at 0.3 to 1.2 Hz; metres, camera frame."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * fps)) / fps
    joints = np.zeros((len(time), len(H36M), 3))
    place = [0.5 * np.sin(0.7 * time + seed), np.full(len(time), -0.1), depth_m + 0.6 * np.sin(0.5 * time)]
    joints[:, H36M.root] = np.stack(place, axis=-1)
    for child, parent in H36M.bones:
        *way, length = REST[H36M.joints[child]]
        hz, phase = rng.uniform(0.3, 1.2, 3), rng.uniform(0, 2 * np.pi, 3)
        turned = np.array(way) + swing * np.sin(2 * np.pi * hz * time[:, None] + phase)
        joints[:, child] = joints[:, parent] + length * turned / np.linalg.norm(turned, axis=-1, keepdims=True)
    return joints


def lifted(joints_m: np.ndarray, seed: int = 0, across_m: float = 0.008, depth: float = 0.02) -> np.ndarray:
    """What a lifter makes of it: joints that tremble, more along the view than across, and a distance that does."""
    rng = np.random.default_rng(seed + 100)
    seen = joints_m + rng.normal(0, 1, joints_m.shape) * [across_m, across_m, 3 * across_m]
    return seen * np.exp(rng.normal(0, depth, (len(seen), 1, 1)))


def person(joints_m: np.ndarray, ident: int | None = 0, **more: Any) -> Person:
    """A person at these joints; what is missing (NaN) has confidence 0."""
    gone = np.isnan(joints_m[:, 0])
    pixels = 620.0 * joints_m[:, :2] / joints_m[:, 2:] + [640.0, 360.0]
    depth = joints_m[H36M.root, 2] / 620.0
    return Person(
        joints_cam_m=joints_m,
        keypoints_px=pixels,
        confidence=np.where(gone, 0.0, 0.9),
        score=0.8,
        root_depth_canonical=float(depth) if depth > 0 else None,
        id=ident,
        **more,
    )


def film(joints_m: np.ndarray, fps: float | None = 60.0, ident: int | None = 0, **more: Any) -> Poses:
    """One person's poses as a film."""
    frames = tuple(PoseFrame(index=n, people=(person(pose, ident, **more),)) for n, pose in enumerate(joints_m))
    return Poses(
        skeleton=H36M,
        camera=CAMERA,
        scale=Scale(source="calibrated_focal", body="learned"),
        model=ModelInfo(method="made up"),
        frames=frames,
        fps=fps,
    )


def together(*films: Poses) -> Poses:
    """Films of equal length as one film of all people."""
    frames = tuple(
        replace(group[0], people=tuple(one for frame in group for one in frame.people))
        for group in zip(*(each.frames for each in films), strict=True)
    )
    return replace(films[0], frames=frames)


def without(poses: Poses, gone: Collection[int]) -> Poses:
    """The film without some frames; indexes stay."""
    return replace(poses, frames=tuple(frame for frame in poses.frames if frame.index not in gone))


def joints_of(poses: Poses, ident: int | None = 0) -> np.ndarray:
    return np.array([one.joints_cam_m for _, one in poses.people() if one.id == ident])


def lengths_of(joints_m: np.ndarray) -> np.ndarray:
    child, parent = (list(ends) for ends in zip(*H36M.bones, strict=True))
    return np.linalg.norm(joints_m[:, child] - joints_m[:, parent], axis=-1)
