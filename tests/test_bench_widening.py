"""The benchmark of widenings: each variant turns back what it says, and networks are told what they know."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import sightline.bench.widening as widening_file
from sightline.bench.widening import (
    EVERYTHING,
    NOTHING,
    WIDENINGS,
    Told,
    as_h36m17,
    bench_widening,
    conditions,
    run_one,
    small,
    variants,
    without,
)
from sightline.camera import Camera
from sightline.cli import main
from sightline.data.detected import DetectionConfig, detect_views
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import CameraConfig, PeopleConfig, sample_views, step_generator
from sightline.landmarks import as_landmarks
from sightline.methods.abspose.partial import Detected
from sightline.recipes.partial import abspose_street_base
from sightline.skeleton import conversion, get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

BASE = abspose_street_base()


@pytest.mark.parametrize("name", WIDENINGS)
def test_a_variant_turns_back_what_the_recipe_has_widened_and_nothing_else(name: str) -> None:
    changes, changed = WIDENINGS[name], without(BASE, WIDENINGS[name])
    assert {f.name for f in fields(BASE) if getattr(BASE, f.name) != getattr(changed, f.name)} == set(changes)
    for part, values in changes.items():
        before, after = getattr(BASE, part), getattr(changed, part)
        assert {f.name for f in fields(before) if getattr(before, f.name) != getattr(after, f.name)} == set(values)


def test_all_knobs_of_the_recipe_are_turned_back_by_some_variant() -> None:
    """Those that differ from a plain recipe, apart from how far and how often, which other knobs decide."""
    turned = {(part, field) for changes in WIDENINGS.values() for part, values in changes.items() for field in values}
    plain = {"people": PeopleConfig(), "cameras": CameraConfig(), "detections": DetectionConfig(missing_share=0.0)}
    widened = {
        (part, f.name)
        for part, config in plain.items()
        for f in fields(config)
        if getattr(getattr(BASE, part), f.name) != getattr(config, f.name)
    }
    assert widened - turned == {("people", "swing_std"), ("people", "check"), ("detections", "clean_share")}


def test_one_seed_for_all_and_more_for_everything() -> None:
    runs = variants(BASE, (3, 4))
    assert list(runs)[:2] == [(EVERYTHING, 3), (EVERYTHING, 4)]
    assert len(runs) == len(WIDENINGS) + 3
    assert all(config.seed == seed for (_, seed), config in runs.items())
    assert {seed for (name, seed) in runs if name != EVERYTHING} == {3}
    nothing = runs[NOTHING, 3]
    assert (nothing.people, nothing.cameras, nothing.detections) == (PeopleConfig(), CameraConfig(), DetectionConfig())
    assert all(config.model == BASE.model and config.steps == BASE.steps for config in runs.values())


def test_what_networks_have_learned_to_be_told() -> None:
    told = {name: Told.of(config.detections) for (name, _), config in variants(BASE, (0,)).items()}
    full = Told(gravity=True, confidences=True, joint_sets=True)
    assert told.pop(NOTHING) == Told(gravity=False, confidences=False, joint_sets=False)
    assert told.pop("without known gravity") == replace(full, gravity=False)
    assert told.pop("without noise and confidences") == replace(full, confidences=False)
    assert told.pop("without several joint sets") == replace(full, joint_sets=False)
    assert set(told.values()) == {full}


def street() -> Detected:
    test = conditions()["street"]
    joints = procedural_poses(50, step_generator(1, 0))
    views = sample_views(joints, 200, step_generator(2, 0), test.people, test.cameras)
    return Detected(*detect_views(views, step_generator(2, 1), replace(test.detections, up_share=1.0)))


def test_joints_follow_by_rule_as_those_of_a_keypoint_file_do() -> None:
    """Detections and the very same as a file's keypoints, by two ways to what a network that knows h36m17 is told."""
    detected, skeleton = street(), get_skeleton("mediapipe33")
    found = as_h36m17(detected, "mediapipe33")
    assert not found.seen[:, 17:].any()
    assert 0.3 < float(found.seen[:, :17].float().mean()) < 1
    rows = widening_file.landmark_rows(skeleton)
    points = np.full((200, len(skeleton), 2), np.nan)
    sure = np.zeros((200, len(skeleton)))
    for landmark, joint in rows.items():
        points[:, joint] = np.where(detected.seen[:, landmark, None], detected.rays[:, landmark], np.nan)
        sure[:, joint] = detected.confidence[:, landmark]
    converted, confidence = conversion(skeleton, "h36m17").apply(points, sure)
    assert confidence is not None
    there, trust = as_landmarks(get_skeleton("h36m17"), converted, confidence)
    assert_close(found.seen, torch.from_numpy(np.isfinite(there).all(-1)))
    assert_close(found.rays, torch.from_numpy(np.nan_to_num(there)).float())
    assert_close(found.confidence, torch.from_numpy(trust).float())
    hips = detected.seen[:, 1] & detected.seen[:, 4]
    assert_close(found.rays[hips, 0], detected.rays[hips][:, [1, 4]].mean(1))


def test_networks_are_told_only_what_they_know() -> None:
    detected = street()
    full = Told(gravity=True, confidences=True, joint_sets=True)
    assert all(map(torch.equal, full.detected(detected, "mediapipe33"), detected))
    blind = replace(full, gravity=False).detected(detected, "mediapipe33")
    assert not blind.up_cam.any()
    assert torch.equal(blind.confidence, detected.confidence)
    sure = replace(full, confidences=False).detected(detected, "mediapipe33")
    assert torch.equal(sure.confidence, detected.seen.float())
    assert torch.equal(sure.rays, detected.rays)
    exact = detected._replace(up_cam=detected.up_cam)
    assert torch.equal(replace(full, joint_sets=False).detected(exact, "h36m17").rays, exact.rays)


def test_the_same_holds_for_keypoints_and_cameras() -> None:
    points = np.random.default_rng(0).uniform(100, 900, (33, 2))
    points[31] = np.nan
    confidence = np.where(np.isnan(points[:, 0]), 0.0, 0.4)
    frame = KeypointFrame(index=0, people=(PersonKeypoints(keypoints_px=points, confidence=confidence, id=7),))
    keypoints = Keypoints(
        skeleton=get_skeleton("mediapipe33"), image_size=(1000, 1000), frames=(frame,), fps=None
    )  # fmt: skip
    plain = Told(gravity=False, confidences=False, joint_sets=False)
    (person,) = plain.keypoints(keypoints).frames[0].people
    assert person.keypoints_px.shape == (17, 2)
    assert (person.confidence == 1).all()
    assert person.id == 7
    full = Told(gravity=True, confidences=True, joint_sets=True)
    (person,) = full.keypoints(keypoints).frames[0].people
    assert np.array_equal(person.keypoints_px, points, equal_nan=True)
    assert np.array_equal(person.confidence, confidence)
    camera = Camera(
        image_size=torch.tensor([1000.0, 1000.0]), focal_px=torch.tensor([900.0, 900.0]),
        center_px=torch.tensor([500.0, 500.0]), rotation=torch.eye(3), translation_m=torch.zeros(3),
    )  # fmt: skip
    assert full.camera(camera) is camera
    assert plain.camera(camera).rotation is None


def test_a_variant_is_trained_scored_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(3, 16, 32)
    first = run_one(EVERYTHING, config, None, None, 128, tmp_path)
    assert set(first["scores"]) == set(conditions())
    for scores in first["scores"].values():
        assert set(scores) == {"mpjpe", "pa_mpjpe", "mrpe", "root_median"}
        assert all(math.isfinite(value) and value > 0 for value in scores.values())
        assert scores["pa_mpjpe"] <= scores["mpjpe"]
    monkeypatch.setattr(widening_file, "train_lifter", lambda *_: pytest.fail("trained again"))
    again = run_one(EVERYTHING, config, None, None, 128, tmp_path)
    assert again.pop("from_cache") is True
    assert again == json.loads(json.dumps(first))
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run_one(EVERYTHING, replace(config, seed=1), None, None, 128, tmp_path)


def test_the_report_names_each_variant_and_its_circumstances(monkeypatch: pytest.MonkeyPatch) -> None:
    def pretended(work: object, calls: list[tuple], **_: object) -> list[dict]:
        assert work is run_one
        scores = {"plain": {"mpjpe": 0.05}}
        return [{"variant": name, "seed": config.seed, "seconds": 1.0, "scores": scores} for name, config, *_ in calls]

    monkeypatch.setattr(widening_file, "in_processes", pretended)
    measured = bench_widening(None, quick=True, seeds=(0, 1))
    rows = {row["variant"]: row for row in measured.rows}
    assert set(rows) == {EVERYTHING, NOTHING, *(f"without {name}" for name in WIDENINGS)}
    assert {name for name, row in rows.items() if row["seeds"] == 2} == {EVERYTHING}
    assert rows[NOTHING]["mpjpe_mm"] == pytest.approx(50)
    assert any("30000 steps" in note for note in measured.notes)
    assert not any(note.startswith("real") for note in measured.notes)


def test_it_needs_motion_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "widening", "-o", str(tmp_path)]) == 2
    assert "--library: this benchmark needs motion capture" in capsys.readouterr().err


@pytest.mark.slow
def test_the_quick_benchmark_prints_the_contracts_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sightline.cli", "bench", "widening", "--quick", "--json", "--jobs", "1"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["bench"] == "widening"
    assert {(row["variant"], row["test"]) for row in report["rows"]} == {
        (name, test) for name, _ in variants(BASE, (0,)) for test in conditions()
    }
    assert not list(tmp_path.iterdir())
