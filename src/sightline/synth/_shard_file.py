"""The file of a shard: its arrays without reading them, as views into the mapped file, and the seal over its bytes.

A seal is the comment of the zip archive: `sha256 ` and the sum, as 64 hexadecimal digits, of all bytes before it.
"""

from __future__ import annotations

import hashlib
import mmap
import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from sightline.errors import InputError

BLANK_SEAL: Final = b"sha256 " + b"0" * 64
"""The comment that an archive needs to be sealed: `seal` writes the sum over the zeros."""

_CHUNK = 1 << 20
_LOCAL_HEADER = 30
_LONGEST_LAYOUT = 4096  # bytes that the description of an array can take


class MappedArrays:
    """A file as `numpy.savez` writes it, mapped into memory: opening reads its table of contents and nothing else.

    What an array holds is read from the disk when it is looked at. `InputError` for a missing, cut off or other file;
    damage inside an array is not noticed (`check_seal` does, since it reads everything).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open(path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                with zipfile.ZipFile(file) as archive:
                    members = archive.infolist()
            self._arrays = {member.filename.removesuffix(".npy"): self._view(member) for member in members}
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, EOFError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: not a whole shard of a rendered set ({error})") from error

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        """Return an array as a read-only view; `InputError` where the file has none of this name."""
        if name not in self._arrays:
            raise InputError(f"{self.path}: the array '{name}' is missing")
        return self._arrays[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arrays, in the order in which they lie in the file."""
        return tuple(self._arrays)

    def _view(self, member: zipfile.ZipInfo) -> np.ndarray:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"'{member.filename}' is compressed")
        at = member.header_offset
        lengths = self._map[at + _LOCAL_HEADER - 4 : at + _LOCAL_HEADER]
        start = at + _LOCAL_HEADER + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        self._map.seek(start)
        np.lib.format.read_magic(self._map)  # pyright: ignore[reportArgumentType]
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(
            self._map,  # pyright: ignore[reportArgumentType]
            max_header_size=_LONGEST_LAYOUT,
        )
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        if fortran or dtype.hasobject or self._map.tell() - start + size != member.file_size:
            raise ValueError(f"'{member.filename}' is no plain array")
        return np.ndarray(shape, dtype, buffer=self._map, offset=self._map.tell())  # pyright: ignore[reportCallIssue]


def seal(path: Path) -> None:
    """Seal an archive that was written with the comment `BLANK_SEAL`."""
    digest, comment = _digest_and_comment(path)
    assert comment == BLANK_SEAL, f"{path}: the comment is {comment!r}"
    with open(path, "rb+") as file:
        file.seek(-len(digest), 2)
        file.write(digest)


def check_seal(path: Path) -> None:
    """Read a file wholly; `InputError` if it is missing, or not every byte is as it was sealed."""
    try:
        digest, comment = _digest_and_comment(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if comment != BLANK_SEAL[: -len(digest)] + digest:
        raise InputError(f"{path}: damaged, its bytes are not those that were written")


def _digest_and_comment(path: Path) -> tuple[bytes, bytes]:
    """The sum of a file's bytes before the seal, as hexadecimal digits, and the seal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = max(0, path.stat().st_size - len(BLANK_SEAL))
        while chunk := file.read(min(left, _CHUNK)):
            digest.update(chunk)
            left -= len(chunk)
        return digest.hexdigest().encode(), file.read()
