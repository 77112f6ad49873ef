"""Triangles before a camera: what the ray of every pixel meets first. Any lens, exact to double precision.

No triangle is bent by the lens in what follows: its corners only say which pixels to ask, and each pixel asks with the
ray that its camera gives it. So depth is the mesh's own, and crops of a picture are pictures of the cropped camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.native_log import without_native_log

Rays = Float[np.ndarray, "height width 3"]
Pixels = Bool[np.ndarray, "height width"]

_CURVATURE_PX = 1.0
_LARGE_PX = 12.0
"""How far the edges of a face of this size may bend outwards under a lens with distortion."""
_FAR_PX = 1e6
_MIN_DEPTH_M = 1e-6
_STEP_PX, _SMOOTH = 4, 40
"""Of lenses with distortion: every which ray is solved for at most; how many such steps a focal length has at least."""


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
        InputError: where what it compiles cannot be kept.
    """
    try:
        import warp as wp
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "drawing people needs the package warp-lang; install it: pip install warp-lang"
        ) from error
    wp.config.log_level = wp.LOG_ERROR
    try:
        with without_native_log():
            wp.init()
    except OSError as error:
        raise InputError(
            f"{wp.config.kernel_cache_dir}: compiled kernels cannot be kept there ({error.strerror}); "
            "let WARP_CACHE_PATH name another folder"
        ) from error
    return wp


def triangles(
    camera: Camera,
    points_cam: Float[np.ndarray, "vertex 3"],
    cut: Float[np.ndarray, " vertex"],
    faces: Int[np.ndarray, "face 3"],
    rows: Int[np.ndarray, " face"] | None = None,
) -> Triangles:
    """Project corners; faces of which nothing can be seen (cut away, or wholly behind the camera) are left out.

    A face that reaches behind the camera has no outline in the picture; it asks every pixel. `rows` are those that the
    faces are called by, their own by default.
    """
    px = projected(camera, points_cam)
    before = np.isfinite(px[:, 0])
    faces, rows = left_by_cut(cut, faces) if rows is None else (faces, rows)
    if not before.all():
        kept = _any_corner(before, faces)
        faces, rows = faces[kept], rows[kept]
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


def left_by_cut(
    cut: Float[np.ndarray, " vertex"], faces: Int[np.ndarray, "face 3"]
) -> tuple[Int[np.ndarray, "left 3"], Int[np.ndarray, " left"]]:
    """Return the faces that are not wholly cut away, and their rows."""
    rows = np.flatnonzero(_any_corner(cut >= 0, faces)).astype(np.int32)
    return faces[rows].astype(np.int32), rows


def projected(camera: Camera, points: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 2"]:
    """Return `Camera.project`, NaN where there is no pixel; of a pinhole without the dozen passes of any lens."""
    if not camera.is_pinhole:
        return camera.project(torch.from_numpy(points))[0].numpy()
    focal, center = camera.focal_px.double().numpy(), camera.center_px.double().numpy()
    z = points[:, 2]
    if len(z) == 0 or not (z.min() > _MIN_DEPTH_M and np.isfinite(points).all()):
        z = np.where((z > _MIN_DEPTH_M) & np.isfinite(points).all(axis=1), z, np.nan)
    return np.stack([points[:, axis] / z * focal[axis] + center[axis] for axis in (0, 1)], axis=1)


def _bends(camera: Camera, points: np.ndarray, px: np.ndarray, faces: np.ndarray) -> Float[np.ndarray, " face"]:
    """How far the edges of faces bend (px): asked of the middles of large ones, bounded for the others.

    How far a bent edge leaves its chord grows with the square of the chord.
    """
    a, b, c = (px[faces[:, corner]] for corner in range(3))
    size = np.maximum(np.maximum(a, b), c) - np.minimum(np.minimum(a, b), c)
    pads = np.maximum(size[:, 0], size[:, 1])
    large = np.flatnonzero(pads > _LARGE_PX)
    np.square(pads, out=pads)
    pads *= _CURVATURE_PX / _LARGE_PX**2
    pads[large] = _CURVATURE_PX
    corners = px[faces[large]]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        middles = (points[faces[large, first]] + points[faces[large, second]]) / 2
        seen = projected(camera, middles)
        a, b = corners[:, first], corners[:, second]
        along = (b - a) / np.maximum(np.linalg.norm(b - a, axis=-1, keepdims=True), 1e-9)
        off = np.abs((seen - a)[:, 0] * along[:, 1] - (seen - a)[:, 1] * along[:, 0])
        pads[large] = np.maximum(pads[large], np.where(np.isnan(off), _FAR_PX, 2 * off + _CURVATURE_PX))
    return pads


def _any_corner(vertices: Bool[np.ndarray, " vertex"], faces: Int[np.ndarray, "face 3"]) -> Bool[np.ndarray, " face"]:
    if vertices.all():
        return np.ones(len(faces), dtype=bool)
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return a | b | c


def unit_rays(camera: Camera, offset_px: tuple[float, float] = (0.0, 0.0)) -> Rays:
    """Return the unit rays (camera's frame, double) of all pixels, `offset_px` off their centres; see `PixelRays`."""
    return PixelRays(camera).at(offset_px)


@dataclass(frozen=True, eq=False)
class PixelRays:
    """The unit rays (camera's frame, double) of a camera's pixels.

    Pixels that no ray belongs to (beyond a fisheye's circle) get the zero vector, which meets nothing. Of lenses with
    distortion every second to fourth ray of each row and column is solved for, and the others follow by polynomials of
    degree 7, which errs by less than 10⁻⁶ px. All are solved for in pictures that are small beside their angle of view,
    and where the lens sees only a part of the picture.
    """

    camera: Camera

    def at(self, offset_px: tuple[float, float], only: Pixels | None = None) -> Rays:
        """Return those that go through all pixels `offset_px` off their centres; beside `only`, anything."""
        width, height = (int(n) for n in self.camera.image_size)
        asked = everywhere((height, width)) if only is None else only
        result = np.empty((height, width, 3))
        if self.camera.is_pinhole:
            _pinhole_rays(self.camera, offset_px, asked, result)
        elif self._coarse is not None:
            coarse, knots = self._coarse
            _interpolate(coarse, knots, _places(self.camera, offset_px), asked, result)
        else:
            exact, there = _solved(self.camera, *_places(self.camera, offset_px))
            result = np.where(there[..., None], exact, 0.0)
        return result

    @cached_property
    def _coarse(self) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """The rays at knots, and the knots along x and y; None where they would not do."""
        step = min(_STEP_PX, int(float(self.camera.focal_px.min()) // _SMOOTH))
        if step < 2:
            return None
        knots = [np.arange(-4 * step, int(n) + 5 * step, step) + 0.5 for n in self.camera.image_size]
        coarse, valid = _solved(self.camera, *knots)
        return (coarse, knots) if valid.all() else None


def everywhere(size: tuple[int, int]) -> Pixels:
    """Return a mask of all pixels of a picture of this height and width."""
    return np.broadcast_to(np.True_, size)


def _pinhole_rays(camera: Camera, offset_px: tuple[float, float], only: Pixels, rays: Rays) -> None:
    wp = warp()
    from sightline.synth.raster_kernels import pinhole_rays

    center = camera.center_px.double().numpy() - 0.5 - np.asarray(offset_px)
    inputs = [wp.vec2d(*camera.focal_px.double().tolist()), wp.vec2d(*center.tolist()), only, rays]
    wp.launch(pinhole_rays, dim=len(rays), inputs=inputs, device="cpu")


def _solved(camera: Camera, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit rays of a grid of pixels, by the camera itself, and whether there are any."""
    rays, valid = camera.unproject(torch.from_numpy(np.stack(np.meshgrid(x, y), axis=-1)).to(camera.dtype))
    return rays.double().numpy(), valid.numpy()


def _places(camera: Camera, offset_px: tuple[float, float]) -> tuple[Float[np.ndarray, "_"], Float[np.ndarray, "_"]]:
    """Where the rays of an offset go through, along x and y."""
    width, height = (int(n) for n in camera.image_size)
    return np.arange(width) + 0.5 + offset_px[0], np.arange(height) + 0.5 + offset_px[1]


def _interpolate(
    coarse: Float[np.ndarray, "row column 3"],
    knots: Sequence[Float[np.ndarray, "_"]],
    places: Sequence[Float[np.ndarray, "_"]],
    only: Pixels,
    rays: Rays,
) -> None:
    """Fill in the rays of places from those at the knots (both x, then y), along y first."""
    wp = warp()
    from sightline.synth.raster_kernels import interpolated_rays

    inputs: list[np.ndarray] = [np.ascontiguousarray(coarse)]
    for axis in (0, 1):
        inputs += _lagrange(knots[axis], places[axis])
    inputs += [np.empty((len(rays), len(knots[0]), 3)), only, rays]
    wp.launch(interpolated_rays, dim=len(rays), inputs=inputs, device="cpu")


def _lagrange(
    knots: Float[np.ndarray, " knot"], places: Float[np.ndarray, " place"]
) -> tuple[Int[np.ndarray, " place"], Float[np.ndarray, "place 8"]]:
    """The first of eight even knots about each place, and their shares in the value there: Lagrange's polynomial."""
    step = knots[1] - knots[0]
    first = np.clip(np.floor((places - knots[0]) / step).astype(np.int32) - 3, 0, len(knots) - 8)
    t = (places - knots[first]) / step
    nodes = range(8)
    shares = [np.prod([(t - other) / (node - other) for other in nodes if other != node], axis=0) for node in nodes]
    return first, np.stack(shares, axis=-1)


def cam_from_world(camera: Camera) -> Float[np.ndarray, "3 3"]:
    """Return a camera's rotation from the world. Raises ValueError where its place is unknown."""
    if camera.rotation is None:
        raise ValueError("camera: its place in the world is unknown; give it rotation and translation_m")
    return camera.rotation.double().numpy()


def draw(
    drawn: Triangles, rays_cam: Rays, offset_px: tuple[float, float] = (0.0, 0.0), only: Pixels | None = None
) -> Drawn:
    """Find what each ray meets first; those of pixels beside `only` meet nothing.

    `offset_px` is the one that the rays were made with.
    """
    wp = warp()
    from sightline.synth.raster_kernels import draw_triangles

    size = rays_cam.shape[:2]
    along = np.full(size, np.inf)
    face = np.full(size, -1, dtype=np.int32)
    shares = np.zeros((*size, 3), dtype=np.float32)
    inputs = (drawn.points_cam, drawn.points_px, drawn.cut, drawn.faces, drawn.rows, rays_cam, drawn.pad_px)
    arrays = [np.ascontiguousarray(array) for array in inputs]
    asked = [everywhere(size), 1] if only is None else [only, 0]
    wp.launch(draw_triangles, dim=1, inputs=[*arrays, *asked, wp.vec2d(*offset_px), along, face, shares], device="cpu")
    return Drawn(along, face, shares)


def joined(parts: Sequence[Triangles], first_rows: Sequence[int]) -> Triangles:
    """Put several meshes into one, whose faces are called by their old rows counted from `first_rows`."""
    if len(parts) == 1 and first_rows[0] == 0:
        return parts[0]
    starts = np.cumsum([0, *(len(part.points_cam) for part in parts)])
    return Triangles(
        np.concatenate([part.points_cam for part in parts]),
        np.concatenate([part.points_px for part in parts]),
        np.concatenate([part.cut for part in parts]),
        np.concatenate([part.faces + np.int32(start) for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.rows + np.int32(first) for part, first in zip(parts, first_rows, strict=True)]),
        np.concatenate([part.pad_px for part in parts]),
    )
