"""Everything about a film that its pictures share: the ground, the colours, the extent, where each person was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sightline.camera import Camera
from sightline.skeleton import Skeleton
from sightline.structures import Person, PoseFrame, Poses
from sightline.viewer.frustum import border_rays, horizontal_rays
from sightline.viewer.ground import Ground, find_ground, left_right
from sightline.viewer.spread import covariances
from sightline.viewer.style import Colour, Side, coloured, person_colours, side_of

_LONGEST_SCENE = 4.0  # times the median distance: people beyond do not shrink the view of all others
_TRAIL_S = 1.0
_ROOM_M = np.array([[-1.0, -0.3, 0.0], [1.0, 2.2, 0.0]])


def usual_step(poses: Poses) -> float:
    """By how much the frames' numbers mostly rise: 2 where every second frame of a film was taken."""
    steps = np.diff([frame.index for frame in poses.frames])
    return max(1.0, float(np.median(steps))) if len(steps) else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Other:
    """Another pose that would explain the same picture, with the score it has by itself."""

    score: float
    joints_ground: Float[np.ndarray, "joint 3"]

    @property
    def words(self) -> str:
        """The score as it stands beside the pose."""
        return f"{self.score:.2g}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Actor:
    """A person as the viewers draw them: joints on the ground frame, one place, one distance, one colour."""

    id: int | None
    colour: Colour
    joints_ground: Float[np.ndarray, "joint 3"]
    place_ground: Float[np.ndarray, "3"] | None
    distance_m: float | None
    facing: Float[np.ndarray, "2"] | None
    shoulders: Float[np.ndarray, "2 2"] | None
    sigma_ground: Float[np.ndarray, "2 3"] | None
    distance_sigma_m: float | None
    spread_ground: Float[np.ndarray, "joint 3 3"] | None
    others: tuple[Other, ...]

    @property
    def badge(self) -> str:
        """The id as it stands on the person's plate."""
        return "" if self.id is None else str(self.id)


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """What all pictures of one film share; build it once with `Stage.of(poses)`."""

    skeleton: Skeleton
    camera: Camera
    ground: Ground
    colours: dict[int, Colour]
    sides: tuple[Side, ...]
    cloud_ground: Float[np.ndarray, "point 3"]
    trails: dict[int, Float[np.ndarray, "time 4"]]
    trail_frames: float

    @classmethod
    def of(cls, poses: Poses) -> Stage:
        """Measure a film: its ground, its paths, and the points (ground frame, m) that a view of all must hold."""
        ground = find_ground(poses)
        sides: tuple[Side, ...] = tuple(side_of(poses.skeleton, joint) for joint in range(len(poses.skeleton)))
        return cls(
            skeleton=poses.skeleton,
            camera=poses.camera,
            ground=ground,
            colours=coloured(poses),
            sides=sides,
            cloud_ground=_cloud(poses, ground),
            trails=_trails(poses, ground),
            trail_frames=30.0 if poses.fps is None else _TRAIL_S * poses.fps / usual_step(poses),
        )

    @property
    def bounds_m(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """Lower and upper corner (ground frame) of the box around camera and people, at least a small room."""
        points = np.concatenate([self.cloud_ground, _ROOM_M, self.camera_ground[None]])
        return points.min(axis=0), points.max(axis=0)

    @property
    def span_m(self) -> float:
        """The longer horizontal side of that box (m)."""
        low, high = self.bounds_m
        return float((high - low)[:2].max())

    @property
    def camera_ground(self) -> Float[np.ndarray, "3"]:
        """The camera's centre on the ground frame (m)."""
        return np.array([0.0, 0.0, self.ground.camera_height_m])

    def camera_of(self, frame: PoseFrame) -> Camera:
        """The frame's own camera where it has one, else the film's."""
        return self.camera if frame.camera is None else frame.camera

    def actors(self, frame: PoseFrame) -> list[Actor]:
        """The people of a frame, ready to be drawn."""
        colours = person_colours([person.id for person in frame.people], self.colours)
        return [self._actor(person, colour) for person, colour in zip(frame.people, colours, strict=True)]

    def rim(self, camera: Camera) -> Float[np.ndarray, "ray 3"]:
        """Where rays through the picture's border end in the small drawing of a camera (ground frame, m)."""
        return self.ground.placed(border_rays(camera) * float(np.clip(0.07 * self.span_m, 0.25, 0.7)))

    def fan(self, camera: Camera) -> tuple[float, float]:
        """Azimuths (rad, from straight ahead to the right) of the left and right edge of a camera's field of view."""
        left, right = self.ground.turned(horizontal_rays(camera))
        a, b = float(np.arctan2(left[0], left[1])), float(np.arctan2(right[0], right[1]))
        return (a - 2.0 * np.pi if a > b else a), b

    def trail(self, ident: int | None, frame: PoseFrame) -> Float[np.ndarray, "time 3"]:
        """Where a person was during the last second (30 frames where the film has no rate), oldest first."""
        if ident is None or ident not in self.trails:
            return np.zeros((0, 3))
        path = self.trails[ident]
        return path[(path[:, 0] >= frame.index - self.trail_frames) & (path[:, 0] <= frame.index), 1:]

    def _actor(self, person: Person, colour: Colour) -> Actor:
        place = person_place(person, self.skeleton)
        joints = self.ground.placed(person.joints_cam_m)
        shoulders = _pair(self.skeleton, joints, "Shoulder")
        return Actor(
            id=person.id,
            colour=colour,
            joints_ground=joints,
            place_ground=None if place is None else self.ground.placed(place),
            distance_m=None if place is None else float(np.linalg.norm(place)),
            facing=_facing(self.skeleton, joints),
            shoulders=None if shoulders is None else shoulders[:, :2],
            sigma_ground=self._depth_bar(person, place),
            distance_sigma_m=None if place is None else distance_sigma_m(person, place, self.skeleton.root),
            spread_ground=None
            if person.sigma_m is None
            else covariances(person.sigma_m, np.asarray(self.ground.ground_from_cam)),
            others=tuple(
                Other(score=each.score, joints_ground=self.ground.placed(each.joints_cam_m))
                for each in person.hypotheses or ()
            ),
        )

    def _depth_bar(self, person: Person, place: Float[np.ndarray, "3"] | None) -> Float[np.ndarray, "2 3"] | None:
        """The root's depth, one standard deviation nearer and farther (ground frame, m)."""
        if person.sigma_m is None or place is None or not np.isfinite(person.sigma_m[self.skeleton.root, 2]):
            return None
        reach = np.array([0.0, 0.0, float(person.sigma_m[self.skeleton.root, 2])])
        return self.ground.placed(np.stack([place - reach, place + reach]))


def person_place(person: Person, skeleton: Skeleton) -> Float[np.ndarray, "3"] | None:
    """Where a person is (camera frame, m): the root joint; without it the mean of the joints there are, or None."""
    root = person.joints_cam_m[skeleton.root]
    if np.isfinite(root).all():
        return np.array(root)
    known = person.joints_cam_m[np.isfinite(person.joints_cam_m).all(axis=-1)]
    return known.mean(axis=0) if len(known) else None


def distance_sigma_m(person: Person, place_cam: Float[np.ndarray, "3"], root: int) -> float | None:
    """The 68 % half-width (m) of a person's distance, by what is stated of the root; None where nothing is.

    The picture fixes the line of sight, so the root's errors along the axes come together: they add up.
    """
    if person.sigma_m is None or not np.isfinite(person.sigma_m[root]).all():
        return None
    away = np.abs(place_cam) / max(float(np.linalg.norm(place_cam)), 1e-9)
    return float(away @ person.sigma_m[root])


def _pair(skeleton: Skeleton, joints: Float[np.ndarray, "joint 3"], part: str) -> Float[np.ndarray, "2 3"] | None:
    """The left and the right `part` (ground frame, m), or None where one is missing."""
    rows = left_right(skeleton, part)
    return joints[rows] if rows and np.isfinite(joints[rows]).all() else None


def _facing(skeleton: Skeleton, joints: Float[np.ndarray, "joint 3"]) -> Float[np.ndarray, "2"] | None:
    """The horizontal direction the chest (or the pelvis) looks in: square to the line from right to left, or None."""
    for part in ("Shoulder", "Hip"):
        pair = _pair(skeleton, joints, part)
        if pair is None:
            continue
        across = (pair[0] - pair[1])[:2]
        length = float(np.linalg.norm(across))
        if length > 0.05:  # else the line stands upright and says nothing
            return np.array([across[1], -across[0]]) / length
    return None


def _cloud(poses: Poses, ground: Ground) -> Float[np.ndarray, "point 3"]:
    """Joints (ground frame, m) of a whole film, thinned to a few thousand, without people far beyond all others."""
    joints = np.concatenate([np.zeros((0, 3)), *(person.joints_cam_m for _, person in poses.people())])
    joints = joints[np.isfinite(joints).all(axis=-1)]
    distance = np.linalg.norm(joints, axis=-1)
    if len(joints):
        joints = joints[distance <= max(_LONGEST_SCENE * float(np.median(distance)), 6.0)]
    return ground.placed(joints[:: len(joints) // 5000 + 1])


def _trails(poses: Poses, ground: Ground) -> dict[int, Float[np.ndarray, "time 4"]]:
    """Per id the rows (frame index, x, y, z on the ground frame, m)."""
    rows: dict[int, list[list[float]]] = {}
    for frame, person in poses.people():
        place = person_place(person, poses.skeleton)
        if person.id is not None and place is not None:
            rows.setdefault(person.id, []).append([float(frame.index), *ground.placed(place).tolist()])
    return {ident: np.asarray(path) for ident, path in rows.items()}
