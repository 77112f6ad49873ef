"""The benchmarks of rendered people: twins agree, claims are those of the rows, errors are what they say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("warp", reason="drawing people needs the package warp-lang")

import sightline.bench.render as render_file
import sightline.bench.render_domain as domain_file
from sightline.bench.render import bench_render
from sightline.bench.render_domain import bench_render_domain, domain_looks, summary, variants
from sightline.bench.render_likeness import Look, draw_looks, looked_at, offset_rows, torso_px
from sightline.bench.render_twins import drawn_visible, ray_cast_visible, z_buffer_visible
from sightline.cli import main
from sightline.detect.protocol import Detection
from sightline.errors import UsageError
from sightline.geometry.distortion import Distortion
from sightline.landmarks import rows_of
from sightline.skeleton import Skeleton, get_skeleton
from sightline.synth.config import SceneConfig
from sightline.synth.poses import PoseSource
from sightline.synth.render import render
from sightline.synth.rendered import Rendered
from sightline.synth.scene import Scene
from synth_scenes import ball_person, board, camera_at, scene

COCO, MEDIAPIPE = get_skeleton("coco17"), get_skeleton("mediapipe33")
BONES = ("spine01", "root", "head", *(f"{bone}.{side}" for side in "LR" for bone in (
    "upperarm01", "lowerarm01", "upperleg01", "lowerleg01", "foot", "wrist"
)))  # fmt: skip


# ---- twins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lens", [None, Distortion.create("kannala_brandt", [0.05, -0.01, 0.0, 0.0])])
def test_the_twins_see_what_is_drawn(lens: Distortion | None) -> None:
    first = ball_person()
    cut = (first.figure.vertices[:, 0] + 0.1).astype(np.float32)
    first = replace(first, figure=replace(first.figure, cut=cut))
    camera = camera_at(distortion=lens)
    drawn = scene(first, ball_person((0.2, 1.0)), camera=camera, props=(board((0.5, -0.5, 0.5)),))
    ours = drawn_visible(drawn)
    assert 0.05 < (ours.face >= 0).mean() < 0.9
    whole = drawn_visible(replace(drawn, actors=(ball_person(), drawn.actors[1])))
    assert (ours.face != whole.face).any()  # something shows through where the first is cut
    for twin in (ray_cast_visible, z_buffer_visible):
        theirs = twin(drawn)
        assert ((theirs.face >= 0) == (ours.face >= 0)).mean() > 0.999
        assert (theirs.face == ours.face).mean() > 0.99
        both = (theirs.face >= 0) & (ours.face >= 0)
        np.testing.assert_allclose(theirs.depth_m[both], ours.depth_m[both], atol=2e-3)


def test_their_faces_are_counted_through_the_scene() -> None:
    drawn = scene(ball_person(), ball_person((0.8, 0.0)))
    count = len(drawn.actors[0].figure.faces)
    for way in (drawn_visible, ray_cast_visible, z_buffer_visible):
        face = way(drawn).face
        assert {0, 1} == set(np.unique(face[face >= 0] // count).tolist())


# ---- speed and memory ----------------------------------------------------------------------------------------------


def small_scene(config: SceneConfig, poses: PoseSource, seed: int, index: int) -> Scene:
    width, height = config.image_sizes[0]
    people = [ball_person((0.5 * number, 0.0)) for number in range(config.crowd.people[0])]
    return scene(*people, camera=camera_at(size=(width // 8, height // 8)))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_file, "draw_scene", small_scene)


def test_the_quick_benchmark(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "render", "--quick", "--renders", "30", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {claim["id"]: claim["target"] for claim in report["claims"]} == {"render-speed": 25, "memory": 0.05}
    rows = {row["what"]: row for row in report["rows"]}
    assert list(rows)[:4] == [
        "128 × 128 px, 1 person", "128 × 128 px, 2 people", "256 × 256 px, 1 person", "256 × 256 px, 2 people"
    ]  # fmt: skip
    speed = rows["256 × 256 px, 1 person"]
    assert speed["pictures_per_second"] == pytest.approx(1000 / speed["ms"], rel=1e-3)
    assert 5 < speed["yardstick_ms"] < 10_000
    assert report["claims"][0]["value"] == pytest.approx(speed["pictures_per_second"], rel=1e-4)
    assert rows["visibility, ours"]["same"] == 1.0
    assert all(row["same"] > 0.99 for name, row in rows.items() if name.startswith("visibility"))
    assert 0 < rows["part: rendering"]["share"] <= 1
    parts = [row["share"] for name, row in rows.items() if name.endswith("(of rendering)")]
    assert len(parts) == 6
    assert sum(parts) <= rows["part: rendering"]["share"]
    memory = rows["memory over 30 renders of 64 × 64 px"]
    assert report["claims"][1]["value"] == pytest.approx(memory["growth"], abs=1e-5)
    assert memory["mebibytes_at_end"] > 50
    assert list(tmp_path.iterdir()) == []


def test_memory_that_grows_is_seen(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))
    monkeypatch.setattr(render_file, "_resident_mebibytes", lambda: 100.0 + next(calls))
    measured = bench_render(quick=True, renders=41)
    claim = next(claim for claim in measured.claims if claim.id == "memory")
    row = measured.rows[-1]
    assert row["mebibytes_per_1000"] == pytest.approx(1000.0)
    assert claim.value == pytest.approx(0.18, abs=0.03)
    assert not claim.holds


def test_too_few_renders_are_refused() -> None:
    with pytest.raises(UsageError, match="expected at least 2, got 1"):
        bench_render(quick=True, renders=1)


@pytest.mark.slow
def test_real_scenes_and_all_parts() -> None:
    pytest.importorskip("anny", reason="rendered people need the package anny")
    measured = bench_render(quick=True, renders=16)
    parts = {row["what"].removeprefix("part: ") for row in measured.rows if row["what"].startswith("part")}
    assert parts == set(render_file.PARTS)


# ---- the detector's eye --------------------------------------------------------------------------------------------


class Told:
    """A detector that says what it is told of each picture."""

    name = "told"
    single_person = True

    def __init__(self, answer: Callable[[], list[np.ndarray]], skeleton: Skeleton = MEDIAPIPE) -> None:
        self.answer, self.skeleton = answer, skeleton

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[Detection, ...]]:
        ones = np.ones(len(self.skeleton))
        return [tuple(Detection(keypoints_px=px, confidence=ones, score=1.0) for px in self.answer()) for _ in pictures]

    def close(self) -> None:
        pass


def standing_person(rng: np.random.Generator, yaw: float = 0.0) -> Scene:
    """A ball person whose landmarks lie about its middle, left to the left, all of them to be seen."""
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1.0]])
    actor = ball_person()
    points = rng.uniform(-0.05, 0.05, actor.landmarks_world.shape)
    for name, place in {
        "LShoulder": (0.1, 0.2),
        "RShoulder": (-0.1, 0.2),
        "LHip": (0.1, -0.2),
        "RHip": (-0.1, -0.2),
    }.items():
        points[rows_of(Skeleton("one", (name,), (-1,)))[0]] = (place[0], 0.0, place[1])
    actor = replace(
        actor,
        landmarks_world=points @ turn.T + [0, 0, 0.8],
        rotations=np.tile(turn, (len(BONES), 1, 1)),
    )
    return scene(actor, camera=camera_at(place=(0.0, -4.0, 0.8), target=(0.0, 0.0, 0.8), size=(96, 96)))


def seen(drawn: Scene) -> Rendered:
    """The picture with labels that say that nothing is hidden."""
    rendered = render(drawn)
    (person,) = rendered.people
    return replace(rendered, people=(replace(person, hidden_by=np.zeros_like(person.hidden_by)),))


def look(answer: Callable[[np.ndarray], list[np.ndarray]], yaw: float = 0.0, seed: int = 0) -> Look:
    rendered = seen(standing_person(np.random.default_rng(seed), yaw))
    truth = rendered.people[0].landmarks_px[list(rows_of(MEDIAPIPE))]
    return looked_at(rendered, Told(lambda: answer(truth)))


def test_errors_are_in_torsos_seen_square_on() -> None:
    torso = torso_px(render(standing_person(np.random.default_rng(0))))
    assert torso == pytest.approx(0.4 * 1.1 * 96 / 4.0, rel=1e-3)
    off = look(lambda truth: [truth + [0.3 * torso, 0.0]])
    assert off.visible.sum() > 12
    np.testing.assert_allclose(off.error[off.visible], 0.3, atol=1e-9)
    told = summary([off, look(lambda truth: [truth])])
    assert told["found"] == 1
    assert told["error"] == pytest.approx(0.15, abs=0.02)
    assert told["within_0.2"] == pytest.approx(0.5, abs=0.1)


def test_somebody_elsewhere_is_not_the_person() -> None:
    assert look(lambda truth: []).found_px is None
    assert look(lambda truth: [truth + 60.0]).found_px is None
    second = look(lambda truth: [truth + 60.0, truth + 1.0])
    assert second.found_px is not None
    told = summary([second, look(lambda truth: [])])
    assert (told["found"], told["pictures"]) == (0.5, 2)
    assert summary([look(lambda truth: [])]) == {"pictures": 1, "found": 0.0}
    assert summary([]) == {"pictures": 0}


def test_swapped_sides_are_seen() -> None:
    assert look(lambda truth: [truth[list(MEDIAPIPE.flip)]]).swapped
    assert not look(lambda truth: [truth]).swapped


def test_a_constant_offset_of_a_joint_is_found_from_people_seen_from_all_around() -> None:
    offset, number = np.array([0.03, 0.01, -0.02]), MEDIAPIPE.index("LKnee")
    looks = []
    for seed in range(24):
        yaw = 2 * np.pi * seed / 24
        rendered = seen(standing_person(np.random.default_rng(seed), yaw))
        person = rendered.people[0]
        row = rows_of(MEDIAPIPE)[number]
        moved = person.landmarks_cam[row] + person.rotations_cam[0] @ offset
        # the offset's part along the line of sight is not seen: put the joint at its old depth
        moved[2] = person.landmarks_cam[row, 2]
        px = person.landmarks_px[list(rows_of(MEDIAPIPE))].copy()
        px[number] = rendered.camera.project(torch.tensor(moved))[0].numpy()
        looks.append(looked_at(rendered, Told(lambda px=px: [px])))
    rows = {row["what"]: row for row in offset_rows(looks, MEDIAPIPE, BONES)}
    np.testing.assert_allclose(rows["joint LKnee"]["offset_mm"], 1000 * offset, atol=1.5)
    assert rows["joint LKnee"]["median_less_offset_mm"] < 1 < rows["joint LKnee"]["median_mm"]
    assert rows["joint RKnee"]["offset_mm"] == [0, 0, 0]


def test_pictures_of_missed_and_worst_people_are_kept(tmp_path: Path) -> None:
    draw_looks([look(lambda truth: []), look(lambda truth: [truth + 2.0])], tmp_path / "seen")
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["missed-00.png", "worst-00.png"]


def test_only_whole_people_whom_nothing_hides_count() -> None:
    free = standing_person(np.random.default_rng(0))
    hidden = replace(free, props=(board((0.0, -1.0, 0.8), half=0.2),))
    outside = replace(free, camera=camera_at(place=(0.0, -4.0, 0.8), target=(1.5, 0.0, 0.8), size=(96, 96)))
    crowd = replace(free, actors=(*free.actors, ball_person((0.6, 0.0))))
    scenes = [hidden, outside, crowd, free, free]
    looks = domain_looks(variants()["everything on"], lambda _, index: scenes[index], Told(lambda: []), 2)
    assert len(looks) == 2
    assert all(len(each.rendered.people) == 1 for each in looks)


def test_each_kind_changes_one_thing() -> None:
    kinds = variants()
    whole = kinds["everything on"]
    assert whole.crowd.people == (1, 1)
    for name, config in kinds.items():
        if name.startswith("without"):
            changed = [field for field in vars(config) if getattr(config, field) != getattr(whole, field)]
            assert len(changed) == 1, name


def test_the_domain_benchmark_claims_what_its_first_row_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = standing_person(np.random.default_rng(0))
    truth = render(free).people[0].landmarks_px[list(rows_of(MEDIAPIPE))]
    monkeypatch.setattr(domain_file, "load_detector", lambda *_, **__: Told(lambda: [truth + 1.0]))
    monkeypatch.setattr(domain_file, "_drawer", lambda poses: lambda config, index: free)
    monkeypatch.setattr(domain_file, "_bones", lambda: BONES)
    measured = bench_render_domain(quick=True, figures=tmp_path / "seen")
    first = measured.rows[0]
    assert first["what"] == "everything on"
    assert [claim.value for claim in measured.claims] == [first["found"], first["error"]] == [1.0, first["error"]]
    assert all(claim.holds == (claim.id == "found" or first["error"] <= 0.1) for claim in measured.claims)
    assert [row["what"] for row in measured.rows][: len(variants())] == list(variants())


def test_where_nobody_is_found_figures_are_left_out_and_the_claim_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = standing_person(np.random.default_rng(0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(domain_file, "load_detector", lambda *_, **__: Told(lambda: []))
    monkeypatch.setattr(domain_file, "_drawer", lambda poses: lambda config, index: free)
    monkeypatch.setattr(domain_file, "_bones", lambda: BONES)
    assert main(["bench", "render-domain", "--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(claim["id"], claim["value"], claim["holds"]) for claim in report["claims"]] == [("found", 0.0, False)]
    assert report["rows"][0] == {"what": "everything on", "pictures": 2, "found": 0.0}


def test_without_mediapipe_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    assert main(["bench", "render-domain", "--quick"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "mediapipe" in line
    assert "install" in line


@pytest.mark.slow
def test_mediapipe_believes_rendered_people() -> None:
    pytest.importorskip("mediapipe")
    pytest.importorskip("anny", reason="rendered people need the package anny")
    measured = bench_render_domain(quick=True)
    found = [row["found"] for row in measured.rows if "found" in row]
    assert len(found) == len(variants())
    assert np.mean(found) > 0.6
