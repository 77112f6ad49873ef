"""The text of a BVH file taken apart: words of the hierarchy, numbers of the motion. Private to `formats/bvh.py`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sightline.errors import InputError

CHANNEL_NAMES = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
CHANNEL_CODE = {name.lower(): code for code, name in enumerate(CHANNEL_NAMES)}

Offset = tuple[float, float, float]


@dataclass
class Hierarchy:
    """The tree while it is being read: one entry per node in the order of the file, tips as (node, offset)."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[Offset | None] = field(default_factory=list)
    channels: list[tuple[str, ...] | None] = field(default_factory=list)
    tips: list[tuple[int, Offset]] = field(default_factory=list)


class HierarchyReader:
    """Walks over the words of the HIERARCHY block; every word knows its line."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self._path = path
        self._words = [
            (word, number) for number, line in enumerate(lines, 1) for word in re.findall(r"[{}]|[^\s{}]+", line)
        ]
        self._at = 0
        self._tree = Hierarchy()

    def read(self) -> Hierarchy:
        """The whole tree; InputError with the line where the text is no BVH hierarchy."""
        tree = self._tree
        self._expect("HIERARCHY")
        self._expect("ROOT")
        open_nodes = [self._begin_node(-1)]
        while open_nodes:
            word = self._next("OFFSET, CHANNELS, JOINT, End or }")
            node = open_nodes[-1]
            keyword = word.lower()
            if keyword == "offset" and tree.offsets[node] is None:
                tree.offsets[node] = self._offset()
            elif keyword == "channels" and tree.channels[node] is None:
                tree.channels[node] = self._channels()
            elif keyword == "joint":
                open_nodes.append(self._begin_node(node))
            elif keyword == "end":
                self._read_tip(node)
            elif keyword == "}":
                self._finish_node(open_nodes.pop())
            else:
                raise self._error("OFFSET or CHANNELS (once each), JOINT, End or }", word)
        if self._at < len(self._words):
            raise self._error("MOTION after the one and only ROOT", self._next(""))
        return tree

    def _error(self, expected: str, got: str) -> InputError:
        line = self._words[max(self._at - 1, 0)][1] if self._words else 1
        return InputError(f"{self._path}: line {line}: expected {expected}, got {got[:60]!r}")

    def _next(self, expected: str) -> str:
        if self._at >= len(self._words):
            raise self._error(expected, "the end of the hierarchy")
        self._at += 1
        return self._words[self._at - 1][0]

    def _expect(self, keyword: str) -> None:
        if (word := self._next(keyword)).lower() != keyword.lower():
            raise self._error(keyword, word)

    def _name(self, what: str) -> str:
        """The words up to the opening brace: names may contain blanks."""
        expected = f"the name of {what}, then {{"
        words: list[str] = []
        while (word := self._next(expected)) != "{":
            if word == "}":
                raise self._error(expected, word)
            words.append(word)
        if not words:
            raise self._error(expected, "{")
        return " ".join(words)

    def _begin_node(self, parent: int) -> int:
        self._tree.names.append(self._name("a node"))
        self._tree.parents.append(parent)
        self._tree.offsets.append(None)
        self._tree.channels.append(None)
        return len(self._tree.names) - 1

    def _finish_node(self, node: int) -> None:
        if self._tree.offsets[node] is None:
            raise self._error(f"an OFFSET in node {self._tree.names[node]}", "}")

    def _read_tip(self, node: int) -> None:
        self._name("an end site")
        self._expect("OFFSET")
        self._tree.tips.append((node, self._offset()))
        self._expect("}")

    def _offset(self) -> Offset:
        return self._number(), self._number(), self._number()

    def _number(self) -> float:
        word = self._next("a number")
        if (number := parsed_number(word)) is None:
            raise self._error("a finite number", word)
        return number

    def _channels(self) -> tuple[str, ...]:
        word = self._next("the number of channels")
        if word not in tuple("0123456"):
            raise self._error("a number of channels from 0 to 6", word)
        codes: list[int] = []
        for _ in range(int(word)):
            name = self._next("a channel")
            code = CHANNEL_CODE.get(name.lower())
            if code is None or code in codes:
                raise self._error(f"one of the channels {', '.join(CHANNEL_NAMES)} (each once)", name)
            codes.append(code)
        return tuple(CHANNEL_NAMES[code] for code in codes)


def parsed_number(word: str) -> float | None:
    """The word as a finite number, or None. Python's own extras (1_000, digits of other scripts) are refused."""
    if not word.isascii() or "_" in word:
        return None
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_motion(path: Path, lines: list[str], motion: int, width: int) -> tuple[np.ndarray, float]:
    """The table (frame, channel) and the frame time in seconds; `motion` is the index of the line MOTION.

    Reads one frame per line; blank lines do not count. InputError with the line where that is not what stands there.
    """
    rows = ((number, line) for number, line in enumerate(lines[motion + 1 :], motion + 2) if line.strip())
    count_line, text = _header_value(path, rows, r"frames\s*:", "Frames: <count>")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InputError(f"{path}: line {count_line}: expected a whole number of frames, got {text[:60]!r}")
    time_line, time_text = _header_value(path, rows, r"frame\s+time\s*:", "Frame Time: <seconds>")
    frame_time_s = parsed_number(time_text)
    if frame_time_s is None or frame_time_s <= 0:
        raise InputError(f"{path}: line {time_line}: expected a positive frame time (s), got {time_text[:60]!r}")
    table = list(rows)
    values = np.empty((len(table), width))
    for index, (number, line) in enumerate(table):
        values[index] = _parsed_row(path, number, line, width)
    if len(table) != int(text):
        raise InputError(f"{path}: expected {int(text)} frames as line {count_line} says, got {len(table)}")
    return values, frame_time_s


def _header_value(path: Path, rows: Iterator[tuple[int, str]], pattern: str, expected: str) -> tuple[int, str]:
    """Line number and text after the colon of the next line that is not blank."""
    number, line = next(rows, (0, ""))
    if not number:
        raise InputError(f"{path}: expected {expected!r} after MOTION, got the end of the file")
    match = re.match(pattern, line.strip(), re.IGNORECASE)
    if not match:
        raise InputError(f"{path}: line {number}: expected {expected!r}, got {line.strip()[:60]!r}")
    return number, line.strip()[match.end() :].strip()


def _parsed_row(path: Path, number: int, line: str, width: int) -> list[float]:
    words = line.split()
    if len(words) != width:
        raise InputError(f"{path}: line {number}: expected {width} values (one frame per line), got {len(words)}")
    if line.isascii() and "_" not in line:
        try:
            values = list(map(float, words))
        except ValueError:
            values = [math.nan]
        if math.isfinite(sum(values)) or all(map(math.isfinite, values)):
            return values
    wrong = next(word for word in words if parsed_number(word) is None)
    raise InputError(f"{path}: line {number}: expected finite numbers, got {wrong[:60]!r}")
