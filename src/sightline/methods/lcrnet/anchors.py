"""Anchor poses: the K poses that everything else is told as a difference to (paper 003, sections 3.1 and 4)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import InputError
from sightline.formats.strict import (
    as_object,
    check_keys,
    get_array,
    get_choice,
    get_integer,
    get_list,
    get_number,
    load_json,
    place,
    write_json,
)
from sightline.joint_sets import JOINT_SETS
from sightline.methods.lcrnet.boxes import BOX_MARGIN, box_coordinates, pose_boxes, upper_rows
from sightline.methods.lcrnet.views import torso_rows
from sightline.skeleton import Skeleton, get_skeleton

FORMAT: Final = "sightline/anchors"
VERSION: Final = 1
_DECIMALS: Final = 5
_BLOCK: Final = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class AnchorPoses:
    """K poses, each seen whole and as an upper body: 2 K classes, the whole ones first.

    Raises:
        ValueError: for shapes that do not fit, coordinates that are not finite, or poses that are not about the torso.
    """

    skeleton: Skeleton
    joints_m: Float[np.ndarray, "anchor joint 3"]
    """About the middle of the torso, in a camera's axes (x right, y down, z ahead)."""
    share: Float[np.ndarray, " anchor"]
    """How many of the poses that they were fitted to each of them stands for."""

    def __post_init__(self) -> None:
        shape = np.shape(self.joints_m)
        if len(shape) != 3 or not shape[0] or shape[1:] != (len(self.skeleton), 3):
            raise ValueError(f"joints_m: expected (anchor, {len(self.skeleton)}, 3), got {shape}")
        if np.shape(self.share) != shape[:1]:
            raise ValueError(f"share: expected {shape[0]} numbers, got {np.shape(self.share)}")
        joints = np.array(self.joints_m, dtype=np.float64)
        if not np.isfinite(joints).all():
            raise ValueError("joints_m: expected finite numbers")
        if np.abs(joints[:, torso_rows(self.skeleton)].mean(axis=1)).max() > 1e-3:
            raise ValueError("joints_m: expected poses about the middle of the torso")
        for name, array in (("joints_m", joints), ("share", np.array(self.share, dtype=np.float64))):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """K."""
        return len(self.joints_m)

    @cached_property
    def upper_rows(self) -> Int[np.ndarray, " joint"]:
        """The joints that the box of an upper body is around: head to hips."""
        return upper_rows(self.skeleton)

    @cached_property
    def in_box(self) -> Float[np.ndarray, "class joint 2"]:
        """2D anchors of all 2 K classes: where each joint lies in the box, whose corners are (0, 0) and (1, 1).

        The orthographic picture of the pose, whose own box, or that of the upper body, is laid over the box. The legs
        of upper bodies lie below it, at y above 1.
        """
        points = self.joints_m[..., :2]
        whole, upper = (pose_boxes(part, BOX_MARGIN) for part in (points, points[:, self.upper_rows]))
        return np.concatenate([box_coordinates(points, boxes) for boxes in (whole, upper)])

    def nearest(
        self, joints_m: Float[np.ndarray, "pose joint 3"] | Float[Tensor, "pose joint 3"]
    ) -> tuple[Int[np.ndarray, " pose"], Float[np.ndarray, " pose"]]:
        """Return the anchor that each pose is nearest to, and how far it is: D_3D, the mean distance of joints (m).

        Poses are taken about the middle of their torso.
        """
        poses = torch.as_tensor(joints_m, dtype=torch.float32).cpu()
        poses = poses - poses[:, torso_rows(self.skeleton)].mean(1, keepdim=True)
        anchors = torch.tensor(self.joints_m, dtype=torch.float32)
        chosen, distance = [np.zeros(0, np.int64)], [np.zeros(0)]
        for part in poses.split(max(1, _BLOCK // len(anchors)) * 16):
            apart = torch.zeros(len(part), len(anchors))
            for joint in range(len(self.skeleton)):
                apart += torch.cdist(part[:, joint], anchors[:, joint], compute_mode="donot_use_mm_for_euclid_dist")
            least = apart.min(dim=1)
            chosen.append(least.indices.numpy())
            distance.append(least.values.double().numpy() / len(self.skeleton))
        return np.concatenate(chosen), np.concatenate(distance)


def same_poses(one: AnchorPoses, other: AnchorPoses) -> bool:
    """Return whether anchors are the same but for rounding, as when weights were kept in half precision."""
    return (
        one.skeleton == other.skeleton
        and one.joints_m.shape == other.joints_m.shape
        and bool(np.abs(one.joints_m - other.joints_m).max() < 2e-3)
    )


def fit_anchors(
    joints_m: Float[Tensor, "pose joint 3"], count: int, skeleton: Skeleton, *, seed: int = 0
) -> AnchorPoses:
    """Cluster oriented poses by k-means (k-means++, one start); anchors come by how many poses they stand for.

    Args:
        joints_m: poses about the middle of the torso, in a camera's axes (`views.drawn_views`).
        count: K.
        skeleton: their joints.
        seed: of the start.

    Raises:
        ValueError: for fewer poses that differ than anchors, or a pose that is not finite.
    """
    if not 1 <= count <= len(joints_m):
        raise ValueError(f"anchors: expected 1 to {len(joints_m)}, as many as there are poses, got {count}")
    if not bool(joints_m.isfinite().all()):
        raise ValueError("joints_m: expected finite poses")
    from sklearn.cluster import KMeans  # takes a second
    from sklearn.exceptions import ConvergenceWarning

    flat = joints_m.reshape(len(joints_m), -1).float().numpy()
    clusters = KMeans(n_clusters=count, n_init=1, random_state=seed)  # pyright: ignore[reportArgumentType]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # which is said better below
        share = np.bincount(clusters.fit_predict(flat), minlength=count) / len(flat)
    if not share.all():
        raise ValueError(f"anchors: expected at least {count} poses that differ, got {np.count_nonzero(share)}")
    order = np.argsort(-share, kind="stable")
    joints = clusters.cluster_centers_.reshape(count, -1, 3)[order].astype(np.float64)
    joints -= joints[:, torso_rows(skeleton)].mean(axis=1, keepdims=True)  # means of float32 sums are not quite so
    return AnchorPoses(skeleton=skeleton, joints_m=joints, share=share[order])


def write_anchors(anchors: AnchorPoses, path: str | Path) -> None:
    """Write anchor poses as JSON (docs/schemas/anchors.schema.json). InputError where it cannot be written."""
    poses = np.round(anchors.joints_m, _DECIMALS) + 0.0
    write_json(
        {
            "format": FORMAT,
            "version": VERSION,
            "skeleton": anchors.skeleton.name,
            "anchors": [
                {"share": round(float(share), 6), "joints_m": pose}
                for share, pose in zip(anchors.share, poses.tolist(), strict=True)
            ],
        },
        path,
        indent=None,
    )


def read_anchors(path: str | Path) -> AnchorPoses:
    """Read anchor poses. InputError, with the place, for whatever the format does not know."""
    content, where = load_json(path), str(path)
    check_keys(content, ("format", "version", "skeleton", "anchors"), (), where)
    get_choice(content, "format", (FORMAT,), where)
    if get_integer(content, "version", where) != VERSION:
        raise InputError(
            f"{place(where, 'version')}: expected {VERSION}, got {content['version']}: from another release"
        )
    skeleton = get_skeleton(get_choice(content, "skeleton", tuple(JOINT_SETS), where))
    rows = get_list(content, "anchors", where)
    joints, share = [], []
    for number, row in enumerate(rows):
        own = place(where, "anchors", number)
        row = as_object(row, own)
        check_keys(row, ("share", "joints_m"), (), own)
        joints.append(get_array(row, "joints_m", (len(skeleton), 3), own))
        share.append(get_number(row, "share", own, low=0, high=1))
    try:
        poses = np.array(joints).reshape(len(rows), len(skeleton), 3)
        return AnchorPoses(skeleton=skeleton, joints_m=poses, share=np.array(share))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
