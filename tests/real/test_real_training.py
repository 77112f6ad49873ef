"""People in real pictures: batches of them, and the command that learns from them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from real_sets import COUNT, changed, without_knees, write_real_set
from sightline.camera import Camera
from sightline.cli import main
from sightline.errors import InputError
from sightline.formats.camera import write_camera
from sightline.formats.poses import read_poses, write_poses
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.model import SIGHTLINE_LANDMARKS
from sightline.methods.perspose.samples import Samples
from sightline.methods.perspose.weights import load_perspose
from sightline.recipes import catalogue, perspose
from sightline.skeleton import get_skeleton
from sightline.training.pictures import MixedPeople, PictureBatches, SetPeople
from sightline.training.real_people import KeypointsPeople, PosesPeople
from sightline.training.run import train_perspose
from tiny_perspose import NETWORK
from tiny_perspose import RUN as SIX

RUN = replace(SIX, steps=4, warmup_steps=1, checkpoint_every=2, average_decay=0.0)
H36M = list(rows_of(get_skeleton("h36m17")))


# ------------------------------------------------------------------------------------------------------------ batches


def equal(one: Samples, two: Samples) -> bool:
    parts = [(one.crops, two.crops), *zip(one.views, two.views, strict=True), *zip(one.truth, two.truth, strict=True)]
    return all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) for a, b in parts)


def three_parts(made: Path) -> MixedPeople:
    """3D, 2D in pictures of many sizes, and rendered people."""
    real = made / "real"
    solid = PosesPeople(real / "poses.json", real / "photos").coarsely()
    parts = solid, KeypointsPeople(real / "coco.json", real / "mixed"), SetPeople(made / "others", body=False)
    return MixedPeople(parts=parts, shares=(1.0, 1.0, 2.0))


def test_batches_of_unlike_pictures_are_functions_of_seed_and_step(made: Path) -> None:
    make = lambda seed: PictureBatches(  # noqa: E731
        three_parts(made), NETWORK, AugmentConfig(), batch_size=24, seed=seed
    )
    batch = make(3).batch(7)
    assert equal(batch, make(3).batch(7))
    assert not equal(batch, make(4).batch(7))
    solid, flat = batch.known & batch.truth.coarse, ~batch.known
    assert solid.any()
    assert flat.any()
    assert (batch.known & ~batch.truth.coarse).any()
    assert batch.truth.depth_m[flat].isnan().all()
    rows = [SIGHTLINE_LANDMARKS.index(ALL_LANDMARKS[row]) for row in H36M]
    assert batch.truth.depth_m[solid][:, rows].isfinite().all()
    assert batch.truth.depth_m[solid].isnan().any()


def test_a_mixed_run_that_was_stopped_ends_as_one_that_was_not(made: Path, tmp_path: Path) -> None:
    def stop(step: int, steps: int) -> None:
        if step == 3:
            raise RuntimeError("stopped")

    whole = train_perspose(RUN, three_parts(made))
    with pytest.raises(RuntimeError, match="stopped"):
        train_perspose(RUN, three_parts(made), folder=tmp_path, progress=stop)
    rest = train_perspose(RUN, three_parts(made), folder=tmp_path)
    assert rest.resumed_from == 2
    for one, two in zip(whole.network.parameters(), rest.network.parameters(), strict=True):
        assert one.isfinite().all()
        assert torch.equal(one, two)
    other = replace(three_parts(made), shares=(1.0, 1.0, 1.0))
    with pytest.raises(InputError, match="training people"):
        train_perspose(RUN, other, folder=tmp_path)


# ------------------------------------------------------------------------------------------------------------ command


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside which the files lie, and a recipe that learns briefly."""
    smoke = perspose.perspose_smoke()
    small = replace(
        smoke, name="perspose-synth", steps=2, batch_size=4, validate_every=2,
        model=replace(smoke.model, shape_numbers=0),
    )  # fmt: skip
    monkeypatch.setitem(catalogue.RECIPES, "perspose-synth", lambda: small)
    for name in ("set", "others", "real", "tests"):
        (tmp_path / name).symlink_to(made / name)
    write_camera(read_poses(made / "real" / "poses.json").camera, tmp_path / "camera.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sightline(line: str) -> int:
    return main(line.split())


REAL = "--real real/poses.json --real-pictures real/photos"
TESTS = "--held-out tests/poses.json --held-out-pictures tests/photos"


@pytest.mark.parametrize(
    ("options", "words", "landmarks"),
    [
        (f"{REAL} {TESTS}", ["real people in pictures of poses.json"], 17),
        (
            "--real real/film.json real/coco.json --real-pictures real/film.mp4 real/mixed --shares 3 1 "
            "--held-out tests/film.json --held-out-pictures tests/film.mp4",
            ["75% real people in pictures of film.json", "25% real people in pictures of coco.json"],
            17,
        ),
        (f"{REAL} --pictures set --held-out others", ["50% real people", "50% rendered people"], 64),
        (f"--pictures set {TESTS}", ["rendered people"], 64),
    ],
)
def test_runs_on_real_people_end_in_weights(
    desk: Path, capsys: pytest.CaptureFixture[str], options: str, words: list[str], landmarks: int
) -> None:
    call = f"train perspose-synth {options} -o run"
    assert sightline(f"{call} --json") == 0
    printed = capsys.readouterr()
    few = "scores of 6 people say little\n"
    assert printed.err == ("" if "--held-out others" in options else f"sightline: {options.split()[-3]}: {few}")
    scores = json.loads(printed.out)["expected"]["held-out people in pictures, 17 joints"]
    assert all(value > 0 for value in scores.values())
    network, passport = load_perspose(Path("run") / "perspose-synth.json")
    assert len(network.config.landmarks) == landmarks
    assert all(value.isfinite().all() for value in network.state_dict().values())
    for word in words:
        assert word in passport.trained_on
    assert passport.recipe["loss"]["coarse_px"] == (5.0 * network.config.size_px / 256 if "--real " in options else 5.0)


def test_a_finished_run_is_its_own_and_can_be_started_from(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same call ends at once, one with other shares is refused, and fine-tuning on real people alone keeps all."""
    call = f"train perspose-synth {REAL} --pictures set {TESTS} -o run"
    assert sightline(call) == 0
    assert "2 steps (taken up at 0)" in capsys.readouterr().out
    assert sightline(call) == 0
    assert "2 steps (taken up at 2)" in capsys.readouterr().out
    assert sightline(f"{call} --shares 1 2") == 1
    assert "training people" in capsys.readouterr().err
    assert sightline(f"train perspose-synth {REAL} {TESTS} -o tuned --start-from run/perspose-synth.json") == 0
    networks = [load_perspose(Path(folder) / "perspose-synth.json")[0] for folder in ("run", "tuned")]
    assert networks[0].config == networks[1].config
    assert not all(torch.equal(*pair) for pair in zip(*(one.parameters() for one in networks), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (f"--real real/poses.json {TESTS}", "--real-pictures: expected a folder or film for each of 1 files of --real"),
        (REAL, "--held-out: expected other people to be scored on"),
        (f"{REAL} --held-out tests/poses.json", "--held-out-pictures: expected the folder or film of --held-out"),
        (f"{REAL} --held-out others --held-out-pictures tests/photos", "expected none beside a rendered set"),
        (f"{REAL} --held-out nowhere", "nowhere: expected a rendered set or a file of poses"),
        (f"{REAL} {TESTS} --shares 1 2", "--shares: expected a positive number for each"),
        (f"{REAL} {TESTS} --shares 0", "--shares: expected a positive number for each"),
        (f"{REAL} {TESTS.replace('tests', 'real')}", "--held-out: 6 of the pictures of real/poses.json are also in"),
        (
            f"--real real/keypoints.json --real-pictures real/photos {TESTS}",
            "--real: expected at least one file of poses among them",
        ),
        (
            f"{REAL} --held-out tests/keypoints.json --held-out-pictures tests/photos",
            "tests/keypoints.json: expected a file of poses to be scored on",
        ),
        (TESTS, "--pictures: expected a rendered set to learn from, or --real"),
        (
            "--pictures set --held-out others --shares 1 2",
            "--shares: expected a positive number for each file of --real",
        ),
        (f"{REAL} --real-pictures real/nowhere {TESTS}", "real/nowhere: expected the folder or film"),
        (f"{REAL} --real-camera none none {TESTS}", "--real-camera: expected a camera's file, or none, for each of 1"),
        (f"{REAL} --real-camera camera.json {TESTS}", "--real-camera: expected none for real/poses.json, since poses"),
        (f"{REAL} --real-camera real/poses.json {TESTS}", "real/poses.json"),
        ("--pictures set --held-out others --real-camera camera.json", "--real-camera, --held-out-pictures: expected"),
    ],
)
def test_complaints(desk: Path, capsys: pytest.CaptureFixture[str], options: str, message: str) -> None:
    assert sightline(f"train perspose-synth {options}") in (1, 2)
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not Path("runs").exists()


def test_recipes_of_motion_capture_refuse_pictures(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline(f"train abspose-smoke {REAL}") == 2
    assert "learns from motion capture" in capsys.readouterr().err


def test_held_out_people_must_have_the_joints(desk: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_real_set(desk / "smpl", SetPeople(made / "others", body=False), "smpl24")
    options = f"{REAL} --held-out smpl/poses.json --held-out-pictures smpl/photos"
    assert sightline(f"train perspose-synth {options}") == 1
    assert "without Spine, NeckNose, MidHead" in capsys.readouterr().err
    own = f"--real smpl/poses.json --real-pictures smpl/photos --held-out {desk}/other/poses.json"
    write_real_set(desk / "other", SetPeople(made / "set", body=False), "smpl24")
    assert sightline(f"train perspose-synth {own} --held-out-pictures other/photos -o run --json") == 0
    printed = capsys.readouterr()
    assert "14 joints" in printed.out
    assert "will not know" not in printed.err  # `predict` answers in smpl24
    for place, people in (("coco", "others"), ("cocos", "set")):
        write_real_set(desk / place, SetPeople(made / people, body=False), "coco17")
    own = "--real coco/poses.json --real-pictures coco/photos --held-out cocos/poses.json"
    assert sightline(f"train perspose-synth {own} --held-out-pictures cocos/photos -o run2 --json") == 0
    printed = capsys.readouterr()
    assert "the network will not know Spine, NeckNose, MidHead, of which no 3D label speaks" in printed.err
    assert "all joints of h36m17 or of smpl24" in printed.err


def test_people_who_are_left_out_are_told(desk: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = np.array(read_poses(made / "real" / "poses.json").frames[0].people[0].joints_cam_m)
    few[5:] = np.nan
    changed(made, desk, joints_cam_m=few)
    assert sightline(f"train perspose-synth --real changed.json --real-pictures real/photos {TESTS} -o run") == 0
    assert "changed.json: 1 of its 6 people are left out" in capsys.readouterr().err


def test_scores_say_of_how_many_people_they_are(desk: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lack a knee, and one is not in the picture."""
    poses = read_poses(without_knees(made, desk / "part.json", (1, 4), "tests"))
    last = poses.frames[5]
    aside = replace(last.people[0], joints_cam_m=np.array(last.people[0].joints_cam_m) + (50, 0, 0))
    write_poses(replace(poses, frames=(*poses.frames[:5], replace(last, people=(aside,)))), desk / "part.npz")
    held_out = "--held-out part.npz --held-out-pictures tests/photos"
    assert sightline(f"train perspose-synth {REAL} {held_out} -o run --json") == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "sightline: part.npz: 1 of its 6 people are left out: too few known joints of arms and legs, outside of their "
        "pictures, too small, or far larger than the picture",
        "sightline: part.npz: 3 of its 5 people have all joints that the network is scored on; the others do not count",
        "sightline: part.npz: scores of 3 people say little",
    ]
    scores = json.loads(printed.out)["expected"]["held-out people in pictures, 17 joints, 3 of 6 people"]
    assert all(value > 0 for value in scores.values())
    without_knees(made, desk / "part.json", tuple(range(COUNT)), "tests")
    nobody = "--held-out part.json --held-out-pictures tests/photos"
    assert sightline(f"train perspose-synth {REAL} {nobody} -o other") == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_cameras_of_2d_labels_can_be_told(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = "--real real/poses.json real/keypoints.json --real-pictures real/photos real/photos"
    assert sightline(f"train perspose-synth {both} --real-camera none camera.json {TESTS} -o run") == 0
    _, passport = load_perspose(Path("run") / "perspose-synth.json")
    assert passport.trained_on.count(" by camera ") == 1
    assert sightline(f"train perspose-synth {both} {TESTS} -o run") == 1
    assert "training people" in capsys.readouterr().err
    write_camera(Camera.create((48, 48), 50.0), desk / "camera.json")
    assert sightline(f"train perspose-synth {both} --real-camera none camera.json {TESTS} -o other") == 1
    assert "the camera's are 48 × 48 px" in capsys.readouterr().err


def test_the_file_that_lacks_hips_is_named(desk: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses = read_poses(made / "real" / "poses.json")
    hips = [get_skeleton("h36m17").index(name) for name in ("Hip", "LHip", "RHip")]
    frames = []
    for frame in poses.frames:
        joints = np.array(frame.people[0].joints_cam_m)
        joints[hips] = np.nan
        frames.append(replace(frame, people=(replace(frame.people[0], joints_cam_m=joints),)))
    write_poses(replace(poses, frames=tuple(frames)), desk / "hipless.json")
    both = "--real real/keypoints.json hipless.json --real-pictures real/photos real/photos"
    assert sightline(f"train perspose-synth {both} {TESTS}") == 1
    assert "hipless.json: expected labels of both hips" in capsys.readouterr().err
