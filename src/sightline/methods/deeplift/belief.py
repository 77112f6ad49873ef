"""Belief maps and landmarks, and gradients from one to the other: paper 004, equations 3 and 6 and the supplement.

A belief map says of every pixel how likely a landmark lies there. Places are pixels of the map, counted from its
top-left corner: the centre of the first pixel is (0.5, 0.5). Landmarks and maps are drawn into each other two ways:

| direction | the paper's way | the exact way |
|---|---|---|
| map → landmark | `landmarks_from_beliefs`: the best pixel, with a sub-gradient made by hand | `soft_argmax` |
| landmark → map | `gradient="difference"`: Gaussians with a difference over one pixel | `gradient="analytic"` |
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from sightline.nn.heatmaps import bell, cell_middles, gaussian_factors, gaussian_maps

_NEXT_TO_NOTHING: Final = 1e-4
SIGMA_PX: Final = 7 / 8
"""Width of the Gaussians a convolutional pose machine learns: 7 pixels of a picture of 368, on maps 8 times smaller."""

GaussianGradient = Literal["analytic", "difference"]
"""How a landmark's place learns of its map: by the Gaussian's derivative, or by a difference over one pixel."""


class Located(NamedTuple):
    """Where maps believe their landmarks to be."""

    xy: Float[Tensor, "*batch landmark 2"]
    """Pixels of the map from its corner; at least single precision. NaN where a map's greatest value is not finite."""
    confidence: Float[Tensor, "*batch landmark"]
    """The map's greatest value; its gradient goes to that pixel."""


def landmarks_from_beliefs(
    beliefs: Float[Tensor, "*batch landmark height width"], sigma_px: float = SIGMA_PX
) -> Located:
    """Return the centre of each map's best pixel, the first one of equals (eq. 3).

    A best pixel has no derivative, so the gradient is the supplement's, whose formulas are lost; derived again: let
    g be the loss's gradient in the landmark's place. Descent should move the landmark along −g. A step that lowers
    the belief in the pixel where the landmark is, and raises it further along, will do that at some length. So the
    map's gradient is

    - +|g| in the landmark's own pixel: descent lowers the belief there;
    - −|g| k(q) / Σ k in pixels q of the quadrant into which −g points, its borders included, with k a Gaussian of
      width `sigma_px` about the landmark: descent raises those. It is 0 in all others.

    They add to zero: belief is moved and not made. Where g has no part along an axis, all pixels that lie ahead along
    the other one take part. A part of g that would move a landmark off the map's edge is left out.

    Args:
        beliefs: maps.
        sigma_px: width of that Gaussian; that of the maps the network learns, in the paper.

    Raises:
        ValueError: for maps without a pixel, or a width that is not positive.
    """
    _check_maps(beliefs)
    _check_positive("sigma_px", sigma_px)
    confidence, index = beliefs.flatten(-2).max(-1)
    return Located(_BestPixel.apply(beliefs, index, sigma_px), confidence)


def soft_argmax(
    beliefs: Float[Tensor, "*batch landmark height width"], temperature: float = 0.1, window: int | None = None
) -> Located:
    """Return the mean place under softmax(belief / temperature), which has a gradient of its own.

    Maps whose peak is a Gaussian of width σ ≥ 1.5 and height 1 are located to 0.05 px at the default temperature if a
    window of 3 σ keeps the empty rest of the map out of the mean; without one the mean leans towards the map's middle.
    Pixels are too coarse for narrower peaks: at `SIGMA_PX` it is 0.2 px.

    Args:
        beliefs: maps.
        temperature: in units of belief; towards 0 this is the best pixel.
        window: how many pixels to each side of the best pixel are looked at; all of the map by default.

    Raises:
        ValueError: for maps without a pixel, a temperature that is not positive, a window below 1.
    """
    _check_maps(beliefs)
    _check_positive("temperature", temperature)
    if window is not None and window < 1:
        raise ValueError(f"window: expected at least 1 pixel to each side, got {window}")
    confidence, index = beliefs.flatten(-2).max(-1)
    found = confidence.isfinite()
    heat = torch.where(found[..., None, None], _at_least_single(beliefs), 0.0)
    if window is not None:
        heat = heat.masked_fill(~_around(index, beliefs.shape[-2], beliefs.shape[-1], window), -torch.inf)
    share = (heat / temperature).flatten(-2).softmax(-1).unflatten(-1, beliefs.shape[-2:])
    x = (share.sum(-2) * cell_middles(beliefs.shape[-1], share)).sum(-1)
    y = (share.sum(-1) * cell_middles(beliefs.shape[-2], share)).sum(-1)
    return Located(torch.where(found[..., None], torch.stack([x, y], -1), torch.nan), confidence)


def peaks(beliefs: Float[Tensor, "*batch landmark height width"]) -> Located:
    """Return the tops of the Gaussians through each map's best pixel and its neighbours, the first one of equals.

    Along each axis that is the parabola through the logarithms of three pixels: exact for a Gaussian of any width and
    height, and multiplying a map by a number moves nothing. At the map's border there is no neighbour, and the pixel's
    centre is taken. Not for gradients.

    Args:
        beliefs: maps; what is not above 0 counts as next to nothing.

    Raises:
        ValueError: for maps without a pixel.
    """
    _check_maps(beliefs)
    height, width = beliefs.shape[-2:]
    confidence, index = beliefs.detach().flatten(-2).max(-1)
    found = confidence.isfinite() & (confidence > 0)
    maps = torch.where(found[..., None, None], _at_least_single(beliefs.detach()), 1.0)
    logs = (maps / maps.amax((-2, -1), keepdim=True)).clamp_min(_NEXT_TO_NOTHING).log().flatten(-2)
    row, column = index // width, index % width

    def shift(place: Tensor, count: int, step: int) -> Tensor:
        inside = (place > 0) & (place < count - 1)
        before, here, after = (
            logs.gather(-1, (index + torch.where(inside, by, 0))[..., None])[..., 0] for by in (-step, 0, step)
        )
        bend = 2 * here - before - after
        return torch.where(inside & (bend > 0), 0.5 * (after - before) / bend.clamp_min(_NEXT_TO_NOTHING), 0.0)

    x, y = column + 0.5 + shift(column, width, 1), row + 0.5 + shift(row, height, width)
    xy = torch.where(confidence.isfinite()[..., None], torch.stack([x, y], -1).to(logs.dtype), torch.nan)
    return Located(xy, confidence)


def beliefs_from_landmarks(
    xy: Float[Tensor, "*batch landmark 2"],
    size_wh: tuple[int, int],
    sigma_px: float = SIGMA_PX,
    gradient: GaussianGradient = "analytic",
) -> Float[Tensor, "*batch landmark height width"]:
    """Draw each landmark as a Gaussian of height 1 about its exact place (eq. 6).

    Landmarks outside the map fade with their distance; those that are not finite give an empty map and no gradient.

    With `gradient="difference"` the derivative by x is that of the supplement, G(x + ½) − G(x − ½), G the map of the
    landmark at that place: a difference of two Gaussians one pixel apart, and likewise by y. (The printed formula is
    lost; of the differences over one pixel the one about the landmark is taken, as it does not lean to one side.) It
    is what a linear interpolation between drawings would give, and differs from the analytic one by terms of 1/24 of
    the third derivative.

    Args:
        xy: pixels of the map, from its corner.
        size_wh: width and height of the map.
        sigma_px: width of the Gaussian.
        gradient: which gradient the landmarks get.

    Raises:
        ValueError: for a size or a width that is not positive, or another gradient.
    """
    if min(size_wh) < 1:
        raise ValueError(f"size_wh: expected a map of at least one pixel, got {size_wh[0]} × {size_wh[1]}")
    _check_positive("sigma_px", sigma_px)
    if gradient not in get_args(GaussianGradient):
        raise ValueError(f"gradient: expected one of {', '.join(get_args(GaussianGradient))}, got {gradient!r}")
    if gradient == "analytic":
        return gaussian_maps(xy, size_wh, sigma_px).to(xy.dtype)
    seen = xy.isfinite().all(-1, keepdim=True)
    drawn = _Drawn.apply(torch.where(seen, _at_least_single(xy), 0.0), size_wh, sigma_px)
    return torch.where(seen[..., None], drawn, 0.0).to(xy.dtype)


class _BestPixel(torch.autograd.Function):
    """The centre of a pixel that was found already; backwards as `landmarks_from_beliefs` says."""

    @staticmethod
    def forward(ctx: Any, beliefs: Tensor, index: Tensor, sigma_px: float) -> Tensor:
        height, width = beliefs.shape[-2:]
        place = torch.stack([index % width, index // width], dim=-1)
        finite = beliefs.flatten(-2).gather(-1, index[..., None]).isfinite()
        ctx.save_for_backward(place, finite)
        ctx.size, ctx.sigma_px, ctx.dtype = (width, height), sigma_px, beliefs.dtype
        centre = place.to(torch.promote_types(beliefs.dtype, torch.float32)) + 0.5
        return torch.where(finite, centre, torch.nan)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        place, finite = ctx.saved_tensors
        last = place.new_tensor(ctx.size) - 1
        slope = torch.where(finite, grads[0], 0.0)
        outwards = ((place == 0) & (slope > 0)) | ((place == last) & (slope < 0))
        slope = torch.where(outwards, 0.0, slope)
        return _moved(slope, place, ctx.size, ctx.sigma_px).to(ctx.dtype), None, None


class _Drawn(torch.autograd.Function):
    """The same map as `gaussian_maps`; backwards by differences of Gaussians one pixel apart."""

    @staticmethod
    def forward(ctx: Any, xy: Tensor, size_wh: tuple[int, int], sigma_px: float) -> Tensor:
        ctx.save_for_backward(xy)
        ctx.size_wh, ctx.sigma_px = size_wh, sigma_px
        return gaussian_maps(xy, size_wh, sigma_px)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None, None]:
        (xy,) = ctx.saved_tensors
        before, at, after = (gaussian_factors(xy + step, ctx.size_wh, ctx.sigma_px) for step in (-0.5, 0.0, 0.5))
        by_x = torch.einsum("...hw,...h,...w->...", grads[0], at[1], after[0] - before[0])
        by_y = torch.einsum("...hw,...h,...w->...", grads[0], after[1] - before[1], at[0])
        return torch.stack([by_x, by_y], dim=-1), None, None


def _moved(
    slope: Float[Tensor, "*map 2"], place: Int[Tensor, "*map 2"], size: tuple[int, int], sigma_px: float
) -> Float[Tensor, "*map height width"]:
    """The gradient of maps whose best pixels have the gradient `slope`."""
    factors, ahead = [], []
    for axis, count in enumerate(size):
        steps = (torch.arange(count, device=place.device) - place[..., axis, None]).to(slope.dtype)
        ahead.append(-steps * slope[..., axis, None].sign())
        factors.append(torch.where(ahead[axis] >= 0, bell(steps / sigma_px), 0.0))
    nearer = ahead[1][..., :, None] + ahead[0][..., None, :] > 0
    share = torch.where(nearer, factors[1][..., :, None] * factors[0][..., None, :], 0.0).flatten(-2)
    total = share.sum(-1, keepdim=True)
    reachable = total > 0
    share = share / torch.where(reachable, total, 1.0)
    own = (place[..., 1] * size[0] + place[..., 0])[..., None]
    moved = share.scatter(-1, own, -reachable.to(share.dtype)) * -slope.norm(dim=-1, keepdim=True)
    return moved.unflatten(-1, (size[1], size[0]))


def _around(index: Int[Tensor, "*map"], height: int, width: int, window: int) -> Tensor:
    """Which pixels (*map, height, width) lie in the window about a pixel."""
    rows = (torch.arange(height, device=index.device) - (index // width)[..., None]).abs() <= window
    columns = (torch.arange(width, device=index.device) - (index % width)[..., None]).abs() <= window
    return rows[..., :, None] & columns[..., None, :]


def _at_least_single(values: Tensor) -> Tensor:
    """Half precision cannot tell neighbouring pixels of a larger map apart."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_maps(beliefs: Tensor) -> None:
    if beliefs.ndim < 3 or min(beliefs.shape[-2:]) < 1:
        raise ValueError(f"beliefs: expected (..., landmarks, height, width), got {tuple(beliefs.shape)}")


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}: expected a positive number, got {value:g}")
