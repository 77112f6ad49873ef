"""Weights and passport of a finished run of a network that finds joints, with what it scores on held-out people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from sightline import __version__
from sightline.formats.weights import Passport, write_weights
from sightline.methods.abspose.estimator import JointEstimator
from sightline.methods.abspose.estimator_weights import METHOD as INTEGRAL
from sightline.methods.deeplift.machine import PoseMachine
from sightline.methods.deeplift.machine_weights import METHOD as CPM
from sightline.nn.joint_network import AS_HIGH
from sightline.training.config import EstimatorRunConfig, MachineRunConfig, config_to_json
from sightline.training.joints import PAPER_CROP_PX, RIGHT, fitted_belief, joint_scores, judged
from sightline.training.pictures import People
from sightline.training.run import Trained


def ship_joints(
    trained: Trained,
    test: People,
    folder: Path,
    *,
    credit: str,
    command: str,
    begun: Passport | None = None,
    others: Sequence[Passport] = (),
) -> Passport:
    """Round a trained network to half precision, score it so on held-out people, write weights and passport.

    These people also tell what a height of its maps is worth (`nn.joint_network.believed`).

    Args:
        trained: a finished run.
        test: people that it has not seen.
        folder: where both files go.
        credit: what it learned from, in words, with the acknowledgements that licences ask for.
        command: the call that trained it, for the record.
        begun: passport of the weights that the run started from, whose licence holds on; None for a new network.
        others: those of what else is inside, a backbone or a prior: their licences hold on too.
    """
    config, state = trained.config, trained.network.state_dict()
    if isinstance(config, EstimatorRunConfig):
        model: Any = replace(config.model, belief=AS_HIGH)
        rounded, method = JointEstimator(model), INTEGRAL
    else:
        assert isinstance(config, MachineRunConfig)
        model = replace(config.model, belief=AS_HIGH)
        rounded, method = PoseMachine(model), CPM
    rounded.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in state.items()})
    found = judged(rounded.eval(), test, range(len(test)))
    scores = joint_scores(found)
    known = {"error_px": scores.error_px, f"pck{round(100 * RIGHT)}_percent": 100 * scores.right}
    licence = "Apache-2.0"
    if begun is not None:
        licence = begun.licence
    elif isinstance(config, EstimatorRunConfig) and config.pretrained:
        licence += ", beside that of the backbone's first weights"
    return write_weights(
        state,
        folder,
        name=config.name,
        method=method,
        licence="; ".join(dict.fromkeys([licence, *(other.licence for other in others)])),
        trained_on=credit,
        recipe=config_to_json(config),
        model=config_to_json(replace(model, belief=fitted_belief(found))),
        expected={
            f"{len(test):,} held-out people in crops of {rounded.size_px} px, errors in px of one of "
            f"{PAPER_CROP_PX}, {rounded.skeleton.name}": {
                name: round(value, 2) for name, value in known.items() if math.isfinite(value)
            }
        },
        command=command,
        date=date.today().isoformat(),
        version=__version__,
    )
