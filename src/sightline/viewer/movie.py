"""A film of poses: every frame drawn as in `figure.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from sightline.formats.video import write_video
from sightline.structures import Poses
from sightline.viewer.figure import FigureRenderer
from sightline.viewer.mesh import Bodies
from sightline.viewer.stage import usual_step

_DEFAULT_FPS = 25.0


def write_movie(
    poses: Poses,
    path: str | Path,
    *,
    backgrounds: Iterable[UInt8[np.ndarray, "height width 3"] | None] | None = None,
    size: tuple[int, int] = (1600, 900),
    bodies: Bodies | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write all frames as an MP4 (`size` is (width, height), both even) as fast as they were, or 25 a second unknown.

    `backgrounds` gives the camera's image of each frame in order, or None for a frame without; where it ends early,
    the rest has none. `bodies` are drawn over it in place of limbs. After each frame `progress(done, total)` is called.
    Nothing is left behind on failure. Raises `ValueError` for poses without frames and what `render_frame` and
    `write_video` refuse.
    """
    if not poses.frames:
        raise ValueError("poses: expected at least one frame to draw, got none")
    if size[0] % 2 or size[1] % 2:
        raise ValueError(f"size: expected an even width and height, got {size[0]} × {size[1]}")
    fps = _DEFAULT_FPS if poses.fps is None else poses.fps / usual_step(poses)
    write_video(path, _drawn(poses, backgrounds, size, bodies, progress), fps)


def _drawn(
    poses: Poses,
    backgrounds: Iterable[UInt8[np.ndarray, "height width 3"] | None] | None,
    size: tuple[int, int],
    bodies: Bodies | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    renderer = FigureRenderer(poses, size, bodies)
    pictures = repeat(None) if backgrounds is None else chain(backgrounds, repeat(None))
    for done, (frame, background) in enumerate(zip(poses.frames, pictures, strict=False), start=1):
        yield renderer.render(frame, background)
        if progress is not None:
            progress(done, len(poses.frames))
