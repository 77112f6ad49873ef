"""Whatever is wrong with photos, films, cameras, boxes and detectors ends in one sentence, and in no half-written file.

One table: the call, its exit code, what the sentence must name, and a part of what it must say. Exit code 1 is an input
that cannot be processed, 2 a call that is wrong whatever the files hold.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from broken_media import detectors, write_media
from media_files import exif
from sightline.cli import main
from sightline.detect import registry
from sightline.formats.poses import read_poses
from staged_films import entry, write_photo

P = "--weights stature.json --detector staged -o {out}/poses.json"
C = f"--camera camera.json {P}"

CASES: list[tuple[str, int, str, str]] = [
    # ---- photos
    (f"predict cut_off.jpg {C}", 1, "cut_off.jpg", "cut off"),
    (f"predict cut_off.png {C}", 1, "cut_off.png", ""),
    (f"predict empty.jpg {C}", 1, "empty.jpg", "empty"),
    (f"predict words.jpg {C}", 1, "words.jpg", "picture"),
    (f"predict rubbish.png {C}", 1, "rubbish.png", ""),
    (f"predict film.jpg {C}", 1, "film.jpg", ""),
    (f"predict nowhere.jpg {C}", 1, "nowhere.jpg", ""),
    (f"predict nowhere.jpg notes.txt {C}", 1, "nowhere.jpg", "notes.txt"),
    (f"predict notes.txt {C}", 1, "notes.txt", ""),
    (f"predict no_pictures {C}", 1, "no_pictures", ""),
    (f"predict empty_folder {C}", 1, "empty_folder", ""),
    (f"predict all_bad {C}", 1, "x.jpg", "y.png"),
    (f"predict nothing/*.jpg {C}", 1, "nothing/*.jpg", ""),
    (f"predict square.png {C}", 1, "square.png", "camera.json: its pictures are 640 × 480 px"),
    # ---- films
    (f"predict cut_off.mp4 {C}", 1, "cut_off.mp4", ""),
    (f"predict empty.mp4 {C}", 1, "empty.mp4", ""),
    (f"predict words.mp4 {C}", 1, "words.mp4", ""),
    (f"predict sound.mp4 {C}", 1, "sound.mp4", "picture"),
    (f"predict wide.mp4 {C}", 1, "camera.json", "another shape than 640 × 320"),
    (f"predict good.mp4 turned.mp4 {C}", 2, "poses.json", "cannot hold 2 sources"),
    (f"predict good.mp4 good.png {C}", 2, "poses.json", "cannot hold 2 sources"),
    (f"predict rtsp://127.0.0.1:9/none {C}", 1, "rtsp://127.0.0.1:9/none", ""),
    (f"predict http://127.0.0.1:9/none.mp4 {C}", 1, "http://127.0.0.1:9/none.mp4", ""),
    (f"predict webcam:77 {C}", 1, "webcam:77", ""),
    (f"predict webcam:front {C}", 2, "webcam:front", ""),
    ("predict", 2, "expected at least one photo, film, folder", "got none"),
    # ---- cameras
    *[
        (f"predict good.png --camera {name} {P}", code, named, expected)
        for name, code, named, expected in [
            ("camera_infinite.json", 1, "camera_infinite.json", "finite"),
            ("camera_wide.json", 1, "camera_wide.json", "1280 × 480"),
            ("camera.yml", 1, "camera.yml", ""),
            ("camera_cut.yml", 1, "camera_cut.yml", ""),
            ("camera.toml", 1, "camera.toml", "TOML"),
            ("cameras.txt", 1, "cameras.txt", "THIN_PRISM_FISHEYE"),
            ("camera.bin", 1, "camera.bin", ""),
            ("good.png", 1, "good.png", ""),
            ("nowhere.yml", 1, "nowhere.yml", ""),
            ("camera.json --camera-name left", 2, "camera.json", 'no camera "left"'),
            ("camera.json --focal-px 900", 2, "--camera and --focal-px", "expected one way"),
        ]
    ],
    (f"predict good.png --focal-px 0 {P}", 2, "--focal-px", "above 0, got 0"),
    (f"predict good.png --focal-px nan {P}", 2, "--focal-px", "got nan"),
    (f"predict good.png --focal-px 3 {P}", 1, "good.png", "focal length of 3 px is impossible"),
    (f"predict good.png --fov-x 180 {P}", 2, "--fov-x", "between 0° and 180°, got 180"),
    (f"predict good.png --focal-35mm -28 {P}", 2, "--focal-35mm", "above 0, got -28"),
    (f"predict good.png --focal-35mm wide {P}", 2, "--focal-35mm", "expected a number, got 'wide'"),
    (f"predict good.png --camera-name left {P}", 2, "--camera-name", "expected --camera beside it"),
    # ---- detectors
    *[
        (
            f"predict good.png --camera camera.json --weights stature.json --detector {name} -o {{out}}/p.json",
            code,
            named,
            text,
        )
        for name, code, named, text in [
            ("raises", 1, "detector raises failed on good.png", "RuntimeError: the accelerator is on fire"),
            ("too_few", 1, "detector too_few", "one answer for each of 1 pictures, got 0 answers"),
            ("none", 1, "detector none", "got a NoneType"),
            ("words", 1, "detector words on good.png, person 0", "expected a Detection"),
            ("joints", 1, "detector joints on good.png, person 0", "17 × 2 numbers, got the shape (5, 2)"),
            ("twins", 1, "detector twins on good.png", "3 stands there twice"),
            ("stagged", 2, "--detector", "perhaps staged is meant"),
            ("nowhere.json", 1, "nowhere.json", "No such file"),
            ("seen_square.json", 1, "seen_square.json", "another shape than 640 × 480"),
            ("camera.json", 1, "camera.json", '"skeleton"'),
        ]
    ],
    (f"predict good.mp4 {C} --detector raises", 1, "detector raises failed on frame 0", "fire"),
    # ---- boxes
    (f"predict good.png {C} --box 1,2,3", 2, "box '1,2,3'", "got 3 numbers"),
    (f"predict good.png {C} --box 30,20,10,40", 2, "30,20,10,40", "x0 < x1"),
    (f"predict good.png {C} --box a,b,c,d", 2, "a,b,c,d", "numbers of pixels"),
    (f"predict good.png {C} --box 1:0,0,9,9 --box 1:0,0,8,8", 2, "--box", "each id once"),
    (f"predict good.png {C} --box 2000,2000,2100,2100", 1, "2000,2000,2100,2100", "overlap the picture"),
    (f"predict good.png {C} --box 0,0,9,9 --boxes boxes.json", 2, "--box, --boxes", "got both"),
    (f"predict good.png {C} --boxes boxes_cut.json", 1, "boxes_cut.json", ""),
    (f"predict good.png {C} --boxes boxes_back.json", 1, "boxes_back.json", "x0 < x1"),
    (f"predict good.png {C} --boxes boxes_words.json", 1, "boxes_words.json", "numbers"),
    (f"predict good.png {C} --boxes nowhere.json", 1, "nowhere.json", ""),
    (f"predict square.png --focal-px 600 {P} --boxes boxes.json", 1, "boxes.json", "aspect of 640 × 480"),
    # ---- options
    (f"predict good.png {C} --height-m 17", 2, "--height-m", "0.4 to 2.6 m, got 17"),
    (f"predict good.png {C} --on-floor", 2, "--on-floor", "place in the world"),
    (f"predict good.png --camera placed.json {P} --on-floor --height-m 1.7", 2, "--on-floor", "got both"),
    (f"predict good.mp4 {C} --every 0", 2, "--every", "at least 1, got 0"),
    (f"predict good.mp4 {C} --frames -1", 2, "--frames", "at least 1, got -1"),
    (f"predict good.mp4 {C} --batch-size 0", 2, "--batch-size", "at least 1, got 0"),
    (f"predict good.mp4 {C} --max-people 0", 2, "--max-people", "at least 1, got 0"),
    (f"predict good.mp4 {C} --min-score 2", 2, "--min-score", "from 0 to 1, got 2"),
    (f"predict good.png {C} --device abacus", 2, "--device", "got 'abacus'"),
    (f"predict good.png {C} --method magic", 2, "--method", "magic"),
    (f"predict good.png {C} --weights best", 2, "--weights", "got 'best'"),
    (f"predict good.mp4 {C} --picture-frame 1", 2, "--picture-frame", "expected --picture beside it"),
    # ---- outputs
    ("predict good.png --camera camera.json --detector staged -o {out}/none/p.json", 2, "p.json", "does not exist"),
    ("predict good.png --camera camera.json --detector staged -o {out}/p.bvh", 2, "p.bvh", "ends in .json or .npz"),
    ("predict good.png --camera camera.json --detector staged -o camera.json", 2, "camera.json", "is an input"),
    ("predict good.png --camera camera.json --detector staged -o notes.txt", 2, "notes.txt", ""),
    ("predict good.png --camera camera.json --detector staged -o camera.json/p", 2, "camera.json", "is a file"),
    (f"predict good.png {C} --picture {{out}}/p.jpg", 2, "p.jpg", "ends in .png"),
    (f"predict good.png {C} --keypoints {{out}}/k.npz", 2, "k.npz", "ends in .json"),
    (f"predict good.mp4 {C} --world {{out}}/w.npz", 2, "--world", "place in the world"),
    (f"predict good.png --camera placed.json {P} --world {{out}}/w.npz", 2, "--world", "told apart by ids"),
    ("predict good.png --camera camera.json --detector staged -o .", 2, "good.png", "is an input"),
    ("predict mixed --camera camera.json --detector staged -o .", 2, "mixed", "holds the photos"),
    ("predict good.mp4 --detector seen.json --camera camera.json -o seen.json", 2, "seen.json", "is an input"),
    (f"predict good.mp4 {C} --keypoints {{out}}/poses.json", 2, "poses.json", "got this one twice"),
    (f"predict good.mp4 {C} --box 0,0,9,9 --max-people 1", 2, "--max-people", "expected no boxes beside it"),
    (f"predict good.png --camera placed.json {P} --up x", 2, "--up", "expected one of y, z, -y, -z, got 'x'"),
    # ---- models
    ("models nothing", 2, "nothing", ""),
]


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory, tiny_lifters: Path) -> Path:
    """Folder of good and broken files, made once; no case may change it."""
    folder = tmp_path_factory.mktemp("media")
    write_media(folder)
    for name in ("stature.json", "stature.safetensors"):
        (folder / name).write_bytes((tiny_lifters / name).read_bytes())
    return folder


@pytest.fixture(autouse=True)
def _staged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detectors of this table, by name."""
    named = {name: entry(detector) for name, detector in detectors().items()}
    monkeypatch.setattr(registry, "DETECTORS", {**registry.DETECTORS, **named})


def contents(*folders: Path) -> dict[Path, tuple[int, int]]:
    found = [path for folder in folders for path in folder.rglob("*")]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize(("call", "code", "named", "expected"), CASES, ids=[case[0] for case in CASES])
def test_what_is_wrong_is_said_in_one_sentence(
    call: str,
    code: int,
    named: str,
    expected: str,
    media: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(media)
    out = tmp_path / "out"
    out.mkdir()
    before = contents(media, out)
    assert main(call.format(out=out).split()) == code, capsys.readouterr()
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("sightline: ")
    assert named in lines[0]
    assert expected in lines[0]
    assert len(lines[0]) < 500
    assert "<class" not in lines[0]
    assert "Traceback" not in lines[0]
    assert contents(media, out) == before


GOOD_WITH_PROBLEMS: list[tuple[str, list[int], str]] = [
    ("predict mixed", [0, 2], "b.jpg"),
    ("predict shapes", [0], "wide.png: camera.json: its pictures are 640 × 480"),
    ("predict good.png cut_off.jpg words.jpg", [0], "cut_off.jpg"),
    ("predict broken_inside.mp4", [], "broken_inside.mp4"),
    ("predict good.png --detector half", [0], "1 of 1 people could not be lifted: 1 × missing"),
    ("predict good.png --detector all_nan", [0], "no joint was seen"),
    ("predict good.mp4 --picture {out}/p.png --picture-frame 99", [0, 1, 2, 3, 4, 5, 6, 7], "no frame 99 to draw"),
]
"""Call, the frames that are done (none: just some), and what is reported of the rest."""


@pytest.mark.parametrize(("call", "frames", "reported"), GOOD_WITH_PROBLEMS)
def test_the_good_are_done_and_the_rest_is_reported(
    call: str,
    frames: list[int],
    reported: str,
    media: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(media)
    detector = [] if "--detector" in call else ["--detector", "staged"]
    words = [
        *call.format(out=tmp_path).split(),
        "--camera",
        "camera.json",
        "--weights",
        "stature.json",
        "-o",
        str(tmp_path / "p.json"),
    ]
    assert main([*words, *detector]) == 1
    said = capsys.readouterr().err
    assert reported in said
    assert all(line.startswith("sightline: ") for line in said.splitlines())
    found = [frame.index for frame in read_poses(tmp_path / "p.json").frames]
    assert found == frames if frames else 0 < len(found) < 60
    assert {path.name for path in tmp_path.iterdir()} == {"p.json"}


def test_one_bad_source_does_not_stop_the_others(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    call = "predict cut_off.mp4 square.png good.mp4 --camera camera.json --weights stature.json --detector staged"
    assert main([*call.split(), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "square.png" in said[0]
    assert "cut_off.mp4" in said[1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"good.json", "good.png", "good.html"}


def test_photos_of_one_stem_have_drawings_of_their_own(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    call = "predict good.jpg good.png --camera camera.json --weights stature.json --detector staged -o"
    assert main([*call.split(), str(tmp_path)]) == 0
    capsys.readouterr()
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["good.png", "good.png.png"]


def test_a_guessed_camera_is_told_wherever_it_comes(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    known = write_photo(tmp_path / "known.jpg", 0, exif=exif(FOCAL_35MM=28))
    call = f"predict {known} good.png --weights stature.json --detector staged -o {tmp_path}/p.json"
    assert main(call.split()) == 0
    assert "is assumed" in capsys.readouterr().err
    assert read_poses(tmp_path / "p.json").scale.source == "mixed"


def test_a_keypoint_file_obeys_score_and_number(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    call = f"predict good.mp4 --camera camera.json --weights stature.json --detector seen.json -o {tmp_path}/p.json"
    for more, count in (("", 2), ("--max-people 1", 1), ("--min-score 0.95", 0)):
        assert main([*call.split(), *more.split()]) == 0
        assert len(read_poses(tmp_path / "p.json").frames[0].people) == count
    capsys.readouterr()


def test_a_folder_does_not_hide_the_detector_of_its_name(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keypointrcnn").mkdir()
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path / "nothing"))
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *_, **__: (_ for _ in ()).throw(OSError("none")))
    assert main(["predict", str(media / "good.png"), "--detector", "keypointrcnn", "-o", "p.json"]) == 1
    assert "could not be fetched" in capsys.readouterr().err


def test_odd_photos_are_pictures_like_any_other(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    call = f"predict odd --focal-px 600 --weights stature.json --detector staged -o {tmp_path}/p.json"
    assert main(call.split()) == 0, capsys.readouterr().err
    frames = read_poses(tmp_path / "p.json").frames
    assert len(frames) == 8
    first = [person.joints_cam_m for person in frames[0].people]
    for frame in frames:
        assert len(frame.people) == 2, frame.file
        for ours, theirs in zip(frame.people, first, strict=True):
            np.testing.assert_allclose(ours.joints_cam_m, theirs, atol=1e-6)


def test_a_film_that_lies_on_its_side_is_stood_up_with_its_camera(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)
    assert main(f"predict turned.mp4 {C}".format(out=tmp_path).split()) == 0, capsys.readouterr().err
    poses = read_poses(tmp_path / "poses.json")
    assert poses.camera.image_size.tolist() == [640.0, 480.0]
    assert all(len(frame.people) == 2 for frame in poses.frames)


@pytest.mark.parametrize(("detector", "count"), [("crowd", 200), ("nobody", 0)])
def test_two_hundred_people_and_nobody_are_results(
    detector: str,
    count: int,
    media: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(media)
    call = f"predict good.png --camera camera.json --weights stature.json --detector {detector} -o {tmp_path}/p.json"
    assert main(call.split()) == 0
    assert len(read_poses(tmp_path / "p.json").frames[0].people) == count
    printed = capsys.readouterr()
    assert printed.err == ""
    assert ("200 poses" if count else "nobody was found") in printed.out
    assert main([*call.split(), "--max-people", "3"]) == 0
    assert len(read_poses(tmp_path / "p.json").frames[0].people) == min(count, 3)


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("ending", ["json", "npz"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    ending: str,
    function: str,
    fault: BaseException,
    media: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(media)
    old = tmp_path / f"old.{ending}"
    old.write_bytes(b"what was here before")
    call = f"predict good.mp4 --camera camera.json --weights stature.json --detector staged -o {old}"

    def fail(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        assert main(call.split()) == 1
    assert old.read_bytes() == b"what was here before"
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_stopping_a_film_in_the_middle_leaves_nothing(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(media)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sightline.prediction.run.Tracker.update", stop)
    assert main(f"predict good.mp4 {C} --keypoints {{out}}/k.json".format(out=tmp_path).split()) == 1
    assert list(tmp_path.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err
