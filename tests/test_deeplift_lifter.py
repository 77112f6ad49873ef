"""The lifter: the solve against literal twins, tables, refinement, perspective, modes, and what is not a person."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.testing import assert_close

from deeplift_world import DOUBLE, chance, drawn, fitted_prior, headings, known_mixture, poses, prior_of
from sightline.geometry.rotation import axis_rotation, rotation_from_pitch_roll
from sightline.methods.deeplift.candidates import free_rotations
from sightline.methods.deeplift.map_lifter import MapConfig, MapLifter
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.posterior import deviations, joint_covariance, posterior
from sightline.methods.deeplift.projection import LEVEL_FROM_WORLD, centred_view, heading_rotations, solve
from sightline.methods.deeplift.refine import flattened, turned_best
from sightline.methods.deeplift.shapes import CENTRED, FLIP, limb_size, rotated, to_joints, to_shapes
from sightline.methods.deeplift.tables import Candidates, build_table

NOISE = 0.004


def spread(count: int, axes: int = 2, noise: float = NOISE) -> Tensor:
    return (noise**2 * torch.eye(axes, dtype=DOUBLE)).expand(count, 17, axes, axes)


def people(count: int = 8, components: int = 2, axes: int = 2) -> tuple[Mixture, Tensor, Tensor, Tensor]:
    """A mixture, rows of components and rotations, and landmarks that do not quite fit them."""
    mixture = known_mixture(components)
    shape, component = drawn(mixture, count, seed=1, noise=True)
    cam_from_body = LEVEL_FROM_WORLD @ headings(count, 3)
    points = 0.3 * to_joints(rotated(shape, cam_from_body)) + 0.2
    points = points + 0.002 * torch.randn(points.shape, generator=chance(7), dtype=DOUBLE)
    return mixture, component, cam_from_body, points[..., :axes]


def literal(
    mixture: Mixture, component: int, turn: Tensor, points: Tensor, spreads: Tensor, weight: Tensor, scale: Tensor
) -> tuple[np.ndarray, float]:
    """NumPy twin at a given scale: condition the Gaussian of all 51 coordinates on those that are seen; a place
    that may be anywhere is a shift of huge variance. The mean of all joints, and −ln p."""
    axes = points.shape[-1]
    lift = np.kron(np.eye(3), CENTRED.numpy().T)
    turned = np.kron(turn.numpy(), np.eye(16))
    mean = lift @ turned @ mixture.gaussians.mean[component].numpy()
    whole = lift @ turned @ mixture.gaussians.covariance()[component].numpy() @ turned.T @ lift.T
    rows = [17 * axis + joint for axis in range(axes) for joint in range(17) if weight[joint] > 0]
    noise = np.zeros((51, 51))
    for joint in range(17):
        for a in range(axes):
            for b in range(axes):
                noise[17 * a + joint, 17 * b + joint] = spreads[joint, a, b] / max(float(weight[joint]), 1e-300)
    huge = 1e5
    anywhere = huge * np.kron(np.eye(3), np.ones((17, 17)))
    seen = (whole + noise + anywhere)[np.ix_(rows, rows)]
    asked = float(scale) * points.mT.reshape(-1).numpy()[rows] - mean[rows]
    force = np.linalg.solve(seen, asked)
    told = axes * (int((weight > 0).sum()) - 1)
    cost = 0.5 * asked @ force + 0.5 * np.linalg.slogdet(seen)[1] - told * math.log(float(scale))
    cost -= math.log(float(mixture.shares[component])) + 0.5 * axes * math.log(huge)
    return (mean + whole[:, rows] @ force).reshape(3, 17).T, cost


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("kind", ["all", "missing", "weighted", "slanted"])
def test_the_solve_is_that_of_a_literal_twin(axes: int, kind: str) -> None:
    mixture, component, turn, points = people(axes=axes)
    weight = torch.ones(8, 17, dtype=DOUBLE)
    if kind == "missing":
        weight = (torch.rand(8, 17, generator=chance(4)) > 0.4).double()
    if kind == "weighted":
        weight = torch.rand(8, 17, generator=chance(4), dtype=DOUBLE) + 0.05
    spreads = spread(8, axes)
    if kind == "slanted":
        root = NOISE * torch.randn(8, 17, axes, axes, generator=chance(6), dtype=DOUBLE)
        spreads = root @ root.mT + 1e-8 * torch.eye(axes, dtype=DOUBLE)
    found = solve(mixture, component, turn, points, spreads, weight)
    for row in range(8):
        facts = (mixture, int(component[row]), turn[row], points[row], spreads[row], weight[row])
        joints, cost = literal(*facts, found.inverse_scale[row])
        joints = joints - joints.mean(0)
        assert_close(to_joints(found.shape[row]), torch.from_numpy(joints), atol=1e-5, rtol=0)
        assert float(found.cost[row]) == pytest.approx(cost, rel=1e-5, abs=1e-4)
        for factor in (0.999, 1.001):
            assert literal(*facts, factor * found.inverse_scale[row])[1] > cost


def test_a_landmark_of_no_weight_says_nothing() -> None:
    mixture, component, turn, xy = people()
    weight = torch.ones(8, 17, dtype=DOUBLE)
    weight[:, [3, 9]] = 0.0
    first = solve(mixture, component, turn, xy, spread(8), weight)
    xy = xy.clone()
    xy[:, [3, 9]] = 1e3
    for one, other in zip(first, solve(mixture, component, turn, xy, spread(8), weight), strict=True):
        assert_close(one, other)


def test_place_and_scale_leave_the_pose() -> None:
    mixture, component, turn, xy = people()
    weight = torch.ones(8, 17, dtype=DOUBLE)
    first = solve(mixture, component, turn, xy, spread(8), weight)
    second = solve(mixture, component, turn, 250.0 * xy + 400.0, spread(8), weight)
    assert_close(first.shape, second.shape, atol=1e-9, rtol=1e-7)
    assert_close(first.inverse_scale, 250.0 * second.inverse_scale)
    assert_close(second.cost - first.cost, torch.full((8,), 32 * math.log(250.0), dtype=DOUBLE))


@pytest.mark.parametrize("missing", [0, 6])
def test_people_drawn_from_the_model_are_recovered(missing: int) -> None:
    """No noise: pose, scale and place come back to 1e-4 of the body's size from the component and turn they have."""
    mixture = known_mixture(2, basis=4, noise=1e-4)
    shape, component = drawn(mixture, 20, seed=2)
    turn = LEVEL_FROM_WORLD @ headings(20, 1)
    truth = rotated(shape, turn)
    weight = torch.ones(20, 17, dtype=DOUBLE)
    weight[:, :missing] = 0.0
    xy = to_joints(truth)[..., :2] / 7.0 + 0.3
    found = solve(mixture, component, turn, xy, spread(20, noise=1e-5), weight)
    assert_close(found.shape, truth, atol=1e-4, rtol=0)
    assert_close(found.inverse_scale, torch.full((20,), 7.0, dtype=DOUBLE), atol=0, rtol=1e-4)


def test_gradients_of_the_solve() -> None:
    mixture, component, turn, xy = people(2)
    weight = (torch.rand(2, 17, generator=chance(4), dtype=DOUBLE) + 0.1).requires_grad_()

    def answer(points: Tensor, counts: Tensor) -> tuple[Tensor, ...]:
        found = solve(mixture, component, turn, points, spread(2), counts)
        return found.shape, found.inverse_scale, found.cost

    assert gradcheck(answer, (xy.requires_grad_(), weight), atol=1e-4, rtol=1e-3)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", [0.0, -0.3])
@pytest.mark.parametrize("missing", [(), (2, 3, 9)])
def test_a_table_is_the_solve_of_every_candidate(pitch: float, missing: tuple[int, ...]) -> None:
    mixture, _, _, xy = people(5)
    weight = torch.ones(17, dtype=DOUBLE)
    weight[list(missing)] = 0.0
    candidates = Candidates.of(2, heading_rotations(12, pitch), (0.004, 0.02))
    table = build_table(mixture, candidates, weight, dtype=DOUBLE)
    costs, scales = table.costs(centred_view(xy))
    for number in range(len(candidates.component)):
        turn = candidates.cam_from_body[candidates.rotation[number]].expand(5, 3, 3)
        noise = float(candidates.noise[candidates.level[number]])
        row = torch.full((5,), int(candidates.component[number]))
        found = solve(mixture, row, turn, xy, spread(5, noise=noise), weight.expand(5, 17))
        assert_close(costs[:, number], found.cost, atol=1e-6, rtol=1e-7)
        assert_close(scales[:, number], found.inverse_scale)
        assert_close(table.shapes(centred_view(xy), torch.full((5,), number), scales[:, number]), found.shape)


def test_single_precision_is_enough() -> None:
    mixture, _, _, xy = people(60)
    candidates = Candidates.of(2, heading_rotations(80, 0.0), (0.004,))
    double, single = (build_table(mixture, candidates, torch.ones(17), dtype=kind) for kind in (DOUBLE, torch.float32))
    first, second = double.costs(centred_view(xy))[0], single.costs(centred_view(xy).float())[0].double()
    near = first < first.min(1, keepdim=True).values + 30.0
    assert float((first - second)[near].abs().max()) < 0.04
    assert float((first.argmin(1) == second.argmin(1)).double().mean()) > 0.98


# --- the lifter -------------------------------------------------------------------------------------------------------


def standing(prior_seed: int = 0, count: int = 24) -> tuple[Tensor, Tensor]:
    """Procedural people before a level camera, body sizes: joints about their mean, and headings."""
    joints = to_joints(to_shapes(poses(count, seed=prior_seed + 20)).shape)
    return joints @ (LEVEL_FROM_WORLD @ headings(count, 5)).mT, headings(count, 5)


def errors(found: Tensor, truth: Tensor) -> Tensor:
    """Mean joint error in body sizes, about the root, at the true size."""
    found = found / limb_size(found)[..., None, None]
    return ((found - found[..., :1, :]) - (truth - truth[..., :1, :])).norm(dim=-1).mean(-1)


@pytest.fixture(scope="module")
def lifter() -> MapLifter:
    """Of the paper's kind: one level of noise, nothing refined."""
    return MapLifter(fitted_prior(), MapConfig(noise=(0.005,), refine=False, perspective_rounds=0))


def test_the_chosen_candidate_is_that_of_the_exhaustive_search(lifter: MapLifter) -> None:
    truth, _ = standing()
    xy = truth[..., :2]
    found = lifter.lift(xy)
    costs = []
    for component in range(2):
        for turn in heading_rotations(80, 0.0):
            rows = torch.full((24,), component)
            one = solve(
                lifter.prior.mixture,
                rows,
                turn.expand(24, 3, 3),
                xy,
                spread(24, noise=0.005),
                torch.ones(24, 17).double(),
            )
            costs.append(one.cost)
    assert_close(found.cost[:, 0], torch.stack(costs).min(0).values, atol=1e-6, rtol=0)
    assert bool(found.valid.all())


def test_people_are_lifted(lifter: MapLifter) -> None:
    truth, _ = standing()
    found = lifter.lift(truth[..., :2])
    assert float(errors(found.joints[:, 0], truth).mean()) < 0.09
    assert_close(found.joints[:, 0, :, :2], truth[..., :2], atol=0.08, rtol=0)


def test_eighty_rotations_are_as_good_as_many(lifter: MapLifter) -> None:
    truth, _ = standing(count=60)
    many = MapLifter(lifter.prior, MapConfig(rotations=400, noise=(0.005,), refine=False, perspective_rounds=0))
    first, second = (errors(one.lift(truth[..., :2]).joints[:, 0], truth).mean() for one in (lifter, many))
    assert float((first - second).abs()) < 0.004


def test_refinement_only_lowers_the_cost(lifter: MapLifter) -> None:
    truth, _ = standing()
    finer = MapLifter(lifter.prior, MapConfig(noise=(0.005,), refine=True, perspective_rounds=0, sweeps=3))
    coarse, fine = lifter.lift(truth[..., :2]), finer.lift(truth[..., :2])
    assert bool((fine.cost <= coarse.cost + 1e-9).all())
    assert float((coarse.cost - fine.cost).max()) > 0.01


def test_turns_are_refined_to_the_minimum() -> None:
    goal = axis_rotation("z", torch.tensor([0.03, -0.05, 0.0], dtype=DOUBLE))

    def cost(turn: Tensor) -> Tensor:
        return 1.0 - (goal * turn).sum((-2, -1)) / 3

    start = torch.eye(3, dtype=DOUBLE).expand(3, 3, 3)
    assert_close(turned_best(cost, start, "upright"), goal, atol=1e-5, rtol=0)
    tilted = axis_rotation("x", torch.tensor([0.04, 0.0, -0.02], dtype=DOUBLE)) @ goal

    def free(turn: Tensor) -> Tensor:
        return 1.0 - (tilted * turn).sum((-2, -1)) / 3

    assert float(free(turned_best(free, start, "any")).max()) < 1e-6


@pytest.mark.parametrize("pitch", [-0.35, 0.2])
def test_a_camera_that_knows_its_tilt_sees_as_well_as_a_level_one(lifter: MapLifter, pitch: float) -> None:
    truth, _ = standing()
    tilt = rotation_from_pitch_roll(torch.tensor(pitch, dtype=DOUBLE), torch.tensor(0.0, dtype=DOUBLE))
    up = tilt @ torch.tensor([0.0, -1.0, 0.0], dtype=DOUBLE)
    seen = truth @ tilt.mT
    told = errors(lifter.lift(seen[..., :2], up_cam=up).joints[:, 0], seen).mean()
    untold = errors(lifter.lift(seen[..., :2]).joints[:, 0], seen).mean()
    assert float(told) < 0.09
    assert float(told) < float(untold)


def test_an_unknown_tilt_can_be_searched(lifter: MapLifter) -> None:
    truth, _ = standing()
    tilt = rotation_from_pitch_roll(torch.tensor(-0.35, dtype=DOUBLE), torch.tensor(0.0, dtype=DOUBLE))
    seen = truth @ tilt.mT
    searching = MapLifter(
        lifter.prior,
        MapConfig(noise=(0.005,), refine=False, perspective_rounds=0, tilts_rad=(-0.35, -0.175, 0.0, 0.175)),
    )
    found, blind = (errors(one.lift(seen[..., :2]).joints[:, 0], seen).mean() for one in (searching, lifter))
    assert float(found) < float(blind)


def test_rolling_the_camera_rolls_the_answer(lifter: MapLifter) -> None:
    truth, _ = standing()
    roll = rotation_from_pitch_roll(torch.tensor(0.0, dtype=DOUBLE), torch.tensor(0.6, dtype=DOUBLE))
    level, rolled = lifter.lift(truth[..., :2]), lifter.lift((truth @ roll.mT)[..., :2], up_cam=roll @ up_level())
    assert_close(rolled.joints, level.joints @ roll.mT, atol=1e-7, rtol=0)
    assert_close(rolled.cam_from_body, roll @ level.cam_from_body, atol=1e-9, rtol=0)
    assert_close(rolled.cost, level.cost, atol=1e-6, rtol=0)


def up_level() -> Tensor:
    return torch.tensor([0.0, -1.0, 0.0], dtype=DOUBLE)


def test_people_are_lifted_alone_as_among_others(lifter: MapLifter) -> None:
    truth, _ = standing()
    weight = (torch.rand(24, 17, generator=chance(3)) > 0.2).double()
    weight[:6] = 1.0
    up = torch.nn.functional.normalize(torch.randn(24, 3, generator=chance(1), dtype=DOUBLE) * 0.2 + up_level(), dim=1)
    whole = lifter.lift(truth[..., :2], weight, up_cam=up)
    for row in range(0, 24, 5):
        alone = lifter.lift(truth[row : row + 1, :, :2], weight[row : row + 1], up_cam=up[row : row + 1])
        assert_close(alone.joints[0], whole.joints[row], atol=1e-6, rtol=0)
        assert_close(alone.cost[0], whole.cost[row], atol=1e-6, rtol=0)


def test_near_people_are_flattened(lifter: MapLifter) -> None:
    """Full perspective at three body sizes: what weak perspective gets wrong, the correction takes back."""
    truth, _ = standing(count=60)
    placed = truth + torch.tensor([0.05, -0.1, 3.0], dtype=DOUBLE)
    xy = placed[..., :2] / placed[..., 2:]
    corrected = MapLifter(lifter.prior, MapConfig(noise=(0.005,), refine=False, perspective_rounds=3))
    weak, full = lifter.lift(xy), corrected.lift(xy)
    assert float(errors(full.joints[:, 0], truth).mean()) < float(errors(weak.joints[:, 0], truth).mean())
    assert_close(full.place[:, 0].median(0).values, placed.mean(1).median(0).values, atol=0.1, rtol=0)


def test_flattening_is_exact_where_the_pose_is() -> None:
    truth, _ = standing()
    placed = truth + torch.tensor([0.4, -0.1, 4.0], dtype=DOUBLE)
    shape, size = to_shapes(truth)
    found = solve(
        *people(24)[:2], LEVEL_FROM_WORLD.expand(24, 3, 3), truth[..., :2], spread(24), torch.ones(24, 17).double()
    )
    found = found._replace(shape=shape, inverse_scale=torch.full((24,), 4.0, dtype=DOUBLE))
    assert_close(size, torch.ones(24, dtype=DOUBLE))
    assert_close(flattened(placed[..., :2] / placed[..., 2:], found), placed[..., :2] / 4.0)


def test_modes_differ_and_the_likeliest_comes_first(lifter: MapLifter) -> None:
    truth, _ = standing()
    several = MapLifter(lifter.prior, MapConfig(noise=(0.005,), refine=False, perspective_rounds=0, modes=4))
    found = several.lift(truth[..., :2])
    assert bool((found.cost.diff(dim=1) >= 0).all())
    assert_close(found.share.sum(1), torch.ones(24, dtype=DOUBLE))
    assert_close(found.joints[:, 0], lifter.lift(truth[..., :2]).joints[:, 0], atol=1e-6, rtol=0)
    best = torch.stack([errors(found.joints[:, mode], truth) for mode in range(4)]).min(0).values
    assert float(best.mean()) < float(errors(found.joints[:, 0], truth).mean())
    for row in range(24):
        for one in range(4):
            for other in range(one):
                if found.component[row, one] == found.component[row, other]:
                    between = (found.cam_from_body[row, one] * found.cam_from_body[row, other]).sum()
                    assert float((between - 1) / 2) < math.cos(math.radians(29))


def test_each_persons_noise_is_found(lifter: MapLifter) -> None:
    truth, _ = standing(count=60)
    finding = MapLifter(lifter.prior, MapConfig(noise=(0.004, 0.05), refine=False, perspective_rounds=0))
    noisy = truth[..., :2] + 0.05 * torch.randn(60, 17, 2, generator=chance(9), dtype=DOUBLE)
    assert float((finding.lift(noisy).noise == 0.05).double().mean()) > 0.9
    assert float((finding.lift(truth[..., :2]).noise == 0.004).double().mean()) > 0.5


def test_a_given_covariance_counts(lifter: MapLifter) -> None:
    truth, _ = standing()
    xy = truth[..., :2].clone()
    xy[:, 16] += 0.3
    wide = torch.full((24, 17), 1e-5, dtype=DOUBLE)
    wide[:, 16] = 1.0
    told = lifter.lift(xy, covariance=wide[..., None, None] * torch.eye(2, dtype=DOUBLE))
    assert float(errors(told.joints[:, 0], truth).mean()) < float(errors(lifter.lift(xy).joints[:, 0], truth).mean())


def test_a_covariance_rolls_with_the_camera(lifter: MapLifter) -> None:
    truth, _ = standing()
    roll = rotation_from_pitch_roll(torch.tensor(0.0, dtype=DOUBLE), torch.tensor(1.2, dtype=DOUBLE))
    flat = torch.diag(torch.tensor([1e-4, 1e-8], dtype=DOUBLE)).expand(24, 17, 2, 2)
    turned = roll[:2, :2] @ flat @ roll[:2, :2].mT
    level = lifter.lift(truth[..., :2], covariance=flat)
    rolled = lifter.lift((truth @ roll.mT)[..., :2], up_cam=roll @ up_level(), covariance=turned)
    assert_close(rolled.joints, level.joints @ roll.mT, atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("covariance", torch.eye(2).expand(3, 1, 2, 2)),
        ("covariance", torch.full((3, 17, 2, 2), torch.nan)),
        ("covariance", -torch.eye(2).expand(3, 17, 2, 2)),
        ("up_cam", torch.tensor([0.0, torch.nan, 0.0])),
        ("up_cam", torch.zeros(3)),
    ],
)
def test_directions_and_covariances_that_are_none(lifter: MapLifter, name: str, value: Tensor) -> None:
    truth, _ = standing(count=3)
    call: Any = getattr(MapLifter.lift, "__wrapped__", MapLifter.lift)
    while hasattr(call, "__wrapped__"):
        call = call.__wrapped__
    with pytest.raises(ValueError, match=f"{name}: expected"):
        call(lifter, truth[..., :2], **{name: value})


@pytest.mark.parametrize("kind", ["four", "one spot", "none"])
def test_who_cannot_be_lifted_is_marked_and_harms_nobody(lifter: MapLifter, kind: str) -> None:
    truth, _ = standing(count=3)
    xy, weight = truth[..., :2].clone(), torch.ones(3, 17, dtype=DOUBLE)
    if kind == "four":
        weight[1, 4:] = 0.0
    if kind == "one spot":
        xy[1] = 0.25
    if kind == "none":
        xy[1] = torch.nan
    found = lifter.lift(xy, weight)
    assert found.valid.tolist() == [True, False, True]
    assert bool(found.joints[1].isnan().all())
    others = lifter.lift(truth[[0, 2], :, :2])
    assert_close(found.joints[[0, 2]], others.joints, atol=1e-7, rtol=0)


def test_collinear_landmarks_are_lifted_and_cost_much(lifter: MapLifter) -> None:
    """A stick is no person: there is an answer, less likely than any person's."""
    truth, _ = standing()
    stick = torch.linspace(-0.5, 0.5, 17, dtype=DOUBLE)[None, :, None] * torch.tensor([0.3, 1.0], dtype=DOUBLE)
    odd = lifter.lift(stick)
    assert bool(odd.valid.all())
    assert bool(odd.joints.isfinite().all())
    assert float(odd.cost) + 32 * math.log(float(odd.place[0, 0, 2])) > float(lifter.lift(truth[..., :2]).cost.max())


def test_people_upside_down_cost_much(lifter: MapLifter) -> None:
    truth, _ = standing()
    right, wrong = lifter.lift(truth[..., :2]), lifter.lift(-truth[..., :2])
    assert float((wrong.cost - right.cost).median()) > 5.0


def test_exchanged_sides_are_another_person_as_likely(lifter: MapLifter) -> None:
    """Without perspective, a mirror behind a person shows the same picture with the sides exchanged."""
    truth, _ = standing()
    right, other = lifter.lift(truth[..., :2]), lifter.lift(truth[:, FLIP, :2])
    glass = torch.tensor([1.0, 1.0, -1.0], dtype=DOUBLE)
    assert float((other.cost - right.cost).median().abs()) < 3.0
    assert float(errors(other.joints[:, 0], (truth * glass)[:, FLIP]).mean()) < 0.09


@pytest.mark.parametrize(
    ("xy", "weight", "message"),
    [
        (torch.zeros(3, 16, 2), None, "xy: expected"),
        (torch.rand(3, 17, 2), torch.full((3, 17), torch.nan), "weight: expected"),
        (torch.rand(3, 17, 2), -torch.ones(3, 17), "weight: expected"),
        (torch.rand(3, 17, 2), torch.ones(2, 17), "weight: expected"),
    ],
)
def test_calls_that_mean_nothing(lifter: MapLifter, xy: Tensor, weight: Tensor | None, message: str) -> None:
    call = getattr(MapLifter.lift, "__wrapped__", MapLifter.lift)
    while hasattr(call, "__wrapped__"):
        call = call.__wrapped__
    with pytest.raises(ValueError, match=message):
        call(lifter, xy, weight)


def test_nobody_is_lifted_to_nobody(lifter: MapLifter) -> None:
    assert lifter.lift(torch.zeros(0, 17, 2)).joints.shape == (0, 1, 17, 3)


@pytest.mark.parametrize(
    "changes",
    [{"rotations": 0}, {"modes": 0}, {"noise": ()}, {"noise": (0.0,)}, {"perspective_rounds": -1}, {"tilts_rad": ()}],
)
def test_configurations_that_mean_nothing(changes: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        MapConfig(**changes)


# --- any orientation --------------------------------------------------------------------------------------------------


def test_no_orientation_is_far_from_one_that_is_tried() -> None:
    tried = free_rotations(math.radians(24.0))
    assert_close(tried @ tried.mT, torch.eye(3, dtype=DOUBLE).expand_as(tried), atol=1e-12, rtol=0)
    quaternion = torch.randn(500, 4, generator=chance(2), dtype=DOUBLE)
    import roma

    any_turn = roma.unitquat_to_rotmat(quaternion / quaternion.norm(dim=1, keepdim=True))
    cosine = (any_turn.flatten(1) @ tried.flatten(1).mT - 1) / 2
    assert math.degrees(float(cosine.max(1).values.min().clamp(-1, 1).acos())) < 24.0


def test_whoever_stands_on_their_hands_is_lifted_when_asked() -> None:
    upright = fitted_prior()
    free = MapLifter(
        prior_of(upright.mixture, "any"), MapConfig(spacing_rad=math.radians(24), noise=(0.005,), perspective_rounds=0)
    )
    truth, _ = standing(count=12)
    over = truth @ axis_rotation("z", torch.tensor(math.pi, dtype=DOUBLE)).mT
    found = errors(free.lift(over[..., :2]).joints[:, 0], over).mean()
    blind = errors(MapLifter(upright).lift(over[..., :2]).joints[:, 0], over).mean()
    assert float(found) < 0.12
    assert float(found) < 0.7 * float(blind)


# --- how sure ---------------------------------------------------------------------------------------------------------


def test_covariance_is_that_of_the_literal_conditional() -> None:
    mixture, component, turn, xy = people(3)
    weight = torch.ones(3, 17, dtype=DOUBLE)
    weight[:, [3, 9]] = 0.0
    found = solve(mixture, component, turn, xy, spread(3), weight)
    known = posterior(mixture, component, turn, xy, spread(3), weight, found.inverse_scale)
    whole = known.covariance
    assert_close(whole, whole.mT, atol=1e-10, rtol=0)
    assert float(torch.linalg.eigvalsh(whole).min()) > -1e-9
    step = 1e-5
    for row in range(3):
        facts = (mixture, int(component[row]), turn[row], xy[row], spread(3)[row], weight[row])
        least = literal(*facts, found.inverse_scale[row])[1]
        sides = [literal(*facts, found.inverse_scale[row] * (1 + sign * 1e-3))[1] for sign in (-1, 1)]
        bend = (sides[0] + sides[1] - 2 * least) / (1e-3 * float(found.inverse_scale[row])) ** 2
        moved = [literal(*facts, found.inverse_scale[row] + sign * step)[0] for sign in (-1, 1)]
        slope = torch.from_numpy((moved[1] - moved[0]) / (2 * step))
        slope = slope - slope.mean(0)
        joints = joint_covariance(whole, None)[row]
        assert_close(known.scale[row], torch.tensor(bend**-0.5 / float(found.inverse_scale[row])), atol=0, rtol=1e-3)
        scale_part = slope[:, :, None, None] * slope[None, None] / bend
        lift = np.kron(np.eye(3), CENTRED.numpy().T)
        turned = np.kron(turn[row].numpy(), np.eye(16))
        prior = lift @ turned @ mixture.gaussians.covariance()[int(component[row])].numpy() @ turned.T @ lift.T
        rows = [17 * axis + joint for axis in range(2) for joint in range(17) if weight[row, joint] > 0]
        seen = prior[np.ix_(rows, rows)] + NOISE**2 * np.eye(len(rows))
        seen += 1e5 * np.kron(np.eye(2), np.ones((15, 15)))
        post = prior - prior[:, rows] @ np.linalg.solve(seen, prior[rows])
        expected = torch.from_numpy(post.reshape(3, 17, 3, 17)).permute(1, 0, 3, 2) + scale_part
        assert_close(joints, expected, atol=3e-6, rtol=1e-2)


def test_deviations_cover_the_errors_of_people_drawn_from_the_model() -> None:
    mixture = known_mixture(1, basis=12, noise=0.02)
    shape, component = drawn(mixture, 300, seed=4, noise=True)
    turn = LEVEL_FROM_WORLD @ headings(300, 2)
    truth = rotated(shape, turn)
    xy = to_joints(truth)[..., :2] + NOISE * torch.randn(300, 17, 2, generator=chance(1), dtype=DOUBLE)
    weight = torch.ones(300, 17, dtype=DOUBLE)
    found = solve(mixture, component, turn, xy, spread(300), weight)
    whole = posterior(mixture, component, turn, xy, spread(300), weight, found.inverse_scale).covariance
    sigma = deviations(joint_covariance(whole))[:, 1:]
    error = to_joints(found.shape) - to_joints(truth)
    error = (error - error[:, :1])[:, 1:]
    assert float((error.abs() < sigma).double().mean()) == pytest.approx(0.683, abs=0.03)
