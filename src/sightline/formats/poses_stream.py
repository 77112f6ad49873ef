"""Files of poses written frame by frame: the same files as `write_poses`, in memory that does not grow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from sightline.camera import Camera
from sightline.formats._json_stream import JsonFrames
from sightline.formats._npz_stream import Columns, new_archive, write_array
from sightline.formats._poses_json import frame_to_json, header_to_json
from sightline.formats._poses_npz import COLUMNS, axes_of, frame_values
from sightline.formats._spill import Spill
from sightline.formats._stream import StreamWriter
from sightline.formats.poses import poses_suffix
from sightline.skeleton import Skeleton
from sightline.structures import ModelInfo, PoseFrame, Poses, Scale, World


class PoseWriter(StreamWriter):
    """Writes poses as .json or .npz, whichever `path` ends in, while they come.

    The file equals that of `write_poses` for a `Poses` of all frames, and takes its name only at the end; see
    `StreamWriter` for how it ends. The arguments are those of `Poses`, and so are the complaints (`ValueError`).

        with PoseWriter("poses.json", skeleton=…, camera=…, scale=…, model=…) as writer:
            for frame in frames:
                writer.write(frame)
            writer.scale = …  # where only the frames have told it
    """

    def __init__(
        self,
        path: str | Path,
        *,
        skeleton: Skeleton,
        camera: Camera,
        scale: Scale,
        model: ModelInfo,
        fps: float | None = None,
        world: World | None = None,
    ) -> None:
        head = Poses(skeleton=skeleton, camera=camera, scale=scale, model=model, frames=(), fps=fps, world=world)
        header_to_json(head)  # what no file can hold is refused before the work
        suffix = poses_suffix(path)
        super().__init__(path)
        self._head = head
        self._frames = _JsonParts(self._spill()) if suffix == ".json" else _NpzParts(self._spill, len(skeleton))

    @property
    def scale(self) -> Scale:
        """How the absolute scale was fixed; may be set until the end."""
        return self._head.scale

    @scale.setter
    def scale(self, scale: Scale) -> None:
        self._head = replace(self._head, scale=scale)

    def write(self, frame: PoseFrame) -> None:
        """Write the next frame.

        Raises:
            ValueError: where its index does not rise, its people or camera do not fit, or the file has ended.
            InputError: where the disk is full; the file is then abandoned.
        """
        self._check_index(frame.index)
        replace(self._head, frames=(frame,))  # checks joints and camera
        keep = self._frames.prepared(frame)
        with self._keeping(frame.index):
            keep()

    def _assemble(self, file: IO[bytes]) -> None:
        self._frames.assemble(file, header_to_json(self._head))


class _JsonParts:
    """The frames of a JSON file."""

    def __init__(self, spill: Spill) -> None:
        self._frames = JsonFrames(spill)

    def prepared(self, frame: PoseFrame) -> Callable[[], None]:
        """Return what keeps the frame when it is called."""
        return self._frames.prepared(frame_to_json(frame))

    def assemble(self, file: IO[bytes], header: Mapping[str, Any]) -> None:
        """Write the whole file."""
        self._frames.assemble(file, header)


class _NpzParts:
    """The frames of an NPZ file."""

    def __init__(self, spill: Callable[[], Spill], joints: int) -> None:
        self._joints = joints
        self._columns = Columns({name: (one.dtype, axes_of(one, joints)) for name, one in COLUMNS.items()}, spill)

    def prepared(self, frame: PoseFrame) -> Callable[[], None]:
        """Return what keeps the frame when it is called."""
        return self._columns.prepared(frame_values(frame, self._columns.rows("frame_index"), self._joints))

    def assemble(self, file: IO[bytes], header: Mapping[str, Any]) -> None:
        """Write the whole file."""
        with new_archive(file) as archive:
            self._columns.write(archive)
            write_array(archive, "header", np.array(json.dumps(header, allow_nan=False)))
