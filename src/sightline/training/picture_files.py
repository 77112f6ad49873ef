"""Pictures that labels speak of, in a folder or a film: each found once, then read in any order.

A film cannot be read in any order. The frames that are asked for are decoded once, into a folder of JPEGs.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sightline.errors import InputError, UsageError
from sightline.formats.atomic import atomic_path
from sightline.formats.films import open_film
from sightline.formats.inputs import find_inputs, kind_of
from sightline.formats.pictures import read_picture
from sightline.formats.strict import write_json

Progress = Callable[[int, int], None] | None

_JPEG: Final = {"quality": 95, "subsampling": 0}
_DONE: Final = "frames.json"


class Wanted(NamedTuple):
    """A picture that labels speak of."""

    index: int
    """Number of the film's frame, or of the photo in its folder."""
    file: str | None = None
    """The photo's name, with folders inside the one that holds all; it counts before the number."""


@dataclass(frozen=True, kw_only=True)
class PictureFiles:
    """Where the pictures lie."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    """What tells each from all others wherever it is read again: the photo's path, or the film's with the frame."""
    digest: str
    """A sum over names and sizes of the files, without their folders."""

    def read(self, row: int, size: tuple[int, int] | None, truth: str) -> UInt8[np.ndarray, "height width 3"]:
        """Read a picture, upright, RGB.

        Raises:
            InputError: for a picture of another size (width, height) than the labels are of, or one that is broken.
        """
        pixels = read_picture(self.paths[row]).pixels
        found = pixels.shape[1], pixels.shape[0]
        if size is not None and found != size:
            raise InputError(
                f"{self.paths[row]}: is {found[0]} × {found[1]} px, but {truth} speaks of a picture of {size[0]} × "
                f"{size[1]} px; give the pictures as they were when that was made, neither resized nor turned"
            )
        return pixels


def find_pictures(
    where: Path,
    wanted: Sequence[Wanted],
    truth: str,
    *,
    cache: Path | None = None,
    numbered: bool = False,
    progress: Progress = None,
) -> PictureFiles:
    """Find pictures in a folder, or frames in a film.

    Args:
        where: the folder of photos, or the film.
        wanted: which ones, each once.
        truth: the file that speaks of them, for complaints.
        cache: folder for frames of films; a film is refused without.
        numbered: whether photos without a name in the labels have the numbers in their own names, as other tools count
            them; otherwise they are counted from 0 in natural order, as `sightline predict` does.
        progress: called with the number of frames decoded and of all.

    Raises:
        InputError: for a place that is neither, or pictures that are missing: how many, and the first.
    """
    if where.is_dir():
        return _photos(where, wanted, truth, numbered)
    if not where.is_file() or kind_of(where) != "film":
        raise InputError(f"{where}: expected the folder or film with the pictures of {truth}")
    named = next((one.file for one in wanted if one.file is not None), None)
    if named is not None:
        raise InputError(f"{where}: is a film, but {truth} speaks of photos such as {named}; give their folder")
    if cache is None:
        raise UsageError(f"{where}: expected a folder (cache) for the frames of a film")
    return _frames(where, [one.index for one in wanted], truth, cache, progress)


def _photos(folder: Path, wanted: Sequence[Wanted], truth: str, numbered: bool) -> PictureFiles:
    by_number: Mapping[int, Path] = {}
    if any(one.file is None for one in wanted):
        photos = find_inputs([folder]).photos
        by_number = _by_own_number(folder, photos, truth) if numbered else dict(enumerate(photos))
    paths = [by_number.get(one.index) if one.file is None else folder / one.file for one in wanted]
    missing = [one for one, path in zip(wanted, paths, strict=True) if path is None or not path.is_file()]
    if missing:
        first = f"number {missing[0].index}" if missing[0].file is None else missing[0].file
        raise InputError(
            f"{folder}: {len(missing)} of the {len(wanted)} pictures that {truth} speaks of are missing, the first is "
            f"{first}"
        )
    found = tuple(path for path in paths if path is not None)
    told = hashlib.sha256()
    for one, path in zip(wanted, found, strict=True):
        told.update(f"{one.file or path.name} {path.stat().st_size}\n".encode())
    return PictureFiles(
        paths=found, names=tuple(os.path.realpath(path) for path in found), digest=told.hexdigest()[:16]
    )


def _by_own_number(folder: Path, photos: Sequence[Path], truth: str) -> Mapping[int, Path]:
    """Photos by the last number in each one's name, as other tools' files count them; one alone is also number 0."""
    if len(photos) == 1:
        return dict.fromkeys((0, *_last_number(photos[0])), photos[0])
    found: dict[int, Path] = {}
    for photo in photos:
        number = _last_number(photo)
        if not number or number[0] in found:
            got = f"that of {found[number[0]].name} again" if number else "none"
            raise InputError(
                f"{folder}: expected photos with a number of its own in each name, as {truth} counts them, got {got} "
                f"in {photo.name}; leave there only the photos that it was made of"
            )
        found[number[0]] = photo
    return found


def _last_number(photo: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"[0-9]{1,18}", photo.stem)[-1:]]


def _frames(film: Path, indices: Sequence[int], truth: str, cache: Path, progress: Progress) -> PictureFiles:
    """Frames of a film as JPEGs; whoever decodes another film, or other frames, has another folder."""
    about = film.stat()
    told = {"film": film.name, "bytes": about.st_size, "modified_ns": about.st_mtime_ns}
    mark = hashlib.sha256(repr((told, sorted(indices))).encode()).hexdigest()[:12]
    folder = cache / f"{film.stem}-{mark}"
    paths = {index: folder / f"{index:08d}.jpg" for index in indices}
    if not (folder / _DONE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        _decode(film, paths, truth, progress)
        write_json({**told, "frames": len(paths)}, folder / _DONE)
    digest = hashlib.sha256(repr((film.name, about.st_size, sorted(indices))).encode()).hexdigest()[:16]
    names = tuple(f"{os.path.realpath(film)}#{index}" for index in indices)
    return PictureFiles(paths=tuple(paths[index] for index in indices), names=names, digest=digest)


def _decode(film: Path, paths: Mapping[int, Path], truth: str, progress: Progress) -> None:
    """Write frames; one that a stopped call has written already stays."""
    from PIL import Image

    left, last = set(paths), max(paths)
    with open_film(film) as opened:
        for frame in opened.frames():
            if frame.index in left:
                left.remove(frame.index)
                if not paths[frame.index].exists():
                    with atomic_path(paths[frame.index]) as temporary:
                        Image.fromarray(frame.pixels).save(temporary, "JPEG", **_JPEG)
                if progress is not None:
                    progress(len(paths) - len(left), len(paths))
            if frame.index >= last:
                break
    if left:
        raise InputError(
            f"{film}: {len(left)} of the {len(paths)} frames that {truth} speaks of are missing, the first is number "
            f"{min(left)}"
        )
