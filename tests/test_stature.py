"""Stature from bones: a length of the body, whatever its pose, place and frame."""

from __future__ import annotations

import pytest
import roma
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.data.procedural import procedural_poses
from sightline.skeleton import get_skeleton
from sightline.stature import SEGMENT_SHARE, stature_from_joints

H36M = get_skeleton("h36m17")


def poses(count: int = 64, seed: int = 0) -> Tensor:
    return procedural_poses(count, torch.Generator().manual_seed(seed)).double()


def adult(height_m: float) -> Tensor:
    """A standing adult by the published shares of stature: ankle 0.039, knee 0.285, hip 0.530, shoulder 0.818."""
    heights = {"Ankle": 0.039, "Knee": 0.285, "Hip": 0.530, "Spine": 0.67, "Thorax": 0.818}
    joints = torch.zeros(17, 3, dtype=torch.float64)
    for number, name in enumerate(H36M.joints):
        joints[number, 2] = height_m * heights.get(name.lstrip("LR") if name != "RHip" else "Hip", 0.818)
    joints[H36M.index("LHip"), 2] = joints[H36M.index("RHip"), 2] = 0.530 * height_m
    return joints


@pytest.mark.parametrize("height_m", [1.2, 1.75, 2.1])
def test_an_adult_of_textbook_proportions_has_the_stature_that_the_textbook_says(height_m: float) -> None:
    assert float(stature_from_joints(adult(height_m))) == pytest.approx(height_m, abs=1e-9)


def test_the_segment_share_is_that_of_ankle_to_shoulder() -> None:
    assert pytest.approx(0.818 - 0.039, abs=1e-12) == SEGMENT_SHARE


def test_stature_scales_with_the_body() -> None:
    body = poses()
    for factor in (0.5, 1.3):
        assert_close(stature_from_joints(factor * body), factor * stature_from_joints(body))


def test_bending_joints_does_not_change_it() -> None:
    found = stature_from_joints(poses(500))
    assert_close(found, torch.full_like(found, (0.43 + 0.43 + 0.24 + 0.25) / 0.779), rtol=1e-6, atol=0)


def test_frame_and_place_do_not_matter() -> None:
    body = poses()
    moved = body @ roma.random_rotmat(dtype=torch.float64).T + torch.tensor([3.0, -2.0, 7.0], dtype=torch.float64)
    assert_close(stature_from_joints(moved), stature_from_joints(body))
    mirrored = body[:, list(H36M.flip)] * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert_close(stature_from_joints(mirrored), stature_from_joints(body))


def test_both_legs_count_alike_and_arms_and_head_do_not() -> None:
    body, longer = adult(1.75), adult(1.75)
    longer[H36M.index("LAnkle"), 2] -= 0.02
    gained = float(stature_from_joints(longer) - stature_from_joints(body))
    assert gained == pytest.approx(0.5 * 0.02 / SEGMENT_SHARE, abs=1e-9)
    for name in ("Nose", "Head", "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist"):
        body[H36M.index(name)] += 1.0
    assert float(stature_from_joints(body)) == pytest.approx(1.75, abs=1e-9)


@pytest.mark.parametrize("joint", ["Hip", "RKnee", "LAnkle", "Spine", "Thorax"])
def test_a_missing_joint_of_the_chain_gives_nan(joint: str) -> None:
    body = poses(2)
    body[0, H36M.index(joint)] = torch.nan
    assert stature_from_joints(body).isnan().tolist() == [True, False]


def test_batch_is_the_loop_over_it() -> None:
    body = poses(6)
    together = stature_from_joints(body.reshape(2, 3, 17, 3))
    assert together.shape == (2, 3)
    assert_close(together.flatten(), torch.stack([stature_from_joints(one) for one in body]))


def test_another_skeleton_is_refused() -> None:
    with pytest.raises(Exception, match=r"joint|17"):
        stature_from_joints(torch.zeros(4, 16, 3))
