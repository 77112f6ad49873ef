"""Made-up people before made-up cameras, and people of motion capture: scenes whose camera is known.

A made-up scene is a flat floor with people of 1.70 ± 0.09 m, 1.5 to 10 m away, who stand, or walk at 0.8 to 1.5 m/s in
straight lines for ten seconds, swing their feet and lean by a few degrees, each in a way of their own. The camera has
a horizontal field of view of 30° to 100°, looks −5° to 40° down, is rolled by up to 15° and stands 0.8 to 4 m high, all
drawn evenly (the height by its logarithm). Pictures have 1000 × 750 px, and keypoints an error of 2 px per axis.
In scenes of motion capture the people move as those of its validation and test split do (how people lean was measured
on the training split), with at least 70 % of their frames in the picture. Whoever walks is a clip that says so;
whoever does anything jumps, bends, climbs and sits too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sightline.camera import Camera
from sightline.data.motion_library import MotionLibrary
from sightline.skeleton import get_skeleton
from sightline.stature import stature_from_joints
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

SIZE, NOISE_PX, LEAN_RAD = (1000, 750), 2.0, 0.04
SECONDS, STEP_S = 10.0, 0.2
WALKS, EVERY = ("walk", "navigate", "run", "jog"), 6

H36M = get_skeleton("h36m17")
# Joints of somebody who stands and looks along y, in statures (Drillis and Contini, 1966): to the right, ahead, up.
STANDING = {
    "Hip": (0.0, 0.0, 0.53), "RHip": (0.07, 0.0, 0.53), "RKnee": (0.07, 0.01, 0.285), "RAnkle": (0.07, 0.0, 0.039),
    "LHip": (-0.07, 0.0, 0.53), "LKnee": (-0.07, 0.01, 0.285), "LAnkle": (-0.07, 0.0, 0.039),
    "Spine": (0.0, 0.0, 0.67), "Thorax": (0.0, 0.0, 0.805), "Nose": (0.0, 0.045, 0.855), "Head": (0.0, 0.02, 0.92),
    "LShoulder": (-0.1, 0.0, 0.805), "LElbow": (-0.14, 0.0, 0.63), "LWrist": (-0.14, 0.05, 0.49),
    "RShoulder": (0.1, 0.0, 0.805), "RElbow": (0.14, 0.0, 0.63), "RWrist": (0.14, 0.05, 0.49),
}  # fmt: skip
BODY = np.array([STANDING[name] for name in H36M.joints])


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The camera of a scene; its place in the world has z up and the floor at z = 0."""

    camera: Camera
    focal_px: float
    pitch_rad: float
    roll_rad: float
    height_m: float

    @property
    def up_cam(self) -> np.ndarray:
        """Unit vector against gravity, camera frame."""
        assert self.camera.rotation is not None
        return self.camera.rotation[:, 2].numpy()


def true_camera(fov_deg: float, pitch_deg: float, roll_deg: float, height_m: float) -> Truth:
    """A camera that looks along the world's y, down by the pitch, and whose up leans right in the picture by roll."""
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    c, s = math.cos(pitch), math.sin(pitch)
    level = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    pitched = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    c, s = math.cos(roll), math.sin(roll)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ pitched @ level
    focal = 0.5 * SIZE[0] / math.tan(0.5 * math.radians(fov_deg))
    camera = Camera.create(SIZE, focal, rotation=rotation, translation_m=-rotation @ np.array([0.0, 0.0, height_m]))
    return Truth(camera=camera, focal_px=focal, pitch_rad=pitch, roll_rad=roll, height_m=height_m)


@dataclass(kw_only=True)
class Walker:
    """Somebody on the floor; lean_rad is the person's own, to the right and ahead of the camera."""

    stature_m: float
    place: np.ndarray
    heading: float
    speed: float
    lean_rad: np.ndarray
    phase: float = 0.0

    def joints(self, lean_rad: np.ndarray | float = 0.0, *, walks: bool = False) -> np.ndarray:
        """Joints in the world, m; who walks bends the knees a little and swings one foot after the other."""
        body = BODY.copy()
        if walks:
            body[:, 2] -= 0.012 * np.minimum(body[:, 2] / 0.53, 1.0) * (body[:, 2] > 0.1)
            for side, phase in (("R", self.phase), ("L", self.phase + math.pi)):
                ankle, knee = H36M.index(f"{side}Ankle"), H36M.index(f"{side}Knee")
                body[ankle] += 0.13 * np.array([0.0, math.sin(phase), 0.45 * max(math.cos(phase), 0.0)])
                body[knee] += 0.08 * np.array([0.0, math.sin(phase), 0.0])
        body *= self.stature_m
        c, s = math.cos(self.heading), math.sin(self.heading)
        turned = np.stack([body[:, 0] * c + body[:, 1] * s, body[:, 1] * c - body[:, 0] * s, body[:, 2]], -1)
        turned[:, :2] += (turned[:, 2:] - 0.039 * self.stature_m) * (self.lean_rad + lean_rad)
        turned[:, :2] += self.place
        return turned

    def seen(self, truth: Truth) -> bool:
        """Whether the whole body is in the picture."""
        points, front = projected(truth, self.joints())
        return bool(front and (points > 0).all() and (points < np.array(SIZE)).all())

    def walk(self, truth: Truth, rng: np.random.Generator) -> None:
        """Go on for a step of time; whoever would leave the picture turns."""
        before, self.phase = self.place, self.phase + 2.0 * math.pi * STEP_S * self.speed / (0.8 * self.stature_m)
        for _ in range(40):
            way = np.array([math.sin(self.heading), math.cos(self.heading)])
            self.place = before + STEP_S * self.speed * way
            if self.seen(truth) and 1.2 < self.place[1] < 12.0:
                return
            self.heading = rng.uniform(0.0, 2.0 * math.pi)
        self.place = before


def seen_at(truth: Truth, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of points in the world, and their depths (m)."""
    assert truth.camera.rotation is not None
    points = (joints - np.array([0.0, 0.0, truth.height_m])) @ truth.camera.rotation.numpy().T
    return points[..., :2] / points[..., 2:] * truth.focal_px + 0.5 * np.array(SIZE), points[..., 2]


def projected(truth: Truth, joints: np.ndarray) -> tuple[np.ndarray, bool]:
    """Pixels of points in the world, and whether all are well before the camera."""
    points, depth = seen_at(truth, joints)
    return points, bool((depth > 0.5).all())


def drawn_camera(rng: np.random.Generator) -> Truth:
    """Any camera of those that the module's text tells of."""
    height = math.exp(rng.uniform(math.log(0.8), math.log(4.0)))
    return true_camera(rng.uniform(30, 100), rng.uniform(-5, 40), rng.uniform(-15, 15), height)


def scene(
    rng: np.random.Generator, people: int, kind: str, truth: Truth | None = None
) -> tuple[Keypoints, Truth] | None:
    """What a detector sees of a scene, and its camera; None where so many people found no place in the picture."""
    drawn = drawn_camera(rng)
    truth = truth or drawn
    crowd: list[Walker] = []
    for _ in range(200 * people):
        ahead = rng.uniform(1.5, 10.0)
        one = Walker(
            stature_m=rng.normal(1.70, 0.09),
            place=np.array([rng.uniform(-1.0, 1.0) * ahead, ahead]),
            heading=rng.uniform(0.0, 2.0 * math.pi),
            speed=rng.uniform(0.8, 1.5),
            lean_rad=rng.normal(0.0, LEAN_RAD, 2),
            phase=rng.uniform(0.0, 2.0 * math.pi),
        )
        crowd += [one] if one.seen(truth) else []
        if len(crowd) == people:
            break
    if len(crowd) < people:
        return None
    walks, frames = kind == "walk", []
    for number in range(1 if kind == "photo" else round(SECONDS / STEP_S)):
        if walks and number:
            for one in crowd:
                one.walk(truth, rng)
        row = []
        for ident, one in enumerate(crowd):
            points, _ = projected(truth, one.joints(rng.normal(0.0, LEAN_RAD, 2), walks=walks))
            points = points + rng.normal(0.0, NOISE_PX, points.shape)
            row.append(PersonKeypoints(keypoints_px=points, confidence=np.ones(len(H36M)), id=ident))
        frames.append(KeypointFrame(index=number, people=tuple(row)))
    return Keypoints(skeleton=H36M, image_size=SIZE, frames=tuple(frames), fps=1.0 / STEP_S), truth


def moving(library: MotionLibrary, rng: np.random.Generator, seconds: float, *, walks: bool) -> np.ndarray:
    """Somebody of the held-out splits, of a stature drawn anew and turned anyhow, about the world's origin, m."""
    held = [row for row, split in enumerate(library.splits) if split in ("val", "test")]
    held = [row for row in held if library.source_frames[row] >= 20]
    held = [row for row in held if not walks or any(name in library.actions[row] for name in WALKS)]
    clip = held[rng.integers(len(held))]
    whole = np.asarray(library.joints_world[library.clip_start[clip] : library.clip_start[clip + 1]], np.float64)
    ankles = whole[:, [H36M.index("RAnkle"), H36M.index("LAnkle")], 2].min(1)
    stature = float(stature_from_joints(torch.from_numpy(whole)).median())
    count = min(max(round(seconds * library.fps), 1), len(whole))
    first = rng.integers(len(whole) - count + 1)
    joints = whole[first : first + count : EVERY].copy()
    joints[..., 2] -= np.percentile(ankles, 5) - 0.039 * stature
    joints *= rng.normal(1.70, 0.09) / stature
    turn = rng.uniform(0.0, 2.0 * math.pi)
    c, s = math.cos(turn), math.sin(turn)
    joints[..., :2] = (joints[..., :2] - joints[:, :1, :2].mean(0)) @ np.array([[c, s], [-s, c]])
    return joints


def mocap_scene(
    rng: np.random.Generator, library: MotionLibrary, people: int, seconds: float, *, walks: bool
) -> tuple[Keypoints, Truth] | None:
    """What a detector sees of people of the motion capture; None where so many found no place in the picture."""
    truth = drawn_camera(rng)
    crowd: list[tuple[Any, Any]] = []  # pixels, and frames that show the whole body
    for _ in range(100 * people):
        ahead = rng.uniform(1.5, 12.0)
        joints = moving(library, rng, seconds, walks=walks)
        joints[..., :2] += np.array([rng.uniform(-1.0, 1.0) * ahead, ahead])
        points, depth = seen_at(truth, joints)
        whole = ((points > 0) & (points < np.array(SIZE))).all((1, 2)) & (depth > 0.5).all(1)
        crowd += [(points, whole)] if whole.mean() >= 0.7 else []
        if len(crowd) == people:
            break
    if len(crowd) < people:
        return None
    frames = []
    for number in range(max(len(points) for points, _ in crowd)):
        row = []
        for ident, (points, whole) in enumerate(crowd):
            if number < len(points) and whole[number]:
                noisy = points[number] + rng.normal(0.0, NOISE_PX, points[number].shape)
                row.append(PersonKeypoints(keypoints_px=noisy, confidence=np.ones(len(H36M)), id=ident))
        frames.append(KeypointFrame(index=EVERY * number, people=tuple(row)))
    return Keypoints(skeleton=H36M, image_size=SIZE, frames=tuple(frames), fps=library.fps), truth
