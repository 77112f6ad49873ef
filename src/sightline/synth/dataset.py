"""A rendered set on disk: pictures with their truth in shards beside a set.json (docs/rendered_sets.md).

A set is a function of its manifest. Each shard takes its name only when it is whole, so a run that was killed at any
moment goes on with the shards that are missing, and ends with the same bytes as one that was not.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.errors import InputError
from sightline.synth._shard_manifest import (
    MANIFEST,
    Credit,
    Manifest,
    differences,
    read_manifest,
    renderer_versions,
    shard_path,
    write_manifest,
    writing_versions,
)
from sightline.synth._shard_workers import in_processes, in_this_process
from sightline.synth.shards import Encoding, Shard, check_shard, write_shard

if TYPE_CHECKING:
    from sightline.synth.rendered import Rendered

__all__ = ["Credit", "Encoding", "Written", "check_set", "renderer_versions", "write_set"]

_SHARD = re.compile(r"shard-\d{5,}\.npz")
_TEMPORARY = re.compile(r"\.sightline-[0-9a-f]{16}\.(npz|json|png)")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a run did: pictures of the set, shards of the set, and how many of those were there before."""

    count: int
    shards: int
    found: int


@dataclass(frozen=True, kw_only=True)
class _ShardTask:
    """Renders one shard after the other; what a worker gets."""

    make: Callable[[int], Rendered]
    manifest: Manifest
    folder: Path

    def __call__(self, number: int, rendered: Callable[[], None]) -> None:
        def pictures() -> Iterator[tuple[int, Rendered]]:
            for index in self.manifest.indices(number):
                yield index, self.make(index)
                rendered()

        write_shard(shard_path(self.folder, number), pictures(), self.manifest.encoding, self.manifest.landmarks)


def write_set(
    folder: str | Path,
    make: Callable[[int], Rendered],
    count: int,
    *,
    seed: int,
    config: Mapping[str, Any],
    encoding: Encoding | None = None,
    shard_size: int = 128,
    made_with: Mapping[str, str] | None = None,
    credits: tuple[Credit, ...] = (),
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Render the pictures 0 … count − 1 into a folder, or those that an earlier, unfinished run left to do.

    Args:
        folder: made if it is not there; files of others in it are left alone.
        make: renders the picture of a number, always the same one; with several workers it must be picklable.
        count: pictures in the set.
        seed: recorded.
        config: all else that determines what `make` returns, as JSON; recorded. With `seed` and `made_with` it decides
            whether a folder that is there can be gone on with.
        encoding: what is stored of each picture, and how.
        shard_size: pictures per file; all of them are held in memory, encoded, until the file is written.
        made_with: versions of the code that `make` stands on (`renderer_versions` for Sightline's own); recorded, with
            those of what encodes the pictures.
        credits: what of others is in the pictures; recorded.
        workers: processes; 1 renders in this one.
        progress: called with (pictures done, pictures in all).

    Raises:
        InputError: for a folder that holds another set or a damaged shard, is written by another run just now, or
            cannot be written (then what was finished stays).
        ValueError: for a number below 1, and for what `write_shard` refuses.
    """
    for name, number in (("count", count), ("shard_size", shard_size), ("workers", workers)):
        if number < 1:
            raise ValueError(f"{name}: expected at least 1, got {number}")
    manifest = Manifest(
        count=count,
        shard_size=shard_size,
        seed=seed,
        config=_plain(config),
        encoding=encoding or Encoding(),
        landmarks=_landmarks(),
        made_with={**writing_versions(), **(made_with or {})},
        credits=credits,
    )
    folder = Path(folder)
    with _owned(folder):
        _begin(folder, manifest)
        missing = [number for number in range(manifest.shards) if not _is_there(folder, manifest, number)]
        to_do = sum(len(manifest.indices(number)) for number in missing)
        rendered = _counter(count - to_do, count, progress)
        task = _ShardTask(make=make, manifest=manifest, folder=folder)
        if workers == 1 or len(missing) < 2:
            in_this_process(task, missing, rendered)
        else:
            in_processes(task, missing, rendered, workers)
    return Written(count=count, shards=manifest.shards, found=manifest.shards - len(missing))


def check_set(folder: str | Path, progress: Callable[[int, int], None] | None = None) -> tuple[Manifest, list[str]]:
    """Read a set wholly; return its manifest, and for every shard that is missing or damaged a sentence that names it.

    `InputError` for a folder that is no set.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    faults: list[str] = []
    for number in range(manifest.shards):
        indices = manifest.indices(number)
        try:
            check_shard(shard_path(folder, number), manifest.encoding, indices, manifest.landmarks)
        except InputError as error:
            faults.append(str(error))
        if progress is not None:
            progress(indices.stop, manifest.count)
    expected = {shard_path(folder, number).name for number in range(manifest.shards)}
    strays = sorted(path.name for path in folder.iterdir() if _SHARD.fullmatch(path.name) and path.name not in expected)
    return manifest, [*faults, *(f"{folder / name}: is no part of the set" for name in strays)]


def _landmarks() -> tuple[str, ...]:
    from sightline.landmarks import ALL_LANDMARKS

    return ALL_LANDMARKS


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it comes back from a JSON file."""
    try:
        return json.loads(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"config: expected values that JSON knows ({error})") from error


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Make the folder, and let no second run write into it meanwhile, where the system can tell."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{folder}: no folder can be made there ({error.strerror})") from error
    try:
        _lock(folder, handle)
        yield
    finally:
        os.close(handle)


def _lock(folder: Path, handle: int) -> None:
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(f"{folder}: another run is writing this set just now; wait for its end") from error
    except OSError:  # a file system that has no locks
        return


def _begin(folder: Path, manifest: Manifest) -> None:
    """See that the folder's set is this one, or begin it; remove what a killed run left half-written."""
    for path in list(folder.iterdir()):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
    shards = [path.name for path in folder.iterdir() if _SHARD.fullmatch(path.name)]
    if not (folder / MANIFEST).exists() or not shards:  # a call that failed before its first shard holds no folder
        if shards:
            raise InputError(f"{folder}: holds {min(shards)} but no {MANIFEST}; choose another folder")
        write_manifest(manifest, folder)
        return
    theirs = read_manifest(folder).to_json()
    if different := differences(manifest.to_json(), theirs):
        more = f" (and {len(different) - 1} more differences)" if len(different) > 1 else ""
        raise InputError(
            f"{folder}: holds another set: {different[0]}{more}; make the same call or choose another folder"
        )


def _is_there(folder: Path, manifest: Manifest, number: int) -> bool:
    """Whether a shard is there; `InputError` if another or half of one is."""
    path = shard_path(folder, number)
    if not path.exists():
        return False
    try:
        indices = Shard(path).labels["index"].tolist()
    except InputError as error:
        raise InputError(f"{error}; delete the file and make the same call again") from error
    if indices != list(manifest.indices(number)):
        raise InputError(f"{path}: holds other pictures than it should; delete the file and make the same call again")
    return True


def _counter(done: int, count: int, progress: Callable[[int, int], None] | None) -> Callable[[], None]:
    """Return what counts pictures and passes the number on."""

    def rendered() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, count)

    return rendered
