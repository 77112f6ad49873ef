"""People in the world's frame, as one view fixes them, written frame by frame; the file is that of `write_world`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final
from zipfile import ZipFile

import numpy as np
from jaxtyping import Float

from sightline.formats._npz_stream import new_archive, write_array, write_chunks
from sightline.formats._spill import records
from sightline.formats._stream import StreamWriter
from sightline.formats.world import header_arrays
from sightline.skeleton import Skeleton
from sightline.world import WorldPoses

_BLOCK_BYTES: Final = 64 * 1024
_VALUES: Final[Mapping[str, Callable[[np.ndarray], np.ndarray]]] = {  # array of the file: of kept rows, its values
    "joints_world_m": lambda rows: rows["joints_world_m"],
    "reprojection_px": lambda rows: rows["reprojection_px"][:, None],
    "views": lambda rows: np.asarray(np.isfinite(rows["joints_world_m"]).all(-1), dtype=np.int64),
    "swapped": lambda rows: np.zeros((len(rows), 1), dtype=np.bool_),
}


class WorldWriter(StreamWriter):
    """Writes world poses (NPZ) while they come; the file takes its name only at the end, as `StreamWriter` says.

    It equals what `write_world` writes of the whole, with one view: `views` is 1 where a joint is known, and `swapped`
    False throughout. Its arrays are dense, frames × people, since the format is: ids that come and go make it large,
    though zeros and unknowns compress well. Memory grows with the number of ids only.
    """

    def __init__(self, path: str | Path, *, skeleton: Skeleton, fps: float | None = None) -> None:
        head = _without_frames(skeleton, fps)
        header_arrays(head)  # what no file can hold is refused before the work
        super().__init__(path)
        self._head = head
        self._frames, self._rows = self._spill(), self._spill()
        self._kept: tuple[int, int, frozenset[int]] = (0, 0, frozenset())  # frames, rows, ids
        joints = len(skeleton)
        self._row = np.dtype(
            [("frame", "i8"), ("id", "i8"), ("joints_world_m", "f8", (joints, 3)), ("reprojection_px", "f8", (joints,))]
        )

    def write(
        self,
        index: int,
        people: Iterable[tuple[int | None, Float[np.ndarray, "joint 3"]]],
        reprojection_px: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Write the next frame.

        Args:
            index: the frame's number; it rises.
            people: (id, joints in the world in metres, NaN where unknown) of everybody; nobody is a normal frame.
            reprojection_px: of everybody, in the same order: per joint, how far its keypoint lies from where the
                joint projects to.

        Raises:
            ValueError: where the index does not rise, somebody has no id or another's, joints do not fit the skeleton
                or are infinite, or the file has ended.
            InputError: where the disk is full; the file is then abandoned.
        """
        self._check_index(index)
        frames, count, ids = self._kept
        rows = self._rows_of(index, tuple(people), reprojection_px)
        rows["frame"] = frames
        here = rows["id"].tolist()
        kept = (frames + 1, count + len(rows), ids if ids.issuperset(here) else ids.union(here))
        with self._keeping(index):
            self._frames.append(np.int64(index).tobytes())
            self._rows.append(rows.tobytes())
            self._kept = kept

    def _rows_of(
        self,
        index: int,
        people: Sequence[tuple[int | None, np.ndarray]],
        reprojection_px: Sequence[np.ndarray] | None,
    ) -> np.ndarray:
        """The people as rows of the spill; `ValueError` where a file of world poses cannot hold them."""
        ids = [ident for ident, _ in people]
        if not all(isinstance(ident, int | np.integer) and ident >= 0 for ident in ids):
            raise ValueError(f"frame {index}: expected an id for everybody, since world poses go by it, got {ids}")
        if len(set(ids)) < len(ids):
            raise ValueError(f"frame {index}: expected each person id once, got {ids}")
        unknown = np.full(len(self._head.skeleton), np.nan)
        errors = [unknown] * len(people) if reprojection_px is None else reprojection_px
        if len(errors) != len(people):
            raise ValueError(
                f"frame {index}: reprojection_px: expected one for each of {len(people)} people, got {len(errors)}"
            )
        rows = np.zeros(len(people), dtype=self._row)
        rows["id"] = ids
        for row, (_, joints), error in zip(rows, people, errors, strict=True):
            for name, value in (("joints_world_m", joints), ("reprojection_px", error)):
                if np.shape(value) != row[name].shape:
                    raise ValueError(f"frame {index}: {name}: expected {row[name].shape}, got {np.shape(value)}")
                row[name] = value
        known = np.isfinite(rows["joints_world_m"])
        if (known.any(-1) != known.all(-1)).any() or np.isinf(rows["joints_world_m"]).any():
            raise ValueError(f"frame {index}: joints_world_m: expected each joint finite or NaN throughout")
        return rows

    def _assemble(self, file: IO[bytes]) -> None:
        frames, ids = self._kept[0], np.array(sorted(self._kept[2]), dtype=np.int64)
        with new_archive(file) as archive:
            for name, single in header_arrays(self._head).items():
                write_array(archive, name, single)
            self._write_dense(archive, "joints_world_m", ids)
            write_chunks(archive, "frame_index", np.dtype(np.int64), (frames,), self._frames.chunks(8 * frames))
            write_array(archive, "person_id", ids)
            for name in ("reprojection_px", "views", "swapped"):
                self._write_dense(archive, name, ids)

    def _write_dense(self, archive: ZipFile, name: str, ids: np.ndarray) -> None:
        values = _VALUES[name]
        none = values(np.zeros(0, dtype=self._row))  # tells the type and the shape of a row
        shape = (self._kept[0], len(ids), *none.shape[1:])
        write_chunks(archive, name, none.dtype, shape, self._dense(ids, values))

    def _dense(self, ids: np.ndarray, values: Callable[[np.ndarray], np.ndarray]) -> Iterator[bytes]:
        """The values of the rows on a grid of frames and ids, some frames at a time; nobody has no joints."""
        frames, count, _ = self._kept
        nobody = np.zeros(1, dtype=self._row)
        nobody["joints_world_m"] = nobody["reprojection_px"] = np.nan
        empty = np.repeat(values(nobody), len(ids), axis=0)  # one frame
        size = max(1, _BLOCK_BYTES // max(1, empty.nbytes))
        pieces = records(self._rows.chunks(count * self._row.itemsize), self._row.itemsize)
        rows = np.zeros(0, dtype=self._row)
        for start in range(0, frames, size):
            stop = min(start + size, frames)
            block = np.repeat(empty[None], stop - start, axis=0)
            while True:
                here = rows[: np.searchsorted(rows["frame"], stop)]
                block[here["frame"] - start, np.searchsorted(ids, here["id"])] = values(here)
                rows = rows[len(here) :]
                piece = b"" if len(rows) else next(pieces, b"")
                if not piece:
                    break
                rows = np.frombuffer(piece, dtype=self._row)
            yield block.tobytes()


def _without_frames(skeleton: Skeleton, fps: float | None) -> WorldPoses:
    """World poses of nobody, seen by one view."""
    joints = len(skeleton)
    return WorldPoses(
        skeleton=skeleton,
        joints_world_m=np.zeros((0, 0, joints, 3)),
        frame_index=np.zeros(0, dtype=np.int64),
        person_id=np.zeros(0, dtype=np.int64),
        reprojection_px=np.zeros((0, 0, 1, joints)),
        views=np.zeros((0, 0, joints), dtype=np.int64),
        swapped=np.zeros((0, 0, 1), dtype=np.bool_),
        fps=fps,
    )
