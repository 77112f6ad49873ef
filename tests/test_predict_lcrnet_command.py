"""LCR-Net++ in `predict` with the rest of the house: ids, files, refusals, cameras that people tell, bodies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import sightline
from media_files import numbered
from sightline.camera import Camera
from sightline.cli.app import main
from sightline.detect.protocol import Detection
from sightline.errors import UsageError
from sightline.formats.keypoints import read_keypoints
from sightline.formats.poses import read_poses
from sightline.formats.world import read_world
from sightline.methods.lcrnet.decode import Proposals
from sightline.methods.lcrnet.people import Decoding
from sightline.methods.lcrnet.views import torso_rows
from sightline.prediction import predict_source
from sightline.prediction.arrays import Arrays
from sightline.prediction.cameras import CameraFinder
from sightline.prediction.estimator import Estimator, FindsPeople
from sightline.prediction.lcrnet import LcrNetEstimator, PosedDetection
from sightline.prediction.looks import look_for, look_with
from sightline.prediction.methods import estimator_of
from sightline.prediction.run import Predictor
from sightline.sources import open_sources
from staged_films import CAMERA, PITCH, SIZE, Staged, placed_camera, write_film, write_photo
from staged_people import standing_cam
from test_steady import Film
from tiny_lcrnet import HEAD, LCR13, by_depth, in_lcr13, knowing, people_of, predicted, proposals, written


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "walk.mp4", frames=12)


# ------------------------------------------------------------------------------------------------------ whom it finds


def test_ids_last_over_a_film(weights: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People walk past each other and come in any order; one frame has nobody in it."""

    def told(number: int) -> Proposals:
        found = proposals(people_of(number))
        return found._replace(scores=found.scores[::-1].copy()) if number % 2 else found

    seen = knowing(monkeypatch, told)
    poses = sightline.predict(film, CAMERA, method="lcrnet", weights=weights)
    assert seen == list(range(12))
    assert poses.skeleton.name == "lcr13"
    assert (poses.model.method, poses.model.weights) == ("lcrnet", "tiny")
    assert poses.model.sigma_in_words is not None  # pictures of it do not speak of 68 %
    assert [len(frame.people) for frame in poses.frames] == [2] * 9 + [0] + [2] * 2
    for number, frame in enumerate(poses.frames):
        people = by_depth(frame)
        assert [one.id for one in people] == poses_ids(poses)[: len(people)]
        for one, truth in zip(people, people_of(number), strict=True):
            assert_allclose(one.joints_cam_m, truth, atol=0.02)  # smoothed


def poses_ids(poses: sightline.Poses) -> list[int | None]:
    """The ids of the first frame, the nearest person's first."""
    return [one.id for one in by_depth(poses.frames[0])]


def crowd(number: int) -> Proposals:
    """Five people side by side; the surest stand in the middle, and two score more than 1."""
    del number
    people = [people_of(0)[0] + [0.9 * place, 0.0, 2.0] for place in range(-2, 3)]
    return proposals(people, scores=[0.2, 1.1, 1.6, 0.7, 0.45])


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        ("", [1.0, 1.0, 0.7]),
        ("--min-score 0.3", [1.0, 1.0, 0.7, 0.45]),
        ("--min-score 0.1", [1.0, 1.0, 0.7, 0.45, 0.2]),
        ("--min-score 0.5", [1.0, 1.0, 0.7]),
        ("--max-people 1", [1.0]),
        ("--max-people 3", [1.0, 1.0, 0.7]),
        ("--min-score 0.5 --max-people 9", [1.0, 1.0, 0.7]),
    ],
)
def test_the_surest_people_are_kept(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, scores: list[float]
) -> None:
    knowing(monkeypatch, crowd)
    photo = write_photo(tmp_path / "a.png")
    call = f"predict {photo} --focal-px 600 --method lcrnet --weights {weights} -o {tmp_path}/p.json {options}"
    assert main(call.split()) == 0
    (frame,) = read_poses(tmp_path / "p.json").frames
    assert_allclose([one.score for one in frame.people], scores, atol=1e-6)
    assert abs(frame.people[0].joints_cam_m[HEAD, 0] - (people_of(0)[0][HEAD, 0])) < 1e-3  # 1.6, not 1.1


def test_the_network_may_look_at_larger_pictures(weights: Path) -> None:
    """Twice the side, four times the proposals, and never fewer than its own."""
    own, large, small = (LcrNetEstimator(weights, look_px=look_px).network.config for look_px in (None, 192, 48))
    assert (own.long_px, own.short_px, own.proposals) == (96, 64, 10)
    assert (large.long_px, large.short_px, large.proposals) == (192, 128, 40)
    assert (small.long_px, small.short_px, small.proposals) == (48, 32, 10)
    for least in (32, 40):
        least_look = LcrNetEstimator(weights, look_px=least).network.config
        assert (least_look.long_px, least_look.short_px) == (least, 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [("--method lcrnet --look-px 5", "--look-px: expected 32 to 4096 px, got 5"), ("--look-px 640", "method 'lcrnet'")],
)
def test_sides_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, message: str
) -> None:
    photo = write_photo(tmp_path / "a.png")
    assert main(f"predict {photo} --focal-px 600 {options} -o {tmp_path}/p.json".split()) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_nobody_is_an_empty_frame(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    knowing(monkeypatch, lambda number: proposals(people_of(0) if number == 1 else []))
    for number in range(3):
        write_photo(tmp_path / f"{number}.png", number)
    call = f"predict {tmp_path} --fov-x 60 --method lcrnet --weights {weights} -o {tmp_path}/p.json --json"
    assert main(call.split()) == 0
    (told,) = json.loads(capsys.readouterr().out)["sources"]
    assert (told["frames"], told["frames_without_people"], told["detector"]) == (3, 2, "lcrnet")
    assert [len(frame.people) for frame in read_poses(tmp_path / "p.json").frames] == [0, 2, 0]


def test_tiny_pictures(weights: Path) -> None:
    """By the network itself, which has learnt nothing: it may say what it likes, in order."""
    nobody = LcrNetEstimator(weights, decoding=Decoding(least_score=1e9))
    everybody = LcrNetEstimator(weights, decoding=Decoding(least_score=0.0))
    for size in ((20, 20), (300, 7), (7, 7)):
        assert nobody.detector().detect([numbered(0, *size)]) == [()]
        for one in everybody.detector().detect([numbered(0, *size)])[0]:
            assert np.isfinite(one.keypoints_px).all()
            assert one.box_px is not None
            assert (one.box_px >= 0).all()
            assert (one.box_px <= np.tile(size, 2)).all()
    assert len(everybody.detector().detect([numbered(0, 20, 20)])[0]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("joint_set", ["lcr13", "h36m17"])
def test_a_network_looks_for_itself(tmp_path: Path, joint_set: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights to files, nothing staged: whoever is found is where its joints are."""
    weights = written(tmp_path / "weights", joint_set)
    photo = write_photo(tmp_path / "a.png", 77)
    call = f"predict {photo} --focal-px 600 --method lcrnet --weights {weights} -o {tmp_path}/p.npz --min-score 0.02"
    assert main([*call.split(), "--page", f"{tmp_path}/p.html", "--picture", f"{tmp_path}/p.png"]) in (0, 1)
    said = capsys.readouterr()
    assert "Error" not in said.err
    poses = read_poses(tmp_path / "p.npz")
    assert poses.skeleton.name == joint_set
    assert len(poses.frames[0].people) > 0
    assert (tmp_path / "p.png").stat().st_size > 1000
    for one in poses.frames[0].people:
        xy, _ = poses.camera.normalized(torch.from_numpy(one.keypoints_px.copy()))
        rows = torso_rows(poses.skeleton)
        joints = one.joints_cam_m
        assert np.abs(joints[rows, :2] / joints[rows, 2:] - xy.numpy()[rows]).mean() < 0.5
        assert (one.plausibility is not None) == (joint_set == "h36m17")


# ------------------------------------------------------------------------------------------------------------- command


def test_the_command_writes_everything(
    weights: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    knowing(monkeypatch, lambda number: proposals(people_of(number % 9)))
    monkeypatch.chdir(tmp_path)
    placed = placed_camera()
    sightline.write_camera(placed, "camera.json")
    call = (
        f"predict {film} --camera camera.json --method lcrnet --weights {weights} -o p.json --picture p.png "
        "--page p.html --movie p.mp4 --keypoints k.json --world w.npz --json"
    )
    assert main(call.split()) == 0, capsys.readouterr().err
    (told,) = json.loads(capsys.readouterr().out)["sources"]
    assert (told["detector"], told["frames"], told["skipped"]) == ("lcrnet", 12, 0)
    assert sorted(one["distance_m"] for one in told["people"])[0] == pytest.approx(4.0, abs=0.3)
    poses, keypoints, world = read_poses("p.json"), read_keypoints("k.json"), read_world("w.npz")
    assert poses.skeleton.name == keypoints.skeleton.name == world.skeleton.name == "lcr13"
    assert poses.world is not None
    for number in (0, 5, 11):
        for one, truth in zip(by_depth(poses.frames[number]), people_of(number % 9), strict=True):
            assert_allclose(one.joints_cam_m, truth, atol=0.03)
    ankles = [LCR13.index("RAnkle"), LCR13.index("LAnkle")]
    assert_allclose(world.joints_world_m[:, :, ankles, 2], 0.08, atol=0.05)  # on the floor, z up
    for name in ("p.png", "p.html", "p.mp4"):
        assert Path(name).stat().st_size > 1000


def test_photos_are_told_by_the_distance_of_the_root(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    knowing(monkeypatch, lambda number: proposals(people_of(number)))
    photo = write_photo(tmp_path / "a.png", 2)
    assert main(f"predict {photo} --focal-px 600 --method lcrnet --weights {weights} -o {tmp_path}/p.json".split()) == 0
    away = [np.linalg.norm(joints[HEAD]) for joints in people_of(2)]
    assert f"a.png: 2 people, {away[0]:.2f}, {away[1]:.2f} m away" in capsys.readouterr().out


REFUSED = [
    ("--detector keypointrcnn", "--detector: method 'lcrnet' finds people by itself"),
    ("--detector boxes --boxes {boxes}", "--detector: method 'lcrnet' finds people by itself"),
    ("--detector {keypoints}", "--detector: method 'lcrnet' finds people by itself"),
    ("--box 1,2,30,40", "--box, --boxes: method 'lcrnet' finds people by itself"),
    ("--boxes {boxes}", "--box, --boxes: method 'lcrnet' finds people by itself"),
    ("--any-orientation", "--any-orientation: expected method 'deeplift' beside it, got 'lcrnet'"),
    ("--root perspective", "root: 'lcrnet' has a way of its own to place people"),
    ("--pitch-deg 5", "--pitch-deg: expected --method deeplift beside it; 'lcrnet' does not ask for it"),
    ("--tilts-deg 0 10", "--tilts-deg: expected --method deeplift beside it; 'lcrnet' does not ask for it"),
    ("--weights perspose-synth", "expected weights of method 'lcrnet', got 'perspose'"),
    ("--weights nowhere", "weights: expected one of"),
    ("--max-people 0", "--max-people: expected at least 1, got 0"),
    ("--min-score 1.5", "--min-score: expected a number from 0 to 1, got 1.5"),
    ("--on-floor", "--on-floor: expected a camera whose place in the world is known"),
    ("--on-floor --height-m 1.7", "--on-floor: expected a camera whose place in the world is known"),
    ("--device nowhere", "device"),
    ("--method abspose", "expected weights of method 'abspose', got 'lcrnet'"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_complaints(
    weights: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, sentence: str
) -> None:
    (tmp_path / "boxes.txt").write_text("1,1,20,30,120,300,1,1,1\n2,1,20,30,120,300,1,1,1")
    (tmp_path / "keypoints.json").write_text("{}")
    given = options.format(boxes=tmp_path / "boxes.txt", keypoints=tmp_path / "keypoints.json")
    call = f"predict {film} --fov-x 60 --method lcrnet --weights {weights} {given} -o {tmp_path}/p.json"
    assert main(call.split()) in (1, 2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1, printed.err
    assert sentence in printed.err
    assert not (tmp_path / "p.json").exists()


def test_refusals_in_python(weights: Path) -> None:
    picture = numbered(0, *SIZE)
    with pytest.raises(
        UsageError, match="finds people by itself in the whole picture; leave the detector out, got 'st"
    ):
        predicted(picture, weights, detector=Staged())
    with pytest.raises(UsageError, match="leave the boxes out"):
        predicted(picture, weights, boxes=[(1, 2, 30, 40)])
    with pytest.raises(UsageError, match="tilt: 'lcrnet' does not ask"):
        estimator_of("lcrnet", weights, tilt=sightline.gravity.Tilt())


def test_people_whom_others_found_are_refused(weights: Path, tmp_path: Path) -> None:
    """A `Look` of one's own may be given to a `Predictor`; what it finds has no pose."""
    (source,) = open_sources([write_photo(tmp_path / "a.png")])
    predictor = Predictor(LcrNetEstimator(weights))
    with pytest.raises(UsageError, match="its own network found"):
        predict_source(source, look_for(source, detector=Staged()), predictor, CameraFinder(CAMERA))


def test_it_is_an_estimator_and_its_own_detector(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = estimator_of("lcrnet", weights)
    assert isinstance(estimator, Estimator)
    assert isinstance(estimator, FindsPeople)
    assert not isinstance(estimator_of("abspose"), FindsPeople)
    assert estimator.lifter is None
    assert estimator.stand_in("h36m17") is None
    knowing(monkeypatch, crowd)
    (people,) = estimator.detector(0.5).detect([numbered(0, *SIZE)])
    assert [type(one) for one in people] == [PosedDetection] * 3
    assert all(isinstance(one, Detection) for one in people)
    look = look_with(estimator, Arrays([numbered(0, *SIZE)]))
    assert (look.name, look.skeleton, look.finds_joints) == ("lcrnet", LCR13, True)
    look.close()


# ------------------------------------------------------------------------------------------ with the rest of the house


def strollers(number: int) -> list[np.ndarray]:
    """Five people who walk about on the floor, four to seven metres away, none before another."""
    way = 0.02 * number
    places = [(-1.2 + way, 4.0), (1.2 - way, 5.0), (0.1, 6.0 + way), (-0.9, 7.0 - way), (-2.9 + way, 6.8)]
    return [in_lcr13(standing_cam(x, z, pitch=PITCH)) for x, z in places]


def test_people_tell_the_camera(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--camera auto`: what the network finds is asked first, kept, and placed by the camera that it tells."""
    film = write_film(tmp_path / "walk.mp4", 20)
    seen = knowing(monkeypatch, lambda number: proposals(strollers(number), scores=[0.9] * 5))
    with pytest.warns(UserWarning, match="people upright in .* poses: focal length"):
        poses = predicted(film, weights, "auto")  # type: ignore[arg-type]
    assert seen == list(range(20))
    assert poses.scale.source == "estimated_focal"
    assert abs(float(poses.camera.focal) / 600 - 1) < 0.3
    assert len(poses.frames[0].people) == 5


def test_live_sources_give_every_frame_at_once(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = knowing(monkeypatch, lambda _: proposals(people_of(0)))
    estimator, source = LcrNetEstimator(weights), Film("live")
    look = look_with(estimator, source)
    camera = CameraFinder(Camera.create((64, 48), 600.0))
    for number, one in enumerate(Predictor(estimator).predict(source, look, camera)):
        assert one.frame.index == number
        assert len(seen) == number + 1
        assert [person.id for person in one.frame.people] == [0, 1]
        if number == 4:
            break


@pytest.mark.slow
def test_bodies_are_fitted_to_its_joints(
    weights: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("anny", reason="bodies need the package anny")
    pytest.importorskip("warp", reason="drawing bodies needs the package warp-lang")
    knowing(monkeypatch, lambda number: proposals(people_of(number)))
    call = f"predict {film} --frames 3 --focal-px 600 --method lcrnet --weights {weights} -o {tmp_path}/p.json --mesh"
    assert main([*call.split(), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["sources"]
    assert len(list((tmp_path / "p-meshes").glob("*.glb"))) == 2
    assert told["meshes"]["count"] == 2
    assert told["meshes"]["residual_m"] < 0.02
