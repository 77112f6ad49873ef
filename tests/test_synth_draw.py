"""Scenes drawn from a seed: the same whatever came before, people whole, on the floor, apart and in view."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sightline.body.anny_body import AnnyBody
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS
from sightline.synth import _draw_figures
from sightline.synth._draw_actor import Hands, posed_figure, solved_poses
from sightline.synth._draw_chance import Purpose, source
from sightline.synth._draw_feet import FLIP, mirrored, recombined, with_feet
from sightline.synth._draw_figures import drawn_figure, drawn_poses
from sightline.synth._draw_postures import KINDS
from sightline.synth._draw_skeleton import FOREARM, ROW, SHIN, THIGH, UPPER_ARM, posture_landmarks, two_bones
from sightline.synth.cameras import drawn_lens, drawn_view
from sightline.synth.config import CameraDraw, CrowdDraw, PoseDraw, SceneConfig, plain, street, studio
from sightline.synth.draw import draw_scene
from sightline.synth.intersect import TOUCH, body_capsules, depth_between, segment_distances
from sightline.synth.poses import BodyPose, JointPoses, LibraryPoses, PoseSource, ProceduralPoses
from sightline.synth.scene import Scene

POSES = ProceduralPoses()
ROWS_H36M = list(range(17))


@pytest.fixture(scope="module")
def street_scenes() -> list[Scene]:
    return [draw_scene(street(), POSES, 11, index) for index in range(8)]


def _numbers(scene: Scene) -> list[np.ndarray]:
    """All that a scene consists of."""
    camera = scene.camera
    assert camera.rotation is not None
    assert camera.translation_m is not None
    numbers = [value.numpy() for value in (camera.focal_px, camera.center_px, camera.rotation, camera.translation_m)]
    for actor in scene.actors:
        numbers += [actor.vertices_world, actor.landmarks_world, actor.rotations, actor.figure.canonical]
    numbers += [prop.vertices_world for prop in scene.props]
    return [*numbers, scene.backdrop.picture, np.array([scene.seed, scene.sensor.exposure, *scene.light.towards_world])]


def _same(one: Scene, other: Scene) -> bool:
    pairs = zip(_numbers(one), _numbers(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs) and (one.sensor, one.light, one.ground) == (
        other.sensor, other.light, other.ground,
    )  # fmt: skip


def test_order_does_not_matter(street_scenes: list[Scene]) -> None:
    _draw_figures.forget()
    for index in (7, 2):
        assert _same(draw_scene(street(), POSES, 11, index), street_scenes[index])
    assert not _same(street_scenes[0], street_scenes[1])
    assert not _same(draw_scene(street(), POSES, 12, 0), street_scenes[0])


@pytest.mark.slow
def test_another_process_draws_the_same() -> None:
    code = (
        "import hashlib\n"
        "from sightline.synth.config import studio\n"
        "from sightline.synth.draw import draw_scene\n"
        "from sightline.synth.poses import ProceduralPoses\n"
        "scene = draw_scene(studio(), ProceduralPoses(), 5, 3)\n"
        "data = scene.actors[0].vertices_world.tobytes() + scene.backdrop.picture.tobytes()\n"
        "print('sum', hashlib.sha256(data).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    scene = draw_scene(studio(), POSES, 5, 3)
    mine = hashlib.sha256(scene.actors[0].vertices_world.tobytes() + scene.backdrop.picture.tobytes()).hexdigest()
    assert other.split("sum ")[1].strip() == mine


def test_feet_are_on_the_floor(street_scenes: list[Scene]) -> None:
    lowest = [
        actor.vertices_world[0][np.unique(actor.figure.faces)][actor.figure.cut[np.unique(actor.figure.faces)] >= 0][
            :, 2
        ].min()
        for scene in street_scenes
        for actor in scene.actors
    ]
    assert np.abs(lowest).max() < 1e-5  # postures made from nothing do not jump


def test_everybody_is_in_view_and_the_camera_stands_free(street_scenes: list[Scene]) -> None:
    near = street().camera.near_m
    for scene in street_scenes:
        position = scene.camera.position_world.numpy()
        assert 0.1 < position[2] < 3.5
        for number, actor in enumerate(scene.actors):
            points = torch.from_numpy(actor.vertices_world[0][::30].astype(np.float64))
            px, valid = scene.camera.project(scene.camera.world_to_camera(points))
            inside = (valid & ((px >= 0) & (px <= scene.camera.image_size)).all(-1)).double().mean()
            assert inside > (0.15 if number == 0 else 0.05)
            assert np.linalg.norm(points.numpy() - position, axis=1).min() > 0.5 * near


def test_whole_people_lie_inside_the_picture() -> None:
    config = replace(studio(), figure_reuse=16)
    for index in range(16):
        scene = draw_scene(config, POSES, 2, index)
        points = torch.from_numpy(scene.actors[0].landmarks_world)
        px, valid = scene.camera.project(scene.camera.world_to_camera(points))
        assert bool(valid.all())
        assert bool(((px > -2) & (px < 258)).all())


def test_people_do_not_stand_inside_one_another(street_scenes: list[Scene]) -> None:
    bones, several = AnnyBody.load().bones, 0
    for scene in street_scenes:
        posed = []
        for actor in scene.actors:
            offset = actor.landmarks_world[ROW["Hip"]]
            assert np.isfinite(offset).all()
            posed.append(_capsules(actor, bones))
        for one in range(len(posed)):
            for other in range(one):
                several += 1
                assert depth_between(posed[one], posed[other]) < 0.02
    assert several > 2


def _capsules(actor, bones):  # noqa: ANN001, ANN202
    from sightline.body.skinning import posed_joints

    figure = actor.figure
    heads = posed_joints(
        torch.from_numpy(figure.joints)[None], figure.parents, torch.from_numpy(actor.rotations)[None],
        torch.from_numpy(actor.root_world.astype(np.float32))[None],
    )  # fmt: skip
    return body_capsules(figure, bones).posed(figure, actor.rotations.astype(float), heads[0].numpy().astype(float))


def test_what_is_off_is_off() -> None:
    for index in range(6):
        scene = draw_scene(plain(), POSES, 3, index)
        assert len(scene.actors) == 1
        assert not scene.props
        assert not scene.walls
        assert scene.ground.kind == "none"
        assert not scene.light.shadows
        assert scene.camera.is_pinhole
        sensor = scene.sensor
        assert (sensor.exposure, sensor.contrast, sensor.saturation, sensor.vignette, sensor.blur_px) == (1, 1, 1, 0, 0)
        assert (sensor.read_noise, sensor.shot_noise, sensor.jpeg_quality, sensor.grey) == (0, 0, None, False)
        assert all(len(actor.vertices_world) == 1 for actor in scene.actors)
        assert all(m.pattern == "plain" for m in scene.actors[0].figure.materials)


def test_one_knob_moves_nothing_else() -> None:
    base = replace(studio(), jpeg=0.0, props=0.0, motion_blur=0.0)
    scene = draw_scene(base, POSES, 4, 6)
    for knobs in ({"props": 1.0}, {"jpeg": 1.0}, {"sensor_noise": 1.0}, {"shadows": 0.0}, {"colour_cast": 1.0}):
        other = draw_scene(replace(base, **knobs), POSES, 4, 6)
        assert np.array_equal(other.actors[0].vertices_world, scene.actors[0].vertices_world), knobs
        assert np.array_equal(other.camera.rotation, scene.camera.rotation), knobs
        assert np.array_equal(other.backdrop.picture, scene.backdrop.picture), knobs
        assert other.light.towards_world == scene.light.towards_world, knobs


def test_motion_blur_moves_from_what_is_labelled() -> None:
    config = replace(studio(), motion_blur=1.0, shutter_s=(0.02, 0.02))
    moved = []
    for index in range(8):
        still, moving = (draw_scene(c, POSES, 1, index).actors[0].vertices_world for c in (studio(), config))
        assert len(moving) == 4
        assert np.array_equal(moving[0], still[0])
        steps = np.abs(moving - moving[0]).max((1, 2))
        assert np.allclose(steps / max(steps[-1], 1e-9), [0, 1 / 3, 2 / 3, 1], atol=1e-3)
        moved.append(steps[-1])
    assert 0.001 < np.median(moved) < 0.2


def test_things_stand_before_people_and_not_inside_them() -> None:
    config = replace(studio(), props=1.0, seats=1.0, figure_reuse=12)
    found = 0
    for index in range(12):
        scene = draw_scene(config, POSES, 8, index)
        found += len(scene.props)
        for prop in scene.props:
            assert prop.vertices_world[:, 2].min() > -1e-5
            assert prop.faces.max() < len(prop.vertices_world)
            volume = _volume(prop.vertices_world, prop.faces)
            assert volume > 0  # faces look outwards
    assert found >= 8


def _volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]].astype(float) - vertices.mean(0) for k in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


# ------------------------------------------------------------------------------------------------------------ cameras


@pytest.mark.parametrize("seed", range(12))
def test_a_body_fills_the_share_asked_for(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform((-0.25, -0.25, 0), (0.25, 0.25, 1.75), (200, 3))
    draw = CameraDraw(truncated_share=0.0, distortion_share=0.0, fill=(0.7, 0.7), near_m=0.1)
    view = drawn_view(rng, drawn_lens(rng, ((320, 200),), draw), draw, points)
    px, inside = view.project(points)
    assert inside.all()
    assert (np.ptp(px, axis=0) / [320, 200]).max() == pytest.approx(0.7, abs=0.12)
    seen, valid = view.camera().project(view.camera().world_to_camera(torch.from_numpy(points)))
    assert bool(valid.all())
    np.testing.assert_allclose(seen.numpy(), px, atol=1e-6)
    assert np.allclose(view.rotation @ view.rotation.T, np.eye(3))
    assert np.linalg.det(view.rotation) == pytest.approx(1.0)
    assert view.rotation[1, 2] < 0  # upright: the picture's y axis points down


def test_cut_people_are_cut_and_mostly_keep_their_heads() -> None:
    draw = CameraDraw(truncated_share=1.0, distortion_share=0.0)
    heads, shares = [], []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        points = rng.uniform((-0.2, -0.2, 0), (0.2, 0.2, 1.75), (200, 3))
        view = drawn_view(rng, drawn_lens(rng, ((256, 256),), draw), draw, points)
        inside = view.project(points)[1]
        shares.append(inside.mean())
        heads.append(inside[points[:, 2] > 1.5].any())
    assert 0.3 < np.mean(shares) < 0.9
    assert np.mean(heads) > 0.7


# -------------------------------------------------------------------------------------------------------------- poses


def _kinds() -> Iterator[tuple[str, int]]:
    yield from ((make.__name__, seed) for make, _ in KINDS for seed in range(3))


@pytest.mark.parametrize(("name", "seed"), list(_kinds()))
def test_made_postures_have_the_figures_bones(name: str, seed: int) -> None:
    make = next(make for make, _ in KINDS if make.__name__ == name)
    now, then = (posture_landmarks(posture) for posture in make(np.random.default_rng(seed), 0.03))
    for points in (now, then):
        assert np.isfinite(points[ROWS_H36M]).all()
        for side in "LR":
            for a, b, length in (
                ("Hip", "Knee", THIGH), ("Knee", "Ankle", SHIN), ("Shoulder", "Elbow", UPPER_ARM),
                ("Elbow", "Wrist", FOREARM),
            ):  # fmt: skip
                assert np.linalg.norm(points[ROW[side + a]] - points[ROW[side + b]]) == pytest.approx(length, abs=2e-3)
    assert np.nanmax(np.linalg.norm(then - now, axis=-1)) < 0.5


def test_planted_feet_stand_on_the_floor() -> None:
    for seed in range(20):
        make = KINDS[0][0]
        points = posture_landmarks(make(np.random.default_rng(seed), 0.03)[0])
        assert points[ROW["LAnkle"], 2] == pytest.approx(points[ROW["RAnkle"], 2], abs=1e-6)
        assert points[ROW["LHeel"], 2] == pytest.approx(0.02, abs=1e-6)


def test_two_bones_meet_at_their_lengths() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        start, pole = rng.normal(size=3), rng.normal(size=3)
        end = start + rng.normal(size=3) * 0.25
        middle = two_bones(start, end, 0.4, 0.35, pole)
        assert np.linalg.norm(middle - start) == pytest.approx(0.4)
        if 0.06 < np.linalg.norm(end - start) < 0.74:
            assert np.linalg.norm(middle - end) == pytest.approx(0.35)


def test_mirroring_twice_is_nothing() -> None:
    pose = POSES.pose(np.random.default_rng(3)).landmarks
    np.testing.assert_array_equal(mirrored(mirrored(pose)), pose)
    assert ALL_LANDMARKS[FLIP[ROW["LWrist"]]] == "RWrist"
    assert FLIP[ROW["Hip"]] == ROW["Hip"]


def test_recombined_limbs_keep_their_bones_and_the_rest_stays() -> None:
    one, other = (POSES.pose(np.random.default_rng(seed)).landmarks for seed in (1, 2))
    mixed = recombined(one, {"L": other, "legs": other})
    for a, b in (("LShoulder", "LElbow"), ("LElbow", "LWrist"), ("RHip", "RKnee"), ("RKnee", "RAnkle")):
        for points in (mixed, other):
            length = np.linalg.norm(points[0, ROW[a]] - points[0, ROW[b]])
            assert length == pytest.approx(np.linalg.norm(one[0, ROW[a]] - one[0, ROW[b]]), abs=1e-3)
    for name in ("Hip", "Thorax", "LShoulder", "RShoulder", "RWrist", "MidHead", "LHip"):
        np.testing.assert_array_equal(mixed[:, ROW[name]], one[:, ROW[name]])
    np.testing.assert_allclose(recombined(one, dict.fromkeys(("L", "R", "legs", "head"), one)), one, atol=1e-9)


def test_feet_of_a_standing_person_are_level_and_point_ahead() -> None:
    joints = posture_landmarks(KINDS[0][0](np.random.default_rng(1), 0.03)[0])[ROWS_H36M]
    points = with_feet(np.stack([joints, joints]), float(joints[:, 2].min()))
    for side in "LR":
        heel, toe = points[0, ROW[side + "Heel"]], points[0, ROW[side + "BigToe"]]
        assert abs(heel[2] - toe[2]) < 0.01
        assert (toe - heel)[0] > 0.1  # the figure looks along x


def _library(path: Path, **changes: object) -> Path:
    rng = np.random.default_rng(0)
    joints = np.stack([posture_landmarks(KINDS[1][0](rng, 0.03)[0])[ROWS_H36M] for _ in range(12)])
    arrays: dict[str, object] = {
        "joints_world": joints.astype(np.float32), "clip_start": np.array([0, 5, 9, 12]),
        "splits": np.array(["train", "test", "train"]), "fps": np.array(30.0),
    }  # fmt: skip
    np.savez(path, **{**arrays, **changes})  # pyright: ignore[reportArgumentType]
    return path


def test_a_library_gives_poses_of_its_split(tmp_path: Path) -> None:
    path = _library(tmp_path / "motion.npz")
    poses = LibraryPoses(path=str(path))
    assert isinstance(poses, PoseSource)
    with np.load(path) as file:
        joints = file["joints_world"]
    drawn = [poses.pose(np.random.default_rng(seed)).landmarks for seed in range(40)]
    rows = {int(np.abs(joints - pose[0, ROWS_H36M]).max((1, 2)).argmin()) for pose in drawn}
    assert rows <= {0, 1, 2, 3, 4, 9, 10, 11}
    assert len(rows) > 5
    for pose in drawn:
        row = int(np.abs(joints - pose[0, ROWS_H36M]).max((1, 2)).argmin())
        following = row if row in (4, 11) else row + 1
        np.testing.assert_allclose(pose[1, ROWS_H36M], joints[following], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"joints_world": np.zeros((12, 5, 3), np.float32)}, "expected float32"),
        ({"joints_world": np.full((12, 17, 3), np.nan, np.float32)}, "NaN"),
        ({"clip_start": np.array([0, 5, 12])}, "clip_start"),
        ({"clip_start": np.array([0, 5, 5, 12])}, "clip_start"),
        ({"fps": np.array(0.0)}, "fps"),
        ({"splits": np.array(["test", "test", "val"])}, "no clip of the split 'train'"),
    ],
)
def test_bad_libraries(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        LibraryPoses(path=str(_library(tmp_path / "motion.npz", **changes)))


def test_a_file_that_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"nothing")
    for name in ("a.npz", "missing.npz"):
        with pytest.raises(InputError, match="expected a motion library"):
            LibraryPoses(path=str(tmp_path / name))


def test_jumps_keep_their_height() -> None:
    joints = np.stack([posture_landmarks(KINDS[0][0](np.random.default_rng(0), 0.03)[0])[ROWS_H36M]] * 21)
    joints[8:13, :, 2] += 0.3
    poses = JointPoses(joints_world=joints, fps=30.0, clip_start=np.array([0, 21]))
    assert poses.at(10).lift_m == pytest.approx(0.3)
    assert poses.at(0).lift_m == 0.0
    assert poses.at(20).interval_s == pytest.approx(1 / 30)


# ------------------------------------------------------------------------------------------------------- intersection


def test_segment_distances_against_sampling() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(40, 2, 3)), rng.normal(size=(40, 2, 3))
    share = np.linspace(0, 1, 101)[:, None, None]
    a, b = (s[None, :, 0] * (1 - share) + s[None, :, 1] * share for s in (one, other))
    brute = np.linalg.norm(a[:, None] - b[None], axis=-1).min((0, 1))
    np.testing.assert_allclose(segment_distances(one, other), brute, atol=0.02)
    assert (segment_distances(one, other) <= brute + 1e-9).all()


def test_recombined_poses_do_not_pass_through_themselves() -> None:
    config = replace(studio(), poses=PoseDraw(recombined_share=0.6), figure_reuse=48)
    figure, bones = drawn_figure(config, 1, 0, 0), AnnyBody.load().bones
    capsules = body_capsules(figure, bones)
    deep = []
    for solved in drawn_poses(config, POSES, 1, 0, 0):
        person = posed_figure(figure, solved, yaw=0.3, hands=Hands())
        deep.append(capsules.deepest(person.capsules)[0])
    assert np.mean(np.array(deep) > TOUCH) < 0.05


def test_a_hand_in_the_belly_is_noticed_and_held_off() -> None:
    figure = drawn_figure(studio(), 1, 0, 0)
    pose = POSES.pose(np.random.default_rng(0))
    points = posture_landmarks(KINDS[0][0](np.random.default_rng(5), 0.03)[0])
    inside = 0.5 * (points[ROW["Spine"]] + points[ROW["Hip"]])
    shoulder = points[ROW["LShoulder"]]
    points[ROW["LElbow"]] = two_bones(shoulder, inside, UPPER_ARM, FOREARM, np.array([-1.0, 1.0, 0.0]))
    points[ROW["LWrist"]] = inside
    points[[ROW["LIndex"], ROW["LPinky"]]] = np.nan
    bad = replace(pose, landmarks=np.stack([points, points]))
    capsules = body_capsules(figure, AnnyBody.load().bones)
    person = posed_figure(figure, solved_poses(figure, [[bad]])[0], yaw=0.0, hands=Hands())
    assert capsules.deepest(person.capsules)[0] < TOUCH
    wrist = person.actor.landmarks_world[ROW["LWrist"]]
    assert np.linalg.norm(wrist - inside) > 0.05


@pytest.mark.slow
def test_capsules_agree_with_the_mesh() -> None:
    """A forearm or hand whose capsule is deep in the trunk has skin in it, and one that is clear of it has none."""
    config = replace(plain(), figure_reuse=64, poses=PoseDraw(recombined_share=0.0))
    figure, model = drawn_figure(config, 2, 0, 0), AnnyBody.load()
    capsules = body_capsules(figure, model.bones)
    rng, found = np.random.default_rng(0), []
    row = {name: index for index, name in enumerate(model.bones)}
    carrier = np.take_along_axis(figure.skin_bones, figure.skin_weights.argmax(1)[:, None], 1)[:, 0]
    naked = np.arange(len(carrier)) < figure.body_vertices
    arm = np.flatnonzero(naked & np.isin(carrier, [row["lowerarm01.L"], row["lowerarm02.L"], row["wrist.L"]]))
    trunk = np.isin(carrier, [i for n, i in row.items() if n.startswith(("root", "spine", "pelvis"))]) & naked
    faces = model.faces.numpy()
    faces = faces[trunk[faces].all(1)]
    rows = [n for n, name in enumerate(capsules.names) if name in ("L_forearm", "L_hand")]
    slabs = [n for n, name in enumerate(capsules.names) if name in ("pelvis", "belly", "chest")]
    for _ in range(60):
        pose = POSES.pose(rng)
        bent = pose.landmarks.copy()
        bent[:, ROW["LWrist"]] = bent[:, ROW["Spine"]] + rng.normal(0, 0.16, 3)
        for moment in bent:
            moment[ROW["LElbow"]] = two_bones(
                moment[ROW["LShoulder"]], moment[ROW["LWrist"]], UPPER_ARM, FOREARM, rng.normal(size=3)
            )
        bent[:, [ROW["LIndex"], ROW["LPinky"]]] = np.nan
        from sightline.body.ik import rotations_from_landmarks
        from sightline.body.model import RestBody
        from sightline.body.skinning import posed_joints, skinned_arrays

        rest = RestBody(
            torch.from_numpy(figure.vertices[None, : figure.body_vertices]), torch.from_numpy(figure.joints[None])
        )
        turns, root = rotations_from_landmarks(model, rest, torch.from_numpy(bent[:1].astype(np.float32)), passes=1)
        heads = posed_joints(rest.joints, figure.parents, turns, root)[0].numpy()
        posed = capsules.posed(figure, turns[0].numpy().astype(float), heads.astype(float))
        gap = segment_distances(posed.ends[rows][:, None], posed.ends[slabs][None])
        depth = (posed.radius[rows][:, None] + posed.radius[slabs][None] - gap).max()
        vertices = skinned_arrays(
            figure.vertices, figure.skin_bones, figure.skin_weights, figure.joints, figure.parents,
            turns[0].numpy(), root[0].numpy(),
        )  # fmt: skip
        winding = _winding(vertices[arm[::6]].astype(float), vertices[faces].astype(float))
        found.append((depth, (winding > 0.5).mean()))
    depth, share = np.array(found).T
    assert (share[depth > 0.045] > 0.05).mean() > 0.85
    assert (share[depth < -0.01] < 0.05).mean() > 0.85


def _winding(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """How often a surface winds about points: about 1 inside, 0 outside (Van Oosterom and Strackee's solid angles)."""
    totals = []
    for point in points:
        a, b, c = (triangles[:, k] - point for k in range(3))
        la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
        above = (np.cross(a, b) * c).sum(1)
        below = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        totals.append((2 * np.arctan2(above, below)).sum() / (4 * np.pi))
    return np.array(totals)


# ------------------------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: SceneConfig(jpeg=1.2), "jpeg: expected a share"),
        (lambda: SceneConfig(camera=CameraDraw(truncated_share=-0.1)), "truncated_share"),
        (lambda: SceneConfig(camera=CameraDraw(fov=(1.0, 0.5))), "fov: expected a rising range"),
        (lambda: SceneConfig(crowd=CrowdDraw(people=(3, 1))), "people: expected"),
        (lambda: SceneConfig(backgrounds=(("folder", 1.0),)), "picture_folder"),
        (lambda: SceneConfig(backgrounds=(("moon", 1.0),)), "got moon"),
        (lambda: SceneConfig(grounds=(("none", 0.0),)), "grounds: expected weights"),
        (lambda: SceneConfig(image_sizes=((8, 8),)), "image_sizes"),
        (lambda: SceneConfig(figure_reuse=0), "figure_reuse"),
    ],
)
def test_bad_configurations(wrong, said: str) -> None:  # noqa: ANN001
    with pytest.raises(ValueError, match=said):
        wrong()


def test_presets_are_values() -> None:
    assert street() == street()
    assert hash(plain()) == hash(plain())
    assert len({street(), studio(), plain()}) == 3


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match="seed and index"):
        draw_scene(plain(), POSES, -1, 0)
    with pytest.raises(ValueError, match="joints_world"):
        JointPoses(joints_world=np.zeros((0, 17, 3)))


def test_purposes_share_no_chance() -> None:
    first = {float(source(1, 2, purpose).random()) for purpose in Purpose}
    assert len(first) == len(Purpose)
    assert isinstance(_draw_figures.drawn_poses(plain(), POSES, 0, 0, 0)[0].lift_m, float)
    assert BodyPose.__dataclass_params__.frozen  # pyright: ignore[reportAttributeAccessIssue]
