"""The arrays of an uncompressed .npz file without reading them: views into the mapped file."""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path

import numpy as np

from sightline.errors import InputError

_LOCAL_HEADER = 30
_LONGEST_LAYOUT = 4096  # bytes that the description of an array can take


class MappedArrays:
    """A file as `numpy.savez` writes it, mapped into memory: opening reads its table of contents and nothing else.

    What an array holds is read from the disk when it is looked at. `InputError` for a missing, cut off or other file;
    damage inside an array is not noticed (`sightline.formats.npz.load_arrays` does, since it reads everything).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open(path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            with zipfile.ZipFile(path) as archive:
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
