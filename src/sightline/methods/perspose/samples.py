"""Somebody in a picture becomes a crop with its camera and truth: what the network learns from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sightline.camera import Camera
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.perspose.crops import Nudge, person_views
from sightline.methods.perspose.flip import flipped_intrinsics, flipped_truth
from sightline.methods.perspose.geometry import uvd_from_xyz
from sightline.methods.perspose.loss import Truth
from sightline.methods.perspose.model import LEAVES, TREE
from sightline.nn.joint_network import JointNetwork
from sightline.perspective import VirtualCamera, keypoints_in_virtual, poses_in_virtual
from sightline.perspective.pyramid import levels_for, look_up_smoothly
from sightline.perspective.resampling import crop_grid

_DIAGONALS = 1.0
"""Focal length that stands in for an unknown one, in diagonals of the picture: 53° across it."""


@runtime_checkable
class CropKind(Protocol):
    """What crops are to be: what a network of any method that sees people in crops says of itself."""

    @property
    def size_px(self) -> int:
        """Side of the crops."""
        ...

    @property
    def rotation(self) -> bool:
        """Whether they are those of a camera turned to the person."""
        ...

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Whose truth is wanted, by names of `ALL_LANDMARKS`; the first is the root of depths."""
        ...

    @property
    def shape_numbers(self) -> int:
        """Of the body's shape; 0 without shape, twists and rotations."""
        ...


@dataclass(frozen=True, kw_only=True)
class CropConfig:
    """Crops for a network that learns joints, and nothing of bodies."""

    size_px: int
    landmarks: tuple[str, ...]
    rotation: bool = False
    shape_numbers: int = 0


def crops_of(network: JointNetwork) -> CropConfig:
    """Return the kind of crops that a network sees which finds joints."""
    landmarks = tuple(ALL_LANDMARKS[row] for row in rows_of(network.skeleton))
    return CropConfig(size_px=network.size_px, landmarks=landmarks, rotation=network.rotation)


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
    up: Float[Tensor, "batch 3"]
    """Against gravity, in the frame of the crop's camera, of length 1; a picture's camera without a world is level."""


def sample(
    image: UInt8[np.ndarray, "height width 3"],
    person: Person,
    network: CropKind,
    nudge: Nudge | None = None,
    *,
    mirrored: bool = False,
) -> Samples:
    """Cut out one person (a batch of one); see `samples`."""
    return samples([(image, person)], network, nudge, mirrored=[mirrored])


def samples(
    people: Sequence[tuple[UInt8[np.ndarray, "_ _ 3"], Person]],
    network: CropKind,
    nudge: Nudge | None = None,
    *,
    mirrored: Sequence[bool] = (),
) -> Samples:
    """Cut out people; `valid` of the view is False, and the truth NaN, where there is no crop.

    Args:
        people: each with the picture they are in, RGB; pictures and cameras may be of any kinds.
        network: for which crops are cut: size, rotation, joints.
        nudge: augmentation, one for each.
        mirrored: of whom left and right are swapped, of picture, camera and truth; nobody without it.

    Raises:
        ValueError: for nobody, or a shape of another body model's than the network's.
    """
    if not people:
        raise ValueError("people: expected at least one")
    flips = torch.tensor([*mirrored] or [False] * len(people))
    cameras = [_camera_of(image, person) for image, person in people]
    kinds: dict[Hashable, list[int]] = {}
    for row, ((image, _), camera) in enumerate(zip(people, cameras, strict=True)):
        lens = None if camera.distortion is None else camera.distortion.model
        kinds.setdefault((image.shape, lens, camera.has_world, camera.dtype), []).append(row)
    made, order = [], []
    for rows in kinds.values():
        own = None if nudge is None else Nudge(*(part[rows] for part in nudge))
        camera = Camera.stack([cameras[row] for row in rows])
        made.append(_of_a_kind([people[row] for row in rows], camera, network, own, flips[rows]))
        order += rows
    whole = collated(made)
    if order == sorted(order):
        return whole
    back = torch.tensor(order).argsort()
    return Samples(
        whole.crops[back],
        VirtualCamera(*(part[back] for part in whole.views)),
        whole.known[back],
        Truth(*(part[back] for part in whole.truth)),
        whole.up[back],
    )


def _camera_of(image: np.ndarray, person: Person) -> Camera:
    """Somebody's camera, or the one that stands in for it."""
    return person.camera or stand_in(image)


def stand_in(image: UInt8[np.ndarray, "height width 3"]) -> Camera:
    """Return the camera that a picture is taken to be of where nothing is known."""
    height, width = image.shape[:2]
    return Camera.create((width, height), _DIAGONALS * float(np.hypot(width, height)))


def _of_a_kind(
    people: Sequence[tuple[np.ndarray, Person]],
    camera: Camera,
    network: CropKind,
    nudge: Nudge | None,
    mirrored: Bool[Tensor, " batch"],
) -> Samples:
    """Cut out people of pictures of one size, with cameras of one lens model."""
    crop_wh = (network.size_px, network.size_px)
    boxes = torch.from_numpy(np.stack([np.asarray(person.box_px, np.float64) for _, person in people]))
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    views = person_views(camera, center, size, crop_wh, rotation=network.rotation, nudge=nudge)
    truth = _truth([person for _, person in people], camera, views, network)
    crops = _crops([image for image, _ in people], camera.to(torch.float32), _single(views), crop_wh)
    up = _up(camera, views).float()
    views, known = _single(views), torch.tensor([person.camera is not None for _, person in people])
    if bool(mirrored.any()):
        width = float(network.size_px)
        crops = torch.where(mirrored[:, None, None, None], crops.flip(-1), crops)
        truth = Truth(*_chosen(mirrored, flipped_truth(truth, network.landmarks, width), truth))
        views = VirtualCamera(*_chosen(mirrored, _mirrored(views, width), views))
        up = torch.where(mirrored[:, None], up * torch.tensor((-1.0, 1.0, 1.0)), up)
    return Samples(crops, views, known, truth, up)


def _up(camera: Camera, views: VirtualCamera) -> Float[Tensor, "batch 3"]:
    """The world's z in the crops' frames; cameras without a world are level."""
    turn = views.cam_from_virtual
    up_cam = turn.new_tensor((0.0, -1.0, 0.0)) if camera.rotation is None else camera.rotation[..., 2].to(turn)
    return (turn.mT @ up_cam[..., None])[..., 0]


def _chosen(which: Bool[Tensor, " batch"], yes: Sequence[Tensor], no: Sequence[Tensor]) -> list[Tensor]:
    pairs = zip(yes, no, strict=True)
    return [torch.where(which.reshape(-1, *[1] * (one.dim() - 1)), one, other) for one, other in pairs]


def _crops(
    images: Sequence[np.ndarray], camera: Camera, views: VirtualCamera, crop_wh: tuple[int, int]
) -> Float[Tensor, "batch 3 size size"]:
    """Read pictures of one size one after the other: each from the level of its own pyramid, none in memory at once."""
    image_wh = (images[0].shape[1], images[0].shape[0])
    levels, grids = levels_for(image_wh, crop_wh), crop_grid(camera, views, crop_wh, image_wh, torch.float32)
    crops = torch.empty(len(images), 3, *crop_wh[::-1])
    for image, grid, crop in zip(images, grids, crops, strict=True):
        picture = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1).float()
        torch.div(look_up_smoothly(picture[None], grid[None, None], levels)[0, 0], 255.0, out=crop)
    return crops


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
        torch.cat([one.up for one in samples]),
    )


def _single(views: VirtualCamera) -> VirtualCamera:
    return VirtualCamera(views.cam_from_virtual.float(), views.intrinsics.float(), views.valid)


def _mirrored(views: VirtualCamera, width_px: float) -> VirtualCamera:
    """The view of the mirrored picture; its frame is the mirrored one's."""
    mirror = torch.tensor((-1.0, 1.0, 1.0))
    turn = views.cam_from_virtual * mirror[:, None] * mirror
    return VirtualCamera(turn, flipped_intrinsics(views.intrinsics, width_px), views.valid)


def _truth(people: Sequence[Person], camera: Camera, views: VirtualCamera, network: CropKind) -> Truth:
    """The truth of crops, in their cameras' frames (float32)."""
    rows = [ALL_LANDMARKS.index(name) for name in network.landmarks]
    where = views.valid[:, None, None]
    solid = _known([person.landmarks_cam for person in people], (len(ALL_LANDMARKS), 3))[:, rows]
    uv, depth, scale = uvd_from_xyz(poses_in_virtual(views, torch.where(where, solid, torch.nan)), views.intrinsics)
    flat = torch.tensor([person.landmarks_cam is None and person.landmarks_px is not None for person in people])
    if bool(flat.any()):
        points = _known([person.landmarks_px for person in people], (len(ALL_LANDMARKS), 2))[:, rows]
        seen = keypoints_in_virtual(camera, views, torch.where(where, points, torch.nan))
        uv = torch.where(flat[:, None, None], seen, uv)
    body = network.shape_numbers > 0
    for person in people:
        if body and person.shape is not None and len(person.shape) != network.shape_numbers:
            raise ValueError(f"shape: expected {network.shape_numbers} numbers, got {len(person.shape)}")
    shape = _known([person.shape if body else None for person in people], (network.shape_numbers,))
    twists = _known([person.twists_cam if body else None for person in people], (len(TREE.joints) * body, 3))
    leaves = _known([person.leaf_rotations if body else None for person in people], (len(LEAVES) * body, 3, 3))
    return Truth(
        uv.float(),
        depth.float(),
        scale.float(),
        torch.tensor([person.stature_m for person in people], dtype=torch.float32),
        torch.where(where[..., 0], shape, torch.nan).float(),
        torch.where(where, twists @ views.cam_from_virtual, torch.nan).float(),
        torch.where(where[..., None], leaves, torch.nan).float(),
        torch.tensor([person.coarse for person in people]),
    )


def _known(values: Sequence[np.ndarray | None], shape: tuple[int, ...]) -> Float[Tensor, "batch ..."]:
    """What is known of each person, NaN where nothing is (float64)."""
    found = torch.full((len(values), *shape), torch.nan, dtype=torch.float64)
    for row, value in enumerate(values):
        if value is not None:
            found[row] = torch.from_numpy(np.asarray(value, np.float64))
    return found
