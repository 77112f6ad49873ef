"""Body size from the floor: a person who stands on it is as large as it takes for the feet to meet it."""

from __future__ import annotations

import statistics
from collections import OrderedDict, deque
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from sightline.skeleton import Skeleton, conversion, get_skeleton
from sightline.stature import stature_from_joints
from sightline.structures import Hypothesis, Person, World

ANKLE_HEIGHT_M = 0.08
"""How high the ankle joint is above the sole of a standing adult's bare foot."""
_SCALES = (0.3, 1.6)  # of the size that the lifter takes an unknown person for: children to giants
_MEMORY = 301  # frames
_TRACKS = 256


class FloorSizes:
    """Rescales people about the camera's centre so that, by the median over time, the lower ankle is on the floor.

    One picture cannot tell a small person who is near from a large one far away: both send the same rays. A camera
    whose height above the floor is known can, since only one size puts the feet of each on the floor. With n · x + d
    the height of a point x above the floor, an ankle a at the scale s has the height s (n · a) + d, and the scale that
    brings it to the height h of an ankle is s = (h − d) / (n · a).

    A track's size is the median of what its last frames say, so a jump does not change it. People without id have the
    size of their own frame.

    Args:
        ankles: rows of the ankles in the skeleton.
    """

    def __init__(self, ankles: tuple[int, int]) -> None:
        self._ankles = list(ankles)
        self._scales: OrderedDict[int, deque[float]] = OrderedDict()

    @classmethod
    def of(cls, skeleton: Skeleton) -> FloorSizes:
        """Make it for a skeleton that has ankles."""
        return cls((skeleton.index("RAnkle"), skeleton.index("LAnkle")))

    def sized(self, person: Person, world: World) -> Person:
        """Return the person at the size that the floor says, or unchanged where the floor says nothing."""
        scale = self._scale(person, world)
        if person.id is None:
            return person if scale is None else scaled(person, scale)
        seen = self._scales.setdefault(person.id, deque(maxlen=_MEMORY))
        self._scales.move_to_end(person.id)
        if len(self._scales) > _TRACKS:
            self._scales.popitem(last=False)
        if scale is not None:
            seen.append(scale)
        return scaled(person, statistics.median(seen)) if seen else person

    def _scale(self, person: Person, world: World) -> float | None:
        """The scale that puts the lower ankle where an ankle is; None where its ray never meets the floor."""
        normal, offset = world.floor_cam[:3], float(world.floor_cam[3])
        along = float(np.min(person.joints_cam_m[self._ankles] @ normal))
        if not along < 0.0 or offset <= ANKLE_HEIGHT_M:
            return None
        scale = (ANKLE_HEIGHT_M - offset) / along
        return scale if _SCALES[0] <= scale <= _SCALES[1] else None


def stature_ratio(joints: Float[np.ndarray, "joint 3"], skeleton: Skeleton, height_m: float) -> float:
    """Return by how much a pose (m) is to be scaled to be of somebody of a given stature.

    About the camera, so that it covers the same pixels. Bones from ankles to shoulders tell the stature, so the joint
    set needs no top of the head.
    """
    measured, _ = conversion(skeleton, get_skeleton("h36m17")).apply(joints[None])
    return height_m / float(stature_from_joints(torch.from_numpy(measured[0])))


def scaled(person: Person, scale: float) -> Person:
    """Return the person larger and farther by `scale`: the same rays, so the same picture."""

    def depth(value: float | None) -> float | None:
        return None if value is None else value * scale

    def other(hypothesis: Hypothesis) -> Hypothesis:
        joints, root = hypothesis.joints_cam_m * scale, depth(hypothesis.root_depth_canonical)
        return replace(hypothesis, joints_cam_m=joints, root_depth_canonical=root)

    return replace(
        person,
        joints_cam_m=person.joints_cam_m * scale,
        root_depth_canonical=depth(person.root_depth_canonical),
        sigma_m=None if person.sigma_m is None else person.sigma_m * scale,
        hypotheses=None if person.hypotheses is None else tuple(other(each) for each in person.hypotheses),
        extra=None if person.extra is None else replace(person.extra, joints_cam_m=person.extra.joints_cam_m * scale),
    )
