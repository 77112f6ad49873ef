"""LCR-Net++'s ablations: variants that differ in one thing, decodings of one network, claims by sign, a cache."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fake_renders import FakeRenders, written
from sightline.bench import lcrnet as bench
from sightline.bench import lcrnet_runs as runs
from sightline.bench.catalogue import BENCHES
from sightline.bench.lcrnet import QUICK, bench_lcrnet, rows
from sightline.bench.lcrnet_claims import REASONS, claims
from sightline.bench.lcrnet_poses import matching_rows, quantisation_rows
from sightline.bench.lcrnet_proposals import made_anchors
from sightline.bench.lcrnet_runs import (
    BASE,
    FLAT,
    POOLED,
    SOURCES,
    VARIANTS,
    Effort,
    Run,
    config_of,
    folders_of,
    picture_set,
    run_one,
    variants_of,
)
from sightline.bench.lcrnet_scoring import (
    BOUND,
    FIRST,
    NMS,
    PPI,
    best_proposals,
    both_found,
    by_block,
    decodings,
    f_measure,
    first_estimate,
    judged,
    leg_outside,
    of_best,
)
from sightline.bench.lcrnet_sets import ALL, MADE, ONE, TEST, largest_source, of_source
from sightline.bench.report import Measured, Row
from sightline.camera import Camera
from sightline.cli import main
from sightline.data.motion_library import MotionLibrary, read_library, write_library
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.errors import UsageError
from sightline.methods.lcrnet.decode import Modes, Proposals
from sightline.methods.lcrnet.network import LcrNet
from sightline.recipes.lcrnet import lcrnet_synth
from sightline.skeleton import get_skeleton
from sightline.training.lcrnet_scores import SceneScores, told
from sightline.training.scenes import Scene

LCR13 = get_skeleton("lcr13")
TINY = replace(QUICK, width_px=64)
"""For fake pictures, which are smaller."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Motion of two sources to train on, the second of which is larger, and some to test on."""
    clips = (("first", "train", 30), ("second", "train", 50), ("second", "train", 20), ("first", "test", 40),
             ("first", "val", 10))  # fmt: skip
    texts = {name: ("x",) * len(clips) for name in ("subjects", "actions", "licences", "skeletons", "takes")}
    made = MotionLibrary(
        joints_world=procedural_poses(150, step_generator(8, 0)).numpy(),
        clip_start=np.cumsum([0, *(frames for *_, frames in clips)]),
        names=tuple(f"clip{number}" for number in range(len(clips))),
        sources=tuple(source for source, *_ in clips),
        splits=tuple(split for _, split, _ in clips),
        source_frames=np.array([frames for *_, frames in clips]),
        fps=30.0,
        **texts,
    )
    path = tmp_path_factory.mktemp("motion") / "library.npz"
    write_library(made, path)
    return path


# ------------------------------------------------------------------------------------------------------------- claims

SCORES = {
    "base": 5, "without the iterative head": 3, "without upper-body classes": 2, "2D only": 4, "K = 10": 1,
    "K = 100": 6, "17 joints": 9, "one map, RoIAlign": 4, "one map, RoI pooling": 3, "poses made by rule": 1,
    "and one motion capture": 2, "and all motion capture": 3,
}  # fmt: skip
DECODED = {"NMS": 3, "PPI without rescoring": 4, "NMS without rescoring": 2, FIRST: 4, BOUND: 12}


def result(variant: str, score: float, sign: int, seed: int) -> dict[str, Any]:
    """Scores that are the better the larger the number is; for a sign of -1 the worse."""

    def of(number: float) -> dict[str, float]:
        better = sign * number
        return {"ap_percent": 50 + better, "pckh_percent": 60 + better, "mpjpe_mm": 100 - better + seed}

    scores = {PPI: of(score)}
    if variant == "base":
        scores |= {name: of(number) for name, number in DECODED.items()}
        for name, way in decodings(0.02, every=True).items():
            if name.startswith("PPI, "):
                scores[name] = of(3.2 + way.integration.iou + (way.integration.distance_m == 0.125))
            if name.startswith("NMS, "):
                scores[name] = of(2.5 + way.integration.iou)
    else:
        scores["NMS"] = of(score - 2)
    both = {"people": 5, "decodings": {PPI: PPI, NMS: NMS}, "mpjpe_mm": {PPI: 100.0 - sign, NMS: 100.0},
            "blocks": {PPI: [100.0 - sign] * 4, NMS: [100.0] * 4}}  # fmt: skip
    return {
        "variant": variant, "seed": seed, "parameters": 7, "anchors": 50, "joints": 13, "seconds": 3.0, "people": 9,
        "truncated_people": 4, "scores": scores, "truncated": {PPI: of(score)},
        "blocks": {"scores": {}, "truncated": {}}, "both_found": both if variant == "base" else None,
    }  # fmt: skip


def results(sign: int = 1, seeds: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
    return [result(name, score, sign, seed) for seed in seeds for name, score in SCORES.items()]


def poses(sign: int = 1) -> list[Row]:
    errors = [{"what": "quantisation", "anchors": count, "held_out_mm": 100 - sign * count} for count in (10, 1, 50)]
    matched = [
        {"what": "matching", "motion": motion, "distance_2d": 0.2 - sign * less, "distance_mm": 90 - sign * 100 * less}
        for motion, less in (("one", 0.0), ("all", 0.02))
    ]
    return [*errors, *matched]


def test_claims_hold_where_the_paper_is_right() -> None:
    made = {claim.id: claim for claim in claims(results(), poses())}
    assert len(made) == 27
    assert all(claim.holds for claim in made.values())
    assert made["ppi-ap"].value == pytest.approx(5 - 3.04)
    assert made["ppi-mpjpe"].value == pytest.approx(1)
    assert made["3d-ap"].value == pytest.approx(1)
    assert made["bound-pckh"].value == pytest.approx(7)
    assert made["sweep-t3d"].value == pytest.approx(1)
    assert made["anchors"].value == pytest.approx(5)
    assert made["matching-2d"].value == pytest.approx(0.1)


def test_claims_fail_where_it_is_not() -> None:
    made = claims(results(-1), poses(-1))
    assert len(made) == 27
    assert not any(claim.holds for claim in made)
    assert set(REASONS) <= {claim.id for claim in made}
    assert {claim.id: claim.reason for claim in made if claim.reason is not None} == REASONS


def test_claims_are_made_of_what_there_is_alone() -> None:
    alone = [one for one in results() if one["variant"] in ("base", "2D only")]
    found = {claim.id for claim in claims(alone, poses()[:3])}
    assert {"ppi-ap", "3d-ap", "quantisation", "sweep-iou"} <= found
    assert not {claim for claim in found if claim.startswith(("source", "matching", "align", "anchors", "upper"))}
    unscored = results()
    unscored[0]["scores"][PPI]["mpjpe_mm"] = None
    unscored[0]["both_found"]["mpjpe_mm"][PPI] = None
    assert not {"ppi-mpjpe", "second-estimate-mpjpe"} & {claim.id for claim in claims(unscored, poses())}


def test_a_difference_that_blocks_of_pictures_do_not_agree_on_does_not_hold() -> None:
    """Nor does none at all."""
    unsure = results()
    blocks = {"base": [9.0, 1.0, 5.0, 5.0], "without the iterative head": [1.0, 9.0, 3.0, 3.0]}
    for one in unsure:
        one["blocks"]["scores"][PPI] = {"ap_percent": blocks.get(one["variant"], [0.0] * 4)}
    made = {claim.id: claim for claim in claims(unsure, poses())}
    claim = made["iterative-ap"]
    assert (claim.value, claim.holds) == (pytest.approx(2), False)
    assert claim.target == pytest.approx(np.std([8, -8, 2, 2], ddof=1) / 2)
    assert "at least its standard error" in claim.text
    same = results()
    for one in same:
        one["scores"][PPI] = dict(same[0]["scores"][PPI])
    assert not next(claim for claim in claims(same, poses()) if claim.id == "iterative-ap").holds


def test_errors_of_the_same_people_are_compared() -> None:
    """Of two scenes suppression misses the second one's first person, of whom integration is far off."""
    its = scene()
    right = modes_of(its, [0.5, 0.5])
    off = right._replace(joints_m=right.joints_m + np.array([[[0.9]], [[0.1]]]))
    one = right._replace(scores=np.array([0.01, 0.5]))
    names = [PPI, NMS, *(name for name in decodings(0.02, every=True) if ", " in name)]
    people = {name: [right, off if name.startswith(PPI) else one] for name in names}
    scores = {name: {"ap_percent": float(name in (PPI, NMS)), "least_score": 0.1} for name in names}
    found = both_found(people, [its, its], scores)
    assert found["people"] == 3
    assert found["decodings"] == {PPI: PPI, NMS: NMS}
    assert found["mpjpe_mm"][NMS] == pytest.approx(0, abs=1e-4)
    assert found["mpjpe_mm"][PPI] == pytest.approx(1000 * 0.1 * 3**0.5 / 3, rel=1e-4)
    assert found["blocks"][PPI] == pytest.approx([0, 1000 * 0.1 * 3**0.5], abs=1e-3)


def test_blocks_are_scored_by_themselves() -> None:
    its = scene()
    people = [modes_of(its, [0.5, 0.5]), modes_of(its, [0.5, 0.5], off=1000.0)]
    told = by_block(people, [its, its], 0.1)
    assert told["ap_percent"] == pytest.approx([100, 0])
    assert told["pckh_percent"] == pytest.approx([100, 0])
    assert told["mpjpe_mm"][0] == pytest.approx(0, abs=1e-4)
    assert told["mpjpe_mm"][1] is None


def test_rows_are_means_over_seeds() -> None:
    made = rows(results(seeds=(0, 2)))
    mean = next(row for row in made if (row.get("variant"), row["seed"]) == ("2D only", "mean"))
    assert (mean["mpjpe_mm"], mean["ap_percent"]) == (97, 54)
    assert mean["mpjpe_mm_sd"] == pytest.approx(2**0.5)
    of_seeds = [row for row in made if row.get("variant") == "2D only" and row["seed"] != "mean"]
    assert [(row["seed"], row["people"]) for row in of_seeds[:2]] == [(0, "everybody"), (2, "everybody")]
    assert {row["people"] for row in made} == {"everybody", "a leg outside the picture", 5}
    assert [row["mpjpe_mm"] for row in made if row["what"] == "both found"] == [99, 100, 99, 100]
    assert len(rows(results())) - 2 == (len(made) - 4) // 3


# ----------------------------------------------------------------------------------------------------------- variants


def test_variants_differ_in_what_their_names_say_alone() -> None:
    effort = Effort()
    base = config_of(Run(variant=BASE, seed=3), effort)
    changed = {}
    for variant in VARIANTS[1:]:
        config = config_of(Run(variant=variant, seed=3), effort)
        own = {item.name for item in fields(config) if getattr(config, item.name) != getattr(base, item.name)}
        if "model" in own:
            own |= {
                item.name for item in fields(config.model)
                if getattr(config.model, item.name) != getattr(base.model, item.name)
            }  # fmt: skip
        changed[variant.name] = own - {"model"}
    assert changed == {
        "without the iterative head": {"summary"}, "without upper-body classes": {"upper_bodies"},
        "2D only": {"sampling"}, "K = 10": {"anchors"}, "K = 100": {"anchors"}, "17 joints": {"skeleton"},
        "one map, RoIAlign": {"pyramid", "finest"}, "one map, RoI pooling": {"pyramid", "finest", "pooling"},
    }  # fmt: skip
    assert base.steps == effort.steps
    assert base.model.channels == lcrnet_synth().model.channels


def test_motion_capture_is_compared_where_there_is_some(library: Path) -> None:
    everything = variants_of(Effort(), library)
    assert [variant.name for variant in everything] == [variant.name for variant in (*VARIANTS, *SOURCES)]
    assert variants_of(Effort(), None) == list(VARIANTS)
    sized = variants_of(replace(Effort(), anchors=(7, 2, 9)), None, ["K = 10", "2D only"])
    assert [(variant.name, variant.anchors) for variant in sized] == [("base", 7), ("2D only", 7), ("K = 10", 2)]
    with pytest.raises(UsageError, match="expected variants among base, .*, got 'No such'"):
        variants_of(Effort(), None, ["No such"])
    assert largest_source(library) == "second"
    one = of_source(read_library(library), "second")
    assert (len(one), len(one.joints_world)) == (2, 70)
    folders = {picture_set(name, TINY, library).folder(Path("c")) for name in (MADE, ONE, ALL, TEST)}
    assert len(folders) == 4
    assert picture_set(MADE, TINY, library).folder(Path("c")) == picture_set(MADE, TINY, None).folder(Path("c"))
    assert picture_set(ALL, TINY, library).folder(Path("c")) != picture_set(ALL, TINY, None).folder(Path("c"))
    assert picture_set(ALL, TINY, None).recipe().crowd.people == (1, 6)
    assert picture_set(ALL, TINY, None).recipe().image_sizes == ((64, 48),)


@pytest.mark.slow
def test_what_a_run_depends_on_names_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ALL, TEST):
        written(picture_set(name, TINY, None).folder(tmp_path), FakeRenders(size=(64, 48), seed=len(name)), 3)
    run = Run(variant=replace(BASE, anchors=3), seed=1)
    assert [folder.name.split("-")[1] for folder in folders_of(run, TINY, None, tmp_path)] == [ALL, TEST]
    found = run_one(run, TINY, None, tmp_path, tmp_path / "kept")
    assert set(found["scores"]) == {*decodings(0.02, every=True), FIRST, BOUND}
    assert found["anchors"] == 3
    assert 0 <= found["scores"][PPI]["ap_percent"] <= 100
    json.dumps(found, allow_nan=False)
    again = run_one(run, TINY, None, tmp_path, tmp_path / "kept")
    assert again.pop("from_cache")
    assert again == found
    trained: list[str] = []
    monkeypatch.setattr(runs, "train_lcrnet", lambda config, scenes: trained.append(config.name))
    scored_anew = run_one(run, replace(TINY, least_score=0.5), None, tmp_path, tmp_path / "kept")
    assert "from_cache" not in scored_anew
    assert scored_anew["seconds"] == found["seconds"]
    assert not trained  # the weights were kept
    for other in (replace(run, seed=2), replace(run, variant=replace(FLAT, anchors=3))):
        with pytest.raises(AttributeError):
            run_one(other, TINY, None, tmp_path, tmp_path / "kept")
    assert len(trained) == 2


# ------------------------------------------------------------------------------------------------------------ scoring


def scene(people: int = 2) -> Scene:
    rng = np.random.default_rng(1)
    points = rng.uniform(5, 55, (people, 13, 2)).astype(np.float32) + 70 * np.arange(people)[:, None, None]
    joints = rng.normal(0, 0.3, (people, 13, 3)).astype(np.float32)
    return Scene(np.zeros((60, 200, 3), np.uint8), points, joints, np.ones(people, bool), np.full(people, 4.0))


def proposals_of(its: Scene, off: float) -> Proposals:
    """The truth, and the same off by pixels and centimetres."""
    px, metres = its.points_px.astype(np.float64), its.joints_m.astype(np.float64)
    px, metres = np.concatenate([px + off, px]), np.concatenate([metres, metres + off / 100])
    count = len(px)
    return Proposals(px, metres, np.ones(count), np.zeros((count, 4)), np.zeros(count, bool))


def test_the_best_proposals_are_the_nearest_in_the_picture_and_in_space() -> None:
    its = scene()
    its = its._replace(points_px=its.points_px - [0, 20])
    found, error = best_proposals(proposals_of(its, 3.0), its)
    assert_allclose(found, its.points_px, rtol=1e-6)
    assert_allclose(error, 0, atol=1e-9)
    far = proposals_of(its, 3.0)._replace(poses_px=proposals_of(its, 3.0).poses_px + 500)
    assert np.isnan(best_proposals(far, its)[1]).all()
    nobody = far.chosen(np.arange(0))
    assert np.isnan(best_proposals(nobody, its)[0]).all()
    scores = of_best([(found, error), best_proposals(nobody, its)], [its, its])
    assert scores["found_percent"] == pytest.approx(50)
    assert scores["pckh_percent"] == pytest.approx(50)
    assert scores["mpjpe_mm"] == pytest.approx(0, abs=1e-6)


def modes_of(its: Scene, scores: list[float], off: float = 0.0) -> Modes:
    count, joints = len(scores), its.joints_m.shape[1:]
    zeros = np.zeros(count, np.int64)
    poses_px, joints_m = its.points_px.astype(np.float64) + off, its.joints_m.astype(np.float64)
    told = {"trust": np.ones((count, joints[0])), "size_sigma": np.zeros(count)}
    return Modes(poses_px, joints_m, np.array(scores), np.zeros((count, *joints)), zeros, zeros, zeros, **told)


def test_people_are_judged_from_the_score_on_that_finds_them_best() -> None:
    its = scene()
    right = judged([modes_of(its, [0.35, 0.35])] * 2, [its, its])
    assert right["ap_percent"] == right["pckh_percent"] == right["f_percent"] == pytest.approx(100)
    assert right["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    mixed = judged([modes_of(its, [0.35, 0.35]), modes_of(its, [0.15, 0.15], off=1000.0)], [its, its])
    assert mixed["least_score"] == 0.2
    assert mixed["found_percent"] == pytest.approx(50)
    assert mixed["false_percent"] == 0
    assert mixed["pckh_percent"] == pytest.approx(50)
    assert (mixed["pck3d_percent"], mixed["pck3d_all_percent"]) == pytest.approx((100, 50))
    assert mixed["mrpe_mm"] is None, "no scene knows its camera"
    camera = Camera.create((200, 60), 100.0)
    cam = torch.from_numpy(its.joints_m).double() + torch.tensor([[0.0, 0, 4], [0, 0, 5]])[:, None]
    seen = its._replace(
        points_px=camera.project(cam)[0].numpy(), camera=camera, middles_cam=np.array([[0, 0, 4], [0, 0, 5.3]])
    )
    assert judged([modes_of(seen, [0.35, 0.35])], [seen])["mrpe_mm"] == pytest.approx(150, abs=0.01)
    nobody = judged([modes_of(its._replace(points_px=its.points_px[:0], joints_m=its.joints_m[:0]), [])], [its])
    assert (nobody["found_percent"], nobody["mpjpe_mm"]) == (0, None)
    unknown = SceneScores(*[float("nan")] * (len(SceneScores._fields) - 1))
    assert f_measure(unknown) == 0
    assert set(told(unknown).values()) == {None}
    assert set(told(unknown)) == {
        "ap_percent", "pckh_percent", "found_percent", "false_percent", "mpjpe_mm", "pa_mpjpe_mm", "pck3d_percent",
        "pck3d_all_percent", "mrpe_mm",
    }  # fmt: skip


def test_a_leg_is_outside_where_its_knee_and_ankle_are() -> None:
    its = scene(4)
    points = np.full((4, 13, 2), 30.0, np.float32)
    for person, joints in enumerate(((), ("RKnee",), ("RKnee", "RAnkle"), ("RKnee", "LAnkle"))):
        for joint in joints:
            points[person, LCR13.index(joint)] = (30.0, 61.0)
    assert leg_outside(its._replace(points_px=points), LCR13).tolist() == [False, False, True, False]


def test_the_first_estimate_is_that_of_the_first_head() -> None:
    config = config_of(Run(variant=replace(BASE, anchors=4), seed=0), TINY)
    network = LcrNet(config.model, made_anchors(4)).eval()
    boxes = torch.rand(5, network.maps.channels * 49)
    both, first = network.heads(boxes), first_estimate(network).heads(boxes)
    assert (len(both), len(first)) == (2, 1)
    assert torch.equal(both[0][1].logits, first[0][1].logits)
    assert not torch.equal(both[1][1].logits, first[0][1].logits)


# ----------------------------------------------------------------------------------------------------------- no network


def test_quantisation_and_matching_are_measured(library: Path) -> None:
    errors = [row["held_out_mm"] for row in quantisation_rows(None, (1, 4, 12), 400)]
    assert errors[0] > errors[1] > errors[2] > 0
    one, everything = matching_rows(library, 300, 20)
    assert (one["source"], one["motion"], everything["motion"]) == ("second", "one", "all")
    assert all(0 < row["distance_2d"] < 1 and row["distance_mm"] > 0 for row in (one, everything))
    assert matching_rows(None, 300, 20) == []


# -------------------------------------------------------------------------------------------------------- the whole one


def test_the_catalogue_passes_on_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(bench, "bench_lcrnet", lambda *own, **rest: asked.append((own, rest)) or Measured(rows=[]))
    unasked = dict.fromkeys(("views", "film", "figures", "renders"))
    given = {"library": tmp_path, "quick": False, "jobs": 3, "cache": None, "steps": 9, "pictures": 8}
    for seeds in ((), (4, 5)):
        BENCHES["lcrnet"][0](SimpleNamespace(**unasked, **given, seeds=seeds), None)  # type: ignore[arg-type]
    expected = {name: given[name] for name in ("quick", "jobs", "cache", "steps", "pictures")} | {"progress": None}
    assert asked == [((tmp_path,), expected | {"seeds": seeds}) for seeds in ((0,), (4, 5))]
    assert main(["bench", "lcrnet", "--quick", "--steps", "0"]) == 2


@pytest.mark.slow
def test_the_quick_benchmark(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["bench", "lcrnet", "--quick", "--json", "--jobs", "1", "--cache", "kept", "--library", str(library)]
    assert main(call) == 0
    report = json.loads(capsys.readouterr().out)
    assert {row["what"] for row in report["rows"]} == {"network", "both found", "quantisation", "matching"}
    assert {row.get("variant") for row in report["rows"]} == {*(one.name for one in (*VARIANTS, *SOURCES)), None}
    assert "0 of 12 were kept" in report["meta"]["notes"][-1]
    assert main(call) == 0
    again = json.loads(capsys.readouterr().out)
    assert "12 of 12 were kept" in again["meta"]["notes"][-1]
    assert again["rows"] == report["rows"]
    few = bench_lcrnet(None, quick=True, jobs=1, cache=tmp_path / "kept", steps=1, pictures=4, variants=[POOLED.name])
    assert "1 steps of 2 pictures" in few.notes[1]
    assert {row.get("variant") for row in few.rows} == {"base", POOLED.name, None}
