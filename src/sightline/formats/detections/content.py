"""Files of other tools, loaded but not yet understood: any JSON value, a table, or a folder of JSON files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sightline.errors import InputError
from sightline.formats import strict

LARGEST_INDEX: Final = 2**63 - 1
OPENPOSE_ENDING: Final = "_keypoints.json"
_OF_A_VIDEO: Final = re.compile(
    r"(?:^|_)([0-9]{12})_keypoints\.json$"
)  # OpenPose writes the frame's number in twelve digits


@dataclass(frozen=True)
class Table:
    """A table with a line of column names: `rows` are as long as `header`."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Part:
    """One file: `content` is any JSON value or a `Table`; `where` begins the messages about it."""

    where: str
    name: str
    content: Any


@dataclass(frozen=True)
class Dump:
    """What was named: one file, or all that counts in a folder."""

    where: str
    parts: tuple[Part, ...]
    is_folder: bool

    @property
    def single(self) -> Part:
        """The only file; `InputError` for a folder, of which this kind has none."""
        if self.is_folder:
            raise InputError(f"{self.where}: expected one file of this kind, got a folder; name the file in it")
        return self.parts[0]


def load(path: str | Path) -> Dump:
    """Load a JSON or CSV file, or the JSON files of a folder.

    In a folder, the files that end in `_keypoints.json` count where there are any, else all JSON files; whatever else
    lies there, pictures say, is left alone. `InputError` where nothing counts, and for all that cannot be read.
    """
    path = Path(path)
    try:
        entries = sorted(path.iterdir(), key=_natural_order) if path.is_dir() else None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if entries is None:
        return Dump(str(path), (_part(path),), is_folder=False)
    found = [entry for entry in entries if entry.suffix.lower() == ".json" and not entry.name.startswith(".")]
    found = [entry for entry in found if not entry.is_dir()]
    named = [entry for entry in found if entry.name.endswith(OPENPOSE_ENDING)] or found
    if not named:
        raise InputError(
            f"{path}: expected a folder with files *{OPENPOSE_ENDING} (OpenPose) or one .json per picture (MMPose, "
            f"AlphaPose, MediaPipe), found none among its {len(entries)} entries"
        )
    return Dump(str(path), tuple(_part(entry) for entry in named), is_folder=True)


def frame_indices(names: Iterable[int | str], where: str) -> dict[int | str, int]:
    """The index of the frame each image id means: a whole number is the index itself, a file's name its last number.

    Names without a number, or with the same one, count in the order in which they come. `InputError` for numbers that
    can be no index, and where numbers and names are mixed.
    """
    order = list(dict.fromkeys(names))
    numbers = [name if isinstance(name, int) else _last_number(name) for name in order]
    if not any(isinstance(name, str) for name in order):
        bad = next((name for name in order if isinstance(name, int) and not 0 <= name <= LARGEST_INDEX), None)
        if bad is not None:
            raise InputError(f"{where}: expected image ids of at least 0, got {strict.kind(bad)}")
    elif any(isinstance(name, int) for name in order):
        raise InputError(f"{where}: expected image ids to be either whole numbers or names of files, got both")
    elif None in numbers or len(set(numbers)) < len(numbers):
        numbers = list(range(len(order)))
    return {name: number for name, number in zip(order, numbers, strict=True) if number is not None}


def file_indices(dump: Dump) -> dict[str, int]:
    """The index of the frame of each file by its name, of which a folder's files are in natural order.

    Of a video that OpenPose read, the twelve digits of the name; two files of one frame are an `InputError`. Else as
    `frame_indices`; a single file is frame 0.
    """
    names = [part.name for part in dump.parts]
    numbers = [int(found[1]) for name in names if (found := _OF_A_VIDEO.search(name))]
    if len(numbers) == len(names):
        by_number: dict[int, str] = {}
        for name, number in zip(names, numbers, strict=True):
            if number in by_number:
                raise InputError(
                    f"{dump.where}: expected the files of one video, got two of frame {number}, {by_number[number]} "
                    f"and {name}; put each video's files into a folder of their own"
                )
            by_number[number] = name
        return {name: number for number, name in by_number.items()}
    if not dump.is_folder:
        return {names[0]: 0}
    return {str(name): index for name, index in frame_indices(names, dump.where).items()}


def _natural_order(path: Path) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """The key that sorts names with their numbers as numbers: `2.json` before `10.json`."""
    words = re.split(r"([0-9]{1,18})", path.name)
    return tuple((0, int(word), "") if odd % 2 else (1, 0, word) for odd, word in enumerate(words)), path.name


def _last_number(name: str) -> int | None:
    """The last number in a file's name without its ending, where it can be an index."""
    digits = re.findall(r"[0-9]+", re.sub(r"\.[A-Za-z]\w{0,4}$", "", re.split(r"[/\\]", name)[-1]))
    number = int(digits[-1]) if digits and len(digits[-1]) <= 40 else None
    return number if number is not None and number <= LARGEST_INDEX else None


def _part(path: Path) -> Part:
    content = _table(path) if path.suffix.lower() == ".csv" else strict.load_value(path)
    return Part(str(path), path.name, content)


def _table(path: Path) -> Table:
    text = strict.load_text(path)
    if not text.strip():
        raise InputError(f"{path}: expected a line of column names, but nothing is there")
    first = text.lstrip().splitlines()[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter, strict=True) if line]
    except csv.Error as error:
        raise InputError(f"{path}: not a valid table: {error}") from error
    header, *rows = [tuple(cell.strip() for cell in line) for line in lines]
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise InputError(f"{path}: row {number + 1}: expected {len(header)} cells, got {len(row)}")
    return Table(header, tuple(rows))
