"""Perspective crops of 2D keypoints: lifting networks without location-dependent perspective (paper 000)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from sightline.camera import Camera
from sightline.perspective.eye import common_dtype, exactly, eye_of, led
from sightline.perspective.virtual import (
    Turn,
    VirtualCamera,
    checked_choice,
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
        checked_choice(scale, KeypointScale, "scale")
        checked_choice(turn, Turn, "turn")
        self.root = root
        self.scale: KeypointScale = scale
        self.turn: Turn = turn

    @exactly
    def forward(
        self,
        keypoints_px: Float[Tensor, "*batch joint 2"],
        camera: Camera | Float[Tensor, "... 3 3"],
        root_depth_m: Shaped[Tensor, "..."] | None = None,
    ) -> PerspectiveKeypointsView:
        """Take people's keypoints to their virtual cameras.

        Args:
            keypoints_px: px, corner origin; NaN where missing. Without a root, or all on one spot, a person has no
                virtual camera: `virtual.valid` is False.
            camera: K (px) or a `Camera`; one, or a batch whose axes are the people's leading ones.
            root_depth_m: depth Z of the root (m), for the scale "3d_root" only; one, or as cameras are.

        Raises:
            ValueError: if shapes do not fit, the depth is missing or not needed, or the lens has no one focal length.
        """
        if keypoints_px.dim() < 2 or keypoints_px.shape[-1] != 2:
            raise ValueError(f"keypoints_px: expected (..., joint, 2), got {tuple(keypoints_px.shape)}")
        if (root_depth_m is None) != (self.scale == "2d"):
            needs = "no root_depth_m" if self.scale == "2d" else "root_depth_m"
            raise ValueError(f'root_depth_m: scale "{self.scale}" takes {needs}')
        dtype = common_dtype(camera, keypoints_px)
        keypoints_px = keypoints_px.to(dtype)
        low, high, known = _extent(keypoints_px)
        center = 0.5 * (low + high) if self.root is None else keypoints_px[..., self.root, :]
        size = _tight(low, high) if root_depth_m is None else _spanning(camera, root_depth_m, center)
        size = torch.where(known[..., None], size, torch.nan)
        seen = virtual_camera(camera, center, size, (1, 1), turn=self.turn, slant=self.scale == "2d")
        return PerspectiveKeypointsView(keypoints_in_virtual(camera, seen, keypoints_px), seen)

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


def _tight(low: Tensor, high: Tensor) -> Float[Tensor, "*batch 2"]:
    """The extent itself; of a straight line, which has no width, the longer side counts. NaN for a single spot."""
    size = high - low
    longest = size.amax(-1, keepdim=True)
    return torch.where(longest > 0, torch.maximum(size, 1e-3 * longest), torch.nan)


def _spanning(camera: Camera | Tensor, root_depth_m: Tensor, center: Tensor) -> Float[Tensor, "*batch 2"]:
    """What `SPAN_M` at the root's depth is in the picture (px); NaN for a depth that is none."""
    regions = center.shape[:-1]
    eye = eye_of(camera, regions, center.dtype)
    if eye.is_fisheye:
        raise ValueError('scale: "3d_root" needs a lens with one focal length, got a fisheye')
    depth = led(root_depth_m.to(center), 0, regions, "root_depth_m")
    usable = (depth > 0) & depth.isfinite()
    size = eye.focal * (SPAN_M / torch.where(usable, depth, 1.0))[..., None]
    return torch.where(usable[..., None], size, torch.nan).expand(*regions, 2)
