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
from sightline.methods.abspose.weights import load_abspose
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
    config, state = trained.config, trained.network.state_dict()
    if isinstance(config, PartialRunConfig):
        method = "abspose-partial"
        partner = None if config.model.exact is None else load_abspose(config.model.exact)[0]
        model: Any = calibrated(_rounded(PartialLifter(config.model), state), config, splits.val, partner)
        expected = partial_scores(_rounded(PartialLifter(model), state), splits.test, partner)
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


def partial_scores(
    lifter: PartialLifter, test_joints: Tensor, exact: AbsPoseLifter | None = None
) -> dict[str, dict[str, float]]:
    """The same for a partial lifter, and with 30 % of the joints missing, with its second opinion where it has one."""
    views = _standard_views(test_joints)
    scores = {}
    for name, given, detections in (
        ("height unknown", False, DetectionConfig()),
        ("height given", True, DetectionConfig()),
        ("30 % of joints missing, height unknown", False, DetectionConfig(missing_share=1.0, missing_exactly=0.3)),
    ):
        chance = step_generator(TEST_SEED, 1)
        located = lift_detections(lifter, views, detections, chance, give_stature=given, flip=True, exact=exact)
        scores[name] = _millimetres(located.joints_cam, views)
    return scores


def _millimetres(predicted: Tensor, views: ViewBatch) -> dict[str, float]:
    metres = score_poses(predicted, views.joints_cam)
    metres["mpjpe_root_counted"] = float(mpjpe(predicted, views.joints_cam, root="counted"))
    return {f"{key}_mm": round(1000 * value, 2) for key, value in metres.items()}


def calibrated(
    lifter: PartialLifter, config: PartialRunConfig, val_joints: Tensor, exact: AbsPoseLifter | None = None
) -> PartialConfig:
    """Return the model's configuration with factors by which its half-widths hold 68 % of the errors on other people.

    The people are the validation split's, widened, seen by cameras and detectors as in training. One factor per axis
    for poses, for roots and for what they amount to; and such factors for exact keypoints, where a second opinion is
    asked.
    """
    model = _calibrated(lifter, config, config.model, val_joints)
    return model if exact is None else _calibrated(lifter, config, model, val_joints, exact)


def _calibrated(
    lifter: PartialLifter,
    config: PartialRunConfig,
    model: PartialConfig,
    joints: Tensor,
    exact: AbsPoseLifter | None = None,
) -> PartialConfig:
    """The factors of one kind of keypoints: on pose and root, then on what they amount to, heights known or not."""
    kind, generator = "" if exact is None else "exact_", step_generator(CALIBRATION_SEED, 0)
    views = sample_views(joints, TEST_VIEWS, generator, config.people, config.cameras)
    detections = _inexact(config) if exact is None else DetectionConfig()
    relative, root = stated_and_true(lifter, views, detections, generator, exact)
    factors = {"relative": _factors(*(side[:, 1:] for side in relative)), "root": _factors(*root)}
    if exact is None:
        apart = (views.stature_m / model.mean_stature_m - 1.0).abs()
        model = replace(model, stature_spread=round(float(apart.quantile(COVERED)), 4))
    lifter.config = model = replace(model, **{f"{kind}{name}_factors": value for name, value in factors.items()})
    stated, error = [], []
    for given in (False, True):
        located = lift_detections(lifter, views, detections, generator, give_stature=given, flip=True, exact=exact)
        stated.append(located.sigma_m)
        error.append(located.joints_cam - views.joints_cam)
    return replace(model, **{f"{kind}located_factors": _factors(torch.cat(stated), torch.cat(error))})


def _inexact(config: PartialRunConfig) -> DetectionConfig:
    """The recipe's detections, all with a detector's faults where exact ones have a second opinion to themselves."""
    detections = config.detections
    return detections if config.model.exact is None else replace(detections, clean_share=0.0)


def _factors(stated: Tensor, error: Tensor) -> tuple[float, ...]:
    """One factor per axis, the last dimension."""
    return tuple(_factor(stated[..., axis], error[..., axis]) for axis in range(stated.shape[-1]))


def _factor(stated: Tensor, error: Tensor) -> float:
    """What stated half-widths have to be multiplied by to hold their share of the errors."""
    ratio = (error.abs() / stated.clamp_min(1e-9)).flatten()
    return round(float(ratio.kthvalue(max(1, int(COVERED * len(ratio)))).values), 4)
