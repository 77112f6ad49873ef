"""What virtual cameras see of pictures: where each of their pixels lies in the real picture, which is read once."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera
from sightline.perspective.eye import Eye, exactly, eye_of
from sightline.perspective.pyramid import Border, levels_for, look_up_each, look_up_smoothly
from sightline.perspective.virtual import VirtualCamera, inverse_intrinsics

_NEAREST = 1e-3
"""Share of the depth at the crop's centre below which a ray is taken to be beside the camera, not before it."""
_OUTSIDE = 10.0
"""A place in a grid that lies outside the picture."""


@exactly
def crop_grid(
    camera: Camera | Float[Tensor, "... 3 3"],
    virtual: VirtualCamera,
    crop_wh: tuple[int, int],
    image_wh: tuple[int, int],
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "*batch height width 2"]:
    """Return where in a picture each pixel of a virtual one lies, as a grid; rays that the picture cannot hold far out.

    Args:
        camera: K or the camera of the picture; its batch axes are the leading ones of `virtual`.
        virtual: the virtual cameras.
        crop_wh: width and height of their pictures.
        image_wh: width and height of the picture.
        dtype: type of the grid; None is that of the virtual cameras.
    """
    dtype = dtype or virtual.intrinsics.dtype
    eye = eye_of(camera, virtual.valid.shape, virtual.intrinsics.dtype)
    if eye.lens is not None:
        return _lens_grid(eye, virtual, crop_wh, image_wh).to(dtype)
    mapping = eye.intrinsics @ virtual.cam_from_virtual @ inverse_intrinsics(virtual.intrinsics)
    middle = mapping.new_tensor((0.5 * crop_wh[0], 0.5 * crop_wh[1], 1.0))
    depth = mapping[..., 2, :] @ middle
    mapping = mapping / torch.where(virtual.valid, depth, 1.0)[..., None, None]  # depth 1 at the centre
    nowhere = mapping.new_tensor(((0.0, 0.0, -5.0 * image_wh[0]), (0.0, 0.0, -5.0 * image_wh[1]), (0.0, 0.0, 1.0)))
    mapping = torch.where(virtual.valid[..., None, None], mapping, nowhere)
    return homography_grid(mapping.to(dtype), crop_wh, image_wh)


def homography_grid(
    image_from_crop: Float[Tensor, "*batch 3 3"], crop_wh: tuple[int, int], image_wh: tuple[int, int]
) -> Float[Tensor, "*batch height width 2"]:
    """Return the grid of a homography of pixels, whose third coordinate is about 1 in the middle of the crop."""
    last = image_from_crop[..., 2, :]
    across = image_from_crop[..., 0, :] * (2.0 / image_wh[0]) - last
    along = image_from_crop[..., 1, :] * (2.0 / image_wh[1]) - last
    rows = torch.stack((across, along, last), dim=-2)
    if torch.compiler.is_compiling():  # compilers fuse by themselves
        return _divided(rows, *_centres(rows, crop_wh))
    return cast(Tensor, _Grid.apply(rows.reshape(-1, 3, 3), crop_wh)).reshape(*rows.shape[:-2], *crop_wh[::-1], 2)


_CACHED_PIXELS = 2**16
"""Pixels whose coordinates the processor's cache holds: so many at a time are worked out faster than all at once."""


class _Grid(torch.autograd.Function):
    """`_divided` by and by, which keeps nothing but the matrices for its backward pass."""

    @staticmethod
    def forward(rows: Float[Tensor, "batch 3 3"], crop_wh: tuple[int, int]) -> Float[Tensor, "batch height width 2"]:
        """Work out a few crops at a time."""
        columns, lines = _centres(rows, crop_wh)
        grid, few = rows.new_empty(len(rows), *crop_wh[::-1], 2), _at_once(crop_wh)
        for part, there in zip(rows.split(few), grid.split(few), strict=True):
            x, y, depth = _linear(part, columns, lines)
            share = depth.clamp_min_(_NEAREST).reciprocal_()
            torch.mul(x, share, out=there[..., 0])
            torch.mul(y, share, out=there[..., 1])
        return grid

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[int, int]], output: Tensor) -> None:
        """Keep the matrices."""
        del output
        rows, ctx.crop_wh = inputs
        ctx.save_for_backward(rows)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        """The derivative of a quotient, summed over each crop."""
        (rows,) = ctx.saved_tensors
        columns, lines = _centres(rows, ctx.crop_wh)
        few, (grad,) = _at_once(ctx.crop_wh), grad_outputs
        ones = torch.ones_like(columns)
        found = []
        for part, pull in zip(rows.split(few), grad.split(few), strict=True):
            x, y, depth = _linear(part, columns, lines)
            before = depth > _NEAREST
            share = depth.clamp_min(_NEAREST).reciprocal()
            across, along = pull[..., 0] * share, pull[..., 1] * share
            away = torch.where(before, -(across * x + along * y) * share, 0.0)
            pulls = torch.stack((across, along, away), dim=1)  # (part, 3, height, width)
            by_line = pulls @ torch.stack((columns, ones), dim=1)  # sums over columns, weighted and plain
            weighted, plain = by_line.unbind(-1)
            along_lines = (plain * lines[:, 0]).sum(-1)
            found.append(torch.stack((weighted.sum(-1), along_lines, plain.sum(-1)), dim=-1))
        return torch.cat(found), None


def _at_once(crop_wh: tuple[int, int]) -> int:
    return max(1, _CACHED_PIXELS // (crop_wh[0] * crop_wh[1]))


def _centres(like: Tensor, crop_wh: tuple[int, int]) -> tuple[Float[Tensor, " width"], Float[Tensor, "height 1"]]:
    """Pixels' centres along both axes."""
    columns, lines = (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5 for count in crop_wh)
    return columns, lines[:, None]


def _linear(rows: Float[Tensor, "*batch 3 3"], columns: Tensor, lines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The homogeneous coordinates of each pixel, (*batch, height, width) each."""
    spread = rows[..., None, None]
    x, y, depth = (
        spread[..., row, 0, :, :] * columns + (spread[..., row, 1, :, :] * lines + spread[..., row, 2, :, :])
        for row in range(3)
    )
    return x, y, depth


def _divided(
    rows: Float[Tensor, "*batch 3 3"], columns: Tensor, lines: Tensor
) -> Float[Tensor, "*batch height width 2"]:
    x, y, depth = _linear(rows, columns, lines)
    share = depth.clamp_min(_NEAREST).reciprocal()
    return torch.stack((x * share, y * share), dim=-1)


def _lens_grid(
    eye: Eye, virtual: VirtualCamera, crop_wh: tuple[int, int], image_wh: tuple[int, int]
) -> Float[Tensor, "*batch height width 2"]:
    rays = virtual_rays(virtual, crop_wh)
    pixels, seen = eye.pixels(rays.flatten(-3, -2))
    grid = 2.0 * pixels / pixels.new_tensor(image_wh) - 1.0
    grid = torch.where((seen & virtual.valid[..., None])[..., None], grid.clamp(-_OUTSIDE, _OUTSIDE), _OUTSIDE)
    return grid.reshape(rays.shape[:-1] + (2,))


def virtual_rays(virtual: VirtualCamera, crop_wh: tuple[int, int]) -> Float[Tensor, "*batch height width 3"]:
    """Return the rays of all pixels of virtual pictures, the real camera's frame; any length."""
    options = {"dtype": virtual.intrinsics.dtype, "device": virtual.intrinsics.device}
    columns, lines = (torch.arange(count, **options) + 0.5 for count in crop_wh)
    fx, fy, cx, cy = (virtual.intrinsics[..., row, column, None] for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x, y = ((columns - cx) / fx)[..., None, :], ((lines - cy) / fy)[..., :, None]
    right, down, ahead = virtual.cam_from_virtual[..., None, None, :, :].unbind(-1)
    return right * x[..., None] + down * y[..., None] + ahead


@exactly
def inside_picture(
    camera: Camera | Float[Tensor, "... 3 3"],
    virtual: VirtualCamera,
    crop_wh: tuple[int, int],
    image_wh: tuple[int, int],
) -> Bool[Tensor, "*batch height width"]:
    """Say which pixels of virtual pictures the real picture holds: their centres lie within its outer borders."""
    grid = crop_grid(camera, virtual, crop_wh, image_wh)
    inside = (grid.abs() <= 1.0).all(-1) & virtual.valid[..., None, None]
    if isinstance(camera, Camera) and not camera.is_pinhole:
        return inside  # the lens has said what it sees
    return inside & (virtual_rays(virtual, crop_wh)[..., 2] > 0)


def crop_pictures(
    image: Float[Tensor, "*picture channel height width"],
    camera: Camera | Float[Tensor, "... 3 3"],
    virtual: VirtualCamera,
    crop_wh: tuple[int, int],
    *,
    antialias: bool = True,
    border: Border = "zeros",
) -> Float[Tensor, "*batch channel rows columns"]:
    """Return what virtual cameras see of pictures; black where there is no virtual camera.

    Args:
        image: pictures of float type.
        camera: K or the camera of the pictures; its batch axes are the leading ones of `virtual`.
        virtual: the virtual cameras: as many as pictures, or more axes of them, which are several of one picture.
        crop_wh: width and height of their pictures.
        antialias: whether regions larger than the crop are read from a pyramid.
        border: what lies outside.

    Raises:
        ValueError: if the picture is not of float type, there are not as many regions as pictures, or the camera is
            that of a picture of another size.
    """
    picture, image_wh = _one_batch(image, virtual.valid.shape), (image.shape[-1], image.shape[-2])
    _check_size(camera, image_wh)
    regions = virtual.valid.shape
    each = math.prod(regions[image.dim() - 3 :])
    with torch.autocast(image.device.type, enabled=False):
        grid = crop_grid(camera, virtual, crop_wh, image_wh, picture.dtype)
        grid = grid.reshape(len(picture), each, *grid.shape[-3:])
        if antialias:
            crops = look_up_smoothly(picture, grid, levels_for(image_wh, crop_wh), border)
        else:
            crops = look_up_each(picture, grid, border)
    if border != "zeros":
        crops = torch.where(virtual.valid.reshape(len(picture), each, 1, 1, 1), crops, 0.0)
    return crops.reshape(*regions, *crops.shape[2:]).to(image.dtype)


def _check_size(camera: Camera | Tensor, image_wh: tuple[int, int]) -> None:
    """Refuse the camera of a picture of another size, where that can be seen without waiting for a GPU."""
    if not isinstance(camera, Camera) or torch.compiler.is_compiling() or camera.device.type != "cpu":
        return
    if bool((camera.image_size != camera.image_size.new_tensor(image_wh)).any()):
        raise ValueError(
            f"camera: expected that of a picture of {image_wh[0]} × {image_wh[1]} px, got "
            f"{camera.image_size.tolist()}; resize or crop the camera as the picture was (Camera.resized, .cropped)"
        )


def _one_batch(image: Tensor, regions: torch.Size) -> Tensor:
    """Pictures as one batch of a type that they can be read in."""
    if image.dim() < 3 or not image.is_floating_point():
        raise ValueError(f"image: expected float (..., channel, height, width), got {image.dtype} {tuple(image.shape)}")
    pictures = image.shape[:-3]
    if regions[: len(pictures)] != pictures:
        raise ValueError(
            f"center_px: expected regions for {tuple(pictures)} pictures, of that shape and any further axes, "
            f"got {tuple(regions)}"
        )
    image = image.reshape(math.prod(pictures), *image.shape[-3:])
    return image if image.dtype in (torch.float32, torch.float64) else image.float()
