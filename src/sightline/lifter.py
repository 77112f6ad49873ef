"""A trained lifter: 2D keypoints and a camera → absolute 3D poses in metres, frame by frame, in the camera's frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline import __version__
from sightline.camera import Camera
from sightline.engine import Engine, LiftedPeople, Readied
from sightline.errors import UsageError
from sightline.formats.weights import Passport, find_passport, read_passport
from sightline.methods.abspose.decode import RootRule
from sightline.methods.abspose.engines import PartialEngine, WholeEngine
from sightline.methods.abspose.partial import PartialLifter
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS, load_lifter, partner_of
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.methods.deeplift.filling import filled
from sightline.methods.deeplift.judging import judged
from sightline.methods.deeplift.map_lifter import MapConfig
from sightline.methods.deeplift.weights import ANY_PRIOR, DEFAULT_PRIOR, METHOD, load_prior
from sightline.nn.device import torch_device
from sightline.skeleton import Conversion, conversion, get_skeleton
from sightline.structures import (
    HEIGHT_RANGE_M,
    Hypothesis,
    KeypointFrame,
    Keypoints,
    ModelInfo,
    Person,
    PersonKeypoints,
    PoseFrame,
    Poses,
    Scale,
    ScaleBody,
    ScaleSource,
    World,
)

METHODS = {"abspose": DEFAULT_WEIGHTS, METHOD: DEFAULT_PRIOR}
"""The methods that lift keypoints, and the weights that each takes where none are named."""


def weights_for(method: str, weights: str | Path | None, *, any_orientation: bool = False) -> str | Path:
    """Return the weights of a method: those that are named, or its own.

    Raises:
        UsageError: for a method that there is not, weights of another one, or people in any orientation where the
            method or the weights know upright ones only.
    """
    if method not in METHODS:
        raise UsageError(f"method: expected one of {', '.join(METHODS)}, got '{method}'")
    if any_orientation and method != METHOD:
        raise UsageError(f"any_orientation: expected method '{METHOD}' beside it, got '{method}'")
    if weights is None:
        return ANY_PRIOR if any_orientation else METHODS[method]
    passport = read_passport(find_passport(weights))
    known = passport.method.split("-")[0]
    if known in METHODS and known != method:
        raise UsageError(f"method: '{method}' cannot use the weights '{passport.name}' of method '{passport.method}'")
    if any_orientation and passport.model.get("orientation") != "any":
        raise UsageError(f"any_orientation: the weights '{passport.name}' know upright people only")
    return weights


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
class _Row:
    """One person who can be lifted, in the lifter's own joints."""

    frame: int
    number: int
    """Row among all people of the call."""
    person: PersonKeypoints
    seen: PersonKeypoints
    """The person as the detector gave them, in its own joints."""


class Lifter:
    """A trained lifter, loaded once and used for many files or frames.

    Args:
        weights: name of weights inside the package, or the path of a passport.
        device: PyTorch device that the network runs on.
        batch_size: people per pass of the network.
        root: where the root comes from; "learned" is the network's own, and all that a partial lifter knows.
        flip: also lift the mirrored pose and average, which costs one more pass and lowers errors a little.
    """

    def __init__(
        self,
        weights: str | Path = DEFAULT_WEIGHTS,
        *,
        device: str = "cpu",
        batch_size: int = 1024,
        root: RootRule = "learned",
        flip: bool = True,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
        if root not in get_args(RootRule):
            raise UsageError(f"root: expected one of {', '.join(get_args(RootRule))}, got '{root}'")
        self.device = torch_device(device)
        self.batch_size = batch_size
        self.engine, self.passport = _engine(weights, self.device, root=root, flip=flip)
        self.skeleton = get_skeleton("h36m17")

    @property
    def model(self) -> ModelInfo:
        """Method and weights, as the results tell them."""
        method = self.passport.method.split("-")[0]
        return ModelInfo(method=method, weights=self.passport.name, version=__version__, details=self.engine.details)

    @property
    def mean_stature_m(self) -> float | None:
        """The stature (m) that stands in where no height is given; None where the weights learned sizes in metres."""
        return self.engine.mean_stature_m

    def stand_in(self, skeleton: str | None = None) -> str | None:
        """Which stature stands in where no height is given, in one phrase; None where the weights learned metres.

        Args:
            skeleton: name of the keypoints' joint set; None tells of all.
        """
        usual, anatomical = self.engine.mean_stature_m, self.engine.anatomical_stature_m
        if usual is None or anatomical is None:
            return None
        mean = anatomical if skeleton == "h36m17" else usual
        other = f" ({anatomical:.2f} m for joints of h36m17)" if skeleton is None and anatomical != usual else ""
        return f"where no height is given, a stature of {mean:.2f} m{other} stands in"

    def lift(
        self,
        keypoints: Keypoints,
        camera: Camera,
        *,
        height_m: float | None = None,
        scale_source: ScaleSource = "calibrated_focal",
        plausibility: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> LiftResult:
        """Lift all people of all frames.

        Args:
            keypoints: 2D poses in any joint set that converts to `h36m17`.
            camera: the camera that took the pictures; another resolution of the same aspect is scaled.
            height_m: barefoot stature of everybody whose keypoints do not say their own.
            scale_source: how the focal length is known; kept in the result.
            plausibility: also say how plausible poses are, which takes some milliseconds however few they are.
            progress: called with the number of people done and of all.

        Raises:
            ValueError: if the camera's picture has another aspect than the keypoints', or no joint set fits.
            UsageError: for a stature that no person has, or that these weights cannot use.
        """
        self._check_height(height_m)
        if camera.batch_shape != ():
            raise ValueError(f"camera: expected one camera, got a batch of {tuple(camera.batch_shape)}")
        camera = camera.scaled_to(keypoints.image_size)
        rule = conversion(keypoints.skeleton, self.skeleton)
        self._filled: dict[str, str] = {}
        rows, skipped, readied = self._usable(keypoints, camera, rule)
        people = list(self._people(rows, readied, camera, height_m, progress))
        skipped += [_unplaced(row) for row, person in zip(rows, people, strict=True) if person is None]
        rows = [row for row, person in zip(rows, people, strict=True) if person is not None]
        frames = _frames(keypoints, rows, [person for person in people if person is not None])
        frames = judged(frames) if plausibility else frames
        heights = [row.person.height_m or height_m for row in rows]
        scale = self._scale(heights, scale_source, keypoints.skeleton.name)
        poses = Poses(
            skeleton=self.skeleton,
            camera=camera,
            scale=scale,
            model=self.model,
            frames=frames,
            fps=keypoints.fps,
            world=_world(camera),
        )
        return LiftResult(
            poses=poses,
            conversion=rule,
            approximated={**rule.approximated, **self._filled} if isinstance(self.engine, WholeEngine) else {},
            skipped=tuple(sorted(skipped, key=lambda one: one.frame)),
        )

    def _check_height(self, height_m: float | None) -> None:
        low, high = HEIGHT_RANGE_M
        if height_m is not None and not low <= height_m <= high:
            raise UsageError(f"height_m: expected a stature of {low} to {high} m, got {height_m}")
        if height_m is not None and self.mean_stature_m is None:
            raise UsageError(
                f"height_m: the weights '{self.passport.name}' cannot use it, they learned body size itself"
            )

    def _scale(self, heights: list[float | None], source: ScaleSource, skeleton: str) -> Scale:
        """How the scale was fixed; weights that learned lengths in metres have no use for the people's heights."""
        if self.mean_stature_m is not None:
            body = _body_source(heights)
            note = None if body == "given_height" else self.stand_in(skeleton)
            return Scale(source=source, body=body, note=note)
        given = any(height is not None for height in heights)
        return Scale(
            source=source, body="learned", note="given heights cannot be used by these weights" if given else None
        )

    def _usable(
        self, keypoints: Keypoints, camera: Camera, rule: Conversion
    ) -> tuple[list[_Row], list[Skipped], Readied | None]:
        """Convert everybody to the lifter's joints; set those aside whom the engine cannot lift."""
        seen = list(keypoints.people())
        if not seen:
            return [], [], None
        people = [person for _, person in seen]
        points, confidence = rule.apply(
            np.stack([person.keypoints_px for person in people]), np.stack([person.confidence for person in people])
        )
        assert confidence is not None  # it was given
        if isinstance(self.engine, WholeEngine):
            readied = self.engine.ready(self._completed(people, points, confidence, camera), self.skeleton, camera)
        else:
            readied = self.engine.ready(people, keypoints.skeleton, camera)
        rows: list[_Row] = []
        skipped: list[Skipped] = []
        for number, ((frame, person), reason) in enumerate(zip(seen, readied.reasons, strict=True)):
            if reason is not None:
                skipped.append(Skipped(frame=frame.index, id=person.id, reason=reason))
                continue
            converted = replace(person, keypoints_px=points[number], confidence=confidence[number])
            rows.append(_Row(frame=frame.index, number=number, person=converted, seen=person))
        return rows, skipped, readied

    def _completed(
        self, people: list[PersonKeypoints], points: np.ndarray, confidence: np.ndarray, camera: Camera
    ) -> list[PersonKeypoints]:
        """People in `h36m17` with the joints that nobody saw, for a lifter that needs them all."""
        converted = [
            replace(person, keypoints_px=xy, confidence=sure)
            for person, xy, sure in zip(people, points, confidence, strict=True)
        ]
        completed, done = filled(converted, camera, self._filler)
        for joint, count in zip(self.skeleton.joints, done.sum(0).tolist(), strict=True):
            if count:
                self._filled[joint] = f"where missing ({count} of {len(people)}), as the prior {DEFAULT_PRIOR} has it"
        return completed

    @cached_property
    def _filler(self) -> DeepLiftEngine:
        """The prior's own lifter, in one pose per person."""
        prior, config, _ = load_prior(DEFAULT_PRIOR)
        return DeepLiftEngine(prior, config, MapConfig(refine=False))

    def _people(
        self,
        rows: list[_Row],
        readied: Readied | None,
        camera: Camera,
        height_m: float | None,
        progress: Callable[[int, int], None] | None,
    ) -> Iterator[Person | None]:
        """Lift row by row, in order; None for whom no place in front of the camera was found."""
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            heights = [np.nan if (h := row.person.height_m or height_m) is None else h for row in part]
            assert readied is not None  # there are rows
            lifted = self.engine.lift(
                readied, [row.number for row in part], camera, torch.tensor(heights, dtype=torch.float64)
            )
            for number, row in enumerate(part):
                placed = np.isfinite(lifted.joints_cam[number]).all() and lifted.joints_cam[number, 0, 2] > 0
                yield _person(row, lifted, number, camera) if placed else None
            if progress is not None:
                progress(start + len(part), len(rows))

    def lift_array(
        self,
        keypoints_px: Float[Tensor, "batch joint 2"],
        camera: Camera,
        stature_m: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch joint 3"]:
        """Lift `h36m17` keypoints (px, corner origin); metres, the camera's frame.

        The inner loop of `lift`, without structures: for those who stream. Statures are NaN or None where unknown.
        """
        return self.engine.lift_array(keypoints_px, camera, stature_m)


def _engine(weights: str | Path, device: torch.device, *, root: RootRule, flip: bool) -> tuple[Engine, Passport]:
    """The engine that weights belong to."""
    passport = read_passport(find_passport(weights))
    if root != "learned" and passport.method != "abspose":
        raise UsageError(f"root: the weights '{passport.name}' know only 'learned', got '{root}'")
    if passport.method == METHOD:
        prior, config, passport = load_prior(weights)
        return DeepLiftEngine(prior, config), passport
    network, passport = load_lifter(weights)
    if isinstance(network, PartialLifter):
        return PartialEngine(network, device, flip=flip, exact=partner_of(network, weights)), passport
    return WholeEngine(network, device, root=root, flip=flip), passport


def _unplaced(row: _Row) -> Skipped:
    return Skipped(frame=row.frame, id=row.person.id, reason="no place in front of the camera fits such keypoints")


_RIVAL_SHARE, _RIVAL_APART_M = 0.15, 0.06
"""A competing pose is told where it is so likely, and its joints so far from the pose that was chosen in the mean."""


def _person(row: _Row, lifted: LiftedPeople, number: int, camera: Camera) -> Person:
    joints_cam = lifted.joints_cam[number]
    seen = row.seen.keypoints_px[np.isfinite(row.seen.keypoints_px).all(-1)]
    return Person(
        id=row.person.id,
        score=float(row.person.confidence.mean()),
        joints_cam_m=joints_cam,
        root_depth_canonical=_canonical(joints_cam, camera),
        box_px=np.concatenate([seen.min(0), seen.max(0)]),
        keypoints_px=row.person.keypoints_px,
        confidence=row.person.confidence,
        sigma_m=None if lifted.sigma_m is None else lifted.sigma_m[number],
        hypotheses=_rivals(lifted, number, camera),
    )


def _canonical(joints_cam: Float[np.ndarray, "joint 3"], camera: Camera) -> float | None:
    focal = camera.canonical_focal_px
    return None if focal is None else float(joints_cam[0, 2] / float(focal))


def _rivals(lifted: LiftedPeople, number: int, camera: Camera) -> tuple[Hypothesis, ...] | None:
    """Other poses that the picture may show as well, the likeliest first; None where there is no doubt."""
    if lifted.others_cam is None or lifted.shares is None:
        return None
    others, shares = lifted.others_cam[number], lifted.shares[number]
    apart = np.linalg.norm(others - lifted.joints_cam[number], axis=-1).mean(-1)
    told = [
        Hypothesis(
            score=float(shares[row]), joints_cam_m=others[row], root_depth_canonical=_canonical(others[row], camera)
        )
        for row in np.argsort(-shares, kind="stable")
        if shares[row] >= _RIVAL_SHARE and apart[row] >= _RIVAL_APART_M and np.isfinite(others[row]).all()
    ]
    return tuple(told) or None


def _frames(keypoints: Keypoints, rows: list[_Row], people: list[Person]) -> tuple[PoseFrame, ...]:
    by_frame: dict[int, list[Person]] = {}
    for row, person in zip(rows, people, strict=True):
        by_frame.setdefault(row.frame, []).append(person)

    def time_s(frame: KeypointFrame) -> float | None:
        return None if keypoints.fps is None else frame.index / keypoints.fps

    return tuple(
        PoseFrame(index=frame.index, time_s=time_s(frame), people=tuple(by_frame.get(frame.index, ())))
        for frame in keypoints.frames
    )


def _body_source(heights: list[float | None]) -> ScaleBody:
    given = sum(height is not None for height in heights)
    if given == 0:
        return "learned"
    return "given_height" if given == len(heights) else "mixed"


def _world(camera: Camera) -> World | None:
    """Gravity and floor of a camera that knows its world, which has z up and its floor at z = 0."""
    if camera.rotation is None or camera.translation_m is None:
        return None
    up_cam = camera.rotation[:, 2].double().numpy()
    height = -float(up_cam @ camera.translation_m.double().numpy())
    return World(up_cam=up_cam, floor_cam=np.append(up_cam, height))
