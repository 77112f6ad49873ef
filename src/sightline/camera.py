"""The camera: a frozen, batched, differentiable value.

Camera frame: x right, y down, z forward, metres. Pixels: origin at the top-left corner of the picture, so the first
pixel's centre is (0.5, 0.5). A camera of batch shape (*batch) maps points (*batch, n, …), n of them per camera; one of
batch shape () maps points of any shape. Leading axes broadcast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera_values import EVENT_SHAPES, Numbers, broadcast, check_points, checked
from sightline.geometry import projection
from sightline.geometry.distortion import Distortion
from sightline.geometry.rotation import axis_rotation, no_roll_rotation


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A calibrated camera, or a batch of them; verbs are participles that return a new one.

    `Camera.create` takes plain numbers and checks them; the constructor takes tensors of one dtype and checks shapes.

    Attributes:
        image_size: width and height, px.
        focal_px: focal lengths of x and y, px.
        center_px: principal point, px, corner origin.
        distortion: the lens; None for a pinhole.
        rotation: cam_from_world rotation; None for a camera whose place in the world is unknown.
        translation_m: cam_from_world translation, metres: x_cam = rotation · x_world + translation_m.
    """

    image_size: Float[Tensor, "*batch 2"]
    focal_px: Float[Tensor, "*batch 2"]
    center_px: Float[Tensor, "*batch 2"]
    distortion: Distortion | None = None
    rotation: Float[Tensor, "*batch 3 3"] | None = None
    translation_m: Float[Tensor, "*batch 3"] | None = None

    def __post_init__(self) -> None:
        """Check shapes and types."""
        batch = self.batch_shape
        for name, event in EVENT_SHAPES.items():
            value = getattr(self, name)
            if value is None:
                continue
            if value.shape != (*batch, *event):
                raise ValueError(f"{name}: expected {(*batch, *event)}, got {tuple(value.shape)}")
            if value.dtype != self.focal_px.dtype:
                raise ValueError(f"{name}: expected {self.focal_px.dtype} like focal_px, got {value.dtype}")
        if self.distortion is not None and self.distortion.batch_shape != batch:
            raise ValueError(f"distortion: expected batch {tuple(batch)}, got {tuple(self.distortion.batch_shape)}")
        if (self.rotation is None) != (self.translation_m is None):
            raise ValueError("rotation and translation_m: expected both or neither, got one of them")

    # Making cameras

    @classmethod
    def create(
        cls,
        image_size: Numbers,
        focal_px: Numbers,
        center_px: Numbers | None = None,
        *,
        distortion: Distortion | None = None,
        rotation: Numbers | None = None,
        translation_m: Numbers | None = None,
        pixel_origin: str = "corner",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Camera:
        """Make a camera from numbers, lists, arrays or tensors, and check that they can be one.

        Args:
            image_size: (w, h), px.
            focal_px: (fx, fy), or one number for both, px.
            center_px: principal point, px; None is the middle of the picture.
            distortion: the lens; None for a pinhole.
            rotation: cam_from_world, 3×3.
            translation_m: cam_from_world, metres.
            pixel_origin: "corner", or "center" where `center_px` counts from the first pixel's centre (0.5 is added).
            dtype: of all tensors.
            device: of all tensors.

        Raises `ValueError` for values that are not finite, not positive where they must be, or not a rotation.
        """
        if pixel_origin not in ("corner", "center"):
            raise ValueError(f'pixel_origin: expected "corner" or "center", got {pixel_origin!r}')
        given = {"image_size": image_size, "focal_px": focal_px, "center_px": center_px}
        given |= {"rotation": rotation, "translation_m": translation_m}
        values: dict[str, Any] = {
            name: checked(name, value, dtype, device) for name, value in given.items() if value is not None
        }
        if center_px is None:
            values["center_px"] = values["image_size"] / 2
        elif pixel_origin == "center":
            values["center_px"] = values["center_px"] + 0.5
        if distortion is not None:
            values["distortion"] = distortion.map_tensors(lambda value: value.to(dtype=dtype, device=device))
        return cls(**broadcast(values))

    @classmethod
    def from_fov(
        cls,
        image_size: Numbers,
        fov_x_rad: float,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Camera:
        """Make a pinhole camera with square pixels from its horizontal field of view (rad), centred in the picture."""
        if not 0.0 < fov_x_rad < math.pi:
            raise ValueError(f"fov_x_rad: expected an angle between 0 and π, got {fov_x_rad}")
        width = torch.as_tensor(image_size, dtype=dtype, device=device)[..., :1]
        focal_px = (width / (2.0 * math.tan(fov_x_rad / 2.0))).expand(*width.shape[:-1], 2)
        return cls.create(image_size, focal_px, dtype=dtype, device=device)

    @staticmethod
    def stack(cameras: Sequence[Camera]) -> Camera:
        """Stack cameras of one batch shape along a new first axis.

        Pinholes among lenses get coefficients of zero. `ValueError` for several lens models, or some without a world.
        """
        if not cameras:
            raise ValueError("cameras: expected at least one to stack, got none")
        if len({camera.has_world for camera in cameras}) > 1:
            raise ValueError("cameras: expected all or none to have a place in the world, got both kinds")
        if len({(camera.batch_shape, camera.dtype) for camera in cameras}) > 1:
            raise ValueError("cameras: expected one batch shape and dtype, got several")
        values: dict[str, Any] = {}
        for name in EVENT_SHAPES:
            parts = [getattr(camera, name) for camera in cameras]
            values[name] = None if parts[0] is None else torch.stack(parts)
        lenses = [camera.distortion for camera in cameras]
        like = cameras[0].focal_px
        return Camera(**values, distortion=Distortion.stack(lenses, like) if any(lenses) else None)

    def __getitem__(self, index: Any) -> Camera:
        """Index the batch axes, as a tensor of cameras: `cameras[3]`, `cameras[mask]`, `cameras[:, 0]`."""
        used = index if isinstance(index, tuple) else (index,)
        if any(part is Ellipsis for part in used) or len(used) > len(self.batch_shape):
            raise IndexError(f"cannot index cameras of batch shape {tuple(self.batch_shape)} with {index!r}")
        return self._map(lambda value: value[index])

    def expand(self, *batch_shape: int) -> Camera:
        """Repeat the camera, without copying, to a batch shape that its own broadcasts to."""
        old = len(self.batch_shape)
        return self._map(lambda value: value.expand(*batch_shape, *value.shape[old:]))

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Camera:
        """Return the camera in another dtype or on another device."""
        return self._map(lambda value: value.to(dtype=dtype, device=device))

    # Reading

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the batch of cameras; () for one."""
        return self.focal_px.shape[:-1]

    @property
    def dtype(self) -> torch.dtype:
        """Of all tensors."""
        return self.focal_px.dtype

    @property
    def device(self) -> torch.device:
        """Of all tensors."""
        return self.focal_px.device

    @property
    def is_pinhole(self) -> bool:
        """Whether straight lines stay straight: no distortion."""
        return self.distortion is None

    @property
    def has_world(self) -> bool:
        """Whether the camera's place in the world is known."""
        return self.rotation is not None

    @property
    def intrinsics(self) -> Float[Tensor, "*batch 3 3"]:
        """K: (x/z, y/z, 1) of the undistorted camera frame to homogeneous pixels."""
        (fx, fy), (cx, cy) = self.focal_px.unbind(-1), self.center_px.unbind(-1)
        zero, one = torch.zeros_like(fx), torch.ones_like(fx)
        return torch.stack((fx, zero, cx, zero, fy, cy, zero, zero, one), -1).unflatten(-1, (3, 3))

    @property
    def focal(self) -> Float[Tensor, "*batch"]:
        """The one focal length √(fx fy), px."""
        return self.focal_px.prod(-1).sqrt()

    @property
    def canonical_focal_px(self) -> Float[Tensor, "*batch"] | None:
        """Focal length (px) of canonical depth, depth / focal; None for a fisheye, which has no one focal length."""
        return None if self._lens.is_fisheye else self.focal

    @property
    def position_world(self) -> Float[Tensor, "*batch 3"]:
        """The camera's centre in the world, metres."""
        rotation, translation_m = self._world()
        return -(rotation.transpose(-1, -2) @ translation_m.unsqueeze(-1)).squeeze(-1)

    # Maps

    def project(self, points_cam: Float[Tensor, "*points 3"]) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
        """Project points of the camera's frame (m) to pixels. Hartley & Zisserman, ch. 6; lenses as in `Distortion`.

        Points that are not finite, lie behind the camera (of a fisheye: beyond its widest angle) or beyond the range on
        which the lens is injective become NaN with valid False; they add nothing to gradients, which stay finite.
        """
        self._check(points_cam, 3, "points_cam")
        return _marked(*projection.pixels_from_points(self._lens, points_cam))

    def unproject(self, points_px: Float[Tensor, "*points 2"]) -> tuple[Float[Tensor, "*out 3"], Bool[Tensor, "*out"]]:
        """Turn pixels into unit rays of the camera's frame; where there is none, NaN with valid False."""
        self._check(points_px, 2, "points_px")
        return _marked(*projection.rays_from_pixels(self._lens, points_px))

    def normalized(self, points_px: Float[Tensor, "*points 2"]) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
        """Turn pixels into undistorted x/z and y/z of the camera's frame.

        NaN with valid False where the pixel is not finite, the undistortion finds no solution, or a fisheye's ray lies
        89° or more from the axis.
        """
        self._check(points_px, 2, "points_px")
        return _marked(*projection.plane_from_pixels(self._lens, points_px))

    def undistort(self, points_px: Float[Tensor, "*points 2"]) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
        """Move pixels to where the pinhole camera with the same K (`undistorted`) would see the same rays."""
        self._check(points_px, 2, "points_px")
        xy, valid = projection.plane_from_pixels(self._lens, points_px)
        return _marked(projection.pixels_from_plane(self._lens, xy), valid)

    def world_to_camera(self, points_world: Float[Tensor, "*points 3"]) -> Float[Tensor, "*out 3"]:
        """Take points of the world (m) to the camera's frame; `ValueError` where its place is unknown."""
        self._check(points_world, 3, "points_world")
        rotation, translation_m = self._world()
        return points_world @ rotation.transpose(-1, -2) + projection.per_point(translation_m)

    def camera_to_world(self, points_cam: Float[Tensor, "*points 3"]) -> Float[Tensor, "*out 3"]:
        """Take points of the camera's frame (m) to the world; `ValueError` where its place is unknown."""
        self._check(points_cam, 3, "points_cam")
        rotation, translation_m = self._world()
        return (points_cam - projection.per_point(translation_m)) @ rotation

    # Participles

    def cropped(self, left_top_px: Numbers, size_wh: Numbers) -> Camera:
        """Return the camera of a part of the picture, which may reach beyond its borders. The frame stays."""
        return self._with(image_size=self._size(size_wh), center_px=self.center_px - self._tensor(left_top_px))

    def resized(self, size_wh: Numbers) -> Camera:
        """Return the camera of the picture stretched to another size; each axis by its own factor. The frame stays."""
        size = self._size(size_wh)
        scale = size / self.image_size
        return self._with(image_size=size, focal_px=self.focal_px * scale, center_px=self.center_px * scale)

    def scaled_to(self, image_size: Numbers) -> Camera:
        """Return the camera of the picture at another resolution; `ValueError` at another aspect (by over a pixel)."""
        size = self._size(image_size)
        height = size[..., 0] * self.image_size[..., 1] / self.image_size[..., 0]
        if bool(((height - size[..., 1]).abs() > 1.0).any()):
            raise ValueError(
                f"image_size: expected the aspect of {self.image_size.tolist()}, got {size.tolist()}; "
                "crop or turn the camera as the picture was"
            )
        return self.resized(size)

    def flipped(self) -> Camera:
        """Return the camera of the mirrored picture, x → W − x. Its frame is mirrored, and the world with it.

        With M = diag(−1, 1, 1): projecting M · x with it gives the mirrored pixel, and so does M · x_world through its
        mirrored place in the world, M R M and M t.
        """
        mirror = self.focal_px.new_tensor([-1.0, 1.0, 1.0])
        c_x, c_y = self.center_px.unbind(-1)
        changes: dict[str, Any] = {"center_px": torch.stack((self.image_size[..., 0] - c_x, c_y), -1)}
        if self.distortion is not None:
            changes["distortion"] = self.distortion.turned(torch.diag(mirror[:2]))
        if self.rotation is not None and self.translation_m is not None:
            changes["rotation"] = mirror.unsqueeze(-1) * self.rotation * mirror
            changes["translation_m"] = mirror * self.translation_m
        return self._with(**changes)

    def rotated(self, angle_rad: float | Tensor) -> Camera:
        """Return the camera of the picture turned about the principal point, clockwise as seen; the size stays.

        The frame turns along: projecting R_z(angle) · x with it gives the turned pixel. With fx ≠ fy only multiples of
        90° are possible without skew (the focal lengths swap); others raise `ValueError`.
        """
        angle = self._tensor(angle_rad)
        turns = torch.round(angle / (math.pi / 2))
        tolerance = 16.0 * torch.finfo(self.dtype).eps
        skewed = (angle - turns * (math.pi / 2)).abs() > tolerance * (1.0 + angle.abs())
        unequal = (self.focal_px[..., 0] - self.focal_px[..., 1]).abs() > tolerance * self.focal_px[..., 0]
        if bool((skewed & unequal).any()):
            raise ValueError(
                "angle_rad: expected a multiple of 90° for a camera with fx ≠ fy, which others would give skew; "
                "resize to square pixels first, or use quarter_turned"
            )
        swapped = (turns.remainder(2) == 1).unsqueeze(-1)
        focal_px = torch.where(swapped & unequal.unsqueeze(-1), self.focal_px.flip(-1), self.focal_px)
        return self._rolled(angle, focal_px=focal_px)

    def quarter_turned(self, k: int) -> Camera:
        """Return the camera of the whole picture turned by k quarters, clockwise as seen: `numpy.rot90(picture, -k)`.

        Width and height swap for odd k, and the frame turns along, as in `rotated`.
        """
        (w, h), (cx, cy) = self.image_size.unbind(-1), self.center_px.unbind(-1)
        center = {0: (cx, cy), 1: (h - cy, cx), 2: (w - cx, h - cy), 3: (cy, w - cx)}[k % 4]
        swap = (lambda value: value.flip(-1)) if k % 2 else (lambda value: value)
        return self._rolled(
            self._tensor((k % 4) * math.pi / 2),
            image_size=swap(self.image_size),
            focal_px=swap(self.focal_px),
            center_px=torch.stack(center, -1),
        )

    def undistorted(self) -> Camera:
        """Return the pinhole camera with the same K; `undistort` moves pixels to it. The frame stays."""
        return self._with(distortion=None)

    def turned_towards(self, direction_cam: Float[Tensor, "*directions 3"]) -> tuple[Camera, Float[Tensor, "*out 3 3"]]:
        """Return a virtual pinhole camera at the same place that looks along a direction, and turned_from_cam.

        It has the picture size and focal lengths of this one, its principal point in the middle of the picture, where
        the direction lands, and no roll: its x axis stays in this one's xz-plane (paper 000). One direction per camera;
        a single camera takes any batch of directions. `ValueError` for directions straight up, straight down or zero.
        """
        check_points(direction_cam, 3, self.batch_shape, "direction_cam", per_camera=1)
        turned_from_cam = no_roll_rotation(direction_cam.to(self.dtype))
        if bool(turned_from_cam.isnan().any()):
            raise ValueError("direction_cam: expected finite directions, not straight up, straight down or zero")
        virtual = self._with(center_px=self.image_size / 2, distortion=None)
        virtual = virtual.expand(*torch.broadcast_shapes(self.batch_shape, turned_from_cam.shape[:-2]))
        return virtual._turned(turned_from_cam), turned_from_cam.expand(*virtual.batch_shape, 3, 3)

    # Inside

    @property
    def _lens(self) -> projection.Lens:
        return projection.Lens(self.focal_px, self.center_px, self.distortion)

    def _world(self) -> tuple[Tensor, Tensor]:
        if self.rotation is None or self.translation_m is None:
            raise ValueError("camera: its place in the world is unknown; give it rotation and translation_m")
        return self.rotation, self.translation_m

    def _check(self, points: Tensor, width: int, name: str) -> None:
        check_points(points, width, self.batch_shape, name)

    def _tensor(self, value: Numbers) -> Tensor:
        return torch.as_tensor(value, dtype=self.dtype, device=self.device)

    def _size(self, size_wh: Numbers) -> Tensor:
        size = self._tensor(size_wh)
        if size.shape[-1:] != (2,) or not bool((size > 0).all()):
            raise ValueError(f"size_wh: expected a positive width and height, got {size.tolist()}")
        return size

    def _map(self, function: Callable[[Tensor], Tensor]) -> Camera:
        """Apply a function that treats the batch axes alike to every tensor."""
        given = {name: getattr(self, name) for name in EVENT_SHAPES}
        values: dict[str, Any] = {name: None if value is None else function(value) for name, value in given.items()}
        return Camera(**values, distortion=None if self.distortion is None else self.distortion.map_tensors(function))

    def _with(self, **changes: Any) -> Camera:
        """Replace values; those and the old ones broadcast to one batch."""
        return Camera(**broadcast({field.name: getattr(self, field.name) for field in fields(self)} | changes))

    def _rolled(self, angle: Tensor, **changes: Any) -> Camera:
        """Turn frame and lens about the optical axis, and replace the values that the picture's turn changes."""
        rolled_from_cam = axis_rotation("z", angle)
        if self.distortion is not None:
            changes["distortion"] = self.distortion.turned(rolled_from_cam[..., :2, :2])
        return self._with(**changes)._turned(rolled_from_cam)

    def _turned(self, turned_from_cam: Tensor) -> Camera:
        """Turn the frame about the camera's centre: the place in the world follows, the intrinsics stay."""
        if self.rotation is None or self.translation_m is None:
            batch = torch.broadcast_shapes(self.batch_shape, turned_from_cam.shape[:-2])
            return self if batch == self.batch_shape else self.expand(*batch)
        translation_m = (turned_from_cam @ self.translation_m.unsqueeze(-1)).squeeze(-1)
        return self._with(rotation=turned_from_cam @ self.rotation, translation_m=translation_m)


def _marked(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return values with NaN for the invalid ones, and the mask."""
    return torch.where(valid.unsqueeze(-1), values, torch.nan), valid
