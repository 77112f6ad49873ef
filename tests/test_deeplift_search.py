"""The search from coarse to fine finds what the exhaustive one finds, and answers as the plain solve does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from deeplift_world import chance, drawn, headings, known_mixture
from sightline.methods.deeplift import search as search_module
from sightline.methods.deeplift import search_systems, tables
from sightline.methods.deeplift.gaussian import Gaussians
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import Solved, centred_view, heading_rotations, scaled, solve
from sightline.methods.deeplift.search import Found, Search
from sightline.methods.deeplift.search_systems import Corner, Landmarks, corners_one_by_one, corners_together
from sightline.methods.deeplift.shapes import rotated, to_joints
from sightline.methods.deeplift.tables import Candidates, build_table
from sightline.methods.deeplift.weights import load_prior

DOUBLE = torch.float64
NOISE = 0.01


def seen_people(
    mixture: Mixture, count: int, *, pitch: float = 0.0, missing: float = 0.0, weighted: bool = False, seed: int = 1
) -> tuple[Tensor, Tensor]:
    """People of the mixture with any heading, in pixels, each with landmarks and weights of their own."""
    shape, _ = drawn(mixture, count, seed, noise=True)
    source = chance(seed + 100)
    turn = heading_rotations(1, pitch) @ headings(count, seed)
    xy = to_joints(rotated(shape, turn))[..., :2]
    xy = xy + NOISE * torch.randn(count, 17, 2, generator=source, dtype=DOUBLE)
    weight = torch.ones(count, 17, dtype=DOUBLE)
    if weighted:
        weight = 0.05 + 0.95 * torch.rand(count, 17, generator=source, dtype=DOUBLE)
    gone = torch.rand(count, 17, generator=source) < missing
    gone[:, :5] = False
    weight = weight.masked_fill(gone, 0.0)
    return 300.0 * xy + torch.tensor([900.0, 500.0], dtype=DOUBLE), weight


def solved(
    mixture: Mixture, candidate: Tensor, count: int, pitch: float, xy: Tensor, weight: Tensor, noise: float = NOISE
) -> Solved:
    """The plain twin: one candidate per row."""
    spread = noise**2 * torch.eye(2, dtype=DOUBLE).expand(17, 2, 2)
    turn = heading_rotations(count, pitch)[candidate % count]
    return solve(mixture, candidate // count, turn, xy, spread, weight)


def exhaustive(mixture: Mixture, count: int, pitch: float, xy: Tensor, weight: Tensor, noise: float = NOISE) -> Tensor:
    """Costs of all candidates, people × candidates."""
    grid = (len(xy), len(mixture.shares) * count)
    candidate = torch.arange(grid[1]).expand(grid)
    rows = xy[:, None].expand(*grid, 17, 2), weight[:, None].expand(*grid, 17)
    return solved(mixture, candidate, count, pitch, *rows, noise).cost


def agrees(found: Found, mixture: Mixture, count: int, pitch: float, xy: Tensor, weight: Tensor) -> None:
    """The winner is the exhaustive one, and all that is said of it is what the plain solve says."""
    candidate = found.component * count + found.rotation
    torch.testing.assert_close(candidate, exhaustive(mixture, count, pitch, xy, weight).argmin(1))
    twin = solved(mixture, candidate, count, pitch, xy, weight)
    torch.testing.assert_close(found.shape, twin.shape, atol=1e-8, rtol=0)
    torch.testing.assert_close(found.cost, twin.cost, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.inverse_scale, twin.inverse_scale, atol=0, rtol=1e-8)
    assert bool(found.valid.all())


@pytest.mark.parametrize(
    ("components", "basis", "count", "pitch", "missing", "weighted"),
    [
        (2, 8, 80, 0.0, 0.3, False),
        (2, 8, 80, 0.0, 0.0, True),
        (3, 6, 40, 0.3, 0.3, True),
        (2, 12, 60, -0.4, 0.5, False),
        (1, 1, 81, 0.1, 0.2, True),
        (1, 47, 40, 0.0, 0.3, True),
        (12, 3, 24, 0.2, 0.3, True),
        (2, 4, 37, 0.0, 0.3, True),
        (2, 4, 7, 0.0, 0.3, True),
        (1, 4, 1, 0.0, 0.3, True),
        (1, 4, 230, 0.1, 0.3, True),
    ],
)
def test_it_finds_what_the_exhaustive_search_finds(
    components: int, basis: int, count: int, pitch: float, missing: float, weighted: bool
) -> None:
    mixture = known_mixture(components, basis)
    xy, weight = seen_people(mixture, 24, pitch=pitch, missing=missing, weighted=weighted)
    found = Search.build(mixture, count=count, pitch=pitch, noise=NOISE).best(xy, weight)
    agrees(found, mixture, count, pitch, xy, weight)


def test_people_may_show_any_number_of_landmarks() -> None:
    mixture = known_mixture(2, 6)
    xy, weight = seen_people(mixture, 16, weighted=True)
    weight = weight * (torch.arange(17) < torch.arange(2, 18)[:, None])
    found = Search.build(mixture, count=12, noise=NOISE).best(xy, weight)
    agrees(found, mixture, 12, 0.0, xy, weight)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_sharp_mixtures_and_landmarks(missing: float) -> None:
    mixture, noise = known_mixture(2, 6, noise=0.001), 0.001
    xy, weight = seen_people(mixture, 24, missing=missing, weighted=True)
    found = Search.build(mixture, count=80, noise=noise).best(xy, weight)
    everything = exhaustive(mixture, 80, 0.0, xy, weight, noise)
    torch.testing.assert_close(found.component * 80 + found.rotation, everything.argmin(1))
    torch.testing.assert_close(found.cost, everything.amin(1), atol=1e-5, rtol=1e-9)


def test_single_precision_in_and_what_is_unseen_does_not_count() -> None:
    mixture = known_mixture()
    xy, weight = seen_people(mixture, 12, missing=0.4)
    search = Search.build(mixture, count=40, noise=NOISE)
    moved = torch.where(weight[..., None] > 0, xy, -1e6)
    first, second = search.best(xy.float(), weight.float()), search.best(moved.float(), weight.float())
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
    assert first.shape.dtype == first.cost.dtype == DOUBLE
    assert not first.shape.is_inference()


def test_place_and_unit_are_free() -> None:
    mixture = known_mixture()
    xy, weight = seen_people(mixture, 20, weighted=True)
    search = Search.build(mixture, count=40, noise=NOISE)
    first, second = search.best(xy, weight), search.best(0.01 * xy - 70.0, weight)
    torch.testing.assert_close(first.rotation, second.rotation)
    torch.testing.assert_close(first.shape, second.shape, atol=1e-8, rtol=0)
    torch.testing.assert_close(100.0 * first.inverse_scale, second.inverse_scale)
    torch.testing.assert_close(first.cost + 32 * np.log(0.01), second.cost)


def test_a_batch_is_the_same_as_one_by_one_and_as_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = known_mixture(3, 8)
    xy, weight = seen_people(mixture, 23, pitch=0.1, missing=0.3, weighted=True)
    search = Search.build(mixture, pitch=0.1, noise=NOISE)
    together = search.best(xy, weight)
    alone = [search.best(xy[row : row + 1], weight[row : row + 1]) for row in range(len(xy))]
    monkeypatch.setattr(search_module, "CHUNK", 5 * 12 * 12)
    chunked = search.best(xy, weight)
    for name in Found._fields:
        joined = torch.cat([getattr(one, name) for one in alone])
        for other in (joined, getattr(chunked, name)):
            torch.testing.assert_close(getattr(together, name), other, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("many", [0, 10**9])
def test_both_kernels_find_the_same(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = known_mixture(2, 10)
    xy, weight = seen_people(mixture, 12, missing=0.3, weighted=True)
    monkeypatch.setattr(search_systems, "MANY", many)
    found = Search.build(mixture, count=60, noise=NOISE).best(xy, weight)
    agrees(found, mixture, 60, 0.0, xy, weight)


@pytest.mark.parametrize("side", [3, 4, 12, 24])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_corners_are_schur_complements(side: int, kind: type) -> None:
    raw = torch.randn(7, side, side + 6, generator=chance(2), dtype=DOUBLE)
    matrix = raw @ raw.mT
    inner, border = matrix[:, :-2, :-2], matrix[:, :-2, -2:]
    expected = matrix[:, -2:, -2:] - border.mT @ torch.linalg.solve(inner, border)
    expected[:, 0, 0] += torch.linalg.slogdet(inner).logabsdet
    single = matrix.numpy().astype(kind)
    together = corners_together(torch.from_numpy(single.transpose(1, 2, 0).copy()))
    for corner in (together, corners_one_by_one(single.copy())):
        found = torch.from_numpy(np.stack(corner)).double()
        precise = 1e-3 if kind is np.float32 else 1e-9
        torch.testing.assert_close(found, expected[:, [1, 0, 0], [1, 1, 0]].T, atol=precise, rtol=precise)


def test_landmarks_that_fit_to_the_last_digit_are_no_trouble() -> None:
    mixture = known_mixture(1, 3, noise=0.05)
    xy = to_joints(rotated(mixture.gaussians.mean, heading_rotations(80, 0.0)[17]))[..., :2]
    weight = torch.ones(1, 17, dtype=DOUBLE)
    found = Search.build(mixture, noise=1e-4).best(xy, weight)
    assert found.rotation.item() == 17
    torch.testing.assert_close(to_joints(found.shape)[..., :2], found.inverse_scale * xy, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pitch", [0.0, 0.35])
def test_systems_of_turned_candidates(pitch: float) -> None:
    mixture, count = known_mixture(2, 9), 10
    xy, weight = seen_people(mixture, 6, pitch=pitch, missing=0.3, weighted=True)
    search = Search.build(mixture, count=count, pitch=pitch, noise=NOISE)
    assert search.turned.among_functions.shape[1] == 2 * (3 if pitch == 0.0 else 5)
    people, size = centred(xy, weight)
    candidate = torch.randint(2 * count, (6, 11), generator=chance(4))
    found = search.turned.costs(search.turned.prepared(people), candidate.numpy())
    everything = exhaustive(mixture, count, pitch, (xy - xy.mean(1, keepdim=True)) / size, weight)
    torch.testing.assert_close(torch.from_numpy(found).double(), everything.gather(1, candidate), atol=0.02, rtol=0)


def test_as_many_factors_as_the_basis_has_are_exact() -> None:
    mixture, count = known_mixture(2, 4), 60
    xy, weight = seen_people(mixture, 6, pitch=0.2, missing=0.3, weighted=True)
    search = Search.build(mixture, count=count, pitch=0.2, noise=NOISE)
    people, size = centred(xy, weight)
    found = torch.from_numpy(search.rough.costs(people)).double()
    everything = exhaustive(mixture, count, 0.2, (xy - xy.mean(1, keepdim=True)) / size, weight)
    torch.testing.assert_close(found, everything[:, torch.from_numpy(search.rough.candidate)], atol=0.02, rtol=0)


def centred(xy: Tensor, weight: Tensor) -> tuple[Landmarks, Tensor]:
    """Landmarks as the stages want them, but about another place, and what they were divided by."""
    middle = xy - xy.mean(1, keepdim=True)
    size = middle.square().mean((1, 2), keepdim=True).sqrt()
    rows = [weight.T, weight.T == 0, (middle / size).permute(2, 1, 0), 2.0 * ((weight > 0).sum(1) - 1)]
    return Landmarks(*(np.ascontiguousarray(row.numpy(), dtype=np.float32) for row in rows)), size


@pytest.mark.parametrize("count", [1, 2, 9, 20, 29, 31, 50, 79, 80, 81, 111, 160, 400, 999, 2500])
def test_no_heading_is_out_of_reach(count: int) -> None:
    mixture = known_mixture(2, 1)
    first = search_module.Rough.build(mixture, heading_rotations(count, 0.0), NOISE).candidate
    reached = set(first.tolist())
    for near in search_module._neighbours(2, count):
        assert (near // count == np.arange(2 * count)[:, None] // count).all()
        reached |= {int(value) for row in reached for value in near[row]}
    assert reached == set(range(2 * count))


def test_people_without_two_landmarks_apart_are_flagged_and_do_no_harm() -> None:
    mixture = known_mixture()
    xy, weight = seen_people(mixture, 7, missing=0.3)
    search = Search.build(mixture, count=40, noise=NOISE)
    before = search.best(xy, weight)
    weight[1] = 0.0
    weight[3] = 0.0
    weight[3, 4] = 1.0
    xy[5] = xy[5, :1]
    found = search.best(xy, weight)
    assert found.valid.tolist() == [True, False, True, False, True, False, True]
    for name in Found._fields:
        assert bool(getattr(found, name).isfinite().all())
        torch.testing.assert_close(getattr(found, name)[::2], getattr(before, name)[::2], atol=1e-9, rtol=1e-9)


def test_nobody() -> None:
    found = Search.build(known_mixture(), noise=NOISE).best(torch.zeros(0, 17, 2), torch.zeros(0, 17))
    assert [tuple(value.shape) for value in found] == [(0,), (0,), (0,), (0,), (0, 48), (0,)]


@pytest.mark.parametrize(("count", "noise"), [(0, 0.01), (80, 0.0), (80, float("nan"))])
def test_a_search_needs_headings_and_noise(count: int, noise: float) -> None:
    with pytest.raises(ValueError, match="expected at least one heading and some noise"):
        Search.build(known_mixture(), count=count, noise=noise)


def test_what_is_too_sharp_for_single_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 0.0005 with the mixture's own, got 1.4e-04"):
        Search.build(known_mixture(noise=1e-4), noise=1e-4)


def test_costs_are_those_of_the_plain_formula() -> None:
    alpha, beta, gamma, told = torch.rand(4, 50, generator=chance(6), dtype=DOUBLE) + 0.1
    expected = scaled(alpha, beta, gamma, told)
    inverse_scale, cost = Corner(alpha.numpy(), beta.numpy(), gamma.numpy()).scaled(told.numpy())
    torch.testing.assert_close(torch.from_numpy(inverse_scale), expected.inverse_scale)
    torch.testing.assert_close(torch.from_numpy(cost), expected.cost)


@pytest.mark.parametrize("noise", [0.004, 0.03])
@pytest.mark.parametrize("count", [1, 5])
def test_kept_candidates_cost_what_the_plain_solve_says(noise: float, count: int) -> None:
    mixture = known_mixture(2, 6)
    xy, weight = seen_people(mixture, 24, missing=0.3, weighted=True)
    search = Search.build(mixture, count=60, noise=noise)
    candidate, cost = search.kept(xy, weight, count)
    assert candidate.shape == cost.shape == (24, count)
    assert cost.dtype == DOUBLE
    rows = xy[:, None].expand(-1, count, 17, 2), weight[:, None].expand(-1, count, 17)
    torch.testing.assert_close(cost, solved(mixture, candidate, 60, 0.0, *rows, noise).cost, atol=1e-6, rtol=0)
    assert bool((cost.diff(dim=1) >= 0).all())
    assert all(len(set(row)) == count for row in candidate.tolist())
    best = search.best(xy, weight)
    torch.testing.assert_close(candidate[:, 0], best.component * 60 + best.rotation)
    torch.testing.assert_close(cost[:, 0], best.cost)


def test_kept_are_the_cheapest_and_the_rest_is_padded() -> None:
    mixture = known_mixture(2, 6)
    xy, weight = seen_people(mixture, 8, missing=0.3)
    weight[3] = 0.0
    candidate, cost = Search.build(mixture, count=12, noise=NOISE).kept(xy, weight, 30)
    everything = exhaustive(mixture, 12, 0.0, xy, weight.where(weight.any(1, keepdim=True), 1.0))
    seen = torch.arange(8) != 3
    torch.testing.assert_close(cost[seen, :24], everything.sort(1).values[seen], atol=1e-6, rtol=0)
    torch.testing.assert_close(candidate[seen, :24], everything.argsort(1)[seen])
    assert bool(cost[:, 24:].isinf().all())
    assert bool(cost[3].isinf().all())
    with pytest.raises(ValueError, match="count: expected at least 1, got 0"):
        Search.build(mixture, count=12, noise=NOISE).kept(xy, weight, 0)
    nobody = Search.build(mixture, noise=NOISE).kept(xy[:0], weight[:0], 3)
    assert [tuple(value.shape) for value in nobody] == [(0, 3), (0, 3)]


def test_costs_of_searches_with_other_noise_and_pitch_compare() -> None:
    mixture = known_mixture(2, 6)
    xy, weight = seen_people(mixture, 6, pitch=0.2, missing=0.3, weighted=True)
    for pitch, noise in ((0.2, 0.01), (0.2, 0.02), (-0.1, 0.01)):
        candidate, cost = Search.build(mixture, count=60, pitch=pitch, noise=noise).kept(xy, weight, 1)
        twin = solved(mixture, candidate[:, 0], 60, pitch, xy, weight, noise)
        torch.testing.assert_close(cost[:, 0], twin.cost, atol=1e-6, rtol=0)


def test_near_ties_are_decided_in_double_precision() -> None:
    plain = known_mixture(1, 6)
    mean, basis, noise = plain.gaussians
    twice = Gaussians(mean.repeat(2, 1), basis.repeat(2, 1, 1), noise.repeat(2))
    xy, weight = seen_people(plain, 30, missing=0.3, weighted=True)
    for better in (0, 1):
        shares = torch.tensor([0.5, 0.5], dtype=DOUBLE)
        shares[better] += 1e-6
        mixture = Mixture(twice, shares)
        found = Search.build(mixture, noise=NOISE).best(xy, weight)
        assert found.component.tolist() == [better] * 30
        everything = build_table(mixture, Candidates.of(2, heading_rotations(80, 0.0), (NOISE,)), weight[0])
        best = everything.best(centred_view(xy).float()).candidate
        assert (best // 80).tolist() == [better] * 30


def test_directions_of_no_length_are_no_trouble() -> None:
    mixture = known_mixture(2, 6)
    mean, basis, noise = mixture.gaussians
    flat = Mixture(Gaussians(mean, basis * (torch.arange(6) < 2), noise), mixture.shares)
    xy, weight = seen_people(flat, 12, missing=0.3)
    agrees(Search.build(flat, count=60, noise=NOISE).best(xy, weight), flat, 60, 0.0, xy, weight)


@pytest.mark.parametrize("noise", [0.005, 0.04])
def test_the_shipped_prior(noise: float) -> None:
    mixture = load_prior()[0].mixture
    xy, weight = seen_people(mixture, 5, pitch=0.1, missing=0.3, weighted=True)
    found = Search.build(mixture, pitch=0.1, noise=noise).best(xy, weight)
    everything = exhaustive(mixture, 80, 0.1, xy, weight, noise)
    torch.testing.assert_close(found.component * 80 + found.rotation, everything.argmin(1))
    torch.testing.assert_close(found.cost, everything.amin(1), atol=1e-6, rtol=0)


def test_searches_that_differ_in_noise_share_their_tables() -> None:
    mixture = known_mixture(2, 6)
    one, other = (Search.build(mixture, pitch=0.123, noise=noise).turned for noise in (0.01, 0.02))
    assert one.among is other.among
    assert one.landmark_noise != other.landmark_noise


def tables_world(count: int = 40) -> tuple[Mixture, Candidates, Tensor, Tensor]:
    mixture = known_mixture(2, 6)
    xy, _ = seen_people(mixture, 200)
    return mixture, Candidates.of(2, heading_rotations(count, 0.0), (NOISE, 0.02)), torch.ones(17, dtype=DOUBLE), xy


def test_tables_find_what_the_double_twin_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, candidates, weight, xy = tables_world(360)
    view = centred_view(xy / 300.0)
    twin = build_table(mixture, candidates, weight, dtype=DOUBLE)
    exact = twin.costs(view)[0]
    table = build_table(mixture, candidates, weight)
    best = table.best(view.float())
    torch.testing.assert_close(best.candidate, exact.argmin(1))
    torch.testing.assert_close(best.shape.double(), twin.best(view).shape, atol=1e-4, rtol=0)
    single = table.costs(view.float())[0]
    near = exact <= exact.amin(1, keepdim=True) + 3.0
    assert float((single - exact).abs()[near].max()) < 0.5 * table.rounding * table.told
    monkeypatch.setattr(tables, "_CHUNK", 64)
    torch.testing.assert_close(table.best(view.float()), best)


def test_tables_are_the_same_in_chunks_and_without_poses(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, candidates, weight, xy = tables_world()
    log_prior = torch.linspace(-1.0, 0.0, len(candidates.component), dtype=DOUBLE)
    view = centred_view(xy / 300.0).float()
    table = build_table(mixture, candidates, weight, log_prior)
    monkeypatch.setattr(tables, "_BUILT", 7)
    chunked = build_table(mixture, candidates, weight, log_prior)
    short = build_table(mixture, candidates, weight, log_prior, poses=False)
    torch.testing.assert_close(chunked.best(view), table.best(view))
    for costs, inverse_scale in (chunked.costs(view), short.costs(view)):
        torch.testing.assert_close(costs, table.costs(view)[0])
        torch.testing.assert_close(inverse_scale, table.costs(view)[1])
    assert short.nbytes == 160 * 4 * (528 + 32 + 1)
    assert table.nbytes == short.nbytes + 160 * (4 * 48 * 33 + 8 * 561)
    with pytest.raises(ValueError, match="expected one built with poses=True"):
        short.best(view)
