"""Uncertainty as it is drawn: shapes that follow from the numbers, words that say them, and a switch to hide them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from sightline.structures import Hypothesis, ModelInfo, Person, Poses
from sightline.viewer import render_frame, write_page, write_picture
from sightline.viewer.canvas import Canvas
from sightline.viewer.labels import metres_about
from sightline.viewer.spread import covariances, haze, seen_from_above, seen_through
from sightline.viewer.stage import Stage, distance_sigma_m
from sightline.viewer.view import fitted_view
from staged_people import FISHEYE, H36M, LANDSCAPE, PORTRAIT, in_skeleton, person, poses, standing_cam
from test_viewer_page import DRIVE, payload, run_page

SMALL = (800, 450)
VIEW = fitted_view(
    np.array([[-2.0, 0, 0], [2, 0, 2], [0, 5, 0], [0, 6, 2]]), (600, 400), azimuth_rad=0.5, elevation_rad=0.4
)


def doubtful(joints_cam: np.ndarray, ident: int | None = 0, scores: tuple[float, ...] = (0.31, 0.12)) -> Person:
    """A person whose depth is known to 0.2 m, and whose right arm may be bent otherwise."""
    sigma = np.tile([0.02, 0.01, 0.2], (len(joints_cam), 1))
    others = []
    for number, score in enumerate(scores):
        joints = np.array(joints_cam)
        joints[[15, 16]] += [0.0, 0.0, 0.3 + 0.2 * number]
        others.append(Hypothesis(score=score, joints_cam_m=joints))
    return replace(person(joints_cam, LANDSCAPE, ident), sigma_m=sigma, hypotheses=tuple(others))


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


# ---- shapes ----------------------------------------------------------------------------------------------------------


def test_covariances_are_those_of_turned_axes() -> None:
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    sigma = rng.uniform(0.01, 0.3, (17, 3))
    for row, spread in zip(sigma, covariances(sigma, turn), strict=True):
        assert_allclose(spread, turn @ np.diag(row**2) @ turn.T, atol=1e-15)
    samples = rng.normal(size=(200_000, 3)) * sigma[3] @ turn.T
    assert_allclose(np.cov(samples.T), covariances(sigma, turn)[3], rtol=0.05, atol=1e-4)


def test_the_3d_view_takes_small_steps_as_its_slope_says() -> None:
    points = np.array([[0.3, 3.0, 1.0], [-1.0, 5.0, 0.2]])
    place, spread = seen_through(VIEW)(points, np.tile(np.eye(3), (2, 1, 1)))
    assert_allclose(place, VIEW.seen(points)[:, :2])
    step = 1e-6
    slope = np.stack(
        [(VIEW.seen(points + step * axis) - VIEW.seen(points - step * axis))[:, :2] for axis in np.eye(3)], axis=-1
    ) / (2 * step)
    assert_allclose(spread, slope @ slope.swapaxes(1, 2), rtol=1e-6)


def test_a_joint_alone_is_the_ellipse_of_one_standard_deviation() -> None:
    point, sigma = np.array([[0.5, 4.0, 1.0]]), np.array([[0.1, 0.3, 0.02]])
    above = seen_from_above(100.0, lambda points: points[..., :2] * [100.0, -100.0])
    (shape,) = haze(point, covariances(sigma, np.eye(3)), (), above)
    away = (shape - [50.0, -400.0]) / [10.0, 30.0]  # 10 px to the side, 30 px in depth; the height does not show
    assert_allclose((away**2).sum(-1), 1.0)
    assert_allclose(np.ptp(shape, axis=0), [20.0, 60.0], rtol=0.01)


def test_a_limb_is_what_its_joints_sweep_over() -> None:
    rng = np.random.default_rng(1)
    points = np.array([[0.0, 4.0, 1.0], [0.4, 4.3, 1.5]])
    spread = covariances(rng.uniform(0.05, 0.2, (2, 3)), np.eye(3))
    placing = seen_through(VIEW)
    first, last, swept = haze(points, spread, [(1, 0)], placing)
    edges = np.roll(swept, -1, axis=0) - swept
    for inside in (first, last, (first + last) / 2):
        gap = inside[:, None] - swept
        turn = edges[None, :, 0] * gap[..., 1] - edges[None, :, 1] * gap[..., 0]
        assert (turn > -0.5 * np.linalg.norm(edges, axis=-1)).all()  # on the inner side of every edge, to half a pixel
    corners = {tuple(corner) for corner in np.concatenate([first, last]).round(9).tolist()}
    assert {tuple(corner) for corner in swept.round(9).tolist()} <= corners


def test_what_is_not_stated_is_not_drawn() -> None:
    joints, sigma = standing_cam(0.0, 4.0), np.full((17, 3), 0.1)
    everything = len(haze(joints, covariances(sigma, np.eye(3)), H36M.bones, seen_through(VIEW)))
    sigma[16] = np.nan
    joints[3] = np.nan
    fewer = haze(joints, covariances(sigma, np.eye(3)), H36M.bones, seen_through(VIEW))
    assert everything - len(fewer) == 4  # a wrist and an ankle, and the limbs that lead there
    assert all(np.isfinite(shape).all() for shape in fewer)


def test_haze_is_equally_dense_where_shapes_overlap() -> None:
    canvas = Canvas((60, 40), (10, 10, 10))
    square = np.array([[0.0, 0.0], [20, 0], [20, 20], [0, 20]])
    canvas.haze([square + [5, 5], square + [15, 5], square + [500, 5]], (210, 110, 10), 0.5)
    picture = np.asarray(canvas.finished())
    assert_array_equal(picture[15, [8, 20, 32]], [[110, 60, 10]] * 3)  # alone, in both, alone
    assert_array_equal(picture[15, [2, 40]], [[10, 10, 10]] * 2)
    for nothing in ([], [square + [500, 0]], [square - [900, 900]]):
        before = np.asarray(canvas.finished())
        canvas.haze(nothing, (210, 110, 10), 0.5)
        assert_array_equal(np.asarray(canvas.finished()), before)


def test_the_haze_lies_along_the_line_of_sight() -> None:
    one = doubtful(standing_cam(0.0, 4.0), scores=())
    sharp = replace(one, sigma_m=None)
    deep, plain = (render_frame(scene, scene.frames[0], size=(1600, 900)) for scene in (poses([one]), poses([sharp])))
    assert (deep != plain).any()
    rows, columns = np.nonzero((deep != plain).any(-1))
    assert len(rows) > 500
    actor = Stage.of(poses([one])).actors(poses([one]).frames[0])[0]
    assert actor.spread_ground is not None
    assert_allclose(np.sqrt(np.diagonal(actor.spread_ground[0])), [0.02, 0.2, 0.01], atol=2e-3)  # right, ahead, up
    assert columns.size


# ---- words -----------------------------------------------------------------------------------------------------------


def test_the_spread_of_a_distance_is_that_along_the_line_of_sight() -> None:
    one = doubtful(standing_cam(0.0, 4.0))
    assert distance_sigma_m(one, np.array([0.0, 0.0, 4.0]), 0) == pytest.approx(0.2)
    # A root that may lie 5 % nearer or farther along its line of sight is off by 5 % of each coordinate.
    place = np.array([3.0, -1.0, 4.0])
    along = replace(one, sigma_m=np.tile(0.05 * np.abs(place), (17, 1)))
    assert distance_sigma_m(along, place, 0) == pytest.approx(0.05 * np.linalg.norm(place))
    assert distance_sigma_m(replace(one, sigma_m=None), place, 0) is None
    assert distance_sigma_m(replace(one, sigma_m=np.full((17, 3), np.nan)), place, 0) is None
    assert metres_about(3.416, 0.184) == "3.42 ± 0.18 m"
    assert metres_about(3.416, None) == "3.42 m"


def test_pictures_say_spread_and_scores(texts: list[str]) -> None:
    scene = poses([doubtful(standing_cam(0.0, 4.0))])
    render_frame(scene, scene.frames[0], size=(1600, 900))
    distance = float(np.linalg.norm(scene.frames[0].people[0].joints_cam_m[0]))
    sigma = distance_sigma_m(scene.frames[0].people[0], scene.frames[0].people[0].joints_cam_m[0], 0)
    assert texts.count(metres_about(distance, sigma)) == 1
    assert texts.count("0.31") == texts.count("0.12") == 1
    assert {"within 68 %", "other poses, score"} <= set(texts)
    assert any(text.endswith("to the hip, ± 68 %") for text in texts)


def test_a_spread_that_is_no_share_of_errors_is_not_called_one(texts: list[str], tmp_path: Path) -> None:
    scene = poses([doubtful(standing_cam(0.0, 4.0))])
    other = replace(scene, model=ModelInfo(method="lcrnet", details={"sigma_m": "how far the votes lie apart"}))
    render_frame(other, other.frames[0], size=(1600, 900))
    assert "within its own spread" in texts
    assert any(text.endswith("to the hip, ± its own spread") for text in texts)
    assert not [text for text in texts if "68" in text]
    for told, expected in ((scene, None), (other, "how far the votes lie apart")):
        write_page(told, tmp_path / "p.html")
        assert payload((tmp_path / "p.html").read_text(encoding="utf-8"))["spreadWords"] == expected
        run_page((tmp_path / "p.html").read_text(encoding="utf-8"))


def test_without_a_statement_nothing_is_said_of_one(texts: list[str]) -> None:
    scene = poses([replace(person(standing_cam(0.0, 4.0), LANDSCAPE), sigma_m=None)])
    render_frame(scene, scene.frames[0], size=SMALL)
    assert not [text for text in texts if "±" in text or "68" in text or "other poses" in text]


def test_scores_leave_a_crowd_alone(texts: list[str]) -> None:
    crowd = [doubtful(standing_cam(-4.0 + k, 6.0), k, scores=(0.77,)) for k in range(9)]
    for people, shown in ((crowd[:8], 8), (crowd, 0)):
        texts.clear()
        render_frame(poses(people), poses(people).frames[0], size=SMALL)
        assert texts.count("0.77") == shown


def _with(one: Person, **changes: Any) -> Poses:
    return poses([replace(one, **changes)])


BASE = doubtful(standing_cam(0.2, 3.5))
ODD = {
    "nothing stated of some joints": _with(BASE, sigma_m=np.where(np.arange(51).reshape(17, 3) % 9 < 3, np.nan, 0.1)),
    "nothing stated of any": _with(BASE, sigma_m=np.full((17, 3), np.nan)),
    "no doubt at all": _with(BASE, sigma_m=np.zeros((17, 3))),
    "all doubt there is": _with(BASE, sigma_m=np.full((17, 3), 1e6)),
    "no joints": _with(BASE, joints_cam_m=np.full((17, 3), np.nan)),
    "other poses without joints": _with(
        BASE, hypotheses=(Hypothesis(score=0.5, joints_cam_m=np.full((17, 3), np.nan)),)
    ),
    "other poses behind": _with(BASE, hypotheses=(Hypothesis(score=-3.25, joints_cam_m=-BASE.joints_cam_m),)),
    "the same pose again": _with(BASE, hypotheses=(Hypothesis(score=1e-9, joints_cam_m=BASE.joints_cam_m),)),
    "far outside": _with(BASE, joints_cam_m=BASE.joints_cam_m + [4000.0, 0.0, 0.0]),
    "many others": poses([doubtful(standing_cam(0.0, 2.0), scores=tuple(np.linspace(0, 1, 30)))]),
    "no id": poses([doubtful(standing_cam(0.0, 4.0), None), doubtful(standing_cam(1.0, 4.0), None)]),
    "fisheye": poses([replace(person(standing_cam(-1.8, 0.6), FISHEYE), sigma_m=np.full((17, 3), 0.2))], FISHEYE),
    "portrait": poses([replace(person(standing_cam(0.0, 1.5), PORTRAIT), sigma_m=np.full((17, 3), 0.2))], PORTRAIT),
    "coco": in_skeleton("coco17"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_statements_are_drawn_too(name: str, tmp_path: Path) -> None:
    scene = ODD[name]
    write_picture(scene, tmp_path / "p.png", size=SMALL)
    with Image.open(tmp_path / "p.png") as image:
        assert image.size == SMALL
    write_page(scene, tmp_path / "p.html")
    run_page((tmp_path / "p.html").read_text(encoding="utf-8"))


# ---- the page --------------------------------------------------------------------------------------------------------


def test_the_page_holds_spread_and_other_poses_in_millimetres(tmp_path: Path) -> None:
    scene = poses([BASE, replace(person(standing_cam(1.0, 5.0), LANDSCAPE, 1), sigma_m=None)])
    write_page(scene, tmp_path / "p.html")
    data = payload((tmp_path / "p.html").read_text(encoding="utf-8"))
    first, second = data["frames"][0]["p"]
    assert first["s"] == [20, 10, 200] * 17
    assert [other["w"] for other in first["h"]] == ["0.31", "0.12"]
    moved = (np.array(first["h"][0]["j"]) - first["j"]).reshape(-1, 3)
    assert_allclose(np.linalg.norm(moved, axis=-1).round(-1), [0.0] * 15 + [300.0] * 2)
    assert "s" not in second
    assert "h" not in second


def test_the_page_can_hide_what_is_uncertain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "test_viewer_page.DRIVE",
        """
const step = (now) => loops.pop()(now), told = {};
const look_at = (name) => { texts.length = 0; for (const k in calls) delete calls[k]; state.dirty = true; step(0);
  told[name] = { texts: [...texts], haze: calls.drawImage || 0, strokes: calls.stroke,
    people: node("people").children.map((row) => row.children[1].textContent) }; };
const set = (name, on) => node(name).listeners.change({ target: { checked: on } });
look_at("all");
set("others", false); look_at("no others");
set("spread", false); look_at("nothing");
set("spread", true); set("others", true); look_at("again");
told.hidden = [node("layer-spread").hidden, node("layer-others").hidden];
process.stdout.write(JSON.stringify(told));
""",
    )
    scene = poses([BASE])
    write_page(scene, tmp_path / "p.html")
    told = run_page((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert told["hidden"] == [False, False]
    assert told["all"] == told["again"]
    assert told["all"]["haze"] == told["no others"]["haze"] == 2  # in the 3D view and in the top view
    assert told["nothing"]["haze"] == 0
    assert told["all"]["strokes"] > told["no others"]["strokes"] > told["nothing"]["strokes"]
    assert "±" in told["no others"]["people"][0]
    assert "±" not in told["nothing"]["people"][0]
    assert "0.31" in told["all"]["texts"]
    assert "0.31" not in told["no others"]["texts"]
    stage_words = f"{np.linalg.norm(BASE.joints_cam_m[0]):.2f} ± "
    assert told["all"]["people"][0].startswith(stage_words)
    assert DRIVE


def test_switches_show_only_where_there_is_something_to_hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "test_viewer_page.DRIVE",
        'process.stdout.write(JSON.stringify(["spread", "others"].map((name) => node(`layer-${name}`).hidden)));',
    )
    for changes, hidden in (
        ({"hypotheses": None}, [False, True]),
        ({"sigma_m": None}, [True, False]),
        ({"sigma_m": None, "hypotheses": ()}, [True, True]),
    ):
        write_page(poses([replace(BASE, **changes)]), tmp_path / "p.html")
        assert run_page((tmp_path / "p.html").read_text(encoding="utf-8")) == hidden, json.dumps(hidden)
