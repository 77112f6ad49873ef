"""Runs that write a rendered set: killed, taken up again, by several processes, and refused."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_array_equal

from fake_renders import COUNT, MAKE, SHARD, FakeRenders, contents, written
from sightline.errors import InputError
from sightline.synth.dataset import Encoding, Written, check_set, renderer_versions, write_set
from sightline.synth.reading import RenderedSet
from sightline.synth.rendered import Rendered

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_several_workers_write_the_same_bytes(fake_set: Path, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    started: list[int] = []
    options: dict[str, Any] = {"workers": 2, "before_workers": lambda: started.append(1)}
    done = written(tmp_path, **options, progress=lambda *counts: progress.append(counts))
    assert done == Written(count=COUNT, shards=3, found=0)
    assert progress == [(number, COUNT) for number in range(1, COUNT + 1)]
    assert contents(tmp_path) == contents(fake_set)
    assert written(tmp_path, **options).found == 3
    assert started == [1]  # nothing to do, nobody to prepare for


KILLED_SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
from fake_renders import FakeRenders
from sightline.synth.dataset import write_set
chance = random.Random(5)
kills, folder = 0, Path(sys.argv[1])
while True:
    child = os.fork()
    if child == 0:
        write_set(folder, FakeRenders(seconds=0.01), 40, seed=3, config={"name": "fake"}, shard_size=4)
        os._exit(0)
    time.sleep(chance.uniform(0.02, 0.15))
    if kills < 12:
        os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == 0:
        break
    kills += 1
print(kills)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path: Path) -> None:
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-c", KILLED_SCRIPT, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "tests")
    assert int(run.stdout) >= 2
    write_set(whole, FakeRenders(), 40, seed=3, config={"name": "fake"}, shard_size=4)
    assert contents(folder) == contents(whole)


def test_what_a_killed_run_left_is_cleared_and_other_files_stay(copied: Path) -> None:
    (copied / ".sightline-0123456789abcdef.npz").write_bytes(b"half")
    (copied / "notes.txt").write_text("mine")
    (copied / "shard-00001.npz").unlink()
    before = contents(copied)
    done = written(copied)
    assert done == Written(count=COUNT, shards=3, found=2)
    after = contents(copied)
    assert after.keys() == before.keys() - {".sightline-0123456789abcdef.npz"} | {"shard-00001.npz"}
    assert check_set(copied)[1] == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"shard_size": 9}, "shard_size is 8 there and 9 here"),
        ({"config": {"sizes": [1, 2], "name": "other"}}, "config.name is fake there and other here"),
        ({"config": {"sizes": [1, 2], "name": "fake", "new": 1}}, "config.new is None there and 1 here"),
        ({"encoding": Encoding(depth=False)}, "encoding.depth is True there and False here"),
    ],
)
def test_another_set_is_not_gone_on_with(changes: dict[str, Any], told: str, copied: Path) -> None:
    before = contents(copied)
    with pytest.raises(InputError, match=re.escape(f"{copied}: holds another set: {told};")):
        written(copied, **changes)
    assert contents(copied) == before


def test_other_code_of_the_renderer_is_noticed(copied: Path) -> None:
    with pytest.raises(
        InputError, match="holds another set: made_with.renderer is None there and sha256:[0-9a-f]{16} here"
    ):
        written(copied, made_with={"renderer": renderer_versions()["renderer"]})


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_picture_that_fails_ends_the_run_and_what_was_finished_stays(workers: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="picture 18: cannot be rendered"):
        written(tmp_path, replace(MAKE, breaks_at=18), workers=workers)
    first = {"set.json", "shard-00000.npz", "shard-00001.npz"}
    assert contents(tmp_path).keys() == first if workers == 1 else contents(tmp_path).keys() <= first
    with pytest.raises(InputError, match="of 3 shards are missing, .* make the same call of `sightline render` again"):
        RenderedSet(tmp_path)
    assert any("shard-00002.npz" in fault for fault in check_set(tmp_path)[1])
    found = len(contents(tmp_path)) - 1
    assert written(tmp_path).found == found
    assert check_set(tmp_path)[1] == []


# ---- a set that grows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Makes fake pictures and remembers which."""

    make: FakeRenders = MAKE
    asked: list[int] = field(default_factory=list)

    def __call__(self, index: int) -> Rendered:
        self.asked.append(index)
        return self.make(index)


@pytest.mark.parametrize(
    ("first", "then", "encoding"),
    [
        (COUNT, 30, Encoding()),
        (COUNT, 24, Encoding(image="jpeg", mask=False)),
        (16, 17, Encoding(body=False)),
        (5, 40, Encoding(image="raw")),
        (9, 10, Encoding(depth=False)),  # the last one has a single picture, of nobody
    ],
)
def test_an_enlarged_set_is_the_one_rendered_at_once(first: int, then: int, encoding: Encoding, tmp_path: Path) -> None:
    grown, once = tmp_path / "grown", tmp_path / "once"
    make = Counted()
    written(grown, make, first, encoding=encoding)
    done = written(grown, make, then, encoding=encoding)
    assert make.asked == list(range(then))  # no picture is rendered twice
    assert done.found == first // SHARD
    written(once, count=then, encoding=encoding)
    assert contents(grown) == contents(once)
    assert check_set(grown)[1] == []


@pytest.mark.slow
def test_several_workers_enlarge_a_set_to_the_same_bytes(tmp_path: Path) -> None:
    grown, once = tmp_path / "grown", tmp_path / "once"
    written(grown)
    assert written(grown, count=60, workers=2).found == 2
    written(once, count=60)
    assert contents(grown) == contents(once)


def test_a_set_does_not_shrink(copied: Path) -> None:
    before = contents(copied)
    with pytest.raises(
        InputError, match=f"^count: expected at least as many pictures as {copied} holds already, got 20; a set can"
    ):
        written(copied, count=20)
    assert contents(copied) == before


def test_an_enlargement_that_was_stopped_goes_on(copied: Path) -> None:
    """Meanwhile the set is unfinished, not damaged, and its pictures so far are not lost."""
    opened = RenderedSet(copied)
    with pytest.raises(ValueError, match="picture 22: cannot be rendered"):
        written(copied, replace(MAKE, breaks_at=22), 23)
    unfinished = "shard-00002.npz: holds only the first 5 of 7 pictures; make the same call of `sightline render`"
    with pytest.raises(InputError, match=unfinished):
        RenderedSet(copied)[20]
    assert_array_equal(RenderedSet(copied)[15].image, MAKE(15).image)
    assert check_set(copied)[1] == [f"{copied / 'shard-00002.npz'}: holds only the first 5 of 7 pictures"]
    assert_array_equal(opened[20].image, MAKE(20).image)
    make = Counted()
    counts: list[tuple[int, int]] = []
    written(copied, make, 30, progress=lambda *pair: counts.append(pair))
    assert make.asked == list(range(21, 30))
    assert counts == [(done, 30) for done in (8, 16, 21, *range(22, 31))]
    opened, before = RenderedSet(copied), RenderedSet(copied).arrays()
    written(copied, count=31)
    assert_array_equal(opened[25].image, MAKE(25).image)  # who reads meanwhile goes on reading
    assert len(opened) == 30
    for name, array in RenderedSet(copied).arrays().items():
        assert_array_equal(opened.arrays(name)[name], before[name])
        assert len(array) > len(before[name])


def test_a_call_for_too_many_pictures_is_taken_back(copied: Path) -> None:
    whole = contents(copied)
    with pytest.raises(ValueError, match="picture 21: cannot be rendered"):
        written(copied, replace(MAKE, breaks_at=21), 4000)
    written(copied, Counted(), 21)
    assert contents(copied) == whole


def test_a_stranger_is_found_before_the_set_is_called_larger(copied: Path) -> None:
    before = contents(copied)
    shutil.copy(copied / "shard-00000.npz", copied / "shard-00004.npz")
    with pytest.raises(InputError, match="shard-00004.npz"):
        written(copied, count=40)
    (copied / "shard-00004.npz").unlink()
    assert contents(copied) == before


def test_labels_of_many_shards_need_few_open_files(tmp_path: Path) -> None:
    written(tmp_path / "many", count=120, shard_size=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 90, hard))
    try:
        assert RenderedSet(tmp_path / "many").arrays("index")["index"].tolist() == list(range(120))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- what stops a run ----------------------------------------------------------------------------------------------


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(InputError, match=r"shard-00000.npz: writing failed \(File too large\)"):
            written(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path).keys() == {"set.json"}
    assert written(tmp_path).found == 0


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="no folder can be made there"):
        written(tmp_path / "file" / "set")


def test_two_runs_do_not_write_one_set(tmp_path: Path) -> None:
    def make(index: int) -> Rendered:
        written(tmp_path)
        return MAKE(index)

    with pytest.raises(InputError, match="another run is writing this set just now"):
        written(tmp_path, make)


@pytest.mark.parametrize("name", ["count", "shard_size", "workers"])
def test_numbers_below_one_are_refused(name: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        written(tmp_path, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the first process", "a worker"])
def test_workers_that_are_killed_leave_whole_shards(whom: str, tmp_path: Path) -> None:
    """Left alone by their first process, they end; without one of them, the run ends with a sentence."""
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    code = (
        "import sys; from fake_renders import FakeRenders; from sightline.synth.dataset import write_set\n"
        "if __name__ == '__main__':\n"
        "    write_set(sys.argv[1], FakeRenders(seconds=0.01), 400, seed=3, config={}, shard_size=8, workers=2)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, str(script), str(folder)]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while len(list(folder.glob("shard-*"))) < 3:
        time.sleep(0.05)
        assert run.poll() is None
    workers = _children_of(run.pid)
    os.kill(run.pid if whom == "the first process" else workers[-1], signal.SIGKILL)
    _, errors = run.communicate(timeout=60)
    if whom == "a worker":
        assert "ended without a word (exit code -9" in errors.splitlines()[-1]
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() and _alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert 3 <= len(list(folder.glob("shard-*"))) < 50
    subprocess.run(command, env=environment, check=True)
    write_set(whole, FakeRenders(), 400, seed=3, config={}, shard_size=8)
    assert contents(folder) == contents(whole)


def _children_of(pid: int) -> list[int]:
    """Processes that work on shards: not the resource tracker of Python's own."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == pid and "spawn_main" in (path / "cmdline").read_text():
                found.append(int(path.name))
        except OSError:
            continue
    return sorted(found)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
