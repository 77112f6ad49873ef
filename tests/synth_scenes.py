"""Small scenes for tests of the renderer: people made of balls, so that no body model is needed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from sightline.camera import Camera
from sightline.geometry.rotation import look_rotation
from sightline.landmarks import ALL_LANDMARKS
from sightline.synth.figure import PARTS, Actor, Figure, Material
from sightline.synth.scene import Backdrop, Ground, Light, Prop, Scene

RED = Material(kind="plain", colours=((0.6, 0.05, 0.05),))
GREEN = Material(kind="plain", colours=((0.05, 0.5, 0.1),))


def ball(centre: tuple[float, float, float], radius: float, steps: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A closed triangulated sphere, anticlockwise seen from outside."""
    rings, columns = steps, 2 * steps
    theta = np.linspace(0, np.pi, rings + 1)[1:-1]
    phi = np.arange(columns) * 2 * np.pi / columns
    t, p = np.meshgrid(theta, phi, indexing="ij")
    middle = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], -1).reshape(-1, 3)
    points = np.concatenate([[[0, 0, 1.0]], middle, [[0, 0, -1.0]]])
    at = lambda ring, column: 1 + ring * columns + column % columns  # noqa: E731
    faces = [(0, at(0, c), at(0, c + 1)) for c in range(columns)]
    for r in range(rings - 2):
        for c in range(columns):
            faces += [(at(r, c), at(r + 1, c), at(r + 1, c + 1)), (at(r, c), at(r + 1, c + 1), at(r, c + 1))]
    faces += [(len(points) - 1, at(rings - 2, c + 1), at(rings - 2, c)) for c in range(columns)]
    return points * radius + np.asarray(centre), np.array(faces, dtype=np.int32)


def ball_person(place: tuple[float, float] = (0.0, 0.0), material: Material = RED, **changes: Any) -> Actor:
    """A head above a trunk at (x, y); landmarks lie in the trunk's middle, a few of the head's in the head's."""
    parts = [ball((*place, 0.8), 0.25), ball((*place, 1.4), 0.15)]
    vertices = np.concatenate([points for points, _ in parts]).astype(np.float32)
    faces = np.concatenate([parts[0][1], parts[1][1] + len(parts[0][0])]).astype(np.int32)
    part = np.repeat([PARTS.index("trunk"), PARTS.index("head")], [len(f) for _, f in parts]).astype(np.int32)
    count = len(vertices)
    figure = Figure(
        vertices=vertices,
        skin_bones=np.zeros((count, 1), np.int32),
        skin_weights=np.ones((count, 1), np.float32),
        faces=faces,
        material_of_face=np.zeros(len(faces), np.int32),
        part_of_face=part,
        canonical=vertices,
        cut=np.zeros(count, np.float32),
        mark=np.zeros(count, np.float32),
        materials=(material,),
        joints=np.zeros((1, 3), np.float32),
        parents=(-1,),
        body_vertices=count,
        shape=np.full(6, 0.5, np.float32),
        stature_m=1.72,
    )
    figure = dataclasses.replace(figure, **changes)
    head = [name in ("MidHead", "HeadTop", "Nose") for name in ALL_LANDMARKS]
    landmarks = np.where(np.array(head)[:, None], [*place, 1.4], [*place, 0.8])
    return Actor(
        figure=figure,
        vertices_world=vertices[None],
        landmarks_world=landmarks,
        rotations=np.eye(3)[None],
        root_world=np.array([*place, 0.8]),
    )


def board(centre: tuple[float, float, float], half: float = 0.3) -> Prop:
    """An upright square board that faces along y."""
    x, y, z = centre
    points = np.array(
        [[x - half, y, z - half], [x + half, y, z - half], [x + half, y, z + half], [x - half, y, z + half]]
    )
    return Prop(vertices_world=points, faces=np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32), material=GREEN)


def camera_at(
    place: tuple[float, float, float] = (0.4, -3.0, 1.3),
    target: tuple[float, float, float] = (0.0, 0.0, 0.9),
    size: tuple[int, int] = (64, 48),
    **arguments: Any,
) -> Camera:
    """A camera that looks at a point of the world."""
    forward = torch.tensor(target, dtype=torch.float64) - torch.tensor(place, dtype=torch.float64)
    rotation = look_rotation(forward, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    arguments.setdefault("focal_px", 1.1 * size[0])
    translation = -rotation @ torch.tensor(place, dtype=torch.float64)
    return Camera.create(image_size=size, rotation=rotation, translation_m=translation, **arguments)


def scene(*actors: Actor, camera: Camera | None = None, **changes: Any) -> Scene:
    """People before a grey backdrop in plain light, without shadows or floor unless asked for."""
    camera = camera if camera is not None else camera_at()
    back = Camera.create(image_size=(32, 32), focal_px=20.0, rotation=camera.rotation, translation_m=torch.zeros(3))
    picture = np.random.default_rng(3).integers(60, 200, (32, 32, 3)).astype(np.uint8)
    light = Light(
        towards_world=(0.3, -0.5, 0.81),
        lamp=(0.8, 0.8, 0.8),
        sky=(0.3, 0.3, 0.3),
        ground=(0.2, 0.2, 0.2),
        shadows=False,
    )
    values: dict[str, Any] = {
        "camera": camera,
        "actors": actors,
        "backdrop": Backdrop(picture=picture, camera=back),
        "light": light,
        "ground": Ground(kind="none"),
    }
    return Scene(**{**values, **changes})
