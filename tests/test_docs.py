"""What the pages show runs: every `sightline …` line in a console block, and the README's Python.

Names in capitals stand for files of the reader's own; lines with such names are only parsed.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from mocap_files import write_example_folders
from sightline.cli import main
from sightline.cli.app import COMMANDS, _parsed
from sightline.formats.weights import shipped_weights
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "src/sightline/assets/demo"
BLOCK = re.compile(r"^ *```(?P<language>\w+)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
STANDS_FOR_A_FILE = re.compile(r"\b[A-Z][A-Z0-9_]{2,}")


PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
)


FRAGMENTS = {
    "docs/conventions.md": "shows names only",
    "docs/metrics.md": "judges files of the reader's own",
    "docs/noise.md": "fits to files of the reader's own",
    "docs/training.md": "trains on the reader's own motion library",
}
"""Pages whose Python cannot run by itself, and why."""


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [found["text"] for found in BLOCK.finditer(text) if found["language"] == language]


def calls(page: str) -> list[str]:
    """The lines of console blocks that call Sightline, without a prompt, continued lines joined."""
    lines = "".join(blocks(page, "console")).replace("\\\n", " ").splitlines()
    stripped = (line.strip().removeprefix("$ ") for line in lines)
    return [line for line in stripped if line.startswith("sightline ") or line == "sightline"]


@pytest.fixture(scope="module")
def lent_weights(tmp_path_factory: pytest.TempPathFactory, tiny_lifters: Path) -> Path | None:
    """A tiny lifter under the shipped one's name, for a checkout that ships no weights yet."""
    if (shipped_weights() / f"{DEFAULT_WEIGHTS}.json").exists():
        return None
    folder = shutil.copytree(tiny_lifters, tmp_path_factory.mktemp("lent"), dirs_exist_ok=True)
    (folder / "stature.json").rename(folder / f"{DEFAULT_WEIGHTS}.json")
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, lent_weights: Path | None) -> Path:
    """What a reader has after `sightline demo` and one `lift`: `demo/` and `poses.json`."""
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        if lent_weights is not None:
            patch.setattr("sightline.formats.weights.shipped_weights", lambda: lent_weights)
        assert main(["demo", "-o", "demo", "--no-movie"]) == 0
        assert main(["lift", "demo/keypoints.json", "--camera", "demo/camera.json", "-o", "poses.json"]) == 0
    return folder


@pytest.fixture
def reader(tmp_path: Path, desk: Path, lent_weights: Path | None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, as the pages suppose it."""
    shutil.copytree(desk, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    if lent_weights is not None:
        monkeypatch.setattr("sightline.formats.weights.shipped_weights", lambda: lent_weights)
    return tmp_path


LONG_CALLS = {
    "docs/prior.md", "docs/commands/lift.md", "docs/films.md", "docs/commands/fit.md", "docs/commands/evaluate.md",
}  # fmt: skip
LONG_PYTHON = {"docs/films.md"}
"""Pages that take longer than eight seconds."""


def _marked(pages: list[str], long: set[str]) -> list[object]:
    return [pytest.param(page, marks=pytest.mark.slow) if page in long else page for page in pages]


@pytest.mark.parametrize("page", _marked([page for page in PAGES if calls(page)], LONG_CALLS))
def test_every_call_on_the_page_can_be_made(page: str, reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for call in calls(page):
        arguments = shlex.split(call)[1:]
        if STANDS_FOR_A_FILE.search(call):
            assert type(_parsed(arguments)) is COMMANDS[arguments[0]], call
        else:
            assert main(arguments) == 0, f"{call}: {capsys.readouterr().err}"
    capsys.readouterr()


@pytest.mark.parametrize(
    "page", _marked([page for page in PAGES if blocks(page, "python") and page not in FRAGMENTS], LONG_PYTHON)
)
def test_the_pages_python_runs(page: str, reader: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, sample in (("people.json", "keypoints.json"), ("camera.json", "camera.json")):
        shutil.copy(SAMPLE / sample, reader / name)
    write_example_folders(reader)
    exec(compile("\n".join(blocks(page, "python")), page, "exec"), {"__name__": "__page__"})
    capsys.readouterr()


def test_every_command_has_a_page_that_calls_it() -> None:
    pages = {path.stem for path in (ROOT / "docs/commands").glob("*.md")} - {"README"}
    assert pages == set(COMMANDS)
    for command in COMMANDS:
        shown = {shlex.split(call)[1] for call in calls(f"docs/commands/{command}.md") if call != "sightline"}
        assert command in shown, f"docs/commands/{command}.md shows no call of it"
        text = (ROOT / f"docs/commands/{command}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# sightline {command}\n")
    index = (ROOT / "docs/commands/README.md").read_text(encoding="utf-8")
    assert all(f"({command}.md)" in index for command in COMMANDS)


def test_the_pages_run_most_commands() -> None:
    every = [call for page in PAGES for call in calls(page)]
    run = {shlex.split(call)[1] for call in every if call != "sightline" and not STANDS_FOR_A_FILE.search(call)}
    assert run >= {"demo", "lift", "evaluate", "train", "bench", "models"}


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text)
    assert not [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]


def test_calls_are_found_in_the_text() -> None:
    page = (
        "text\n```console\n$ sightline lift a.json \\\n  -o b.json\nprinted\nsightline bench\n```\n```python\nx\n```\n"
    )
    found = [match["text"] for match in BLOCK.finditer(page)]
    assert len(found) == 2
    assert STANDS_FOR_A_FILE.search("sightline fit noise DETECTED.json x")
    assert not STANDS_FOR_A_FILE.search("sightline lift demo/keypoints.json -o B.npz --json")
