"""RTMPose through rtmlib (an extra): several people, 26 joints with feet, ONNX files fetched once and checked."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from sightline.detect.protocol import Detection, Picture
from sightline.errors import InputError, UsageError
from sightline.formats.downloads import Progress, RemoteFile
from sightline.skeleton import Skeleton, get_skeleton

_SERVER: Final = "https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk/"
_LICENCE: Final = "Apache-2.0 (MMPose)"
_BODY7: Final = (
    "Body7 (COCO, AI Challenger, MPII, CrowdPose, JHMDB, Halpe, PoseTrack18), of which some allow research only"
)
_HUMAN_ART: Final = "COCO and Human-Art, of which the latter allows research only"


def _published(name: str, megabytes: int, trained_on: str, sha256: str | None = None) -> RemoteFile:
    return RemoteFile(
        name=f"{name}.onnx",
        url=f"{_SERVER}{name}.zip",
        member="end2end.onnx",
        sha256=sha256,
        sha256_from="several projects that measured it" if sha256 else "",
        megabytes=megabytes,
        licence=_LICENCE,
        trained_on=trained_on,
    )


@dataclass(frozen=True)
class Networks:
    """The two networks of a mode: who is where, and how each stands."""

    boxes: RemoteFile
    boxes_input: tuple[int, int]
    """(height, width) px, where the file does not fix it."""
    pose: RemoteFile
    pose_input: tuple[int, int]
    """(width, height) px, where the file does not fix it."""

    @property
    def files(self) -> tuple[RemoteFile, RemoteFile]:
        """Both files."""
        return self.boxes, self.pose


# The publisher states no checksums. Those of the default are what several projects have measured independently.
NETWORKS: Final[Mapping[str, Networks]] = {
    "lightweight": Networks(
        _published("yolox_tiny_8xb8-300e_humanart-6f3252f9", 19, _HUMAN_ART),
        (416, 416),
        _published("rtmpose-s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605", 20, _BODY7),
        (192, 256),
    ),
    "balanced": Networks(
        _published(
            "yolox_m_8xb8-300e_humanart-c2c7a14a",
            94,
            _HUMAN_ART,
            "3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23",
        ),
        (640, 640),
        _published(
            "rtmpose-m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605",
            52,
            _BODY7,
            "26f3a19e61304a600dfb82d1001d41d24343b89fc70a33ffc84657e0b0bf2ecf",
        ),
        (192, 256),
    ),
    "performance": Networks(
        _published("yolox_x_8xb8-300e_humanart-a39d44ed", 370, _HUMAN_ART),
        (640, 640),
        _published("rtmpose-x_simcc-body7_pt-body7-halpe26_700e-384x288-7fb6e239_20230606", 186, _BODY7),
        (288, 384),
    ),
}

_JOINT_SETS: Final = {26: "halpe26", 17: "coco17"}
_PERSON: Final = 0  # the first class of COCO, and the only one of Human-Art's detectors


class RTMPose:
    """RTMPose (Jiang et al. 2023) behind a YOLOX person detector, run by rtmlib on ONNX Runtime.

    Joint set: `halpe26`, which has the feet; `coco17` where a file of one's own has 17 joints. Several people.

    **Origin.** rtmlib cuts a person out with OpenCV's `warpAffine`, whose coordinates are pixel numbers, by one affine
    map, and takes the answer back by the same map. Training did likewise, with labels that are pixel numbers, mirrored
    by width − 1 − x. So keypoints count from the centre of the first pixel, and the adapter adds 0.5 to x and y. Boxes
    count from the corner and need nothing.

    **Colours.** rtmlib hands on the picture as it is. YOLOX was trained on BGR, RTMPose on RGB: each gets its own.

    **Confidence.** The mean of the highest answer along x and along y, as rtmlib gives it, cut to 0…1: it passes 1 a
    little where the network is very sure. A joint whose mean is 0 or less is missing. A person's score is that of the
    box, or the mean confidence of the joints where the person detector tells no scores.

    Where nobody is found, rtmlib takes the whole picture for a person; here, nobody is nobody.

    Args:
        device: cpu, cuda, cuda:N or mps, as far as the installed ONNX Runtime has it.
        mode: which networks: lightweight, balanced or performance.
        min_score: people below are left out, 0…1.
        max_people: at most so many per picture, those of the highest score.
        boxes: ONNX file of one's own that finds people, with boxes and scores (YOLOX, with or without its selection).
        pose: ONNX file of one's own with the two outputs of SimCC, for 26 or 17 joints.
        progress: is told of the bytes of a download.

    Raises:
        UsageError: if rtmlib is not installed, or for a device, mode or number that cannot be.
        InputError: if a network cannot be fetched or read, or is another kind of network.
    """

    name: str = "rtmpose"
    single_person: bool = False

    def __init__(
        self,
        *,
        device: str = "cpu",
        mode: str = "balanced",
        min_score: float = 0.5,
        max_people: int | None = None,
        boxes: Path | None = None,
        pose: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        if mode not in NETWORKS:
            raise UsageError(f"mode: expected one of {', '.join(NETWORKS)}, got '{mode}'")
        if not 0 <= min_score <= 1:
            raise UsageError(f"min_score: expected a number from 0 to 1, got {min_score}")
        if max_people is not None and max_people < 1:
            raise UsageError(f"max_people: expected at least 1, got {max_people}")
        library = _rtmlib()
        _check_device(device)
        self._min_score, self._max_people = min_score, max_people
        networks = NETWORKS[mode]
        boxes = networks.boxes.get(progress) if boxes is None else Path(boxes)
        pose = networks.pose.get(progress) if pose is None else Path(pose)
        options: dict[str, Any] = {"backend": "onnxruntime", "device": device}
        self._boxes = _loaded(
            library.YOLOX,
            boxes,
            model_input_size=networks.boxes_input,
            score_thr=min_score,
            det_mode="multiclass",
            **options,
        )
        self._pose = _loaded(library.RTMPose, pose, model_input_size=networks.pose_input, **options)
        if (size := _fixed_size(self._boxes)) is not None:
            self._boxes.model_input_size = size
        if (size := _fixed_size(self._pose)) is not None:
            self._pose.model_input_size = size[::-1]
        self._skeleton = _skeleton_of(self._pose, pose)

    @property
    def skeleton(self) -> Skeleton:
        """`halpe26`, or `coco17` where a pose network of one's own has it."""
        return self._skeleton

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detection, ...]]:
        """Return the people of each picture, the surest first. The networks run person by person."""
        return [self._people(picture) for picture in pictures]

    def close(self) -> None:
        """Nothing is held that is not memory."""

    def _people(self, picture: Picture) -> tuple[Detection, ...]:
        boxes, scores = self._find_boxes(picture)
        if scores is not None:
            surest = np.argsort(-scores, kind="stable")[: self._max_people]
            boxes, scores = boxes[surest], scores[surest]
        if not len(boxes):
            return ()
        points, confidence = self._pose(np.ascontiguousarray(picture), bboxes=boxes)
        points, confidence = np.asarray(points, dtype=np.float64) + 0.5, np.asarray(confidence, dtype=np.float64)
        seen = (confidence > 0) & np.isfinite(points).all(-1)
        points = np.where(seen[..., None], points, np.nan)
        confidence = np.where(seen, confidence.clip(0, 1), 0)
        scores = confidence.mean(-1) if scores is None else scores
        return tuple(
            Detection(keypoints_px=points[row], confidence=confidence[row], score=float(scores[row]), box_px=boxes[row])
            for row in np.argsort(-scores, kind="stable")[: self._max_people]
        )

    def _find_boxes(
        self, picture: Picture
    ) -> tuple[Float[np.ndarray, "person 4"], Float[np.ndarray, " person"] | None]:
        """Boxes (px, corner origin) of people, and their scores where the network gives any."""
        network, nobody = self._boxes, np.zeros((0, 4))
        height, width = picture.shape[:2]
        if not min(height, width):
            return nobody, None
        ratio = min(network.model_input_size[0] / height, network.model_input_size[1] / width)
        if min(height, width) * ratio < 1:  # a sliver, of which nothing is left at the network's size
            return nobody, None
        padded, ratio = network.preprocess(np.ascontiguousarray(picture[..., ::-1]))
        outputs = network.inference(padded)
        if outputs[0].shape[-1] == 5:  # selected inside the network: x0, y0, x1, y1, score
            rows = np.asarray(outputs[0], dtype=np.float64).reshape(-1, 5)
            labels = np.asarray(outputs[1]).reshape(-1) if len(outputs) > 1 else np.zeros(len(rows))
            boxes, scores = rows[:, :4] / ratio, rows[:, 4].clip(0, 1)
            good = (labels == _PERSON) & (scores >= self._min_score)
        else:
            boxes, labels = network.postprocess(outputs[0], ratio)
            boxes, scores = np.asarray(boxes, dtype=np.float64).reshape(-1, 4), None
            good = np.asarray(labels) == _PERSON
        good = good & np.isfinite(boxes).all(-1) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(-1)
        return boxes[good], None if scores is None else scores[good]


def _rtmlib() -> Any:
    try:
        import rtmlib  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError(
            f"rtmpose: expected the package rtmlib and what it needs ({error}); "
            "install it with pip install 'sightline[rtmpose]'"
        ) from error
    return rtmlib


def _check_device(device: str) -> None:
    """Refuse a device that ONNX Runtime lacks, which it would otherwise leave for the CPU without a word."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    known = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}
    there = [name for name, provider in known.items() if provider in onnxruntime.get_available_providers()]
    kind, _, number = device.partition(":")
    if kind not in there or (number and not (kind == "cuda" and number.isdecimal())):
        hint = "; a GPU of NVIDIA needs the package onnxruntime-gpu" if kind == "cuda" else ""
        raise UsageError(
            f"device: expected {' or '.join(there)}, which this installation of ONNX Runtime has, got '{device}'{hint}"
        )


def _loaded(kind: Any, path: Path, **options: Any) -> Any:
    """One of rtmlib's networks from a file that is there; what rtmlib prints is held back."""
    if not path.is_file():
        found = "this is a folder" if path.is_dir() else "nothing is there"
        raise InputError(f"{path}: expected an ONNX file, but {found}")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return kind(str(path), **options)
    except Exception as error:  # ONNX Runtime has an exception of its own for each way in which a file is broken
        raise InputError(f"{path}: expected a network as an ONNX file, got something else or a part of one") from error


def _fixed_size(network: Any) -> tuple[int, int] | None:
    """(height, width) px of a network's input, where its file fixes it."""
    shape = network.session.get_inputs()[0].shape
    if len(shape) == 4 and all(isinstance(length, int) and length > 0 for length in shape[2:]):
        return shape[2], shape[3]
    return None


def _skeleton_of(network: Any, path: Path) -> Skeleton:
    """The joint set of a pose network, by the number of joints in its outputs."""
    shapes = [output.shape for output in network.session.get_outputs()]
    if len(shapes) == 2 and all(len(shape) == 3 for shape in shapes):
        joints = shapes[0][1]
        if not isinstance(joints, int):  # not fixed in the file: ask the network itself
            width, height = network.model_input_size
            joints = network.inference(np.zeros((height, width, 3), dtype=np.float32))[0].shape[1]
        if joints in _JOINT_SETS:
            return get_skeleton(_JOINT_SETS[joints])
    raise InputError(
        f"{path}: expected a pose network with two outputs (person, 26 or 17 joints, positions), as RTMPose has, got "
        f"outputs of {', '.join(str(tuple(shape)) for shape in shapes)}"
    )
