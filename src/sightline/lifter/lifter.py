"""A trained lifter: 2D keypoints and a camera → absolute 3D poses in metres, frame by frame, in the camera's frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline import __version__
from sightline.camera import Camera
from sightline.engine import Readied
from sightline.errors import UsageError
from sightline.gravity import Tilt
from sightline.lifter.result import LiftResult, Row, Skipped, frames_of, person_of, world_of
from sightline.lifter.weights import engine_of
from sightline.methods.abspose.decode import RootRule
from sightline.methods.abspose.engines import WholeEngine
from sightline.methods.abspose.weights import DEFAULT_WEIGHTS
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.methods.deeplift.filling import filled
from sightline.methods.deeplift.judging import judged
from sightline.methods.deeplift.map_lifter import MapConfig
from sightline.methods.deeplift.weights import DEFAULT_PRIOR, load_prior
from sightline.nn.device import torch_device
from sightline.skeleton import Conversion, conversion, get_skeleton
from sightline.structures import (
    HEIGHT_RANGE_M,
    Keypoints,
    ModelInfo,
    Person,
    PersonKeypoints,
    Poses,
    Scale,
    ScaleBody,
    ScaleSource,
)


class Lifter:
    """A trained lifter, loaded once and used for many files or frames.

    Args:
        weights: name of weights inside the package, or the path of a passport.
        device: PyTorch device that the network runs on.
        batch_size: people per pass of the network.
        root: where the root comes from; "learned" is the network's own, and all that a partial lifter knows.
        flip: also lift the mirrored pose and average, which costs one more pass and lowers errors a little.
        tilt: how cameras are tilted that do not know their place in the world, for weights that ask for it (priors of
            upright people); level by default.
    """

    def __init__(
        self,
        weights: str | Path = DEFAULT_WEIGHTS,
        *,
        device: str = "cpu",
        batch_size: int = 1024,
        root: RootRule = "learned",
        flip: bool = True,
        tilt: Tilt | None = None,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
        if root not in get_args(RootRule):
            raise UsageError(f"root: expected one of {', '.join(get_args(RootRule))}, got '{root}'")
        self.device = torch_device(device)
        self.batch_size = batch_size
        self.engine, self.passport = engine_of(weights, self.device, root=root, flip=flip, tilt=tilt)
        self.skeleton = get_skeleton("h36m17")

    @property
    def model(self) -> ModelInfo:
        """Method and weights, as the results tell them."""
        method = self.passport.method.split("-")[0]
        return ModelInfo(method=method, weights=self.passport.name, version=__version__, details=self.engine.details)

    @property
    def takes_cameras_as_level(self) -> bool:
        """Whether poses hang on how the camera is tilted, and nothing is known of one without a place in the world."""
        engine = self.engine
        if not isinstance(engine, DeepLiftEngine) or engine.prior.orientation != "upright":
            return False
        return not engine.tilt.known and engine.tilt.tried_rad == (0.0,)

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
        rows, skipped, readied, filled_in = self._usable(keypoints, camera, rule)
        people = list(self._people(rows, readied, camera, height_m, progress))
        skipped += [_unplaced(row) for row, person in zip(rows, people, strict=True) if person is None]
        rows = [row for row, person in zip(rows, people, strict=True) if person is not None]
        frames = frames_of(keypoints, rows, [person for person in people if person is not None])
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
            world=world_of(camera),
        )
        return LiftResult(
            poses=poses,
            conversion=rule,
            approximated=_joined(rule.approximated, filled_in) if isinstance(self.engine, WholeEngine) else {},
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
    ) -> tuple[list[Row], list[Skipped], Readied | None, dict[str, str]]:
        """Convert everybody to the lifter's joints; set those aside whom the engine cannot lift.

        And say of joints that nobody saw how they were filled in.
        """
        seen, filled_in = list(keypoints.people()), {}
        if not seen:
            return [], [], None, filled_in
        people = [person for _, person in seen]
        points, confidence = rule.apply(
            np.stack([person.keypoints_px for person in people]), np.stack([person.confidence for person in people])
        )
        assert confidence is not None  # it was given
        if isinstance(self.engine, WholeEngine):
            completed, filled_in = self._completed(people, points, confidence, camera)
            readied = self.engine.ready(completed, self.skeleton, camera)
        else:
            readied = self.engine.ready(people, keypoints.skeleton, camera)
        rows: list[Row] = []
        skipped: list[Skipped] = []
        for number, ((frame, person), reason) in enumerate(zip(seen, readied.reasons, strict=True)):
            if reason is not None:
                skipped.append(Skipped(frame=frame.index, id=person.id, reason=reason))
                continue
            converted = replace(person, keypoints_px=points[number], confidence=confidence[number])
            rows.append(Row(frame=frame.index, number=number, person=converted, seen=person))
        return rows, skipped, readied, filled_in

    def _completed(
        self, people: list[PersonKeypoints], points: np.ndarray, confidence: np.ndarray, camera: Camera
    ) -> tuple[list[PersonKeypoints], dict[str, str]]:
        """People in `h36m17` with the joints that nobody saw, for a lifter that needs them all; and what was filled."""
        converted = [
            replace(person, keypoints_px=xy, confidence=sure)
            for person, xy, sure in zip(people, points, confidence, strict=True)
        ]
        completed, done = filled(converted, camera, self._filler)
        counts = zip(self.skeleton.joints, done.sum(0).tolist(), strict=True)
        told = f"of {len(people)}), as the prior {DEFAULT_PRIOR} has it"
        return completed, {joint: f"where missing ({count} {told}" for joint, count in counts if count}

    @cached_property
    def _filler(self) -> DeepLiftEngine:
        """The prior's own lifter, in one pose per person."""
        prior, config, _ = load_prior(DEFAULT_PRIOR)
        return DeepLiftEngine(prior, config, MapConfig(refine=False))

    def _people(
        self,
        rows: list[Row],
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
                yield person_of(row, lifted, number, camera) if placed else None
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


def _joined(*told: Mapping[str, str]) -> dict[str, str]:
    """What is said of joints, from several sides."""
    joints = dict.fromkeys(joint for one in told for joint in one)
    return {joint: "; ".join(one[joint] for one in told if joint in one) for joint in joints}


def _unplaced(row: Row) -> Skipped:
    return Skipped(frame=row.frame, id=row.person.id, reason="no place in front of the camera fits such keypoints")


def _body_source(heights: list[float | None]) -> ScaleBody:
    given = sum(height is not None for height in heights)
    if given == 0:
        return "learned"
    return "given_height" if given == len(heights) else "mixed"
