"""PersPose as an estimator: everybody's box, the picture and its camera → joints in metres in the camera's frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float

from sightline import __version__
from sightline.camera import Camera
from sightline.detect.protocol import Detection
from sightline.errors import InputError, UsageError
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.lifter.result import canonical_depth, world_of
from sightline.methods.perspose.boxes import SURE, outlines
from sightline.methods.perspose.flip import flip_averaged
from sightline.methods.perspose.samples import Person as Subject
from sightline.methods.perspose.samples import samples
from sightline.methods.perspose.weights import load_perspose
from sightline.nn.backbones import as_input
from sightline.nn.device import torch_device
from sightline.pipeline import Skipped
from sightline.prediction.estimator import Found, Placed, SeesPixels
from sightline.prediction.sizes import stature_ratio
from sightline.skeleton import Conversion, Skeleton, conversion, get_skeleton
from sightline.structures import ExtraJoints, ModelInfo, Person, PoseFrame

JOINT_SETS: Final = ("h36m17", "smpl24")
"""What poses are told in: the first of which the network knows all joints."""
BEYOND: Final = "mediapipe33"
"""Face, hands and feet, told as extra joints by a network that knows all of them."""
NO_BOX: Final = "neither a box nor joints say where they are"
NO_CROP: Final = "the box lies where the camera cannot see"
BEHIND: Final = "the network places them behind the camera"


class PersPoseEstimator(SeesPixels):
    """Places people by what a PersPose network sees of them in the picture.

    Poses are those of `h36m17` where the network knows all of its joints, else, as of the paper's own network, those
    of `smpl24`. A network that knows face, hands and feet too tells them as `extra`, in the joints of `mediapipe33`;
    `predict --mesh` lays bodies along them. Keypoints are what the detector saw, as with lifters. An assumed focal
    length is told to the network like a known one: crops are cut by it as well.

    Args:
        weights: name of weights inside the package, or the path of a passport.
        device: PyTorch device that the network runs on.
        batch_size: people per pass of the network.
        flip: also ask about the mirrored crop and average, which costs one more pass and lowers errors a little.

    Raises:
        UsageError: if there are no such weights, or no such device.
        InputError: if the files are broken, or the network knows the joints of neither set.
    """

    def __init__(self, weights: str | Path, *, device: str = "cpu", batch_size: int = 32, flip: bool = True) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
        self.device, self.batch_size, self.flip = torch_device(device), batch_size, flip
        network, self.passport = load_perspose(weights)
        self.network = network.to(self.device)
        known = network.config.landmarks
        told = next((name for name in JOINT_SETS if not missing_joints(name, known)), None)
        if told is None:
            raise InputError(
                f"weights '{self.passport.name}': expected a network that knows "
                f"{', '.join(missing_joints(JOINT_SETS[0], known))} too, for {JOINT_SETS[0]}, or all joints of "
                f"{JOINT_SETS[1]}"
            )
        self.skeleton: Skeleton = get_skeleton(told)
        self.beyond: Skeleton | None = None if missing_joints(BEYOND, known) else get_skeleton(BEYOND)
        told_rows = (*rows_of(self.skeleton), *(() if self.beyond is None else rows_of(self.beyond)))
        self._rows = [known.index(ALL_LANDMARKS[row]) for row in told_rows]

    @property
    def model(self) -> ModelInfo:
        """Method and weights, as the results tell them."""
        return ModelInfo(method="perspose", weights=self.passport.name, version=__version__)

    def place(
        self, frames: Sequence[Found], seen: Skeleton, *, fps: float | None = None, height_m: float | None = None
    ) -> Placed:
        """Look at everybody in frames that one camera took; see `Estimator`."""
        del fps
        camera, rule = _camera(frames[0]), _rule(seen, self.skeleton)
        everybody = [
            (row, place, body_box(one, seen))
            for row, frame in enumerate(frames)
            for place, one in enumerate(frame.detections)
        ]
        asked = [(frames[row].source.pixels, box) for row, _, box in everybody if box is not None]
        told = iter(self._joints(asked, camera))
        people: list[list[Person]] = [[] for _ in frames]
        skipped: list[Skipped] = []
        for row, place, box in everybody:
            frame = frames[row]
            points = None if box is None else next(told)
            if box is None or points is None or not np.isfinite(points).all() or points[0, 2] <= 0:
                skipped.append(Skipped(frame=frame.source.index, id=place, reason=_reason(points)))
                continue
            height = frame.detections[place].height_m or height_m
            if height is not None:
                points = points * stature_ratio(points[: len(self.skeleton)], self.skeleton, height)
            joints, rest = np.split(points, [len(self.skeleton)])
            extra = None if self.beyond is None else ExtraJoints(skeleton=self.beyond, joints_cam_m=rest)
            people[row].append(_person(joints, extra, box, place, frame, camera, rule))
        return Placed(
            tuple(
                PoseFrame(index=frame.source.index, time_s=frame.source.time_s, people=tuple(its))
                for frame, its in zip(frames, people, strict=True)
            ),
            tuple(skipped),
            world_of(camera),
        )

    @torch.inference_mode()
    def _joints(
        self, subjects: Sequence[tuple[np.ndarray, np.ndarray]], camera: Camera
    ) -> Float[np.ndarray, "person point 3"]:
        """Joints and those beyond (m, the camera's frame) of people in boxes; NaN for whom there is no crop."""
        found = [np.empty((0, len(self._rows), 3))]
        for start in range(0, len(subjects), self.batch_size):
            part = subjects[start : start + self.batch_size]
            people = [(pixels, Subject(box_px=box, camera=camera)) for pixels, box in part]
            batch = samples(people, self.network.config)
            image, intrinsics = as_input(batch.crops).to(self.device), batch.views.intrinsics.to(self.device)
            answers = flip_averaged(self.network, image, intrinsics) if self.flip else self.network(image, intrinsics)
            answers = type(answers)(*(part.cpu() for part in answers))
            joints = answers.joints_in_camera(batch.views)[:, self._rows]
            found.append(torch.where(batch.views.valid[:, None, None], joints, torch.nan).double().numpy())
        return np.concatenate(found)


def missing_joints(joint_set: str, known: Sequence[str]) -> list[str]:
    """Return the landmarks of a joint set that are not among those known."""
    return [ALL_LANDMARKS[row] for row in rows_of(get_skeleton(joint_set)) if ALL_LANDMARKS[row] not in known]


def _reason(joints: Float[np.ndarray, "point 3"] | None) -> str:
    """Why somebody is not placed, of whom these joints were told, or none."""
    if joints is None:
        return NO_BOX
    return BEHIND if np.isfinite(joints).all() else NO_CROP


def _camera(frame: Found) -> Camera:
    """The camera of a frame at the size of its picture."""
    return frame.known.camera.scaled_to(frame.image_size)


def body_box(detection: Detection, seen: Skeleton, sure: float = SURE) -> Float[np.ndarray, "4"] | None:
    """Return the box (px: left, top, right, bottom) of somebody's outline: the detector's, or their joints', grown.

    Joints that the detector is not sure of do not count, unless there are no others. None where nothing was seen.

    Args:
        detection: who was seen.
        seen: the joint set of the detector.
        sure: the confidence from which on joints count.
    """
    known = np.isfinite(detection.keypoints_px).all(-1) & (detection.confidence > 0)
    certain = known & (detection.confidence >= sure)
    landmarks = np.full((1, len(ALL_LANDMARKS), 2), np.nan)
    chosen = certain if certain.sum() >= 2 else known
    landmarks[0, list(rows_of(seen))] = np.where(chosen[:, None], detection.keypoints_px, np.nan)
    given = np.full(4, np.nan) if detection.box_px is None else np.asarray(detection.box_px, np.float64)
    (box,) = outlines(given[None], landmarks)
    return box if np.isfinite(box).all() else None


def _person(
    joints: Float[np.ndarray, "joint 3"],
    extra: ExtraJoints | None,
    box: Float[np.ndarray, "4"],
    place: int,
    frame: Found,
    camera: Camera,
    rule: Conversion | None,
) -> Person:
    """One person; keypoints are those that the detector saw, where it saw any."""
    detection, points, confidence = frame.detections[place], np.full((len(joints), 2), np.nan), np.zeros(len(joints))
    if rule is not None:
        seen, sure = rule.apply(detection.keypoints_px[None], detection.confidence[None])
        assert sure is not None  # it was given
        points, confidence = seen[0], sure[0]
    return Person(
        id=place,
        score=float(detection.score),
        joints_cam_m=joints,
        extra=extra,
        root_depth_canonical=canonical_depth(joints, camera),
        box_px=box,
        keypoints_px=points,
        confidence=confidence,
    )


def _rule(seen: Skeleton, skeleton: Skeleton) -> Conversion | None:
    """How a detector's joints become those of the poses; None where they cannot, which hinders nothing here."""
    try:
        return conversion(seen, skeleton)
    except ValueError:
        return None
