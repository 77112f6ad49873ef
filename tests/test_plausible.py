"""Which poses a body can take: poses set by hand on both sides of the line, and laws that hold for any pose."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
import roma
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.data import plausible as internals
from sightline.data.people import PeopleConfig, sample_bodies
from sightline.data.plausible import joint_limits_broken, plausible, self_intersecting
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
FLIP = list(H36M.flip)
MOCAP = Path(__file__).resolve().parents[2] / "shared" / "mocap"
BACKWARD_ELBOWS = ("cmu_daz/13_18", "cmu_daz/14_23")
"""Clips of the training split whose forearms point backwards: broken, and rightly refused."""

Vector = tuple[float, float, float]

STANDING: dict[str, Vector] = {
    "Hip": (0, 0, 0.95),
    "Spine": (0, 0.02, 1.19),
    "Thorax": (0, 0.02, 1.44),
    "Nose": (0, -0.06, 1.53),
    "Head": (0, -0.02, 1.64),
}
"""An adult of 1.73 m who looks along -y (m): the middle of the body. Left is +x."""
HIPS, SHOULDERS = (0.10, 0.0, 0.95), (0.18, 0.02, 1.42)
LEG, ARM = (0.43, 0.42), (0.29, 0.25)
HANGING: tuple[Vector, Vector] = ((0.25, 0.02, 0.9), (0, 1, 0))
STRAIGHT: tuple[Vector, Vector] = ((0.10, 0.0, 0.09), (0, -1, 0))


def reached(start: Vector, lengths: tuple[float, float], target: Vector, pole: Vector) -> tuple[Tensor, Tensor]:
    """The middle and the end of two bones that lead from `start` towards `target`, the middle bent towards `pole`."""
    at, first, second = torch.tensor(start).double(), *lengths
    way = torch.tensor(target).double() - at
    reach = min(float(way.norm()), 0.9999 * (first + second))
    way = way / way.norm()
    side = torch.tensor(pole).double() - way * (torch.tensor(pole).double() @ way)
    assert side.norm() > 1e-3, "the pole has to lie off the way"
    along = (first**2 - second**2 + reach**2) / (2 * reach)
    middle = at + along * way + math.sqrt(max(first**2 - along**2, 0)) * side / side.norm()
    return middle, at + reach * way


def person(**limbs: tuple[Vector, Vector]) -> Tensor:
    """A standing adult, (17, 3), whose `left_arm`, `right_leg`, ... reach for a target (m) with a pole for the bend.

    Targets and poles of the right side are given as if they were on the left: +x is outwards for both.
    """
    joints = torch.zeros(17, 3, dtype=torch.float64)
    for name, place in STANDING.items():
        joints[H36M.index(name)] = torch.tensor(place).double()
    for side, letter, sign in (("left", "L", 1.0), ("right", "R", -1.0)):
        outwards = torch.tensor([sign, 1.0, 1.0]).double()
        for limb, names, start, lengths, usual in (
            ("arm", ("Shoulder", "Elbow", "Wrist"), SHOULDERS, ARM, HANGING),
            ("leg", ("Hip", "Knee", "Ankle"), HIPS, LEG, STRAIGHT),
        ):
            target, pole = limbs.get(f"{side}_{limb}", limbs.get(f"{limb}s", usual))
            places = (torch.tensor(start).double(), *reached(start, lengths, target, pole))
            for name, place in zip(names, places, strict=True):
                joints[H36M.index(letter + name)] = place * outwards
    return joints.float()


def turned(pose: Tensor, axis: Vector, degrees: float, *names: str, about: str = "Thorax") -> Tensor:
    """The pose with the named joints (all where none is named) turned about an axis through a joint."""
    rotation = roma.rotvec_to_rotmat(math.radians(degrees) * torch.tensor(axis))
    rows = [H36M.index(name) for name in names] or list(range(17))
    pivot = pose[H36M.index(about)]
    result = pose.clone()
    result[rows] = (pose[rows] - pivot) @ rotation.mT + pivot
    return result


def hyperextended(limb: str, degrees: float) -> Tensor:
    """Standing with straight left arm and leg, the left shin forwards or the left forearm backwards by an angle."""
    pose = person(left_arm=((0.22, 0.02, 0.5), REAR), left_leg=((0.1, 0.0, 0.0), FRONT))
    middle, end, way = ("LKnee", "LAnkle", -1.0) if limb == "knee" else ("LElbow", "LWrist", 1.0)
    at, to = H36M.index(middle), H36M.index(end)
    rotation = roma.rotvec_to_rotmat(torch.tensor([way * math.radians(degrees), 0.0, 0.0]))
    pose[to] = pose[at] + rotation @ (pose[to] - pose[at])
    return pose


UPPER = ("LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist", "Nose", "Head")
LEGS = ("LHip", "LKnee", "LAnkle", "RHip", "RKnee", "RAnkle")
FRONT, REAR, DOWN, OUT = (0.0, -1.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)
POSSIBLE = {
    "standing": person(),
    "T-pose": person(arms=((0.9, 0.02, 1.42), DOWN)),
    "arms raised": person(arms=((0.2, -0.05, 2.0), OUT)),
    "hands on hips": person(arms=((0.17, -0.02, 1.02), (1, 0.4, 0))),
    "hands behind the head": person(arms=((0.06, 0.09, 1.58), OUT)),
    "hands clasped behind the back": person(arms=((0.04, 0.16, 1.02), (1, 0.6, 0))),
    "hands clasped in front": person(arms=((0.03, -0.22, 1.0), OUT)),
    "crossed arms": person(
        left_arm=((-0.10, -0.17, 1.23), (1, -0.2, -1)), right_arm=((-0.10, -0.24, 1.19), (1, -0.2, -1))
    ),
    "sitting": person(legs=((0.12, -0.43, 0.53), FRONT), arms=((0.16, -0.33, 1.05), (1, 1, 0))),
    "sitting, ankle on the other knee": person(
        left_leg=((0.12, -0.43, 0.53), FRONT), right_leg=((-0.12, -0.42, 1.06), (1, -0.3, 0.2))
    ),
    "sitting on the floor with crossed legs": person(
        left_leg=((-0.1, -0.22, 0.90), (1, -0.6, 0)), right_leg=((-0.1, -0.34, 0.98), (1, -0.6, 0))
    ),
    "squatting": person(legs=((0.14, -0.05, 0.72), FRONT)),
    "kneeling": person(legs=((0.1, 0.36, 0.5), DOWN)),
    "running": person(
        left_leg=((0.09, -0.15, 0.32), FRONT),
        right_leg=((0.09, 0.5, 0.45), FRONT),
        left_arm=((0.22, 0.12, 1.06), REAR),
        right_arm=((0.16, -0.28, 1.3), (0.3, 1, -0.5)),
    ),
    "standing with legs crossed": person(left_leg=((-0.06, -0.1, 0.09), FRONT), right_leg=((-0.06, 0.06, 0.09), FRONT)),
    "kick to the front": person(left_leg=((0.1, -0.84, 1.1), FRONT)),
    "lying": turned(person(), (1.0, 0.0, 0.0), 90),
    "upside down": turned(person(), (1.0, 0.0, 0.0), 180),
    "looking over a shoulder": turned(person(), (0.0, 0.0, 1.0), 70, "Nose", "Head"),
    "trunk turned": turned(person(), (0.0, 0.0, 1.0), 45, *UPPER),
}
THROUGH_ITSELF = {
    "forearm through the trunk": person(left_arm=((-0.2, 0.03, 1.2), (1, 0.1, -0.5))),
    "wrist in the belly": person(left_arm=((0.0, 0.0, 1.15), (1, 0.0, 0))),
    "upper arm in the chest": person(left_arm=((-0.15, 0.02, 1.0), OUT)),
    "forearm through the head": person(left_arm=((-0.08, -0.05, 1.62), (1, -0.1, 0.3))),
    "crossed shins": person(left_leg=((-0.12, 0.0, 0.12), FRONT), right_leg=((-0.12, 0.0, 0.12), FRONT)),
    "thighs through each other": person(left_leg=((-0.3, -0.3, 0.3), FRONT), right_leg=((-0.3, -0.3, 0.3), FRONT)),
    "forearms through each other": person(arms=((-0.1, -0.35, 1.3), (1, 0, -0.3))),
    "hand inside the thigh": person(left_arm=((0.1, -0.02, 0.8), REAR)),
    "shin through the other thigh": person(
        left_leg=((0.12, -0.43, 0.53), FRONT), right_leg=((-0.2, -0.25, 0.95), (1, -0.6, 0))
    ),
}
OUT_OF_RANGE = {
    "knee bent forwards": person(left_leg=((0.1, -0.25, 0.25), REAR)),
    "knee a little forwards": person(right_leg=((0.1, 0.0, 0.12), REAR)),
    "elbow bent backwards": person(left_arm=((0.22, 0.25, 1.1), FRONT)),
    "elbow a little backwards": person(left_arm=((0.24, 0.03, 0.92), FRONT)),
    "head turned round": turned(person(), (0.0, 0.0, 1.0), 170, "Nose", "Head"),
    "head on the shoulder": turned(person(), (0.0, 1.0, 0.0), 90, "Nose", "Head"),
    "trunk folded": turned(person(), (1.0, 0.0, 0.0), 95, "Thorax", *UPPER, about="Spine"),
    "hips askew": turned(person(), (0.0, 1.0, 0.0), 40, *LEGS, about="Hip"),
    "shoulders askew": turned(person(), (0.0, 1.0, 0.0), 40, *UPPER[:6]),
    "trunk twisted": turned(person(), (0.0, 0.0, 1.0), 110, *UPPER),
    "trunk turned round": turned(person(), (0.0, 0.0, 1.0), 180, *UPPER),
    "thigh straight back": person(left_leg=((0.1, 0.84, 0.95), DOWN)),
    "thigh up sideways and back": person(left_leg=((0.6, 0.4, 1.4), FRONT)),
    "thigh folded past the chest": person(left_leg=((0.12, -0.1, 1.7), FRONT)),
    "thigh far back": person(left_leg=((0.1, 0.69, 0.46), FRONT)),
    "thigh far across": person(left_leg=((-0.6, -0.5, 0.6), FRONT)),
    "arm far across": person(left_arm=((-0.29, -0.25, 1.42), DOWN)),
    "arm far behind the back": person(left_arm=((-0.12, 0.35, 1.06), REAR)),
    "arm straight back": person(left_arm=((0.18, 0.56, 1.42), DOWN)),
    "arm up and back": person(left_arm=((0.18, 0.45, 1.75), OUT)),
    "forearm folded into the upper arm": person(left_arm=((0.22, -0.03, 1.42), DOWN)),
    "shin folded into the thigh": person(left_leg=((0.1, -0.02, 0.93), FRONT)),
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_what_people_do_is_plausible(name: str) -> None:
    pose = POSSIBLE[name][None]
    assert not self_intersecting(pose)
    assert not joint_limits_broken(pose)
    assert plausible(pose)


@pytest.mark.parametrize("name", THROUGH_ITSELF)
def test_passing_through_oneself_is_not(name: str) -> None:
    pose = THROUGH_ITSELF[name][None]
    assert self_intersecting(pose)
    assert not plausible(pose)


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_bending_beyond_the_range_is_not(name: str) -> None:
    pose = OUT_OF_RANGE[name][None]
    assert joint_limits_broken(pose)
    assert not plausible(pose)


@pytest.mark.parametrize("name", ["knee bent forwards", "elbow bent backwards", "head turned round", "trunk twisted"])
def test_limits_do_not_need_a_collision(name: str) -> None:
    assert not self_intersecting(OUT_OF_RANGE[name][None])


@pytest.mark.parametrize("name", ["crossed shins", "forearms through each other", "forearm through the trunk"])
def test_collisions_do_not_need_a_broken_limit(name: str) -> None:
    assert not joint_limits_broken(THROUGH_ITSELF[name][None])


@pytest.fixture(scope="module")
def mixed() -> Tensor:
    """Poses of all kinds, a good part of them impossible."""
    hand_made = torch.stack([*POSSIBLE.values(), *THROUGH_ITSELF.values(), *OUT_OF_RANGE.values()])
    wild = sample_bodies(procedural_poses(2000, step_generator(3, 0)), step_generator(3, 1), PeopleConfig(turn_std=0.3))
    return torch.cat([hand_made, wild])


def differ(first: Tensor, second: Tensor) -> float:
    """Share of answers that differ; a pose on the very line may fall either way by rounding."""
    return float((first != second).float().mean())


def test_both_answers_are_common(mixed: Tensor) -> None:
    assert 0.2 < plausible(mixed).float().mean() < 0.8


def test_plausible_is_neither_fault(mixed: Tensor) -> None:
    assert torch.equal(plausible(mixed), ~(self_intersecting(mixed) | joint_limits_broken(mixed)))


def test_the_mirrored_pose_has_the_same_answer(mixed: Tensor) -> None:
    mirrored = mixed[:, FLIP] * torch.tensor([-1.0, 1.0, 1.0])
    assert differ(plausible(mixed), plausible(mirrored)) < 0.002


def test_size_place_and_turn_do_not_matter(mixed: Tensor) -> None:
    rotation = roma.random_rotmat(len(mixed), generator=step_generator(4, 0))
    size = torch.linspace(0.3, 2.0, len(mixed))[:, None, None]
    moved = size * mixed @ rotation.mT + torch.tensor([12.0, -30.0, 4.0])
    assert differ(plausible(mixed), plausible(moved)) < 0.002


def test_a_batch_is_its_poses_one_by_one(mixed: Tensor) -> None:
    some = mixed[:60]
    assert torch.equal(plausible(some), torch.cat([plausible(pose[None]) for pose in some]))
    assert torch.equal(plausible(mixed), plausible(mixed))
    assert plausible(mixed[:0]).shape == (0,)


def test_a_wider_margin_refuses_more(mixed: Tensor) -> None:
    refused = [self_intersecting(mixed, margin_m=margin) for margin in (-0.03, 0.0, 0.03)]
    assert not (refused[0] & ~refused[1]).any()
    assert not (refused[1] & ~refused[2]).any()
    assert refused[0].sum() < refused[1].sum() < refused[2].sum()
    assert torch.equal(plausible(mixed, margin_m=0.03), ~(refused[2] | joint_limits_broken(mixed)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("joint", range(17))
def test_what_is_not_finite_is_not_plausible(bad: float, joint: int) -> None:
    poses = torch.stack([person(), person(), person()])
    poses[1, joint, 2] = bad
    assert plausible(poses).tolist() == [True, False, True]
    assert self_intersecting(poses).tolist() == [False, True, False]
    assert joint_limits_broken(poses).tolist() == [False, True, False]


def test_a_body_without_size_is_not_plausible() -> None:
    assert not plausible(torch.zeros(1, 17, 3))
    assert not plausible(torch.full((1, 17, 3), 3e30) * torch.randn(1, 17, 3))


def test_answers_carry_no_gradient() -> None:
    poses = person()[None].requires_grad_()
    assert not plausible(poses).requires_grad


@pytest.mark.parametrize(
    "joints", [torch.zeros(17, 3), torch.zeros(2, 16, 3), torch.zeros(2, 17, 3, dtype=torch.int64)]
)
def test_other_shapes_are_refused(joints: Tensor) -> None:
    with pytest.raises((ValueError, TypeError)):
        plausible(joints)


def test_distances_are_those_of_the_nearest_points() -> None:
    """The slow twin: the least distance over a fine grid on both segments."""
    points, _ = internals._centred(procedural_poses(40, step_generator(5, 0)) + 0.1 * torch.randn(40, 17, 3))
    fast = internals._distances(points)
    along1, along2, between = torch.tensordot(internals._pair_rows(points.device), points, dims=1).unbind()
    share = torch.linspace(0, 1, 41)
    first = between[..., None] + along1[..., None] * share
    gaps = first[..., :, None] - (along2[..., None] * share)[..., None, :]
    slow = gaps.norm(dim=1).flatten(-2).amin(-1)
    assert (fast <= slow + 1e-5).all()
    assert_close(fast, slow, atol=0.012, rtol=0.0)


def test_parallel_limbs_have_a_distance() -> None:
    points, _ = internals._centred(person(arms=((0.9, 0.02, 1.42), DOWN))[None])
    pairs = [pair[:4] for pair in internals._pairs()]
    shins = internals._distances(points)[pairs.index(("L", "shin", "R", "shin")), 0]
    trunk_m = math.dist(STANDING["Hip"], STANDING["Spine"]) + math.dist(STANDING["Spine"], STANDING["Thorax"])
    assert_close(float(shins), 2 * HIPS[0] * internals._ADULT_M / (sum(LEG) + trunk_m), rtol=1e-3, atol=0.0)


def test_arms_hang_beside_narrow_shoulders_too() -> None:
    """Some skeletons of motion capture have shoulders 0.23 m apart; elbows as near to a broad chest are inside it."""
    narrow = person(arms=((0.23, 0.02, 0.88), REAR))
    broad = narrow.clone()
    for name in UPPER[:6]:
        narrow[H36M.index(name), 0] *= 0.63
    for name in ("LElbow", "LWrist", "RElbow", "RWrist"):
        broad[H36M.index(name)] = narrow[H36M.index(name)]
    assert plausible(narrow[None])
    assert self_intersecting(broad[None])


def test_a_knee_and_an_elbow_have_a_little_slack() -> None:
    """Limbs are bent the wrong way by a rising angle: straight ones pass; the line lies between 10 and 25 degrees."""
    for limb in ("knee", "elbow"):
        refused = [bool(joint_limits_broken(hyperextended(limb, angle)[None])) for angle in range(0, 41, 5)]
        assert refused == sorted(refused), limb
        assert 2 <= refused.index(True) <= 5, limb


def test_poses_made_from_nothing_are_mostly_plausible() -> None:
    assert plausible(procedural_poses(5000, step_generator(6, 0))).float().mean() > 0.93


def test_wild_turns_are_mostly_not() -> None:
    poses = procedural_poses(2000, step_generator(6, 0))
    wild = sample_bodies(poses, step_generator(6, 1), PeopleConfig(turn_std=0.6))
    assert plausible(wild).float().mean() < 0.3


def test_a_training_step_takes_little_time() -> None:
    poses = procedural_poses(512, step_generator(7, 0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spent = []
        for _ in range(20):
            start = time.process_time()
            plausible(poses)
            spent.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(spent) < 0.02  # 0.0015 s where nothing checks types; that machine was an ordinary one


@pytest.mark.slow
@pytest.mark.skipif(not MOCAP.exists(), reason="needs ../shared/mocap")
def test_motion_capture_is_plausible(tmp_path: Path) -> None:
    """Of the training split, all but two clips with broken elbows: at most 2 % is refused, and of those two all."""
    from sightline.data.mocap import prepare_mocap

    library = prepare_mocap(MOCAP, tmp_path / "library.npz").library.split("train")
    clips = {name: torch.tensor(library.clip(i)) for i, name in enumerate(library.names)}
    broken = [clips.pop(name) for name in BACKWARD_ELBOWS]
    assert plausible(torch.cat(list(clips.values()))).float().mean() > 0.98
    assert plausible(torch.cat(broken)).float().mean() < 0.1
