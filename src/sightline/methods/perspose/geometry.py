"""Between what the network answers and points in space (eq. 4–6), in the frame of the crop's camera."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.perspective.eye import exactly, pinhole_rays


@exactly
def xyz_from_uvd(
    uv_px: Float[Tensor, "*batch joint 2"],
    depth_m: Float[Tensor, "*batch joint"],
    scale_m_px: Float[Tensor, "*batch"],
    intrinsics: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch joint 3"]:
    """Return the joints (m, the crop's camera): d_abs · K_crop⁻¹ (u, v, 1) with d_abs = d + ŝ f_crop (eq. 5).

    Args:
        uv_px: joints in the crop, px.
        depth_m: depths relative to the root's.
        scale_m_px: ŝ, metres that a pixel of the crop covers at the root's depth.
        intrinsics: K_crop, px; f_crop is its focal length of x.
    """
    far = depth_m + (scale_m_px * intrinsics[..., 0, 0])[..., None]
    return far[..., None] * pinhole_rays(intrinsics[..., None, :, :], uv_px)


@exactly
def uvd_from_xyz(
    joints: Float[Tensor, "*batch joint 3"], intrinsics: Float[Tensor, "*batch 3 3"], root: int = 0
) -> tuple[Float[Tensor, "*batch joint 2"], Float[Tensor, "*batch joint"], Float[Tensor, "*batch"]]:
    """Return pixels, depths relative to the root's (m), and the scale ŝ (m/px): the inverse of `xyz_from_uvd`.

    NaN pixels for joints that do not lie before the camera.
    """
    z = joints[..., 2]
    plane = joints / torch.where(z > 0, z, torch.nan)[..., None]
    uv_px = (intrinsics[..., None, :, :] @ plane[..., None])[..., :2, 0]
    return uv_px, z - z[..., root, None], z[..., root] / intrinsics[..., 0, 0]
