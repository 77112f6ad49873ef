"""How well LCR-Net++ finds people in pictures whose truth is known: AP by PCKh, errors of 3D poses and of places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from sightline.camera import Camera
from sightline.geometry.translation import solve_translation_robust
from sightline.methods.lcrnet.boxes import overlaps, pose_boxes
from sightline.methods.lcrnet.decode import Modes
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.people import Decoding, looked_at, people_of
from sightline.metrics.functional import mrpe, pa_mpjpe, pck3d
from sightline.metrics.people_2d import Found, There, assigned, average_precision, likest, pckh
from sightline.training.scenes import Scene, Scenes

_ON: Final = 0.5
"""Overlap of boxes from which a pose lies on somebody."""


class SceneScores(NamedTuple):
    """Of people who are seen well enough; poses on others count neither way."""

    ap: float
    """Average precision of joints by PCKh, the mean over joints, 0 to 1, of the poses that are told: precision at
    lower scores than the decoding's least one counts as none."""
    pckh: float
    """Share of the joints nearer than half a head, in the picture; who is not found has none right."""
    found: float
    """Share of the people who have a pose: the one of which most joints are right by PCKh, one at least."""
    false: float
    """Poses that are nobody's, or somebody's once more, for each person."""
    mpjpe_m: float
    """Mean distance of the joints of who is found, both poses about the middle of the torso (the paper's Abs.)."""
    pa_mpjpe_m: float
    """The same after scale, rotation and translation (the paper's Align.)."""
    pck3d: float
    """Share of the joints of who is found that are nearer than 150 mm, both poses about the middle of the torso."""
    pck3d_all: float
    """The same of all people: who is not found has no joint right, as on MuPoTS-3D."""
    mrpe_m: float = float("nan")
    """Mean error of where the middle of the torso is in the camera's frame, of who is found and can be placed as
    `predict` places people; NaN where no scene knows its camera and its people's places."""
    ap_joints: tuple[float, ...] = ()
    """Average precision of each joint; NaN of those that nobody has."""


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


def scores_of(people: Sequence[Modes], truth: Sequence[Scene], *, placed: bool = True) -> SceneScores:
    """Return the scores of people who were found in scenes.

    Args:
        people: scene by scene.
        truth: the scenes, whose pictures are not looked at.
        placed: whether people are placed as well, which takes longer than all the rest; else `mrpe_m` is NaN.

    Raises:
        ValueError: for no scene.
    """
    if not truth:
        raise ValueError("truth: expected at least one scene")
    parts = [_paired(modes, scene) for modes, scene in zip(people, truth, strict=True)]
    predicted, true = (
        torch.from_numpy(np.concatenate(joints))
        for joints in ([part.own.joints_m for part in parts], [part.joints_m for part in parts])
    )
    known, nothing = sum(len(part.there.head_px) for part in parts), float("nan")
    precision = average_precision([part.found for part in parts], [part.there for part in parts])
    right = float(pck3d(predicted, true, alignment="none")) if len(predicted) else nothing
    return SceneScores(
        ap=precision.mean,
        pckh=pckh_of(people, truth),
        found=len(predicted) / known if known else nothing,
        false=sum(part.false for part in parts) / known if known else nothing,
        mpjpe_m=float((predicted - true).norm(dim=-1).mean()) if len(predicted) else nothing,
        pa_mpjpe_m=float(pa_mpjpe(predicted, true)) if len(predicted) else nothing,
        pck3d=right,
        pck3d_all=(right * len(predicted) / known if len(predicted) else 0.0) if known else nothing,
        mrpe_m=_place_error(parts) if placed else nothing,
        ap_joints=tuple(precision.joints.tolist()),
    )


def pckh_of(people: Sequence[Modes], truth: Sequence[Scene]) -> float:
    """Return PCKh of who is seen well enough; those who are not found have no joint right."""
    poses, true, heads = [], [], []
    for modes, scene in zip(people, truth, strict=True):
        points, head_px = scene.points_px.astype(np.float64), scene.head_px.astype(np.float64)
        who = assigned(Found(modes.poses_px, modes.scores), There(points, head_px))
        own = np.full(points.shape, np.nan)
        own[who[who >= 0]] = modes.poses_px[who >= 0]
        for part, found in ((poses, own), (true, points), (heads, head_px)):
            part.append(found[scene.sure])
    return float(pckh(np.concatenate(poses), np.concatenate(true), np.concatenate(heads)))


def told(scores: SceneScores) -> dict[str, float | None]:
    """Return scores with their units: shares in percent, metres in millimetres; None for what there is none of.

    Those of each joint are not among them.
    """
    return {
        f"{name.removesuffix('_m')}_mm" if name.endswith("_m") else f"{name}_percent": (
            float((1000 if name.endswith("_m") else 100) * value) if math.isfinite(value) else None
        )
        for name, value in single(scores).items()
    }


def single(scores: SceneScores) -> dict[str, float]:
    """Return the scores that are one number each."""
    return {name: value for name, value in scores._asdict().items() if name != "ap_joints"}


class _Paired(NamedTuple):
    """What a scene says of the poses that were found in it."""

    found: Found
    """Poses that count."""
    there: There
    """People who count."""
    own: Modes
    """Poses of those of them who are found, one each."""
    joints_m: Float[np.ndarray, "own joint 3"]
    """Their true poses."""
    middles_cam: Float[np.ndarray, "own 3"]
    """Their true places, NaN where they are not known."""
    camera: Camera | None
    false: int
    """How many poses are nobody's, or somebody's once more."""


def _paired(modes: Modes, scene: Scene) -> _Paired:
    poses = Found(modes.poses_px, modes.scores)
    everybody = There(scene.points_px.astype(np.float64), scene.head_px.astype(np.float64))
    person, like = assigned(poses, everybody), likest(poses, everybody)[0]
    counts = ~np.isin(like, np.flatnonzero(~scene.sure)) & ~((person < 0) & _on(modes, everybody, ~scene.sure))
    own = counts & (person >= 0)
    middles = np.full((len(scene.sure), 3), np.nan) if scene.middles_cam is None else scene.middles_cam
    return _Paired(
        found=Found(poses.points_px[counts], poses.scores[counts]),
        there=There(everybody.points_px[scene.sure], everybody.head_px[scene.sure]),
        own=Modes(*(part[own] for part in modes)),
        joints_m=scene.joints_m[person[own]].astype(np.float64),
        middles_cam=middles[person[own]].astype(np.float64),
        camera=scene.camera,
        false=int((counts & (person < 0)).sum()),
    )


def _place_error(parts: Sequence[_Paired]) -> float:
    """Mean distance (m) of where people are from where they are placed, all at once; NaN where there are none."""
    poses, rays, weights, middles = [], [], [], []
    for part in parts:
        if part.camera is not None and len(part.own.scores):
            xy, valid = part.camera.normalized(torch.from_numpy(part.own.poses_px))
            trust = part.own.scores.clip(0.0, 1.0)[:, None] * part.own.trust.clip(0.0, 1.0)
            poses.append(torch.from_numpy(part.own.joints_m))
            rays.append(xy)
            weights.append(torch.from_numpy(trust) * valid)
            middles.append(torch.from_numpy(part.middles_cam))
    if not poses:
        return float("nan")
    placed = solve_translation_robust(torch.cat(poses), torch.cat(rays), torch.cat(weights)).root_cam
    true = torch.cat(middles)
    both = (placed.isfinite() & true.isfinite()).all(-1)
    return float(mrpe(placed[:, None], true[:, None], mask=both[:, None]))


def _on(modes: Modes, everybody: There, who: Bool[np.ndarray, " person"]) -> Bool[np.ndarray, " mode"]:
    """Which poses lie where some people are."""
    if not who.any() or not len(modes.scores):
        return np.zeros(len(modes.scores), bool)
    boxes = pose_boxes(everybody.points_px[who])
    boxes = boxes[np.isfinite(boxes).all(1)]
    return np.asarray((overlaps(pose_boxes(modes.poses_px)[:, None], boxes[None]) >= _ON).any(1))
