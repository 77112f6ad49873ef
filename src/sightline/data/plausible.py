"""Whether a pose is one that a body can take: no limb passes through another or through the trunk, no joint is bent
beyond its range.

Limbs are capsules (a segment with a radius); joints are judged in the frames of the pelvis and of the chest. Nothing
here knows the vertical, so lying and standing are alike. All lengths are shares of the body's own size.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.skeleton import get_skeleton

_ADULT_M = 1.35
"""Leg and trunk of the adult to whom the lengths in this file belong; other bodies are scaled to it."""

Point = tuple[str, float, str]
"""A place on the line through two joints: from the first, that share of the way to the second."""

_SEGMENTS: dict[str, tuple[Point, Point]] = {
    "upper_arm": (("Shoulder", 0.5, "Elbow"), ("Shoulder", 1.0, "Elbow")),
    "forearm": (("Elbow", 0.0, "Wrist"), ("Elbow", 1.0, "Wrist")),
    "thigh": (("Hip", 0.2, "Knee"), ("Hip", 1.0, "Knee")),
    "shin": (("Knee", 0.0, "Ankle"), ("Knee", 1.0, "Ankle")),
    "flank": (("pelvis", 0.5, "Hip"), ("thorax", 0.5, "Shoulder")),
    "belly": (("pelvis", 0.0, "spine"), ("pelvis", 1.0, "spine")),
    "chest": (("spine", 0.0, "thorax"), ("spine", 0.9, "thorax")),
    "head": (("nose", 0.0, "head"), ("nose", 1.0, "head")),
}
"""Axes of the capsules. Names in lower case are joints in the middle; the part of a limb next to its socket is left
out, since it is inside the trunk's flesh in every pose."""

_SAME_SIDE: dict[tuple[str, str], float] = {
    ("upper_arm", "flank"): 0.075,
    ("forearm", "flank"): 0.07,
    ("upper_arm", "thigh"): 0.08,
    ("forearm", "thigh"): 0.05,
    ("forearm", "shin"): 0.06,
}
_OTHER_SIDE: dict[tuple[str, str], float] = {
    ("upper_arm", "flank"): 0.10,
    ("forearm", "flank"): 0.07,
    ("upper_arm", "thigh"): 0.08,
    ("forearm", "thigh"): 0.05,
    ("forearm", "shin"): 0.06,
    ("thigh", "shin"): 0.075,
    ("forearm", "upper_arm"): 0.055,
}
_TWINS: dict[str, float] = {"upper_arm": 0.07, "forearm": 0.025, "thigh": 0.085, "shin": 0.05}
"""A limb and its twin on the other side."""
_MIDDLE: dict[tuple[str, str], float] = {
    ("upper_arm", "chest"): 0.125,
    ("upper_arm", "belly"): 0.125,
    ("forearm", "chest"): 0.08,
    ("forearm", "belly"): 0.07,
    ("forearm", "head"): 0.08,
    ("upper_arm", "head"): 0.10,
    ("thigh", "chest"): 0.14,
    ("shin", "belly"): 0.15,
}
"""The least distance (m, on the adult) between the axes of two capsules, smaller than their radii's sum by as much as
flesh gives way and joint centres are off."""
_ACROSS_SHOULDERS = {("upper_arm", "flank"), ("forearm", "flank"), ("upper_arm", "chest"), ("upper_arm", "belly")}
_SHOULDERS_M = 0.38
"""Pairs whose least distance shrinks with the shoulders: an arm that hangs from shoulders as narrow as some motion
capture's (0.23 m) is nearer to the spine. And the adult's distance between shoulder joints."""

# Joint limits, one for every way a body can turn: the ranges of motion of the American Academy of Orthopaedic Surgeons
# (Joint Motion, 1965: hip 120 degrees of flexion, 30 extension, 30 adduction; shoulder 60 extension, 135 horizontal
# adduction; elbow 150, knee 135) and, where it gives more, of Kapandji (The Physiology of the Joints: 160 for a knee or
# elbow folded by another hand, 145 for the hip, 80 to 90 for the turn of the head). Most are 10 to 20 degrees wider
# here, since joint centres are estimates and the frames of pelvis and chest follow the spine; where the sources count
# otherwise (bends of the spine's halves, sums), the limit lies just outside what motion capture does.
_FLEXION_COS = math.cos(math.radians(160))
_SLACK = math.sin(math.radians(10))
"""How far a straight knee or elbow may bend the wrong way."""
_KNEE_TURN_COS = math.cos(math.radians(110))
_ELBOW_TURN_COS = math.cos(math.radians(120))
"""How far thigh and upper arm may be turned about themselves, as the bent joint shows it, from the middle."""
_HIP_BACK, _HIP_ACROSS = math.sin(math.radians(45)), math.sin(math.radians(40))
_HIP_UP_AND_BACK = 0.4
"""A thigh that is raised beyond the horizontal has to point forwards; its flexion ends at 152 degrees."""
_ARM_BACK, _ARM_ACROSS = (math.sin(math.radians(angle)) for angle in (65, 55))
_ARM_BACK_AND_ACROSS = 1.0
"""An arm behind the back reaches less far across."""
_ARM_RAISED = 0.4
"""How much of its height a raised arm pays for in reach to the back."""
_TRUNK_BEND_COS, _TRUNK_TWIST_COS = math.cos(math.radians(80)), math.cos(math.radians(75))
_LEAN = math.cos(math.radians(63))
"""How far hip line and shoulder line are from square to their half of the spine."""
_HEAD_BEND_COS, _HEAD_TURN_COS = math.cos(math.radians(75)), math.cos(math.radians(95))

_THIGH_REST = ((0.0, -0.7071, -0.7071), (0.0, 0.7071, -0.7071))
_ARM_REST = ((0.5, -0.5, -0.7071), (-0.1464, -0.8536, 0.5))
"""Middle of the range of thigh and upper arm (out, back, up), and where shin and forearm point from there when bent."""
_TINY = 1e-9


class _Measures(NamedTuple):
    """What the limits are set on, no unit. `thigh` and `arm` are directions in the frame of pelvis and chest, with axes
    out (away from the body's middle), back and up; the left side comes first.
    """

    thigh: Float[Tensor, "side axis batch"]
    arm: Float[Tensor, "side axis batch"]
    knee_cos: Float[Tensor, "side batch"]
    """Cosine of the knee's flexion."""
    knee_back: Float[Tensor, "side batch"]
    """Share of the shin that points backwards, seen along the thigh."""
    elbow_cos: Float[Tensor, "side batch"]
    elbow_forward: Float[Tensor, "side batch"]
    """Share of the forearm that points the way an elbow bends with the upper arm turned to the middle of its range."""
    trunk_bend_cos: Float[Tensor, " batch"]
    """Cosine of the angle between the lower and the upper half of the spine."""
    trunk_twist_cos: Float[Tensor, " batch"]
    """Cosine of the angle between hip line and shoulder line, seen along the spine."""
    hip_lean: Float[Tensor, " batch"]
    """Cosine of the angle between hip line and spine: 0 where they are square to each other."""
    shoulder_lean: Float[Tensor, " batch"]
    head_bend_cos: Float[Tensor, " batch"]
    """Cosine of the angle between upper spine and the line from thorax to head."""
    head_turn_cos: Float[Tensor, " batch"]
    """Cosine of the turn of the nose about that line, from straight ahead."""


@torch.no_grad()
def plausible(joints: Float[Tensor, "batch 17 3"], *, margin_m: float = 0.0) -> Bool[Tensor, " batch"]:
    """Whether each `h36m17` pose (m, anywhere, turned anyhow) is one that a body can take.

    `margin_m` widens every least distance between limbs (negative: allows more touch). A pose with a coordinate that is
    not finite, or with no size, is not plausible.
    """
    joints, usable = _centred(joints)
    return usable & ~_self_intersecting(joints, margin_m) & ~_joint_limits_broken(joints)


@torch.no_grad()
def self_intersecting(joints: Float[Tensor, "batch 17 3"], *, margin_m: float = 0.0) -> Bool[Tensor, " batch"]:
    """Whether limbs pass through each other, the trunk or the head; True where coordinates are not finite."""
    joints, usable = _centred(joints)
    return ~usable | _self_intersecting(joints, margin_m)


@torch.no_grad()
def joint_limits_broken(joints: Float[Tensor, "batch 17 3"]) -> Bool[Tensor, " batch"]:
    """Whether any joint is bent or turned beyond its range; True where coordinates are not finite."""
    joints, usable = _centred(joints)
    return ~usable | _joint_limits_broken(joints)


def _centred(joints: Tensor) -> tuple[Float[Tensor, "17 3 batch"], Bool[Tensor, " batch"]]:
    """Poses of an adult's size with the hips at the origin, the batch last; and which of them can be judged."""
    if joints.ndim != 3 or joints.shape[1:] != (17, 3) or not joints.is_floating_point():
        raise ValueError(f"joints: expected floats (batch, 17, 3), got {joints.dtype} {tuple(joints.shape)}")
    points = joints.float().permute(1, 2, 0).contiguous()
    points = points - points[:1]
    bones = torch.tensordot(_size_rows(points.device), points, dims=1)
    lengths = _dot(bones, bones).sqrt()
    size = lengths[:4].sum(0) / 2 + lengths[4:].sum(0)
    usable = points.sum((0, 1)).isfinite() & size.isfinite() & (size > 1e-6)  # a sum with NaN or infinity is not finite
    return points * torch.where(usable, _ADULT_M / size, 0), usable


def _self_intersecting(points: Tensor, margin_m: float) -> Bool[Tensor, " batch"]:
    index = get_skeleton("h36m17").index
    shoulder_line = points[index("LShoulder")] - points[index("RShoulder")]
    width = _dot(shoulder_line, shoulder_line).sqrt() / _SHOULDERS_M
    least, least_for_shoulders = _least_distances(points.device)
    room = _distances(points) - (margin_m + least) - least_for_shoulders * width
    return room.amin(0) < 0


def _distances(points: Float[Tensor, "17 3 batch"]) -> Float[Tensor, "pair batch"]:
    """Distances of the pairs of segments (Ericson, Real-Time Collision Detection, section 5.1.9)."""
    along1, along2, between = torch.tensordot(_pair_rows(points.device), points, dims=1).unbind()
    a, e, f = _dot(along1, along1) + _TINY, _dot(along2, along2) + _TINY, _dot(along2, between)
    b, c = _dot(along1, along2), _dot(along1, between)
    first = ((b * f - c * e) / (a * e - b * b).clamp_min(_TINY)).clamp(0, 1)
    second = ((b * first + f) / e).clamp(0, 1)
    first = ((b * second - c) / a).clamp(0, 1)
    gap = torch.addcmul(torch.addcmul(between, along1, first[:, None]), along2, second[:, None], value=-1)
    return _dot(gap, gap).sqrt()


def _joint_limits_broken(points: Float[Tensor, "17 3 batch"]) -> Bool[Tensor, " batch"]:
    m = _measured(points)
    knee = m.knee_back < -_SLACK + _KNEE_TURN_COS * _sine(m.knee_cos)
    elbow = m.elbow_forward < -_SLACK + _ELBOW_TURN_COS * _sine(m.elbow_cos)
    folded = (m.knee_cos < _FLEXION_COS) | (m.elbow_cos < _FLEXION_COS)
    out, back, up = m.thigh.unbind(1)
    hip = (back > _HIP_BACK) | (out < -_HIP_ACROSS) | (up + back > _HIP_UP_AND_BACK)
    out, back, up = m.arm.unbind(1)
    shoulder = (
        (back + _ARM_RAISED * up.clamp_min(0) > _ARM_BACK) | (out < -_ARM_ACROSS) | (back - out > _ARM_BACK_AND_ACROSS)
    )
    trunk = (m.trunk_bend_cos < _TRUNK_BEND_COS) | (m.trunk_twist_cos < _TRUNK_TWIST_COS)
    lean = (m.hip_lean.abs() > _LEAN) | (m.shoulder_lean.abs() > _LEAN)
    head = (m.head_bend_cos < _HEAD_BEND_COS) | (m.head_turn_cos < _HEAD_TURN_COS)
    return (knee | elbow | folded | hip | shoulder).any(0) | trunk | lean | head


def _measured(points: Float[Tensor, "17 3 batch"]) -> _Measures:
    """Directions and bends of all joints, whatever the body's size."""
    bones = torch.tensordot(_bone_rows(points.device), points, dims=1)
    unit = bones * (_dot(bones, bones) + _TINY).rsqrt()[:, None]
    hip_line, lower_spine, shoulder_line, upper_spine, neck, nose = unit[:6]
    pelvis, chest = _frame(hip_line, lower_spine), _frame(shoulder_line, upper_spine)
    thigh, shin, arm, forearm = unit[6:].reshape(4, 2, 3, -1)
    outwards = points.new_tensor([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])[..., None]
    thigh, shin = _local(pelvis, thigh) * outwards, _local(pelvis, shin) * outwards
    arm, forearm = _local(chest, arm) * outwards, _local(chest, forearm) * outwards
    twist = _local(pelvis, shoulder_line[None])[0]
    return _Measures(
        thigh=thigh,
        arm=arm,
        knee_cos=_dot(thigh, shin),
        knee_back=_along_swung(shin, thigh, *_THIGH_REST),
        elbow_cos=_dot(arm, forearm),
        elbow_forward=_along_swung(forearm, arm, *_ARM_REST),
        trunk_bend_cos=_dot(lower_spine, upper_spine),
        trunk_twist_cos=twist[0] * (twist[0] ** 2 + twist[1] ** 2 + _TINY).rsqrt(),
        hip_lean=_dot(hip_line, lower_spine),
        shoulder_lean=_dot(shoulder_line, upper_spine),
        head_bend_cos=_dot(neck, upper_spine),
        head_turn_cos=_cosine(_across(nose, neck), _across(-chest[1], neck)),
    )


def _along_swung(
    lower: Tensor, upper: Tensor, rest: tuple[float, float, float], bends: tuple[float, float, float]
) -> Float[Tensor, "side batch"]:
    """How far the lower bone points the way it bends: `bends` where the upper one is at `rest`, swung along with it.

    The swing is the shortest rotation from `rest` to `upper`, R v = v - (upper.v) (rest + upper) / (1 + rest.upper) for
    v across `rest`.
    """
    at, way = upper.new_tensor(rest)[:, None], upper.new_tensor(bends)[:, None]
    share = _dot(upper, way) / (1 + _dot(upper, at)).clamp_min(1e-3)
    return _dot(lower, way) - share * _dot(lower, at + upper)


def _frame(across: Tensor, up: Tensor) -> Float[Tensor, "axis 3 batch"]:
    """Axes of pelvis or chest: to the left, backwards, up; the first is kept as it is."""
    up = _across(up, across)
    up = up * (_dot(up, up) + _TINY).rsqrt()
    return torch.stack([across, torch.linalg.cross(up, across, dim=0), up])


def _local(frame: Tensor, vectors: Tensor) -> Float[Tensor, "vector axis batch"]:
    return (frame * vectors[:, None]).sum(2)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-2)


def _across(vector: Tensor, unit: Tensor) -> Tensor:
    """The part of a vector that is square to a unit vector."""
    return vector - unit * _dot(vector, unit)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return _dot(a, b) * (_dot(a, a) * _dot(b, b) + _TINY).rsqrt()


def _sine(cosine: Tensor) -> Tensor:
    return (1 - cosine * cosine).clamp_min(0).sqrt()


@lru_cache(maxsize=8)
def _size_rows(device: torch.device) -> Float[Tensor, "bone 17"]:
    names = [("LHip", "LKnee"), ("RHip", "RKnee"), ("LKnee", "LAnkle"), ("RKnee", "RAnkle")]
    return _differences([*names, ("Hip", "Spine"), ("Spine", "Thorax")]).to(device)


@lru_cache(maxsize=8)
def _bone_rows(device: torch.device) -> Float[Tensor, "bone 17"]:
    middle = [("RHip", "LHip"), ("Hip", "Spine"), ("RShoulder", "LShoulder"), ("Spine", "Thorax")]
    middle += [("Thorax", "Head"), ("Thorax", "Nose")]
    limbs = [("Hip", "Knee"), ("Knee", "Ankle"), ("Shoulder", "Elbow"), ("Elbow", "Wrist")]
    return _differences([*middle, *[(s + a, s + b) for a, b in limbs for s in "LR"]]).to(device)


def _differences(pairs: list[tuple[str, str]]) -> Float[Tensor, "bone 17"]:
    """Rows that take the joints to the vectors from the first joint of each pair to the second."""
    one, index = torch.eye(17), get_skeleton("h36m17").index
    return torch.stack([one[index(far)] - one[index(near)] for near, far in pairs])


def _pairs() -> list[tuple[str, str, str, str, float]]:
    """Segments that may not come near each other: side and name of the one, of the other, least distance (m)."""
    found = [(s, a, s, b, least) for (a, b), least in _SAME_SIDE.items() for s in "LR"]
    found += [(s, a, o, b, least) for (a, b), least in _OTHER_SIDE.items() for s, o in ("LR", "RL")]
    found += [("L", a, "R", a, least) for a, least in _TWINS.items()]
    return found + [(s, a, "", b, least) for (a, b), least in _MIDDLE.items() for s in "LR"]


@lru_cache(maxsize=8)
def _least_distances(device: torch.device) -> Float[Tensor, "2 pair 1"]:
    """Least distances of the pairs that are alike for all shoulders, and of those that shrink with them; else 0."""
    shrinks = torch.tensor([(name1, name2) in _ACROSS_SHOULDERS for _, name1, _, name2, _ in _pairs()])
    least = torch.tensor([pair[-1] for pair in _pairs()])
    return torch.stack([least * ~shrinks, least * shrinks])[..., None].to(device)


@lru_cache(maxsize=8)
def _pair_rows(device: torch.device) -> Float[Tensor, "3 pair 17"]:
    """Rows that take the joints to both segments of each pair and from the second's start to the first."""
    rows = []
    for side1, name1, side2, name2, _ in _pairs():
        (start1, end1), (start2, end2) = _ends(side1, name1), _ends(side2, name2)
        rows.append(torch.stack([end1 - start1, end2 - start2, start1 - start2]))
    return torch.stack(rows, dim=1).to(device)


def _ends(side: str, segment: str) -> list[Float[Tensor, " 17"]]:
    return [_joint(side, a) * (1 - share) + _joint(side, b) * share for a, share, b in _SEGMENTS[segment]]


def _joint(side: str, name: str) -> Float[Tensor, " 17"]:
    middle = {"pelvis": "Hip", "spine": "Spine", "thorax": "Thorax", "nose": "Nose", "head": "Head"}
    return torch.eye(17)[get_skeleton("h36m17").index(middle.get(name) or side + name)]
