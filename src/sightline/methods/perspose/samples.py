"""Somebody in a picture becomes a crop with its camera and truth: what the network learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sightline.camera import Camera
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.crops import Nudge, person_views
from sightline.methods.perspose.flip import flipped_intrinsics, flipped_truth
from sightline.methods.perspose.geometry import uvd_from_xyz
from sightline.methods.perspose.loss import Truth
from sightline.methods.perspose.model import LEAVES, TREE, PersPoseConfig
from sightline.perspective import VirtualCamera, keypoints_in_virtual, poses_in_virtual
from sightline.perspective.resampling import crop_pictures

_DIAGONALS = 1.0
"""Focal length that stands in for an unknown one, in diagonals of the picture: 53° across it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Person:
    """Somebody in a picture: where, and as much of the truth as is known; None and NaN are what is not."""

    box_px: Float[np.ndarray, "4"]
    """Left, top, right, bottom."""
    camera: Camera | None = None
    """Of the picture; without it pixels, shape and leaf rotations are learnt, and the network is told that."""
    landmarks_cam: Float[np.ndarray, "landmark 3"] | None = None
    """Points of `ALL_LANDMARKS` (m, camera's frame)."""
    landmarks_px: Float[np.ndarray, "landmark 2"] | None = None
    """Where points are in the picture, for whoever has no 3D."""
    stature_m: float = np.nan
    shape: Float[np.ndarray, " number"] | None = None
    twists_cam: Float[np.ndarray, "24 3"] | None = None
    """In the camera's frame; see `body.tree_truth`, as of the next."""
    leaf_rotations: Float[np.ndarray, "leaf 3 3"] | None = None
    coarse: bool = False
    """See `loss.Truth.coarse`."""

    def __post_init__(self) -> None:
        count = len(ALL_LANDMARKS)
        shapes = {
            "box_px": (4,), "landmarks_cam": (count, 3), "landmarks_px": (count, 2),
            "twists_cam": (len(TREE.joints), 3), "leaf_rotations": (len(LEAVES), 3, 3),
        }  # fmt: skip
        for name, expected in shapes.items():
            value = getattr(self, name)
            if value is not None and value.shape != expected:
                raise ValueError(f"{name}: expected {expected}, got {value.shape}")
        for name in ("landmarks_cam", "twists_cam"):
            if getattr(self, name) is not None and self.camera is None:
                raise ValueError(f"{name}: expected the camera in whose frame they are")


class Samples(NamedTuple):
    """Crops as the network takes them, with their truth."""

    crops: Float[Tensor, "batch 3 size size"]
    """RGB, 0…1."""
    views: VirtualCamera
    known: Bool[Tensor, " batch"]
    """Whether the picture's camera is known."""
    truth: Truth


def sample(
    image: UInt8[np.ndarray, "height width 3"],
    person: Person,
    network: PersPoseConfig,
    nudge: Nudge | None = None,
    *,
    mirrored: bool = False,
) -> Samples:
    """Cut out one person (a batch of one); `valid` of the view is False, and the truth NaN, where there is no crop.

    Args:
        image: the picture, RGB.
        person: whom to cut out.
        network: for which crops are cut: size, rotation, joints.
        nudge: augmentation, of one crop.
        mirrored: whether left and right are swapped, of picture, camera and truth.
    """
    height, width = image.shape[:2]
    camera = person.camera or Camera.create((width, height), _DIAGONALS * float(np.hypot(width, height)))
    box = torch.from_numpy(np.asarray(person.box_px, np.float64))
    crop_wh = (network.size_px, network.size_px)
    center, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    views = person_views(camera, center[None], size[None], crop_wh, rotation=network.rotation, nudge=nudge)
    picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
    camera_batch = camera.expand(1) if not camera.batch_shape else camera
    crops = crop_pictures(picture[None], camera_batch.to(torch.float32), _single(views), crop_wh)
    truth = _truth(person, camera, views, network)
    views, known = _single(views), torch.tensor([person.camera is not None])
    if mirrored:
        size_px = float(network.size_px)
        crops, truth = crops.flip(-1), flipped_truth(truth, network.landmarks, size_px)
        views = _mirrored(views, size_px)
    return Samples(crops, views, known, truth)


def collated(samples: Sequence[Samples]) -> Samples:
    """Join samples into one batch.

    Raises:
        ValueError: for none.
    """
    if not samples:
        raise ValueError("samples: expected at least one")
    return Samples(
        torch.cat([one.crops for one in samples]),
        VirtualCamera(*(torch.cat(parts) for parts in zip(*(one.views for one in samples), strict=True))),
        torch.cat([one.known for one in samples]),
        Truth(*(torch.cat(parts) for parts in zip(*(one.truth for one in samples), strict=True))),
    )


def _single(views: VirtualCamera) -> VirtualCamera:
    return VirtualCamera(views.cam_from_virtual.float(), views.intrinsics.float(), views.valid)


def _mirrored(views: VirtualCamera, width_px: float) -> VirtualCamera:
    """The view of the mirrored picture; its frame is the mirrored one's."""
    mirror = torch.tensor((-1.0, 1.0, 1.0))
    turn = views.cam_from_virtual * mirror[:, None] * mirror
    return VirtualCamera(turn, flipped_intrinsics(views.intrinsics, width_px), views.valid)


def _truth(person: Person, camera: Camera, views: VirtualCamera, network: PersPoseConfig) -> Truth:
    """The truth of one crop, in its camera's frame (float32)."""
    rows = [ALL_LANDMARKS.index(name) for name in network.landmarks]
    nan, joints, body = torch.nan, len(rows), network.shape_numbers > 0
    uv = torch.full((1, joints, 2), nan)
    depth, scale = torch.full((1, joints), nan), torch.full((1,), nan)
    there = bool(views.valid.all())
    if there and person.landmarks_cam is not None:
        points = torch.from_numpy(np.asarray(person.landmarks_cam, np.float64))[None, rows]
        uv, depth, scale = uvd_from_xyz(poses_in_virtual(views, points), views.intrinsics)
    elif there and person.landmarks_px is not None:
        points = torch.from_numpy(np.asarray(person.landmarks_px, np.float64))[None, rows]
        uv = keypoints_in_virtual(camera, views, points)
    shape = torch.full((1, network.shape_numbers), nan)
    twists, leaves = torch.full((1, len(TREE.joints) * body, 3), nan), torch.full((1, len(LEAVES) * body, 3, 3), nan)
    if body and there:
        if person.shape is not None:
            if len(person.shape) != network.shape_numbers:
                raise ValueError(f"shape: expected {network.shape_numbers} numbers, got {len(person.shape)}")
            shape = torch.from_numpy(np.asarray(person.shape, np.float32))[None]
        if person.twists_cam is not None:
            turned = torch.from_numpy(np.asarray(person.twists_cam, np.float64))[None]
            twists = turned @ views.cam_from_virtual
        if person.leaf_rotations is not None:
            leaves = torch.from_numpy(np.asarray(person.leaf_rotations, np.float32))[None]
    return Truth(
        uv.float(), depth.float(), scale.float(), torch.tensor([person.stature_m], dtype=torch.float32), shape.float(),
        twists.float(), leaves.float(), torch.tensor([person.coarse]),
    )  # fmt: skip
