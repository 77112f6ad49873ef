"""Anny behind the protocol: its frame, its shapes, its poses against the package's own, its parts."""

from __future__ import annotations

import builtins
import logging
import time

import numpy as np
import pytest
import roma
import torch
from scipy.spatial import cKDTree

pytest.importorskip("anny")

from sightline.body import anny_body, part_of_bone, part_of_face
from sightline.body.anny_body import AnnyBody
from sightline.body.model import BodyModel
from sightline.body.skinning import skinned_arrays
from sightline.errors import InputError
from sightline.synth.figure import PARTS

MEAN = torch.full((1, 6), 0.5, dtype=torch.float64)


@pytest.fixture(scope="module")
def body() -> AnnyBody:
    return AnnyBody.load(torch.float64)


def shapes(count: int) -> torch.Tensor:
    return torch.rand(count, 6, dtype=torch.float64)


def test_it_is_a_body_model_and_loaded_once(body: AnnyBody) -> None:
    assert isinstance(body, BodyModel)
    assert body is AnnyBody.load(torch.float64)
    assert (len(body.bones), len(body.faces), body.parents[0]) == (104, 27_420, -1)
    assert AnnyBody.load().rest(MEAN).vertices.dtype == torch.float32
    torch.testing.assert_close(body.skin_weights.sum(1), torch.ones(13_718, dtype=torch.float64))


def test_the_frame_is_left_up_forwards_from_the_root(body: AnnyBody) -> None:
    rest = body.rest(shapes(4))
    row = {bone: rest.joints[:, index] for index, bone in enumerate(body.bones)}
    assert (rest.joints[:, 0] == 0).all()
    assert (row["wrist.L"][:, 0] > 0.1).all()
    assert (row["head"][:, 1] > row["spine03"][:, 1]).all()
    assert (row["eye.L"][:, 2] > row["head"][:, 2]).all()  # the face looks forwards
    assert (row["toe1-1.L"][:, 2] > row["foot.L"][:, 2]).all()
    assert torch.linalg.det(torch.tensor(anny_body._BODY_FROM_ANNY)) == 1


def test_faces_look_outwards(body: AnnyBody) -> None:
    a, b, c = body.canonical[body.faces].unbind(1)
    volume = (a * torch.linalg.cross(b, c)).sum() / 6
    assert 0.03 < volume < 0.12  # cubic metres, as of a person; negative if they looked inwards


@pytest.mark.parametrize("who", ["mean", "anybody"])
def test_poses_equal_the_packages_own(body: AnnyBody, who: str) -> None:
    """All of the mean body; of others what the knees, which Sightline puts elsewhere, do not carry."""
    shape = MEAN.expand(2, -1) if who == "mean" else shapes(2)
    shins = [row for row, bone in enumerate(body.bones) if bone.startswith(("lowerleg", "foot", "toe"))]
    carried = (torch.isin(body.skin_bones, torch.tensor(shins)) & (body.skin_weights > 0)).any(dim=1)
    same = torch.ones_like(carried) if who == "mean" else ~carried
    assert same.float().mean() > 0.7
    rotations = roma.random_rotmat((2, len(body.bones)), dtype=torch.float64)
    rest, root = body.rest(shape), torch.randn(2, 3, dtype=torch.float64)
    turn = torch.tensor(anny_body._BODY_FROM_ANNY, dtype=torch.float64)
    model = body._package_model
    still = model(phenotype_kwargs=shape)
    poses = still["rest_bone_poses"].clone()
    poses[..., :3, :3] = turn.T @ rotations @ turn @ poses[..., :3, :3]
    poses[..., :3, 3] = 0
    poses[:, 0, :3, 3] = root @ turn
    theirs = model(pose_parameters=poses, phenotype_kwargs=shape, pose_parameterization="world-orient")["vertices"]
    ours = body.posed(rest, rotations, root).vertices
    torch.testing.assert_close(ours[:, same], (theirs @ turn.T)[:, same], atol=1e-5, rtol=0)
    resting = still["rest_vertices"] @ turn.T
    at_root = resting - (still["rest_bone_heads"][:, :1] @ turn.T)
    torch.testing.assert_close(rest.vertices, at_root, atol=1e-6, rtol=0)


def test_identities_show_the_resting_body_and_arrays_the_same(body: AnnyBody) -> None:
    light = AnnyBody.load()
    rest = light.rest(MEAN.float())
    still = torch.eye(3).expand(1, len(body.bones), 3, 3)
    root = torch.tensor([[1.0, 2.0, 3.0]])
    posed = light.posed(rest, still, root)
    torch.testing.assert_close(posed.vertices, rest.vertices + root, atol=1e-6, rtol=0)
    arrays = [tensor.numpy() for tensor in (rest.vertices[0], light.skin_bones, light.skin_weights, rest.joints[0])]
    turned = roma.random_rotmat(len(body.bones))
    found = skinned_arrays(*arrays, light.parents, turned.numpy(), root[0].numpy())
    np.testing.assert_allclose(found, light.posed(rest, turned[None], root).vertices[0].numpy(), atol=2e-5)


def test_batch_equals_loop(body: AnnyBody) -> None:
    shape = shapes(3)
    together = body.rest(shape)
    for row in range(3):
        torch.testing.assert_close(body.rest(shape[row : row + 1]).vertices[0], together.vertices[row])


def test_bodies_are_symmetric(body: AnnyBody) -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    distance, twin = cKDTree(body.canonical.numpy()).query(body.canonical.numpy() * flip)
    assert distance.max() < 1e-4
    other = body.rest(shapes(1)).vertices[0].numpy()
    np.testing.assert_allclose(other[twin] * flip, other, atol=1e-4)


def test_knees_are_where_the_skin_has_them(body: AnnyBody) -> None:
    """The narrow place between thigh and calf is at the same share of the shin in short and tall bodies."""
    shape = MEAN.repeat(2, 1)
    shape[:, body.shape_names.index("height")] = torch.tensor([0.2, 0.7])
    rest = body.rest(shape)
    knee, ankle = (rest.joints[:, body.bones.index(bone)] for bone in ("lowerleg01.L", "foot.L"))
    hip = rest.joints[:, body.bones.index("upperleg01.L")]
    share = (knee - ankle).norm(dim=-1) / ((knee - ankle).norm(dim=-1) + (hip - knee).norm(dim=-1))
    assert ((share > 0.49) & (share < 0.53)).all(), share
    theirs = body._package_model(phenotype_kwargs=shape)["rest_bone_heads"]
    lifted = theirs[0, body.bones.index("lowerleg01.L"), 2] - theirs[0, 0, 2] - knee[0, 1]
    assert lifted > 0.03  # metres: what is put right


def test_shape_says_who_it_is(body: AnnyBody) -> None:
    def height(**changed: float) -> float:
        shape = MEAN.clone()
        for name, value in changed.items():
            shape[0, body.shape_names.index(name)] = value
        y = body.rest(shape).vertices[0, :, 1]
        return float(y.max() - y.min())

    assert height(gender=0.0) > height(gender=1.0) + 0.05
    assert height(age=0.0) < 0.8 < height(age=0.33) < height(age=0.67)
    assert height(height=0.3) < height(height=0.7)
    canonical = body.canonical[:, 1]
    assert height() == pytest.approx(float(canonical.max() - canonical.min()))


def test_gradients_flow_to_shape_and_rotations(body: AnnyBody) -> None:
    shape = shapes(1).requires_grad_()
    rotations = roma.random_rotmat((1, len(body.bones)), dtype=torch.float64).requires_grad_()
    body.posed(body.rest(shape), rotations, torch.zeros(1, 3, dtype=torch.float64)).vertices.square().sum().backward()
    for gradient in (shape.grad, rotations.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@pytest.mark.parametrize(
    "bad", [[[0.5] * 5], [[0.5] * 5 + [1.01]], [[-0.1] + [0.5] * 5], [[float("nan")] * 6], [0.5] * 6]
)
def test_wrong_shapes_are_refused(body: AnnyBody, bad: list[list[float]]) -> None:
    rest = getattr(AnnyBody.rest, "__wrapped__", AnnyBody.rest)
    with pytest.raises(ValueError, match="^shape: expected"):
        rest(body, torch.tensor(bad, dtype=torch.float64))


def test_parts_are_where_they_should_be(body: AnnyBody) -> None:
    parts = np.array(part_of_face(body))
    assert set(parts) == set(part_of_bone(body)) == set(PARTS)
    centres = body.canonical[body.faces].mean(dim=1).numpy()
    middle = {part: centres[parts == part].mean(axis=0) for part in PARTS}
    assert middle["LFoot"][1] < middle["LShin"][1] < middle["LThigh"][1] < middle["pelvis"][1] < middle["trunk"][1]
    assert middle["trunk"][1] < middle["head"][1]
    assert 0 < middle["LUpperArm"][0] < middle["LForearm"][0] < middle["LHand"][0]
    for part in ("UpperArm", "Forearm", "Hand", "Thigh", "Shin", "Foot"):
        np.testing.assert_allclose(middle["R" + part], middle["L" + part] * [-1, 1, 1], atol=1e-3)


def test_regions_lie_on_the_head_hands_and_feet(body: AnnyBody) -> None:
    regions, parts = np.array(body.regions), np.array(part_of_face(body))
    assert set(regions) == {"body", "head", "hand", "foot", "eye", "eye socket", "mouth"}
    assert set(parts[np.isin(regions, ["eye", "eye socket", "mouth", "head"])]) == {"head"}
    eyes = body.canonical[body.faces[torch.from_numpy(regions == "eye")]]
    assert eyes[..., 2].min() > 0.05
    assert (body.uv >= 0).all()
    assert (body.uv <= 1).all()


def test_a_missing_package_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def without_anny(name: str, *rest: object, **more: object) -> object:
        if name == "anny":
            raise ImportError("No module named 'anny'")
        return true_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_anny)
    with pytest.raises(InputError, match="pip install anny"):
        anny_body._package_model.__wrapped__()


def test_a_long_wait_is_explained(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(anny_body, "_PATIENCE_S", 0.01)
    with caplog.at_level(logging.WARNING), anny_body._said_when_it_takes_long():
        time.sleep(0.1)
    assert "first time" in caplog.text
    caplog.clear()
    monkeypatch.setattr(anny_body, "_PATIENCE_S", 60.0)
    with anny_body._said_when_it_takes_long():
        pass
    assert not caplog.records


def test_a_cache_that_cannot_be_written_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("anny.Anny", refused)
    anny_body._package_model.cache_clear()
    try:
        with pytest.raises(InputError, match="kept there .Permission denied.; let ANNY_CACHE_DIR name another folder"):
            anny_body._package_model()
    finally:
        anny_body._package_model.cache_clear()


def test_kernels_that_cannot_be_kept_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    warp = pytest.importorskip("warp")
    from sightline.synth import drawing

    def refused() -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(warp, "init", refused)
    with pytest.raises(InputError, match="kept there .Permission denied.; let WARP_CACHE_PATH name another folder"):
        drawing.warp.__wrapped__()
