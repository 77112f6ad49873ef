"""What a method has to offer to lift people: the seam between a lifter, which knows files and frames, and networks.

An engine says which people it can lift and lifts them. It knows joint sets, lenses and statures, and nothing of files,
frames or time. What every engine that takes landmarks on rays asks of people before it lifts them is here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera
from sightline.landmarks import as_landmarks
from sightline.skeleton import Skeleton
from sightline.structures import PersonKeypoints

UNDEFINED = "keypoints lie where the lens model is not defined"
"""Why somebody cannot be lifted whom the lens cannot see."""
_FAR = "keypoints lie further outside the picture than it is large"
_ONE_SPOT = "the keypoints lie on one spot"
_SPOT = 1e-3
"""Share of the picture's longer side that both sides of the keypoints' box are smaller than where they show no body."""


class LiftedPeople(NamedTuple):
    """People in metres, the camera's frame, float64; a row is NaN where no place in front of the camera was found."""

    joints_cam: Float[np.ndarray, "batch 17 3"]
    sigma_m: Float[np.ndarray, "batch 17 3"] | None = None
    others_cam: Float[np.ndarray, "batch hypothesis 17 3"] | None = None
    shares: Float[np.ndarray, "batch hypothesis"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Readied:
    """People as an engine takes them, one row each, and why some cannot be lifted (None: they can)."""

    rows: Any
    """In the engine's own form; nobody else looks into it."""
    anatomical: bool = True
    """Whether the joints are those of `h36m17` themselves."""
    reasons: tuple[str | None, ...]


@runtime_checkable
class Engine(Protocol):
    """A trained network with all that belongs to it."""

    @property
    def mean_stature_m(self) -> float | None:
        """The stature (m) that stands in where none is given; None where sizes were learned in metres."""
        ...

    @property
    def anatomical_stature_m(self) -> float | None:
        """The same for joints of `h36m17`."""
        ...

    @property
    def details(self) -> dict[str, str | float]:
        """What the results should tell about it."""
        ...

    def ready(self, people: Sequence[PersonKeypoints], skeleton: Skeleton, camera: Camera) -> Readied:
        """Convert people seen by one camera; at least one."""
        ...

    def lift(self, readied: Readied, rows: Sequence[int], camera: Camera, stature_m: Tensor) -> LiftedPeople:
        """Lift some of them; statures (m) are NaN where unknown."""
        ...

    def lift_array(
        self, keypoints_px: Float[Tensor, "batch joint 2"], camera: Camera, stature_m: Tensor | None
    ) -> Float[Tensor, "batch joint 3"]:
        """Lift arrays of `h36m17` keypoints."""
        ...


class Rays(NamedTuple):
    """People as landmarks on rays; whoever can be lifted has enough of them."""

    xy: Float[np.ndarray, "person landmark 2"]
    """On the plane z = 1; 0 where not seen."""
    confidence: Float[np.ndarray, "person landmark"]
    seen: Bool[np.ndarray, "person landmark"]
    reasons: tuple[str | None, ...]
    """Why somebody cannot be lifted; None: they can."""


def rays_of(
    people: Sequence[PersonKeypoints], skeleton: Skeleton, camera: Camera, *, least: int, landmarks: int | None = None
) -> Rays:
    """Take people out of the picture: the vocabulary's landmarks on their rays, and who has enough of them.

    A keypoint further outside the picture than it is large counts as not seen, as does one where the lens is not
    defined.

    Args:
        people: seen by one camera; at least one.
        skeleton: their joint set.
        camera: any lens.
        least: landmarks that somebody needs to be lifted.
        landmarks: how many of the vocabulary count, from its first; all by default.
    """
    pixels = np.stack([person.keypoints_px for person in people])
    confidence = np.stack([person.confidence for person in people])
    xy, placed = camera.normalized(torch.from_numpy(np.nan_to_num(pixels)))
    seen: np.ndarray = np.logical_and(~np.isnan(pixels[..., 0]), confidence > 0)
    kept = np.asarray(np.logical_and(seen, _near(pixels, camera)))
    there = np.asarray(np.logical_and(kept, placed.numpy()))
    xy = np.where(there[..., None], xy.double().numpy(), np.nan)
    rays, sure = (array[:, :landmarks] for array in as_landmarks(skeleton, xy, confidence))
    usable = np.asarray(np.isfinite(rays).all(-1))
    counts = [
        (as_landmarks(skeleton, pixels, np.where(those, confidence, 0.0))[1][:, :landmarks] > 0).sum(-1)
        for those in (seen, kept)
    ]
    columns = (usable.sum(-1), *counts, _on_one_spot(pixels, there, camera))
    reasons = tuple(_reason(least, *row) for row in zip(*(column.tolist() for column in columns), strict=True))
    return Rays(np.where(usable[..., None], rays, 0.0), np.where(usable, sure, 0.0), usable, reasons)


def _near(pixels: Float[np.ndarray, "person joint 2"], camera: Camera) -> Bool[np.ndarray, "person joint"]:
    """Whether a keypoint is no further outside the picture than it is large; beyond, detectors err."""
    size = camera.image_size.double().numpy()
    with np.errstate(invalid="ignore"):
        within: np.ndarray = np.logical_and(pixels >= -size, pixels <= 2 * size)
    return np.asarray(within.all(-1))


def _on_one_spot(
    pixels: Float[np.ndarray, "person joint 2"], there: Bool[np.ndarray, "person joint"], camera: Camera
) -> Bool[np.ndarray, " person"]:
    """Whether all that is there of a person has no extent."""
    high = np.where(there[..., None], pixels, -np.inf).max(1)
    low = np.where(there[..., None], pixels, np.inf).min(1)
    return (high - low < _SPOT * float(camera.image_size.max())).all(-1)


def _reason(least: int, usable: int, detected: int, near: int, spot: bool) -> str | None:
    if usable >= least:
        return _ONE_SPOT if spot else None
    if detected >= least:
        return UNDEFINED if near >= least else _FAR
    what = "no joint was seen" if detected == 0 else f"only {detected} joints were seen"
    return what if detected == 0 else f"{what} (this lifter needs {least})"


def up_of(camera: Camera) -> Float[Tensor, " 3"] | None:
    """Against gravity as the camera sees it; None where the camera does not know its world."""
    return None if camera.rotation is None else camera.rotation[..., :, 2]
