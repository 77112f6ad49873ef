"""Bytes that may become many: a little in memory, the rest in a nameless file on the disk."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

_IN_MEMORY: Final = 4 * 1024
_CHUNK: Final = 64 * 1024


class Spill:
    """Bytes that are appended, and read once all are there; whatever their number, about 4 KiB lie in memory.

    The file is made in `folder` (None: the system's folder for temporary files) as soon as it is needed. It has no name
    where the system allows that, so nothing is left even of a process that is killed. An append that is interrupted
    may leave a part of its own bytes, but never harms those before. Raises `OSError` where the disk is full.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._parts: tuple[int, bytearray] = (0, bytearray())  # bytes in the file, and those that come after them

    def append(self, data: bytes) -> None:
        """Add `data` at the end."""
        self._parts[1].extend(data)
        if len(self._parts[1]) >= _IN_MEMORY:
            self._store()

    def chunks(self, end: int) -> Iterator[bytes]:
        """Yield the first `end` bytes, at most 64 KiB at a time."""
        stored, tail = self._parts
        at = 0
        while at < min(stored, end):
            assert self._file is not None  # since something is stored
            self._file.seek(at)
            chunk = self._file.read(min(_CHUNK, min(stored, end) - at))
            if not chunk:
                raise OSError(errno.EIO, "a temporary file was cut off")
            at += len(chunk)
            yield chunk
        if end > stored:
            yield bytes(tail[: end - stored])

    def close(self) -> None:
        """Let go of the bytes; may be called again."""
        if self._file is not None:
            self._file.close()
        self._file, self._parts = None, (0, bytearray())

    def _store(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, prefix=".sightline-", buffering=0)  # noqa: SIM115 - open as long as the spill
        stored, tail = self._parts
        self._file.seek(stored)  # not the end: an interrupted attempt may have come further
        rest = bytes(tail)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._parts = (stored + len(tail), bytearray())  # at once, so that no interrupt comes in between


def split(chunks: Iterable[bytes], mark: bytes) -> Iterator[bytes]:
    """What stands between the marks (one byte each), however the chunks cut it; nothing of nothing."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(mark)
        yield from whole
    if rest:
        yield rest


def records(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of whole records of `size` bytes, however the chunks cut them."""
    rest = b""
    for chunk in chunks:
        joined = rest + chunk
        cut = len(joined) - len(joined) % size
        rest = joined[cut:]
        if cut:
            yield joined[:cut]
    assert not rest, "the chunks end inside a record"
