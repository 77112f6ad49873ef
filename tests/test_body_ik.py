"""Inverse kinematics: exact on a body's own joints, equivariant, with the least twist, and as a slow twin says."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.autograd import gradcheck

from sightline.bench.retarget import random_rotations
from sightline.body._ik_feet import grounded_foot
from sightline.body._ik_rotations import about, between, hinge_axis, procrustes_rotation, swing, twist_angle
from sightline.body.anny_body import AnnyBody
from sightline.body.articulation import ARTICULATIONS, articulation_of, carriers
from sightline.body.ik import (
    Flavour,
    Ground,
    Rig,
    leaves,
    rig_of,
    rig_rotations,
    rotations_from_landmarks,
    solve,
    twist_vectors,
)
from sightline.body.model import BodyModel, RestBody
from sightline.body.regressors import landmarks_of
from sightline.body.skinning import global_from_local, posed_joints
from sightline.geometry.rotation import rotation_angle, shortest_rotation
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import get_skeleton

TREE = get_skeleton("smpl24").parents
CHAIN = (-1, 0, 1, 2, 3)
SETS = ("h36m17", "coco17", "lcr13", "smpl24")
ROW = {name: row for row, name in enumerate(ALL_LANDMARKS)}


def random_turns(*shape: int) -> Tensor:
    return roma.random_rotmat(shape, dtype=torch.float64)


def random_rest(parents: tuple[int, ...], batch: int = 1) -> Tensor:
    bones = 0.2 * torch.randn(batch, len(parents), 3, dtype=torch.float64)
    rest = [bones[:, 0]]
    for joint in range(1, len(parents)):
        rest.append(rest[parents[joint]] + bones[:, joint])
    return torch.stack(rest, 1)


def random_case(parents: tuple[int, ...] = TREE, batch: int = 6, bend: float = 0.6) -> tuple[Tensor, Tensor, Tensor]:
    """Rest, rotations and the joints that they give."""
    rest = random_rest(parents)
    local = roma.rotvec_to_rotmat(bend * torch.randn(batch, len(parents), 3, dtype=torch.float64))
    local[:, 0] = random_turns(batch)
    turns = global_from_local(local, parents)
    return rest, turns, posed_joints(rest, parents, turns, torch.randn(batch, 3, dtype=torch.float64))


# ----------------------------------------------------------------------------------------------------------- any tree


@pytest.mark.parametrize("flavour", ["plain", "adaptive"])
@pytest.mark.parametrize("parents", [TREE, CHAIN], ids=["tree", "chain"])
def test_joints_of_the_same_body_are_met(parents: tuple[int, ...], flavour: Flavour) -> None:
    rest, _, joints = random_case(parents)
    turns, root = solve(rest, parents, joints, flavour=flavour)
    torch.testing.assert_close(posed_joints(rest, parents, turns, root), joints, atol=1e-4, rtol=0)
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3, dtype=torch.float64).expand_as(turns))


def test_twist_vectors_and_leaves_tell_the_rest() -> None:
    rest, turns, joints = random_case()
    ends = leaves(TREE)
    of_leaves = torch.stack([turns[:, TREE[leaf]].mT @ turns[:, leaf] for leaf in ends], 1)
    found, _ = solve(rest, TREE, joints, twist_vectors(rest, TREE, turns), of_leaves)
    torch.testing.assert_close(found, turns, atol=1e-3, rtol=0)


def test_an_angle_turns_about_the_bone_and_a_vector_says_the_same() -> None:
    rest, _, joints = random_case(CHAIN)
    angles = 3.0 * (torch.rand(len(joints), len(CHAIN), dtype=torch.float64) * 2 - 1)
    turns, root = solve(rest, CHAIN, joints, angles)
    torch.testing.assert_close(posed_joints(rest, CHAIN, turns, root), joints)
    again, _ = solve(rest, CHAIN, joints, twist_vectors(rest, CHAIN, turns))
    torch.testing.assert_close(again, turns)
    untwisted, _ = solve(rest, CHAIN, joints, torch.full_like(angles, math.nan))
    torch.testing.assert_close(untwisted, solve(rest, CHAIN, joints)[0])
    torch.testing.assert_close(rotation_angle(turns[:, 0], untwisted[:, 0]), angles[:, 0].abs(), atol=1e-6, rtol=0)


def test_the_least_twist_is_the_least() -> None:
    rest, _, joints = random_case(CHAIN)
    turns, _ = solve(rest, CHAIN, joints)
    least = rotation_angle(turns[:, 1], turns[:, 0])
    for angle in torch.linspace(-3.0, 3.0, 13, dtype=torch.float64):
        twist = torch.zeros(len(CHAIN), dtype=torch.float64)
        twist[1] = angle
        other, _ = solve(rest, CHAIN, joints, twist)
        assert (rotation_angle(other[:, 1], turns[:, 0]) >= least - 1e-9).all()


def test_it_turns_with_the_targets() -> None:
    rest, _, joints = random_case()
    motion, shift = random_turns(1), torch.randn(3, dtype=torch.float64)
    turns, root = solve(rest, TREE, joints)
    moved, moved_root = solve(rest, TREE, joints @ motion[0].T + shift)
    torch.testing.assert_close(moved, motion @ turns, atol=1e-4, rtol=0)
    torch.testing.assert_close(moved_root, root @ motion[0].T + shift)


def test_adaptive_bones_do_not_let_errors_pile_up() -> None:
    rest, _, joints = random_case(batch=50)
    rest = random_scaled(rest)
    missed = {}
    for flavour in ("plain", "adaptive"):
        turns, root = solve(rest, TREE, joints, flavour=flavour)
        missed[flavour] = (posed_joints(rest, TREE, turns, root) - joints)[:, list(leaves(TREE))].norm(dim=-1).mean()
    assert missed["adaptive"] < 0.8 * missed["plain"]


def random_scaled(rest: Tensor) -> Tensor:
    """The tree with every bone 5 to 20 % longer."""
    bones = torch.cat([rest[:, :1], rest[:, 1:] - rest[:, list(TREE[1:])]], 1)
    bones = bones * (1.05 + 0.15 * torch.rand(1, len(TREE), 1, dtype=torch.float64))
    longer = [bones[:, 0]]
    for joint in range(1, len(TREE)):
        longer.append(longer[TREE[joint]] + bones[:, joint])
    return torch.stack(longer, 1)


def test_opposite_directions_have_an_answer() -> None:
    rest = torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 2, 0]], dtype=torch.float64)
    targets = (rest * torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)).requires_grad_()
    turns, root = solve(rest, (-1, 0, 1), targets)
    torch.testing.assert_close(posed_joints(rest[None], (-1, 0, 1), turns[None], root[None])[0], targets)
    turns.sum().backward()
    assert targets.grad is not None
    assert targets.grad.isfinite().all()


def test_bones_without_targets_follow_their_parents() -> None:
    rest, _, joints = random_case()
    knee, ankle = 4, 7
    joints[:, knee] = math.nan
    for flavour in ("plain", "adaptive"):
        turns, _ = solve(rest, TREE, joints, flavour=flavour)
        assert turns.isfinite().all()
        torch.testing.assert_close(turns[:, 1], turns[:, 0])
    joints[:, ankle] = math.nan
    turns, _ = solve(rest, TREE, joints)
    torch.testing.assert_close(turns[:, knee], turns[:, 0])
    nothing, _ = solve(rest, TREE, torch.full_like(joints, math.nan))
    torch.testing.assert_close(nothing, torch.eye(3, dtype=torch.float64).expand_as(nothing))


def test_joints_with_children_on_one_line_still_turn() -> None:
    parents = (-1, 0, 0)
    rest = torch.tensor([[0.0, 0, 0], [1, 0, 0], [-2, 0, 0]], dtype=torch.float64)
    turn = roma.rotvec_to_rotmat(torch.tensor((0.2, 0.5, 0.9), dtype=torch.float64))
    turns, _ = solve(rest, parents, rest @ turn.T)
    torch.testing.assert_close(rest @ turns[0].T, rest @ turn.T)
    torch.testing.assert_close(turns[0], swing(rest[1], turn @ rest[1]))


def test_solving_one_by_one_is_the_same() -> None:
    rest, _, joints = random_case()
    joints[2, 5] = math.nan
    together = solve(rest, TREE, joints)
    for pose in range(len(joints)):
        alone = solve(rest[0], TREE, joints[pose])
        torch.testing.assert_close(together[0][pose], alone[0])
        torch.testing.assert_close(together[1][pose], alone[1])


def test_a_slow_twin_agrees() -> None:
    rest, _, joints = random_case(batch=3)
    joints = joints + 0.03 * torch.randn_like(joints)
    found, _ = solve(rest, TREE, joints)
    for pose in range(len(joints)):
        expected = slow_solve(rest[0].numpy(), TREE, joints[pose].numpy())
        np.testing.assert_allclose(found[pose].numpy(), expected, atol=2e-3)


def slow_solve(rest: np.ndarray, parents: tuple[int, ...], targets: np.ndarray) -> np.ndarray:
    """The adaptive flavour with the least twist, joint by joint, with SciPy's rotations."""
    turns: list[np.ndarray] = []
    heads: list[np.ndarray] = []
    for joint, parent in enumerate(parents):
        before = turns[parent] if parent >= 0 else np.eye(3)
        heads.append(heads[parent] + before @ (rest[joint] - rest[parent]) if parent >= 0 else targets[joint])
        children = [child for child in range(len(parents)) if parents[child] == joint]
        bones = np.array([rest[child] - rest[joint] for child in children])
        aims = np.array([targets[child] - heads[joint] for child in children])
        if len(children) == 1:
            source, target = before @ bones[0] / np.linalg.norm(bones), aims[0] / np.linalg.norm(aims)
            axis = np.cross(source, target)
            angle = np.arctan2(np.linalg.norm(axis), source @ target)
            turns.append(Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix() @ before)
        elif children:
            turns.append(Rotation.align_vectors(aims, bones)[0].as_matrix())
        else:
            turns.append(before)
    return np.array(turns)


def test_gradients_of_solving() -> None:
    rest, turns, joints = random_case(batch=2)
    twist = twist_vectors(rest, TREE, turns).nan_to_num(0.0)
    inputs = tuple(tensor.detach().clone().requires_grad_() for tensor in (rest, joints, twist))
    assert gradcheck(lambda r, j, t: solve(r, TREE, j, t)[0], inputs, fast_mode=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": (-1, 0, 3, 2)}, "parents: expected -1 for joint 0"),
        ({"parents": (-1, 0, 1)}, r"rest_joints: expected \(\.\.\., 3, 3\), got \(4, 3\)"),
        ({"targets": torch.zeros(4, 2)}, r"targets: expected \(\.\.\., 4, 3\)"),
        ({"twist": torch.zeros(5)}, "twist: expected"),
        ({"leaf_rotations": torch.eye(3).expand(2, 3, 3)}, "leaf_rotations: expected"),
        ({"flavour": "sweet"}, "flavour: expected"),
    ],
)
def test_bad_calls_are_told(change: dict, message: str) -> None:
    call = {"rest_joints": torch.zeros(4, 3), "parents": (-1, 0, 1, 2), "targets": torch.zeros(4, 3)} | change
    with pytest.raises(ValueError, match=message):
        getattr(solve, "__wrapped__", solve)(**call)


# ------------------------------------------------------------------------------------------------------------ pieces


def test_twist_angles_and_ways_between() -> None:
    axis = torch.nn.functional.normalize(torch.randn(5, 3, dtype=torch.float64), dim=-1)
    angle = torch.linspace(-3.0, 3.0, 5, dtype=torch.float64)
    vector = torch.randn(5, 3, dtype=torch.float64)
    turn = roma.rotvec_to_rotmat(axis * angle[:, None])
    torch.testing.assert_close(twist_angle(axis, vector, (turn @ vector[..., None])[..., 0]), angle)
    torch.testing.assert_close(twist_angle(axis, axis, vector), torch.zeros(5, dtype=torch.float64))
    first = random_turns(5)
    torch.testing.assert_close(
        between(first, first @ turn, 0.5), first @ roma.rotvec_to_rotmat(axis * angle[:, None] / 2)
    )
    torch.testing.assert_close(between(first, first @ turn, 1.0), first @ turn)


def test_swings_and_turns_about_axes_are_those_of_slow_twins() -> None:
    source, target = torch.randn(2, 50, 3, dtype=torch.float64)
    target[0], target[1] = source[0], -source[1] + 1e-2 * target[1]
    torch.testing.assert_close(swing(source, target), shortest_rotation(source, target))
    axis = torch.nn.functional.normalize(source, dim=-1)
    for angle in (torch.linspace(-4.0, 4.0, 50, dtype=torch.float64), torch.full((50,), 1e-9, dtype=torch.float64)):
        torch.testing.assert_close(about(axis, angle), roma.rotvec_to_rotmat(axis * angle[:, None]))


def test_a_swing_in_single_precision_stays_a_rotation() -> None:
    source = torch.nn.functional.normalize(torch.randn(200, 3), dim=-1)
    for nearness in (1.0, 1e-1, 1e-2, 3e-3, 1e-3, 1e-4, 0.0):
        turn = swing(source, -source + nearness * torch.randn_like(source))
        torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand_as(turn), atol=2e-3, rtol=0)
        assert (torch.linalg.det(turn) > 0).all()


def test_gradients_of_the_pieces() -> None:
    inputs = tuple(torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(3))
    assert gradcheck(swing, inputs[:2])
    assert gradcheck(lambda a, b, c: about(twist_axis(a), twist_angle(twist_axis(a), b, c)), inputs)
    nowhere = torch.tensor([[0.0, 0.0, 0.0], [math.nan, 0.0, 1.0]], dtype=torch.float64)
    other = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(swing(other, nowhere), torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    (swing(other, nowhere).sum() + twist_angle(twist_axis(other), other.flip(-1), nowhere).sum()).backward()
    assert other.grad is not None
    assert other.grad.isfinite().all()


def twist_axis(vector: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vector, dim=-1)


def test_procrustes_takes_what_vectors_leave_open_from_the_other_rotation() -> None:
    rest, turn, other = torch.randn(4, 3, dtype=torch.float64), random_turns(1)[0], random_turns(1)[0]
    ones = torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(procrustes_rotation(rest, rest @ turn.T, ones, other), turn)
    none = procrustes_rotation(rest, torch.full_like(rest, math.nan), 0.0 * ones, other)
    torch.testing.assert_close(none, other)


def test_a_hinge_shows_its_axis_when_bent_and_never_jumps() -> None:
    straight = torch.tensor((1.0, 0.0, 0.0), dtype=torch.float64)
    upper = torch.tensor((0.0, -1.0, 0.0), dtype=torch.float64)
    plane = torch.tensor((math.cos(1.0), 0.0, math.sin(1.0)), dtype=torch.float64)
    bend = torch.linspace(0.0, 2.0, 400, dtype=torch.float64)
    lower = (roma.rotvec_to_rotmat(bend[:, None] * plane) @ upper[:, None])[..., 0]
    axes = hinge_axis(upper.expand_as(lower), lower, straight)
    torch.testing.assert_close(axes[0], straight)
    torch.testing.assert_close(axes[bend > math.radians(46)], plane.expand_as(axes[bend > math.radians(46)]))
    assert (axes[1:] - axes[:-1]).norm(dim=-1).max() < 0.02
    overstretched = (roma.rotvec_to_rotmat(-0.25 * straight) @ upper[:, None])[..., 0]
    torch.testing.assert_close(hinge_axis(upper, overstretched, straight), straight)


# ------------------------------------------------------------------------------------------------------- whole bodies


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    pytest.importorskip("anny")
    return AnnyBody.load(torch.float64)


@pytest.fixture(scope="module")
def rest(body: AnnyBody) -> RestBody:
    return body.rest(torch.tensor([[0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5]], dtype=torch.float64))


@pytest.fixture(scope="module")
def rig(body: AnnyBody, rest: RestBody) -> Rig:
    return rig_of(body, rest)


def only(landmarks: Tensor, names: str) -> Tensor:
    """The landmarks of a joint set, NaN for the others."""
    rows = list(rows_of(get_skeleton(names)))
    targets = torch.full_like(landmarks, math.nan)
    targets[:, rows] = landmarks[:, rows]
    return targets


def posed_landmarks(body: BodyModel, rig: Rig, batch: int, seed: int = 0) -> Tensor:
    turns = random_rotations(body, batch, torch.Generator().manual_seed(seed))
    return rig.landmarks(turns[:, list(rig.rows)], torch.randn(batch, 3, dtype=torch.float64))


def test_the_rig_carries_landmarks_as_the_skin_does(body: AnnyBody, rest: RestBody, rig: Rig) -> None:
    targets = only(posed_landmarks(body, rig, 3), "h36m17")
    turns, root = rotations_from_landmarks(body, rest, targets)
    expected = landmarks_of(body, body.posed(rest, turns, root))
    torch.testing.assert_close(rig.landmarks(turns[:, list(rig.rows)], root), expected)


@pytest.mark.parametrize("names", SETS)
def test_bodies_come_back_from_their_joints(body: AnnyBody, rig: Rig, names: str) -> None:
    truth = posed_landmarks(body, rig, 60)
    turns, root = rig_rotations(rig, only(truth, names))
    missed = (rig.landmarks(turns[:, list(rig.rows)], root) - truth)[:, list(rows_of(get_skeleton(names)))].norm(dim=-1)
    assert missed.mean() < 0.005
    assert missed.quantile(0.99) < 0.02


@pytest.mark.parametrize("names", SETS)
def test_bodies_move_with_their_joints(body: AnnyBody, rig: Rig, names: str) -> None:
    targets = only(posed_landmarks(body, rig, 4), names)
    motion, shift = random_turns(1), torch.randn(3, dtype=torch.float64)
    turns, root = rig_rotations(rig, targets)
    moved, moved_root = rig_rotations(rig, targets @ motion[0].T + shift)
    torch.testing.assert_close(moved, motion @ turns, atol=1e-6, rtol=0)
    torch.testing.assert_close(moved_root, root @ motion[0].T + shift, atol=1e-6, rtol=0)


def test_the_resting_body_rests(body: AnnyBody, rest: RestBody, rig: Rig) -> None:
    for names in SETS:
        turns, root = rig_rotations(rig, only(rig.rest_landmarks, names))
        torch.testing.assert_close(turns, torch.eye(3, dtype=torch.float64).expand_as(turns), atol=0.2, rtol=0)
        torch.testing.assert_close(root, rest.joints[:, 0], atol=2e-3, rtol=0)


def test_bent_limbs_tell_their_twist(body: AnnyBody, rig: Rig) -> None:
    local = torch.eye(3, dtype=torch.float64).repeat(40, len(body.bones), 1, 1)
    for bone in ("upperleg01.L", "upperleg01.R", "upperarm01.L", "upperarm01.R"):
        local[:, body.bones.index(bone)] = roma.rotvec_to_rotmat(0.5 * torch.randn(40, 3, dtype=torch.float64))
    bend = torch.zeros(40, 3, dtype=torch.float64)
    bend[:, 0] = 0.9 + torch.rand(40, dtype=torch.float64)
    for bone in ("lowerleg01.L", "lowerleg01.R"):
        local[:, body.bones.index(bone)] = roma.rotvec_to_rotmat(bend)
    truth = global_from_local(local, body.parents)
    targets = only(rig.landmarks(truth[:, list(rig.rows)], torch.zeros(1, 3, dtype=torch.float64)), "h36m17")
    turns, _ = rig_rotations(rig, targets)
    for bone, degrees in (("upperleg02.L", 10), ("lowerleg01.R", 10), ("upperarm02.L", 10), ("lowerarm01.R", 10)):
        row = body.bones.index(bone)
        assert rotation_angle(turns[:, row], truth[:, row]).mean() < math.radians(degrees), bone


def test_poses_with_different_joints_known_are_solved_as_alone(body: AnnyBody, rig: Rig) -> None:
    targets = only(posed_landmarks(body, rig, 4), "h36m17")
    targets[1, ROW["LWrist"]] = math.nan
    targets[2, [ROW["RHip"], ROW["LKnee"], ROW["MidHead"], ROW["NeckNose"]]] = math.nan
    targets[3, [ROW["LHip"], ROW["RHip"], ROW["Hip"], ROW["Spine"]]] = math.nan
    together = rig_rotations(rig, targets)
    assert together[0].isfinite().all()
    for pose in range(4):
        alone = rig_rotations(rig, targets[pose : pose + 1])
        torch.testing.assert_close(together[0][pose], alone[0][0])
        torch.testing.assert_close(together[1][pose], alone[1][0])
    row = body.bones.index
    torch.testing.assert_close(together[0][1, row("lowerarm01.L")], together[0][1, row("upperarm02.L")])


def test_any_few_landmarks_give_a_body(body: AnnyBody, rig: Rig) -> None:
    truth = posed_landmarks(body, rig, 12)
    known = torch.rand(12, len(ALL_LANDMARKS)) < 0.15
    known[:, ROW["Nose"]] = True
    turns, root = rig_rotations(rig, torch.where(known[..., None], truth, math.nan))
    assert turns.isfinite().all()
    assert root.isfinite().all()
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3, dtype=torch.float64).expand_as(turns))


def test_gradients_of_whole_bodies(body: AnnyBody, rest: RestBody, rig: Rig) -> None:
    truth = posed_landmarks(body, rig, 1)
    rows = list(rows_of(get_skeleton("h36m17")))
    ground = Ground(height_m=-1.0)

    def turns(known: Tensor, joints: Tensor) -> Tensor:
        targets = torch.full_like(truth, math.nan).index_copy(1, torch.tensor(rows), known)
        return rotations_from_landmarks(body, RestBody(rest.vertices, joints), targets, ground=ground, reach=True)[0]

    known = truth[:, rows] + 0.01 * torch.randn(1, 17, 3, dtype=torch.float64)
    inputs = (known.requires_grad_(), rest.joints.clone().requires_grad_())
    assert gradcheck(turns, inputs, fast_mode=True, atol=1e-4, rtol=1e-2)


def test_legs_that_reach_end_at_the_ankles(body: AnnyBody, rig: Rig) -> None:
    truth = posed_landmarks(body, rig, 30)
    targets = only(truth, "h36m17")
    ankles = [ROW["LAnkle"], ROW["RAnkle"]]
    towards = truth[:, [ROW["LHip"], ROW["RHip"]]] - truth[:, ankles]
    targets[:, ankles] = truth[:, ankles] + 0.06 * towards
    missed = {}
    for reach in (False, True):
        turns, root = rig_rotations(rig, targets, reach=reach)
        missed[reach] = (rig.landmarks(turns[:, list(rig.rows)], root) - targets)[:, ankles].norm(dim=-1)
    assert missed[True].median() < 1e-3
    assert missed[False].median() > 0.01


@pytest.mark.parametrize("lean", [-0.5, 0.0, 0.6])
def test_standing_feet_are_level_and_none_goes_through_the_floor(rig: Rig, lean: float) -> None:
    world = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    shin = (world @ roma.rotvec_to_rotmat(torch.tensor((lean, 0.0, 0.0), dtype=torch.float64)))[None]
    foot_at_rest = rig.joints[0, rig.index["foot.L"]]
    stands = float(foot_at_rest[1] - rig.sole_y[0])
    for above in (0.0, 0.02, 0.05, 0.1, 0.3):
        ankle = torch.tensor([[0.0, 0.0, stands + above]], dtype=torch.float64)
        foot = grounded_foot(rig, 0, shin, ankle, Ground())[0]
        for end in (rig.toe_z[0, 0], rig.heel_z[0, 0]):
            contact = torch.stack((torch.zeros(()).double(), rig.sole_y[0] - foot_at_rest[1], end - foot_at_rest[2]))
            assert (foot @ contact)[2] + ankle[0, 2] > -1e-6
        if above == 0.0:
            torch.testing.assert_close(foot, world, atol=1e-6, rtol=0)
        if above == 0.3:
            torch.testing.assert_close(foot, shin[0])


def test_feet_and_hands_follow_their_points(body: AnnyBody, rig: Rig) -> None:
    local = torch.eye(3, dtype=torch.float64).repeat(8, len(body.bones), 1, 1)
    for bone in ("foot.L", "wrist.R"):
        local[:, body.bones.index(bone)] = roma.rotvec_to_rotmat(0.4 * torch.randn(8, 3, dtype=torch.float64))
    truth = global_from_local(local, body.parents)
    landmarks = rig.landmarks(truth[:, list(rig.rows)], torch.zeros(1, 3, dtype=torch.float64))
    turns, _ = rig_rotations(rig, only(landmarks, "mediapipe33"))
    for bone in ("foot.L", "wrist.R"):
        row = body.bones.index(bone)
        assert rotation_angle(turns[:, row], truth[:, row]).max() < math.radians(6), bone


def test_bad_bodies_are_told(body: AnnyBody, rest: RestBody) -> None:
    call = getattr(rotations_from_landmarks, "__wrapped__", rotations_from_landmarks)
    targets = torch.zeros(3, len(ALL_LANDMARKS), 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"targets: expected \(batch, 64, 3\), got \(3, 17, 3\)"):
        call(body, rest, targets[:, :17])
    with pytest.raises(ValueError, match="at least one finite landmark"):
        call(body, rest, targets * math.nan)
    two = RestBody(rest.vertices.repeat(2, 1, 1), rest.joints.repeat(2, 1, 1))
    with pytest.raises(ValueError, match="rest: expected 1 body or 3"):
        call(body, two, targets)
    with pytest.raises(ValueError, match="passes"):
        call(body, rest, targets, passes=0)


@pytest.mark.slow
def test_smpl_comes_back_from_its_joints(tmp_path: Path) -> None:
    pytest.importorskip("anny")
    from sightline.body.smpl_body import SmplBody
    from smpl_files import anny_as_smpl, write_official_pickle

    arrays = anny_as_smpl(AnnyBody.load(torch.float64))
    smpl = SmplBody.load(write_official_pickle(tmp_path / "smpl.pkl", arrays), torch.float64)
    rig = rig_of(smpl, smpl.rest(torch.zeros(1, 10, dtype=torch.float64)))
    truth = posed_landmarks(smpl, rig, 30)
    for names in SETS:
        turns, root = rig_rotations(rig, only(truth, names))
        rows = list(rows_of(get_skeleton(names)))
        missed = (rig.landmarks(turns[:, list(rig.rows)], root) - truth)[:, rows].norm(dim=-1)
        assert missed.mean() < 0.005, names


# -------------------------------------------------------------------------------------------------------- articulation


def test_the_articulation_fits_the_model(body: AnnyBody) -> None:
    articulation = articulation_of(body)
    assert set(articulation.bones) <= set(body.bones)
    assert len(set(articulation.bones)) == len(articulation.bones)
    carried = dict(zip(body.bones, carriers(body), strict=True))
    assert carried["finger2-3.L"] == "wrist.L"
    assert carried["toe1-2.R"] == "foot.R"
    assert carried["eye.L"] == "head"
    assert all(carried[bone] == bone for bone in articulation.bones)
    assert set(ARTICULATIONS["smpl"].bones) <= set(get_skeleton("smpl24").joints)
    for shares in (articulation.spine, *articulation.upper_arm, *articulation.forearm, *articulation.thigh):
        assert [share for _, share in shares] == sorted(share for _, share in shares)
        assert shares[-1][1] == 1.0


def test_a_stranger_has_no_articulation(body: AnnyBody) -> None:
    with pytest.raises(ValueError, match="expected one of anny, smpl, got 'golem'"):
        articulation_of(replace(body, name="golem"))
    with pytest.raises(ValueError, match="to have the bones"):
        articulation_of(replace(body, name="smpl"))
