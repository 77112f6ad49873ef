"""`sightline predict`: what it writes where, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.cli import main
from sightline.detect import registry
from sightline.formats.camera import write_camera
from sightline.formats.films import open_film
from sightline.formats.poses import read_poses
from sightline.formats.world import read_world
from staged_films import CAMERA, Staged, entry, placed_camera, write_film, write_photo


@pytest.fixture
def desk(tmp_path: Path, tiny_lifters: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two films, photos, cameras, and a staged detector under the name `staged`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "DETECTORS", {**registry.DETECTORS, "staged": entry(Staged())})
    write_film(tmp_path / "walk.mp4", 8)
    write_film(tmp_path / "run.mp4", 3)
    (tmp_path / "holiday").mkdir()
    for number, name in enumerate(("a.png", "b.jpg", "c.png")):
        write_photo(tmp_path / "holiday" / name, number)
    write_camera(CAMERA, tmp_path / "camera.json")
    write_camera(placed_camera(), tmp_path / "placed.json")
    monkeypatch.setenv("TINY", str(tiny_lifters / "stature.json"))
    return tmp_path


def predict(call: str, desk: Path, tiny_lifters: Path) -> int:
    return main(["predict", *call.split(), "--weights", str(tiny_lifters / "stature.json"), "--detector", "staged"])


def test_a_film_into_one_file_with_everything_beside_it(
    desk: Path, tiny_lifters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = (
        "walk.mp4 --camera placed.json -o poses.npz --picture p.png --page p.html --movie m.mp4 "
        "--keypoints k.json --world w.npz"
    )
    assert predict(call, desk, tiny_lifters) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "walk: 16 poses in 8 frames (staged) → poses.npz" in printed.out
    assert "person 0: 8 poses, " in printed.out
    poses = read_poses("poses.npz")
    assert [len(frame.people) for frame in poses.frames] == [2] * 8
    assert poses.world is not None
    with Image.open("p.png") as picture:
        assert picture.size == (1600, 900)
    with open_film("m.mp4") as film:
        assert sum(1 for _ in film.frames()) == 8
    assert "<html" in Path("p.html").read_text(encoding="utf-8")
    world, camera = read_world("w.npz"), placed_camera()
    assert world.joints_world_m.shape == (8, 2, 17, 3)
    import torch

    expected = camera.camera_to_world(torch.from_numpy(poses.frames[3].people[1].joints_cam_m.copy())).numpy()
    np.testing.assert_allclose(world.joints_world_m[3, 1], expected, atol=1e-9)
    # what was seen, lifted later, is the same
    assert (
        main(
            [
                "lift",
                "k.json",
                "--camera",
                "placed.json",
                "-o",
                "again.npz",
                "--weights",
                str(tiny_lifters / "stature.json"),
            ]
        )
        == 0
    )
    again = read_poses("again.npz")
    np.testing.assert_allclose(again.stacked().joints_cam_m, poses.stacked().joints_cam_m, atol=2e-3)
    np.testing.assert_array_equal(again.stacked().person_id, poses.stacked().person_id)


def test_a_folder_takes_any_number_of_sources(
    desk: Path, tiny_lifters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("holiday walk.mp4 run.mp4 --camera camera.json -o out", desk, tiny_lifters) == 0
    capsys.readouterr()
    found = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    assert found == {
        "holiday.json", "holiday.html", "holiday/a.png", "holiday/b.png", "holiday/c.png",
        "walk.json", "walk.png", "walk.html", "run.json", "run.png", "run.html",
    }  # fmt: skip
    assert [frame.file for frame in read_poses("out/holiday.json").frames] == ["a.png", "b.jpg", "c.png"]


def test_one_photo_needs_nothing_but_its_name(
    desk: Path, tiny_lifters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("holiday/a.png", desk, tiny_lifters) == 0
    printed = capsys.readouterr()
    assert "a 28 mm lens (35 mm equivalent) is assumed" in printed.err
    assert "a: 2 poses in 1 photo (staged)" in printed.out
    assert "a.png: 2 people, " in printed.out
    found = {path.name for path in Path("sightline-predict").iterdir()}
    assert found == {"a.json", "a.png", "a.html"}


def test_the_summary_is_json_and_nothing_else(
    desk: Path, tiny_lifters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("walk.mp4 --fov-x 56 -o p.json --json --every 2 --frames 3", desk, tiny_lifters) == 0
    (told,) = json.loads(capsys.readouterr().out)["sources"]
    assert told["frames"] == 3
    assert told["scale"] == {"source": "given_focal", "body": "learned"}
    assert [each["id"] for each in told["people"]] == [0, 1]
    assert [frame.index for frame in read_poses("p.json").frames] == [0, 2, 4]


def test_boxes_name_the_people_who_are_meant(
    desk: Path, tiny_lifters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = [Staged()._people(np.asarray(Image.open("holiday/a.png")))]
    points = found[1].keypoints_px
    box = ",".join(f"{value:.0f}" for value in (*points.min(0) - 8, *points.max(0) + 8))
    assert predict(f"walk.mp4 --camera camera.json -o p.json --box 5:{box}", desk, tiny_lifters) == 0
    capsys.readouterr()
    poses = read_poses("p.json")
    assert {person.id for _, person in poses.people()} == {5}
    np.testing.assert_allclose(poses.frames[0].people[0].keypoints_px, points, atol=1e-2)


def test_a_chosen_frame_is_the_one_that_is_drawn(
    desk: Path, tiny_lifters: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = []
    monkeypatch.setattr(
        "sightline.prediction.drawing.write_picture",
        lambda poses, path, *, frame, background, bodies: drawn.append((frame.index, background.shape)),
    )
    assert predict("walk.mp4 --camera camera.json -o p.json --picture p.png --picture-frame 6", desk, tiny_lifters) == 0
    assert drawn == [(6, (480, 640, 3))]
    capsys.readouterr()


def test_a_prior_is_told_how_the_camera_is_tilted(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["predict", "holiday/a.png", "--detector", "staged", "--method", "deeplift", "-o", "poses.json"]

    def lifted(*options: str) -> np.ndarray:
        assert main([*call, *options]) == 0
        return np.array([person.joints_cam_m for _, person in read_poses("poses.json").people()])

    level = lifted("--camera", "camera.json")
    assert "is taken as level" in capsys.readouterr().err
    down = lifted("--camera", "camera.json", "--pitch-deg", "-25")
    assert "is taken as level" not in capsys.readouterr().err
    assert np.abs(down - level).max() > 0.02
    tried = lifted("--camera", "camera.json", "--tilts-deg", "-25", "0")
    for one in range(len(level)):  # each person as one of the two tilts has them
        assert min(np.abs(tried[one] - way[one]).max() for way in (level, down)) < 2e-3
    lifted("--camera", "placed.json")
    assert "is taken as level" not in capsys.readouterr().err
    assert main([*call, "--camera", "placed.json", "--pitch-deg", "4"]) == 2
    assert "--pitch-deg: expected a camera that does not know" in capsys.readouterr().err


@pytest.mark.slow
def test_bodies_go_into_a_folder_beside_the_poses(
    desk: Path, tiny_lifters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("anny", reason="bodies need the package anny")
    pytest.importorskip("warp", reason="drawing bodies needs the package warp-lang")
    assert predict("run.mp4 holiday -o results --camera camera.json --mesh", desk, tiny_lifters) == 0
    printed = capsys.readouterr().out
    people = [len(frame.people) for frame in read_poses("results/holiday.json").frames]
    for name, count in (("run", 2), ("holiday", sum(people))):
        named = {person.mesh for _, person in read_poses(f"results/{name}.json").people()}
        assert named == {f"{name}-meshes/{file.name}" for file in Path(f"results/{name}-meshes").iterdir()}
        assert len(named) == count
        assert f"results/{name}-meshes: {count} bodies, " in printed
    bodies, limbs = (np.asarray(Image.open("results/holiday/a.png")), "plain/holiday/a.png")
    assert predict("run.mp4 holiday -o plain --camera camera.json --json", desk, tiny_lifters) == 0
    assert (bodies != np.asarray(Image.open(limbs))).any()
    assert all("meshes" not in source for source in json.loads(capsys.readouterr().out)["sources"])


def test_bodies_are_told_as_figures_and_a_file_in_their_place_is_refused(
    desk: Path, tiny_lifters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("anny", reason="bodies need the package anny")
    pytest.importorskip("warp", reason="drawing bodies needs the package warp-lang")
    call = "run.mp4 --camera camera.json -o poses.npz --mesh --json --movie m.mp4"
    Path("poses-meshes").write_text("mine", encoding="utf-8")
    assert predict(call, desk, tiny_lifters) == 2
    assert "poses-meshes is a file" in capsys.readouterr().err
    Path("poses-meshes").unlink()
    assert predict(call, desk, tiny_lifters) == 0
    (told,) = json.loads(capsys.readouterr().out)["sources"]
    assert told["meshes"]["count"] == 2
    assert 0 < told["meshes"]["residual_m"] < 0.2
    assert {person.mesh for _, person in read_poses("poses.npz").people()} == {
        f"poses-meshes/person-{n}.glb" for n in (0, 1)
    }
