"""LCR-Net++ in `predict`: people are found in whole pictures with their poses, and the camera places them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import sightline
from media_files import numbered
from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.methods.lcrnet.views import torso_rows
from sightline.prediction.arrays import Arrays
from sightline.prediction.cameras import KnownCamera
from sightline.prediction.estimator import Found
from sightline.prediction.lcrnet import NO_PLACE, LcrNetEstimator
from sightline.stature import stature_from_joints
from staged_films import CAMERA, SIZE, placed_camera, write_film
from tiny_lcrnet import HEAD, LCR13, by_depth, knowing, people_of, predicted, proposals, written

LEGS = [LCR13.index(side + part) for side in "LR" for part in ("Knee", "Ankle")]
BENT = Camera.create(
    SIZE, (610.0, 590.0), (300.0, 255.0), distortion=Distortion.create("brown_conrady", [-0.12, 0.03], [0.001, -0.002])
)
FISHEYE = Camera.create(SIZE, 400.0, distortion=Distortion.create("kannala_brandt", [-0.01, 0.002, 0.0, 0.0]))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "walk.mp4", frames=12)


# --------------------------------------------------------------------------------------------------------------- place


@pytest.mark.parametrize("camera", [CAMERA, BENT, FISHEYE], ids=["pinhole", "distorted", "fisheye"])
def test_exact_poses_are_placed_exactly(weights: Path, monkeypatch: pytest.MonkeyPatch, camera: Camera) -> None:
    """From numbers of a network to people: through modes, detections, the door that checks them, and the lens."""
    knowing(monkeypatch, lambda number: proposals(people_of(number), camera))
    (frame,) = predicted(numbered(3, *SIZE), weights, camera).frames
    assert len(frame.people) == 2
    for one, truth, score in zip(by_depth(frame), people_of(3), (0.9, 0.8), strict=True):
        pixels = camera.project(torch.from_numpy(truth))[0].numpy()
        assert_allclose(one.joints_cam_m, truth, atol=1e-6)
        assert_allclose(one.keypoints_px, pixels, atol=1e-9)
        assert_allclose(one.confidence, score)
        assert one.score == pytest.approx(score)
        assert one.sigma_m is None  # a proposal alone
        assert one.box_px is not None
        assert_allclose(one.box_px, [*pixels.min(0), *pixels.max(0)])
        focal = camera.canonical_focal_px
        assert one.root_depth_canonical == (None if focal is None else pytest.approx(truth[HEAD, 2] / float(focal)))


def test_wrong_joints_do_not_move_anybody(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of thirteen joints far off in the picture: the place stays within millimetres."""
    true = proposals(people_of(2))
    rng = np.random.default_rng(5)
    for row in range(2):
        off = rng.permutation(13)[:4]
        true.poses_px[row, off] += rng.choice([-1, 1], (4, 2)) * rng.uniform(20, 60, (4, 2))
    knowing(monkeypatch, lambda _: true)
    (frame,) = predicted(numbered(2, *SIZE), weights).frames
    for one, truth in zip(by_depth(frame), people_of(2), strict=True):
        assert_allclose(one.joints_cam_m, truth, atol=0.003)


def test_an_assumed_camera_places_by_size_alone(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak perspective is what least squares make of a pose without depth; perspective answers otherwise."""
    knowing(monkeypatch, lambda number: proposals(people_of(number)))
    with pytest.warns(UserWarning, match="a 28 mm lens"):
        assumed = predicted(numbered(3, *SIZE), weights, None)
    assert assumed.scale.source == "assumed_focal"
    focal = float(assumed.camera.focal)
    given = predicted(numbered(3, *SIZE), weights, Camera.create(SIZE, focal))
    for one, other, truth in zip(by_depth(assumed.frames[0]), by_depth(given.frames[0]), people_of(3), strict=True):
        rows = torso_rows(LCR13)
        pose = truth - truth[rows].mean(0)
        xy = (one.keypoints_px - np.array(SIZE) / 2) / focal
        flat, image = pose[:, :2] - pose[:, :2].mean(0), xy - xy.mean(0)
        depth = (flat**2).sum() / (flat * image).sum() - pose[:, 2].mean()
        place = np.append(depth * xy[rows].mean(0), depth)
        assert_allclose(one.joints_cam_m, pose + place, atol=1e-9)
        assert np.abs(one.joints_cam_m - other.joints_cam_m).max() > 0.05


def test_a_camera_of_another_resolution_is_scaled(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever finds cameras, and by `place` as well, which may be given one as it is."""
    knowing(monkeypatch, lambda number: proposals(people_of(number)))
    double = CAMERA.resized((2 * SIZE[0], 2 * SIZE[1]))
    (frame,) = predicted(numbered(3, *SIZE), weights, double).frames
    assert_allclose(by_depth(frame)[0].joints_cam_m, people_of(3)[0], atol=1e-6)
    estimator = LcrNetEstimator(weights)
    (source,) = Arrays([numbered(3, *SIZE)]).frames()
    (people,) = estimator.detector().detect([source.pixels])
    found = Found.of(source, KnownCamera(camera=double, source="calibrated_focal"), people)
    placed = estimator.place([found], LCR13)
    assert [one.id for one in placed.frames[0].people] == [0, 1]
    assert_allclose(by_depth(placed.frames[0])[0].joints_cam_m, people_of(3)[0], atol=1e-6)


def test_what_the_lens_cannot_have_seen_does_not_count(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A joint beyond a fisheye's half space has no ray; the others place the person, and the box ends at the border."""
    told = proposals([people_of(0)[0]], FISHEYE)
    told.poses_px[0, LCR13.index("RWrist")] = (-900.0, 200.0)
    knowing(monkeypatch, lambda _: told._replace(scores=np.array([1.5])))
    (one,) = predicted(numbered(0, *SIZE), weights, FISHEYE).frames[0].people
    assert_allclose(one.joints_cam_m, people_of(0)[0], atol=1e-6)
    assert one.box_px is not None
    assert one.box_px[0] == 0.0
    assert one.keypoints_px[LCR13.index("RWrist"), 0] == -900.0


def test_other_poses_at_a_place_are_told(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With their share of the score there, placed by their own points, and as tall as the person is said to be."""
    first = people_of(0)[0]
    other, faint, behind = (first + np.zeros_like(first) for _ in range(3))
    other[:, 2] += 1.2 * np.arange(13) / 13
    faint[:, 2] -= 1.2 * np.arange(13) / 13
    behind[:, 2] -= 3 * first[:, 2].max() * np.arange(13)[::-1] / 13
    told = proposals([first, other, faint, behind], scores=[1.0, 0.5, 0.1, 0.4])
    seen = proposals([first]).poses_px
    told = told._replace(poses_px=np.concatenate([told.poses_px[:3], seen]))
    knowing(monkeypatch, lambda _: told)
    (one,) = predicted(numbered(0, *SIZE), weights).frames[0].people
    assert_allclose(one.joints_cam_m, first, atol=1e-6)
    assert one.hypotheses is not None
    (hypothesis,) = one.hypotheses
    assert hypothesis.score == pytest.approx(0.5 / 2.0)
    assert_allclose(hypothesis.joints_cam_m, other, atol=1e-6)
    assert hypothesis.root_depth_canonical == pytest.approx(other[HEAD, 2] / float(CAMERA.canonical_focal_px))
    (tall,) = predicted(numbered(0, *SIZE), weights, height_m=2.2).frames[0].people
    factor = tall.joints_cam_m[HEAD, 2] / one.joints_cam_m[HEAD, 2]
    assert factor > 1.1
    assert tall.hypotheses is not None
    assert_allclose(tall.hypotheses[0].joints_cam_m, factor * other, atol=1e-6)


def test_nobody_stands_half_behind_the_camera(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The torso is before it, a foot is not: that cannot be what the picture shows."""
    near = people_of(0)[0] - [0.0, 0.0, people_of(0)[0][:, 2].min() - 0.3]
    sane = proposals([near])
    legs = sane.joints_m.copy()
    legs[0, LCR13.index("LAnkle"), 2] = -near[:, 2].max() - 0.5
    knowing(monkeypatch, lambda _: sane._replace(joints_m=legs))
    with pytest.warns(UserWarning, match=NO_PLACE):
        poses = predicted(numbered(0, *SIZE), weights)
    assert poses.frames[0].people == ()


def test_who_has_no_place_before_the_camera_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = proposals(people_of(0))
    inside_out = there.poses_px[1].mean(0) - (there.poses_px[1] - there.poses_px[1].mean(0))
    wrong = there._replace(poses_px=np.stack([there.poses_px[0], inside_out]))
    knowing(monkeypatch, lambda _: wrong)
    with pytest.warns(UserWarning, match=f"1 of 2 people could not be lifted: 1 × {NO_PLACE}"):
        poses = predicted(numbered(0, *SIZE), weights)
    (one,) = poses.frames[0].people
    assert_allclose(one.joints_cam_m, people_of(0)[0], atol=1e-6)


def test_a_head_behind_the_camera_is_nobodys(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The solve asks for the mean depth alone; the root has to lie before the camera as well."""
    near = people_of(0)[0] - [0.0, 0.0, 3.6]
    near[HEAD, 2] = -0.1
    assert near[:, 2].mean() > 0
    told = proposals([near])
    sane = proposals([np.where(np.arange(13)[:, None] == HEAD, near[0], near)]).poses_px
    knowing(monkeypatch, lambda _: told._replace(poses_px=sane))
    with pytest.warns(UserWarning, match=NO_PLACE):
        assert predicted(numbered(0, *SIZE), weights).frames[0].people == ()


# --------------------------------------------------------------------------------------------------- what is told of it


def test_proposals_that_agree_say_how_well(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two proposals that differ in one joint and in size: their spread, by score, with the distance that it means."""
    truth = people_of(1)[0]
    exact = proposals([truth])
    other = exact.joints_m[0] * 1.05
    other[LCR13.index("RWrist")] += [0.03, -0.01, 0.05]
    pair = exact.chosen(np.array([0, 0]))._replace(
        joints_m=np.stack([exact.joints_m[0], other]), scores=np.array([0.6, 0.2])
    )
    knowing(monkeypatch, lambda _: pair)
    (one,) = predicted(numbered(1, *SIZE), weights).frames[0].people
    spread = np.sqrt(0.75 * 0.25) * np.abs(other - exact.joints_m[0])
    sizes = [np.linalg.norm(pose[:, :2] - pose[:, :2].mean(0)) for pose in (exact.joints_m[0], other)]
    size = np.sqrt(0.75 * 0.25) * np.log(sizes[1] / sizes[0])
    middle = one.joints_cam_m[torso_rows(LCR13)].mean(0)
    assert one.sigma_m is not None
    assert_allclose(one.sigma_m, np.sqrt(spread**2 + (size * middle) ** 2), rtol=1e-6)
    assert one.sigma_m[HEAD, 2] > 0.05  # metres away, of which some per cent are open
    assert one.score == pytest.approx(0.8)


def test_legs_that_upper_bodies_guess_count_a_tenth(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And do not move anybody either, wherever the network puts them."""
    told = proposals(people_of(1), scores=[1.7, 0.8])._replace(upper=np.array([False, True]))
    told.poses_px[1, LEGS] += [35.0, -50.0]
    knowing(monkeypatch, lambda _: told)
    whole, upper = by_depth(predicted(numbered(1, *SIZE), weights).frames[0])
    assert whole.score == 1.0
    assert_allclose(whole.confidence, 1.0)
    others = [row for row in range(13) if row not in LEGS]
    assert_allclose(upper.confidence[others], 0.8)
    assert_allclose(upper.confidence[LEGS], 0.08)
    assert_allclose(upper.joints_cam_m, people_of(1)[1], atol=0.002)


def test_a_given_height_scales_about_the_camera(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = proposals([people_of(0)[0]] * 2, scores=[0.5, 0.4])
    pair.joints_m[1] *= 1.04
    knowing(monkeypatch, lambda _: pair)
    plain, tall = (predicted(numbered(0, *SIZE), weights, height_m=height) for height in (None, 1.95))
    assert (plain.scale.body, tall.scale.body) == ("learned", "given_height")
    one, other = plain.frames[0].people[0], tall.frames[0].people[0]
    whole = sightline.conversion("lcr13", "h36m17").apply(one.joints_cam_m)[0]
    ratio = 1.95 / float(stature_from_joints(torch.from_numpy(whole)))
    assert abs(ratio - 1) > 0.05
    assert_allclose(other.joints_cam_m, ratio * one.joints_cam_m, atol=1e-9)
    assert one.sigma_m is not None
    assert other.sigma_m is not None
    assert_allclose(other.sigma_m, ratio * one.sigma_m)
    assert one.root_depth_canonical is not None
    assert other.root_depth_canonical == pytest.approx(ratio * one.root_depth_canonical)


def test_feet_on_the_floor_fix_the_size(weights: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of people whom the network takes for 1.2 times as large and far, the floor tells what they are."""
    knowing(monkeypatch, lambda number: proposals(1.2 * joints for joints in people_of(number)))
    poses = predicted(film, weights, placed_camera(), on_floor=True)
    assert poses.scale.body == "on_floor"
    for number, frame in enumerate(poses.frames):
        for one, truth in zip(by_depth(frame), people_of(number), strict=True):
            assert np.abs(one.joints_cam_m[:, 2] / truth[:, 2] - 1).mean() < 0.03
