"""The renderer: laws of its labels, and a slow twin that asks every triangle about every ray."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest
import torch

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion, Model
from sightline.landmarks import ALL_LANDMARKS
from sightline.synth.drawing import draw, joined, triangles, unit_rays
from sightline.synth.figure import Actor, Material
from sightline.synth.render import render
from sightline.synth.rendered import BEHIND_PERSON, BEHIND_PROP, BEHIND_SELF, OUTSIDE, PROP_MASK, Rendered
from sightline.synth.scene import Ground, Scene, Sensor, Wall
from sightline.synth.shading import material_table, normals_of
from synth_scenes import GREEN, RED, ball, ball_person, board, camera_at, scene

pytest.importorskip("warp", reason="drawing people needs the package warp-lang")

MIDDLE, HEAD = ALL_LANDMARKS.index("Spine"), ALL_LANDMARKS.index("MidHead")
WHITE = Material(kind="plain", colours=((0.8, 0.8, 0.8),))


def lens(model: Model, *radial: float) -> Distortion:
    tangential = None if model == "kannala_brandt" else torch.tensor([0.004, -0.003], dtype=torch.float64)
    return Distortion(model=model, radial=torch.tensor(radial, dtype=torch.float64), tangential=tangential)


CAMERAS = {
    "pinhole": camera_at(),
    "barrel": camera_at(distortion=lens("brown_conrady", -0.25, 0.05)),
    "fisheye": camera_at(place=(0.3, -1.0, 1.1), distortion=lens("kannala_brandt", 0.05, -0.01), focal_px=25.0),
    "among people": camera_at(place=(0.0, -0.30, 0.95), target=(0.0, 1.0, 0.9), focal_px=30.0),
}


def slow_draw(
    points: np.ndarray, faces: np.ndarray, cut: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Every ray against every triangle (Möller and Trumbore 1997): how far along the ray, and which face."""
    a, b, c = (points[faces[:, n]] for n in range(3))
    along, face = np.full(rays.shape[:2], np.inf), np.full(rays.shape[:2], -1)
    for y, x in np.ndindex(*rays.shape[:2]):
        ray = rays[y, x]
        side = np.cross(ray, c - a)
        det = np.einsum("fi,fi->f", b - a, side)
        with np.errstate(divide="ignore", invalid="ignore"):
            v = np.einsum("fi,fi->f", -a, side) / det
            through = np.cross(-a, b - a)
            w = through @ ray / det
            far = np.einsum("fi,fi->f", c - a, through) / det
        kept = (1 - v - w) * cut[faces[:, 0]] + v * cut[faces[:, 1]] + w * cut[faces[:, 2]] >= 0
        hit = (v >= 0) & (w >= 0) & (v + w <= 1) & (far > 0) & kept
        if hit.any():
            face[y, x] = np.flatnonzero(hit)[far[hit].argmin()]
            along[y, x] = far[hit].min()
    return along, face


@pytest.mark.parametrize("name", CAMERAS)
def test_every_ray_meets_what_the_slow_twin_says(name: str) -> None:
    camera, actor = CAMERAS[name], ball_person()
    figure = dataclasses.replace(actor.figure, cut=(actor.figure.vertices[:, 0] + 0.2).astype(np.float32))
    points = camera.world_to_camera(torch.from_numpy(actor.vertices_world[0].astype(np.float64))).numpy()
    rays = unit_rays(camera)
    fast = draw(triangles(camera, points, figure.cut.astype(np.float64), figure.faces), rays)
    along, face = slow_draw(points, figure.faces, figure.cut.astype(np.float64), rays)
    assert (face >= 0).sum() > 80
    np.testing.assert_allclose(fast.along, along, atol=1e-9)
    assert (fast.face != face).mean() < 0.01  # two faces meet in a common edge


@pytest.mark.parametrize("width", [256, 640])
def test_the_edges_of_large_faces_bend_with_the_lens(width: int) -> None:
    size = (width, width * 3 // 4)
    place, target = (0.2, -3.0, 0.95), (0.2, 0.0, 0.95)
    camera = camera_at(place, target, size, focal_px=0.6 * width, distortion=lens("brown_conrady", -0.13, 0.03))
    prop = board((0.2, -1.0, 0.95), half=0.75)
    points = camera.world_to_camera(torch.from_numpy(prop.vertices_world)).numpy()
    drawn = triangles(camera, points, np.zeros(len(points)), prop.faces)
    assert len(drawn.faces) == 2
    rays = unit_rays(camera)
    whole = draw(dataclasses.replace(drawn, pad_px=np.full(2, 1e4)), rays)
    np.testing.assert_array_equal(draw(drawn, rays).face, whole.face)
    narrow = draw(dataclasses.replace(drawn, pad_px=np.zeros(2)), rays)
    assert (narrow.face != whole.face).sum() > 0  # without it some pixels are missed


def test_rays_off_the_centre_are_those_of_a_moved_camera() -> None:
    camera = camera_at()
    moved = camera.cropped((0.25, -0.125), (64, 48))
    np.testing.assert_allclose(unit_rays(camera, (0.25, -0.125)), unit_rays(moved), atol=1e-12)


@pytest.mark.parametrize("size", [(64, 48), (200, 150), (17, 33), (150, 110), (400, 300)])
@pytest.mark.parametrize("lens_of", ["barrel", "fisheye"])
def test_rays_between_those_that_are_solved_for_are_as_exact(lens_of: str, size: tuple[int, int]) -> None:
    camera = CAMERAS[lens_of].scaled_to((64, 48)).resized(size)
    offset = (0.375, -0.125)
    rays = torch.from_numpy(unit_rays(camera, offset))
    x, y = (np.arange(n) + 0.5 + shift for n, shift in zip(size, offset, strict=True))
    expected, valid = camera.unproject(torch.from_numpy(np.stack(np.meshgrid(x, y), -1)))
    assert valid.all()
    assert float((rays - expected).abs().max()) * float(camera.focal_px.max()) < 1e-6


def test_where_a_fisheye_sees_nothing_there_is_no_ray() -> None:
    camera = camera_at(distortion=lens("kannala_brandt", 0.05, -0.01), focal_px=9.0)
    rays = unit_rays(camera)
    lengths = np.linalg.norm(rays, axis=-1)
    assert (lengths[0, 0], lengths[-1, -1]) == (0, 0)
    assert lengths[24, 32] == pytest.approx(1)


@pytest.mark.parametrize("seed", range(6))
def test_a_closed_surface_has_no_holes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points, faces = ball((0.0, 0.0, 0.0), 1.0, steps=40)
    points = points @ np.linalg.qr(rng.normal(size=(3, 3)))[0].T + [0, 0, 4.0]
    camera = Camera.create(image_size=(90, 90), focal_px=170.0 + rng.uniform(0, 10))
    rays = unit_rays(camera)
    seen = draw(triangles(camera, points, np.zeros(len(points)), faces), rays)
    miss = np.linalg.norm(np.cross(rays, [0, 0, 4.0]), axis=-1)
    assert (seen.face[miss < 0.99] >= 0).all()
    assert (seen.face[miss > 1.0] < 0).all()
    assert (seen.along[miss < 0.99] < 4.0).all()  # the near side


def test_meshes_joined_are_the_nearest_of_each() -> None:
    camera = camera_at()
    parts = []
    for actor in (ball_person((0.0, 0.0)), ball_person((0.2, 0.7), GREEN)):
        points = camera.world_to_camera(torch.from_numpy(actor.vertices_world[0].astype(np.float64))).numpy()
        parts.append(triangles(camera, points, np.zeros(len(points)), actor.figure.faces))
    rays = unit_rays(camera)
    first, second = (draw(part, rays) for part in parts)
    both = draw(joined(parts, (0, 10_000)), rays)
    np.testing.assert_array_equal(both.along, np.minimum(first.along, second.along))
    expected = np.where(first.along <= second.along, first.face, second.face + 10_000)
    np.testing.assert_array_equal(both.face, np.where(np.isinf(both.along), -1, expected))


@pytest.mark.parametrize("name", [name for name in CAMERAS if name != "among people"])
def test_labels_are_projections_and_depth_is_that_of_the_mesh(name: str) -> None:
    camera = CAMERAS[name]
    rendered = render(scene(ball_person(), camera=camera))
    person = rendered.people[0]
    expected = camera.project(torch.from_numpy(person.landmarks_cam))[0].numpy()
    np.testing.assert_allclose(person.landmarks_px, expected, atol=1e-4)
    world = camera.camera_to_world(torch.from_numpy(person.landmarks_cam)).numpy()
    np.testing.assert_allclose(world, ball_person().landmarks_world, atol=1e-9)
    actor = ball_person()
    points = camera.world_to_camera(torch.from_numpy(actor.vertices_world[0].astype(np.float64))).numpy()
    rays = unit_rays(camera)
    along, _ = slow_draw(points, actor.figure.faces, np.zeros(len(points)), rays)
    np.testing.assert_allclose(rendered.depth_m, np.where(np.isinf(along), np.inf, along * rays[..., 2]), rtol=1e-6)
    np.testing.assert_array_equal(rendered.mask, np.isfinite(along).astype(np.uint8))


def test_a_pinhole_label_by_hand() -> None:
    camera = camera_at()
    person = render(scene(ball_person(), camera=camera)).people[0]
    x, y, z = person.landmarks_cam[HEAD]
    focal, center = camera.focal_px.numpy(), camera.center_px.numpy()
    np.testing.assert_allclose(
        person.landmarks_px[HEAD], [focal[0] * x / z + center[0], focal[1] * y / z + center[1]], atol=1e-4
    )


def furnished(camera: Camera) -> Scene:
    """Two people, a board, floor, wall and shadows, no noise."""
    floor = Ground(
        kind="textured", material=Material(kind="plain", colours=((0.4, 0.4, 0.4), (0.2, 0.2, 0.2)), pattern="checks")
    )
    wall = Wall(point_world=(0.0, 2.0, 0.0), normal_world=(0.0, -1.0, 0.0), material=WHITE)
    base = scene(ball_person(), ball_person((0.5, 0.6), GREEN), camera=camera, ground=floor, walls=(wall,))
    lit = dataclasses.replace(base.light, shadows=True, softness=0.1)
    return dataclasses.replace(base, light=lit, props=(board((-0.5, -0.4, 0.5)),))


@pytest.mark.parametrize("samples", [1, 2, 4])
def test_the_render_of_a_crop_is_the_crop_of_the_render(samples: int) -> None:
    camera = camera_at(distortion=lens("brown_conrady", -0.2, 0.03))
    whole = render(furnished(camera), samples)
    width, height = 33, 29
    for left, top in ((13, 7), (14, 7), (15, 8), (20, 3), (9, 12), (27, 15)):
        part = render(
            dataclasses.replace(furnished(camera), camera=camera.cropped((left, top), (width, height))), samples
        )
        window = (slice(top, top + height), slice(left, left + width))
        np.testing.assert_array_equal(part.mask, whole.mask[window])
        np.testing.assert_allclose(part.depth_m, whole.depth_m[window], rtol=1e-6)
        assert np.abs(part.image.astype(int) - whole.image[window]).max() <= 1
        assert len(np.unique(part.mask)) == 4 or left == 27
        np.testing.assert_allclose(part.people[0].landmarks_px, whole.people[0].landmarks_px - [left, top], atol=1e-9)


def test_the_same_scene_gives_the_same_bytes_and_another_seed_other_noise() -> None:
    noisy = dataclasses.replace(
        furnished(camera_at()), sensor=Sensor(read_noise=0.02, shot_noise=0.03, jpeg_quality=80)
    )
    first, again = render(noisy), render(noisy)
    other = render(dataclasses.replace(noisy, seed=1))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.depth_m.tobytes() == again.depth_m.tobytes()
    assert (first.image != other.image).mean() > 0.2
    assert first.depth_m.tobytes() == other.depth_m.tobytes()


def test_masks_boxes_and_counts_belong_together() -> None:
    rendered = render(scene(ball_person(), ball_person((0.15, 0.8), GREEN), camera=camera_at()))
    front, back = rendered.people
    for row, person in enumerate(rendered.people):
        seen = rendered.mask == row + 1
        rows, columns = np.nonzero(seen)
        assert person.seen_px == seen.sum() > 0
        np.testing.assert_array_equal(person.box_px, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (person.whole_box_px[:2] - 1 <= person.box_px[:2]).all()
        assert (person.box_px[2:] <= person.whole_box_px[2:] + 1).all()
    assert front.seen_px == front.whole_px
    assert back.seen_px < back.whole_px
    assert front.hidden_by[MIDDLE] == 0
    assert back.hidden_by[MIDDLE] & BEHIND_PERSON


def test_what_hides_a_joint_is_named() -> None:
    camera = camera_at()
    assert render(scene(ball_person(), camera=camera)).people[0].hidden_by[[MIDDLE, HEAD]].tolist() == [0, 0]
    behind = dataclasses.replace(scene(ball_person(), camera=camera), props=(board((0.1, -1.0, 0.85)),))
    assert render(behind).people[0].hidden_by[MIDDLE] == BEHIND_PROP
    assert render(behind).mask[24, 32] == PROP_MASK
    beside = camera_at(target=(2.5, 0.0, 0.9))
    person = render(scene(ball_person(), camera=beside)).people[0]
    assert (person.hidden_by == OUTSIDE).all()
    assert person.seen_px == 0
    assert np.isnan(person.box_px).all()
    away = camera_at(target=(0.0, -6.0, 0.9))
    gone = render(scene(ball_person(), camera=away)).people[0]
    assert np.isnan(gone.landmarks_px).all()
    assert (gone.hidden_by == OUTSIDE).all()
    assert np.isnan(gone.whole_box_px).all()


def test_a_joint_is_hidden_by_parts_that_are_not_its_own_and_by_depth() -> None:
    """A wrist in the middle of the trunk is behind the body; one at its near side, less than a hand deep, is seen."""
    actor = ball_person()
    wrist, knee = ALL_LANDMARKS.index("LWrist"), ALL_LANDMARKS.index("LKnee")
    landmarks = actor.landmarks_world.copy()
    landmarks[knee] = [0.0, -0.23, 0.8]
    moved = dataclasses.replace(actor, landmarks_world=landmarks)
    hidden = render(scene(moved, camera=camera_at(place=(0.0, -3.0, 0.8), target=(0, 0, 0.8)))).people[0].hidden_by
    assert hidden[wrist] == BEHIND_SELF
    assert hidden[knee] == 0
    assert hidden[ALL_LANDMARKS.index("Nose")] == BEHIND_SELF  # 15 cm deep in the head: the face looks away
    assert hidden[HEAD] == 0


def test_a_neck_is_not_seen_through_a_head_that_is_bent_over_it() -> None:
    actor = ball_person()
    thorax, head = ALL_LANDMARKS.index("Thorax"), ALL_LANDMARKS.index("HeadTop")
    for deep, expected in ((0.05, 0), (0.2, BEHIND_SELF)):
        landmarks = actor.landmarks_world.copy()
        landmarks[thorax] = landmarks[head] = [0.0, -0.15 + deep, 1.4]
        moved = dataclasses.replace(actor, landmarks_world=landmarks)
        camera = camera_at(place=(0.0, -3.0, 1.4), target=(0, 0, 1.4))
        hidden = render(scene(moved, camera=camera)).people[0].hidden_by
        assert hidden[thorax] == expected
        assert hidden[head] == 0


def test_motion_blurs_the_picture_and_leaves_the_labels() -> None:
    still = ball_person()
    steps = np.linspace(0, 0.25, 4, dtype=np.float32)
    moments = np.stack([still.vertices_world[0] + [step, 0, 0] for step in steps]).astype(np.float32)
    moving = dataclasses.replace(still, vertices_world=moments)
    held = dataclasses.replace(still, vertices_world=np.repeat(still.vertices_world, 4, axis=0))
    sharp, same, blurred = (render(scene(actor)) for actor in (still, held, moving))
    assert sharp.image.tobytes() == same.image.tobytes()
    assert sharp.mask.tobytes() == blurred.mask.tobytes()
    assert sharp.depth_m.tobytes() == blurred.depth_m.tobytes()
    edges = lambda picture: np.abs(np.diff(picture.image.astype(float), axis=1))[sharp.mask[:, 1:] > 0].mean()  # noqa: E731
    moved = (np.abs(sharp.image.astype(int) - blurred.image).max(-1) > 12) & (sharp.mask == 0)
    assert moved.sum() > 20
    assert edges(blurred) < edges(sharp)


def test_slow_people_need_fewer_moments_and_look_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("sightline.synth.render")
    still, focal = ball_person(), float(camera_at().focal_px[0])
    for pixels, count in ((0.1, 1), (0.7, 2), (3.0, 4)):
        steps = np.linspace(0, pixels / focal * 3.0, 4, dtype=np.float32)  # some 3 m away
        moments = np.stack([still.vertices_world[0] + np.float32([step, 0, 0]) for step in steps])
        moving = scene(dataclasses.replace(still, vertices_world=moments))
        assert len(module._moments(moving)) == count
        few = render(moving)
        with monkeypatch.context() as patched:
            patched.setattr(module, "_STEPS_PX", (-1.0, -1.0))
            all_of_them = render(moving)
        assert np.abs(few.image.astype(float) - all_of_them.image).mean() < 0.5
        assert few.mask.tobytes() == all_of_them.mask.tobytes()


def test_a_lamp_overhead_lights_a_floor_as_lambert_has_it_and_a_ball_shades_it() -> None:
    camera = camera_at(place=(0.0, -3.0, 2.5), target=(0.0, 0.0, 0.0))
    floor = Ground(kind="textured", material=dataclasses.replace(WHITE, seed=1))
    plain = scene(ball_person(), camera=camera, ground=floor)
    lamp = dataclasses.replace(
        plain.light, towards_world=(0.0, 0.0, 1.0), lamp=(0.5, 0.5, 0.5), sky=(0.2, 0.2, 0.2), ground=(0.0, 0.0, 0.0)
    )
    dark = render(dataclasses.replace(plain, light=dataclasses.replace(lamp, shadows=True, softness=0.02)))
    bright = render(dataclasses.replace(plain, light=lamp))
    under = camera.project(
        camera.world_to_camera(torch.tensor([[0.2, -0.15, 0.0], [1.2, 0.0, 0.0]], dtype=torch.float64))
    )[0]
    (x, y), (far_x, far_y) = under.long().tolist()
    assert bright.mask[y, x] == 0
    assert dark.image[y, x].mean() < 0.75 * bright.image[y, x].mean()
    assert abs(int(dark.image[far_y, far_x, 0]) - int(bright.image[far_y, far_x, 0])) <= 2
    light = 0.8 * (0.5 + 0.2)  # albedo times lamp and sky
    expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    shown = bright.image[bright.mask == 0].mean()
    assert shown == pytest.approx(expected, abs=12)  # mottled by a fifth


def test_hems_are_cut_where_the_field_says() -> None:
    actor = ball_person()
    upper = dataclasses.replace(actor.figure, cut=(actor.figure.vertices[:, 2] - 0.8).astype(np.float32))
    camera = camera_at(place=(0.0, -3.0, 0.8), target=(0.0, 0.0, 0.8))
    rendered = render(scene(dataclasses.replace(actor, figure=upper), camera=camera))
    rows = np.nonzero(rendered.mask)[0]
    assert rows.max() + 1 == 24  # the hem at the camera's height is a straight line in the middle row
    assert rendered.people[0].whole_box_px[3] <= 24.5


@pytest.mark.parametrize(
    "pattern", ["plain", "stripes", "checks", "dots", "knit", "denim", "camouflage", "floral", "print"]
)
def test_every_pattern_shows_colours_between_its_own(pattern: str) -> None:
    cloth = Material(
        kind="cloth", colours=((0.5, 0.1, 0.1), (0.1, 0.5, 0.1), (0.1, 0.1, 0.5)), pattern=pattern, scale_m=0.1
    )
    rendered = render(scene(ball_person(material=cloth), camera=camera_at(size=(128, 96))))
    inside = rendered.image[rendered.mask == 1].astype(float)
    assert inside.std(0).max() > 5
    if pattern not in ("plain", "print"):
        hue = inside[:, 0] - inside[:, 1]
        assert hue.max() - hue.min() > 20


@pytest.mark.parametrize("kind", ["skin", "eye", "hair", "cloth", "leather", "plain"])
def test_every_kind_of_material_is_drawn_and_lit(kind: str) -> None:
    material = Material(kind=kind, colours=((0.4, 0.3, 0.2), (0.3, 0.1, 0.1)), gloss=0.3, bump=0.5)  # type: ignore[arg-type]
    rendered = render(scene(ball_person(material=material)))
    assert 20 < rendered.image[rendered.mask == 1].mean() < 235


@pytest.mark.parametrize(
    ("sensor", "law"),
    [
        (Sensor(exposure=2.0), lambda plain, other: other.mean() > 1.15 * plain.mean()),
        (Sensor(grey=True), lambda plain, other: (other[..., 0] == other[..., 2]).all()),
        (Sensor(saturation=0.0), lambda plain, other: (np.ptp(other.astype(int), axis=-1) <= 1).all()),
        (Sensor(contrast=0.5), lambda plain, other: other.std() < 0.7 * plain.std()),
        (Sensor(white_balance=(1.3, 1.0, 0.7)), lambda plain, other: other[..., 0].mean() > plain[..., 0].mean()),
        (Sensor(vignette=0.6), lambda plain, other: other[:5, :5].mean() < 0.9 * plain[:5, :5].mean()),
        (Sensor(blur_px=2.0), lambda plain, other: np.abs(np.diff(other.astype(int), axis=1)).mean() < 4),
        (Sensor(jpeg_quality=20), lambda plain, other: 0 < np.abs(plain.astype(int) - other).mean() < 20),
        (Sensor(read_noise=0.05), lambda plain, other: 3 < np.abs(plain.astype(int) - other).mean() < 40),
    ],
)
def test_each_setting_of_the_sensor_does_what_it_says(sensor: Sensor, law: object) -> None:
    base = scene(ball_person())
    plain, other = (render(dataclasses.replace(base, sensor=s)).image for s in (Sensor(), sensor))
    assert law(plain, other)  # type: ignore[operator]


def test_an_empty_scene_is_its_backdrop() -> None:
    rendered = render(scene())
    assert rendered.people == ()
    assert not rendered.mask.any()
    assert np.isinf(rendered.depth_m).all()
    assert rendered.image.std() > 1


def _renders(value: Scene, samples: int = 4) -> Rendered:
    return getattr(render, "__wrapped__", render)(value, samples)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"camera": Camera.create(image_size=(8, 8), focal_px=5.0)}, "place in the world"),
        ({"ground": Ground(kind="textured")}, "floor needs a material"),
    ],
)
def test_scenes_that_cannot_be_drawn_are_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        _renders(dataclasses.replace(scene(ball_person()), **change))  # type: ignore[arg-type]


def test_a_strange_number_of_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="samples"):
        _renders(scene(ball_person()), samples=3)


def test_materials_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match="materials"):
        material_table([dataclasses.replace(RED, pattern="paisley")])
    with pytest.raises(ValueError, match="materials"):
        material_table([dataclasses.replace(RED, colours=())])


def test_normals_point_outwards() -> None:
    points, faces = ball((1.0, 2.0, 3.0), 0.5)
    normals = normals_of(points, faces)
    outwards = (points - [1.0, 2.0, 3.0]) / 0.5
    cosine = (normals / np.linalg.norm(normals, axis=-1, keepdims=True) * outwards).sum(-1)
    assert cosine.min() > 0.97


def test_an_actor_has_moments() -> None:
    actor = ball_person()
    assert isinstance(actor, Actor)
    assert actor.vertices_world.ndim == 3


def test_rays_beside_edges_show_what_centres_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only pixels at edges of materials are asked more than once; asking all gives the same picture."""
    module = importlib.import_module("sightline.synth.render")
    for samples in (2, 4):
        few = render(furnished(camera_at()), samples)
        with monkeypatch.context() as patched:
            patched.setattr(module, "_edges", lambda rows, reach: np.ones(rows.shape, dtype=bool))
            every = render(furnished(camera_at()), samples)
            patched.setattr(module, "_edges", lambda rows, reach: np.zeros(rows.shape, dtype=bool))
            none = render(furnished(camera_at()), samples)
        off = np.abs(few.image.astype(int) - every.image).max(axis=-1)
        assert (off > 2).mean() < 0.002
        assert (np.abs(none.image.astype(int) - every.image).max(axis=-1) > 2).mean() > 0.02


@pytest.mark.parametrize("reach", [1, 2])
def test_edges_are_where_a_neighbour_differs(reach: int) -> None:
    rows = np.full((14, 17), -1, dtype=np.int32)
    rows[3:9, 4:12] = np.random.default_rng(0).integers(0, 2, (6, 8))
    expected = np.zeros(rows.shape, dtype=bool)
    for y, x in np.ndindex(*rows.shape):
        near = rows[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        expected[y, x] = near.min() != near.max() or near.shape != (2 * reach + 1, 2 * reach + 1)
    found = importlib.import_module("sightline.synth.render")._edges(rows, reach)
    np.testing.assert_array_equal(found, expected)
    assert 0 < expected.sum() < expected.size


@pytest.mark.parametrize("samples", [1, 2, 4])
@pytest.mark.parametrize("moments", [1, 2, 3, 4])
def test_all_moments_weigh_the_same(samples: int, moments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("sightline.synth.render")
    monkeypatch.setattr(module, "_moments", lambda scene: tuple(range(moments)))
    weights: dict[bytes, float] = {}

    def counted(shot: object, normals: np.ndarray, seen: object, rays: object, weight: float, buffers: object) -> None:
        weights[normals.tobytes()] = weights.get(normals.tobytes(), 0.0) + weight

    monkeypatch.setattr(module, "_add_shaded", counted)
    still = ball_person()
    turned = [still.vertices_world[0] * np.float32([1 + 0.1 * moment, 1, 1]) for moment in range(moments)]
    render(scene(dataclasses.replace(still, vertices_world=np.stack(turned))), samples)
    first, *others = weights.values()  # the first is drawn with all the weight, which is taken back where others follow
    assert first >= 1
    assert len(weights) == moments
    share = 1 / moments
    np.testing.assert_allclose(others, share)
    count = -(-samples // moments) * moments
    assert first - 1 + 1 / count == pytest.approx(share)


def test_beyond_what_a_fisheye_sees_there_is_no_light() -> None:
    camera = camera_at(distortion=lens("kannala_brandt", 0.05, -0.01), focal_px=9.0)
    picture = render(dataclasses.replace(furnished(camera), sensor=Sensor())).image
    nothing = np.linalg.norm(unit_rays(camera), axis=-1) == 0
    assert nothing[0, 0]
    assert not picture[nothing].any()
    assert picture[~nothing].any(axis=-1).mean() > 0.9
