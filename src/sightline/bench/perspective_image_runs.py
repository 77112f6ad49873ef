"""One training of the image experiment and its scores on held-out pictures, in a process of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.bench.abspose_runs import kept_or_measured
from sightline.bench.perspective_image_networks import Guess, ImageNetwork, Sizes, Variant, loss, mirrored
from sightline.bench.perspective_image_pictures import Batch, Pictures, PictureSet
from sightline.bench.perspective_image_scenes import Frames, Subject
from sightline.data.virtual import step_generator
from sightline.geometry.rotation import rotation_angle
from sightline.metrics.functional import mpjpe
from sightline.perspective.stn import Region

TRAIN_SEED, TEST_SEED = 81_000, 91_000
BANDS_DEG: Mapping[str, tuple[float, float]] = {"centre": (0, 20), "middle": (20, 35), "border": (35, 60)}
"""Angle between the optical axis and the ray to the hips, or to the object's origin."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is rendered, trained and tested."""

    train_pictures: int = 8192
    test_pictures: int = 2048
    steps: int = 4000
    batch: int = 32
    learning_rate: float = 2e-3
    """Between 1e-3 and 3e-3, which learnt people faster in a trial of 1,100 steps, though of distances, not squares."""
    side_px: int = 256
    """Of the frames."""
    guided_share: float = 0.5
    """Share of the steps, the first ones, in which crops lie where they should, whatever the localiser says."""
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant, trained with one seed on pictures of one subject."""

    subject: Subject
    variant: Variant
    seed: int


def picture_sets(subject: Subject, effort: Effort, library: Path | None) -> dict[str, PictureSet]:
    """Return the pictures to train and to test on: other scenes, and of a library the poses of other people."""
    frames, path = Frames(subject=subject, side_px=effort.side_px), None
    if library is not None and subject == "people":
        path = str(library)
    return {
        split: PictureSet(frames=frames, library=path, split=split, seed=seed, count=count)
        for split, seed, count in (
            ("train", TRAIN_SEED, effort.train_pictures),
            ("test", TEST_SEED, effort.test_pictures),
        )
    }


def run_one(run: Run, effort: Effort, library: Path | None, pictures: Path, cache: Path | None) -> dict[str, Any]:
    """Train and score one run, or return what the cache holds of the same.

    Args:
        run: what to train.
        effort: how long.
        library: whose poses people have.
        pictures: folder that `render_sets` wrote the pictures to.
        cache: folder where results are kept.
    """
    sets = picture_sets(run.subject, effort, library)
    key = [asdict(run), asdict(effort), {split: its.digest() for split, its in sets.items()}]
    name = f"{run.subject}-{'pcl' if run.variant.perspective else 'stn'}-{run.seed}"
    return kept_or_measured(cache, name, key, lambda: _measured(run, effort, sets, pictures))


def _measured(run: Run, effort: Effort, sets: Mapping[str, PictureSet], folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    train_set, test_set = (Pictures(sets[split].folder(folder), sets[split].count) for split in ("train", "test"))
    began = time.perf_counter()
    network = train(run, effort, train_set)
    return {
        "subject": run.subject,
        "variant": run.variant.name,
        "seed": run.seed,
        "parameters": network.parameters_count,
        "seconds": time.perf_counter() - began,
        "scores": score(network, test_set, effort.batch),
    }


def train(run: Run, effort: Effort, pictures: Pictures) -> ImageNetwork:
    """Train a network; with the same seed all variants start alike and see the same pictures at each step.

    Poses are read at the right places at first, then at those that the localiser finds by then.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        network = ImageNetwork(run.variant, run.subject, effort.sizes)
    optimizer = torch.optim.Adam(network.parameters(), lr=effort.learning_rate, fused=True)
    for step in range(effort.steps):
        truth = drawn_batch(run, effort, pictures, step)
        share = 0.5 * (1.0 + math.cos(math.pi * step / effort.steps))
        optimizer.param_groups[0]["lr"] = share * effort.learning_rate
        optimizer.zero_grad()
        told = Region(truth.center, truth.scale) if step < effort.guided_share * effort.steps else None
        loss(network(truth.image, truth.intrinsics, told), truth).backward()
        optimizer.step()
    return network.eval()


def drawn_batch(run: Run, effort: Effort, pictures: Pictures, step: int) -> Batch:
    """Return the pictures of a step; half of those of people are mirrored."""
    generator = step_generator(run.seed, step)
    rows = torch.randint(len(pictures), (effort.batch,), generator=generator)
    chosen = torch.rand(effort.batch, generator=generator) < 0.5
    batch = pictures.batch(rows.tolist())
    return mirrored(batch, chosen) if run.subject == "people" else batch


@torch.no_grad()
def score(network: ImageNetwork, pictures: Pictures, size: int) -> dict[str, float]:
    """Score a network in evaluation mode on all of a set, `size` pictures at a time.

    Means over the pictures: `error` (of people MPJPE over the 16 joints besides the hips in mm, of objects the angle in
    degrees), also by band as `error_BAND`; `center_px` and `scale_percent` are the localiser's.
    """
    found: list[dict[str, Tensor]] = []
    for first in range(0, len(pictures), size):
        truth = pictures.batch(range(first, min(first + size, len(pictures))))
        found.append(errors(network(truth.image, truth.intrinsics), truth, network.subject))
    of = {name: torch.cat([part[name] for part in found]) for name in found[0]}
    means = {name: float(values.mean()) for name, values in of.items() if name != "eccentricity_deg"}
    return means | by_band(of["error"], of["eccentricity_deg"])


def errors(guess: Guess, truth: Batch, subject: Subject) -> dict[str, Float[Tensor, " batch"]]:
    """Return each picture's errors, and how far off the axis its subject is."""
    if subject == "people":
        error = 1000 * mpjpe(guess.pose, truth.pose, reduction="none")
    else:
        error = torch.rad2deg(rotation_angle(guess.pose, truth.pose))
    side_px = truth.image.shape[-1]
    return {
        "error": error,
        "center_px": 0.5 * side_px * (guess.region.center - truth.center).norm(dim=-1),
        "scale_percent": 100 * (guess.region.scale / truth.scale - 1).abs().mean(-1),
        "eccentricity_deg": truth.eccentricity_deg,
    }


def by_band(error: Float[Tensor, " batch"], angles_deg: Float[Tensor, " batch"]) -> dict[str, float]:
    """Mean errors by angle off the axis, as `error_BAND`; bands with nobody are left out."""
    found = {}
    for name, (low, high) in BANDS_DEG.items():
        inside = (angles_deg >= low) & (angles_deg < high)
        if inside.any():
            found[f"error_{name}"] = float(error[inside].mean())
    return found


def of_variant(results: Sequence[Mapping[str, Any]], subject: str, variant: str) -> list[Mapping[str, Any]]:
    """Return the results of one variant, in the order of their seeds."""
    mine = [result for result in results if (result["subject"], result["variant"]) == (subject, variant)]
    return sorted(mine, key=lambda result: result["seed"])
