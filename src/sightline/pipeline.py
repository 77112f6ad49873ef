"""The main job: 2D keypoints and a camera → absolute 3D poses in metres, in the camera's frame, steady over time."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.camera import read_camera
from sightline.formats.detections import read_detections
from sightline.gravity import Tilt
from sightline.lifter import Lifter, LiftResult, Skipped
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS
from sightline.methods.deeplift.judging import judged
from sightline.structures import KeypointFrame, Keypoints, Poses, ScaleSource
from sightline.temporal.keypoint_repair import RepairReport, repaired
from sightline.temporal.smoothing import smoothed
from sightline.tracking import Tracker

__all__ = ["FilmResult", "LiftResult", "Lifter", "Skipped", "Smoothing", "lift", "lift_film", "with_ids"]

Smoothing = Literal["offline", "online", "off"]
"""How time is used: the whole film at once, without lag; only what has been; or not at all."""


def check_smoothing(smoothing: str | None) -> None:
    """Raise `UsageError` for a way to use time that does not exist."""
    if smoothing is not None and smoothing not in get_args(Smoothing):
        raise UsageError(f"smoothing: expected one of {', '.join(get_args(Smoothing))}, got '{smoothing}'")


@dataclass(frozen=True, kw_only=True)
class FilmResult(LiftResult):
    """Poses that are steady over time, and what was done to the keypoints before they were lifted."""

    repairs: RepairReport | None = None
    """None where time was not used."""
    smoothing: Smoothing = "off"


def lift_film(
    lifter: Lifter,
    keypoints: Keypoints,
    camera: Camera,
    *,
    smoothing: Smoothing | None = None,
    height_m: float | None = None,
    scale_source: ScaleSource = "calibrated_focal",
    progress: Callable[[int, int], None] | None = None,
) -> FilmResult:
    """Lift all people of all frames, and use that they are the same people from frame to frame.

    Whoever has no id gets one (`Tracker`), where left and right were exchanged they are put right and joints that are
    far off are left out (`KeypointRepair`), and the poses are smoothed with bones that keep their lengths
    (`PoseSmoother`).

    Args:
        lifter: lifts frame by frame.
        keypoints: 2D poses; photos (no frame rate) are lifted one by one.
        camera: the camera that took the pictures.
        smoothing: how time is used, which takes a frame rate; None is "offline" for films and "off" for photos.
        height_m: barefoot stature of everybody whose keypoints do not say their own.
        scale_source: how the focal length is known; kept in the result.
        progress: called with the number of people done and of all.

    Raises:
        ValueError, UsageError: as `Lifter.lift` does.
    """
    check_smoothing(smoothing)
    if smoothing is None:
        smoothing = "off" if keypoints.fps is None else "offline"
    facts: dict[str, Any] = {"height_m": height_m, "scale_source": scale_source}
    if smoothing != "off" and keypoints.fps is None:
        raise UsageError(f"smoothing: '{smoothing}' needs keypoints with a frame rate, these have none")
    if smoothing == "off":
        result = lifter.lift(keypoints, camera, progress=progress, **facts)
        return FilmResult(**vars(result))
    if any(person.id is None for _, person in keypoints.people()):
        keypoints = with_ids(lifter, keypoints, camera, **facts)
    detected = keypoints
    keypoints, repairs = repaired(detected, lag_frames=None if smoothing == "offline" else 0)
    result = lifter.lift(keypoints, camera, plausibility=False, progress=progress, **facts)
    as_detected = _taken_back(keypoints, detected, {(person.frame, person.id) for person in result.skipped})
    if as_detected:
        frames = tuple(as_detected.values())
        again = lifter.lift(replace(keypoints, frames=frames), camera, plausibility=False, **facts)
        lifted = {frame.index: frame for frame in again.poses.frames}
        frames = tuple(lifted.get(frame.index, frame) for frame in result.poses.frames)
        skipped = [person for person in result.skipped if person.frame not in lifted] + list(again.skipped)
        skipped.sort(key=lambda person: person.frame)
        result = replace(result, poses=replace(result.poses, frames=frames), skipped=tuple(skipped))
    sized = {person.id for _, person in keypoints.people() if person.id is not None and person.height_m is not None}
    if height_m is not None:
        sized = {person.id for _, person in keypoints.people() if person.id is not None}
    poses = smoothed(result.poses, mode=smoothing, fixed_size_ids=frozenset(sized))
    poses = replace(poses, frames=judged(poses.frames))
    facts = vars(replace(result, poses=poses))
    return FilmResult(**facts, repairs=repairs, smoothing=smoothing)


def _taken_back(
    keypoints: Keypoints, detected: Keypoints, lost: set[tuple[int, int | None]]
) -> dict[int, KeypointFrame]:
    """Repaired frames, by index, with people (frame, id) who cannot be lifted from them as they were detected.

    A joint that the repair has left out may be one that the weights need. Only frames in which that changes somebody.
    """
    found = {}
    for frame, before in zip(keypoints.frames, detected.frames, strict=True):
        pairs = list(zip(frame.people, before.people, strict=True))
        people = tuple(old if (frame.index, new.id) in lost else new for new, old in pairs)
        if any(person is not new for person, (new, _) in zip(people, pairs, strict=True)):
            found[frame.index] = replace(frame, people=people)
    return found


def with_ids(lifter: Lifter, keypoints: Keypoints, camera: Camera, **facts: Any) -> Keypoints:
    """Give people of a film without id one that lasts, by where they stand in 2D and 3D; those who have one keep it.

    Args:
        lifter: tells where they stand.
        keypoints: of a film. Whoever cannot be lifted and has no id stays without.
        camera: the camera that took the pictures.
        facts: what else `Lifter.lift` takes.
    """
    tracker = Tracker(lifter.skeleton)
    lifted = lifter.lift(_numbered(keypoints), camera, plausibility=False, **facts).poses
    frames: list[KeypointFrame] = []
    for frame, poses in zip(keypoints.frames, lifted.frames, strict=True):
        rows = [person.id for person in poses.people if person.id is not None]
        taken = [one.id for row, one in enumerate(frame.people) if row not in rows and one.id is not None]
        sights = [replace(person, id=frame.people[row].id) for row, person in zip(rows, poses.people, strict=True)]
        named = tracker.update(sights, frame.index / (keypoints.fps or 30.0), taken=taken)
        people = list(frame.people)
        for row, person in zip(rows, named, strict=True):
            people[row] = replace(people[row], id=person.id)
        frames.append(replace(frame, people=tuple(people)))
    return replace(keypoints, frames=tuple(frames))


def _numbered(keypoints: Keypoints) -> Keypoints:
    """Everybody with their place in the frame as id, by which they are found again after lifting."""
    frames = (
        replace(frame, people=tuple(replace(person, id=row) for row, person in enumerate(frame.people)))
        for frame in keypoints.frames
    )
    return replace(keypoints, frames=tuple(frames))


def lift(
    keypoints: Keypoints | str | Path,
    camera: Camera | str | Path,
    *,
    height_m: float | None = None,
    smoothing: Smoothing | None = None,
    weights: str | Path = DEFAULT_WEIGHTS,
    tilt: Tilt | None = None,
    device: str = "cpu",
) -> Poses:
    """Lift 2D keypoints to absolute 3D poses in the camera's frame (metres).

    Args:
        keypoints: keypoints, or the path of a keypoint file or folder of Sightline, COCO, OpenPose, MMPose, AlphaPose
            or MediaPipe; where it does not say the size of its pictures, that of the camera's is taken.
        camera: camera, or the path of a camera file.
        height_m: barefoot stature of the people, where known: it fixes the scale, which is learned otherwise.
        smoothing: how time is used: "offline" (the whole film at once), "online" (only what has been) or "off"; None
            is "offline" where the keypoints have a frame rate.
        weights: name or passport of the weights.
        tilt: how a camera is tilted that does not know its place in the world, for weights that ask for it
            (`deeplift-mocap`); level by default.
        device: PyTorch device of the network.

    Raises:
        InputError: if a file is broken, or there were people but none of them could be lifted.
        ValueError: if the camera's picture has another aspect than the keypoints'.

    Warns:
        UserWarning: if some of the people could not be lifted (too few joints were seen).
    """
    if isinstance(camera, (str, Path)):
        camera = read_camera(camera)
    if isinstance(keypoints, (str, Path)):
        found = read_detections(keypoints)
        width, height = (round(side) for side in camera.image_size.flatten()[:2].tolist())
        keypoints = found.keypoints(found.image_size or (width, height))
    result = lift_film(_loaded(str(weights), device, tilt), keypoints, camera, smoothing=smoothing, height_m=height_m)
    if result.skipped and not result.lifted:
        raise InputError(result.skipped_in_words())
    if result.skipped:
        warnings.warn(result.skipped_in_words(), UserWarning, stacklevel=2)
    return result.poses


@functools.lru_cache(maxsize=4)
def _loaded(weights: str, device: str, tilt: Tilt | None) -> Lifter:
    return Lifter(weights, device=device, tilt=tilt)
