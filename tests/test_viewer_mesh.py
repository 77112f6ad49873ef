"""Poses as bodies: files that other readers understand, bodies where joints are, drawn where the camera sees them."""

from __future__ import annotations

import json
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

pytest.importorskip("anny", reason="bodies need the package anny")
pytest.importorskip("warp", reason="drawing bodies needs the package warp-lang")

from sightline.body import anny_body
from sightline.body.regressors import joints_of
from sightline.body.skinning import posed_joints, skinned
from sightline.camera import Camera
from sightline.cli import main
from sightline.errors import InputError
from sightline.formats.mesh import GLTF_FROM_CAM, MovingBody, write_moving_mesh, write_still_mesh
from sightline.formats.poses import read_poses, write_poses
from sightline.geometry.rotation import axis_rotation
from sightline.structures import Poses
from sightline.synth import drawing
from sightline.viewer import render_frame, write_picture
from sightline.viewer.mesh import Bodies, fitted_bodies
from sightline.viewer.style import PERSON_COLOURS
from staged_people import FISHEYE, H36M, LANDSCAPE, person, poses
from staged_people import standing_cam as standing
from synth_scenes import ball

KINDS = {5123: np.uint16, 5125: np.uint32, 5126: np.float32}
AXES: tuple[Literal["x", "y", "z"], ...] = ("x", "y", "z")
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read_glb(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """A plain reader after the standard: the JSON part, and every accessor as an array."""
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack("<I4s", data[12:20])
    assert (kind, size % 4) == (b"JSON", 0)
    content = json.loads(data[20 : 20 + size])
    assert data[24 + size : 28 + size] == b"BIN\0"
    binary, arrays = data[28 + size :], []
    assert content["buffers"] == [{"byteLength": len(binary)}]
    for accessor in content["accessors"]:
        view = content["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        count = accessor["count"] * WIDTHS[accessor["type"]]
        array = np.frombuffer(binary, KINDS[accessor["componentType"]], count, view["byteOffset"])
        arrays.append(array.reshape(-1, WIDTHS[accessor["type"]]))
    return content, arrays


def turned(quaternion: np.ndarray) -> np.ndarray:
    x, y, z, w = (float(value) for value in quaternion)
    return np.array(
        [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
         [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
         [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
    )  # fmt: skip


def played(content: dict[str, Any], arrays: list[np.ndarray], frame: int) -> np.ndarray:
    """Where a viewer puts the vertices in a frame of the animation: glTF's own rule of skinning, node by node."""
    nodes, skin = [dict(node) for node in content["nodes"]], content["skins"][0]
    for channel in content["animations"][0]["channels"]:
        output = arrays[content["animations"][0]["samplers"][channel["sampler"]]["output"]]
        nodes[channel["target"]["node"]][channel["target"]["path"]] = output[frame]
    world = {}

    def place(node: int, above: np.ndarray) -> None:
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = turned(np.asarray(nodes[node]["rotation"])), nodes[node]["translation"]
        world[node] = above @ matrix
        for child in nodes[node].get("children", []):
            place(child, world[node])

    place(skin["skeleton"], np.eye(4))
    inverse = arrays[skin["inverseBindMatrices"]].reshape(-1, 4, 4).transpose(0, 2, 1)
    moves = np.stack([world[joint] for joint in skin["joints"]]) @ inverse
    told = content["meshes"][0]["primitives"][0]["attributes"]
    points, bones, weights = (arrays[told[name]] for name in ("POSITION", "JOINTS_0", "WEIGHTS_0"))
    points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    return np.einsum("vw,vwij,vj->vi", weights, moves[bones], points)[:, :3]


def moving(frames: int = 5, weights: int = 3) -> MovingBody:
    """A ball with four bones that turn at random."""
    rng = np.random.default_rng(1)
    vertices, faces = ball((0.0, 0.2, 0.1), 0.5, steps=6)
    shares = rng.uniform(0.1, 1, (len(vertices), weights))
    turns = [
        axis_rotation(AXES[n % 3], torch.tensor(rng.uniform(-3, 3), dtype=torch.float64)).numpy()
        for n in range(4 * frames)
    ]
    return MovingBody(
        vertices=vertices, faces=faces, bones=["root", "a", "b", "c"], parents=[-1, 0, 1, 0],
        joints=np.concatenate([np.zeros((1, 3)), rng.normal(size=(3, 3))]),
        skin_bones=np.stack([rng.permutation(4)[:weights] for _ in vertices]),
        skin_weights=shares / shares.sum(1, keepdims=True), rotations_cam=np.stack(turns).reshape(frames, 4, 3, 3),
        root_cam=rng.normal(size=(frames, 3)), times_s=np.arange(frames) / 30,
    )  # fmt: skip


# ---- files ---------------------------------------------------------------------------------------------------------


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
    normals = arrays[content["meshes"][0]["primitives"][0]["attributes"]["NORMAL"]]
    outwards = (vertices - [0.3, -0.2, 4.0]) @ GLTF_FROM_CAM.T / 0.5
    assert (normals * outwards).sum(1).min() > 0.98
    assert content["accessors"][0]["min"] == pytest.approx(mesh.vertices.min(0), abs=1e-6)


def test_a_moving_mesh_moves_as_the_body_does(tmp_path: Path) -> None:
    body = moving()
    write_moving_mesh(tmp_path / "body.glb", body)
    content, arrays = read_glb(tmp_path / "body.glb")
    tensors = {name: torch.tensor(np.asarray(getattr(body, name))) for name in ("vertices", "joints", "skin_bones")}
    rotations, root = torch.tensor(body.rotations_cam), torch.tensor(body.root_cam)
    heads = posed_joints(tensors["joints"][None], tuple(body.parents), rotations, root)
    expected = skinned(
        tensors["vertices"][None], tensors["skin_bones"], torch.tensor(body.skin_weights), tensors["joints"][None],
        rotations, heads,
    )  # fmt: skip
    for frame in range(5):
        np.testing.assert_allclose(played(content, arrays, frame), expected[frame].numpy() @ GLTF_FROM_CAM.T, atol=1e-5)
    clock = arrays[content["animations"][0]["samplers"][0]["input"]][:, 0]
    np.testing.assert_allclose(clock, body.times_s, atol=1e-6)


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


def test_of_many_bones_the_four_strongest_are_kept(tmp_path: Path) -> None:
    body = moving(2, weights=3)
    five = replace(
        body,
        skin_bones=np.concatenate([body.skin_bones, np.zeros((len(body.skin_bones), 2), int)], axis=1),
        skin_weights=np.concatenate([body.skin_weights * 0.999, np.full((len(body.skin_bones), 2), 0.0005)], axis=1),
    )
    write_moving_mesh(tmp_path / "b.glb", five)
    content, arrays = read_glb(tmp_path / "b.glb")
    weights = arrays[content["meshes"][0]["primitives"][0]["attributes"]["WEIGHTS_0"]]
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-6)
    assert weights.shape[1] == 4


@pytest.mark.parametrize("times", [[0.0, 2.0, 1.0, 3.0, 4.0], [0.0, 1.0, 1.0, 2.0, 3.0]])
def test_times_that_do_not_fit_are_refused(times: list[float], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 5 rising times"):
        write_moving_mesh(tmp_path / "b.glb", replace(moving(), times_s=np.array(times)))
    assert not (tmp_path / "b.glb").exists()


# ---- bodies --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film() -> Poses:
    """Two who stand, one nearer and before the other, for two frames; and in the first frame somebody without id."""
    near, far = standing(-0.1, 3.0), standing(0.15, 4.5)
    alone = person(standing(1.2, 4.0, 2.0), LANDSCAPE, None)
    return poses(
        [[person(near, LANDSCAPE, 3), person(far, LANDSCAPE, 1), alone],
         [person(standing(0.9, 3.0), LANDSCAPE, 3), person(far, LANDSCAPE, 1)]]
    )  # fmt: skip


@pytest.fixture(scope="module")
def bodies(film: Poses) -> Bodies:
    return fitted_bodies(film)


def test_bodies_lie_where_the_joints_are(film: Poses, bodies: Bodies) -> None:
    assert [track.name for track in bodies.tracks] == ["person-3", "person-1", "frame-000000-2"]
    assert bodies.residual_m < 0.02
    for frame in film.frames:
        for position, someone in enumerate(frame.people):
            track, row = bodies.rows[frame.index, position]
            body = bodies.tracks[track].body
            posed = bodies.model.posed(body.rest, body.rotations[row, None], body.root_world[row, None])
            joints = joints_of(bodies.model, posed, "h36m17")[0].double().numpy()
            assert np.linalg.norm(joints - someone.joints_cam_m, axis=-1).mean() < 0.02
            vertices = bodies.vertices_cam(frame, position)
            assert vertices is not None
            np.testing.assert_allclose(vertices, posed.vertices[0].double().numpy(), atol=1e-6)


def test_one_id_has_one_shape_in_all_frames(bodies: Bodies) -> None:
    lengths = [len(track.keys) for track in bodies.tracks]
    assert lengths == [2, 2, 1]
    assert all(len(track.body.rest.vertices) == 1 for track in bodies.tracks)


def test_bodies_cover_the_joints_in_the_picture_and_nothing_else(film: Poses, bodies: Bodies) -> None:
    size, frame = (960, 540), film.frames[0]
    background = np.full((1080, 1920, 3), 90, np.uint8)
    drawn = bodies.drawn_over(background, LANDSCAPE, frame, size)
    covered = (drawn != 90).any(-1)
    assert 0.03 < covered.mean() < 0.5
    for someone in frame.people:
        px = LANDSCAPE.project(torch.tensor(someone.joints_cam_m))[0].numpy() * size[0] / 1920
        rows, columns = px[:, 1].astype(int), px[:, 0].astype(int)
        inside = (rows < size[1]) & (rows >= 0)
        assert covered[rows[inside], columns[inside]].all()
    everybody = np.concatenate([someone.joints_cam_m for someone in frame.people])
    px = LANDSCAPE.project(torch.tensor(everybody))[0].numpy() * size[0] / 1920
    y, x = np.nonzero(covered)
    nearest = np.min(np.hypot(x[:, None] - px[:, 0], y[:, None] - px[:, 1]), axis=1)
    assert nearest.max() < 0.3 * 1500 / 3.0 / 2  # nothing is drawn 30 cm beside everybody's joints


def test_the_nearer_hides_the_farther_and_lets_the_picture_through(film: Poses, bodies: Bodies) -> None:
    frame = film.frames[0]
    near, far = (PERSON_COLOURS[1], PERSON_COLOURS[0])  # colours go by rising id
    assert [track.colour for track in bodies.tracks[:2]] == [near, far]
    x, y = (int(v) for v in LANDSCAPE.project(torch.tensor(frame.people[0].joints_cam_m[H36M.index("Spine")]))[0] / 2)
    pictures = [
        bodies.drawn_over(np.full((540, 960, 3), grey, np.uint8), LANDSCAPE, frame, (960, 540)).astype(float)
        for grey in (40, 140)
    ]
    through = (pictures[1] - pictures[0])[y, x] / 100
    assert through == pytest.approx(0.28, abs=0.02)
    own = (pictures[0][y, x] - 0.28 * 40) / 0.72
    light = own[:2] / np.array(near)[:2]
    assert np.ptp(light) < 0.03
    assert 0.3 <= light.mean() <= 1.01


def test_any_lens(film: Poses, bodies: Bodies) -> None:
    frame = film.frames[0]
    drawn = bodies.drawn_over(None, FISHEYE, frame, (640, 640))
    px = FISHEYE.resized((640, 640)).project(torch.tensor(frame.people[2].joints_cam_m[0]))[0].int().tolist()
    grey = drawn[0, 0].astype(int)
    assert np.abs(drawn[px[1], px[0]].astype(int) - grey).max() > 20


def test_somebody_without_joints_has_no_body() -> None:
    nobody = person(np.full((17, 3), np.nan), LANDSCAPE, None)
    bodies = fitted_bodies(poses([nobody]))
    frame = poses([nobody]).frames[0]
    assert bodies.tracks == ()
    assert bodies.vertices_cam(frame, 0) is None
    assert np.isnan(bodies.residual_m)
    assert (bodies.drawn_over(np.full((54, 96, 3), 7, np.uint8), LANDSCAPE, frame, (96, 54)) == 7).all()


def test_poses_tell_the_names_of_their_meshes(film: Poses, bodies: Bodies, tmp_path: Path) -> None:
    named = bodies.written(film, tmp_path / "p-meshes", tmp_path / "p.json")
    write_poses(named, tmp_path / "p.json")
    found = [[someone.mesh for someone in frame.people] for frame in read_poses(tmp_path / "p.json").frames]
    first = ["p-meshes/person-3.glb", "p-meshes/person-1.glb"]
    assert found == [[*first, "p-meshes/frame-000000-2.glb"], first]
    content, arrays = read_glb(tmp_path / first[0])
    vertices = bodies.vertices_cam(film.frames[1], 0)
    assert vertices is not None
    missed = np.linalg.norm(played(content, arrays, 1) - vertices @ GLTF_FROM_CAM.T, axis=1)
    assert np.median(missed) < 1e-4
    assert missed.max() < 0.02  # a few vertices hang on more than four bones
    still, numbers = read_glb(tmp_path / "p-meshes" / "frame-000000-2.glb")
    vertices = bodies.vertices_cam(film.frames[0], 2)
    assert vertices is not None
    np.testing.assert_allclose(numbers[0], vertices @ GLTF_FROM_CAM.T, atol=1e-5)
    assert "animations" not in still


# ---- pictures and commands -----------------------------------------------------------------------------------------


def test_pictures_show_bodies_in_place_of_limbs(film: Poses, bodies: Bodies, tmp_path: Path) -> None:
    write_picture(film, tmp_path / "body.png", bodies=bodies, size=(800, 450))
    plain = render_frame(film, film.frames[0], size=(800, 450))
    from PIL import Image

    drawn = np.asarray(Image.open(tmp_path / "body.png"))
    differs = (drawn != plain).any(-1)
    _, columns = np.nonzero(differs)
    assert differs.sum() > 1000
    assert np.ptp(columns) < 500  # the other panels are as they were


KEYPOINTS = {
    "skeleton": "h36m17", "image_size": [1920, 1080], "pixel_origin": "corner",
    "frames": [{"index": 0, "people": [{"keypoints_px": [
        [round(x, 1), round(y, 1), 0.9]
        for x, y in LANDSCAPE.project(torch.tensor(standing(0.2, 4.0)))[0].tolist()
    ]}]}],
}  # fmt: skip


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    from sightline.formats.camera import write_camera

    (tmp_path / "k.json").write_text(json.dumps(KEYPOINTS), encoding="utf-8")
    write_camera(Camera.create((1920, 1080), 1500.0), tmp_path / "c.json")
    return [str(tmp_path / "k.json"), "--camera", str(tmp_path / "c.json"), "--out", str(tmp_path / "p.json")]


def test_lift_writes_meshes_where_they_are_asked_for(inputs: list[str], tmp_path: Path) -> None:
    assert main(["lift", *inputs, "--mesh", "--picture", str(tmp_path / "p.png")]) == 0
    (someone,) = read_poses(tmp_path / "p.json").frames[0].people
    assert someone.mesh is not None
    _, arrays = read_glb(tmp_path / someone.mesh)
    middle = arrays[0].mean(0) @ GLTF_FROM_CAM
    assert np.linalg.norm(middle - np.nanmean(someone.joints_cam_m, axis=0)) < 0.25
    assert main(["lift", *inputs]) == 0
    assert read_poses(tmp_path / "p.json").frames[0].people[0].mesh is None


@pytest.mark.parametrize("missing", ["anny", "warp"])
def test_without_the_packages_a_sentence_says_what_to_install(
    missing: str,
    inputs: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caches = [drawing.warp, anny_body._loaded, anny_body._package_model]
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setitem(sys.modules, missing, None)
    try:
        assert main(["lift", *inputs, "--mesh"]) == 1
        with pytest.raises(InputError, match=f"needs the package {missing}"):
            fitted_bodies(poses([]))
    finally:
        for cache in caches:
            cache.cache_clear()
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install" in line
    assert not (tmp_path / "p.json").exists()
