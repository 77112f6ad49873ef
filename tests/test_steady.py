"""Films are predicted steadily: sides put right, poses smoothed, pixels let go, and nothing lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sightline
from sightline.detect.protocol import Detection
from sightline.errors import UsageError
from sightline.pipeline import Lifter, Smoothing, check_smoothing, lift_film
from sightline.prediction.cameras import CameraFinder
from sightline.prediction.estimator import FromKeypoints
from sightline.prediction.looks import look_for
from sightline.prediction.predicted import Predicted
from sightline.prediction.run import Predictor
from sightline.prediction.sizes import ANKLE_HEIGHT_M
from sightline.prediction.steady import Steady
from sightline.sources import Source, SourceFrame
from sightline.structures import Keypoints, PersonKeypoints
from sightline.temporal.keypoint_repair import RepairReport, repaired
from staged_films import CAMERA, SIZE, Staged, placed_camera, walkers
from staged_people import H36M, person

FRAMES = 90
FLIP = list(H36M.flip)


class Film(Source):
    """A film whose pictures are their numbers."""

    kind, fps, frame_count = "film", 25.0, FRAMES

    def __init__(self, kind: str = "film", every: int = 1, stops_at: int | None = None) -> None:
        super().__init__("film")
        self.kind, self.every, self.stops_at = kind, every, stops_at  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def problems(self) -> list[str]:
        return []

    def frames(self):  # noqa: ANN201
        for number in range(0, FRAMES, self.every):
            if number == self.stops_at:
                raise KeyboardInterrupt
            pixels = np.full((SIZE[1], SIZE[0], 3), number, dtype=np.uint8)
            yield SourceFrame(
                index=number, time_s=number / 25.0, file=None, pixels=pixels, turned=0, mirrored=False, lens=None
            )

    def close(self) -> None:
        pass


class Seen:
    """Tells the people of a picture by its grey: two who drift, whose sides are exchanged for a while."""

    name, skeleton, single_person = "seen", H36M, False

    def __init__(self, swapped: range = range(0), noise_px: float = 0.0) -> None:
        self.swapped, self.noise_px = swapped, noise_px

    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[Detection, ...]]:
        return [self._people(int(picture[0, 0, 0])) for picture in pictures]

    def _people(self, number: int) -> tuple[Detection, ...]:
        rng, found = np.random.default_rng(number), []
        for joints in walkers(0):
            points = person(joints, CAMERA, noise_px=0.0).keypoints_px
            points = points + 0.2 * number + self.noise_px * rng.standard_normal(points.shape)
            points = points[FLIP] if number in self.swapped else points
            found.append(Detection(keypoints_px=points, confidence=np.full(17, 0.9), score=0.9))
        return tuple(found)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def weights(tiny_lifters: Path) -> Path:
    return tiny_lifters / "stature.json"


def run(
    weights: Path, smoothing: Smoothing | None, kind: str = "film", on_floor: bool = False, **how: Any
) -> tuple[list[Predicted], list[RepairReport], list[int]]:
    source, repairs, glimpsed = Film(kind), [], []
    predictor = Predictor(Lifter(weights), smoothing=smoothing, on_floor=on_floor)
    camera = placed_camera() if on_floor else CAMERA

    def glimpse(one: Predicted) -> None:
        assert one.pixels is not None
        glimpsed.append(int(one.pixels[0, 0, 0]))

    look = look_for(source, detector=Seen(**how))
    done = list(predictor.predict(source, look, CameraFinder(camera), repairs=repairs, glimpse=glimpse))
    return done, repairs, glimpsed


@pytest.mark.parametrize("smoothing", ["off", "online", "offline"])
def test_every_frame_comes_out_once_and_in_order(weights: Path, smoothing: Smoothing) -> None:
    done, repairs, glimpsed = run(weights, smoothing)
    assert [one.frame.index for one in done] == [one.keypoints.index for one in done] == glimpsed == list(range(FRAMES))
    assert all(len(one.frame.people) == len(one.keypoints.people) == len(one.bodies) == 2 for one in done)
    assert [{p.id for p in one.frame.people} for one in done] == [{0, 1}] * FRAMES
    assert all((one.pixels is None) == (smoothing != "off") for one in done)
    assert len(repairs) == (smoothing != "off")
    assert all(one.frame.camera is None for one in done)


@pytest.mark.slow
def test_sides_are_put_right_before_people_are_lifted(weights: Path) -> None:
    swapped = range(40, 52)
    right, _, _ = run(weights, "offline")
    mended, (report,), _ = run(weights, "offline", swapped=swapped)
    left, _, _ = run(weights, "off", swapped=swapped)
    for one, two in zip(right, mended, strict=True):
        for a, b in zip(one.keypoints.people, two.keypoints.people, strict=True):
            np.testing.assert_allclose(a.keypoints_px, b.keypoints_px, atol=1e-9)
        for a, b in zip(one.frame.people, two.frame.people, strict=True):
            np.testing.assert_allclose(a.joints_cam_m, b.joints_cam_m, atol=1e-3)
    wrong = np.abs(left[45].frame.people[0].joints_cam_m - right[45].frame.people[0].joints_cam_m).max()
    assert wrong > 0.1, "without time the sides stay exchanged"
    assert "swap" in report.in_words() or "exchanged" in report.in_words()


@pytest.mark.slow
def test_jitter_goes(weights: Path) -> None:
    def shake(done: list[Predicted]) -> float:
        joints = np.array([one.frame.people[0].joints_cam_m for one in done])
        return float(np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).mean())

    off, online, offline = (
        shake(run(weights, smoothing, noise_px=2.0)[0]) for smoothing in ("off", "online", "offline")
    )
    assert offline < off / 3
    assert online < off / 2


def test_a_live_source_does_not_wait(weights: Path) -> None:
    source, fetched = Film("live"), []
    frames = source.frames

    def watched():  # noqa: ANN202
        for frame in frames():
            fetched.append(frame.index)
            yield frame

    source.frames = watched  # pyright: ignore[reportAttributeAccessIssue]
    predicted = Predictor(Lifter(weights)).predict(source, look_for(source, detector=Seen()), CameraFinder(CAMERA))
    for number in range(10):
        assert next(predicted).frame.index == number
        assert fetched[-1] == number


def test_feet_stay_on_the_floor(weights: Path) -> None:
    done, _, _ = run(weights, "offline", on_floor=True, noise_px=0.5)
    heights = []
    for one in done:
        assert one.world is not None
        for found in one.frame.people:
            ankles = found.joints_cam_m[[H36M.index("RAnkle"), H36M.index("LAnkle")]]
            heights.append((ankles @ one.world.floor_cam[:3] + one.world.floor_cam[3]).min())
    assert np.median(heights) == pytest.approx(ANKLE_HEIGHT_M, abs=0.03)


def test_photos_are_left_alone(weights: Path) -> None:
    done, repairs, _ = run(weights, None, kind="photos", noise_px=2.0)
    plain, _, _ = run(weights, "off", kind="photos", noise_px=2.0)
    assert repairs == []
    for one, two in zip(done, plain, strict=True):
        for a, b in zip(one.frame.people, two.frame.people, strict=True):
            np.testing.assert_array_equal(a.joints_cam_m, b.joints_cam_m)


def test_the_function_smooths_like_the_command(weights: Path, tmp_path: Path) -> None:
    from staged_films import write_film

    film = write_film(tmp_path / "walk.mp4", frames=20)
    off, smooth = (
        sightline.predict(film, CAMERA, detector=Staged(), weights=weights, smoothing=smoothing)
        for smoothing in ("off", None)
    )
    a, b = off.stacked().joints_cam_m, smooth.stacked().joints_cam_m
    assert a.shape == b.shape
    assert np.abs(a - b).max() > 1e-4


@pytest.mark.slow
def test_online_files_use_only_what_has_been(weights: Path) -> None:
    """A film cut short gives the same as the first part of the whole."""
    done, _, _ = run(weights, "off", noise_px=2.0)
    keypoints = Keypoints(skeleton=H36M, image_size=SIZE, fps=25.0, frames=tuple(one.keypoints for one in done))
    short = replace(keypoints, frames=keypoints.frames[:40])
    whole, part = (lift_film(Lifter(weights), each, CAMERA, smoothing="online").poses for each in (keypoints, short))
    for one, two in zip(whole.frames, part.frames, strict=False):
        for a, b in zip(one.people, two.people, strict=True):
            np.testing.assert_allclose(a.joints_cam_m, b.joints_cam_m, atol=1e-9)


def test_times_are_those_of_the_film_where_frames_are_left_out(weights: Path) -> None:
    """Sides exchanged for half a second are found in every third frame too, in time as it was."""
    swapped, predictor = range(36, 51), Predictor(Lifter(weights))
    repairs: list[RepairReport] = []
    source = Film(every=3)
    look = look_for(source, detector=Seen(swapped=swapped))
    done = list(predictor.predict(source, look, CameraFinder(CAMERA), repairs=repairs))
    assert [one.frame.index for one in done] == list(range(0, FRAMES, 3))
    for one in done:
        assert one.frame.time_s == pytest.approx(one.frame.index / 25.0)
        true = Seen()._people(one.frame.index)
        for found, each in zip(one.keypoints.people, true, strict=True):
            np.testing.assert_allclose(found.keypoints_px, each.keypoints_px, atol=1e-9)
    assert repairs[0].people[0].whole == 5


@pytest.mark.parametrize(("smoothing", "kind"), [("offline", "film"), (None, "live")])
def test_what_was_seen_before_somebody_stops_is_kept(weights: Path, smoothing: Smoothing | None, kind: str) -> None:
    source, repairs, done = Film(kind, stops_at=40), [], []
    predictor = Predictor(Lifter(weights), smoothing=smoothing, batch_size=1)
    predicted = predictor.predict(source, look_for(source, detector=Seen()), CameraFinder(CAMERA), repairs=repairs)
    with pytest.raises(KeyboardInterrupt):
        done.extend(one.frame.index for one in predicted)
    assert done == list(range(40))
    assert len(repairs) == 1


def test_a_way_to_use_time_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="smoothing: expected one of offline, online, off, got 'Offline'"):
        check_smoothing("Offline")


def test_photos_cannot_be_smoothed(weights: Path) -> None:
    done, _, _ = run(weights, "off")
    photos = Keypoints(skeleton=H36M, image_size=SIZE, frames=tuple(one.keypoints for one in done))
    with pytest.raises(UsageError, match="'offline' needs keypoints with a frame rate"):
        lift_film(Lifter(weights), photos, CAMERA, smoothing="offline")


def test_whoever_cannot_be_lifted_after_the_repair_stays_as_detected(weights: Path) -> None:
    """These weights need every joint, of which the repair has left too few to tell the others."""
    one = run(weights, "off")[0][0]
    first, second = one.keypoints.people
    points = np.array(first.keypoints_px)
    points[4:] = np.nan
    sure = np.isfinite(points[:, 0]) * first.confidence
    moved = replace(second, keypoints_px=second.keypoints_px + 20.0)
    mended = replace(one.keypoints, people=(replace(first, keypoints_px=points, confidence=sure), moved))
    again = Steady(FromKeypoints(Lifter(weights)), H36M, 25.0, "offline")._anew(one, mended)
    assert again.frame.people[0] is one.frame.people[0]
    assert again.keypoints.people[0] is first
    assert again.keypoints.people[1] is moved
    assert np.abs(again.frame.people[1].joints_cam_m - one.frame.people[1].joints_cam_m).max() > 0.02
    assert len(again.bodies) == 2


def test_nobody_is_lost_of_a_film_because_the_repair_left_a_joint_out(weights: Path) -> None:
    """A wrist that leaps at the end, where nothing replaces it, is taken out; the prior fills it in."""
    done, _, _ = run(weights, "off")
    wrist = H36M.index("LWrist")

    def broken(person: PersonKeypoints, index: int) -> PersonKeypoints:
        points = np.array(person.keypoints_px)
        points[wrist] += [400.0, -900.0] if index == len(done) - 1 else [0.0, 0.0]
        return replace(person, keypoints_px=points)

    frames = []
    for number, one in enumerate(done):
        first, *others = one.keypoints.people
        frames.append(replace(one.keypoints, people=(broken(first, number), *others)))
    keypoints = Keypoints(skeleton=H36M, image_size=SIZE, frames=tuple(frames), fps=25.0)
    mended, _ = repaired(keypoints)
    gone = [frame.index for frame in mended.frames if np.isnan(frame.people[0].keypoints_px[wrist]).any()]
    result = lift_film(Lifter(weights), keypoints, CAMERA, smoothing="offline")
    assert gone
    assert result.skipped == ()
    assert [len(frame.people) for frame in result.poses.frames] == [2] * len(frames)
    for frame in result.poses.frames:
        if frame.index in gone:
            assert np.isnan(frame.people[0].keypoints_px[wrist]).all()
