"""Two ways from keypoints to metres behind one door: the paper's lifter, and the one that eats detections.

An engine says which people it can lift and lifts them. It knows joint sets, lenses and statures, and nothing of files,
frames or time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera
from sightline.landmarks import as_landmarks
from sightline.methods.abspose.decode import RootRule, decode, flipped_average, points_from_keypoints
from sightline.methods.abspose.exact import second_opinion
from sightline.methods.abspose.model import AbsPoseLifter, Lifted
from sightline.methods.abspose.partial import Detected, PartialLifted, PartialLifter, flip_averaged
from sightline.methods.abspose.partial_decode import Located, locate
from sightline.skeleton import Skeleton, conversion, get_skeleton
from sightline.structures import PersonKeypoints

LEAST_SEEN = 4
"""Landmarks that have to be seen of a person to be lifted."""
_UNDEFINED = "keypoints lie where the lens model is not defined"
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

    rows: Detected | Float[Tensor, "person 17 2"]
    anatomical: bool = True
    """Whether the joints are those of `h36m17` themselves."""
    reasons: tuple[str | None, ...]


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


class WholeEngine:
    """AbsPoseLifter: every joint of `h36m17` has to be there, or to follow from others."""

    def __init__(self, network: AbsPoseLifter, device: torch.device, *, root: RootRule, flip: bool) -> None:
        self.network, self.device, self.flip = network.to(device), device, flip
        self.root: RootRule = root
        self.skeleton = get_skeleton("h36m17")

    @property
    def mean_stature_m(self) -> float | None:
        """The stature (m) that stands in; None for weights that learned metres."""
        return self.network.config.mean_stature_m if self.network.config.unit == "stature" else None

    @property
    def anatomical_stature_m(self) -> float | None:
        """The same: this lifter takes all joint sets for `h36m17`."""
        return self.mean_stature_m

    @property
    def details(self) -> dict[str, str | float]:
        """What the results should tell about it."""
        config = self.network.config
        return {
            "root": self.root,
            "canonical_depth": "derived through the focal length" if config.coordinates == "rays" else "learned",
            "mean_stature_m": config.mean_stature_m,
        }

    def ready(self, people: Sequence[PersonKeypoints], skeleton: Skeleton, camera: Camera) -> Readied:
        """Convert people seen by one camera."""
        points, _ = conversion(skeleton, self.skeleton).apply(
            np.stack([person.keypoints_px for person in people]), np.stack([person.confidence for person in people])
        )
        ideal, placed = camera.undistort(torch.from_numpy(np.nan_to_num(points)))
        missing = np.isnan(points[..., 0])
        reasons = tuple(self._reason(*row) for row in zip(missing, placed.all(-1).tolist(), strict=True))
        return Readied(rows=ideal, reasons=reasons)

    def _reason(self, missing: Bool[np.ndarray, " joint"], placed: bool) -> str | None:
        names = [name for name, gone in zip(self.skeleton.joints, missing, strict=True) if gone]
        if len(names) == len(self.skeleton):
            return "no joint was seen"
        if names:
            return f"missing {', '.join(names)} (this lifter needs every joint of {self.skeleton.name})"
        return None if placed else _UNDEFINED

    def lift(self, readied: Readied, rows: Sequence[int], camera: Camera, stature_m: Tensor) -> LiftedPeople:
        """Lift some of them."""
        assert isinstance(readied.rows, Tensor)
        joints = self.lift_array(readied.rows[list(rows)], camera.undistorted(), stature_m)
        return LiftedPeople(joints.double().numpy())

    @torch.no_grad()
    def lift_array(
        self, keypoints_px: Float[Tensor, "batch joint 2"], camera: Camera, stature_m: Tensor | None
    ) -> Float[Tensor, "batch joint 3"]:
        """Lift complete `h36m17` keypoints (px, corner origin)."""
        points, _ = points_from_keypoints(keypoints_px, camera, self.network.config)
        points = points.float().to(self.device)
        lifted = flipped_average(self.network, points) if self.flip else self.network(points)
        lifted = Lifted(*(value.to("cpu", keypoints_px.dtype) for value in lifted))
        return decode(lifted, keypoints_px, camera, self.network.config, stature_m, root=self.root)


class PartialEngine:
    """The partial lifter: any joint set, four landmarks or more; and the paper's, for joints that may be exact."""

    def __init__(
        self, network: PartialLifter, device: torch.device, *, flip: bool, exact: AbsPoseLifter | None = None
    ) -> None:
        self.network, self.device, self.flip = network.to(device), device, flip
        self.exact = None if exact is None else exact.to(device)

    @property
    def mean_stature_m(self) -> float | None:
        """The stature (m) that stands in; None for weights that learned metres."""
        return self.network.config.mean_stature_m

    @property
    def anatomical_stature_m(self) -> float | None:
        """That of the second opinion, which is asked on joints of `h36m17`, whoever's answer counts then."""
        return self.mean_stature_m if self.exact is None else self.exact.config.mean_stature_m

    @property
    def details(self) -> dict[str, str | float]:
        """What the results should tell about it."""
        config = self.network.config
        told: dict[str, str | float] = {
            "root": "learned",
            "canonical_depth": "derived through the focal length",
            "mean_stature_m": config.mean_stature_m,
            "stature_spread": config.stature_spread,
        }
        if self.exact is None or self.anatomical_stature_m is None:
            return told
        return told | {"exact": str(config.exact), "exact_mean_stature_m": self.anatomical_stature_m}

    def ready(self, people: Sequence[PersonKeypoints], skeleton: Skeleton, camera: Camera) -> Readied:
        """Convert people seen by one camera."""
        pixels = np.stack([person.keypoints_px for person in people])
        confidence = np.stack([person.confidence for person in people])
        xy, placed = camera.normalized(torch.from_numpy(np.nan_to_num(pixels)))
        seen: np.ndarray = np.logical_and(~np.isnan(pixels[..., 0]), confidence > 0)
        near = self._near(pixels, camera)
        kept = np.asarray(np.logical_and(seen, near))
        there = np.asarray(np.logical_and(kept, placed.numpy()))
        xy = np.where(there[..., None], xy.double().numpy(), np.nan)
        rays, sure = as_landmarks(skeleton, xy, confidence)
        usable = np.asarray(np.isfinite(rays).all(-1))
        rows = Detected(
            torch.from_numpy(np.where(usable[..., None], rays, 0.0)).float(),
            torch.from_numpy(np.where(usable, sure, 0.0)).float(),
            torch.from_numpy(usable),
            self._up(camera).expand(len(people), 3),
        )
        counts = [
            (as_landmarks(skeleton, pixels, np.where(those, confidence, 0.0))[1] > 0).sum(-1) for those in (seen, kept)
        ]
        columns = (usable.sum(-1), *counts, self._spot(pixels, there, camera))
        reasons = tuple(map(self._reason, *(column.tolist() for column in columns)))
        return Readied(rows=rows, anatomical=skeleton.name == "h36m17", reasons=reasons)

    @staticmethod
    def _near(pixels: Float[np.ndarray, "person joint 2"], camera: Camera) -> Bool[np.ndarray, "person joint"]:
        """Whether a keypoint is no further outside the picture than it is large; beyond, detectors err."""
        size = camera.image_size.double().numpy()
        with np.errstate(invalid="ignore"):
            within: np.ndarray = np.logical_and(pixels >= -size, pixels <= 2 * size)
        return np.asarray(within.all(-1))

    @staticmethod
    def _spot(
        pixels: Float[np.ndarray, "person joint 2"], there: Bool[np.ndarray, "person joint"], camera: Camera
    ) -> Bool[np.ndarray, " person"]:
        """Whether all that is there of a person has no extent."""
        high = np.where(there[..., None], pixels, -np.inf).max(1)
        low = np.where(there[..., None], pixels, np.inf).min(1)
        return (high - low < _SPOT * float(camera.image_size.max())).all(-1)

    @staticmethod
    def _up(camera: Camera) -> Tensor:
        """Against gravity as the camera sees it; zeros where the camera does not know its world."""
        return torch.zeros(3) if camera.rotation is None else camera.rotation[..., :, 2].float()

    @staticmethod
    def _reason(usable: int, detected: int, near: int, spot: bool) -> str | None:
        if usable >= LEAST_SEEN:
            return _ONE_SPOT if spot else None
        if detected >= LEAST_SEEN:
            return _UNDEFINED if near >= LEAST_SEEN else _FAR
        what = "no joint was seen" if detected == 0 else f"only {detected} joints were seen"
        return what if detected == 0 else f"{what} (this lifter needs {LEAST_SEEN})"

    @torch.no_grad()
    def lift(self, readied: Readied, rows: Sequence[int], camera: Camera, stature_m: Tensor) -> LiftedPeople:
        """Lift some of them."""
        assert isinstance(readied.rows, Detected)
        del camera  # rays know no camera
        detected = Detected(*(value[list(rows)] for value in readied.rows))
        located = self._located(detected, stature_m.float(), anatomical=readied.anatomical)
        return LiftedPeople(*(value.double().numpy() for value in located))

    def _located(self, detected: Detected, stature_m: Tensor | None, *, anatomical: bool) -> Located:
        there = Detected(*(value.to(self.device) for value in detected))
        lifted = flip_averaged(self.network, there) if self.flip else self.network(there)
        if self.exact is not None and anatomical:
            lifted = second_opinion(lifted, there, self.exact)
        stand_in = self.anatomical_stature_m if anatomical else self.mean_stature_m
        lifted = PartialLifted(*(value.cpu() for value in lifted))
        return locate(lifted, detected, self.network.config, stature_m, mean_stature_m=stand_in)

    @torch.no_grad()
    def lift_array(
        self, keypoints_px: Float[Tensor, "batch joint 2"], camera: Camera, stature_m: Tensor | None
    ) -> Float[Tensor, "batch joint 3"]:
        """Lift `h36m17` keypoints (px, corner origin); NaN where missing. All of them count as sure."""
        xy, placed = camera.normalized(keypoints_px.nan_to_num())
        seen = placed & keypoints_px.isfinite().all(-1)
        count, joints = seen.shape
        more = len(as_landmarks(get_skeleton("h36m17"), np.zeros((joints, 2)), np.ones(joints))[1]) - joints
        rays = torch.cat([torch.where(seen[..., None], xy, 0.0), xy.new_zeros(count, more, 2)], dim=1).float()
        seen = torch.cat([seen, seen.new_zeros(count, more)], dim=1)
        up = self._up(camera).expand(count, 3)
        located = self._located(Detected(rays, seen.float(), seen, up), stature_m, anatomical=True)
        return located.joints_cam.to(keypoints_px)
