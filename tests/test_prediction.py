"""From pictures to poses in Python: every frame, every person, the right camera, ids that last."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import sightline
from media_files import numbered
from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.camera import write_camera
from sightline.formats.keypoints import write_keypoints
from sightline.pipeline import Lifter, Smoothing
from sightline.prediction import predict_source
from sightline.prediction.cameras import ASSUMED_35MM, CameraFinder
from sightline.prediction.looks import look_for
from sightline.prediction.outputs import Outputs, Paths
from sightline.prediction.run import Predictor
from sightline.prediction.sizes import ANKLE_HEIGHT_M
from sightline.prediction.tally import Thinned
from sightline.sources import Source, SourceFrame, open_sources
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints
from staged_films import CAMERA, PITCH, SIZE, Staged, placed_camera, walkers, write_film, write_photo
from staged_people import H36M, standing_cam


@pytest.fixture(scope="module")
def weights(tiny_lifters: Path) -> Path:
    return tiny_lifters / "stature.json"


def test_a_film_gives_every_frame_and_ids_that_last(weights: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "walk.mp4", frames=20)
    poses = sightline.predict(film, CAMERA, detector=Staged(shuffled=True), weights=weights)
    assert [frame.index for frame in poses.frames] == list(range(20))
    assert poses.fps == pytest.approx(25.0)
    np.testing.assert_allclose([frame.time_s for frame in poses.frames], np.arange(20) / 25.0, atol=1e-6)
    assert [len(frame.people) for frame in poses.frames] == [len(walkers(number)) for number in range(20)]
    for frame in poses.frames:
        by_id = {person.id: person for person in frame.people}
        if by_id:
            assert set(by_id) == {0, 1}
            assert by_id[0].keypoints_px[0, 0] < by_id[1].keypoints_px[0, 0]  # they have not met yet
    assert poses.scale.source == "calibrated_focal"
    assert poses.scale.body == "learned"


def test_it_equals_lifting_the_same_keypoints(weights: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "walk.mp4", frames=12)
    detector = Staged()
    poses = sightline.predict(film, CAMERA, detector=detector, weights=weights, batch_size=5)
    assert detector.batches == [5, 5, 2]
    assert detector.closed == 0  # it is the caller's
    frames = []
    for number in range(12):
        found = detector._people(numbered(number, *SIZE))
        people = (
            PersonKeypoints(id=i, keypoints_px=d.keypoints_px, confidence=d.confidence) for i, d in enumerate(found)
        )
        frames.append(KeypointFrame(index=number, people=tuple(people)))
    keypoints = Keypoints(skeleton=H36M, image_size=SIZE, fps=25.0, frames=tuple(frames))
    lifted = sightline.lift(keypoints, CAMERA, weights=weights)
    for ours, theirs in zip(poses.frames, lifted.frames, strict=True):
        for a, b in zip(ours.people, theirs.people, strict=True):
            np.testing.assert_allclose(a.joints_cam_m, b.joints_cam_m, atol=1e-5)
            assert a.id == b.id


def test_the_size_of_batches_changes_nothing(weights: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "walk.mp4", frames=11)
    few, many = (
        sightline.predict(film, CAMERA, detector=Staged(), weights=weights, batch_size=size).stacked()
        for size in (1, 64)
    )
    np.testing.assert_allclose(few.joints_cam_m, many.joints_cam_m, atol=1e-5)
    np.testing.assert_array_equal(few.person_id, many.person_id)


def test_photos_keep_their_names_their_cameras_and_have_no_ids(weights: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "a2.png", 1)
    write_photo(tmp_path / "a10.png", 2)
    write_photo(tmp_path / "b.png", 3, size=(320, 240))
    poses = sightline.predict(tmp_path, CAMERA, detector=Staged(), weights=weights)
    assert [frame.file for frame in poses.frames] == ["a2.png", "a10.png", "b.png"]
    assert all(person.id is None for _, person in poses.people())
    assert [frame.camera is None for frame in poses.frames] == [True, True, False]
    assert poses.camera_of(poses.frames[2]).image_size.tolist() == [320, 240]
    near = [frame.people[0].joints_cam_m for frame in poses.frames]
    np.testing.assert_allclose(near[0], near[2], atol=0.15)  # the same scene at half the size


def test_arrays_are_pictures_too(weights: Path) -> None:
    picture = numbered(3, *SIZE)
    poses = sightline.predict(picture, CAMERA, detector=Staged(), weights=weights)
    assert len(poses.frames) == 1
    assert len(poses.frames[0].people) == 2
    both = sightline.predict([picture, numbered(9, *SIZE)], CAMERA, detector=Staged(), weights=weights)
    assert [len(frame.people) for frame in both.frames] == [2, 0]


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 RGB \(height, width, 3\), got uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 3)), "float64"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        ([], "expected a picture, a path, or a list"),
        (["a.png", np.zeros((4, 4, 3), np.uint8)], "only one kind"),
    ],
)
def test_what_is_no_picture_is_refused(picture: object, message: str, weights: Path) -> None:
    with pytest.raises(ValueError, match=message):
        sightline.predict(picture, CAMERA, detector=Staged(), weights=weights)


def test_two_films_are_two_calls(weights: Path, tmp_path: Path) -> None:
    films = [write_film(tmp_path / name, frames=2) for name in ("a.mp4", "b.mp4")]
    with pytest.raises(ValueError, match="call predict once for each"):
        sightline.predict(films, CAMERA, detector=Staged(), weights=weights)


def test_an_unknown_camera_is_a_loud_guess(weights: Path) -> None:
    with pytest.warns(UserWarning, match="28 mm lens .* is assumed"):
        poses = sightline.predict(numbered(0, *SIZE), detector=Staged(), weights=weights)
    assert poses.scale.source == "assumed_focal"
    assert float(poses.camera.focal) == pytest.approx(ASSUMED_35MM * np.hypot(*SIZE) / np.hypot(36, 24))


def test_people_who_cannot_be_lifted_are_named_and_the_others_done(weights: Path) -> None:
    class Scant(Staged):
        def _people(self, picture: np.ndarray):  # noqa: ANN202
            first, second = super()._people(picture)
            points = first.keypoints_px.copy()
            points[4:] = np.nan
            confidence = np.where(np.isnan(points[:, 0]), 0.0, first.confidence)
            return replace(first, keypoints_px=points, confidence=confidence), second

    with pytest.warns(UserWarning, match="1 of 2 people could not be lifted: 1 × missing LHip, LKnee"):
        poses = sightline.predict(numbered(0, *SIZE), CAMERA, detector=Scant(), weights=weights)
    assert len(poses.frames[0].people) == 1


def test_feet_on_the_floor_fix_the_size(weights: Path, tmp_path: Path) -> None:
    film, camera = write_film(tmp_path / "walk.mp4", frames=8), placed_camera()
    poses = sightline.predict(film, camera, detector=Staged(), weights=weights, on_floor=True)
    assert poses.scale.body == "on_floor"
    ankles = [H36M.index("RAnkle"), H36M.index("LAnkle")]
    heights = []
    for _, person in poses.people():
        world = camera.camera_to_world(torch.from_numpy(person.joints_cam_m.copy())).numpy()
        heights.append(world[ankles, 2].min())
    assert abs(float(np.median(heights)) - ANKLE_HEIGHT_M) < 0.05
    guessed = sightline.predict(film, camera, detector=Staged(), weights=weights)
    truth = standing_cam(-0.8, 4.0, pitch=PITCH)[0]
    off = [np.linalg.norm(each.frames[0].people[0].joints_cam_m[0] - truth) for each in (poses, guessed)]
    assert off[0] < 0.6  # a lifter of a few kilobytes


def test_the_floor_needs_a_place_in_the_world(weights: Path) -> None:
    with pytest.raises(UsageError, match="place in the world"):
        sightline.predict(numbered(0, *SIZE), CAMERA, detector=Staged(), weights=weights, on_floor=True)
    with pytest.raises(UsageError, match="got both"):
        sightline.predict(numbered(0, *SIZE), CAMERA, detector=Staged(), weights=weights, on_floor=True, height_m=1.8)


def test_a_keypoint_file_is_a_detector(weights: Path, tmp_path: Path) -> None:
    film, detector = write_film(tmp_path / "walk.mp4", frames=6), Staged()
    frames = []
    for number in range(6):
        found = detector._people(numbered(number, *SIZE))
        people = (
            PersonKeypoints(id=7 + i, keypoints_px=d.keypoints_px, confidence=d.confidence) for i, d in enumerate(found)
        )
        frames.append(KeypointFrame(index=number, people=tuple(people)))
    write_keypoints(Keypoints(skeleton=H36M, image_size=SIZE, frames=tuple(frames)), tmp_path / "seen.json")
    poses = sightline.predict(film, CAMERA, detector=str(tmp_path / "seen.json"), weights=weights)
    assert {person.id for _, person in poses.people()} == {7, 8}
    seen = sightline.predict(film, CAMERA, detector=detector, weights=weights)
    np.testing.assert_allclose(poses.stacked().joints_cam_m, seen.stacked().joints_cam_m, atol=1e-4)


def test_a_film_fails_where_its_detector_does_and_photos_go_on(weights: Path, tmp_path: Path) -> None:
    class Moody(Staged):
        def _people(self, picture: np.ndarray):  # noqa: ANN202
            if picture.shape[0] == 240:
                raise RuntimeError("no mood")
            return super()._people(picture)

    write_photo(tmp_path / "a.png")
    write_photo(tmp_path / "b.png", size=(320, 240))
    with pytest.warns(UserWarning, match=r"b.png: detector staged failed on b.png: RuntimeError: no mood"):
        poses = sightline.predict(tmp_path, CAMERA, detector=Moody(), weights=weights)
    assert [frame.file for frame in poses.frames] == ["a.png"]
    film = write_film(tmp_path / "walk.mp4", frames=2, size=(320, 240))
    with pytest.raises(InputError, match="detector staged failed on frame 0"):
        sightline.predict(film, CAMERA, detector=Moody(), weights=weights)


# ---- cameras


def frame_of(size: tuple[int, int], turned: int = 0, mirrored: bool = False) -> SourceFrame:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    return SourceFrame(index=0, pixels=pixels, time_s=None, file=None, turned=turned, mirrored=mirrored, lens=None)


def test_a_camera_is_scaled_and_turned_like_the_picture() -> None:
    camera = Camera.create((1920, 1080), (1500.0, 1490.0), (950.0, 545.0))
    finder = CameraFinder(camera, name="lab.json")
    assert finder.of(frame_of((960, 540))).camera.focal_px.tolist() == [750.0, 745.0]
    upright = finder.of(frame_of((1080, 1920), turned=1)).camera
    points = torch.tensor([[0.3, -0.2, 4.0]], dtype=torch.float64)
    stored, _ = camera.project(points)
    turned_points = torch.tensor([[0.2, 0.3, 4.0]], dtype=torch.float64)  # the frame turns along: (x, y) → (−y, x)
    shown, _ = upright.project(turned_points)
    expected = torch.stack([1080.0 - stored[:, 1], stored[:, 0]], -1)
    torch.testing.assert_close(shown, expected)
    with pytest.raises(InputError, match=r"lab.json: its pictures are 1920 × 1080 px, .* than 1080 × 1920"):
        finder.of(frame_of((1080, 1920)))
    with pytest.raises(InputError, match="of the same mode"):
        finder.of(frame_of((1000, 1000), turned=1))


def test_given_focals_and_fields_of_view() -> None:
    size = (1600, 1200)
    assert float(CameraFinder(focal_px=900.0).of(frame_of(size)).camera.focal) == 900.0
    wide = CameraFinder(fov_x_rad=np.pi / 2).of(frame_of(size))
    assert float(wide.camera.focal_px[0]) == pytest.approx(800.0)
    equivalent = CameraFinder(focal_35mm=26.0).of(frame_of(size)).camera
    assert float(equivalent.focal) == pytest.approx(26.0 * 2000.0 / 43.2666, rel=1e-5)
    assert wide.source == "given_focal"
    assert wide.camera.center_px.tolist() == [800.0, 600.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"focal_px": 900.0, "fov_x_rad": 1.0}, "--focal-px and --fov-x: expected one way"),
        ({"focal_px": -3.0}, "focal_px: expected a focal length above 0"),
        ({"focal_35mm": float("nan")}, "focal_35mm: expected"),
        ({"fov_x_rad": np.pi}, "fov_x: expected an angle between 0° and 180°"),
    ],
)
def test_what_no_lens_has_is_a_wrong_call(given: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CameraFinder(**given)


def test_an_absurd_focal_length_for_the_picture_is_refused() -> None:
    with pytest.raises(InputError, match="a focal length of 3 px is impossible for pictures of 1600 × 1200"):
        CameraFinder(focal_px=3.0).of(frame_of((1600, 1200)))


def test_cameras_are_made_once_per_kind_of_frame() -> None:
    finder = CameraFinder(focal_35mm=28.0)
    assert finder.of(frame_of((64, 48))) is finder.of(frame_of((64, 48)))


# ---- memory


class Watched(Source):
    """A film of any length that watches how many of its pictures are still held."""

    kind, fps, frame_count = "film", 25.0, None

    def __init__(self, count: int) -> None:
        super().__init__("watched")
        self.count, self.most = count, 0
        self.refs: list[weakref.ref] = []

    @property
    def problems(self) -> list[str]:
        return []

    def frames(self) -> Iterator[SourceFrame]:
        for number in range(self.count):
            frame = replace(frame_of((64, 48)), index=number, time_s=number / 25.0)
            self.most = max(self.most, sum(1 for _ in held(self.refs)))
            self.refs.append(weakref.ref(frame.pixels))
            yield frame

    def close(self) -> None:
        pass


def held(refs: list[weakref.ref]) -> Iterator[object]:
    return (value for value in (ref() for ref in refs) if value is not None)


@pytest.mark.parametrize(
    ("smoothing", "frames", "at_most"),
    [("off", 60, 20), ("online", 60, 20), pytest.param("offline", 400, 300, marks=pytest.mark.slow)],
)
def test_neither_pictures_nor_poses_pile_up(
    weights: Path, tmp_path: Path, smoothing: Smoothing, frames: int, at_most: int
) -> None:
    source, predictor = Watched(frames), Predictor(Lifter(weights), batch_size=4, smoothing=smoothing)
    look, poses, most = look_for(source, detector=Staged(lambda _: walkers(0))), [], 0
    with Outputs(Paths(poses=tmp_path / "poses.json"), predictor.estimator, H36M, 25.0) as outputs:
        for one in predictor.predict(source, look, CameraFinder(focal_px=60.0)):
            outputs.write(one)
            poses += [weakref.ref(person) for person in one.frame.people]
            most = max(most, len(list(held(poses))))
    assert outputs.tally.people == 2 * frames
    assert source.most <= 8, "pictures of two batches at most"
    assert most <= at_most, "people of this batch, those whom the tracker knows, and six seconds of future"


def test_a_long_record_keeps_its_median() -> None:
    kept = Thinned(1)
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 1.0, 50_000)
    for value in values:
        kept.add(np.array([value]))
    assert kept.count == 50_000
    assert len(kept._values) <= 512
    assert kept.median[0] == pytest.approx(np.median(values), abs=0.1)


def test_predict_source_tells_what_went_wrong(weights: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    (source,) = open_sources([tmp_path])
    detector = Staged()
    result = predict_source(
        source, look_for(source, detector=detector), Predictor(Lifter(weights)), CameraFinder(CAMERA)
    )
    assert len(result.poses.frames) == 1
    assert len(result.complaints) == 1
    assert "bad.jpg" in result.complaints[0]


def test_a_film_that_is_none_is_one_sentence(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"nothing at all")
    with warnings.catch_warnings(), pytest.raises(InputError, match="clip.mp4"):
        sightline.predict(tmp_path / "clip.mp4", CAMERA, detector=Staged(), weights=weights)


def test_a_camera_file_is_read(weights: Path, tmp_path: Path) -> None:
    write_camera(CAMERA, tmp_path / "camera.json")
    poses = sightline.predict(numbered(0, *SIZE), tmp_path / "camera.json", detector=Staged(), weights=weights)
    assert poses.camera.focal_px.tolist() == [600.0, 600.0]
