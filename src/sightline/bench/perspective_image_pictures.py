"""Sets of labelled pictures: rendered once, by several processes, kept as plain arrays and read without copying them.

A set's folder carries in its name a digest of all that its pictures depend on: what they are like, whose poses they
show, seed and numbers, and the source text of the renderer. Whatever of this changes, older pictures are not used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from sightline.bench.abspose_runs import digest_of, in_processes
from sightline.bench.perspective_image_scenes import Frames, labelled
from sightline.formats.atomic import atomic_path
from sightline.synth.poses import LibraryPoses, PoseSource, ProceduralPoses

CHUNK: Final = 256
"""Pictures per file: what one process renders at a time."""
_SOURCES: Final = ("synth", "body", "bench/perspective_image_object.py", "bench/perspective_image_scenes.py")
_READS: Final = "synth/reading.py"
"""Reads what others wrote, and decides nothing of it."""


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """Which pictures."""

    frames: Frames
    library: str | None
    """Path of a motion library; None takes poses made by rule."""
    split: str
    """Whose poses: the library's split of this name."""
    seed: int
    count: int

    def poses(self) -> PoseSource:
        """Return where people's poses come from."""
        return ProceduralPoses() if self.library is None else LibraryPoses(path=self.library, split=self.split)

    def digest(self) -> str:
        """Return what tells these pictures from all others."""
        library = None if self.library is None else digest_of(Path(self.library))
        split = None if self.library is None else self.split
        key = [asdict(self.frames), library, split, self.seed, self.count, renderer_digest()]
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]

    def folder(self, cache: Path) -> Path:
        """Return the folder of these pictures."""
        return cache / f"{self.frames.subject}-{self.split}-{self.digest()}"


@lru_cache(maxsize=1)
def renderer_digest() -> str:
    """Return a digest of the source text that decides what a scene of a number looks like."""
    root, found = Path(__file__).resolve().parents[1], hashlib.sha256()
    for name in _SOURCES:
        path = root / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if file == root / _READS:
                continue
            found.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()[:12]


class Batch(NamedTuple):
    """Pictures and their truth, as `perspective_image_scenes.Labelled` has it; all tensors share the batch axis."""

    image: Float[Tensor, "batch 3 height width"]
    """0 to 1."""
    intrinsics: Float[Tensor, "batch 3 3"]
    center: Float[Tensor, "batch 2"]
    scale: Float[Tensor, "batch 2"]
    root_cam: Float[Tensor, "batch 3"]
    pose: Float[Tensor, "batch row 3"]

    @property
    def eccentricity_deg(self) -> Float[Tensor, " batch"]:
        """Angle between the optical axis and the ray to the hips, or to the object's origin."""
        return torch.rad2deg(torch.atan2(self.root_cam[:, :2].norm(dim=-1), self.root_cam[:, 2]))


class Pictures:
    """A set on the disk, whose pictures are read when they are asked for.

    Args:
        folder: what `render_sets` wrote.
        count: how many pictures it holds.
    """

    def __init__(self, folder: Path, count: int) -> None:
        names = [f"{number:05d}" for number in range(-(-count // CHUNK))]
        self._images: list[UInt8[np.ndarray, "picture height width 3"]] = [
            np.load(folder / f"{name}.npy", mmap_mode="r") for name in names
        ]
        files = [np.load(folder / f"{name}.npz") for name in names]
        self._labels = {
            name: torch.from_numpy(np.concatenate([file[name] for file in files])).float()
            for name in Batch._fields
            if name != "image"
        }

    def __len__(self) -> int:
        """Pictures in the set."""
        return len(self._labels["pose"])

    def batch(self, rows: Sequence[int]) -> Batch:
        """Read these pictures."""
        image = np.stack([self._images[row // CHUNK][row % CHUNK] for row in rows])
        pixels = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous().float() / 255
        return Batch(image=pixels, **{name: values[list(rows)] for name, values in self._labels.items()})


@contextmanager
def pictures_folder(cache: Path | None) -> Iterator[Path]:
    """Yield a folder for pictures: in a benchmark's cache, or one that is gone afterwards."""
    if cache is not None:
        yield cache / "pictures"
        return
    with TemporaryDirectory(prefix="sightline-pictures-") as name:
        yield Path(name)


def render_sets(
    sets: Sequence[PictureSet], cache: Path, *, jobs: int, progress: Callable[[int, int], None] | None = None
) -> None:
    """Render whatever of some sets is not in the cache's folder yet, `jobs` chunks at a time."""
    calls = []
    for pictures in sets:
        folder = pictures.folder(cache)
        folder.mkdir(parents=True, exist_ok=True)
        calls += [
            (pictures, folder, number)
            for number in range(-(-pictures.count // CHUNK))
            if not (folder / f"{number:05d}.npz").exists()
        ]
    if calls:
        in_processes(render_chunk, calls, jobs=jobs, progress=progress)


def render_chunk(pictures: PictureSet, folder: Path, number: int) -> dict[str, Any]:
    """Render and write one chunk of a set: pictures first, and labels last, which say that it is complete."""
    torch.set_num_threads(1)
    poses, first = pictures.poses(), CHUNK * number
    indices = range(first, min(first + CHUNK, pictures.count))
    made = [labelled(pictures.frames, poses, pictures.seed, index) for index in indices]
    arrays = {name: np.stack([getattr(one, name) for one in made]) for name in made[0]._fields}
    with atomic_path(folder / f"{number:05d}.npy") as path:
        np.save(path, arrays.pop("image"))
    with atomic_path(folder / f"{number:05d}.npz") as path:
        np.savez(path, allow_pickle=False, **arrays)
    return {"pictures": len(made)}
