"""The commands on good input: what they write, what they print, and that one takes what another wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from bad_files import HEADER
from moving_person import person
from sightline import cli
from sightline.camera import Camera
from sightline.cli.app import COMMANDS
from sightline.cli.complaints import in_one_sentence
from sightline.cli.evaluate import Evaluate
from sightline.data.motion_library import read_library
from sightline.data.procedural import procedural_poses
from sightline.errors import InputError
from sightline.formats.bvh import write_bvh
from sightline.formats.camera import read_camera, write_camera
from sightline.formats.keypoints import write_keypoints
from sightline.formats.poses import read_poses
from sightline.formats.world import read_world
from sightline.methods.abspose.noise import read_error_model
from sightline.metrics.matching import MAX_ROOT_DISTANCE_M
from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

SIZE = (1280, 960)
H36M = get_skeleton("h36m17")
FRAMES = 80


def looking_from(x: float, y: float) -> Camera:
    """A camera at (x, y), 1.4 m high, that looks at the middle of the scene; world z up."""
    forward = np.array([-x, -y, 0.0]) / np.hypot(x, y)
    rotation = np.stack([np.cross(forward, [0, 0, 1.0]), [0, 0, -1.0], forward])
    return Camera.create(SIZE, 900.0, rotation=rotation, translation_m=-rotation @ np.array([x, y, 1.4]))


CAMERAS = {"front": looking_from(0.0, -5.0), "side": looking_from(4.5, -2.0)}


def world_joints() -> np.ndarray:
    """Two people in every frame (m, world, z up)."""
    joints = procedural_poses(2 * FRAMES, torch.Generator().manual_seed(1)).double().numpy().reshape(FRAMES, 2, 17, 3)
    return joints + np.array([[-0.6, 0.0, 0.0], [0.6, 0.4, 0.0]])[:, None]


def keypoints_in(camera: Camera, noise_px: float = 0.0) -> Keypoints:
    """Photos: no pose follows from the one before."""
    joints_cam = camera.world_to_camera(torch.from_numpy(world_joints()).flatten(0, 2))
    points = camera.project(joints_cam)[0].numpy().reshape(FRAMES, 2, 17, 2)
    points = points + noise_px * np.random.default_rng(0).normal(size=points.shape)
    frames = tuple(
        KeypointFrame(
            index=index,
            people=tuple(
                PersonKeypoints(id=number, keypoints_px=row, confidence=np.ones(17)) for number, row in enumerate(rows)
            ),
        )
        for index, rows in enumerate(points)
    )
    return Keypoints(skeleton=H36M, image_size=SIZE, frames=frames)


@pytest.fixture
def folder(tmp_path: Path, tiny_lifters: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: keypoints and cameras of two views."""
    monkeypatch.chdir(tmp_path)
    for name, camera in CAMERAS.items():
        write_camera(camera, tmp_path / f"{name}.camera.json")
        write_keypoints(keypoints_in(camera), tmp_path / f"{name}.json")
    monkeypatch.setattr("sightline.formats.weights.shipped_weights", lambda: tiny_lifters)
    return tmp_path


def sightline(call: str) -> int:
    return cli.main(call.split())


def said(capsys: pytest.CaptureFixture[str], errors: str = "") -> str:
    printed = capsys.readouterr()
    assert printed.err == errors
    return printed.out


# ---- lift and evaluate ---------------------------------------------------------------------------------------------


def test_lift_writes_poses_and_says_where_people_stand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline("lift front.json --camera front.camera.json --weights metre -o poses.json") == 0
    lines = said(capsys).splitlines()
    assert lines[0] == f"{2 * FRAMES} poses in {FRAMES} frames → poses.json"
    assert lines[1].startswith(f"  person 0: {FRAMES} poses, ")
    assert sightline("lift front.json --camera front.camera.json --weights metre -o poses.npz --json") == 0
    summary = json.loads(said(capsys))
    assert summary.keys() == {"frames", "people", "approximated", "skipped", "smoothing", "repairs"}
    assert [entry["id"] for entry in summary["people"]] == [0, 1]
    text, arrays = read_poses("poses.json"), read_poses("poses.npz")
    assert_allclose(text.stacked().joints_cam_m, arrays.stacked().joints_cam_m, atol=1e-6)
    roots = arrays.stacked().joints_cam_m[arrays.stacked().person_id == 0, 0]
    assert summary["people"][0]["root_cam_m"] == pytest.approx(np.median(roots, axis=0), abs=6e-4)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("poses")) == [
        "poses.json",
        "poses.npz",
    ]


def test_lift_draws_what_is_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = "lift front.json --camera front.camera.json --weights metre -o p.json --picture p.png --page p.html"
    assert sightline(f"{call} --picture-frame 3") == 0
    third = (folder / "p.png").read_bytes()
    assert third.startswith(b"\x89PNG")
    assert "<html" in (folder / "p.html").read_text(encoding="utf-8")[:500]
    assert sightline(f"{call} --picture-frame 4") == 0
    assert (folder / "p.png").read_bytes() != third
    said(capsys)


def test_options_reach_the_lifter(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = "lift front.json --camera front.camera.json --weights stature -o"
    assert sightline(f"{call} small.npz --height-m 1.2 --batch-size 7") == 0
    assert sightline(f"{call} tall.npz --height-m 2.4 --root learned --device cpu") == 0
    assert sightline(f"{call} solved.npz --root perspective") == 0
    said(capsys)
    small, tall, solved = (read_poses(f"{name}.npz") for name in ("small", "tall", "solved"))
    assert_allclose(tall.stacked().joints_cam_m, 2 * small.stacked().joints_cam_m, rtol=1e-4)
    assert (tall.scale.body, solved.scale.body) == ("given_height", "learned")
    assert solved.model.details["root"] == "perspective"


def test_evaluate_scores_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for weights in ("metre", "stature"):
        assert sightline(f"lift front.json --camera front.camera.json --weights {weights} -o {weights}.json") == 0
    said(capsys)
    assert sightline("evaluate metre.json --truth metre.json") == 0
    assert "total" in said(capsys)
    assert sightline("evaluate metre.json --truth stature.json --protocol limbs12 --match id --json") == 0
    result = json.loads(said(capsys))
    assert result["protocol"]["name"] == "limbs12"
    assert result["people"]["matched"] == 2 * FRAMES
    assert result["rows"][-1]["group"] == "total"
    assert Evaluate(prediction=Path(), truth=Path()).max_root_distance_m == MAX_ROOT_DISTANCE_M


def test_triangulated_views_are_the_truth(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = "triangulate front.json side.json --cameras front.camera.json side.camera.json -o world.npz"
    assert sightline(call) == 0
    assert said(capsys).splitlines()[0] == f"{FRAMES} frames, 2 people → world.npz"
    assert_allclose(read_world("world.npz").joints_world_m, world_joints(), atol=1e-3)
    assert sightline(f"{call} --json") == 0
    views = json.loads(said(capsys))["views"]
    assert [(row["view"], row["person"]) for row in views] == [
        (view, number) for view in ("front.json", "side.json") for number in (0, 1)
    ]
    assert max(row["median_px"] for row in views) < 0.1
    assert sightline("lift side.json --camera side.camera.json --weights metre -o side.npz") == 0
    assert sightline("evaluate side.npz --truth world.npz --json") == 0
    out = said(capsys)
    assert json.loads(out[out.index("{") :])["people"]["missed"] == 0


# ---- data, models, training ----------------------------------------------------------------------------------------


def test_prepare_mocap_writes_the_good_clips_and_names_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_bvh(person(frames=12), folder / "walk.bvh")
    (folder / "broken.bvh").write_text("HIERARCHY", encoding="utf-8")
    rows = [f"{name}.bvh,own,CC0,1,walk,0.01,y,train,deepmimic" for name in ("walk", "broken")]
    (folder / "manifest.csv").write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    assert sightline("prepare mocap . -o library.npz --fps 60") == 1
    printed = capsys.readouterr()
    assert printed.out == "1 clips, 23 frames (train 23, val 0, test 0) → library.npz\n"
    assert printed.err == "sightline: broken.bvh: broken.bvh: expected a line MOTION, got none in 1 lines\n"
    assert read_library("library.npz").names == ("walk",)


def test_fit_noise_finds_the_noise(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_keypoints(keypoints_in(CAMERAS["front"], noise_px=3.0), folder / "detected.json")
    assert sightline("fit noise detected.json front.json -o errors.json --kind gaussian") == 0
    lines = said(capsys).splitlines()
    assert lines[0] == "gaussian error model, in pixels of a 256-pixel crop → errors.json"
    assert len(lines) == 18
    assert sightline("fit noise detected.json front.json -o errors.json --json") == 0
    rows = json.loads(said(capsys))["joints"]
    assert [row["joint"] for row in rows] == list(H36M.joints)
    model = read_error_model("errors.json")
    assert [row["sigma_px"][0] for row in rows] == pytest.approx(model.sigma_px[:, 0], abs=0.006)
    assert 1.0 < np.median(model.sigma_px) < 3.0  # 3 px in the picture, whose people are somewhat larger than a crop


def test_training_ends_in_weights_that_lift_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline("train abspose-smoke -o run --steps 6 --json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["weights"] == "run/abspose-smoke.safetensors"
    assert told["expected"].keys() == {"height unknown", "height given"}
    assert sightline("train abspose-smoke -o run --steps 6") == 0
    assert capsys.readouterr().out.startswith("6 steps (taken up at 6) → run/abspose-smoke.safetensors\n")
    assert sightline("lift front.json --camera front.camera.json --weights run/abspose-smoke.json -o p.json") in (0, 1)
    assert sightline("train abspose-smoke -o run --steps 7") == 1
    assert "last.ckpt: was written by a run whose steps differ" in capsys.readouterr().err


def test_a_training_that_is_interrupted_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise SystemExit(1)  # as Lightning does after Ctrl-C

    monkeypatch.setattr("sightline.training.run.train_lifter", interrupted)
    assert sightline("train abspose-smoke -o run") == 1
    assert said(capsys, errors="sightline: interrupted; the same call goes on from the last checkpoint\n") == ""


def test_demo_leaves_everything_to_look_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline("demo -o results/demo --weights stature --no-movie") == 0
    out = said(capsys)
    told = ["index.html", "photo_picture.png", "photo_poses.json", "photo_truth.json", "picture.png", "poses.json"]
    untold = ["camera.json", "keypoints.json", "photo.jpg", "photo_camera.json", "photo_keypoints.json"]
    files = sorted([*told, *untold, "poses.npz"])
    assert sorted(path.name for path in (folder / "results/demo").iterdir()) == files
    assert all(name in out for name in told)
    photo = read_poses("results/demo/photo_poses.json")
    truth = {person.id: person for _, person in read_poses("results/demo/photo_truth.json").people()}
    assert len(truth) == 3
    assert {person.id for _, person in photo.people()} <= set(truth)
    camera = read_camera("results/demo/photo_camera.json")
    for someone in truth.values():  # the truth's keypoints are the projections of its joints
        seen = camera.project(torch.from_numpy(someone.joints_cam_m.copy()))[0].numpy()
        np.testing.assert_allclose(seen, someone.keypoints_px, atol=0.1)  # files round
    poses = read_poses("results/demo/poses.json")
    assert len(poses.frames) == 300
    assert {person.id for _, person in poses.people()} == {0, 1}


# ---- bench ---------------------------------------------------------------------------------------------------------


def test_bench_lists_and_prints_committed_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline("bench") == 0
    assert {line.split(":")[0] for line in said(capsys).splitlines()} >= {"abspose", "lift"}
    claims = [
        {"id": "fast", "text": "is fast", "value": 4.0, "target": 5.0, "better": "at_most", "holds": True},
        {
            "id": "good",
            "text": "is good",
            "value": 1.0,
            "target": 2.0,
            "better": "at_least",
            "holds": False,
            "reason": "x",
        },
    ]
    report = {"bench": "lift", "rows": [{"what": "path", "ms": 4.0}], "claims": claims, "meta": {}}
    (folder / "lift.json").write_text(json.dumps(report), encoding="utf-8")
    assert sightline("bench lift --from-results -o .") == 0
    assert said(capsys).splitlines() == [
        "what path  ms 4.0",
        "fast: is fast: 4 ≤ 5: holds",
        "good: is good: 1 ≥ 2: does not hold (x)",
    ]
    assert sightline("bench lift --from-results -o . --json") == 0
    assert json.loads(said(capsys)) == report


# ---- help, versions, what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline(f"{command} --help") == 0
    out = said(capsys)
    assert f"usage: sightline {command}".strip() in out
    assert "None}" not in out
    if command in {"lift", "train", "evaluate", "triangulate", "fit", "demo", "bench", "angles"}:
        assert "--json" in out


def test_the_module_runs_as_a_command() -> None:
    for arguments, code, out in ((["--version"], 0, "sightline 0.1.0\n"), (["juggle"], 2, "")):
        run = subprocess.run([sys.executable, "-m", "sightline.cli", *arguments], capture_output=True, text=True)
        assert (run.returncode, run.stdout) == (code, out)
        assert len(run.stderr.splitlines()) == (code != 0)


@dataclass(frozen=True)
class Stub:
    """A command that raises or warns."""

    does: Callable[[], int]

    def run(self) -> int:
        return self.does()


def outcome(monkeypatch: pytest.MonkeyPatch, does: Callable[[], int]) -> int:
    monkeypatch.setattr("sightline.cli.app._parsed", lambda _: Stub(does))
    return cli.main([])


def raising(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("a.json: expected\n  this"), "a.json: expected this"),
        (ValueError("image_size: odd"), "image_size: odd"),
        (PermissionError(13, "Permission denied", "a.json"), "a.json: Permission denied"),
        (KeyboardInterrupt(), "interrupted; nothing half-written was left"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failures_become_one_line(
    error: BaseException, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, raising(error)) == 1
    assert said(capsys, errors=f"sightline: {message}\n") == ""


def test_faults_of_the_program_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (TypeError("x"), KeyError("x"), RuntimeError("x"), AssertionError("x")):
        with pytest.raises(type(error)):
            outcome(monkeypatch, raising(error))


def test_a_reader_who_has_seen_enough_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.dup2", lambda *_: None)
    assert outcome(monkeypatch, raising(BrokenPipeError())) == 0
    assert capfd.readouterr().err == ""


def test_warnings_of_libraries_are_not_for_users(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> int:
        warnings.simplefilter("always")
        monkeypatch.setattr(sys, "warnoptions", [])
        warnings.warn_explicit("ours", UserWarning, str(Path(cli.__file__).parents[1] / "pipeline.py"), 1)
        warnings.warn_explicit("theirs", UserWarning, "site-packages/torch/nn.py", 1)
        return 0

    assert outcome(monkeypatch, run) == 0
    assert said(capsys, errors="sightline: ours\n") == ""


PLAIN_BOX = """
 {title}
 ------------------------------------------------
  {text}
  ------------------------------------------------
  For full helptext, run sightline lift --help
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Missing from sightline lift:\n      --camera PATH\n          A file. (required)",
            "lift: expected --camera, ",
        ),
        ("Missing value for argument '-o/--out'. Expected 1 values.", "--out: expected a value after it, got none"),
        ("Unrecognized options: --hight, 3", "--hight: no such option is known"),
        ("Something that a later\n  version may say.", "Something that a later version may say"),
    ],
)
def test_boxes_of_plain_characters_are_understood(text: str, expected: str) -> None:
    assert in_one_sentence(PLAIN_BOX.format(title="Some error", text=text)).startswith(expected)
    assert in_one_sentence("") == "the call cannot be understood"
