"""The benchmark of the pose prior: the same people for all, errors and choices as they are named, honest claims."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import sightline.bench.deeplift_claims as claims_file
import sightline.bench.deeplift_runs as runs_file
from sightline.bench.deeplift import rows
from sightline.bench.deeplift_claims import claims
from sightline.bench.deeplift_figures import (
    draw_figures,
    principal_plane,
    seen_along,
    spread_poses,
    to_the_right,
)
from sightline.bench.deeplift_plan import LEVEL, OTHERS, PITCHED, TILTED, UNTOLD, WEAK, noisy, scenes, studies
from sightline.bench.deeplift_runs import Effort, Study, Test, figure_points, run_study, score
from sightline.bench.deeplift_search import Choice, Search, searched
from sightline.bench.deeplift_views import NoiseOf, Scene, Views, errors_mm, joined, sample_scene
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.geometry.rotation import pitch_roll_from_up
from sightline.methods.deeplift.fit import fit_prior
from sightline.methods.deeplift.map_lifter import MapConfig, MapLifter
from sightline.methods.deeplift.mixture import FitConfig
from sightline.methods.deeplift.prior import PosePrior
from sightline.methods.deeplift.projection import centred_view, gains, heading_rotations, seen_from
from sightline.methods.deeplift.shapes import limb_size, to_joints, to_shapes
from tiny_runs import environment

TINY = Effort(weak_views=12, perspective_views=2, many=90, sample=150, iterations=2, largest=3)
SMALL = FitConfig(components=2, basis=4, iterations=3)


@pytest.fixture(scope="module")
def poses() -> Tensor:
    return procedural_poses(300, step_generator(1, 0))


@pytest.fixture(scope="module")
def prior(poses: Tensor) -> PosePrior:
    return fit_prior(poses, poses[:60], SMALL)[0]


# --- views


@pytest.mark.parametrize("name", [WEAK, LEVEL, PITCHED, TILTED, UNTOLD, OTHERS])
def test_keypoints_are_where_the_joints_are_seen(name: str, poses: Tensor) -> None:
    views = sample_scene(scenes()[name], poses, 200, 3)
    joints = views.joints_cam
    seen = joints[..., :2] if name == WEAK else joints[..., :2] / joints[..., 2:]
    assert_close(views.xy, seen, rtol=0, atol=1e-6)
    if name != WEAK:
        middle = (views.xy.amin(1) + views.xy.amax(1)) / 2
        assert middle.abs().max() < 0.12, "the camera is turned towards the person, but for perspective"


def test_people_have_their_own_bodies_unless_said(poses: Tensor) -> None:
    own = limb_size(poses.double())
    for name in (WEAK, LEVEL, UNTOLD):
        found = limb_size(sample_scene(scenes()[name], poses, 300, 0).joints_cam)
        nearest = (found[:, None] - own).abs().amin(1)
        assert nearest.max() < 1e-6
    varied = limb_size(sample_scene(scenes()[OTHERS], poses, 300, 0).joints_cam)
    assert varied.std() > 0.03


def test_all_sides_are_seen_of_level_weak_people(poses: Tensor) -> None:
    views = sample_scene(scenes()[WEAK], poses, 2000, 0)
    hips = views.joints_cam[:, 4] - views.joints_cam[:, 1]
    angle = torch.atan2(hips[:, 2], hips[:, 0])
    counts = torch.histc(angle, 8, -math.pi, math.pi)
    assert counts.min() > 180
    assert (views.joints_cam[:, 10, 1] < views.joints_cam[:, 0, 1]).double().mean() > 0.99, "y points down"


def test_cameras_are_tilted_as_said_and_the_lifter_knows_what_it_is_told(poses: Tensor) -> None:
    told = {name: sample_scene(scenes()[name], poses, 300, 0) for name in (PITCHED, TILTED, UNTOLD)}
    assert_close(told[TILTED].xy, told[UNTOLD].xy, rtol=0, atol=0)
    from_cameras = {}
    for name, views in told.items():
        steepness = pitch_roll_from_up(views.up_cam)[0].rad2deg()
        from_cameras[name] = steepness
    assert abs(float(from_cameras[PITCHED].mean()) + 10) < 4, "positive is up, and people stand about the middle"
    assert from_cameras[TILTED].std() > from_cameras[PITCHED].std() + 2
    true_up = told[TILTED].up_cam
    assert (true_up - told[UNTOLD].up_cam).norm(dim=1).max() > 0.3


@pytest.mark.parametrize("name", [WEAK, LEVEL, TILTED])
@pytest.mark.parametrize("of", ["box", "size"])
def test_noise_is_as_large_as_it_says_and_moves_nobody(name: str, of: NoiseOf, poses: Tensor) -> None:
    clean, scene = scenes()[name], scenes()[noisy(name, of)]
    assert replace(scene, noise=0.0, noise_of="box") == replace(clean, noise=0.0)
    plain, seen = (sample_scene(one, poses, 1500, 5) for one in (clean, scene))
    if name == WEAK:
        assert_close(seen.joints_cam, plain.joints_cam, rtol=0, atol=0)
    extent = limb_size(seen.joints_cam) / (1 if name == WEAK else seen.joints_cam[:, 0, 2])
    if of == "box":
        extent = (plain.xy.amax(1) - plain.xy.amin(1)).amax(1)
    exact = seen.joints_cam[..., :2] / (1 if name == WEAK else seen.joints_cam[..., 2:])
    off = (seen.xy - exact) / extent[:, None, None]
    assert abs(float(off.std()) - 0.02) < 0.0015
    assert abs(float(off.mean())) < 0.001


def test_views_follow_from_their_seed(poses: Tensor) -> None:
    for scene in scenes().values():
        one, same, other = (sample_scene(scene, poses, 5, seed) for seed in (2, 2, 3))
        assert_close(one._asdict(), same._asdict(), rtol=0, atol=0)
        assert not torch.equal(one.xy, other.xy)


def test_errors_do_not_judge_size_or_place() -> None:
    truth = procedural_poses(4, step_generator(2, 0)).double()
    assert_close(errors_mm(0.3 * truth + 5, truth, "excluded"), truth.new_zeros(4), rtol=0, atol=1e-9)
    off = truth.clone()
    off[:, 16] += torch.tensor([0.05, 0.0, 0.0])
    sized = off * (limb_size(truth) / limb_size(off))[:, None, None]
    by_hand = 1000 * ((sized - sized[:, :1]) - (truth - truth[:, :1])).norm(dim=-1)
    assert_close(errors_mm(off, truth, "counted"), by_hand.mean(1))
    assert_close(errors_mm(off, truth, "excluded"), by_hand[:, 1:].mean(1))
    assert (errors_mm(truth @ torch.diag(torch.tensor([-1.0, 1, 1]).double()), truth, "excluded") > 20).all()


# --- the search


@pytest.mark.parametrize("rotations", [7, 80, 520])
def test_the_search_is_the_lifters_where_both_do_the_same(rotations: int, poses: Tensor, prior: PosePrior) -> None:
    """520 is more than one chunk holds."""
    views = sample_scene(Scene(), poses, 40, 0)
    config = MapConfig(rotations=rotations, refine=False, perspective_rounds=0, noise=(0.01,))
    lifted = MapLifter(prior, config).lift(views.xy, up_cam=views.up_cam).joints[:, 0]
    found = searched(prior.mixture, views.xy, Search(rotations=rotations, noise=0.01))
    apart = (lifted - found).abs().amax((1, 2))
    assert (apart < 1e-6).double().mean() >= 0.95, "but for ties in single precision"


@pytest.mark.parametrize("choice", get_args(Choice))
def test_components_are_chosen_as_said(choice: Choice, poses: Tensor, prior: PosePrior) -> None:
    """Against the same by a loop over candidates in double precision."""
    views, search = sample_scene(Scene(), poses, 25, 1), Search(rotations=20, noise=0.02, choice=choice)
    picture, turns = centred_view(views.xy), heading_rotations(20, 0.0)
    spread = (0.02**2 * torch.eye(2, dtype=torch.float64)).expand(17, 2, 2)
    costs = torch.zeros(25, 2, 20, dtype=torch.float64)
    for component in range(2):
        for row, turn in enumerate(turns):
            seen = seen_from(prior.mixture.gaussians, turn, torch.tensor(component))
            found = gains(seen, spread, torch.ones(17, dtype=torch.float64))
            mean, precision = seen.mean[:32], found.precision
            alpha, beta = ((picture @ precision) * picture).sum(1), picture @ precision @ mean
            scale = (beta + (beta.square() + 128 * alpha).sqrt()) / (2 * alpha)
            off = scale[:, None] * picture - mean
            cost = 0.5 * ((off @ precision) * off).sum(1) - 32 * scale.log()
            if choice != "plain":
                cost = cost + 0.5 * found.log_det - prior.mixture.shares.log()[component]
            costs[:, component, row] = cost
    expected = (-costs).logsumexp(2).argmax(1) if choice == "marginal" else costs.amin(2).argmin(1)
    where = costs[torch.arange(25), expected].argmin(1)
    component, turn = runs_chosen(prior, views, search)
    assert (component == expected).double().mean() >= 0.95
    assert (turn == where)[component == expected].double().mean() >= 0.95


def runs_chosen(prior: PosePrior, views: Views, search: Search) -> tuple[Tensor, Tensor]:
    from sightline.bench.deeplift_search import _chosen

    return _chosen(prior.mixture, views.xy, heading_rotations(search.rotations, 0.0), search)


def test_the_papers_own_point_lies_on_the_basis(poses: Tensor, prior: PosePrior) -> None:
    views = sample_scene(Scene(), poses, 30, 0)
    search = Search(rotations=40, noise=0.01)
    own, full = (searched(prior.mixture, views.xy, one) for one in (replace(search, basis_only=True), search))
    component, rotation = runs_chosen(prior, views, search)
    seen = seen_from(prior.mixture.gaussians, heading_rotations(40, 0.0)[rotation], component)
    off = centred_view(own) - seen.mean
    weights = torch.linalg.lstsq(seen.basis, off[..., None]).solution
    assert_close((seen.basis @ weights)[..., 0], off, rtol=0, atol=1e-9)
    assert (own - full).abs().max() > 1e-3
    assert_close(own[..., 2], full[..., 2], rtol=0, atol=1e-9)  # what goes beyond the basis lies in the picture


# --- studies


def test_studies_have_names_of_their_own_and_hold_what_claims_need() -> None:
    found = studies(Effort())
    assert len({study.prior for study in found}) == len(found)
    assert len({tuple(sorted(vars(study.fit).items())) for study in found}) == len(found)
    keys = [
        (test.table, study.prior, test.lifter, name)
        for study in found for test in study.tests for name in test.scenes
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert {name for *_, name in keys} <= set(scenes())
    assert sum(study.drawn for study in found) == 1
    assert {study.fit.basis for study in found if study.fit.components == 1} == {5, 10, 20, 30, 40, 47}


def test_a_study_keeps_its_fit_and_scores_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = replace(SMALL, sample=200, iterations=2)
    test = Test(table="size", lifter="search", how=Search(rotations=10), scenes=(WEAK,))
    modes = Test(table="modes", lifter="modes", how=MapConfig(rotations=10, modes=3), scenes=(LEVEL,), best_of=(1, 3))
    study = Study(prior="small", fit=fit, tests=(test, modes))
    first = run_study(study, scenes(), TINY, (0, 1), None, tmp_path)
    assert "from_cache" not in first
    monkeypatch.setattr(runs_file, "fit_prior", lambda *_: pytest.fail("fitted again"))
    again = run_study(study, scenes(), TINY, (0, 1), None, tmp_path)
    assert again["from_cache"]
    assert again["rows"] == first["rows"]
    assert [len(row["mpjpe_mm"]) for row in first["rows"]] == [2, 2, 2]
    one, three = first["rows"][1:]
    assert all(best <= likeliest for best, likeliest in zip(three["mpjpe_mm"], one["mpjpe_mm"], strict=True))
    assert json.loads(json.dumps(first)) == first


def test_seeds_are_scored_apart(poses: Tensor, prior: PosePrior) -> None:
    views = [sample_scene(Scene(), poses, 9, seed) for seed in (0, 1)]
    test = Test(table="size", lifter="search", how=Search(rotations=12), scenes=(WEAK,))
    (row,) = score(prior, views, test)
    alone = [score(prior, [one], test)[0]["mpjpe_mm"][0] for one in views]
    assert row["mpjpe_mm"] == pytest.approx(alone)
    assert row["mpjpe_17_mm"] == pytest.approx([value * 16 / 17 for value in row["mpjpe_mm"]])
    assert len(joined(views).xy) == 18


def results() -> list[dict]:
    """What a run would return, with made-up errors."""
    found = []
    for rank, study in enumerate(studies(Effort())):
        tested = [
            {"table": test.table, "prior": study.prior, "views": name, "lifter": test.lifter}
            | ({"best_of": best} if test.best_of != (1,) else {})
            | {"mpjpe_mm": [60.0, 64.0], "mpjpe_17_mm": [50.0, 54.0], "views_per_seed": 10}
            for test in study.tests for name in test.scenes for best in test.best_of
        ]  # fmt: skip
        likelihood = dict.fromkeys(("train", "val", "test"), 80.0 + rank)
        shape = {"components": study.fit.components, "basis": study.fit.basis}
        found.append(
            {"prior": study.prior, "rows": tested, "seconds": 1.0, "passes": {"alignment": 3, "all": 2}}
            | {"log_likelihood": likelihood, **shape}
        )
    return found


def test_rows_are_means_over_seeds_and_fits_come_likeliest_first() -> None:
    found = rows(results())
    fits = [row for row in found if row["table"] == "fits"]
    assert len(fits) == len(studies(Effort()))
    assert [row["rank_val"] for row in fits] == list(range(1, len(fits) + 1))
    assert all(a["log_likelihood_val"] >= b["log_likelihood_val"] for a, b in zip(fits, fits[1:], strict=False))
    tested = [row for row in found if row["table"] == "cameras"]
    assert {row["mpjpe_mm"] for row in tested} == {62.0}
    assert {round(row["mpjpe_mm_sd"], 6) for row in tested} == {round(math.sqrt(8), 6)}
    assert {row["seeds"] for row in tested} == {2}


def test_claims_judge_the_rows_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = rows(results())
    judged = {claim.id: claim for claim in claims(measured, many=10_000)}
    assert len(judged) == len(claims(measured, many=10_000))
    assert judged["size-1-30"].value == 62.0
    assert judged["size-1-30"].holds
    assert not judged["size-3-30"].holds
    assert judged["rotations-80"].value == 0.0
    assert judged["rotations-10000-mm"].target == 75.3
    assert set(claims_file.REASONS) <= set(judged), "no reason without a claim"
    worse = [dict(row) | {"mpjpe_mm": 90.0} if row.get("lifter") == "80 rotations" else row for row in measured]
    changed = {claim.id: claim for claim in claims(worse, many=10_000)}
    assert {name for name in judged if judged[name].value != changed[name].value} >= {"size-1-5", "rotations-80-mm"}
    assert changed["level-mm"].value == judged["level-mm"].value
    monkeypatch.setitem(claims_file.REASONS, "size-3-30", "because")
    told = {claim.id: claim.reason for claim in claims(measured, many=10_000)}
    assert told["size-3-30"] == "because"
    assert told["size-1-30"] is None


# --- the figure


def test_poses_are_aligned_and_placed_in_their_plane(poses: Tensor, prior: PosePrior) -> None:
    drawn = figure_points(prior, poses)
    shapes, means = np.asarray(drawn["shapes"]), np.asarray(drawn["means"])
    plane = principal_plane(shapes, means)
    assert plane.places.shape == (600, 2)
    assert plane.means.shape == (2, 2)
    covariance = np.cov(plane.places.T)
    assert abs(covariance[0, 1]) < 1e-9
    assert covariance[0, 0] > covariance[1, 1] > 0
    assert 0 < plane.explained.sum() < 1
    across = seen_along(shapes, to_the_right(shapes))
    assert (across[:, 4, 0] > across[:, 1, 0]).mean() > 0.9, "left hips to the viewer's right"


def test_people_facing_one_way_are_seen_from_the_front() -> None:
    body = procedural_poses(1, step_generator(3, 0)).double()
    shapes = to_shapes(body).shape.numpy()
    right = to_the_right(shapes)
    picture = seen_along(shapes, right)[0]
    assert picture[10, 1] > picture[3, 1], "heads up"
    assert_close(float(np.linalg.norm(right)), 1.0)
    depth = to_joints(torch.from_numpy(shapes))[0].numpy() @ np.cross(right, [0.0, 0.0, 1.0])
    assert depth[9] > depth[8], "noses point to the viewer"


def test_drawn_poses_spread_and_stay_apart() -> None:
    places = np.random.default_rng(0).normal(size=(4000, 2))
    places[0] = (30.0, 30.0)  # alone
    chosen = spread_poses(places, np.array([0.8, 0.5]))
    assert 0 not in chosen
    apart = np.abs(places[chosen][:, None] - places[chosen]) / (0.8, 0.5)
    np.fill_diagonal(apart[..., 0], 9)
    assert apart.max(2).min() >= 1
    assert np.linalg.norm(places[chosen], axis=1).max() > 2, "the rim included"
    assert len(chosen) > 15
    assert spread_poses(np.arange(6.0).reshape(3, 2) * 100, np.array([1.0, 1.0])) == []


def test_the_figure_is_drawn(tmp_path: Path, poses: Tensor, prior: PosePrior) -> None:
    (path,) = draw_figures(figure_points(prior, poses), tmp_path / "figures")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [found.name for found in (tmp_path / "figures").iterdir()] == ["deeplift_poses.png"]


@pytest.mark.slow
def test_the_quick_bench_prints_the_contracts_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sightline.cli", "bench", "deeplift", "--quick", "--json", "--jobs", "2"]
    extra = ["--cache", str(tmp_path / "cache"), "--figures", str(tmp_path / "figures"), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *extra], capture_output=True, text=True, timeout=280, cwd=tmp_path, env=environment([])
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["bench"] == "deeplift"
    assert all(set(claim) >= {"id", "text", "value", "target", "better", "holds"} for claim in report["claims"])
    tables = {row["table"] for row in report["rows"]}
    assert tables == {"fits", "size", "rotations", "growth", "turning", "noise", "choice", "cameras", "modes"}
    assert all(row["mpjpe_mm"] < 400 for row in report["rows"] if row["table"] != "fits")
    assert not list((tmp_path / "out").glob("*")), "a quick run writes no results"
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["deeplift_poses.png"]
    assert str(tmp_path) not in json.dumps(report["rows"]) + json.dumps(report["claims"])
