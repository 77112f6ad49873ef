"""People in real pictures to learn from: labels of a file, 3D or 2D, beside photos or a film.

What labels do not say stays unknown: NaN landmarks, no camera, no body. Nothing is guessed from a picture.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.poses import read_poses
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.boxes import body_boxes
from sightline.methods.perspose.samples import Person
from sightline.skeleton import Skeleton, conversion, get_skeleton, landmark_of
from sightline.stature import stature_from_joints
from sightline.structures import HEIGHT_RANGE_M
from sightline.structures import Person as PosedPerson
from sightline.training.flat_labels import FlatLabels, read_flat_labels
from sightline.training.picture_files import PictureFiles, Progress, Wanted, find_pictures
from sightline.training.pictures import SEEN_PX, SEEN_SHARE, Picture

LEAST_JOINTS: Final = 6
"""Who has fewer known joints before the camera is not learnt from: half of the twelve of arms and legs."""
LEAST_CONFIDENCE: Final = 0.3
"""Keypoints below are taken for unknown; labelled ones that are hidden in the picture have 0.5 in COCO's files."""
_MIDDLES: Final = ("Hip", "Thorax")
"""Landmarks that are by definition midway between two others, so that every joint set with these has them too."""
_LOOKED_AT: Final = 16
"""So many pictures are opened at once to see whether they are of the labels' size; the others when they are read."""

Size = tuple[int, int] | None
Kind = TypeVar("Kind", bound="RealPeople")


class RealPeople:
    """People with labels in pictures; what `PosesPeople` and `KeypointsPeople` have in common."""

    def __init__(
        self,
        truth: Path,
        files: PictureFiles,
        landmarks: Float32[np.ndarray, "person landmark axis"],
        boxes_px: Float[np.ndarray, "person 4"],
        statures_m: Float[np.ndarray, " person"],
        picture: Int[np.ndarray, " person"],
        cameras: Sequence[Camera | None],
        sizes: Sequence[Size],
        coarse: bool,
    ) -> None:
        self.truth, self.files, self.coarse = truth, files, coarse
        known = np.isfinite(landmarks).all(-1)
        self.known: tuple[str, ...] = tuple(ALL_LANDMARKS[row] for row in np.flatnonzero(known.any(0)))
        """Landmarks that somebody's labels have."""
        self._rows = np.flatnonzero(known.any(0))
        self._points = np.ascontiguousarray(landmarks[:, self._rows])
        self._boxes, self._statures, self._picture = boxes_px, statures_m, picture
        self._cameras, self._sizes = cameras, sizes
        for row in np.unique(np.linspace(0, len(files.paths) - 1, _LOOKED_AT).round().astype(int)).tolist():
            files.read(row, sizes[row], str(truth))

    def __len__(self) -> int:
        return len(self._picture)

    def __getitem__(self, row: int) -> tuple[Picture, Person]:
        """Return somebody with the picture they are in.

        Raises:
            InputError: for a picture that is broken, or of another size than the labels are of.
        """
        picture = int(self._picture[row])
        points = np.full((len(ALL_LANDMARKS), self._points.shape[-1]), np.nan)
        points[self._rows] = self._points[row]
        solid = points.shape[-1] == 3
        return self.files.read(picture, self._sizes[picture], str(self.truth)), Person(
            box_px=self._boxes[row],
            camera=self._cameras[picture],
            landmarks_cam=points if solid else None,
            landmarks_px=None if solid else points,
            stature_m=float(self._statures[row]),
            coarse=self.coarse,
        )

    @property
    def digest(self) -> str:
        """A sum over the labels' file, and over names and sizes of the pictures."""
        pictures = f"{len(self)} people in {len(self.files.paths)} pictures ({self.files.digest})"
        return f"{_sum_of(self.truth)}, {pictures}{', placed coarsely' if self.coarse else ''}"

    def coarsely(self: Kind) -> Kind:
        """Return the same people, of whose joints a few pixels mean nothing."""
        people = copy.copy(self)
        people.coarse = True
        return people

    def complete(self, landmarks: Iterable[str]) -> int:
        """Return how many people have all of some landmarks."""
        rows = [ALL_LANDMARKS.index(name) for name in landmarks]
        places = np.searchsorted(self._rows, rows)
        if not np.isin(rows, self._rows).all():
            return 0
        return int(np.isfinite(self._points[:, places]).all((1, 2)).sum())


class PosesPeople(RealPeople):
    """Everybody in a file of poses, seen in its pictures: joints in 3D, cameras, and statures as the bones tell them.

    Args:
        truth: poses (.json or .npz), of any joint set, as `sightline evaluate --truth` reads them.
        pictures: the folder of its photos, or its film.
        cache: folder for the frames of a film, which are decoded once.
        coarse: whether a few pixels mean nothing, since other people in the same run have joints by other definitions.
        progress: called with the number of frames decoded and of all.

    Raises:
        InputError: for files that cannot be read, pictures that are missing or of another size than their camera's,
            or where there is nobody to learn from.
    """

    def __init__(
        self,
        truth: str | Path,
        pictures: str | Path,
        *,
        cache: Path | None = None,
        coarse: bool = False,
        progress: Progress = None,
    ) -> None:
        poses, truth = read_poses(truth), Path(truth)
        frames = [frame for frame in poses.frames if frame.people]
        if not frames:
            raise InputError(f"{truth}: nobody in it to learn from: none of its {len(poses.frames)} frames has people")
        wanted = [Wanted(frame.index, frame.file) for frame in frames]
        files = find_pictures(Path(pictures), wanted, str(truth), cache=cache, progress=progress)
        cameras = [poses.camera_of(frame) for frame in frames]
        sizes = [_size_of(camera) for camera in cameras]
        people = [person for frame in frames for person in frame.people]
        picture = np.repeat(np.arange(len(frames)), [len(frame.people) for frame in frames])
        landmarks = _solid_landmarks(people, poses.skeleton, truth)
        given = np.stack([np.full(4, np.nan) if one.box_px is None else one.box_px for one in people])
        pixels = _projected(landmarks, picture, cameras)
        boxes, kept = _seen(pixels, given, np.array(sizes, np.float64)[picture], truth)
        statures = _statures(people, poses.skeleton)
        super().__init__(
            truth, files, landmarks[kept], boxes[kept], statures[kept], picture[kept], cameras, sizes, coarse
        )
        self.left_out: int = int((~kept).sum())
        self.skeleton: str = poses.skeleton.name


class KeypointsPeople(RealPeople):
    """Everybody in a file of keypoints, seen in its pictures: joints in 2D, placed by people or a detector, coarsely.

    Args:
        truth: a file or folder of any tool that `sightline lift` reads; annotations of COCO may be of pictures of
            many sizes.
        pictures: the folder of its photos, or its film. Photos are found by the names in COCO's annotations. Without
            names, of files of Sightline's own by their place in natural order, and of other tools' by the numbers in
            their own names.
        camera: of all pictures, where it is known; it shows the network how the crop sees.
        kind: the tool; told by content where None.
        skeleton: the joint set, where the file does not tell it.
        cache: folder for the frames of a film, which are decoded once.
        progress: called with the number of frames decoded and of all.

    Raises:
        InputError: as `PosesPeople` does.
    """

    def __init__(
        self,
        truth: str | Path,
        pictures: str | Path,
        *,
        camera: Camera | None = None,
        kind: str | None = None,
        skeleton: str | None = None,
        cache: Path | None = None,
        progress: Progress = None,
    ) -> None:
        truth = Path(truth)
        labels = read_flat_labels(truth, kind, skeleton)
        if not len(labels.picture):
            raise InputError(f"{truth}: nobody in it to learn from: no keypoints in {len(labels.wanted)} pictures")
        files = find_pictures(
            Path(pictures), labels.wanted, str(truth), cache=cache, numbered=labels.numbered, progress=progress
        )
        sizes = _flat_sizes(labels, files, camera, truth)
        points = labels.points_px
        if labels.shares:
            points = points * np.array(sizes, np.float64)[labels.picture, None]
        points = np.where((labels.confidence >= LEAST_CONFIDENCE)[..., None], points, np.nan)
        landmarks = _as_landmarks(points, labels.skeleton, truth)
        frame = np.array([(np.nan, np.nan) if size is None else size for size in sizes], np.float64)
        given = np.full((len(points), 4), np.nan)
        boxes, kept = _seen(landmarks.astype(np.float64), given, frame[labels.picture], truth)
        super().__init__(
            truth, files, landmarks[kept], boxes[kept], labels.statures_m[kept], labels.picture[kept],
            [camera] * len(sizes), sizes, coarse=True,
        )  # fmt: skip
        self.left_out: int = int((~kept).sum())


def _flat_sizes(labels: FlatLabels, files: PictureFiles, camera: Camera | None, truth: Path) -> list[Size]:
    """The sizes that pictures must have: the camera's, or those that the labels tell; None where nothing does."""
    own = None if camera is None else _size_of(camera)
    for size in labels.sizes:
        if own is not None and size is not None and size != own:
            raise InputError(
                f"{truth}: speaks of a picture of {size[0]} × {size[1]} px, but the camera's are {own[0]} × {own[1]} px"
            )
    if own is None and labels.shares and None in labels.sizes:
        pixels = files.read(0, None, str(truth))
        own = (pixels.shape[1], pixels.shape[0])
    return [own or size for size in labels.sizes]


def _size_of(camera: Camera) -> tuple[int, int]:
    width, height = camera.image_size.tolist()
    return int(width), int(height)


def _as_landmarks(
    points: Float[np.ndarray, "person joint axis"], skeleton: Skeleton, truth: Path
) -> Float32[np.ndarray, "person landmark axis"]:
    """Points of a joint set by landmark, with the middles that follow from them; NaN is what is not known."""
    found = np.full((len(points), len(ALL_LANDMARKS), points.shape[-1]), np.nan, np.float32)
    rows = {joint: landmark_of(skeleton, name) for joint, name in enumerate(skeleton.joints)}
    rows = {joint: ALL_LANDMARKS.index(name) for joint, name in rows.items() if name in ALL_LANDMARKS}
    if len(rows) < LEAST_JOINTS:
        raise InputError(f"{truth}: expected joints that Sightline knows, got {', '.join(skeleton.joints)}")
    target = get_skeleton("h36m17")
    rule = conversion(skeleton, target)
    middles = rule.apply(points)[0]
    for name in _MIDDLES:
        if name not in rule.missing:
            found[:, ALL_LANDMARKS.index(name)] = middles[:, target.index(name)]
    for joint, row in rows.items():
        own = np.isfinite(points[:, joint]).all(-1)
        found[own, row] = points[own, joint]
    return found


def _solid_landmarks(
    people: Sequence[PosedPerson], skeleton: Skeleton, truth: Path
) -> Float32[np.ndarray, "person landmark 3"]:
    """The landmarks of poses (m, the camera's frame), those of their extra joints among them."""
    found = _as_landmarks(np.stack([one.joints_cam_m for one in people]), skeleton, truth)
    for row, one in enumerate(people):
        if one.extra is None:
            continue
        for name, joint in zip(one.extra.skeleton.joints, one.extra.joints_cam_m, strict=True):
            landmark = landmark_of(one.extra.skeleton, name)
            if landmark in ALL_LANDMARKS and np.isnan(found[row, ALL_LANDMARKS.index(landmark)]).any():
                found[row, ALL_LANDMARKS.index(landmark)] = joint
    return found


def _projected(
    landmarks: Float32[np.ndarray, "person landmark 3"], picture: Int[np.ndarray, " person"], cameras: Sequence[Camera]
) -> Float[np.ndarray, "person landmark 2"]:
    """Where landmarks are in their pictures (px); NaN is what is not known or does not lie before the camera."""
    pixels = np.full((*landmarks.shape[:2], 2), np.nan)
    by_camera: dict[int, list[int]] = {}
    for person, row in enumerate(picture.tolist()):
        by_camera.setdefault(id(cameras[row]), []).append(person)
    for people in by_camera.values():
        camera = cameras[int(picture[people[0]])]
        pixels[people] = camera.project(torch.from_numpy(landmarks[people]).to(camera.dtype))[0].numpy()
    return pixels


def _statures(people: Sequence[PosedPerson], skeleton: Skeleton) -> Float[np.ndarray, " person"]:
    """Statures as the bones tell them (m); NaN where they do not, or tell one that nobody has."""
    joints = conversion(skeleton, "h36m17").apply(np.stack([one.joints_cam_m for one in people]))[0]
    statures = stature_from_joints(torch.from_numpy(joints)).numpy()
    low, high = HEIGHT_RANGE_M
    return np.where((statures >= low) & (statures <= high), statures, np.nan)


def _seen(
    pixels: Float[np.ndarray, "person landmark 2"],
    given: Float[np.ndarray, "person 4"],
    sizes: Float[np.ndarray, "person 2"],
    truth: Path,
) -> tuple[Float[np.ndarray, "person 4"], Bool[np.ndarray, " person"]]:
    """Boxes of people (px): those given, else grown about their joints; and who is seen well enough to learn from."""
    known = np.asarray(np.isfinite(pixels).all(-1))
    with np.errstate(invalid="ignore"):
        inside = ((pixels >= 0) & ~(pixels > sizes[:, None])).all(-1)
    boxes = np.where(np.isfinite(given), given, body_boxes(pixels))
    tall = (boxes[:, 2:] - boxes[:, :2]).max(1)
    kept = (known.sum(1) >= LEAST_JOINTS) & (inside.sum(1) >= SEEN_SHARE * known.sum(1)) & (tall >= SEEN_PX)
    if not kept.any():
        raise InputError(
            f"{truth}: nobody in it to learn from: none of its {len(kept)} people has {LEAST_JOINTS} known joints "
            f"before the camera, {SEEN_SHARE:.0%} of them in the picture and {SEEN_PX:.0f} px from end to end"
        )
    return boxes, kept


def _sum_of(truth: Path) -> str:
    """A sum over a file, or over the JSON files of a folder."""
    told = hashlib.sha256()
    for path in sorted(truth.glob("*.json")) if truth.is_dir() else [truth]:
        told.update(path.read_bytes())
    return told.hexdigest()[:16]
