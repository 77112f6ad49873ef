"""An LCR-Net++ small enough for tests, and one that knows the truth: proposals that tell exactly where people are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sightline
import sightline.prediction.lcrnet as estimator_file
from media_files import number_of
from sightline.camera import Camera
from sightline.data.procedural import procedural_poses
from sightline.formats.weights import write_weights
from sightline.methods.lcrnet.anchors import AnchorPoses, fit_anchors
from sightline.methods.lcrnet.boxes import pose_boxes
from sightline.methods.lcrnet.decode import Proposals
from sightline.methods.lcrnet.network import LcrNet, LcrNetConfig
from sightline.methods.lcrnet.people import Looked
from sightline.methods.lcrnet.views import drawn_views, torso_rows
from sightline.skeleton import conversion, get_skeleton
from sightline.training.config import config_to_json
from staged_films import CAMERA, walkers

LCR13 = get_skeleton("lcr13")
HEAD = LCR13.index("Head")
TINY = LcrNetConfig(
    backbone="resnet10t", backbone_channels=(8, 8, 16, 16), channels=8, hidden=16, summary=8, dropout=0.0,
    short_px=64, long_px=96, box_sizes_px=(16, 32, 64), proposals=10, proposals_training=20,
)  # fmt: skip


def anchors(joint_set: str = "lcr13", count: int = 3) -> AnchorPoses:
    poses = procedural_poses(60, torch.Generator().manual_seed(1))
    skeleton = get_skeleton(joint_set)
    return fit_anchors(drawn_views(poses, 120, skeleton, torch.Generator().manual_seed(2)), count, skeleton)


def written(folder: Path, joint_set: str = "lcr13", name: str = "tiny") -> Path:
    """The passport of a network that has learnt nothing."""
    torch.manual_seed(3)
    network = LcrNet(TINY, anchors(joint_set))
    write_weights(
        network.state_dict(), folder, name=name, method="lcrnet", licence="Apache-2.0", trained_on="nothing",
        recipe={"skeleton": joint_set, "anchors": network.count}, model=config_to_json(TINY), expected={},
        command="a test", date="2026-11-29", version="0",
    )  # fmt: skip
    return folder / f"{name}.json"


def in_lcr13(joints: np.ndarray) -> np.ndarray:
    """Joints of h36m17 in the network's."""
    return conversion("h36m17", "lcr13").apply(joints)[0]


def people_of(number: int) -> list[np.ndarray]:
    """The staged walkers of a frame (camera frame, m), in the network's joints."""
    return [in_lcr13(joints) for joints in walkers(number)]


def proposals(people_cam: Iterable[np.ndarray], camera: Camera = CAMERA, scores: Iterable[float] = ()) -> Proposals:
    """One proposal for each of some people, exact; scores fall from 0.9 unless given."""
    cam = np.array(list(people_cam)).reshape(-1, 13, 3)
    pixels = camera.project(torch.from_numpy(cam))[0].numpy()
    given = np.array(list(scores) or 0.9 - 0.1 * np.arange(len(cam)))
    middle = cam[:, torso_rows(LCR13)].mean(1, keepdims=True)
    return Proposals(pixels, cam - middle, given, pose_boxes(pixels, 0.1), np.zeros(len(cam), bool))


def knowing(patch: pytest.MonkeyPatch, told: Callable[[int], Proposals]) -> list[int]:
    """Let every network of `predict` see what is told of a numbered picture; returns the numbers as they are seen."""
    seen: list[int] = []

    def looked_at(network: LcrNet, pictures: Iterable[np.ndarray]) -> Iterator[Looked]:
        assert not network.training
        for picture in pictures:
            seen.append(number_of(picture))
            yield Looked(told(seen[-1]), 1.0)

    patch.setattr(estimator_file, "looked_at", looked_at)
    return seen


def predicted(
    path: Path | np.ndarray, weights: Path, camera: Camera | None = CAMERA, **options: Any
) -> sightline.Poses:
    """The same frame by frame, whatever time says."""
    return sightline.predict(path, camera, method="lcrnet", weights=weights, smoothing="off", **options)


def by_depth(frame: sightline.PoseFrame) -> list[sightline.Person]:
    """The people of a frame, the nearest first."""
    return sorted(frame.people, key=lambda one: float(one.joints_cam_m[HEAD, 2]))
