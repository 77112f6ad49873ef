"""Cameras and points that the tests of the camera share."""

from __future__ import annotations

from dataclasses import replace

import roma
import torch
from torch import Tensor

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.geometry.rotation import axis_rotation

LENSES: dict[str, Distortion | None] = {
    "pinhole": None,
    "brown_conrady": Distortion.create("brown_conrady", [-0.28, 0.09, -0.01], [0.0011, -0.0007]),
    "rational_prism": Distortion.create(
        "brown_conrady", [0.4, 0.1, -0.02, 0.6, 0.2, 0.01], [0.002, -0.001], [0.003, -0.001, 0.002, 0.0015]
    ),
    "human36m": Distortion.create("human36m", [-0.2077, 0.2475, -0.0031], [-0.0009, -0.0016]),
    "kannala_brandt": Distortion.create("kannala_brandt", [0.03, -0.02, 0.006, -0.0008]),
}
WORLD_ROTATION = roma.random_rotmat(1, dtype=torch.float64, generator=torch.Generator().manual_seed(5))[0]
MIRROR = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)


def camera(lens: str = "brown_conrady", focal: tuple[float, float] = (1145.0, 1131.0)) -> Camera:
    """An off-centre camera with a place in the world."""
    return Camera.create(
        (1000, 1002),
        focal,
        (512.5, 487.25),
        distortion=LENSES[lens],
        rotation=WORLD_ROTATION,
        translation_m=[0.3, -1.2, 4.5],
    )


def people(*batch: int, count: int = 17) -> Tensor:
    """Points about 4 m before the camera, inside its picture or near it."""
    return torch.randn(*batch, count, 3, dtype=torch.float64) * 0.7 + torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64)


def varied(count: int = 4) -> Camera:
    """A batch of different cameras, lenses included."""
    one = camera()
    return Camera.stack(
        [
            replace(one, focal_px=one.focal_px * (1 + 0.1 * i), rotation=axis_rotation("y", one.focal_px[0] * 0 + i))
            for i in range(count)
        ]
    )
