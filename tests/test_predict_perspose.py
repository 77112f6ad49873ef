"""PersPose in `predict`: boxes and pictures become poses; joints, sizes and ids end where they belong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

import sightline
import sightline.prediction.perspose as estimator_file
from sightline.camera import Camera
from sightline.cli.app import main
from sightline.detect.protocol import Detection
from sightline.errors import InputError, UsageError
from sightline.formats.weights import write_weights
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.perspose.geometry import uvd_from_xyz
from sightline.methods.perspose.model import PAPER_LANDMARKS, Answers, PersPose, PersPoseConfig
from sightline.methods.perspose.samples import Person as Subject
from sightline.methods.perspose.samples import Samples, samples
from sightline.nn.backbones import as_input
from sightline.perspective import poses_in_virtual
from sightline.prediction import predict_source
from sightline.prediction.cameras import CameraFinder
from sightline.prediction.looks import look_for
from sightline.prediction.methods import estimator_of
from sightline.prediction.perspose import PersPoseEstimator, body_box
from sightline.prediction.run import Predictor
from sightline.skeleton import get_skeleton
from sightline.sources import open_sources
from sightline.stature import stature_from_joints
from sightline.training.config import config_to_json
from staged_films import CAMERA, SIZE, Staged, placed_camera, walkers, write_film, write_photo

H36M = get_skeleton("h36m17")
NAMES = tuple(ALL_LANDMARKS[row] for row in rows_of(H36M))
CONFIG = PersPoseConfig(
    backbone="mobilenetv4_conv_small_050",
    size_px=64,
    landmarks=NAMES,
    shape_numbers=0,
    channels=8,
    vector_size=16,
)


def written(folder: Path, config: PersPoseConfig = CONFIG, name: str = "small", method: str = "perspose") -> Path:
    torch.manual_seed(2)
    write_weights(
        PersPose(config).state_dict(), folder, name=name, method=method, licence="Apache-2.0", trained_on="nothing",
        recipe={}, model=config_to_json(config), expected={}, command="a test", date="2026-11-22", version="0",
    )  # fmt: skip
    return folder / f"{name}.json"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "walk.mp4", frames=12)


class AllSeeing(nn.Module):
    """Answers with the truth about whom it is asked, in the order of a script."""

    config = CONFIG

    def __init__(self, script: list[np.ndarray], patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.script, self.sizes = list(script), []
        self.batch: Samples | None = None

        def watched(people: list[tuple[np.ndarray, Subject]], network: PersPoseConfig) -> Samples:
            self.batch = samples(people, network)
            return self.batch

        patch.setattr(estimator_file, "samples", watched)

    def forward(self, image: Tensor, intrinsics: Tensor) -> Answers:
        assert self.batch is not None
        count = len(image)
        self.sizes.append(count)
        points = torch.from_numpy(np.stack([self.script.pop(0) for _ in range(count)]))
        uv, depth, scale = uvd_from_xyz(poses_in_virtual(self.batch.views, points.float()), intrinsics)
        empty = torch.zeros(count, 0, 3)
        return Answers(uv, depth, scale, torch.zeros(count, 0), empty, torch.zeros(count, 0, 3, 3))


def all_seeing(
    weights: Path, script: list[np.ndarray], patch: pytest.MonkeyPatch, batch_size: int = 5
) -> PersPoseEstimator:
    estimator = PersPoseEstimator(weights, flip=False, batch_size=batch_size)
    estimator.network = AllSeeing(script, patch)
    return estimator


def poses_of(film: Path, estimator: PersPoseEstimator, **options: object) -> sightline.Poses:
    (source,) = open_sources([film])
    camera = options.pop("camera", CAMERA)
    look = look_for(source, detector=options.pop("detector", Staged()))
    predictor = Predictor(estimator, batch_size=4, smoothing="off", **options)
    return predict_source(source, look, predictor, CameraFinder(camera)).poses


def test_what_the_network_says_is_where_people_are(weights: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that knows the truth gives the truth: through crops, batches, frames without anybody, and ids."""
    script = [joints for number in range(12) for joints in walkers(number)]
    estimator = all_seeing(weights, script, monkeypatch)
    poses = poses_of(film, estimator)
    assert [len(frame.people) for frame in poses.frames] == [2] * 9 + [0] + [2] * 2
    assert poses.model.method == "perspose"
    assert poses.model.weights == "small"
    assert (poses.scale.source, poses.scale.body, poses.scale.note) == ("calibrated_focal", "learned", None)
    for number, frame in enumerate(poses.frames):
        near_first = sorted(frame.people, key=lambda one: float(one.joints_cam_m[0, 2]))
        assert [one.id for one in near_first] == ([] if number % 10 == 9 else [0, 1])
        for one, truth in zip(near_first, walkers(number), strict=True):
            assert_allclose(one.joints_cam_m, truth, atol=2e-4)
            px = CAMERA.project(torch.from_numpy(truth))[0].numpy()
            assert 0.1 < np.abs(one.keypoints_px - px).mean() < 1.0  # what the detector saw, which trembles
            assert (one.confidence > 0).all()
            assert one.plausibility is not None
            assert one.sigma_m is None
    seen = estimator.network
    assert isinstance(seen, AllSeeing)
    assert seen.sizes == [5, 3, 5, 3, 5, 1]


def test_a_given_height_scales_about_the_camera(weights: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [joints for number in range(12) for joints in walkers(number)]
    poses = poses_of(film, all_seeing(weights, script, monkeypatch), height_m=1.5)
    assert poses.scale.body == "given_height"
    for number, frame in enumerate(poses.frames):
        for one, truth in zip(
            sorted(frame.people, key=lambda one: float(one.joints_cam_m[0, 2])), walkers(number), strict=True
        ):
            ratio = 1.5 / float(stature_from_joints(torch.from_numpy(truth)))
            assert abs(ratio - 1) > 0.02
            assert_allclose(one.joints_cam_m, ratio * truth, atol=4e-4)


def test_feet_on_the_floor_fix_the_size(weights: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of people whom the network takes for 1.2 times as large and far, the floor tells what they are."""
    script = [1.2 * joints for number in range(12) for joints in walkers(number)]
    estimator = all_seeing(weights, script, monkeypatch)
    poses = poses_of(film, estimator, camera=placed_camera(), on_floor=True)
    assert poses.scale.body == "on_floor"
    errors = [
        np.abs(one.joints_cam_m / truth - 1)[:, 2].mean()
        for number, frame in enumerate(poses.frames)
        for one, truth in zip(
            sorted(frame.people, key=lambda one: float(one.joints_cam_m[0, 2])), walkers(number), strict=True
        )
    ]
    assert np.median(errors) < 0.03


def test_films_are_smoothed_and_no_keypoint_repaired(
    weights: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    truth = [walkers(number) for number in range(12)]
    script = [joints + 0.03 * rng.standard_normal((17, 3)) for its in truth for joints in its]
    (source,) = open_sources([film])
    repairs: list = []
    predictor = Predictor(all_seeing(weights, script, monkeypatch))
    look = look_for(source, detector=Staged())
    done = list(predictor.predict(source, look, CameraFinder(CAMERA), repairs=repairs))
    assert [report.people for report in repairs] == [()]
    assert [one.frame.index for one in done] == list(range(12))
    error, before = [], []
    for number, one in enumerate(done):
        near = sorted(one.frame.people, key=lambda person: float(person.joints_cam_m[0, 2]))
        for place, person in enumerate(near):
            error.append(np.abs(person.joints_cam_m - truth[number][place]).mean())
            before.append(np.abs(script[2 * (number - number // 10) + place] - truth[number][place]).mean())
    assert np.mean(error) < 0.8 * np.mean(before)


def test_it_asks_the_network_about_both_sides(weights: Path, tmp_path: Path) -> None:
    """From one photo and box, in Python: what the shipped form of a network says of the crop and its mirror image."""
    photo = write_photo(tmp_path / "one.png", 3)
    box = (100.0, 40.0, 260.0, 400.0)
    poses = sightline.predict(photo, CAMERA, detector="boxes", boxes=[box], method="perspose", weights=weights)
    (person,) = poses.frames[0].people
    estimator = PersPoseEstimator(weights)
    (source,) = open_sources([photo])
    (frame,) = source.frames()
    batch = samples([(frame.pixels, Subject(box_px=np.array(box), camera=CAMERA))], CONFIG)
    image = as_input(batch.crops)
    from sightline.methods.perspose.flip import flip_averaged

    with torch.no_grad():
        both = flip_averaged(estimator.network, image, batch.views.intrinsics)
        once = estimator.network(image, batch.views.intrinsics)
    assert_allclose(person.joints_cam_m, both.joints_in_camera(batch.views)[0].numpy(), atol=1e-4)
    assert np.abs(person.joints_cam_m - once.joints_in_camera(batch.views)[0].numpy()).max() > 1e-3
    assert person.box_px is not None
    assert_allclose(person.box_px, box)


def test_who_cannot_be_placed_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unseen = Detection(keypoints_px=np.full((17, 2), np.nan), confidence=np.zeros(17), score=0.5)
    there = Staged().detect([np.zeros((SIZE[1], SIZE[0], 3), np.uint8)])[0]

    class Some:
        name, skeleton, single_person = "some", H36M, False

        def detect(self, pictures: list[np.ndarray]) -> list[tuple[Detection, ...]]:
            return [(unseen, there[0], there[1]) for _ in pictures]

        def close(self) -> None:
            pass

    photo = write_photo(tmp_path / "one.png")
    behind = walkers(0)[1] * np.array([1, 1, -1])
    estimator = all_seeing(weights, [walkers(0)[0], behind], monkeypatch)
    (source,) = open_sources([photo])
    result = predict_source(source, look_for(source, detector=Some()), Predictor(estimator), CameraFinder(CAMERA))
    assert len(result.poses.frames[0].people) == 1
    (said,) = [line for line in result.complaints if "could not" in line]
    assert "2 of 3" in said
    assert estimator_file.NO_BOX in said


@pytest.mark.parametrize(("box", "joints", "expected"), [
    ((10, 20, 50, 120), None, (10, 20, 50, 120)),  # the detector's own
    ((10, 20, 50, 120), [(15, 25), (40, 110)], (10, 20, 50, 120)),
    (None, [(15, 25), (40, 125)], (5, 15, 50, 135)),
    ((15, 25, 40, 125), [(15, 25), (40, 125)], (5, 15, 50, 135)),  # joints' extent as a box
    ((10, 20, 10, 120), [(15, 25), (40, 125)], (5, 15, 50, 135)),  # no area
    ((np.nan, 20, 50, 120), None, None),
    (None, [(15, 25)], None),
    ((50, 20, 10, 120), [(15, 25), (40, 125)], (5, 15, 50, 135)),  # inverted
    (None, None, None),
])  # fmt: skip
def test_boxes_are_of_whole_people(box: tuple | None, joints: list | None, expected: tuple | None) -> None:
    points = np.full((17, 2), np.nan)
    for row, place in enumerate(joints or ()):
        points[row] = place
    found = body_box(
        Detection(
            keypoints_px=points,
            confidence=np.isfinite(points).all(-1).astype(float),
            score=1.0,
            box_px=None if box is None else np.array(box, float),
        ),
        H36M,
    )
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert_allclose(found, expected)


def test_joints_of_which_nobody_is_sure_do_not_stretch_the_box() -> None:
    points, confidence = np.full((17, 2), np.nan), np.zeros(17)
    points[:3], confidence[:3] = [(15, 25), (40, 125), (40, 947)], [0.9, 0.9, 0.02]
    seen = Detection(keypoints_px=points, confidence=confidence, score=0.9)
    found = body_box(seen, H36M)
    assert found is not None
    assert_allclose(found, (5, 15, 50, 135))
    guessed = Detection(keypoints_px=points, confidence=0.1 * confidence, score=0.1)
    whole = body_box(guessed, H36M)
    assert whole is not None
    assert whole[3] > 947
    trusting = body_box(seen, H36M, sure=0.01)
    assert trusting is not None
    assert trusting[3] > 947


def test_a_followed_person_has_a_box_that_does_not_jump(weights: Path, film: Path) -> None:
    """Only the first frame's box was drawn; in others it is that of the joints, grown, also where some are unsure."""

    class Unsure(Staged):
        def _people(self, picture: np.ndarray) -> tuple[Detection, ...]:
            self.asked = getattr(self, "asked", 0) + 1
            sure = np.full(17, 0.9)
            sure[H36M.index("RWrist")] = 0.31 if self.asked % 2 else 0.29
            return tuple(replace(one, confidence=sure) for one in super()._people(picture))

    (source,) = open_sources([film])
    (first, _) = Staged().detect([next(iter(source.frames())).pixels])[0]
    corners = np.concatenate([np.nanmin(first.keypoints_px, 0) - 9, np.nanmax(first.keypoints_px, 0) + 9])
    look = look_for(source, detector=Unsure(), box=[",".join(f"{x:.1f}" for x in corners)])
    frames = list(source.frames())[:6]
    boxes = [body_box(people[0], H36M) for people in look.people(frames)]
    heights = [box[3] - box[1] for box in boxes if box is not None]
    assert len(heights) == 6
    extent = np.ptp(first.keypoints_px[:, 1])
    assert all(1.15 * extent < height < 1.3 * extent for height in heights[1:])


# ------------------------------------------------------------------------------------------------------------- command


def command(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(line.split())
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command_on_a_film_with_boxes(
    weights: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{n + 1},{k + 1},{20 + 150 * k + n},30,120,300,1,1,1" for n in range(12) for k in range(2) if n != 5]
    (tmp_path / "boxes.txt").write_text("\n".join(lines))
    call = f"predict {film} --fov-x 60 --method perspose --weights {weights} --detector boxes"
    code, out, err = command(
        f"{call} --boxes {tmp_path}/boxes.txt -o {tmp_path}/p.json --picture {tmp_path}/p.png --json", capsys
    )
    assert code == 0, err
    told = json.loads(out)["sources"][0]
    assert told["detector"] == "boxes"
    assert told["frames"] == 12
    poses = json.loads((tmp_path / "p.json").read_text())
    assert poses["model"]["method"] == "perspose"
    assert [len(frame["people"]) for frame in poses["frames"]] == [2] * 5 + [0] + [2] * 6
    assert {one["id"] for frame in poses["frames"] for one in frame["people"]} == {1, 2}
    assert (tmp_path / "p.png").stat().st_size > 1000


@pytest.mark.parametrize(("options", "sentence"), [
    ("--method perspose --weights {weights} --detector boxes", "expected --box or --boxes beside it"),
    ("--method perspose --weights {weights} --detector boxes --box 1,2,30,40", "list all frames of a film"),
    ("--method abspose --detector boxes --boxes {boxes}", "expected one that finds joints"),
    ("--method perspose --weights {weights} --any-orientation", "any-orientation: expected method"),
    ("--method perspose --weights {weights} --root perspective", "root: 'perspose' knows only 'learned'"),
    ("--method perspose --weights {weights} --pitch-deg 5", "--pitch-deg: expected --method deeplift"),
    ("--method perspose --weights abspose-street", "expected weights of method 'perspose', got 'abspose"),
    ("--method perspose --weights {weights} --detector boxes --boxes {boxes} --max-people 1", "expected no boxes"),
    ("--method perspose --weights {weights} --detector boxes --max-people 1", "expected a detector beside it"),
    ("--method abspose --weights {weights}", "expected weights of method 'abspose', got 'perspose'"),
])  # fmt: skip
def test_complaints(
    weights: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, sentence: str
) -> None:
    (tmp_path / "boxes.txt").write_text("1,1,20,30,120,300,1,1,1\n2,1,20,30,120,300,1,1,1")
    call = options.format(weights=weights, boxes=tmp_path / "boxes.txt")
    code, out, err = command(f"predict {film} --fov-x 60 {call} -o {tmp_path}/p.json", capsys)
    assert code != 0
    assert out == ""
    assert len(err.strip().splitlines()) == 1, err
    assert sentence in err
    assert not (tmp_path / "p.json").exists()


def test_a_network_without_the_joints_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, PersPoseConfig(**{**vars(CONFIG), "landmarks": NAMES[:9]}))
    with pytest.raises(InputError, match="expected a network that knows NeckNose, .* h36m17, or all joints of smpl24"):
        PersPoseEstimator(path)


def test_the_papers_joints_are_told_as_smpls(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Networks of the paper's 25 joints give poses of `smpl24`, sized by given heights, smoothed and written."""
    config = replace(CONFIG, landmarks=PAPER_LANDMARKS)
    path = written(tmp_path, config, name="paper")
    beside = np.random.default_rng(4).uniform(-0.2, 0.2, (len(PAPER_LANDMARKS), 3))

    def all_25(joints: np.ndarray) -> np.ndarray:
        known = [NAMES.index(name) if name in NAMES else None for name in PAPER_LANDMARKS]
        return np.stack(
            [joints[0] + its if row is None else joints[row] for row, its in zip(known, beside, strict=True)]
        )

    script = [all_25(joints) for number in range(12) for joints in walkers(number)]
    for height in (None, 1.5):
        estimator = all_seeing(path, script, monkeypatch)
        monkeypatch.setattr(estimator.network, "config", config)
        poses = poses_of(film, estimator, height_m=height)
        assert poses.skeleton == get_skeleton("smpl24")
        hips, shoulders = ([poses.skeleton.index(side + name) for side in "LR"] for name in ("Hip", "Shoulder"))
        for number, frame in enumerate(poses.frames):
            people = sorted(frame.people, key=lambda one: float(one.joints_cam_m[1, 2]))
            for one, truth in zip(people, walkers(number), strict=True):
                whole = truth.copy()
                parts = {"Hip": ("LHip", "RHip"), "Thorax": ("LShoulder", "RShoulder")}
                for name, pair in parts.items():
                    whole[NAMES.index(name)] = truth[[NAMES.index(its) for its in pair]].mean(0)
                whole[NAMES.index("Spine")] = (whole[NAMES.index("Hip")] + whole[NAMES.index("Thorax")]) / 2
                ratio = 1.0 if height is None else height / float(stature_from_joints(torch.from_numpy(whole)))
                assert_allclose(one.joints_cam_m[1:], ratio * all_25(truth)[2:], atol=4e-4)
                assert np.isfinite(one.keypoints_px[[*hips, *shoulders]]).all()
    boxes = tmp_path / "boxes.json"
    frames = [{"index": number, "boxes": [{"id": 3, "box_px": [200, 60, 380, 440]}]} for number in range(12)]
    boxes.write_text(json.dumps({"frames": frames}))
    call = f"predict {film} --fov-x 60 --method perspose --weights {path} --detector boxes --boxes {boxes}"
    code, _, err = command(
        f"{call} -o {tmp_path}/poses.json --page {tmp_path}/page.html --picture {tmp_path}/poses.png", capsys
    )
    assert code == 0, err
    assert json.loads((tmp_path / "poses.json").read_text())["skeleton"] == "smpl24"


def test_methods_by_name(weights: Path) -> None:
    assert estimator_of("perspose", weights).model.method == "perspose"
    assert estimator_of("deeplift").model.method == "deeplift"
    assert estimator_of().lifter is not None
    with pytest.raises(UsageError, match="method: expected one of abspose, deeplift, perspose, lcrnet, got 'x'"):
        estimator_of.__wrapped__("x")  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="batch_size"):
        PersPoseEstimator(weights, batch_size=0)


def test_another_resolution_of_the_camera_is_scaled(weights: Path, tmp_path: Path) -> None:
    photo, box = write_photo(tmp_path / "one.png", 3), [(100.0, 40.0, 260.0, 400.0)]
    options = {"detector": "boxes", "boxes": box, "method": "perspose", "weights": weights}
    double: Camera = CAMERA.resized((2 * SIZE[0], 2 * SIZE[1]))
    one, other = (sightline.predict(photo, camera, **options) for camera in (CAMERA, double))
    assert_allclose(one.frames[0].people[0].joints_cam_m, other.frames[0].people[0].joints_cam_m, atol=1e-5)
