"""LCR-Net++: the whole network, from pictures to scored pose proposals (paper 003, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou, clip_boxes_to_image

from sightline.methods.lcrnet.anchors import AnchorPoses
from sightline.methods.lcrnet.decode import Proposals
from sightline.methods.lcrnet.features import CELLS, LEVELS, Maps, Pool, Pooling, padded
from sightline.methods.lcrnet.heads import Heads
from sightline.methods.lcrnet.targets import TruePeople, classes_of, sampled, targets_of, true_boxes
from sightline.nn.backbones import as_input

MOST_PROPOSALS: Final = 20_000
"""Of one picture, whatever the network thinks of it: this bounds memory."""
_LEAST_PX, _MOST_LONG_PX = 32, 4096
_AT_ONCE: Final = 1000
"""Boxes whose features are held at a time in prediction."""
_BACKGROUND: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class LcrNetConfig:
    """What an LCR-Net++ is made of; saved beside its weights."""

    backbone: str = "vgg16"
    backbone_channels: tuple[int, ...] = ()
    """Widths of a residual network's stages; none takes the network's own."""
    backbone_stem: int = 0
    """Width of what comes before them; 0 takes the network's own."""
    pyramid: bool = False
    finest: int = 4
    """Stride of the pyramid's first level."""
    channels: int = 0
    """Of each map; 0 leaves those of a single map as they are."""
    pooling: Pooling = "align-max"
    hidden: int = 4096
    """Numbers of the fully connected layers."""
    summary: int = 2048
    """Numbers that sum up the first estimate for the second one; 0 has one estimate only."""
    rank: int = 0
    """Numbers of a layer that all classes' regressions share, beyond the paper; 0 has none."""
    dropout: float = 0.5
    upper_bodies: bool = True
    """Whether there are classes of upper bodies too."""
    short_px: int = 600
    long_px: int = 1000
    """Pictures are scaled so that their shorter side is as the first, and the longer one at most as the second."""
    box_sizes_px: tuple[int, ...] = (128, 256, 512)
    """Sides of the boxes that proposals start from; in a pyramid one per level."""
    box_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Their heights over their widths."""
    proposals: int = 300
    """Boxes of a picture in prediction."""
    proposals_training: int = 2000
    offset_scale: float = 5.0
    """By what targets of the regression are multiplied, for 2D in box sizes and for 3D in metres."""

    def __post_init__(self) -> None:
        low = {
            "hidden": 1,
            "summary": 0,
            "backbone_stem": 0,
            "rank": 0,
            "channels": 0,
            "proposals": 1,
            "proposals_training": 1,
            "short_px": _LEAST_PX,
        }
        for name, least in low.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")
        if self.long_px < self.short_px:
            raise ValueError(f"long_px: expected at least short_px, {self.short_px}, got {self.long_px}")
        if not self.box_sizes_px or not self.box_ratios or min((*self.box_sizes_px, *self.box_ratios)) <= 0:
            raise ValueError("box_sizes_px, box_ratios: expected positive numbers")
        if self.finest not in LEVELS:
            raise ValueError(f"finest: expected one of {', '.join(map(str, LEVELS))}, got {self.finest}")
        if self.finest != LEVELS[0] and not self.pyramid:
            raise ValueError("finest: expected a pyramid beside it, got one map")
        levels = len(LEVELS) - LEVELS.index(self.finest)
        if self.pyramid and len(self.box_sizes_px) != levels:
            raise ValueError(
                f"box_sizes_px: expected {levels}, one per level of the pyramid, got {len(self.box_sizes_px)}"
            )
        if not (0 <= self.dropout < 1 and self.offset_scale > 0):
            raise ValueError("dropout, offset_scale: expected a share below 1 and a positive number")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which boxes are learnt from, and what counts how much."""

    boxes: int = 32
    """Of each picture."""
    person_share: float = 0.25
    with_3d: bool = True
    """Whether 3D poses are learnt, and not 2D ones alone."""
    pose_weight: float = 1.0
    """Of the losses of poses, beside those of labels."""

    def __post_init__(self) -> None:
        if self.boxes < 1 or not 0 < self.person_share <= 1 or not self.pose_weight >= 0:
            raise ValueError(f"sampling: expected boxes, a share of them above 0 up to 1, a weight of 0 up, got {self}")


class Losses(NamedTuple):
    """L = L_loc + Σ over the estimates of (L_classif + w L_reg) (eq. 1 to 5, where w is 1: `Sampling.pose_weight`)."""

    objectness: Tensor
    box: Tensor
    label: Tensor
    pose_2d: Tensor
    pose_3d: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.objectness + self.box + self.label + self.pose_2d + self.pose_3d


class LcrNet(nn.Module):
    """Localisation, classification and regression of poses.

    Args:
        config: what it is made of.
        anchors: the anchor poses, which become part of the weights.
        pretrained: whether the backbone starts from weights that learnt ImageNet, which are downloaded.
    """

    def __init__(self, config: LcrNetConfig, anchors: AnchorPoses, *, pretrained: bool = False) -> None:
        super().__init__()
        self.config, self.skeleton = config, anchors.skeleton
        self.count = len(anchors)
        self.register_buffer("anchors_m", torch.tensor(anchors.joints_m, dtype=torch.float32))
        self.register_buffer("anchors_share", torch.tensor(anchors.share, dtype=torch.float32))
        self.classes = self.count * (2 if config.upper_bodies else 1)
        self.maps = Maps(
            config.backbone, widths=config.backbone_channels, channels=config.channels,
            pyramid=config.pyramid, finest=config.finest, stem=config.backbone_stem, pretrained=pretrained,
        )  # fmt: skip
        self.pool = Pool(config.pooling, self.maps.strides)
        self.rpn = _rpn(config, self.maps.channels)
        self.heads = Heads(
            self.maps.channels * CELLS * CELLS, config.hidden, self.classes, 5 * len(self.skeleton),
            summary=config.summary, rank=config.rank, dropout=config.dropout,
        )  # fmt: skip
        self._known: AnchorPoses | None = None

    def begin_with(self, other: LcrNet) -> None:
        """Take another network's backbone, and with equal maps and proposals of boxes those as well; never its heads.

        Raises:
            ValueError: where its backbone is another one.
        """
        own, its = ({name: value for name, value in network.state_dict().items() if name.startswith(("maps.", "rpn."))}
                    for network in (self, other))  # fmt: skip
        if {name: value.shape for name, value in own.items()} == {name: value.shape for name, value in its.items()}:
            self.load_state_dict({**self.state_dict(), **its})
        else:
            self.maps.begin_with(other.maps.state_dict())

    @property
    def anchors(self) -> AnchorPoses:
        """The anchor poses, as the weights have them."""
        joints = self.anchors_m
        assert isinstance(joints, Tensor)
        if self._known is None or not np.array_equal(self._known.joints_m.astype(np.float32), joints.cpu().numpy()):
            share = self.anchors_share
            assert isinstance(share, Tensor)
            self._known = AnchorPoses(
                skeleton=self.skeleton, joints_m=joints.double().cpu().numpy(), share=share.double().cpu().numpy()
            )
        return self._known

    def looking_at(self, long_px: int) -> LcrNet:
        """Return the same network in evaluation mode, which scales pictures to a longer side of so many pixels.

        In larger pictures smaller people are found; it proposes as many boxes per area as before, at least as many in
        all.

        Raises:
            ValueError: for less than 32 px, or more than 4096.
        """
        if not _LEAST_PX <= long_px <= _MOST_LONG_PX:
            raise ValueError(f"long_px: expected {_LEAST_PX} to {_MOST_LONG_PX} px, got {long_px}")
        factor = long_px / self.config.long_px
        config = replace(
            self.config,
            long_px=long_px,
            short_px=max(_LEAST_PX, round(factor * self.config.short_px)),
            proposals=max(self.config.proposals, round(factor**2 * self.config.proposals)),
        )
        other = LcrNet(config, self.anchors)
        other.load_state_dict(self.state_dict())
        return other.eval().requires_grad_(False).to(next(self.parameters()).device)

    def scale_of(self, size: tuple[int, int]) -> float:
        """Return by what pictures of a size (height, width) are to be scaled before they are looked at."""
        short, long = min(size), max(size)
        return min(self.config.short_px / short, self.config.long_px / long)

    def losses(
        self,
        image: Float[Tensor, "batch 3 height width"],
        people: Sequence[TruePeople],
        sampling: Sampling | None = None,
    ) -> Losses:
        """Return the losses on some pictures, in training mode; boxes are drawn by torch's own chance.

        Args:
            image: RGB of 0…1, of one size.
            people: everybody in each of them.
            sampling: which boxes are learnt from.
        """
        sampling, anchors, size = sampling or Sampling(), self.anchors, (image.shape[-2], image.shape[-1])
        people = [TruePeople(*(part.cpu() for part in those)) for those in people]
        true = [true_boxes(those, size, anchors, with_upper=self.config.upper_bodies) for those in people]
        maps, images = self._looked(image)
        nearests = [classes_of(those, anchors) for those in people]
        wanted = [
            {"boxes": those.boxes.to(image.device), "known": (nearest[those.person] >= 0).to(image.device)}
            for those, nearest in zip(true, nearests, strict=True)
        ]
        boxes, rpn = self.rpn(images, maps, wanted)
        chosen, labels, offsets = [], [], []
        for found, those, its, nearest in zip(boxes, true, people, nearests, strict=True):
            found = torch.cat((clip_boxes_to_image(found.detach().float(), size).cpu(), those.boxes))
            rows, on = sampled(
                found, those, nearest[those.person] >= 0, count=sampling.boxes, share=sampling.person_share
            )
            targets = targets_of(found[rows], on, those, its, nearest, anchors)
            chosen.append(found[rows].to(image.device))
            labels.append(targets.label)
            offsets.append(targets.offset)
        cells = self.pool(maps, chosen).flatten(1)
        label = torch.cat(labels).to(image.device)
        offset = self.config.offset_scale * torch.cat(offsets).to(image.device)
        positive, flat = label > 0, 2 * len(self.skeleton)
        parts = []
        for head, estimate in self.heads(cells):
            told = head.pose(estimate.features[positive], label[positive] - 1).float()
            parts.append((
                functional.cross_entropy(estimate.logits.float(), label),
                _smooth(told[:, :flat], offset[:, :flat], len(label)),
                _smooth(told[:, flat:], offset[:, flat:], len(label)) if sampling.with_3d else told.sum() * 0.0,
            ))  # fmt: skip
        label_loss, loss_2d, loss_3d = (torch.stack(part).sum() for part in zip(*parts, strict=True))
        loss_2d, loss_3d = sampling.pose_weight * loss_2d, sampling.pose_weight * loss_3d
        return Losses(rpn["loss_objectness"], rpn["loss_rpn_box_reg"], label_loss, loss_2d, loss_3d)

    @torch.no_grad()
    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> list[Proposals]:
        """Return the pose proposals of pictures of one size, neither rescored nor integrated.

        Of all pairs of boxes and classes those are refined that score at least 0.1 / K, or are among the 500 best.

        Args:
            image: RGB of 0…1, scaled as `scale_of` says; proposals are in its pixels.
        """
        size = (image.shape[-2], image.shape[-1])
        maps, images = self._looked(image)
        boxes, _ = self.rpn(images, maps)
        found = []
        for row, its in enumerate(boxes):
            own, its = (
                {name: level[row : row + 1] for name, level in maps.items()},
                clip_boxes_to_image(its.float(), size),
            )
            parts = [self.heads(self.pool(own, [part]).flatten(1))[-1] for part in its.split(_AT_ONCE)]
            scores = torch.cat([estimate.logits.float().softmax(-1)[:, 1:] for _, estimate in parts])
            features = torch.cat([estimate.features for _, estimate in parts])
            found.append(self._proposals(parts[0][0].pose, its, scores, features))
        return found

    def _looked(self, image: Tensor) -> tuple[dict[str, Tensor], ImageList]:
        """Maps of pictures, and the pictures as torchvision's networks take them: with their sizes before padding."""
        whole = padded(image, max(self.maps.strides) if self.config.pyramid else 32)
        return self.maps(as_input(whole)), ImageList(whole, [(image.shape[-2], image.shape[-1])] * len(image))

    def _proposals(self, pose: nn.Module, boxes: Tensor, scores: Tensor, features: Tensor) -> Proposals:
        """Refine the anchors of the boxes and classes of one picture that score enough."""
        flat = scores.flatten()
        enough = int((flat >= 0.1 / self.count).sum())
        best = flat.topk(min(len(flat), max(500, min(enough, MOST_PROPOSALS)))).indices
        row, which = best // max(1, scores.shape[1]), best % max(1, scores.shape[1])
        offset = pose(features[row], which).float() / self.config.offset_scale
        place, deep = offset.split((2 * len(self.skeleton), 3 * len(self.skeleton)), dim=1)
        anchors = self.anchors
        anchor_2d = torch.from_numpy(anchors.in_box).to(place)[which]
        anchor_3d = torch.from_numpy(np.array(anchors.joints_m)).to(deep)[which % self.count]
        its = boxes[row]
        points = its[:, None, :2] + (anchor_2d + place.unflatten(1, (-1, 2))) * (its[:, 2:] - its[:, :2])[:, None]
        joints = anchor_3d + deep.unflatten(1, (-1, 3))
        return Proposals(
            poses_px=points.double().cpu().numpy(),
            joints_m=joints.double().cpu().numpy(),
            scores=flat[best].double().cpu().numpy(),
            boxes_px=its.double().cpu().numpy(),
            upper=(which >= self.count).cpu().numpy(),
        )


class _Proposer(RegionProposalNetwork):
    """Faster R-CNN's, but for people whose poses are not known: boxes on them are neither people nor background."""

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[dict[str, Tensor]]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Label the boxes that proposals start from: 1 for somebody, 0 for background, -1 for what does not count."""
        known = [{"boxes": target["boxes"][target["known"]]} for target in targets]
        labels, matched = super().assign_targets_to_anchors(anchors, known)
        for label, places, target, own in zip(labels, anchors, targets, known, strict=True):
            others = target["boxes"][~target["known"]]
            if len(others):
                near = box_iou(others, places).amax(0)
                nearer = near > box_iou(own["boxes"], places).amax(0) if len(own["boxes"]) else near > 0
                label[(near >= _BACKGROUND) & nearer] = -1
        return labels, matched


def _rpn(config: LcrNetConfig, channels: int) -> RegionProposalNetwork:
    """Faster R-CNN's, with its constants."""
    sizes = tuple((size,) for size in config.box_sizes_px) if config.pyramid else (config.box_sizes_px,)
    places = AnchorGenerator(sizes, (config.box_ratios,) * len(sizes))
    return _Proposer(
        places,
        RPNHead(channels, places.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=_BACKGROUND,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 6 * config.proposals_training, "testing": 20 * config.proposals},
        post_nms_top_n={"training": config.proposals_training, "testing": config.proposals},
        nms_thresh=0.7,
    )


def _smooth(told: Tensor, true: Tensor, boxes: int) -> Tensor:
    """Smooth L1 (eq. 5) of what is known, summed over the numbers of each person, over the number of boxes."""
    known = true.isfinite()
    loss = functional.smooth_l1_loss(told, torch.where(known, true, told.detach()), reduction="none")
    return (loss * known).sum() / max(1, boxes)
