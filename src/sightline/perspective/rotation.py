"""Perspective rotation: a person's crop as a camera sees it that is turned towards them (paper 001, section 4.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sightline.camera import Camera
from sightline.perspective.crop import PerspectiveView
from sightline.perspective.eye import FURTHEST, common_dtype, exactly, eye_of, led
from sightline.perspective.pyramid import Border
from sightline.perspective.resampling import crop_pictures
from sightline.perspective.virtual import VirtualCamera, between, checked_choice, checked_size, marked


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
        self.size_wh = checked_size(size)
        checked_choice(border, Border, "border")
        self.antialias = antialias
        self.border: Border = border

    def forward(
        self,
        image: Float[Tensor, "*picture channel height width"],
        camera: Camera | Float[Tensor, "... 3 3"],
        center_px: Shaped[Tensor, "*#batch 2"],
        size_px: Shaped[Tensor, "*#batch 2"],
        target_px: Shaped[Tensor, "... 2"] | None = None,
    ) -> PerspectiveView:
        """Crop boxes; several of one picture where the boxes have more axes than the pictures.

        Args:
            image: pictures of float type.
            camera: K (px) or a `Camera`; one, or a batch whose axes are the boxes' leading ones.
            center_px: middles of the boxes, px, corner origin.
            size_px: their widths and heights, px.
            target_px: the pixel that the box's middle is turned to; None is the principal point. The paper jitters it
                in training, by up to a tenth of the picture.

        Raises:
            ValueError: if shapes do not fit together.
        """
        virtual = self.virtual_camera(camera, center_px, size_px, target_px)
        crops = crop_pictures(image, camera, virtual, self.size_wh, antialias=self.antialias, border=self.border)
        return PerspectiveView(crops, virtual)

    @exactly
    def virtual_camera(
        self,
        camera: Camera | Float[Tensor, "... 3 3"],
        center_px: Shaped[Tensor, "*#batch 2"],
        size_px: Shaped[Tensor, "*#batch 2"],
        target_px: Shaped[Tensor, "... 2"] | None = None,
    ) -> VirtualCamera:
        """Return the turned cameras alone: the rotation of eq. 13–15 and K_crop of eq. 4.

        None (`valid` is False) for a box without size, or one of which a corner comes to lie beside the turned camera.
        """
        dtype = common_dtype(camera, center_px, size_px)
        regions = torch.broadcast_shapes(center_px.shape[:-1], size_px.shape[:-1])
        center_px, size_px = (value.to(dtype).expand(*regions, 2) for value in (center_px, size_px))
        eye = eye_of(camera, regions, dtype)
        sized = ((size_px > 0) & (size_px < FURTHEST * eye.focal)).all(-1)
        size_px = torch.where(sized[..., None], size_px, 1.0)
        corners = size_px.new_tensor(((0.0, 0.0), (-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)))
        rays, placed = eye.rays(center_px[..., None, :] + corners * size_px[..., None, :])
        ray, ahead, valid = rays[..., 0, :], rays.new_tensor((0.0, 0.0, 1.0)), sized & placed.all(-1)
        if target_px is not None:
            aims, aimed = eye.rays(led(target_px.to(dtype), 1, regions, "target_px").expand(*regions, 2)[..., None, :])
            ahead, valid = aims[..., 0, :], valid & aimed[..., 0]
        cam_from_turned, turned = between(ahead, ray)
        seen = rays[..., 1:, :] @ cam_from_turned
        before = (seen[..., 2] > 1e-3).all(-1)
        plane = seen[..., :2] / torch.where(before[..., None], seen[..., 2], 1.0)[..., None]
        reach = plane.abs().amax(-2)
        valid = valid & turned & before & (reach > 1.0 / FURTHEST).all(-1)
        reach = torch.where(valid[..., None], reach, 1.0)
        focal_px = (0.5 * reach.new_tensor(self.size_wh) / reach).amin(-1, keepdim=True)
        return marked(cam_from_turned, focal_px.expand(*regions, 2), self.size_wh, valid)

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        width, height = self.size_wh
        return f"{width}×{height}, antialias={self.antialias}, border={self.border}"
