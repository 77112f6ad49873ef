"""PersPose's network: a crop and its intrinsics → joints in the crop, their depths, scale, body shape and twists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.geometry import xyz_from_uvd
from sightline.methods.perspose.sides import swapped
from sightline.methods.perspose.trunk import STRIDE, trunk_of
from sightline.nn.heatmaps import softmax_place
from sightline.perspective.virtual import VirtualCamera, poses_from_virtual
from sightline.skeleton import get_skeleton, landmark_of

_SMPL: Final = get_skeleton("smpl24")
ROOT: Final = "Hip"
PAPER_LANDMARKS: Final = (ROOT, *(landmark_of(_SMPL, joint) for joint in _SMPL.joints))
"""The paper's 25 joints: the pelvis of Human3.6M, here first, and the 24 of SMPL."""
SIGHTLINE_LANDMARKS: Final = (ROOT, *(name for name in ALL_LANDMARKS if name != ROOT))
"""Every landmark that a joint set knows: whatever joint set is asked for has been learnt."""
TREE: Final = _SMPL
"""The joints that the body's rotations are of."""
LEAVES: Final = tuple(joint for joint in range(len(TREE.joints)) if joint not in TREE.parents)
_SCALE_AT_PX: Final = 256


@dataclass(frozen=True, kw_only=True)
class PersPoseConfig:
    """What a PersPose network is made of; saved beside its weights."""

    backbone: str = "hrnet_w48"
    """A network of timm's, by its name there."""
    backbone_channels: tuple[int, ...] = ()
    """Of the backbone's stages, where timm lets them be chosen (of ResNets four); none takes the network's own."""
    size_px: int = 256
    """Side of the crops."""
    landmarks: tuple[str, ...] = PAPER_LANDMARKS
    """What is predicted, by names of `sightline.landmarks.ALL_LANDMARKS`; the first is the root of depths."""
    encoding: bool = True
    """Perspective encoding: whether the network sees the crop's intrinsics (PE)."""
    rotation: bool = True
    """Perspective rotation: whether crops are those of a camera turned to the person (PR)."""
    shape_numbers: int = 11
    """Of the body's shape; 0 without shape, twists and rotations."""
    channels: int = 64
    """Of the pyramid behind other backbones than HRNets."""
    vector_size: int = 512
    """Numbers that describe the whole crop, behind other backbones than HRNets."""
    depth_range_m: float = 1.1
    """Depths lie within this of the root's."""
    scale_mm_px: float = 7.0
    """Middle of the range of scales, of a crop of 256 px; the range is from e^−1.5 to e^1.5 times as much."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.landmarks if name not in ALL_LANDMARKS]
        if unknown or len(set(self.landmarks)) != len(self.landmarks) or len(self.landmarks) < 2:
            raise ValueError(f"landmarks: expected at least two of the known ones, each once; unknown: {unknown}")
        if self.landmarks[0] != ROOT:
            raise ValueError(f"landmarks: expected {ROOT} first, the root of depths, got {self.landmarks[0]}")
        swapped(self.landmarks)
        if self.size_px % 32 or self.size_px < 64:
            raise ValueError(f"size_px: expected a multiple of 32 from 64 on, got {self.size_px}")
        if min(self.backbone_channels, default=1) < 1:
            raise ValueError(f"backbone_channels: expected positive numbers, got {self.backbone_channels}")
        if self.shape_numbers < 0 or min(self.channels, self.vector_size) < 1:
            raise ValueError("shape_numbers, channels, vector_size: expected at least 0, 1 and 1")
        if not (self.depth_range_m > 0 and self.scale_mm_px > 0):
            raise ValueError("depth_range_m, scale_mm_px: expected positive numbers")


class Answers(NamedTuple):
    """What the network says of crops, in the frame of the crop's camera."""

    uv_px: Float[Tensor, "batch joint 2"]
    """Joints in the crop, px."""
    depth_m: Float[Tensor, "batch joint"]
    """Depths relative to the root's; the root's own is 0."""
    scale_m_px: Float[Tensor, " batch"]
    """ŝ: metres that a pixel covers at the root's depth."""
    shape: Float[Tensor, "batch number"]
    twists: Float[Tensor, "batch _ 3"]
    """For each joint of the tree the direction that `body.ik.twist_vectors` gives; of any length."""
    leaf_rotations: Float[Tensor, "batch leaf 3 3"]
    """Of the tree's last joints, each in its parent's frame."""

    def joints_in_crop(self, intrinsics: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch joint 3"]:
        """Return the joints (m) in the frame of the crop's camera (eq. 5)."""
        return xyz_from_uvd(self.uv_px, self.depth_m, self.scale_m_px, intrinsics)

    def joints_in_camera(self, view: VirtualCamera) -> Float[Tensor, "batch joint 3"]:
        """Return the joints (m) in the frame of the picture's camera (eq. 5 and 6)."""
        return poses_from_virtual(view, self.joints_in_crop(view.intrinsics))


class PersPose(nn.Module):
    """Backbone with perspective encoding, heat-maps with soft-argmax, and linear layers for all else (section 5.1).

    Args:
        config: what it is made of.
        pretrained: whether the backbone starts from timm's weights, which are downloaded.
    """

    def __init__(self, config: PersPoseConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        joints, numbers = len(config.landmarks), config.shape_numbers
        self.trunk = trunk_of(
            config.backbone,
            widths=config.backbone_channels,
            encoding=config.encoding,
            pretrained=pretrained,
            channels=config.channels,
            vector_size=config.vector_size,
        )
        width = self.trunk.vector_size
        self.heat = nn.Conv2d(self.trunk.map_channels, joints, 1)
        self.depth, self.scale = nn.Linear(width, joints), nn.Linear(width, 1)
        heads = {"shape": numbers, "twist": 3 * len(TREE.joints), "leaf": 6 * len(LEAVES)}
        self.body = nn.ModuleDict({name: nn.Linear(width, size) for name, size in heads.items()} if numbers else {})

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        known: Tensor | None = None,
    ) -> Answers:
        """Look at crops; see `with_maps`."""
        return self.with_maps(image, intrinsics, known)[0]

    def with_maps(
        self,
        image: Float[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        known: Tensor | None = None,
    ) -> tuple[Answers, Float[Tensor, "batch joint rows columns"]]:
        """Look at crops, and return the heat-maps too: logits of the joints' places, in cells of `STRIDE` px.

        Args:
            image: crops of the configured size, RGB as `as_input` gives it.
            intrinsics: K_crop, px.
            known: bool (batch,): whether K is known; where not, the encoding is zero, as the paper has it for pictures
                of unknown cameras.

        Raises:
            ValueError: for crops of another size.
        """
        size = self.config.size_px
        if image.shape[-2:] != (size, size):
            raise ValueError(f"image: expected crops of {size} × {size} px, got {image.shape[-1]} × {image.shape[-2]}")
        seen = self.trunk(image, intrinsics, known)
        heat = self.heat(seen.map)
        with torch.autocast(image.device.type, enabled=False):  # half precision is pixels off
            uv_px = softmax_place(heat, STRIDE)
            vector = seen.vector.float() if seen.vector.dtype != torch.float64 else seen.vector
            depth = self.config.depth_range_m * (2 * self.depth(vector).sigmoid() - 1)
            middle = 1e-3 * self.config.scale_mm_px * _SCALE_AT_PX / size
            scale = middle * torch.exp(1.5 * (2 * self.scale(vector)[:, 0].sigmoid() - 1))
            depth = torch.cat((torch.zeros_like(depth[:, :1]), depth[:, 1:]), dim=1)
            return Answers(uv_px, depth, scale, *self._body_of(vector)), heat

    def _body_of(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shape, twists and rotations of the last joints; empty for a network without them."""
        if not self.body:
            return vector[:, :0], vector[:, :0, None].expand(-1, -1, 3), vector[:, :0, None, None].expand(-1, -1, 3, 3)
        shape, twist, leaf = (self.body[name](vector) for name in ("shape", "twist", "leaf"))
        return shape, twist.unflatten(-1, (-1, 3)), rotation_from_6d(leaf.unflatten(-1, (-1, 6)))


def rotation_from_6d(numbers: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation whose first two columns are the two vectors given, made orthonormal (Zhou et al. 2019)."""
    return roma.special_gramschmidt(numbers.unflatten(-1, (2, 3)).mT)
