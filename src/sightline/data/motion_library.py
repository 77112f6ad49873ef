"""Motion-capture clips of the 17 Human3.6M joints in one array file (npz); docs/mocap.md lists its keys."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.errors import InputError
from sightline.formats.atomic import atomic_path

SPLITS = ("train", "val", "test")
LIBRARY_FORMAT = "sightline/motion-library"
LIBRARY_VERSION = 1

_CLIP_TEXTS = ("names", "subjects", "sources", "actions", "splits", "licences", "skeletons", "takes")
_TYPES: dict[str, tuple[str, tuple[int, ...]]] = {  # dtype and shape (-1: any); all others are rows of texts
    "joints_world": ("float32", (-1, 17, 3)),
    "clip_start": ("int64", (-1,)),
    "source_frames": ("int64", (-1,)),
    "fps": ("float64", ()),
    "acknowledgement": ("str", ()),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionLibrary:
    """Clips of the 17 Human3.6M joints in one array, with where each comes from.

    `joints_world`: metres, z up, all clips one after the other at the rate `fps`; clip i is
    `joints_world[clip_start[i] : clip_start[i + 1]]`. The tuples have one text per clip; `source_frames` is the number
    of frames before resampling. `acknowledgement`: the licence texts that have to go with the data. Arrays are
    read-only. What does not fit together raises ValueError.
    """

    joints_world: Float[np.ndarray, "frame 17 3"]
    clip_start: Int[np.ndarray, " boundary"]
    names: tuple[str, ...]
    subjects: tuple[str, ...]
    sources: tuple[str, ...]
    actions: tuple[str, ...]
    splits: tuple[str, ...]
    licences: tuple[str, ...]
    skeletons: tuple[str, ...]
    takes: tuple[str, ...]
    source_frames: Int[np.ndarray, " clip"]
    fps: float
    acknowledgement: str = ""

    def __post_init__(self) -> None:
        """Freeze the arrays and check shapes, order and splits."""
        for name, dtype in (("joints_world", np.float32), ("clip_start", np.int64), ("source_frames", np.int64)):
            array = np.array(getattr(self, name), dtype=dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "fps", float(self.fps))
        if self.joints_world.ndim != 3 or self.joints_world.shape[1:] != (17, 3):
            raise ValueError(f"joints_world: expected (frames, 17, 3), got {self.joints_world.shape}")
        if not np.isfinite(self.joints_world).all():
            raise ValueError("joints_world: expected finite positions, got NaN or infinity")
        clips = len(self.names)
        for name in (*_CLIP_TEXTS, "source_frames"):
            if len(getattr(self, name)) != clips:
                raise ValueError(f"{name}: expected {clips} entries, one per clip, got {len(getattr(self, name))}")
        start = self.clip_start
        if (
            start.shape != (clips + 1,)
            or start[0] != 0
            or start[-1] != len(self.joints_world)
            or (np.diff(start) < 1).any()
        ):
            raise ValueError(f"clip_start: expected {clips + 1} rising numbers from 0 to {len(self.joints_world)}")
        if wrong := sorted(set(self.splits) - set(SPLITS)):
            raise ValueError(f"splits: expected {', '.join(SPLITS)}, got {', '.join(wrong)}")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps: expected a positive number, got {self.fps}")

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.names)

    def clip(self, index: int) -> Float[np.ndarray, "frame 17 3"]:
        """Joints of clip `index` (negative counts from the end); IndexError outside."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index}: there are {len(self)} clips")
        index %= len(self)
        return self.joints_world[self.clip_start[index] : self.clip_start[index + 1]]

    def selected(self, keep: Bool[np.ndarray, " clip"]) -> MotionLibrary:
        """The library of those clips where `keep` is true, in the same order."""
        if keep.shape != (len(self),):
            raise ValueError(f"keep: expected ({len(self)},), got {keep.shape}")
        frames = np.diff(self.clip_start)
        texts = {
            name: tuple(text for text, kept in zip(getattr(self, name), keep, strict=True) if kept)
            for name in _CLIP_TEXTS
        }
        return MotionLibrary(
            joints_world=self.joints_world[np.repeat(keep, frames)],
            clip_start=np.concatenate([[0], np.cumsum(frames[keep])]).astype(np.int64),
            source_frames=self.source_frames[keep],
            fps=self.fps,
            acknowledgement=self.acknowledgement,
            **texts,
        )

    def split(self, name: str) -> MotionLibrary:
        """The clips of one split, "train", "val" or "test" (by subject: no person is in two of them)."""
        if name not in SPLITS:
            raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {name!r}")
        return self.selected(np.array([split == name for split in self.splits], dtype=bool))


def write_library(library: MotionLibrary, path: str | Path) -> None:
    """Write the array file (compressed npz, atomically); docs/mocap.md lists its keys. InputError where it cannot."""
    arrays: dict[str, Any] = {field.name: np.array(getattr(library, field.name)) for field in fields(library)}
    for name in _CLIP_TEXTS:
        arrays[name] = np.array(getattr(library, name), dtype=np.str_)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, format=np.array(LIBRARY_FORMAT), version=np.array(LIBRARY_VERSION), **arrays)


def read_library(path: str | Path) -> MotionLibrary:
    """Read an array file that `write_library` wrote; anything missing, unknown or inconsistent raises InputError."""
    path = Path(path)
    arrays = _loaded_arrays(path)
    if str(arrays.pop("format", "")) != LIBRARY_FORMAT:
        raise InputError(f"{path}: expected a motion library (format {LIBRARY_FORMAT!r}); make one with prepare_mocap")
    version = arrays.pop("version", np.array("none"))
    if version.shape != () or version.dtype.kind != "i" or version != LIBRARY_VERSION:
        raise InputError(f"{path}: expected version {LIBRARY_VERSION} of the motion library, got {version}")
    expected = {field.name for field in fields(MotionLibrary)}
    if arrays.keys() != expected:
        missing, unknown = sorted(expected - arrays.keys()), sorted(arrays.keys() - expected)
        raise InputError(f"{path}: expected the documented arrays; missing: {missing}, unknown: {unknown}")
    for name, array in arrays.items():
        _check_type(path, name, array)
    content: dict[str, Any] = {name: tuple(a.tolist()) if name in _CLIP_TEXTS else a for name, a in arrays.items()}
    content |= {"fps": float(arrays["fps"]), "acknowledgement": str(arrays["acknowledgement"])}
    try:
        return MotionLibrary(**content)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _check_type(path: Path, name: str, array: np.ndarray) -> None:
    dtype, shape = _TYPES.get(name, ("str", (-1,)))
    fits = array.dtype.kind == "U" if dtype == "str" else array.dtype == np.dtype(dtype)
    if not fits or array.ndim != len(shape) or any(n not in (-1, m) for n, m in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if n == -1 else str(n) for n in shape)
        raise InputError(f"{path}: {name}: expected {dtype} ({wanted}), got {array.dtype} {array.shape}")


def _loaded_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            return {name.removesuffix(".npy"): _loaded_array(archive, name) for name in archive.namelist()}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; make a motion library with prepare_mocap") from error
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: expected an npz file without pickled objects, got something else ({reason})"
        ) from error


_UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


def _loaded_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
