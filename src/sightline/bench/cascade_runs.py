"""The cascade of paper 002, section 4: a 2D estimator learns from pictures, a lifter from what it would see."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from sightline.bench.abspose_runs import kept_or_measured
from sightline.bench.cascade_people import (
    Seen,
    boxes_path,
    chosen,
    estimated,
    finder_digest,
    joined,
    views_of,
    with_mirror,
)
from sightline.bench.perspose_runs import SPREADS, Pictures, set_folder
from sightline.data.virtual import ViewBatch
from sightline.formats.atomic import atomic_path
from sightline.methods.abspose.decode import RootRule
from sightline.methods.abspose.estimator import EstimatorConfig, JointEstimator
from sightline.methods.abspose.estimator_weights import load_estimator
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.methods.abspose.noise import (
    MIN_SAMPLES,
    ErrorModel,
    errors_in_crop,
    fit_gaussian,
    fit_mixture,
    read_error_model,
    sample,
    write_error_model,
)
from sightline.methods.perspose.augment import AugmentConfig
from sightline.recipes.abspose import abspose_quick
from sightline.training.config import EstimatorRunConfig, LifterConfig, config_to_json
from sightline.training.lifter import ViewSource, lift_views
from sightline.training.pictures import MixedPeople, SetPeople
from sightline.training.run import train_joints, train_lifter
from sightline.training.scores import score_poses
from sightline.training.ship_joints import ship_joints

VERSION: Final = 2
"""To be raised whenever other scores follow from the same networks, so that no older ones are taken from a cache."""
SPLITS: Final = ("train", "val", "test")
ROOTS: Final[Mapping[str, RootRule]] = {
    "learned": "learned", "weak perspective": "weak_perspective", "perspective": "perspective",
}  # fmt: skip
"""Where the root comes from: of the network, of the analytic rival (table 3), of a linear solve."""
ESTIMATOR: Final = "cascade-estimator"
"""Name of the 2D estimator's weights."""
KINDS: Final = ("mixture", "gaussian")
"""Of error models."""
FOUND: Final = "estimate in found boxes, learned root"
FOUND_TRUE: Final = "estimate of the same people in true boxes, learned root"
"""Tests on those whom a detector finds."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What 2D a lifter learns from."""

    name: str
    source: str
    """truth, estimate, gaussian or mixture."""
    located: bool = True
    """Whether the lifter is told where in the picture the 2D pose is, and how large."""


PLAIN: Final = Variant(name="truth, without location and scale", source="truth", located=False)
TRUTH: Final = Variant(name="truth", source="truth")
ESTIMATE: Final = Variant(name="2D estimate", source="estimate")
GAUSSIAN: Final = Variant(name="single Gaussian", source="gaussian")
MIXTURE: Final = Variant(name="mixture", source="mixture")
VARIANTS: Final = (PLAIN, TRUTH, ESTIMATE, GAUSSIAN, MIXTURE)


@dataclass(frozen=True, kw_only=True)
class Effort(Pictures):
    """How much is rendered, trained and tested."""

    estimator: EstimatorConfig = EstimatorConfig(
        backbone="resnet10t", backbone_channels=(32, 64, 128, 256), channels=48, size_px=96
    )
    estimator_steps: int = 2500
    estimator_batch: int = 32
    least_errors: int = MIN_SAMPLES
    """Of each joint, within the error model's reach, for one to be fitted."""
    width: int = 1024
    """Of the lifters."""
    steps: int = 2500
    batch: int = 256


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant, trained with one seed."""

    variant: Variant
    seed: int


def estimator_config(effort: Effort) -> EstimatorRunConfig:
    """Return the run of the 2D estimator."""
    return EstimatorRunConfig(
        name=ESTIMATOR,
        model=effort.estimator,
        augment=AugmentConfig(roll_deg=10.0, zoom=(0.8, 1.1), target=0.05, cut_out_share=0.2),
        steps=effort.estimator_steps,
        batch_size=effort.estimator_batch,
        learning_rate=2e-3,
        warmup_steps=max(1, effort.estimator_steps // 20),
        average_decay=0.99,
        clip_norm=10.0,
        workers=0,
        validate_every=0,
        checkpoint_every=max(1, effort.estimator_steps),
    )


def lifter_config(run: Run, effort: Effort) -> LifterConfig:
    """Return the run of a lifter; variants differ in what their names say and in nothing else."""
    quick, located = abspose_quick(), run.variant.located
    return replace(
        quick,
        name="cascade-lifter",
        model=AbsPoseConfig(width=effort.width, location=located, scale=located),
        steps=effort.steps,
        batch_size=effort.batch,
        warmup_steps=max(1, effort.steps // 20),
        validate_every=0,
        checkpoint_every=max(1, effort.steps),
        seed=run.seed,
    )


def kept_folder(effort: Effort, library: Path | None, folder: Path) -> Path:
    """Return the folder of what the lifters of a benchmark share, named by all that it depends on.

    It holds the estimator's weights with their passport, which `sightline predict --detector integral:PASSPORT` takes,
    `mixture.json` and `gaussian.json`, which `sightline train --error-model` takes, and the estimates.
    """
    names = [set_folder(folder, spread, split, effort, library).name for split in SPLITS for spread in SPREADS]
    key = [config_to_json(estimator_config(effort), only_changed=True), names, effort.least_errors, VERSION]
    return folder / f"cascade-{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}"


def estimates_path(effort: Effort, library: Path | None, folder: Path) -> Path:
    """Return the file of the estimates, named by all that they depend on."""
    return kept_folder(effort, library, folder) / f"estimates-{finder_digest()}.npz"


def estimates(effort: Effort, library: Path | None, folder: Path) -> dict[str, Any]:
    """Train the 2D estimator on the training split's pictures, see those of all splits with it, and fit its errors.

    People of the validation split are others than those that it learns from: whoever fits an error model to what it
    gets wrong there has left subjects out, as the paper does. Of the test split it also looks into the boxes found.

    Args:
        effort: how long, and on how many pictures.
        library: whose poses people have.
        folder: of the rendered sets and found boxes, where all of this is kept too.
    """
    path = estimates_path(effort, library, folder)
    if all(its.exists() for its in (path, *(path.with_name(f"{kind}.json") for kind in KINDS))):
        return {"seconds": 0.0}
    torch.set_num_threads(1)
    keys = [(split, spread) for split in SPLITS for spread in SPREADS]
    sets = {(split, spread): set_folder(folder, spread, split, effort, library) for split, spread in keys}
    people = {key: SetPeople(its, body=False) for key, its in sets.items()}
    network, seconds = _estimator(effort, people, path.parent)
    found = {"_".join(key): estimated(network, its).numpy() for key, its in people.items()}
    for spread in SPREADS:
        boxes = np.load(boxes_path(sets["test", spread]))
        found[f"found_{spread}"] = estimated(network, people["test", spread], boxes).numpy()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **found)  # pyright: ignore[reportArgumentType]
    for model in error_models(errors_of(seen_of("val", effort, library, folder)), effort.least_errors):
        write_error_model(model, path.with_name(f"{model.kind}.json"))
    return {"seconds": seconds}


def _estimator(effort: Effort, people: Mapping[tuple[str, str], SetPeople], kept: Path) -> tuple[JointEstimator, float]:
    """The 2D estimator, from its weights, and in how many seconds it was trained; 0 where it was there."""
    passport, seconds = kept / f"{ESTIMATOR}.json", 0.0
    if not passport.exists():
        began = time.perf_counter()
        parts = tuple(people["train", spread] for spread in SPREADS)
        trained = train_joints(estimator_config(effort), MixedPeople(parts=parts, shares=(1.0,) * len(parts)))
        seconds = time.perf_counter() - began
        credit = "; ".join(f"rendered people ({part.digest})" for part in parts)
        credit += "; acknowledgements and licence texts in NOTICE"
        ship_joints(trained, people["test", "wide"], kept, credit=credit, command="sightline bench cascade")
    return load_estimator(passport)[0], seconds


def seen_of(split: str, effort: Effort, library: Path | None, folder: Path) -> Seen:
    """Return everybody of a split who is before the camera, with what the estimator saw of them."""
    with np.load(estimates_path(effort, library, folder)) as kept:
        estimate, found = (
            torch.cat([torch.from_numpy(kept[f"{name}_{spread}"]) for spread in SPREADS])
            for name in (split, "found" if split == "test" else split)
        )
    if split != "test":
        found = torch.full_like(found, torch.nan)
    parts = [SetPeople(set_folder(folder, spread, split, effort, library), body=False) for spread in SPREADS]
    seen = Seen(views=joined([views_of(its) for its in parts]), estimate_px=estimate, found_px=found)
    return chosen(seen, seen.views.visible.all(1) & estimate.isfinite().flatten(1).all(1))


def errors_of(seen: Seen) -> np.ndarray:
    """Return what the estimator gets wrong in true boxes, in pixels of people's crops."""
    return errors_in_crop(seen.estimate_px.numpy(), seen.views.keypoints_px.numpy())


def error_models(errors: np.ndarray, least: int = MIN_SAMPLES) -> tuple[ErrorModel, ErrorModel]:
    """Return mixture and single Gaussian of what the estimator gets wrong of people it did not learn from."""
    return fit_mixture(errors, min_samples=least)[0], fit_gaussian(errors, min_samples=least)


def kept_models(effort: Effort, library: Path | None, folder: Path) -> dict[str, ErrorModel]:
    """Return both error models, by kind."""
    kept = kept_folder(effort, library, folder)
    return {kind: read_error_model(kept / f"{kind}.json") for kind in KINDS}


def source_of(run: Run, effort: Effort, pool: Seen, models: Mapping[str, ErrorModel]) -> ViewSource:
    """Return where a lifter's views come from: people of the training pictures, with the 2D that the variant says.

    Half of the people of a batch are in a mirror, the estimates too.
    """
    both = with_mirror(pool)

    def source(generator: torch.Generator) -> ViewBatch:
        some = chosen(both, torch.randint(len(both.estimate_px), (effort.batch,), generator=generator))
        if run.variant.source == "estimate":
            return some.views._replace(keypoints_px=some.estimate_px)
        model = models.get(run.variant.source)
        if model is None:
            return some.views
        return some.views._replace(keypoints_px=sample(model, some.views.keypoints_px, generator))

    return source


def run_one(run: Run, effort: Effort, library: Path | None, folder: Path, cache: Path | None) -> dict[str, Any]:
    """Train a lifter and score the cascade, or return what the cache holds of the same.

    Args:
        run: what to train.
        effort: how long.
        library: whose poses people have.
        folder: of the rendered sets and the estimates.
        cache: folder where results are kept.
    """
    seen = estimates_path(effort, library, folder)
    config = config_to_json(lifter_config(run, effort), only_changed=True)
    key = [config_to_json(run, only_changed=True), config, seen.parent.name, seen.name, VERSION]
    name = f"cascade-{run.variant.name.replace(' ', '-').replace(',', '')}-{run.seed}"
    return kept_or_measured(cache, name, key, lambda: _measured(run, effort, library, folder))


def _measured(run: Run, effort: Effort, library: Path | None, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    pool, test = (seen_of(split, effort, library, folder) for split in ("train", "test"))
    began = time.perf_counter()
    source = source_of(run, effort, pool, kept_models(effort, library, folder))
    trained = train_lifter(lifter_config(run, effort), pool.views.joints_cam, source=source)
    seconds = time.perf_counter() - began
    return {"variant": run.variant.name, "seed": run.seed, "seconds": seconds, "scores": scores(trained.network, test)}


def scores(lifter: AbsPoseLifter, test: Seen) -> dict[str, dict[str, Any]]:
    """Return the scores of a lifter behind the estimator, by test; those on people found where somebody is found."""
    estimate, truth = test.estimate_px, test.views.keypoints_px
    asked: dict[str, tuple[torch.Tensor, RootRule]] = {
        **{f"estimate, {name} root": (estimate, rule) for name, rule in ROOTS.items()},
        "truth, learned root": (truth, "learned"),
        FOUND: (test.found_px, "learned"),
        FOUND_TRUE: (torch.where(test.found[:, None, None], estimate, torch.nan), "learned"),
    }
    told = {}
    for name, (keypoints, rule) in asked.items():
        found = lift_views(lifter, test.views._replace(keypoints_px=keypoints), root=rule)
        known = found.flatten(1).isfinite().all(1)
        if bool(known.any()):
            metres = score_poses(found[known], test.views.joints_cam[known])
            told[name] = {**{f"{key}_mm": 1000 * value for key, value in metres.items()}, "people": int(known.sum())}
    return told
