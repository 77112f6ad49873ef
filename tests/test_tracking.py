"""Ids that last: through crossings, gaps and noise; the same whatever the order; never twice in a frame."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.formats.calibrations.qualisys import read_qualisys
from sightline.formats.keypoints import read_keypoints
from sightline.pipeline import Lifter
from sightline.skeleton import SKELETONS
from sightline.structures import Person
from sightline.tracking import Tracker
from staged_people import H36M, Walker, standing_cam

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"
FOCAL_PX, CENTER_PX = 1500.0, np.array([960.0, 540.0])

Film = list[tuple[float, list[tuple[int, Person]]]]
"""Of each frame its time, and who truly stands where."""


def seen(x: float, z: float, *, heading: float = np.pi, depth_factor: float = 1.0, **changes: Any) -> Person:
    """A person without id; `depth_factor` moves the pose along its lines of sight, which the picture does not show."""
    joints = standing_cam(x, z, heading)
    person = Person(
        joints_cam_m=joints * depth_factor,
        keypoints_px=joints[:, :2] / joints[:, 2:] * FOCAL_PX + CENTER_PX,
        confidence=np.full(17, 0.9),
        score=0.9,
        root_depth_canonical=float(joints[0, 2] * depth_factor / FOCAL_PX),
    )
    return replace(person, **changes)


def without_joints(person: Person, *joints: int, seen_too: bool = False) -> Person:
    """The person with joints whose place, and with `seen_too` whose keypoint, is missing."""
    joints_cam, points_px, confidence = (
        value.copy() for value in (person.joints_cam_m, person.keypoints_px, person.confidence)
    )
    joints_cam[list(joints)] = np.nan
    if seen_too:
        points_px[list(joints)], confidence[list(joints)] = np.nan, 0
    return replace(person, joints_cam_m=joints_cam, keypoints_px=points_px, confidence=confidence)


def ids(people: Sequence[Person]) -> list[int | None]:
    return [person.id for person in people]


def walk(walkers: Sequence[Walker], seconds: float, fps: float, seed: int) -> Film:
    """People as a lifter sees them: swinging limbs, noise, depths that wander, the hidden and some others missing."""
    rng = np.random.default_rng(seed)
    film: Film = []
    wander = np.zeros(len(walkers))
    for frame in range(int(seconds * fps)):
        time_s = frame / fps
        keep = np.exp(-1 / fps / 0.5)
        wander = keep * wander + np.sqrt(1 - keep**2) * rng.normal(0, 0.04, len(walkers))
        people: list[tuple[int, Person]] = []
        before: list[float] = []
        for number, walker in sorted(enumerate(walkers), key=lambda pair: place(pair[1], time_s)[1]):
            x, z = place(walker, time_s)
            if z < 1.5 or abs(x / z * FOCAL_PX) > 950:
                continue
            hidden = any(abs(x / z - other) < 0.15 / z for other in before)
            before.append(x / z)
            if not hidden and rng.random() > 0.03:
                factor = float(np.exp(wander[number] + rng.normal(0, 0.013)))
                person = seen(x, z, heading=walker.heading, depth_factor=factor)
                swing_px = 0.2 * FOCAL_PX / z * np.sin(2 * np.pi * 0.9 * walker.speed * time_s) * np.sin(walker.heading)
                limbs = np.zeros(17)
                limbs[[3, 6, 13, 16]] = 1, -1, 1, -1
                moved = person.keypoints_px + np.stack([limbs * swing_px, np.zeros(17)], 1) + rng.normal(0, 3, (17, 2))
                people.append((number, replace(person, keypoints_px=moved)))
        film.append((time_s, [people[row] for row in rng.permutation(len(people))]))
    return film


def place(walker: Walker, time_s: float) -> tuple[float, float]:
    way = walker.speed * time_s
    return walker.x + np.sin(walker.heading) * way, walker.z + np.cos(walker.heading) * way


class NearestNeighbour:
    """The naive twin: whoever is nearest to where a root was last seen, the nearest pair first."""

    def __init__(self, where: Callable[[Person], np.ndarray], reach: float) -> None:
        self.where, self.reach, self.last, self.next_id = where, reach, {}, 0

    def update(self, people: Sequence[Person], time_s: float) -> tuple[Person, ...]:
        self.last = {ident: spot for ident, spot in self.last.items() if time_s - spot[1] <= 1.0}
        pairs = [
            (float(np.linalg.norm(self.where(person) - spot)), ident, row)
            for row, person in enumerate(people)
            for ident, (spot, _) in self.last.items()
        ]
        found: dict[int, int] = {}
        for distance, ident, row in sorted(pairs):
            if distance < self.reach and row not in found and ident not in found.values():
                found[row] = ident
        for row, person in enumerate(people):
            if row not in found:
                found[row] = self.next_id
                self.next_id += 1
            self.last[found[row]] = (self.where(person), time_s)
        return tuple(replace(person, id=found[row]) for row, person in enumerate(people))


def switches(film: Film, tracker: Any) -> int:
    """How often a true person's id changes."""
    last: dict[int, int | None] = {}
    count = 0
    for time_s, people in film:
        named = tracker.update([person for _, person in people], time_s)
        for (number, _), person in zip(people, named, strict=True):
            count += last.get(number, person.id) != person.id
            last[number] = person.id
    return count


def crowd(count: int, seed: int) -> list[Walker]:
    """People who mostly cross the picture from side to side."""
    rng = np.random.default_rng(seed)
    return [
        Walker(
            x=rng.uniform(-2, 2),
            z=rng.uniform(3.5, 8),
            heading=rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.3),
            speed=rng.uniform(0.3, 1.8),
        )
        for _ in range(count)
    ]


# Who is who


@pytest.mark.parametrize("fps", [60.0, 25.0, 8.0])
def test_two_who_cross_keep_their_ids(fps: float) -> None:
    for seed in range(2):
        left = Walker(x=-1.5, z=4.0, heading=np.pi / 2, speed=1.2)
        right = Walker(x=1.5, z=4.7, heading=-np.pi / 2, speed=1.4)
        assert switches(walk([left, right], 2.4, fps, seed), Tracker(H36M)) == 0


def test_in_a_crowd_far_fewer_ids_jump_than_with_the_nearest_neighbour() -> None:
    films = [walk(crowd(8, seed), 3.0, 10.0, seed) for seed in range(6)]
    ours = sum(switches(film, Tracker(H36M)) for film in films)
    by_picture = sum(switches(film, NearestNeighbour(lambda p: p.keypoints_px[0], 150.0)) for film in films)
    by_place = sum(switches(film, NearestNeighbour(lambda p: p.joints_cam_m[0], 1.0)) for film in films)
    assert min(by_picture, by_place) >= 20
    assert ours <= by_picture / 6
    assert ours <= by_place / 2


@pytest.mark.parametrize("every", [1, 10])
def test_real_people_keep_their_ids(every: int) -> None:
    if not REAL.is_dir():
        pytest.skip("needs ../shared/real")
    lifter = Lifter()
    for name, camera in read_qualisys(REAL / "calibration.qca.txt").items():
        poses = lifter.lift(read_keypoints(REAL / f"{name}.keypoints.json"), camera).poses
        film = [
            (frame.index / 60, [(person.id or 0, replace(person, id=None)) for person in frame.people])
            for frame in poses.frames[::every]
        ]
        assert {number for _, people in film for number, _ in people} == {0, 1}
        assert switches(film, Tracker(poses.skeleton)) == 0


def test_the_picture_decides_where_the_depth_is_wrong() -> None:
    tracker = Tracker(H36M)
    assert ids(tracker.update([seen(-0.4, 4.0), seen(0.4, 4.5)], 0.0)) == [0, 1]
    swapped_depths = [seen(-0.4, 4.0, depth_factor=1.1), seen(0.4, 4.5, depth_factor=0.9)]
    assert ids(tracker.update(swapped_depths, 0.03)) == [0, 1]


def test_the_depth_decides_where_the_picture_cannot() -> None:
    tracker = Tracker(H36M)
    far = seen(0.3, 6.0)
    twin = replace(far, joints_cam_m=far.joints_cam_m / 2, root_depth_canonical=None)  # a child before an adult
    assert ids(tracker.update([twin, far], 0.0)) in ([0, 1], [1, 0])
    first = ids(tracker.update([twin, far], 0.1))
    assert ids(tracker.update([far, twin], 0.2)) == first[::-1]


# Coming and going


def test_a_gap_keeps_the_id_until_it_is_too_long() -> None:
    for gap_s, expected in ((0.95, [0]), (1.2, [1])):
        tracker = Tracker(H36M, max_gap_s=1.0)
        for time_s in (0.0, 0.05, 0.1):
            tracker.update([seen(0, 4)], time_s)
        for step in range(1, 6):
            assert tracker.update([], 0.1 + gap_s * step / 6) == ()
        assert ids(tracker.update([seen(0, 4)], 0.1 + gap_s)) == expected


def test_walking_on_through_a_gap_is_expected() -> None:
    tracker = Tracker(H36M)
    for frame in range(20):
        tracker.update([seen(-1.5 + 0.05 * frame, 4.0), seen(1.5 - 0.05 * frame, 4.0)], frame / 30)
    both = [seen(-1.5 + 0.05 * 40, 4.0), seen(1.5 - 0.05 * 40, 4.0)]  # they have passed each other unseen
    assert ids(tracker.update(both, 40 / 30)) == [0, 1]


def test_rare_frames_count_as_frames() -> None:
    tracker = Tracker(H36M, max_gap_s=1.0, max_gap_frames=2)
    for time_s in (0.0, 10.0, 20.0):
        assert ids(tracker.update([seen(0, 4)], time_s)) == [0]
    tracker.update([], 30.0)
    tracker.update([], 40.0)
    assert ids(tracker.update([seen(0, 4)], 50.0)) == [0]
    for time_s in (60.0, 70.0, 80.0):
        tracker.update([], time_s)
    assert ids(tracker.update([seen(0, 4)], 90.0)) == [1]


def test_births_get_the_next_id_and_none_comes_back() -> None:
    tracker = Tracker(H36M, max_gap_s=0.2, max_gap_frames=0)
    given = []
    for round_ in range(4):
        given += ids(tracker.update([seen(-1, 4), seen(1, 5)], 10.0 * round_))
        given += ids(tracker.update([seen(-1, 4), seen(1, 5), seen(0, 8)], 10.0 * round_ + 0.1))
        tracker.update([], 10.0 * round_ + 5.0)
    assert given == [0, 1, 0, 1, 2, 3, 4, 3, 4, 5, 6, 7, 6, 7, 8, 9, 10, 9, 10, 11]


def test_new_people_are_numbered_from_the_largest() -> None:
    assert ids(Tracker(H36M).update([seen(0, 8), seen(1, 3), seen(-1, 5)], 0.0)) == [2, 0, 1]


def test_nobody_jumps_but_depth_may_be_noisy() -> None:
    def second(person: Person) -> list[int | None]:
        tracker = Tracker(H36M)
        tracker.update([seen(0, 4)], 0.0)
        return ids(tracker.update([person], 0.02))

    assert second(seen(0.2, 4)) == [0]  # 10 m/s
    assert second(seen(1.5, 4)) == [1]  # 75 m/s to the side
    assert second(seen(0, 4, depth_factor=1.15)) == [0]  # 0.6 m along the line of sight
    assert second(seen(0, 4, depth_factor=2.0)) == [1]


# Whatever comes


@pytest.mark.parametrize("seed", range(3))
def test_order_within_a_frame_does_not_matter(seed: int) -> None:
    film = walk(crowd(6, seed), 2.0, 10.0, seed)
    rng = np.random.default_rng(seed)
    one, other = Tracker(H36M), Tracker(H36M)
    for time_s, people in film:
        order = rng.permutation(len(people))
        named = one.update([person for _, person in people], time_s)
        again = other.update([people[row][1] for row in order], time_s)
        assert ids(again) == [named[row].id for row in order]


def test_only_the_id_changes() -> None:
    person = seen(0, 4)
    (named,) = Tracker(H36M).update([person], 0.0)
    assert replace(named, id=None).__dict__.keys() == person.__dict__.keys()
    assert named.keypoints_px is not None
    for name, value in vars(person).items():
        if name != "id":
            np.testing.assert_array_equal(getattr(named, name), value)


def test_the_same_person_found_twice_gets_two_lasting_ids() -> None:
    tracker = Tracker(H36M)
    for frame in range(10):
        x = 0.02 * frame
        named = tracker.update([seen(x, 4), seen(x, 4), seen(x + 0.01, 4)], frame / 30)
        assert set(ids(named)) == {0, 1, 2}
    assert ids(tracker.update([seen(0.2, 4)], 0.34))[0] in (0, 1, 2)


def test_ids_that_people_bring_are_kept() -> None:
    tracker = Tracker(H36M)
    assert ids(tracker.update([seen(0, 4, id=7), seen(2, 5)], 0.0)) == [7, 8]
    assert ids(tracker.update([seen(0, 4), seen(2, 5, id=3)], 0.1)) == [7, 3]
    assert ids(tracker.update([seen(2, 5, id=7), seen(0, 4, id=3)], 0.2)) == [7, 3]  # whatever they look like
    assert ids(tracker.update([seen(2, 5), seen(0, 4)], 0.3)) == [7, 3]
    assert ids(tracker.update([seen(-2, 6), seen(0, 4)], 0.4)) == [9, 3]


def test_an_id_that_is_brought_goes_to_nobody_else() -> None:
    tracker = Tracker(H36M)
    assert ids(tracker.update([seen(0, 4)], 0.0)) == [0]
    assert ids(tracker.update([seen(0, 4), seen(2, 5, id=0)], 0.1)) == [1, 0]
    assert ids(tracker.update([seen(0, 4), seen(2, 5)], 0.2)) == [1, 0]


def test_ids_of_others_in_the_frame_are_taken() -> None:
    tracker = Tracker(H36M)
    assert ids(tracker.update([seen(0, 4)], 0.0, taken=[0, 4])) == [5]
    assert ids(tracker.update([seen(0, 4)], 0.1, taken=[5])) == [6]
    assert ids(tracker.update([seen(0, 4)], 0.2)) in ([5], [6])


def test_missing_joints_leave_the_rest_to_decide() -> None:
    for change in (
        lambda person: without_joints(person, 0),
        lambda person: without_joints(person, 0, 1, 2, 3, seen_too=True),
        lambda person: without_joints(person, *range(17)),  # no place at all
        lambda person: without_joints(person, *range(8), seen_too=True),
        lambda person: replace(person, keypoints_px=np.full((17, 2), np.nan), confidence=np.zeros(17)),  # no picture
        lambda person: replace(person, root_depth_canonical=None),
    ):
        tracker = Tracker(H36M)
        for frame in range(12):
            x = 0.03 * frame
            people = [seen(x, 4), seen(1.6 - x, 5)]
            if frame % 3 == 2:
                people = [change(people[0]), people[1]]
            assert ids(tracker.update(people, frame / 30)) == [0, 1]


def test_whoever_cannot_be_recognised_is_new_each_time() -> None:
    nothing = without_joints(seen(0, 4), *range(17), seen_too=True)
    tracker = Tracker(H36M)
    assert [ids(tracker.update([nothing, nothing], frame / 30)) for frame in range(3)] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("name", sorted(SKELETONS))
def test_every_skeleton(name: str) -> None:
    skeleton = SKELETONS[name]
    joints = len(skeleton)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1000, (joints, 2))
    person = Person(
        joints_cam_m=rng.normal(0, 0.5, (joints, 3)) + (0, 0, 4), keypoints_px=points, confidence=np.ones(joints),
        score=1.0, root_depth_canonical=None,
    )  # fmt: skip
    tracker = Tracker(skeleton)
    assert [ids(tracker.update([person], time_s)) for time_s in (0.0, 0.0, 0.5)] == [[0], [0], [0]]


@pytest.mark.parametrize(
    ("people", "time_s", "taken", "sentence"),
    [
        ([], np.nan, (), "time_s: expected a finite time, not before 1.0, got nan"),
        ([], np.inf, (), "time_s: expected a finite time"),
        ([], 0.5, (), "time_s: expected a finite time, not before 1.0, got 0.5"),
        ([seen(0, 4, id=2), seen(1, 4, id=2)], 1.0, (), r"each id once in a frame, got \[2, 2\]"),
        ([seen(0, 4, id=2)], 1.0, (2,), r"each id once in a frame, got \[2, 2\]"),
        (
            [Person(joints_cam_m=np.ones((5, 3)), keypoints_px=np.ones((5, 2)), confidence=np.ones(5), score=1.0,
                    root_depth_canonical=None)],
            1.0, (), r"people: expected 17 joints \(h36m17\), got 5",
        ),
    ],
)  # fmt: skip
def test_wrong_calls_change_nothing(people: list[Person], time_s: float, taken: tuple[int, ...], sentence: str) -> None:
    tracker = Tracker(H36M)
    tracker.update([seen(0, 4)], 1.0)
    before = pickle.dumps(tracker)
    with pytest.raises(ValueError, match=sentence):
        tracker.update(people, time_s, taken)
    assert pickle.dumps(tracker) == before


@pytest.mark.parametrize("wrong", [{"max_gap_s": -1.0}, {"max_gap_frames": -1}, {"max_speed_m_s": 0.0}])
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected gaps of at least 0 and a speed above 0"):
        Tracker(H36M, **wrong)


def test_two_hundred_people_take_milliseconds() -> None:
    tracker = Tracker(H36M)
    rng = np.random.default_rng(0)
    spots = rng.uniform((-8, 4), (8, 40), (200, 2))
    seconds = []
    for frame in range(5):
        people = [seen(x + 0.03 * frame, z, depth_factor=float(np.exp(rng.normal(0, 0.02)))) for x, z in spots]
        start = time.perf_counter()
        named = tracker.update(people, frame / 30)
        seconds.append(time.perf_counter() - start)
        assert len(set(ids(named))) == 200
    assert min(seconds) < 0.5  # 0.03 s on one core with nothing else to do


def test_memory_does_not_grow() -> None:
    tracker = Tracker(H36M, max_gap_s=1.0, max_gap_frames=0)
    rng = np.random.default_rng(0)
    sizes = []
    for frame in range(200):  # a stranger in each frame, thrice as far from the last as anybody gets
        tracker.update([seen(rng.choice([-3, -1, 1, 3]), rng.uniform(4, 12))], frame / 30)
        sizes.append(len(pickle.dumps(tracker)))
    assert max(sizes[120:]) <= 1.2 * max(sizes[40:120])
