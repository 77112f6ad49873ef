"""People as upright sticks: from between the ankles to between the shoulders, for those who may well stand upright.

What may not (somebody who sits, lies, bends, or is cut by the border) is left out by the shape of the 2D pose alone.
What cannot be told so (a jump, a step) is left to the statistics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from sightline.camera import Camera
from sightline.self_calibration.links import linked
from sightline.skeleton import conversion
from sightline.structures import Keypoints

MIN_CONFIDENCE = 0.3
"""Below it, a detector's joint is a guess."""
MAX_TRACKS, MAX_STICKS, MAX_PER_TRACK, MIN_PER_TRACK = 120, 480, 24, 4
SPACING_S = 0.5
"""Poses of one person that are nearer in time repeat each other, though the lean of a walk is forgotten after 0.2 s."""
LINKED_S, MAX_FRAMES, MAX_ROWS = 0.2, 1500, 50_000
"""Frames are looked at that far apart, at most so many, and so many people in them."""
USUAL_FPS = 25.0

_JOINTS = ("RAnkle", "LAnkle", "Hip", "Thorax")
_STRAIGHT_COS = np.cos(np.radians(25.0))  # between leg and trunk
_KNEE_COS = np.cos(np.radians(45.0))  # between shin and thigh of the straighter leg
_LEG_OVER_TRUNK = (1.0, 2.3)  # 1.3 to 1.8 in motion capture of people who are up; the rest is perspective
_TILT_COS = np.cos(np.radians(50.0))  # to the picture's vertical
_APART = 0.8  # of the ankles, in lengths of the stick
_SAME_PLACE, _SAME_LENGTH = 0.1, 0.05  # of feet, in lengths of the stick; of lengths, in logarithms
_SHORTEST_PX, _SHORTEST = 16.0, 0.02  # px, and of the picture's diagonal


@dataclass(frozen=True, kw_only=True, eq=False)
class Sticks:
    """Upright people of one camera, sorted by track.

    foot_px, top_px: between the ankles and between the shoulders, px from the principal point, of square pixels and a
    lens without distortion. track: 0, 1, … of whoever it is. height_m: stature of each track, NaN where unknown.
    """

    foot_px: Float[np.ndarray, "stick 2"]
    top_px: Float[np.ndarray, "stick 2"]
    track: Int[np.ndarray, " stick"]
    height_m: Float[np.ndarray, " track"]

    @property
    def tracks(self) -> int:
        """The number of people."""
        return len(self.height_m)

    def chosen(self, keep: Bool[np.ndarray, " stick"]) -> Sticks:
        """Some of the sticks; tracks that lose all of theirs are gone, and the others are numbered anew."""
        left, track = np.unique(self.track[keep], return_inverse=True)
        return Sticks(
            foot_px=self.foot_px[keep], top_px=self.top_px[keep], track=track, height_m=self.height_m[left]
        )  # fmt: skip

    def taken_apart(self) -> Sticks:
        """The same sticks, each as somebody else."""
        return replace(self, track=np.arange(len(self.track)), height_m=self.height_m[self.track])


def sticks_of(keypoints: Keypoints, camera: Camera | None = None, *, height_m: float | None = None) -> Sticks:
    """Return the upright people of keypoints, a bounded choice that is spread over time.

    Args:
        keypoints: of any joint set with ankles, hips and shoulders; px, corner origin. People without id are linked
            from frame to frame by where they are.
        camera: where known, takes the lens's distortion out; the principal point is the picture's middle else.
        height_m: barefoot stature of whoever has none of their own.
    """
    keypoints = _bounded(keypoints)
    stacked = keypoints.stacked()
    rule = conversion(keypoints.skeleton, "h36m17")
    points, confidence = rule.apply(stacked.keypoints_px, stacked.confidence)
    assert confidence is not None  # it was given
    points = np.where(confidence[..., None] >= MIN_CONFIDENCE, points, np.nan)
    inside = np.all((points >= 0.0) & (points <= np.array(keypoints.image_size, dtype=np.float64)), axis=-1)
    square = _square(points, keypoints.image_size, camera)
    joint = {name: square[:, rule.target.index(name)] for name in (*_JOINTS, "RKnee", "LKnee")}
    upright = _upright(joint, float(np.hypot(*keypoints.image_size)))
    whole = np.stack([inside[:, rule.target.index(name)] for name in _JOINTS], axis=-1).all(-1)
    rows = np.flatnonzero(upright & whole)
    foot, top = 0.5 * (joint["RAnkle"] + joint["LAnkle"])[rows], joint["Thorax"][rows]
    time_s = stacked.frame_index[rows] / (keypoints.fps or USUAL_FPS)
    track = linked(stacked.person_id[rows], time_s, foot, top)
    given = [person.height_m if person.height_m is not None else height_m for _, person in keypoints.people()]
    heights = np.array([np.nan if one is None else one for one in given], dtype=np.float64)[rows]
    return _thinned(foot, top, track, time_s, heights)


def _bounded(keypoints: Keypoints) -> Keypoints:
    """Frames that are apart in time, so few that their number bounds all further work."""
    apart, last = [], -math.inf
    for frame in keypoints.frames:
        if frame.people and frame.index / (keypoints.fps or USUAL_FPS) - last >= LINKED_S - 1e-9:
            apart.append(frame)
            last = frame.index / (keypoints.fps or USUAL_FPS)
    crowd = max((len(frame.people) for frame in apart), default=1)
    most = min(MAX_FRAMES, max(MAX_ROWS // crowd, 1))
    if len(apart) > most and all(person.id is not None for frame in apart for person in frame.people):
        apart = [apart[row] for row in np.linspace(0, len(apart) - 1, most).round().astype(int)]
    return replace(keypoints, frames=tuple(apart[:most]))  # people without id are linked through neighbouring frames


def _square(points: Float[np.ndarray, "person joint 2"], size: tuple[int, int], camera: Camera | None) -> np.ndarray:
    """Pixels from the principal point, as a lens without distortion and with square pixels would show them."""
    if camera is None:
        return points - 0.5 * np.array(size, dtype=np.float64)
    camera = camera.to(torch.float64)
    ideal, valid = (part.numpy() for part in camera.undistort(torch.from_numpy(np.nan_to_num(points))))
    ideal = np.where((valid & np.isfinite(points).all(-1))[..., None], ideal, np.nan)
    focal = camera.focal_px.numpy()
    return (ideal - camera.center_px.numpy()) * (np.sqrt(focal.prod()) / focal)


def _upright(joint: dict[str, np.ndarray], diagonal: float) -> np.ndarray:
    """Whether each person's 2D pose is that of somebody who stands or walks."""
    foot = 0.5 * (joint["RAnkle"] + joint["LAnkle"])
    leg, trunk, stick = joint["Hip"] - foot, joint["Thorax"] - joint["Hip"], joint["Thorax"] - foot
    with np.errstate(invalid="ignore", divide="ignore"):
        length, ratio = _norm(stick), _norm(leg) / _norm(trunk)
        good = (length >= _SHORTEST_PX) & (length >= _SHORTEST * diagonal) & (-stick[:, 1] >= _TILT_COS * length)
        good &= (ratio >= _LEG_OVER_TRUNK[0]) & (ratio <= _LEG_OVER_TRUNK[1]) & (_cos(leg, trunk) >= _STRAIGHT_COS)
        good &= _norm(joint["RAnkle"] - joint["LAnkle"]) <= _APART * length
        knees = [
            _cos(joint[f"{side}Knee"] - joint[f"{side}Ankle"], joint["Hip"] - joint[f"{side}Knee"]) for side in "RL"
        ]
        bent = np.all([np.nan_to_num(knee, nan=1.0) < _KNEE_COS for knee in knees], axis=0)
    return good & ~bent


def _thinned(foot: np.ndarray, top: np.ndarray, track: np.ndarray, time_s: np.ndarray, heights: np.ndarray) -> Sticks:
    """Of each track a few poses that are apart in time and place, of the tracks the longest."""
    kept: list[tuple[np.ndarray, float]] = []  # (place, end, 2) and stature
    for one in np.unique(track):
        rows = np.flatnonzero(track == one)
        rows = rows[np.argsort(time_s[rows], kind="stable")]
        kept.append((_places(foot[rows], top[rows], time_s[rows]), float(heights[rows[0]])))
    kept.sort(key=lambda pair: (-len(pair[0]), -float(_norm(pair[0][:, 1] - pair[0][:, 0]).mean())))
    kept = kept[:MAX_TRACKS]
    most = int(np.clip(MAX_STICKS // max(len(kept), 1), MIN_PER_TRACK, MAX_PER_TRACK))
    few = [ends[np.unique(np.linspace(0, len(ends) - 1, most).round().astype(int))] for ends, _ in kept]
    both = np.concatenate([np.zeros((0, 2, 2)), *few])
    return Sticks(
        foot_px=both[:, 0],
        top_px=both[:, 1],
        track=np.repeat(np.arange(len(few)), [len(ends) for ends in few]),
        height_m=np.array([height for _, height in kept], dtype=np.float64),
    )


def _places(foot: np.ndarray, top: np.ndarray, time_s: np.ndarray) -> Float[np.ndarray, "place 2 2"]:
    """One person's sticks that are apart in time, those in one place as one: (foot, top) by their medians.

    Whoever stands says the same again and again. Taken for news, that would make the sway of the body, of which next
    to nothing is known, the measure of the camera.
    """
    length, last = _norm(top - foot), -np.inf
    leaders: list[int] = []
    members: list[list[int]] = []
    for row in range(len(foot)):
        if time_s[row] - last < SPACING_S - 1e-9:
            continue
        last = time_s[row]
        away = _norm(foot[leaders] - foot[row]) / length[row]
        grown = np.abs(np.log(length[leaders] / length[row]))
        same = np.flatnonzero((away <= _SAME_PLACE) & (grown <= _SAME_LENGTH))
        if len(same):
            members[same[0]].append(row)
        else:
            leaders.append(row)
            members.append([row])
    return np.array([[np.median(foot[rows], axis=0), np.median(top[rows], axis=0)] for rows in members])


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(vectors).sum(-1))


def _cos(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(-1) / (_norm(one) * _norm(other))
