"""Lifting from the Deep behind the door of every lifter: keypoints and a camera → people in metres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera
from sightline.engine import LiftedPeople, Readied, rays_of, up_of
from sightline.geometry.rotation import no_roll_rotation
from sightline.geometry.translation import solve_translation
from sightline.gravity import Tilt, tilted_by
from sightline.methods.deeplift.map_lifter import MapConfig, MapLifter, MapPoses
from sightline.methods.deeplift.posterior import Posterior, joint_covariance
from sightline.methods.deeplift.prior import LEAST_JOINTS, PosePrior
from sightline.methods.deeplift.shapes import JOINTS
from sightline.methods.deeplift.sizing import size_from_limbs, size_from_stature
from sightline.methods.deeplift.weights import PriorConfig
from sightline.skeleton import Skeleton
from sightline.structures import PersonKeypoints

MODES = 3
"""Poses that are told of each person where the picture leaves a choice."""
_LEVELS = (1.0, 0.3, 0.1)
"""Weights of landmarks by the detector's confidence: sure, doubtful, hardly."""
_SURE, _DOUBTFUL = 0.5, 0.25
_LIMB_SPREAD = 0.04
"""How much people's limbs differ in length (relative) from what goes with their size."""
_TOGETHER = 256
"""People lifted together, which bounds memory."""


class _Landmarks(NamedTuple):
    xy: Float[Tensor, "person 17 2"]
    weight: Float[Tensor, "person 17"]


class DeepLiftEngine:
    """The prior's own lifter: any joint set that shares five landmarks with `h36m17`, none of them in particular.

    It works on the processor, whatever device tensors come from.

    Args:
        prior: what poses are like.
        config: what its passport tells.
        lifting: how landmarks are lifted; by default with three modes, refined, in full perspective.
        tilt: of cameras that do not know their place in the world; level by default.
    """

    def __init__(
        self,
        prior: PosePrior,
        config: PriorConfig,
        lifting: MapConfig | None = None,
        tilt: Tilt | None = None,
    ) -> None:
        self.prior, self.config, self.tilt = prior, config, tilt or Tilt()
        self.lifter = MapLifter(prior, lifting or MapConfig(modes=MODES))

    @property
    def mean_stature_m(self) -> float | None:
        """The stature (m) that stands in where none is given: the mean of those whom the prior was fitted to."""
        return self.prior.stature_m

    @property
    def anatomical_stature_m(self) -> float | None:
        """The same for joints of `h36m17`."""
        return self.prior.stature_m

    @property
    def details(self) -> dict[str, str | float]:
        """What the results should tell about it."""
        return {
            "orientation": self.prior.orientation,
            "components": float(self.prior.components),
            "basis": float(self.prior.basis_size),
            "rotations": float(self.lifter.config.rotations),
            "mean_stature_m": round(self.prior.stature_m, 4),
            "canonical_depth": "derived through the focal length",
        }

    def ready(self, people: Sequence[PersonKeypoints], skeleton: Skeleton, camera: Camera) -> Readied:
        """Convert people seen by one camera."""
        rays = rays_of(people, skeleton, camera, least=LEAST_JOINTS, landmarks=JOINTS)
        sure = np.select([rays.confidence >= _SURE, rays.confidence >= _DOUBTFUL], _LEVELS[:2], _LEVELS[2])
        weight = torch.from_numpy(np.where(rays.seen, sure, 0.0))
        return Readied(rows=_Landmarks(torch.from_numpy(rays.xy), weight), reasons=rays.reasons)

    def lift(self, readied: Readied, rows: Sequence[int], camera: Camera, stature_m: Tensor) -> LiftedPeople:
        """Lift some of them; statures (m) are NaN where unknown."""
        assert isinstance(readied.rows, _Landmarks)
        landmarks = _Landmarks(*(value[list(rows)] for value in readied.rows))
        return self.lift_rays(*landmarks, self._up(camera), stature_m)

    def _up(self, camera: Camera) -> Float[Tensor, "*batch 3"] | None:
        """Against gravity as the camera sees it; None where nothing is known of it."""
        known = up_of(camera)
        return self.tilt.up_cam if known is None and self.tilt.known else known

    @torch.no_grad()
    def lift_array(
        self, keypoints_px: Float[Tensor, "batch joint 2"], camera: Camera, stature_m: Tensor | None
    ) -> Float[Tensor, "batch joint 3"]:
        """Lift arrays of `h36m17` keypoints (px, corner origin); NaN where missing."""
        pixels = keypoints_px.cpu()
        xy, placed = camera.normalized(pixels.nan_to_num())
        seen = placed & pixels.isfinite().all(-1)
        points = torch.where(seen[..., None], xy, 0.0).double()
        stature = points.new_full((len(points),), torch.nan) if stature_m is None else stature_m.cpu()
        lifted = self.lift_rays(points, seen.double(), self._up(camera), stature)
        return torch.from_numpy(lifted.joints_cam).to(keypoints_px)

    @torch.no_grad()
    def lift_rays(
        self,
        xy: Float[Tensor, "person 17 2"],
        weight: Float[Tensor, "person 17"],
        up: Float[Tensor, "*#person 3"] | None,
        stature_m: Float[Tensor, " person"],
        limbs_m: Float[Tensor, "person 16"] | None = None,
    ) -> LiftedPeople:
        """Turn the camera towards each person, lift there, give them their size and place, and turn back.

        Args:
            xy: landmarks of `h36m17` on the plane z = 1 of the camera, finite.
            weight: how much each counts, 0 for one that was not seen.
            up: against gravity as the camera sees it; None for a camera that does not know it, which counts as level.
            stature_m: heights, NaN where unknown.
            limbs_m: measured lengths of limbs, for those without a height, as `sizing.size_from_limbs` takes them.
        """
        xy, weight, stature_m = xy.cpu().double(), weight.cpu().double(), stature_m.cpu().double()
        up_cam = None if up is None else up.cpu().double().expand(len(xy), 3)
        starts = range(0, max(len(xy), 1), _TOGETHER)
        parts = []
        for some in (slice(start, start + _TOGETHER) for start in starts):
            ups, limbs = (None if value is None else value[some].cpu() for value in (up_cam, limbs_m))
            parts.append(self._lifted(xy[some], weight[some], ups, stature_m[some], limbs))
        return LiftedPeople(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _lifted(
        self, xy: Tensor, weight: Tensor, up: Tensor | None, stature_m: Tensor, limbs_m: Tensor | None
    ) -> tuple[np.ndarray, ...]:
        seen = weight > 0
        turned_from_cam = no_roll_rotation(_middle(xy, seen))
        rays = torch.cat([xy, torch.ones_like(xy[..., :1])], dim=-1) @ turned_from_cam.mT
        ahead = rays[..., 2] > 0.05
        xy = rays[..., :2] / torch.where(ahead, rays[..., 2], 1.0)[..., None]
        weight = torch.where(seen & ahead, weight, 0.0)
        poses = self._posed(xy, weight, turned_from_cam, up)
        joints, size, spread = self._sized(poses, stature_m, limbs_m)
        root = solve_translation(joints - joints[:, :, :1], xy[:, None], weight[:, None])
        placed = joints - joints[:, :, :1] + root[:, :, None]
        back = turned_from_cam.mT
        joints_cam = placed @ back.mT[:, None]
        sigma = self._sigma(poses, weight, size[:, 0], spread, joints_cam, back)
        return joints_cam[:, 0].numpy(), sigma.numpy(), joints_cam.numpy(), poses.share.nan_to_num().numpy()

    def _posed(self, xy: Tensor, weight: Tensor, turned_from_cam: Tensor, up: Tensor | None) -> MapPoses:
        """Poses before cameras that look straight at people; of several tilts of their camera the likeliest one's."""
        if self.prior.orientation == "any":
            up_turned = None if up is None else (turned_from_cam @ up[..., None])[..., 0]
            return self.lifter.lift(xy, weight, up_cam=up_turned, posteriors=1)
        level = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64).expand(len(xy), 3)
        ups = [tilted_by(level if up is None else up, tried) for tried in self.tilt.tried_rad]
        found = [
            self.lifter.lift(xy, weight, up_cam=(turned_from_cam @ one[..., None])[..., 0], posteriors=1) for one in ups
        ]
        best = torch.stack([one.cost[:, 0].nan_to_num(torch.inf) for one in found]).argmin(0)
        rows = torch.arange(len(xy))
        known = [one.posterior for one in found if one.posterior is not None]
        likeliest = (torch.stack(values)[best, rows] for values in zip(*(one[:-1] for one in found), strict=True))
        how_sure = Posterior(*(torch.stack(values)[best, rows] for values in zip(*known, strict=True)))
        return MapPoses(*likeliest, posterior=how_sure)

    def _sized(
        self, poses: MapPoses, stature_m: Tensor, limbs_m: Tensor | None
    ) -> tuple[Tensor, Tensor, Float[Tensor, " person"]]:
        """Poses in metres about the mean of their joints, metres per body size, and how uncertain (relative) that is.

        By the height that is given; else by the limbs that were measured; else by the prior's mean stature.
        """
        wanted = torch.where(stature_m.isnan(), self.prior.stature_m, stature_m)
        size, unknown = size_from_stature(poses.joints, wanted), stature_m.isnan()
        spread = torch.where(unknown, self.prior.size_spread, 0.0)
        if limbs_m is not None:
            count = (~limbs_m.isnan()).sum(1)
            measured = unknown & (count > 0)
            size = torch.where(measured[:, None], size_from_limbs(poses.joints, limbs_m.double()), size)
            spread = torch.where(measured, _LIMB_SPREAD / count.clamp_min(1).sqrt(), spread)
        return poses.joints * size[..., None, None], size, spread

    def _sigma(
        self,
        poses: MapPoses,
        weight: Float[Tensor, "person 17"],
        size_m: Float[Tensor, " person"],
        spread: Float[Tensor, " person"],
        joints_cam: Float[Tensor, "person mode 17 3"],
        cam_from_turned: Float[Tensor, "person 3 3"],
    ) -> Float[Tensor, "person 17 3"]:
        """Standard deviations (m) of the likeliest pose's joints: four shares that are independent of each other.

        What its own mode leaves open about the mean of the joints; where that mean is across the line of sight; how
        large the person is seen and, where no height is given, is, both of which move them along it; the other modes.
        """
        assert poses.posterior is not None  # asked for
        whole = joint_covariance(poses.posterior.covariance[:, 0], None)
        inside = whole.diagonal(dim1=-4, dim2=-2).movedim(-1, -3)
        across = poses.noise[:, 0].square() / weight.sum(1).clamp_min(1e-9)
        inside = inside + across[:, None, None, None] * torch.diag(torch.tensor([1.0, 1.0, 0.0]).to(across))
        turned = (cam_from_turned[:, None] @ inside @ cam_from_turned.mT[:, None]).diagonal(dim1=-2, dim2=-1)
        own = turned.clamp_min(0.0) * size_m.square()[:, None, None]
        scale = poses.posterior.scale[:, 0].square() + spread.square()
        along = scale[:, None, None] * joints_cam[:, 0].square()
        share = poses.share.nan_to_num()[..., None, None]
        between = (share * (joints_cam - joints_cam[:, :1]).square().nan_to_num()).sum(1)
        factor = torch.where(spread > 0, self.config.sigma_factor, self.config.sigma_factor_known)
        return factor[:, None, None] * (own + along + between).sqrt()


def _middle(xy: Float[Tensor, "person 17 2"], seen: Bool[Tensor, "person 17"]) -> Float[Tensor, "person 3"]:
    """The middle of the box about each person's landmarks, as a direction; ahead where nothing was seen."""
    low = xy.masked_fill(~seen[..., None], torch.inf).amin(1)
    high = xy.masked_fill(~seen[..., None], -torch.inf).amax(1)
    middle = torch.where(seen.any(1, keepdim=True), (low + high) / 2, 0.0)
    return torch.cat([middle, torch.ones_like(middle[:, :1])], dim=1)
