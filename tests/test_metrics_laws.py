"""Laws of the errors: what they must not notice, what they must, how they order, and that gradients stay finite."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
import roma
import torch
from torch import Tensor

from sightline.metrics import functional as F
from sightline.metrics.protocols import PROTOCOLS, Protocol, get_protocol
from sightline.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
J = len(H36M)
MIRROR_X = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-11)

ERRORS: dict[str, Any] = {
    "mpjpe": F.mpjpe,
    "mpjpe_counted": partial(F.mpjpe, root="counted"),
    "n_mpjpe": F.n_mpjpe,
    "pa_mpjpe": F.pa_mpjpe,
    "abs_mpjpe": F.abs_mpjpe,
    "per_axis_error": F.per_axis_error,
    "depth_error": F.depth_error,
    "mrpe": F.mrpe,
    "mrpe_axes": F.mrpe_axes,
    "acceleration_error": partial(F.acceleration_error, fps=2.0),
    "bone_length_error": partial(F.bone_length_error, bones=((1, 0), (2, 1), (3, 2), (4, 0))),
}
SCORES: dict[str, Any] = {"pck3d": F.pck3d, "auc": F.auc}
EVERY = pytest.mark.parametrize("name", [*ERRORS, *SCORES])
DIFFERENTIABLE = pytest.mark.parametrize("name", ERRORS)


def call(name: str) -> Any:
    return (ERRORS | SCORES)[name]


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """Five predicted and true poses (m, camera frame), a few centimetres apart."""
    generator = torch.Generator().manual_seed(7)
    true = 0.3 * torch.randn(5, J, 3, generator=generator, dtype=torch.float64)
    true = true + torch.tensor([0.5, 0.1, 5.0], dtype=torch.float64)
    return true + 0.07 * torch.randn(5, J, 3, generator=generator, dtype=torch.float64), true


def similarity(poses: Tensor, seed: int, *, scaled: bool = True) -> tuple[Tensor, Tensor]:
    """Each pose under its own similarity, and the scales."""
    generator = torch.Generator().manual_seed(seed)
    count = len(poses)
    rotation = roma.unitquat_to_rotmat(
        torch.nn.functional.normalize(torch.randn(count, 4, generator=generator, dtype=torch.float64), dim=-1)
    )
    scale = 0.2 + 3 * torch.rand(count, generator=generator, dtype=torch.float64)
    scale = scale if scaled else torch.ones_like(scale)
    shift = torch.randn(count, 1, 3, generator=generator, dtype=torch.float64)
    return scale[:, None, None] * poses @ rotation.mT + shift, scale


# ---- invariance -----------------------------------------------------------------------------------------------------


def test_pa_does_not_notice_a_similarity_of_the_prediction(pair: tuple[Tensor, Tensor]) -> None:
    predicted, true = pair
    moved, _ = similarity(predicted, 1)
    close(F.pa_mpjpe(moved, true, reduction="none"), F.pa_mpjpe(predicted, true, reduction="none"))
    assert F.pa_mpjpe(similarity(true, 2)[0], true) < 1e-9


def test_pa_grows_with_the_truth(pair: tuple[Tensor, Tensor]) -> None:
    predicted, true = pair
    moved, scale = similarity(true, 3)
    close(F.pa_mpjpe(predicted, moved, reduction="none"), scale * F.pa_mpjpe(predicted, true, reduction="none"))


def test_n_does_not_notice_size_and_place_but_turns(pair: tuple[Tensor, Tensor]) -> None:
    predicted, true = pair
    scale = torch.tensor([0.1, 0.5, 1.0, 2.0, 30.0], dtype=torch.float64)[:, None, None]
    close(F.n_mpjpe(scale * predicted + 3.0, true, reduction="none"), F.n_mpjpe(predicted, true, reduction="none"))
    assert F.n_mpjpe(similarity(true, 4, scaled=False)[0], true) > 0.05


def test_mpjpe_does_not_notice_the_place_but_size(pair: tuple[Tensor, Tensor]) -> None:
    predicted, true = pair
    place = torch.randn(5, 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    for shift in (place, -2 * place):
        close(F.mpjpe(predicted + shift, true, reduction="none"), F.mpjpe(predicted, true, reduction="none"))
    assert F.mpjpe(1.2 * true, true) > 0.05


@pytest.mark.parametrize("mirror", [[-1, 1, 1], [1, -1, 1], [1, 1, -1], [-1, -1, -1]])
def test_a_mirrored_pose_does_not_score_zero(pair: tuple[Tensor, Tensor], mirror: list[int]) -> None:
    true = pair[1]
    mirrored = true * torch.tensor(mirror, dtype=torch.float64)
    for name in ("mpjpe", "n_mpjpe", "pa_mpjpe", "abs_mpjpe"):
        assert (call(name)(mirrored, true, reduction="none") > 0.05).all(), name
    assert F.pck3d(mirrored, true, alignment="similarity") < 0.9


def test_n_of_a_pose_turned_inside_out_shrinks_it_to_the_root(pair: tuple[Tensor, Tensor]) -> None:
    true = pair[1] - pair[1][:, :1]
    close(F.n_mpjpe(-true, true), true[:, 1:].norm(dim=-1).mean())


@EVERY
def test_mirroring_both_changes_nothing(pair: tuple[Tensor, Tensor], name: str) -> None:
    predicted, true = pair
    close(call(name)(predicted * MIRROR_X, true * MIRROR_X), call(name)(predicted, true))


@pytest.mark.parametrize("name", [*sorted(ERRORS.keys() - {"per_axis_error", "depth_error", "mrpe_axes"}), *SCORES])
def test_turning_both_changes_nothing(pair: tuple[Tensor, Tensor], name: str) -> None:
    together, _ = similarity(torch.cat([*pair], 1)[:1], 6, scaled=False)
    predicted, true = (x.expand(5, J, 3) for x in together.split(J, 1))
    close(call(name)(predicted, true), call(name)(*(x[:1].expand(5, J, 3) for x in pair)))


def test_bone_lengths_do_not_notice_rigid_motion_or_mirrors(pair: tuple[Tensor, Tensor]) -> None:
    predicted, true = pair
    error = partial(F.bone_length_error, bones=H36M.bones)
    close(error(similarity(predicted, 8, scaled=False)[0] * MIRROR_X, true), error(predicted, true))
    lengths = torch.stack([(true[:, child] - true[:, parent]).norm(dim=-1) for child, parent in H36M.bones])
    close(error(1.1 * true, true), 0.1 * lengths.mean())


def test_acceleration_does_not_notice_steady_motion(pair: tuple[Tensor, Tensor]) -> None:
    predicted, true = pair
    drift = torch.arange(5, dtype=torch.float64)[:, None, None] * torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)
    error = partial(F.acceleration_error, fps=30.0)
    close(error(predicted + drift + 1.0, true), error(predicted, true))
    close(error(predicted, true, reduction="none"), 9 * F.acceleration_error(predicted, true, 10.0, reduction="none"))


# ---- zero, order, relations -----------------------------------------------------------------------------------------


@EVERY
def test_a_perfect_pose_has_the_best_figure(pair: tuple[Tensor, Tensor], name: str) -> None:
    best = {"pck3d": 1.0, "auc": 30 / 31}.get(name, 0.0)
    got = call(name)(pair[1], pair[1])
    torch.testing.assert_close(got, torch.full_like(got, best), rtol=0, atol=1e-12)


def test_the_two_root_conventions_differ_by_the_number_of_joints(pair: tuple[Tensor, Tensor]) -> None:
    for error in (F.mpjpe, F.n_mpjpe, F.per_axis_error, F.depth_error):
        close(error(*pair, root="counted"), error(*pair, root="excluded") * (J - 1) / J)
    misses = 1 - F.pck3d(*pair, threshold_m=0.1)
    assert misses > 0
    close(1 - F.pck3d(*pair, threshold_m=0.1, root="counted"), misses * (J - 1) / J)


def test_more_alignment_leaves_a_smaller_square(pair: tuple[Tensor, Tensor]) -> None:
    """Each alignment is the least-squares best of its family: root, then scale; any, then similarity."""
    squares = {
        alignment: F.pose_differences(*pair, alignment, root="counted").metres.square().sum((-2, -1))
        for alignment in ("none", "root", "scale", "similarity")
    }
    assert (squares["scale"] < squares["root"]).all()
    assert (squares["similarity"] < squares["scale"]).all()
    assert (squares["similarity"] < squares["none"]).all()


def test_absolute_errors_obey_the_triangle(pair: tuple[Tensor, Tensor]) -> None:
    predicted, true = pair
    absolute, place = F.abs_mpjpe(predicted, true, reduction="none"), F.mrpe(predicted, true, reduction="none")
    pose = F.mpjpe(predicted, true, root="counted", reduction="none")
    assert (absolute <= pose + place + 1e-12).all()
    assert (absolute >= (pose - place).abs() - 1e-12).all()


def test_axes_are_parts_of_the_whole(pair: tuple[Tensor, Tensor]) -> None:
    axes = F.per_axis_error(*pair, reduction="none")
    close(axes[:, 2], F.depth_error(*pair, reduction="none"))
    assert (axes.amax(-1) <= F.mpjpe(*pair, reduction="none")).all()
    close(F.mrpe_axes(*pair, reduction="none").norm(dim=-1), F.mrpe(*pair, reduction="none"))
    close(F.depth_error(*pair, alignment="none"), F.per_axis_error(*pair, alignment="none")[2])


def test_depth_shift_shows_in_the_root_alone(pair: tuple[Tensor, Tensor]) -> None:
    true = pair[1]
    further = true + torch.tensor([0.0, 0.0, 0.25], dtype=torch.float64)
    close(F.mrpe_axes(further, true), torch.tensor([0.0, 0.0, 0.25], dtype=torch.float64))
    assert F.mpjpe(further, true) < 1e-12
    close(F.abs_mpjpe(further, true), torch.tensor(0.25, dtype=torch.float64))


def test_pck_rises_with_the_threshold_and_auc_is_its_mean(pair: tuple[Tensor, Tensor]) -> None:
    curve = torch.stack([F.pck3d(*pair, threshold_m=t) for t in F.AUC_THRESHOLDS_M])
    assert (curve.diff() >= 0).all()
    assert curve[0] == 0
    assert len(curve) == 31
    assert F.AUC_THRESHOLDS_M[-1] == pytest.approx(0.15)
    close(F.auc(*pair), curve.mean())
    assert F.pck3d(*pair, threshold_m=1e3) == 1


def test_auc_of_a_known_distance() -> None:
    """Every joint 101 mm off: right for the thresholds 105, 110 … 150 mm, 10 of 31."""
    true = torch.zeros(1, J, 3, dtype=torch.float64)
    off = true.clone()
    off[:, 1:, 1] = 0.101
    close(F.auc(off, true), torch.tensor(10 / 31, dtype=torch.float64))


@EVERY
def test_order_of_joints_does_not_matter(pair: tuple[Tensor, Tensor], name: str) -> None:
    if name == "bone_length_error":
        pytest.skip("its bones name joints by index")
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(J - 1)])
    close(call(name)(*(x[:, order] for x in pair)), call(name)(*pair))


# ---- masks and weights ----------------------------------------------------------------------------------------------


@EVERY
def test_what_is_hidden_has_no_influence(pair: tuple[Tensor, Tensor], name: str) -> None:
    predicted, true = pair
    mask = torch.rand(5, J, generator=torch.Generator().manual_seed(9)) < 0.7
    mask[:, 0] = True
    mask[:, 1:4] = True
    clean = call(name)(predicted, true, mask=mask)
    assert clean.isfinite().all()
    for junk in (torch.nan, torch.inf, 1e30):
        spoiled = (x.where(mask[..., None], junk) for x in pair)
        torch.testing.assert_close(call(name)(*spoiled, mask=mask), clean, rtol=0, atol=0)


@EVERY
def test_a_joint_of_weight_zero_is_as_good_as_hidden(pair: tuple[Tensor, Tensor], name: str) -> None:
    if name.startswith("mrpe"):
        pytest.skip("has no joint weights")
    mask = torch.ones(5, J, dtype=torch.bool)
    mask[:, [3, 7, 11]] = False
    by_weight = call(name)(*pair, weights=mask.double())
    close(by_weight, call(name)(*pair, mask=mask))
    close(call(name)(*pair, weights=5 * mask.double()), by_weight)


def test_a_root_of_weight_zero_is_still_aligned_at(pair: tuple[Tensor, Tensor]) -> None:
    weights = torch.ones(J, dtype=torch.float64)
    weights[0] = 0
    for error in (F.mpjpe, F.n_mpjpe):
        close(error(*pair, weights=weights), error(*pair))
        close(error(*pair, weights=weights, root="counted"), error(*pair))


@EVERY
def test_weighing_a_sample_twice_is_seeing_it_twice(pair: tuple[Tensor, Tensor], name: str) -> None:
    if name == "acceleration_error":
        pytest.skip("its samples are not poses; test_metrics_functional.py weighs its middle frames")
    sample_weights = torch.tensor([1.0, 2.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    seen = torch.tensor([0, 1, 1, 2, 4])
    weighted = call(name)(*pair, sample_weights=sample_weights)
    close(weighted, call(name)(*(x[seen] for x in pair)))


@EVERY
def test_a_prediction_that_is_not_a_number_is_not_overlooked(pair: tuple[Tensor, Tensor], name: str) -> None:
    predicted = pair[0].clone()
    predicted[3] = torch.nan
    got = call(name)(predicted, pair[1])
    if name in SCORES:
        close(got, 0.8 * call(name)(*(x[[0, 1, 2, 4]] for x in pair)))
    else:
        assert got.isnan().all()


@EVERY
def test_nothing_to_score_is_nan_with_weight_zero(pair: tuple[Tensor, Tensor], name: str) -> None:
    mask = torch.zeros(5, J, dtype=torch.bool)
    assert call(name)(*pair, mask=mask).isnan().all()
    assert call(name)(*pair, mask=mask, reduction="none").isnan().all()
    assert (call(name)(*pair, mask=mask, reduction="total") == 0).all()


@EVERY
def test_mean_is_total_over_weight(pair: tuple[Tensor, Tensor], name: str) -> None:
    total = call(name)(*pair, reduction="total")
    close(total[..., 0] / total[..., 1], call(name)(*pair))
    close(call(name)(*pair, reduction="none").mean(0), call(name)(*pair))


# ---- gradients ------------------------------------------------------------------------------------------------------


@DIFFERENTIABLE
def test_gradients_are_right(pair: tuple[Tensor, Tensor], name: str) -> None:
    predicted, true = (x[:3, :6].clone().requires_grad_() for x in pair)
    weights = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) + 0.2
    by_joint = {} if name.startswith("mrpe") else {"weights": weights}
    assert torch.autograd.gradcheck(partial(call(name), **by_joint), (predicted, true))


@DIFFERENTIABLE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_zero_error(pair: tuple[Tensor, Tensor], name: str, dtype: torch.dtype) -> None:
    true = pair[1].to(dtype)
    predicted = true.clone().requires_grad_()
    call(name)(predicted, true).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


@DIFFERENTIABLE
@pytest.mark.parametrize("predicted_is", ["at one point", "on a line", "mirrored"])
def test_gradients_are_finite_for_odd_poses(pair: tuple[Tensor, Tensor], name: str, predicted_is: str) -> None:
    true = pair[1]
    odd = {
        "at one point": torch.zeros_like(true),
        "on a line": true[..., :1].expand(true.shape).clone(),
        "mirrored": true * MIRROR_X,
    }[predicted_is].requires_grad_()
    error = call(name)(odd, true).sum()
    error.backward()
    assert error.isfinite()
    assert odd.grad is not None
    assert odd.grad.isfinite().all()


@DIFFERENTIABLE
def test_gradients_are_finite_where_the_mask_hides_nan(pair: tuple[Tensor, Tensor], name: str) -> None:
    mask = torch.ones(5, J, dtype=torch.bool)
    mask[3, 5] = False
    if name != "acceleration_error":  # with these two frames gone, none of the five is between others
        mask[1] = False
        mask[2, 2:] = False
    predicted, true = (x.where(mask[..., None], torch.nan) for x in pair)
    predicted.requires_grad_()
    call(name)(predicted, true, mask=mask).sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()
    assert (predicted.grad[~mask] == 0).all()
    assert (predicted.grad != 0).any()


# ---- protocols ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_protocols_say_what_they_average_over(protocol: Protocol) -> None:
    skeleton = get_skeleton(protocol.skeleton)
    assert PROTOCOLS[protocol.name] is get_protocol(protocol.name) is protocol
    assert [skeleton.joints[j] for j in protocol.joint_indices] == list(protocol.joints)
    assert all(set(bone) <= set(protocol.joint_indices) for bone in protocol.bones)
    assert f"{len(protocol.root_aligned_joints)} joints" in protocol.describe()
    flipped = {skeleton.flip[j] for j in protocol.joint_indices}
    assert flipped == set(protocol.joint_indices), "left and right count alike"


@pytest.mark.parametrize(
    ("name", "root", "aligned", "otherwise", "bones"),
    [
        ("h36m17", "Hip", 16, 17, 16),
        ("h36m17_root_counted", "Hip", 17, 17, 16),
        ("h36m14", "Hip", 14, 14, 10),
        ("limbs12", "Hip", 12, 12, 8),
        ("mpi_inf_3dhp", "Pelvis", 14, 14, 10),
        ("mpi_inf_3dhp17", "Pelvis", 16, 17, 16),
    ],
)
def test_numbers_of_joints(name: str, root: str, aligned: int, otherwise: int, bones: int) -> None:
    protocol = get_protocol(name)
    assert protocol.joint_set.joints[protocol.root_joint] == root
    assert len(protocol.root_aligned_joints) == aligned
    assert len(protocol.joints) == otherwise
    assert len(protocol.bones) == bones


def test_limbs_are_in_every_joint_set() -> None:
    from sightline.skeleton import SKELETONS

    for joint, skeleton in itertools.product(get_protocol("limbs12").joints, SKELETONS.values()):
        assert joint in skeleton.joints, f"{skeleton.name} has no {joint}"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"joints": ("Hip", "Tail")}, "h36m17 has no joint 'Tail'"),
        ({"joints": ()}, "expected at least one joint"),
        ({"joints": ("Hip", "Hip")}, "no name twice"),
        ({"skeleton": "octopus"}, "unknown skeleton 'octopus'"),
        ({"pck_threshold_m": 0.0}, "expected pck_threshold_m > 0"),
        ({"auc_thresholds_m": ()}, "at least one of auc_thresholds_m"),
    ],
)
def test_odd_protocols_are_refused(change: dict[str, Any], sentence: str) -> None:
    fields: dict[str, Any] = {"name": "x", "skeleton": "h36m17", "joints": ("Hip", "RKnee"), "text": "A test."}
    with pytest.raises(ValueError, match=sentence):
        Protocol(**(fields | change))


def test_unknown_protocol_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown protocol 'p9'; known are h36m17, "):
        get_protocol("p9")
