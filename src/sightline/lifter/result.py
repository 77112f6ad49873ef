"""What lifting gives: poses, who could not be lifted and why; one person out of an engine's numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sightline.camera import Camera
from sightline.engine import LiftedPeople
from sightline.skeleton import Conversion
from sightline.structures import Hypothesis, KeypointFrame, Keypoints, Person, PersonKeypoints, PoseFrame, Poses, World


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A person who could not be lifted, and why."""

    frame: int
    id: int | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class LiftResult:
    """Poses, and all that a careful user wants to know about how they came about."""

    poses: Poses
    conversion: Conversion
    """From the detector's joints to those that the results show."""
    approximated: Mapping[str, str]
    """Joints that the lifter saw in place of others, and how; none where it takes joint sets as they are."""
    skipped: tuple[Skipped, ...]

    @property
    def lifted(self) -> int:
        """Number of people lifted over all frames."""
        return sum(len(frame.people) for frame in self.poses.frames)

    def skipped_in_words(self) -> str:
        """Return one sentence about those who could not be lifted; empty where everybody was."""
        if not self.skipped:
            return ""
        total = self.lifted + len(self.skipped)
        reasons = "; ".join(f"{count} × {reason}" for reason, count in Counter(s.reason for s in self.skipped).items())
        return f"{len(self.skipped)} of {total} people could not be lifted: {reasons}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One person who can be lifted, in the lifter's own joints."""

    frame: int
    number: int
    """Row among all people of the call."""
    person: PersonKeypoints
    seen: PersonKeypoints
    """The person as the detector gave them, in its own joints."""


RIVAL_SHARE, _RIVAL_APART_M = 0.15, 0.06
"""A competing pose is told where it is so likely, and its joints so far from the pose that was chosen in the mean."""


def person_of(row: Row, lifted: LiftedPeople, number: int, camera: Camera) -> Person:
    """One person as results tell of them; `number` is their row in what the engine lifted."""
    joints_cam = lifted.joints_cam[number]
    seen = row.seen.keypoints_px[np.isfinite(row.seen.keypoints_px).all(-1)]
    return Person(
        id=row.person.id,
        score=float(row.person.confidence.mean()),
        joints_cam_m=joints_cam,
        root_depth_canonical=canonical_depth(joints_cam, camera),
        box_px=np.concatenate([seen.min(0), seen.max(0)]),
        keypoints_px=row.person.keypoints_px,
        confidence=row.person.confidence,
        sigma_m=None if lifted.sigma_m is None else lifted.sigma_m[number],
        hypotheses=_rivals(lifted, number, camera),
    )


def canonical_depth(joints_cam: Float[np.ndarray, "joint 3"], camera: Camera, root: int = 0) -> float | None:
    """Return the root's depth over the focal length (m/px); None for a lens without one focal length."""
    focal = camera.canonical_focal_px
    return None if focal is None else float(joints_cam[root, 2] / float(focal))


def _rivals(lifted: LiftedPeople, number: int, camera: Camera) -> tuple[Hypothesis, ...] | None:
    """Other poses that the picture may show as well, the likeliest first; None where there is no doubt."""
    if lifted.others_cam is None or lifted.shares is None:
        return None
    others, shares = lifted.others_cam[number], lifted.shares[number]
    apart = np.linalg.norm(others - lifted.joints_cam[number], axis=-1).mean(-1)
    told = [
        Hypothesis(
            score=float(shares[row]),
            joints_cam_m=others[row],
            root_depth_canonical=canonical_depth(others[row], camera),
        )
        for row in np.argsort(-shares, kind="stable")
        if shares[row] >= RIVAL_SHARE and apart[row] >= _RIVAL_APART_M and np.isfinite(others[row]).all()
    ]
    return tuple(told) or None


def frames_of(keypoints: Keypoints, rows: list[Row], people: list[Person]) -> tuple[PoseFrame, ...]:
    """All frames of the keypoints, each with those of its people who were lifted."""
    by_frame: dict[int, list[Person]] = {}
    for row, person in zip(rows, people, strict=True):
        by_frame.setdefault(row.frame, []).append(person)

    def time_s(frame: KeypointFrame) -> float | None:
        return None if keypoints.fps is None else frame.index / keypoints.fps

    return tuple(
        PoseFrame(index=frame.index, time_s=time_s(frame), people=tuple(by_frame.get(frame.index, ())))
        for frame in keypoints.frames
    )


def world_of(camera: Camera) -> World | None:
    """Return gravity and floor of a camera that knows its world, with z up and its floor at z = 0; None of others."""
    if camera.rotation is None or camera.translation_m is None:
        return None
    up_cam = camera.rotation[:, 2].double().numpy()
    height = -float(up_cam @ camera.translation_m.double().numpy())
    return World(up_cam=up_cam, floor_cam=np.append(up_cam, height))
