"""Which joints change places where a detector takes a person's left for the right, and what speaks against it.

Detectors exchange everything at once, or only the arms, or only the legs. So the left/right pairs of a joint set form
up to three groups (face, arms with shoulders, legs with hips), and a labelling of a frame says of each group whether
it is as given or exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.skeleton import Skeleton

FACE, ARMS, LEGS = "face", "arms", "legs"
GROUPS: Final = {
    FACE: ("EyeInner", "Eye", "EyeOuter", "Ear", "Mouth"),
    ARMS: ("Clavicle", "Collar", "Shoulder", "Elbow", "Wrist", "Hand", "Pinky", "Index", "Thumb"),
    LEGS: ("Hip", "Knee", "Ankle", "Heel", "Foot", "FootIndex", "Toe", "BigToe", "SmallToe"),
}
WEIGHTS: Final = {
    "EyeInner": 0.1, "Eye": 0.2, "EyeOuter": 0.1, "Ear": 0.4, "Mouth": 0.1, "Clavicle": 0.2, "Collar": 0.2,
    "Pinky": 0.1, "Index": 0.1, "Thumb": 0.1, "Hand": 0.2, "Heel": 0.2, "Foot": 0.2, "FootIndex": 0.2, "Toe": 0.2,
    "BigToe": 0.1, "SmallToe": 0.1,
}  # fmt: skip
"""How much of a witness each joint is. Those that go wrong together share what one joint alone would count."""
JOINT_WEIGHT: Final = 0.25
"""Of a joint that stands for itself: joints of one limb err together, so together they are not that many witnesses."""

AGREEMENT_PER_S: Final = {(FACE, ARMS): 1.0, (ARMS, LEGS): 2.0}
"""How much it speaks against two groups, per second, that their left/right axes point against each other."""
FEET_PER_S: Final = 0.4
"""How much toes that point away from the side on which the labels say that the body looks speak against the labels."""
HIDDEN_FACE_PER_S: Final = 0.3


@dataclass(frozen=True)
class SideLayout:
    """The left/right pairs of a joint set in groups, and every labelling: per group 0 as given or 1 exchanged."""

    left: Int[np.ndarray, " pair"]
    right: Int[np.ndarray, " pair"]
    weight: Float[np.ndarray, " pair"]
    groups: tuple[str, ...]
    group_of_pair: Int[np.ndarray, " pair"]
    labellings: Bool[np.ndarray, "labelling group"]
    axis_pairs: tuple[Int[np.ndarray, " _"], ...]
    """Per group the pairs whose line from right to left is that of the body."""
    toes: Int[np.ndarray, " foot"]
    heels: Int[np.ndarray, " foot"]
    face: Int[np.ndarray, " facial"]
    """All joints of the face, nose included."""

    def column(self, group: str) -> int | None:
        """The number of a group; None where the joint set has no pair of it."""
        return self.groups.index(group) if group in self.groups else None

    def order(self, labelling: int, joints: int) -> Int[np.ndarray, " joint"]:
        """The permutation of joints that undoes a labelling: `right_sides = as_given[order]`."""
        order = np.arange(joints)
        swapped = self.labellings[labelling][self.group_of_pair]
        order[self.left[swapped]], order[self.right[swapped]] = self.right[swapped], self.left[swapped]
        return order


def _part(joint: str) -> str:
    return joint[1:] if joint[:1] in "LR" and joint[1:2].isupper() else joint


@lru_cache(maxsize=32)
def side_layout(skeleton: Skeleton) -> SideLayout:
    """The layout of any joint set; a pair of unknown name belongs to the group of its nearest known ancestor."""
    paired = [joint for joint, other in enumerate(skeleton.flip) if other != joint]
    pairs = [(joint, skeleton.flip[joint]) for joint in paired if skeleton.joints[joint].startswith("L")]
    names = [_group(skeleton, left) for left, _ in pairs]
    groups = tuple(group for group in GROUPS if group in names)
    parts = [_part(skeleton.joints[left]) for left, _ in pairs]
    axis_parts = {FACE: GROUPS[FACE], ARMS: ("Shoulder",), LEGS: ("Hip",)}
    toes = next((kind for kind in ("FootIndex", "BigToe", "Toe") if kind in parts), None)
    feet = [(side + toes, side + "Heel") for side in "LR"] if toes is not None and "Heel" in parts else []
    return SideLayout(
        left=np.array([left for left, _ in pairs], dtype=np.int64),
        right=np.array([right for _, right in pairs], dtype=np.int64),
        weight=np.array([WEIGHTS.get(part, 1.0) * JOINT_WEIGHT for part in parts]),
        groups=groups,
        group_of_pair=np.array([groups.index(name) for name in names], dtype=np.int64),
        labellings=np.array(list(product((False, True), repeat=len(groups))), dtype=bool).reshape(2 ** len(groups), -1),
        axis_pairs=tuple(
            np.array([pair for pair, part in enumerate(parts) if part in axis_parts[group]], dtype=np.int64)
            for group in groups
        ),
        toes=np.array([skeleton.index(toe) for toe, _ in feet], dtype=np.int64),
        heels=np.array([skeleton.index(heel) for _, heel in feet], dtype=np.int64),
        face=np.array(
            [n for n, joint in enumerate(skeleton.joints) if _part(joint) in (*GROUPS[FACE], "Nose")], dtype=np.int64
        ),
    )


def _group(skeleton: Skeleton, joint: int) -> str:
    at = joint
    while at != -1:
        for group, parts in GROUPS.items():
            if _part(skeleton.joints[at]) in parts:
                return group
        at = skeleton.parents[at]
    return ARMS


def anatomical_cost(
    layout: SideLayout,
    points_px: Float[np.ndarray, "person joint 2"],
    confidence: Float[np.ndarray, "person joint"],
    size_px: Float[np.ndarray, " person"],
) -> Float[np.ndarray, "person labelling"]:
    """What the pose itself says against each labelling, per second: weak hints that only long stretches add up to much.

    The lines from right to left through face, shoulders and hips rarely point against each other; whoever faces the
    camera has the left at larger x and, seen from above the feet, the toes below the heels; a face that is not found
    between shoulders that are looks away. Missing joints say nothing.
    """
    sign = np.where(layout.labellings, -1.0, 1.0)
    cost = np.zeros((len(points_px), len(sign)))
    axes = [_mean(points_px[:, layout.left[pairs]] - points_px[:, layout.right[pairs]]) for pairs in layout.axis_pairs]
    for (one, other), rate in AGREEMENT_PER_S.items():
        a, b = layout.column(one), layout.column(other)
        if a is not None and b is not None:
            along = (axes[a] * axes[b]).sum(-1) / (0.06 * size_px) ** 2
            cost -= rate * np.clip(along, -1, 1)[:, None] * sign[:, a] * sign[:, b]
    arms, legs = layout.column(ARMS), layout.column(LEGS)
    if arms is None or legs is None:
        return cost
    down = _down(layout, points_px)
    ahead = np.stack([down[:, 1], -down[:, 0]], axis=-1)  # where the left of one who faces the camera is seen
    if len(layout.toes):
        toes = (_mean(points_px[:, layout.toes] - points_px[:, layout.heels]) * down).sum(-1) / (0.03 * size_px)
        facing = np.clip(toes, -1, 1) * np.clip((axes[legs] * ahead).sum(-1) / (0.06 * size_px), -1, 1)
        cost -= FEET_PER_S * facing[:, None] * sign[:, legs]
    if len(layout.face):
        both = np.concatenate([layout.left[layout.axis_pairs[arms]], layout.right[layout.axis_pairs[arms]]])
        away = (confidence[:, layout.face].max(1) < 0.3) & (confidence[:, both].min(1) > 0.5)
        across = np.clip((axes[arms] * ahead).sum(-1) / (0.06 * size_px), -1, 1)
        cost += HIDDEN_FACE_PER_S * (away * across)[:, None] * sign[:, arms]
    return cost


def _down(layout: SideLayout, points_px: np.ndarray) -> Float[np.ndarray, "person 2"]:
    """The unit vector from the middle of the shoulders to that of the hips; 0 where unknown."""
    middles = []
    for group in (ARMS, LEGS):
        pairs = layout.axis_pairs[layout.groups.index(group)]
        left, right = points_px[:, layout.left[pairs]], points_px[:, layout.right[pairs]]
        middles.append(_mean((left + right) / 2, unknown=np.nan))
    trunk = middles[1] - middles[0]
    length = np.linalg.norm(trunk, axis=-1, keepdims=True)
    return np.where(length > 0, trunk / np.where(length > 0, length, 1.0), 0.0)


def _mean(vectors: np.ndarray, unknown: float = 0.0) -> Float[np.ndarray, "person 2"]:
    """The mean of the known vectors (person, n, 2); `unknown` without one."""
    known = np.isfinite(vectors[..., 0])
    count = known.sum(1)[:, None]
    total = np.where(known[..., None], vectors, 0.0).sum(1)
    return np.where(count > 0, total / np.maximum(count, 1), unknown)
