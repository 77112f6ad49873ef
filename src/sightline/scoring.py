"""Score anybody's poses against the truth: files or values in, an `Evaluation` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats import strict
from sightline.formats.npz import load_arrays
from sightline.formats.poses import read_poses
from sightline.formats.world import read_world
from sightline.metrics.evaluation import Evaluation, score
from sightline.metrics.matching import MAX_ROOT_DISTANCE_M, MatchBy, PoseRows, match_people
from sightline.metrics.protocols import Protocol, get_protocol
from sightline.skeleton import Conversion, conversion, get_skeleton
from sightline.structures import Poses
from sightline.world import WorldPoses

Prediction = str | Path | Poses | PoseRows
Truth = str | Path | Poses | WorldPoses | PoseRows

_PLAIN: Final[Mapping[str, tuple[str, int]]] = {  # name: (kinds of NumPy type, axes)
    "joints_cam_m": ("f", 3),
    "sigma_m": ("f", 3),
    "frame_index": ("iu", 1),
    "person_id": ("iu", 1),
    "action": ("U", 1),
    "skeleton": ("U", 0),
    "fps": ("fiu", 0),
}


def evaluate(
    prediction: Prediction,
    truth: Truth,
    *,
    protocol: str | Protocol = "h36m17",
    camera: Camera | None = None,
    match: MatchBy = "auto",
    max_root_distance_m: float = MAX_ROOT_DISTANCE_M,
    fps: float | None = None,
) -> Evaluation:
    """Compare predicted with true poses, per person, per action and in total.

    Both sides may be Sightline's poses (.json, .npz) or any tool's plain .npz with `joints_cam_m` (N, J, 3) in metres,
    camera frame (docs/metrics.md lists its other arrays). The truth may also be world poses, which the camera brings
    into its frame. Both are converted to the protocol's skeleton by joint name.

    Args:
        prediction: a path, or the value itself.
        truth: a path, or the value itself.
        protocol: one of `PROTOCOLS`, by name, or your own.
        camera: takes world poses into the camera's frame; None is the prediction's own, which may differ per frame.
        match: how people are paired; see `match_people`.
        max_root_distance_m: by distance, people further apart are different people.
        fps: frames per second for accelerations; None is what the two sides say.

    Raises:
        InputError: for what is wrong with the two inputs, or between them.
        UsageError: for an unknown protocol or way to match.
    """
    try:
        protocol = get_protocol(protocol) if isinstance(protocol, str) else protocol
    except ValueError as error:
        raise UsageError(str(error)) from error
    predicted = _read(prediction, "prediction")
    if isinstance(predicted, WorldPoses):
        raise InputError(f"{_named(prediction, 'prediction')}: expected poses in a camera's frame, got world poses")
    true = _read(truth, "truth")
    if isinstance(true, WorldPoses):
        true = _rows_from_world(true, _cameras(predicted, camera, _named(prediction, "prediction")))
    true_rows, predicted_rows = _rows(true), _rows(predicted)
    fps = _common_fps(predicted_rows, true_rows, fps)
    predicted_rows, predicted_rule = _converted(predicted_rows, protocol)
    true_rows, true_rule = _converted(true_rows, protocol)
    try:
        matching = match_people(predicted_rows, true_rows, by=match, max_root_distance_m=max_root_distance_m)
    except ValueError as error:
        wrong_call = match != "auto" or not max_root_distance_m > 0
        raise (UsageError if wrong_call else InputError)(str(error)) from error
    needed = {*protocol.joints, protocol.joint_set.joints[protocol.root_joint]}
    rules = {"prediction": predicted_rule, "truth": true_rule}
    lacking = {*predicted_rule.missing, *true_rule.missing} & needed
    return score(
        predicted_rows,
        true_rows,
        matching,
        protocol,
        fps=fps,
        approximated={
            side: {joint: how for joint, how in rule.approximated.items() if joint in needed}
            for side, rule in rules.items()
        },
        missing_joints=tuple(joint for joint in protocol.joint_set.joints if joint in lacking),
    )


def read_pose_rows(path: str | Path) -> PoseRows:
    """Read a plain .npz file of any tool's poses; docs/metrics.md describes its arrays.

    Raises `InputError` for unknown arrays, wrong types or shapes, and lengths that are not metres.
    """
    return _rows_from_plain(load_arrays(path), str(path))


def _read(source: Prediction | Truth, side: str) -> Poses | WorldPoses | PoseRows:
    """The value itself, or what its file holds, by its suffix and the arrays in it."""
    if not isinstance(source, str | Path):
        return source
    if Path(source).suffix.lower() != ".npz":
        return read_poses(source)
    arrays = load_arrays(source)
    if "header" in arrays:
        return read_poses(source)
    if "joints_world_m" in arrays:
        return read_world(source)
    if "joints_cam_m" not in arrays:
        raise InputError(
            f"{source}: expected the {side} as Sightline's poses, world poses, or an array joints_cam_m "
            f"(n, joints, 3), got the arrays {', '.join(arrays) or 'none'}"
        )
    return _rows_from_plain(arrays, str(source))


def _rows(value: Poses | PoseRows) -> PoseRows:
    if isinstance(value, PoseRows):
        return value
    stacked = value.stacked()
    try:
        return PoseRows(
            skeleton=value.skeleton,
            joints_cam_m=stacked.joints_cam_m,
            frame_index=stacked.frame_index,
            person_id=stacked.person_id,
            annotated_frames=np.array([frame.index for frame in value.frames], dtype=np.int64),
            fps=value.fps,
            sigma_m=_sigma_of(value),
        )
    except ValueError as error:
        raise InputError(f"poses: {error}") from error


def _sigma_of(poses: Poses) -> np.ndarray | None:
    """The stated half-widths of all people (m), NaN for those who have none; None where nobody has any."""
    sigma = [person.sigma_m for _, person in poses.people()]
    if all(each is None for each in sigma):
        return None
    missing = np.full((len(poses.skeleton), 3), np.nan)
    return np.array([missing if each is None else each for each in sigma], dtype=np.float64)


def _rows_from_plain(arrays: Mapping[str, np.ndarray], where: str) -> PoseRows:
    strict.check_keys(arrays, ["joints_cam_m"], _PLAIN, where)
    for name, array in arrays.items():
        kinds, axes = _PLAIN[name]
        if array.dtype.kind not in kinds or array.ndim != axes:
            wanted = {"f": "floats", "i": "integers", "U": "text"}[kinds[0]]
            raise InputError(
                f"{where}: {name}: expected {wanted} on {axes} axes, got {array.dtype} of shape {array.shape}"
            )
    joints, sigma = arrays["joints_cam_m"].astype(np.float64), arrays.get("sigma_m")
    if sigma is not None:
        sigma = np.where(np.isfinite(sigma).all(-1, keepdims=True), sigma.astype(np.float64), np.nan)
    if "skeleton" not in arrays and joints.shape[1] != 17:
        raise InputError(f'{where}: expected the array skeleton (a name such as "coco17") for {joints.shape[1]} joints')
    whole = {name: arrays[name].astype(np.int64) for name in ("frame_index", "person_id") if name in arrays}
    try:
        return PoseRows(
            skeleton=get_skeleton(str(arrays.get("skeleton", "h36m17"))),
            joints_cam_m=np.where(np.isfinite(joints).all(-1, keepdims=True), joints, np.nan),
            action=tuple(arrays["action"].tolist()) if "action" in arrays else None,
            fps=float(arrays["fps"]) if "fps" in arrays else None,
            sigma_m=sigma,
            **whole,
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _rows_from_world(world: WorldPoses, camera_of: Callable[[int], Camera | None]) -> PoseRows:
    """The people the world poses know, in the camera's frame; NaN in a frame whose camera nobody knows."""
    joints_world = torch.from_numpy(world.joints_world_m.astype(np.float64))
    joints_cam = torch.full_like(joints_world, torch.nan)
    for row, frame in enumerate(world.frame_index.tolist()):
        camera = camera_of(frame)
        if camera is not None:
            joints_cam[row] = camera.world_to_camera(joints_world[row].flatten(0, 1)).unflatten(
                0, joints_cam.shape[1:3]
            )
    known = np.isfinite(world.joints_world_m).all(-1).any(-1)
    frame_row, person_row = np.nonzero(known)
    try:
        return PoseRows(
            skeleton=world.skeleton,
            joints_cam_m=joints_cam.numpy()[frame_row, person_row],
            frame_index=world.frame_index[frame_row].astype(np.int64),
            person_id=world.person_id[person_row].astype(np.int64),
            fps=world.fps,
        )
    except ValueError as error:
        raise InputError(f"world poses: {error}") from error


def _cameras(prediction: Poses | PoseRows, camera: Camera | None, where: str) -> Callable[[int], Camera | None]:
    """Frame index → the camera that takes the world into its frame; None where it is not known for that frame."""
    if camera is not None:
        if camera.batch_shape != () or not camera.has_world:
            raise InputError(
                "camera: expected a single one with camera_from_world, to bring world poses into its frame"
            )
        return lambda frame: camera.to(torch.float64)
    if isinstance(prediction, PoseRows):
        raise InputError(f"{where}: has no camera to bring world poses into its frame; give one that was calibrated")
    cameras = {frame.index: prediction.camera_of(frame).to(torch.float64) for frame in prediction.frames}
    fixed = all(frame.camera is None for frame in prediction.frames)
    common = prediction.camera.to(torch.float64) if fixed else None
    if not all(each.has_world for each in [*cameras.values(), *([common] if common else [])]):
        raise InputError(
            f"{where}: its camera has no camera_from_world, so world poses cannot be brought into its frame; "
            "predict with a camera that has one, or give it here"
        )
    return lambda frame: cameras.get(frame, common)


def _converted(rows: PoseRows, protocol: Protocol) -> tuple[PoseRows, Conversion]:
    """Rows in the protocol's skeleton, and how its joints follow from their own."""
    rule = conversion(rows.skeleton, protocol.joint_set)
    joints, sigma = rule.apply(rows.joints_cam_m)[0], rows.sigma_m
    if sigma is not None:
        # What is stated of joints is stated of those that are taken over as they are; nothing is of those derived.
        taken = (np.abs(rule.weights) > 0).sum(1) == 1
        sigma = np.where(taken[:, None], sigma[:, np.abs(rule.weights).argmax(1)], np.nan)
    return replace(rows, skeleton=rule.target, joints_cam_m=joints, sigma_m=sigma), rule


def _common_fps(prediction: PoseRows, truth: PoseRows, fps: float | None) -> float | None:
    """The rate that was asked for, or the one both sides agree on."""
    if fps is not None:
        if not 0 < fps < np.inf:
            raise UsageError(f"fps: expected a positive number of frames per second, got {fps}")
        return fps
    if prediction.fps is not None and truth.fps is not None and abs(prediction.fps - truth.fps) > 0.01 * truth.fps:
        raise InputError(
            f"expected one frame rate, but the prediction has {prediction.fps:g} frames per second and the truth "
            f"{truth.fps:g}; number frames alike, then give fps"
        )
    return prediction.fps if truth.fps is None else truth.fps


def _named(source: Any, otherwise: str) -> str:
    return str(source) if isinstance(source, str | Path) else otherwise
