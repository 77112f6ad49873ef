"""Laws of linear blend skinning, and a slow twin beside the fast ways."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

from sightline.body.skinning import (
    global_from_local,
    local_from_global,
    posed_joints,
    skinned,
    skinned_arrays,
)

PARENTS = (-1, 0, 0, 1, 3, 2, 4)
VERTICES = 40


def body(batch: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random vertices, bones and weights of the skin (padded with bone 0 of weight 0), joints at rest."""
    weights = torch.rand(VERTICES, 3, dtype=dtype) * (torch.rand(VERTICES, 3) < 0.7)
    weights[:, 0] += 0.1
    bones = torch.randint(len(PARENTS), (VERTICES, 3)) * (weights > 0)
    vertices = torch.randn(batch, VERTICES, 3, dtype=dtype)
    return vertices, bones, weights / weights.sum(1, keepdim=True), torch.randn(batch, len(PARENTS), 3, dtype=dtype)


def turns(batch: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return roma.random_rotmat((batch, len(PARENTS)), dtype=dtype)


def slow_posed_joints(joints: np.ndarray, rotations: np.ndarray, root: np.ndarray) -> np.ndarray:
    """One bone after the other, as `body.model` defines it."""
    posed = np.zeros_like(joints)
    for body_row in range(len(joints)):
        for bone, parent in enumerate(PARENTS):
            if parent < 0:
                posed[body_row, bone] = root[body_row]
                continue
            offset = joints[body_row, bone] - joints[body_row, parent]
            posed[body_row, bone] = posed[body_row, parent] + rotations[body_row, parent] @ offset
    return posed


def slow_skinned(vertices, bones, weights, joints, rotations, posed) -> np.ndarray:
    """One vertex and one bone after the other."""
    skin = np.zeros_like(vertices)
    for body_row, vertex in np.ndindex(*vertices.shape[:2]):
        for bone, weight in zip(bones[vertex], weights[vertex], strict=True):
            arm = rotations[body_row, bone] @ (vertices[body_row, vertex] - joints[body_row, bone])
            skin[body_row, vertex] += weight * (arm + posed[body_row, bone])
    return skin


def test_joints_and_skin_equal_the_slow_twin() -> None:
    vertices, bones, weights, joints = body()
    rotations, root = turns(), torch.randn(3, 3, dtype=torch.float64)
    heads = posed_joints(joints, PARENTS, rotations, root)
    slow_heads = slow_posed_joints(joints.numpy(), rotations.numpy(), root.numpy())
    np.testing.assert_allclose(heads.numpy(), slow_heads, atol=1e-12)
    skin = skinned(vertices, bones, weights, joints, rotations, heads)
    arrays = [tensor.numpy() for tensor in (vertices, bones, weights, joints, rotations)]
    np.testing.assert_allclose(skin.numpy(), slow_skinned(*arrays, slow_heads), atol=1e-12)


def test_identities_show_the_resting_body() -> None:
    vertices, bones, weights, joints = body()
    still = torch.eye(3, dtype=torch.float64).expand(3, len(PARENTS), 3, 3)
    heads = posed_joints(joints, PARENTS, still, joints[:, 0])
    torch.testing.assert_close(heads, joints)
    torch.testing.assert_close(skinned(vertices, bones, weights, joints, still, heads), vertices)


def test_one_rotation_for_all_bones_turns_the_body_rigidly() -> None:
    vertices, bones, weights, joints = body()
    turn = roma.random_rotmat(3, dtype=torch.float64)
    root = torch.randn(3, 3, dtype=torch.float64)
    rotations = turn[:, None].expand(-1, len(PARENTS), -1, -1)
    heads = posed_joints(joints, PARENTS, rotations, root)
    moved = (vertices - joints[:, :1]) @ turn.mT + root[:, None]
    torch.testing.assert_close(skinned(vertices, bones, weights, joints, rotations, heads), moved)


def test_a_rigid_motion_of_the_pose_moves_the_skin_alike() -> None:
    vertices, bones, weights, joints = body()
    rotations, root = turns(), torch.randn(3, 3, dtype=torch.float64)
    turn, shift = roma.random_rotmat(dtype=torch.float64), torch.randn(3, dtype=torch.float64)

    def skin(rotations: Tensor, root: Tensor) -> Tensor:
        heads = posed_joints(joints, PARENTS, rotations, root)
        return skinned(vertices, bones, weights, joints, rotations, heads)

    torch.testing.assert_close(skin(turn @ rotations, root @ turn.T + shift), skin(rotations, root) @ turn.T + shift)


def test_batch_equals_loop_and_a_batch_of_one_broadcasts() -> None:
    vertices, bones, weights, joints = body(batch=1)
    rotations, root = turns(4), torch.randn(4, 3, dtype=torch.float64)
    heads = posed_joints(joints, PARENTS, rotations, root)
    skin = skinned(vertices, bones, weights, joints, rotations, heads)
    for row in range(4):
        one = slice(row, row + 1)
        alone = posed_joints(joints, PARENTS, rotations[one], root[one])
        torch.testing.assert_close(heads[one], alone)
        torch.testing.assert_close(skin[one], skinned(vertices, bones, weights, joints, rotations[one], alone))


def test_gradients_are_right() -> None:
    vertices, bones, weights, joints = body(batch=2)
    rotations, root = turns(2), torch.randn(2, 3, dtype=torch.float64)

    def skin(*inputs: Tensor) -> Tensor:
        vertices, weights, joints, rotations, root = inputs
        heads = posed_joints(joints, PARENTS, rotations, root)
        return skinned(vertices[:, :6], bones[:6], weights[:6], joints, rotations, heads)

    inputs = [tensor.requires_grad_() for tensor in (vertices, weights, joints, rotations, root)]
    assert torch.autograd.gradcheck(skin, inputs)
    assert torch.autograd.gradcheck(lambda x: global_from_local(local_from_global(x, PARENTS), PARENTS), (inputs[3],))


def test_arrays_equal_tensors_and_may_be_read_only() -> None:
    vertices, bones, weights, joints = body(batch=1)
    rotations, root = turns(1), torch.randn(1, 3, dtype=torch.float64)
    expected = skinned(vertices, bones, weights, joints, rotations, posed_joints(joints, PARENTS, rotations, root))
    arrays = [vertices[0].numpy(), bones.int().numpy(), weights.numpy(), joints[0].numpy()]
    arrays += [rotations[0].numpy(), root[0].numpy()]
    for array in arrays:
        array.setflags(write=False)
    found = skinned_arrays(*arrays[:4], PARENTS, *arrays[4:])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)


def test_local_and_global_rotations_are_inverse_to_each_other() -> None:
    rotations = turns(5)
    local = local_from_global(rotations, PARENTS)
    torch.testing.assert_close(global_from_local(local, PARENTS), rotations)
    for bone, parent in enumerate(PARENTS):
        above = rotations[:, parent] if parent >= 0 else torch.eye(3, dtype=torch.float64)
        torch.testing.assert_close(above @ local[:, bone], rotations[:, bone])


@pytest.mark.parametrize("parents", [(-1, 0), (-1, 0, 0, 1, 5, 2, 4), (0, 0, 0, 1, 3, 2, 4), (-1, -1, 0, 1, 3, 2, 4)])
def test_wrong_parents_are_refused(parents: tuple[int, ...]) -> None:
    joints, rotations = body()[3], turns()
    with pytest.raises(ValueError, match="parents"):
        posed_joints(joints, parents, rotations, joints[:, 0])
    with pytest.raises(ValueError, match="parents"):
        global_from_local(rotations, parents)
