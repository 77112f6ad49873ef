"""Pose proposals as a network gives them of a crowd, made from nothing: what decoding is timed on."""

from __future__ import annotations

from typing import Final

import numpy as np

from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.methods.lcrnet.anchors import AnchorPoses
from sightline.methods.lcrnet.boxes import BOX_MARGIN, points_of_box, pose_boxes
from sightline.methods.lcrnet.decode import Proposals
from sightline.methods.lcrnet.views import about_the_torso, drawn_views
from sightline.skeleton import get_skeleton

SKELETON: Final = get_skeleton("lcr13")
_SIZE_PX: Final = (640.0, 480.0)
_NEAR_M: Final = 0.06
"""A class counts for the e-th part of another that is so much nearer."""
_LEFT: Final = 0.35
"""Share of the way from a person to the anchor that regression leaves."""


def made_anchors(count: int) -> AnchorPoses:
    """Return procedural people as anchor poses; which they are does not matter to speed."""
    people = procedural_poses(max(count, 500), step_generator(21, 0))
    joints = about_the_torso(drawn_views(people, count, SKELETON, step_generator(21, 1)).double(), SKELETON).numpy()
    return AnchorPoses(skeleton=SKELETON, joints_m=joints, share=np.full(count, 1 / count))


def made_proposals(count: int, *, people: int, anchors: AnchorPoses, boxes: int = 300, seed: int = 0) -> Proposals:
    """Return the best of all pairs of boxes and classes in a picture of 640 × 480 with some people.

    Half of the boxes lie on people, whole ones or upper bodies; what the network takes a person for is the person or,
    less surely, the person turned from front to back. The others lie on nothing and score little.

    Args:
        count: proposals; as many as there are pairs, where there are fewer.
        people: who are in the picture.
        anchors: whose classes they are of, twice as many: whole and upper bodies.
        boxes: of the picture.
        seed: of all chance.
    """
    rng = np.random.default_rng(seed)
    standing = drawn_views(
        procedural_poses(500, step_generator(22, seed)), max(people, 1), SKELETON, step_generator(23, seed)
    )
    true = standing.double().numpy()
    places, scales = rng.uniform((80, 140), (560, 340), (people, 2)), rng.uniform(50, 110, people)
    parts = []
    for number in range(boxes):
        who = int(rng.integers(people)) if people and number % 2 == 0 else -1
        person = None if who < 0 else (true[who], places[who], float(scales[who]))
        parts.append(_of_box(person, anchors, rng))
    every = Proposals(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    return every.chosen(np.argsort(-every.scores, kind="stable")[:count])


def _of_box(
    person: tuple[np.ndarray, np.ndarray, float] | None, anchors: AnchorPoses, rng: np.random.Generator
) -> Proposals:
    """The proposals of one box, of all classes."""
    upper, classes = bool(rng.random() < 0.4), 2 * len(anchors)
    metres = np.tile(anchors.joints_m, (2, 1, 1))
    if person is None:
        middle, half = rng.uniform((0, 0), _SIZE_PX), rng.uniform(15, 90, 2)
        box, sure = np.concatenate([middle - half, middle + half]), 0.03
        likely, px = rng.normal(0, 1, classes), points_of_box(anchors.in_box, np.tile(box, (classes, 1)))
    else:
        pose, place, scale = person
        points = place + scale * pose[:, :2]
        around = pose_boxes(points[anchors.upper_rows] if upper else points, BOX_MARGIN)
        box = around + 0.1 * np.tile(around[2:] - around[:2], 2) * rng.normal(size=4)
        sure, behind = rng.uniform(0.3, 1), pose * (1, 1, -1)
        apart = np.stack([np.linalg.norm(metres - view, axis=-1).mean(-1) for view in (pose, behind)])
        which = (apart[1] < apart[0])[:, None, None]
        other = np.repeat([upper, not upper], len(anchors))  # classes of the kind that the box is not of
        likely = -np.minimum(apart[0], apart[1] + 0.05) / _NEAR_M - 3.0 * other + rng.normal(0, 0.5, classes)
        seen = np.where(which, behind, pose)
        metres = seen + _LEFT * (metres - seen) + rng.normal(0, 0.02, metres.shape)
        px = points_of_box(anchors.in_box, np.tile(box, (classes, 1)))
        px = points + _LEFT * (px - points) + rng.normal(0, 2, px.shape)
    share = np.exp(likely - likely.max())
    scores = sure * share / share.sum()
    return Proposals(px, metres, scores, np.tile(box, (classes, 1)), np.arange(classes) >= len(anchors))
