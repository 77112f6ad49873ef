"""Where lifting starts: tables and search agree, starts differ, memory is bounded, people may be any way up."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from deeplift_world import DOUBLE, chance, fitted_prior, headings, known_mixture, poses, prior_of
from sightline.geometry.rotation import axis_rotation
from sightline.methods.deeplift import starts as internals
from sightline.methods.deeplift.map_lifter import MapConfig, MapLifter
from sightline.methods.deeplift.prior import PosePrior
from sightline.methods.deeplift.projection import LEVEL_FROM_WORLD, solve
from sightline.methods.deeplift.shapes import limb_size
from sightline.methods.deeplift.starts import APART, Shelf, Starts, UprightGrid, distinct

LEVELS = (0.005, 0.02)


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    return fitted_prior()


def seen(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """People in front of level cameras, and their landmarks on the plane z = 1."""
    joints = poses(count, seed=seed).double()
    joints = joints - joints.mean(1, keepdim=True)
    joints = joints / limb_size(joints)[:, None, None] @ (LEVEL_FROM_WORLD @ headings(count, seed)).mT
    joints = joints + torch.tensor([0.1, -0.05, 4.0], dtype=DOUBLE)
    return joints, joints[..., :2] / joints[..., 2:]


def grid(prior: PosePrior, tilts: tuple[float, ...] = (0.0,)) -> UprightGrid:
    return UprightGrid(prior.mixture, 40, tilts, LEVELS)


@pytest.mark.parametrize("modes", [1, 3])
@pytest.mark.parametrize("tilts", [(0.0,), (-0.2, 0.0, 0.2)])
def test_tables_and_search_start_alike(
    prior: PosePrior, modes: int, tilts: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, xy = seen(40)
    weight = torch.full((40, 17), 0.9, dtype=DOUBLE)
    weight[:, [3, 12]] = 0.0
    pitch = torch.linspace(-0.2, 0.2, 40, dtype=DOUBLE)
    monkeypatch.setattr(internals, "_ALIKE", 1)
    by_table = grid(prior, tilts).starts(xy, weight, pitch, modes)
    monkeypatch.setattr(internals, "_ALIKE", 10_000)
    by_search = grid(prior, tilts).starts(xy, weight, pitch, modes)
    same = (by_table.cost[:, 0] - by_search.cost[:, 0]).abs() < 1e-2
    assert float(same.double().mean()) >= 0.95
    assert bool((by_search.component[:, 0] == by_table.component[:, 0])[same].all())
    if modes > 1:  # what search has not worked out it cannot tell
        assert float((by_search.cost[:, 1] - by_table.cost[:, 1]).median()) < 1.0


def test_starts_cost_what_the_solve_says(prior: PosePrior) -> None:
    _, xy = seen(6)
    weight = torch.rand(6, 17, generator=chance(2), dtype=DOUBLE) + 0.1
    found = grid(prior).starts(xy, weight, torch.zeros(6, dtype=DOUBLE), 2)
    for mode in range(2):
        spread = found.noise[:, mode].square()[:, None, None, None] * torch.eye(2, dtype=DOUBLE)
        facts = (found.component[:, mode], found.cam_from_body[:, mode], xy, spread.expand(6, 17, 2, 2), weight)
        there = found.cost[:, mode].isfinite()
        assert_close(solve(prior.mixture, *facts).cost[there], found.cost[:, mode][there], atol=1e-5, rtol=0)


def test_starts_take_the_cameras_own_pitch(prior: PosePrior) -> None:
    _, xy = seen(3)
    pitch = torch.tensor([0.0, 0.03, -0.04], dtype=DOUBLE)  # all nearest to the same pitch of the grid
    found = grid(prior).starts(xy, torch.ones(3, 17, dtype=DOUBLE), pitch, 1)
    up = found.cam_from_body[:, 0, :, 2]
    assert_close(torch.atan2(up[:, 2], -up[:, 1]), pitch, atol=1e-9, rtol=0)


def starts_of(angles: list[float], costs: list[float], components: list[int]) -> Starts:
    turns = axis_rotation("z", torch.tensor(angles, dtype=DOUBLE))
    noise = torch.full((1, len(angles)), 0.01, dtype=DOUBLE)
    return Starts(torch.tensor([components]), turns[None], noise, torch.tensor([costs], dtype=DOUBLE))


def test_modes_of_one_component_are_apart() -> None:
    near = 0.5 * APART
    found = distinct(starts_of([0.0, near, 2.0, near], [1.0, 2.0, 3.0, 4.0], [0, 0, 0, 1]), 3)
    assert found.cost[0].tolist() == [1.0, 3.0, 4.0]


def test_modes_beyond_those_there_are_cost_infinity() -> None:
    found = distinct(starts_of([0.0, 0.01], [1.0, 2.0], [0, 0]), 3)
    assert found.cost[0].tolist() == [1.0, math.inf, math.inf]


def test_a_lifter_marks_modes_that_there_are_not(prior: PosePrior) -> None:
    _, xy = seen(4)
    found = MapLifter(prior, MapConfig(rotations=1, modes=20)).lift(xy)
    assert bool(found.valid.all())
    none = found.cost.isnan()
    assert bool(none.any())
    assert not bool(none[:, 0].any())
    assert bool((found.share[none] == 0).all())
    assert bool(found.joints[none].isnan().all())
    assert_close(found.share.sum(1), torch.ones(4, dtype=DOUBLE))


def test_a_single_candidate_is_the_answer() -> None:
    _, xy = seen(3)
    prior = prior_of(known_mixture(1))
    found = MapLifter(prior, MapConfig(rotations=1, noise=(0.015,))).lift(xy)
    assert bool(found.valid.all())
    assert bool(found.cost.isfinite().all())


@pytest.mark.parametrize("size", [1e-14, 1.0])
def test_landmarks_on_one_spot_are_nobody_however_little_they_count(prior: PosePrior, size: float) -> None:
    found = MapLifter(prior).lift(torch.full((2, 17, 2), 0.3), torch.full((2, 17), size, dtype=DOUBLE))
    assert not bool(found.valid.any())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"tilts_rad": (math.nan,)}, "tilts_rad: expected"),
        ({"tilts_rad": (5.0,)}, "tilts_rad: expected"),
        ({"spacing_rad": -1.0}, "spacing_rad: expected"),
        ({"noise": (1e-5,)}, "noise: expected"),
        ({"sweeps": 0}, "sweeps: expected"),
    ],
)
def test_configurations_that_cannot_be(facts: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MapConfig(**facts)


def test_a_shelf_forgets_what_was_used_longest_ago() -> None:
    made, shelf = [], Shelf(limit_bytes=250)

    def value(name: str) -> Tensor:
        def make() -> Tensor:
            made.append(name)
            return torch.zeros(100, dtype=torch.uint8)

        return shelf.get(name, make)

    for name in ("a", "b", "a", "c", "a", "b"):
        value(name)
    assert made == ["a", "b", "c", "b"]
    assert len(shelf) == 2
    assert "c" not in shelf


def test_a_shelf_keeps_what_is_larger_than_it() -> None:
    shelf = Shelf(limit_bytes=10)
    assert shelf.get("a", lambda: torch.ones(100)).sum() == 100
    assert "a" in shelf


def test_the_memory_of_many_patterns_is_bounded(prior: PosePrior, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internals, "Shelf", lambda: Shelf(2 * 2**20))
    lifter = grid(prior)
    _, xy = seen(1)
    for row in range(17):
        weight = torch.ones(32, 17, dtype=DOUBLE)
        weight[:, row] = 0.0
        lifter.starts(xy.expand(32, -1, -1), weight, torch.zeros(32, dtype=DOUBLE), 1)
    assert sum(size for _, size in lifter._shelf._kept.values()) <= 2 * 2**20


@pytest.mark.parametrize("orientation", ["upright", "any"])
def test_nobody_is_lifted(orientation: str) -> None:
    lifter = MapLifter(prior_of(known_mixture(), orientation), MapConfig(modes=2))
    found = lifter.lift(torch.zeros(0, 17, 2), posteriors=1)
    assert found.joints.shape == (0, 2, 17, 3)
    assert found.posterior is not None
    assert found.posterior.covariance.shape == (0, 1, 48, 48)
