"""How people are found in frames: by a detector, in boxes, or in a file that already says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from sightline.camera import Camera
from sightline.detect.boxes import Box, Boxes, parse_box, read_boxes
from sightline.detect.follow import Follower
from sightline.detect.guard import checked_detections, closed
from sightline.detect.keypoint_file import KeypointFile
from sightline.detect.protocol import Detection, Detector
from sightline.detect.registry import AUTO, DETECTORS
from sightline.errors import UsageError
from sightline.formats.detections import OwnFile, read_detections
from sightline.prediction.cameras import CameraFinder
from sightline.prediction.estimator import Estimator, FindsPeople
from sightline.prediction.joints import detector_of, is_own
from sightline.prediction.run import Look
from sightline.skeleton import get_skeleton
from sightline.sources import Source, SourceFrame

BOXES: Final = "boxes"
"""The name that stands for no detector at all."""


def look_for(
    source: Source,
    *,
    detector: str | Detector = "auto",
    box: Sequence[str | Box] = (),
    boxes: Path | None = None,
    device: str = "cpu",
    batch_size: int = 8,
    min_score: float | None = None,
    max_people: int | None = None,
    cameras: CameraFinder | None = None,
) -> Look:
    """Return how people are found in a source: whole frames, or boxes where there are any; or the file that says.

    Args:
        source: photos, a film or a live camera; a film's detector may follow people from frame to frame.
        detector: by name, one of the caller's own (which is not closed), the path of a keypoint file or folder of any
            tool that `read_keypoints_of` knows, or "boxes" for none: those in boxes, without joints.
        box: boxes of the first frame (of each photo).
        boxes: file of boxes.
        device: PyTorch device of the detector.
        batch_size: frames per pass of the detector.
        min_score: people whom the detector is less sure of are left out.
        max_people: people to keep per frame.
        cameras: what is known of cameras before anybody is seen, for detectors that ask for it.

    Raises:
        UsageError: for an unknown detector, one that is not installed, or options that exclude each other.
        InputError: if a file is broken, or weights cannot be had.
    """
    named = isinstance(detector, str)
    if named and not is_own(detector) and _is_file(detector):
        if box or boxes is not None:
            raise UsageError("--box, --boxes: expected a detector beside them, got a keypoint file, which needs none")
        return _InFile(Path(detector), min_score or 0.0, max_people)
    if max_people is not None and (box or boxes is not None):
        raise UsageError("--max-people: expected no boxes beside it, which say already who is meant")
    if detector == BOXES and max_people is not None:
        raise UsageError("--max-people: expected a detector beside it, got boxes, which say already who is meant")
    drawn = [parse_box(each) if isinstance(each, str) else each for each in box]
    listed = read_boxes(boxes) if boxes is not None else Boxes.drawn(drawn) if drawn else None
    if detector == BOXES:
        if listed is None:
            raise UsageError("--detector boxes: expected --box or --boxes beside it, which say where people are")
        return _BoxesOnly(listed, source.kind == "photos")
    if named:
        video = source.kind != "photos" and listed is None
        options: Any = {"device": device, "batch_size": batch_size, "video": video, "min_score": min_score}
        detector = detector_of(detector, **options)
    if listed is None:
        return _Whole(detector, max_people, cameras, ours=named)
    return _InBoxes(detector, listed, source.kind == "photos", cameras, ours=named)


def look_with(
    estimator: Estimator,
    source: Source,
    *,
    detector: str | Detector = "auto",
    box: Sequence[str | Box] = (),
    boxes: Path | None = None,
    device: str = "cpu",
    batch_size: int = 8,
    min_score: float | None = None,
    max_people: int | None = None,
    cameras: CameraFinder | None = None,
) -> Look:
    """Return how people are found for an estimator: as `look_for` says, or by itself where it finds them itself.

    Args:
        estimator: who places them.
        source: see `look_for`, as for all others.
        detector: "auto", where the estimator finds people itself.
        box: none, there.
        boxes: none, there.
        device: of the detector.
        batch_size: of the detector.
        min_score: of the detector, or of the estimator.
        max_people: people to keep per frame.
        cameras: for the detector.

    Raises:
        UsageError: as `look_for`, and for a detector or boxes beside an estimator that does not ask them.
        InputError: as `look_for`.
    """
    if not isinstance(estimator, FindsPeople):
        return look_for(
            source, detector=detector, box=box, boxes=boxes, device=device, batch_size=batch_size,
            min_score=min_score, max_people=max_people, cameras=cameras,
        )  # fmt: skip
    own = f"method '{estimator.model.method}' finds people by itself in the whole picture"
    if not (isinstance(detector, str) and detector == AUTO):
        got = detector if isinstance(detector, str) else getattr(detector, "name", type(detector).__name__)
        raise UsageError(f"--detector: {own}; leave the detector out, got '{got}'")
    if box or boxes is not None:
        raise UsageError(f"--box, --boxes: {own}; leave the boxes out")
    return look_for(source, detector=estimator.detector(min_score), max_people=max_people)


class _Looking:
    """What looking by a detector has in common."""

    finds_joints = True

    def __init__(self, detector: Detector, cameras: CameraFinder | None, ours: bool) -> None:
        self._detector, self._cameras, self._ours = detector, cameras, ours
        self.name, self.skeleton = detector.name, detector.skeleton

    def _camera(self, frame: SourceFrame) -> Camera | None:
        """The camera that took a frame, as far as it is known."""
        return None if self._cameras is None else self._cameras.tilted(frame)

    def close(self) -> None:
        """Close the detector, unless it is somebody else's."""
        if self._ours:
            closed(self._detector)


class _Whole(_Looking):
    """Everybody whom a detector finds in whole frames."""

    def __init__(self, detector: Detector, max_people: int | None, cameras: CameraFinder | None, ours: bool) -> None:
        super().__init__(detector, cameras, ours)
        self._max_people = max_people

    def people(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        pictures, places = [frame.pixels for frame in frames], [_place(frame) for frame in frames]
        return checked_detections(
            self._detector, pictures, places=places, cameras=[self._camera(frame) for frame in frames],
            max_people=self._max_people, skeleton=self.skeleton,
        )  # fmt: skip


class _InBoxes(_Looking):
    """Those who are in boxes, followed through films."""

    def __init__(
        self, detector: Detector, boxes: Boxes, photos: bool, cameras: CameraFinder | None, ours: bool
    ) -> None:
        super().__init__(detector, cameras, ours)
        self._boxes, self._follower, self._photos = boxes, Follower(detector, boxes), photos

    def people(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        if not self._photos:
            return [
                self._follower.detect_next(frame.pixels, index=frame.index, camera=self._camera(frame))
                for frame in frames
            ]
        pictures, cameras = [frame.pixels for frame in frames], [self._camera(frame) for frame in frames]
        boxes = [self._boxes.of_photo(frame.index, frame.file, _size(frame)) or () for frame in frames]
        return self._follower.detect_photos(pictures, boxes, cameras=cameras, place=_place(frames[0]))


class _BoxesOnly:
    """Those in boxes, of whom nothing else is known: for methods that look at the pictures."""

    name, skeleton, finds_joints = BOXES, get_skeleton("h36m17"), False

    def __init__(self, boxes: Boxes, photos: bool) -> None:
        if not photos and len(boxes.by_index) < 2:
            raise UsageError(
                "--detector boxes: expected --boxes that list all frames of a film in which somebody is; to follow "
                "people from a first box on, name a detector"
            )
        self._boxes, self._photos = boxes, photos

    def people(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        return [tuple(_unseen(box, len(self.skeleton)) for box in self._listed(frame)) for frame in frames]

    def _listed(self, frame: SourceFrame) -> Sequence[Box]:
        if self._photos:
            return self._boxes.of_photo(frame.index, frame.file, _size(frame)) or ()
        return self._boxes.of_frame(frame.index - 1, frame.index, _size(frame)) or ()

    def close(self) -> None:
        pass


def _unseen(box: Box, joints: int) -> Detection:
    """Somebody of whom only the box is known."""
    return Detection(
        keypoints_px=np.full((joints, 2), np.nan),
        confidence=np.zeros(joints),
        score=1.0,
        box_px=np.asarray(box.box_px, np.float64),
        id=box.id,
        height_m=box.height_m,
    )


class _InFile:
    """Those whom a keypoint file names, by the number of the frame."""

    finds_joints = True

    def __init__(self, path: Path, min_score: float, max_people: int | None) -> None:
        self._found, self._min_score, self._max_people = read_detections(path), min_score, max_people
        self._file: KeypointFile | None = None
        self.name = path.name
        self.skeleton = self._found.read.skeleton if isinstance(self._found, OwnFile) else self._found.skeleton

    def people(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        sizes = [_size(frame) for frame in frames]
        if self._file is None:  # other tools do not say how large their pictures were: they are these
            keypoints = self._found.keypoints(self._found.image_size or sizes[0])
            self._file = KeypointFile(keypoints, name=self.name)
        found = self._file.detect_frames([frame.index for frame in frames], sizes)
        return [self._kept(people) for people in found]

    def _kept(self, people: tuple[Detection, ...]) -> tuple[Detection, ...]:
        """Those who are sure enough, the surest where there are too many, in the file's order."""
        sure = sorted((person for person in people if person.score >= self._min_score), key=lambda one: -one.score)
        chosen = sure[: self._max_people]
        return tuple(person for person in people if person in chosen)

    def close(self) -> None:
        pass


def _is_file(detector: str) -> bool:
    """Whether this names keypoints rather than a detector; a detector's name comes first."""
    path = Path(detector)
    return path.suffix.lower() in (".json", ".csv") or (path.is_dir() and detector not in (AUTO, BOXES, *DETECTORS))


def _size(frame: SourceFrame) -> tuple[int, int]:
    return frame.pixels.shape[1], frame.pixels.shape[0]


def _place(frame: SourceFrame) -> str:
    return frame.file if frame.file is not None else f"frame {frame.index}"
