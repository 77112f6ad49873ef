"""Two ways from keypoints to metres behind one door: the paper's lifter, and the one that eats detections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera
from sightline.engine import UNDEFINED, LiftedPeople, Readied, rays_of, up_of
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
        return None if placed else UNDEFINED

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
        rays = rays_of(people, skeleton, camera, least=LEAST_SEEN)
        xy, confidence, seen = (torch.from_numpy(array) for array in rays[:3])
        rows = Detected(xy.float(), confidence.float(), seen, _up(camera).expand(len(people), 3))
        return Readied(rows=rows, anatomical=skeleton.name == "h36m17", reasons=rays.reasons)

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
        up = _up(camera).expand(count, 3)
        located = self._located(Detected(rays, seen.float(), seen, up), stature_m, anatomical=True)
        return located.joints_cam.to(keypoints_px)


def _up(camera: Camera) -> Float[Tensor, " 3"]:
    """Against gravity as the camera sees it; zeros where the camera does not know its world."""
    up = up_of(camera)
    return torch.zeros(3) if up is None else up.float()
