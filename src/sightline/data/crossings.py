"""People who walk through each other's way before a camera, as a detector and a lifter see them, with known truth.

Made from nothing, for tests and benchmarks of ids: a gait of sines moved along paths that keep people apart as bodies
and cross all the time in the picture. Nothing that is shipped is trained on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from sightline.camera import Camera
from sightline.skeleton import Skeleton, get_skeleton
from sightline.structures import Person, PoseFrame

_STEP_S: Final = 0.02  # of the walk; frames lie between its steps
_ROOM_M: Final = 0.8  # two people nearer than this make way
_SLOWS: Final = 0.8  # of the own speed is lost at most by making way
_REACH_M: Final = 0.3  # a goal this near has been reached
_TOGETHER_M_S, _BESIDE_M = 0.5, 0.6  # two people in one line of sight who go along with each other
_HALF_WIDTH_M, _BEHIND_M = 0.19, 0.2  # a body hides what is within that width and this much further away
_LEAST_VISIBLE: Final = 0.45  # share of the joints below which nobody is seen


@dataclass(frozen=True, kw_only=True)
class CrossingConfig:
    """Who walks where, and how wrong detector and lifter are.

    With `hide`, whoever is mostly behind somebody else is not found, for seconds where two go the same way; without,
    a detector sees through, and only `missed` is missing.

    Rates are probabilities. `along` and `across` are the standard deviations of a lifted root on and off the line of
    sight, as a share of its distance; half the variance along the line wanders within `wander_s`, half is new in every
    frame. `bias` is that of a factor on the distance which each person keeps. `ValueError` for numbers out of range.
    """

    people: int = 4
    frames: int = 1000
    hide: bool = True
    fps: float = 30.0
    image_size: tuple[int, int] = (1920, 1080)
    focal_px: float = 1300.0
    camera_height_m: float = 1.5
    pitch: float = 0.08  # rad, downwards
    near_m: float = 3.5  # walks lie between these distances
    far_m: float = 9.0
    missed: float = 0.05  # per person and frame, beside those who are hidden
    doubled: float = 0.01  # per detection: the same person is found twice
    false: float = 0.01  # per frame: somebody is found where nobody is
    jitter_m: float = 0.02  # of a keypoint, at the person's distance
    outlier: float = 0.03  # of all keypoints and half of the hidden ones; they jitter five times as much
    along: float = 0.06
    across: float = 0.01
    wander_s: float = 0.3
    bias: float = 0.05
    pose_m: float = 0.03  # of a joint against its root

    def __post_init__(self) -> None:
        if self.people < 1 or self.frames < 1 or not 0 < self.fps < math.inf or not 1 <= self.near_m < self.far_m:
            raise ValueError(
                "people, frames, fps, near_m, far_m: expected at least one person and frame, a rate above 0 and "
                f"1 ≤ near_m < far_m, got {self.people}, {self.frames}, {self.fps}, {self.near_m}, {self.far_m}"
            )
        rates = (self.missed, self.doubled, self.false, self.outlier)
        sizes = (self.jitter_m, self.along, self.across, self.wander_s, self.bias, self.pose_m)
        if not all(0 <= rate <= 1 for rate in rates) or not all(0 <= size < math.inf for size in sizes):
            raise ValueError(f"rates in 0…1 and sizes of at least 0 are expected, got {rates} and {sizes}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """One frame as a detector and a lifter give it: people without ids, in any order.

    source: who each of them truly is; None for somebody who is not there. The same person may stand twice.
    """

    time_s: float
    people: tuple[Person, ...]
    source: tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Crossing:
    """A film of people who cross: what is seen, and what is true (metres, camera frame).

    visible: whether enough of a person can be seen to be found at all; those who then are not found were missed.
    """

    skeleton: Skeleton
    camera: Camera
    fps: float
    seen: tuple[Seen, ...]
    joints_cam_m: Float[np.ndarray, "frame person 17 3"]
    joints_px: Float[np.ndarray, "frame person 17 2"]
    visible: Bool[np.ndarray, "frame person"]

    def truth(self) -> tuple[PoseFrame, ...]:
        """The people that can be seen, exact and with their ids."""
        frames = []
        for frame, (seen, row) in enumerate(zip(self.seen, self.visible, strict=True)):
            people = tuple(self._true(frame, who) for who in np.flatnonzero(row).tolist())
            frames.append(PoseFrame(index=frame, time_s=seen.time_s, people=people))
        return tuple(frames)

    def _true(self, frame: int, who: int) -> Person:
        focal_px = float(self.camera.focal_px[0])
        return _person(self.joints_cam_m[frame, who], self.joints_px[frame, who], np.ones(17), focal_px, int(who))


def draw_crossing(seed: int, config: CrossingConfig | None = None) -> Crossing:
    """Draw a film; the same seed and configuration give the same one."""
    config = config or CrossingConfig()
    rng = np.random.default_rng([seed, config.people])
    camera = Camera.create(config.image_size, config.focal_px)
    times = np.arange(config.frames) / config.fps
    joints = walking_bodies(_walks(config, rng), times, rng)
    joints_cam = _seen_from(joints, config)
    joints_px = joints_cam[..., :2] / joints_cam[..., 2:] * config.focal_px + np.array(config.image_size) / 2
    hidden = _hidden(joints_cam, joints_px, config.focal_px) & config.hide
    visible = 1 - hidden.mean(-1) >= _LEAST_VISIBLE
    seen = _Observer(config, rng).frames(joints_cam, joints_px, hidden, visible, times)
    return Crossing(
        skeleton=get_skeleton("h36m17"), camera=camera, fps=config.fps, seen=seen, joints_cam_m=joints_cam,
        joints_px=joints_px, visible=visible,
    )  # fmt: skip


# Walking


@dataclass(frozen=True, kw_only=True, eq=False)
class Walks:
    """Places (m: right of the camera, ahead of it) and velocities (m/s) on the floor, every `step_s` seconds."""

    step_s: float
    places: Float[np.ndarray, "step person 2"]
    velocities: Float[np.ndarray, "step person 2"]


def _walks(config: CrossingConfig, rng: np.random.Generator) -> Walks:
    """Walk from one side of the picture to the other and back, pause now and then, make way for others."""
    steps, count = math.ceil(config.frames / config.fps / _STEP_S) + 2, config.people
    side = np.where(np.arange(count) % 2 == 0, -1.0, 1.0)
    place, velocity = _goals(side, config, rng), np.zeros((count, 2))
    side, rest = -side, np.zeros(count)
    goal, speed = _goals(side, config, rng), rng.uniform(0.7, 1.6, count)
    places, velocities = np.empty((steps, count, 2)), np.empty((steps, count, 2))
    for step in range(steps):
        way = goal - place
        left = np.linalg.norm(way, axis=1, keepdims=True)
        wish = way / np.maximum(left, _REACH_M) * speed[:, None] * (rest <= 0)[:, None]
        wish = wish + _making_way(place, way, speed) + _stepping_aside(place, velocity)
        velocity = velocity + (wish - velocity) * (_STEP_S / 0.3)
        place = place + velocity * _STEP_S
        places[step], velocities[step] = place, velocity
        rest -= _STEP_S
        there = (left[:, 0] < _REACH_M) & (rest <= 0)
        if there.any():
            side = np.where(there, -side, side)
            goal = np.where(there[:, None], _goals(side, config, rng), goal)
            speed = np.where(there, rng.uniform(0.7, 1.6, count), speed)
            rest = np.where(there & (rng.random(count) < 0.4), rng.uniform(0.3, 1.5, count), rest)
    return Walks(step_s=_STEP_S, places=places, velocities=velocities)


def _goals(side: np.ndarray, config: CrossingConfig, rng: np.random.Generator) -> Float[np.ndarray, "person 2"]:
    """Places on the left (−1) or right (1) of the picture, at any distance."""
    ahead = rng.uniform(config.near_m, config.far_m, len(side))
    half_width = config.image_size[0] / 2 / config.focal_px
    return np.stack([side * rng.uniform(0.1, 0.8, len(side)) * half_width * ahead, ahead], axis=1)


def _making_way(place: np.ndarray, way: np.ndarray, speed: np.ndarray) -> Float[np.ndarray, "person 2"]:
    """A push (m/s) away from whoever is too near, and a little to the own right; it slows, but turns nobody back.

    way: where people want to go (m), from where they are.
    """
    apart = place[:, None] - place
    distance = np.linalg.norm(apart, axis=-1)
    push = np.where(distance < _ROOM_M, 2.5 * (_ROOM_M - distance) / _ROOM_M, 0.0) * (distance > 0)
    away = apart / np.maximum(distance, 1e-6)[..., None]
    aside = np.stack([away[..., 1], -away[..., 0]], axis=-1)
    pushed = ((away + 0.5 * aside) * push[..., None]).sum(1)
    ahead = way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
    against = np.minimum((pushed * ahead).sum(1, keepdims=True) + _SLOWS, 0.0)
    return (pushed - against * ahead) * speed[:, None]


def _stepping_aside(place: np.ndarray, velocity: np.ndarray) -> Float[np.ndarray, "person 2"]:
    """A push (m/s) out of the line of sight to somebody who goes the same way: nobody stays behind another for long."""
    sight = place / np.linalg.norm(place, axis=1, keepdims=True)
    across = np.stack([sight[:, 1], -sight[:, 0]], axis=1)
    beside = (place[:, None] * across).sum(-1) - (place * across[:, None]).sum(-1)
    together = np.abs(((velocity[:, None] - velocity) * across[:, None]).sum(-1)) < _TOGETHER_M_S
    in_line = together & (np.abs(beside) < _BESIDE_M) & ~np.eye(len(place), dtype=bool)
    side = np.where(beside != 0, np.sign(beside), 1.0)
    return ((side * in_line).sum(1) * 0.5)[:, None] * across


def walking_bodies(
    walks: Walks, times: Float[np.ndarray, " frame"], rng: np.random.Generator
) -> Float[np.ndarray, "frame person 17 3"]:
    """`h36m17` joints (m; right of the camera, ahead, above the floor) of adults of several sizes along their walks.

    Legs and arms swing as sines of the way that was walked, and rest where nobody moves.
    """
    count = walks.places.shape[1]
    size, phase = rng.uniform(0.9, 1.08, count), rng.uniform(0, 2 * math.pi, count)
    speed = np.linalg.norm(walks.velocities, axis=-1)
    way = np.cumsum(speed * walks.step_s, axis=0) / (1.4 * size) * 2 * math.pi + phase
    heading = np.unwrap(_headings(walks.velocities, speed), axis=0)
    steps = np.arange(len(walks.places)) * walks.step_s

    def at_frames(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(times, steps, values[:, person]) for person in range(count)], axis=1)

    body = _gait(at_frames(way), np.minimum(at_frames(speed), 1.0)) * size[:, None, None]
    c, s = (f(at_frames(heading))[..., None] for f in (np.cos, np.sin))
    across, ahead = (at_frames(walks.places[..., axis])[..., None] for axis in (0, 1))
    return np.stack(
        [body[..., 0] * c + body[..., 1] * s + across, body[..., 1] * c - body[..., 0] * s + ahead, body[..., 2]], -1
    )


def _headings(velocities: np.ndarray, speed: np.ndarray) -> Float[np.ndarray, "step person"]:
    """Angle (rad) from ahead to the right in which people walk; who stands looks where they last went."""
    angle = np.arctan2(velocities[..., 0], velocities[..., 1])
    moving = np.where(speed > 0.2, np.arange(len(speed))[:, None], 0)
    return np.take_along_axis(angle, np.maximum.accumulate(moving, axis=0), axis=0)


def _gait(phase: np.ndarray, amount: np.ndarray) -> Float[np.ndarray, "frame person 17 3"]:
    """A 1.73 m body that faces y, z up, its right at +x; `amount` 0 stands, 1 strides."""
    joints = np.zeros((*phase.shape, 17, 3))
    joints[..., 0, 2] = 0.95 + 0.02 * amount * np.cos(2 * phase)
    lean = 0.05 * amount

    def attach(joint: int, parent: int, right: float, length: float, angle: np.ndarray) -> None:
        """Hang a joint `right` metres beside its parent and `length` below it, swung forward by `angle`."""
        joints[..., joint, :] = joints[..., parent, :]
        joints[..., joint, 0] += right
        joints[..., joint, 1] += length * np.sin(angle)
        joints[..., joint, 2] -= length * np.cos(angle)

    back = ((7, 0, 0.24, 0.0), (8, 7, 0.25, 0.0), (9, 8, 0.113, 0.72), (10, 9, 0.108, -0.38))
    for joint, parent, length, forward in back:
        attach(joint, parent, 0.0, -length, -lean - forward)
    for right, hip, shoulder, turn in ((1.0, 1, 14, 0.0), (-1.0, 4, 11, math.pi)):
        swing, forward = np.sin(phase + turn), np.maximum(np.cos(phase + turn), 0.0)
        thigh = amount * (0.42 * swing + 0.08)
        attach(hip, 0, 0.12 * right, 0.0, lean)
        attach(hip + 1, hip, 0.0, 0.43, thigh)
        attach(hip + 2, hip + 1, 0.0, 0.43, thigh - 0.08 - 0.9 * amount * forward)
        arm = -0.4 * amount * swing
        attach(shoulder, 8, 0.17 * right, 0.02, lean)
        attach(shoulder + 1, shoulder, 0.05 * right, 0.29, arm)
        attach(shoulder + 2, shoulder + 1, 0.0, 0.25, arm + 0.25 + 0.3 * amount)
    return joints


# Seeing


def _seen_from(joints: np.ndarray, config: CrossingConfig) -> Float[np.ndarray, "frame person 17 3"]:
    """From the floor's frame to that of a camera at a height, which looks down by its pitch."""
    down, ahead = config.camera_height_m - joints[..., 2], joints[..., 1]
    c, s = math.cos(config.pitch), math.sin(config.pitch)
    return np.stack([joints[..., 0], c * down - s * ahead, s * down + c * ahead], axis=-1)


def _hidden(joints_cam: np.ndarray, joints_px: np.ndarray, focal_px: float) -> Bool[np.ndarray, "frame person 17"]:
    """Whether somebody stands before a joint; bodies are as high as they are and about 40 cm wide."""
    hidden = np.zeros(joints_px.shape[:3], dtype=bool)
    for front in range(joints_px.shape[1]):
        points, depth = joints_px[:, None, front], joints_cam[:, None, front, 0, 2]
        wide = _HALF_WIDTH_M * focal_px / depth[..., None]
        above, below = points[..., 1].min(-1, keepdims=True) - wide / 2, points[..., 1].max(-1, keepdims=True)
        beside = np.abs(joints_px[..., 0] - points[..., :1, 0]) > wide
        outside = beside | (joints_px[..., 1] < above) | (joints_px[..., 1] > below)
        hidden |= ~outside & (joints_cam[..., 2] > depth[..., None] + _BEHIND_M)
    return hidden


class _Observer:
    """Turns what is there into what is found."""

    def __init__(self, config: CrossingConfig, rng: np.random.Generator) -> None:
        self.config, self.rng = config, rng
        self.bias = rng.normal(0.0, config.bias, config.people)

    def frames(
        self, joints_cam: np.ndarray, joints_px: np.ndarray, hidden: np.ndarray, visible: np.ndarray, times: np.ndarray
    ) -> tuple[Seen, ...]:
        """The whole film: who is missed, found twice or made up, each as `_found` sees them, in any order."""
        wander = self._wander()
        found = visible & (self.rng.random(visible.shape) >= self.config.missed)
        twice = found & (self.rng.random(visible.shape) < self.config.doubled)
        false = self.rng.random(len(times)) < self.config.false
        seen = []
        for frame, time_s in enumerate(times.tolist()):
            rows = [*np.flatnonzero(found[frame]).tolist(), *np.flatnonzero(twice[frame]).tolist()]
            factors = wander[frame] + self.bias
            people = [
                self._found(joints_cam[frame, who], joints_px[frame, who], hidden[frame, who], factors[who])
                for who in rows
            ]
            sources: list[int | None] = [*rows]
            if false[frame]:
                people.append(self._nobody(joints_cam))
                sources.append(None)
            order = self.rng.permutation(len(people)).tolist()
            found_here = tuple(people[row] for row in order)
            seen.append(Seen(time_s=time_s, people=found_here, source=tuple(sources[row] for row in order)))
        return tuple(seen)

    def _wander(self) -> Float[np.ndarray, "frame person"]:
        """The part of the error in distance that changes slowly: an Ornstein-Uhlenbeck process."""
        shape = (self.config.frames, self.config.people)
        keep = math.exp(-1 / (self.config.fps * self.config.wander_s)) if self.config.wander_s > 0 else 0.0
        wander = self.rng.normal(0.0, self.config.along / math.sqrt(2), shape)
        for frame in range(1, len(wander)):
            wander[frame] = keep * wander[frame - 1] + math.sqrt(1 - keep**2) * wander[frame]
        return wander

    def _found(self, joints_cam: np.ndarray, joints_px: np.ndarray, hidden: np.ndarray, factor: float) -> Person:
        """A person as found, `factor` too far away in the logarithm."""
        config, rng, depth = self.config, self.rng, joints_cam[0, 2]
        wild = rng.random(17) < np.where(hidden, 0.5, config.outlier)
        jitter_px = config.jitter_m * config.focal_px / depth * np.where(wild, 5.0, 1.0)
        points_px = joints_px + rng.normal(0.0, 1.0, (17, 2)) * jitter_px[:, None]
        factor = math.exp(factor + rng.normal(0.0, config.along / math.sqrt(2)))
        root = joints_cam[0] * factor + np.append(rng.normal(0.0, config.across * depth, 2), 0.0)
        pose = joints_cam - joints_cam[0]
        pose[1:] += rng.normal(0.0, config.pose_m, (16, 3))
        confidence = np.where(hidden, 0.3, 0.9)
        return _person(root + pose, points_px, confidence, config.focal_px)

    def _nobody(self, joints_cam: np.ndarray) -> Person:
        """A body that somebody had at some time, elsewhere."""
        rng, config = self.rng, self.config
        body = joints_cam[rng.integers(len(joints_cam)), rng.integers(config.people)]
        place = np.append(_goals(rng.choice([-1.0, 1.0], 1), config, rng), 0.0)[[0, 2, 1]]
        moved = body - body[0] + place
        points_px = moved[:, :2] / moved[:, 2:] * config.focal_px + np.array(config.image_size) / 2
        return self._found(moved, points_px, np.zeros(17, dtype=bool), 0.0)


def _person(
    joints_cam: np.ndarray, points_px: np.ndarray, confidence: np.ndarray, focal_px: float, ident: int | None = None
) -> Person:
    return Person(
        id=ident, joints_cam_m=joints_cam, keypoints_px=points_px, confidence=confidence,
        score=float(confidence.mean()), root_depth_canonical=float(joints_cam[0, 2] / focal_px),
        box_px=np.concatenate([points_px.min(0), points_px.max(0)]),
    )  # fmt: skip
