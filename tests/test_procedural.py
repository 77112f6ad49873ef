"""Procedural poses: one adult's bones in possible poses, the same from the same generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.data.procedural import procedural_poses
from sightline.skeleton import get_skeleton

H36M = get_skeleton("h36m17")


def poses(count: int = 3000, seed: int = 0) -> Tensor:
    return procedural_poses(count, torch.Generator().manual_seed(seed))


def bone(joints: Tensor, end: str, start: str) -> Tensor:
    return joints[:, H36M.index(end)] - joints[:, H36M.index(start)]


def angle(one: Tensor, other: Tensor) -> Tensor:
    return torch.atan2(torch.linalg.cross(one, other).norm(dim=-1), (one * other).sum(-1))


def test_the_same_generator_state_gives_the_same_poses() -> None:
    assert torch.equal(poses(50, seed=3), poses(50, seed=3))
    assert not torch.equal(poses(50, seed=3), poses(50, seed=4))
    torch.manual_seed(1)
    first = poses(50, seed=3)
    torch.manual_seed(2)
    assert torch.equal(first, poses(50, seed=3))


def test_shape_and_finiteness() -> None:
    assert poses(7).shape == (7, 17, 3)
    assert poses(7).isfinite().all()
    assert poses(0).shape == (0, 17, 3)


def test_bones_are_those_of_one_body_alike_on_both_sides() -> None:
    joints = poses()
    for child, parent in H36M.bones:
        lengths = (joints[:, child] - joints[:, parent]).norm(dim=-1)
        assert_close(lengths, lengths[:1].expand_as(lengths), rtol=1e-5, atol=0)
        assert 0.05 < float(lengths[0]) < 0.5
        other = joints[:1, H36M.flip[child]] - joints[:1, H36M.flip[parent]]
        assert_close(other.norm(dim=-1), lengths[:1])


def test_knees_bend_backwards_only() -> None:
    joints = poses()
    leftwards = bone(joints, "LHip", "RHip")
    for side in "LR":
        thigh, shin = bone(joints, f"{side}Knee", f"{side}Hip"), bone(joints, f"{side}Ankle", f"{side}Knee")
        assert (torch.linalg.cross(thigh, shin) * leftwards).sum(-1).min() > -1e-6
        assert angle(thigh, shin).max() <= 2.5 + 1e-4


def test_elbows_stay_within_an_elbows_range() -> None:
    joints = poses()
    for side in "LR":
        arm, forearm = bone(joints, f"{side}Elbow", f"{side}Shoulder"), bone(joints, f"{side}Wrist", f"{side}Elbow")
        bent = angle(arm, forearm)
        assert bent.max() <= 2.2 + 1e-4
        assert bent.max() - bent.min() > 2.0


def test_people_stand_with_z_up_and_face_every_direction() -> None:
    joints = poses()
    assert_close(joints[:, 0, 2], torch.full((len(joints),), 0.95))
    assert (bone(joints, "Thorax", "Hip")[:, 2] > 0.3).all()
    left = bone(joints, "LHip", "RHip")
    heading = torch.atan2(left[:, 1], left[:, 0])
    counts = torch.histc(heading, bins=8, min=-math.pi, max=math.pi)
    assert counts.min() > 0.7 * len(joints) / 8


def test_those_who_crouch_bend_both_legs() -> None:
    joints = poses()
    thighs = torch.stack([bone(joints, f"{side}Knee", f"{side}Hip") for side in "LR"])
    raised = angle(thighs, torch.tensor([0.0, 0.0, -1.0]).expand_as(thighs)) > 0.75
    left, right = raised.float().mean(1)
    both = float(raised.all(0).float().mean())
    assert 0.1 < both < 0.35
    assert both > 1.5 * float(left * right), "were the legs independent, both would be raised this often"


def test_left_and_right_are_drawn_alike() -> None:
    joints = poses(6000)
    leftwards = torch.nn.functional.normalize(bone(joints, "LHip", "RHip"), dim=-1)
    for name in ("Wrist", "Ankle", "Elbow"):
        reach = [(bone(joints, f"{side}{name}", "Hip") * leftwards).sum(-1) for side in "LR"]
        assert abs(float(reach[0].mean() + reach[1].mean())) < 0.02
        assert float(reach[0].mean()) > 0.05
