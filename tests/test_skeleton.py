"""Skeletons and conversions: published orders, mirror symmetry, anatomy, and arithmetic that NaN cannot poison."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch

from sightline.joint_sets import JOINT_SETS, LANDMARKS, RULES
from sightline.skeleton import SKELETONS, Skeleton, conversion, get_skeleton

NAMES = tuple(SKELETONS)
PAIRS = tuple(itertools.product(NAMES, NAMES))
H36M_FLIP = (0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13)
SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
MPI_PARENTS = (2, 0, 3, 4, -1, 1, 5, 6, 5, 8, 9, 10, 11, 5, 13, 14, 15, 16, 4, 18, 19, 20, 21, 4, 23, 24, 25, 26)
MPI_17_OF_28 = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
COCO_OF_MEDIAPIPE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
COCO_OF_OPENPOSE = (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)
COCO_OF_OPENPOSE18 = (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10)
COCO_OF_PANOPTIC = (1, 15, 17, 16, 18, 3, 9, 4, 10, 5, 11, 6, 12, 7, 13, 8, 14)
LCR_OF_H36M = (3, 6, 2, 5, 1, 4, 16, 13, 15, 12, 14, 11, 10)

# A standing adult of 1.75 m: x to the person's left, y up, z forward, metres. Right joints mirror the left ones.
_MIDDLE = {
    "Hip": (0, 0.93, 0), "Spine": (0, 1.18, 0), "Thorax": (0, 1.43, 0), "NeckNose": (0, 1.515, 0.075),
    "MidHead": (0, 1.615, 0.035), "Nose": (0, 1.60, 0.14), "HeadTop": (0, 1.75, 0.03), "UpperNeck": (0, 1.53, 0.01),
    "NeckBase": (0, 1.47, 0), "SmplPelvis": (0, 1.02, 0), "SmplNeck": (0, 1.48, -0.01), "SmplHead": (0, 1.57, 0.03),
}  # fmt: skip
_LEFT = {
    "Hip": (0.1, 0.93, 0), "Knee": (0.1, 0.5, 0), "Ankle": (0.1, 0.08, 0), "Shoulder": (0.17, 1.43, 0),
    "Elbow": (0.2, 1.14, 0), "Wrist": (0.2, 0.88, 0), "Eye": (0.03, 1.64, 0.12), "EyeInner": (0.02, 1.64, 0.12),
    "EyeOuter": (0.04, 1.64, 0.11), "Ear": (0.08, 1.615, 0.03), "Mouth": (0.02, 1.56, 0.12), "Hand": (0.2, 0.8, 0.02),
    "Index": (0.2, 0.8, 0.05), "Pinky": (0.2, 0.8, -0.02), "Thumb": (0.2, 0.82, 0.06), "Heel": (0.1, 0.02, -0.05),
    "BigToe": (0.09, 0.02, 0.18), "SmallToe": (0.14, 0.02, 0.14), "FootIndex": (0.1, 0.02, 0.17),
    "Foot": (0.1, 0.02, 0.12), "Toe": (0.1, 0.02, 0.18), "Clavicle": (0.03, 1.45, 0), "Collar": (0.07, 1.4, 0),
}  # fmt: skip
BODY = {name: np.array(at, dtype=float) for name, at in _MIDDLE.items()}
BODY |= {f"L{name}": np.array(at, dtype=float) for name, at in _LEFT.items()}
BODY |= {f"R{name}": np.array(at, dtype=float) * (-1, 1, 1) for name, at in _LEFT.items()}


def body(skeleton: Skeleton) -> np.ndarray:
    """The standing adult's joints in a set's order; NaN where the body above has no such point."""
    unknown = np.full(3, np.nan)
    return np.stack([BODY.get(LANDMARKS.get((skeleton.name, joint), joint), unknown) for joint in skeleton.joints])


def test_sets_have_their_sizes_and_h36m_its_names() -> None:
    sizes = {"h36m17": 17, "lcr13": 13, "coco17": 17, "mpii16": 16, "mpi_inf_3dhp28": 28, "mpi_inf_3dhp17": 17}
    sizes |= {"smpl24": 24, "lsp14": 14, "mediapipe33": 33, "openpose25": 25, "openpose18": 18, "halpe26": 26}
    sizes |= {"panoptic19": 19}
    assert {name: len(skeleton) for name, skeleton in SKELETONS.items()} == sizes
    assert " ".join(get_skeleton("h36m17").joints) == (
        "Hip RHip RKnee RAnkle LHip LKnee LAnkle Spine Thorax Nose Head LShoulder LElbow LWrist RShoulder RElbow RWrist"
    )
    assert get_skeleton("h36m17").flip == H36M_FLIP
    assert get_skeleton("h36m17").root == 0
    assert get_skeleton("h36m17").parents == (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)


@pytest.mark.parametrize(("name", "parents"), [("smpl24", SMPL_PARENTS), ("mpi_inf_3dhp28", MPI_PARENTS)])
def test_published_kinematic_trees(name: str, parents: tuple[int, ...]) -> None:
    assert get_skeleton(name).parents == parents


@pytest.mark.parametrize(
    ("source", "target", "order"),
    [
        ("mpi_inf_3dhp28", "mpi_inf_3dhp17", MPI_17_OF_28),
        ("mediapipe33", "coco17", COCO_OF_MEDIAPIPE),
        ("openpose25", "coco17", COCO_OF_OPENPOSE),
        ("openpose18", "coco17", COCO_OF_OPENPOSE18),
        ("panoptic19", "coco17", COCO_OF_PANOPTIC),
        ("halpe26", "coco17", tuple(range(17))),
        ("h36m17", "lcr13", LCR_OF_H36M),
    ],
)
def test_subsets_are_plain_selections(source: str, target: str, order: tuple[int, ...]) -> None:
    rule = conversion(source, target)
    assert not rule.approximated
    assert not rule.missing
    np.testing.assert_array_equal(rule.weights, np.eye(len(get_skeleton(source)))[list(order)])


@pytest.mark.parametrize("name", NAMES)
def test_mirror_is_its_own_inverse_and_keeps_the_tree(name: str) -> None:
    skeleton = get_skeleton(name)
    flip = skeleton.flip
    assert tuple(flip[joint] for joint in flip) == tuple(range(len(skeleton)))
    for joint, mirror in enumerate(flip):
        sides = {skeleton.joints[joint][0], skeleton.joints[mirror][0]}
        assert (joint == mirror) or sides == {"L", "R"}
        parent = skeleton.parents[joint]
        assert skeleton.parents[mirror] == (-1 if parent == -1 else flip[parent])
    assert len(skeleton.bones) == len(skeleton) - 1
    assert all(skeleton.index(joint) == index for index, joint in enumerate(skeleton.joints))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_conversion_laws(source: str, target: str) -> None:
    rule = conversion(source, target)
    sums, missing = rule.weights.sum(axis=1), [joint in rule.missing for joint in rule.target.joints]
    np.testing.assert_allclose(sums, np.where(missing, 0, 1), atol=1e-12)  # moves with the person
    mirrored = rule.weights[list(rule.target.flip)][:, list(rule.source.flip)]
    np.testing.assert_allclose(mirrored, rule.weights, atol=1e-12)  # mirror then convert = convert then mirror
    assert not set(rule.approximated) & set(rule.missing)
    exact = set(rule.target.joints) - set(rule.approximated) - set(rule.missing)
    assert all(np.count_nonzero(rule.weights[rule.target.index(joint)]) == 1 for joint in exact)
    assert all(how and how[0].islower() and not how.endswith(".") for how in rule.approximated.values())
    if source == target:
        np.testing.assert_array_equal(rule.weights, np.eye(len(rule.source)))
        assert not rule.describe()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_approximation_lands_near_its_landmark(source: str, target: str) -> None:
    rule = conversion(source, target)
    points, _ = rule.apply(body(rule.source))
    error_m = np.linalg.norm(points - body(rule.target), axis=-1)
    for joint, error in zip(rule.target.joints, error_m, strict=True):
        assert not error > (0.08 if joint in rule.approximated else 1e-12), (joint, error)


def test_human36m_head_from_faces() -> None:
    for source in ("coco17", "mediapipe33", "openpose25", "openpose18", "halpe26"):
        rule = conversion(source, "h36m17")
        assert not rule.missing
        assert {"Nose", "Head", "Spine"} <= set(rule.approximated)
        points, _ = rule.apply(body(rule.source))
        at = dict(zip(rule.target.joints, points, strict=True))
        up_m, forward_m = (at["Nose"] - at["Thorax"])[1:]
        assert 0.08 <= up_m <= 0.09
        assert 0.07 <= forward_m <= 0.08
        np.testing.assert_allclose(at["Head"] - at["Nose"], (0, 0.10, -0.04), atol=0.01)


def test_faces_from_human36m() -> None:
    rule = conversion("h36m17", "coco17")
    assert rule.missing == ("LEye", "REye", "LEar", "REar")
    assert set(rule.approximated) == {"Nose"}
    assert "Nose: approximated as the point at the height of the chin" in rule.describe()
    assert "LEar: missing, since h36m17" in rule.describe()
    there, _ = conversion("coco17", "h36m17").apply(body(get_skeleton("coco17")))
    back, _ = rule.apply(there)
    np.testing.assert_allclose(back[0], body(get_skeleton("coco17"))[0], atol=1e-12)  # the rule's inverse


def test_a_direct_rule_does_not_build_on_guesses() -> None:
    assert "Nose" in conversion("lcr13", "coco17").missing
    assert "upper neck" not in conversion("lcr13", "h36m17").approximated["Nose"]
    assert "upper neck" in conversion("mpii16", "h36m17").approximated["Nose"]


def test_missing_joints_poison_only_what_needs_them() -> None:
    rule = conversion("coco17", "h36m17")
    rng = np.random.default_rng(0)
    points, confidence = rng.normal(size=(4, 17, 2)), rng.uniform(0.1, 1, size=(4, 17))
    points[1, rule.source.index("LHip")] = np.nan
    confidence[1, rule.source.index("LHip")] = 0
    derived, certainty = rule.apply(points, confidence)
    assert certainty is not None
    lost = {rule.target.joints[joint] for joint in np.flatnonzero(np.isnan(derived[1, :, 0]))}
    assert lost == {"Hip", "LHip", "Spine"}
    np.testing.assert_array_equal(certainty[1] == 0, np.isnan(derived[1, :, 0]))
    assert np.isfinite(derived[[0, 2, 3]]).all()


def test_confidence_is_the_least_of_the_sources_used() -> None:
    rule = conversion("mediapipe33", "h36m17")
    confidence = np.linspace(0.2, 0.9, 33)
    _, certainty = rule.apply(np.zeros((33, 2)), confidence)
    assert certainty is not None
    for joint, row in enumerate(rule.weights):
        assert certainty[joint] == min(c for c, weight in zip(confidence, row, strict=True) if weight != 0)


@pytest.mark.parametrize("target", ["coco17", "smpl24"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_equals_numpy_equals_loop(target: str, dtype: torch.dtype) -> None:
    rule = conversion("h36m17", target)
    torch.manual_seed(0)
    points, confidence = torch.randn(3, 5, 17, 3, dtype=dtype), torch.rand(3, 5, 17, dtype=dtype)
    points[0, 0, 8] = torch.nan
    derived, certainty = rule.apply(points, confidence)
    twin, twin_certainty = rule.apply(points.numpy(), confidence.numpy())
    assert derived.dtype == dtype
    assert certainty is not None
    assert twin_certainty is not None
    assert twin.dtype == points.numpy().dtype
    np.testing.assert_allclose(derived.numpy(), twin, atol=1e-5 if dtype == torch.float32 else 1e-14)
    np.testing.assert_array_equal(certainty.numpy(), twin_certainty)
    np.testing.assert_array_equal(twin[1, 2], rule.apply(points[1, 2].numpy())[0])
    assert rule.apply(points)[1] is None


def test_gradients_pass_missing_joints() -> None:
    rule = conversion("coco17", "h36m17")
    points = torch.randn(2, 17, 2, dtype=torch.float64)
    points[0, 5] = torch.nan
    points.requires_grad_()
    derived, _ = rule.apply(points)
    torch.nan_to_num(derived).sum().backward()
    assert points.grad is not None
    assert points.grad.isfinite().all()
    assert torch.autograd.gradcheck(
        lambda x: rule.apply(x)[0], torch.randn(2, 17, 2, dtype=torch.float64, requires_grad=True)
    )


@pytest.mark.parametrize(
    ("points", "confidence", "sentence"),
    [
        (np.zeros((16, 2)), None, r"points: expected floats \(..., 17, d\), got float64 \(16, 2\)"),
        (np.zeros((17, 2), dtype=int), None, "expected floats"),
        (torch.zeros(17, 2, dtype=torch.int64), None, "expected floats"),
        (np.zeros((2, 17, 2)), np.zeros(17), r"confidence: expected \(2, 17\), got \(17,\)"),
    ],
)
def test_bad_calls_of_apply(points: object, confidence: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        conversion("coco17", "h36m17").apply(points, confidence)  # pyright: ignore


@pytest.mark.parametrize(
    ("joints", "parents", "sentence"),
    [
        ((), (), "at least one joint"),
        (("A", "A"), (-1, 0), "no name twice"),
        (("A", "B"), (-1,), "expected 2 parents, got 1"),
        (("A", "B"), (-1, -1), "exactly one root"),
        (("A", "B", "C"), (-1, 2, 1), "do not lead to the root"),
        (("A", "B"), (-1, 7), "do not lead to the root"),
    ],
)
def test_bad_skeletons(joints: tuple[str, ...], parents: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Skeleton("own", joints, parents)


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(ValueError, match="unknown skeleton 'coco'; known are h36m17, lcr13"):
        get_skeleton("coco")
    with pytest.raises(ValueError, match="coco17 has no joint 'Hip'; its joints are Nose"):
        get_skeleton("coco17").index("Hip")


def test_own_skeletons_convert_by_name() -> None:
    own = Skeleton("own", ("LHip", "RHip", "Extra"), (-1, 0, 0))
    rule = conversion(own, "h36m17")
    assert set(rule.approximated) == {"Hip"}
    assert "Extra" in conversion("coco17", own).missing
    assert pickle.loads(pickle.dumps(own)) == own


def test_tables_are_tidy() -> None:
    known = {LANDMARKS.get((name, joint), joint) for name in JOINT_SETS for joint in get_skeleton(name).joints}
    for name, joint in LANDMARKS:
        assert joint in get_skeleton(name).joints
    for rule in RULES:
        assert rule.landmark in known
        assert {source for source, _ in rule.sources} <= known
        assert sum(weight for _, weight in rule.sources) == pytest.approx(1)
