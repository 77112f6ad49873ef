"""One training of PersPose's ablation and its scores on held-out pictures, in a process of its own."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float

from sightline.bench.abspose_runs import digest_of, kept_or_measured
from sightline.bench.perspective_image_pictures import renderer_digest
from sightline.bench.perspective_image_scenes import Frames, drawn
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.model import PersPoseConfig
from sightline.skeleton import get_skeleton
from sightline.synth.dataset import renderer_versions, write_set
from sightline.synth.drawing import warp
from sightline.synth.poses import LibraryPoses, PoseSource, ProceduralPoses
from sightline.synth.render import render
from sightline.synth.rendered import Rendered
from sightline.synth.shards import Encoding
from sightline.training.config import PersPoseRunConfig
from sightline.training.pictures import SetPeople
from sightline.training.run import train_perspose
from sightline.training.ship_perspose import millimetres

SPREADS: Final[Mapping[str, float]] = {"narrow": 0.15, "wide": 1.0}
"""Share of the frame, about its middle, over which people are spread: some 7° off the axis, or all of a 90° lens."""
SEEDS: Final[Mapping[str, int]] = {"train": 83_000, "test": 93_000}
_LANDMARKS: Final = tuple(ALL_LANDMARKS[row] for row in rows_of(get_skeleton("h36m17")))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What a network is told of perspective."""

    name: str
    encoding: bool
    rotation: bool


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is rendered, trained and tested."""

    train_pictures: int = 4096
    test_pictures: int = 1024
    side_px: int = 320
    """Of the pictures."""
    size_px: int = 96
    """Of the crops."""
    backbone: str = "mobilenetv4_conv_small_050"
    channels: int = 64
    vector_size: int = 256
    steps: int = 1000
    batch: int = 32


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant, trained with one seed on people of one spread."""

    spread: str
    variant: Variant
    seed: int


@dataclass(frozen=True, kw_only=True)
class Framed:
    """Renders the picture of a number; may be sent to other processes."""

    frames: Frames
    poses: PoseSource
    seed: int

    def __call__(self, index: int) -> Rendered:
        """Draw the scene of this number and render it."""
        warp()  # before the body model starts it with a banner
        return render(drawn(self.frames, self.poses, self.seed, index)[0], self.frames.samples)


def set_folder(cache: Path, spread: str, split: str, effort: Effort, library: Path | None) -> Path:
    """Return the folder of a set, named by all that its pictures depend on."""
    count = effort.train_pictures if split == "train" else effort.test_pictures
    decisive = (SPREADS[spread], split, count, effort.side_px, digest_of(library), renderer_digest(), SEEDS[split])
    digest = hashlib.sha256(repr(decisive).encode()).hexdigest()[:12]
    return cache / f"perspose-{spread}-{split}-{digest}"


def render_set(cache: Path, spread: str, split: str, effort: Effort, library: Path | None) -> dict[str, Any]:
    """Render a set of one person in each picture, or what is missing of it."""
    poses: PoseSource = ProceduralPoses() if library is None else LibraryPoses(path=str(library), split=split)
    frames = Frames(subject="people", side_px=effort.side_px, reach=SPREADS[spread])
    count = effort.train_pictures if split == "train" else effort.test_pictures
    write_set(
        set_folder(cache, spread, split, effort, library),
        Framed(frames=frames, poses=poses, seed=SEEDS[split]),
        count,
        seed=SEEDS[split],
        config={"frames": asdict(frames), "poses": "rule" if library is None else library.name},
        encoding=Encoding(image="jpeg", depth=False, mask=False, body=False),
        made_with=renderer_versions(),
        shard_size=64,
    )
    return {"pictures": count}


def angles_deg(people: SetPeople) -> Float[np.ndarray, " person"]:
    """Return φ of eq. 14 for everybody: the angle between the ray of the box's middle and the optical axis."""
    found = []
    for row in range(len(people)):
        _, person = people[row]
        assert person.camera is not None
        middle = torch.from_numpy((person.box_px[:2] + person.box_px[2:]) / 2)
        ray = person.camera.unproject(middle)[0].numpy()
        found.append(math.degrees(math.atan2(float(np.hypot(ray[0], ray[1])), float(ray[2]))))
    return np.array(found)


def config_of(run: Run, effort: Effort) -> PersPoseRunConfig:
    """Return the run's configuration; variants differ in what their names say and in nothing else."""
    return PersPoseRunConfig(
        name=f"{run.variant.name}-{run.spread}",
        model=PersPoseConfig(
            backbone=effort.backbone,
            size_px=effort.size_px,
            landmarks=_LANDMARKS,
            encoding=run.variant.encoding,
            rotation=run.variant.rotation,
            shape_numbers=0,
            channels=effort.channels,
            vector_size=effort.vector_size,
        ),
        augment=replace(AugmentConfig(), target=0.0),
        steps=effort.steps,
        batch_size=effort.batch,
        learning_rate=1.5e-3,
        warmup_steps=max(1, effort.steps // 20),
        average_decay=0.995,
        clip_norm=10.0,
        precision="32-true",
        workers=0,
        validate_every=0,
        seed=run.seed,
    )


def run_one(run: Run, effort: Effort, library: Path | None, pictures: Path, cache: Path | None) -> dict[str, Any]:
    """Train and score one run, or return what the cache holds of the same.

    Args:
        run: what to train.
        effort: how long.
        library: whose poses people have.
        pictures: folder of the rendered sets.
        cache: folder where results are kept.
    """
    folders = {split: set_folder(pictures, run.spread, split, effort, library) for split in SEEDS}
    key = [asdict(run), asdict(effort), {split: folder.name for split, folder in folders.items()}]
    name = f"perspose-{run.spread}-{run.variant.name.replace(' + ', '-')}-{run.seed}"
    return kept_or_measured(cache, name, key, lambda: _measured(run, effort, folders))


def _measured(run: Run, effort: Effort, folders: Mapping[str, Path]) -> dict[str, Any]:
    torch.set_num_threads(1)
    train, test = (SetPeople(folders[split], body=False) for split in ("train", "test"))
    began = time.perf_counter()
    trained = train_perspose(config_of(run, effort), train)
    seconds = time.perf_counter() - began
    return {
        "spread": run.spread,
        "variant": run.variant.name,
        "seed": run.seed,
        "parameters": sum(value.numel() for value in trained.lifter.parameters()),
        "seconds": seconds,
        "scores": millimetres(trained.lifter, test),
    }
