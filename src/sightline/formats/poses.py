"""Files of absolute poses: JSON for people and other tools, NPZ for exact numbers and long videos."""

from __future__ import annotations

from pathlib import Path

from sightline.errors import UsageError
from sightline.formats import strict
from sightline.formats._poses_json import poses_from_json, poses_to_json
from sightline.formats._poses_npz import read_npz, write_npz
from sightline.structures import Poses


def read_poses(path: str | Path) -> Poses:
    """Read poses from a .json or .npz file (docs/schemas/poses.md describes both).

    Nothing is repaired: whatever the format does not know or a value that cannot be is an `InputError` that names the
    place. Another suffix is a `UsageError`.
    """
    if poses_suffix(path) == ".npz":
        return read_npz(path)
    return poses_from_json(strict.load_json(path), str(path))


def write_poses(poses: Poses, path: str | Path) -> None:
    """Write poses, all or nothing, as .json or .npz, whichever `path` ends in.

    JSON rounds metres to 1e-6, pixels to 0.001 and confidence to 0.0001 and keeps every digit of the rest; reading and
    writing that file again changes nothing. NPZ keeps every bit.
    """
    if poses_suffix(path) == ".npz":
        write_npz(poses, path)
    else:
        strict.write_json(poses_to_json(poses), path)


def poses_suffix(path: str | Path) -> str:
    """The kind of file that `path` names, ".json" or ".npz"; `UsageError` for another."""
    suffix = Path(path).suffix.lower()
    if suffix not in (".json", ".npz"):
        raise UsageError(f"{path}: expected a poses file that ends in .json or .npz")
    return suffix
