"""Perspective crops of 2D keypoints: lifting networks without location-dependent perspective (paper 000)."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sightline.camera import Camera
from sightline.perspective.virtual import (
    Turn,
    VirtualCamera,
    keypoints_in_virtual,
    poses_from_virtual,
    virtual_camera,
)

KeypointScale = Literal["2d", "3d_root"]
"""What a region's size is taken from: the keypoints' extent, or the root's known distance."""

SPAN_M = 2.0
"""Length (m) at the root's distance that a crop spans by the "3d_root" scale."""


class PerspectiveKeypointsView(NamedTuple):
    """Keypoints as virtual cameras see them that look straight at each person."""

    points: Float[Tensor, "*batch joint 2"]
    """Unit crop coordinates: 0 and 1 are the crop's borders, (½, ½) its middle; NaN where a keypoint is."""
    virtual: VirtualCamera
    """The virtual cameras, for crops of one pixel."""

    def poses_in_camera(self, joints_virtual: Float[Tensor, "*batch joint 3"]) -> Float[Tensor, "*batch joint 3"]:
        """Rotate poses that a network lifted from the points to the real camera's frame."""
        return poses_from_virtual(self.virtual, joints_virtual)


class PerspectiveKeypoints(nn.Module):
    """Take keypoints through a virtual camera that looks at a person's root, before any lifting network.

    Without parameters. Keypoints go through the homography as they are, not root-centred before. The network behind it
    predicts root-relative poses of the virtual camera's frame; `view.poses_in_camera` brings them back before the loss.

    Args:
        root: which keypoint the camera looks at; None is the middle of their extent, for sets without a root.
        scale: what the region's size is taken from. "2d": the tight extent of the keypoints, compensated for slant, so
            that nothing but the picture is needed. "3d_root": `SPAN_M` at the root's distance, which has to be known;
            then the focal length is that of a camera whose crop spans it, f_virt = ‖X_root‖ / 2 m crop sizes.
        turn: how virtual cameras are turned, "no_roll" (paper 000) or "shortest" (paper 001).
    """

    def __init__(self, root: int | None = 0, *, scale: KeypointScale = "2d", turn: Turn = "no_roll") -> None:
        super().__init__()
        if scale not in get_args(KeypointScale):
            raise ValueError(f"scale: expected one of {', '.join(get_args(KeypointScale))}, got {scale!r}")
        if turn not in get_args(Turn):
            raise ValueError(f"turn: expected one of {', '.join(get_args(Turn))}, got {turn!r}")
        self.root = root
        self.scale: KeypointScale = scale
        self.turn: Turn = turn

    def forward(
        self,
        keypoints_px: Float[Tensor, "*batch joint 2"],
        camera: Camera | Float[Tensor, "*#batch 3 3"],
        root_depth_m: Float[Tensor, "*#batch"] | None = None,
    ) -> PerspectiveKeypointsView:
        """Take people's keypoints to their virtual cameras.

        Args:
            keypoints_px: px, corner origin; NaN where missing. Without a root, or all on one spot, a person has no
                virtual camera: `virtual.valid` is False.
            camera: K (px) or a `Camera`.
            root_depth_m: depth Z of the root (m), for the scale "3d_root" only.

        Raises:
            ValueError: if shapes do not fit, or the depth is missing or not needed.
        """
        if keypoints_px.dim() < 2 or keypoints_px.shape[-1] != 2:
            raise ValueError(f"keypoints_px: expected (..., joint, 2), got {tuple(keypoints_px.shape)}")
        if (root_depth_m is None) != (self.scale == "2d"):
            needs = "no root_depth_m" if self.scale == "2d" else "root_depth_m"
            raise ValueError(f'root_depth_m: scale "{self.scale}" takes {needs}')
        low, high, known = _extent(keypoints_px)
        center = 0.5 * (low + high) if self.root is None else keypoints_px[..., self.root, :]
        if root_depth_m is None:
            size = high - low
            # a straight line has no width: the square crop takes the longer side; a single spot has no size at all
            longest = size.amax(-1, keepdim=True)
            size = torch.where(known[..., None] & (longest > 0), torch.maximum(size, 1e-3 * longest), torch.nan)
        else:
            focal = _focal(camera).to(center)
            size = focal * (SPAN_M / root_depth_m.to(center))[..., None]
            size = torch.where(size.isfinite(), size, torch.nan)
        center = torch.where(center.isfinite().all(-1, keepdim=True), center, torch.nan)
        seen = virtual_camera(camera, center, size.expand_as(center), (1, 1), turn=self.turn, slant=self.scale == "2d")
        points = keypoints_in_virtual(camera, seen, keypoints_px)
        return PerspectiveKeypointsView(torch.where(seen.valid[..., None, None], points, torch.nan), seen)

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        return f"root={self.root}, scale={self.scale}, turn={self.turn}"


def _extent(
    keypoints_px: Float[Tensor, "*batch joint 2"],
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"], Bool[Tensor, "*batch"]]:
    """The corners of the keypoints' box, and whether there is one; keypoints that are NaN do not count."""
    there = keypoints_px.isfinite().all(-1, keepdim=True)
    known = there[..., 0].any(-1)
    safe = torch.where(there, keypoints_px, 0.0)
    low = torch.where(there, safe, torch.inf).amin(-2)
    high = torch.where(there, safe, -torch.inf).amax(-2)
    return torch.where(known[..., None], low, 0.0), torch.where(known[..., None], high, 0.0), known


def _focal(camera: Camera | Tensor) -> Tensor:
    return camera.focal_px if isinstance(camera, Camera) else torch.diagonal(camera, dim1=-2, dim2=-1)[..., :2]
