"""Sides put right, turns left alone, wild joints taken out; streams like whole films; people never mixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from repair_films import MEDIAPIPE, Gait, detected, exchanged, film, random_spans, side_is_right, together, true_points
from sightline.formats.calibrations.qualisys import read_qualisys
from sightline.formats.keypoints import read_keypoints
from sightline.skeleton import Skeleton, get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints
from sightline.temporal._swaps import person_size
from sightline.temporal.keypoint_repair import KeypointRepair, RepairReport, repaired

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"
ARM_PARTS, LEG_PARTS = ("Shoulder", "Elbow", "Wrist"), ("Hip", "Knee", "Ankle")
GAITS = {
    "front": Gait(),
    "back": Gait(heading=np.pi, phase=1.0),
    "side": Gait(heading=np.pi / 2, phase=2.0),
    "turning": Gait(turn_rad_s=2 * np.pi / 5, phase=3.0),
    "spinning": Gait(turn_rad_s=np.pi, heading=0.4),
    "arms out": Gait(spread_rad=1.3, stride_rad=0.1, turn_rad_s=0.3),
}
SOME = dict(list(GAITS.items())[2:4])


def streamed(keypoints: Keypoints, lag_frames: int) -> tuple[Keypoints, RepairReport]:
    repair = KeypointRepair(keypoints.skeleton, fps=keypoints.fps, lag_frames=lag_frames)
    frames = [frame for pushed in keypoints.frames for frame in repair.push(pushed)]
    return replace(keypoints, frames=(*frames, *repair.finish())), repair.report


def points(keypoints: Keypoints) -> np.ndarray:
    return keypoints.stacked().keypoints_px


def assert_same(one: Keypoints, other: Keypoints) -> None:
    assert [frame.index for frame in one.frames] == [frame.index for frame in other.frames]
    for a, b in zip(one.stacked(), other.stacked(), strict=True):
        assert_array_equal(a, b)


def share_right(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Share of the clear frames in which the sides of arms, and of legs, are right."""
    return np.array([np.nanmean(side_is_right(found, truth, parts)) for parts in (ARM_PARTS, LEG_PARTS)])


def swapped_film(gait: Gait, seed: int, fps: float = 60.0, seconds: float = 5.0) -> tuple[np.ndarray, Keypoints]:
    """True points, and what a detector makes of them that exchanges sides in about a third of the frames."""
    rng = np.random.default_rng(seed)
    truth = true_points(gait, int(seconds * fps), fps)
    spans = random_spans(rng, len(truth), fps)
    seen, confidence, _ = detected(rng, truth, jitter_px=rng.uniform(2.0, 5.0))
    return truth, film(exchanged(seen, spans), exchanged(confidence[..., None], spans)[..., 0], fps=fps)


# ---- sides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GAITS)
def test_sides_are_put_right(name: str) -> None:
    truth, given = swapped_film(GAITS[name], seed=list(GAITS).index(name))
    fixed, report = repaired(given)
    assert share_right(points(given), truth).min() < 0.8, "the film would need no repair"
    assert share_right(points(fixed), truth).min() >= 0.99
    (person,) = report.people
    assert (person.id, person.frames) == (3, len(truth))
    assert person.whole + person.arms + person.legs > 40


@pytest.mark.parametrize("gait", SOME.values(), ids=SOME)
@pytest.mark.parametrize("lag_frames", [15, 30])
def test_sides_are_put_right_in_a_stream(gait: Gait, lag_frames: int) -> None:
    truth, given = swapped_film(gait, seed=7)
    fixed, _ = streamed(given, lag_frames)
    assert share_right(points(fixed), truth).min() >= 0.99


@pytest.mark.parametrize("target", ["coco17", "h36m17", "openpose25", "halpe26", "lcr13", "smpl24"])
def test_sides_are_put_right_in_every_joint_set(target: str) -> None:
    truth = true_points(GAITS["turning"], 240, 60.0)
    spans = [(30, 90, "whole"), (130, 180, "legs")]
    seen, _, _ = detected(np.random.default_rng(0), truth, missing=0.0, wild=0.0)
    given, _ = film(exchanged(seen, spans)).converted(target)
    right, _ = film(seen).converted(target)
    fixed, report = repaired(given)
    away = np.linalg.norm(points(fixed) - points(right), axis=-1)
    wrong_before = np.linalg.norm(points(given) - points(right), axis=-1) > 1
    assert np.nanmean(wrong_before) > 0.15
    assert np.nanmean(away > 1) < 0.01
    assert report.people[0].whole == pytest.approx(60, abs=3)
    assert report.people[0].legs == pytest.approx(50, abs=3)


@pytest.mark.parametrize("fps", [25.0, 60.0, 120.0])
@pytest.mark.parametrize("name", ["turning", "spinning"])
def test_real_turns_are_left_alone(name: str, fps: float) -> None:
    truth = true_points(GAITS[name], int(5 * fps), fps)
    seen, confidence, _ = detected(np.random.default_rng(3), truth, jitter_px=4.0)
    _, report = repaired(film(seen, confidence, fps=fps))
    (person,) = report.people
    assert (person.whole, person.arms, person.legs) == (0, 0, 0)


@pytest.mark.parametrize("jitter_px", [0.0, 2.0, 6.0])
def test_what_is_right_stays_as_it_is(jitter_px: float) -> None:
    truth = true_points(GAITS["arms out"], 200, 60.0)
    seen, confidence, _ = detected(np.random.default_rng(4), truth, jitter_px=jitter_px, wild=0.0)
    given = film(seen, confidence)
    fixed, report = repaired(given)
    changed = (points(fixed) != points(given)) & ~np.isnan(points(given))
    assert changed.mean() < 0.002
    if not changed.any():
        assert report.in_words() == ""
        assert all(new is old for new, old in zip(fixed.frames, given.frames, strict=True))


def test_a_detector_of_two_minds_does_not_lead_astray() -> None:
    """While it changes its mind, it puts both joints somewhere in between, for several frames."""
    truth = true_points(replace(GAITS["arms out"], turn_rad_s=0.0), 200, 60.0)
    other = truth[:, list(MEDIAPIPE.flip)]
    mind = np.zeros(200)
    mind[60:120] = 1.0
    for start in (56, 120):
        mind[start : start + 4] = [0.3, 0.9, 0.5, 0.2]
    rng = np.random.default_rng(5)
    seen = truth + mind[:, None, None] * (other - truth) + rng.normal(0, 3.0, truth.shape)
    fixed, _ = repaired(film(seen))
    clear = np.isin(mind, (0.0, 1.0))
    assert share_right(seen[clear], truth[clear]).max() < 0.75
    assert_array_equal(share_right(points(fixed)[clear], truth[clear]), 1.0)


def test_most_frames_decide_not_the_first() -> None:
    truth = true_points(GAITS["side"], 240, 60.0)
    seen = exchanged(truth + np.random.default_rng(6).normal(0, 3.0, truth.shape), [(0, 70, "whole")])
    fixed, _ = repaired(film(seen))
    assert_array_equal(share_right(points(fixed), truth), 1.0)


def test_the_pose_itself_tells_which_half_is_wrong() -> None:
    """Legs that point the other way for more than half of the film: the shoulders know better."""
    truth = true_points(GAITS["front"], 240, 60.0)
    seen = exchanged(truth + np.random.default_rng(6).normal(0, 3.0, truth.shape), [(0, 150, "legs")])
    fixed, report = repaired(film(seen))
    assert_array_equal(share_right(points(fixed), truth), 1.0)
    assert report.people[0].legs == 150


def test_a_mirrored_film_gives_a_mirrored_result() -> None:
    _, given = swapped_film(GAITS["turning"], seed=1, seconds=2.0)
    flip = list(MEDIAPIPE.flip)

    def mirrored(keypoints: Keypoints) -> Keypoints:
        stacked = keypoints.stacked()
        there = stacked.keypoints_px[:, flip] * [-1, 1] + [keypoints.image_size[0], 0]
        return film(there, stacked.confidence[:, flip])

    assert_allclose(points(repaired(mirrored(given))[0]), points(mirrored(repaired(given)[0])), atol=1e-6)


def test_size_and_place_in_the_picture_do_not_matter() -> None:
    _, given = swapped_film(GAITS["turning"], seed=2, seconds=2.0)
    moved = film(points(given) * 0.5 + 300.0, given.stacked().confidence)
    assert_allclose(points(repaired(moved)[0]), points(repaired(given)[0]) * 0.5 + 300.0, atol=1e-6)


# ---- joints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gait", SOME.values(), ids=SOME)
@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_wild_joints_are_found_and_others_are_not(gait: Gait, fps: float) -> None:
    truth = true_points(gait, int(5 * fps), fps)
    seen, confidence, wild = detected(np.random.default_rng(8), truth, jitter_px=2.0, missing=0.0)
    fixed, report = repaired(film(seen, confidence, fps=fps))
    changed = (points(fixed) != seen).any(-1)
    assert changed[wild].mean() > (0.95 if fps > 30 else 0.85)
    assert changed[~wild].mean() < 0.01
    left = np.linalg.norm(points(fixed) - truth, axis=-1)[changed & wild]
    assert np.nanmedian(left) < 8
    assert report.people[0].replaced_joints + report.people[0].removed_joints == changed.sum()


def still(frames: int = 40) -> np.ndarray:
    truth = np.repeat(true_points(Gait(heading=0.5), 1, 60.0), frames, axis=0)
    return truth + np.random.default_rng(9).normal(0, 1.0, truth.shape)


WRIST = MEDIAPIPE.index("RWrist")


def test_a_short_run_is_interpolated_with_half_the_confidence() -> None:
    seen, confidence = still(), np.full((40, 33), 0.9)
    seen[20:24, WRIST] += 80.0
    confidence[20:24, WRIST] = 1.0  # high confidence does not protect
    confidence[19, WRIST] = 0.8
    fixed, report = repaired(film(seen, confidence))
    for n, frame in enumerate(fixed.frames[20:24]):
        share = (n + 1) / 5
        expected = (1 - share) * seen[19, WRIST] + share * seen[24, WRIST]
        assert_allclose(frame.people[0].keypoints_px[WRIST], expected)
        assert frame.people[0].confidence[WRIST] == pytest.approx(0.4)
    assert report.in_words() == "person 3, 40 frames: 4 joints interpolated in 4"


def test_an_outlier_beside_a_long_gap_is_taken_out() -> None:
    seen = still()
    seen[14:20, WRIST] = np.nan
    seen[20, WRIST] += 90.0
    seen[21:27, WRIST] = np.nan
    fixed, report = repaired(film(seen))
    person = fixed.frames[20].people[0]
    assert np.isnan(person.keypoints_px[WRIST]).all()
    assert person.confidence[WRIST] == 0
    assert report.in_words() == "person 3, 40 frames: 1 joint taken out in 1"
    assert np.isnan(points(fixed)[14:20, WRIST]).all(), "what was missing stays missing"


def test_little_confidence_makes_it_easier_to_doubt() -> None:
    off_px = 0.04 * float(person_size(still(1)).item())
    found = []
    for sure in (1.0, 0.05):
        seen, confidence = still(), np.full((40, 33), 0.9)
        seen[20, WRIST] += off_px / np.sqrt(2)
        confidence[20, WRIST] = sure
        found.append(repaired(film(seen, confidence))[1].people[0].replaced_joints)
    assert found == [0, 1]


def test_a_single_exchanged_pair_is_exchanged_back() -> None:
    seen = still()
    knees = [MEDIAPIPE.index("LKnee"), MEDIAPIPE.index("RKnee")]
    given = seen.copy()
    given[20:22, knees] = seen[20:22, knees[::-1]]
    fixed, report = repaired(film(given))
    assert_array_equal(points(fixed), seen)
    assert report.in_words() == "person 3, 40 frames: sides of single pairs exchanged in 2"


def test_a_quick_but_steady_movement_is_no_outlier() -> None:
    seen = still(80)
    time = np.arange(80) / 60.0
    punch = np.exp(-(((time - 0.65) / 0.09) ** 2))  # out and back, half a metre in a quarter of a second
    seen[:, WRIST] += punch[:, None] * np.array([160.0, 40.0])
    fixed, _ = repaired(film(seen))
    assert_array_equal(points(fixed), seen)


# ---- streams and tracks -------------------------------------------------------------------------------------------


def test_a_stream_with_a_long_lag_is_the_whole_film() -> None:
    _, given = swapped_film(GAITS["turning"], seed=3, seconds=3.0)
    whole, report = repaired(given)
    stream, stream_report = streamed(given, 400)
    assert_same(stream, whole)
    assert stream_report == report


@pytest.mark.parametrize("lag_frames", [0, 1, 7, 30])
def test_frames_come_after_the_lag_in_order(lag_frames: int) -> None:
    _, given = swapped_film(GAITS["front"], seed=4, seconds=1.0)
    given = replace(given, frames=(*given.frames[:20], replace(given.frames[20], people=()), *given.frames[25:]))
    repair = KeypointRepair(given.skeleton, fps=60.0, lag_frames=lag_frames)
    out = []
    for number, frame in enumerate(given.frames):
        ready = repair.push(frame)
        assert len(ready) == (1 if number >= lag_frames else 0)
        out += ready
    out += repair.finish()
    assert [frame.index for frame in out] == [frame.index for frame in given.frames]
    assert repair.finish() == []
    again = streamed(given, lag_frames)[0]
    assert_same(again, replace(given, frames=tuple(out)))


def test_people_are_never_mixed() -> None:
    films = [
        replace(swapped_film(gait, seed=n, seconds=2.0)[1]) for n, gait in enumerate((GAITS["front"], GAITS["side"]))
    ]
    named = [
        film(points(each), each.stacked().confidence, ident=ident) for each, ident in zip(films, (9, 2), strict=True)
    ]
    both, report = repaired(together(*named))
    for each, own in zip(named, (0, 1), strict=True):
        alone, alone_report = repaired(each)
        assert_array_equal(points(both)[own::2], points(alone))
        assert alone_report.people[0] in report.people
    assert [person.id for person in report.people] == [2, 9]


def test_people_come_and_go() -> None:
    """Gaps, a single frame, somebody without an id, empty frames and skipped indexes: each stays who they are."""
    _, given = swapped_film(GAITS["turning"], seed=5, seconds=4.0)
    others = [replace(frame.people[0], id=None) for frame in given.frames]
    frames = []
    for n, frame in enumerate(given.frames):
        people = () if 50 <= n < 60 or 70 <= n < 150 or n % 17 == 0 else frame.people
        people += (others[n],) if n % 2 else ()
        people += (replace(frame.people[0], id=8),) if n == 33 else ()
        if n % 13:
            frames.append(replace(frame, people=people))
    given = replace(given, frames=tuple(frames))
    for fixed, report in (repaired(given), streamed(given, 20)):
        for old, new in zip(given.frames, fixed.frames, strict=True):
            assert [person.id for person in old.people] == [person.id for person in new.people]
            for before, after in zip(old.people, new.people, strict=True):
                if before.id in (None, 8):
                    assert after is before
        assert sum(person.frames for person in report.people if person.id == 3) == sum(
            person.id == 3 for frame in given.frames for person in frame.people
        )


def test_whoever_was_away_for_long_begins_anew() -> None:
    """On the same side of a long gap all sides agree, so nothing is exchanged, though labels differ across it."""
    truth = true_points(GAITS["side"], 400, 60.0)
    given = film(exchanged(truth, [(200, 400, "whole")]))
    frames = tuple(frame for n, frame in enumerate(given.frames) if not 160 <= n < 240)
    _, report = repaired(replace(given, frames=frames))
    assert report.in_words() == ""


def test_photos_and_people_without_id_pass_unchanged() -> None:
    _, given = swapped_film(GAITS["front"], seed=6, seconds=0.5)
    photos = replace(given, fps=None)
    assert repaired(photos)[0] is photos
    assert repaired(photos)[1].people == ()
    repair = KeypointRepair(given.skeleton, fps=None, lag_frames=30)
    for frame in photos.frames:
        (same,) = repair.push(frame)
        assert same is frame
    nameless = film(points(given), given.stacked().confidence, ident=None)
    fixed, report = repaired(nameless)
    assert report.people == ()
    assert all(new is old for new, old in zip(fixed.frames, nameless.frames, strict=True))


def test_memory_is_that_of_the_lag() -> None:
    truth = true_points(GAITS["front"], 60, 60.0)
    people = [PersonKeypoints(keypoints_px=xy, confidence=np.ones(33), id=0) for xy in truth]
    repair = KeypointRepair(MEDIAPIPE, fps=60.0, lag_frames=20)
    sizes = set()
    for n in range(600):
        passing = replace(people[n % 60], id=1 + n // 100)  # somebody new every hundred frames
        repair.push(KeypointFrame(index=n, people=(people[n % 60], passing)))
        if n > 300:
            assert len(repair._tracks) + len(repair._fading) <= 4
            assert len(repair._filter._size) <= 8
            assert len(repair._waiting) <= 20
            sizes.add(len(repair._tracks[0].paths._time))
    assert len(sizes) == 1


def test_two_hundred_people() -> None:
    truth = true_points(GAITS["front"], 4, 60.0)
    frames = tuple(
        KeypointFrame(
            index=n,
            people=tuple(PersonKeypoints(keypoints_px=xy + 5.0 * k, confidence=np.ones(33), id=k) for k in range(200)),
        )
        for n, xy in enumerate(truth)
    )
    fixed, report = repaired(Keypoints(skeleton=MEDIAPIPE, image_size=(1920, 1080), frames=frames, fps=60.0))
    assert len(report.people) == 200
    assert_array_equal(
        points(fixed), np.concatenate([truth[n] + 5.0 * np.arange(200)[:, None, None] for n in range(4)])
    )


# ---- bad input ----------------------------------------------------------------------------------------------------


def test_absurd_and_missing_points_do_no_harm() -> None:
    seen = still(60)
    seen[10] = np.nan
    seen[20, WRIST] = 1e300
    seen[30] = -1e300
    seen[40, 3:] = np.nan
    fixed, _ = repaired(film(seen))
    rest = np.setdiff1d(np.arange(60), [20, 30])
    assert_array_equal(points(fixed)[rest], seen[rest])
    assert np.abs(points(fixed)[20, WRIST] - seen[19, WRIST]).max() < 10
    assert np.abs(points(fixed)[30] - seen[29]).max() < 20


@pytest.mark.parametrize(
    "skeleton",
    [
        Skeleton("chain", ("Hip", "Spine", "Head"), (-1, 0, 1)),
        Skeleton("dot", ("Hip",), (-1,)),
        Skeleton("bug", ("Body", "LFeeler", "RFeeler", "LWing", "RWing"), (-1, 0, 0, 0, 0)),
        get_skeleton("mpi_inf_3dhp28"),
    ],
    ids=lambda skeleton: skeleton.name,
)
def test_any_joint_set_will_do(skeleton: Skeleton) -> None:
    rng = np.random.default_rng(0)
    place = rng.uniform(0, 600, (len(skeleton), 2))
    frames = []
    for n in range(30):
        seen = place + rng.normal(0, 1, place.shape)
        if 10 <= n < 20:
            seen = seen[list(skeleton.flip)]
        frames.append(
            KeypointFrame(
                index=n, people=(PersonKeypoints(keypoints_px=seen, confidence=np.ones(len(skeleton)), id=0),)
            )
        )
    given = Keypoints(skeleton=skeleton, image_size=(600, 600), frames=tuple(frames), fps=30.0)
    fixed, report = repaired(given)
    assert np.linalg.norm(points(fixed) - place, axis=-1).max() < 8
    assert (report.in_words() == "") == (skeleton.flip == tuple(range(len(skeleton))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.0, "lag_frames": 3}, "fps: expected frames per second above 0"),
        ({"fps": float("nan"), "lag_frames": 3}, "fps: expected"),
        ({"fps": float("inf"), "lag_frames": 3}, "fps: expected"),
        ({"fps": 30.0, "lag_frames": -1}, "lag_frames: expected a number of frames"),
    ],
)
def test_bad_options(options: dict[str, float | int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeypointRepair(MEDIAPIPE, **options)  # pyright: ignore[reportArgumentType]


def test_bad_frames() -> None:
    repair = KeypointRepair(MEDIAPIPE, fps=30.0, lag_frames=2)
    repair.push(KeypointFrame(index=5))
    with pytest.raises(ValueError, match="expected a rising index, got 5 after 5"):
        repair.push(KeypointFrame(index=5))
    few = PersonKeypoints(keypoints_px=np.zeros((4, 2)), confidence=np.ones(4), id=0)
    with pytest.raises(ValueError, match=r"frame 6: expected 33 joints \(mediapipe33\), got 4"):
        repair.push(KeypointFrame(index=6, people=(few,)))
    repair.push(KeypointFrame(index=6))


@pytest.mark.parametrize("fps", [1e-6, 0.5, 2.0, 9.0, 1000.0, 1e9])
def test_any_rate(fps: float) -> None:
    given = replace(film(still(50)), fps=fps)
    fixed, report = repaired(given)
    assert_array_equal(points(fixed), points(given))
    assert report.people[0].frames == 50


# ---- a real film --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/real")
def test_a_real_view_agrees_with_the_others_afterwards() -> None:
    from sightline.triangulate import triangulate_keypoints

    names = [f"cam0{n}" for n in (1, 2, 3, 4)]
    cameras = read_qualisys(REAL / "calibration.qca.txt")
    views = [read_keypoints(REAL / f"{name}.keypoints.json") for name in names]
    fixed = [repaired(view)[0] for view in views]
    before, after = (
        triangulate_keypoints(each, [cameras[name] for name in names]).swapped.sum(0) for each in (views, fixed)
    )
    assert before[1, 1] > 15, "the second view exchanges the man's sides"
    assert after.sum() <= 2
    untouched = [n for n in range(8) if n != 5]  # person by person, view by view
    assert before.ravel()[untouched].sum() <= after.sum() + 2
