"""World poses as NPZ: the fields of `WorldPoses` under their own names, plus `format` and `version`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sightline.errors import InputError
from sightline.formats.atomic import atomic_path
from sightline.formats.keypoints import skeleton_to_json
from sightline.formats.npz import load_arrays
from sightline.formats.strict import check_keys
from sightline.skeleton import get_skeleton
from sightline.world import WorldPoses

FORMAT = "sightline/world"
VERSION = 1
_ARRAYS = {  # name: (kind of number, axes)
    "joints_world_m": ("f", 4),
    "frame_index": ("i", 1),
    "person_id": ("i", 1),
    "reprojection_px": ("f", 4),
    "views": ("i", 3),
    "swapped": ("b", 3),
}
_KINDS = {"f": "floats", "i": "integers", "b": "truth values", "U": "text"}


def write_world(world: WorldPoses, path: str | Path) -> None:
    """Write world poses to an NPZ file, all or nothing; `InputError` where that is not possible.

    Arrays keep the names and shapes of `WorldPoses`; `skeleton` is its name, and `fps` is NaN where it is unknown.
    """
    arrays = {**header_arrays(world), **{name: getattr(world, name) for name in _ARRAYS}}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def header_arrays(world: WorldPoses) -> dict[str, np.ndarray]:
    """Return the arrays of a file that say what it holds: one value each."""
    return {
        "format": np.array(FORMAT),
        "version": np.array(VERSION),
        "skeleton": np.array(skeleton_to_json(world.skeleton)),
        "fps": np.array(np.nan if world.fps is None else world.fps, dtype=np.float64),
    }


def read_world(path: str | Path) -> WorldPoses:
    """Read world poses from an NPZ file that `write_world` wrote; `InputError` for anything else."""
    content = _load(path)
    _expect(str(content["format"]) == FORMAT, path, f'format: expected "{FORMAT}", got "{content["format"]}"')
    version = content["version"]
    _expect(int(version) == VERSION, path, f"version: expected {VERSION}, got {version}")
    fps = float(content["fps"])
    try:
        return WorldPoses(
            skeleton=get_skeleton(str(content["skeleton"])),
            fps=None if np.isnan(fps) else fps,
            **{name: content[name] for name in _ARRAYS},
        )
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _load(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of the file, of the right names, kinds and numbers of axes."""
    content = load_arrays(path)
    wanted = {"format": ("U", 0), "version": ("i", 0), "skeleton": ("U", 0), "fps": ("f", 0), **_ARRAYS}
    check_keys(content, wanted, (), str(path))
    for name, (kind, axes) in wanted.items():
        array = content[name]
        message = f"{name}: expected {_KINDS[kind]} on {axes} axes, got {array.dtype} of shape {array.shape}"
        _expect(array.dtype.kind == kind and array.ndim == axes, path, message)
    return content


def _expect(holds: bool, path: str | Path, message: str) -> None:
    if not holds:
        raise InputError(f"{path}: {message}")
