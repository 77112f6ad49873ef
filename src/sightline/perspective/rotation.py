"""Perspective rotation: a person's crop as a camera sees it that is turned towards them (paper 001, section 4.2)."""

from __future__ import annotations

from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.geometry.rotation import shortest_rotation
from sightline.perspective.crop import PerspectiveView
from sightline.perspective.resampling import Border, crop_pictures
from sightline.perspective.virtual import VirtualCamera, aligned, centred_intrinsics, pinhole_rays


class PerspectiveRotation(nn.Module):
    """Turn the camera by the shortest arc until a box lies on its axis, then crop about the axis.

    The crop's principal point is its middle in every sample, and its focal length is the only intrinsic that is left to
    vary (eq. 11). Unlike `PerspectiveCrop` the box is what counts: the crop is as large as needed to hold its turned
    corners. Pictures are read once. Focal lengths of x and y that differ come out equal. Without parameters.

    Args:
        size: width and height of the crops, px, or one number for both (paper: 256).
        antialias: as in `PerspectiveCrop`.
        border: as there.
    """

    def __init__(self, size: int | tuple[int, int] = 256, *, antialias: bool = True, border: Border = "zeros") -> None:
        super().__init__()
        self.size_wh = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(self.size_wh) < 1:
            raise ValueError(f"size: expected a positive width and height, got {size}")
        if border not in get_args(Border):
            raise ValueError(f"border: expected one of {', '.join(get_args(Border))}, got {border!r}")
        self.antialias = antialias
        self.border: Border = border

    def forward(
        self,
        image: Float[Tensor, "*picture channel height width"],
        intrinsics: Float[Tensor, "*#batch 3 3"],
        center_px: Float[Tensor, "*batch 2"],
        size_px: Float[Tensor, "*#batch 2"],
        target_px: Float[Tensor, "*#batch 2"] | None = None,
    ) -> PerspectiveView:
        """Crop boxes; several of one picture where the boxes have more axes than the pictures.

        Args:
            image: pictures of float type.
            intrinsics: K (px), for all or for each picture or box.
            center_px: middles of the boxes, px, corner origin.
            size_px: their widths and heights, px.
            target_px: the pixel that the box's middle is turned to; None is the principal point. The paper jitters it
                in training, by up to a tenth of the picture.

        Raises:
            ValueError: if shapes do not fit together.
        """
        regions = torch.broadcast_shapes(center_px.shape, size_px.shape)[:-1]
        camera = aligned(intrinsics, image.shape[:-3], regions)
        assert isinstance(camera, Tensor)
        virtual = self.virtual_camera(camera, center_px.expand(*regions, 2), size_px.expand(*regions, 2), target_px)
        crops = crop_pictures(image, camera, virtual, self.size_wh, antialias=self.antialias, border=self.border)
        return PerspectiveView(crops, virtual)

    def virtual_camera(
        self,
        intrinsics: Float[Tensor, "*#batch 3 3"],
        center_px: Float[Tensor, "*#batch 2"],
        size_px: Float[Tensor, "*#batch 2"],
        target_px: Float[Tensor, "*#batch 2"] | None = None,
    ) -> VirtualCamera:
        """Return the turned cameras alone: the rotation of eq. 13–15 and K_crop of eq. 4.

        None (`valid` is False) for a box without size, or one of which a corner comes to lie beside the turned camera.
        """
        sized = ((size_px > 0) & size_px.isfinite() & center_px.isfinite()).all(-1)
        center_px = torch.where(sized[..., None], center_px, 0.0)
        size_px = torch.where(sized[..., None], size_px, 1.0)
        ray = pinhole_rays(intrinsics, center_px)
        ahead = ray.new_tensor((0.0, 0.0, 1.0)) if target_px is None else pinhole_rays(intrinsics, target_px)
        turned_from_cam = shortest_rotation(ray, ahead)
        defined = turned_from_cam.isfinite().flatten(-2).all(-1)
        identity = torch.eye(3, dtype=ray.dtype, device=ray.device)
        turned_from_cam = torch.where(defined[..., None, None], turned_from_cam, identity)
        corners = size_px.new_tensor(((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)))
        corners_px = center_px[..., None, :] + corners * size_px[..., None, :]
        seen = pinhole_rays(intrinsics[..., None, :, :], corners_px) @ turned_from_cam.mT
        before = (seen[..., 2] > 1e-3).all(-1)
        plane = seen[..., :2] / torch.where(before[..., None, None], seen[..., 2:], 1.0)
        reach = plane.abs().amax(-2)
        valid = sized & defined & before & (reach > 0).all(-1)
        focal_px = (0.5 * size_px.new_tensor(self.size_wh) / torch.where(valid[..., None], reach, 1.0)).amin(-1)
        focal_px = torch.where(valid, focal_px, 1.0)[..., None].expand(*valid.shape, 2)
        cam_from_virtual = torch.where(valid[..., None, None], turned_from_cam.mT, identity)
        return VirtualCamera(cam_from_virtual, centred_intrinsics(focal_px, self.size_wh), valid)

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        width, height = self.size_wh
        return f"{width}×{height}, antialias={self.antialias}, border={self.border}"
