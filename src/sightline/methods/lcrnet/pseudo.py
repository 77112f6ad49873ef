"""Pseudo ground truth: 2D annotations completed and given depth by the nearest view of motion capture (section 3.7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.geometry.rotation import rotation_angle
from sightline.methods.lcrnet.search import PoseIndex, normalised, pose_index
from sightline.methods.lcrnet.views import about_the_torso
from sightline.skeleton import Skeleton

LARGEST_TURN_DEG: Final = 25.0
"""How far a refined match may turn from the view that was found."""
FARTHEST: Final = 0.5
"""D_2D beyond which a match says nothing; those of people in poses that motion capture has are about 0.1."""
_STEPS: Final = 8
_DAMPING: Final = 1e-3
_TINY: Final = 1e-12


class PseudoTruth(NamedTuple):
    """What is taken for true of annotated people."""

    points_px: Float[Tensor, "person joint 2"]
    """Annotated joints as they were, the others where the match has them."""
    joints_m: Float[Tensor, "person joint 3"]
    """Of the match, about the middle of the torso, in a camera's axes."""
    distance: Float[Tensor, " person"]
    """D_2D between annotation and match, both centred and scaled to norm 1 on the annotated joints: 0 to 2."""
    rows: Int[Tensor, " person"]
    """Numbers of the matches among the views."""


@dataclass(frozen=True, eq=False)
class MocapViews:
    """Views of motion capture, ready to be searched. Make them with `mocap_views`."""

    skeleton: Skeleton
    joints_m: Float[Tensor, "view joint 3"]
    """About the middle of the torso, in a camera's axes (x right, y down, z ahead)."""
    index: PoseIndex

    def pseudo_truth(
        self,
        points_px: Float[Tensor, "person joint 2"],
        *,
        refined: bool = False,
        candidates: int = 8,
        farthest: float = FARTHEST,
    ) -> PseudoTruth:
        """Return pose and missing joints of annotated people (eq. 9).

        Args:
            points_px: annotated joints (px, any origin); NaN for those that are not.
            refined: beyond the paper, turn the nearest few views until their joints lie on the annotated ones as well
                as may be, and take the best; otherwise the nearest view is taken as it is.
            candidates: how many views are turned.
            farthest: people whose match is farther than this get none: no 3D pose (NaN), and no joint but their own.

        Raises:
            ValueError: for other shapes, or people with fewer than three annotated joints or all of them in one point.
        """
        count = min(candidates, self.index.count) if refined else 1
        found = self.index.search(points_px, count)
        known = points_px.isfinite().all(-1)
        poses, distance, rows = self.joints_m[found.rows].double(), found.distance, found.rows
        if refined:
            poses = turned_onto(poses, points_px.double()[:, None], known[:, None])
            distance = (normalised(poses[..., :2].where(known[:, None, :, None], torch.nan))
                        - normalised(points_px.double())[:, None]).flatten(2).norm(dim=-1)  # fmt: skip
            distance = distance.nan_to_num(2.0)
            best = distance.argmin(1, keepdim=True)
            distance, rows = distance.gather(1, best), rows.gather(1, best)
            poses = poses.gather(1, best[..., None, None].expand(-1, -1, *poses.shape[2:]))
        pose = torch.where(distance[:, :1, None] <= farthest, poses[:, 0], torch.nan)
        completed = torch.where(known[..., None], points_px, _laid_over(pose[..., :2], points_px, known))
        return PseudoTruth(completed, pose.float(), distance[:, 0], rows[:, 0])


def mocap_views(joints_m: Float[Tensor, "view joint 3"], skeleton: Skeleton) -> MocapViews:
    """Make views searchable by their orthographic pictures.

    Args:
        joints_m: poses in a camera's axes (`views.drawn_views`).
        skeleton: their joints.

    Raises:
        ValueError: for no views, or views that are not finite.
    """
    if joints_m.ndim != 3 or joints_m.shape[1:] != (len(skeleton), 3):
        raise ValueError(f"joints_m: expected (view, {len(skeleton)}, 3), got {tuple(joints_m.shape)}")
    joints = about_the_torso(joints_m, skeleton).float()
    return MocapViews(skeleton, joints, pose_index(joints[..., :2]))


def turned_onto(
    joints_m: Float[Tensor, "*#batch joint 3"],
    points_px: Float[Tensor, "*#batch joint 2"],
    known: Bool[Tensor, "*#batch joint"],
) -> Float[Tensor, "*batch joint 3"]:
    """Turn poses so that their scaled orthographic pictures lie on annotated joints as well as may be.

    Levenberg's steps on the rotation; scale and place are the best ones, in closed form, at every step. No step is
    taken that does not come nearer, or that turns a pose by more than `LARGEST_TURN_DEG` from where it was.
    """
    shape = torch.broadcast_shapes(joints_m.shape[:-1], points_px.shape[:-1], known.shape)
    joints_m, known = joints_m.expand(*shape, 3), known.expand(shape)
    target = _centred(points_px.expand(*shape, 2), known)
    turn = torch.eye(3, dtype=joints_m.dtype).expand(*joints_m.shape[:-2], 3, 3)
    damping = joints_m.new_full(joints_m.shape[:-2], _DAMPING)
    still, fit = turn, _fitted(joints_m, target, known)
    for _ in range(_STEPS):
        now = joints_m @ turn.mT
        axes = _slopes(now, fit, known)
        square = axes.mT @ axes
        size = square.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(_TINY)
        weight = (damping * size)[..., None, None] * torch.eye(3, dtype=now.dtype)
        step = torch.linalg.solve(square + weight, -axes.mT @ fit.missed.flatten(-2)[..., None])[..., 0]
        further = roma.rotvec_to_rotmat(step) @ turn
        after = _fitted(joints_m @ further.mT, target, known)
        better = (after.cost < fit.cost) & (rotation_angle(further, still) <= math.radians(LARGEST_TURN_DEG))
        turn = torch.where(better[..., None, None], further, turn)
        fit = _fitted(joints_m @ turn.mT, target, known)
        damping = torch.where(better, damping / 4, damping * 8)
    return joints_m @ turn.mT


class _Fit(NamedTuple):
    """The picture of poses laid over annotated joints, both centred on those."""

    picture: Float[Tensor, "*batch joint 2"]
    scale: Float[Tensor, "*batch"]
    missed: Float[Tensor, "*batch joint 2"]
    cost: Float[Tensor, "*batch"]


def _fitted(joints_m: Tensor, target: Tensor, known: Tensor) -> _Fit:
    picture = _centred(joints_m[..., :2], known)
    square = picture.square().sum((-2, -1)).clamp_min(_TINY)
    scale = ((picture * target).sum((-2, -1)) / square).clamp_min(0.0)  # below: a point mirrored, not a view
    missed = scale[..., None, None] * picture - target
    return _Fit(picture, scale, missed, missed.square().sum((-2, -1)))


def _slopes(now: Tensor, fit: _Fit, known: Tensor) -> Float[Tensor, "*batch coordinate axis"]:
    """How the picture moves as the pose turns about each axis, less what another scale makes up for."""
    x, y, z = now.unbind(-1)
    none = torch.zeros_like(x)
    moved = (torch.stack((none, -z), -1), torch.stack((z, none), -1), torch.stack((-y, x), -1))
    slopes = torch.stack([_centred(each, known).flatten(-2) for each in moved], dim=-1) * fit.scale[..., None, None]
    along = fit.picture.flatten(-2)[..., None]
    return slopes - along * ((along.mT @ slopes) / along.square().sum((-2, -1), keepdim=True).clamp_min(_TINY))


def _centred(points: Tensor, known: Tensor) -> Tensor:
    """Points less their mean over the known ones; 0 for the others."""
    filled = torch.where(known[..., None], points, 0.0)
    mean = filled.sum(-2, keepdim=True) / known.sum(-1)[..., None, None].clamp_min(1)
    return torch.where(known[..., None], filled - mean, 0.0)


def _laid_over(
    picture: Float[Tensor, "person joint 2"],
    points_px: Float[Tensor, "person joint 2"],
    known: Bool[Tensor, "person joint"],
) -> Float[Tensor, "person joint 2"]:
    """All joints of poses' pictures, scaled and placed so that the known ones lie on annotated joints (px)."""
    weight = known.sum(-1)[..., None, None].clamp_min(1)
    there = torch.where(known[..., None], points_px.double(), 0.0).sum(-2, keepdim=True) / weight
    here = torch.where(known[..., None], picture, 0.0).sum(-2, keepdim=True) / weight
    fit = _fitted(picture, _centred(points_px.double(), known), known)
    return (fit.scale[..., None, None] * (picture - here) + there).to(points_px.dtype)
