"""Pictures of several people that LCR-Net++'s benchmark renders once: a set per source of poses, and one to test on."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from sightline.bench.abspose_runs import digest_of
from sightline.bench.perspective_image_pictures import renderer_digest
from sightline.data.motion_library import MotionLibrary, read_library, write_library
from sightline.synth.config import SceneConfig, street
from sightline.synth.dataset import renderer_versions, write_set
from sightline.synth.poses import LibraryPoses, PoseSource, ProceduralPoses
from sightline.synth.shards import Encoding
from sightline.synth.stream import Scenes

PEOPLE: Final = (1, 6)
TRUNCATED: Final = 0.35
"""Share of the pictures that cut the first person off."""
MADE, ONE, ALL, TEST = "made", "one", "all", "test"
"""Poses made by rule, of the library's largest source, of its whole training split, of its test split."""
_SEEDS: Final = {MADE: 61_000, ONE: 62_000, ALL: 63_000, TEST: 69_000}


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """Which pictures."""

    source: str
    """One of `MADE`, `ONE`, `ALL` and `TEST`."""
    count: int
    width_px: int
    """Pictures are 4 : 3."""
    library: Path | None
    """None: all poses are made by rule."""

    @property
    def seed(self) -> int:
        """Of all chance."""
        return _SEEDS[self.source]

    def recipe(self) -> SceneConfig:
        """Return what the pictures are like: the street with more people, more of whom are cut off."""
        config = street()
        return replace(
            config,
            image_sizes=((self.width_px, 3 * self.width_px // 4),),
            crowd=replace(config.crowd, people=PEOPLE),
            camera=replace(config.camera, truncated_share=TRUNCATED),
        )

    def folder(self, cache: Path) -> Path:
        """Return the folder of the set, named by all that its pictures depend on."""
        library = None if self.source == MADE else digest_of(self.library)
        decisive = (asdict(self.recipe()), self.source, self.count, library, renderer_digest(), self.seed)
        return cache / f"lcrnet-{self.source}-{hashlib.sha256(repr(decisive).encode()).hexdigest()[:12]}"

    def poses(self, cache: Path) -> PoseSource:
        """Return where people's poses come from; a library of one source alone is written into the cache first."""
        if self.library is None or self.source == MADE:
            return ProceduralPoses()
        if self.source == ONE:
            path = cache / f"lcrnet-one-{digest_of(self.library)}.npz"
            if not path.exists():
                cache.mkdir(parents=True, exist_ok=True)
                write_library(of_source(read_library(self.library), largest_source(self.library)), path)
            return LibraryPoses(path=str(path))
        return LibraryPoses(path=str(self.library), split="test" if self.source == TEST else "train")


def render_set(pictures: PictureSet, cache: Path) -> dict[str, Any]:
    """Render a set, or what is missing of it."""
    make = Scenes(config=pictures.recipe(), poses=pictures.poses(cache), seed=pictures.seed)
    write_set(
        pictures.folder(cache),
        make,
        pictures.count,
        seed=pictures.seed,
        config={"recipe": asdict(pictures.recipe()), "source": pictures.source},
        encoding=Encoding(image="jpeg", depth=False, mask=False, body=False),
        made_with=renderer_versions(),
        shard_size=64,
    )
    return {"source": pictures.source, "pictures": pictures.count}


def largest_source(path: Path) -> str:
    """Return the source of motion capture with the most frames to train on."""
    train = read_library(path).split("train")
    frames = np.diff(train.clip_start)
    return max(
        sorted(set(train.sources)),
        key=lambda name: int(frames[np.array([source == name for source in train.sources])].sum()),
    )


def of_source(library: MotionLibrary, name: str) -> MotionLibrary:
    """Return the training clips of one source."""
    train = library.split("train")
    return train.selected(np.array([source == name for source in train.sources], dtype=bool))
