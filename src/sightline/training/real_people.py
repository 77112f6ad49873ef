"""People in real pictures to learn from: labels of a file, 3D or 2D, beside photos or a film.

What labels do not say stays unknown: NaN landmarks, no camera, no body. Nothing is guessed from a picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.camera import camera_to_json
from sightline.formats.poses import read_poses
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.boxes import SURE, outlines
from sightline.methods.perspose.samples import Person
from sightline.skeleton import Skeleton, conversion, get_skeleton, landmark_of
from sightline.stature import stature_from_joints
from sightline.structures import HEIGHT_RANGE_M, Poses
from sightline.structures import Person as PosedPerson
from sightline.training.flat_labels import FlatLabels, read_flat_labels
from sightline.training.picture_files import PictureFiles, Progress, Wanted, find_pictures
from sightline.training.pictures import SEEN_PX, SEEN_SHARE, Picture

LEAST_JOINTS: Final = 6
"""Who has fewer known joints of arms and legs, which have twelve, before the camera is not learnt from."""
LONGEST: Final = 4.0
"""Nor is whose box is longer than so many diagonals of the picture: joints beside the camera lie anywhere in it."""
_LIFTERS: Final = ("abspose", "deeplift")
"""Methods whose boxes are the extent of the detector's joints."""
_LIMBS: Final = [
    ALL_LANDMARKS.index(side + joint)
    for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
    for side in ("L", "R")
]
_MIDDLES: Final = ("Hip", "Thorax")
"""Landmarks that are by definition midway between two others, so that every joint set with these has them too."""
_LOOKED_AT: Final = 16
"""So many pictures are opened at once to see whether they are of the labels' size; the others when they are read."""

Size = tuple[int, int] | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Labels:
    """What a file says of people, and where their pictures lie."""

    truth: Path
    """The file."""
    digest: str
    """A sum over it, and over the camera where that is told apart from it."""
    files: PictureFiles
    skeleton: str
    """The joint set of the file."""
    rows: tuple[int, ...]
    """Of which of `ALL_LANDMARKS` the points are."""
    points: Float32[np.ndarray, "person landmark axis"]
    """In 3D (m, the camera's frame) or in 2D (px); NaN is what is not known."""
    boxes_px: Float[np.ndarray, "person 4"]
    """Left, top, right, bottom."""
    statures_m: Float[np.ndarray, " person"]
    picture: Int[np.ndarray, " person"]
    """Row of `files`, as of the next two."""
    cameras: tuple[Camera | None, ...]
    sizes: tuple[Size, ...]
    """Width and height that pictures must have (px)."""
    coarse: bool
    """Whether a few pixels mean nothing."""
    left_out: int = 0
    """How many more people the file has, who are not seen well enough to learn from."""
    others_px: Float[np.ndarray, "other 4"] = field(default_factory=lambda: np.zeros((0, 4)))
    """Boxes of those, where they have any, and of people who are only said to be there."""
    others_picture: Int[np.ndarray, " other"] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Row of `files`."""


@dataclass(frozen=True, eq=False)
class RealPeople:
    """People with labels in pictures, by number: those of `PosesPeople` or `KeypointsPeople`."""

    labels: Labels

    def __len__(self) -> int:
        return len(self.labels.picture)

    def __getitem__(self, row: int) -> tuple[Picture, Person]:
        """Return somebody with the picture they are in.

        Raises:
            InputError: for a picture that is broken, or of another size than the labels are of.
        """
        its, picture = self.labels, int(self.labels.picture[row])
        points = np.full((len(ALL_LANDMARKS), its.points.shape[-1]), np.nan)
        points[list(its.rows)] = its.points[row]
        solid = points.shape[-1] == 3
        return its.files.read(picture, its.sizes[picture], str(its.truth)), Person(
            box_px=its.boxes_px[row],
            camera=its.cameras[picture],
            landmarks_cam=points if solid else None,
            landmarks_px=None if solid else points,
            stature_m=float(its.statures_m[row]),
            coarse=its.coarse,
        )

    @property
    def known(self) -> tuple[str, ...]:
        """Landmarks that somebody's labels have."""
        return tuple(ALL_LANDMARKS[row] for row in self.labels.rows)

    @property
    def left_out(self) -> int:
        """How many more people the file has, who are not seen well enough to learn from."""
        return self.labels.left_out

    @property
    def digest(self) -> str:
        """A sum over the labels' file, and over names and sizes of the pictures."""
        its = self.labels
        pictures = f"{len(self)} people in {len(its.files.paths)} pictures ({its.files.digest})"
        return f"{its.digest}, {pictures}{', placed coarsely' if its.coarse else ''}"

    def coarsely(self) -> RealPeople:
        """Return the same people, of whose joints a few pixels mean nothing."""
        return RealPeople(replace(self.labels, coarse=True))

    def complete(self, landmarks: Iterable[str]) -> tuple[int, ...]:
        """Return the numbers of the people of whom all of some landmarks are known in 3D."""
        its, rows = self.labels, [ALL_LANDMARKS.index(name) for name in landmarks]
        if its.points.shape[-1] != 3 or not set(rows) <= set(its.rows):
            return ()
        points = its.points[:, [its.rows.index(row) for row in rows]]
        return tuple(np.flatnonzero(np.isfinite(points).all((1, 2))).tolist())


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
        super().__init__(_seen(_posed(poses, truth, files, coarse)))


class KeypointsPeople(RealPeople):
    """Everybody in a file of keypoints, seen in its pictures: joints in 2D, placed by people or a detector, coarsely.

    Args:
        truth: a file or folder of any tool that `sightline lift` reads; annotations of COCO may be of pictures of
            many sizes, and have boxes.
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
        flat = read_flat_labels(truth, kind, skeleton)
        if not len(flat.picture):
            raise InputError(f"{truth}: nobody in it to learn from: no keypoints in {len(flat.wanted)} pictures")
        files = find_pictures(
            Path(pictures), flat.wanted, str(truth), cache=cache, numbered=flat.numbered, progress=progress
        )
        super().__init__(_seen(_flat(flat, truth, files, camera)))


def _posed(poses: Poses, truth: Path, files: PictureFiles, coarse: bool) -> Labels:
    """Everybody in a file of poses."""
    frames = [frame for frame in poses.frames if frame.people]
    people = [person for frame in frames for person in frame.people]
    cameras = tuple(poses.camera_of(frame) for frame in frames)
    given = [None if poses.model.method in _LIFTERS else one.box_px for one in people]  # lifters': their joints' extent
    return Labels(
        truth=truth,
        digest=_sum_of(truth),
        files=files,
        skeleton=poses.skeleton.name,
        rows=tuple(range(len(ALL_LANDMARKS))),
        points=_solid_landmarks(people, poses.skeleton, truth),
        boxes_px=np.stack([np.full(4, np.nan) if box is None else box for box in given]),
        statures_m=_statures(people, poses.skeleton),
        picture=np.repeat(np.arange(len(frames)), [len(frame.people) for frame in frames]),
        cameras=cameras,
        sizes=tuple(_size_of(camera) for camera in cameras),
        coarse=coarse,
    )


def _flat(flat: FlatLabels, truth: Path, files: PictureFiles, camera: Camera | None) -> Labels:
    """Everybody in a file of keypoints; the doubtful ones are unknown."""
    sizes = _flat_sizes(flat, files, camera, truth)
    points = flat.points_px
    if flat.shares:
        points = points * np.array(sizes, np.float64)[flat.picture, None]
    points = np.where((flat.confidence >= SURE)[..., None], points, np.nan)
    return Labels(
        truth=truth,
        digest=_sum_of(truth) + ("" if camera is None else f" by camera {_sum_of_camera(camera)}"),
        files=files,
        skeleton=flat.skeleton.name,
        rows=tuple(range(len(ALL_LANDMARKS))),
        points=_as_landmarks(points, flat.skeleton, truth),
        boxes_px=flat.boxes_px,
        statures_m=flat.statures_m,
        picture=flat.picture,
        cameras=(camera,) * len(sizes),
        sizes=sizes,
        coarse=True,
        others_px=flat.others_px,
        others_picture=flat.others_picture,
    )


def _flat_sizes(labels: FlatLabels, files: PictureFiles, camera: Camera | None, truth: Path) -> tuple[Size, ...]:
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
    return tuple(own or size for size in labels.sizes)


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
    if len(set(_LIMBS).intersection(rows.values())) < LEAST_JOINTS:
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


def pixels_of(labels: Labels) -> Float[np.ndarray, "person landmark 2"]:
    """Where landmarks are in their pictures (px); NaN is what is not known or does not lie before the camera."""
    if labels.points.shape[-1] == 2:
        return labels.points.astype(np.float64)
    pixels = np.full((*labels.points.shape[:2], 2), np.nan)
    by_camera: dict[int, list[int]] = {}
    for person, row in enumerate(labels.picture.tolist()):
        by_camera.setdefault(id(labels.cameras[row]), []).append(person)
    for people in by_camera.values():
        camera = labels.cameras[int(labels.picture[people[0]])]
        assert camera is not None  # poses have cameras
        pixels[people] = camera.project(torch.from_numpy(labels.points[people]).to(camera.dtype))[0].numpy()
    return pixels


def _statures(people: Sequence[PosedPerson], skeleton: Skeleton) -> Float[np.ndarray, " person"]:
    """Statures as the bones tell them (m); NaN where they do not, or tell one that nobody has."""
    joints = conversion(skeleton, "h36m17").apply(np.stack([one.joints_cam_m for one in people]))[0]
    statures = stature_from_joints(torch.from_numpy(joints)).numpy()
    low, high = HEIGHT_RANGE_M
    return np.where((statures >= low) & (statures <= high), statures, np.nan)


def _seen(everybody: Labels) -> Labels:
    """Those who are seen well enough to learn from, in boxes of their outlines; some pictures are looked at."""
    pixels = pixels_of(everybody)
    boxes = outlines(everybody.boxes_px, pixels)
    frames = [(np.nan, np.nan) if size is None else size for size in everybody.sizes]
    kept = _seen_well(pixels, boxes, np.array(frames, np.float64)[everybody.picture])
    if not kept.any():
        raise InputError(
            f"{everybody.truth}: nobody in it to learn from: none of its {len(kept)} people has {LEAST_JOINTS} known "
            f"joints of arms and legs before the camera, {SEEN_SHARE:.0%} of all in the picture, and a box of "
            f"{SEEN_PX:.0f} px to {LONGEST:g} diagonals of the picture"
        )
    boxed = ~kept & np.isfinite(boxes).all(1)
    rows = np.flatnonzero(np.isfinite(everybody.points[kept]).all(-1).any(0))
    files, sizes = everybody.files, everybody.sizes
    for row in np.unique(np.linspace(0, len(files.paths) - 1, _LOOKED_AT).round().astype(int)).tolist():
        files.read(row, sizes[row], str(everybody.truth))
    return replace(
        everybody,
        rows=tuple(rows.tolist()),
        points=np.ascontiguousarray(everybody.points[kept][:, rows]),
        boxes_px=boxes[kept],
        statures_m=everybody.statures_m[kept],
        picture=everybody.picture[kept],
        left_out=int((~kept).sum()),
        others_px=np.concatenate((everybody.others_px, boxes[boxed])),
        others_picture=np.concatenate((everybody.others_picture, everybody.picture[boxed])),
    )


def _seen_well(
    pixels: Float[np.ndarray, "person landmark 2"],
    boxes: Float[np.ndarray, "person 4"],
    sizes: Float[np.ndarray, "person 2"],
) -> Bool[np.ndarray, " person"]:
    """Who is: of pictures whose size is not known (NaN), only joints and the box's least size are asked for."""
    known = np.asarray(np.isfinite(pixels).all(-1))
    with np.errstate(invalid="ignore"):
        inside = ((pixels >= 0) & ~(pixels > sizes[:, None])).all(-1)
        longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
        sized = (longer >= SEEN_PX) & ~(longer > LONGEST * np.hypot(*sizes.T))
    limbs = known[:, _LIMBS].sum(1)
    return (limbs >= LEAST_JOINTS) & (inside.sum(1) >= SEEN_SHARE * known.sum(1)) & sized


def _sum_of(truth: Path) -> str:
    """A sum over a file, or over the JSON files of a folder."""
    told = hashlib.sha256()
    for path in sorted(truth.glob("*.json")) if truth.is_dir() else [truth]:
        told.update(path.read_bytes())
    return told.hexdigest()[:16]


def _sum_of_camera(camera: Camera) -> str:
    return hashlib.sha256(json.dumps(camera_to_json(camera), sort_keys=True).encode()).hexdigest()[:16]
