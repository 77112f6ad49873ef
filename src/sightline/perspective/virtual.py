"""Virtual cameras that look straight at a part of a picture: perspective crop layers as pure functions (paper 000).

A region of interest is seen by a virtual camera at the same place as the real one, turned so that its axis passes
through the region's centre and with a focal length that makes the region fill its picture. What it sees no longer
depends on where in the picture the region was. Everything here is batched, differentiable, free of parameters and of
branches on values: whatever has no answer is marked by a mask, and adds nothing but zeros to gradients.

Symbols of the paper, and of the room's README: K is the camera's matrix, b the region's centre, S its size,
p = K⁻¹ (b, 1) its ray, R_orig_from_virt is `cam_from_virtual`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from sightline.camera import Camera
from sightline.geometry.rotation import no_roll_rotation, shortest_rotation
from sightline.perspective.eye import FURTHEST, Eye, common_dtype, exactly, eye_of

Turn = Literal["no_roll", "shortest"]
"""How a virtual camera is turned: without roll (paper 000), or by the smallest angle (paper 001)."""


class VirtualCamera(NamedTuple):
    """A pinhole camera at the place of a real one, for each region of a batch."""

    cam_from_virtual: Float[Tensor, "*batch 3 3"]
    """Takes the virtual camera's frame to the real one's: R_orig_from_virt."""
    intrinsics: Float[Tensor, "*batch 3 3"]
    """Its matrix K, px of the crop (corner origin)."""
    valid: Bool[Tensor, "*batch"]
    """Whether there is such a camera; where not, the other two are those of some camera, without gradients."""


@exactly
def virtual_camera(
    camera: Camera | Float[Tensor, "... 3 3"],
    center_px: Shaped[Tensor, "*#batch 2"],
    size_px: Shaped[Tensor, "*#batch 2"],
    crop_wh: tuple[int, int],
    *,
    turn: Turn = "no_roll",
    square: bool = True,
    slant: bool = True,
    focal_at_plane: bool = True,
) -> VirtualCamera:
    """Return the virtual camera of a perspective crop (paper 000): f_virt = g · f / S′ crop sizes.

    Args:
        camera: K (px, corner origin), or a `Camera` of any lens, whose unprojection then takes the place of K⁻¹; one,
            or a batch whose axes are the leading ones of the regions.
        center_px: centre of the region, px; it may lie outside the picture.
        size_px: width and height of the region, px.
        crop_wh: width and height of the crop, px.
        turn: how the camera is turned, see `turned_towards`.
        square: whether focal lengths keep the ratio that those of the real camera have, as in the paper's square crops;
            otherwise both are the same. Either way the region grows to the crop's aspect, so that all of it is seen.
        slant: whether S′ is compensated: a plane that faces the virtual camera is slanted to the real picture, so that
            away from the axis it covers more pixels. S′ = (Sx / √(1 + x²), Sy · √(1 + x²) / √(1 + x² + y²)), or S.
        focal_at_plane: whether the virtual picture plane touches the real one at the region's centre, which keeps the
            scale there: g = ‖p‖; otherwise g = 1.

    Raises:
        ValueError: for a crop without size, another way to turn, cameras that do not belong to the regions, or a
            fisheye without `slant` and `focal_at_plane`: off its axis no K tells its scale.
    """
    checked_size(crop_wh, "crop_wh")
    dtype = common_dtype(camera, center_px, size_px)
    regions = torch.broadcast_shapes(center_px.shape[:-1], size_px.shape[:-1])
    center_px, size_px = (value.to(dtype).expand(*regions, 2) for value in (center_px, size_px))
    eye = eye_of(camera, regions, dtype)
    share = size_px / eye.focal.expand(*regions, 2)
    sized = ((share > 1 / FURTHEST) & (share < FURTHEST)).all(-1) & center_px.isfinite().all(-1)
    size_px = torch.where(sized[..., None], size_px, 1.0)
    cam_from_virtual, scale, placed = _scale(eye, center_px, turn, slant=slant, focal_at_plane=focal_at_plane)
    focal_px = scale / size_px * size_px.new_tensor(crop_wh)
    own = eye.focal.expand(*regions, 2)
    ratio = own / own.amax(-1, keepdim=True) if square else torch.ones_like(own)
    focal_px = ratio * (focal_px / ratio).amin(-1, keepdim=True)
    return marked(cam_from_virtual, focal_px, crop_wh, sized & placed)


def marked(
    cam_from_virtual: Float[Tensor, "*batch 3 3"],
    focal_px: Float[Tensor, "*batch 2"],
    crop_wh: tuple[int, int],
    valid: Bool[Tensor, "*batch"],
) -> VirtualCamera:
    """Return virtual cameras with some camera in place of those that are not valid."""
    valid = valid & ((focal_px > 0) & focal_px.isfinite()).all(-1)
    identity = torch.eye(3, dtype=focal_px.dtype, device=focal_px.device)
    focal_px = torch.where(valid[..., None], focal_px, 1.0)
    cam_from_virtual = torch.where(valid[..., None, None], cam_from_virtual, identity)
    return VirtualCamera(cam_from_virtual, centred_intrinsics(focal_px, crop_wh), valid)


def turned_towards(
    rays_cam: Float[Tensor, "*batch 3"], turn: Turn = "no_roll"
) -> tuple[Float[Tensor, "*batch 3 3"], Bool[Tensor, "*batch"]]:
    """Return cam_from_virtual of cameras that look along rays, and where there is one.

    - "no_roll" (paper 000): R_y(atan2(x, z)) · R_x(−atan2(y, √(x² + z²))). The virtual x axis stays in the xz-plane of
      the real camera, so that whoever stands upright before a level camera does so before the virtual one. There is
      none for rays straight up or down, and near those, which only a fisheye sees, the picture rolls quickly.
    - "shortest" (paper 001, eq. 13–15): the smallest rotation that takes the real axis to the ray; for rays off the
      image axes it rolls the picture. There is none for the ray straight back.

    Args:
        rays_cam: directions, of any length.
        turn: which of the two.

    Raises:
        ValueError: for another way to turn.
    """
    checked_choice(turn, Turn, "turn")
    if turn == "no_roll":
        return _or_identity(no_roll_rotation(rays_cam).mT)
    return between(rays_cam.new_tensor((0.0, 0.0, 1.0)), rays_cam)


def between(
    source: Float[Tensor, "*#batch 3"], target: Float[Tensor, "*#batch 3"]
) -> tuple[Float[Tensor, "*batch 3 3"], Bool[Tensor, "*batch"]]:
    """Return the smallest rotation that takes one direction to another, and where there is one."""
    return _or_identity(shortest_rotation(source, target))


def _or_identity(rotation: Tensor) -> tuple[Tensor, Tensor]:
    defined = rotation.isfinite().flatten(-2).all(-1)
    identity = torch.eye(3, dtype=rotation.dtype, device=rotation.device)
    return torch.where(defined[..., None, None], rotation, identity), defined


def checked_size(size: int | tuple[int, int], name: str = "size") -> tuple[int, int]:
    """Return width and height; `ValueError` unless both are positive."""
    width, height = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if min(width, height) < 1:
        raise ValueError(f"{name}: expected a positive width and height, got {size}")
    return width, height


def checked_choice(value: str, choices: object, name: str) -> None:
    """Raise `ValueError` unless a value is one of a `Literal`."""
    if value not in get_args(choices):
        raise ValueError(f"{name}: expected one of {', '.join(get_args(choices))}, got {value!r}")


def centred_intrinsics(focal_px: Float[Tensor, "*batch 2"], crop_wh: tuple[int, int]) -> Float[Tensor, "*batch 3 3"]:
    """Return K of a camera whose principal point is the middle of its picture, without skew (px)."""
    fx, fy = focal_px.unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = (fx, zero, 0.5 * crop_wh[0] * one, zero, fy, 0.5 * crop_wh[1] * one, zero, zero, one)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def inverse_intrinsics(intrinsics: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return K⁻¹ of upper triangular matrices (skew included), in closed form."""
    fx, skew, cx = intrinsics[..., 0, 0], intrinsics[..., 0, 1], intrinsics[..., 0, 2]
    fy, cy = intrinsics[..., 1, 1], intrinsics[..., 1, 2]
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    corner = (skew * cy / fy - cx) / fx
    rows = (1.0 / fx, -skew / (fx * fy), corner, zero, 1.0 / fy, -cy / fy, zero, zero, one)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


@exactly
def cam_px_from_virtual_px(intrinsics: Float[Tensor, "... 3 3"], virtual: VirtualCamera) -> Float[Tensor, "*batch 3 3"]:
    """Return H_orig_from_virt = K · R_orig_from_virt · K_virt⁻¹, px to px; the crop's centre maps to the region's."""
    eye = eye_of(intrinsics, virtual.valid.shape, virtual.intrinsics.dtype)
    return eye.intrinsics @ virtual.cam_from_virtual @ inverse_intrinsics(virtual.intrinsics)


@exactly
def virtual_px_from_cam_px(intrinsics: Float[Tensor, "... 3 3"], virtual: VirtualCamera) -> Float[Tensor, "*batch 3 3"]:
    """Return H_virt_from_orig = K_virt · R_virt_from_orig · K⁻¹, px to px."""
    eye = eye_of(intrinsics, virtual.valid.shape, virtual.intrinsics.dtype)
    return virtual.intrinsics @ virtual.cam_from_virtual.mT @ inverse_intrinsics(eye.intrinsics)


@exactly
def keypoints_in_virtual(
    camera: Camera | Float[Tensor, "... 3 3"],
    virtual: VirtualCamera,
    keypoints_px: Float[Tensor, "*#batch joint 2"],
) -> Float[Tensor, "*batch joint 2"]:
    """Take keypoints of the real picture to the virtual one (px).

    They lie where the virtual camera would have seen the joints: K_virt · Rᵀ · X for a joint X of the camera's frame.
    NaN for keypoints that are NaN, that have no ray, or whose ray does not lie before the virtual camera, and where
    there is no virtual camera.
    """
    eye, virtual, keypoints_px = _together(camera, virtual, keypoints_px)
    rays, placed = eye.rays(keypoints_px)
    turned = rays @ virtual.cam_from_virtual
    seen = placed & (turned[..., 2] > torch.finfo(turned.dtype).eps) & virtual.valid[..., None]
    plane = turned[..., :2] / torch.where(seen, turned[..., 2], 1.0)[..., None]
    focal = torch.diagonal(virtual.intrinsics, dim1=-2, dim2=-1)[..., None, :2]
    pixels = plane * focal + virtual.intrinsics[..., None, :2, 2]
    return torch.where(seen[..., None], pixels, torch.nan)


@exactly
def keypoints_from_virtual(
    camera: Camera | Float[Tensor, "... 3 3"],
    virtual: VirtualCamera,
    keypoints_px: Float[Tensor, "*#batch joint 2"],
) -> Float[Tensor, "*batch joint 2"]:
    """Take keypoints of the virtual picture back to the real one (px): the inverse of `keypoints_in_virtual`."""
    eye, virtual, keypoints_px = _together(camera, virtual, keypoints_px)
    known = keypoints_px.isfinite().all(-1) & virtual.valid[..., None]
    plane = torch.where(known[..., None], keypoints_px, 0.0) - virtual.intrinsics[..., None, :2, 2]
    plane = plane / torch.diagonal(virtual.intrinsics, dim1=-2, dim2=-1)[..., None, :2]
    rays = torch.cat([plane, torch.ones_like(plane[..., :1])], dim=-1) @ virtual.cam_from_virtual.mT
    pixels, seen = eye.pixels(rays)
    return torch.where((known & seen)[..., None], pixels, torch.nan)


@exactly
def poses_from_virtual(
    virtual: VirtualCamera, joints_virtual: Float[Tensor, "*#batch joint 3"]
) -> Float[Tensor, "*batch joint 3"]:
    """Rotate poses of the virtual camera's frame, relative to a root or absolute, to the real one: X = R · X_virt.

    Both cameras are at one place, so nothing else is needed; bones keep their lengths. NaN where there is no virtual
    camera.
    """
    return _rotated(virtual.cam_from_virtual.mT, virtual.valid, joints_virtual)


@exactly
def poses_in_virtual(
    virtual: VirtualCamera, joints_cam: Float[Tensor, "*#batch joint 3"]
) -> Float[Tensor, "*batch joint 3"]:
    """Rotate poses of the real camera's frame to the virtual one: X_virt = Rᵀ · X; NaN where there is none."""
    return _rotated(virtual.cam_from_virtual, virtual.valid, joints_cam)


def _rotated(rotation: Tensor, valid: Tensor, joints: Tensor) -> Tensor:
    dtype = torch.promote_types(joints.dtype, torch.float32)
    turned = (joints.to(dtype) @ rotation.to(dtype)).to(joints.dtype)
    return torch.where(valid[..., None, None], turned, torch.nan)


def _together(
    camera: Camera | Tensor, virtual: VirtualCamera, keypoints_px: Tensor
) -> tuple[Eye, VirtualCamera, Tensor]:
    """Cameras, virtual cameras and keypoints in one type and batch shape."""
    dtype = common_dtype(camera, virtual.intrinsics, keypoints_px)
    batch = torch.broadcast_shapes(virtual.valid.shape, keypoints_px.shape[:-2])
    rotation, intrinsics = (value.to(dtype).expand(*batch, 3, 3) for value in virtual[:2])
    keypoints_px = keypoints_px.to(dtype).expand(*batch, *keypoints_px.shape[-2:])
    virtual = VirtualCamera(rotation, intrinsics, virtual.valid.expand(batch))
    return eye_of(camera, batch, dtype), virtual, keypoints_px


_HALF_STEP_PX = 0.5


def _scale(
    eye: Eye, center_px: Tensor, turn: Turn, *, slant: bool, focal_at_plane: bool
) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 2"], Bool[Tensor, "*batch"]]:
    """Return cam_from_virtual, pixels of the real picture per unit of the virtual plane z = 1, and where both exist.

    A pixel to the right moves by r1 · (1, 0, 0) / (fx ‖p‖) on the virtual plane, one down by r2 · (0, 1, 0) / (fy ‖p‖),
    with the columns r of R; for the paper's rotation that is its closed form of S′. Of a lens it is measured.
    """
    if eye.is_fisheye and not (slant and focal_at_plane):
        raise ValueError("camera: a fisheye has a scale only with slant=True and focal_at_plane=True")
    rays, placed = eye.rays(center_px[..., None, :])
    ray, placed = rays[..., 0, :], placed[..., 0]
    cam_from_virtual, turned = turned_towards(ray, turn)
    focal, valid = eye.focal.expand(*ray.shape[:-1], 2), placed & turned
    length = 1.0 if eye.is_fisheye else ray.norm(dim=-1, keepdim=True) / ray[..., 2:].clamp_min(1.0 / FURTHEST)
    if eye.lens is not None and slant:
        scale, measured = _measured(eye, center_px, cam_from_virtual)
        return cam_from_virtual, scale if focal_at_plane else scale / length, valid & measured
    if slant:
        along = torch.diagonal(cam_from_virtual, dim1=-2, dim2=-1)[..., :2]
        focal = focal / torch.where(valid[..., None], along, 1.0)
    return cam_from_virtual, focal * length if focal_at_plane else focal, valid


def _measured(eye: Eye, center_px: Tensor, cam_from_virtual: Tensor) -> tuple[Tensor, Tensor]:
    """How many pixels of a lens's picture make one unit of the virtual plane, from half a pixel to each side.

    What moves along the same axis counts, as in the closed form; of a fisheye, whose picture may be rolled against the
    virtual one by any angle, what moves at all.
    """
    side, up = center_px.new_tensor((_HALF_STEP_PX, 0.0)), center_px.new_tensor((0.0, _HALF_STEP_PX))
    around = torch.stack((center_px - side, center_px + side, center_px - up, center_px + up), dim=-2)
    rays, placed = eye.rays(around)
    placed = placed.all(-1)
    seen = rays @ cam_from_virtual
    before = placed & (seen[..., 2] > 1e-3).all(-1)
    plane = seen[..., :2] / torch.where(before[..., None], seen[..., 2], 1.0)[..., None]
    right, down = plane[..., 1, :] - plane[..., 0, :], plane[..., 3, :] - plane[..., 2, :]
    if eye.is_fisheye:
        moved = torch.stack([(step.square().sum(-1) + 1e-30).sqrt() for step in (right, down)], dim=-1)
    else:
        moved = torch.stack((right[..., 0], down[..., 1]), dim=-1)
    usable = before & (moved > 1.0 / FURTHEST**2).all(-1)
    return 2.0 * _HALF_STEP_PX / torch.where(usable[..., None], moved, 1.0), usable
