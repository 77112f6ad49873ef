"""Virtual people: sizes and bones as configured, sides that mirror, limbs that are recombined without being broken."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import roma
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.data.people import PeopleConfig, recombined, sample_bodies
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
FLIP = list(H36M.flip)
SAME_BODIES = PeopleConfig(size_std=0.0, bone_std=0.0, mirrored_share=0.0)
LIMBS = {
    "legs": ("RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle"),
    "left arm": ("LShoulder", "LElbow", "LWrist"),
    "right arm": ("RShoulder", "RElbow", "RWrist"),
}


def library(count: int = 400) -> Tensor:
    return procedural_poses(count, step_generator(1, 0))


def varied(count: int = 200) -> Tensor:
    """People of different bones, roots at the origin: a limb tells whose it is."""
    return sample_bodies(library(count), step_generator(8, 8), PeopleConfig(size_std=0.2))


def bone_lengths(joints: Tensor) -> Tensor:
    return torch.stack([(joints[:, c] - joints[:, p]).norm(dim=-1) for c, p in H36M.bones], dim=-1)


def limb_distances(joints: Tensor, limb: str) -> Tensor:
    """Distances between all joints of a limb: its size and bends, wherever it is."""
    points = joints[:, [H36M.index(name) for name in LIMBS[limb]]].double()
    return (points[:, :, None] - points[:, None]).norm(dim=-1).flatten(1)


def test_bones_are_scaled_alike_on_both_sides() -> None:
    body = torch.randn(300, 17, 3)
    drawn = sample_bodies(body, step_generator(0, 0), PeopleConfig(mirrored_share=0.0))
    ratio = bone_lengths(drawn) / bone_lengths(body)
    other = [H36M.bones.index((H36M.flip[child], H36M.flip[parent])) for child, parent in H36M.bones]
    assert_close(ratio, ratio[:, other], rtol=1e-4, atol=0)
    assert ratio.std(0).min() > 0.04
    assert torch.equal(drawn[:, 0], torch.zeros(300, 3))


def test_bone_directions_stay() -> None:
    body = torch.randn(300, 17, 3)
    drawn = sample_bodies(body, step_generator(0, 0), PeopleConfig(mirrored_share=0.0))
    for child, parent in H36M.bones:
        before, after = body[:, child] - body[:, parent], drawn[:, child] - drawn[:, parent]
        assert torch.cosine_similarity(before, after, dim=-1).min() > 1 - 1e-5


@pytest.mark.parametrize(("size_std", "bone_std"), [(0.05, 0.0), (0.0, 0.04), (0.0, 0.0)])
def test_sizes_spread_as_configured(size_std: float, bone_std: float) -> None:
    body = library(1).expand(8000, 17, 3)
    people = PeopleConfig(size_std=size_std, bone_std=bone_std, mirrored_share=0.0)
    ratio = bone_lengths(sample_bodies(body, step_generator(0, 0), people)) / bone_lengths(body)
    assert_close(ratio.mean(0), torch.ones(16), rtol=0, atol=3e-3)
    assert_close(ratio.std(0), torch.full((16,), max(size_std, bone_std)), rtol=0.04, atol=1e-5)
    same_everywhere = (ratio - ratio[:, :1]).abs().amax()
    assert (same_everywhere < 1e-4) == (bone_std == 0)


def test_mirroring_swaps_sides_and_is_its_own_inverse() -> None:
    body = torch.randn(50, 17, 3)
    mirrored = replace(SAME_BODIES, mirrored_share=1.0)
    once = sample_bodies(body, step_generator(0, 0), mirrored)
    relative = body - body[:, :1]
    assert_close(once, relative[:, FLIP] * torch.tensor([-1.0, 1.0, 1.0]))
    assert_close(sample_bodies(once, step_generator(0, 1), mirrored), relative)


def test_the_mirrored_share_is_kept() -> None:
    body = torch.randn(1, 17, 3).expand(4000, 17, 3)
    drawn = sample_bodies(body, step_generator(0, 0), replace(SAME_BODIES, mirrored_share=0.3))
    plain = (drawn - (body - body[:, :1])).abs().amax((1, 2)) < 1e-5
    assert 1 - float(plain.float().mean()) == pytest.approx(0.3, abs=0.025)


# --- recombined poses -------------------------------------------------------------------------------------------------


def owners(joints: Tensor, result: Tensor, limb: str) -> Tensor:
    """Whose limb each person has now."""
    distance = (limb_distances(result, limb)[:, None] - limb_distances(joints, limb)).norm(dim=-1)
    assert distance.amin(1).max() < 1e-3, "limbs keep their bones and bends"
    return distance.argmin(1)


def test_limbs_are_exchanged_whole_and_each_by_itself() -> None:
    joints = varied()
    result = recombined(joints, step_generator(0, 0), 1.0)
    found = {limb: owners(joints, result, limb) for limb in LIMBS}
    for limb, owner in found.items():
        assert sorted(owner.tolist()) == list(range(200)), limb
        assert (owner != torch.arange(200)).float().mean() > 0.9, limb
    assert (found["legs"] != found["left arm"]).float().mean() > 0.9
    assert (found["right arm"] != found["left arm"]).float().mean() > 0.9
    trunk = [H36M.index(name) for name in ("Hip", "Spine", "Thorax", "Nose", "Head", "LShoulder", "RShoulder")]
    assert_close(result[:, trunk], joints[:, trunk])


def test_the_share_says_how_many_limbs_are_exchanged() -> None:
    joints = varied()
    assert torch.equal(recombined(joints, step_generator(0, 0), 0.0), joints - joints[:, :1])
    result = recombined(joints, step_generator(0, 0), 0.4)
    for limb in LIMBS:
        moved = (owners(joints, result, limb) != torch.arange(200)).float().mean()
        assert 0.25 < float(moved) < 0.55, limb


def test_legs_stay_upright_and_follow_the_persons_own_heading() -> None:
    joints = varied()
    result = recombined(joints, step_generator(0, 0), 1.0)
    owner = owners(joints, result, "legs")
    hips = [result[:, H36M.index("LHip")] - result[:, H36M.index("RHip")] for result in (joints, result)]
    before, after = (torch.atan2(hip[:, 1], hip[:, 0]) for hip in hips)
    assert_close(torch.cos(after - before), torch.ones(200))
    for name in ("LKnee", "RAnkle"):
        assert_close(result[:, H36M.index(name), 2], joints[owner, H36M.index(name), 2], rtol=0, atol=1e-5)


def test_arms_follow_the_trunk() -> None:
    """A person who gets a copy of their own arm, from a copy of themselves turned anyhow, stays as they were."""
    person = varied(1)
    copies = person @ roma.random_rotmat(20).mT
    copies[0] = person[0]
    arms = [H36M.index(name) for name in LIMBS["left arm"] + LIMBS["right arm"]]
    result = recombined(copies, step_generator(0, 0), 1.0)
    assert_close(result[:, arms], copies[:, arms], rtol=0, atol=1e-4)


# --- turned bones -----------------------------------------------------------------------------------------------------


def test_turned_bones_keep_their_lengths_and_turn_as_configured() -> None:
    joints = library(3000)
    turned = sample_bodies(joints, step_generator(0, 0), replace(SAME_BODIES, turn_std=0.05))
    assert_close(bone_lengths(turned), bone_lengths(joints), rtol=1e-4, atol=0)
    for child, parent in H36M.bones:
        before, after = joints[:, child] - joints[:, parent], turned[:, child] - turned[:, parent]
        angle = torch.atan2(torch.linalg.cross(before, after).norm(dim=-1), (before * after).sum(-1))
        assert float(angle.square().mean().sqrt()) == pytest.approx(0.05 * math.sqrt(2), rel=0.05)


def test_hips_stay_either_side_of_their_middle() -> None:
    turned = sample_bodies(library(), step_generator(0, 0), replace(SAME_BODIES, turn_std=0.1))
    middle = (turned[:, H36M.index("LHip")] + turned[:, H36M.index("RHip")]) / 2
    assert middle.abs().max() < 1e-6


def test_everything_together_is_a_function_of_the_generator() -> None:
    people = PeopleConfig(recombined_share=0.5, turn_std=0.05)
    drawn = [sample_bodies(library(50), step_generator(0, step), people) for step in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
