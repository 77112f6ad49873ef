"""One clip of motion capture as the 17 joints of Human3.6M: maps, axes, rates, mirror images.

World frame of all results: metres, right-handed, z up; where x and y point (the yaw) is as in the recording.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from sightline.data.joint_maps import JOINT_MAPS, JointMap
from sightline.errors import InputError
from sightline.formats.bvh import Bvh, JointPositions, forward_kinematics
from sightline.skeleton import get_skeleton

SAME_RATE = 0.002  # relative: 29.97 Hz passes for 30 Hz

_SKELETON = "h36m17"
_AXES = ("x", "y", "z")
_TRUNK_COSINE = 0.8  # the mean direction up the body has to lie within 37 degrees of an axis


def map_for(bvh: Bvh, joint_maps: Mapping[str, JointMap] = JOINT_MAPS) -> str:
    """Name of the known skeleton that this file has, told by the names of its nodes (they may be more).

    None or several that fit raise InputError. Names do not tell the unit of length, and the offsets of Nose and Head
    are in file units: `JointMap.unit_in_metres` says of which length.
    """
    names = set(bvh.names)
    fitting = [m for m in joint_maps.values() if m.nodes <= names and names.issuperset(m.marks)]
    if len(fitting) == 1:
        return fitting[0].name
    if fitting:
        raise InputError(f"the skeleton is ambiguous, it fits {', '.join(m.name for m in fitting)}: name one of them")
    nearest = min(joint_maps.values(), key=lambda m: len((m.nodes | set(m.marks)) - names))
    missing = sorted((nearest.nodes | set(nearest.marks)) - names)
    raise InputError(
        f"no known skeleton has these nodes; the nearest, {nearest.name}, would need {', '.join(missing[:8])} as well"
    )


def joints_from_bvh(
    bvh: Bvh,
    skeleton: str | JointMap,
    *,
    unit_in_metres: float,
    up: str,
    fps: float | None = None,
    joint_positions: JointPositions = "absolute",
) -> Float[np.ndarray, "frame 17 3"]:
    """The 17 joints (h36m17) in metres, z up: file axes (x, y, z) become (x, -z, y) where y is up, see `z_up_from`.

    `skeleton`: a name in JOINT_MAPS or a map of your own. With `fps` the clip is resampled by interpolating rotations
    (bone lengths stay exact), from the first frame to the last one within the clip. A file that lacks a node of the
    map, or has it twice, raises InputError.
    """
    joint_map = known_map(skeleton, JOINT_MAPS) if isinstance(skeleton, str) else skeleton
    to_z_up = z_up_from(up)
    if not (np.isfinite(unit_in_metres) and unit_in_metres > 0):
        raise ValueError(f"unit_in_metres: expected a positive number, got {unit_in_metres}")
    absent = sorted(node for node in joint_map.nodes if bvh.names.count(node) != 1)
    if absent:
        raise InputError(f"skeleton {joint_map.name} needs each of these nodes once: {', '.join(absent)}")
    frames = slice(None) if fps is None else _resampling_frames(len(bvh), bvh.fps, fps)
    positions, rotations = forward_kinematics(bvh, frames, joint_positions=joint_positions)
    joints = np.zeros((len(positions), len(get_skeleton(_SKELETON)), 3))
    for index, name in enumerate(get_skeleton(_SKELETON).joints):
        for term in joint_map.joints[name]:
            node = bvh.index(term.node)
            joints[:, index] += term.weight * (positions[:, node] + rotations[:, node] @ np.array(term.offset))
    return joints @ (to_z_up.T * unit_in_metres)


def known_map(name: str, joint_maps: Mapping[str, JointMap]) -> JointMap:
    """The map called `name`; InputError that lists the names where there is none."""
    if name not in joint_maps:
        raise InputError(f"skeleton {name!r} is not known, expected one of {', '.join(joint_maps)}")
    return joint_maps[name]


# ------------------------------------------------------------------------------------------------------------- axes


def z_up_from(up: str) -> Float[np.ndarray, "3 3"]:
    """The rotation to z up from a frame where `up` ("x", "y", "z" or "-x", "-y", "-z") points up; ValueError else.

    From y up, (x, y, z) becomes (x, -z, y); from x up, (y, z, x); from z up nothing changes. Where a negative axis is
    up, the frame is first turned by half a turn about the axis before it (x before y, y before z, z before x).
    """
    axis = up.removeprefix("-")
    if axis not in _AXES:
        raise ValueError(f"up: expected x, y, z, -x, -y or -z, got {up!r}")
    to_z = {
        "x": np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]),
        "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
        "z": np.eye(3),
    }[axis]
    if axis == up:
        return to_z
    half_turn = -np.eye(3)
    before = _AXES.index(axis) - 1
    half_turn[before, before] = 1.0
    return to_z @ half_turn


def upward_axis(joints: Float[np.ndarray, "frame 17 3"]) -> str:
    """The axis along which people stand in these joints (any unit): "y", "-z", …

    From the mean direction ankles → hips → thorax over all frames. InputError where it is not near an axis, as in a
    clip of somebody who lies.
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        upward = joints[:, 8] - (joints[:, 3] + joints[:, 6]) / 2
        upward = upward / np.linalg.norm(upward, axis=-1, keepdims=True)
    mean = upward[np.isfinite(upward).all(axis=-1)].mean(axis=0) if np.isfinite(upward).all(axis=-1).any() else None
    if mean is None or np.abs(mean).max() < _TRUNK_COSINE:
        raise InputError("nobody stands upright along an axis for most of this clip: say which axis points up")
    axis = int(np.abs(mean).argmax())
    return ("-" if mean[axis] < 0 else "") + _AXES[axis]


# ------------------------------------------------------------------------------------------- rates and mirror images


def _resampling_frames(count: int, fps_from: float, fps_to: float) -> np.ndarray:
    """Frame numbers (with fractions) of the new frames: k * fps_from / fps_to, as far as the clip goes."""
    for name, fps in (("fps_from", fps_from), ("fps_to", fps_to)):
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f"{name}: expected a positive number, got {fps}")
    if count == 0:
        return np.zeros(0)
    steps = math.floor((count - 1) * fps_to / fps_from + 1e-6)
    return np.minimum(np.arange(steps + 1) * (fps_from / fps_to), count - 1)


def resampled(
    joints: Float[np.ndarray, "frame joint 3"], fps_from: float, fps_to: float
) -> Float[np.ndarray, "new_frame joint 3"]:
    """Joint positions at another rate, by a cubic spline through every coordinate (linear motion stays linear).

    Starts at the first frame and stays within the clip; shorter clips than four frames take a lower degree. Bone
    lengths are kept to a fraction of a millimetre in ordinary motion; from BVH channels `joints_from_bvh(fps=…)` keeps
    them exactly. Halving a rate picks frames without a low-pass filter. NaN raises ValueError: it would spread.
    """
    frames = _resampling_frames(len(joints), fps_from, fps_to)
    if not np.isfinite(joints).all():
        raise ValueError("joints: expected finite positions, got NaN or infinity (resample the parts between them)")
    if len(joints) < 2:
        return joints.copy()
    from scipy.interpolate import make_interp_spline

    spline = make_interp_spline(np.arange(len(joints)), joints, k=min(3, len(joints) - 1), axis=0)
    return spline(frames).astype(joints.dtype)


def mirrored(joints: Float[np.ndarray, "*batch 17 3"]) -> Float[np.ndarray, "*batch 17 3"]:
    """The mirror image of h36m17 joints (z up): x changes its sign, left and right joints change places.

    Twice is the identity. NaN stays with its joint.
    """
    return (joints * np.array([-1, 1, 1], dtype=joints.dtype))[..., list(get_skeleton(_SKELETON).flip), :]
