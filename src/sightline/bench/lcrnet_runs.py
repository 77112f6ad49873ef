"""One training of LCR-Net++'s ablation and its scores on held-out pictures, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from sightline.bench.abspose_runs import kept_or_measured
from sightline.bench.lcrnet_scoring import VERSION, scores_of_variant
from sightline.bench.lcrnet_sets import ALL, MADE, ONE, TEST, PictureSet
from sightline.errors import UsageError
from sightline.formats.atomic import atomic_path
from sightline.formats.weights import find_passport, read_passport
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.weights import blank_anchors
from sightline.recipes.lcrnet import lcrnet_synth
from sightline.skeleton import get_skeleton
from sightline.training.config import LcrNetRunConfig, config_to_json
from sightline.training.run import train_lcrnet
from sightline.training.scene_sources import mixed_scenes
from sightline.training.scenes import SetScenes


@dataclass(frozen=True, kw_only=True)
class Variant:
    """In what a training differs from the base."""

    name: str
    anchors: int = 50
    """K."""
    skeleton: str = "lcr13"
    iterative: bool = True
    upper_bodies: bool = True
    with_3d: bool = True
    single_map: bool = False
    """Whether there is one map of stride 16 instead of a pyramid."""
    pooling: str = "align-max"
    sources: tuple[str, ...] = (ALL,)
    """Of the pictures that it learns from, all alike."""


BASE: Final = Variant(name="base")
FIRST_ONLY: Final = Variant(name="without the iterative head", iterative=False)
WHOLE_ONLY: Final = Variant(name="without upper-body classes", upper_bodies=False)
FLAT: Final = Variant(name="2D only", with_3d=False)
FEW_ANCHORS: Final = Variant(name="K = 10", anchors=10)
MANY_ANCHORS: Final = Variant(name="K = 100", anchors=100)
MORE_JOINTS: Final = Variant(name="17 joints", skeleton="h36m17")
ALIGNED: Final = Variant(name="one map, RoIAlign", single_map=True)
POOLED: Final = Variant(name="one map, RoI pooling", single_map=True, pooling="pool")
FROM_MADE: Final = Variant(name="poses made by rule", sources=(MADE,))
FROM_ONE: Final = Variant(name="and one motion capture", sources=(MADE, ONE))
FROM_ALL: Final = Variant(name="and all motion capture", sources=(MADE, ALL))
VARIANTS: Final = (
    BASE, FIRST_ONLY, WHOLE_ONLY, FLAT, FEW_ANCHORS, MANY_ANCHORS, MORE_JOINTS, ALIGNED, POOLED,
)  # fmt: skip
SOURCES: Final = (FROM_MADE, FROM_ONE, FROM_ALL)
"""Which need a library of motion capture."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is rendered, trained and tested."""

    train_pictures: int = 2000
    """Of each set."""
    test_pictures: int = 400
    width_px: int = 320
    steps: int = 650
    batch: int = 8
    anchors: tuple[int, int, int] = (50, 10, 100)
    """K of the base and of the variants with fewer and more."""
    hidden: int = 304
    channels: tuple[int, ...] = (48, 96, 192, 384)
    """Of the backbone; with the recipe's own a variant begins with what lcrnet-synth has of it, without its heads."""
    least_score: float = 0.02
    """Of poses that count for AP."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant, trained with one seed."""

    variant: Variant
    seed: int


def variants_of(effort: Effort, library: Path | None, names: Sequence[str] = ()) -> list[Variant]:
    """Return the variants with this effort's numbers of anchors: all that can be, or the base and those named.

    Raises:
        UsageError: for a name that none of them has.
    """
    sized = dict(zip((BASE.anchors, FEW_ANCHORS.anchors, MANY_ANCHORS.anchors), effort.anchors, strict=True))
    every = VARIANTS if library is None else VARIANTS + SOURCES
    known = [variant.name for variant in every]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"variants: expected variants among {', '.join(known)}, got '{unknown[0]}'")
    return [
        replace(variant, anchors=sized[variant.anchors])
        for variant in every
        if not names or variant == BASE or variant.name in names
    ]


def config_of(run: Run, effort: Effort) -> LcrNetRunConfig:
    """Return the run's configuration: recipe lcrnet-synth, shorter, and what the variant changes."""
    recipe, variant = lcrnet_synth(), run.variant
    short, long = 3 * effort.width_px // 4, effort.width_px
    trained = effort.channels == recipe.model.backbone_channels
    model = replace(
        recipe.model,
        backbone_channels=effort.channels,
        hidden=effort.hidden,
        summary=recipe.model.summary if variant.iterative else 0,
        upper_bodies=variant.upper_bodies,
        pyramid=not variant.single_map,
        finest=4 if variant.single_map else recipe.model.finest,
        pooling=variant.pooling,
        short_px=short,
        long_px=long,
    )
    return replace(
        recipe,
        name="lcrnet-bench",
        model=model,
        anchors=variant.anchors,
        skeleton=variant.skeleton,
        backbone_from=recipe.name if trained else "",
        frozen_stride=recipe.frozen_stride if trained else 0,
        sampling=replace(recipe.sampling, with_3d=variant.with_3d),
        size_px=(round(0.8 * short), round(0.8 * long)),
        steps=effort.steps,
        batch_size=effort.batch,
        warmup_steps=max(1, effort.steps // 20),
        average_decay=0.99,
        workers=0,
        validate_every=0,
        checkpoint_every=max(1, effort.steps),
        seed=run.seed,
    )


def picture_set(source: str, effort: Effort, library: Path | None) -> PictureSet:
    """Return the set of a source, of this effort."""
    count = effort.test_pictures if source == TEST else effort.train_pictures
    return PictureSet(source=source, count=count, width_px=effort.width_px, library=library)


def folders_of(run: Run, effort: Effort, library: Path | None, pictures: Path) -> list[Path]:
    """Return the folders of the sets that a run learns from, and last the one that it is tested on."""
    return [picture_set(name, effort, library).folder(pictures) for name in (*run.variant.sources, TEST)]


def run_one(run: Run, effort: Effort, library: Path | None, pictures: Path, cache: Path | None) -> dict[str, Any]:
    """Train and score one run, or return what the cache holds of the same.

    Args:
        run: what to train.
        effort: how long, and on how many pictures.
        library: whose poses people have.
        pictures: folder of the rendered sets.
        cache: folder where weights and results are kept.
    """
    torch.set_num_threads(1)
    folders = folders_of(run, effort, library, pictures)
    is_base = run.variant.name == BASE.name
    key = [*_told(config_of(run, effort)), [its.name for its in folders], effort.least_score, is_base, VERSION]
    name = f"lcrnet-{run.variant.name.replace(' ', '-').replace(',', '').replace('=', '')}-{run.seed}"
    return kept_or_measured(cache, name, key, lambda: _measured(run, effort, folders, cache))


def _told(config: LcrNetRunConfig) -> list[Any]:
    """What tells a training from others, with the very weights that it begins with."""
    begun = read_passport(find_passport(config.backbone_from)).sha256 if config.backbone_from else ""
    return [config_to_json(config), begun]


def _measured(run: Run, effort: Effort, folders: Sequence[Path], cache: Path | None) -> dict[str, Any]:
    skeleton = get_skeleton(run.variant.skeleton)
    network, seconds = trained(run, effort, folders[:-1], cache)
    test = SetScenes(folders[-1], skeleton)
    scored = scores_of_variant(network, test, least_score=effort.least_score, every=run.variant.name == BASE.name)
    return {
        "variant": run.variant.name,
        "seed": run.seed,
        "parameters": sum(value.numel() for value in network.parameters()),
        "anchors": network.count,
        "joints": len(skeleton),
        "seconds": seconds,
        **scored,
    }


def trained(run: Run, effort: Effort, sets: Sequence[Path], cache: Path | None) -> tuple[LcrNet, float]:
    """Return the run's network and the seconds that its training took; weights are kept beside the results."""
    config, skeleton = config_of(run, effort), get_skeleton(run.variant.skeleton)
    key = json.dumps([*_told(config), [its.name for its in sets]], sort_keys=True)
    path = None if cache is None else cache / f"lcrnet-{hashlib.sha256(key.encode()).hexdigest()[:16]}.pt"
    if path is not None and path.exists():
        kept = torch.load(path, weights_only=True)
        network = LcrNet(config.model, blank_anchors(run.variant.skeleton, config.anchors))
        network.load_state_dict(kept["weights"])
        return network.eval(), kept["seconds"]
    scenes = mixed_scenes([SetScenes(folder, skeleton) for folder in sets])
    began = time.perf_counter()
    network = train_lcrnet(config, scenes).network
    seconds = time.perf_counter() - began
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            torch.save({"weights": network.state_dict(), "seconds": seconds}, temporary)
    return network, seconds
