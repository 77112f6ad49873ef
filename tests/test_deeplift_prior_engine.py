"""The prior behind the lifter's door: people in metres, their size, how plausible they are, tilted cameras."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from deeplift_scene import CAMERA, engine_of, in_the_scene, keypoints_of, written
from deeplift_world import DOUBLE, chance, fitted_prior, poses
from sightline.engine import up_of
from sightline.errors import UsageError
from sightline.geometry.rotation import rotation_from_pitch_roll
from sightline.gravity import Tilt
from sightline.lifter import Lifter
from sightline.methods.deeplift import engine as engine_module
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.methods.deeplift.filling import FILLED_CONFIDENCE, filled
from sightline.methods.deeplift.judging import judged
from sightline.methods.deeplift.prior import PosePrior
from sightline.methods.deeplift.projection import LEVEL_FROM_WORLD
from sightline.methods.deeplift.shapes import limb_lengths
from sightline.methods.deeplift.sizing import size_from_limbs
from sightline.methods.deeplift.weights import load_prior
from sightline.stature import stature_from_joints
from sightline.structures import KeypointFrame, Person, PoseFrame


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    """Fitted to procedural people."""
    return fitted_prior(components=2, basis=12)


# --- people -----------------------------------------------------------------------------------------------------------


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


def test_arrays_are_lifted_as_people_are(prior: PosePrior) -> None:
    engine, keypoints = engine_of(prior), keypoints_of(in_the_scene())
    readied = engine.ready([person for _, person in keypoints.people()], keypoints.skeleton, CAMERA)
    unknown = torch.full((6,), torch.nan, dtype=DOUBLE)
    one = engine.lift(readied, range(6), CAMERA, unknown).joints_cam
    pixels = torch.from_numpy(np.stack([person.keypoints_px for _, person in keypoints.people()]))
    assert_close(engine.lift_array(pixels, CAMERA, None), torch.from_numpy(one), atol=1e-6, rtol=0)


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


# --- size -------------------------------------------------------------------------------------------------------------


def test_a_height_is_the_height_of_the_answer(prior: PosePrior) -> None:
    engine, keypoints = engine_of(prior), keypoints_of(in_the_scene())
    readied = engine.ready([person for _, person in keypoints.people()], keypoints.skeleton, CAMERA)
    statures = torch.tensor([1.5, 1.6, 1.7, 1.8, 1.9, torch.nan], dtype=DOUBLE)
    found = torch.from_numpy(engine.lift(readied, range(6), CAMERA, statures).joints_cam)
    assert_close(stature_from_joints(found), statures.nan_to_num(1.7), atol=1e-6, rtol=0)


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


# --- how plausible ----------------------------------------------------------------------------------------------------


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


# --- tilt -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
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
