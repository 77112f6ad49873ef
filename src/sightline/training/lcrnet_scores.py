"""How well LCR-Net++ finds people in pictures whose truth is known: AP by PCKh, and errors of 3D poses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool

from sightline.methods.lcrnet.boxes import overlaps, pose_boxes
from sightline.methods.lcrnet.decode import Modes
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.people import Decoding, looked_at, people_of
from sightline.metrics.functional import pa_mpjpe
from sightline.metrics.people_2d import Found, There, assigned, average_precision, likest
from sightline.training.scenes import Scene, Scenes

_ON: Final = 0.5
"""Overlap of boxes from which a pose lies on somebody."""


class SceneScores(NamedTuple):
    """Of people who are seen well enough; poses on others count neither way."""

    ap: float
    """Average precision of joints by PCKh, the mean over joints, 0 to 1."""
    found: float
    """Share of the people who have a pose."""
    false: float
    """Poses that are nobody's, or somebody's once more, for each person."""
    mpjpe_m: float
    """Mean distance of the joints of who is found, both poses about the middle of the torso (the paper's Abs.)."""
    pa_mpjpe_m: float
    """The same after scale, rotation and translation (the paper's Align.)."""


def scored_scenes(
    network: LcrNet, scenes: Scenes, rows: Sequence[int], decoding: Decoding | None = None
) -> SceneScores:
    """Score a network on some scenes.

    Args:
        network: whom to score, in evaluation mode.
        scenes: with truth.
        rows: which of them.
        decoding: how proposals become people.
    """
    people, truth = [], []
    for row in rows:
        scene = scenes[row]
        (looked,) = looked_at(network, [scene.image])
        people.append(people_of(looked, network, decoding))
        truth.append(scene._replace(image=np.zeros((0, 0, 3), np.uint8)))  # thousands of them are large
    return scores_of(people, truth)


def scores_of(people: Sequence[Modes], truth: Sequence[Scene]) -> SceneScores:
    """Return the scores of people who were found in scenes.

    Args:
        people: scene by scene.
        truth: the scenes, whose pictures are not looked at.

    Raises:
        ValueError: for no scene.
    """
    if not truth:
        raise ValueError("truth: expected at least one scene")
    found, there, pairs = [], [], []
    for modes, scene in zip(people, truth, strict=True):
        poses = Found(modes.poses_px, modes.scores)
        everybody = There(scene.points_px.astype(np.float64), scene.head_px.astype(np.float64))
        person, like = assigned(poses, everybody), likest(poses, everybody)[0]
        counts = ~np.isin(like, np.flatnonzero(~scene.sure)) & ~((person < 0) & _on(modes, everybody, ~scene.sure))
        found.append(Found(poses.points_px[counts], poses.scores[counts]))
        there.append(There(everybody.points_px[scene.sure], everybody.head_px[scene.sure]))
        own = counts & (person >= 0)
        pairs.append(
            (modes.joints_m[own], scene.joints_m[person[own]].astype(np.float64), int((counts & (person < 0)).sum()))
        )
    predicted, true = (torch.from_numpy(np.concatenate([pair[which] for pair in pairs])) for which in (0, 1))
    known = sum(len(those.head_px) for those in there)
    nothing = float("nan")
    return SceneScores(
        ap=average_precision(found, there).mean,
        found=len(predicted) / known if known else nothing,
        false=sum(pair[2] for pair in pairs) / known if known else nothing,
        mpjpe_m=float((predicted - true).norm(dim=-1).mean()) if len(predicted) else nothing,
        pa_mpjpe_m=float(pa_mpjpe(predicted, true)) if len(predicted) else nothing,
    )


def _on(modes: Modes, everybody: There, who: Bool[np.ndarray, " person"]) -> Bool[np.ndarray, " mode"]:
    """Which poses lie where some people are."""
    if not who.any() or not len(modes.scores):
        return np.zeros(len(modes.scores), bool)
    boxes = pose_boxes(everybody.points_px[who])
    boxes = boxes[np.isfinite(boxes).all(1)]
    return np.asarray((overlaps(pose_boxes(modes.poses_px)[:, None], boxes[None]) >= _ON).any(1))
