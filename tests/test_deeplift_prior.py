"""The prior as a tool: how likely a pose is, samples, completion, files; and behind the lifter's door."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from deeplift_world import DOUBLE, chance, fitted_prior, headings, known_mixture, poses, prior_of
from sightline.camera import Camera
from sightline.cli.app import main
from sightline.engine import up_of
from sightline.errors import InputError, UsageError
from sightline.formats.keypoints import write_keypoints
from sightline.formats.poses import read_poses
from sightline.formats.weights import write_weights
from sightline.geometry.rotation import axis_rotation, rotation_from_pitch_roll
from sightline.gravity import Tilt
from sightline.lifter import Lifter, weights_for
from sightline.methods.deeplift import engine as engine_module
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.methods.deeplift.filling import FILLED_CONFIDENCE, filled
from sightline.methods.deeplift.judging import judged
from sightline.methods.deeplift.prior import QUANTILES, PosePrior
from sightline.methods.deeplift.projection import LEVEL_FROM_WORLD
from sightline.methods.deeplift.shapes import FLIP, limb_lengths, limb_size
from sightline.methods.deeplift.sizing import size_from_limbs
from sightline.methods.deeplift.weights import (
    PriorConfig,
    as_stored,
    load_prior,
    prior_config,
    prior_from,
    prior_tensors,
)
from sightline.skeleton import conversion, get_skeleton
from sightline.stature import stature_from_joints
from sightline.structures import KeypointFrame, Keypoints, Person, PersonKeypoints, PoseFrame

LEVEL = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=DOUBLE)
CAMERA = Camera.create(
    image_size=(1280, 720),
    focal_px=1000.0,
    rotation=LEVEL,
    translation_m=-LEVEL @ torch.tensor([0.0, 0.0, 1.4], dtype=DOUBLE),
)


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    """Fitted to procedural people."""
    return fitted_prior(components=2, basis=12)


# --- how likely -------------------------------------------------------------------------------------------------------


def test_place_size_and_heading_leave_the_log_density(prior: PosePrior) -> None:
    joints = poses(20, seed=4)
    assert_close(prior.log_prob(1.2 * joints @ headings(20).mT + 3.0), prior.log_prob(joints), atol=1e-6, rtol=0)


def test_any_orientation_leaves_that_of_a_prior_of_any(prior: PosePrior) -> None:
    free, joints = prior_of(prior.mixture, "any"), poses(20, seed=4)
    tumbled = joints @ (axis_rotation("x", torch.linspace(0.2, 3.0, 20, dtype=DOUBLE)) @ headings(20)).mT
    assert_close(free.log_prob(tumbled), free.log_prob(joints), atol=1e-2, rtol=0)
    assert bool((prior.log_prob(tumbled)[5:] < prior.log_prob(joints)[5:] - 20).all())


@pytest.mark.parametrize("kind", ["exchanged sides", "noise", "knees forwards"])
def test_what_no_body_does_is_implausible(prior: PosePrior, kind: str) -> None:
    joints = poses(40, seed=4)
    told = replace(
        prior, quantiles=prior.log_prob(poses(200, seed=6)).quantile(torch.linspace(0, 1, QUANTILES).double())
    )
    odd = joints.clone()
    if kind == "exchanged sides":
        odd = odd[:, FLIP]
    elif kind == "noise":
        odd = odd + 0.15 * torch.randn(odd.shape, generator=chance(1), dtype=DOUBLE)
    else:
        odd[:, [2, 5]] = odd[:, [2, 5]] + 0.5 * (odd[:, [3, 6]] - odd[:, [1, 4]]).flip(-1)
    assert float(told.plausibility(odd).median()) < 0.05
    assert float(told.plausibility(joints).median()) == pytest.approx(0.5, abs=0.15)


def test_a_pose_that_lacks_joints_has_no_density(prior: PosePrior) -> None:
    joints = poses(2)
    joints[0, 3] = torch.nan
    with pytest.raises(ValueError, match="finite poses"):
        prior.log_prob(joints)


# --- samples ----------------------------------------------------------------------------------------------------------


def test_samples_are_people_as_the_prior_knows_them(prior: PosePrior) -> None:
    drawn = prior.sample(2000, chance(3))
    assert_close(drawn[:, 0], torch.zeros(2000, 3, dtype=DOUBLE))
    size = limb_size(drawn)
    assert float(size.mean()) == pytest.approx(prior.size_m, rel=0.01)
    assert float((size / prior.size_m).std()) == pytest.approx(prior.size_spread, rel=0.1)
    assert_close(prior.sample(5, chance(3)), prior.sample(5, chance(3)))
    own = prior.log_prob(drawn[:300]).mean()
    assert float(own) == pytest.approx(float(prior.log_prob(poses(300, seed=2)).mean()), abs=8.0)
    across = drawn[:, 4] - drawn[:, 1]
    assert float(torch.nn.functional.normalize(across[:, :2], dim=1).mean(0).norm()) < 0.08


def test_samples_of_a_prior_of_any_orientation_point_anywhere(prior: PosePrior) -> None:
    upward = torch.nn.functional.normalize(prior_of(prior.mixture, "any").sample(2000, chance(3))[:, 10], dim=1)
    assert float(upward.mean(0).norm()) < 0.1


# --- completion -------------------------------------------------------------------------------------------------------


def test_missing_joints_of_known_people_come_back() -> None:
    """People of two directions and hardly any noise: what is there tells the rest to a few millimetres."""
    mixture = known_mixture(1, basis=2, noise=0.001)
    joints = prior_of(mixture).sample(30, chance(1)) + 2.0
    broken = joints.clone()
    broken[:, [3, 9, 13]] = torch.nan
    found = prior_of(mixture).completed(broken)
    assert bool(found.valid.all())
    assert_close(found.joints, joints, atol=0.02, rtol=0)
    assert float((found.joints - joints).norm(dim=-1)[:, [3, 9, 13]].mean()) < 0.006
    kept = [joint for joint in range(17) if joint not in (3, 9, 13)]
    assert torch.equal(found.joints[:, kept], joints[:, kept])


def test_completion_is_better_than_the_mean_pose(prior: PosePrior) -> None:
    joints = poses(60, seed=12)
    broken = joints.clone()
    missing = torch.rand(60, 17, generator=chance(5)) < 0.3
    broken[missing] = torch.nan
    error = (prior.completed(broken).joints - joints).norm(dim=-1)[missing]
    assert float(error.mean()) < 0.12


def test_a_wrong_joint_does_not_count(prior: PosePrior) -> None:
    joints = poses(10, seed=12)
    wrong, weight = joints.clone(), torch.ones(10, 17, dtype=DOUBLE)
    wrong[:, 16] += 1.0
    weight[:, 16] = 0.0
    broken = joints.clone()
    broken[:, 16] = torch.nan
    assert_close(prior.completed(wrong, weight).joints, prior.completed(broken).joints)


def test_too_few_joints_say_nothing_and_harm_nobody(prior: PosePrior) -> None:
    joints = poses(3)
    joints[1, 4:] = torch.nan
    found = prior.completed(joints)
    assert found.valid.tolist() == [True, False, True]
    assert bool(found.joints[1].isnan().all())
    assert_close(found.joints[[0, 2]], joints[[0, 2]])


def test_a_heading_turns_the_completion(prior: PosePrior) -> None:
    joints, turn = poses(6, seed=3), headings(6, 9)
    joints[:, 13] = torch.nan
    first, second = prior.completed(joints).projected, prior.completed(joints @ turn.mT).projected
    assert_close(second, first @ turn.mT, atol=2e-3, rtol=0)


# --- files ------------------------------------------------------------------------------------------------------------


def written(prior: PosePrior, folder: Path, name: str = "own", **changes: object) -> Path:
    config = replace(prior_config(prior), **changes)  # pyright: ignore[reportArgumentType]
    write_weights(
        prior_tensors(prior),
        folder,
        name=name,
        method="deeplift",
        licence="CC0",
        trained_on="procedural poses",
        recipe={},
        model=asdict(config),
        expected={},
        command="tests",
        date="2026-01-01",
        version="0",
    )
    return folder / f"{name}.json"


def test_a_prior_comes_back_from_its_file(prior: PosePrior, tmp_path: Path) -> None:
    loaded, config, passport = load_prior(written(prior, tmp_path, sigma_factor=1.5))
    assert (config.sigma_factor, passport.method) == (1.5, "deeplift")
    stored = as_stored(prior)
    for one, other in zip(prior_tensors(loaded).values(), prior_tensors(stored).values(), strict=True):
        assert_close(one, other)
    joints = poses(50, seed=5)
    assert_close(loaded.log_prob(joints), prior.log_prob(joints), atol=1.0, rtol=0)


@pytest.mark.parametrize(
    "harm",
    [
        {"shares": torch.tensor([0.5, -0.5])},
        {"mean": torch.zeros(3, 48)},
        {"noise": torch.zeros(2)},
        {"basis": torch.zeros(1, 48, 12)},
        {"quantiles": torch.arange(QUANTILES, 0, -1.0)},
        {"tilt": torch.zeros(3)},
        {"more": torch.zeros(3)},
        {"mean": None},
    ],
    ids=lambda harm: next(iter(harm)),
)
def test_tensors_that_are_no_prior_are_refused(prior: PosePrior, tmp_path: Path, harm: dict) -> None:
    tensors = {**prior_tensors(prior), **harm}
    path = written(prior, tmp_path)
    facts = json.loads(path.read_text())
    whole = {name: value for name, value in tensors.items() if value is not None}
    keys = ("name", "method", "licence", "trained_on", "recipe", "model", "expected", "command", "date", "version")
    write_weights(whole, tmp_path, **{key: facts[key] for key in keys})
    with pytest.raises(InputError, match="do not fit together"):
        load_prior(path)


def test_weights_of_another_method_are_no_prior() -> None:
    with pytest.raises(InputError, match="expected a prior of method 'deeplift', got 'abspose"):
        load_prior("abspose-street")


def test_a_prior_of_no_orientation_is_refused(prior: PosePrior) -> None:
    config = replace(prior_config(prior), size_m=-1.0)
    with pytest.raises(ValueError, match="expected positive numbers"):
        prior_from(prior_tensors(prior), config)


# --- behind the lifter's door -----------------------------------------------------------------------------------------


def in_the_scene(count: int = 6) -> torch.Tensor:
    """Procedural people 3 to 6 m before the camera, metres, the camera's frame."""
    joints = poses(count, seed=21) @ headings(count, 3).mT
    place = torch.stack([torch.linspace(-1.2, 1.2, count), torch.full((count,), 3.0) + torch.arange(count) / 2], 1)
    joints = joints + torch.cat([place, torch.full((count, 1), 0.95)], dim=1).double()[:, None]
    return CAMERA.world_to_camera(joints)


def keypoints_of(joints_cam: torch.Tensor, skeleton: str = "h36m17") -> Keypoints:
    pixels = CAMERA.project(joints_cam)[0].numpy()
    source = get_skeleton("h36m17")
    target = get_skeleton(skeleton)
    if skeleton != "h36m17":
        pixels, _ = conversion(source, target).apply(pixels, np.ones(pixels.shape[:2]))
    confidence = np.where(np.isnan(pixels[..., 0]), 0.0, 0.9)
    people = tuple(
        PersonKeypoints(id=row, keypoints_px=pixels[row], confidence=confidence[row]) for row in range(len(pixels))
    )
    frames = (KeypointFrame(index=0, people=people),)
    return Keypoints(skeleton=target, image_size=(1280, 720), frames=frames)


def engine_of(prior: PosePrior) -> DeepLiftEngine:
    return DeepLiftEngine(prior, PriorConfig(orientation="upright", size_m=1.08, size_spread=0.05, stature_m=1.7))


@pytest.mark.parametrize("skeleton", ["h36m17", "coco17"])
def test_people_are_lifted_to_metres_where_they_stand(prior: PosePrior, tmp_path: Path, skeleton: str) -> None:
    lifter, truth = Lifter(written(prior, tmp_path)), in_the_scene()
    keypoints = keypoints_of(truth, skeleton)
    heights = stature_from_joints(truth).tolist()
    people = tuple(replace(p, height_m=h) for p, h in zip(keypoints.frames[0].people, heights, strict=True))
    keypoints = replace(keypoints, frames=(KeypointFrame(index=0, people=people),))
    result = lifter.lift(keypoints, CAMERA)
    assert not result.skipped
    assert not result.approximated
    assert (result.poses.model.method, result.poses.scale.body) == ("deeplift", "given_height")
    found = torch.from_numpy(np.array([person.joints_cam_m for _, person in result.poses.people()]))
    relative = (found - found[:, :1]) - (truth - truth[:, :1])
    assert float(relative.norm(dim=-1).mean()) < 0.12
    assert float((found[:, 0] - truth[:, 0]).norm(dim=-1).mean()) < 0.35
    for _, person in result.poses.people():
        assert person.sigma_m is not None
        assert np.isfinite(person.sigma_m).all()
        assert person.plausibility is not None


def test_a_height_is_the_height_of_the_answer(prior: PosePrior) -> None:
    engine, keypoints = engine_of(prior), keypoints_of(in_the_scene())
    readied = engine.ready([person for _, person in keypoints.people()], keypoints.skeleton, CAMERA)
    statures = torch.tensor([1.5, 1.6, 1.7, 1.8, 1.9, torch.nan], dtype=DOUBLE)
    found = torch.from_numpy(engine.lift(readied, range(6), CAMERA, statures).joints_cam)
    assert_close(stature_from_joints(found), statures.nan_to_num(1.7), atol=1e-6, rtol=0)


def test_arrays_are_lifted_as_people_are(prior: PosePrior) -> None:
    engine, keypoints = engine_of(prior), keypoints_of(in_the_scene())
    readied = engine.ready([person for _, person in keypoints.people()], keypoints.skeleton, CAMERA)
    unknown = torch.full((6,), torch.nan, dtype=DOUBLE)
    one = engine.lift(readied, range(6), CAMERA, unknown).joints_cam
    pixels = torch.from_numpy(np.stack([person.keypoints_px for _, person in keypoints.people()]))
    assert_close(engine.lift_array(pixels, CAMERA, None), torch.from_numpy(one), atol=1e-6, rtol=0)


def test_limbs_that_were_measured_fix_the_size(prior: PosePrior) -> None:
    truth = in_the_scene()
    engine, keypoints = engine_of(prior), keypoints_of(truth)
    readied = engine.ready([person for _, person in keypoints.people()], keypoints.skeleton, CAMERA)
    xy, weight = readied.rows
    unknown, up = torch.full((6,), torch.nan, dtype=DOUBLE), up_of(CAMERA)
    usual = engine.lift_rays(xy, weight, up, unknown)
    limbs = limb_lengths(torch.from_numpy(usual.joints_cam)) * torch.linspace(0.8, 1.2, 6)[:, None]
    limbs[:, 3:] = torch.nan
    limbs[5] = torch.nan
    found = engine.lift_rays(xy, weight, up, unknown, limbs)
    assert_close(limb_lengths(torch.from_numpy(found.joints_cam))[:5, :3], limbs[:5, :3], atol=1e-9, rtol=0)
    assert_close(torch.from_numpy(found.joints_cam[5]), torch.from_numpy(usual.joints_cam[5]), atol=1e-9, rtol=0)
    assert found.sigma_m is not None
    assert usual.sigma_m is not None
    depth = (found.sigma_m[:, 0, 2] / found.joints_cam[:, 0, 2], usual.sigma_m[:, 0, 2] / usual.joints_cam[:, 0, 2])
    assert (depth[0][:5] < depth[1][:5]).all()
    statures = torch.full((6,), 1.75, dtype=DOUBLE)
    tall = engine.lift_rays(xy, weight, up, statures, limbs).joints_cam
    assert_close(stature_from_joints(torch.from_numpy(tall)), statures, atol=1e-6, rtol=0)


@pytest.mark.parametrize("length", [0.0, -0.4, math.inf])
def test_limbs_of_no_length(length: float) -> None:
    with pytest.raises(ValueError, match="limbs_m: expected positive lengths"):
        size_from_limbs(poses(1)[:, None], torch.full((1, 16), length))


def test_limbs_of_another_number() -> None:
    with pytest.raises(ValueError, match=r"limbs_m: expected \(1, 16\)"):
        getattr(size_from_limbs, "__wrapped__", size_from_limbs)(poses(1)[:, None], torch.ones(1, 17))


def test_a_given_height_narrows_the_depth(prior: PosePrior) -> None:
    engine, keypoints = engine_of(prior), keypoints_of(in_the_scene())
    readied = engine.ready([person for _, person in keypoints.people()], keypoints.skeleton, CAMERA)
    statures = torch.full((6,), 1.7, dtype=DOUBLE)
    given = engine.lift(readied, range(6), CAMERA, statures)
    unknown = engine.lift(readied, range(6), CAMERA, torch.full_like(statures, torch.nan))
    assert given.sigma_m is not None
    assert unknown.sigma_m is not None
    assert (given.sigma_m[:, 0, 2] < 0.8 * unknown.sigma_m[:, 0, 2]).all()
    assert (given.sigma_m > 0).all()


def test_many_people_are_lifted_as_few_are(prior: PosePrior, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, keypoints = engine_of(prior), keypoints_of(in_the_scene())
    readied = engine.ready([person for _, person in keypoints.people()], keypoints.skeleton, CAMERA)
    statures = torch.tensor([1.5, 1.6, 1.7, 1.8, 1.9, torch.nan], dtype=DOUBLE)
    together = engine.lift(readied, range(6), CAMERA, statures)
    monkeypatch.setattr(engine_module, "_TOGETHER", 4)
    apart = engine.lift(readied, range(6), CAMERA, statures)
    for one, other in zip(together, apart, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("fault", ["one spot", "four joints", "no weight"])
def test_poses_that_cannot_be_completed_are_marked(prior: PosePrior, fault: str) -> None:
    joints, weight = poses(3), torch.ones(3, 17, dtype=DOUBLE)
    if fault == "one spot":
        joints[1] = 2.5
    if fault == "four joints":
        joints[1, 4:] = torch.nan
    if fault == "no weight":
        weight[1, 4:] = 0.0
    found = prior.completed(joints, weight)
    assert found.valid.tolist() == [True, False, True]
    assert bool(found.joints[1].isnan().all())
    assert bool(found.joints[[0, 2]].isfinite().all())
    alone = prior.completed(joints[[0, 2]], weight[[0, 2]])
    assert_close(found.projected[[0, 2]], alone.projected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("weight", [torch.full((2, 17), torch.nan), torch.full((2, 17), -1.0), torch.ones(2, 16)])
def test_weights_that_are_none(prior: PosePrior, weight: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="weight: expected"):
        getattr(PosePrior.completed, "__wrapped__", PosePrior.completed)(prior, poses(2), weight)


def test_poses_are_judged_together_as_alone() -> None:
    truth = in_the_scene().numpy()
    broken = truth[0].copy()
    broken[[3, 6, 13, 16]] = broken[[9, 10, 3, 6]]
    people = tuple(
        Person(
            id=row,
            score=1.0,
            joints_cam_m=joints,
            root_depth_canonical=None,
            keypoints_px=np.zeros((17, 2)),
            confidence=np.ones(17),
        )
        for row, joints in enumerate([*truth, broken])
    )
    parts = (people[:3], (), people[3:])
    frames = tuple(PoseFrame(index=index, people=part) for index, part in enumerate(parts))
    told = [person.plausibility for frame in judged(frames) for person in frame.people]
    alone = [judged([PoseFrame(index=0, people=(one,))])[0].people[0].plausibility for one in people]
    assert told == pytest.approx(alone, abs=2e-3)
    assert told[-1] is not None
    assert told[-1] < min(value for value in told[:-1] if value is not None)
    empty = PoseFrame(index=0, people=())
    assert judged([empty]) == (empty,)


def test_plausibility_flags_what_is_no_upright_person() -> None:
    """The upright prior bends a handstand, a stick or chance into some pose: one that hardly anybody takes."""
    prior, config, _ = load_prior("deeplift-mocap")
    judge, engine = load_prior("deeplift-mocap-any")[0], DeepLiftEngine(prior, config)
    people = prior.sample(60, chance(3))
    people = people - people.mean(1, keepdim=True)

    def told(body: torch.Tensor) -> torch.Tensor:
        joints = body @ LEVEL_FROM_WORLD.mT + torch.tensor([0.0, 0.0, 5.0], dtype=DOUBLE)
        unknown = torch.full((len(body),), torch.nan, dtype=DOUBLE)
        found = engine.lift_rays(joints[..., :2] / joints[..., 2:], torch.ones(len(body), 17).double(), None, unknown)
        return judge.plausibility(torch.from_numpy(found.joints_cam))

    usual = told(people)
    over = told(people @ torch.diag(torch.tensor([-1.0, 1.0, -1.0], dtype=DOUBLE)))
    aside = told(people[..., [2, 1, 0]] * torch.tensor([1.0, 1.0, -1.0], dtype=DOUBLE))
    stick = told(torch.linspace(-0.9, 0.9, 17).double()[None, :, None] * torch.tensor([0.2, 0.0, 1.0]).double())
    anything = told(torch.randn(60, 17, 3, generator=chance(4), dtype=DOUBLE) * 0.4)
    assert float(usual.median()) > 0.3
    assert float(over.median()) < 0.15
    assert float(aside.median()) < 0.15
    assert float(stick) < 0.02
    assert float(anything.max()) < 0.02


def test_filling_leaves_what_was_seen_and_marks_what_was_not(prior: PosePrior) -> None:
    truth = in_the_scene(3)
    people = [person for _, person in keypoints_of(truth).people()]
    points, confidence = people[1].keypoints_px.copy(), people[1].confidence.copy()
    confidence[[3, 10]] = 0.0
    points[3] = np.nan  # what has no confidence was not seen either, wherever it is
    scant = np.where(np.arange(17)[:, None] < 4, people[2].keypoints_px, np.nan)
    people[1] = replace(people[1], keypoints_px=points, confidence=confidence)
    people[2] = replace(people[2], keypoints_px=scant, confidence=np.where(np.isnan(scant[:, 0]), 0.0, 1.0))
    answer, done = filled(people, CAMERA, engine_of(prior))
    assert done.sum(1).tolist() == [0, 2, 0]
    assert answer[0] is people[0]
    assert answer[2] is people[2]
    assert np.isfinite(answer[1].keypoints_px).all()
    assert answer[1].confidence[[3, 10]].tolist() == [FILLED_CONFIDENCE] * 2
    there = [joint for joint in range(17) if joint not in (3, 10)]
    assert (answer[1].keypoints_px[there] == points[there]).all()
    expected = CAMERA.project(truth)[0][1, [3, 10]].numpy()
    assert np.linalg.norm(answer[1].keypoints_px[[3, 10]] - expected, axis=1).max() < 60.0


@pytest.mark.parametrize(
    ("method", "weights", "free", "message"),
    [
        ("mocap", None, False, "method: expected one of abspose, deeplift"),
        ("abspose", None, True, "any_orientation: expected method 'deeplift'"),
        ("abspose", "deeplift-mocap", False, "cannot use the weights"),
        ("deeplift", "abspose-street", False, "cannot use the weights"),
        ("deeplift", "deeplift-mocap", True, "know upright people only"),
    ],
)
def test_methods_and_weights_that_do_not_go_together(method: str, weights: str, free: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        weights_for(method, weights, any_orientation=free)


def test_methods_have_their_weights() -> None:
    assert weights_for("abspose", None) == "abspose-street"
    assert weights_for("deeplift", None) == "deeplift-mocap"
    assert weights_for("deeplift", None, any_orientation=True) == "deeplift-mocap-any"


def test_lift_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sightline.formats.camera import write_camera

    write_keypoints(keypoints_of(in_the_scene()), tmp_path / "k.json")
    write_camera(CAMERA, tmp_path / "c.json")
    call = ["lift", str(tmp_path / "k.json"), "--camera", str(tmp_path / "c.json"), "-o", str(tmp_path / "p.json")]
    assert main([*call, "--method", "deeplift"]) == 0
    told = read_poses(tmp_path / "p.json")
    assert (told.model.method, told.model.weights) == ("deeplift", "deeplift-mocap")
    assert main([*call, "--method", "deeplift", "--any-orientation"]) == 0
    assert read_poses(tmp_path / "p.json").model.weights == "deeplift-mocap-any"
    assert main([*call, "--any-orientation"]) == 2
    assert "--any-orientation: expected method 'deeplift'" in capsys.readouterr().err
    assert main([*call, "--method", "deeplift", "--root", "perspective"]) == 2


def without_world(camera: Camera) -> Camera:
    return replace(camera, rotation=None, translation_m=None)


def test_a_tilt_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sightline.formats.camera import write_camera

    angles = torch.tensor([-0.25, 0.1], dtype=DOUBLE)
    tilted = replace(CAMERA, rotation=rotation_from_pitch_roll(angles[0], angles[1]) @ LEVEL)
    seen = tilted.world_to_camera(CAMERA.camera_to_world(in_the_scene()))
    write_keypoints(keypoints_of(seen), tmp_path / "k.json")
    write_camera(tilted, tmp_path / "c.json")
    write_camera(without_world(CAMERA), tmp_path / "n.json")

    def lifted(camera: str, *options: str) -> np.ndarray:
        out = tmp_path / "p.json"
        call = ["lift", str(tmp_path / "k.json"), "--camera", str(tmp_path / camera), "-o", str(out)]
        assert main([*call, "--method", "deeplift", *options]) == 0
        return np.array([person.joints_cam_m for _, person in read_poses(out).people()])

    known = lifted("c.json")
    assert "taken as level" not in capsys.readouterr().err
    pitch, roll = (f"{math.degrees(float(angle)):.5f}" for angle in angles)
    told = lifted("n.json", "--pitch-deg", pitch, "--roll-deg", roll)
    assert "taken as level" not in capsys.readouterr().err
    np.testing.assert_allclose(told, known, atol=2e-3)
    level = lifted("n.json")
    assert "taken as level; --pitch-deg says it" in capsys.readouterr().err
    assert np.abs(level - known).max() > 0.05
    lifted("n.json", "--tilts-deg", "-20", "-10", "0", "10")
    assert "taken as level" not in capsys.readouterr().err
    far = CAMERA.camera_to_world(torch.tensor([[-0.3, 0.0, 1.0], [0.3, 0.0, 1.0]], dtype=DOUBLE) * 1e7)
    points = [f"{value:.4f}" for value in tilted.project(tilted.world_to_camera(far))[0].flatten().tolist()]
    np.testing.assert_allclose(lifted("n.json", "--horizon", *points), known, atol=2e-3)


@pytest.mark.parametrize(
    ("camera", "options", "message"),
    [
        ("c.json", ["--pitch-deg", "4"], "--pitch-deg: expected a camera that does not know"),
        ("n.json", ["--pitch-deg", "95"], "--pitch-deg: expected an angle"),
        ("n.json", ["--tilts-deg", "200"], "--tilts-deg: expected one or more"),
        ("n.json", ["--horizon", "0", "5", "0", "5"], "--horizon: expected two points"),
        ("n.json", ["--horizon", "0", "5", "900", "5", "--roll-deg", "1"], "--horizon: says pitch and roll already"),
        ("n.json", ["--method", "abspose", "--tilts-deg", "1"], "--tilts-deg: expected --method deeplift"),
    ],
)
def test_tilts_that_cannot_be(
    camera: str, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightline.formats.camera import write_camera

    write_keypoints(keypoints_of(in_the_scene(1)), tmp_path / "k.json")
    write_camera(CAMERA if camera == "c.json" else without_world(CAMERA), tmp_path / camera)
    call = ["lift", str(tmp_path / "k.json"), "--camera", str(tmp_path / camera), "-o", str(tmp_path / "p.json")]
    assert main([*call, "--method", "deeplift", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


def test_tilts_are_tried_of_the_camera_also_off_its_axis() -> None:
    prior, config, _ = load_prior("deeplift-mocap")
    people = prior.sample(40, chance(1))
    pitch = torch.tensor(-0.5, dtype=DOUBLE)
    aside = 3.0 * torch.tensor([1.0, 0.0, 1.0], dtype=DOUBLE)
    joints = (people @ LEVEL_FROM_WORLD.mT + aside) @ rotation_from_pitch_roll(pitch, torch.zeros_like(pitch)).mT
    xy, weight = joints[..., :2] / joints[..., 2:], torch.ones(40, 17, dtype=DOUBLE)

    def error(tilt: Tilt) -> float:
        engine = DeepLiftEngine(prior, config, tilt=tilt)
        up = tilt.up_cam if tilt.known else None
        found = torch.from_numpy(engine.lift_rays(xy, weight, up, stature_from_joints(joints)).joints_cam)
        return float(((found - found[:, :1]) - (joints - joints[:, :1])).norm(dim=-1).mean())

    known, tried = error(Tilt(pitch_rad=-0.5)), error(Tilt(tried_rad=(-0.5, -0.25, 0.0, 0.25)))
    assert tried < 1.3 * known
    assert tried < 0.8 * error(Tilt())


def test_tilts_are_not_tried_of_people_in_any_orientation() -> None:
    with pytest.raises(UsageError, match="tries all orientations"):
        Lifter("deeplift-mocap-any", tilt=Tilt(tried_rad=(0.0, 0.2)))
    assert not Lifter("deeplift-mocap-any", tilt=Tilt(pitch_rad=0.2)).takes_cameras_as_level


@pytest.mark.parametrize("weights", ["abspose-street", "abspose-mocap"])
def test_weights_that_do_not_ask_for_a_tilt(weights: str) -> None:
    with pytest.raises(UsageError, match="do not ask how the camera is tilted"):
        Lifter(weights, tilt=Tilt(pitch_rad=0.1))


@pytest.mark.parametrize("name", ["deeplift-mocap", pytest.param("deeplift-mocap-any", marks=pytest.mark.slow)])
def test_shipped_priors_are_those_of_their_passports(name: str) -> None:
    prior, config, passport = load_prior(name)
    people = prior.sample(400, torch.Generator().manual_seed(0))
    told = prior.plausibility(people)
    assert 0.3 < float(told.mean()) < 0.95
    assert passport.expected["height given"]["mpjpe_mm"] < passport.expected["height unknown"]["mpjpe_mm"]
    engine = DeepLiftEngine(prior, config)
    joints = people - people.mean(1, keepdim=True)
    joints = joints @ LEVEL_FROM_WORLD.mT + torch.tensor([0.0, 0.0, 4.5], dtype=DOUBLE)
    xy = joints[..., :2] / joints[..., 2:]
    found = engine.lift_rays(xy, torch.ones(400, 17, dtype=DOUBLE), None, stature_from_joints(joints))
    located = torch.from_numpy(found.joints_cam)
    error = ((located - located[:, :1]) - (joints - joints[:, :1])).norm(dim=-1).mean()
    assert float(error) < (0.075 if name == "deeplift-mocap" else 0.1)
    assert found.sigma_m is not None
    inside = ((located - joints).abs() <= torch.from_numpy(found.sigma_m)).double().mean()
    assert 0.55 < float(inside) < 0.9


@pytest.mark.slow
def test_fit_prior_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "priors"
    call = ["fit", "prior", "-o", str(out), "--recipe", "deeplift-smoke", "--name", "tiny", "--basis", "5", "--json"]
    assert main(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["components"], told["basis"]) == (2, 5)
    loaded, config, passport = load_prior(out / "tiny.json")
    assert (loaded.basis_size, passport.name) == (5, "tiny")
    assert config.sigma_factor > 0
    assert passport.expected["height given"]["mpjpe_mm"] < passport.expected["height unknown"]["mpjpe_mm"] + 30


@pytest.mark.slow
def test_options_take_the_place_of_a_recipes_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightline.recipes import deeplift

    smoke = deeplift.deeplift_smoke()
    choosing = replace(smoke, components=(1, 2), bases=(3, 6), fit=replace(smoke.fit, iterations=2))
    monkeypatch.setitem(deeplift.RECIPES, "deeplift-smoke", lambda: choosing)
    assert main(["fit", "prior", "-o", str(tmp_path), "--recipe", "deeplift-smoke", "--basis", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["basis"] == 5
    assert {choice["basis"] for choice in told["choices"]} == {5}
    assert {choice["components"] for choice in told["choices"]} == {1, 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prior"], "expected one motion library"),
        (["prior", "--recipe", "cooking"], "--recipe: expected one of deeplift-mocap"),
        (["prior", "--recipe", "deeplift-smoke", "--basis", "48"], "--basis: expected 1 to 47"),
        (["prior", "--recipe", "deeplift-smoke", "--threads", "0"], "--threads: expected at least 1"),
        (["noise"], "expected two keypoint files"),
    ],
)
def test_fits_that_are_called_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["fit", *words, "-o", str(tmp_path / "x.json")]) == 2
    assert message in capsys.readouterr().err
