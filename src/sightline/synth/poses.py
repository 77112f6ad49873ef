"""Where poses come from: a motion library, an array of joints, or everyday postures made from nothing.

A `BodyPose` says where landmarks lie at a moment and shortly after, of whoever was measured; `draw` lays the bones of
each drawn figure along them. Sources are small values that can be sent to other processes.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from sightline.errors import InputError
from sightline.synth._draw_feet import with_feet
from sightline.synth._draw_postures import KINDS
from sightline.synth._draw_skeleton import posture_landmarks

MOMENT_S: Final = 0.03
"""How much later the second moment of a made pose is."""
_JUMP_WINDOW_S: Final = 0.6
_LEAST_LIFT_M, _MOST_LIFT_M = 0.05, 0.6


@dataclass(frozen=True, eq=False, kw_only=True)
class BodyPose:
    """Somebody's landmarks, now and `interval_s` later; metres, z up, anywhere, turned anyhow about z."""

    landmarks: Float[np.ndarray, "moment=2 landmark 3"]
    """The points of `sightline.landmarks.ALL_LANDMARKS`; NaN for those that the source does not know."""
    interval_s: float
    lift_m: float = 0.0
    """How high the body's lowest point is over the floor: above 0 in a jump."""


@runtime_checkable
class PoseSource(Protocol):
    """Anything that poses can be drawn from."""

    def pose(self, rng: np.random.Generator) -> BodyPose:
        """Draw a pose; the same state of `rng` gives the same pose."""
        ...


@dataclass(frozen=True, kw_only=True)
class ProceduralPoses:
    """People who stand, walk, run, sit, crouch, bend, reach, exercise and lie: needs no motion capture."""

    def pose(self, rng: np.random.Generator) -> BodyPose:
        """Draw a posture of one of the kinds, as often as people are seen in it."""
        weights = np.array([weight for _, weight in KINDS])
        make = KINDS[int(rng.choice(len(KINDS), p=weights / weights.sum()))][0]
        now, then = make(rng, MOMENT_S)
        return BodyPose(landmarks=np.stack([posture_landmarks(now), posture_landmarks(then)]), interval_s=MOMENT_S)


@dataclass(frozen=True, eq=False, kw_only=True)
class JointPoses:
    """Poses of an array of `h36m17` joints: clips one after the other, each at one rate.

    Raises ValueError for joints that are not (frame, 17, 3) finite numbers, or clips that do not fit them.
    """

    joints_world: Float[np.ndarray, "frame 17 3"]
    """Metres, z up."""
    fps: float = 30.0
    clip_start: Int[np.ndarray, " boundary"] | None = None
    """Rising numbers from 0 to the count of frames, clip i being [start i, start i + 1); None: frames are unrelated."""

    def __post_init__(self) -> None:
        joints = np.asarray(self.joints_world)
        if joints.ndim != 3 or joints.shape[1:] != (17, 3) or len(joints) == 0:
            raise ValueError(f"joints_world: expected (frame >= 1, 17, 3), got {joints.shape}")
        if not np.isfinite(joints).all():
            raise ValueError("joints_world: expected finite positions, got NaN or infinity")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps: expected a positive number, got {self.fps}")
        start = self.clip_start
        if start is not None and (
            start.ndim != 1 or len(start) < 2 or start[0] != 0 or start[-1] != len(joints) or (np.diff(start) < 1).any()
        ):
            raise ValueError(f"clip_start: expected rising numbers from 0 to {len(joints)}")

    def pose(self, rng: np.random.Generator) -> BodyPose:
        """Draw a frame, all frames alike."""
        return self.at(int(rng.integers(len(self.joints_world))))

    def at(self, frame: int) -> BodyPose:
        """Return the pose of a frame of the array."""
        first, last = frame, frame
        if self.clip_start is not None:
            clip = int(np.searchsorted(self.clip_start, frame, side="right")) - 1
            first, last = int(self.clip_start[clip]), int(self.clip_start[clip + 1]) - 1
        joints = self.joints_world[[frame, min(frame + 1, last)]].astype(np.float64)
        reach = round(_JUMP_WINDOW_S * self.fps)
        around = self.joints_world[max(first, frame - reach) : min(last, frame + reach) + 1]
        lift = float(joints[0, :, 2].min() - around[..., 2].min())
        floor = float(joints[0, :, 2].min()) - (lift if lift > _LEAST_LIFT_M else 0.0)
        return BodyPose(
            landmarks=with_feet(joints, floor),
            interval_s=1.0 / self.fps,
            lift_m=min(lift, _MOST_LIFT_M) if lift > _LEAST_LIFT_M else 0.0,
        )


@dataclass(frozen=True, kw_only=True)
class LibraryPoses:
    """Poses of a motion library (npz, docs/mocap.md), from the clips of one split, all clips alike, then all frames.

    A second of a long clip shows much the same poses, so that short clips are drawn as often as long ones up to
    `longest_s`; beyond it a clip's weight no longer grows. Raises InputError for files that are no motion library.
    """

    path: str
    split: str = "train"
    longest_s: float = 6.0

    def __post_init__(self) -> None:
        _library(self.path, self.split)

    def pose(self, rng: np.random.Generator) -> BodyPose:
        """Draw a clip, then a frame of it."""
        joints = _library(self.path, self.split)
        start = joints.clip_start
        assert start is not None
        clip = int(_shares(self).searchsorted(rng.random(), side="right"))
        return joints.at(int(rng.integers(start[clip], start[clip + 1])))


@lru_cache(maxsize=4)
def _shares(poses: LibraryPoses) -> Float[np.ndarray, " clip"]:
    """How much of all chance each clip and those before it have."""
    joints = _library(poses.path, poses.split)
    assert joints.clip_start is not None
    weights = np.minimum(np.diff(joints.clip_start), poses.longest_s * joints.fps)
    shares = (weights / weights.sum()).cumsum()
    return shares / shares[-1]


@lru_cache(maxsize=4)
def _library(path: str, split: str) -> JointPoses:
    """Read the clips of one split of a library."""
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            joints, start = file["joints_world"], file["clip_start"]
            splits, fps = file["splits"], float(file["fps"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: expected a motion library (npz, docs/mocap.md), got a file without it: {error}"
        ) from error
    if start.ndim != 1 or len(start) != len(splits) + 1 or not np.issubdtype(start.dtype, np.integer):
        raise InputError(f"{path}: clip_start has {start.shape}, expected one number more than the {len(splits)} clips")
    if joints.ndim != 3 or joints.shape[1:] != (17, 3) or joints.dtype.kind != "f":
        raise InputError(f"{path}: joints_world is {joints.dtype} {joints.shape}, expected float32 (frame, 17, 3)")
    chosen = [clip for clip, its in enumerate(splits) if str(its) == split]
    if not chosen:
        raise InputError(
            f"{path}: no clip of the split {split!r}, there are {', '.join(sorted(set(map(str, splits))))}"
        )
    try:
        JointPoses(joints_world=joints, fps=fps, clip_start=start)  # checks the whole file
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    lengths = [int(start[clip + 1] - start[clip]) for clip in chosen]
    kept = np.concatenate([joints[start[clip] : start[clip + 1]] for clip in chosen])
    return JointPoses(joints_world=kept, fps=fps, clip_start=np.cumsum([0, *lengths]))
