"""What lifting networks of equal size are shown of a 2D pose, and in which frame they answer.

Every variant gets as many numbers and gives as many; what it does not use is constantly zero. Pictures are those of
pinhole cameras, given by their matrices, which may be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.bench.perspective_lifting_views import People
from sightline.methods.abspose.model import REFERENCE_FOCAL_PX, NormalizationLayer
from sightline.nn.residual_mlp import ResidualMLP
from sightline.perspective.eye import pinhole_rays
from sightline.perspective.keypoints import KeypointScale, PerspectiveKeypoints
from sightline.perspective.virtual import Turn

JOINTS = 17
INPUTS = 2 * JOINTS + 3
OUTPUTS = 3 * (JOINTS - 1) + 1
DEPTH_WEIGHT = 0.2
"""What an error of the root's depth counts beside one of the pose, each as a share of how much it varies."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to show a 2D pose to the network."""

    name: str
    turn: Turn | None = None
    """How the virtual camera is turned whose view is shown and in whose frame the answer is; None has none."""
    scale: KeypointScale = "2d"
    """Size of the region that it sees: the joints' extent, or 2 m at the true distance of the root."""
    location: bool = False
    """Whether the network is told where in the picture the person is, and how large."""
    rays: bool = False
    """Without a virtual camera: whether 2D, location and size are told in tangents of the angle instead of pixels."""
    depth: Literal["canonical", "distance"] | None = None
    """What it says of the root, all in statures: depth / focal (paper 002, eq. 6); log (distance along the ray · size
    in tangents); or nothing, and poses in metres."""


class Seen(NamedTuple):
    """What a variant makes of 2D poses and cameras."""

    features: Float[Tensor, "batch inputs"]
    cam_from_frame: Float[Tensor, "batch 3 3"]
    """Turns what the network says into the camera's frame."""
    ray: Float[Tensor, "batch 3"]
    """K⁻¹ (u, v, 1) of the pelvis."""
    focal_px: Float[Tensor, " batch"]
    size: Float[Tensor, " batch"]
    """How large the person appears, tangents of the angle."""


def seen(
    variant: Variant,
    keypoints_px: Float[Tensor, "batch joint 2"],
    intrinsics: Float[Tensor, "batch 3 3"],
    root_depth_m: Float[Tensor, " batch"],
) -> Seen:
    """Show 2D poses (px) as a variant does; only `scale="3d_root"` makes use of the root's depth."""
    look = _in_picture if variant.turn is None else _in_virtual
    parts, turn, size = look(variant, keypoints_px, intrinsics, root_depth_m)
    features = torch.cat([part.flatten(1) for part in parts], dim=1)
    features = nn.functional.pad(features, (0, INPUTS - features.shape[1]))
    ray = pinhole_rays(intrinsics, keypoints_px[:, 0])
    return Seen(features, turn, ray, intrinsics[:, 0, 0], size)


_Parts = tuple[list[Tensor], Tensor, Tensor]


def _in_picture(variant: Variant, keypoints_px: Tensor, intrinsics: Tensor, root_depth_m: Tensor) -> _Parts:
    """As AbsPoseLifter sees it (paper 002, eq. 1–4); or, not told the location, pelvis-centred in units of its size."""
    del root_depth_m
    turn = torch.eye(3).to(keypoints_px).expand(len(keypoints_px), 3, 3)
    unit = torch.full_like(intrinsics[:, 0, 0], REFERENCE_FOCAL_PX) if variant.rays else intrinsics[:, 0, 0]
    if variant.rays:
        points = pinhole_rays(intrinsics[:, None], keypoints_px)[..., :2] * REFERENCE_FOCAL_PX
    else:
        points = keypoints_px - intrinsics[:, None, :2, 2]
    if variant.location:
        features = NormalizationLayer()(points)
        return [features], turn, features[:, -1] * REFERENCE_FOCAL_PX / unit
    size = extent(points).amax(-1)
    return [(points - points[:, :1]) / size[:, None, None]], turn, size / unit


def _in_virtual(variant: Variant, keypoints_px: Tensor, intrinsics: Tensor, root_depth_m: Tensor) -> _Parts:
    """As a camera sees it that looks straight at the pelvis (paper 000)."""
    assert variant.turn is not None  # `seen` has asked
    layer = PerspectiveKeypoints(scale=variant.scale, turn=variant.turn)
    view = layer(keypoints_px, intrinsics, root_depth_m if variant.scale == "3d_root" else None)
    size = 1.0 / view.virtual.intrinsics[:, 0, 0]
    parts = [view.points - 0.5]
    if variant.location:
        parts.append(pinhole_rays(intrinsics, keypoints_px[:, 0])[:, :2])
    if variant.location or variant.depth is not None:
        parts.append(size[:, None])
    return parts, view.virtual.cam_from_virtual, size


def extent(points: Float[Tensor, "batch joint 2"]) -> Float[Tensor, "batch 2"]:
    """Width and height of the tight box around points."""
    return points.amax(1) - points.amin(1)


class Answer(NamedTuple):
    """What a network says, or should have said."""

    relative: Float[Tensor, "batch joint 3"]
    """Joints minus the root, the camera's frame; metres, or statures where the root is told as well."""
    depth: Float[Tensor, " batch"]
    """As the variant's `depth`; 0 where it says nothing."""


def truth(variant: Variant, people: People, shown: Seen) -> Answer:
    """Return the right answer for people that are shown as `shown` (inverse of `placed`)."""
    root, unit = people.joints_cam[:, 0], people.stature_m
    relative = people.joints_cam - root[:, None]
    if variant.depth is None:
        return Answer(relative, torch.zeros_like(unit))
    if variant.depth == "canonical":
        depth = root[:, 2] / unit * REFERENCE_FOCAL_PX / shown.focal_px
    else:
        depth = (root.norm(dim=-1) / unit * shown.size).log()
    return Answer(relative / unit[:, None, None], depth)


def placed(
    variant: Variant, answer: Answer, shown: Seen, stature_m: Float[Tensor, " batch"]
) -> Float[Tensor, "batch joint 3"]:
    """Bring an answer to metres in the camera's frame; the root is at the origin where nothing was said of it."""
    if variant.depth is None:
        return answer.relative
    if variant.depth == "canonical":
        root = shown.ray * (answer.depth * shown.focal_px / REFERENCE_FOCAL_PX)[:, None]
    else:
        root = nn.functional.normalize(shown.ray, dim=-1) * (answer.depth.exp() / shown.size)[:, None]
    return (answer.relative + root[:, None]) * stature_m[:, None, None]


class VariantLifter(nn.Module):
    """A residual network behind one variant's eyes; how large inputs and answers are is measured on some people."""

    offset_in: Tensor
    factor_in: Tensor
    offset_out: Tensor
    factor_out: Tensor

    def __init__(self, variant: Variant, width: int, examples: People) -> None:
        super().__init__()
        self.variant = variant
        self.network = ResidualMLP(INPUTS, OUTPUTS, width=width)
        shown = seen(variant, examples.keypoints_px, examples.intrinsics, examples.joints_cam[:, 0, 2])
        right = truth(variant, examples, shown)
        turned = (right.relative @ shown.cam_from_frame)[:, 1:].flatten(1)
        said = torch.cat([turned, right.depth[:, None]], dim=1)
        for name, values in (("in", shown.features), ("out", said)):
            spread = values.std(0)
            constant = spread < 1e-6
            self.register_buffer(f"offset_{name}", torch.where(constant, 0.0, values.mean(0)))
            self.register_buffer(f"factor_{name}", torch.where(constant, 1.0, spread))
        self.pose_variance = float(self.factor_out[:-1].square().mean())
        self.mean_stature_m = float(examples.stature_m.mean())
        """Stands in for heights that are not known."""

    @property
    def parameters_count(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, shown: Seen) -> Answer:
        """Answer in the camera's frame."""
        said = self.network((shown.features - self.offset_in) / self.factor_in) * self.factor_out + self.offset_out
        relative = said[:, :-1].unflatten(1, (JOINTS - 1, 3)) @ shown.cam_from_frame.mT
        return Answer(nn.functional.pad(relative, (0, 0, 1, 0)), said[:, -1])

    def loss(self, answer: Answer, right: Answer) -> Float[Tensor, ""]:
        """Mean squared errors of pose and depth, as shares of how much each varies."""
        pose = (answer.relative - right.relative)[:, 1:].square().mean() / self.pose_variance
        if self.variant.depth is None:
            return pose
        return pose + DEPTH_WEIGHT * ((answer.depth - right.depth) / self.factor_out[-1]).square().mean()
