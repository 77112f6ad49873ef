"""Scores of ids: cases worked by hand, a twin that tries every pairing, and what is refused."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from sightline.metrics.identity import IdentityCounter, IdentityScores

Frame = tuple[list[int], list[int], np.ndarray]


def counted(frames: list[Frame]) -> IdentityScores:
    counter = IdentityCounter()
    for true, found, near in frames:
        counter.update(true, found, near)
    return counter.scores()


def named(true: list[int], found: list[int | None]) -> Frame:
    """Everybody true is found under the id beside it; None is not found."""
    near = np.array([[other is ident for other in found if other is not None] for ident in found], dtype=bool)
    ids = [ident for ident in found if ident is not None]
    return true, ids, near.reshape(len(true), len(ids))


@pytest.mark.parametrize(
    ("frames", "matched", "idf1", "switches"),
    [
        ([named([0, 1], [7, 8])] * 10, 20, 1.0, 0),
        ([named([0, 1], [7, 8])] * 5 + [named([0, 1], [8, 7])] * 5, 10, 0.5, 2),  # exchanged for good half way
        ([named([0, 1], [7, 8])] * 8 + [named([0, 1], [8, 7])] * 2, 16, 0.8, 2),
        ([named([0], [3])] * 6 + [named([0], [4])] * 4, 6, 0.6, 1),  # a new id counts with the longer part only
        ([named([0], [3])] * 4 + [named([0], [None])] * 2 + [named([0], [3])] * 4, 8, 16 / 18, 0),
        ([named([0], [None])] * 5, 0, 0.0, 0),
        ([([], [5], np.zeros((0, 1), dtype=bool))] * 3 + [named([0], [1])] * 3, 3, 6 / 9, 0),  # nobody, found thrice
        ([named([0], [3]), named([0], [4]), named([0], [3])], 2, 2 / 3, 2),
    ],
)  # fmt: skip
def test_cases_worked_by_hand(frames: list[Frame], matched: int, idf1: float, switches: int) -> None:
    scores = counted(frames)
    assert (scores.matched, scores.switches) == (matched, switches)
    assert scores.idf1 == pytest.approx(idf1)


def test_precision_and_recall() -> None:
    scores = IdentityScores(true=10, found=5, matched=4, switches=0)
    assert (scores.idr, scores.idp, scores.idf1) == pytest.approx((0.4, 0.8, 8 / 15))


def test_nothing_has_no_score() -> None:
    scores = IdentityCounter().scores()
    assert np.isnan([scores.idf1, scores.idp, scores.idr]).all()


def test_a_pair_that_still_holds_is_kept_where_another_is_possible() -> None:
    both = np.ones((2, 2), dtype=bool)
    frames: list[Frame] = [([0, 1], [5, 6], np.eye(2, dtype=bool)), ([0, 1], [6, 5], both), ([1, 0], [5, 6], both)]
    assert counted(frames).switches == 0


def test_somebody_found_twice_is_no_switch() -> None:
    frames: list[Frame] = [([0], [5], np.ones((1, 1), dtype=bool)), ([0], [6, 5], np.ones((1, 2), dtype=bool))] * 5
    assert counted(frames).switches == 0


def random_film(seed: int) -> list[Frame]:
    rng = np.random.default_rng(seed)
    frames: list[Frame] = []
    for _ in range(12):
        true = rng.permutation(4)[: rng.integers(0, 5)].tolist()
        found = (10 + rng.permutation(4))[: rng.integers(0, 5)].tolist()
        frames.append((true, found, rng.random((len(true), len(found))) < 0.4))
    return frames


@pytest.mark.parametrize("seed", range(20))
def test_as_many_agree_as_in_the_best_of_all_pairings(seed: int) -> None:
    frames = random_film(seed)
    best = 0
    for order in permutations(range(10, 14)):
        agree = 0
        for true, found, near in frames:
            agree += sum(order[t] in found and bool(near[row, found.index(order[t])]) for row, t in enumerate(true))
        best = max(best, agree)
    assert counted(frames).matched == best


@pytest.mark.parametrize("seed", range(5))
def test_names_and_order_do_not_matter(seed: int) -> None:
    frames, rng = random_film(seed), np.random.default_rng(seed)
    other: list[Frame] = []
    for true, found, near in frames:
        rows, columns = rng.permutation(len(true)), rng.permutation(len(found))
        other.append(([99 - true[row] for row in rows], [found[at] * 3 for at in columns], near[rows][:, columns]))
    assert counted(frames).matched == counted(other).matched


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (([1, 1], [2], np.ones((2, 1), dtype=bool)), "true_ids: expected each id once"),
        (([1], [2, 2], np.ones((1, 2), dtype=bool)), "found_ids: expected each id once"),
    ],
)
def test_wrong_calls(frame: Frame, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        IdentityCounter().update(*frame)
