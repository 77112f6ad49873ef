"""Scenes of planes, spheres and capsules under smooth textures, ray-cast exactly: the truth that crops are held to.

A scene stands in the frame of a camera at its origin (metres; x right, y down, z forward) and gives a colour, 0 to 255,
for any ray. So any camera at that place can take a picture of it: a pinhole, a lens with distortion, a fisheye, or the
virtual camera of a perspective crop. Nothing here knows how Sightline crops.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sightline.camera import Camera

Paint = Callable[[Tensor], Tensor]
"""Colours (n, 3), 0 to 255, of points (n, 3), m; for the sky of unit rays."""
Point = Sequence[float] | Tensor
RAYS_AT_ONCE = 1 << 18


class Surface(Protocol):
    """What a scene is made of."""

    @property
    def paint(self) -> Paint: ...

    def hit(self, origins: Tensor, rays: Tensor) -> Tensor:
        """How far (m) along unit rays (n, 3) from origins (n, 3) the surface is first met; inf where it is not."""
        ...


@dataclass(frozen=True)
class Plane:
    """A plane without end through a point; the normal, of any length, points to the side it is looked at from."""

    point: Point
    normal: Point
    paint: Paint

    def hit(self, origins: Tensor, rays: Tensor) -> Tensor:
        normal = torch.as_tensor(self.normal, dtype=rays.dtype)
        approach = -rays @ normal
        distance = (origins - torch.as_tensor(self.point, dtype=rays.dtype)) @ normal / approach
        return torch.where((approach > 0) & (distance > 0), distance, math.inf)


@dataclass(frozen=True)
class Capsule:
    """All points within a radius (m) of a segment, seen from outside; a sphere where start and end are one point."""

    start: Point
    end: Point
    radius: float
    paint: Paint

    def hit(self, origins: Tensor, rays: Tensor) -> Tensor:
        start, end = self._ends(rays)
        distance = torch.full_like(rays[:, 0], math.inf)
        to_middle = (start + end) / 2 - origins
        along = (to_middle * rays).sum(-1)
        reach = self.radius + (end - start).norm() / 2
        near = (to_middle.square().sum(-1) - along.square() < reach**2) & (along > -reach)
        if near.any():
            origins, rays = (origins.expand_as(rays)[near], rays[near])
            distance[near] = torch.minimum(_enters_ball(origins - start, rays, self.radius), self._side(origins, rays))
            distance[near] = torch.minimum(distance[near], _enters_ball(origins - end, rays, self.radius))
        return distance

    def normals(self, points: Tensor) -> Tensor:
        """Unit normals (n, 3) of points on the capsule."""
        start, end = self._ends(points)
        share = (points - start) @ (end - start) / (end - start).square().sum().clamp_min(1e-12)
        return torch.nn.functional.normalize(points - start - share.clamp(0, 1)[:, None] * (end - start), dim=-1)

    def _side(self, origins: Tensor, rays: Tensor) -> Tensor:
        """Where the cylinder between the ends is entered: a quadratic in the plane across its axis."""
        start, end = self._ends(rays)
        length = (end - start).norm().clamp_min(1e-12)
        axis, origins = (end - start) / length, origins - start
        rise, height = rays @ axis, origins @ axis
        across, beside = rays - rise[:, None] * axis, origins - height[:, None] * axis
        distance = _enters_ball(beside, across, self.radius)
        height = height + rise * distance
        return torch.where((height > 0) & (height < length), distance, math.inf)

    def _ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        return torch.as_tensor(self.start, dtype=like.dtype), torch.as_tensor(self.end, dtype=like.dtype)


def _enters_ball(origins: Tensor, rays: Tensor, radius: float) -> Tensor:
    """The smaller t > 0 with |origin + t · ray| = radius; inf where there is none. Rays of any length."""
    a, half_b = rays.square().sum(-1), (origins * rays).sum(-1)
    discriminant = half_b.square() - a * (origins.square().sum(-1) - radius**2)
    distance = (-half_b - discriminant.clamp_min(0).sqrt()) / a
    return torch.where((discriminant > 0) & (distance > 0), distance, math.inf)


@dataclass(frozen=True)
class Scene:
    """Surfaces before a sky."""

    surfaces: Sequence[Surface]
    sky: Paint

    def render(self, rays: Tensor) -> Tensor:
        """Colours (n, 3), 0 to 255, of what unit rays (n, 3) from the camera meet first."""
        return torch.cat([self._render(part) for part in rays.split(RAYS_AT_ONCE)])

    def nearest(self, rays: Tensor) -> tuple[Tensor, Tensor]:
        """Index (n,) of the surface each ray meets first and the distance (m); −1 and inf for the sky."""
        nearest = torch.full_like(rays[:, 0], math.inf)
        index = torch.full(rays.shape[:1], -1)
        for i, surface in enumerate(self.surfaces):
            distance = surface.hit(torch.zeros_like(rays[:1]), rays)
            index[distance < nearest] = i
            nearest = torch.minimum(nearest, distance)
        return index, nearest

    def _render(self, rays: Tensor) -> Tensor:
        colours = self.sky(rays)
        index, distance = self.nearest(rays)
        for i, surface in enumerate(self.surfaces):
            seen = index == i
            colours[seen] = surface.paint(rays[seen] * distance[seen, None])
        return colours


def picture(
    scene: Scene,
    camera: Camera | Tensor,
    size_wh: tuple[int, int],
    cam_from_camera: Tensor | None = None,
    samples: int = 1,
) -> Tensor:
    """Take a picture (3, h, w), 0 to 255, of a scene; black where the lens sees nothing.

    Args:
        scene: what is seen.
        camera: its lens, or K of a pinhole.
        size_wh: width and height, px.
        cam_from_camera: how the camera is turned in the scene's frame; None is not at all.
        samples: rays per pixel along each axis, whose colours are averaged; 1 looks through the pixel's centre.
    """
    width, height = size_wh
    columns = (torch.arange(width * samples, dtype=torch.float64) + 0.5) / samples
    rows = (torch.arange(height * samples, dtype=torch.float64) + 0.5) / samples
    points_px = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).flatten(0, 1)
    if isinstance(camera, Camera):
        rays, seen = camera.unproject(points_px)
    else:
        rays = torch.cat([points_px, torch.ones_like(columns[:1]).expand(len(points_px), 1)], -1)
        rays = torch.nn.functional.normalize(rays @ torch.linalg.inv(camera.double()).mT, dim=-1)
        seen = torch.ones(len(rays), dtype=torch.bool)
    if cam_from_camera is not None:
        rays = rays @ cam_from_camera.double().mT
    colours = torch.zeros_like(rays)
    colours[seen] = scene.render(rays[seen])
    image = colours.mT.unflatten(-1, (height * samples, width * samples))
    return torch.nn.functional.avg_pool2d(image, samples)


def waves(shortest_m: float, longest_m: float, seed: int, count: int = 6) -> Paint:
    """A smooth texture, different for each seed: plane waves through space, no shorter than `shortest_m`.

    Used as a sky, the lengths are those of chords of the unit sphere.
    """
    chance = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(3, count, 3, generator=chance, dtype=torch.float64), dim=-1)
    spread = torch.rand(3, count, 1, generator=chance, dtype=torch.float64)
    numbers = directions * (2 * math.pi / (shortest_m * (longest_m / shortest_m) ** spread))
    phases = 2 * math.pi * torch.rand(3, count, generator=chance, dtype=torch.float64)

    def paint(points: Tensor) -> Tensor:
        angles = torch.einsum("cwk,nk->ncw", numbers.to(points.dtype), points) + phases.to(points.dtype)
        return 127.5 + 120.0 * angles.sin().mean(-1)

    return paint


def furnished_room(shortest_m: float = 0.3, longest_m: float = 1.5) -> Scene:
    """A room of 9 × 5 × 9 m around the camera, with balls and beams in every direction, all under smooth textures."""

    def paint(seed: int) -> Paint:
        return waves(shortest_m, longest_m, seed)

    walls = [
        Plane((4.5 * x, 2.5 * y, 4.5 * z), (-x, -y, -z), paint(i))
        for i, (x, y, z) in enumerate([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
    ]
    things = [
        Capsule((0.4, 0.3, 3.2), (0.4, 0.3, 3.2), 0.5, paint(10)),
        Capsule((2.6, 0.1, 2.2), (2.6, 0.1, 2.2), 0.45, paint(11)),
        Capsule((2.2, 1.4, 2.0), (2.9, 1.9, 2.6), 0.3, paint(12)),
        Capsule((-2.4, -1.2, 2.6), (-2.0, 0.9, 2.2), 0.35, paint(13)),
        Capsule((-0.9, 1.0, 3.0), (-0.4, -0.8, 3.4), 0.25, paint(14)),
        Capsule((2.7, -1.3, 1.9), (3.1, -1.6, 2.4), 0.4, paint(15)),
    ]
    return Scene([*walls, *things], sky=paint(20))
