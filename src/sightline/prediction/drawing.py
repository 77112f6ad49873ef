"""Pictures, pages and films of what was predicted, over the pictures it was predicted from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from sightline.detect.protocol import Picture
from sightline.formats.poses import read_poses, write_poses
from sightline.prediction.predicted import Predicted
from sightline.sources import Source
from sightline.structures import PoseFrame, Poses
from sightline.viewer import write_movie, write_page, write_picture
from sightline.viewer.mesh import Bodies, fitted_bodies

MOST_FRAMES = 2000
"""A page of a longer film shows every second frame, every fourth and so on, so that it stays a page."""


def with_bodies(path: Path) -> Bodies:
    """Fit bodies to the poses of a file, write them into a folder beside it, and their names into the poses."""
    poses = read_poses(path)
    bodies = fitted_bodies(poses)
    write_poses(bodies.written(poses, mesh_folder(path), path), path)
    return bodies


def mesh_folder(path: Path) -> Path:
    """Return where the bodies of a poses file go."""
    return path.with_name(f"{path.stem}-meshes")


class Shown:
    """Keeps what will be drawn, in a memory that does not grow: an even choice of frames, and one with its picture.

    That one is the frame asked for, or the one that shows most people most surely.

    Args:
        index: the frame that is asked for.
    """

    def __init__(self, index: int | None = None) -> None:
        self._wanted, self._rank = index, -1.0
        self._chosen: list[PoseFrame] = []
        self._count, self._step = 0, 1
        self._index: int | None = None
        self.best: PoseFrame | None = None
        self.pixels: Picture | None = None

    def glimpse(self, one: Predicted) -> None:
        """Look at one more frame as soon as its people are known; its pixels are kept where it is the best so far."""
        frame = one.frame
        if self._wanted is None:
            rank = sum(person.score for person in frame.people)
        else:
            rank = 1.0 if frame.index == self._wanted else -1.0
        if rank > self._rank:
            self._rank, self._index, self.pixels = rank, frame.index, one.pixels

    def offer(self, frame: PoseFrame) -> None:
        """Take a frame as it was written, in order; each has been glimpsed before."""
        if frame.index == self._index:
            self.best = frame
        if self._count % self._step == 0:
            self._chosen.append(frame)
        self._count += 1
        if len(self._chosen) > MOST_FRAMES:
            self._chosen, self._step = self._chosen[::2], 2 * self._step

    @property
    def frames(self) -> tuple[PoseFrame, ...]:
        """The chosen frames and the best one, in order."""
        frames = {frame.index: frame for frame in self._chosen}
        if self.best is not None:
            frames[self.best.index] = self.best
        return tuple(frames[index] for index in sorted(frames))


def draw_shown(
    poses: Poses, shown: Shown, *, picture: Path | None, page: Path | None, bodies: Bodies | None = None
) -> None:
    """Draw the best frame, with `bodies` in place of limbs where there are any, and a page that opens at it.

    `poses` are those of `shown.frames`.
    """
    best = 0 if shown.best is None else [frame.index for frame in poses.frames].index(shown.best.index)
    if picture is not None and shown.best is not None:
        write_picture(poses, picture, frame=poses.frames[best], background=shown.pixels, bodies=bodies)
    if page is not None:
        write_page(poses, page, background_png=shown.pixels, background_frame=best)


def draw_photos(
    poses: Poses, source: Source, path_of: Callable[[PoseFrame], Path], bodies: Bodies | None = None
) -> None:
    """Draw each photo on its own, over its own picture, read once more."""
    frames = {frame.index: frame for frame in poses.frames}
    for photo in source.frames():
        frame = frames.get(photo.index)
        if frame is not None:
            alone = replace(poses, frames=(frame,), camera=poses.camera_of(frame))
            own = replace(frame, camera=None)
            write_picture(alone, path_of(frame), frame=own, background=photo.pixels, bodies=bodies)


def draw_film(
    poses: Poses,
    source: Source | None,
    path: Path,
    progress: Callable[[int, int], None] | None = None,
    bodies: Bodies | None = None,
) -> None:
    """Draw all frames as a film, over the pictures of the source, which is read once more; None: over none."""
    backgrounds = None if source is None else _pictures(poses, source)
    write_movie(poses, path, backgrounds=backgrounds, bodies=bodies, progress=progress)


def _pictures(poses: Poses, source: Source) -> Iterator[Picture | None]:
    """The picture of each frame, in order; None where the source does not have it any more."""
    rest = iter(source.frames())
    shown = next(rest, None)
    for frame in poses.frames:
        while shown is not None and shown.index < frame.index:
            shown = next(rest, None)
        yield shown.pixels if shown is not None and shown.index == frame.index else None
