"""People before a camera, an engine and weights of a prior made by hand, for the tests of Lifting from the Deep."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from deeplift_world import DOUBLE, headings, poses
from sightline.camera import Camera
from sightline.formats.weights import write_weights
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.methods.deeplift.prior import PosePrior
from sightline.methods.deeplift.weights import PriorConfig, prior_config, prior_tensors
from sightline.skeleton import conversion, get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

LEVEL = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=DOUBLE)
CAMERA = Camera.create(
    image_size=(1280, 720),
    focal_px=1000.0,
    rotation=LEVEL,
    translation_m=-LEVEL @ torch.tensor([0.0, 0.0, 1.4], dtype=DOUBLE),
)


def in_the_scene(count: int = 6) -> torch.Tensor:
    """Procedural people 3 to 6 m before the camera, metres, the camera's frame."""
    joints = poses(count, seed=21) @ headings(count, 3).mT
    place = torch.stack([torch.linspace(-1.2, 1.2, count), torch.full((count,), 3.0) + torch.arange(count) / 2], 1)
    joints = joints + torch.cat([place, torch.full((count, 1), 0.95)], dim=1).double()[:, None]
    return CAMERA.world_to_camera(joints)


def keypoints_of(joints_cam: torch.Tensor, skeleton: str = "h36m17") -> Keypoints:
    pixels = CAMERA.project(joints_cam)[0].numpy()
    source = get_skeleton("h36m17")
    target = get_skeleton(skeleton)
    if skeleton != "h36m17":
        pixels, _ = conversion(source, target).apply(pixels, np.ones(pixels.shape[:2]))
    confidence = np.where(np.isnan(pixels[..., 0]), 0.0, 0.9)
    people = tuple(
        PersonKeypoints(id=row, keypoints_px=pixels[row], confidence=confidence[row]) for row in range(len(pixels))
    )
    frames = (KeypointFrame(index=0, people=people),)
    return Keypoints(skeleton=target, image_size=(1280, 720), frames=frames)


def engine_of(prior: PosePrior) -> DeepLiftEngine:
    return DeepLiftEngine(prior, PriorConfig(orientation="upright", size_m=1.08, size_spread=0.05, stature_m=1.7))


def written(prior: PosePrior, folder: Path, name: str = "own", **changes: object) -> Path:
    config = replace(prior_config(prior), **changes)  # pyright: ignore[reportArgumentType]
    write_weights(
        prior_tensors(prior),
        folder,
        name=name,
        method="deeplift",
        licence="CC0",
        trained_on="procedural poses",
        recipe={},
        model=asdict(config),
        expected={},
        command="tests",
        date="2026-01-01",
        version="0",
    )
    return folder / f"{name}.json"
