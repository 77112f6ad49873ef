"""Scenes drawn from a seed: the same whatever came before, people whole, on the floor, apart and in view."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from sightline.body.anny_body import AnnyBody
from sightline.camera import Camera
from sightline.synth import _draw_figures
from sightline.synth._draw_chance import Purpose, source
from sightline.synth._draw_skeleton import ROW
from sightline.synth._draw_things import chair
from sightline.synth.cameras import drawn_lens, drawn_view
from sightline.synth.config import CameraDraw, CrowdDraw, SceneConfig, plain, street, studio
from sightline.synth.draw import draw_scene
from sightline.synth.figure import Material
from sightline.synth.intersect import body_capsules, depth_between
from sightline.synth.poses import BodyPose, JointPoses, ProceduralPoses
from sightline.synth.props import _inside, _put, _within_hulls
from sightline.synth.scene import Scene

POSES = ProceduralPoses()


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


def test_drawn_cameras_are_those_that_are_checked() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        draw = CameraDraw(distortion_share=0.5)
        view = drawn_view(rng, drawn_lens(rng, ((320, 200),), draw), draw, rng.uniform(0, 1.75, (50, 3)))
        lens, camera = view.lens, view.camera()
        checked = Camera.create(
            lens.size, lens.focal_px, lens.center_px, rotation=view.rotation,
            translation_m=-view.rotation @ view.position,
        )  # fmt: skip
        for name in ("image_size", "focal_px", "center_px", "rotation", "translation_m"):
            found, expected = getattr(camera, name), getattr(checked, name)
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert camera.is_pinhole == (lens.radial is None)


# ------------------------------------------------------------------------------------------------------------- things


def test_points_in_boxes_and_in_the_hulls_of_their_corners() -> None:
    rng = np.random.default_rng(0)
    thing = chair(rng)
    placed = _put(thing, Material(kind="plain", colours=((0.5, 0.5, 0.5),)), 0.7, 1.0, -2.0)
    points = rng.uniform((0.4, -2.6, -0.1), (1.6, -1.4, 1.2), (4000, 3))
    c, s = np.cos(0.7), np.sin(0.7)
    own = (points - [1.0, -2.0, 0.0]) @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    for grown in (0.0, 0.1, -0.01):
        low, high = thing.boxes[:, None, 0] - grown, thing.boxes[:, None, 1] + grown
        expected = ((own > low) & (own < high)).all(2).any(0)
        np.testing.assert_array_equal(_inside(placed.boxes, points, grown=grown), expected)
        assert expected.any()
    corners, flat = rng.normal(size=(5, 8, 2)), rng.normal(size=(500, 2))
    expected = np.stack([Delaunay(its).find_simplex(flat) >= 0 for its in corners])
    np.testing.assert_array_equal(_within_hulls(flat, corners), expected)


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
