"""A rendered set on disk: pictures with their truth in shards beside a set.json (docs/rendered_sets.md).

A set is a function of its manifest. Each shard takes its name only when it is whole, so a run that was killed at any
moment goes on with the shards that are missing, and ends with the same bytes as one that was not. A finished set can be
enlarged likewise: its pictures are the first ones of the larger set.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.errors import InputError
from sightline.synth._shard_file import check_seal
from sightline.synth._shard_manifest import (
    MANIFEST,
    Credit,
    Manifest,
    differences,
    open_shard,
    read_manifest,
    renderer_versions,
    shard_path,
    write_manifest,
    writing_versions,
)
from sightline.synth._shard_workers import in_processes, in_this_process
from sightline.synth.shards import Encoding, check_shard, write_shard

if TYPE_CHECKING:
    from sightline.synth.rendered import Rendered

__all__ = ["Credit", "Encoding", "Written", "check_set", "renderer_versions", "write_set"]

_SHARD = re.compile(r"shard-\d{5,}\.npz")
_TEMPORARY = re.compile(r"\.sightline-[0-9a-f]{16}\.(npz|json|png)")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a run did: pictures of the set, shards of the set, and how many of those were there, whole, before."""

    count: int
    shards: int
    found: int


@dataclass(frozen=True, kw_only=True)
class _ShardTask:
    """Renders one shard after the other; what a worker gets."""

    make: Callable[[int], Rendered]
    manifest: Manifest
    folder: Path
    there: Mapping[int, int]
    """How many pictures of a shard are there already, where the set is being enlarged."""

    def __call__(self, number: int, rendered: Callable[[], None]) -> None:
        def pictures() -> Iterator[tuple[int, Rendered]]:
            for index in self.manifest.indices(number)[self.there.get(number, 0) :]:
                yield index, self.make(index)
                rendered()

        write_shard(
            shard_path(self.folder, number),
            pictures(),
            self.manifest.encoding,
            self.manifest.landmarks,
            self.manifest.mark,
            after=open_shard(self.manifest, self.folder, number) if self.there.get(number) else None,
        )


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
    before_workers: Callable[[], object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Render the pictures 0 … count − 1 into a folder, or those that an earlier run left to do.

    That run may have been killed, or asked for fewer pictures: a set can be enlarged, and ends with the same bytes as
    one that was rendered at once. Shards that are there are read wholly, as bytes. One that is damaged is rendered
    anew, which a warning says; whole ones that belong elsewhere are never overwritten.

    Args:
        folder: made if it is not there; files of others in it are left alone.
        make: renders the picture of a number, always the same one; with several workers it must be picklable.
        count: pictures in the set, no fewer than are there.
        seed: recorded.
        config: all else that determines what `make` returns, as JSON; recorded. With `seed` and `made_with` it decides
            whether a folder that is there can be gone on with.
        encoding: what is stored of each picture, and how.
        shard_size: pictures per file; all of them are held in memory, encoded, until the file is written.
        made_with: versions of the code that `make` stands on (`renderer_versions` for Sightline's own); recorded, with
            those of what encodes the pictures.
        credits: what of others is in the pictures; recorded.
        workers: processes; 1 renders in this one.
        before_workers: called once in this process, and only if others are about to be started.
        progress: called with (pictures done, pictures in all).

    Raises:
        InputError: for a folder that holds another set, a larger one or a shard of another one, is written by another
            run just now, or cannot be written (then what was finished stays).
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
        there = _pictures_there(folder, manifest, progress)
        write_manifest(manifest, folder)  # of an enlarged set only now, when nothing stands in its way
        missing = [number for number, found in enumerate(there) if found < len(manifest.indices(number))]
        begun = {number: there[number] for number in missing if there[number]}
        rendered = _counter(sum(there), count, progress)
        task = _ShardTask(make=make, manifest=manifest, folder=folder, there=begun)
        if workers == 1 or len(missing) < 2:
            in_this_process(task, missing, rendered)
        else:
            if before_workers is not None:
                before_workers()
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
            _check(folder, manifest, number)
        except InputError as error:
            faults.append(str(error))
        if progress is not None:
            progress(indices.stop, manifest.count)
    expected = {shard_path(folder, number).name for number in range(manifest.shards)}
    strays = sorted(path.name for path in folder.iterdir() if _SHARD.fullmatch(path.name) and path.name not in expected)
    return manifest, [*faults, *(f"{folder / name}: is no part of the set" for name in strays)]


def _check(folder: Path, manifest: Manifest, number: int) -> None:
    """Read a shard wholly; `InputError` for what is wrong with it."""
    check_seal(shard_path(folder, number))
    shard = open_shard(manifest, folder, number)
    if len(shard) > len(manifest.indices(number)):
        raise InputError(f"{shard.path}: holds more pictures than the set should have")
    if len(shard) < len(manifest.indices(number)):
        raise InputError(f"{shard.path}: holds only the first {len(shard)} of {len(manifest.indices(number))} pictures")
    check_shard(shard, manifest.encoding, manifest.landmarks)


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
    theirs = read_manifest(folder)
    if different := differences(manifest.to_json(), theirs.to_json()):
        more = f" (and {len(different) - 1} more differences)" if len(different) > 1 else ""
        raise InputError(
            f"{folder}: holds another set: {different[0]}{more}; make the same call or choose another folder"
        )
    beyond = {shard_path(folder, number).name for number in range(manifest.shards, theirs.shards)}
    if beyond & set(shards):
        raise _shrunk(folder, manifest)


def _shrunk(folder: Path, manifest: Manifest) -> InputError:
    return InputError(
        f"count: expected at least as many pictures as {folder} holds already, got {manifest.count}; "
        "a set can grow, not shrink"
    )


def _pictures_there(folder: Path, manifest: Manifest, progress: Callable[[int, int], None] | None) -> list[int]:
    """How many pictures of each shard are there: all, the first of them, or none; those of damaged ones do not count.

    `InputError` for a whole shard that does not belong there.
    """
    there: list[int] = []
    for number in range(manifest.shards):
        path = shard_path(folder, number)
        found = 0
        if path.exists():
            try:
                check_seal(path)
            except InputError as error:
                warnings.warn(f"{error}; this shard is rendered anew", UserWarning, stacklevel=1)
            else:
                found = len(open_shard(manifest, folder, number))
                if found > len(manifest.indices(number)):
                    raise _shrunk(folder, manifest)
        there.append(found)
        if found and progress is not None:
            progress(sum(there), manifest.count)
    return there


def _counter(done: int, count: int, progress: Callable[[int, int], None] | None) -> Callable[[], None]:
    """Return what counts pictures and passes the number on."""

    def rendered() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, count)

    return rendered
