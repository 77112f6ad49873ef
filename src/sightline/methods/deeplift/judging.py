"""How plausible poses are, said of all people of many frames at once: one alone would take as long as a hundred."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from sightline.formats.weights import find_passport
from sightline.methods.deeplift.prior import PosePrior
from sightline.methods.deeplift.weights import ANY_PRIOR, load_prior
from sightline.structures import PoseFrame

_TOGETHER = 4096
"""People judged together, which bounds memory."""


def judged(frames: Iterable[PoseFrame]) -> tuple[PoseFrame, ...]:
    """Return frames whose people (joints of `h36m17`) say how plausible their poses are, whatever their orientation."""
    frames = tuple(frames)
    poses = [person.joints_cam_m for frame in frames for person in frame.people]
    if not poses:
        return frames
    told = iter(_plausibility(np.stack(poses)).tolist())
    return tuple(
        replace(frame, people=tuple(replace(person, plausibility=next(told)) for person in frame.people))
        for frame in frames
    )


def _plausibility(joints: Float[np.ndarray, "person 17 3"]) -> Float[np.ndarray, " person"]:
    """Share of real poses that are less likely, to three digits."""
    parts = torch.from_numpy(joints).split(_TOGETHER)
    judge = _loaded(find_passport(ANY_PRIOR))  # of people in any orientation: who lies down is not implausible
    return torch.cat([judge.plausibility(part) for part in parts]).numpy().round(3)


@functools.lru_cache(maxsize=1)
def _loaded(path: Path) -> PosePrior:
    return load_prior(path)[0]
