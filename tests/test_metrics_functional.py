"""Every error equals a slow NumPy twin, written from its definition one sample and one joint at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor

from sightline.metrics import functional
from sightline.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
J = len(H36M)


# ---- the twins: NumPy, one pose at a time ---------------------------------------------------------------------------


def twin_aligned(p: np.ndarray, t: np.ndarray, w: np.ndarray, alignment: str, root: int) -> np.ndarray:
    """The difference p − t of one pose after an alignment; w are weights, 0 where a joint is not fitted to."""
    if alignment == "none":
        return p - t
    if alignment in ("root", "scale"):
        p, t = p - p[root], t - t[root]
        if alignment == "scale":
            used = w > 0
            p = p * max(0.0, np.sum(w[used, None] * p[used] * t[used]) / np.sum(w[used, None] * p[used] ** 2))
        return p - t
    used = w > 0
    share = (w[used] / w[used].sum())[:, None]
    p_mean, t_mean = (share * p[used]).sum(0), (share * t[used]).sum(0)
    u, s, vt = np.linalg.svd((t[used] - t_mean).T @ (share * (p[used] - p_mean)))
    sign = np.diag([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = np.trace(np.diag(s) @ sign) / np.sum(share * (p[used] - p_mean) ** 2)
    return scale * (p - p_mean) @ (u @ sign @ vt).T + t_mean - t


def twin_joints(
    score: Callable[[np.ndarray], Any], alignment: str, root_counted: bool, root: int, needs: int = 1
) -> Callable[..., list[Any]]:
    """One value per sample: the weighted mean of `score(difference)` over joints."""

    def per_sample(p: np.ndarray, t: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> list[Any]:
        out = []
        for one_p, one_t, one_mask, one_w in zip(p, t, mask, weights, strict=True):
            used = [j for j in range(J) if one_mask[j] and one_w[j] > 0]
            averaged = [j for j in used if root_counted or alignment not in ("root", "scale") or j != root]
            rootless = alignment in ("root", "scale") and not one_mask[root]
            if rootless or len(averaged) < needs:
                out.append(None)
                continue
            fit = np.where(one_mask, one_w, 0.0)
            difference = twin_aligned(one_p, one_t, fit, alignment, root)
            values = [np.asarray(score(difference[j])) * one_w[j] for j in averaged]
            out.append(sum(values) / sum(one_w[j] for j in averaged))
        return out

    return per_sample


def twin_root(score: Callable[[np.ndarray], Any], root: int) -> Callable[..., list[Any]]:
    def per_sample(p: np.ndarray, t: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> list[Any]:
        return [score(a[root] - b[root]) if m[root] else None for a, b, m in zip(p, t, mask, strict=True)]

    return per_sample


def twin_bones(p: np.ndarray, t: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> list[Any]:
    out = []
    for one_p, one_t, one_mask, one_w in zip(p, t, mask, weights, strict=True):
        total, weight = 0.0, 0.0
        for child, parent in H36M.bones:
            w = min(one_w[child], one_w[parent])
            if one_mask[child] and one_mask[parent] and w > 0:
                length = math.dist(one_p[child], one_p[parent]) - math.dist(one_t[child], one_t[parent])
                total, weight = total + w * abs(length), weight + w
        out.append(total / weight if weight else None)
    return out


def size(difference: np.ndarray) -> float:
    return math.sqrt(sum(float(x) ** 2 for x in difference))


def area(difference: np.ndarray) -> float:
    return sum(size(difference) < k * 0.005 for k in range(31)) / 31


TWINS = [
    ("mpjpe", functional.mpjpe, {}, twin_joints(size, "root", False, 0)),
    ("mpjpe counted", functional.mpjpe, {"root": "counted"}, twin_joints(size, "root", True, 0)),
    ("mpjpe other root", functional.mpjpe, {"root_joint": 8}, twin_joints(size, "root", False, 8)),
    ("n_mpjpe", functional.n_mpjpe, {}, twin_joints(size, "scale", False, 0)),
    ("n_mpjpe counted", functional.n_mpjpe, {"root": "counted"}, twin_joints(size, "scale", True, 0)),
    ("pa_mpjpe", functional.pa_mpjpe, {}, twin_joints(size, "similarity", True, 0, needs=3)),
    ("abs_mpjpe", functional.abs_mpjpe, {}, twin_joints(size, "none", True, 0)),
    ("per_axis_error", functional.per_axis_error, {}, twin_joints(np.abs, "root", False, 0)),
    ("per_axis_error absolute", functional.per_axis_error, {"alignment": "none"}, twin_joints(np.abs, "none", True, 0)),
    ("depth_error", functional.depth_error, {}, twin_joints(lambda d: abs(d[2]), "root", False, 0)),
    ("mrpe", functional.mrpe, {}, twin_root(size, 0)),
    ("mrpe_axes", functional.mrpe_axes, {"root_joint": 8}, twin_root(np.abs, 8)),
    ("pck3d", functional.pck3d, {}, twin_joints(lambda d: float(size(d) < 0.15), "root", False, 0)),
    (
        "pck3d aligned",
        functional.pck3d,
        {"threshold_m": 0.1, "alignment": "similarity"},
        twin_joints(lambda d: float(size(d) < 0.1), "similarity", True, 0, needs=3),
    ),
    ("auc", functional.auc, {}, twin_joints(area, "root", False, 0)),
    ("auc counted", functional.auc, {"root": "counted"}, twin_joints(area, "root", True, 0)),
    ("bone_length_error", functional.bone_length_error, {"bones": H36M.bones}, twin_bones),
]
CASES = pytest.mark.parametrize(("function", "settings", "twin"), [row[1:] for row in TWINS], ids=[r[0] for r in TWINS])


def people(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Predicted and true poses (m, float64): the truth a random pose in front of the camera, the prediction near it."""
    generator = torch.Generator().manual_seed(seed)
    true = 0.4 * torch.randn(count, J, 3, generator=generator, dtype=torch.float64)
    true = true + torch.tensor([0.3, -0.2, 4.0], dtype=torch.float64)
    noise = 0.08 * torch.randn(count, J, 3, generator=generator, dtype=torch.float64)
    return 1.1 * true + noise, true


def choices(count: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """A mask with every odd case (no root, too few joints, none), joint weights with zeros, sample weights."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(count, J, generator=generator) < 0.8
    mask[0], mask[1], mask[2] = False, True, True
    mask[1, 0] = mask[1, 8] = False
    mask[2, 2:8] = False
    mask[3, 2:] = False
    weights = torch.rand(count, J, generator=generator, dtype=torch.float64) + 0.1
    weights[4:, 3] = 0.0
    return mask, weights, torch.rand(count, generator=generator, dtype=torch.float64) + 0.5


def hidden(poses: Tensor, mask: Tensor) -> Tensor:
    """Poses with NaN where the mask hides them."""
    return poses.where(mask[..., None], torch.nan)


@CASES
def test_equals_its_twin_with_masks_and_weights(function: Any, settings: dict[str, Any], twin: Any) -> None:
    predicted, true = people(9)
    mask, weights, sample_weights = choices(9)
    by_joint = {} if function in (functional.mrpe, functional.mrpe_axes) else {"weights": weights}
    expected = twin(*(x.numpy() for x in (predicted, true, mask, weights)))
    predicted, true = hidden(predicted, mask), hidden(true, mask)

    got = function(predicted, true, mask=mask, reduction="none", **by_joint, **settings)
    scored = [value is not None for value in expected]
    assert any(scored)
    assert not all(scored)
    assert got.isnan().reshape(9, -1).all(1).tolist() == [not yes for yes in scored]
    known = np.array([value for value in expected if value is not None])
    np.testing.assert_allclose(got[scored], known, rtol=1e-9, atol=1e-12)

    share = sample_weights.numpy()[scored]
    total = (known.T * share).sum(-1)
    keywords = {"mask": mask, "sample_weights": sample_weights, **by_joint, **settings}
    np.testing.assert_allclose(function(predicted, true, **keywords), total / share.sum(), rtol=1e-9)
    summed = function(predicted, true, reduction="total", **keywords)
    np.testing.assert_allclose(summed[..., 0], total, rtol=1e-9)
    np.testing.assert_allclose(summed[..., 1], np.broadcast_to(share.sum(), total.shape), rtol=1e-9)


@CASES
def test_equals_its_twin_without_options(function: Any, settings: dict[str, Any], twin: Any) -> None:
    predicted, true = people(4, seed=3)
    expected = np.array(twin(predicted.numpy(), true.numpy(), np.ones((4, J), bool), np.ones((4, J))))
    np.testing.assert_allclose(function(predicted, true, **settings), expected.mean(0), rtol=1e-9)
    single = function(predicted[0], true[0], **settings)
    np.testing.assert_allclose(single, expected[0], rtol=1e-9)
    np.testing.assert_allclose(function(predicted[0], true[0], reduction="none", **settings), expected[0], rtol=1e-9)


@CASES
def test_float32_agrees(function: Any, settings: dict[str, Any], twin: Any) -> None:
    predicted, true = people(6, seed=4)
    got = function(predicted.float(), true.float(), **settings)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), function(predicted, true, **settings), rtol=1e-4, atol=1e-4)


@CASES
def test_leading_axes_are_samples(function: Any, settings: dict[str, Any], twin: Any) -> None:
    predicted, true = people(6, seed=5)
    mask = choices(6)[0]
    flat = function(predicted, true, mask=mask, reduction="none", **settings)
    grid = function(
        predicted.reshape(2, 3, J, 3),
        true.reshape(2, 3, J, 3),
        mask=mask.reshape(2, 3, J),
        reduction="none",
        **settings,
    )
    torch.testing.assert_close(grid.reshape(flat.shape), flat, equal_nan=True)
    one_mask = function(predicted, true, mask=mask[4], **settings)
    torch.testing.assert_close(one_mask, function(predicted, true, mask=mask[4].expand(6, J), **settings))


# ---- accelerations --------------------------------------------------------------------------------------------------


def twin_acceleration(p: np.ndarray, t: np.ndarray, mask: np.ndarray, fps: float, root: int | None) -> np.ndarray:
    out = np.full(len(p) - 2, np.nan)
    for f in range(1, len(p) - 1):
        here = [j for j in range(J) if mask[f - 1 : f + 2, j].all()]
        sizes = []
        for j in here:
            rates = [(x[f - 1, j] - 2 * x[f, j] + x[f + 1, j]) * fps**2 for x in (p, t)]
            if root is not None:
                rates = [
                    r - (x[f - 1, root] - 2 * x[f, root] + x[f + 1, root]) * fps**2
                    for r, x in zip(rates, (p, t), strict=True)
                ]
            if j != root:
                sizes.append(size(rates[0] - rates[1]))
        if sizes and (root is None or root in here):
            out[f - 1] = np.mean(sizes)
    return out


@pytest.mark.parametrize(("alignment", "root"), [("none", None), ("root", 0)])
def test_acceleration_equals_its_twin(alignment: str, root: int | None) -> None:
    predicted, true = people(12)
    mask = torch.rand(12, J, generator=torch.Generator().manual_seed(2)) < 0.85
    mask[7:9] = False
    mask[2, 0] = False
    expected = twin_acceleration(predicted.numpy(), true.numpy(), mask.numpy(), 25.0, root)
    assert np.isnan(expected).any()
    keywords: dict[str, Any] = {"alignment": alignment, "mask": mask}
    predicted, true = hidden(predicted, mask), hidden(true, mask)
    got = functional.acceleration_error(predicted, true, 25.0, reduction="none", **keywords)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    mean = functional.acceleration_error(predicted, true, 25.0, **keywords)
    np.testing.assert_allclose(mean, np.nanmean(expected), rtol=1e-9)


def test_acceleration_of_known_motion() -> None:
    """A body that accelerates by 2 m/s² along x against one at rest: 2 m/s² at any frame rate."""
    for fps in (10.0, 50.0):
        time = torch.arange(7, dtype=torch.float64) / fps
        moved = torch.zeros(7, J, 3, dtype=torch.float64)
        moved[..., 0] = time[:, None] ** 2
        rest = torch.zeros_like(moved)
        torch.testing.assert_close(
            functional.acceleration_error(moved, rest, fps), torch.tensor(2.0, dtype=torch.float64)
        )
        assert functional.acceleration_error(moved, rest, fps, alignment="root") < 1e-9


def test_acceleration_keeps_clips_apart_and_weighs_middle_frames() -> None:
    predicted, true = (x.reshape(2, 6, J, 3) for x in people(12))
    both = functional.acceleration_error(predicted, true, 30.0, reduction="none")
    alone = [functional.acceleration_error(p, t, 30.0, reduction="none") for p, t in zip(predicted, true, strict=True)]
    torch.testing.assert_close(both, torch.stack(alone))
    sample_weights = torch.zeros(2, 4, dtype=torch.float64)
    sample_weights[1, 2] = 3.0
    picked = functional.acceleration_error(predicted, true, 30.0, sample_weights=sample_weights)
    torch.testing.assert_close(picked, both[1, 2])


# ---- what is refused ------------------------------------------------------------------------------------------------

POSES = torch.zeros(2, J, 3)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: functional.mpjpe(POSES, POSES[:1]), r"true_cam: expected the prediction's shape \(2, 17, 3\)"),
        (lambda: functional.mpjpe(POSES[..., :2], POSES[..., :2]), r"predicted_cam: expected \(\.\.\., joints, 3\)"),
        (lambda: functional.mrpe(POSES, POSES, root_joint=17), "root_joint: expected an index below 17"),
        (lambda: functional.abs_mpjpe(POSES, POSES, weights=torch.ones(2, 4)), r"weights: expected \(\.\.\., 17\)"),
        (lambda: functional.mpjpe(POSES, POSES, mask=torch.ones(2, J)), "mask: expected True and False"),
        (lambda: functional.mpjpe(POSES, POSES, root="free"), 'root: expected "excluded" or "counted"'),
        (lambda: functional.mpjpe(POSES, POSES, reduction="sum"), 'reduction: expected "mean"'),
        (lambda: functional.pck3d(POSES, POSES, alignment="icp"), "alignment: expected one of none, root"),
        (lambda: functional.auc(POSES, POSES, thresholds_m=()), "thresholds_m: expected at least one"),
        (lambda: functional.acceleration_error(POSES, POSES, 30.0), "frames >= 3"),
        (lambda: functional.acceleration_error(POSES[0], POSES[0], 30.0), "frames >= 3"),
        (lambda: functional.acceleration_error(POSES.repeat(2, 1, 1), POSES.repeat(2, 1, 1), 0.0), "fps: expected"),
        (lambda: functional.bone_length_error(POSES, POSES, []), "bones: expected pairs"),
        (
            lambda: functional.bone_length_error(POSES, POSES, [(0, 17)]),
            "bones: expected pairs of joint indices below 17",
        ),
    ],
)
def test_bad_calls_fail_at_the_door(call: Callable[[], Any], sentence: str, as_in_production: None) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.fixture
def as_in_production() -> Iterator[None]:
    """Without the tests' type checker, which would refuse many a bad call before the function does."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_per_vertex_error_is_that_of_meshes_laid_together_at_their_roots() -> None:
    rng = np.random.default_rng(6)
    true, root = rng.normal(size=(3, 50, 3)), rng.normal(size=(3, 3))
    predicted, other = true + 0.1 * rng.normal(size=true.shape) + 2.0, root + rng.normal(size=(3, 3))
    twin = [
        np.mean([np.linalg.norm((p - pr) - (t - tr)) for p, t in zip(one, two, strict=True)])
        for one, two, pr, tr in zip(predicted, true, other, root, strict=True)
    ]
    given = [torch.from_numpy(value) for value in (predicted, true, other, root)]
    np.testing.assert_allclose(functional.pve(*given, reduction="none"), twin, rtol=1e-12)
    assert float(functional.pve(*given)) == pytest.approx(np.mean(twin))
    weighted = functional.pve(*given, sample_weights=torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64))
    assert float(weighted) == pytest.approx(twin[1])
    moved = functional.pve(given[0] + 5.0, given[1], given[2] + 5.0, given[3], reduction="none")
    np.testing.assert_allclose(moved, twin, rtol=1e-9)
