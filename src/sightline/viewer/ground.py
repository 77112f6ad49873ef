"""The ground under a scene: where "up" is and how high the camera stands, with an honest word on how that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from sightline.skeleton import Skeleton
from sightline.structures import Poses, World

ANKLE_HEIGHT_M = 0.08  # the ankle joint of a standing, barefoot adult
_LEVEL_RAD = np.radians(15.0)  # people upright within this angle of the picture's up: the camera counts as level
_TILT_LIMIT_RAD = np.radians(50.0)
_LEFT_OVER_M = 0.06  # how well feet must lie on a fitted floor (median deviation)
_STEP_LIMIT_M = 0.35  # how far the lowest feet of different people may differ in height on one assumed floor
_ENOUGH_FEET = 10
_ENOUGH_SPREAD_M = 0.3

_WORDS = {
    "given": "floor as given with the poses",
    "fitted": "floor fitted through the feet",
    "camera": "floor assumed under the feet, camera taken as level",
    "people": "floor assumed under the feet, people taken as upright",
    "level": "no floor known: grid at the camera's level",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """A metric frame that stands on the ground: x right, y forward, z up; below the camera lies the origin.

    Without a floor (`kind == "level"`) the plane z = 0 goes through the camera itself.
    """

    kind: Literal["given", "fitted", "camera", "people", "level"]
    ground_from_cam: Float[np.ndarray, "3 3"]
    camera_height_m: float

    @property
    def has_floor(self) -> bool:
        """Whether z = 0 stands for a floor."""
        return self.kind != "level"

    @property
    def words(self) -> str:
        """One phrase that says where the plane comes from."""
        return _WORDS[self.kind]

    def placed(self, points_cam: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Camera-frame points (m) on the ground frame (m)."""
        return self.turned(points_cam) + np.array([0.0, 0.0, self.camera_height_m])

    def turned(self, directions_cam: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
        """Camera-frame directions on the ground frame."""
        return directions_cam @ self.ground_from_cam.T


def find_ground(poses: Poses) -> Ground:
    """The ground of a film: from its world where it has one, else from the feet where that is plausible.

    Without a world, people whose bodies are straight say roughly where up is. Feet that cover enough ground are
    fitted by a plane; it must be near all feet and square to the people. Otherwise the lowest feet carry a floor
    square to the picture's up (people stand along it: the camera seems level) or to the people (it does not). Feet at
    very different heights, people lying down, or nobody at all: no floor is claimed.
    """
    if poses.world is not None:
        return _given(poses.world)
    feet, owners, axes = _stances(poses)
    level = _ground("level", np.array([0.0, -1.0, 0.0]), 0.0)
    if len(axes) == 0:
        return level
    upright = np.mean(axes, axis=0)
    upright /= np.linalg.norm(upright)
    tilt = _angle(upright, np.array([0.0, -1.0, 0.0]))
    if tilt > _TILT_LIMIT_RAD:
        return level
    return _fitted(feet, upright) or _assumed(feet, owners, upright, tilt) or level


def _given(world: World) -> Ground:
    normal, offset = world.floor_cam[:3], float(world.floor_cam[3])
    size = float(np.linalg.norm(normal))
    height = offset / size * (1.0 if float(normal @ world.up_cam) >= 0.0 else -1.0)
    return _ground("given", world.up_cam, height)


def _fitted(feet: Float[np.ndarray, "n 3"], upright: Float[np.ndarray, "3"]) -> Ground | None:
    """A plane through many feet by reweighted least squares, or None where it would not be trustworthy."""
    if len(feet) < _ENOUGH_FEET:
        return None
    side = np.linalg.svd(upright[None])[2][1:]  # two directions square to the people's up
    flat, height = feet @ side.T, feet @ upright
    if np.linalg.svd(flat - flat.mean(0), compute_uv=False)[1] / np.sqrt(len(feet)) < _ENOUGH_SPREAD_M:
        return None
    design, weight = np.concatenate([flat, np.ones((len(flat), 1))], axis=1), np.ones(len(flat))
    slope = np.zeros(3)
    for _ in range(15):
        root = np.sqrt(weight)
        slope = np.linalg.lstsq(design * root[:, None], height * root, rcond=None)[0]
        miss = height - design @ slope
        # A foot in the air lies above the floor, none below it: what hangs above counts less.
        weight = 1.0 / (1.0 + (miss / np.where(miss > 0.0, 0.03, 0.08)) ** 2)
    up = upright - slope[0] * side[0] - slope[1] * side[1]
    length = float(np.linalg.norm(up))
    if _angle(up, upright) > np.radians(20.0) or float(np.median(np.abs(miss))) / length > _LEFT_OVER_M:
        return None
    return _ground("fitted", up / length, ANKLE_HEIGHT_M - float(slope[2]) / length)


def _assumed(
    feet: Float[np.ndarray, "n 3"], owners: list[int], upright: Float[np.ndarray, "3"], tilt: float
) -> Ground | None:
    """A floor under the lowest feet, or None where the people's feet do not share one height."""
    kind = "camera" if tilt < _LEVEL_RAD else "people"
    up = np.array([0.0, -1.0, 0.0]) if kind == "camera" else upright
    height = feet @ up
    lowest = [float(np.percentile(height[np.asarray(owners) == owner], 10)) for owner in sorted(set(owners))]
    if max(lowest) - min(lowest) > _STEP_LIMIT_M:
        return None
    return _ground(kind, up, ANKLE_HEIGHT_M - min(lowest))


def _ground(
    kind: Literal["given", "fitted", "camera", "people", "level"], up_cam: Float[np.ndarray, "3"], height: float
) -> Ground:
    up = up_cam / np.linalg.norm(up_cam)
    ahead = np.array([0.0, 0.0, 1.0])
    forward = ahead - (ahead @ up) * up
    if np.linalg.norm(forward) < 0.2:  # the camera looks straight down or up: the picture's top is ahead
        forward = np.array([0.0, -1.0, 0.0]) - (-up[1]) * up
    forward /= np.linalg.norm(forward)
    return Ground(kind=kind, ground_from_cam=np.stack([np.cross(forward, up), forward, up]), camera_height_m=height)


def _stances(poses: Poses) -> tuple[Float[np.ndarray, "n 3"], list[int], list[Float[np.ndarray, "3"]]]:
    """The lower ankle of every straight body (camera frame, m), whose it is, and the body's axis from foot to head."""
    rows = {part: left_right(poses.skeleton, part) for part in ("Ankle", "Knee", "Hip", "Shoulder")}
    feet, owners, axes = [], [], []
    for _, person in poses.people():
        if not all(rows.values()):
            break
        joints = person.joints_cam_m
        ankle, knee, hip, shoulder = (joints[rows[part]].mean(axis=0) for part in rows)
        axis = shoulder - ankle
        along = sum(float(np.linalg.norm(b - a)) for a, b in ((ankle, knee), (knee, hip), (hip, shoulder)))
        if not np.isfinite(along) or np.linalg.norm(axis) < 0.93 * max(along, 0.3):
            continue  # joints missing, or the body is bent: it says nothing about up
        axis = axis / np.linalg.norm(axis)
        ankles = joints[rows["Ankle"]]
        feet.append(ankles[int(np.argmin(ankles @ axis))])
        owners.append(-1 if person.id is None else person.id)
        axes.append(axis)
    return np.asarray(feet, dtype=np.float64).reshape(-1, 3), owners, axes


def left_right(skeleton: Skeleton, part: str) -> list[int]:
    """The joints L`part` and R`part` of a skeleton, in this order; empty where it has no such pair."""
    names = (f"L{part}", f"R{part}")
    return [skeleton.index(name) for name in names] if set(names) <= set(skeleton.joints) else []


def _angle(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> float:
    return float(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0)))
