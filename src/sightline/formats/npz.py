"""NumPy's archives of arrays (.npz), read without trusting them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from sightline.errors import InputError


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Every array of an NPZ file, none of them pickled; `InputError` for a missing, broken or other file."""
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, NpzFile):
                raise InputError(f"{path}: expected an .npz archive of arrays, got a single array")
            arrays = {name: archive[name] for name in archive.files}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a readable .npz archive of plain arrays ({error})") from error
    strays = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if strays:
        raise InputError(f"{path}: expected arrays only, but {strays[0]} is none")
    return arrays
