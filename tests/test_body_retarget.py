"""Retargeting: a body's own motion comes back, segments lengthen without a seam, feet stand on the floor."""

from __future__ import annotations

import importlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

pytest.importorskip("anny")

import sightline.bench.retarget as bench_file
from sightline.body.anny_body import AnnyBody
from sightline.body.ik import rig_of
from sightline.body.model import RestBody
from sightline.body.retarget import LENGTH_LIMITS, Retargeted, fitted_shape, lengthened, retarget, transferred
from sightline.body.skinning import global_from_local
from sightline.cli import main
from sightline.data.procedural import procedural_poses
from sightline.geometry.rotation import rotation_angle
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import get_skeleton

ROW = {name: row for row, name in enumerate(ALL_LANDMARKS)}
H36M = list(rows_of(get_skeleton("h36m17")))
WORLD = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the body's up is the world's z
SHAPE = {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.7, "proportions": 0.5}


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load(torch.float32)


@pytest.fixture(scope="module")
def rest(body: AnnyBody) -> RestBody:
    return body.rest(torch.tensor([list(SHAPE.values())]))


@pytest.fixture(scope="module")
def walk(body: AnnyBody, rest: RestBody) -> Tensor:
    """Landmarks (frame, 64, 3) of a tall body that walks on the spot, one foot always on the floor."""
    phase = torch.linspace(0, 4 * math.pi, 60)
    local = torch.eye(3).repeat(len(phase), len(body.bones), 1, 1)

    def bend(bone: str, angle: Tensor) -> None:
        axis = torch.tensor([1.0, 0.0, 0.0])
        local[:, body.bones.index(bone)] = roma.rotvec_to_rotmat(angle[:, None] * axis)

    for side, shift in (("L", 0.0), ("R", math.pi)):
        swing = (phase + shift).sin()
        bend(f"upperleg01.{side}", -0.4 * swing)
        bend(f"lowerleg01.{side}", 0.25 + 0.35 * (phase + shift).cos().clamp(min=0))
        bend(f"upperarm01.{side}", 0.4 * swing)
    local[:, 0] = WORLD
    turns = global_from_local(local, body.parents)
    rig = rig_of(body, rest)
    landmarks = rig.landmarks(turns[:, list(rig.rows)], torch.zeros(1, 3))
    ankles = landmarks[:, [ROW["LAnkle"], ROW["RAnkle"]], 2].amin(1)
    stands = rig.joints[0, rig.index["foot.L"], 1] - rig.sole_y[0]
    landmarks[..., 2] += (stands - ankles)[:, None]
    return landmarks


@pytest.fixture(scope="module")
def walked(body: AnnyBody, walk: Tensor) -> Retargeted:
    return retarget(body, walk[:, H36M].numpy(), offsets=False)


# --------------------------------------------------------------------------------------------------------- lengthening


def test_factors_of_one_change_nothing(body: AnnyBody, rest: RestBody) -> None:
    same = lengthened(body, rest, dict.fromkeys(LENGTH_LIMITS, 1.0))
    torch.testing.assert_close(same.vertices, rest.vertices)
    torch.testing.assert_close(same.joints, rest.joints)


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("thigh", ("upperleg01.L", "lowerleg01.L")),
        ("shin", ("lowerleg01.R", "foot.R")),
        ("upper_arm", ("upperarm01.R", "lowerarm01.R")),
        ("forearm", ("lowerarm01.L", "wrist.L")),
        ("pelvis", ("upperleg01.L", "upperleg01.R")),
        ("shoulders", ("clavicle.L", "upperarm01.L")),
    ],
)
def test_segments_get_as_long_as_asked_and_others_stay(
    body: AnnyBody, rest: RestBody, name: str, ends: tuple[str, str]
) -> None:
    longer = lengthened(body, rest, {name: 1.15})
    first, second = (body.bones.index(end) for end in ends)
    lengths = [(its.joints[0, first] - its.joints[0, second]).norm() for its in (rest, longer)]
    assert float(lengths[1] / lengths[0]) == pytest.approx(1.15, abs=0.01)
    changed = (bone_lengths(body, longer) / bone_lengths(body, rest) - 1).abs() > 0.02
    assert 1 <= int(changed.sum()) <= 5


def bone_lengths(body: AnnyBody, rest: RestBody) -> Tensor:
    return (rest.joints[0, 1:] - rest.joints[0, list(body.parents[1:])]).norm(dim=-1).clamp(min=1e-3)


def test_the_mesh_stays_whole(body: AnnyBody, rest: RestBody) -> None:
    factors = {name: high if row % 2 else low for row, (name, (low, high)) in enumerate(LENGTH_LIMITS.items())}
    longer = lengthened(body, rest, factors)
    edges = torch.cat([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]])
    before, after = ((v[edges[:, 0]] - v[edges[:, 1]]).norm(dim=-1) for v in (rest.vertices[0], longer.vertices[0]))
    ratio = (after / before)[before > 0.004]
    assert ratio.quantile(0.001) > 0.3
    assert ratio.quantile(0.999) < 1.8
    assert after.max() < 0.15


def test_every_body_of_a_batch_has_its_own_factor(body: AnnyBody, rest: RestBody) -> None:
    two = RestBody(rest.vertices.repeat(2, 1, 1), rest.joints.repeat(2, 1, 1))
    factor = torch.tensor([0.9, 1.2], requires_grad=True)
    both = lengthened(body, two, {"thigh": factor})
    for row, value in enumerate((0.9, 1.2)):
        alone = lengthened(body, rest, {"thigh": value})
        torch.testing.assert_close(both.vertices[row], alone.vertices[0])
    both.vertices.square().sum().backward()
    assert factor.grad is not None
    assert (factor.grad != 0).all()


@pytest.mark.parametrize(
    ("factors", "message"),
    [({"tail": 1.0}, "expected names from pelvis"), ({"thigh": 2.0}, "expected thigh between 0.75 and 1.35")],
)
def test_bad_factors_are_told(body: AnnyBody, rest: RestBody, factors: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(lengthened, "__wrapped__", lengthened)(body, rest, factors)


# --------------------------------------------------------------------------------------------------------- retargeting


def test_a_bodys_own_walk_comes_back(body: AnnyBody, walked: Retargeted) -> None:
    assert walked.residual_m.mean() < 0.005
    assert walked.residual_m.max() < 0.02
    assert walked.shape[body.shape_names.index("height")] == pytest.approx(0.7, abs=0.06)
    assert all(factor == pytest.approx(1.0, abs=0.03) for factor in walked.factors.values()), walked.factors
    assert walked.ankle_lift_m == pytest.approx(0.0, abs=0.003)
    assert walked.raised_m == 0.0
    assert walked.joints == tuple(ALL_LANDMARKS[row] for row in H36M)
    torch.testing.assert_close(walked.residual_without_offsets_m, walked.residual_m)


def test_feet_stand_on_the_floor(body: AnnyBody, walked: Retargeted) -> None:
    posed = body.posed(walked.rest, walked.rotations, walked.root_world)
    lowest = posed.vertices[..., 2].amin(1)
    assert lowest.min() > -0.005
    assert lowest.max() < 0.03


def test_nothing_jumps_between_frames(walked: Retargeted) -> None:
    steps = rotation_angle(walked.rotations[1:], walked.rotations[:-1])
    assert steps.max() < 0.35


def test_a_clip_in_the_floor_is_raised_and_its_feet_do_not_slide_more(body: AnnyBody, walk: Tensor) -> None:
    sunk = walk[:, H36M] - torch.tensor([0.0, 0.0, 0.2])
    found = retarget(body, sunk, offsets=False)
    assert found.raised_m == pytest.approx(0.2, abs=0.005)
    assert found.residual_m.mean() < 0.005
    stays = retarget(body, sunk, offsets=False, raised=False)
    assert stays.raised_m == 0.0
    assert stays.residual_m[:, 0].mean() < 0.005
    low = retarget(body, walk[:, H36M] - torch.tensor([0.0, 0.0, 0.03]), offsets=False)
    assert low.raised_m == 0.0
    assert low.ankle_lift_m == pytest.approx(0.03, abs=0.005)
    ankles = [ROW["LAnkle"], ROW["RAnkle"]]
    theirs, ours = (points[:, ankles, :2].diff(dim=0).norm(dim=-1) for points in (walk, low.landmarks_world))
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)


def test_constant_offsets_of_joints_are_found(body: AnnyBody, rest: RestBody, walk: Tensor, walked: Retargeted) -> None:
    shifted = walk[:, H36M].clone()
    elbow = get_skeleton("h36m17").index("LElbow")
    frames = walked.rotations[:, body.bones.index("upperarm02.L")]
    shifted[:, elbow] += (frames @ torch.tensor([0.0, 0.0, 0.02])[:, None])[..., 0]
    found = retarget(body, shifted, offsets=True)
    plain = retarget(body, shifted, offsets=False)
    assert found.residual_m.mean() < plain.residual_m.mean()
    assert found.residual_m.mean() < 0.003
    assert found.residual_without_offsets_m.mean() >= found.residual_m.mean()
    assert found.offsets_m.norm(dim=-1).max() < 0.06


def test_known_numbers_of_the_shape_stay(body: AnnyBody, walk: Tensor) -> None:
    found = retarget(body, walk[:5, H36M], shape={"gender": 1.0, "height": 0.4})
    assert found.shape[0] == 1.0
    assert found.shape[4] == pytest.approx(0.4)
    assert found.factors["thigh"] > 1.02
    plain = retarget(body, walk[:5, H36M], lengths=False)
    assert plain.factors == {}
    torch.testing.assert_close(plain.rest.joints, body.rest(plain.shape[None]).joints)


def test_a_shape_without_lengths_is_neutral(body: AnnyBody) -> None:
    unknown: dict[str, float] = dict.fromkeys(("trunk", "upper_arm", "forearm", "thigh", "shin"), math.nan)
    expected = torch.tensor([0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5])
    torch.testing.assert_close(fitted_shape(body, unknown, {}), expected)


def test_other_joint_sets_and_further_points_are_taken(body: AnnyBody, walk: Tensor) -> None:
    coco = list(rows_of(get_skeleton("coco17")))
    toes = {name: walk[:, ROW[name]].numpy() for name in ("LBigToe", "RBigToe", "LHeel", "RHeel")}
    found = retarget(body, walk[:, coco].numpy(), skeleton="coco17", extra=toes, offsets=False)
    assert found.residual_m.mean() < 0.012
    assert found.joints[-4:] == tuple(toes)
    assert found.residual_m[:, -4:].mean() < 0.02


def test_missing_joints_do_not_matter_elsewhere(body: AnnyBody, walk: Tensor, walked: Retargeted) -> None:
    partial = walk[:, H36M].clone()
    partial[10:20, get_skeleton("h36m17").index("RWrist")] = math.nan
    found = retarget(body, partial, offsets=False)
    assert found.rotations.isfinite().all()
    assert found.residual_m[10:20, get_skeleton("h36m17").index("RWrist")].isnan().all()
    legs = [body.bones.index(bone) for bone in ("upperleg01.L", "lowerleg01.R", "foot.R")]
    torch.testing.assert_close(found.rotations[:, legs], walked.rotations[:, legs], atol=1e-4, rtol=0)


def test_another_body_takes_the_motion_over(body: AnnyBody, walked: Retargeted) -> None:
    short = body.rest(torch.tensor([[1.0, 2 / 3, 0.5, 0.5, 0.2, 0.5]]))
    rotations, root = transferred(body, walked, short)
    lowest = body.posed(short, rotations, root).vertices[..., 2].amin(1)
    assert lowest.abs().max() < 0.03
    torch.testing.assert_close(transferred(body, walked, walked.rest)[1], walked.root_world)


def test_a_limb_that_is_known_on_one_side_is_measured_there(walk: Tensor) -> None:
    measured = importlib.import_module("sightline.body.retarget")._measured
    points = torch.full_like(walk, torch.nan)
    points[:, H36M] = walk[:, H36M]
    both = measured(points)
    points[:, [ROW["RKnee"], ROW["RAnkle"]]] = torch.nan
    left = measured(points)
    for name in ("thigh", "shin"):
        assert left[name] == pytest.approx(both[name], rel=0.03)
    points[:, ROW["LKnee"]] = torch.nan
    assert np.isnan(measured(points)["thigh"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints_world": np.zeros((2, 16, 3))}, r"joints_world: expected \(frame, 17, 3\), got \(2, 16, 3\)"),
        ({"shape": {"beard": 1.0}}, "shape: expected names from gender"),
        ({"extra": {"Tail": np.zeros((2, 3))}}, "extra: expected names from ALL_LANDMARKS, got Tail"),
        ({"extra": {"LBigToe": np.zeros((5, 3))}}, r"extra: expected \(2, 3\) for LBigToe, got \(5, 3\)"),
        ({"joints_world": np.full((2, 17, 3), np.nan)}, "at least one finite landmark"),
    ],
)
def test_bad_clips_are_told(body: AnnyBody, change: dict, message: str) -> None:
    call: dict = {"joints_world": procedural_poses(2, torch.Generator().manual_seed(0)).numpy()} | change
    with pytest.raises(ValueError, match=message):
        getattr(retarget, "__wrapped__", retarget)(body, **call)


# ----------------------------------------------------------------------------------------------------------- benchmark


def test_the_quick_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(bench_file, "QUICK_POSES", 4)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "retarget", "--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    claims = {claim["id"]: claim for claim in report["claims"]}
    assert {f"round-trip-{name}" for name in bench_file.ROUND_TRIPS} <= set(claims)
    assert claims["residual-procedural-poses"]["holds"]
    assert {"ik-accuracy", "ik-speed", "round-trip-smpl24-tree"} <= set(claims)
    assert list(tmp_path.iterdir()) == []


def test_the_optimiser_gets_there_in_the_end(body: AnnyBody, rest: RestBody, walk: Tensor) -> None:
    targets = torch.full_like(walk[:2], math.nan)
    targets[:, H36M] = walk[:2, H36M]
    rig = replace(rig_of(body, rest))
    errors = [
        (bench_file._optimised(rig, targets, H36M, steps) - targets)[:, H36M].norm(dim=-1).mean() for steps in (5, 80)
    ]
    assert errors[1] < 0.3 * errors[0]
