"""The main job: 2D keypoints and a camera → absolute 3D poses in metres, in the camera's frame."""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline import __version__
from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.camera import read_camera
from sightline.formats.detections import read_detections
from sightline.formats.weights import Passport
from sightline.methods.abspose.decode import RootRule, decode, flipped_average, points_from_keypoints
from sightline.methods.abspose.model import AbsPoseLifter, Lifted
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS, load_abspose
from sightline.nn.device import torch_device
from sightline.skeleton import Conversion, conversion, get_skeleton
from sightline.structures import (
    HEIGHT_RANGE_M,
    KeypointFrame,
    Keypoints,
    ModelInfo,
    Person,
    PersonKeypoints,
    PoseFrame,
    Poses,
    Scale,
    ScaleBody,
    ScaleSource,
    World,
)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A person who could not be lifted, and why."""

    frame: int
    id: int | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class LiftResult:
    """Poses, and all that a careful user wants to know about how they came about."""

    poses: Poses
    conversion: Conversion
    skipped: tuple[Skipped, ...]

    @property
    def lifted(self) -> int:
        """Number of people lifted over all frames."""
        return sum(len(frame.people) for frame in self.poses.frames)

    def skipped_in_words(self) -> str:
        """Return one sentence about those who could not be lifted; empty where everybody was."""
        if not self.skipped:
            return ""
        total = self.lifted + len(self.skipped)
        reasons = "; ".join(f"{count} × {reason}" for reason, count in Counter(s.reason for s in self.skipped).items())
        return f"{len(self.skipped)} of {total} people could not be lifted: {reasons}"


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One person on the way through the network, in the lifter's own joints."""

    frame: int
    person: PersonKeypoints
    seen: PersonKeypoints
    """The person as the detector gave them, in its own joints."""
    ideal_px: np.ndarray
    """The person's keypoints as a lens without distortion would show them, (joint, 2)."""


class Lifter:
    """A trained AbsPoseLifter, loaded once and used for many files or frames.

    Args:
        weights: name of weights inside the package, or the path of a passport.
        device: PyTorch device that the network runs on.
        batch_size: people per pass of the network.
        root: where the root comes from; "learned" is the network's own.
        flip: also lift the mirrored pose and average, which costs one more pass and lowers errors a little.
    """

    def __init__(
        self,
        weights: str | Path = DEFAULT_WEIGHTS,
        *,
        device: str = "cpu",
        batch_size: int = 1024,
        root: RootRule = "learned",
        flip: bool = True,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
        if root not in get_args(RootRule):
            raise UsageError(f"root: expected one of {', '.join(get_args(RootRule))}, got '{root}'")
        self.network, self.passport = load_abspose(weights)
        self.device = torch_device(device)
        self.network.to(self.device)
        self.batch_size, self.flip = batch_size, flip
        self.root: RootRule = root
        self.skeleton = get_skeleton("h36m17")

    @property
    def model(self) -> ModelInfo:
        """Method and weights, as the results tell them."""
        return _model_info(self.network, self.passport, self.root)

    @property
    def mean_stature_m(self) -> float | None:
        """The stature (m) that stands in where no height is given; None where the weights learned sizes in metres."""
        return self.network.config.mean_stature_m if self.network.config.unit == "stature" else None

    def lift(
        self,
        keypoints: Keypoints,
        camera: Camera,
        *,
        height_m: float | None = None,
        scale_source: ScaleSource = "calibrated_focal",
        progress: Callable[[int, int], None] | None = None,
    ) -> LiftResult:
        """Lift all people of all frames.

        Args:
            keypoints: 2D poses in any joint set that converts to `h36m17`.
            camera: the camera that took the pictures; another resolution of the same aspect is scaled.
            height_m: barefoot stature of everybody whose keypoints do not say their own.
            scale_source: how the focal length is known; kept in the result.
            progress: called with the number of people done and of all.

        Raises:
            ValueError: if the camera's picture has another aspect than the keypoints', or no joint set fits.
            UsageError: for a stature that no person has, or that these weights cannot use.
        """
        self._check_height(height_m)
        if camera.batch_shape != ():
            raise ValueError(f"camera: expected one camera, got a batch of {tuple(camera.batch_shape)}")
        camera = camera.scaled_to(keypoints.image_size)
        rule = conversion(keypoints.skeleton, self.skeleton)
        rows, skipped = self._usable(keypoints, camera, rule)
        people = list(self._people(rows, camera, height_m, progress))
        skipped += [_unplaced(row) for row, person in zip(rows, people, strict=True) if person is None]
        rows = [row for row, person in zip(rows, people, strict=True) if person is not None]
        frames = _frames(keypoints, rows, [person for person in people if person is not None])
        scale = self._scale([row.person.height_m or height_m for row in rows], scale_source)
        poses = Poses(
            skeleton=self.skeleton,
            camera=camera,
            scale=scale,
            model=self.model,
            frames=frames,
            fps=keypoints.fps,
            world=_world(camera),
        )
        return LiftResult(poses=poses, conversion=rule, skipped=tuple(sorted(skipped, key=lambda one: one.frame)))

    def _check_height(self, height_m: float | None) -> None:
        low, high = HEIGHT_RANGE_M
        if height_m is not None and not low <= height_m <= high:
            raise UsageError(f"height_m: expected a stature of {low} to {high} m, got {height_m}")
        if height_m is not None and self.network.config.unit == "metre":
            raise UsageError(
                f"height_m: the weights '{self.passport.name}' cannot use it, they learned body size itself"
            )

    def _scale(self, heights: list[float | None], source: ScaleSource) -> Scale:
        """How the scale was fixed; weights that learned lengths in metres have no use for the people's heights."""
        if self.network.config.unit == "stature":
            body = _body_source(heights)
            mean = self.network.config.mean_stature_m
            note = None if body == "given_height" else f"where no height is given, a stature of {mean:.2f} m stands in"
            return Scale(source=source, body=body, note=note)
        given = any(height is not None for height in heights)
        return Scale(
            source=source, body="learned", note="given heights cannot be used by these weights" if given else None
        )

    def _usable(self, keypoints: Keypoints, camera: Camera, rule: Conversion) -> tuple[list[_Row], list[Skipped]]:
        """Convert everybody to the lifter's joints; set those aside who lack one, or whom the lens cannot place."""
        rows: list[_Row] = []
        skipped: list[Skipped] = []
        seen = [(frame, person) for frame, person in keypoints.people()]
        if not seen:
            return rows, skipped
        points, confidence = rule.apply(
            np.stack([person.keypoints_px for _, person in seen]), np.stack([person.confidence for _, person in seen])
        )
        assert confidence is not None  # it was given
        ideal, placed = (value.numpy() for value in camera.undistort(torch.from_numpy(np.nan_to_num(points))))
        for row, (frame, person) in enumerate(seen):
            missing = ~np.isfinite(points[row]).all(-1)
            if missing.any() or not placed[row].all():
                reason = self._reason(missing, keypoints)
                skipped.append(Skipped(frame=frame.index, id=person.id, reason=reason))
                continue
            converted = PersonKeypoints(
                id=person.id, keypoints_px=points[row], confidence=confidence[row], height_m=person.height_m
            )
            rows.append(_Row(frame=frame.index, person=converted, seen=person, ideal_px=ideal[row]))
        return rows, skipped

    def _reason(self, missing: Float[np.ndarray, "joint"] | np.ndarray, keypoints: Keypoints) -> str:
        names = [name for name, gone in zip(self.skeleton.joints, missing, strict=True) if gone]
        if not names:
            return "keypoints lie where the lens model is not defined"
        if len(names) == len(self.skeleton):
            return "no joint was seen"
        return f"missing {', '.join(names)} (this lifter needs every joint of {self.skeleton.name})"

    def _people(
        self, rows: list[_Row], camera: Camera, height_m: float | None, progress: Callable[[int, int], None] | None
    ) -> Iterator[Person | None]:
        """Lift row by row, in order; None for whom no place in front of the camera was found."""
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            heights = [np.nan if (h := row.person.height_m or height_m) is None else h for row in part]
            joints = self.lift_array(
                torch.from_numpy(np.stack([row.ideal_px for row in part])),
                camera.undistorted(),
                torch.tensor(heights, dtype=torch.float64),
            ).numpy()
            for row, joints_cam in zip(part, joints, strict=True):
                placed = np.isfinite(joints_cam).all() and joints_cam[0, 2] > 0
                yield _person(row, joints_cam, camera) if placed else None
            if progress is not None:
                progress(start + len(part), len(rows))

    @torch.no_grad()
    def lift_array(
        self,
        keypoints_px: Float[Tensor, "batch joint 2"],
        camera: Camera,
        stature_m: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch joint 3"]:
        """Lift `h36m17` keypoints (px, corner origin) that are all there; metres, the camera's frame.

        The inner loop of `lift`, without structures: for those who stream. Statures are NaN or None where unknown.
        """
        points, _ = points_from_keypoints(keypoints_px, camera, self.network.config)
        points = points.float().to(self.device)
        lifted = flipped_average(self.network, points) if self.flip else self.network(points)
        lifted = Lifted(*(value.to("cpu", keypoints_px.dtype) for value in lifted))
        return decode(lifted, keypoints_px, camera, self.network.config, stature_m, root=self.root)


def lift(
    keypoints: Keypoints | str | Path,
    camera: Camera | str | Path,
    *,
    height_m: float | None = None,
    weights: str | Path = DEFAULT_WEIGHTS,
    device: str = "cpu",
) -> Poses:
    """Lift 2D keypoints to absolute 3D poses in the camera's frame (metres).

    Args:
        keypoints: keypoints, or the path of a keypoint file or folder of Sightline, COCO, OpenPose, MMPose, AlphaPose
            or MediaPipe; where it does not say the size of its pictures, that of the camera's is taken.
        camera: camera, or the path of a camera file.
        height_m: barefoot stature of the people, where known: it fixes the scale, which is learned otherwise.
        weights: name or passport of the weights.
        device: PyTorch device of the network.

    Raises:
        InputError: if a file is broken, or there were people but none of them could be lifted.
        ValueError: if the camera's picture has another aspect than the keypoints'.

    Warns:
        UserWarning: if some of the people could not be lifted (a joint is missing).
    """
    if isinstance(camera, (str, Path)):
        camera = read_camera(camera)
    if isinstance(keypoints, (str, Path)):
        found = read_detections(keypoints)
        width, height = (round(side) for side in camera.image_size.flatten()[:2].tolist())
        keypoints = found.keypoints(found.image_size or (width, height))
    result = _loaded(str(weights), device).lift(keypoints, camera, height_m=height_m)
    if result.skipped and not result.lifted:
        raise InputError(result.skipped_in_words())
    if result.skipped:
        warnings.warn(result.skipped_in_words(), UserWarning, stacklevel=2)
    return result.poses


@functools.lru_cache(maxsize=4)
def _loaded(weights: str, device: str) -> Lifter:
    return Lifter(weights, device=device)


def _unplaced(row: _Row) -> Skipped:
    return Skipped(frame=row.frame, id=row.person.id, reason="no place in front of the camera fits such keypoints")


def _person(row: _Row, joints_cam: Float[np.ndarray, "joint 3"], camera: Camera) -> Person:
    focal = camera.canonical_focal_px
    seen = row.seen.keypoints_px[np.isfinite(row.seen.keypoints_px).all(-1)]
    return Person(
        id=row.person.id,
        score=float(row.person.confidence.mean()),
        joints_cam_m=joints_cam,
        root_depth_canonical=None if focal is None else float(joints_cam[0, 2] / float(focal)),
        box_px=np.concatenate([seen.min(0), seen.max(0)]),
        keypoints_px=row.person.keypoints_px,
        confidence=row.person.confidence,
    )


def _frames(keypoints: Keypoints, rows: list[_Row], people: list[Person]) -> tuple[PoseFrame, ...]:
    by_frame: dict[int, list[Person]] = {}
    for row, person in zip(rows, people, strict=True):
        by_frame.setdefault(row.frame, []).append(person)

    def time_s(frame: KeypointFrame) -> float | None:
        return None if keypoints.fps is None else frame.index / keypoints.fps

    return tuple(
        PoseFrame(index=frame.index, time_s=time_s(frame), people=tuple(by_frame.get(frame.index, ())))
        for frame in keypoints.frames
    )


def _body_source(heights: list[float | None]) -> ScaleBody:
    given = sum(height is not None for height in heights)
    if given == 0:
        return "learned"
    return "given_height" if given == len(heights) else "mixed"


def _model_info(network: AbsPoseLifter, passport: Passport, root: RootRule) -> ModelInfo:
    config = network.config
    details = {
        "root": root,
        "canonical_depth": "derived through the focal length" if config.coordinates == "rays" else "learned",
        "mean_stature_m": config.mean_stature_m,
    }
    return ModelInfo(method="abspose", weights=passport.name, version=__version__, details=details)


def _world(camera: Camera) -> World | None:
    """Gravity and floor of a camera that knows its world, which has z up and its floor at z = 0."""
    if camera.rotation is None or camera.translation_m is None:
        return None
    up_cam = camera.rotation[:, 2].double().numpy()
    height = -float(up_cam @ camera.translation_m.double().numpy())
    return World(up_cam=up_cam, floor_cam=np.append(up_cam, height))
