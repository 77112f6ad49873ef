"""From a partial lifter's answer to metres in the camera's frame, with half-widths and rivals."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.methods.abspose.partial import (
    JOINTS,
    Detected,
    PartialConfig,
    PartialLifted,
    place_of,
)

FIT_SIGMA = 0.012
"""Standard deviation of a good keypoint across the ray, in units of the seen landmarks' spread."""


class Located(NamedTuple):
    """People in metres, the camera's frame."""

    joints_cam: Float[Tensor, "batch 17 3"]
    sigma_m: Float[Tensor, "batch 17 3"]
    """Half-widths per axis that hold 68 % of the errors of the absolute position."""
    others_cam: Float[Tensor, "batch hypothesis 17 3"]
    """Competing poses about the same root."""
    shares: Float[Tensor, "batch hypothesis"]
    """How likely each of them is the nearest; they sum to one."""


def locate(
    lifted: PartialLifted,
    detected: Detected,
    config: PartialConfig,
    stature_m: Float[Tensor, " batch"] | None = None,
    *,
    fitted: bool = True,
    mean_stature_m: float | None = None,
) -> Located:
    """Bring an answer to metres and the camera's frame.

    Args:
        lifted: the network's answer.
        detected: what it saw.
        config: of the network; holds the stature that stands in, and the calibration of the half-widths.
        stature_m: heights (m), NaN where unknown; None where all are.
        fitted: whether the root is moved across its ray so that the pose covers the landmarks that were seen.
        mean_stature_m: what stands in for heights that are unknown; None leaves it to the config.
    """
    given = torch.full_like(lifted.scale, torch.nan) if stature_m is None else stature_m.to(lifted.scale)
    unknown = given.isnan()
    stature = torch.where(unknown, given.new_tensor(mean_stature_m or config.mean_stature_m), given)
    place = fitted_place(lifted, detected) if fitted else place_of(lifted)
    metres = stature[:, None, None]
    back = lifted.cam_from_turned.mT
    poses = torch.cat([lifted.relative[:, None], lifted.others], dim=1) + place[:, None, None]
    poses = (poses.flatten(1, 2) @ back * metres).unflatten(1, (-1, JOINTS))
    sigma = _sigma(lifted, place, unknown, config) * metres
    return Located(poses[:, 0], sigma, poses[:, 1:], lifted.scores.softmax(-1))


def fitted_place(lifted: PartialLifted, detected: Detected) -> Float[Tensor, "batch 3"]:
    """The root in statures, the turned camera's frame, where the pose's joints lie on the rays of those that were seen.

    Least squares for its x and y at the depth that the network says. A joint counts by how sure its place about the
    root is; what the network says of the root itself counts as one more.
    """
    place = place_of(lifted)
    rays = torch.cat([detected.rays, torch.ones_like(detected.rays[..., :1])], dim=-1)[:, :JOINTS]
    turned = rays @ lifted.cam_from_turned
    seen = detected.seen[:, :JOINTS] & (turned[..., 2] > 0.05)
    points = turned[..., :2] / turned[..., 2:].clamp_min(0.05)
    depth = (place[:, None, 2] + lifted.relative[..., 2]).clamp_min(0.05)
    wanted = points * depth[..., None] - lifted.relative[..., :2]
    blur = FIT_SIGMA * lifted.scale[:, None] * depth / detected.confidence[:, :JOINTS].clamp_min(0.05)
    weight = seen[..., None] / (lifted.spread[..., :2].square() + blur[..., None].square())
    own = lifted.root_spread[:, :2] * (lifted.scale * place[:, 2])[:, None]
    prior = 1.0 / own.square().clamp_min(1e-8)
    for _ in range(2):
        found = ((weight * wanted).sum(1) + prior * place[:, :2]) / (weight.sum(1) + prior)
        off = (wanted - found[:, None]).square() * weight
        weight = weight / (1.0 + off / 9.0)  # Cauchy: a joint that is far off hardly counts
        found = ((weight * wanted).sum(1) + prior * place[:, :2]) / (weight.sum(1) + prior)
    return torch.cat([found, place[:, 2:]], dim=1)


def _sigma(lifted: PartialLifted, place: Tensor, unknown: Tensor, config: PartialConfig) -> Tensor:
    """Half-widths of absolute positions in statures, along the camera's axes.

    Along the line of sight the root's depth, the unknown stature and the pose add up; across it an error of depth
    moves a joint only by as much as its ray is inclined. Half-widths combine as standard deviations do.
    """
    share = lifted.exactness[:, None]
    root = lifted.root_spread * _factors(share, config.root_factors, config.exact_root_factors)
    size = torch.where(unknown, root.new_tensor(config.stature_spread), 0.0)
    absolute = lifted.relative + place[:, None]
    along = (root[:, 2].square() + size.square()).sqrt()[:, None, None] * absolute
    beside = root[:, :2] * (lifted.scale * place[:, 2])[:, None]
    beside = torch.cat([beside, torch.zeros_like(beside[:, :1])], dim=1)[:, None]
    own = lifted.spread * _factors(share, config.relative_factors, config.exact_relative_factors)[:, None]
    turned = own.square() + beside.square()
    sigma = (turned @ lifted.cam_from_turned.square().mT + (along @ lifted.cam_from_turned.mT).square()).sqrt()
    return sigma * _factors(share, config.located_factors, config.exact_located_factors)[:, None]


def _factors(share: Tensor, usual: tuple[float, ...], exact: tuple[float, ...]) -> Float[Tensor, "batch 3"]:
    return share.new_tensor(usual).lerp(share.new_tensor(exact), share)
