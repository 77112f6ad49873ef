"""`sightline render`: what it writes, prints and refuses, with fake pictures, and twice with real ones."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fake_renders import FakeRenders
from sightline.cli import main
from sightline.cli import render as command
from sightline.synth import config as recipes
from sightline.synth.backdrops import picture_files
from sightline.synth.dataset import Credit
from sightline.synth.reading import RenderedSet

CREDIT = Credit(what="nothing", licence="CC0")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Configurations, poses and seeds that the renderer was asked for, which is a fake one."""
    calls: list[Any] = []

    def renderer(config: recipes.SceneConfig, poses: Path | None, split: str, seed: int) -> Any:
        calls.append((config, poses, split, seed))
        return FakeRenders(size=config.image_sizes[0], seed=seed), {"fake": True}, (CREDIT,)

    monkeypatch.setattr(command, "renderer", renderer)
    monkeypatch.setattr(command, "_NEEDED", {})
    return calls


def test_a_set_with_its_sheets_is_written(asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "renders"
    call = f"render -o {folder} --count 10 --size 48x32 --shard-size 4 --seed 5"
    assert main(call.split()) == 0
    assert capsys.readouterr().out == f"10 pictures of 15 people in 3 shards → {folder}\n"
    assert {path.name for path in folder.iterdir()} == {
        "set.json",
        "shard-00000.npz",
        "shard-00001.npz",
        "shard-00002.npz",
        "contact.png",
        "labels.png",
    }
    found = RenderedSet(folder)
    assert found.manifest.seed == 5
    assert found.manifest.credits == (CREDIT,)
    assert found[9].image.shape == (32, 48, 3)
    with Image.open(folder / "contact.png") as sheet:
        assert sheet.width > 8 * 256
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main([*call.split(), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed | {"seconds": 0} == {"pictures": 10, "people": 15, "shards": 3, "found": 3, "seconds": 0}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert main(["render", "--verify", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"pictures": 10, "shards": 3, "faults": []}


@pytest.mark.filterwarnings("default")
def test_damage_is_named_and_mended(asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"render -o {tmp_path} --count 10 --shard-size 4".split()) == 0
    assert main(["render", "--verify", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "10 pictures in 3 shards, all whole"
    (tmp_path / "shard-00001.npz").write_bytes(b"PK")
    (tmp_path / "shard-00002.npz").unlink()
    assert main(["render", "--verify", str(tmp_path)]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"sightline: {tmp_path}/shard-00001.npz: ")
    assert second.startswith(f"sightline: {tmp_path}/shard-00002.npz: cannot be read")
    before = (tmp_path / "shard-00000.npz").stat().st_mtime_ns
    assert main(f"render -o {tmp_path} --count 10 --shard-size 4".split()) == 0
    printed = capsys.readouterr()
    assert printed.out == f"10 pictures of 15 people in 3 shards (1 of them were there) → {tmp_path}\n"
    damaged = "damaged, its bytes are not those that were written; this shard is rendered anew"
    assert printed.err == f"sightline: {tmp_path}/shard-00001.npz: {damaged}\n"
    assert (tmp_path / "shard-00000.npz").stat().st_mtime_ns == before
    assert main(["render", "--verify", str(tmp_path)]) == 0


def test_a_set_is_enlarged_but_not_made_smaller(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, counts in (("grown", (10, 13)), ("once", (13,))):
        for count in counts:
            assert main(f"render -o {tmp_path / folder} --count {count} --shard-size 4".split()) == 0
    grown, once = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("grown", "once"))
    assert grown == once  # the sheets too
    capsys.readouterr()
    assert main(f"render -o {tmp_path / 'grown'} --count 12 --shard-size 4".split()) == 1
    told = f"sightline: --count: expected at least as many pictures as {tmp_path / 'grown'} holds already, got 12"
    assert capsys.readouterr().err == f"{told}; a set can grow, not shrink\n"


def test_options_become_a_configuration(asked: list[Any], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert main(f"render -o {tmp_path / 'a'} --count 1".split()) == 0
    assert asked[-1] == (recipes.street(), None, "train", 0)
    options = (
        "--people 2 --shares props=0 truncated_share=0.5 child_share=1 figure_reuse=3 --size 64x48 --recipe studio"
    )
    assert main(f"render -o {tmp_path / 'b'} --count 1 {options} --backgrounds {tmp_path}/photos".split()) == 0
    config = asked[-1][0]
    assert config.crowd.people == (2, 2)
    assert (config.props, config.camera.truncated_share, config.crowd.child_share) == (0.0, 0.5, 1.0)
    assert config.image_sizes == ((64, 48),)
    assert config.figure_reuse == 3
    assert config.camera.fill == recipes.studio().camera.fill
    assert config.backgrounds == (("folder", 1.0),)
    assert config.picture_folder == str(tmp_path / "photos")


def test_the_page_lists_every_share() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs/commands/render.md").read_text(encoding="utf-8")
    assert [name for name in command.shares_of(recipes.street()) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", "expected either --out FOLDER to write or --verify FOLDER to check"),
        ("-o {out} --verify {out}", "expected either --out"),
        ("-o {out} --count 0", "--count: expected at least 1, got 0"),
        ("-o {out} --workers 0", "--workers: expected at least 1, got 0"),
        ("-o {out} --shard-size 0", "--shard-size: expected at least 1, got 0"),
        ("-o {out} --seed -1", "--seed: expected 0 or more, got -1"),
        ("-o {out} --size 256", "--size: expected 256x256, got '256'"),
        ("-o {out} --size 8x8", "at least 16 px"),
        ("-o {out} --people many", "--people: expected 2 or 1-4, got 'many'"),
        ("-o {out} --people 4-1", "expected 0 <= least <= most"),
        ("-o {out} --shares props", "expected NAME=SHARE with a name among clothes"),
        ("-o {out} --shares props=2", "--props: expected a share of 0 to 1, got 2"),
        ("-o {out} --shares figure_reuse=0", "expected NAME=SHARE with a name among clothes"),
        ("-o {out} --shares hats=1", "expected NAME=SHARE with a name among clothes"),
        ("-o {out} --recipe opera", "opera"),
        ("-o {out} --split val", "--split: expected --poses, the motion capture to take val from, got none"),
        ("-o {out} --split all", "--split: expected one of"),
        ("-o {file}/x", "is a file"),
    ],
)
def test_a_wrong_call_is_one_sentence(
    options: str, told: str, asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert main(["render", *options.format(out=tmp_path / "out", file=tmp_path / "file").split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told.removeprefix("--props: ") in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("-o {out} --backgrounds {out}/none", "expected a folder of pictures"),
        ("-o {out} --poses {out}/none.npz", "none.npz"),
        ("--verify {out}/none", "expected a rendered set"),
    ],
)
def test_bad_input_is_one_sentence(options: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", *options.format(out=tmp_path / "out").split()]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


# ---- what decides the pictures -------------------------------------------------------------------------------------


def test_rays_per_pixel_are_part_of_the_description() -> None:
    make, described, _ = command.renderer(recipes.plain(), None, "train", 0)
    assert described["samples"] == make.samples  # pyright: ignore[reportFunctionMemberAccess]
    assert json.loads(json.dumps(described))["scene"]["clothes"] == 0.0


def test_backgrounds_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    folder = tmp_path / "here" / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("a.png", "more/b.png"):
        Image.new("RGB", (8, 8), "red").save(folder / name, "BMP")

    def known(path: Path) -> str:
        picture_files.cache_clear()
        config = replace(recipes.plain(), picture_folder=str(path), backgrounds=(("folder", 1.0),))
        return command.renderer(config, None, "train", 0)[1]["scene"]["picture_folder"]

    first = known(folder)
    assert re.fullmatch(r"photos \(sha256 [0-9a-f]{16}\)", first)
    shutil.copytree(folder, tmp_path / "there" / "photos")
    assert known(tmp_path / "there" / "photos") == first
    size = (folder / "a.png").stat().st_size
    Image.new("RGB", (8, 8), "blue").save(folder / "a.png", "BMP")
    assert (folder / "a.png").stat().st_size == size
    edited = known(folder)
    assert edited != first
    (folder / "more/b.png").rename(folder / "more/c.png")
    assert known(folder) not in (first, edited)


# ---- folders that warp and Anny need -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folders", "failing", "told"),
    [
        (("{home}/.cache/warp/1", "{home}/.cache/anny"), "{home}", ("WARP_CACHE_PATH", "ANNY_CACHE_DIR")),
        (("{tmp}/1", "{home}/.cache/anny"), "{home}/.cache", ("ANNY_CACHE_DIR",)),
        (("{tmp}/1", "{tmp}/2"), "{tmp}/1/kernel", ("WARP_CACHE_PATH",)),
        (("{tmp}/1", "{tmp}/2"), "{tmp}-elsewhere", ()),
        (("{tmp}/1", "{tmp}/2"), None, ()),
    ],
)
def test_a_folder_for_prepared_data_that_cannot_be_used_is_named(
    folders: tuple[str, str], failing: str | None, told: tuple[str, ...],
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def at(text: str) -> str:
        return text.format(home="/proc/none", tmp=tmp_path)

    def refused(index: int) -> None:
        raise PermissionError(13, "Permission denied", at(failing) if failing else None)

    both = dict(zip(("WARP_CACHE_PATH", "ANNY_CACHE_DIR"), (Path(at(folder)) for folder in folders), strict=True))
    monkeypatch.setattr(command, "_cache_folders", lambda: both)
    monkeypatch.setattr(command, "renderer", lambda *_: (refused, {"fake": True}, (CREDIT,)))
    assert main(f"render -o {tmp_path / 'set'} --count 1".split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert [name for name in both if f"{both[name]} (let {name} name another folder)" in line] == list(told)
    assert line.endswith(f"{at(failing or 'a file')}: Permission denied")


def test_no_home_folder_is_one_sentence(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def homeless(index: int) -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(command, "renderer", lambda *_: (homeless, {"fake": True}, (CREDIT,)))
    assert main(f"render -o {tmp_path / 'set'} --count 1".split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "sightline: render: no home folder is known to keep compiled kernels in; set HOME to a folder"


@pytest.mark.slow
def test_the_folders_are_those_of_warp_and_anny(tmp_path: Path) -> None:
    pytest.importorskip("anny")
    pytest.importorskip("warp")
    code = (
        "import warp; from sightline.cli.render import _cache_folders; warp.init(); print(*_cache_folders().values())"
    )
    ours = {"WARP_CACHE_PATH": str(tmp_path / "kernels"), "ANNY_CACHE_DIR": str(tmp_path / "bodies")}
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | ours, capture_output=True, text=True, check=True
    )
    kernels, bodies = map(Path, run.stdout.splitlines()[-1].split())
    assert kernels.parent == tmp_path / "kernels"
    assert kernels.is_dir()
    assert bodies == tmp_path / "bodies"


def test_ctrl_c_says_how_to_go_on(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(index: int) -> None:
        if index == 5:
            raise KeyboardInterrupt
        return FakeRenders(size=(256, 256))(index)  # pyright: ignore[reportReturnType]

    with monkeypatch.context() as patch:
        patch.setattr(command, "renderer", lambda *_: (interrupted, {"fake": True}, (CREDIT,)))
        assert main(f"render -o {tmp_path} --count 10 --shard-size 4".split()) == 1
    assert capsys.readouterr().err == "sightline: interrupted; the same call goes on after the last whole shard\n"
    assert {path.name for path in tmp_path.iterdir()} == {"set.json", "shard-00000.npz"}
    assert main(f"render -o {tmp_path} --count 10 --shard-size 4".split()) == 0
    assert "(1 of them were there)" in capsys.readouterr().out


# ---- with real pictures --------------------------------------------------------------------------------------------

REAL = "--count 8 --shard-size 2 --size 96x80 --seed 11 --people 1-2 --json"


@pytest.mark.slow
def test_a_real_run_that_is_killed_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    pytest.importorskip("anny")
    pytest.importorskip("warp")
    call = [sys.executable, "-m", "sightline.cli", "render", *REAL.split(), "-o"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    first = subprocess.run([*call, str(whole)], capture_output=True, text=True, check=True)
    counts = json.loads(first.stdout)
    assert (counts["pictures"], counts["shards"], counts["found"]) == (8, 4, 0)
    assert 8 <= counts["people"] <= 16
    run = subprocess.Popen([*call, str(killed)], stdout=subprocess.DEVNULL)
    while not (killed / "shard-00000.npz").exists():
        assert run.poll() is None
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    found = len(list(killed.glob("shard-*.npz")))
    assert found < 4
    again = subprocess.run([*call, str(killed), "--workers", "2"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["found"] == found
    bytes_of = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (whole, killed)]
    assert bytes_of[0] == bytes_of[1]
    assert main(["render", "--verify", str(killed)]) == 0
    for picture in RenderedSet(whole):
        assert picture.image.shape == (80, 96, 3)
        for person in picture.people:
            projected, valid = picture.camera.project(torch.from_numpy(person.landmarks_cam).double())
            assert np.abs(projected[valid].numpy() - person.landmarks_px[valid.numpy()]).max() < 1e-4 * 3


FLY_SCRIPT = """
import hashlib
from torch.utils.data import DataLoader
from sightline.synth.config import studio
from sightline.synth.poses import ProceduralPoses
from sightline.synth.stream import OnTheFly, Scenes

def convert(rendered):
    return hashlib.sha256(rendered.image.tobytes()).hexdigest()

if __name__ == "__main__":
    stream = OnTheFly(make=Scenes(config=studio(), poses=ProceduralPoses(), seed=3), length=4, convert=convert).warmed()
    alone = [stream[index] for index in range(4)]
    assert len(set(alone)) == 4
    for start in ("fork", "spawn"):
        assert list(DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context=start)) == alone, start
"""


@pytest.mark.slow
def test_workers_of_a_loader_render_what_one_process_renders(tmp_path: Path) -> None:
    pytest.importorskip("anny")
    pytest.importorskip("warp")
    script = tmp_path / "fly.py"
    script.write_text(FLY_SCRIPT)
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=280)
    assert run.returncode == 0, run.stderr
