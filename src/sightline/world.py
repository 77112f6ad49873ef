"""Poses in the world's frame, as several calibrated views fix them: the truth that one view's result is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.skeleton import Skeleton


@dataclass(frozen=True, kw_only=True, eq=False)
class WorldPoses:
    """Joints of people over frames in the world (m), with how well each view agrees. Arrays cannot be written to.

    The world's frame is that of the cameras' `camera_from_world`: z up. Shapes that do not fit each other, frames or
    ids that do not rise, and fps ≤ 0 are a `ValueError`.
    """

    skeleton: Skeleton
    joints_world_m: Float[np.ndarray, "frame person joint 3"]
    """NaN where unknown."""
    frame_index: Int[np.ndarray, " frame"]
    """The files' frame numbers, rising."""
    person_id: Int[np.ndarray, " person"]
    """The files' ids, rising."""
    reprojection_px: Float[np.ndarray, "frame person view joint"]
    """Distance from each view's keypoint to the projected joint; infinite where the view cannot see the joint, NaN
    where there is no keypoint or no joint."""
    views: Int[np.ndarray, "frame person joint"]
    """How many views agree on the joint; 0 where it is unknown."""
    swapped: Bool[np.ndarray, "frame person view"]
    """Views whose left and right labels were exchanged before triangulating."""
    fps: float | None = None

    def __post_init__(self) -> None:
        """Check the shapes against each other and freeze the arrays."""
        frames, people, joints = len(self.frame_index), len(self.person_id), len(self.skeleton)
        count = self.reprojection_px.shape[2] if self.reprojection_px.ndim == 4 else 0
        shapes = {
            "joints_world_m": (frames, people, joints, 3),
            "frame_index": (frames,),
            "person_id": (people,),
            "reprojection_px": (frames, people, count, joints),
            "views": (frames, people, joints),
            "swapped": (frames, people, count),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"{name}: expected {shape}, got {array.shape}")
            array = array.copy()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        for name in ("frame_index", "person_id"):
            if (np.diff(getattr(self, name)) <= 0).any():
                raise ValueError(f"{name}: expected rising numbers, got {getattr(self, name).tolist()}")
        if self.fps is not None and not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps: expected a positive number, got {self.fps}")
