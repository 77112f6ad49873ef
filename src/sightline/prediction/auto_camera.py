"""`--camera auto`: where nothing else tells the camera, the people in the pictures are asked.

A photo has a camera of its own, and its own people tell it. A film's camera is taken to stand still: the first seconds
are looked at before anything is lifted, and what their people tell holds for the whole film. What the detector saw of
them is kept and used again, so that each frame is looked at once; the pictures themselves are read a second time.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Sequence
from dataclasses import replace

from sightline.camera import Camera
from sightline.detect.protocol import Detection
from sightline.prediction.cameras import CameraFinder, KnownCamera
from sightline.prediction.run import Look
from sightline.self_calibration import FoundCamera, find_camera
from sightline.skeleton import Skeleton
from sightline.sources import Source, SourceFrame
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

WATCHED_S = (10.0, 20.0, 40.0, 60.0)
"""Seconds of a film after which its people are asked; the first answer that is sure enough ends it."""
WATCHED_FRAMES = 3600
SURE = 0.08
"""Relative standard deviation of a focal length that further people would hardly better."""
_TICKS = 1000  # per second: frames as people are counted in milliseconds, for films whose rate varies


class RememberedLook:
    """A way to find people that remembers what it saw of frames until they are asked for again."""

    def __init__(self, look: Look) -> None:
        self._look, self._seen = look, dict[int, tuple[Detection, ...]]()
        self.name, self.skeleton, self.finds_joints = look.name, look.skeleton, look.finds_joints

    def foreseen(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        """Look at frames ahead of time; `people` will give the same."""
        found = self._look.people(frames)
        self._seen.update({frame.index: people for frame, people in zip(frames, found, strict=True)})
        return found

    def people(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        """Return the people of each frame, in order."""
        known = [self._seen.pop(frame.index, None) for frame in frames]
        rest = [frame for frame, people in zip(frames, known, strict=True) if people is None]
        found = iter(self._look.people(rest) if rest else ())
        return [next(found) if people is None else people for people in known]

    def close(self) -> None:
        """Let go of the detector."""
        self._look.close()


class PhotoCameras(CameraFinder):
    """The camera of each photo: by EXIF or what was given, else by its people, else assumed.

    Args:
        base: what is known without people.
        look: how people are found.
        height_m: barefoot stature of the people, where known.
        place: whether cameras get their place in the world, where gravity and floor are found.
    """

    def __init__(self, base: CameraFinder, look: RememberedLook, height_m: float | None, *, place: bool) -> None:
        super().__init__()
        self._base, self._look, self._height_m, self._place = base, look, height_m, place

    def of(self, frame: SourceFrame) -> KnownCamera:
        """Return the camera that took a photo, whose people are looked at for it."""
        known = self._base.of(frame)
        if known.camera.has_world:
            return known
        rows = [(0, people) for people in self._look.foreseen([frame])]
        return asked(rows, _size(frame), self._look.skeleton, known, self._height_m, place=self._place)[0]


class FilmCamera(CameraFinder):
    """The one camera of a film, known by its people before the first frame is lifted."""

    def __init__(self, base: CameraFinder, note: str | None = None) -> None:
        super().__init__()
        self._base, self._note = base, note
        self._told: KnownCamera | None = None
        self._size: tuple[int, int] | None = None

    def watch(self, source: Source, look: RememberedLook, height_m: float | None, batch_size: int) -> None:
        """Look at the first seconds of a film, and ask the people there."""
        rows: list[tuple[int, tuple[Detection, ...]]] = []
        known, stops = None, list(WATCHED_S)
        with contextlib.closing(_batches(source, batch_size)) as batches:
            for batch in batches:
                known = self._base.of(batch[0])
                if known.camera.has_world:
                    return
                times = [_time_s(frame, source.fps) for frame in batch]
                rows += zip((round(_TICKS * time) for time in times), look.foreseen(batch), strict=True)
                self._size = _size(batch[0])
                if times[-1] >= stops[0]:
                    stops = [stop for stop in stops if stop > times[-1]]
                    self._told, found = asked(rows, self._size, look.skeleton, known, height_m)
                    if not stops or (found.focal_sigma <= SURE and found.world_found):
                        return
        if known is not None and self._size is not None:
            self._told, _ = asked(rows, self._size, look.skeleton, known, height_m)

    def of(self, frame: SourceFrame) -> KnownCamera:
        """Return the film's camera; frames of another size have one of their own."""
        if self._told is not None and self._size == _size(frame):
            return self._told
        known = self._base.of(frame)
        return known if self._note is None else replace(known, note=self._note)


def automatic(
    source: Source, look: Look, base: CameraFinder, *, height_m: float | None = None, batch_size: int = 8
) -> tuple[CameraFinder, RememberedLook]:
    """Return how the cameras of a source are known, and the look that goes with it, which has to be used from now on.

    Args:
        source: photos, each with its own camera; a film, whose first seconds are looked at now; or a live source,
            which nobody can look ahead of: its people are not asked.
        look: how people are found.
        base: what is known without people, such as EXIF or a given focal length, besides which people only tell gravity
            and floor.
        height_m: barefoot stature of the people, where known.
        batch_size: frames that are looked at together.
    """
    remembered = RememberedLook(look)
    if source.kind == "photos":
        return PhotoCameras(base, remembered, height_m, place=source.frame_count == 1), remembered
    if source.kind == "live":
        return FilmCamera(base, "people of a live source are not asked about the camera"), remembered
    film = FilmCamera(base)
    film.watch(source, remembered, height_m, batch_size)
    return film, remembered


def asked(
    rows: Sequence[tuple[int, tuple[Detection, ...]]],
    image_size: tuple[int, int],
    skeleton: Skeleton,
    known: KnownCamera,
    height_m: float | None,
    *,
    place: bool = True,
) -> tuple[KnownCamera, FoundCamera]:
    """Return the camera as people tell it (its focal length where that was only assumed, its place if asked for).

    And what they told.

    Args:
        rows: (ms, people) of frames.
        image_size: of all frames (w, h), px.
        skeleton: the joint set of the people.
        known: the camera as it is known without them.
        height_m: barefoot stature, where known.
        place: whether it gets its place in the world, where that is found.
    """
    frames, last = [], -1
    for tick, people in rows:
        last = max(tick, last + 1)
        frames.append(KeypointFrame(index=last, people=tuple(_keypoints(person) for person in people)))
    keypoints = Keypoints(skeleton=skeleton, image_size=image_size, frames=tuple(frames), fps=float(_TICKS))
    guessed = known.source == "assumed_focal"
    found = find_camera(keypoints, camera=None if guessed else known.camera, height_m=height_m)
    camera = told_camera(found, None if guessed else known.camera, place=place)
    source = "estimated_focal" if guessed and found.focal_found else known.source
    return replace(known, camera=camera, source=source, note=found.in_words(), found=found), found


def told_camera(found: FoundCamera, known: Camera | None = None, *, place: bool = True) -> Camera:
    """Return the camera that was found, or the known one, with its place in the world where asked for and found."""
    if place:
        return found.placed(known)
    return Camera.create(found.image_size, found.focal_px) if known is None else known


def _batches(source: Source, size: int) -> Generator[list[SourceFrame], None, None]:
    """The first frames of a film, at most `WATCHED_FRAMES`; the film is let go at the end, and begins anew."""
    frames = source.frames()
    try:
        first = itertools.islice(frames, WATCHED_FRAMES)
        while batch := list(itertools.islice(first, size)):
            yield batch
    finally:
        if isinstance(frames, Generator):
            frames.close()


def _keypoints(person: Detection) -> PersonKeypoints:
    return PersonKeypoints(
        keypoints_px=person.keypoints_px, confidence=person.confidence, id=person.id, height_m=person.height_m
    )


def _time_s(frame: SourceFrame, fps: float | None) -> float:
    return frame.time_s if frame.time_s is not None else frame.index / (fps or 30.0)


def _size(frame: SourceFrame) -> tuple[int, int]:
    return frame.pixels.shape[1], frame.pixels.shape[0]
