"""What LCR-Net++ is to say of boxes: which are people, of which class, and where from the anchor (section 3.1)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torchvision.ops import box_iou

from sightline.methods.lcrnet.anchors import AnchorPoses
from sightline.methods.lcrnet.boxes import BOX_MARGIN, pose_boxes

POSITIVE_IOU: Final = 0.5
"""A box that overlaps with a pose's less than this is background."""
LEAST_PX: Final = 2.0
"""Boxes of people that are smaller in the picture, on either side, are not learnt from."""


class TruePeople(NamedTuple):
    """Everybody in one picture."""

    points_px: Float[Tensor, "person joint 2"]
    """Joints (px), also outside the picture and hidden ones; NaN where not known."""
    joints_m: Float[Tensor, "person joint 3"]
    """About the middle of the torso, in the camera's axes; NaN for all joints where not known."""


class TrueBoxes(NamedTuple):
    """The boxes of one picture that are to be found, each of somebody seen whole or as an upper body."""

    boxes: Float[Tensor, "box 4"]
    """Left, top, right, bottom (px), inside the picture."""
    person: Int[Tensor, " box"]
    upper: Bool[Tensor, " box"]


class Targets(NamedTuple):
    """What a head is to say of sampled boxes."""

    label: Int[Tensor, " box"]
    """0: background; else 1 + the class."""
    offset: Float[Tensor, "positive size"]
    """For those that are people: 2D offsets from the anchor in box coordinates, all joints, then 3D ones (m); NaN where
    not known."""


def true_boxes(people: TruePeople, size: tuple[int, int], anchors: AnchorPoses, *, with_upper: bool) -> TrueBoxes:
    """Return the boxes that are to be found in a picture.

    Everybody has an upper body's box; who shows knees or ankles in the picture, or anybody where there are no
    upper-body classes, has one around all joints. Boxes are cut off where the picture ends.

    Args:
        people: who is there.
        size: of the picture (height, width).
        anchors: whose joint set the people have.
        with_upper: whether there are classes of upper bodies.
    """
    points = people.points_px.double().numpy()
    height, width = size
    rows = anchors.upper_rows
    legs = np.setdiff1d(np.arange(points.shape[1]), rows)
    inside = np.all((points >= 0) & (points < (width, height)), axis=-1)
    whole = pose_boxes(points, BOX_MARGIN)
    parts = [(whole, inside[:, legs].any(1) if with_upper else np.ones(len(points), bool), False)]
    if with_upper:
        parts.append((pose_boxes(points[:, rows], BOX_MARGIN), np.ones(len(points), bool), True))
    boxes, person, upper = [], [], []
    for found, wanted, is_upper in parts:
        cut = np.clip(found, 0, (width, height, width, height))
        large = ((cut[:, 2:] - cut[:, :2]) >= LEAST_PX).all(1)  # False for boxes of nobody known
        chosen = np.flatnonzero(wanted & large)
        boxes.append(cut[chosen])
        person.append(chosen)
        upper.append(np.full(len(chosen), is_upper))
    return TrueBoxes(
        torch.from_numpy(np.concatenate(boxes)).float(),
        torch.from_numpy(np.concatenate(person)),
        torch.from_numpy(np.concatenate(upper)),
    )


def classes_of(people: TruePeople, anchors: AnchorPoses) -> Int[Tensor, " person"]:
    """Return the anchor that each person's 3D pose is nearest to; −1 where the pose is not known."""
    known = people.joints_m.isfinite().flatten(1).all(1)
    found = torch.full((len(known),), -1)
    found[known] = torch.from_numpy(anchors.nearest(people.joints_m[known])[0])
    return found


def sampled(
    proposals: Float[Tensor, "proposal 4"], true: TrueBoxes, known: Bool[Tensor, " box"], *, count: int, share: float
) -> tuple[Int[Tensor, " sample"], Int[Tensor, " sample"]]:
    """Draw boxes to learn from, by torch's own chance.

    Args:
        proposals: of one picture.
        true: what is to be found there.
        known: of which of those the class is known; proposals that lie on others are left out.
        count: boxes to draw.
        share: of these on people, at most.

    Returns:
        The proposals' numbers, and the true box that each lies on, −1 for background.
    """
    overlap, on = torch.zeros(len(proposals)), torch.full((len(proposals),), -1)
    if len(true.boxes):
        overlap, on = box_iou(true.boxes, proposals).max(0)
    is_person = overlap >= POSITIVE_IOU
    usable = known[on.clamp_min(0)] if len(known) else torch.zeros(len(proposals), dtype=torch.bool)
    person, ground = torch.nonzero(is_person & usable)[:, 0], torch.nonzero(~is_person)[:, 0]
    person = person[torch.randperm(len(person))[: max(1, int(count * share))]]
    ground = ground[torch.randperm(len(ground))[: count - len(person)]]
    rows = torch.cat((person, ground))
    return rows, torch.where(is_person[rows], on[rows], -1)


def targets_of(
    boxes: Float[Tensor, "sample 4"],
    on: Int[Tensor, " sample"],
    true: TrueBoxes,
    people: TruePeople,
    nearest: Int[Tensor, " person"],
    anchors: AnchorPoses,
) -> Targets:
    """Return labels and offsets of sampled boxes: t = (p̃ − ã_c, P − A_c).

    Args:
        boxes: as drawn (px).
        on: the true box that each lies on, −1 for background.
        true: the true boxes.
        people: whose they are.
        nearest: each person's anchor.
        anchors: the anchor poses.
    """
    positive = on >= 0
    its = on[positive]
    person = true.person[its]
    anchor = nearest[person]
    which = anchor + len(anchors) * true.upper[its].long()
    label = torch.zeros(len(boxes), dtype=torch.long)
    label[positive] = 1 + which
    box = boxes[positive]
    place = (people.points_px[person] - box[:, None, :2]) / (box[:, 2:] - box[:, :2]).clamp_min(1e-3)[:, None]
    flat = place - torch.from_numpy(anchors.in_box).float()[which]
    deep = people.joints_m[person] - torch.from_numpy(np.array(anchors.joints_m)).float()[anchor]
    return Targets(label, torch.cat((flat.flatten(1), deep.flatten(1)), dim=1).float())
