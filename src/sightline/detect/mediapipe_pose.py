"""MediaPipe's pose model as a detector: 33 joints of one person, offline, with the model that its wheel carries.

Two graphs of MediaPipe do the work. The one of `mp.solutions.pose` finds somebody in a picture and then the joints in a
square region around them; the other begins with the region, and so looks again where somebody was. Both are run here
without the class `Pose`, since it hides the region and the joints' presence.

**Pixel origin.** The graph says where a joint lies as a share of the picture, but share times size is not a point with
corner origin: the region is cut out with OpenCV, which counts from the first pixel's centre, for a network that counts
from the corner of its 256 × 256 input. So what comes is half a pixel of the *input* too far along the region's axes and
half a pixel of the picture too little, 2 px for somebody 870 px tall. Pictures against their mirror images show it: 302
pairs, of three people in five views, put the points 0.37 ± 0.07 of an input pixel too far to the right as they come,
and 0.04 ± 0.07 when that is taken off, as it is here.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sightline.detect.protocol import Detection, Picture
from sightline.errors import UsageError
from sightline.native_log import without_native_log
from sightline.skeleton import Skeleton, conversion, get_skeleton

INSTALL: Final = "pip install 'sightline[mediapipe]'"
_INPUT_SIDE: Final = 256  # pixels of the landmark network's square input
_REGION_SHARE: Final = 1.4
"""Half a region's side over the distance from the hips to the furthest joint, where MediaPipe names no region."""

_FIND: Final = "mediapipe/modules/pose_landmark/pose_landmark_cpu.binarypb"
_LOOK: Final = """
input_stream: "image"
input_stream: "pose_rect"
input_side_packet: "model_complexity"
input_side_packet: "enable_segmentation"
output_stream: "pose_landmarks"
output_stream: "pose_rect_from_landmarks"
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE_CPU:image"
  output_stream: "SIZE:image_size"
}
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_side_packet: "MODEL_COMPLEXITY:model_complexity"
  input_side_packet: "ENABLE_SEGMENTATION:enable_segmentation"
  input_stream: "IMAGE:image"
  input_stream: "ROI:pose_rect"
  output_stream: "LANDMARKS:pose_landmarks"
  output_stream: "AUXILIARY_LANDMARKS:auxiliary_landmarks"
}
node {
  calculator: "PoseLandmarksToRoi"
  input_stream: "LANDMARKS:auxiliary_landmarks"
  input_stream: "IMAGE_SIZE:image_size"
  output_stream: "ROI:pose_rect_from_landmarks"
}
"""
_PRESENCE: Final = "poselandmarkbyroicpu__tensorstoposelandmarksandsegmentation__ThresholdingCalculator.threshold"
_FOUND: Final = "posedetectioncpu__TensorsToDetectionsCalculator.min_score_thresh"


@dataclass(frozen=True, kw_only=True)
class Region:
    """The square in which joints are looked for: centre and side in px, and how far it is turned clockwise (rad)."""

    x_px: float
    y_px: float
    side_px: float
    angle: float


@dataclass(frozen=True, kw_only=True, eq=False)
class MediaPipeDetection(Detection):
    """A detection that knows where MediaPipe would look for the same person in the next frame."""

    next_region: Region | None = None


class MediaPipePose:
    """The most prominent person of a picture, in MediaPipe's 33 joints; implements `Detector`.

    With `video=False` each picture is looked at by itself. With `video=True` the pictures of all calls follow each
    other: the person is looked for where it was in the last one, which is faster and steadier, and only then in the
    whole picture; `restart` begins a new film. Joints are not smoothed over time in either.

    Confidence is the lesser of MediaPipe's `visibility` and `presence`; a joint hidden or outside the picture keeps its
    guessed place, with the low confidence it deserves. A detection's `score` is the mean confidence of the joints that
    a lifter uses (`h36m17`). `min_confidence` is what MediaPipe asks of a person, when found and when joints are laid.

    `UsageError` where MediaPipe is missing, is too new to carry its model, or cannot load; for another `complexity`
    than 1, as the wheel carries only that model; and for a `min_confidence` outside 0…1.
    """

    name: str = "mediapipe"
    single_person: bool = True

    def __init__(self, *, video: bool = False, complexity: int = 1, min_confidence: float = 0.5) -> None:
        if complexity != 1:
            raise UsageError(
                f"complexity: MediaPipe's wheel carries the model of complexity 1 only, got {complexity!r}"
            )
        if not 0 <= min_confidence <= 1:
            raise UsageError(f"min_confidence: expected a number from 0 to 1, got {min_confidence}")
        self.video: Final = video
        self._min_confidence = min_confidence
        self._before: Detection | None = None
        self._look: Any = None
        self._seen_person = False  # MediaPipe complains once more when it lays the first person's joints
        with without_native_log():
            self._find: Any = _find_graph(min_confidence)
            self._find.process({"image": np.zeros((64, 64, 3), np.uint8)})  # loads the networks, which it logs as well

    @property
    def skeleton(self) -> Skeleton:
        """The joint set of its detections: `mediapipe33`."""
        return get_skeleton("mediapipe33")

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detection, ...]]:
        """Return nobody or one person for each picture (px, corner origin)."""
        return [self._followed(_checked(picture)) if self.video else self._found(picture) for picture in pictures]

    def detect_near(self, picture: Picture, before: Sequence[Detection]) -> list[Detection | None]:
        """Look again, once for each person of `before`, where that person was; None where nobody is there (any more).

        `before` holds detections of the frame before in the whole picture's pixels. Takes 3/5 of the time of `detect`
        per person, since nobody has to be found first. It may well return somebody else who stands there now.
        """
        picture = _checked(picture)
        regions = [_next_region(detection) for detection in before]
        return [None if region is None else self._looked(picture, region) for region in regions]

    def restart(self) -> None:
        """Forget where the person was: the next picture begins another film."""
        self._before = None

    def close(self) -> None:
        """Let go of MediaPipe's graphs; calling it twice does no harm, detecting afterwards is a `UsageError`."""
        for graph in (self._find, self._look):
            if graph is not None:
                graph.close()
        self._find = self._look = self._before = None

    def _followed(self, picture: np.ndarray) -> tuple[Detection, ...]:
        seen = next(iter(self.detect_near(picture, () if self._before is None else (self._before,))), None)
        found = self._found(picture) if seen is None else (seen,)
        self._before = found[0] if found else None
        return found

    def _found(self, picture: Picture) -> tuple[Detection, ...]:
        """Find somebody in the whole picture."""
        picture = _checked(picture)
        detection = self._detection(self._run(self._find, {"image": picture}), picture, None)
        return () if detection is None else (detection,)

    def _looked(self, picture: np.ndarray, region: Region) -> Detection | None:
        """Look for somebody's joints in a region."""
        if self._look is None and self._find is not None:
            with without_native_log():
                self._look = _look_graph(self._min_confidence)
                self._look.process({"image": np.zeros((64, 64, 3), np.uint8), "pose_rect": _rectangle(_WHOLE, 64, 64)})
        rectangle = _rectangle(region, picture.shape[1], picture.shape[0])
        return self._detection(self._run(self._look, {"image": picture, "pose_rect": rectangle}), picture, region)

    def _run(self, graph: Any, inputs: dict[str, Any]) -> Any:
        if graph is None:
            raise UsageError("mediapipe: this detector was closed; make a new one")
        if self._seen_person:
            return graph.process(inputs)
        with without_native_log():
            found = graph.process(inputs)
        self._seen_person = bool(found.pose_landmarks)
        return found

    def _detection(self, found: Any, picture: np.ndarray, region: Region | None) -> Detection | None:
        if not found.pose_landmarks:
            return None
        height, width = picture.shape[:2]
        if region is None:
            region = _region(found.pose_rect, width, height)
        marks = found.pose_landmarks.landmark
        table = np.array([(mark.x * width, mark.y * height, mark.visibility, mark.presence) for mark in marks])
        good = np.array(np.isfinite(table).all(axis=1))
        points = np.where(good[:, None], table[:, :2] - _origin_shift_px(region), np.nan)
        confidence = np.where(good, table[:, 2:].min(axis=1).clip(0.0, 1.0), 0.0)
        following = found.pose_rect_from_landmarks
        return MediaPipeDetection(
            keypoints_px=points,
            confidence=confidence,
            score=_score(points, confidence),
            next_region=None if following is None else _region(following, width, height),
        )


_WHOLE: Final = Region(x_px=32.0, y_px=32.0, side_px=64.0, angle=0.0)


def _origin_shift_px(region: Region) -> np.ndarray:
    """How far (x, y) MediaPipe's points lie from where they are with corner origin; see the top of this file."""
    half = 0.5 * region.side_px / _INPUT_SIDE
    cos, sin = math.cos(region.angle), math.sin(region.angle)
    return np.array([half * (cos - sin) - 0.5, half * (sin + cos) - 0.5])


def _next_region(before: Detection) -> Region | None:
    """Where to look for the person now: MediaPipe's own answer, else a square around the joints, None without those."""
    if isinstance(before, MediaPipeDetection) and before.next_region is not None:
        return before.next_region
    joints = before.keypoints_px
    trunk = joints[list(_TRUNK)]
    if not np.isfinite(trunk).all():
        return None
    hips, shoulders = trunk[:2].mean(axis=0), trunk[2:].mean(axis=0)
    reach = float(np.nanmax(np.linalg.norm(joints - hips, axis=1)))
    upwards = shoulders - hips
    angle = math.atan2(upwards[0], -upwards[1])
    return Region(x_px=float(hips[0]), y_px=float(hips[1]), side_px=2 * _REGION_SHARE * reach, angle=angle)


_TRUNK: Final = (23, 24, 11, 12)  # hips, then shoulders


def _score(points: np.ndarray, confidence: np.ndarray) -> float:
    _, sure = conversion("mediapipe33", "h36m17").apply(points, confidence)
    assert sure is not None  # confidence was given
    return float(sure.mean())


def _checked(picture: Picture) -> np.ndarray:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise UsageError(f"picture: expected uint8 (height, width, 3), got {picture.dtype} {picture.shape}")
    return np.ascontiguousarray(picture)


def _region(rectangle: Any, width: int, height: int) -> Region:
    return Region(
        x_px=rectangle.x_center * width,
        y_px=rectangle.y_center * height,
        side_px=rectangle.width * width,
        angle=rectangle.rotation,
    )


def _rectangle(region: Region, width: int, height: int) -> Any:
    rectangle = importlib.import_module("mediapipe.framework.formats.rect_pb2").NormalizedRect()
    rectangle.x_center, rectangle.y_center = region.x_px / width, region.y_px / height
    rectangle.width, rectangle.height = region.side_px / width, region.side_px / height
    rectangle.rotation = region.angle
    return rectangle


def _find_graph(min_confidence: float) -> Any:
    """The graph of `mp.solutions.pose` in image mode, with the region among its outputs."""
    sides = {
        "model_complexity": 1,
        "smooth_landmarks": False,
        "enable_segmentation": False,
        "smooth_segmentation": False,
        "use_prev_landmarks": False,
    }
    return _graph(
        binary_graph_path=_FIND,
        side_inputs=sides,
        calculator_params={_FOUND: min_confidence, _PRESENCE: min_confidence},
        outputs=["pose_landmarks", "pose_rect", "pose_rect_from_landmarks"],
    )


def _look_graph(min_confidence: float) -> Any:
    """The part of that graph that follows once the region is known."""
    config = importlib.import_module("mediapipe.framework.calculator_pb2").CalculatorGraphConfig()
    importlib.import_module("google.protobuf.text_format").Parse(_LOOK, config)
    return _graph(
        graph_config=config,
        side_inputs={"model_complexity": 1, "enable_segmentation": False},
        calculator_params={_PRESENCE: min_confidence},
        outputs=["pose_landmarks", "pose_rect_from_landmarks"],
    )


def _graph(**options: Any) -> Any:
    """A running graph of MediaPipe; `UsageError` in one sentence where it cannot be had."""
    try:
        mediapipe = importlib.import_module("mediapipe")
    except ModuleNotFoundError as error:
        if error.name != "mediapipe":
            raise UsageError(f"mediapipe cannot be loaded ({error}); install it anew: {INSTALL}") from error
        raise UsageError(f"the detector mediapipe needs a package that is not installed: {INSTALL}") from error
    except Exception as error:  # a missing system library, another version of NumPy: whatever its parts raise
        raise UsageError(f"mediapipe cannot be loaded ({_first_line(error)}); install it anew: {INSTALL}") from error
    version = getattr(mediapipe, "__version__", "of unknown version")
    try:
        base = importlib.import_module("mediapipe.python.solution_base")
        return base.SolutionBase(**options)
    except Exception as error:  # other versions lack the module, the graph or the model in it, and say so in many ways
        raise UsageError(
            f"mediapipe {version} does not carry the pose model that Sightline runs ({_first_line(error)}); "
            f"install 0.10.21: {INSTALL}"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
