"""`sightline calibrate` on good and bad input: what it writes, prints, and says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("cv2", reason="finding boards needs OpenCV")

from board_pictures import CAMERAS, SIZE, Photographer, Pose
from sightline import cli
from sightline.formats.camera import read_camera, write_camera
from sightline.formats.video import write_video
from test_calibration import charuco_print, shots
from test_calibration_floor import PLACES, standing

BOARD = "--board checkerboard --columns 8 --rows 5 --square-mm 30"


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what may be asked for: good pictures, bad files, a film, a picture of the floor."""
    folder, taken = tmp_path_factory.mktemp("album"), shots("normal")
    photographer = Photographer(taken.camera)
    for name in ("good", "mixed", "empty_walls", "two", "some"):
        (folder / name).mkdir()
    for number, pixels in enumerate(taken.pictures):
        Image.fromarray(pixels).save(folder / "good" / f"{number:02d}.png", compress_level=1)
    for number in range(5):
        shutil.copy(folder / "good" / f"{number:02d}.png", folder / "mixed")
        shutil.copy(folder / "good" / f"{number + 4:02d}.png", folder / "some")
    for number in range(2):
        shutil.copy(folder / "good" / f"{number:02d}.png", folder / "two")
        Image.fromarray(photographer.empty()).save(folder / "empty_walls" / f"{number}.png")
    (folder / "mixed" / "broken.png").write_bytes((folder / "good" / "03.png").read_bytes()[:2000])
    (folder / "mixed" / "rubbish.jpg").write_bytes(np.random.default_rng(0).bytes(500))
    Image.fromarray(photographer.empty()).save(folder / "mixed" / "wall.png")
    Image.fromarray(taken.pictures[5]).resize((320, 240)).save(folder / "mixed" / "small.png")
    (folder / "no_pictures").mkdir()
    (folder / "notes.txt").write_text("no picture")
    (folder / "camera.json").write_text("{}")
    true = standing("normal", *PLACES["before"])
    assert true.rotation is not None
    assert true.translation_m is not None
    pose = Pose(true.rotation.numpy() @ np.diag([1.0, -1.0, -1.0]), true.translation_m.numpy())
    Image.fromarray(photographer.picture(_wide_checkers(), pose)).save(folder / "floor.png")
    Image.fromarray(photographer.picture(_wide_checkers(), pose)).resize((320, 240)).save(folder / "small_floor.png")
    write_camera(taken.camera, folder / "known.json")
    write_camera(taken.camera.cropped((0, 0), (640, 900)), folder / "tall.json")
    return folder


def _wide_checkers() -> Any:
    """The board of the floor has larger squares than the one held in hand."""
    from board_pictures import Checkers

    return Checkers(8, 5, 0.090)


@pytest.fixture
def here(album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(album)
    return tmp_path


def sightline(call: str) -> int:
    return cli.main(call.split())


def said(capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    printed = capsys.readouterr()
    return printed.out, printed.err.splitlines()


# ---- good input ----------------------------------------------------------------------------------------------------


def test_a_folder_of_pictures_gives_a_camera_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline(f"calibrate good {BOARD} -o {here}/camera.json --plot {here}/coverage.png") == 0
    out, errors = said(capsys)
    assert not errors
    lines = out.splitlines()
    assert lines[0].startswith("camera from 12 pictures of a checkerboard of 8 × 5 inner corners, squares of 30 mm → ")
    words = [line.split()[0] for line in lines[1:]]
    assert words[:5] == ["reprojection", "focal", "principal", "field", "distortion"]
    assert [word for word in words if word.endswith(".png:")] == [f"{number:02d}.png:" for number in range(12)]
    found, true = read_camera(here / "camera.json"), CAMERAS["normal"]
    assert torch.allclose(found.focal_px, true.focal_px, rtol=3e-3)
    assert torch.allclose(found.center_px, true.center_px, atol=1.0)
    assert not found.has_world
    with Image.open(here / "coverage.png") as image:
        assert image.size[0] == 1600
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 1000


def test_json_holds_every_figure(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline(f"calibrate good {BOARD} -o {here}/camera.json --json") == 0
    out, _ = said(capsys)
    result = json.loads(out)
    assert result["image_size"] == list(SIZE)
    assert 0.01 < result["rms_px"] < 0.1
    assert len(result["pictures"]) == 12
    assert result["pictures"][3].keys() == {"name", "corners", "rms_px", "tilt_deg", "distance_m", "edge_px"}
    rms = np.sqrt(
        np.average([p["rms_px"] ** 2 for p in result["pictures"]], weights=[p["corners"] for p in result["pictures"]])
    )
    assert result["rms_px"] == pytest.approx(rms, rel=0.01)
    assert all(0.01 < std < 0.5 for std in result["focal_std_px"])
    assert result["fov_deg"] == pytest.approx([62.6, 48.4], abs=1.0)
    assert result["distortion"]["model"] == "brown_conrady"
    assert result["distortion"]["coefficients"]["k1"]["value"] == pytest.approx(-0.21, rel=0.05)
    assert 0.4 < result["coverage"]["share"] < 1.0
    assert result["left_out"] == result["unreadable"] == result["warnings"] == []
    written = json.loads((here / "camera.json").read_text())
    assert written["focal_px"] == pytest.approx(result["focal_px"], abs=1e-3)
    assert written["pixel_origin"] == "corner"


def test_good_pictures_among_bad_ones_are_used(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline(f"calibrate mixed {BOARD} -o {here}/camera.json") == 1
    out, errors = said(capsys)
    text = "\n".join(errors)
    assert "camera from 5 pictures" in out
    assert "broken.png" in text
    assert "rubbish.jpg" in text
    assert "sightline: wall.png: left out, since no board was found in it" in errors
    assert "sightline: small.png: left out, since it is 320 × 240 px, not 640 × 480 px like most" in errors
    assert any("only 5 pictures count" in line for line in errors)
    assert torch.allclose(read_camera(here / "camera.json").focal_px, CAMERAS["normal"].focal_px, rtol=5e-3)


def test_a_film_gives_a_camera(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each pose is held for half a second, with nothing and with waving in between."""
    taken, frames = shots("normal"), []
    wall = Photographer(taken.camera).empty()
    for number, pixels in enumerate(taken.pictures):
        waving = np.mean([np.roll(taken.pictures[number], shift, 1) for shift in range(-9, 10, 3)], 0).astype(np.uint8)
        frames += [wall, waving, *[pixels] * 5]
    write_video(here / "clip.mp4", frames, fps=10.0)
    assert sightline(f"calibrate {here}/clip.mp4 {BOARD} -o {here}/camera.json --json") == 0
    result = json.loads(said(capsys)[0])
    assert 10 <= len(result["pictures"]) <= 12
    assert all(picture["name"].startswith("clip frame ") for picture in result["pictures"])
    numbers = [int(picture["name"].split()[-1]) for picture in result["pictures"]]
    assert all(number % 7 >= 2 for number in numbers)
    assert torch.allclose(read_camera(here / "camera.json").focal_px, CAMERAS["normal"].focal_px, rtol=4e-3)


def test_pictures_turned_by_their_tag_are_read_upright(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Orientation 6: the stored picture is to be turned a quarter clockwise. All are: the camera is the turned one."""
    (here / "phone").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in sorted(Path("good").glob("*.png")):
        with Image.open(path) as image:
            image.save(here / "phone" / f"{path.stem}.jpg", quality=97, subsampling=0, exif=exif)
    assert sightline(f"calibrate {here}/phone {BOARD} -o {here}/camera.json --json") == 0
    result = json.loads(said(capsys)[0])
    assert result["turned"] == 1
    assert result["warnings"] == []
    found, expected = read_camera(here / "camera.json"), CAMERAS["normal"].quarter_turned(1)
    assert found.image_size.tolist() == [480.0, 640.0]
    assert torch.allclose(found.focal_px, expected.focal_px, rtol=3e-3)
    assert torch.allclose(found.center_px, expected.center_px, atol=1.5)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--coefficients 0", []),
        ("--coefficients 2", ["k1", "k2"]),
        ("--coefficients 5", ["k1", "k2", "k3", "p1", "p2"]),
        ("--coefficients 8", ["k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2"]),
        ("--model fisheye --coefficients 2", ["k1", "k2"]),
    ],
)
def test_the_lens_can_be_chosen(options: str, names: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sightline(f"calibrate some {BOARD} -o {here}/camera.json {options} --json") == 0
    lens, written = json.loads(said(capsys)[0])["distortion"], read_camera(here / "camera.json").distortion
    assert ([] if lens is None else list(lens["coefficients"])) == names
    model = None if written is None else written.model
    assert model == ("kannala_brandt" if "fisheye" in options else "brown_conrady" if names else None)


# ---- the floor -----------------------------------------------------------------------------------------------------

FLOOR_BOARD = "--board checkerboard --columns 8 --rows 5 --square-mm 90"


def test_a_known_camera_is_placed_over_the_floor(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = f"calibrate --camera known.json --floor-picture floor.png {FLOOR_BOARD} -o {here}/placed.json"
    assert sightline(call) == 0
    out, errors = said(capsys)
    assert not errors
    assert "1.200 m high, looking 33." in out
    placed, true = read_camera(here / "placed.json"), standing("normal", *PLACES["before"])
    assert torch.allclose(placed.position_world, true.position_world, atol=4e-3)
    assert torch.equal(placed.focal_px, CAMERAS["normal"].focal_px)
    assert sightline(f"{call} --json") == 0
    floor = json.loads(said(capsys)[0])["floor"]
    assert floor["height_m"] == pytest.approx(1.2, abs=4e-3)
    assert floor["up_std_deg"] < 0.1


def test_a_camera_of_another_resolution_keeps_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = f"calibrate --camera known.json --floor-picture small_floor.png {FLOOR_BOARD} -o {here}/placed.json"
    assert sightline(call) == 0
    said(capsys)
    placed = read_camera(here / "placed.json")
    assert placed.image_size.tolist() == list(SIZE)
    assert torch.allclose(placed.position_world, torch.tensor(PLACES["before"][0]).double(), atol=0.02)


def test_a_camera_of_the_picture_as_it_is_stored_is_turned_along(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The phone was held upright: its tag turns the picture by a quarter, and so must the camera."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open("floor.png") as image:
        image.save(here / "upright.jpg", quality=97, subsampling=0, exif=exif)
    call = f"calibrate --camera known.json --floor-picture {here}/upright.jpg {FLOOR_BOARD} -o {here}/placed.json"
    assert sightline(f"{call} --json") == 0
    assert json.loads(said(capsys)[0])["floor"]["roll_deg"] == pytest.approx(-90.0, abs=0.1)  # its right side is up
    placed = read_camera(here / "placed.json")
    assert placed.image_size.tolist() == [480.0, 640.0]
    assert torch.allclose(placed.position_world, torch.tensor(PLACES["before"][0]).double(), atol=5e-3)


def test_pictures_and_floor_in_one_call(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The pictures' board and the floor's are the same, as the option says: here held pictures scaled by three."""
    assert sightline(f"calibrate good {FLOOR_BOARD} --floor-picture floor.png -o {here}/placed.json --json") == 0
    result = json.loads(said(capsys)[0])
    assert result["floor"]["height_m"] == pytest.approx(1.2, abs=0.01)
    placed, true = read_camera(here / "placed.json"), standing("normal", *PLACES["before"])
    assert placed.rotation is not None
    assert true.rotation is not None
    assert torch.allclose(placed.position_world, true.position_world, atol=0.01)
    assert torch.allclose(placed.rotation, true.rotation, atol=5e-3)


# ---- bad input -----------------------------------------------------------------------------------------------------

CASES: list[tuple[str, int, str, str]] = [
    # ---- pictures
    (f"nowhere {BOARD} -o {{out}}/c.json", 1, "nowhere", ""),
    (f"no_pictures {BOARD} -o {{out}}/c.json", 1, "no_pictures", ""),
    (f"notes.txt {BOARD} -o {{out}}/c.json", 1, "notes.txt", ""),
    (f"mixed/rubbish.jpg {BOARD} -o {{out}}/c.json", 1, "rubbish.jpg", ""),
    (f"empty_walls {BOARD} -o {{out}}/c.json", 1, "empty_walls: no picture of 2 shows a checkerboard", "white rim?"),
    (f"two {BOARD} -o {{out}}/c.json", 1, "two: the board was found in 2 pictures only", "expected at least 3"),
    (f"two empty_walls {BOARD} -o {{out}}/c.json", 1, "two and 1 more: the board was found in 2 pictures", "out of 4"),
    (
        "some --board checkerboard --columns 9 --rows 6 --square-mm 30 -o {out}/c.json",
        1,
        "some: no picture of 5 shows",
        "one fewer than squares; give --columns 8 --rows 5",
    ),
    ("some --board charuco --columns 9 --rows 6 --square-mm 30 -o {out}/c.json", 1, "some", "--board checkerboard"),
    (f"webcam:0 {BOARD} -o {{out}}/c.json", 2, "webcam", "got a live camera; record a film"),
    (f"{BOARD} -o {{out}}/c.json", 2, "expected pictures of the board, got none", ""),
    # ---- the board
    ("good --columns 8 --rows 5 --square-mm 30 -o {out}/c.json", 2, "--board", "missing"),
    ("good --board checkerboard --columns 1 --rows 1 --square-mm 30 -o {out}/c.json", 2, "--columns", "inner corners"),
    ("good --board checkerboard --columns 8 --rows 5 --square-mm nan -o {out}/c.json", 2, "--square-mm", "got nan"),
    ("good --board checkerboard --columns 8 --rows 5 --square-mm 0 -o {out}/c.json", 2, "--square-mm", "got 0"),
    (
        "good --board checkerboard --columns 8 --rows 5 --square-mm 0.03 -o {out}/c.json",
        2,
        "--square-mm",
        "millimetres",
    ),
    ("good --board checkerboard --columns 8.5 --rows 5 --square-mm 30 -o {out}/c.json", 2, "--columns", "whole number"),
    (f"good {BOARD} --marker-mm 20 -o {{out}}/c.json", 2, "--marker-mm", "a checkerboard has no markers"),
    (f"good {BOARD} --dictionary DICT_4X4_50 -o {{out}}/c.json", 2, "--dictionary", "a checkerboard has no markers"),
    (
        "good --board charuco --columns 9 --rows 6 --square-mm 30 --marker-mm 31 -o {out}/c.json",
        2,
        "--marker-mm",
        "fits into its square",
    ),
    (
        "good --board charuco --columns 9 --rows 6 --square-mm 30 --dictionary DICT_9X9 -o {out}/c.json",
        2,
        "--dictionary",
        "one of DICT_4X4_50",
    ),
    ("good --board chessboard --columns 8 --rows 5 --square-mm 30 -o {out}/c.json", 2, "--board", "charuco"),
    # ---- the lens
    (f"good {BOARD} --coefficients 3 -o {{out}}/c.json", 2, "--coefficients", "brown_conrady takes one of auto, 0, 1"),
    (f"good {BOARD} --model fisheye --coefficients 8 -o {{out}}/c.json", 2, "--coefficients", "fisheye takes one of"),
    (f"good {BOARD} --coefficients all -o {{out}}/c.json", 2, "--coefficients", "got 'all'"),
    (f"good {BOARD} --model pinhole -o {{out}}/c.json", 2, "--model", "got 'pinhole'"),
    (f"good {BOARD} --max-pictures 2 -o {{out}}/c.json", 2, "--max-pictures", "expected 3 or more, got 2"),
    # ---- outputs
    (f"good {BOARD}", 2, "--out", "missing"),
    (f"good {BOARD} -o {{out}}/c.yml", 2, "c.yml", "ends in .json"),
    (f"good {BOARD} -o {{out}}/none/c.json", 2, "none", "does not exist"),
    (f"good {BOARD} -o good", 2, "good", "ends in .json"),
    (f"good {BOARD} -o {{out}}/c.json --plot {{out}}/c.pdf", 2, "c.pdf", "ends in .png"),
    (f"good/00.png {BOARD} -o {{out}}/c.json --plot good/00.png", 2, "00.png", "is an input"),
    # ---- the floor
    (f"good {BOARD} --floor-picture nowhere.png -o {{out}}/c.json", 1, "nowhere.png", ""),
    (f"good {BOARD} --floor-picture mixed/wall.png -o {{out}}/c.json", 1, "wall.png: does not show the checker", ""),
    (f"good {BOARD} --floor-picture small_floor.png -o {{out}}/c.json", 1, "small_floor.png", "of 640 × 480 px"),
    (f"--camera known.json {BOARD} -o {{out}}/c.json", 2, "--camera", "expected --floor-picture"),
    (f"good --camera known.json --floor-picture floor.png {BOARD} -o {{out}}/c.json", 2, "--camera", "alone"),
    (f"--camera camera.json --floor-picture floor.png {BOARD} -o {{out}}/c.json", 1, "camera.json", "image_size"),
    (f"--camera tall.json --floor-picture floor.png {BOARD} -o {{out}}/c.json", 1, "tall.json: does not fit", "aspect"),
    (f"--camera nowhere.json --floor-picture floor.png {BOARD} -o {{out}}/c.json", 1, "nowhere.json", "No such"),
    (f"--camera known.json --floor-picture floor.png {BOARD} -o known.json", 2, "known.json", "is an input"),
    # ---- drawing
    (f"good {BOARD} --draw-board {{out}}/b.png", 2, "--draw-board", "alone"),
    (f"{BOARD} --draw-board {{out}}/b.svg", 2, "b.svg", "ends in .png or .pdf"),
    (f"{BOARD} --draw-board {{out}}/b.png --dpi 0", 2, "--dpi", "expected 30 to 4800"),
    (f"{BOARD} --draw-board {{out}}/b.png --dpi nan", 2, "--dpi", "got nan"),
    (
        "--board checkerboard --columns 90 --rows 90 --square-mm 900 --draw-board {out}/b.png",
        2,
        "b.png",
        "give a lower --dpi",
    ),
]


@pytest.mark.parametrize(("call", "code", "named", "expected"), CASES)
def test_bad_input_is_one_sentence_and_no_file(
    call: str, code: int, named: str, expected: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sightline("calibrate " + call.format(out=here)) == code
    out, errors = said(capsys)
    assert not out
    sentence = errors[-1]
    assert sentence.startswith("sightline: ")
    assert named in sentence or any(named in line for line in errors)
    assert expected in sentence
    assert "Traceback" not in sentence
    assert "cv2" not in sentence
    assert "error: (" not in sentence
    assert not list(here.iterdir())


def test_a_folder_that_cannot_be_written_into(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert sightline(f"calibrate good {BOARD} -o {here}/camera.json") == 2
    assert "cannot be written into" in said(capsys)[1][0]


def test_a_charuco_board_from_photos(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = shots("normal", "charuco")
    (here / "charuco").mkdir()
    for number, pixels in enumerate(taken.pictures):
        Image.fromarray(pixels).save(here / "charuco" / f"{number:02d}.png", compress_level=1)
    board = "--board charuco --columns 7 --rows 5 --square-mm 40 --marker-mm 30 --dictionary DICT_5X5_100"
    assert sightline(f"calibrate {here}/charuco {board} -o {here}/camera.json") == 0
    said(capsys)
    assert torch.allclose(read_camera(here / "camera.json").focal_px, CAMERAS["normal"].focal_px, rtol=3e-3)
    assert charuco_print().square_m == 0.040
