"""A training that is killed at any moment goes on from its last checkpoint and ends bit-equal to one that was not."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import sightline.training.lifter as lifter_file
from sightline.cli import main
from sightline.data.virtual import ViewBatch, sample_views
from sightline.errors import InputError
from sightline.methods.abspose.model import AbsPoseConfig
from sightline.training.checkpoint import read_checkpoint
from sightline.training.config import LifterConfig, config_to_json
from sightline.training.run import Trained, train_lifter
from tiny_runs import checkpoint_of, environment, people, same_tensors, tiny

PAPER = {"model": AbsPoseConfig(width=32, dropout=0.5), "optimizer": "rmsprop", "warmup_steps": 0}
AVERAGED = {"average_decay": 0.8, "clip_norm": 1.0}


class Killed(Exception):
    """Stands in for a kill inside one process."""


def killed_after(steps: int) -> Callable[[torch.Generator], ViewBatch]:
    """Return a source of the usual views that dies when it is asked for more steps."""
    asked = 0

    def source(generator: torch.Generator) -> ViewBatch:
        nonlocal asked
        asked += 1
        if asked > steps:
            raise Killed
        return sample_views(people(), 32, generator)

    return source


def run(config: LifterConfig, folder: Path, killed: tuple[int, ...] = ()) -> Trained:
    """Train to the end, killed after so many steps of each attempt before."""
    for steps in killed:
        with pytest.raises(Killed):
            train_lifter(config, people(), people(50, rank=1), folder=folder, source=killed_after(steps))
    return train_lifter(config, people(), people(50, rank=1), folder=folder, source=killed_after(10**9))


@pytest.mark.parametrize(
    ("changes", "killed", "resumed_from"),
    [
        ({}, (0, 1, 8), 5),
        ({"checkpoint_every": 1}, (7,), 7),
        ({"checkpoint_every": 3, **AVERAGED}, (4, 4, 2), 6),
        ({"checkpoint_every": 7, "validate_every": 2, **PAPER}, (9,), 7),
        ({"precision": "32-true", "error_model": None, "scale_augmentation": 0.25}, (6,), 5),
    ],
    ids=["plain", "every step", "averaged weights", "dropout, RMSprop, validation", "32 bits"],
)
def test_a_killed_run_ends_bit_equal(
    changes: dict, killed: tuple[int, ...], resumed_from: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifter_file, "VALIDATION_VIEWS", 20)
    config = tiny(**changes)
    whole = run(config, tmp_path / "whole")
    parts = run(config, tmp_path / "parts", killed)
    assert (whole.resumed_from, parts.resumed_from) == (0, resumed_from)
    assert same_tensors(whole.network.state_dict(), parts.network.state_dict()) == []
    assert same_tensors(checkpoint_of(tmp_path / "whole"), checkpoint_of(tmp_path / "parts")) == []


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = run(tiny(**AVERAGED), tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    again = train_lifter(tiny(**AVERAGED), people(), folder=tmp_path, source=killed_after(0))
    assert again.resumed_from == 12
    assert same_tensors(first.network.state_dict(), again.network.state_dict()) == []
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_checkpoint_holds_the_run_it_belongs_to(tmp_path: Path) -> None:
    run(tiny(), tmp_path)
    checkpoint = read_checkpoint(tmp_path / "last.ckpt", config_to_json(tiny()))
    assert checkpoint["global_step"] == 12
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["last.ckpt"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"steps": 13}, "steps"),
        ({"model": AbsPoseConfig(width=32, location=False)}, "model.location"),
        ({"learning_rate": 1e-3, "batch_size": 31}, "batch_size, learning_rate"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(changes: dict, named: str, tmp_path: Path) -> None:
    run(tiny(steps=2), tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(InputError, match=f"whose {named} differ") as caught:
        run(replace(tiny(steps=2), **changes), tmp_path)
    assert str(tmp_path / "last.ckpt") in str(caught.value)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_a_checkpoint_that_learned_from_others_or_in_other_company_is_refused(tmp_path: Path) -> None:
    run(tiny(steps=2), tmp_path)
    with pytest.raises(InputError, match="other training poses"):
        train_lifter(tiny(steps=2), people(299), folder=tmp_path)
    with pytest.raises(InputError, match="other number of processes"):
        train_lifter(tiny(steps=2), people(), folder=tmp_path, devices=2)


def broken_files(whole: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "cut in half": whole[: len(whole) // 2],
        "without its last byte": whole[:-1],
        "text": b"not a checkpoint\n" * 100,
        "zeros": bytes(len(whole)),
    }


def test_a_broken_checkpoint_is_one_clear_sentence(tmp_path: Path) -> None:
    run(tiny(steps=2), tmp_path)
    path = tmp_path / "last.ckpt"
    for name, content in broken_files(path.read_bytes()).items():
        path.write_bytes(content)
        with pytest.raises(InputError, match="expected a checkpoint of this run") as caught:
            run(tiny(steps=2), tmp_path)
        message = str(caught.value)
        assert str(path) in message, name
        assert "\n" not in message, name
        assert len(message) < 300 + len(str(path)), name
        assert path.read_bytes() == content, "a broken file is left for its owner to look at"


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"sightline_config": 3}])
def test_somebody_elses_checkpoint_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"last\.ckpt"):
        run(tiny(), tmp_path)


def test_the_command_says_it_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"nonsense")
    assert main(["train", "abspose-smoke", "-o", str(tmp_path)]) == 1
    told = capsys.readouterr().err.strip()
    assert told.startswith("sightline: ")
    assert "\n" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt"]


def test_what_a_killed_write_left_behind_is_cleared_away(tmp_path: Path) -> None:
    run(tiny(steps=2), tmp_path)
    (tmp_path / ".sightline-0123456789abcdef.ckpt").write_bytes(b"half a checkpoint")
    run(tiny(steps=2), tmp_path)
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["last.ckpt"]
    assert not list(tmp_path.glob(".sightline*"))


# --- real kills -------------------------------------------------------------------------------------------------------

STEPS = 300


def started(folder: Path) -> subprocess.Popen[str]:
    command = ["train", "abspose-smoke", "--steps", str(STEPS), "--json", "-o", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-m", "sightline.cli", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment([]),
    )  # fmt: skip


def stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def killed_once(folder: Path, delay_s: float, *, after_progress: bool) -> bool:
    """Start or resume, SIGKILL after a while (counted from the next checkpoint, or the start); False if it finished."""
    before, process = stamp(folder / "last.ckpt"), started(folder)
    try:
        while after_progress and stamp(folder / "last.ckpt") == before and process.poll() is None:
            time.sleep(0.01)
        process.wait(timeout=delay_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    out, err = process.communicate()
    assert process.returncode == 0, err[-2000:]
    assert json.loads(out)["weights"].endswith("abspose-smoke.safetensors")
    return False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sigkill_at_random_moments_ends_bit_equal(tmp_path: Path) -> None:
    whole, parts, chance = tmp_path / "whole", tmp_path / "parts", random.Random(0)
    assert not killed_once(whole, 300, after_progress=False)
    kills = [killed_once(parts, chance.uniform(0.5, 4), after_progress=False)]
    for _ in range(4):
        kills.append(killed_once(parts, chance.uniform(0, 0.4), after_progress=True))
    while killed_once(parts, 300, after_progress=False):
        pass
    assert sum(kills) >= 3
    assert same_tensors(checkpoint_of(whole), checkpoint_of(parts)) == []
    weights, passports = (
        [(folder / f"abspose-smoke.{ending}").read_bytes() for folder in (whole, parts)]
        for ending in ("safetensors", "json")
    )
    assert weights[0] == weights[1]
    told = [json.loads(text) for text in passports]
    assert told[0]["sha256"] == told[1]["sha256"]
    assert told[0]["expected"] == told[1]["expected"]
