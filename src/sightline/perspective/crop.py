"""The perspective crop layer: a part of a picture as a virtual camera sees it that looks straight at it (paper 000)."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from sightline.camera import Camera
from sightline.perspective.pyramid import Border
from sightline.perspective.resampling import crop_pictures, inside_picture
from sightline.perspective.virtual import (
    Turn,
    VirtualCamera,
    checked_choice,
    checked_size,
    poses_from_virtual,
    virtual_camera,
)


class PerspectiveView(NamedTuple):
    """Crops, and the cameras that would have taken them."""

    image: Float[Tensor, "*batch channel height width"]
    virtual: VirtualCamera

    def poses_in_camera(self, joints_virtual: Float[Tensor, "*batch joint 3"]) -> Float[Tensor, "*batch joint 3"]:
        """Rotate poses that a network read from the crops to the real camera's frame."""
        return poses_from_virtual(self.virtual, joints_virtual)


class PerspectiveCrop(nn.Module):
    """Crop regions of pictures perspectively, in place of a plain crop before any network.

    Without parameters; differentiable with regard to picture, region and intrinsics. Pose networks behind it predict
    in the frame of the virtual camera: `view.poses_in_camera` brings their poses back before the loss is taken.

    Args:
        size: width and height of the crops, px, or one number for both.
        turn: how virtual cameras are turned, "no_roll" (paper 000) or "shortest" (paper 001).
        square: see `virtual_camera`, as `slant` and `focal_at_plane`.
        slant: see there.
        focal_at_plane: see there.
        antialias: whether regions much larger than the crop are smoothed (`look_up_smoothly`), so that fine texture
            does not alias; below a shrink of √3 the picture is read as it is.
        border: what lies outside the picture.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        *,
        turn: Turn = "no_roll",
        square: bool = True,
        slant: bool = True,
        focal_at_plane: bool = True,
        antialias: bool = True,
        border: Border = "zeros",
    ) -> None:
        super().__init__()
        self.size_wh = checked_size(size)
        checked_choice(turn, Turn, "turn")
        checked_choice(border, Border, "border")
        self.turn: Turn = turn
        self.border: Border = border
        self.square, self.slant, self.focal_at_plane, self.antialias = square, slant, focal_at_plane, antialias

    def forward(
        self,
        image: Float[Tensor, "*picture channel height width"],
        camera: Camera | Float[Tensor, "... 3 3"],
        center_px: Shaped[Tensor, "*#batch 2"],
        size_px: Shaped[Tensor, "*#batch 2"],
    ) -> PerspectiveView:
        """Crop regions; several of one picture where the regions have more axes than the pictures.

        Where there is no virtual camera (a region without size, NaN, a pixel without a ray) `virtual.valid` is False,
        the crop is black and adds nothing to gradients.

        Args:
            image: pictures of float type.
            camera: K (px), for all or for each picture or region; or a `Camera` of any lens.
            center_px: centres of the regions, px, corner origin; they may lie outside the picture.
            size_px: widths and heights of the regions, px.

        Raises:
            ValueError: if shapes do not fit together, the picture is not of float type, or the camera is that of
                pictures of another size.
        """
        virtual = self.virtual_camera(camera, center_px, size_px)
        crops = crop_pictures(image, camera, virtual, self.size_wh, antialias=self.antialias, border=self.border)
        return PerspectiveView(crops, virtual)

    def virtual_camera(
        self,
        camera: Camera | Float[Tensor, "... 3 3"],
        center_px: Shaped[Tensor, "*#batch 2"],
        size_px: Shaped[Tensor, "*#batch 2"],
    ) -> VirtualCamera:
        """Return the virtual cameras alone."""
        if center_px.shape[-1:] != (2,) or size_px.shape[-1:] != (2,):
            got = f"{tuple(center_px.shape)} and {tuple(size_px.shape)}"
            raise ValueError(f"center_px and size_px: expected (..., 2), got {got}")
        options = {name: getattr(self, name) for name in ("turn", "square", "slant", "focal_at_plane")}
        return virtual_camera(camera, center_px, size_px, self.size_wh, **options)

    def inside(
        self, image_wh: tuple[int, int], camera: Camera | Float[Tensor, "... 3 3"], virtual: VirtualCamera
    ) -> Bool[Tensor, "*batch height width"]:
        """Say which pixels of the crops the pictures hold; elsewhere the border's rule filled them."""
        return inside_picture(camera, virtual, self.size_wh, image_wh)

    def extra_repr(self) -> str:
        """Describe the layer in one line."""
        width, height = self.size_wh
        return f"{width}×{height}, turn={self.turn}, antialias={self.antialias}, border={self.border}"
