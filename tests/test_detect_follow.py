"""Following people by boxes: crops map back exactly, everybody keeps to their person, and nobody gets another's pose."""  # noqa: E501

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_detectors import (
    BlindDetector,
    ColourDetector,
    CrowdDetector,
    InColourDetector,
    NaNDetector,
    NearColourDetector,
    RaisingDetector,
    drawn,
    pose_in,
)
from sightline.camera import Camera
from sightline.detect._likeness import apart, extent, overlap, size_ratio
from sightline.detect.boxes import Box, Boxes, ListedBoxes
from sightline.detect.crops import Body, cropped, without_others
from sightline.detect.follow import Follower, FollowRules, LooksIn, LooksNear
from sightline.detect.protocol import Detection, Detector
from sightline.errors import InputError, UsageError
from sightline.skeleton import get_skeleton

REAL = Path(__file__).resolve().parents[2] / "shared/real"
LSP = get_skeleton("lsp14")


def box(*numbers: float, id: int | None = None, height_m: float | None = None) -> Box:
    return Box(box_px=np.array(numbers, dtype=float), id=id, height_m=height_m)


def listing(frames: Mapping[int, Sequence[Box]]) -> Boxes:
    return Boxes(by_index={index: ListedBoxes(boxes=tuple(boxes)) for index, boxes in frames.items()})


def where(detection: Detection) -> list[float]:
    return extent(detection, 0.3).round(6).tolist()


def by_id(people: Sequence[Detection]) -> dict[int | None, list[float]]:
    assert len({person.id for person in people}) == len(people)
    return {person.id: where(person) for person in people}


# Crops


@pytest.mark.parametrize("margin", [0.0, 0.35, 3.0])
@pytest.mark.parametrize(
    "numbers", [(40, 50, 90, 160), (-30, -20, 60, 100), (200.4, 100.6, 400, 300), (-9, -9, -1, -1)]
)  # noqa: E501
def test_crops_hold_the_box_and_map_back_exactly(numbers: tuple[float, ...], margin: float) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    crop = cropped(picture, np.array(numbers, dtype=float), margin)
    height, width = crop.pixels.shape[:2]
    assert height > 0
    assert width > 0
    np.testing.assert_array_equal(
        crop.pixels, picture[crop.top_px : crop.top_px + height, crop.left_px : crop.left_px + width]
    )
    wanted = np.clip(np.array(numbers), 0, [320, 240, 320, 240])
    if (wanted[:2] < wanted[2:]).all():
        assert (np.array([crop.left_px, crop.top_px]) <= wanted[:2]).all()
        assert (np.array([crop.left_px + width, crop.top_px + height]) >= wanted[2:]).all()
    inside = pose_in((0.125, 0.25, 7.5, 9.0), box_px=np.array([0.0, 0, 8, 9]))
    back = crop.taken_back(inside)
    shift = np.array([crop.left_px, crop.top_px])
    np.testing.assert_array_equal(back.keypoints_px, inside.keypoints_px + shift)
    assert back.box_px is not None
    np.testing.assert_array_equal(back.box_px, np.array([0.0, 0, 8, 9]) + np.tile(shift, 2))


def test_a_person_found_in_a_crop_lies_where_the_whole_picture_has_them() -> None:
    picture = drawn({"red": (101, 60, 131, 150)})
    whole = ColourDetector().detect([picture])[0][0]
    (found,) = Follower(ColourDetector(), Boxes.drawn([box(95, 55, 140, 155)])).detect_next(picture)
    np.testing.assert_array_equal(found.keypoints_px, whole.keypoints_px)
    assert found.id == 0
    assert found.box_px is not None
    assert found.box_px.tolist() == [95, 55, 140, 155]


def test_others_are_greyed_as_far_as_they_are_not_ones_own() -> None:
    picture = drawn({"red": (20, 20, 80, 200), "green": (60, 20, 120, 200)})
    own, other = Body(box_px=np.array([20.0, 20, 80, 200])), Body(box_px=np.array([60.0, 20, 120, 200]))
    greyed = without_others(picture, own, [other], LSP, margin=0.1)
    assert (greyed[20:200, 80:120] == 127).all()
    untouched = np.ones(picture.shape[:2], dtype=bool)
    untouched[20:200, 80:120] = False
    np.testing.assert_array_equal(greyed[untouched], picture[untouched])
    assert (picture != 127).all()  # the caller's picture stays


def test_a_known_pose_is_greyed_along_the_limbs() -> None:
    picture = drawn({})
    own, place = Body(box_px=np.array([200.0, 20, 260, 200])), np.array([150.0, 20, 220, 200])
    pose = pose_in(place)
    greyed = without_others(picture, own, [Body(box_px=place, keypoints_px=pose.keypoints_px)], LSP, margin=0.1)
    hidden = (greyed == 127).all(-1)
    x, y = pose.keypoints_px[:, 0].clip(0, 199).astype(int), pose.keypoints_px[:, 1].astype(int)
    assert hidden[y - 1, x].mean() > 0.9
    assert not hidden[20:200, 200:260].any()  # one's own box, whose pose is not known
    assert 0.3 < hidden[20:200, 150:200].mean() < 0.9  # limbs and trunk, and not all of the box
    half_known = np.where(np.arange(14)[:, None] % 2 == 0, np.nan, pose.keypoints_px)
    without_others(picture, own, [Body(box_px=place, keypoints_px=half_known)], LSP, margin=0.1)
    nobody = without_others(picture, own, [Body(box_px=place, keypoints_px=np.full((14, 2), np.nan))], LSP, margin=0.1)
    np.testing.assert_array_equal(nobody, picture)


def test_nobody_near_leaves_the_picture_itself() -> None:
    picture = drawn({"red": (20, 20, 60, 200)})
    own, other = Body(box_px=np.array([20.0, 20, 60, 200])), Body(box_px=np.array([200.0, 20, 260, 200]))
    assert without_others(picture, own, [other], LSP, margin=0.35) is picture
    beyond = Body(box_px=np.array([-90.0, -90, 25, -50]))
    np.testing.assert_array_equal(without_others(picture, own, [beyond, own], LSP, margin=1.0), picture)


# How like


def test_distance_forgives_exchanged_sides_and_counts_sure_joints_only() -> None:
    a = pose_in((0, 0, 40, 100))
    swapped = Detection(keypoints_px=a.keypoints_px[list(LSP.flip)], confidence=a.confidence, score=1.0)
    assert apart(a, swapped, LSP.flip, 0.3) == 0
    moved = pose_in((3, 4, 43, 104))
    assert apart(a, moved, LSP.flip, 0.3) == pytest.approx(5)
    unsure = Detection(
        keypoints_px=a.keypoints_px + np.where(np.arange(14) < 7, 500, 0)[:, None],
        confidence=np.where(np.arange(14) < 7, 0.1, 0.9),
        score=1.0,
    )
    assert apart(a, unsure, LSP.flip, 0.3) == 0
    assert size_ratio(pose_in((0, 0, 80, 200)), a, 0.3) == pytest.approx(2)
    nobody = NaNDetector().people(drawn({}))[0]
    assert apart(a, nobody, LSP.flip, 0.3) == np.inf
    assert np.isnan(extent(nobody, 0.3)).all()


def test_overlap_of_boxes() -> None:
    a = np.array([0.0, 0, 10, 10])
    assert overlap(a, a) == 1
    assert overlap(a, a + 5) == pytest.approx(25 / 175)
    assert overlap(a, a + 10) == 0
    assert overlap(a, a + 20) == 0
    assert overlap(np.zeros(4), np.zeros(4)) == 0


# Following


def test_two_people_walk_and_both_are_kept_by_a_detector_of_one() -> None:
    """Red is far larger: a detector that is shown both sees red."""
    detector = ColourDetector()
    follower = Follower(detector, Boxes.drawn([box(20, 20, 110, 220), box(130, 100, 160, 180)]))
    for index in range(40):
        red, green = (20 + index, 20, 110 + index, 220), (130 + 3 * index, 100, 160 + 3 * index, 180)
        picture = drawn({"red": red, "green": green})
        assert where(ColourDetector().detect([picture])[0][0]) == list(red)
        assert by_id(follower.detect_next(picture)) == {0: list(red), 1: list(green)}
    assert detector.calls <= 2 * 40


def crossing(index: int) -> dict[str, tuple[float, ...]]:
    """Green walks behind red, who stands, and comes back; too little of green is seen from frame 15 to 33."""
    walked = 2.5 * min(index, 48 - index)
    return {"green": (30 + walked, 60, 60 + walked, 180), "red": (90, 50, 122, 190)}


@pytest.mark.parametrize("near", [False, True])
def test_somebody_hidden_behind_another_is_lost_and_found_but_never_the_other(near: bool) -> None:
    detector = NearColourDetector() if near else ColourDetector()
    follower = Follower(detector, Boxes.drawn([box(30, 60, 60, 180), box(90, 50, 122, 190)]))
    seen = []
    for index in range(48):
        people = crossing(index)
        found = by_id(follower.detect_next(drawn(people)))
        assert found[1] == list(people["red"])
        if 0 in found:
            left, _, right, _ = people["green"]
            assert left - 1 <= found[0][0] < found[0][2] <= right + 1  # as much of green as is seen
            seen.append(index)
    assert not set(range(15, 34)) & set(seen)
    assert set(range(14)) | set(range(36, 48)) <= set(seen)


def test_two_followers_on_one_body_leave_it_to_the_one_it_was() -> None:
    follower = Follower(ColourDetector(), Boxes.drawn([box(20, 40, 80, 200), box(100, 40, 160, 200)]))
    for index in range(12):
        green = (100 - 4 * index, 40, 160 - 4 * index, 200)
        people: dict[str, Any] = {"red": (20, 40, 80, 200)} if index < 3 else {}
        found = by_id(follower.detect_next(drawn(people | {"green": green})))
        assert found[1] == list(green)
        assert (0 in found) == (index < 3)


def test_who_is_lost_keeps_the_box_which_grows_slowly_and_not_for_ever() -> None:
    follower = Follower(BlindDetector(), Boxes.drawn([box(100, 50, 140, 150)]))
    rules = follower.rules
    areas = []
    for _ in range(60):
        assert follower.detect_next(drawn({})) == ()
        (person,) = follower._people
        np.testing.assert_allclose((person.box_px[:2] + person.box_px[2:]) / 2, [120, 100])
        areas.append(float((person.box_px[2:] - person.box_px[:2]).prod()))
    assert areas[0] == pytest.approx(4000 * (1 + rules.growth) ** 2)
    assert (np.diff(areas) >= 0).all()
    assert 4000 * 1.3**2 < areas[-1] <= 4000 * rules.growth_limit**2


def test_a_stranger_elsewhere_or_of_another_size_is_not_taken() -> None:
    for stranger in ((200, 50, 240, 150), (112, 90, 122, 115), (40, 10, 200, 235)):
        follower = Follower(ColourDetector(), Boxes.drawn([box(100, 50, 140, 150)]))
        assert len(follower.detect_next(drawn({"red": (100, 50, 140, 150)}))) == 1
        assert follower.detect_next(drawn({"green": stranger})) == ()
        (back,) = follower.detect_next(drawn({"red": (104, 50, 144, 150)}))
        assert where(back) == [104, 50, 144, 150]


def test_somebody_long_lost_is_found_again_in_the_box() -> None:
    rules = FollowRules(patience=5)
    follower = Follower(ColourDetector(), Boxes.drawn([box(100, 50, 140, 150)]), rules=rules)
    follower.detect_next(drawn({"red": (100, 50, 140, 150)}))
    for _ in range(10):
        assert follower.detect_next(drawn({})) == ()
    assert follower.detect_next(drawn({"green": (150, 50, 190, 150)})) == ()
    assert by_id(follower.detect_next(drawn({"red": (100, 55, 140, 150)}))) == {0: [100, 55, 140, 150]}


def test_a_detector_that_can_look_near_is_asked_for_that_and_crops_only_begin() -> None:
    detector = NearColourDetector()
    assert isinstance(detector, LooksNear)
    assert not isinstance(ColourDetector(), LooksNear)
    follower = Follower(detector, Boxes.drawn([box(20, 20, 110, 220), box(150, 100, 180, 180)]))
    for index in range(10):
        red, green = (20 + index, 20, 110 + index, 220), (150 + 2 * index, 100, 180 + 2 * index, 180)
        assert by_id(follower.detect_next(drawn({"red": red, "green": green}))) == {0: list(red), 1: list(green)}
    assert len(detector.shown) == 2
    assert detector.near == 2 * 9


# Looking into boxes


def test_who_stands_alone_is_looked_at_together_and_others_one_by_one() -> None:
    """Red and green reach into each other's box, so each is shown without the other; blue needs neither."""
    detector = InColourDetector()
    assert isinstance(detector, LooksIn)
    assert not isinstance(NearColourDetector(), LooksIn)
    places = {"red": (20, 40, 60, 160), "green": (62, 40, 92, 160), "blue": (250, 40, 290, 160)}
    picture, camera = drawn(places), Camera.create((320, 240), 300.0)
    follower = Follower(detector, Boxes.drawn([box(*place) for place in places.values()]))
    found = by_id(follower.detect_next(picture, camera=camera))
    assert found == dict(enumerate(list(map(float, place)) for place in places.values()))
    assert [boxes.tolist() for _, boxes, _, _ in detector.asked] == [
        [list(places["blue"])], [list(places["red"])], [list(places["green"])],
    ]  # fmt: skip
    assert all(its is camera for _, _, _, its in detector.asked)
    whole, red, green = (shown for shown, _, _, _ in detector.asked)
    np.testing.assert_array_equal(whole, picture)
    assert (red[40:160, 62:92] == 127).all()
    np.testing.assert_array_equal(red[:, :60], picture[:, :60])
    assert (green[40:160, 20:60] == 127).all()
    assert not detector.shown
    detector.asked.clear()
    apart = drawn({"red": (20, 40, 60, 160), "blue": (250, 40, 290, 160)})
    Follower(detector, Boxes.drawn([box(20, 40, 60, 160), box(250, 40, 290, 160)])).detect_next(apart)
    ((_, boxes, before, its),) = detector.asked
    assert (len(boxes), before, its) == (2, [None, None], None)


def test_one_body_in_two_boxes_is_one_person() -> None:
    detector = InColourDetector()
    follower = Follower(detector, Boxes.drawn([box(20, 40, 64, 160), box(30, 60, 110, 220)]))
    assert by_id(follower.detect_next(drawn({"red": (22, 42, 62, 158)}))) == {0: [22, 42, 62, 158]}
    assert len(detector.asked) == 2


def test_who_is_looked_for_in_boxes_is_told_with_how_they_were_last_seen() -> None:
    """Also while they are lost: the box about them grows, and what was last seen of them stays known."""
    detector = InColourDetector()
    follower = Follower(detector, Boxes.drawn([box(100, 50, 140, 150)]))
    (first,) = follower.detect_next(drawn({"red": (100, 50, 140, 150)}))
    for _ in range(3):
        assert follower.detect_next(drawn({})) == ()
    assert by_id(follower.detect_next(drawn({"red": (101, 50, 141, 150)}))) == {0: [101, 50, 141, 150]}
    before = [last for _, _, (last,), _ in detector.asked]
    assert before[0] is None
    for last in before[1:]:
        assert last is not None
        np.testing.assert_array_equal(last.keypoints_px, first.keypoints_px)
    sizes = [float(np.ptp(boxes[0].reshape(2, 2), axis=0)[0]) for _, boxes, _, _ in detector.asked]
    assert sizes[:2] == [40, 40]
    assert sizes[2] < sizes[3] < sizes[4]


def test_photos_are_looked_into_with_their_cameras() -> None:
    detector = InColourDetector()
    pictures = [drawn({"red": (20, 40, 60, 160), "blue": (200, 40, 240, 160)}), drawn({"green": (100, 20, 160, 220)})]
    boxes = [[box(20, 40, 60, 160, id=4, height_m=1.7), box(200, 40, 240, 160)], [box(90, 10, 170, 230, id=0)]]
    cameras = [Camera.create((320, 240), 300.0), None]
    first, second = Follower(detector).detect_photos(pictures, boxes, cameras=cameras)
    assert [(one.id, one.height_m, where(one)) for one in first] == [
        (4, 1.7, [20, 40, 60, 160]), (None, None, [200, 40, 240, 160]),
    ]  # fmt: skip
    assert by_id(second) == {0: [100, 20, 160, 220]}
    assert [(len(its), camera) for _, its, _, camera in detector.asked] == [(2, cameras[0]), (1, None)]
    assert all(last is None for _, _, before, _ in detector.asked for last in before)
    with pytest.raises(UsageError, match="cameras: expected those of each of 2 photos, got 1"):
        Follower(detector).detect_photos(pictures, boxes, cameras=cameras[:1])


class _ByCamera(ColourDetector):
    """Asks for the cameras of pictures."""

    def __init__(self, *, several: bool) -> None:
        super().__init__(several=several)
        self.cameras: list[Camera | None] = []

    def detect_by(
        self, pictures: Sequence[np.ndarray], cameras: Sequence[Camera | None]
    ) -> list[tuple[Detection, ...]]:
        self.cameras += cameras
        return self.detect(pictures)


def test_cameras_are_cropped_with_their_pictures() -> None:
    """A detector of one person is told of the crop's camera; one of several of the picture's; neither of none."""
    camera = Camera.create((320, 240), 300.0)
    picture, drawn_box = drawn({"red": (101, 60, 131, 150)}), box(95, 55, 140, 155)
    for several in (True, False):
        detector = _ByCamera(several=several)
        follower = Follower(detector, Boxes.drawn([drawn_box]))
        follower.detect_next(picture, camera=camera)
        (told,) = detector.cameras
        assert told is not None
        height, width = detector.shown[0].shape[:2]
        assert told.image_size.tolist() == [width, height]
        (x, y), (left, top) = camera.center_px.tolist(), (0, 0) if several else (60, 20)
        assert told.center_px.tolist() == [x - left, y - top]
        follower.restart()
        follower.detect_next(picture)
        assert detector.cameras[1:] == [None]


# Boxes over time


def test_listed_frames_say_who_is_there() -> None:
    boxes = listing(
        {
            0: [box(20, 40, 60, 160, id=7, height_m=1.8), box(200, 40, 240, 160, id=3)],
            4: [box(200, 40, 240, 160, id=3, height_m=1.6)],
            6: [],
            8: [box(20, 40, 60, 160, id=7)],
        }
    )
    follower = Follower(ColourDetector(), boxes)
    picture = drawn({"red": (20, 40, 60, 160), "green": (200, 40, 240, 160)})
    ids = [{person.id: person.height_m for person in follower.detect_next(picture)} for _ in range(10)]
    assert ids == [{7: 1.8, 3: None}] * 4 + [{3: 1.6}] * 2 + [{}] * 2 + [{7: None}] * 2


def test_boxes_of_frames_left_out_still_count() -> None:
    follower = Follower(ColourDetector(), listing({3: [box(20, 40, 60, 160, id=5)]}))
    picture = drawn({"red": (20, 40, 60, 160)})
    counts = [len(follower.detect_next(picture, index=index)) for index in (0, 2, 4, 6)]
    assert counts == [0, 0, 1, 1]


def test_a_box_given_later_puts_the_follower_right() -> None:
    boxes = listing({0: [box(20, 40, 60, 160, id=1)], 3: [box(200, 40, 240, 160, id=1)]})
    for detector in (ColourDetector(), NearColourDetector()):
        follower = Follower(detector, boxes)
        picture = drawn({"red": (20, 40, 60, 160), "green": (200, 40, 240, 160)})
        found = [by_id(follower.detect_next(picture))[1] for _ in range(5)]
        assert found == [[20, 40, 60, 160]] * 3 + [[200, 40, 240, 160]] * 2


def test_boxes_without_id_are_found_in_their_own_frame_only() -> None:
    boxes = listing({0: [box(20, 40, 60, 160)], 2: [box(20, 40, 60, 160)]})
    follower = Follower(ColourDetector(), boxes)
    picture = drawn({"red": (20, 40, 60, 160)})
    assert [[person.id for person in follower.detect_next(picture)] for _ in range(4)] == [[None], [], [None], []]


def test_boxes_of_another_resolution_are_scaled() -> None:
    listed = ListedBoxes(boxes=(box(40, 80, 120, 320, id=0),), image_size=(640, 480))
    follower = Follower(ColourDetector(), Boxes(start=listed))
    assert by_id(follower.detect_next(drawn({"red": (20, 40, 60, 160)}))) == {0: [20, 40, 60, 160]}


def test_restart_begins_another_film() -> None:
    follower = Follower(ColourDetector(), Boxes.drawn([box(20, 40, 60, 160)]))
    for index in range(10):
        follower.detect_next(drawn({"red": (20 + 10 * index, 40, 60 + 10 * index, 160)}))
    follower.restart()
    assert by_id(follower.detect_next(drawn({"red": (20, 40, 60, 160)}))) == {0: [20, 40, 60, 160]}


# Photos, and detectors of several


def test_photos_are_looked_at_together_and_know_nothing_of_each_other() -> None:
    detector = ColourDetector()
    follower = Follower(detector)
    pictures = [
        drawn({"red": (20, 40, 60, 160), "green": (70, 40, 95, 160)}),
        drawn({"blue": (100, 20, 160, 220)}, (200, 300)),
        drawn({"red": (20, 40, 60, 160)}),
    ]
    boxes = [
        [box(20, 40, 60, 160, id=4, height_m=1.7), box(70, 40, 95, 160)],
        [box(90, 20, 170, 230, id=0)],
        [],
    ]
    first, second, third = follower.detect_photos(pictures, boxes)
    assert [(person.id, person.height_m, where(person)) for person in first] == [
        (4, 1.7, [20, 40, 60, 160]),
        (None, None, [70, 40, 95, 160]),
    ]
    assert by_id(second) == {0: [100, 20, 160, 220]}
    assert third == ()
    assert detector.calls == 1
    with pytest.raises(UsageError, match="expected those of each of 1 photos, got 2"):
        follower.detect_photos(pictures[:1], boxes[:2])


def test_a_detector_of_several_sees_the_whole_picture_once() -> None:
    detector = ColourDetector(several=True)
    follower = Follower(detector, Boxes.drawn([box(150, 100, 180, 180), box(20, 20, 110, 220)]))
    for index in range(20):
        red, green = (20 + index, 20, 110 + index, 220), (150 + 3 * index, 100, 180 + 3 * index, 180)
        picture = drawn({"red": red, "green": green, "blue": (270, 100, 300, 180)})
        assert by_id(follower.detect_next(picture)) == {0: list(green), 1: list(red)}
    assert detector.calls == 20
    assert all(shown.shape == (240, 320, 3) for shown in detector.shown)


def test_among_two_hundred_each_box_takes_its_own() -> None:
    detector = CrowdDetector(200)
    crowd = detector.people(drawn({}))
    chosen = [crowd[5], crowd[120]]
    boxes = [box(*(extent(person, 0) + np.array([-2, -2, 2, 2]))) for person in chosen]
    follower = Follower(detector, Boxes.drawn(boxes))
    begin = time.perf_counter()
    for _ in range(3):
        assert by_id(follower.detect_next(drawn({}))) == {0: where(chosen[0]), 1: where(chosen[1])}
    assert time.perf_counter() - begin < 3


# What goes wrong


def test_detectors_that_fail_are_one_sentence_and_nobody_is_nobody() -> None:
    boxes = Boxes.drawn([box(20, 40, 60, 160)])
    with pytest.raises(InputError, match="^detector raising failed on frame 3") as caught:
        Follower(RaisingDetector(), boxes).detect_next(drawn({}), index=3)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="^detector raising failed on a.jpg"):
        Follower(RaisingDetector()).detect_photos([drawn({})], [[box(20, 40, 60, 160)]], place="a.jpg")
    for detector in (NaNDetector(), BlindDetector()):
        follower = Follower(detector, boxes)
        assert [follower.detect_next(drawn({})) for _ in range(3)] == [()] * 3


class _NearRaises(NearColourDetector):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def detect_near(self, picture: np.ndarray, before: Sequence[Detection]) -> list[Detection | None]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (RuntimeError("out of\nmemory"), InputError, "^detector near failed on frame 1: RuntimeError: out of memory$"),
        (UsageError("closed"), UsageError, "^closed$"),
    ],
)
def test_failing_to_look_near_is_one_sentence(error: Exception, kind: type[Exception], sentence: str) -> None:
    follower = Follower(_NearRaises(error), Boxes.drawn([box(20, 40, 60, 160)]))
    picture = drawn({"red": (20, 40, 60, 160)})
    assert len(follower.detect_next(picture)) == 1
    with pytest.raises(kind, match=sentence):
        follower.detect_next(picture)


def test_boxes_outside_the_picture_and_detectors_in_video_mode_are_refused() -> None:
    follower = Follower(ColourDetector(), Boxes.drawn([box(400, 40, 460, 160)]))
    with pytest.raises(InputError, match="--box: expected boxes that overlap the picture of 320 × 240, got 400,40,460"):
        follower.detect_next(drawn({}))
    detector = ColourDetector()
    detector.video = True  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="detector colour: expected one for single pictures, got one in video mode"):
        Follower(detector)


def test_the_fakes_are_detectors() -> None:
    for detector in (ColourDetector(), NearColourDetector(), RaisingDetector(), NaNDetector(), CrowdDetector()):
        assert isinstance(detector, Detector)


# The real thing

FIRST_BOXES = {
    "cam01": ((453, 800, 1015, 1793), (197, 348, 608, 1214)),
    "cam02": ((11, 626, 409, 1514), (369, 414, 786, 1162)),
    "cam03": ((145, 513, 401, 1069), (418, 440, 809, 1378)),
    "cam04": ((630, 414, 993, 968), (130, 502, 716, 1398)),
}
"""The woman, then the man, in the first frame."""


def follow_real(view: str, every: int) -> tuple[int, int, float]:
    """Frames lost and swapped, and the median distance of sure joints to the file's (px), over both people."""
    av = pytest.importorskip("av")
    from sightline.detect.mediapipe_pose import MediaPipePose
    from sightline.formats.keypoints import read_keypoints

    keypoints = read_keypoints(REAL / f"{view}.keypoints.json")
    known = {(frame.index, person.id): person for frame, person in keypoints.people()}
    detector = MediaPipePose()
    follower = Follower(detector, Boxes.drawn([box(*numbers) for numbers in FIRST_BOXES[view]]))
    lost, swapped, distances = 0, 0, []
    with av.open(str(REAL / f"{view}.mp4")) as film:
        for index, frame in enumerate(film.decode(video=0)):
            if index % every:
                continue
            found = {
                person.id: person for person in follower.detect_next(frame.to_ndarray(format="rgb24"), index=index)
            }  # noqa: E501
            lost += 2 - len(found)
            for who, person in found.items():
                own, other = known[index, who], known[index, 1 - who]
                swapped += _limbs_apart(person, other) < _limbs_apart(person, own)
                sure = (person.confidence > 0.5) & (own.confidence > 0.5)
                distances.append(np.linalg.norm(person.keypoints_px - own.keypoints_px, axis=1)[sure])
    detector.close()
    return lost, swapped, float(np.median(np.concatenate(distances)))


def _limbs_apart(person: Detection, known: Any) -> float:
    """Mean distance (px) of shoulders, elbows, wrists, hips, knees and ankles, sides exchanged where that is less."""
    skeleton = get_skeleton("mediapipe33")
    names = [side + joint for side in "LR" for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")]
    limbs = [skeleton.index(name) for name in names]
    exchanged = [skeleton.flip[joint] for joint in limbs]
    return min(
        float(np.linalg.norm(person.keypoints_px[limbs] - known.keypoints_px[order], axis=1).mean())
        for order in (limbs, exchanged)
    )


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/real")
def test_mediapipe_keeps_to_both_in_a_real_video() -> None:
    """View 4, where it sees the woman alone, or now one and now the other, in whole frames."""
    pytest.importorskip("mediapipe")
    lost, swapped, distance_px = follow_real("cam04", every=5)
    assert (lost, swapped) == (0, 0)
    assert distance_px < 12


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/real")
@pytest.mark.parametrize("view", FIRST_BOXES)
def test_mediapipe_keeps_to_both_in_every_view(view: str) -> None:
    pytest.importorskip("mediapipe")
    lost, swapped, distance_px = follow_real(view, every=1)
    assert lost <= 10
    assert swapped <= 4
    assert distance_px < 20
