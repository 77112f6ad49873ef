"""From bones to stature: the one rule by which a given body height fixes the scale of a pose."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sightline.skeleton import get_skeleton

SEGMENT_SHARE = 0.779
"""Share of stature between ankles and shoulders: 0.818 − 0.039 in the segment table of Drillis and Contini (1966)."""

_CHAIN = (("RAnkle", "RKnee", 0.5), ("LAnkle", "LKnee", 0.5), ("RKnee", "RHip", 0.5), ("LKnee", "LHip", 0.5))
_TRUNK = (("Hip", "Spine", 1.0), ("Spine", "Thorax", 1.0))


def stature_from_joints(joints: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch"]:
    """Barefoot stature (the joints' unit) of `h36m17` joints in any pose and frame.

    Shin + thigh (mean of both sides) + trunk (hip to spine to thorax), divided by their share of stature in adults.
    It needs lengths only, so a person may sit or lie. Children and people of unusual proportions deviate by a few
    per cent. Missing joints (NaN) give NaN.
    """
    if joints.shape[-2:] != (17, 3):
        raise ValueError(f"joints: expected (..., 17, 3) in h36m17 order, got {tuple(joints.shape)}")
    skeleton = get_skeleton("h36m17")
    total = joints.new_zeros(joints.shape[:-2])
    for end, start, weight in _CHAIN + _TRUNK:
        bone = joints[..., skeleton.index(end), :] - joints[..., skeleton.index(start), :]
        total = total + weight * bone.norm(dim=-1)
    return total / SEGMENT_SHARE
