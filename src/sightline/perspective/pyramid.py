"""Reading pictures at the places of a grid, also where they are shrunk: borders, and a pyramid against aliasing.

Grids are those of `torch.nn.functional.grid_sample` with `align_corners=False`: −1 and 1 are the outer borders of a
picture, whose first pixel's centre is (0.5, 0.5).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Border = Literal["zeros", "border", "reflection"]
"""What lies outside a picture: black, its outermost pixels, or its mirror image."""


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
    """Return how many times a picture is halved, so that each pixel of a crop covers 2 to 4 of the last ones.

    Of the crop of a region four times as large as the picture; what is larger shows mostly what lies outside.
    """
    shrink = 4.0 * max(image_wh[0] / crop_wh[0], image_wh[1] / crop_wh[1])
    most = int(math.log2(min(image_wh)))
    return max(0, min(8, most, math.ceil(math.log2(max(shrink, 1.0))) - 1))


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
    if _at_hand(grid):
        levels = int(level.amax())  # none that nobody reads
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
    if not _at_hand(grid):
        return False
    with torch.no_grad():
        rows, columns = (max(1, min(8, count - 1)) for count in grid.shape[-3:-1])
        few = grid.detach()[..., ::rows, ::columns, :] * half
        right, down = (few[..., 1:, :] - few[..., :-1, :]) / columns, (few[..., 1:, :, :] - few[..., :-1, :, :]) / rows
        longest = [float(step.square().sum(-1).amax()) for step in (right, down) if step.numel()]
        return max(longest, default=0.0) <= _SMALLEST_SHRINK**2


def _at_hand(grid: Tensor) -> bool:
    """Whether values may be asked for: neither while compiling, nor of a GPU, which would have to be waited for."""
    return not torch.compiler.is_compiling() and grid.device.type == "cpu"


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


def _steps(grid: Float[Tensor, "batch crop rows columns 2"]) -> Float[Tensor, "batch crop 2 rows columns 2"]:
    """From each pixel of a crop to the next one to the right, and to the one below: units of the grid."""
    right = grid[..., 1:, :] - grid[..., :-1, :]
    down = grid[..., 1:, :, :] - grid[..., :-1, :, :]
    right = torch.cat([right, right[..., -1:, :]], dim=-2) if grid.shape[-2] > 1 else torch.zeros_like(grid)
    down = torch.cat([down, down[..., -1:, :, :]], dim=-3) if grid.shape[-3] > 1 else torch.zeros_like(grid)
    return torch.stack((right, down), dim=2)
