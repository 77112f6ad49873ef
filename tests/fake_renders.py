"""Small pictures with truth that cost nothing to make: what writers and readers of rendered sets are tested with.

A function of the number alone, top-level and importable, so that processes can be sent it; and a set of such pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.synth.dataset import Credit, Written, write_set
from sightline.synth.rendered import Rendered, RenderedPerson

LENSES = (
    None,
    Distortion.create("brown_conrady", [-0.1, 0.02], [0.001, -0.002]),
    Distortion.create("brown_conrady", [0.1, 0.02, 0.0, 0.1], None, [0.001, 0.0, 0.002, 0.0]),
    Distortion.create("human36m", [-0.1, 0.02, 0.003]),
    Distortion.create("kannala_brandt", [0.01, 0.02, 0.003, 0.0]),
)


def fake_camera(index: int, size: tuple[int, int], rng: np.random.Generator) -> Camera:
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    placed = {"rotation": turned * np.linalg.det(turned), "translation_m": rng.normal(size=3)} if index % 7 else {}
    center = np.array(size) / 2 + rng.normal(size=2)
    return Camera.create(size, rng.uniform(50, 80, 2), center, distortion=LENSES[index % len(LENSES)], **placed)


def fake_person(camera: Camera, rng: np.random.Generator) -> RenderedPerson:
    landmarks_cam = rng.normal(size=(64, 3)) * 0.3 + [0, 0, 4]
    landmarks_px = camera.project(_tensor(landmarks_cam))[0].numpy()
    nobody = rng.random() < 0.2
    return RenderedPerson(
        landmarks_cam=landmarks_cam,
        landmarks_px=landmarks_px,
        hidden_by=rng.integers(0, 16, 64, dtype=np.uint8),
        box_px=np.full(4, np.nan) if nobody else np.sort(rng.uniform(0, 32, 4)),
        whole_box_px=np.sort(rng.uniform(0, 32, 4)),
        seen_px=0 if nobody else int(rng.integers(1, 500)),
        whole_px=int(rng.integers(500, 900)),
        rotations_cam=rng.normal(size=(5, 3, 3)),
        root_cam=rng.normal(size=3),
        shape=rng.random(6),
        stature_m=float(rng.uniform(1.0, 2.0)),
    )


@dataclass(frozen=True, kw_only=True)
class FakeRenders:
    """Renders nothing, quickly; the last two pictures of every ten have nobody in them."""

    size: tuple[int, int] = (32, 24)
    sizes_differ: bool = False
    seconds: float = 0.0
    breaks_at: int | None = None
    seed: int = 0

    def __call__(self, index: int) -> Rendered:
        if index == self.breaks_at:
            raise ValueError(f"picture {index}: cannot be rendered")
        time.sleep(self.seconds)
        rng = np.random.default_rng((self.seed, index))
        width, height = self.size[0] + (index % 3 if self.sizes_differ else 0), self.size[1]
        camera = fake_camera(index, (width, height), rng)
        depth_m = rng.uniform(0.5, 9.0, (height, width)).astype(np.float32)
        depth_m[rng.random((height, width)) < 0.3] = np.inf
        return Rendered(
            image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            depth_m=depth_m,
            mask=rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (height, width)),
            people=tuple(fake_person(camera, rng) for _ in range(0 if index % 10 > 7 else 1 + index % 3)),
            camera=camera,
        )


def _tensor(array: np.ndarray):
    import torch

    return torch.from_numpy(array)


COUNT, SHARD = 21, 8
MAKE = FakeRenders()
CREDITS = (Credit(what="people", licence="CC0", source="nowhere", notice="Thanks."),)


def written(folder: Path, make: Callable[[int], Rendered] = MAKE, count: int = COUNT, **changes: Any) -> Written:
    """Write a set of fake pictures, or go on with one."""
    options: dict[str, Any] = {"seed": 3, "config": {"sizes": (1, 2), "name": "fake"}, "shard_size": SHARD}
    options |= {"credits": CREDITS}
    return write_set(folder, make, count, **(options | changes))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
