"""Crops of people, as cameras: the plain one of eq. 3–4, and the one that is turned towards the person (eq. 11–17).

Either is a pinhole at the place of the picture's camera, so a pose that is right for the crop is right for the picture
once it is rotated back (eq. 6). Augmentation turns, zooms and moves the camera, never the picture alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from sightline.camera import Camera
from sightline.geometry.rotation import axis_rotation
from sightline.perspective import PerspectiveRotation, VirtualCamera
from sightline.perspective.eye import common_dtype, exactly, eye_of

_OUTLINE: Final = tuple((x, y) for x in (-0.5, 0.0, 0.5) for y in (-0.5, 0.0, 0.5) if (x, y) != (0.0, 0.0))
"""Corners of a box and middles of its edges, off its middle, in its sizes."""
_FURTHEST_TARGET: Final = 0.25


class Nudge(NamedTuple):
    """What augmentation does to the camera of each crop."""

    roll_rad: Float[Tensor, " batch"]
    """How far it rolls about its optical axis, which goes through the crop's principal point."""
    zoom: Float[Tensor, " batch"]
    """By what its focal length grows."""
    target: Float[Tensor, "batch 2"]
    """Where the box's middle is to lie, right and down of the crop's.

    Of turned crops in pictures' longer sides, but no further than a quarter of the box's, since the crop grows until it
    holds all of the box. Of plain ones in crops, which keep their size: the box may reach over the border.
    """


@exactly
def person_views(
    camera: Camera | Float[Tensor, "... 3 3"],
    center_px: Shaped[Tensor, "*batch 2"],
    size_px: Shaped[Tensor, "*batch 2"],
    crop_wh: tuple[int, int],
    *,
    rotation: bool,
    nudge: Nudge | None = None,
) -> VirtualCamera:
    """Return the cameras of crops that hold whole boxes.

    Args:
        camera: K (px, corner origin) or a `Camera`, one or as many as boxes. A lens is taken off by the crop.
        center_px: middles of the boxes.
        size_px: their widths and heights.
        crop_wh: width and height of the crops, px.
        rotation: whether the camera turns to the box (perspective rotation), so that the principal point is the
            crop's middle; otherwise it stays, and the principal point lies where the box's place puts it (eq. 4).
        nudge: augmentation; targets of turned crops are shares of the longer side of a `Camera`'s picture, or of twice
            K's principal point.
    """
    if rotation:
        target = None if nudge is None else _target_px(camera, nudge.target.expand(*center_px.shape), size_px)
        view = PerspectiveRotation(crop_wh).virtual_camera(camera, center_px, size_px, target)
        return view if nudge is None else _nudged(view, nudge, crop_wh)
    return plain_views(camera, center_px, size_px, crop_wh, nudge=nudge)


@exactly
def plain_views(
    camera: Camera | Float[Tensor, "... 3 3"],
    center_px: Shaped[Tensor, "*batch 2"],
    size_px: Shaped[Tensor, "*batch 2"],
    crop_wh: tuple[int, int],
    *,
    nudge: Nudge | None = None,
) -> VirtualCamera:
    """Return the cameras of plain crops, K_crop = A K (eq. 3 and 4): not turned, only rolled and moved by a `nudge`.

    Focal lengths of x and y that differ come out equal: the crop is stretched along the axis of the smaller one. Of a
    lens, what counts is the box's outline as a pinhole sees it.
    """
    dtype = common_dtype(camera, center_px, size_px)
    regions = center_px.shape[:-1]
    center_px, size_px = center_px.to(dtype), size_px.to(dtype)
    eye = eye_of(camera, regions, dtype)
    rays, placed = eye.rays(center_px[..., None, :] + size_px.new_tensor(_OUTLINE) * size_px[..., None, :])
    sized = ((size_px > 0) & size_px.isfinite()).all(-1)
    valid = placed.all(-1) & sized & (rays[..., 2] > 1e-3).all(-1)
    plane = rays[..., :2] / torch.where(valid[..., None, None], rays[..., 2:], 1.0)
    low, high = plane.amin(-2), plane.amax(-2)
    place = torch.where(valid[..., None], (low + high) / 2, 0.0)
    crop = place.new_tensor(crop_wh)
    focal = (crop / torch.where(valid[..., None], high - low, 1.0)).amin(-1)
    ray = torch.cat((place, torch.ones_like(place[..., :1])), dim=-1)
    turn, wanted = torch.eye(3, dtype=dtype, device=focal.device).expand(*regions, 3, 3), 0.5 * crop
    if nudge is not None:
        turn = axis_rotation("z", nudge.roll_rad.to(dtype).expand(regions))
        focal = focal * nudge.zoom.to(dtype)
        wanted = wanted + crop * nudge.target.to(dtype)
    place = (ray[..., None, :] @ turn)[..., :2].squeeze(-2)
    middle = wanted - focal[..., None] * place
    zero, one = torch.zeros_like(focal), torch.ones_like(focal)
    rows = (focal, zero, middle[..., 0], zero, focal, middle[..., 1], zero, zero, one)
    return VirtualCamera(turn, torch.stack(rows, dim=-1).unflatten(-1, (3, 3)), valid)


def _nudged(view: VirtualCamera, nudge: Nudge, crop_wh: tuple[int, int]) -> VirtualCamera:
    """Roll and zoom cameras whose principal point is the crop's middle."""
    roll = axis_rotation("z", nudge.roll_rad.to(view.intrinsics.dtype).expand(view.valid.shape))
    scale = torch.ones_like(view.intrinsics)
    scale[..., 0, 0] = scale[..., 1, 1] = nudge.zoom.to(scale.dtype)
    return VirtualCamera(view.cam_from_virtual @ roll, view.intrinsics * scale, view.valid)


def _target_px(camera: Camera | Tensor, share: Tensor, size_px: Tensor) -> Tensor:
    """The pixels that are a share of the picture's longer side off the principal point, not far beside small boxes."""
    intrinsics = camera.intrinsics if isinstance(camera, Camera) else camera
    center = intrinsics[..., :2, 2]
    size = camera.image_size.to(center.dtype) if isinstance(camera, Camera) else 2 * center
    most = _FURTHEST_TARGET * size_px.to(center.dtype).amax(-1, keepdim=True)
    off = (share * size.amax(-1, keepdim=True)).clamp(-most, most)
    return (center + off).to(share.dtype)
