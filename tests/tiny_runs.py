"""Trainings of a second or two, for the tests of training and resuming."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.methods.abspose.model import AbsPoseConfig
from sightline.training.config import LifterConfig

TINY = LifterConfig(
    name="tiny",
    model=AbsPoseConfig(width=32),
    steps=12,
    batch_size=32,
    warmup_steps=3,
    learning_rate=3e-3,
    checkpoint_every=5,
    validate_every=0,
)


def tiny(**changes: Any) -> LifterConfig:
    """A run of 12 steps of a network of 32 features, with some things changed."""
    return replace(TINY, **changes)


@lru_cache
def people(count: int = 300, rank: int = 0) -> Tensor:
    """Procedural poses to train or validate on."""
    return procedural_poses(count, step_generator(9, rank))


def environment(paths: list[str]) -> dict[str, str]:
    """For commands that a test starts: one thread, and where to find the tests' own modules."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def same_tensors(one: Any, other: Any, where: str = "") -> list[str]:
    """Return where two nested values differ, tensors compared bit by bit; empty where nowhere."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [where]
    if isinstance(one, dict) and isinstance(other, dict):
        found = [] if list(one) == list(other) else [f"{where}: {sorted(one.keys() ^ other.keys(), key=str)}"]
        both = one.keys() & other.keys()
        return found + [d for key in both for d in same_tensors(one[key], other[key], f"{where}/{key}")]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)) and len(one) == len(other):
        return [d for i, (a, b) in enumerate(zip(one, other, strict=True)) for d in same_tensors(a, b, f"{where}/{i}")]
    return [] if type(one) is type(other) and one == other else [where]


def checkpoint_of(folder: Path) -> dict[str, Any]:
    """What the folder's last checkpoint holds of weights, optimiser, schedule and configuration."""
    checkpoint = torch.load(folder / "last.ckpt", weights_only=True)
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "sightline_config")
    return {key: checkpoint[key] for key in keys}


def run_script(text: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, which finds the tests' own modules."""
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text), encoding="utf-8")
    paths = [str(Path(__file__).parent)]
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        capture_output=True, text=True, timeout=240, env=environment(paths),
    )  # fmt: skip
