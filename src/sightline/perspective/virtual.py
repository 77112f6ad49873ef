"""Virtual cameras that look straight at a part of a picture: perspective crop layers as pure functions (paper 000).

A region of interest is seen by a virtual camera at the same place as the real one, turned so that its axis passes
through the region's centre and with a focal length that makes the region fill its picture. What it sees no longer
depends on where in the picture the region was. Everything here is batched, differentiable, free of parameters and of
branches on values: whatever has no answer is marked by a mask, and adds nothing but zeros to gradients.

Symbols of the paper, and of the room's README: K is `intrinsics`, b the region's centre, S its size, p = K⁻¹ (b, 1) its
ray, R_orig_from_virt is `cam_from_virtual`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera
from sightline.geometry.homography import warp_points
from sightline.geometry.rotation import no_roll_rotation, shortest_rotation

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


class _Sight(NamedTuple):
    """How a real camera sees the centre of a region."""

    cam_from_virtual: Float[Tensor, "*batch 3 3"]
    scale: Float[Tensor, "*batch 2"]
    """Pixels of the real picture, along its x and y, per unit of the virtual picture plane z = 1."""
    focal: Float[Tensor, "*batch 2"]
    """The camera's own focal lengths, px."""
    placed: Bool[Tensor, "*batch"]


def virtual_camera(
    camera: Camera | Float[Tensor, "*#batch 3 3"],
    center_px: Float[Tensor, "*#batch 2"],
    size_px: Float[Tensor, "*#batch 2"],
    crop_wh: tuple[int, int],
    *,
    turn: Turn = "no_roll",
    square: bool = True,
    slant: bool = True,
    focal_at_plane: bool = True,
) -> VirtualCamera:
    """Return the virtual camera of a perspective crop (paper 000): f_virt = g · f / S′ crop sizes.

    Args:
        camera: K (px, corner origin), or a `Camera` of any lens, whose unprojection then takes the place of K⁻¹.
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
        ValueError: for a crop without size, another way to turn, or a fisheye without `slant` and `focal_at_plane`:
            off its axis no K tells its scale.
    """
    if min(crop_wh) < 1:
        raise ValueError(f"crop_wh: expected a positive width and height, got {crop_wh}")
    sized = ((size_px > 0) & size_px.isfinite()).all(-1) & center_px.isfinite().all(-1)
    size_px = torch.where(sized[..., None], size_px, 1.0)
    center_px = torch.where(sized[..., None], center_px, 0.0)
    if isinstance(camera, Camera):
        sight = _lens_sight(camera, center_px, turn, slant=slant, focal_at_plane=focal_at_plane)
    else:
        sight = _pinhole_sight(camera, center_px, turn, slant=slant, focal_at_plane=focal_at_plane)
    focal_px = sight.scale / size_px * size_px.new_tensor(crop_wh)
    ratio = sight.focal / sight.focal.amax(-1, keepdim=True) if square else torch.ones_like(sight.focal)
    focal_px = ratio * (focal_px / ratio).amin(-1, keepdim=True)
    valid = sized & sight.placed & (focal_px.isfinite() & (focal_px > 0)).all(-1)
    focal_px = torch.where(valid[..., None], focal_px, 1.0)
    identity = torch.eye(3, dtype=focal_px.dtype, device=focal_px.device)
    cam_from_virtual = torch.where(valid[..., None, None], sight.cam_from_virtual, identity)
    return VirtualCamera(cam_from_virtual, centred_intrinsics(focal_px, crop_wh), valid)


def turned_towards(
    rays_cam: Float[Tensor, "*batch 3"], turn: Turn = "no_roll"
) -> tuple[Float[Tensor, "*batch 3 3"], Bool[Tensor, "*batch"]]:
    """Return cam_from_virtual of cameras that look along rays, and where there is one.

    - "no_roll" (paper 000): R_y(atan2(x, z)) · R_x(−atan2(y, √(x² + z²))). The virtual x axis stays in the xz-plane of
      the real camera, so that whoever stands upright before a level camera does so before the virtual one. There is
      none for rays straight up or down.
    - "shortest" (paper 001, eq. 13–15): the smallest rotation that takes the real axis to the ray; for rays off the
      image axes it rolls the picture. There is none for the ray straight back.

    Args:
        rays_cam: directions, of any length.
        turn: which of the two.

    Raises:
        ValueError: for another way to turn.
    """
    if turn == "no_roll":
        virtual_from_cam = no_roll_rotation(rays_cam)
    elif turn == "shortest":
        virtual_from_cam = shortest_rotation(rays_cam, rays_cam.new_tensor((0.0, 0.0, 1.0)))
    else:
        raise ValueError(f'turn: expected "no_roll" or "shortest", got {turn!r}')
    defined = virtual_from_cam.isfinite().flatten(-2).all(-1)
    identity = torch.eye(3, dtype=rays_cam.dtype, device=rays_cam.device)
    return torch.where(defined[..., None, None], virtual_from_cam.mT, identity), defined


def pinhole_rays(
    intrinsics: Float[Tensor, "*#batch 3 3"], points_px: Float[Tensor, "*#batch 2"]
) -> Float[Tensor, "*batch 3"]:
    """Return K⁻¹ (u, v, 1): the rays (x, y, 1) of pixels, for any upper triangular K, skew included."""
    y = (points_px[..., 1] - intrinsics[..., 1, 2]) / intrinsics[..., 1, 1]
    x = (points_px[..., 0] - intrinsics[..., 0, 2] - intrinsics[..., 0, 1] * y) / intrinsics[..., 0, 0]
    return torch.stack((x, y, torch.ones_like(x)), dim=-1)


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


def cam_px_from_virtual_px(
    intrinsics: Float[Tensor, "*#batch 3 3"], virtual: VirtualCamera
) -> Float[Tensor, "*batch 3 3"]:
    """Return H_orig_from_virt = K · R_orig_from_virt · K_virt⁻¹, px to px; the crop's centre maps to the region's."""
    return intrinsics @ virtual.cam_from_virtual @ inverse_intrinsics(virtual.intrinsics)


def virtual_px_from_cam_px(
    intrinsics: Float[Tensor, "*#batch 3 3"], virtual: VirtualCamera
) -> Float[Tensor, "*batch 3 3"]:
    """Return H_virt_from_orig = K_virt · R_virt_from_orig · K⁻¹, px to px."""
    return virtual.intrinsics @ virtual.cam_from_virtual.mT @ inverse_intrinsics(intrinsics)


def keypoints_in_virtual(
    camera: Camera | Float[Tensor, "*#batch 3 3"],
    virtual: VirtualCamera,
    keypoints_px: Float[Tensor, "*#batch joint 2"],
) -> Float[Tensor, "*batch joint 2"]:
    """Take keypoints of the real picture to the virtual one (px).

    They lie where the virtual camera would have seen the joints: K_virt · Rᵀ · X for a joint X of the camera's frame.
    NaN for keypoints that are NaN, that have no ray, or whose ray does not lie before the virtual camera.
    """
    if not isinstance(camera, Camera):
        return warp_points(virtual_px_from_cam_px(camera, virtual), keypoints_px)
    rays, placed = _unprojected(camera, keypoints_px)
    turned = rays @ virtual.cam_from_virtual
    before = placed & (turned[..., 2] > torch.finfo(turned.dtype).eps)
    plane = turned[..., :2] / torch.where(before, turned[..., 2], 1.0)[..., None]
    pixels = plane * torch.diagonal(virtual.intrinsics, dim1=-2, dim2=-1)[..., None, :2]
    pixels = pixels + virtual.intrinsics[..., None, :2, 2]
    return torch.where(before[..., None], pixels, torch.nan)


def keypoints_from_virtual(
    camera: Camera | Float[Tensor, "*#batch 3 3"],
    virtual: VirtualCamera,
    keypoints_px: Float[Tensor, "*#batch joint 2"],
) -> Float[Tensor, "*batch joint 2"]:
    """Take keypoints of the virtual picture back to the real one (px): the inverse of `keypoints_in_virtual`."""
    if not isinstance(camera, Camera):
        return warp_points(cam_px_from_virtual_px(camera, virtual), keypoints_px)
    known = keypoints_px.isfinite().all(-1, keepdim=True)
    plane = torch.where(known, keypoints_px, 0.0) - virtual.intrinsics[..., None, :2, 2]
    plane = plane / torch.diagonal(virtual.intrinsics, dim1=-2, dim2=-1)[..., None, :2]
    rays = torch.cat([plane, torch.ones_like(plane[..., :1])], dim=-1) @ virtual.cam_from_virtual.mT
    batch = camera.batch_shape
    pixels, seen = camera.project(rays.flatten(len(batch), -2))
    pixels, seen = (value.unflatten(len(batch), rays.shape[len(batch) : -1]) for value in (pixels, seen))
    return torch.where(known & seen[..., None], pixels, torch.nan)


def poses_from_virtual(
    virtual: VirtualCamera, joints_virtual: Float[Tensor, "*#batch joint 3"]
) -> Float[Tensor, "*batch joint 3"]:
    """Rotate poses of the virtual camera's frame, relative to a root or absolute, to the real one: X = R · X_virt.

    Both cameras are at one place, so nothing else is needed; bones keep their lengths.
    """
    return joints_virtual @ virtual.cam_from_virtual.mT


def poses_in_virtual(
    virtual: VirtualCamera, joints_cam: Float[Tensor, "*#batch joint 3"]
) -> Float[Tensor, "*batch joint 3"]:
    """Rotate poses of the real camera's frame to the virtual one: X_virt = Rᵀ · X."""
    return joints_cam @ virtual.cam_from_virtual


def aligned(camera: Camera | Tensor, pictures: tuple[int, ...] | torch.Size, regions: torch.Size) -> Camera | Tensor:
    """The camera with axes of length one for regions, where it has but those of the pictures."""
    if isinstance(camera, Camera):
        batch = camera.batch_shape
        if batch not in (torch.Size(()), torch.Size(pictures), torch.Size(regions)):
            raise ValueError(f"camera: expected one, or a batch {tuple(pictures)}, got {tuple(batch)}")
        return camera
    if camera.shape[-2:] != (3, 3):
        raise ValueError(f"camera: expected K (..., 3, 3), got {tuple(camera.shape)}")
    batch = camera.shape[:-2]
    if batch == torch.Size(pictures) and len(regions) > len(pictures) and len(batch) > 0:
        return camera.reshape(*batch, *[1] * (len(regions) - len(pictures)), 3, 3)
    return camera


def _pinhole_sight(intrinsics: Tensor, center_px: Tensor, turn: Turn, *, slant: bool, focal_at_plane: bool) -> _Sight:
    """The centre's ray, and K's scale there.

    A pixel to the right moves by r1 · (1, 0, 0) / (fx ‖p‖) on the virtual plane, one down by r2 · (0, 1, 0) / (fy ‖p‖),
    with the columns r of R; for the paper's rotation that is its closed form of S′.
    """
    focal = torch.diagonal(intrinsics, dim1=-2, dim2=-1)[..., :2]
    placed = (focal.isfinite() & (focal > 0)).all(-1) & intrinsics.isfinite().flatten(-2).all(-1)
    identity = torch.eye(3, dtype=intrinsics.dtype, device=intrinsics.device)
    intrinsics = torch.where(placed[..., None, None], intrinsics, identity)
    rays = pinhole_rays(intrinsics, center_px)
    focal = torch.diagonal(intrinsics, dim1=-2, dim2=-1)[..., :2].expand(*rays.shape[:-1], 2)
    cam_from_virtual, turned = turned_towards(rays, turn)
    scale = focal / torch.diagonal(cam_from_virtual, dim1=-2, dim2=-1)[..., :2] if slant else focal
    if focal_at_plane:
        scale = scale * rays.norm(dim=-1, keepdim=True)
    return _Sight(cam_from_virtual, scale, focal, placed & turned)


_HALF_STEP_PX = 0.5


def _lens_sight(camera: Camera, center_px: Tensor, turn: Turn, *, slant: bool, focal_at_plane: bool) -> _Sight:
    """The centre's ray, and the lens's scale there: how far a pixel to each side moves on the virtual picture plane.

    For a pinhole that is the closed form's compensated scale, of which it is the first order.
    """
    if camera.distortion is not None and camera.distortion.is_fisheye and not (slant and focal_at_plane):
        raise ValueError("camera: a fisheye has a scale only with slant=True and focal_at_plane=True")
    side, up = center_px.new_tensor((_HALF_STEP_PX, 0.0)), center_px.new_tensor((0.0, _HALF_STEP_PX))
    around = torch.stack((center_px, center_px - side, center_px + side, center_px - up, center_px + up), dim=-2)
    rays, placed = _unprojected(camera, around)
    placed = placed.all(-1)
    forward = rays.new_tensor((0.0, 0.0, 1.0))
    ray = torch.where(placed[..., None], rays[..., 0, :], forward)
    cam_from_virtual, turned = turned_towards(ray, turn)
    focal = camera.focal_px.reshape(*camera.batch_shape, *[1] * (ray.dim() - 1 - len(camera.batch_shape)), 2)
    focal, placed = focal.expand(*ray.shape[:-1], 2), placed & turned
    norm = 1.0 / ray[..., 2:].clamp_min(torch.finfo(ray.dtype).eps)  # of (x, y, 1); the ray is a unit vector
    if not slant:
        return _Sight(cam_from_virtual, focal * norm if focal_at_plane else focal, focal, placed)
    seen = torch.where(placed[..., None, None], rays @ cam_from_virtual, forward)
    plane = seen[..., :2] / seen[..., 2:].clamp_min(torch.finfo(ray.dtype).eps)
    moved = torch.stack((plane[..., 2, 0] - plane[..., 1, 0], plane[..., 4, 1] - plane[..., 3, 1]), dim=-1)
    scale = 2.0 * _HALF_STEP_PX / torch.where(placed[..., None], moved, 1.0)
    return _Sight(cam_from_virtual, scale if focal_at_plane else scale / norm, focal, placed)


def _unprojected(camera: Camera, points_px: Float[Tensor, "*batch point 2"]) -> tuple[Tensor, Tensor]:
    """Unit rays of pixels, and which have one (zeros elsewhere), for any further batch axes behind the camera's."""
    lead = len(camera.batch_shape)
    flat = points_px.flatten(lead, -2)
    rays, placed = camera.unproject(torch.where(flat.isfinite(), flat, torch.nan))
    rays = torch.where(placed[..., None], rays, 0.0)
    shape = points_px.shape[lead:-1]
    return rays.unflatten(lead, shape), placed.unflatten(lead, shape)
