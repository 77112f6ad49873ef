"""A localiser, a crop and a pose network, trained side by side on whole frames, with perspective crops or plain ones.

Both variants have the same modules with the same parameters. What differs is the crop, and that poses read from a
perspective crop are those of the virtual camera's frame, from which they are rotated back before the loss is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sightline.bench.perspective_image_pictures import Batch
from sightline.bench.perspective_image_scenes import JOINTS, Subject
from sightline.perspective.crop import PerspectiveCrop
from sightline.perspective.stn import AffineSTN, Localizer, PerspectiveSTN, Region
from sightline.skeleton import get_skeleton

_MAP: int = 2
"""Width and height of the last feature map as heads see it."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One kind of crop."""

    name: str
    perspective: bool


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large networks and what they are shown are."""

    localizer_px: int = 64
    """Of the small copy of the frame."""
    localizer_width: int = 16
    """Channels of the localiser's first stage; a ResNet-18 has 64."""
    crop_px: int = 64
    pose_width: int = 24


class Guess(NamedTuple):
    """What a network answers."""

    region: Region
    pose: Float[Tensor, "batch row 3"]
    """Root-relative joints (m) or cam_from_object, camera frame."""


class SmallResNet18(nn.Module):
    """A ResNet-18 of any width; its head sees the four quarters of the last feature map, not their mean alone.

    Args:
        outputs: how many numbers it answers.
        width: channels of the first stage.
    """

    def __init__(self, outputs: int, width: int) -> None:
        from torchvision.models.resnet import BasicBlock

        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks, before = [], width
        for stage in range(4):
            for stride in (1 if stage == 0 else 2, 1):
                after = width << stage
                blocks.append(BasicBlock(before, after, stride, _shortcut(before, after, stride)))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(before * _MAP**2, outputs)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch outputs"]:
        """Answer for pictures of values from 0 to 1."""
        features = self.blocks(self.stem(2.0 * image - 1.0))
        return self.fc(functional.adaptive_avg_pool2d(features, _MAP).flatten(1))


def _shortcut(before: int, after: int, stride: int) -> nn.Module | None:
    if before == after and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))


def small_localizer(sizes: Sizes) -> Localizer:
    """Return the localiser; its last layer starts at zero, so that it begins with the middle of the picture."""
    network = SmallResNet18(4, sizes.localizer_width)
    nn.init.zeros_(network.fc.weight)
    nn.init.zeros_(network.fc.bias)
    return Localizer(network, sizes.localizer_px)


class GuidedLocalizer(nn.Module):
    """A localiser that learns from its own errors alone, beside which crops may be put where they belong at first.

    Gradients of the pose do not reach it: let through the crop they outweighed those of place and size, and it lost
    what it had learned.

    Args:
        localizer: finds regions.
    """

    def __init__(self, localizer: Localizer) -> None:
        super().__init__()
        self.localizer = localizer
        self.told: Region | None = None
        """Where to crop; None crops where the localiser says."""
        self.found: Region | None = None
        """What the localiser said last."""

    def forward(self, image: Float[Tensor, "batch channel height width"]) -> Region:
        """Return the region to crop."""
        found = self.localizer(image)
        self.found = found
        return Region(found.center.detach(), found.scale.detach()) if self.told is None else self.told


class ImageNetwork(nn.Module):
    """Whole frame → where somebody is, and the pose in the camera's frame.

    Args:
        variant: the kind of crop.
        subject: root-relative joints of people, or the orientation of an object (two columns of its matrix).
        sizes: of networks and pictures.
    """

    def __init__(self, variant: Variant, subject: Subject, sizes: Sizes) -> None:
        super().__init__()
        self.subject: Subject = subject
        localizer = GuidedLocalizer(small_localizer(sizes))
        self.stn: PerspectiveSTN | AffineSTN = (
            PerspectiveSTN(localizer, PerspectiveCrop(sizes.crop_px))
            if variant.perspective
            else AffineSTN(localizer, sizes.crop_px)
        )
        self.network = SmallResNet18(3 * (JOINTS - 1) if subject == "people" else 6, sizes.pose_width)

    @property
    def guide(self) -> GuidedLocalizer:
        """The localiser."""
        assert isinstance(self.stn.localizer, GuidedLocalizer)
        return self.stn.localizer

    @property
    def parameters_count(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        told: Region | None = None,
    ) -> Guess:
        """Find, crop, read the pose, and turn it back to the camera's frame.

        Args:
            image: whole frames.
            intrinsics: K (px), which the plain crop does not ask for.
            told: where to crop instead of where the localiser says.
        """
        self.guide.told = told
        if isinstance(self.stn, PerspectiveSTN):
            view, _ = self.stn(image, intrinsics)
            pose = self._turned(view.virtual.cam_from_virtual, self.read(view.image))
        else:
            pose = self.read(self.stn(image)[0])
        assert self.guide.found is not None
        return Guess(self.guide.found, pose)

    def read(self, crops: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch row 3"]:
        """Read poses from crops, in the frame of whichever camera took them."""
        said = self.network(crops)
        if self.subject == "people":
            return functional.pad(said.unflatten(1, (JOINTS - 1, 3)), (0, 0, 1, 0))
        return roma.special_gramschmidt(said.unflatten(1, (3, 2)))

    def _turned(self, cam_from_virtual: Tensor, pose: Tensor) -> Float[Tensor, "batch row 3"]:
        """Rows of joints are points, a matrix is that of an orientation."""
        return pose @ cam_from_virtual.mT if self.subject == "people" else cam_from_virtual @ pose


def loss(guess: Guess, truth: Batch) -> Float[Tensor, ""]:
    """Mean squared errors of place, size and pose in equal parts (paper 000)."""
    return (
        functional.mse_loss(guess.region.center, truth.center)
        + functional.mse_loss(guess.region.scale, truth.scale)
        + functional.mse_loss(guess.pose, truth.pose)
    )


def mirrored(batch: Batch, chosen: Tensor) -> Batch:
    """Return pictures of people as seen in a mirror, with their cameras and truth, where they are chosen (batch,)."""
    away = batch.image.new_tensor((-1.0, 1.0, 1.0))
    intrinsics = batch.intrinsics.clone()
    intrinsics[:, 0, 2] = batch.image.shape[-1] - intrinsics[:, 0, 2]
    swapped = batch.pose[:, list(get_skeleton("h36m17").flip)]
    other = Batch(
        batch.image.flip(-1), intrinsics, batch.center * away[:2], batch.scale, batch.root_cam * away, swapped * away
    )
    return Batch(
        *(
            torch.where(chosen.view(-1, *[1] * (mine.dim() - 1)), its, mine)
            for mine, its in zip(batch, other, strict=True)
        )
    )
