"""Files of 2D keypoints written frame by frame: the same file as `write_keypoints`, in memory that does not grow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import IO

from sightline.formats._json_stream import JsonFrames
from sightline.formats._stream import StreamWriter
from sightline.formats.keypoints import frame_to_json, header_to_json
from sightline.skeleton import Skeleton
from sightline.structures import KeypointFrame, Keypoints


class KeypointWriter(StreamWriter):
    """Writes a keypoint file while the frames come; it takes its name only at the end, as `StreamWriter` says.

    The arguments are those of `Keypoints`, and so are the complaints (`ValueError`).
    """

    def __init__(
        self, path: str | Path, *, skeleton: Skeleton, image_size: tuple[int, int], fps: float | None = None
    ) -> None:
        head = Keypoints(skeleton=skeleton, image_size=image_size, frames=(), fps=fps)
        header_to_json(head)  # what no file can hold is refused before the work
        super().__init__(path)
        self._head = head
        self._frames = JsonFrames(self._spill())

    def write(self, frame: KeypointFrame) -> None:
        """Write the next frame.

        Raises:
            ValueError: where its index does not rise, its people do not fit the skeleton, or the file has ended.
            InputError: where the disk is full; the file is then abandoned.
        """
        self._check_index(frame.index)
        replace(self._head, frames=(frame,))  # checks the joints
        keep = self._frames.prepared(frame_to_json(frame))
        with self._keeping(frame.index):
            keep()

    def _assemble(self, file: IO[bytes]) -> None:
        self._frames.assemble(file, header_to_json(self._head))
