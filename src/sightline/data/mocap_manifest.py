"""Which clips a folder of motion capture holds: by its manifest.csv, or without one by what lies in it."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sightline.data.motion_library import SPLITS
from sightline.errors import InputError, UsageError
from sightline.formats.asf_amc import asf_for
from sightline.formats.c3d import read_c3d

REQUIRED_COLUMNS = ("path", "source", "licence", "subject", "action", "unit_in_metres", "up", "split", "skeleton")
OPTIONAL_COLUMNS = ("frames", "fps", "take", "asf", "person")
CLIP_SUFFIXES = (".bvh", ".amc", ".c3d")  # in the order in which a take that lies there in several kinds is taken

BY_SUBJECT = "by-subject"
UNKNOWN = "unknown"
NOT_STATED = "not stated"


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One clip of a folder.

    `unit_in_metres`, `up`, `frames` and `fps` are None, `take`, `skeleton`, `asf` and `person` empty where nothing
    says so: then the file itself has to. `asf`: the skeleton of an AMC, from the folder. `person`: who of several in a
    C3D file.
    """

    path: str
    source: str
    licence: str
    subject: str
    action: str
    unit_in_metres: float | None
    up: str | None
    split: str
    skeleton: str = ""
    take: str = ""
    asf: str = ""
    person: str = ""
    frames: int | None = None
    fps: float | None = None

    @property
    def name(self) -> str:
        """The clip's name in the library: its path without the suffix, and the person where several share a file."""
        path = self.path[: -len(self.suffix)] if self.suffix in CLIP_SUFFIXES else self.path
        return f"{path}:{self.person}" if self.person else path

    @property
    def suffix(self) -> str:
        """Kind of the file: ".bvh", ".amc", ".c3d" in small letters."""
        return Path(self.path).suffix.lower()


@dataclass(frozen=True, kw_only=True)
class Unlisted:
    """What holds for all clips of a folder that has no manifest.csv.

    `source`: where the clips come from, else the name of the folder. `split`: "train", "val", "test", or "by-subject",
    which gives a tenth of the subjects (at least one) to "test", a tenth to "val" and the others to "train".
    `unit_in_metres` and `up`: of all files, else each file's own (docs/mocap.md says how they are told).
    """

    licence: str = NOT_STATED
    source: str = ""
    split: str = "train"
    unit_in_metres: float | None = None
    up: str | None = None

    def __post_init__(self) -> None:
        """Check the choices: UsageError."""
        if self.split not in (*SPLITS, BY_SUBJECT):
            raise UsageError(f"split: expected one of {', '.join((*SPLITS, BY_SUBJECT))}, got {self.split!r}")
        if self.up not in (None, "y", "z"):
            raise UsageError(f"up: expected 'y' or 'z', got {self.up!r}")
        if self.unit_in_metres is not None and not 0 < self.unit_in_metres < math.inf:
            raise UsageError(f"unit_in_metres: expected a positive number, got {self.unit_in_metres}")


Entry = tuple[str, ManifestRow | InputError]  # (path or line as a message names it, the row or what is wrong with it)


def clips_of(folder: Path, unlisted: Unlisted | None) -> list[Entry]:
    """The clips of a folder, each with its row; a line that cannot be used carries its error instead.

    InputError where there is no such folder, its manifest.csv cannot be used, or there is neither a manifest nor a
    clip; UsageError where there is a manifest and `unlisted` is given all the same.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: expected a folder of motion capture, got {'a file' if folder.exists() else 'none'}"
        )
    path = folder / "manifest.csv"
    if path.exists():
        if unlisted is not None:
            raise UsageError(f"{path}: says what holds for each clip; licence, source, split, unit and up go in there")
        return [(entry["path"] or f"line {line}", _checked_row(line, entry)) for line, entry in _read_table(path)]
    return _entries_without_manifest(folder, unlisted or Unlisted())


# --------------------------------------------------------------------------------------------------------- manifest


def _read_table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The entries with their line numbers; every entry has every column that the header names."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="", strict=True)
        columns = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        missing = [column for column in REQUIRED_COLUMNS if column not in columns]
        if missing:
            raise InputError(
                f"{path}: expected the columns {', '.join(REQUIRED_COLUMNS)}, missing: {', '.join(missing)}"
            )
        table = [(reader.line_num, {k: v.strip() for k, v in entry.items() if k}) for entry in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, got byte {error.start} that is none") from error
    except csv.Error as error:
        raise InputError(f"{path}: expected comma-separated values, got something else ({error})") from error
    if not table:
        raise InputError(f"{path}: expected one line per clip, got only the header")
    return table


def _checked_row(line: int, entry: dict[str, str]) -> ManifestRow | InputError:
    try:
        return _parsed_row(f"manifest.csv line {line}", entry)
    except InputError as error:
        return error


def _parsed_row(where: str, entry: dict[str, str]) -> ManifestRow:
    for column in ("path", "source", "licence", "subject"):
        if not entry[column]:
            raise InputError(f"{where}: {column} is empty")
    if entry["split"] not in SPLITS:
        raise InputError(f"{where}: split: expected one of {', '.join(SPLITS)}, got {entry['split']!r}")
    says_itself = Path(entry["path"]).suffix.lower() in (".amc", ".c3d")
    if entry["up"] not in ("y", "z", *([""] if says_itself else [])):
        raise InputError(f"{where}: up: expected 'y' or 'z', got {entry['up']!r}")
    frames = _positive(where, "frames", entry.get("frames", ""))
    if frames is not None and frames != int(frames):
        raise InputError(f"{where}: frames: expected a whole number, got {entry['frames']!r}")
    unit = _positive(where, "unit_in_metres", entry["unit_in_metres"])
    if unit is None and not says_itself:
        raise InputError(f"{where}: unit_in_metres is empty")
    texts = ("path", "source", "licence", "subject", "action", "split", "skeleton", "take", "asf", "person")
    return ManifestRow(
        **{name: entry.get(name, "") for name in texts},
        unit_in_metres=unit,
        up=entry["up"] or None,
        frames=None if frames is None else int(frames),
        fps=_positive(where, "fps", entry.get("fps", "")),
    )


def _positive(where: str, column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{where}: {column}: expected a positive number, got {text!r}")
    return number


# ------------------------------------------------------------------------------------------------ without a manifest


def _entries_without_manifest(folder: Path, unlisted: Unlisted) -> list[Entry]:
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in CLIP_SUFFIXES and _is_clip(path, folder)
    )
    if not found:
        raise InputError(
            f"{folder}: expected a manifest.csv with the columns {', '.join(REQUIRED_COLUMNS)}, or BVH, AMC or C3D "
            "clips, got neither"
        )
    taken: dict[Path, Path] = {}  # path without suffix → the kind of this take that is taken
    for path in sorted(found, key=lambda path: CLIP_SUFFIXES.index(path.suffix.lower())):
        taken.setdefault(path.with_suffix(""), path)
    rows = [row for path in found if path in taken.values() for row in _rows_of(path, folder, unlisted)]
    splits = _splits(folder, rows, unlisted.split)
    return [(row.name if row.person else row.path, replace(row, split=splits[row.subject])) for row in rows]


def _is_clip(path: Path, folder: Path) -> bool:
    """Not what an operating system hides there, such as `__MACOSX/._07_01.amc`."""
    parts = path.relative_to(folder).parts
    return path.is_file() and not any(part.startswith((".", "__")) for part in parts)


def _rows_of(path: Path, folder: Path, unlisted: Unlisted) -> list[ManifestRow]:
    """One row per person in the file."""
    subject, people = _who(path, folder)
    row = ManifestRow(
        path=path.relative_to(folder).as_posix(),
        source=unlisted.source or folder.resolve().name,
        licence=unlisted.licence,
        subject=subject,
        action=path.stem,
        unit_in_metres=unlisted.unit_in_metres,
        up=unlisted.up,
        split="train",
    )
    return [replace(row, subject=person, person=person) for person in people] if len(people) > 1 else [row]


def _who(path: Path, folder: Path) -> tuple[str, Sequence[str]]:
    """The subject, and all people of a C3D file: by the skeleton's or the file's own name, else by the subfolder."""
    subject = path.parent.name if path.parent != folder else UNKNOWN
    try:
        if path.suffix.lower() == ".amc":
            return asf_for(path).stem, ()
        if path.suffix.lower() == ".c3d":
            c3d = read_c3d(path, unit_in_metres=1.0)
            people = c3d.people() or c3d.subjects
            return (people[0] if len(people) == 1 else subject), c3d.people()
    except InputError:
        pass  # reading the clip will say what is wrong
    return subject, ()


def _splits(folder: Path, rows: Sequence[ManifestRow], split: str) -> Mapping[str, str]:
    """The split of each subject; "by-subject" orders them by a hash of their names, so that no name is favoured."""
    subjects = sorted({row.subject for row in rows}, key=lambda name: hashlib.sha256(name.encode()).digest())
    if split != BY_SUBJECT:
        return dict.fromkeys(subjects, split)
    if len(subjects) < 3:
        raise InputError(
            f"{folder}: expected at least 3 subjects to split by, got {len(subjects)}: write a manifest.csv"
        )
    share = max(1, round(len(subjects) / 10))
    names = ["test"] * share + ["val"] * share
    return dict(zip(subjects, names + ["train"] * (len(subjects) - len(names)), strict=True))
