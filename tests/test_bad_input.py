"""Whatever is wrong ends in one sentence that says what and where, in exit code 1 or 2, and in no file.

One table: the call, its exit code, what the sentence must name, and a part of what it must say was expected. Exit code
1 is an input that cannot be processed, 2 a call that is wrong whatever the files hold.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from bad_files import write_files
from sightline.cli import main
from sightline.formats.poses import read_poses
from sightline.viewer import FigureRenderer

LIFT = "--camera camera.json --weights metre.json -o {out}/poses.json"
TRIANGULATE = "--cameras placed.json placed_right.json -o {out}/world.npz"

CASES: list[tuple[str, int, str, str]] = [
    # ---- keypoint files
    (f"lift nan.json {LIFT}", 1, "nan.json", "NaN is not a JSON number"),
    (f"lift infinite.json {LIFT}", 1, "infinite.json", "-Infinity is not a JSON number"),
    (f"lift too_large.json {LIFT}", 1, "too_large.json: frames[0].people[0].keypoints_px[0]", "finite"),
    (f"lift one_joint.json {LIFT}", 1, "one_joint.json: frames[0].people[0]", "expected 17 points, got 1"),
    (f"lift no_joints.json {LIFT}", 1, "no_joints.json: frames[0].people[0]", "expected 17 points, got 0"),
    (f"lift 18_joints.json {LIFT}", 1, "18_joints.json: frames[0].people[0]", "expected 17 points, got 18"),
    (f"lift pairs.json {LIFT}", 1, "pairs.json: frames[0].people[0].keypoints_px[3]", "expected 3 numbers, got 2"),
    (f"lift words.json {LIFT}", 1, "words.json: frames[0].people[0].keypoints_px[3]", "numbers, found the text"),
    (f"lift confidence.json {LIFT}", 1, "confidence.json: frames[0].people[0]", "expected a confidence in 0…1, got 2"),
    (f"lift negative_confidence.json {LIFT}", 1, "keypoints_px[3]", "expected a confidence in 0…1, got -0.1"),
    (f"lift four_joints.json {LIFT}", 1, "four_joints.json", "missing LHip"),
    (f"lift nothing_seen.json {LIFT}", 1, "nothing_seen.json", "no joint was seen"),
    (f"lift one_spot.json --root perspective {LIFT}", 1, "one_spot.json", "no place in front of the camera"),
    (f"lift tall.json {LIFT}", 1, "tall.json: frames[0].people[0]", "height_m: expected"),
    (f"lift id_text.json {LIFT}", 1, "id_text.json: frames[0].people[0].id", "expected a whole number"),
    (f"lift person_key.json {LIFT}", 1, "person_key.json: frames[0].people[0]", 'unknown key "score"; known are'),
    (f"lift nobody.json {LIFT}", 1, "nobody.json", "none of its 1 frames has a person"),
    (f"lift no_frames.json {LIFT}", 1, "no_frames.json", "none of its 0 frames has a person"),
    (f"lift frames_object.json {LIFT}", 1, "frames_object.json: frames", "expected a list"),
    (f"lift twins.json {LIFT}", 1, "twins.json: frames[0]", "each person id once"),
    (f"lift backwards.json {LIFT}", 1, "backwards.json: frames", "expected a rising index, got 2 after 5"),
    (f"lift skeleton.json {LIFT}", 1, "skeleton.json: skeleton", "known are h36m17"),
    (f"lift unknown_key.json {LIFT}", 1, "unknown_key.json", 'unknown key "detector"'),
    (f"lift no_skeleton.json {LIFT}", 1, "no_skeleton.json", '"skeleton" is missing'),
    (f"lift origin.json {LIFT}", 1, "origin.json: pixel_origin", 'expected one of "corner", "center"'),
    (f"lift flat.json {LIFT}", 1, "flat.json: image_size", "at least 1, got 640 × 0"),
    (f"lift standing_still.json {LIFT}", 1, "standing_still.json: fps", "expected a number above 0, got 0"),
    (f"lift twice.json {LIFT}", 1, "twice.json", 'the key "fps" stands twice'),
    (f"lift cut_off.json {LIFT}", 1, "cut_off.json", "line 1, column 401"),
    (f"lift list.json {LIFT}", 1, "list.json", "expected an object"),
    (f"lift empty.json {LIFT}", 1, "empty.json", "expected JSON, but nothing is there"),
    (f"lift deep.json {LIFT}", 1, "deep.json", "nested too deeply"),
    (f"lift binary.json {LIFT}", 1, "binary.json", "expected UTF-8 text"),
    (f"lift latin1.json {LIFT}", 1, "latin1.json", "expected UTF-8 text, got the byte 0xe9"),
    (f"lift poses.json {LIFT}", 1, "poses.json", "missing"),
    (f"lift camera.json {LIFT}", 1, "camera.json", '"skeleton"'),
    (f"lift nowhere.json {LIFT}", 1, "nowhere.json", "No such file"),
    (f"lift a_folder.json {LIFT}", 1, "a_folder.json", "expected a folder with files *_keypoints.json"),
    # ---- camera files
    *[
        (f"lift people.json --camera {name} --weights metre.json -o {{out}}/poses.json", code, named, expected)
        for name, code, named, expected in [
            ("camera_wide.json", 1, "camera_wide.json: does not fit people.json", "[1280.0, 480.0]"),
            ("camera_negative.json", 1, "camera_negative.json: focal_px", "expected positive"),
            ("camera_words.json", 1, "camera_words.json: focal_px", "expected 2 numbers"),
            ("camera_nan.json", 1, "camera_nan.json", "NaN is not a JSON number"),
            ("camera_key.json", 1, "camera_key.json", 'unknown key "fov"; known are'),
            ("camera_no_centre.json", 1, "camera_no_centre.json", '"center_px" is missing'),
            ("camera_lens.json", 1, "camera_lens.json: distortion.model", 'expected one of "brown_conrady"'),
            ("camera_long_lens.json", 1, "camera_long_lens.json: distortion.k", "expected 4 numbers"),
            ("camera_sheared.json", 1, "camera_sheared.json: ", "orthonormal"),
            ("camera_cut_off.json", 1, "camera_cut_off.json", "not valid JSON"),
            ("again.json", 1, "again.json", '"focal_px"'),
            ("nowhere.json", 1, "nowhere.json", "No such file"),
            ("binary.json", 1, "binary.json", "expected UTF-8 text"),
            ("other.xml", 1, "other.xml", "expected a Qualisys calibration"),
            ("cut_off.xml", 1, "cut_off.xml", "not valid XML"),
            ("rig_twins.xml", 1, "rig_twins.xml", 'camera "a" stands twice'),
            ("rig.xml", 2, "rig.xml", "name one of cam01, cam02"),
            ("rig.xml --camera-name cam07", 2, 'rig.xml: has no camera "cam07"', "only cam01, cam02"),
            ("camera.json --camera-name cam01", 2, "camera.json", 'no camera "cam01"'),
        ]
    ],
    # ---- outputs
    ("lift people.json --camera camera.json -o {out}/none/poses.json", 2, "/none/poses.json", "does not exist"),
    ("lift people.json --camera camera.json -o {out}", 2, "out", "ends in .json or .npz"),
    ("lift people.json --camera camera.json -o a_folder.json", 2, "a_folder.json", "but this is a folder"),
    ("lift people.json --camera camera.json -o {out}/poses.bvh", 2, "poses.bvh", "ends in .json or .npz"),
    ("lift people.json --camera camera.json -o people.json", 2, "people.json", "is an input"),
    ("lift people.json --camera camera.json -o camera.json/p.json", 2, "camera.json/p.json", "camera.json is a file"),
    (f"lift people.json {LIFT} --picture {{out}}/p.jpg", 2, "p.jpg", "ends in .png"),
    (f"lift people.json {LIFT} --movie {{out}}/p.avi", 2, "p.avi", "ends in .mp4"),
    (f"lift people.json {LIFT} --page {{out}}/none/p.html", 2, "p.html", "does not exist"),
    ("demo -o camera.json", 2, "camera.json", "expected a folder"),
    ("train abspose-smoke -o camera.json/run", 2, "camera.json/run", "expected a folder"),
    ("prepare sample train_only.npz -o camera.json", 2, "camera.json", "expected a folder"),
    # ---- weights
    *[
        (f"lift people.json --camera camera.json -o {{out}}/p.json --weights {name}", code, named, expected)
        for name, code, named, expected in [
            ("best", 2, "--weights", "the path of a passport, got 'best'"),
            ("nowhere.json", 2, "nowhere.json", "expected the passport of weights"),
            ("cut_off_weights.safetensors", 1, "cut_off_weights.safetensors: its sha256", "'metre' says"),
            ("other_sha.json", 1, "other_sha.safetensors: its sha256", "says 000000000000"),
            ("no_tensors.json", 1, "nowhere.safetensors", "expected the weights of 'metre' there"),
            ("other_method.json", 1, "other_method.json", "expected weights of method 'abspose', got 'psychic'"),
            ("other_width.json", 1, "other_width.json", "do not fit together"),
            ("other_model.json", 1, "other_model.json", "do not fit together"),
            ("passport_key.json", 1, "passport_key.json", 'unknown key "price"; known are'),
            ("again.json", 1, "again.json", '"sha256"'),
        ]
    ],
    # ---- options
    (f"lift people.json {LIFT} --height-m 17", 2, "--height-m", "expected a stature of 0.4 to 2.6 m, got 17"),
    (f"lift people.json {LIFT} --height-m 1.8", 2, "--height-m", "the weights 'metre' cannot use it"),
    (f"lift people.json {LIFT} --height-m nan", 2, "--height-m", "expected a stature"),
    (f"lift people.json {LIFT} --height-m tall", 2, "--height-m", "expected a number, got 'tall'"),
    (f"lift people.json {LIFT} --batch-size many", 2, "--batch-size", "expected a whole number, got 'many'"),
    (f"lift people.json {LIFT} --batch-size 0", 2, "--batch-size", "expected at least 1, got 0"),
    (f"lift people.json {LIFT} --device abacus", 2, "--device", "got 'abacus'"),
    (f"lift people.json {LIFT} --device meta", 2, "--device", "expected cpu"),
    (f"lift people.json {LIFT} --root guess", 2, "--root", "one of learned, perspective, perspective_robust, weak"),
    (f"lift people.json {LIFT} --picture {{out}}/p.png --picture-frame 7", 2, "--picture-frame", "0 to 1, got 7"),
    (f"lift people.json {LIFT} --picture-frame 0", 2, "--picture-frame", "expected --picture"),
    (f"lift people.json {LIFT} --height 1.8", 2, "--height", "perhaps --height-m is meant"),
    (f"lift people.json people.json {LIFT}", 2, "people.json", "one argument too many"),
    ("lift people.json -o {out}/poses.json", 2, "lift", "expected --camera, which is missing"),
    ("lift", 2, "lift", "expected KEYPOINTS, --camera and --out, which are missing"),
    ("lift people.json --camera camera.json -o", 2, "--out", "expected a value"),
    ("juggle people.json", 2, "juggle", "one of demo, predict, lift, train"),
    ("", 2, "expected a command", "one of demo, predict, lift, train"),
    # ---- motion capture
    *[
        (f"prepare mocap bvh_{name} -o {{out}}/library.npz", 1, f"bvh_{name}", expected)
        for name, expected in [
            ("cut_tree", "expected a line MOTION"),
            ("cut_frame", "(one frame per line)"),
            ("missing_frame", "expected 4 frames"),
            ("nan", "expected finite numbers, got 'nan'"),
            ("no_motion", "MOTION"),
            ("no_offset", "line 4: expected OFFSET"),
            ("channel", "expected one of the channels"),
            ("frame_time", "expected a positive frame time"),
            ("stranger", "needs each of these nodes once: chest"),
            ("empty", "expected a line MOTION"),
            ("unlisted_column", "expected the columns path, source"),
            ("only_header", "expected one line per clip"),
            ("giants", "unit_in_metres"),
            ("split", "expected one of train, val, test, got 'holdout'"),
        ]
    ],
    ("prepare mocap a_folder.json -o {out}/library.npz", 1, "a_folder.json", "expected a manifest.csv"),
    ("prepare mocap nowhere -o {out}/library.npz", 1, "nowhere", "expected a folder"),
    ("prepare mocap bvh_nan -o {out}/library.csv", 2, "library.csv", "ends in .npz"),
    ("prepare mocap bvh_nan -o {out}/library.npz --fps 0", 2, "--fps", "expected a positive number"),
    ("prepare sample people.json -o {out}/sample", 1, "people.json", "expected an npz file"),
    ("prepare sample train_only.npz -o {out}/sample", 1, "train_only.npz", "has no clip"),
    ("prepare", 2, "expected a command", "one of mocap, keypoints, sample"),
    # ---- evaluate
    ("evaluate poses.json --truth poses_late.json", 1, "poses.json", "the same frame numbers"),
    ("evaluate poses.json --truth people.json", 1, "people.json", 'expected "format": "sightline/poses"'),
    ("evaluate poses_cut_off.json --truth poses.json", 1, "poses_cut_off.json", "not valid JSON"),
    ("evaluate poses.json --truth cut_off.npz", 1, "cut_off.npz", "readable .npz"),
    ("evaluate pickled.npz --truth poses.json", 1, "pickled.npz", "plain arrays"),
    ("evaluate no_joints.npz --truth poses.json", 1, "no_joints.npz", "expected the prediction"),
    ("evaluate 14_joints.npz --truth six_rows.npz", 1, "14_joints.npz", "expected the array skeleton"),
    ("evaluate millimetres.npz --truth six_rows.npz", 1, "millimetres.npz", "divide millimetres by 1000"),
    ("evaluate five_rows.npz --truth six_rows.npz", 1, "rows", "got 5 and 6"),
    ("evaluate world.npz --truth poses.json", 1, "world.npz", "expected poses in a camera's frame"),
    ("evaluate poses.json --truth world.npz", 1, "poses.json", "no camera_from_world"),
    ("evaluate poses.json --truth world.npz --camera camera.json", 1, "--camera", "expected a single one with"),
    ("evaluate poses.json --truth poses.csv", 2, "poses.csv", "ends in .json or .npz"),
    ("evaluate poses.json --truth poses.json --protocol mpi", 2, "protocol 'mpi'", "known are h36m17"),
    ("evaluate poses.json --truth poses.json --match luck", 2, "--match", "one of auto, row, id, frame, distance"),
    ("evaluate poses.json --truth poses.json --fps -1", 2, "--fps", "expected a positive number"),
    ("evaluate poses.json --truth poses.json --camera-name a", 2, "--camera-name", "expected a --camera file"),
    ("evaluate poses.json", 2, "evaluate", "expected --truth, which is missing"),
    # ---- triangulate
    ("triangulate people.json --cameras placed.json -o {out}/w.npz", 2, "views", "at least two views, got 1"),
    ("triangulate people.json again.json --cameras placed.json -o {out}/w.npz", 2, "--cameras", "of the 2 views"),
    ("triangulate people.json again.json --cameras rig.xml --camera-names cam01 z -o {out}/w.npz", 2, "rig.xml", "z"),
    ("triangulate people.json again.json --cameras placed.json camera.json -o {out}/w.npz", 1, "camera.json", "has no"),
    (f"triangulate people.json other_skeleton.json {TRIANGULATE}", 1, "other_skeleton.json", "expected the skeleton"),
    (f"triangulate people.json again.json {TRIANGULATE} --min-views 3", 2, "--min-views", "expected 2 to 2"),
    (f"triangulate people.json again.json {TRIANGULATE} --min-confidence 2", 2, "--min-confidence", "0 to 1"),
    (f"triangulate people.json again.json {TRIANGULATE} --skeleton yeti", 2, "'yeti'", "known are h36m17"),
    (f"triangulate people.json nan.json {TRIANGULATE}", 1, "nan.json", "NaN is not a JSON number"),
    # ---- fit, train, bench
    ("fit noise people.json again.json -o {out}/e.json", 1, "people.json", "50"),
    ("fit noise people.json other_frames.json -o {out}/e.json", 1, "other_frames.json", "frame"),
    ("fit noise people.json again.json -o {out}/e.npz", 2, "e.npz", "ends in .json"),
    ("fit cooking people.json again.json -o {out}/e.json", 2, "model", "got 'cooking'"),
    ("fit prior people.json again.json -o {out}/e.json", 2, "fit prior", "expected one motion library"),
    ("train abspose-juggling -o {out}/run", 2, "recipe", "expected one of abspose-mocap"),
    ("train abspose-mocap -o {out}/run", 2, "--library", "needs motion capture"),
    ("train abspose-mocap --library people.json -o {out}/run", 1, "people.json", "expected an npz file"),
    ("train abspose-mocap --library train_only.npz -o {out}/run", 1, "train_only.npz", "'val' has no frames"),
    ("train abspose-smoke --steps 0 -o {out}/run", 2, "--steps", "expected at least 1, got 0"),
    ("train abspose-smoke --steps 1.5 -o {out}/run", 2, "--steps", "expected a whole number, got '1.5'"),
    ("train abspose-smoke --devices 0 -o {out}/run", 2, "--devices", "expected at least 1"),
    ("train abspose-smoke --accelerator abacus -o {out}/run", 2, "--accelerator", "one of cpu, gpu"),
    ("train abspose-smoke --error-model people.json -o {out}/run", 1, "people.json", "missing"),
    ("bench juggling", 2, "name", "got 'juggling'"),
    ("bench abspose -o {out}/bench", 2, "--library", "needs motion capture"),
    ("bench lift --from-results -o {out}/bench", 2, "lift.json", "no results of 'lift'"),
    ("bench lift --jobs 0 -o {out}/bench", 2, "--jobs", "at least 1"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, tiny_lifters: Path) -> Path:
    """Folder of good and broken files, made once; no case may change it."""
    folder = tmp_path_factory.mktemp("inputs")
    write_files(folder, tiny_lifters)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for call in (
            "lift people.json --camera camera.json --weights metre.json -o poses.json",
            "lift other_frames.json --camera camera.json --weights metre.json -o poses_late.json",
            "triangulate people.json again.json --cameras placed.json placed.json -o world.npz",
        ):
            assert main(call.split()) == 0
    (folder / "poses_cut_off.json").write_bytes((folder / "poses.json").read_bytes()[:700])
    return folder


def contents(*folders: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of every file below."""
    found = [path for folder in folders for path in folder.rglob("*")]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize(("call", "code", "named", "expected"), CASES, ids=[case[0] or "nothing" for case in CASES])
def test_what_is_wrong_is_said_in_one_sentence(
    call: str,
    code: int,
    named: str,
    expected: str,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(inputs)
    out = tmp_path / "out"
    out.mkdir()
    before = contents(inputs, out)
    assert main(call.format(out=out).split()) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("sightline: ")
    assert named in lines[0]
    assert expected in lines[0]
    assert len(lines[0]) < 450
    assert "<class" not in lines[0]
    assert contents(inputs, out) == before


WRITERS = {
    "json": "lift people.json --camera camera.json --weights metre.json -o {out}/old.json",
    "npz": "lift people.json --camera camera.json --weights metre.json -o {out}/old.npz",
    "world": "triangulate people.json again.json --cameras placed.json placed.json -o {out}/old.npz",
    "library": "prepare mocap bvh_good -o {out}/old.npz",
    "errors": "fit noise crowd.json crowd_truth.json -o {out}/old.json",
}
"""Calls that write over `old.json` or `old.npz`."""


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("writer", WRITERS)
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    writer: str,
    function: str,
    fault: BaseException,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.chdir(inputs)
    for name in ("old.json", "old.npz"):
        (tmp_path / name).write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        assert main(WRITERS[writer].format(out=tmp_path).split()) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.match(r"sightline: (interrupted|.*(No space left on device))", lines[0])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old.json": "old", "old.npz": "old"}


def test_a_film_that_is_interrupted_leaves_no_film(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    render, drawn = FigureRenderer.render, []

    def interrupted(self: FigureRenderer, *arguments: Any) -> Any:
        drawn.append(1)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return render(self, *arguments)

    monkeypatch.chdir(inputs)
    monkeypatch.setattr(FigureRenderer, "render", interrupted)
    (tmp_path / "film.mp4").write_text("old")
    call = "lift people.json --camera camera.json --weights metre.json -o {out}/poses.json --movie {out}/film.mp4"
    assert main(call.format(out=tmp_path).split()) == 1
    assert capsys.readouterr().err == "sightline: interrupted; nothing half-written was left\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "poses.json"]
    assert (tmp_path / "film.mp4").read_text() == "old"


def test_a_folder_that_cannot_be_written_into_is_named_before_any_work(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(inputs)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere, so permissions cannot show it
    for call, where in (
        (f"lift nan.json {LIFT}", "poses.json"),
        ("demo -o {out}/demo", "demo"),
        ("train abspose-smoke -o {out}/run", "run"),
    ):
        assert main(call.format(out=tmp_path).split()) == 2
        assert f"{tmp_path / where}: the folder {tmp_path} cannot be written into" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_people_who_cannot_be_lifted_are_told_and_the_others_written(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(inputs)
    assert main(f"lift mixed.json {LIFT}".format(out=tmp_path).split()) == 1
    told = "sightline: mixed.json: 1 of 2 people could not be lifted: 1 × missing LHip"
    assert capsys.readouterr().err.startswith(told)
    assert [person.id for _, person in read_poses(tmp_path / "poses.json").people()] == [1]


def test_the_table_is_long_and_has_no_case_twice() -> None:
    assert len(CASES) >= 40
    assert len({case[0] for case in CASES}) == len(CASES)
