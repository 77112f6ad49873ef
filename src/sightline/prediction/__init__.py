"""From pictures to poses: what `sightline predict` does, in Python."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.errors import InputError
from sightline.structures import Poses

if TYPE_CHECKING:
    from sightline.camera import Camera
    from sightline.detect.protocol import Detector
    from sightline.pipeline import Smoothing
    from sightline.prediction.cameras import CameraFinder
    from sightline.prediction.methods import Method
    from sightline.prediction.run import Look, Predictor
    from sightline.sources import Source

PictureOrPath = Any


def predict(
    image_or_path: PictureOrPath | Sequence[PictureOrPath],
    camera: Camera | str | Path | None = None,
    *,
    detector: str | Detector = "auto",
    boxes: Sequence[Sequence[float]] | str | Path | None = None,
    height_m: float | None = None,
    on_floor: bool = False,
    method: Method = "abspose",
    weights: str | Path | None = None,
    device: str = "cpu",
    batch_size: int = 8,
    smoothing: Smoothing | None = None,
) -> Poses:
    """Find the people in pictures and place them in metres in the camera's frame (x right, y down, z forward).

    Args:
        image_or_path: a picture as uint8 RGB (height, width, 3), or the path of a photo, a folder of photos or a film;
            or a list of photos of either kind.
        camera: camera, or the path of a camera file. None takes the focal length from the photo's EXIF, and where there
            is none assumes one, with a warning. "auto" asks the people who stand upright before it assumes: of each
            photo, or of the first seconds of a film whose camera stands still; they also tell gravity and floor.
        detector: what finds people and joints, by name, or one of your own; "boxes" is those in `boxes` alone, of
            whom perspose needs no joints; lcrnet takes "auto" alone, since it finds people itself.
        boxes: (x0, y0, x1, y1) per person in the first picture (px, corner origin), who are then followed; or the path
            of a file of boxes.
        height_m: barefoot stature of the people, where known: it fixes the scale, which is learned otherwise.
        on_floor: fix the scale by the feet on the floor; needs a camera whose place in the world is known.
        method: "abspose" and "deeplift" lift keypoints, "perspose" looks at the picture of each person, "lcrnet" at the
            whole picture, where it finds several people and their poses at once.
        weights: name or passport of weights; None takes the method's own.
        device: PyTorch device of the networks.
        batch_size: frames per pass of the networks.
        smoothing: how time is used in films: "offline" (None) looks some seconds ahead, "online" only back, "off" not
            at all.

    Returns:
        The poses of all frames, those without anybody included.

    Raises:
        InputError: if nothing can be read, a file is broken, or the camera does not fit the pictures.
        UsageError: if the call itself is wrong, such as a detector that is not installed.
        ValueError: for an array that is no picture.

    Warns:
        UserWarning: where the camera had to be assumed or was told by people, a photo could not be read, or a person
            not lifted.
    """
    from sightline.formats.camera import read_camera
    from sightline.prediction.cameras import CameraFinder
    from sightline.prediction.looks import look_with
    from sightline.prediction.methods import estimator_of
    from sightline.prediction.run import Predictor

    source = _source(image_or_path)
    path = camera if isinstance(camera, (str, Path)) else None
    known = camera if path is None else None if str(path) == "auto" else read_camera(path)
    finder = CameraFinder(known, name="camera" if path is None else str(path))  # type: ignore[arg-type]
    estimator = estimator_of(method, weights, device=device, batch_size=batch_size)
    predictor = Predictor(
        estimator,
        height_m=height_m,
        on_floor=on_floor,
        batch_size=batch_size,
        smoothing=smoothing,
    )
    drawn = () if boxes is None or isinstance(boxes, (str, Path)) else tuple(_box(box) for box in boxes)
    look = look_with(
        estimator,
        source,
        detector=detector,
        box=drawn,
        boxes=Path(boxes) if isinstance(boxes, (str, Path)) else None,
        device=device,
        batch_size=batch_size,
        cameras=finder,
    )
    try:
        if str(path) == "auto":
            from sightline.prediction.auto_camera import automatic

            finder, look = automatic(source, look, finder, height_m=height_m, batch_size=batch_size)
        result = predict_source(source, look, predictor, finder)
    finally:
        look.close()
        source.close()
    for complaint in result.complaints:
        warnings.warn(complaint, UserWarning, stacklevel=2)
    return result.poses


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """Poses, and what a careful user wants to hear about them, a sentence each."""

    poses: Poses
    complaints: tuple[str, ...]


def predict_source(source: Source, look: Look, predictor: Predictor, cameras: CameraFinder) -> PredictResult:
    """Predict all frames of a source and return them together; `InputError` where there is none.

    For long films, `Predictor.predict` gives them one by one.
    """
    from sightline.prediction.tally import Tally

    tally, frames, failed, first = Tally(), [], [], None
    for one in predictor.predict(source, look, cameras, failed):
        first = first or one
        tally.add(one, predictor.estimator.skeleton.root)
        own = one.known.camera is not first.known.camera
        frames.append(replace(one.frame, camera=one.known.camera) if own else one.frame)
    complaints = [*source.problems, *failed]
    if first is None:
        raise InputError("; ".join(complaints) or f"{source.name}: no frame could be read")
    if tally.skipped:
        complaints.append(tally.skipped_in_words())
    if tally.notice:
        complaints.append(tally.notice)
    poses = Poses(
        skeleton=predictor.estimator.skeleton,
        camera=first.known.camera,
        scale=tally.scale(predictor.estimator),
        model=predictor.estimator.model,
        frames=tuple(frames),
        fps=source.fps,
        world=first.world,
    )
    return PredictResult(poses=poses, complaints=tuple(complaints))


def _source(image_or_path: Any) -> Source:
    """One source of frames from whatever was given."""
    from sightline.prediction.arrays import Arrays
    from sightline.sources import open_sources

    if isinstance(image_or_path, (str, Path)):
        given: list[Any] = [image_or_path]
    elif isinstance(image_or_path, (list, tuple)):
        given = list(image_or_path)
    else:
        return Arrays([np.asarray(image_or_path)])
    paths = [isinstance(each, (str, Path)) for each in given]
    if not given or any(paths) != all(paths):
        raise ValueError("image_or_path: expected a picture, a path, or a list that holds only one kind of them")
    if not all(paths):
        return Arrays([np.asarray(each) for each in given])
    sources = open_sources(given)
    if len(sources) > 1:
        for source in sources:
            source.close()
        raise ValueError(
            f"image_or_path: expected photos or one film, got {len(sources)} sources; call predict once for each"
        )
    return sources[0]


def _box(box: Sequence[float]) -> str:
    return ",".join(repr(float(value)) for value in box)
