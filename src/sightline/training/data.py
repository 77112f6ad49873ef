"""Poses to train, validate and test on: a motion-capture library's split, or procedural ones for smoke runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.data.mocap import read_library
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.errors import InputError

PROCEDURAL = "procedural poses (no motion capture)"


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Poses by split (metres, z up), and the words in which a passport names and credits them."""

    train: Float[Tensor, "frame 17 3"]
    val: Float[Tensor, "val_frame 17 3"]
    test: Float[Tensor, "test_frame 17 3"]
    credit: str


def read_splits(library: Path | None) -> Splits:
    """Return the splits of a library, or procedural poses where None is given.

    Raises:
        InputError: if the library is broken or one of its splits is empty.
    """
    if library is None:
        made = [procedural_poses(count, step_generator(5, rank)) for rank, count in enumerate((4000, 1000, 1000))]
        return Splits(train=made[0], val=made[1], test=made[2], credit=PROCEDURAL)
    motion = read_library(library)
    parts: dict[str, Tensor] = {}
    for name in ("train", "val", "test"):
        joints = motion.split(name).joints_world
        if len(joints) == 0:
            raise InputError(f"{library}: its split '{name}' has no frames; training needs train, val and test")
        parts[name] = torch.from_numpy(np.array(joints, dtype=np.float32))
    shown = motion.split("train")
    pairs = sorted({f"{source} ({licence})" for source, licence in zip(shown.sources, shown.licences, strict=True)})
    credit = f"motion capture, training split: {', '.join(pairs)}; acknowledgements and licence texts in NOTICE"
    return Splits(**parts, credit=credit)
