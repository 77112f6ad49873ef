"""SMPL from the user's file: its equations against a slow twin, its files, and pickles that want more than arrays."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roma
import torch

pytest.importorskip("anny")

from sightline.body import part_of_face
from sightline.body.anny_body import AnnyBody
from sightline.body.model import BodyModel
from sightline.body.regressors import joints_of, landmarks_of, posed_landmarks, stature_m
from sightline.body.smpl_body import SmplBody
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS
from smpl_files import PARENTS, anny_as_smpl, random_smpl, write_official_pickle

ROW = {name: row for row, name in enumerate(ALL_LANDMARKS)}


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    return random_smpl()


@pytest.fixture(scope="module")
def body(arrays: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> SmplBody:
    path = tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.npz"
    np.savez(path, **arrays)
    return SmplBody.load(path, torch.float64)


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> SmplBody:
    """Anny's skin on SMPL's skeleton."""
    path = tmp_path_factory.mktemp("person") / "model.npz"
    np.savez(path, **anny_as_smpl(AnnyBody.load(torch.float64)))
    return SmplBody.load(path, torch.float64)


def slow_smpl(arrays: dict[str, Any], beta: np.ndarray, rotations: np.ndarray, root: np.ndarray) -> np.ndarray:
    """The paper's equations (2) to (9), with 4 × 4 matrices, one joint and one vertex after the other."""
    shaped = arrays["v_template"] + np.einsum("vik,k->vi", arrays["shapedirs"], beta)
    joints = arrays["J_regressor"] @ shaped
    local = [rotations[0]] + [rotations[PARENTS[bone]].T @ rotations[bone] for bone in range(1, 24)]
    feature = np.concatenate([(turn - np.eye(3)).ravel() for turn in local[1:]])
    bent = shaped + np.einsum("vik,k->vi", arrays["posedirs"], feature)
    chains: list[np.ndarray] = []
    for bone in range(24):
        step = np.eye(4)
        step[:3, :3] = local[bone]
        step[:3, 3] = root if bone == 0 else joints[bone] - joints[PARENTS[bone]]
        chains.append(step if bone == 0 else chains[PARENTS[bone]] @ step)
    skin = np.zeros_like(bent)
    for vertex, bone in np.ndindex(len(bent), 24):
        moved = chains[bone] @ np.append(bent[vertex] - joints[bone], 1)
        skin[vertex] += arrays["weights"][vertex, bone] * moved[:3]
    return skin


def random_pose(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rotations = roma.random_rotmat((batch, 24), dtype=torch.float64)
    return torch.randn(batch, 10, dtype=torch.float64), rotations, torch.randn(batch, 3, dtype=torch.float64)


def test_it_follows_the_equations(body: SmplBody, arrays: dict[str, Any]) -> None:
    assert isinstance(body, BodyModel)
    shape, rotations, root = random_pose(3)
    skin = body.posed(body.rest(shape), rotations, root).vertices
    for row in range(3):
        expected = slow_smpl(arrays, shape[row].numpy(), rotations[row].numpy(), root[row].numpy())
        np.testing.assert_allclose(skin[row].numpy(), expected, atol=1e-9)


def test_identities_show_the_resting_body_and_one_turn_turns_it(body: SmplBody) -> None:
    shape, _, root = random_pose(2)
    rest = body.rest(shape)
    assert (rest.joints[:, 0] == 0).all()
    still = torch.eye(3, dtype=torch.float64).expand(2, 24, 3, 3)
    torch.testing.assert_close(body.posed(rest, still, root).vertices, rest.vertices + root[:, None])
    turn = roma.random_rotmat(dtype=torch.float64)
    turned = body.posed(rest, turn @ still, root)
    torch.testing.assert_close(turned.vertices, rest.vertices @ turn.T + root[:, None])
    torch.testing.assert_close(turned.joints, rest.joints @ turn.T + root[:, None])


def test_gradients_are_finite_and_batch_equals_loop(body: SmplBody) -> None:
    shape, rotations, root = (tensor.requires_grad_() for tensor in random_pose(2))
    skin = body.posed(body.rest(shape), rotations, root).vertices
    skin.square().sum().backward()
    for tensor in (shape, rotations, root):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    for row in range(2):
        one = slice(row, row + 1)
        alone = body.posed(body.rest(shape[one]), rotations[one], root[one]).vertices
        torch.testing.assert_close(alone, skin[one])


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_official_pickles_hold_the_same_body(
    body: SmplBody, arrays: dict[str, Any], tmp_path: Path, protocol: int
) -> None:
    path = write_official_pickle(tmp_path / "basicModel_f_lbs_10_207_0_v1.0.0.pkl", arrays, protocol)
    loaded = SmplBody.load(path, torch.float64)
    shape, rotations, root = random_pose(1)
    for model in (loaded, SmplBody.load(str(path), torch.float32)):
        found = model.posed(
            model.rest(shape.to(model.skin_weights)), rotations.to(model.skin_weights), root.to(model.skin_weights)
        )
        expected = body.posed(body.rest(shape), rotations, root).vertices
        torch.testing.assert_close(found.vertices.double(), expected, atol=1e-4, rtol=1e-4)


class Malicious:
    """What runs a command where it is unpickled by an unwary reader."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_cannot_run_anything(arrays: dict[str, Any], tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({**arrays, "extra": Malicious(mark)}))
    with pytest.raises(InputError, match=r"asks for (posix|nt|os)\.system; refused"):
        SmplBody.load(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(V1\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nobject\n(I0\ntVb\ntR.",
        b"ccopyreg\n_reconstructor\n(cbuiltins\nset\ncbuiltins\nobject\nNtR.",
        b"cnumpy.lib.npyio\nload\n(Vx\ntR.",
        b"cscipy._lib.deprecation\nx\n.",
        b"Pelsewhere\n.",
        b"cfunctools\npartial\n.",
    ],
)
def test_functions_and_classes_of_others_are_refused(tmp_path: Path, code: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(code)
    with pytest.raises(InputError, match="expected arrays only"):
        SmplBody.load(path)


def test_arrays_of_objects_are_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({**arrays, "f": np.array([{}, {}], dtype=object)}))
    with pytest.raises(InputError, match="instead of numbers"):
        SmplBody.load(path)
    np.savez(tmp_path / "model.npz", **{**arrays, "f": np.array([{}], dtype=object)})
    with pytest.raises(InputError, match="damaged"):
        SmplBody.load(tmp_path / "model.npz")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"v_template": np.zeros((29, 3))}, "shapedirs: expected the shape"),
        ({"shapedirs": np.zeros((30, 3, 4))}, "shapedirs: expected the shape"),
        ({"shapedirs": np.zeros(3)}, "expected v_template as"),
        ({"posedirs": np.zeros((30, 3, 9))}, "posedirs: expected the shape"),
        ({"kintree_table": np.zeros((2, 55), dtype=int)}, "24 joints"),
        ({"kintree_table": np.zeros((2, 24), dtype=int)}, "24 joints"),
        ({"weights": np.ones((30, 24))}, "sum to 1"),
        ({"f": np.full((2, 3), 30)}, "rows of 30 vertices"),
        ({"J_regressor": np.full((24, 30), np.nan)}, "finite"),
        ({"posedirs": None}, "it has no posedirs"),
    ],
)
def test_what_is_no_smpl_is_refused(
    arrays: dict[str, Any], tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, **{name: value for name, value in {**arrays, **changed}.items() if value is not None})
    with pytest.raises(InputError, match=message):
        SmplBody.load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.pkl", b"no pickle", "damaged"),
        ("model.npz", b"no archive", "no NPZ archive"),
        ("model.pkl", pickle.dumps([1, 2]), "a dictionary of arrays, got a list"),
        ("model.pkl", pickle.dumps({}), "it has no v_template"),
        ("model.npz", None, "cannot be read"),
        ("model.pkl", None, "cannot be read"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        SmplBody.load(tmp_path / name)


@pytest.mark.parametrize("bad", [[[0.0] * 9], [[float("inf")] * 10], [0.0] * 10])
def test_wrong_shapes_are_refused(body: SmplBody, bad: list[Any]) -> None:
    rest = getattr(SmplBody.rest, "__wrapped__", SmplBody.rest)
    with pytest.raises(ValueError, match="^shape: expected"):
        rest(body, torch.tensor(bad, dtype=torch.float64))


def test_landmarks_are_where_anny_has_them(person: SmplBody) -> None:
    """The tables of the two models, made apart, agree on one skin that rests with its arms aside."""
    rest = person.rest(torch.zeros(1, 10, dtype=torch.float64))
    found = landmarks_of(person, rest)[0]
    original = AnnyBody.load(torch.float64)
    theirs = landmarks_of(original, original.rest(torch.full((1, 6), 0.5, dtype=torch.float64)))[0]
    head = found[ROW["SmplHead"]] - theirs[ROW["SmplHead"]]
    same = (
        "Nose LEye REye LEar LEyeInner LEyeOuter LMouth HeadTop MidHead NeckNose UpperNeck NeckBase Thorax Spine Hip "
    )
    same += "LHip LKnee LAnkle LHeel LBigToe RSmallToe LFootIndex MpiSpine2 MpiSpine3 MpiSpine4 LClavicle LCollar"
    for name in same.split():
        assert (found[ROW[name]] - theirs[ROW[name]] - head).norm() < 0.04, name
    hand = {name: found[ROW[name]] - found[ROW["LWrist"]] for name in ("LIndex", "LPinky", "LThumb", "LHand")}
    assert all(place[0] > 0.04 for place in hand.values())
    assert hand["LThumb"][2] > hand["LIndex"][2] > hand["LHand"][2] > hand["LPinky"][2]


def test_smpls_own_joints_are_its_joints(person: SmplBody) -> None:
    rest = person.rest(torch.zeros(1, 10, dtype=torch.float64))
    torch.testing.assert_close(joints_of(person, rest, "smpl24"), rest.joints)
    assert stature_m(person, rest).item() == pytest.approx(1.63, abs=0.02)
    assert "LFoot" in part_of_face(person)


def test_landmarks_of_a_pose_know_the_pose_blend_shapes(person: SmplBody) -> None:
    shape, rotations, root = random_pose(2)
    rest = person.rest(0 * shape)
    whole = landmarks_of(person, person.posed(rest, rotations, root))
    torch.testing.assert_close(posed_landmarks(person, rest, rotations, root), whole)
