"""What each pixel of a scene sees, found in three ways: as Sightline draws, by ray casting, and by a z-buffer in NumPy.

The twins do as one would without Sightline: the one builds a tree of boxes over the triangles and sends a ray through
every pixel; the other spreads the triangles over the pixels of their boxes and keeps the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int

from sightline.synth.drawing import Triangles, draw, joined, triangles, unit_rays, warp
from sightline.synth.scene import Scene

_FARTHEST_M: Final = 1e6
_CHUNK: Final = 2_000_000


@dataclass(frozen=True, eq=False)
class Visible:
    """The row of the nearest face of people and things at each pixel's centre (−1), and its depth (z, m; inf)."""

    face: Int[np.ndarray, "height width"]
    depth_m: Float[np.ndarray, "height width"]


def _shared(array: np.ndarray, kind: Any) -> Any:
    """Hand an array over to warp without a copy."""
    return warp().array(np.ascontiguousarray(array), dtype=kind, device="cpu", copy=False)


def drawn_visible(scene: Scene) -> Visible:
    """Find it as the renderer does."""
    rays = unit_rays(scene.camera)
    seen = draw(mesh_of(scene), rays)
    return _visible(seen.face, seen.along, rays)


def ray_cast_visible(scene: Scene) -> Visible:
    """Find it with warp's `Mesh` and `mesh_query_ray`, in single precision; what is cut away is passed through."""
    wp = warp()
    from sightline.bench.render_kernels import cast_rays

    mesh, rays = mesh_of(scene), unit_rays(scene.camera)
    points = _shared(mesh.points_cam.astype(np.float32), wp.vec3f)
    tree: Any = wp.Mesh(points=points, indices=_shared(mesh.faces.ravel().astype(np.int32), wp.int32))
    size = rays.shape[:2]
    along, face = np.full(size, np.inf, dtype=np.float32), np.full(size, -1, dtype=np.int32)
    inputs = [
        tree.id, _shared(mesh.faces.astype(np.int32), wp.vec3i), _shared(mesh.cut.astype(np.float32), wp.float32),
        _shared(rays.astype(np.float32), wp.vec3f), _FARTHEST_M, _shared(along, wp.float32), _shared(face, wp.int32),
    ]  # fmt: skip
    wp.launch(cast_rays, dim=size, inputs=inputs, device="cpu")
    face = np.where(face >= 0, mesh.rows[np.maximum(face, 0)], -1)
    return _visible(face, along.astype(np.float64), rays)


def z_buffer_visible(scene: Scene) -> Visible:
    """Find it in NumPy: candidates are the pixels in the box of each triangle, tested by the rays' shares."""
    mesh, rays = mesh_of(scene), unit_rays(scene.camera)
    height, width = rays.shape[:2]
    corners = mesh.points_px[mesh.faces]
    low = np.ceil(np.clip(corners.min(1) - mesh.pad_px[:, None] - 0.5, 0, [width, height])).astype(np.int64)
    high = np.floor(np.clip(corners.max(1) + mesh.pad_px[:, None] - 0.5, -1, [width - 1, height - 1])).astype(np.int64)
    extent = np.maximum(high - low + 1, 0)
    count = extent.prod(1)
    buffers = np.full(height * width, np.inf), np.full(height * width, -1)
    parts = np.cumsum(count) // _CHUNK
    for rows in np.split(np.arange(len(count)), np.flatnonzero(np.diff(parts)) + 1):
        own = np.repeat(rows, count[rows])
        place = np.arange(len(own)) - np.repeat(np.cumsum(count[rows]) - count[rows], count[rows])
        x, y = low[own, 0] + place % extent[own, 0], low[own, 1] + place // extent[own, 0]
        _lay(mesh, own, rays.reshape(-1, 3), y * width + x, buffers)
    return _visible(buffers[1].reshape(height, width), buffers[0].reshape(height, width), rays)


def _lay(
    mesh: Triangles,
    own: Int[np.ndarray, " candidate"],
    rays: Float[np.ndarray, "pixel 3"],
    pixel: Int[np.ndarray, " candidate"],
    buffers: tuple[Float[np.ndarray, " pixel"], Int[np.ndarray, " pixel"]],
) -> None:
    """Keep the nearest of candidates (a triangle and a pixel) in the buffers of distance along the ray and of face."""
    a, b, c = (mesh.points_cam[mesh.faces[:, corner]] for corner in range(3))
    ray = rays[pixel]
    shares = np.stack([(ray * side[own]).sum(-1) for side in (np.cross(b, c), np.cross(c, a), np.cross(a, b))], axis=-1)
    total = shares.sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (a * np.cross(b, c)).sum(-1)[own] / total
    met = ((shares >= 0).all(-1) | (shares <= 0).all(-1)) & (total != 0) & (along > 0)
    met &= (shares * mesh.cut[mesh.faces[own]]).sum(-1) * np.sign(total) >= 0
    pixel, along, own = pixel[met], along[met], own[met]
    order = np.lexsort((along, pixel))
    pixel, along, own = pixel[order], along[order], own[order]
    first = np.append(True, pixel[1:] != pixel[:-1])[: len(pixel)]
    pixel, along, own = pixel[first], along[first], own[first]
    closer = along < buffers[0][pixel]
    buffers[0][pixel[closer]], buffers[1][pixel[closer]] = along[closer], mesh.rows[own[closer]]


def mesh_of(scene: Scene) -> Triangles:
    """Return all people and things of a scene as one mesh before its camera, at moment 0."""
    pieces = [(actor.vertices_world[0], actor.figure.cut, actor.figure.faces) for actor in scene.actors]
    pieces += [(prop.vertices_world, np.zeros(len(prop.vertices_world)), prop.faces) for prop in scene.props]
    parts = []
    for points, cut, faces in pieces:
        points_cam = scene.camera.world_to_camera(torch.from_numpy(np.asarray(points, np.float64))).numpy()
        parts.append(triangles(scene.camera, points_cam, np.asarray(cut, np.float64), faces))
    starts = np.cumsum([0, *(len(faces) for *_, faces in pieces)])[:-1]
    return joined(parts, [int(start) for start in starts])


def _visible(
    face: Int[np.ndarray, "height width"],
    along: Float[np.ndarray, "height width"],
    rays: Float[np.ndarray, "height width 3"],
) -> Visible:
    with np.errstate(invalid="ignore"):
        depth = np.where(np.isfinite(along), along * rays[..., 2], np.inf)
    return Visible(face, depth)
