"""Looking up pictures where virtual cameras look: grids, borders, and a pyramid against aliasing.

Pictures are read once, whatever lens took them. Grids are those of `torch.nn.functional.grid_sample` with
`align_corners=False`: −1 and 1 are the outer borders of a picture, whose first pixel's centre is (0.5, 0.5).
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from sightline.camera import Camera
from sightline.perspective.virtual import VirtualCamera, cam_px_from_virtual_px

Border = Literal["zeros", "border", "reflection"]
"""What lies outside a picture: black, its outermost pixels, or its mirror image."""

_NEAREST = 1e-3
"""Share of the depth at the crop's centre below which a ray is taken to be beside the camera, not before it."""
_OUTSIDE = 10.0
"""A place in a grid that lies outside the picture."""


def crop_grid(
    camera: Camera | Float[Tensor, "... 3 3"],
    virtual: VirtualCamera,
    crop_wh: tuple[int, int],
    image_wh: tuple[int, int],
) -> Float[Tensor, "*batch height width 2"]:
    """Return where in a picture each pixel of a virtual one lies, as a grid; rays that the picture cannot hold far out.

    Args:
        camera: K or the camera of the picture, of the batch shape of `virtual` or one that broadcasts to it.
        virtual: the virtual cameras.
        crop_wh: width and height of their pictures.
        image_wh: width and height of the picture.
    """
    if isinstance(camera, Camera):
        return _lens_grid(camera, virtual, crop_wh, image_wh)
    mapping = cam_px_from_virtual_px(camera, virtual)
    middle = mapping.new_tensor((0.5 * crop_wh[0], 0.5 * crop_wh[1], 1.0))
    mapping = mapping / (mapping[..., 2, :] @ middle)[..., None, None]  # depth 1 at the centre
    nowhere = mapping.new_tensor(((0.0, 0.0, -5.0 * image_wh[0]), (0.0, 0.0, -5.0 * image_wh[1]), (0.0, 0.0, 1.0)))
    mapping = torch.where(virtual.valid[..., None, None], mapping, nowhere)
    return homography_grid(mapping, crop_wh, image_wh)


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
    def vmap(info: Any, in_dims: tuple[int | None, None], rows: Tensor, crop_wh: tuple[int, int]) -> tuple[Tensor, int]:
        """Fold the mapped axis into the batch."""
        del info
        rows = rows.movedim(in_dims[0] or 0, 0)
        grid = cast(Tensor, _Grid.apply(rows.flatten(0, 1), crop_wh))
        return grid.unflatten(0, rows.shape[:2]), 0

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
    camera: Camera, virtual: VirtualCamera, crop_wh: tuple[int, int], image_wh: tuple[int, int]
) -> Float[Tensor, "*batch height width 2"]:
    points = virtual_rays(virtual, crop_wh)
    batch, lead = points.shape[:-1], len(camera.batch_shape)
    pixels, seen = camera.project(points.flatten(lead, -2))
    pixels = torch.where(seen[..., None], pixels, 0.0).unflatten(lead, batch[lead:])
    grid = 2.0 * pixels / pixels.new_tensor(image_wh) - 1.0
    seen = seen.unflatten(lead, batch[lead:]) & virtual.valid[..., None, None]
    return torch.where(seen[..., None], grid, _OUTSIDE)


def virtual_rays(virtual: VirtualCamera, crop_wh: tuple[int, int]) -> Float[Tensor, "*batch height width 3"]:
    """Return the rays of all pixels of virtual pictures, the real camera's frame; any length."""
    options = {"dtype": virtual.intrinsics.dtype, "device": virtual.intrinsics.device}
    columns, lines = (torch.arange(count, **options) + 0.5 for count in crop_wh)
    fx, fy, cx, cy = (virtual.intrinsics[..., row, column, None] for row, column in ((0, 0), (1, 1), (0, 2), (1, 2)))
    x, y = ((columns - cx) / fx)[..., None, :], ((lines - cy) / fy)[..., :, None]
    right, down, ahead = virtual.cam_from_virtual[..., None, None, :, :].unbind(-1)
    return right * x[..., None] + down * y[..., None] + ahead


def inside_picture(
    camera: Camera | Float[Tensor, "... 3 3"],
    virtual: VirtualCamera,
    crop_wh: tuple[int, int],
    image_wh: tuple[int, int],
) -> Bool[Tensor, "*batch height width"]:
    """Say which pixels of virtual pictures the real picture holds: their centres lie within its outer borders."""
    grid = crop_grid(camera, virtual, crop_wh, image_wh)
    before = virtual_rays(virtual, crop_wh)[..., 2] > 0
    if isinstance(camera, Camera) and camera.distortion is not None and camera.distortion.is_fisheye:
        before = torch.ones_like(before)  # a fisheye may see behind itself; where it does not, the grid says so
    return (grid.abs() <= 1.0).all(-1) & before & virtual.valid[..., None, None]


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
        camera: K or the camera of the pictures; its batch shape broadcasts to that of `virtual`.
        virtual: the virtual cameras: as many as pictures, or more axes of them, which are several of one picture.
        crop_wh: width and height of their pictures.
        antialias: whether regions larger than the crop are read from a pyramid.
        border: what lies outside.

    Raises:
        ValueError: if the picture is not of float type, or there are not as many regions as pictures.
    """
    picture, image_wh = _one_batch(image, virtual.valid.shape), (image.shape[-1], image.shape[-2])
    grid = crop_grid(camera, virtual, crop_wh, image_wh).to(picture.dtype)
    grid = grid.reshape(len(picture), -1, *grid.shape[-3:])
    if antialias and (image_wh[0] > crop_wh[0] or image_wh[1] > crop_wh[1]):
        crops = look_up_smoothly(picture, grid, levels_for(image_wh, crop_wh), border)
    else:
        crops = look_up_each(picture, grid, border)
    if border != "zeros":
        crops = torch.where(virtual.valid.reshape(grid.shape[:2])[..., None, None, None], crops, 0.0)
    return crops.reshape(*virtual.valid.shape, *crops.shape[2:]).to(image.dtype)


def _steps(grid: Float[Tensor, "batch crop rows columns 2"]) -> Float[Tensor, "batch crop 2 rows columns 2"]:
    """From each pixel of a crop to the next one to the right, and to the one below: units of the grid."""
    right = grid[..., 1:, :] - grid[..., :-1, :]
    down = grid[..., 1:, :, :] - grid[..., :-1, :, :]
    right = torch.cat([right, right[..., -1:, :]], dim=-2) if grid.shape[-2] > 1 else torch.zeros_like(grid)
    down = torch.cat([down, down[..., -1:, :, :]], dim=-3) if grid.shape[-3] > 1 else torch.zeros_like(grid)
    return torch.stack((right, down), dim=2)


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
    image = image.reshape(-1, *image.shape[-3:])
    return image if image.dtype in (torch.float32, torch.float64) else image.float()


class Pyramid(NamedTuple):
    """The lower resolutions of a picture, one below the other in one picture, so that one look-up reads any of them."""

    atlas: Float[Tensor, "batch channel rows columns"]
    corners: Float[Tensor, "level 2"]
    """Where the upper left corner of each level lies, px of the atlas; the first is half as large as the picture."""
    sizes: Float[Tensor, "level 2"]
    """Width and height of each level in its own pixels; each is half of the one before."""


_GAP = 2
"""Black pixels between the levels, so that a bilinear look-up at the border of one does not read the next."""


def pyramid(image: Float[Tensor, "batch channel height width"], levels: int) -> Pyramid:
    """Halve pictures so many times, once or more, by the mean of 2 × 2 pixels."""
    width, height = image.shape[-1], image.shape[-2]
    padded, corners, sizes, corner = [], [], [], 0
    for level in range(1, levels + 1):
        image = functional.avg_pool2d(image, 2, ceil_mode=True, count_include_pad=False)
        corners.append((0.0, float(corner)))
        sizes.append((width / 2**level, height / 2**level))
        gap = _GAP if level < levels else 0
        padded.append(functional.pad(image, (0, (width + 1) // 2 + _GAP - image.shape[-1], 0, gap)))
        corner += image.shape[-2] + gap
    return Pyramid(torch.cat(padded, dim=-2), image.new_tensor(corners), image.new_tensor(sizes))


def levels_for(image_wh: tuple[int, int], crop_wh: tuple[int, int]) -> int:
    """Return how many times a picture has to be halved so that a crop of all of it covers 2 to 4 pixels with each."""
    shrink = max(image_wh[0] / crop_wh[0], image_wh[1] / crop_wh[1])
    return max(0, min(8, math.ceil(math.log2(max(shrink, 1.0))) - 1))


def look_up(
    image: Float[Tensor, "batch channel height width"],
    grid: Float[Tensor, "batch rows columns 2"],
    border: Border = "zeros",
) -> Float[Tensor, "batch channel rows columns"]:
    """Read pictures bilinearly at the places of a grid."""
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode=border, align_corners=False)


def look_up_smoothly(
    image: Float[Tensor, "batch channel height width"],
    grid: Float[Tensor, "batch crop rows columns 2"],
    levels: int,
    border: Border = "zeros",
) -> Float[Tensor, "batch crop channel rows columns"]:
    """The same where pictures are shrunk: the mean of four places in each pixel of the crop, read from a pyramid.

    The level is the one of which a pixel in the middle of the crop covers 2 to 4 pixels along its longer side, or the
    picture itself. The places lie so far apart that their variance, with that of the level's own pixels and of reading
    between them (1/12 and 1/6 of a pixel), is that of the area covered: s² / 12. Below a shrink of √3 all four are one,
    and the picture is read as it is. Mixing two levels by log2 of the shrink instead (Williams 1983) blurs so much that
    the error, held against a supersampled picture, is larger than without any smoothing.

    Args:
        image: pictures.
        grid: several crops for each of them.
        levels: how often the picture is halved at most.
        border: what lies outside.
    """
    half = 0.5 * grid.new_tensor((image.shape[-1], image.shape[-2]))
    if _nothing_shrinks(grid, half):
        return look_up_each(image, grid, border)
    steps = _steps(grid)
    shrink = ((steps * half).square().sum(-1) + 1e-12).sqrt()  # pixels of the picture per pixel, along both axes
    middle = shrink[..., grid.shape[-3] // 2, grid.shape[-2] // 2].detach().amax(-1)
    level = (middle.log2().floor() - 1.0).clamp(0, levels)
    unit = 2.0 ** level[..., None, None, None]
    covered = torch.minimum(shrink, 4.0 * unit)  # next to where a lens sees nothing, steps lead anywhere
    spread = (covered.square() / 3.0 - unit.square()).clamp_min(1e-12).sqrt()
    right, down = (steps * (0.5 * spread / shrink)[..., None]).unbind(2)
    places = [grid + right + down, grid + right - down, grid - right + down, grid - right - down]
    grid, level = torch.stack(places, dim=2).flatten(1, 2), level.long().repeat_interleave(4, dim=1)
    found = look_up_each(image, grid, border)
    if levels > 0:
        grid = grid if border != "reflection" else _reflected(grid)
        lower = _from_level(pyramid(image, levels), grid, level.clamp_min(1) - 1, border)
        found = torch.where((level == 0)[..., None, None, None], found, lower)
    return found.unflatten(1, (-1, 4)).mean(2)


_SMALLEST_SHRINK = 3.0**0.5


def _nothing_shrinks(grid: Float[Tensor, "batch crop rows columns 2"], half: Tensor) -> bool:
    """Whether no crop needs smoothing: asked of every eighth pixel, which grids are smooth enough for.

    Asked only where the answer is at hand, neither compiling nor on a GPU.
    """
    if torch.compiler.is_compiling() or grid.device.type != "cpu":
        return False
    with torch.no_grad():
        rows, columns = (max(1, min(8, count - 1)) for count in grid.shape[-3:-1])
        few = grid.detach()[..., ::rows, ::columns, :] * half
        right, down = (few[..., 1:, :] - few[..., :-1, :]) / columns, (few[..., 1:, :, :] - few[..., :-1, :, :]) / rows
        longest = [float(step.square().sum(-1).amax()) for step in (right, down) if step.numel()]
        return max(longest, default=0.0) <= _SMALLEST_SHRINK**2


def look_up_each(
    image: Float[Tensor, "batch channel height width"],
    grid: Float[Tensor, "batch crop rows columns 2"],
    border: Border = "zeros",
) -> Float[Tensor, "batch crop channel rows columns"]:
    """Read several crops of each picture."""
    found = look_up(image, grid.flatten(1, 2), border)
    return found.unflatten(2, (grid.shape[1], grid.shape[2])).transpose(1, 2)


def _from_level(tower: Pyramid, grid: Tensor, level: Tensor, border: Border) -> Tensor:
    size, corner = (value[level][..., None, None, :] for value in (tower.sizes, tower.corners))
    margin = 1.0 if border == "zeros" else -0.5  # black beyond the border, or the outermost pixels' centres
    places = ((grid + 1.0) * (0.5 * size)).clamp(min=-margin)
    places = torch.minimum(places, size + margin) + corner
    whole = grid.new_tensor((tower.atlas.shape[-1], tower.atlas.shape[-2]))
    return look_up_each(tower.atlas, places * (2.0 / whole) - 1.0)


def _reflected(grid: Tensor) -> Tensor:
    """Fold places outside a picture back into it, at its outer borders."""
    folded = torch.remainder(grid + 1.0, 4.0)
    return torch.minimum(folded, 4.0 - folded) - 1.0
