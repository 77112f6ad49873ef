"""What the viewers compute before they draw: ground, eye, frustum, headings, labels, layout, colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sightline.camera import Camera
from sightline.skeleton import SKELETONS, get_skeleton
from sightline.structures import World
from sightline.viewer.canvas import clipped_segment, shortened, text_width
from sightline.viewer.frustum import border_rays, horizontal_fov_rad
from sightline.viewer.ground import find_ground
from sightline.viewer.labels import Box, placed
from sightline.viewer.layout import arranged, fitted
from sightline.viewer.stage import Stage
from sightline.viewer.style import PERSON_COLOURS, side_of, toned
from sightline.viewer.view import fitted_view
from staged_people import FISHEYE, H36M, LANDSCAPE, PORTRAIT, SQUARE, Walker, film, person, poses, standing_cam

# ---- ground --------------------------------------------------------------------------------------------------------


def tilted_world(pitch: float, height: float) -> World:
    up = np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
    return World(up_cam=up, floor_cam=np.append(up, height))


@pytest.mark.parametrize("pitch", [-0.3, 0.0, 0.5, 1.2])
@pytest.mark.parametrize("height", [0.3, 2.5])
def test_a_given_floor_is_taken_as_it_is(pitch: float, height: float) -> None:
    scene = film(1, [Walker(x=0.4, z=5.0)], height=height, pitch=pitch, world=tilted_world(pitch, height))
    ground = find_ground(scene)
    joints = ground.placed(scene.frames[0].people[0].joints_cam_m)
    assert ground.kind == "given"
    assert_allclose(joints[H36M.index("RAnkle"), 2], 0.08, atol=1e-9)
    assert_allclose(joints[H36M.index("Hip")], [0.4, 5.0, 0.92], atol=1e-9)
    assert_allclose(ground.ground_from_cam @ ground.ground_from_cam.T, np.eye(3), atol=1e-12)
    assert_allclose(np.linalg.det(ground.ground_from_cam), 1.0)


@pytest.mark.parametrize("pitch", [0.0, 0.3, 0.6])
def test_walking_people_show_the_floor(pitch: float) -> None:
    walkers = [Walker(x=-1.5, z=6.0, heading=1.0, speed=1.2), Walker(x=1.0, z=4.0, heading=0.2, speed=1.0)]
    ground = find_ground(film(60, walkers, height=2.0, pitch=pitch, noise_m=0.02))
    assert ground.kind == "fitted"
    assert_allclose(ground.camera_height_m, 2.0, atol=0.06)
    up = np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
    assert np.degrees(np.arccos(ground.ground_from_cam[2] @ up)) < 1.5


@pytest.mark.parametrize(("pitch", "kind"), [(0.0, "camera"), (0.2, "camera"), (0.5, "people")])
def test_one_standing_person_suggests_a_floor(pitch: float, kind: str) -> None:
    ground = find_ground(film(1, [Walker()], height=1.6, pitch=pitch))
    assert ground.kind == kind
    if kind == "people" or pitch == 0.0:
        assert_allclose(ground.camera_height_m, 1.6, atol=0.08)


def test_no_floor_is_claimed_where_nothing_shows_one() -> None:
    lying = poses([person(standing_cam(0.0, 4.0)[:, [1, 0, 2]], LANDSCAPE)])
    stairs = poses(
        [person(standing_cam(x, 4.0) - [0, step, 0], LANDSCAPE, k) for k, (x, step) in enumerate([(0, 0), (1, 1.0)])]
    )
    without_legs = standing_cam(0.0, 4.0).copy()
    without_legs[[2, 3, 5, 6]] = np.nan
    for scene in (poses([]), lying, stairs, poses([person(without_legs, LANDSCAPE)])):
        ground = find_ground(scene)
        assert ground.kind == "level"
        assert not ground.has_floor
        assert "no floor known" in ground.words
        assert ground.camera_height_m == 0.0


def test_a_camera_that_looks_straight_down_still_has_a_forward() -> None:
    ground = find_ground(film(1, [Walker(z=0.5)], height=4.0, pitch=np.pi / 2, world=tilted_world(np.pi / 2, 4.0)))
    assert_allclose(ground.ground_from_cam, [[1, 0, 0], [0, -1, 0], [0, 0, -1]], atol=1e-12)


# ---- people --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", np.linspace(-3.0, 3.0, 7))
def test_people_face_the_way_they_look(heading: float) -> None:
    scene = film(1, [Walker(heading=heading)])
    actor = Stage.of(scene).actors(scene.frames[0])[0]
    assert actor.facing is not None
    assert_allclose(actor.facing, [np.sin(heading), np.cos(heading)], atol=1e-9)
    joints = scene.frames[0].people[0].joints_cam_m.copy()
    joints[[H36M.index("LShoulder"), H36M.index("LHip")]] = np.nan
    scene = poses([person(joints, LANDSCAPE)])
    assert Stage.of(scene).actors(scene.frames[0])[0].facing is None


def test_a_trail_is_the_last_second_of_its_person() -> None:
    scene = film(50, [Walker(x=-1.0, speed=1.0, heading=0.5), Walker(x=1.0)])
    stage = Stage.of(scene)
    trail = stage.trail(0, scene.frames[45])
    roots = [frame.people[0].joints_cam_m[0] for frame in scene.frames[15:46]]
    assert_allclose(trail, stage.ground.placed(np.array(roots)), atol=1e-12)
    assert stage.trail(None, scene.frames[45]).shape == (0, 3)
    assert len(stage.trail(0, scene.frames[0])) == 1


def test_without_a_root_the_place_is_the_mean_of_what_is_there() -> None:
    joints = standing_cam(0.3, 4.0).copy()
    joints[0] = np.nan
    scene = poses([person(joints, LANDSCAPE)])
    actor = Stage.of(scene).actors(scene.frames[0])[0]
    assert_allclose(actor.distance_m, np.linalg.norm(np.nanmean(joints, axis=0)))


def test_sides_come_from_the_names() -> None:
    for name in SKELETONS:
        skeleton = get_skeleton(name)
        sides = [side_of(skeleton, joint) for joint in range(len(skeleton))]
        swapped = {"left": "right", "right": "left", "middle": "middle"}
        assert [sides[skeleton.flip[joint]] for joint in range(len(skeleton))] == [swapped[side] for side in sides]
    assert side_of(H36M, H36M.index("LKnee")) == "left"
    assert side_of(H36M, H36M.index("RWrist")) == "right"


# ---- eye and frustum -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(700, 400), (500, 800)])
@pytest.mark.parametrize(("azimuth", "elevation"), [(0.0, 0.1), (0.5, 0.3), (1.5, 1.2), (-2.0, 0.5)])
def test_the_eye_sees_all_points_inside_its_margins_and_comes_near(
    size: tuple[int, int], azimuth: float, elevation: float
) -> None:
    points = np.random.default_rng(3).uniform([-3, 0, 0], [2, 9, 2], (200, 3))
    view = fitted_view(points, size, azimuth_rad=azimuth, elevation_rad=elevation, margin=(30, 60, 30, 40))
    seen = view.seen(points)[:, :2]
    low, high = seen.min(axis=0), seen.max(axis=0)
    assert (low >= [30 - 0.5, 60 - 0.5]).all()
    assert (high <= [size[0] - 30 + 0.5, size[1] - 40 + 0.5]).all()
    slack = np.concatenate([low - [30, 60], [size[0] - 30, size[1] - 40] - high])
    assert np.sort(slack)[:2].max() < 3.0  # it touches two opposite margins


def test_the_eye_is_a_pinhole_camera() -> None:
    points = np.random.default_rng(5).uniform([-3, 0, 0], [2, 9, 2], (50, 3))
    view = fitted_view(points, (700, 400), azimuth_rad=0.4, elevation_rad=0.3)
    turn = torch.tensor(view.view_from_ground)
    twin = Camera.create(
        (700, 400), view.focal_px, view.center_px, rotation=turn, translation_m=-turn @ torch.tensor(view.eye_ground)
    )
    expected, valid = twin.project(twin.world_to_camera(torch.tensor(points)))
    assert valid.all()
    assert_allclose(view.seen(points)[:, :2], expected.numpy(), atol=1e-9)
    behind = view.eye_ground - 2.0 * view.view_from_ground[2]
    assert np.isnan(view.seen(behind)[:2]).all()
    cut = view.segment(behind, points[0])
    assert cut is not None
    assert_allclose(cut[1], view.seen(points[0])[:2])
    assert view.segment(behind, behind - view.view_from_ground[2]) is None


def test_the_field_of_view_is_the_lens_own() -> None:
    assert_allclose(horizontal_fov_rad(LANDSCAPE), 2 * np.arctan(960 / 1500))
    assert_allclose(horizontal_fov_rad(PORTRAIT), 2 * np.arctan(544 / 1681))
    shifted = Camera.create((1000, 800), 500.0, (300.0, 400.0))
    scene = poses([], shifted)
    assert_allclose(Stage.of(scene).fan(shifted), [-np.arctan(300 / 500), np.arctan(700 / 500)])
    assert horizontal_fov_rad(FISHEYE) > np.pi
    left, right = Stage.of(poses([], FISHEYE)).fan(FISHEYE)
    assert_allclose(right - left, horizontal_fov_rad(FISHEYE), atol=1e-6)


def test_border_rays_end_on_the_border() -> None:
    rays = border_rays(SQUARE)
    assert_allclose(rays[:, 2], 1.0)
    assert_allclose(np.abs(rays[:, :2]).max(axis=-1), 500 / 1150)
    assert_allclose(np.linalg.norm(border_rays(FISHEYE), axis=-1), 1.0)


@given(st.lists(st.floats(-20, 20), min_size=4, max_size=4))
def test_a_clipped_segment_keeps_just_the_points_inside(values: list[float]) -> None:
    start, end, low, high = np.array(values[:2]), np.array(values[2:]), np.array([-5.0, -3.0]), np.array([4.0, 6.0])
    along = np.linspace(0.0, 1.0, 401)[:, None]
    points = start + along * (end - start)
    inside = points[((points > low + 1e-9) & (points < high - 1e-9)).all(axis=-1)]
    cut = clipped_segment(start, end, low, high)
    if cut is None:
        assert len(inside) == 0
        return
    first, last = cut
    assert ((np.stack(cut) >= low - 1e-9) & (np.stack(cut) <= high + 1e-9)).all()
    length = np.linalg.norm(last - first)
    assert_allclose(np.linalg.norm(inside - first, axis=-1) + np.linalg.norm(inside - last, axis=-1), length, atol=1e-9)


# ---- panels and words ----------------------------------------------------------------------------------------------


def common(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


@given(
    st.lists(st.tuples(st.floats(-50, 850), st.floats(-50, 650)), min_size=1, max_size=8),
    st.sampled_from(["above", "right"]),
)
def test_labels_neither_overlap_nor_leave_the_panel(anchors: list[tuple[float, float]], prefer: str) -> None:
    boxes = placed(anchors, [(110.0, 26.0)] * len(anchors), (800, 600), 14.0, prefer)
    for k, box in enumerate(boxes):
        assert_allclose([box[2] - box[0], box[3] - box[1]], [110.0, 26.0])
        assert box[0] >= 0
        assert box[1] >= 0
        assert box[2] <= 800
        assert box[3] <= 600
        assert all(common(box, other) == 0.0 for other in boxes[:k])


@pytest.mark.parametrize("size", [(1600, 900), (800, 450), (480, 270), (1080, 1350), (2400, 800), (1920, 1080)])
@pytest.mark.parametrize("aspect", [0.3, 1088 / 1920, 1.0, 16 / 9, 4.0])
def test_panels_share_the_sheet_without_overlap(size: tuple[int, int], aspect: float) -> None:
    layout = arranged(size, aspect, 13.0 * np.sqrt(size[0] * size[1] / 1.44e6))
    rects = [layout.title, layout.picture, layout.scene, layout.top]
    for k, rect in enumerate(rects):
        assert 0 <= rect[0] < rect[2] <= size[0]
        assert 0 <= rect[1] < rect[3] <= size[1]
        assert all(common(rect, other) == 0.0 for other in rects[:k])
    for rect in (layout.scene, layout.top):
        assert (rect[2] - rect[0]) * (rect[3] - rect[1]) > 0.08 * size[0] * size[1]
    inner = fitted(layout.picture, aspect)
    assert_allclose((inner[2] - inner[0]) / (inner[3] - inner[1]), aspect, rtol=0.05)


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60), st.floats(20, 400))
def test_shortened_text_fits_and_keeps_its_ends(text: str, width: float) -> None:
    short = shortened(text, width, 15.0)
    assert text_width(short, 15.0) <= width
    if short not in ("", text):
        head, tail = short.split("…", 1) if text.count("…") == 0 else ("", "")
        assert text.startswith(head)
        assert text.endswith(tail)


# ---- colours -------------------------------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes (2009), severity 1: what protanopes, deuteranopes and tritanopes see of linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def lab(colour: tuple[int, int, int], seen_as: str = "none") -> np.ndarray:
    """CIE L*a*b* (D65) of an sRGB colour as some eye sees it."""
    srgb = np.array(colour) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(BLINDNESS[seen_as] @ linear, 0, 1)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = matrix @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", BLINDNESS)
def test_people_and_sides_stay_apart_for_every_eye(eye: str) -> None:
    seen = [lab(colour, eye) for colour in PERSON_COLOURS]
    apart = [np.linalg.norm(a - b) for k, a in enumerate(seen) for b in seen[:k]]
    assert min(apart) > 15.0
    for colour in PERSON_COLOURS:
        left, right = (lab(toned(colour, side), eye)[0] for side in ("left", "right"))
        assert left > right + 15.0


def test_a_renamed_id_changes_no_geometry() -> None:
    scene = film(3, [Walker(), Walker(x=1.0)])
    frames = tuple(
        replace(frame, people=tuple(replace(one, id=10 * (one.id or 0) + 5) for one in frame.people))
        for frame in scene.frames
    )
    before, after = Stage.of(scene), Stage.of(replace(scene, frames=frames))
    assert_array_equal(before.cloud_ground, after.cloud_ground)
    assert list(before.colours.values()) == list(after.colours.values())
