"""LCR-Net++ networks from their passports, loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from sightline.formats.weights import Passport, load_network, model_settings
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

    def built(passport: Passport) -> LcrNet:
        anchors = blank_anchors(passport.recipe["skeleton"], passport.recipe["anchors"])
        return LcrNet(LcrNetConfig(**model_settings(passport)), anchors)

    return load_network(name_or_path, METHOD, built)


def blank_anchors(skeleton: str, count: int) -> AnchorPoses:
    """Return anchor poses in whose place those of the weights will be."""
    joints = get_skeleton(skeleton)
    return AnchorPoses(skeleton=joints, joints_m=np.zeros((count, len(joints), 3)), share=np.zeros(count))
