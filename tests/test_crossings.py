"""Films of people who cross: what is seen is what is there, as wrong as asked for, and the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from sightline.data.crossings import Crossing, CrossingConfig, draw_crossing

EXACT = CrossingConfig(
    people=3, frames=90, missed=0, doubled=0, false=0, jitter_m=0, outlier=0, along=0, across=0, bias=0, pose_m=0
)


def names(film: Crossing) -> list[tuple[int | None, ...]]:
    return [seen.source for seen in film.seen]


def test_the_same_seed_draws_the_same_film() -> None:
    config = CrossingConfig(people=3, frames=40)
    one, same, other = draw_crossing(4, config), draw_crossing(4, config), draw_crossing(5, config)
    assert names(one) == names(same)
    assert not np.array_equal(one.joints_cam_m, other.joints_cam_m)
    for first, second in zip(one.seen, same.seen, strict=True):
        for person, twin in zip(first.people, second.people, strict=True):
            np.testing.assert_array_equal(person.joints_cam_m, twin.joints_cam_m)
            np.testing.assert_array_equal(person.keypoints_px, twin.keypoints_px)


def test_without_errors_everybody_visible_is_seen_as_they_are() -> None:
    film = draw_crossing(0, EXACT)
    for frame, (seen, truth) in enumerate(zip(film.seen, film.truth(), strict=True)):
        assert sorted(name for name in seen.source if name is not None) == np.flatnonzero(film.visible[frame]).tolist()
        assert [person.id for person in truth.people] == np.flatnonzero(film.visible[frame]).tolist()
        for name, person in zip(seen.source, seen.people, strict=True):
            assert name is not None
            assert person.id is None
            hidden = person.confidence < 0.5  # hidden joints jump even here, by a jitter of 0
            np.testing.assert_allclose(person.joints_cam_m, film.joints_cam_m[frame, name], atol=1e-12)
            np.testing.assert_allclose(person.keypoints_px[~hidden], film.joints_px[frame, name][~hidden])


def test_everybody_is_found_where_nobody_hides() -> None:
    film = draw_crossing(0, replace(EXACT, people=6, hide=False))
    assert film.visible.all()
    assert all(set(source) == set(range(6)) and len(source) == 6 for source in names(film))
    assert not draw_crossing(0, replace(EXACT, people=6, frames=300)).visible.all()


def test_pixels_are_where_the_camera_sees_the_joints() -> None:
    film = draw_crossing(0, EXACT)
    points, _ = film.camera.project(torch.from_numpy(film.joints_cam_m.reshape(-1, 3)))
    np.testing.assert_allclose(points.numpy(), film.joints_px.reshape(-1, 2), atol=1e-6)


@pytest.mark.slow
def test_people_walk_like_people_and_hide_each_other() -> None:
    for seed in range(3):
        film = draw_crossing(seed, CrossingConfig(people=6))
        roots = film.joints_cam_m[:, :, 0]
        speed = np.linalg.norm(np.diff(roots, axis=0), axis=-1) * film.fps
        assert speed.max() < 4.0
        assert 0.3 < np.median(speed) < 1.6
        bones = np.linalg.norm(film.joints_cam_m[:, :, 2] - film.joints_cam_m[:, :, 1], axis=-1)
        assert np.ptp(bones, axis=0).max() < 0.03
        one, other = np.triu_indices(6, 1)
        apart = np.linalg.norm(roots[:, one] - roots[:, other], axis=-1)
        assert (apart < 0.35).mean() < 0.01
        assert 0.7 < film.visible.mean() < 0.97
        left = film.joints_px[:, :, 0, 0]
        order = np.sign(left[:, :, None] - left[:, None])
        assert (np.abs(np.diff(order, axis=0)) > 0).sum() / 2 > 50  # so often somebody crosses somebody in the picture


@pytest.mark.slow
def test_as_wrong_as_asked_for() -> None:
    config = CrossingConfig(people=4, frames=1500, missed=0.1, doubled=0.04, false=0.2)
    film = draw_crossing(1, config)
    sights = film.visible.sum()
    found = sum(len({name for name in seen.source if name is not None}) for seen in film.seen)
    twice = sum(len([name for name in seen.source if name is not None]) for seen in film.seen) - found
    assert found / sights == pytest.approx(0.9, abs=0.02)
    assert twice / found == pytest.approx(0.04, abs=0.01)
    assert sum(None in seen.source for seen in film.seen) / 1500 == pytest.approx(0.2, abs=0.03)
    off_m, depth = [], []
    for frame, seen in enumerate(film.seen):
        for name, person in zip(seen.source, seen.people, strict=True):
            if name is not None:
                there = film.joints_cam_m[frame, name, 0]
                sure = person.confidence > 0.5
                off = (person.keypoints_px - film.joints_px[frame, name])[sure]
                off_m.append(np.median(np.abs(off)) * there[2] / config.focal_px)
                depth.append(np.log(person.joints_cam_m[0, 2] / there[2]))
    assert np.median(off_m) == pytest.approx(0.6745 * config.jitter_m, rel=0.15)
    assert np.std(depth) == pytest.approx(np.hypot(config.along, config.bias), rel=0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": 0}, {"frames": 0}, {"fps": 0.0}, {"fps": float("inf")}, {"near_m": 0.5}, {"near_m": 9.0},
        {"missed": -0.1}, {"doubled": 1.5}, {"false": float("nan")}, {"jitter_m": -1.0}, {"bias": float("inf")},
    ],
)  # fmt: skip
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(CrossingConfig(), **wrong)
