"""Ids over whole films of people who cross: they last, those that are given stay, and memory does not grow."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from sightline.bench.track import NearestRoots, identity_scores
from sightline.data.crossings import CrossingConfig, draw_crossing
from sightline.tracking import Tracker


@pytest.mark.slow
@pytest.mark.parametrize("people", [2, 3, 4, 5, 6])
@pytest.mark.parametrize(("hide", "least"), [(False, 0.95), (True, 0.85)])
def test_ids_of_people_who_cross_last(people: int, hide: bool, least: float) -> None:
    films = [draw_crossing(seed, CrossingConfig(people=people, hide=hide)) for seed in range(200, 206)]
    ours = [identity_scores(film, Tracker(film.skeleton)).idf1 for film in films]
    naive = [identity_scores(film, NearestRoots()).idf1 for film in films]
    assert np.mean(ours) >= least
    assert np.mean(ours) > np.mean(naive) + 0.2


@pytest.mark.parametrize("seed", [0, 1])
def test_a_short_crossing_keeps_its_ids(seed: int) -> None:
    film = draw_crossing(seed, CrossingConfig(people=2, frames=90))
    assert identity_scores(film, Tracker(film.skeleton)).switches == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_ids_that_are_given_now_and_then_are_never_changed_and_none_is_there_twice(seed: int) -> None:
    film = draw_crossing(seed, CrossingConfig(people=4, frames=80, doubled=0.1, false=0.2))
    rng, tracker = np.random.default_rng(seed), Tracker(film.skeleton)
    for seen in film.seen:
        given, people = set[int](), []
        for name, person in zip(seen.source, seen.people, strict=True):
            known = name is not None and name not in given and rng.random() < 0.3
            people.append(replace(person, id=name) if known else person)
            given |= {name} if known and name is not None else set()
        taken = [50] if rng.random() < 0.2 else []
        named = tracker.update(people, seen.time_s, taken)
        ids = [person.id for person in named]
        assert len({*ids, *taken}) == len(ids) + len(taken)
        assert None not in ids
        assert all(after.id == before.id for before, after in zip(people, named, strict=True) if before.id is not None)


@pytest.mark.slow
def test_memory_is_bounded_over_a_long_film() -> None:
    film = draw_crossing(7, CrossingConfig(people=6, doubled=0.05, false=0.2))
    tracker, peaks, length_s = Tracker(film.skeleton), [], len(film.seen) / film.fps
    for round_ in range(8):
        sizes = []
        for frame, seen in enumerate(film.seen):
            tracker.update(seen.people, round_ * length_s + seen.time_s)
            if frame % 50 == 0:
                sizes.append(len(pickle.dumps(tracker)))
        peaks.append(max(sizes))
    assert max(peaks[1:]) <= 1.3 * max(peaks[:2])
