"""Weights and passport of a finished run, with the scores that whoever loads them may expect."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline import __version__
from sightline.data.detected import DetectionConfig
from sightline.data.virtual import CameraConfig, PeopleConfig, ViewBatch, sample_views, step_generator
from sightline.formats.weights import Passport, write_weights
from sightline.methods.abspose.model import AbsPoseLifter
from sightline.methods.abspose.partial import PartialConfig, PartialLifter
from sightline.methods.abspose.partial_loss import COVERED
from sightline.metrics.functional import mpjpe
from sightline.training.config import LifterConfig, PartialRunConfig, config_to_json
from sightline.training.data import Splits
from sightline.training.lifter import lift_views
from sightline.training.partial import lift_detections, stated_and_true
from sightline.training.run import Trained
from sightline.training.scores import score_poses

TEST_SEED = 90_000
TEST_VIEWS = 16_384
CALIBRATION_SEED = 30_000


def ship_lifter(trained: Trained, splits: Splits, folder: Path, *, command: str = "sightline.training") -> Passport:
    """Round a trained lifter to half precision, score it so on held-out people, write weights and passport.

    The half-widths of a partial lifter are calibrated on the validation split first.

    Args:
        trained: a finished run.
        splits: the poses it learned from, with their credit, and those it is calibrated and scored on.
        folder: where both files go.
        command: the call that trained it, for the record.
    """
    config, state = trained.config, trained.lifter.state_dict()
    if isinstance(config, PartialRunConfig):
        method = "abspose-partial"
        model: Any = calibrated(_rounded(PartialLifter(config.model), state), config, splits.val)
        expected = partial_scores(_rounded(PartialLifter(model), state), splits.test)
    else:
        assert isinstance(config, LifterConfig)
        method, model = "abspose", config.model
        expected = expected_scores(_rounded(AbsPoseLifter(model), state), splits.test)
    return write_weights(
        state,
        folder,
        name=config.name,
        method=method,
        licence="Apache-2.0",
        trained_on=splits.credit,
        recipe=config_to_json(config),
        model=config_to_json(model),
        expected=expected,
        command=command,
        date=date.today().isoformat(),
        version=__version__,
    )


def _rounded(network: nn.Module, state: dict[str, Tensor]) -> Any:
    """The network as whoever loads it will have it."""
    network.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in state.items()})
    return network.eval()


def _standard_views(joints: Tensor) -> ViewBatch:
    """Held-out people: f is 1145 px on 1000 × 1000, distances are 2.5–7 m, and the whole body is in the frame."""
    return sample_views(joints, TEST_VIEWS, step_generator(TEST_SEED, 0), PeopleConfig(), CameraConfig())


def expected_scores(lifter: AbsPoseLifter, test_joints: torch.Tensor) -> dict[str, dict[str, float]]:
    """Score a lifter on views of held-out people (mm) with exact keypoints, lifted as `sightline lift` does."""
    views = _standard_views(test_joints)
    scores = {}
    for name, given in (("height unknown", False), ("height given", True)):
        scores[name] = _millimetres(lift_views(lifter, views, give_stature=given, flip=True), views)
    return scores


def partial_scores(lifter: PartialLifter, test_joints: torch.Tensor) -> dict[str, dict[str, float]]:
    """The same for a partial lifter, and with 30 % of the joints missing, and of the upper body without legs."""
    views = _standard_views(test_joints)
    scores = {}
    for name, given, detections in (
        ("height unknown", False, DetectionConfig()),
        ("height given", True, DetectionConfig()),
        ("30 % of joints missing, height unknown", False, DetectionConfig(missing_share=1.0, missing_exactly=0.3)),
    ):
        chance = step_generator(TEST_SEED, 1)
        located = lift_detections(lifter, views, detections, chance, give_stature=given, flip=True)
        scores[name] = _millimetres(located.joints_cam, views)
    return scores


def _millimetres(predicted: Tensor, views: ViewBatch) -> dict[str, float]:
    metres = score_poses(predicted, views.joints_cam)
    metres["mpjpe_root_counted"] = float(mpjpe(predicted, views.joints_cam, root="counted"))
    return {f"{key}_mm": round(1000 * value, 2) for key, value in metres.items()}


def calibrated(lifter: PartialLifter, config: PartialRunConfig, val_joints: Tensor) -> PartialConfig:
    """Return the model's configuration with factors by which its half-widths hold 68 % of the errors on other people.

    The people are the validation split's, seen as in training, one factor per axis for poses and for roots.
    """
    generator = step_generator(CALIBRATION_SEED, 0)
    views = sample_views(val_joints, TEST_VIEWS, generator, config.people, config.cameras)
    relative, root = stated_and_true(lifter, views, config.detections, generator)
    return replace(
        config.model,
        relative_factors=tuple(_factor(*(side[:, 1:, axis] for side in relative)) for axis in range(3)),
        root_factors=tuple(_factor(*(side[:, axis] for side in root)) for axis in range(3)),
    )


def _factor(stated: Tensor, error: Tensor) -> float:
    """What stated half-widths have to be multiplied by to hold their share of the errors."""
    ratio = (error.abs() / stated.clamp_min(1e-9)).flatten()
    return round(float(ratio.kthvalue(max(1, int(COVERED * len(ratio)))).values), 4)
