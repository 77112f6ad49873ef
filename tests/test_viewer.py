"""Pictures and films of poses: right places and words, every kind of input, nothing left behind on failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from sightline.camera import Camera
from sightline.skeleton import SKELETONS
from sightline.structures import PoseFrame, Poses
from sightline.viewer import FigureRenderer, render_frame, write_movie, write_picture
from sightline.viewer.canvas import Canvas
from sightline.viewer.overlay import draw_overlay
from sightline.viewer.stage import Stage
from sightline.viewer.style import PERSON_COLOURS, TYPE_SCALE
from sightline.viewer.topview import TopPainter
from staged_people import FISHEYE, H36M, LANDSCAPE, PORTRAIT, SQUARE, Walker, film, in_skeleton, person, poses
from staged_people import standing_cam as standing

SMALL = (800, 450)


def two() -> Poses:
    return poses([person(standing(-0.8, 4.0), LANDSCAPE, 0), person(standing(1.1, 5.5, 2.0), LANDSCAPE, 1)])


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is drawn, in order."""
    drawn: list[str] = []
    original = Canvas.text

    def noted(self: Canvas, position: object, text: str, *args: object, **kwargs: object) -> None:
        drawn.append(text)
        original(self, position, text, *args, **kwargs)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(Canvas, "text", noted)
    return drawn


# ---- places and words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "z"), [(0.0, 3.0), (-0.8, 4.0), (1.1, 5.5), (2.0, 15.0)])
def test_a_person_stands_at_the_right_pixel_of_the_top_view(x: float, z: float) -> None:
    scene = poses([person(standing(x, z), LANDSCAPE)])
    painter = TopPainter((600, 800), Stage.of(scene), TYPE_SCALE)
    picture = np.asarray(painter.draw(scene.frames[0]).finished())
    camera_px, person_px = painter.place(np.zeros(2)), painter.place(np.array([x, z]))
    assert_allclose((person_px - camera_px) / painter.px_per_m, [x, -z], atol=1e-9)
    column, row = np.round(person_px - 0.5).astype(int)
    assert_array_equal(picture[row, column], PERSON_COLOURS[0])
    assert 0 < column < 600
    assert 0 < row < 800


def test_metre_rings_are_that_far_from_the_camera() -> None:
    scene = poses([], SQUARE)
    painter = TopPainter((600, 800), Stage.of(scene), TYPE_SCALE)
    picture = np.asarray(painter.draw(scene.frames[0]).finished()).astype(int)
    x, y = painter.place(np.zeros(2))
    column = picture[:, round(float(x) + 7), :].sum(axis=-1)  # beside the dashes and words, inside the field of view
    for count in (1, 2, 3):
        row = round(float(y) - count * painter.ring_m * painter.px_per_m)
        assert max(column[row - 2 : row + 3]) > np.median(column[row - 12 : row + 12]) + 10


@pytest.mark.parametrize("place", [(0.0, 1.5), (-0.83, 3.317), (1.2, 15.049)])
def test_distances_are_the_norm_of_the_root_to_one_centimetre(texts: list[str], place: tuple[float, float]) -> None:
    joints = standing(*place)
    scene = poses([person(joints, LANDSCAPE)])
    render_frame(scene, scene.frames[0], size=SMALL)
    found = [re.fullmatch(r"(\d+\.\d\d)( ± \d+\.\d\d)? m", text) for text in texts]
    shown = [float(match[1]) for match in found if match]
    right = [value for value in shown if abs(value - np.linalg.norm(joints[0])) <= 0.01]
    assert len(right) == 2  # in the picture plane and in the top view
    assert all(4 * value == round(4 * value) for value in set(shown) - set(right))  # the rest are rings


def test_the_title_says_file_frame_people_and_scale(texts: list[str]) -> None:
    scene = replace(two(), frames=(replace(two().frames[0], index=12, time_s=0.4),))
    render_frame(scene, scene.frames[0])
    words = "\n".join(texts)
    for part in ("street.mp4", "frame 12", "0.40 s", "2 people", "calibrated focal length", "learned body size"):
        assert part in words
    assert "f = 1500 px, 1920 × 1080 px, 65° wide" in words


@pytest.mark.parametrize("size", [(1600, 900), (800, 450), (480, 270)])
def test_long_names_and_notes_are_shortened_not_cut(texts: list[str], size: tuple[int, int]) -> None:
    scene = poses([person(standing(0, 4), LANDSCAPE)], file="a" * 300 + ".jpg", note="n" * 300)
    render_frame(scene, scene.frames[0], size=size)
    assert any("…" in text and text.startswith("Scale") for text in texts)
    assert any("…" in text and text.startswith("a") for text in texts)


@pytest.mark.parametrize("zoom", [1.0, 0.5])
def test_the_keypoints_and_the_reprojection_lie_where_the_camera_puts_them(zoom: float) -> None:
    exact = person(standing(0.3, 3.7), SQUARE, noise_px=0.0)
    moved = replace(exact, keypoints_px=exact.keypoints_px + [200.0, 0.0])
    scene, size = poses([moved], SQUARE), (round(1000 * zoom), round(1000 * zoom))
    picture = np.asarray(draw_overlay(size, Stage.of(scene), scene.frames[0], None, TYPE_SCALE).finished())
    for joint in ("RAnkle", "LWrist", "Spine"):
        x, y = np.floor(zoom * moved.keypoints_px[H36M.index(joint)]).astype(int)
        assert np.ptp(picture[y, x].astype(int)) > 20  # the person's colour where the keypoint is …
        x, y = np.round(zoom * exact.keypoints_px[H36M.index(joint)]).astype(int)
        assert picture[y - 7 : y + 8, x - 7 : x + 8].min(axis=-1).max() > 190  # … and white where the joint is seen


def test_left_and_right_differ_in_lightness() -> None:
    scene = poses([person(standing(0.0, 3.0), SQUARE, noise_px=0.0)], SQUARE)
    bare = replace(scene.frames[0].people[0], joints_cam_m=np.full((17, 3), np.nan))
    scene = poses([bare], SQUARE)
    picture = np.asarray(draw_overlay((1000, 1000), Stage.of(scene), scene.frames[0], None, TYPE_SCALE).finished())
    tones = []
    for joints in (("LKnee", "LAnkle"), ("RKnee", "RAnkle")):
        x, y = np.mean([bare.keypoints_px[H36M.index(joint)] for joint in joints], axis=0).astype(int)
        tones.append(picture[y, x].astype(int).mean())
    assert tones[0] > tones[1] + 60


# ---- any input -----------------------------------------------------------------------------------------------------


def without_ids() -> Poses:
    return poses([person(standing(x, 4.0), LANDSCAPE, None) for x in (-0.5, 0.8)])


def with_holes() -> Poses:
    joints = standing(0.0, 4.0).copy()
    joints[[0, 3, 16]] = np.nan  # the root too
    return poses([person(joints, LANDSCAPE)])


def only_2d() -> Poses:
    whole = person(standing(0.0, 4.0), LANDSCAPE)
    return poses([replace(whole, joints_cam_m=np.full((17, 3), np.nan), sigma_m=None)])


def own_cameras() -> Poses:
    scene = film(2, [Walker()])
    other = replace(scene.frames[1], camera=PORTRAIT)
    return replace(scene, frames=(scene.frames[0], other))


INPUTS = {
    "one": film(1, [Walker(z=1.5)], PORTRAIT),
    "two": two(),
    "six": film(2, [Walker(x=k - 2.5, z=5.0 + k, heading=k, speed=1.0) for k in range(6)], SQUARE, pitch=0.25),
    "far": film(1, [Walker(x=-1.0, z=15.0)]),
    "empty frame": poses([]),
    "people come and go": poses([[], [person(standing(0.0, 3.0), LANDSCAPE)], []]),
    "fisheye": film(1, [Walker(x=-1.8, z=0.8), Walker(x=1.0, z=2.5)], FISHEYE),
    "without ids": without_ids(),
    "missing joints": with_holes(),
    "no 3D": only_2d(),
    "out of sight": poses([person(standing(9.0, 3.0), LANDSCAPE)]),
    "behind the camera": poses([person(standing(0.0, -2.0), LANDSCAPE)]),
    "at the camera": poses([person(standing(0.0, 0.01), LANDSCAPE)]),
    "one far beyond": poses([person(standing(0.0, 4.0), LANDSCAPE), person(standing(0.0, 900.0), LANDSCAPE, 1)]),
    "lying": poses([person(standing(0.0, 4.0)[:, [1, 0, 2]], LANDSCAPE)]),
    "looking straight down": film(1, [Walker(z=0.5)], height=4.0, pitch=np.pi / 2),
    "another camera in a frame": own_cameras(),
    "no rate, no file": poses([person(standing(0.0, 4.0), LANDSCAPE)], fps=None, file=None),
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_every_input_gives_a_full_picture(name: str) -> None:
    for frame in INPUTS[name].frames:
        picture = render_frame(INPUTS[name], frame, size=SMALL)
        assert picture.shape == (450, 800, 3)
        assert picture.dtype == np.uint8
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize("name", sorted(set(SKELETONS) - {"h36m17"}))
def test_every_joint_set_can_be_drawn(name: str) -> None:
    scene = in_skeleton(name)
    picture = render_frame(scene, scene.frames[0], size=SMALL)
    assert (np.ptp(picture.astype(int), axis=-1) > 60).sum() > 200


def test_pictures_change_with_the_poses_and_only_then() -> None:
    first, again = (render_frame(two(), two().frames[0], size=SMALL) for _ in range(2))
    assert_array_equal(first, again)
    moved = poses([person(standing(-0.8, 4.2), LANDSCAPE, 0), person(standing(1.1, 5.5, 2.0), LANDSCAPE, 1)])
    assert (first != render_frame(moved, moved.frames[0], size=SMALL)).any(axis=-1).sum() > 500


def test_one_renderer_draws_each_frame_as_a_fresh_one_does() -> None:
    scene = INPUTS["six"]
    renderer = FigureRenderer(scene, SMALL)
    for frame in (*scene.frames, scene.frames[0]):
        assert_array_equal(renderer.render(frame), render_frame(scene, frame, size=SMALL))


def test_the_background_shows_at_any_size_of_the_same_shape() -> None:
    scene = poses([])
    pictures = []
    for zoom in (1, 2):
        background = np.zeros((108 * zoom, 192 * zoom, 3), np.uint8)
        background[:, : 96 * zoom] = (10, 200, 30)
        pictures.append(render_frame(scene, scene.frames[0], background=background, size=SMALL).astype(int))
    green = [(picture[..., 1] > 150) & (picture[..., 0] < 60) for picture in pictures]
    assert green[0].sum() > 10_000
    assert (green[0] != green[1]).mean() < 0.01


# ---- bad calls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(100, 900), (1600, 200)])
def test_a_picture_too_small_for_its_words_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"size: expected at least 480 × 270"):
        render_frame(two(), two().frames[0], size=size)


def test_a_background_of_another_shape_is_refused() -> None:
    background = np.zeros((100, 100, 3), np.uint8)
    with pytest.raises(ValueError, match=r"1920 × 1080 px, got 100 × 100"):
        render_frame(two(), two().frames[0], background=background, size=SMALL)


def test_poses_without_frames_are_refused(tmp_path: Path) -> None:
    nothing = replace(two(), frames=())
    with pytest.raises(ValueError, match="at least one frame"):
        write_picture(nothing, tmp_path / "a.png")
    with pytest.raises(ValueError, match="at least one frame"):
        write_movie(nothing, tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="even"):
        write_movie(two(), tmp_path / "a.mp4", size=(801, 450))
    assert list(tmp_path.iterdir()) == []


# ---- files ---------------------------------------------------------------------------------------------------------


def test_a_written_picture_is_the_rendered_frame(tmp_path: Path) -> None:
    scene = INPUTS["six"]
    write_picture(scene, tmp_path / "a.png", frame=scene.frames[1], size=SMALL)
    with Image.open(tmp_path / "a.png") as image:
        assert_array_equal(np.asarray(image), render_frame(scene, scene.frames[1], size=SMALL))
    write_picture(scene, tmp_path / "b.png", size=SMALL)
    with Image.open(tmp_path / "b.png") as image:
        assert_array_equal(np.asarray(image), render_frame(scene, scene.frames[0], size=SMALL))


def test_a_movie_has_every_frame_and_reports_progress(tmp_path: Path) -> None:
    scene = film(7, [Walker(speed=1.0)])
    steps: list[tuple[int, int]] = []
    write_movie(scene, tmp_path / "a.mp4", size=SMALL, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(k, 7) for k in range(1, 8)]
    with av.open(str(tmp_path / "a.mp4")) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 30
    assert len(decoded) == 7
    for frame, picture in zip(scene.frames, decoded, strict=True):
        assert np.abs(picture.astype(int) - render_frame(scene, frame, size=SMALL).astype(int)).mean() < 3.0


def test_movie_backgrounds_go_by_order_and_may_end_early(tmp_path: Path) -> None:
    scene = poses([[], [], []])
    red = np.full((108, 192, 3), (200, 20, 20), np.uint8)
    write_movie(scene, tmp_path / "a.mp4", size=SMALL, backgrounds=iter([None, red]))
    with av.open(str(tmp_path / "a.mp4")) as container:
        decoded = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    share = [((picture[..., 0] > 150) & (picture[..., 1] < 80)).mean() for picture in decoded]
    assert share[1] > 0.1
    assert max(share[0], share[2]) < 0.01


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_movie_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def breaking() -> Iterator[None]:
        yield None
        raise error("stop")

    with pytest.raises(error, match="stop"):
        write_movie(film(5, [Walker()]), tmp_path / "a.mp4", size=SMALL, backgrounds=breaking())
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_picture_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"old")

    def breaking(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", breaking)
    with pytest.raises(KeyboardInterrupt):
        write_picture(two(), tmp_path / "a.png", size=SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_ids_keep_their_colours_when_people_come_and_go() -> None:
    a, b = (person(standing(x, 4.0), LANDSCAPE, ident) for x, ident in ((0.0, 7), (1.0, 19)))
    stage = Stage.of(poses([[a, b], [b], [b, a]]))
    frames = [PoseFrame(index=k, people=people) for k, people in enumerate([(a, b), (b,), (b, a)])]
    colours = [{actor.id: actor.colour for actor in stage.actors(frame)} for frame in frames]
    assert colours[0] == colours[2] == {7: PERSON_COLOURS[0], 19: PERSON_COLOURS[1]}
    assert colours[1] == {19: PERSON_COLOURS[1]}


def test_a_camera_value_is_never_changed_by_drawing() -> None:
    before = LANDSCAPE.intrinsics.clone()
    render_frame(two(), two().frames[0], size=SMALL)
    assert isinstance(LANDSCAPE, Camera)
    assert_array_equal(LANDSCAPE.intrinsics.numpy(), before.numpy())
