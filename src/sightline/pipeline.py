"""The main job: 2D keypoints and a camera → absolute 3D poses in metres, in the camera's frame."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.camera import read_camera
from sightline.formats.detections import read_detections
from sightline.lifter import Lifter, LiftResult, Skipped
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS
from sightline.structures import Keypoints, Poses

__all__ = ["LiftResult", "Lifter", "Skipped", "lift"]


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
