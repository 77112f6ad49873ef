"""The typed results at the seams: 2D keypoints on their way in, absolute 3D poses on their way out.

All are frozen values of NumPy float64 arrays that cannot be written to. Whatever does not hold (shapes, ranges, the
joint count of the skeleton) is a `ValueError` in one sentence at construction. Pixels have their origin at the image's
top-left corner; the camera frame is x right, y down, z forward, in metres. A missing point is NaN, a missing keypoint
has confidence 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int

from sightline.camera import Camera
from sightline.skeleton import Conversion, Skeleton, conversion

ScaleSource = Literal[
    "calibrated_focal", "given_focal", "exif_focal", "estimated_focal", "assumed_fov", "assumed_focal", "mixed"
]
ScaleBody = Literal["learned", "given_height", "on_floor", "mixed"]

HEIGHT_RANGE_M: Final = (0.4, 2.6)  # barefoot statures that are believed


@dataclass(frozen=True, kw_only=True, eq=False)
class PersonKeypoints:
    """One person's 2D keypoints (px, corner origin) in one image, with confidence in 0…1 and, if known, the stature."""

    keypoints_px: Float[np.ndarray, "joint 2"]
    confidence: Float[np.ndarray, " joint"]
    id: int | None = None
    height_m: float | None = None

    def __post_init__(self) -> None:
        _set(self, keypoints_px=_points("keypoints_px", self.keypoints_px, None, 2))
        _set(self, confidence=_confidence(self.confidence, self.keypoints_px), id=_id(self.id))
        low, high = HEIGHT_RANGE_M
        if self.height_m is not None and not low <= self.height_m <= high:
            raise ValueError(f"height_m: expected a stature of {low} to {high} m, got {self.height_m}")


@dataclass(frozen=True, kw_only=True, eq=False)
class KeypointFrame:
    """The people seen in one image; none is a normal result."""

    index: int
    people: tuple[PersonKeypoints, ...] = ()

    def __post_init__(self) -> None:
        _set(self, index=_whole("index", self.index, 0), people=tuple(self.people))
        _check_ids(self.people, self.index)


class StackedKeypoints(NamedTuple):
    """All people of a `Keypoints` as arrays, one row per person; `person_id` is −1 where there is none."""

    keypoints_px: Float[np.ndarray, "person joint 2"]
    confidence: Float[np.ndarray, "person joint"]
    frame_index: Int[np.ndarray, " person"]
    person_id: Int[np.ndarray, " person"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Keypoints:
    """2D keypoints of a photo, a folder or a video: `frames` with rising `index`, all of one size (w, h) in pixels."""

    skeleton: Skeleton
    image_size: tuple[int, int]
    frames: tuple[KeypointFrame, ...]
    fps: float | None = None

    def __post_init__(self) -> None:
        _set(self, image_size=_image_size(self.image_size), frames=tuple(self.frames), fps=_positive("fps", self.fps))
        _check_rising(self.frames)
        for frame, person in self.people():
            _check_joints(len(person.confidence), self.skeleton, frame.index)

    def people(self) -> Iterator[tuple[KeypointFrame, PersonKeypoints]]:
        """Every person with the frame, in order."""
        return ((frame, person) for frame in self.frames for person in frame.people)

    def stacked(self) -> StackedKeypoints:
        """All people as arrays, one row per person."""
        joints = len(self.skeleton)
        points = [person.keypoints_px for _, person in self.people()]
        confidence = [person.confidence for _, person in self.people()]
        return StackedKeypoints(
            np.array(points, dtype=np.float64).reshape(-1, joints, 2),
            np.array(confidence, dtype=np.float64).reshape(-1, joints),
            *_frame_and_id(self.people()),
        )

    def converted(self, target: str | Skeleton) -> tuple[Keypoints, Conversion]:
        """The same keypoints in another joint set, and the conversion, which says what was approximated or missing."""
        rule = conversion(self.skeleton, target)
        stacked = self.stacked()
        points, confidence = rule.apply(stacked.keypoints_px, stacked.confidence)
        assert confidence is not None  # it was given
        rows = iter(zip(points, confidence, strict=True))
        frames = []
        for frame in self.frames:
            pairs = [(person, *next(rows)) for person in frame.people]
            people = tuple(replace(person, keypoints_px=xy, confidence=sure) for person, xy, sure in pairs)
            frames.append(replace(frame, people=people))
        return replace(self, skeleton=rule.target, frames=tuple(frames)), rule


@dataclass(frozen=True, kw_only=True, eq=False)
class Hypothesis:
    """One further candidate for a person's pose, joints in metres in the camera frame, with its own score."""

    score: float
    joints_cam_m: Float[np.ndarray, "joint 3"]
    root_depth_canonical: float | None = None

    def __post_init__(self) -> None:
        _set(self, score=_finite("score", self.score), joints_cam_m=_points("joints_cam_m", self.joints_cam_m, None, 3))
        _set(self, root_depth_canonical=_positive("root_depth_canonical", self.root_depth_canonical))


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtraJoints:
    """What a detector sees beyond the pose's skeleton (heels, toes, hands), in metres in the camera frame."""

    skeleton: Skeleton
    joints_cam_m: Float[np.ndarray, "joint 3"]

    def __post_init__(self) -> None:
        _set(self, joints_cam_m=_points("extra.joints_cam_m", self.joints_cam_m, len(self.skeleton), 3))


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """One person's absolute pose in one image.

    joints_cam_m: metres, camera frame. keypoints_px, confidence: the 2D keypoints it came from, in the same skeleton.
    root_depth_canonical: depth of the root over the focal length, m/px; None for a lens without one focal length.
    box_px: (x0, y0, x1, y1). sigma_m: standard deviation per joint and axis. mesh: the name of a file.
    plausibility: share of real poses (0 to 1) that a prior of poses finds less likely than this one.
    """

    joints_cam_m: Float[np.ndarray, "joint 3"]
    keypoints_px: Float[np.ndarray, "joint 2"]
    confidence: Float[np.ndarray, " joint"]
    score: float
    root_depth_canonical: float | None
    id: int | None = None
    box_px: Float[np.ndarray, " 4"] | None = None
    sigma_m: Float[np.ndarray, "joint 3"] | None = None
    hypotheses: tuple[Hypothesis, ...] | None = None
    extra: ExtraJoints | None = None
    mesh: str | None = None
    plausibility: float | None = None

    def __post_init__(self) -> None:
        _set(self, id=_id(self.id), score=_finite("score", self.score))
        if self.plausibility is not None:
            _set(self, plausibility=_finite("plausibility", self.plausibility))
            if not 0 <= self.plausibility <= 1:
                raise ValueError(f"plausibility: expected a share of 0…1, got {self.plausibility}")
        _set(self, joints_cam_m=_points("joints_cam_m", self.joints_cam_m, None, 3))
        joints = len(self.joints_cam_m)
        _set(self, keypoints_px=_points("keypoints_px", self.keypoints_px, joints, 2))
        _set(self, confidence=_confidence(self.confidence, self.keypoints_px))
        _set(self, root_depth_canonical=_positive("root_depth_canonical", self.root_depth_canonical))
        if self.box_px is not None:
            _set(self, box_px=_box(self.box_px))
        if self.sigma_m is not None:
            _set(self, sigma_m=_points("sigma_m", self.sigma_m, joints, 3))
            if (self.sigma_m < 0).any():
                raise ValueError(f"sigma_m: expected no negative standard deviation, got {np.nanmin(self.sigma_m)}")
        if self.hypotheses is not None:
            _set(self, hypotheses=tuple(self.hypotheses))
            for hypothesis in self.hypotheses:
                _points("hypotheses: joints_cam_m", hypothesis.joints_cam_m, joints, 3)
        _check_name("mesh", self.mesh)


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseFrame:
    """The people of one image. `camera` stands here only where it differs from that of the whole `Poses`."""

    index: int
    people: tuple[Person, ...] = ()
    time_s: float | None = None
    file: str | None = None
    camera: Camera | None = None

    def __post_init__(self) -> None:
        _set(self, index=_whole("index", self.index, 0), people=tuple(self.people))
        if self.time_s is not None:
            _set(self, time_s=_finite("time_s", self.time_s))
        _check_name("file", self.file)
        _check_ids(self.people, self.index)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How the absolute scale was fixed: where the focal length and the body's size came from."""

    source: ScaleSource
    body: ScaleBody
    note: str | None = None

    def __post_init__(self) -> None:
        for name, choices in (("source", get_args(ScaleSource)), ("body", get_args(ScaleBody))):
            if getattr(self, name) not in choices:
                raise ValueError(f"scale.{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        _check_name("scale.note", self.note)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Which method and weights made the poses; `details` holds short texts and numbers and cannot be changed.

    A method whose `sigma_m` is another spread than the half-width that holds 68 % of the errors says there which one.
    """

    method: str
    weights: str | None = None
    version: str | None = None
    details: Mapping[str, str | float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not self.method:
            raise ValueError("model.method: expected a name, got an empty text")
        _check_name("model.weights", self.weights)
        _check_name("model.version", self.version)
        for key, value in self.details.items():
            finite = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not finite and not isinstance(value, str):
                raise ValueError(f"model.details[{key!r}]: expected a text or a finite number, got {value!r}")
        _set(self, details=MappingProxyType(dict(self.details)))

    @property
    def sigma_in_words(self) -> str | None:
        """Which spread `sigma_m` is, where it is not meant to hold 68 % of the errors; None where it is."""
        return str(self.details["sigma_m"]) if "sigma_m" in self.details else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "details": dict(self.details)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, details=MappingProxyType(state["details"]))


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """The ground as the camera sees it.

    up_cam: unit vector against gravity. floor_cam: the plane (n, d) with |n| = 1, where n · x + d is the height in
    metres of a camera-frame point x above the floor.
    """

    up_cam: Float[np.ndarray, " 3"]
    floor_cam: Float[np.ndarray, " 4"]

    def __post_init__(self) -> None:
        _set(self, up_cam=_array("up_cam", self.up_cam, (3,)), floor_cam=_array("floor_cam", self.floor_cam, (4,)))
        for name, vector in (("up_cam", self.up_cam), ("floor_cam's normal", self.floor_cam[:3])):
            if not abs(float(np.linalg.norm(vector)) - 1) < 1e-3:
                raise ValueError(f"{name}: expected a unit vector, got {vector.tolist()}")
        if not math.isfinite(self.floor_cam[3]):
            raise ValueError(f"floor_cam: expected four finite numbers, got {self.floor_cam.tolist()}")


class StackedPoses(NamedTuple):
    """All people of a `Poses` as arrays, one row per person; `person_id` is −1 where there is none."""

    joints_cam_m: Float[np.ndarray, "person joint 3"]
    frame_index: Int[np.ndarray, " person"]
    person_id: Int[np.ndarray, " person"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Poses:
    """Absolute 3D poses of a photo, a folder or video, and how their scale was fixed; the frames' `index` rises."""

    skeleton: Skeleton
    camera: Camera
    scale: Scale
    model: ModelInfo
    frames: tuple[PoseFrame, ...]
    fps: float | None = None
    world: World | None = None

    def __post_init__(self) -> None:
        _set(self, frames=tuple(self.frames), fps=_positive("fps", self.fps))
        _check_rising(self.frames)
        for frame, person in self.people():
            _check_joints(len(person.joints_cam_m), self.skeleton, frame.index)
        for camera in (self.camera, *(frame.camera for frame in self.frames if frame.camera is not None)):
            if tuple(camera.batch_shape):
                raise ValueError(f"camera: expected a single one, got a batch of shape {tuple(camera.batch_shape)}")

    def people(self) -> Iterator[tuple[PoseFrame, Person]]:
        """Every person with the frame, in order."""
        return ((frame, person) for frame in self.frames for person in frame.people)

    def camera_of(self, frame: PoseFrame) -> Camera:
        """The camera that took this frame: its own where it has one, else the common one."""
        return self.camera if frame.camera is None else frame.camera

    def stacked(self) -> StackedPoses:
        """All people as arrays, one row per person."""
        joints = np.array([person.joints_cam_m for _, person in self.people()], dtype=np.float64)
        return StackedPoses(joints.reshape(-1, len(self.skeleton), 3), *_frame_and_id(self.people()))


def _set(value: Any, **fields: Any) -> None:
    """Store checked fields in a frozen dataclass that is being constructed."""
    for name, content in fields.items():
        object.__setattr__(value, name, content)


def _array(name: str, value: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """A read-only float64 copy of `value`, whose shape must be `shape` (None is any length)."""
    try:
        array = np.asarray(value, dtype=np.float64).copy()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected an array of numbers, got {type(value).__name__}") from error
    if array.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("n" if length is None else str(length) for length in shape)
        raise ValueError(f"{name}: expected shape ({wanted}), got {array.shape}")
    array.setflags(write=False)
    return array


def _points(name: str, value: Any, joints: int | None, axes: int) -> np.ndarray:
    """Points (joint, axis), each finite or NaN throughout."""
    points = _array(name, value, (joints, axes))
    if not np.isfinite(points).all():
        missing = np.isnan(points)
        if np.isinf(points).any() or (missing.any(axis=1) != missing.all(axis=1)).any():
            raise ValueError(f"{name}: expected each point finite or NaN throughout, got infinite or half-missing ones")
    return points


def _confidence(value: Any, keypoints_px: np.ndarray) -> np.ndarray:
    confidence = _array("confidence", value, (len(keypoints_px),))
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(f"confidence: expected numbers in 0…1, got {confidence.tolist()}")
    if (np.isnan(keypoints_px[:, 0]) & (confidence > 0)).any():
        raise ValueError("confidence: expected 0 where the keypoint is missing (NaN), got more")
    return confidence


def _box(value: Any) -> np.ndarray:
    box = _array("box_px", value, (4,))
    if not (np.isfinite(box).all() and (box[:2] <= box[2:]).all()):
        raise ValueError(f"box_px: expected finite x0 ≤ x1 and y0 ≤ y1, got {box.tolist()}")
    return box


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}")
    return float(value)


def _positive(name: str, value: float | None) -> float | None:
    if value is not None and not 0 < value < math.inf:
        raise ValueError(f"{name}: expected a finite number above 0, got {value}")
    return None if value is None else float(value)


def _whole(name: str, value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(f"{name}: expected a whole number of at least {low}, got {value!r}")
    return int(value)


def _id(value: Any) -> int | None:
    return None if value is None else _whole("id", value, 0)


def _image_size(value: Iterable[int]) -> tuple[int, int]:
    sides = tuple(value)
    if len(sides) != 2:
        raise ValueError(f"image_size: expected (width, height), got {sides}")
    return _whole("image_size: width", sides[0], 1), _whole("image_size: height", sides[1], 1)


def _check_name(name: str, value: str | None) -> None:
    if value == "":
        raise ValueError(f"{name}: expected a text or None, got an empty text")


def _check_ids(people: Iterable[Any], index: int) -> None:
    ids = [person.id for person in people if person.id is not None]
    if len(set(ids)) < len(ids):
        raise ValueError(f"frame {index}: expected each person id once, got {ids}")


def _check_rising(frames: tuple[Any, ...]) -> None:
    for before, after in zip(frames, frames[1:], strict=False):
        if after.index <= before.index:
            raise ValueError(f"frames: expected a rising index, got {after.index} after {before.index}")


def _check_joints(count: int, skeleton: Skeleton, index: int) -> None:
    if count != len(skeleton):
        raise ValueError(f"frame {index}: expected {len(skeleton)} joints ({skeleton.name}), got {count}")


def _frame_and_id(people: Iterable[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = [(frame.index, -1 if person.id is None else person.id) for frame, person in people]
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
