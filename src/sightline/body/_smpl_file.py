"""Files of SMPL: NPZ, and the official pickles, read without chumpy and without running anything a pickle asks for.

A pickle names functions and classes that its reader is to call. This reader gives stand-ins, which only remember what
they were told, for arrays, for chumpy's arrays and for SciPy's sparse matrices, makes arrays of numbers of them itself,
and refuses whatever else is named.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy import sparse

from sightline.errors import InputError

ARRAYS: Final = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")

_NUMBER: Final = re.compile(r"f[248]|[iu][1248]")


def read_smpl_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of `ARRAYS` as the file at `path` (.npz or .pkl) has them, dense, as float64 or int64.

    Raises:
        InputError: for a file that cannot be read, that names code, or that lacks an array.
    """
    try:
        content = _read_npz(path) if path.suffix.lower() == ".npz" else _read_pickle(path)
        missing = [name for name in ARRAYS if name not in content]
        if missing:
            raise InputError(f"{path}: expected a file of SMPL, but it has no {', '.join(missing)}")
        return {name: _numbers(content[name]) for name in ARRAYS}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: expected a file of SMPL, but it cannot be read ({error})") from error
    except Exception as error:  # a broken pickle can fail in any way
        raise InputError(f"{path}: expected a file of SMPL as .npz or .pkl, but it is damaged ({error})") from error


def _read_npz(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise InputError(f"{path}: expected a file of SMPL as .npz, but it is no NPZ archive")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in ARRAYS if name in archive.files}


def _read_pickle(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        content = _ArraysOnly(file, path).load()
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a file of SMPL, a dictionary of arrays, got a {type(content).__name__}")
    return content


class _StandIn:
    """Remembers what an object was made with and the state that it was given; does nothing else."""

    def __init__(self, *made_with: Any) -> None:
        self.made_with = made_with
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_StandIn):
    """For `numpy.ndarray`; its state is (version, shape, type, whether in Fortran's order, bytes)."""


class _Type(_StandIn):
    """For `numpy.dtype`, made with a code such as "f8"; its state is (version, byte order, …)."""


class _Remnant(_StandIn):
    """For objects of chumpy and of `scipy.sparse`; its state is a dictionary."""


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles that are made of arrays, numbers, texts and containers."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote the official ones
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for the function or class that the pickle names."""
        if module.split(".")[0] == "chumpy" or module.startswith("scipy.sparse"):
            return _Remnant
        if (module, name) not in _HARMLESS:
            raise InputError(f"{self._path}: expected arrays only, but the pickle asks for {module}.{name}; refused")
        return _HARMLESS[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse what lies outside the file."""
        raise InputError(f"{self._path}: expected arrays only, but the pickle refers to something outside it ({pid})")


def _made(cls: type, *_: Any) -> _StandIn:
    """For `copyreg._reconstructor`, and for NumPy's `_reconstruct`, whose other arguments the state makes void."""
    if not (isinstance(cls, type) and issubclass(cls, _StandIn)):
        raise InputError(f"expected arrays only, but the pickle wants to make a {cls}")
    return cls()


def _scalar(kind: _Type, data: Any) -> Any:
    """For NumPy's `scalar`: one number."""
    return _decoded(kind, data)[0]


def _as_bytes(text: str, _: str) -> bytes:
    """For `codecs.encode`, by which Python 3 writes bytes where Python 2 is to read them."""
    return text.encode("latin1")


_HARMLESS: Final[Mapping[tuple[str, str], Callable[..., Any]]] = {
    ("copyreg", "_reconstructor"): _made,
    ("copy_reg", "_reconstructor"): _made,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _made,
    ("numpy._core.multiarray", "_reconstruct"): _made,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _as_bytes,
    ("collections", "OrderedDict"): OrderedDict,
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (object, set, frozenset)},
}
"""(module, name) in a pickle → what is called instead."""


def _decoded(kind: _Type, data: Any) -> np.ndarray:
    """Return numbers from their bytes, which Python 2's strings hold as Latin 1; anything but numbers is refused."""
    code, order = kind.made_with[0], kind.state[1] if kind.state else "="
    if not _NUMBER.fullmatch(code) or order not in ("<", ">", "=", "|"):
        raise ValueError(f"an array of {code} instead of numbers")
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype=order + code)


def _numbers(value: Any) -> np.ndarray:
    """Return a dense array of float64 or int64."""
    array = _of_stand_in(value) if isinstance(value, _StandIn) else np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"an array of {array.dtype} instead of numbers")
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def _of_stand_in(value: _StandIn) -> np.ndarray:
    """Return the numbers of an array, of chumpy's array or selection from one, or of a compressed sparse matrix."""
    state = value.state
    if isinstance(value, _Array):
        _, shape, kind, fortran, data = state
        return _decoded(kind, data).reshape(shape, order="F" if fortran else "C")
    if "x" in state:
        return _numbers(state["x"])
    if "idxs" in state:
        chosen = _numbers(state["a"]).ravel()[_numbers(state["idxs"])]
        return chosen.reshape(state.get("preferred_shape", chosen.shape))
    data, indices, starts = (_numbers(state[name]) for name in ("data", "indices", "indptr"))
    rows, columns = (int(side) for side in state["_shape"])
    compressed = sparse.csr_matrix if len(starts) == rows + 1 else sparse.csc_matrix
    matrix = compressed((data, indices, starts), shape=(rows, columns))
    matrix.check_format(full_check=True)
    return matrix.toarray()
