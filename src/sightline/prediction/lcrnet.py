"""LCR-Net++ in `predict`: one network finds people and their poses in whole pictures, and the camera places them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int

from sightline import __version__
from sightline.camera import Camera
from sightline.detect.protocol import Detection, Picture
from sightline.errors import UsageError
from sightline.geometry.translation import solve_translation_robust, weak_perspective_translation
from sightline.lifter.result import RIVAL_SHARE, canonical_depth, world_of
from sightline.methods.lcrnet.boxes import pose_boxes
from sightline.methods.lcrnet.decode import Modes
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.people import Decoding, best_rows, looked_at, modes_of
from sightline.methods.lcrnet.views import torso_rows
from sightline.methods.lcrnet.weights import METHOD, load_lcrnet
from sightline.nn.device import torch_device
from sightline.pipeline import Skipped
from sightline.prediction.cameras import KnownCamera
from sightline.prediction.estimator import Found, Placed, SeesPixels
from sightline.prediction.sizes import scaled, stature_ratio
from sightline.skeleton import Skeleton
from sightline.structures import Hypothesis, ModelInfo, Person, PoseFrame

NO_PLACE: Final = "there is no place before the camera where pose and picture fit together"
SPREAD: Final = "how far the proposals lie apart that agree, which is not calibrated"
GUESSED: Final = ("assumed_focal", "assumed_fov")
"""Sources of a focal length that nobody knows, so that perspective says nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PosedDetection(Detection):
    """Somebody whose pose the network tells along with the joints in the picture.

    joints_m: about the middle of the torso, in the camera's axes. sigma_m: how far the poses of the mode are spread
    about their mean; NaN where it is one alone. size_sigma: the same for the logarithm of the size in metres per pixel.
    rivals: other poses at that place, the likeliest first.

    The score is the mode's, the sum of its proposals', but at most 1; so are the joints' confidences. Knees and ankles
    have as much less as the mode is of upper bodies' classes, which only guess them: a tenth where it is so throughout.
    """

    joints_m: Float[np.ndarray, "joint 3"]
    sigma_m: Float[np.ndarray, "joint 3"]
    size_sigma: float
    rivals: tuple[Rival, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Rival:
    """Another pose that proposals at the same place of the picture agree on.

    share: of the score of all proposals there. The other fields are as in `PosedDetection`.
    """

    share: float
    keypoints_px: Float[np.ndarray, "joint 2"]
    confidence: Float[np.ndarray, " joint"]
    joints_m: Float[np.ndarray, "joint 3"]


class LcrNetDetector:
    """The people whom a network finds in whole pictures, as `PosedDetection`s, the surest first.

    Pixels have their origin at the corner, as the network's have. A picture is scaled to the size that the network is
    made for before it is looked at, and only the picture itself takes memory by its size.

    Args:
        network: in evaluation mode.
        decoding: how proposals become people.
    """

    name: str = METHOD
    single_person: bool = False

    def __init__(self, network: LcrNet, decoding: Decoding | None = None) -> None:
        self.network, self.decoding = network, decoding or Decoding()

    @property
    def skeleton(self) -> Skeleton:
        """The network's."""
        return self.network.skeleton

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detection, ...]]:
        """Return the people of each picture; pictures are looked at one by one."""
        found = []
        for picture, looked in zip(pictures, looked_at(self.network, pictures), strict=True):
            modes = modes_of(looked, self.network, self.decoding)
            rows = best_rows(modes, self.decoding)
            found.append(_detections(modes, rows, (picture.shape[1], picture.shape[0])))
        return found

    def close(self) -> None:
        """Nothing is held that others do not."""


class LcrNetEstimator(SeesPixels):
    """Places people whom an LCR-Net++ has found with their poses in the whole picture: it is its own detector.

    A pose is about the middle of the torso. Where that is, follows from the joints' points in the picture through the
    camera: where its focal length is known, by a robust solve under full perspective, exact for an exact pose; where it
    is only assumed, by weak perspective, from the pose's size alone. Joints weigh as much as their confidence.

    `sigma_m` of a person says how well the proposals agree that became this person, and is no calibrated half-width:
    per joint and axis the standard deviation, by score, of their poses, and with it that of the distance which their
    sizes stand for. All of them come from one network that looked once, so errors that they have in common are not in
    it, nor is a wrong focal length. Who rests on a single proposal has none.

    `hypotheses` of a person are other poses that proposals at the same place agree on, with 15 % of the score there at
    least, each placed by its own points; their scores are those shares. One may be that of somebody close by.

    Args:
        weights: name of weights inside the package, or the path of a passport.
        device: PyTorch device that the network runs on.
        decoding: how proposals become people.
        look_px: longer side of what the network looks at, where it is to be another than its own: in larger pictures
            smaller people are found, and it takes longer.

    Raises:
        UsageError: if there are no such weights, or no such device, or for a side that cannot be.
        InputError: if the files are broken or of another method.
    """

    def __init__(
        self,
        weights: str | Path,
        *,
        device: str = "cpu",
        decoding: Decoding | None = None,
        look_px: int | None = None,
    ) -> None:
        self.device, self.decoding = torch_device(device), decoding or Decoding()
        network, self.passport = load_lcrnet(weights)
        if look_px is not None:
            try:
                network = network.looking_at(look_px)
            except ValueError as error:
                raise UsageError(f"look_px: {str(error).partition(': ')[2]}") from error
        self.network = network.to(self.device)
        self.skeleton: Skeleton = network.skeleton

    @property
    def model(self) -> ModelInfo:
        """Method and weights, as the results tell them."""
        return ModelInfo(method=METHOD, weights=self.passport.name, version=__version__, details={"sigma_m": SPREAD})

    def detector(self, min_score: float | None = None) -> LcrNetDetector:
        """Return what finds people, by the same network.

        Args:
            min_score: of a mode, the sum of its proposals' scores; None takes the decoding's.
        """
        decoding = self.decoding if min_score is None else replace(self.decoding, least_score=min_score)
        return LcrNetDetector(self.network, decoding)

    def place(
        self, frames: Sequence[Found], seen: Skeleton, *, fps: float | None = None, height_m: float | None = None
    ) -> Placed:
        """Place those whom `detector` found in frames that one camera took; see `Estimator`.

        Raises:
            UsageError: for people whom another detector found, of whom no pose is known.
        """
        del seen, fps
        camera = frames[0].known.camera.scaled_to(frames[0].image_size)
        posed = [_posed(one) for frame in frames for one in frame.detections]
        everybody = [each for one in posed for each in (one, *one.rivals)]
        middles = iter(_middles(everybody, self.skeleton, replace(frames[0].known, camera=camera)))
        done, skipped = [], []
        for frame in frames:
            people = []
            for place, one in enumerate(frame.detections):
                mine = _posed(one)
                places = np.stack([next(middles) for _ in (mine, *mine.rivals)])
                person = self._person(mine, places, camera, one.height_m or height_m)
                if person is None:
                    skipped.append(Skipped(frame=frame.source.index, id=place, reason=NO_PLACE))
                else:
                    people.append(replace(person, id=place))
            done.append(PoseFrame(index=frame.source.index, time_s=frame.source.time_s, people=tuple(people)))
        return Placed(tuple(done), tuple(skipped), world_of(camera))

    def _person(
        self, one: PosedDetection, middles_cam: Float[np.ndarray, "pose 3"], camera: Camera, height_m: float | None
    ) -> Person | None:
        """Somebody whose torso is there, at their stature where known; None where not all joints are before the camera.

        Args:
            one: whom the network found.
            middles_cam: of the torso (m), and of that of each rival.
            camera: that sees them.
            height_m: stature, where it is known.
        """
        joints = one.joints_m + middles_cam[0]
        if not _before_camera(joints):
            return None
        spread = np.hypot(one.sigma_m, one.size_sigma * middles_cam[0])
        person = Person(
            score=float(one.score),
            joints_cam_m=joints,
            root_depth_canonical=canonical_depth(joints, camera, self.skeleton.root),
            box_px=one.box_px,
            keypoints_px=one.keypoints_px,
            confidence=one.confidence,
            sigma_m=spread if np.isfinite(spread).all() else None,
            hypotheses=self._hypotheses(one, middles_cam[1:], camera),
        )
        return person if height_m is None else scaled(person, stature_ratio(joints, self.skeleton, height_m))

    def _hypotheses(
        self, one: PosedDetection, middles_cam: Float[np.ndarray, "rival 3"], camera: Camera
    ) -> tuple[Hypothesis, ...] | None:
        """The rivals that have a place before the camera; None where there are none."""
        told = [
            Hypothesis(
                score=rival.share,
                joints_cam_m=joints,
                root_depth_canonical=canonical_depth(joints, camera, self.skeleton.root),
            )
            for rival, middle in zip(one.rivals, middles_cam, strict=True)
            if _before_camera(joints := rival.joints_m + middle)
        ]
        return tuple(told) or None


def _before_camera(joints_cam: Float[np.ndarray, "joint 3"]) -> bool:
    return bool(np.isfinite(joints_cam).all() and (joints_cam[:, 2] > 0).all())


def _rivals(modes: Modes, row: int) -> tuple[Rival, ...]:
    """The other modes at a mode's place that have enough of the score there, by falling score."""
    here = np.flatnonzero(modes.group == modes.group[row])
    share = modes.scores[here] / max(float(modes.scores[here].sum()), 1e-12)
    return tuple(
        Rival(
            share=float(its),
            keypoints_px=modes.poses_px[other],
            confidence=min(float(modes.scores[other]), 1.0) * modes.trust[other].clip(0.0, 1.0),
            joints_m=modes.joints_m[other],
        )
        for other, its in zip(here, share, strict=True)
        if other != row and its >= RIVAL_SHARE
    )


def _detections(modes: Modes, rows: Int[np.ndarray, " person"], image_size: tuple[int, int]) -> tuple[Detection, ...]:
    """The people of a picture (w, h), in the order of their modes, which `rows` has the numbers of."""
    scores = np.minimum(modes.scores, 1.0)
    boxes = pose_boxes(modes.poses_px).clip(0.0, np.tile(np.array(image_size, np.float64), 2))
    return tuple(
        PosedDetection(
            keypoints_px=modes.poses_px[row],
            confidence=scores[row] * modes.trust[row].clip(0.0, 1.0),
            score=float(scores[row]),
            box_px=boxes[row],
            joints_m=modes.joints_m[row],
            sigma_m=modes.sigma_m[row],
            size_sigma=float(modes.size_sigma[row]),
            rivals=_rivals(modes, row),
        )
        for row in rows.tolist()
    )


def _posed(detection: Detection) -> PosedDetection:
    if not isinstance(detection, PosedDetection):
        raise UsageError(
            f"detector: method '{METHOD}' places people whom its own network found with their poses "
            "(LcrNetEstimator.detector), got one without"
        )
    return detection


def _middles(
    people: Sequence[PosedDetection | Rival], skeleton: Skeleton, known: KnownCamera
) -> Float[np.ndarray, "person 3"]:
    """Where the middles of people's torsos are (m, the camera's frame); NaN for whom there is no place before it."""
    if not people:
        return np.zeros((0, 3))
    points, weights, joints = (
        torch.from_numpy(np.stack([getattr(one, name) for one in people]))
        for name in ("keypoints_px", "confidence", "joints_m")
    )
    xy, valid = known.camera.normalized(points)
    weights = weights * valid
    if known.source in GUESSED:
        middle = xy[:, torso_rows(skeleton)].mean(1)
        return weak_perspective_translation(joints, xy, middle, weights, rule="least_squares").numpy()
    return solve_translation_robust(joints, xy, weights).root_cam.numpy()
