"""What a trained LCR-Net++ is worth on held-out pictures, decoded in every way that the paper compares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float

from sightline.methods.lcrnet.boxes import LEGS, overlaps, pose_boxes
from sightline.methods.lcrnet.decode import Integration, Modes, Proposals
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.people import Decoding, looked_at, people_of
from sightline.metrics.people_2d import Found, There, assigned, pckh
from sightline.skeleton import Skeleton, landmark_of
from sightline.training.lcrnet_scores import SceneScores, pckh_of, scores_of, told
from sightline.training.scenes import Scene, Scenes

VERSION: Final = 3
"""To be raised whenever other scores follow from the same network, so that no older ones are taken from a cache."""
PPI, NMS = "PPI", "NMS"
PLAIN_PPI, PLAIN_NMS = "PPI without rescoring", "NMS without rescoring"
FIRST, BOUND = "first estimate", "best proposal"
DISTANCES_M: Final = (0.03, 0.06, 0.125, 0.25)
IOUS: Final = (0.12, 0.3, 0.54)
_LEAST: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.9)
"""Scores from which somebody is taken to be there; the one of the best F-measure is told with its errors."""
_NEAR: Final = 0.5
"""Overlap from which a proposal may be of somebody."""
BLOCKS: Final = 8
"""The test pictures are split into so many blocks, whose scores tell how sure a difference is."""
BLOCK_SCORES: Final = ("ap_percent", "pckh_percent", "mpjpe_mm")


def decodings(least_score: float, *, every: bool) -> dict[str, Decoding]:
    """Return ways to decode by name: integration and suppression, or all of them."""
    usual = Decoding(least_score=least_score)
    found = {PPI: usual, NMS: replace(usual, integrate=False)}
    if not every:
        return found
    found |= {PLAIN_PPI: replace(usual, rescore=False), PLAIN_NMS: replace(usual, rescore=False, integrate=False)}
    for iou in IOUS:
        found[suppressing(iou)] = replace(usual, integrate=False, integration=Integration(iou=iou))
        for distance in DISTANCES_M:
            found[swept(distance, iou)] = replace(usual, integration=Integration(iou=iou, distance_m=distance))
    return found


def suppressing(iou: float) -> str:
    """Return the name of suppression with this threshold."""
    return f"NMS, IoU {iou:g}"


def swept(distance_m: float, iou: float) -> str:
    """Return the name of integration with these thresholds."""
    return f"PPI, T3D {1000 * distance_m:g} mm, IoU {iou:g}"


def scores_of_variant(network: LcrNet, scenes: Scenes, *, least_score: float, every: bool) -> dict[str, Any]:
    """Return scores by decoding, and those on people with a leg outside the picture, in the pictures that have them.

    Args:
        network: in evaluation mode.
        scenes: to be looked at.
        least_score: of poses that count for AP.
        every: also all other decodings, the first estimate and the best proposal.
    """
    ways = decodings(least_score, every=every)
    people: dict[str, list[Modes]] = {name: [] for name in ways}
    first = first_estimate(network) if every and network.heads.second is not None else None
    if first is not None:
        people[FIRST] = []
    truth, nearest, cut = [], [], []
    for row in range(len(scenes)):
        scene = scenes[row]
        (looked,) = looked_at(network, [scene.image])
        for name, decoding in ways.items():
            people[name].append(people_of(looked, network, decoding))
        if first is not None:
            (other,) = looked_at(first, [scene.image])
            people[FIRST].append(people_of(other, first, ways[PPI]))
        if every:
            nearest.append(best_proposals(looked.proposals, scene))
        cut.append(leg_outside(scene, network.skeleton))
        truth.append(scene._replace(image=np.zeros((0, 0, 3), np.uint8)))
    scores = {name: judged(found, truth) for name, found in people.items()}
    if every:
        scores[BOUND] = of_best(nearest, truth)
    cut_off = [scene._replace(sure=scene.sure & its) for scene, its in zip(truth, cut, strict=True)]
    with_cut = [row for row, scene in enumerate(cut_off) if scene.sure.any()]
    only_cut = [cut_off[row] for row in with_cut]
    its_own = {name: [people[name][row] for row in with_cut] for name in (PPI, NMS) if only_cut}
    truncated = {name: judged(found, only_cut) for name, found in its_own.items()}
    return {
        "people": int(sum(scene.sure.sum() for scene in truth)),
        "truncated_people": int(sum(scene.sure.sum() for scene in only_cut)),
        "scores": scores,
        "truncated": truncated,
        "blocks": {
            "scores": {name: by_block(found, truth, scores[name]["least_score"]) for name, found in people.items()},
            "truncated": {name: by_block(found, only_cut, truncated[name]["least_score"])
                          for name, found in its_own.items()},
        },
        "both_found": both_found(people, truth, scores) if every else None,
    }  # fmt: skip


def first_estimate(network: LcrNet) -> LcrNet:
    """Return the network without its second estimate."""
    first = LcrNet(replace(network.config, summary=0), network.anchors)
    names = first.state_dict().keys()
    first.load_state_dict({name: value for name, value in network.state_dict().items() if name in names})
    return first.eval()


def leg_outside(scene: Scene, skeleton: Skeleton) -> Bool[np.ndarray, " person"]:
    """Return of whom knee and ankle of a leg are outside the picture."""
    height, width = scene.image.shape[:2]
    outside = ~np.all((scene.points_px >= 0) & (scene.points_px < (width, height)), axis=-1)
    names = [landmark_of(skeleton, joint) for joint in skeleton.joints]
    sides = [
        [row for row, name in enumerate(names) if name.startswith(side) and any(leg in name for leg in LEGS)]
        for side in "LR"
    ]
    return np.logical_or(*(outside[:, rows].all(1) for rows in sides))


def judged(people: Sequence[Modes], truth: Sequence[Scene]) -> dict[str, float | None]:
    """Return scores: AP and PCKh of all poses, the others where the F-measure of finding people is best."""
    parts = {least: [_above(modes, least) for modes in people] for least in _LEAST}
    share = {least: f_measure(scores_of(part, truth, placed=False)) for least, part in parts.items()}
    least = max(share, key=lambda each: share[each])
    return {
        **told(scores_of(parts[least], truth)),
        "ap_percent": _finite(100 * scores_of(people, truth, placed=False).ap),
        "pckh_percent": _finite(100 * pckh_of(people, truth)),
        "f_percent": _finite(100 * share[least]),
        "least_score": least,
    }


def by_block(
    people: Sequence[Modes], truth: Sequence[Scene], least_score: float | None
) -> dict[str, list[float | None]]:
    """Return some scores of each block of pictures: every eighth picture is of one block.

    Args:
        people: scene by scene.
        truth: the scenes.
        least_score: from which somebody is found, for 3D errors.
    """
    told: dict[str, list[float | None]] = {name: [] for name in BLOCK_SCORES}
    for block in range(min(BLOCKS, len(truth))):
        found, its = people[block::BLOCKS], truth[block::BLOCKS]
        told["ap_percent"].append(_finite(100 * scores_of(found, its, placed=False).ap))
        told["pckh_percent"].append(_finite(100 * pckh_of(found, its)))
        surest = [_above(modes, least_score or 0.0) for modes in found]
        told["mpjpe_mm"].append(_finite(1000 * scores_of(surest, its, placed=False).mpjpe_m))
    return told


def both_found(
    people: Mapping[str, Sequence[Modes]], truth: Sequence[Scene], scores: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return MPJPE by integration and by suppression of the same people: those whom both find.

    Each has the threshold of overlap, and integration the distance, that its AP is best with.
    """
    best = {}
    for kind, names in ((PPI, [PPI, *(swept(far, iou) for far in DISTANCES_M for iou in IOUS)]),
                        (NMS, [NMS, *map(suppressing, IOUS)])):  # fmt: skip
        best[kind] = max(names, key=lambda name: scores[name]["ap_percent"] or 0.0)
    errors = {kind: _errors(people[name], truth, scores[name]["least_score"]) for kind, name in best.items()}
    both = np.isfinite(errors[PPI]) & np.isfinite(errors[NMS])
    block = np.concatenate([np.full(int(scene.sure.sum()), row % BLOCKS) for row, scene in enumerate(truth)])
    return {
        "people": int(both.sum()),
        "decodings": best,
        "mpjpe_mm": {kind: _finite(1000 * _mean(its[both])) for kind, its in errors.items()},
        "blocks": {
            kind: [_finite(1000 * _mean(its[both & (block == number)])) for number in range(min(BLOCKS, len(truth)))]
            for kind, its in errors.items()
        },
    }


def _errors(people: Sequence[Modes], truth: Sequence[Scene], least_score: float) -> Float[np.ndarray, " person"]:
    """The 3D error (m) of everybody who is seen well enough, over all scenes; NaN of those who are not found."""
    found = []
    for modes, scene in zip(people, truth, strict=True):
        modes = _above(modes, least_score)
        everybody = There(scene.points_px.astype(np.float64), scene.head_px.astype(np.float64))
        who = assigned(Found(modes.poses_px, modes.scores), everybody)
        error = np.full(len(scene.sure), np.nan)
        apart = np.linalg.norm(modes.joints_m[who >= 0] - scene.joints_m[who[who >= 0]], axis=-1)
        error[who[who >= 0]] = apart.mean(-1)
        found.append(error[scene.sure])
    return np.concatenate(found)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def f_measure(scores: SceneScores) -> float:
    """Return the harmonic mean of the shares of people who are found and of poses that are somebody's."""
    both = scores.found + scores.false + 1
    return 2 * scores.found / both if math.isfinite(both) else 0.0


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _above(modes: Modes, least: float) -> Modes:
    keep = modes.scores >= least
    return Modes(*(part[keep] for part in modes))


def best_proposals(
    proposals: Proposals, scene: Scene
) -> tuple[Float[np.ndarray, "person joint 2"], Float[np.ndarray, " person"]]:
    """Return of everybody the nearest proposal in the picture, and the least 3D error (m) of one that lies there.

    NaN for those on whom there is none.
    """
    points, joints = scene.points_px.astype(np.float64), scene.joints_m.astype(np.float64)
    found, error = np.full(points.shape, np.nan), np.full(len(points), np.nan)
    boxes, its = pose_boxes(proposals.poses_px), pose_boxes(points)
    for person in range(len(points)):
        rows = np.flatnonzero(overlaps(its[person], boxes) >= _NEAR) if len(boxes) else []
        if len(rows):
            apart = np.linalg.norm(proposals.poses_px[rows] - points[person], axis=-1).mean(-1)
            found[person] = proposals.poses_px[rows[apart.argmin()]]
            error[person] = np.linalg.norm(proposals.joints_m[rows] - joints[person], axis=-1).mean(-1).min()
    return found, error


def of_best(nearest: Sequence[tuple[np.ndarray, np.ndarray]], truth: Sequence[Scene]) -> dict[str, float | None]:
    """Return the scores of the best proposals: what decoding could reach at most."""
    parts = [
        (found[scene.sure], scene.points_px[scene.sure].astype(np.float64), scene.head_px[scene.sure].astype(float),
         error[scene.sure])
        for (found, error), scene in zip(nearest, truth, strict=True)
    ]  # fmt: skip
    found, points, heads, error = (np.concatenate([part[which] for part in parts]) for which in range(4))
    there = np.isfinite(error)
    return {
        "found_percent": _finite(100 * there.mean()) if len(there) else None,
        "pckh_percent": _finite(100 * pckh(found, points, heads)),
        "mpjpe_mm": _finite(1000 * error[there].mean()) if there.any() else None,
    }
