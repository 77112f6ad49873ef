"""The bytes of a C3D file taken apart: header, parameters, points. Private to `formats/c3d.py`.

Source: The C3D file format, user guide (Motion Lab Systems). A file is made of blocks of 512 bytes: a header, the
parameters (records of groups and of their parameters), and the frames, each with all points (x, y, z, and a fourth
word whose sign says whether the point was seen) and then the analog samples. Numbers are Intel's, DEC's or MIPS's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sightline.errors import InputError

BLOCK = 512
KEY = 0x50  # second byte of every C3D file
INTEL, DEC, MIPS = 84, 85, 86
Groups = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Numbers:
    """How a file writes its numbers."""

    processor: int

    @property
    def order(self) -> str:
        """Byte order as NumPy writes it."""
        return ">" if self.processor == MIPS else "<"

    def integers(self, content: bytes) -> np.ndarray:
        """Signed 16-bit integers."""
        return np.frombuffer(content, dtype=f"{self.order}i2")

    def words(self, content: bytes) -> np.ndarray:
        """Unsigned 16-bit integers: counts and block numbers."""
        return np.frombuffer(content, dtype=f"{self.order}u2")

    def floats(self, content: bytes) -> np.ndarray:
        """32-bit floats; DEC's have their halves exchanged and an exponent that is larger by 2."""
        if self.processor != DEC:
            return np.frombuffer(content, dtype=f"{self.order}f4")
        halves = np.frombuffer(content, dtype="<u2").reshape(-1, 2)[:, ::-1]
        return np.ascontiguousarray(halves).view("<f4").ravel() / 4


@dataclass(frozen=True)
class Layout:
    """Where the frames lie and what is in one."""

    first_frame: int
    frames: int
    points: int
    analog: int  # samples per frame, of all channels together
    scale: float  # negative: points are floats in the file's unit, else integers times scale
    start: int  # byte

    @property
    def word(self) -> int:
        """Bytes per number."""
        return 4 if self.scale < 0 else 2

    @property
    def stride(self) -> int:
        """Bytes per frame."""
        return (4 * self.points + self.analog) * self.word


def read_bytes(path: Path) -> bytes:
    """The whole file; InputError where it cannot be read or does not begin as a C3D file."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(content) < 2 or content[1] != KEY or content[0] == 0:
        raise InputError(f"{path}: expected a C3D file, got other bytes or nothing at its beginning")
    return content


def read_parameters(path: Path, content: bytes) -> tuple[Groups, Numbers]:
    """{group: {parameter: value}} in upper case, and how numbers are written; InputError where the records are broken.

    A value is a str or a list of str, or an array of bytes, integers or floats in one row.
    """
    start = (content[0] - 1) * BLOCK
    if len(content) < start + 4 or start < BLOCK:
        raise _cut_off(path, "parameters")
    blocks, processor = content[start + 2], content[start + 3]
    if processor not in (INTEL, DEC, MIPS):
        raise InputError(
            f"{path}: expected a C3D file of processor type 84 (Intel), 85 (DEC) or 86 (MIPS), got {processor}"
        )
    numbers = Numbers(processor)
    end = min(len(content), start + max(blocks, 1) * BLOCK)
    names: dict[int, str] = {}
    found: dict[int, dict[str, Any]] = {}
    at = start + 4
    while at + 2 <= end and content[at] != 0:
        length, number = abs(_signed(content[at])), _signed(content[at + 1])
        body = at + 2 + length
        if number == 0 or body + 2 > end:
            raise _broken(path, at)
        name = _text(content[at + 2 : body]).upper()
        if number < 0:
            names[-number] = name
        else:
            found.setdefault(number, {})[name] = _value(path, content, body + 2, end, numbers)
        step = int(numbers.integers(content[body : body + 2])[0])
        if step == 0:
            break
        if step < 0:
            raise _broken(path, at)
        at = body + step
    groups = {names[number]: found.get(number, {}) for number in names}
    if "POINT" not in groups:
        raise InputError(f"{path}: expected a C3D file with the parameter group POINT, got {len(groups)} other groups")
    return groups, numbers


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace").replace("\0", " ").strip()


def _broken(path: Path, at: int) -> InputError:
    return InputError(f"{path}: expected a C3D file, but its parameters are damaged at byte {at}")


def _cut_off(path: Path, what: str) -> InputError:
    return InputError(f"{path}: expected a whole C3D file, but it ends within its {what}: it is cut off")


def _value(path: Path, content: bytes, at: int, end: int, numbers: Numbers) -> Any:
    """The value of the parameter whose type byte is at `at`."""
    if at + 2 > end:
        raise _broken(path, at)
    kind, rank = _signed(content[at]), content[at + 1]
    dimensions = list(content[at + 2 : at + 2 + rank])
    size = abs(kind) * int(np.prod(dimensions, dtype=np.int64))
    begin = at + 2 + rank
    if kind not in (-1, 1, 2, 4) or rank > 7 or begin + size > end:
        raise _broken(path, at)
    data = content[begin : begin + size]
    if kind == 2:
        return numbers.integers(data)
    if kind == 4:
        return numbers.floats(data)
    if kind == 1:
        return np.frombuffer(data, dtype=np.uint8)
    if rank < 2:
        return _text(data)
    width = dimensions[0]
    return [_text(data[i : i + width]) for i in range(0, size, width)] if width else []


def text_list(groups: Groups, group: str, name: str) -> list[str]:
    """A parameter of texts and its continuations (LABELS, LABELS2, …) as one list; a single text is one entry."""
    parameters = groups.get(group, {})
    texts: list[str] = []
    count = 1
    while (key := name if count == 1 else f"{name}{count}") in parameters:
        value = parameters[key]
        texts.extend([value] if isinstance(value, str) else value if isinstance(value, list) else [])
        count += 1
    return texts


def first_number(groups: Groups, group: str, name: str) -> float | None:
    """The first number of a parameter, None where there is none."""
    value = groups.get(group, {}).get(name)
    return float(value[0]) if isinstance(value, np.ndarray) and value.size else None


# ----------------------------------------------------------------------------------------------------------- frames


def read_layout(path: Path, content: bytes, groups: Groups, numbers: Numbers) -> Layout:
    """Where the frames lie: by the header, or parameters where it is too small; InputError where that is nonsense."""
    if len(content) < BLOCK:
        raise _cut_off(path, "header")
    words = numbers.words(content[:48])
    first, last = int(words[3]), int(words[4])
    scale = float(numbers.floats(content[12:16])[0])
    if not (np.isfinite(scale) and scale != 0 and abs(scale) < 1e6):
        raise InputError(f"{path}: expected a scale of points other than 0 in the header, got {scale:g}")
    layout = Layout(
        first_frame=first,
        frames=_frame_count(groups, first, last),
        points=int(words[1]),
        analog=int(words[2]),
        scale=scale,
        start=(int(words[8]) - 1) * BLOCK,
    )
    used = first_number(groups, "POINT", "USED")
    if used is not None and int(used) % 65536 != layout.points:
        raise InputError(f"{path}: expected {int(used)} points as POINT:USED says, got {layout.points} in the header")
    if layout.start < BLOCK or layout.frames < 1 or layout.points < 1:
        raise InputError(
            f"{path}: expected frames with points, got {layout.frames} frames of {layout.points} points that begin at "
            f"byte {layout.start}"
        )
    needed = layout.start + layout.frames * layout.stride
    if needed > len(content):
        there = max(len(content) - layout.start, 0) // layout.stride
        raise InputError(f"{path}: expected {layout.frames} frames, got {there}: the file is cut off")
    return layout


def _frame_count(groups: Groups, first: int, last: int) -> int:
    """By the header; where its 16 bits overflow, by TRIAL:ACTUAL_START_FIELD and …END_FIELD, or POINT's own."""
    long = first_number(groups, "POINT", "LONG_FRAMES")
    fields = [groups.get("TRIAL", {}).get(f"ACTUAL_{name}_FIELD") for name in ("START", "END")]
    if last < 65535 and last >= first:
        return last - first + 1
    if all(isinstance(field, np.ndarray) and field.dtype.kind == "i" and field.size >= 2 for field in fields):
        begin, end = (int(np.uint16(f[0])) + 65536 * int(np.uint16(f[1])) for f in fields if f is not None)
        return end - begin + 1
    if long is not None and np.isfinite(long):
        return int(long)
    frames = first_number(groups, "POINT", "FRAMES")
    return int(frames) % 65536 if frames is not None and np.isfinite(frames) else last - first + 1


def read_points(content: bytes, layout: Layout, numbers: Numbers) -> np.ndarray:
    """Points (frame, point, 3) in the file's unit, float64; NaN where the file marks a point as not seen."""
    raw = np.frombuffer(content, dtype=np.uint8, count=layout.frames * layout.stride, offset=layout.start)
    raw = raw.reshape(layout.frames, layout.stride)[:, : 4 * layout.points * layout.word]
    data = np.ascontiguousarray(raw).tobytes()
    if layout.scale < 0:
        table = numbers.floats(data).reshape(layout.frames, layout.points, 4).astype(np.float64)
        points = table[..., :3]
    else:
        table = numbers.integers(data).reshape(layout.frames, layout.points, 4).astype(np.float64)
        points = table[..., :3] * layout.scale
    with np.errstate(invalid="ignore"):
        unseen = ~np.isfinite(table).all(axis=-1) | (table[..., 3] < 0) | (points == 0).all(axis=-1)
    return np.where(unseen[..., None], np.nan, points)
