"""A rendered set, read: pictures with their truth by number, and the labels of all as arrays.

Needs NumPy and Pillow only; torch is loaded when a `Camera` is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float32, Int, UInt8

from sightline.errors import InputError
from sightline.synth._shard_columns import BODY_COLUMNS, PERSON_COLUMNS, PICTURE_COLUMNS, camera_from_row
from sightline.synth._shard_manifest import Manifest, open_shard, read_manifest, shard_path

if TYPE_CHECKING:
    from sightline.camera import Camera
    from sightline.skeleton import Skeleton
    from sightline.synth.rendered import Rendered
    from sightline.synth.shards import Shard

_OPEN_SHARDS: Final = 64
_CAMERA: Final = (
    "image_size",
    "focal_px",
    "center_px",
    "lens",
    "lens_k",
    "lens_p",
    "lens_s",
    "rotation",
    "translation_m",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredPerson:
    """The truth of one person, as in `synth.rendered.RenderedPerson`; None is what the set does not store."""

    landmarks_cam: Float32[np.ndarray, "landmark 3"]
    landmarks_px: Float32[np.ndarray, "landmark 2"]
    hidden_by: UInt8[np.ndarray, " landmark"]
    box_px: Float32[np.ndarray, "4"]
    whole_box_px: Float32[np.ndarray, "4"]
    seen_px: int
    whole_px: int
    stature_m: float
    rotations_cam: Float32[np.ndarray, "bone 3 3"] | None = None
    root_cam: Float32[np.ndarray, "3"] | None = None
    shape: Float32[np.ndarray, " shape"] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredPicture:
    """A picture of a set with its truth, as in `synth.rendered.Rendered`; None is what the set does not store."""

    index: int
    """Number in the set."""
    image: UInt8[np.ndarray, "height width 3"]
    depth_m: Float32[np.ndarray, "height width"] | None
    mask: UInt8[np.ndarray, "height width"] | None
    people: tuple[StoredPerson, ...]
    camera_values: dict[str, np.ndarray]
    """The camera as plain arrays; docs/rendered_sets.md says what they mean."""

    @property
    def camera(self) -> Camera:
        """The camera, float64."""
        return self._camera

    @cached_property
    def _camera(self) -> Camera:
        return camera_from_row(self.camera_values)

    def rendered(self) -> Rendered:
        """Return what the renderer returned, as far as the encoding keeps it.

        `ValueError` where the set was written without depth, mask or body.
        """
        from sightline.synth.rendered import Rendered, RenderedPerson

        if self.depth_m is None or self.mask is None or any(person.shape is None for person in self.people):
            raise ValueError(f"picture {self.index}: the set was written without depth, mask or body")
        return Rendered(
            image=self.image,
            depth_m=self.depth_m,
            mask=self.mask,
            people=tuple(RenderedPerson(**vars(person)) for person in self.people),
            camera=self.camera,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredJoints:
    """The joints of everybody in a set."""

    joints_cam: Float32[np.ndarray, "person joint 3"]
    joints_px: Float32[np.ndarray, "person joint 2"]
    hidden_by: UInt8[np.ndarray, "person joint"]
    picture: Int[np.ndarray, " person"]
    """Number of the picture that each person is in."""


class RenderedSet:
    """A finished set on disk; a map-style data set that may be sent to the workers of a `torch.utils.data.DataLoader`.

    Opening reads set.json only. Shards are mapped into memory when something of them is asked for, so any order of
    access is as good as another. `InputError` for a folder that is no set, an unfinished one, or a damaged shard, when
    it is met.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        paths = (shard_path(self.folder, number) for number in range(self.manifest.shards))
        missing = [path.name for path in paths if not path.exists()]
        if missing:
            counts = f"{len(missing)} of {self.manifest.shards} shards are missing, the first is {missing[0]}"
            raise InputError(
                f"{self.folder}: {counts}; make the same call of `sightline render` again to complete the set"
            )
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def __len__(self) -> int:
        """Number of pictures."""
        return self.manifest.count

    def __getitem__(self, index: int) -> StoredPicture:
        """Return the picture of a number (negative counts from the end); IndexError outside."""
        return self.read(index)

    def read(self, index: int, *, depth: bool = True, mask: bool = True) -> StoredPicture:
        """Do the same, without what is not wanted: whatever is decoded takes its time."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"picture {index}: there are {len(self)}")
        number, row = divmod(int(index) % len(self), self.manifest.shard_size)
        shard = self._shard(number)
        labels = shard.labels
        names = [name for name in (*PERSON_COLUMNS, *BODY_COLUMNS) if name in labels]
        people = shard.people(row)
        return StoredPicture(
            index=int(labels["index"][row]),
            image=shard.pixels("image", row),
            depth_m=shard.pixels("depth", row) if depth and "depth" in shard else None,
            mask=shard.pixels("mask", row) if mask and "mask" in shard else None,
            people=tuple(
                StoredPerson(**{name: _value(labels[name][person]) for name in names})
                for person in range(people.start, people.stop)
            ),
            camera_values={name: np.array(labels[name][row]) for name in _CAMERA},
        )

    def __iter__(self) -> Iterator[StoredPicture]:
        """Go through all pictures in order."""
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        """Leave open files behind."""
        return {**vars(self), "_open": OrderedDict()}

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of the landmarks, in the order of the arrays."""
        return self.manifest.landmarks

    def arrays(self, *names: str) -> dict[str, np.ndarray]:
        """Return labels of all pictures and people, without looking at a pixel; those of `names`, or all of them.

        Rows are pictures for `index` and what describes the camera, people for the rest; `picture` has the number of
        the picture that each person is in. `ValueError` for a name that the set does not have.
        """
        parts: dict[str, list[np.ndarray]] = {}
        for number in range(self.manifest.shards):
            labels, pictures = self._shard(number).labels, len(self.manifest.indices(number))
            starts = np.array(labels["person_start"][: pictures + 1])  # a set that was enlarged since holds more
            have = {
                name: array[: pictures if name in PICTURE_COLUMNS else starts[-1]]
                for name, array in labels.items()
                if name != "person_start"
            }
            have["picture"] = np.repeat(have["index"], np.diff(starts))
            if unknown := [name for name in names if name not in have]:
                raise ValueError(f"arrays: expected names among {', '.join(have)}, got '{unknown[0]}'")
            for name in names or have:
                parts.setdefault(name, []).append(np.array(have[name]))  # a view would keep the file open
        return {name: np.concatenate([part for part in kept if len(part)] or kept) for name, kept in parts.items()}

    def joints(self, skeleton: str | Skeleton) -> StoredJoints:
        """Return the joints of everybody in a joint set, by name.

        `ValueError` for a joint set with a joint that the set has no landmark for.
        """
        from sightline.landmarks import ALL_LANDMARKS, rows_of
        from sightline.skeleton import get_skeleton

        names = [
            ALL_LANDMARKS[row] for row in rows_of(get_skeleton(skeleton) if isinstance(skeleton, str) else skeleton)
        ]
        if missing := [name for name in names if name not in self.landmarks]:
            raise ValueError(f"skeleton: the set has no landmark {', '.join(missing)}")
        rows = [self.landmarks.index(name) for name in names]
        arrays = self.arrays("landmarks_cam", "landmarks_px", "hidden_by", "picture")
        return StoredJoints(
            joints_cam=arrays["landmarks_cam"][:, rows],
            joints_px=arrays["landmarks_px"][:, rows],
            hidden_by=arrays["hidden_by"][:, rows],
            picture=arrays["picture"],
        )

    def _shard(self, number: int) -> Shard:
        """A shard, kept open for a while."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        shard = open_shard(self.manifest, self.folder, number)
        if len(shard) < (whole := len(self.manifest.indices(number))):
            raise InputError(
                f"{shard.path}: holds only the first {len(shard)} of {whole} pictures; "
                "make the same call of `sightline render` again to complete the set"
            )
        self._open[number] = shard
        if len(self._open) > _OPEN_SHARDS:
            self._open.popitem(last=False)
        return shard


def _value(entry: Any) -> Any:
    """An array of one's own, or a plain number."""
    return np.array(entry) if isinstance(entry, np.ndarray) else entry.item()
