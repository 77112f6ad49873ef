"""Arrays of an NPZ file that grow row by row; the same archive as `numpy.savez_compressed` of the whole."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np

from sightline.formats._spill import Spill

_SIZE_BYTES = 4  # before each kept text: how many bytes it has
_CODE_POINT_BYTES = 4


class _Kept(NamedTuple):
    """How much of a column counts."""

    rows: int = 0
    end: int = 0  # bytes in its spill
    width: int = 1  # of the widest text, in characters; NumPy has none of width 0


class Columns:
    """Named arrays, each a number of rows of one type and shape, kept in a spill of its own.

    types: of each array, its type and the lengths of its axes after the first; texts have none.
    """

    def __init__(self, types: Mapping[str, tuple[type, tuple[int, ...]]], spill: Callable[[], Spill]) -> None:
        self._types = types
        self._spills = {name: spill() for name in types}
        self._kept = dict.fromkeys(types, _Kept())

    def rows(self, name: str) -> int:
        """The number of rows of an array so far."""
        return self._kept[name].rows

    def prepared(self, values: Iterable[tuple[str, Any]]) -> Callable[[], None]:
        """Return what adds rows, (array, value) each, when it is called: all of them, or none where interrupted."""
        rows: dict[str, list[bytes]] = {}
        kept = dict(self._kept)
        for name, value in values:
            before = kept[name]
            if self._types[name][0] is np.str_:
                text = _text_bytes(value)
                data, width = len(text).to_bytes(_SIZE_BYTES, "little") + text, len(text) // _CODE_POINT_BYTES
            else:
                data, width = np.asarray(value, self._types[name][0]).tobytes(), 1
            rows.setdefault(name, []).append(data)
            kept[name] = _Kept(before.rows + 1, before.end + len(data), max(before.width, width))

        def keep() -> None:
            for name, data in rows.items():
                self._spills[name].append(b"".join(data))
            self._kept = kept

        return keep

    def write(self, archive: ZipFile) -> None:
        """Write every array into the archive, in the order of the types."""
        for name, (dtype, axes) in self._types.items():
            kept = self._kept[name]
            chunks = self._spills[name].chunks(kept.end)
            if dtype is np.str_:
                chunks = _padded_texts(chunks, kept.width * _CODE_POINT_BYTES)
            full = np.dtype((np.str_, kept.width)) if dtype is np.str_ else np.dtype(dtype)
            write_chunks(archive, name, full, (kept.rows, *axes), chunks)


def new_archive(file: IO[bytes]) -> ZipFile:
    """An NPZ file to be written, compressed as `numpy.savez_compressed` does."""
    return ZipFile(file, "w", ZIP_DEFLATED)


def write_array(archive: ZipFile, name: str, array: np.ndarray) -> None:
    """Write a whole array."""
    write_chunks(archive, name, array.dtype, array.shape, [array.tobytes()])


def write_chunks(
    archive: ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], chunks: Iterable[bytes]
) -> None:
    """Write an array whose bytes, in C order, come in chunks."""
    layout = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, layout)
        written = 0
        for chunk in chunks:
            written += member.write(chunk)
    assert written == dtype.itemsize * math.prod(shape), f"{name}: {written} bytes do not fill {shape} of {dtype}"


def _text_bytes(text: str) -> bytes:
    """UTF-32 as in NumPy's memory; names of files that are not UTF-8 survive."""
    return text.encode("utf-32-le" if sys.byteorder == "little" else "utf-32-be", "surrogatepass")


def _padded_texts(chunks: Iterable[bytes], width: int) -> Iterator[bytes]:
    """Texts, each after its size, filled up with zeros to `width` bytes."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        at = 0
        while len(rest) >= at + _SIZE_BYTES:
            start = at + _SIZE_BYTES
            end = start + int.from_bytes(rest[at:start], "little")
            if len(rest) < end:
                break
            yield rest[start:end].ljust(width, b"\0")
            at = end
        rest = rest[at:]
