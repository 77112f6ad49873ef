"""One training of the pose machine's ablation, and what every stage of it finds in held-out pictures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.bench.abspose_runs import kept_or_measured
from sightline.bench.perspose_runs import SPLITS, Pictures, set_folder
from sightline.formats.atomic import atomic_path
from sightline.formats.weights import find_passport, read_passport
from sightline.methods.deeplift.layer import BELIEF_NOISE, PoseLayer
from sightline.methods.deeplift.machine import MachineConfig, PoseMachine, as_seen, pitch_of
from sightline.methods.deeplift.shapes import limb_size
from sightline.methods.deeplift.weights import DEFAULT_PRIOR, load_prior
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.geometry import xyz_from_uvd
from sightline.methods.perspose.samples import Samples, crops_of
from sightline.metrics.functional import mpjpe, pa_mpjpe
from sightline.training.config import MachineRunConfig, config_to_json
from sightline.training.joints import PAPER_CROP_PX
from sightline.training.pictures import SetPeople, plain_batches
from sightline.training.run import train_joints

SPREAD: Final = "narrow"
"""Of the pictures that PersPose's benchmark renders: people about the middle of the frame."""
VERSION: Final = 4
"""To be raised whenever other first weights or scores follow from the same run, so that none are taken from a cache."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What a machine does with the prior."""

    name: str
    layer: bool = True
    gradient: bool = True
    between: bool = False
    """Whether the prior is told places between cells, and how much they are believed."""


PLAIN: Final = Variant(name="plain", layer=False)
LAYERED: Final = Variant(name="with the prior")
STOPPED: Final = Variant(name="with the prior, no gradient through it", gradient=False)
BETWEEN: Final = Variant(name="with the prior, between cells", between=True)
BETWEEN_STOPPED: Final = Variant(
    name="with the prior, between cells, no gradient through it", between=True, gradient=False
)
VARIANTS: Final = (PLAIN, LAYERED, STOPPED, BETWEEN, BETWEEN_STOPPED)


@dataclass(frozen=True, kw_only=True)
class Effort(Pictures):
    """How much is rendered, trained and tested."""

    size_px: int = 128
    """Of the crops."""
    stages: int = 4
    features: tuple[int, int, int, int] = (16, 24, 32, 32)
    first: int = 64
    later: int = 32
    kernels: tuple[int, int] = (7, 9)
    plain_steps: int = 2000
    """Which a plain machine learns first, for all variants of a seed to begin with, as the paper's do with theirs."""
    steps: int = 1000
    batch: int = 16


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant, trained with one seed."""

    variant: Variant
    seed: int


def config_of(run: Run, effort: Effort) -> MachineRunConfig:
    """Return the run's configuration; variants differ in what their names say and in nothing else."""
    return MachineRunConfig(
        name="cpm-bench",
        model=MachineConfig(
            size_px=effort.size_px,
            stages=effort.stages,
            features=effort.features,
            first=effort.first,
            later=effort.later,
            kernels=effort.kernels,
            normalised=True,
            layer=run.variant.layer,
            layer_gradient=run.variant.gradient,
            locate="peak" if run.variant.between else "hard",
            weigh_by_belief=run.variant.between,
            sigma_cells=1.0,
        ),
        augment=AugmentConfig(roll_deg=0.0, zoom=(0.8, 1.1), target=0.05, cut_out_share=0.0, noise=0.0, blur_px=0.0),
        steps=effort.steps,
        batch_size=effort.batch,
        learning_rate=2e-3,
        warmup_steps=max(1, effort.steps // 20),
        average_decay=0.99,
        clip_norm=100.0,
        workers=0,
        validate_every=0,
        checkpoint_every=max(1, effort.steps),
        seed=run.seed,
    )


def first_config(seed: int, effort: Effort) -> MachineRunConfig:
    """Return the run of the plain machine that all variants of a seed begin with."""
    return config_of(Run(variant=PLAIN, seed=seed + 1000), replace(effort, steps=effort.plain_steps))


def people_of(folder: Path, split: str, effort: Effort, library: Path | None) -> SetPeople:
    """Return the people of a rendered split."""
    return SetPeople(set_folder(folder, SPREAD, split, effort, library), body=False)


def first_path(seed: int, effort: Effort, library: Path | None, folder: Path) -> Path:
    """Return the file of first weights, named by all that they depend on."""
    train = set_folder(folder, SPREAD, "train", effort, library).name
    key = [config_to_json(first_config(seed, effort), only_changed=True), train, VERSION]
    return folder / f"cpm-first-{seed}-{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}.pt"


def first_weights(seed: int, effort: Effort, library: Path | None, folder: Path) -> dict[str, Any]:
    """Train the plain machine of a seed, unless it is there already."""
    path = first_path(seed, effort, library, folder)
    if path.exists():
        return {"seconds": 0.0}
    torch.set_num_threads(1)
    began = time.perf_counter()
    trained = train_joints(first_config(seed, effort), people_of(folder, "train", effort, library))
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        torch.save(trained.network.state_dict(), temporary)
    return {"seconds": time.perf_counter() - began}


def run_one(run: Run, effort: Effort, library: Path | None, folder: Path, cache: Path | None) -> dict[str, Any]:
    """Train and score one run, or return what the cache holds of the same.

    Args:
        run: what to train.
        effort: how long.
        library: whose poses people have.
        folder: of the rendered sets and first weights.
        cache: folder where results are kept.
    """
    sets = [set_folder(folder, SPREAD, split, effort, library).name for split in SPLITS]
    first = first_path(run.seed, effort, library, folder)
    prior = read_passport(find_passport(DEFAULT_PRIOR)).sha256
    config = config_to_json(config_of(run, effort), only_changed=True)
    key = [config_to_json(run, only_changed=True), config, sets, first.name, prior, VERSION]
    name = f"cpm-{run.variant.name.replace(' ', '-').replace(',', '')}-{run.seed}"
    return kept_or_measured(cache, name, key, lambda: _measured(run, effort, library, folder, first))


def _measured(run: Run, effort: Effort, library: Path | None, folder: Path, first: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    plain = PoseMachine(first_config(run.seed, effort).model)
    plain.load_state_dict(torch.load(first, weights_only=True))
    began = time.perf_counter()
    trained = train_joints(config_of(run, effort), people_of(folder, "train", effort, library), first=plain)
    seconds = time.perf_counter() - began
    test = people_of(folder, "test", effort, library)
    return {
        "variant": run.variant.name,
        "seed": run.seed,
        "parameters": sum(value.numel() for value in trained.network.parameters()),
        "seconds": seconds,
        "people": len(test),
        "own_maps": [float(fusion.share.detach()) for fusion in trained.network.fusion],
        "stages": stage_scores(trained.network, test),
    }


@torch.no_grad()
def stage_scores(network: PoseMachine, people: SetPeople) -> list[dict[str, float]]:
    """Return for each stage what its maps are worth in 2D, and what the prior makes of them in 3D.

    Errors in 2D are mean distances of joints inside their crop, in pixels of a crop of 256 px. In 3D the pose that the
    prior lifts the fused maps to has the person's true size; MPJPE is about the hips, in the crop's frame. `own_…` are
    those of the network's own maps: of fused ones that weigh nothing but them. A plain machine's are its fused ones.
    """
    layer = PoseLayer.of(load_prior()[0])
    told: list[dict[str, list[Tensor]]] = [{} for _ in range(network.config.stages)]
    for batch in plain_batches(people, crops_of(network), range(len(people))):
        true, joints = batch.truth.uv_px, _joints(batch)
        inside = true.isfinite().all(-1) & ((true >= 0) & (true <= network.size_px)).all(-1)
        stages = network(as_seen(batch.crops), pitch_of(batch.up))
        for kept, stage in zip(told, stages, strict=True):
            for name, maps in (("own_", stage.own), ("", stage.fused)):
                if name and stage.projected is None:
                    continue
                seen = network.read(maps).points_px
                apart = (seen - true).norm(dim=-1)[inside] * PAPER_CROP_PX / network.size_px
                kept.setdefault(f"{name or 'fused_'}px", []).append(apart)
                lifted = layer(seen, pitch=pitch_of(batch.up), noise=BELIEF_NOISE)
                posed = lifted.pose.float() * limb_size(joints)[:, None, None]
                known = joints.isfinite().flatten(1).all(1) & lifted.valid
                for error, value in (("mpjpe_mm", mpjpe), ("pa_mpjpe_mm", pa_mpjpe)):
                    far = 1000 * value(posed[known], joints[known], reduction="none").flatten()
                    kept.setdefault(f"{name}{error}", []).append(far)
    return [{name: float(torch.cat(values).mean()) for name, values in kept.items()} for kept in told]


def _joints(batch: Samples) -> Float[Tensor, "batch 17 3"]:
    """The true joints in the frames of the crops' cameras (m)."""
    truth = batch.truth
    return xyz_from_uvd(truth.uv_px, truth.depth_m, truth.scale_m_px, batch.views.intrinsics)


def mean_of(results: Sequence[Mapping[str, Any]], variant: Variant, stage: int, name: str) -> float:
    """Return a stage's score of a variant, the mean over seeds."""
    mine = [result["stages"][stage][name] for result in results if result["variant"] == variant.name]
    return sum(mine) / len(mine) if mine else float("nan")
