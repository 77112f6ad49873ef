"""Poses made from nothing: an adult's average bones under random joint angles, for tests and smoke runs without data.

These are anatomically possible rather than natural; nothing that is shipped is trained on them.
"""

from __future__ import annotations

import math

import roma
import torch
from jaxtyping import Float
from torch import Tensor


def procedural_poses(count: int, generator: torch.Generator) -> Float[Tensor, "frame 17 3"]:
    """Draw `h36m17` poses of a 1.73 m adult (metres, z up, hips near 0.95 m, any heading).

    Arms swing freely, elbows and knees bend one way only, the trunk leans and twists; about a third of the people
    crouch. The same generator state gives the same poses.
    """

    def angle(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def turned(axes: str, angles: list[Tensor]) -> Tensor:
        return roma.euler_to_rotmat(axes, angles)

    pelvis = turned("ZYX", [angle(-math.pi, math.pi), angle(-0.1, 0.1), angle(-0.15, 0.15)])
    bend, twist, lean = angle(-0.15, 0.45), angle(-0.35, 0.35), angle(-0.2, 0.2)
    lower = pelvis @ turned("ZYX", [twist / 2, lean / 2, bend / 2])
    upper = lower @ turned("ZYX", [twist / 2, lean / 2, bend / 2])
    head = upper @ turned("ZYX", [angle(-0.8, 0.8), angle(-0.2, 0.2), angle(-0.3, 0.4)])
    joints = torch.zeros(count, 17, 3)
    joints[:, 0, 2] = 0.95

    def attach(joint: int, parent: int, frame: Tensor, offset: tuple[float, float, float]) -> None:
        joints[:, joint] = joints[:, parent] + frame @ torch.tensor(offset)

    attach(7, 0, lower, (0.0, 0.0, 0.24))
    attach(8, 7, upper, (0.0, 0.0, 0.25))
    attach(9, 8, head, (0.0, -0.075, 0.085))
    attach(10, 9, head, (0.0, 0.04, 0.10))
    crouch = (torch.rand(count, generator=generator) < 0.3).float()
    for side, hip, knee, ankle, shoulder, elbow, wrist in ((-1.0, 1, 2, 3, 14, 15, 16), (1.0, 4, 5, 6, 11, 12, 13)):
        attach(hip, 0, pelvis, (side * 0.12, 0.0, 0.0))
        flexion = angle(-0.4, 0.7) + crouch * angle(0.3, 1.2)
        thigh = pelvis @ turned("XYZ", [-flexion, side * angle(-0.35, 0.1), side * angle(-0.3, 0.3)])
        bent = (flexion.clamp_min(0) * angle(0.2, 1.4) + angle(0.0, 0.4)).clamp_max(2.5)
        shin = thigh @ turned("X", [bent])
        attach(knee, hip, thigh, (0.0, 0.0, -0.43))
        attach(ankle, knee, shin, (0.0, 0.0, -0.43))
        attach(shoulder, 8, upper, (side * 0.17, 0.0, -0.02))
        arm = upper @ turned("XYZ", [-angle(-0.7, 2.2), side * angle(-1.6, 0.1), side * angle(-0.8, 0.8)])
        attach(elbow, shoulder, arm, (0.0, 0.0, -0.29))
        forearm = arm @ turned("ZX", [side * angle(-0.8, 0.8), -angle(0.0, 2.2)])
        attach(wrist, elbow, forearm, (0.0, 0.0, -0.25))
    return joints
