"""Pictures that are already in memory, as a source of photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sightline.sources import Kind, Source, SourceFrame


class Arrays(Source):
    """Photos from arrays: uint8 RGB (height, width, 3), upright.

    Raises:
        ValueError: for an array that is no picture.
    """

    kind: Kind = "photos"  # type: ignore[assignment]
    fps = None  # type: ignore[assignment]

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:
        super().__init__("picture")
        self._pictures = [_checked(picture) for picture in pictures]
        self._problems: list[str] = []

    @property
    def frame_count(self) -> int | None:
        """How many pictures there are."""
        return len(self._pictures)

    @property
    def problems(self) -> list[str]:
        """None: what is no picture was refused at once."""
        return self._problems

    def frames(self) -> Iterator[SourceFrame]:
        """Give the pictures, in order."""
        for index, pixels in enumerate(self._pictures):
            yield SourceFrame(index=index, pixels=pixels, time_s=None, file=None, turned=0, mirrored=False, lens=None)

    def close(self) -> None:
        """Nothing is held."""


def _checked(picture: np.ndarray) -> np.ndarray:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise ValueError(
            f"image_or_path: expected a picture as uint8 RGB (height, width, 3), got {picture.dtype} {picture.shape}"
        )
    return picture
