"""Any detector, behind the guard: good answers pass unchanged, everything else is refused or marked, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sightline.detect.guard import checked_detections
from sightline.detect.protocol import Detection
from sightline.errors import InputError, UsageError
from sightline.skeleton import get_skeleton

JOINTS = 17
PICTURES = [np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)]


class Anything:
    """A detector that answers whatever it is told, or does it."""

    name = "anything"
    skeleton = get_skeleton("coco17")
    single_person = False

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def detect(self, pictures: Any) -> Any:
        return self.answer(pictures) if callable(self.answer) else self.answer

    def close(self) -> None:
        pass


def person(**changes: Any) -> Any:
    """A person like a `Detection`, without its types being checked."""
    good: dict[str, Any] = {
        "keypoints_px": np.arange(2.0 * JOINTS).reshape(JOINTS, 2),
        "confidence": np.linspace(0, 1, JOINTS),
        "score": 0.5,
        "box_px": np.array([0.0, 1.0, 30.0, 40.0]),
        "id": None,
        "height_m": None,
    }
    return SimpleNamespace(**good | changes)


def checked(*people: Any, **options: Any) -> tuple[Detection, ...]:
    (found,) = checked_detections(Anything([people]), PICTURES[:1], **options)
    return found


def test_good_answers_pass_unchanged() -> None:
    given = [Detection(**vars(person(id=3, height_m=1.8))), Detection(**vars(person(box_px=None)))]
    found = checked_detections(Anything([tuple(given), ()]), PICTURES)
    assert found[1] == ()
    for one, other in zip(found[0], given, strict=True):
        assert_array_equal(one.keypoints_px, other.keypoints_px)
        assert_array_equal(one.confidence, other.confidence)
        assert (one.score, one.id, one.height_m) == (other.score, other.id, other.height_m)
    assert_array_equal(found[0][0].box_px, given[0].box_px)  # pyright: ignore[reportArgumentType]
    assert found[0][1].box_px is None
    assert checked_detections(Anything([]), []) == []


def test_what_a_detection_says_beyond_is_kept() -> None:
    @dataclass(frozen=True, kw_only=True, eq=False)
    class Talkative(Detection):
        region: str

    (found,) = checked(Talkative(region="left", **vars(person(score=1.5))))
    assert isinstance(found, Talkative)
    assert (found.region, found.score) == ("left", 1.0)


def test_lists_tensors_and_whole_numbers_are_taken_as_arrays() -> None:
    points = [[1, 2]] * JOINTS
    (found,) = checked(
        person(keypoints_px=points, confidence=torch.ones(JOINTS), score=np.float32(0.25), id=np.int64(4))
    )
    assert found.keypoints_px.dtype == np.float64
    assert_allclose(found.keypoints_px, points)
    assert (found.score, found.id) == (0.25, 4)
    assert type(found.id) is int


# ---- marked, not guessed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "confidence"),
    [
        ((np.nan, 5.0), 0.9),
        ((5.0, np.nan), 0.9),
        ((np.inf, 5.0), 0.9),
        ((5.0, -np.inf), 0.9),
        ((1e9, 5.0), 0.9),
        ((np.nan, np.nan), 0.9),
        ((5.0, 5.0), np.nan),
    ],
)
def test_half_a_point_is_a_missing_point(point: tuple[float, float], confidence: float) -> None:
    given = person()
    given.keypoints_px[4], given.confidence[4] = point, confidence
    (found,) = checked(given)
    assert np.isnan(found.keypoints_px[4]).all()
    assert found.confidence[4] == 0
    others = np.arange(JOINTS) != 4
    assert_array_equal(found.keypoints_px[others], given.keypoints_px[others])
    assert_array_equal(found.confidence[others], given.confidence[others])
    assert given.confidence[4] is not found.confidence[4]


def test_the_detectors_own_arrays_are_left_alone() -> None:
    given = person()
    given.keypoints_px[4, 0] = np.inf
    (found,) = checked(given)
    assert np.isinf(given.keypoints_px[4, 0])
    assert not np.shares_memory(found.keypoints_px, given.keypoints_px)


@pytest.mark.parametrize(("given", "expected"), [(-0.5, 0.0), (1.3, 1.0), (np.inf, 1.0), (np.nan, 0.0), (0.3, 0.3)])
def test_confidence_and_score_are_cut_to_their_range(given: float, expected: float) -> None:
    (found,) = checked(person(confidence=np.full(JOINTS, given), score=given))
    assert found.score == expected
    assert_array_equal(found.confidence, expected)


@pytest.mark.parametrize("box", [[0, 0, 0, 10], [10, 10, 5, 20], [0, 0, np.nan, 5], [0, -np.inf, 5, 5]])
def test_a_box_without_area_is_none(box: list[float]) -> None:
    (found,) = checked(person(box_px=np.array(box, float)))
    assert found.box_px is None


@pytest.mark.parametrize(("height", "expected"), [(1.7, 1.7), (0.0, None), (17, None), (np.nan, None), (None, None)])
def test_a_stature_that_nobody_has_is_none(height: Any, expected: float | None) -> None:
    (found,) = checked(person(height_m=height))
    assert found.height_m == expected


def test_too_many_people_are_cut_by_score_and_stay_in_order() -> None:
    scores = np.random.default_rng(0).permutation(200) / 200
    found = checked(*(person(score=score) for score in scores), max_people=3)
    assert [each.score for each in found] == [score for score in scores if score >= 197 / 200]
    assert len(checked(*(person(score=score) for score in scores))) == 200


# ---- refused -------------------------------------------------------------------------------------------------------


def raising(error: BaseException) -> Callable[[Any], Any]:
    def detect(_: Any) -> Any:
        raise error

    return detect


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (raising(RuntimeError("CUDA error:\n  out of memory")), "RuntimeError: CUDA error: out of memory"),
        (raising(ZeroDivisionError()), "ZeroDivisionError$"),
        (raising(RuntimeError("x" * 9999)), "x…$"),
        (raising(SystemError("bad")), "SystemError: bad"),
        (None, "expected a list with one answer for each of 2 pictures, got a NoneType"),
        ([()], "expected a list with one answer for each of 2 pictures, got 1 answers"),
        ([()] * 3, "expected a list with one answer for each of 2 pictures, got 3 answers"),
        (iter([(), ()]), "expected a list with one answer for each of 2 pictures, got a list_iterator"),
        (np.zeros((2, 17, 3)), "got a ndarray"),
    ],
)
def test_a_detector_that_fails_is_named_with_the_place(answer: Any, expected: str) -> None:
    with pytest.raises(InputError, match=f"^detector anything failed on frame 12 to frame 13: .*{expected}") as caught:
        checked_detections(Anything(answer), PICTURES, places=["frame 12", "frame 13"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    if callable(answer):
        assert caught.value.__cause__ is not None


def test_places_are_counted_where_they_have_no_names() -> None:
    with pytest.raises(InputError, match="^detector anything failed on picture 1 of 2 to picture 2 of 2: "):
        checked_detections(Anything(None), PICTURES)
    with pytest.raises(InputError, match="^detector anything failed on a.jpg: "):
        checked_detections(Anything(None), PICTURES[:1], places=["a.jpg"])
    with pytest.raises(ValueError, match="places: expected one for each of 2 pictures, got 1"):
        checked_detections(Anything([(), ()]), PICTURES, places=["a.jpg"])


@pytest.mark.parametrize("error", [InputError("clip.json: no frame 3"), UsageError("mediapipe: was closed")])
def test_sentences_of_our_own_pass_as_they_are(error: ValueError) -> None:
    with pytest.raises(type(error), match=f"^{error}$"):
        checked_detections(Anything(raising(error)), PICTURES)


def test_an_interrupt_is_no_fault_of_the_detector() -> None:
    with pytest.raises(KeyboardInterrupt):
        checked_detections(Anything(raising(KeyboardInterrupt())), PICTURES)


@pytest.mark.parametrize(
    ("people", "expected"),
    [
        (None, "b.jpg: expected the people of the picture as a tuple, got a NoneType"),
        (person(), "b.jpg: expected the people of the picture as a tuple, got a SimpleNamespace"),
        (["somebody"], r"b.jpg, person 0: expected a Detection with keypoints_px \(17 × 2 numbers\), got a str"),
        ([{"keypoints_px": []}], "b.jpg, person 0: expected a Detection with keypoints_px"),
        (
            [person(), person(keypoints_px=np.zeros((33, 2)), confidence=np.zeros(33))],
            r"b.jpg, person 1: expected keypoints_px to be 17 × 2 numbers, got the shape \(33, 2\)",
        ),
        ([person(keypoints_px=np.zeros((17, 3)))], r"got the shape \(17, 3\)"),
        ([person(keypoints_px=[[1, 2], [3]])], "expected keypoints_px to be 17 × 2 numbers"),
        ([person(keypoints_px=np.full((17, 2), "x"))], "expected keypoints_px to be 17 × 2 numbers"),
        ([person(keypoints_px=None)], "expected keypoints_px to be 17 × 2 numbers, got values of the type object"),
        ([person(keypoints_px=np.zeros((17, 2), complex))], "expected keypoints_px to be 17 × 2 numbers"),
        ([person(confidence=1.0)], r"expected confidence to be 17 numbers, got the shape \(\)"),
        ([person(confidence=np.zeros((17, 1)))], r"expected confidence to be 17 numbers, got the shape \(17, 1\)"),
        ([person(score=None)], "expected score to be a number"),
        ([person(score=np.zeros(3))], "expected score to be a number"),
        ([person(score="sure")], "expected score to be a number"),
        ([person(box_px=[1, 2, 3])], r"expected box_px to be 4 numbers, got the shape \(3,\)"),
        ([person(id="left")], "expected id to be a whole number from 0 on, or None, got 'left'"),
        ([person(id=-1)], "expected id to be a whole number from 0 on, or None, got -1"),
        ([person(id=True)], "expected id to be a whole number"),
        ([person(id=1.5)], "expected id to be a whole number"),
        ([person(id=7), person(id=2), person(id=7)], "expected each id once in a picture, but 7 stands there twice"),
        ([person(height_m="tall")], "expected height_m to be a number"),
    ],
)
def test_what_is_no_detection_is_refused(people: Any, expected: str) -> None:
    with pytest.raises(InputError, match=f"^detector anything on .*{expected}") as caught:
        checked_detections(Anything([(), people]), PICTURES, places=["a.jpg", "b.jpg"])
    assert "\n" not in str(caught.value)


def test_a_limit_below_one_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="max_people: expected at least 1, got 0"):
        checked(person(), max_people=0)
