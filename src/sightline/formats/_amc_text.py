"""The text of an AMC file taken apart: frames of numbers. Private to `formats/asf_amc.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.errors import InputError
from sightline.formats._asf_text import TOO_LARGE, Rows, parsed_number

_FLAGS = {":fully-specified", ":degrees", ":radians"}


@dataclass(frozen=True)
class RawMotion:
    """The table of an AMC file: columns as the bones' dofs in the order given to the reader; bones not named are 0."""

    values: np.ndarray  # (frame, column), angles as in the file
    degrees: bool | None
    fps: float | None


def read_motion(path: Path, text: str, channels: dict[str, int]) -> RawMotion:
    """The frames of an AMC file. `channels`: values per bone, the root's under "root", in the order of the columns.

    Every frame has to name the same bones (in any order); a bone that no frame names stays at rest, with zeros.
    InputError with the line where a bone is not in `channels`, has another number of values, is missing from a frame
    or twice in it, a number is not finite, or the frames are not counted through.
    """
    degrees, fps, body = _amc_header(path, text)
    if body is None:
        raise InputError(f"{path}: expected AMC frames, each after a line with its number, got no such line")
    table = _uniform_frames(text, body, channels)
    if table is None:
        table = _frames_line_by_line(path, text, body, channels)
    return RawMotion(table, degrees, fps)


def _amc_header(path: Path, text: str) -> tuple[bool | None, float | None, int | None]:
    """Unit of angles, rate, and the index of the line with the first frame number."""
    degrees: bool | None = None
    fps: float | None = None
    for index, line in enumerate(text.split("\n")):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        key = words[0].lower()
        if not key.startswith(":"):
            if len(words) > 1 or not key.isdigit():
                raise InputError(
                    f"{path}: line {index + 1}: expected an AMC motion: a keyword such as :FULLY-SPECIFIED or the "
                    f"number of the first frame, got {line.strip()[:60]!r}"
                )
            return degrees, fps, index
        if key in (":degrees", ":radians"):
            degrees = key == ":degrees"
        elif key == ":samples-per-second":
            fps = parsed_number(words[1]) if len(words) > 1 else None
            if fps is None or fps <= 0:
                raise InputError(f"{path}: line {index + 1}: expected a positive rate, got {line.strip()[:60]!r}")
    return degrees, fps, None


def _uniform_frames(text: str, body: int, channels: dict[str, int]) -> np.ndarray | None:
    """The table where all frames are laid out as the first one is; None where anything differs or is wrong.

    It goes column by column through the words of all frames, over twice as fast as line by line. It never judges what
    is wrong: the slow reader does.
    """
    lines = [line for line in text.split("\n")[body:] if line and not line.isspace()]
    block = "\n".join(lines)
    if "#" in block or "_" in block or ":" in block or not block.isascii():
        return None
    layout = _layout_of_first_frame(lines, channels)
    words = block.split()
    if layout is None or len(words) % layout.width:
        return None
    frames = len(words) // layout.width
    if len(lines) != frames * layout.lines or any(
        set(words[at :: layout.width]) != {name} for at, name in layout.names.items()
    ):
        return None
    table = np.zeros((frames, sum(channels.values())))
    try:
        counters = list(map(int, words[:: layout.width]))
        for at, column in layout.columns.items():
            table[:, column] = list(map(float, words[at :: layout.width]))
    except ValueError:
        return None
    counted = counters == list(range(counters[0], counters[0] + frames))
    return table if counted and bool((np.abs(table) < TOO_LARGE).all()) else None


@dataclass(frozen=True)
class _Layout:
    """Where names and numbers stand among the words of a frame (the first is its number)."""

    names: dict[int, str]
    columns: dict[int, int]  # word → column of the table
    width: int

    @property
    def lines(self) -> int:
        return 1 + len(self.names)


def _layout_of_first_frame(lines: list[str], channels: dict[str, int]) -> _Layout | None:
    starts = _first_columns(channels)
    names: dict[int, str] = {}
    columns: dict[int, int] = {}
    width = 1
    for line in lines[1:]:
        name, *numbers = line.split()
        if name.isdigit() and not numbers:
            break
        if name in names.values() or channels.get(name) != len(numbers):
            return None
        names[width] = name
        columns |= {width + 1 + place: starts[name] + place for place in range(len(numbers))}
        width += 1 + len(numbers)
    return _Layout(names, columns, width) if "root" in names.values() else None


def _first_columns(channels: dict[str, int]) -> dict[str, int]:
    ends = np.cumsum([0, *channels.values()])
    return dict(zip(channels, ends[:-1].tolist(), strict=True))


def _frames_line_by_line(path: Path, text: str, body: int, channels: dict[str, int]) -> np.ndarray:
    starts = _first_columns(channels)
    rows: list[np.ndarray] = []
    bones: set[str] = set()  # of the first frame
    counter: int | None = None
    for line, number, entries in _frames(path, text, body):
        if counter is not None and number != counter + 1:
            raise InputError(f"{path}: line {line}: expected frame {counter + 1} after {counter}, got {number}")
        counter = number
        row = np.zeros(sum(channels.values()))
        named: set[str] = set()
        for entry_line, (name, *words) in entries:
            where = f"{path}: line {entry_line}"
            if name not in channels:
                raise InputError(
                    f"{where}: bone {name[:60]!r} is not in the skeleton: this AMC belongs to another ASF file"
                )
            if name in named:
                raise InputError(f"{where}: bone {name} stands twice in frame {number}")
            named.add(name)
            row[starts[name] : starts[name] + channels[name]] = _amc_values(where, name, words, channels[name])
        bones = bones or named
        if "root" not in named or named != bones:
            lacking = sorted(({"root"} | bones) - named) or sorted(named - bones)
            raise InputError(
                f"{path}: line {line}: frame {number} does not have the bones of the first one: {', '.join(lacking)} "
                "differ; the file seems cut off or put together"
            )
        rows.append(row)
    return np.stack(rows)


def _frames(path: Path, text: str, body: int) -> Iterator[tuple[int, int, Rows]]:
    """(line, number, entries) of each frame."""
    opened: tuple[int, int] | None = None
    entries: Rows = []
    for line, content in enumerate(text.split("\n")[body:], body + 1):
        words = content.split("#", 1)[0].split()
        if not words or words[0].lower() in _FLAGS:
            continue
        if len(words) == 1 and words[0].isascii() and words[0].isdigit() and len(words[0]) < 10:
            if opened is not None:
                yield (*opened, entries)
            opened, entries = (line, int(words[0])), []
        elif opened is None:
            raise InputError(f"{path}: line {line}: expected the number of a frame, got {content.strip()[:60]!r}")
        else:
            entries.append((line, words))
    if opened is not None:
        yield (*opened, entries)


def _amc_values(where: str, name: str, words: list[str], count: int) -> list[float]:
    if len(words) != count:
        raise InputError(f"{where}: expected {count} values for {name} as the skeleton says, got {len(words)}")
    numbers = [parsed_number(word) for word in words]
    if None in numbers:
        raise InputError(f"{where}: expected finite numbers for {name}, got {' '.join(words)[:60]!r}")
    return [number for number in numbers if number is not None]
