"""Made-up films of one walking, turning person as a detector sees them: with true sides, jitter, swaps, wild joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

MEDIAPIPE = get_skeleton("mediapipe33")
ARMS = ("Shoulder", "Elbow", "Wrist", "Pinky", "Index", "Thumb")
LEGS = ("Hip", "Knee", "Ankle", "Heel", "FootIndex")
IMAGE_SIZE = (1920, 1080)


@dataclass(frozen=True, kw_only=True)
class Gait:
    """How somebody moves: heading (rad, 0 faces the camera) at the start and its rate, steps, place (m)."""

    heading: float = 0.0
    turn_rad_s: float = 0.0
    stride_rad: float = 0.5
    steps_hz: float = 0.9
    swing_rad: float = 0.5
    spread_rad: float = 0.15
    x: float = 0.0
    z: float = 4.5
    camera_height: float = 1.4
    drift_m_s: float = 0.0
    phase: float = 0.0


def true_points(gait: Gait, frames: int, fps: float, focal_px: float = 1500.0) -> np.ndarray:
    """True keypoints (frame, joint, 2) in the joints of MediaPipe, px, as a level camera sees them."""
    time = np.arange(frames) / fps
    angle = 2 * np.pi * gait.steps_hz * time + gait.phase
    body: dict[str, np.ndarray] = {}
    bob = 0.02 * np.cos(2 * angle)

    def put(name: str, side: float, ahead: np.ndarray | float, up: np.ndarray | float) -> None:
        still = np.zeros(frames)
        body[name] = np.stack([still + side, still + ahead, still + up + bob], axis=-1)

    put("Nose", 0.0, 0.13, 1.58)
    for side, name in ((1.0, "L"), (-1.0, "R")):
        for joint, place in {
            "EyeInner": (0.015, 0.105, 1.61), "Eye": (0.03, 0.1, 1.61), "EyeOuter": (0.045, 0.09, 1.61),
            "Ear": (0.075, 0.01, 1.59), "Mouth": (0.025, 0.105, 1.53),
        }.items():  # fmt: skip
            put(name + joint, side * place[0], place[1], place[2])
        leg, arm = side * gait.stride_rad * np.sin(angle), -side * gait.swing_rad * np.sin(angle)
        knee = 0.35 + 0.35 * np.cos(angle + side * 1.2)
        put(name + "Hip", side * 0.1, 0.0, 0.92)
        put(name + "Knee", side * 0.11, 0.42 * np.sin(leg), 0.92 - 0.42 * np.cos(leg))
        low = leg - knee
        foot = body[name + "Knee"][:, 1] + 0.42 * np.sin(low), body[name + "Knee"][:, 2] - 0.42 * np.cos(low) - bob
        put(name + "Ankle", side * 0.11, *foot)
        put(name + "Heel", side * 0.11, foot[0] - 0.05, foot[1] - 0.05)
        put(name + "FootIndex", side * 0.13, foot[0] + 0.16, foot[1] - 0.06)
        put(name + "Shoulder", side * 0.18, 0.0, 1.42)
        out, fore = np.sin(gait.spread_rad) * 0.29, arm + 0.4
        put(name + "Elbow", side * (0.18 + out), 0.28 * np.sin(arm), 1.42 - 0.28 * np.cos(arm))
        wrist = body[name + "Elbow"][:, 1] + 0.25 * np.sin(fore), body[name + "Elbow"][:, 2] - bob - 0.25 * np.cos(fore)
        put(name + "Wrist", side * (0.18 + 1.8 * out), *wrist)
        for finger, aside in (("Pinky", 0.0), ("Index", 0.01), ("Thumb", -0.02)):
            put(name + finger, side * (0.18 + 1.8 * out + aside), wrist[0] + 0.07 * np.sin(fore), wrist[1] - 0.07)
    points = np.stack([body[joint] for joint in MEDIAPIPE.joints], axis=1)
    turn = gait.heading + gait.turn_rad_s * time[:, None]
    side, ahead, up = np.moveaxis(points, -1, 0)
    right = side * np.cos(turn) + ahead * np.sin(turn) + gait.x + gait.drift_m_s * time[:, None]
    depth = gait.z + side * np.sin(turn) - ahead * np.cos(turn)
    return np.stack([right, gait.camera_height - up], axis=-1) / depth[..., None] * focal_px + np.array([960.0, 540.0])


def exchanged(points: np.ndarray, spans: Sequence[tuple[int, int, str]]) -> np.ndarray:
    """Points with the sides of the "whole" body, the "arms" (and face, shoulders) or the "legs" exchanged in spans."""
    result = points.copy()
    for start, stop, kind in spans:
        order = np.arange(len(MEDIAPIPE))
        for joint, name in enumerate(MEDIAPIPE.joints):
            if kind == "whole" or (name[1:] in LEGS) == (kind == "legs"):
                order[joint] = MEDIAPIPE.flip[joint]
        result[start:stop] = result[start:stop][:, order]
    return result


def random_spans(rng: np.random.Generator, frames: int, fps: float, share: float = 0.35) -> list[tuple[int, int, str]]:
    """Swaps of 0.1 to 2 s of every kind, in about this share of the frames."""
    spans, at = [], int(rng.integers(0, int(fps)))
    while at < frames:
        length = int(fps * rng.choice([0.1, 0.5, 1.0, 2.0]))
        spans.append((at, min(at + length, frames), str(rng.choice(["whole", "arms", "legs"], p=[0.5, 0.25, 0.25]))))
        at += length + int(length * (1 / share - 1) * rng.uniform(0.6, 1.4)) + 1
    return spans


def detected(
    rng: np.random.Generator, points: np.ndarray, *, jitter_px: float = 3.0, wild: float = 0.03, missing: float = 0.02
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points with jitter, wild joints in runs of one to four frames, and missing ones; confidence; which are wild."""
    frames, joints = points.shape[:2]
    seen = points + rng.normal(0.0, jitter_px, points.shape)
    is_wild = np.zeros((frames, joints), dtype=bool)
    for start, joint in np.argwhere(rng.random((frames, joints)) < wild / 2.5):
        stop = start + rng.integers(1, 5)
        way = rng.normal(size=2)
        seen[start:stop, joint] += way / np.linalg.norm(way) * rng.uniform(60.0, 250.0)
        is_wild[start:stop, joint] = True
    confidence = rng.uniform(0.5, 1.0, (frames, joints))  # wild ones are as sure as others
    gone = rng.random((frames, joints)) < missing
    seen[gone], confidence[gone] = np.nan, 0.0
    return seen, confidence, is_wild & ~gone


def film(
    points: np.ndarray, confidence: np.ndarray | None = None, *, fps: float | None = 60.0, ident: int | None = 3
) -> Keypoints:
    """One person's keypoints in the joints of MediaPipe as a film."""
    sure = np.where(np.isnan(points[..., 0]), 0.0, 0.9) if confidence is None else confidence
    frames = tuple(
        KeypointFrame(index=n, people=(PersonKeypoints(keypoints_px=xy, confidence=c, id=ident),))
        for n, (xy, c) in enumerate(zip(points, sure, strict=True))
    )
    return Keypoints(skeleton=MEDIAPIPE, image_size=IMAGE_SIZE, frames=frames, fps=fps)


def together(*films: Keypoints) -> Keypoints:
    """Several films of one person each as one film of all."""
    frames = tuple(
        replace(first, people=tuple(person for frame in (first, *others) for person in frame.people))
        for first, *others in zip(*(each.frames for each in films), strict=True)
    )
    return replace(films[0], frames=frames)


def side_is_right(found: np.ndarray, points: np.ndarray, parts: Sequence[str], clear_px: float = 12.0) -> np.ndarray:
    """Per frame 1 where the sides of these parts are right, 0 where exchanged, NaN where the two look alike."""
    joints = [n for n, name in enumerate(MEDIAPIPE.joints) if name[1:] in parts]
    other = [MEDIAPIPE.flip[joint] for joint in joints]
    given = np.minimum(np.linalg.norm(found[:, joints] - points[:, joints], axis=-1), 100)
    swapped = np.minimum(np.linalg.norm(found[:, joints] - points[:, other], axis=-1), 100)
    apart = np.linalg.norm(points[:, joints] - points[:, other], axis=-1)
    lead = np.nanmean(np.where(apart > clear_px, swapped - given, np.nan), axis=1)
    return np.where(np.abs(lead) > clear_px / 2, lead > 0, np.nan)
