"""People who stand and walk tell the camera that saw them, say how surely, and say so where they do not."""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion
from sightline.self_calibration import FoundCamera, Priors, find_camera
from sightline.self_calibration.links import linked
from sightline.self_calibration.posterior import Posterior, up_from_angles
from sightline.self_calibration.search import believed, highest, scan
from sightline.self_calibration.sticks import sticks_of
from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs/figures"))
SCENES, SCRIPT = (importlib.import_module(name) for name in ("people_scenes", "measure_self_calibration"))
sys.path.remove(str(ROOT / "docs/figures"))
SIZE, H36M = SCENES.SIZE, SCENES.H36M
REAL = ROOT.parent / "shared" / "real"


def drawn(seed: int, people: int, kind: str, truth: Any = None) -> tuple[Keypoints, Any]:
    """A scene of the measuring script."""
    rng = np.random.default_rng(seed)
    while (found := SCENES.scene(rng, people, kind, truth)) is None:
        pass
    return found


def changed(keypoints: Keypoints, change: Callable[[PersonKeypoints], PersonKeypoints], **also: object) -> Keypoints:
    """The keypoints with everybody changed."""
    frames = tuple(replace(frame, people=tuple(map(change, frame.people))) for frame in keypoints.frames)
    return replace(keypoints, frames=frames, **also)


def up_error_deg(found: FoundCamera, truth: Any) -> float:
    return math.degrees(math.acos(min(float(found.up_cam @ truth.up_cam), 1.0)))


# ---- what people tell


def test_a_crowd_tells_focal_length_gravity_and_floor() -> None:
    keypoints, truth = drawn(1, 20, "photo", SCENES.true_camera(60.0, 25.0, -8.0, 2.5))
    found = find_camera(keypoints)
    assert found.focal_found
    assert found.world_found
    assert abs(math.log(found.focal_px / truth.focal_px)) < 3.0 * found.focal_sigma < 0.5
    assert up_error_deg(found, truth) < 4.0
    assert found.height_m == pytest.approx(2.5, rel=0.15)
    assert found.people > 15
    assert found.scale_source == "estimated_focal"


def test_a_walk_tells_them_too() -> None:
    keypoints, truth = drawn(2, 1, "walk", SCENES.true_camera(55.0, 20.0, 10.0, 2.0))
    found = find_camera(keypoints)
    assert found.focal_found
    assert abs(math.log(found.focal_px / truth.focal_px)) < 3.0 * found.focal_sigma
    assert up_error_deg(found, truth) < 5.0
    assert found.height_m == pytest.approx(2.0, rel=0.25)
    assert found.people == 1


def test_a_known_focal_length_makes_the_rest_surer() -> None:
    keypoints, truth = drawn(3, 6, "photo", SCENES.true_camera(60.0, 15.0, 5.0, 2.0))
    alone, told = find_camera(keypoints), find_camera(keypoints, camera=Camera.create(SIZE, truth.focal_px))
    assert told.focal_known
    assert told.focal_sigma == 0.0
    assert told.focal_px == pytest.approx(truth.focal_px)
    assert told.pitch_sigma_rad < alone.pitch_sigma_rad
    assert up_error_deg(told, truth) < 6.0


def test_a_lens_and_another_resolution_are_taken_out() -> None:
    keypoints, truth = drawn(4, 8, "photo", SCENES.true_camera(75.0, 20.0, 5.0, 2.0))
    lens = Distortion.create("brown_conrady", [-0.2, 0.05])
    camera = Camera.create(SIZE, truth.focal_px, (480.0, 400.0), distortion=lens)

    def bent(person: PersonKeypoints) -> PersonKeypoints:
        rays = np.concatenate([(person.keypoints_px - 0.5 * np.array(SIZE)) / truth.focal_px, np.ones((17, 1))], -1)
        return replace(person, keypoints_px=camera.project(torch.from_numpy(rays))[0].numpy())

    straight = find_camera(keypoints, camera=Camera.create(SIZE, truth.focal_px))
    inside = changed(keypoints, bent)
    for known in (camera, camera.resized((500, 375))):
        found = find_camera(inside, camera=known)
        np.testing.assert_allclose(found.up_cam, straight.up_cam, atol=0.03)
        assert found.height_m == pytest.approx(straight.height_m, rel=0.1)


def test_known_statures_fix_the_height() -> None:
    truth = SCENES.true_camera(60.0, 20.0, 0.0, 2.0)
    keypoints, _ = drawn(5, 6, "photo", truth)
    free = find_camera(keypoints, camera=truth.camera)
    small = find_camera(keypoints, camera=truth.camera, height_m=1.36)
    told = changed(keypoints, lambda person: replace(person, height_m=1.36))
    assert small.height_m == pytest.approx(0.8 * free.height_m, rel=0.05)
    assert small.height_sigma_m / small.height_m <= free.height_sigma_m / free.height_m
    assert find_camera(told, camera=truth.camera).height_m == pytest.approx(small.height_m)


def test_the_result_depends_on_nothing_but_the_keypoints() -> None:
    keypoints, _ = drawn(6, 6, "photo")
    one, other = find_camera(keypoints), find_camera(keypoints)
    assert one == other or vars(one) == vars(other)
    swapped = replace(keypoints, frames=tuple(replace(frame, people=frame.people[::-1]) for frame in keypoints.frames))
    assert find_camera(swapped).focal_px == pytest.approx(one.focal_px, rel=0.02)
    double = changed(
        keypoints, lambda p: replace(p, keypoints_px=2.0 * p.keypoints_px), image_size=(2 * SIZE[0], 2 * SIZE[1])
    )
    twice = find_camera(double)
    assert twice.focal_px == pytest.approx(2.0 * one.focal_px, rel=0.02)
    assert twice.pitch_rad == pytest.approx(one.pitch_rad, abs=0.01)


@pytest.mark.parametrize("joints", ["coco17", "mediapipe33", "openpose25", "halpe26", "lsp14", "lcr13"])
def test_other_joint_sets_tell_the_same(joints: str) -> None:
    truth = SCENES.true_camera(60.0, 20.0, 5.0, 2.0)
    keypoints, _ = drawn(7, 8, "photo", truth)
    names = get_skeleton(joints).joints
    middle = {"Neck": "Thorax", "MidHip": "Hip"}

    def other(person: PersonKeypoints) -> PersonKeypoints:
        points = np.full((len(names), 2), np.nan)
        for row, name in enumerate(names):
            name = middle.get(name, name)
            if name in H36M.joints and name not in ("Nose", "Head"):
                points[row] = person.keypoints_px[H36M.index(name)]
        return replace(person, keypoints_px=points, confidence=np.isfinite(points[:, 0]).astype(float))

    found = find_camera(changed(keypoints, other, skeleton=get_skeleton(joints)), camera=truth.camera)
    assert found.people >= 7
    np.testing.assert_allclose(found.up_cam, find_camera(keypoints, camera=truth.camera).up_cam, atol=0.02)


def test_those_who_do_not_stand_on_the_floor_are_left_out() -> None:
    truth = SCENES.true_camera(60.0, 20.0, 0.0, 2.0)
    keypoints, _ = drawn(8, 12, "photo", truth)
    (frame,) = keypoints.frames
    aloft = [
        replace(person, id=100 + number, keypoints_px=person.keypoints_px * 0.6 + np.array([200.0, -10.0]))
        for number, person in enumerate(frame.people[:3])
    ]
    found = find_camera(
        replace(keypoints, frames=(replace(frame, people=(*frame.people, *aloft)),)), camera=truth.camera
    )
    clean = find_camera(keypoints, camera=truth.camera)
    assert math.degrees(math.acos(min(float(found.up_cam @ clean.up_cam), 1.0))) < 4.0
    assert found.height_m == pytest.approx(clean.height_m, rel=0.2)


def test_a_jump_does_not_move_the_floor() -> None:
    truth = SCENES.true_camera(60.0, 20.0, 0.0, 2.0)
    keypoints, _ = drawn(9, 2, "walk", truth)
    frames = []
    for frame in keypoints.frames:
        lift = np.array([0.0, -90.0 if frame.index in (10, 11, 12, 13, 14, 30, 31, 32) else 0.0])
        people = tuple(replace(person, keypoints_px=person.keypoints_px + lift) for person in frame.people)
        frames.append(replace(frame, people=people))
    calm = find_camera(keypoints, camera=truth.camera)
    jumped = find_camera(replace(keypoints, frames=tuple(frames)), camera=truth.camera)
    assert jumped.poses < calm.poses + 4
    assert math.degrees(math.acos(min(float(jumped.up_cam @ calm.up_cam), 1.0))) < 3.0


# ---- what they do not tell


def test_one_person_who_stands_tells_nothing_however_long() -> None:
    for seed in range(3):
        for kind in ("photo", "stand"):
            found = find_camera(drawn(10 + seed, 1, kind)[0])
            assert not found.focal_found
            assert not found.world_found
            assert found.poses <= 3
            assert found.focal_sigma == Priors().focal_sd
            assert found.focal_px == pytest.approx(28.0 * math.hypot(*SIZE) / math.hypot(36.0, 24.0))
            assert found.scale_source == "assumed_focal"
            assert "cannot be told" in found.in_words()


def test_a_level_camera_cannot_tell_its_focal_length() -> None:
    truth = SCENES.true_camera(60.0, 0.0, 0.0, 1.6)
    found = find_camera(drawn(13, 8, "photo", truth)[0])
    assert not found.focal_found
    assert found.focal_sigma == Priors().focal_sd


@pytest.mark.slow
def test_stated_deviations_are_true() -> None:
    """Over cameras of all kinds: how often errors are below what is stated, and how many are found at all."""
    rows = []
    for case, (people, kind) in {"six": (6, "photo"), "crowd": (20, "photo"), "walk": (2, "walk")}.items():
        for seed in range(24):
            keypoints, truth = drawn(1000 + 37 * seed + len(case), people, kind)
            rows.append(SCRIPT.errors(find_camera(keypoints), truth))
    for name in ("pitch", "roll", "height"):
        assert 0.55 <= np.mean([one[f"{name}_within"] for one in rows]) <= 0.86, name
    told = [one for one in rows if one["focal_found"]]
    assert 0.55 <= np.mean([one["focal_within"] for one in told]) <= 0.86
    assert len(told) > 0.5 * len(rows)
    assert np.mean([one["world_found"] for one in rows]) > 0.85


# ---- bad input


def missing(person: PersonKeypoints, *kept: str) -> PersonKeypoints:
    points = np.full((17, 2), np.nan)
    for name in kept:
        points[H36M.index(name)] = person.keypoints_px[H36M.index(name)]
    return replace(person, keypoints_px=points, confidence=np.isfinite(points[:, 0]).astype(float))


BAD: dict[str, Callable[[Keypoints], Keypoints]] = {
    "no frame": lambda seen: replace(seen, frames=()),
    "nobody": lambda seen: replace(seen, frames=(KeypointFrame(index=0), KeypointFrame(index=7))),
    "one joint": lambda seen: changed(seen, lambda p: missing(p, "RAnkle")),
    "no ankles": lambda seen: changed(seen, lambda p: missing(p, "Hip", "Thorax", "RHip", "LHip")),
    "no joint": lambda seen: changed(seen, missing),
    "unsure": lambda seen: changed(seen, lambda p: replace(p, confidence=np.full(17, 0.1))),
    "all lie": lambda seen: changed(seen, lambda p: replace(p, keypoints_px=p.keypoints_px[:, ::-1].copy())),
    "on their heads": lambda seen: changed(seen, lambda p: replace(p, keypoints_px=750.0 - p.keypoints_px)),
    "one point": lambda seen: changed(seen, lambda p: replace(p, keypoints_px=np.full((17, 2), 300.0))),
    "far outside": lambda seen: changed(seen, lambda p: replace(p, keypoints_px=1e12 * p.keypoints_px)),
    "a tiny picture": lambda seen: changed(
        seen, lambda p: replace(p, keypoints_px=p.keypoints_px / 200.0), image_size=(5, 4)
    ),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("known", [False, True])
def test_what_shows_nobody_upright_is_said_so(kind: str, known: bool) -> None:
    keypoints = BAD[kind](drawn(14, 4, "photo")[0])
    width, height = keypoints.image_size
    found = find_camera(keypoints, camera=Camera.create((width, height), float(width)) if known else None)
    assert found.people == found.poses == 0
    assert not found.focal_found
    assert found.world is None
    assert found.placed().has_world is False
    assert found.in_words().startswith("nobody is seen upright")


def test_all_in_one_place_is_no_scene() -> None:
    keypoints, _ = drawn(15, 5, "photo")
    same = keypoints.frames[0].people[0].keypoints_px
    found = find_camera(changed(keypoints, lambda person: replace(person, keypoints_px=same)))
    assert not found.focal_found
    assert not found.world_found
    assert np.isfinite([found.focal_px, found.pitch_rad, found.roll_rad, found.height_m, found.height_sigma_m]).all()


def crowd(people: int, frames: int, *, ids: bool) -> Keypoints:
    """People strewn over the picture anew in each frame, the upper ones smaller."""
    rng = np.random.default_rng(0)
    body = np.stack([SCENES.BODY[:, 0], 0.53 - SCENES.BODY[:, 2]], -1)
    rows = []
    for number in range(frames):
        places = rng.uniform([0.1, 0.2], [0.9, 0.8], (people, 2)) * np.array(SIZE)
        found = tuple(
            PersonKeypoints(keypoints_px=place + 0.4 * place[1] * body, confidence=np.ones(17), id=row if ids else None)
            for row, place in enumerate(places)
        )
        rows.append(KeypointFrame(index=number, people=found))
    return Keypoints(skeleton=H36M, image_size=SIZE, frames=tuple(rows), fps=30.0)


@pytest.mark.parametrize(("people", "frames", "ids"), [(200, 1, False), (40, 30, False), (3, 1500, True)])
def test_many_people_and_frames_take_bounded_time(people: int, frames: int, ids: bool) -> None:
    keypoints = crowd(people, frames, ids=ids)
    start = time.perf_counter()
    sticks = sticks_of(keypoints)
    assert sticks.tracks <= 120
    assert len(sticks.track) <= 480
    find_camera(keypoints)
    assert time.perf_counter() - start < 30.0


# ---- the parts


def test_people_without_id_are_linked_by_where_they_are() -> None:
    truth = SCENES.true_camera(70.0, 15.0, 0.0, 2.0)
    keypoints, _ = drawn(16, 3, "walk", truth)
    named = sticks_of(keypoints)
    nameless = sticks_of(changed(keypoints, lambda person: replace(person, id=None)))
    assert named.tracks == 3
    assert 3 <= nameless.tracks <= 5  # who passes before another may change the name
    assert len(nameless.track) == pytest.approx(len(named.track), abs=6)


def test_links_end_with_a_gap_and_with_a_leap() -> None:
    foot = np.array([[100.0, 300.0], [104.0, 300.0], [400.0, 300.0], [404.0, 300.0]])
    top = foot - np.array([0.0, 100.0])
    none = np.full(4, -1)
    assert linked(none, np.array([0.0, 0.2, 0.2, 0.4]), foot, top).tolist() == [0, 0, 1, 1]
    assert linked(none, np.array([0.0, 0.2, 0.4, 2.4]), foot, top).tolist() == [0, 0, 1, 2]
    assert linked(np.array([7, 3, 7, -1]), np.arange(4) * 0.2, foot, top).tolist() == [1, 0, 1, 2]


def test_up_and_floor_are_the_places() -> None:
    found = find_camera(drawn(1, 20, "photo", SCENES.true_camera(60.0, 25.0, -8.0, 2.5))[0])
    camera = found.placed()
    assert camera.has_world
    np.testing.assert_allclose(camera.position_world.numpy(), [0.0, 0.0, found.height_m], atol=1e-9)
    assert camera.rotation is not None
    np.testing.assert_allclose(camera.rotation.numpy() @ camera.rotation.numpy().T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(torch.linalg.det(camera.rotation), 1.0)
    world = found.world
    assert world is not None
    points = np.random.default_rng(0).normal(size=(5, 3)) + np.array([0.0, 0.0, 4.0])
    above = camera.camera_to_world(torch.from_numpy(points)).numpy()[:, 2]
    np.testing.assert_allclose(points @ world.floor_cam[:3] + world.floor_cam[3], above, atol=1e-9)
    np.testing.assert_allclose(world.up_cam, up_from_angles(np.array(found.pitch_rad), np.array(found.roll_rad)))
    lens = replace(Camera.create(SIZE, 800.0, (490.0, 380.0)), distortion=Distortion.create("brown_conrady", [-0.1]))
    placed = found.placed(lens)
    assert placed.distortion is lens.distortion
    assert placed.center_px.tolist() == [490.0, 380.0]


def test_the_closed_form_is_the_density_of_simulated_people() -> None:
    """Slow twin: the covariance that is integrated out equals that of people drawn at random before one camera."""
    from sightline.self_calibration import posterior as model

    rng = np.random.default_rng(0)
    focal, pitch, roll, height = 900.0, 0.3, 0.1, 2.0
    up = up_from_angles(np.array(pitch), np.array(roll))
    right = np.array([-up[1], up[0], 0.0]) / math.hypot(up[0], up[1])
    ahead = np.cross(up, right)
    foot = np.array([[60.0, 180.0]])
    ray = np.array([*(foot[0] / focal), 1.0])
    count = 40_000
    lift = model.LIFT_M + rng.normal(0.0, math.hypot(model.LIFT_SD_M, model.LIFT_BIAS_SD_M), count)
    size = np.exp(rng.normal(0.0, math.hypot(Priors().stature_sd, model.SIZE_SD), count))
    lean = rng.normal(0.0, math.hypot(model.LEAN_SD, model.LEAN_BIAS_SD), (count, 2))
    base = ray * ((height - lift) / -(ray @ up))[:, None] - lift[:, None] * up
    length = (size * model.TOP_SHARE * Priors().stature_m)[:, None]
    tops = base + length * (up + lean[:, :1] * right + lean[:, 1:] * ahead)
    seen = tops[:, :2] / tops[:, 2:] * focal
    top = np.median(seen, axis=0)[None]
    keypoints = sticks_of(drawn(17, 1, "photo")[0])
    sticks = replace(keypoints, foot_px=foot, top_px=top, track=np.zeros(1, dtype=int), height_m=np.array([np.nan]))
    density = Posterior(sticks, 1000.0, Priors())
    theta = np.array([[math.log(focal), pitch, roll, math.log(height)]])
    parts = density._seen(theta)
    _, _, precision = density._components
    pixels = density._pixel_var[0] * np.eye(2)
    stated = np.linalg.inv(parts.weight[0, 0]) + (parts.slope[0, 0] / precision[0, 0]) @ parts.slope[0, 0].T
    noise_of_feet = (
        np.linalg.inv(parts.weight[0, 0])
        - (parts.slope[0, 0] * np.square([model.SIZE_SD, model.LEAN_SD, model.LEAN_SD, model.LIFT_SD_M]))
        @ parts.slope[0, 0].T
    )
    np.testing.assert_allclose(stated - noise_of_feet, np.cov(seen.T), rtol=0.08, atol=6.0)
    assert (np.linalg.eigvalsh(noise_of_feet - pixels) > 0.0).all()


def test_the_search_finds_a_gaussian() -> None:
    mean, root = np.array([0.3, -0.2, 0.1]), np.array([[0.2, 0.0, 0.0], [0.1, 0.1, 0.0], [-0.05, 0.02, 0.03]])
    precision = np.linalg.inv(root @ root.T)

    def density(theta: np.ndarray) -> np.ndarray:
        away = theta - mean
        return -0.5 * np.einsum("hi,ij,hj->h", away, precision, away)

    mode = highest(density, scan(density, -np.ones(3), np.ones(3)))
    found = believed(density, mode, np.ones(3))
    np.testing.assert_allclose(mode, mean, atol=1e-2)
    np.testing.assert_allclose(found.mean, mean, atol=0.03)
    np.testing.assert_allclose(found.covariance, root @ root.T, atol=6e-3)


def test_the_search_finds_the_mean_of_a_skewed_density() -> None:
    def density(theta: np.ndarray) -> np.ndarray:  # log-normal in the first, its scale in the second
        return -0.5 * np.square(theta[:, 0] / 0.2) - 0.5 * np.square((theta[:, 1] - np.square(theta[:, 0])) / 0.05)

    found = believed(density, highest(density, np.zeros((1, 2))), np.ones(2))
    assert found.mean[1] == pytest.approx(0.04, abs=0.015)


# ---- real people


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/real")
def test_two_people_who_stay_in_their_places_tell_nothing_and_claim_nothing() -> None:
    """Four real views of 1.7 s; roll shows in one pose, pitch and focal length do not."""
    rows = SCRIPT.of_real(REAL)
    assert [(row["what"], row["known"]) for row in rows] == [
        (f"cam0{view}", known) for view in range(1, 5) for known in (False, True)
    ]
    for row in rows:
        assert not row["focal_found"]
        assert not row["world_found"]
        assert row["roll"] < math.radians(4.0)
        assert row["roll"] < row["roll_stated"]
        assert row["pitch"] < 3.0 * row["pitch_stated"]


# ---- the page


def test_the_pages_tables_are_the_committed_run() -> None:
    report = json.loads((ROOT / "benchmarks/results/self_calibration.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/cameras.md").read_text(encoding="utf-8")
    assert SCRIPT.rewritten(page, report) == page, "run python docs/figures/measure_self_calibration.py --table"
    rows = {group: [row for row in report["rows"] if row["group"] == group] for group in ("made up", "motion capture")}
    assert [row["what"] for row in rows["made up"]] == [*SCRIPT.CASES, "all of these"]
    assert [row["what"] for row in rows["motion capture"]] == [*SCRIPT.MOCAP_CASES, "all of these"]
    for group in rows.values():
        assert 0.6 <= group[-1]["focal_within"] <= 0.8
        assert 0.6 <= group[-1]["world_within"] <= 0.8


def test_the_script_measures() -> None:
    case = SCRIPT.asked(lambda rng: SCENES.scene(rng, 6, "photo"), 0, 2)
    one, together = SCRIPT.rows_of("made up", {"a photo of 6 people": case})
    assert one["scenes"] == 2
    assert 0.0 <= one["world_found"] <= 1.0
    assert {**together, "what": one["what"]} == one
    meta = {"command": "c", "hardware": "h", "versions": {"numpy": "2"}, "date": "d", "notes": ["n"]}
    text = SCRIPT.table({"rows": [one | {"focal_error": None}, together], "meta": meta})
    assert "| a photo of 6 people |" in text
    assert "Made-up scenes" in text
    assert "real views" not in text
