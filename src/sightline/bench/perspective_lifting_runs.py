"""Networks of one seed, one per variant, trained side by side on the same people and scored on the same others."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.bench.abspose_runs import digest_of, kept_or_measured
from sightline.bench.perspective_lifting_inputs import DEPTH_WEIGHT, Variant, VariantLifter, placed, seen, truth
from sightline.bench.perspective_lifting_views import People, Scene, miscalibrated, sample_people
from sightline.data.virtual import step_generator
from sightline.metrics.functional import mpjpe, mrpe
from sightline.training.data import read_splits

TEST_SEED, EXAMPLES_SEED = 90_000, 91_000
ANGLES_DEG = (0, 10, 20, 30, 40, 60)
"""Bins of the angle off the axis."""
LEAST_SHARE = 0.01
"""Share of the test people that a bin holds at least."""
EXACT = "exact calibration"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is trained and tested."""

    steps: int = 3500
    batch: int = 256
    width: int = 256
    learning_rate: float = 1e-3
    examples: int = 4096
    """People on whom the size of inputs and outputs is measured."""
    views: int = 16_384
    """People on whom networks are scored."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Errors of the camera that networks are told in the test; see `miscalibrated`."""

    focal: float = 0.0
    centre: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Group:
    """Variants that are trained on the same scene and tested on another."""

    name: str
    train: Scene
    test: Scene
    variants: tuple[Variant, ...]
    calibrations: Mapping[str, Calibration]


def run_group(group: Group, seed: int, effort: Effort, library: Path | None, cache: Path | None) -> dict[str, Any]:
    """Train and score a group's variants with one seed, or return what the cache holds of the same."""
    key = [asdict(group), seed, asdict(effort), DEPTH_WEIGHT, digest_of(library)]
    return kept_or_measured(cache, f"{group.name}-{seed}", key, lambda: _measured(group, seed, effort, library))


def _measured(group: Group, seed: int, effort: Effort, library: Path | None) -> dict[str, Any]:
    began = time.perf_counter()
    torch.set_num_threads(1)
    splits = read_splits(library)
    lifters = train(group, seed, effort, splits.train)
    people = sample_people(splits.test, effort.views, step_generator(TEST_SEED, 0), group.test)
    found = []
    for lifter in lifters:
        scores = {name: score(lifter, people, wrong) for name, wrong in group.calibrations.items()}
        found.append({"variant": lifter.variant.name, "parameters": lifter.parameters_count, "scores": scores})
    return {"group": group.name, "seed": seed, "seconds": time.perf_counter() - began, "variants": found}


def train(group: Group, seed: int, effort: Effort, joints_world: Float[Tensor, "frame 17 3"]) -> list[VariantLifter]:
    """Train one network per variant from the same first weights, on the same people at each step."""
    examples = sample_people(joints_world, effort.examples, step_generator(EXAMPLES_SEED, 0), group.train)
    lifters = [_started(variant, effort.width, examples, seed) for variant in group.variants]
    optimizers = [torch.optim.Adam(lifter.parameters(), lr=effort.learning_rate, fused=True) for lifter in lifters]
    for step in range(effort.steps):
        people = sample_people(joints_world, effort.batch, step_generator(seed, step), group.train)
        share = 0.5 * (1.0 + math.cos(math.pi * step / effort.steps))
        for lifter, optimizer in zip(lifters, optimizers, strict=True):
            shown = seen(lifter.variant, people.keypoints_px, people.intrinsics, people.joints_cam[:, 0, 2])
            loss = lifter.loss(lifter(shown), truth(lifter.variant, people, shown))
            optimizer.zero_grad()
            loss.backward()
            optimizer.param_groups[0]["lr"] = share * effort.learning_rate
            optimizer.step()
    return [lifter.eval() for lifter in lifters]


def _started(variant: Variant, width: int, examples: People, seed: int) -> VariantLifter:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VariantLifter(variant, width, examples)


@torch.no_grad()
def score(lifter: VariantLifter, people: People, wrong: Calibration) -> dict[str, float]:
    """Score a network in evaluation mode that is told a wrong calibration: metres, sample means.

    `mpjpe` with the roots laid on each other, over all people and, with the right calibration, by the angle of the
    pelvis off the axis; for networks that place people also `mrpe`, heights unknown and known, and `canonical_depth`:
    the error of depth / focal (m per px).
    """
    variant, true = lifter.variant, people.joints_cam
    intrinsics = miscalibrated(people.intrinsics, focal=wrong.focal, centre=wrong.centre)
    shown = seen(variant, people.keypoints_px, intrinsics, true[:, 0, 2])
    answer = lifter(shown)
    predicted = placed(variant, answer, shown, torch.full_like(people.stature_m, lifter.mean_stature_m))
    errors = mpjpe(predicted, true, reduction="none")
    scores = {"mpjpe": float(errors.mean())}
    if wrong == Calibration():
        scores |= by_angle(errors, people.eccentricity_deg)
    if variant.depth is not None:
        tall = placed(variant, answer, shown, people.stature_m)
        canonical = predicted[:, 0, 2] / shown.focal_px - true[:, 0, 2] / people.intrinsics[:, 0, 0]
        scores |= {
            "mpjpe_height_known": float(mpjpe(tall, true)),
            "mrpe": float(mrpe(predicted, true)),
            "mrpe_height_known": float(mrpe(tall, true)),
            "canonical_depth": float(canonical.abs().mean()),
        }
    return scores


def by_angle(errors: Float[Tensor, " batch"], angles_deg: Float[Tensor, " batch"]) -> dict[str, float]:
    """Mean errors by angle off the axis, as `mpjpe_LOW_HIGH`; bins with hardly anybody are left out."""
    found = {}
    for low, high in zip(ANGLES_DEG[:-1], ANGLES_DEG[1:], strict=True):
        inside = (angles_deg >= low) & (angles_deg < high)
        if int(inside.sum()) >= LEAST_SHARE * len(errors):
            found[f"mpjpe_{low}_{high}"] = float(errors[inside].mean())
    return found


def per_variant(results: Sequence[Mapping[str, Any]], group: str) -> list[dict[str, Any]]:
    """One group's results, one per variant and seed."""
    return [{**of, "seed": r["seed"]} for r in results if r["group"] == group for of in r["variants"]]
