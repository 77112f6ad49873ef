"""Bodies as glTF: files that follow the standard, and move as the body does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from glb_reader import mesh_of, played, read_glb, skin_of
from sightline.body.skinning import posed_joints, skinned
from sightline.formats.mesh import GLTF_FROM_CAM, MovingBody, write_moving_mesh, write_still_mesh
from sightline.geometry.rotation import axis_rotation
from synth_scenes import ball

AXES: tuple[Literal["x", "y", "z"], ...] = ("x", "y", "z")


def moving(frames: int = 5, weights: int = 3, bones: int = 4) -> MovingBody:
    """A ball with bones that turn at random."""
    rng = np.random.default_rng(1)
    vertices, faces = ball((0.0, 0.2, 0.1), 0.5, steps=6)
    shares = rng.uniform(0.1, 1, (len(vertices), weights))
    turns = [
        axis_rotation(AXES[n % 3], torch.tensor(rng.uniform(-3, 3), dtype=torch.float64)).numpy()
        for n in range(bones * frames)
    ]
    return MovingBody(
        vertices=vertices, faces=faces, bones=[f"bone {n}" for n in range(bones)],
        parents=[-1, 0, 1, *range(bones - 3)], joints=np.concatenate([[[0.1, 0, 0]], rng.normal(size=(bones - 1, 3))]),
        skin_bones=np.stack([rng.permutation(bones)[:weights] for _ in vertices]),
        skin_weights=shares / shares.sum(1, keepdims=True),
        rotations_cam=np.stack(turns).reshape(frames, bones, 3, 3), root_cam=rng.normal(size=(frames, 3)),
        times_s=np.arange(frames) / 30,
    )  # fmt: skip


def skinned_by_sightline(body: MovingBody) -> np.ndarray:
    tensors = {name: torch.tensor(np.asarray(getattr(body, name))) for name in ("vertices", "joints", "skin_bones")}
    rotations, root = torch.tensor(body.rotations_cam), torch.tensor(body.root_cam)
    heads = posed_joints(tensors["joints"][None], tuple(body.parents), rotations, root)
    return skinned(
        tensors["vertices"][None], tensors["skin_bones"], torch.tensor(body.skin_weights), tensors["joints"][None],
        rotations, heads,
    ).numpy()  # fmt: skip


def test_a_still_mesh_is_what_another_reader_reads(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    vertices, faces = ball((0.3, -0.2, 4.0), 0.5)
    write_still_mesh(tmp_path / "ball.glb", vertices, faces, colour=(0.5, 0.2, 0.1), name="somebody")
    found = trimesh.load(tmp_path / "ball.glb", process=False)
    (mesh,) = found.dump() if hasattr(found, "dump") else [found]
    np.testing.assert_allclose(mesh.vertices, vertices @ GLTF_FROM_CAM.T, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, faces)
    assert mesh.volume > 0  # still anticlockwise from outside, so the turn is no mirror
    content, arrays = read_glb(tmp_path / "ball.glb")
    outwards = (vertices - [0.3, -0.2, 4.0]) @ GLTF_FROM_CAM.T / 0.5
    assert (mesh_of(content, arrays)["NORMAL"] * outwards).sum(1).min() > 0.98


# Of each vertex as many bones as one set holds, as two hold, and what is in between, shorter and padded.
@pytest.mark.parametrize(("weights", "sets"), [(1, 1), (3, 1), (4, 1), (5, 2), (8, 2)])
def test_a_moving_mesh_moves_as_the_body_does(weights: int, sets: int, tmp_path: Path) -> None:
    body = moving(weights=weights, bones=9)
    write_moving_mesh(tmp_path / "body.glb", body)
    content, arrays = read_glb(tmp_path / "body.glb")
    mesh, expected = mesh_of(content, arrays), skinned_by_sightline(body)
    assert sum(name.startswith("WEIGHTS_") for name in mesh) == sets
    for frame in range(5):
        np.testing.assert_allclose(played(content, arrays, frame), expected[frame] @ GLTF_FROM_CAM.T, atol=1e-5)


def test_a_still_body_rests_in_its_only_pose(tmp_path: Path) -> None:
    body = moving(1)
    write_moving_mesh(tmp_path / "body.glb", body)
    content, arrays = read_glb(tmp_path / "body.glb")
    assert "animations" not in content
    content["animations"] = [{"channels": [], "samplers": []}]
    np.testing.assert_allclose(played(content, arrays, 0), skinned_by_sightline(body)[0] @ GLTF_FROM_CAM.T, atol=1e-5)


def test_readers_of_one_set_get_the_heaviest_bones(tmp_path: Path) -> None:
    body = moving(2, weights=8, bones=9)
    write_moving_mesh(tmp_path / "b.glb", body)
    mesh = mesh_of(*read_glb(tmp_path / "b.glb"))
    heaviest = np.sort(body.skin_weights, axis=1)[:, ::-1]
    np.testing.assert_allclose(mesh["WEIGHTS_0"], heaviest[:, :4], atol=1e-6)
    np.testing.assert_allclose(mesh["WEIGHTS_1"], heaviest[:, 4:], atol=1e-6)


def test_of_more_than_eight_bones_the_heaviest_are_scaled_to_one(tmp_path: Path) -> None:
    body = moving(2, weights=9, bones=9)
    write_moving_mesh(tmp_path / "b.glb", body)
    joints, weights = skin_of(mesh_of(*read_glb(tmp_path / "b.glb")), 9)
    heaviest = np.sort(body.skin_weights, axis=1)[:, :0:-1]
    np.testing.assert_allclose(weights, heaviest / heaviest.sum(1, keepdims=True), atol=1e-6)
    assert joints.shape == (len(body.vertices), 8)


def test_turns_have_no_jumps_of_sign_and_what_rests_has_no_track(tmp_path: Path) -> None:
    angles = torch.linspace(0, 9.0, 40, dtype=torch.float64)
    turns = np.tile(np.eye(3), (40, 4, 1, 1))
    turns[:, 2] = axis_rotation("y", angles).numpy()
    write_moving_mesh(tmp_path / "b.glb", replace(moving(40), rotations_cam=turns, times_s=np.arange(40.0)))
    content, arrays = read_glb(tmp_path / "b.glb")
    animation = content["animations"][0]
    nodes = [channel["target"]["node"] for channel in animation["channels"] if channel["target"]["path"] == "rotation"]
    assert nodes == [2]
    track = arrays[animation["samplers"][1]["output"]]
    assert (track[1:] * track[:-1]).sum(1).min() > 0.99


def test_times_are_the_films_own(tmp_path: Path) -> None:
    times = np.array([2.0, 2.04, 2.5, 7.0, 7.001])
    write_moving_mesh(tmp_path / "b.glb", replace(moving(), times_s=times))
    content, arrays = read_glb(tmp_path / "b.glb")
    clocks = {sampler["input"] for sampler in content["animations"][0]["samplers"]}
    (clock,) = clocks
    np.testing.assert_allclose(arrays[clock][:, 0], times, atol=1e-6)
    assert {"min", "max"} <= set(content["accessors"][clock])


@pytest.mark.parametrize(
    "times",
    [
        [0.0, 2.0, 1.0, 3.0, 4.0],
        [0.0, 1.0, 1.0, 2.0, 3.0],
        [-1.0, 0.0, 1.0, 2.0, 3.0],
        [0.0, 1e9, 1e9 + 1, 2e9, 3e9],  # alike in single precision
        [0.0, np.nan, 1.0, 2.0, 3.0],
    ],
)
def test_times_that_do_not_fit_are_refused(times: list[float], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 5 rising times from 0 on"):
        write_moving_mesh(tmp_path / "b.glb", replace(moving(), times_s=np.array(times)))
    assert not (tmp_path / "b.glb").exists()


@pytest.mark.parametrize("name", ["vertices", "joints", "rotations_cam", "root_cam"])
def test_what_is_not_finite_is_refused(name: str, tmp_path: Path) -> None:
    body = moving()
    broken = np.array(getattr(body, name))
    broken[(0,) * broken.ndim] = np.nan
    with pytest.raises(ValueError, match=f"{name}: expected finite numbers"):
        write_moving_mesh(tmp_path / "b.glb", replace(body, **{name: broken}))
    with pytest.raises(ValueError, match="vertices_cam: expected finite numbers"):
        write_still_mesh(tmp_path / "b.glb", np.full((3, 3), np.inf), np.array([[0, 1, 2]]))
    assert list(tmp_path.iterdir()) == []
