"""Data sets on disk → φ of everybody in them: rendered sets and files of poses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.angles.off_axis import angles_of_boxes
from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.poses import read_poses
from sightline.geometry.distortion import Distortion
from sightline.structures import Person, PoseFrame, Poses
from sightline.synth.reading import RenderedSet

_POSES: Final = (".json", ".npz")
_INTRINSICS: Final = ("image_size", "focal_px", "center_px")
_COEFFICIENTS: Final = {"radial": "lens_k", "tangential": "lens_p", "thin_prism": "lens_s"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Angles:
    """φ of everybody in a data set who has one."""

    angles_rad: Float[np.ndarray, " person"]
    left_out: int
    """How many people have none: nothing is seen of them, or a part of them lies behind the camera."""


def read_angles(path: str | Path) -> Angles:
    """Read φ of everybody in a rendered set (a folder) or a file of Sightline's poses (.json, .npz).

    Raises:
        UsageError: for a path that names neither.
        InputError: for a set or file that cannot be read, or in which nobody has an angle.
    """
    path = Path(path)
    if path.is_dir():
        angles, seen = _read_set(RenderedSet(path))
    elif path.suffix.lower() in _POSES:
        angles = angles_of_poses(read_poses(path))
        seen = np.ones(len(angles), bool)
    else:
        raise UsageError(f"{path}: expected a folder that `sightline render` made, or a poses file (.json or .npz)")
    if len(angles) == 0:
        raise InputError(f"{path}: expected people, but nobody is in it")
    known = seen & np.isfinite(angles)
    if not known.any():
        raise InputError(
            f"{path}: none of its {len(angles)} people is seen whole before the camera, so there is no angle to count"
        )
    return Angles(angles_rad=angles[known], left_out=int((~known).sum()))


def angles_of_set(pictures: RenderedSet) -> Float[np.ndarray, " person"]:
    """Return φ (rad) of everybody in a rendered set by their whole box, seen or not; no picture is decoded.

    NaN for people of whom a part lies behind the camera. `InputError` for a camera that is none.
    """
    arrays = pictures.arrays(*_INTRINSICS, "lens", *_COEFFICIENTS.values(), "picture", "whole_box_px")
    _check_cameras(arrays, pictures.folder)
    boxes = torch.from_numpy(arrays["whole_box_px"].astype(np.float64))
    angles = np.full(len(boxes), np.nan)
    for rows, cameras in _by_lens(arrays):
        place = np.full(len(pictures), -1)
        place[rows] = np.arange(len(rows))
        people = np.flatnonzero(place[arrays["picture"]] >= 0)
        own = torch.from_numpy(place[arrays["picture"][people]])
        angles[people] = angles_of_boxes(cameras[own], boxes[people]).numpy()
    return angles


def angles_of_poses(poses: Poses) -> Float[np.ndarray, " person"]:
    """Return φ (rad) of everybody in a file of poses, each by the camera of their own frame.

    Somebody without a box has that of the projected joints; NaN where not all known joints lie before the camera.
    """
    people = list(poses.people())
    angles = np.full(len(people), np.nan)
    groups: dict[str | None, list[int]] = defaultdict(list)
    for row, (frame, _) in enumerate(people):
        lens = poses.camera_of(frame).distortion
        groups[None if lens is None else lens.model].append(row)
    for rows in groups.values():
        cameras = _stacked([poses.camera_of(people[row][0]) for row in rows])
        angles[rows] = angles_of_boxes(cameras, _boxes(cameras, [people[row] for row in rows])).numpy()
    return angles


def _read_set(pictures: RenderedSet) -> tuple[np.ndarray, np.ndarray]:
    """φ of everybody, and whether anything is seen of them."""
    return angles_of_set(pictures), pictures.arrays("seen_px")["seen_px"] > 0


def _check_cameras(arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    sound = np.isfinite(arrays["center_px"]).all(-1)
    sound &= (np.isfinite(arrays["focal_px"]) & (arrays["focal_px"] > 0)).all(-1)
    if not sound.all():
        row = int(np.flatnonzero(~sound)[0])
        focal, center = arrays["focal_px"][row].tolist(), arrays["center_px"][row].tolist()
        raise InputError(
            f"{folder}: picture {row}: expected a camera with positive focal_px and finite center_px, "
            f"got {focal} and {center}"
        )


def _by_lens(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[Int[np.ndarray, " picture"], Camera]]:
    """Rows of pictures whose lenses have one model and the same coefficients, with their cameras as one batch."""
    known = np.concatenate([np.isfinite(arrays[name]) for name in _COEFFICIENTS.values()], axis=-1)
    _, model = np.unique(arrays["lens"], return_inverse=True)
    _, kind = np.unique(np.column_stack([model, known]), axis=0, return_inverse=True)
    for number in range(int(kind.max(initial=-1)) + 1):
        rows = np.flatnonzero(kind.ravel() == number)
        values = {name: _tensor(arrays[name][rows]) for name in _INTRINSICS}
        yield rows, Camera(**values, distortion=_lenses(arrays, rows))


def _lenses(arrays: Mapping[str, np.ndarray], rows: Int[np.ndarray, " picture"]) -> Distortion | None:
    """The lenses of pictures that all have the same coefficients."""
    model = str(arrays["lens"][rows[0]])
    if not model:
        return None
    given = {}
    for name, column in _COEFFICIENTS.items():
        known = np.isfinite(arrays[column][rows[0]])
        given |= {name: _tensor(arrays[column][rows][:, known])} if known.any() or name == "radial" else {}
    return Distortion(model=cast(Any, model), **given)


def _stacked(cameras: Sequence[Camera]) -> Camera:
    """Cameras of one lens model as a batch, without their places in the world."""
    return Camera.stack([replace(one.to(torch.float64), rotation=None, translation_m=None) for one in cameras])


def _boxes(cameras: Camera, people: Sequence[tuple[PoseFrame, Person]]) -> Float[Tensor, "person 4"]:
    """The boxes of people (px), given or those of their projected joints; a camera for each person."""
    joints = _tensor(np.stack([person.joints_cam_m for _, person in people]))
    unknown = ~joints.isfinite().all(-1)
    joints_px = cameras.project(joints)[0]  # NaN for those that are behind the camera, and so the extent
    far, near = (torch.where(unknown[..., None], bound, joints_px) for bound in (torch.inf, -torch.inf))
    extent = torch.cat([far.amin(-2), near.amax(-2)], -1)  # infinite for nobody's joints, whose middle is nowhere
    nothing = np.full(4, np.nan)
    given = _tensor(np.stack([nothing if person.box_px is None else person.box_px for _, person in people]))
    return torch.where(given.isfinite(), given, extent)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float64))
