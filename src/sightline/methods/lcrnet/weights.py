"""LCR-Net++ networks from their passports, loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from sightline.errors import InputError
from sightline.formats.weights import Passport, find_passport, read_passport, read_weights
from sightline.methods.lcrnet.anchors import AnchorPoses
from sightline.methods.lcrnet.network import LcrNet, LcrNetConfig
from sightline.skeleton import get_skeleton

METHOD: Final = "lcrnet"


def load_lcrnet(name_or_path: str | Path) -> tuple[LcrNet, Passport]:
    """Return a trained network in evaluation mode on the CPU, and its passport.

    Args:
        name_or_path: weights inside the package by name, or the path of a passport or its safetensors file.

    Raises:
        UsageError: if there are no such weights.
        InputError: if the files are broken or belong to another method or network.
    """
    path = find_passport(name_or_path)
    passport = read_passport(path)
    if passport.method != METHOD:
        raise InputError(f"{path}: expected weights of method '{METHOD}', got '{passport.method}'")
    try:
        known: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in passport.model.items()
        }
        network = LcrNet(LcrNetConfig(**known), blank_anchors(passport.recipe["skeleton"], passport.recipe["anchors"]))
        network.load_state_dict(read_weights(passport, path.parent), strict=True)
        assert len(network.anchors)  # which are part of the weights, and are checked
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: its network and its weights do not fit together ({reason})") from error
    return network.eval().requires_grad_(False), passport


def blank_anchors(skeleton: str, count: int) -> AnchorPoses:
    """Return anchor poses in whose place those of the weights will be."""
    joints = get_skeleton(skeleton)
    return AnchorPoses(skeleton=joints, joints_m=np.zeros((count, len(joints), 3)), share=np.zeros(count))
