"""A made-up person in motion, as a BVH file would hold it, and measures of bodies. Shared by the tests of mocap."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.testing import assert_array_equal

from sightline.data.mocap import joints_from_bvh
from sightline.data.motion_library import MotionLibrary
from sightline.formats.bvh import Bvh
from sightline.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
LIMBS = [
    (child, parent) for child, parent in H36M.bones if H36M.joints[child][1:] in ("Knee", "Ankle", "Elbow", "Wrist")
]

# A standing person in centimetres, y up, facing z (the left is at +x): parent, offset from it.
BODY = {
    "root": (None, (0, 0, 0)),
    "chest": ("root", (0, 24, 0)),
    "neck": ("chest", (0, 22, 0)),
    "right_shoulder": ("chest", (-18, 24, 0)),
    "right_elbow": ("right_shoulder", (0, -27, 0)),
    "right_wrist": ("right_elbow", (0, -26, 0)),
    "left_shoulder": ("chest", (18, 24, 0)),
    "left_elbow": ("left_shoulder", (0, -27, 0)),
    "left_wrist": ("left_elbow", (0, -26, 0)),
    "right_hip": ("root", (-8.5, 0, 0)),
    "right_knee": ("right_hip", (0, -42, 0)),
    "right_ankle": ("right_knee", (0, -41, 0)),
    "left_hip": ("root", (8.5, 0, 0)),
    "left_knee": ("left_hip", (0, -42, 0)),
    "left_ankle": ("left_knee", (0, -41, 0)),
}


def person(frames: int = 12, fps: float = 30.0, bend: float = 30.0, seed: int = 0) -> Bvh:
    """The person with smoothly moving joints; `bend` is the amplitude in degrees, 0 stands still."""
    rng = np.random.default_rng(seed)
    names = tuple(BODY)
    channels = (("Xposition", "Yposition", "Zposition", "Zrotation", "Xrotation", "Yrotation"),)
    channels += (("Zrotation", "Xrotation", "Yrotation"),) * (len(names) - 1)
    time_s = np.arange(frames)[:, None] / fps
    width = sum(map(len, channels))
    values = bend * np.sin(2 * np.pi * (time_s * rng.uniform(0.3, 1.2, width) + rng.random(width)))
    values[:, :3] = (0, 90, 0) + time_s * (0, 0, 120)
    return Bvh(
        names=names,
        parents=tuple(-1 if parent is None else names.index(parent) for parent, _ in BODY.values()),
        offsets=np.array([offset for _, offset in BODY.values()], dtype=float),
        channels=channels,
        end_sites=(),
        values=values,
        frame_time_s=1 / fps,
    )


def person_joints(**options: float) -> np.ndarray:
    return joints_from_bvh(person(**options), "deepmimic", unit_in_metres=0.01, up="y")


def bone_lengths(
    joints: np.ndarray, bones: list[tuple[int, int]] | tuple[tuple[int, int], ...] = H36M.bones
) -> np.ndarray:
    joints = joints.astype(np.float64)
    return np.stack([np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1) for child, parent in bones], axis=-1)


def forward_direction(joints: np.ndarray) -> np.ndarray:
    """Unit vectors on the floor, left x up, from the hips."""
    left = joints[:, H36M.index("LHip")] - joints[:, H36M.index("RHip")]
    forward = np.cross(left, [0.0, 0.0, 1.0])
    return forward / np.linalg.norm(forward, axis=-1, keepdims=True)


def assert_same(one: MotionLibrary, other: MotionLibrary) -> None:
    """Every field of the two libraries is equal."""
    for field in fields(MotionLibrary):
        assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)
