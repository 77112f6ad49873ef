"""The text of an ASF file taken apart, and what ASF and AMC share. Private to `formats/asf_amc.py`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightline.errors import InputError

Vector = tuple[float, float, float]
Rows = list[tuple[int, list[str]]]  # (line number, words) of the lines that say something

ROTATIONS = ("rx", "ry", "rz")
TRANSLATIONS = ("tx", "ty", "tz")
TOO_LARGE = 1e30  # no length or angle of a person; kept away from sums that would overflow


def read_text(path: Path) -> str:
    """The file as text with plain line ends; InputError where it cannot be read or is no text."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if b"\0" in content:
        raise InputError(f"{path}: expected text, got a zero byte at {content.index(0)}: this is another kind of file")
    text = content.decode("utf-8-sig", errors="replace")  # comments and names of old files are in any encoding
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parsed_number(word: str) -> float | None:
    """The word as a number below 1e30, or None. Python's own extras (1_000, digits of other scripts) are refused."""
    number = _number_or_nan(word)
    return number if abs(number) < TOO_LARGE else None


def _number_or_nan(word: str) -> float:
    if not word.isascii() or "_" in word:
        return math.nan
    try:
        return float(word)
    except ValueError:
        return math.nan


@dataclass
class RawBone:
    """One bone between `begin` and `end`, while it is being read; angles in the unit of the file."""

    line: int
    name: str | None = None
    direction: Vector | None = None
    length: float | None = None
    axis: Vector = (0.0, 0.0, 0.0)
    axis_order: str = "xyz"
    dofs: tuple[str, ...] = ()
    limits: list[float] = field(default_factory=list)


@dataclass
class RawSkeleton:
    """The sections of an ASF file, while it is being read; angles in the unit of the file."""

    length: float = 1.0
    mass: float = 1.0
    degrees: bool = True
    root_order: tuple[str, ...] = (*TRANSLATIONS, *ROTATIONS)
    root_axis_order: str = "xyz"
    root_position: Vector = (0.0, 0.0, 0.0)
    root_orientation: Vector = (0.0, 0.0, 0.0)
    bones: list[RawBone] = field(default_factory=list)
    children: list[tuple[int, list[str]]] = field(default_factory=list)  # (line, [parent, child, …])


class AsfReader:
    """Reads the sections of an ASF file; a line knows its number, and InputError names it.

    `#` begins a comment; commas and parentheses are blanks; keywords may have any case. Sections that do not bear on
    the skeleton (:documentation, :skin, …) and unknown words inside a bone (bodymass, …) are passed over.
    """

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.split("\n")
        self._skeleton = RawSkeleton()

    def read(self) -> RawSkeleton:
        """The whole skeleton; InputError where the text is no ASF."""
        sections = self._sections()
        for needed in (":bonedata", ":hierarchy"):
            if needed not in sections:
                raise InputError(f"{self._path}: expected an ASF skeleton with the section {needed}, got none")
        for rows in sections.get(":units", []):
            self._read_units(rows)
        for rows in sections.get(":root", []):
            self._read_root(rows)
        for rows in sections[":bonedata"]:
            self._read_bones(rows)
        for rows in sections[":hierarchy"]:
            self._read_hierarchy(rows)
        return self._skeleton

    def _sections(self) -> dict[str, list[Rows]]:
        """Keyword (lower case) → the lines of each of its sections; what follows it on its own line is the first."""
        sections: dict[str, list[Rows]] = {}
        rows: Rows = []
        for number, line in enumerate(self._lines, 1):
            words = re.sub(r"[,()]", " ", line.split("#", 1)[0]).split()
            if words and words[0].startswith(":"):
                rows = []
                sections.setdefault(words[0].lower(), []).append(rows)
                words = words[1:]
            if words:
                rows.append((number, words))
        return sections

    def _error(self, line: int, expected: str, got: str) -> InputError:
        return InputError(f"{self._path}: line {line}: expected {expected}, got {got[:60]!r}")

    def _numbers(self, line: int, words: Sequence[str], what: str, count: int) -> tuple[float, ...]:
        numbers = [parsed_number(word) for word in words[:count]]
        if len(numbers) < count or None in numbers:
            plural = "number" if count == 1 else "numbers"
            raise self._error(line, f"{count} finite {plural} for {what}", " ".join(words))
        return tuple(number for number in numbers if number is not None)

    def _vector(self, line: int, words: Sequence[str], what: str) -> Vector:
        x, y, z = self._numbers(line, words, what, 3)
        return x, y, z

    def _order(self, line: int, word: str) -> str:
        if sorted(word.lower()) != ["x", "y", "z"]:
            raise self._error(line, "an order of axes such as XYZ", word)
        return word.lower()

    def _read_units(self, rows: Rows) -> None:
        for line, (key, *words) in rows:
            if key.lower() in ("mass", "length"):
                (number,) = self._numbers(line, words, key.lower(), 1)
                if number <= 0:
                    raise self._error(line, f"a positive {key.lower()}", words[0])
                setattr(self._skeleton, key.lower(), number)
            elif key.lower() == "angle":
                word = " ".join(words).lower()
                if word not in ("deg", "rad", "degrees", "radians"):
                    raise self._error(line, "angle deg or angle rad", word)
                self._skeleton.degrees = word.startswith("deg")

    def _read_root(self, rows: Rows) -> None:
        skeleton = self._skeleton
        for line, (key, *words) in rows:
            if key.lower() == "order":
                order = tuple(word.lower() for word in words)
                if not order or len(set(order)) < len(order) or not set(order) <= {*TRANSLATIONS, *ROTATIONS}:
                    raise self._error(line, "an order of TX TY TZ RX RY RZ (each at most once)", " ".join(words))
                skeleton.root_order = order
            elif key.lower() == "axis":
                skeleton.root_axis_order = self._order(line, words[0] if words else "")
            elif key.lower() == "position":
                skeleton.root_position = self._vector(line, words, "position")
            elif key.lower() == "orientation":
                skeleton.root_orientation = self._vector(line, words, "orientation")

    def _read_bones(self, rows: Rows) -> None:
        bone: RawBone | None = None
        key = ""
        for line, words in rows:
            first = words[0].lower()
            if first == "begin":
                if bone is not None:
                    raise self._error(line, f"end of the bone that begins in line {bone.line}", words[0])
                bone = RawBone(line)
            elif bone is None:
                raise self._error(line, "begin", words[0])
            elif first == "end":
                self._finish_bone(bone)
                bone = None
            elif key == "limits" and not first[0].isalpha():  # further lines of limits: numbers, -inf
                bone.limits.extend(self._limits(line, words))
                continue
            else:
                self._read_entry(bone, line, first, words[1:])
            key = first
        if bone is not None:
            raise self._error(bone.line, "end after the last bone", "the end of :bonedata")

    def _read_entry(self, bone: RawBone, line: int, key: str, words: list[str]) -> None:
        if key == "name":
            bone.name = " ".join(words)
        elif key == "direction":
            bone.direction = self._vector(line, words, "direction")
        elif key == "length":
            (bone.length,) = self._numbers(line, words, "length", 1)
        elif key == "axis":
            bone.axis = self._vector(line, words, "axis")
            bone.axis_order = self._order(line, words[3]) if len(words) > 3 else "xyz"
        elif key == "dof":
            bone.dofs = tuple(word.lower() for word in words)
            if len(set(bone.dofs)) < len(bone.dofs) or not set(bone.dofs) <= set(ROTATIONS):
                raise self._error(line, "a dof of rx, ry, rz (each at most once)", " ".join(words))
        elif key == "limits":
            bone.limits = self._limits(line, words)

    def _limits(self, line: int, words: list[str]) -> list[float]:
        numbers = [_number_or_nan(word) for word in words]
        if any(map(math.isnan, numbers)):
            raise self._error(line, "pairs of numbers for limits", " ".join(words))
        return numbers

    def _finish_bone(self, bone: RawBone) -> None:
        if not bone.name:
            raise self._error(bone.line, "a name in the bone that begins here", "none")
        if bone.direction is None or bone.length is None:
            lacking = "direction" if bone.direction is None else "length"
            raise self._error(bone.line, f"a {lacking} in bone {bone.name}", "none")
        if bone.length < 0 or (bone.length > 0 and not any(bone.direction)):
            raise self._error(bone.line, f"a length from 0 and a direction in bone {bone.name}", f"{bone.length:g}")
        if len(bone.limits) % 2:
            raise self._error(bone.line, f"pairs of limits in bone {bone.name}", f"{len(bone.limits)} numbers")
        self._skeleton.bones.append(bone)

    def _read_hierarchy(self, rows: Rows) -> None:
        for line, words in rows:
            if words[0].lower() not in ("begin", "end"):
                self._skeleton.children.append((line, words))
