"""`--camera auto`: what people tell about the camera reaches poses, terminal and JSON; or that they cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sightline
from media_files import exif
from sightline.cli import main
from sightline.detect import registry
from sightline.formats.keypoints import write_keypoints
from sightline.formats.poses import read_poses
from sightline.prediction.auto_camera import RememberedLook, automatic
from sightline.prediction.cameras import CameraFinder
from sightline.prediction.looks import look_for
from sightline.sources import Source, SourceFrame, open_sources
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints
from staged_films import CAMERA, HEIGHT_M, PITCH, SIZE, Staged, entry, write_film, write_photo
from staged_people import H36M, person, standing_cam

Scene = Callable[[int], list[np.ndarray]]
PLACES = np.array([[-1.2, 4.2], [1.3, 5.0], [0.0, 6.5], [-1.9, 8.0], [2.2, 9.0], [0.9, 3.9]])
FPS = 5.0


def strollers(number: int) -> list[np.ndarray]:
    """Six people of about 1.7 m who walk in circles on the floor before `placed_camera`."""
    angle = 0.25 * number + np.arange(6)
    places = PLACES + 0.5 * np.stack([np.cos(angle), np.sin(angle)], -1)
    return [standing_cam(x, z, heading=1.3 * row, pitch=PITCH) for row, (x, z) in enumerate(places)]


def one_who_stands(number: int) -> list[np.ndarray]:
    return [standing_cam(0.0, 5.0, pitch=PITCH)]


def upside_down(number: int) -> list[np.ndarray]:
    return [standing_cam(0.0, 5.0, pitch=PITCH)[:, :] * np.array([1.0, -1.0, 1.0])]


def seen(scene: Scene, frames: int = 30, *, ids: bool = True) -> Keypoints:
    """What a detector sees of a scene, as keypoints."""
    rows = []
    for number in range(frames):
        people = [person(joints, CAMERA, ident=row, noise_px=1.0) for row, joints in enumerate(scene(number))]
        found = tuple(
            PersonKeypoints(keypoints_px=one.keypoints_px, confidence=one.confidence, id=one.id if ids else None)
            for one in people
        )
        rows.append(KeypointFrame(index=number, people=found))
    return Keypoints(skeleton=H36M, image_size=SIZE, frames=tuple(rows), fps=FPS)


@pytest.fixture
def desk(tmp_path: Path, tiny_lifters: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with weights named `stature`, and staged detectors by the name of their scene."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sightline.formats.weights.shipped_weights", lambda: tiny_lifters)
    staged = {scene.__name__: entry(Staged(scene)) for scene in (strollers, one_who_stands, upside_down)}
    monkeypatch.setattr(registry, "DETECTORS", {**registry.DETECTORS, **staged})
    return tmp_path


def run(call: str) -> int:
    return main([*call.split(), "--weights", "stature"])


def check_told(camera: dict) -> None:
    """What people of `strollers` told is the camera that saw them, within what is stated."""
    assert camera["focal"] == "estimated"
    assert 0.0 < camera["focal_sigma_px"] < 150.0
    assert abs(camera["focal_px"] - 600.0) < 3.0 * camera["focal_sigma_px"]
    assert abs(camera["pitch_deg"] - math.degrees(PITCH)) < 3.0 * camera["pitch_sigma_deg"] < 15.0
    assert abs(camera["roll_deg"]) < 3.0 * camera["roll_sigma_deg"] < 10.0
    assert abs(camera["height_m"] - HEIGHT_M) < 3.0 * camera["height_sigma_m"] < 1.0
    assert camera["fov_x_deg"] == pytest.approx(2 * math.degrees(math.atan(320 / camera["focal_px"])), abs=0.02)
    assert camera["floor_cam"][:3] == camera["up_cam"]
    assert camera["floor_cam"][3] == pytest.approx(camera["height_m"], abs=1e-3)
    assert camera["people"] == 6


# ---- lift


@pytest.mark.parametrize("ids", [True, False])
def test_keypoints_tell_their_camera(ids: bool, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_keypoints(seen(strollers, ids=ids), desk / "k.json")
    assert run("lift k.json --camera auto -o poses.json --json --smooth off") == 0
    printed = capsys.readouterr()
    camera = json.loads(printed.out)["camera"]
    assert camera["people"] >= 6
    check_told(camera | {"people": 6})
    (sentence,) = printed.err.splitlines()
    assert sentence.startswith("sightline: k.json: from ")
    for part in ("focal length", "a horizontal field of view of", "m above the floor", "rolled by", "(± holds 68 %)"):
        assert part in sentence
    poses = read_poses("poses.json")
    assert poses.scale.source == "estimated_focal"
    assert poses.scale.note is not None
    assert poses.scale.note in sentence or poses.scale.note.split(";")[0] in sentence
    assert float(poses.camera.focal) == pytest.approx(camera["focal_px"], abs=0.01)
    assert poses.world is not None
    np.testing.assert_allclose(poses.world.floor_cam, camera["floor_cam"], atol=1e-5)


@pytest.mark.parametrize("scene", [one_who_stands, upside_down])
def test_people_who_tell_nothing_are_lifted_by_an_assumed_camera(
    scene: Scene, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_keypoints(seen(scene), desk / "k.json")
    assert run("lift k.json --camera auto -o poses.npz --json --smooth off") == 0
    printed = capsys.readouterr()
    assert "the focal length cannot be told, 518 px ± 40 % is assumed; gravity and floor cannot be told" in printed.err
    camera = json.loads(printed.out)["camera"]
    assert camera["focal"] == "assumed"
    assert camera["up_cam"] is camera["floor_cam"] is camera["pitch_deg"] is camera["height_m"] is None
    poses = read_poses("poses.npz")
    assert poses.scale.source == "assumed_focal"
    assert poses.world is None
    assert "cannot be told" in (poses.scale.note or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--camera-name cam01", "--camera-name: expected a camera file beside it, got --camera auto"),
        ("--up y", "--up: expected a camera file beside it, got --camera auto"),
    ],
)
def test_what_belongs_to_a_camera_file_is_refused(
    options: str, message: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_keypoints(seen(strollers, 1), desk / "k.json")
    assert run(f"lift k.json --camera auto {options} -o poses.json") == 2
    assert message in capsys.readouterr().err
    assert not Path("poses.json").exists()


def test_the_size_of_the_pictures_has_to_be_known(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = seen(one_who_stands, 1).frames[0].people
    triples = np.concatenate([found.keypoints_px, np.ones((17, 1))], -1).ravel().tolist()
    entry_of = {"image_id": 0, "category_id": 1, "score": 0.9, "keypoints": triples}
    (desk / "r.json").write_text(json.dumps([entry_of]), encoding="utf-8")
    assert run("lift r.json --camera auto -o poses.json") == 2
    assert "--camera auto: r.json does not say how large its pictures are; give --image-size W H" in (
        capsys.readouterr().err
    )
    assert run("lift r.json --camera auto -o poses.json --image-size 640 480") == 0
    assert "640" not in capsys.readouterr().err.split("assumed")[1]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b"\x00\xff\x00\xff" * 50, b"[]", b'{"format": "x"}', "folder", "nobody"],
    ids=["missing", "empty", "cut", "binary", "nothing", "another", "folder", "nobody"],
)
def test_bad_keypoints_are_one_sentence(
    content: bytes | str | None, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content == "folder":
        (desk / "k.json").mkdir()
    elif content == "nobody":
        write_keypoints(seen(lambda number: []), desk / "k.json")
    elif isinstance(content, bytes):
        (desk / "k.json").write_bytes(content)
    assert run("lift k.json --camera auto -o poses.json") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("sightline: k.json")
    assert not Path("poses.json").exists()


# ---- predict


def test_a_films_people_tell_its_camera(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_film(desk / "walk.mp4", 30, fps=FPS)
    assert run("predict walk.mp4 --camera auto --detector strollers -o poses.json --json") == 0
    printed = capsys.readouterr()
    (told,) = json.loads(printed.out)["sources"]
    check_told(told["camera"] | {"people": 6})
    assert told["scale"]["source"] == "estimated_focal"
    assert "focal length" in printed.err
    assert "(± holds 68 %)" in printed.err
    poses = read_poses("poses.json")
    assert [frame.index for frame in poses.frames] == list(range(30))
    assert all(len(frame.people) == 6 for frame in poses.frames)
    assert poses.world is not None
    np.testing.assert_allclose(poses.world.floor_cam, told["camera"]["floor_cam"], atol=1e-5)


@pytest.mark.parametrize("scene", ["one_who_stands", "upside_down"])
def test_a_film_whose_people_tell_nothing_is_a_loud_guess(
    scene: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_film(desk / "walk.mp4", 6, fps=FPS)
    assert run(f"predict walk.mp4 --camera auto --detector {scene} -o poses.json --json") == 0
    printed = capsys.readouterr()
    assert "a 28 mm lens (35 mm equivalent) is assumed" in printed.err
    assert "the focal length cannot be told" in printed.err
    (told,) = json.loads(printed.out)["sources"]
    assert told["scale"]["source"] == "assumed_focal"
    assert told["camera"]["focal"] == "assumed"
    assert read_poses("poses.json").world is None


def test_each_frame_of_a_film_is_looked_at_once(tmp_path: Path) -> None:
    (source,) = open_sources([write_film(tmp_path / "walk.mp4", 23, fps=FPS)])
    detector = Staged(strollers)
    cameras, look = automatic(source, look_for(source, detector=detector), CameraFinder(), batch_size=8)
    assert detector.batches == [8, 8, 7]
    frames = list(source.frames())
    people = [look.people([frame])[0] for frame in frames]
    assert detector.batches == [8, 8, 7]
    assert [len(each) for each in people] == [6] * 23
    assert cameras.of(frames[0]) is cameras.of(frames[-1])
    look.people(frames[:1])
    assert detector.batches == [8, 8, 7, 1]  # what was asked for is forgotten
    look.close()


def test_only_the_first_seconds_are_watched(tmp_path: Path) -> None:
    (source,) = open_sources([write_film(tmp_path / "walk.mp4", 90, fps=1.0)])
    detector = Staged(strollers)
    automatic(source, look_for(source, detector=detector), CameraFinder(), batch_size=8)
    assert 10 <= sum(detector.batches) <= 64  # the batches that hold 10 to 60 s


@pytest.mark.parametrize("count", [1, 2])
def test_photos_tell_their_own_cameras(count: int, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(count):
        write_photo(desk / f"{number}.png", number)
    names = " ".join(f"{number}.png" for number in range(count))
    assert run(f"predict {names} --camera auto --detector strollers -o poses.json --json") == 0
    printed = capsys.readouterr()
    assert "from 6 people upright in 6 poses" in printed.err
    (told,) = json.loads(printed.out)["sources"]
    assert ("camera" in told) == (count == 1)  # several have one each, in the poses file
    assert len(read_poses("poses.json").frames) == count


def test_exif_comes_first_and_people_tell_the_rest(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mm = 600.0 * math.hypot(36.0, 24.0) / math.hypot(*SIZE)
    write_photo(desk / "a.jpg", 0, exif=exif(FOCAL_35MM=round(mm)))
    assert run("predict a.jpg --camera auto --detector strollers -o poses.json --json") == 0
    printed = capsys.readouterr()
    (told,) = json.loads(printed.out)["sources"]
    assert told["scale"]["source"] == "exif_focal"
    assert told["camera"]["focal"] == "known"
    assert told["camera"]["focal_sigma_px"] == 0.0
    assert "focal length" not in printed.err
    assert "m above the floor" in printed.err
    assert abs(told["camera"]["pitch_deg"] - math.degrees(PITCH)) < 3.0 * told["camera"]["pitch_sigma_deg"]


def test_a_given_focal_length_is_kept(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_film(desk / "walk.mp4", 12, fps=FPS)
    assert run("predict walk.mp4 --camera auto --focal-px 600 --detector strollers -o poses.json --json") == 0
    (told,) = json.loads(capsys.readouterr().out)["sources"]
    assert told["scale"]["source"] == "given_focal"
    assert told["camera"]["focal_px"] == 600.0
    assert told["camera"]["up_cam"] is not None


def test_the_worlds_frame_still_needs_a_camera_file(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_film(desk / "walk.mp4", 3, fps=FPS)
    assert run("predict walk.mp4 --camera auto --world w.npz --detector strollers -o poses.json") == 2
    assert "--world: expected a camera whose place in the world is known" in capsys.readouterr().err


def test_a_live_source_is_not_asked_and_says_so(tmp_path: Path) -> None:
    (film,) = open_sources([write_film(tmp_path / "walk.mp4", 3, fps=FPS)])

    class Live(Source):
        kind = property(lambda self: "live")
        fps = frame_count = property(lambda self: None)
        problems = property(lambda self: [])

        def close(self) -> None:
            raise AssertionError("it is the caller's")

        def frames(self) -> Iterator[SourceFrame]:
            raise AssertionError("nobody looks ahead")

    detector = Staged(strollers)
    cameras, look = automatic(Live("webcam"), look_for(film, detector=detector), CameraFinder())
    assert isinstance(look, RememberedLook)
    assert detector.batches == []
    known = cameras.of(next(iter(film.frames())))
    assert known.source == "assumed_focal"
    assert known.notice.endswith("people of a live source are not asked about the camera")


def test_frames_of_another_size_have_a_camera_of_their_own(tmp_path: Path) -> None:
    (source,) = open_sources([write_film(tmp_path / "walk.mp4", 20, fps=FPS)])
    cameras, _ = automatic(source, look_for(source, detector=Staged(strollers)), CameraFinder())
    frame = next(iter(source.frames()))
    small = replace(frame, pixels=np.ascontiguousarray(frame.pixels[::2, ::2]))
    assert cameras.of(frame).source == "estimated_focal"
    assert cameras.of(small).source == "assumed_focal"


def test_python_has_it_too(desk: Path, tiny_lifters: Path) -> None:
    film = write_film(desk / "walk.mp4", 20, fps=FPS)
    with pytest.warns(UserWarning, match="focal length .* px ± .* holds 68 %"):
        poses = sightline.predict(film, "auto", detector=Staged(strollers), weights=tiny_lifters / "stature.json")
    assert poses.scale.source == "estimated_focal"
    assert poses.world is not None
