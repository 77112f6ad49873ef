"""Checkpoints that a kill cannot break: written beside, flushed, then renamed over the last one."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from sightline.errors import InputError
from sightline.formats.atomic import atomic_path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, each complete or absent."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint to a temporary file in the same folder, then rename it."""
        del storage_options
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class LastCheckpoint(L.Callback):
    """Keep one checkpoint, the last, every so many steps and at the end."""

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Save after every `every`-th optimiser step."""
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            trainer.save_checkpoint(self.path)


_FREE = ("workers", "model.belief")
"""Settings that no number of a run hangs on."""


def clear_unfinished(folder: Path) -> None:
    """Remove the temporary files of checkpoints whose writing was killed; no other run may be writing there."""
    for left in folder.glob(".sightline-*.ckpt"):
        left.unlink(missing_ok=True)


def read_checkpoint(path: Path, expected_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's checkpoint.

    Raises:
        InputError: if the file is broken, or was written by a run with another configuration.
    """
    what = "expected a checkpoint of this run"
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        reason = re.split(r"[.:\n]", str(error))[0].strip() or type(error).__name__
        raise InputError(f"{path}: {what}, but it cannot be read ({reason}); delete it to start anew") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("sightline_config"), dict):
        raise InputError(f"{path}: {what}, but it was not written by `sightline train`; choose another output folder")
    compared = _differing(checkpoint["sightline_config"], expected_config)
    differing = [name for name in compared if name not in _FREE]
    if differing:
        raise InputError(
            f"{path}: was written by a run whose {', '.join(differing)} differ from this recipe; "
            "choose another output folder, or delete the checkpoint to start anew"
        )
    return checkpoint


def check_circumstances(path: Path, checkpoint: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that learned from other data, or in another number of processes.

    Raises:
        InputError: naming what differs.
    """
    differing = _differing(checkpoint.get("sightline_circumstances", {}), expected)
    if differing:
        raise InputError(
            f"{path}: was written by a run with other {' and '.join(differing)}; "
            "choose another output folder, or delete the checkpoint to start anew"
        )


def _differing(found: Mapping[str, Any], expected: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Name the keys, with dots between levels, whose values differ."""
    names: list[str] = []
    for key in sorted(found.keys() | expected.keys()):
        one, other = found.get(key), expected.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += _differing(one, other, f"{prefix}{key}.")
        elif one != other or (key in found) != (key in expected):
            names.append(prefix + key)
    return names
