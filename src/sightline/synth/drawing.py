"""Triangles before a camera: what the ray of every pixel meets first. Any lens, exact to double precision.

No triangle is bent by the lens in what follows: its corners only say which pixels to ask, and each pixel asks with the
ray that its camera gives it. So depth is the mesh's own, and crops of a picture are pictures of the cropped camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int

from sightline.camera import Camera
from sightline.native_log import without_native_log

_CURVATURE_PX = 1.0
_LARGE_PX = 12.0
"""How far edges may bend outwards under a lens with distortion, of faces up to this size."""
_FAR_PX = 1e6
_STEP_PX, _REACH, _SMOOTH = 4, 16, 40
"""Of lenses with distortion: every which ray is solved for, how far beyond borders, and how many steps a focal has."""


@dataclass(frozen=True, eq=False)
class Triangles:
    """Triangles of the camera's frame (m), with the pixels of their corners; NaN where a corner cannot be seen."""

    points_cam: Float[np.ndarray, "vertex 3"]
    points_px: Float[np.ndarray, "vertex 2"]
    cut: Float[np.ndarray, " vertex"]
    """Drawn only where this, interpolated over the face, is not negative."""
    faces: Int[np.ndarray, "face 3"]
    rows: Int[np.ndarray, " face"]
    """What a face is called in the answer: its row in the mesh that it comes from."""
    pad_px: Float[np.ndarray, " face"]
    """How far the face may reach beyond the box of its corners, since a lens bends its edges."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """What rays meet first: how far along the unit ray (m; inf), which face (−1), and the corners' shares."""

    along: Float[np.ndarray, "height width"]
    face: Int[np.ndarray, "height width"]
    shares: Float32[np.ndarray, "height width 3"]


@cache
def warp() -> ModuleType:
    """Return the package warp, started quietly. It compiles what is drawn with, once on a machine, for the CPU.

    Raises:
        ModuleNotFoundError: where it is not installed.
    """
    try:
        import warp as wp
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "drawing people needs the package warp-lang; install it: pip install warp-lang"
        ) from error
    wp.config.log_level = wp.LOG_ERROR
    with without_native_log():
        wp.init()
    return wp


def shared(array: np.ndarray, kind: Any) -> Any:
    """Hand an array over to warp without a copy."""
    return warp().array(np.ascontiguousarray(array), dtype=kind, device="cpu", copy=False)


def triangles(
    camera: Camera,
    points_cam: Float[np.ndarray, "vertex 3"],
    cut: Float[np.ndarray, " vertex"],
    faces: Int[np.ndarray, "face 3"],
) -> Triangles:
    """Project corners; faces of which nothing can be seen (cut away, or wholly behind the camera) are left out.

    A face that reaches behind the camera has no outline in the picture; it asks every pixel.
    """
    px = camera.project(torch.from_numpy(points_cam))[0].numpy()
    before, kept = np.isfinite(px[:, 0]), cut >= 0
    rows = np.flatnonzero(_any_corner(kept, faces) & _any_corner(before, faces)).astype(np.int32)
    faces = faces[rows].astype(np.int32)
    torn = _any_corner(~before, faces) if not before.all() else np.zeros(len(faces), dtype=bool)
    if torn.any():
        start, corners = len(points_cam), faces[torn].ravel()
        points_cam, cut = np.concatenate([points_cam, points_cam[corners]]), np.concatenate([cut, cut[corners]])
        px = np.concatenate(
            [px, np.tile([[-_FAR_PX, -_FAR_PX], [_FAR_PX, _FAR_PX], [0.0, 0.0]], (len(corners) // 3, 1))]
        )
        faces[torn] = start + np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    pad = np.zeros(len(faces)) if camera.is_pinhole else _bends(camera, points_cam, px, faces)
    return Triangles(points_cam, px, np.asarray(cut, np.float64), faces, rows, pad)


def _bends(camera: Camera, points: np.ndarray, px: np.ndarray, faces: np.ndarray) -> Float[np.ndarray, " face"]:
    """How far the edges of faces bend (px): asked of the middles of large ones, a pixel for the others."""
    corners = px[faces]
    pads = np.full(len(faces), _CURVATURE_PX)
    large = np.flatnonzero(np.ptp(corners, axis=1).max(-1) > _LARGE_PX)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        middles = (points[faces[large, first]] + points[faces[large, second]]) / 2
        seen = camera.project(torch.from_numpy(middles))[0].numpy()
        a, b = corners[large, first], corners[large, second]
        along = (b - a) / np.maximum(np.linalg.norm(b - a, axis=-1, keepdims=True), 1e-9)
        off = np.abs((seen - a)[:, 0] * along[:, 1] - (seen - a)[:, 1] * along[:, 0])
        pads[large] = np.maximum(pads[large], np.where(np.isnan(off), _FAR_PX, 2 * off + _CURVATURE_PX))
    return pads


def _any_corner(vertices: Bool[np.ndarray, " vertex"], faces: Int[np.ndarray, "face 3"]) -> Bool[np.ndarray, " face"]:
    if vertices.all():
        return np.ones(len(faces), dtype=bool)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return a | b | c


def unit_rays(camera: Camera, offset_px: tuple[float, float] = (0.0, 0.0)) -> Float[np.ndarray, "height width 3"]:
    """Return the unit rays (camera's frame, double) of all pixels, `offset_px` off their centres.

    Pixels that no ray belongs to (beyond a fisheye's circle) get the zero vector, which meets nothing. Of lenses with
    distortion every fourth ray of each row and column is solved for, and the others follow by polynomials of degree 7,
    which errs by less than 10⁻⁶ px. All are solved for in pictures that are small beside their angle of view, and where
    the lens sees only a part of the picture.
    """
    width, height = (int(n) for n in camera.image_size)
    if camera.is_pinhole:
        wp = warp()
        from sightline.synth.raster_kernels import pinhole_rays

        result = np.empty((height, width, 3))
        center = camera.center_px.double().numpy() - 0.5 - np.asarray(offset_px)
        inputs = [wp.vec2d(*camera.focal_px.double().tolist()), wp.vec2d(*center.tolist()), shared(result, wp.vec3d)]
        wp.launch(pinhole_rays, dim=(height, width), inputs=inputs, device="cpu")
        return result
    places = [np.arange(n) + 0.5 + offset for n, offset in zip((width, height), offset_px, strict=True)]
    knots = [np.arange(-_REACH, n + _REACH + _STEP_PX, _STEP_PX) + 0.5 for n in (width, height)]
    narrow = float(camera.focal_px.min()) >= _SMOOTH * _STEP_PX
    coarse, valid = _solved(camera, *knots) if narrow else (np.zeros(0), np.zeros(1, dtype=bool))
    if not valid.all():
        exact, valid = _solved(camera, *places)
        return np.where(valid[..., None], exact, 0.0)
    across, down = (_interpolating(k, p) for k, p in zip(knots, places, strict=True))
    return np.stack([down @ coarse[..., axis] @ across.T for axis in range(3)], axis=-1)


def _solved(camera: Camera, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit rays of a grid of pixels, by the camera itself, and whether there are any."""
    rays, valid = camera.unproject(torch.from_numpy(np.stack(np.meshgrid(x, y), axis=-1)).to(camera.dtype))
    return rays.double().numpy(), valid.numpy()


def _interpolating(
    knots: Float[np.ndarray, " knot"], places: Float[np.ndarray, " place"]
) -> Float[np.ndarray, "place knot"]:
    """The matrix that takes values at even knots to values between them, by Lagrange's polynomial of eight knots."""
    step = knots[1] - knots[0]
    first = np.clip(np.floor((places - knots[0]) / step).astype(int) - 3, 0, len(knots) - 8)
    matrix = np.zeros((len(places), len(knots)))
    rows = np.arange(len(places))
    t = (places - knots[first]) / step
    for node in range(8):
        others = [other for other in range(8) if other != node]
        matrix[rows, first + node] = np.prod([(t - other) / (node - other) for other in others], axis=0)
    return matrix


def cam_from_world(camera: Camera) -> Float[np.ndarray, "3 3"]:
    """Return a camera's rotation from the world. Raises ValueError where its place is unknown."""
    if camera.rotation is None:
        raise ValueError("camera: its place in the world is unknown; give it rotation and translation_m")
    return camera.rotation.double().numpy()


def draw(
    drawn: Triangles, rays_cam: Float[np.ndarray, "height width 3"], offset_px: tuple[float, float] = (0.0, 0.0)
) -> Drawn:
    """Find what each ray meets first. `offset_px` is the one that the rays were made with."""
    wp = warp()
    from sightline.synth.raster_kernels import draw_triangles

    size = rays_cam.shape[:2]
    along = np.full(size, np.inf)
    face = np.full(size, -1, dtype=np.int32)
    shares = np.zeros((*size, 3), dtype=np.float32)
    inputs = (
        shared(drawn.points_cam, wp.vec3d),
        shared(drawn.points_px - np.asarray(offset_px), wp.vec2d),
        shared(drawn.cut, wp.float64),
        shared(drawn.faces, wp.vec3i),
        shared(drawn.rows, wp.int32),
        shared(rays_cam, wp.vec3d),
        shared(drawn.pad_px, wp.float64),
    )
    outputs = (shared(along, wp.float64), shared(face, wp.int32), shared(shares, wp.vec3f))
    wp.launch(draw_triangles, dim=1, inputs=[*inputs, *outputs], device="cpu")
    return Drawn(along, face, shares)


def joined(parts: Sequence[Triangles], first_rows: Sequence[int]) -> Triangles:
    """Put several meshes into one, whose faces are called by their old rows counted from `first_rows`."""
    starts = np.cumsum([0, *(len(part.points_cam) for part in parts)])
    return Triangles(
        np.concatenate([part.points_cam for part in parts]),
        np.concatenate([part.points_px for part in parts]),
        np.concatenate([part.cut for part in parts]),
        np.concatenate([part.faces + np.int32(start) for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.rows + np.int32(first) for part, first in zip(parts, first_rows, strict=True)]),
        np.concatenate([part.pad_px for part in parts]),
    )
