"""Weights and passport of a finished run, with the scores that whoever loads them may expect."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import torch

from sightline import __version__
from sightline.data.virtual import CameraConfig, PeopleConfig, sample_views, step_generator
from sightline.formats.weights import Passport, write_weights
from sightline.methods.abspose.model import AbsPoseLifter
from sightline.metrics.functional import mpjpe
from sightline.training.config import config_to_json
from sightline.training.data import Splits
from sightline.training.lifter import lift_views
from sightline.training.run import Trained
from sightline.training.scores import score_poses

TEST_SEED = 90_000
TEST_VIEWS = 16_384


def ship_lifter(trained: Trained, splits: Splits, folder: Path, *, command: str = "sightline.training") -> Passport:
    """Round a trained lifter to half precision, score it so on held-out people, write weights and passport.

    Args:
        trained: a finished run.
        splits: the poses it learned from, with their credit, and those it is scored on.
        folder: where both files go.
        command: the call that trained it, for the record.
    """
    config = trained.config
    rounded = AbsPoseLifter(config.model).eval()
    state = trained.lifter.state_dict()
    rounded.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in state.items()})
    return write_weights(
        state,
        folder,
        name=config.name,
        method="abspose",
        licence="Apache-2.0",
        trained_on=splits.credit,
        recipe=config_to_json(config),
        model=config_to_json(config.model),
        expected=expected_scores(rounded, splits.test),
        command=command,
        date=date.today().isoformat(),
        version=__version__,
    )


def expected_scores(lifter: AbsPoseLifter, test_joints: torch.Tensor) -> dict[str, dict[str, float]]:
    """Score a lifter on views of held-out people (mm), lifted as `sightline lift` does.

    Keypoints are exact, f is 1145 px on 1000 × 1000, distances are 2.5–7 m, and the whole body is in the frame.
    """
    views = sample_views(test_joints, TEST_VIEWS, step_generator(TEST_SEED, 0), PeopleConfig(), CameraConfig())
    scores = {}
    for name, given in (("height unknown", False), ("height given", True)):
        predicted = lift_views(lifter, views, give_stature=given, flip=True)
        metres = score_poses(predicted, views.joints_cam)
        metres["mpjpe_root_counted"] = float(mpjpe(predicted, views.joints_cam, root="counted"))
        scores[name] = {f"{key}_mm": round(1000 * value, 2) for key, value in metres.items()}
    return scores
