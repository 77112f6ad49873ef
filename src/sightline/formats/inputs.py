"""Which photos and films a user means: files, folders, patterns, webcams and addresses."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from sightline.errors import InputError
from sightline.formats._film_address import film_address, is_address
from sightline.formats._heif_turn import heif_kind
from sightline.formats.films import FILM_SUFFIXES
from sightline.formats.pictures import PICTURE_SUFFIXES

_RAW_SUFFIXES: Final = frozenset((".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2"))
_PICTURE_STARTS: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")
_FILM_STARTS: Final = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
)
_SOURCE_CODE_SUFFIXES: Final = frozenset((".ts", ".mts"))  # TypeScript ends like MPEG transport streams
_TS_PACKET = 188
_HEAD_BYTES = 512


@dataclass
class Inputs:
    """Photos, and films (paths) with webcams and addresses (texts), in the order in which they were named."""

    photos: list[Path] = field(default_factory=list)
    films: list[Path | str] = field(default_factory=list)


def find_inputs(inputs: Iterable[str | Path]) -> Inputs:
    """Sort what a user names into photos and films; rules as in `open_sources`.

    Whatever is missing, of no known kind, or an empty folder, is named in one `InputError`; an address of an unknown
    kind is a `UsageError`.
    """
    found, complaints, missing = Inputs(), [], []
    seen: set[str] = set()
    for given in inputs:
        text = str(given)
        if is_address(given):
            film_address(text)
            paths: Sequence[Path | str] = [text]
        elif text.strip() and os.path.isdir(text):
            paths = _of_folder(Path(text))
            if not paths:
                complaints.append(f"{text}: expected photos or films, but the folder holds none")
        elif text.strip() and os.path.exists(text):
            paths = [Path(text)]
        else:
            paths = _of_pattern(text)
            if not paths:
                missing.append(text)
        for path in paths:
            complaint = _sort_in(path, found, seen)
            if complaint is not None:
                complaints.append(complaint)
    if missing:
        names = ", ".join(name or '""' for name in missing)
        complaints.insert(0, f"{names}: no such photo, film or folder")
    if complaints:
        raise InputError("; ".join(complaints))
    return found


def kind_of(path: Path) -> Literal["photo", "film"] | None:
    """What a file is, by its ending, or by its first bytes where the ending says nothing."""
    suffix = path.suffix.lower()
    if suffix in _SOURCE_CODE_SUFFIXES:
        return _kind_of_content(path)
    if suffix in PICTURE_SUFFIXES:
        return "photo"
    if suffix in FILM_SUFFIXES:
        return "film"
    return None if suffix in _RAW_SUFFIXES else _kind_of_content(path)


def natural_key(path: Path) -> list[tuple[str, int, str]]:
    """Sorts names as people do: `img2` before `img10`."""
    parts = re.split(r"(\d+)", str(path).casefold())
    words, numbers = parts[::2], [number.lstrip("0") for number in parts[1::2]] + [""]
    return [(word, len(number), number) for word, number in zip(words, numbers, strict=True)]


def _sort_in(path: Path | str, found: Inputs, seen: set[str]) -> str | None:
    """Put one file or address where it belongs, unless it is there already; return what is wrong with it, or None."""
    identity = path if isinstance(path, str) else os.path.normcase(os.path.realpath(path))
    if identity in seen:
        return None
    seen.add(identity)
    if isinstance(path, str):
        found.films.append(path)
        return None
    kind = kind_of(path)
    if kind == "photo":
        found.photos.append(path)
    elif kind == "film":
        found.films.append(path)
    elif path.suffix.lower() in _RAW_SUFFIXES:
        return f"{path}: is a camera's raw file; develop it to JPEG, PNG or TIFF first"
    else:
        return f"{path}: expected a photo or a film, but it is neither"
    return None


def _of_folder(folder: Path) -> list[Path]:
    """A folder's photos and films, not those of folders inside, in natural order; hidden ones are left out."""
    try:
        files = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror})") from error
    return sorted(_of_known_ending(files), key=natural_key)


def _of_pattern(pattern: str) -> list[Path]:
    """Photos and films that match; where only folders do, theirs. Shells of Windows leave patterns to the program."""
    if not glob.has_magic(pattern):
        return []
    matches = sorted((Path(match) for match in glob.glob(pattern, recursive=True)), key=natural_key)
    files = _of_known_ending(path for path in matches if path.is_file())
    return files or [path for folder in matches if folder.is_dir() for path in _of_folder(folder)]


def _of_known_ending(files: Iterable[Path]) -> list[Path]:
    known = PICTURE_SUFFIXES | FILM_SUFFIXES
    return [path for path in files if path.suffix.lower() in known and kind_of(path) is not None]


def _kind_of_content(path: Path) -> Literal["photo", "film"] | None:
    if not path.is_file():  # reading a pipe would empty it
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    container, inside = head[:4], head[8:12]
    if head.startswith(_PICTURE_STARTS) or heif_kind(head) or (container == b"RIFF" and inside == b"WEBP"):
        return "photo"
    is_stream = head[:1] == b"G" and head[_TS_PACKET : _TS_PACKET + 1] == b"G"
    if head.startswith(_FILM_STARTS) or head[4:8] == b"ftyp" or is_stream:
        return "film"
    return "film" if container == b"RIFF" and inside == b"AVI " else None
