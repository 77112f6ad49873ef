"""LCR-Net++ scored by people who are seen well enough: who is found, how they stand, and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from media_files import numbered
from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.methods.lcrnet.decode import Modes
from sightline.methods.lcrnet.people import Looked, people_of
from sightline.methods.lcrnet.views import torso_rows
from sightline.methods.lcrnet.weights import load_lcrnet
from sightline.training.lcrnet_scores import SceneScores, scores_of, single
from sightline.training.scenes import Scene
from staged_films import CAMERA, SIZE
from tiny_lcrnet import LCR13, knowing, predicted, proposals, written
from tiny_lcrnet import people_of as walkers_of


def scene(people: int = 3, sure: tuple[bool, ...] = (True, True, True)) -> Scene:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 300, (people, 13, 2)).astype(np.float32)
    joints = rng.normal(size=(people, 13, 3)).astype(np.float32)
    return Scene(np.zeros((8, 8, 3), np.uint8), points, joints, np.array(sure), np.full(people, 20.0, np.float32))


def modes(points: np.ndarray, joints: np.ndarray, scores: np.ndarray) -> Modes:
    count = np.arange(len(scores))
    poses = points.astype(np.float64), joints.astype(np.float64)
    unknown = np.full(joints.shape, np.nan)
    told = np.ones(joints.shape[:2]), unknown[:, 0, 0]
    return Modes(*poses, scores, unknown, count, np.ones_like(count), count, *told)


def numbers(scores: SceneScores) -> list[float]:
    return [*single(scores).values(), *scores.ap_joints]


def test_poses_on_who_is_not_sure_count_neither_way() -> None:
    """Whose joints are not known, and who stands where somebody else was found: nobody's pose there is false."""
    rng = np.random.default_rng(2)
    points = rng.uniform(20, 60, (2, 13, 2))
    points[1] += 100
    heads, joints = np.full(2, 10.0), rng.normal(size=(2, 13, 3))
    scene = Scene(np.zeros((200, 200, 3), np.uint8), points, joints, np.array([True, False]), heads)
    near = points[1] + 4.0  # too far for PCKh, but in the same place
    found = np.stack((points[0], near, points[0] + [60.0, 120.0]))
    modes = Modes(
        poses_px=found, joints_m=np.stack((joints[0], joints[1], joints[1])), scores=np.array([0.9, 0.8, 0.7]),
        sigma_m=np.zeros((3, 13, 3)), group=np.arange(3), count=np.ones(3, int), first=np.arange(3),
        trust=np.ones((3, 13)), size_sigma=np.zeros(3),
    )  # fmt: skip
    scores = scores_of([modes], [scene])
    assert scores.found == 1.0
    assert scores.false == 1.0, "the third alone"
    everybody = scores_of([modes], [scene._replace(sure=np.array([True, True]))])
    assert (everybody.found, everybody.false) == (0.5, 1.0)


def test_the_truth_scores_without_error() -> None:
    truth = scene()
    scores = scores_of([modes(truth.points_px, truth.joints_m, np.array([0.9, 0.8, 0.7]))], [truth])
    assert (scores.ap, scores.found, scores.false) == (1.0, 1.0, 0.0)
    assert_allclose([scores.mpjpe_m, scores.pa_mpjpe_m], 0, atol=1e-6)


def test_poses_on_people_hardly_seen_count_neither_way() -> None:
    truth = scene(sure=(True, False, True))
    everybody = modes(truth.points_px, truth.joints_m, np.array([0.9, 0.95, 0.7]))
    scores = scores_of([everybody], [truth])
    assert (scores.ap, scores.found, scores.false) == (1.0, 1.0, 0.0)
    twice = Modes(*(part[[0, 1, 1, 2]] for part in everybody))
    assert_allclose(numbers(scores_of([twice], [truth])), numbers(scores))
    two = Modes(*(part[[0, 2]] for part in everybody))
    assert_allclose(numbers(scores_of([two], [truth])), numbers(scores))


def test_joints_are_scored_each_by_itself() -> None:
    """Of two people one is found, a wrist too far off: half of each joint's precision, and none of the wrist's."""
    truth, wrist = scene(2, (True, True)), LCR13.index("RWrist")
    points = truth.points_px.copy()
    points[0, wrist] += 500
    found = modes(points[:1], truth.joints_m[:1], np.array([0.9]))
    scores = scores_of([found], [truth])
    assert [row for row, value in enumerate(scores.ap_joints) if value != 0.5] == [wrist]
    assert scores.ap_joints[wrist] == 0
    assert scores.ap == pytest.approx(np.mean(scores.ap_joints))
    assert scores.pckh == pytest.approx(12 / 26)


def test_poses_on_nobody_and_people_without_pose() -> None:
    truth = scene()
    moved = truth.joints_m + np.float32(0.05)
    false = np.full((1, 13, 2), 900.0, np.float32)
    points, joints = np.concatenate([truth.points_px[:2], false]), np.concatenate([moved[:2], moved[:1]])
    some = modes(points, joints, np.array([0.9, 0.8, 0.99]))
    scores = scores_of([some], [truth])
    assert scores.found == pytest.approx(2 / 3)
    assert scores.false == pytest.approx(1 / 3)
    assert scores.ap < 0.5
    assert_allclose(scores.mpjpe_m, 0.05 * 3**0.5, rtol=1e-5)
    assert_allclose(scores.pa_mpjpe_m, 0, atol=1e-5)
    none = scores_of([Modes(*(part[:0] for part in some))], [truth])
    assert (none.ap, none.found) == (0.0, 0.0)
    assert np.isnan(none.mpjpe_m)
    with pytest.raises(ValueError, match="at least one scene"):
        scores_of([], [])


def test_joints_are_right_within_15_cm_and_of_who_is_found() -> None:
    """Of two people one is found, 2 of 13 joints too far off: 11/13, and half of it over all; then nobody is."""
    truth = scene(2, (True, True))
    joints = truth.joints_m.copy()
    joints[0, :, 0] += 0.149
    joints[0, 3:5, 1] += 0.05
    both = modes(truth.points_px, joints, np.array([0.9, 0.8]))
    one = Modes(*(part[:1] for part in both))
    scores = scores_of([one], [truth])
    assert scores.pck3d == pytest.approx(11 / 13)
    assert scores.pck3d_all == pytest.approx(11 / 26)
    scores = scores_of([both], [truth])
    assert scores.pck3d == scores.pck3d_all == pytest.approx(24 / 26)
    nobody = scores_of([Modes(*(part[:0] for part in both))], [truth])
    assert np.isnan(nobody.pck3d)
    assert nobody.pck3d_all == 0
    nowhere = scores_of([one], [truth._replace(sure=np.zeros(2, bool))])
    assert np.isnan([nowhere.pck3d, nowhere.pck3d_all]).all()


# ------------------------------------------------------------------------------------------------------------ places


def placed_scene(number: int = 0) -> Scene:
    """The staged walkers, where they are."""
    cam = np.stack(walkers_of(number))
    middles = cam[:, torso_rows(LCR13)].mean(1)
    points = CAMERA.project(torch.from_numpy(cam))[0].numpy()
    people = len(cam)
    return Scene(
        np.zeros((8, 8, 3), np.uint8), points, cam - middles[:, None], np.ones(people, bool), np.full(people, 20.0),
        CAMERA, middles,
    )  # fmt: skip


def exact(its: Scene) -> Modes:
    return modes(its.points_px, its.joints_m, np.array([0.9, 0.8]))


def test_exact_poses_are_where_people_are() -> None:
    its = placed_scene()
    assert its.middles_cam is not None
    assert len(its.middles_cam) == 2
    scores = scores_of([exact(its)], [its])
    assert (scores.pck3d, scores.pck3d_all) == (1.0, 1.0)
    assert_allclose([scores.mpjpe_m, scores.mrpe_m], 0, atol=1e-6)
    other_way_round = Modes(*(part[[1, 0]] for part in exact(its)))
    assert_allclose(scores_of([other_way_round], [its]).mrpe_m, 0, atol=1e-6)
    assert np.isnan(scores_of([exact(its)], [its], placed=False).mrpe_m)


def test_places_are_off_by_metres() -> None:
    """Who is really half a metre further to the side, and who looks a tenth too large, so a tenth too far away."""
    its = placed_scene()
    assert its.middles_cam is not None
    aside = its._replace(middles_cam=its.middles_cam + [[0.5, 0, 0], [0, 0, 0]])
    assert scores_of([exact(its)], [aside]).mrpe_m == pytest.approx(0.25, abs=1e-6)
    first = Modes(*(part[:1] for part in exact(its)))
    assert scores_of([first], [aside]).mrpe_m == pytest.approx(0.5, abs=1e-6)
    large = exact(its)._replace(joints_m=1.1 * its.joints_m)
    expected = 0.1 * np.linalg.norm(its.middles_cam, axis=-1).mean()
    assert scores_of([large], [its]).mrpe_m == pytest.approx(expected, abs=1e-6)


def test_only_people_count_whose_place_is_known_and_found() -> None:
    """Of all people in four scenes, that of one is known and found, half a metre off."""
    its = placed_scene()
    assert its.middles_cam is not None
    known = its._replace(middles_cam=its.middles_cam + [[0.5, 0, 0], [0, np.nan, 0]])
    without_camera, without_places = its._replace(camera=None), its._replace(middles_cam=None)
    found = [exact(its)] * 3
    scores = scores_of(found, [known, without_camera, without_places])
    assert scores.mrpe_m == pytest.approx(0.5, abs=1e-6)
    assert np.isnan(scores_of(found[:2], [without_camera, without_places]).mrpe_m)
    inside_out = exact(its)._replace(joints_m=its.joints_m * [[[1.0]], [[-1.0]]])
    aside = its._replace(middles_cam=its.middles_cam + [[0.5, 0, 0], [9, 0, 0]])
    assert scores_of([inside_out], [aside]).mrpe_m == pytest.approx(0.5, abs=1e-6), "nobody stands behind the camera"
    nobody = scores_of([Modes(*(part[:0] for part in exact(its)))], [its])
    assert np.isnan(nobody.mrpe_m)


def test_lenses_and_single_precision_change_nothing() -> None:
    bent = Distortion.create("brown_conrady", [-0.1, 0.02], [0.001, -0.002])
    lens = Camera.create(SIZE, 600.0, distortion=bent).to(torch.float32)
    its = placed_scene()
    assert its.middles_cam is not None
    cam = torch.from_numpy(its.joints_m + its.middles_cam[:, None])
    its = its._replace(points_px=lens.to(torch.float64).project(cam)[0].numpy(), camera=lens)
    assert scores_of([exact(its)], [its]).mrpe_m == pytest.approx(0, abs=1e-5)


def test_people_are_placed_as_predict_places_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Poses that do not quite fit, of one person only the upper body: the same solve, with the same weights."""
    its, weights = placed_scene(1), written(tmp_path)
    assert its.middles_cam is not None
    rng = np.random.default_rng(3)
    told = proposals(walkers_of(1), scores=[1.7, 0.8])._replace(upper=np.array([False, True]))
    told.poses_px[:] += rng.normal(scale=2.0, size=told.poses_px.shape)
    told.joints_m[:] += rng.normal(scale=0.03, size=told.joints_m.shape)
    knowing(monkeypatch, lambda _: told)
    people = predicted(numbered(1, *SIZE), weights).frames[0].people
    network, _ = load_lcrnet(weights)
    found = people_of(Looked(told, 1.0), network)
    places = [one.joints_cam_m[0] - joints[0] for one, joints in zip(people, found.joints_m, strict=True)]
    errors = [np.linalg.norm(its.middles_cam - place, axis=-1).min() for place in places]
    scores = scores_of([found], [its])
    assert scores.found == 1.0
    assert scores.mrpe_m > 0.02
    assert scores.mrpe_m == pytest.approx(np.mean(errors), rel=1e-9)
