"""One training of PersPose's ablation and its scores on held-out pictures, in a process of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float

from sightline.angles import angles_of_set
from sightline.bench.abspose_runs import digest_of, in_processes, kept_or_measured
from sightline.bench.perspective_image_pictures import renderer_digest
from sightline.bench.perspective_image_scenes import Frames, drawn
from sightline.formats.atomic import atomic_path
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.model import PersPose, PersPoseConfig
from sightline.methods.perspose.samples import Person
from sightline.skeleton import get_skeleton
from sightline.synth.dataset import renderer_versions, write_set
from sightline.synth.drawing import warp
from sightline.synth.poses import LibraryPoses, PoseSource, ProceduralPoses
from sightline.synth.render import render
from sightline.synth.rendered import Rendered
from sightline.synth.shards import Encoding
from sightline.training.config import PersPoseRunConfig, config_to_json
from sightline.training.pictures import MixedPeople, Picture, SetPeople
from sightline.training.run import train_perspose
from sightline.training.ship_perspose import millimetres

SPREADS: Final[Mapping[str, float]] = {"narrow": 0.15, "wide": 1.0}
"""Share of the frame, about its middle, over which people are spread: some 7° off the axis, or all of a 90° lens."""
SPLITS: Final = ("train", "test")
SEEDS: Final[Mapping[str, int]] = {"train": 83_000, "val": 88_000, "test": 93_000}
"""Of pictures; those of the library's validation split are for other benchmarks."""
_LANDMARKS: Final = tuple(ALL_LANDMARKS[row] for row in rows_of(get_skeleton("h36m17")))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What a network is told of perspective."""

    name: str
    encoding: bool
    rotation: bool


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """How many pictures are rendered of each spread of people over the frame, and how large."""

    train_pictures: int = 4096
    test_pictures: int = 1024
    side_px: int = 320


@dataclass(frozen=True, kw_only=True)
class Effort(Pictures):
    """How much is rendered, trained and tested."""

    size_px: int = 64
    """Of the crops."""
    backbone: str = "mobilenetv4_conv_small_050"
    channels: int = 64
    vector_size: int = 256
    first_steps: int = 3000
    """In which first weights learn where joints are in crops of pictures of both spreads, and nothing of depth."""
    steps: int = 1200
    batch: int = 32


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant, trained with one seed on people of one spread."""

    spread: str
    variant: Variant
    seed: int


@dataclass(frozen=True, kw_only=True)
class Flat:
    """People of whom nothing is known but where their joints are in the picture, as in sets without 3D."""

    people: SetPeople
    told: bool
    """Whether the camera is, by which PR turns crops."""

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, row: int) -> tuple[Picture, Person]:
        """Return somebody with pixels in the place of metres."""
        picture, person = self.people[row]
        assert person.camera is not None
        assert person.landmarks_cam is not None
        px, before = person.camera.project(torch.from_numpy(person.landmarks_cam))
        return picture, Person(
            box_px=person.box_px,
            camera=person.camera if self.told else None,
            landmarks_px=torch.where(before[:, None], px, torch.nan).double().numpy(),
        )

    @property
    def digest(self) -> str:
        """The set's."""
        return f"in 2D: {self.people.digest}"


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


def set_folder(cache: Path, spread: str, split: str, pictures: Pictures, library: Path | None) -> Path:
    """Return the folder of a set, named by all that its pictures depend on."""
    count = pictures.train_pictures if split == "train" else pictures.test_pictures
    decisive = (SPREADS[spread], split, count, pictures.side_px, digest_of(library), renderer_digest(), SEEDS[split])
    digest = hashlib.sha256(repr(decisive).encode()).hexdigest()[:12]
    return cache / f"perspose-{spread}-{split}-{digest}"


def render_sets(
    cache: Path,
    pictures: Pictures,
    library: Path | None,
    *,
    spreads: Iterable[str] = SPREADS,
    splits: Iterable[str] = SPLITS,
    jobs: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render sets of some spreads and splits, or what is missing of them, `jobs` at a time."""
    sets = [(cache, spread, split, pictures, library) for spread in spreads for split in splits]
    in_processes(render_set, sets, jobs=jobs, progress=progress)


def render_set(cache: Path, spread: str, split: str, pictures: Pictures, library: Path | None) -> dict[str, Any]:
    """Render a set of one person in each picture, or what is missing of it."""
    poses: PoseSource = ProceduralPoses() if library is None else LibraryPoses(path=str(library), split=split)
    frames = Frames(subject="people", side_px=pictures.side_px, reach=SPREADS[spread])
    count = pictures.train_pictures if split == "train" else pictures.test_pictures
    write_set(
        set_folder(cache, spread, split, pictures, library),
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
    return np.degrees(angles_of_set(people.pictures)[people.rows])


def config_of(run: Run, effort: Effort) -> PersPoseRunConfig:
    """Return the run's configuration; variants differ in what their names say and in nothing else.

    Crops are rolled, zoomed and mirrored, and their pixels left as they are: so few steps cannot use up the pictures.
    Those with PR start from other weights than those without; see `first_weights`.
    """
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
        augment=replace(
            AugmentConfig(), roll_deg=10.0, zoom=(0.8, 1.1), target=0.0, cut_out_share=0.0, noise=0.0, blur_px=0.0
        ),
        steps=effort.steps,
        batch_size=effort.batch,
        learning_rate=2e-3,
        warmup_steps=max(1, effort.steps // 20),
        average_decay=0.995,
        clip_norm=10.0,
        precision="32-true",
        workers=0,
        validate_every=0,
        seed=run.seed,
    )


def first_weights(seed: int, rotation: bool, effort: Effort, library: Path | None, pictures: Path) -> dict[str, Any]:
    """Train the weights that a seed's variants start from, as the paper's do from those of 2D pose estimation.

    Variants that crop alike share theirs: who is to read turned crops has learnt where joints are in turned crops.

    Args:
        seed: of the training.
        rotation: whether crops are turned by PR.
        effort: how long.
        library: whose poses people have.
        pictures: folder of the rendered sets, where the weights are kept too.
    """
    path = first_path(seed, rotation, effort, library, pictures)
    if path.exists():
        return {"seconds": 0.0}
    torch.set_num_threads(1)
    sets = [SetPeople(set_folder(pictures, spread, "train", effort, library), body=False) for spread in SPREADS]
    began = time.perf_counter()
    people = MixedPeople(parts=tuple(Flat(people=its, told=rotation) for its in sets), shares=(1.0,) * len(sets))
    trained = train_perspose(first_config(seed, rotation, effort), people)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        torch.save(trained.network.state_dict(), temporary)
    return {"seconds": time.perf_counter() - began}


def first_config(seed: int, rotation: bool, effort: Effort) -> PersPoseRunConfig:
    """Return the run of first weights: nothing about the camera is told beside the crops."""
    run = Run(spread="", variant=Variant(name="first", encoding=False, rotation=rotation), seed=seed)
    return config_of(run, replace(effort, steps=effort.first_steps))


def first_path(seed: int, rotation: bool, effort: Effort, library: Path | None, pictures: Path) -> Path:
    """Return the file of first weights, named by all that they depend on."""
    names = [set_folder(pictures, spread, "train", effort, library).name for spread in SPREADS]
    key = [config_to_json(first_config(seed, rotation, effort)), names]
    return pictures / f"perspose-first-{seed}-{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}.pt"


def started(config: PersPoseRunConfig, path: Path) -> PersPose:
    """Return a network with first weights; what encodes perspective, which they lack, starts as ever."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PersPose(config.model)
    found = network.load_state_dict(torch.load(path, weights_only=True), strict=False)
    assert not found.unexpected_keys
    assert all(key.startswith("trunk.encoding.") for key in found.missing_keys)
    return network


def run_one(run: Run, effort: Effort, library: Path | None, pictures: Path, cache: Path | None) -> dict[str, Any]:
    """Train and score one run, or return what the cache holds of the same.

    Args:
        run: what to train.
        effort: how long.
        library: whose poses people have.
        pictures: folder of the rendered sets, and of the first weights.
        cache: folder where results are kept.
    """
    folders = {split: set_folder(pictures, run.spread, split, effort, library) for split in SPLITS}
    key = [
        asdict(run),
        config_to_json(config_of(run, effort)),
        {split: its.name for split, its in folders.items()},
    ]
    name = f"perspose-{run.spread}-{run.variant.name.replace(' + ', '-')}-{run.seed}"
    first = first_path(run.seed, run.variant.rotation, effort, library, pictures)
    return kept_or_measured(cache, name, [*key, first.name], lambda: _measured(run, effort, folders, first))


def _measured(run: Run, effort: Effort, folders: Mapping[str, Path], first: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    train, test = (SetPeople(folders[split], body=False) for split in ("train", "test"))
    began = time.perf_counter()
    config = config_of(run, effort)
    trained = train_perspose(config, train, first=started(config, first))
    seconds = time.perf_counter() - began
    return {
        "spread": run.spread,
        "variant": run.variant.name,
        "seed": run.seed,
        "parameters": sum(value.numel() for value in trained.network.parameters()),
        "seconds": seconds,
        "scores": millimetres(trained.network, test),
    }
