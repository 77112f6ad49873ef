"""The cascade of paper 002: one estimator, lifters that learn from different 2D, claims by sign, a cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from fake_renders import written
from real_sets import Portraits
from sightline.bench import cascade as bench
from sightline.bench import cascade_people
from sightline.bench import cascade_runs as runs
from sightline.bench.cascade import CASCADE, QUICK, bench_cascade, claims, estimator_rows, model_rows, rows
from sightline.bench.cascade_people import (
    Seen,
    chosen,
    estimated,
    find_boxes,
    found_boxes,
    joined,
    views_of,
    with_mirror,
)
from sightline.bench.cascade_runs import (
    ESTIMATE,
    FOUND,
    FOUND_TRUE,
    MIXTURE,
    PLAIN,
    ROOTS,
    TRUTH,
    VARIANTS,
    Run,
    error_models,
    errors_of,
    kept_folder,
    lifter_config,
    scores,
    source_of,
)
from sightline.bench.catalogue import BENCHES
from sightline.bench.report import Measured
from sightline.cli import main
from sightline.data.virtual import step_generator
from sightline.detect.protocol import Detection
from sightline.methods.abspose.error_model import crop_scale, read_error_model
from sightline.methods.abspose.estimator import JointEstimator
from sightline.methods.abspose.estimator_weights import load_estimator
from sightline.methods.abspose.model import AbsPoseLifter
from sightline.nn.joint_network import JointsSeen
from sightline.skeleton import get_skeleton
from sightline.synth.reading import RenderedSet
from sightline.synth.rendered import Rendered
from sightline.training.pictures import SetPeople

SIZES = {PLAIN.name: 9.0, TRUTH.name: 8.0, ESTIMATE.name: 7.0, "single Gaussian": 6.0, MIXTURE.name: 5.0}


def results(seeds: tuple[int, ...] = (0,), sign: int = 1) -> list[dict[str, Any]]:
    def scores(size: float) -> dict[str, Any]:
        of = dict.fromkeys(("mpjpe_mm", "pa_mpjpe_mm", "mrpe_mm"), 50.0 + sign * size)
        worse = {name: value + sign for name, value in of.items()}
        return {CASCADE: of, **{f"estimate, {root} root": worse for root in list(ROOTS)[1:]}, "truth, learned root": of}

    return [
        {"variant": name, "seed": seed, "seconds": 2.0, "scores": scores(size + seed)}
        for name, size in SIZES.items() for seed in seeds
    ]  # fmt: skip


@pytest.fixture
def people(fake_set: Path) -> SetPeople:
    return SetPeople(fake_set, body=False)


def test_claims_hold_where_better_input_teaches_better() -> None:
    assert all(claim.holds for claim in claims(results()))
    found = {claim.id: claim.value for claim in claims(results())}
    assert len(found) == 5 * 3 + 3
    assert found["mixture-gaussian-mpjpe"] == pytest.approx(1 - 55 / 56)
    assert found["location"] == pytest.approx(1 - 58 / 59)
    assert found["root-weak-perspective"] == pytest.approx(1 - 55 / 56)
    assert not any(claim.holds for claim in claims(results(sign=-1)))


@pytest.mark.parametrize(("train", "told"), [(9.0, True), (8.0, False), (None, False)])
def test_reasons_are_told_where_they_are_true(train: float | None, told: bool) -> None:
    """An estimator that knows those whom it learnt from by heart fails the claims for some other reason."""
    seen = {"train": train, "test": 10.0}
    estimator = [
        {"split": split, "boxes": "true", "mean_px": off} for split, off in seen.items() if off is not None
    ]  # fmt: skip
    reasons = {claim.id: claim.reason for claim in claims(results(sign=-1), estimator)}
    assert (reasons["mixture-estimate-mpjpe"] is not None) == told
    assert reasons["mixture-gaussian-mpjpe"] is None


def test_rows_are_means_and_every_seed() -> None:
    assert len(rows(results())) == 5 * 4
    found = rows(results((0, 2)))
    assert len(found) == 5 * 4 * 3
    assert (found[0]["variant"], found[0]["test"], found[0]["seed"]) == (PLAIN.name, CASCADE, "mean")
    assert found[0]["mrpe_mm"] == pytest.approx(60.0)
    assert found[0]["mrpe_mm_sd"] == pytest.approx(2**0.5)


def test_estimator_rows_tell_how_far_it_is_off(people: SetPeople) -> None:
    """The joint that is far off is so in true boxes; of those found one is off in found boxes alone."""
    views = pool(people).views
    scale = crop_scale(views.keypoints_px)[:, None, None]
    off = torch.zeros(200, 17, 2)
    off[0, :, 0] = 60.0
    found = torch.full((200, 17, 2), torch.nan)
    found[1:51] = views.keypoints_px[1:51]
    found[1, :, 1] += 20 * scale[1, 0]
    seen = Seen(views=views, estimate_px=views.keypoints_px + off * scale, found_px=found)
    whole, boxed, same = estimator_rows({"test": seen})
    assert whole["mean_px"] == pytest.approx(60 / 200, rel=1e-3)
    assert whole["median_px"] == pytest.approx(0.0, abs=1e-3)
    assert whole["beyond_50_percent"] == pytest.approx(0.5)
    assert (whole["boxes"], boxed["boxes"], same["boxes"]) == ("true", "found", "true, of those found")
    assert (whole["of_all_percent"], boxed["of_all_percent"], same["people"]) == (100.0, 25.0, 50)
    assert boxed["mean_px"] == pytest.approx(20 / 50, rel=1e-3)
    assert same["mean_px"] == pytest.approx(0.0, abs=1e-3)
    nobody = replace(seen, found_px=torch.full((200, 17, 2), torch.nan))
    assert len(estimator_rows({"test": nobody})) == 1


def test_variants_differ_in_what_they_learn_from_alone() -> None:
    configs = [lifter_config(Run(variant=variant, seed=1), QUICK) for variant in VARIANTS]
    assert [config.model.location for config in configs] == [False, True, True, True, True]
    assert len({repr(replace(config, model=configs[1].model)) for config in configs}) == 1


def test_views_are_the_people_of_the_pictures(people: SetPeople) -> None:
    views = views_of(people)
    assert len(views.joints_cam) == len(people)
    pixels, _ = views.camera.project(views.joints_cam)
    assert_allclose(views.keypoints_px, pixels, atol=1e-2)
    assert not views.camera.has_world
    assert_allclose(views.up_cam.norm(dim=-1), 1.0, atol=1e-5)


def test_views_need_no_pixels(people: SetPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = people.pictures.read(5)
    monkeypatch.setattr(RenderedSet, "read", None)
    views = views_of(people)
    assert_allclose(views.stature_m, [stored.people[int(people.rows[0] - first_of(people, 5))].stature_m])
    assert stored.camera.rotation is not None
    assert_allclose(views.up_cam[0], stored.camera.rotation[:, 2], atol=1e-6)


def first_of(people: SetPeople, picture: int) -> int:
    """The first person of a picture, among all of the set."""
    return int(np.searchsorted(people.pictures.arrays("picture")["picture"], picture))


def test_estimates_are_in_the_pictures_pixels(people: SetPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sees the truth in crops sees it in pictures, whatever the box; who has no box is not seen."""
    sure = torch.ones(len(people), 17)
    monkeypatch.setattr(
        cascade_people,
        "joints_seen",
        lambda _, batches: ((JointsSeen(batch.truth.uv_px, sure), batch) for batch in batches),
    )
    network = JointEstimator(QUICK.estimator)
    exact = views_of(people).keypoints_px
    assert_allclose(estimated(network, people), exact, atol=0.05)
    assert_allclose(estimated(network, people, np.array([[3.0, 2.0, 20.0, 21.0]])), exact, atol=0.05)
    assert estimated(network, people, np.full((1, 4), np.nan)).isnan().all()


def test_crops_are_about_the_boxes_given(people: SetPeople) -> None:
    network = JointEstimator(QUICK.estimator)
    own = np.array([people[0][1].box_px])
    assert_allclose(estimated(network, people, own), estimated(network, people))
    assert not np.allclose(estimated(network, people, own + 5.0), estimated(network, people))


class Finder:
    """Finds people with boxes."""

    name, skeleton, single_person = "finder", get_skeleton("coco17"), False

    def __init__(self, *boxes: Any) -> None:
        self.boxes = boxes

    def detect(self, pictures: Any) -> list[tuple[Detection, ...]]:
        joints, confidence = np.full((17, 2), np.nan), np.zeros(17)
        people = [
            Detection(keypoints_px=joints, confidence=confidence, score=1.0, box_px=np.array(box, np.float64))
            for box in self.boxes
        ]
        return [(*people, Detection(keypoints_px=joints, confidence=confidence, score=1.0)) for _ in pictures]

    def close(self) -> None:
        pass


def test_found_boxes_are_those_that_overlap_most(people: SetPeople) -> None:
    true = people[0][1].box_px
    width, height = true[2:] - true[:2]
    right = true + [0.1 * width, 0, 0.1 * width, 0]
    other = true + [0.3 * width, 0, 0.3 * width, 0]
    assert_allclose(found_boxes(people, Finder(other, right)), right[None], atol=1e-6)
    far = true + [0.6 * width, 0, 0.6 * width, 0]  # 0.4 of 1.6
    assert np.isnan(found_boxes(people, Finder(far))).all()
    assert np.isnan(found_boxes(people, Finder())).all()
    half = true + [0, 0, 0, -0.65 * height]
    assert_allclose(found_boxes(people, Finder(far, half)), half[None], atol=1e-6)


def test_boxes_are_looked_for_once(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Finder] = []

    def finder() -> Finder:
        asked.append(Finder([1.0, 2.0, 30.0, 20.0]))
        return asked[-1]

    monkeypatch.setattr(cascade_people, "finder", finder)
    find_boxes(copied)
    find_boxes(copied)
    assert len(asked) == 1
    assert np.load(cascade_people.boxes_path(copied)).shape == (1, 4)


def pool(people: SetPeople) -> Seen:
    """One person two hundred times, whom the estimator sees with noise, and nobody finds."""
    one = Seen(views=views_of(people), estimate_px=torch.zeros(1, 17, 2), found_px=torch.full((1, 17, 2), torch.nan))
    some = chosen(one, torch.zeros(200, dtype=torch.long))
    noise = torch.randn(200, 17, 2, generator=torch.Generator().manual_seed(1))
    return replace(some, estimate_px=some.views.keypoints_px + 0.4 * noise)


def test_each_source_gives_its_own_2d(people: SetPeople) -> None:
    """Of people as they are, and of as many in a mirror."""
    seen = pool(people)
    both = with_mirror(seen)
    mixture, gaussian = error_models(errors_of(seen))
    given, effort = {}, replace(QUICK, batch=40)
    for variant in VARIANTS:
        source = source_of(Run(variant=variant, seed=0), effort, seen, {"mixture": mixture, "gaussian": gaussian})
        views = source(step_generator(0, 1))
        assert len(views.joints_cam) == effort.batch
        straight = (views.joints_cam == seen.views.joints_cam[:1]).all((1, 2))
        turned = (views.joints_cam == both.views.joints_cam[-1:]).all((1, 2))
        assert (straight ^ turned).all()
        assert 8 < int(turned.sum()) < 32
        given[variant.name] = views.keypoints_px
        exact = views.camera.project(views.joints_cam)[0]
    assert_allclose(given[TRUTH.name], exact, atol=1e-3)
    assert_allclose(given[PLAIN.name], given[TRUTH.name])
    assert all((row == both.estimate_px).all((1, 2)).any() for row in given[ESTIMATE.name])
    for name in ("single Gaussian", MIXTURE.name):
        assert 0.1 < float((given[name] - exact).abs().mean()) < 2
    assert not torch.equal(given["single Gaussian"], given[MIXTURE.name])


def test_estimates_in_a_mirror_are_those_of_mirrored_crops(people: SetPeople) -> None:
    """As far from the mirrored truth as the others from theirs, joint by joint."""
    seen = replace(pool(people), found_px=pool(people).views.keypoints_px + 1.0)
    both = with_mirror(seen)
    order = list(get_skeleton("h36m17").flip)
    for points in (both.estimate_px, both.found_px):
        own, other = (points - both.views.keypoints_px).split(200)
        assert_allclose(other, own[:, order] * torch.tensor([-1.0, 1.0]), atol=1e-4)


def test_several_sets_are_one(people: SetPeople) -> None:
    one = views_of(people)
    both = joined((one, one))
    assert both.camera.batch_shape == (2,)
    assert_allclose(both.joints_cam, torch.cat((one.joints_cam, one.joints_cam)))


def test_scores_are_of_those_whom_each_test_is_about(people: SetPeople) -> None:
    """Whoever is not found does not count in found boxes, and the same people are scored in true ones."""
    lifter = AbsPoseLifter(lifter_config(Run(variant=TRUTH, seed=0), QUICK).model).eval()
    seen = pool(people)
    assert not {FOUND, FOUND_TRUE} & set(scores(lifter, seen))
    found = torch.full((200, 17, 2), torch.nan)
    found[:50] = seen.views.keypoints_px[:50]
    told = scores(lifter, replace(seen, found_px=found))
    assert [told[name]["people"] for name in (CASCADE, "truth, learned root", FOUND, FOUND_TRUE)] == [200, 200, 50, 50]
    assert told[FOUND]["mpjpe_mm"] == pytest.approx(told["truth, learned root"]["mpjpe_mm"], rel=1e-4)
    assert told[FOUND_TRUE]["mpjpe_mm"] != pytest.approx(told[CASCADE]["mpjpe_mm"], rel=1e-6)
    assert set(told) == {
        CASCADE,
        *(f"estimate, {root} root" for root in ROOTS),
        "truth, learned root",
        FOUND,
        FOUND_TRUE,
    }


def test_the_cache_knows_on_what_scores_depend(tmp_path: Path) -> None:
    usual = kept_folder(QUICK, None, tmp_path)
    for change in ({"least_errors": 3}, {"estimator_steps": 1}, {"test_pictures": 49}, {"side_px": 97}):
        assert kept_folder(replace(QUICK, **change), None, tmp_path) != usual
    assert kept_folder(replace(QUICK, steps=9, width=8), None, tmp_path) == usual


def test_the_command_is_known() -> None:
    assert "cascade" in BENCHES


@dataclass(frozen=True, kw_only=True)
class Plain(Portraits):
    """Portraits by lenses without distortion."""

    def __call__(self, index: int) -> Rendered:
        return super().__call__(2 * index)


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of small sets, an estimator that sees the truth with noise, a finder of every second person."""
    folders = {}
    for seed, (spread, split) in enumerate(product(("narrow", "wide"), ("train", "val", "test"))):
        folders[spread, split] = tmp_path / f"{spread}-{split}"
        written(folders[spread, split], Plain(seed=seed), 10, seed=seed)

    def seen(_: Any, batches: Any) -> Iterator[Any]:
        chance = torch.Generator().manual_seed(2)
        for batch in batches:
            noise = torch.randn(batch.truth.uv_px.shape, generator=chance)
            yield JointsSeen(batch.truth.uv_px + 0.5 * noise, torch.ones(noise.shape[:2])), batch

    def boxes(people: SetPeople, _: Any) -> np.ndarray:
        whole = np.stack([people[row][1].box_px for row in range(len(people))])
        return np.where(np.arange(len(people))[:, None] % 2 == 0, whole + 1.0, np.nan)

    for module in (bench, runs):
        monkeypatch.setattr(module, "set_folder", lambda _, spread, split, *__: folders[spread, split])
    monkeypatch.setattr(bench, "render_sets", lambda *_, **__: None)
    monkeypatch.setattr(bench, "in_processes", lambda work, calls, **_: [work(*call) for call in calls])
    monkeypatch.setattr(cascade_people, "joints_seen", seen)
    monkeypatch.setattr(cascade_people, "found_boxes", boxes)
    monkeypatch.setattr(cascade_people, "finder", lambda: None)
    return tmp_path


def test_the_loop_leaves_what_is_of_use_and_is_taken_up(staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector, and error models to train lifters with; what is there is not made again."""
    effort = replace(QUICK, estimator_steps=2, steps=2)

    def measured() -> Measured:
        return bench_cascade(None, seeds=(0,), jobs=1, cache=staged, effort=effort)

    first = measured()
    estimator = [row for row in first.rows if row["what"] == "2D estimator"]
    assert [(row["split"], row["boxes"], row["people"]) for row in estimator] == [
        ("train", "true", 20), ("val", "true", 20), ("test", "true", 20), ("test", "found", 10),
        ("test", "true, of those found", 10),
    ]  # fmt: skip
    assert all(0 < row["mean_px"] < 20 for row in estimator)
    found = [row for row in first.rows if row.get("test") == FOUND]
    assert [row["people"] for row in found] == [10] * 5
    assert any("finds 10 of the 20 people (50.0 %" in note for note in first.notes)
    (kept,) = (staged / "pictures").glob("cascade-*")
    assert f"pictures/{kept.name} of the cache" in first.notes[-1]
    assert load_estimator(kept / "cascade-estimator.json")[0].config == effort.estimator
    models = {kind: read_error_model(kept / f"{kind}.json") for kind in ("mixture", "gaussian")}
    assert [row for row in first.rows if row["what"] == "error model"] == model_rows(models)

    monkeypatch.setattr(runs, "train_joints", None)
    monkeypatch.setattr(runs, "train_lifter", None)
    again = measured()
    assert again.rows == first.rows
    assert "5 of 5 were kept" in again.notes[-1]
    (kept / "gaussian.json").unlink()  # as if it had been stopped there: nothing is trained for that
    assert measured().rows == first.rows
    assert (kept / "gaussian.json").exists()


@pytest.mark.slow
def test_the_quick_command_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"bench cascade --quick --json --seeds 0 --jobs 1 --cache {tmp_path}".split()) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["claims"]
    assert {row["variant"] for row in told["rows"] if row["what"] == "cascade"} == set(SIZES)
