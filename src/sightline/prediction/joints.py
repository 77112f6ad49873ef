"""Sightline's own networks that find joints in crops, as detectors: in boxes, or about people whom another one found.

"integral" is the cascade's 2D estimator and "cpm" the pose machine. By themselves they need boxes; "lcrnet+integral"
lets another detector find people and asks them for the joints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from sightline.camera import Camera
from sightline.detect.guard import seen_by
from sightline.detect.protocol import Detection, Detector, Picture
from sightline.detect.registry import Entry, load_detector
from sightline.errors import UsageError
from sightline.methods.perspose.boxes import SURE as BOX_SURE
from sightline.methods.perspose.samples import CropKind, Person, crops_of, samples, stand_in
from sightline.nn.device import torch_device
from sightline.nn.joint_network import JointNetwork
from sightline.perspective import keypoints_from_virtual
from sightline.prediction.methods import LCRNET_WEIGHTS
from sightline.prediction.perspose import body_box
from sightline.skeleton import Skeleton

SEE_CROPS: Final = {"integral": "integral-synth", "cpm": "cpm-synth"}
"""Detectors that see crops, and the weights that they take where none are named."""
LCRNET: Final = "lcrnet"
JOINED: Final = "+"
SEEN: Final = 0.05
"""A joint that the network believes in less than this was not seen."""
SURE: Final = 0.1
"""A joint that is believed in less says nothing about where its person is: less than what other detectors ask for,
since confidence here is the chance of being right to a twentieth of the crop, and one that is a tenth off tells too.
"""
LEAST_SCORE: Final = 0.15
"""Somebody whose joints are believed in less than this on average is nobody, unless the caller says otherwise."""


class _Asked(NamedTuple):
    """Somebody to be looked at."""

    picture: Picture
    camera: Camera
    box_px: np.ndarray


class JointDetector:
    """One network that sees crops, as a detector of the one person in a box, or in the whole picture.

    Pixels have corner origin; points are taken back from the crop by the very homography that cut it out. Crops are
    those of the picture's camera where it is known, else of one of 53°; where nothing says how that is tilted it is
    level. A box that its lens does not reach has nobody in it.

    Args:
        name: by which it is chosen.
        network: in evaluation mode.
        device: PyTorch device that it runs on.
        batch_size: people per pass.
        min_score: people whose joints are believed in less on average are left out.
        flip: whether to average with mirrored crops.
    """

    single_person: bool = True
    sure: float = SURE
    """Joints below this confidence say nothing about where somebody is; see `detect.follow.FollowRules`."""

    def __init__(
        self,
        name: str,
        network: JointNetwork,
        *,
        device: str = "cpu",
        batch_size: int = 16,
        min_score: float | None = None,
        flip: bool = True,
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
        assert isinstance(network, torch.nn.Module)
        self.name, self.batch_size, self.flip = name, batch_size, flip
        self.min_score = LEAST_SCORE if min_score is None else min_score
        self.device = torch_device(device)
        self.network: Any = network.to(self.device)
        self.kind: CropKind = crops_of(self.network)

    @property
    def skeleton(self) -> Skeleton:
        """The network's."""
        return self.network.skeleton

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detection, ...]]:
        """Return the person of each picture, whom it is taken to show from head to foot; see `detect_in`."""
        return self.detect_by(pictures, [None] * len(pictures))

    def detect_by(self, pictures: Sequence[Picture], cameras: Sequence[Camera | None]) -> list[tuple[Detection, ...]]:
        """Return the same, of pictures whose cameras are known; see `detect.protocol.SeesByCameras`."""
        found = self._seen([
            _Asked(picture, _camera_of(picture, camera), np.array([0.0, 0.0, picture.shape[1], picture.shape[0]]))
            for picture, camera in zip(pictures, cameras, strict=True)
        ])  # fmt: skip
        return [() if one is None else (one,) for one in found]

    def detect_in(
        self,
        picture: Picture,
        boxes: Float[np.ndarray, "person 4"],
        before: Sequence[Detection | None],
        camera: Camera | None = None,
    ) -> list[Detection | None]:
        """Return who is in boxes; see `detect.follow.LooksIn`.

        Joints that were last seen lack crown and feet: the box is then also about the body that they tell.
        """
        own = _camera_of(picture, camera)
        return self._seen([
            _Asked(picture, own, self._around(np.asarray(box, np.float64), last))
            for box, last in zip(boxes, before, strict=True)
        ])  # fmt: skip

    def _around(self, box: np.ndarray, last: Detection | None) -> np.ndarray:
        """A box, and the body of somebody who was seen there."""
        body = None if last is None else body_box(replace(last, box_px=None), self.skeleton, self.sure)
        return box if body is None else np.concatenate([np.minimum(box, body)[:2], np.maximum(box, body)[2:]])

    def close(self) -> None:
        """Nothing is held that others do not."""

    def _seen(self, asked: Sequence[_Asked]) -> list[Detection | None]:
        """Who is in each of some boxes of pictures."""
        found: list[Detection | None] = []
        for start in range(0, len(asked), self.batch_size):
            part = asked[start : start + self.batch_size]
            batch = samples([(one.picture, Person(box_px=one.box_px, camera=one.camera)) for one in part], self.kind)
            seen = self.network.joints_in(batch.crops.to(self.device), batch.up.to(self.device), flip=self.flip)
            for row, one in enumerate(part):
                view = type(batch.views)(*(value[row : row + 1] for value in batch.views))
                points = keypoints_from_virtual(one.camera, view, seen.points_px[row : row + 1].cpu().float())[0]
                sure = seen.confidence[row].cpu().double().numpy()
                found.append(self._person(points.double().numpy(), sure, one.box_px))
        return found

    def _person(self, points: np.ndarray, confidence: np.ndarray, box: np.ndarray) -> Detection | None:
        sure = (confidence >= SEEN) & np.isfinite(points).all(-1)
        score = float(np.where(sure, confidence, 0.0).mean())
        if score < self.min_score or not sure.any():
            return None
        return Detection(
            keypoints_px=np.where(sure[:, None], points, np.nan),
            confidence=np.where(sure, confidence, 0.0),
            score=score,
            box_px=box,
        )


class Relay:
    """Who is there from one detector, their joints from a network that sees crops.

    Args:
        first: finds people.
        then: looks at each of them.
    """

    def __init__(self, first: Detector, then: JointDetector) -> None:
        self._first, self._then = first, then
        self._first_sure: float = getattr(first, "sure", BOX_SURE)
        self.name = f"{first.name}{JOINED}{then.name}"
        self.single_person = first.single_person

    @property
    def skeleton(self) -> Skeleton:
        """The second one's."""
        return self._then.skeleton

    @property
    def sure(self) -> float:
        """The second one's."""
        return self._then.sure

    @property
    def video(self) -> bool:
        """Whether the first one follows people by itself."""
        return bool(getattr(self._first, "video", False))

    def detect(self, pictures: Sequence[Picture]) -> list[tuple[Detection, ...]]:
        """Return the people of each picture: score, id and stature are the first one's, box and joints the second's."""
        return self.detect_by(pictures, [None] * len(pictures))

    def detect_by(self, pictures: Sequence[Picture], cameras: Sequence[Camera | None]) -> list[tuple[Detection, ...]]:
        """Return the same, of pictures whose cameras are known; see `detect.protocol.SeesByCameras`."""
        answers = []
        found = seen_by(self._first, pictures, cameras)
        for picture, camera, people in zip(pictures, cameras, found, strict=True):
            boxes = [body_box(person, self._first.skeleton, self._first_sure) for person in people]
            known = [(person, box) for person, box in zip(people, boxes, strict=True) if box is not None]
            boxes_px = np.array([box for _, box in known]).reshape(-1, 4)
            seen = self._then.detect_in(picture, boxes_px, [None] * len(known), camera)
            answers.append(
                tuple(
                    replace(one, score=person.score, id=person.id, height_m=person.height_m)
                    for (person, _), one in zip(known, seen, strict=True)
                    if one is not None
                )
            )
        return answers

    def close(self) -> None:
        """Let go of the first one."""
        self._first.close()


def _camera_of(picture: Picture, camera: Camera | None) -> Camera:
    """The camera of a picture at its size, or the one that stands in for it."""
    height, width = picture.shape[:2]
    return stand_in(picture) if camera is None else camera.scaled_to((width, height))


def detector_of(
    name: str, *, device: str = "cpu", batch_size: int = 16, video: bool = False, min_score: float | None = None
) -> Detector:
    """Return a detector by name: one of Sightline's own networks, two detectors in a row, or one of the registry.

    Args:
        name: "integral", "cpm" or "lcrnet", also with the path of a passport behind a colon ("cpm:runs/P.json"); or any
            detector's name and one of the former two, joined by "+"; or what `load_detector` knows.
        device: PyTorch device of the networks.
        batch_size: people per pass; pictures of another detector.
        video: whether pictures follow each other in time, for the first of two.
        min_score: people below are left out, by the first of two.

    Raises:
        UsageError: for a name that nobody knows, weights that there are not, or "+" before what sees no crops.
        InputError: for weights that are broken or of another method.
    """
    options: Any = {"device": device, "batch_size": batch_size, "video": video, "min_score": min_score}
    read = _NAME.fullmatch(name)
    if read is None:
        return load_detector(name, more=OWN_NETWORKS, **options)
    first, kind, weights = read["first"], read["kind"], read["weights"]
    if first is None:
        return load_detector(kind, more=OWN_NETWORKS, **options) if weights is None else _one(kind, weights, **options)
    if kind == LCRNET:
        raise UsageError(f"detector {name}: expected {' or '.join(SEE_CROPS)} behind the {JOINED}, got '{kind}'")
    then = detector_of(name[len(first) + 1 :], **(options | {"min_score": 0.0}))
    assert isinstance(then, JointDetector)
    return Relay(detector_of(first, **options), then)


def is_own(name: str) -> bool:
    """Whether a detector's name is, or ends with, that of one of Sightline's own networks."""
    return _NAME.fullmatch(name) is not None


_NAME: Final = re.compile(
    rf"(?:(?P<first>.*){re.escape(JOINED)})?(?P<kind>{'|'.join((*SEE_CROPS, LCRNET))})(?::(?P<weights>.*))?", re.DOTALL
)
"""The last "+" that a known name follows joins two detectors; any other is a part of a path."""


def _one(kind: str, weights: str, *, device: str, batch_size: int, min_score: float | None, **_: Any) -> Detector:
    if kind == LCRNET:
        from sightline.prediction.lcrnet import LcrNetEstimator

        return LcrNetEstimator(weights, device=device).detector(min_score)
    return JointDetector(kind, _network(kind, weights), device=device, batch_size=batch_size, min_score=min_score)


def _network(kind: str, weights: str) -> JointNetwork:
    from sightline.methods.abspose.estimator_weights import load_estimator  # timm takes seconds
    from sightline.methods.deeplift.machine_weights import load_machine

    return load_estimator(weights)[0] if kind == "integral" else load_machine(weights)[0]


def _entry(name: str, weights: str, about: str, joint_set: str, *, several: bool) -> Entry:
    return Entry(
        name=name, load=partial(_one, name, weights), about=about, joint_set=joint_set, several=several, weights=weights
    )


_ABOUT: Final = {
    "integral": "the 2D estimator of AbsPoseLifter's cascade, in boxes or behind another detector (lcrnet+integral)",
    "cpm": "the pose machine of Lifting from the Deep, in boxes or behind another detector (lcrnet+cpm)",
}
OWN_NETWORKS: Final[Mapping[str, Entry]] = {
    **{name: _entry(name, SEE_CROPS[name], about, "h36m17", several=False) for name, about in _ABOUT.items()},
    LCRNET: _entry(LCRNET, LCRNET_WEIGHTS, "the joints that LCR-Net++ finds in whole pictures", "lcr13", several=True),
}
"""Sightline's own networks among the detectors, by name; those of `detect.registry` come before them."""
