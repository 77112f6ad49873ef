"""Laws of the root translation from 2D."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from sightline.geometry.translation import (
    solve_translation,
    solve_translation_robust,
    weak_perspective_translation,
)

DOUBLE = torch.float64
RULES = ("norm_ratio", "least_squares")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def people(*batch: int, joints: int = 17) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Root-relative joints of human size (m), their image points, and the roots' true positions (m)."""
    relative = 0.35 * torch.randn(*batch, joints, 3, dtype=DOUBLE)
    relative = relative - relative[..., :1, :]
    root = torch.rand(*batch, 3, dtype=DOUBLE) * torch.tensor([4.0, 2.0, 5.0]) + torch.tensor([-2.0, -1.0, 3.0])
    return relative, projected(relative, root), root


def projected(relative: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
    joints = relative + root[..., None, :]
    return joints[..., :2] / joints[..., 2:]


def lstsq(relative: np.ndarray, xy: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slow twin: the rows of the linear system written down one by one and handed to a solver."""
    rows, right = [], []
    for (px, py, pz), (x, y), weight in zip(relative, xy, weights, strict=True):
        rows += [np.sqrt(weight) * np.array([1, 0, -x]), np.sqrt(weight) * np.array([0, 1, -y])]
        right += [np.sqrt(weight) * (x * pz - px), np.sqrt(weight) * (y * pz - py)]
    return np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("joints", [2, 3, 17, 133])
def test_noise_free_data_give_the_exact_root(robust: bool, joints: int) -> None:
    relative, xy, root = people(50, joints=joints)
    relative[:, :, 2].clamp_(min=-1.5)
    xy = projected(relative, root)
    solved = solve_translation_robust(relative, xy).root_cam if robust else solve_translation(relative, xy)
    assert_close(solved, root, rtol=0, atol=1e-9)


def test_far_and_narrow_keeps_nine_digits() -> None:
    relative, _, root = people(50)
    root[:, 2] += 200
    assert_close(solve_translation(relative, projected(relative, root)), root, rtol=1e-9, atol=1e-9)


def test_agrees_with_the_slow_twin_on_noisy_data() -> None:
    relative, xy, _ = people(20)
    xy = xy + 0.01 * torch.randn_like(xy)
    weights = torch.rand(20, 17, dtype=DOUBLE)
    solved = solve_translation(relative, xy, weights)
    for i in range(20):
        expected = lstsq(relative[i].numpy(), xy[i].numpy(), weights[i].numpy())
        assert_close(solved[i], torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


def test_a_weight_of_two_is_the_joint_twice() -> None:
    relative, xy, _ = people(5, joints=5)
    xy = xy + 0.01 * torch.randn_like(xy)
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0, 0.0], dtype=DOUBLE)
    twice = [0, 1, 1, 2, 3, 3, 3]
    assert_close(solve_translation(relative, xy, weights), solve_translation(relative[:, twice], xy[:, twice]))
    for rule in RULES:
        weighted = weak_perspective_translation(relative, xy, xy[:, 0], weights, rule=rule)
        assert_close(weighted, weak_perspective_translation(relative[:, twice], xy[:, twice], xy[:, 0], rule=rule))


@pytest.mark.parametrize(("joints", "bad"), [(20, 4), (20, 6), (17, 5), (13, 4)])
def test_the_robust_root_survives_gross_outliers(joints: int, bad: int) -> None:
    """A fifth to 31 % of the joints far off, in every one of 200 draws."""
    relative, xy, root = people(200, joints=joints)
    wrong = torch.rand(200, joints, dtype=DOUBLE).argsort(-1) < bad
    spoilt = torch.where(wrong[..., None], xy + 0.3 * torch.randn_like(xy).sign() + 0.2 * torch.randn_like(xy), xy)
    solved = solve_translation_robust(relative, spoilt)
    assert_close(solved.root_cam, root, rtol=0, atol=1e-6)
    assert solved.weights[wrong].max() < 1e-6
    assert solved.weights[~wrong].min() > 0.5
    plain = (solve_translation(relative, spoilt) - root).norm(dim=-1)
    assert plain.nan_to_num(torch.inf).median() > 0.3  # plain least squares does not

    noisy = spoilt + 0.002 * torch.randn_like(spoilt)
    clean = xy + 0.002 * torch.randn_like(xy)
    error = (solve_translation_robust(relative, noisy).root_cam - root).norm(dim=-1)
    at_best = (solve_translation(relative, clean) - root).norm(dim=-1)
    assert error.mean() < 2 * at_best.mean()


def test_the_robust_root_costs_little_on_gaussian_noise() -> None:
    relative, xy, root = people(2000)
    xy = xy + 0.003 * torch.randn_like(xy)
    robust = (solve_translation_robust(relative, xy).root_cam - root).square().sum(-1).mean()
    plain = (solve_translation(relative, xy) - root).square().sum(-1).mean()
    assert robust < 1.15 * plain


def test_a_joint_that_is_missing_does_not_count() -> None:
    relative, xy, root = people(6)
    weights = torch.ones(6, 17, dtype=DOUBLE)
    weights[:, [3, 9]] = 0
    xy[:, 3] = torch.nan
    xy[:, 9] += 5
    assert_close(solve_translation(relative, xy, weights), root)
    robust = solve_translation_robust(relative, xy, weights)
    assert_close(robust.root_cam, root)
    assert (robust.weights[:, [3, 9]] == 0).all()


def test_weak_perspective_is_exact_where_it_holds() -> None:
    """Joints in one plane that faces the camera: no perspective within the body, whatever its depth offset."""
    relative, _, root = people(20)
    relative[..., 2] = 0
    relative[..., 1:, 2] += 0.4  # the root stands before the plane of the others
    weights = torch.ones(17, dtype=DOUBLE)
    weights[0] = 0
    xy = projected(relative, root)
    for rule in RULES:
        exact = weak_perspective_translation(relative, xy, xy[:, 0], weights, rule=rule)
        assert_close(exact, root, rtol=1e-10, atol=1e-10)
        uncorrected = weak_perspective_translation(relative, xy, xy[:, 0], weights, rule=rule, corrected=False)
        assert_close(uncorrected[:, 2], root[:, 2] + 0.4)


def test_weak_perspective_follows_its_formulas() -> None:
    relative, xy, _ = people(1)
    body = relative[0, :, :2] - relative[0, :, :2].mean(0)
    image = xy[0] - xy[0].mean(0)
    depths = {"norm_ratio": body.norm() / image.norm(), "least_squares": body.norm() ** 2 / (body * image).sum()}
    for rule, depth in depths.items():
        plain = weak_perspective_translation(relative, xy, xy[:, 0], rule=rule, corrected=False)
        assert_close(plain[0], torch.stack([xy[0, 0, 0] * depth, xy[0, 0, 1] * depth, depth]))
        corrected = weak_perspective_translation(relative, xy, xy[:, 0], rule=rule)
        assert_close(corrected[0, 2], depth - relative[0, :, 2].mean())


def test_weak_perspective_is_near_and_the_correction_helps() -> None:
    relative, _, root = people(500)
    relative = relative + torch.tensor([0.0, 0.0, 0.3], dtype=DOUBLE)  # the joints lie behind the root
    relative[:, 0] = 0
    xy = projected(relative, root)
    for rule in RULES:
        off = [
            (weak_perspective_translation(relative, xy, xy[:, 0], rule=rule, corrected=c) - root).norm(dim=-1).median()
            for c in (True, False)
        ]
        assert off[0] < 0.5 * off[1]


@pytest.mark.parametrize("solve", ["plain", "robust", *RULES])
def test_batch_equals_loop_and_shapes_broadcast(solve: str) -> None:
    def call(relative, xy, weights=None):
        if solve == "plain":
            return solve_translation(relative, xy, weights)
        if solve == "robust":
            return solve_translation_robust(relative, xy, weights).root_cam
        return weak_perspective_translation(relative, xy, xy[..., 0, :], weights, rule=solve)

    relative, xy, _ = people(2, 3)
    xy = xy + 0.01 * torch.randn_like(xy)
    looped = torch.stack([torch.stack([call(relative[i, j], xy[i, j]) for j in range(3)]) for i in range(2)])
    assert_close(call(relative, xy), looped)
    weights = torch.rand(17, dtype=DOUBLE)
    assert_close(call(relative[0, 0], xy, weights)[1, 2], call(relative[0, 0], xy[1, 2], weights))
    assert call(relative[:0], xy[:0]).shape == (0, 3, 3)


def test_gradients() -> None:
    relative, xy, _ = people(2, joints=5)
    xy = xy + 0.01 * torch.randn_like(xy)
    weights = 0.1 + torch.rand(2, 5, dtype=DOUBLE)
    inputs = [x.requires_grad_() for x in (relative, xy, weights)]
    assert gradcheck(solve_translation, inputs)
    for rule in RULES:
        assert gradcheck(lambda p, q, w, r=rule: weak_perspective_translation(p, q, q[:, 0], w, rule=r), inputs)
    solve_translation_robust(relative, xy, weights).root_cam.sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() and x.grad.abs().sum() > 0 for x in inputs)


def one_joint_left(relative, xy, weights) -> None:
    weights[1, 1:] = 0


def no_weight(relative, xy, weights) -> None:
    weights[1] = 0


def one_image_point(relative, xy, weights) -> None:
    xy[1] = 0.1


def nan_counts(relative, xy, weights) -> None:
    xy[1, 4] = torch.nan


def negative_weight(relative, xy, weights) -> None:
    weights[1, 4] = -1


def turned_inside_out(relative, xy, weights) -> None:
    relative[1] *= -1  # solved exactly by −T, behind the camera


@pytest.mark.parametrize(
    "spoil", [one_joint_left, no_weight, one_image_point, nan_counts, negative_weight, turned_inside_out]
)
def test_what_cannot_be_solved_is_nan_and_spoils_no_neighbour(spoil) -> None:
    relative, xy, root = people(3)
    weights = torch.ones(3, 17, dtype=DOUBLE)
    spoil(relative, xy, weights)
    for leaf in (relative, xy, weights):
        leaf.requires_grad_()
    results = [
        solve_translation(relative, xy, weights),
        solve_translation_robust(relative, xy, weights).root_cam,
        *(weak_perspective_translation(relative, xy, root[:, :2] / root[:, 2:], weights, rule=r) for r in RULES),
    ]
    for i, solved in enumerate(results):
        if not (spoil is turned_inside_out and i == 2):  # spreads have no sign: that rule cannot see it
            assert solved[1].isnan().all()
        assert solved[[0, 2]].isfinite().all()
        if i < 2:
            assert_close(solved[[0, 2]], root[[0, 2]])
        solved[[0, 2]].sum().backward(retain_graph=True)
        solved[1].nansum().backward(retain_graph=True)
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (relative, xy, weights))


def test_a_pose_mirrored_in_depth_still_gets_a_root_and_shows_its_misfit() -> None:
    relative, xy, root = people(50)
    mirrored = relative * torch.tensor([1.0, 1.0, -1.0], dtype=DOUBLE)
    solved = solve_translation(mirrored, xy)
    assert solved.isfinite().all()
    misfit = (projected(mirrored, solved) - xy).norm(dim=-1).mean(-1)
    assert (misfit > 1e-3).all()


@pytest.mark.parametrize(
    ("relative", "xy", "weights", "message"),
    [
        ((17, 2), (17, 2), None, "relative_cam: expected"),
        ((1, 3), (1, 2), None, "at least 2 joints"),
        ((17, 3), (16, 2), None, "xy: expected"),
        ((17, 3), (17, 3), None, "xy: expected"),
        ((17, 3), (17, 2), (16,), "weights: expected"),
    ],
)
def test_wrong_shapes_are_refused(relative, xy, weights, message) -> None:
    # The shape checker of the tests stands before the door, so the door is tried without it.
    call = getattr(solve_translation, "__wrapped__", solve_translation)
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(relative), torch.zeros(xy), None if weights is None else torch.ones(weights))


def test_wrong_options_are_refused() -> None:
    relative, xy, _ = people(1)
    with pytest.raises(ValueError, match="iterations: expected"):
        solve_translation_robust(relative, xy, iterations=0)
    call = getattr(weak_perspective_translation, "__wrapped__", weak_perspective_translation)
    with pytest.raises(ValueError, match="rule: expected"):
        call(relative, xy, xy[:, 0], rule="median")
