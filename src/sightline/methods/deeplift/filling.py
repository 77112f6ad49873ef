"""Joints that no detector saw, as the prior has them: for lifters that need every joint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from sightline.camera import Camera
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.skeleton import get_skeleton
from sightline.structures import PersonKeypoints

FILLED_CONFIDENCE = 0.1
"""Confidence of a keypoint that nobody saw."""


def filled(
    people: Sequence[PersonKeypoints], camera: Camera, engine: DeepLiftEngine
) -> tuple[list[PersonKeypoints], Bool[np.ndarray, "person 17"]]:
    """Complete people in `h36m17`: lift what was seen, and look where the missing joints of that pose would be seen.

    Args:
        people: keypoints of `h36m17`; whoever lacks no joint, or has too few to be lifted, stays as they are. A joint
            of confidence 0 counts as missing.
        camera: the camera that saw them.
        engine: the prior's lifter.

    Returns:
        The people, and which of their joints were filled in.
    """
    missing = np.array(
        [np.isnan(person.keypoints_px[:, 0]) | (person.confidence <= 0) for person in people], dtype=bool
    ).reshape(len(people), 17)
    answer, done = list(people), np.zeros_like(missing)
    lacking = np.flatnonzero(missing.any(1)).tolist()
    if not lacking:
        return answer, done
    readied = engine.ready([people[row] for row in lacking], get_skeleton("h36m17"), camera)
    usable = [number for number, reason in enumerate(readied.reasons) if reason is None]
    if not usable:
        return answer, done
    unknown = torch.full((len(usable),), torch.nan, dtype=torch.float64)
    lifted = engine.lift(readied, usable, camera, unknown).joints_cam
    pixels, in_front = camera.project(torch.from_numpy(lifted))
    places = np.where((in_front & pixels.isfinite().all(-1)).numpy()[..., None], pixels.numpy(), np.nan)
    for number, place in zip(usable, places, strict=True):
        row = lacking[number]
        answer[row], done[row] = _with(people[row], place, missing[row])
    return answer, done


def _with(
    person: PersonKeypoints, places_px: Float[np.ndarray, "17 2"], missing: Bool[np.ndarray, " 17"]
) -> tuple[PersonKeypoints, Bool[np.ndarray, " 17"]]:
    """The person with places for what is missing; which got one."""
    fills: np.ndarray = missing & np.isfinite(places_px[:, 0])
    points = np.where(fills[:, None], places_px, person.keypoints_px)
    confidence = np.where(fills, FILLED_CONFIDENCE, person.confidence)
    return replace(person, keypoints_px=points, confidence=confidence), fills
