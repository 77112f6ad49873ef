"""What the pages show runs: every `sightline …` line in a console block, and the README's Python.

Names in capitals stand for files of the reader's own; lines with such names are only parsed.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from sightline.cli import main
from sightline.cli.app import COMMANDS, _parsed
from sightline.formats.weights import shipped_weights
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "src/sightline/assets/demo"
BLOCK = re.compile(r"^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
STANDS_FOR_A_FILE = re.compile(r"\b[A-Z][A-Z0-9_]{2,}")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [found["text"] for found in BLOCK.finditer(text) if found["language"] == language]


def calls(page: str) -> list[str]:
    """The lines of console blocks that call Sightline, without a prompt, continued lines joined."""
    lines = "".join(blocks(page, "console")).replace("\\\n", " ").splitlines()
    stripped = (line.strip().removeprefix("$ ") for line in lines)
    return [line for line in stripped if line.startswith("sightline ") or line == "sightline"]


@pytest.fixture
def reader(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, tiny_lifters: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A reader's empty folder; a checkout that ships no weights yet lends a tiny lifter."""
    monkeypatch.chdir(tmp_path)
    if not (shipped_weights() / f"{DEFAULT_WEIGHTS}.json").exists():
        folder = shutil.copytree(tiny_lifters, tmp_path_factory.mktemp("lent"), dirs_exist_ok=True)
        (folder / "stature.json").rename(folder / f"{DEFAULT_WEIGHTS}.json")
        monkeypatch.setattr("sightline.formats.weights.shipped_weights", lambda: folder)
    return tmp_path


@pytest.mark.parametrize("page", ["docs/commands.md", "README.md"])
def test_every_call_on_the_page_can_be_made(page: str, reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for call in calls(page):
        arguments = shlex.split(call)[1:]
        if STANDS_FOR_A_FILE.search(call):
            assert type(_parsed(arguments)) is COMMANDS[arguments[0]], call
        else:
            assert main(arguments) == 0, f"{call}: {capsys.readouterr().err}"
    capsys.readouterr()


def test_the_page_shows_every_command_and_runs_most() -> None:
    shown = [shlex.split(call)[1] for call in calls("docs/commands.md")]
    run = {shlex.split(call)[1] for call in calls("docs/commands.md") if not STANDS_FOR_A_FILE.search(call)}
    assert set(shown) == set(COMMANDS)
    assert run >= {"demo", "lift", "evaluate", "train", "bench"}
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs/commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted(COMMANDS)


def test_the_readmes_python_runs(reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, sample in (("people.json", "keypoints.json"), ("camera.json", "camera.json")):
        shutil.copy(SAMPLE / sample, reader / name)
    text = "\n".join(blocks("README.md", "python"))
    assert "sightline.lift(" in text
    exec(compile(text, "README.md", "exec"), {})
    assert "m away" in capsys.readouterr().out


def test_calls_are_found_in_the_text() -> None:
    page = (
        "text\n```console\n$ sightline lift a.json \\\n  -o b.json\nprinted\nsightline bench\n```\n```python\nx\n```\n"
    )
    found = [match["text"] for match in BLOCK.finditer(page)]
    assert len(found) == 2
    assert STANDS_FOR_A_FILE.search("sightline fit noise DETECTED.json x")
    assert not STANDS_FOR_A_FILE.search("sightline lift demo/keypoints.json -o B.npz --json")
