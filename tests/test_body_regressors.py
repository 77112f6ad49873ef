"""Landmarks on Anny's body: where they lie, that left is left, and the laws of a linear map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from torch import Tensor

pytest.importorskip("anny")

import anny

from sightline.body.anny_body import AnnyBody
from sightline.body.model import PosedBody, RestBody
from sightline.body.regressors import joints_of, landmarks_of, posed_landmarks, regressor, stature_m
from sightline.joint_sets import JOINT_SETS
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import get_skeleton
from sightline.stature import stature_from_joints

ROW = {name: row for row, name in enumerate(ALL_LANDMARKS)}
FLIP = [ROW.get({"L": "R", "R": "L"}.get(name[0], "") + name[1:], row) for row, name in enumerate(ALL_LANDMARKS)]

PEOPLE = {
    "mean": (0.5, 0.5, 0.5, 0.5, 0.5, 0.5),
    "woman": (1.0, 0.67, 0.5, 0.5, 0.4, 0.5),
    "man": (0.0, 0.67, 0.7, 0.4, 0.4, 0.7),
    "tall man": (0.0, 0.7, 0.5, 0.3, 0.5, 0.6),
    "heavy woman": (1.0, 0.7, 0.3, 0.95, 0.3, 0.3),
    "old man": (0.1, 1.0, 0.2, 0.6, 0.3, 0.4),
    "child": (0.6, 0.33, 0.5, 0.5, 0.3, 0.5),
    "infant": (0.4, 0.08, 0.5, 0.5, 0.5, 0.5),
}
ADULTS = ("mean", "woman", "man", "tall man", "heavy woman", "old man")


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load(torch.float64)


def resting(body: AnnyBody, *who: str) -> RestBody:
    return body.rest(torch.tensor([PEOPLE[name] for name in who], dtype=torch.float64))


def points(body: AnnyBody, *who: str) -> dict[str, Tensor]:
    """Landmarks by name, each (person, 3)."""
    return dict(zip(ALL_LANDMARKS, landmarks_of(body, resting(body, *who)).unbind(1), strict=True))


def random_pose(body: AnnyBody, batch: int = 2) -> tuple[RestBody, Tensor, Tensor]:
    rest = body.rest(torch.rand(batch, 6, dtype=torch.float64))
    rotations = roma.random_rotmat((batch, len(body.bones)), dtype=torch.float64)
    return rest, rotations, torch.randn(batch, 3, dtype=torch.float64)


def test_it_is_the_linear_map_it_says(body: AnnyBody) -> None:
    from_vertices, from_joints = regressor(body)
    posed = body.posed(*random_pose(body))
    assert from_vertices.shape == (len(ALL_LANDMARKS), 13_718)
    torch.testing.assert_close(from_vertices @ posed.vertices + from_joints @ posed.joints, landmarks_of(body, posed))
    shares = from_vertices.sum(1) + from_joints.sum(1)
    torch.testing.assert_close(shares, torch.ones_like(shares))


def test_it_commutes_with_rigid_motion(body: AnnyBody) -> None:
    posed = body.posed(*random_pose(body))
    turn, shift = roma.random_rotmat(dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    moved = PosedBody(posed.vertices @ turn.T + shift, posed.joints @ turn.T + shift)
    torch.testing.assert_close(landmarks_of(body, moved), landmarks_of(body, posed) @ turn.T + shift)


def test_landmarks_without_the_whole_skin_are_the_same(body: AnnyBody) -> None:
    rest, rotations, root = random_pose(body)
    torch.testing.assert_close(
        posed_landmarks(body, rest, rotations, root), landmarks_of(body, body.posed(rest, rotations, root))
    )


def test_batch_equals_loop(body: AnnyBody) -> None:
    together = landmarks_of(body, resting(body, *PEOPLE))
    for row, who in enumerate(PEOPLE):
        torch.testing.assert_close(landmarks_of(body, resting(body, who))[0], together[row])


def test_gradients_flow_to_shape_and_pose(body: AnnyBody) -> None:
    shape = torch.rand(1, 6, dtype=torch.float64, requires_grad=True)
    rotations = roma.random_rotmat((1, len(body.bones)), dtype=torch.float64).requires_grad_()
    posed_landmarks(body, body.rest(shape), rotations, torch.zeros(1, 3, dtype=torch.float64)).square().sum().backward()
    assert shape.grad is not None
    assert rotations.grad is not None
    assert shape.grad.isfinite().all()
    assert rotations.grad.isfinite().all()
    assert (shape.grad != 0).all()


def test_left_is_left_and_bodies_are_symmetric(body: AnnyBody) -> None:
    found = landmarks_of(body, resting(body, *PEOPLE))
    for name, row in ROW.items():
        if name[0] == "L" and name[1].isupper():
            assert (found[:, row, 0] > 0.005).all(), name
    mirrored = found[:, FLIP] * torch.tensor([-1.0, 1.0, 1.0])
    assert (found - mirrored).norm(dim=-1).max() < 0.005


def test_landmarks_stand_in_their_order(body: AnnyBody) -> None:
    at = points(body, *PEOPLE)
    upwards = "LHeel LAnkle LKnee Hip SmplPelvis Spine1 Spine Spine3 Thorax NeckBase UpperNeck SmplHead MidHead HeadTop"
    for low, high in zip(upwards.split(), upwards.split()[1:], strict=False):
        assert (at[low][:, 1] < at[high][:, 1]).all(), (low, high)
    spine = "Spine MpiSpine2 MpiSpine3 MpiSpine4 NeckBase"
    for low, high in zip(spine.split(), spine.split()[1:], strict=False):
        assert (at[low][:, 1] < at[high][:, 1]).all(), (low, high)
    outwards = "Nose LEyeInner LEye LEyeOuter LEar"
    for inner, outer in zip(outwards.split(), outwards.split()[1:], strict=False):
        assert (at[inner][:, 0] < at[outer][:, 0] - 0.004).all(), (inner, outer)
    backwards = "LBigToe LFootIndex LSmallToe LFoot LAnkle LHeel"
    for front, back in zip(backwards.split(), backwards.split()[1:], strict=False):
        assert (at[front][:, 2] > at[back][:, 2]).all(), (front, back)
    assert (at["Nose"][:, 2] > at["LEye"][:, 2]).all()
    assert (at["LEye"][:, 2] > at["LEar"][:, 2] + 0.03).all()
    assert (at["LMouth"][:, 1] < at["Nose"][:, 1]).all()
    assert (at["LMouth"][:, 1] > at["NeckNose"][:, 1]).all()


def test_human36m_head_is_as_its_recordings_have_it(body: AnnyBody) -> None:
    """Nose 8–9 cm above and 7–8 cm before Thorax, Head 10 cm above and 4 cm behind that, for adults."""
    at = points(body, *ADULTS)
    size = stature_m(body, resting(body, *ADULTS))[:, None] / 1.75
    nose = (at["NeckNose"] - at["Thorax"]) / size
    assert (nose[:, 1:] - torch.tensor([0.08, 0.075])).norm(dim=-1).max() < 0.03
    head = (at["MidHead"] - at["NeckNose"]) / size
    assert (head[:, 1:] - torch.tensor([0.10, -0.04])).norm(dim=-1).max() < 0.02


@pytest.mark.parametrize(
    ("start", "end", "least", "most"),
    [
        ("LHip", "LKnee", 0.21, 0.27),
        ("LKnee", "LAnkle", 0.22, 0.27),
        ("LShoulder", "LElbow", 0.13, 0.19),
        ("LElbow", "LWrist", 0.12, 0.17),
        ("LShoulder", "RShoulder", 0.16, 0.25),
        ("LHip", "RHip", 0.09, 0.17),
        ("Hip", "Thorax", 0.25, 0.33),
        ("LHeel", "LBigToe", 0.12, 0.17),
        ("LWrist", "LIndex", 0.05, 0.08),
        ("LEye", "REye", 0.030, 0.042),
        ("LEar", "REar", 0.07, 0.11),
        ("MidHead", "HeadTop", 0.06, 0.09),
    ],
)
def test_adults_are_built_like_people(body: AnnyBody, start: str, end: str, least: float, most: float) -> None:
    """Lengths as shares of stature."""
    at = points(body, *ADULTS)
    share = (at[start] - at[end]).norm(dim=-1) / stature_m(body, resting(body, *ADULTS))
    assert (share > least).all(), share
    assert (share < most).all(), share


def test_stature_of_bones_agrees_with_the_body(body: AnnyBody) -> None:
    rest = resting(body, *ADULTS)
    stature, heights = stature_m(body, rest), rest.vertices[..., 1]
    extent = heights.amax(1) - heights.amin(1)
    assert ((stature >= extent) & (stature < extent + 0.01)).all()
    ratio = stature_from_joints(joints_of(body, rest, "h36m17")) / stature
    assert (ratio - 1).abs().max() < 0.03
    assert 0.6 < stature_m(body, resting(body, "infant")) < 1.0 < stature_m(body, resting(body, "child")) < 1.5


def winding_numbers(query: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """How often a closed surface goes round each point (van Oosterom and Strackee 1983): 1 inside, 0 outside."""
    a, b, c = (triangles[None, :, corner] - query[:, None] for corner in range(3))
    lengths = [np.linalg.norm(side, axis=-1) for side in (a, b, c)]
    volume = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
    dot = [np.einsum("pfi,pfi->pf", *pair) for pair in ((a, b), (b, c), (c, a))]
    below = lengths[0] * lengths[1] * lengths[2]
    below = below + dot[0] * lengths[2] + dot[1] * lengths[0] + dot[2] * lengths[1]
    return np.arctan2(volume, below).sum(axis=1) / (2 * np.pi)


@pytest.mark.parametrize("who", ["heavy woman", "child"])
def test_landmarks_lie_inside_the_body_or_on_its_skin(body: AnnyBody, who: str) -> None:
    rest = resting(body, who)
    found = landmarks_of(body, rest)[0]
    skin = torch.cdist(found, rest.vertices[0]).amin(dim=1).numpy()
    inside = winding_numbers(found.numpy(), rest.vertices[0][body.faces].numpy()) > 0.5
    assert all(inside | (skin < 0.008)), [name for name, row in ROW.items() if not inside[row] and skin[row] >= 0.008]
    for name in ("Nose", "HeadTop", "LEye", "LEyeInner", "LEyeOuter", "LMouth", "LHeel", "LBigToe", "LSmallToe"):
        assert skin[ROW[name]] < 0.008, name
    for name in ("LShoulder", "LElbow", "LWrist", "LHip", "LKnee", "LAnkle", "Spine", "Thorax", "MidHead"):
        assert inside[ROW[name]], name


def test_joints_stay_where_they_turn(body: AnnyBody) -> None:
    """A bent elbow or knee does not move the joint itself."""
    rest = resting(body, "mean")
    rotations = torch.eye(3, dtype=torch.float64).repeat(1, len(body.bones), 1, 1)
    bend = roma.rotvec_to_rotmat(torch.tensor([1.6, 0.0, 0.0], dtype=torch.float64))
    below = [row for row, bone in enumerate(body.bones) if bone.startswith(("lowerarm", "lowerleg"))]
    rotations[:, below] = bend
    before, after = landmarks_of(body, rest), posed_landmarks(body, rest, rotations, rest.joints[:, 0])
    for name in ("LKnee", "RElbow"):
        torch.testing.assert_close(after[:, ROW[name]], before[:, ROW[name]])
    assert (after[:, ROW["LAnkle"]] - before[:, ROW["LAnkle"]]).norm() > 0.3


def test_the_packages_own_points_of_coco_are_near(body: AnnyBody) -> None:
    """Anny's own regressor, made by others: hips, shoulders and ankles 2 to 4 cm from ours, the rest nearer."""
    rest = resting(body, *ADULTS)
    theirs = anny.KeypointsRegressor.coco(body._package_model)
    found = theirs({"vertices": rest.vertices})[:, :17]
    coco = get_skeleton("coco17")
    labels = [name.replace("left_", "L").replace("right_", "R").lower() for name in theirs.labels[:17]]
    assert labels == [joint.lower() for joint in coco.joints]
    distance = (joints_of(body, rest, coco) - found).norm(dim=-1)
    assert distance.mean() < 0.02
    assert distance.max() < 0.05


def test_every_joint_set_is_answered(body: AnnyBody) -> None:
    rest = resting(body, "mean")
    found = landmarks_of(body, rest)
    for name in JOINT_SETS:
        torch.testing.assert_close(joints_of(body, rest, name), found[:, list(rows_of(get_skeleton(name)))])
    assert found.isfinite().all()


def test_an_unknown_model_is_refused(body: AnnyBody) -> None:
    with pytest.raises(ValueError, match="body model other"):
        regressor(replace(body, name="other"))
