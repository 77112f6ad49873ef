"""Keypoints of several calibrated views → joints in the world: what `sightline triangulate` does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.geometry.side_swaps import swapped_views
from sightline.geometry.triangulation import triangulate
from sightline.skeleton import Conversion, Skeleton, conversion
from sightline.structures import Keypoints
from sightline.world import WorldPoses

INLIER_SHARE = 0.01
"""Reprojection error, as a share of the picture's diagonal, up to which a view agrees with a joint by default."""
CHUNK = 50_000
"""Keypoints triangulated at once, so that memory does not grow with the length of the video."""


def triangulate_keypoints(
    views: Sequence[Keypoints],
    cameras: Sequence[Camera],
    *,
    skeleton: str | None = None,
    min_confidence: float = 0.3,
    robust: bool = True,
    inlier_px: float | None = None,
    min_views: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> WorldPoses:
    """Triangulate people seen by several calibrated, synchronised views into the world (m).

    Frames are matched by their index and people by their id; where no file has ids, and nobody sees two people at once,
    all are one person, 0. Keypoints below `min_confidence` do not count, the others count by their confidence.

    `robust` drops views that do not agree within `inlier_px` (default: 1 % of the picture's diagonal), and before that
    exchanges left and right in views that clearly took one for the other (`WorldPoses.swapped`). A joint on which fewer
    than `min_views` views agree is NaN: two of four may agree by chance, three hardly. `skeleton` converts the joints
    after triangulating, since a midpoint in 3D is not the midpoint in a picture. A camera calibrated at another
    resolution of the same aspect is scaled. `progress(done, total)` is told of frames.

    `InputError` where the views do not fit together, `UsageError` for a wrong call.
    """
    _check_options(views, cameras, min_confidence, inlier_px, min_views)
    cameras = [_fitting(camera, view, number) for number, (camera, view) in enumerate(zip(cameras, views, strict=True))]
    source, fps = _common(views)
    try:
        rule = None if skeleton is None else conversion(source, skeleton)
    except ValueError as error:
        raise UsageError(str(error)) from error
    frame_index, person_id = _frames_and_people(views)
    keypoints_px, confidence = _gathered(views, frame_index, person_id)
    weights = np.where(confidence >= min_confidence, confidence, 0.0)
    if inlier_px is None:
        inlier_px = INLIER_SHARE * float(np.mean([math.hypot(*view.image_size) for view in views]))

    def chunk(frames: slice) -> Chunk:
        points, sure = torch.from_numpy(keypoints_px[frames]), torch.from_numpy(weights[frames])
        return _one_chunk(cameras, points, sure, source, robust, inlier_px, min_views)

    joints, errors, agreeing, swapped = _in_chunks(chunk, len(frame_index), math.prod(confidence.shape[1:]), progress)
    if rule is not None:
        joints, errors, agreeing = _converted(rule, joints, errors, agreeing)
    return WorldPoses(
        skeleton=source if rule is None else rule.target,
        joints_world_m=joints,
        frame_index=frame_index,
        person_id=person_id,
        reprojection_px=errors,
        views=agreeing,
        swapped=swapped,
        fps=fps,
    )


Chunk = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Joints (f p j 3), reprojection errors (f p v j), agreeing views (f p j), swapped views (f p v)."""


def _in_chunks(
    chunk: Callable[[slice], Chunk], frames: int, frame_size: int, progress: Callable[[int, int], None] | None
) -> Chunk:
    """All frames, so many at once that their keypoints number about CHUNK; no frames are one empty chunk."""
    size = max(1, CHUNK // max(1, frame_size))
    parts = []
    for start in range(0, max(1, frames), size):
        parts.append(chunk(slice(start, start + size)))
        if progress is not None:
            progress(min(start + size, frames), frames)
    joints, errors, agreeing, swapped = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return joints, errors, agreeing, swapped


def _one_chunk(
    cameras: Sequence[Camera],
    points: Tensor,
    weights: Tensor,
    skeleton: Skeleton,
    robust: bool,
    inlier_px: float,
    min_views: int,
) -> Chunk:
    swapped = torch.zeros(weights.shape[:-1], dtype=torch.bool)
    if robust:
        flip = list(skeleton.flip)
        swapped = swapped_views(cameras, points, weights, flip, inlier_px=inlier_px)
        points = torch.where(swapped[..., None, None], points[..., flip, :], points)
        weights = torch.where(swapped[..., None], weights[..., flip], weights)
    found = triangulate(cameras, points, weights, robust=robust, inlier_px=inlier_px)
    agreeing = found.inliers.sum(-2)
    known = agreeing >= min_views
    return (
        found.points_world.where(known[..., None], torch.nan).numpy(),
        found.reprojection_px.where(known[..., None, :], torch.nan).numpy(),
        agreeing.where(known, 0).numpy(),
        swapped.numpy(),
    )


def _converted(
    rule: Conversion, joints: np.ndarray, errors: np.ndarray, agreeing: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints in the rule's target; errors as the weighted mean, and views as the least, of what a joint is made of."""
    joints, _ = rule.apply(joints)
    new_errors = np.full((*errors.shape[:-1], len(rule.target)), np.nan)
    new_agreeing = np.zeros((*agreeing.shape[:-1], len(rule.target)), dtype=agreeing.dtype)
    for joint, row in enumerate(np.abs(rule.weights)):
        used = np.flatnonzero(row)
        if len(used):
            new_errors[..., joint] = (errors[..., used] * row[used] / row[used].sum()).sum(-1)
            new_agreeing[..., joint] = agreeing[..., used].min(-1)
    return joints, new_errors, new_agreeing


def _check_options(
    views: Sequence[Keypoints],
    cameras: Sequence[Camera],
    min_confidence: float,
    inlier_px: float | None,
    min_views: int,
) -> None:
    if len(views) < 2:
        raise UsageError(f"views: expected keypoints of at least two views, got {len(views)}")
    if len(cameras) != len(views):
        raise UsageError(f"cameras: expected one per view, {len(views)}, got {len(cameras)}")
    if not 0 <= min_confidence <= 1:
        raise UsageError(f"min_confidence: expected a number from 0 to 1, got {min_confidence}")
    if inlier_px is not None and not inlier_px > 0:
        raise UsageError(f"inlier_px: expected a positive number of pixels, got {inlier_px}")
    if not 2 <= min_views <= len(views):
        raise UsageError(f"min_views: expected 2 to {len(views)} views, got {min_views}")


def _fitting(camera: Camera, view: Keypoints, number: int) -> Camera:
    """The camera at the resolution of its view's keypoints."""
    if len(camera.batch_shape) > 0:
        raise UsageError(f"cameras[{number}]: expected one camera, got a batch of {tuple(camera.batch_shape)}")
    if not camera.has_world:
        raise InputError(f"cameras[{number}]: has no camera_from_world, so its view cannot be triangulated")
    camera = camera.to(dtype=torch.float64, device="cpu")
    if camera.image_size.tolist() == list(view.image_size):
        return camera
    try:
        return camera.scaled_to(view.image_size)
    except ValueError as error:
        raise InputError(f"cameras[{number}]: does not fit its keypoints: {error}") from error


def _common(views: Sequence[Keypoints]) -> tuple[Skeleton, float | None]:
    """The skeleton and frame rate that all views share."""
    for number, view in enumerate(views):
        if view.skeleton.joints != views[0].skeleton.joints:
            raise InputError(
                f"views[{number}]: expected the skeleton {views[0].skeleton.name} of the first view, "
                f"got {view.skeleton.name}; convert one of them"
            )
    rates = [view.fps for view in views if view.fps is not None]
    for rate in rates:
        if not math.isclose(rate, rates[0], rel_tol=1e-3):
            raise InputError(f"views: expected one frame rate, got {rates[0]} and {rate} fps; resample one of them")
    return views[0].skeleton, rates[0] if rates else None


def _frames_and_people(views: Sequence[Keypoints]) -> tuple[np.ndarray, np.ndarray]:
    """Every frame number and every person's id that any view has, rising."""
    frames = {frame.index for view in views for frame in view.frames}
    ids = {person.id for view in views for _, person in view.people()}
    if None in ids:
        crowded = any(len(frame.people) > 1 for view in views for frame in view.frames)
        if crowded or len(ids) > 1:
            raise InputError(
                "views: expected an id for every person, to match people between views, got people without"
            )
        ids = {0}
    return np.array(sorted(frames), dtype=np.int64), np.array(sorted(ids), dtype=np.int64)  # pyright: ignore[reportArgumentType]


def _gathered(
    views: Sequence[Keypoints], frame_index: np.ndarray, person_id: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """All keypoints (frame person view joint 2), NaN where there is none, and their confidence."""
    shape = (len(frame_index), len(person_id), len(views), len(views[0].skeleton))
    keypoints_px, confidence = np.full((*shape, 2), np.nan), np.zeros(shape)
    for number, view in enumerate(views):
        stacked = view.stacked()
        frame = np.searchsorted(frame_index, stacked.frame_index)
        person = np.searchsorted(person_id, np.maximum(stacked.person_id, 0))  # −1, no id, stands for person 0
        keypoints_px[frame, person, number] = stacked.keypoints_px
        confidence[frame, person, number] = stacked.confidence
    return keypoints_px, confidence
