"""The files of one source, written frame by frame while it is predicted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import torch

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.keypoints_stream import KeypointWriter
from sightline.formats.poses_stream import PoseWriter
from sightline.formats.world_stream import WorldWriter
from sightline.prediction.estimator import Told
from sightline.prediction.predicted import Predicted
from sightline.prediction.tally import Tally
from sightline.skeleton import Skeleton
from sightline.structures import PoseFrame, Poses, World


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where the results of one source go: poses (.json or .npz), keypoints (.json), people in the world (.npz).

    The drawings (.png, .html, .mp4) are made from the poses when they are done.
    """

    poses: Path
    keypoints: Path | None = None
    world: Path | None = None
    picture: Path | None = None
    page: Path | None = None
    movie: Path | None = None
    photos: Path | None = None
    """Folder for a picture of each photo, where there are several."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, the poses first."""
        files = (self.poses, self.picture, self.page, self.movie, self.keypoints, self.world)
        return tuple(path for path in files if path is not None)


class Outputs:
    """Writes poses, keypoints and world poses as they come; the files take their names when the block ends well.

    Args:
        paths: what is written where.
        estimator: whose model and scale the poses file tells.
        seen: the joint set of the detector.
        fps: frames per second, where known.
    """

    def __init__(self, paths: Paths, estimator: Told, seen: Skeleton, fps: float | None) -> None:
        self.paths, self.estimator, self.seen, self.fps = paths, estimator, seen, fps
        self.tally = Tally()
        self._stack = contextlib.ExitStack()
        self._poses: PoseWriter | None = None
        self._keypoints: KeypointWriter | None = None
        self._world: WorldWriter | None = None
        self._camera: Camera | None = None
        self._image_size: tuple[int, int] | None = None
        self._ground: World | None = None

    def __enter__(self) -> Outputs:
        """Begin; files are only opened with the first frame, which tells the camera."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the files their names, or leave nothing behind where anything failed."""
        if kind is None and self._poses is not None:
            self._poses.scale = self.tally.scale(self.estimator)
        self._stack.__exit__(kind, error, trace)

    def take(self, predicted: Iterable[Predicted]) -> None:
        """Write frames until there are no more."""
        for one in predicted:
            self.write(one)

    def write(self, one: Predicted) -> PoseFrame:
        """Write one frame, and return it with its own camera, where that is not the common one.

        Raises:
            InputError: if a frame has another size than those before and keypoints are written, or a camera whose place
                in the world is unknown and world poses are.
        """
        self.tally.add(one, self.estimator.skeleton.root)
        if self._poses is None:
            self._open(one)
        assert self._poses is not None
        assert self._camera is not None
        camera = one.known.camera
        own = camera is not self._camera and not _same(camera, self._camera)
        frame = replace(one.frame, camera=camera) if own else one.frame
        self._poses.write(frame)
        if self._keypoints is not None:
            if one.image_size != self._image_size:
                raise InputError(
                    f"{self.paths.keypoints}: expected pictures of one size for a keypoint file, got "
                    f"{one.image_size[0]} × {one.image_size[1]} px after {self._image_size}; leave the file out"
                )
            self._keypoints.write(one.keypoints)
        if self._world is not None:
            self._write_world(frame, camera)
        return frame

    def poses(self, frames: tuple[PoseFrame, ...]) -> Poses:
        """Return some of the frames that were written as poses of their own."""
        assert self._camera is not None
        return Poses(
            skeleton=self.estimator.skeleton,
            camera=self._camera,
            scale=self.tally.scale(self.estimator),
            model=self.estimator.model,
            frames=frames,
            fps=self.fps,
            world=self._ground,
        )

    def _open(self, one: Predicted) -> None:
        """Open the files: the first frame says which camera is the common one."""
        camera = one.known.camera
        self._camera, self._image_size, self._ground = camera, one.image_size, one.world
        self._poses = self._stack.enter_context(
            PoseWriter(
                self.paths.poses,
                skeleton=self.estimator.skeleton,
                camera=camera,
                scale=self.tally.scale(self.estimator),
                model=self.estimator.model,
                fps=self.fps,
                world=one.world,
            )
        )
        if self.paths.keypoints is not None:
            self._keypoints = self._stack.enter_context(
                KeypointWriter(self.paths.keypoints, skeleton=self.seen, image_size=one.image_size, fps=self.fps)
            )
        if self.paths.world is not None:
            self._world = self._stack.enter_context(
                WorldWriter(self.paths.world, skeleton=self.estimator.skeleton, fps=self.fps)
            )

    def _write_world(self, frame: PoseFrame, camera: Camera) -> None:
        assert self._world is not None
        if not camera.has_world:
            raise InputError(
                f"{self.paths.world}: expected a camera whose place in the world is known (camera_from_world in its "
                "file), got one without"
            )
        people = []
        if any(person.id is None for person in frame.people):
            raise InputError(
                f"{self.paths.world}: people in the world are told apart by their ids, which photos do not have; name "
                "them with boxes, or leave the file out"
            )
        for person in frame.people:
            world = camera.camera_to_world(torch.from_numpy(person.joints_cam_m.copy())).numpy()
            people.append((person.id, world))
        self._world.write(frame.index, people)


def _same(one: Camera, other: Camera) -> bool:
    """Whether two cameras are equal numbers; frames of one resolution often come with equal cameras of their own."""
    if one.distortion is not None or other.distortion is not None or one.has_world != other.has_world:
        return one is other
    values = ("image_size", "focal_px", "center_px", *(("rotation", "translation_m") if one.has_world else ()))
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in values)
