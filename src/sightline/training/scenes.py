"""Whole pictures to learn from, with everybody in them: rendered sets; batches are functions of seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sightline.camera import Camera
from sightline.data.virtual import step_generator
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.lcrnet.boxes import upper_rows
from sightline.methods.lcrnet.people import scaled
from sightline.methods.lcrnet.targets import TruePeople
from sightline.methods.lcrnet.views import about_the_torso, torso_rows
from sightline.skeleton import Skeleton
from sightline.synth.reading import RenderedSet, StoredPicture
from sightline.synth.rendered import Rendered
from sightline.training.batches import EndlessBatches

SEEN_SHARE: Final = 0.3
"""Of whom less than this is seen, hidden or cut off, is neither learnt from nor taken for background."""
HINTED_SHARE: Final = 0.02
"""Of whom less than this is seen, nobody can know."""
JOINTS_INSIDE: Final = 5
"""Who has fewer joints of the upper body in the picture is not learnt from either."""

HEAD: Final = [ALL_LANDMARKS.index(name) for name in ("UpperNeck", "HeadTop")]
"""By whose distance PCKh measures others."""


class Scene(NamedTuple):
    """A picture, and everybody in it who may be seen."""

    image: UInt8[np.ndarray, "height width 3"]
    points_px: Float[np.ndarray, "person joint 2"]
    joints_m: Float[np.ndarray, "person joint 3"]
    """About the middle of the torso, in the camera's axes."""
    sure: Bool[np.ndarray, " person"]
    """Whether somebody is seen well enough to be learnt from."""
    head_px: Float[np.ndarray, " person"]
    """From the upper neck to the top of the head, as large as if it were upright in the picture."""
    camera: Camera | None = None
    """The one that took the picture, where it is known."""
    middles_cam: Float[np.ndarray, "person 3"] | None = None
    """Where the middles of the torsos are (m, the camera's frame); NaN for whom nobody knows, None if for everybody."""


@runtime_checkable
class Scenes(Protocol):
    """Scenes, by number."""

    def __len__(self) -> int: ...  # noqa: D105

    def __getitem__(self, index: int) -> Scene:
        """Return the scene of a number."""
        ...

    def poses(self) -> Float[Tensor, "person joint 3"]:
        """Return everybody's pose (m), about the torso, in the camera's axes: anchors are fitted to them."""
        ...

    @property
    def digest(self) -> str:
        """What tells these scenes from others, for the run's record."""
        ...


class SetScenes:
    """The pictures of a rendered set.

    Args:
        folder: of the set.
        skeleton: in whose joints people are told.

    Raises:
        InputError: for a folder that is no set, or one of other landmarks.
    """

    def __init__(self, folder: str | Path, skeleton: Skeleton) -> None:
        self.pictures, self.skeleton = RenderedSet(folder), skeleton
        if self.pictures.landmarks != ALL_LANDMARKS:
            raise InputError(f"{folder}: its landmarks are not those of this version; render the set anew")
        self._rows = list(rows_of(skeleton))

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Scene:
        """Return a picture with those in it of whom anything is seen."""
        return scene_of(self.pictures.read(index, depth=False, mask=False), self.skeleton)

    def poses(self) -> Float[Tensor, "person joint 3"]:
        """Return the poses of all who are seen well enough, and mirrored ones."""
        arrays = self.pictures.arrays("landmarks_cam", "seen_px", "whole_px")
        seen = arrays["seen_px"] >= SEEN_SHARE * arrays["whole_px"]
        if not seen.any():
            raise InputError(f"{self.pictures.folder}: nobody in this set can be seen well enough to learn from")
        found = torch.from_numpy(arrays["landmarks_cam"][seen][:, self._rows]).float()
        return both_ways(about_the_torso(found, self.skeleton), self.skeleton)

    @property
    def digest(self) -> str:
        """The set's mark and size."""
        return f"{self.pictures.manifest.mark[:16]}, {len(self.pictures)} pictures"


def scene_of(picture: StoredPicture | Rendered, skeleton: Skeleton) -> Scene:
    """Return a rendered picture with those in it of whom anything is seen."""
    people = [one for one in picture.people if one.seen_px >= HINTED_SHARE * one.whole_px and one.seen_px > 0]
    rows, shape = list(rows_of(skeleton)), (len(people), len(skeleton))
    points = np.array([one.landmarks_px[rows] for one in people], np.float32).reshape(*shape, 2)
    joints = torch.from_numpy(np.array([one.landmarks_cam[rows] for one in people], np.float32).reshape(*shape, 3))
    heads = np.array([one.landmarks_cam[HEAD] for one in people], np.float32).reshape(-1, 2, 3)
    return Scene(
        picture.image,
        points,
        about_the_torso(joints, skeleton).numpy(),
        np.array([one.seen_px >= SEEN_SHARE * one.whole_px for one in people], bool),
        head_sizes(heads, float(picture.camera.focal_px.mean())),
        picture.camera,
        joints[:, torso_rows(skeleton)].mean(1).numpy(),
    )


def head_sizes(
    heads_m: Float[np.ndarray, "person 2 3"], focal_px: float | Float[np.ndarray, " person"]
) -> Float[np.ndarray, " person"]:
    """Return how large heads are (px), from the upper neck to the top, as if upright in the picture."""
    return np.linalg.norm(heads_m[:, 0] - heads_m[:, 1], axis=-1) * focal_px / np.linalg.norm(heads_m.mean(1), axis=-1)


def both_ways(joints_m: Float[Tensor, "person joint 3"], skeleton: Skeleton) -> Float[Tensor, "both joint 3"]:
    """Return poses, and mirrored ones."""
    flipped = joints_m[:, list(skeleton.flip)] * joints_m.new_tensor((-1.0, 1.0, 1.0))
    return torch.cat((joints_m, flipped))


@dataclass(frozen=True, kw_only=True)
class SceneAugment:
    """How far chance changes whole pictures."""

    zoom: tuple[float, float] = (0.8, 1.5)
    """Range of what a picture is scaled by, once it is as large as fits into the network's."""
    mirrored_share: float = 0.5
    colour: float = 0.25
    """Channels are multiplied by up to so much more or less."""
    noise: float = 0.03
    """Largest standard deviation of noise."""

    def __post_init__(self) -> None:
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"zoom: expected two positive numbers, the smaller first, got {self.zoom}")
        if not (0 <= self.mirrored_share <= 1 and 0 <= self.colour < 1 and self.noise >= 0):
            raise ValueError("mirrored_share, colour, noise: expected shares, and at least 0")


class SceneBatch(NamedTuple):
    """Pictures of one size with their people."""

    images: Float[Tensor, "batch 3 height width"]
    """RGB of 0…1."""
    people: list[TruePeople]


class SceneBatches(EndlessBatches[SceneBatch]):
    """Endless batches of changed pictures.

    Args:
        scenes: to learn from.
        skeleton: whose joints these are told in.
        size: of the network's pictures (height, width), px.
        augment: how pictures are changed.
        batch_size, seed, rank, start: see `EndlessBatches`.
    """

    def __init__(
        self,
        scenes: Scenes,
        skeleton: Skeleton,
        size: tuple[int, int],
        augment: SceneAugment,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        start: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, rank=rank, start=start)
        self.scenes, self.skeleton, self.size, self.augment = scenes, skeleton, size, augment

    def batch(self, step: int) -> SceneBatch:
        """Return the batch of a step."""
        generator = step_generator(self.seed, step, self.rank)
        rows = torch.randint(len(self.scenes), (self.batch_size,), generator=generator).tolist()
        chance = torch.rand(self.batch_size, 8, generator=generator)
        parts = [self._changed(self.scenes[row], own) for row, own in zip(rows, chance.tolist(), strict=True)]
        images = torch.stack([image for image, _ in parts])
        spread = self.augment.noise * chance[:, 7, None, None, None]
        images = images + spread * torch.randn(images.shape, generator=generator)
        return SceneBatch(images.clamp(0, 1), [people for _, people in parts])

    def _changed(self, scene: Scene, chance: Sequence[float]) -> tuple[Tensor, TruePeople]:
        """A scene scaled, cut to the network's size, mirrored and coloured."""
        low, high = self.augment.zoom
        image, scale = fitted(scene.image, self.size, low + (high - low) * chance[0])
        moved, shift = placed(image, self.size, (chance[1], chance[2]))
        points = scene.points_px * scale + shift
        people = as_people(points, scene.joints_m, scene.sure, self.size, self.skeleton)
        if chance[3] < self.augment.mirrored_share:
            moved, people = moved.flip(-1), mirrored(people, self.size[1], self.skeleton)
        gain = 1 + self.augment.colour * (2 * torch.tensor(chance[4:7]) - 1)
        return moved * gain[:, None, None], people


def fitted(
    image: UInt8[np.ndarray, "height width 3"], size: tuple[int, int], zoom: float = 1.0
) -> tuple[Float[Tensor, "3 rows columns"], Float[np.ndarray, "2"]]:
    """Return a picture (0…1) scaled to fit into a size times a factor, antialiased, and the scale across and down."""
    height, width = image.shape[:2]
    return scaled(image, zoom * min(size[0] / height, size[1] / width))


def placed(
    image: Float[Tensor, "3 rows columns"], size: tuple[int, int], share: tuple[float, float]
) -> tuple[Float[Tensor, "3 height width"], Float[np.ndarray, "2"]]:
    """Cut a picture to a size, or lay it on grey, where the shares (across, down) say; return how points move (px)."""
    (height, width), (rows, columns) = size, image.shape[-2:]
    left, top = (
        round(own * (new - old)) for own, new, old in zip(share, (width, height), (columns, rows), strict=True)
    )
    result = image.new_full((3, height, width), 0.5)
    into = result[:, max(0, top) : top + rows, max(0, left) : left + columns]
    into.copy_(image[:, max(0, -top) :, max(0, -left) :][:, : into.shape[1], : into.shape[2]])
    return result, np.array([left, top], np.float32)


def as_people(
    points_px: Float[np.ndarray, "person joint 2"],
    joints_m: Float[np.ndarray, "person joint 3"],
    sure: Bool[np.ndarray, " person"],
    size: tuple[int, int],
    skeleton: Skeleton,
) -> TruePeople:
    """Return people as the network learns them: no 3D pose of those of whom too little is in the picture."""
    inside = np.all((points_px >= 0) & (points_px < (size[1], size[0])), axis=-1)
    sure = sure & (inside[:, upper_rows(skeleton)].sum(1) >= JOINTS_INSIDE)
    joints = np.where(sure[:, None, None], joints_m, np.float32(np.nan))
    return TruePeople(torch.from_numpy(points_px.astype(np.float32)), torch.from_numpy(joints.astype(np.float32)))


def mirrored(people: TruePeople, width: int, skeleton: Skeleton) -> TruePeople:
    """Return the people of the mirrored picture: left is right, in names and in place."""
    flip = list(skeleton.flip)
    points, joints = people.points_px[:, flip], people.joints_m[:, flip]
    return TruePeople(
        torch.stack((width - points[..., 0], points[..., 1]), -1), joints * joints.new_tensor((-1.0, 1.0, 1.0))
    )
