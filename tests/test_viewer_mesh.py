"""Poses as bodies: bodies where joints are, drawn where the camera sees them, files that move as they do."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("anny", reason="bodies need the package anny")
pytest.importorskip("warp", reason="drawing bodies needs the package warp-lang")

from glb_reader import played, read_glb
from sightline.body import anny_body
from sightline.body.regressors import joints_of
from sightline.camera import Camera
from sightline.cli import main
from sightline.errors import InputError
from sightline.formats.mesh import GLTF_FROM_CAM
from sightline.formats.poses import read_poses, write_poses
from sightline.geometry.distortion import Distortion
from sightline.structures import Poses
from sightline.synth import drawing
from sightline.viewer import render_frame, write_picture
from sightline.viewer.mesh import Bodies, fitted_bodies
from sightline.viewer.style import PERSON_COLOURS
from staged_people import FISHEYE, H36M, LANDSCAPE, person, poses
from staged_people import standing_cam as standing

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


BARREL = Camera.create((960, 720), 620.0, distortion=Distortion.create("brown_conrady", [-0.25, 0.08], [0.001, -0.002]))


@pytest.mark.parametrize(("lens", "size"), [(FISHEYE, (640, 640)), (BARREL, (960, 720)), (BARREL, (240, 180))])
def test_through_any_lens_and_at_any_size_bodies_cover_what_their_skin_projects_to(
    lens: Camera, size: tuple[int, int], film: Poses, bodies: Bodies
) -> None:
    for position in range(3):
        alone = replace(film.frames[0], people=film.frames[0].people[: position + 1])
        before = replace(film.frames[0], people=film.frames[0].people[:position])
        drawn = [bodies.drawn_over(None, lens, frame, size).astype(int) for frame in (before, alone)]
        y, x = np.nonzero((drawn[0] != drawn[1]).any(-1))
        vertices = bodies.vertices_cam(film.frames[0], position)
        assert vertices is not None
        px, seen = (part.numpy() for part in lens.resized(size).project(torch.tensor(vertices)))
        assert seen.all()
        if position != 1:  # the second stands behind the first
            low, high = np.clip(px.min(0), 0, size), np.clip(px.max(0), 0, size)
            np.testing.assert_allclose([x.min(), y.min(), x.max() + 1, y.max() + 1], [*low, *high], atol=1.6)


def test_what_is_behind_the_camera_is_not_drawn(film: Poses) -> None:
    size, grey = (192, 108), np.full((108, 192, 3), 7, np.uint8)
    for depth, shown in ((-3.0, False), (0.05, True)):
        nearby = poses([person(standing(0.0, depth), LANDSCAPE, 1)])
        drawn = fitted_bodies(nearby).drawn_over(grey, LANDSCAPE, nearby.frames[0], size)
        assert (drawn != 7).any() == shown


def with_only(*names: str) -> Poses:
    """One frame of somebody upright of whom some joints are known."""
    joints = standing(0.0, 3.0)
    joints[[row for row, name in enumerate(H36M.joints) if name not in names]] = np.nan
    return poses([person(joints, LANDSCAPE, 4)])


@pytest.mark.parametrize(
    "known",
    [(), ("RWrist",), ("LHip", "RHip", "LKnee", "RKnee"), ("Thorax", "LShoulder", "RShoulder"), ("LHip", "Thorax")],
)
def test_where_nothing_says_which_way_up_a_body_is_there_is_none(known: tuple[str, ...], tmp_path: Path) -> None:
    nobody = with_only(*known)
    bodies, frame = fitted_bodies(nobody), nobody.frames[0]
    assert bodies.tracks == ()
    assert bodies.vertices_cam(frame, 0) is None
    assert np.isnan(bodies.residual_m)
    assert (bodies.drawn_over(np.full((54, 96, 3), 7, np.uint8), LANDSCAPE, frame, (96, 54)) == 7).all()
    assert bodies.written(nobody, tmp_path / "meshes", tmp_path / "p.json").frames[0].people[0].mesh is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("known", [("Hip", "Spine"), ("LHip", "RHip", "LShoulder", "RShoulder"), ("Hip", "Thorax")])
def test_a_body_of_which_the_trunk_is_known_is_the_right_way_up(known: tuple[str, ...]) -> None:
    seen = with_only(*known)
    bodies = fitted_bodies(seen)
    vertices = bodies.vertices_cam(seen.frames[0], 0)
    assert vertices is not None
    head, feet = ([bodies.model.regions.index(part)] for part in ("head", "foot"))
    faces = bodies.model.faces.numpy()
    assert (vertices[faces[head]].mean((0, 1)) - vertices[faces[feet]].mean((0, 1)))[1] < -1.0  # y is down


def test_frames_without_a_trunk_have_no_body_and_the_others_have() -> None:
    whole = person(standing(0.0, 3.0), LANDSCAPE, 4)
    wrist = with_only("RWrist").frames[0].people[0]
    seen = poses([[whole], [wrist], [], [whole]])
    bodies = fitted_bodies(seen)
    assert set(bodies.rows) == {(0, 0), (3, 0)}
    assert bodies.tracks[0].times_s == pytest.approx((0.0, 0.1))


def test_all_files_of_a_film_tell_one_time(tmp_path: Path) -> None:
    early, late = (person(standing(x, 3.0), LANDSCAPE, ident) for x, ident in ((-0.5, 1), (0.5, 2)))
    film = poses([[early], [early, late], [], [early, late]])
    times = [10.0, 10.04, 10.05, 10.2]
    own = replace(film, frames=tuple(replace(f, time_s=t) for f, t in zip(film.frames, times, strict=True)))
    unknown = replace(film, frames=tuple(replace(frame, time_s=None) for frame in film.frames))
    stuck = replace(film, frames=tuple(replace(frame, time_s=1.0) for frame in film.frames))
    for seen, expected in ((own, (0.04, 0.2)), (unknown, (1 / 30, 0.1)), (stuck, (1 / 30, 0.1))):
        bodies = fitted_bodies(seen)
        assert bodies.tracks[1].times_s == pytest.approx(expected)
        bodies.written(seen, tmp_path, tmp_path / "p.json")
        content, arrays = read_glb(tmp_path / "person-2.glb")
        clock = arrays[content["animations"][0]["samplers"][0]["input"]]
        assert clock[:, 0] == pytest.approx(expected)
    assert fitted_bodies(replace(unknown, fps=None)).tracks[1].times_s == pytest.approx((1 / 25, 3 / 25))


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
    assert np.median(missed) < 1e-5
    assert missed.max() < 5e-4  # two vertices hang on nine bones
    skin = content["meshes"][0]["primitives"][0]["attributes"]
    for name in ("JOINTS_1", "WEIGHTS_1"):
        skin.pop(name)
    first_set = arrays[skin["WEIGHTS_0"]]
    arrays[skin["WEIGHTS_0"]] = first_set / first_set.sum(1, keepdims=True)
    missed = np.linalg.norm(played(content, arrays, 1) - vertices @ GLTF_FROM_CAM.T, axis=1)
    assert missed.mean() < 5e-4  # what readers of four bones a vertex see: docs/commands/lift.md
    assert 2e-3 < missed.max() < 0.05
    still, numbers = read_glb(tmp_path / "p-meshes" / "frame-000000-2.glb")
    vertices = bodies.vertices_cam(film.frames[0], 2)
    assert vertices is not None
    np.testing.assert_allclose(numbers[0], vertices @ GLTF_FROM_CAM.T, atol=1e-5)
    assert "animations" not in still
    write_poses(named, tmp_path / "p.npz")
    assert read_poses(tmp_path / "p.npz").frames[0].people[1].mesh == first[1]


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


def test_lift_says_how_near_its_bodies_come(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lift", *inputs, "--mesh", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["meshes"]
    assert told["count"] == 1
    poses_written = read_poses(tmp_path / "p.json")
    assert told["residual_m"] == pytest.approx(fitted_bodies(poses_written).residual_m, abs=1e-4)
    assert main(["lift", *inputs, "--mesh"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"  {tmp_path / 'p-meshes'}: 1 body, {1e3 * told['residual_m']:.0f} mm from the joints on average"


def test_a_file_in_the_place_of_the_meshes_is_refused_before_any_work(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p-meshes").write_text("mine", encoding="utf-8")
    assert main(["lift", *inputs, "--mesh"]) == 2
    assert "p-meshes is a file" in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()
    assert main(["lift", *inputs]) == 0
