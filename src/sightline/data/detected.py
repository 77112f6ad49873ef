"""What 2D detectors make of a body: whose joints, how wrong, how sure of themselves, and what they miss.

A lifter that is to stand real detections has to meet their faults in training: another joint set in every view, noise
that differs from person to person and joint to joint, joints far off, left taken for right, joints missing one by one
or cut off by the border (where some detectors go on guessing), hips and shoulders a little beside the anatomical ones,
and confidences of which each detector has its own idea.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.data.surface import with_surface
from sightline.data.virtual import ViewBatch
from sightline.landmarks import BODY_LANDMARKS, LANDMARK_FLIP, landmark_mask

CROP_PX = 256.0
BOX_FACTOR = 1.25

_ROW = {name: row for row, name in enumerate(BODY_LANDMARKS)}
_LEG = [row for name, row in _ROW.items() if any(part in name for part in ("Knee", "Ankle", "Heel", "Toe"))]
_ARM = [row for name, row in _ROW.items() if any(part in name for part in ("Elbow", "Wrist"))]
_FAR = {"Wrist": 1.5, "Ankle": 1.3, "Elbow": 1.2, "Heel": 1.5, "BigToe": 1.6, "Hip": 1.2, "HeadTop": 1.5}
"""How much less exactly a landmark is found than the rest."""


@dataclass(frozen=True, kw_only=True)
class DetectionConfig:
    """How detections are drawn. Lengths are in pixels of the person's 256-pixel crop; shares are probabilities."""

    joint_sets: tuple[tuple[str, float], ...] = (("h36m17", 1.0),)
    """Joint sets and how often each is met. `h36m17` is taken as anatomical, without offsets and face."""
    clean_share: float = 1.0
    """Share of views without any of the errors below (but with missing joints)."""
    noise_px: tuple[float, float] = (0.5, 5.0)
    """Standard deviation of a person's joints, log-uniform from person to person."""
    outlier_share: float = 0.02
    """Share of joints that are uniform in ±50 px instead."""
    swapped_share: float = 0.05
    """Share of people whose left and right are exchanged: all over, in the legs or in the arms."""
    missing_share: float = 0.0
    """Share of people of whom joints are missing one by one."""
    missing_most: float = 0.5
    """Of these each joint is missing with a chance uniform between 0 and this."""
    missing_exactly: float | None = None
    """The same chance for everybody, in place of `missing_most`."""
    cut_share: float = 0.0
    """Share of people cut by a line across the body, beyond which nothing is seen."""
    guessed_share: float = 0.3
    """Share of detectors that go on guessing at joints beyond the border, without being sure."""
    offset_m: float = 0.015
    """Spread of where a joint set's hips and shoulders lie beside the anatomical ones."""
    up_share: float = 0.0
    """Share of views of which the direction of gravity is known, to about two degrees."""


class DetectionBatch(NamedTuple):
    """Detections of single people, in the vocabulary of `landmarks`; what is not seen is 0."""

    rays: Float[Tensor, "batch landmark 2"]
    """x / z and y / z of where a landmark seems to be."""
    confidence: Float[Tensor, "batch landmark"]
    seen: Bool[Tensor, "batch landmark"]
    up_cam: Float[Tensor, "batch 3"]
    """Unit vector against gravity, the camera's frame; 0 where it is not known."""


@lru_cache(maxsize=16)
def _masks(names: tuple[str, ...]) -> Tensor:
    return torch.stack([landmark_mask(name) for name in names])


@torch.no_grad()
def detect_views(views: ViewBatch, generator: torch.Generator, config: DetectionConfig) -> DetectionBatch:
    """Draw what detectors would see of people before virtual cameras.

    Args:
        views: exact views.
        generator: source of every random number.
        config: how.
    """
    count = len(views.joints_cam)
    names, weights = zip(*config.joint_sets, strict=True)
    which = torch.multinomial(torch.tensor(weights), count, replacement=True, generator=generator)
    anatomical = which == (names.index("h36m17") if "h36m17" in names else -1)
    bodies = with_surface(_offset(views.joints_cam, anatomical, generator, config), generator)
    rays = bodies[..., :2] / bodies[..., 2:].clamp_min(1e-3)
    seen = _masks(names)[which] & (bodies[..., 2] > 0.05)
    size = _sizes(rays, seen)
    true = rays.clone()
    clean = torch.rand(count, generator=generator) < config.clean_share
    rays, quality = _noisy(rays, size, generator, config)
    rays = torch.where(clean[:, None, None], true, rays)
    quality = torch.where(clean[:, None], torch.zeros_like(quality), quality)
    outside = ~_inside(true, views) | _cut(true, seen, generator, config)
    guessing = (torch.rand(count, generator=generator) < config.guessed_share) & ~clean
    guess = true + size[:, None, None] * 0.08 * torch.randn(true.shape, generator=generator)
    rays = torch.where((outside & guessing[:, None])[..., None], guess, rays)
    confidence = _confidence(quality, outside, clean, generator)
    seen &= ~outside | guessing[:, None]
    kept = seen & ~_dropped(seen.shape, generator, config)
    seen = torch.where((kept.sum(1) >= 4)[:, None], kept, seen)
    rays = torch.where(clean[:, None, None], rays, _swapped(rays, generator, config.swapped_share))
    known = torch.rand(count, generator=generator) < config.up_share
    up = views.up_cam + 0.035 * torch.randn(count, 3, generator=generator)
    up = torch.where(known[:, None], up / up.norm(dim=-1, keepdim=True), 0.0)
    seen = seen & rays.isfinite().all(-1)
    return DetectionBatch(
        torch.where(seen[..., None], rays, 0.0).float(), torch.where(seen, confidence, 0.0).float(), seen, up.float()
    )


def _offset(joints: Tensor, anatomical: Tensor, generator: torch.Generator, config: DetectionConfig) -> Tensor:
    """Hips and shoulders where a joint set has them: moved along the trunk and outwards, alike on both sides."""
    drawn = config.offset_m * torch.randn(len(joints), 4, generator=generator).to(joints)
    drawn = torch.where(anatomical[:, None], 0.0, drawn)
    up = _unit(joints[:, 8] - joints[:, 0])
    moved = joints.clone()
    for column, right, left in ((0, 1, 4), (2, 14, 11)):
        side = _unit(joints[:, left] - joints[:, right])
        rise, wide = drawn[:, column, None] * up, drawn[:, column + 1, None] * side
        moved[:, left] += rise + wide
        moved[:, right] += rise - wide
    moved[:, 0] += drawn[:, 0, None] * up
    moved[:, 8] += drawn[:, 2, None] * up
    return moved


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def _sizes(rays: Tensor, seen: Tensor) -> Float[Tensor, " batch"]:
    """Side of the person's crop, in units of the rays."""
    low = rays.masked_fill(~seen[..., None], math.inf).amin(1)
    high = rays.masked_fill(~seen[..., None], -math.inf).amax(1)
    return BOX_FACTOR * (high - low).amax(-1).nan_to_num(0.0, 0.0, 0.0).clamp(1e-3, 10.0)


def _noisy(
    rays: Tensor, size: Tensor, generator: torch.Generator, config: DetectionConfig
) -> tuple[Tensor, Float[Tensor, "batch landmark"]]:
    """Rays with noise and outliers, and the size of each joint's noise in pixels of the crop."""
    count, joints = rays.shape[:2]
    low, high = (math.log(value) for value in config.noise_px)
    person = torch.exp(low + (high - low) * torch.rand(count, 1, generator=generator))
    joint = torch.exp(0.4 * torch.randn(count, joints, generator=generator))
    far = torch.tensor([next((f for part, f in _FAR.items() if part in name), 1.0) for name in BODY_LANDMARKS])
    sigma = person * joint * far
    error = sigma[..., None] * torch.randn(rays.shape, generator=generator)
    wild = torch.rand(count, joints, generator=generator) < config.outlier_share
    error = torch.where(wild[..., None], 100 * torch.rand(rays.shape, generator=generator) - 50, error)
    sigma = torch.where(wild, 25.0, sigma)
    return rays + error * (size / CROP_PX)[:, None, None], sigma


def _inside(rays: Tensor, views: ViewBatch) -> Bool[Tensor, "batch landmark"]:
    camera = views.camera
    points = rays * camera.focal_px[:, None] + camera.center_px[:, None]
    return ((points >= 0) & (points <= camera.image_size[:, None])).all(-1)


def _cut(rays: Tensor, seen: Tensor, generator: torch.Generator, config: DetectionConfig) -> Bool[Tensor, "b l"]:
    """What lies beyond a line across the body, mostly below: tables, picture borders, other people."""
    count = len(rays)
    chosen = torch.rand(count, generator=generator) < config.cut_share
    angle = torch.where(
        torch.rand(count, generator=generator) < 0.7,
        0.15 * torch.randn(count, generator=generator),
        2 * math.pi * torch.rand(count, generator=generator),
    )
    along = rays @ torch.stack([angle.sin(), angle.cos()], dim=-1)[..., None]
    along = along[..., 0]
    low = along.masked_fill(~seen, math.inf).amin(1)
    high = along.masked_fill(~seen, -math.inf).amax(1)
    line = low + (high - low) * (0.25 + 0.75 * torch.rand(count, generator=generator))
    return chosen[:, None] & (along > line[:, None])


def _confidence(quality: Tensor, outside: Tensor, clean: Tensor, generator: torch.Generator) -> Tensor:
    """Confidences that fall with the noise, each detector in its own way, and some that say nothing."""
    count = len(quality)
    scale = torch.exp(2.0 + 0.6 * torch.randn(count, 1, generator=generator))
    sure = torch.exp(-quality / scale) + 0.08 * torch.randn(quality.shape, generator=generator)
    sure = torch.where(outside, 0.3 * torch.rand(quality.shape, generator=generator), sure)
    silent = torch.rand(count, generator=generator) < 0.25
    return torch.where((clean | silent)[:, None], torch.ones_like(sure), sure.clamp(0.02, 1.0))


def _dropped(shape: tuple[int, ...], generator: torch.Generator, config: DetectionConfig) -> Bool[Tensor, "b l"]:
    chance = config.missing_most * torch.rand(shape[0], generator=generator)
    if config.missing_exactly is not None:
        chance = torch.full_like(chance, config.missing_exactly)
    chance = torch.where(torch.rand(shape[0], generator=generator) < config.missing_share, chance, 0.0)
    return torch.rand(shape, generator=generator) < chance[:, None]


def _swapped(rays: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Left and right exchanged, all over, in the legs or in the arms."""
    mirrored = rays[:, list(LANDMARK_FLIP)]
    parts = torch.ones(3, rays.shape[1], dtype=torch.bool)
    parts[1] = parts[2] = False
    parts[1, _LEG], parts[2, _ARM] = True, True
    part = parts[torch.randint(3, (len(rays),), generator=generator)]
    chosen = torch.rand(len(rays), generator=generator) < share
    return torch.where((part & chosen[:, None])[..., None], mirrored, rays)
