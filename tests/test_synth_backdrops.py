"""Painted backdrops and the user's pictures: natural statistics, one picture per number, bad files passed over."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.errors import InputError
from sightline.synth import _draw_backdrops, backdrops
from sightline.synth._draw_backdrops import PAINTERS, colours, fractal
from sightline.synth.backdrops import drawn_backdrop, picture_files, reaches_down, recoloured
from sightline.synth.cameras import View, drawn_lens, drawn_view
from sightline.synth.config import BACKGROUNDS, CameraDraw, SceneConfig, plain

SIDE = 192
SOMEBODY = np.array([[-0.3, -0.3, 0.0], [0.3, 0.3, 1.7], [0.3, -0.3, 1.0]])


def _view(seed: int) -> View:
    rng, draw = np.random.default_rng(seed), CameraDraw()
    return drawn_view(rng, drawn_lens(rng, ((96, 64),), draw), draw, SOMEBODY)


def _power_slope(grey: np.ndarray) -> float:
    """Slope of log power against log frequency, over rings of the middle octaves."""
    grey = grey - grey.mean()
    window = np.hanning(len(grey))
    power = np.abs(np.fft.fft2(grey * window[:, None] * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(len(grey))[:, None], np.fft.fftfreq(len(grey)))
    edges = np.geomspace(0.02, 0.25, 9)
    rings = [power[(frequency >= a) & (frequency < b)].mean() for a, b in zip(edges, edges[1:], strict=False)]
    return float(np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(rings), 1)[0])


@pytest.mark.parametrize("kind", sorted(set(BACKGROUNDS) - {"folder"}))
def test_a_painter_is_a_function_of_its_chance(kind: str) -> None:
    one, again, other = (PAINTERS[kind](np.random.default_rng(seed), SIDE) for seed in (4, 4, 5))
    assert one.shape == (SIDE, SIDE, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert 15 < one.mean() < 240


def test_the_spectrum_of_dead_leaves_falls_as_that_of_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_draw_backdrops, "_softened", lambda rng, picture: picture)  # in focus
    slopes = []
    for seed in range(5):
        picture = PAINTERS["leaves"](np.random.default_rng(seed), 256)
        slopes.append(_power_slope(picture.mean(-1)))
    assert -2.6 < np.mean(slopes) < -1.7
    white = np.random.default_rng(0).normal(size=(256, 256))
    assert abs(_power_slope(white)) < 0.3  # the measure itself


@pytest.mark.parametrize("slope", [0.8, 1.4])
def test_noise_has_the_slope_asked_for(slope: float) -> None:
    field = fractal(np.random.default_rng(1), 256, 1, slope=slope)[..., 0]
    assert _power_slope(field) == pytest.approx(-2 * slope, abs=0.3)
    assert field.std() == pytest.approx(1.0)


def test_colours_vary_most_in_light_least_between_red_and_green() -> None:
    drawn = np.concatenate([colours(np.random.default_rng(seed), 200, contrast=0.15, vivid=0.0) for seed in range(20)])
    light, blue, red = drawn.mean(1), drawn[:, 2] - drawn[:, :2].mean(1), drawn[:, 0] - drawn[:, 1]
    assert light.std() > blue.std() > red.std() > 0


def test_a_backdrop_does_not_depend_on_what_was_drawn_before() -> None:
    config, view = SceneConfig(backdrop_pool=4), _view(1)

    def draw(number: int) -> np.ndarray:
        return drawn_backdrop(np.random.default_rng(number), config, "leaves", 9, view).picture

    backdrops._KEPT.clear()
    forwards = [draw(number) for number in range(3)]
    backdrops._KEPT.clear()
    backwards = [draw(number) for number in reversed(range(3))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))


def test_the_pool_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    backdrops._KEPT.clear()
    monkeypatch.setattr(backdrops, "_POOL_BYTES", 5 * 144 * 144 * 3)
    for number in range(9):
        backdrops._pooled("plain", 0, number, 144)
    assert len(backdrops._KEPT) == 5
    backdrops._KEPT.clear()


@pytest.mark.parametrize("seed", range(6))
def test_the_horizon_of_a_street_is_level(seed: int) -> None:
    view = _view(seed)
    backdrop = drawn_backdrop(np.random.default_rng(seed), plain(), "street", 0, view)
    rotation = backdrop.camera.rotation
    assert rotation is not None
    assert rotation[2, 2].abs() < 1e-9
    assert float(rotation[1, 2]) == pytest.approx(-1.0)  # the picture's y axis points straight down
    assert float(rotation.numpy()[2] @ view.forward) > 0.5


def test_a_view_straight_down_is_not_filled_by_a_level_picture() -> None:
    view = _view(0)
    down = View(lens=view.lens, rotation=np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]]), position=view.position)
    level = drawn_backdrop(np.random.default_rng(0), SceneConfig(), "sky", 0, view)
    assert not reaches_down(level, down)


def test_recolouring_keeps_order() -> None:
    steps = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    for seed in range(5):
        assert (np.diff(recoloured(np.random.default_rng(seed), steps).astype(int), axis=1) >= 0).all()


def test_recolouring_is_one_table_for_each_channel() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    steps = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=-1)
    tables = recoloured(np.random.default_rng(3), steps)[0]
    expected = np.stack([tables[picture[..., channel], channel] for channel in range(3)], axis=-1)
    np.testing.assert_array_equal(recoloured(np.random.default_rng(3), picture), expected)
    np.testing.assert_array_equal(recoloured(np.random.default_rng(3), picture, flipped=True), expected[:, ::-1])


def test_pictures_of_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "inner").mkdir()
    Image.new("RGB", (300, 200), (200, 30, 30)).save(tmp_path / "a.png")
    Image.new("L", (120, 200), 90).save(tmp_path / "inner" / "b.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "notes.txt").write_text("nothing to see")
    assert [Path(name).name for name in picture_files(str(tmp_path))] == ["a.png", "broken.jpg", "b.jpg", "notes.txt"]
    config = replace(SceneConfig(), backgrounds=(("folder", 1.0),), picture_folder=str(tmp_path))
    view = _view(2)
    with caplog.at_level(logging.WARNING):
        made = [drawn_backdrop(np.random.default_rng(seed), config, "folder", 0, view) for seed in range(12)]
    assert {"broken.jpg", "notes.txt"} == {Path(r.args[0]).name for r in caplog.records if isinstance(r.args, tuple)}
    again = drawn_backdrop(np.random.default_rng(3), config, "folder", 0, view)
    assert np.array_equal(made[3].picture, again.picture)
    for backdrop in made:  # the cut that the camera sees lies in the picture
        corners = (np.array([(0, 0), view.lens.size]) - view.lens.center_px) / view.lens.focal_px
        seen = corners * backdrop.camera.focal_px.numpy() + backdrop.camera.center_px.numpy()
        height, width = backdrop.picture.shape[:2]
        assert (seen > -0.06 * width).all()
        assert (seen < np.array([width, height]) * 1.06).all()


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    config = replace(SceneConfig(), backgrounds=(("folder", 1.0),), picture_folder=str(tmp_path / "none"))
    with pytest.raises(InputError, match="expected a folder of pictures"):
        drawn_backdrop(np.random.default_rng(0), config, "folder", 0, _view(0))
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("words")
    config = replace(config, picture_folder=str(tmp_path / "text"))
    with pytest.raises(InputError, match="none of its 1 files can be read"):
        drawn_backdrop(np.random.default_rng(0), config, "folder", 0, _view(0))
